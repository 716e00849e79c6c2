"""Columns of a data set: rows of equal shape by name, as plain arrays or made only when they are asked for.

A loader gives ``Columns``: what the network sees first, then labels. A column is a NumPy array, or a :class:`Column` where all rows at
once would be too much memory or work: pixels kept as bytes, events kept in their files. Splits and limits choose rows; nothing is copied.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import SnnError, Span, error

Rows = NDArray[np.int64]


class Column(ABC):
    """Rows 0 to ``len - 1`` of one shape, made on demand."""

    __slots__ = ()

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The number of rows, then the shape of one."""

    @abstractmethod
    def gather(self, rows: Rows) -> NDArray[np.float32]:
        """The rows named, [len(rows), *shape of one], contiguous."""

    @property
    def slow(self) -> bool:
        """Whether rows take so long to make that they are better made ahead."""
        return True

    @property
    def has_events(self) -> bool:
        """Whether rows are made from events, which :meth:`altered` can change."""
        return False

    def altered(self, change: Any) -> Column:
        """The same column of changed events; ``change(events, row)`` gives them. Without events: the column itself."""
        return self

    def row(self, row: int) -> NDArray[Any]:
        """One row, of 0 to ``len - 1``."""
        return np.asarray(self.gather(np.array([row]))[0], dtype=np.float64)

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """One row by its number, or several by a slice, a list of numbers or a mask, made now: [rows, *shape of one]."""
        count = len(self)
        if isinstance(rows, int | np.integer) and not isinstance(rows, bool):
            if not -count <= rows < count:
                raise IndexError(f"row {rows} of {count}")
            return self.row(int(rows) % count)
        if isinstance(rows, tuple):
            raise TypeError("a column is indexed by its rows alone; numpy.asarray(column) makes an array of it")
        chosen = np.arange(count)[rows]
        return np.stack([self.row(int(row)) for row in chosen]) if len(chosen) else np.empty((0, *self.shape[1:]))

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self.row(row) for row in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Every row at once, for small data and for looking at it."""
        made = np.stack([self.row(row) for row in range(len(self))]) if len(self) else np.empty(self.shape)
        return made if dtype is None else made.astype(dtype, copy=False)


AnyColumn = NDArray[Any] | Column
Columns = dict[str, AnyColumn]


class Scaled(Column):
    """Bytes that stand for 0 to 1: an eighth of the memory of double precision, and the same values."""

    __slots__ = ("values",)

    _double = np.arange(256) / 255.0

    def __init__(self, values: NDArray[np.uint8]) -> None:
        self.values = values

    @property
    def slow(self) -> bool:
        return False

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def gather(self, rows: Rows) -> NDArray[np.float32]:
        return np.divide(
            self.values[rows], np.float32(255), dtype=np.float32
        )  # each as near as single precision can be

    def row(self, row: int) -> NDArray[np.float64]:
        return np.asarray(self._double[self.values[row]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        made = self._double[self.values]
        return made if dtype is None else made.astype(dtype, copy=False)


class Part(Column):
    """Some rows of another column, in an order of their own."""

    __slots__ = ("rows", "whole")

    def __init__(self, whole: Column, rows: Rows) -> None:
        self.whole, self.rows = whole, rows

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.whole.shape[1:])

    def gather(self, rows: Rows) -> NDArray[np.float32]:
        return self.whole.gather(self.rows[rows])

    def row(self, row: int) -> NDArray[Any]:
        return self.whole.row(int(self.rows[row]))

    @property
    def slow(self) -> bool:
        return self.whole.slow

    @property
    def has_events(self) -> bool:
        return self.whole.has_events

    def altered(self, change: Any) -> Column:
        return Part(self.whole.altered(change), self.rows)


class Shaped(Column):
    """Rows of another column in another shape."""

    __slots__ = ("one", "whole")

    def __init__(self, whole: Column, one: tuple[int, ...]) -> None:
        self.whole, self.one = whole, one

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.whole), *self.one)

    def gather(self, rows: Rows) -> NDArray[np.float32]:
        return self.whole.gather(rows).reshape((len(rows), *self.one))

    def row(self, row: int) -> NDArray[Any]:
        return self.whole.row(row).reshape(self.one)

    @property
    def slow(self) -> bool:
        return self.whole.slow

    @property
    def has_events(self) -> bool:
        return self.whole.has_events

    def altered(self, change: Any) -> Column:
        return Shaped(self.whole.altered(change), self.one)


class Joined(Column):
    """Columns of one shape, one after the other."""

    __slots__ = ("parts", "starts")

    def __init__(self, parts: Sequence[Column]) -> None:
        self.parts = list(parts)
        self.starts = np.cumsum([0, *(len(part) for part in parts)])

    @property
    def shape(self) -> tuple[int, ...]:
        return (int(self.starts[-1]), *self.parts[0].shape[1:])

    def gather(self, rows: Rows) -> NDArray[np.float32]:
        made = np.empty((len(rows), *self.shape[1:]), dtype=np.float32)
        for part, start in zip(self.parts, self.starts[:-1], strict=True):
            inside = np.flatnonzero((rows >= start) & (rows < start + len(part)))
            if len(inside):
                made[inside] = part.gather(rows[inside] - start)
        return made

    def row(self, row: int) -> NDArray[Any]:
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.parts[number].row(row - int(self.starts[number]))

    @property
    def slow(self) -> bool:
        return any(part.slow for part in self.parts)

    @property
    def has_events(self) -> bool:
        return all(part.has_events for part in self.parts)

    def altered(self, change: Any) -> Column:
        return Joined(
            [
                part.altered(lambda events, row, start=int(start): change(events, start + row))
                for part, start in zip(self.parts, self.starts[:-1], strict=True)
            ]
        )


def part(column: AnyColumn, rows: Rows) -> AnyColumn:
    """Some rows of any column."""
    if isinstance(column, Part):
        return Part(column.whole, column.rows[rows])
    return Part(column, rows) if isinstance(column, Column) else column[rows]


def gather(column: AnyColumn, rows: Rows) -> NDArray[np.float32]:
    """Some rows of any column, [len(rows), *shape of one] float32."""
    return column.gather(rows) if isinstance(column, Column) else column[rows].astype(np.float32, copy=False)


def choose(columns: Mapping[str, AnyColumn], rows: Rows) -> Columns:
    """The same rows of every column."""
    return {name: part(column, rows) for name, column in columns.items()}


def join(pieces: Sequence[Mapping[str, AnyColumn]]) -> Columns:
    """Data sets of the same columns, one after the other."""
    joined: Columns = {}
    for name in pieces[0]:
        members = [piece[name] for piece in pieces]
        lazy = [member for member in members if isinstance(member, Column)]
        joined[name] = (
            Joined(lazy) if len(lazy) == len(members) else np.concatenate([np.asarray(member) for member in members])
        )
    return joined


def limited(columns: Columns, limit: int | None) -> Columns:
    """The first rows."""
    if limit is None:
        return columns
    return {name: part(column, np.arange(min(limit, len(column)))) for name, column in columns.items()}


def every_fifth(columns: Columns, split: str) -> Columns:
    """A data set without a test part of its own: every fifth sample is one, by position."""
    if split == "all":
        return columns
    place = np.arange(len(next(iter(columns.values()))))
    return choose(columns, np.flatnonzero(place % 5 == 4 if split == "test" else place % 5 != 4))


def unreadable(
    path: object, why: str, span: Span | None, help: str | tuple[str, ...] = "fetch the file again"
) -> SnnError:
    """E630: the file is there and is not what was asked for."""
    return error("E630", f"{path} {why}", span, help=help)


def not_found(path: object, span: Span | None) -> SnnError:
    """E626: a file that was named is not there."""
    return error(
        "E626", f"there is no file {path}", span, "not found", help="check the name; paths are relative to this file"
    )


def missing(package: str, what: str, span: Span | None, extra: str | None = "data") -> SnnError:
    """E625: a package that this loader reads with is not installed."""
    wanted = f"snnlang[{extra}]" if extra else package
    return error(
        "E625",
        f"{what} needs the package {package}, which is not installed",
        span,
        help=f"install it: pip install {wanted}",
    )
