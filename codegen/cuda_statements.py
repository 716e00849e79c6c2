"""Statements of a kernel as lines of CUDA: names for values, stores, sums that many threads add to, and events appended to lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from snnlang.codegen import kernel as k
from snnlang.codegen.clike import Scope
from snnlang.codegen.cuda_layout import CudaLayout
from snnlang.codegen.cuda_stages import Stages, adds_atomically


@dataclass
class StatementPrinter:
    """Prints statements of the kernels of one function called ``name``, one line after the other. ``lifts``: real constants are members of
    the model; ``touched``: the arrays of its kernels, True for those that they write; ``sums``: what a thread adds up before it adds
    it."""

    layout: CudaLayout
    stages: Stages
    name: str
    lifts: bool
    lines: list[str] = field(default_factory=list)
    depth: int = 1
    touched: dict[str, bool] = field(default_factory=dict)
    sums: dict[tuple[str, str], str] = field(default_factory=dict)
    #: The slot of a ring of arrays some steps ago -> its name
    slots: dict[tuple[str, str], str] = field(default_factory=dict)
    _kernel: k.Kernel | None = None
    _scope: Scope | None = None

    # --- lines --------------------------------------------------------------------------------------------------------

    def put(self, line: str) -> None:
        self.lines.append("    " * self.depth + line if line else "")

    def comment(self, source: str) -> None:
        if source:
            self.put(f"/* {source.replace('*/', '* /')} */")

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Lines in braces after ``head``."""
        self.put(f"{head} {{" if head else "{")
        self.depth += 1
        yield
        self.depth -= 1
        self.put("}")

    # --- one kernel ---------------------------------------------------------------------------------------------------

    def enter(self, kernel: k.Kernel) -> None:
        """The names of a kernel: none hides a member or a word of the printer."""
        layout, plan = self.layout, self.layout.plan
        self._kernel = kernel
        self._scope = scope = Scope(
            plan.precision,
            self.place,
            lambda stream: f"model.{layout.streams[stream]}",
            lambda value: layout.constant(kernel.name, value),
            lambda number: layout.lifted(kernel.name, number) if number.given or self.lifts else None,
        )
        scope.name_locals(kernel, layout.names)

    @property
    def scope(self) -> Scope:
        assert self._scope is not None
        return self._scope

    def kernel_body(self, kernel: k.Kernel) -> None:
        """All statements of a kernel, where its loops are open."""
        self.enter(kernel)
        self.statements(kernel.body)

    # --- elements and slots -------------------------------------------------------------------------------------------

    def place(self, array: str, index: k.Expr | None, lag: k.Expr | None) -> str:
        """The text of one element of an array."""
        described, name = self.layout.plan.arrays[array], self.layout.arrays[array]
        where = "0" if index is None else self.scope.text(index)
        if described.depth > 1:
            if lag is None or isinstance(lag, k.Const):
                return f"{self.array_slot(array, 0 if lag is None else int(lag.value))}[{where}]"
            ring = f"snn_ring(step, {self.scope.text(lag)}, {self.ring(array)})"
            return f"model.{name}[{ring}*{self.layout.length(described)} + {where}]"
        if index is None and not self.touched[array]:
            return name
        return f"{name}[{where}]"

    def array_slot(self, array: str, back: int) -> str:
        """The name of one slot of a ring of arrays."""
        text = str(back) if abs(back) <= 1 else self.layout.member(f"{self.name}_lag", back)
        word = "now" if back == 0 else f"{'back' if back > 0 else 'ahead'}_{len(self.slots)}"
        return self.slots.setdefault((array, text), f"{self.layout.arrays[array]}__{word}")

    def ring(self, array: str) -> str:
        """The number of slots of a ring of arrays."""
        return self.layout.member(f"{array}_depth", self.layout.plan.arrays[array].depth)

    def list_slot(self, name: str, lag: int) -> str:
        """The slot of a list as it stood some steps ago."""
        back = str(lag) if lag <= 1 else self.layout.member(f"{self.name}_lag", lag)
        return f"snn_ring(step, {back}, model.{self.layout.lists[name]}.ring)"

    def token(self, name: str) -> str:
        """What marks the items of a list that are in it now."""
        return "step + 1" if name in self.stages.early else f"*model.{self.layout.lists[name]}.generation"

    # --- statements ---------------------------------------------------------------------------------------------------

    def statements(self, body: tuple[k.Statement, ...]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, statement: k.Statement) -> None:
        scope = self.scope
        match statement:
            case k.Let(name=name, value=value, source=source):
                self.comment(source)
                self.put(f"const {scope.local_type(statement)} {scope.names.get(name, name)} = {scope.text(value)};")
            case k.Store(array=array, index=index, value=value, source=source, lag=lag):
                self.comment(source)
                self.put(f"{self.place(array, index, lag)} = {self._converted(array, value)};")
            case k.Accumulate(source=source):
                self.comment(source)
                self._accumulate(statement)
            case k.If(condition=condition, body=inner, otherwise=otherwise, source=source):
                self.comment(source)
                with self.block(f"if ({scope.text(condition)})"):
                    self.statements(inner)
                if otherwise:
                    with self.block("else"):
                        self.statements(otherwise)
            case k.Append(list=name):
                list_, slot = f"model.{self.layout.lists[name]}", self.list_slot(name, 0)
                if name in self.stages.inserts:
                    self.put(f"snn_insert({list_}, {slot}, (int32_t)i, {self.token(name)});")
                else:
                    self.put(f"snn_append({list_}, {slot}, (int32_t)i);")

    def _accumulate(self, statement: k.Accumulate) -> None:
        assert self._kernel is not None
        array = statement.array
        place = self.place(array, statement.index, statement.lag)
        value = self._converted(array, statement.value)
        if (array, place) in self.sums:
            self.put(f"{self.sums[array, place]} += {value};")
        elif adds_atomically(self.layout.plan, self._kernel, statement):
            cast = {"real": "real", "int": "int32_t", "bool": "int"}[self.layout.plan.arrays[array].type]
            self.put(f"atomicAdd(&{place}, ({cast})({value}));")
        else:
            self.put(f"{place} += {value};")

    def _converted(self, array: str, value: k.Expr) -> str:
        text = self.scope.text(value)
        if self.layout.plan.arrays[array].type == "int" and self.scope.is_wide(value):
            return f"(int32_t)({text})"
        return text
