"""Recordings on disk: one ``.npz`` file, or a directory of ``.npy`` files that is mapped rather than read.

Both hold the same arrays under the same names (``E.spikes.times``, ``E.spikes.indices``, ``E.v``, ``E.v.times``) and one
JSON text, ``recording``, that says units, shapes, dt, seed and the hash of the model's text, so that NumPy alone can read
them. Everything is written under a temporary name and renamed when complete. Nothing is pickled.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import SnnError, error
from snnlang.files import refuse, write_atomically
from snnlang.model.network import PlotItem
from snnlang.runtime.recording import Events, Made, Recording, Trials, Values

FORMAT = 1
HEADER = "recording"


def save(recording: Recording, path: str | Path) -> None:
    """Write a recording to ``path``: ``.npz``, or a directory for any other name. Raises E801.

    A recording that was streamed to this very place is there already, and nothing is done.
    """
    target = Path(path)
    if recording.place is not None and _same(recording.place, target):
        return
    if target.suffix.lower() == ".npz":
        with write_atomically(target) as temporary:
            _write_archive(recording, temporary)
        return
    with directory_atomically(target) as temporary:
        for name, array in arrays(recording):
            np.save(temporary / file_name(name), array, allow_pickle=False)
        (temporary / f"{HEADER}.json").write_text(json.dumps(header(recording), indent=1), encoding="utf-8")


def load(path: str | Path) -> Recording:
    """Read a recording; the arrays of a directory are memory maps. Raises E822 for anything else."""
    import zipfile

    source = Path(path)
    try:
        if source.is_dir():
            text = (source / f"{HEADER}.json").read_text(encoding="utf-8")

            def from_file(name: str) -> NDArray[Any]:
                return _mapped(source / file_name(name))

            return _read(json.loads(text), from_file, source)
        with np.load(source, allow_pickle=False) as archive:
            contents = json.loads(str(archive[HEADER][()]))
            return _read(contents, lambda name: archive[name], source)
    except FileNotFoundError as problem:
        missing = source if not source.exists() else problem.filename
        raise error("E822", f"there is no recording at '{path}'", help=f"'{missing}' does not exist") from None
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as problem:
        raise error(
            "E822", f"'{path}' is not a recording that this version can read", help=str(problem).strip("'\"")
        ) from None


def _mapped(path: Path) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:  # an empty array cannot be mapped
        found = np.load(path, allow_pickle=False)
    return found


# --- names and arrays -------------------------------------------------------------------------------------------------


def file_name(name: str) -> str:
    """A file name for an array's name that every file system takes."""
    return re.sub(r"[^\w.+=,\[\]-]", lambda found: f"%{ord(found[0]):02X}", name) + ".npy"


def arrays(recording: Recording, prefix: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    """All arrays of a recording with their names."""
    for label, events in recording.events_by_label.items():
        yield f"{prefix}{label}.times", events.times
        yield f"{prefix}{label}.indices", events.indices
        if events.selected is not None:
            yield f"{prefix}{label}.selected", events.selected
    for label, values in recording.values_by_label.items():
        yield prefix + label, values.values
        yield f"{prefix}{label}.times", values.times
        for part in ("indices", "pre", "post"):
            extra = getattr(values, part)
            if extra is not None:
                yield f"{prefix}{label}.{part}", extra
    if recording.trials is not None:
        for part in ("start", "rest", "stop", "phase", "epoch", "sample"):
            yield f"{prefix}trials.{part}", getattr(recording.trials, part)
        for column, data in recording.trials.labels.items():
            yield f"{prefix}trials.labels.{column}", data
    for number, point in enumerate(recording.sweep):
        yield from arrays(point, f"{prefix}sweep{number}.")


def header(recording: Recording) -> dict[str, Any]:
    """Everything but the arrays, as plain values."""
    return {
        "format": FORMAT,
        "made": asdict(recording.made),
        "events": [
            {
                "label": e.label,
                "population": e.owner,
                "event": e.event,
                "shape": list(e.shape),
                "partial": e.selected is not None,
            }
            for e in recording.events_by_label.values()
        ],
        "values": [
            {
                "label": v.label,
                "of": v.owner,
                "variable": v.variable,
                "unit": v.unit,
                "kind": v.kind,
                "shape": list(v.shape),
                "parts": [part for part in ("indices", "pre", "post") if getattr(v, part) is not None],
            }
            for v in recording.values_by_label.values()
        ],
        "trials": None if recording.trials is None else list(recording.trials.labels),
        "plots": [{"kind": p.kind, "targets": list(p.targets), "options": plain(p.options)} for p in recording.plots],
        "point": plain(recording.point),
        "sweep": [header(point) for point in recording.sweep],
    }


def plain(value: Any) -> Any:
    """A value that JSON takes: NumPy numbers and arrays become Python's."""
    match value:
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case np.ndarray():
            return plain(value.tolist())
        case np.generic():
            return value.item()
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)


def _read(contents: dict[str, Any], array: Callable[[str], NDArray[Any]], place: Path, prefix: str = "") -> Recording:
    if contents["format"] != FORMAT:
        raise ValueError(f"it has format {contents['format']}, and this version reads format {FORMAT}")
    made = dict(contents["made"])
    made["populations"] = {name: tuple(shape) for name, shape in made["populations"].items()}
    events = {}
    for item in contents["events"]:
        name = prefix + item["label"]
        selected = array(f"{name}.selected") if item["partial"] else None
        events[item["label"]] = Events(
            item["label"],
            item["population"],
            item["event"],
            tuple(item["shape"]),
            array(f"{name}.times"),
            array(f"{name}.indices"),
            selected,
        )
    values = {}
    for item in contents["values"]:
        name = prefix + item["label"]
        parts = {part: array(f"{name}.{part}") for part in item["parts"]}
        values[item["label"]] = Values(
            item["label"],
            item["of"],
            item["variable"],
            item["unit"],
            item["kind"],
            tuple(item["shape"]),
            array(f"{name}.times"),
            array(name),
            **parts,
        )
    trials = None
    if contents["trials"] is not None:
        start, rest, stop, phase, epoch, sample = (
            array(f"{prefix}trials.{part}") for part in ("start", "rest", "stop", "phase", "epoch", "sample")
        )
        labels = {column: array(f"{prefix}trials.labels.{column}") for column in contents["trials"]}
        trials = Trials(start, rest, stop, phase, epoch, sample, labels)
    plots = tuple(PlotItem(p["kind"], tuple(p["targets"]), p["options"]) for p in contents["plots"])
    sweep = tuple(
        _read(point, array, place, f"{prefix}sweep{number}.") for number, point in enumerate(contents["sweep"])
    )
    return Recording(Made(**made), events, values, trials, plots, contents["point"], sweep, place=place)


# --- writing ----------------------------------------------------------------------------------------------------------


def _write_archive(recording: Recording, path: Path) -> None:
    import zipfile  # like tempfile and shutil below slow to import, and a run that keeps nothing needs none of them

    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        text = json.dumps(header(recording))
        for name, array in ((HEADER, np.array(text)), *arrays(recording)):
            member = zipfile.ZipInfo(f"{name}.npy")  # a fixed date: the same recording gives the same bytes
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=False)


class directory_atomically:
    """Give a temporary directory beside ``path``; rename it to ``path`` at the end, or remove it on an exception.

    An empty directory or an older recording at ``path`` is replaced; any other directory is refused before anything is written (E823).
    """

    def __init__(self, path: str | Path) -> None:
        import tempfile

        self.path = Path(path)
        require_replaceable(self.path)
        try:
            self.temporary = Path(
                tempfile.mkdtemp(prefix=f".{self.path.name[:40]}.", suffix=".tmp", dir=self.path.parent)
            )
        except OSError as problem:
            raise refuse(path, problem.strerror or str(problem)) from None

    def __enter__(self) -> Path:
        return self.temporary

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        if problem is not None:
            import shutil

            shutil.rmtree(self.temporary, ignore_errors=True)
            if isinstance(problem, OSError):
                raise refuse(self.path, problem.strerror or str(problem)) from None
            return
        self.finish()

    def finish(self) -> None:
        """Rename the temporary directory to its final name."""
        import shutil
        import tempfile

        try:
            mask = os.umask(0)
            os.umask(mask)
            self.temporary.chmod(0o777 & ~mask)
            if self.path.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{self.path.name[:40]}.", suffix=".old", dir=self.path.parent))
                os.replace(self.path, old / "old")
                os.replace(self.temporary, self.path)
                shutil.rmtree(old, ignore_errors=True)
            else:
                os.replace(self.temporary, self.path)
        except OSError as problem:
            raise refuse(self.path, problem.strerror or str(problem)) from None


def require_replaceable(path: Path, option: str = "") -> None:
    """Refuse a directory that holds something else than a recording (E823), or a place that cannot be written (E801)."""
    if path.exists() and not path.is_dir():
        raise refuse(path, "it is a file, and a directory is needed", option)
    if not path.parent.is_dir():
        raise refuse(path, f"the directory '{path.parent}' does not exist", option)
    if not os.access(path.parent, os.W_OK):
        raise refuse(path, f"the directory '{path.parent}' is write-protected", option)
    if path.is_dir() and any(path.iterdir()) and not (path / f"{HEADER}.json").is_file():
        raise error(
            "E823",
            f"the directory '{path}' holds other files, and a recording would replace it",
            help="name a new or an empty directory",
        )


def _same(first: Path, second: Path) -> bool:
    return first.resolve() == second.resolve()


def placed(recording: Recording, path: Path) -> Recording:
    """The recording as one that lies at ``path``."""
    return replace(recording, place=path)


__all__ = [
    "HEADER",
    "SnnError",
    "arrays",
    "directory_atomically",
    "file_name",
    "header",
    "load",
    "placed",
    "plain",
    "save",
]
