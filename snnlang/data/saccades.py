"""Still images made into events as N-MNIST was recorded: the picture moves in three saccades before an event camera.

The picture goes along a closed triangle, 105 ms a side: (3.5, 7) pixels, then (7, 0), then back (Orchard et al. 2015; the paths are
those that the stabilisation published with the data takes away). It is moved by fractions of a pixel, seen every millisecond, and each
pixel sends events by the model in ``sensor``. The path is closed, so a pixel that has seen n ON has seen n OFF.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.data.columns import AnyColumn, Columns
from snnlang.data.events import Binning, Events, Frames, Recordings, Sensor
from snnlang.data.recordings import binning
from snnlang.data.sensor import Pixels, events_at
from snnlang.diagnostics import Span, error

#: Length of a saccade and of the whole, in microseconds.
SACCADE = 105_000
DURATION = 3 * SACCADE
_CORNERS = np.array([[0.0, 0.0], [3.5, 7.0], [7.0, 0.0], [0.0, 0.0]])
_TIMES = np.arange(0, DURATION + 1, 1000, dtype=np.float64)
_REACH = 9  # pixels around the sensor from which a picture may move in
#: Bytes of made events that are kept in memory, four for each event of a small sensor; what is beyond is made again when it is asked for.
_KEPT = 512 * 2**20


def displacement(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """[times, (dx, dy)] in pixels at times in microseconds; 0 after the third saccade."""
    corners = np.arange(4) * SACCADE
    return np.stack([np.interp(t, corners, _CORNERS[:, axis]) for axis in (0, 1)], axis=1)


def saccade_events(image: NDArray[np.float64], sensor: Sensor, pixels: Pixels, background: float = 0.1) -> Events:
    """Events of one image of brightness 0 to 1, in the middle of the sensor; 0 is shown as ``background``."""
    rows, columns = image.shape
    canvas = np.full((sensor.height + 2 * _REACH, sensor.width + 2 * _REACH), background)
    top, left = _REACH + (sensor.height - rows) // 2, _REACH + (sensor.width - columns) // 2
    canvas[top : top + rows, left : left + columns] = background + (1 - background) * np.asarray(image, np.float64)
    shift = displacement(_TIMES)
    if pixels.leak or pixels.noise:
        places = np.arange(sensor.height * sensor.width)
    else:
        places = _touched(canvas, shift, sensor, background)
    return events_at(moved(canvas, shift, places, sensor.width), places, sensor.width, _TIMES, pixels)


def moved(
    canvas: NDArray[np.float64], shift: NDArray[np.float64], places: NDArray[np.int64], width: int
) -> NDArray[np.float64]:
    """[shifts, places]: what pixels of a sensor see of a canvas that has moved by (dx, dy) pixels, bilinear between pixels."""
    whole = np.floor(shift).astype(np.int64)
    fx, fy = (shift - whole).T[..., None]
    line = canvas.shape[1]
    start = (places // width + _REACH) * line + places % width + _REACH
    at = start - (whole[:, 1] * line + whole[:, 0])[:, None]
    flat = canvas.ravel()
    return np.asarray(
        (1 - fy) * ((1 - fx) * flat[at] + fx * flat[at - 1])
        + fy * ((1 - fx) * flat[at - line] + fx * flat[at - line - 1])
    )


def _touched(
    canvas: NDArray[np.float64], shift: NDArray[np.float64], sensor: Sensor, background: float
) -> NDArray[np.int64]:
    """The pixels that ever see anything but the background."""
    shown = canvas != background
    seen = np.zeros((sensor.height, sensor.width), dtype=bool)
    for dx, dy in np.unique(np.floor(shift).astype(np.int64), axis=0):
        for across, down in ((dx, dy), (dx + 1, dy), (dx, dy + 1), (dx + 1, dy + 1)):
            y, x = _REACH - down, _REACH - across
            seen |= shown[y : y + sensor.height, x : x + sensor.width]
    return np.flatnonzero(seen)


class Moved(Recordings):
    """A recording for each image of a column, made when it is asked for and kept while there is room."""

    __slots__ = ("_kept", "_used", "background", "images", "pixels", "sensor")

    def __init__(self, images: AnyColumn, sensor: Sensor, pixels: Pixels, background: float) -> None:
        self.images, self.sensor, self.pixels, self.background = images, sensor, pixels, background
        self._kept: dict[int, NDArray[np.unsignedinteger[Any]]] = {}
        self._used = 0

    def __len__(self) -> int:
        return len(self.images)

    def read(self, number: int) -> Events:
        if number in self._kept:
            return self._unpacked(self._kept[number])
        events = saccade_events(np.asarray(self.images[number]), self.sensor, self.pixels, self.background)
        if self._used < _KEPT:
            self._kept[number] = self._packed(events)
            self._used += self._kept[number].nbytes
        return events

    def _packed(self, events: Events) -> NDArray[np.unsignedinteger[Any]]:
        """Time, polarity and place of each event as one whole number, in 32 bits where they fit (sensors of up to 82 x 82 pixels)."""
        height, width = self.sensor.height, self.sensor.width
        code = ((events.t * 2 + events.p) * height + events.y) * width + events.x
        return code.astype(np.uint32 if (DURATION + 1) * 2 * height * width <= 2**32 else np.uint64)

    def _unpacked(self, packed: NDArray[np.unsignedinteger[Any]]) -> Events:
        rest, x = np.divmod(packed, packed.dtype.type(self.sensor.width))
        rest, y = np.divmod(rest, packed.dtype.type(self.sensor.height))
        return Events(*(part.astype(np.int64) for part in (rest >> 1, x, y, rest & 1)))


def saccades(
    span: Span | None,
    source: Columns,
    steps: int,
    by: str,
    values: str,
    contrast: float,
    background: float,
    size: int | None,
    seed: int = 0,
    mismatch: float = 0.0,
    noise: float = 0.0,
) -> Columns:
    """``events`` [images, steps, 2, size, size] of the first column of a source, and its other columns as they are."""
    name, images = next(iter(source.items()))
    shape = images.shape[1:]
    if len(shape) != 2:
        raise error(
            "E627",
            f"saccades need grey images, and `{name}` has the shape {list(shape)} a sample",
            span,
            help="choose other data",
        )
    if not 0 < background < 1 or not contrast > 0:
        raise error(
            "E632",
            f"saccades need a background between 0 and 1 and a contrast above 0, and these are {background:g} and {contrast:g}",
            span,
            help="leave them out, or write `contrast = 0.2, background = 0.1`",
        )
    height, width = (size, size) if size else (shape[0] + 6, shape[1] + 6)
    if height < shape[0] or width < shape[1]:
        raise error(
            "E632", f"a sensor of {height} x {width} pixels is smaller than the images of {shape[0]} x {shape[1]}", span
        )
    pixels = Pixels(on=contrast, off=contrast, seed=seed, mismatch=mismatch, noise=noise)
    form: Binning = binning(steps, by, DURATION / 1000 + 0.001, values, span)
    made = Frames(Moved(images, Sensor(height, width), pixels, background), form)
    return {"events": made, **{key: column for key, column in source.items() if key != name}}
