"""The canonical form: comments stay, brackets go, long lines are broken, a second time changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from snnlang.diagnostics import SnnError, Source
from snnlang.syntax import tree as t
from snnlang.syntax.format import (
    format_file,
    format_source,
    print_expression,
    print_number,
    print_statement,
    print_unit,
)
from snnlang.syntax.parse import parse, parse_expression
from tests.syntax.programs import SPAN

ROOT = Path(__file__).parents[2]
FILES = [path for folder in ("stdlib", "examples", "tests/syntax", "tests/model/good")
         for path in sorted((ROOT / folder).rglob("*.snn"))]


def formatted(text: str) -> str:
    return format_source(Source("made.snn", text))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_program_of_the_project(path: Path) -> None:
    source = Source(path.name, path.read_text(encoding="utf-8"))
    file = parse(source)
    text = format_file(file)
    again = parse(Source(path.name, text))
    assert again == file
    assert format_file(again) == text
    assert sorted(comment.text for comment in again.comments) == sorted(comment.text for comment in file.comments)
    assert all(line == line.rstrip() for line in text.split("\n"))


@pytest.mark.parametrize(("text", "expected"), [
    ("a+b*c", "a + b*c"),
    ("((a + b))*(c)", "(a + b)*c"),
    ("(a*b)*c", "a*b*c"),
    ("a*(b*c)", "a*(b*c)"),
    ("a/(b/c)", "a/(b/c)"),
    ("(-a)**2", "(-a)^2"),
    ("-(a^2)", "-a^2"),
    ("(a^b)^c", "(a^b)^c"),
    ("a - (b - c)", "a - (b - c)"),
    ("2 / m", "2 / m"),
    ("2/tau", "2/tau"),
    ("(10 mV)^2", "(10 mV)^2"),
    ("4/ms*exp(a)", "4/ms * exp(a)"),
    ("tau*dv/dt", "tau * dv/dt"),
    ("(dv)/dt", "dv/(dt)"),
    ("not (a and b)", "not (a and b)"),
    ("(not a) and b", "not a and b"),
    ("(a < b) == c", "(a < b) == c"),
    ("(a if b else c) if d else e", "(a if b else c) if d else e"),
    ("x[ n - 1 ]", "x[n-1]"),
    ("f( a,b = 2 , )", "f(a, b = 2)"),
    ("10000", "10_000"),
    ("1e-05", "1e-5"),
    ("1.50", "1.5"),
    ("20ms", "20 ms"),
    ("120 mS/cm**2", "120 mS/cm^2"),
    ("-(3 mV)", "-3 mV"),
    ("(3).x", "(3).x"),
])
def test_expressions(text: str, expected: str) -> None:
    assert print_expression(parse_expression(text, "made")) == expected
    assert parse_expression(expected, "made") == parse_expression(text, "made")


def test_numbers() -> None:
    assert [print_number(9999, True), print_number(1_000_000, True), print_number(1e16), print_number(0.1)] == [
        "9999", "1_000_000", "1e16", "0.1"]
    assert print_expression(t.Number(-2, True, span=SPAN)) == "-2"
    assert print_expression(t.Binary("^", t.Number(-2, True, span=SPAN), t.Name("a", span=SPAN), span=SPAN)) == "(-2)^a"


def test_units() -> None:
    assert print_unit((t.UnitFactor("mS"), t.UnitFactor("cm", -2))) == "mS/cm^2"
    assert print_unit((t.UnitFactor("ms", -1),)) == "1/ms"
    assert print_unit(()) == ""


def test_statements() -> None:
    assert print_statement(t.Hold("v", t.Quantity(2, (t.UnitFactor("ms"),), True, span=SPAN), span=SPAN)) == "hold v for 2 ms"


COMMENTS = """\
# the file
# begins so

from stdlib.neurons import LIF  # the library
const a = 1


# about N

# and more
neuron N:  # head
    # before the description
    "What it is."  # behind it
    # before the block
    param:  # block
        # inside
        b = 1  # first

        c = f(1,  # one
              2)  # two
        # last of the block

    # before the rule
    spike when v > 1
    on spike:
        # before
        if v > 2:  # why
            v = 1
            # end of the branch
        else:
            v = 2  # there
        # end of the handler
    # end of the model

# before the network
network M:
    x -> dense(3)  # a
      -> y: N  # b
# the end
"""


def test_comments_stay() -> None:
    text = formatted(COMMENTS)
    assert formatted(text) == text
    assert [line.strip() for line in text.split("\n") if line.strip().startswith("#")] == [
        "# the file", "# begins so", "# about N", "# and more", "# before the description", "# before the block", "# inside", "# one",
        "# last of the block", "# before the rule", "# before", "# end of the branch", "# end of the handler", "# end of the model",
        "# before the network", "# a", "# the end"]
    for line in ("neuron N:  # head", '    "What it is."  # behind it', "    param:  # block", "        b = 1  # first",
                 "        # one", "        c = f(1, 2)  # two", "        # last of the block", "        if v > 2:  # why",
                 "            # end of the branch", "            v = 2  # there", "        # end of the handler", "    # end of the model",
                 "const a = 1", "    # a"):
        assert line in text.split("\n"), text


def test_single_blank_lines_stay() -> None:
    text = "neuron N:\n    param a = 1\n\n\n\n    param b = 2\n    param c = 3\n\n    on spike:\n        a = 1\n\n        b = 2\n"
    assert formatted(text) == text.replace("\n\n\n\n", "\n\n")


def test_one_blank_line_between_items() -> None:
    assert formatted("neuron A:\n    param a = 1\nneuron B:\n    param b = 1\n") == (
        "neuron A:\n    param a = 1\n\nneuron B:\n    param b = 1\n")


def test_layout_of_handlers_is_the_authors() -> None:
    text = "neuron A:\n    on spike: v = 0\n    on peak:\n        v = 0\n"
    assert formatted(text) == text


def test_long_lines_are_broken() -> None:
    weights = ", ".join(["[0.5, 1.25, 0.5]"] * 12)
    stages = " -> ".join(f"conv2d({n}, kernel = 5, padding = same) -> c{n}: DLIF" for n in range(6))
    text = formatted(f"network N:\n    population p: LIF({', '.join(f'parameter_{n} = {n} mV' for n in range(12))})\n"
                     f"    connect a -> b.v: conv2d(1, kernel = 3) via STDP(A = 1, B = 2), w = [{weights}], settle(max = 64)\n"
                     f"    x -> {stages}\n")
    assert max(map(len, text.split("\n"))) <= 120
    assert formatted(text) == text


def test_breaks_of_a_chain_stay() -> None:
    text = "network N:\n    x -> conv2d(3) -> a: B\n      -> dense(4) -> c: D\n"
    assert formatted(text) == text


def test_what_cannot_be_read_is_not_formatted() -> None:
    with pytest.raises(SnnError):
        formatted("neuron N\n    param a = 1\n")
