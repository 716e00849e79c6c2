"""The CUDA device: a plan as CUDA kernels on a backend (a GPU through CuPy, or a processor through the shim), many steps in one call.

Two ways of running, chosen by :func:`way_of` and equal in what they compute: ``resident``, one kernel that holds the loop over time, where
the network is small enough for threads that stay on the device; ``graph``, CUDA graphs of many steps with a kernel per stage, where it is
larger. Loops that settle within a step run resident. The device stops by itself before a record is full; its content leaves for the host
while the device goes on with another piece of memory. Events leave in the order of (step, index). Refused: too little device memory
(E741), runs that are longer than step numbers reach (E737), and delays of single synapses that meet in one step in greater number than
their queue holds (E748).
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.c_layout import loaded
from snnlang.codegen.cuda_layout import STRUCTS
from snnlang.codegen.plan import (
    CLEARED,
    EventRecorder,
    Fill,
    Launch,
    Plan,
    Reduce,
    SynapseReduce,
    ValueRecorder,
    walk_nodes,
)
from snnlang.diagnostics import SnnError, error
from snnlang.runtime.cuda_memory import CLOCK_WORDS, LOST, MOST_BLOCKS, STEP, STOP, Memory, record_rows
from snnlang.runtime.target_limits import LAST_STEP, too_long

if TYPE_CHECKING:
    from snnlang.codegen.cuda_code import CudaCode, CudaKernel
    from snnlang.runtime.cuda_backend import Backend, Graph, Transfer

Values = NDArray[Any]
Way = Literal["resident", "graph"]

#: A network is resident while no thread has more elements of a population than this.
RESIDENT_ITEMS: Final = 4
#: Threads of a resident block: this many times those of another one, at most those of codegen/cuda/model.cuh (``SNN_RESIDENT_THREADS``).
RESIDENT_BLOCK: Final = 2
RESIDENT_THREADS: Final = 512
#: Kernels of one graph, graphs that are started before the host looks, and blocks of a kernel for each multiprocessor.
GRAPH_KERNELS: Final = 256
GRAPHS_AHEAD: Final = 8
BLOCKS_EACH: Final = 8


def way_of(code: CudaCode, threads: int) -> Way:
    """How a plan runs on a device that holds so many resident threads: resident where a step has loops that settle, or where no
    population has more than ``RESIDENT_ITEMS`` elements for each of these threads; else as graphs.
    """
    if not code.step or code.resident.items <= RESIDENT_ITEMS * threads:
        return "resident"
    return "graph"


def blocks_of(work: int, block: int, multiprocessors: int) -> int:
    """Blocks of an ordinary launch that can keep so many threads busy."""
    return max(1, min(MOST_BLOCKS, BLOCKS_EACH * multiprocessors, -(-work // block)))


def resident_blocks_of(items: int, block: int, most: int) -> int:
    """Blocks of the resident kernel, of which the device holds ``most``."""
    return 1 if items <= 2 * block else max(1, min(most, MOST_BLOCKS, -(-items // block)))


def work_of(plan: Plan, memory: Memory, kernel: CudaKernel) -> int:
    """Threads that a kernel can keep busy."""
    work = kernel.items
    for name, side in kernel.fans:
        c = plan.connectivities[name]
        fields = memory.fields[name, "snn_rows" if c.kind == "sparse" else "snn_grid"]
        neurons = c.post_size if side == "post" else c.pre_size
        cut = "column" if side == "post" else "row"
        if side in ("", "queue"):
            work = max(work, memory.synapses(name))
        else:
            work = max(work, neurons * fields[f"{cut}_chunks"] << fields[f"{cut}_team"])
    return work


class Snapshot:
    """The state of a device at one step: ``memory`` on the device (address) or on the host; ``constants``: per-synapse numbers that no
    kernel writes and the user wrote since."""

    __slots__ = ("__weakref__", "address", "constants", "counts", "memory", "parts", "step")

    def __init__(self, step: int, parts: list[tuple[int, int]], counts: list[tuple[int, NDArray[np.int32]]]) -> None:
        self.step = step
        self.parts = parts
        self.counts = counts
        self.address = 0
        self.memory: NDArray[np.uint8] | None = None
        self.constants: dict[str, Values] = {}


@dataclass(frozen=True, slots=True)
class _Leaving:
    """Events as step*2^32 + index, or rows of values with their steps, on their way into pinned memory of the host."""

    transfer: Transfer | None
    values: Values
    steps: NDArray[np.int64] | None


@dataclass(slots=True)
class _Bank:
    """Both halves of the memory of a record on the device and on the host, which one is written next, and what still leaves the other."""

    addresses: list[int]
    pinned: list[Values]
    leaving: list[_Leaving] = field(default_factory=list)
    turn: int = 0


class CudaDevice:
    """Runs a plan on a CUDA device. Its methods are those of :class:`snnlang.runtime.device_numpy.NumpyDevice`."""

    def __init__(self, plan: Plan, backend: Backend, code: CudaCode | None = None, *, way: Way | None = None) -> None:
        if code is None:
            from snnlang.codegen.target_cuda import emit

            code = emit(plan)
        self.plan, self.backend, self.code = plan, backend, code
        self.step = 0
        self.text = code.text
        self.memory = Memory(plan, backend, code)
        weakref.finalize(self, self.memory.release).atexit = False
        self.module = backend.module(code.text, single=plan.precision == "single", name=plan.name)
        self._model, nbytes = self.module.constant("model")
        struct = self.memory.struct()
        assert nbytes in (0, struct.nbytes), f"the model takes {nbytes} bytes, {struct.nbytes} are given"
        backend.upload(self._model, struct)
        self.block = min(RESIDENT_THREADS, RESIDENT_BLOCK * backend.block)
        self.most_resident = self.module.resident_blocks("snn_resident", self.block)
        self.way: Way = way or way_of(code, self.most_resident * self.block)
        self._graph: Graph | None = None
        self._recorder = {recorder.label: recorder for recorder in plan.recorders}
        self._kept: dict[str, list[tuple[Values, NDArray[np.int64] | None]]] = {label: [] for label in self._recorder}
        self._banks: dict[str, _Bank] = {}
        self._recorded_to = 0
        self._base = {r.label: 0 for r in plan.recorders if isinstance(r, ValueRecorder)}
        self._snapshots: weakref.WeakSet[Snapshot] = weakref.WeakSet()
        self._changing = _changing(plan)

    # --- phases -------------------------------------------------------------------------------------------------------

    def setup(self) -> None:
        """Run the plan's setup nodes."""
        self._section(self.code.setup)

    def coefficients(self) -> None:
        """Compute coefficients again, after a parameter or input of the network was written."""
        self._section(self.code.coefficients)

    def trial_start(self, step: int | None = None) -> None:
        """Empty lists and queues, refill holds, clocks, histories and scratch, run the plan's trial_start nodes."""
        if step is not None:
            self.step = step
        for (_, kind), fields in self.memory.fields.items():
            if kind in ("snn_list", "snn_queue"):
                self.backend.clear(fields["counts"], 4 * fields["ring"])
        self._forget_marks()
        for array in self.plan.arrays.values():
            if array.role in CLEARED:
                self.memory.fill(array.name)
        self._section(self.code.trial_start)

    def trial_end(self) -> None:
        """Run the plan's trial_end nodes."""
        self._section(self.code.trial_end)

    def _section(self, kernels: tuple[CudaKernel, ...]) -> None:
        for kernel in kernels:
            self.module.launch(kernel.name, self._grid(kernel), (self.step,))

    def _forget_marks(self) -> None:
        """Steps may come again: what was marked by their numbers is not."""
        for (name, kind), fields in self.memory.fields.items():
            if kind == "snn_list" and fields["marks"]:
                self.backend.clear(fields["marks"], max(8, 4 * self.plan.lists[name].size))

    # --- shapes of launches -------------------------------------------------------------------------------------------

    def _grid(self, kernel: CudaKernel) -> int:
        """Blocks of an ordinary launch."""
        return blocks_of(work_of(self.plan, self.memory, kernel), self.backend.block, self.backend.multiprocessors)

    @property
    def resident_grid(self) -> int:
        """Blocks of the resident kernel: one where its threads have two elements each at most, else enough for one each."""
        return resident_blocks_of(self.code.resident.items, self.block, self.most_resident)

    # --- running ------------------------------------------------------------------------------------------------------

    def run(self, first_step: int, count: int) -> None:
        """Run steps first_step .. first_step + count - 1. Raises E737 (length), E745 and E748 (a queue overflowed)."""
        end = first_step + count
        if end > LAST_STEP:
            raise SnnError(too_long("cuda", end))
        if first_step != self._recorded_to:
            self._empty_records()
            self._forget_marks()
            self._rebase(first_step)
            for name in self.code.early:  # emptied in the step before, which was another one
                fields = self.memory.fields[name, "snn_list"]
                self.backend.clear(fields["counts"] + 4 * (first_step % fields["ring"]), 4)
        step = first_step
        while step < end:
            stop = min(end, step + self._room(step))
            if stop > step:
                step = self._advance(step, stop)
                self._recorded_to = step
            if step < end:
                self._empty_records()
                self._rebase(step)
        self.step = end

    def _advance(self, step: int, stop: int) -> int:
        """Run until ``stop`` or until a record is nearly full; the next step."""
        memory, backend = self.memory, self.backend
        clock = np.zeros(CLOCK_WORDS + memory.words, np.int64)
        clock[STOP], clock[STEP], clock[CLOCK_WORDS:] = stop, step, step
        backend.upload(memory.clock, clock)
        if self.way == "resident":
            self.module.launch("snn_resident", self.resident_grid, block=self.block, cooperative=True)
            self._receive()
            backend.download(memory.clock, clock)
            reached = int(clock[STEP])
        else:
            reached = self._launch_steps(step, stop, clock)
        if clock[LOST]:
            raise self._overflow(int(clock[LOST]))
        return reached

    def _launch_steps(self, step: int, stop: int, clock: NDArray[np.int64]) -> int:
        """Graphs of steps while many are left, then single launches."""
        kernels = [(kernel.name, self._grid(kernel)) for kernel in self.code.step]
        each = 2 if len(kernels) == 2 and self.code.barriers == 1 else 1
        repeat = max(1, GRAPH_KERNELS // len(kernels))
        reached = step
        while reached < min(stop, int(clock[STOP])):
            graphs = min(GRAPHS_AHEAD, (stop - reached) // (repeat * each))
            if graphs:
                if self._graph is None:
                    self._graph = self.module.graph(kernels, repeat)
                for _ in range(graphs):
                    self._graph.launch()
            else:
                for _ in range(-(-(stop - reached) // each)):
                    for name, grid in kernels:
                        self.module.launch(name, grid)
            self._receive()
            self.backend.download(self.memory.clock, clock)
            reached = int(clock[CLOCK_WORDS:].max())
        return reached

    def _overflow(self, number: int) -> SnnError:
        queue = list(self.plan.queues.values())[number - 1]
        capacity = self.memory.fields[queue.name, "snn_queue"]["capacity"]
        c = self.plan.connectivities[queue.connectivity]
        return error(
            "E748",
            f"more than {capacity} synapses of {c.owner or c.name} are reached in one step, and {self.backend.name} has no memory "
            "for more on their way",
            span=c.span,
            help="make delays longer or equal for all synapses, the network smaller, or run it with --target c",
        )

    # --- memory -------------------------------------------------------------------------------------------------------

    def _slot(self, array: str) -> tuple[int, int]:
        """The address and the elements of an array; of a ring, of the slot of the last step that ran."""
        length, depth = self.memory.lengths[array], self.plan.arrays[array].depth
        slot = (self.step - 1) % depth
        return self.memory.arrays[array] + slot * length * self.memory.dtype(array).itemsize, length

    def _shape(self, array: str) -> tuple[int, ...]:
        described = self.plan.arrays[array]
        return (self.memory.lengths[array],) if described.shape or described.connectivity is not None else ()

    def read(self, array: str) -> Values:
        """A copy of an array; of a ring, the slot of the last step that ran."""
        address, length = self._slot(array)
        values = np.empty(length, self.memory.dtype(array))
        if length:
            self.backend.download(address, values)
        return _given_out(values).reshape(self._shape(array))

    def write(self, array: str, values: Any) -> None:
        """Set an array, or the slot of a ring that the last step wrote."""
        self._remember(array)
        address, length = self._slot(array)
        if length:
            made = np.empty(length, self.memory.dtype(array))
            made[...] = np.asarray(values).reshape(-1)
            self.backend.upload(address, made)

    def _remember(self, array: str) -> None:
        """Snapshots leave out numbers of synapses that nothing writes; when the user does, they get them as they were."""
        if array in self._changing:
            return
        for snapshot in self._snapshots:
            if array not in snapshot.constants:
                snapshot.constants[array] = self.read(array)

    def snapshot(self) -> Snapshot:
        """A copy of all that changes while running, but the records: on the device where there is room."""
        parts = [
            (self.memory.arrays[name], self.memory.lengths[name] * self.plan.arrays[name].depth)
            for name in self._changing
        ]
        sizes = [self.memory.dtype(name).itemsize for name in self._changing]
        parts = [(address, length * size) for (address, length), size in zip(parts, sizes, strict=True)]
        counts = []
        for (_, kind), fields in self.memory.fields.items():
            if kind in ("snn_list", "snn_queue"):
                found = np.zeros(fields["ring"], np.int32)
                self.backend.download(fields["counts"], found)
                counts.append((fields["counts"], found))
                wide = fields["size"] if kind == "snn_list" else fields["capacity"]
                parts += [(fields["items"] + 4 * wide * slot, 4 * int(n)) for slot, n in enumerate(found)]
        made = Snapshot(self.step, [(address, nbytes) for address, nbytes in parts if nbytes], counts)
        total = sum(nbytes for _, nbytes in made.parts)
        free, _ = self.backend.memory()
        place = 0
        if 2 * total <= free and total:
            made.address = self.backend.allocate(total)
            weakref.finalize(made, self.backend.release, made.address).atexit = False
            for address, nbytes in made.parts:
                self.backend.copy(made.address + place, address, nbytes)
                place += nbytes
        else:
            made.memory = np.empty(total, np.uint8)
            for address, nbytes in made.parts:
                self.backend.download(address, made.memory[place : place + nbytes])
                place += nbytes
        self._snapshots.add(made)
        return made

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        self._empty_records()
        for array, values in snapshot.constants.items():
            self.write(array, values)
        place = 0
        for address, nbytes in snapshot.parts:
            if snapshot.memory is None:
                self.backend.copy(address, snapshot.address + place, nbytes)
            else:
                self.backend.upload(address, snapshot.memory[place : place + nbytes])
            place += nbytes
        for address, counts in snapshot.counts:
            self.backend.upload(address, counts)
        self._forget_marks()
        self.step = snapshot.step

    def synapses(self, connectivity: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """(pre, post) of every synapse, indices in the full populations, in the order of per-synapse arrays."""
        c = self.plan.connectivities[connectivity]
        if c.kind == "one_to_one":
            return np.array(c.pre_part, np.int32), np.array(c.post_part, np.int32)
        if c.kind == "dense":
            pre, post = np.array(c.pre_part, np.int32), np.array(c.post_part, np.int32)
            return np.repeat(pre, len(post)), np.tile(post, len(pre))
        rows = self.memory.rows[connectivity]
        start = np.empty(c.pre_size + 1, np.int64)
        self.backend.download(rows.row_start, start)
        stored = np.empty(rows.count, np.uint16 if rows.post_bytes == 2 else np.int32)
        if rows.count:
            self.backend.download(rows.post, stored)
        return np.repeat(np.arange(c.pre_size, dtype=np.int32), np.diff(start)), stored.astype(np.int32)

    @property
    def nbytes(self) -> int:
        """Bytes of arrays, synapses, lists and records on the device."""
        return self.memory.nbytes

    # --- records ------------------------------------------------------------------------------------------------------

    def _room(self, step: int) -> int:
        """How many steps the rows of values have room for."""
        room = LAST_STEP
        for label, base in self._base.items():
            recorder = self._recorder[label]
            assert isinstance(recorder, ValueRecorder)
            room = min(room, (base + self._rows(label) + 1) * recorder.every - 1 - step)
        return max(0, room)

    def _rows(self, label: str) -> int:
        """How many rows of values a recorder holds."""
        recorder, fields = self._recorder[label], self.memory.fields[label, "snn_value_record"]
        assert isinstance(recorder, ValueRecorder)
        return record_rows(max(1, fields["width"] * self.memory.dtype(recorder.array).itemsize))

    def _rebase(self, step: int) -> None:
        """Rows of values begin anew at a step."""
        for label in self._base:
            recorder = self._recorder[label]
            assert isinstance(recorder, ValueRecorder)
            self._base[label] = step // recorder.every
            address = self.memory.fields[label, "snn_value_record"]["base"]
            self.backend.upload(address, np.array([self._base[label]], np.int64))
        self._recorded_to = step

    def _empty_records(self) -> None:
        """Everything recorded goes to the host."""
        for label, recorder in self._recorder.items():
            if isinstance(recorder, EventRecorder):
                self._take_events(label)
            else:
                self._take_values(label, recorder)

    def _take_events(self, label: str) -> None:
        fields = self.memory.fields[label, "snn_event_record"]
        count = np.zeros(2, np.int32)
        self.backend.download(fields["count"], count)
        if count[0]:
            self._leave(label, "events", np.dtype(np.uint64), int(count[0]), 8 * fields["capacity"], None)
            self.backend.clear(fields["count"], 8)

    def _take_values(self, label: str, recorder: ValueRecorder) -> None:
        fields, base = self.memory.fields[label, "snn_value_record"], self._base[label]
        number = self._recorded_to // recorder.every - base
        if number <= 0:
            return
        dtype = self.memory.dtype(recorder.array)
        steps = (base + np.arange(number, dtype=np.int64) + 1) * recorder.every - 1
        whole = self._rows(label) * max(1, fields["width"] * dtype.itemsize)
        self._leave(label, "rows", dtype, number * fields["width"], whole, steps)
        self._base[label] = base + number
        self.backend.upload(fields["base"], np.array([self._base[label]], np.int64))

    def _leave(
        self, label: str, field: str, dtype: np.dtype[Any], count: int, whole: int, steps: NDArray[np.int64] | None
    ) -> None:
        """What a record holds goes to the host while the device goes on with the other half of its memory."""
        kind = "snn_event_record" if field == "events" else "snn_value_record"
        bank = self._banks.get(label)
        if bank is None:
            addresses = [self.memory.fields[label, kind][field], self.memory.allocate(whole)]
            bank = self._banks[label] = _Bank(addresses, [np.empty(0, np.uint8)] * 2)
        self._arrive(label, bank)  # nothing, where steps ran since the last time
        nbytes = count * dtype.itemsize
        if bank.pinned[bank.turn].nbytes < nbytes:
            bank.pinned[bank.turn] = self.backend.pinned(min(whole, 1 << (nbytes - 1).bit_length()))
        into = bank.pinned[bank.turn][:nbytes]
        transfer = self.backend.start_download(bank.addresses[bank.turn], into) if count else None
        bank.leaving.append(_Leaving(transfer, into.view(dtype), steps))
        bank.turn = 1 - bank.turn
        place = self._model + 8 * (self.memory.places[label, kind] + STRUCTS[kind].index(field))
        self.backend.upload(place, np.array([bank.addresses[bank.turn]], np.uint64))

    def _receive(self) -> None:
        """While the device computes: what left for the host makes room in pinned memory."""
        for label, bank in self._banks.items():
            self._arrive(label, bank)

    def _arrive(self, label: str, bank: _Bank) -> None:
        """Wait for what leaves a record, and keep it."""
        for part in bank.leaving:
            if part.transfer is not None:
                part.transfer.wait()
            self._kept[label].append((part.values.copy(), part.steps))
        bank.leaving.clear()

    def _left(self, label: str) -> list[tuple[Values, NDArray[np.int64] | None]]:
        """What has arrived from a record, all of it."""
        if label in self._banks:
            self._arrive(label, self._banks[label])
        kept, self._kept[label] = self._kept[label], []
        return kept

    def drain_events(self, label: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(steps, indices) of the events recorded since the last call."""
        self._take_events(label)
        # as whole numbers they are in the order of (step, index), in which the device does not append them
        events = np.concatenate([np.empty(0, np.uint64), *(np.sort(values) for values, _ in self._left(label))])
        return (events >> np.uint64(32)).astype(np.int64), events.astype(np.uint32).astype(np.int64)

    def drain_values(self, label: str) -> tuple[NDArray[np.int64], Values]:
        """(steps, rows) of the values recorded since the last call: (k,), (k, elements)."""
        recorder = self._recorder[label]
        assert isinstance(recorder, ValueRecorder)
        self._take_values(label, recorder)
        kept = self._left(label)
        steps = np.concatenate([np.empty(0, np.int64), *(steps for _, steps in kept if steps is not None)])
        rows = np.concatenate([np.empty(0, self.memory.dtype(recorder.array)), *(values for values, _ in kept)])
        shape = (len(recorder.indices),) if recorder.indices is not None else self._shape(recorder.array)
        return steps, _given_out(rows).reshape(len(steps), *shape)


def _given_out(values: Values) -> Values:
    """Whole numbers and truths in the types that every device gives: int64, bool."""
    if values.dtype == np.int32:
        return values.astype(np.int64)
    return values.view(bool) if values.dtype == np.uint8 else values


def _changing(plan: Plan) -> tuple[str, ...]:
    """Arrays that may change after setup, but numbers of synapses that only the user writes."""
    written: set[str] = set()
    for section in (plan.coefficients, plan.trial_start, plan.step, plan.trial_end):
        for node in walk_nodes(section):
            match node:
                case Launch(kernel=kernel):
                    written |= {name for name, writes in loaded(kernel).items() if writes}
                case Fill(array=name) | Reduce(result=name) | SynapseReduce(result=name):
                    written.add(name)
    roles = ("param", "input", "data", "freeze", *CLEARED)
    return tuple(
        a.name
        for a in plan.arrays.values()
        if a.name in written or (a.connectivity is None and (a.role in roles or a.shape == ()))
    )


__all__ = ["CudaDevice", "Snapshot", "blocks_of", "resident_blocks_of", "way_of", "work_of"]
