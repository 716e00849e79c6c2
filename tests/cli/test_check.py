"""``snn check``: what it prints, what it exits with, what it says about files that cannot be read."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import GOOD, Snn


def test_a_good_file(snn: Snn, good: Path) -> None:
    outcome = snn("check", str(good))
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"ok {good}: 1 neuron, 1 network, 2 experiments\n"
    assert outcome.err == ""


def test_quiet(snn: Snn, good: Path) -> None:
    assert snn("check", "--quiet", str(good)).out == ""


def test_a_wrong_file(snn: Snn, wrong: Path) -> None:
    outcome = snn("check", str(wrong))
    assert outcome.code == 1
    assert f"--> {wrong}:4:17" in outcome.err
    assert "tau*dv/dt = drve - v" in outcome.err
    assert "^^^^" in outcome.err
    assert f"{wrong}: 1 error" in outcome.err
    assert "\x1b" not in outcome.err


def test_several_files_and_directories(snn: Snn, good: Path, wrong: Path, tmp_path: Path) -> None:
    outcome = snn("check", str(tmp_path))
    assert outcome.code == 1
    assert "ok" in outcome.out
    assert str(wrong) in outcome.err
    wrong.unlink()
    assert snn("check", str(tmp_path), str(good)).code == 0


def test_json(snn: Snn, good: Path, wrong: Path) -> None:
    outcome = snn("check", "--json", str(good), str(wrong))
    assert outcome.code == 1
    assert outcome.err == ""
    data = json.loads(outcome.out)
    assert data["ok"] is False
    assert [entry["ok"] for entry in data["files"]] == [True, False]
    assert data["files"][0]["experiments"] == ["short", "quiet"]
    assert data["files"][0]["contents"]["neuron"] == 1
    (diagnostic,) = data["files"][1]["diagnostics"]
    assert diagnostic["severity"] == "error"
    assert diagnostic["place"]["line"] == 4
    assert diagnostic["place"]["column"] == 17
    assert diagnostic["place"]["end_column"] == 21


def test_a_missing_file(snn: Snn) -> None:
    outcome = snn("check", "none.snn")
    assert outcome.code == 1
    assert "none.snn" in outcome.err
    assert outcome.err.startswith("error[E0")


def test_files_that_are_no_text(snn: Snn, tmp_path: Path) -> None:
    (tmp_path / "latin.snn").write_bytes("# M\xfcnchen\n".encode("latin-1"))
    (tmp_path / "zeros.snn").write_bytes(b"\0" * 64)
    (tmp_path / "empty.snn").write_bytes(b"")
    (tmp_path / "tabs.snn").write_text("neuron A:\n\tparam a = 1\n", encoding="utf-8")
    for name in ("latin.snn", "zeros.snn", "tabs.snn"):
        outcome = snn("check", name)
        assert outcome.code == 1, name
        assert "error[E0" in outcome.err
        assert name in outcome.err
    assert snn("check", "empty.snn").code in (0, 1)


def test_standard_input(snn: Snn, wrong: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(wrong.read_text(encoding="utf-8")))
    outcome = snn("check", "-")
    assert outcome.code == 1
    assert "--> <stdin>:4:17" in outcome.err


def test_colours_can_be_forced(snn: Snn, wrong: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[1;31merror[" in snn("check", str(wrong)).err


def test_target_finds_what_it_cannot_run(snn: Snn, good: Path) -> None:
    assert snn("check", "--target", "numpy", str(good)).code == 0


def test_check_stays_light() -> None:
    """The process of ``snn check`` imports neither sympy nor rich nor matplotlib."""
    code = (
        "import sys; from snnlang.cli.program import run; import pathlib, tempfile; "
        "path = pathlib.Path(tempfile.mkdtemp()) / 'a.snn'; path.write_text(sys.argv[1]); "
        "code = run(['check', str(path)]); "
        "print(code, [m for m in ('sympy', 'rich', 'matplotlib', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, GOOD], capture_output=True, text=True, check=False)
    assert done.stdout.strip().split("\n")[-1] == "0 []", done.stdout + done.stderr


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_any_locale_shows_greek(tmp_path: Path, locale: str) -> None:
    (tmp_path / "greek.snn").write_text("neuron A:\n    param τ = 1 msec\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "snnlang", "check", "greek.snn"],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "LC_ALL": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""},
        check=False,
    )
    assert done.returncode == 1
    assert b"internal error" not in done.stderr
    assert b"error[" in done.stderr
