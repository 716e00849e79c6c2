"""Delays that differ between synapses, in training: the synapses of a connection that are equally late are a link of their own.

A link is a linear map from what was sent a whole number of steps ago. A connection whose synapses have delays of their own is the sum of
such maps, one for each delay that occurs, each over its part of the synapses; all of them share one array of weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.adjoint import without_detach
from snnlang.codegen.learning_plan import LearningPlan, Link, layers_of
from snnlang.codegen.slopes import evaluate
from snnlang.diagnostics import error


def late_links(learning: LearningPlan, read: Callable[[str], NDArray[Any]]) -> LearningPlan:
    """The plan with such links taken apart. ``read`` gives the numbers of an array: delays in steps, initial states. Raises E781."""
    late = learning.plan.late
    for link in learning.links:
        if link.connectivity in learning.plan.trained_delays:
            _begins_at_rest(learning, link, read)
    if not any(link.connectivity in late for link in learning.links):
        return learning
    links: list[Link] = []
    for link in learning.links:
        if link.connectivity not in late:
            links.append(link)
            continue
        array, least = late[link.connectivity]
        occurring = [int(steps) for steps in np.unique(read(array))]
        if link.pool:
            raise late_refusal(link, "a maximum over synapses whose delays differ")
        cell = learning.cells.get(link.before)
        if cell is not None and cell.connection and max(occurring, default=0) > least:
            _begins_at_rest(learning, link, read)
        for steps in occurring:
            name = f"{link.name}, {steps} steps late"
            links.append(replace(link, name=name, lag=link.lag + steps - least, late=steps))
    return replace(learning, links=tuple(links), layers=layers_of(tuple(learning.cells), links))


def _begins_at_rest(learning: LearningPlan, link: Link, read: Callable[[str], NDArray[Any]]) -> None:
    """States that are computed once per pre neuron and felt late are those of late synapses only if nothing moves before the first
    arrival, and nothing is delivered."""
    cell = learning.cells[link.before]
    names: dict[str, Any] = {"dt": learning.plan.dt, "step": 0, "t": 0.0, "i": np.arange(cell.size)}
    names.update({parameter.array: read(parameter.array) for parameter in cell.parameters})
    names.update({name: 0.0 for name in cell.inputs})
    names.update({carried.name: read(carried.array) for carried in cell.carried})
    for let in cell.body:
        names[let.name] = evaluate(without_detach(let.value), names)
    moves = [c for c in cell.carried if not np.allclose(evaluate(c.after, names), names[c.name])]
    if moves or np.any(evaluate(cell.outputs[link.source], names) != 0):
        called = next((learning.plan.arrays[c.array].variable for c in moves), "") or "a state"
        raise late_refusal(link, f"synapses whose delays differ, and `{called}` moves before anything arrives")


def late_refusal(link: Link, what: str) -> Exception:
    """E781, at the connection."""
    return error(
        "E781",
        f"{link.name.partition(': ')[0]} cannot be trained through: it has {what}",
        link.span,
        help="give the connection one delay",
    )


__all__ = ["late_links", "late_refusal"]
