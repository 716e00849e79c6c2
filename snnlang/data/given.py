"""Data that Python hands over: arrays, pairs (x, y) from any iterable, and data sets of events such as those of the package tonic.

A data set of events is anything with a length whose items are (events, label), the events a structured array with fields ``t``, ``x`` and
perhaps ``y`` and ``p``. Its sensor is ``sensor_size`` (width, height, polarities) of the data set unless it is given. Nothing is imported
for it, and nothing is read before it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.data.columns import AnyColumn, Column, Columns, Rows
from snnlang.data.events import By, Events, Frames, Recordings, Sensor, checked, make
from snnlang.data.recordings import binning
from snnlang.diagnostics import Span, error


class Sampled(Column):
    """The first part of every item of a sequence of pairs, as it comes."""

    __slots__ = ("_shape", "items", "span")

    def __init__(self, items: Any, span: Span | None) -> None:
        self.items, self.span = items, span
        self._shape = (len(items), *np.shape(items[0][0]))

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    def gather(self, rows: Rows) -> NDArray[np.float32]:
        made = np.empty((len(rows), *self._shape[1:]), dtype=np.float32)
        for place, row in enumerate(rows):
            made[place] = self.row(int(row))
        return made

    def row(self, row: int) -> NDArray[Any]:
        found = np.asarray(self.items[row][0])
        if found.shape != self._shape[1:]:
            raise error(
                "E627",
                f"sample {row} has the shape {list(found.shape)}, and the first has {list(self._shape[1:])}",
                self.span,
                help="bring all samples to one shape",
            )
        return found


class Handed(Recordings):
    """Recordings of a data set of events, read through its own indexing."""

    __slots__ = ("items", "sensor", "span")

    def __init__(self, items: Any, sensor: Sensor, span: Span | None) -> None:
        self.items, self.sensor, self.span = items, sensor, span

    def __len__(self) -> int:
        return len(self.items)

    def read(self, number: int) -> Events:
        events = _events(self.items[number][0], self.span)
        if self.sensor.polarities == 1:  # then tonic writes a polarity of 1, or none, and means nothing by it
            events = replace(events, p=np.zeros_like(events.p))
        help = "give the size of the sensor: `event_frames(data, sensor=(width, height, polarities))`"
        return checked(events, self.sensor, f"sample {number} of the data", self.span, help)


def event_frames(
    dataset: Any,
    steps: int = 10,
    *,
    by: By = "time",
    duration: float | None = None,
    values: str = "count",
    sensor: Sequence[int] | None = None,
    span: Span | None = None,
) -> Columns:
    """``events`` [recordings, steps, polarity, y, x] and ``label`` of a data set of events; ``duration`` in ms.

    ``sensor`` is (width, height, polarities), as tonic writes it.
    """
    items = _sequence(dataset, span)
    size = sensor if sensor is not None else getattr(dataset, "sensor_size", None)
    if size is None or len(size) != 3:
        raise error(
            "E629",
            "the data set of events does not say how large its sensor is",
            span,
            help="give `sensor=(width, height, 2)`",
        )
    if not is_events(items[0][0]):
        raise error(
            "E629",
            "the data set gives no events",
            span,
            help="items are (events, label); events have the fields t, x, y and p",
        )
    width, height, polarities = (int(part) for part in size)
    recordings = Handed(items, Sensor(height, width, polarities), span)
    return {
        "events": Frames(recordings, binning(steps, by, duration, values, span)),
        "label": labels_of(dataset, items, span),
    }


def samples_of(value: Any, names: Sequence[str], steps: int, shape: tuple[int, ...], span: Span | None) -> Columns:
    """Columns of an iterable of (x, y), under these names. Events become ``steps`` frames of the data set's sensor, or, where it
    does not say one, of a sensor that fits an input [polarity, y, x] of this ``shape``; E627, E629, E630."""
    items = _sequence(value, span)
    if not is_pair(items[0]) or not is_events(items[0][0]):
        return pairs(value if items is value else items, names, span)
    sensor = getattr(value, "sensor_size", None)
    if sensor is None and len(shape) == 3:
        sensor = tuple(reversed(shape))
    found = event_frames(value if items is value else items, steps, sensor=sensor, span=span)
    return dict(zip(names, found.values()))


def pairs(value: Any, names: Sequence[str], span: Span | None) -> Columns:
    """Columns of an iterable of (x, y), the first of them read when needed; E627, E629."""
    items = _sequence(value, span)
    first = items[0]
    if not is_pair(first):
        raise error(
            "E629", "the data gives no pairs (x, y)", span, help="give a tuple of arrays, or an iterable of pairs"
        )
    if is_events(first[0]):
        raise error(
            "E629",
            "the data gives events, which a network is shown as frames",
            span,
            help="pass `snnlang.data.given.event_frames(dataset, steps=10)` instead",
        )
    x: AnyColumn = Sampled(items, span)
    return dict(zip(names, [x, labels_of(value, items, span)]))


def is_pair(item: Any) -> bool:
    """Whether an item of a data set is (x, y), and perhaps more."""
    return isinstance(item, Sequence) and not isinstance(item, str) and len(item) >= 2


def is_pairs(value: Any) -> bool:
    """Whether something from Python is a sequence or iterable of samples, rather than a tuple of columns."""
    if isinstance(value, np.ndarray | Mapping | tuple | str | Column):
        return False
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, tuple) for item in value)
    return isinstance(value, Iterable) or (hasattr(value, "__getitem__") and hasattr(value, "__len__"))


def is_events(value: Any) -> bool:
    """A structured array with times and places."""
    names = getattr(getattr(value, "dtype", None), "names", None) or ()
    return "t" in names and "x" in names


def labels_of(dataset: Any, items: Any, span: Span | None) -> NDArray[Any]:
    """``targets`` of the data set where it has them, else the second part of every item."""
    targets = getattr(dataset, "targets", None)
    changed = getattr(dataset, "target_transform", None) or getattr(dataset, "transforms", None)  # then items hold others
    if targets is not None and changed is None and np.ndim(targets) == 1 and len(targets) == len(items):
        return np.asarray(targets)
    try:
        return np.asarray([items[row][1] for row in range(len(items))])
    except ValueError:
        raise error("E627", "the labels differ in shape", span, help="give each sample a label of one shape") from None


def _sequence(value: Any, span: Span | None) -> Any:
    """Something with a length and items by number; an iterator is read to its end."""
    if hasattr(value, "dataset") and hasattr(value, "batch_size"):
        raise error(
            "E629",
            f"a {type(value).__name__} gives batches, and samples are wanted: batches are made of them here",
            span,
            help="give its data set: `loader.dataset`",
        )
    if isinstance(value, Mapping) or (not hasattr(value, "__getitem__") and not isinstance(value, Iterable)):
        raise error("E629", f"{type(value).__name__} is no sequence of samples", span, help="give pairs (x, y)")
    items = value if hasattr(value, "__len__") and hasattr(value, "__getitem__") else list(value)
    if not len(items):
        raise error("E627", "the data has no samples", span, "empty", help="give at least one")
    return items


def _events(value: Any, span: Span | None) -> Events:
    names = value.dtype.names
    nothing = np.zeros(len(value), dtype=np.int64)
    y = value["y"] if "y" in names else nothing
    p = value["p"] if "p" in names else nothing
    one = getattr(value, "shape", ())
    if len(one) != 1:
        raise error(
            "E629",
            f"events are one list, and these have the shape {list(one)}",
            span,
            help="give one structured array a sample",
        )
    return make(value["t"], value["x"], y, p)
