"""What a CUDA model is given when it is written to files: buffers, the words of its struct, kernels with their work, records, parameters.

The memory is that of :class:`snnlang.runtime.cuda_memory.Memory` on paper (:mod:`snnlang.runtime.cuda_paper`): every allocation is a buffer
with a number, and a word of the model is a number of a buffer or a value. Rows are dictionaries, as ``manifest.json`` shows them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from snnlang.codegen import plan as p
from snnlang.codegen.c_tables import names_of_arrays
from snnlang.codegen.clike import safe
from snnlang.codegen.cuda_code import CudaCode, CudaKernel
from snnlang.codegen.cuda_layout import STRUCTS
from snnlang.codegen.target_cuda import SECTIONS, emit
from snnlang.frozen import dataclass
from snnlang.runtime import device_cuda
from snnlang.runtime.cuda_memory import CLOCK_WORDS, MOST_BLOCKS, RECORD_BYTES, RECORD_ROWS, Memory
from snnlang.runtime.cuda_paper import Paper

#: The fields of a struct that are addresses.
POINTERS: Final[dict[str, tuple[str, ...]]] = {
    "snn_list": ("items", "counts", "marks", "generation"),
    "snn_queue": ("items", "counts"),
    "snn_rows": ("row_start", "post", "pre", "shared", "column_start", "column_synapse", "column_pre"),
    "snn_grid": (),
    "snn_event_record": ("events", "count", "chosen"),
    "snn_value_record": ("rows", "base", "chosen"),
    "snn_schedule": ("cursor",),
    "snn_settling": ("stamps", "differs", "count", "token"),
}
#: Names of files and of targets of the Makefile.
_TAKEN: Final = ("host", "all", "run", "clean")
_AGAIN: Final = ("hold", "clock", "history", "scratch")


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory of the device. It holds ``nbytes``; at first the bytes of ``element`` ``repeat`` times, or the file ``file``, then zeros.
    ``again``: it gets that once more when a trial begins."""

    name: str
    nbytes: int
    type: str
    element: bytes = b""
    repeat: int = 0
    file: str = ""
    again: bool = False


class Folder:
    """What is given to a model, and the files that say so."""

    def __init__(self, plan: p.Plan, steps: int, initial: bool) -> None:
        self.plan, self.steps, self.initial = plan, steps, initial
        self.name = safe(plan.name) + ("_model" if plan.name in _TAKEN else "")
        self.code: CudaCode = emit(plan)
        self.paper = Paper()
        self.memory = Memory(plan, self.paper, self.code, "host")
        self.buffers: list[Buffer] = []
        self.at: dict[int, int] = {}  # the number of a buffer by its address
        self.data: dict[str, bytes] = {}
        #: (what, number of the buffer or -1, value) of every word of the model.
        self.words: list[tuple[str, int, int]] = []
        self._lay_out()

    # --- what is given ------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        values = iter(self.memory.struct().tolist())
        again = {self.memory.arrays[a.name] for a in self.plan.arrays.values() if a.role in _AGAIN}
        for (_, kind), placed in self.memory.fields.items():
            if kind in ("snn_list", "snn_queue"):  # emptied; what was marked before is not
                again |= {placed["counts"], placed.get("marks", 0)}
        for member in self.code.members:
            fields = STRUCTS.get(member.kind)
            for field in fields or ("",):
                value = next(values)
                pointer = field in POINTERS[member.kind] if fields else member.kind in ("clock", "array", "partials")
                name = f"{member.name}_{field}" if field else member.name
                what = f"{member.name}.{field}" if field else member.name
                number = self._buffer(value, name, value in again) if pointer and value else -1
                self.words.append((what, number, 0 if number >= 0 else value))

    def _buffer(self, address: int, name: str, again: bool) -> int:
        if address in self.at:
            return self.at[address]
        sheet = self.paper.sheets[address]
        made = Buffer(name, sheet.nbytes, "uint8", again=again)
        values = sheet.content
        if values is not None and values.size:
            made = replace(made, type=values.dtype.name)
            raw = values.view(np.uint8).reshape(values.size, values.itemsize)
            if (raw == raw[0]).all():
                if raw[0].any():
                    made = replace(made, element=raw[0].tobytes(), repeat=values.size)
            else:
                file = f"{self.name}_{name}.bin"
                self.data[file] = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
                made = replace(made, file=file)
        self.at[address] = len(self.buffers)
        self.buffers.append(made)
        return self.at[address]

    def _number(self, name: str, kind: str, field: str) -> int:
        return self.at[self.memory.fields[name, kind][field]]

    def _word(self, name: str, kind: str, field: str) -> int:
        return self.memory.places[name, kind] + STRUCTS[kind].index(field)

    def kernels(self) -> dict[str, list[dict[str, Any]]]:
        """By section: name and work (threads that it can keep busy) of every kernel."""

        def listed(kernels: tuple[CudaKernel, ...]) -> list[dict[str, Any]]:
            return [{"name": k.name, "work": device_cuda.work_of(self.plan, self.memory, k)} for k in kernels]

        sections = {name: listed(getattr(self.code, name)) for name in SECTIONS}
        return {**sections, "step": listed(self.code.step)}

    def parameters(self) -> list[dict[str, Any]]:
        """Parameters and inputs, which may be set: name, unit, type, buffer, how many numbers."""
        found = []
        for title, array in zip(names_of_arrays(self.plan), self.plan.arrays.values(), strict=True):
            address = self.memory.arrays[array.name]
            if array.role in ("param", "input") and address in self.at:
                length = self.memory.lengths[array.name] * array.depth
                row = {"name": title, "unit": array.unit, "type": self.memory.dtype(array.name).name}
                found.append({**row, "buffer": self.at[address], "count": length, "input": array.role == "input"})
        return found

    def events(self) -> list[dict[str, Any]]:
        """Recorders of events."""
        found = []
        for recorder in self.plan.recorders:
            if isinstance(recorder, p.EventRecorder):
                size = self.plan.lists[recorder.list].size if recorder.indices is None else len(recorder.indices)
                place = {f: self._number(recorder.label, "snn_event_record", f) for f in ("events", "count")}
                capacity = self.memory.fields[recorder.label, "snn_event_record"]["capacity"]
                found.append({"label": recorder.label, "size": size, **place, "capacity": capacity})
        return found

    def values(self) -> list[dict[str, Any]]:
        """Recorders of values."""
        found = []
        for recorder in self.plan.recorders:
            if isinstance(recorder, p.ValueRecorder):
                fields = self.memory.fields[recorder.label, "snn_value_record"]
                dtype = self.memory.dtype(recorder.array)
                row = max(1, fields["width"] * dtype.itemsize)
                place = {f: self._number(recorder.label, "snn_value_record", f) for f in ("rows", "base")}
                about: dict[str, Any] = {
                    "label": recorder.label,
                    "unit": recorder.unit,
                    "type": dtype.name,
                    "every": recorder.every,
                }
                kept = max(2, min(RECORD_ROWS, RECORD_BYTES // row))
                source = self.memory.lengths[recorder.array]
                place["chosen"] = self.at.get(fields["chosen"], -1)
                place["array"] = self.at[self.memory.arrays[recorder.array]]
                place["slot"] = (self.plan.arrays[recorder.array].depth - 1) * source  # of the step before the first
                found.append({**about, "width": fields["width"], "kept": kept, **place})
        return found

    def queues(self) -> list[dict[str, Any]]:
        """Queues, which may get less memory than for all synapses where the device has not enough."""
        found = []
        for name, queue in self.plan.queues.items():
            if (name, "snn_queue") in self.memory.fields:
                fields = self.memory.fields[name, "snn_queue"]
                owner = self.plan.connectivities[queue.connectivity].owner or name
                words = self._word(name, "snn_queue", "items"), self._word(name, "snn_queue", "capacity")
                place = {"items": words[0], "capacity": words[1], "ring": fields["ring"]}
                found.append({"name": owner, **place, "number": list(self.plan.queues).index(name) + 1})
        return found

    def launch(self) -> dict[str, int]:
        """The constants of the rule by which kernels get their blocks, and of the way of running."""
        block = self.paper.block
        return {
            "block": block,
            "resident_block": min(512, device_cuda.RESIDENT_BLOCK * block),
            "most_blocks": MOST_BLOCKS,
            "blocks_each": device_cuda.BLOCKS_EACH,
            "resident_items_each": device_cuda.RESIDENT_ITEMS,
            "graph_kernels": device_cuda.GRAPH_KERNELS,
            "graphs_ahead": device_cuda.GRAPHS_AHEAD,
            "steps_each": 2 if len(self.code.step) == 2 and self.code.barriers == 1 else 1,
            "clock_bytes": 8 * (CLOCK_WORDS + self.memory.words),
        }


__all__ = ["POINTERS", "Buffer", "Folder"]
