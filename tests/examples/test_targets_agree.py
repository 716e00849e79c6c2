"""The beginning of every experiment of every example is the same on all targets of this machine as on the interpreter."""

from __future__ import annotations

from pathlib import Path

import pytest

import snnlang
from snnlang.runtime import cuda_shim
from snnlang.runtime.compiler import find

EXAMPLES = Path(__file__).parents[2] / "examples"
EXPERIMENTS = [
    (path, experiment)
    for path in sorted(EXAMPLES.glob("*.snn"))
    for experiment in snnlang.load(path).simulations
]
#: Smaller networks where the interpreter would take long to build them.
SMALLER = {
    "balanced": {"N": 300},
    "language_tour-raster": {"N": 300},
    "language_tour-unsupervised": {"classes": 20},
    "digits": {"cells": 20},
}


@pytest.mark.parametrize(("path", "experiment"), EXPERIMENTS, ids=[f"{p.stem}-{e}" for p, e in EXPERIMENTS])
def test_targets_agree(path: Path, experiment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_CFLAGS", "-O1")
    monkeypatch.setenv("SNN_CUDA", "shim")
    monkeypatch.setattr("snnlang.runtime.excerpt.SECONDS", 0.8)
    smaller = SMALLER.get(f"{path.stem}-{experiment}", SMALLER.get(path.stem, {}))
    text = path.read_text(encoding="utf-8").replace("160", "16").replace("240", "24")  # the segmented picture
    report = snnlang.load(text).verify(experiment, set=smaller)
    assert report.agrees, str(report)
    cuda = ["cuda"] if cuda_shim.compiler() is not None else []
    labels = [comparison.label for comparison in report.comparisons]
    assert labels == ["numpy", *(["c", "c, 3 threads"] if find() is not None else []), *cuda]
