"""DVS128 Gesture (Amir et al. 2017): long AEDAT 3.1 recordings, cut into gestures by the tables of labels beside them.

``user01_fluorescent.aedat`` goes with ``user01_fluorescent_labels.csv``, whose rows are class (from 1), start and end in microseconds.
Users 1 to 23 are for training, 24 to 29 for testing. The set is never fetched: its publisher gives no address for programs.
"""

from __future__ import annotations

import csv
import re
from collections import OrderedDict
from pathlib import Path

import numpy as np

from snnlang.data import aedat
from snnlang.data.columns import Columns, not_found, unreadable
from snnlang.data.events import Events, Frames, Recordings, Sensor, checked
from snnlang.data.fetch import find
from snnlang.data.recordings import binning
from snnlang.diagnostics import Span, error
from snnlang.frozen import dataclass
from snnlang.model.values import locate

CLASSES = 11
_LAST_TO_TRAIN = 23
_FILE = re.compile(r"user(\d+)_\w+\.aedat")
_KEPT = 4  # whole recordings in memory: gestures are asked for in any order, a recording holds ten or more


@dataclass(frozen=True, slots=True)
class Gesture:
    """A stretch of a recording; ``label`` from 0, times in microseconds of the recording's clock."""

    path: Path
    label: int
    start: int
    end: int


class Gestures(Recordings):
    """Gestures of several recordings; times count from the start of the gesture."""

    __slots__ = ("_files", "all", "sensor", "span")

    def __init__(self, gestures: list[Gesture], span: Span | None = None) -> None:
        self.all, self.span, self.sensor = gestures, span, Sensor(aedat.SIDE, aedat.SIDE)
        self._files: OrderedDict[Path, Events] = OrderedDict()

    def __len__(self) -> int:
        return len(self.all)

    def read(self, number: int) -> Events:
        one = self.all[number]
        events = self._file(one.path)
        first, last = np.searchsorted(events.t, [one.start, one.end])
        part = events.only(slice(int(first), int(last)))  # type: ignore[arg-type]  # slices index as arrays do
        return Events(part.t - one.start, part.x, part.y, part.p)

    def _file(self, path: Path) -> Events:
        if path not in self._files:
            try:
                raw = path.read_bytes()
            except FileNotFoundError:
                raise not_found(path, self.span) from None
            except OSError as problem:
                raise unreadable(path, f"cannot be read: {problem.strerror}", self.span) from None
            if not raw.startswith(b"#!AER-DAT3.1"):
                raise unreadable(path, "is no AEDAT 3.1 file", self.span)
            self._files[path] = checked(aedat.read_3(raw, path, self.span), self.sensor, path, self.span)
            while len(self._files) > _KEPT:
                self._files.popitem(last=False)
        self._files.move_to_end(path)
        return self._files[path]


def read_labels(path: Path, recording: Path, span: Span | None = None) -> list[Gesture]:
    """The gestures of one recording; E626, E630."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except FileNotFoundError:
        raise not_found(path, span) from None
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise unreadable(path, f"cannot be read: {problem}", span) from None
    gestures = []
    for number, row in enumerate(rows[1:], 2):
        try:
            label, start, end = (int(cell) for cell in row[:3])
        except ValueError:
            raise unreadable(f"line {number} of {path}", "is not class, start and end", span) from None
        if not 1 <= label <= CLASSES or end <= start:
            raise unreadable(
                f"line {number} of {path}",
                f"says class {label} from {start} to {end}; classes are 1 to {CLASSES}",
                span,
            )
        gestures.append(Gesture(recording, label - 1, start, end))
    if not gestures:
        raise unreadable(path, "names no gestures", span)
    return gestures


def dvs_gesture(
    span: Span | None, split: str, folder: str | None, steps: int, by: str, duration: float | None, values: str
) -> Columns:
    """``events`` [gestures, steps, 2, 128, 128] and ``label`` (0 to 10)."""
    hint = "the set is published at research.ibm.com/dvsgesture; unpack DvsGesture.tar.gz"
    if folder is None:
        (place,) = find("dvs_gesture", "dvs-gesture", {"DvsGesture": ""}, None, (hint,), span)
    else:
        place = locate(folder, span)
        if not place.is_dir():
            raise error("E626", f"there is no folder {place}", span, "not found", help=hint)
    gestures: list[Gesture] = []
    for path in sorted(place.rglob("user*.aedat")):
        found = _FILE.fullmatch(path.name)
        if found is None:
            continue
        part = "train" if int(found.group(1)) <= _LAST_TO_TRAIN else "test"
        if split in ("all", part):
            gestures += read_labels(path.with_name(f"{path.stem}_labels.csv"), path, span)
    if not gestures:
        raise unreadable(
            place, f"holds no recordings such as user{'01' if split != 'test' else '24'}_led.aedat", span, hint
        )
    column = Frames(Gestures(gestures, span), binning(steps, by, duration, values, span))
    return {"events": column, "label": np.array([gesture.label for gesture in gestures], dtype=np.int64)}
