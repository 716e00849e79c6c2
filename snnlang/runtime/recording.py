"""What a simulation leaves behind: events, values, trials, and how it was made, as NumPy arrays by name.

A recording knows nothing of the program that made it: it can be saved, loaded years later and read without the model.
It refuses names that were not recorded, with the nearest name that was.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import Diagnostic, SnnError, error
from snnlang.frozen import dataclass, field
from snnlang.model.network import PlotItem
from snnlang.model.suggest import help_for, listing

if TYPE_CHECKING:
    from snnlang.runtime.summary import Summary


@dataclass(frozen=True, slots=True)
class Events:
    """Events of one population in order of time, then index.

    ``times`` (k,) float64 in ms (steps in a network without a time scale), ``indices`` (k,) flat neuron numbers; ``shape`` is that of the
    population.
    ``selected`` are the neurons that were watched (None: all).
    """

    label: str
    owner: str
    event: str
    shape: tuple[int, ...]
    times: NDArray[np.float64] = field(compare=False, repr=False)
    indices: NDArray[np.int64] = field(compare=False, repr=False)
    selected: NDArray[np.int64] | None = field(default=None, compare=False, repr=False)

    @property
    def size(self) -> int:
        """Number of neurons of the population."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def watched(self) -> int:
        """Number of neurons that were recorded."""
        return self.size if self.selected is None else len(self.selected)


@dataclass(frozen=True, slots=True)
class Values:
    """A variable over time.

    ``values`` (times, items), ``times`` (times,) in ms, ``indices`` the recorded items (None: all). ``kind`` is ``state`` (items are
    neurons), ``synapse`` or ``input``. ``shape`` is the population's or input's shape, of a dense projection (pre, post), of a sparse one
    (pre size, post size) with ``pre``/``post`` the ends of every recorded synapse.
    """

    label: str
    owner: str
    variable: str
    unit: str
    kind: str
    shape: tuple[int, ...]
    times: NDArray[np.float64] = field(compare=False, repr=False)
    values: NDArray[Any] = field(compare=False, repr=False)
    indices: NDArray[np.int64] | None = field(default=None, compare=False, repr=False)
    pre: NDArray[np.int64] | None = field(default=None, compare=False, repr=False)
    post: NDArray[np.int64] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Trials:
    """One row per presented sample. ``start``/``rest``/``stop`` in ms: the sample is shown from start to rest, the trial ends at stop.

    ``phase`` and ``epoch`` count from 0, ``sample`` is the row of the data; ``labels`` holds the columns that are no network input.
    """

    start: NDArray[np.float64] = field(compare=False, repr=False)
    rest: NDArray[np.float64] = field(compare=False, repr=False)
    stop: NDArray[np.float64] = field(compare=False, repr=False)
    phase: NDArray[np.int64] = field(compare=False, repr=False)
    epoch: NDArray[np.int64] = field(compare=False, repr=False)
    sample: NDArray[np.int64] = field(compare=False, repr=False)
    labels: dict[str, NDArray[Any]] = field(default_factory=dict, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True, slots=True)
class Made:
    """How a recording was made.

    ``dt``, ``duration`` and ``stopped_at`` in ms; ``stopped_at`` is the time at which Ctrl-C ended the run (None: it ran to its end).
    ``time_offset`` 1: step n ends at (n + 1)*dt. ``time_unit`` is ``ms``, or ``steps`` in a network without a time scale.
    ``seconds`` is the wall time of the simulation loop, ``preparing`` that of compiling and building before it.
    ``model_hash`` is the SHA-256 of the model's text.
    """

    experiment: str
    network: str
    dt: float
    steps: int
    duration: float
    seed: int
    precision: str
    target: str
    time_offset: int = 1
    time_unit: str = "ms"
    seconds: float = 0.0
    preparing: float = 0.0
    stopped_at: float | None = None
    model_hash: str = ""
    version: str = ""
    populations: dict[str, tuple[int, ...]] = field(default_factory=dict)
    synapses: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recording:
    """The result of a run, of one sweep point, or of a whole sweep (then ``sweep`` holds one recording per point).

    >>> recording["E.v"]            # values, (times, neurons)      # doctest: +SKIP
    >>> recording.times("E.v")      # their times in ms             # doctest: +SKIP
    >>> recording.spikes("E")       # times in ms, neuron numbers   # doctest: +SKIP
    """

    made: Made
    events_by_label: dict[str, Events] = field(default_factory=dict)
    values_by_label: dict[str, Values] = field(default_factory=dict)
    trials: Trials | None = None
    plots: tuple[PlotItem, ...] = ()
    point: dict[str, Any] = field(default_factory=dict)
    sweep: tuple[Recording, ...] = ()
    warnings: tuple[Diagnostic, ...] = field(default=(), compare=False)
    place: Path | None = field(default=None, compare=False)
    _keep: object = field(default=None, compare=False, repr=False)

    # --- names --------------------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """Everything recorded, by label."""
        return (*self.events_by_label, *self.values_by_label)

    def __contains__(self, name: str) -> bool:
        return name in self.events_by_label or name in self.values_by_label

    def __getitem__(self, name: str) -> Any:
        """Values (times, items) of a variable; of events the pair (times in ms, neuron numbers)."""
        if name in self.values_by_label:
            return self.values_by_label[name].values
        if name in self.events_by_label:
            return self.events(name)
        raise self._unknown(name, self.names)

    def series(self, name: str) -> Values:
        """A recorded variable with its times, unit and shape."""
        found = self.values_by_label.get(name)
        if found is None:
            raise self._unknown(name, self.values_by_label)
        return found

    def event_series(self, name: str) -> Events:
        """Recorded events by label (``E.spikes``) or by population (``E``: its spikes)."""
        for label in (name, f"{name}.spikes", f"{name}.spike"):
            if label in self.events_by_label:
                return self.events_by_label[label]
        for found in self.events_by_label.values():
            if found.owner == name and found.event == "spike":
                return found
        raise self._unknown(name, (*self.events_by_label, *(e.owner for e in self.events_by_label.values())))

    def _unknown(self, name: str, known: Iterable[str]) -> SnnError:
        names = list(dict.fromkeys(known))
        advice = help_for(str(name), names)
        if self.sweep and not self.names:
            advice = ("a sweep holds one recording per point: recording.sweep[0]",)
        elif not names:
            advice = ("nothing of the kind was recorded: add a line such as 'record E.spikes, E.v[0:3]'",)
        return error("E820", f"`{name}` was not recorded", help=advice or (f"recorded: {listing(names, 12)}",))

    # --- values -------------------------------------------------------------------------------------------------------

    def times(self, name: str) -> NDArray[np.float64]:
        """Times in ms of a variable's rows or of events."""
        if name in self.values_by_label:
            return self.values_by_label[name].times
        return self.event_series(name).times

    def grid(self, name: str) -> NDArray[Any]:
        """Values in the shape of their population or dense projection: (times, *shape). Needs every item recorded."""
        found = self.series(name)
        if found.indices is not None or int(np.prod(found.shape, dtype=np.int64)) != found.values.shape[1]:
            raise error(
                "E820",
                f"`{name}` was recorded in part, so it has no shape of its own",
                help=f"record the whole of it: record {name}",
            )
        return found.values.reshape(len(found.values), *found.shape)

    # --- events -------------------------------------------------------------------------------------------------------

    def events(self, name: str, trial: int | None = None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Times in ms and neuron numbers of events (of one trial, if asked: times then count from its start)."""
        found = self.event_series(name)
        if trial is None:
            return found.times, found.indices
        start, stop = self._bounds(trial)
        chosen = self._slice(found.times, start, stop)
        return found.times[chosen] - start, found.indices[chosen]

    def spikes(self, population: str, trial: int | None = None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Times in ms and neuron numbers of the spikes of a population."""
        return self.events(population, trial)

    def counts(self, population: str, trial: int | None = None) -> NDArray[np.int64]:
        """Number of events of every neuron: (population size,)."""
        found = self.event_series(population)
        return np.bincount(self.events(population, trial)[1], minlength=found.size).astype(np.int64)

    def trial_counts(self, population: str) -> NDArray[np.int64]:
        """Number of events of every neuron in every trial: (trials, population size)."""
        found, trials = self.event_series(population), self._trials()
        row = np.searchsorted(self._slack(trials.start), found.times, side="right") - 1
        inside = (row >= 0) & (found.times < self._slack(trials.stop)[row])
        flat = row[inside] * found.size + found.indices[inside]
        return np.bincount(flat, minlength=len(trials) * found.size).reshape(len(trials), found.size).astype(np.int64)

    # --- trials -------------------------------------------------------------------------------------------------------

    @property
    def labels(self) -> dict[str, NDArray[Any]]:
        """Columns of the presented data that are no input, one entry per trial."""
        return {} if self.trials is None else self.trials.labels

    @property
    def trial_bounds(self) -> NDArray[np.float64]:
        """Start and end of every trial in ms: (trials, 2)."""
        trials = self._trials()
        return np.stack([trials.start, trials.stop], axis=1)

    def _trials(self) -> Trials:
        if self.trials is None:
            raise error(
                "E820", "this recording has no trials", help="trials come from a 'present' line or sim.trials()"
            )
        return self.trials

    def _bounds(self, trial: int) -> tuple[float, float]:
        trials = self._trials()
        if not -len(trials) <= trial < len(trials):
            raise error("E820", f"there is no trial {trial}", help=f"trials are numbered 0 to {len(trials) - 1}")
        return float(trials.start[trial]), float(trials.stop[trial])

    def _slack(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Half a step towards the first event time of a trial: the event of a trial's last step carries the time of its end."""
        return times + self.made.dt * (0.5 if self.made.time_offset else -0.5)

    def _slice(self, times: NDArray[np.float64], start: float, stop: float) -> slice:
        first, last = np.searchsorted(times, self._slack(np.array([start, stop])))
        return slice(int(first), int(last))

    # --- how it ended -------------------------------------------------------------------------------------------------

    @property
    def stopped_at(self) -> float | None:
        """Time in ms at which Ctrl-C ended the run; None when it ran to its end."""
        return next((r.made.stopped_at for r in self.sweep if r.made.stopped_at is not None), self.made.stopped_at)

    # --- out ----------------------------------------------------------------------------------------------------------

    def summarise(self) -> Summary:
        """Rates, irregularity, counts and speed (see :mod:`snnlang.runtime.summary`)."""
        from snnlang.runtime.summary import summarise

        return summarise(self)

    def summary(self) -> str:
        """The summary as a table of text."""
        from snnlang.runtime.summary import table

        return table(self)

    def summary_data(self) -> dict[str, Any]:
        """The summary as plain values for JSON."""
        from snnlang.runtime.summary import plain

        return plain(self)

    def save(self, path: str | Path) -> None:
        """Write everything to one ``.npz`` file, or into a directory; whole or not at all (E801)."""
        from snnlang.runtime.archive import save

        save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Read what :meth:`save` or a streamed run wrote; arrays of a directory are mapped, not read (E822)."""
        from snnlang.runtime.archive import load

        return load(path)

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw the experiment's plots: to a file, or return the Matplotlib figure."""
        from snnlang.runtime.plotting import draw, figure

        return figure(self) if path is None else draw(self, path)

    def to_neo(self) -> Any:
        """The recording as a Neo ``Block`` (needs the extra ``neo``; E806)."""
        from snnlang.runtime.neo import to_neo

        return to_neo(self)

    def __repr__(self) -> str:
        if self.sweep:
            return f"<Recording of {self.made.experiment}: sweep of {len(self.sweep)} points>"
        shown = ", ".join(self.names[:6]) + (", …" if len(self.names) > 6 else "")
        return f"<Recording of {self.made.experiment}: {self.made.duration:g} {self.made.time_unit}, {shown or 'nothing recorded'}>"
