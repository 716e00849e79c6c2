"""Neurons with an upstroke of their own, against closed forms and reference counts (catalogue N5 to N9, N22)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]

QUADRATIC = """
from stdlib.neurons import QIF
network Net:
    population cell[4]: QIF(tau_m = 1 ms, k = 1/mV, R = 1 GOhm,
        v_rest = 0 mV, v_c = 0 mV, v_peak = 10 mV, v_reset = -10 mV, v = {start} mV)
simulate Net:
    dt = {dt} ms
    duration = {duration} ms
    method = rk4
    drive cell.I = [0.25 pA, 1 pA, 4 pA, -0.25 pA]
    record cell.spikes, cell.v
"""


def test_quadratic_period(run: Run) -> None:
    """(atan(v_peak/sqrt I) - atan(v_reset/sqrt I))/sqrt I, at dv/dt = v^2 + I."""
    recording = run(QUADRATIC.format(start=-10, dt=0.005, duration=20))
    times, cells = recording.spikes("cell")
    for cell, expected in ((0, 6.0834), (1, 2.9423), (2, 1.3734)):
        root = math.sqrt((0.25, 1, 4)[cell])
        period = 2 * math.atan(10 / root) / root
        assert period == pytest.approx(expected, rel=1e-4)
        intervals = np.diff(times[cells == cell])
        assert intervals == pytest.approx(period, abs=2 * 0.005)


def test_quadratic_fixed_points(run: Run) -> None:
    """For I < 0: -sqrt|I| is stable, +sqrt|I| is the threshold."""
    below = run(QUADRATIC.format(start=0.49, dt=0.01, duration=20))
    assert below["cell.v"][-1, 3] == pytest.approx(-0.5, rel=1e-4)
    assert below.counts("cell")[3] == 0
    assert run(QUADRATIC.format(start=0.51, dt=0.01, duration=20)).counts("cell")[3] >= 1


PHASE = """
from stdlib.neurons import Theta
network Net:
    population cell[5]: Theta(theta = [-3.14, -3.14, -3.14, 0.92, 0.935])
simulate Net:
    dt = 0.01 ms
    duration = 30 ms
    drive cell.I = [0.25, 1, 4, -0.25, -0.25]
    record cell.spikes, cell.theta
"""


def test_theta_period(run: Run) -> None:
    recording = run(PHASE)
    times, cells = recording.spikes("cell")
    for cell, current in enumerate((0.25, 1, 4)):
        assert np.mean(np.diff(times[cells == cell])) == pytest.approx(math.pi / math.sqrt(current), abs=0.011)
    assert recording["cell.theta"][-1, 3] == pytest.approx(-0.9273, abs=1e-4)  # rest
    assert recording.counts("cell")[3:].tolist() == [0, 1]  # the threshold is +0.9273


IZHIKEVICH = """
from stdlib.neurons import Izhikevich
network Net:
    population cell[7]: Izhikevich(a = [0.02/ms, 0.02/ms, 0.02/ms, 0.1/ms, 0.02/ms, 0.02/ms, 0.1/ms],
        b = [0.2/ms, 0.2/ms, 0.2/ms, 0.2/ms, 0.25/ms, 0.25/ms, 0.26/ms],
        c = [-65 mV, -55 mV, -50 mV, -65 mV, -65 mV, -65 mV, -65 mV],
        d = [8 mV/ms, 4 mV/ms, 2 mV/ms, 2 mV/ms, 2 mV/ms, 0.05 mV/ms, 2 mV/ms])
simulate Net:
    dt = 0.5 ms
    duration = 1 s
    method = euler
    drive cell.I = 10 mV/ms
    record cell.spikes
"""


def test_izhikevich_coarse(run: Run) -> None:
    assert run(IZHIKEVICH).counts("cell").tolist() == [23, 32, 81, 114, 74, 224, 167]


def test_izhikevich_fine(run_numpy: Run) -> None:
    assert run_numpy(IZHIKEVICH, dt="0.1 ms").counts("cell").tolist() == [23, 34, 87, 131, 77, 260, 186]
    recording = run_numpy(IZHIKEVICH, dt="0.01 ms", duration="170 ms")
    times, cells = recording.spikes("cell")
    regular = times[cells == 0]
    assert regular[0] == pytest.approx(3.15, abs=0.011)
    assert np.diff(regular) == pytest.approx([23.2, 44.9, 44.9, 44.9], abs=0.06)


def test_izhikevich_rest_and_onset(run: Run) -> None:
    text = """
from stdlib.neurons import Izhikevich
network Net:
    population cell[3]: Izhikevich(v = -70 mV)
simulate Net:
    dt = 0.1 ms
    duration = 600 ms
    method = euler
    drive cell.I = [0 mV/ms, 3.75 mV/ms, 3.8 mV/ms]
    record cell.spikes
    record cell.v every 10 ms
"""
    recording = run(text)
    counts = recording.counts("cell").tolist()
    assert recording["cell.v"][:, 0] == pytest.approx(-70.0)  # a root of 0.04 v^2 + 4.8 v + 140
    assert counts[0] == 0
    assert counts[1] == 1
    assert counts[2] > 2


ADAPTIVE = """
from stdlib.neurons import AdEx
network Net:
    population cell[2]: AdEx
simulate Net:
    dt = 0.01 ms
    duration = 500 ms
    method = {method}
    drive cell.I = [800 pA, 1000 pA]
    record cell.spikes
"""


@pytest.mark.parametrize("method", ["euler", "rk4", "auto"])
def test_adex(run_numpy: Run, method: str) -> None:
    recording = run_numpy(ADAPTIVE.format(method=method))
    times, cells = recording.spikes("cell")
    assert recording.counts("cell").tolist() == [9, 17]
    for cell, first, last in ((0, 17.76, 66.96), (1, 11.83, 36.1)):
        assert times[cells == cell][0] == pytest.approx(first, abs=0.05)
        assert np.diff(times[cells == cell])[-1] == pytest.approx(last, abs=0.15)


def test_adex_is_the_same_on_the_interpreter(run: Run) -> None:
    times, cells = run(ADAPTIVE.format(method="rk4"), duration="35 ms").spikes("cell")
    assert times[cells == 0][0] == pytest.approx(17.76, abs=0.05)
    assert times[cells == 1][0] == pytest.approx(11.83, abs=0.05)


def test_adex_rheobase(run_numpy: Run) -> None:
    """(g_L + a)(V_T - E_L - D_T + D_T ln(1 + tau_m/tau_w)) + D_T g_L (a/g_L - tau_m/tau_w): the Hopf case."""
    ratio = 281 / 30 / 144
    rheobase = 34 * (20.2 - 2 + 2 * math.log(1 + ratio)) + 60 * (4 / 30 - ratio)
    assert rheobase == pytest.approx(627.2, abs=0.05)
    text = """
from stdlib.neurons import AdEx
network Net:
    population cell[1]: AdEx
simulate Net:
    dt = 0.1 ms
    duration = 4 s
    drive cell.I = 560 pA + 0.025 pA/ms*t
    record cell.spikes
"""
    first = run_numpy(text).spikes("cell")[0][0]
    assert 560 + 0.025 * first == pytest.approx(628, abs=1.5)


def test_exponential_rheobase(run_numpy: Run) -> None:
    """g_L*(V_T - E_L - D_T) = 130 pA: 129 stays silent, 131 fires."""
    text = """
from stdlib.neurons import EIF
network Net:
    population cell[2]: EIF(C = 200 pF, g_L = 10 nS, E_L = -65 mV, V_T = -50 mV, D_T = 2 mV)
simulate Net:
    dt = 0.1 ms
    duration = 1 s
    drive cell.I = [129 pA, 131 pA]
    record cell.spikes
"""
    silent, firing = run_numpy(text).counts("cell").tolist()
    assert silent == 0
    assert firing >= 1


AXON = """
from stdlib.neurons import HodgkinHuxley
network Net:
    population axon[6]: HodgkinHuxley
simulate Net:
    dt = 0.01 ms
    duration = 400 ms
    drive axon.I = [10 uA/cm^2, 20 uA/cm^2, 7 uA/cm^2, 6.5 uA/cm^2, 6.2 uA/cm^2, 2.5 uA/cm^2]
    record axon.spikes
    record axon.v every 0.02 ms
"""


def test_hodgkin_huxley_rates(run_numpy: Run) -> None:
    recording = run_numpy(AXON)
    times, axons = recording.spikes("axon")
    for axon, rate in ((0, 68.4), (1, 86.6), (2, 58.4), (3, 55.2)):
        assert 1000 / np.diff(times[axons == axon])[-5:].mean() == pytest.approx(rate, rel=0.01)
    assert recording.counts("axon")[4:].tolist() == [3, 1]
    assert times[axons == 0][0] == pytest.approx(1.90, abs=0.05)  # exponential Euler is of first order
    assert recording["axon.v"][:, 0].max() == pytest.approx(40.5, abs=0.5)


def test_hodgkin_huxley_rest(run: Run) -> None:
    text = """
from stdlib.neurons import HodgkinHuxley
network Net:
    population axon[3]: HodgkinHuxley(v = [-65 mV, -40 mV, -55 mV])
simulate Net:
    dt = 0.01 ms
    duration = 5 ms
    record axon.v, axon.m, axon.h, axon.n
"""
    recording = run(text)
    for name, value in (("v", -65.0), ("m", 0.0529), ("h", 0.5961), ("n", 0.3177)):
        assert recording[f"axon.{name}"][0, 0] == pytest.approx(value, abs=6e-5 if name != "v" else 2e-3)
    assert np.isfinite(recording["axon.v"]).all()  # 0/0 of the rates at -40 and -55 mV
