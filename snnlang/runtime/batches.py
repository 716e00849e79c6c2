"""Batches of samples for training: streamed, shuffled by a seed, changed at random if asked for, the last one as long as what is left.

The order of an epoch is a function of the seed and the epoch's number, the same on every machine; with ``first_batch`` an epoch goes on
where it stopped. What is not in memory, such as events in files, is read one batch ahead by a second thread. Refused are columns of
different length, no samples at all, labels that are no class, and values that are not finite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.random import bases, key_of, words
from snnlang.data.augment import Augmentation, Draws, EventAugmentation, collect
from snnlang.data.columns import AnyColumn, Column, Columns, choose, gather, join
from snnlang.data.events import Events
from snnlang.diagnostics import SnnError, Span, error
from snnlang.model.suggest import help_for, listing

Batch = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[Any]]

#: More classes than this are a mistake: labels that are no classes.
MOST_CLASSES = 1_000_000


class Batches:
    """A data set as batches.

    ``source`` is Columns (first the samples, then the labels, unless ``x`` and ``y`` name them), or a pair of arrays. Labels that are
    whole numbers are classes from 0, int64; anything else is a target, float32. ``classes`` is how many the network can tell; None: as
    many as there are.
    """

    __slots__ = (
        *("_ahead", "_early", "_late", "_order", "_place", "_x", "_y"),
        *("batch", "classes", "columns", "seed", "shape", "shuffle", "span"),
    )

    def __init__(
        self,
        source: Columns | tuple[Any, Any],
        batch: int = 128,
        seed: int = 0,
        shuffle: bool = True,
        augment: object = (),
        *,
        classes: int | None = None,
        x: str | None = None,
        y: str | None = None,
        span: Span | None = None,
    ) -> None:
        self.span, self.seed, self.shuffle = span, seed, shuffle
        if isinstance(batch, bool) or not isinstance(batch, int | np.integer) or batch < 1:
            raise error(
                "E632", f"a batch has at least one sample, and this is {batch!r}", span, help="write `batch = 128`"
            )
        self.batch = int(batch)
        self.columns = _columns(source, span)
        first, second = _names(self.columns, x, y, span)
        samples = self.columns[first]
        self._x, self._ahead = samples, isinstance(samples, Column) and samples.slow
        if isinstance(samples, np.ndarray):
            _finite(samples, span)
        self._y, self.classes = labels(self.columns[second], second, classes, span)
        self._early: list[EventAugmentation]
        self._late: list[Augmentation]
        self._early, self._late = collect(augment, lambda: np.asarray(self._x[0], dtype=np.float32), span)
        if self._early and not (isinstance(samples, Column) and samples.has_events):
            raise error(
                "E632", "this data has no events, so none can be changed", span, help="leave out `jitter` and `drop`"
            )
        shape = tuple(int(length) for length in samples.shape[1:])
        try:
            for one in self._late:
                shape = one.shape(shape)
        except SnnError as problem:  # an augmentation does not know where it was written
            raise SnnError(*(replace(d, span=d.span or span) for d in problem.diagnostics)) from None
        #: Of one sample, after augmentation.
        self.shape: tuple[int, ...] = shape
        self._order: tuple[int, NDArray[np.int64]] | None = None

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self._y)

    @property
    def y(self) -> NDArray[Any]:
        """All labels in the order of the data."""
        return self._y

    def __len__(self) -> int:
        """Batches in an epoch; the last may be shorter."""
        return -(-self.samples // self.batch)

    def order(self, number: int) -> NDArray[np.int64]:
        """The samples of an epoch in their order."""
        if not self.shuffle:
            return np.arange(self.samples)
        if self._order is None or self._order[0] != number:
            draws = words(bases(key_of(self.seed, "batches", "order"), self.samples), number)
            self._order = number, np.argsort(draws, kind="stable")
        return self._order[1]

    def epoch(self, number: int, first_batch: int = 0) -> Iterator[Batch]:
        """(samples, x, y) of every batch from ``first_batch``: which rows of the data, x [B, …] float32 contiguous, y [B] or [B, …]."""
        order = self.order(number)
        pieces = [
            order[start : start + self.batch] for start in range(first_batch * self.batch, len(order), self.batch)
        ]
        column = self._of_epoch(number)
        if not self._ahead or len(pieces) < 2:
            for rows in pieces:
                yield rows, self._made(column, rows, number), self._y[rows]
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as reader:
            following = reader.submit(self._made, column, pieces[0], number)
            for place, rows in enumerate(pieces):
                x = following.result()
                if place + 1 < len(pieces):
                    following = reader.submit(self._made, column, pieces[place + 1], number)
                yield rows, x, self._y[rows]

    def _of_epoch(self, number: int) -> AnyColumn:
        """The samples with what this epoch does to events."""
        if not self._early or not isinstance(self._x, Column):
            return self._x

        def change(events: Events, row: int) -> Events:
            for place, one in enumerate(self._early):
                events = one.apply(events, row, Draws(self.seed, number, -1 - place))
            return events

        return self._x.altered(change)

    def _made(self, column: AnyColumn, rows: NDArray[np.int64], number: int) -> NDArray[np.float32]:
        x = gather(column, rows)
        if isinstance(column, Column) and not np.isfinite(x).all():  # arrays were looked at before
            row = rows[int(np.argwhere(~np.isfinite(x))[0][0])]
            raise error(
                "E628",
                f"sample {row} holds a value that is not finite",
                self.span,
                help="remove or replace NaN and infinity",
            )
        for place, one in enumerate(self._late):
            x = one.apply(x, rows, Draws(self.seed, number, place))
        return np.ascontiguousarray(x, dtype=np.float32)


def divide(
    source: Columns | tuple[Any, Any],
    validate: float,
    seed: int = 0,
    *,
    stratified: bool = True,
    y: str | None = None,
    span: Span | None = None,
) -> tuple[Columns, Columns]:
    """(training, validation): a share ``validate`` of the samples, chosen by the seed, is kept from training.

    ``stratified`` takes that share of every class, told by the column ``y`` (the second one unless named), where classes are large enough
    for it. Both parts keep the order of the data.
    """
    columns = _columns(source, span)
    count = len(next(iter(columns.values())))
    if not 0 < validate < 1:
        raise error(
            "E632",
            f"the share kept for validation lies between 0 and 1, and this is {validate:g}",
            span,
            help="write `validate = 0.1`",
        )
    draws = words(bases(key_of(seed, "batches", "validation"), count), 0)
    chosen = np.zeros(count, dtype=bool)
    name = _names(columns, None, y, span)[1]
    found, number = labels(columns[name], name, None, span)
    groups = [np.flatnonzero(found == k) for k in range(number)] if stratified and number else [np.arange(count)]
    for group in groups:
        chosen[group[np.argsort(draws[group], kind="stable")][: round(validate * len(group))]] = True
    if chosen.all() or not chosen.any():  # classes of so few samples that their shares are none, or all
        chosen[:] = False
        chosen[np.argsort(draws, kind="stable")[: round(validate * count)]] = True
    if chosen.all() or not chosen.any():
        raise error(
            "E632",
            f"{validate:g} of {count} samples leaves {'nothing to train with' if chosen.all() else 'none for validation'}",
            span,
            help="choose another share, or give more data",
        )
    return choose(columns, np.flatnonzero(~chosen)), choose(columns, np.flatnonzero(chosen))


def labels(y: AnyColumn, name: str, classes: int | None, span: Span | None) -> tuple[NDArray[Any], int]:
    """Classes as int64 and how many there are, or targets as float32 and 0; E631 for labels that are no class."""
    values = np.asarray(y)
    if values.dtype.kind not in "biuf":
        raise error(
            "E631",
            f"the labels `{name}` are {values.dtype}, not numbers",
            span,
            help="number the classes from 0, for example with numpy.unique",
        )
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0][0])
            raise error("E631", f"the label of sample {row} is not finite", span, help="remove the sample")
        if values.ndim != 1 or (values != np.floor(values)).any() or (values < 0).any():
            return values.astype(np.float32), 0
    elif values.ndim != 1:
        return values.astype(np.float32), 0
    numbers = values.astype(np.int64)
    wrong = np.flatnonzero((numbers < 0) | (numbers >= (MOST_CLASSES if classes is None else classes)))
    if len(wrong):
        raise error(
            "E631",
            f"the label of sample {wrong[0]} is {numbers[wrong[0]]}, and classes are 0 to {(classes or MOST_CLASSES) - 1}",
            span,
            f"{len(wrong)} of {len(numbers)} labels are no class",
            help="number the classes from 0"
            if classes is None or numbers[wrong[0]] < 0
            else "give the network as many outputs as classes",
        )
    return numbers, int(numbers.max()) + 1 if classes is None else classes


def _names(columns: Columns, x: str | None, y: str | None, span: Span | None) -> tuple[str, str]:
    """The columns of samples and of labels; E629 for a name that is not there."""
    for name in (x, y):
        if name is not None and name not in columns:
            raise error(
                "E629",
                f"the data has no column `{name}`",
                span,
                help=help_for(name, columns) or (f"it has {listing(columns)}",),
            )
    first = x or next(name for name in columns if name != y)
    return first, y or next(name for name in columns if name != first)


def _columns(source: Columns | tuple[Any, Any], span: Span | None) -> Columns:
    """The columns of a source, at least two and equally long."""
    columns: Columns
    if isinstance(source, Mapping):
        columns = {
            name: column if isinstance(column, Column) else np.asarray(column) for name, column in source.items()
        }
    elif isinstance(source, tuple) and len(source) == 2:
        columns = {
            name: part if isinstance(part, Column) else np.asarray(part)
            for name, part in zip(("x", "y"), source, strict=True)
        }
    else:
        raise error(
            "E629",
            f"{type(source).__name__} is no data to train with",
            span,
            help="give a loader, or a pair of arrays (x, y)",
        )
    if len(columns) < 2:
        raise error(
            "E631",
            "the data has no labels",
            span,
            help="training needs a column of labels or targets beside the samples",
        )
    short = next((name for name, column in columns.items() if len(column.shape) == 0), None)
    if short is not None:
        raise error("E627", f"`{short}` is a single number, not a column", span, help="give one row for each sample")
    counts = {name: column.shape[0] for name, column in columns.items()}
    if len(set(counts.values())) != 1:
        raise error(
            "E627",
            "the columns of the data differ in length: "
            + ", ".join(f"{name} has {count}" for name, count in counts.items()),
            span,
            help="give every column one row for each sample",
        )
    if 0 in counts.values():
        raise error("E627", "the data has no samples", span, "empty", help="give at least one row")
    return columns


def _finite(x: NDArray[Any], span: Span | None) -> None:
    if x.dtype.kind not in "biuf":
        raise error("E628", f"the samples are {x.dtype}, not numbers", span, help="give numbers")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        row = int(np.argwhere(~np.isfinite(x))[0][0])
        raise error(
            "E628", f"sample {row} holds a value that is not finite", span, help="remove or replace NaN and infinity"
        )


__all__ = ["Batch", "Batches", "divide", "gather", "join", "labels"]
