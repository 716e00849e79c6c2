"""Products over windows of images: convolutions as gathered columns and matrix products, sums and maxima of pools.

Rows are images. They are worked on in pieces whose gathered columns stay in the cache, so that memory does not grow with the
batch. The order
of a convolution's weights is (channel, input of its group, row, column), as the plan numbers shared weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Values = NDArray[Any]
Pair = tuple[int, int]
#: Numbers that the gathered columns of one piece hold.
PIECE = 1 << 19


class Window:
    """Where the windows of an image lie: input and output (depth, rows, columns), kernel, stride, padding above and left, dilation."""

    def __init__(
        self,
        image: tuple[int, int, int],
        output: tuple[int, int, int],
        kernel: Pair,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
    ) -> None:
        self.image, self.output, self.kernel = image, output, kernel
        self.stride, self.padding, self.dilation = stride, padding, dilation
        reach = [(output[a + 1] - 1) * stride[a] + (kernel[a] - 1) * dilation[a] + 1 for a in (0, 1)]
        self.padded = tuple(max(reach[a], padding[a] + image[a + 1]) for a in (0, 1))

    def pad(self, rows: Values, fill: float = 0.0) -> Values:
        """(images, depth, rows, columns) with a margin."""
        depth, height, width = self.image
        top, left = self.padding
        made = np.full((rows.shape[0], depth, *self.padded), fill, rows.dtype)
        made[:, :, top : top + height, left : left + width] = rows.reshape(-1, depth, height, width)
        return made

    def crop(self, padded: Values) -> Values:
        """Take the margin away: (images, depth*rows*columns)."""
        _, height, width = self.image
        top, left = self.padding
        return padded[:, :, top : top + height, left : left + width].reshape(padded.shape[0], -1)

    def places(self) -> Iterator[tuple[int, int, tuple[slice, slice]]]:
        """For each place of the kernel the slices of a padded image that meet it, one element for each output."""
        _, rows, columns = self.output
        for y in range(self.kernel[0]):
            for x in range(self.kernel[1]):
                first, second = y * self.dilation[0], x * self.dilation[1]
                down = slice(first, first + (rows - 1) * self.stride[0] + 1, self.stride[0])
                across = slice(second, second + (columns - 1) * self.stride[1] + 1, self.stride[1])
                yield y, x, (down, across)

    def pieces(self, count: int, each: int) -> Iterator[slice]:
        """Images to be worked on together."""
        step = max(1, PIECE // max(1, each))
        for first in range(0, count, step):
            yield slice(first, min(count, first + step))


def _put(out: Values, made: Values, add: bool) -> None:
    if add:
        out += made
    else:
        out[...] = made


class Convolution:
    """Shared kernels that slide over images."""

    trained = True

    def __init__(self, window: Window, groups: int, scale: float) -> None:
        self.window, self.groups, self.scale = window, groups, scale
        self.inputs = window.image[0] // groups
        self.outputs = window.output[0] // groups
        self.taps = self.inputs * window.kernel[0] * window.kernel[1]
        self.each = window.image[0] * window.kernel[0] * window.kernel[1] * window.output[1] * window.output[2]

    def _columns(self, padded: Values, group: int) -> Values:
        """(images*rows*columns, taps) of one group."""
        w, first = self.window, group * self.inputs
        reach = tuple((w.kernel[a] - 1) * w.dilation[a] + 1 for a in (0, 1))
        every = sliding_window_view(padded[:, first : first + self.inputs], reach, axis=(2, 3))
        down, across = (slice(0, (w.output[a + 1] - 1) * w.stride[a] + 1, w.stride[a]) for a in (0, 1))
        taken = every[:, :, down, across, :: w.dilation[0], :: w.dilation[1]]
        return taken.transpose(0, 2, 3, 1, 4, 5).reshape(-1, self.taps)

    def _kernels(self, weight: Values, group: int) -> Values:
        made = weight.reshape(self.groups, self.outputs, self.taps)[group]
        return np.asarray(made if self.scale == 1.0 else made * made.dtype.type(self.scale))

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        channels, rows, columns = self.window.output
        for piece in self.window.pieces(sent.shape[0], self.each):
            padded = self.window.pad(sent[piece])
            target = out[piece].reshape(-1, channels, rows * columns)
            for group in range(self.groups):
                made = self._columns(padded, group) @ self._kernels(weight, group).T
                shaped = made.reshape(-1, rows * columns, self.outputs).transpose(0, 2, 1)
                _put(target[:, group * self.outputs : (group + 1) * self.outputs], shaped, add)

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        channels, rows, columns = self.window.output
        for piece in self.window.pieces(arrived.shape[0], self.each):
            bars = arrived[piece].reshape(-1, channels, rows * columns)
            padded = np.zeros((bars.shape[0], self.window.image[0], *self.window.padded), arrived.dtype)
            for group in range(self.groups):
                part = bars[:, group * self.outputs : (group + 1) * self.outputs].transpose(0, 2, 1)
                made = part.reshape(-1, self.outputs) @ self._kernels(weight, group)
                shaped = made.reshape(-1, rows, columns, self.inputs, *self.window.kernel)
                first = group * self.inputs
                for y, x, (down, across) in self.window.places():
                    padded[:, first : first + self.inputs, down, across] += shaped[..., y, x].transpose(0, 3, 1, 2)
            _put(out[piece], self.window.crop(padded), add)

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        channels, rows, columns = self.window.output
        total = out.reshape(self.groups, self.outputs, self.taps)
        for piece in self.window.pieces(sent.shape[0], self.each):
            padded = self.window.pad(sent[piece])
            bars = arrived[piece].reshape(-1, channels, rows * columns)
            for group in range(self.groups):
                part = bars[:, group * self.outputs : (group + 1) * self.outputs].transpose(0, 2, 1)
                made = part.reshape(-1, self.outputs).T @ self._columns(padded, group)
                total[group] += made if self.scale == 1.0 else made * made.dtype.type(self.scale)


class Pool:
    """The sum over windows times ``scale``, or, where ``greatest``, the greatest value; nothing is trained.

    The gradient of a maximum goes to the first neuron of the window that has it.
    """

    trained = False

    def __init__(self, window: Window, scale: float, greatest: bool) -> None:
        self.window, self.scale, self.greatest = window, scale, greatest

    def _forward(self, sent: Values) -> tuple[Values, Values]:
        """(padded images, pooled)."""
        padded = self.window.pad(sent, -np.inf if self.greatest else 0.0)
        made: Values | None = None
        for _, _, (down, across) in self.window.places():
            part = padded[:, :, down, across]
            if made is None:
                made = part.copy()
            elif self.greatest:
                np.maximum(made, part, out=made)
            else:
                made += part
        assert made is not None
        return padded, made

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        factor = out.dtype.type(self.scale) * weight.reshape(-1)[0]
        for piece in self.window.pieces(sent.shape[0], sent.shape[1]):
            _, made = self._forward(sent[piece])
            _put(out[piece], made.reshape(made.shape[0], -1) * factor, add)

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        factor = out.dtype.type(self.scale) * weight.reshape(-1)[0]
        for piece in self.window.pieces(arrived.shape[0], out.shape[1]):
            bars = (arrived[piece] * factor).reshape(-1, *self.window.output)
            total = np.zeros((bars.shape[0], self.window.image[0], *self.window.padded), arrived.dtype)
            if self.greatest:
                assert sent is not None
                padded, best = self._forward(sent[piece])
                for _, _, (down, across) in self.window.places():
                    hit = padded[:, :, down, across] == best
                    total[:, :, down, across] += np.where(hit, bars, 0)
                    bars = np.where(hit, 0, bars)
            else:
                for _, _, (down, across) in self.window.places():
                    total[:, :, down, across] += bars
            _put(out[piece], self.window.crop(total), add)

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        raise AssertionError("a pool has no weights to train")
