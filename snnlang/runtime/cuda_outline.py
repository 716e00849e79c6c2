"""How a plan runs on a CUDA device, in words: ``snn explain --target cuda``.

Resident or as graphs and the rule with its numbers, the stages of a step and where threads meet, shapes of launches, memory by what it is
for, precision and random numbers. Read from the code that runs; rows of synapses that are drawn are taken as long as expected. Without a
device it is told for a stated one (:data:`REFERENCE`); nothing is allocated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from snnlang.codegen import plan as p
from snnlang.codegen.cuda_code import CudaCode, CudaKernel
from snnlang.codegen.cuda_stages import Guard, Settling, Stage, Task, cut
from snnlang.codegen.target_cuda import emit
from snnlang.frozen import dataclass
from snnlang.runtime.cuda_backend import Backend
from snnlang.runtime.cuda_estimate import estimate_device, memory_lines, synapse_counts
from snnlang.runtime.cuda_failure import size
from snnlang.runtime.cuda_memory import cuts
from snnlang.runtime.device_cuda import (
    GRAPH_KERNELS,
    RESIDENT_BLOCK,
    RESIDENT_ITEMS,
    RESIDENT_THREADS,
    blocks_of,
    resident_blocks_of,
    way_of,
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What an outline needs of a device: threads of an ordinary block, blocks of the resident kernel that it holds, bytes."""

    name: str
    multiprocessors: int
    block: int
    resident_blocks: int
    free: int
    total: int

    @property
    def resident_threads(self) -> int:
        """Threads of a resident block."""
        return min(RESIDENT_THREADS, RESIDENT_BLOCK * self.block)


#: Told where no device answers. A block of 512 threads fits on every multiprocessor, because the compiler is told so; often more do.
REFERENCE = Shape("an NVIDIA H100", 132, 256, 132, 80_000_000_000, 80_000_000_000)


def shape_of(backend: Backend, plan: p.Plan, code: CudaCode) -> Shape:
    """The device itself: the text is compiled (and kept), because registers decide how many blocks stay on it."""
    module = backend.module(code.text, single=plan.precision == "single", name=plan.name)
    free, total = backend.memory()
    threads = min(RESIDENT_THREADS, RESIDENT_BLOCK * backend.block)
    resident = module.resident_blocks("snn_resident", threads)
    return Shape(backend.name, backend.multiprocessors, backend.block, resident, free, total)


def outline(plan: p.Plan, backend: Backend | None = None) -> list[str]:
    """The lines, from a heading on; ``backend`` None: for :data:`REFERENCE`. Raises E744 (our mistake) where the device compiles."""
    code = emit(plan)
    if backend is None:
        shape = REFERENCE
        head = f"On a device (none is here; told for {shape.name}: {shape.multiprocessors} multiprocessors, {size(shape.total)}, "
        head += f"at least one resident block of {shape.resident_threads} threads on each)"
    else:
        shape = shape_of(backend, plan, code)
        head = f"On {shape.name}"
    needed = estimate_device(plan, code, shape.free)
    lines = [head, *_way(plan, code, shape), *_stages(plan, code, shape), *memory_lines(needed, plan.precision)]
    if needed.total > shape.free:
        lines.append(f"    more than the {size(shape.free)} that are free: a run is refused (E741)")
    return [*lines, *_numbers(plan)]


def _way(plan: p.Plan, code: CudaCode, shape: Shape) -> Iterator[str]:
    """Resident or graph, with the numbers of the rule."""
    threads, items = shape.resident_blocks * shape.resident_threads, code.resident.items
    rule = f"{RESIDENT_ITEMS} for each of the {threads} threads that stay on the device"
    if way_of(code, threads) == "resident":
        blocks = resident_blocks_of(items, shape.resident_threads, shape.resident_blocks)
        yield "  resident: one kernel holds the loop over time, and Python waits for many steps"
        if not code.step:
            yield "    because loops of a step settle: their number of turns is known on the device alone"
        else:
            most = RESIDENT_ITEMS * threads
            yield f"    because the longest loop of a step has {items} elements, and {most} ({rule}) are the most for this"
        yield f"    {_count(blocks, 'block')} of {shape.resident_threads} threads" + (
            "; threads of one block meet without the rest of the device" if blocks == 1 else ""
        )
        return
    steps = max(1, GRAPH_KERNELS // len(code.step)) * (2 if code.barriers == 1 else 1)
    yield f"  graph: CUDA graphs of {_count(steps, 'step')}, a kernel for every stage; Python starts graphs, not steps"
    yield f"    because the longest loop of a step has {items} elements, more than {RESIDENT_ITEMS * threads} ({rule})"


def _stages(plan: p.Plan, code: CudaCode, shape: Shape) -> Iterator[str]:
    """What runs side by side between two meetings of all threads, and as how many blocks."""
    parts = cut(plan).step
    flat = [stage for part in parts for stage in (part.stages if isinstance(part, Settling) else (part,))]
    yield f"  a step: {_count(len(flat), 'stage')}, all threads meet {_count(code.barriers, 'time')}"
    kernels = list(code.step[: len(flat)])
    counts = synapse_counts(plan)
    for part in parts:
        if isinstance(part, Settling):
            yield f"    until {part.node.list} stays the same, at most {_count(part.node.limit, 'time')}:"
            for stage in part.stages:
                yield f"      {_tasks(stage)}"
            continue
        shaped = ""
        if kernels:
            kernel = kernels.pop(0)
            blocks = blocks_of(_work(plan, kernel, counts, shape.block), shape.block, shape.multiprocessors)
            shaped = f"  [{kernel.name}: {_count(blocks, 'block')} of {shape.block} as a launch]"
        yield f"    {_tasks(part)}{shaped}"


def _work(plan: p.Plan, kernel: CudaKernel, counts: dict[str, float], block: int) -> int:
    """Threads that a kernel can keep busy, with rows as long as expected."""
    work = kernel.items
    for name, side in kernel.fans:
        c = plan.connectivities[name]
        if side in ("", "queue"):
            work = max(work, int(counts[name]))
            continue
        neurons = c.post_size if side == "post" else c.pre_size
        mean = counts[name] / max(1, neurons)
        found = cuts(math.ceil(mean), neurons, mean, block)
        work = max(work, neurons * found["chunks"] << found["team"])
    return work


def _tasks(stage: Stage) -> str:
    """The tasks of a stage by name, with what they happen under."""
    told = dict.fromkeys(_task(task) + _guards(task.guards) for task in stage.tasks)
    return ", ".join(told) or "nothing but the clock"


def _task(task: Task) -> str:
    """One task in words: a kernel of the plan by its name (``snn show --stage plan``)."""
    match task.work:
        case p.Launch(kernel=kernel):
            return kernel.name
        case p.Fill(array=name):
            return f"fill {name}"
        case p.ClearList(list=name) | p.ClearQueue(queue=name):
            return f"empty {name}"
        case p.Enqueue(queue=name):
            return f"enqueue {name}"
        case p.Reduce(result=name) | p.SynapseReduce(result=name):
            return f"reduce {name}" + (f" ({'parts' if task.phase == 1 else 'whole'})" if task.phase else "")
        case p.Schedule(list=name):
            return f"schedule {name}"
        case p.EventRecorder(label=name) | p.ValueRecorder(label=name):
            return f"record {name}"
    raise AssertionError(f"{type(task.work).__name__} is no task")


def _guards(guards: tuple[Guard, ...]) -> str:
    words = (f"every {g.number} steps" if g.kind == "every" else f"at step {g.number}" for g in guards)
    return f" ({', '.join(words)})" if guards else ""


def _numbers(plan: p.Plan) -> Iterator[str]:
    """Precision, random numbers, order of sums."""
    if plan.precision == "single":
        yield "  numbers: float32; a product and a sum are rounded once (--precision float64 for the spikes of the other targets)"
    else:
        yield "  numbers: float64, rounded as written"
    if plan.streams:
        streams = _count(len(plan.streams), "stream")
        yield f"  random numbers: {streams} of draws by counter, the same on every target; no state on the device"
    else:
        yield "  random numbers: none"
    if plan.connectivities:
        yield "  sums over synapses are added in no fixed order: their last bit may differ from run to run"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


__all__ = ["REFERENCE", "Shape", "outline", "shape_of"]
