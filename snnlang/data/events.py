"""Events of a sensor: what a recording holds, and frames of them, which a network can be shown.

An event is a time in microseconds, a pixel and a polarity (1 brighter, 0 darker). Frames are [steps, polarity, y, x], or [steps, x] for
sensors that are one row without polarity, such as a cochlea. No event of the window is lost: by time the last bin ends after the last
event, by count the bins differ by one event at most. Refused are events beside the sensor and times that run backwards beyond repair.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnlang.data.columns import Column, Rows, unreadable
from snnlang.diagnostics import Span


@dataclass(frozen=True, slots=True)
class Sensor:
    """Pixels of a sensor; ``polarities`` is 1 where events have no sign."""

    height: int
    width: int
    polarities: int = 2

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one frame: [polarity, y, x], or [x]."""
        flat = self.height == 1 and self.polarities == 1
        return (self.width,) if flat else (self.polarities, self.height, self.width)


@dataclass(frozen=True, slots=True)
class Events:
    """``t`` in microseconds (never decreasing), ``x``, ``y``, ``p``: equally long."""

    t: NDArray[np.int64]
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    p: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.t)

    def only(self, kept: NDArray[Any]) -> Events:
        """The events that a mask, a slice or an order chooses."""
        return Events(self.t[kept], self.x[kept], self.y[kept], self.p[kept])


def make(t: Any, x: Any, y: Any, p: Any) -> Events:
    """Events from anything that NumPy takes, in the order of their times (equal times keep theirs)."""
    times = np.asarray(t).astype(np.int64)
    events = Events(times, *(np.asarray(part).astype(np.int64) for part in (x, y, p)))
    return events.only(np.argsort(times, kind="stable")) if len(times) and (np.diff(times) < 0).any() else events


def checked(
    events: Events,
    sensor: Sensor,
    name: object,
    span: Span | None,
    help: str = "name the sensor's size: `height = …, width = …`, or fetch the file again",
) -> Events:
    """The same events; E630 where one lies beside the sensor."""
    for what, values, size in (
        ("x", events.x, sensor.width),
        ("y", events.y, sensor.height),
        ("polarity", events.p, sensor.polarities),
    ):
        wrong = np.flatnonzero((values < 0) | (values >= size))
        if len(wrong):
            raise unreadable(
                name,
                f"holds an event with {what} = {values[wrong[0]]}, and the sensor has {what} from 0 to {size - 1} "
                f"(event {wrong[0]} of {len(events)})",
                span,
                help,
            )
    return events


class Recordings(ABC):
    """Recordings 0 to ``len - 1`` of one sensor, read when they are asked for."""

    __slots__ = ()

    sensor: Sensor

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, number: int) -> Events:
        """The events of one recording; times count from its start."""


By = Literal["time", "count", "voxel"]


@dataclass(frozen=True, slots=True)
class Binning:
    """How events become frames.

    ``steps`` frames; ``by`` equal times, equal numbers of events, or times with each event shared between the two nearest frames
    (voxels). ``duration`` in microseconds is the length of the window, which begins at time 0 of the recording; later events are left
    out. None: from the first event to the last. ``values``: number of events, or 1 where there is any.
    """

    steps: int = 10
    by: By = "time"
    duration: int | None = None
    values: Literal["count", "binary"] = "count"


def frames(events: Events, sensor: Sensor, binning: Binning) -> NDArray[np.float32]:
    """[steps, *sensor.shape] float32."""
    steps = binning.steps
    start = 0
    if binning.duration is not None:
        events = events.only((events.t >= 0) & (events.t < binning.duration))
        length = binning.duration
    elif len(events):
        start = int(events.t[0])
        length = int(events.t[-1]) - start + 1
    size = sensor.polarities * sensor.height * sensor.width
    shape = (steps, *sensor.shape)
    if not len(events):
        return np.zeros(shape, dtype=np.float32)
    place = (events.p * sensor.height + events.y) * sensor.width + events.x
    match binning.by:
        case "time":
            total = np.bincount((events.t - start) * steps // length * size + place, minlength=steps * size)
        case "count":
            number = np.arange(len(events), dtype=np.int64)
            total = np.bincount(number * steps // len(events) * size + place, minlength=steps * size)
        case "voxel":
            at = (events.t - start) * (steps - 1) / max(1, length - 1)
            first = np.minimum(at.astype(np.int64), max(0, steps - 2))
            late = at - first
            total = np.bincount(first * size + place, 1 - late, steps * size)
            if steps > 1:
                total = total + np.bincount((first + 1) * size + place, late, steps * size)
    made = total.astype(np.float32).reshape(shape)
    return np.asarray((made > 0).astype(np.float32) if binning.values == "binary" else made)


Change = Callable[[Events, int], Events]


class Frames(Column):
    """Recordings as frames, made when they are asked for; ``change`` alters the events of a recording, given its number, before."""

    __slots__ = ("binning", "change", "recordings")

    def __init__(self, recordings: Recordings, binning: Binning, change: Change | None = None) -> None:
        self.recordings, self.binning, self.change = recordings, binning, change

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.recordings), self.binning.steps, *self.recordings.sensor.shape)

    def gather(self, rows: Rows) -> NDArray[np.float32]:
        made = np.empty((len(rows), *self.shape[1:]), dtype=np.float32)
        for place, row in enumerate(rows):
            made[place] = self._one(int(row))
        return made

    def row(self, row: int) -> NDArray[Any]:
        return self._one(row).astype(np.float64)

    @property
    def has_events(self) -> bool:
        return True

    def altered(self, change: Change) -> Frames:
        """The same frames of changed events."""
        return Frames(self.recordings, self.binning, change)

    def _one(self, row: int) -> NDArray[np.float32]:
        events = self.recordings.read(row)
        if self.change is not None:
            events = self.change(events, row)
        return frames(events, self.recordings.sensor, self.binning)


class Listed(Recordings):
    """Recordings that are in memory."""

    __slots__ = ("all", "sensor")

    def __init__(self, recordings: list[Events], sensor: Sensor) -> None:
        self.all, self.sensor = recordings, sensor

    def __len__(self) -> int:
        return len(self.all)

    def read(self, number: int) -> Events:
        return self.all[number]


def from_zero(events: Events) -> Events:
    """Times counted from the first event."""
    return replace(events, t=events.t - events.t[0]) if len(events) else events
