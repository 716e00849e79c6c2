"""Numbers with units that come from Python: ``"10 ms"`` as in the language, or a plain number in internal units.

Internal units are those of the language: ms, mV, pA, nS, pF, GOhm, kHz. A text that is no quantity, or has the wrong unit, is
refused with carets in the text (E0xx, E2xx) or E821.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnlang.diagnostics import Collector, error


def quantity(value: Any, unit: str, what: str) -> Any:
    """``value`` in internal units: a number or an array as it is, a text as the language reads it.

    ``unit`` is the expected internal unit as text (``mV``; ``""`` or ``1`` for none), ``what`` names the value in messages.
    """
    if not isinstance(value, str):
        return value
    from snnlang.model.evaluate import evaluate
    from snnlang.model.resolve import Resolver
    from snnlang.model.symbols import Names
    from snnlang.syntax.parse import parse_expression

    collector = Collector()
    typed = Resolver(Names(where=what), collector, allow=frozenset()).resolve(parse_expression(value, what))
    collector.raise_errors()
    number = evaluate(typed.expr)
    if number is None:
        raise error("E821", f"{what}: '{value}' is not a number", help='give a number with its unit, such as "10 ms"')
    found = "1" if typed.unit is None else str(typed.unit)
    expected = unit or "1"
    if found != expected and number != 0:
        raise error("E821", f"{what} is in {expected}, and '{value}' is in {found}", help=f"give it in {expected}")
    return number


def milliseconds(value: Any, what: str) -> float:
    """A time in ms from ``"1 s"`` or a number of ms; refuses what is negative or not finite (E821)."""
    number = quantity(value, "ms", what)
    if isinstance(number, bool) or not isinstance(number, (int, float, np.integer, np.floating)):
        raise error("E821", f"{what}: {value!r} is not a time", help='give a text such as "10 ms" or a number of ms')
    if not np.isfinite(number) or number < 0:
        raise error(
            "E821", f"{what}: a time of {number:g} ms cannot be simulated", help="give a finite time of at least 0 ms"
        )
    return float(number)
