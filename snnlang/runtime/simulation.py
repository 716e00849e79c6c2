"""A network that runs: step by step from Python, trial by trial, or a whole experiment at once.

A :class:`Simulation` owns one device. What it holds is read and written by name (:mod:`snnlang.runtime.access`), it advances
(:mod:`snnlang.runtime.advance`) and shows trials (:mod:`snnlang.runtime.present`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from snnlang.codegen.plan import EventRecorder, Plan
from snnlang.model.network import Experiment
from snnlang.runtime.advance import Origin
from snnlang.runtime.device import make_device
from snnlang.runtime.naming import Names
from snnlang.runtime.output import Output
from snnlang.runtime.present import Presenting
from snnlang.runtime.progress import Interruption
from snnlang.runtime.recording import Recording
from snnlang.runtime.stepper import Stepper
from snnlang.runtime.trials import Trial, TrialTable

if TYPE_CHECKING:
    from snnlang.runtime.data import PhaseData


class Simulation(Presenting):
    """A running network.

    >>> simulation = snnlang.load("digits.snn").simulation()        # doctest: +SKIP
    >>> for trial in simulation.trials():                           # doctest: +SKIP
    ...     simulation.reward = 1.0 if trial.counts("out").argmax() == trial.label else -1.0

    An attribute that is a broadcast input of some synapse, or an input of the network, is set in the network.
    """

    __slots__ = ()

    def __init__(
        self,
        experiment: Experiment,
        plan: Plan,
        *,
        target: str = "auto",
        threads: int | None = None,
        math: Literal["fast", "strict"] = "fast",
        data: Mapping[str, Any] | None = None,
        out: str | Path | None = None,
        progress: bool | None = False,
        origin: Origin | None = None,
        watch_all: bool = True,
        identity: str = "",
    ) -> None:
        began = time.perf_counter()
        hidden: frozenset[str] = frozenset()
        if watch_all:
            plan, hidden = _with_hidden(plan)
            identity = ""  # it named another plan
        self.experiment = experiment
        self.plan = plan
        self._data = dict(data or {})
        self._origin = origin or Origin()
        self._progress = progress
        steps = None if experiment.phases or not experiment.duration else round(experiment.duration / plan.dt)
        chosen = make_device(plan, target, threads=threads, math=math, identity=identity, steps=steps)
        self._device, self.target, self.warnings = chosen.device, chosen.target, chosen.warnings
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

    def __repr__(self) -> str:
        return f"<Simulation of {self.experiment.name} at {self.time:g} ms>"


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
