"""Passes are compiled for the sizes that a network has: populations of whole blocks, of parts of one width, of any number of neurons."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from snnlang.codegen.passes_c import LANES, unit_of
from snnlang.runtime.pass_runner import NativeRunner
from tests.targets import needs_compiler

from .networks import NEURONS, images, network, text

pytestmark = needs_compiler

#: Of two layers of one model: whole blocks, whole blocks beside parts of 16 and of 8, parts alone, odd numbers beside each.
SIZES = [(64, 128), (64, 80), (128, 72), (16, 48), (8, 200), (70, 64), (65, 3)]
OWN = "\nneuron Own(Unit):\n    override param theta = uniform(0.5, 1.5)\n"
LINES = """
population h[{0}]: {2}
population g[{1}]: {2}
population out[3]: Readout
connect image -> h.x: dense(bias = true), w = uniform(-0.2, 0.5)
connect h -> g.x: dense(bias = true), w = uniform(-0.05, 0.1)
connect g -> out.x: dense, w = uniform(-0.5, 0.5)
"""
RECURRENT = "connect g -> g.x: dense, w = uniform(-0.05, 0.05)\n"


def made(source: str, target: Any, precision: str, samples: int) -> tuple[Any, dict[str, Any], Any]:
    net = network(source, target, precision)
    x, y = images(samples, 6, 5), np.arange(3.0 * samples).reshape(samples, 3) / 10
    loss, found = net.grad(x, y)
    return loss, found, next(iter(net.learner.forward({"image": x}).values()))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("more", ["", RECURRENT], ids=["chain", "recurrent"])
@pytest.mark.parametrize("model", ["Unit", "Own"])
def test_every_size_is_that_of_numpy(
    sizes: tuple[int, int], precision: Literal["float64", "float32"], more: str, model: str
) -> None:
    """Loss, gradients of weights, biases and trained parameters, and what a pass without a way back gives."""
    source = text(LINES.format(*sizes, model) + more, steps=5, neurons=NEURONS + OWN)
    for samples in (1, 3):
        expected, found = (made(source, target, precision, samples) for target in ("numpy", "c"))
        tolerance = 1e-10 if precision == "float64" else 2e-3
        assert found[0] == pytest.approx(expected[0], rel=tolerance)
        assert set(found[1]) == set(expected[1])
        for name, value in expected[1].items():
            scale = max(1e-6, float(np.abs(value).max()))
            assert np.abs(found[1][name] - value).max() <= tolerance * scale, name
        assert np.allclose(found[2], expected[2], rtol=tolerance, atol=tolerance)


def text_of(lines: str, neurons: str = NEURONS) -> str:
    """The passes of a network as they are compiled."""
    learner = network(text(lines, steps=5, neurons=neurons), "c", "float32").learner
    learner.learn({"image": images(2, 6, 5)}, {"label": np.zeros((2, 3))})
    (engine,) = learner._engines.values()
    assert isinstance(engine._runner, NativeRunner)
    return engine._runner.text


def test_nothing_is_compiled_for_neurons_that_are_not_there() -> None:
    assert [unit_of(size) for size in (LANES, 3 * LANES, 48, 16, 8, 200, 100, 1)] == [LANES, LANES, 16, 16, 8, 8, 1, 1]
    for size, tail in ((128, None), (80, 16), (72, 8), (70, 0)):
        passes = text_of(LINES.format(64, size, "Unit")).split("void cell1_g_forward(")[1].split("\n}")[0]
        assert ("left" in passes) == (tail == 0)
        assert (f"part, {tail});" in passes) == bool(tail)


def test_alike_populations_are_compiled_once_for_both_sizes() -> None:
    more = "population f[80]: Unit\nconnect g -> f.x: dense(bias = true)\n"
    passes = text_of(LINES.replace("connect g -> out.x", more + "connect f -> out.x").format(64, 72, "Unit"))
    assert "void cell1_g_backward(void *const *slot, const snn_span *a) { cell0_h_backward(slot, a); }" in passes
    assert "part, 8);" in passes.split("void cell0_h_backward(")[1].split("\n}")[0]


def test_headers_are_those_that_are_called() -> None:
    plain = text_of(LINES.format(8, 8, "Unit"))
    assert "snn_expf(float" not in plain
    assert "snn_base(" not in plain
    curved = NEURONS.replace("u[n] = beta*u[n-1] + x", "u[n] = beta*u[n-1] + x*exp(-x)")
    assert "snn_expf(float" in text_of(LINES.format(8, 8, "Unit"), curved)
    noisy = NEURONS.replace("u[n] = beta*u[n-1] + x", "u[n] = beta*u[n-1] + x + 0.1*normal(0, 1)")
    assert "snn_base(uint64_t" in text_of(LINES.format(8, 8, "Unit"), noisy)
