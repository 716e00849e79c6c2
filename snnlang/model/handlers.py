"""Triggers and handlers: what ``on spike``, ``on post.peak``, ``on desired``, ``on trial_end``, ``on every 1 s`` wait for."""

from __future__ import annotations

from dataclasses import dataclass, field

from snnlang.model import model as m
from snnlang.model.declarations import Declared
from snnlang.model.evaluate import evaluate
from snnlang.model.inherit import Piece
from snnlang.model.statements import Body, time_of
from snnlang.model.suggest import help_for, listing
from snnlang.model.typed import EVERYTHING, Typed
from snnlang.syntax import tree

IN_HANDLERS = EVERYTHING - {"noise", "response", "per"}


@dataclass
class Handlers:
    """The checked handlers of a model and what they do to it."""

    handlers: list[m.Handler] = field(default_factory=list)
    assigned: dict[str, None] = field(default_factory=dict)
    delivered: list[tuple[tree.Deliver, Typed, str | None]] = field(default_factory=list)
    outward: list[str] = field(default_factory=list)
    waited: dict[str, None] = field(default_factory=dict)


def check_handlers(declared: Declared) -> Handlers:
    """Every handler of a model, one trigger each, in written order."""
    result = Handlers()
    for piece in declared.pieces:
        node = piece.member
        if not isinstance(node, tree.Handler):
            continue
        for written in node.triggers:
            trigger = check_trigger(declared, piece, written)
            known = trigger if trigger is not None else m.Trigger("trial_start")
            allow = IN_HANDLERS | ({"per"} if declared.kind == "synapse" else frozenset())
            if known.kind in ("trial_end", "every") or trigger is None:
                allow = allow | {"past"}
            if known.kind == "trial_end":
                allow = allow | {"end"}
            resolver = declared.resolver(piece.module, allow, running=True)
            body = Body(declared, resolver, known if trigger is not None else m.Trigger("every"), result.assigned)
            statements = body.check(node.body)
            result.delivered.extend(body.delivered)
            result.outward.extend(body.outward)
            if trigger is not None:
                if trigger.event:
                    result.waited[trigger.event] = None
                result.handlers.append(m.Handler(trigger, statements, node.span))
    return result


def check_trigger(declared: Declared, piece: Piece, node: tree.Trigger) -> m.Trigger | None:
    """What a handler or trace waits for; None after a report."""
    path = node.path
    if node.period is not None:
        resolver = declared.resolver(piece.module, frozenset(), running=True)
        period = time_of(declared, resolver, node.period, "the period")
        length = evaluate(period.expr) if period.kind != "unknown" else None
        if period.kind != "unknown" and not declared.constant(period, node.period, "the period"):
            return None
        if length is not None and length <= 0:
            declared.collector.error(
                "E329",
                "a period must be longer than 0",
                node.period.span,
                "never ends",
                help="write a time such as `100 ms`",
            )
            return None
        return m.Trigger("every", "", period.expr) if period.kind != "unknown" else None
    if path == ("trial_start",):
        return m.Trigger("trial_start")
    if path == ("trial_end",):
        return m.Trigger("trial_end")
    if declared.kind == "synapse":
        return _synapse_trigger(declared, piece, node)
    if len(path) == 1 and path[0] in declared.events:
        return m.Trigger("own", path[0])
    _unknown(declared, piece, node, list(declared.events))
    return None


def _synapse_trigger(declared: Declared, piece: Piece, node: tree.Trigger) -> m.Trigger | None:
    path = node.path
    if path[0] in ("pre", "post") and len(path) <= 2:
        event = path[1] if len(path) == 2 else "spike"
        table = declared.members[path[0]]
        if not table.open and event not in table.events:
            what = f"never fires `{event}`" if event == "spike" else f"has no event `{event}`"
            events = list(table.events)
            declared.collector.error(
                "E402",
                f"{table.owner} {what}",
                node.span,
                "waits for ever",
                help=help_for(event, events)
                or (f"its events are {listing(events)}" if events else "it has no events",),
            )
            return None
        return m.Trigger("pre" if path[0] == "pre" else "post", event)
    if len(path) == 1 and path[0] in declared.events:
        return m.Trigger("input", path[0])
    _unknown(declared, piece, node, ["pre", "post", *declared.events])
    return None


def _unknown(declared: Declared, piece: Piece, node: tree.Trigger, events: list[str]) -> None:
    text = ".".join(node.path)
    if declared.names(piece.module).is_lost(node.path[0]):
        return
    collector = declared.collector
    if declared.kind == "neuron" and node.path[0] in ("pre", "post"):
        collector.error(
            "E317",
            f"`{node.path[0]}` is not known in neuron `{declared.name}`",
            node.span,
            "only synapses have two sides",
            help="write `on spike:`; what happens at a connection belongs into a synapse",
        )
        return
    if declared.kind == "synapse" and text == "spike":
        collector.error(
            "E313",
            "a synapse has no `spike` of its own",
            node.span,
            "of which neuron?",
            help="write `on pre:` or `on post:`",
        )
        return
    words = [*events, "trial_start", "trial_end"]
    help = help_for(text, words)
    if not help:
        help = (f"the events here are {listing(events)}",) if events else (f"declare `event {text} when …`",)
        if declared.kind == "neuron" and text == "spike":
            help = ("add a rule: `spike when …`",)
    collector.error("E313", f"`{text}` is no event", node.span, "nothing raises it", help=help)
