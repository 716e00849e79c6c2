"""IDX files (LeCun's format), packed with gzip or not, and the data sets that come in them: MNIST and Fashion-MNIST.

Bytes stay bytes and stand for 0 to 1. Refused are files that are no IDX, cut off, or whose images and labels differ in number.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.data.columns import AnyColumn, Columns, Scaled, join, not_found, unreadable
from snnlang.data.fetch import find
from snnlang.diagnostics import Span, error
from snnlang.model.values import locate

_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path, span: Span | None = None) -> NDArray[Any]:
    """The array of an IDX file; raises E626 or E630."""
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except FileNotFoundError:
        raise not_found(path, span) from None
    except (OSError, EOFError, zlib.error) as problem:
        raise unreadable(path, f"cannot be read: {problem}", span) from None
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _TYPES or len(raw) < 4 + 4 * raw[3]:
        raise unreadable(path, "is no IDX file", span, "give a file such as train-images-idx3-ubyte.gz")
    shape = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
    kind = np.dtype(_TYPES[raw[2]])
    body = raw[4 + 4 * raw[3] :]
    wanted = kind.itemsize
    for length in shape:
        wanted *= length
    if len(body) != wanted:
        raise unreadable(path, f"is cut off: its header promises the shape {list(shape)}", span)
    return np.frombuffer(body, kind).reshape(shape).astype(kind.newbyteorder("="), copy=False)


def _pair(images: Path, labels: Path | None, span: Span | None) -> Columns:
    array = read_idx(images, span)
    column: AnyColumn = Scaled(array) if array.dtype == np.uint8 else array.astype(np.float64)
    if labels is None:
        return {"image": column}
    numbers = read_idx(labels, span).astype(np.int64)
    if len(numbers) != len(array):
        raise error(
            "E627",
            f"{images.name} holds {len(array)} images, and {labels.name} {len(numbers)} labels",
            span,
            help="give the two files of one data set",
        )
    return {"image": column, "label": numbers}


def idx(span: Span | None, images: str, labels: str | None) -> Columns:
    """``image`` and perhaps ``label`` from two IDX files."""
    return _pair(locate(images, span), None if labels is None else locate(labels, span), span)


def mnist(span: Span | None, split: str, folder: str | None) -> Columns:
    """Handwritten digits: ``image`` [samples, 28, 28], ``label``."""
    return _published(
        "mnist", "mnist", "the files are published at yann.lecun.com and by many mirrors", span, split, folder
    )


def fashion_mnist(span: Span | None, split: str, folder: str | None) -> Columns:
    """Clothing (Xiao et al. 2017): ``image`` [samples, 28, 28], ``label``."""
    hint = "on Debian and Ubuntu: apt install dataset-fashion-mnist"
    return _published("fashion_mnist", "fashion-mnist", hint, span, split, folder)


def _published(name: str, data_set: str, hint: str, span: Span | None, split: str, folder: str | None) -> Columns:
    parts = ("train", "test") if split == "all" else (split,)
    wanted = {file: f"{file}.gz" for part in parts for file in _NAMES[part]}
    paths = find(name, data_set, wanted, folder, (hint,), span)
    return join([_pair(images, labels, span) for images, labels in zip(paths[::2], paths[1::2])])
