"""A report of agreement as a table for people and as plain data for programs."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnlang.runtime.agreement import Agreement, Comparison, Events, Variable

WIDTH = 110


def table(report: Agreement) -> str:
    """What ``snn verify`` prints: a line of what was run, a table with one column for each way, and what does not agree."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    stream = io.StringIO()
    console = Console(file=stream, width=WIDTH, color_system=None, force_terminal=False, highlight=False)
    more = "" if report.excerpt.whole else report.remedy
    print(
        f"{report.experiment}: {report.excerpt}{more}, {report.precision}, compared with {report.reference}",
        file=stream,
    )
    if report.comparisons:
        rows = Table(box=SIMPLE_HEAD, pad_edge=False)
        rows.add_column("events, largest difference")
        rows.add_column(report.reference, justify="right")
        for comparison in report.comparisons:
            rows.add_column(comparison.label, justify="right")
        for name, reference in _event_rows(report):
            cells = [_event(_find_events(c, name)) for c in report.comparisons]
            rows.add_row(name, f"{reference:,}", *cells)
        for name, unit in _variable_rows(report):
            cells = [_number(_find_variable(c, name)) for c in report.comparisons]
            rows.add_row(f"{name} ({unit})" if unit not in ("", "1") else name, "", *cells)
        hidden = [[v for v in c.variables if v.hidden] for c in report.comparisons]
        if any(hidden):
            number = max(map(len, hidden))
            several = f"{number} parameters and inner arrays" if number > 1 else "1 parameter or inner array"
            rows.add_row(several, "", *(_number(max(h, key=lambda v: v.relative, default=None)) for h in hidden))
        console.print(rows)
    for comparison in report.comparisons:
        for line in verdict(report, comparison):
            print(line, file=stream)
    for target, reason in report.skipped:
        print(f"{target}: skipped, {reason}", file=stream)
    if not report.comparisons:
        print("nothing to compare with", file=stream)
    return "\n".join(text.rstrip() for text in stream.getvalue().split("\n") if text.strip())


def verdict(report: Agreement, comparison: Comparison) -> list[str]:
    """One line where a way agrees, else every way in which it does not."""
    head = comparison.label
    if comparison.agrees:
        same = "the same spikes" if comparison.events else report.same
        if comparison.tolerance == 0:
            return [f"{head}: every bit as {comparison.reference}"]
        worst = comparison.worst
        if worst is None or worst.relative == 0:
            return [f"{head}: agrees: {same} and the same numbers"]
        return [f"{head}: agrees: {same}, numbers within {worst.relative:.1e} of their size ({worst.name})"]
    if comparison.problem:
        return [f"{head}: does not run: {comparison.problem}"]
    lines = [f"{head}: differs in the synapses of {name}" for name in comparison.different]
    for events in comparison.events:
        if events.flip is not None:
            flip = events.flip
            has = comparison.reference if flip.in_reference else comparison.label
            other = comparison.label if flip.in_reference else comparison.reference
            near = ""
            if flip.distance is not None:
                near = f"; the sides of its condition differ by {flip.distance:.1e} of their size"
                near += " (rounding decides)" if flip.distance <= _rounding(report) else ""
            lines.append(
                f"{head}: differs from step {flip.step} on: {events.name} of neuron {flip.index} is in {has} and not in {other}{near}"
            )
    for variable in comparison.variables:
        if variable.beyond is not None:
            limit = f"{comparison.tolerance:g}" if comparison.tolerance else "none"
            lines.append(
                f"{head}: differs from step {variable.beyond} on: {variable.name} by {variable.difference:.2e} {variable.unit}"
                f" ({variable.relative:.1e} of its size, allowed {limit})"
            )
    return lines


def _rounding(report: Agreement) -> float:
    """Distances that a few roundings can make."""
    return 1e-12 if report.precision == "float64" else 1e-5


def _event_rows(report: Agreement) -> list[tuple[str, int]]:
    found: dict[str, int] = {}
    for comparison in report.comparisons:
        for events in comparison.events:
            found.setdefault(events.name, events.reference)
    return list(found.items())


def _variable_rows(report: Agreement) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for comparison in report.comparisons:
        for variable in comparison.variables:
            if not variable.hidden:
                found.setdefault(variable.name, variable.unit)
    return list(found.items())


def _find_events(comparison: Comparison, name: str) -> Events | None:
    return next((events for events in comparison.events if events.name == name), None)


def _find_variable(comparison: Comparison, name: str) -> Variable | None:
    return next((variable for variable in comparison.variables if variable.name == name), None)


def _event(events: Events | None) -> str:
    if events is None:
        return "-"
    return "equal" if events.flip is None else f"{events.count:,} ✗"


def _number(variable: Variable | None) -> str:
    if variable is None:
        return "-"
    shown = "0" if variable.difference == 0 else f"{variable.difference:.1e}"
    return shown if variable.beyond is None else f"{shown} ✗"


def data(report: Agreement) -> dict[str, Any]:
    """What ``snn verify --json`` prints; numbers that are infinite are null."""
    part = report.excerpt
    return {
        "agrees": report.agrees,
        "experiment": report.experiment,
        "precision": report.precision,
        "reference": report.reference,
        "steps": part.steps,
        "all_steps": part.all_steps,
        "dt": part.dt,
        "trials": part.trials,
        "all_trials": part.all_trials,
        "targets": [_comparison(comparison) for comparison in report.comparisons],
        "skipped": [{"target": target, "reason": reason} for target, reason in report.skipped],
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "target": comparison.label,
        "reference": comparison.reference,
        "agrees": comparison.agrees,
        "tolerance": comparison.tolerance,
        "problem": comparison.problem or None,
        "different_synapses": list(comparison.different),
        "events": [
            {
                "name": events.name,
                "reference": events.reference,
                "count": events.count,
                "equal": events.flip is None,
                "first_difference": None
                if events.flip is None
                else {
                    "step": events.flip.step,
                    "index": events.flip.index,
                    "in": comparison.reference if events.flip.in_reference else comparison.label,
                    "distance": events.flip.distance,
                },
            }
            for events in comparison.events
        ],
        "variables": [
            {
                "name": variable.name,
                "unit": variable.unit or "1",
                "largest_difference": _finite(variable.difference),
                "relative": _finite(variable.relative),
                "beyond_tolerance_from_step": variable.beyond,
            }
            for variable in comparison.variables
        ],
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
