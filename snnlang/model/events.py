"""Which event an expression names: ``spike``, ``peak``, ``pre``, ``post.peak``, ``desired``; and the time since it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from snnlang.model import expression as e
from snnlang.model.arguments import plain_arguments
from snnlang.model.suggest import help_for, listing
from snnlang.model.symbols import Names
from snnlang.model.typed import TIME_UNIT, UNKNOWN, Typed, text_of
from snnlang.syntax import tree

if TYPE_CHECKING:
    from snnlang.model.resolve import Resolver


Side = Literal["self", "pre", "post"]


def event_reference(resolver: Resolver, node: tree.Expression, *, report: bool = True) -> tuple[str, Side] | None:
    """The event that ``spike``, ``peak``, ``pre``, ``post.peak`` or ``desired`` names; None if it names none."""
    if isinstance(node, tree.Name):
        if resolver.names.event(node.id) and not resolver.names.peek(node.id):
            return node.id, "self"
        if node.id in ("pre", "post") and resolver.names.member_table(node.id) is not None:
            return "spike", "pre" if node.id == "pre" else "post"
    if isinstance(node, tree.Attribute) and isinstance(node.value, tree.Name):
        side = node.value.id
        table = resolver.names.member_table(side)
        if table is not None and (
            node.name in table.events or (table.open and report and node.name not in table.symbols)
        ):
            return node.name, "pre" if side == "pre" else "post"
        if table is not None and report:
            resolver.collector.error(
                "E402",
                f"{table.owner} has no event `{node.name}`",
                node.span,
                "not there",
                help=help_for(node.name, table.events) or (f"it has {listing(table.events)}" if table.events else "",),
            )
            return None
    if report:
        text = text_of(node)
        events = list(_all_events(resolver.names))
        hint = help_for(text, events) or ((f"the events here are {listing(events)}",) if events else ())
        if not resolver.names.is_lost(text):
            resolver.collector.error("E313", f"`{text}` is no event", node.span, "nothing raises it", help=hint)
    return None


def _all_events(names: Names) -> list[str]:
    return [*names.events, *(_all_events(names.parent) if names.parent is not None else [])]


def resolve_since(resolver: Resolver, node: tree.Call) -> Typed:
    nodes = plain_arguments(resolver, node, "since", ("event",))
    if nodes is None:
        return UNKNOWN
    if "events" not in resolver.allow:
        resolver.collector.error(
            "E115",
            f"`since` cannot be used in {resolver.names.where}",
            node.span,
            "no events here",
            help="use it in an equation, a condition or a handler of a model",
        )
        return UNKNOWN
    event = event_reference(resolver, nodes[0])
    if event is None:
        return UNKNOWN
    return Typed(e.Since(event[0], event[1], span=node.span), TIME_UNIT)
