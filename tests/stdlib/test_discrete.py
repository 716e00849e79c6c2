"""Difference models against their golden sequences (catalogue 0.2, N3, N4, N10, N21)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]

CONSTANT = """
from stdlib.neurons import {name}
network Net:
    population cell[1]: {model}
simulate Net:
    duration = {steps}
    drive cell.x = {x}
    record cell.spikes, cell.{variable}
"""


def sequence(run: Run, model: str, x: float, steps: int, variable: str) -> tuple[list[float], list[int]]:
    name = model.split("(")[0]
    recording = run(CONSTANT.format(name=name, model=model, x=x, steps=steps, variable=variable))
    return recording[f"cell.{variable}"][:, 0].tolist(), recording.spikes("cell")[0].astype(int).tolist()


def test_delayed_reset(run: Run) -> None:
    u, spikes = sequence(run, "DelayedLIF(beta = 0.9)", 0.3, 20, "v")
    expected = [0.3, 0.57, 0.813, 1.0317, 0.22853, 0.505677, 0.7551093, 0.97959837, 1.181638533, 0.3634746797]
    assert u[:10] == pytest.approx(expected)
    assert spikes[:4] == [3, 8, 12, 16]


def test_delayed_reset_to_zero(run: Run) -> None:
    u, spikes = sequence(run, "DelayedHardLIF(beta = 0.9)", 0.3, 20, "v")
    assert u[:5] == pytest.approx([0.3, 0.57, 0.813, 1.0317, 0.3])
    assert spikes == [3, 7, 11, 15, 19]


def test_immediate_reset_decays(run: Run) -> None:
    """beta*(h - th): the amount subtracted decays, unlike the delayed form."""
    v, spikes = sequence(run, "SoftDLIF(beta = 0.9)", 0.3, 8, "v")
    u, expected, fired = 0.0, [], []
    for step in range(8):
        h = 0.9 * u + 0.3
        if h >= 1:
            fired.append(step)
        u = h - (h >= 1)
        expected.append(u)
    assert v == pytest.approx(expected)
    assert spikes == fired
    hard, _ = sequence(run, "DLIF(beta = 0.9)", 0.3, 5, "v")
    assert hard == pytest.approx([0.3, 0.57, 0.813, 0.0, 0.3])


@pytest.mark.parametrize(
    ("model", "x", "h", "spikes"),
    [
        ("EulerLIF", 1.5, [0.75, 1.125, 0.75, 1.125, 0.75, 1.125], [1, 3, 5]),
        ("SoftEulerLIF", 1.5, [0.75, 1.125, 0.8125, 1.15625, 0.828125], [1, 3]),
        ("SumLIF", 0.6, [0.6, 0.9, 1.05, 0.6, 0.9, 1.05, 0.6, 0.9, 1.05], [2, 5, 8]),
        ("SoftSumLIF", 0.6, [0.6, 0.9, 1.05, 0.625, 0.9125, 1.05625, 0.628125], [2, 5]),
    ],
)
def test_euler_forms(run: Run, model: str, x: float, h: list[float], spikes: list[int]) -> None:
    values, fired = sequence(run, f"{model}(tau = 2)", x, len(h), "h")
    assert values == pytest.approx(h)
    assert fired == spikes


@pytest.mark.parametrize(
    ("model", "settled"),
    [
        ("DLIF(beta = 0.5, v_th = 100)", 6.0),
        ("EulerLIF(tau = 2, v_th = 100)", 3.0),
        ("SumLIF(tau = 2, v_th = 100)", 6.0),
        ("LowPassLIF(tau = 2, v_th = 100)", 3.0),
    ],
)
def test_steady_states(run: Run, model: str, settled: float) -> None:
    """x/(1 - beta), x, tau*x and x: the four forms differ by tau."""
    v, _ = sequence(run, model, 3.0, 60, "v")
    assert v[-1] == pytest.approx(settled)


def test_low_pass_factor(run: Run) -> None:
    v, _ = sequence(run, "LowPassLIF(tau = 20, v_th = 100)", 1.0, 10, "v")
    assert v == pytest.approx([1 - math.exp(-n / 20) for n in range(1, 11)])
    soft, spikes = sequence(run, "SoftLowPassLIF(tau = 20)", 2.0, 20, "v")
    assert spikes[0] == math.ceil(20 * math.log(2)) - 1
    assert soft[spikes[0]] == pytest.approx(2 * (1 - math.exp(-(spikes[0] + 1) / 20)) - 1)


@pytest.mark.parametrize(
    ("leak", "before", "fired", "trace"),
    [(0.99, [0.3, 0.597, 0.89103, 1.18212, 0.3], [3, 7, 11, 15, 19], 4.621183), (0.9, [0.3, 0.57, 0.813, 1.0317, 0.3], None, 2.554299)],
)
def test_spike_based_backpropagation_forwards(run: Run, leak: float, before: list[float], fired: list[int] | None, trace: float) -> None:
    """Lee et al. 2020: integrate, fire, reset, then leak; the traces that its backward pass asks for at the end (N18)."""
    model = f"SpikeBP(leak = {leak})"
    h, spikes = sequence(run, model, 0.3, 20, "h")
    assert h[:5] == pytest.approx(before, abs=6e-6)
    assert fired is None or spikes == fired
    assert len(spikes) == 5
    assert sequence(run, model, 0.3, 20, "fading")[0][-1] == pytest.approx(trace, abs=6e-7)
    assert sequence(run, model, 0.3, 20, "count")[0][-1] == 5
    readout = CONSTANT.replace("cell.spikes, ", "").format(
        name="SpikeBPReadout", model=f"SpikeBPReadout(leak = {leak})", x=1.0, steps=3, variable="v"
    )
    assert run(readout)["cell.v"][:, 0] == pytest.approx([leak, leak + leak**2, leak + leak**2 + leak**3])


PSC = """
from stdlib.neurons import PSCLIF
network Net:
    input current[1]
    population cell[1]: PSCLIF(tau_m = 5, tau_s = 3)
    connect current -> cell.I: one_to_one
simulate Net:
    duration = 5
    drive current = {drive}
    record cell.u, cell.a, cell.spikes
"""


@pytest.mark.parametrize(
    ("drive", "u", "spikes", "a"),
    [
        ("0.6", [0.6, 1.08, 0.6, 1.08, 0.6], [1, 3], [0, 0.333333, 0.222222, 0.481481, 0.320988]),
        ("0.6 if t < dt else 0.9 if t < 2*dt else 0.1 if t < 3*dt else 0.8 if t < 4*dt else 0.7",
         [0.6, 1.38, 0.1, 0.88, 1.404], [1, 4], [0, 0.333333, 0.222222, 0.148148, 0.432099]),
    ],
)
def test_post_synaptic_current(run: Run, drive: str, u: list[float], spikes: list[int], a: list[float]) -> None:
    recording = run(PSC.format(drive=drive))
    assert recording["cell.u"][:, 0] == pytest.approx(u)
    assert recording["cell.a"][:, 0] == pytest.approx(a, abs=1e-6)
    assert recording.spikes("cell")[0].tolist() == spikes


def test_sends_its_current(run: Run) -> None:
    """A connection from it carries a[n], in the same step."""
    text = """
from stdlib.neurons import PSCLIF
network Net:
    population first[1]: PSCLIF(tau_m = 5, tau_s = 3)
    population second[1]: PSCLIF(tau_m = 5, tau_s = 3, v_th = 100)
    connect first -> second.I: one_to_one, w = 2
simulate Net:
    duration = 5
    drive first.I = 0.6
    record second.u
"""
    a = [0, 0.333333, 0.222222, 0.481481, 0.320988]
    u, expected = 0.0, []
    for value in a:
        u = 0.8 * u + 2 * value
        expected.append(u)
    assert run(text)["second.u"][:, 0] == pytest.approx(expected, abs=1e-5)


ADAPTING = """
from stdlib.neurons import ALIF
network Net:
    population cell[3]: ALIF(beta = [0, 0.07, 0.07])
simulate Net:
    duration = 2000
    drive cell.x = [0.1, 0.1, 0.2]
    record cell.spikes
"""


def test_adaptive_threshold(run: Run) -> None:
    recording = run(ADAPTING)
    assert recording.counts("cell").tolist() == [142, 88, 210]
    times, cells = recording.spikes("cell")
    intervals = [np.diff(times[cells == cell]).astype(int).tolist() for cell in range(3)]
    assert set(intervals[0]) == {14}
    assert intervals[1][:4] == [15, 16, 17, 17]
    assert set(intervals[1][-5:]) <= {23, 24}
    assert intervals[2][:4] == [6, 7, 7, 6]
    assert intervals[2][-1] == 10


def test_second_order(run: Run) -> None:
    """The response to one spike peaks at step 8; reading i[n-1] would give 9."""
    text = """
from stdlib.neurons import SecondOrderLIF
network Net:
    population cell[1]: SecondOrderLIF(alpha = exp(-1/5), beta = exp(-1/20), v_th = 100)
simulate Net:
    duration = 30
    drive cell.x = 1 if t < dt else 0
    record cell.v
"""
    v = run(text)["cell.v"][:, 0]
    assert v[:2] == pytest.approx([1, 1.76996], rel=1e-5)
    assert int(np.argmax(v)) == 8
    assert v[8] == pytest.approx(3.564785, rel=1e-6)
