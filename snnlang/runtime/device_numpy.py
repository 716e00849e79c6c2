"""The NumPy device: memory for a plan, and the printed module that works on it."""

from __future__ import annotations

import linecache
import marshal
import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.connectivity import Built, generate
from snnlang.codegen.plan import Array, EventRecorder, Plan, ValueRecorder
from snnlang.frozen import dataclass, field
from snnlang.prepared import kept

Values = NDArray[Any]


@dataclass(slots=True)
class Memory:
    """What printed functions work on: see :mod:`snnlang.codegen.target_numpy`."""

    arrays: dict[str, Values] = field(default_factory=dict)
    lists: dict[str, list[Values]] = field(default_factory=dict)
    queues: dict[str, list[list[Values]]] = field(default_factory=dict)
    synapses: dict[str, Built] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    records: dict[str, list[Any]] = field(default_factory=dict)
    chosen: dict[str, Values] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a device at one step: arrays, event lists and queues."""

    step: int
    arrays: dict[str, Any]
    lists: dict[str, Any]
    queues: dict[str, Any]


class NumpyDevice:
    """Runs a plan with whole-array code. See the methods; no method checks the user's numbers."""

    def __init__(self, plan: Plan, identity: str = "") -> None:
        self.plan = plan
        self.step = 0
        self.text, code = kept(identity, "numpy", lambda: _printed(plan))
        self._functions = _functions(self.text, code, plan.name)
        self.memory = Memory()
        for c in plan.connectivities.values():
            self.memory.synapses[c.name] = generate(c, plan.streams[c.stream] if c.stream else None)
        self.real = np.dtype(np.float64 if plan.precision == "double" else np.float32)
        for array in plan.arrays.values():
            self.memory.arrays[array.name] = self._allocate(array)
        for name, stream in plan.streams.items():
            self.memory.keys[name] = stream.key
        self._empty()
        for recorder in plan.recorders:
            self.memory.records[recorder.label] = []
            if isinstance(recorder, ValueRecorder) and recorder.indices is not None:
                self.memory.chosen[recorder.label] = recorder.indices
            elif isinstance(recorder, EventRecorder) and recorder.indices is not None:
                chosen = np.zeros(plan.lists[recorder.list].size, bool)
                chosen[recorder.indices] = True
                self.memory.chosen[recorder.label] = chosen

    def _allocate(self, array: Array) -> Values:
        dtype = {"real": self.real, "int": np.dtype(np.int64), "bool": np.dtype(bool)}[array.type]
        shape: tuple[int, ...] = (math.prod(array.shape),) if array.shape else ()
        if array.connectivity is not None:
            shared = self.plan.connectivities[array.connectivity].shared_size
            shape = (shared if array.shared else self.memory.synapses[array.connectivity].n,)
        if array.depth > 1:
            shape = (array.depth, *shape)
        made = np.full(shape, array.fill, dtype)
        if array.data is not None:
            given = np.asarray(array.data)
            made[...] = given.reshape(shape) if given.size == made.size else given.ravel()
        return made

    def _empty(self) -> None:
        none = np.empty(0, np.int64)
        self.memory.lists = {e.name: [none] * e.depth for e in self.plan.lists.values()}
        self.memory.queues = {q.name: [[] for _ in range(q.depth)] for q in self.plan.queues.values()}

    def _call(self, section: str, *arguments: int) -> None:
        with np.errstate(all="ignore"):
            self._functions[section](self.memory, *arguments)

    # --- phases -------------------------------------------------------------------------------------------------------

    def setup(self) -> None:
        """Run the plan's setup nodes."""
        self._call("setup", self.step)

    def coefficients(self) -> None:
        """Compute coefficients again, after a parameter or input of the network was written."""
        self._call("coefficients", self.step)

    def trial_start(self, step: int | None = None) -> None:
        """Empty lists and queues, refill holds, clocks, histories and scratch, run the plan's trial_start nodes.

        ``step`` is the first step of the trial.
        """
        if step is not None:
            self.step = step
        self._empty()
        for array in self.plan.arrays.values():
            if array.role in ("hold", "clock", "history", "scratch"):
                self.memory.arrays[array.name][...] = array.fill
        self._call("trial_start", self.step)

    def run(self, first_step: int, count: int) -> None:
        """Run steps first_step .. first_step + count - 1."""
        if count > 0:
            self._call("run", first_step, count)
        self.step = first_step + count

    def trial_end(self) -> None:
        """Run the plan's trial_end nodes."""
        self._call("trial_end", self.step)

    # --- memory -------------------------------------------------------------------------------------------------------

    def _current(self, array: str) -> Values:
        values = self.memory.arrays[array]
        depth = self.plan.arrays[array].depth
        return values[(self.step - 1) % depth, ...] if depth > 1 else values

    def read(self, array: str) -> Values:
        """A copy of an array; of a ring, the slot of the last step that ran."""
        return self._current(array).copy()

    def write(self, array: str, values: Any) -> None:
        """Set an array, or the slot of a ring that the last step wrote."""
        given = np.asarray(values)
        current = self._current(array)
        current[...] = given.reshape(current.shape) if given.size == current.size and current.ndim else given

    def snapshot(self) -> Snapshot:
        """A copy of all that changes while running, but the records."""
        memory = self.memory
        return Snapshot(
            self.step,
            {name: values.copy() for name, values in memory.arrays.items()},
            {name: list(slots) for name, slots in memory.lists.items()},
            {name: [list(slot) for slot in slots] for name, slots in memory.queues.items()},
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        self.step = snapshot.step
        for name, values in snapshot.arrays.items():
            self.memory.arrays[name] = values.copy()
        self.memory.lists = {name: list(slots) for name, slots in snapshot.lists.items()}
        self.memory.queues = {name: [list(slot) for slot in slots] for name, slots in snapshot.queues.items()}

    def synapses(self, connectivity: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """(pre, post) of every synapse, indices in the full populations, in the order of per-synapse arrays."""
        pre, post = self.memory.synapses[connectivity].pairs
        return pre.copy(), post.copy()

    @property
    def nbytes(self) -> int:
        """Bytes of arrays, synapses and records."""
        memory = self.memory
        records: int = sum(values.nbytes for record in memory.records.values() for _, values in record)
        arrays: int = sum(a.nbytes for a in memory.arrays.values())
        return arrays + sum(b.nbytes for b in memory.synapses.values()) + records

    # --- records ------------------------------------------------------------------------------------------------------

    def drain_events(self, label: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(steps, indices) of the events recorded since the last call."""
        record = self.memory.records[label]
        steps = np.repeat(np.array([step for step, _ in record], np.int64), [items.size for _, items in record])
        indices = np.concatenate([items for _, items in record] or [np.empty(0)]).astype(np.int64)
        record.clear()
        return steps, indices

    def drain_values(self, label: str) -> tuple[NDArray[np.int64], Values]:
        """(steps, rows) of the values recorded since the last call: (k,), (k, elements)."""
        record = self.memory.records[label]
        recorder = next(r for r in self.plan.recorders if r.label == label)
        assert isinstance(recorder, ValueRecorder)
        if not record:
            current = self._current(recorder.array)
            chosen = current if recorder.indices is None else current[recorder.indices]
            return np.empty(0, np.int64), np.empty((0, *chosen.shape), current.dtype)
        steps, rows = np.concatenate([steps for steps, _ in record]), np.concatenate([rows for _, rows in record])
        record.clear()
        return steps, rows


def _printed(plan: Plan) -> tuple[str, bytes]:
    """The text of a plan's module, and what Python compiles it to."""
    from snnlang.codegen.target_numpy import emit

    text = emit(plan).text
    return text, marshal.dumps(compile(text, _file(text, plan.name), "exec"))


def _file(text: str, name: str) -> str:
    """What tracebacks call the module."""
    return f"<snn {name} numpy {zlib.crc32(text.encode()):08x}>"


def _functions(text: str, code: bytes, name: str) -> dict[str, Callable[..., None]]:
    """The functions of a printed module; its lines are shown in tracebacks."""
    file = _file(text, name)
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space: dict[str, Any] = {"__name__": f"snn_{name}"}
    exec(marshal.loads(code), space)
    return space
