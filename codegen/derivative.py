"""Derivatives of the functions of the kernel language, and the arithmetic that keeps them short.

Each rule is written with the function itself where that saves work (``exp`` with ``exp``), so that naming repeated parts afterwards
computes it once. At kinks (``abs``, ``max``, ``relu``) it is the derivative of the side that the forward pass took; where a function steps
it is 0. Surrogates of events are not here: see :mod:`snnlang.codegen.adjoint`.
"""

from __future__ import annotations

import math

from snnlang.codegen import kernel as k
from snnlang.codegen.simplify import fold

ZERO, ONE = k.Const(0.0), k.Const(1.0)


def number(value: float) -> k.Const:
    return k.Const(float(value))


def plus(left: k.Expr, right: k.Expr) -> k.Expr:
    if left == ZERO:
        return right
    if right == ZERO:
        return left
    if isinstance(right, k.Unary) and right.operator == "-":
        return minus(left, right.operand)
    return fold(k.Binary("+", left, right))


def minus(left: k.Expr, right: k.Expr) -> k.Expr:
    if right == ZERO:
        return left
    return negative(right) if left == ZERO else fold(k.Binary("-", left, right))


def negative(expr: k.Expr) -> k.Expr:
    return expr if expr == ZERO else fold(k.Unary("-", expr, "real"))


def times(left: k.Expr, right: k.Expr) -> k.Expr:
    """A product; a choice between a value and 0 keeps its 0 outside, so that what is not chosen need not be finite."""
    if ZERO in (left, right):
        return ZERO
    if left == ONE:
        return right
    if right == ONE:
        return left
    if left == k.Const(-1.0):
        return negative(right)
    if right == k.Const(-1.0):
        return negative(left)
    if isinstance(left, k.Unary) and left.operator == "-":
        return negative(times(left.operand, right))
    if isinstance(right, k.Unary) and right.operator == "-":
        return negative(times(left, right.operand))
    return fold(k.Binary("*", left, right))


def over(left: k.Expr, right: k.Expr) -> k.Expr:
    return ZERO if left == ZERO else left if right == ONE else fold(k.Binary("/", left, right))


def choose(condition: k.Expr, value: k.Expr, otherwise: k.Expr) -> k.Expr:
    return value if value == otherwise else fold(k.Choose(condition, value, otherwise, "real"))


def call(function: str, *arguments: k.Expr) -> k.Expr:
    return k.Call(function, arguments, "real")


def power(base: k.Expr, exponent: float) -> k.Expr:
    if exponent == 0.0:
        return ONE
    return base if exponent == 1.0 else k.Binary("^", base, number(exponent))


def of_call(function: str, x: tuple[k.Expr, ...]) -> tuple[k.Expr, ...] | None:
    """The derivatives of ``function(*x)`` by each argument; None for functions that have none."""
    a = x[0]
    match function:
        case "exp":
            return (call("exp", a),)
        case "expm1":
            return (call("exp", a),)
        case "exprel":  # (exp(a) - 1)/a; near 0 its series 1/2 + a/3 + a^2/8
            near = plus(number(0.5), times(a, plus(number(1 / 3), times(number(0.125), a))))
            far = over(minus(call("exp", a), call("exprel", a)), choose(k.Compare("==", a, ZERO), ONE, a))
            return (choose(k.Compare("<", call("abs", a), number(1e-3)), near, far),)
        case "log":
            return (over(ONE, a),)
        case "log10":
            return (over(number(1 / math.log(10)), a),)
        case "log1p":
            return (over(ONE, plus(ONE, a)),)
        case "sqrt":
            return (over(number(0.5), call("sqrt", a)),)
        case "abs":
            return (call("sign", a),)
        case "sin":
            return (call("cos", a),)
        case "cos":
            return (negative(call("sin", a)),)
        case "tan":
            return (plus(ONE, power(call("tan", a), 2)),)
        case "asin":
            return (over(ONE, call("sqrt", minus(ONE, power(a, 2)))),)
        case "acos":
            return (negative(over(ONE, call("sqrt", minus(ONE, power(a, 2))))),)
        case "atan":
            return (over(ONE, plus(ONE, power(a, 2))),)
        case "sinh":
            return (call("cosh", a),)
        case "cosh":
            return (call("sinh", a),)
        case "tanh":
            return (minus(ONE, power(call("tanh", a), 2)),)
        case "sigmoid":
            s = call("sigmoid", a)
            return (times(s, minus(ONE, s)),)
        case "softplus":
            return (call("sigmoid", a),)
        case "relu":
            return (choose(k.Compare(">", a, ZERO), ONE, ZERO),)
        case "erf":
            return (times(number(2 / math.sqrt(math.pi)), call("exp", negative(power(a, 2)))),)
        case "sign" | "floor" | "ceil" | "round" | "heaviside":
            return (ZERO,)
        case "real":
            return (ONE,)
        case "detach":
            return (ZERO,)
        case "min" | "max":
            first = k.Compare("<=" if function == "min" else ">=", a, x[1])
            return choose(first, ONE, ZERO), choose(first, ZERO, ONE)
        case "clip":
            below, above = k.Compare("<", a, x[1]), k.Compare(">", a, x[2])
            outside = k.Logic("or", below, above)
            return choose(outside, ZERO, ONE), choose(below, ONE, ZERO), choose(above, ONE, ZERO)
        case "atan2":
            square = plus(power(a, 2), power(x[1], 2))
            return over(x[1], square), negative(over(a, square))
        case "mod":
            return ONE, negative(call("floor", over(a, x[1])))
    return None


def of_power(base: k.Expr, exponent: k.Expr) -> tuple[k.Expr, k.Expr]:
    """The derivatives of ``base ^ exponent``. Where the base is not positive, the exponent has none (0)."""
    if isinstance(exponent, k.Const):
        value = float(exponent.value)
        return times(number(value), power(base, value - 1.0)), ZERO
    whole = k.Binary("^", base, exponent)
    by_base = times(exponent, k.Binary("^", base, minus(exponent, ONE)))
    positive = k.Compare(">", base, ZERO)
    return by_base, choose(positive, times(whole, call("log", choose(positive, base, ONE))), ZERO)


def may_blow_up(expr: k.Expr) -> bool:
    """Whether an expression may be infinite or no number where its operands are finite."""
    for part in k.walk(expr):
        match part:
            case k.Binary(operator="/" | "%", right=right) if not isinstance(right, k.Const):
                return True
            case k.Binary(operator="^", right=k.Const(value=value)) if float(value) >= 0 and float(value) == int(value):
                continue
            case k.Binary(operator="^"):
                return True
            case k.Call(function="log" | "log10" | "log1p" | "sqrt" | "exp" | "expm1" | "exprel" | "sinh" | "cosh"):
                return True
            case k.Call(function="tan" | "asin" | "acos"):
                return True
    return False
