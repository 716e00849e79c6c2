"""Rows under titles as plain text: the first columns to the left, numbers to the right, a rule below the titles.

A package for tables would take longer to import than a small simulation takes to run.
"""

from __future__ import annotations

from collections.abc import Sequence

GAP = "   "


def columns(titles: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, width: int = 100) -> list[str]:
    """Lines of at most ``width`` characters: titles, a rule, the rows. ``left`` columns are set to the left.

    A first column that leaves no room for the others is broken over several lines.
    """
    widths = [max(len(row[number]) for row in (titles, *rows)) for number in range(len(titles))]
    others = sum(widths[1:]) + len(GAP) * (len(widths) - 1)
    widths[0] = min(widths[0], max(width - 1 - others, 8))
    lines = [_line(titles, widths, left), " " + "─" * (widths[0] + others)]
    for name, *cells in rows:
        first, *rest = [name[start : start + widths[0]] for start in range(0, len(name), widths[0])] or [""]
        lines.append(_line((first, *cells), widths, left))
        lines += [f" {part}" for part in rest]
    return lines


def _line(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    set_out = [
        cell.ljust(width) if number < left else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return " " + GAP.join(set_out).rstrip()
