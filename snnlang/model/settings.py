"""The settings of an experiment: ``dt``, ``duration``, ``seed``, ``method`` …, from the text and from the command line.

Time comes first: ``dt`` and the models' own ``step`` decide how every other time is read (:class:`~snnlang.model.values.Clock`).
Refused are unknown settings, a dt that contradicts a model's step, and values that make no sense.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from snnlang.diagnostics import Collector, Label, Span
from snnlang.model.assemble import Opened, counts_steps, has_time_scale
from snnlang.model.evaluate import evaluate
from snnlang.model.suggest import help_for, listing
from snnlang.model.symbols import Names
from snnlang.model.units import TIME
from snnlang.model.values import Clock, Reader
from snnlang.syntax import tree

#: Every setting of ``simulate`` with the kind of its value.
SETTINGS: dict[str, str] = {
    "dt": "time",
    "duration": "time",
    "seed": "whole",
    "method": "method",
    "precision": "word",
    "target": "word",
    "threads": "whole",
    "math": "word",
    "record_initial": "truth",
}
#: Settings of ``train`` besides; those marked True must be given.
TRAIN_SETTINGS: dict[str, bool] = {
    "data": True,
    "loss": True,
    "optimizer": True,
    "steps": False,
    "gradient": False,
    "batch": False,
    "epochs": False,
    "dt": False,
    "duration": False,
    "seed": False,
    "method": False,
    "precision": False,
    "target": False,
    "threads": False,
    "math": False,
    "schedule": False,
    "validate": False,
    "test": False,
    "clip": False,
    "truncate": False,
    "checkpoint": False,
    "micro_batch": False,
    "augment": False,
}
METHODS = ("auto", "exact", "exponential_euler", "euler", "heun", "rk4")
WORDS = {
    "precision": ("float64", "float32"),
    "target": ("auto", "numpy", "interpreter", "c", "cuda"),
    "math": ("fast", "strict"),
}
DEFAULT_DT = 0.1


def collect(
    lines: tuple[tree.ExperimentLine, ...], known: Mapping[str, object], kind: str, collector: Collector, lost: frozenset[str]
) -> dict[str, tree.Setting]:
    """Settings by name; unknown and repeated ones are reported."""
    found: dict[str, tree.Setting] = {}
    for line in lines:
        if not isinstance(line, tree.Setting):
            continue
        if line.name not in known:
            if line.name not in lost:
                collector.error(
                    "E602",
                    f"`{kind}` has no setting `{line.name}`",
                    line.span,
                    "not known",
                    help=help_for(line.name, known) or (f"settings are {listing(known, 20)}",),
                )
        elif line.name in found:
            collector.error(
                "E602",
                f"`{line.name}` is set twice",
                line.span,
                "again here",
                labels=(Label(found[line.name].span, "first here"),),
                help="keep one of them",
            )
        else:
            found[line.name] = line
    return found


def read_clock(opened: Opened, dt: tree.Expression | None, names: Names, collector: Collector) -> Clock:
    """The clock of an experiment; its dt is the setting, else the models' step, else 1 step or 0.1 ms."""
    steps, scale = counts_steps(opened), has_time_scale(opened)
    models = opened.neurons()
    ticks = [(model, value) for model in models if model.step is not None and (value := evaluate(model.step)) is not None]
    for model, value in ticks[1:]:
        if not math.isclose(value, ticks[0][1], rel_tol=1e-9):
            first = ticks[0][0]
            collector.error(
                "E605",
                f"{first.name} ticks every {ticks[0][1]:g} ms and {model.name} every {value:g} ms",
                opened.span,
                "one step for all is needed",
                help="give both models one `step`",
            )
            return Clock(ticks[0][1], steps)
    if dt is None:
        if ticks:
            return Clock(ticks[0][1], steps)
        return Clock(1.0, steps, False) if steps and not scale else Clock(DEFAULT_DT, steps)
    value = Reader(names, collector).number(dt, TIME, "dt")
    if value is None:
        return Clock(ticks[0][1] if ticks else DEFAULT_DT, steps)
    if value <= 0 or not math.isfinite(value):
        collector.error(
            "E603",
            f"dt must be longer than 0 ms, and this is {value:g} ms",
            dt.span,
            f"is {value:g} ms",
            help="write for example `dt = 0.1 ms`",
        )
        return Clock(DEFAULT_DT, steps)
    if ticks and not math.isclose(value, ticks[0][1], rel_tol=1e-9):
        model, tick = ticks[0]
        place: Span | None = getattr(model.step, "span", None) or model.span
        collector.error(
            "E605",
            f"{model.name} is written for steps of {tick:g} ms, and dt is {value:g} ms",
            dt.span,
            f"is {value:g} ms",
            labels=() if place is None else (Label(place, f"`step = {tick:g} ms`"),),
            help=f"write `dt = {tick:g} ms`, or leave dt out",
        )
        value = tick
    return Clock(value, steps)


def read_setting(name: str, expr: tree.Expression, reader: Reader, opened: Opened) -> Any:
    """The value of a setting, None after a report. Times in ms."""
    collector = reader.collector
    what = f"the setting `{name}`"
    match SETTINGS.get(name, ""):
        case "time":
            return reader.time(expr, what)
        case "whole":
            return reader.whole(expr, what, 1 if name == "threads" else 0)
        case "truth":
            return reader.truth(expr, what)
        case "word":
            word = reader.word(expr)
            if word in WORDS[name]:
                return word
            collector.error(
                "E603",
                f"{what} cannot be `{expr.span.text}`",
                expr.span,
                "not known",
                help=help_for(word or "", WORDS[name]) or (f"choose {listing(WORDS[name])}",),
            )
            return None
        case "method":
            return read_method(expr, opened, collector)
        case _:
            return None


def read_method(expr: tree.Expression, opened: Opened, collector: Collector) -> dict[str, str] | None:
    """``rk4`` for all, or ``[rk4(E), exact(I, J)]``: paths to methods, ``""`` for all others."""
    result: dict[str, str] = {}
    for item in expr.items if isinstance(expr, tree.ListLiteral) else (expr,):
        function = item.function if isinstance(item, tree.Call) else item
        word = function.id if isinstance(function, tree.Name) else function.value if isinstance(function, tree.String) else ""
        if word not in METHODS:
            collector.error(
                "E603",
                f"there is no method `{word or item.span.text}`",
                function.span,
                "not known",
                help=help_for(word, METHODS) or (f"choose {listing(METHODS)}",),
            )
            return None
        if not isinstance(item, tree.Call):
            result[""] = word
            continue
        for argument in item.arguments:
            path = argument.value.span.text if isinstance(argument, tree.Argument) else ""
            if path not in opened.populations:
                collector.error(
                    "E505",
                    f"there is no population `{path}` in {opened.frame.name}",
                    argument.span,
                    "not declared",
                    help=help_for(path, opened.populations) or (f"it has {listing(opened.populations)}",),
                )
                return None
            result[path] = word
    return result
