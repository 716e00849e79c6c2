"""Calls: what is called, and the built-in functions: mathematics, draws and ``detach``.

User functions, responses, reductions and events have files of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from snnlang.model import expression as e
from snnlang.model.algebra import is_plain, power
from snnlang.model.arguments import count_of, plain_arguments
from snnlang.model.events import resolve_since
from snnlang.model.expression import FUNCTIONS, Expr
from snnlang.model.inline import inline
from snnlang.model.reductions import population_reduction, resolve_past, synapse_reduction
from snnlang.model.responses import resolve_response
from snnlang.model.suggest import help_for
from snnlang.model.typed import DRAWS, ONE_UNIT, UNKNOWN, Typed, quantity_of, text_of
from snnlang.model.units import Unit
from snnlang.syntax import tree

if TYPE_CHECKING:
    from snnlang.model.resolve import Resolver


_SAME = frozenset({"abs", "relu"})  # keep the unit of their argument
_ANY = frozenset({"sign", "heaviside"})  # take any unit, give a plain number
_ALIKE = frozenset({"min", "max", "mod", "clip", "atan2"})  # arguments of one unit
_REDUCTIONS = frozenset({"sum", "mean", "min", "max", "count"})


def resolve_call(resolver: Resolver, node: tree.Call) -> Typed:
    """A call of anything that can be called."""
    function = node.function
    if isinstance(function, tree.Attribute):
        if isinstance(function.value, tree.Name) and function.value.id == "all":
            return population_reduction(resolver, node, function)
        return _not_callable(resolver, node, text_of(function))
    if not isinstance(function, tree.Name):
        return _not_callable(resolver, node, text_of(function))
    name = function.id
    if name == "grad" and resolver.backward is not None:
        return resolver.backward.gradient(resolver, node)
    user = resolver.names.function(name)
    if user is not None:
        return inline(resolver, user, node)
    special = _SPECIAL.get(name)
    if special is not None:
        return special(resolver, node)
    if name in _REDUCTIONS and any(isinstance(argument, tree.Per) for argument in node.arguments):
        return synapse_reduction(resolver, node, name)
    if name in DRAWS:
        return _draw(resolver, node, name)
    if name in FUNCTIONS:
        return _builtin(resolver, node, name)
    symbol = resolver.names.find(name)
    if symbol is not None:
        if symbol.kind == "trace":
            return resolve_past(resolver, node, symbol)
        return _not_callable(resolver, node, name)
    if name in ("sum", "mean", "count"):
        resolver.collector.error(
            "E410",
            f"`{name}` needs to be told over what",
            node.span,
            "over which synapses or neurons?",
            help=f"write `{name}(w, per post)` in a synapse, or `all.{name}(x)` in a neuron",
        )
        return UNKNOWN
    if not resolver.names.is_lost(name):
        names = [*resolver.names.all_functions(), *FUNCTIONS, *DRAWS, *_SPECIAL]
        resolver.collector.error(
            "E102",
            f"unknown function `{name}`",
            function.span,
            "not declared",
            help=help_for(name, names) or ("declare it with `func`, or import it",),
        )
    for argument in node.arguments:
        if isinstance(argument, tree.Argument):
            resolver.resolve(argument.value)
    return UNKNOWN


def _not_callable(resolver: Resolver, node: tree.Call, text: str) -> Typed:
    if isinstance(node.function, tree.Name) or resolver.resolve(node.function).kind != "unknown":
        resolver.collector.error(
            "E108", f"`{text}` is no function", node.span, "cannot be called", help=f"write `{text}*(…)` to multiply"
        )
    return UNKNOWN


_FORMS: dict[str, tuple[str, ...]] = {
    "atan2": ("y", "x"),
    "mod": ("x", "y"),
    "clip": ("x", "low", "high"),
    "min": ("a", "b"),
    "max": ("a", "b"),
}


def _builtin(resolver: Resolver, node: tree.Call, name: str) -> Typed:
    if name in ("min", "max"):
        return _extreme(resolver, node, name)
    nodes = plain_arguments(resolver, node, name, _FORMS.get(name, ("x",)))
    if nodes is None:
        return UNKNOWN
    values = [resolver.number(argument) for argument in nodes]
    if any(value.kind == "unknown" for value in values):
        return UNKNOWN
    call = e.Call(name, tuple(value.expr for value in values), span=node.span)
    if name in _SAME:
        return Typed(call, values[0].unit, free=values[0].free)
    if name in _ANY:
        return Typed(call, ONE_UNIT)
    if name == "sqrt":
        return Typed(call, power(values[0].unit, Fraction(1, 2)))
    if name in _ALIKE:
        unit, fits = _alike(resolver, node, name, nodes, values)
        if not fits:
            return UNKNOWN
        return Typed(call, ONE_UNIT if name == "atan2" else unit)
    for argument, value in zip(nodes, values, strict=True):
        if value.unit is not None and not is_plain(value.unit):
            unit_text = resolver.shown(argument, value.unit)
            resolver.collector.error(
                "E204",
                f"the argument of `{name}` must be a plain number",
                argument.span,
                f"this is {quantity_of(unit_text)}",
                help=f"divide it by a quantity in {unit_text}",
            )
            return UNKNOWN
    return Typed(call, ONE_UNIT)


def _alike(
    resolver: Resolver, node: tree.Call, name: str, nodes: list[tree.Expression], values: list[Typed]
) -> tuple[Unit | None, bool]:
    first, first_node = values[0], nodes[0]
    unit = first.unit
    for argument, value in zip(nodes[1:], values[1:], strict=True):
        unit, fits = resolver.unify(
            first_node,
            first,
            argument,
            value,
            node,
            "E207",
            lambda a, b: f"the arguments of `{name}` differ: {quantity_of(a)} and {quantity_of(b)}",
        )
        if not fits:
            return None, False
        if first.unit is None:
            first, first_node = value, argument
    return unit, True


def _extreme(resolver: Resolver, node: tree.Call, name: str) -> Typed:
    nodes = [
        argument.value for argument in node.arguments if isinstance(argument, tree.Argument) and argument.name is None
    ]
    if len(nodes) < 2 or len(nodes) != len(node.arguments):
        resolver.collector.error(
            "E109",
            f"`{name}` takes two or more values",
            node.span,
            f"{count_of(len(nodes), 'value')} given",
            help=f"write `{name}(a, b)`",
        )
        return UNKNOWN
    values = [resolver.number(argument) for argument in nodes]
    if any(value.kind == "unknown" for value in values):
        return UNKNOWN
    unit, fits = _alike(resolver, node, name, nodes, values)
    if not fits:
        return UNKNOWN
    expr: Expr = values[0].expr
    for value in values[1:]:
        expr = e.Call(name, (expr, value.expr), span=node.span)
    return Typed(expr, unit, free=all(value.free for value in values))


def _draw(resolver: Resolver, node: tree.Call, name: str) -> Typed:
    nodes = plain_arguments(resolver, node, name, DRAWS[name])
    if nodes is None:
        return UNKNOWN
    values = [resolver.number(argument) for argument in nodes]
    if "random" not in resolver.allow:
        resolver.collector.error(
            "E325",
            f"a draw cannot stand in {resolver.names.where}",
            node.span,
            "a new number each time",
            help="draw in a handler, in an argument of the population, or use the white noise `xi` in an equation",
        )
        return UNKNOWN
    if any(value.kind == "unknown" for value in values):
        return UNKNOWN
    drawn = tuple(value.expr for value in values)
    unit: Unit | None = ONE_UNIT
    if name in ("uniform", "normal"):
        unit, fits = _alike(resolver, node, name, nodes, values)
        if not fits:
            return UNKNOWN
    elif name == "exponential":
        unit = values[0].unit
    else:
        if name == "gamma":
            unit = values.pop().unit
            nodes.pop()
        for argument, value in zip(nodes, values, strict=True):
            if value.unit is not None and not is_plain(value.unit):
                shown = resolver.shown(argument, value.unit)
                resolver.collector.error(
                    "E204",
                    f"the argument of `{name}` must be a plain number",
                    argument.span,
                    f"this is {quantity_of(shown)}",
                    help=f"divide it by a quantity in {shown}",
                )
                return UNKNOWN
    resolver.counters.draws += 1
    return Typed(e.Random(name, drawn, resolver.counters.draws - 1, span=node.span), unit)


def _detach(resolver: Resolver, node: tree.Call) -> Typed:
    nodes = plain_arguments(resolver, node, "detach", ("x",))
    typed = resolver.number(nodes[0]) if nodes is not None else UNKNOWN
    return typed if typed.kind == "unknown" else replace(typed, expr=e.Detach(typed.expr, span=node.span))


def _grad(resolver: Resolver, node: tree.Call) -> Typed:
    from snnlang.model.adjoint_block import gradient_outside

    return gradient_outside(resolver, node)


_SPECIAL: dict[str, Callable[[Resolver, tree.Call], Typed]] = {
    "since": resolve_since,
    "response": resolve_response,
    "detach": _detach,
    "grad": _grad,
}
