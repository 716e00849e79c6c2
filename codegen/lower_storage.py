"""Everything that a projection stores, in order: parameters, bound inputs and events, states, coefficients of its equations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import Assembly, as_real, launch, load
from snnlang.codegen.lower_delays import longest_delay
from snnlang.codegen.lower_expression import constant_value, lower_expression
from snnlang.codegen.lower_network import Lowering
from snnlang.codegen.lower_population_names import PopulationMeaning, PopulationState
from snnlang.codegen.lower_projection import lower_states, lower_value
from snnlang.codegen.lower_projection_names import ProjectionState, SynapseMeaning
from snnlang.model.network import ArrayValue


def lower_storage(low: Lowering, state: ProjectionState) -> None:
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


def lower_summed_initial(low: Lowering, state: ProjectionState) -> None:
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


def _bindings(low: Lowering, state: ProjectionState) -> None:
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


def _reader(assembly: Assembly, array: str, single: bool) -> Callable[[k.Expr], k.Expr]:
    """Reads a bound input at a post neuron; a broadcast one has one value."""

    def read(post_index: k.Expr) -> k.Expr:
        return load(assembly, array, k.Const(0, "int") if single else post_index)

    return read
