"""Populations that are the same in every step, computed once: whoever reads them over time, folded readouts among them, counts every step.

Compared with the network written by hand, and its gradients with differences of that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.targets import TARGETS

from .networks import READOUT, images, network, text

PLAIN = """
neuron Plain:
    trainable param gain = 1.3 in [0, 9]
    input x = 0
    output tanh(gain*x)
"""
NEURONS = PLAIN + READOUT
ONE = """
population a[5]: Plain
population out[3]: Readout
connect first = image -> a.x: dense(bias = true), w = normal(0, 0.5)
connect second = a -> out.x: dense(bias = true), w = normal(0, 0.5)
"""
TWO = """
population a[5]: Plain
population b[4]: Plain
population out[3]: Readout
connect first = image -> a.x: dense(bias = true), w = normal(0, 0.5)
connect middle = a -> b.x: dense, w = normal(0, 0.5)
connect second = b -> out.x: dense(bias = true), w = normal(0, 0.5)
connect skip = a -> out.x: dense, w = normal(0, 0.5)
"""
STEPS = 7
READ = {"mean": lambda v: v.mean(0), "end": lambda v: v[-1], "sum": lambda v: v.sum(0), "max": lambda v: v.max(0)}


def by_hand(values: dict[str, Any], x: Any, reading: str) -> Any:
    """What is read of the readout, step by step."""
    a = np.tanh(values["a.gain"] * (x @ values["first.w"] + values["first.bias"]))
    arrives = a if "middle.w" not in values else np.tanh(values["b.gain"] * (a @ values["middle.w"]))
    arrives = arrives @ values["second.w"] + values["second.bias"]
    if "skip.w" in values:
        arrives = arrives + a @ values["skip.w"]
    v, steps = np.zeros_like(arrives), []
    for _ in range(STEPS):
        v = 0.8 * v + arrives
        steps.append(v)
    return READ[reading](np.array(steps))


@pytest.mark.parametrize("more", ["", "checkpoint = 3", "truncate = 99"])
@pytest.mark.parametrize("lines", [ONE, TWO])
@pytest.mark.parametrize("reading", list(READ))
@pytest.mark.parametrize("target", TARGETS)
def test_every_step_counts(target: Any, reading: str, lines: str, more: str) -> None:
    net = network(text(lines, loss=f"mse({reading}(out.v), label)", neurons=NEURONS, steps=STEPS, more=more), target)
    x, y = images(9, 6), np.random.default_rng(0).normal(size=(9, 3))
    loss, gradients = net.grad(x, y)
    values = {name: value.copy() for name, value in net.weights.items()}

    def hand(named: dict[str, Any]) -> float:
        return float(((by_hand(named, x, reading) - y) ** 2).mean())

    assert loss == pytest.approx(hand(values), rel=1e-10)
    for name, gradient in gradients.items():
        for place in list(np.ndindex(gradient.shape))[:6]:
            moved = []
            for way in (1e-6, -1e-6):
                other = {**values, name: values[name].copy()}
                other[name][place] += way
                moved.append(hand(other))
            assert gradient[place] == pytest.approx((moved[0] - moved[1]) / 2e-6, rel=1e-5, abs=1e-8), (name, place)
    (found,) = net.forward(x).values()
    if reading != "max":
        np.testing.assert_allclose(found, by_hand(values, x, reading), rtol=1e-10)


@pytest.mark.parametrize("target", TARGETS)
def test_a_network_goes_on_after_another_batch(target: Any) -> None:
    """Buffers of another size, and passes with and without a way back, count the same."""
    net = network(text(ONE, loss="mse(end(out.v), label)", neurons=NEURONS, steps=STEPS), target)
    x, y = images(9, 6), np.zeros((9, 3))
    for rows in (9, 2, 9):
        net.grad(x[:rows], y[:rows])
        (found,) = net.forward(x[:rows]).values()
        np.testing.assert_allclose(found, by_hand(net.weights, x[:rows], "end"), rtol=1e-10)
