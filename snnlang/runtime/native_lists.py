"""Listed synapses (``random``, ``local2d``, ``edges``, delays that differ) as compiled loops: forwards, back to the senders, and weights.

A block of rows is turned so that one neuron's numbers in all of them lie together (codegen/native/lists.h); then each synapse costs a few
vector operations. Lists are sorted by what is written: by post neuron forwards, by pre neuron backwards, by weight for the gradient. Each
number has one writer and one order of its sum, whatever the number of threads.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.runtime.native_products import HEAD, Native
from snnlang.runtime.products import Sparse

Values = NDArray[Any]
#: Numbers of sent and arrived values that the gradient works on at once: they stay in the second-level cache.
PIECE = 400_000


@lru_cache(maxsize=2)
def _text(double: bool) -> str:
    folder = files("snnlang.codegen") / "native"
    parts = ((folder / name).read_text(encoding="utf-8") for name in ("vectors.h", "turning.h", "lists.h"))
    return HEAD.format(real="double" if double else "float") + "\n".join(parts)


class NativeLists(Native):
    """The library of lists of one precision."""

    what = "lists"

    def _text(self, kinds: tuple[str, ...]) -> str:
        return _text(self.double)


def _sorted(of: Values, count: int, *others: Values) -> tuple[Values, ...]:
    """(where the members of each group begin, then the given lists in that order)."""
    order = np.argsort(of, kind="stable")
    begin = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(of, minlength=count), out=begin[1:])
    return begin, *(np.ascontiguousarray(other[order], np.int32) for other in others)


class NativeSparse(Sparse):
    """Listed synapses, compiled."""

    def __init__(
        self, native: NativeLists, pre_of: Values, post_of: Values, pre: int, post: int, scale: float, shared: Values | None = None
    ) -> None:
        super().__init__(pre_of, post_of, pre, post, scale, shared)
        self._native = native
        number = np.arange(pre_of.size) if shared is None else shared
        self._by_post = _sorted(post_of, post, pre_of, number)
        self._by_pre = _sorted(pre_of, pre, post_of, number)
        self._number = number
        self._by_weight: tuple[Values, ...] | None = None

    def _ready(self, weight: Values, *values: Values) -> bool:
        real = self._native.real
        return weight.flags.c_contiguous and all(v.dtype == real and v.flags.c_contiguous for v in (weight, *values))

    def _run(self, lists: tuple[Values, ...], source: Values, weight: Values, out: Values, add: bool) -> None:
        native, (begin, index, number) = self._native, lists
        single = weight.size == 1 and self.shared is None
        value = np.full(number.size, weight.reshape(-1)[0]) if single else np.take(weight.reshape(-1), number)
        if self.scale != 1.0:
            value *= value.dtype.type(self.scale)
        rows, lanes = source.shape[0], native.call("snn_list_lanes")
        size = native.call("snn_list_room", source.shape[1])
        rooms = [native.room(part, size) for part in range(native.threads)]

        def part(first: int, last: int, place: int) -> None:
            native.call(
                "snn_list_rows",
                *(begin, index, value, source, source.shape[1], out, out.shape[1], rows, first, last, rooms[place], int(add)),
            )

        native.share(-(-rows // lanes), float(rows) * index.size, part)

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        if self._ready(weight, sent, out):
            self._run(self._by_post, sent, weight, out, add)
        else:
            super().forward(sent, weight, out, add)

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        if self._ready(weight, arrived, out):
            self._run(self._by_pre, arrived, weight, out, add)
        else:
            super().transpose(arrived, weight, out, add, sent)

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        single = self.shared is None and out.size != self.pre_of.size
        if single or not self._ready(out, sent, arrived):
            super().gradient(sent, arrived, out)
            return
        if self._by_weight is None:
            self._by_weight = _sorted(self._number, out.size, self.pre_of, self.post_of)
        native, (begin, pre_of, post_of), lanes = self._native, self._by_weight, self._native.call("snn_list_lanes")
        step = max(lanes, PIECE // (self.pre + self.post) // lanes * lanes)
        for start in range(0, sent.shape[0], step):
            rows = min(step, sent.shape[0] - start)
            width = -(-rows // lanes) * lanes
            turned = [self._turned(values[start : start + rows], width, place) for place, values in enumerate((sent, arrived))]

            def part(first: int, last: int, _: int, turned: list[Values] = turned, width: int = width) -> None:
                native.call("snn_list_slopes", begin, pre_of, post_of, *turned, width, out, first, last, self.scale)

            native.share(out.size, float(rows) * pre_of.size, part)

    def _turned(self, values: Values, width: int, place: int) -> Values:
        """(neurons, width): what each neuron sent or got in all rows."""
        native, (rows, count) = self._native, values.shape
        made = native.room(native.threads + place, count * width)

        def part(first: int, last: int, _: int) -> None:
            native.call("snn_list_columns", values, count, rows, width, made, first, last)

        native.share(count, float(rows) * count, part)
        return made


__all__ = ["NativeLists", "NativeSparse"]
