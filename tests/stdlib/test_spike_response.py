"""Spike response models and escape noise (catalogue N11, N12)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]

RESPONSE = """
from stdlib.neurons import SoftDLIF, SRM0, CumulativeSRM, Bernoulli
from stdlib.synapses import DecayPSP
network Net:
    population source[1]: Bernoulli(p = 0.3)
    population lif[1]: SoftDLIF(beta = exp(-1/20))
    population cumulative[1]: CumulativeSRM(tau_r = 20 ms)
    population last[1]: SRM0(tau_r = 20 ms)
    connect source -> lif.x: dense, w = 0.4
    connect source -> cumulative.h, last.h: dense via DecayPSP(tau = 20 ms), w = 0.4
simulate Net:
    dt = 1 ms
    duration = 300 ms
    seed = 3
    record source.spikes, lif.spikes, cumulative.spikes, last.spikes, lif.v, cumulative.u
"""


def test_cumulative_response_is_a_leaky_neuron(run: Run) -> None:
    recording = run(RESPONSE)
    lif, _ = recording.spikes("lif")
    assert recording.spikes("cumulative")[0].tolist() == lif.tolist()
    assert len(lif) > 10
    # u before the reset, v after it
    fired = np.isin(np.round(recording.times("lif.v"), 6), np.round(lif, 6))
    assert np.abs(recording["cumulative.u"][:, 0] - fired - recording["lif.v"][:, 0]).max() < 1e-12
    assert len(recording.spikes("last")[0]) > 3 * len(lif)  # the last spike alone does not balance a soft reset


def test_potential_after_a_spike(run: Run) -> None:
    """PSP is the difference of exponentials: peak 0.472470/0.75 at 9.24 ms for 20 and 5 ms."""
    text = """
from stdlib.neurons import SRM0, Regular
from stdlib.synapses import PSP
network Net:
    population source[1]: Regular(start = 1 ms, period = 1 s)
    population cell[1]: SRM0
    connect source -> cell.h: dense via PSP(w = 0.9)
simulate Net:
    dt = 0.1 ms
    duration = 60 ms
    record cell.u, cell.spikes
"""
    recording = run(text)
    s = recording.times("cell.u") - 1.0
    expected = np.where(s >= -1e-9, 0.9 * (np.exp(-s / 20) - np.exp(-s / 5)) / 0.75, 0)
    assert recording["cell.u"][:, 0] == pytest.approx(expected, abs=1e-9)
    assert recording["cell.u"].max() == pytest.approx(0.9 * 0.472470 / 0.75, rel=1e-4)
    assert recording.counts("cell").tolist() == [0]


def test_peak_normalisation() -> None:
    """The catalogue's V0 = q^(q/(q-1))/(q-1) is one over the peak of exp(-s/tau_m) - exp(-s/tau_s)."""
    for q, expected in ((4.0, 2.116535), (2.0, 4.0)):
        peak = math.log(q) / (q - 1)  # in units of tau_m, at tau_m = 1 and tau_s = 1/q
        assert 1 / (math.exp(-peak) - math.exp(-peak * q)) == pytest.approx(expected, rel=1e-6)
        assert q ** (q / (q - 1)) / (q - 1) == pytest.approx(expected, rel=1e-6)


ESCAPE = """
from stdlib.neurons import EscapeLIF
network Net(distance = 0.2 mV, N = 200):
    population cell[N]: EscapeLIF(v_rest = -50 mV + distance, v_reset = -50 mV + distance, v = -50 mV + distance,
        t_ref = 0 ms, rho_0 = 10 Hz, D = 0.2 mV)
simulate Net:
    dt = 1 ms
    duration = 20 s
    seed = 5
    record cell.spikes
"""


def test_escape_rate(run_numpy: Run) -> None:
    counts = run_numpy(ESCAPE).counts("cell")
    assert counts.sum() / 200 / 20000 == pytest.approx(0.026817, abs=0.0003)  # 1 - exp(-rho*dt), not rho*dt
    assert counts.var() / counts.mean() == pytest.approx(0.973, abs=0.3)


@pytest.mark.parametrize(("distance", "expected"), [(-0.2, 0.003672), (0.0, 0.009950), (0.4, 0.071227)])
def test_escape_probability(run: Run, distance: float, expected: float) -> None:
    recording = run(ESCAPE, duration="500 ms", set={"distance": f"{distance} mV", "N": 100})
    n = 100 * 500
    assert recording.counts("cell").sum() / n == pytest.approx(expected, abs=4 * math.sqrt(expected / n))


def test_sigmoid_probability(run: Run) -> None:
    text = """
from stdlib.neurons import EscapeDLIF
network Net:
    population cell[2000]: EscapeDLIF(beta = 0.9, D = 0.2)
simulate Net:
    duration = 1
    drive cell.x = 1.1
    record cell.spikes
"""
    expected = 1 / (1 + math.exp(-0.5))
    assert run(text).counts("cell").mean() == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 2000))
