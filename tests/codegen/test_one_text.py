"""Sizes, parameters, durations, seeds and time steps are given to compiled code when it runs: its text does not depend on them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import snnlang
from snnlang.codegen.target_c import emit
from snnlang.compile import compile_experiment
from snnlang.model.evaluate import evaluate
from snnlang.model.units import describe
from snnlang.runtime.load import Model, overrides

EXAMPLES = Path(__file__).parents[2] / "examples"

#: Parameters of networks that count something, and by how much they grow.
SIZES = {"N": 25, "rows": 4, "columns": 8, "cells": 3, "classes": 3, "channels": 1}


def c_text(model: Model, experiment: str, **options: Any) -> str:
    given = {
        "dt": None,
        "duration": None,
        "seed": None,
        "precision": None,
        "method": None,
        "target": "auto",
        "values": None,
    }
    chosen = overrides(**{**given, **options})
    return emit(compile_experiment(model.program, experiment, chosen)[1]).text


def changes(model: Model, experiment: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything that a user may set without a new compilation, each set to something else."""
    from snnlang.model.elaborate import elaborate

    elaborated = elaborate(model.program, experiment, overrides(None, None, None, None, None, "auto", None))
    yield "seed", {"seed": 12345}
    yield "dt", {"dt": elaborated.dt * 0.5}
    if elaborated.duration:
        yield "duration", {"duration": elaborated.duration * 1.5}
    for name, value in network_parameters(model, elaborated.network.name):
        yield name, {"values": {name: value}}
    yield from ((f"{name}", {"values": {name: value}}) for name, value in arguments(elaborated))


def network_parameters(model: Model, network: str) -> Iterator[tuple[str, Any]]:
    """Parameters of the network with another value: counts grow, other numbers are multiplied."""
    from snnlang.syntax import tree

    for item in model.program.file.items:
        if isinstance(item, tree.Network) and item.name == network:
            for parameter in item.parameters:
                if isinstance(parameter.default, tree.Number):
                    old = float(parameter.default.value)
                    yield parameter.name, int(old) + SIZES[parameter.name] if parameter.name in SIZES else old * 1.1


def arguments(elaborated: Any) -> Iterator[tuple[str, Any]]:
    """Parameters of neurons that are plain numbers."""
    for population in elaborated.network.populations:
        for param in population.model.params:
            value = population.arguments.get(param.name, param.default)
            number = None if value is None or hasattr(value, "array") else evaluate(value)
            if number is not None and number == number and abs(number) not in (0, float("inf")):
                unit = describe(param.unit)
                yield f"{population.path}.{param.name}", number * 1.1 if unit == "1" else f"{number * 1.1:.6g} {unit}"


EXPERIMENTS = [
    (path, experiment)
    for path in sorted(EXAMPLES.glob("*.snn"))
    for experiment in snnlang.load(path).simulations
]


@pytest.mark.parametrize(("path", "experiment"), EXPERIMENTS, ids=[f"{p.stem}-{e}" for p, e in EXPERIMENTS])
def test_text_depends_on_structure_alone(path: Path, experiment: str) -> None:
    """So that a change of a number never compiles anew."""
    model = snnlang.load(path)
    first = c_text(model, experiment)
    for what, options in changes(model, experiment):
        second = c_text(model, experiment, **options)
        lines = difflib.unified_diff(first.splitlines(), second.splitlines(), n=0, lineterm="")
        assert second == first, f"{what} = {options}\n" + "\n".join(list(lines)[:12])
