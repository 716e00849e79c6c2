"""Products with signals that are zero in many places, in groups of four rows that are zero together (codegen/native/groups.h).

Half of an image is background, mostly the same half in its neighbours of a batch: four samples that were chosen for their likeness need six
tenths of the multiplications, and so do four neighbouring pixels for the gradient of their weights. Groups are made anew for every product,
which takes a twentieth of its time. They are refused where another way is faster, by what terms cost on processors with that width of
vectors: what is decided depends on the data and the machine, never on threads.
"""

from __future__ import annotations

import ctypes
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnlang.frozen import dataclass

if TYPE_CHECKING:
    from snnlang.runtime.native_products import Native
    from snnlang.runtime.optimizers import Move

Values = NDArray[Any]
#: Rows of a group.
GROUP = 4
#: Terms of a pass: a panel of the other matrix stays in the second-level cache, and for columns, where there are more passes than one, what
#: is read of the signals does too.
SPAN_OF_ROWS, SPAN_OF_COLUMNS, ONE_PASS = 1024, 512, 1024
#: What a term takes in groups of rows, in groups of columns and of gathered rows, where one of the BLAS takes 1; by the bytes of a vector.
COSTS = {64: (0.95, 1.05, 3.5), 32: (1.25, 1.5, 3.7), 16: (1.3, 1.55, 1.8)}
#: What making groups takes for each number that is sent, likewise; a number has as many terms as there are receivers.
MAKING = 30.0
#: Senders below which groups of their rows take longer to find than to multiply.
FEWEST = 128
#: Parts of active senders between which groups are looked for: below, single rows are gathered; beyond, nothing is left out.
SPARSE, FULL = 0.12, 0.85
#: Rows in which neighbouring columns are looked at before groups of them are made.
LOOKED_AT = 16


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of a matrix (rows, terms) whose row r begins at ``r*down``, its terms ``along`` apart and ``span`` in a pass: in which
    order rows come (None: their own), and which terms each group needs, a part ``density`` of all."""

    rows: int
    terms: int
    down: int
    along: int
    span: int
    order: Values | None
    begin: Values
    listed: Values
    density: float


class Grouping:
    """Makes groups, and multiplies by them. Lists are good until the next are made: their memory is kept."""

    def __init__(self, native: Native) -> None:
        self._native = native
        self._list = np.empty(0, np.uint16)

    @cached_property
    def _costs(self) -> tuple[float, float, float]:
        return COSTS[self._native.call("snn_groups_vector")]

    def of_rows(self, sent: Values, most: float = 1.0) -> Groups | None:
        """Groups of the rows of ``sent`` (rows, terms), like ones together; None where they need more than a part ``most`` of the terms."""
        rows, terms = sent.shape
        begin, count = self._room(rows, terms, SPAN_OF_ROWS)
        order = np.empty(rows, np.int32)
        bits, room = np.empty(self._native.call("snn_groups_words", rows, terms), np.uint64), np.empty(5 * rows, np.int32)
        found = self._native.call(
            "snn_groups_of_rows", sent, rows, terms, SPAN_OF_ROWS, float(most), bits, room, order, begin, self._list
        )
        density = found / max(1, count * terms)
        if found < 0 or density > most:
            return None
        return Groups(rows, terms, terms, 1, SPAN_OF_ROWS, order, begin, self._list, density)

    def of_columns(self, sent: Values, most: float = 1.0) -> Groups | None:
        """Groups of neighbouring columns of ``sent`` (terms, rows); likewise."""
        terms, rows = sent.shape
        if most < 1 and self._look(sent) > most:
            return None
        span = ONE_PASS if terms <= ONE_PASS else SPAN_OF_COLUMNS
        begin, count = self._room(rows, terms, span)
        found = self._native.call("snn_groups_of_columns", sent, terms, rows, span, begin, self._list)
        density = found / max(1, count * terms)
        return Groups(rows, terms, 1, rows, span, None, begin, self._list, density)

    def worth(self, sent: Values, receivers: int, density: float, rare: bool, back: bool) -> Groups | None:
        """Groups of the rows of ``sent``, or with ``back`` of its columns, where they beat the other way: gathered rows where the part
        ``density`` of active senders is ``rare``, else a BLAS."""
        if not SPARSE <= density < FULL or sent.shape[1] < FEWEST:
            return None
        by_rows, by_columns, gathered = self._costs
        other = min(1.0, density * gathered) if rare else 1.0
        most = (other - MAKING / receivers) / (by_columns if back else by_rows)
        if most <= density:
            return None
        return self.of_columns(sent, min(most, 1.0)) if back else self.of_rows(sent, min(most, 1.0))

    def multiply(
        self,
        groups: Groups,
        a: Values,
        b: Values,
        out: Values | None,
        factor: float,
        add: bool,
        steps: int = 1,
        part_of: tuple[int, int] | None = None,
        move: Move | None = None,
    ) -> None:
        """``out`` (rows, columns) is set to, or with ``add`` is added, ``factor`` times the grouped matrix times ``b`` (terms, columns);
        ``a`` is what the groups were made of. With ``steps``, what was sent has the steps of a sample side by side, and the other side
        the samples of a step. ``part_of``: only these rows, as whole groups in their own order, of which ``out`` then has no others.
        With ``move`` a product of one pass is used at once, and there is no ``out``."""
        native, g = self._native, groups
        inner = (steps, 1) if g.along == 1 else (1, steps)
        begin, end = part_of or (0, g.rows)
        columns, before, count = (b if out is None else out).shape[1], begin // GROUP, -(-end // GROUP) - begin // GROUP
        size = native.call("snn_groups_room", min(g.terms, g.span))
        rooms = [native.room(part, size) for part in range(min(native.threads, count))]
        order = 0 if g.order is None else g.order
        place = ctypes.c_void_p(None if out is None else out.ctypes.data - begin * columns * out.itemsize)

        def part(first: int, last: int, number: int) -> None:
            matrix = (a, g.down, g.along, g.rows, g.terms, g.span, order, g.begin, g.listed)
            of = (before + first, before + last)
            native.call("snn_groups_product", *matrix, b, columns, place, *inner, *of, factor, int(add), move or 0, rooms[number])

        native.share(count, g.density * (end - begin) * g.terms * columns, part)

    def _look(self, sent: Values) -> float:
        look = self._native.grouping.snn_groups_look
        look.restype = ctypes.c_double
        terms, rows = sent.shape
        counts = (ctypes.c_int64(n) for n in (terms, rows, max(1, terms // LOOKED_AT)))
        return float(look(ctypes.c_void_p(sent.ctypes.data), *counts))

    def _room(self, rows: int, terms: int, span: int) -> tuple[Values, int]:
        """Room for where the lists of groups begin, and how many groups there are; there is room for all lists then."""
        groups = -(-rows // GROUP)
        if self._list.size <= groups * terms:
            self._list = np.empty(groups * terms + 1, np.uint16)
        return np.empty(self._native.call("snn_groups_begins", rows, terms, span), np.int64), groups
