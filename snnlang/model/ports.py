"""Both ends of a connection: which event or value leaves, and which port or input it enters.

``E.peak -> I.v`` names them; without a name the spike (or the output) leaves, and the only entrance is taken. Third factors
(``RSTDP(DA = VTA.level)``) are resolved here too. Refused are sources that send nothing, entrances that are not there, and a choice between
several that was not made.
"""

from __future__ import annotations

from collections.abc import Iterator

from snnlang.diagnostics import Collector, Label
from snnlang.model.frame import Finder, Frame, InputDraft, Link, Part, Place, PopulationDraft, source_of
from snnlang.model.model import Deliver, ForVacant, If, Neuron, State, Statement, Synapse
from snnlang.model.patterns import Shape, show, size
from snnlang.model.suggest import help_for, listing
from snnlang.model.units import ONE, Unit, describe
from snnlang.syntax import tree


def entrances(model: Neuron) -> list[str]:
    """Inputs and port states: what a connection may enter."""
    return [item.name for item in model.inputs] + [state.name for state in model.states if state.port]


def pre_port(place: Place, synapse: Synapse | None, collector: Collector) -> str | None:
    """The event that leaves, or ``output`` for a value; None after a report."""
    draft = place.draft
    if isinstance(draft, InputDraft):
        if place.port is not None:
            collector.error(
                "E520",
                f"`{draft.path}` is an input of the network and has no `{place.port}`",
                place.port_span,
                "not there",
                help=f"write `{draft.path}`",
            )
            return None
        if synapse is not None and uses_pre_events(synapse):
            collector.error(
                "E520",
                f"{synapse.name} waits for events of pre, and `{draft.path}` only sends values",
                place.span,
                "sends no events",
                help="let the input drive a population of sources, such as `Poisson(rate = 60 Hz * image)`, and connect that",
            )
            return None
        return "output"
    model = draft.model
    if model is None:
        return None
    events = [event.name for event in model.events]
    if place.port is not None:
        if place.port in events or (place.port == "output" and model.output is not None):
            return place.port
        if draft.frame.names.is_lost(place.port):
            return None
        symbol = model.symbol(place.port)
        if symbol is not None:
            helps: tuple[str, ...] = (f"declare `output {place.port}` in {model.name} to send its value",)
            message = f"`{place.port}` of {model.name} is no event: it cannot be sent"
        else:
            helps = help_for(place.port, [*events, "output"]) or ((f"{model.name} has {listing(events)}",) if events else ())
            message = f"{model.name} has no event `{place.port}`"
        collector.error("E520", message, place.port_span, "not an event", help=helps)
        return None
    if model.output is not None and not ("spike" in events and synapse is not None and uses_pre_events(synapse)):
        return "output"
    if "spike" in events:
        return "spike"
    if not model.span and not draft.internal:
        return None
    helps = (f"name the event: `{draft.path}.{events[0]}`",) if events else (f"give {model.name} `spike when …` or `output …`",)
    collector.error(
        "E520", f"`{draft.path}` sends nothing: {model.name} has no spike rule and no output", place.span, "sends nothing", help=helps
    )
    return None


def post_port(place: Place, synapse: Synapse | None, collector: Collector) -> str | None:
    """The port or input that is entered; ``""`` when the synapse names its ports itself; None after a report."""
    draft = place.draft
    assert isinstance(draft, PopulationDraft)
    model = draft.model
    if model is None:
        return None
    known = entrances(model)
    if place.port is not None:
        if place.port in known:
            return place.port
        if draft.frame.names.is_lost(place.port):
            return None
        symbol = model.symbol(place.port)
        if isinstance(symbol, State):
            label = () if symbol.span is None else (Label(symbol.span, "declared here"),)
            collector.error(
                "E518",
                f"`{place.port}` of {model.name} is a state, but not a port",
                place.port_span,
                "cannot receive",
                labels=label,
                help=f"declare `port state {place.port}` to let connections add to it",
            )
        else:
            collector.error(
                "E518",
                f"{model.name} has no port or input `{place.port}`",
                place.port_span,
                "not there",
                help=help_for(place.port, known)
                or ((f"it receives at {listing(known)}",) if known else (f"declare `input {place.port} = …` in {model.name}",)),
            )
        return None
    if synapse is not None and not needs_port(synapse):
        return ""
    if len(known) == 1:
        return known[0]
    if known:
        collector.error(
            "E519",
            f"{model.name} receives at {listing(known)}: which one?",
            place.span,
            "several entrances",
            help=f"name it: `{draft.path}.{known[0]}`",
        )
    else:
        collector.error(
            "E519",
            f"{model.name} receives nothing: it has no input and no port",
            place.span,
            "no entrance",
            help=f"declare `input I = …` or `port state …` in {model.name}",
        )
    return None


def _statements(body: tuple[Statement, ...]) -> Iterator[Statement]:
    for statement in body:
        yield statement
        if isinstance(statement, If):
            for _, inner in statement.branches:
                yield from _statements(inner)
        elif isinstance(statement, ForVacant):
            yield from _statements(statement.body)


def needs_port(synapse: Synapse) -> bool:
    """Whether some ``deliver`` leaves it to the connection where it goes."""
    delivers = list(synapse.delivers)
    for handler in synapse.handlers:
        delivers.extend(s for s in _statements(handler.body) if isinstance(s, Deliver))
    return any(deliver.port is None for deliver in delivers)


def uses_pre_events(synapse: Synapse) -> bool:
    """Whether something in it waits for the event that travels along the connection."""
    triggers = [handler.trigger for handler in synapse.handlers] + [trace.trigger for trace in synapse.traces]
    return any(trigger.kind == "pre" and trigger.event in ("", "spike") for trigger in triggers)


def bind_factors(synapse: Synapse, arguments: tuple[tree.Argument, ...], link: Link, post: Part, finder: Finder) -> dict[str, str]:
    """Broadcast and per-post inputs and events of a synapse, bound to paths such as ``VTA.level`` (a bare unknown name: data)."""
    bound: dict[str, str] = {}
    inputs = {item.name: item for item in synapse.inputs}
    for argument in arguments:
        if argument.name in inputs:
            item = inputs[argument.name]
            wanted: Shape = (1,) if item.adjective == "broadcast" else post.shape
            found = _factor(argument.value, link.frame, item.name, item.unit, wanted, False, finder)
        elif argument.name in synapse.post_events:
            found = _factor(argument.value, link.frame, argument.name, ONE, post.shape, True, finder)
        else:
            continue
        if found is not None and argument.name is not None:
            bound[argument.name] = found
    return bound


def _factor(expr: tree.Expression, frame: Frame, name: str, unit: Unit, wanted: Shape, event: bool, finder: Finder) -> str | None:
    collector = finder.collector
    if isinstance(expr, tree.Name) and expr.id not in frame.members:
        return expr.id  # a column of the data, or a value from Python; the experiment knows
    if not isinstance(expr, tree.Name | tree.Attribute):
        collector.error(
            "E528",
            f"`{name}` is bound to a source, not to a value",
            expr.span,
            "not a source",
            help="name a population's variable, such as `VTA.level`, an input of the network, or a column of the data",
        )
        return None
    place = finder.place(expr, frame)
    if place is None:
        return None
    if isinstance(place, Frame):
        collector.error(
            "E528", f"`{name}` is bound to a population or an input, not to a block", expr.span, help="name something inside the block"
        )
        return None
    place = source_of(place)
    draft = place.draft
    if isinstance(draft, InputDraft):
        if draft.shape is None and not draft.failed:
            draft.shape = wanted
        found, source_unit = draft.path, ONE
    else:
        variable = _variable(place, draft, event, collector, expr)
        if variable is None:
            return None
        found, source_unit = f"{draft.path}.{variable[0]}", variable[1]
    if draft.shape is not None and size(draft.shape) != size(wanted):
        need = "one value" if wanted == (1,) else f"one value for each of {show(wanted)} neurons"
        collector.error(
            "E528",
            f"`{name}` needs {need}, and `{draft.path}` has the shape {show(draft.shape)}",
            expr.span,
            f"is {show(draft.shape)}",
            help="choose a source of the size needed",
        )
        return None
    if not event and source_unit != unit:
        collector.error(
            "E528",
            f"`{name}` has the unit {describe(unit)}, and `{found}` has {describe(source_unit)}",
            expr.span,
            f"has {describe(source_unit)}",
            help="let the source send a value of that unit",
        )
        return None
    return found


def _variable(place: Place, draft: PopulationDraft, event: bool, collector: Collector, expr: tree.Expression) -> tuple[str, Unit] | None:
    model = draft.model
    if model is None:
        return None
    events = [item.name for item in model.events]
    if event:
        name = place.port or "spike"
        if name in events:
            return name, ONE
        collector.error(
            "E528",
            f"{model.name} has no event `{name}`",
            expr.span,
            "not an event",
            help=help_for(name, events) or ((f"it has {listing(events)}",) if events else ()),
        )
        return None
    name = place.port or "output"
    if name == "output" and model.output is not None:
        return name, model.output_unit or ONE
    symbol = model.symbol(name)
    if symbol is None:
        known = [item.name for group in (model.states, model.definitions, model.params) for item in group]
        collector.error(
            "E528",
            f"{model.name} has no variable `{name}`",
            expr.span,
            "not there",
            help=help_for(name, known) or (f"name one: {listing([f'{draft.path}.{item}' for item in known])}",),
        )
        return None
    return name, symbol.unit
