"""Trainable initial states, initial states made of trained parameters, and time constants of single neurons: against finite differences."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import snnlang
from snnlang.diagnostics import SnnError
from snnlang.runtime.network import Network
from tests.targets import TARGETS

from .networks import images, network, text

READOUT = """
neuron Readout:
    param beta = 0.8
    input x = 0
    trainable state v = 0.2
    v[n] = beta*v[n-1] + x
    output v
"""
DIFFERENCE = """
neuron Smooth:
    trainable param beta = 0.7 in (0, 1)
    input x = 0
    trainable state u = 0.1*index
    u[n] = beta*u[n-1] + tanh(x - u[n-1]^2)
    output u
"""
MADE = """
neuron Smooth:
    trainable param beta = 0.7 in (0, 1)
    trainable per_neuron param start = 0.3
    input x = 0
    state u = start*beta + 0.1
    state w = uniform(0, 1)
    u[n] = beta*u[n-1] + tanh(x)*w[n-1]
    w[n] = 0.9*w[n-1] + 0.1*u[n-1]
    output u
"""
FAR = """
neuron Smooth:
    param beta = 0.7
    input x = 0
    trainable state u = 0.4
    u[n] = beta*u[n-1] - 0.2*u[n-2] + tanh(x)
    output u
"""
CONTINUOUS = """
neuron Smooth:
    trainable per_neuron param tau = 4 ms in (0.1 ms, inf)
    trainable param E = 0.3
    input x = 0
    trainable state u = 0.2
    state w = E
    tau*du/dt = E - u + x - w
    tau*dw/dt = u - w
    output u
"""
LINES = """
population h[4]: Smooth
population out[3]: Readout
connect image -> h.x: dense, w = normal(0, 0.5)
connect h -> out.x: dense(bias = true), w = normal(0, 0.5)
"""
AROUND = LINES + "connect h -> h.x: dense, w = normal(0, 0.2), delay = 1\n"


def differences(net: Network, x: Any, y: Any, step: float = 1e-6) -> dict[str, Any]:
    """Derivatives of the loss by every trained number, from losses alone."""
    made = {}
    for name, value in net.weights.items():
        found = np.zeros(value.shape)
        for place in np.ndindex(value.shape):
            kept, losses = float(value[place]), []
            for sign in (1, -1):
                value[place] = kept + sign * step
                net.learner.refresh()
                losses.append(net.learner.compare(net.forward(x), {"image": x, "label": y}, gradient=False).loss)
            value[place] = kept
            found[place] = (losses[0] - losses[1]) / (2 * step)
        net.learner.refresh()
        made[name] = found
    return made


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("more", ["", "checkpoint = 3"])
@pytest.mark.parametrize("neuron", [DIFFERENCE, MADE, FAR, CONTINUOUS], ids=["difference", "made", "far", "continuous"])
def test_against_finite_differences(neuron: str, more: str, target: Literal["c", "numpy"]) -> None:
    delay = " ms" if neuron is CONTINUOUS else ""
    lines = AROUND.replace("delay = 1", f"delay = 1{delay}")
    more += "\ndt = 1 ms" if neuron is CONTINUOUS else ""
    net = network(text(lines, size=3, neurons=neuron + READOUT, more=more), target)
    assert "out.v" in net.weights
    assert ("h.u" in net.weights) == (neuron is not MADE)
    x, y = images(2, 3, 7), images(2, 3)
    _, gradients = net.grad(x, y)
    for name, expected in differences(net, x, y).items():
        np.testing.assert_allclose(gradients[name], expected, rtol=2e-5, atol=1e-8, err_msg=name)
        assert np.any(expected != 0), name


def test_a_truncated_start() -> None:
    """With `truncate` an initial state learns from the first steps alone: those before the first cut."""
    cut = network(text(LINES, size=3, neurons=DIFFERENCE + READOUT, more="truncate = 3", loss="mse(end(out.v), label)"))
    _, gradients = cut.grad(images(2, 3, 7), images(2, 3))
    assert not np.any(gradients["h.u"])
    early = network(text(LINES, size=3, neurons=DIFFERENCE + READOUT, more="truncate = 3", loss="mse(mean(out.v), label)"))
    assert np.any(early.grad(images(2, 3, 7), images(2, 3))[1]["h.u"])


def test_they_are_learnt_saved_and_simulated(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    simulate = "\nsimulate Net as shown:\n    duration = 7\n    record out.v\n"
    of = snnlang.load(text(LINES, size=3, neurons=DIFFERENCE + READOUT) + simulate)
    net = of.network(target="numpy", precision="float64")
    before = net.weights["h.u"].copy()
    np.testing.assert_allclose(before, 0.1 * np.arange(4))
    net.train(images(16, 3), images(16, 3), epochs=3, out=tmp_path / "out")
    assert np.all(net.weights["h.u"] != before)
    shown = of.run("shown", target="numpy", weights=tmp_path / "out" / "last.safetensors")
    expected = net.learner.make_engine([net.learner.readout("out.v")], frozenset({"image"}), False)
    wanted = expected.forward({"image": np.zeros((1, 3))}, keep=False)["out.v"][:, 0]
    np.testing.assert_allclose(shown["out.v"][-7:], wanted, rtol=1e-6)


def test_frozen_and_bounded_starts() -> None:
    frozen = text(LINES, size=3, neurons=DIFFERENCE + READOUT, more="freeze h.u, out.v")
    assert not {"h.u", "out.v"} & set(network(frozen).weights)
    bounded = DIFFERENCE.replace("0.1*index", "0.5 in [0, 0.6]")
    net = network(text(LINES, size=3, neurons=bounded + READOUT))
    net.weights["h.u"][...] = 3
    net.learner.bound()
    assert np.all(net.weights["h.u"] == 0.6)


def test_draws_from_what_is_trained_are_refused() -> None:
    drawn = MADE.replace("state u = start*beta + 0.1", "state u = uniform(0, start)")
    with pytest.raises(SnnError) as problem:
        network(text(LINES, size=3, neurons=drawn + READOUT))
    assert problem.value.diagnostics[0].code == "E750"
