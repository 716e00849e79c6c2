"""What is the same for every item of a launch is named before its loops: no compiler looks that far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from snnlang.codegen import kernel as k
from snnlang.codegen.simplify import rebuild


def hoist(kernel: k.Kernel, touched: Mapping[str, bool]) -> tuple[k.Kernel, dict[k.Expr, str]]:
    """The kernel with names for what is the same for every item and costs more than a product, and those names. ``touched``: the arrays
    of the kernel, True for those that it writes."""
    same: dict[k.Expr, str] = {}

    def changed(expr: k.Expr) -> k.Expr:
        if expr.type != "bool" and _costs(expr) and is_same(expr, touched):
            if expr not in same:
                same[expr] = f"same__{len(same) + 1}"
            return k.Local(same[expr], expr.type)
        return rebuild(expr, changed)

    def visited(statements: tuple[k.Statement, ...]) -> tuple[k.Statement, ...]:
        result: list[k.Statement] = []
        for statement in statements:
            match statement:
                case k.Let(value=value):
                    result.append(replace(statement, value=changed(value)))
                case k.Store(value=value) | k.Accumulate(value=value):
                    result.append(replace(statement, value=changed(value)))
                case k.If(condition=condition, body=inner, otherwise=otherwise):
                    result.append(
                        replace(
                            statement,
                            condition=changed(condition),
                            body=visited(inner),
                            otherwise=visited(otherwise),
                        )
                    )
                case k.Append():
                    result.append(statement)
        return tuple(result)

    return replace(kernel, body=visited(kernel.body)), same


def is_same(expr: k.Expr, touched: Mapping[str, bool]) -> bool:
    """Whether an expression is the same for every item of this launch."""
    for part in k.walk(expr):
        if isinstance(part, k.Draw) or (isinstance(part, k.Local) and part.name not in ("dt", "step", "t")):
            return False
        if isinstance(part, k.Load) and (part.index is not None or part.lag is not None or touched[part.array]):
            return False
    return True


def _costs(expr: k.Expr) -> bool:
    """Whether computing an expression takes more than a few cycles: functions, powers, quotients."""
    return any(
        (isinstance(part, k.Call) and part.function not in ("int", "real"))
        or (isinstance(part, k.Binary) and part.operator in ("/", "^", "%"))
        for part in k.walk(expr)
    )
