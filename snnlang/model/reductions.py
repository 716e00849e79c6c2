"""Reductions over a population (``all.mean(v)``) or over the synapses of a neuron (``sum(w, per post)``), and the past of traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snnlang.model import expression as e
from snnlang.model.arguments import count_of, plain_arguments
from snnlang.model.suggest import help_for, listing
from snnlang.model.symbols import Symbol
from snnlang.model.typed import ONE_UNIT, TIME_UNIT, UNKNOWN, Typed
from snnlang.syntax import tree

if TYPE_CHECKING:
    from snnlang.model.resolve import Resolver


_POPULATION = ("sum", "mean", "max", "min", "argmax", "argmin", "rank")


def population_reduction(resolver: Resolver, node: tree.Call, function: tree.Attribute) -> Typed:
    name = function.name
    if name not in _POPULATION:
        resolver.collector.error(
            "E327",
            f"the population has no `all.{name}`",
            function.span,
            "not known",
            help=help_for(name, _POPULATION) or (f"there are {listing(_POPULATION)}",),
        )
        return UNKNOWN
    if "all" not in resolver.allow:
        resolver.collector.error(
            "E327",
            f"`all.{name}` cannot be used in {resolver.names.where}",
            node.span,
            "no population here",
            help="only equations, conditions and handlers of a neuron see their population",
        )
        return UNKNOWN
    over: tuple[int, ...] | None = None
    values: list[tree.Expression] = []
    for argument in node.arguments:
        if isinstance(argument, tree.Argument) and argument.name == "over":
            over = _axes(argument.value)
            if over is None:
                resolver.collector.error(
                    "E327",
                    "`over` names axes of the population by whole numbers",
                    argument.span,
                    "not axes",
                    help="write `over = 0` or `over = [0, 1]`",
                )
                return UNKNOWN
        elif isinstance(argument, tree.Argument) and argument.name is None:
            values.append(argument.value)
    if len(values) != 1 or len(node.arguments) - len(values) > 1:
        resolver.collector.error(
            "E109",
            f"`all.{name}` takes one value",
            node.span,
            f"{count_of(len(values), 'value')} given",
            help=f"write `all.{name}(x)` or `all.{name}(x, over = 0)`",
        )
        return UNKNOWN
    typed = resolver.number(values[0])
    if typed.kind == "unknown":
        return UNKNOWN
    unit = ONE_UNIT if name in ("argmax", "argmin", "rank") else typed.unit
    return Typed(e.PopulationReduction(name, typed.expr, over, span=node.span), unit)


def _axes(node: tree.Expression) -> tuple[int, ...] | None:
    items = node.items if isinstance(node, tree.ListLiteral) else (node,)
    axes: list[int] = []
    for item in items:
        if not isinstance(item, tree.Number) or not item.is_integer:
            return None
        axes.append(int(item.value))
    return tuple(axes)


def synapse_reduction(resolver: Resolver, node: tree.Call, name: str) -> Typed:
    sides = [argument for argument in node.arguments if isinstance(argument, tree.Per)]
    values = [
        argument.value for argument in node.arguments if isinstance(argument, tree.Argument) and argument.name is None
    ]
    if "per" not in resolver.allow:
        resolver.collector.error(
            "E410",
            f"`{name}(…, per …)` cannot be used in {resolver.names.where}",
            node.span,
            "needs all synapses of a neuron",
            help="only handlers of a synapse can reduce over synapses",
        )
        return UNKNOWN
    side = sides[0]
    if side.side not in ("pre", "post"):
        resolver.collector.error(
            "E410", f"`per {side.side}` is not known", side.span, "neither side", help="write `per pre` or `per post`"
        )
        return UNKNOWN
    if name == "count" and not values:
        return Typed(
            e.SynapseReduction(name, e.Constant(1.0), "pre" if side.side == "pre" else "post", span=node.span), ONE_UNIT
        )
    if len(values) != 1 or len(sides) != 1 or len(node.arguments) != 2:
        resolver.collector.error(
            "E109",
            f"`{name}` takes one value and one side",
            node.span,
            "not of that form",
            help=f"write `{name}(w, per post)`",
        )
        return UNKNOWN
    value = resolver.resolve(values[0])
    typed = value if value.kind == "boolean" and name == "count" else resolver.number(values[0])
    if typed.kind == "unknown":
        return UNKNOWN
    expr = typed.expr
    if typed.kind == "boolean":
        expr = e.Select(expr, e.Constant(1.0), e.Constant(0.0), span=typed.expr.span)
        name = "sum"
    unit = ONE_UNIT if name == "count" or typed.kind == "boolean" else typed.unit
    return Typed(e.SynapseReduction(name, expr, "pre" if side.side == "pre" else "post", span=node.span), unit)


def resolve_past(resolver: Resolver, node: tree.Call, symbol: Symbol) -> Typed:
    nodes = plain_arguments(resolver, node, symbol.name, ("time",))
    if nodes is None:
        return UNKNOWN
    if "past" not in resolver.allow:
        resolver.collector.error(
            "E414",
            f"the past of the trace `{symbol.name}` is only known at the end of a trial",
            node.span,
            "looks back in time",
            help="move it into `on trial_end:`",
        )
        return UNKNOWN
    time = resolver.expect(nodes[0], TIME_UNIT, f"the time at which `{symbol.name}` is looked up", code="E213")
    if time.kind == "unknown":
        return UNKNOWN
    return Typed(e.AtTime(symbol.name, time.expr, symbol.unit or ONE_UNIT, span=node.span), symbol.unit)
