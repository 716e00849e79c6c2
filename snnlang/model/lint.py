"""Remarks: what is declared and never used, and formulas that lose their value at one point."""

from __future__ import annotations

from snnlang.model.declarations import Declared
from snnlang.model.inherit import Piece, equation_of, place_of, walk
from snnlang.model.typed import text_of
from snnlang.syntax import tree


def unused(declared: Declared) -> None:
    """Warn about params, inputs and definitions of the model itself that nothing reads."""
    if not declared.complete or declared.collector.has_errors:
        return
    for name, piece in declared.waiting.items():
        if not piece.own or name in declared.used or name in piece.module.file.lost:
            continue
        match piece.member:
            case tree.Declaration(role="param" | "input" as role):
                declared.collector.warning(
                    "W301" if role == "param" else "W302",
                    f"the {role} `{name}` is never used",
                    place_of(piece.member),
                    "nothing reads it",
                    help="use it, or take it away",
                )
            case tree.Equation():
                declared.collector.warning(
                    "W303",
                    f"the definition `{name}` is never used",
                    place_of(piece.member),
                    "nothing reads it",
                    help=f"use it; write `d{name}/dt = …` if it was meant to be an equation"
                    if not isinstance(piece.member.left, tree.Index)
                    else "use it, or take it away",
                )
            case tree.Trace():
                declared.collector.warning(
                    "W404",
                    f"the trace `{name}` is never used",
                    place_of(piece.member),
                    "nothing reads it",
                    help="use it in a handler, or take it away",
                )


def lint_model(declared: Declared, piece: Piece) -> None:
    """Warn about quotients that are 0/0 at one point, such as ``x/(exp(x) - 1)``."""
    node = piece.member
    if not isinstance(node, tree.Equation) or equation_of(node)[0] == "other":
        return
    if "exp" not in node.span.text:
        return
    for part in walk(node.right):
        if isinstance(part, tree.Binary) and part.operator == "/":
            _singular(declared, part)


def _singular(declared: Declared, node: tree.Binary) -> None:
    found = _exponential_minus_one(node.right)
    if found is None:
        return
    argument, sign = found
    names = {part.id for part in walk(argument) if isinstance(part, tree.Name) and part.id != "exp"}
    factor = next(
        (f for f in _factors(node.left) if names & {part.id for part in walk(f) if isinstance(part, tree.Name)}), None
    )
    if factor is None or not any(_moves(declared, name) for name in names):
        return
    inside, top = text_of(argument), text_of(factor)
    if _bare(top) == _bare(inside):
        rest = f"{'' if sign > 0 else '-'}1/exprel({inside})"
        advice = f"write `{rest}`; exprel(x) is (exp(x) - 1)/x with its limit 1 at 0"
    else:
        advice = f"divide by `exprel({inside})` and leave the factor `{top}` out; exprel(x) is (exp(x) - 1)/x with its limit 1 at 0"
    declared.collector.warning(
        "W304", f"this quotient is 0/0 where `{inside}` is 0", node.span, "not a number there", help=advice
    )


def _exponential_minus_one(node: tree.Expression) -> tuple[tree.Expression, int] | None:
    """The argument of ``exp(x) - 1`` (sign 1) or ``1 - exp(x)`` (sign -1)."""
    if not isinstance(node, tree.Binary) or node.operator != "-":
        return None
    for call, one, sign in ((node.left, node.right, 1), (node.right, node.left, -1)):
        if (
            isinstance(call, tree.Call)
            and isinstance(call.function, tree.Name)
            and call.function.id == "exp"
            and len(call.arguments) == 1
        ):
            argument = call.arguments[0]
            if isinstance(one, tree.Number) and one.value == 1 and isinstance(argument, tree.Argument):
                return argument.value, sign
    return None


def _factors(node: tree.Expression) -> list[tree.Expression]:
    if isinstance(node, tree.Binary) and node.operator == "*":
        return [*_factors(node.left), *_factors(node.right)]
    if isinstance(node, tree.Unary) and node.operator == "-":
        return _factors(node.operand)
    return [node]


def _moves(declared: Declared, name: str) -> bool:
    symbol = declared.symbols.get(name)
    return symbol is not None and symbol.kind in ("state", "definition", "input")


def _bare(text: str) -> str:
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    return text
