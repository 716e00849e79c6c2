"""Sets declarations that stand under one another in columns: name, value, range, text.

Lines of one role share the place of their ``=``; ranges and texts line up over the whole paragraph. A paragraph that would
become wider than a line is left as it is. Only blanks change, never their kind or the order of anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from snnlang.frozen import dataclass
from snnlang.syntax.wrap import WIDTH

GAP = "   "


@dataclass(frozen=True, slots=True)
class Row:
    """One declaration in parts: ``param`` and name with unit, ``= value``, ``in range``, ``"text"``; an absent part is empty.

    ``role`` holds the words before the name: rows that have them alike align their ``=``.
    """

    role: str
    name: str
    value: str
    range: str
    doc: str

    def plain(self) -> str:
        """The row on its own."""
        return " ".join(part for part in (self.name, self.value, self.range, self.doc) if part)


def aligned(rows: Sequence[Row], indent: str) -> list[str]:
    """The text of each row, without the indent, which counts for the width."""
    plain = [row.plain() for row in rows]
    heads = [
        f"{row.name.ljust(width)} {row.value}" if row.value else row.name for row, width in zip(rows, _name_widths(rows))
    ]
    texts = _column(_column(heads, [row.range for row in rows]), [row.doc for row in rows])
    return texts if all(len(indent + text) <= WIDTH for text in texts) else plain


def _name_widths(rows: Sequence[Row]) -> list[int]:
    """For each row: the widest name among the rows of its role that follow one another."""
    widths: list[int] = []
    for _, group in groupby(rows, key=lambda row: row.role):
        names = [len(row.name) for row in group]
        widths += [max(names)] * len(names)
    return widths


def _column(texts: list[str], cells: list[str]) -> list[str]:
    """Each cell behind its text; two cells or more one under the other."""
    places = [len(text) for text, cell in zip(texts, cells) if cell]
    if len(places) < 2:
        return [f"{text} {cell}" if cell else text for text, cell in zip(texts, cells)]
    return [text.ljust(max(places)) + GAP + cell if cell else text for text, cell in zip(texts, cells)]
