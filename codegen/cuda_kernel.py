"""One task of a stage as one device function: the loops of each domain over the threads of the grid.

Elements of a population belong to threads by their index, so that all that a stage does to them is one loop: states are loaded once and
stored once. Synapses of the neurons that fired are dealt out in chunks of rows to teams of neighbouring threads, so that neither an uneven
row nor a step with few spikes leaves threads idle, and neighbouring threads read neighbouring synapses. Where every pair is connected a
thread sums up what arrives at one post neuron before it adds it. It refuses nothing that ``verify`` accepts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.c_layout import loaded
from snnlang.codegen.clike import C_TYPES, Scope, real_literal, safe
from snnlang.codegen.cuda_layout import CudaLayout
from snnlang.codegen.cuda_stages import Guard, Stages, Task, adds_atomically

_WORD = re.compile(r"\b[A-Za-z_]\w*\b")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


@dataclass
class TaskPrinter:
    """Prints tasks of one stage that share a loop (or a single one). ``constant``: arrays that nothing of the section writes;
    ``lifts``: real constants are members of the model."""

    layout: CudaLayout
    stages: Stages
    name: str
    constant: frozenset[str]
    lifts: bool
    lines: list[str] = field(default_factory=list)
    depth: int = 1
    touched: dict[str, bool] = field(default_factory=dict)
    sums: dict[tuple[str, str], str] = field(default_factory=dict)  # what a thread adds up before it adds it
    _slots: dict[tuple[str, str], str] = field(default_factory=dict)
    _records: dict[str, str] = field(default_factory=dict)
    _kernel: k.Kernel | None = None
    _scope: Scope | None = None

    # --- lines --------------------------------------------------------------------------------------------------------

    def put(self, line: str) -> None:
        self.lines.append("    " * self.depth + line if line else "")

    def comment(self, source: str) -> None:
        if source:
            self.put(f"/* {source.replace('*/', '* /')} */")

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Lines in braces after ``head``."""
        self.put(f"{head} {{" if head else "{")
        self.depth += 1
        yield
        self.depth -= 1
        self.put("}")

    def function(self, tasks: tuple[Task, ...], own: str) -> str:
        """The text of the function; ``own`` is the manner of the loop that the tasks share, or empty for one of another kind."""
        for task in tasks:
            if isinstance(task.work, p.Launch):
                for array, writes in loaded(task.work.kernel).items():
                    self.touched[array] = self.touched.get(array, False) or writes
        if own.startswith("own:"):
            self._elements(tasks, own)
        elif own == "first":
            with self.block("if (thread == 0)"):
                for task in tasks:
                    self._guarded(task, partial(self._alone, task.work))
        else:
            for task in tasks:
                self._guarded(task, partial(self._task, task))
        body, self.lines, self.depth = self.lines, [], 1
        used = words("\n".join(body))
        self._prologue(used)
        text = [*self.lines, *body]
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
            with self.block(f"if ({guard_text(self.layout, task.guards)})"):
                body()
        else:
            body()

    # --- what is known before the loops ---------------------------------------------------------------------------------

    def _prologue(self, used: set[str]) -> None:
        if "dt" in used:
            self.put("const real dt = (real)model.dt;")
        if "t" in used:
            self.put("const double t = ((double)step + (double)model.time_offset)*model.dt;")
        for (array, lag), slot in self._slots.items():
            if slot in used:
                described = self.layout.plan.arrays[array]
                type_ = C_TYPES[described.type]
                ring = self._depth(array)
                self.put(
                    f"{type_} *const {slot} = model.{self.layout.arrays[array]} + snn_ring(step, {lag}, {ring})*"
                    f"{self.layout.length(described)};"
                )
        for array, writes in self.touched.items():
            described, name = self.layout.plan.arrays[array], self.layout.arrays[array]
            if name not in used or described.depth > 1:
                continue
            type_ = C_TYPES[described.type]
            if writes:
                self.put(f"{type_} *__restrict__ const {name} = model.{name};")
            elif self.layout.is_scalar(array):
                self.put(f"const {type_} {name} = *model.{name};")
            elif array in self.constant:
                self.put(f"const {type_} *__restrict__ const {name} = model.{name};")
            else:
                # written by another stage: no cache that is only read may be asked
                self.put(f"const {type_} *const {name} = model.{name};")
        for label, row in self._records.items():
            recorder = next(r for r in self.layout.plan.recorders if r.label == label)
            assert isinstance(recorder, p.ValueRecorder)
            record, type_ = self.layout.record(label), C_TYPES[self.layout.plan.arrays[recorder.array].type]
            period = "" if recorder.every == 1 else f"/(int32_t){self.layout.member('period', recorder.every)}"
            self.put(
                f"{type_} *const {row} = ({type_} *){record}.rows + ((step + 1){period} - 1 - *{record}.base)*{record}.width;"
            )

    def _depth(self, array: str) -> str:
        return self.layout.member(f"{array}_depth", self.layout.plan.arrays[array].depth)

    def _slot(self, array: str, back: int) -> str:
        """The name of one slot of a ring of arrays."""
        text = str(back) if abs(back) <= 1 else self.layout.member(f"{self.name}_lag", back)
        word = "now" if back == 0 else f"{'back' if back > 0 else 'ahead'}_{len(self._slots)}"
        return self._slots.setdefault((array, text), f"{self.layout.arrays[array]}__{word}")

    def _list(self, name: str, lag: int) -> str:
        """The slot of a list as it stood some steps ago."""
        back = str(lag) if lag <= 1 else self.layout.member(f"{self.name}_lag", lag)
        return f"snn_ring(step, {back}, model.{self.layout.lists[name]}.ring)"

    def _token(self, name: str) -> str:
        return "step + 1" if name in self.stages.early else f"*model.{self.layout.lists[name]}.generation"

    # --- elements of populations --------------------------------------------------------------------------------------

    def _elements(self, tasks: tuple[Task, ...], own: str) -> None:
        """One loop for all that happens to equally many elements."""
        with self.block(f"for (int64_t i = thread; i < {self.extent(tasks[0])}; i += threads)"):
            for task in tasks:
                match task.work:
                    case p.Launch(kernel=kernel):
                        head = f"if ({guard_text(self.layout, task.guards)})" if task.guards else ""
                        if head or len(tasks) > 1:
                            self.comment(kernel.title)
                            with self.block(head):
                                self._kernel_body(kernel)
                        else:
                            self._kernel_body(kernel)
                    case p.Fill() as fill:
                        self._guarded(task, partial(self._fill, fill, "i"))
                    case p.ValueRecorder() as recorder:
                        self._guarded(task, partial(self._row, recorder, "i"))
                    case _:
                        raise AssertionError(f"{type(task.work).__name__} has no elements")

    def extent(self, task: Task) -> str:
        """How many elements a task visits, as text."""
        plan, layout = self.layout.plan, self.layout
        match task.work:
            case p.Launch(kernel=k.Kernel(domain=k.Each(size=size), name=name)):
                return layout.size(size, name)
            case p.Fill(array=name) | p.ValueRecorder(array=name):
                return layout.length(plan.arrays[name])
        raise AssertionError(f"{type(task.work).__name__} has no elements")

    def _fill(self, fill: p.Fill, index: str) -> None:
        array = self.layout.plan.arrays[fill.array]
        real = array.type == "real"
        value = real_literal(fill.value, self.layout.plan.precision) if real else str(int(fill.value))
        if array.depth > 1:
            self.put(f"{self._slot(fill.array, fill.lag)}[{index}] = {value};")
            return
        self.touched[fill.array] = True
        self.put(f"{self.layout.arrays[fill.array]}[{index}] = {value};")

    def _row(self, recorder: p.ValueRecorder, index: str) -> None:
        array, layout = recorder.array, self.layout
        row = self._records.setdefault(recorder.label, f"row__{len(self._records) + 1}")
        if layout.plan.arrays[array].depth > 1:
            value = f"{self._slot(array, 0)}[{index}]"
        else:
            scalar = not self.touched.setdefault(array, False) and layout.is_scalar(array)
            value = layout.arrays[array] + ("" if scalar else f"[{index}]")
        self.put(f"{row}[{index}] = {value};")

    # --- what the first thread does -----------------------------------------------------------------------------------

    def _alone(self, work: object) -> None:
        match work:
            case p.Launch(kernel=kernel):
                self.comment(kernel.title)
                with self.block(""):
                    self._kernel_body(kernel)
            case p.Fill() as fill:
                self._fill(fill, "0")
            case p.ValueRecorder() as recorder:
                self._row(recorder, "0")
            case p.ClearList(list=name):
                member = f"model.{self.layout.lists[name]}"
                self.put(f"{member}.counts[{self._list(name, 0)}] = 0;")
                if name in self.stages.inserts and name not in self.stages.early:
                    self.put(f"*{member}.generation += 1;")
            case p.ClearQueue(queue=name):
                member = f"model.{self.layout.queues[name]}"
                self.put(f"{member}.counts[snn_ring(step, 0, {member}.ring)] = 0;")
            case _:
                raise AssertionError(f"{type(work).__name__} is not for one thread")

    # --- other tasks --------------------------------------------------------------------------------------------------

    def _task(self, task: Task) -> None:
        layout, plan = self.layout, self.layout.plan
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
                self.put(
                    f"snn_follow({layout.cursor(name, steps)}, model.{layout.lists[name]}, {self._current(steps)}, "
                    f"{self._current(indices)}, {layout.length(plan.arrays[steps])}, step, {self._list(name, 0)}, "
                    f"{self._token(name)}, thread, threads);"
                )
            case p.EventRecorder(label=label, list=name):
                self.put(
                    f"snn_record_events({layout.record(label)}, model.{layout.lists[name]}, {self._list(name, 0)}, "
                    "step, thread, threads);"
                )
            case p.ValueRecorder(label=label, array=array) as recorder:
                record = layout.record(label)
                row = self._records.setdefault(label, f"row__{len(self._records) + 1}")
                if plan.arrays[array].depth > 1:
                    value = self._slot(array, 0)
                else:
                    self.touched.setdefault(array, False)
                    value = layout.arrays[array]
                with self.block(f"for (int64_t number = thread; number < {record}.width; number += threads)"):
                    self.put(f"{row}[number] = {value}[{record}.chosen[number]];")
                assert recorder.indices is not None
            case _:
                raise AssertionError(f"{type(task.work).__name__} is no task of its own")

    def _current(self, array: str) -> str:
        """The slot of this step of an array."""
        described, name = self.layout.plan.arrays[array], f"model.{self.layout.arrays[array]}"
        if described.depth == 1:
            return name
        return f"{name} + snn_ring(step, 0, {self._depth(array)})*{self.layout.length(described)}"

    def _reduce(self, node: p.Reduce, phase: int) -> None:
        layout, arrays = self.layout, self.layout.plan.arrays
        operation = f"SNN_{node.operation.upper()}"
        source, count = self._current(node.source), layout.length(arrays[node.source])
        groups = "nullptr" if node.groups is None else self._current(node.groups)
        result = self._current(node.result)
        if node.operation == "rank":
            self.put(f"snn_rank({result}, {source}, {count}, {groups}, thread, threads);")
        elif phase == 1:
            self.put(f"snn_reduce_blocks({operation}, {layout.partial(node.result, node.source)}, {source}, {count});")
        elif phase == 2:
            self.put(f"snn_reduce_finish({operation}, {result}, {layout.partial(node.result, node.source)});")
        else:
            results = layout.length(arrays[node.result])
            self.put(f"snn_reduce_groups({operation}, {result}, {results}, {source}, {count}, {groups});")

    def _reduce_synapses(self, node: p.SynapseReduce) -> None:
        layout, arrays = self.layout, self.layout.plan.arrays
        c = layout.plan.connectivities[node.connectivity]
        source = "(const real *)nullptr" if node.source is None else f"(const real *){self._current(node.source)}"
        result, member = arrays[node.result], f"model.{layout.connectivities[c.name]}"
        head = (
            f"SNN_{node.operation.upper()}, {self._current(node.result)}, {layout.length(result)}, {source}, {member}"
        )
        per_post = int(node.per == "post")
        if c.kind == "sparse":
            self.put(f"snn_reduce_rows({head}, {per_post}, thread, threads);")
        else:
            pairs = int(c.kind == "one_to_one")
            self.put(f"snn_reduce_grid({head}, {pairs}, {int(c.autapses)}, {per_post}, thread, threads);")

    # --- kernels ------------------------------------------------------------------------------------------------------

    def _kernel_body(self, kernel: k.Kernel) -> None:
        self._enter(kernel)
        self._statements(kernel.body)

    def _enter(self, kernel: k.Kernel) -> None:
        """The names of a kernel: none hides a member or a word of the printer."""
        layout, plan = self.layout, self.layout.plan
        self._kernel = kernel
        self._scope = scope = Scope(
            plan.precision,
            self._place,
            lambda stream: f"model.{layout.streams[stream]}",
            lambda value: layout.constant(kernel.name, value),
            lambda number: layout.lifted(kernel.name, number) if number.given or self.lifts else None,
        )
        taken = set(layout.names)
        for statement in k.walk_statements(kernel.body):
            if isinstance(statement, k.Let) and statement.name not in scope.names:
                wanted = safe(statement.name)
                name, number = wanted, 2
                while name in taken:
                    name, number = f"{wanted}_{number}", number + 1
                taken.add(name)
                scope.names[statement.name] = name

    @property
    def scope(self) -> Scope:
        assert self._scope is not None
        return self._scope

    def _launch(self, kernel: k.Kernel) -> None:
        self._enter(kernel)
        plan, uses = self.layout.plan, names_of(kernel.body)
        match kernel.domain:
            case k.Listed(list=name, lag=lag):
                self._open_list(name, lag)
                with self.block(
                    "for (uint32_t number = (uint32_t)thread; number < fired_count; number += (uint32_t)threads)"
                ):
                    self.put("const int64_t i = fired[number];")
                    self._statements(kernel.body)
            case k.Fan(connectivity=connectivity, side=side, list=name, lag=lag):
                c = plan.connectivities[connectivity]
                self._open_list(name, lag)
                if c.kind == "dense" and side == "pre" and self._may_gather(kernel):
                    self._gathered(c, kernel, uses)
                else:
                    self._fan(c, side, uses, lambda: self._statements(kernel.body))
            case k.Synapses(connectivity=connectivity):
                self._fan(plan.connectivities[connectivity], "", uses, lambda: self._statements(kernel.body))
            case k.Arrivals(queue=queue, connectivity=connectivity):
                self._arrivals(queue, plan.connectivities[connectivity], kernel, uses)
            case k.Single() | k.Each():
                raise AssertionError(f"kernel {kernel.name} shares a loop")

    def _open_list(self, list_name: str, lag: int) -> None:
        name = f"model.{self.layout.lists[list_name]}"
        self.put(f"const int64_t slot = {self._list(list_name, lag)};")
        self.put(f"const int32_t *const fired = {name}.items + slot*{name}.size;")
        self.put(f"const uint32_t fired_count = (uint32_t){name}.counts[slot];")

    def _enqueue(self, node: p.Enqueue) -> None:
        layout = self.layout
        c, queue = layout.plan.connectivities[node.connectivity], layout.queues[node.queue]
        number = list(layout.queues).index(node.queue) + 1
        self._open_list(node.list, node.lag)
        self.touched.setdefault(node.delays, False)
        delays = layout.arrays[node.delays] + ("" if layout.is_scalar(node.delays) else "[synapse]")
        lag = str(node.lag) if node.lag <= 1 else f"(int32_t){layout.member(f'{node.queue}_lag', node.lag)}"
        wait = delays if lag == "0" else f"{delays} - {lag}"
        self._fan(
            c,
            node.side,
            {"synapse"},
            lambda: self.put(f"snn_enqueue(model.{queue}, model.clock, {number}, step, {wait}, synapse);"),
        )

    # --- synapses -----------------------------------------------------------------------------------------------------

    def _fan(self, c: p.Connectivity, side: str, uses: set[str], body: Callable[[], None]) -> None:
        """The synapses of the neurons of the open list (side pre: their rows, post: their columns), or all rows (side empty)."""
        name = f"model.{self.layout.connectivities[c.name]}"
        if c.kind == "one_to_one":
            self._pairs(c, side, uses, body, name)
            return
        kind, whole = ("row", "rows") if side != "post" else ("column", "columns")
        struct = "snn_rows" if c.kind == "sparse" else "snn_grid"
        across = "rows" if c.kind == "sparse" else "grid"
        self.put(f"const {struct} &{across} = {name};")
        if c.kind == "sparse":
            self._sparse_arrays(c, side, uses)
        self.put(f"const int32_t team = (int32_t){across}.{kind}_team, member = thread & ((1 << team) - 1);")
        total = "fired_count" if side else f"(uint32_t){across}.{'pre_size' if c.kind == 'sparse' else whole}"
        self.put(f"const uint32_t chunks = (uint32_t){across}.{kind}_chunks, item_count = {total}*chunks;")
        with self.block(
            "for (uint32_t item = (uint32_t)thread >> team; item < item_count; item += (uint32_t)threads >> team)"
        ):
            neuron = "post" if side == "post" else "pre"
            if c.kind == "sparse":
                source = "fired[item/chunks]" if side else "item/chunks"
                self.put(f"const int64_t {neuron} = {source};")
                start = f"{across}.{kind}_start"
                self.put(f"const int64_t first = {start}[{neuron}] + (int64_t)(item%chunks)*{across}.{kind}_chunk;")
                self.put(f"const int64_t stop = snn_smaller({start}[{neuron} + 1], first + {across}.{kind}_chunk);")
                place = "place" if side == "post" else "synapse"
                with self.block(f"for (int64_t {place} = first + member; {place} < stop; {place} += 1 << team)"):
                    if side == "post":
                        self._bind(uses | ({"synapse"} if "shared" in uses else set()), "synapse", "synapse_of[place]")
                        self._bind(uses, "pre", "pre_of[place]")
                    else:
                        self._bind(uses, "post", "post_of[synapse]")
                    self._bind(uses, "shared", "shared_of[synapse]")
                    body()
                return
            self._grid_item(c, side, neuron, kind)
            other, count = ("column", "columns") if side != "post" else ("row", "rows")
            self.put(f"const int64_t first = (int64_t)(item%chunks)*grid.{kind}_chunk;")
            self.put(f"const int64_t stop = snn_smaller(grid.{count}, first + grid.{kind}_chunk);")
            with self.block(f"for (int64_t {other} = first + member; {other} < stop; {other} += 1 << team)"):
                self._grid_names(c, uses, neuron)
                body()

    def _sparse_arrays(self, c: p.Connectivity, side: str, uses: set[str]) -> None:
        if side == "post":
            if uses & {"synapse", "shared"}:
                self.put("const int32_t *__restrict__ const synapse_of = rows.column_synapse;")
            if "pre" in uses:
                self.put("const int32_t *__restrict__ const pre_of = rows.column_pre;")
        elif "post" in uses:
            type_ = self.layout.index_type(c)
            self.put(f"const {type_} *__restrict__ const post_of = (const {type_} *)rows.post;")
        if "shared" in uses:
            self.put("const int32_t *__restrict__ const shared_of = rows.shared;")

    def _grid_item(self, c: p.Connectivity, side: str, neuron: str, kind: str) -> None:
        """The row or column of an item of a dense connectivity."""
        first, count = ("pre_first", "rows") if neuron == "pre" else ("post_first", "columns")
        if side:
            self.put(f"const int64_t {neuron} = fired[item/chunks];")
            self.put(f"const int64_t {kind} = {neuron} - grid.{first};")
            self.put(f"if ({kind} < 0 || {kind} >= grid.{count}) continue;")
        else:
            self.put(f"const int64_t {kind} = item/chunks;")
            self.put(f"const int64_t {neuron} = grid.{first} + {kind};")

    def _grid_names(self, c: p.Connectivity, uses: set[str], known: str) -> None:
        needs = set(uses) | ({"pre", "post"} if not c.autapses else set())
        if known == "pre":
            self._bind(needs, "post", "grid.post_first + column")
        else:
            self._bind(needs, "pre", "grid.pre_first + row")
        if not c.autapses:
            self.put("if (pre == post) continue; /* i -> i is left out */")
        self._bind(uses, "synapse", "row*grid.columns + column")

    def _pairs(self, c: p.Connectivity, side: str, uses: set[str], body: Callable[[], None], name: str) -> None:
        """One to one: at most one synapse a neuron."""
        self.put(f"const snn_grid &grid = {name};")
        total = "fired_count" if side else "(uint32_t)grid.rows"
        with self.block(f"for (uint32_t item = (uint32_t)thread; item < {total}; item += (uint32_t)threads)"):
            if side:
                first = "grid.post_first" if side == "post" else "grid.pre_first"
                self.put(f"const int64_t row = fired[item] - {first};")
                self.put("if (row < 0 || row >= grid.rows) continue;")
            else:
                self.put("const int64_t row = item;")
            self._bind(uses, "pre", "grid.pre_first + row")
            self._bind(uses, "post", "grid.post_first + row")
            self._bind(uses, "synapse", "row")
            body()

    def _arrivals(self, queue: str, c: p.Connectivity, kernel: k.Kernel, uses: set[str]) -> None:
        name, rows = f"model.{self.layout.queues[queue]}", f"model.{self.layout.connectivities[c.name]}"
        self.put(f"const int64_t slot = snn_ring(step, 0, {name}.ring);")
        self.put(f"const int32_t *const fired = {name}.items + slot*{name}.capacity;")
        self.put(f"const int64_t fired_count = snn_smaller({name}.counts[slot], {name}.capacity);")
        with self.block("for (int64_t number = thread; number < fired_count; number += threads)"):
            self.put("const int64_t synapse = fired[number];")
            match c.kind:
                case "sparse":
                    self._bind(uses, "pre", f"{rows}.pre[synapse]")
                    self._bind(uses, "post", f"((const {self.layout.index_type(c)} *){rows}.post)[synapse]")
                    self._bind(uses, "shared", f"{rows}.shared[synapse]")
                case "dense":
                    self._bind(uses, "pre", f"{rows}.pre_first + synapse/{rows}.columns")
                    self._bind(uses, "post", f"{rows}.post_first + synapse%{rows}.columns")
                case "one_to_one":
                    self._bind(uses, "pre", f"{rows}.pre_first + synapse")
                    self._bind(uses, "post", f"{rows}.post_first + synapse")
            self._statements(kernel.body)

    def _bind(self, uses: set[str], name: str, text: str) -> None:
        if name in uses:
            self.put(f"const int64_t {name} = {text};")

    # --- all pairs: summed up before they are added -------------------------------------------------------------------

    def _may_gather(self, kernel: k.Kernel) -> bool:
        """Whether a propagation does nothing but add to its post neurons."""
        targets: set[str] = set()
        for statement in k.walk_statements(kernel.body):
            match statement:
                case k.Accumulate(array=array, index=index, lag=lag):
                    plain = lag is None or isinstance(lag, k.Const)
                    if index != k.Local("post", "int") or not plain or self.layout.plan.arrays[array].type != "real":
                        return False
                    targets.add(array)
                case k.Store() | k.Append():
                    return False
                case _:
                    pass
        return bool(targets) and not any(
            isinstance(part, k.Load) and part.array in targets
            for statement in k.walk_statements(kernel.body)
            for expr in k.statement_expressions(statement)
            for part in k.walk(expr)
        )

    def _gathered(self, c: p.Connectivity, kernel: k.Kernel, uses: set[str]) -> None:
        """A thread goes through a part of the list for one post neuron; neighbours read neighbouring weights."""
        self.put(f"const snn_grid &grid = model.{self.layout.connectivities[c.name]};")
        self.put("const uint32_t columns = (uint32_t)grid.columns, wide = columns > 0 ? (uint32_t)threads/columns : 0;")
        # at least eight neurons a part: then few additions meet at one post neuron
        self.put("const uint32_t most = fired_count/8 + 1, parts = wide < 1 ? 1 : wide < most ? wide : most;")
        for statement in k.walk_statements(kernel.body):
            if isinstance(statement, k.Accumulate):
                target = self._place(statement.array, k.Local("post", "int"), statement.lag)
                self.sums.setdefault((statement.array, target), f"sum__{len(self.sums) + 1}")
        with self.block(
            "for (uint32_t item = (uint32_t)thread; fired_count > 0 && item < columns*parts; item += (uint32_t)threads)"
        ):
            self.put("const int64_t column = item%columns;")
            self.put("const int64_t post = grid.post_first + column;")
            for sum_name in self.sums.values():
                self.put(f"real {sum_name} = 0;")
            with self.block("for (uint32_t number = item/columns; number < fired_count; number += parts)"):
                self.put("const int64_t pre = fired[number];")
                self.put("const int64_t row = pre - grid.pre_first;")
                self.put("if (row < 0 || row >= grid.rows) continue;")
                if not c.autapses:
                    self.put("if (pre == post) continue; /* i -> i is left out */")
                self._bind(uses, "synapse", "row*grid.columns + column")
                self._statements(kernel.body)
            for (_, target), sum_name in self.sums.items():
                self.put(f"atomicAdd(&{target}, {sum_name});")
        self.sums = {}

    # --- statements ---------------------------------------------------------------------------------------------------

    def _place(self, array: str, index: k.Expr | None, lag: k.Expr | None) -> str:
        described, name = self.layout.plan.arrays[array], self.layout.arrays[array]
        where = "0" if index is None else self.scope.text(index)
        if described.depth > 1:
            if lag is None or isinstance(lag, k.Const):
                return f"{self._slot(array, 0 if lag is None else int(lag.value))}[{where}]"
            ring = f"snn_ring(step, {self.scope.text(lag)}, {self._depth(array)})"
            return f"model.{name}[{ring}*{self.layout.length(described)} + {where}]"
        if index is None and not self.touched[array]:
            return name
        return f"{name}[{where}]"

    def _statements(self, body: tuple[k.Statement, ...]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, statement: k.Statement) -> None:
        scope = self.scope
        match statement:
            case k.Let(name=name, value=value, source=source):
                self.comment(source)
                self.put(f"const {scope.local_type(statement)} {scope.names.get(name, name)} = {scope.text(value)};")
            case k.Store(array=array, index=index, value=value, source=source, lag=lag):
                self.comment(source)
                self.put(f"{self._place(array, index, lag)} = {self._converted(array, value)};")
            case k.Accumulate(source=source):
                self.comment(source)
                self._accumulate(statement)
            case k.If(condition=condition, body=inner, otherwise=otherwise, source=source):
                self.comment(source)
                with self.block(f"if ({scope.text(condition)})"):
                    self._statements(inner)
                if otherwise:
                    with self.block("else"):
                        self._statements(otherwise)
            case k.Append(list=name):
                list_, slot = f"model.{self.layout.lists[name]}", self._list(name, 0)
                if name in self.stages.inserts:
                    self.put(f"snn_insert({list_}, {slot}, (int32_t)i, {self._token(name)});")
                else:
                    self.put(f"snn_append({list_}, {slot}, (int32_t)i);")

    def _accumulate(self, statement: k.Accumulate) -> None:
        assert self._kernel is not None
        array = statement.array
        place = self._place(array, statement.index, statement.lag)
        value = self._converted(array, statement.value)
        if (array, place) in self.sums:
            self.put(f"{self.sums[array, place]} += {value};")
        elif adds_atomically(self.layout.plan, self._kernel, statement):
            cast = {"real": "real", "int": "int32_t", "bool": "int"}[self.layout.plan.arrays[array].type]
            self.put(f"atomicAdd(&{place}, ({cast})({value}));")
        else:
            self.put(f"{place} += {value};")

    def _converted(self, array: str, value: k.Expr) -> str:
        text = self.scope.text(value)
        if self.layout.plan.arrays[array].type == "int" and self.scope.is_wide(value):
            return f"(int32_t)({text})"
        return text


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


def names_of(body: tuple[k.Statement, ...]) -> set[str]:
    """The names that statements read."""
    return {
        part.name
        for statement in k.walk_statements(body)
        for expr in k.statement_expressions(statement)
        for part in k.walk(expr)
        if isinstance(part, k.Local)
    }


def words(text: str) -> set[str]:
    """The words of a text but those of its comments."""
    return set(_WORD.findall(_COMMENT.sub("", text)))
