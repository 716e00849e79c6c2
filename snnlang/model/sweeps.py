"""The values of a sweep: a list, or evenly spaced numbers (``linspace(0 nA, 1 nA, 11)``, ``logspace(…)``), each as an expression."""

from __future__ import annotations

import math

from snnlang.model.units import ONE, Unit, describe
from snnlang.model.values import Reader
from snnlang.syntax import tree
from snnlang.syntax.parse import parse_expression


def read_sweep(line: tree.Sweep, reader: Reader) -> tuple[tree.Expression, ...] | None:
    """The values in order; None after a report (E614)."""
    values = line.values
    if isinstance(values, tree.ListLiteral) and values.items:
        return values.items
    if isinstance(values, tree.Call) and isinstance(values.function, tree.Name) and values.function.id in ("linspace", "logspace"):
        return _spaced(values, values.function.id, reader)
    message = "a sweep needs at least one value" if isinstance(values, tree.ListLiteral) else "a sweep needs a list of values"
    reader.collector.error("E614", message, values.span, "no values", help="write `[1, 2, 3]`, or `linspace(0 nA, 1 nA, 11)`")
    return None


def _spaced(call: tree.Call, kind: str, reader: Reader) -> tuple[tree.Expression, ...] | None:
    expressions = [a.value for a in call.arguments if isinstance(a, tree.Argument)]
    if len(expressions) != 3:
        reader.collector.error(
            "E614", f"{kind} takes the first value, the last and how many", call.span, help=f"write `{kind}(1 nA, 2 nA, 11)`"
        )
        return None
    first, last = reader.typed(expressions[0]), reader.typed(expressions[1])
    count = reader.whole(expressions[2], f"the number of values of {kind}", 1)
    if first.unit is None or last.unit is None or count is None:
        return None
    if first.unit != last.unit and not last.free:
        reader.collector.error(
            "E614",
            f"the ends of {kind} have the units {describe(first.unit)} and {describe(last.unit)}",
            call.span,
            help="give both the same unit",
        )
        return None
    low, high = (
        reader.constant(first.expr, expressions[0].span, "the first value"),
        reader.constant(last.expr, expressions[1].span, "the last value"),
    )
    if low is None or high is None:
        return None
    if kind == "logspace":
        if low <= 0 or high <= 0:
            reader.collector.error("E614", "logspace needs values above 0", call.span, help="use linspace")
            return None
        return tuple(_quantity(math.exp(x), first.unit) for x in _between(math.log(low), math.log(high), count))
    return tuple(_quantity(x, first.unit) for x in _between(low, high, count))


def _between(low: float, high: float, count: int) -> list[float]:
    return [low if count == 1 else low + (high - low) * i / (count - 1) for i in range(count)]


def _quantity(value: float, unit: Unit) -> tree.Expression:
    return parse_expression(
        f"{value:.15g}"
        if unit == ONE
        else f"{value:.15g}*(1 {describe(unit)})"
        if "/" in describe(unit)
        else f"{value:.15g} {describe(unit)}",
        "sweep",
    )
