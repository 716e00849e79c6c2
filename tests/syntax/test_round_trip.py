"""parse(print(tree)) == tree, and formatting twice changes nothing."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from snnlang.diagnostics import Source
from snnlang.syntax import tree
from snnlang.syntax.format import format_file, print_expression
from snnlang.syntax.parse import parse, parse_expression
from tests.syntax.programs import EXPRESSIONS, FILES

CASES = int(os.environ.get("SNN_CASES", "2000"))
# Shrinking a whole program takes minutes: SNN_SHRINK=1 asks for it.
PHASES = (Phase.generate, Phase.shrink) if os.environ.get("SNN_SHRINK") else (Phase.generate,)
QUICK = settings(max_examples=CASES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None,
                 phases=PHASES)


@QUICK
@given(st.data())
def test_programs_survive_printing(data: st.DataObject) -> None:
    file = data.draw(FILES)
    text = format_file(file)
    again = parse(Source("made.snn", text))
    if again != file or format_file(again) != text:
        pytest.fail(text)


@QUICK
@given(EXPRESSIONS)
def test_expressions_survive_printing(expression: tree.Expression) -> None:
    text = print_expression(expression)
    assert parse_expression(text, "made") == expression, text
