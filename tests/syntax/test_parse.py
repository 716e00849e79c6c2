"""What the text means as a tree: precedence, literals with units, soft keywords, every kind of line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snnlang.diagnostics import Source
from snnlang.syntax import tree as t
from snnlang.syntax.parse import parse, parse_expression
from tests.syntax.programs import SPAN

HERE = Path(__file__).parent


def name(text: str) -> t.Name:
    return t.Name(text, span=SPAN)


def number(value: float) -> t.Number:
    return t.Number(value, isinstance(value, int), span=SPAN)


def quantity(value: float, *unit: tuple[str, int]) -> t.Quantity:
    return t.Quantity(value, tuple(t.UnitFactor(*factor) for factor in unit), isinstance(value, int), span=SPAN)


def binary(operator: Any, left: Any, right: Any) -> t.Binary:
    return t.Binary(operator, left, right, span=SPAN)


def minus(operand: Any) -> t.Unary:
    return t.Unary("-", operand, span=SPAN)


a, b, c, v = map(name, "abcv")


@pytest.mark.parametrize(("text", "expected"), [
    ("20 ms", quantity(20, ("ms", 1))),
    ("20ms", quantity(20, ("ms", 1))),
    ("0.1/mV", quantity(0.1, ("mV", -1))),
    ("120 mS/cm^2", quantity(120, ("mS", 1), ("cm", -2))),
    ("1 uF/cm**2", quantity(1, ("uF", 1), ("cm", -2))),
    ("10 MOhm", quantity(10, ("MOhm", 1))),
    ("1e-3 V", quantity(1e-3, ("V", 1))),
    ("2 µm", quantity(2, ("µm", 1))),
    ("1/10 ms", binary("/", number(1), quantity(10, ("ms", 1)))),
    ("1/ms / a", binary("/", quantity(1, ("ms", -1)), a)),
    ("4/ms * a", binary("*", quantity(4, ("ms", -1)), a)),
    ("2 m*h", binary("*", quantity(2, ("m", 1)), name("h"))),
    ("2 mV*a", binary("*", quantity(2, ("mV", 1)), a)),
    ("2/tau", binary("/", number(2), name("tau"))),
    ("2/sum", binary("/", number(2), name("sum"))),
    ("-65 mV", minus(quantity(65, ("mV", 1)))),
    ("1 mmol/L", quantity(1, ("mmol", 1), ("L", -1))),
    ("10_000", number(10_000)),
    ("1.5", number(1.5)),
    (".5", number(0.5)),
    ("12345678901234567890", number(12345678901234567890)),
])
def test_literals(text: str, expected: t.Expression) -> None:
    assert parse_expression(text, "made") == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("a + b*c", binary("+", a, binary("*", b, c))),
    ("a - b - c", binary("-", binary("-", a, b), c)),
    ("a/b*c", binary("*", binary("/", a, b), c)),
    ("-a^b", minus(binary("^", a, b))),
    ("a^b^c", binary("^", a, binary("^", b, c))),
    ("a**-b", binary("^", a, minus(b))),
    ("-a*b", binary("*", minus(a), b)),
    ("a*-b", binary("*", a, minus(b))),
    ("a--b", binary("-", a, minus(b))),
    ("a*dv/dt", binary("*", a, t.Derivative("v", span=SPAN))),
    ("dv / dt", t.Derivative("v", span=SPAN)),
    ("delta/dtx", binary("/", name("delta"), name("dtx"))),
    ("not a == b", t.Unary("not", t.Comparison((a, b), ("==",), span=SPAN), span=SPAN)),
    ("a or b and c", binary("or", a, binary("and", b, c))),
    ("a < b <= c", t.Comparison((a, b, c), ("<", "<="), span=SPAN)),
    ("v crosses a + b", t.Crosses(v, binary("+", a, b), span=SPAN)),
    ("a if b else c if a else b", t.Conditional(a, b, t.Conditional(c, a, b, span=SPAN), span=SPAN)),
    ("v[n-1]", t.Index(v, (binary("-", name("n"), number(1)),), span=SPAN)),
    ("v[1:, :a]", t.Index(v, (t.Slice(number(1), None, span=SPAN), t.Slice(None, a, span=SPAN)), span=SPAN)),
    ("sum(a, per post)", t.Call(name("sum"), (t.Argument(None, a, span=SPAN), t.Per("post", span=SPAN)), span=SPAN)),
    ("a.b(c = 1,)[0]", t.Index(t.Call(t.Attribute(a, "b", span=SPAN), (t.Argument("c", number(1), span=SPAN),), span=SPAN),
                               (number(0),), span=SPAN)),
    ("[]", t.ListLiteral((), span=SPAN)),
    ("[a, [b],]", t.ListLiteral((a, t.ListLiteral((b,), span=SPAN)), span=SPAN)),
    ('f("# no comment")', t.Call(name("f"), (t.Argument(None, t.String("# no comment", span=SPAN), span=SPAN),), span=SPAN)),
])
def test_expressions(text: str, expected: t.Expression) -> None:
    assert parse_expression(text, "made") == expected


def member(line: str) -> Any:
    (item,) = parse(Source("made.snn", f"neuron N:\n    {line}\n")).items
    assert isinstance(item, t.Model)
    (only,) = item.members
    return only


@pytest.mark.parametrize("word", ["trace", "order", "output", "record", "plot", "drive", "rest", "at", "block", "event", "decay", "to",
                                  "rate", "gradient", "clamp", "present", "sweep", "freeze", "adjoint", "create", "remove", "per"])
def test_soft_words_are_names(word: str) -> None:
    text = (f"neuron {word}({word}):\n    param {word} = 1\n    state u = {word}\n    {word} = 2*{word} + {word}(3)\n"
            f"    {word}[n] = {word}[n-1]\n    on {word}: {word} += 1\n"
            f"network N({word} = 1):\n    population {word}[3]: {word}({word} = 2)\n    {word} -> dense -> {word}: {word}\n"
            f"    connect {word}.{word} -> {word}.{word}: dense, {word} = 3\n"
            f"simulate N as {word}:\n    {word} = 3\n    record {word}, {word}.v\n    plot {word}({word})\n")
    assert len(parse(Source("made.snn", text)).items) == 3


def test_declarations() -> None:
    line = member('trainable per_neuron param tau: ms = 20 ms in (0 ms, inf] "time constant"')
    assert (line.role, line.name, line.adjectives) == ("param", "tau", ("trainable", "per_neuron"))
    assert line.unit == (t.UnitFactor("ms"),)
    assert (line.range.low_closed, line.range.high_closed, line.doc) == (False, True, "time constant")
    assert line.name_span.text == "tau"
    assert member("state v: 1 = 0").unit == ()
    assert member("state v: 1/ms = 0/ms").unit == (t.UnitFactor("ms", -1),)
    assert member("state v: mS/cm^2 = 0 mS/cm^2").unit == (t.UnitFactor("mS"), t.UnitFactor("cm", -2))


def test_the_mark_of_a_step() -> None:
    assert isinstance(member("step = 1 ms"), t.Tick)
    assert isinstance(member("step[n] = 1"), t.Equation)


def test_range_of_an_open_end_inside_a_block() -> None:
    line = member("param:\n        beta = 0.9 in [0, 1)")
    assert line.grouped
    assert line.range.low_closed
    assert not line.range.high_closed


def test_settle_is_its_own_name() -> None:
    (item,) = parse(Source("made.snn", "network N:\n    connect a -> b: dense, settle(max = 64), w = 1\n")).items
    assert isinstance(item, t.Network)
    (line,) = item.lines
    assert isinstance(line, t.Connect)
    assert [option.name for option in line.options] == ["settle", "w"]
    assert isinstance(line.options[0].value, t.Call)


def test_both_spellings_of_rest() -> None:
    lines = "    present d as x for 1 s, rest 2 s\n    present d as x for 1 s, rest = 2 s\n"
    (item,) = parse(Source("made.snn", f"simulate N:\n{lines}")).items
    assert isinstance(item, t.Experiment)
    assert item.lines[0] == item.lines[1]


def test_greek_names_have_one_form() -> None:
    micro, mu = "\u00b5", "\u03bc"
    assert member(f"{micro}_x = 1") == member(f"{mu}_x = 1")


def test_spans_point_at_the_text() -> None:
    text = "neuron N:\n    tau * dv/dt = -(v - w)/(2 + 3)  # why\n"
    (item,) = parse(Source("made.snn", text)).items
    assert isinstance(item, t.Model)
    (line,) = item.members
    assert isinstance(line, t.Equation)
    assert line.span.text == "tau * dv/dt = -(v - w)/(2 + 3)"
    assert line.right.span.text == "-(v - w)/(2 + 3)"
    assert line.left.span.text == "tau * dv/dt"
    assert item.span.text == text.split("  #")[0]


def test_windows_line_ends_and_marks_of_order() -> None:
    text = "\ufeffneuron N:\r\n    param a = 1\r\n"
    assert parse(Source("made.snn", text)) == parse(Source("made.snn", "neuron N:\n    param a = 1\n"))


@pytest.mark.parametrize("path", [HERE / "whole_language.snn", HERE / "corners.snn"], ids=lambda path: path.stem)
def test_every_construct_is_there(path: Path) -> None:
    assert parse(Source(path.name, path.read_text(encoding="utf-8"))).items


def test_the_two_files_use_every_kind_of_node() -> None:
    seen: set[str] = set()
    for file in ("whole_language.snn", "corners.snn"):
        stack: list[Any] = list(parse(Source(file, (HERE / file).read_text(encoding="utf-8"))).items)
        while stack:
            node = stack.pop()
            if isinstance(node, tuple):
                stack.extend(node)
            elif isinstance(node, t.Node):
                seen.add(type(node).__name__)
                stack.extend(getattr(node, field) for field in node.__dataclass_fields__ if field != "span")
    kinds = {kind.__name__ for kind in t.Node.__subclasses__()} - {"File"}
    assert kinds - seen == set()
