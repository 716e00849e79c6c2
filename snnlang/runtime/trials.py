"""One presented sample as Python sees it, and the table of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import error
from snnlang.model.suggest import help_for, listing, nearest
from snnlang.runtime.recording import Trials
from snnlang.runtime.stepper import Seen


@dataclass(slots=True)
class Trial:
    """A sample that has just been shown: the place to read activity and to give feedback before the trial's end.

    ``index`` counts all trials, ``phase`` and ``epoch`` from 0; ``sample`` is the row of the data; ``start`` in ms. Columns of the data
    that are no input are attributes (``trial.label``). Times of events count from the trial's start.
    """

    index: int
    phase: int
    epoch: int
    sample: int
    start: float
    labels: dict[str, Any]
    _seen: Seen = field(repr=False)
    _sizes: dict[str, int] = field(repr=False)
    _input: Callable[[], Any] = field(repr=False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self.labels:
            return self.labels[name]
        known = [*self.labels, "index", "phase", "epoch", "sample", "start", "counts", "spikes", "input"]
        near = nearest(name, known)
        raise AttributeError(
            f"a trial has no '{name}'" + (f"; did you mean '{near}'?" if near else f"; it has {', '.join(known)}")
        )

    @property
    def input(self) -> Any:
        """What was shown: the sample of the one network input, or a dictionary by input."""
        return self._input()

    def spikes(self, population: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Times in ms from the trial's start, and neuron numbers, of a population's spikes (or of events: ``E.peak``)."""
        label = self._label(population)
        times, indices = self._seen.array(f"{label}.times"), self._seen.array(f"{label}.indices")
        if times is None or indices is None:
            return np.zeros(0), np.zeros(0, np.int64)
        return times - self.start, indices

    def counts(self, population: str) -> NDArray[np.int64]:
        """Number of spikes of every neuron: (population size,)."""
        return np.bincount(self.spikes(population)[1], minlength=self._sizes[self._label(population)]).astype(np.int64)

    def first_spikes(self, population: str) -> NDArray[np.float64]:
        """Time in ms of every neuron's first spike, inf for none: (population size,)."""
        times, indices = self.spikes(population)
        found = np.full(self._sizes[self._label(population)], np.inf)
        np.minimum.at(found, indices, times)
        return found

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A recorded variable during the trial: (times, items)."""
        found = self._seen.array(name)
        if found is None:
            raise error("E820", f"`{name}` was not recorded in this trial", help=f"add the line 'record {name}'")
        return found

    def _label(self, population: str) -> str:
        for label in (population, f"{population}.spikes"):
            if label in self._sizes:
                return label
        names = [name.removesuffix(".spikes") for name in self._sizes]
        raise error(
            "E820",
            f"no events of `{population}` are there",
            help=help_for(population, names) or (f"there is {listing(names)}",),
        )


@dataclass(slots=True)
class TrialTable:
    """Rows of trials as they end."""

    rows: list[tuple[float, float, float, int, int, int, dict[str, Any]]] = field(default_factory=list)

    def table(self) -> Trials | None:
        """The columns; a label that some phase lacks is NaN, -1 or empty there."""
        if not self.rows:
            return None
        columns = list(zip(*self.rows))
        start, rest, stop = (np.asarray(column, dtype=np.float64) for column in columns[:3])
        phase, epoch, sample = (np.asarray(column, dtype=np.int64) for column in columns[3:6])
        names = list(dict.fromkeys(name for labels in columns[6] for name in labels))
        labels = {name: _column([row.get(name) for row in columns[6]]) for name in names}
        return Trials(start, rest, stop, phase, epoch, sample, labels)


def _column(values: list[Any]) -> NDArray[Any]:
    given = np.asarray([value for value in values if value is not None])
    if len(given) == len(values):
        return given
    missing: Any = {"f": np.nan, "U": "", "b": False}.get(given.dtype.kind, -1)
    filled = np.zeros((len(values), *given.shape[1:]), dtype=given.dtype)
    filled[...] = missing
    filled[[number for number, value in enumerate(values) if value is not None]] = given
    return filled
