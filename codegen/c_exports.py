"""What others call of a C model, beside making and running it: its arrays, synapses and records, its state out and in, its bytes."""

from __future__ import annotations

from dataclasses import dataclass

from snnlang.codegen import plan as p
from snnlang.codegen.c_layout import Layout, loaded


@dataclass
class ExportPrinter:
    """Prints those functions; their names begin with ``prefix``."""

    layout: Layout
    prefix: str

    def __post_init__(self) -> None:
        self.plan: p.Plan = self.layout.plan

    def exports(self) -> list[str]:
        """The text of each."""
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
            f"    case {number}: *count = {self.layout.total(array)}; return m->{self.layout.arrays[array.name]};"
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
        for section in self.plan.sections:
            for node in p.walk_nodes(section):
                match node:
                    case p.Launch(kernel=kernel) if section is not self.plan.setup:
                        written |= {name: None for name, writes in loaded(kernel).items() if writes}
                    case p.Fill(array=name) | p.Reduce(result=name) | p.SynapseReduce(result=name):
                        written[name] = None
        changing = [
            a
            for a in self.plan.arrays.values()
            if a.name in written or a.role in ("param", "input", "data", "freeze", *p.CLEARED)
        ]
        moves = [
            f"    snn_move(&place, m->{self.layout.arrays[a.name]}, "
            f"({self.layout.total(a)})*(int64_t)sizeof(*m->{self.layout.arrays[a.name]}), way);"
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
            f"    bytes += ({self.layout.total(a)})*(int64_t)sizeof(*m->{self.layout.arrays[a.name]});"
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
