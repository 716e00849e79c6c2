"""Gradients that are left as products until somebody wants them: an optimizer, number by number, or a reader, as a whole."""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.learning_plan import Link
from snnlang.runtime import aligned
from snnlang.runtime.engine_cells import Pending
from snnlang.runtime.engine_layout import Layout
from snnlang.runtime.native_products import NativeDense
from snnlang.runtime.optimizers import Update
from snnlang.runtime.products import Dense, Product

Values = NDArray[Any]
#: Bytes of a gradient that is worth leaving as a product.
WORTH_LATE = 1 << 17


class LateGradients(Layout):
    """Whose gradients stay products, and where they go."""

    def _add_gradient(self, link: Link, sent: Values, arrived: Values) -> None:
        product, total = self.wiring.products[link.name], self.gradients[link.weight]
        if link.weight in self._empty and isinstance(product, Dense):
            self._empty.discard(link.weight)
            if self._defers and self._stays(product, link):
                self.pending[link.weight] = Pending(product, sent, arrived, total)
                return
            product.gradient(sent, arrived, total, False)
        else:
            product.gradient(sent, arrived, total)

    def _stays(self, product: Product, link: Link) -> TypeGuard[NativeDense]:
        """Whether both sides of the product of a weight's gradient, which is worth it, are there until the next pass: samples, and
        adjoints of all steps."""
        return (
            link.weight in self.late
            and type(product) is NativeDense
            and link.before in self.learning.inputs
            and link.after in self._runs
            and link.name not in self._norms
            and self.segment == self.steps
            and self.wiring.values[link.weight].nbytes >= WORTH_LATE
        )

    @property
    def products_left(self) -> frozenset[str]:
        """Weights whose gradients a pass may leave as products."""
        found = set()
        for link in self._links:
            if link.weight in self._whole and self._stays(self.wiring.products[link.name], link):
                found.add(link.weight)
        return frozenset(found)

    def settle(self) -> None:
        """Make the gradients that were left as products."""
        while self.pending:
            self._make(next(iter(self.pending)))

    def _make(self, name: str) -> None:
        one = self.pending.pop(name)
        with self.arrays.said():
            one.product.gradient(one.sent, one.arrived, one.total, False)

    def move(self, name: str, update: Update, first: int) -> bool:
        """Move a weight, parameters from the ``first`` on, against its pending gradient, which is made nowhere. False: it was made."""
        one = self.pending[name]
        if one.product.move(one.sent, one.arrived, update, first, self._spare):
            del self.pending[name]
            return True
        self._make(name)
        return False

    def _spare(self, least: int, most: int) -> Values:
        """Memory for about ``most`` numbers, ``least`` of them at any rate, that nobody reads before the next pass: what a buffer of
        the last one had, where there is one. The passes cannot go back once more then."""
        taken = [value for one in self.pending.values() for value in (one.sent, one.arrived)]
        free = [
            buffer
            for buffer in self._buffers.values()
            if buffer.dtype == self.real
            and buffer.size >= least
            and not any(np.may_share_memory(buffer, value) for value in taken)
        ]
        if not free:
            return aligned.empty(most, self.real)
        self._fresh = False
        return max(free, key=lambda buffer: buffer.size).reshape(-1)[:most]
