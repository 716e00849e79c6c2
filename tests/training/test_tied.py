"""Tied weights: one array that two connections read, transposed or not; its gradient is the sum of what both say."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

import snnlang
from tests.targets import TARGETS

from .networks import images, network, text
from .test_initial_states import DIFFERENCE, READOUT, differences

NEURONS = DIFFERENCE + READOUT
POPULATIONS = "population h[4]: Smooth\npopulation out[3]: Readout\npopulation back[4]: Smooth\n"
IN = "connect image -> h.x: dense, w = normal(0, 0.5)\n"
CASES = {
    "transposed": "connect readout = h -> out.x: dense(bias = true), w = normal(0, 0.5)\n"
    "connect again = out -> back.x: dense, w = transpose(readout.w)",
    "nobody's": "connect readout = h -> out.x: dense\nconnect again = out -> back.x: dense, w = transpose(readout.w)",
    "before": "connect again = out -> back.x: dense, w = transpose(readout.w)\n"
    "connect readout = h -> out.x: dense, w = normal(0, 0.5)",
    "parts": "connect readout = h[1:4] -> out[0:2].x: dense, w = normal(0, 0.5)\n"
    "connect again = out[1:3] -> back[0:3].x: dense, w = transpose(readout.w)",
    "plain": "connect readout = h -> back.x: dense, w = normal(0, 0.5)\n"
    "connect again = back -> h.x: dense, w = readout.w, delay = 1",
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", CASES)
def test_against_finite_differences(case: str, target: Literal["c", "numpy"]) -> None:
    source = text(POPULATIONS + IN + CASES[case], size=3, neurons=NEURONS, loss="mse(mean(back.u), label)")
    net = network(source, target)
    assert "again.w" not in net.weights
    x, y = images(2, 3, 7), images(2, 4)
    _, gradients = net.grad(x, y)
    expected = differences(net, x, y)
    for name in ("readout.w", "image->h.x.w", "h.beta"):
        np.testing.assert_allclose(gradients[name], expected[name], rtol=2e-5, atol=2e-8, err_msg=name)
        assert np.any(expected[name] != 0), name


@pytest.mark.parametrize("case", CASES)
def test_simulated_as_trained(case: str) -> None:
    """The interpreter, which knows nothing of products, with the weights of the training."""
    simulate = "\nsimulate Net as shown:\n    duration = 7\n    seed = 3\n    record back.u\n"
    source = text(POPULATIONS + IN + CASES[case], size=3, neurons=NEURONS, loss="mse(mean(back.u), label)")
    of = snnlang.load(source + simulate)
    net = of.network(precision="float64", target="numpy")
    x = images(1, 3)
    expected = net.learner.make_engine([net.learner.readout("back.u")], frozenset({"image"}), False)
    wanted = expected.forward({"image": x}, keep=False)["back.u"][:, 0]
    found = of.run("shown", target="interpreter", weights=net.weights, data={"image": x[0]})
    np.testing.assert_allclose(found["back.u"], wanted, rtol=1e-9)


def test_explained() -> None:
    from snnlang.compile import load_program
    from snnlang.diagnostics import Source
    from snnlang.model.elaborate import Overrides
    from snnlang.runtime.training_text import explain_training

    source = text(POPULATIONS + IN + CASES["transposed"], size=3, neurons=NEURONS, loss="mse(mean(back.u), label)")
    told = explain_training(load_program(Source("test.snn", source)), Overrides())
    assert "again: a matrix product with the transposed weights of another connection, one for all steps together" in told
