"""Data for trials: the loaders that ``present`` names, arrays from Python, and their fit to the network's inputs.

The table of what may be written stands in :mod:`snnlang.model.loaders`; here are the functions behind it, each
importing what it needs when it is called. Splits are fixed by position, so that every run sees the same samples. Refused
are packages and files that are not there, arrays that do not fit the network's inputs, and values that are not finite.
"""

from __future__ import annotations

import csv as tables
import gzip
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import Collector, SnnError, Span, error
from snnlang.model.loaders import LOADERS
from snnlang.model.network import Experiment, NetworkInput, Phase
from snnlang.model.suggest import help_for, listing
from snnlang.model.values import locate, read_arrays

Columns = dict[str, NDArray[Any]]

#: Where the files of a data set are looked for, after ``folder`` and ``SNNLANG_DATA``.
SYSTEM_FOLDERS = ("/usr/share/datasets", "/usr/local/share/datasets")
_IDX_NAMES = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"), "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


@dataclass(frozen=True)
class PhaseData:
    """Samples of one ``present``: ``inputs`` [trials, *shape of the input] by path, ``labels`` [trials, …] by the name after ``as``."""

    inputs: dict[str, NDArray[np.float64]]
    labels: dict[str, NDArray[Any]]
    trials: int


def load_phase(phase: Phase, experiment: Experiment, given: Mapping[str, Any] | None = None) -> PhaseData:
    """Read the data of a phase and bind its columns to the network's inputs; raises SnnError (E620, E625 to E630)."""
    columns = _named(phase, given or {})
    inputs = {item.path: item for item in experiment.network.inputs}
    counts = {name: len(column) for name, column in columns.items()}
    if len(set(counts.values())) != 1 or not counts:
        raise error(
            "E627",
            "the columns of the data differ in length: " + ", ".join(f"{n} has {c}" for n, c in counts.items()),
            phase.span,
            help="give every column one row for each trial",
        )
    trials = next(iter(counts.values()))
    if trials == 0:
        raise error("E627", "the data has no trials", phase.span, "empty", help="give at least one row")
    bound: dict[str, NDArray[np.float64]] = {}
    labels: dict[str, NDArray[Any]] = {}
    for name, column in columns.items():
        if name in inputs:
            bound[name] = _fit(name, column, inputs[name], phase.span)
        else:
            labels[name] = column
    return PhaseData(bound, labels, trials)


def load(name: str, options: Mapping[str, Any] | None = None, span: Span | None = None) -> Columns:
    """The columns of a loader in order, for Python: ``load("digits", {"split": "test"})``."""
    known = LOADERS.get(name)
    if known is None:
        raise error("E620", f"there is no loader `{name}`", span, help=help_for(name, LOADERS) or (f"loaders are {listing(LOADERS, 12)}",))
    chosen = {option.name: option.default for option in known.options}
    for key, value in (options or {}).items():
        if key not in chosen:
            raise error("E620", f"{name} has no option `{key}`", span, help=help_for(key, chosen) or (f"it takes {listing(chosen)}",))
        chosen[key] = value
    limit = chosen.pop("limit", None)
    columns = _LOADERS[name](span, **chosen)
    return columns if limit is None else {key: column[:limit] for key, column in columns.items()}


def _named(phase: Phase, given: Mapping[str, Any]) -> Columns:
    """The columns under the names after ``as``."""
    if phase.loader == "given":
        return _given(phase, given)
    found = load(phase.loader, phase.options, phase.span)
    if phase.loader == "npz":
        missing = next((name for name in phase.columns if name not in found), None)
        if missing is not None:
            raise error(
                "E630",
                f"there is no array '{missing}' in {phase.options['file']}",
                phase.span,
                help=help_for(missing, found) or (f"it has {listing(found)}",),
            )
        return {name: found[name] for name in phase.columns}
    values = list(found.values())
    if len(phase.columns) > len(values):
        raise error(
            "E630",
            f"{phase.loader} gives {len(values)} columns here, and {len(phase.columns)} are named",
            phase.span,
            help=f"name {listing(found)}",
        )
    return dict(zip(phase.columns, values, strict=False))


def _given(phase: Phase, given: Mapping[str, Any]) -> Columns:
    name = phase.options["name"]
    if name not in given:
        near = help_for(name, LOADERS)
        raise error(
            "E629",
            f"the data `{name}` was not given",
            phase.span,
            "comes from Python",
            help=(f'pass it: `model.run(data={{"{name}": (images, labels)}})`', *(line.replace("`?", "()`?") for line in near)),
        )
    value = given[name]
    if isinstance(value, Mapping):
        missing = next((column for column in phase.columns if column not in value), None)
        if missing is not None:
            raise error(
                "E629",
                f"the data `{name}` has no column `{missing}`",
                phase.span,
                help=help_for(missing, value) or (f"it has {listing(value)}",),
            )
        return {column: np.asarray(value[column]) for column in phase.columns}
    arrays = (
        list(value) if isinstance(value, tuple | list) and len(phase.columns) > 1 else [value[0] if isinstance(value, tuple) else value]
    )
    if len(arrays) < len(phase.columns):
        raise error(
            "E629",
            f"the data `{name}` has {len(arrays)} columns, and {len(phase.columns)} are named",
            phase.span,
            help="pass a tuple with one array for each column, or a dictionary",
        )
    return {column: np.asarray(array) for column, array in zip(phase.columns, arrays, strict=False)}


def _fit(name: str, column: NDArray[Any], target: NetworkInput, span: Span | None) -> NDArray[np.float64]:
    """A column in the shape of its input; raises E627 for a wrong size, E628 for values that are not finite numbers."""
    if column.dtype.kind not in "biuf":
        raise error("E628", f"the column `{name}` holds {column.dtype}, not numbers", span, help="give numbers")
    size = int(np.prod(column.shape[1:], dtype=np.int64))
    if column.ndim == 0 or size != target.size:
        raise error(
            "E627",
            f"`{name}` needs {list(target.shape)} values a trial, and the data has {list(column.shape[1:])}",
            span,
            f"gives {size} values, not {target.size}",
            help=f"write `input {name}{list(column.shape[1:])}`" if size > 1 else "choose other data",
        )
    values = np.asarray(column, dtype=np.float64)
    if not np.isfinite(values).all():
        place = np.argwhere(~np.isfinite(values))[0]
        raise error(
            "E628",
            f"`{name}` holds a value that is not finite, in trial {int(place[0])} at {[int(i) for i in place[1:]]}",
            span,
            help="remove or replace NaN and infinity",
        )
    return values.reshape((len(values), *target.shape))


# --- loaders ----------------------------------------------------------------------------------------------------------


def _missing(package: str, what: str, span: Span | None) -> SnnError:
    return error("E625", f"{what} needs the package {package}, which is not installed", span, help=f"install it: pip install {package}")


def _split(columns: Columns, split: str) -> Columns:
    """Every fifth sample is a test sample, by position."""
    if split == "all":
        return columns
    place = np.arange(len(next(iter(columns.values()))))
    chosen = place % 5 == 4 if split == "test" else place % 5 != 4
    return {name: column[chosen] for name, column in columns.items()}


def digits(span: Span | None, split: str) -> Columns:
    """scikit-learn's optical digits: ``image`` [trials, 8, 8] from 0 to 1, ``label``."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise _missing("scikit-learn", "digits()", span) from None
    bunch = load_digits()
    return _split({"image": np.asarray(bunch.images, dtype=np.float64) / 16.0, "label": np.asarray(bunch.target, dtype=np.int64)}, split)


def _open(path: Path) -> bytes:
    raw = path.read_bytes()
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


def read_idx(path: Path, span: Span | None = None) -> NDArray[Any]:
    """The array of an IDX file (LeCun's format), packed with gzip or not; raises E626 or E630."""
    try:
        raw = _open(path)
    except FileNotFoundError:
        raise error("E626", f"there is no file {path}", span, "not found", help="check the name; paths are relative to this file") from None
    except (OSError, EOFError) as problem:
        raise error("E630", f"{path} cannot be read: {problem}", span, help="fetch the file again") from None
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _IDX_TYPES or len(raw) < 4 + 4 * raw[3]:
        raise error("E630", f"{path} is no IDX file", span, help="give a file such as train-images-idx3-ubyte.gz")
    shape = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
    kind = np.dtype(_IDX_TYPES[raw[2]])
    body = raw[4 + 4 * raw[3] :]
    if len(body) != int(np.prod(shape, dtype=np.int64)) * kind.itemsize:
        raise error("E630", f"{path} is cut off: its header promises the shape {list(shape)}", span, help="fetch the file again")
    return np.frombuffer(body, kind).reshape(shape).astype(kind.newbyteorder("="))


def _images(array: NDArray[Any]) -> NDArray[np.float64]:
    return array.astype(np.float64) / 255.0 if array.dtype == np.uint8 else array.astype(np.float64)


def idx(span: Span | None, images: str, labels: str | None) -> Columns:
    """``image`` and perhaps ``label`` from two IDX files."""
    columns: Columns = {"image": _images(read_idx(locate(images, span), span))}
    if labels is not None:
        columns["label"] = read_idx(locate(labels, span), span).astype(np.int64)
    return columns


def _folders(folder: str | None, data_set: str, span: Span | None) -> list[Path]:
    if folder is not None:
        return [locate(folder, span)]
    places = [Path(root) / data_set for root in (os.environ.get("SNNLANG_DATA"), "data", *SYSTEM_FOLDERS) if root]
    if span is not None:
        places.insert(0, Path(span.source.name).parent / "data" / data_set)
    return places


def _idx_set(name: str, data_set: str, hint: str) -> Callable[..., Columns]:
    def loader(span: Span | None, split: str, folder: str | None) -> Columns:
        parts = ("train", "test") if split == "all" else (split,)
        wanted = [file for part in parts for file in _IDX_NAMES[part]]
        places = _folders(folder, data_set, span)
        for place in places:
            found = [next((p for p in (place / file, place / f"{file}.gz") if p.is_file()), None) for file in wanted]
            if all(path is not None for path in found):
                arrays = [read_idx(path, span) for path in found if path is not None]
                return {
                    "image": np.concatenate([_images(array) for array in arrays[::2]]),
                    "label": np.concatenate([array.astype(np.int64) for array in arrays[1::2]]),
                }
        raise error(
            "E626",
            f"the files of {name} were not found",
            span,
            "no data",
            help=(
                f"put {', '.join(f'{file}.gz' for file in wanted)} into {places[0] if folder else f'data/{data_set}'}, or name a folder: "
                f'`{name}(folder = "…")`',
                hint,
            ),
        )

    return loader


def npz(span: Span | None, file: str) -> Columns:
    """Every array of an .npz file by its name."""
    collector = Collector()
    found = read_arrays(locate(file, span), span, collector, "E630")
    if found is None:
        raise SnnError(*collector.diagnostics)
    return dict(found)


def csv(span: Span | None, file: str, label: str | None) -> Columns:
    """``values`` [rows, features] and perhaps ``label`` of a table with a header (words become their rank when sorted)."""
    path = locate(file, span)
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [row for row in tables.reader(stream) if row]
    except FileNotFoundError:
        raise error("E626", f"there is no file {path}", span, "not found", help="check the name; paths are relative to this file") from None
    except (OSError, UnicodeDecodeError, tables.Error) as problem:
        raise error("E630", f"{path} cannot be read: {problem}", span, help="give a text file with commas between the columns") from None
    header = [cell.strip() for cell in rows[0]] if rows else []
    if len(rows) < 2:
        raise error("E630", f"{path} has no rows", span, help="give a header and at least one row")
    if label is not None and label not in header:
        raise error("E630", f"{path} has no column '{label}'", span, help=help_for(label, header) or (f"it has {listing(header)}",))
    features = [i for i, name in enumerate(header) if name != label]
    values = np.empty((len(rows) - 1, len(features)))
    for number, row in enumerate(rows[1:]):
        if len(row) != len(header):
            raise error(
                "E630", f"line {number + 2} of {path} has {len(row)} cells, and the header has {len(header)}", span, help="correct the file"
            )
        for k, i in enumerate(features):
            try:
                values[number, k] = float(row[i])
            except ValueError:
                raise error(
                    "E630",
                    f"line {number + 2} of {path}: `{row[i].strip()}` in the column {header[i]} is not a number",
                    span,
                    help='correct the file, or name the column of labels: `label = "…"`',
                ) from None
    columns: Columns = {"values": values}
    if label is not None:
        words = [row[header.index(label)].strip() for row in rows[1:]]
        try:
            columns["label"] = np.array([float(word) for word in words])
        except ValueError:
            order = {word: rank for rank, word in enumerate(sorted(set(words)))}
            columns["label"] = np.array([order[word] for word in words], dtype=np.int64)
    return columns


def grey(picture: NDArray[Any]) -> NDArray[np.float64]:
    """Grey values 0 to 1 of an image [rows, columns(, channels)] (ITU-R BT.601 luma)."""
    values = picture.astype(np.float64) / (255.0 if picture.dtype == np.uint8 else 1.0)
    return np.asarray(values[..., :3] @ np.array([0.299, 0.587, 0.114])) if values.ndim == 3 else values


def resize(image: NDArray[np.float64], rows: int | None, columns: int | None) -> NDArray[np.float64]:
    """Averages over equal areas, so that nothing is lost between pixels; a missing side keeps the proportions."""
    height, width = image.shape
    if rows is None and columns is None:
        return image
    rows = rows or max(1, round(height * (columns or width) / width))
    columns = columns or max(1, round(width * rows / height))
    return _area(height, rows) @ image @ _area(width, columns).T


def _area(length: int, wanted: int) -> NDArray[np.float64]:
    """[wanted, length]: each row averages the stretch of the old axis that its new cell covers."""
    edges = np.arange(wanted + 1) * (length / wanted)
    cells = np.arange(length)
    overlap = np.minimum(edges[1:, None], cells[None] + 1.0) - np.maximum(edges[:-1, None], cells[None])
    return np.asarray(np.maximum(overlap, 0.0) / (length / wanted))


def photograph(span: Span | None, name: str, rows: int | None, columns: int | None) -> Columns:
    """One of the photographs inside scikit-learn (china.jpg, flower.jpg): ``image`` [1, rows, columns]."""
    try:
        from sklearn.datasets import load_sample_image

        picture = np.asarray(load_sample_image(f"{name}.jpg"))
    except ImportError as problem:
        raise _missing("pillow" if "illow" in str(problem) or "PIL" in str(problem) else "scikit-learn", "photograph()", span) from None
    return {"image": resize(grey(picture), rows, columns)[None]}


def picture(span: Span | None, file: str, rows: int | None, columns: int | None) -> Columns:
    """A picture file: ``image`` [1, rows, columns]."""
    path = locate(file, span)
    if not path.is_file():
        raise error("E626", f"there is no file {path}", span, "not found", help="check the name; paths are relative to this file")
    try:
        from matplotlib.image import imread
    except ImportError:
        raise _missing("matplotlib", "picture()", span) from None
    try:
        found = np.asarray(imread(path))
    except ImportError:
        raise _missing("pillow", "picture()", span) from None
    except Exception as problem:  # every image library has its own
        raise error("E630", f"{path} cannot be read as a picture: {problem}", span, help="give a PNG or JPEG file") from None
    return {"image": resize(grey(found), rows, columns)[None]}


_LOADERS: dict[str, Callable[..., Columns]] = {
    "digits": digits,
    "mnist": _idx_set("mnist", "mnist", "the files are published at yann.lecun.com and by many mirrors"),
    "fashion_mnist": _idx_set("fashion_mnist", "fashion-mnist", "on Debian and Ubuntu: apt install dataset-fashion-mnist"),
    "idx": idx,
    "npz": npz,
    "csv": csv,
    "photograph": photograph,
    "picture": picture,
}
