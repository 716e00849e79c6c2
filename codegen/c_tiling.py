"""Many steps of one block of neurons before the next block: where no neuron sees another, so that states stay in the cache.

A step of a large population streams all of its states through the core, and memory is the slowest part of a machine. Where every kernel
touches its own index alone, nothing hinders a block of neurons from doing a chunk of steps at once. The events of a chunk wait in a table
for each step and thread; blocks come in ascending order, so the tables are in the order in which a step would have found them. Numbers
are the same bit for bit: the same kernels run for the same neurons and steps.

Whether a plan can be run like this follows from its structure alone. It refuses plans with synapses, reductions, schedules of events or
values that one kernel computes for all; what happens rarely (at one step, every so many steps) ends a chunk and is done in an ordinary
step.
At run time it is done where the states of a thread are too large to stay in its cache by themselves (:class:`Tiles`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.c_layout import Layout, loaded
from snnlang.codegen.clike import C_TYPES, real_literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_I = k.Local("i", "int")


@dataclass(frozen=True, slots=True)
class Tiles:
    """Given at run time: steps of a chunk, neurons of a block (a multiple of 64), and the bytes of states for each thread from which on
    blocks pay."""

    steps: int = 64
    neurons: int = 1024
    bytes: int = 128 * 1024


@dataclass(frozen=True, slots=True)
class Strand:
    """The nodes of a step over populations of one size, in order; ``written`` and ``read`` are their arrays, by own index."""

    size: int
    nodes: tuple[p.Launch | p.Fill, ...]
    written: tuple[str, ...]
    read: tuple[str, ...]
    lists: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a plan runs block by block; ``rare`` nodes end a chunk."""

    strands: tuple[Strand, ...]
    rare: tuple[p.AtStep | p.Every, ...]

    def strand_of(self, array: str) -> int:
        """The number of the strand that changes an array; -1 for none."""
        return next((n for n, strand in enumerate(self.strands) if array in strand.written), -1)

    def state_bytes(self, plan: p.Plan) -> int:
        """Bytes of all arrays that a step streams through."""
        width = {"real": 8 if plan.precision == "double" else 4, "int": 4, "bool": 1}
        return sum(
            width[plan.arrays[name].type] * strand.size * plan.arrays[name].depth
            for strand in self.strands
            for name in (*strand.written, *strand.read)
        )


# --- whether a plan can --------------------------------------------------------------------------------------------------


def tiling(plan: p.Plan, inserts: frozenset[str]) -> Tiling | None:
    """The tiling of a plan's step, or None. ``inserts``: lists that get items in any order (:mod:`snnlang.codegen.c_sharing`)."""
    rare: list[p.AtStep | p.Every] = []
    nodes: list[p.Launch | p.Fill] = []
    fresh: set[str] = set()
    for node in plan.step:
        match node:
            case p.AtStep() | p.Every():
                rare.append(node)
            case p.ClearList(list=name):
                if name in fresh:
                    return None
                fresh.add(name)
            case p.Fill(array=name):
                if not plan.arrays[name].shape:
                    return None
                nodes.append(node)
            case p.Launch(kernel=k.Kernel(domain=k.Each()) as kernel):
                if not all(name in fresh and name not in inserts for name in _appended(kernel)):
                    return None
                nodes.append(node)
            case _:
                return None
    changed = {name for node in nodes for name in _written(node)}
    if not all(_keeps_to_itself(plan, node, changed) for node in nodes):
        return None
    lists = [name for node in nodes if isinstance(node, p.Launch) for name in _appended(node.kernel)]
    if len(set(lists)) < len(lists) or set(plan.lists) != fresh:
        return None
    sizes = dict.fromkeys(_size(plan, node) for node in nodes)
    strands = tuple(_strand(size, tuple(n for n in nodes if _size(plan, n) == size)) for size in sizes)
    return Tiling(strands, tuple(rare)) if strands else None


def described(plan: p.Plan) -> str:
    """One line of words about the blocks of a plan on one thread; empty where it does one step after the other."""
    from snnlang.codegen.c_sharing import share_out

    found, given = tiling(plan, share_out(plan).inserts), Tiles()
    if found is None or found.state_bytes(plan) <= given.bytes:
        return ""
    return (
        f"No neuron sees another: the target c takes {given.neurons} neurons at a time through {given.steps} steps, "
        "so that their states stay in the cache"
    )


def _appended(kernel: k.Kernel) -> tuple[str, ...]:
    return tuple(dict.fromkeys(s.list for s in k.walk_statements(kernel.body) if isinstance(s, k.Append)))


def _written(node: p.Launch | p.Fill) -> tuple[str, ...]:
    if isinstance(node, p.Fill):
        return (node.array,)
    return tuple(name for name, writes in loaded(node.kernel).items() if writes)


def _size(plan: p.Plan, node: p.Launch | p.Fill) -> int:
    if isinstance(node, p.Fill):
        return math.prod(plan.arrays[node.array].shape)
    assert isinstance(node.kernel.domain, k.Each)
    return node.kernel.domain.size


def _keeps_to_itself(plan: p.Plan, node: p.Launch | p.Fill, changed: set[str]) -> bool:
    """Whether a kernel reads what changes, and writes, at its own index alone."""
    if isinstance(node, p.Fill):
        return plan.arrays[node.array].connectivity is None
    size = _size(plan, node)
    if any(plan.lists[name].size != size for name in _appended(node.kernel)):
        return False
    for array, index in _places(node.kernel):
        described = plan.arrays[array]
        if array in changed and (
            index != _I
            or described.connectivity is not None
            or not described.shape
            or math.prod(described.shape) != size
        ):
            return False
    return not any(_counts_by_time(expr) for expr in _expressions(node.kernel))


def _expressions(kernel: k.Kernel) -> Iterator[k.Expr]:
    for statement in k.walk_statements(kernel.body):
        for expr in k.statement_expressions(statement):
            yield from k.walk(expr)


def _places(kernel: k.Kernel) -> Iterator[tuple[str, k.Expr | None]]:
    for expr in _expressions(kernel):
        if isinstance(expr, k.Load):
            yield expr.array, expr.index
    for statement in k.walk_statements(kernel.body):
        if isinstance(statement, (k.Store, k.Accumulate)):
            yield statement.array, statement.index


def _counts_by_time(expr: k.Expr) -> bool:
    """A Poisson count whose mean follows time: its table is made for a step, and would be made for every block."""
    return (
        isinstance(expr, k.Call)
        and expr.function == "poisson_quantile"
        and any(isinstance(part, k.Local) and part.name in ("t", "step") for part in k.walk(expr.arguments[1]))
    )


def _strand(size: int, nodes: tuple[p.Launch | p.Fill, ...]) -> Strand:
    written = dict.fromkeys(name for node in nodes for name in _written(node))
    read: dict[str, None] = {}
    lists: list[str] = []
    for node in nodes:
        if isinstance(node, p.Launch):
            read |= dict.fromkeys(name for name, index in _places(node.kernel) if index == _I and name not in written)
            lists += _appended(node.kernel)
    return Strand(size, nodes, tuple(written), tuple(read), tuple(lists))


# --- its text ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TilingText:
    """The names of a tiling's members, and its pieces of C. ``call`` prints the head of a kernel's call: its name."""

    plan: p.Plan
    layout: Layout
    tiling: Tiling
    given: Tiles
    tiled: str
    tables: dict[str, str]
    chosen: dict[int, str]

    @property
    def limits(self) -> tuple[str, str, str]:
        """The members of what is given: steps, neurons, bytes."""
        layout, given = self.layout, self.given
        return (
            layout.member("tile_steps", given.steps),
            layout.member("tile_neurons", given.neurons),
            layout.member("tile_bytes", given.bytes),
        )

    def memory(self) -> list[str]:
        """Members of the model."""
        lines = [f"    int {self.tiled}; /* blocks of neurons go through many steps */"]
        lines += [f"    snn_tiles {name};" for name in self.tables.values()]
        lines += [
            f"    int64_t *{name}; /* what is recorded of it, by ascending index */" for name in self.chosen.values()
        ]
        return lines

    def destroy(self) -> list[str]:
        """Lines that free what :meth:`build` made."""
        lines = [f"    snn_free_tiles(&m->{name});" for name in self.tables.values()]
        return lines + [f"    free(m->{name});" for name in self.chosen.values()]

    def build(self) -> list[str]:
        """Lines that decide whether blocks pay, and make their tables."""
        steps, _, limit = self.limits
        bytes_ = [
            f"        + {self.layout.total(self.plan.arrays[name])}*(int64_t)sizeof(*m->{self.layout.arrays[name]})"
            for strand in self.tiling.strands
            for name in (*strand.written, *strand.read)
        ]
        lines = [f"    m->{self.tiled} = {limit}*threads < 0", *bytes_]
        lines[-1] += ";"
        for name in self.tables.values():
            lines.append(f"    if (m->{self.tiled} && !snn_make_tiles(&m->{name}, {steps}, threads)) return 0;")
        for number, name in self.chosen.items():
            lines.append(
                f"    if (m->{self.tiled} && (m->{name} = snn_order(&m->records[{number}])) == NULL) return 0;"
            )
        return lines

    def chunk(self, pad: str) -> list[str]:
        """Lines at the start of an ordinary step: a chunk of them instead, where it can be."""
        steps = self.limits[0]
        lines = [f"int64_t chunk__ = snn_smaller({steps}, work->first + work->count - at);"]
        for node in self.tiling.rare:
            match node:
                case p.AtStep(step=when):
                    member = self.layout.member("at_step", when)
                    lines.append(f"if ({member} >= at) chunk__ = snn_smaller(chunk__, {member} - at);")
                case p.Every(period=period):
                    member = self.layout.member("period", period)
                    lines.append(f"chunk__ = snn_smaller(chunk__, {member} - 1 - at%{member});")
        lines += [
            "if (chunk__ >= SNN_FEWEST_TILED) {",
            "    tiles__(m, at, chunk__, thread, threads);",
            "    at += chunk__ - 1;",
            "    continue;",
            "}",
        ]
        return [f"{pad}if (m->{self.tiled}) {{", *(f"{pad}    {line}" for line in lines), f"{pad}}}"]

    def functions(self, function: Callable[[k.Kernel], str], recorded: Callable[[p.ValueRecorder], str]) -> str:
        """The functions of a chunk. ``function`` gives a kernel's C name, ``recorded`` where a recorder's values of a step begin."""
        lines = [
            "/* What the recorders saw in a chunk of steps. */",
            "static void record__tiles(model *const m, const int64_t from, const int64_t count)",
            "{",
            "    (void)m, (void)from, (void)count;",
        ]
        for number, recorder in enumerate(self.plan.recorders):
            record = f"&m->records[{number}]"
            if isinstance(recorder, p.EventRecorder):
                table = f"&m->{self.tables[recorder.list]}"
                lines.append(f"    if (!snn_record_tiles({record}, {table}, from, count)) m->lost = 1;")
            elif number in self.chosen:
                lines.append(
                    f"    m->records[{number}].count += snn_rows_due({record}, from, count, {self._every(recorder)});"
                )
            else:
                lines += [
                    "    for (int64_t step = from; step < from + count; step++)",
                    f"        if ((step + 1) % {self._every(recorder)} == 0 && "
                    f"!snn_record_values({record}, {recorded(recorder)}, step)) m->lost = 1;",
                ]
        lines += [
            "}",
            "",
            "/* `count` steps, block by block: no neuron sees another, so a block stays in the cache through all of them. */",
            "static void tiles__(model *const m, const int64_t from, const int64_t count, const int part, const int threads)",
            "{",
        ]
        if self.chosen:
            lines.append("    if (part == 0) {")
            for number in self.chosen:
                chosen = self.plan.recorders[number]
                assert isinstance(chosen, p.ValueRecorder)
                lines.append(
                    f"        if (!snn_record_rows(&m->records[{number}], from, count, {self._every(chosen)})) m->lost = 1;"
                )
            lines.append("    }")
        lines.append("    snn_wait(&m->barrier, part, threads);")
        lines += [f"    snn_empty_tiles(&m->{name}, part, count);" for name in self.tables.values()]
        for number, strand in enumerate(self.tiling.strands):
            lines += self._strand(number, strand, function, recorded)
        lines += [
            f"    snn_list_tiles(&m->{self.layout.lists[name]}, &m->{table}, from, count, part);"
            for name, table in self.tables.items()
        ]
        lines += ["    snn_wait(&m->barrier, part, threads);", "    if (part == 0) record__tiles(m, from, count);", "}", ""]
        return "\n".join(lines)

    def _every(self, recorder: p.ValueRecorder) -> str:
        return self.layout.member(f"every_{recorder.label}", recorder.every)

    def _strand(
        self,
        number: int,
        strand: Strand,
        function: Callable[[k.Kernel], str],
        recorded: Callable[[p.ValueRecorder], str],
    ) -> list[str]:
        size = self.layout.size(strand.size, "tile")
        watched = [
            (place, recorder)
            for place, recorder in enumerate(self.plan.recorders)
            if isinstance(recorder, p.ValueRecorder)
            and place in self.chosen
            and self.tiling.strand_of(recorder.array) == number
        ]
        lines = [
            f"const int64_t first = snn_share({size}, part, threads), last = snn_share({size}, part + 1, threads);",
            f"for (int64_t block = first; block < last; block += {self.limits[1]}) {{",
            f"    const int64_t stop = snn_smaller(block + {self.limits[1]}, last);",
        ]
        for place, _ in watched:
            name = self.chosen[place]
            lines += [
                f"    const int64_t {name}__from = snn_chosen_before(&m->records[{place}], m->{name}, block);",
                f"    const int64_t {name}__to = snn_chosen_before(&m->records[{place}], m->{name}, stop);",
            ]
        inner = ["const int32_t step = (int32_t)(from + number);"]
        for name in strand.lists:
            table = self.tables[name]
            inner += [
                f"snn_table *const {table}__now = snn_tile(&m->{table}, part, number);",
                f"if (!snn_reserve({table}__now, stop - block)) {{",
                "    m->lost = 1;",
                "    continue;",
                "}",
                f"int32_t {table}__added = 0;",
            ]
        for node in strand.nodes:
            if isinstance(node, p.Fill):
                inner += self._fill(node)
                continue
            places = "".join(
                f", {self.tables[name]}__now->items + {self.tables[name]}__now->count, &{self.tables[name]}__added"
                for name in _appended(node.kernel)
            )
            inner.append(f"{function(node.kernel)}(m, step, part, block, stop{places});")
        inner += [f"{self.tables[name]}__now->count += {self.tables[name]}__added;" for name in strand.lists]
        for place, recorder in watched:
            name, every = self.chosen[place], self._every(recorder)
            inner += [
                f"if ((step + 1) % {every} == 0)",
                f"    snn_record_part(&m->records[{place}], {recorded(recorder)}, step/{every} - from/{every}, block, stop, "
                f"m->{name}, {name}__from, {name}__to);",
            ]
        lines += [
            "    for (int64_t number = 0; number < count; number++) {",
            *("        " + line for line in inner),
            "    }",
            "}",
        ]
        return ["    {", *("        " + line for line in lines), "    }"]

    def _fill(self, node: p.Fill) -> list[str]:
        array = self.plan.arrays[node.array]
        name, start = self.layout.arrays[node.array], ""
        if array.depth > 1:
            lag = str(node.lag) if abs(node.lag) <= 1 else self.layout.member(f"{node.array}_lag", node.lag)
            depth = self.layout.member(f"{node.array}_depth", array.depth)
            start = f" + snn_slot(step, {lag}, {depth})*{self.layout.length(array)}"
        value = real_literal(node.value, self.plan.precision) if array.type == "real" else str(int(node.value))
        return [
            "{",
            f"    {C_TYPES[array.type]} *restrict const filled = m->{name}{start};",
            f"    for (int64_t i = block; i < stop; i++) filled[i] = {value};",
            "}",
        ]


def tiling_text(plan: p.Plan, layout: Layout, found: Tiling, given: Tiles) -> TilingText:
    """The names of a tiling's members in a layout."""
    chosen = {
        number: layout.unique(f"chosen_{recorder.label}")
        for number, recorder in enumerate(plan.recorders)
        if isinstance(recorder, p.ValueRecorder) and found.strand_of(recorder.array) >= 0
    }
    tables = {name: layout.unique(f"{name}_tiles") for name in plan.lists}
    return TilingText(plan, layout, found, given, layout.unique("tiled"), tables, chosen)


__all__ = ["Strand", "Tiles", "Tiling", "TilingText", "described", "tiling", "tiling_text"]
