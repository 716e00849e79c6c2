"""Runs a device for many steps: in chunks, checked, recorded, with a bar, and stopped by Ctrl-C between two of them.

A chunk lasts about a fifth of a second. Before each the device's state is kept, so that a number that stops being finite
can be traced to its first step (see :mod:`snnlang.runtime.failure`). Recorded rows leave the device after each chunk.
"""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.plan import EventRecorder, Plan, ValueRecorder
from snnlang.diagnostics import Diagnostic, SnnError
from snnlang.runtime.device import Device
from snnlang.runtime.failure import Watch, locate
from snnlang.runtime.progress import Bar, Interruption
from snnlang.runtime.stream import Sink

CHUNK_SECONDS = 0.2
#: How many times longer than the chunk before it a chunk may be: the first steps say little about those that follow.
GROWTH = 32
CHUNK_BYTES = 64 << 20


@dataclass(slots=True)
class Seen:
    """What recorders saw since :meth:`Stepper.watch` began: parts by array name (``E.spikes.times``)."""

    parts: dict[str, list[NDArray[Any]]] = field(default_factory=dict)

    def add(self, name: str, rows: NDArray[Any]) -> None:
        self.parts.setdefault(name, []).append(rows)

    def array(self, name: str) -> NDArray[Any] | None:
        found = self.parts.get(name)
        if found is None:
            return None
        if len(found) > 1:
            self.parts[name] = found = [np.concatenate(found)]
        return found[0]


class Stepper:
    """Advances a device. ``hidden`` names recorders whose rows are only seen, not kept.

    ``stopped`` becomes True when Ctrl-C ended an advance; ``seconds`` is the wall time spent in the device.
    """

    def __init__(self, device: Device, plan: Plan, sink: Sink, hidden: frozenset[str] = frozenset()) -> None:
        self.device = device
        self.plan = plan
        self.sink = sink
        self.hidden = hidden
        self.stopped = False
        self.seconds = 0.0
        self.seen: Seen | None = None
        self.watch = Watch(plan)
        self._chunk = 1
        self._widest = max(1, CHUNK_BYTES // max(1, self._bytes_per_step()))
        for recorder in plan.recorders:
            if recorder.label in hidden:
                continue
            if isinstance(recorder, EventRecorder):
                sink.declare(f"{recorder.label}.times", np.float64)
                sink.declare(f"{recorder.label}.indices", np.int64)
            else:
                sink.declare(recorder.label, self._dtype(recorder), (self.items(recorder),))
                sink.declare(f"{recorder.label}.times", np.float64)

    # --- sizes --------------------------------------------------------------------------------------------------------

    def items(self, recorder: ValueRecorder) -> int:
        """Number of values in one row."""
        if recorder.indices is not None:
            return len(recorder.indices)
        return int(self.device.read(recorder.array).size)  # none, where chance made no synapse

    def _dtype(self, recorder: ValueRecorder) -> np.dtype[Any]:
        return np.dtype(self.device.read(recorder.array).dtype)

    def _bytes_per_step(self) -> float:
        return sum(8 * self.items(r) / r.every for r in self.plan.recorders if isinstance(r, ValueRecorder)) or 1

    def row_bytes(self, steps: int) -> int:
        """Bytes that the values recorded in so many steps take."""
        kept = (r for r in self.plan.recorders if isinstance(r, ValueRecorder) and r.label not in self.hidden)
        return int(sum((8 + self._dtype(r).itemsize * self.items(r)) * (steps // r.every) for r in kept))

    # --- running ------------------------------------------------------------------------------------------------------

    def advance(self, count: int, bar: Bar, interruption: Interruption) -> int:
        """Run ``count`` steps or fewer (Ctrl-C); returns how many ran. Raises E825 (not finite) and E824 (disk full)."""
        device, first = self.device, self.device.step
        end = first + count
        while device.step < end:
            if interruption.asked:
                self.stopped = True
                break
            steps = int(min(end - device.step, self._chunk, self._widest))
            began = time.perf_counter()
            before = device.snapshot()
            start = device.step
            ready = time.perf_counter()
            device.run(start, steps)
            ran = time.perf_counter()
            problem = self.watch.problem(device)
            if problem is not None:
                self._drop()
                raise SnnError(locate(self.plan, device, before, start, steps, self.watch))
            self._drain()
            done = time.perf_counter()
            self.seconds += done - began
            self._pace(steps, ran - ready, done - began - (ran - ready))
            bar.to(device.step, self._rate(device.step))
        return device.step - first

    def _pace(self, steps: int, running: float, around: float) -> None:
        """The next chunk: about 0.2 s, longer when keeping and checking the state costs more than a tenth of it."""
        wanted = max(CHUNK_SECONDS, 10 * around)
        per_step = max(running, 1e-7) / steps
        self._chunk = max(1, min(int(wanted / per_step), steps * GROWTH))

    def _rate(self, step: int) -> str:
        simulated = step * self.plan.dt / 1000
        return f"{self.seconds / simulated:.3g} s per simulated s" if simulated > 0 and self.seconds > 0.5 else ""

    def record_initial(self) -> None:
        """Record every variable as it is now, at the time before the next step."""
        for recorder in self.plan.recorders:
            if isinstance(recorder, ValueRecorder):
                row = self.device.read(recorder.array).reshape(-1)
                row = row if recorder.indices is None else row[recorder.indices]
                self._keep(recorder.label, recorder.label, row.reshape(1, -1))
                self._keep(recorder.label, f"{recorder.label}.times", self.times(np.array([self.device.step - 1])))

    # --- recording ----------------------------------------------------------------------------------------------------

    def times(self, steps: NDArray[Any]) -> NDArray[np.float64]:
        """Times in ms of steps."""
        made = np.array(steps, np.float64)
        made += self.plan.time_offset
        made *= self.plan.dt
        return made

    def _drain(self) -> None:
        try:
            for recorder in self.plan.recorders:
                label = recorder.label
                if isinstance(recorder, EventRecorder):
                    steps, indices = self.device.drain_events(label)
                    if len(steps):
                        self._keep(label, f"{label}.indices", indices)
                        self._keep(label, f"{label}.times", self.times(steps))
                else:
                    steps, rows = self.device.drain_values(label)
                    if len(steps):
                        self._keep(label, label, rows.reshape(len(rows), rows[0].size))
                        self._keep(label, f"{label}.times", self.times(steps))
            self.sink.relieve()
        except OSError as problem:
            raise SnnError(_refused(problem)) from problem

    def _keep(self, label: str, name: str, rows: NDArray[Any]) -> None:
        if label not in self.hidden:
            self.sink.append(name, rows)
        if self.seen is not None:
            self.seen.add(name, rows)

    def _drop(self) -> None:
        for recorder in self.plan.recorders:
            if isinstance(recorder, EventRecorder):
                self.device.drain_events(recorder.label)
            else:
                self.device.drain_values(recorder.label)


def _refused(problem: OSError) -> Diagnostic:
    reason = "the disk is full" if problem.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)) else problem.strerror or str(problem)
    return Diagnostic(
        "E824",
        f"recorded data could not be written: {reason}",
        help=("free some space, record fewer variables, or less often: 'record E.v every 1 ms'",),
    )
