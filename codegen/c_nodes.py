"""The nodes of a plan as lines of C: calls of the functions of kernels, fills, queues, reductions, schedules and what nests them."""

from __future__ import annotations

from dataclasses import dataclass, field

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.c_kernel import print_kernel
from snnlang.codegen.c_layout import Layout
from snnlang.codegen.clike import C_TYPES, real_literal


@dataclass
class NodePrinter:
    """Prints nodes; ``texts`` collects the functions that they call. ``inserts``: lists that items join in any order
    (:mod:`snnlang.codegen.c_sharing`)."""

    layout: Layout
    inserts: frozenset[str]
    texts: list[str] = field(default_factory=list)
    _functions: dict[tuple[str, tuple[k.Statement, ...], k.Domain, bool], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.plan = self.layout.plan

    def phase(self, name: str, nodes: tuple[p.PlanNode, ...]) -> str:
        """The function of a section that runs once in a while."""
        lines = [
            f"static SNN_COLD void run_{name}(model *const m, const int32_t step)",
            "{",
            "    const int part = 0, end = m->threads;",
            "    (void)step, (void)part, (void)end;",
        ]
        if name == "trial_start":
            lines += self._clearing()
        for node in nodes:
            lines += self.node(node, 1, lifts=True)
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
            if array.role in p.CLEARED:
                lines.append(f"    {self._filling(array)}")
        return lines

    def _filling(self, array: p.Array) -> str:
        name = self.layout.arrays[array.name]
        total = self.layout.total(array)
        number = list(self.plan.arrays).index(array.name)
        return f"for (int64_t i = 0; i < {total}; i++) m->{name}[i] = ({C_TYPES[array.type]})m->initial[{number}];"

    def function(self, kernel: k.Kernel, lifts: bool, ranged: bool = False) -> str:
        """The name of a kernel's function, printed when it is first called."""
        key = (kernel.name, kernel.body, kernel.domain, ranged)
        if key not in self._functions:
            name = self.layout.unique(kernel.name)
            self.texts.append(print_kernel(self.layout, kernel, name, lifts, self.inserts, ranged))
            self._functions[key] = name
        return self._functions[key]

    def node(self, node: p.PlanNode, depth: int, lifts: bool = False) -> list[str]:
        """The lines of a node for the parts from ``part`` to ``end``."""
        layout, pad = self.layout, "    " * depth
        match node:
            case p.Launch(kernel=kernel):
                return [f"{pad}{self.function(kernel, lifts)}(m, step, part, end);"]
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
        return [line for node in body for line in self.node(node, depth + 1, lifts)]

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
