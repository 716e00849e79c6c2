"""Gradients through the neurons of the library against finite differences.

With resets detached and a loss on the neuron's own state, spikes are constants as long as none comes or goes: then the gradient is the
plain derivative of what the forward pass computes, and finite differences of that pass are right. The step is small enough for that.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from snnlang.runtime.compiler import find

from .networks import images, network, text

TARGETS = ["numpy", pytest.param("c", marks=pytest.mark.skipif(find() is None, reason="no C compiler"))]

#: Neuron, the input that weights arrive at, the state that the loss reads with its unit, the weights.
NEURONS: list[tuple[str, str, str, str]] = [
    ("LIF", "I", "v", "uniform(0.1 nA, 2 nA)"),
    ("AdaptiveLIF", "I", "v", "uniform(0.1 nA, 2 nA)"),
    ("IF", "I", "v", "uniform(0.1 nA, 1 nA)"),
    ("SoftIF", "I", "v", "uniform(0.1 nA, 1 nA)"),
    ("QIF", "I", "v", "uniform(0.1 nA, 1 nA)"),
    ("EIF", "I", "v", "uniform(50 pA, 900 pA)"),
    ("AdEx", "I", "v", "uniform(50 pA, 900 pA)"),
    ("Izhikevich", "I", "v", "uniform(2 mV/ms, 12 mV/ms)"),
    ("HodgkinHuxley", "I", "v", "uniform(2 uA/cm^2, 12 uA/cm^2)"),
    ("CubaLIF", "I", "v", "uniform(2 mV, 12 mV)"),
    ("Theta", "I", "theta", "uniform(0.1, 1)"),
    ("ALIF", "x", "v", "uniform(0.1, 0.8)"),
    ("DLIF", "x", "v", "uniform(0.1, 0.8)"),
    ("SoftDLIF", "x", "v", "uniform(0.1, 0.8)"),
    ("DIF", "x", "v", "uniform(0.1, 0.8)"),
    ("HardDIF", "x", "v", "uniform(0.1, 0.8)"),
    ("DelayedLIF", "x", "v", "uniform(0.1, 0.8)"),
    ("DelayedHardLIF", "x", "v", "uniform(0.1, 0.8)"),
    ("EulerLIF", "x", "v", "uniform(0.1, 0.8)"),
    ("SoftEulerLIF", "x", "v", "uniform(0.1, 0.8)"),
    ("SumLIF", "x", "v", "uniform(0.1, 0.8)"),
    ("SoftSumLIF", "x", "v", "uniform(0.1, 0.8)"),
    ("LowPassLIF", "x", "v", "uniform(0.1, 0.8)"),
    ("SoftLowPassLIF", "x", "v", "uniform(0.1, 0.8)"),
    ("SecondOrderLIF", "x", "v", "uniform(0.1, 0.8)"),
    ("PSCLIF", "I", "u", "uniform(0.1, 0.8)"),
    ("CCNN", "S", "F", "uniform(0.1, 0.8)"),
    ("PCNN", "S", "F", "uniform(0.1, 0.8)"),
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("neuron", "where", "state", "weights"), NEURONS, ids=[case[0] for case in NEURONS])
def test_slopes_of_library_neurons(
    neuron: str, where: str, state: str, weights: str, target: Literal["c", "numpy"]
) -> None:
    source = text(
        f"population out[4]: {neuron}\nconnect image -> out.{where}: dense, w = {weights}",
        size=3,
        steps=8,
        loss=f"sum(out.{state})",
        surrogate="atan(alpha = 2), reset = detach",
        neurons=f"from stdlib.neurons import {neuron}\n",
    )
    net = network(source, target)
    x, y = images(2, 3, 8), np.zeros(2)
    (name,) = (name for name in net.weights if name.endswith(".w"))
    weight = net.weights[name]
    _, gradients = net.grad(x, y)
    found = np.array(gradients[name])
    start, direction = np.array(weight), np.random.default_rng(2).normal(size=weight.shape)
    h = 1e-5 * float(np.max(np.abs(start)))

    def loss(amount: float) -> float:
        weight[...] = start + amount * direction
        return net.grad(x, y)[0]

    slope = (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) / (12 * h)
    assert np.any(found != 0)
    assert float(np.sum(found * direction)) == pytest.approx(slope, rel=1e-6)
