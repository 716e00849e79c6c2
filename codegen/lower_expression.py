"""From checked expressions to kernel expressions: the meaning of a name is asked of a :class:`Meaning`, the rest is one to one.

Nothing is simplified here. Draws become uniform or normal numbers of a stream with the distribution's formula around them.
"""

from __future__ import annotations

import math
from typing import Protocol

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import as_bool, as_real, real
from snnlang.diagnostics import error
from snnlang.model import expression as e


class Meaning(Protocol):
    """What names stand for at one place of a kernel."""

    def variable(self, node: e.Variable) -> k.Expr: ...

    def occurs(self, node: e.Occurs) -> k.Expr: ...

    def since(self, node: e.Since) -> k.Expr: ...

    def position(self, node: e.Position) -> k.Expr: ...

    def crosses(self, node: e.Crosses) -> k.Expr: ...

    def reduction(self, node: e.PopulationReduction | e.SynapseReduction) -> k.Expr: ...

    def at_time(self, node: e.AtTime) -> k.Expr: ...

    def draw(self, distribution: str, number: int) -> k.Expr: ...


def lower_expression(node: e.Expr, meaning: Meaning) -> k.Expr:
    """The kernel expression of a checked one; booleans stay booleans."""

    def down(child: e.Expr) -> k.Expr:
        return lower_expression(child, meaning)

    def number(child: e.Expr) -> k.Expr:
        return as_real(down(child))

    match node:
        case e.Constant(value=value):
            return real(value)
        case e.Variable():
            return meaning.variable(node)
        case e.Position():
            return meaning.position(node)
        case e.Occurs():
            return meaning.occurs(node)
        case e.Since():
            return meaning.since(node)
        case e.Random():
            return _draw(node, meaning)
        case e.Unary(operand=operand):
            return k.Unary("-", number(operand), "real")
        case e.Binary(operator=operator, left=left, right=right):
            return k.Binary(operator, number(left), number(right), "real")
        case e.Call(function=function, arguments=arguments):
            return k.Call(function, tuple(number(argument) for argument in arguments), "real")
        case e.Comparison(operator=operator, left=left, right=right):
            return k.Compare(operator, number(left), number(right))
        case e.Logical(operator="not", operands=(operand,)):
            return k.Unary("not", as_bool(down(operand)), "bool")
        case e.Logical(operator=operator, operands=operands):
            result = as_bool(down(operands[0]))
            for operand in operands[1:]:
                result = k.Logic("and" if operator == "and" else "or", result, as_bool(down(operand)))
            return result
        case e.Crosses():
            return meaning.crosses(node)
        case e.Select(condition=condition, value=value, otherwise=otherwise):
            chosen, other = down(value), down(otherwise)
            kind: k.Type = "bool" if chosen.type == other.type == "bool" else "real"
            if kind == "real":
                chosen, other = as_real(chosen), as_real(other)
            return k.Choose(as_bool(down(condition)), chosen, other, kind)
        case e.PopulationReduction() | e.SynapseReduction():
            return meaning.reduction(node)
        case e.AtTime():
            return meaning.at_time(node)
        case e.Detach(operand=operand):
            if getattr(getattr(meaning, "assembly", None), "learning", False):
                return k.Call("detach", (number(operand),), "real")
            return down(operand)
        case e.AtEnd(operand=operand):
            return down(operand)
        case e.Noise():
            raise error(
                "E720",
                "white noise has no value at one time, and this definition is read as one",
                node.span,
                "only equations can use it",
                help="record, send or read a state that the noise drives; a handler can draw `normal(0, 1)`",
            )
        case e.Adjoint() | e.Gradient():
            # the lines of a backward pass are lowered by codegen/lower_written.py
            raise AssertionError(f"{node} outside of an adjoint block")
        case e.Response() | e.KernelFunction():
            # the symbolic stage has made every response a state or a window of the past
            raise AssertionError(f"{node} was not realised")


def _draw(node: e.Random, meaning: Meaning) -> k.Expr:
    arguments = [as_real(lower_expression(argument, meaning)) for argument in node.arguments]

    def uniform() -> k.Expr:
        return meaning.draw("uniform", node.number)

    def minus_log() -> k.Expr:
        return k.Unary("-", k.Call("log1p", (k.Unary("-", uniform(), "real"),), "real"), "real")

    match node.distribution:
        case "uniform":
            low, high = arguments if arguments else (real(0.0), real(1.0))
            return k.Binary("+", low, k.Binary("*", k.Binary("-", high, low), uniform()))
        case "normal":
            mean, deviation = arguments if arguments else (real(0.0), real(1.0))
            draw = meaning.draw("normal", node.number)
            if mean == real(0.0) and deviation == real(1.0):
                return draw
            return k.Binary("+", mean, k.Binary("*", deviation, draw))
        case "exponential":
            return k.Binary("*", arguments[0], minus_log())
        case "lognormal":
            draw = meaning.draw("normal", node.number)
            return k.Call("exp", (k.Binary("+", arguments[0], k.Binary("*", arguments[1], draw)),), "real")
        case "bernoulli":
            return k.Call("real", (k.Compare("<", uniform(), arguments[0]),), "real")
        case "poisson":
            return k.Call("poisson_quantile", (uniform(), arguments[0]), "real")
        case "gamma":
            return k.Binary("*", arguments[1], k.Call("gamma_quantile", (uniform(), arguments[0]), "real"))
        case _:
            # the checker knows no other (DRAWS in model/typed.py)
            raise AssertionError(f"no formula for draws from {node.distribution}")


def constant_value(node: e.Expr) -> float | None:
    """The number of an expression without variables or draws, or None."""
    from snnlang.model.evaluate import evaluate

    value = evaluate(node)
    return None if value is None or (isinstance(value, float) and math.isnan(value)) else float(value)
