"""Integrate-and-fire, leaky and not, against closed forms (catalogue N1, N2, N24)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]

COUNTING = """
from stdlib.neurons import {model}
network Net:
    population cell[6]: {model}
simulate Net:
    duration = 64
    drive cell.x = [0.25, 0.375, 0.7, 1.5, -0.5, 0]
    record cell.spikes
"""


@pytest.mark.parametrize(("model", "counts"), [("DIF", [16, 24, 44, 64, 0, 0]), ("HardDIF", [16, 21, 32, 64, 0, 0])])
def test_discrete_counts(run: Run, model: str, counts: list[int]) -> None:
    assert run(COUNTING.format(model=model)).counts("cell").tolist() == counts


def test_strict_threshold_loses_a_spike(run: Run) -> None:
    text = """
from stdlib.neurons import DIF
neuron Strict(DIF):
    override spike when h > v_th
network Net:
    population even[1]: DIF
    population strict[1]: Strict
simulate Net:
    duration = 64
    drive even.x = 0.25
    drive strict.x = 0.25
    record even.spikes, strict.spikes
"""
    recording = run(text)
    assert recording.counts("even").tolist() == [16]
    assert recording.counts("strict").tolist() == [15]
    assert recording.spikes("even")[0][0] == 3  # the index of the step
    assert recording.spikes("strict")[0][0] == 4


@pytest.mark.parametrize("steps", [4, 8, 32])
@pytest.mark.parametrize("start", [0.0, 0.5])
def test_soft_reset_law(run: Run, steps: int, start: float) -> None:
    drive = [k / 16 for k in range(-4, 25)]  # exact in binary: no rounding at the threshold
    text = f"""
from stdlib.neurons import DIF
network Net:
    population cell[{len(drive)}]: DIF(v = {start})
simulate Net:
    duration = {steps}
    drive cell.x = [{", ".join(map(str, drive))}]
    record cell.spikes
"""
    expected = [min(max(math.floor(steps * x + start), 0), steps) for x in drive]
    assert run(text).counts("cell").tolist() == expected


def test_perfect_integrator(run: Run) -> None:
    text = """
from stdlib.neurons import IF, SoftIF
network Net:
    population hard[2]: IF(C = 1 nF, v_th = 15 mV, t_ref = [0 ms, 2 ms])
    population soft[1]: SoftIF(C = 1 nF, v_th = 15 mV)
simulate Net:
    dt = 0.25 ms
    duration = 200 ms
    drive hard.I = 1 nA
    drive soft.I = 1.1 nA
    record hard.spikes, soft.spikes
"""
    recording = run(text)
    times, cells = recording.spikes("hard")
    assert times[cells == 0] == pytest.approx(15.0 * np.arange(1, 14))
    assert np.diff(times[cells == 1]) == pytest.approx(17.0)
    assert recording.counts("soft").tolist() == [math.floor(200 * 1.1 / 15)]  # nothing is lost at a reset


LEAKY = """
from stdlib.neurons import LIF
network Net:
    population cell[5]: LIF(v_rest = 0 mV, v_reset = 0 mV, v_th = 15 mV, R = 1 GOhm,
        t_ref = [0 ms, 0 ms, 0 ms, 0 ms, 2 ms])
simulate Net:
    dt = 0.1 ms
    duration = 1 s
    drive cell.I = [15 pA, 16 pA, 20 pA, 30 pA, 20 pA]
    record cell.spikes
    record cell.v[2:3] every 1 ms
"""


def test_leaky_rate(run: Run) -> None:
    """f = 1/(t_ref + tau*ln(RI/(RI - th))), and on the grid each interval is rounded up to whole steps."""
    recording = run(LEAKY)
    times, cells = recording.spikes("cell")
    assert not (cells == 0).any()  # RI = 15 is the rheobase
    for cell, drive, refractory in ((1, 16, 0.0), (2, 20, 0.0), (3, 30, 0.0), (4, 20, 2.0)):
        period = 20 * math.log(drive / (drive - 15)) + refractory
        assert {1: 55.452, 2: 27.726, 3: 13.863, 4: 1000 / 33.641}[cell] == pytest.approx(period, rel=1e-4)
        intervals = np.diff(times[cells == cell])
        assert intervals == pytest.approx(math.ceil(period / 0.1) * 0.1)


def test_leaky_membrane_is_exact(run: Run) -> None:
    """Exact propagation: v on the grid is v_inf*(1 - exp(-t/tau)) to rounding."""
    recording = run(LEAKY)
    times, v = recording.times("cell.v"), recording["cell.v"][:, 0]
    before = times < 27
    assert v[before] == pytest.approx(20 * (1 - np.exp(-times[before] / 20)), rel=1e-12)


def test_leaky_counts_do_not_depend_on_the_step(run_numpy: Run) -> None:
    for dt, count in (("1 ms", 35), ("0.01 ms", 36)):
        assert run_numpy(LEAKY, dt=dt).counts("cell").tolist()[2] == count


def test_hold_ignores_inputs(run: Run) -> None:
    """A jump that arrives in the refractory period is lost; the membrane stays at the reset."""
    text = """
from stdlib.neurons import LIF, Regular
network Net:
    population kick[1]: Regular(start = 10 ms, period = 1 s)
    population late[2]: Regular(start = [11 ms, 13 ms], period = 1 s)
    population cell[2]: LIF(t_ref = 2 ms)
    connect kick -> cell.v: dense, w = 30 mV
    connect late -> cell.v: one_to_one, w = 5 mV
simulate Net:
    dt = 1 ms
    duration = 20 ms
    record cell.spikes, cell.v
"""
    recording = run(text)
    v = recording["cell.v"]
    assert recording.counts("cell").tolist() == [1, 1]
    assert v[:, 0] == pytest.approx(-70.0)
    assert v[12, 1] == pytest.approx(-65.0)  # row n holds the time n + 1
