"""Sums and means over a population in training, against an independent automatic differentiation; what of them is refused."""

from __future__ import annotations

from typing import Any, Literal

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad

from snnlang.diagnostics import SnnError
from tests.targets import TARGETS

from .networks import images, network, text
from .test_gradients import spike

STEPS = 9
HEAD = """
neuron Coupled:
    trainable param k = 0.3
    input x = 0
    trainable state v = 0.2
    10 ms*dv/dt = -v + x + k*(all.mean(v) - v)
    spike when v > 0.2
    on spike: v = 0

neuron Inhibited:
    trainable param g = 0.1
    input x = 0
    state a = 0
    state v = 0
    a[n] = 0.5*a[n-1] + spike[n-1]
    v[n] = 0.9*v[n-1] + x - 0.2*all.mean(a[n-1]) - g*all.sum(v[n-1])
    spike when v > 1

neuron Softest:
    input x = 0
    state v = 0
    v[n] = 0.9*v[n-1] + x
    spike when v > {now}
"""


def coupled(w: Any, x: Any, y: Any) -> Any:
    v, total = w["out.v"] + anp.zeros((x.shape[0], 4)), 0.0
    rate = (1 + w["out.k"])/10
    for step in range(STEPS):
        held = anp.dot(x[:, step], w["image->out.x.w"]) + w["out.k"]*anp.mean(v, 1, keepdims=True)
        v = v*anp.exp(-rate) + held/(1 + w["out.k"])*(1 - anp.exp(-rate))
        fired = spike(v - 0.2)
        v = (1 - fired)*v
        total = total + v
    return anp.mean((total/STEPS - y)**2)


def inhibited(w: Any, x: Any, y: Any) -> Any:
    v, a, s, total = (anp.zeros((x.shape[0], 4)) for _ in range(4))
    for step in range(STEPS):
        arrived = anp.dot(x[:, step], w["image->out.x.w"])
        v, a = (
            0.9*v + arrived - 0.2*anp.mean(a, 1, keepdims=True) - w["out.g"]*anp.sum(v, 1, keepdims=True),
            0.5*a + s,
        )
        s = spike(v - 1.0)
        total = total + v
    return anp.mean((total/STEPS - y)**2)


def source(neuron: str, more: str = "", now: str = "1") -> str:
    line = f"population out[4]: {neuron}\nconnect image -> out.x: dense, w = uniform(0.3, 0.9)"
    return text(line, size=3, steps=STEPS, more=more, neurons=HEAD.replace("{now}", now))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("checkpoint", ["", "checkpoint = 4"], ids=["whole", "segments"])
@pytest.mark.parametrize(("neuron", "independent"), [("Coupled", coupled), ("Inhibited", inhibited)])
def test_against_autograd(neuron: str, independent: Any, checkpoint: str, target: Literal["c", "numpy"]) -> None:
    net = network(source(neuron, ("dt = 1 ms\n" if neuron == "Coupled" else "") + checkpoint), target)
    x, y = images(5, 3, STEPS, seed=5), np.full((5, 4), 0.1)
    plain = {name: np.array(value) if value.shape else float(value) for name, value in net.weights.items()}
    loss, found = net.grad(x, y)
    assert loss == pytest.approx(float(independent(plain, x, y)), rel=1e-11)
    expected = grad(independent)(plain, x, y)
    assert set(found) == set(expected)
    for name, value in found.items():
        assert np.any(value != 0), name
        assert np.allclose(value, expected[name], rtol=1e-9, atol=1e-12), name


@pytest.mark.parametrize("now", ["1 + 0.1*all.mean(v)", "all.max(v)", "0.5*all.sum(x)"])
def test_what_is_of_this_step_is_refused(now: str) -> None:
    with pytest.raises(SnnError) as caught:
        network(source("Softest", now=now))
    assert caught.value.diagnostics[-1].code == "E750"
    assert "of values of this very step" in str(caught.value)
    assert "test.snn:" in str(caught.value)
