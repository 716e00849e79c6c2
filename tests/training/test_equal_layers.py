"""Layers of one model and one size: what each keeps for the way back is its own. Against an independent automatic differentiation."""

from __future__ import annotations

from typing import Any, Literal

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad

from tests.targets import TARGETS

from .networks import images, network, text
from .test_gradients import spike

DEEP = """
population h[9]: Unit
population g[9]: Unit
population f[9]: Unit
population out[3]: Readout
connect image -> h.x: dense(bias = true), w = uniform(-0.2, 0.5)
connect h -> g.x: dense(bias = true), w = uniform(-0.2, 0.5)
connect g -> f.x: dense, w = uniform(-0.2, 0.5)
connect f -> out.x: dense, w = uniform(-0.5, 0.5)
"""
RECURRENT = DEEP + "connect g -> g.x: dense, w = uniform(-0.2, 0.3)\n"
LAYERS = "hgf"


def independent(weights: dict[str, Any], x: Any, y: Any, steps: int, attached: bool) -> Any:
    """The same chain, written by hand: the mean square of the readout's mean against y."""
    samples = x.shape[0]
    u = [anp.zeros((samples, 9))] * 3
    s = [anp.zeros((samples, 9))] * 3
    v, total = anp.zeros((samples, 3)), 0
    for t in range(steps):
        sent, before = (x if x.ndim == 2 else x[:, t]), "image"
        for k, layer in enumerate(LAYERS):
            arrived = anp.dot(sent, weights[f"{before}->{layer}.x.w"]) + weights.get(f"{before}->{layer}.x.bias", 0)
            if f"{layer}->{layer}.x.w" in weights:
                arrived = arrived + anp.dot(s[k], weights[f"{layer}->{layer}.x.w"])
            # `1.0*(…)` of plain numbers is the same spike without its past: a detached reset
            reset = s[k] if attached else 1.0 * (getattr(u[k], "_value", u[k]) > 1.0)
            u[k] = weights[f"{layer}.beta"] * u[k] + arrived - reset
            s[k] = spike(u[k] - 1.0)
            sent, before = s[k], layer
        v = 0.8 * v + anp.dot(sent, weights["f->out.x.w"])
        total = total + v
    return anp.mean((total / steps - y) ** 2)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("lines", [DEEP, RECURRENT], ids=["chain", "recurrent"])
@pytest.mark.parametrize("changing", [False, True], ids=["constant", "changing"])
@pytest.mark.parametrize("checkpoint", ["", "checkpoint = 3"], ids=["whole", "segments"])
@pytest.mark.parametrize("reset", ["", ", reset = detach"], ids=["attached", "detached"])
def test_against_autograd(target: Literal["c", "numpy"], lines: str, changing: bool, checkpoint: str, reset: str) -> None:
    source = text(lines, more=checkpoint).replace("surrogate(atan(alpha = 2))", f"surrogate(atan(alpha = 2){reset})")
    net = network(source, target)
    x, y = images(5, 6, 7 if changing else None), np.arange(15.0).reshape(5, 3) / 10
    loss, found = net.grad(x, y)
    plain: dict[str, Any] = {n: np.array(v) if np.shape(v) else float(v) for n, v in net.weights.items()}
    assert loss == pytest.approx(float(independent(plain, x, y, 7, not reset)), rel=1e-12)
    expected = grad(independent)(plain, x, y, 7, not reset)
    assert set(found) == set(expected)
    for name, value in found.items():
        assert np.allclose(value, expected[name], rtol=1e-10, atol=1e-12), name
        assert np.any(value != 0), name
