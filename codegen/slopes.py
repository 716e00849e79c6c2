"""Plain numbers for small parts of the kernel language: coefficients from parameters, and the derivatives of the one by the other.

Coefficients such as exp(-dt/tau) are computed before the steps. To train tau, what the steps say about the coefficient is carried on to it;
that is little work, done here with NumPy from the same kernels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.adjoint import BAR, reverse, without_detach
from snnlang.codegen.cell import Cell, cell_of, refusal
from snnlang.codegen.functions import FUNCTIONS
from snnlang.codegen.whole_array import erf, exprel, gamma_quantile, poisson_quantile, sigmoid
from snnlang.frozen import dataclass

Values = NDArray[Any]
_NAMES = {
    "np": np, "erf": erf, "exprel": exprel, "gamma_quantile": gamma_quantile, "poisson_quantile": poisson_quantile, "sigmoid": sigmoid
}  # fmt: skip


def evaluate(expr: k.Expr, names: Mapping[str, Any]) -> Any:
    """The value of an expression; ``names`` hold numbers or arrays that broadcast."""

    def down(inner: k.Expr) -> Any:
        return evaluate(inner, names)

    match expr:
        case k.Const(value=value):
            return value
        case k.Local(name=name):
            return names[name]
        case k.Unary(operator="not", operand=operand):
            return np.logical_not(down(operand))
        case k.Unary(operand=operand):
            return -down(operand)
        case k.Binary(operator=operator, left=left, right=right):
            a, b = down(left), down(right)
            match operator:
                case "+":
                    return a + b
                case "-":
                    return a - b
                case "*":
                    return a * b
                case "/":
                    return a / b
                case "^":
                    return np.power(np.asarray(a, np.float64), b)
            return np.mod(a, b)
        case k.Compare(operator=operator, left=left, right=right):
            a, b = down(left), down(right)
            tests = {
                "<": np.less,
                "<=": np.less_equal,
                ">": np.greater,
                ">=": np.greater_equal,
                "==": np.equal,
                "!=": np.not_equal,
            }
            return tests[operator](a, b)
        case k.Logic(operator=operator, left=left, right=right):
            return (np.logical_and if operator == "and" else np.logical_or)(down(left), down(right))
        case k.Choose(condition=condition, value=value, otherwise=otherwise):
            return np.where(down(condition), down(value), down(otherwise))
        case k.Call(function="real", arguments=(argument,)):
            return np.asarray(down(argument), np.float64)
        case k.Call(function="int", arguments=(argument,)):
            return np.trunc(down(argument))
        case k.Call(function=function, arguments=arguments):
            given = {f"a{number}": down(argument) for number, argument in enumerate(arguments)}
            return eval(FUNCTIONS[function].numpy.format(*given), {**_NAMES, **given})  # our own table
    raise AssertionError(f"{expr} has no value of its own")


def _loads(statement: k.Statement) -> set[str]:
    return {e.array for top in k.statement_expressions(statement) for e in k.walk(top) if isinstance(e, k.Load)}


def _reached(body: tuple[k.Statement, ...], given: set[str]) -> tuple[k.Statement, ...]:
    """The statements without those stores that do not depend on these arrays, one after the other."""
    reached, kept = set(given), []
    named = False  # a name may hold what is reached
    for statement in body:
        if isinstance(statement, k.Store) and not named and not _loads(statement) & reached:
            continue
        kept.append(statement)
        if isinstance(statement, k.Store):
            reached.add(statement.array)
        else:
            named = True
    return tuple(kept)


@dataclass(frozen=True, slots=True)
class _Ways:
    """What a small cell computes forwards and backwards, and the adjoints of its parameters: names with their values, in order."""

    forward: tuple[tuple[str, k.Expr], ...]
    back: tuple[tuple[str, k.Expr], ...]
    parameters: tuple[tuple[str, k.Expr], ...]


class Coefficients:
    """The coefficients and initial states of a plan that depend on trained parameters, and the way back from their gradients."""

    def __init__(self, plan: p.Plan, trained: frozenset[str]) -> None:
        self.plan = plan
        self.cells: list[tuple[Cell, frozenset[str], tuple[str, ...]]] = []
        reached, whole = set(trained), set[str]()
        for number, node in enumerate((*plan.coefficients, *plan.trial_start)):
            if not isinstance(node, p.Launch) or not isinstance(node.kernel.domain, k.Single | k.Each):
                continue
            body = _reached(node.kernel.body, reached)
            written = [s.array for s in k.walk_statements(body) if isinstance(s, k.Store)]
            loads = {load for s in k.walk_statements(body) for load in _loads(s)}
            if not loads & reached:
                continue
            whole |= {array for array in written if plan.arrays[array].type != "real"}
            stored = tuple(dict.fromkeys(array for array in written if array not in trained | whole))  # a history once
            if not stored:
                continue
            if any(isinstance(e, k.Draw) for s in body for top in k.statement_expressions(s) for e in k.walk(top)):
                raise refusal(plan.name, f"`{node.kernel.title}`, which draws from what is trained", node.kernel.span)
            kernel = replace(node.kernel, body=body)
            cell = cell_of(f"coefficients_{number}", [replace(node, kernel=kernel)], plan, frozenset())
            self.cells.append((cell, frozenset(loads & reached), stored))
            reached |= set(stored)
        self.reached = frozenset(reached)
        #: whole numbers and truths that depend on them, which have no slope
        self.whole = frozenset(whole)
        self._derived: dict[tuple[str, tuple[str, ...]], _Ways] = {}

    def reached_from(self, array: str) -> frozenset[str]:
        """What depends on one trained parameter by way of real numbers, itself included."""
        found = {array}
        for _, loads, stored in self.cells:
            if loads & found:
                found |= set(stored)
        return frozenset(found)

    def back(self, values: Mapping[str, Values], gradients: dict[str, Values]) -> None:
        """Add what the gradients of coefficients say about the parameters they are made of."""
        with np.errstate(all="ignore"):  # as in the passes: what is not chosen may be infinite
            self._back(values, gradients)

    def _ways(self, cell: Cell, wanted: frozenset[str], outputs: tuple[str, ...]) -> _Ways:
        """A cell and its reverse, derived once."""
        key = cell.name, outputs
        if key not in self._derived:
            back = reverse(cell, outputs, lambda margin: margin, wanted)
            self._derived[key] = _Ways(
                tuple((let.name, without_detach(let.value)) for let in cell.body),
                tuple((let.name, without_detach(let.value)) for let in back.body),
                tuple((name, without_detach(value)) for name, value in back.parameters.items()),
            )
        return self._derived[key]

    def _back(self, values: Mapping[str, Values], gradients: dict[str, Values]) -> None:
        for cell, wanted, stored in reversed(self.cells):
            outputs = tuple(name for name in stored if name in gradients and name in cell.outputs)
            if not outputs:
                continue
            ways = self._ways(cell, wanted, outputs)
            names: dict[str, Any] = {"dt": self.plan.dt, "step": 0, "t": 0.0}
            names.update(dict.fromkeys(cell.inputs, 0.0))  # nothing has arrived before the first step
            names.update({q.array: np.asarray(values[q.array], np.float64) for q in cell.parameters})
            for name, value in ways.forward:
                names[name] = evaluate(value, names)
            names.update({name + BAR: np.asarray(gradients[name], np.float64) for name in outputs})
            for name, value in ways.back:
                names[name] = evaluate(value, names)
            for name, value in ways.parameters:
                made = np.asarray(evaluate(value, names), np.float64)
                if name not in gradients:
                    gradients[name] = np.zeros(np.shape(values[name]))
                total = gradients[name]
                total += made.sum() if total.size == 1 else np.broadcast_to(made, total.shape)
