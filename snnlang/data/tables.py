"""Arrays and tables from files: ``.npz``, ``.csv``, and the digits that ship with scikit-learn."""

from __future__ import annotations

import csv as tables
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnlang.data.columns import Columns, every_fifth, missing, not_found, unreadable
from snnlang.diagnostics import Collector, SnnError, Span
from snnlang.model.suggest import help_for, listing
from snnlang.model.values import locate, read_arrays


def digits(span: Span | None, split: str) -> Columns:
    """scikit-learn's optical digits: ``image`` [trials, 8, 8] from 0 to 1, ``label``."""
    table = _digits_table()
    if table is None:
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise missing("scikit-learn", "digits()", span, None) from None
        bunch = load_digits()
        table = np.column_stack([bunch.data, bunch.target])
    columns: Columns = {
        "image": table[:, :64].reshape(-1, 8, 8) / 16.0,
        "label": table[:, 64].astype(np.int64),
    }
    return every_fifth(columns, split)


def _digits_table() -> NDArray[np.float64] | None:
    """Rows of 64 pixels and a label from scikit-learn's own file: importing it takes seconds. None where it is not as expected."""
    import gzip
    from importlib.util import find_spec

    found = find_spec("sklearn")
    for place in (found.submodule_search_locations or []) if found is not None else []:
        try:
            text = gzip.decompress((Path(place) / "datasets" / "data" / "digits.csv.gz").read_bytes()).decode()
            numbers = np.array(text.replace("\n", ",").strip(",").split(","), np.float64)
        except (OSError, EOFError, ValueError):
            continue
        if numbers.size % 65 == 0 and numbers.size:
            return numbers.reshape(-1, 65)
    return None


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
    rows = _rows(path, span)
    header = [cell.strip() for cell in rows[0]] if rows else []
    if len(rows) < 2:
        raise unreadable(path, "has no rows", span, "give a header and at least one row")
    if label is not None and label not in header:
        raise unreadable(
            path, f"has no column '{label}'", span, help_for(label, header) or (f"it has {listing(header)}",)
        )
    features = [i for i, name in enumerate(header) if name != label]
    values = np.empty((len(rows) - 1, len(features)))
    for number, row in enumerate(rows[1:]):
        if len(row) != len(header):
            wrong = f"line {number + 2} of {path}"
            raise unreadable(wrong, f"has {len(row)} cells, and the header has {len(header)}", span, "correct the file")
        for k, i in enumerate(features):
            try:
                values[number, k] = float(row[i])
            except ValueError:
                raise unreadable(
                    f"line {number + 2} of {path}:",
                    f"`{row[i].strip()}` in the column {header[i]} is not a number",
                    span,
                    'correct the file, or name the column of labels: `label = "…"`',
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


def _rows(path: Path, span: Span | None) -> list[list[str]]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return [row for row in tables.reader(stream) if row]
    except FileNotFoundError:
        raise not_found(path, span) from None
    except (OSError, UnicodeDecodeError, tables.Error) as problem:
        raise unreadable(
            path, f"cannot be read: {problem}", span, "give a text file with commas between the columns"
        ) from None
