"""Breaks a line that is too long, after the brackets of its calls and lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from snnlang.syntax import tree
from snnlang.syntax.print import print_argument, print_base, print_expression, print_operand, print_option

WIDTH = 120
INDENT = "    "


class Piece:
    """A part of a wrapped line: an expression or option, and the words before it."""

    def __init__(self, value: tree.Expression | tree.Argument, before: str = "", is_broken: bool = False) -> None:
        self.value = value
        self.before = before
        self.is_broken = is_broken

    def broken(self) -> Piece:
        return Piece(self.value, self.before, True)

    def text(self) -> str:
        name, expression = "", self.value
        if isinstance(expression, tree.Argument):
            plain = print_option(expression)
            name = f"{expression.name} = " if plain.startswith(f"{expression.name} = ") else ""
            expression = expression.value
        else:
            plain = print_operand(expression)
        if not self.is_broken:
            return self.before + plain
        match expression:
            case tree.Call(function=function, arguments=arguments) if arguments:
                return f"{self.before}{name}{print_base(function)}({_filled(print_argument, arguments)}\n)"
            case tree.ListLiteral(items=items) if items:
                return f"{self.before}{name}[{_filled(print_expression, items)}\n]"
        return self.before + plain


def _filled(show: Callable[..., str], parts: Iterable[object]) -> str:
    """The parts on indented lines, as many to a line as fit, with a comma after each."""
    lines: list[str] = []
    current = ""
    for part in parts:
        text = show(part) + ","
        if current and len(current) + len(text) + 1 > WIDTH - 2 * len(INDENT):
            lines.append(current)
            current = ""
        current = f"{current} {text}" if current else text
    return "".join(f"\n{INDENT}{line}" for line in [*lines, current])


def break_open(head: str, pieces: list[Piece], width: int) -> str:
    """With one call or list broken open, the last that will do; else from the last on as many as are needed."""
    for number in range(len(pieces) - 1, -1, -1):
        text = head + "".join((piece.broken() if i == number else piece).text() for i, piece in enumerate(pieces))
        if max(map(len, text.split("\n"))) <= width:
            return text
    text = ""
    for number in range(len(pieces) - 1, -1, -1):
        pieces[number] = pieces[number].broken()
        text = head + "".join(piece.text() for piece in pieces)
        if max(map(len, text.split("\n"))) <= width:
            break
    return text
