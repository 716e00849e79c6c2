"""Lower one population's storage: its parameters, states, clocks and coefficients become arrays.

What differs between neurons gets one value each, everything else one number. What a step computes is in
:mod:`snnlang.codegen.lower_population_turn`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import Assembly, I, as_real, launch, load, whole
from snnlang.codegen.lower_expression import constant_value, lower_expression
from snnlang.codegen.lower_population_handlers import every_statement, statement_expressions
from snnlang.codegen.lower_population_names import PopulationMeaning, PopulationState, bare_crosses
from snnlang.codegen.lower_written import forward_parts
from snnlang.model import expression as e
from snnlang.model import model as m
from snnlang.model.network import ArrayValue, Value


def is_per_item(value: e.Expr, per_item: Callable[[str], bool]) -> bool:
    """Whether an expression differs between neurons: draws, index, position, network inputs, or names that do."""
    for node in e.walk(value):
        match node:
            case e.Random() | e.Position():
                return True
            case e.Variable(scope="network") | e.Variable(scope="pre") | e.Variable(scope="post"):
                return True
            case e.Variable(name=name):
                if name in ("index", "distance") or per_item(name):
                    return True
            case e.Occurs() | e.Since() | e.PopulationReduction():
                return True
            case _:
                pass
    return False


def has_network_input(value: e.Expr) -> bool:
    return any(isinstance(node, e.Variable) and node.scope == "network" for node in e.walk(value))


def in_dependency_order(values: dict[str, e.Expr]) -> list[str]:
    done: list[str] = []
    visiting: set[str] = set()

    def visit(name: str) -> None:
        if name in done or name in visiting:
            return
        visiting.add(name)
        for node in e.walk(values[name]):
            if isinstance(node, e.Variable) and node.scope == "self" and node.name in values:
                visit(node.name)
        visiting.discard(name)
        done.append(name)

    for name in values:
        visit(name)
    return done


def array_of(value: ArrayValue, size: int, what: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The numbers of an array argument, flat, one per neuron."""
    numbers = np.asarray(value.array, dtype=np.float64).reshape(-1)
    assert numbers.size in (1, size), what  # elaboration has compared the shapes (E510)
    return numbers


def lower_params(assembly: Assembly, state: PopulationState, networks: dict[str, str]) -> None:
    """Parameters to arrays: numbers stay scalar, what differs between neurons gets one value each."""
    population = state.population
    given: dict[str, Value] = population.arguments
    expressions: dict[str, e.Expr] = {}
    params = {param.name: param for param in population.model.params}
    for name, param in params.items():
        value = given.get(name, param.default)
        if isinstance(value, ArrayValue):
            numbers = array_of(value, state.size, f"`{name}` of `{state.path}`")
            state.arrays[name] = (
                assembly.add_number(
                    f"{state.path}.{name}", float(numbers[0]), owner=state.path, variable=name, unit=str(param.unit)
                )
                if numbers.size == 1
                else assembly.add_array(
                    f"{state.path}.{name}",
                    (state.size,),
                    role="param",
                    data=numbers,
                    owner=state.path,
                    variable=name,
                    unit=str(param.unit),
                )
            )
        elif value is not None:
            expressions[name] = value
    meaning = PopulationMeaning(assembly, state, networks)
    for name in in_dependency_order(expressions):
        value = expressions[name]
        unit = str(params[name].unit)
        number = constant_value(value)
        if number is not None and not params[name].per_neuron:
            state.arrays[name] = assembly.add_number(
                f"{state.path}.{name}", number, owner=state.path, variable=name, unit=unit
            )
            continue

        def differs(other: str) -> bool:
            return other in state.arrays and assembly.arrays[state.arrays[other]].shape != ()

        per_neuron = params[name].per_neuron or is_per_item(value, differs)
        shape = (state.size,) if per_neuron else ()
        array = assembly.add_array(
            f"{state.path}.{name}", shape, role="param", owner=state.path, variable=name, unit=unit
        )
        meaning.draws = f"{name}."
        meaning.counter = whole(0)
        kernel_value = as_real(lower_expression(value, meaning))
        state.arrays[name] = array
        node = launch(
            f"{array}_value",
            f"parameter {name} of {state.path}",
            k.Each(state.size) if per_neuron else k.Single(),
            [k.Store(array, I if per_neuron else None, kernel_value)],
        )
        drawn = any(isinstance(part, e.Random) for part in e.walk(value))
        (assembly.setup if drawn else assembly.coefficients).append(node)
        if drawn and has_network_input(value):
            assembly.coefficients.append(node)


def lower_coefficients(assembly: Assembly, state: PopulationState, networks: dict[str, str]) -> None:
    """What the Step computes once from parameters and dt."""
    meaning = PopulationMeaning(assembly, state, networks)
    scalar: list[k.Statement] = []
    vector: list[k.Statement] = []
    for let in state.step.coefficients:
        value = as_real(lower_expression(let.value, meaning))
        per_neuron = any(
            isinstance(node, k.Load) and assembly.arrays[node.array].shape != () for node in k.walk(value)
        ) or any(node == I for node in k.walk(value))
        array = assembly.add_array(
            f"{state.path}.{let.name}",
            (state.size,) if per_neuron else (),
            role="coefficient",
            owner=state.path,
            variable=f"coefficient {let.name}",
        )
        state.coefficients[let.name] = array
        meaning.extra[let.name] = load(assembly, array, I)
        (vector if per_neuron else scalar).append(k.Store(array, I if per_neuron else None, value, let.source))
    if scalar:
        assembly.coefficients.append(
            launch(f"{state.path}_coefficients", f"coefficients of {state.path}", k.Single(), scalar)
        )
    if vector:
        assembly.coefficients.append(
            launch(
                f"{state.path}_coefficients_each",
                f"coefficients of each neuron of {state.path}",
                k.Each(state.size),
                vector,
            )
        )


def _expressions(state: PopulationState) -> Iterable[e.Expr]:
    for node in state.system.nodes:
        if node.value is not None:
            yield node.value
    for event in state.system.events:
        if event.condition is not None:
            yield event.condition
    for definition in state.system.definitions:
        yield definition.value
    for ode in state.system.odes:
        yield ode.rate
    for handler in state.system.handlers:
        yield from statement_expressions(handler.body)
    if state.system.output is not None:
        yield state.system.output
    yield from state.clamp.values()


def prepare_population(assembly: Assembly, state: PopulationState) -> None:
    """Register states, events, holds, clocks, histories and crossings, before anything refers to them."""
    path, size = state.path, state.size
    for variable in state.system.states:
        state.arrays[variable.name] = assembly.add_array(
            f"{path}.{variable.name}",
            (size,),
            role="state",
            owner=path,
            variable=variable.name,
            unit=str(variable.unit),
            span=variable.span,
        )
    for event in state.system.events:
        state.lists[event.name] = assembly.add_list(f"{path}_{event.name}s", size, path, event.name)
        if event.kind == "emitted":
            state.flags[event.name] = assembly.add_array(
                f"{path}.{event.name}_now", (size,), type="bool", role="scratch"
            )
    for handler in state.system.handlers:
        for statement in every_statement(handler.body):
            if isinstance(statement, m.Hold) and statement.variable not in state.holds:
                state.holds[statement.variable] = assembly.add_array(
                    f"{path}.{statement.variable}_held_until",
                    (size,),
                    type="int",
                    role="hold",
                    fill=-1,
                    owner=path,
                    variable=f"hold {statement.variable}",
                )
    split = any(isinstance(node, e.PopulationReduction) for value in _expressions(state) for node in e.walk(value))
    backward = forward_parts(state.system.adjoint) if assembly.learning and state.system.adjoint is not None else []
    for value in (*_expressions(state), *backward):
        for node in e.walk(value):
            match node:
                case e.Since(event=name) if name not in state.clocks:
                    state.clocks[name] = assembly.add_array(
                        f"{path}.last_{name}", (size,), type="int", role="clock", fill=-1
                    )
                case e.Variable(name=name, scope="self", lag=int(lag)) | e.Occurs(event=name, lag=lag) if lag >= 1:
                    state.history_depth[name] = max(state.history_depth.get(name, 0), lag)
                case e.Crosses():
                    bare = bare_crosses(node)
                    if bare not in state.crossings:
                        state.crossings[bare] = assembly.add_array(f"{path}.before_crossing", (size,), role="state")
                case _:
                    pass
    names = {variable.name for variable in state.system.states}
    events = {event.name for event in state.system.events}
    for name, depth in state.history_depth.items():
        if name in names and depth == 1 and not split:
            continue  # the state's own array still holds x[n-1] while x[n] is computed
        state.history[name] = assembly.add_array(
            f"{path}.{name}_before",
            (size,),
            type="bool" if name in events else "real",
            role="history",
            depth=depth + 1 if depth > 1 or split else 1,
        )
