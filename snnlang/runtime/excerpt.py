"""How much of an experiment to run when running it whole takes too long: its first steps, or the first samples of its trials.

The work of a step is estimated from its kernels: operations times items, with a guess of how many neurons fire.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from snnlang.codegen import kernel as k
from snnlang.codegen.connectivity import count_expected
from snnlang.codegen.plan import AtStep, Every, Launch, Plan, PlanNode, Settle
from snnlang.frozen import dataclass
from snnlang.runtime.progress import Bar, Interruption

if TYPE_CHECKING:
    from snnlang.compile import Point
    from snnlang.runtime.simulation import Simulation

#: Seconds that the slowest way may take for the steps.
SECONDS = 2.0
#: Seconds for one operation on one item, of the interpreter and of a printed target.
INTERPRETED, PRINTED = 1.5e-6, 5e-9
#: Spikes of a neuron in a second, when nothing is known about it.
RATE = 20.0
#: Samples shown of an experiment with trials.
SAMPLES = 2
#: Parts of a run after which everything is compared.
PARTS = 4


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The first ``steps`` of ``all_steps`` steps; with trials: of ``trials`` of ``all_trials`` samples, each followed by ``rest`` steps."""

    steps: int
    all_steps: int
    dt: float
    timed: bool
    trials: int = 0
    all_trials: int = 0
    rest: int = 0

    @property
    def whole(self) -> bool:
        """Whether nothing was left out."""
        return self.steps == self.all_steps and self.trials == self.all_trials

    def duration(self, steps: int) -> str:
        """Steps as a text: ``20 ms``, ``1 s``, ``50 steps``."""
        if not self.timed:
            return f"{steps} step{'s' if steps != 1 else ''}"
        time = steps * self.dt
        return f"{time / 1000:g} s" if time >= 1000 else f"{time:.6g} ms"

    def __str__(self) -> str:
        shown = self.duration(self.steps)
        if self.all_trials:
            samples = f"{self.trials} of {self.all_trials} samples"
            return f"{samples}, {shown}{'' if self.steps == self.all_steps else f' of {self.duration(self.all_steps)}'} each"
        return shown if self.whole else f"first {shown} of {self.duration(self.all_steps)}"

    def show(self, simulation: Simulation, look: Callable[[], None]) -> None:
        """Run it, and look at the beginning and after each part."""
        with Bar("", 0, show=False) as bar, Interruption() as interruption:
            if not self.all_trials:
                simulation._begin()
                look()
                for count in parts(self.steps):
                    simulation._advance(count, bar, interruption)
                    _stop(simulation)
                    look()
                return
            for number, (phase_number, _, epoch, sample, inputs, labels) in enumerate(simulation._samples()):
                if number == self.trials:
                    break
                trial = simulation._make_trial(phase_number, epoch, sample, labels, inputs)
                simulation._show(trial, inputs, self.steps, self.rest, {}, bar, interruption, seen=False)
                _stop(simulation)
                look()
                simulation.end_trial()
                look()


def _stop(simulation: Simulation) -> None:
    if simulation._stepper.stopped:
        raise KeyboardInterrupt


def parts(steps: int) -> Iterator[int]:
    """One step, then about equal parts."""
    done = 0
    for part in dict.fromkeys([1, *(max(1, steps * number // PARTS) for number in range(1, PARTS + 1))]):
        if done < part <= steps:
            yield part - done
            done = part


def excerpt(point: Point, *, slow: bool = True, whole: bool = False, data: dict[str, Any] | None = None) -> Excerpt:
    """As much of an experiment as takes a few seconds, on the interpreter (``slow``) or on printed code; all of it if ``whole``."""
    experiment, plan = point.experiment, point.plan
    each = operations(plan) * (INTERPRETED if slow else PRINTED)
    affordable = max(1, math.floor(SECONDS / max(each, 1e-9)))
    timed = not (
        plan.time_offset == 0 and plan.dt == 1.0 and all(p.model.step is None for p in experiment.network.populations)
    )
    if not experiment.phases:
        total = max(1, round((experiment.duration or 100 * plan.dt) / plan.dt))
        return Excerpt(total if whole else min(total, rounded(affordable)), total, plan.dt, timed)
    from snnlang.runtime.data import load_phase

    total_trials = 0
    for phase in experiment.phases:
        total_trials += load_phase(phase, experiment, data or {}).trials * phase.epochs
    phase = experiment.phases[0]
    steps, rest = max(1, round(phase.duration / plan.dt)), round(phase.rest / plan.dt)
    if whole:
        return Excerpt(steps, steps, plan.dt, timed, total_trials, total_trials, rest)
    trials = min(SAMPLES, total_trials)
    shown = min(steps, rounded(max(1, affordable // max(1, trials) * steps // (steps + rest))))
    return Excerpt(shown, steps, plan.dt, timed, trials, total_trials, math.ceil(rest * shown / steps))


def rounded(steps: int) -> int:
    """Down to 1, 2 or 5 times a power of ten."""
    power: int = 10 ** (len(str(steps)) - 1)
    return next(factor for factor in (5, 2, 1) if factor * power <= steps) * power


def operations(plan: Plan) -> float:
    """About how many operations on items a step of a plan is."""
    return sum(_node(plan, node) for node in plan.step)


def _node(plan: Plan, node: PlanNode) -> float:
    match node:
        case Every(period=period, body=body):
            return sum(_node(plan, inner) for inner in body) / max(1, period)
        case Settle(body=body):
            return 4 * sum(_node(plan, inner) for inner in body)
        case AtStep():
            return 1.0
        case Launch(kernel=kernel):
            return (1 + _size(kernel)) * _items(plan, kernel.domain)
        case _:
            return 1.0


def _size(kernel: k.Kernel) -> int:
    return sum(
        1
        for statement in k.walk_statements(kernel.body)
        for expression in k.statement_expressions(statement)
        for _ in k.walk(expression)
    )


def _items(plan: Plan, domain: k.Domain) -> float:
    firing = min(1.0, RATE * plan.dt / 1000)
    match domain:
        case k.Single():
            return 1.0
        case k.Each(size=size):
            return float(size)
        case k.Listed(list=name):
            return firing * plan.lists[name].size
        case k.Synapses(connectivity=name):
            return count_expected(plan.connectivities[name])
        case k.Fan(connectivity=name) | k.Arrivals(connectivity=name):
            return firing * count_expected(plan.connectivities[name])
