"""Refuses expressions nested so deep that walking them would exhaust the interpreter's stack.

Only lines of many tokens are measured, without recursion, so that ordinary files pay nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import fields

from snnlang.diagnostics import Diagnostic
from snnlang.syntax import tree
from snnlang.syntax.lex import Tokens

MAXIMUM_DEPTH = 100
_SUSPICIOUS = MAXIMUM_DEPTH  # a line needs at least as many tokens as its tree has levels


_PARTS: dict[str, tuple[str, ...]] = {}


def refuse_deep_nesting(file: tree.File, tokens: Tokens) -> list[Diagnostic]:
    """E033 for the first expression of more than a hundred levels; a long list or call is not deep."""
    long_lines = _long_lines(tokens)
    if not long_lines:
        return []
    stack: list[tuple[tree.Node, int]] = [(item, 0) for item in reversed(file.items)]
    while stack:
        node, depth = stack.pop()
        if depth > MAXIMUM_DEPTH:
            return [Diagnostic(
                "E033", f"an expression is nested more than {MAXIMUM_DEPTH} deep", node.span, "too deep here",
                help=("name a part of it on a line of its own",),
            )]
        if depth < 3 and not _overlaps(node, long_lines):
            continue
        for name in _parts(node):
            value = getattr(node, name)
            for child in value if isinstance(value, tuple) else (value,):
                if isinstance(child, tree.Node):
                    stack.append((child, depth + 1))
    return []


def _long_lines(tokens: Tokens) -> list[int]:
    """Where the lines end that have enough tokens to be deep."""
    ends: list[int] = []
    begin = 0
    for number, kind in enumerate(tokens.kinds):
        if kind == "_NL":
            if number - begin > _SUSPICIOUS:
                ends.append(tokens.ends[number - 1])
            begin = number
    return ends


def _overlaps(node: tree.Node, ends: list[int]) -> bool:
    place = bisect_left(ends, node.span.start)
    return place < len(ends) and (ends[place] <= node.span.end + 1)


def _parts(node: tree.Node) -> tuple[str, ...]:
    kind = type(node).__name__
    if kind not in _PARTS:
        _PARTS[kind] = tuple(field.name for field in fields(node) if field.name != "span")
    return _PARTS[kind]
