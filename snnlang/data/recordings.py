"""Event files of any known kind, and folders of them: one folder for each class.

The kind is found by the first bytes: AEDAT 2, 3.1 and 4 name themselves, ``.npz`` holds the arrays ``t``, ``x``, ``y``, ``p``, everything
named ``.bin`` is of an ATIS camera. Times of recordings that come with a clock of the day count from their first event.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, get_args

import numpy as np

from snnlang.data import aedat, aedat4, atis
from snnlang.data.columns import Columns, Rows, every_fifth, join, not_found, unreadable
from snnlang.data.events import Binning, By, Events, Frames, Recordings, Sensor, checked, from_zero, make
from snnlang.data.fetch import find
from snnlang.diagnostics import Span, error
from snnlang.model.values import locate

KINDS = (".bin", ".aedat", ".aedat4", ".npz")


def read_events(
    path: Path, span: Span | None = None, layout: str = "raw", height: int | None = None, width: int | None = None
) -> tuple[Events, Sensor]:
    """The events of one file and its sensor; ``height`` and ``width`` stand in for the sensor that the kind of file is usual for."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise not_found(path, span) from None
    except OSError as problem:
        raise unreadable(path, f"cannot be read: {problem.strerror}", span) from None
    sensor = Sensor(aedat.SIDE, aedat.SIDE)
    if raw.startswith(aedat4.VERSION):
        events, sensor = aedat4.read(raw, path, span)
        events = from_zero(events)
    elif raw.startswith(b"#!AER-DAT3.1"):
        events = from_zero(aedat.read_3(raw, path, span))
    elif raw.startswith(b"#!AER-DAT2"):
        events = from_zero(aedat.read_2(raw, path, span, layout))
    elif raw.startswith(b"#!AER-DAT"):
        raise unreadable(
            path, f"is AEDAT {raw[9:12].decode('latin-1')}", span, "AEDAT 2, 3.1 and 4 can be read: convert it"
        )
    elif path.suffix == ".npz":
        events, sensor = _arrays(raw, path, span)
    elif path.suffix == ".bin":
        events, sensor = atis.read(raw, path, span), Sensor(atis.SIDE, atis.SIDE)
    else:
        raise unreadable(path, "is no event file of a known kind", span, f"files end in {', '.join(KINDS)}")
    if height or width:
        sensor = Sensor(height or sensor.height, width or sensor.width, sensor.polarities)
    return checked(events, sensor, path, span), sensor


def _arrays(raw: bytes, path: Path, span: Span | None) -> tuple[Events, Sensor]:
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as content:
            events = make(*(content[name] for name in "txyp"))
    except Exception as problem:  # zipfile and numpy have no common parent
        raise unreadable(
            path, f"does not hold the arrays t, x, y and p ({type(problem).__name__})", span, "save them so"
        ) from None
    if not len(events):
        raise unreadable(path, "holds no events", span)
    return events, Sensor(int(events.y.max()) + 1, int(events.x.max()) + 1)


class Files(Recordings):
    """One recording a file."""

    __slots__ = ("layout", "paths", "sensor", "span")

    def __init__(self, paths: list[Path], sensor: Sensor, span: Span | None = None, layout: str = "raw") -> None:
        self.paths, self.sensor, self.span, self.layout = paths, sensor, span, layout

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, number: int) -> Events:
        return read_events(self.paths[number], self.span, self.layout, self.sensor.height, self.sensor.width)[0]


def class_files(folder: Path, endings: tuple[str, ...], span: Span | None) -> tuple[list[Path], Rows, list[str]]:
    """The files of every class in order, the number of each one's class, and the names of the classes (sorted; a number as a number)."""
    if not folder.is_dir():
        raise error(
            "E626",
            f"there is no folder {folder}",
            span,
            "not found",
            help="check the name; paths are relative to this file",
        )
    classes = sorted((one for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")), key=_order)
    paths: list[Path] = []
    labels: list[int] = []
    for number, place in enumerate(classes):
        inside = sorted(one for one in place.rglob("*") if one.suffix.lower() in endings and one.is_file())
        if not inside:
            raise unreadable(
                place,
                f"holds no files that end in {', '.join(endings)}",
                span,
                "remove the folder, or put its samples there",
            )
        paths += inside
        labels += [number] * len(inside)
    if not paths:
        raise unreadable(
            folder,
            "holds no folders with samples",
            span,
            "make one folder for each class, and put the files of the class there",
        )
    return paths, np.array(labels, dtype=np.int64), [place.name for place in classes]


def _order(path: Path) -> tuple[int, str]:
    return (int(path.name) if path.name.isdecimal() else -1, path.name)


def binning(steps: int, by: str, duration: float | None, values: str, span: Span | None) -> Binning:
    """What the options of a loader say; ``duration`` in ms."""
    if duration is not None and not 0 < duration < 1e12:
        raise error(
            "E632",
            f"the window of the events must be longer than nothing, and this is {duration:g} ms",
            span,
            help="write `300 ms`",
        )
    if by not in get_args(By) or values not in ("count", "binary") or steps < 1:
        raise error(
            "E632",
            f"events cannot become {steps} frames by {by} with values {values}",
            span,
            help="see `snn explain E632`",
        )
    known: Any = {"by": by, "values": values}
    return Binning(steps, duration=None if duration is None else round(duration * 1000), **known)


def events(
    span: Span | None,
    folder: str,
    split: str,
    steps: int,
    by: str,
    duration: float | None,
    values: str,
    height: int | None,
    width: int | None,
    layout: str,
) -> Columns:
    """``events`` [recordings, steps, polarity, y, x] and ``label``, of a folder with one folder of event files for each class."""
    place = locate(folder, span)
    parts = [place / name for name in (("train", "test") if split == "all" else (split,))]
    if all(one.is_dir() for one in parts):  # split by whoever made the data
        found = [class_files(one, KINDS, span) for one in parts]
        paths = [path for one in found for path in one[0]]
        labels = np.concatenate([one[1] for one in found])
        if any(one[2] != found[0][2] for one in found):
            raise unreadable(
                place, "has other classes to train than to test", span, "give every class a folder in both"
            )
        split = "all"
    else:
        paths, labels, _ = class_files(place, KINDS, span)
    sensor = read_events(paths[0], span, layout, height, width)[1]
    made = Frames(Files(paths, sensor, span, layout), binning(steps, by, duration, values, span))
    return every_fifth({"events": made, "label": labels}, split)


def nmnist(
    span: Span | None, split: str, folder: str | None, steps: int, by: str, duration: float | None, values: str
) -> Columns:
    """``events`` [recordings, steps, 2, 34, 34] and ``label`` (Orchard et al. 2015)."""
    form = binning(steps, by, duration, values, span)
    names = {"train": ("Train",), "test": ("Test",), "all": ("Train", "Test")}[split]
    hint = "the set is published at garrickorchard.com/datasets/n-mnist"
    places: list[Path] = find("nmnist", "nmnist", {name: f"{name}.zip" for name in names}, folder, (hint,), span)
    return join([_of_classes(place, form, span) for place in places])


def _of_classes(folder: Path, form: Binning, span: Span | None) -> Columns:
    paths, labels, _ = class_files(folder, (".bin",), span)
    return {"events": Frames(Files(paths, Sensor(atis.SIDE, atis.SIDE), span), form), "label": labels}
