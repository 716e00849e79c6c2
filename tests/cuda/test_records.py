"""Records leave the device while it goes on, and arrive as late as they may; the memory that is asked for is what is taken."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from snnlang.codegen import plan as p
from snnlang.codegen.cuda_code import CudaCode
from snnlang.codegen.simplify import simplify
from snnlang.diagnostics import SnnError
from snnlang.runtime import cuda_estimate, cuda_memory
from snnlang.runtime.cuda_shim import ShimBackend, ShimModule
from snnlang.runtime.device_cuda import CudaDevice
from snnlang.runtime.device_interpreter import InterpreterDevice
from tests.codegen.plans import PLANS, cuba
from tests.cuda.test_device import Way, assert_equal, lowered, start
from tests.targets import needs_shim

pytestmark = needs_shim


class Late:
    """A copy that happens when it is waited for."""

    def __init__(self, backend: LateBackend, address: int, into: Any) -> None:
        self.backend, self.address, self.into, self.arrived = backend, address, into, False
        into[...] = 0xEE

    def wait(self) -> None:
        if not self.arrived:
            self.backend.log.append("arrive")
            self.backend.download(self.address, self.into)
            self.arrived = True


class LateModule:
    """A module that notes its launches."""

    def __init__(self, module: ShimModule, log: list[str]) -> None:
        self._module, self._log = module, log

    def launch(self, *arguments: Any, **options: Any) -> None:
        self._log.append("launch")
        self._module.launch(*arguments, **options)

    def graph(self, launches: Any, repeat: int) -> Any:
        made, log = self._module.graph(launches, repeat), self._log

        class Noted:
            def launch(self) -> None:
                log.append("launch")
                made.launch()

        return Noted()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class LateBackend(ShimBackend):
    """The shim as a device whose copies are slow: what the device writes over before they arrive is lost."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.log: list[str] = []

    def start_download(self, address: int, into: Any) -> Any:
        self.log.append("leave")
        return Late(self, address, into)

    def module(self, text: str, *, single: bool, name: str) -> Any:
        return LateModule(super().module(text, single=single, name=name), self.log)


@pytest.fixture
def small_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records so small that they leave again and again."""
    monkeypatch.setattr(cuda_memory, "FEW_EVENTS", 1)
    monkeypatch.setattr(cuda_memory, "MANY_EVENTS", 1)
    monkeypatch.setattr(cuda_memory, "RECORD_BYTES", 100)


@pytest.mark.usefixtures("small_records")
@pytest.mark.parametrize("way", ["resident", "graph"])
def test_copies_that_arrive_late_lose_nothing(way: Way) -> None:
    made, backend = cuba(60, 15), LateBackend()
    fast, slow = CudaDevice(made, backend, way=way), InterpreterDevice(made)
    for device in (fast, slow):
        start(device)
        device.run(0, 150)
        device.run(150, 150)
    log = backend.log
    assert log.count("leave") >= 20
    assert_equal(fast, slow, 1e-11)
    # between the moment in which a record leaves and its arrival steps were launched, all but at the last draining
    left, beside = [], 0
    for event in log[: len(log) - 1 - log[::-1].index("launch")]:
        if event == "leave":
            left.append(False)
        elif event == "launch":
            left = [True] * len(left)
        elif left:
            beside += left.pop(0)
    assert beside > 10
    assert beside >= log.count("leave") - 4


@pytest.mark.usefixtures("small_records")
def test_a_record_that_is_drained_twice_in_a_row() -> None:
    made, backend = cuba(60, 15), LateBackend()
    device = CudaDevice(made, backend)
    start(device)
    device.run(0, 100)
    first = device.drain_events("E.spikes")
    again = device.drain_events("E.spikes")
    assert len(first[0]) > 0
    assert len(again[0]) == 0


def device_bytes(made: p.Plan, backend: ShimBackend) -> tuple[float, float, CudaCode]:
    """What was estimated and what is used after every record left once, so that both of its halves are there."""
    free = backend.memory()[0]
    device = CudaDevice(made, backend)
    start(device)
    device.run(0, 10)
    for recorder in made.recorders:
        label = recorder.label
        if label not in device._banks:
            kind = "events" if isinstance(recorder, p.EventRecorder) else "rows"
            struct = "snn_event_record" if kind == "events" else "snn_value_record"
            fields = device.memory.fields[label, struct]
            if kind == "events":
                device._leave(label, kind, np.dtype(np.uint64), 0, 8 * fields["capacity"], None)
            else:
                dtype = device.memory.dtype(recorder.array)  # type: ignore[union-attr]
                whole = device._rows(label) * max(1, fields["width"] * dtype.itemsize)
                device._leave(label, kind, dtype, 0, whole, np.empty(0, np.int64))
    return cuda_estimate.estimate_device(made, device.code, free).total, device.nbytes, device.code


@pytest.mark.parametrize(
    "name", ["cuba", "cuba_delayed", "noisy", "plastic_dense", "plastic_sparse", "delayed", "delayed_post", "coupled"]
)
def test_the_estimate_is_what_is_taken(name: str) -> None:
    estimated, taken, _ = device_bytes(lowered(simplify(PLANS[name])), ShimBackend())
    assert estimated == pytest.approx(taken, rel=0.005)


def test_a_queue_takes_a_share_of_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    made = simplify(PLANS["delayed"])
    whole, _, _ = device_bytes(made, ShimBackend())
    monkeypatch.setattr(cuda_memory, "QUEUE_SHARE", 2**22)
    estimated, taken, _ = device_bytes(made, ShimBackend())
    assert estimated < whole
    assert estimated == pytest.approx(taken, rel=0.005)


def test_single_precision_takes_four_bytes_less_a_number() -> None:
    from dataclasses import replace

    from snnlang.codegen.target_cuda import emit

    made = simplify(PLANS["plastic_dense"])
    sizes = {}
    for precision in ("double", "single"):
        plan = replace(made, precision=precision)
        sizes[precision] = cuda_estimate.estimate_device(plan, emit(plan), 2**32).classes
    synapses = cuda_estimate.synapse_counts(made)
    reals = [a for a in made.arrays.values() if a.connectivity is not None and a.type == "real"]
    numbers = sum(synapses[str(a.connectivity)] * a.depth for a in reals)
    assert numbers > 0
    name = cuda_estimate.NUMBERS
    assert sizes["double"][name] - sizes["single"][name] == 4 * numbers


def test_too_little_memory_says_how_much_and_what_for() -> None:
    backend = ShimBackend(total=2**23)
    with pytest.raises(SnnError) as raised:
        CudaDevice(cuba(40_000, 10_000, probability=0.1), backend)
    (found,) = raised.value.diagnostics
    assert found.code == "E741"
    assert re.search(
        r"about \d+ MB are needed, 8.39 MB of 8.39 MB are free; \d+ MB of it for [\de.+]+ synapses of ", found.message
    )
    assert "--precision float32" in found.help[0]
    assert backend.memory() == (2**23, 2**23)


def test_events_are_never_more_than_the_device_counts() -> None:
    """Half a billion neurons and more: their record stops the device more often, and its count does not turn over."""
    assert cuda_memory.event_capacity(1000) == 64_000
    assert cuda_memory.event_capacity(10**7) == 4 * 10**7
    for size in (2**29 - 1, 2**29, 2**30, 2**31 - 1):
        assert size <= cuda_memory.event_capacity(size) <= 2**31 - 1
