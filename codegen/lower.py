"""Lower an elaborated experiment and its derived Steps to a Plan: the border after which there is no sympy and no unit.

This file holds the order in which things are lowered; each has a file of its own (populations, projections, delays, stimuli, the step).
Goals: one plan that every target prints, nothing computed per step that could be computed once. It does not simplify.
"""

from __future__ import annotations

from typing import Literal

from snnlang.codegen.assembly import Assembly
from snnlang.codegen.lower_connectivity import lower_connectivity
from snnlang.codegen.lower_expression import constant_value
from snnlang.codegen.lower_gaps import prepare_gaps
from snnlang.codegen.lower_network import Derived, DerivedProjection, Lowering, shape_of
from snnlang.codegen.lower_order import delay_steps, order_turns
from snnlang.codegen.lower_population import lower_coefficients, lower_params, prepare_population
from snnlang.codegen.lower_population_names import PopulationState
from snnlang.codegen.lower_projection import tie
from snnlang.codegen.lower_projection_names import ProjectionState
from snnlang.codegen.lower_projection_turn import ProjectionKernels
from snnlang.codegen.lower_requirements import lower_requirements
from snnlang.codegen.lower_step import lower_step
from snnlang.codegen.lower_stimulus import clamp_expressions
from snnlang.codegen.lower_storage import lower_storage, lower_summed_initial
from snnlang.codegen.lower_trial import lower_trial_start
from snnlang.codegen.plan import Connectivity, EventRecorder, Plan, PlanNode, ValueRecorder
from snnlang.codegen.schedule import components
from snnlang.diagnostics import error
from snnlang.model import expression as e
from snnlang.model import model as m
from snnlang.model.network import ArrayValue, Experiment, Network, NetworkInput, Projection
from snnlang.model.units import ONE


def plain_synapse(projection: Projection) -> m.Synapse:
    """What a connection without ``via`` is: deliver w on every spike, or w times an analogue value."""
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


def lower(
    experiment: Experiment,
    derived: Derived,
    precision: Literal["double", "single"] = "double",
    *,
    learning: bool = False,
    apart: bool = True,
) -> Plan:
    """The plan of one experiment at one point of its sweep; ``learning``: one that can be differentiated, in which
    delays that differ between synapses stand ``apart``.

    Raises SnnError for what cannot run.
    """
    assembly = Assembly(experiment.seed, experiment.dt, time_offset(experiment.network), learning)
    assembly.apart = learning and apart
    low = Lowering(experiment, derived, assembly)
    _inputs(low)
    _population_states(low)
    order_turns(low)
    _projection_states(low)
    lower_requirements(low)
    for state in low.populations.values():
        prepare_population(assembly, state)
        lower_params(assembly, state, low.networks)
    _frozen(low)
    for projection in low.projections.values():
        lower_storage(low, projection)
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
        lower_summed_initial(low, projection)
    step = lower_step(low)
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
        tuple(assembly.learned),
        assembly.late,
        assembly.trained_delays,
        tuple(assembly.written),
    )


def _inputs(low: Lowering) -> None:
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


def _population_states(low: Lowering) -> None:
    clamps = clamp_expressions(low.experiment)
    for population in low.network.populations:
        system, step = low.derived.populations[population.path]
        state = PopulationState(population, system, step)
        state.clamp = clamps.get(population.path, {})
        low.populations[population.path] = state
        low.fed[population.path] = set()


def _projection_states(low: Lowering) -> None:
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
            lower_connectivity(low, projection),
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
            assembly, state, low.networks, lambda s, port: _target(s, port)
        )


def _target(state: ProjectionState, port: str) -> tuple[str, bool]:
    """Where a delivery to a port accumulates: the input's array, or the port's collected jumps."""
    post = state.post
    if any(i.name == port for i in post.population.model.inputs):
        return post.arrays[port], True
    return post.jumps[port], False


def _frozen(low: Lowering) -> None:
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


def _recorders(low: Lowering) -> list[EventRecorder | ValueRecorder]:
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
            shape: tuple[int, ...] = shape_of(low, record.path)
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


__all__ = ["Derived", "DerivedProjection", "delay_steps", "lower", "plain_synapse"]
