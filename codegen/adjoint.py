"""The reverse of a cell: how what comes after a step depends on what stood before it, derived from the step's own equations.

``reverse`` walks the named values of a :class:`~snnlang.codegen.cell.Cell` backwards and gives, as expressions of the forward names, the
adjoint (the derivative of the loss) of every carried value, input and parameter, from the adjoints of the carried values after the step
and of the outputs that somebody reads. Nothing is recorded while running: the result is again the body of a step.

A test of an event has no derivative; a surrogate stands in for it (Neftci, Mostafa & Zenke 2019): the test counts as a number 0 or 1
whose derivative by left minus right is ``F(left - right)``, or what the model says with ``with gradient``. ``and``, ``or`` and ``not`` of
tests are the polynomials that agree with them on 0 and 1. Comparisons that are no events choose, and have no derivative. ``detach(x)``
has none either.
"""

from __future__ import annotations

from collections.abc import Callable

from snnlang.codegen import kernel as k
from snnlang.codegen.cell import Carried, Cell, Parameter, refusal
from snnlang.codegen.derivative import (
    ONE,
    ZERO,
    choose,
    may_blow_up,
    minus,
    negative,
    of_call,
    of_power,
    over,
    plus,
    times,
)
from snnlang.codegen.simplify import rebuild
from snnlang.frozen import dataclass

#: The adjoint of a name: the name and this.
BAR = "__bar"
Surrogate = Callable[[k.Expr], k.Expr]


@dataclass(frozen=True, slots=True)
class Reverse:
    """One step backwards. ``body`` computes names from forward names, from ``NAME__bar`` of carried values (what comes from the step after)
    and of ``outputs``; the dicts hold the adjoints that it yields: of carried values before the step, of inputs, and what is added to
    the adjoint of each parameter."""

    outputs: tuple[str, ...]
    body: tuple[k.Let, ...]
    carried: dict[str, k.Expr]
    inputs: dict[str, k.Expr]
    parameters: dict[str, k.Expr]


def bar(name: str) -> k.Local:
    return k.Local(name + BAR, "real")


def reverse(
    cell: Cell, outputs: tuple[str, ...], surrogate: Surrogate, trained: frozenset[str], resets: bool = True
) -> Reverse:
    """The reverse of a cell. ``outputs`` are those whose adjoint is given; ``trained`` the parameters whose adjoint is wanted. Without
    ``resets`` an event is felt by what receives it, and not by the neuron's own states (the reset is detached).

    Raises E750 where a gradient is asked of something that has none.
    """
    silent: frozenset[str] = frozenset()
    while True:
        made = _Reversal(cell, outputs, surrogate, trained, resets, silent).run()
        found = frozenset(name for name, value in made.carried.items() if value == ZERO)
        if not found:
            return made
        silent |= found  # nothing flows back through them, so nothing comes from the step after


def soft_names(cell: Cell) -> frozenset[str]:
    """The truths of a cell that have an adjoint: tests of events, and what is made of them, from step to step."""
    soft = set(cell.tests)
    while True:
        size = len(soft)
        for let in cell.body:
            if let.type == "bool" and _leans_on(let.value, soft):
                soft.add(let.name)
        for carried in cell.carried:
            if carried.type == "bool" and _leans_on(carried.after, soft):
                soft.add(carried.name)
        if len(soft) == size:
            return frozenset(soft)


def _made_of(cell: Cell) -> frozenset[str]:
    """The names of the body that the carried values after the step are made of."""
    values = {let.name: let.value for let in cell.body}
    waiting = [part.name for c in cell.carried for part in k.walk(c.after) if isinstance(part, k.Local)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in values and name not in found:
            found.add(name)
            waiting += [part.name for part in k.walk(values[name]) if isinstance(part, k.Local)]
    return frozenset(found)


def _leans_on(expr: k.Expr, soft: set[str]) -> bool:
    match expr:
        case k.Local(name=name):
            return name in soft
        case k.Logic(left=left, right=right):
            return _leans_on(left, soft) or _leans_on(right, soft)
        case k.Unary(operand=operand):
            return _leans_on(operand, soft)
        case k.Choose(value=value, otherwise=otherwise):
            return _leans_on(value, soft) or _leans_on(otherwise, soft)
    return False


class _Reversal:
    def __init__(
        self, cell: Cell, outputs: tuple[str, ...], surrogate: Surrogate, trained: frozenset[str], resets: bool, silent: frozenset[str]
    ) -> None:
        self.cell = cell
        self.resets = resets
        self.silent = silent
        self.wanted = outputs
        self.surrogate = surrogate
        self.soft = soft_names(cell)
        self.trained = trained
        self.sums: dict[str, list[tuple[k.Expr, k.Expr | None]]] = {}
        self.body: list[k.Let] = []
        self.kept_in = _made_of(cell) if not resets else frozenset()
        self.inside = False  # the value that is being taken apart is felt by the neuron's own states
        parameters = {parameter.array for parameter in cell.parameters}
        self.idle = {"i", "step", "t", "dt", *(parameters - trained)}

    def run(self) -> Reverse:
        for carried in self.cell.carried:
            if self.differentiable(carried):
                self.push(carried.after, bar(carried.name), None)
        for name in self.wanted:
            value = self.cell.outputs.get(name, ZERO)
            if value.type == "bool" and not isinstance(value, k.Const) and not _leans_on(value, set(self.soft)):
                raise refusal(
                    self.cell.name, f"an event `{name}` that chance or a clock makes, which has no derivative"
                )
            self.push(value, bar(name), None)
        for let in reversed(self.cell.body):
            total, guard = self.total(let.name)
            if total == ZERO:
                continue
            adjoint = self.named(let.name, total)
            self.inside = let.name in self.kept_in
            if let.name in self.cell.tests:
                self.test(let, adjoint, guard)
            else:
                self.push(let.value, adjoint, guard)
        return Reverse(
            self.wanted,
            tuple(self.body),
            {c.name: self.total(c.name)[0] for c in self.cell.carried if self.differentiable(c)},
            {name: self.total(name)[0] for name in self.cell.inputs},
            {name: self.total(name)[0] for name in sorted(self.trained)},
        )

    @property
    def blocked(self) -> bool:
        """Whether an event is not felt here: resets are detached, and this is about the neuron's own states."""
        return not self.resets and self.inside

    def differentiable(self, carried: Carried) -> bool:
        if carried.name in self.silent:
            return False
        return carried.type == "real" or (self.resets and carried.name in self.soft)

    def total(self, name: str) -> tuple[k.Expr, k.Expr | None]:
        """The sum of what was pushed to a name, and the condition outside of which it is 0, where all parts have the same one."""
        parts = self.sums.get(name, [])
        total: k.Expr = ZERO
        for part, _ in parts:
            total = plus(total, part)
        guards = {guard for _, guard in parts}
        return total, next(iter(guards)) if len(guards) == 1 else None

    def named(self, name: str, value: k.Expr) -> k.Expr:
        if isinstance(value, k.Const | k.Local):
            return value
        self.body.append(k.Let(name + BAR, value, "", "real"))
        return bar(name)

    def push(self, expr: k.Expr, adjoint: k.Expr, guard: k.Expr | None) -> None:
        """Add ``adjoint`` times the derivative of ``expr`` by each name in it to that name's sum."""
        if adjoint == ZERO:
            return
        match expr:
            case k.Const():
                return
            case k.Local(name=name, type=type):
                if name in self.idle or type == "int" or (type == "bool" and name not in self.soft):
                    return
                self.sums.setdefault(name, []).append((adjoint, guard))
            case k.Unary(operator="-", operand=operand):
                self.push(operand, negative(adjoint), guard)
            case k.Unary(operand=operand):  # not: 1 - x
                self.push(operand, negative(adjoint), guard)
            case k.Binary(type="real"):
                self.binary(expr, adjoint, guard)
            case k.Logic(operator="and", left=left, right=right):  # x*y
                self.push(left, choose(right, adjoint, ZERO), guard)
                self.push(right, choose(left, adjoint, ZERO), guard)
            case k.Logic(left=left, right=right):  # x + y - x*y
                self.push(left, choose(right, ZERO, adjoint), guard)
                self.push(right, choose(left, ZERO, adjoint), guard)
            case k.Choose(condition=condition, value=value, otherwise=otherwise):
                no = k.Unary("not", condition, "bool")
                self.push(value, choose(condition, adjoint, ZERO), condition)
                self.push(otherwise, choose(condition, ZERO, adjoint), no)
                if not self.blocked and _leans_on(condition, set(self.soft)):
                    self.push(condition, times(adjoint, minus(_number(value), _number(otherwise))), guard)
            case k.Call(function="real", arguments=(argument,)) if self.blocked and argument.type == "bool":
                return
            case k.Call(function=function, arguments=arguments):
                if all(self.still(argument) for argument in arguments):
                    return
                slopes = of_call(function, arguments)
                if slopes is None:
                    raise refusal(self.cell.name, f"`{function}`, which has no derivative")
                for argument, slope in zip(arguments, slopes):
                    self.push(argument, self.scaled(adjoint, slope, guard), guard)
            case _:
                return  # whole numbers, comparisons that choose, draws

    def still(self, expr: k.Expr) -> bool:
        """Whether nothing in an expression has an adjoint."""
        return not any(
            isinstance(part, k.Local) and part.name not in self.idle and (part.type == "real" or part.name in self.soft)
            for part in k.walk(expr)
        )

    def binary(self, expr: k.Binary, adjoint: k.Expr, guard: k.Expr | None) -> None:
        left, right = expr.left, expr.right
        match expr.operator:
            case "+":
                self.push(left, adjoint, guard)
                self.push(right, adjoint, guard)
            case "-":
                self.push(left, adjoint, guard)
                self.push(right, negative(adjoint), guard)
            case "*":
                if not self.still(left):
                    self.push(left, self.scaled(adjoint, right, guard), guard)
                if not self.still(right):
                    self.push(right, self.scaled(adjoint, left, guard), guard)
            case "/":
                if not self.still(left):
                    self.push(left, self.scaled(adjoint, over(ONE, right), guard), guard)
                if not self.still(right):
                    self.push(right, self.scaled(adjoint, negative(over(expr, right)), guard), guard)
            case "^":
                by_base, by_exponent = of_power(left, right)
                if not self.still(left):
                    self.push(left, self.scaled(adjoint, by_base, guard), guard)
                if not self.still(right):
                    self.push(right, self.scaled(adjoint, by_exponent, guard), guard)
            case "%":
                slopes = of_call("mod", (left, right))
                assert slopes is not None
                self.push(left, adjoint, guard)
                if not self.still(right):
                    self.push(right, self.scaled(adjoint, slopes[1], guard), guard)

    @staticmethod
    def scaled(adjoint: k.Expr, slope: k.Expr, guard: k.Expr | None) -> k.Expr:
        """Adjoint times slope; 0 where the branch was not taken, even if the slope is infinite there."""
        match slope:
            case k.Binary(operator="/", left=first, right=second) if first == ONE:
                product = over(adjoint, second)
            case _:
                product = times(adjoint, slope)
        if guard is not None and may_blow_up(slope):
            return choose(guard, product, ZERO)
        return product

    # --- tests of events ----------------------------------------------------------------------------------------------

    def test(self, let: k.Let, adjoint: k.Expr, guard: k.Expr | None) -> None:
        written = self.cell.tests[let.name]
        self.soften(let.value, adjoint, written, guard)

    def soften(self, expr: k.Expr, adjoint: k.Expr, written: k.Expr | None, guard: k.Expr | None) -> None:
        """Push through a condition as if it were a number, with the surrogate for every comparison of reals."""
        match expr:
            case k.Compare(operator=operator, left=left, right=right) if not (self.still(left) and self.still(right)):
                if operator in ("==", "!="):
                    return
                sign = 1.0 if operator in (">", ">=") else -1.0
                margin = minus(left, right) if sign > 0 else minus(right, left)
                slope = times(adjoint, self.surrogate(margin) if written is None else written)
                self.push(left, slope if sign > 0 else negative(slope), guard)
                self.push(right, negative(slope) if sign > 0 else slope, guard)
            case k.Logic(operator="and", left=left, right=right):
                self.soften(left, choose(right, adjoint, ZERO), written, guard)
                self.soften(right, choose(left, adjoint, ZERO), written, guard)
            case k.Logic(left=left, right=right):
                self.soften(left, choose(right, ZERO, adjoint), written, guard)
                self.soften(right, choose(left, ZERO, adjoint), written, guard)
            case k.Unary(operator="not", operand=operand):
                self.soften(operand, negative(adjoint), written, guard)
            case k.Local():
                self.push(expr, adjoint, guard)
            case k.Compare() | k.Const():
                return
            case _:
                self.push(expr, adjoint, guard)


def _number(expr: k.Expr) -> k.Expr:
    return expr if expr.type == "real" else k.Call("real", (expr,), "real")


def without_detach(expr: k.Expr) -> k.Expr:
    """An expression whose ``detach(x)`` are x: after differentiation they mean nothing."""
    if isinstance(expr, k.Call) and expr.function == "detach":
        return without_detach(expr.arguments[0])
    return rebuild(expr, without_detach)


__all__ = ["BAR", "Parameter", "Reverse", "Surrogate", "bar", "reverse", "soft_names", "without_detach"]
