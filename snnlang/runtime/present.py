"""Trials: one sample shown from fresh states, or every sample of an experiment's phases.

What a trial does, and in which order, is section 6 of the language: states go back, the sample is shown, then the rest, then data and
Python, then ``on trial_end``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.plan import EventRecorder
from snnlang.diagnostics import error
from snnlang.model.network import Phase
from snnlang.runtime.advance import Advancing
from snnlang.runtime.progress import Bar, Interruption
from snnlang.runtime.stepper import Seen
from snnlang.runtime.trials import Trial

if TYPE_CHECKING:
    from snnlang.runtime.data import PhaseData


class Presenting(Advancing):
    """Adds trials to :class:`snnlang.runtime.advance.Advancing`."""

    __slots__ = ("_data", "_loaded")

    _data: dict[str, Any]
    _loaded: dict[int, PhaseData]

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
