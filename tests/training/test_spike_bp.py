"""Spike-based backpropagation (Lee et al. 2020): published figures, and the method once more in plain NumPy."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from tests.targets import TARGETS

from .networks import network

Target = Literal["c", "numpy"]

CHAIN = """
from stdlib.neurons import SpikeBP, SpikeBPReadout

network Net:
    input image[{inputs}]
    image -> dense({hidden}), w = {first} -> h: SpikeBP(leak = {leak})
          -> dense({outputs}), w = {second} -> out: SpikeBPReadout(leak = {leak})

train Net:
    data = mine
    steps = {steps}
    loss = {loss}
    optimizer = adam(lr = 0.01)
    seed = 5
    {more}
"""
ONE = {
    "inputs": 1, "hidden": 1, "outputs": 1, "first": "0.3", "second": "0.5", "steps": 20, "loss": "square(end(out.v)/20 - 1)", "more": "",
}  # fmt: skip


def value(net: Any, label: str) -> float:
    found = net.learner.readout(label)
    engine = net.learner.make_engine((found,), frozenset({"image"}), False)
    return float(np.asarray(engine.forward({"image": np.ones((1, 1))}, keep=False)[label]).reshape(-1)[0])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("leak", "out", "trace", "factor", "second", "first"),
    [(0.99, 0.114374, 4.621183, 0.990711, -0.442813, -0.877399), (0.9, 0.057472, 2.554299, 0.946176, -0.471264, -0.891797)],
)
def test_golden(target: Target, leak: float, out: float, trace: float, factor: float, second: float, first: float) -> None:
    """A chain of three, input 1 for 20 steps (catalogue of figures, G8)."""
    net = network(CHAIN.format(**ONE, leak=leak), target)
    assert value(net, "out.v:end") / 20 == pytest.approx(out, abs=6e-7)
    assert value(net, "h.fading:end") == pytest.approx(trace, abs=6e-7)
    assert value(net, "h.count:end") == 5
    assert value(net, "h.spikes:sum") == 5
    assert 1 + np.log(leak) * trace / 5 == pytest.approx(factor, abs=6e-7)
    loss, found = net.grad(np.ones((1, 1)), np.zeros(1))
    assert loss == pytest.approx((out - 1) ** 2, abs=2e-6)
    assert found["h->out.x.w"].item() == pytest.approx(second, abs=6e-7)
    assert found["image->h.x.w"].item() == pytest.approx(first, abs=6e-7)


@pytest.mark.parametrize("target", TARGETS)
def test_a_neuron_that_never_fires_learns_nothing(target: Target) -> None:
    net = network(CHAIN.format(**{**ONE, "first": "0.001"}, leak=0.99), target)
    _, found = net.grad(np.ones((1, 1)), np.zeros(1))
    assert found["image->h.x.w"].item() == 0
    assert found["h->out.x.w"].item() == 0


def whole(first: Any, second: Any, x: Any, wanted: Any, leak: float) -> tuple[float, Any, Any]:
    """The loss sum((v[T]/T - wanted)^2), a mean over the samples, and its gradients; x is (samples, steps, inputs)."""
    samples, steps, _ = x.shape
    loss, one, two = 0.0, np.zeros_like(first), np.zeros_like(second)
    for sample in range(samples):
        m, v = np.zeros(first.shape[1]), np.zeros(second.shape[1])
        spikes = np.zeros((steps, first.shape[1]))
        for t in range(steps):
            m = m + x[sample, t] @ first
            spikes[t] = m > 1
            m = np.where(m > 1, 0, m) * leak
            v = leak * (v + spikes[t] @ second)
        error = v / steps - wanted[sample]
        loss += (error**2).sum() / samples
        back = 2 * error / steps / samples
        two += np.outer(spikes.sum(0), back)
        lag = np.arange(steps - 1, -1, -1)
        for j in range(first.shape[1]):
            fired = np.flatnonzero(spikes[:, j])
            trace = (leak ** lag[fired]).sum()
            if trace <= 1e-3:
                continue
            factor = 1 + np.log(leak) * trace / len(fired)
            since = 0
            for t in fired.tolist():  # a spike is owed to all that came in since the spike before
                one[:, j] += factor * (second[j] @ back) * x[sample, since : t + 1].sum(0)
                since = t + 1
    return loss, one, two


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("more", ["", "checkpoint = 7"], ids=["whole", "segments"])
def test_against_numpy(target: Target, more: str) -> None:
    source = CHAIN.format(
        inputs=6, hidden=8, outputs=3, first="normal(0.15, 0.3)", second="normal(0, 0.5)", steps=25, leak=0.95,
        loss="sum(mse(end(out.v)/25, label), over = neurons)", more=more,
    )  # fmt: skip
    net = network(source, target)
    rng = np.random.default_rng(3)
    x = (rng.uniform(0, 1, (4, 25, 6)) < 0.5).astype(float)
    wanted = rng.uniform(0, 1, (4, 3))
    loss, found = net.grad(x, wanted)
    weights = [np.array(net.weights[name]) for name in ("image->h.x.w", "h->out.x.w")]
    expected, first, second = whole(weights[0], weights[1], x, wanted, 0.95)
    assert loss == pytest.approx(expected, rel=1e-10)
    assert np.allclose(found["image->h.x.w"], first, rtol=1e-9, atol=1e-12)
    assert np.allclose(found["h->out.x.w"], second, rtol=1e-9, atol=1e-12)
    assert np.abs(first).max() > 1e-3
