"""Rearranging checked expressions: folding constructors, substitution, dependence, and linear parts.

An equation keeps the shape in which its author wrote it for as long as possible, so this much is done on the checked tree
itself; what needs algebra goes through :mod:`snnlang.dynamics.symbols`. Refuses nothing: what is not linear is handed back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, replace
from typing import Any, get_args

from snnlang.model.expression import (
    Binary,
    Call,
    Constant,
    Detach,
    Expr,
    KernelFunction,
    Noise,
    Occurs,
    PopulationReduction,
    Select,
    Unary,
    Variable,
    children,
    transform,
    walk,
)
from snnlang.model.units import ONE, TIME

_NODES: tuple[Any, ...] = get_args(Expr)
ZERO = Constant(0.0)
UNIT = Constant(1.0)
DT = Variable("dt", TIME)
TIME_END = Variable("t", TIME)


def constant(value: float) -> Expr:
    """A pure number; a negative one stays one literal."""
    return Constant(float(value), ONE)


def is_number(expr: Expr, value: float) -> bool:
    return isinstance(expr, Constant) and expr.value == value


def negate(a: Expr) -> Expr:
    match a:
        case Constant():
            return Constant(-a.value if a.value else 0.0, a.unit)
        case Unary(operator="-"):
            return a.operand
        case Binary(operator="-"):
            return Binary("-", a.right, a.left)
        case _:
            return Unary("-", a)


def add(a: Expr, b: Expr) -> Expr:
    if is_number(a, 0.0):
        return b
    if is_number(b, 0.0):
        return a
    if isinstance(a, Constant) and isinstance(b, Constant):
        return Constant(a.value + b.value, a.unit)
    if isinstance(b, Unary):
        return subtract(a, b.operand)
    if isinstance(b, Constant) and b.value < 0:
        return Binary("-", a, Constant(-b.value, b.unit))
    return Binary("+", a, b)


def subtract(a: Expr, b: Expr) -> Expr:
    if is_number(b, 0.0):
        return a
    if is_number(a, 0.0):
        return negate(b)
    if isinstance(a, Constant) and isinstance(b, Constant):
        return Constant(a.value - b.value, a.unit)
    if isinstance(b, Unary):
        return add(a, b.operand)
    return Binary("-", a, b)


def multiply(a: Expr, b: Expr) -> Expr:
    if is_number(a, 0.0) or is_number(b, 0.0):
        return ZERO
    if is_number(a, 1.0):
        return b
    if is_number(b, 1.0):
        return a
    if isinstance(a, Constant) and isinstance(b, Constant):
        return Constant(a.value * b.value, a.unit * b.unit)
    if is_number(a, -1.0):
        return negate(b)
    if is_number(b, -1.0):
        return negate(a)
    if isinstance(a, Unary):
        return negate(multiply(a.operand, b))
    if isinstance(b, Unary):
        return negate(multiply(a, b.operand))
    return Binary("*", a, b)


def divide(a: Expr, b: Expr) -> Expr:
    if is_number(a, 0.0) and not is_number(b, 0.0):
        return ZERO
    if is_number(b, 1.0):
        return a
    if (
        isinstance(a, Constant)
        and isinstance(b, Constant)
        and b.value != 0.0
        and (a.value / b.value) * b.value == a.value
    ):
        return Constant(a.value / b.value, a.unit / b.unit)
    if isinstance(a, Unary):
        return negate(divide(a.operand, b))
    return Binary("/", a, b)


def call(function: str, *arguments: Expr) -> Expr:
    return Call(function, arguments)


def total(terms: Collection[Expr]) -> Expr:
    """The sum of terms in their order, positive ones first when the first one is negative."""
    ordered = list(terms)
    first = next((i for i, term in enumerate(ordered) if not isinstance(term, Unary)), 0)
    if ordered:
        ordered.insert(0, ordered.pop(first))
    result: Expr = ZERO
    for term in ordered:
        result = add(result, term)
    return result


def fold(expr: Expr) -> Expr:
    """Numbers computed, zero terms and unit factors dropped."""
    return transform(expr, _fold)


def _fold(expr: Expr) -> Expr:
    match expr:
        case Unary():
            return negate(expr.operand) if isinstance(expr.operand, (Constant, Unary)) else expr
        case Binary(operator="+"):
            return add(expr.left, expr.right)
        case Binary(operator="-"):
            return subtract(expr.left, expr.right)
        case Binary(operator="*"):
            return multiply(expr.left, expr.right)
        case Binary(operator="/"):
            return divide(expr.left, expr.right)
        case Binary(operator="^") if is_number(expr.right, 1.0):
            return expr.left
        case _:
            return expr


def own_name(expr: Expr) -> str | None:
    """The name of a variable of this model's own, as it stands now (not ``[n-k]`` history)."""
    return expr.name if isinstance(expr, Variable) and expr.scope == "self" and not expr.lag else None


def names_in(expr: Expr) -> list[str]:
    """Own names that an expression reads, in order of appearance, without repeats. Reductions over the population do not count."""
    found: dict[str, None] = {}
    _names(expr, found)
    return list(found)


def _names(expr: Expr, found: dict[str, None]) -> None:
    name = own_name(expr)
    if name is not None:
        found[name] = None
    if isinstance(expr, (PopulationReduction, KernelFunction)):
        return
    for operand in children(expr):
        _names(operand, found)


def reads(expr: Expr, names: Collection[str]) -> bool:
    """Whether an expression reads one of these own names now."""
    return any(name in names for name in names_in(expr))


def substitute(expr: Expr, values: Mapping[str, Expr]) -> Expr:
    """Own names (current values) replaced by expressions; nothing inside kernels or ``[n-k]`` changes."""
    if not values:
        return expr

    def change(node: Expr) -> Expr:
        name = own_name(node)
        return values[name] if name is not None and name in values else node

    return transform(expr, change)


def replace_nodes(expr: Expr, change: Callable[[Expr], Expr | None]) -> Expr:
    """Rebuild top down: where ``change`` gives an expression it stands, and what is inside it is not visited."""
    new = change(expr)
    if new is not None:
        return new
    if next(children(expr), None) is None:
        return expr
    updates: dict[str, object] = {}
    for item in fields(expr):
        value = getattr(expr, item.name)
        if isinstance(value, tuple) and any(isinstance(element, _NODES) for element in value):
            changed = tuple(replace_nodes(e, change) if isinstance(e, _NODES) else e for e in value)
            if any(a is not b for a, b in zip(changed, value)):
                updates[item.name] = changed
        elif isinstance(value, _NODES):
            child = replace_nodes(value, change)
            if child is not value:
                updates[item.name] = child
    return replace(expr, **updates) if updates else expr  # type: ignore[arg-type]


def has_noise(expr: Expr) -> bool:
    return any(isinstance(node, Noise) for node in walk(expr))


def events_in(expr: Expr) -> list[str]:
    """Own events that an expression reads in this step, in order."""
    found: dict[str, None] = {}
    for node in walk(expr):
        if isinstance(node, Occurs) and node.lag == 0 and node.scope == "self":
            found[node.event] = None
    return list(found)


class NotLinear(Exception):
    """``term`` is the first part of an expression that is not linear in the names asked for."""

    def __init__(self, term: Expr) -> None:
        super().__init__()
        self.term = term


def linear_parts(expr: Expr, names: Collection[str]) -> tuple[Expr, dict[str, Expr]]:
    """``expr = rest + sum of coefficient[name] * name``, with rest and coefficients free of the names.

    Raises NotLinear with the offending term.
    """
    if not reads(expr, names):
        return expr, {}
    name = own_name(expr)
    if name is not None:
        return ZERO, {name: UNIT}
    match expr:
        case Unary():
            rest, parts = linear_parts(expr.operand, names)
            return negate(rest), {key: negate(value) for key, value in parts.items()}
        case Binary(operator="+" | "-"):
            join = add if expr.operator == "+" else subtract
            rest, parts = linear_parts(expr.left, names)
            other_rest, other = linear_parts(expr.right, names)
            merged = dict(parts)
            for key, value in other.items():
                merged[key] = join(merged.get(key, ZERO), value)
            return join(rest, other_rest), merged
        case Binary(operator="*"):
            left_rest, left = linear_parts(expr.left, names)
            right_rest, right = linear_parts(expr.right, names)
            if left and right:
                raise NotLinear(expr)
            if right:
                return multiply(left_rest, right_rest), {
                    key: multiply(left_rest, value) for key, value in right.items()
                }
            return multiply(left_rest, right_rest), {key: multiply(value, right_rest) for key, value in left.items()}
        case Binary(operator="/"):
            if reads(expr.right, names):
                raise NotLinear(expr)
            rest, parts = linear_parts(expr.left, names)
            return divide(rest, expr.right), {key: divide(value, expr.right) for key, value in parts.items()}
        case Binary(operator="^") if is_number(expr.right, 1.0):
            return linear_parts(expr.left, names)
        case Select():
            if reads(expr.condition, names):
                raise NotLinear(expr)
            rest, parts = linear_parts(expr.value, names)
            other_rest, other = linear_parts(expr.otherwise, names)
            keys = list(dict.fromkeys([*parts, *other]))
            return (
                _select(expr.condition, rest, other_rest),
                {key: _select(expr.condition, parts.get(key, ZERO), other.get(key, ZERO)) for key in keys},
            )
        case Detach():
            return linear_parts(expr.operand, names)
        case _:
            raise NotLinear(expr)


def _select(condition: Expr, value: Expr, otherwise: Expr) -> Expr:
    return value if value == otherwise else Select(condition, value, otherwise)


def operations(expr: Expr) -> int:
    """How many arithmetic operations and calls an expression holds."""
    return sum(not isinstance(node, (Constant, Variable)) for node in walk(expr))


def fresh(name: str, taken: set[str]) -> str:
    """``name``, or ``name_2``, ``name_3`` …; what is returned is taken from now on."""
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    taken.add(candidate)
    return candidate
