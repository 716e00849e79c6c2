"""Batch normalisation compiled for the processor: sums and maps of :mod:`snnlang.runtime.batch_norm_work`, each in one pass.

Sums are shared out between threads by channels, everything else by rows, so that every bit is the same for any number of them.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.runtime.native_products import Native

Values = NDArray[Any]
_HEAD = """\
/* Made by snnlang: batch normalisation of a training. */
#include <stdint.h>
typedef {real} real;
"""


@lru_cache(maxsize=2)
def _text(double: bool) -> str:
    body = (files("snnlang.codegen") / "native" / "batch_norm.h").read_text(encoding="utf-8")
    return _HEAD.format(real="double" if double else "float") + body


class _Library(Native):
    """The compiled functions and their threads."""

    what = "batch_norm"

    def _text(self, kinds: tuple[str, ...]) -> str:
        return _text(self.double)


class NativeWork:
    """Sums and maps over (groups, rows, channels, places), contiguous; statistics are (groups, channels)."""

    def __init__(self, precision: str, threads: int) -> None:
        self._native = _Library(precision, threads)
        self.real = self._native.real

    def total(self, x: Values, times: Values | None = None, around: Values | None = None) -> Values:
        """Sums over rows and places of ``x``, of ``x*times``, or of the squares of ``x - around``."""
        groups, rows, channels, places = x.shape
        total = np.empty((groups, channels))
        kind = 2 if times is not None else 1 if around is not None else 0
        middle = total if around is None else np.ascontiguousarray(np.broadcast_to(around, total.shape))

        def part(first: int, last: int, _: int) -> None:
            self._native.call(
                "snn_norm_total", x, x if times is None else times, middle, total, *x.shape, kind, first, last
            )

        self._native.share(channels, float(groups * rows * channels * places), part)
        return total

    def apply(
        self, x: Values, mean: Values, inverse: Values, gain: Values, shift: Values, out: Values, add: bool
    ) -> None:
        """``x`` becomes (x - mean)*inverse, and ``out`` gain*x + shift, or that is added to it."""
        groups, rows, channels, places = x.shape
        numbers = self._spread(x, mean, inverse)
        more = [np.ascontiguousarray(value, self.real) for value in (gain, shift)]

        def part(first: int, last: int, _: int) -> None:
            self._native.call("snn_norm_apply", x, out, *numbers, *more, rows, channels, places, int(add), first, last)

        self._native.share(groups * rows, float(groups * rows * channels * places), part)

    def turn(self, bars: Values, x: Values, sums: Values, products: Values, factor: Values, out: Values) -> None:
        """``out`` is (bars - sums - x*products)*factor."""
        groups, rows, channels, places = x.shape
        numbers = self._spread(x, sums, products, factor)

        def part(first: int, last: int, _: int) -> None:
            self._native.call("snn_norm_turn", bars, x, *numbers, out, rows, channels, places, first, last)

        self._native.share(groups * rows, float(groups * rows * channels * places), part)

    def _spread(self, x: Values, *values: Values) -> list[Values]:
        """Statistics as numbers of the network's precision, one for each group."""
        wanted = (x.shape[0], x.shape[2])
        return [np.ascontiguousarray(np.broadcast_to(value, wanted), self.real) for value in values]


__all__ = ["NativeWork"]
