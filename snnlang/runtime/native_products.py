"""Products that the machine's compiler makes fast: pools, and dense connections of few active senders.

Each class does what its NumPy parent does (:mod:`snnlang.runtime.products`, :mod:`snnlang.runtime.windows`), to rounding. Which code runs
is decided by what is sent, never by the number of threads, and every sum has one order: results are the same bits for any number.

* A dense connection is a matrix product of the BLAS, until rows that are zero together leave out enough of it
  (:mod:`snnlang.runtime.native_groups`), or fewer than :data:`RARE` of its senders are active (a sample of :data:`LOOKED_AT` rows is
  counted): then rows of the weights are gathered (codegen/native/rows.h).
* Pools of 2 x 2 sums have code of their own (codegen/native/halves.h) beside that of all others (codegen/native/pools.h).
* Convolutions are in :mod:`snnlang.runtime.native_convolution`.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from importlib.resources import files
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.runtime import aligned
from snnlang.runtime.blas import one_thread
from snnlang.runtime.native_groups import Grouping
from snnlang.runtime.optimizers import Move, Update
from snnlang.runtime.products import Dense
from snnlang.runtime.team import Team
from snnlang.runtime.windows import Pool, Window

Values = NDArray[Any]
#: The part of active senders below which gathered rows beat a matrix product.
RARE = 0.22
#: Rows that are counted to know that part.
LOOKED_AT = 8
#: Rows of a product that one thread computes at least, and multiplications of such a piece below which the product stays whole.
PIECE_OF_ROWS, WORTH_PIECES = 64, 2_000_000
#: Rows of adjoints that a gradient gathers from before the next ones: a part of their columns stays in the second-level cache. A few more
#: are taken at once, so that the gradient need not be added up.
CHUNK, ONE_CHUNK = 512, 1024
#: Bytes of a gradient that are made and used together: they stay in the second-level cache.
ROOM = 1 << 19
#: Multiplications for which another thread pays.
WORTH = 200_000
#: Multiplications below which a matrix product is not worth counting who is active.
WORTH_LISTS = 2_000_000

HEAD = """\
/* Made by snnlang: products of connections with whole batches. */
#define SNN_FUSED 1
#include <stdint.h>
#include <string.h>
typedef {real} real;
#define SNN_INLINE static inline __attribute__((always_inline))
"""
_LISTS, _ROWS = ("vectors.h", "listing.h"), ("vectors.h", "places.h", "listing.h", "rows.h")
_IMAGES = ("vectors.h", "turning.h", "images.h")
#: By kind, which is the second word of its functions' names, the texts of a library; those of several kinds stand in the order of _ORDER.
_PARTS = {
    "rows": _ROWS,
    "reach": (*_IMAGES, "convolution.h"),
    "weigh": (*_IMAGES, "convolution_weights.h"),
    "run": (*_LISTS, *_IMAGES, "actives.h", "convolution_runs.h"),
    "meet": (*_LISTS, *_IMAGES, "actives.h", "convolution_meets.h"),
    "rare": (*_ROWS, *_IMAGES, "convolution_lists.h"),
    "tiles": (*_IMAGES, "filtering.h", "convolution_tiles.h"),
    "slopes": (*_IMAGES, "filtering.h", "convolution_slopes.h"),
    "half": ("vectors.h", "planes.h", "halves.h"),
    "pool": ("vectors.h", "planes.h", "pools.h"),
    "groups": ("vectors.h", "places.h", "listing.h", "groups.h"),
    "cycles": (*_ROWS, "matrices.h", "cycles.h"),
}
_ORDER = tuple(dict.fromkeys(part for kind in _PARTS for part in _PARTS[kind]))
_COUNTS = (
    "snn_reach_columns",
    "snn_reach_room",
    "snn_run_columns",
    "snn_rare_columns",
    "snn_rare_room",
    "snn_weigh_room",
    "snn_rare_weigh_room",
    "snn_rare_vectors",
    "snn_rows_list",
    "snn_list_room",
    "snn_list_lanes",
    "snn_run_vectors",
    "snn_run_part",
    "snn_run_room",
    "snn_meet_room",
    "snn_meet_vectors",
    "snn_tiles_packed",
    "snn_tiles_images",
    "snn_tiles_room",
    "snn_slopes_room",
    *(
        "snn_groups_begins",
        "snn_groups_words",
        "snn_groups_of_rows",
        "snn_groups_of_columns",
        "snn_groups_room",
        "snn_groups_vector",
    ),
)


def members(whole: str, pointers: str = "") -> list[tuple[str, Any]]:
    """Fields of a structure of codegen/native: whole numbers of 64 bits, then pointers, by their names in order."""
    return [(name, ctypes.c_int64) for name in whole.split()] + [(name, ctypes.c_void_p) for name in pointers.split()]


class _Pool(ctypes.Structure):
    """``snn_pool`` of codegen/native/pools.h."""

    _fields_ = members("height width rows columns kernel_y kernel_x stride_y stride_x top left apart_y apart_x")


#: Columns of a kernel that meet an active source at once, by how many are left; see convolution_meets.h.
MEETING = (0, 1, 2, 3, 2, 5)


@lru_cache(maxsize=8)
def native_text(
    kinds: tuple[str, ...], double: bool, many: frozenset[bool] = frozenset(), meets: frozenset[int] = frozenset()
) -> str:
    """The text of a library of some kinds, in one precision. ``many``: whether convolutions have more targets than two vectors of 64 bytes
    hold, and ``meets``: how many columns of their kernels meet a source at once."""
    folder = files("snnlang.codegen") / "native"
    names = {part for kind in kinds for part in _PARTS[kind]}
    wanted = [f"#define {'MANY' if value else 'FEW'} 1" for value in sorted(many)]
    wanted.append(f"#define MEETS(N) {' '.join(f'MEET(N, {count})' for count in sorted(meets))}")
    wanted.append(f"#define MEETINGS(N) {{{', '.join(f'[{count}] = meet_##N##_{count}' for count in sorted(meets))}}}")
    shapes = "\n".join(wanted) + "\n" if names & {"actives.h"} else ""
    texts = ((folder / part).read_text(encoding="utf-8") for part in _ORDER if part in names)
    head = HEAD.format(real="double" if double else "float") + (
        "#define SNN_ADDRESSES 1\n" if "groups" in kinds else ""
    )
    return head + shapes + "\n".join(texts)


#: Libraries of other kinds whose functions are those of a kind, too, by kind and whether they are of double precision.
_lent: dict[tuple[str, bool], Any] = {}


def lend(kind: str, double: bool, handle: Any) -> None:
    """A loaded library has the functions of a kind among its own: nobody need compile them again."""
    _lent[kind, double] = handle


class Native:
    """The compiled functions of one precision, and the threads that share out their work.

    They are compiled when they are first called: together what was expected, other kinds alone.
    """

    what = "products"

    def __init__(self, precision: str, threads: int = 1) -> None:
        self.double = precision == "double"
        self.real = np.dtype(np.float64 if self.double else np.float32)
        self.number = ctypes.c_double if self.double else ctypes.c_float
        self.threads = threads
        self._team = Team(threads)
        self._rooms: list[Values] = []
        self._expected: set[str] = set()
        self._beside: set[str] = set()
        self._many: set[bool] = set()
        self._meets: set[int] = set()
        self._libraries: dict[str, Future[Any]] = {}
        self._functions: dict[str, Any] = {}
        self._lock = Lock()

    def expect(self, *kinds: str) -> None:
        """Kinds will be called for any data."""
        self._expected |= set(kinds)

    def expect_beside(self, kind: str) -> None:
        """A kind may be called: compiled at once where others are, else when it is needed."""
        self._beside.add(kind)

    def shape(self, targets: int, columns: int) -> None:
        """A convolution of so many targets and columns of its kernel: code for others is not compiled."""
        many, meets = targets * self.real.itemsize > 128, set[int]()
        while columns > 0:
            meets.add(MEETING[min(columns, 5)])
            columns -= MEETING[min(columns, 5)]
        if many not in self._many or not meets <= self._meets:
            self._many.add(many)
            self._meets |= meets
            self._libraries.clear()
            self._functions.clear()

    def begin(self) -> None:
        """Begin to compile what is expected, while everything else is made ready."""
        if self._expected:
            self._library(next(iter(self._expected)))

    def _library(self, kind: str) -> Future[Any]:
        with self._lock:
            if kind not in self._libraries:
                kinds = {kind}
                if kind in self._expected:
                    kinds = (self._expected | self._beside) - self._libraries.keys()
                building = self._begun(tuple(sorted(kinds)))
                self._libraries.update(dict.fromkeys(kinds, building))
            return self._libraries[kind]

    def _begun(self, kinds: tuple[str, ...]) -> Future[Any]:
        lent = _lent.get((kinds[0], self.double)) if len(kinds) == 1 else None
        if lent is not None:
            made = Future[Any]()
            made.set_result(lent)
            return made
        maker = ThreadPoolExecutor(1)
        building = maker.submit(self._built, self._text(kinds))
        maker.shutdown(wait=False)
        return building

    def _text(self, kinds: tuple[str, ...]) -> str:
        return native_text(kinds, self.double, frozenset(self._many), frozenset(self._meets))

    def _built(self, text: str) -> Any:
        from snnlang.runtime.compiler import library

        handle = library(text, "fast", self.what).handle
        for name in _COUNTS:
            if hasattr(handle, name):
                getattr(handle, name).restype = ctypes.c_int64
        return handle

    @property
    def grouping(self) -> Any:
        """The library of products in groups: what is sent decides whether there are any."""
        return self._library("groups").result()

    def call(self, name: str, *arguments: Any) -> int:
        """A function: arrays go as pointers, whole numbers as 64 bits, others as ``real``; structures by reference."""
        function = self._functions.get(name)
        if function is None:
            function = self._functions[name] = getattr(self._library(name.split("_")[1]).result(), name)
        return function(*[self._argument(value) for value in arguments]) or 0

    def _argument(self, value: Any) -> Any:
        if type(value) is int:
            return ctypes.c_int64(value)
        if isinstance(value, np.ndarray):
            return ctypes.c_void_p(value.ctypes.data)
        if isinstance(value, ctypes.Structure):
            return ctypes.byref(value)
        if isinstance(value, ctypes.c_void_p):
            return value
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
        native.expect_beside("rows")
        self._grouping = Grouping(native)
        self._listed: tuple[Values, Values, Values] | None = None
        self._turned: tuple[Values, Values] = (np.empty(0, np.int32), np.empty(0, native.real))
        self._of: tuple[int, tuple[int, ...]] | None = None  # where what was listed last lies

    def _multiply(self, a: Values, b: Values, out: Values) -> None:
        """Threads share out pieces of rows. Products that a BLAS may compute in a way made for small ones stay whole."""
        pieces = a.shape[0] // PIECE_OF_ROWS
        if (
            self._native.threads == 1
            or pieces < 2
            or b.shape[1] < PIECE_OF_ROWS
            or b.size * PIECE_OF_ROWS < WORTH_PIECES
        ):
            np.matmul(a, b, out=out)
            return

        def part(first: int, last: int, _: int) -> None:
            rows = slice(first * PIECE_OF_ROWS, None if last == pieces else last * PIECE_OF_ROWS)
            np.matmul(a[rows], b, out=out[rows])

        self._native.share(pieces, float(a.shape[0]) * b.size, part)

    def _active(self, sent: Values, *others: Values) -> float:
        """The part of active senders; all, where nothing but a BLAS would multiply."""
        if (
            self.mask is not None
            or sent.dtype != self._native.real
            or sent.shape[0] * self.pre * self.post < WORTH_LISTS
        ):
            return 1.0
        if self.post < 8 or not all(array.flags.c_contiguous for array in (sent, *others)):
            return 1.0
        return _density(sent)

    def _grouped(
        self, sent: Values, factor: Values, out: Values, density: float, steps: int, back: bool, add: bool
    ) -> bool:
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
            to = (out, rows, steps, first, last, self.scale, int(add), 0)
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
        for number, turned in enumerate(self._turns(sent, steps)):
            self._gather(turned, arrived, 0, self.pre, out, add or number > 0)

    def move(self, sent: Values, arrived: Values, update: Update, first: int, spare: Callable[[int, int], Values]) -> bool:
        """Move the weights, which are parameters from the ``first`` on, against the gradient that :meth:`gradient` makes, without a place
        for the whole of it and bit for bit: number by number as they are made, or, where they are sums of several passes or made by a
        BLAS, some rows at a time in memory for so many numbers that ``spare(least, most)`` finds. False: nothing was done, because a
        BLAS may compute parts in another way than the whole."""
        given, (sent, steps) = sent, _side_by_side(sent)
        density = self._active(sent, arrived)
        groups = self._grouping.worth(sent, self.post, density, density < RARE, True)
        place = update.place(first)
        if groups is not None:
            if place is not None and groups.terms <= groups.span:
                self._grouping.multiply(groups, sent, arrived, None, self.scale, False, steps, move=place)
                return True

            def fill(begin: int, end: int, out: Values) -> None:
                self._grouping.multiply(groups, sent, arrived, out, self.scale, False, steps, (begin, end))

        elif density < RARE:
            chunk = _chunk(sent.shape[0])
            if place is not None and sent.shape[0] <= chunk:
                for turned in self._turns(sent, steps):
                    self._gather(turned, arrived, 0, self.pre, None, False, place)
                return True
            turns = [(by, row.copy(), of.copy()) for by, row, of in self._turns(sent, steps)]

            def fill(begin: int, end: int, out: Values) -> None:
                for number, turned in enumerate(turns):
                    self._gather(turned, arrived, begin, end, out, number > 0)

        elif self.post < PIECE_OF_ROWS or arrived.size * PIECE_OF_ROWS < WORTH_PIECES:
            return False
        else:

            def fill(begin: int, end: int, out: Values) -> None:
                part = given[..., begin:end]
                self._multiply(part.reshape(-1, end - begin).T, arrived, out)
                if self.scale != 1.0:
                    out *= out.dtype.type(self.scale)
                if self.mask is not None:
                    out *= self.mask[begin:end]

        room = spare(2 * PIECE_OF_ROWS * self.post, ROOM // arrived.itemsize)
        with one_thread():
            for begin, end in _parts(self.pre, room.size // self.post):
                part = room[: (end - begin) * self.post]
                fill(begin, end, part.reshape(-1, self.post))
                update(part, first + begin * self.post)
        return True

    def bounded(self, sent: Values, arrived: Values) -> bool:
        """Whether the gradient is surely finite: no sum of products is larger than the product of the norms of both sides."""
        bound = abs(self.scale)
        for side in (_side_by_side(sent)[0].reshape(-1), arrived.reshape(-1)):
            bound *= math.sqrt(np.vdot(side, side))
        return bound < float(np.finfo(arrived.dtype).max)

    def _turns(self, sent: Values, steps: int) -> Iterator[tuple[Values, Values, Values]]:
        """For each :data:`CHUNK` rows of what was sent the lists of rows by sender; those of one are good until the next."""
        # a gradient follows the forward pass of the same signals, whose lists are still there
        known = self._listed if self._of == (sent.ctypes.data, sent.shape) else None
        begin, index, value = self._list(sent) if known is None else known
        self._of = None
        total = sent.shape[0]
        for at in range(0, total, chunk := _chunk(total)):
            rows, by = min(chunk, total - at), np.empty(self.pre + 1, np.int64)
            count = int(begin[at + rows] - begin[at])
            if self._turned[0].size < count:
                self._turned = np.empty(count, np.int32), np.empty(count, self._native.real)
            row, of = self._turned
            self._native.call("snn_rows_turn", rows, self.pre, begin[at:], index, value, by, row, of)
            self._native.call("snn_rows_place", count, row, at, rows, total, steps)
            yield by, row[:count], of[:count]

    def _gather(
        self,
        turned: tuple[Values, Values, Values],
        arrived: Values,
        first: int,
        last: int,
        out: Values | None,
        add: bool,
        move: Move | None = None,
    ) -> None:
        """To ``out`` what a chunk says of senders ``first`` to ``last`` - 1, or use it at once."""
        (by, row, of), to = turned, 0 if out is None else out

        def part(begin: int, end: int, _: int) -> None:
            place = (to, last - first, 1, begin, end, self.scale, int(add), move or 0)
            self._native.call("snn_rows_gather", by[first:], row, of, arrived, self.post, *place)

        self._native.share(last - first, float(by[last] - by[first]) * self.post, part)


def _chunk(rows: int) -> int:
    """How many rows of adjoints a gradient gathers from at once."""
    return rows if rows <= ONE_CHUNK else CHUNK


def _parts(rows: int, most: int) -> list[tuple[int, int]]:
    """Rows in parts of at most ``most`` or nearly so, which begin at multiples of :data:`PIECE_OF_ROWS` and have as many at least."""
    pieces = max(1, rows // PIECE_OF_ROWS)
    count = -(-pieces // max(1, (most - PIECE_OF_ROWS) // PIECE_OF_ROWS))
    ends = [pieces * n // count * PIECE_OF_ROWS for n in range(count)]
    return list(zip(ends, (*ends[1:], rows)))


def _side_by_side(sent: Values) -> tuple[Values, int]:
    """Signals (steps, samples, pre) as rows in the order in which they lie, and how many of a sample lie side by side; of rows 1."""
    if sent.ndim == 2:
        return sent, 1
    return sent.transpose(1, 0, 2).reshape(-1, sent.shape[2]), sent.shape[0]


class NativePool(Pool):
    """Sums and maxima over windows."""

    def __init__(self, native: Native, window: Window, scale: float, greatest: bool) -> None:
        super().__init__(window, scale, greatest)
        self._native = native
        w = window
        self._half = not greatest and w.kernel == w.stride == (2, 2) and w.padding == (0, 0) and w.dilation == (1, 1)
        self._half = self._half and all(2 * w.output[axis] <= w.image[axis] for axis in (1, 2))
        native.expect("half" if self._half else "pool")
        self._shape = _Pool(*w.image[1:], *w.output[1:], *w.kernel, *w.stride, *w.padding, *w.dilation)

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        if not _ready(self._native, sent, out):
            super().forward(sent, weight, out, add)
            return
        factor = self.scale * float(weight.reshape(-1)[0])

        def part(first: int, last: int, _: int) -> None:
            if self._half:
                self._native.call("snn_half_forward", self._shape, sent, out, first, last, factor, int(add))
                return
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
            if self._half:
                self._native.call("snn_half_backward", self._shape, arrived, out, first, last, factor, int(add))
                return
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
