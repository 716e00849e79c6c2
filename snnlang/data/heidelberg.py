"""Spiking Heidelberg Digits and Spiking Speech Commands (Cramer et al. 2022): HDF5 files of 700 cochlea channels (h5py, extra ``data``).

``spikes/times`` are seconds in half precision, about 1 ms at 1 s; ``spikes/units`` are channels 0 to 699; ``labels`` are classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from snnlang.data.columns import Columns, join, missing, not_found, unreadable
from snnlang.data.events import Binning, Events, Frames, Recordings, Sensor, checked, make
from snnlang.data.fetch import find
from snnlang.data.recordings import binning
from snnlang.diagnostics import Span
from snnlang.model.values import locate

CHANNELS = 700
_SPLITS = {
    "shd": {"train": ("train",), "test": ("test",), "all": ("train", "test")},
    "ssc": {"train": ("train",), "valid": ("valid",), "test": ("test",), "all": ("train", "valid", "test")},
}


class Spoken(Recordings):
    """The spikes of one file, all in memory: half precision as stored, 60 MB for the larger part of SHD."""

    __slots__ = ("path", "sensor", "span", "times", "units")

    def __init__(self, path: Path, times: Any, units: Any, span: Span | None) -> None:
        self.path, self.times, self.units, self.span = path, times, units, span
        self.sensor = Sensor(1, CHANNELS, 1)

    def __len__(self) -> int:
        return len(self.times)

    def read(self, number: int) -> Events:
        t = np.rint(np.asarray(self.times[number], dtype=np.float64) * 1e6)
        x = np.asarray(self.units[number])
        if len(t) != len(x) or not np.isfinite(t).all() or (t < 0).any():
            raise unreadable(self.path, f"holds a sample ({number}) whose times do not fit its channels", self.span)
        nothing = np.zeros(len(t), dtype=np.int64)
        return checked(make(t, x, nothing, nothing), self.sensor, self.path, self.span)


def read(path: Path, form: Binning, span: Span | None = None) -> Columns:
    """``events`` [samples, steps, 700] and ``label`` of one file; E625, E626, E630."""
    try:
        import h5py
    except ImportError:
        raise missing("h5py", f"reading {path.name}", span) from None
    if not path.is_file():
        raise not_found(path, span)
    try:
        with h5py.File(path, "r") as content:
            times, units = content["spikes/times"][:], content["spikes/units"][:]
            labels = np.asarray(content["labels"][:]).astype(np.int64)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as problem:
        reason = str(problem).split("\n")[0].strip("\"'")[:120]
        raise unreadable(path, f"is no whole file of SHD or SSC: {reason}", span) from None
    if not len(times) == len(units) == len(labels) or not len(times):
        raise unreadable(path, f"holds {len(times)} times, {len(units)} channels and {len(labels)} labels", span)
    return {"events": Frames(Spoken(path, times, units, span), form), "label": labels}


def shd(
    span: Span | None, split: str, folder: str | None, steps: int, by: str, duration: float | None, values: str
) -> Columns:
    """Spoken digits in English and German, 20 classes."""
    return _spoken("shd", split, folder, binning(steps, by, duration, values, span), span)


def ssc(
    span: Span | None, split: str, folder: str | None, steps: int, by: str, duration: float | None, values: str
) -> Columns:
    """Spoken words, 35 classes; has a part for validation of its own."""
    return _spoken("ssc", split, folder, binning(steps, by, duration, values, span), span)


def _spoken(name: str, split: str, folder: str | None, form: Binning, span: Span | None) -> Columns:
    files = [f"{name}_{part}.h5" for part in _SPLITS[name][split]]
    hint = "the files are published at zenkelab.org/resources/spiking-heidelberg-datasets-shd"
    paths = find(name, name, {file: f"{file}.zip" for file in files}, folder, (hint,), span)
    return join([read(path, form, span) for path in paths])


def hdf5(span: Span | None, file: str, steps: int, by: str, duration: float | None, values: str) -> Columns:
    """One file of that form by its name."""
    return read(locate(file, span), binning(steps, by, duration, values, span), span)
