"""Lower one projection's storage: parameters, weights, states and traces become arrays where placement put them.

One value for the whole projection is stored once; tied weights are read from the other projection. What a step computes is in
:mod:`snnlang.codegen.lower_projection_turn`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import Assembly, I, as_real, launch, load, real, whole
from snnlang.codegen.connectivity import generate, given_order
from snnlang.codegen.lower_expression import constant_value, lower_expression
from snnlang.codegen.lower_population import has_network_input, is_per_item
from snnlang.codegen.lower_projection_names import POST, PRE, SHARED, SYNAPSE, Level, ProjectionState, SynapseMeaning
from snnlang.codegen.plan import Connectivity
from snnlang.model import model as m
from snnlang.model.network import ArrayValue, Value
from snnlang.model.weights import unfit


def lower_value(
    assembly: Assembly,
    state: ProjectionState,
    networks: dict[str, str],
    name: str,
    value: Value,
    *,
    role: Literal["param", "weight", "state"],
    scalar: bool,
    unit: str,
    visible: str = "",
) -> str:
    """A parameter, weight or initial state given at the connection; ``scalar`` allows one value for the projection."""
    path, variable = state.path, visible or name
    connectivity = assembly.connectivities[state.connectivity]
    shared = state.shared and role == "weight"
    if isinstance(value, ArrayValue):
        numbers = np.asarray(value.array, dtype=np.float64).reshape(-1)
        if numbers.size == 1 and scalar:
            return assembly.add_number(
                f"{path}.{variable}", float(numbers[0]), owner=path, variable=variable, unit=unit, role=role
            )
        if value.ordered:
            _require_count(assembly, connectivity, shared, numbers.size, f"{path}.{variable}")
        order = None if value.ordered else given_order(connectivity)
        if order is not None:
            numbers = numbers[order]
        return assembly.add_array(
            f"{path}.{variable}",
            (),
            role=role,
            data=numbers,
            connectivity=state.connectivity,
            shared=shared,
            owner=path,
            variable=variable,
            unit=unit,
        )
    number = constant_value(value)
    if scalar and number is not None:
        return assembly.add_number(f"{path}.{variable}", number, owner=path, variable=variable, unit=unit, role=role)

    def differs(other: str) -> bool:
        return other in state.arrays and assembly.arrays[state.arrays[other]].connectivity is not None

    meaning = SynapseMeaning(assembly, state, networks, "synapse", counter=whole(0))
    meaning.draws = f"{variable}."
    if scalar and not is_per_item(value, differs):
        array = assembly.add_array(f"{path}.{variable}", (), role=role, owner=path, variable=variable, unit=unit)
        node = launch(
            f"{array}_value",
            f"{variable} of {path}",
            k.Single(),
            [k.Store(array, None, as_real(lower_expression(value, meaning)))],
        )
        assembly.coefficients.append(node)
        return array
    array = assembly.add_array(
        f"{path}.{variable}",
        (),
        role=role,
        connectivity=state.connectivity,
        shared=shared,
        owner=path,
        variable=variable,
        unit=unit,
    )
    if shared:
        value_kernel = _replace_local(as_real(lower_expression(value, meaning)), SYNAPSE, SHARED)
        statement = k.Store(array, SHARED, value_kernel)
    else:
        statement = k.Store(array, SYNAPSE, as_real(lower_expression(value, meaning)))
    target = assembly.coefficients if has_network_input(value) else assembly.setup
    target.append(launch(f"{array}_value", f"{variable} of {path}", k.Synapses(state.connectivity), [statement]))
    return array


def _require_count(assembly: Assembly, connectivity: Connectivity, shared: bool, given: int, name: str) -> None:
    """Trained weights are one for each synapse of this very connectivity; raises E841."""
    if shared:
        wanted = connectivity.shared_size
    elif connectivity.kind == "dense":
        wanted = len(connectivity.pre_part) * len(connectivity.post_part)
    elif connectivity.kind == "one_to_one":
        wanted = len(connectivity.pre_part)
    else:
        wanted = int(generate(connectivity, assembly.streams.get(connectivity.stream)).row_start[-1])
    if given != wanted:
        raise unfit("what was trained", [f"`{name}` holds {given} numbers, and the network's {wanted}"])


def _replace_local(expr: k.Expr, old: k.Local, new: k.Local) -> k.Expr:
    match expr:
        case k.Local() if expr == old:
            return new
        case k.Draw(distribution, stream, index, counter):
            return k.Draw(distribution, stream, _replace_local(index, old, new), counter)
        case k.Binary(operator, left, right, kind):
            return k.Binary(operator, _replace_local(left, old, new), _replace_local(right, old, new), kind)
        case k.Unary(unary, operand, kind):
            return k.Unary(unary, _replace_local(operand, old, new), kind)
        case k.Call(function, arguments, kind):
            return k.Call(function, tuple(_replace_local(a, old, new) for a in arguments), kind)
        case k.Choose(condition, value, otherwise, kind):
            return k.Choose(
                _replace_local(condition, old, new),
                _replace_local(value, old, new),
                _replace_local(otherwise, old, new),
                kind,
            )
        case k.Compare(comparison, left, right):
            return k.Compare(comparison, _replace_local(left, old, new), _replace_local(right, old, new))
        case _:
            return expr


def lower_states(assembly: Assembly, state: ProjectionState, networks: dict[str, str]) -> None:
    """Arrays of weights, further states and traces where placement put them, and kernels for their initial values."""
    projection, synapse, path = state.projection, state.synapse, state.path
    sizes = {"pre": state.pre_size, "post": state.post.size}
    first_weight = synapse.weights[0].name if synapse.weights else ""
    for variable in synapse.states:
        where = state.where(variable.name)
        if where == "summed":
            continue
        value = projection.arguments.get(variable.name)
        if value is None and variable.name == first_weight:
            value = projection.weight
        if value is None:
            value = variable.initial
        unit = str(variable.unit)
        if variable.weight and projection.tied is not None and variable.name == first_weight:
            continue
        if variable.weight or where in ("synapse", "scalar"):
            role: Literal["weight", "state"] = "weight" if variable.weight else "state"
            array = lower_value(
                assembly, state, networks, variable.name, value, role=role, scalar=where == "scalar", unit=unit
            )
            state.arrays[variable.name] = array
            if role == "state" and not variable.persistent:
                _restart(assembly, state, networks, variable.name, value, array)
            continue
        array = assembly.add_array(
            f"{path}.{variable.name}", (sizes[where],), role="state", owner=path, variable=variable.name, unit=unit
        )
        state.arrays[variable.name] = array
        level: Level = "pre" if where == "pre" else "post"
        meaning = SynapseMeaning(assembly, state, networks, level, counter=whole(0))
        meaning.draws = f"{variable.name}."
        assert not isinstance(value, ArrayValue)
        node = launch(
            f"{array}_initial",
            f"initial {variable.name} of {path}",
            k.Each(sizes[where]),
            [k.Store(array, I, as_real(lower_expression(value, meaning)))],
        )
        (assembly.setup if variable.persistent else assembly.trial_start).append(node)
    for trace in synapse.traces:
        where = state.where(trace.name)
        if where == "summed":
            continue
        if where in ("pre", "post"):
            array = assembly.add_array(
                f"{path}.{trace.name}", (sizes[where],), role="state", owner=path, variable=trace.name
            )
            domain: k.Domain = k.Each(sizes[where])
            index: k.Expr = I
        else:
            array = assembly.add_array(
                f"{path}.{trace.name}",
                (),
                role="state",
                connectivity=state.connectivity,
                owner=path,
                variable=trace.name,
            )
            domain, index = k.Synapses(state.connectivity), SYNAPSE
        state.arrays[trace.name] = array
        assembly.trial_start.append(
            launch(f"{array}_initial", f"trace {trace.name} of {path}", domain, [k.Store(array, index, real(0.0))])
        )


def _restart(
    assembly: Assembly, state: ProjectionState, networks: dict[str, str], name: str, value: Value, array: str
) -> None:
    """A synaptic state that is no weight goes back to its initial value at every trial."""
    entry = assembly.arrays[array]
    if entry.connectivity is None:
        node = launch(
            f"{array}_initial",
            f"initial {name} of {state.path}",
            k.Single(),
            [
                k.Store(
                    array, None, real(constant_value(value) or 0.0) if not isinstance(value, ArrayValue) else real(0.0)
                )
            ],
        )
        assembly.trial_start.append(node)
        return
    if isinstance(value, ArrayValue):
        initial = assembly.add_array(
            f"{array}_initial",
            (),
            role="data",
            data=np.asarray(value.array, dtype=np.float64).reshape(-1),
            connectivity=state.connectivity,
        )
        kernel_value: k.Expr = load(assembly, initial, SYNAPSE)
    else:
        meaning = SynapseMeaning(assembly, state, networks, "synapse", counter=whole(0))
        meaning.draws = f"{name}."
        kernel_value = as_real(lower_expression(value, meaning))
    assembly.trial_start.append(
        launch(
            f"{array}_initial",
            f"initial {name} of {state.path}",
            k.Synapses(state.connectivity),
            [k.Store(array, SYNAPSE, kernel_value)],
        )
    )


def tie(assembly: Assembly, state: ProjectionState, other: ProjectionState, transposed: bool) -> None:
    """Read another projection's dense weights, transposed or not."""
    own = assembly.connectivities[state.connectivity]
    array = other.arrays[other.synapse.weights[0].name]
    name = state.synapse.weights[0].name
    state.arrays[name] = array
    if assembly.arrays[array].connectivity is None or not transposed:
        return
    pre_start = own.pre_part[0] if len(own.pre_part) else 0
    post_start = own.post_part[0] if len(own.post_part) else 0
    columns = len(assembly.connectivities[other.connectivity].post_part)
    row = k.Binary("-", POST, whole(int(post_start)), "int")
    column = k.Binary("-", PRE, whole(int(pre_start)), "int")
    index = k.Binary("+", k.Binary("*", row, whole(columns), "int"), column, "int")
    state.bound_inputs[name] = lambda _post: load(assembly, array, index)


def assigned_in(body: tuple[m.Statement, ...]) -> set[str]:
    names: set[str] = set()
    for statement in body:
        match statement:
            case m.Assign(name=name, scope="self"):
                names.add(name)
            case m.If(branches=branches):
                for _, inner in branches:
                    names |= assigned_in(inner)
            case _:
                pass
    return names


def assigned_names(synapse: m.Synapse) -> set[str]:
    """Everything that some handler or equation of a synapse changes."""
    names: set[str] = set()
    for handler in synapse.handlers:
        names |= assigned_in(handler.body)
    names |= {d.variable for d in synapse.differentials}
    names |= {d.variable for d in synapse.differences}
    return names
