"""Responses: ``response(kernel, spike)``, ``response(kernel, spike, last)`` and ``response(kernel, I)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snnlang.model import expression as e
from snnlang.model.events import event_reference
from snnlang.model.expression import Expr
from snnlang.model.inline import inline
from snnlang.model.suggest import help_for
from snnlang.model.typed import ONE_UNIT, TIME_UNIT, UNKNOWN, Typed, text_of
from snnlang.model.units import Unit
from snnlang.syntax import tree

if TYPE_CHECKING:
    from snnlang.model.resolve import Resolver


def resolve_response(resolver: Resolver, node: tree.Call) -> Typed:
    arguments = [a for a in node.arguments if isinstance(a, tree.Argument) and a.name is None]
    if len(arguments) not in (2, 3) or len(arguments) != len(node.arguments):
        resolver.collector.error(
            "E328",
            "a response needs a kernel and what it responds to",
            node.span,
            "not of that form",
            help="write `response(kernel, spike)`, `response(kernel, spike, last)` or `response(kernel, I)`",
        )
        return UNKNOWN
    if "response" not in resolver.allow:
        resolver.collector.error(
            "E328",
            f"a response cannot stand in {resolver.names.where}",
            node.span,
            "needs the past of a signal",
            help="name it by a definition of the model",
        )
        return UNKNOWN
    last = False
    if len(arguments) == 3:
        option = arguments[2].value
        if not isinstance(option, tree.Name) or option.id != "last":
            resolver.collector.error(
                "E328",
                "the third argument of a response can only be `last`",
                option.span,
                "not known",
                help="leave it out to sum over all events",
            )
            return UNKNOWN
        last = True
    kernel, unit = _kernel(resolver, arguments[0].value)
    source, source_unit, is_event = _source(resolver, arguments[1].value)
    if kernel is None or source is None:
        return UNKNOWN
    if last and not is_event:
        resolver.collector.error(
            "E328",
            "`last` needs an event",
            arguments[1].value.span,
            "a signal, not an event",
            help="leave `last` out to filter a signal",
        )
        return UNKNOWN
    if not is_event:
        # A filter integrates over time: kernel [u] * signal [s] * time.
        from_signal = None if unit is None or source_unit is None else unit * source_unit * TIME_UNIT
        return Typed(e.Response(kernel, source, last, span=node.span), from_signal)
    return Typed(e.Response(kernel, source, last, span=node.span), unit)


def _kernel(resolver: Resolver, node: tree.Expression) -> tuple[e.KernelFunction | None, Unit | None]:
    name = node.function if isinstance(node, tree.Call) else node
    user = resolver.names.function(name.id) if isinstance(name, tree.Name) else None
    if (
        user is None
        or not isinstance(name, tree.Name)
        or user.definition.kind != "kernel"
        or not user.definition.parameters
    ):
        if isinstance(name, tree.Name) and resolver.names.is_lost(name.id):
            return None, None
        kernels = [
            key
            for key in resolver.names.all_functions()
            if (found := resolver.names.function(key)) is not None and found.definition.kind == "kernel"
        ]
        hint = help_for(name.id, kernels) if isinstance(name, tree.Name) else ()
        resolver.collector.error(
            "E328",
            f"`{text_of(node)}` is no kernel",
            node.span,
            "a response begins with a kernel",
            help=hint or ("declare `kernel eps(t, tau = 5 ms) = exp(-t/tau)` at the top of the file",),
        )
        return None, None
    call = node if isinstance(node, tree.Call) else tree.Call(name, (), span=node.span)
    argument = user.definition.parameters[0].name
    while resolver.names.peek(argument) or argument == "t":
        argument += "_"
    time = Typed(e.Variable(argument, TIME_UNIT, span=node.span), TIME_UNIT)
    body = inline(resolver, user, call, first=time)
    if body.kind == "unknown":
        return None, None
    return e.KernelFunction(user.definition.name, argument, body.expr, span=node.span), body.unit


def _source(resolver: Resolver, node: tree.Expression) -> tuple[Expr | None, Unit | None, bool]:
    event = event_reference(resolver, node, report=False)
    if event is not None:
        name, scope = event
        return e.Occurs(name, 0, scope, span=node.span), ONE_UNIT, True
    typed = resolver.number(node)
    if typed.kind == "unknown":
        return None, None, False
    return typed.expr, typed.unit, isinstance(typed.expr, e.Occurs)
