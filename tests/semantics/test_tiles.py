"""Blocks of neurons through many steps: everything is, bit for bit, what it is when one step is done after the other.

Blocks are 64 neurons and chunks a few steps here, so that small networks have many of both, and the last of each is cut short.
"""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import snnlang
from snnlang.codegen import plan as p
from snnlang.codegen.c_tiling import Tiles
from snnlang.codegen.direct import direct
from snnlang.codegen.target_c import emit
from snnlang.compile import load_program, prepare
from snnlang.diagnostics import Source
from snnlang.model.elaborate import Overrides
from snnlang.runtime.device_c import NativeDevice
from snnlang.runtime.device_interpreter import InterpreterDevice
from tests.targets import needs_compiler

pytestmark = needs_compiler

NEVER = Tiles(bytes=2**50)
SMALL = Tiles(steps=7, neurons=64, bytes=0)

MANY = """
    from stdlib.neurons import LIF, Poisson

    neuron Bursting:
        "Two kinds of event, a delayed reset, and draws."
        param a = 0.02/ms
        param drive = 0 mV/ms
        state v = -65 mV
        state u = -13 mV/ms
        dv/dt = 0.04/mV/ms*v^2 + 5/ms*v + 140 mV/ms - u + drive + 3 mV*sqrt(2*a)*xi
        du/dt = a*(0.2/ms*v - u)
        event high when v > 0 mV
        spike when v >= 30 mV
        on spike:
            v = -65 mV
            u += 8 mV/ms
            hold v for 1 ms

    network Net(N = 333):
        population a[N]: LIF(v = uniform(-60 mV, -50 mV))
        population b[2*N]: Bursting(drive = uniform(0 mV/ms, 20 mV/ms))
        population c[N]: Poisson(rate = 200 Hz)

    simulate Net:
        dt = 0.1 ms
        duration = 20 ms
        seed = 3
        drive a.I = 0.3 nA*(1 + sin(t/(3 ms))) + 0.001 nA*index
        at 5 ms: a.v += 5 mV
        at 7.1 ms: b.u = 0 mV/ms
        record a.spikes, b.spikes, c.spikes, b.high
        record b[0:333].spikes
        record a.v[0:5] every 0.7 ms
        record a.I every 0.2 ms
        record b.u[330:340]
        record b.v every 0.3 ms
"""

DELAYED = """
    neuron Discrete:
        "A difference model that looks two steps back at its variable and one at its spike."
        param beta = 0.9
        input x = 0
        state v = 0
        w[n] = 0.1*v[n-2] + 0.2*v[n-1]
        v[n] = beta*v[n-1] + x[n] - spike[n-1] - w[n]
        spike when v > 1

    network Net(N = 300):
        population cell[N]: Discrete(beta = uniform(0.5, 0.95))

    simulate Net:
        dt = 1 ms
        duration = 60 ms
        seed = 2
        drive cell.x = 0.6*uniform(0, 1)
        record cell.spikes
        record cell.v
        record cell.w[5:9] every 3 ms
"""

HANDLED = """
    neuron Resting:
        "Something rare: every 2 ms all thresholds fall."
        param drive = 0 mV
        state v = 0 mV
        state theta = 10 mV
        10 ms*dv/dt = drive - v
        dtheta/dt = 0 mV/ms
        spike when v > theta
        on spike:
            v = 0 mV
            theta += 1 mV
        on every 2 ms: theta *= 0.9

    network Net(N = 200):
        population cell[N]: Resting(drive = uniform(0 mV, 40 mV))

    simulate Net:
        dt = 0.1 ms
        duration = 15 ms
        record cell.spikes
        record cell.theta every 1 ms
"""


def plan_of(text: str, precision: str = "float64") -> p.Plan:
    program = load_program(Source("tiles.snn", textwrap.dedent(text)))
    plan = direct(prepare(program, Overrides(precision=precision)).plan)
    return replace(plan, recorders=tuple(map(shuffled, plan.recorders)))


def shuffled(recorder: p.EventRecorder | p.ValueRecorder) -> p.EventRecorder | p.ValueRecorder:
    """One recorder with its neurons in no order, and one of them twice."""
    if recorder.label != "b.u":
        return recorder
    assert recorder.indices is not None
    return replace(recorder, indices=recorder.indices[[9, 0, 5, 5, 2]])


def device(plan: p.Plan, tiles: Tiles, threads: int = 1, **options: Any) -> NativeDevice:
    made = NativeDevice(plan, threads=threads, code=emit(plan, tiles=tiles, **options))
    made.setup()
    made.coefficients()
    made.trial_start()
    return made


def drained(made: Any, plan: p.Plan) -> dict[str, tuple[Any, Any]]:
    return {
        r.label: made.drain_events(r.label) if isinstance(r, p.EventRecorder) else made.drain_values(r.label)
        for r in plan.recorders
    }


def same(one: NativeDevice, other: NativeDevice, plan: p.Plan) -> None:
    """All that is kept, and all that was recorded since the last time, in the same order."""
    assert one.step == other.step
    for name in plan.arrays:
        assert np.array_equal(one._view(name), other._view(name)), name
    ours, theirs = drained(one, plan), drained(other, plan)
    for label in ours:
        for mine, yours in zip(ours[label], theirs[label], strict=True):
            assert np.array_equal(mine, yours), label
    if one.threads == other.threads:  # lists and all
        assert np.array_equal(one.snapshot().memory, other.snapshot().memory)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("text", [MANY, DELAYED, HANDLED], ids=["many", "delayed", "handled"])
def test_the_same_bits(text: str, precision: str) -> None:
    plan = plan_of(text, precision)
    assert "tiles__(m, at" in emit(plan).text
    ordinary = device(plan, NEVER)
    blocks = device(plan, SMALL)
    for count in (3, 20, 1, 50, 4, 66):
        ordinary.run(ordinary.step, count)
        blocks.run(blocks.step, count)
        same(blocks, ordinary, plan)


@pytest.mark.parametrize("tiles", [SMALL, Tiles(steps=4, neurons=128, bytes=0), Tiles(bytes=0)], ids=str)
@pytest.mark.parametrize("threads", [2, 3])
def test_threads(threads: int, tiles: Tiles) -> None:
    plan = plan_of(MANY)
    ordinary = device(plan, NEVER)
    blocks, apart = device(plan, tiles, threads), device(plan, NEVER, threads)
    for count in (120, 80):
        for made in (ordinary, blocks, apart):
            made.run(made.step, count)
        assert np.array_equal(blocks.snapshot().memory, apart.snapshot().memory)
        same(blocks, ordinary, plan)
        drained(apart, plan)


def test_something_happens() -> None:
    plan = plan_of(MANY)
    made = device(plan, SMALL)
    made.run(0, 200)
    found = drained(made, plan)
    for label in ("a.spikes", "b.spikes", "c.spikes", "b.high"):
        assert len(found[label][0]) > 100
    steps, rows = found["b.v"]
    assert np.array_equal(steps, np.arange(2, 200, 3))
    assert rows.shape == (66, 666)
    assert np.array_equal(np.sort(found["a.spikes"][0]), found["a.spikes"][0])


@pytest.mark.parametrize("text", [MANY, DELAYED, HANDLED], ids=["many", "delayed", "handled"])
def test_the_interpreter_agrees(text: str) -> None:
    plan = plan_of(
        text.replace("N = 333", "N = 70")
        .replace("N = 300", "N = 70")
        .replace("0:333", "0:70")
        .replace("330:340", "60:70")
    )
    slow, blocks = InterpreterDevice(plan), device(plan, SMALL, 2)
    slow.setup()
    slow.coefficients()
    slow.trial_start()
    slow.run(0, 60)
    blocks.run(0, 60)
    ours, theirs = drained(blocks, plan), drained(slow, plan)
    for recorder in plan.recorders:
        for mine, yours in zip(ours[recorder.label], theirs[recorder.label], strict=True):
            if isinstance(recorder, p.EventRecorder):
                assert np.array_equal(mine, yours), recorder.label
            else:
                assert np.allclose(mine, np.asarray(yours).reshape(np.shape(mine)), rtol=1e-9), recorder.label


def test_going_back_to_a_state() -> None:
    plan = plan_of(DELAYED)
    made = device(plan, SMALL, 2)
    made.run(0, 25)
    kept = made.snapshot()
    drained(made, plan)
    made.run(25, 30)
    first = drained(made, plan)
    made.restore(kept)
    made.run(25, 30)
    again = drained(made, plan)
    for label in first:
        for one, other in zip(first[label], again[label], strict=True):
            assert np.array_equal(one, other)


def test_a_new_trial() -> None:
    plan = plan_of(MANY)
    ordinary, blocks = device(plan, NEVER), device(plan, SMALL)
    for made in (ordinary, blocks):
        made.run(0, 40)
        made.trial_end()
        made.trial_start()
        made.run(40, 45)
    same(blocks, ordinary, plan)


def test_what_is_written_between_runs_is_seen() -> None:
    plan = plan_of(HANDLED)
    ordinary, blocks = device(plan, NEVER), device(plan, SMALL)
    for made in (ordinary, blocks):
        made.run(0, 33)
        made.write("cell_v", np.linspace(0, 20, 200))
        made.run(33, 50)
    same(blocks, ordinary, plan)


def test_lists_keep_their_past() -> None:
    """A list of the last five steps, as a later step would look at it."""
    plan = plan_of(MANY)
    lists = {name: p.EventList(e.name, e.size, 5, e.owner, e.event) for name, e in plan.lists.items()}
    deep = replace(plan, lists=lists)
    for threads in (1, 2):
        ordinary, blocks = device(deep, NEVER, threads), device(deep, Tiles(steps=4, neurons=64, bytes=0), threads)
        for count in (23, 4, 1, 11):
            ordinary.run(ordinary.step, count)
            blocks.run(blocks.step, count)
            same(blocks, ordinary, deep)


def test_small_networks_do_one_step_after_the_other() -> None:
    """The default decides by the states of a thread: a million neurons run in blocks, a hundred do not."""
    small = emit(plan_of(MANY))
    other = emit(plan_of(MANY), tiles=SMALL)
    assert small.text == other.text
    assert small.whole != other.whole


def test_strict_mathematics() -> None:
    plan = plan_of(MANY)
    ordinary = NativeDevice(plan, threads=1, math="strict", code=emit(plan, math="strict", tiles=NEVER))
    blocks = NativeDevice(plan, threads=1, math="strict", code=emit(plan, math="strict", tiles=SMALL))
    for made in (ordinary, blocks):
        made.setup()
        made.coefficients()
        made.trial_start()
        made.run(0, 100)
    same(blocks, ordinary, plan)


def test_a_run_by_the_front_door() -> None:
    """Large enough for blocks by itself: spikes, values and what a chunk of Python's leaves are those of NumPy."""
    text = (
        textwrap.dedent(MANY)
        .replace("N = 333", "N = 3000")
        .replace("0:333", "0:3000")
        .replace("duration = 20 ms", "duration = 4 ms")
    )
    program = snnlang.load(text)
    ours, theirs = program.run(target="c", progress=False), program.run(target="numpy", progress=False)
    for population in ("a", "b", "c"):
        for mine, yours in zip(ours.spikes(population), theirs.spikes(population), strict=True):
            assert np.array_equal(mine, yours)
    assert np.allclose(ours["b.v"], theirs["b.v"], rtol=1e-9)
