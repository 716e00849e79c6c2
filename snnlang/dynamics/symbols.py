"""Checked expressions to sympy and back, node by node.

Text never reaches sympy: symbols are made from the tree, and the :class:`Symbols` table gives every symbol its node back.
What is not algebra (conditions, events, draws, reductions, kinked functions) becomes one opaque symbol and returns unchanged, so it
must not hide a variable that is being solved for; :mod:`snnlang.dynamics.terms` looks before it leaps.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import sympy
from sympy.core.function import UndefinedFunction

from snnlang.dynamics.terms import add, call, divide, multiply, negate, subtract
from snnlang.model.expression import Binary, Call, Constant, Detach, Expr, Unary, Variable

_TO: dict[str, object] = {
    "exp": sympy.exp,
    "log": sympy.log,
    "sin": sympy.sin,
    "cos": sympy.cos,
    "tan": sympy.tan,
    "asin": sympy.asin,
    "acos": sympy.acos,
    "atan": sympy.atan,
    "sinh": sympy.sinh,
    "cosh": sympy.cosh,
    "tanh": sympy.tanh,
    "sqrt": sympy.sqrt,
    "erf": sympy.erf,
}
_FROM = {value: key for key, value in _TO.items() if key != "sqrt"}
_LARGEST_INTEGER = 1e15


class Symbols:
    """The table between symbols and nodes of one conversion; ``positive`` names are known to be above zero."""

    def __init__(self, positive: Collection[str] = ()) -> None:
        self._positive = frozenset(positive)
        self._nodes: dict[str, Expr] = {}
        self._symbols: dict[Expr, sympy.Symbol] = {}

    def symbol(self, node: Expr) -> sympy.Symbol:
        """The symbol of a variable or of an opaque node; equal nodes share one."""
        found = self._symbols.get(node)
        if found is None:
            name = self._name(node)
            positive = (
                isinstance(node, Variable)
                and node.scope == "self"
                and (node.name in self._positive or node.name == "dt")
            )
            found = sympy.Symbol(name, positive=True) if positive else sympy.Symbol(name, real=True)
            self._symbols[node] = found
            self._nodes[name] = node
        return found

    def _name(self, node: Expr) -> str:
        if not isinstance(node, Variable):
            return f"opaque{len(self._nodes)}"
        name = node.name if node.scope == "self" else f"{node.scope}.{node.name}"
        if node.lag is not None:
            name += f"[n-{node.lag}]"
        return name if name not in self._nodes else f"{name}~{len(self._nodes)}"

    def nodes(self) -> list[Expr]:
        """Every node that has a symbol."""
        return list(self._symbols)

    def node(self, symbol: sympy.Symbol) -> Expr:
        return self._nodes[symbol.name]


def to_sympy(expr: Expr, symbols: Symbols) -> sympy.Expr:
    """The sympy expression of the same value. Whole numbers become integers, others stay floating-point."""
    match expr:
        case Constant():
            return _number(expr, symbols)
        case Unary():
            return -to_sympy(expr.operand, symbols)
        case Binary():
            left, right = to_sympy(expr.left, symbols), to_sympy(expr.right, symbols)
            match expr.operator:
                case "+":
                    return left + right
                case "-":
                    return left - right
                case "*":
                    return left * right
                case "/":
                    return symbols.symbol(expr) if right == 0 else left / right
                case _:
                    return symbols.symbol(expr) if left == 0 or not _tame_power(right) else left**right
        case Call() if expr.function in _TO:
            result = _TO[expr.function](to_sympy(expr.arguments[0], symbols))  # type: ignore[operator]
            return (
                result if result.is_finite is not False and not result.has(sympy.I, sympy.nan) else symbols.symbol(expr)
            )
        case Call():
            return sympy.Function(expr.function)(*(to_sympy(argument, symbols) for argument in expr.arguments))
        case Detach():
            return symbols.symbol(expr)
        case _:
            return symbols.symbol(expr)


def _tame_power(exponent: sympy.Expr) -> bool:
    return not exponent.is_number or abs(float(exponent)) <= 64


def _number(expr: Constant, symbols: Symbols) -> sympy.Expr:
    value = expr.value
    if not math.isfinite(value):
        return symbols.symbol(expr)
    return sympy.Integer(int(value)) if value.is_integer() and abs(value) < _LARGEST_INTEGER else sympy.Float(value)


def from_sympy(expr: sympy.Expr, symbols: Symbols) -> Expr:
    """The checked expression of the same value, laid out to be read: quotients as quotients, powers small, minus signs outside."""
    if expr.is_Symbol:
        return symbols.node(expr)
    if expr.is_Number or (expr.is_number and not expr.is_Rational):
        return _from_number(expr)
    if expr.is_Add:
        return _from_sum(expr, symbols)
    if expr.is_Mul:
        return _from_product(expr, symbols)
    if expr.is_Pow and expr.base is not sympy.S.Exp1:
        return _from_power(expr.base, expr.exp, symbols)
    function = expr.func
    arguments = tuple(from_sympy(argument, symbols) for argument in expr.args)
    if function in _FROM:
        return Call(_FROM[function], arguments)
    if isinstance(function, UndefinedFunction):
        return Call(function.__name__, arguments)
    if function is sympy.Abs:
        return Call("abs", arguments)
    raise TypeError(f"no checked form of {function}")  # a slip of this room, never of the user


def _from_number(expr: sympy.Expr) -> Expr:
    if expr.is_Rational and not expr.is_Integer:
        quotient = float(expr.p) / float(expr.q)
        return Constant(quotient) if _short(quotient) else divide(Constant(float(expr.p)), Constant(float(expr.q)))
    return Constant(float(expr))


def _short(value: float) -> bool:
    return len(repr(value)) <= 8


def _from_sum(expr: sympy.Expr, symbols: Symbols) -> Expr:
    terms = expr.as_ordered_terms()
    positive = [term for term in terms if not term.could_extract_minus_sign()]
    negative = [term for term in terms if term.could_extract_minus_sign()]
    if not positive:
        return negate(_from_sum(-expr, symbols))
    result = from_sympy(positive[0], symbols)
    for term in positive[1:]:
        result = add(result, from_sympy(term, symbols))
    for term in negative:
        result = subtract(result, from_sympy(-term, symbols))
    return result


def _from_product(expr: sympy.Expr, symbols: Symbols) -> Expr:
    coefficient, factors = expr.as_coeff_mul()
    negative = bool(coefficient < 0)
    coefficient = abs(coefficient)
    above: list[Expr] = []
    below: list[Expr] = []
    if coefficient.is_Rational:
        if coefficient.p != 1:
            above.append(Constant(float(coefficient.p)))
        if coefficient.q != 1:
            below.append(Constant(float(coefficient.q)))
    elif coefficient != 1:
        above.append(Constant(float(coefficient)))
    for factor in sorted(factors, key=_weight):
        if factor.is_Pow and factor.base is not sympy.S.Exp1 and factor.exp.could_extract_minus_sign():
            below.append(_from_power(factor.base, -factor.exp, symbols))
        else:
            above.append(from_sympy(factor, symbols))
    result: Expr = Constant(1.0)
    for item in above:
        result = multiply(result, item)
    if below:
        divisor: Expr = Constant(1.0)
        for item in below:
            divisor = multiply(divisor, item)
        result = divide(result, divisor)
    return negate(result) if negative else result


def _weight(factor: sympy.Expr) -> tuple[int, str]:
    kind = 0 if factor.is_Symbol else 1 if factor.is_Pow else 2
    return kind, str(factor)


def _from_power(base: sympy.Expr, exponent: sympy.Expr, symbols: Symbols) -> Expr:
    inner = from_sympy(base, symbols)
    if exponent == 1:
        return inner
    if exponent == sympy.Rational(1, 2):
        return call("sqrt", inner)
    if exponent.could_extract_minus_sign():
        return divide(Constant(1.0), _from_power(base, -exponent, symbols))
    return Binary("^", inner, from_sympy(exponent, symbols))
