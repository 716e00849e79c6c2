"""Lower one population: its parameters, states and clocks become arrays, its Step and handlers one kernel (cut where
``all.*`` needs a barrier).

The order inside is the language's: held flags, advance, jumps, difference equations and event tests as their graph says, then stores,
handlers in written order, clocks, bounds, and what others will read later (outputs, histories, values that travel with spikes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import (
    DT,
    FOR_EVER,
    STEP,
    TIME,
    Assembly,
    I,
    as_bool,
    as_real,
    both,
    launch,
    load,
    negate,
    real,
    whole,
)
from snnlang.codegen.lower_expression import constant_value, lower_expression
from snnlang.codegen.plan import ClearList, Every, Fill, PlanNode, Reduce
from snnlang.diagnostics import SnnError, error
from snnlang.dynamics.system import Node, Step, System
from snnlang.model import expression as e
from snnlang.model import model as m
from snnlang.model.network import ArrayValue, Population, Value


@dataclass
class PopulationState:
    """What lowering knows of a population while it works: where each name of the model is stored."""

    population: Population
    system: System
    step: Step
    arrays: dict[str, str] = field(
        default_factory=dict
    )  # params, states, connected inputs, coefficients, scratch definitions
    coefficients: dict[str, str] = field(default_factory=dict)  # names of the Step alone: a definition may be called the same
    lists: dict[str, str] = field(default_factory=dict)  # event -> list
    jumps: dict[str, str] = field(default_factory=dict)  # port -> array of collected jumps
    holds: dict[str, str] = field(default_factory=dict)
    clocks: dict[str, str] = field(default_factory=dict)  # event -> step of the last one
    flags: dict[str, str] = field(default_factory=dict)  # event -> bool array of this step (emitted events, cuts)
    history: dict[str, str] = field(default_factory=dict)  # name or event -> ring (or array of the last value)
    history_depth: dict[str, int] = field(default_factory=dict)
    crossings: dict[e.Crosses, str] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)  # variable -> ring of values that travel with delayed spikes
    seen: dict[str, str] = field(default_factory=dict)  # variable -> ring of values at the start of the step
    frozen: dict[str, str] = field(default_factory=dict)
    streams: dict[str, str] = field(default_factory=dict)
    constants: dict[str, e.Expr] = field(default_factory=dict)  # unconnected inputs: their default
    visible: set[str] = field(default_factory=set)  # definitions that must be kept in arrays
    output: str = ""
    totals: dict[str, tuple[str, e.Expr]] = field(default_factory=dict)  # recorded input -> array, its value with folded terms
    clamp: dict[str, e.Expr] = field(default_factory=dict)
    fast_probe: bool = False

    @property
    def path(self) -> str:
        return self.population.path

    @property
    def size(self) -> int:
        return self.population.size


class PopulationMeaning:
    """Names inside a population's kernels. ``fresh`` holds the values of this step computed so far, ``running`` reads arrays."""

    def __init__(
        self,
        assembly: Assembly,
        state: PopulationState,
        networks: dict[str, str],
        *,
        index: k.Expr = I,
        draws: str = "random",
        counter: k.Expr = STEP,
    ) -> None:
        self.assembly = assembly
        self.state = state
        self.networks = networks
        self.index = index
        self.fresh: dict[str, k.Expr] = {}
        self.events: dict[str, k.Expr] = {}
        self.reductions: dict[e.PopulationReduction, k.Expr] = {}
        self.draws = draws
        self.counter = counter
        self.use_fresh = True
        self.extra: dict[str, k.Expr] = {}

    def variable(self, node: e.Variable) -> k.Expr:
        name = node.name
        if node.scope == "network":
            return self.network_input(name)
        match name:
            case "t":
                return TIME
            case "dt":
                return DT
            case "index":
                return k.Call("real", (self.index,), "real")
        if node.lag is not None and node.lag >= 1:
            return self.past(name, node.lag)
        if name in self.extra:
            return self.extra[name]
        if name in self.fresh and (self.use_fresh or node.lag == 0):
            return self.fresh[name]
        return self.current(name, node)

    def current(self, name: str, node: e.Variable | None = None) -> k.Expr:
        """The value that stands in the arrays now."""
        state = self.state
        if name in state.constants:
            return as_real(lower_expression(state.constants[name], self))
        if name == "output":
            return self.output()
        for definition in state.system.definitions:
            # In the population's own step the recorded copy is the last step's; others read that copy.
            if definition.name == name and (self.index == I or name not in state.arrays):
                return lower_expression(definition.value, self)
        if name in state.arrays:
            return load(self.assembly, state.arrays[name], self.index)
        if name in state.lists or name in state.flags:
            return as_real(self.occurs(e.Occurs(name)))
        for definition in state.system.definitions:
            if definition.name == name:
                return lower_expression(definition.value, self)
        raise KeyError(f"{state.path} has no variable {name!r}")

    def output(self) -> k.Expr:
        value = self.state.system.output
        if value is None:
            raise KeyError(f"{self.state.path} has no output")
        return as_real(lower_expression(value, self))

    def past(self, name: str, lag: int) -> k.Expr:
        state = self.state
        if f"{name}:1" in self.fresh and lag == 1:
            return self.fresh[f"{name}:1"]
        if name not in state.history:  # at the start of a trial: before it, variables had their initial values
            return real(0.0) if name in state.lists else self.current(name)
        array = state.history[name]
        if self.assembly.arrays[array].depth > 1:
            return as_real(load(self.assembly, array, self.index, whole(lag)))
        return as_real(load(self.assembly, array, self.index))

    def network_input(self, name: str) -> k.Expr:
        array = self.networks[name]
        shape = self.assembly.arrays[array].shape
        single = int(np.prod(shape, dtype=np.int64)) == 1
        return load(self.assembly, array, whole(0) if single else self.index)

    def occurs(self, node: e.Occurs) -> k.Expr:
        if node.lag >= 1:
            return self.past(node.event, node.lag)
        if node.event in self.events:
            return as_real(self.events[node.event])
        if node.event in self.state.flags:
            return as_real(load(self.assembly, self.state.flags[node.event], self.index))
        raise KeyError(f"event {node.event!r} is not known here")

    def since(self, node: e.Since) -> k.Expr:
        last = load(self.assembly, self.state.clocks[node.event], self.index)
        elapsed = k.Binary("*", k.Call("real", (k.Binary("-", STEP, last, "int"),), "real"), DT)
        return k.Choose(k.Compare(">=", last, whole(0)), elapsed, real(float("inf")))

    def position(self, node: e.Position) -> k.Expr:
        return coordinate(self.index, self.state.population.shape, node.axis)

    def crosses(self, node: e.Crosses) -> k.Expr:
        before = load(self.assembly, self.state.crossings[_bare_crosses(node)], self.index)
        left = as_real(lower_expression(node.left, self))
        right = as_real(lower_expression(node.right, self))
        return both(k.Compare("<", before, real(0.0)), k.Compare(">=", left, right))

    def reduction(self, node: e.PopulationReduction | e.SynapseReduction) -> k.Expr:
        assert isinstance(node, e.PopulationReduction)
        return self.reductions[node]

    def at_time(self, node: e.AtTime) -> k.Expr:
        raise error(
            "E722",
            "a look-back in time belongs to a synapse",
            node.span,
            "here in a neuron",
            help="use it in a handler of a synapse",
        )

    def draw(self, distribution: str, number: int) -> k.Expr:
        name = f"{self.draws}{number}"
        streams = self.state.streams
        if name not in streams:
            streams[name] = self.assembly.add_stream(self.state.path, name)
        return k.Draw("uniform" if distribution == "uniform" else "normal", streams[name], self.index, self.counter)


def coordinate(index: k.Expr, shape: tuple[int, ...], axis: int) -> k.Expr:
    """Coordinate ``axis`` of a flat index in a shape, as a real."""
    stride = int(np.prod(shape[axis + 1 :], dtype=np.int64))
    position: k.Expr = index if stride == 1 else k.Binary("/", index, whole(stride), "int")
    if axis > 0:
        position = k.Binary("%", position, whole(shape[axis]), "int")
    return k.Call("real", (position,), "real")


def _bare_crosses(node: e.Crosses) -> e.Crosses:
    """The crossing with [n] read as the bare value, under which its previous value is kept."""

    def bare(child: e.Expr) -> e.Expr:
        if isinstance(child, e.Variable) and child.lag == 0:
            return e.Variable(child.name, child.unit, child.scope, None, span=child.span)
        return child

    return e.Crosses(e.transform(node.left, bare), e.transform(node.right, bare), span=node.span)


# --- parameters -------------------------------------------------------------------------------------------------------


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


def _in_dependency_order(values: dict[str, e.Expr]) -> list[str]:
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


def array_of(
    assembly: Assembly, value: ArrayValue, size: int, what: str
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The numbers of an array argument, flat, one per neuron."""
    numbers = np.asarray(value.array, dtype=np.float64).reshape(-1)
    if numbers.size not in (1, size):
        raise error(
            "E723",
            f"{what} needs {size} numbers, not {numbers.size}",
            value.span,
            f"{numbers.size} numbers",
            help=f"give one number, or one for each of the {size} neurons",
        )
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
            numbers = array_of(assembly, value, state.size, f"`{name}` of `{state.path}`")
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
    for name in _in_dependency_order(expressions):
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


# --- storage of states ------------------------------------------------------------------------------------------------


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


def statement_expressions(body: tuple[m.Statement, ...]) -> Iterable[e.Expr]:
    """Every expression of a handler's body."""
    for statement in body:
        match statement:
            case m.Assign(value=value) | m.Deliver(value=value):
                yield value
            case m.Hold(duration=duration):
                yield duration
            case m.If(branches=branches):
                for condition, inner in branches:
                    if condition is not None:
                        yield condition
                    yield from statement_expressions(inner)
            case m.ForVacant(body=inner):
                yield from statement_expressions(inner)
            case _:
                pass


def _statements(body: tuple[m.Statement, ...]) -> Iterable[m.Statement]:
    for statement in body:
        yield statement
        if isinstance(statement, m.If):
            for _, inner in statement.branches:
                yield from _statements(inner)


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
        for statement in _statements(handler.body):
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
    state.fast_probe = False
    for value in _expressions(state):
        for node in e.walk(value):
            match node:
                case e.Since(event=name) if name not in state.clocks:
                    state.clocks[name] = assembly.add_array(
                        f"{path}.last_{name}", (size,), type="int", role="clock", fill=-1
                    )
                case e.Variable(name=name, scope="self", lag=int(lag)) | e.Occurs(event=name, lag=lag) if lag >= 1:
                    state.history_depth[name] = max(state.history_depth.get(name, 0), lag)
                case e.Crosses():
                    bare = _bare_crosses(node)
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


def lower_trial_start(assembly: Assembly, state: PopulationState, networks: dict[str, str]) -> None:
    """Kernels that put states to their initial values: transient ones at every trial, persistent ones once."""
    path, size = state.path, state.size
    given = state.population.arguments
    values: dict[str, e.Expr] = {}
    transient: list[k.Statement] = []
    lasting: list[k.Statement] = []
    by_name = {variable.name: variable for variable in state.system.states}
    for variable in state.system.states:
        value = given.get(variable.name, variable.initial)
        if isinstance(value, ArrayValue):
            numbers = array_of(assembly, value, size, f"`{variable.name}` of `{path}`")
            data = assembly.add_array(
                f"{path}.{variable.name}_initial",
                (size,) if numbers.size > 1 else (),
                role="data",
                data=numbers if numbers.size > 1 else numbers.reshape(()),
            )
            statement = k.Store(state.arrays[variable.name], I, load(assembly, data, I))
            (lasting if variable.persistent else transient).append(statement)
        else:
            values[variable.name] = value
    definitions = {d.name: d.value for d in state.system.definitions}
    order = _in_dependency_order({**definitions, **values})
    meaning = PopulationMeaning(assembly, state, networks, counter=whole(0))
    for name in order:
        if name not in values:
            continue
        meaning.draws = f"{name}."
        kernel_value = as_real(lower_expression(values[name], meaning))
        target = lasting if by_name[name].persistent else transient
        target.append(k.Store(state.arrays[name], I, kernel_value))
    after = PopulationMeaning(assembly, state, networks)
    after.events = {name: k.Const(False, "bool") for name in state.lists}
    for crossing, array in state.crossings.items():
        difference = k.Binary(
            "-", as_real(lower_expression(crossing.left, after)), as_real(lower_expression(crossing.right, after))
        )
        transient.append(k.Store(array, I, difference))
    for name, array in state.history.items():
        if name in state.lists:
            continue
        initial = after.current(name)
        depth = assembly.arrays[array].depth
        for lag in range(depth if depth > 1 else 1):
            transient.append(k.Store(array, I, as_real(initial), lag=whole(lag) if depth > 1 else None))
    for rings in (state.sent, state.seen):
        for name, array in rings.items():
            if name in state.lists:
                continue
            initial = after.current(name)
            depth = assembly.arrays[array].depth
            for lag in range(depth if depth > 1 else 1):
                transient.append(k.Store(array, I, as_real(initial), lag=whole(lag) if depth > 1 else None))
    if state.output:
        after.state.arrays.pop("output", None)
        transient.append(k.Store(state.output, I, after.output()))
        state.arrays["output"] = state.output
    for name in sorted(state.visible):
        if name in state.arrays and any(d.name == name for d in state.system.definitions):
            array = state.arrays.pop(name)
            transient.append(k.Store(array, I, as_real(after.current(name))))
            state.arrays[name] = array
    if lasting:
        assembly.setup.append(launch(f"{path}_persistent", f"persistent states of {path}", k.Each(size), lasting))
    if transient:
        assembly.trial_start.append(launch(f"{path}_initial", f"initial states of {path}", k.Each(size), transient))
    for handler in state.system.handlers:
        if handler.trigger.kind == "trial_start":
            body = HandlerLowering(assembly, state, PopulationMeaning(assembly, state, networks)).block(handler.body)
            assembly.trial_start.append(
                launch(f"{path}_trial_start", f"on trial_start of {path}", k.Each(size), body, handler.span)
            )


# --- handlers ---------------------------------------------------------------------------------------------------------


class HandlerLowering:
    """Statements of a neuron's handlers to kernel statements."""

    def __init__(self, assembly: Assembly, state: PopulationState, meaning: PopulationMeaning) -> None:
        self.assembly = assembly
        self.state = state
        self.meaning = meaning

    def block(self, body: tuple[m.Statement, ...]) -> list[k.Statement]:
        statements: list[k.Statement] = []
        for statement in body:
            statements.extend(self.statement(statement))
        return statements

    def statement(self, statement: m.Statement) -> list[k.Statement]:
        meaning, state = self.meaning, self.state
        saved = meaning.use_fresh
        meaning.use_fresh = False
        try:
            match statement:
                case m.Assign():
                    return self.assign(statement)
                case m.Hold(variable=variable, duration=duration):
                    until = k.Binary("+", STEP, steps_of(duration, meaning), "int")
                    return [k.Store(state.holds[variable], I, until, source_of(statement.span))]
                case m.Emit(event=event):
                    return [k.Store(state.flags[event], I, k.Const(True, "bool"))]
                case m.If(branches=branches):
                    return self.branches(branches)
                case _:
                    raise error(
                        "E724",
                        "this statement belongs to a synapse",
                        statement.span,
                        "here in a neuron",
                        help="move it into a synapse",
                    )
        finally:
            meaning.use_fresh = saved

    def branches(self, branches: tuple[tuple[e.Expr | None, tuple[m.Statement, ...]], ...]) -> list[k.Statement]:
        condition, body = branches[0]
        if condition is None:
            return self.block(body)
        otherwise = self.branches(branches[1:]) if len(branches) > 1 else []
        test = as_bool(lower_expression(condition, self.meaning))
        return [k.If(test, tuple(self.block(body)), tuple(otherwise))]

    def assign(self, statement: m.Assign) -> list[k.Statement]:
        state = self.state
        array = state.arrays[statement.name]
        value = as_real(lower_expression(statement.value, self.meaning))
        old = load(self.assembly, array, I)
        if statement.operator != "=":
            value = k.Binary(statement.operator[0], old, value)  # type: ignore[arg-type]
        store = k.Store(array, I, value, source_of(statement.span))
        if statement.name in state.frozen:
            return [k.If(negate(load(self.assembly, state.frozen[statement.name], None)), (store,))]
        return [store]


def steps_of(duration: e.Expr, meaning: PopulationMeaning) -> k.Expr:
    """ceil(duration/dt) whole steps as an int; rounding noise below 1e-9 of a step does not make one more."""
    number = constant_value(duration)
    if number is not None:
        steps = FOR_EVER if number == float("inf") else max(0, int(np.ceil(number / meaning.assembly.dt - 1e-9)))
        return whole(min(steps, FOR_EVER))
    value = as_real(lower_expression(duration, meaning))
    steps_value = k.Call("ceil", (k.Binary("-", k.Binary("/", value, DT), real(1e-6)),), "real")
    steps_int = k.Call("int", (k.Call("min", (steps_value, real(float(FOR_EVER))), "real"),), "int")
    loads = [node for node in k.walk(steps_int) if isinstance(node, k.Load)]
    moving = any(isinstance(node, k.Draw) or node in (STEP, TIME) for node in k.walk(steps_int))
    assembly, state = meaning.assembly, meaning.state
    if moving or any(assembly.arrays[node.array].role not in ("param", "coefficient") for node in loads):
        return steps_int
    name = f"{loads[0].array}_steps" if len(loads) == 1 else f"{state.path}.hold_steps"
    key = f"steps of {steps_int!r}"
    if key not in state.arrays:
        varies = any(assembly.arrays[node.array].shape != () for node in loads)
        array = assembly.add_array(name, (state.size,) if varies else (), type="int", role="coefficient")
        state.arrays[key] = array
        assembly.coefficients.append(
            launch(
                f"{array}_value",
                f"whole steps of a hold of {state.path}",
                k.Each(state.size) if varies else k.Single(),
                [k.Store(array, I if varies else None, steps_int)],
            )
        )
    return load(assembly, state.arrays[key], I)


def source_of(span: object) -> str:
    """The user's line, for a comment."""
    text = getattr(span, "text", "") or ""
    return " ".join(text.split())


# --- the step ---------------------------------------------------------------------------------------------------------


class PopulationStep:
    """Builds the kernels of one population's turn, cutting them where a population-wide reduction needs a barrier."""

    def __init__(
        self, assembly: Assembly, state: PopulationState, networks: dict[str, str], *, probe: bool = False
    ) -> None:
        self.assembly = assembly
        self.state = state
        self.networks = networks
        self.probe = probe  # only the event tests: nothing is stored but the list
        self.meaning = PopulationMeaning(assembly, state, networks)
        self.nodes: list[PlanNode] = []
        self.body: list[k.Statement] = []
        self.number = 0
        self.pending: list[str] = []  # names whose fresh value stands in a local of this kernel

    # --- pieces -----------------------------------------------------------------------------------------------------

    def let(self, name: str, value: k.Expr, source: str = "") -> k.Local:
        unique = f"{name}"
        self.body.append(k.Let(unique, value, source, value.type))
        return k.Local(unique, value.type)

    def close(self) -> None:
        """End the kernel being built."""
        if self.body:
            suffix = "" if self.number == 0 else f"_{self.number + 1}"
            title = f"{self.state.path}: {self.state.population.model.name}" + (" (event test)" if self.probe else "")
            kind = "probe" if self.probe else "step"
            self.nodes.append(
                launch(
                    f"{self.state.path}_{kind}{suffix}",
                    title,
                    k.Each(self.state.size),
                    self.body,
                    self.state.population.span,
                )
            )
            self.number += 1
        self.body = []

    def cut(self) -> None:
        """A barrier: values of this step go to arrays so that the next kernel can read them."""
        state, assembly = self.state, self.assembly
        for name in self.pending:
            local = self.meaning.fresh.get(name)
            if local is None:
                continue
            if name not in state.arrays:
                state.arrays[name] = assembly.add_array(
                    f"{state.path}.{name}", (state.size,), role="scratch", owner=state.path, variable=name
                )
            self.body.append(k.Store(state.arrays[name], I, local))
            self.meaning.fresh[name] = load(assembly, state.arrays[name], I)
        for event, value in list(self.meaning.events.items()):
            if isinstance(value, k.Local):
                if event not in state.flags:
                    state.flags[event] = assembly.add_array(
                        f"{state.path}.{event}_now", (state.size,), type="bool", role="scratch"
                    )
                self.body.append(k.Store(state.flags[event], I, value))
                self.meaning.events[event] = load(assembly, state.flags[event], I)
        self.pending = []
        self.close()

    def need_reductions(self, *values: e.Expr) -> None:
        """Compute the population-wide reductions of these expressions, behind a barrier."""
        wanted: list[e.PopulationReduction] = []
        for value in values:
            for node in e.walk(value):
                if (
                    isinstance(node, e.PopulationReduction)
                    and node not in self.meaning.reductions
                    and node not in wanted
                ):
                    wanted.append(node)
        # definitions may hide reductions
        for value in values:
            for node in e.walk(value):
                if isinstance(node, e.Variable) and node.scope == "self" and node.name not in self.meaning.fresh:
                    for definition in self.state.system.definitions:
                        if definition.name == node.name:
                            self.need_reductions(definition.value)
        wanted = [node for node in wanted if node not in self.meaning.reductions]
        if not wanted:
            return
        assembly, state = self.assembly, self.state
        sources: list[tuple[e.PopulationReduction, str]] = []
        for node in wanted:
            operand = as_real(lower_expression(node.operand, self.meaning))
            array = assembly.add_array(f"{state.path}.{node.operation}_of", (state.size,), role="scratch")
            self.body.append(k.Store(array, I, operand))
            sources.append((node, array))
        self.cut()
        for node, array in sources:
            groups, count = _groups(assembly, state, node.over)
            integer = node.operation in ("argmax", "argmin", "rank")
            shape = (state.size,) if node.operation == "rank" else ((count,) if groups else ())
            result = assembly.add_array(
                f"{state.path}.{node.operation}", shape, type="int" if integer else "real", role="scratch"
            )
            self.nodes.append(Reduce(node.operation, result, array, groups))  # type: ignore[arg-type]
            index: k.Expr | None = None
            if node.operation == "rank":
                index = I
            elif groups:
                index = load(assembly, groups, I)
            self.meaning.reductions[node] = as_real(load(assembly, result, index))

    # --- the turn ---------------------------------------------------------------------------------------------------

    def build(self) -> list[PlanNode]:
        state, assembly = self.state, self.assembly
        for list_name in state.lists.values():
            self.nodes.append(ClearList(list_name))
        self.keep_past()
        if not self.probe:
            for name, ring in state.seen.items():
                self.body.append(k.Store(ring, I, as_real(self.meaning.current(name))))
        for flag_event, flag in state.flags.items():
            event = next(x for x in state.system.events if x.name == flag_event)
            if event.kind == "emitted":
                self.body.append(k.Store(flag, I, k.Const(False, "bool")))
        self.advance()
        for node in state.system.nodes:
            self.node(node)
        if self.probe:
            self.append_only()
            self.close()
            return self.nodes
        self.handlers()
        self.aftermath()
        self.close()
        for jump in state.jumps.values():
            if assembly.arrays[jump].role == "scratch":
                self.nodes.append(Fill(jump, 0.0))
        return self.nodes

    def keep_past(self) -> None:
        """Name x[n-1] of states whose own array holds it, where a handler or later kernel would find it overwritten."""
        state = self.state
        for name in state.history_depth:
            if name not in state.history:
                self.meaning.fresh[f"{name}:1"] = self.let(f"{name}_before", load(self.assembly, state.arrays[name], I))

    def free(self, variable: str) -> k.Expr | None:
        """Condition that a variable is not held, or None when it never is."""
        hold = self.state.holds.get(variable)
        if hold is None:
            return None
        name = f"{variable}_free"
        if name not in self.meaning.fresh:
            value = k.Compare(">", STEP, load(self.assembly, hold, I))
            self.meaning.fresh[name] = self.let(name, value)
        return self.meaning.fresh[name]

    def settle_value(self, name: str, value: k.Expr) -> k.Expr:
        """A new value where the variable is neither held nor frozen, else the old one."""
        state = self.state
        free = self.free(name)
        old = load(self.assembly, state.arrays[name], I)
        if free is not None:
            value = k.Choose(free, value, old)
        if name in state.frozen:
            value = k.Choose(load(self.assembly, state.frozen[name], None), old, value)
        return value

    def advance(self) -> None:
        """Continuous states from t_n to t_{n+1}, then the collected jumps."""
        state, assembly, meaning = self.state, self.assembly, self.meaning
        self.need_reductions(*(let.value for let in (*state.step.body, *state.step.updates)))
        meaning.draws = "xi"
        for name, array in state.coefficients.items():
            meaning.extra[name] = load(assembly, array, I)
        for let in state.step.body:
            meaning.extra[let.name] = self.let(let.name, as_real(lower_expression(let.value, meaning)), let.source)
        updates: dict[str, tuple[k.Expr, str]] = {}
        for let in state.step.updates:
            updates[let.name] = (as_real(lower_expression(let.value, meaning)), let.source)
        meaning.draws = "random"
        meaning.extra.clear()
        difference = {d.variable for d in state.population.model.differences}
        for port, jump in state.jumps.items():
            if port in difference:
                continue
            base, source = updates.get(port, (load(assembly, state.arrays[port], I), ""))
            lag = whole(0) if assembly.arrays[jump].depth > 1 else None
            updates[port] = (k.Binary("+", base, load(assembly, jump, I, lag)), source)
        for name, (value, source) in updates.items():
            meaning.fresh[f"{name}+"] = self.let(f"{name}_new", self.settle_value(name, value), source)
        for name in updates:
            meaning.fresh[name] = meaning.fresh.pop(f"{name}+")
            self.pending.append(name)

    def node(self, node: Node) -> None:
        """A difference equation, a definition or an event test, in the order of the graph."""
        state, meaning = self.state, self.meaning
        if node.kind == "event":
            self.test(node)
            return
        assert node.value is not None
        self.need_reductions(node.value)
        value = as_real(lower_expression(node.value, meaning))
        if node.kind == "difference":
            jump = state.jumps.get(node.name)
            if jump is not None:
                lag = whole(0) if self.assembly.arrays[jump].depth > 1 else None
                value = k.Binary("+", value, load(self.assembly, jump, I, lag))
            value = self.settle_value(node.name, value)
        meaning.fresh[node.name] = self.let(
            f"{node.name}_new" if node.kind == "difference" else node.name, value, node.source
        )
        self.pending.append(node.name)

    def test(self, node: Node) -> None:
        state, meaning = self.state, self.meaning
        event = next(x for x in state.system.events if x.name == node.name)
        condition: k.Expr
        if node.name in state.clamp:
            self.need_reductions(state.clamp[node.name])
            condition = k.Compare(">", as_real(lower_expression(state.clamp[node.name], meaning)), real(0.0))
        elif event.kind == "emitted" or event.condition is None:
            return
        else:
            self.need_reductions(event.condition)
            condition = self.condition(event)
        if node.name in state.holds:
            free = self.free(node.name)
            assert free is not None
            condition = both(condition, free)
        meaning.events[node.name] = self.let(f"{node.name}_now", condition, node.source or source_of(event.span))

    def condition(self, event: m.Event) -> k.Expr:
        state, meaning, assembly = self.state, self.meaning, self.assembly
        assert event.condition is not None
        if event.kind == "when":
            return as_bool(lower_expression(event.condition, meaning))
        clock = f"next_{event.name}"
        if clock in state.arrays:
            return k.Compare("<=", load(assembly, state.arrays[clock], I), STEP)
        value = as_real(lower_expression(event.condition, meaning))
        if event.kind == "rate":
            value = k.Unary("-", k.Call("expm1", (k.Unary("-", k.Binary("*", value, DT), "real"),), "real"), "real")
        stream = state.streams.setdefault(event.name, "") or assembly.add_stream(state.path, event.name)
        state.streams[event.name] = stream
        return k.Compare("<", k.Draw("uniform", stream, I, STEP), value)

    def append_only(self) -> None:
        for event, value in self.meaning.events.items():
            self.body.append(k.If(value, (k.Append(self.state.lists[event]),), rare=True))

    def handlers(self) -> None:
        """Store what the step computed, then run the handlers of its events in written order."""
        state, assembly, meaning = self.state, self.assembly, self.meaning
        own = [h for h in state.system.handlers if h.trigger.kind == "own"]
        self.need_reductions(*(value for h in own for value in statement_expressions(h.body)))
        for name in self.pending:
            if name in state.arrays and name in meaning.fresh:
                definition = any(d.name == name for d in state.system.definitions)
                if not definition or name in state.visible:
                    self.body.append(k.Store(state.arrays[name], I, meaning.fresh[name]))
        lowering = HandlerLowering(assembly, state, meaning)
        happened: set[str] = set()
        for handler in _emission_order(own):
            event = handler.trigger.event
            if event in meaning.events:
                condition = meaning.events[event]
            else:
                condition = load(assembly, state.flags[event], I)
            body: list[k.Statement] = []
            if event not in happened and event in meaning.events:
                body.append(k.Append(state.lists[event]))
                if f"next_{event}" in state.arrays:
                    body.append(self.next_gap(event))
            happened.add(event)
            body.extend(lowering.block(handler.body))
            self.body.append(k.If(condition, tuple(body), rare=True, source=f"on {event}:"))
        for event, list_name in state.lists.items():
            tail: list[k.Statement] = []
            if event in meaning.events and event not in happened:
                tail.append(k.Append(list_name))
                if f"next_{event}" in state.arrays:
                    tail.append(self.next_gap(event))
            elif event not in meaning.events and event in state.flags:
                tail.append(k.Append(list_name))
            if event in state.clocks:
                tail.append(k.Store(state.clocks[event], I, STEP))
            if tail:
                condition = meaning.events[event] if event in meaning.events else load(assembly, state.flags[event], I)
                self.body.append(k.If(condition, tuple(tail), rare=True))

    def next_gap(self, event: str) -> k.Statement:
        state = self.state
        return k.Store(
            state.arrays[f"next_{event}"],
            I,
            k.Binary(
                "+", k.Binary("+", STEP, whole(1), "int"), gap_steps(self.assembly, state, event, STEP, event), "int"
            ),
        )

    def aftermath(self) -> None:
        """Bounds, crossings, outputs, histories and travelling values, on what the handlers left."""
        state, assembly, meaning = self.state, self.assembly, self.meaning
        meaning.use_fresh = False
        final = meaning
        for variable in state.system.states:
            if variable.bounds is not None:
                array = state.arrays[variable.name]
                low = as_real(lower_expression(variable.bounds.low, final))
                high = as_real(lower_expression(variable.bounds.high, final))
                self.body.append(k.Store(array, I, k.Call("clip", (load(assembly, array, I), low, high), "real")))
        if state.system.output is not None:
            self.need_reductions(state.system.output)
        for crossing, array in state.crossings.items():
            left = as_real(lower_expression(crossing.left, final))
            right = as_real(lower_expression(crossing.right, final))
            self.body.append(k.Store(array, I, k.Binary("-", left, right)))
        if state.output:
            state.arrays.pop("output", None)
            self.body.append(
                k.Store(state.output, I, final.output(), source_of(getattr(state.system.output, "span", None)))
            )
            state.arrays["output"] = state.output
        for name in sorted(state.visible):
            if (
                name in state.arrays
                and any(d.name == name for d in state.system.definitions)
                and name not in meaning.fresh
            ):
                array = state.arrays.pop(name)
                self.body.append(k.Store(array, I, as_real(final.current(name))))
                state.arrays[name] = array
        for name, array in state.history.items():
            ring = assembly.arrays[array].depth > 1
            if name in state.lists:
                value: k.Expr = meaning.events[name] if name in meaning.events else load(assembly, state.flags[name], I)
            elif name in meaning.fresh and name not in state.arrays:
                value = meaning.fresh[name]
            else:
                value = as_real(final.current(name))
            self.body.append(k.Store(array, I, value, lag=whole(0) if ring else None))
        for name, array in state.sent.items():
            if name in meaning.events or name in state.flags:
                occurred = meaning.events[name] if name in meaning.events else load(assembly, state.flags[name], I)
                self.body.append(k.Store(array, I, occurred))
                continue
            source = (
                as_real(final.current(name))
                if name not in meaning.fresh or name in state.arrays
                else meaning.fresh[name]
            )
            self.body.append(k.Store(array, I, source))
        for total_array, total in state.totals.values():
            self.body.append(k.Store(total_array, I, as_real(lower_expression(total, final))))
        for response in state.system.responses:
            happened = (
                meaning.events[response.event]
                if response.event in meaning.events
                else load(assembly, state.flags[response.event], I)
            )
            target = state.arrays[response.name]
            jump: k.Expr = real(response.jump)
            if not response.replace:
                jump = k.Binary("+", load(assembly, target, I), jump)
            self.body.append(k.If(happened, (k.Store(target, I, jump),), rare=True))
        meaning.use_fresh = True


def _groups(assembly: Assembly, state: PopulationState, over: tuple[int, ...] | None) -> tuple[str | None, int]:
    """The int array of group numbers when a reduction runs over some axes only."""
    shape = state.population.shape
    if over is None or set(over) == set(range(len(shape))):
        return None, 1
    kept = [axis for axis in range(len(shape)) if axis not in over]
    coordinates = np.indices(shape).reshape(len(shape), -1)
    numbers = np.zeros(state.size, dtype=np.int64)
    for axis in kept:
        numbers = numbers * shape[axis] + coordinates[axis]
    key = f"groups over {over}"
    if key not in state.arrays:
        state.arrays[key] = assembly.add_array(
            f"{state.path}.groups", (state.size,), type="int", role="data", data=numbers
        )
    return state.arrays[key], int(np.prod([shape[axis] for axis in kept], dtype=np.int64))


def _emission_order(handlers: list[m.Handler]) -> list[m.Handler]:
    """Written order, except that the handlers of an emitted event follow everything that may emit it."""
    result = list(handlers)
    for position, handler in enumerate(handlers):
        emitted = {s.event for s in _statements(handler.body) if isinstance(s, m.Emit)}
        for earlier in handlers[:position]:
            if earlier.trigger.event in emitted and earlier is not handler:
                result.remove(earlier)
                result.append(earlier)
    return result


def gap_steps(assembly: Assembly, state: PopulationState, event: str, counter: k.Expr, draw: str) -> k.Expr:
    """Whole steps without an event before the next one: a geometric gap, floor(-log(1 - u)/(rate*dt))."""
    if draw not in state.streams:
        state.streams[draw] = assembly.add_stream(state.path, draw)
    rate = load(assembly, state.arrays[f"hazard_{event}"], I)
    uniform = k.Draw("uniform", state.streams[draw], I, counter)
    gap = k.Binary("/", k.Unary("-", k.Call("log1p", (k.Unary("-", uniform, "real"),), "real"), "real"), rate)
    bounded = k.Choose(
        k.Compare(">", rate, real(0.0)),
        k.Call("min", (gap, real(float(FOR_EVER // 2))), "real"),
        real(float(FOR_EVER // 2)),
    )
    return k.Call("int", (bounded,), "int")


def prepare_gaps(assembly: Assembly, state: PopulationState, networks: dict[str, str]) -> None:
    """Events of constant rate draw the gap to the next event instead of a number per step."""
    params = set(state.system.params) | {param.name for param in state.population.model.params}
    for event in state.system.events:
        if event.kind != "rate" or event.condition is None or event.name in state.clamp:
            continue
        definitions = {d.name: d.value for d in state.system.definitions}
        if not _only_params(event.condition, params, definitions):
            continue
        if event.name in state.holds:
            continue
        path = state.path
        meaning = PopulationMeaning(assembly, state, networks)
        hazard = k.Binary("*", as_real(lower_expression(event.condition, meaning)), DT)
        varies = any(isinstance(node, k.Load) and assembly.arrays[node.array].shape != () for node in k.walk(hazard))
        array = assembly.add_array(f"{path}.hazard_{event.name}", (state.size,) if varies else (), role="coefficient")
        state.arrays[f"hazard_{event.name}"] = array
        assembly.coefficients.append(
            launch(
                f"{array}_value",
                f"rate of {event.name} of {path} per step",
                k.Each(state.size) if varies else k.Single(),
                [k.Store(array, I if varies else None, hazard)],
            )
        )
        clock = assembly.add_array(f"{path}.next_{event.name}", (state.size,), type="int", role="state")
        state.arrays[f"next_{event.name}"] = clock
        start = k.Binary("+", STEP, gap_steps(assembly, state, event.name, STEP, f"{event.name}.start"), "int")
        assembly.coefficients.append(
            launch(
                f"{path}_first_{event.name}",
                f"first {event.name} of {path}",
                k.Each(state.size),
                [k.Store(clock, I, start)],
            )
        )


def _only_params(value: e.Expr, params: set[str], definitions: dict[str, e.Expr]) -> bool:
    for node in e.walk(value):
        match node:
            case e.Variable(name=name, scope="self"):
                if name in definitions:
                    if not _only_params(definitions[name], params, definitions):
                        return False
                elif name not in params and name != "index":
                    return False
            case (
                e.Constant()
                | e.Unary()
                | e.Binary()
                | e.Call()
                | e.Select()
                | e.Comparison()
                | e.Logical()
                | e.Position()
            ):
                pass
            case _:
                return False
    return True


def lower_scheduled_handlers(assembly: Assembly, state: PopulationState, networks: dict[str, str]) -> list[PlanNode]:
    """``on every T`` of a neuron; ``on trial_end`` goes to the plan's end of trial."""
    nodes: list[PlanNode] = []
    path, size = state.path, state.size
    for handler in state.system.handlers:
        if handler.trigger.kind not in ("every", "trial_end"):
            continue
        step = PopulationStep(assembly, state, networks)
        step.need_reductions(*statement_expressions(handler.body))
        step.body.extend(HandlerLowering(assembly, state, step.meaning).block(handler.body))
        for variable in state.system.states:
            if variable.bounds is not None:
                array = state.arrays[variable.name]
                low = as_real(lower_expression(variable.bounds.low, step.meaning))
                high = as_real(lower_expression(variable.bounds.high, step.meaning))
                step.body.append(k.Store(array, I, k.Call("clip", (load(assembly, array, I), low, high), "real")))
        step.nodes.append(
            launch(
                f"{path}_on_{handler.trigger.kind}",
                f"on {handler.trigger.kind} of {path}",
                k.Each(size),
                step.body,
                handler.span,
            )
        )
        if handler.trigger.kind == "trial_end":
            assembly.trial_end.extend(step.nodes)
        else:
            nodes.append(Every(period_steps(handler.trigger, assembly, state.arrays), tuple(step.nodes)))
    return nodes


def period_steps(trigger: m.Trigger, assembly: Assembly, arrays: dict[str, str]) -> int:
    """The period of ``on every T`` in whole steps, at least one."""
    assert trigger.period is not None
    values: dict[str, float] = {}
    for name, array in arrays.items():
        data = assembly.arrays[array].data
        if data is not None and data.shape == ():
            values[name] = float(data)
    from snnlang.model.evaluate import evaluate

    value = evaluate(trigger.period, {**values, "dt": assembly.dt})
    if value is None:
        raise SnnError(
            *error(
                "E725",
                "the period of `on every` must be the same for all and known before the run",
                getattr(trigger.period, "span", None),
                "not a constant",
                help="give it as a number with a unit, or as a parameter with one value",
            ).diagnostics
        )
    return max(1, round(float(value) / assembly.dt))
