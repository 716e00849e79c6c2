"""Every snnlang block of the documents is what it says: those of the tutorial run, others check."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

import snnlang

ROOT = Path(__file__).parents[2]


def blocks(document: str) -> list[tuple[str, str]]:
    """(name, text) of the fenced ``snn`` blocks of a document; the name is that of a first line ``# name.snn``."""
    text = (ROOT / document).read_text(encoding="utf-8")
    found = []
    for number, block in enumerate(re.findall(r"^```snn\n(.*?)^```", text, re.MULTILINE | re.DOTALL)):
        named = re.match(r"# (\w+\.snn)\n", block)
        found.append((named[1] if named else f"block{number}.snn", block))
    return found


TUTORIAL = blocks("docs/tutorial.md")
REFERENCE = [(f"{page}-{name}", text) for page in ("docs/language.md", "README.md") for name, text in blocks(page)]


@pytest.mark.parametrize(("name", "text"), TUTORIAL, ids=[name for name, _ in TUTORIAL])
def test_tutorial_block_runs(name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    model = snnlang.load(str(path))
    for experiment in model.experiments:
        recording = model.run(experiment)
        assert not [warning for warning in recording.warnings if warning.is_error]
        assert recording.names


@pytest.mark.parametrize(("name", "text"), REFERENCE, ids=[name for name, _ in REFERENCE])
def test_reference_block_checks(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "block.snn"
    path.write_text(text, encoding="utf-8")
    found = snnlang.check(path)
    assert [str(diagnostic) for diagnostic in found if diagnostic.is_error] == []


def test_the_tutorial_counts_right() -> None:
    """Chapter 1 promises ten spikes at intervals of tau*log(20/5)."""
    text = dict(TUTORIAL)["one.snn"]
    times, _ = snnlang.load(text).run().spikes("cell")
    assert len(times) == 10
    assert np.diff(times).mean() == pytest.approx(20 * math.log(20 / 5), abs=0.1)


def test_the_balanced_network_keeps_awake() -> None:
    """Chapter 7: irregular activity that lasts, dies with weak excitation and grows fivefold with weak inhibition."""
    model = snnlang.load(dict(TUTORIAL)["balanced.snn"])

    def late_rate(**changes: str) -> float:
        times, _ = model.run(duration="200 ms", set=changes).spikes("E")
        return float((times > 100).sum()) / 3200 / 0.1

    rate = late_rate()
    assert 15 < rate < 25
    assert late_rate(w_e="3 nS") == 0
    assert 4 < late_rate(w_i="20 nS") / rate < 7


def test_layout_of_the_blocks(tmp_path: Path) -> None:
    """What the documents show is what the formatter writes."""
    from snnlang.diagnostics import Source
    from snnlang.syntax.format import format_file
    from snnlang.syntax.parse import parse

    for name, text in [*TUTORIAL, *REFERENCE]:
        assert format_file(parse(Source(name, text))) == text, name


@pytest.mark.parametrize("document", ["docs/tutorial.md", "docs/language.md"])
def test_the_message_shown_is_the_message_given(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chapter 2: the misspelt name, as printed in the documents."""
    monkeypatch.chdir(tmp_path)
    text = dict(TUTORIAL)["one.snn"].replace("-(v - v_rest)", "-(v - v_rst)")
    Path("one.snn").write_text(text, encoding="utf-8")
    (found,) = snnlang.check("one.snn")
    assert f"\n{found}\n```" in (ROOT / document).read_text(encoding="utf-8")
