"""What the commands print: diagnostics with colours on a terminal, plain text everywhere else.

Colours are added to the one rendering of :mod:`snnlang.diagnostics`; without a terminal, with ``NO_COLOR`` set or on a
dumb terminal the text stays as it is. Control characters of a user's file never reach the terminal.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from typing import TextIO

from snnlang.diagnostics import Diagnostic, render

RED, YELLOW, BLUE, CYAN, GREEN, BOLD, FAINT = "1;31", "1;33", "34", "36", "32", "1", "2"
_SEVERITY = {"error": RED, "warning": YELLOW, "note": CYAN}
_CONTROL = {code: 0xFFFD for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A)}


def has_colour(stream: TextIO) -> bool:
    """Whether colours belong on this stream (see https://no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def paint(text: str, colour: str, stream: TextIO) -> str:
    """The text in a colour where the stream shows colours."""
    return f"\x1b[{colour}m{text}\x1b[0m" if text and has_colour(stream) else text


def diagnostic_text(diagnostic: Diagnostic, coloured: bool = False) -> str:
    """One rendered diagnostic, with colours if asked."""
    text = render(diagnostic).translate(_CONTROL)
    if not coloured:
        return text
    colour = _SEVERITY[diagnostic.severity]
    lines = text.split("\n")
    head, rest = lines[0], lines[1:]
    cut = head.index(":") if ":" in head else len(head)
    painted = [f"\x1b[{colour}m{head[:cut]}\x1b[0m\x1b[1m{head[cut:]}\x1b[0m"]
    painted.extend(_paint_line(line, colour) for line in rest)
    return "\n".join(painted)


def _paint_line(line: str, colour: str) -> str:
    if re.match(r"\s*(-->|:::) ", line):
        return f"\x1b[{BLUE}m{line}\x1b[0m"
    if found := re.match(r"(\s*\| +)(\^+.*)$", line):
        return f"\x1b[{BLUE}m{found[1]}\x1b[0m\x1b[{colour}m{found[2]}\x1b[0m"
    if found := re.match(r"(\s*\| +)(-+(?: .*)?)$", line):
        return f"\x1b[{BLUE}m{found[1]}\x1b[0m\x1b[{CYAN}m{found[2]}\x1b[0m"
    if found := re.match(r"(\s*= help:)(.*)$", line):
        return f"\x1b[{CYAN}m{found[1]}\x1b[0m{found[2]}"
    if found := re.match(r"(\s*\d* \|)(.*)$", line):
        return f"\x1b[{BLUE}m{found[1]}\x1b[0m{found[2]}"
    return line


def show_diagnostics(diagnostics: Iterable[Diagnostic], stream: TextIO | None = None) -> None:
    """Print diagnostics, each followed by an empty line, on standard error."""
    place = sys.stderr if stream is None else stream
    coloured = has_colour(place)
    for diagnostic in diagnostics:
        print(diagnostic_text(diagnostic, coloured), end="\n\n", file=place)


def say(text: str = "") -> None:
    """A line on standard output."""
    print(text)


def note(text: str) -> None:
    """A line on standard error: what happened, not the result."""
    print(text, file=sys.stderr)


def count(number: int, singular: str, plural: str = "") -> str:
    """``1 neuron``, ``2 neurons``."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def tally(diagnostics: Iterable[Diagnostic]) -> str:
    """``2 errors, 1 warning``; empty when there is nothing."""
    found = list(diagnostics)
    errors = sum(diagnostic.severity == "error" for diagnostic in found)
    warnings = sum(diagnostic.severity == "warning" for diagnostic in found)
    parts = [count(errors, "error")] if errors else []
    if warnings:
        parts.append(count(warnings, "warning"))
    return ", ".join(parts)
