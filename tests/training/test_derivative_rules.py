"""Every rule of differentiation against finite differences, over ranges, and at kinks against the side that was taken."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

import pytest

from snnlang.codegen import kernel as k
from snnlang.codegen.derivative import of_call, of_power

FUNCTIONS: dict[str, Callable[..., float]] = {
    "exp": math.exp, "expm1": math.expm1, "log": math.log, "log10": math.log10, "log1p": math.log1p, "sqrt": math.sqrt,
    "exprel": lambda x: math.expm1(x) / x if x else 1.0, "abs": abs, "sin": math.sin, "cos": math.cos, "tan": math.tan,
    "asin": math.asin, "acos": math.acos, "atan": math.atan, "sinh": math.sinh, "cosh": math.cosh, "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)), "softplus": lambda x: math.log1p(math.exp(x)), "relu": lambda x: max(x, 0.0),
    "erf": math.erf, "sign": lambda x: float((x > 0) - (x < 0)), "floor": math.floor, "ceil": math.ceil, "round": round,
    "heaviside": lambda x: float(x >= 0), "min": min, "max": max, "clip": lambda x, a, b: min(max(x, a), b),
    "atan2": math.atan2, "mod": lambda a, b: a - b * math.floor(a / b),
}  # fmt: skip
OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "^": operator.pow,
}  # fmt: skip
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def value(expr: k.Expr, names: dict[str, float]) -> float:
    """An evaluation of its own, so that no printer of ours is believed."""
    match expr:
        case k.Const(value=number):
            return float(number)
        case k.Local(name=name):
            return names[name]
        case k.Unary(operator="-", operand=operand):
            return -value(operand, names)
        case k.Binary(operator=sign, left=left, right=right):
            return OPERATORS[sign](value(left, names), value(right, names))
        case k.Compare(operator=sign, left=left, right=right):
            return COMPARISONS[sign](value(left, names), value(right, names))
        case k.Logic(operator=sign, left=left, right=right):
            first, second = value(left, names), value(right, names)
            return float(bool(first and second) if sign == "and" else bool(first or second))
        case k.Choose(condition=condition, value=yes, otherwise=no):
            return value(yes if value(condition, names) else no, names)
        case k.Call(function=function, arguments=arguments):
            return FUNCTIONS[function](*(value(argument, names) for argument in arguments))
    raise AssertionError(expr)


A, B, C = (k.Local(name, "real") for name in "abc")
WIDE, POSITIVE, INSIDE = (-3.1, -1.2, -0.3, 0.2, 1.4, 2.7), (0.05, 0.6, 2.3, 40.0), (-0.9, -0.2, 0.3, 0.8)
RANGES = {"log": POSITIVE, "log10": POSITIVE, "log1p": POSITIVE, "sqrt": POSITIVE, "asin": INSIDE, "acos": INSIDE}
SINGLE = [name for name in FUNCTIONS if name not in ("min", "max", "clip", "atan2", "mod")]


def slope(function: Callable[[float], float], x: float) -> float:
    """The fourth-order central difference."""
    h = 1e-3 * max(1e-1, min(1.0, abs(x)))
    return (8 * (function(x + h) - function(x - h)) - (function(x + 2 * h) - function(x - 2 * h))) / (12 * h)


@pytest.mark.parametrize("function", SINGLE)
def test_functions_of_one_number(function: str) -> None:
    rules = of_call(function, (A,))
    assert rules is not None
    for x in RANGES.get(function, WIDE):
        assert value(rules[0], {"a": x}) == pytest.approx(slope(FUNCTIONS[function], x), rel=2e-7, abs=1e-8), x


@pytest.mark.parametrize("x", [0.0, 1e-9, 5e-4, -9e-4, 1.1e-3, 0.02])
def test_exprel_near_zero(x: float) -> None:
    rules = of_call("exprel", (A,))
    assert rules is not None
    exact = sum(n * x ** (n - 1) / math.factorial(n + 1) for n in range(1, 12))
    assert value(rules[0], {"a": x}) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("function", ["min", "max", "atan2", "mod", "clip"])
def test_functions_of_several_numbers(function: str) -> None:
    names = (A, B, C) if function == "clip" else (A, B)
    points = [(0.4, -1.0, 1.0), (2.2, -1.0, 1.5), (-2.0, -1.5, 1.0), (0.3, 0.7, 2.0), (-1.3, 0.6, 2.0)]
    rules = of_call(function, names)
    assert rules is not None
    for point in points:
        given = point[: len(names)]
        for place, rule in enumerate(rules):

            def along(x: float, place: int = place, given: tuple[float, ...] = given) -> float:
                return FUNCTIONS[function](*given[:place], x, *given[place + 1 :])

            found = value(rule, dict(zip("abc", given)))
            assert found == pytest.approx(slope(along, given[place]), rel=1e-6, abs=1e-8), (point, place)


def test_kinks_take_one_side_only() -> None:
    """At equal arguments the slopes of min and max add up to 1; relu has 0 at 0, as PyTorch's."""
    for function in ("min", "max"):
        rules = of_call(function, (A, B))
        assert rules is not None
        assert sum(value(rule, {"a": 1.0, "b": 1.0}) for rule in rules) == 1
    rules = of_call("relu", (A,))
    assert rules is not None
    assert value(rules[0], {"a": 0.0}) == 0


def test_detached_and_unknown() -> None:
    assert of_call("detach", (A,)) == (k.Const(0.0),)
    assert of_call("no_such_function", (A,)) is None


@pytest.mark.parametrize("exponent", [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0])
def test_power_of_a_constant_exponent(exponent: float) -> None:
    by_base, by_exponent = of_power(A, k.Const(exponent))
    for x in POSITIVE:
        assert value(by_base, {"a": x}) == pytest.approx(slope(lambda a: a**exponent, x), rel=1e-5, abs=1e-8)
    assert by_exponent == k.Const(0.0)


def test_power_of_two_names() -> None:
    by_base, by_exponent = of_power(A, B)
    for a, b in [(0.5, 2.0), (2.0, -1.5), (3.0, 0.3)]:
        names = {"a": a, "b": b}
        assert value(by_base, names) == pytest.approx(slope(lambda x, b=b: x**b, a), rel=1e-6)  # type: ignore[misc]
        assert value(by_exponent, names) == pytest.approx(slope(lambda x, a=a: a**x, b), rel=1e-6)  # type: ignore[misc]
    assert value(by_exponent, {"a": -2.0, "b": 3.0}) == 0
