"""The arithmetic of batch normalisation over whole arrays: sums, and what is done to each number with them.

Arrays are (groups, rows, channels, places), where a group shares its statistics. On target c it is compiled
(:mod:`snnlang.runtime.native_batch_norm`); here it is array code, of NumPy in blocks that stay in the cache, of CuPy all at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snnlang.runtime.learning_arrays import Arrays, HostArrays

Values = NDArray[Any]
#: Numbers that are worked on at once, so that they stay in the cache of a processor.
PIECE = 1 << 16


class Work(Protocol):
    """Sums and maps over (groups, rows, channels, places); statistics are (groups, channels), of 64 bits."""

    def total(self, x: Values, times: Values | None = None, around: Values | None = None) -> Values:
        """Sums over rows and places of ``x``, of ``x*times``, or of the squares of ``x - around``."""
        ...

    def apply(
        self, x: Values, mean: Values, inverse: Values, gain: Values, shift: Values, out: Values, add: bool
    ) -> None:
        """``x`` becomes (x - mean)*inverse, and ``out`` gain*x + shift, or that is added to it."""
        ...

    def turn(self, bars: Values, x: Values, sums: Values, products: Values, factor: Values, out: Values) -> None:
        """``out`` is (bars - sums - x*products)*factor."""
        ...


class ArrayWork:
    """By NumPy, in blocks that stay in the cache, or by CuPy, all at once."""

    def __init__(self, arrays: Arrays, real: Any) -> None:
        self.xp, self.apart, self.real = arrays.xp, arrays.apart, real

    def total(self, x: Values, times: Values | None = None, around: Values | None = None) -> Values:
        """As of :class:`Work`."""
        total: Values = self.xp.zeros((x.shape[0], x.shape[2]), np.float64)
        for groups, rows in self._blocks(x):
            part = x[groups, rows]
            if times is not None:
                part = part * times[groups, rows]
            elif around is not None:
                part = part - self._spread(around, groups)
                part = part * part
            total[groups] += (part.sum(3) if x.shape[3] > 1 else part[:, :, :, 0]).sum(1, dtype=np.float64)
        return total

    def apply(
        self, x: Values, mean: Values, inverse: Values, gain: Values, shift: Values, out: Values, add: bool
    ) -> None:
        """As of :class:`Work`."""
        by, more = gain.astype(self.real)[:, None], shift.astype(self.real)[:, None]
        for groups, rows in self._blocks(x):
            part = x[groups, rows]
            part -= self._spread(mean, groups)
            part *= self._spread(inverse, groups)
            made = part * by + more
            if add:
                out[groups, rows] += made
            else:
                out[groups, rows] = made

    def turn(self, bars: Values, x: Values, sums: Values, products: Values, factor: Values, out: Values) -> None:
        """As of :class:`Work`."""
        for groups, rows in self._blocks(x):
            part = bars[groups, rows] - self._spread(sums, groups)
            part -= x[groups, rows] * self._spread(products, groups)
            out[groups, rows] = part * self._spread(factor, groups)

    def _blocks(self, x: Values) -> Iterator[tuple[slice, slice]]:
        """Parts of an array that are worked on one after the other."""
        groups, rows = x.shape[:2]
        if self.apart:
            yield slice(0, groups), slice(0, rows)
            return
        step = max(1, PIECE // (x.shape[2] * x.shape[3]))
        for group in range(groups):
            for first in range(0, rows, step):
                yield slice(group, group + 1), slice(first, min(rows, first + step))

    def _spread(self, values: Values, groups: slice) -> Values:
        """Numbers of (groups, channels), or of (1, channels) for all groups, beside those of a block."""
        made: Values = values.astype(self.real)
        return (made[groups] if made.shape[0] > 1 else made)[:, None, :, None]


def work_of(arrays: Arrays, real: Any) -> Work:
    """Compiled for a processor on target c, else array code."""
    if isinstance(arrays, HostArrays) and arrays.target == "c":
        from snnlang.runtime.native_batch_norm import NativeWork

        return NativeWork("double" if real == np.float64 else "single", arrays.threads)
    return ArrayWork(arrays, real)


__all__ = ["ArrayWork", "Work", "work_of"]
