"""A network that runs: step by step from Python, trial by trial, or a whole experiment at once.

A :class:`Simulation` owns one device. What it does in a trial, and in which order, is section 6 of the language: states go back,
the sample is shown, then the rest, then data and Python, then ``on trial_end``. It refuses names that the network does not have.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.plan import Connectivity, EventRecorder, Plan
from snnlang.diagnostics import SnnError, error
from snnlang.model.network import Experiment, Phase
from snnlang.model.suggest import help_for, listing
from snnlang.runtime.device import Device, make_device
from snnlang.runtime.naming import Names
from snnlang.runtime.output import Output
from snnlang.runtime.progress import Bar, Interruption, wanted
from snnlang.runtime.quantity import milliseconds, quantity
from snnlang.runtime.recording import Made, Recording
from snnlang.runtime.results import assemble
from snnlang.runtime.stepper import Seen, Stepper
from snnlang.runtime.trials import Trial, TrialTable

if TYPE_CHECKING:
    from snnlang.runtime.data import PhaseData


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a simulation comes from, for its recording: hash of the model's text, seconds spent before the run, sweep point."""

    model_hash: str = ""
    preparing: float = 0.0
    point: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state of a simulation to go back to; what was recorded after it is forgotten by :meth:`Simulation.restore`."""

    device: Any
    marks: dict[str, int]
    trials: int


class Simulation:
    """A running network.

    >>> simulation = snnlang.load("digits.snn").simulation()        # doctest: +SKIP
    >>> for trial in simulation.trials():                           # doctest: +SKIP
    ...     simulation.reward = 1.0 if trial.counts("out").argmax() == trial.label else -1.0

    An attribute that is a broadcast input of some synapse, or an input of the network, is set in the network.
    """

    __slots__ = (
        "__weakref__",
        "_data",
        "_device",
        "_loaded",
        "_names",
        "_open",
        "_origin",
        "_output",
        "_progress",
        "_setup_seconds",
        "_stale",
        "_started",
        "_stepper",
        "_table",
        "experiment",
        "plan",
        "target",
    )

    def __init__(
        self,
        experiment: Experiment,
        plan: Plan,
        *,
        target: str = "auto",
        data: Mapping[str, Any] | None = None,
        out: str | Path | None = None,
        progress: bool | None = False,
        origin: Origin | None = None,
        watch_all: bool = True,
    ) -> None:
        began = time.perf_counter()
        hidden: frozenset[str] = frozenset()
        if watch_all:
            plan, hidden = _with_hidden(plan)
        self.experiment = experiment
        self.plan = plan
        self._data = dict(data or {})
        self._origin = origin or Origin()
        self._progress = progress
        self._device: Device
        self._device, self.target = make_device(plan, target)
        self._names = Names(plan)
        self._output = Output(None if out is None else Path(out))
        self._table = TrialTable()
        self._stale = True
        self._started = False
        self._open: tuple[Trial, list[tuple[str, NDArray[Any]]]] | None = None
        self._loaded: dict[int, PhaseData] = {}
        self._device.setup()
        self._freeze(experiment.freeze)
        self._stepper = Stepper(self._device, plan, self._output.sink, hidden)
        presented = {str(phase.options.get("name")) for phase in experiment.phases if phase.loader == "given"}
        for name, value in self._data.items():
            if name not in presented:
                self.set(name, value)
        self._setup_seconds = time.perf_counter() - began

    # --- time ---------------------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Number of the next step."""
        return self._device.step

    @property
    def time(self) -> float:
        """Simulated time in ms."""
        return self._device.step * self.plan.dt

    @property
    def dt(self) -> float:
        """Time step in ms."""
        return self.plan.dt

    def steps(self, duration: Any, what: str = "duration") -> int:
        """Whole steps in a duration (``"10 ms"`` or ms); rounds to the nearest."""
        return round(milliseconds(duration, what) / self.plan.dt)

    def run(self, duration: Any) -> Simulation:
        """Advance by ``duration`` (``"10 ms"`` or a number of ms) with the inputs as they are. Returns itself.

        Raises E825 when a number stops being finite, KeyboardInterrupt after Ctrl-C (the simulation can go on).
        """
        count = self.steps(duration)
        self._begin()
        with self._bar(self.experiment.name, count) as bar, Interruption() as interruption:
            self._advance(count, bar, interruption)
            if self._stepper.stopped:
                raise KeyboardInterrupt
        return self

    def _begin(self) -> None:
        """The start of a run without trials: initial values, once."""
        self._refresh()
        if not self._started:
            self._started = True
            self._device.trial_start()
            self._stepper.watch.begin(self._device)
            if self.experiment.record_initial:
                self._stepper.record_initial()

    def _advance(self, count: int, bar: Bar, interruption: Interruption) -> int:
        self._refresh()
        try:
            return self._stepper.advance(count, bar, interruption)
        except SnnError as problem:
            codes = [diagnostic.code for diagnostic in problem.diagnostics]
            if "E824" in codes or "E825" in codes:
                kept = self._output.keep(self._assemble)
                if kept is not None:
                    raise SnnError(
                        *(
                            replace(d, help=(*d.help, f"what was recorded until then is in '{kept}'"))
                            for d in problem.diagnostics
                        )
                    ) from None
            raise

    def _refresh(self) -> None:
        """Compute again what depends on parameters and inputs, if any was set."""
        if self._stale:
            self._device.coefficients()
            self._stale = False

    def _bar(self, title: str, total: int) -> Bar:
        return Bar(title, total, show=wanted(self._progress), origin=self._device.step)

    # --- names --------------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The present value of ``E.v``, ``feed.w``, ``E.tau_m``: see :meth:`state`."""
        return self.state(name)

    def __setitem__(self, name: str, value: Any) -> None:
        self.set_state(name, value)

    def __getattr__(self, name: str) -> Any:
        """The present value of an input that may be set as an attribute."""
        if name.startswith("_"):
            raise AttributeError(name)
        found = self._names.inputs.get(name)
        if found is None:
            raise AttributeError(f"a simulation has no attribute and no input '{name}'")
        return self._device.read(found[0].name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in Simulation.__slots__:
            object.__setattr__(self, name, value)
        else:
            self.set(name, value)

    def set(self, name: str, value: Any) -> None:
        """Set an input: a network input by its name, a broadcast input by ``reward`` (all of them) or ``projection.reward``."""
        for array in self._names.settable(name):
            given = np.asarray(quantity(value, array.unit, name))
            size = max(1, int(np.prod(array.shape, dtype=np.int64)))
            self._device.write(array.name, self._fitting(given, array.shape, size, name))
        self._stale = True

    def state(self, name: str) -> NDArray[Any]:
        """A copy of a variable, parameter, trace or weight, in the shape of its population: ``sim.state("E.v")``."""
        array = self._names.array(name)
        values = self._device.read(array.name)
        shape = self._shape(array.owner)
        if shape is not None and array.connectivity is None and values.size == math.prod(shape):
            return values.reshape(shape)
        return values

    def set_state(self, name: str, value: Any, indices: Any = None) -> None:
        """Set a variable, parameter or weight; of some neurons if ``indices`` (flat) are given. Texts carry units: ``"-60 mV"``."""
        array = self._names.array(name)
        if array.name in {a.name for arrays in self._names.inputs.values() for a in arrays} and indices is None:
            self.set(name if name in self._names.inputs else array.owner, value)
            return
        old = self._device.read(array.name)
        given = np.asarray(quantity(value, array.unit, name))
        if indices is None:
            new = self._fitting(given, old.shape, old.size, name)
        else:
            new = old.reshape(-1).copy()
            try:
                new[np.asarray(indices)] = given
            except (IndexError, ValueError) as problem:
                raise error("E827", f"{name}: {problem}", help=f"it has {old.size} values, numbered from 0") from None
            new = new.reshape(old.shape)
        self._device.write(array.name, new)
        if array.role in ("param", "input", "data", "coefficient"):
            self._stale = True

    def _fitting(self, given: NDArray[Any], shape: tuple[int, ...], size: int, name: str) -> NDArray[Any]:
        if given.dtype.kind not in "biuf":
            raise error(
                "E827", f"{name}: these are no numbers (NumPy type {given.dtype})", help="give an array of numbers"
            )
        if given.size == size:
            return given.reshape(shape)
        if given.size == 1:
            return np.broadcast_to(given.reshape(()), shape)
        raise error(
            "E827",
            f"{name} takes {size} value{'s' if size != 1 else ''}, and {given.size} of shape {given.shape} were given",
            help=f"give one number, or {size} of them",
        )

    def _shape(self, owner: str) -> tuple[int, ...] | None:
        network = self.experiment.network
        shapes = {**{p.path: p.shape for p in network.populations}, **{i.path: i.shape for i in network.inputs}}
        return shapes.get(owner)

    # --- synapses -----------------------------------------------------------------------------------------------------

    def weights(self, projection: str, variable: str = "w") -> NDArray[Any]:
        """Weights (or another synaptic variable) of a projection: dense (pre, post), else one per synapse: see :meth:`synapses`."""
        connectivity = self._connectivity(projection)
        array = self._names.array(f"{projection}.{variable}")
        values = self._device.read(array.name)
        if values.ndim == 0 and not array.shared:  # one weight for all synapses is stored once
            values = np.full(len(self._device.synapses(connectivity.name)[0]), values)
        if connectivity.kind == "dense" and values.size == len(connectivity.pre_part) * len(connectivity.post_part):
            return values.reshape(len(connectivity.pre_part), len(connectivity.post_part))
        return values

    def set_weights(self, projection: str, values: Any, variable: str = "w") -> None:
        """Set the weights of a projection: one number, or as :meth:`weights` gives them."""
        self.set_state(f"{projection}.{variable}", values)

    def synapses(self, projection: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pre and post neuron of every synapse, in the order of :meth:`weights`."""
        pre, post = self._device.synapses(self._connectivity(projection).name)
        return np.asarray(pre, dtype=np.int64), np.asarray(post, dtype=np.int64)

    def _connectivity(self, projection: str) -> Connectivity:
        found = {c.owner: c for c in reversed(self.plan.connectivities.values())}
        if projection in found:
            return found[projection]
        by_array = next(
            (a.connectivity for a in self.plan.arrays.values() if a.owner == projection and a.connectivity), None
        )
        if by_array is not None:
            return self.plan.connectivities[by_array]
        raise error(
            "E820",
            f"there is no projection `{projection}`",
            help=help_for(projection, found) or (f"there is {listing(found) or 'none'}",),
        )

    # --- states -------------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Everything that changes, to go back to with :meth:`restore`."""
        self._refresh()
        return Snapshot(self._device.snapshot(), self._output.sink.mark(), len(self._table.rows))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back: states, weights, rings, time and what was recorded."""
        self._device.restore(snapshot.device)
        self._output.sink.truncate(snapshot.marks)
        del self._table.rows[snapshot.trials :]
        self._open = None

    # --- trials -------------------------------------------------------------------------------------------------------

    def trial(
        self,
        sample: Any = None,
        *,
        duration: Any = None,
        rest: Any = None,
        set: Mapping[str, Any] | None = None,
        labels: Mapping[str, Any] | None = None,
        end: bool = True,
    ) -> Trial:
        """Show one sample (an array for the one network input, or a dictionary by input) from fresh states.

        ``duration`` and ``rest`` default to those of the first ``present``, else the experiment's duration. ``set`` gives parameters,
        states or inputs other values for this trial. ``end`` False leaves the trial open for feedback: call :meth:`end_trial`.
        """
        phases = self.experiment.phases
        if duration is None:
            duration = phases[0].duration if phases else self.experiment.duration
        if rest is None:
            rest = phases[0].rest if phases else 0.0
        inputs = self._sample(sample)
        trial = self._make_trial(0, 0, -1, dict(labels or {}), inputs)
        with (
            self._bar(self.experiment.name, self.steps(duration) + self.steps(rest, "rest")) as bar,
            Interruption() as interruption,
        ):
            self._show(
                trial, inputs, self.steps(duration), self.steps(rest, "rest"), dict(set or {}), bar, interruption
            )
            if self._stepper.stopped:
                raise KeyboardInterrupt
        if end:
            self.end_trial()
        return trial

    def trials(self) -> Iterator[Trial]:
        """Show every sample of the experiment's phases; each trial ends (``on trial_end``) after the loop's body.

        Ctrl-C raises KeyboardInterrupt between two chunks; :meth:`recording` holds what was recorded.
        """
        with self._bar(self.experiment.name, self._total_steps()) as bar:
            for phase_number, phase, epoch, sample, inputs, labels in self._samples():
                trial = self._make_trial(phase_number, epoch, sample, labels, inputs)
                with Interruption() as interruption:
                    self._present(trial, phase, inputs, bar, interruption)
                if self._stepper.stopped:
                    raise KeyboardInterrupt
                yield trial
                if self._open is not None and self._open[0] is trial:
                    self.end_trial()

    def end_trial(self) -> None:
        """Run ``on trial_end`` of synapses and neurons, once per trial."""
        if self._open is None:
            raise error(
                "E828", "no trial is open, so none can end", help="show a sample with sim.trial(x, end=False) first"
            )
        _, undo = self._open
        self._open = None
        self._refresh()
        self._device.trial_end()
        for array, values in undo:
            self._device.write(array, values)
            self._stale = True

    def _samples(self) -> Iterator[tuple[int, Phase, int, int, dict[str, NDArray[Any]], dict[str, Any]]]:
        if not self.experiment.phases:
            raise error(
                "E828",
                f"experiment `{self.experiment.name}` presents no data, so it has no trials",
                help="add a line such as 'present digits() as image, label for 350 ms', or show samples with sim.trial(x)",
            )
        for number, phase in enumerate(self.experiment.phases):
            data = self._phase_data(number)
            self._freeze((*self.experiment.freeze, *phase.freeze))
            for epoch in range(phase.epochs):
                for sample in range(data.trials):
                    inputs = {path: np.asarray(array[sample]) for path, array in data.inputs.items()}
                    labels = {name: column[sample] for name, column in data.labels.items()}
                    yield number, phase, epoch, sample, inputs, labels
        self._freeze(self.experiment.freeze)

    def _phase_data(self, number: int) -> PhaseData:
        """The data of a phase, read once."""
        if number not in self._loaded:
            from snnlang.runtime.data import load_phase

            self._loaded[number] = load_phase(self.experiment.phases[number], self.experiment, self._data)
        return self._loaded[number]

    def _total_steps(self) -> int:
        if not self.experiment.phases:
            return self.steps(self.experiment.duration)
        total = 0
        for number, phase in enumerate(self.experiment.phases):
            trials = self._phase_data(number).trials
            total += trials * phase.epochs * (self.steps(phase.duration) + self.steps(phase.rest))
        return total

    def _make_trial(
        self, phase: int, epoch: int, sample: int, labels: dict[str, Any], inputs: dict[str, NDArray[Any]]
    ) -> Trial:
        sizes = {r.label: self.plan.lists[r.list].size for r in self.plan.recorders if isinstance(r, EventRecorder)}
        seen = Seen()
        shown = next(iter(inputs.values())) if len(inputs) == 1 else inputs
        return Trial(len(self._table.rows), phase, epoch, sample, self.time, labels, seen, sizes, lambda: shown)

    def _present(
        self,
        trial: Trial,
        phase: Phase,
        inputs: dict[str, NDArray[Any]],
        bar: Bar,
        interruption: Interruption,
        seen: bool = True,
    ) -> None:
        steps, rest = self.steps(phase.duration), self.steps(phase.rest)
        self._show(trial, inputs, steps, rest, {}, bar, interruption, seen)

    def _show(
        self,
        trial: Trial,
        inputs: dict[str, NDArray[Any]],
        steps: int,
        rest: int,
        values: dict[str, Any],
        bar: Bar,
        interruption: Interruption,
        seen: bool = True,
    ) -> None:
        """Section 6: inputs, coefficients, initial values, the sample, the rest. The trial stays open."""
        if self._open is not None:
            self.end_trial()
        self._stepper.seen = trial._seen if seen else None
        undo = [(self._names.array(name).name, self._device.read(self._names.array(name).name)) for name in values]
        first = self._device.step
        slices = {name: self._slices(name, array) for name, array in inputs.items()}
        self._write_inputs({name: parts[0] for name, parts in slices.items()})
        after_start = []
        for name, value in values.items():
            if self._names.array(name).role in ("param", "input", "data", "coefficient"):
                self.set_state(name, value)
            else:
                after_start.append((name, value))
        self._refresh()
        self._device.trial_start()
        self._started = True
        for name, value in after_start:
            self.set_state(name, value)
        if not self._table.rows:
            self._stepper.watch.begin(self._device)
            if self.experiment.record_initial:
                self._stepper.record_initial()
        self._open = (trial, undo)
        pieces = max((len(parts) for parts in slices.values()), default=1)
        done = 0
        for piece in range(pieces):
            if piece:
                self._write_inputs(
                    {name: parts[piece * len(parts) // pieces] for name, parts in slices.items() if len(parts) > 1}
                )
            until = steps * (piece + 1) // pieces
            done += self._advance(until - done, bar, interruption)
            if self._stepper.stopped:
                break
        if rest and not self._stepper.stopped:
            self._write_inputs({name: np.zeros(()) for name in slices})
            self._advance(rest, bar, interruption)
        self._stepper.seen = None
        dt = self.plan.dt
        self._table.rows.append(
            (
                first * dt,
                (first + done) * dt,
                self._device.step * dt,
                trial.phase,
                trial.epoch,
                trial.sample,
                trial.labels,
            )
        )

    def _slices(self, name: str, sample: NDArray[Any]) -> list[NDArray[Any]]:
        """A sample with a leading axis of time is shown in equal parts of its duration."""
        size = max(1, int(np.prod(self._names.settable(name)[0].shape, dtype=np.int64)))
        if sample.size != size and sample.ndim >= 1 and len(sample) and sample.size == size * len(sample):
            return list(sample)
        return [sample]

    def _write_inputs(self, inputs: Mapping[str, Any]) -> None:
        for name, value in inputs.items():
            self.set(name, value)

    def _sample(self, sample: Any) -> dict[str, NDArray[Any]]:
        if sample is None:
            return {}
        if isinstance(sample, Mapping):
            return {str(name): np.asarray(value) for name, value in sample.items()}
        inputs = [i.path for i in self.experiment.network.inputs] or [n for n in self._names.inputs if "." not in n]
        if len(inputs) != 1:
            raise error(
                "E828",
                f"the network has {len(inputs)} inputs, so a sample alone does not say which it is for",
                help="give a dictionary: sim.trial({'image': x})"
                if inputs
                else "declare one in the network: input image[64]",
            )
        return {inputs[0]: np.asarray(sample)}

    def _freeze(self, freezes: tuple[tuple[str, str], ...]) -> None:
        for key, array in self._names.freezes.items():
            self._device.write(array.name, key in freezes)

    # --- a whole experiment -------------------------------------------------------------------------------------------

    def complete(self) -> Recording:
        """Run the whole experiment and return what was recorded. After Ctrl-C: what was until then, with ``stopped_at``."""
        try:
            self._complete()
        except BaseException:
            self._output.discard()
            raise
        return self.finish()

    def _complete(self) -> None:
        total = self._total_steps()
        limit = self.steps(self.experiment.duration) if self.experiment.phases and self.experiment.duration else None
        self._output.require_room(self._stepper.row_bytes(limit or total))
        with self._bar(self._title(), limit or total) as bar, Interruption() as interruption:
            if not self.experiment.phases:
                self._begin()
                self._advance(total - self._device.step, bar, interruption)
                return
            for number, phase, epoch, sample, inputs, labels in self._samples():
                trial = self._make_trial(number, epoch, sample, labels, inputs)
                self._present(trial, phase, inputs, bar, interruption, seen=False)
                if self._stepper.stopped or (limit is not None and self._device.step >= limit):
                    break
                self.end_trial()

    def _title(self) -> str:
        point = self._origin.point
        if not point:
            return self.experiment.name
        return f"{self.experiment.name} {', '.join(f'{name} = {value}' for name, value in point.items())}"

    def recording(self) -> Recording:
        """What was recorded so far; the simulation can go on."""
        return self._assemble(self._output.sink.collect())

    def finish(self) -> Recording:
        """The recording, written where ``out`` said; nothing can be run afterwards if that is a directory."""
        return self._output.finish(self._assemble)

    def _assemble(self, arrays: dict[str, NDArray[Any]]) -> Recording:
        experiment, plan, stepper = self.experiment, self.plan, self._stepper
        from snnlang import __version__

        network = experiment.network
        populations = {p.path: p.shape for p in network.populations} or {
            e.owner: (e.size,) for e in plan.lists.values()
        }
        made = Made(
            experiment.name,
            network.name,
            plan.dt,
            self._device.step,
            self.time,
            experiment.seed,
            plan.precision,
            self.target,
            plan.time_offset,
            time_unit(experiment, plan),
            stepper.seconds,
            self._origin.preparing + self._setup_seconds,
            self.time if stepper.stopped else None,
            self._origin.model_hash,
            __version__,
            populations,
        )
        return assemble(
            experiment, plan, self._device, stepper.hidden, made, arrays, self._table.table(), self._origin.point or {}
        )

    def __repr__(self) -> str:
        return f"<Simulation of {self.experiment.name} at {self.time:g} ms>"


def time_unit(experiment: Experiment, plan: Plan) -> str:
    """``ms``, or ``steps`` in a network of difference models alone that states no step."""
    told = experiment.settings.get("time_unit")
    if isinstance(told, str):
        return told
    timeless = (
        plan.time_offset == 0 and plan.dt == 1.0 and all(p.model.step is None for p in experiment.network.populations)
    )
    return "steps" if timeless else "ms"


def _with_hidden(plan: Plan) -> tuple[Plan, frozenset[str]]:
    """The plan with recorders for the spikes of every population, so that trials can count them, and the labels that were added."""
    known = {
        recorder.list for recorder in plan.recorders if isinstance(recorder, EventRecorder) and recorder.indices is None
    }
    taken = {recorder.label for recorder in plan.recorders}
    added = []
    for events in plan.lists.values():
        label = f"{events.owner}.{'spikes' if events.event == 'spike' else events.event}"
        if events.owner and events.name not in known and label not in taken:
            added.append(EventRecorder(label, events.name, None, events.owner))
            taken.add(label)
    return replace(plan, recorders=(*plan.recorders, *added)), frozenset(recorder.label for recorder in added)
