"""The library's surrogate gradients: values and areas of the catalogue's table (G7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]

TABLE: dict[str, tuple[list[float], float | None]] = {
    "atan(x, alpha = 2)": ([1, 0.910170, 0.288400, 0.092000], 1),
    "fast_sigmoid(x, k = 25)": ([1, 0.081633, 0.005487, 0.001479], 2 / 25),
    "super_spike(x, alpha = 1)": ([1, 0.826446, 0.444444, 0.25], 2),
    "soft_sign(x, alpha = 2)": ([1, 0.694444, 0.25, 0.111111], 1),
    "logistic(x, k = 25)": ([6.25, 1.752593, 9.3e-5, 0], 1),
    "logistic(x, k = 4)": ([1, 0.961043, 0.419974, 0.070651], 1),
    "triangle(x, alpha = 1)": ([1, 0.9, 0.5, 0], 1),
    "piecewise_exponential(x, alpha = 1)": ([0.5, 0.452419, 0.303265, 0.183940], 1),
    "error_function(x, alpha = 2)": ([1.128379, 1.084135, 0.415107, 0.020667], 1),
    "rectangle(x, alpha = 1)": ([1, 1, 0, 0], 1),
    "eprop_triangle(x, gamma = 0.3)": ([0.3, 0.27, 0.15, 0], 0.3),
    "gaussian(x, sigma = 0.5)": ([0.797885, 0.782085, 0.483941, 0.107982], 1),
    "multi_gaussian(x)": ([0.439112, 0.430038, 0.258858, 0.043452], 0.425),
    "straight_through(x)": ([1, 1, 1, 1], None),
}

PROBE = """
from stdlib.surrogates import {name}{more}
neuron Probe:
    param x = 0
    output {call}
network Net:
    population probe[{n}]: Probe(x = {x})
simulate Net:
    duration = 1
    record probe.output
"""


def evaluate(run: Run, call: str, x: str, n: int) -> np.ndarray[Any, Any]:
    name = call.split("(")[0]
    result: np.ndarray[Any, Any] = run(PROBE.format(name=name, more="", call=call, x=x, n=n))["probe.output"][0]
    return result


@pytest.mark.parametrize("call", TABLE)
def test_values(run: Run, call: str) -> None:
    values = evaluate(run, call, "[0, 0.1, 0.5, 1, -0.1, -0.5, -1]", 7)
    expected = TABLE[call][0]
    assert values == pytest.approx(expected + expected[1:], abs=1e-6)


@pytest.mark.parametrize("call", [call for call, (_, area) in TABLE.items() if area is not None])
def test_area(run_numpy: Run, call: str) -> None:
    """A sum over a fine grid; the slow tails of some forms are what the tolerance is for."""
    n = 200_001
    values = evaluate(run_numpy, call, f"0.002*(index - {n // 2})", n)
    assert values.sum() * 0.002 == pytest.approx(TABLE[call][1], rel=0.02)
