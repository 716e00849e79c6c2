"""To sympy and back: the value stays, opaque nodes come back unchanged, and what comes back reads well."""

from __future__ import annotations

import math
from typing import Any

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from snnlang.dynamics.symbols import Symbols, from_sympy, to_sympy
from snnlang.dynamics.terms import NotLinear, linear_parts
from snnlang.dynamics.text import to_text
from snnlang.model.evaluate import evaluate
from snnlang.model.expression import (
    Binary,
    Call,
    Comparison,
    Constant,
    Expr,
    Noise,
    Occurs,
    Random,
    Select,
    Since,
    Unary,
    Variable,
    walk,
)
from snnlang.model.units import TIME, VOLTAGE

VALUES = {"a": 1.3, "b": -0.7, "c": 2.9}
LEAVES = st.one_of(
    st.sampled_from([Variable(name) for name in VALUES]),
    st.integers(-6, 6).map(lambda n: Constant(float(n))),
    st.floats(-5, 5, allow_nan=False).map(lambda x: Constant(round(x, 3))),
)


def round_trip(expr: Expr) -> Expr:
    """To sympy, which collects terms and cancels factors by itself, and back."""
    symbols = Symbols()
    return from_sympy(to_sympy(expr, symbols), symbols)


def _grow(children: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    return st.one_of(
        st.builds(Unary, st.just("-"), children),
        st.builds(Binary, st.sampled_from("+-*/"), children, children),
        st.builds(lambda x, n: Binary("^", x, Constant(float(n))), children, st.integers(0, 4)),
        st.builds(
            lambda f, x: Call(f, (x,)),
            st.sampled_from(["exp", "sin", "tanh", "atan", "expm1", "exprel", "abs", "sigmoid", "relu"]),
            children,
        ),
        st.builds(lambda f, x, y: Call(f, (x, y)), st.sampled_from(["min", "max"]), children, children),
        st.builds(lambda x, y, z: Select(Comparison("<", x, y), y, z), children, children, children),
    )


@given(st.recursive(LEAVES, _grow, max_leaves=12))
@settings(max_examples=400, deadline=None)
def test_round_trip_keeps_the_value(expr: Any) -> None:
    before = evaluate(expr, VALUES)
    if before is None or not math.isfinite(before) or abs(before) > 1e12 or _magnitude(expr) > 1e9:
        return
    after = evaluate(round_trip(expr), VALUES)
    assert after is not None
    assert after == pytest.approx(before, rel=1e-9, abs=1e-9 * max(1.0, _magnitude(expr)))


def _magnitude(expr: Expr) -> float:
    """The greatest value met inside, as a scale for what cancellation may cost."""
    found = [
        abs(value) for node in walk(expr) if (value := evaluate(node, VALUES)) is not None and math.isfinite(value)
    ]
    return max(found, default=0.0)


@given(st.recursive(LEAVES, _grow, max_leaves=12))
@settings(max_examples=100, deadline=None)
def test_a_second_trip_changes_nothing(expr: Any) -> None:
    once = round_trip(expr)
    value, again = evaluate(once, VALUES), evaluate(round_trip(once), VALUES)
    if value is not None and math.isfinite(value) and abs(value) < 1e12 and _magnitude(once) < 1e9:
        assert again == pytest.approx(value, rel=1e-9, abs=1e-9 * max(1.0, _magnitude(once)))


@pytest.mark.parametrize(
    "node",
    [
        Occurs("spike", 1),
        Since("spike"),
        Noise(0),
        Random("uniform", (Constant(0.0), Constant(1.0)), 3),
        Variable("v", VOLTAGE, "post"),
        Variable("u", VOLTAGE, "self", 2),
        Select(Comparison(">", Variable("a"), Constant(0.0)), Variable("b"), Variable("c")),
    ],
)
def test_opaque_nodes_come_back_unchanged(node: Any) -> None:
    assert round_trip(node) == node
    assert round_trip(Binary("*", Constant(2.0), node)) == Binary("*", Constant(2.0), node)


def test_infinity_stays_apart() -> None:
    assert round_trip(Constant(math.inf, TIME)) == Constant(math.inf, TIME)


def test_units_and_scopes_survive() -> None:
    expr = Binary(
        "+", Variable("v", VOLTAGE), Binary("-", Variable("v", VOLTAGE, "post"), Variable("v", VOLTAGE, "self", 1))
    )
    symbols = Symbols()
    back = from_sympy(to_sympy(expr, symbols), symbols)
    found = {node for node in walk(back) if isinstance(node, Variable)}
    assert found == {Variable("v", VOLTAGE), Variable("v", VOLTAGE, "post"), Variable("v", VOLTAGE, "self", 1)}


@pytest.mark.parametrize("value", [0.1, 1e-20, 5.0, -3.0, 1e300, 0.1 + 0.2, 1 / 3])
def test_numbers_are_not_touched(value: Any) -> None:
    assert round_trip(Constant(value)) == Constant(value)


@pytest.mark.parametrize(
    "text,expected",
    [
        (Binary("/", Binary("-", Variable("v_rest"), Variable("v")), Variable("tau")), "(v_rest - v)/tau"),
        (Call("exp", (Unary("-", Binary("/", Variable("dt", TIME), Variable("tau"))),)), "exp(-dt/tau)"),
        (Binary("*", Binary("/", Constant(1.0), Variable("tau")), Variable("tau")), "1"),
        (Binary("/", Variable("a"), Constant(3.0)), "a/3"),
        (Binary("^", Variable("a"), Constant(-1.0)), "1/a"),
        (Binary("^", Variable("a"), Constant(0.5)), "a^0.5"),
    ],
)
def test_what_comes_back_reads_well(text: Any, expected: Any) -> None:
    assert to_text(round_trip(text)) == expected


def test_linear_parts() -> None:
    v, g, a = Variable("v"), Variable("g"), Variable("a")
    rest, parts = linear_parts(Binary("/", Binary("-", Binary("*", g, Binary("-", a, v)), v), Constant(2.0)), ["v"])
    values = {"a": 1.5, "g": 0.3}
    assert evaluate(rest, values) == pytest.approx(0.3 * 1.5 / 2)
    assert evaluate(parts["v"], values) == pytest.approx((-0.3 - 1) / 2)
    with pytest.raises(NotLinear) as caught:
        linear_parts(Binary("+", a, Binary("*", v, v)), ["v"])
    assert caught.value.term == Binary("*", v, v)


def test_text_never_reaches_sympy(monkeypatch: Any) -> None:
    def refuse(*_args: Any, **_options: Any) -> Any:
        raise AssertionError("sympify of text")

    monkeypatch.setattr(sympy, "sympify", refuse)
    monkeypatch.setattr(sympy, "parse_expr", refuse)
    assert to_text(round_trip(Binary("+", Variable("__import__('os')"), Constant(0.0)))) == "__import__('os')"
