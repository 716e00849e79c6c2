"""Files are written whole or not at all, and a place that cannot be written is refused beforehand."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from snnlang import SnnError
from snnlang.files import require_directory, require_writable, write_atomically, write_text

from .conftest import leftovers


def test_write_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "τ = 1\n")
    assert path.read_bytes() == "τ = 1\n".encode()
    write_text(path, "two\n")
    assert path.read_text(encoding="utf-8") == "two\n"
    assert leftovers(tmp_path) == []


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_text("old", encoding="utf-8")

    def fail() -> None:
        with write_atomically(path) as temporary:
            assert temporary.parent == tmp_path
            assert temporary.suffix == ".npz"
            temporary.write_text("half", encoding="utf-8")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text(encoding="utf-8") == "old"
    assert leftovers(tmp_path) == []


def test_permissions_are_the_usual(tmp_path: Path) -> None:
    fresh, usual = tmp_path / "fresh", tmp_path / "usual"
    usual.write_text("", encoding="utf-8")
    write_text(fresh, "")
    assert fresh.stat().st_mode == usual.stat().st_mode
    usual.chmod(0o640)
    write_text(usual, "again")
    assert usual.stat().st_mode & 0o777 == 0o640


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for path in (tmp_path, tmp_path / "none" / "a.npz", tmp_path / "file" / "a.npz"):
        with pytest.raises(SnnError, match="E801"):
            require_writable(path, "--out")
    with pytest.raises(SnnError, match="E801"):
        require_directory(tmp_path / "file", "-o")
    with pytest.raises(SnnError, match="E801"):
        require_directory(tmp_path / "none" / "deeper", "-o")
    assert require_writable(tmp_path / "new.npz") == tmp_path / "new.npz"
    assert not (tmp_path / "new.npz").exists()
    assert leftovers(tmp_path) == []


def test_a_protected_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(SnnError, match=r"E801.*Permission denied"):
        require_writable(tmp_path / "a.npz")
    with pytest.raises(SnnError, match=r"E801.*Permission denied"):
        write_text(tmp_path / "a.npz", "x")


def test_writing_into_a_missing_directory_is_a_diagnostic(tmp_path: Path) -> None:
    with pytest.raises(SnnError, match="E801"):
        write_text(tmp_path / "none" / "a", "x")


def test_a_directory_in_which_nothing_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/proc says that the new directory does not exist; the message must not say so of its parent."""

    def refuse(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(SnnError) as raised:
        require_directory(tmp_path / "x", "--output")
    (found,) = raised.value.diagnostics
    assert found.code == "E801"
    assert "nothing can be made in" in found.message
