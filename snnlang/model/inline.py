"""Functions and kernels of the user: the body with its parameters replaced.

A user function is checked where it is called, with the units it is called with; a mistake that only shows there is reported at
the call and points into the function. Recursion is refused: it could not be inlined.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from snnlang.diagnostics import Collector, Diagnostic, Label
from snnlang.model.arguments import bind
from snnlang.model.model import Function
from snnlang.model.symbols import Names, Symbol
from snnlang.model.typed import UNKNOWN, Typed
from snnlang.syntax import tree

if TYPE_CHECKING:
    from snnlang.model.resolve import Resolver


_LARGEST = 5_000  # inlined calls of one model


def inline(
    resolver: Resolver,
    function: Function,
    node: tree.Call,
    first: Typed | None = None,
    arguments: tuple[tree.Argument | tree.Per, ...] | None = None,
) -> Typed:
    """The body with its parameters replaced. ``first`` gives the first parameter (a kernel's time) from outside."""
    definition = function.definition
    if definition.name in resolver.calling:
        chain = " -> ".join([*resolver.calling[resolver.calling.index(definition.name) :], definition.name])
        resolver.collector.error(
            "E112",
            f"`{definition.name}` calls itself",
            node.span,
            chain,
            help="write the recursion as a state, or the sum in closed form",
        )
        for argument in node.arguments:
            if isinstance(argument, tree.Argument):
                resolver.resolve(argument.value)
        return UNKNOWN
    resolver.counters.calls += 1
    if resolver.counters.calls > _LARGEST:
        resolver.collector.error(
            "E125",
            "the functions of this model expand into too much text",
            node.span,
            f"more than {_LARGEST} calls",
            help="name a part that is used often by a definition",
        )
        return UNKNOWN
    parameters = definition.parameters[1:] if first is not None else definition.parameters
    names = tuple(parameter.name for parameter in parameters)
    defaults = frozenset(parameter.name for parameter in parameters if parameter.default is not None)
    bound = bind(resolver, node, definition.name, names, defaults, arguments)
    if bound is None:
        return UNKNOWN
    inner = Collector()
    home = function.home if function.home is not None else Names()
    table = Names(where=f"`{definition.name}`", parent=home)
    failed = False
    if first is not None:
        table.add(Symbol(definition.parameters[0].name, "argument", first.unit, first.expr))
    for parameter in parameters:
        given = bound.get(parameter.name)
        if given is not None:
            value = resolver.number(given)
        else:
            assert parameter.default is not None
            value = resolver.inside(home, inner, definition.name).number(parameter.default)
        failed = failed or value.kind == "unknown"
        unit = None if resolver.unitless else value.unit
        shown = resolver.shown(given, value.unit) if given is not None and value.unit is not None else None
        table.add(Symbol(parameter.name, "argument", unit, value.expr, shown))
    if failed:
        return UNKNOWN
    result = resolver.inside(table, inner, definition.name).number(definition.value)
    for diagnostic in inner.sorted():
        if diagnostic.is_error:
            if diagnostic.code != "E112" or not _told(resolver.collector, diagnostic):
                resolver.collector.add(_at_call(diagnostic, node, definition.name))
            break
    return result


def _told(collector: Collector, circle: Diagnostic) -> bool:
    """Whether the same circle of functions was reported, begun at another one."""
    names = set(circle.label.split(" -> "))
    return any(d.code == "E112" and set(d.label.split(" -> ")) == names for d in collector.diagnostics)


def _at_call(diagnostic: Diagnostic, node: tree.Call, name: str) -> Diagnostic:
    """A mistake inside a function, told at its call."""
    if diagnostic.code == "E125":
        return replace(diagnostic, span=node.span)
    if diagnostic.span is None or diagnostic.code == "E112":
        return diagnostic
    where = Label(diagnostic.span, f"in `{name}`: {diagnostic.label}" if diagnostic.label else f"in `{name}`")
    return replace(
        diagnostic, span=node.span, label=f"`{name}` is called here", labels=(where, *diagnostic.labels), fix=None
    )
