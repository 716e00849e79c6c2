"""One kernel as one C function: the loops of each domain, and the vector blocks of a population.

A population is worked through in blocks that stay in the first-level cache. In a block everything that every neuron does is one
``#pragma omp simd`` loop without branches; what few neurons do (events) is marked there, and done afterwards for the marked ones alone.
Synapses are visited by the rows (or columns) of the neurons that fired, each thread those that end on its own neurons.

It refuses nothing: a plan that :func:`snnlang.codegen.verify.verify` accepts can be printed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Literal

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.c_layout import Layout, loaded
from snnlang.codegen.clike import C_TYPES, Scope, safe
from snnlang.codegen.simplify import rebuild

_WORD = re.compile(r"\b[A-Za-z_]\w*\b")
#: Functions that are an instruction or two.
_LIGHT = frozenset(
    {"int", "real", "min", "max", "clip", "abs", "sqrt", "floor", "ceil", "round", "relu", "heaviside", "sign"}
)
#: From so many operations on, a loop of four bytes a lane runs faster with marks as wide as its numbers than with bytes (measured: currents
#: with 11 and quadratic neurons with 15 operations gain 10 to 20 percent, one exponential with 5 of them loses by storing more).
MANY_OPERATIONS = 10
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Printed:
    """A kernel's function: its C name and its text."""

    name: str
    text: str


@dataclass
class KernelPrinter:
    """Prints one kernel. ``lifts``: its real constants are run-time numbers; ``inserts``: lists that need sorted insertion;
    ``ranged``: the caller says which neurons, and where their events go (:mod:`snnlang.codegen.c_tiling`)."""

    layout: Layout
    kernel: k.Kernel
    name: str
    lifts: bool
    inserts: frozenset[str]
    ranged: bool = False
    lines: list[str] = field(default_factory=list)
    depth: int = 1
    same: dict[k.Expr, str] = field(default_factory=dict)  # what is computed once, before the loops
    counts: list[tuple[str, k.Draw, k.Expr, str]] = field(
        default_factory=list
    )  # Poisson counts: name, draw, mean, table
    buffers: dict[str, str] = field(default_factory=dict)  # names kept for a later part of the block -> C type
    _slots: dict[tuple[str, str], str] = field(default_factory=dict)
    _opened: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.plan = self.layout.plan
        self.touched = loaded(self.kernel)
        self.scope = Scope(
            self.plan.precision,
            self._place,
            lambda stream: self.layout.streams[stream],
            lambda value: self.layout.constant(self.kernel.name, value),
            lambda number: self.layout.lifted(self.kernel.name, number) if number.given or self.lifts else None,
            strict=self.layout.strict,
        )
        taken = set(self.layout.names)
        for statement in k.walk_statements(self.kernel.body):
            if isinstance(statement, k.Let) and statement.name not in self.scope.names:
                wanted = safe(statement.name)
                name, number = wanted, 2
                while name in taken:
                    name, number = f"{wanted}_{number}", number + 1
                taken.add(name)
                self.scope.names[statement.name] = name

    # --- lines --------------------------------------------------------------------------------------------------------

    def put(self, line: str) -> None:
        self.lines.append("    " * self.depth + line if line else "")

    def comment(self, source: str) -> None:
        if source:
            self.put(f"/* {source.replace('*/', '* /')} */")

    def function(self) -> Printed:
        """The whole function."""
        if not isinstance(self.kernel.domain, k.Single):
            self.kernel = replace(self.kernel, body=self._hoisted(self.kernel.body))
        match self.kernel.domain:
            case k.Single():
                self._statements(self.kernel.body)
            case k.Each(size=size):
                self._each(size)
            case k.Listed(list=name, lag=lag):
                self._listed(name, lag)
            case k.Fan(connectivity=connectivity, side=side, list=name, lag=lag):
                self._fan(self.plan.connectivities[connectivity], side, name, lag)
            case k.Synapses(connectivity=connectivity):
                self._synapses(self.plan.connectivities[connectivity])
            case k.Arrivals(queue=queue, connectivity=connectivity):
                self._arrivals(queue, self.plan.connectivities[connectivity])
        self._close_lists()
        body = self.lines
        self.lines, self.depth = [], 1
        text = "\n".join(body)
        self._prologue(_used(text))
        used = _used("\n".join((*self.lines, *body)))
        unused = [name for name in ("step", "part", "end") if name not in used and not (self.ranged and name == "end")]
        cold = "SNN_COLD " if isinstance(self.kernel.domain, k.Single) and self.lifts else ""
        head = [
            f"/* {self.kernel.title} */",
            f"static {cold}void {self.name}(model *const m, const int32_t step, const int part, {self._range()})",
            "{",
        ]
        if unused:
            head.append(f"    {', '.join(f'(void){name}' for name in unused)};")
        return Printed(self.name, "\n".join([*head, *self.lines, *body, "}", ""]))

    def _range(self) -> str:
        """The rest of the function's parameters: whose neurons it works for."""
        if not self.ranged:
            return "const int end"
        lists = dict.fromkeys(s.list for s in k.walk_statements(self.kernel.body) if isinstance(s, k.Append))
        names = [self.layout.lists[name] for name in lists]
        events = [f", int32_t *const {name}__items, int32_t *const {name}__total" for name in names]
        return "const int64_t first, const int64_t last" + "".join(events)

    def _hoisted(self, body: tuple[k.Statement, ...]) -> tuple[k.Statement, ...]:
        """What is the same for every item and costs more than a product is named before the loops: no compiler looks that far."""

        def changed(expr: k.Expr) -> k.Expr:
            if expr.type != "bool" and _costs(expr) and self._is_same(expr):
                if expr not in self.same:
                    self.same[expr] = f"same__{len(self.same) + 1}"
                return k.Local(self.same[expr], expr.type)
            return rebuild(expr, changed)

        def visited(statements: tuple[k.Statement, ...]) -> tuple[k.Statement, ...]:
            result: list[k.Statement] = []
            for statement in statements:
                match statement:
                    case k.Let(value=value):
                        result.append(replace(statement, value=changed(value)))
                    case k.Store(value=value) | k.Accumulate(value=value):
                        result.append(replace(statement, value=changed(value)))
                    case k.If(condition=condition, body=inner, otherwise=otherwise):
                        result.append(
                            replace(
                                statement,
                                condition=changed(condition),
                                body=visited(inner),
                                otherwise=visited(otherwise),
                            )
                        )
                    case k.Append():
                        result.append(statement)
            return tuple(result)

        made = visited(body)
        for expr, name in self.same.items():
            type_ = {"real": "real", "int": "int32_t"}[expr.type]
            self.put(f"const {type_} {name} = {self.scope.text(expr)};")
        return made

    def _is_same(self, expr: k.Expr) -> bool:
        """Whether an expression is the same for every item of this launch."""
        for part in k.walk(expr):
            if isinstance(part, k.Draw) or (isinstance(part, k.Local) and part.name not in ("dt", "step", "t")):
                return False
            if isinstance(part, k.Load) and (
                part.index is not None or part.lag is not None or self.touched[part.array]
            ):
                return False
        return True

    def _prologue(self, used: set[str]) -> None:
        """Pointers and scalars under their own names, so that the compiler knows that none of them overlap or change."""
        if "dt" in used:
            self.put("const real dt = (real)m->dt;")
        if "t" in used:
            self.put("const double t = ((double)step + (double)m->time_offset)*m->dt;")
        for key in self.layout.streams.values():
            if key in used:
                self.put(f"const uint64_t {key} = m->{key};")
        for array, writes in self.touched.items():
            described, name = self.plan.arrays[array], self.layout.arrays[array]
            if name not in used and not any(n in used for (a, _), n in self._slots.items() if a == array):
                continue
            type_ = C_TYPES[described.type]
            if described.depth > 1:
                slots = {lag: slot for (a, lag), slot in self._slots.items() if a == array}
                restrict = "" if name in used else "restrict "
                for lag, slot in slots.items():
                    length = self.layout.length(described)
                    self.put(
                        f"{type_} *{restrict}const {slot} = m->{name} + "
                        f"snn_slot(step, {lag}, m->{self._depth_member(array)})*{length};"
                    )
            elif self.layout.is_scalar(array) and not writes:
                self.put(f"const {type_} {name} = m->{name}[0];")
            else:
                self.put(f"{'' if writes else 'const '}{type_} *restrict const {name} = m->{name};")

    def _depth_member(self, array: str) -> str:
        return self.layout.member(f"{array}_depth", self.plan.arrays[array].depth).removeprefix("m->")

    # --- elements -----------------------------------------------------------------------------------------------------

    def _place(self, array: str, index: k.Expr | None, lag: k.Expr | None) -> str:
        described, name = self.plan.arrays[array], self.layout.arrays[array]
        where = "0" if index is None else self.scope.text(index)
        if described.depth > 1:
            if lag is None or isinstance(lag, k.Const):
                back = 0 if lag is None else int(lag.value)
                text = str(back) if abs(back) <= 1 else self.layout.member(f"{self.kernel.name}_lag", back)
                word = "now" if back == 0 else f"{'back' if back > 0 else 'ahead'}_{len(self._slots)}"
                slot = self._slots.setdefault((array, text), f"{name}__{word}")
                return f"{slot}[{where}]"
            ring = f"snn_slot(step, {self.scope.text(lag)}, m->{self._depth_member(array)})"
            return f"m->{name}[{ring}*{self.layout.length(described)} + {where}]"
        if index is None and not self.touched[array]:
            return name
        return f"{name}[{where}]"

    # --- statements ---------------------------------------------------------------------------------------------------

    def _statements(self, body: tuple[k.Statement, ...]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, statement: k.Statement) -> None:
        match statement:
            case k.Let(name=name, value=value, source=source):
                self.comment(source)
                self.put(f"const {self.scope.local_type(statement)} {self._name(name)} = {self.scope.text(value)};")
            case k.Store(array=array, index=index, value=value, source=source, lag=lag):
                self.comment(source)
                self.put(f"{self._place(array, index, lag)} = {self._converted(array, value)};")
            case k.Accumulate(array=array, index=index, value=value, source=source, lag=lag):
                self.comment(source)
                self.put(f"{self._place(array, index, lag)} += {self._converted(array, value)};")
            case k.If(condition=condition, body=inner, otherwise=otherwise, source=source):
                self.comment(source)
                self.put(f"if ({self.scope.text(condition)}) {{")
                self._nested(inner)
                if otherwise:
                    self.put("} else {")
                    self._nested(otherwise)
                self.put("}")
            case k.Append(list=name):
                self._append(name)

    def _nested(self, body: tuple[k.Statement, ...]) -> None:
        self.depth += 1
        self._statements(body)
        self.depth -= 1

    def _name(self, name: str) -> str:
        return self.scope.names.get(name, name)

    def _converted(self, array: str, value: k.Expr) -> str:
        type_ = self.plan.arrays[array].type
        text = self.scope.text(value)
        if type_ == "int" and self.scope.is_wide(value):
            return f"(int32_t)({text})"
        return text

    def _append(self, list_name: str) -> None:
        name = self.layout.lists[list_name]
        slot = f"snn_slot(step, 0, m->{name}.depth)"
        if list_name in self.inserts:
            self.put(f"snn_insert(&m->{name}, {slot}, part, i);")
        else:
            self.put(f"{name}__items[{name}__count++] = (int32_t)i;")

    def _open_lists(self) -> None:
        """Where the lists of this step that the kernel appends to go on."""
        for list_name in dict.fromkeys(s.list for s in k.walk_statements(self.kernel.body) if isinstance(s, k.Append)):
            if list_name not in self.inserts:
                name = self.layout.lists[list_name]
                slot = f"snn_slot(step, 0, m->{name}.depth)"
                if not self.ranged:
                    self.put(f"int32_t *const {name}__items = snn_part(&m->{name}, {slot}, part);")
                    self.put(f"int32_t *const {name}__total = snn_count(&m->{name}, {slot}, part);")
                self.put(f"int32_t {name}__count = *{name}__total;")
                self._opened.append(name)

    def _close_lists(self) -> None:
        for name in self._opened:
            self.put(f"*{name}__total = {name}__count;")

    # --- populations --------------------------------------------------------------------------------------------------

    def _each(self, size: int) -> None:
        if not self.ranged:
            size_text = self.layout.size(size, self.kernel.name)
            self.put(f"const int64_t first = snn_share({size_text}, part, m->threads);")
            self.put(f"const int64_t last = snn_share({size_text}, end, m->threads);")
        self._open_lists()
        body = self._poisson_counts(self.kernel.body)
        parts = _parts(body)
        self._find_buffers(parts)
        if parts == [("vector", body)] and not self.counts:
            if body and not self._needs_order(body):
                self.put("#pragma omp simd")
            self.put("for (int64_t i = first; i < last; i++) {")
            self._nested(body)
            self.put("}")
            return
        for _, _, mean, table in self.counts:
            self.put(f"snn_poisson_prepare(&m->{table}[part], {self.scope.text(mean)});")
        self.put("for (int64_t block = first; block < last; block += SNN_BLOCK) {")
        self.depth += 1
        self.put("const int64_t count = last - block < SNN_BLOCK ? last - block : SNN_BLOCK;")
        for name, type_ in self.buffers.items():
            self.put(f"{type_} {name}__of[SNN_BLOCK];")
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
        self.depth -= 1
        self.put("}")

    def _poisson_counts(self, body: tuple[k.Statement, ...]) -> tuple[k.Statement, ...]:
        """Poisson counts of one mean for all neurons come from a table, a block at a time: see codegen/native/quantiles.h."""

        def changed(expr: k.Expr) -> k.Expr:
            match expr:
                case k.Call(function="poisson_quantile", arguments=(k.Draw() as draw, mean)) if self._is_count_mean(
                    mean
                ):
                    name = f"count__{len(self.counts) + 1}"
                    table = self.layout.unique(f"{self.name}_{name}")
                    self.layout.tables.append(table)
                    self.counts.append((name, draw, mean, table))
                    self.scope.names[name] = f"{name}[lane]"
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
        return self._is_same(mean) or (isinstance(mean, k.Local) and mean.name in self.same.values())

    def _draw_counts(self) -> None:
        for name, draw, _, table in self.counts:
            suffix = "" if self.plan.precision == "double" else "f"
            self.put(f"real {name}[SNN_BLOCK];")
            self.put("#pragma omp simd")
            self.put("for (int64_t lane = 0; lane < count; lane++) {")
            self.depth += 1
            self.put("const int64_t i = block + lane;")
            self.put(f"{name}[lane] = {self.scope.text(draw)};")
            self._close(1)
            self.put(f"snn_poisson_block{suffix}(&m->{table}[part], {name}, {name}, (int32_t)count);")

    def _find_buffers(self, parts: list[tuple[str, tuple[k.Statement, ...]]]) -> None:
        """Names bound in one part of a block and used in another."""
        if len(parts) == 1:
            return
        for number, (_, body) in enumerate(parts):
            later = set()
            for follower, (kind, other) in enumerate(parts):
                if follower > number:
                    # the condition of the next part is marked in this one
                    skip = kind == "events" and follower == number + 1
                    later |= _names(other, skip)
            for statement in body:
                if isinstance(statement, k.Let) and statement.name in later:
                    self.buffers[self._name(statement.name)] = self.scope.local_type(statement)

    def _recall(self, body: tuple[k.Statement, ...], condition: k.Expr | None = None) -> None:
        """Names of earlier parts that this one uses."""
        bound = {s.name for s in body if isinstance(s, k.Let)}
        names = _names(body, False)
        if condition is not None:
            names |= {part.name for part in k.walk(condition) if isinstance(part, k.Local)}
        used = {self._name(name) for name in names - bound}
        for name, type_ in self.buffers.items():
            if name in used:
                self.put(f"const {type_} {name} = {name}__of[lane];")

    def _vector(self, body: tuple[k.Statement, ...], marks: k.Statement | None, number: int) -> None:
        wide = self._wide_marks(body) if marks is not None else ""
        if marks is not None:
            self.put(f"uint8_t marked__{number + 1}[SNN_BLOCK];")
            if wide:
                # marks as wide as the numbers: with bytes the loop would take four times as many lanes at once as there are registers
                self.put(f"{wide} wide__{number + 1}[SNN_BLOCK];")
            self.put(f"{wide or 'int'} any__{number + 1} = 0;")
        reduction = f" reduction(| : any__{number + 1})" if marks is not None else ""
        if not self._needs_order(body):
            self.put(f"#pragma omp simd{reduction}")
        self.put("for (int64_t lane = 0; lane < count; lane++) {")
        self.depth += 1
        self.put("const int64_t i = block + lane;")
        self._recall(body, marks.condition if isinstance(marks, k.If) else None)
        for statement in body:
            self._statement(statement)
            if isinstance(statement, k.Let) and self._name(statement.name) in self.buffers:
                self.put(f"{self._name(statement.name)}__of[lane] = {self._name(statement.name)};")
        if isinstance(marks, k.If):
            self.put(f"const {wide or 'int'} marked = {self.scope.text(marks.condition)};")
            self.put(f"{'wide' if wide else 'marked'}__{number + 1}[lane] = {'' if wide else '(uint8_t)'}marked;")
            self.put(f"any__{number + 1} |= marked;")
        self.depth -= 1
        self.put("}")
        if wide:
            self.put(f"if (any__{number + 1}) {{")
            self.put("    #pragma omp simd")
            self.put(
                f"    for (int64_t lane = 0; lane < count; lane++) marked__{number + 1}[lane] = (uint8_t)wide__{number + 1}[lane];"
            )
            self.put("}")

    def _wide_marks(self, body: tuple[k.Statement, ...]) -> str:
        """The type of the marks of a loop that computes much; empty for bytes, which light loops store faster."""
        expressions = [expr for s in k.walk_statements(body) for expr in k.statement_expressions(s)]
        calls = [part for expr in expressions for part in k.walk(expr) if isinstance(part, (k.Call, k.Draw))]
        heavy = [c for c in calls if isinstance(c, k.Draw) or c.function not in _LIGHT]
        if any(isinstance(c, k.Call) for c in heavy) and not self.lifts:
            # the last bits are those of our exp, not of the C library's: rounding as written is not to be had here
            self.layout.fused = True
        if len(heavy) >= 2:
            return "int32_t" if self.plan.precision == "single" else "int64_t"
        operations = sum(
            isinstance(part, (k.Binary, k.Compare, k.Logic, k.Choose)) for expr in expressions for part in k.walk(expr)
        )
        return "int32_t" if self.plan.precision == "double" or operations >= MANY_OPERATIONS else ""

    def _events(self, statement: k.Statement, number: int) -> None:
        assert isinstance(statement, k.If)
        self.comment(statement.source)
        self.put(
            f"for (int64_t lane = any__{number} ? snn_next(marked__{number}, 0, count) : count; lane < count; "
            f"lane = snn_next(marked__{number}, lane + 1, count)) {{"
        )
        self.depth += 1
        self.put("const int64_t i = block + lane;")
        self._recall(statement.body)
        self._statements(statement.body)
        self.depth -= 1
        self.put("}")

    def _ordered(self, body: tuple[k.Statement, ...]) -> None:
        """Statements that cannot be vectorised or marked: one neuron after the other."""
        self.put("for (int64_t lane = 0; lane < count; lane++) {")
        self.depth += 1
        self.put("const int64_t i = block + lane;")
        self._recall(body)
        self._statements(body)
        for statement in body:
            if isinstance(statement, k.Let) and self._name(statement.name) in self.buffers:
                self.put(f"{self._name(statement.name)}__of[lane] = {self._name(statement.name)};")
        self.depth -= 1
        self.put("}")

    def _needs_order(self, body: tuple[k.Statement, ...]) -> bool:
        """Whether two items may write one place, so that lanes must come one after the other."""
        for statement in k.walk_statements(body):
            if isinstance(statement, k.Append):
                return True
            if isinstance(statement, (k.Store, k.Accumulate)) and statement.index != k.Local("i", "int"):
                return True
        return False

    # --- event lists --------------------------------------------------------------------------------------------------

    def _open_list(self, list_name: str, lag: int, item: str, parts: Literal["own", "all"], rows: bool = False) -> None:
        name = self.layout.lists[list_name]
        first, last = ("part", "end") if parts == "own" else ("0", "m->threads")
        self.put(f"const int64_t slot = snn_slot(step, {self.layout.lag(self.kernel.name, lag)}, m->{name}.depth);")
        self.put(f"for (int of = {first}; of < {last}; of++) {{")
        self.depth += 1
        self.put(f"const int32_t *const fired = snn_part(&m->{name}, slot, of);")
        if rows:  # items ascend
            self.put(f"int32_t fired_count = *snn_count(&m->{name}, slot, of), number = 0;")
            self.put("while (fired_count > 0 && fired[fired_count - 1] >= rows->pre_last) fired_count--;")
            self.put("while (number < fired_count && fired[number] < rows->pre_first) number++;")
            self.put("for (; number < fired_count; number++) {")
        else:
            self.put(f"const int32_t fired_count = *snn_count(&m->{name}, slot, of);")
            self.put("for (int32_t number = 0; number < fired_count; number++) {")
        self.depth += 1
        self.put(f"const int64_t {item} = fired[number];")

    def _close(self, levels: int) -> None:
        for _ in range(levels):
            self.depth -= 1
            self.put("}")

    def _listed(self, list_name: str, lag: int) -> None:
        self._open_lists()
        self._open_list(list_name, lag, "i", "own")
        self._statements(self.kernel.body)
        self._close(2)

    # --- synapses -----------------------------------------------------------------------------------------------------

    def _fan(self, c: p.Connectivity, side: str, list_name: str, lag: int) -> None:
        if side == "pre":
            self._open_rows(c)
            self._open_list(list_name, lag, "pre", "all", rows=c.kind == "sparse")
            if c.kind == "sparse":
                self._expect_next_row()
            self._row(c)
            self._close(2)
        else:
            self._open_columns(c)
            self._open_list(list_name, lag, "post", "own")
            self._column(c)
            self._close(2)

    def _expect_next_row(self) -> None:
        """Ask for the memory of the row after this one: its targets and what is kept for each of its synapses."""
        loads = [
            part.array
            for statement in k.walk_statements(self.kernel.body)
            for expr in k.statement_expressions(statement)
            for part in k.walk(expr)
            if isinstance(part, k.Load) and part.index == k.Local("synapse", "int") and part.lag is None
        ]
        self.put("if (number + 1 < fired_count) {")
        self.put("    const int64_t next = snn_row(rows, fired[number + 1], part);")
        for place in ("post_of", *(self.layout.arrays[name] for name in dict.fromkeys(loads))):
            self.put(f"    snn_expect({place} + next);")
        self.put("}")

    def _synapses(self, c: p.Connectivity) -> None:
        self._open_rows(c)
        if c.kind == "sparse":
            self.put("for (int64_t pre = 0; pre < rows->pre_size; pre++) {")
        else:
            self.put("for (int64_t pre = grid->pre_first; pre < grid->pre_first + grid->rows; pre++) {")
        self.depth += 1
        self._row(c, every=True)
        self._close(1)

    def _open_rows(self, c: p.Connectivity) -> None:
        name = self.layout.connectivities[c.name]
        if c.kind == "sparse":
            self.put(f"const snn_rows *const rows = &m->{name};")
            self.put(f"const {self.layout.index_type(c)} *restrict const post_of = rows->post;")
            if self._uses("shared"):
                self.put("const int32_t *restrict const shared_of = rows->shared;")
            return
        self.put(f"const snn_grid *const grid = &m->{name};")
        size = self.layout.size(c.post_size, f"{c.name}_post")
        self.put(f"const int64_t first = snn_greater(snn_share({size}, part, m->threads) - grid->post_first, 0);")
        limit = "grid->rows" if c.kind == "one_to_one" else "grid->columns"
        self.put(f"const int64_t last = snn_smaller(snn_share({size}, end, m->threads) - grid->post_first, {limit});")

    def _row(self, c: p.Connectivity, every: bool = False) -> None:
        """The synapses of one pre neuron that end on own neurons."""
        match c.kind:
            case "sparse":
                self.put("const int64_t stop = snn_row(rows, pre, end);")
                if self._distinct(()):
                    self.put("#pragma omp simd")
                self.put("for (int64_t synapse = snn_row(rows, pre, part); synapse < stop; synapse++) {")
                self.depth += 1
                self._bind("post", "post_of[synapse]")
                self._bind("shared", "shared_of[synapse]")
                self._statements(self.kernel.body)
                self._close(1)
            case "one_to_one":
                self.put("const int64_t row = pre - grid->pre_first;")
                self.put("if (row >= first && row < last) {")
                self.depth += 1
                self._bind("synapse", "row")
                self._bind("post", "grid->post_first + row")
                self._statements(self.kernel.body)
                self._close(1)
            case "dense":
                self.put("const int64_t row = pre - grid->pre_first;")
                if not every:
                    self.put("if (row < 0 || row >= grid->rows) continue;")
                if c.autapses:
                    self._columns_of_row("first", "last")
                else:
                    self.put("const int64_t own = pre - grid->post_first; /* i -> i is left out */")
                    self.put("for (int side = 0; side < 2; side++) {")
                    self.depth += 1
                    self.put("const int64_t from = side ? snn_greater(first, own + 1) : first;")
                    self.put("const int64_t to = side ? last : snn_smaller(last, own);")
                    self._columns_of_row("from", "to", "if (own < 0 && !side) continue;")
                    self._close(1)

    def _columns_of_row(self, first: str, last: str, guard: str = "") -> None:
        if guard:
            self.put(guard)
        if self._distinct(("post",)):
            self.put("#pragma omp simd")
        self.put(f"for (int64_t column = {first}; column < {last}; column++) {{")
        self.depth += 1
        self._bind("synapse", "row*grid->columns + column")
        self._bind("post", "grid->post_first + column")
        self._statements(self.kernel.body)
        self._close(1)

    def _open_columns(self, c: p.Connectivity) -> None:
        name = self.layout.connectivities[c.name]
        if c.kind != "sparse":
            self.put(f"const snn_grid *const grid = &m->{name};")
            return
        self.put(f"const snn_rows *const rows = &m->{name};")
        self.put("const int32_t *restrict const synapse_of = rows->column_synapse;")
        if self._uses("pre"):
            self.put("const int32_t *restrict const pre_of = rows->column_pre;")
        if self._uses("shared"):
            self.put("const int32_t *restrict const shared_of = rows->shared;")

    def _column(self, c: p.Connectivity) -> None:
        """The synapses of one post neuron."""
        match c.kind:
            case "sparse":
                self.put("const int64_t stop = rows->column_start[post + 1];")
                if self._distinct(()):
                    self.put("#pragma omp simd")
                self.put("for (int64_t place = rows->column_start[post]; place < stop; place++) {")
                self.depth += 1
                self._bind("synapse", "synapse_of[place]", "shared")
                self._bind("pre", "pre_of[place]")
                self._bind("shared", "shared_of[synapse]")
                self._statements(self.kernel.body)
                self._close(1)
            case "one_to_one":
                self.put("const int64_t row = post - grid->post_first;")
                self.put("if (row >= 0 && row < grid->rows) {")
                self.depth += 1
                self._bind("synapse", "row")
                self._bind("pre", "grid->pre_first + row")
                self._statements(self.kernel.body)
                self._close(1)
            case "dense":
                self.put("const int64_t column = post - grid->post_first;")
                self.put("if (column < 0 || column >= grid->columns) continue;")
                if self._distinct(("pre",)):
                    self.put("#pragma omp simd")
                self.put("for (int64_t row = 0; row < grid->rows; row++) {")
                self.depth += 1
                if not c.autapses:
                    self.put("if (grid->pre_first + row == post) continue; /* i -> i is left out */")
                self._bind("synapse", "row*grid->columns + column")
                self._bind("pre", "grid->pre_first + row")
                self._statements(self.kernel.body)
                self._close(1)

    def _arrivals(self, queue: str, c: p.Connectivity) -> None:
        name, rows = self.layout.queues[queue], self.layout.connectivities[c.name]
        self.put(f"const int64_t slot = snn_slot(step, 0, m->{name}.depth);")
        self.put("for (int of = part; of < end; of++) {")
        self.depth += 1
        self.put(f"const snn_table *const waiting = &m->{name}.slots[slot*m->threads + of];")
        self.put("for (int64_t number = 0; number < waiting->count; number++) {")
        self.depth += 1
        self.put("const int64_t synapse = waiting->items[number];")
        match c.kind:
            case "sparse":
                self._bind("pre", f"m->{rows}.pre[synapse]")
                self._bind("post", f"((const {self.layout.index_type(c)} *)m->{rows}.post)[synapse]")
                self._bind("shared", f"m->{rows}.shared[synapse]")
            case "dense":
                self._bind("pre", f"m->{rows}.pre_first + synapse/m->{rows}.columns")
                self._bind("post", f"m->{rows}.post_first + synapse%m->{rows}.columns")
            case "one_to_one":
                self._bind("pre", f"m->{rows}.pre_first + synapse")
                self._bind("post", f"m->{rows}.post_first + synapse")
        self._statements(self.kernel.body)
        self._close(2)

    def _bind(self, name: str, text: str, needed_by: str = "") -> None:
        if self._uses(name) or (needed_by and self._uses(needed_by)):
            self.put(f"const int64_t {name} = {text};")

    def _uses(self, name: str) -> bool:
        return name in _names(self.kernel.body, False)

    def _distinct(self, indices: tuple[str, ...]) -> bool:
        """Whether every item of the innermost loop writes places of its own: per synapse, or per neuron of the side that varies."""
        allowed = [k.Local(name, "int") for name in ("synapse", *indices)]
        for statement in k.walk_statements(self.kernel.body):
            if isinstance(statement, (k.Store, k.Accumulate)) and statement.index not in allowed:
                return False
            if (
                isinstance(statement, (k.Store, k.Accumulate))
                and statement.lag is not None
                and not isinstance(statement.lag, k.Const)
            ):
                return False
        return True


def _costs(expr: k.Expr) -> bool:
    """Whether computing an expression takes more than a few cycles: functions, powers, quotients."""
    return any(
        (isinstance(part, k.Call) and part.function not in ("int", "real"))
        or (isinstance(part, k.Binary) and part.operator in ("/", "^", "%"))
        for part in k.walk(expr)
    )


def _used(text: str) -> set[str]:
    """The words of a text but those of its comments."""
    return set(_WORD.findall(_COMMENT.sub("", text)))


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


def _names(body: tuple[k.Statement, ...], skip_condition: bool) -> set[str]:
    """The names that statements read; of one If without its condition when that is marked elsewhere."""
    found: set[str] = set()
    if skip_condition and len(body) == 1 and isinstance(body[0], k.If):
        body = body[0].body
    for statement in k.walk_statements(body):
        for expr in k.statement_expressions(statement):
            found |= {part.name for part in k.walk(expr) if isinstance(part, k.Local)}
    return found
