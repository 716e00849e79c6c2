"""Statements of a kernel as lines of C: names for values, stores, branches, and events appended to lists or read from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from snnlang.codegen import kernel as k
from snnlang.codegen.c_layout import Layout
from snnlang.codegen.clike import Scope


@dataclass
class StatementPrinter:
    """Prints statements of one kernel, one line after the other. ``touched``: its arrays, True for those that it writes; ``same``: what
    was named before the loops (:mod:`snnlang.codegen.c_hoist`). ``lifts``: its real constants are run-time numbers; ``inserts``: lists
    that need sorted insertion; ``ranged``: the caller says which neurons, and where their events go
    (:mod:`snnlang.codegen.c_tiling`)."""

    layout: Layout
    kernel: k.Kernel
    touched: dict[str, bool]
    same: dict[k.Expr, str]
    lifts: bool
    inserts: frozenset[str]
    ranged: bool
    lines: list[str] = field(default_factory=list)
    depth: int = 1
    #: The slot of a ring of arrays some steps ago -> its name
    slots: dict[tuple[str, str], str] = field(default_factory=dict)
    _opened: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.plan = self.layout.plan
        self.scope = Scope(
            self.plan.precision,
            self.place,
            lambda stream: self.layout.streams[stream],
            lambda value: self.layout.constant(self.kernel.name, value),
            lambda number: self.layout.lifted(self.kernel.name, number) if number.given or self.lifts else None,
            strict=self.layout.strict,
        )
        self.scope.name_locals(self.kernel, self.layout.names)

    # --- lines --------------------------------------------------------------------------------------------------------

    def put(self, line: str) -> None:
        self.lines.append("    " * self.depth + line if line else "")

    def comment(self, source: str) -> None:
        if source:
            self.put(f"/* {source.replace('*/', '* /')} */")

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Lines in braces after ``head``."""
        self.put(f"{head} {{")
        self.depth += 1
        yield
        self.depth -= 1
        self.put("}")

    # --- elements -----------------------------------------------------------------------------------------------------

    def place(self, array: str, index: k.Expr | None, lag: k.Expr | None) -> str:
        """The text of one element of an array."""
        described, name = self.plan.arrays[array], self.layout.arrays[array]
        where = "0" if index is None else self.scope.text(index)
        if described.depth > 1:
            if lag is None or isinstance(lag, k.Const):
                back = 0 if lag is None else int(lag.value)
                text = str(back) if abs(back) <= 1 else self.layout.member(f"{self.kernel.name}_lag", back)
                word = "now" if back == 0 else f"{'back' if back > 0 else 'ahead'}_{len(self.slots)}"
                slot = self.slots.setdefault((array, text), f"{name}__{word}")
                return f"{slot}[{where}]"
            ring = f"snn_slot(step, {self.scope.text(lag)}, {self.ring(array)})"
            return f"m->{name}[{ring}*{self.layout.length(described)} + {where}]"
        if index is None and not self.touched[array]:
            return name
        return f"{name}[{where}]"

    def ring(self, array: str) -> str:
        """The number of slots of a ring of arrays."""
        return self.layout.member(f"{array}_depth", self.plan.arrays[array].depth)

    # --- statements ---------------------------------------------------------------------------------------------------

    def statements(self, body: tuple[k.Statement, ...]) -> None:
        for statement in body:
            self.statement(statement)

    def statement(self, statement: k.Statement) -> None:
        match statement:
            case k.Let(name=name, value=value, source=source):
                self.comment(source)
                self.put(f"const {self.scope.local_type(statement)} {self.name(name)} = {self.scope.text(value)};")
            case k.Store(array=array, index=index, value=value, source=source, lag=lag):
                self.comment(source)
                self.put(f"{self.place(array, index, lag)} = {self._converted(array, value)};")
            case k.Accumulate(array=array, index=index, value=value, source=source, lag=lag):
                self.comment(source)
                self.put(f"{self.place(array, index, lag)} += {self._converted(array, value)};")
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
        self.statements(body)
        self.depth -= 1

    def name(self, name: str) -> str:
        """What a name of the kernel is called in C."""
        return self.scope.names.get(name, name)

    def _converted(self, array: str, value: k.Expr) -> str:
        type_ = self.plan.arrays[array].type
        text = self.scope.text(value)
        if type_ == "int" and self.scope.is_wide(value):
            return f"(int32_t)({text})"
        return text

    # --- event lists --------------------------------------------------------------------------------------------------

    def _append(self, list_name: str) -> None:
        name = self.layout.lists[list_name]
        slot = f"snn_slot(step, 0, m->{name}.depth)"
        if list_name in self.inserts:
            self.put(f"snn_insert(&m->{name}, {slot}, part, i);")
        else:
            self.put(f"{name}__items[{name}__count++] = (int32_t)i;")

    def open_lists(self) -> None:
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

    def close_lists(self) -> None:
        """How far they came."""
        for name in self._opened:
            self.put(f"*{name}__total = {name}__count;")

    @contextmanager
    def events(
        self, list_name: str, lag: int, item: str, parts: Literal["own", "all"], rows: bool = False
    ) -> Iterator[None]:
        """The loop over a list of events as it stood ``lag`` steps ago: over the part of the thread itself, or those of all threads.
        ``rows``: of neurons that have rows alone."""
        name = self.layout.lists[list_name]
        first, last = ("part", "end") if parts == "own" else ("0", "m->threads")
        self.put(f"const int64_t slot = snn_slot(step, {self.layout.lag(self.kernel.name, lag)}, m->{name}.depth);")
        with self.block(f"for (int of = {first}; of < {last}; of++)"):
            self.put(f"const int32_t *const fired = snn_part(&m->{name}, slot, of);")
            head = "for (int32_t number = 0; number < fired_count; number++)"
            if rows:  # items ascend
                self.put(f"int32_t fired_count = *snn_count(&m->{name}, slot, of), number = 0;")
                self.put("while (fired_count > 0 && fired[fired_count - 1] >= rows->pre_last) fired_count--;")
                self.put("while (number < fired_count && fired[number] < rows->pre_first) number++;")
                head = "for (; number < fired_count; number++)"
            else:
                self.put(f"const int32_t fired_count = *snn_count(&m->{name}, slot, of);")
            with self.block(head):
                self.put(f"const int64_t {item} = fired[number];")
                yield
