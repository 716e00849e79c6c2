"""Populations: the arguments given to a neuron, checked against its parameters, bounds and shape.

``LIF(tau_m = 10 ms, v = uniform(-70 mV, -50 mV))`` sets parameters and initial states. An argument may be a constant, a draw, an
expression of ``index``, ``position``, other parameters and network inputs, a list of numbers or an array from a file. It refuses
unknown names, wrong units, values outside the declared bounds, and parameters left without a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from snnlang.diagnostics import Collector, Label, Span
from snnlang.model.evaluate import evaluate
from snnlang.model.expression import Expr, Position, Random, Variable, walk
from snnlang.model.frame import Frame, InputDraft, Place, PopulationDraft, source_of
from snnlang.model.model import Bounds, Neuron, Param, State, Synapse
from snnlang.model.network import ArrayValue, Population, Value
from snnlang.model.patterns import Shape, show, size
from snnlang.model.suggest import help_for, listing
from snnlang.model.symbols import Names, Symbol
from snnlang.model.units import ONE, describe
from snnlang.model.values import Clock, Reader
from snnlang.syntax import tree

ARGUMENT = frozenset({"random", "index", "position"})


def argument_names(frame: Frame, params: Iterable[Param], where: str, own: str = "") -> Names:
    """What an argument may name: the network's parameters and constants first, its inputs, then the model's parameters."""
    names = Names(where=where, parent=frame.names, lost=frame.names.lost)
    for name, member in frame.members.items():
        if isinstance(member, InputDraft):
            real = source_of(Place(member, (), None, None, member.span, frame)).draft
            names.add(Symbol(name, "input", ONE, Variable(real.path, ONE, "network"), place=member.span))
    for param in params:
        if param.name != own and not frame.names.peek(param.name):
            names.add(Symbol(param.name, "param", param.unit, place=param.span))
    return names


def finish_population(
    draft: PopulationDraft,
    inputs: Mapping[str, InputDraft],
    extra: Mapping[str, tree.Expression],
    collector: Collector,
    clock: Clock,
) -> Population | None:
    """The population of a draft whose shape is known; ``extra`` holds arguments from ``--set`` and sweeps. None after a report."""
    model, shape = draft.model, draft.shape
    if model is None:
        return None
    given = read_arguments(model, draft.arguments, extra, collector, draft.frame.names)
    arguments: dict[str, Value] = {}
    sound = True
    for name, expr in given.items():
        symbol = model.symbol(name)
        assert isinstance(symbol, Param | State)
        names = argument_names(draft.frame, model.params, f"the arguments of `{draft.path}`", name)
        value = Reader(names, collector, clock).value(
            expr, symbol.unit, f"the argument `{name}` of {model.name}", ARGUMENT
        )
        if value is None or (shape is not None and not _fits(value, expr, shape, name, draft, inputs, collector)):
            sound = False
            continue
        arguments[name] = value
    require_given(model, given, draft.span, collector, draft.path)
    check_bounds(model, arguments, given, collector)
    return Population(draft.path, model, shape, arguments, span=draft.span) if shape is not None and sound else None


def read_arguments(
    model: Neuron | Synapse,
    written: tuple[tree.Argument, ...],
    extra: Mapping[str, tree.Expression],
    collector: Collector,
    frame_names: Names,
    others: Iterable[str] = (),
) -> dict[str, tree.Expression]:
    """The arguments by name, unknown and repeated ones reported; ``others`` are names that somebody else will take."""
    known = [item.name for group in (model.params, model.states) for item in group]
    others = list(others)
    given: dict[str, tree.Expression] = {}
    for position, argument in enumerate(written):
        name = argument.name
        if name is None:
            if any(before.name is not None for before in written[:position]):
                continue  # the parser has said so
            collector.error(
                "E507",
                f"the arguments of {model.name} need names",
                argument.span,
                "which one is it?",
                help=f"write for example `{known[0]} = {argument.span.text}`" if known else "remove it",
            )
        elif name in others:
            continue
        elif name not in known:
            if not frame_names.is_lost(name):
                collector.error(
                    "E507",
                    f"{model.name} has no parameter or state `{name}`",
                    argument.span,
                    "not known",
                    help=_unknown_help(model, name, known, argument),
                )
        elif name in given:
            collector.error(
                "E507", f"the argument `{name}` is given twice", argument.span, "again here", help="remove one of them"
            )
        else:
            given[name] = argument.value
    given.update(extra)
    return given


def _unknown_help(model: Neuron | Synapse, name: str, known: list[str], argument: tree.Argument) -> tuple[str, ...]:
    if any(item.name == name for item in model.inputs):
        return (
            f"`{name}` is an input: connect something to it, or `drive NAME.{name} = {argument.value.span.text}` in the experiment",
        )
    return help_for(name, known) or ((f"it has {listing(known, 12)}",) if known else ("it takes no arguments",))


def require_given(
    model: Neuron | Synapse, given: Mapping[str, object], span: Span, collector: Collector, what: str
) -> None:
    """Report parameters without a default that were not given."""
    for param in model.params:
        if param.default is None and param.name not in given:
            collector.error(
                "E508",
                f"{model.name} needs a value for `{param.name}`",
                span,
                f"`{param.name}` is missing in {what}",
                labels=() if param.span is None else (Label(param.span, "has no default"),),
                help=f"write `{model.name}({param.name} = …)`",
            )


def _fits(
    value: Value,
    expr: tree.Expression,
    shape: Shape,
    name: str,
    draft: PopulationDraft,
    inputs: Mapping[str, InputDraft],
    collector: Collector,
) -> bool:
    if isinstance(value, ArrayValue):
        if value.array.shape not in (shape, (size(shape),)):
            collector.error(
                "E510",
                f"`{name}` was given {show(value.array.shape)} numbers, and `{draft.path}` has the shape {show(shape)}",
                expr.span,
                f"is {show(value.array.shape)}",
                labels=(Label(draft.span, f"is {show(shape)}"),),
                help=f"give {show(shape)} numbers, or one for all",
            )
            return False
        return True
    for node in walk(value):
        if isinstance(node, Position) and node.axis >= len(shape):
            collector.error(
                "E517",
                f"`{draft.path}` has the shape {show(shape)}: there is no coordinate {node.axis}",
                node.span,
                help=f"its coordinates are 0 to {len(shape) - 1}",
            )
            return False
        if isinstance(node, Variable) and node.scope == "network":
            feed = inputs.get(node.name)
            if feed is None:
                collector.error(
                    "E536",
                    f"`{node.name}` is fed by neurons and cannot be an argument",
                    expr.span,
                    help="connect it to an input of the neuron instead",
                )
                return False
            if feed.shape is None:
                feed.shape = shape
            elif size(feed.shape) not in (1, size(shape)):
                collector.error(
                    "E510",
                    f"the input `{node.name}` has the shape {show(feed.shape)}, and `{draft.path}` is {show(shape)}",
                    expr.span,
                    "one value for each neuron is needed",
                    labels=(Label(feed.span, f"is {show(feed.shape)}"),),
                    help="give both the same shape",
                )
                return False
    return True


def check_bounds(
    model: Neuron | Synapse, arguments: Mapping[str, Value], given: Mapping[str, tree.Expression], collector: Collector
) -> None:
    """Report arguments outside their bounds where both are known."""
    constants: dict[str, float] = {}
    for param in model.params:
        chosen = arguments.get(param.name, param.default if param.name not in given else None)
        number = evaluate(chosen, constants) if chosen is not None and not isinstance(chosen, ArrayValue) else None
        if number is not None:
            constants[param.name] = number
    items: list[Param | State] = [*model.params, *model.states]
    for item in items:
        value = arguments.get(item.name)
        if value is None or item.bounds is None:
            continue
        low, high = evaluate(item.bounds.low, constants), evaluate(item.bounds.high, constants)
        for number in _extremes(value, constants):
            if not _inside(number, low, high, item.bounds):
                _report_bounds(model, item, number, low, high, given[item.name].span, collector)
                break


def _extremes(value: Value, constants: Mapping[str, float]) -> list[float]:
    if isinstance(value, ArrayValue):
        return [float(np.min(value.array)), float(np.max(value.array))]
    ends: tuple[Expr, ...] = (
        value.arguments if isinstance(value, Random) and value.distribution == "uniform" else (value,)
    )
    found = [evaluate(end, constants) for end in ends]
    return [number for number in found if number is not None]


def _inside(number: float, low: float | None, high: float | None, bounds: Bounds) -> bool:
    above = low is None or (number >= low if bounds.low_closed else number > low)
    below = high is None or (number <= high if bounds.high_closed else number < high)
    return above and below


def _report_bounds(
    model: Neuron | Synapse,
    item: Param | State,
    number: float,
    low: float | None,
    high: float | None,
    span: Span,
    collector: Collector,
) -> None:
    assert item.bounds is not None
    unit = "" if item.unit.is_dimensionless else f" {describe(item.unit)}"
    ends = [
        f"{end:g}{unit}" if end is not None and np.isfinite(end) else "-inf" if end is not None and end < 0 else "inf"
        for end in (low, high)
    ]
    interval = f"{'[' if item.bounds.low_closed else '('}{ends[0]}, {ends[1]}{']' if item.bounds.high_closed else ')'}"
    place = item.bounds.span or item.span
    collector.error(
        "E509",
        f"`{item.name}` of {model.name} must lie in {interval}, and this is {number:g}{unit}",
        span,
        f"is {number:g}{unit}",
        labels=() if place is None else (Label(place, "declared here"),),
        help="give a value inside the bounds",
    )
