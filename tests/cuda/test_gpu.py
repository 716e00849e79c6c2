"""The same comparisons on a real device: ``pytest -m gpu`` where one answers; elsewhere they are skipped, and said to be.

What no processor can show is asked here alone: that CuPy and the driver take what is proven elsewhere, and that kernels of a device, whose
threads run in no order, give the spikes of the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import snnlang
from snnlang.model.elaborate import Overrides, elaborate
from snnlang.runtime import cuda_choice

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALLER = {
    "balanced": {"N": 300},
    "digits": {"cells": 20},
    "language_tour-raster": {"N": 300},
    "language_tour-unsupervised": {"classes": 20},
}


@pytest.fixture(autouse=True)
def device() -> None:
    """A device, or none of this."""
    if os.environ.get("SNN_CUDA"):
        pytest.skip("SNN_CUDA names another device")
    reason = cuda_choice.absent()
    if reason is not None:
        pytest.skip(reason)


pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.snn")), ids=lambda path: path.stem)
def test_examples_agree(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnlang.runtime.excerpt.SECONDS", 0.8)
    text = path.read_text(encoding="utf-8").replace("160", "16").replace("240", "24")
    model = snnlang.load(text)
    for experiment in model.simulations:
        if elaborate(model.program, experiment, Overrides()).training is not None:
            continue  # trained, not simulated
        smaller = SMALLER.get(f"{path.stem}-{experiment}", SMALLER.get(path.stem, {}))
        report = model.verify(experiment, targets=["numpy", "cuda"], set=smaller)
        assert report.agrees, f"{experiment}\n{report}"


def test_single_precision_agrees() -> None:
    model = snnlang.load(EXAMPLES / "balanced.snn")
    report = model.verify("cuba", targets=["numpy", "cuda"], set={"N": 300}, precision="float32", duration="20 ms")
    assert report.agrees, str(report)


def test_large_connectivity_is_made_on_the_device() -> None:
    model = snnlang.load(EXAMPLES / "balanced.snn")
    ours = model.simulation("cuba", target="cuda", precision="float64", set={"N": 40_000})
    theirs = model.simulation("cuba", target="c", set={"N": 40_000})
    for connection in ours.plan.connectivities:
        for made, expected in zip(ours._device.synapses(connection), theirs._device.synapses(connection)):
            assert np.array_equal(made, expected), connection


def test_a_run_is_the_same_again() -> None:
    model = snnlang.load(EXAMPLES / "balanced.snn")
    runs = [model.run("cuba", target="cuda", duration="200 ms", progress=False) for _ in range(2)]
    for first, second in zip(runs[0].spikes("E"), runs[1].spikes("E")):
        assert len(first) > 0
        assert len(first) == pytest.approx(len(second), rel=0.2)  # sums are added in another order every time


def test_modules_of_one_text_live_side_by_side() -> None:
    model = snnlang.load(EXAMPLES / "balanced.snn")
    first = model.simulation("cuba", target="cuda", precision="float64", set={"N": 400})
    second = model.simulation("cuba", target="cuda", precision="float64", set={"N": 800})
    first.run("20 ms")
    second.run("20 ms")
    first.run("20 ms")
    alone = model.simulation("cuba", target="cuda", precision="float64", set={"N": 400}).run("40 ms")
    assert np.allclose(first.state("E.v"), alone.state("E.v"), rtol=1e-9)


def test_the_benchmark_runs_and_names_the_device(tmp_path: Path) -> None:
    """Small: all of it is ``python benchmarks/gpu.py``."""
    out = tmp_path / "gpu"
    program = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
    options = ["--only", "cuba,stdp1", "--scales", "1", "--seconds", "0.02", "--no-peers", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, str(program), *options], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    data = json.loads(out.with_suffix(".json").read_text())
    assert data["machine"]["device"] == cuda_choice.opened().name
    for row in data["rows"]:
        assert row["missing"] == {}
        assert set(row["ways"]) == {"resident", "graph"}
