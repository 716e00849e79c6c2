"""Whether the targets of this machine agree: one experiment on each, events compared exactly and numbers to rounding.

The interpreter shares no code with the printers, so it is the one that others are compared with. It is slow: unless a duration is given,
the experiment is cut to what it can do in a few seconds, estimated from the kernels of a step. Of an experiment with trials the first few
samples are shown. At some steps every array of a model (states, traces, weights, parameters, delay lines) is read and compared, and so is
everything that is recorded; several threads must give the very bits of one. A spike that one target has and another has not is a
disagreement, also where rounding decided it: how far the neuron was from its threshold is said where that is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.plan import EventRecorder, Plan, ValueRecorder
from snnlang.compile import TARGETS, Mathematics, Point, Prepared
from snnlang.diagnostics import Diagnostic, SnnError, error
from snnlang.frozen import dataclass
from snnlang.runtime.excerpt import Excerpt, excerpt
from snnlang.runtime.margin import margin
from snnlang.runtime.simulation import Simulation

Values = NDArray[Any]

#: Largest difference in units of the variable's own size.
TOLERANCE = {"double": 1e-9, "single": 1e-4}
#: What a variable that is zero everywhere is measured by: differences below TOLERANCE times this are nothing.
SMALLEST = 1e-6
#: Arrays of these roles say nothing between two steps: targets may keep them in registers.
PASSING = ("scratch",)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run: a target, with a number of threads where it has them."""

    target: str
    threads: int | None = None

    @property
    def label(self) -> str:
        """``numpy``, ``c``, ``c, 3 threads``."""
        return self.target if self.threads in (None, 1) else f"{self.target}, {self.threads} threads"


@dataclass(frozen=True, slots=True)
class Flip:
    """The first event that only one of two runs has: its step, its neuron, whether the reference has it, and ``distance``:
    by how much the two sides of its condition differ, as a part of the greater of them (None: unknown)."""

    step: int
    index: int
    in_reference: bool
    distance: float | None = None


@dataclass(frozen=True, slots=True)
class Events:
    """One event of one population: how many there were in both runs, and the first one that differs."""

    name: str
    reference: int
    count: int
    flip: Flip | None = None


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: its largest difference, in its unit and as a part of its size, and the first step beyond the tolerance.

    ``hidden`` ones are parameters and what a target keeps for itself: the table names them only where they differ.
    """

    name: str
    unit: str
    difference: float
    relative: float
    size: float
    beyond: int | None = None
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """One way against its reference.

    ``problem`` is what kept it from running to the end; ``different`` names connections whose synapses differ.
    """

    label: str
    reference: str
    tolerance: float
    events: tuple[Events, ...] = ()
    variables: tuple[Variable, ...] = ()
    different: tuple[str, ...] = ()
    problem: str = ""

    @property
    def agrees(self) -> bool:
        """Whether synapses and events are the same and no number differs by more than the tolerance."""
        return (
            not self.problem
            and not self.different
            and all(events.flip is None for events in self.events)
            and all(variable.beyond is None for variable in self.variables)
        )

    @property
    def worst(self) -> Variable | None:
        """The variable that differs most."""
        return max(self.variables, key=lambda variable: variable.relative, default=None)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What :func:`verify` found. ``str()`` gives the table that ``snn verify`` prints; ``skipped`` says why a target did not take part.

    ``same`` is what else is equal where no events are compared, ``remedy`` how more of it would be run. Of a training, ``comparisons`` are
    about loss, gradients and updates, and ``forward`` is the report on its forward pass (None: the interpreter showed no sample).
    """

    experiment: str
    excerpt: Excerpt
    precision: str
    reference: str
    comparisons: tuple[Comparison, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    same: str = "the same synapses"
    remedy: str = "; --duration for more"
    forward: Agreement | None = None

    @property
    def agrees(self) -> bool:
        """Whether every target agrees with its reference."""
        return all(comparison.agrees for comparison in self.comparisons) and (self.forward is None or self.forward.agrees)

    def to_json(self) -> dict[str, Any]:
        """The report as plain data, for other programs."""
        from snnlang.runtime.agreement_text import data

        return data(self) | ({} if self.forward is None else {"forward": data(self.forward)})

    def __str__(self) -> str:
        from snnlang.runtime.agreement_text import table

        return "\n".join(table(part) for part in (self.forward, self) if part is not None)


@dataclass(frozen=True, slots=True)
class Course:
    """A run: what was recorded by name, every array at some steps, and the ends of all synapses."""

    recorded: dict[str, Values]
    looks: tuple[tuple[int, dict[str, Values]], ...]
    synapses: dict[str, tuple[Values, Values]]


# --- which ways -------------------------------------------------------------------------------------------------------


def ways_here(
    targets: Sequence[str] | None = None, threads: int | None = None
) -> tuple[list[Way], list[tuple[str, str]]]:
    """Every way to run that this machine has, the reference first, and (target, reason) of those that it has not.

    Raises E711 for a target that does not exist.
    """
    wanted = (
        [name for name in ("interpreter", "numpy", *TARGETS) if name != "auto"] if targets is None else list(targets)
    )
    ways: list[Way] = []
    skipped: list[tuple[str, str]] = []
    for target in dict.fromkeys(sorted(wanted, key=lambda name: name != "interpreter")):
        if target not in TARGETS or target == "auto":
            known = ", ".join(name for name in TARGETS if name != "auto")
            raise error("E711", f"`{target}` is no target of this version", help=f"use {known}")
        reason = absent(target)
        if reason is not None:
            skipped.append((target, reason))
        elif target == "c":
            ways += [Way("c", 1), Way("c", threads or 3)] if (threads or 3) > 1 else [Way("c", 1)]
        else:
            ways.append(Way(target))
    return ways, skipped


def absent(target: str) -> str | None:
    """Why this machine cannot run a target; None where it can."""
    if target == "cuda":
        from snnlang.runtime import cuda_choice

        return cuda_choice.absent()
    if target != "c":
        return None
    from snnlang.runtime.compiler import find, missing

    return None if find() is not None else missing().message


# --- running ----------------------------------------------------------------------------------------------------------


def verify(
    prepared: Prepared,
    *,
    targets: Sequence[str] | None = None,
    threads: int | None = None,
    whole: bool = False,
    data: dict[str, Any] | None = None,
) -> Agreement:
    """Run a prepared experiment (of a sweep: its first point) every way there is and compare.

    ``whole`` runs it to its end, however long the interpreter takes. ``threads`` (3) is what target c is tried with besides one. Raises
    what the reference raises, such as E825: a model that does not run has nothing to agree on.
    """
    ways, skipped = ways_here(targets, threads)
    point = prepared.points[0]
    watched = replace(point, plan=with_all_events(point.plan), identity="")
    if not ways:
        raise error("E711", "no target is left to compare", help="; ".join(reason for _, reason in skipped))
    first = ways[0]
    part = excerpt(point, slow=first.target == "interpreter", whole=whole, data=data)
    reference = follow(watched, first, prepared.math, part, data)
    courses = {first: reference}
    comparisons: list[Comparison] = []
    for way in ways[1:]:
        # several threads are compared with one of the same target, whose very bits they must give
        single = next((w for w in courses if w.target == way.target and w.threads == 1), None)
        against, tolerance = (single, 0.0) if single is not None else (first, TOLERANCE[point.plan.precision])
        try:
            courses[way] = follow(watched, way, prepared.math, part, data)
        except SnnError as problem:
            said = "; ".join(f"{d.code}: {d.message}" for d in problem.diagnostics)
            comparisons.append(Comparison(way.label, against.label, tolerance, problem=said))
            continue
        found = compare(watched.plan, courses[against], courses[way], tolerance)
        found = replace(found, label=way.label, reference=against.label)
        comparisons.append(_measured(watched, found, data))
    precision = {"double": "float64", "single": "float32"}[point.plan.precision]
    swept = ", ".join(f"{name} = {value}" for name, value in point.values.items())
    title = f"{point.experiment.name} ({swept})" if swept else point.experiment.name
    return Agreement(title, part, precision, first.label, tuple(comparisons), tuple(skipped), prepared.warnings)


def with_all_events(plan: Plan) -> Plan:
    """The plan with a recorder for every event of every population."""
    taken = {recorder.label for recorder in plan.recorders}
    known = {r.list for r in plan.recorders if isinstance(r, EventRecorder) and r.indices is None}
    added: list[EventRecorder] = []
    for events in plan.lists.values():
        label = f"{events.owner}.{'spikes' if events.event == 'spike' else events.event}"
        label = label if events.owner and label not in taken else events.name
        if events.name not in known and label not in taken:
            taken.add(label)
            added.append(EventRecorder(label, events.name, None, events.owner))
    return replace(plan, recorders=(*plan.recorders, *added))


def follow(point: Point, way: Way, math: Mathematics, part: Excerpt, data: dict[str, Any] | None = None) -> Course:
    """Run an excerpt one way, looking at all arrays on the way."""
    simulation = Simulation(
        point.experiment,
        point.plan,
        target=way.target,
        threads=way.threads,
        math=math,
        data=data,
        watch_all=False,
    )
    device, plan = simulation._device, point.plan
    looks: list[tuple[int, dict[str, Values]]] = []

    def look() -> None:
        shown = (array for array in plan.arrays.values() if array.role not in PASSING)
        looks.append((device.step, {array.name: device.read(array.name) for array in shown}))

    part.show(simulation, look)
    synapses = {name: device.synapses(name) for name in plan.connectivities}
    return Course(simulation._output.sink.collect(), tuple(looks), synapses)


def _measured(point: Point, found: Comparison, data: dict[str, Any] | None) -> Comparison:
    """The comparison with the distance from the threshold of its earliest flip, where there is one."""
    flips = [(events.flip.step, number) for number, events in enumerate(found.events) if events.flip is not None]
    if not flips or point.experiment.phases or data:
        return found
    events = found.events[min(flips)[1]]
    assert events.flip is not None
    label = next(r for r in point.plan.recorders if r.label == events.name)
    assert isinstance(label, EventRecorder)
    distance = margin(point, label.list, events.flip.step, events.flip.index)
    changed = replace(events, flip=replace(events.flip, distance=distance))
    return replace(found, events=tuple(changed if e is events else e for e in found.events))


# --- comparing --------------------------------------------------------------------------------------------------------


def compare(plan: Plan, reference: Course, other: Course, tolerance: float) -> Comparison:
    """Two runs of one plan: synapses and events equal, numbers within ``tolerance`` of each variable's size."""
    different = tuple(
        name
        for name, (pre, post) in reference.synapses.items()
        if not (np.array_equal(pre, other.synapses[name][0]) and np.array_equal(post, other.synapses[name][1]))
    )
    events = tuple(
        _events(plan, recorder, reference.recorded, other.recorded)
        for recorder in plan.recorders
        if isinstance(recorder, EventRecorder)
    )
    lost = {a.name for a in plan.arrays.values() if a.connectivity in different}
    pairs: dict[str, list[tuple[int, Values, Values]]] = {}
    units: dict[str, str] = {}
    seen: set[str] = set()
    for recorder in plan.recorders:
        if isinstance(recorder, ValueRecorder) and recorder.array not in lost:
            units[recorder.label] = recorder.unit
            seen.add(recorder.label)
            ours, theirs = reference.recorded[recorder.label], other.recorded[recorder.label]
            steps = _steps(plan, reference.recorded[f"{recorder.label}.times"])
            if ours.shape != theirs.shape:
                pairs[recorder.label] = [(0, ours, theirs)]
            else:
                pairs[recorder.label] = list(zip(steps.tolist(), ours, theirs, strict=True))
    for (step, ours_all), (_, theirs_all) in zip(reference.looks, other.looks, strict=True):
        for name, ours in ours_all.items():
            if name not in lost:
                array = plan.arrays[name]
                shown = f"{array.owner}.{array.variable}" if array.owner and array.variable else name
                shown = shown if shown in pairs or array.role not in ("history", "freeze", "hold") else name
                units.setdefault(shown, array.unit)
                if shown != name and array.role in ("state", "weight", "input"):
                    seen.add(shown)
                pairs.setdefault(shown, []).append((step - 1, ours, theirs_all[name]))
    variables = tuple(
        replace(_variable(name, units[name], found, tolerance), hidden=name not in seen)
        for name, found in pairs.items()
    )
    return Comparison("", "", tolerance, events, variables, different)


def _steps(plan: Plan, times: Values) -> NDArray[np.int64]:
    return np.rint(times / plan.dt - plan.time_offset).astype(np.int64)


def _events(plan: Plan, recorder: EventRecorder, ours: dict[str, Values], theirs: dict[str, Values]) -> Events:
    size = plan.lists[recorder.list].size

    def codes(recorded: dict[str, Values]) -> NDArray[np.int64]:
        steps = _steps(plan, recorded[f"{recorder.label}.times"])
        return steps * size + recorded[f"{recorder.label}.indices"]

    one, two = codes(ours), codes(theirs)
    if np.array_equal(one, two):
        return Events(recorder.label, len(one), len(two))
    only = [(int(c), True) for c in np.setdiff1d(one, two)[:1]] + [(int(c), False) for c in np.setdiff1d(two, one)[:1]]
    if not only:  # the same events in another order, or one of them twice
        shorter = min(len(one), len(two))
        unlike = np.flatnonzero(one[:shorter] != two[:shorter])
        only = [
            (int((one if len(one) > len(two) else two)[unlike[0] if len(unlike) else shorter]), len(one) > len(two))
        ]
    code, in_reference = min(only)
    return Events(recorder.label, len(one), len(two), Flip(code // size, code % size, in_reference))


def _variable(name: str, unit: str, found: list[tuple[int, Values, Values]], tolerance: float) -> Variable:
    """The largest difference; infinities and what is no number must stand at the same places, else it is infinite."""
    size = SMALLEST
    for _, ours, theirs in found:
        for side in (ours, theirs):
            finite = side[np.isfinite(side)] if side.dtype.kind == "f" else side
            if finite.size:
                size = max(size, float(np.abs(finite.astype(np.float64)).max()))
    largest, beyond = 0.0, None
    for step, ours, theirs in found:
        difference = _difference(ours, theirs)
        if difference > tolerance * size:
            beyond = step if beyond is None else min(beyond, step)
        largest = max(largest, difference)
    return Variable(name, unit, largest, largest / size, size, beyond)


def _difference(ours: Values, theirs: Values) -> float:
    if ours.shape != theirs.shape:
        return math.inf
    if ours.size == 0 or np.array_equal(ours, theirs):
        return 0.0
    one, two = ours.astype(np.float64), theirs.astype(np.float64)
    same = (one == two) | (np.isnan(one) & np.isnan(two))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(one - two))
    return float(np.where(np.isnan(apart), math.inf, apart).max())
