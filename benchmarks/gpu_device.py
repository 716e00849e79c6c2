"""What gpu.py measures on a device: its limits (copies, launches, meetings of all threads), and the time of a step of one plan.

Everything runs in this process, through the backend that target cuda uses; a step's time comes from runs of many steps, each ended by
waiting for the device, so that a run includes what a user would wait for: stops for full records, and the host between graphs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from snnlang.codegen.plan import EventRecorder, Plan
from snnlang.codegen.target_cuda import HEADERS, header

#: What has no loop but waits: launches one by one, in graphs, and meetings of a kernel that stays on the device.
TEXT = """
typedef float real;
extern "C" {
__device__ snn_clock the_clock;
__global__ void nothing(void) {}
__global__ void __launch_bounds__(SNN_RESIDENT_THREADS) meetings(const long long count)
{
    for (long long n = 0; n < count; n++) snn_meet(&the_clock);
}
}
"""
GRAPH = 256


@dataclass(frozen=True, slots=True)
class DeviceLimits:
    """``copy``: bytes per second that a copy on the device reads and writes together. Microseconds: ``launch`` of one empty kernel after
    another, ``graph`` of one in a graph, ``meet_one`` and ``meet_all`` of a meeting of one block and of all that the device holds,
    ``wait`` for a launch and its end."""

    copy: float
    launch: float
    graph: float
    meet_one: float
    meet_all: float
    wait: float

    def plain(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one step: the best and the median of several runs; events of each list in a step; how many steps a run had."""

    best: float
    median: float
    events: Mapping[str, float]
    steps: int

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def limits(backend: Any, small: bool) -> DeviceLimits:
    """``small``: for the shim, where nothing of this means anything."""
    nbytes = 1 << 20 if small else min(1 << 30, backend.memory()[0] // 4)
    one, other = backend.allocate(nbytes), backend.allocate(nbytes)

    def copy(times: int) -> None:
        for _ in range(times):
            backend.copy(other, one, nbytes)

    copied = nbytes * 2 / _each(backend, copy, 2 if small else 20)
    for address in (one, other):
        backend.release(address)
    text = "\n".join(header(folder, name) for folder, name in HEADERS) + TEXT
    module = backend.module(text, single=True, name="limits")

    def launch(times: int) -> None:
        for _ in range(times):
            module.launch("nothing", 1)

    def wait(times: int) -> None:
        for _ in range(times):
            module.launch("nothing", 1)
            backend.synchronize()

    graph = module.graph([("nothing", 1)], GRAPH)

    def graphs(times: int) -> None:
        for _ in range(times):
            graph.launch()

    many = 10 if small else 1000
    threads = min(512, 2 * backend.block)
    meetings = {}
    for blocks in (1, module.resident_blocks("meetings", threads)):

        def meet(times: int, blocks: int = blocks) -> None:
            module.launch("meetings", blocks, (times,), block=threads, cooperative=True)

        meetings[blocks] = _each(backend, meet, many) * 1e6
    return DeviceLimits(
        copied, _each(backend, launch, many) * 1e6, _each(backend, graphs, 2 if small else 20) / GRAPH * 1e6,
        meetings[1], meetings[max(meetings)], _each(backend, wait, many) * 1e6,
    )  # fmt: skip


def _each(backend: Any, do: Any, times: int) -> float:
    """Seconds of one, the best of three tries."""
    best = float("inf")
    for _ in range(4):  # the first one warms up
        backend.synchronize()
        start = time.perf_counter()
        do(times)
        backend.synchronize()
        best = min(best, (time.perf_counter() - start) / times)
    return best


def timed(device: Any, plan: Plan, seconds: float, backend: Any = None, unit: int = 1) -> Timing:
    """Set up, run in for a tenth of a simulated second or as long as measuring takes, then three runs of about ``seconds``."""
    device.setup()
    device.coefficients()
    device.trial_start()
    step = 0

    def run(count: int) -> float:
        nonlocal step
        start = time.perf_counter()
        device.run(step, count)
        if backend is not None:
            backend.synchronize()
        step += count
        return (time.perf_counter() - start) / count

    run(2)
    _drain(device, plan)
    if run(4) * unit > seconds:  # slow steps need no graphs of many
        unit = 1
    first = 2 * unit
    run(first)
    each = run(first)
    warm = min(round(100 / plan.dt), max(first, int(3 * seconds / each)))
    each = run(-(-warm // unit) * unit)
    count = max(1, round(seconds / each / unit)) * unit
    _drain(device, plan)
    tries, events = [], dict.fromkeys(plan.lists, 0.0)
    for _ in range(3):
        tries.append(run(count))
        for name, number in _drain(device, plan).items():
            events[name] += number / (3 * count)
    return Timing(min(tries), sorted(tries)[1], events, count)


def _drain(device: Any, plan: Plan) -> dict[str, int]:
    """Events of each recorded list since the last time."""
    return {r.list: len(device.drain_events(r.label)[0]) for r in plan.recorders if isinstance(r, EventRecorder)}
