"""Delays of a connection: one time, a draw or an expression for each synapse, a list of times, or an array from a file.

Refused are delays that are no times, negative or infinite ones, and a list for synapses that cannot be told one by one. A delay that is
no multiple of dt is rounded, with a warning (W501). ``trainable(3 ms, max = 10 ms)`` is one time that training changes (E783 where it is
written otherwise).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from snnlang.diagnostics import Diagnostic
from snnlang.model.evaluate import evaluate
from snnlang.model.expression import Constant
from snnlang.model.network import ArrayValue, Projection, Value
from snnlang.model.units import TIME
from snnlang.model.values import Reader, loads
from snnlang.syntax import tree

_PAIR = frozenset({"random", "position", "index"})


def read_delay(options: Mapping[str, tree.Expression], name: str, what: str, reader: Reader) -> Value | None:
    """The option ``name`` as times in ms; None where it is not given, or after a report."""
    expr = options.get(name)
    if expr is None:
        return None
    if isinstance(expr, tree.ListLiteral):
        rows = _rows(expr, what, reader)
        if rows is None:
            return None
        try:
            array = np.array(rows, dtype=np.float64)
        except ValueError:
            reader.collector.error(
                "E510", f"the rows of {what} differ in length", expr.span, help="give every row as many times"
            )
            return None
        if array.size == 0:
            reader.collector.error("E510", f"{what} is an empty list", expr.span, help="give at least one time")
            return None
        return _checked(ArrayValue(array, TIME, span=expr.span), expr, what, reader)
    if loads(expr):
        value = reader.value(expr, TIME, what, _PAIR)
        return _checked(value, expr, what, reader) if isinstance(value, ArrayValue) else None
    found = reader.duration(expr, what, _PAIR)
    number = None if found is None else evaluate(found)
    if found is None or number is None:
        return found
    if not _sound(float(number), expr, what, reader):
        return None
    _rounded((float(number),), expr, what, reader)
    return found


def _rows(expr: tree.ListLiteral, what: str, reader: Reader) -> list[object] | None:
    """Nested rows of times in ms."""
    rows: list[object] = []
    sound = True
    for item in expr.items:
        entry: object = None
        if isinstance(item, tree.ListLiteral):
            entry = _rows(item, what, reader)
        else:
            found = reader.duration(item, f"an entry of {what}")
            if found is not None:
                entry = reader.constant(found, item.span, f"an entry of {what}")
        sound = sound and entry is not None
        rows.append(entry)
    return rows if sound else None


def _checked(value: ArrayValue, expr: tree.Expression, what: str, reader: Reader) -> ArrayValue | None:
    numbers = value.array.reshape(-1)
    wrong = numbers[~np.isfinite(numbers) | (numbers < 0)]
    if wrong.size:
        _sound(float(wrong[0]), expr, f"an entry of {what}", reader)
        return None
    _rounded(np.unique(numbers).tolist(), expr, f"an entry of {what}", reader)
    return value


def _sound(value: float, expr: tree.Expression, what: str, reader: Reader) -> bool:
    if value >= 0 and math.isfinite(value):
        return True
    reader.collector.error(
        "E525",
        f"{what} is {value:g} ms; time does not run backwards" if value < 0 else f"{what} is not finite",
        expr.span,
        "negative" if value < 0 else "",
        help="give a delay of 0 ms or more",
    )
    return False


def _rounded(values: tuple[float, ...] | list[float], expr: tree.Expression, what: str, reader: Reader) -> None:
    """W501, for the first value that is no multiple of dt."""
    dt = reader.clock.dt
    if not dt:
        return
    for value in values:
        steps = value / dt
        if abs(steps - round(steps)) > 1e-6 * max(1.0, steps):
            reader.collector.warning(
                "W501",
                f"{what} of {value:g} ms is not a multiple of dt = {dt:g} ms",
                expr.span,
                f"becomes {round(steps) * dt:g} ms",
                help="choose a delay or a dt that fit",
            )
            return


def trained_delay(expr: tree.Expression | None, reader: Reader) -> tuple[Value | None, tuple[float, float]] | None:
    """``trainable(3 ms, max = 10 ms)`` as its value and its range in ms; None for any other delay. After a report the value is None."""
    match expr:
        case tree.Call(function=tree.Name(id="trainable"), arguments=arguments):
            pass
        case _:
            return None
    given: dict[str, tree.Expression] = {}
    for argument in arguments:
        name = "value" if isinstance(argument, tree.Argument) and argument.name is None else getattr(argument, "name", None)
        if not isinstance(argument, tree.Argument) or name not in ("value", "min", "max") or name in given:
            reader.collector.error(
                "E783",
                "this is no argument of a trainable delay",
                argument.span,
                help="write `delay = trainable(3 ms, min = 0 ms, max = 10 ms)`",
            )
            return None, (0.0, 0.0)
        given[name] = argument.value
    missing = next((name for name in ("value", "max") if name not in given), None)
    if missing is not None:
        what = "the delay that training begins with" if missing == "value" else "how late it may become (`max`)"
        reader.collector.error("E783", f"a trainable delay needs {what}", expr.span, help="write `delay = trainable(3 ms, max = 10 ms)`")
        return None, (0.0, 0.0)
    numbers: dict[str, float] = {"min": 0.0}
    for name, one in given.items():
        found = reader.duration(one, "a trainable delay")
        number = None if found is None else reader.constant(found, one.span, "a trainable delay")
        if number is None or not _sound(float(number), one, "a trainable delay", reader):
            return None, (0.0, 0.0)
        numbers[name] = float(number)
    if not numbers["min"] <= numbers["value"] <= numbers["max"]:
        reader.collector.error(
            "E783",
            f"a trainable delay of {numbers['value']:g} ms begins outside of {numbers['min']:g} ms to {numbers['max']:g} ms",
            given["value"].span,
            help="begin within `min` and `max`",
        )
        return None, (0.0, 0.0)
    return Constant(numbers["value"], TIME, span=given["value"].span), (numbers["min"], numbers["max"])


def rounded_delays(projections: Iterable[Projection], dt: float) -> list[Diagnostic]:
    """W501 for each trainable delay that a simulation rounds to its steps."""
    found: list[Diagnostic] = []
    for projection in projections:
        if projection.delay_range is None or not isinstance(projection.delay, Constant):
            continue
        value = float(projection.delay.value)
        steps = value / dt
        if abs(steps - round(steps)) > 1e-6 * max(1.0, steps):
            found.append(
                Diagnostic(
                    "W501",
                    f"the delay of {projection.path}, {value:g} ms, is not a multiple of dt = {dt:g} ms",
                    projection.span,
                    f"becomes {round(steps) * dt:g} ms",
                    help=("choose a dt that fits; training interpolates between steps, and a simulation does not",),
                    severity="warning",
                )
            )
    return found
