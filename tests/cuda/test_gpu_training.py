"""Training on a real device: ``pytest -m gpu`` where one answers; elsewhere these are skipped, and said to be.

They ask what ``test_training.py`` asks of the shim, and what no processor can show: that CuPy and the driver take it, and sizes at which a
device is full."""

from __future__ import annotations

import os

import numpy as np
import pytest

from snnlang.runtime import cuda_choice
from tests.cuda.test_training import HOST, MODELS, OPTIMIZERS, agree
from tests.training.networks import images, network, text
from tests.training.test_gradients import MLP, RECURRENT


@pytest.fixture(autouse=True)
def device() -> None:
    """A device, or none of this."""
    if os.environ.get("SNN_CUDA"):
        pytest.skip("SNN_CUDA names another device")
    reason = cuda_choice.absent()
    if reason is not None:
        pytest.skip(reason)


pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_the_host(name: str) -> None:
    agree(*MODELS[name](), rtol=1e-8)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_curves_are_those_of_the_host(optimizer: str) -> None:
    source = text(RECURRENT, more="clip = 0.5").replace("adam(lr = 0.01)", optimizer)
    y = np.random.default_rng(2).uniform(0, 1, (20, 3))
    for precision, rel in (("float64", 1e-8), ("float32", 1e-3)):
        nets = [network(source, target, precision) for target in (HOST, "cuda")]
        first, second = ([epoch.loss for epoch in net.train(images(20, 6), y, epochs=3).epochs] for net in nets)
        assert np.allclose(first, second, rtol=rel)


def test_a_training_is_the_same_again() -> None:
    y = np.random.default_rng(2).uniform(0, 1, (20, 3))
    curves = []
    for _ in range(2):
        net = network(text(RECURRENT), "cuda", "float32")
        curves.append([epoch.loss for epoch in net.train(images(20, 6), y, epochs=3).epochs])
    assert curves[0] == curves[1]


def test_weights_are_shared_through_dlpack() -> None:
    cupy = pytest.importorskip("cupy")
    net = network(text(MLP), "cuda")
    weight = net.weights["h->out.x.w"]
    shared = cupy.from_dlpack(weight)
    weight[...] = 0
    assert float(abs(shared).sum()) == 0.0


def test_training_keeps_step_with_large_batches() -> None:
    """Sizes at which every multiprocessor has work; a mistake in grid or stride shows here alone."""
    lines = MLP.replace("h[9]", "h[700]")
    x, y = np.random.default_rng(1).uniform(0, 1, (512, 300)), np.zeros((512, 3))
    ours, theirs = (network(text(lines, size=300), target, "float64") for target in ("cuda", HOST))
    (loss, made), (expected, wanted) = ours.grad(x, y), theirs.grad(x, y)
    assert loss == pytest.approx(expected, rel=1e-9)
    for name, value in made.items():
        assert np.allclose(value.get(), wanted[name], rtol=1e-7, atol=1e-9), name  # type: ignore[attr-defined]
