"""The driver: the only file that knows the order of the stages.

text -> tree -> program -> experiment -> systems and steps -> plan -> text of a target. Each function goes as far as its caller needs, and
imports sympy and NumPy only from the stage that uses them, so that ``snn check`` stays quick.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from snnlang.diagnostics import Collector, Diagnostic, SnnError, Source, error
from snnlang.frozen import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable

    from snnlang.codegen.c_samples import Samples
    from snnlang.codegen.lower import Derived
    from snnlang.codegen.plan import Plan
    from snnlang.model.elaborate import Overrides
    from snnlang.model.model import Program
    from snnlang.model.network import Experiment, Projection
    from snnlang.syntax import tree

TARGETS = ("auto", "c", "cuda", "numpy", "interpreter")
Precision = Literal["double", "single"]
Mathematics = Literal["fast", "strict"]
PRECISIONS: dict[str, Precision] = {"float64": "double", "float32": "single", "double": "double", "single": "single"}


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a sweep: the values given to swept names (as written), and what to run.

    ``identity`` names the plan where the code made of it can be kept (see :mod:`snnlang.prepared`), else it is "".
    """

    values: dict[str, str]
    experiment: Experiment
    plan: Plan
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An experiment ready to run: one point without a sweep, else one per combination.

    ``target`` may be ``auto``: what this machine has is chosen when it runs. ``threads`` None: as many as pay. ``model_hash`` is the
    SHA-256 of the text.
    """

    model_hash: str
    points: tuple[Point, ...]
    target: str
    warnings: tuple[Diagnostic, ...] = field(default=())
    threads: int | None = None
    math: Mathematics = "fast"

    @property
    def experiment(self) -> Experiment:
        return self.points[0].experiment

    @property
    def plan(self) -> Plan:
        return self.points[0].plan


# --- text to program --------------------------------------------------------------------------------------------------


def check_path(path: str | Path) -> tuple[Program | None, list[Diagnostic]]:
    """Read, parse and check a file. Every mistake found is in the list, errors and warnings; the program is None without a tree."""
    from snnlang.reading import read_source

    try:
        source = read_source(path)
    except SnnError as problem:
        return None, list(problem.diagnostics)
    return check_source(source)


def check_text(text: str, name: str = "<string>") -> tuple[Program | None, list[Diagnostic]]:
    """The same for a text."""
    return check_source(Source(name, text))


def check_source(source: Source) -> tuple[Program | None, list[Diagnostic]]:
    """Parse with recovery, then check models, networks and experiments; diagnostics in the order of the text."""
    from snnlang.model.check import check
    from snnlang.model.library import Library
    from snnlang.syntax.parse import parse_recovering

    collector = Collector()
    file, problems = parse_recovering(source)
    for problem in problems:
        collector.add(problem)
    if file is None:
        return None, collector.sorted()
    program = check(file, Library(), collector)
    if has_networks(file):
        from snnlang.model.elaborate import check_experiments, check_networks

        check_networks(program, collector)
        check_experiments(program, collector)
    if collector.has_errors:  # an import that seems unused may be the name that is misspelt
        collector.diagnostics[:] = [found for found in collector.diagnostics if found.code != "W101"]
    return program, collector.sorted()


def has_networks(file: tree.File) -> bool:
    """Whether a file holds anything beyond models: only then are shapes and numbers needed."""
    from snnlang.syntax import tree

    return any(isinstance(item, (tree.Network, tree.Experiment)) for item in file.items)


def load_program(source: Source) -> Program:
    """Check a source and raise SnnError with everything found when any of it is an error."""
    program, found = check_source(source)
    if program is None or any(diagnostic.is_error for diagnostic in found):
        raise SnnError(*found)
    return replace(program, warnings=tuple(found))


# --- program to plan --------------------------------------------------------------------------------------------------


def derive_network(experiment: Experiment, differentiated: bool = False) -> Derived:
    """The symbolic stage: placement of synaptic variables, then a System and a Step for every population. ``differentiated``: as a training
    wants them, see :func:`plan_training`."""
    from snnlang.codegen.lower import Derived, DerivedProjection, delay_steps
    from snnlang.dynamics.equations import derive
    from snnlang.dynamics.integrate import discretize
    from snnlang.dynamics.placement import advance_rule, attachment, is_folded, normalise, place
    from snnlang.model.network import ArrayValue

    projections: dict[str, DerivedProjection] = {}
    attached: dict[str, list[Any]] = {population.path: [] for population in experiment.network.populations}
    prefixes: set[str] = set()
    for projection in experiment.network.projections:
        written = _synapse_of(projection)
        synapse = normalise(written, experiment.dt, _constants(written, projection.arguments))
        uniform, constant = _uniform_names(projection, synapse, experiment)
        frozen = {variable for path, variable in experiment.freeze if path == projection.path}
        uniform_delay = projection.delay is None or delay_steps(projection, experiment.dt) is not None
        if differentiated:  # every synapse gets a weight of its own, and delays are links of their own lags
            uniform_delay = True
            constant = constant if projection.synapse is None else frozenset()
        plain_dendritic = projection.dendritic is None or not isinstance(projection.dendritic, ArrayValue)
        shared_weights = projection.pattern.kind == "conv2d"
        placement = place(synapse, uniform, uniform_delay, plain_dendritic, shared_weights, constant - frozen)
        given, varied = _given_states(projection, synapse, uniform)
        given -= {placed.name for placed in placement.placed if placed.where == "summed"}
        if given:
            placement = place(
                synapse, uniform, uniform_delay, plain_dendritic, shared_weights, constant - frozen, given, varied & given
            )
        piece = None
        if synapse.delivers and not any(p.port == "output" for p in (projection.pre,)) and projection.settle is None:
            prefix = _prefix(projection, prefixes)
            piece = attachment(prefix, synapse, placement, projection.post.port, projection.gain)
            if not piece.terms:
                piece = None
        if piece is not None:
            attached[projection.post.path].append(piece)
        names = [
            state.name for state in synapse.states if state.kind == "ode" and placement.where(state.name) != "summed"
        ]
        names += [trace.name for trace in synapse.traces if placement.where(trace.name) != "summed"]
        advance = advance_rule(synapse, tuple(names)) if names else None
        bare = tuple(d for d in synapse.delivers if piece is None or not is_folded(d, synapse, placement))
        projections[projection.path] = DerivedProjection(synapse, placement, piece, advance, bare)
    populations = {}
    fed = _fed_inputs(experiment, projections)
    for population in experiment.network.populations:
        absent = frozenset(i.name for i in population.model.inputs) - fed[population.path]
        system = derive(population.model, tuple(attached[population.path]), population.path, absent)
        if system.windows:
            from snnlang.dynamics.kernels import realise

            system = realise(system, experiment.dt, _constants(population.model, population.arguments))
        method = experiment.method.get(population.path, experiment.method.get("", "auto"))
        populations[population.path] = (system, discretize(system, method))
    return Derived(populations, projections)


def _synapse_of(projection: Projection) -> Any:
    from snnlang.codegen.lower import plain_synapse

    return plain_synapse(projection) if projection.synapse is None else projection.synapse


def _prefix(projection: Projection, taken: set[str]) -> str:
    from snnlang.codegen.assembly import identifier

    base = identifier(projection.path)
    name, number = base, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    taken.add(name)
    return name


def _uniform_names(
    projection: Projection, synapse: Any, experiment: Experiment
) -> tuple[frozenset[str], frozenset[str]]:
    """Names that have one value for the whole projection, and the weights among them that nothing changes."""
    from snnlang.codegen.lower_population import is_per_item
    from snnlang.codegen.lower_projection import assigned_names
    from snnlang.model.network import ArrayValue

    uniform: set[str] = set()
    for param in synapse.params:
        value = projection.arguments.get(param.name, param.default)
        if value is None or (
            not isinstance(value, ArrayValue)
            and not is_per_item(value, lambda n: n not in uniform and any(p.name == n for p in synapse.params))
        ) or (isinstance(value, ArrayValue) and value.array.size == 1):
            uniform.add(param.name)
    for item in synapse.inputs:
        if item.adjective == "broadcast":
            uniform.add(item.name)
    assigned = assigned_names(synapse)
    assigned |= {at.name for at in experiment.ats if at.path == projection.path}
    constant: set[str] = set()
    for number, weight in enumerate(synapse.weights):
        value = projection.arguments.get(weight.name)
        if value is None and number == 0:
            value = projection.weight
        if value is None:
            value = weight.initial
        single = (
            (value.array.size == 1)
            if isinstance(value, ArrayValue)
            else not is_per_item(value, lambda n: n not in uniform)
        )
        if single and weight.name not in assigned and not (number == 0 and projection.tied):
            constant.add(weight.name)
    return frozenset(uniform), frozenset(constant)


def _given_states(projection: Projection, synapse: Any, uniform: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """States whose initial value the connection gives, and those of them that differ between synapses."""
    from snnlang.codegen.lower_population import is_per_item
    from snnlang.model.network import ArrayValue

    given: set[str] = set()
    varied: set[str] = set()
    for state in synapse.states:
        value = projection.arguments.get(state.name)
        if state.weight or value is None:
            continue
        given.add(state.name)
        if isinstance(value, ArrayValue) or is_per_item(value, lambda name: name not in uniform):
            varied.add(state.name)
    return frozenset(given), frozenset(varied)


def _fed_inputs(experiment: Experiment, projections: dict[str, Any]) -> dict[str, set[str]]:
    """Inputs that receive something beyond folded terms: deliveries, unfolded continuous ones, biases, drives."""
    from snnlang.model import model as m

    fed: dict[str, set[str]] = {population.path: set() for population in experiment.network.populations}

    def ports(body: tuple[m.Statement, ...]) -> list[str | None]:
        result: list[str | None] = []
        for statement in body:
            if isinstance(statement, m.Deliver):
                result.append(statement.port)
            elif isinstance(statement, m.If):
                for _, inner in statement.branches:
                    result += ports(inner)
        return result

    for projection in experiment.network.projections:
        derived = projections[projection.path]
        target = fed[projection.post.path]
        for handler in derived.synapse.handlers:
            target |= {port or projection.post.port for port in ports(handler.body)}
        target |= {deliver.port or projection.post.port for deliver in derived.continuous}
        if projection.bias:
            target.add(projection.post.port)
    for drive in experiment.drives:
        if drive.kind == "input":
            fed[drive.path].add(drive.name)
    return fed


def _constants(model: Any, arguments: dict[str, Any]) -> dict[str, float]:
    from snnlang.model.evaluate import evaluate
    from snnlang.model.network import ArrayValue

    values: dict[str, float] = {}
    for param in model.params:
        value = arguments.get(param.name, param.default)
        if value is not None and not isinstance(value, ArrayValue):
            number = evaluate(value, values)
            if number is not None:
                values[param.name] = float(number)
    return values


def plan_experiment(experiment: Experiment, precision: Precision = "double") -> Plan:
    """Derive, lower and simplify; every mistake that the symbolic stage can find is raised here."""
    return plan_and_remarks(experiment, precision)[0]


def plan_and_remarks(experiment: Experiment, precision: Precision) -> tuple[Plan, list[Diagnostic]]:
    """The plan, and the warnings of the symbolic stage: steps near a method's limit, rules that work per synapse and step."""
    from snnlang.codegen.direct import direct
    from snnlang.codegen.lower import lower
    from snnlang.codegen.simplify import simplify

    if experiment.training is not None:
        raise error(
            "E757",
            f"`{experiment.name}` is a `train` block: it is trained, not simulated",
            experiment.span,
            help=("`snn run FILE NAME` trains it, and so does `snnlang.load(FILE).train()`", "write a `simulate` block to simulate it"),
        )
    refuse_unbuilt(experiment)
    derived = derive_network(experiment)
    remarks = _check_steps(experiment, derived)
    for projection in derived.projections.values():
        remarks += projection.placement.warnings
    return direct(simplify(lower(experiment, derived, precision))), remarks


def plan_training(experiment: Experiment, precision: Precision = "single", *, shown: bool = False) -> Plan:
    """The plan of a ``train`` block: one presentation, its tests of events visible so that it can be differentiated.

    In it every synapse has a weight of its own, and delays that differ or are trained are left to the passes; ``shown``: one that a
    target can run, in which they are delays.
    """
    from snnlang.codegen.lower import lower
    from snnlang.codegen.simplify import simplify
    from snnlang.model.adjoint_use import missing_gradients

    refuse_unbuilt(experiment)
    if shown:
        network = experiment.network
        plain = tuple(replace(projection, delay_range=None) for projection in network.projections)
        experiment = replace(experiment, network=replace(network, projections=plain))
    derived = derive_network(experiment, differentiated=not shown)
    folded = frozenset(path for path, projection in derived.projections.items() if projection.attachment is not None)
    missing = missing_gradients(experiment, folded)
    if missing:
        raise SnnError(*missing)
    _check_steps(experiment, derived)
    return simplify(lower(experiment, derived, precision, learning=True, apart=not shown))


def refuse_unbuilt(experiment: Experiment) -> None:
    """What parses and checks, but only a later version runs: structural plasticity."""
    from snnlang.model.check import cannot_run_model

    found: list[Diagnostic] = []
    for projection in experiment.network.projections:
        if projection.synapse is not None:
            found += cannot_run_model(projection.synapse)
    if found:
        raise SnnError(*dict.fromkeys(found))


def _check_steps(experiment: Experiment, derived: Derived) -> list[Diagnostic]:
    """Warnings about dt; raises when any of it is an error."""
    from snnlang.dynamics.integrate import check_dt

    problems: list[Diagnostic] = []
    for population in experiment.network.populations:
        system, step = derived.populations[population.path]
        problems += check_dt(system, step, experiment.dt, _constants(population.model, population.arguments))
    if any(problem.is_error for problem in problems):
        raise SnnError(*problems)
    return problems


def compile_experiment(program: Program, name: str | None, overrides: Overrides) -> tuple[Experiment, Plan]:
    """One point: the experiment with these overrides, and its plan."""
    from snnlang.model.elaborate import elaborate
    from snnlang.model.memory import require_memory

    experiment = elaborate(program, name, overrides)
    precision = precision_of(experiment, overrides)
    require_memory(experiment, precision=precision, target=target_of(experiment, overrides))
    return experiment, plan_experiment(experiment, precision)


def precision_of(experiment: Experiment, overrides: Overrides) -> Precision:
    """``--precision``, else the experiment's setting, else double; of target cuda, single."""
    usual = "float32" if target_of(experiment, overrides) == "cuda" else "float64"
    return PRECISIONS[str(overrides.precision or experiment.settings.get("precision", usual))]


def target_of(experiment: Experiment, overrides: Overrides) -> str:
    """``--target``, else the experiment's setting, else auto (see :func:`snnlang.runtime.device.make_device`)."""
    chosen = str(overrides.target or experiment.settings.get("target", "auto"))
    if chosen not in TARGETS:
        raise error("E711", f"`{chosen}` is no target of this version", help="use auto, c, cuda, numpy or interpreter")
    return chosen


def threads_of(experiment: Experiment, overrides: Overrides) -> int | None:
    """``--threads``, else the experiment's setting, else None: as many as pay."""
    chosen = overrides.threads or experiment.settings.get("threads")
    return None if chosen is None else int(chosen)


def math_of(experiment: Experiment, overrides: Overrides) -> Mathematics:
    """``--math``, else the experiment's setting, else fast."""
    chosen = overrides.math or experiment.settings.get("math")
    return "strict" if chosen == "strict" else "fast"


def prepare(program: Program, overrides: Overrides, experiment: str | None = None) -> Prepared:
    """Everything that can be found before a run, for each point of the sweep."""
    import hashlib

    from snnlang.model.elaborate import elaborate, points
    from snnlang.model.memory import require_memory

    first = elaborate(program, experiment, overrides)
    found: dict[Diagnostic, None] = dict.fromkeys([*program.warnings, *first.warnings])
    result: list[Point] = []
    for point in points(first):
        chosen = replace(overrides, values={**overrides.values, **point}) if point else overrides
        elaborated = elaborate(program, experiment, chosen) if point else first
        precision = precision_of(elaborated, chosen)
        require_memory(elaborated, precision=precision, target=target_of(elaborated, chosen))
        plan, remarks = plan_and_remarks(elaborated, precision)
        if not result:
            found.update(dict.fromkeys(remarks))
        result.append(Point(_values_as_written(point), elaborated, plan))
    model_hash = hashlib.sha256(program.file.span.source.text.encode()).hexdigest()
    target, threads, math = target_of(first, overrides), threads_of(first, overrides), math_of(first, overrides)
    return Prepared(model_hash, tuple(result), target, tuple(found), threads, math)


def _values_as_written(point: dict[str, tree.Expression]) -> dict[str, str]:
    """The values of swept names as text."""
    if not point:
        return {}
    from snnlang.syntax.format import print_expression

    return {name: print_expression(value) for name, value in point.items()}


# --- text out ---------------------------------------------------------------------------------------------------------


def emit(
    program: Program,
    overrides: Overrides,
    *,
    experiment: str | None = None,
    target: str = "numpy",
    present: Callable[[Experiment, Plan], Samples] | None = None,
) -> dict[str, str]:
    """File name -> text of a module that runs without snnlang. What target cuda needs besides text is made by
    :mod:`snnlang.runtime.standalone_cuda`. ``present`` reads the samples that an experiment presents
    (:func:`snnlang.runtime.standalone_samples.samples_of`): without it, such an experiment is refused (E738)."""
    if target not in ("numpy", "c"):
        raise error("E711", f"`{target}` cannot be written out by this version", help="use --target numpy, --target c or --target cuda")
    chosen, plan = compile_experiment(program, experiment, overrides)
    steps = round(chosen.duration / chosen.dt) if chosen.duration else None
    if chosen.sweep:
        name, points = chosen.sweep[0]
        raise error(
            "E759",
            f"`{chosen.name}` sweeps `{name}`, and what is written out holds one of {len(points)} points",
            chosen.span,
            "several networks",
            help=f"choose one with --set {name}=..., or run all of them with `snn run`",
        )
    if chosen.phases and (target != "c" or present is None):
        raise error(
            "E738",
            f"`{chosen.name}` presents samples, which a module of Python does not load",
            chosen.phases[0].span,
            "the data are not part of the model",
            help="use --target c or --target cuda, whose folders hold the samples, or compile an experiment with a duration and no present",
        )
    if target == "c":
        from snnlang.codegen import standalone_c

        frozen = {
            name: replace(array, data=None, fill=float((array.owner, array.variable) in chosen.freeze))
            for name, array in plan.arrays.items()
            if array.role == "freeze"
        }
        plan = replace(plan, arrays={**plan.arrays, **frozen})
        samples = present(chosen, plan) if present is not None and chosen.phases else None
        return standalone_c.standalone(plan, steps, math_of(chosen, overrides), samples, chosen.record_initial)
    from snnlang.codegen.target_numpy import standalone

    return standalone(plan, steps=steps, initial=chosen.record_initial)
