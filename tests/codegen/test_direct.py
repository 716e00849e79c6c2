"""Deliveries that go straight into a state: the same events and, to rounding, the same values; and what is left as it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.direct import direct
from snnlang.codegen.interpret import Interpreter
from snnlang.codegen.verify import verify
from tests.codegen.plans import POST, SYNAPSE, I, add, c, launch, load, mul, plan

STORE = k.Store("g", I, k.Local("g_new"))


def network(*extra: k.Statement, store: k.Statement = STORE) -> p.Plan:
    """Twelve neurons with a decaying input g, which jumps when a neighbour fired a step ago."""
    size = 12
    arrays = [
        p.Array("v", (size,), fill=0.3),
        p.Array("g", (size,)),
        p.Array("g_jump", (size,), role="scratch"),
        p.Array("w", (), connectivity="ring", fill=0.4),
    ]
    step: list[p.PlanNode] = [
        launch("arrive", k.Fan("ring", "pre", "spikes", 1), k.Accumulate("g_jump", POST, load("w", SYNAPSE))),
        p.ClearList("spikes"),
        launch(
            "advance",
            k.Each(size),
            k.Let("v_new", add(mul(c(0.9), load("v")), load("g"), mul(c(0.013), k.Call("real", (I,))))),
            k.Let("g_new", add(mul(c(0.7), load("g")), load("g_jump"))),
            k.Store("v", I, k.Local("v_new")),
            store,
            *extra,
            k.If(k.Compare(">", load("v"), c(1.0)), (k.Append("spikes"), k.Store("v", I, c(0.0))), rare=True),
        ),
        p.Fill("g_jump", 0.0),
    ]
    edges = {
        "pre": [i for i in range(size) for _ in range(2)],
        "post": [(i + j) % size for i in range(size) for j in (1, 5)],
    }
    return plan(
        "ring",
        arrays,
        step,
        lists=[p.EventList("spikes", size, 2)],
        connectivities=[p.Connectivity("ring", "sparse", size, size, range(size), range(size), "edges", edges)],
        recorders=[p.EventRecorder("spikes", "spikes"), p.ValueRecorder("g", "g"), p.ValueRecorder("v", "v")],
    )


def test_the_same_network_without_the_sum() -> None:
    before = network()
    after = direct(before)
    verify(before)
    verify(after)
    assert "g_jump" not in after.arrays
    assert [node.kernel.name for node in after.step if isinstance(node, p.Launch)] == ["advance", "arrive"]
    first, second = Interpreter(before), Interpreter(after)
    for interpreter in (first, second):
        interpreter.setup()
        interpreter.coefficients()
        interpreter.trial_start()
        interpreter.run(0, 300)
    assert len(first.records["spikes"]) > 100
    assert first.records["spikes"] == second.records["spikes"]
    for label in ("g", "v"):
        for (_, expected), (_, found) in zip(first.records[label], second.records[label]):
            assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_a_sum_that_the_event_test_reads_stays() -> None:
    reading = network(k.Let("total", k.Local("g_new")), k.Store("v", I, add(load("v"), k.Local("total"))))
    assert direct(reading) is reading


def test_a_state_that_is_used_after_it_was_stored_stays() -> None:
    bounded = network(k.Store("g", I, k.Call("min", (load("g"), c(2.0)))))
    assert direct(bounded) is bounded


def test_a_recorded_sum_stays() -> None:
    recorded = network()
    recorded = replace(recorded, recorders=(*recorded.recorders, p.ValueRecorder("jump", "g_jump")))
    assert direct(recorded) is recorded


def test_a_propagation_is_not_moved_across_what_it_reads() -> None:
    plain = network()
    arrays = {**plain.arrays, "gain": p.Array("gain", (12,), fill=1.0)}
    arrive, clear, advance, fill = plain.step
    assert isinstance(arrive, p.Launch)
    scaled = replace(arrive.kernel, body=(k.Accumulate("g_jump", POST, mul(load("w", SYNAPSE), load("gain", POST))),))
    between = launch("change", k.Each(12), k.Store("gain", I, mul(c(0.9), load("gain"))))
    crossing = replace(plain, arrays=arrays, step=(p.Launch(scaled), clear, between, advance, fill))
    assert direct(crossing) is crossing
    beside = replace(plain, arrays=arrays, step=(between, p.Launch(scaled), clear, advance, fill))
    assert direct(beside) is not beside


def test_spikes_of_this_step_are_not_waited_for() -> None:
    plain = network()
    arrive, clear, advance, fill = plain.step
    assert isinstance(arrive, p.Launch)
    now = replace(arrive.kernel, domain=k.Fan("ring", "pre", "spikes", 0))
    same = replace(plain, step=(p.Launch(now), clear, advance, fill))
    assert direct(same) is same
