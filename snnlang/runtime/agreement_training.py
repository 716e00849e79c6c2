"""Whether the targets of this machine agree on a training: spikes and states against the interpreter, gradients and updates among targets.

Forwards, the network of a ``train`` block is one that can be simulated: its plan is run by the interpreter, which shares no code with the
passes of training, and every event and every state of the first samples must be the same. Backwards there is no interpreter: the loss, the
gradient of every trained array and the arrays after a few updates are compared with those of the first target that trains. Several
threads must give the very bits of one (where threadpoolctl is installed: see :mod:`snnlang.runtime.blas`). Numbers are float64 unless
asked otherwise, so that rounding decides no spike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen import kernel as k
from snnlang.codegen.plan import EventRecorder, Plan, ValueRecorder
from snnlang.compile import plan_training
from snnlang.diagnostics import SnnError, error
from snnlang.frozen import dataclass
from snnlang.model.elaborate import Overrides, elaborate
from snnlang.model.model import Program
from snnlang.model.weights import Weights, with_weights
from snnlang.runtime.agreement import (
    TOLERANCE,
    Agreement,
    Comparison,
    Events,
    Flip,
    Variable,
    Way,
    ways_here,
    with_all_events,
)
from snnlang.runtime.blas import can_be_told
from snnlang.runtime.engine_cells import Readout
from snnlang.runtime.excerpt import INTERPRETED, Excerpt, operations
from snnlang.runtime.network import Network
from snnlang.runtime.optimizers import Optimizer
from snnlang.runtime.simulation import Simulation
from snnlang.runtime.training import Trainer

Values = NDArray[Any]

#: Samples that the interpreter shows, samples of the batches that are learned, and how many of these.
SHOWN, LEARNED, UPDATES = 2, 16, 3
#: Seconds that the interpreter may take for a sample.
PATIENCE = 5.0
INTERPRETER = "interpreter"


@dataclass(frozen=True, slots=True)
class _Shown:
    """One way forwards: what every label gave, (steps, samples, neurons)."""

    values: dict[str, Values]


def verify_training(
    program: Program,
    name: str | None,
    overrides: Overrides,
    *,
    targets: Sequence[str] | None = None,
    threads: int | None = None,
    data: Mapping[str, Any] | None = None,
) -> Agreement:
    """Compare the targets on a ``train`` block: its forward pass with the interpreter, its updates with each other.

    ``data`` are columns or (x, y) by the name that the block's ``data`` has. Raises what the first target raises, such as E754 where they
    are missing.
    """
    ways, skipped = ways_here(targets, threads)
    asked = targets is not None and INTERPRETER in targets
    learning = [way for way in ways if way.target != INTERPRETER]
    if not learning:
        raise error("E711", "no target that trains is left to compare", help="name numpy, c or cuda with --targets")
    options = replace(overrides, precision=overrides.precision or "float64", threads=None)
    first = Network(program, name, replace(options, target=learning[0].target, threads=learning[0].threads))
    name_of_data = str(first.training.data.options.get("name", ""))
    for other in data or {}:
        if other != name_of_data:
            wanted = f"it takes `{name_of_data}`" if name_of_data else "it has data of its own"
            raise error("E754", f"this training takes no data called `{other}`", first.training.data.span, wanted)
    given = (data or {}).get(name_of_data)
    trainer = Trainer(first.learner, data={} if given is None else {"data": given})
    _, x, y = next(iter(trainer.batches.epoch(0)))
    x, y = x[:LEARNED], y[:LEARNED]
    names = _spiking(first.learner.plan)
    plan = first.learner.plan
    part = Excerpt(first.training.steps, first.training.steps, plan.dt, _timed(first), len(x), trainer.batches.samples)
    precision = {"double": "float64", "single": "float32"}[plan.precision]
    shown = None
    if any(way.target == INTERPRETER for way in ways):
        reason = _unlike(first) or (None if asked else _too_slow(first))
        if reason is None:
            shown = _interpreted(first, program, name, options, x[:SHOWN])
        else:
            skipped = [(INTERPRETER, reason), *skipped]

    forward: list[Comparison] = []
    backward: list[Comparison] = []
    begun = first.learner.held()
    learned: dict[Way, dict[str, list[Values]]] = {}
    for way in learning:
        alone = next((w for w in learned if w.target == way.target and w.threads == 1), None)
        against = alone or learning[0]
        tolerance = 0.0 if alone is not None and can_be_told() else TOLERANCE[plan.precision]
        try:
            network = Network(program, name, replace(options, target=way.target, threads=way.threads))
            held = network.learner.held()
            for key, value in begun.items():
                held[key][...] = value
            network.learner.put(held)
            if shown is not None and way.threads in (None, 1):
                found = _forward(network, x[:SHOWN], names)
                forward.append(_compared(way.label, INTERPRETER, TOLERANCE[plan.precision], shown, found, names))
            learned[way] = _learned(network, *trainer.data.named(x, y))
        except SnnError as problem:
            if way is learning[0]:
                raise
            said = "; ".join(f"{d.code}: {d.message}" for d in problem.diagnostics)
            backward.append(Comparison(way.label, against.label, tolerance, problem=said))
            continue
        if way is not learning[0]:
            backward.append(_apart(way.label, against.label, tolerance, learned[against], learned[way]))
    title = first.experiment.name
    ahead = None
    if shown is not None:
        few = replace(part, trials=min(SHOWN, len(x)))
        ahead = Agreement(f"{title}, forwards", few, precision, INTERPRETER, tuple(forward), remedy="")
    return Agreement(
        f"{title}, {UPDATES} updates",
        part,
        precision,
        learning[0].label,
        tuple(backward),
        tuple(skipped),
        first.warnings,
        "the same loss, gradients and updates",
        "",
        ahead,
    )


def _timed(network: Network) -> bool:
    plan = network.learner.plan
    populations = network.experiment.network.populations
    return not (plan.time_offset == 0 and plan.dt == 1.0 and all(p.model.step is None for p in populations))


# --- forwards ---------------------------------------------------------------------------------------------------------


def _spiking(plan: Plan) -> dict[str, str]:
    """Every event by the name of its list, as users call it."""
    return {
        events.name: f"{events.owner}.{'spikes' if events.event == 'spike' else events.event}"
        for events in plan.lists.values()
        if events.owner
    }


def _states(network: Network) -> list[tuple[str, str, str]]:
    """(label, population, array) of the states that training can read in every step."""
    learner = network.learner
    return [
        (f"{path}.{learner.plan.arrays[name].variable}", path, name)
        for path, cell in learner.layers.cells.items()
        if not (cell.connection and (learner.plan.late or learner.plan.trained_delays))  # kept per synapse in a simulation
        for name in cell.outputs
        if name in learner.plan.arrays
        and learner.plan.arrays[name].role == "state"
        and learner.plan.arrays[name].variable
        and learner.plan.arrays[name].type == "real"
    ]


def _simulated(network: Network, program: Program, name: str | None, options: Overrides) -> tuple[Any, Plan]:
    """The experiment with the network's initial numbers written into it, and its plan, recording every event and state."""
    weights = Weights(network.learner.held(), "the network", network.experiment.seed)
    experiment = with_weights(elaborate(program, name, replace(options, weights=None, target=INTERPRETER)), weights)
    plan = with_all_events(plan_training(experiment, network.learner.plan.precision, shown=True))
    taken = {recorder.label for recorder in plan.recorders}
    added = tuple(
        ValueRecorder(label, array, None, 1, plan.arrays[array].unit, path)
        for label, path, array in _states(network)
        if label not in taken and array in plan.arrays
    )
    return experiment, replace(plan, recorders=(*plan.recorders, *added))


def _unlike(network: Network) -> str | None:
    """Why a simulation of the network would not be what training does; None where it would."""
    cells = network.learner.layers.cells.values()
    if any(isinstance(part, k.Draw) for cell in cells for let in cell.body for part in k.walk(let.value)):
        return "its random numbers are those of a simulation, not those of a sample"
    learner = network.learner
    for array, _, _ in learner.plan.trained_delays.values():
        steps = float(learner.arrays.down(learner.values[array])) / learner.plan.dt
        if abs(steps - round(steps)) > 1e-6 * max(1.0, steps):
            return "a trained delay lies between two steps"
    return None


def _too_slow(network: Network) -> str | None:
    """Why nobody would wait for the interpreter to show a sample of a network; None where it is quick."""
    plan = network.learner.plan
    seconds = operations(plan) * INTERPRETED * network.training.steps
    if seconds > PATIENCE:
        return f"a sample would take it about {seconds:.0f} s; --targets interpreter,numpy,c waits for it"
    return None


def _interpreted(
    network: Network, program: Program, name: str | None, options: Overrides, x: Values
) -> _Shown:
    experiment, plan = _simulated(network, program, name, options)
    steps = network.training.steps
    sizes = {events.name: events.size for events in plan.lists.values()}
    values: dict[str, list[Values]] = {}
    for sample in x:
        simulation = Simulation(experiment, plan, target=INTERPRETER, watch_all=False)
        timed = network.training.steps > 1 and sample.size != sum(i.size for i in experiment.network.inputs)
        if timed:
            for step in range(steps):
                _give(simulation, network, sample[step])
                simulation.run(plan.dt)
        else:
            _give(simulation, network, sample)
            simulation.run(steps*plan.dt)
        recording = simulation._output.sink.collect()
        for recorder in plan.recorders:
            if isinstance(recorder, EventRecorder):
                grid = np.zeros((steps, sizes[recorder.list]))
                at = np.rint(recording[f"{recorder.label}.times"] / plan.dt - plan.time_offset).astype(np.int64)
                grid[at, recording[f"{recorder.label}.indices"]] = 1
                values.setdefault(recorder.label, []).append(grid)
            elif isinstance(recorder, ValueRecorder):
                values.setdefault(recorder.label, []).append(recording[recorder.label].reshape(steps, -1))
    return _Shown({label: np.stack(found, 1) for label, found in values.items()})


def _give(simulation: Simulation, network: Network, sample: Values) -> None:
    for described in network.experiment.network.inputs:
        simulation.set(described.path, np.asarray(sample, np.float64).reshape(described.shape))


def _forward(network: Network, x: Values, names: dict[str, str]) -> _Shown:
    learner = network.learner
    readouts = [Readout(label, path, array) for label, path, array in _states(network)]
    for events in learner.plan.lists.values():
        if events.owner in learner.layers.cells and events.name in names:
            readouts.append(Readout(names[events.name], events.owner, events.name))
    inputs = {path: x for path in network.training.inputs}
    given, once = learner.inputs(inputs)
    with learner.arrays.said():
        made = learner.make_engine(readouts, once, False).forward(given, keep=False)
    return _Shown({label: np.asarray(learner.arrays.down(value), np.float64) for label, value in made.items()})


def _compared(label: str, reference: str, tolerance: float, ours: _Shown, theirs: _Shown, names: dict[str, str]) -> Comparison:
    """Events equal, states within the tolerance of their size, step by step."""
    events: list[Events] = []
    variables: list[Variable] = []
    for name, found in theirs.values.items():
        if name not in ours.values:
            continue
        expected = ours.values[name]
        if name in names.values():
            unlike = np.argwhere((expected != 0) != (found != 0))
            flip = None
            if len(unlike):
                step, sample, index = (int(n) for n in unlike[0])
                flip = Flip(step, index, bool(expected[step, sample, index]))
            events.append(Events(name, int((expected != 0).sum()), int((found != 0).sum()), flip))
        else:
            variables.append(_variable(name, list(expected), list(found), tolerance))
    return Comparison(label, reference, tolerance, tuple(events), tuple(variables))


# --- backwards --------------------------------------------------------------------------------------------------------


def _learned(network: Network, inputs: dict[str, Values], columns: dict[str, Values]) -> dict[str, list[Values]]:
    """The loss and the gradients of each batch, and the arrays after each update."""
    learner, recipe = network.learner, network.training.optimizer
    optimizer = Optimizer(recipe.name, recipe.options, learner.parameters, learner.target == "c", learner.arrays)
    found: dict[str, list[Values]] = {"loss": []}
    for _ in range(UPDATES):
        outcome = learner.learn(inputs, columns)
        found["loss"].append(np.array([outcome.loss]))
        gradients = learner.arrays.down(learner.gradients)
        for one in learner.trained:
            found.setdefault(f"gradient of {one.name}", []).append(np.array(gradients[one.start : one.stop], np.float64))
        optimizer.step(learner.gradients)
        learner.bound()
        for key, value in learner.held().items():
            found.setdefault(key, []).append(np.array(value, np.float64))
    return found


def _apart(
    label: str, reference: str, tolerance: float, ours: dict[str, list[Values]], theirs: dict[str, list[Values]]
) -> Comparison:
    variables = tuple(_variable(name, ours[name], theirs[name], tolerance) for name in ours)
    return Comparison(label, reference, tolerance, (), variables)


def _variable(name: str, ours: list[Values], theirs: list[Values], tolerance: float) -> Variable:
    """The largest difference; a number that is none must be none on both sides."""
    size = max((float(np.abs(v[np.isfinite(v)]).max(initial=0.0)) for v in (*ours, *theirs)), default=0.0) or 1e-6
    largest, beyond = 0.0, None
    for turn, (one, two) in enumerate(zip(ours, theirs, strict=True)):
        same = (one == two) | (np.isnan(one) & np.isnan(two))
        with np.errstate(invalid="ignore"):
            difference = np.where(same, 0.0, np.abs(one - two))
        furthest = float(np.where(np.isnan(difference), math.inf, difference).max(initial=0.0))
        if furthest > tolerance * size and beyond is None:
            beyond = turn
        largest = max(largest, furthest)
    return Variable(name, "", largest, largest / size, size, beyond)
