"""What must be kept for others: inputs that are fed, jumps, values that travel with spikes or are read late, what is recorded.

Nothing is stored that nobody reads.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from snnlang.codegen.assembly import Assembly
from snnlang.codegen.lower_delays import longest_delay, lower_delays
from snnlang.codegen.lower_expression import constant_value
from snnlang.codegen.lower_network import Lowering
from snnlang.codegen.lower_population_handlers import every_statement, statement_expressions
from snnlang.codegen.lower_population_names import PopulationState
from snnlang.codegen.lower_projection_names import ProjectionState
from snnlang.diagnostics import error
from snnlang.model import expression as e
from snnlang.model import model as m
from snnlang.model.learning import Training, readings


def lower_requirements(low: Lowering) -> None:
    """Inputs that are fed, jumps, values that travel or are seen late, outputs, and what is recorded."""
    assembly = low.assembly
    for state in low.projections.values():
        synapse, post = state.synapse, state.post
        ports: list[str] = []
        for handler in synapse.handlers:
            for statement in every_statement(handler.body):
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
    if low.experiment.training is not None:
        _what_training_reads(low, low.experiment.training)
    for path, variable in _bound_values(low):
        _need_visible(low, low.populations[path], variable)


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


def _input_arrays(low: Lowering, state: PopulationState) -> None:
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


def _need_jump(assembly: Assembly, state: PopulationState, port: str) -> None:
    if port not in state.jumps:
        state.jumps[port] = assembly.add_array(f"{state.path}.{port}_jump", (state.size,), role="scratch")


def _need_visible(low: Lowering, state: PopulationState, name: str) -> None:
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
                f"{state.path}.{name}_total",
                (state.size,),
                role="scratch",
                owner=state.path,
                variable=f"{name} in all",
                unit=str(kind),
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


def _folded_terms(low: Lowering, path: str) -> list[tuple[str, e.Expr]]:
    """What synapses add to inputs and port states inside the equations of a population."""
    result: list[tuple[str, e.Expr]] = []
    for projection in low.network.projections:
        attachment = low.derived.projections[projection.path].attachment
        if projection.post.path == path and attachment is not None:
            result.extend(attachment.terms)
    return result


def _what_training_reads(low: Lowering, training: Training) -> None:
    """Outputs, which a module of PyTorch may ask for too, and those definitions that the loss names."""
    for state in low.populations.values():
        if state.system.output is not None:
            _need_output(low.assembly, state)
    for reading in readings(training.loss):
        if not reading.weights and reading.path in low.populations:
            state = low.populations[reading.path]
            if any(d.name == reading.variable for d in state.population.model.definitions):
                _need_visible(low, state, reading.variable)


def _need_output(assembly: Assembly, state: PopulationState) -> None:
    if not state.output:
        state.output = assembly.add_array(
            f"{state.path}.output", (state.size,), role="scratch", owner=state.path, variable="output"
        )
        state.arrays["output"] = state.output


def _bound_values(low: Lowering) -> list[tuple[str, str]]:
    result = []
    for projection in low.network.projections:
        for target in projection.bindings.values():
            path, _, variable = target.rpartition(".")
            if path in low.populations and not any(
                x.name == variable for x in low.populations[path].population.model.events
            ):
                result.append((path, variable))
    return result


def _travelling(low: Lowering, state: ProjectionState) -> None:
    """Rings of pre values that arrive later than they were sent, and of post values as they were at the start of a step."""
    assembly = low.assembly
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


def _look_back(low: Lowering, state: ProjectionState, name: str, node: e.AtTime) -> None:
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
