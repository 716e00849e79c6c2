"""Constant folding in plain Python: the value of a checked expression that depends on nothing but numbers.

It shares no code with the interpreter or a target. It refuses nothing: what is not constant, or has no finite meaning
(a division by zero, a logarithm of a negative number), is None.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping

from snnlang.model.expression import (
    AtEnd,
    Binary,
    Call,
    Comparison,
    Constant,
    Detach,
    Expr,
    Logical,
    Select,
    Unary,
    Variable,
    transform,
)

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "exp": math.exp,
    "log": math.log,
    "log10": math.log10,
    "log1p": math.log1p,
    "expm1": math.expm1,
    "exprel": lambda x: math.expm1(x) / x if x else 1.0,
    "sqrt": math.sqrt,
    "abs": abs,
    "sign": lambda x: float((x > 0) - (x < 0)),
    "floor": lambda x: float(math.floor(x)),
    "ceil": lambda x: float(math.ceil(x)),
    "round": lambda x: float(round(x)),
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x)),
    "relu": lambda x: max(x, 0.0),
    "softplus": lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
    "erf": math.erf,
    "heaviside": lambda x: float(x >= 0),
    "min": min,
    "max": max,
    "atan2": math.atan2,
    "mod": lambda x, y: x - y * math.floor(x / y),
    "clip": lambda x, low, high: min(max(x, low), high),
}


def evaluate(expr: Expr, values: Mapping[str, float] | None = None) -> float | None:
    """The number an expression stands for, in internal units; ``values`` gives own variables by name. None if not constant.

    Truth values come out as 1.0 and 0.0.
    """
    try:
        return _value(expr, values or {})
    except (_Open, ArithmeticError, ValueError):
        return None


class _Open(Exception):
    """Something in the expression is not known."""


def _value(expr: Expr, values: Mapping[str, float]) -> float:
    match expr:
        case Constant():
            return expr.value
        case Variable():
            if expr.scope == "self" and expr.name in values:
                return values[expr.name]
            raise _Open
        case Unary():
            return -_value(expr.operand, values)
        case Binary():
            return _binary(expr.operator, _value(expr.left, values), _value(expr.right, values))
        case Call():
            return float(_FUNCTIONS[expr.function](*(_value(argument, values) for argument in expr.arguments)))
        case Comparison():
            return float(_COMPARE[expr.operator](_value(expr.left, values), _value(expr.right, values)))
        case Logical():
            truths = [bool(_value(operand, values)) for operand in expr.operands]
            if expr.operator == "not":
                return float(not truths[0])
            return float(all(truths) if expr.operator == "and" else any(truths))
        case Select():
            return _value(expr.value if _value(expr.condition, values) else expr.otherwise, values)
        case Detach() | AtEnd():
            return _value(expr.operand, values)
        case _:
            raise _Open


def _binary(name: str, left: float, right: float) -> float:
    match name:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right
    result = left**right
    if isinstance(result, complex):
        raise _Open
    return float(result)


def fold(expr: Expr) -> Expr:
    """The expression with every constant part replaced by its number."""

    def change(node: Expr) -> Expr:
        match node:
            case Unary() | Binary() | Call():
                number = evaluate(node)
                return node if number is None else Constant(number, span=node.span)
            case _:
                return node

    return transform(expr, change)
