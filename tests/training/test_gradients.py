"""Gradients of whole networks against an independent automatic differentiation, and against published numbers."""

from __future__ import annotations

from typing import Any, Literal

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad
from autograd.extend import defvjp, primitive

from tests.targets import TARGETS

from .networks import NEURONS, READOUT, images, network, text

MLP = """
population h[9]: Unit
population out[3]: Readout
connect image -> h.x: dense(bias = true), w = uniform(-0.2, 0.5)
connect h -> out.x: dense(bias = true), w = uniform(-0.5, 0.5)
"""
RECURRENT = MLP + "connect h -> h.x: dense, w = uniform(-0.2, 0.3)\n"
TWO = """
population h[9]: Unit
population g[5]: Unit
population out[3]: Readout
connect image -> h.x: dense, w = uniform(-0.2, 0.5)
connect h -> g.x: dense, w = uniform(-0.2, 0.5)
connect image -> g.x: dense, w = uniform(0, 0.2)
connect g -> h.x: dense, w = uniform(-0.2, 0.3), delay = 2
connect h -> out.x: dense, w = uniform(-0.5, 0.5)
connect g -> out.x: dense, w = uniform(-0.5, 0.5)
"""

ALIKE = TWO.replace("g[5]", "g[9]")  # of one neuron and one size: what is kept of one must not be taken for the other's


@primitive  # type: ignore[untyped-decorator]
def spike(margin: Any) -> Any:
    return (margin > 0).astype(np.float64)


defvjp(spike, lambda answer, margin: lambda bar: bar / (1 + (np.pi * margin) ** 2))


def independent(weights: dict[str, Any], x: Any, y: Any, steps: int, beta: float = 0.8) -> Any:
    """The same networks, written by hand for autograd: the mean square of the readout's mean against y."""
    w = weights
    samples = x.shape[0]
    u, s = anp.zeros((samples, 9)), [anp.zeros((samples, 9))]
    two = "g.beta" in w
    size = w["g->h.x.w"].shape[0] if two else 0
    ug, sg = anp.zeros((samples, size)), [anp.zeros((samples, size))] * 2
    v, total = anp.zeros((samples, 3)), 0
    for t in range(steps):
        now = x if x.ndim == 2 else x[:, t]
        arrived = anp.dot(now, w["image->h.x.w"]) + w.get("image->h.x.bias", 0)
        if "h->h.x.w" in w:
            arrived = arrived + anp.dot(s[-1], w["h->h.x.w"])
        if two:
            arrived = arrived + anp.dot(sg[-2], w["g->h.x.w"])
        u = w["h.beta"] * u + arrived - s[-1]
        s.append(spike(u - 1.0))
        out = anp.dot(s[-1], w["h->out.x.w"]) + w.get("h->out.x.bias", 0)
        if two:
            ug = w["g.beta"] * ug + anp.dot(s[-1], w["h->g.x.w"]) + anp.dot(now, w["image->g.x.w"]) - sg[-1]
            sg.append(spike(ug - 1.0))
            out = out + anp.dot(sg[-1], w["g->out.x.w"])
        v = beta * v + out
        total = total + v
    return anp.mean((total / steps - y) ** 2)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("lines", [MLP, RECURRENT, TWO, ALIKE], ids=["mlp", "recurrent", "two", "alike"])
@pytest.mark.parametrize("changing", [False, True], ids=["constant", "changing"])
@pytest.mark.parametrize("checkpoint", ["", "checkpoint = 3"], ids=["whole", "segments"])
def test_against_autograd(target: Literal["c", "numpy"], lines: str, changing: bool, checkpoint: str) -> None:
    net = network(text(lines, more=checkpoint), target)
    for name, value in net.weights.items():
        if name.endswith("bias"):
            value[...] = np.linspace(-0.1, 0.1, value.size)
    x, y = images(5, 6, 7 if changing else None), np.arange(15.0).reshape(5, 3) / 10
    loss, found = net.grad(x, y)
    weights = {name: np.array(value) for name, value in net.weights.items()}
    plain: dict[str, Any] = {name: value if value.shape else float(value) for name, value in weights.items()}
    assert loss == pytest.approx(float(independent(plain, x, y, 7)), rel=1e-12)
    expected = grad(independent)(plain, x, y, 7)
    assert set(found) == set(expected)
    for name, value in found.items():
        assert np.allclose(value, expected[name], rtol=1e-10, atol=1e-12), name
        assert np.any(value != 0), name


@pytest.mark.parametrize("target", TARGETS)
def test_neurons_that_know_their_number(target: Literal["c", "numpy"]) -> None:
    """``index`` is the number in the population, whatever the sample: as a parameter of each neuron says it."""
    known = NEURONS.replace("+ x - theta", "+ x*(1 + 0.1*index + position[0]/9) - theta", 1)
    given = NEURONS.replace("+ x - theta", "+ x*(1 + 0.1*k + k/9) - theta", 1)
    given = given.replace("    param theta", "    param k = index\n    param theta", 1)
    x, y = images(5, 6, 7), np.zeros((5, 3))
    (loss, found), (other, expected) = (network(text(RECURRENT, neurons=neurons), target).grad(x, y) for neurons in (known, given))
    assert loss == pytest.approx(other, rel=1e-12)
    for name, value in found.items():
        assert np.allclose(value, expected[name], rtol=1e-10, atol=1e-12), name


STBP = """
neuron Cell:
    param k_tau = 0.5
    param theta = 1
    input x = 0
    state u = 0
    u[n] = k_tau*u[n-1]*(1 - spike[n-1]) + x
    spike when u > theta
"""


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("reset", "expected"), [("through", 3.6056875), ("detach", 5.0)])
def test_golden_of_wu(target: Literal["c", "numpy"], reset: str, expected: float) -> None:
    """Wu et al. 2018 with the rectangular surrogate of width 1: one neuron, a constant input, four steps (catalogue of figures, G6)."""
    lines = "population out[1]: Cell\nconnect image -> out.x: dense, w = 0.7"
    source = text(
        lines, size=1, steps=4, loss="sum(out.spikes)", surrogate=f"rectangle(alpha = 1), reset = {reset}", neurons=STBP
    )
    net = network(source, target)
    loss, found = net.grad(np.ones((1, 1)), np.zeros(1))
    assert loss == 2.0
    assert found["image->out.x.w"].item() == pytest.approx(expected, rel=1e-9)


CONVOLUTION = f"""
neuron Pixel:
    input x = 0
    state u = 0
    u[n] = 0.8*u[n-1] + x
    spike when u > 1
{READOUT}
network Net:
    input image[2, 5, 5]
    image -> conv2d(3, kernel = 3, stride = 2, padding = 1), w = uniform(-0.2, 0.6) -> h: Pixel
          -> dense(2), w = uniform(-0.5, 0.5) -> out: Readout

train Net:
    data = mine
    steps = 4
    loss = mse(mean(out.v), label)
    gradient = surrogate(atan(alpha = 2))
    optimizer = sgd(lr = 0.1)
"""


@pytest.mark.parametrize("target", TARGETS)
def test_convolution_against_autograd(target: Literal["c", "numpy"]) -> None:
    net = network(CONVOLUTION, target)
    x, y = np.random.default_rng(4).uniform(0, 1, (3, 2, 5, 5)), np.zeros((3, 2))
    loss, found = net.grad(x, y)
    names = {name.split("->")[0]: name for name in found}
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = [padded[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].reshape(3, 18) for i in range(3) for j in range(3)]

    def by_hand(weights: dict[str, Any]) -> Any:
        kernel = anp.reshape(weights["image"], (3, 18))
        arrived = anp.concatenate([anp.dot(w, kernel.T)[:, :, None] for w in windows], axis=2).reshape(3, 27)
        u, v, total = anp.zeros((3, 27)), anp.zeros((3, 2)), 0
        for _ in range(4):
            u = 0.8 * u + arrived
            v = 0.8 * v + anp.dot(spike(u - 1.0), anp.reshape(weights["h"], (27, 2)))
            total = total + v
        return anp.mean((total / 4 - y) ** 2)

    weights = {key: np.array(net.weights[name]).reshape(-1) for key, name in names.items()}
    assert loss == pytest.approx(float(by_hand(weights)), rel=1e-12)
    for key, expected in grad(by_hand)(weights).items():
        assert np.allclose(found[names[key]].reshape(-1), expected, rtol=1e-10, atol=1e-12), key
