"""Checks a synapse for the neurons it connects: units of ``pre.x`` and ``post.x``, their events, the port, the weight and the gain.

A synapse alone cannot know what the neuron at the other side offers. At a connection it is checked once more from its text with both
neurons known; results are kept, since a network uses one pair many times.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from snnlang.diagnostics import Collector, Diagnostic, Label, Span
from snnlang.model import expression as e
from snnlang.model import model as m
from snnlang.model.algebra import intern, is_plain, product, same
from snnlang.model.check_synapse import Sides, Target, Written, check_synapse
from snnlang.model.symbols import Members, Symbol
from snnlang.model.typed import ONE_UNIT, quantity_of
from snnlang.model.units import Unit, describe

_Key = tuple[int, int, int, str, Unit | None, Unit | None, int, int]
_kept: dict[_Key, tuple[m.Synapse, list[Diagnostic], tuple[object, ...]]] = {}
_LARGEST = 512


def bind_synapse(
    synapse: m.Synapse,
    *,
    pre: m.Neuron | None,
    post: m.Neuron,
    port: str,
    gain: Unit | None = None,
    span: Span | None = None,
    pre_output: Unit | None = None,
) -> tuple[m.Synapse, list[Diagnostic]]:
    """The synapse with the units of this pair, and what does not fit. ``pre`` None is a network input of unit ``pre_output``.

    ``port`` is a port or input of ``post`` ("" when the synapse names its own); ``gain`` multiplies every delivery; ``span`` is the
    connection. A synapse that has mistakes of its own is returned as it is.
    """
    written = synapse.written
    if not isinstance(written, Written) or not written.sound:
        return synapse, []
    place = (span.start, span.end) if span is not None else (-1, -1)
    key = (id(synapse), id(pre), id(post), port, gain, pre_output, *place)
    found = _kept.get(key)
    if found is not None:
        return found[0], found[1]
    collector = Collector()
    sides = Sides(_pre_side(pre, pre_output), _side("post", post), _targets(post, port, gain), post.is_difference, span)
    bound = check_synapse(written.node, written.gathered, collector, sides)
    diagnostics = [_at_connection(diagnostic, span) for diagnostic in collector.sorted()]
    if len(_kept) > _LARGEST:
        _kept.clear()
    _kept[key] = (bound, diagnostics, (synapse, pre, post))  # the objects stay alive with their ids
    return bound, diagnostics


def bind_plain(
    *,
    pre: m.Neuron | None,
    post: m.Neuron,
    port: str,
    weight: Unit | None,
    gain: Unit | None = None,
    span: Span | None = None,
    analogue: bool = False,
    pre_output: Unit | None = None,
) -> list[Diagnostic]:
    """The same for a connection without ``via``: ``w`` (times what an analogue source sends) against the port.

    ``weight`` None is the default of 1; ``analogue`` sources send a value of unit ``pre_output`` in every step.
    """
    target = _targets(post, port, gain).get(None)
    if target is None:
        return []
    given: Unit | None = weight if weight is not None else ONE_UNIT
    if analogue and pre_output is not None:
        given = product(given, pre_output)
    if gain is not None:
        given = product(given, gain)
    wanted = target.flow if analogue else target.unit
    collector = Collector()
    place = f"`{target.owner}.{target.port}`"
    if given is not None and wanted is not None and not same(given, wanted):
        shown = target.shown_unit(wanted)
        if is_plain(given) and gain is None:
            collector.error(
                "E404",
                f"a weight without unit goes into {place}, which takes {quantity_of(shown)}",
                span,
                "a plain number",
                help=f"give the weight a unit, `w = 1 {shown}`, or write `gain = 1 {shown}`",
            )
        else:
            ratio = intern(wanted / given)
            what = "is sent per step" if analogue else "is delivered"
            collector.error(
                "E403",
                f"{place} takes {quantity_of(shown)}, but {quantity_of(describe(given))} {what}",
                span,
                f"this is {quantity_of(describe(given))}",
                help=f"multiply the weight by something in {quantity_of(describe(ratio))}",
            )
    elif not analogue and target.is_input and target.is_ode:
        collector.warning(
            "W401",
            f"a pulse into the input {place} of a differential equation depends on dt",
            span,
            "lasts one step",
            help="connect to a port state (a jump), or use a synapse with a state of its own",
        )
    return list(collector)


def _at_connection(diagnostic: Diagnostic, span: Span | None) -> Diagnostic:
    if (
        span is None
        or any(label.span is span for label in diagnostic.labels)
        or diagnostic.span is None
        or diagnostic.span is span
    ):
        return diagnostic
    return replace(diagnostic, labels=(*diagnostic.labels, Label(span, "at this connection")))


def _pre_side(neuron: m.Neuron | None, output: Unit | None) -> Members:
    if neuron is not None:
        return _side("pre", neuron)
    symbols = {
        "index": Symbol("index", "index", ONE_UNIT, scope="pre"),
        "output": Symbol("output", "output", output if output is not None else ONE_UNIT, scope="pre"),
    }
    return Members("the network input", symbols)


def _side(side: str, neuron: m.Neuron) -> Members:
    """Everything a neuron shows to synapses."""
    scope: Literal["pre", "post"] = "pre" if side == "pre" else "post"
    symbols: dict[str, Symbol] = {}
    for param in neuron.params:
        symbols[param.name] = Symbol(param.name, "param", intern(param.unit), shown=param.shown, scope=scope)
    for entry in neuron.inputs:
        symbols[entry.name] = Symbol(entry.name, "input", intern(entry.unit), shown=entry.shown, scope=scope)
    for definition in neuron.definitions:
        symbols[definition.name] = Symbol(definition.name, "definition", intern(definition.unit), scope=scope)
    for state in neuron.states:
        form = "port" if state.port else ""
        symbols[state.name] = Symbol(state.name, "state", intern(state.unit), shown=state.shown, form=form, scope=scope)
    symbols.setdefault("index", Symbol("index", "index", ONE_UNIT, scope=scope))
    output = neuron.output_unit if neuron.output_unit is not None else ONE_UNIT
    symbols.setdefault("output", Symbol("output", "output", intern(output), scope=scope))
    return Members(f"`{neuron.name}`", symbols, {event.name: event.kind for event in neuron.events})


def _targets(post: m.Neuron, port: str, gain: Unit | None) -> dict[str | None, Target]:
    """Where deliveries can go, by the name after ``to post.``; None is the port of the connection."""
    is_ode = bool(post.differentials)
    decisive = _decisive(post)
    targets: dict[str | None, Target] = {}
    for state in post.states:
        if state.port:
            targets[state.name] = Target(
                post.name,
                state.name,
                intern(state.unit),
                False,
                is_ode,
                gain,
                state.shown,
                is_difference=state.kind == "difference",
                fires=state.name in decisive,
            )
    for entry in post.inputs:
        targets[entry.name] = Target(
            post.name, entry.name, intern(entry.unit), True, is_ode, gain, entry.shown, fires=post.is_difference
        )
    if port in targets:
        targets[None] = targets[port]
    return targets


def _decisive(neuron: m.Neuron) -> set[str]:
    """The variables that the condition of ``spike`` reads, through definitions."""
    event = next((event for event in neuron.events if event.name == "spike"), None)
    names: set[str] = set()
    stack = [event.condition] if event is not None and event.condition is not None else []
    definitions = {definition.name: definition.value for definition in neuron.definitions}
    while stack:
        for part in e.walk(stack.pop()):
            if isinstance(part, e.Variable) and part.scope == "self" and part.name not in names:
                names.add(part.name)
                if part.name in definitions:
                    stack.append(definitions[part.name])
    return names
