"""Products that the machine's compiler makes fast: convolutions, pools, and dense connections of few active senders.

Each class does what its NumPy parent does (:mod:`snnlang.runtime.products`, :mod:`snnlang.runtime.windows`), to rounding. Which code runs
is decided by what is sent, never by the number of threads, and every sum has one order: results are the same bits for any number.

* A dense connection is a matrix product of the BLAS, until rows that are zero together leave out enough of it
  (:mod:`snnlang.runtime.native_groups`), or fewer than :data:`RARE` of its senders are active (a sample of :data:`LOOKED_AT` rows is
  counted): then rows of the weights are gathered (codegen/native/rows.h).
* A convolution goes image by image through lists of active channels where fewer than :data:`RARE_PIXELS` of them are active, else six
  images at once through blocks of registers (codegen/native/convolution.h). The gradient of its weights likewise; what goes back to
  the senders always takes the latter, since adjoints are dense.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.runtime import aligned
from snnlang.runtime.native_groups import Grouping
from snnlang.runtime.products import Dense
from snnlang.runtime.team import Team
from snnlang.runtime.windows import Convolution, Pool, Window

Values = NDArray[Any]
#: The part of active senders below which gathered rows beat a matrix product.
RARE = 0.22
#: The part of active channels below which a convolution goes through lists of them.
RARE_PIXELS = 0.18
#: Channels, before and after, below which a convolution makes no lists.
FEWEST = 8
#: Rows that are counted to know that part.
LOOKED_AT = 8
#: Rows of a product that one thread computes at least, and multiplications of such a piece below which the product stays whole.
PIECE_OF_ROWS, WORTH_PIECES = 64, 2_000_000
#: Rows of adjoints that a gradient gathers from before the next ones: a part of their columns stays in the second-level cache.
CHUNK = 512
#: Numbers of a piece of images that the gradient of a convolution works on: they stay in the second-level cache.
PIECE = 24000
#: The same where active channels are listed: numbers of adjoints.
RARE_PIECE = 64000
#: Multiplications for which another thread pays.
WORTH = 200_000
#: Multiplications below which a matrix product is not worth counting who is active.
WORTH_LISTS = 2_000_000

HEAD = """\
/* Made by snnlang: products of connections with whole batches. */
#define SNN_FUSED 1
#include <math.h>
#include <stdint.h>
#include <string.h>
typedef {real} real;
#define SNN_INLINE static inline __attribute__((always_inline))
"""
#: The texts of each library: lists of rows alone, with all that works on images, or with cycles of populations; and groups of rows.
_PARTS = {
    "rows": ("vectors.h", "places.h", "rows.h"),
    "images": ("vectors.h", "places.h", "rows.h", "convolution.h", "pools.h"),
    "cycles": ("vectors.h", "places.h", "rows.h", "matrices.h", "cycles.h"),
    "groups": ("vectors.h", "places.h", "groups.h"),
}
_COUNTS = (
    *("snn_columns", "snn_reach_room", "snn_rare_room", "snn_weigh_room", "snn_rare_weigh_room", "snn_rows_list"),
    *("snn_groups_begins", "snn_groups_words", "snn_groups_of_rows", "snn_groups_of_columns", "snn_groups_room", "snn_groups_vector"),
)


class _Reach(ctypes.Structure):
    """``snn_reach`` of codegen/native/convolution.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("groups", "sources", "targets", "before", "after", "taps")),
        *((name, ctypes.c_void_p) for name in ("first", "from_", "tap")),
    ]


class _Slide(ctypes.Structure):
    """``snn_slide`` of codegen/native/convolution.h."""

    _fields_ = [
        *(
            (name, ctypes.c_int64)
            for name in (
                "groups",
                "sources",
                "targets",
                "height",
                "width",
                "top",
                "left",
                "padded_height",
                "padded_width",
                "after",
                "taps",
            )
        ),
        *((name, ctypes.c_void_p) for name in ("pixel", "tap")),
    ]


class _Pool(ctypes.Structure):
    """``snn_pool`` of codegen/native/pools.h."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in (
            "height",
            "width",
            "rows",
            "columns",
            "kernel_y",
            "kernel_x",
            "stride_y",
            "stride_x",
            "top",
            "left",
            "apart_y",
            "apart_x",
        )
    ]


@lru_cache(maxsize=4)
def native_text(kind: str, double: bool) -> str:
    """The text of a library: the parts that :data:`_PARTS` names, in one precision."""
    folder = files("snnlang.codegen") / "native"
    return HEAD.format(real="double" if double else "float") + "\n".join(
        (folder / part).read_text(encoding="utf-8") for part in _PARTS[kind]
    )


class Native:
    """The compiled library of one precision, and the threads that share out its work. It is compiled when it is first called."""

    def __init__(self, precision: str, threads: int = 1) -> None:
        self.double = precision == "double"
        self.real = np.dtype(np.float64 if self.double else np.float32)
        self.number = ctypes.c_double if self.double else ctypes.c_float
        self.threads = threads
        self._team = Team(threads)
        self._rooms: list[Values] = []
        self._kind = "rows"
        self._building: Future[Any] | None = None

    def expect_images(self) -> None:
        """Images will come: begin to compile, while everything else is made ready."""
        if self._kind == "rows":
            self._kind = "images"
            self.__dict__.pop("handle", None)
            maker = ThreadPoolExecutor(1)
            self._building = maker.submit(self._built, self._kind)
            maker.shutdown(wait=False)

    def _built(self, kind: str) -> Any:
        from snnlang.runtime.compiler import library

        handle = library(native_text(kind, self.double), "fast", "products").handle
        for name in _COUNTS:
            if hasattr(handle, name):
                getattr(handle, name).restype = ctypes.c_int64
        return handle

    @cached_property
    def handle(self) -> Any:
        """The library."""
        return self._built(self._kind) if self._building is None else self._building.result()

    @cached_property
    def grouping(self) -> Any:
        """The library of products in groups: what is sent decides whether there are any."""
        return self._built("groups")

    def call(self, name: str, *arguments: Any) -> int:
        """A function: arrays go as pointers, whole numbers as 64 bits, others as ``real``; structures by reference."""
        library = self.grouping if name.startswith("snn_groups") else self.handle
        return int(getattr(library, name)(*(self._argument(value) for value in arguments)) or 0)

    def _argument(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return ctypes.c_void_p(value.ctypes.data)
        if isinstance(value, ctypes.Structure):
            return ctypes.byref(value)
        if isinstance(value, (int, np.integer)):
            return ctypes.c_int64(int(value))
        return self.number(value)

    def share(self, count: int, work: float, do: Callable[[int, int, int], None]) -> None:
        """``do(first, last, part)`` for parts of ``count``, on threads where ``work`` multiplications pay for them."""
        parts = max(1, min(self.threads, count, int(work / max(1, WORTH))))
        self._team(parts, lambda n: do(count * n // parts, count * (n + 1) // parts, n))

    def room(self, part: int, size: int) -> Values:
        """Working memory of a part, kept between calls; never two calls' at once."""
        while len(self._rooms) <= part:
            self._rooms.append(np.empty(0, self.real))
        if self._rooms[part].size < size:
            self._rooms[part] = aligned.empty(size, self.real)
        return self._rooms[part]


def _density(sent: Values) -> float:
    """The part of numbers that are not 0, in a sample of rows."""
    rows = sent[:: max(1, sent.shape[0] // LOOKED_AT)]
    return float(np.count_nonzero(rows)) / max(1, rows.size)


class NativeDense(Dense):
    """A matrix product: of the BLAS, of groups that are zero together, or gathered rows where few senders are active."""

    def __init__(self, native: Native, pre: int, post: int, scale: float = 1.0, mask: Values | None = None) -> None:
        super().__init__(pre, post, scale, mask)
        self._native = native
        self._grouping = Grouping(native)
        self._listed: tuple[Values, Values, Values] | None = None
        self._turned: tuple[Values, Values] = (np.empty(0, np.int32), np.empty(0, native.real))
        self._of: tuple[int, tuple[int, ...]] | None = None  # where what was listed last lies

    def _multiply(self, a: Values, b: Values, out: Values) -> None:
        """Threads share out pieces of rows. Products that a BLAS may compute in a way made for small ones stay whole."""
        pieces = a.shape[0] // PIECE_OF_ROWS
        if self._native.threads == 1 or pieces < 2 or b.shape[1] < PIECE_OF_ROWS or b.size * PIECE_OF_ROWS < WORTH_PIECES:
            np.matmul(a, b, out=out)
            return

        def part(first: int, last: int, _: int) -> None:
            rows = slice(first * PIECE_OF_ROWS, None if last == pieces else last * PIECE_OF_ROWS)
            np.matmul(a[rows], b, out=out[rows])

        self._native.share(pieces, float(a.shape[0]) * b.size, part)

    def _active(self, sent: Values, *others: Values) -> float:
        """The part of active senders; all, where nothing but a BLAS would multiply."""
        if self.mask is not None or sent.dtype != self._native.real or sent.shape[0] * self.pre * self.post < WORTH_LISTS:
            return 1.0
        if self.post < 8 or not all(array.flags.c_contiguous for array in (sent, *others)):
            return 1.0
        return _density(sent)

    def _grouped(self, sent: Values, factor: Values, out: Values, density: float, steps: int, back: bool, add: bool) -> bool:
        """Multiply by groups of what was sent, or with ``back`` of its columns. False: another way is faster."""
        groups = self._grouping.worth(sent, self.post, density, density < RARE, back)
        if groups is not None:
            self._grouping.multiply(groups, sent, factor, out, self.scale, add, steps)
        return groups is not None

    def _list(self, sent: Values) -> tuple[Values, Values, Values]:
        begin, most = np.empty(sent.shape[0] + 1, np.int64), sent.size + 16
        room = self._listed
        if room is None or room[1].size < most:
            room = self._listed = (begin, np.empty(most, np.int32), np.empty(most, self._native.real))
        self._native.call("snn_rows_list", sent, sent.shape[0], self.pre, begin, room[1], room[2])
        self._listed = (begin, room[1], room[2])
        return self._listed

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        """As every product's; ``sent`` may also be (steps, samples, pre), of samples that lie one after the other with all their steps."""
        given, (sent, steps) = sent, _side_by_side(sent)
        density = self._active(sent, weight, out)
        if (grouped := self._grouped(sent, weight, out, density, steps, False, add)) or density >= RARE:
            self._of = None
            if not grouped and steps == 1:
                super().forward(sent, weight, out, add)
            elif not grouped:
                for step, arrives in enumerate(out.reshape(steps, -1, self.post)):
                    super().forward(given[step], weight, arrives, add)
            return
        begin, index, value = self._list(sent)
        self._of = (sent.ctypes.data, sent.shape)
        rows = sent.shape[0]

        def part(first: int, last: int, _: int) -> None:
            to = (out, rows, steps, first, last, self.scale, int(add))
            self._native.call("snn_rows_gather", begin, index, value, weight, self.post, *to)

        self._native.share(rows, float(begin[-1]) * self.post, part)

    def gradient(self, sent: Values, arrived: Values, out: Values, add: bool = True) -> None:
        """As every product's, ``sent`` as of :meth:`forward`; ``add`` False: ``out`` holds nothing yet."""
        given, (sent, steps) = sent, _side_by_side(sent)
        density = self._active(sent, arrived, out)
        whole = out.reshape(self.pre, self.post) if density < 1 else out
        if (grouped := self._grouped(sent, arrived, whole, density, steps, True, add)) or density >= RARE:
            if not grouped:
                super().gradient(given.reshape(sent.shape), arrived, out, add)
            return
        # a gradient follows the forward pass of the same signals, whose lists are still there
        known = self._listed if self._of == (sent.ctypes.data, sent.shape) else None
        begin, index, value = self._list(sent) if known is None else known
        self._of = None
        by, total = np.empty(self.pre + 1, np.int64), sent.shape[0]
        for at in range(0, total, CHUNK):
            rows = min(CHUNK, total - at)
            count, more = int(begin[at + rows] - begin[at]), int(add or at > 0)
            if self._turned[0].size < count:
                self._turned = np.empty(count, np.int32), np.empty(count, self._native.real)
            row, of = self._turned
            self._native.call("snn_rows_turn", rows, self.pre, begin[at:], index, value, by, row, of)
            self._native.call("snn_rows_place", count, row, at, rows, total, steps)

            def part(first: int, last: int, _: int, row: Values = row, of: Values = of, more: int = more) -> None:
                to = (out, self.pre, 1, first, last, self.scale, more)
                self._native.call("snn_rows_gather", by, row, of, arrived, self.post, *to)

            self._native.share(self.pre, float(count) * self.post, part)


def _side_by_side(sent: Values) -> tuple[Values, int]:
    """Signals (steps, samples, pre) as rows in the order in which they lie, and how many of a sample lie side by side; of rows 1."""
    if sent.ndim == 2:
        return sent, 1
    return sent.transpose(1, 0, 2).reshape(-1, sent.shape[2]), sent.shape[0]


class NativeConvolution(Convolution):
    """A convolution in blocks of registers, or through lists of active channels."""

    def __init__(self, native: Native, window: Window, groups: int, scale: float) -> None:
        super().__init__(window, groups, scale)
        self._native = native
        native.expect_images()
        self._kept: list[Values] = []
        self._weights: Values = aligned.empty(0, native.real)
        pairs = _pairs(window)
        before, after = window.image[1] * window.image[2], window.output[1] * window.output[2]
        self._forward = self._reach(self.inputs, self.outputs, before, after, pairs[:, 1], pairs[:, 0], pairs[:, 2])
        self._backward = self._reach(self.outputs, self.inputs, after, before, pairs[:, 0], pairs[:, 1], pairs[:, 2])
        self._slide = self._sliding()
        self._reached = np.full((window.kernel[0] * window.kernel[1], before), -1, np.int32)
        self._reached[pairs[:, 2], pairs[:, 0]] = pairs[:, 1]

    def _reach(
        self, sources: int, targets: int, before: int, after: int, target: Values, source: Values, tap: Values
    ) -> _Reach:
        """Pairs sorted by target pixel, then tap. ``target``, ``source`` and ``tap`` are one number for each pair."""
        order = np.lexsort((tap, target))
        first = np.zeros(after + 1, np.int32)
        first[1:] = np.cumsum(np.bincount(target, minlength=after))
        lists = (first, source[order].astype(np.int32), tap[order].astype(np.int32))
        self._kept += lists
        taps = self.window.kernel[0] * self.window.kernel[1]
        return _Reach(self.groups, sources, targets, before, after, taps, *(x.ctypes.data for x in lists))

    def _sliding(self) -> _Slide:
        w = self.window
        height, width = w.padded
        rows, columns = (np.arange(w.output[axis + 1]) * w.stride[axis] for axis in (0, 1))
        down, across = (np.arange(w.kernel[axis]) * w.dilation[axis] for axis in (0, 1))
        lists = tuple(
            np.add.outer(a * width, b).astype(np.int32).reshape(-1) for a, b in ((rows, columns), (down, across))
        )
        self._kept += lists
        return _Slide(
            self.groups,
            self.inputs,
            self.outputs,
            w.image[1],
            w.image[2],
            *w.padding,
            height,
            width,
            w.output[1] * w.output[2],
            w.kernel[0] * w.kernel[1],
            *(x.ctypes.data for x in lists),
        )

    def _packed(self, size: int) -> Values:
        """Room for packed weights, kept between calls: where they are made anew each time, so are their pages."""
        if self._weights.size < size:
            self._weights = aligned.empty(size, self._native.real)
        return self._weights[:size]

    def _images(self, reach: _Reach, sent: Values, weight: Values, out: Values, add: bool, back: bool) -> None:
        native = self._native
        columns = native.call("snn_columns")
        rare = not back and min(reach.sources, reach.targets) >= FEWEST and _density(sent) < RARE_PIXELS
        vectors = 8 if rare and reach.targets > columns else 2
        width = columns * vectors // 2
        packed = self._packed(self.groups * -(-reach.targets // width) * width * reach.taps * reach.sources)
        native.call("snn_pack", reach, np.ascontiguousarray(weight), self.scale, int(back), width, packed)
        step = 1 if rare else 6  # images of a call of the dense kernel begin at multiples of its rows
        count = -(-sent.shape[0] // step)
        size = native.call("snn_rare_room", reach, width) if rare else native.call("snn_reach_room", reach)
        rooms = [native.room(part, size) for part in range(native.threads)]

        def part(first: int, last: int, number: int) -> None:
            given = (reach, sent, packed, out, rooms[number], first * step, min(last * step, sent.shape[0]), int(add))
            if rare:
                native.call("snn_rare_images", *given, vectors)
            else:
                native.call("snn_reach_images", *given)

        native.share(count, float(sent.shape[0]) * self.each * self.outputs, part)

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        if not _ready(self._native, sent, out, weight):
            super().forward(sent, weight, out, add)
            return
        self._images(self._forward, sent, weight, out, add, False)

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        if not _ready(self._native, arrived, out, weight):
            super().transpose(arrived, weight, out, add, sent)
            return
        self._images(self._backward, arrived, weight, out, add, True)

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        native, slide = self._native, self._slide
        if not _ready(native, sent, arrived, out):
            super().gradient(sent, arrived, out)
            return
        if min(self.inputs, self.outputs) >= FEWEST and _density(sent) < RARE_PIXELS:
            self._rare_gradient(sent, arrived, out)
            return
        each = slide.padded_height * slide.padded_width * self.inputs + slide.after * self.outputs
        piece = max(1, min(sent.shape[0], PIECE // each))
        tiles = -(-slide.taps * self.inputs // 6)
        size = native.call("snn_weigh_room", slide, piece)
        rooms = [native.room(part, size) for part in range(native.threads)]

        def part(first: int, last: int, number: int) -> None:
            native.call(
                "snn_weigh", slide, sent, arrived, out, rooms[number], sent.shape[0], piece, first, last, self.scale
            )

        native.share(tiles, float(sent.shape[0]) * self.each * self.outputs, part)


    def _rare_gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        native, slide = self._native, self._slide
        columns = native.call("snn_columns")
        vectors = 8 if self.outputs > columns else 2
        each = slide.after * -(-self.outputs // columns) * columns
        piece = max(1, min(sent.shape[0], RARE_PIECE // each))
        size = native.call("snn_rare_weigh_room", slide, piece, vectors)
        rooms = [native.room(part, size) for part in range(native.threads)]
        count = sent.shape[0]

        def part(first: int, last: int, number: int) -> None:
            given = (slide, self._reached, sent, arrived, out, rooms[number], count, piece, first, last, self.scale)
            native.call("snn_rare_weigh", *given, vectors)

        native.share(slide.taps * self.inputs, float(count) * self.each * self.outputs, part)


class NativePool(Pool):
    """Sums and maxima over windows."""

    def __init__(self, native: Native, window: Window, scale: float, greatest: bool) -> None:
        super().__init__(window, scale, greatest)
        self._native = native
        native.expect_images()
        w = window
        self._shape = _Pool(*w.image[1:], *w.output[1:], *w.kernel, *w.stride, *w.padding, *w.dilation)

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        if not _ready(self._native, sent, out):
            super().forward(sent, weight, out, add)
            return
        factor = self.scale * float(weight.reshape(-1)[0])

        def part(first: int, last: int, _: int) -> None:
            self._native.call(
                "snn_pool_forward", self._shape, sent, out, first, last, int(self.greatest), factor, int(add)
            )

        self._native.share(sent.shape[0] * self.window.image[0], sent.size, part)

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        seen = arrived if sent is None else sent
        if not _ready(self._native, arrived, out, seen):
            super().transpose(arrived, weight, out, add, sent)
            return
        factor = self.scale * float(weight.reshape(-1)[0])

        def part(first: int, last: int, _: int) -> None:
            self._native.call(
                "snn_pool_backward",
                self._shape,
                arrived,
                seen,
                out,
                first,
                last,
                int(self.greatest),
                factor,
                int(add),
            )

        self._native.share(arrived.shape[0] * self.window.image[0], out.size, part)


def _ready(native: Native, *arrays: Values) -> bool:
    """Whether the compiled code may be given these arrays."""
    return all(array.flags.c_contiguous and array.dtype == native.real for array in arrays)


def _pairs(window: Window) -> Values:
    """(pairs, 3): input pixel, output pixel and tap, for every tap within the image."""
    rows = []
    _, height, width = window.image
    _, down, across = window.output
    for y in range(window.kernel[0]):
        for x in range(window.kernel[1]):
            first = np.arange(down) * window.stride[0] - window.padding[0] + y * window.dilation[0]
            second = np.arange(across) * window.stride[1] - window.padding[1] + x * window.dilation[1]
            seen = np.logical_and.outer((first >= 0) & (first < height), (second >= 0) & (second < width))
            source = np.add.outer(first * width, second)[seen]
            target = np.arange(down * across).reshape(down, across)[seen]
            rows.append(np.stack([source, target, np.full(source.size, y * window.kernel[1] + x)], 1))
    return np.concatenate(rows)
