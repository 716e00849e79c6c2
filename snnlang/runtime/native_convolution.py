"""Convolutions that the machine's compiler makes fast, each way through the data where it costs least.

What is sent decides, never the number of threads, and every sum has one order: results are the same bits for any number.

* Forwards: runs of active channels where fewer than :data:`RUNS` of them are active (codegen/native/convolution_runs.h), lists below
  :data:`RARE_PIXELS` where the kernel's columns stand apart (codegen/native/convolution_lists.h), else six images at once through
  blocks of registers (codegen/native/convolution.h).
* Adjoints are dense: what goes back to the senders takes those blocks, or tiles of fewer multiplications
  (codegen/native/filtering.h).
* The gradient of the weights takes runs (codegen/native/convolution_meets.h), blocks (convolution_weights.h) or tiles
  (convolution_slopes.h), whichever are estimated to cost least, and lists below :data:`RARE_SLOPES`.
* What networks usually take is compiled at once, for the shapes that they have; a way that data asks for besides when it is first taken.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.runtime import aligned
from snnlang.runtime.native_products import Native, _density, _ready, members
from snnlang.runtime.windows import Convolution, Window

Values = NDArray[Any]
#: The part of active channels below which a convolution goes through lists of them, forwards and for the gradient of weights.
RARE_PIXELS, RARE_SLOPES = 0.3, 0.2
#: The same for runs forwards, where the columns of the kernel lie side by side.
RUNS = 0.6
#: The part of channels that are active in most networks, for what is compiled first.
USUAL = 0.1
#: What one multiplication costs in a run of the gradient, and in a block: one of a tile is 1.
RUN_COST, BLOCK_COST = 1.2, 0.7
#: Multiplications of a tile for each channel that are worth what evaluating and interpolating costs.
TRANSFORMS = 600
#: Channels, before and after, below which a convolution makes no lists.
FEWEST = 8
#: Numbers of a piece of images that the gradient of a convolution works on: they stay in the second-level cache.
PIECE = 24000
#: The same where active channels are listed: numbers of adjoints.
RARE_PIECE = 64000


class _Reach(ctypes.Structure):
    """``snn_reach`` of codegen/native/convolution.h."""

    _fields_ = members("groups sources targets before after taps", "first from_ tap")


class _Slide(ctypes.Structure):
    """``snn_slide`` of codegen/native/convolution.h."""

    _fields_ = members(
        "groups sources targets height width top left padded_height padded_width after taps", "pixel tap"
    )


class _Frame(ctypes.Structure):
    """``snn_frame`` of codegen/native/convolution_runs.h."""

    _fields_ = members(
        "groups sources targets height width rows columns kernel_y kernel_x stride_y stride_x top left apart_y"
    )


class _Tiles(ctypes.Structure):
    """``snn_tiles`` of codegen/native/convolution_tiles.h."""

    _fields_ = members("groups sources targets rows columns height width kernel_y kernel_x top left")


class NativeConvolution(Convolution):
    """A convolution in blocks of registers, or through lists of active channels."""

    def __init__(self, native: Native, window: Window, groups: int, scale: float) -> None:
        super().__init__(window, groups, scale)
        self._native = native
        self._kept: list[Values] = []
        self._weights: Values = aligned.empty(0, native.real)
        pairs = _pairs(window)
        before, after = window.image[1] * window.image[2], window.output[1] * window.output[2]
        self._forward = self._reach(self.inputs, self.outputs, before, after, pairs[:, 1], pairs[:, 0], pairs[:, 2])
        self._backward = self._reach(self.outputs, self.inputs, after, before, pairs[:, 0], pairs[:, 1], pairs[:, 2])
        self._slide = self._sliding()
        w = window
        self._tiles = _Tiles(groups, self.outputs, self.inputs, *w.output[1:], *w.image[1:], *w.kernel, *w.padding)
        self._tiled = _tiles_cost(w, w.image, self.inputs, self.outputs) < BLOCK_COST * len(pairs)
        self._sides = w.dilation[1] == 1
        self._slope_costs = {
            "blocks": BLOCK_COST * after * w.kernel[0] * w.kernel[1],
            "tiles": _tiles_cost(w, w.output, self.inputs, self.outputs),  # for each image, and two more
        }
        runs = self._sides and w.stride == (1, 1)
        self._run_cost = RUN_COST * len(pairs) * _with_margins(w) if runs else None  # if all channels are active
        self._frame = _Frame(
            groups,
            self.inputs,
            self.outputs,
            *w.image[1:],
            *w.output[1:],
            *w.kernel,
            *w.stride,
            *w.padding,
            w.dilation[0],
        )
        self._expect()
        self._reached = np.full((window.kernel[0] * window.kernel[1], before), -1, np.int32)
        self._reached[pairs[:, 2], pairs[:, 0]] = pairs[:, 1]

    def _expect(self) -> None:
        """What will be called, or will be in most networks: forwards, back and for the gradient of a signal of :data:`USUAL` density."""
        native, listed = self._native, min(self.inputs, self.outputs) >= FEWEST
        if listed or self._way(1.0, np.inf) == "runs":
            native.shape(self.outputs, self.window.kernel[1])
        native.expect("run" if listed and self._sides else "rare" if listed else "reach")
        native.expect("tiles" if self._tiled else "reach")
        slopes = self._way(USUAL if listed else 1.0, np.inf)
        native.expect({"runs": "meet", "tiles": "slopes"}.get(slopes, "rare" if listed else "weigh"))

    def _way(self, active: float, images: float) -> str:
        """Which way the gradient of the weights costs least."""
        costs = {way: cost + 2 * cost / images if way == "tiles" else cost for way, cost in self._slope_costs.items()}
        if self._run_cost is not None:
            costs["runs"] = self._run_cost * active
        return min(costs, key=lambda way: costs[way])

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
        rare = not back and min(reach.sources, reach.targets) >= FEWEST and _density(sent) < RARE_PIXELS
        kind = "rare" if rare else "reach"
        columns = native.call(f"snn_{kind}_columns")
        vectors = native.call("snn_rare_vectors", reach.targets) if rare else 2
        width = columns * vectors // 2
        packed = self._packed(self.groups * -(-reach.targets // width) * width * reach.taps * reach.sources)
        native.call(f"snn_{kind}_pack", reach, np.ascontiguousarray(weight), self.scale, int(back), width, packed)
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

    def _runs(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        native, frame = self._native, self._frame
        vectors = native.call("snn_run_vectors", self.outputs)
        channels = native.call("snn_run_part", frame, vectors)
        width = native.call("snn_run_columns") * vectors // 2
        packed = self._packed(self.groups * -(-self.outputs // width) * width * self.taps)
        native.call("snn_run_pack", frame, np.ascontiguousarray(weight), self.scale, vectors, channels, packed)
        size = native.call("snn_run_room", frame, vectors)
        rooms = [native.room(part, size) for part in range(native.threads)]

        def part(first: int, last: int, number: int) -> None:
            given = (frame, sent, packed, out, rooms[number], first, last, int(add), vectors, channels)
            native.call("snn_run_images", *given)

        native.share(sent.shape[0], float(sent.shape[0]) * self.each * self.outputs, part)

    def _through_tiles(self, arrived: Values, weight: Values, out: Values, add: bool) -> None:
        native, tiles, images = self._native, self._tiles, arrived.shape[0]
        packed = self._packed(native.call("snn_tiles_packed", tiles))
        kernels = np.ascontiguousarray(weight)

        def pack(first: int, last: int, _: int) -> None:
            native.call("snn_tiles_pack", tiles, kernels, self.scale, packed, first, last)

        native.share(self.outputs, 8.0 * packed.size, pack)
        step, size = native.call("snn_tiles_images", tiles), native.call("snn_tiles_room", tiles)
        rooms = [native.room(part, size) for part in range(native.threads)]

        def part(first: int, last: int, number: int) -> None:
            native.call(
                "snn_tiles_back",
                tiles,
                arrived,
                packed,
                out,
                rooms[number],
                first * step,
                min(last * step, images),
                int(add),
            )

        native.share(-(-images // step), float(images) * self.each * self.outputs, part)

    def _tiled_gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        native, tiles, images = self._native, self._tiles, sent.shape[0]
        size = native.call("snn_slopes_room", tiles, self.inputs)
        rooms = [native.room(part, size) for part in range(native.threads)]

        def part(first: int, last: int, number: int) -> None:
            given = (tiles, sent, arrived, out, rooms[number], images, first, last, self.scale)
            native.call("snn_slopes_add", *given)

        native.share(self.inputs, float(images) * self.each * self.outputs, part)

    def _meetings(self, sent: Values, arrived: Values, out: Values) -> None:
        native, frame, count = self._native, self._frame, sent.shape[0]
        vectors = native.call("snn_meet_vectors", self.outputs)
        size = native.call("snn_meet_room", frame, self.inputs, vectors)
        rooms = [native.room(part, size) for part in range(native.threads)]

        def part(first: int, last: int, number: int) -> None:
            given = (frame, sent, arrived, out, rooms[number], count, first, last, self.scale, vectors)
            native.call("snn_meet_weigh", *given)

        native.share(self.inputs, float(count) * self.each * self.outputs, part)

    @property
    def skips(self) -> float:
        """The part of active channels below which a forward pass goes from one to the next."""
        return RUNS if self._sides else RARE_PIXELS

    @property
    def tiled(self) -> bool:
        """Whether adjoints go back through tiles of fewer multiplications."""
        return bool(self._tiled)

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        if not _ready(self._native, sent, out, weight):
            super().forward(sent, weight, out, add)
            return
        if self._sides and min(self.inputs, self.outputs) >= FEWEST and _density(sent) < RUNS:
            self._runs(sent, weight, out, add)
            return
        self._images(self._forward, sent, weight, out, add, False)

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        if not _ready(self._native, arrived, out, weight):
            super().transpose(arrived, weight, out, add, sent)
            return
        if self._tiled:
            self._through_tiles(arrived, weight, out, add)
            return
        self._images(self._backward, arrived, weight, out, add, True)

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        if not _ready(self._native, sent, arrived, out):
            super().gradient(sent, arrived, out)
            return
        active = _density(sent) if min(self.inputs, self.outputs) >= FEWEST else 1.0
        match self._way(active, len(sent)):
            case "runs":
                self._meetings(sent, arrived, out)
            case "tiles":
                self._tiled_gradient(sent, arrived, out)
            case _ if active < RARE_SLOPES:
                self._rare_gradient(sent, arrived, out)
            case _:
                self._block_gradient(sent, arrived, out)

    def _block_gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        native, slide = self._native, self._slide
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
        columns = native.call("snn_rare_columns")
        vectors = native.call("snn_rare_vectors", self.outputs)
        each = slide.after * -(-self.outputs // columns) * columns
        piece = max(1, min(sent.shape[0], RARE_PIECE // each))
        size = native.call("snn_rare_weigh_room", slide, piece, vectors)
        rooms = [native.room(part, size) for part in range(native.threads)]
        count = sent.shape[0]

        def part(first: int, last: int, number: int) -> None:
            given = (slide, self._reached, sent, arrived, out, rooms[number], count, piece, first, last, self.scale)
            native.call("snn_rare_weigh", *given, vectors)

        native.share(slide.taps * self.inputs, float(count) * self.each * self.outputs, part)


def _tiles_cost(window: Window, over: tuple[int, int, int], inputs: int, outputs: int) -> float:
    """Multiplications for each pair of channels that tiles over an image of this size take, with what goes before and after them; infinite
    where they cannot be."""
    fits = all(
        window.stride[a] == window.dilation[a] == 1
        and 2 <= window.kernel[a] <= 7
        and window.padding[a] < window.kernel[a]
        for a in (0, 1)
    )
    if not fits or min(inputs, outputs) < FEWEST:
        return float(np.inf)
    tiles = float(np.prod([-(-over[a + 1] // (9 - window.kernel[a])) for a in (0, 1)]))
    return tiles * (64 + TRANSFORMS / inputs + TRANSFORMS / outputs)


def _with_margins(window: Window) -> float:
    """How many times more pairs of columns there are where those beyond the image count, too."""
    places, kernel = (
        np.arange(n) * step
        for n, step in zip((window.output[2], window.kernel[1]), (window.stride[1], window.dilation[1]))
    )
    at = np.add.outer(places, kernel) - window.padding[1]
    return window.image[2] * window.kernel[1] / max(1, int(np.count_nonzero((at >= 0) & (at < window.image[2]))))


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
