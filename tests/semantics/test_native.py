"""What compiled code could get wrong and interpreted code does not: names that C knows, parts of threads, sizes around its blocks."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pytest

import snnlang
from tests.targets import Run

NAMES = """
    neuron main:
        param int = 0.1/ms
        param marked = 2
        input rows = 0
        state lane = 0.5
        state same_1 = 0.25
        state α = 1
        port state count = 0

        number = lane*marked + same_1
        fired = exp(-number) + α*exp(-marked)
        alpha = sin(fired) + exp(-int*dt*marked)
        dlane/dt = int*(rows + alpha - lane)
        dsame_1/dt = -int*(same_1 - fired)
        dα/dt = -int*(α - number)
        dcount/dt = -int*count

        spike when lane + count > 0.9
        on spike:
            lane = 0
            same_1 += 0.1

    synapse while:
        weight grid = 0.3 in [0, 1]
        trace stop on pre decay 5 ms
        on pre:
            deliver grid
            grid -= 0.01*stop
        on post: grid += 0.02*stop

    network struct(n = 37):
        input fired[37]
        population cell[n]: main
        population m[n]: main(marked = 3)
        connect own = cell -> m.count: random(0.3) via while
        connect place = m -> cell.count: dense via while(grid = uniform(0, 0.4)), delay = 1 ms
        connect fired -> cell.rows: one_to_one, w = 0.5

    simulate struct:
        dt = 0.5 ms
        duration = 40 ms
        drive m.rows = 0.3
        record cell.spikes, m.spikes, cell.lane, m.alpha
"""


def test_names_that_c_knows(run: Run) -> None:
    text = textwrap.dedent(NAMES)
    found = run(text)
    expected = snnlang.load(text).run(target="interpreter", progress=False)
    for population in ("cell", "m"):
        for ours, theirs in zip(found.spikes(population), expected.spikes(population)):
            assert np.array_equal(ours, theirs)
    assert len(expected.spikes("m")[0]) > 20
    for label in ("cell.lane", "m.alpha"):
        assert np.allclose(found[label], expected[label], rtol=1e-9, atol=1e-12)


BLOCKS = """
    from stdlib.neurons import CubaLIF

    network Net(N = 64, p = 0.05):
        population cell[N]: CubaLIF(v = uniform(-60 mV, -50 mV))
        connect cell[0:floor(0.8*N)] -> cell.g_e: random(p), w = 3 mV
        connect cell[floor(0.8*N):N] -> cell.g_i: random(p), w = -4 mV

    simulate Net:
        dt = 0.1 ms
        duration = 15 ms
        record cell.spikes
"""


@pytest.mark.parametrize("size", [2, 63, 64, 65, 1023, 1024, 1025, 2049])
def test_sizes_around_the_blocks(size: int, run_native: Any) -> None:
    """The same spikes as NumPy for sizes around the cache line and the block, and for any number of threads."""
    model = snnlang.load(textwrap.dedent(BLOCKS))
    options: dict[str, Any] = {"set": {"N": size, "p": min(1.0, 40 / size)}, "progress": False}
    expected = model.run(target="numpy", **options).spikes("cell")
    for threads in (1, 2, 3, 7):
        found = model.run(target="c", threads=threads, **options).spikes("cell")
        assert np.array_equal(found[0], expected[0])
        assert np.array_equal(found[1], expected[1])


@pytest.fixture
def run_native() -> None:
    """Skips visibly where there is no compiler."""
    from snnlang.runtime.compiler import find

    if find() is None:
        pytest.skip("no C compiler")


MEMBERS = """
    from stdlib.neurons import LIF

    network Net:
        population a[6]: LIF
        connect lost = a -> a.v: random(0.6), w = 0.5 mV
        connect room = a -> a.v: random(0.6), w = 0.25 mV
        connect ranked = a -> a.v: random(0.6), w = -0.5 mV
        connect barrier = a -> a.v: random(0.6), w = 0.125 mV
        connect initial = a -> a.v: random(0.6), w = 1 mV
        connect records = a -> a.v: random(0.6), w = 0.5 mV
        connect model = a -> a.v: random(0.6), w = 0.5 mV
        connect time_offset = a -> a.v: random(0.6), w = 0.5 mV

    simulate Net:
        dt = 0.1 ms
        duration = 80 ms
        drive a.I = 400 pA
        record a.spikes
"""


def test_connections_named_like_parts_of_every_model(run: Run) -> None:
    text = textwrap.dedent(MEMBERS)
    found, expected = run(text), snnlang.load(text).run(target="interpreter", progress=False)
    for ours, theirs in zip(found.spikes("a"), expected.spikes("a")):
        assert np.array_equal(ours, theirs)
    assert len(expected.spikes("a")[0]) > 6
