"""The Python blocks of docs/python.md and the tutorial run as printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import snnlang

ROOT = Path(__file__).parents[2]

REWARDED = """\
from stdlib.neurons import LIF, Poisson

synapse Rewarded:
    weight w = 0.5 in [0, 1]
    broadcast input reward = 0
    trace x on pre decay 20 ms
    state e = 0
    on pre: deliver w
    on post: e += x
    on trial_end: w += 0.01*reward*e

network Choice:
    input image[64]
    population source[64]: Poisson(rate = 100 Hz * image)
    population out[10]: LIF
    connect feed = source -> out.v: dense via Rewarded(w = uniform(0.2, 0.8)), gain = 2 mV, delay = 1 ms

simulate Choice:
    dt = 0.5 ms
    present digits(limit = 3) as image, label for 50 ms
"""


def blocks(document: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def balanced() -> str:
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    found = re.search(r"^```snn\n(# balanced\.snn\n.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1].replace("N = 4000", "N = 400")


@pytest.mark.parametrize("document", ["docs/python.md", "docs/tutorial.md"])
def test_blocks_run(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "balanced.snn").write_text(balanced(), encoding="utf-8")
    names: dict[str, object] = {}
    for block in blocks(document):
        if "learning.snn" in block:
            continue  # needs data: the next test
        exec(compile(block, document, "exec"), names)
    assert isinstance(names["recording"], snnlang.Recording)


def test_the_block_with_trials_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "learning.snn").write_text(REWARDED, encoding="utf-8")
    (block,) = [text for text in blocks("docs/python.md") if "learning.snn" in text]
    names: dict[str, Any] = {"snnlang": snnlang}
    exec(compile(block, "docs/python.md", "exec"), names)
    assert names["weights"].shape == (64, 10)
    start = snnlang.load(REWARDED).simulation().weights("feed")
    assert (names["weights"] != start).any()
