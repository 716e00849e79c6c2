"""How much memory of a CUDA device a plan takes, before anything is made: bytes by what they are for, in the precision of the plan.

The rules of :mod:`snnlang.runtime.cuda_memory` with expected numbers of synapses, so exact but for connectivity that is drawn. What is
larger than the memory that is free is refused with the largest part (:func:`require`, E741), before the first allocation.
"""

from __future__ import annotations

import math

import numpy as np

from snnlang.codegen import plan as p
from snnlang.codegen.connectivity import count_expected
from snnlang.codegen.cuda_code import CudaCode
from snnlang.frozen import dataclass
from snnlang.runtime import cuda_memory as memory
from snnlang.runtime.cuda_backend import Backend
from snnlang.runtime.cuda_failure import no_memory, size
from snnlang.runtime.cuda_wiring import ROOM, estimate

#: What memory is for, in the order in which it is told.
CLASSES = (
    "states and parameters",
    "numbers of synapses",
    "connections",
    "delays and event lists",
    "records",
    "sums and clock",
)
STATES, NUMBERS, CONNECTIONS, DELAYS, RECORDS, OTHER = CLASSES


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Bytes by class, in the order of :data:`CLASSES`; ``building``: how much more there may be for a while when connections are made,
    before anything else is; ``most``: the projection or record that takes the most, in words, and its place in the plan;
    ``short``: connections whose queue has room for fewer synapses than they have, and for how many."""

    classes: dict[str, float]
    building: float
    most: str
    largest: float
    connectivity: str = ""
    short: tuple[tuple[str, int], ...] = ()

    @property
    def total(self) -> float:
        """Bytes of all classes."""
        return sum(self.classes.values())


def synapse_counts(plan: p.Plan) -> dict[str, float]:
    """The expected number of synapses of every connectivity."""
    counts = {}
    for name, c in plan.connectivities.items():
        if c.kind == "sparse":
            counts[name] = count_expected(c)
        else:
            counts[name] = float(len(c.pre_part)) * (1 if c.kind == "one_to_one" else len(c.post_part))
    return counts


def estimate_device(plan: p.Plan, code: CudaCode, free: float) -> DeviceMemory:
    """The memory that a plan takes on a device of which ``free`` bytes are to be had: queues of single delays take what there is."""
    counts = synapse_counts(plan)
    classes = dict.fromkeys(CLASSES, 0.0)
    shares: dict[str, float] = dict.fromkeys(plan.connectivities, 0.0)
    building = _connections(plan, classes, shares)
    for array in plan.arrays.values():
        length: float = math.prod(array.shape)
        if array.connectivity is not None:
            c = plan.connectivities[array.connectivity]
            length = c.shared_size if array.shared else counts[c.name]
        taken = max(8.0, memory.item_size(plan, array) * length * array.depth)
        if array.connectivity is not None:
            shares[array.connectivity] += taken
            classes[NUMBERS] += taken
        else:
            classes[DELAYS if array.depth > 1 else STATES] += taken
    for events in plan.lists.values():
        slots = events.depth + (events.name in code.early) + (events.name in code.inserts)
        classes[DELAYS] += 4.0 * events.size * slots
    short = []
    for queue in plan.queues.values():
        ring = queue.depth + (queue.name in code.late)
        left = max(0.0, free - sum(classes.values()))
        capacity = memory.queue_capacity(int(counts[queue.connectivity]), int(left), ring)
        if capacity < int(counts[queue.connectivity]):
            short.append((queue.connectivity, capacity))
        taken = 4.0 * ring * capacity
        shares[queue.connectivity] += taken
        classes[DELAYS] += taken
    records = {recorder.label: _record(plan, recorder, counts) for recorder in plan.recorders}
    classes[RECORDS] = sum(records.values())
    for member in code.members:
        if member.kind == "partials":
            classes[OTHER] += (memory.MOST_BLOCKS + 1) * memory.PARTIAL
        elif member.kind == "snn_settling":
            classes[OTHER] += 4.0 * plan.lists[member.of].size
    classes[OTHER] += 8.0 * (memory.CLOCK_WORDS + max(2, len(code.step)))
    found = [
        (taken, f"{counts[name]:.3g} synapses of {plan.connectivities[name].owner or name}", name)
        for name, taken in shares.items()
    ]
    found += [(taken, f"the record of {label}", "") for label, taken in records.items()]
    largest, most, connectivity = max(found, key=lambda item: item[0], default=(0.0, "", ""))
    return DeviceMemory(classes, building, most, largest, connectivity, tuple(short))


def require(plan: p.Plan, code: CudaCode, backend: Backend) -> DeviceMemory:
    """The estimate. Raises E741, with numbers and what takes the most, where the device has not so much."""
    free, total = backend.memory()
    needed = estimate_device(plan, code, free)
    if needed.total > free:
        told = needed.largest > needed.total / 4
        raise no_memory(
            backend.name,
            int(needed.total),
            free,
            total,
            most=f"{size(needed.largest)} of it for {needed.most}" if told else "",
            span=plan.connectivities[needed.connectivity].span if told and needed.connectivity else None,
            single=plan.precision == "single",
        )
    return needed


def _connections(plan: p.Plan, classes: dict[str, float], shares: dict[str, float]) -> float:
    """Rows and columns of sparse connectivity; what making the largest one takes beside them."""
    needs = memory.views(plan)
    building = 0.0
    for name, c in plan.connectivities.items():
        if c.kind == "sparse":
            taken = float(estimate(c, needs_columns=name in needs["columns"], needs_pre=name in needs["pre"]))
            shares[name] += taken
            classes[CONNECTIONS] += taken
            building = max(building, min(taken, max(taken / 2, float(ROOM))))
    return building


def _record(plan: p.Plan, recorder: p.EventRecorder | p.ValueRecorder, counts: dict[str, float]) -> float:
    """Both halves of the memory of a record: one is emptied while the other one fills."""
    if isinstance(recorder, p.EventRecorder):
        wide = plan.lists[recorder.list].size
        return 2 * 8.0 * memory.event_capacity(wide) + (wide if recorder.indices is not None else 0)
    array = plan.arrays[recorder.array]
    chosen = 0.0
    if recorder.indices is not None:
        width = float(len(recorder.indices))
        chosen = 8 * width
    elif array.connectivity is None:
        width = float(math.prod(array.shape))
    else:
        width = plan.connectivities[array.connectivity].shared_size if array.shared else counts[array.connectivity]
    row = max(1, int(width * memory.item_size(plan, array)))
    return 2.0 * row * memory.record_rows(row) + chosen


def memory_lines(needed: DeviceMemory, precision: str) -> list[str]:
    """The estimate in words, a line a class that takes anything."""
    real = np.dtype(np.float64 if precision == "double" else np.float32)
    lines = [f"  device memory: about {size(needed.total)} with {real.name} ({real.itemsize} bytes a number)"]
    lines += [f"    {name}: {size(taken)}" for name, taken in needed.classes.items() if taken]
    if needed.building > needed.total - needed.classes[CONNECTIONS]:
        lines.append(f"    while connections are made, before the rest is: up to {size(needed.building)} more")
    return lines


__all__ = ["CLASSES", "DeviceMemory", "estimate_device", "memory_lines", "require", "synapse_counts"]
