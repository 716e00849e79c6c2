"""Pulse-coupled models for images, against reference sequences (catalogue N13, N14, N15, A11)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]


def fires(recording: Any, cell: int, population: str = "cell") -> list[int]:
    times, cells = recording.spikes(population)
    return [int(t) for t in times[cells == cell]]


def test_single_neuron(run: Run) -> None:
    text = """
from stdlib.neurons import PCNN
network Net:
    population cell[2]: PCNN
simulate Net:
    duration = 200
    drive cell.S = [1, 0.5]
    record cell.spikes, cell.F
"""
    recording = run(text)
    assert fires(recording, 0)[:9] == [0, 5, 9, 13, 16, 20, 23, 26, 29]
    assert fires(recording, 1)[:8] == [0, 6, 11, 16, 21, 25, 30, 34]
    assert recording["cell.F"][-1] == pytest.approx(np.array([1, 0.5]) / (1 - math.exp(-0.1)), rel=1e-6)


def test_period_of_the_simple_form(run: Run) -> None:
    text = """
from stdlib.neurons import SimplePCNN
network Net:
    population cell[3]: SimplePCNN(a_T = 0.2, V_T = 20)
simulate Net:
    duration = 200
    drive cell.S = [0.25, 0.5, 1]
    record cell.spikes
"""
    recording = run(text)
    assert fires(recording, 2)[:4] == [0, 16, 33, 50]
    for cell, period in ((0, 23), (1, 20), (2, 17)):
        assert fires(recording, cell)[0] == 0
        assert set(np.diff(fires(recording, cell))[1:]) == {period}


PAIR = """
from stdlib.neurons import SimplePCNN
network Net(beta = 0.4):
    population cell[2]: SimplePCNN(beta = beta, a_L = 1, V_L = 1, a_T = 0.2, V_T = 20)
    connect cell -> cell.link: dense(autapses = false), w = 1{settle}
simulate Net:
    duration = 400
    drive cell.S = [1, 0.8]
    record cell.spikes
"""


def pair(run: Run, beta: float, settle: str = "") -> tuple[list[int], list[int]]:
    recording = run(PAIR.format(settle=settle), set={"beta": beta})
    return fires(recording, 0), fires(recording, 1)


def test_uncoupled_pair(run: Run) -> None:
    first, second = pair(run, 0.0)
    assert (len(first), len(second)) == (24, 23)
    assert len(set(first) & set(second)) == 2


@pytest.mark.parametrize("beta", [0.1, 0.4, 0.8])
def test_linking_follows_by_one_iteration(run: Run, beta: float) -> None:
    first, second = pair(run, beta)
    assert len({n + 1 for n in first} & set(second)) == 23


def test_fast_linking_is_simultaneous(run: Run) -> None:
    first, second = pair(run, 0.4, ", settle(max = 64)")
    assert len(first) == 24
    assert first == second
    first, second = pair(run, 0.2, ", settle(max = 64)")
    assert first != second  # 0.8*(1 + beta*L) stays below 1


REGIONS = """
from stdlib.neurons import SimplePCNN
network Net(beta = 0.1):
    input image[16, 16]
    population pixel[16, 16]: SimplePCNN(beta = beta, a_T = 0.2, V_T = 20, a_L = 1, V_L = 1, Theta = 1.5)
    connect image -> pixel.S: one_to_one
    connect pixel -> pixel.link: conv2d(1, kernel = 3, padding = same), w = [
        [0.5, 1, 0.5], [1, 0, 1], [0.5, 1, 0.5]]{settle}
simulate Net:
    duration = 12
    drive image = {image}
    record pixel.spikes
"""


def first_iterations(run: Run, beta: float, settle: bool) -> tuple[set[int], set[int]]:
    image = np.full((16, 16), 0.6)
    image[4:12, 4:12] = 1.0
    image += 0.02 * np.random.default_rng(0).standard_normal((16, 16))
    rows = ", ".join("[" + ", ".join(f"{value:.6f}" for value in row) + "]" for row in image)
    text = REGIONS.format(settle=", settle(max = 64)" if settle else "", image=f"[{rows}]")
    times, pixels = run(text, set={"beta": beta}).spikes("pixel")
    first = np.full(256, -1)
    for time, pixel in zip(times[::-1], pixels[::-1]):
        first[pixel] = int(time)
    grid = first.reshape(16, 16)
    inner = np.zeros((16, 16), bool)
    inner[4:12, 4:12] = True
    return set(grid[inner].tolist()), set(grid[~inner].tolist())


def test_segmentation(run: Run) -> None:
    assert first_iterations(run, 0.0, False) == ({2, 3}, {5, 6})
    assert first_iterations(run, 0.1, True) == ({2}, {5})
    inner, outer = first_iterations(run, 0.2, True)
    assert inner == {2}
    assert len(outer) == 1
    assert outer <= {4, 5}
    assert first_iterations(run, 0.4, True) == ({2}, {2})  # over-linking: the wave spreads over both
    inner, outer = first_iterations(run, 0.2, False)
    assert len(inner) > 1 or len(outer) > 1


def test_intersecting_cortical_model(run: Run) -> None:
    text = """
from stdlib.neurons import ICM
network Net:
    population cell[3]: ICM
simulate Net:
    duration = 50
    drive cell.S = [0.2, 0.5, 1]
    record cell.spikes
"""
    recording = run(text)
    assert fires(recording, 0) == [0, 13, 25, 37, 49]
    assert fires(recording, 1)[:6] == [0, 10, 19, 28, 36, 45]
    assert fires(recording, 2)[:7] == [0, 7, 14, 20, 26, 32, 38]


CONTINUOUS = """
from stdlib.neurons import CCNN
network Net(a_E = 0.5, V_E = 2):
    population cell[1]: CCNN(a_E = a_E, V_E = V_E, a_F = 50)
simulate Net:
    duration = 600
    drive cell.S = 5
    record cell.Y
"""


@pytest.mark.parametrize(
    ("a_E", "V_E", "cycle"),
    [(0.5, 2, [0.758508]), (0.5, 5, [0.419146]), (0.5, 10, [0.07980, 0.42222]), (1, 10, [0.01240, 0.80630])],
)
def test_continuous_coupled(run: Run, a_E: float, V_E: float, cycle: list[float]) -> None:
    """Constant input: the output settles on a point or a cycle of two."""
    y = run(CONTINUOUS, set={"a_E": a_E, "V_E": V_E})["cell.Y"][-12:, 0]
    assert sorted(y[: len(cycle)]) == pytest.approx(cycle, abs=1e-5)
    assert y[len(cycle):] == pytest.approx(y[: -len(cycle)], abs=1e-6)


def test_continuous_coupled_period_twelve(run: Run) -> None:
    y = run(CONTINUOUS, set={"a_E": 1, "V_E": 50})["cell.Y"][-60:, 0]
    assert y[12:] == pytest.approx(y[:-12], abs=1e-9)
    assert not any(np.allclose(y[k:], y[:-k], atol=1e-6) for k in (1, 2, 3, 4, 6))
