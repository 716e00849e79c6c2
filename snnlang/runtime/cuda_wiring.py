"""Connectivity in the memory of a CUDA device: compressed rows, and the views that kernels ask for.

Large ones are generated there (codegen/cuda/connectivity.cuh): count the rows, add up the counts, draw again to fill them, sort what came
in any order. Small ones are made by the host and copied, which costs less than compiling, and so are listed edges.
The rule (:func:`made_by_device`): the device, from ``DEVICE_FROM`` synapses or 64 times as many pairs to decide on.
Both make the same synapses in the same order. Beside the result, the device needs at most half of its memory or ``ROOM`` bytes for a while.
Refused: more than 2^31 - 1 synapses in one connectivity that is also visited by columns or queued (E747); too little memory (E741).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.connectivity import count_expected, generate
from snnlang.codegen.patterns import own_columns, turned
from snnlang.codegen.plan import Connectivity, Stream
from snnlang.codegen.wiring import PATTERN, Wiring, wiring
from snnlang.codegen.wiring_cuda import wiring_text, words
from snnlang.diagnostics import SnnError
from snnlang.frozen import dataclass
from snnlang.runtime.cuda_backend import Backend, Module
from snnlang.runtime.target_limits import MOST_SYNAPSES, too_many

#: From so many synapses the device generates them.
DEVICE_FROM: Final = 1 << 20
#: A pair that is only looked at costs this much less than a synapse.
PAIRS_EACH: Final = 64
#: Bytes that building may need beside the result, however small that is.
ROOM: Final = 1 << 24
#: What the device numbers synapses with where columns or queues name them.
MOST: Final = MOST_SYNAPSES

Where = Literal["auto", "host", "device"]


@dataclass(frozen=True, slots=True)
class DeviceRows:
    """Addresses on the device (0: not made) and sizes.

    ``row_start`` int64 (pre_size + 1,); ``post`` (count,), uint16 or int32 as ``post_bytes`` says, ascending within a row; ``shared``
    int32 (count,), index of the shared weight; ``pre`` int32 (count,). By columns: ``column_start`` int64 (post_size + 1,),
    ``column_synapse`` and ``column_pre`` int32 (count,), ascending within a column. ``nbytes`` is what all of them take.
    """

    count: int
    row_start: int
    post: int
    post_bytes: int
    shared: int
    pre: int
    column_start: int
    column_synapse: int
    column_pre: int
    longest_row: int
    longest_column: int
    nbytes: int

    def release(self, backend: Backend) -> None:
        """Give the memory back."""
        views = (self.pre, self.column_start, self.column_synapse, self.column_pre)
        for address in (self.row_start, self.post, self.shared, *views):
            if address:
                backend.release(address)


def post_bytes(connectivity: Connectivity) -> int:
    """Bytes of the index of a post neuron."""
    return 2 if connectivity.post_size <= 65536 else 4


def made_by_device(connectivity: Connectivity) -> bool:
    """Whether the device generates this connectivity; else the host does."""
    pairs = float(len(connectivity.pre_part)) * len(connectivity.post_part)
    match connectivity.pattern:
        case "edges":
            return False
        case "where":
            return pairs >= DEVICE_FROM * PAIRS_EACH
    return count_expected(connectivity) >= DEVICE_FROM


def estimate(connectivity: Connectivity, *, needs_columns: bool = False, needs_pre: bool = False) -> int:
    """The bytes of the result, as far as they can be known before anything is drawn."""
    each = post_bytes(connectivity) + 4 * (connectivity.pattern == "conv2d") + 8 * needs_columns + 4 * needs_pre
    starts = 8 * (connectivity.pre_size + 1 + (connectivity.post_size + 1) * needs_columns)
    return int(count_expected(connectivity) * each + starts)


def _bitmap_fits(connectivity: Connectivity) -> bool:
    pairs = len(connectivity.pre_part) * len(connectivity.post_part)
    return pairs / 8 <= max(ROOM, int(connectivity.options["n"]) * post_bytes(connectivity) / 2)


class Wirer:
    """Builds connectivities on one device; keeps the compiled text between them."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._modules: dict[str, Module] = {}

    def build(
        self,
        connectivity: Connectivity,
        stream: Stream | None,
        *,
        needs_columns: bool = False,
        needs_pre: bool = False,
        where: Where = "auto",
    ) -> DeviceRows:
        """The synapses of a sparse connectivity, on the device. Raises E741, E747 and what compiling raises."""
        assert connectivity.kind == "sparse"
        device = (
            made_by_device(connectivity) if where == "auto" else where == "device" and connectivity.pattern != "edges"
        )
        held = _Held(self.backend)
        try:
            if not device:
                return _copied(held, connectivity, stream, needs_columns, needs_pre)
            text = wiring_text(connectivity)
            if text not in self._modules:
                self._modules[text] = self.backend.module(text, single=False, name="the wiring")
            making = _Making(self.backend, self._modules[text], held, connectivity, wiring(connectivity, stream))
            return making.whole(needs_columns, needs_pre)
        except BaseException:
            held.release_all()
            raise


class _Held:
    """Memory that goes back when building ends, unless it is part of the result."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.sizes: dict[int, int] = {}

    def allocate(self, nbytes: int) -> int:
        address = self.backend.allocate(max(8, nbytes))
        self.sizes[address] = max(8, nbytes)
        return address

    def upload(self, values: NDArray[Any]) -> int:
        address = self.allocate(values.nbytes)
        if values.size:
            self.backend.upload(address, np.ascontiguousarray(values))
        return address

    def release(self, address: int) -> None:
        if address:
            del self.sizes[address]
            self.backend.release(address)

    def release_all(self, but: tuple[int, ...] = ()) -> None:
        for address in [address for address in self.sizes if address not in but]:
            self.release(address)


def _refuse_numbers(connectivity: Connectivity, count: int) -> None:
    """What kernels number one by one they number in 32 bits."""
    if count > MOST:
        raise SnnError(too_many("cuda", connectivity, count))


def _copied(
    held: _Held, connectivity: Connectivity, stream: Stream | None, needs_columns: bool, needs_pre: bool
) -> DeviceRows:
    """Made by the host."""
    built = generate(connectivity, stream)
    narrow = post_bytes(connectivity)
    row_start = held.upload(np.asarray(built.row_start, np.int64))
    post = held.upload(built.post.astype(np.uint16 if narrow == 2 else np.int32))
    shared = held.upload(built.weight_index) if built.weight_index is not None else 0
    if needs_pre or needs_columns:
        _refuse_numbers(connectivity, built.n)
    pre = held.upload(built.pre_of) if needs_pre else 0
    column_start = column_synapse = column_pre = longest_column = 0
    if needs_columns:
        column_start = held.upload(np.asarray(built.column_start, np.int64))
        column_synapse = held.upload(built.column_synapse)
        column_pre = held.upload(built.pre_of[built.column_synapse])
        longest_column = int(np.diff(built.column_start).max(initial=0))
    return DeviceRows(
        built.n,
        row_start,
        post,
        narrow,
        shared,
        pre,
        column_start,
        column_synapse,
        column_pre,
        int(np.diff(built.row_start).max(initial=0)),
        longest_column,
        sum(held.sizes.values()),
    )


class _Making:
    """One connectivity while the device builds it."""

    def __init__(self, backend: Backend, module: Module, held: _Held, connectivity: Connectivity, made: Wiring) -> None:
        self.backend, self.module, self.held, self.connectivity, self.made = backend, module, held, connectivity, made
        self.bytes = post_bytes(connectivity)
        self.place = {"post_bytes": self.bytes}
        self.row_start = held.allocate(8 * (made.pre_size + 1))
        self.summary = held.allocate(16)
        self.wiring = held.allocate(8 * words(made, {}).size)
        self.place["row_start"] = self.row_start
        self.ascending = made.post_part is None or bool(np.all(made.post_part[1:] >= made.post_part[:-1]))
        parts = made.pre_part is not None or made.post_part is not None
        if made.pre_part is not None:
            self.place["pre_part"] = held.upload(made.pre_part)
        if made.post_part is not None:
            self.place["post_part"] = held.upload(made.post_part)
        if parts and not made.autapses:
            own = own_columns(connectivity.pre_part, connectivity.post_part)
            self.place["own_column"] = held.upload(own.astype(np.int32))
            back = turned(own, made.columns)
            assert back is not None
            self.place["own_row"] = held.upload(back.astype(np.int32))

    def whole(self, needs_columns: bool, needs_pre: bool) -> DeviceRows:
        """Rows, then views."""
        made, row_start, held = self.made, self.row_start, self.held
        count, longest = 0, 0
        if made.rows and made.columns and not (made.pattern == PATTERN["random"] and made.p <= 0.0):
            if made.pattern == PATTERN["fixed_indegree"]:
                count, longest = self._columns_draw()
            elif made.pattern == PATTERN["fixed_total"]:
                count, longest = self._pairs()
            else:
                count, longest = self._rows()
        post, shared = self.place.get("post", 0) or self._post(0), self.place.get("shared", 0)
        held.release_all(but=(row_start, self.summary, post, shared))
        pre = column_start = column_synapse = column_pre = longest_column = 0
        if needs_pre or needs_columns:
            _refuse_numbers(self.connectivity, count)
        if needs_columns:
            column_start, column_synapse, longest_column = self._columns(count, post)
            column_pre = held.allocate(4 * count)
            self._each("snn_view_pre", count, row_start, made.pre_size, count, column_synapse, column_pre)
        if needs_pre:
            pre = held.allocate(4 * count)
            self._each("snn_view_pre", count, row_start, made.pre_size, count, 0, pre)
        held.release(self.summary)
        views = (pre, column_start, column_synapse, column_pre)
        return DeviceRows(
            count, row_start, post, self.bytes, shared, *views, longest, longest_column, sum(held.sizes.values())
        )

    # --- rows -----------------------------------------------------------------------------------------------------------

    def _rows(self) -> tuple[int, int]:
        """Count the rows, add up, fill."""
        made, pattern = self.made, self.made.pattern
        mean, size = float(made.columns), made.columns
        match pattern:
            case _ if pattern == PATTERN["random"] and made.p < 1.0:
                kernel, mean = "snn_wire_random", made.columns * made.p / 4
            case _ if pattern == PATTERN["fixed_outdegree"]:
                kernel, mean = "snn_wire_outdegree", float(made.k)
            case _:
                kernel = "snn_wire_candidates"
                if pattern == PATTERN["one_to_one"]:
                    mean = 1.0
                elif pattern == PATTERN["conv2d"]:
                    mean = float(made.shape[3] // made.shape[14] * made.shape[6] * made.shape[7])
        block = self._threads(mean)
        grid = self._grid(made.rows)
        self._by_wiring(kernel, grid, block, 0)
        count, longest = self._add_up(self.row_start, made.pre_size + 1)
        self._post(count)
        if pattern == PATTERN["fixed_outdegree"]:
            grid = self._taken(made.rows, size, 0, count)
        if made.pattern == PATTERN["conv2d"] and made.shape[15]:
            self.place["shared"] = self.held.allocate(4 * count)
        self._by_wiring(kernel, grid, block, 1)
        if pattern == PATTERN["fixed_outdegree"] or not self.ascending:
            shared = self.place.get("shared", 0)
            self._sort(self.row_start, made.pre_size, self.place["post"], self.bytes, shared, count, longest)
        return count, longest

    def _columns_draw(self) -> tuple[int, int]:
        """Columns draw their rows twice: to count the rows, and to fill them."""
        made = self.made
        count = made.columns * made.k
        grid = self._taken(made.columns, made.rows, 4 * made.k, count)
        block = self._threads(made.k)
        self._by_wiring("snn_wire_indegree", grid, block, 0)
        return self._filled(count, partial(self._by_wiring, "snn_wire_indegree", grid, block, 1))

    def _filled(self, count: int, fill: Callable[[], None]) -> tuple[int, int]:
        """Rows that were counted in place: ends, which filling moves to the starts; then sorted."""
        made = self.made
        _, longest = self._add_up(self.row_start, made.pre_size)
        self.backend.upload(self.row_start + 8 * made.pre_size, np.array([count], np.int64))
        self._post(count)
        fill()
        self._sort(self.row_start, made.pre_size, self.place["post"], self.bytes, 0, count, longest)
        return count, longest

    def _pairs(self) -> tuple[int, int]:
        """As many pairs as wanted are drawn, then as many as were not accepted, until none is missing."""
        made = self.made
        own = (
            0
            if made.autapses
            else int(np.count_nonzero(own_columns(self.connectivity.pre_part, self.connectivity.post_part) >= 0))
        )
        available = made.rows * made.columns - own
        if available <= 0 or made.k <= 0:
            return 0, 0
        self.place["found"] = self.held.allocate(8)
        if made.multapses:
            drawn = self._accepted(made.k, 0)
            return self._filled(made.k, partial(self._draw, 1, 0, drawn))
        left_out = 2 * made.k > available
        if not left_out and not _bitmap_fits(self.connectivity):
            return self._different()
        self.place |= {"pairs": self.held.allocate(4 * (made.rows * made.columns // 32 + 1)), "left_out": int(left_out)}
        self._accepted(available - made.k if left_out else made.k, 2)
        return self._rows()

    def _different(self) -> tuple[int, int]:
        """Few of very many pairs: as many are drawn as wanted, and as many more as were met before, until none is missing."""
        made, drawn, different = self.made, 0, 0
        old, new = self.row_start, self.held.allocate(8 * (made.pre_size + 1))
        block = self._threads(made.k / max(1, made.rows))
        while True:
            drawn += made.k - different
            self.backend.clear(self.place["found"], 8)
            self.backend.clear(old, 8 * (made.pre_size + 1))
            self.place["row_start"] = old
            self._draw(0, 0, drawn)
            longest = self._filled(self._number(self.place["found"]), partial(self._draw, 1, 0, drawn))[1]
            self.place["row_start"] = new
            self.backend.clear(new, 8)
            self._describe()
            self._without_repetition(0, old, 0, made.pre_size, 0, block)
            different, most = self._add_up(new, made.pre_size + 1)
            if different == made.k:
                break
            self.held.release(self.place.pop("post"))
        starts, ends = np.empty((2, made.pre_size + 1), np.int64)
        self.backend.download(old, starts)
        self.backend.download(new, ends)
        # Moved in pieces through a little memory: what is written back always lies before what is still to be read.
        room = max(longest, ROOM // 2 // self.bytes, int(0.1 * made.k))
        piece, first = self.held.allocate(room * self.bytes), 0
        while first < made.pre_size:
            last = max(first + 1, int(np.searchsorted(starts, starts[first] + room, side="right")) - 1)
            self._without_repetition(1, old, first, last, piece, block)
            size = int(ends[last] - ends[first]) * self.bytes
            if size:
                self.backend.copy(self.place["post"] + int(ends[first]) * self.bytes, piece, size)
            first = last
        self.backend.copy(old, new, 8 * (made.pre_size + 1))
        self.place["row_start"] = old
        return different, most

    def _without_repetition(self, fill: int, old: int, first: int, last: int, to: int, block: int) -> None:
        arguments = (self.wiring, fill, old, first, last, to)
        self.module.launch("snn_wire_different", self._grid(last - first), arguments, block=block)

    def _accepted(self, wanted: int, phase: int) -> int:
        """Draw until ``wanted`` pairs are accepted; how many draws that took."""
        drawn, missing = 0, wanted
        while missing > 0:
            self._draw(phase, drawn, drawn + missing)
            drawn += missing
            missing = wanted - self._number(self.place["found"])
        return drawn

    def _draw(self, phase: int, first: int, last: int) -> None:
        self._describe()
        block = self.backend.block
        grid = max(1, min(-(-(last - first) // block), 32 * self.backend.multiprocessors))
        self.module.launch("snn_wire_pairs", grid, (self.wiring, phase, first, last), block=block)

    def _taken(self, items: int, size: int, more: int, count: int) -> int:
        """Memory for what every block has chosen: how many blocks there is room for."""
        each = (0 if self.made.multapses else 4 * (size // 32 + 1)) + more
        room = max(ROOM, int(0.4 * count * self.bytes))
        grid = min(self._grid(items), 32 * self.backend.multiprocessors, max(1, room // max(1, each)))
        if not self.made.multapses:
            self.place |= {"taken": self.held.allocate(grid * 4 * (size // 32 + 1)), "taken_words": size // 32 + 1}
        if more:
            self.place["chosen"] = self.held.allocate(grid * more)
        return grid

    def _post(self, count: int) -> int:
        self.place["post"] = self.held.allocate(count * self.bytes)
        return self.place["post"]

    # --- views ----------------------------------------------------------------------------------------------------------

    def _columns(self, count: int, post: int) -> tuple[int, int, int]:
        """Synapses by post neuron: counted, placed in any order, sorted."""
        size = self.made.post_size
        start = self.held.allocate(8 * (size + 1))
        self._each("snn_view_columns", count, post, self.bytes, count, start, 0)
        _, longest = self._add_up(start, size)
        self.backend.upload(start + 8 * size, np.array([count], np.int64))
        synapse = self.held.allocate(4 * count)
        self._each("snn_view_columns", count, post, self.bytes, count, start, synapse)
        self._sort(start, size, synapse, 4, 0, count, longest)
        return start, synapse, longest

    # --- launches -------------------------------------------------------------------------------------------------------

    def _threads(self, wanted: float, most: int = 4) -> int:
        """A power of two from a warp to ``most`` times the usual block, or the usual block where that is smaller than a warp."""
        usual = self.backend.block
        limit = min(1024, usual * most) if usual >= 256 else usual
        block = 32
        while block < limit and block < wanted:
            block *= 2
        return min(block, limit)

    def _grid(self, items: int) -> int:
        """A block for every item, but no more than keep a device busy a few hundred times over."""
        return max(1, min(items, 512 * self.backend.multiprocessors))

    def _describe(self) -> None:
        self.backend.upload(self.wiring, words(self.made, self.place))

    def _by_wiring(self, kernel: str, grid: int, block: int, fill: int) -> None:
        self._describe()
        self.module.launch(kernel, grid, (self.wiring, fill), block=block)

    def _each(self, kernel: str, count: int, *arguments: int) -> None:
        if count:
            block = self.backend.block
            grid = max(1, min(-(-count // block), 32 * self.backend.multiprocessors))
            self.module.launch(kernel, grid, arguments, block=block)

    def _sort(self, start: int, segments: int, numbers: int, each: int, along: int, count: int, longest: int) -> None:
        if longest > 1:
            kernel = "snn_sort_short" if longest <= 1024 else "snn_sort_long"
            block = self._threads(max(count / segments, longest / 64) / 2)
            self.module.launch(kernel, self._grid(segments), (start, segments, numbers, each, along), block=block)

    def _add_up(self, numbers: int, size: int) -> tuple[int, int]:
        """Sums in place; the last of them and the largest number."""
        self.module.launch("snn_add_up", 1, (numbers, size, self.summary), block=self._threads(size))
        both = np.empty(2, np.int64)
        self.backend.download(self.summary, both)
        return int(both[0]), int(both[1])

    def _number(self, address: int) -> int:
        number = np.empty(1, np.int64)
        self.backend.download(address, number)
        return int(number[0])


__all__ = ["DEVICE_FROM", "DeviceRows", "Wirer", "estimate", "made_by_device", "post_bytes"]
