"""Lower an elaborated experiment and its derived Steps to a Plan: the border after which there is no sympy and no unit.

This file holds the order of a step (language reference, section 7); populations, projections and stimuli are lowered in the files named for
them. Goals: one plan that every target prints, nothing computed per step that could be computed once. It does not simplify.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import Assembly, I, as_real, launch, load, real
from snnlang.codegen.lower_expression import constant_value, lower_expression
from snnlang.codegen.lower_population import (
    PopulationState,
    PopulationStep,
    lower_coefficients,
    lower_params,
    lower_scheduled_handlers,
    lower_trial_start,
    prepare_gaps,
    prepare_population,
    statement_expressions,
)
from snnlang.codegen.lower_projection import (
    ProjectionKernels,
    ProjectionState,
    SynapseMeaning,
    assigned_names,
    longest_delay,
    lower_delays,
    lower_states,
    lower_value,
    tie,
)
from snnlang.codegen.lower_stimulus import at_nodes, clamp_expressions, drive_nodes, given_events, synapse_input_nodes
from snnlang.codegen.plan import (
    ClearList,
    Connectivity,
    EventRecorder,
    Fill,
    Plan,
    PlanNode,
    Settle,
    ValueRecorder,
)
from snnlang.codegen.schedule import components, topological
from snnlang.diagnostics import Diagnostic, error
from snnlang.dynamics.system import Attachment, Placement, Step, System
from snnlang.model import expression as e
from snnlang.model import model as m
from snnlang.model.network import ArrayValue, Endpoint, Experiment, Network, NetworkInput, Pattern, Projection


@dataclass(frozen=True, slots=True)
class DerivedProjection:
    """A projection after placement: its synapse with response kernels made states, and what it attaches to its target.

    ``continuous`` are the bare delivers that did not become terms of the target's equations.
    """

    synapse: m.Synapse
    placement: Placement
    attachment: Attachment | None
    advance: Step | None
    continuous: tuple[m.Deliver, ...] = ()


@dataclass(frozen=True, slots=True)
class Derived:
    """The symbolic stage's result for a whole network."""

    populations: dict[str, tuple[System, Step]]
    projections: dict[str, DerivedProjection]


@dataclass
class _Lowering:
    experiment: Experiment
    derived: Derived
    assembly: Assembly
    networks: dict[str, str] = field(default_factory=dict)
    populations: dict[str, PopulationState] = field(default_factory=dict)
    projections: dict[str, ProjectionState] = field(default_factory=dict)
    kernels: dict[str, ProjectionKernels] = field(default_factory=dict)
    warnings: list[Diagnostic] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    groups: dict[str, int] = field(default_factory=dict)  # population -> settle group
    settled: set[str] = field(default_factory=set)  # projections inside a settle group
    fed: dict[str, set[str]] = field(default_factory=dict)
    given: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def network(self) -> Network:
        return self.experiment.network


def delay_steps(projection: Projection, dt: float) -> int | None:
    """The uniform delay in whole steps; None when it differs between synapses."""
    if projection.delay is None:
        return 0
    if isinstance(projection.delay, ArrayValue):
        numbers = np.unique(np.rint(np.asarray(projection.delay.array, dtype=np.float64) / dt))
        return int(numbers[0]) if numbers.size == 1 else None
    number = constant_value(projection.delay)
    return None if number is None else round(number / dt)


def is_plain(projection: Projection) -> bool:
    return projection.synapse is None


def plain_synapse(projection: Projection) -> m.Synapse:
    """What a connection without ``via`` is: deliver w on every spike, or w times an analogue value."""
    from snnlang.model.units import ONE

    weight = m.State("w", ONE, e.Constant(1.0), "handler", weight=True)
    w = e.Variable("w", ONE)
    port = projection.post.port
    if projection.pre.port == "output":
        delivers = (m.Deliver(e.Binary("*", w, e.Variable("output", ONE, "pre")), port, projection.span),)
        return m.Synapse("plain", None, (), (weight,), (), (), (), (), (), (), (), delivers, span=projection.span)
    handler = m.Handler(
        m.Trigger("pre", projection.pre.port or "spike"), (m.Deliver(w, port, projection.span),), projection.span
    )
    return m.Synapse("plain", None, (), (weight,), (), (), (), (), (), (), (handler,), (), span=projection.span)


def time_offset(network: Network) -> int:
    """1, or 0 for a network of difference models alone, which report the step index."""
    models = [population.model for population in network.populations]
    if any(model.differentials for model in models):
        return 1
    return 0 if any(model.differences for model in models) else 1


def lower(experiment: Experiment, derived: Derived, precision: Literal["double", "single"] = "double") -> Plan:
    """The plan of one experiment at one point of its sweep. Raises SnnError for what cannot run."""
    assembly = Assembly(experiment.seed, experiment.dt, time_offset(experiment.network))
    low = _Lowering(experiment, derived, assembly)
    _inputs(low)
    _population_states(low)
    _order(low)
    _projection_states(low)
    _requirements(low)
    for state in low.populations.values():
        prepare_population(assembly, state)
        lower_params(assembly, state, low.networks)
    _frozen(low)
    for projection in low.projections.values():
        _projection_storage(low, projection)
    for state in low.populations.values():
        prepare_gaps(assembly, state, low.networks)
        lower_coefficients(assembly, state, low.networks)
    for projection in low.projections.values():
        if projection.projection.tied is not None:
            other, transposed = projection.projection.tied
            tie(assembly, projection, low.projections[other], transposed)
    for state in low.populations.values():
        lower_trial_start(assembly, state, low.networks)
    for projection in low.projections.values():
        _summed_initial(low, projection)
    step = _step(low)
    recorders = _recorders(low)
    trial_end: list[PlanNode] = []
    for path in reversed(low.order):
        for projection in low.projections.values():
            if projection.post.path == path:
                trial_end += low.kernels[projection.path].trial("trial_end")
    assembly.trial_end[:0] = trial_end
    for projection in low.projections.values():
        assembly.trial_start.extend(low.kernels[projection.path].trial("trial_start"))
    return Plan(
        experiment.name,
        experiment.dt,
        assembly.time_offset,
        precision,
        assembly.arrays,
        assembly.lists,
        assembly.queues,
        assembly.streams,
        assembly.connectivities,
        tuple(assembly.setup),
        tuple(assembly.coefficients),
        tuple(assembly.trial_start),
        tuple(step),
        tuple(assembly.trial_end),
        tuple(recorders),
        tuple(assembly.explanation),
    )


# --- registration -----------------------------------------------------------------------------------------------------


def _inputs(low: _Lowering) -> None:
    for network_input in low.network.inputs:
        low.networks[network_input.path] = low.assembly.add_array(
            network_input.path,
            (network_input.size,),
            role="input",
            owner=network_input.path,
            variable="value",
            unit=str(network_input.unit),
            span=network_input.span,
        )


def _population_states(low: _Lowering) -> None:
    clamps = clamp_expressions(low.experiment)
    for population in low.network.populations:
        system, step = low.derived.populations[population.path]
        state = PopulationState(population, system, step)
        state.clamp = clamps.get(population.path, {})
        low.populations[population.path] = state
        low.fed[population.path] = set()


def _order(low: _Lowering) -> None:
    """Turns of the populations; what a cycle delays; settle groups."""
    names = [population.path for population in low.network.populations]
    dt = low.experiment.dt
    undelayed: list[tuple[Projection, str, str]] = []
    for projection in low.network.projections:
        if projection.pre.path in low.populations and delay_steps(projection, dt) == 0:
            undelayed.append((projection, projection.pre.path, projection.post.path))
    all_components = components(names, [(a, b) for _, a, b in undelayed])
    settling = {
        all_components[a] for p, a, b in undelayed if p.settle is not None and all_components[a] == all_components[b]
    }
    forward: list[tuple[str, str]] = []
    for projection, source, target in undelayed:
        inside = all_components[source] == all_components[target]
        if not inside:
            forward.append((source, target))
        elif all_components[source] in settling:
            low.settled.add(projection.path)
            low.groups[source] = low.groups[target] = all_components[source]
            if projection.settle is None and source != target:
                pass
        else:
            low.assembly.explanation.append(
                f"{projection.path} lies on a cycle of undelayed projections and arrives one step later"
            )
    # members of a settle group stand together: order components, then members
    grouped = {name: f"group {low.groups[name]}" if name in low.groups else name for name in names}
    heads = list(dict.fromkeys(grouped[name] for name in names))
    ordered = topological(heads, [(grouped[a], grouped[b]) for a, b in forward if grouped[a] != grouped[b]])
    low.order = [name for head in ordered for name in names if grouped[name] == head]
    low.assembly.explanation.append("turns: " + ", ".join(low.order))


def _part(endpoint: Endpoint, size: int) -> range | np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return range(size) if endpoint.indices is None else endpoint.indices


def _contiguous(part: range | np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> bool:
    return isinstance(part, range) and (len(part) == 0 or part.step == 1)


def _channels_first(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) == 1:
        return (1, 1, shape[0])
    if len(shape) == 2:
        return (1, shape[0], shape[1])
    return (int(np.prod(shape[:-2], dtype=np.int64)), shape[-2], shape[-1])


def _connectivity(low: _Lowering, projection: Projection, constant_weight: bool) -> str:
    """Register which synapses exist."""
    assembly = low.assembly
    pattern: Pattern = projection.pattern
    pre_size = _size_of(low, projection.pre.path)
    post_size = _size_of(low, projection.post.path)
    pre_part, post_part = _part(projection.pre, pre_size), _part(projection.post, post_size)
    kind: Literal["dense", "one_to_one", "sparse"] = "sparse"
    options = dict(pattern.options)
    if pattern.kind == "dense":
        kind = "dense" if _contiguous(pre_part) and _contiguous(post_part) else "sparse"
    elif pattern.kind in ("one_to_one", "flatten"):
        kind = "one_to_one" if _contiguous(pre_part) and _contiguous(post_part) else "sparse"
    shared = 0
    if pattern.kind in ("conv2d", "local2d", "avg_pool", "max_pool"):
        options["pre_shape"] = _channels_first(projection.pre.shape)
    if pattern.kind == "conv2d":
        height, width = options["kernel"]
        shared = options["channels"] * (options["pre_shape"][0] // options.get("groups", 1)) * height * width
    if pattern.kind == "where":
        options["condition"] = pattern.condition
        options["pre_shape"] = _shape_of(low, projection.pre.path)
        options["post_shape"] = _shape_of(low, projection.post.path)
    name = assembly.unique(projection.path)
    same = projection.pre.path == projection.post.path
    autapses = bool(options.get("autapses", True)) or not same
    stream = ""
    if pattern.kind in ("random", "fixed_indegree", "fixed_outdegree", "fixed_total"):
        stream = assembly.add_stream(projection.path, "connectivity")
    assembly.connectivities[name] = Connectivity(
        name,
        kind,
        pre_size,
        post_size,
        pre_part,
        post_part,
        "one_to_one" if pattern.kind == "flatten" else pattern.kind,
        options,
        stream,
        autapses,
        shared,
        False,
        projection.path,
        projection.span,
    )
    del constant_weight
    return name


def _size_of(low: _Lowering, path: str) -> int:
    if path in low.populations:
        return low.populations[path].size
    return next(i.size for i in low.network.inputs if i.path == path)


def _shape_of(low: _Lowering, path: str) -> tuple[int, ...]:
    if path in low.populations:
        return low.populations[path].population.shape
    return next(i.shape for i in low.network.inputs if i.path == path)


def _projection_states(low: _Lowering) -> None:
    assembly, dt = low.assembly, low.experiment.dt
    inputs = {i.path: i for i in low.network.inputs}
    position = {name: number for number, name in enumerate(low.order)}
    component = components(
        low.order,
        [
            (p.pre.path, p.post.path)
            for p in low.network.projections
            if p.pre.path in low.populations and delay_steps(p, dt) == 0 and p.path not in low.settled
        ],
    )
    for projection in low.network.projections:
        derived = low.derived.projections[projection.path]
        post = low.populations[projection.post.path]
        pre: PopulationState | NetworkInput = (
            low.populations[projection.pre.path]
            if projection.pre.path in low.populations
            else inputs[projection.pre.path]
        )
        state = ProjectionState(
            projection,
            derived.synapse,
            derived.placement,
            pre,
            post,
            _connectivity(low, projection, True),
            advance=derived.advance,
        )
        state.continuous = derived.continuous
        state.max_pool = projection.pattern.kind == "max_pool"
        state.shared = assembly.connectivities[state.connectivity].shared_size > 0
        if derived.attachment is not None and derived.attachment.terms:
            prefix = derived.attachment.prefix
            for placed in derived.placement.placed:
                if placed.where == "summed":
                    state.attached[placed.name] = f"{prefix}_{placed.name}"
            if not state.attached:
                state.attached[""] = ""
        if isinstance(pre, PopulationState):
            lag = delay_steps(projection, dt)
            on_cycle = component[pre.path] == component[post.path] and projection.path not in low.settled
            if lag == 0 and on_cycle:
                lag = 1
            if lag is None:
                before = position[pre.path] < position[post.path]
                state.emission_lag = 0 if before else 1
            state.lag = lag
        if projection.dendritic is not None:
            if isinstance(projection.dendritic, ArrayValue) or constant_value(projection.dendritic) is None:
                raise error(
                    "E731",
                    "a dendritic delay that differs between synapses cannot run yet",
                    projection.span,
                    "one value is needed",
                    help="give one dendritic delay for the connection; axonal delays may differ",
                )
            state.dendritic = round((constant_value(projection.dendritic) or 0.0) / dt)
        needs_columns = any(h.trigger.kind in ("post", "input") for h in derived.synapse.handlers) or any(
            t.trigger.kind in ("post", "input") for t in derived.synapse.traces
        )
        if needs_columns:
            old = assembly.connectivities[state.connectivity]
            assembly.connectivities[state.connectivity] = Connectivity(
                old.name,
                old.kind,
                old.pre_size,
                old.post_size,
                old.pre_part,
                old.post_part,
                old.pattern,
                old.options,
                old.stream,
                old.autapses,
                old.shared_size,
                True,
                old.owner,
                old.span,
            )
        low.projections[projection.path] = state
        low.kernels[projection.path] = ProjectionKernels(
            assembly, state, low.networks, lambda s, port: _target(low, s, port)
        )


def _target(low: _Lowering, state: ProjectionState, port: str) -> tuple[str, bool]:
    """Where a delivery to a port accumulates: the input's array, or the port's collected jumps."""
    post = state.post
    if any(i.name == port for i in post.population.model.inputs):
        return post.arrays[port], True
    return post.jumps[port], False


# --- what must be kept for others -------------------------------------------------------------------------------------


def _synapse_expressions(synapse: m.Synapse) -> list[tuple[e.Expr, bool]]:
    """Every expression with whether it is read in the last phase of a step."""
    result: list[tuple[e.Expr, bool]] = []
    for handler in synapse.handlers:
        late = handler.trigger.kind in ("post", "input", "every") or synapse.order == ("post", "pre")
        result.extend((value, late) for value in statement_expressions(handler.body))
    result.extend((d.value, False) for d in synapse.delivers)
    result.extend((d.value, True) for d in synapse.definitions)
    result.extend((d.value, False) for d in synapse.differences)
    result.extend((d.right, False) for d in synapse.differentials)
    return result


def _requirements(low: _Lowering) -> None:
    """Inputs that are fed, jumps, values that travel or are seen late, outputs, and what is recorded."""
    assembly = low.assembly
    for state in low.projections.values():
        synapse, post = state.synapse, state.post
        ports: list[str] = []
        for handler in synapse.handlers:
            for statement in _flat(handler.body):
                if isinstance(statement, m.Deliver):
                    ports.append(statement.port or state.projection.post.port)
                elif isinstance(statement, m.Assign) and statement.scope != "self":
                    side = state.pre if statement.scope == "pre" else post
                    if isinstance(side, PopulationState) and handler.trigger.kind == "pre":
                        _need_jump(assembly, side, statement.name)
                elif isinstance(statement, m.Assign) and statement.name in state.attached:
                    _need_jump(assembly, post, state.attached[statement.name])
        ports.extend(deliver.port or state.projection.post.port for deliver in state.continuous)
        for port in ports:
            if any(i.name == port for i in post.population.model.inputs):
                low.fed[post.path].add(port)
            else:
                _need_jump(assembly, post, port)
        if state.projection.bias:
            low.fed[post.path].add(state.projection.post.port)
        _travelling(low, state)
    for drive in low.experiment.drives:
        if drive.kind == "input":
            low.fed[drive.path].add(drive.name)
        elif drive.kind == "events":
            key = (drive.path, drive.name or "spike")
            if key not in low.given:
                population = low.populations[drive.path]
                low.given[key] = assembly.add_array(
                    f"{drive.path}.{key[1]}_given", (population.size,), type="bool", role="scratch"
                )
                population.clamp[key[1]] = e.Variable(f"{key[1]} given")
                population.arrays[f"{key[1]} given"] = low.given[key]
    for population in low.populations.values():
        _input_arrays(low, population)
    for record in low.experiment.records:
        if record.kind == "state":
            _need_visible(low, low.populations[record.path], record.variable)
    for path, variable in _bound_values(low):
        _need_visible(low, low.populations[path], variable)


def _input_arrays(low: _Lowering, state: PopulationState) -> None:
    """Arrays of the inputs that something feeds; the others are their default."""
    assembly = low.assembly
    for port in sorted(low.fed[state.path]):
        unit = next(str(i.unit) for i in state.population.model.inputs if i.name == port)
        state.arrays[port] = assembly.add_array(
            f"{state.path}.{port}", (state.size,), role="input", owner=state.path, variable=port, unit=unit
        )
    for item in state.population.model.inputs:
        if item.name not in state.arrays:
            state.constants[item.name] = item.default


def _reader(assembly: Assembly, array: str, single: bool) -> Callable[[k.Expr], k.Expr]:
    """Reads a bound input at a post neuron; a broadcast one has one value."""

    def read(post_index: k.Expr) -> k.Expr:
        return load(assembly, array, k.Const(0, "int") if single else post_index)

    return read


def _flat(body: tuple[m.Statement, ...]) -> list[m.Statement]:
    result: list[m.Statement] = []
    for statement in body:
        result.append(statement)
        if isinstance(statement, m.If):
            for _, inner in statement.branches:
                result.extend(_flat(inner))
    return result


def _need_jump(assembly: Assembly, state: PopulationState, port: str) -> None:
    if port not in state.jumps:
        state.jumps[port] = assembly.add_array(f"{state.path}.{port}_jump", (state.size,), role="scratch")


def _need_visible(low: _Lowering, state: PopulationState, name: str) -> None:
    """Keep a definition, an output, or an input that synapses were folded into or nothing feeds, in an array of its own."""
    assembly = low.assembly
    folded = [term for term in _folded_terms(low, state.path) if term[0] == name]
    if folded and any(item.name == name for item in state.population.model.inputs):
        if name not in state.totals:
            kind = next(item.unit for item in state.population.model.inputs if item.name == name)
            total: e.Expr = e.Constant(0.0, kind) if name in state.constants else e.Variable(name, kind)
            for _, term in folded:
                total = e.Binary("+", total, term)
            array = assembly.add_array(
                f"{state.path}.{name}_total", (state.size,), role="scratch", owner=state.path, variable=f"{name} in all", unit=str(kind)
            )
            state.totals[name] = (array, total)
        return
    if name == "output":
        _need_output(assembly, state)
        return
    if any(d.name == name for d in state.population.model.definitions) and name not in state.visible:
        state.visible.add(name)
        unit = next(str(d.unit) for d in state.population.model.definitions if d.name == name)
        state.arrays[name] = assembly.add_array(
            f"{state.path}.{name}", (state.size,), role="scratch", owner=state.path, variable=name, unit=unit
        )
    elif name in state.constants and name not in state.arrays:
        number = constant_value(state.constants[name]) or 0.0
        state.arrays[name] = assembly.add_array(
            f"{state.path}.{name}",
            (state.size,),
            role="data",
            owner=state.path,
            variable=name,
            data=np.full(state.size, number),
        )


def _folded_terms(low: _Lowering, path: str) -> list[tuple[str, e.Expr]]:
    """What synapses add to inputs and port states inside the equations of a population."""
    result: list[tuple[str, e.Expr]] = []
    for projection in low.network.projections:
        attachment = low.derived.projections[projection.path].attachment
        if projection.post.path == path and attachment is not None:
            result.extend(attachment.terms)
    return result


def _need_output(assembly: Assembly, state: PopulationState) -> None:
    if not state.output:
        state.output = assembly.add_array(
            f"{state.path}.output", (state.size,), role="scratch", owner=state.path, variable="output"
        )
        state.arrays["output"] = state.output


def _bound_values(low: _Lowering) -> list[tuple[str, str]]:
    result = []
    for projection in low.network.projections:
        for target in projection.bindings.values():
            path, _, variable = target.rpartition(".")
            if path in low.populations and not any(
                x.name == variable for x in low.populations[path].population.model.events
            ):
                result.append((path, variable))
    return result


def _travelling(low: _Lowering, state: ProjectionState) -> None:
    """Rings of pre values that arrive later than they were sent, and of post values as they were at the start of a step."""
    assembly = low.assembly
    position = {name: number for number, name in enumerate(low.order)}
    longest = 0
    if isinstance(state.pre, PopulationState):
        if state.lag is None:
            assert state.projection.delay is not None
            shortest = 1 if state.emission_lag else 0
            lower_delays(assembly, state, low.networks, state.projection.delay, shortest)
        longest = longest_delay(assembly, state)
    for value, late in _synapse_expressions(state.synapse):
        for node in e.walk(value):
            match node:
                case e.Variable(name=name, scope="pre") if isinstance(state.pre, PopulationState) and name != "index":
                    if name == "output":
                        _need_output(assembly, state.pre)
                    if any(p.name == name for p in state.pre.population.model.params):
                        continue
                    if longest > 0 or state.lag is None:
                        _ring(assembly, state.pre.sent, state.pre, name, longest + 1)
                    elif name not in ("output",) and any(
                        d.name == name for d in state.pre.population.model.definitions
                    ):
                        _need_visible(low, state.pre, name)
                case e.Occurs(event=event, scope="pre") if isinstance(state.pre, PopulationState):
                    _ring(assembly, state.pre.sent, state.pre, state.event(event), longest + node.lag + 1, "bool")
                case e.Occurs(event=event, scope="post"):
                    _ring(
                        assembly,
                        state.post.sent,
                        state.post,
                        event or "spike",
                        state.dendritic + max(node.lag, 1) + 1,
                        "bool",
                    )
                case e.Variable(name=name, scope="post") if name != "index":
                    if any(p.name == name for p in state.post.population.model.params):
                        continue
                    if name == "output":
                        _need_output(assembly, state.post)
                    if late or state.dendritic > 0:
                        _ring(assembly, state.post.seen, state.post, name, state.dendritic + 1)
                case e.AtTime(name=name):
                    _look_back(low, state, name, node)
                case _:
                    pass
    del position


def _ring(
    assembly: Assembly,
    rings: dict[str, str],
    state: PopulationState,
    name: str,
    depth: int,
    type: Literal["real", "bool"] = "real",
) -> None:
    if name not in rings:
        kind = "sent" if rings is state.sent else "seen"
        rings[name] = assembly.add_array(
            f"{state.path}.{name}_{kind}", (state.size,), type=type, role="history", depth=depth
        )
    else:
        assembly.need_ring(rings[name], depth)


def _look_back(low: _Lowering, state: ProjectionState, name: str, node: e.AtTime) -> None:
    if name in state.past:
        return
    where = state.where(name)
    if where not in ("pre", "post"):
        raise error(
            "E728",
            f"`{name}` differs between synapses, so its past is not kept",
            node.span,
            "looked back at here",
            help="give all synapses the same time constant and delay, so that one trace per neuron serves them",
        )
    experiment = low.experiment
    longest = max([experiment.duration, *(phase.duration + phase.rest for phase in experiment.phases)])
    depth = max(2, round(longest / experiment.dt) + 1)
    size = state.pre_size if where == "pre" else state.post.size
    state.past[name] = low.assembly.add_array(f"{state.path}.{name}_past", (size,), role="history", depth=depth)


def _frozen(low: _Lowering) -> None:
    """A flag for everything that some phase freezes."""
    always = set(low.experiment.freeze)
    wanted = sorted(always | {item for phase in low.experiment.phases for item in phase.freeze})
    for path, variable in wanted:
        fill = 1.0 if (path, variable) in always and not low.experiment.phases else 0.0
        flag = low.assembly.add_array(
            f"{path}.{variable}_frozen", (), type="bool", role="freeze", fill=fill, owner=path, variable=variable
        )
        if path in low.populations:
            low.populations[path].frozen[variable] = flag
        elif path in low.projections:
            low.projections[path].frozen[variable] = flag


# --- projections ------------------------------------------------------------------------------------------------------


def _projection_storage(low: _Lowering, state: ProjectionState) -> None:
    assembly, projection = low.assembly, state.projection
    for param in state.synapse.params:
        value = projection.arguments.get(param.name, param.default)
        if value is None:
            continue
        state.arrays[param.name] = lower_value(
            assembly, state, low.networks, param.name, value, role="param", scalar=True, unit=str(param.unit)
        )
        if state.attached:
            prefix = f"{low.derived.projections[state.path].attachment.prefix}_"  # type: ignore[union-attr]
            state.post.arrays.setdefault(prefix + param.name, state.arrays[param.name])
    _bindings(low, state)
    lower_states(assembly, state, low.networks)
    if state.lag is None:
        depth = longest_delay(assembly, state) + 1
        for trace in state.synapse.traces:
            if state.where(trace.name) == "pre":
                state.rings[trace.name] = assembly.add_array(
                    f"{state.path}.{trace.name}_sent", (state.pre_size,), role="history", depth=depth
                )
    if state.advance is not None:
        meaning = SynapseMeaning(assembly, state, low.networks, "synapse")
        for let in state.advance.coefficients:
            value_kernel = as_real(lower_expression(let.value, meaning))
            varies = any(
                isinstance(n, k.Load) and assembly.arrays[n.array].connectivity is not None
                for n in k.walk(value_kernel)
            )
            array = assembly.add_array(
                f"{state.path}.{let.name}", (), role="coefficient", connectivity=state.connectivity if varies else None
            )
            state.arrays[let.name] = array
            domain: k.Domain = k.Synapses(state.connectivity) if varies else k.Single()
            index = k.Local("synapse", "int") if varies else None
            assembly.coefficients.append(
                launch(
                    f"{array}_value",
                    f"coefficient of {state.path}",
                    domain,
                    [k.Store(array, index, value_kernel, let.source)],
                )
            )


def _summed_initial(low: _Lowering, state: ProjectionState) -> None:
    """A summed state starts at the sum of its synapses' initial values."""
    for variable in state.synapse.states:
        if variable.name not in state.attached:
            continue
        value = state.projection.arguments.get(variable.name, variable.initial)
        if isinstance(value, ArrayValue):
            data = low.assembly.add_array(
                f"{state.path}.{variable.name}_initial",
                (),
                role="data",
                data=np.asarray(value.array, dtype=np.float64).reshape(-1),
                connectivity=state.connectivity,
            )
            amount: k.Expr = load(low.assembly, data, k.Local("synapse", "int"))
        elif constant_value(value) == 0.0:
            continue
        else:
            meaning = SynapseMeaning(low.assembly, state, low.networks, "synapse", counter=k.Const(0, "int"))
            meaning.draws = f"{variable.name}."
            amount = as_real(lower_expression(value, meaning))
        target = state.post.arrays[state.attached[variable.name]]
        low.assembly.trial_start.append(
            launch(
                f"{target}_initial",
                f"{state.path}: initial {variable.name} of all synapses",
                k.Synapses(state.connectivity),
                [k.Accumulate(target, k.Local("post", "int"), amount)],
                state.projection.span,
            )
        )


def _bindings(low: _Lowering, state: ProjectionState) -> None:
    """Broadcast and per-post inputs and events: bound to a population or an input, else arrays that data and Python write."""
    assembly = low.assembly
    for event in state.synapse.post_events:
        target = state.projection.bindings.get(event, "")
        path, _, name = target.rpartition(".")
        if path in low.populations and name in {x.name for x in low.populations[path].population.model.events}:
            state.bound_lists[event] = low.populations[path].lists[name]
        else:
            state.bound_lists[event] = assembly.add_list(f"{state.path}_{event}", state.post.size, state.path, event)
            if target in low.networks:
                low.given[state.path, event] = low.networks[target]
    for item in state.synapse.inputs:
        target = state.projection.bindings.get(item.name, "")
        path, _, name = target.rpartition(".")
        if path in low.populations:
            source = low.populations[path]
            single = item.adjective == "broadcast"

            def read(
                post_index: k.Expr, source: PopulationState = source, name: str = name, single: bool = single
            ) -> k.Expr:
                from snnlang.codegen.lower_population import PopulationMeaning

                index = k.Const(0, "int") if single else post_index
                return as_real(PopulationMeaning(assembly, source, low.networks, index=index).current(name))

            state.bound_inputs[item.name] = read
        elif target in low.networks:
            state.bound_inputs[item.name] = _reader(assembly, low.networks[target], item.adjective == "broadcast")
        else:
            shape = () if item.adjective == "broadcast" else (state.post.size,)
            default = constant_value(item.default) or 0.0
            array = assembly.add_array(
                f"{state.path}.{item.name}",
                shape,
                role="input",
                fill=default,
                owner=state.path,
                variable=item.name,
                unit=str(item.unit),
            )
            state.bound_inputs[item.name] = _reader(assembly, array, False)


def _is_constant(low: _Lowering, state: ProjectionState) -> bool:
    """Whether what a projection delivers changes only with the network's inputs."""
    if (
        not isinstance(state.pre, NetworkInput)
        or state.synapse.handlers
        or state.synapse.differences
        or state.synapse.differentials
    ):
        return False
    if any(d.kind == "network_input" and d.path == state.pre.path for d in low.experiment.drives):
        return False
    if any(a.path == state.path for a in low.experiment.ats):
        return False
    names = {
        node.name
        for d in state.synapse.delivers
        for node in e.walk(d.value)
        if isinstance(node, e.Variable) and node.scope == "post"
    }
    return (
        not names
        and not assigned_names(state.synapse)
        and not state.synapse.inputs
        and not any(
            isinstance(node, e.Random) or (isinstance(node, e.Variable) and node.name == "t")
            for d in state.synapse.delivers
            for node in e.walk(d.value)
        )
    )


# --- the step ---------------------------------------------------------------------------------------------------------


def _step(low: _Lowering) -> list[PlanNode]:
    assembly = low.assembly
    nodes: list[PlanNode] = []
    nodes += at_nodes(assembly, low.experiment, low.populations, low.projections, low.networks)
    nodes += synapse_input_nodes(assembly, low.experiment, low.populations, low.projections, low.networks)
    done: set[str] = set()
    for path in low.order:
        if path in done:
            continue
        if path in low.groups:
            members = [name for name in low.order if low.groups.get(name) == low.groups[path]]
            nodes += _settle_turn(low, members)
            done.update(members)
        else:
            nodes += _turn(low, low.populations[path])
            done.add(path)
    for state in low.projections.values():
        for event, list_name in state.bound_lists.items():
            if (state.path, event) in low.given:
                array = low.given[state.path, event]
                nodes.append(ClearList(list_name))
                nodes.append(
                    launch(
                        f"{state.path}_{event}_given",
                        f"{event} of {state.path}",
                        k.Each(state.post.size),
                        [k.If(k.Compare(">", load(assembly, array, I), real(0.0)), (k.Append(list_name),), rare=True)],
                    )
                )
    for state in low.projections.values():
        nodes += low.kernels[state.path].finish()
    for population in low.populations.values():
        nodes += lower_scheduled_handlers(assembly, population, low.networks)
    return nodes


def _feeds(low: _Lowering, state: PopulationState, skip: set[str]) -> tuple[list[PlanNode], list[PlanNode]]:
    """Nodes that fill a population's inputs and jumps: those of every step, and those that only inputs and parameters change."""
    assembly = low.assembly
    moving: list[PlanNode] = []
    still: list[PlanNode] = []
    moving_inputs: set[str] = set()
    still_nodes: list[tuple[str, list[PlanNode]]] = []
    for projection in low.projections.values():
        if projection.post is not state or projection.path in skip:
            continue
        kernels = low.kernels[projection.path]
        port = projection.projection.post.port
        if _is_constant(low, projection):
            still_nodes.append((port, kernels.continuous()))
            still_nodes.append((port, kernels.advance()))
        else:
            turn = kernels.turn()
            moving += turn
            ports = {node_port for node_port in low.fed[state.path] if _writes(turn, state.arrays[node_port])}
            moving_inputs |= ports
        if projection.projection.bias:
            array = assembly.add_array(
                f"{projection.path}.bias", (state.size,), role="weight", owner=projection.path, variable="bias"
            )
            still_nodes.append(
                (
                    port,
                    [
                        launch(
                            f"{array}_added",
                            f"bias of {projection.path}",
                            k.Each(state.size),
                            [k.Accumulate(state.arrays[port], I, load(assembly, array, I))],
                        )
                    ],
                )
            )
    for name, drive, constant in drive_nodes(assembly, low.experiment, state, low.networks):
        if constant:
            still_nodes.append((name, drive))
        else:
            moving += drive
            moving_inputs.add(name)
    if any(projection.path in skip for projection in low.projections.values() if projection.post is state):
        moving_inputs |= {
            p.projection.post.port for p in low.projections.values() if p.post is state and p.path in skip
        }
    fills: list[PlanNode] = []
    for port in sorted(low.fed[state.path]):
        if port in moving_inputs:
            fills.append(Fill(state.arrays[port], 0.0))
        else:
            still.append(Fill(state.arrays[port], 0.0))
    for port, nodes in still_nodes:
        if port in moving_inputs:
            moving += nodes
        else:
            still += nodes
    return fills + moving, still


def _writes(nodes: list[PlanNode], array: str) -> bool:
    from snnlang.codegen.plan import Launch

    for node in nodes:
        if isinstance(node, Launch):
            for statement in k.walk_statements(node.kernel.body):
                if isinstance(statement, (k.Accumulate, k.Store)) and statement.array == array:
                    return True
    return False


def _turn(low: _Lowering, state: PopulationState) -> list[PlanNode]:
    """One population's turn: arrivals, advance, events."""
    moving, still = _feeds(low, state, set())
    low.assembly.coefficients.extend(still)
    nodes = moving
    nodes += given_events(low.assembly, low.experiment, state, low.given)
    nodes += PopulationStep(low.assembly, state, low.networks).build()
    return nodes


def _settle_turn(low: _Lowering, members: list[str]) -> list[PlanNode]:
    """Populations on a loop without delay: event tests are repeated until they stay the same, then all take their turn once."""
    assembly = low.assembly
    inside = {path for path in low.settled if low.projections[path].post.path in members}
    limit = max((low.projections[path].projection.settle or 1) for path in inside)
    nodes: list[PlanNode] = []
    bases: dict[str, list[tuple[str, str]]] = {}
    for name in members:
        state = low.populations[name]
        moving, still = _feeds(low, state, inside)
        assembly.coefficients.extend(still)
        nodes += moving + given_events(assembly, low.experiment, state, low.given)
        ports = sorted(
            {low.projections[path].projection.post.port for path in inside if low.projections[path].post is state}
        )
        bases[name] = []
        for port in ports:
            array = state.arrays.get(port) if port in low.fed[name] else state.jumps[port]
            assert array is not None
            base = assembly.add_array(f"{name}.{port}_outside", (state.size,), role="scratch")
            bases[name].append((array, base))
            nodes.append(
                launch(
                    f"{name}_{port}_outside",
                    f"{port} of {name} from outside the loop",
                    k.Each(state.size),
                    [k.Store(base, I, load(assembly, array, I))],
                )
            )
        nodes += PopulationStep(assembly, state, low.networks, probe=True).build()
    body: list[PlanNode] = []
    for name in members:
        state = low.populations[name]
        for array, base in bases[name]:
            body.append(
                launch(
                    f"{name}_again",
                    f"{name}: inputs of this repetition",
                    k.Each(state.size),
                    [k.Store(array, I, load(assembly, base, I))],
                )
            )
        for path in sorted(inside):
            if low.projections[path].post is state:
                body += low.kernels[path].turn()
        body += PopulationStep(assembly, state, low.networks, probe=True).build()
    watched = next(low.projections[path].projection.pre.path for path in low.projections if path in inside)
    event = next(iter(low.populations[watched].lists.values()))
    nodes.append(Settle(event, limit, tuple(body)))
    for name in members:
        nodes += PopulationStep(assembly, low.populations[name], low.networks).build()
    return nodes


# --- recording --------------------------------------------------------------------------------------------------------


def _recorders(low: _Lowering) -> list[EventRecorder | ValueRecorder]:
    result: list[EventRecorder | ValueRecorder] = []
    dt = low.experiment.dt
    for record in low.experiment.records:
        every = 1 if record.every is None else max(1, round(record.every / dt))
        if record.kind == "events":
            state = low.populations[record.path]
            event = "spike" if record.variable in ("spikes", "spike") else record.variable
            result.append(EventRecorder(record.label, state.lists[event], record.indices, record.path))
            continue
        if record.kind == "input":
            array = low.networks[record.path]
            shape: tuple[int, ...] = _shape_of(low, record.path)
        elif record.kind == "state":
            state = low.populations[record.path]
            if record.variable == "output":
                array = state.output
            elif record.variable in state.totals:
                array = state.totals[record.variable][0]
            else:
                array = state.arrays[record.variable]
            shape = state.population.shape
        else:
            projection = low.projections[record.path]
            if record.variable in projection.attached:
                array = projection.post.arrays[projection.attached[record.variable]]
            else:
                array = projection.arrays[record.variable]
            shape = ()
        result.append(ValueRecorder(record.label, array, record.indices, every, str(record.unit), record.path, shape))
    return result
