"""A plan as one C11 file: the model's memory, a function for every kernel, and one ``run`` that holds the whole loop over time.

What stands in the text depends on the structure of the plan alone (see :mod:`snnlang.codegen.c_layout`), so that a change of size,
parameter, seed or duration compiles nothing. The file needs a C compiler and nothing else: what it calls is pasted in from
``codegen/native``. The exported functions are listed at its end; their names begin with ``prefix``.
"""

from __future__ import annotations

import math
import os
from functools import lru_cache
from typing import Literal

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.c_ahead import Ahead, ahead
from snnlang.codegen.c_exponentials import share_exponentials
from snnlang.codegen.c_fusion import fuse
from snnlang.codegen.c_kernel import print_kernel
from snnlang.codegen.c_layout import Layout, lay_out, loaded
from snnlang.codegen.c_sharing import Sharing, appended, share_out, walk_nodes
from snnlang.codegen.c_tiling import Tiles, tiling, tiling_text
from snnlang.codegen.clike import C_TYPES, real_literal
from snnlang.codegen.native_code import NativeCode
from snnlang.codegen.verify import InternalError
from snnlang.codegen.wiring import PATTERN, condition_c

Mathematics = Literal["fast", "strict"]

#: The headers of codegen/native that every model carries, in this order.
HEADERS = (
    "model.h",
    "threads.h",
    "support.h",
    "mathematics.h",
    "random.h",
    "quantiles.h",
    "connectivity.h",
    "events.h",
    "reduce.h",
)

#: By number of ``enum snn_pattern``: the switch that compiles its generator.
_SWITCHES = (
    "DENSE", "ONE_TO_ONE", "RANDOM", "FIXED_OUTDEGREE", "FIXED_INDEGREE", "FIXED_TOTAL", "WINDOW", "WHERE", "GIVEN"
)  # fmt: skip

_CLEARED = ("hold", "clock", "history", "scratch")
#: Formulas of many exponentials: those that do not wait for each other are worth a third more side by side than one after the other. A
#: compiler does not do so by itself, since light loops gain nothing by it. Only the order changes, never a result.
_INTERLEAVED = (
    "#if defined __GNUC__ && !defined __clang__",
    '#pragma GCC optimize ("schedule-insns", "sched-pressure")',
    "#endif",
)


def emit(plan: p.Plan, *, prefix: str = "snn", math: Mathematics = "fast", tiles: Tiles | None = None) -> NativeCode:
    """The C file of a plan. ``math`` strict: the functions of libm, every rounding as written. ``tiles``: the sizes of blocks, where the
    plan can be run in blocks; they are given at run time."""
    _require_printable(plan)
    plan = fuse(plan)
    if math == "fast":
        plan = share_exponentials(plan)
    printer = _Printer(plan, prefix, math, tiles or Tiles())
    text = printer.file()
    layout = printer.layout
    return NativeCode(
        text,
        tuple(layout.whole.values()),
        tuple(layout.number.values()),
        tuple(float(array.fill) for array in plan.arrays.values()),
        tuple(plan.arrays),
        tuple(plan.streams),
        tuple(plan.connectivities),
        tuple(recorder.label for recorder in plan.recorders),
    )


def _require_printable(plan: p.Plan) -> None:
    """What ``lower`` never makes and C memory is not laid out for."""
    for c in plan.connectivities.values():
        ranges = all(isinstance(part, range) and part.step == 1 for part in (c.pre_part, c.post_part) if len(part))
        if c.kind != "sparse" and not ranges:
            raise InternalError(
                f"plan {plan.name}: {c.kind} connectivity {c.name} of parts that are no ranges must be lowered as sparse"
            )
    for section in (plan.setup, plan.coefficients, plan.trial_start, plan.step, plan.trial_end):
        for node in walk_nodes(section):
            if isinstance(node, p.SynapseReduce) and plan.arrays[node.result].type != "real":
                raise InternalError(
                    f"plan {plan.name}: a reduction over synapses into {node.result}, which holds no real numbers"
                )


@lru_cache(maxsize=16)
def header(name: str) -> str:
    """The text of a header of codegen/native."""
    place = os.path.join(
        os.path.dirname(__file__), "native", name
    )  # importlib.resources takes longer than all the rest here
    with open(place, encoding="utf-8") as file:
        return file.read()


class _Printer:
    def __init__(self, plan: p.Plan, prefix: str, math: Mathematics, tiles: Tiles) -> None:
        self.plan = plan
        self.prefix = prefix
        self.math = math
        self.layout: Layout = lay_out(plan, math == "strict")
        self.sharing: Sharing = share_out(plan)
        found = tiling(plan, self.sharing.inserts)
        self.tiling = None if found is None else tiling_text(plan, self.layout, found, tiles)
        self.ahead = ahead(plan, self.sharing) if found is None else None
        self.functions: dict[tuple[str, tuple[k.Statement, ...], k.Domain, bool], str] = {}
        self.texts: list[str] = []
        self.wired = _wired_for(plan)

    # --- the file -----------------------------------------------------------------------------------------------------

    def file(self) -> str:
        phases = [
            self._phase("setup", self.plan.setup, lifts=True),
            self._phase("coefficients", self.plan.coefficients, lifts=True),
            self._phase("trial_start", self.plan.trial_start, lifts=True),
            self._phase("trial_end", self.plan.trial_end, lifts=True),
        ]
        loop = [self._simulate(), self._run()]
        conditions = [
            f"/* Which pairs of {c.owner or name} are connected. */\n"
            f"static int snn_condition_{self.layout.connectivities[name]}(int64_t pre, int64_t post)\n{{\n"
            + "\n".join("    " + line if line else "" for line in condition_c(c.options).splitlines())
            + "\n}\n"
            for name, c in self.plan.connectivities.items()
            if c.pattern == "where"
        ]
        around = [*conditions, *phases, self._create(), *self._exports()]
        # every member is known only now
        parts = [self._opening(), self._memory(), *self.texts]
        halves = ["#if SNN_HALF != 2\n", *loop, "#endif\n#if SNN_HALF != 1\n", *around, "#endif\n"]
        return "\n".join([*parts, *halves])

    def _opening(self) -> str:
        real = "double" if self.plan.precision == "double" else "float"
        defines = ["#define _GNU_SOURCE 1"]
        if self.math == "strict":
            defines.append("#define SNN_STRICT_MATH 1")
        defines.append(f"#define SNN_SINGLE {1 if self.plan.precision == 'single' else 0}")
        fused = self.math == "fast" and (self.layout.fused or self.plan.precision == "single")
        defines.append(f"#define SNN_FUSED {int(fused)}")
        defines += [f"#define SNN_WITH_{name} {int(used)}" for name, used in self._uses().items()]
        lines = [
            f"/* {self.plan.name}: a spiking network, generated by snnlang. C11, no library but the C library's own mathematics. */",
            *defines,
            *(_INTERLEAVED if self.layout.fused and self.math == "fast" else ()),
            "#include <math.h>",
            "#include <stdint.h>",
            "",
            f"typedef {real} real;",
            "",
        ]
        headers = [*HEADERS]
        if self.tiling is not None:
            headers.append("tiling.h")
        if self.ahead is not None:
            headers.append("ahead.h")
        return "\n".join(lines) + "\n" + "\n".join(header(name) for name in headers)

    def _uses(self) -> dict[str, bool]:
        """Which ways of building connectivity this model needs: what it does not need is not compiled."""
        sparse = [c for c in self.plan.connectivities.values() if c.kind == "sparse"]
        numbers = {PATTERN[c.pattern] for c in sparse}
        uses = {name: number in numbers for number, name in enumerate(_SWITCHES)}
        ranges = [isinstance(part, range) and part.step == 1 for c in sparse for part in (c.pre_part, c.post_part)]
        return {**uses, "PARTS": not all(ranges)}

    def _memory(self) -> str:
        plan, layout = self.plan, self.layout
        lines = [
            "/* --- the memory of this model " + "-" * 90 + " */",
            "",
            f"struct {self.prefix}_model {{",
            "    int threads;",
            "    snn_barrier barrier;",
            "    int lost; /* a record found no memory */",
            "    snn_room room;",
            "    snn_ranked *ranked;",
            "    /* whole numbers that may change without compiling: sizes, lags, periods */",
            *(f"    int64_t {name};" for name in layout.whole),
            "    /* real numbers that may change without compiling */",
            *(f"    double {name};" for name in layout.number),
        ]
        if plan.streams:
            lines.append("    /* random streams */")
            lines += [f"    uint64_t {name};" for name in layout.streams.values()]
        lines.append(f"    double initial[{max(1, len(plan.arrays))}]; /* of the arrays, in order of their numbers */")
        lines.append("    /* states, parameters, weights */")
        for array in plan.arrays.values():
            about = " ".join(
                word
                for word in (array.owner and f"{array.owner}.{array.variable}", array.unit and f"[{array.unit}]")
                if word
            )
            lines.append(
                f"    {C_TYPES[array.type]} *{layout.arrays[array.name]};" + (f" /* {about} */" if about else "")
            )
        lines += [f"    snn_poisson_table *{name}; /* one a thread */" for name in layout.tables]
        for name in plan.lists:
            lines.append(f"    snn_list {layout.lists[name]};")
        for name in self._settled():
            lines.append(f"    snn_table {layout.lists[name]}_before;")
        for name in plan.queues:
            lines.append(f"    snn_queue {layout.queues[name]};")
        for c in plan.connectivities.values():
            type_ = "snn_rows" if c.kind == "sparse" else "snn_grid"
            lines.append(f"    {type_} {layout.connectivities[c.name]};" + (f" /* {c.owner} */" if c.owner else ""))
        if self.tiling is not None:
            lines += self.tiling.memory()
        lines.append(f"    snn_record records[{max(1, len(plan.recorders))}];")
        lines += ["};", f"typedef struct {self.prefix}_model model;", ""]
        return "\n".join(lines)

    # --- nodes --------------------------------------------------------------------------------------------------------

    def _function(self, kernel: k.Kernel, lifts: bool, ranged: bool = False) -> str:
        key = (kernel.name, kernel.body, kernel.domain, ranged)
        if key not in self.functions:
            name = self.layout.unique(kernel.name)
            self.texts.append(print_kernel(self.layout, kernel, name, lifts, self.sharing.inserts, ranged))
            self.functions[key] = name
        return self.functions[key]

    def _phase(self, name: str, nodes: tuple[p.PlanNode, ...], lifts: bool) -> str:
        lines = [
            f"static SNN_COLD void run_{name}(model *const m, const int32_t step)",
            "{",
            "    const int part = 0, end = m->threads;",
        ]
        lines.append("    (void)step, (void)part, (void)end;")
        if name == "trial_start":
            lines += self._clearing()
        for node in nodes:
            lines += self._node(node, 1, lifts)
        return "\n".join([*lines, "}", ""])

    def _clearing(self) -> list[str]:
        """A trial begins: no event is under way, holds, clocks and histories are as at first."""
        layout, lines = self.layout, []
        for name in layout.lists.values():
            lines.append(
                f"    memset(m->{name}.counts, 0, (size_t)(m->{name}.depth*m->threads*SNN_LINE)*sizeof(int32_t));"
            )
        for name in layout.queues.values():
            lines.append(
                f"    for (int64_t slot = 0; slot < m->{name}.depth*m->threads; slot++) m->{name}.slots[slot].count = 0;"
            )
        for array in self.plan.arrays.values():
            if array.role in _CLEARED:
                lines.append(f"    {self._filling(array)}")
        return lines

    def _filling(self, array: p.Array) -> str:
        name = self.layout.arrays[array.name]
        total = self._total(array)
        number = list(self.plan.arrays).index(array.name)
        return f"for (int64_t i = 0; i < {total}; i++) m->{name}[i] = ({C_TYPES[array.type]})m->initial[{number}];"

    def _total(self, array: p.Array) -> str:
        length = self.layout.length(array)
        if array.depth == 1:
            return length
        return f"{self.layout.member(f'{array.name}_depth', array.depth)}*{length}"

    def _node(self, node: p.PlanNode, depth: int, lifts: bool = False) -> list[str]:
        """The lines of a node for the parts from ``part`` to ``end``."""
        layout, pad = self.layout, "    " * depth
        match node:
            case p.Launch(kernel=kernel):
                return [f"{pad}{self._function(kernel, lifts)}(m, step, part, end);"]
            case p.Fill():
                return [pad + line for line in self._fill(node)]
            case p.ClearList(list=name):
                list_ = f"m->{layout.lists[name]}"
                return [
                    f"{pad}for (int of = part; of < end; of++) *snn_count(&{list_}, snn_slot(step, 0, {list_}.depth), of) = 0;"
                ]
            case p.Enqueue():
                return [pad + line for line in self._enqueue(node)]
            case p.ClearQueue(queue=name):
                queue = f"m->{layout.queues[name]}"
                return [
                    f"{pad}for (int of = part; of < end; of++) "
                    f"{queue}.slots[snn_slot(step, 0, {queue}.depth)*m->threads + of].count = 0;"
                ]
            case p.Reduce():
                return [pad + self._reduce(node)]
            case p.SynapseReduce():
                return [pad + self._reduce_synapses(node)]
            case p.Every(period=period, body=body):
                member = layout.member("period", period)
                return [
                    f"{pad}if (((int64_t)step + 1) % {member} == 0) {{",
                    *self._body(body, depth, lifts),
                    f"{pad}}}",
                ]
            case p.AtStep(step=when, body=body):
                member = layout.member("at_step", when)
                return [f"{pad}if (step == {member}) {{", *self._body(body, depth, lifts), f"{pad}}}"]
            case p.Settle():
                return self._settle(node, depth, lifts)
            case p.Schedule(list=name, steps=steps, indices=indices):
                length = layout.length(self.plan.arrays[steps])
                return [
                    f"{pad}snn_schedule(&m->{layout.lists[name]}, step, m->{layout.arrays[steps]}, "
                    f"m->{layout.arrays[indices]}, {length});"
                ]

    def _body(self, body: tuple[p.PlanNode, ...], depth: int, lifts: bool) -> list[str]:
        return [line for node in body for line in self._node(node, depth + 1, lifts)]

    def _fill(self, node: p.Fill) -> list[str]:
        array = self.plan.arrays[node.array]
        name, length = self.layout.arrays[node.array], self.layout.length(array)
        start = ""
        if array.depth > 1:
            lag = str(node.lag) if abs(node.lag) <= 1 else self.layout.member(f"{node.array}_lag", node.lag)
            start = f" + snn_slot(step, {lag}, {self.layout.member(f'{node.array}_depth', array.depth)})*{length}"
        elif node.lag:
            start = ""
        value = real_literal(node.value, self.plan.precision) if array.type == "real" else str(int(node.value))
        type_ = C_TYPES[array.type]
        if not array.shape:
            first, last = "0", length
        else:
            first, last = f"snn_share({length}, part, m->threads)", f"snn_share({length}, end, m->threads)"
        return [
            "{",
            f"    {type_} *restrict const filled = m->{name}{start};",
            f"    const int64_t first = {first}, last = {last};",
            f"    for (int64_t i = first; i < last; i++) filled[i] = {value};",
            "}",
        ]

    def _enqueue(self, node: p.Enqueue) -> list[str]:
        layout = self.layout
        c = self.plan.connectivities[node.connectivity]
        scalar = layout.is_scalar(node.delays)
        lag = str(node.lag) if node.lag <= 1 else layout.member(f"{node.queue}_lag", node.lag)
        kind = "rows" if c.kind == "sparse" else "grid"
        pairs = f", {1 if c.kind == 'one_to_one' else 0}" if kind == "grid" else ""
        size = f", {layout.size(c.post_size, f'{c.name}_post')}" if kind == "grid" else ""
        return [
            f"if (!snn_enqueue_{kind}(&m->{layout.queues[node.queue]}, &m->{layout.connectivities[c.name]}{pairs}{size}, "
            f"&m->{layout.lists[node.list]}, m->{layout.arrays[node.delays]}, {int(scalar)}, step, {lag}, "
            f"{int(node.side == 'post')}, part, end)) m->lost = 1;"
        ]

    def _reduce(self, node: p.Reduce) -> str:
        layout, arrays = self.layout, self.plan.arrays
        source, result = arrays[node.source], arrays[node.result]
        groups = "NULL" if node.groups is None else f"m->{layout.arrays[node.groups]}"
        if node.operation == "rank":
            values = f"m->{layout.arrays[node.source]}, {layout.length(source)}"
            return f"snn_rank(m->{layout.arrays[node.result]}, {values}, {groups}, m->ranked);"
        arg = node.operation in ("argmax", "argmin")
        target = f"NULL, m->{layout.arrays[node.result]}" if arg else f"m->{layout.arrays[node.result]}, NULL"
        return (
            f"snn_reduce(SNN_{node.operation.upper()}, {target}, {layout.length(result)}, m->{layout.arrays[node.source]}, "
            f"{layout.length(source)}, {groups}, &m->room);"
        )

    def _reduce_synapses(self, node: p.SynapseReduce) -> str:
        layout = self.layout
        c = self.plan.connectivities[node.connectivity]
        source = "NULL" if node.source is None else f"m->{layout.arrays[node.source]}"
        head = f"SNN_{node.operation.upper()}, m->{layout.arrays[node.result]}, {layout.length(self.plan.arrays[node.result])}, {source}"
        per_post = int(node.per == "post")
        if c.kind == "sparse":
            return f"snn_reduce_rows({head}, &m->{layout.connectivities[c.name]}, {int(c.autapses)}, {per_post}, &m->room);"
        pairs = int(c.kind == "one_to_one")
        return f"snn_reduce_grid({head}, &m->{layout.connectivities[c.name]}, {pairs}, {per_post}, &m->room);"

    def _settle(self, node: p.Settle, depth: int, lifts: bool) -> list[str]:
        pad, list_ = "    " * depth, f"m->{self.layout.lists[node.list]}"
        limit = self.layout.member("settle_limit", node.limit)
        slot = f"snn_slot(step, 0, {list_}.depth)"
        return [
            f"{pad}/* until {node.list} stays the same */",
            f"{pad}for (int64_t turn = 0; turn < {limit}; turn++) {{",
            f"{pad}    if (!snn_remember(&{list_}, {slot}, &m->{self.layout.lists[node.list]}_before)) m->lost = 1;",
            *self._body(node.body, depth, lifts),
            f"{pad}    if (snn_same(&{list_}, {slot}, &m->{self.layout.lists[node.list]}_before)) break;",
            f"{pad}}}",
        ]

    # --- the loop -----------------------------------------------------------------------------------------------------

    def _ranged_launch(self, kernel: k.Kernel) -> list[str]:
        """A kernel that can be run for a block of neurons, here for those of the thread."""
        assert isinstance(kernel.domain, k.Each)
        size = self.layout.size(kernel.domain.size, kernel.name)
        places = "".join(
            f", snn_part(&m->{name}, snn_slot(step, 0, m->{name}.depth), part)"
            f", snn_count(&m->{name}, snn_slot(step, 0, m->{name}.depth), part)"
            for name in (self.layout.lists[name] for name in dict.fromkeys(appended(kernel)))
        )
        share = f"snn_share({size}, part, threads), snn_share({size}, end, threads)"
        return [f"        {self._function(kernel, False, True)}(m, step, part, {share}{places});"]

    def _simulate(self) -> str:
        sharing = self.sharing
        lines: list[str] = []
        chunks = ""
        if self.tiling is not None:
            chunks = self.tiling.functions(lambda kernel: self._function(kernel, False, True), self._values)
            lines += self.tiling.chunk("        ")
        lines += ["        const int32_t step = (int32_t)at;", "        (void)step;"]
        for position, node in enumerate(self.plan.step):
            if self.ahead is not None:
                lines += self._between(self.ahead, position)
            elif position in sharing.barriers:
                lines.append("        snn_wait(&m->barrier, thread, threads);")
            if self.tiling is not None and isinstance(node, p.Launch):
                lines += self._ranged_launch(node.kernel)
                continue
            if position in sharing.alone:
                lines.append("        if (thread == 0) {")
                lines.append("            const int part = 0, end = threads;")
                lines += self._node(node, 3)
                lines.append("            (void)part, (void)end;")
                lines.append("        }")
            else:
                lines += self._node(node, 2)
        lasts: list[str] = []
        if self.ahead is not None:
            lines += self._between(self.ahead, len(self.plan.step))
            if self.plan.recorders:
                lines.append("        if (threads == 1) record(m, at);")
            lasts = self._last_records(self.ahead)
        elif sharing.before_records:
            lines.append("        snn_wait(&m->barrier, thread, threads);")
        if self.plan.recorders and self.ahead is None:
            lines.append("        if (thread == 0) record(m, at);")
        records = self._records()
        self.texts.append(records)
        return "\n".join(
            [
                *([chunks] if chunks else []),
                "typedef struct job {",
                "    model *m;",
                "    int64_t first, count;",
                "} job;",
                "",
                "/* The steps from first on, as one of several threads; each does its part. */",
                "static void simulate(void *const given, const int thread, const int threads)",
                "{",
                "    const job *const work = given;",
                "    model *const m = work->m;",
                "    const int part = thread, end = thread + 1;",
                "    (void)part, (void)end, (void)threads;",
                "    snn_settle(&m->barrier, thread);",
                "    for (int64_t at = work->first; at < work->first + work->count; at++) {",
                *lines,
                "    }",
                *lasts,
                "}",
                "",
            ]
        )

    def _between(self, found: Ahead, position: int) -> list[str]:
        """What stands before a node where threads run ahead of each other (see :mod:`snnlang.codegen.c_ahead`)."""
        lines = []
        if position == 0:
            lines += self._expected(found)
        if position == found.stamp + 1:
            for name in found.depths:
                lines.append(f"        snn_publish(&m->barrier, &m->{self.layout.lists[name]}, step, thread, threads);")
        if position == found.look:
            steps = self.layout.member("ahead", found.steps)
            lines.append(f"        if (threads > 1 && at - {steps} >= work->first) {{")
            for name in found.depths:
                lines.append(
                    f"            snn_await(&m->barrier, &m->{self.layout.lists[name]}, (int32_t)(at - {steps}), thread, threads);"
                )
            if self.plan.recorders:
                lines.append(f"            if (thread == 0) record(m, at - {steps});")
            lines.append("        }")
        return lines

    def _expected(self, found: Ahead) -> list[str]:
        """Ask for the lists of other threads that are read in this step, and for the own ones of the next: they are on another core."""
        lines: dict[str, None] = {}
        for name, kernel, lag in found.reads:
            list_ = f"m->{self.layout.lists[name]}"
            slot = f"snn_slot(step, {self.layout.lag(kernel, lag)}, {list_}.depth)"
            lines[f"        snn_expect_list(&{list_}, {slot}, thread, threads);"] = None
        for name in found.depths:
            list_ = f"m->{self.layout.lists[name]}"
            lines[f"        snn_expect_own(&{list_}, snn_slot(step, -1, {list_}.depth), thread, threads);"] = None
        return list(lines)

    def _last_records(self, found: Ahead) -> list[str]:
        """Of the last steps nothing was recorded yet, since others might not have been there."""
        if not self.plan.recorders:
            return []
        steps = self.layout.member("ahead", found.steps)
        return [
            "    if (threads == 1) return;",
            "    snn_wait(&m->barrier, thread, threads);",
            "    const int64_t last = work->first + work->count;",
            f"    for (int64_t at = snn_greater(work->first, last - {steps}); thread == 0 && at < last; at++) record(m, at);",
        ]

    def _run(self) -> str:
        return f"""/* Run the steps from first on; their number, or -1 when the system refused a thread, -2 when there was no memory for
 * what happened. */
int64_t {self.prefix}_run(model *const m, const int64_t first, const int64_t count)
{{
    job work = {{m, first, count}};
    if (!snn_together(simulate, &work, m->threads)) return -1;
    return m->lost ? -2 : count;
}}
"""

    def _records(self) -> str:
        if not self.plan.recorders:
            return ""
        layout = self.layout
        lines = [
            "/* What the recorders see at the end of a step. */",
            "static void record(model *const m, const int64_t step)",
            "{",
        ]
        for number, recorder in enumerate(self.plan.recorders):
            if isinstance(recorder, p.EventRecorder):
                lines.append(
                    f"    if (!snn_record_events(&m->records[{number}], &m->{layout.lists[recorder.list]}, step)) m->lost = 1;"
                )
                continue
            lines.append(
                f"    if ((step + 1) % {layout.member(f'every_{recorder.label}', recorder.every)} == 0 && "
                f"!snn_record_values(&m->records[{number}], {self._values(recorder)}, step)) m->lost = 1;"
            )
        return "\n".join([*lines, "}", ""])

    def _values(self, recorder: p.ValueRecorder) -> str:
        """Where what a recorder sees begins after a step."""
        array = self.plan.arrays[recorder.array]
        if array.depth == 1:
            return f"m->{self.layout.arrays[recorder.array]}"
        depth = self.layout.member(f"{array.name}_depth", array.depth)
        return f"m->{self.layout.arrays[recorder.array]} + snn_slot(step, 0, {depth})*{self.layout.length(array)}"

    # --- creation -----------------------------------------------------------------------------------------------------

    def _create(self) -> str:
        plan, layout = self.plan, self.layout
        largest = max(
            [
                *(
                    math.prod(plan.arrays[name].shape)
                    for section in (plan.setup, plan.coefficients, plan.trial_start, plan.step, plan.trial_end)
                    for node in walk_nodes(section)
                    if isinstance(node, (p.Reduce, p.SynapseReduce))
                    for name in (node.result, *([node.source] if isinstance(node, p.Reduce) else []))
                ),
                0,
            ]
        )
        room = layout.member("reduced", largest) if largest else ""
        lines = [
            f"SNN_COLD void {self.prefix}_destroy(model *const m)",
            "{",
            "    if (m == NULL) return;",
            "    free(m->room.members), free(m->room.sums), free(m->ranked);",
        ]
        for name in layout.arrays.values():
            lines.append(f"    free(m->{name});")
        for name in layout.tables:
            lines.append(f"    free(m->{name});")
        for name in layout.lists.values():
            lines.append(f"    free(m->{name}.items), free(m->{name}.counts);")
        for name in self._settled():
            lines.append(f"    free(m->{layout.lists[name]}_before.items);")
        for name in layout.queues.values():
            lines.append(f"    snn_free_queue(&m->{name});")
        if self.tiling is not None:
            lines += self.tiling.destroy()
        for c in plan.connectivities.values():
            if c.kind == "sparse":
                lines.append(f"    snn_unwire(&m->{layout.connectivities[c.name]});")
        if plan.recorders:
            lines.append(
                f"    for (int number = 0; number < {len(plan.recorders)}; number++) snn_free_record(&m->records[number]);"
            )
        lines += ["    free(m);", "}", ""]
        body: list[str] = []
        for number, c in enumerate(plan.connectivities.values()):
            name = layout.connectivities[c.name]
            if c.kind != "sparse":
                body.append(
                    f"    m->{name} = (snn_grid){{given->wiring[{number}].pre_first, given->wiring[{number}].rows, "
                    f"given->wiring[{number}].post_first, given->wiring[{number}].columns, given->wiring[{number}].autapses}};"
                )
                continue
            if c.pattern == "where":
                body += [
                    "    {",
                    f"        snn_wiring how = given->wiring[{number}];",
                    f"        how.condition = snn_condition_{name};",
                    f"        if (!snn_wire(&m->{name}, &how, threads)) return 0;",
                    "    }",
                ]
            else:
                body.append(f"    if (!snn_wire(&m->{name}, &given->wiring[{number}], threads)) return 0;")
            body.append(f"    if (!snn_wire_splits(&m->{name}, threads)) return 0;")
            for view in ("columns", "pre"):
                if c.name in self.wired[view]:
                    body.append(f"    if (!snn_wire_{view}(&m->{name})) return 0;")
        for number, array in enumerate(plan.arrays.values()):
            name = layout.arrays[array.name]
            slot = self.layout.length(array)
            depth = layout.member(f"{array.name}_depth", array.depth) if array.depth > 1 else "1"
            body.append(
                f"    if (!snn_fill_{array.type}(&m->{name}, {slot}, {depth}, m->initial[{number}], "
                f"given->data[{number}])) return 0;"
            )
        for name, events in plan.lists.items():
            depth = layout.member(f"{name}_depth", events.depth)
            if self.ahead is not None and name in self.ahead.depths:
                depth = f"threads > 1 ? {layout.member(f'{name}_depth_of_threads', self.ahead.depths[name])} : {depth}"
            size = layout.size(events.size, events.owner or name)
            body.append(f"    if (!snn_make_list(&m->{layout.lists[name]}, {size}, {depth}, threads)) return 0;")
        for name in layout.tables:
            body.append(
                f"    if ((m->{name} = snn_allocate(threads*(int64_t)sizeof(snn_poisson_table))) == NULL) return 0;"
            )
        for name, queue in plan.queues.items():
            depth = layout.member(f"{name}_depth", queue.depth)
            body.append(f"    if (!snn_make_queue(&m->{layout.queues[name]}, {depth}, threads)) return 0;")
        if largest:
            body += [
                f"    m->room.members = snn_allocate({room}*(int64_t)sizeof(int64_t));",
                f"    m->room.sums = snn_allocate({room}*(int64_t)sizeof(double));",
                f"    m->ranked = snn_allocate({room}*(int64_t)sizeof(snn_ranked));",
                "    if (m->room.members == NULL || m->room.sums == NULL || m->ranked == NULL) return 0;",
            ]
        for number, recorder in enumerate(plan.recorders):
            if isinstance(recorder, p.EventRecorder):
                size = layout.size(plan.lists[recorder.list].size, recorder.list)
                body.append(
                    f"    if (!snn_watch_events(&m->records[{number}], given->chosen[{number}], given->chosen_count[{number}], {size}))"
                    " return 0;"
                )
            else:
                array = plan.arrays[recorder.array]
                body.append(
                    f"    if (!snn_watch_values(&m->records[{number}], given->chosen[{number}], given->chosen_count[{number}], "
                    f"{layout.length(array)}, sizeof(*m->{layout.arrays[array.name]}))) return 0;"
                )
        if self.tiling is not None:
            body += self.tiling.build()
        lines += ["static SNN_COLD int build(model *const m, const snn_given *const given, const int threads)", "{"]
        values = [  # the last, because every member is known only now
            "    m->threads = threads;",
            "    if (!snn_make_barrier(&m->barrier)) return 0;",
            *(f"    m->{name} = given->whole[{number}];" for number, name in enumerate(layout.whole)),
            *(f"    m->{name} = given->number[{number}];" for number, name in enumerate(layout.number)),
            f"    memcpy(m->initial, given->initial, {len(plan.arrays)}*sizeof(double));",
            *(f"    m->{name} = given->key[{number}];" for number, name in enumerate(layout.streams.values())),
        ]
        lines += ["    (void)given, (void)threads;", *values, *body, "    return 1;", "}", ""]
        lines += [
            "/* 1: made; 0: there is not enough memory. What is given may go once this has returned. */",
            f"SNN_COLD int {self.prefix}_create(model **const made, const snn_given *const given, const int threads)",
            "{",
            "    model *const m = snn_allocate((int64_t)sizeof(model));",
            "    *made = NULL;",
            "    if (m == NULL) return 0;",
            "    if (!build(m, given, threads)) {",
            f"        {self.prefix}_destroy(m);",
            "        return 0;",
            "    }",
            "    *made = m;",
            "    return 1;",
            "}",
            "",
        ]
        return "\n".join(lines)

    def _settled(self) -> list[str]:
        """Lists that are compared with what they were."""
        found: dict[str, None] = {}
        for node in walk_nodes(self.plan.step):
            if isinstance(node, p.Settle):
                found[node.list] = None
        return list(found)

    # --- what others call ---------------------------------------------------------------------------------------------

    def _exports(self) -> list[str]:
        prefix = self.prefix
        phases = "\n".join(
            f"SNN_COLD void {prefix}_{name}(model *const m, const int64_t step) {{ run_{name}(m, (int32_t)step); }}"
            for name in ("setup", "coefficients", "trial_start", "trial_end")
        )
        return [
            phases + "\n",
            self._array(),
            self._synapses(),
            self._recorded(),
            self._saving(),
            self._bytes(),
        ]

    def _array(self) -> str:
        cases = [
            f"    case {number}: *count = {self._total(array)}; return m->{self.layout.arrays[array.name]};"
            for number, array in enumerate(self.plan.arrays.values())
        ]
        return "\n".join(
            [
                "/* The memory of an array with all slots of its ring, by its number. */",
                f"SNN_COLD void *{self.prefix}_array(model *const m, const int64_t number, int64_t *const count)",
                "{",
                "    (void)m;",
                "    switch (number) {",
                *cases,
                "    default: *count = 0; return NULL;",
                "    }",
                "}",
                "",
            ]
        )

    def _synapses(self) -> str:
        cases = []
        for number, c in enumerate(self.plan.connectivities.values()):
            name = self.layout.connectivities[c.name]
            call = (
                f"snn_pairs_of_rows(&m->{name}, pre, post)"
                if c.kind == "sparse"
                else f"snn_pairs_of_grid(&m->{name}, {int(c.kind == 'one_to_one')}, pre, post)"
            )
            cases.append(f"    case {number}: return {call};")
        return "\n".join(
            [
                "/* The number of synapses of a connectivity; their ends, where asked for. */",
                f"SNN_COLD int64_t {self.prefix}_synapses(model *const m, const int64_t number, int32_t *const pre, int32_t *const post)",
                "{",
                "    (void)m, (void)pre, (void)post;",
                "    switch (number) {",
                *cases,
                "    default: return 0;",
                "    }",
                "}",
                "",
            ]
        )

    def _recorded(self) -> str:
        return f"""/* What a recorder saw since it was last emptied: rows, their steps and values (events: one index each). */
int64_t {self.prefix}_recorded(model *const m, const int64_t number, const int64_t **const steps, const void **const values)
{{
    *steps = m->records[number].steps, *values = m->records[number].values;
    return m->records[number].count;
}}

void {self.prefix}_forget(model *const m, const int64_t number) {{ m->records[number].count = 0; }}
"""

    def _saving(self) -> str:
        """Copy what changes while running."""
        written: dict[str, None] = {}
        for section in (
            self.plan.setup,
            self.plan.coefficients,
            self.plan.trial_start,
            self.plan.step,
            self.plan.trial_end,
        ):
            for node in walk_nodes(section):
                match node:
                    case p.Launch(kernel=kernel) if section is not self.plan.setup:
                        written |= {name: None for name, writes in loaded(kernel).items() if writes}
                    case p.Fill(array=name) | p.Reduce(result=name) | p.SynapseReduce(result=name):
                        written[name] = None
        changing = [
            a
            for a in self.plan.arrays.values()
            if a.name in written or a.role in ("param", "input", "data", "freeze", *_CLEARED)
        ]
        moves = [
            f"    snn_move(&place, m->{self.layout.arrays[a.name]}, "
            f"({self._total(a)})*(int64_t)sizeof(*m->{self.layout.arrays[a.name]}), way);"
            for a in changing
            if a.connectivity is None or a.name in written
        ]
        moves += [f"    snn_move_list(&place, &m->{name}, way);" for name in self.layout.lists.values()]
        moves += [
            f"    if (!snn_move_queue(&place, &m->{name}, way)) return -1;" for name in self.layout.queues.values()
        ]
        return "\n".join(
            [
                "/* The changing state through `place`: counted (way 0), copied out (1) or in (-1). */",
                "static SNN_COLD int64_t move(model *const m, unsigned char *const start, const int way)",
                "{",
                "    unsigned char *place = start;",
                "    (void)m, (void)way;",
                *moves,
                "    return place - start;",
                "}",
                "",
                f"SNN_COLD int64_t {self.prefix}_save(model *const m, void *const to)",
                "{",
                "    static unsigned char origin[1];",
                "    return to == NULL ? move(m, origin, 0) : move(m, to, 1);",
                "}",
                "",
                f"SNN_COLD int {self.prefix}_restore(model *const m, const void *const from)",
                "{",
                "    m->lost = 0;",
                "    return move(m, (unsigned char *)from, -1) >= 0;",
                "}",
                "",
            ]
        )

    def _bytes(self) -> str:
        lines = [
            f"    bytes += ({self._total(a)})*(int64_t)sizeof(*m->{self.layout.arrays[a.name]});"
            for a in self.plan.arrays.values()
        ]
        lines += [
            f"    bytes += snn_rows_bytes(&m->{self.layout.connectivities[c.name]});"
            for c in self.plan.connectivities.values()
            if c.kind == "sparse"
        ]
        lines += [
            f"    bytes += m->{name}.size*m->{name}.depth*(int64_t)sizeof(int32_t);"
            for name in self.layout.lists.values()
        ]
        return "\n".join(
            [
                "/* The memory that is held, without records and queues. */",
                f"SNN_COLD int64_t {self.prefix}_bytes(model *const m)",
                "{",
                "    int64_t bytes = (int64_t)sizeof(model);",
                *lines,
                "    return bytes;",
                "}",
                "",
            ]
        )


def _wired_for(plan: p.Plan) -> dict[str, set[str]]:
    """Which views of a connectivity its kernels need: columns by post neuron, the pre neuron of every synapse."""
    columns: set[str] = set()
    pre: set[str] = set()
    for section in (plan.setup, plan.coefficients, plan.trial_start, plan.step, plan.trial_end):
        for node in walk_nodes(section):
            match node:
                case p.Launch(kernel=k.Kernel(domain=k.Fan(connectivity=name, side="post"))):
                    columns.add(name)
                case p.Launch(kernel=k.Kernel(domain=k.Arrivals(connectivity=name))):
                    pre.add(name)
                case p.Enqueue(connectivity=name, side="post"):
                    columns.add(name)
    return {"columns": columns, "pre": pre}
