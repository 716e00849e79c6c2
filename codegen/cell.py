"""Cells: what one population computes in one step, as a pure function of what it knew before and of what arrives.

The kernels of a population's turn store into arrays, branch and append to lists; a :class:`Cell` says the same without memory:
named values,
each computed once, and which of them the arrays hold afterwards. That form can be differentiated (:mod:`snnlang.codegen.adjoint`) and can
run many steps and many samples at once. A branch becomes a choice between two values, a ring of the past becomes one state for each step
of it. What cannot be said so (reductions over a population, stores at other elements) is refused with E750.
"""

from __future__ import annotations

from collections.abc import Iterable

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.simplify import fold, rebuild
from snnlang.codegen.written import Written, with_written
from snnlang.diagnostics import Span, error
from snnlang.frozen import dataclass, field

#: What a value held before this step is called in a cell: the array's name and this; of a ring, with the number of steps.
BEFORE = "__before"
I = k.Local("i", "int")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number or one per neuron that a step reads and does not change. ``index`` None: one number; ``i``: one per neuron; any other
    expression of ``i``: shared by groups of neurons (the channels of a convolution)."""

    array: str
    index: k.Expr | None
    type: k.Type = "real"


@dataclass(frozen=True, slots=True)
class Carried:
    """A value that goes from step to step: the array it stands in, how many steps it lags (1: the last step's), its type, and what it is
    after this step. ``name`` is what the body calls the value of before."""

    name: str
    array: str
    lag: int
    type: k.Type
    after: k.Expr


@dataclass(frozen=True, slots=True)
class Cell:
    """One step of ``size`` neurons.

    ``inputs`` are arrays that are summed afresh every step, called by their names; ``parameters`` likewise. ``body`` computes names from
    ``carried`` names, inputs, parameters, ``i``, ``step``, ``t`` and ``dt``. ``outputs`` are the values of arrays and lists (as truths) at
    the end of the step. ``tests`` names the values of the body that are tests of events, with what stands for their derivative ("" for
    none: training supplies one). ``connection``: what a connection keeps for its pre neurons, whose events are arrivals and no resets.
    ``written`` is the backward pass that the model gives itself.
    """

    name: str
    size: int
    inputs: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    carried: tuple[Carried, ...]
    body: tuple[k.Let, ...]
    outputs: dict[str, k.Expr]
    tests: dict[str, k.Expr | None] = field(default_factory=dict)
    connection: bool = False
    written: Written | None = None


def cell_of(name: str, nodes: Iterable[p.PlanNode], plan: p.Plan, inputs: frozenset[str]) -> Cell:
    """The cell of one population's turn: its launches, fills and cleared lists in order. ``inputs`` are the arrays in which arrivals
    of this step are summed. Raises E750 for what has no such form."""
    return _Execution(name, plan, inputs).run(tuple(nodes))


class _Execution:
    """Runs statements on names instead of numbers."""

    def __init__(self, name: str, plan: p.Plan, inputs: frozenset[str]) -> None:
        self.name = name
        self.plan = plan
        self.arriving = inputs
        self.size = 0
        self.values: dict[tuple[str, int], k.Expr] = {}  # (array, lag) -> value now
        self.lists: dict[str, k.Expr] = {}
        self.lets: list[k.Let] = []
        self.taken: dict[str, int] = {}
        self.before: dict[tuple[str, int], k.Local] = {}
        self.inputs: dict[str, None] = {}
        self.parameters: dict[str, Parameter] = {}
        self.stored = frozenset[str]()

    def run(self, nodes: tuple[p.PlanNode, ...]) -> Cell:
        self.stored = frozenset(
            statement.array
            for node in nodes
            if isinstance(node, p.Launch)
            for statement in k.walk_statements(node.kernel.body)
            if isinstance(statement, k.Store | k.Accumulate)
        )
        for node in nodes:
            match node:
                case p.Launch(kernel=kernel):
                    self._launch(kernel)
                case p.Fill() | p.ClearList():
                    pass
                case _:
                    raise refusal(self.name, f"a {type(node).__name__.lower()} in the middle of its step")
        carried = self._carried()
        outputs: dict[str, k.Expr] = {array: value for (array, lag), value in self.values.items() if lag == 0}
        outputs.update(self.lists)
        used = {e.name for let in self.lets for e in k.walk(let.value) if isinstance(e, k.Local)}
        used |= {e.name for value in outputs.values() for e in k.walk(value) if isinstance(e, k.Local)}
        used |= {e.name for c in carried for e in k.walk(c.after) if isinstance(e, k.Local)}
        made = Cell(
            self.name,
            self.size,
            tuple(self.inputs),
            tuple(parameter for parameter in self.parameters.values() if parameter.array in used),
            carried,
            tuple(self.lets),
            outputs,
            self._tests(),
        )
        written = next((w for w in self.plan.written if w.path == self.name), None) if self.arriving else None
        return made if written is None else with_written(made, written, self.plan)

    def _launch(self, kernel: k.Kernel) -> None:
        match kernel.domain:
            case k.Single():
                self.size = self.size or 1
            case k.Each(size=size):
                if self.size and self.size != size:
                    raise refusal(self.name, f"kernels of {self.size} and of {size} items in one step")
                self.size = size
            case _:
                raise refusal(self.name, f"`{kernel.title}`, which is no equation of its neurons")
        names: dict[str, k.Expr] = {}
        self._statements(kernel.body, names)

    def _statements(self, body: tuple[k.Statement, ...], names: dict[str, k.Expr]) -> None:
        for statement in body:
            match statement:
                case k.Let(name=name, value=value, source=source):
                    names[name] = self._named(name, self._expr(value, names), source)
                case k.Store(array=array, index=index, value=value, lag=lag, source=source):
                    self._own(array, index)
                    key = (array, _lag(lag))
                    self.values[key] = self._named(array, self._expr(value, names), source)
                case k.Accumulate(array=array, index=index, value=value, lag=lag, source=source):
                    self._own(array, index)
                    key = (array, _lag(lag))
                    total = k.Binary("+", self._load(array, I, _lag(lag)), self._expr(value, names))
                    self.values[key] = self._named(array, total, source)
                case k.Append(list=name):
                    self.lists[name] = k.Const(True, "bool")
                case k.If():
                    self._branch(statement, names)

    def _branch(self, statement: k.If, names: dict[str, k.Expr]) -> None:
        condition = self._named("when", self._expr(statement.condition, names), statement.source)
        values, lists = dict(self.values), dict(self.lists)
        self._statements(statement.body, dict(names))
        if_values, if_lists = self.values, self.lists
        self.values, self.lists = dict(values), dict(lists)
        self._statements(statement.otherwise, dict(names))
        no = k.Const(False, "bool")
        for key in {**if_values, **self.values}:
            array, lag = key
            chosen = if_values[key] if key in if_values else self._load(array, I, lag)
            other = self.values[key] if key in self.values else self._load(array, I, lag)
            if chosen != other:
                self.values[key] = self._named(array, fold(k.Choose(condition, chosen, other, chosen.type)), "")
        for name in {**if_lists, **self.lists}:
            first, second = if_lists.get(name, no), self.lists.get(name, no)
            if first == k.Const(True, "bool") and second == no:
                self.lists[name] = condition
            elif first != second:
                self.lists[name] = self._named(name, k.Choose(condition, first, second, "bool"), "")

    # --- expressions --------------------------------------------------------------------------------------------------

    def _expr(self, expr: k.Expr, names: dict[str, k.Expr]) -> k.Expr:
        match expr:
            case k.Local(name=name):
                return names.get(name, expr)
            case k.Load(array=array, index=index, lag=lag):
                return self._load(array, index, _lag(lag))
        return fold(rebuild(expr, lambda operand: self._expr(operand, names)))

    def _load(self, array: str, index: k.Expr | None, lag: int) -> k.Expr:
        described = self.plan.arrays[array]
        if (array, lag) in self.values:
            return self.values[array, lag]
        if array in self.arriving:
            self._own(array, index)
            self.inputs.setdefault(array)
            return k.Local(array, described.type)
        if array in self.stored or described.depth > 1:
            self._own(array, index)
            steps = lag if described.depth > 1 else 1
            if described.depth > 1 and steps == 0:
                raise refusal(self.name, f"{array}, whose value of this step is read before it is there")
            key = (array, steps)
            if key not in self.before:
                ring = f"{steps}" if steps > 1 else ""
                self.before[key] = k.Local(f"{array}{BEFORE}{ring}", described.type)
            return self.before[key]
        if described.role == "input":
            self._own(array, index)
            self.inputs.setdefault(array)
            return k.Local(array, described.type)
        known = self.parameters.setdefault(array, Parameter(array, index, described.type))
        if known.index != index:
            raise refusal(self.name, f"{array} at two places")
        return k.Local(array, described.type)

    def _own(self, array: str, index: k.Expr | None) -> None:
        if index != I and not (index is None and self.plan.arrays[array].shape == ()):
            raise refusal(self.name, f"{array} at another place than a neuron's own")

    def _named(self, name: str, value: k.Expr, source: str) -> k.Expr:
        """A name for a value; constants and names need none."""
        if isinstance(value, k.Const | k.Local):
            return value
        number = self.taken.get(name, 0) + 1
        self.taken[name] = number
        unique = f"{name}__now" if number == 1 else f"{name}__now{number}"
        self.lets.append(k.Let(unique, value, source, value.type))
        return k.Local(unique, value.type)

    # --- what goes on -------------------------------------------------------------------------------------------------

    def _carried(self) -> tuple[Carried, ...]:
        result: list[Carried] = []
        for array in dict.fromkeys(name for name, _ in self.before):
            described = self.plan.arrays[array]
            longest = max(steps for name, steps in self.before if name == array)
            now = self.values.get((array, 0))
            if now is None:
                now = self.before.get((array, 1), k.Local(f"{array}{BEFORE}", described.type))
            for steps in range(1, longest + 1):
                ring = f"{steps}" if steps > 1 else ""
                result.append(Carried(f"{array}{BEFORE}{ring}", array, steps, described.type, now))
                now = k.Local(f"{array}{BEFORE}{ring}", described.type)
        return tuple(result)

    def _tests(self) -> dict[str, k.Expr | None]:
        tests: dict[str, k.Expr | None] = {}
        for learned in self.plan.learned:
            flag = self.values.get((learned.flag, 0))
            if isinstance(flag, k.Local):
                tests[flag.name] = self.values.get((learned.gradient, 0)) if learned.gradient else None
        return tests


def _lag(lag: k.Expr | None) -> int:
    if lag is None:
        return 0
    if isinstance(lag, k.Const):
        return int(lag.value)
    raise AssertionError(f"a lag that is no number: {lag}")


def refusal(name: str, what: str, span: Span | None = None) -> Exception:
    """E750: what training cannot differentiate."""
    return error(
        "E750",
        f"{name} cannot be trained through: its step holds {what}",
        span,
        help="train a network of equations, events, handlers and connections of weights, or use `simulate` with a learning rule",
    )
