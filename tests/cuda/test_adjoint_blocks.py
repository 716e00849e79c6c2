"""Written backward passes on the cuda target, through the shim: against target c or numpy, against published figures, and by training."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cuda.test_training import agree, down
from tests.targets import needs_shim
from tests.training import test_adjoint_blocks as written
from tests.training import test_spike_bp as spike_bp
from tests.training import test_tssl_bp as tssl_bp
from tests.training.networks import READOUT, UNIT, images, network, text

nvcc = shutil.which("nvcc")
pytestmark = needs_shim


@pytest.fixture(autouse=True, params=["one kernel for a cycle", "launches"])
def shim(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_CUDA", "shim")
    if request.param == "launches":
        monkeypatch.setattr("snnlang.runtime.learning_cuda.FUSED", 0)


@pytest.mark.parametrize("lines", [written.MLP, written.RECURRENT, written.TWO], ids=["mlp", "recurrent", "cycle of two"])
@pytest.mark.parametrize("more", ["", "checkpoint = 3", "truncate = 3"], ids=["whole", "segments", "truncated"])
def test_blocks_agree_with_the_host(lines: str, more: str) -> None:
    agree(text(lines, neurons=written.WRITTEN, more=more), images(5, 6, 7), np.zeros((5, 3)))


@pytest.mark.parametrize("more", ["", "checkpoint = 2"], ids=["whole", "segments"])
def test_the_end_of_the_trial(more: str) -> None:
    lines = "population h[4]: Unit\nconnect image -> h.x: dense, w = uniform(0, 0.6)\nconnect h -> h.x: dense, w = uniform(0, 0.1)"
    source = text(lines, size=3, steps=8, loss="sum(h.spikes, over = [time, neurons])", neurons=written.ENDING, more=more)
    agree(source, images(5, 3, 8), np.zeros(5))


def test_parameters_of_each_neuron() -> None:
    agree(text(written.RECURRENT, neurons=written.WRITTEN.replace(*written.PER_NEURON)), images(5, 6), np.zeros((5, 3)))


@pytest.mark.parametrize("row", [0, 1, 2])
def test_golden_deltas_of_tssl_bp(row: int) -> None:
    currents, _, ones, last = tssl_bp.GOLDEN[row]
    assert np.allclose(tssl_bp.deltas("cuda", "sum(out.a)", currents), ones, rtol=0, atol=6e-7)
    assert np.allclose(tssl_bp.deltas("cuda", "end(out.a)", currents), last, rtol=0, atol=6e-7)


@pytest.mark.parametrize("more", ["", "checkpoint = 4"], ids=["whole", "segments"])
def test_two_layers_of_tssl_bp(more: str) -> None:
    x = np.random.default_rng(2).uniform(0, 1.5, (6, 17, 4))
    agree(tssl_bp.TWO.format(steps=17, more=more), x, np.array([0, 1, 2, 2, 1, 0]))


def test_exclusive_or() -> None:
    x = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], float)
    net = network(tssl_bp.XOR.format(seed=1), "cuda")
    history = net.train(x, np.array([0, 1, 1, 0]))
    assert min(epoch.loss for epoch in history.epochs) * 4 < 0.3


@pytest.mark.parametrize(("leak", "second", "first"), [(0.99, -0.442813, -0.877399), (0.9, -0.471264, -0.891797)])
def test_golden_gradients_of_spike_bp(leak: float, second: float, first: float) -> None:
    net: Any = network(spike_bp.CHAIN.format(**spike_bp.ONE, leak=leak), "cuda")
    _, made = net.grad(np.ones((1, 1)), np.zeros(1))
    found = down(made)
    assert found["h->out.x.w"].item() == pytest.approx(second, abs=6e-7)
    assert found["image->h.x.w"].item() == pytest.approx(first, abs=6e-7)


def test_the_number_of_the_neuron() -> None:
    forwards = UNIT.replace("+ x - theta", "+ x*(1 + 0.1*index) - theta")
    backwards = written.BY_HAND.replace("= e\n", "= e*(1 + 0.1*index)\n", 1)
    agree(text(written.RECURRENT, neurons=f"{forwards}{backwards}{READOUT}"), images(5, 6, 7), np.zeros((5, 3)))


@pytest.mark.skipif(nvcc is None, reason="no nvcc")
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_nvcc_takes_the_texts(precision: str, tmp_path: Path) -> None:
    assert nvcc is not None
    sources = [
        text(written.RECURRENT, neurons=written.WRITTEN.replace(*written.PER_NEURON).replace("= e\n", "= e*(1 + 0.1*index)\n", 1)),
        tssl_bp.TWO.format(steps=5, more=""),
        spike_bp.CHAIN.format(**spike_bp.ONE, leak=0.9),
    ]
    for number, source in enumerate(sources):
        net = network(source, "cuda", precision)
        engine = net.learner.engine(frozenset({"image"}), True)
        path = tmp_path / f"text{number}.cu"
        path.write_text(engine._runner.text, encoding="utf-8")  # type: ignore[attr-defined]
        command = [nvcc, "-std=c++14", "-arch=sm_90", "-ptx", "-o", str(tmp_path / "out.ptx"), str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr, done.stderr
