"""The difference graph: in which order ``x[n] = …``, the definitions they need and the tests of events are evaluated.

A node comes after every node whose value of this step (``[n]``) it reads; nodes that do not depend on each other keep their written
order, and event tests that nothing waits for come last. A cycle is refused (E703); the checker finds it first.
"""

from __future__ import annotations

from collections.abc import Sequence

from snnlang.diagnostics import Span, error
from snnlang.dynamics.system import Node
from snnlang.dynamics.terms import events_in, names_in
from snnlang.dynamics.text import to_text
from snnlang.model.expression import Expr, Occurs, Variable, walk
from snnlang.model.model import Definition, Difference, Event


def is_timed(expr: Expr) -> bool:
    """Whether an expression reads ``[n]``, ``[n-k]`` or an event: it is evaluated at one moment of the step only."""
    return any(isinstance(node, Occurs) or (isinstance(node, Variable) and node.lag is not None) for node in walk(expr))


def timed_definitions(definitions: Sequence[Definition]) -> frozenset[str]:
    """Names of definitions that are nodes of the difference graph, directly or through another one."""
    timed = {definition.name for definition in definitions if is_timed(definition.value)}
    changed = True
    while changed:
        changed = False
        for definition in definitions:
            if definition.name not in timed and any(name in timed for name in names_in(definition.value)):
                timed.add(definition.name)
                changed = True
    return frozenset(timed)


def order(
    differences: Sequence[Difference], definitions: Sequence[Definition], events: Sequence[Event]
) -> tuple[Node, ...]:
    """The nodes in order of evaluation. Raises SnnError E703 for a cycle through this step's values."""
    timed = timed_definitions(definitions)
    nodes: dict[tuple[str, str], Node] = {}
    for difference in differences:
        source = source_text(difference.span) or f"{difference.variable}[n] = {to_text(difference.value)}"
        nodes["value", difference.variable] = Node(
            "difference", difference.variable, difference.value, source, difference.span
        )
    for definition in definitions:
        if definition.name in timed:
            source = source_text(definition.span) or f"{definition.name} = {to_text(definition.value)}"
            nodes["value", definition.name] = Node(
                "definition", definition.name, definition.value, source, definition.span
            )
    for event in events:
        if event.kind != "emitted" and event.condition is not None:
            nodes["event", event.name] = Node("event", event.name, event.condition, source_text(event.span), event.span)
    every = {definition.name: definition.value for definition in definitions}
    ordered: dict[tuple[str, str], Node] = {}
    for key, node in nodes.items():
        if node.kind == "difference":
            _visit(key, nodes, every, ordered, ())
    for key, node in nodes.items():
        if node.kind == "event":
            _visit(key, nodes, every, ordered, ())
    return tuple(ordered.values())


def _visit(
    key: tuple[str, str],
    nodes: dict[tuple[str, str], Node],
    definitions: dict[str, Expr],
    ordered: dict[tuple[str, str], Node],
    path: tuple[tuple[str, str], ...],
) -> None:
    if key in ordered:
        return
    if key in path:
        cycle = [*path[path.index(key) :], key]
        node = nodes[key]
        raise error(
            "E703",
            "these values of one step wait for each other",
            node.span,
            "needs " + ", which needs ".join(f"{name}[n]" for _, name in cycle[1:]),
            help=f"read one of them one step back: `{key[1]}[n-1]`",
        )
    node = nodes[key]
    for needed in _needs(node, nodes, definitions):
        _visit(needed, nodes, definitions, ordered, (*path, key))
    ordered[key] = node


def _needs(node: Node, nodes: dict[tuple[str, str], Node], definitions: dict[str, Expr]) -> list[tuple[str, str]]:
    found: dict[tuple[str, str], None] = {}
    seen: set[str] = set()

    def gather(expr: Expr) -> None:
        for event in events_in(expr):
            if ("event", event) in nodes:
                found["event", event] = None
        for name in names_in(expr):
            if ("value", name) in nodes:
                found["value", name] = None
            elif name in definitions and name not in seen:
                seen.add(name)
                gather(definitions[name])

    if node.value is not None:
        gather(node.value)
    return list(found)


def source_text(span: Span | None) -> str:
    """What the user wrote, on one line."""
    return "" if span is None else " ".join(span.text.split())
