"""A network that advances in time: from Python for a while, and back to a state it was in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from numpy.typing import NDArray

from snnlang.codegen.plan import Plan
from snnlang.diagnostics import Diagnostic, SnnError
from snnlang.frozen import dataclass
from snnlang.model.network import Experiment
from snnlang.runtime.access import Access
from snnlang.runtime.output import Output
from snnlang.runtime.progress import Bar, Interruption, wanted
from snnlang.runtime.quantity import milliseconds
from snnlang.runtime.recording import Made, Recording
from snnlang.runtime.results import assemble
from snnlang.runtime.stepper import Stepper
from snnlang.runtime.trials import Trial, TrialTable

Running = TypeVar("Running", bound="Advancing")  # the kind of simulation that runs


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state of a simulation to go back to; what was recorded after it is forgotten by :meth:`Simulation.restore`."""

    device: Any
    marks: dict[str, int]
    trials: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a simulation comes from, for its recording: hash of the model's text, seconds spent before the run, sweep point."""

    model_hash: str = ""
    preparing: float = 0.0
    point: dict[str, Any] | None = None


class Advancing(Access):
    """Adds time to :class:`snnlang.runtime.access.Access`: running for a duration, snapshots, and what was recorded until then."""

    __slots__ = (
        "_open",
        "_origin",
        "_output",
        "_progress",
        "_setup_seconds",
        "_started",
        "_stepper",
        "_table",
        "target",
        "warnings",
    )

    target: str
    warnings: tuple[Diagnostic, ...]
    _open: tuple[Trial, list[tuple[str, NDArray[Any]]]] | None
    _origin: Origin
    _output: Output
    _progress: bool | None
    _setup_seconds: float
    _started: bool
    _stepper: Stepper
    _table: TrialTable

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

    def run(self: Running, duration: Any) -> Running:
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


def time_unit(experiment: Experiment, plan: Plan) -> str:
    """``ms``, or ``steps`` in a network of difference models alone that states no step."""
    told = experiment.settings.get("time_unit")
    if isinstance(told, str):
        return told
    timeless = (
        plan.time_offset == 0 and plan.dt == 1.0 and all(p.model.step is None for p in experiment.network.populations)
    )
    return "steps" if timeless else "ms"
