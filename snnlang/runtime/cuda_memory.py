"""The memory of a plan on a CUDA device, and the struct through which its kernels reach it (``snn_model`` in a generated text).

Everything is allocated once. Before the first allocation what is needed at least is compared with what the device has (E741). How rows of
synapses are cut into chunks is decided here: the text only knows that they are.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.cuda_code import CudaCode, CudaMember
from snnlang.codegen.cuda_layout import STRUCTS
from snnlang.runtime.cuda_backend import Backend
from snnlang.runtime.cuda_wiring import DeviceRows, Where, Wirer

#: Blocks that may leave a part of a reduction, and bytes of one (``snn_partial``).
MOST_BLOCKS: Final = 4096
PARTIAL: Final = 24
#: Bytes for the rows of one recorder before they must leave the device, and how many rows at most.
RECORD_BYTES: Final = 1 << 24
RECORD_ROWS: Final = 1 << 16
#: Events of one recorder: at least, and by default at most.
FEW_EVENTS: Final = 1 << 12
MANY_EVENTS: Final = 1 << 20
#: A queue holds every synapse in each of its slots where that takes a quarter of the free memory or less; else what fits there.
QUEUE_SHARE: Final = 4
#: Synapses that a team of threads works on at once: the largest team, and how often it goes round at most.
TEAM: Final = 32
ROUNDS: Final = 8

#: ``snn_clock``: words before ``at``, and those that the host looks at.
CLOCK_WORDS: Final = 4
STOP, STEP, LOST = 0, 1, 2


class Memory:
    """Addresses and sizes of what a plan names; ``real`` is the type of its real numbers; ``where`` rows of synapses are made."""

    def __init__(self, plan: p.Plan, backend: Backend, code: CudaCode, where: Where = "auto") -> None:
        self.plan, self.backend, self.code, self.where = plan, backend, code, where
        self.real: np.dtype[Any] = np.dtype(np.float64 if plan.precision == "double" else np.float32)
        self.nbytes = 0
        self.needs = views(plan)
        from snnlang.runtime.cuda_estimate import require

        require(plan, code, backend)
        self.rows: dict[str, DeviceRows] = {}
        self._addresses: list[int] = []
        self.fields: dict[tuple[str, str], dict[str, int]] = {}
        #: The number of the first word of a struct in the model, by (name in the plan, struct).
        self.places: dict[tuple[str, str], int] = {}
        self.words = max(2, len(code.step))
        try:
            self._build()
        except BaseException:
            self.release()
            raise

    def _build(self) -> None:
        plan = self.plan
        wirer = Wirer(self.backend)
        for name, c in plan.connectivities.items():
            if c.kind == "sparse":
                columns, pre = name in self.needs["columns"], name in self.needs["pre"]
                stream = plan.streams.get(c.stream)
                self.rows[name] = wirer.build(c, stream, needs_columns=columns, needs_pre=pre, where=self.where)
                self.nbytes += self.rows[name].nbytes
        self.lengths = {name: self._length(array) for name, array in plan.arrays.items()}
        self.arrays = {name: self.allocate(self._bytes(name)) for name in plan.arrays}
        self.clock = self.allocate(8 * (CLOCK_WORDS + self.words))
        self._struct: list[int] = []
        for member in self.code.members:
            self.places[member.of, member.kind] = len(self._struct)
            self._struct += self._words(member)
        for name, array in plan.arrays.items():
            if array.data is not None or array.fill:
                self.fill(name, array.data)

    def allocate(self, nbytes: int) -> int:
        """Zeros; at least something."""
        nbytes = max(8, nbytes)
        address = self.backend.allocate(nbytes)
        self._addresses.append(address)
        self.nbytes += nbytes
        return address

    def struct(self) -> NDArray[np.uint64]:
        """The members of the model, 8 bytes each."""
        return np.array(self._struct, np.uint64)

    def release(self) -> None:
        """Give everything back."""
        for rows in self.rows.values():
            rows.release(self.backend)
        for address in self._addresses:
            self.backend.release(address)
        self.rows, self._addresses = {}, []

    # --- sizes --------------------------------------------------------------------------------------------------------

    def dtype(self, array: str) -> np.dtype[Any]:
        """How an array is stored."""
        described = self.plan.arrays[array]
        return {"real": self.real, "int": np.dtype(np.int32), "bool": np.dtype(np.uint8)}[described.type]

    def synapses(self, connectivity: str) -> int:
        """The number of synapses, those that are skipped included."""
        c = self.plan.connectivities[connectivity]
        if c.kind == "sparse":
            return self.rows[connectivity].count
        return len(c.pre_part) * (1 if c.kind == "one_to_one" else len(c.post_part))

    def _length(self, array: p.Array) -> int:
        """Elements of one slot."""
        if array.connectivity is None:
            return math.prod(array.shape)
        if array.shared:
            return self.plan.connectivities[array.connectivity].shared_size
        return self.synapses(array.connectivity)

    def _bytes(self, name: str) -> int:
        return self.dtype(name).itemsize * self.lengths[name] * self.plan.arrays[name].depth

    # --- values -------------------------------------------------------------------------------------------------------

    def fill(self, name: str, data: Any = None) -> None:
        """Every slot of an array as at first: ``data`` or its fill."""
        array, length = self.plan.arrays[name], self.lengths[name]
        if data is None:
            if not array.fill:
                self.backend.clear(self.arrays[name], max(8, self._bytes(name)))
                return
            values = np.full(length * array.depth, array.fill, self.dtype(name))
        else:
            values = np.empty((array.depth, length), self.dtype(name))
            given = np.asarray(data)
            values[...] = given.reshape(values.shape) if given.size == values.size else given.reshape(1, -1)
        if values.size:
            self.backend.upload(self.arrays[name], np.ascontiguousarray(values).reshape(-1))

    # --- the struct ---------------------------------------------------------------------------------------------------

    def _words(self, member: CudaMember) -> list[int]:
        match member.kind:
            case "clock":
                return [self.clock]
            case "whole":
                return [int(member.of) % 2**64]
            case "number":
                real = np.dtype(np.float64) if member.name == "dt" else self.real
                return [int.from_bytes(np.array([float(member.of)], real).tobytes().ljust(8, b"\0"), "little")]
            case "stream":
                return [self.plan.streams[member.of].key]
            case "array":
                return [self.arrays[member.of]]
            case "partials":
                fields = {"partials": self.allocate((MOST_BLOCKS + 1) * PARTIAL)}
                self.fields[member.name, member.kind] = fields
                return [fields["partials"]]
        fields = self._fields(member)
        self.fields[member.of, member.kind] = fields
        return [fields[name] for name in STRUCTS[member.kind]]

    def _fields(self, member: CudaMember) -> dict[str, int]:
        name = member.of
        match member.kind:
            case "snn_list":
                return self._list(name)
            case "snn_queue":
                return self._queue(name)
            case "snn_rows":
                return self._rows(name)
            case "snn_grid":
                return self._grid(name)
            case "snn_event_record":
                return self._event_record(name)
            case "snn_value_record":
                return self._value_record(name)
            case "snn_schedule":
                return {"cursor": self.allocate(8)}
            case "snn_settling":
                size = self.plan.lists[name].size
                fields = {"stamps": self.allocate(4 * size), "differs": self.allocate(8), "count": self.allocate(8)}
                fields["token"] = self._whole(2)
                return fields
        raise AssertionError(f"no struct {member.kind}")

    def _whole(self, value: int) -> int:
        address = self.allocate(8)
        self.backend.upload(address, np.array([value], np.int64))
        return address

    def _list(self, name: str) -> dict[str, int]:
        events = self.plan.lists[name]
        ring = events.depth + (name in self.code.early)
        inserts = name in self.code.inserts
        return {
            "items": self.allocate(4 * events.size * ring),
            "counts": self.allocate(4 * ring),
            "size": events.size,
            "ring": ring,
            "marks": self.allocate(4 * events.size) if inserts else 0,
            "generation": self._whole(1) if inserts else 0,
        }

    def _queue(self, name: str) -> dict[str, int]:
        queue = self.plan.queues[name]
        ring = queue.depth + (name in self.code.late)
        free, _ = self.backend.memory()
        capacity = queue_capacity(self.synapses(queue.connectivity), free, ring)
        return {
            "items": self.allocate(4 * capacity * ring),
            "counts": self.allocate(4 * ring),
            "capacity": capacity,
            "ring": ring,
        }

    def _rows(self, name: str) -> dict[str, int]:
        rows, c = self.rows[name], self.plan.connectivities[name]
        return {
            "row_start": rows.row_start,
            "post": rows.post,
            "pre": rows.pre,
            "shared": rows.shared,
            "column_start": rows.column_start,
            "column_synapse": rows.column_synapse,
            "column_pre": rows.column_pre,
            "count": rows.count,
            "pre_size": c.pre_size,
            "post_size": c.post_size,
            **self._cuts("row", rows.longest_row, c.pre_size, rows.count / max(1, c.pre_size)),
            **self._cuts("column", rows.longest_column, c.post_size, rows.count / max(1, c.post_size)),
        }

    def _grid(self, name: str) -> dict[str, int]:
        c = self.plan.connectivities[name]
        rows, columns = len(c.pre_part), len(c.post_part)
        return {
            "pre_first": int(c.pre_part[0]) if rows else 0,
            "rows": rows,
            "post_first": int(c.post_part[0]) if columns else 0,
            "columns": columns,
            **self._cuts("row", columns, c.pre_size, columns),
            **self._cuts("column", rows, c.post_size, rows),
        }

    def _cuts(self, kind: str, longest: int, number: int, mean: float) -> dict[str, int]:
        """Chunk, number of chunks of the longest, and the team as a power of 2."""
        return {f"{kind}_{what}": value for what, value in cuts(longest, number, mean, self.backend.block).items()}

    def _event_record(self, label: str) -> dict[str, int]:
        recorder = next(r for r in self.plan.recorders if r.label == label)
        assert isinstance(recorder, p.EventRecorder)
        size = self.plan.lists[recorder.list].size
        capacity = event_capacity(size)
        chosen = 0
        if recorder.indices is not None:
            flags = np.zeros(max(8, size), np.uint8)
            flags[recorder.indices] = 1
            chosen = self.allocate(flags.nbytes)
            self.backend.upload(chosen, flags)
        return {
            "events": self.allocate(8 * capacity),
            "count": self.allocate(8),
            "capacity": capacity,
            "chosen": chosen,
        }

    def _value_record(self, label: str) -> dict[str, int]:
        recorder = next(r for r in self.plan.recorders if r.label == label)
        assert isinstance(recorder, p.ValueRecorder)
        width, chosen = self.lengths[recorder.array], 0
        if recorder.indices is not None:
            width = len(recorder.indices)
            indices = np.ascontiguousarray(recorder.indices, np.int64)
            chosen = self.allocate(indices.nbytes)
            if width:
                self.backend.upload(chosen, indices)
        row = max(1, width * self.dtype(recorder.array).itemsize)
        return {
            "rows": self.allocate(row * record_rows(row)),
            "base": self.allocate(8),
            "chosen": chosen,
            "width": width,
        }


def views(plan: p.Plan) -> dict[str, set[str]]:
    """Which views of a connectivity kernels need: columns by post neuron, the pre neuron of every synapse."""
    columns: set[str] = set()
    pre: set[str] = set()
    for section in plan.sections:
        for node in p.walk_nodes(section):
            match node:
                case p.Launch(kernel=k.Kernel(domain=k.Fan(connectivity=name, side="post"))):
                    columns.add(name)
                case p.Launch(kernel=k.Kernel(domain=k.Arrivals(connectivity=name))):
                    pre.add(name)
                case p.Enqueue(connectivity=name, side="post") | p.SynapseReduce(connectivity=name, per="post"):
                    columns.add(name)
                case _:
                    pass
    return {"columns": columns, "pre": pre}


def item_size(plan: p.Plan, array: p.Array) -> int:
    """Bytes of one element of an array."""
    return {"real": 8 if plan.precision == "double" else 4, "int": 4, "bool": 1}[array.type]


def queue_capacity(synapses: int, free: int, ring: int) -> int:
    """Synapses for which a slot of a queue has room, where so many bytes are free."""
    return max(1, min(synapses, free // QUEUE_SHARE // (4 * ring)))


def event_capacity(size: int) -> int:
    """Events for which a record of a list of this size has room: those of a step at least, and no more than are counted in 32 bits."""
    return min(max(FEW_EVENTS, 4 * size, min(64 * size, MANY_EVENTS)), 2**31 - 1)


def record_rows(row: int) -> int:
    """How many rows of so many bytes a record of values holds."""
    return max(2, min(RECORD_ROWS, RECORD_BYTES // row))


def cuts(longest: int, number: int, mean: float, block: int) -> dict[str, int]:
    """How rows (or columns) are cut: the length of a chunk, the chunks of the longest row, and the threads of a team as a power of 2."""
    most = min(TEAM, block & -block)
    team = 0
    while 1 << (team + 1) <= min(most, max(1, math.ceil(mean))):
        team += 1
    chunk = max(1, min(longest, ROUNDS << team))
    chunks = max(1, math.ceil(longest / chunk))
    while number * chunks >= 2**31:
        chunk, chunks = 2 * chunk, math.ceil(longest / (2 * chunk))
    return {"chunk": chunk, "chunks": chunks, "team": team}


__all__ = ["Memory", "cuts", "event_capacity", "item_size", "queue_capacity", "record_rows", "views"]
