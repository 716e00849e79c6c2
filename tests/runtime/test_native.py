"""The native device beside the NumPy device: the same numbers, types, records, states to go back to, and refusals."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import snnlang
from snnlang.codegen.plan import Plan
from snnlang.compile import compile_experiment, load_program
from snnlang.diagnostics import Diagnostic, SnnError, Source
from snnlang.model.elaborate import Overrides
from snnlang.runtime import threads
from snnlang.runtime.device_c import LAST_STEP, NativeDevice
from snnlang.runtime.device_numpy import NumpyDevice
from tests.targets import needs_compiler

pytestmark = needs_compiler

TEXT = """
from stdlib.neurons import CubaLIF

network Net(N = 200):
    population E[N]: CubaLIF(v = uniform(-60 mV, -50 mV))
    population I[N/4]: CubaLIF(v = uniform(-60 mV, -50 mV))
    connect E -> E.g_e: random(0.1), w = 1.6 mV, delay = uniform(0.5 ms, 3 ms)
    connect E -> I.g_e: random(0.1), w = 1.6 mV, delay = 1 ms
    connect I -> E.g_i: fixed_indegree(10), w = uniform(-12 mV, -6 mV), delay = 0.5 ms

simulate Net:
    dt = 0.1 ms
    duration = 60 ms
    seed = 3
    record E.spikes, I.spikes
    record E.v[1:4] every 0.5 ms
    record I.v
"""


def plan(precision: Any = "float64", **values: Any) -> Plan:
    program = load_program(Source("net.snn", TEXT))
    return compile_experiment(program, None, Overrides(precision=precision, values=values))[1]


def started(device: Any) -> Any:
    device.setup()
    device.coefficients()
    device.trial_start()
    return device


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_as_the_numpy_device(precision: str) -> None:
    made = plan(precision)
    native, numpy = started(NativeDevice(made)), started(NumpyDevice(made))
    for first, count in ((0, 1), (1, 99), (100, 200)):
        native.run(first, count)
        numpy.run(first, count)
        for recorder in made.recorders:
            drain = "drain_events" if hasattr(recorder, "list") else "drain_values"
            one, other = (getattr(device, drain)(recorder.label) for device in (native, numpy))
            for mine, its in zip(one, other):
                assert mine.dtype == its.dtype
                assert mine.shape == its.shape
                np.testing.assert_allclose(mine, its, rtol=1e-12 if precision == "float64" else 2e-4, atol=1e-4)
    assert native.step == numpy.step == 300
    for name in made.arrays:
        mine, its = native.read(name), numpy.read(name)
        assert (mine.dtype, mine.shape) == (its.dtype, its.shape), name
        np.testing.assert_allclose(mine, its, rtol=1e-9 if precision == "float64" else 2e-3, atol=1e-3, err_msg=name)
    for name in made.connectivities:
        for mine, its in zip(native.synapses(name), numpy.synapses(name)):
            np.testing.assert_array_equal(mine, its)
    assert native.nbytes > sum(values.nbytes for values in native._views.values() if values.size > 1000)


def test_nothing_recorded_has_the_shape_of_something() -> None:
    made = plan()
    native, numpy = started(NativeDevice(made)), started(NumpyDevice(made))
    for recorder in made.recorders:
        drain = "drain_events" if hasattr(recorder, "list") else "drain_values"
        for mine, its in zip(getattr(native, drain)(recorder.label), getattr(numpy, drain)(recorder.label)):
            assert (mine.dtype, mine.shape) == (its.dtype, its.shape)


def test_back_to_a_state_and_on_again() -> None:
    made = plan()
    device = started(NativeDevice(made))
    device.run(0, 150)
    device.drain_events("E.spikes")
    before = device.snapshot()
    device.run(150, 200)
    first = [values.copy() for values in device.drain_events("E.spikes")]
    last = {name: device.read(name) for name in made.arrays}
    device.restore(before)
    assert device.step == 150
    device.run(150, 200)
    for mine, its in zip(device.drain_events("E.spikes"), first):
        np.testing.assert_array_equal(mine, its)
    for name, values in last.items():
        np.testing.assert_array_equal(device.read(name), values, err_msg=name)


def test_weights_that_the_user_sets_go_back_too() -> None:
    made = plan()
    device = started(NativeDevice(made))
    name = next(a.name for a in made.arrays.values() if a.owner == "I->E.g_i" and a.role == "weight" and a.connectivity)
    old = device.read(name)
    before = device.snapshot()
    device.write(name, -1.0)
    between = device.snapshot()
    device.write(name, np.arange(old.size))
    device.restore(between)
    np.testing.assert_array_equal(device.read(name), np.full(old.size, -1.0))
    device.restore(before)
    np.testing.assert_array_equal(device.read(name), old)
    device.restore(between)
    np.testing.assert_array_equal(device.read(name), np.full(old.size, -1.0))


def test_what_is_read_is_a_copy() -> None:
    device = started(NativeDevice(plan()))
    name = next(name for name, array in device.plan.arrays.items() if array.owner == "E" and array.variable == "v")
    values = device.read(name)
    values[:] = 1e9
    assert device.read(name).max() < 11
    device.write(name, 5.0)
    assert set(device.read(name)) == {5.0}


@pytest.mark.parametrize("number", [2, 3, 7])
def test_the_number_of_threads_changes_nothing(number: int) -> None:
    made = plan()
    one, many = started(NativeDevice(made, threads=1)), started(NativeDevice(made, threads=number))
    assert (one.threads, many.threads) == (1, number)
    for device in (one, many):
        device.run(0, 400)
    for mine, its in zip(one.drain_events("E.spikes"), many.drain_events("E.spikes")):
        np.testing.assert_array_equal(mine, its)
    for name in made.arrays:
        np.testing.assert_array_equal(one.read(name), many.read(name), err_msg=name)


def test_a_size_or_a_parameter_compiles_nothing() -> None:
    texts = {NativeDevice(plan(N=size)).text for size in (200, 240)}
    assert len(texts) == 1


def test_memory_goes_with_the_device() -> None:
    device = NativeDevice(plan())
    gone = weakref.ref(device)
    del device
    gc.collect()
    assert gone() is None


def test_threads_by_the_work_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "cores", lambda: 8)
    monkeypatch.setattr(threads, "free", lambda: 64)
    small, large = plan(N=40), plan(N=20_000)
    assert threads.threads_for(small) == 1
    assert threads.step_work(large) > 20 * threads.step_work(small)
    assert 1 < threads.threads_for(large) <= 8
    assert threads.threads_for(small, 3) == 3
    assert threads.threads_for(small, 10_000) == threads.MOST
    monkeypatch.setattr(threads, "free", lambda: 1)
    assert threads.threads_for(large) == 1
    monkeypatch.setattr(threads, "free", lambda: 64)
    monkeypatch.setattr(threads, "cores", lambda: 1)
    assert threads.threads_for(large) == 1
    assert threads.cores() == 1


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_more_steps_than_can_be_counted() -> None:
    device = started(NativeDevice(plan()))
    with pytest.raises(SnnError) as problem:
        device.run(0, LAST_STEP + 1)
    assert problem.value.diagnostics[0].code == "E737"
    assert device.step == 0


@pytest.mark.parametrize(
    ("function", "answer", "code"), [("snn_run", -1, "E737"), ("snn_run", -2, "E805"), ("snn_restore", 0, "E805")]
)
def test_what_the_system_refuses(function: str, answer: int, code: str) -> None:
    device = started(NativeDevice(plan()))
    state = device.snapshot()

    class Refusing:
        def __getattr__(self, name: str) -> Any:
            return (lambda *_: answer) if name == function else getattr(device._call, name)

    whole, device._call = device._call, Refusing()
    try:
        with pytest.raises(SnnError) as problem:
            device.run(0, 10) if function == "snn_run" else device.restore(state)
    finally:
        device._call = whole
    assert problem.value.diagnostics[0].code == code


def test_no_memory_for_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnlang.runtime.device_c._declared", lambda _: type("None", (), {"snn_create": lambda *_: 0}))
    with pytest.raises(SnnError) as problem:
        NativeDevice(plan())
    assert problem.value.diagnostics[0].code == "E805"


def test_a_number_that_is_not_finite_is_located() -> None:
    text = """
neuron Cell:
    state v = 0 mV
    dv/dt = (1 mV + 0.1 mV*sqrt(5 - v/(1 mV)))/(1 ms)

network Net:
    population cell[70]: Cell

simulate Net:
    duration = 50 ms
    method = "euler"
    record cell.v
"""
    found: list[Diagnostic] = []
    for target in ("numpy", "c"):
        with pytest.raises(SnnError) as problem:
            snnlang.load(text).run(target=target, progress=False)
        found += problem.value.diagnostics
    assert [diagnostic.code for diagnostic in found] == ["E825", "E825"]
    assert str(found[0]) == str(found[1])
