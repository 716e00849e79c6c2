"""A kernel over synapses in C: the rows or columns of the neurons that fired, all synapses, or those whose events arrive.

Each thread visits the synapses that end on its own neurons.
"""

from __future__ import annotations

from dataclasses import dataclass

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.c_statements import StatementPrinter


@dataclass
class SynapsePrinter:
    """Prints the loops of a kernel over synapses into ``out``."""

    out: StatementPrinter

    def fan(self, c: p.Connectivity, side: str, list_name: str, lag: int) -> None:
        """The synapses of the neurons in a list, on the side whose events it holds."""
        out = self.out
        if side == "pre":
            self._open_rows(c)
            with out.events(list_name, lag, "pre", "all", rows=c.kind == "sparse"):
                if c.kind == "sparse":
                    self._expect_next_row()
                self._row(c)
        else:
            self._open_columns(c)
            with out.events(list_name, lag, "post", "own"):
                self._column(c)

    def _expect_next_row(self) -> None:
        """Ask for the memory of the row after this one: its targets and what is kept for each of its synapses."""
        out = self.out
        loads = [
            part.array
            for statement in k.walk_statements(out.kernel.body)
            for expr in k.statement_expressions(statement)
            for part in k.walk(expr)
            if isinstance(part, k.Load) and part.index == k.Local("synapse", "int") and part.lag is None
        ]
        out.put("if (number + 1 < fired_count) {")
        out.put("    const int64_t next = snn_row(rows, fired[number + 1], part);")
        for place in ("post_of", *(out.layout.arrays[name] for name in dict.fromkeys(loads))):
            out.put(f"    snn_expect({place} + next);")
        out.put("}")

    def synapses(self, c: p.Connectivity) -> None:
        """All synapses."""
        self._open_rows(c)
        first, last = "grid->pre_first", "grid->pre_first + grid->rows"
        if c.kind == "sparse":
            first, last = "0", "rows->pre_size"
        with self.out.block(f"for (int64_t pre = {first}; pre < {last}; pre++)"):
            self._row(c, every=True)

    def _open_rows(self, c: p.Connectivity) -> None:
        out = self.out
        name = out.layout.connectivities[c.name]
        if c.kind == "sparse":
            out.put(f"const snn_rows *const rows = &m->{name};")
            out.put(f"const {out.layout.index_type(c)} *restrict const post_of = rows->post;")
            if self._uses("shared"):
                out.put("const int32_t *restrict const shared_of = rows->shared;")
            return
        out.put(f"const snn_grid *const grid = &m->{name};")
        size = out.layout.size(c.post_size, f"{c.name}_post")
        out.put(f"const int64_t first = snn_greater(snn_share({size}, part, m->threads) - grid->post_first, 0);")
        limit = "grid->rows" if c.kind == "one_to_one" else "grid->columns"
        out.put(f"const int64_t last = snn_smaller(snn_share({size}, end, m->threads) - grid->post_first, {limit});")

    def _row(self, c: p.Connectivity, every: bool = False) -> None:
        """The synapses of one pre neuron that end on own neurons."""
        out = self.out
        match c.kind:
            case "sparse":
                out.put("const int64_t stop = snn_row(rows, pre, end);")
                if self._distinct(()):
                    out.put("#pragma omp simd")
                with out.block("for (int64_t synapse = snn_row(rows, pre, part); synapse < stop; synapse++)"):
                    self._bind("post", "post_of[synapse]")
                    self._bind("shared", "shared_of[synapse]")
                    out.statements(out.kernel.body)
            case "one_to_one":
                out.put("const int64_t row = pre - grid->pre_first;")
                with out.block("if (row >= first && row < last)"):
                    self._bind("synapse", "row")
                    self._bind("post", "grid->post_first + row")
                    out.statements(out.kernel.body)
            case "dense":
                out.put("const int64_t row = pre - grid->pre_first;")
                if not every:
                    out.put("if (row < 0 || row >= grid->rows) continue;")
                if c.autapses:
                    self._columns_of_row("first", "last")
                else:
                    out.put("const int64_t own = pre - grid->post_first; /* i -> i is left out */")
                    with out.block("for (int side = 0; side < 2; side++)"):
                        out.put("const int64_t from = side ? snn_greater(first, own + 1) : first;")
                        out.put("const int64_t to = side ? last : snn_smaller(last, own);")
                        self._columns_of_row("from", "to", "if (own < 0 && !side) continue;")

    def _columns_of_row(self, first: str, last: str, guard: str = "") -> None:
        out = self.out
        if guard:
            out.put(guard)
        if self._distinct(("post",)):
            out.put("#pragma omp simd")
        with out.block(f"for (int64_t column = {first}; column < {last}; column++)"):
            self._bind("synapse", "row*grid->columns + column")
            self._bind("post", "grid->post_first + column")
            out.statements(out.kernel.body)

    def _open_columns(self, c: p.Connectivity) -> None:
        out = self.out
        name = out.layout.connectivities[c.name]
        if c.kind != "sparse":
            out.put(f"const snn_grid *const grid = &m->{name};")
            return
        out.put(f"const snn_rows *const rows = &m->{name};")
        out.put("const int32_t *restrict const synapse_of = rows->column_synapse;")
        if self._uses("pre"):
            out.put("const int32_t *restrict const pre_of = rows->column_pre;")
        if self._uses("shared"):
            out.put("const int32_t *restrict const shared_of = rows->shared;")

    def _column(self, c: p.Connectivity) -> None:
        """The synapses of one post neuron."""
        out = self.out
        match c.kind:
            case "sparse":
                out.put("const int64_t stop = rows->column_start[post + 1];")
                if self._distinct(()):
                    out.put("#pragma omp simd")
                with out.block("for (int64_t place = rows->column_start[post]; place < stop; place++)"):
                    self._bind("synapse", "synapse_of[place]", "shared")
                    self._bind("pre", "pre_of[place]")
                    self._bind("shared", "shared_of[synapse]")
                    out.statements(out.kernel.body)
            case "one_to_one":
                out.put("const int64_t row = post - grid->post_first;")
                with out.block("if (row >= 0 && row < grid->rows)"):
                    self._bind("synapse", "row")
                    self._bind("pre", "grid->pre_first + row")
                    out.statements(out.kernel.body)
            case "dense":
                out.put("const int64_t column = post - grid->post_first;")
                out.put("if (column < 0 || column >= grid->columns) continue;")
                if self._distinct(("pre",)):
                    out.put("#pragma omp simd")
                with out.block("for (int64_t row = 0; row < grid->rows; row++)"):
                    if not c.autapses:
                        out.put("if (grid->pre_first + row == post) continue; /* i -> i is left out */")
                    self._bind("synapse", "row*grid->columns + column")
                    self._bind("pre", "grid->pre_first + row")
                    out.statements(out.kernel.body)

    def arrivals(self, queue: str, c: p.Connectivity) -> None:
        """The synapses that wait in a queue for this step."""
        out = self.out
        name, rows = out.layout.queues[queue], out.layout.connectivities[c.name]
        out.put(f"const int64_t slot = snn_slot(step, 0, m->{name}.depth);")
        with out.block("for (int of = part; of < end; of++)"):
            out.put(f"const snn_table *const waiting = &m->{name}.slots[slot*m->threads + of];")
            with out.block("for (int64_t number = 0; number < waiting->count; number++)"):
                out.put("const int64_t synapse = waiting->items[number];")
                match c.kind:
                    case "sparse":
                        self._bind("pre", f"m->{rows}.pre[synapse]")
                        self._bind("post", f"((const {out.layout.index_type(c)} *)m->{rows}.post)[synapse]")
                        self._bind("shared", f"m->{rows}.shared[synapse]")
                    case "dense":
                        self._bind("pre", f"m->{rows}.pre_first + synapse/m->{rows}.columns")
                        self._bind("post", f"m->{rows}.post_first + synapse%m->{rows}.columns")
                    case "one_to_one":
                        self._bind("pre", f"m->{rows}.pre_first + synapse")
                        self._bind("post", f"m->{rows}.post_first + synapse")
                out.statements(out.kernel.body)

    def _bind(self, name: str, text: str, needed_by: str = "") -> None:
        if self._uses(name) or (needed_by and self._uses(needed_by)):
            self.out.put(f"const int64_t {name} = {text};")

    def _uses(self, name: str) -> bool:
        return name in k.names_read(self.out.kernel.body)

    def _distinct(self, indices: tuple[str, ...]) -> bool:
        """Whether every item of the innermost loop writes places of its own: per synapse, or per neuron of the side that varies."""
        allowed = [k.Local(name, "int") for name in ("synapse", *indices)]
        for statement in k.walk_statements(self.out.kernel.body):
            if isinstance(statement, (k.Store, k.Accumulate)) and statement.index not in allowed:
                return False
            if (
                isinstance(statement, (k.Store, k.Accumulate))
                and statement.lag is not None
                and not isinstance(statement.lag, k.Const)
            ):
                return False
        return True
