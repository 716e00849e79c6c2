"""Where gradients end or take another way, against an independent differentiation: resets that are detached, `detach` in an equation, time
that is cut into pieces, and what stands for the derivative of an event (`with gradient` of the neuron's own states)."""

from __future__ import annotations

from typing import Any, Literal

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad
from autograd.extend import defvjp, primitive

from tests.targets import TARGETS

from .networks import READOUT, images, network, text
from .test_gradients import spike


@primitive  # type: ignore[untyped-decorator]
def stopped(x: Any) -> Any:
    return x


defvjp(stopped, lambda answer, x: lambda bar: 0 * bar)


@primitive  # type: ignore[untyped-decorator]
def event(margin: Any, slope: Any) -> Any:
    return (margin > 0).astype(np.float64) + 0 * slope


defvjp(event, lambda answer, margin, slope: lambda bar: bar * slope, lambda answer, margin, slope: lambda bar: 0 * bar)

MODEL = """
neuron Unit:
    trainable param beta = 0.9 in (0, 1)
    trainable per_neuron param theta = 0.8
    input x = 0
    state u = 0
    state a = 0.1
    u[n] = beta*u[n-1] + x - {reset}
    a[n] = 0.7*a[n-1] + {fed}
    spike when u > theta + a[n-1] {gradient}
"""
LINES = """
population h[8]: Unit
population out[3]: Readout
connect image -> h.x: dense, w = uniform(-0.2, 0.6)
connect h -> out.x: dense, w = uniform(-0.5, 0.5)
connect h -> h.x: dense, w = uniform(-0.3, 0.3)
"""
#: Case -> the reset, what is fed back, `with gradient`, the surrogate, other lines.
CASES: dict[str, tuple[str, str, str, str, str]] = {
    "plain": ("theta*spike[n-1]", "0.1*spike", "", "atan(alpha = 2)", ""),
    "resets detached": ("theta*spike[n-1]", "0.1*spike", "", "atan(alpha = 2), reset = detach", ""),
    "detach in an equation": ("theta*detach(spike[n-1])", "0.1*detach(u)", "", "atan(alpha = 2)", ""),
    "own states": ("theta*spike[n-1]", "0.1*spike", "with gradient (0.5 + a[n-1])*exp(-abs(u - theta))", "triangle(alpha = 1)", ""),
    "cut after 3 steps": ("theta*spike[n-1]", "0.1*spike", "", "atan(alpha = 2)", "truncate = 3"),
    "cut after 1 step": ("theta*spike[n-1]", "0.1*spike", "", "atan(alpha = 2)", "truncate = 1"),
}


def by_hand(w: dict[str, Any], x: Any, y: Any, case: str) -> Any:
    beta, theta = w["h.beta"], w["h.theta"]
    u, s, a, v, total = anp.zeros((5, 8)), anp.zeros((5, 8)), 0.1 * anp.ones((5, 8)), anp.zeros((5, 3)), 0
    cut = {"cut after 3 steps": 3, "cut after 1 step": 1}.get(case, 99)
    for step in range(7):
        if step % cut == 0:
            u, s, a, v = (stopped(value) for value in (u, s, a, v))
        inside = stopped(s) if case in ("resets detached", "detach in an equation") else s
        u = beta * u + anp.dot(x[:, step], w["image->h.x.w"]) + anp.dot(s, w["h->h.x.w"]) - theta * inside
        margin = u - theta - a
        if case == "own states":
            s = event(margin, (0.5 + a) * anp.exp(-anp.abs(u - theta)))
        else:
            s = spike(margin)
        fed = stopped(u) if case == "detach in an equation" else stopped(s) if case == "resets detached" else s
        a = 0.7 * a + 0.1 * fed
        v = 0.8 * v + anp.dot(s, w["h->out.x.w"])
        total = total + v
    return anp.mean((total / 7 - y) ** 2)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", CASES)
def test_against_autograd(case: str, target: Literal["c", "numpy"]) -> None:
    reset, fed, gradient, surrogate, more = CASES[case]
    model = MODEL.format(reset=reset, fed=fed, gradient=gradient)
    net = network(text(LINES, neurons=model + READOUT, surrogate=surrogate, more=more), target)
    x, y = images(5, 6, 7), np.arange(15.0).reshape(5, 3) / 10
    loss, found = net.grad(x, y)
    weights: dict[str, Any] = {name: np.array(w) if w.shape else float(w) for name, w in net.weights.items()}
    assert loss == pytest.approx(float(by_hand(weights, x, y, case)), rel=1e-12)
    expected = grad(by_hand)(weights, x, y, case)
    assert set(found) == set(expected)
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-9, atol=1e-12, err_msg=name)
        assert np.any(value != 0) or (case == "cut after 1 step" and name == "h.beta"), name
