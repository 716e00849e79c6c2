"""Operators, comparisons, cases and derivatives: their units and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from snnlang.model import expression as e
from snnlang.model.algebra import is_plain, per_time, power, product, quotient
from snnlang.model.evaluate import evaluate
from snnlang.model.expression import Expr
from snnlang.model.typed import ONE_UNIT, TIME_UNIT, UNKNOWN, Typed, quantity_of, text_of
from snnlang.syntax import tree

if TYPE_CHECKING:
    from snnlang.model.resolve import Resolver


def resolve_unary(resolver: Resolver, node: tree.Unary) -> Typed:
    if node.operator == "not":
        typed = resolver.condition(node.operand)
        if typed.kind == "unknown":
            return UNKNOWN
        return Typed(e.Logical("not", (typed.expr,), span=node.span), ONE_UNIT, "boolean")
    typed = resolver.number(node.operand)
    if typed.kind == "unknown":
        return UNKNOWN
    return Typed(e.Unary("-", typed.expr, span=node.span), typed.unit, free=typed.free)


def resolve_binary(resolver: Resolver, node: tree.Binary) -> Typed:
    name = node.operator
    if name == "and" or name == "or":
        first, second = resolver.condition(node.left), resolver.condition(node.right)
        if first.kind == "unknown" or second.kind == "unknown":
            return UNKNOWN
        return Typed(e.Logical(name, (first.expr, second.expr), span=node.span), ONE_UNIT, "boolean")
    left, right = resolver.number(node.left), resolver.number(node.right)
    if left.kind == "unknown" or right.kind == "unknown":
        if name in ("*", "/", "^"):
            return UNKNOWN
        return Typed(UNKNOWN.expr, None, "unknown")
    expr = e.Binary(name, left.expr, right.expr, span=node.span)
    match name:
        case "*":
            return Typed(expr, product(left.unit, right.unit), free=left.free and right.free)
        case "/":
            return Typed(expr, quotient(left.unit, right.unit))
        case "^":
            return raise_power(resolver, node, left, right, expr)
    word = "add" if name == "+" else "subtract"
    unit, fits = resolver.unify(
        node.left,
        left,
        node.right,
        right,
        node,
        "E202",
        lambda a, b: f"cannot {word} {quantity_of(b)} {'to' if word == 'add' else 'from'} {quantity_of(a)}",
    )
    return Typed(expr, unit, free=left.free and right.free) if fits else UNKNOWN


def raise_power(resolver: Resolver, node: tree.Binary, left: Typed, right: Typed, expr: Expr) -> Typed:
    if right.unit is not None and not is_plain(right.unit):
        unit = resolver.shown(node.right, right.unit)
        resolver.collector.error(
            "E205",
            "an exponent must be a plain number",
            node.right.span,
            f"this is {quantity_of(unit)}",
            help=f"divide it by a quantity in {unit}",
        )
        return UNKNOWN
    if left.unit is None or is_plain(left.unit):
        return Typed(expr, left.unit)
    number = evaluate(right.expr)
    fraction = Fraction(number).limit_denominator(12) if number is not None and abs(number) < 100 else None
    if fraction is None or number is None or abs(float(fraction) - number) > 1e-9:
        unit = resolver.shown(node.left, left.unit)
        resolver.collector.error(
            "E206",
            f"{quantity_of(unit)} can only be raised to a constant power",
            node.right.span,
            "not a constant fraction",
            help=f"divide `{text_of(node.left)}` by a reference value in {unit} first",
        )
        return UNKNOWN
    return Typed(expr, power(left.unit, fraction))


def resolve_comparison(resolver: Resolver, node: tree.Comparison) -> Typed:
    operands = [resolver.number(operand) for operand in node.operands]
    parts: list[Expr] = []
    failed = any(operand.kind == "unknown" for operand in operands)
    for i, operator in enumerate(node.operators):
        left, right = operands[i], operands[i + 1]
        if left.kind == "unknown" or right.kind == "unknown":
            continue
        whole = node.operands[i]
        span = whole.span.to(node.operands[i + 1].span)
        _, fits = resolver.unify(
            node.operands[i],
            left,
            node.operands[i + 1],
            right,
            replace(whole, span=span),
            "E203",
            lambda a, b: f"cannot compare {quantity_of(a)} with {quantity_of(b)}",
        )
        failed = failed or not fits
        parts.append(e.Comparison(operator, left.expr, right.expr, span=span))
    if failed:
        return UNKNOWN
    expr = parts[0]
    for part in parts[1:]:
        expr = e.Logical("and", (expr, part), span=node.span)
    return Typed(expr, ONE_UNIT, "boolean")


def resolve_crosses(resolver: Resolver, node: tree.Crosses) -> Typed:
    left, right = resolver.number(node.left), resolver.number(node.right)
    if left.kind == "unknown" or right.kind == "unknown":
        return UNKNOWN
    _, fits = resolver.unify(
        node.left,
        left,
        node.right,
        right,
        node,
        "E203",
        lambda a, b: f"cannot compare {quantity_of(a)} with {quantity_of(b)}",
    )
    if not fits:
        return UNKNOWN
    if "crosses" not in resolver.allow:
        resolver.collector.error(
            "E326",
            "`crosses` belongs into the condition of an event",
            node.span,
            "needs the value of the last step",
            help="declare `event NAME when … crosses …` and wait for it",
        )
        return UNKNOWN
    return Typed(e.Crosses(left.expr, right.expr, span=node.span), ONE_UNIT, "boolean")


def resolve_conditional(resolver: Resolver, node: tree.Conditional) -> Typed:
    condition, value, otherwise = (
        resolver.condition(node.condition),
        resolver.resolve(node.value),
        resolver.resolve(node.otherwise),
    )
    if "unknown" in (condition.kind, value.kind, otherwise.kind):
        return UNKNOWN
    if value.kind == otherwise.kind == "boolean":
        negated = e.Logical("not", (condition.expr,), span=node.span)
        first = e.Logical("and", (condition.expr, value.expr), span=node.span)
        second = e.Logical("and", (negated, otherwise.expr), span=node.span)
        return Typed(e.Logical("or", (first, second), span=node.span), ONE_UNIT, "boolean")
    if (
        "string" in (value.kind, otherwise.kind)
        or "list" in (value.kind, otherwise.kind)
        or "boolean" in (value.kind, otherwise.kind)
    ):
        value, otherwise = resolver.number(node.value), resolver.number(node.otherwise)
        return UNKNOWN
    unit, fits = resolver.unify(
        node.value,
        value,
        node.otherwise,
        otherwise,
        node,
        "E207",
        lambda a, b: f"the two cases differ: {quantity_of(a)} or {quantity_of(b)}",
    )
    if not fits:
        return UNKNOWN
    return Typed(
        e.Select(condition.expr, value.expr, otherwise.expr, span=node.span),
        unit,
        free=value.free and otherwise.free,
    )


def resolve_derivative(resolver: Resolver, node: tree.Derivative) -> Typed:
    if resolver.derivative is not None and resolver.derivative.name == node.variable:
        unit = per_time(resolver.derivative.unit)
        name = f"d{node.variable}/dt"
        return Typed(e.Variable(name, unit if unit is not None else ONE_UNIT, span=node.span), unit)
    delta = f"d{node.variable}"
    if resolver.names.peek(delta) and not resolver.names.peek(node.variable):
        symbol = resolver.names.find(delta)
        if symbol is not None and "time" in resolver.allow:
            left = resolver.symbol_value(symbol, node.span, symbol.lag)
            right = e.Variable("dt", TIME_UNIT, span=node.span)
            return Typed(e.Binary("/", left.expr, right, span=node.span), quotient(left.unit, TIME_UNIT))
    if not resolver.names.is_lost(node.variable):
        resolver.collector.error(
            "E323",
            f"the derivative `{text_of(node)}` can only stand on the left of an equation",
            node.span,
            "not a value",
            help="use the right side of its equation, named by a definition",
        )
    return UNKNOWN
