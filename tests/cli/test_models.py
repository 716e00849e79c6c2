"""``snn models`` and ``snn new``."""

from __future__ import annotations

from pathlib import Path

import pytest

from snnlang.cli.models import library

from .conftest import Snn, leftovers


def test_table_has_one_line_each(snn: Snn) -> None:
    outcome = snn("models")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.split("\n")
    for entry in library():
        assert sum(line.split()[:1] == [entry.name] for line in lines) >= 1, entry.name


def test_every_model_says_what_it_is() -> None:
    for entry in library():
        if not entry.name.startswith("_"):
            assert entry.line, f"{entry.module}.{entry.name} has no documentation"
            assert len(entry.line) < 160


def test_page_of_a_model(snn: Snn) -> None:
    outcome = snn("models", "LIF")
    assert outcome.code == 0, outcome.err
    assert "from stdlib.neurons import LIF" in outcome.out
    for text in ("LIF (neuron)", "Parameters", "tau_m", "20 ms", "Equations", "Source"):
        assert text in outcome.out


def test_page_of_every_model(snn: Snn) -> None:
    for entry in library():
        assert snn("models", f"{entry.module}.{entry.name}").code == 0


def test_names_in_another_case_and_misspelt(snn: Snn) -> None:
    assert snn("models", "lif").code == 0
    outcome = snn("models", "LIFF")
    assert outcome.code == 1
    assert "'LIF'" in outcome.err


def test_source_only(snn: Snn) -> None:
    outcome = snn("models", "LIF", "--source")
    assert outcome.out.startswith("neuron LIF")


@pytest.mark.parametrize("name", ["mine", "mine.snn", "my-first net", "2nd", "cell", "τ"])
def test_new_makes_a_file_that_is_good_and_laid_out(snn: Snn, tmp_path: Path, name: str) -> None:
    outcome = snn("new", name)
    assert outcome.code == 0, outcome.err
    (path,) = tmp_path.glob("*.snn")
    checked = snn("check", str(path))
    assert checked.code == 0, checked.err
    assert checked.err == ""
    assert snn("fmt", "--check", str(path)).code == 0, snn("fmt", "--diff", str(path)).out
    assert leftovers(tmp_path) == []


def test_new_file_runs(snn: Snn) -> None:
    snn("new", "mine")
    outcome = snn("run", "mine.snn", "--plot", "mine.png")
    assert outcome.code == 0, outcome.err
    assert Path("mine.png").stat().st_size > 1000


def test_new_never_overwrites(snn: Snn, tmp_path: Path) -> None:
    (tmp_path / "mine.snn").write_text("# precious\n", encoding="utf-8")
    outcome = snn("new", "mine")
    assert outcome.code == 1
    assert "E802" in outcome.err
    assert (tmp_path / "mine.snn").read_text(encoding="utf-8") == "# precious\n"


def test_new_in_a_missing_directory(snn: Snn) -> None:
    outcome = snn("new", "none/mine")
    assert outcome.code == 1
    assert "E801" in outcome.err
