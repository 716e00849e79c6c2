"""Products with signals that are zero in many places, in groups of four rows that are zero together (codegen/native/groups.h).

Half of an image is background, and so is half of its neighbours' in a batch: four samples that were chosen for their likeness need six
tenths of the multiplications, four neighbouring pixels as few for the gradient of their weights. Groups are made anew for every product,
which takes a twentieth of its time. What is left to :mod:`snnlang.runtime.native_products`: whether they are worth it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnlang.frozen import dataclass

if TYPE_CHECKING:
    from snnlang.runtime.native_products import Native

Values = NDArray[Any]
#: Rows of a group.
GROUP = 4


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of a matrix (rows, terms) whose row r begins at ``r*down``, its terms ``along`` apart: in which order rows come
    (None: their own), and which terms each group needs. ``density`` is the part of all terms that groups need."""

    rows: int
    terms: int
    down: int
    along: int
    order: Values | None
    begin: Values
    listed: Values
    density: float


class Grouping:
    """Makes groups, and multiplies by them. What they take is kept between calls."""

    def __init__(self, native: Native) -> None:
        self._native = native
        self._list = np.empty(0, np.uint16)

    def of_rows(self, sent: Values) -> Groups:
        """Groups of the rows of ``sent`` (rows, terms), like ones together. Good until the next are made."""
        rows, terms = sent.shape
        begin, listed, groups = self._room(rows, terms)
        order = np.empty(rows, np.int32)
        bits, room = np.empty(rows * -(-terms // 64), np.uint64), np.empty(2 * rows, np.int32)
        found = self._native.call("snn_groups_of_rows", sent, rows, terms, bits, room, order, begin, listed)
        return Groups(rows, terms, terms, 1, order, begin, listed, found / max(1, groups * terms))

    def of_columns(self, sent: Values) -> Groups:
        """Groups of neighbouring columns of ``sent`` (terms, rows)."""
        terms, rows = sent.shape
        begin, listed, groups = self._room(rows, terms)
        found = self._native.call("snn_groups_of_columns", sent, terms, rows, begin, listed)
        return Groups(rows, terms, 1, rows, None, begin, listed, found / max(1, groups * terms))

    def multiply(self, groups: Groups, a: Values, b: Values, out: Values, factor: float, add: bool) -> None:
        """``out`` (rows, columns) is set to, or with ``add`` is added, ``factor`` times the grouped matrix times ``b`` (terms, columns);
        ``a`` is what the groups were made of."""
        native, g = self._native, groups
        columns, count = out.shape[1], -(-g.rows // GROUP)
        size = native.call("snn_groups_room", g.terms)
        rooms = [native.room(part, size) for part in range(min(native.threads, count))]
        order = 0 if g.order is None else g.order

        def part(first: int, last: int, number: int) -> None:
            matrix = (a, g.down, g.along, g.rows, g.terms, order, g.begin, g.listed)
            native.call("snn_groups_product", *matrix, b, columns, out, first, last, factor, int(add), rooms[number])

        native.share(count, g.density * g.rows * g.terms * columns, part)

    def _room(self, rows: int, terms: int) -> tuple[Values, Values, int]:
        """Room for where the lists of groups begin and for the lists, and how many groups there are."""
        groups = -(-rows // GROUP)
        if self._list.size < groups * terms:
            self._list = np.empty(groups * terms, np.uint16)
        begin = np.empty(self._native.call("snn_groups_begins", rows, terms), np.int64)
        return begin, self._list, groups
