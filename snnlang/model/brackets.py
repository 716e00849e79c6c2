"""Brackets in expressions: ``v[n-1]``, ``x[end]``, ``position[0]``, and what has a past."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from snnlang.model import expression as e
from snnlang.model.evaluate import evaluate
from snnlang.model.symbols import Symbol
from snnlang.model.typed import ONE_UNIT, UNKNOWN, Typed, kind_of, text_of
from snnlang.syntax import tree

if TYPE_CHECKING:
    from snnlang.model.resolve import Resolver


def resolve_index(resolver: Resolver, node: tree.Index) -> Typed:
    base = node.value
    if not isinstance(base, tree.Name) or len(node.indices) != 1:
        if isinstance(base, tree.Attribute) and len(node.indices) == 1:
            return indexed_member(resolver, node, base)
        resolver.collector.error(
            "E310",
            f"`{text_of(node)}` is not a value at a step",
            node.span,
            "brackets hold `n` or `n-k`",
            help="write `x[n]` for this step, `x[n-1]` for the last one",
        )
        return UNKNOWN
    index = node.indices[0]
    if resolver.backward is not None:
        found = resolver.backward.indexed(resolver, base, node)
        if found is not None:
            return found
    if base.id == "position" and resolver.names.find("position") is None:
        return position_value(resolver, node, index, "self")
    if isinstance(index, tree.Name) and index.id == "end":
        typed = resolver.number(base)
        if typed.kind == "unknown" or not _has_end(resolver, node):
            return UNKNOWN
        return replace(typed, expr=e.AtEnd(typed.expr, span=node.span))
    lag = steps_back(resolver, index, node)
    symbol = resolver.names.find(base.id)
    if symbol is None and not resolver.names.event(base.id):
        if base.id == "spike" and "events" in resolver.allow:
            resolver.collector.error(
                "E313", "nothing raises `spike` here", base.span, "no such event", help="add a rule: `spike when …`"
            )
            return UNKNOWN
        return resolver.unknown(base.id, base.span)
    if lag is None:
        return UNKNOWN
    if not resolver.allowed("history", f"`{text_of(node)}`", node.span):
        return UNKNOWN
    if symbol is None:
        return resolver.event_value(base.id, lag, node.span)
    return history_value(resolver, symbol, lag, node)


def _has_end(resolver: Resolver, node: tree.Index) -> bool:
    """Whether the end of the trial is known where an expression stands."""
    if "end" in resolver.allow:
        return True
    resolver.collector.error(
        "E774",
        f"`{text_of(node)}` is not known before the trial ends",
        node.span,
        "the end of the trial lies in the future",
        help="use it in an `adjoint:` block, which runs after the trial, or in `on trial_end:`",
    )
    return False


def indexed_member(resolver: Resolver, node: tree.Index, base: tree.Attribute) -> Typed:
    index = node.indices[0]
    if (
        base.name == "position"
        and isinstance(base.value, tree.Name)
        and resolver.names.member_table(base.value.id) is not None
    ):
        return position_value(resolver, node, index, base.value.id)
    typed = resolver.resolve(base)
    if typed.kind == "unknown":
        return UNKNOWN
    if isinstance(index, tree.Name) and index.id == "end":
        if not _has_end(resolver, node):
            return UNKNOWN
        return replace(typed, expr=e.AtEnd(typed.expr, span=node.span))
    resolver.collector.error(
        "E310",
        f"the history of `{text_of(base)}` is not known here",
        node.span,
        "belongs to the other neuron",
        help="let that neuron keep it in a state of its own",
    )
    return UNKNOWN


def position_value(resolver: Resolver, node: tree.Index, index: tree.Expression | tree.Slice, side: str) -> Typed:
    if isinstance(index, tree.Number) and index.is_integer and 0 <= index.value < 8:
        if side == "self" and not resolver.allowed(
            "position", "`position`", node.span, resolver.side_help("position[0]")
        ):
            return UNKNOWN
        scope: Literal["self", "pre", "post"] = "pre" if side == "pre" else "post" if side == "post" else "self"
        return Typed(e.Position(int(index.value), scope, span=node.span), ONE_UNIT)
    resolver.collector.error(
        "E310",
        "a coordinate is named by a whole number",
        node.span,
        "which axis?",
        help="write `position[0]`, `position[1]`, …",
    )
    return UNKNOWN


def steps_back(resolver: Resolver, index: tree.Expression | tree.Slice, node: tree.Index) -> int | None:
    """How many steps back ``n-k`` looks; None after a report."""
    match index:
        case tree.Name(id="n"):
            return 0
        case tree.Binary(operator="-", left=tree.Name(id="n"), right=right):
            number = constant_value(resolver, right)
            if number is not None and number == int(number) and number >= 0:
                return int(number)
        case tree.Binary(operator="+", left=tree.Name(id="n")):
            resolver.collector.error(
                "E311",
                f"`{text_of(node)}` lies in the future",
                node.span,
                "not known at step n",
                help="use `[n]` for this step and `[n-1]` for the last one",
            )
            return None
    resolver.collector.error(
        "E310",
        f"`{text_of(node)}` names no step",
        node.span,
        "brackets hold `n`, or `n-k` with a whole number k",
        help=f"write `{text_of(node.value)}[n]` for this step, `{text_of(node.value)}[n-1]` for the last one",
    )
    return None


def constant_value(resolver: Resolver, node: tree.Expression) -> float | None:
    """The value of a compile-time constant, silently."""
    if isinstance(node, tree.Number):
        return float(node.value)
    typed = resolver.silently(node)
    number = evaluate(typed.expr) if typed.kind == "number" else None
    return number if number is not None and number == number and abs(number) < 1e9 else None


def history_value(resolver: Resolver, symbol: Symbol, lag: int, node: tree.Index) -> Typed:
    if symbol.kind in ("param", "constant", "trace"):
        resolver.collector.error(
            "E324",
            f"`{symbol.name}` is a {kind_of(symbol.kind)} and has no steps",
            node.span,
            "not a variable of step n",
            help=f"write `{symbol.name}`",
        )
        return UNKNOWN
    if symbol.form == "ode":
        if lag == 0:
            return resolver.symbol_value(symbol, node.span, None)
        resolver.collector.error(
            "E324",
            f"`{symbol.name}` follows a differential equation and has no last step",
            node.span,
            "continuous in time",
            help=f"keep what you need in a state of its own: `last[n] = {symbol.name}`",
        )
        return UNKNOWN
    if symbol.kind == "definition" and lag > 0:
        resolver.collector.error(
            "E324",
            f"the history of the definition `{symbol.name}` is not kept",
            node.span,
            "only states have a past",
            help=f"declare `state {symbol.name}` with its initial value",
        )
        return UNKNOWN
    if symbol.kind == "definition" and lag == 0:
        return resolver.symbol_value(symbol, node.span, symbol.lag)
    return resolver.symbol_value(symbol, node.span, lag)
