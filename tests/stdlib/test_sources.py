"""Sources: Poisson, Bernoulli, regular, from data, currents (catalogue N23, K1, K2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]

POISSON = """
from stdlib.neurons import Poisson
network Net(N = 2000):
    population source[N]: Poisson(rate = {rate})
simulate Net:
    dt = {dt}
    duration = 1 s
    seed = 7
    record source.spikes
"""


def test_poisson_counts(run_numpy: Run) -> None:
    """Mean and variance of the count in 1 s at 30 Hz are 30."""
    counts = run_numpy(POISSON.format(rate="30 Hz", dt="0.1 ms")).counts("source")
    assert counts.mean() == pytest.approx(30, abs=4 * math.sqrt(30 / 2000))
    assert counts.var() == pytest.approx(30, abs=4 * 30 * math.sqrt(2 / 2000))


def test_poisson_intervals(run_numpy: Run) -> None:
    """Exponential intervals: CV 1."""
    text = POISSON.format(rate="30 Hz", dt="0.1 ms")
    times, sources = run_numpy(text, duration="4 s", set={"N": 300}).spikes("source")
    intervals = np.concatenate([np.diff(times[sources == source]) for source in range(300)])
    assert intervals.std() / intervals.mean() == pytest.approx(1.0, abs=0.03)
    assert intervals.mean() == pytest.approx(1000 / 30, rel=0.03)


def test_poisson_saturates(run: Run) -> None:
    """A step holds at most one spike: 1 - exp(-rate*dt), also where rate*dt > 1."""
    counts = run(POISSON.format(rate="2000 Hz", dt="1 ms"), duration="100 ms", set={"N": 100}).counts("source")
    expected = 1 - math.exp(-2)
    assert counts.sum() / 1e4 == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 1e4))


def test_poisson_neurons_are_independent(run: Run) -> None:
    times, sources = run(POISSON.format(rate="100 Hz", dt="1 ms"), duration="300 ms", set={"N": 40}).spikes("source")
    table = np.zeros((40, 301))
    table[sources, np.round(times).astype(int)] = 1
    correlation = np.asarray(np.corrcoef(table))[np.triu_indices(40, 1)]
    assert abs(correlation.mean()) < 0.02
    assert correlation.max() < 0.5


def test_bernoulli(run: Run) -> None:
    text = """
from stdlib.neurons import Bernoulli
network Net:
    population source[400]: Bernoulli(p = 0.3)
simulate Net:
    duration = 100
    record source.spikes
"""
    counts = run(text).counts("source")
    assert counts.mean() == pytest.approx(30, abs=4 * math.sqrt(21 / 400))
    assert counts.var() == pytest.approx(21, abs=4 * 21 * math.sqrt(2 / 400))


def test_regular(run: Run) -> None:
    text = """
from stdlib.neurons import Regular
network Net:
    population source[3]: Regular(start = [0.3 ms, 10 ms, 2 ms], period = [0.7 ms, 12.5 ms, 1 ms],
        stop = [inf, inf, 5 ms])
simulate Net:
    dt = 0.1 ms
    duration = 50 ms
    record source.spikes
"""
    times, sources = run(text).spikes("source")
    assert times[sources == 0] == pytest.approx(0.3 + 0.7 * np.arange(72))
    assert times[sources == 1] == pytest.approx([10, 22.5, 35, 47.5])
    assert times[sources == 2] == pytest.approx([2, 3, 4])


def test_spike_source_from_a_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "spikes.npz"
    np.savez(path, times=np.array([2.0, 5.0, 5.0]), indices=np.array([1, 0, 1]))
    text = f"""
from stdlib.neurons import SpikeSource, Parrot
network Net:
    population stim[2]: SpikeSource
    population echo[2]: Parrot
    connect stim -> echo.pulse: one_to_one
simulate Net:
    dt = 1 ms
    duration = 10 ms
    drive stim from "{path}"
    record stim.spikes, echo.spikes
"""
    recording = run(text)
    for name in ("stim", "echo"):
        times, indices = recording.spikes(name)
        assert times.tolist() == [2, 5, 5]
        assert indices.tolist() == [1, 0, 1]


def test_currents(run: Run) -> None:
    text = """
from stdlib.neurons import StepCurrent, SineCurrent, LIF
network Net:
    population pulse[1]: StepCurrent(amplitude = 0.1 nA, start = 10 ms, stop = 30 ms)
    population wave[1]: SineCurrent(amplitude = 0.1 nA, frequency = 50 Hz)
    population cell[1]: LIF
    connect pulse -> cell.I: one_to_one
simulate Net:
    dt = 1 ms
    duration = 60 ms
    record pulse.output, wave.output, cell.v
"""
    recording = run(text)
    t = recording.times("pulse.output")
    assert recording["pulse.output"][:, 0] == pytest.approx(np.where((t > 10) & (t <= 30), 100.0, 0.0))
    assert recording["wave.output"][:, 0] == pytest.approx(100 * np.sin(2 * np.pi * t / 20), abs=1e-6)
    v = recording["cell.v"][:, 0]
    assert v[29] == pytest.approx(-70 + 10 * (1 - math.exp(-1)))  # 20 ms of 0.1 nA into 100 MOhm
    assert v[49] == pytest.approx(-70 + 10 * (1 - math.exp(-1)) * math.exp(-1))


def test_noise_current(run_numpy: Run) -> None:
    """Ornstein-Uhlenbeck: mean, standard deviation sigma, correlation exp(-s/tau)."""
    text = """
from stdlib.neurons import NoiseCurrent
network Net:
    population source[100]: NoiseCurrent(mean = 50 pA, sigma = 20 pA, tau = 5 ms)
simulate Net:
    dt = 0.1 ms
    duration = 500 ms
    record source.i every 1 ms
"""
    i = run_numpy(text)["source.i"][50:]
    assert i.mean() == pytest.approx(50, abs=1.5)
    assert i.std() == pytest.approx(20, rel=0.04)
    x = (i - i.mean()) / i.std()
    assert (x[:-5] * x[5:]).mean() == pytest.approx(math.exp(-1), abs=0.05)
