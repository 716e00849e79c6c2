"""One task of a stage as one device function, or those of several that share a loop over the threads of the grid.

Elements of a population belong to threads by their index, so that all that a stage does to them is one loop: states are loaded once and
stored once. Synapses are dealt out to teams of threads (:mod:`snnlang.codegen.cuda_synapses`). It refuses nothing that ``verify`` accepts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.c_layout import loaded
from snnlang.codegen.clike import C_TYPES, real_literal, words
from snnlang.codegen.cuda_layout import CudaLayout
from snnlang.codegen.cuda_stages import Guard, Stages, Task
from snnlang.codegen.cuda_statements import StatementPrinter
from snnlang.codegen.cuda_synapses import SynapsePrinter


class TaskPrinter:
    """Prints tasks of one stage that share a loop (or a single one). ``constant``: arrays that nothing of the section writes;
    ``lifts``: real constants are members of the model."""

    def __init__(self, layout: CudaLayout, stages: Stages, name: str, constant: frozenset[str], lifts: bool) -> None:
        self.layout, self.plan = layout, layout.plan
        self.stages = stages
        self.name = name
        self.constant = constant
        self.out = StatementPrinter(layout, stages, name, lifts)
        self.synapses = SynapsePrinter(self.out)
        self.records: dict[str, str] = {}  # by recorder, the name of the row that this step fills

    def function(self, tasks: tuple[Task, ...], own: str) -> str:
        """The text of the function; ``own`` is the manner of the loop that the tasks share, or empty for one of another kind."""
        out = self.out
        for task in tasks:
            if isinstance(task.work, p.Launch):
                for array, writes in loaded(task.work.kernel).items():
                    out.touched[array] = out.touched.get(array, False) or writes
        if own.startswith("own:"):
            self._elements(tasks)
        elif own == "first":
            with out.block("if (thread == 0)"):
                for task in tasks:
                    self._guarded(task, partial(self._alone, task.work))
        else:
            for task in tasks:
                self._guarded(task, partial(self._task, task))
        body, out.lines, out.depth = out.lines, [], 1
        used = words("\n".join(body))
        self._prologue(used)
        text = [*out.lines, *body]
        used = words("\n".join(text))
        unused = [name for name in ("step", "thread", "threads") if name not in used]
        head = [f"/* {title} */" for title in dict.fromkeys(_title(task) for task in tasks)]
        head.append(
            f"static __device__ __forceinline__ void {self.name}"
            "(const int32_t step, const int32_t thread, const int32_t threads)"
        )
        head.append("{")
        if unused:
            head.append(f"    {', '.join(f'(void){name}' for name in unused)};")
        return "\n".join([*head, *text, "}", ""])

    def _guarded(self, task: Task, body: Callable[[], None]) -> None:
        if task.guards:
            with self.out.block(f"if ({guard_text(self.layout, task.guards)})"):
                body()
        else:
            body()

    # --- what is known before the loops -------------------------------------------------------------------------------

    def _prologue(self, used: set[str]) -> None:
        out = self.out
        if "dt" in used:
            out.put("const real dt = (real)model.dt;")
        if "t" in used:
            out.put("const double t = ((double)step + (double)model.time_offset)*model.dt;")
        for (array, lag), slot in out.slots.items():
            if slot in used:
                described = self.plan.arrays[array]
                type_ = C_TYPES[described.type]
                ring = out.ring(array)
                out.put(
                    f"{type_} *const {slot} = model.{self.layout.arrays[array]} + snn_ring(step, {lag}, {ring})*"
                    f"{self.layout.length(described)};"
                )
        for array, writes in out.touched.items():
            described, name = self.plan.arrays[array], self.layout.arrays[array]
            if name not in used or described.depth > 1:
                continue
            type_ = C_TYPES[described.type]
            if writes:
                out.put(f"{type_} *__restrict__ const {name} = model.{name};")
            elif self.layout.is_scalar(array):
                out.put(f"const {type_} {name} = *model.{name};")
            elif array in self.constant:
                out.put(f"const {type_} *__restrict__ const {name} = model.{name};")
            else:
                # written by another stage: no cache that is only read may be asked
                out.put(f"const {type_} *const {name} = model.{name};")
        for label, row in self.records.items():
            recorder = next(r for r in self.plan.recorders if r.label == label)
            assert isinstance(recorder, p.ValueRecorder)
            record, type_ = self.layout.record(label), C_TYPES[self.plan.arrays[recorder.array].type]
            period = "" if recorder.every == 1 else f"/(int32_t){self.layout.member('period', recorder.every)}"
            out.put(
                f"{type_} *const {row} = ({type_} *){record}.rows + ((step + 1){period} - 1 - *{record}.base)*{record}.width;"
            )

    # --- elements of populations --------------------------------------------------------------------------------------

    def _elements(self, tasks: tuple[Task, ...]) -> None:
        """One loop for all that happens to equally many elements."""
        out = self.out
        with out.block(f"for (int64_t i = thread; i < {self.extent(tasks[0])}; i += threads)"):
            for task in tasks:
                match task.work:
                    case p.Launch(kernel=kernel):
                        head = f"if ({guard_text(self.layout, task.guards)})" if task.guards else ""
                        if head or len(tasks) > 1:
                            out.comment(kernel.title)
                            with out.block(head):
                                out.kernel_body(kernel)
                        else:
                            out.kernel_body(kernel)
                    case p.Fill() as fill:
                        self._guarded(task, partial(self._fill, fill, "i"))
                    case p.ValueRecorder() as recorder:
                        self._guarded(task, partial(self._row, recorder, "i"))
                    case _:
                        raise AssertionError(f"{type(task.work).__name__} has no elements")

    def extent(self, task: Task) -> str:
        """How many elements a task visits, as text."""
        plan, layout = self.plan, self.layout
        match task.work:
            case p.Launch(kernel=k.Kernel(domain=k.Each(size=size), name=name)):
                return layout.size(size, name)
            case p.Fill(array=name) | p.ValueRecorder(array=name):
                return layout.length(plan.arrays[name])
        raise AssertionError(f"{type(task.work).__name__} has no elements")

    def _fill(self, fill: p.Fill, index: str) -> None:
        out = self.out
        array = self.plan.arrays[fill.array]
        real = array.type == "real"
        value = real_literal(fill.value, self.plan.precision) if real else str(int(fill.value))
        if array.depth > 1:
            out.put(f"{out.array_slot(fill.array, fill.lag)}[{index}] = {value};")
            return
        out.touched[fill.array] = True
        out.put(f"{self.layout.arrays[fill.array]}[{index}] = {value};")

    def _row(self, recorder: p.ValueRecorder, index: str) -> None:
        out = self.out
        array, layout = recorder.array, self.layout
        row = self.records.setdefault(recorder.label, f"row__{len(self.records) + 1}")
        if layout.plan.arrays[array].depth > 1:
            value = f"{out.array_slot(array, 0)}[{index}]"
        else:
            scalar = not out.touched.setdefault(array, False) and layout.is_scalar(array)
            value = layout.arrays[array] + ("" if scalar else f"[{index}]")
        out.put(f"{row}[{index}] = {value};")

    # --- what the first thread does -----------------------------------------------------------------------------------

    def _alone(self, work: object) -> None:
        out = self.out
        match work:
            case p.Launch(kernel=kernel):
                out.comment(kernel.title)
                with out.block(""):
                    out.kernel_body(kernel)
            case p.Fill() as fill:
                self._fill(fill, "0")
            case p.ValueRecorder() as recorder:
                self._row(recorder, "0")
            case p.ClearList(list=name):
                member = f"model.{self.layout.lists[name]}"
                out.put(f"{member}.counts[{out.list_slot(name, 0)}] = 0;")
                if name in self.stages.inserts and name not in self.stages.early:
                    out.put(f"*{member}.generation += 1;")
            case p.ClearQueue(queue=name):
                member = f"model.{self.layout.queues[name]}"
                out.put(f"{member}.counts[snn_ring(step, 0, {member}.ring)] = 0;")
            case _:
                raise AssertionError(f"{type(work).__name__} is not for one thread")

    # --- other tasks --------------------------------------------------------------------------------------------------

    def _task(self, task: Task) -> None:
        out = self.out
        layout, plan = self.layout, self.plan
        match task.work:
            case p.Launch(kernel=kernel):
                self._launch(kernel)
            case p.Enqueue() as node:
                self._enqueue(node)
            case p.Reduce() as node:
                self._reduce(node, task.phase)
            case p.SynapseReduce() as node:
                self._reduce_synapses(node)
            case p.Schedule(list=name, steps=steps, indices=indices):
                out.put(
                    f"snn_follow({layout.cursor(name, steps)}, model.{layout.lists[name]}, {self._current(steps)}, "
                    f"{self._current(indices)}, {layout.length(plan.arrays[steps])}, step, {out.list_slot(name, 0)}, "
                    f"{out.token(name)}, thread, threads);"
                )
            case p.EventRecorder(label=label, list=name):
                out.put(
                    f"snn_record_events({layout.record(label)}, model.{layout.lists[name]}, {out.list_slot(name, 0)}, "
                    "step, thread, threads);"
                )
            case p.ValueRecorder(label=label, array=array) as recorder:
                record = layout.record(label)
                row = self.records.setdefault(label, f"row__{len(self.records) + 1}")
                if plan.arrays[array].depth > 1:
                    value = out.array_slot(array, 0)
                else:
                    out.touched.setdefault(array, False)
                    value = layout.arrays[array]
                with out.block(f"for (int64_t number = thread; number < {record}.width; number += threads)"):
                    out.put(f"{row}[number] = {value}[{record}.chosen[number]];")
                assert recorder.indices is not None
            case _:
                raise AssertionError(f"{type(task.work).__name__} is no task of its own")

    def _current(self, array: str) -> str:
        """The slot of this step of an array."""
        described, name = self.plan.arrays[array], f"model.{self.layout.arrays[array]}"
        if described.depth == 1:
            return name
        return f"{name} + snn_ring(step, 0, {self.out.ring(array)})*{self.layout.length(described)}"

    def _launch(self, kernel: k.Kernel) -> None:
        out = self.out
        out.enter(kernel)
        plan, uses = self.plan, k.names_read(kernel.body)
        match kernel.domain:
            case k.Listed(list=name, lag=lag):
                self._open_list(name, lag)
                with out.block(
                    "for (uint32_t number = (uint32_t)thread; number < fired_count; number += (uint32_t)threads)"
                ):
                    out.put("const int64_t i = fired[number];")
                    out.statements(kernel.body)
            case k.Fan(connectivity=connectivity, side=side, list=name, lag=lag):
                c = plan.connectivities[connectivity]
                self._open_list(name, lag)
                if c.kind == "dense" and side == "pre" and self.synapses.may_gather(kernel):
                    self.synapses.gathered(c, kernel)
                else:
                    self.synapses.fan(c, side, uses, lambda: out.statements(kernel.body))
            case k.Synapses(connectivity=connectivity):
                self.synapses.fan(plan.connectivities[connectivity], "", uses, lambda: out.statements(kernel.body))
            case k.Arrivals(queue=queue, connectivity=connectivity):
                self.synapses.arrivals(queue, plan.connectivities[connectivity], kernel)
            case k.Single() | k.Each():
                raise AssertionError(f"kernel {kernel.name} shares a loop")

    def _open_list(self, list_name: str, lag: int) -> None:
        out = self.out
        name = f"model.{self.layout.lists[list_name]}"
        out.put(f"const int64_t slot = {out.list_slot(list_name, lag)};")
        out.put(f"const int32_t *const fired = {name}.items + slot*{name}.size;")
        out.put(f"const uint32_t fired_count = (uint32_t){name}.counts[slot];")

    def _enqueue(self, node: p.Enqueue) -> None:
        out = self.out
        layout = self.layout
        c, queue = layout.plan.connectivities[node.connectivity], layout.queues[node.queue]
        number = list(layout.queues).index(node.queue) + 1
        self._open_list(node.list, node.lag)
        out.touched.setdefault(node.delays, False)
        delays = layout.arrays[node.delays] + ("" if layout.is_scalar(node.delays) else "[synapse]")
        lag = str(node.lag) if node.lag <= 1 else f"(int32_t){layout.member(f'{node.queue}_lag', node.lag)}"
        wait = delays if lag == "0" else f"{delays} - {lag}"
        self.synapses.fan(
            c,
            node.side,
            {"synapse"},
            lambda: out.put(f"snn_enqueue(model.{queue}, model.clock, {number}, step, {wait}, synapse);"),
        )

    def _reduce(self, node: p.Reduce, phase: int) -> None:
        out = self.out
        layout, arrays = self.layout, self.plan.arrays
        operation = f"SNN_{node.operation.upper()}"
        source, count = self._current(node.source), layout.length(arrays[node.source])
        groups = "nullptr" if node.groups is None else self._current(node.groups)
        result = self._current(node.result)
        if node.operation == "rank":
            out.put(f"snn_rank({result}, {source}, {count}, {groups}, thread, threads);")
        elif phase == 1:
            out.put(f"snn_reduce_blocks({operation}, {layout.partial(node.result, node.source)}, {source}, {count});")
        elif phase == 2:
            out.put(f"snn_reduce_finish({operation}, {result}, {layout.partial(node.result, node.source)});")
        else:
            results = layout.length(arrays[node.result])
            out.put(f"snn_reduce_groups({operation}, {result}, {results}, {source}, {count}, {groups});")

    def _reduce_synapses(self, node: p.SynapseReduce) -> None:
        out = self.out
        layout, arrays = self.layout, self.plan.arrays
        c = layout.plan.connectivities[node.connectivity]
        source = "(const real *)nullptr" if node.source is None else f"(const real *){self._current(node.source)}"
        result, member = arrays[node.result], f"model.{layout.connectivities[c.name]}"
        head = (
            f"SNN_{node.operation.upper()}, {self._current(node.result)}, {layout.length(result)}, {source}, {member}"
        )
        per_post = int(node.per == "post")
        if c.kind == "sparse":
            out.put(f"snn_reduce_rows({head}, {per_post}, thread, threads);")
        else:
            pairs = int(c.kind == "one_to_one")
            out.put(f"snn_reduce_grid({head}, {pairs}, {int(c.autapses)}, {per_post}, thread, threads);")


def guard_text(layout: CudaLayout, guards: tuple[Guard, ...]) -> str:
    """The condition under which tasks run, as text."""
    texts = []
    for guard in guards:
        if guard.kind == "every":
            texts.append(f"snn_every(step, {layout.member('period', guard.number)})")
        else:
            texts.append(f"step == {layout.member('at_step', guard.number)}")
    return " && ".join(texts)


def _title(task: Task) -> str:
    match task.work:
        case p.Launch(kernel=kernel):
            text = kernel.title
        case p.Fill(array=name):
            text = f"{name}, cleared"
        case p.ClearList(list=name):
            text = f"{name}, emptied"
        case p.ClearQueue(queue=name):
            text = f"{name}, emptied"
        case p.Enqueue(queue=name, list=list_name):
            text = f"{name}: synapses reached by {list_name}, later"
        case p.Reduce(operation=operation, result=result, source=source):
            half = {0: "", 1: ", by blocks", 2: ", of the blocks"}[task.phase]
            text = f"{result} = {operation} of {source}{half}"
        case p.SynapseReduce(operation=operation, result=result, source=values, per=per):
            text = f"{result} = {operation} of {values or 'synapses'} per {per}"
        case p.Schedule(list=name):
            text = f"{name}: scheduled events"
        case p.EventRecorder(label=label) | p.ValueRecorder(label=label):
            text = f"record {label}"
        case _:
            text = type(task.work).__name__
    return text.replace("*/", "* /")
