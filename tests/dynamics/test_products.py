"""Sums of products keep the value, cancel what cancels, and need no sympy."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnlang.dynamics.products import never_zero, tidy
from snnlang.dynamics.symbols import Symbols, from_sympy, to_sympy
from snnlang.dynamics.text import to_text
from snnlang.model.evaluate import evaluate
from snnlang.model.expression import Binary, Call, Comparison, Constant, Expr, Select, Unary, Variable, walk

VALUES = {"a": 1.3, "b": -0.7, "c": 2.9}
LEAVES = st.one_of(
    st.sampled_from([Variable(name) for name in VALUES]),
    st.integers(-6, 6).map(lambda n: Constant(float(n))),
    st.floats(-5, 5, allow_nan=False).map(lambda x: Constant(round(x, 3))),
)


def _grow(children: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    return st.one_of(
        st.builds(Unary, st.just("-"), children),
        st.builds(Binary, st.sampled_from("+-*/"), children, children),
        st.builds(lambda x, n: Binary("^", x, Constant(float(n))), children, st.integers(-2, 4)),
        st.builds(
            lambda f, x: Call(f, (x,)), st.sampled_from(["exp", "sin", "tanh", "expm1", "exprel", "abs"]), children
        ),
        st.builds(lambda x, y, z: Select(Comparison("<", x, y), y, z), children, children, children),
    )


def _magnitude(expr: Expr) -> float:
    values = [evaluate(node, VALUES) for node in walk(expr)]
    return max((abs(value) for value in values if value is not None and math.isfinite(value)), default=0.0)


@given(st.recursive(LEAVES, _grow, max_leaves=14))
@settings(max_examples=500, deadline=None)
def test_the_value_stays(expr: Expr) -> None:
    before = evaluate(expr, VALUES)
    after_form = tidy(expr)
    if before is None or not math.isfinite(before) or _magnitude(expr) > 1e9 or _smallest_divisor(expr) < 1e-6:
        return
    after = evaluate(after_form, VALUES)
    assert after == pytest.approx(before, rel=1e-8, abs=1e-8 * max(1.0, _magnitude(expr), _magnitude(after_form)))


def _smallest_divisor(expr: Expr) -> float:
    values = [
        evaluate(node.right if isinstance(node, Binary) and node.operator == "/" else node.left, VALUES)
        for node in walk(expr)
        if isinstance(node, Binary) and node.operator in "/^"
    ]
    return min((abs(value) for value in values if value is not None), default=1.0)


@given(st.recursive(LEAVES, _grow, max_leaves=8))
@settings(max_examples=100, deadline=None)
def test_sympy_agrees(expr: Expr) -> None:
    if _magnitude(expr) > 1e6 or _smallest_divisor(expr) < 1e-3 or evaluate(expr, VALUES) is None:
        return
    table = Symbols()
    ours, theirs = evaluate(tidy(expr), VALUES), evaluate(from_sympy(to_sympy(expr, table), table), VALUES)
    if theirs is not None and math.isfinite(theirs):
        assert ours == pytest.approx(theirs, rel=1e-8, abs=1e-6)


@pytest.mark.parametrize(
    "expr,expected",
    [
        (
            Binary(
                "*",
                Binary("/", Binary("+", Variable("E"), Binary("*", Variable("R"), Variable("I"))), Variable("tau")),
                Variable("tau"),
            ),
            "E + I*R",
        ),
        (Binary("-", Variable("a"), Variable("a")), "0"),
        (Binary("/", Variable("a"), Binary("*", Constant(3.0), Variable("a"))), "0.3333333333333333"),
        (Binary("*", Call("exp", (Unary("-", Unary("-", Variable("a"))),)), Constant(-1.0)), "-exp(a)"),
    ],
)
def test_what_cancels_is_gone(expr: Expr, expected: str) -> None:
    assert to_text(tidy(expr)) == expected


def test_what_can_never_vanish() -> None:
    rate = Unary("-", Binary("/", Variable("dt"), Variable("tau")))
    assert never_zero(rate, ())
    leak = Unary("-", Binary("/", Variable("g"), Variable("C")))
    assert not never_zero(leak, ())
    assert never_zero(leak, ("g",))
    assert not never_zero(Binary("-", Variable("g"), Variable("h")), ("g", "h"))
    assert never_zero(Binary("+", Variable("g"), Variable("h")), ("g", "h"))


def test_programs_without_kernels_do_not_load_sympy() -> None:
    code = (
        "import sys\n"
        "import snnlang.dynamics.equations, snnlang.dynamics.integrate, snnlang.dynamics.placement\n"
        "assert 'sympy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
