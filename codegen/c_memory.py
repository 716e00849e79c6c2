"""The memory of a C model: its struct, how it is made from the numbers that are given, and how it is freed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.c_ahead import Ahead
from snnlang.codegen.c_layout import Layout
from snnlang.codegen.c_tiling import TilingText
from snnlang.codegen.clike import C_TYPES


@dataclass
class MemoryPrinter:
    """Prints the struct and the functions that make and free it; ``prefix`` begins the names of what others call."""

    layout: Layout
    prefix: str
    tiling: TilingText | None
    ahead: Ahead | None

    def __post_init__(self) -> None:
        self.plan: p.Plan = self.layout.plan

    def struct(self) -> str:
        """The struct of the model; printed last, because every member is known only then."""
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

    def create(self) -> str:
        """The functions that free a model and that make one."""
        plan = self.plan
        reduced = [
            math.prod(plan.arrays[name].shape)
            for section in plan.sections
            for node in p.walk_nodes(section)
            if isinstance(node, (p.Reduce, p.SynapseReduce))
            for name in (node.result, *([node.source] if isinstance(node, p.Reduce) else []))
        ]
        largest = max(reduced, default=0)
        room = self.layout.member("reduced", largest) if largest else ""
        lines = [*self._destroy(), *self._build(room)]
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

    def _destroy(self) -> list[str]:
        plan, layout = self.plan, self.layout
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
        return [*lines, "    free(m);", "}", ""]

    def _build(self, room: str) -> list[str]:
        """The function that fills a model; ``room``: the largest number of elements that are reduced, or empty for none."""
        plan, layout = self.plan, self.layout
        body = self._wire()
        for number, array in enumerate(plan.arrays.values()):
            name = layout.arrays[array.name]
            slot = layout.length(array)
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
        if room:
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
        lines = ["static SNN_COLD int build(model *const m, const snn_given *const given, const int threads)", "{"]
        values = [  # the last, because every member is known only now
            "    m->threads = threads;",
            "    if (!snn_make_barrier(&m->barrier)) return 0;",
            *(f"    m->{name} = given->whole[{number}];" for number, name in enumerate(layout.whole)),
            *(f"    m->{name} = given->number[{number}];" for number, name in enumerate(layout.number)),
            f"    memcpy(m->initial, given->initial, {len(plan.arrays)}*sizeof(double));",
            *(f"    m->{name} = given->key[{number}];" for number, name in enumerate(layout.streams.values())),
        ]
        return [*lines, "    (void)given, (void)threads;", *values, *body, "    return 1;", "}", ""]

    def _wire(self) -> list[str]:
        """Lines that make the synapses of every connectivity, and the views of them that kernels need."""
        body: list[str] = []
        views = _wired_for(self.plan)
        for number, c in enumerate(self.plan.connectivities.values()):
            name = self.layout.connectivities[c.name]
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
                if c.name in views[view]:
                    body.append(f"    if (!snn_wire_{view}(&m->{name})) return 0;")
        return body

    def _settled(self) -> list[str]:
        """Lists that are compared with what they were."""
        found: dict[str, None] = {}
        for node in p.walk_nodes(self.plan.step):
            if isinstance(node, p.Settle):
                found[node.list] = None
        return list(found)


def _wired_for(plan: p.Plan) -> dict[str, set[str]]:
    """Which views of a connectivity its kernels need: columns by post neuron, the pre neuron of every synapse."""
    columns: set[str] = set()
    pre: set[str] = set()
    for section in plan.sections:
        for node in p.walk_nodes(section):
            match node:
                case p.Launch(kernel=k.Kernel(domain=k.Fan(connectivity=name, side="post"))):
                    columns.add(name)
                case p.Launch(kernel=k.Kernel(domain=k.Arrivals(connectivity=name))):
                    pre.add(name)
                case p.Enqueue(connectivity=name, side="post"):
                    columns.add(name)
    return {"columns": columns, "pre": pre}
