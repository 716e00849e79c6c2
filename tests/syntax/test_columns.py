"""Declarations that stand under one another are set in columns."""

from __future__ import annotations

from snnlang.diagnostics import Source
from snnlang.syntax.format import format_source

LOOSE = """neuron Cell:
    param tau_m = 20 ms in (0 ms, inf) "time constant"
    param R = 100 MOhm
    param v_rest: mV = -70 mV "rest"  # a remark
    input I = 0 nA "current"

    state v = 0 mV in [0 mV, 1 mV]
    param:
        a = 1 "one"
        bcd = 10 "two"
"""

SET = """neuron Cell:
    param tau_m      = 20 ms in (0 ms, inf)   "time constant"
    param R          = 100 MOhm
    param v_rest: mV = -70 mV                 "rest"  # a remark
    input I = 0 nA                            "current"

    state v = 0 mV in [0 mV, 1 mV]
    param:
        a   = 1    "one"
        bcd = 10   "two"
"""


def test_columns() -> None:
    assert format_source(Source("cell.snn", LOOSE)) == SET
    assert format_source(Source("cell.snn", SET)) == SET


def test_too_wide_for_columns() -> None:
    """A paragraph that would not fit in a line keeps single blanks."""
    text = f'neuron Cell:\n    param a = 1 "{"x" * 80}"\n    param much_too_long_a_name = 1000 "{"y" * 80}"\n'
    assert format_source(Source("cell.snn", text)) == text
