"""Every hand-made plan on the interpreter and on NumPy: equal events, equal numbers to rounding, whatever the chunks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnlang.codegen import plan as p
from snnlang.codegen.simplify import simplify
from snnlang.codegen.verify import verify
from snnlang.runtime.device_interpreter import InterpreterDevice
from snnlang.runtime.device_numpy import NumpyDevice
from tests.codegen.plans import PLANS, SINGLE


def start(device: Any) -> None:
    device.setup()
    device.coefficients()
    device.trial_start()


def assert_equal(first: Any, second: Any, tolerance: float) -> None:
    """Arrays, lists, queues and records of two devices of one plan."""
    plan: p.Plan = first.plan
    for recorder in plan.recorders:
        if isinstance(recorder, p.EventRecorder):
            for a, b in zip(first.drain_events(recorder.label), second.drain_events(recorder.label)):
                np.testing.assert_array_equal(a, b, recorder.label)
        else:
            (steps, rows), (other_steps, other_rows) = (
                first.drain_values(recorder.label),
                second.drain_values(recorder.label),
            )
            np.testing.assert_array_equal(steps, other_steps)
            np.testing.assert_allclose(rows, other_rows, rtol=tolerance, atol=tolerance, err_msg=recorder.label)
            assert rows.dtype == other_rows.dtype
    for name, array in plan.arrays.items():
        a, b = first.read(name), second.read(name)
        assert a.dtype == b.dtype, name
        assert a.shape == b.shape, name
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=name)
        if array.depth > 1:
            slots = first.memory.arrays[name]
            np.testing.assert_allclose(
                slots,
                np.array(second.machine.arrays[name]).reshape(slots.shape),
                rtol=tolerance,
                atol=tolerance,
                err_msg=name,
            )
    for name, event_slots in first.memory.lists.items():
        assert [s.tolist() for s in event_slots] == second.machine.lists[name], name
    for name, waiting in first.memory.queues.items():
        assert [sorted(x for part in slot for x in part.tolist()) for slot in waiting] == [
            sorted(s) for s in second.machine.queues[name]
        ], name


@pytest.mark.parametrize("name", PLANS)
def test_numpy_equals_interpreter(name: str) -> None:
    plan = PLANS[name]
    verify(plan)
    fast, slow = NumpyDevice(plan), InterpreterDevice(plan)
    start(fast)
    start(slow)
    slow.run(0, 40)
    fast.run(0, 7)
    fast.run(7, 1)
    fast.run(8, 32)
    assert fast.step == slow.step == 40
    assert_equal(fast, slow, 1e-12)


@pytest.mark.parametrize("name", PLANS)
def test_simplified_equals_plain(name: str) -> None:
    plan = simplify(PLANS[name])
    verify(plan)
    fast, slow = NumpyDevice(plan), InterpreterDevice(PLANS[name])
    for device in (fast, slow):
        start(device)
        device.run(0, 30)
    assert_equal(fast, slow, 1e-12)


@pytest.mark.parametrize("name", SINGLE)
def test_single_precision(name: str) -> None:
    plan = SINGLE[name]
    verify(plan)
    fast, slow = NumpyDevice(plan), InterpreterDevice(plan)
    for device in (fast, slow):
        start(device)
        device.run(0, 25)
    for array in plan.arrays.values():
        if array.type == "real":
            assert fast.memory.arrays[array.name].dtype == np.float32, array.name
    assert_equal(fast, slow, 2e-5)


@pytest.mark.parametrize("kind", [NumpyDevice, InterpreterDevice])
def test_snapshot_goes_back_exactly(kind: Any) -> None:
    device = kind(PLANS["delayed"])
    start(device)
    device.run(0, 10)
    device.drain_events("spikes")
    device.drain_values("v")
    kept = device.snapshot()
    device.run(10, 20)
    events, values = device.drain_events("spikes"), device.drain_values("v")
    device.restore(kept)
    assert device.step == 10
    device.run(10, 20)
    np.testing.assert_array_equal(events, device.drain_events("spikes"))
    np.testing.assert_array_equal(values[1], device.drain_values("v")[1])


@pytest.mark.parametrize("kind", [NumpyDevice, InterpreterDevice])
def test_a_new_trial_forgets_what_was_under_way(kind: Any) -> None:
    device = kind(PLANS["delayed"])
    start(device)
    device.run(0, 12)
    device.trial_start(100)
    assert device.step == 100
    device.write("v", 0.0)
    device.run(100, 5)
    assert device.read("v").tolist() == [0.0] * 14


@pytest.mark.parametrize("kind", [NumpyDevice, InterpreterDevice])
def test_reading_and_writing(kind: Any) -> None:
    device = kind(PLANS["noisy"])
    start(device)
    device.run(0, 6)
    history = device.read("cell.history")
    device.write("cell.history", history * 2)
    np.testing.assert_allclose(device.read("cell.history"), history * 2)
    device.write("w", 3.0)
    assert device.read("w") == 3.0
    assert device.read("w").shape == ()
    device.write("cell.v", np.arange(25.0))
    assert device.read("cell.v")[24] == 24.0
    pre, post = device.synapses("some")
    assert pre.tolist() == [3, 4, 9, 11, 17]
    assert post.tolist() == [20, 21, 22, 23, 24]
    assert device.nbytes > 0


def test_text_has_no_dead_names_and_no_copies() -> None:
    text = NumpyDevice(PLANS["cuba"]).text
    assert ".copy()" not in text
    assert "E_spike = NONE" not in text
    assert "# tau_m*dv/dt = (E_L - v) + ge + gi" in text
