"""A kernel over synapses in CUDA: rows or columns of the neurons that fired in chunks for teams of threads, pairs, and arrivals.

Synapses of the neurons that fired are dealt out in chunks of rows to teams of neighbouring threads, so that neither an uneven row nor a
step with few spikes leaves threads idle, and neighbouring threads read neighbouring synapses. Where every pair is connected a thread sums
up what arrives at one post neuron before it adds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.cuda_statements import StatementPrinter


@dataclass
class SynapsePrinter:
    """Prints the loops over synapses into ``out``."""

    out: StatementPrinter

    def fan(self, c: p.Connectivity, side: str, uses: set[str], body: Callable[[], None]) -> None:
        """The synapses of the neurons of the open list (side pre: their rows, post: their columns), or all rows (side empty)."""
        out = self.out
        name = f"model.{out.layout.connectivities[c.name]}"
        if c.kind == "one_to_one":
            self._pairs(side, uses, body, name)
            return
        kind, whole = ("row", "rows") if side != "post" else ("column", "columns")
        struct = "snn_rows" if c.kind == "sparse" else "snn_grid"
        across = "rows" if c.kind == "sparse" else "grid"
        out.put(f"const {struct} &{across} = {name};")
        if c.kind == "sparse":
            self._sparse_arrays(c, side, uses)
        out.put(f"const int32_t team = (int32_t){across}.{kind}_team, member = thread & ((1 << team) - 1);")
        total = "fired_count" if side else f"(uint32_t){across}.{'pre_size' if c.kind == 'sparse' else whole}"
        out.put(f"const uint32_t chunks = (uint32_t){across}.{kind}_chunks, item_count = {total}*chunks;")
        with out.block(
            "for (uint32_t item = (uint32_t)thread >> team; item < item_count; item += (uint32_t)threads >> team)"
        ):
            neuron = "post" if side == "post" else "pre"
            if c.kind == "sparse":
                source = "fired[item/chunks]" if side else "item/chunks"
                out.put(f"const int64_t {neuron} = {source};")
                start = f"{across}.{kind}_start"
                out.put(f"const int64_t first = {start}[{neuron}] + (int64_t)(item%chunks)*{across}.{kind}_chunk;")
                out.put(f"const int64_t stop = snn_smaller({start}[{neuron} + 1], first + {across}.{kind}_chunk);")
                place = "place" if side == "post" else "synapse"
                with out.block(f"for (int64_t {place} = first + member; {place} < stop; {place} += 1 << team)"):
                    if side == "post":
                        self._bind(uses | ({"synapse"} if "shared" in uses else set()), "synapse", "synapse_of[place]")
                        self._bind(uses, "pre", "pre_of[place]")
                    else:
                        self._bind(uses, "post", "post_of[synapse]")
                    self._bind(uses, "shared", "shared_of[synapse]")
                    body()
                return
            self._grid_item(side, neuron, kind)
            other, count = ("column", "columns") if side != "post" else ("row", "rows")
            out.put(f"const int64_t first = (int64_t)(item%chunks)*grid.{kind}_chunk;")
            out.put(f"const int64_t stop = snn_smaller(grid.{count}, first + grid.{kind}_chunk);")
            with out.block(f"for (int64_t {other} = first + member; {other} < stop; {other} += 1 << team)"):
                self._grid_names(c, uses, neuron)
                body()

    def _sparse_arrays(self, c: p.Connectivity, side: str, uses: set[str]) -> None:
        out = self.out
        if side == "post":
            if uses & {"synapse", "shared"}:
                out.put("const int32_t *__restrict__ const synapse_of = rows.column_synapse;")
            if "pre" in uses:
                out.put("const int32_t *__restrict__ const pre_of = rows.column_pre;")
        elif "post" in uses:
            type_ = out.layout.index_type(c)
            out.put(f"const {type_} *__restrict__ const post_of = (const {type_} *)rows.post;")
        if "shared" in uses:
            out.put("const int32_t *__restrict__ const shared_of = rows.shared;")

    def _grid_item(self, side: str, neuron: str, kind: str) -> None:
        """The row or column of an item of a dense connectivity."""
        out = self.out
        first, count = ("pre_first", "rows") if neuron == "pre" else ("post_first", "columns")
        if side:
            out.put(f"const int64_t {neuron} = fired[item/chunks];")
            out.put(f"const int64_t {kind} = {neuron} - grid.{first};")
            out.put(f"if ({kind} < 0 || {kind} >= grid.{count}) continue;")
        else:
            out.put(f"const int64_t {kind} = item/chunks;")
            out.put(f"const int64_t {neuron} = grid.{first} + {kind};")

    def _grid_names(self, c: p.Connectivity, uses: set[str], known: str) -> None:
        needs = set(uses) | ({"pre", "post"} if not c.autapses else set())
        if known == "pre":
            self._bind(needs, "post", "grid.post_first + column")
        else:
            self._bind(needs, "pre", "grid.pre_first + row")
        if not c.autapses:
            self.out.put("if (pre == post) continue; /* i -> i is left out */")
        self._bind(uses, "synapse", "row*grid.columns + column")

    def _pairs(self, side: str, uses: set[str], body: Callable[[], None], name: str) -> None:
        """One to one: at most one synapse a neuron."""
        out = self.out
        out.put(f"const snn_grid &grid = {name};")
        total = "fired_count" if side else "(uint32_t)grid.rows"
        with out.block(f"for (uint32_t item = (uint32_t)thread; item < {total}; item += (uint32_t)threads)"):
            if side:
                first = "grid.post_first" if side == "post" else "grid.pre_first"
                out.put(f"const int64_t row = fired[item] - {first};")
                out.put("if (row < 0 || row >= grid.rows) continue;")
            else:
                out.put("const int64_t row = item;")
            self._bind(uses, "pre", "grid.pre_first + row")
            self._bind(uses, "post", "grid.post_first + row")
            self._bind(uses, "synapse", "row")
            body()

    def arrivals(self, queue: str, c: p.Connectivity, kernel: k.Kernel) -> None:
        """The synapses that wait in a queue for this step."""
        out = self.out
        uses = k.names_read(kernel.body)
        name, rows = f"model.{out.layout.queues[queue]}", f"model.{out.layout.connectivities[c.name]}"
        out.put(f"const int64_t slot = snn_ring(step, 0, {name}.ring);")
        out.put(f"const int32_t *const fired = {name}.items + slot*{name}.capacity;")
        out.put(f"const int64_t fired_count = snn_smaller({name}.counts[slot], {name}.capacity);")
        with out.block("for (int64_t number = thread; number < fired_count; number += threads)"):
            out.put("const int64_t synapse = fired[number];")
            match c.kind:
                case "sparse":
                    self._bind(uses, "pre", f"{rows}.pre[synapse]")
                    self._bind(uses, "post", f"((const {out.layout.index_type(c)} *){rows}.post)[synapse]")
                    self._bind(uses, "shared", f"{rows}.shared[synapse]")
                case "dense":
                    self._bind(uses, "pre", f"{rows}.pre_first + synapse/{rows}.columns")
                    self._bind(uses, "post", f"{rows}.post_first + synapse%{rows}.columns")
                case "one_to_one":
                    self._bind(uses, "pre", f"{rows}.pre_first + synapse")
                    self._bind(uses, "post", f"{rows}.post_first + synapse")
            out.statements(kernel.body)

    def _bind(self, uses: set[str], name: str, text: str) -> None:
        if name in uses:
            self.out.put(f"const int64_t {name} = {text};")

    # --- all pairs: summed up before they are added -------------------------------------------------------------------

    def may_gather(self, kernel: k.Kernel) -> bool:
        """Whether a propagation does nothing but add to its post neurons."""
        targets: set[str] = set()
        for statement in k.walk_statements(kernel.body):
            match statement:
                case k.Accumulate(array=array, index=index, lag=lag):
                    plain = lag is None or isinstance(lag, k.Const)
                    if (
                        index != k.Local("post", "int")
                        or not plain
                        or self.out.layout.plan.arrays[array].type != "real"
                    ):
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

    def gathered(self, c: p.Connectivity, kernel: k.Kernel) -> None:
        """A thread goes through a part of the list for one post neuron; neighbours read neighbouring weights."""
        out = self.out
        uses = k.names_read(kernel.body)
        out.put(f"const snn_grid &grid = model.{out.layout.connectivities[c.name]};")
        out.put("const uint32_t columns = (uint32_t)grid.columns, wide = columns > 0 ? (uint32_t)threads/columns : 0;")
        # at least eight neurons a part: then few additions meet at one post neuron
        out.put("const uint32_t most = fired_count/8 + 1, parts = wide < 1 ? 1 : wide < most ? wide : most;")
        for statement in k.walk_statements(kernel.body):
            if isinstance(statement, k.Accumulate):
                target = out.place(statement.array, k.Local("post", "int"), statement.lag)
                out.sums.setdefault((statement.array, target), f"sum__{len(out.sums) + 1}")
        with out.block(
            "for (uint32_t item = (uint32_t)thread; fired_count > 0 && item < columns*parts; item += (uint32_t)threads)"
        ):
            out.put("const int64_t column = item%columns;")
            out.put("const int64_t post = grid.post_first + column;")
            for sum_name in out.sums.values():
                out.put(f"real {sum_name} = 0;")
            with out.block("for (uint32_t number = item/columns; number < fired_count; number += parts)"):
                out.put("const int64_t pre = fired[number];")
                out.put("const int64_t row = pre - grid.pre_first;")
                out.put("if (row < 0 || row >= grid.rows) continue;")
                if not c.autapses:
                    out.put("if (pre == post) continue; /* i -> i is left out */")
                self._bind(uses, "synapse", "row*grid.columns + column")
                out.statements(kernel.body)
            for (_, target), sum_name in out.sums.items():
                out.put(f"atomicAdd(&{target}, {sum_name});")
        out.sums = {}
