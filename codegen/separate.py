"""What a synapse delivers, taken apart: a sum of products of a weight, of what its pre neuron has and of what its post neuron has.

A connection can be trained as a linear map when each thing that it delivers has this form: what belongs to one side is computed once for
each neuron of that side, and the map between them holds weights alone. Anything else (a power of a weight, a product of two of them, a
state of the synapse itself) has no such form, and is refused by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from snnlang.codegen import kernel as k
from snnlang.codegen.simplify import fold, rebuild
from snnlang.frozen import dataclass

Side = Literal["none", "pre", "post", "weight", "synapse"]
ONE = k.Const(1.0)


@dataclass(frozen=True, slots=True)
class Term:
    """``scale`` times ``weight`` (or 1) times ``common`` (of neither side) times ``pre`` times ``post``."""

    weight: k.Expr | None = None
    common: k.Expr = ONE
    pre: k.Expr = ONE
    post: k.Expr = ONE


class NotSeparable(Exception):
    """An expression without that form; the argument says why."""


def separate(expr: k.Expr, is_weight: Callable[[k.Load], bool]) -> list[Term]:
    """The terms of an expression over a synapse. ``is_weight`` tells which arrays hold weights. Raises NotSeparable."""
    side = side_of(expr, is_weight)
    match side:
        case "none":
            return [Term(common=expr)]
        case "pre":
            return [Term(pre=expr)]
        case "post":
            return [Term(post=expr)]
        case _:
            pass
    match expr:
        case k.Load() if side == "weight":
            return [Term(weight=expr)]
        case k.Call(function="real" | "detach", arguments=(argument,)):
            return separate(argument, is_weight)
        case k.Unary(operator="-", operand=operand):
            return [replace(term, common=_times(k.Const(-1.0), term.common)) for term in separate(operand, is_weight)]
        case k.Binary(operator="+" | "-" as operator, left=left, right=right):
            second = right if operator == "+" else k.Unary("-", right)
            return [*separate(left, is_weight), *separate(second, is_weight)]
        case k.Binary(operator="*", left=left, right=right):
            return [_product(a, b) for a in separate(left, is_weight) for b in separate(right, is_weight)]
        case k.Binary(operator="/", left=left, right=right):
            below = separate(right, is_weight)
            if len(below) != 1 or below[0].weight is not None:
                raise NotSeparable("it divides by something of both sides, or by a weight")
            under = Term(None, *(_one_over(part) for part in (below[0].common, below[0].pre, below[0].post)))
            return [_product(a, under) for a in separate(left, is_weight)]
        case k.Choose(condition=condition, value=value, otherwise=otherwise) if side_of(condition, is_weight) in ("none", "pre", "post"):
            yes = k.Choose(condition, ONE, k.Const(0.0))
            no = k.Choose(condition, k.Const(0.0), ONE)
            made = separate(k.Binary("*", yes, value), is_weight) if value != k.Const(0.0) else []
            return [*made, *(separate(k.Binary("*", no, otherwise), is_weight) if otherwise != k.Const(0.0) else [])]
    if side == "synapse":
        raise NotSeparable("it reads something that differs from synapse to synapse")
    raise NotSeparable("it is no sum of products of a weight, of what the pre neuron has and of what the post neuron has")


def side_of(expr: k.Expr, is_weight: Callable[[k.Load], bool]) -> Side | Literal["both"]:
    """What an expression depends on."""
    found: set[Side] = set()
    for node in _outside_indices(expr):
        match node:
            case k.Load() if is_weight(node):
                found.add("weight")
            case k.Load(index=index):
                names = set() if index is None else {e.name for e in k.walk(index) if isinstance(e, k.Local)}
                found |= {_SIDES[name] for name in names if name in _SIDES}
            case k.Local(name=name) if name in _SIDES:
                found.add(_SIDES[name])
            case k.Draw():
                found.add("synapse")
            case _:
                pass
    if "synapse" in found:
        return "synapse"
    return found.pop() if len(found) == 1 else "both" if found else "none"


_SIDES: dict[str, Side] = {"pre": "pre", "post": "post", "synapse": "synapse", "shared": "synapse"}


def _outside_indices(expr: k.Expr) -> list[k.Expr]:
    """The nodes of an expression, without those that say where an array is read."""
    if isinstance(expr, k.Load):
        return [expr]
    return [expr, *(node for operand in k.operands(expr) for node in _outside_indices(operand))]


def _product(a: Term, b: Term) -> Term:
    if a.weight is not None and b.weight is not None:
        raise NotSeparable("it multiplies two weights")
    return Term(
        b.weight if a.weight is None else a.weight, _times(a.common, b.common), _times(a.pre, b.pre), _times(a.post, b.post)
    )


def _times(a: k.Expr, b: k.Expr) -> k.Expr:
    return b if a == ONE else a if b == ONE else fold(k.Binary("*", a, b))


def _one_over(expr: k.Expr) -> k.Expr:
    return ONE if expr == ONE else k.Binary("/", ONE, expr)


_Stored = dict[tuple[str, k.Expr | None], k.Expr]


def inlined(body: tuple[k.Statement, ...]) -> list[tuple[k.Store | k.Accumulate, tuple[k.Expr, ...]]]:
    """The stores of a kernel with its names put in, each with the conditions under which it happens.

    A value that is stored and read again at the same place is what was stored.
    """
    made: list[tuple[k.Store | k.Accumulate, tuple[k.Expr, ...]]] = []

    def put(expr: k.Expr, names: dict[str, k.Expr], stored: _Stored) -> k.Expr:
        match expr:
            case k.Local(name=name):
                return names.get(name, expr)
            case k.Load(array=array, index=index, lag=None) if (array, index) in stored:
                return stored[array, index]
        return rebuild(expr, lambda operand: put(operand, names, stored))

    def go(statements: tuple[k.Statement, ...], names: dict[str, k.Expr], when: tuple[k.Expr, ...], stored: _Stored) -> None:
        for statement in statements:
            match statement:
                case k.Let(name=name, value=value):
                    names[name] = put(value, names, stored)
                case k.Store(array=array, index=index, value=value):
                    put_in = put(value, names, stored)
                    made.append((replace(statement, value=put_in), when))
                    stored[array, index] = put_in
                case k.Accumulate(value=value):
                    made.append((replace(statement, value=put(value, names, stored)), when))
                case k.If(condition=condition, body=body, otherwise=otherwise):
                    if any(isinstance(inner, k.Store) for inner in k.walk_statements((statement,))):
                        raise NotSeparable("it stores under a condition")
                    given = put(condition, names, stored)
                    go(body, dict(names), (*when, given), stored)
                    go(otherwise, dict(names), (*when, k.Unary("not", given, "bool")), stored)
                case k.Append():
                    raise NotSeparable("it makes events")

    go(body, {}, (), {})
    return made


__all__ = ["ONE", "NotSeparable", "Term", "inlined", "separate", "side_of"]
