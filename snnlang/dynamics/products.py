"""Sums of products: the little algebra that propagators need, on checked expressions themselves.

Cancelling ``tau`` in ``v_rest/tau * tau*(1 - decay)`` and telling the constant part of a drive from its inputs needs no computer algebra
system, and a program whose kernels are plain need not pay half a second for one. What is not a sum of products (a function,
a condition, a sum in a denominator) is one atom. :mod:`snnlang.dynamics.symbols` does what goes further.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from fractions import Fraction
from typing import TypeAlias

from snnlang.dynamics.terms import add, constant, divide, multiply, negate, subtract
from snnlang.dynamics.text import to_text
from snnlang.model.evaluate import evaluate
from snnlang.model.expression import Binary, Call, Constant, Expr, Unary, Variable

#: Atoms and their whole powers, in the order of their text.
Monomial: TypeAlias = tuple[tuple[Expr, int], ...]
#: The coefficient of every monomial; whole numbers and their quotients stay exact.
Sum: TypeAlias = dict[Monomial, "Fraction | float"]

_LARGEST_PRODUCT = 64
_LARGEST_POWER = 16
_LARGEST_INTEGER = 1e15


def tidy(expr: Expr) -> Expr:
    """The same value with terms collected and factors cancelled."""
    return collect(expand(expr))


def expand(expr: Expr) -> Sum:
    """An expression as a sum of products."""
    match expr:
        case Constant(value=number):
            return _constant(expr, number)
        case Unary():
            return _scaled(expand(expr.operand), Fraction(-1))
        case Binary(operator="+"):
            return _joined(expand(expr.left), expand(expr.right))
        case Binary(operator="-"):
            return _joined(expand(expr.left), _scaled(expand(expr.right), Fraction(-1)))
        case Binary(operator="*"):
            return times(expand(expr.left), expand(expr.right))
        case Binary(operator="/"):
            divisor = expand(expr.right)
            return times(expand(expr.left), _power(divisor, -1)) if divisor else _atom(expr)
        case Binary(operator="^", right=Constant(value=exponent)) if (
            exponent.is_integer() and abs(exponent) <= _LARGEST_POWER
        ):
            base = expand(expr.left)
            return _power(base, int(exponent)) if base or exponent > 0 else _atom(expr)
        case Binary():
            return _atom(Binary("^", tidy(expr.left), tidy(expr.right)))
        case Call():
            inner = Call(expr.function, tuple(tidy(argument) for argument in expr.arguments))
            value = evaluate(inner)
            return _atom(inner) if value is None else _constant(constant(value), value)
        case _:
            return _atom(expr)


def collect(terms: Sum) -> Expr:
    """A sum of products as an expression to be read: quotients as quotients, positive terms first."""
    result: Expr = Constant(0.0)
    ordered = sorted(terms.items(), key=lambda item: (not item[0], [to_text(atom) for atom, _ in item[0]]))
    positive = [(monomial, value) for monomial, value in ordered if value > 0 or math.isnan(value)]
    negative = [(monomial, -value) for monomial, value in ordered if value < 0]
    if not positive and negative:
        return negate(collect(dict(negative)))
    for monomial, value in positive:
        result = add(result, _product(monomial, value))
    for monomial, value in negative:
        result = subtract(result, _product(monomial, value))
    return result


def times(left: Sum, right: Sum) -> Sum:
    """The product, multiplied out unless it is large."""
    if len(left) * len(right) > _LARGEST_PRODUCT:
        left, right = _atom(collect(left)), _atom(collect(right))
    result: Sum = {}
    for a, x in left.items():
        for b, y in right.items():
            _put(result, _merged(a, b), x * y)
    return result


def never_zero(expr: Expr, positive: Collection[str]) -> bool:
    """Whether a value cannot vanish for finite parameters: terms of one sign, whose numerators hold positive names (and dt) alone."""
    terms = expand(expr)
    signs = {value > 0 for value in terms.values()}
    return len(signs) == 1 and all(
        power < 0
        or (isinstance(atom, Variable) and atom.scope == "self" and (atom.name == "dt" or atom.name in positive))
        for monomial in terms
        for atom, power in monomial
    )


def _constant(expr: Expr, value: float) -> Sum:
    if not math.isfinite(value):
        return _atom(expr)
    if value == 0.0:
        return {}
    return {(): Fraction(int(value)) if value.is_integer() and abs(value) < _LARGEST_INTEGER else value}


def _atom(expr: Expr) -> Sum:
    return {((expr, 1),): Fraction(1)}


def _put(terms: Sum, monomial: Monomial, value: Fraction | float) -> None:
    total = terms.get(monomial, Fraction(0)) + value
    if total == 0:
        terms.pop(monomial, None)
    else:
        terms[monomial] = total


def _joined(left: Sum, right: Sum) -> Sum:
    result = dict(left)
    for monomial, value in right.items():
        _put(result, monomial, value)
    return result


def _scaled(terms: Sum, factor: Fraction) -> Sum:
    return {monomial: value * factor for monomial, value in terms.items()}


def _merged(left: Monomial, right: Monomial) -> Monomial:
    powers = dict(left)
    for atom, power in right:
        powers[atom] = powers.get(atom, 0) + power
    return tuple(
        sorted(
            ((atom, power) for atom, power in powers.items() if power),
            key=lambda item: (_rank(item[0]), to_text(item[0])),
        )
    )


def _rank(atom: Expr) -> int:
    return 0 if isinstance(atom, Variable) else 1


def _power(base: Sum, exponent: int) -> Sum:
    if exponent == 0:
        return {(): Fraction(1)}
    if exponent == 1 or not base:
        return base
    if len(base) > 1:
        return {((collect(base), exponent),): Fraction(1)}
    ((monomial, value),) = base.items()
    scaled = 1 / value if exponent == -1 else value**exponent
    return {tuple((atom, power * exponent) for atom, power in monomial): scaled}


def _product(monomial: Monomial, value: Fraction | float) -> Expr:
    above: Expr
    below: Expr = Constant(1.0)
    if isinstance(value, Fraction):
        above = Constant(float(value.numerator))
        below = Constant(float(value.denominator))
    else:
        above = Constant(value)
    for atom, power in monomial:
        factor: Expr = atom if abs(power) == 1 else Binary("^", atom, constant(abs(power)))
        if power > 0:
            above = multiply(above, factor)
        else:
            below = multiply(below, factor)
    return divide(above, below)
