"""``snn fmt``: in place, standard input, ``--check`` and ``--diff``."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from .conftest import GOOD, Snn, leftovers

UGLY = "const   a=1 mV   # first\n\n\n\n\n# second\nconst b =2*a\n"
NICE = "const a = 1 mV  # first\n\n# second\nconst b = 2*a\n"


@pytest.fixture
def ugly(tmp_path: Path) -> Path:
    path = tmp_path / "ugly.snn"
    path.write_text(UGLY, encoding="utf-8")
    return path


def test_in_place_and_idempotent(snn: Snn, ugly: Path, tmp_path: Path) -> None:
    outcome = snn("fmt", str(ugly))
    assert outcome.code == 0
    assert "formatted" in outcome.out
    text = ugly.read_text(encoding="utf-8")
    assert text != UGLY
    assert "# first" in text
    assert "# second" in text
    assert "const a = 1 mV" in text
    again = snn("fmt", str(ugly))
    assert again.code == 0
    assert "already formatted" in again.out
    assert ugly.read_text(encoding="utf-8") == text
    assert leftovers(tmp_path) == []


def test_check_changes_nothing(snn: Snn, ugly: Path) -> None:
    assert snn("fmt", "--check", str(ugly)).code == 1
    assert ugly.read_text(encoding="utf-8") == UGLY
    snn("fmt", str(ugly))
    assert snn("fmt", "--check", str(ugly)).code == 0


def test_diff(snn: Snn, ugly: Path) -> None:
    outcome = snn("fmt", "--diff", str(ugly))
    assert outcome.code == 1
    assert "-const b =2*a" in outcome.out
    assert "+const b = 2*a" in outcome.out
    assert ugly.read_text(encoding="utf-8") == UGLY


def test_standard_input(snn: Snn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(UGLY))
    outcome = snn("fmt", "-")
    assert outcome.code == 0
    assert "const b = 2*a\n" in outcome.out


def test_a_syntax_error_leaves_the_file(snn: Snn, tmp_path: Path) -> None:
    path = tmp_path / "broken.snn"
    path.write_text("neuron A\n    param a=1\n", encoding="utf-8")
    outcome = snn("fmt", str(path))
    assert outcome.code == 1
    assert "error[E0" in outcome.err
    assert path.read_text(encoding="utf-8") == "neuron A\n    param a=1\n"


def test_missing_file(snn: Snn) -> None:
    assert snn("fmt", "none.snn").code == 1


def test_good_file_is_already_good(snn: Snn, good: Path) -> None:
    assert snn("fmt", "--check", str(good)).code == 0, snn("fmt", "--diff", str(good)).out
    assert good.read_text(encoding="utf-8") == GOOD
