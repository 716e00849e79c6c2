"""A kernel over a population in C: blocks of neurons that stay in the first-level cache, as vector loops without branches.

In a block everything that every neuron does is one ``#pragma omp simd`` loop without branches; what few neurons do (events) is marked
there, and done afterwards for the marked ones alone. Poisson counts of one mean come from a table, a block at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from snnlang.codegen import kernel as k
from snnlang.codegen.c_hoist import is_same
from snnlang.codegen.c_statements import StatementPrinter

#: Functions that are an instruction or two.
_LIGHT = frozenset(
    {"int", "real", "min", "max", "clip", "abs", "sqrt", "floor", "ceil", "round", "relu", "heaviside", "sign"}
)
#: From so many operations on, a loop of four bytes a lane runs faster with marks as wide as its numbers than with bytes (measured: currents
#: with 11 and quadratic neurons with 15 operations gain 10 to 20 percent, one exponential with 5 of them loses by storing more).
MANY_OPERATIONS = 10


@dataclass
class PopulationPrinter:
    """Prints the loops of a kernel over a population into ``out``; ``name`` is the C name of its function."""

    out: StatementPrinter
    name: str
    #: Poisson counts: name, draw, mean, table
    counts: list[tuple[str, k.Draw, k.Expr, str]] = field(default_factory=list)
    #: Names kept for a later part of the block -> C type
    buffers: dict[str, str] = field(default_factory=dict)

    def each(self, size: int) -> None:
        """All items of the thread's share."""
        out = self.out
        if not out.ranged:
            size_text = out.layout.size(size, out.kernel.name)
            out.put(f"const int64_t first = snn_share({size_text}, part, m->threads);")
            out.put(f"const int64_t last = snn_share({size_text}, end, m->threads);")
        out.open_lists()
        body = self._poisson_counts(out.kernel.body)
        parts = _parts(body)
        self._find_buffers(parts)
        if parts == [("vector", body)] and not self.counts:
            if body and not self._needs_order(body):
                out.put("#pragma omp simd")
            with out.block("for (int64_t i = first; i < last; i++)"):
                out.statements(body)
            return
        for _, _, mean, table in self.counts:
            out.put(f"snn_poisson_prepare(&m->{table}[part], {out.scope.text(mean)});")
        with out.block("for (int64_t block = first; block < last; block += SNN_BLOCK)"):
            out.put("const int64_t count = last - block < SNN_BLOCK ? last - block : SNN_BLOCK;")
            for name, type_ in self.buffers.items():
                out.put(f"{type_} {name}__of[SNN_BLOCK];")
            self._draw_counts()
            for number, (kind, body) in enumerate(parts):
                follower = parts[number + 1] if number + 1 < len(parts) else None
                if kind == "vector":
                    marks = follower[1][0] if follower is not None and follower[0] == "events" else None
                    self._vector(body, marks, number)
                elif kind == "events":
                    self._events(body[0], number)
                else:
                    self._ordered(body)

    def _poisson_counts(self, body: tuple[k.Statement, ...]) -> tuple[k.Statement, ...]:
        """Poisson counts of one mean for all neurons come from a table, a block at a time: see codegen/native/quantiles.h."""
        out = self.out

        def changed(expr: k.Expr) -> k.Expr:
            match expr:
                case k.Call(function="poisson_quantile", arguments=(k.Draw() as draw, mean)) if self._is_count_mean(
                    mean
                ):
                    name = f"count__{len(self.counts) + 1}"
                    table = out.layout.unique(f"{self.name}_{name}")
                    out.layout.tables.append(table)
                    self.counts.append((name, draw, mean, table))
                    out.scope.names[name] = f"{name}[lane]"
                    return k.Local(name)
                case k.Unary(operand=operand):
                    return replace(expr, operand=changed(operand))
                case (
                    k.Binary(left=left, right=right)
                    | k.Compare(left=left, right=right)
                    | k.Logic(left=left, right=right)
                ):
                    return replace(expr, left=changed(left), right=changed(right))
                case k.Choose(condition=condition, value=value, otherwise=otherwise):
                    return replace(
                        expr, condition=changed(condition), value=changed(value), otherwise=changed(otherwise)
                    )
                case k.Call(arguments=arguments):
                    return replace(expr, arguments=tuple(changed(argument) for argument in arguments))
            return expr

        return tuple(
            replace(statement, value=changed(statement.value))
            if isinstance(statement, (k.Let, k.Store, k.Accumulate))
            else statement
            for statement in body
        )

    def _is_count_mean(self, mean: k.Expr) -> bool:
        out = self.out
        return is_same(mean, out.touched) or (isinstance(mean, k.Local) and mean.name in out.same.values())

    def _draw_counts(self) -> None:
        out = self.out
        for name, draw, _, table in self.counts:
            suffix = "" if out.plan.precision == "double" else "f"
            out.put(f"real {name}[SNN_BLOCK];")
            out.put("#pragma omp simd")
            with out.block("for (int64_t lane = 0; lane < count; lane++)"):
                out.put("const int64_t i = block + lane;")
                out.put(f"{name}[lane] = {out.scope.text(draw)};")
            out.put(f"snn_poisson_block{suffix}(&m->{table}[part], {name}, {name}, (int32_t)count);")

    def _find_buffers(self, parts: list[tuple[str, tuple[k.Statement, ...]]]) -> None:
        """Names bound in one part of a block and used in another."""
        out = self.out
        if len(parts) == 1:
            return
        for number, (_, body) in enumerate(parts):
            later = set()
            for follower, (kind, other) in enumerate(parts):
                if follower > number:
                    # the condition of the next part is marked in this one
                    skip = kind == "events" and follower == number + 1
                    later |= k.names_read(other[0].body if skip and isinstance(other[0], k.If) else other)
            for statement in body:
                if isinstance(statement, k.Let) and statement.name in later:
                    self.buffers[out.name(statement.name)] = out.scope.local_type(statement)

    def _recall(self, body: tuple[k.Statement, ...], condition: k.Expr | None = None) -> None:
        """Names of earlier parts that this one uses."""
        out = self.out
        bound = {s.name for s in body if isinstance(s, k.Let)}
        names = k.names_read(body)
        if condition is not None:
            names |= {part.name for part in k.walk(condition) if isinstance(part, k.Local)}
        used = {out.name(name) for name in names - bound}
        for name, type_ in self.buffers.items():
            if name in used:
                out.put(f"const {type_} {name} = {name}__of[lane];")

    def _vector(self, body: tuple[k.Statement, ...], marks: k.Statement | None, number: int) -> None:
        out = self.out
        wide = self._wide_marks(body) if marks is not None else ""
        if marks is not None:
            out.put(f"uint8_t marked__{number + 1}[SNN_BLOCK];")
            if wide:
                # marks as wide as the numbers: with bytes the loop would take four times as many lanes at once as there are registers
                out.put(f"{wide} wide__{number + 1}[SNN_BLOCK];")
            out.put(f"{wide or 'int'} any__{number + 1} = 0;")
        reduction = f" reduction(| : any__{number + 1})" if marks is not None else ""
        if not self._needs_order(body):
            out.put(f"#pragma omp simd{reduction}")
        with out.block("for (int64_t lane = 0; lane < count; lane++)"):
            out.put("const int64_t i = block + lane;")
            self._recall(body, marks.condition if isinstance(marks, k.If) else None)
            for statement in body:
                out.statement(statement)
                if isinstance(statement, k.Let) and out.name(statement.name) in self.buffers:
                    out.put(f"{out.name(statement.name)}__of[lane] = {out.name(statement.name)};")
            if isinstance(marks, k.If):
                out.put(f"const {wide or 'int'} marked = {out.scope.text(marks.condition)};")
                out.put(f"{'wide' if wide else 'marked'}__{number + 1}[lane] = {'' if wide else '(uint8_t)'}marked;")
                out.put(f"any__{number + 1} |= marked;")
        if wide:
            out.put(f"if (any__{number + 1}) {{")
            out.put("    #pragma omp simd")
            out.put(
                f"    for (int64_t lane = 0; lane < count; lane++) marked__{number + 1}[lane] = (uint8_t)wide__{number + 1}[lane];"
            )
            out.put("}")

    def _wide_marks(self, body: tuple[k.Statement, ...]) -> str:
        """The type of the marks of a loop that computes much; empty for bytes, which light loops store faster."""
        out = self.out
        expressions = [expr for s in k.walk_statements(body) for expr in k.statement_expressions(s)]
        calls = [part for expr in expressions for part in k.walk(expr) if isinstance(part, (k.Call, k.Draw))]
        heavy = [c for c in calls if isinstance(c, k.Draw) or c.function not in _LIGHT]
        if any(isinstance(c, k.Call) for c in heavy) and not out.lifts:
            # the last bits are those of our exp, not of the C library's: rounding as written is not to be had here
            out.layout.fused = True
        if len(heavy) >= 2:
            return "int32_t" if out.plan.precision == "single" else "int64_t"
        operations = sum(
            isinstance(part, (k.Binary, k.Compare, k.Logic, k.Choose)) for expr in expressions for part in k.walk(expr)
        )
        return "int32_t" if out.plan.precision == "double" or operations >= MANY_OPERATIONS else ""

    def _events(self, statement: k.Statement, number: int) -> None:
        out = self.out
        assert isinstance(statement, k.If)
        out.comment(statement.source)
        with out.block(
            f"for (int64_t lane = any__{number} ? snn_next(marked__{number}, 0, count) : count; lane < count; "
            f"lane = snn_next(marked__{number}, lane + 1, count))"
        ):
            out.put("const int64_t i = block + lane;")
            self._recall(statement.body)
            out.statements(statement.body)

    def _ordered(self, body: tuple[k.Statement, ...]) -> None:
        """Statements that cannot be vectorised or marked: one neuron after the other."""
        out = self.out
        with out.block("for (int64_t lane = 0; lane < count; lane++)"):
            out.put("const int64_t i = block + lane;")
            self._recall(body)
            out.statements(body)
            for statement in body:
                if isinstance(statement, k.Let) and out.name(statement.name) in self.buffers:
                    out.put(f"{out.name(statement.name)}__of[lane] = {out.name(statement.name)};")

    def _needs_order(self, body: tuple[k.Statement, ...]) -> bool:
        """Whether two items may write one place, so that lanes must come one after the other."""
        for statement in k.walk_statements(body):
            if isinstance(statement, k.Append):
                return True
            if isinstance(statement, (k.Store, k.Accumulate)) and statement.index != k.Local("i", "int"):
                return True
        return False


def _parts(body: tuple[k.Statement, ...]) -> list[tuple[str, tuple[k.Statement, ...]]]:
    """A block's body in parts: ``vector`` (every neuron), ``events`` (one If: few neurons), ``ordered`` (one after the other)."""
    parts: list[tuple[str, tuple[k.Statement, ...]]] = []
    gathered: list[k.Statement] = []
    for statement in body:
        appends = any(isinstance(s, k.Append) for s in k.walk_statements((statement,)))
        if isinstance(statement, k.If) and not statement.otherwise and (statement.rare or appends):
            parts.append(("vector", tuple(gathered)))
            parts.append(("events", (statement,)))
            gathered = []
        elif appends:
            if gathered:
                parts.append(("vector", tuple(gathered)))
            parts.append(("ordered", (statement,)))
            gathered = []
        else:
            gathered.append(statement)
    if gathered or not parts:
        parts.append(("vector", tuple(gathered)))
    return parts
