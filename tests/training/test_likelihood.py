"""Stochastic neurons trained by the likelihood of spike trains (Pfister et al. 2006) and by the score function (REINFORCE, Williams 1992).

The escape rate or the probability is a definition of the neuron, smooth in weights; a loss reads it and is the logarithm of a likelihood.
"""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import snnlang
from snnlang.diagnostics import SnnError
from tests.targets import CUDA, TARGETS

from .networks import images, network, text


@pytest.fixture(autouse=True)
def shim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_CUDA", "shim")


STEPS, D, BETA = 6, 0.25, 0.8
PROBABLE = """
func none(x) = 0*x

neuron Sigmoid:
    param beta = 0.8
    param D = 0.25
    input x = 0
    input desired = 0
    state v = 0
    h[n] = beta*v[n-1] + x
    p = sigmoid((h - 1)/D)
    silent = 1 - p
    spike with probability p
    v[n] = h*(1 - desired)

neuron Escape(Sigmoid):
    rho = 20 Hz*exp((h - 1)/D)
    override p = 1 - exp(-rho*dt)
    override silent = exp(-rho*dt)
    override spike with rate rho

neuron Hidden:
    param D = 0.25
    input x = 0
    p = sigmoid((x - 1)/D)
    spike with probability p

neuron Readout:
    input x = 0
    state v = 0
    v[n] = v[n-1] + x
    output v
"""
SUPERVISED = """
input desired[3]
population out[3]: {neuron}
connect image -> out.x: dense, w = uniform(-0.3, 0.9)
connect wanted = desired -> out.desired: one_to_one, w = 1
"""
LIKELIHOOD = "-sum(sum(desired*log(out.p) + (1 - desired)*log(out.silent), over = neurons))"


def membranes(w: Any, x: Any, desired: Any) -> tuple[Any, Any]:
    """(h, eps), (steps, samples, neurons) and with the weight's sender before the neuron: what the wanted spikes left of each input."""
    h, eps = [], []
    v, trace = np.zeros(desired.shape[::2]), np.zeros((desired.shape[0], x.shape[2], desired.shape[2]))
    for step in range(x.shape[1]):
        now = BETA * v + x[:, step] @ w
        trace = BETA * trace + x[:, step, :, None]
        h.append(now)
        eps.append(trace.copy())
        v = now * (1 - desired[:, step])
        trace = trace * (1 - desired[:, step, None])
    return np.stack(h), np.stack(eps)


@pytest.mark.parametrize("target", [*TARGETS, CUDA])
@pytest.mark.parametrize("neuron", ["Sigmoid", "Escape"])
def test_golden_of_pfister(neuron: str, target: Literal["c", "numpy"]) -> None:
    """d log L/dw = sum over the steps of (S - p)/D*eps for a sigmoid probability, e^-rho*rho/(D*p)*eps or -rho/D*eps for a rate."""
    source = text(SUPERVISED.format(neuron=neuron), steps=STEPS, loss=LIKELIHOOD, neurons=PROBABLE, more="freeze wanted.w\ndt = 1 ms")
    net = network(source, target)
    x = 0.3 * images(4, 6, STEPS)
    desired = (np.random.default_rng(2).uniform(size=(4, STEPS, 3)) < 0.3) * 1.0
    loss, found = net.grad({"image": x, "desired": desired}, desired)
    h, eps = membranes(net.weights["image->out.x.w"], x, desired)
    s = desired.transpose(1, 0, 2)
    rho = 0.02 * np.exp((h - 1) / D)
    p = 1 / (1 + np.exp(-(h - 1) / D)) if neuron == "Sigmoid" else 1 - np.exp(-rho)
    silent = 1 - p if neuron == "Sigmoid" else np.exp(-rho)
    slope = (s - p) / D if neuron == "Sigmoid" else np.where(s > 0, np.exp(-rho) * rho / (D * p), -rho / D)
    assert loss == pytest.approx(-float(np.sum(s * np.log(p) + (1 - s) * np.log(silent))) / 4, rel=1e-10)
    expected = -np.einsum("tbn,tbin->in", slope, eps) / 4
    np.testing.assert_allclose(found["image->out.x.w"], expected, rtol=1e-9, atol=1e-12)


HIDDEN = """
population h[3]: Hidden
population out[2]: Readout
connect image -> h.x: dense, w = uniform(0.1, 0.8)
connect h -> out.x: dense, w = uniform(-1, 1)
"""
COST = "mean(square(end(out.v) - label), over = neurons)"
SCORE = "sum(sum(detach(h.spikes)*log(h.p) + (1 - detach(h.spikes))*log(1 - h.p)), over = neurons)"


def expectation(w: Any, readout: Any, x: Any, y: Any) -> float:
    """The mean cost of all 2^3 outcomes of one step, each by its probability."""
    p, total = 1 / (1 + np.exp(-(x @ w - 1) / D)), 0.0
    for outcome in product((0.0, 1.0), repeat=3):
        s = np.array(outcome)
        total += float(np.prod(np.where(s > 0, p, 1 - p)) * np.mean((s @ readout - y) ** 2))
    return total


@pytest.mark.parametrize("target", TARGETS)
def test_score_function(target: Literal["c", "numpy"]) -> None:
    """(cost - baseline) times the gradient of the logarithm of what was drawn, over many draws, is the gradient of the expected cost
    by enumeration (catalogue G1, B) within 5 standard errors; the surrogate, which would add to it, is 0."""
    loss = f"{COST} + detach({COST} - 0.3)*{SCORE}"
    source = text(HIDDEN, size=4, steps=1, loss=loss, surrogate="none()", neurons=PROBABLE)
    net = network(source, target)
    x, y = np.array([0.9, 0.4, 0.7, 0.2]), np.array([0.5, -0.3])
    w, readout = net.weights["image->h.x.w"].copy(), net.weights["h->out.x.w"].copy()
    found = []
    for _ in range(40):
        gradient = net.grad(np.tile(x, (1000, 1)), np.tile(y, (1000, 1)))[1]
        found.append(np.concatenate([np.ravel(gradient[name]) for name in ("image->h.x.w", "h->out.x.w")]).copy())
    expected, small = [], 1e-5
    for value in (w, readout):
        for place in np.ndindex(value.shape):
            kept = value[place]
            ends = []
            for sign in (1, -1):
                value[place] = kept + sign * small
                ends.append(expectation(w, readout, x, y))
            value[place] = kept
            expected.append((ends[0] - ends[1]) / (2 * small))
    mean, error = np.mean(found, 0), np.std(found, 0, ddof=1) / np.sqrt(len(found))
    assert np.all(np.abs(mean - expected) < 5 * error + 1e-9)
    assert np.all(error < 0.02)
    assert float(np.abs(expected).max()) > 0.1


def test_the_page() -> None:
    """The network of docs/training.md learns spike trains that it is shown."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text()
    shown = next(block for block in re.findall(r"```snn\n(.*?)```", page, re.DOTALL) if "neuron Stochastic" in block)
    random = np.random.default_rng(1)
    x, spikes = (random.uniform(size=(8, 20, 64)) < 0.1) * 1.0, (random.uniform(size=(8, 20, 10)) < 0.08) * 1.0
    net = snnlang.load(shown).network(target="numpy")
    history = net.train(np.concatenate([x, spikes], 2), spikes, epochs=30)
    assert history.epochs[-1].loss < 0.6 * history.epochs[0].loss


@pytest.mark.parametrize("target", TARGETS)
def test_straight_through(target: Literal["c", "numpy"]) -> None:
    """`x + detach(floor(x) - x)` has the value of floor(x) and the gradient of x; floor itself has none."""
    neurons = "neuron Steps:\n    input x = 0\n    state v = 0\n    v[n] = {}\n    output v\n"
    found = {}
    for name, equation in {"floor": "floor(3*x)", "through": "3*x + detach(floor(3*x) - 3*x)"}.items():
        source = text("image -> dense(4), w = uniform(0, 1) -> out: Steps", loss="sum(out.v)", neurons=neurons.format(equation))
        net = network(source, target)
        found[name] = net.grad(images(5, 6), np.zeros(5))
    assert found["floor"][0] == found["through"][0]
    assert not np.any(found["floor"][1]["image->out.x.w"])
    expected = np.repeat(images(5, 6).mean(0)[:, None], 4, 1) * 7 * 3 / 4
    np.testing.assert_allclose(found["through"][1]["image->out.x.w"], expected, rtol=1e-10)


def test_nothing_is_left_to_train() -> None:
    lines = HIDDEN.replace("connect image", "connect a = image").replace("connect h", "connect b = h")
    source = text(lines, size=4, steps=1, loss=COST, neurons=PROBABLE, more="freeze a.w, b.w")
    net = network(source)
    assert np.isfinite(net.forward(np.ones((2, 4)))["out.v:end"]).all()
    with pytest.raises(SnnError, match="nothing is left to train") as caught:
        net.train(np.ones((4, 4)), np.zeros((4, 2)))
    assert caught.value.diagnostics[-1].code == "E787"
    with pytest.raises(SnnError, match="nothing can be learnt from it"):
        network(text(HIDDEN, size=4, steps=1, loss="mean(detach(mean(out.v)), over = neurons)", neurons=PROBABLE))


@pytest.mark.parametrize(("gradient", "remedy"), [("likelihood()", "log(1 - out.p)"), ("timing()", "first_spike(…)")])
def test_other_gradients_name_the_loss_to_write(gradient: str, remedy: str) -> None:
    source = text(HIDDEN, size=4, steps=1, loss=COST, neurons=PROBABLE).replace("surrogate(atan(alpha = 2))", gradient)
    with pytest.raises(SnnError) as caught:
        network(source)
    found = next(d for d in caught.value.diagnostics if d.code == "E624")
    assert remedy in found.help[0]
