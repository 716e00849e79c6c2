"""Lower one projection: where its variables live becomes arrays, its handlers kernels over the synapses that an event reaches.

``SynapseMeaning`` says what a name is at one synapse, or at one pre or post neuron where placement put the variable there. The
kernels of a handler are cut only where the statements change level, so that written order is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

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
    launch,
    load,
    negate,
    real,
    whole,
)
from snnlang.codegen.connectivity import given_order
from snnlang.codegen.lower_expression import constant_value, lower_expression
from snnlang.codegen.lower_population import (
    PopulationMeaning,
    PopulationState,
    coordinate,
    has_network_input,
    is_per_item,
    period_steps,
    source_of,
    statement_expressions,
)
from snnlang.codegen.plan import ClearQueue, Enqueue, Every, PlanNode, SynapseReduce
from snnlang.diagnostics import error
from snnlang.dynamics.system import Placement, Step
from snnlang.model import expression as e
from snnlang.model import model as m
from snnlang.model.network import ArrayValue, NetworkInput, Projection, Value

PRE = k.Local("pre", "int")
POST = k.Local("post", "int")
SYNAPSE = k.Local("synapse", "int")
SHARED = k.Local("shared", "int")

Level = Literal["pre", "post", "synapse"]


@dataclass
class ProjectionState:
    """What lowering knows of a projection while it works."""

    projection: Projection
    synapse: m.Synapse
    placement: Placement
    pre: PopulationState | NetworkInput
    post: PopulationState
    connectivity: str
    lag: int | None = 0  # uniform delay in steps, None: one per synapse
    emission_lag: int = 0  # per-synapse delays: 1 when the source takes its turn after the target
    dendritic: int = 0
    delays: str = ""
    queue: str = ""
    arrays: dict[str, str] = field(default_factory=dict)
    rings: dict[str, str] = field(default_factory=dict)  # pre traces as they were at emission, for per-synapse delays
    past: dict[str, str] = field(default_factory=dict)  # traces kept over a trial for look-back
    advance: Step | None = None
    frozen: dict[str, str] = field(default_factory=dict)
    streams: dict[str, str] = field(default_factory=dict)
    shared: bool = False
    attached: dict[str, str] = field(default_factory=dict)  # summed variable -> name of its state in the target
    bound_lists: dict[str, str] = field(default_factory=dict)  # per_post event -> list
    bound_inputs: dict[str, Callable[[k.Expr], k.Expr]] = field(default_factory=dict)
    max_pool: bool = False
    continuous: tuple[m.Deliver, ...] = ()

    @property
    def path(self) -> str:
        return self.projection.path

    @property
    def pre_size(self) -> int:
        return self.pre.size

    def where(self, name: str) -> str:
        return self.placement.where(name)

    def event(self, name: str) -> str:
        """The pre event that ``on pre`` means: the one that the connection names, spikes by default."""
        port = self.projection.pre.port
        if name in ("", "spike"):
            return port if port not in ("", "output") else "spike"
        return name


class SynapseMeaning:
    """Names at one synapse (level ``synapse``), or at the neuron of one side."""

    def __init__(
        self,
        assembly: Assembly,
        state: ProjectionState,
        networks: dict[str, str],
        level: Level,
        *,
        late: bool = False,
        counter: k.Expr = STEP,
    ) -> None:
        self.assembly = assembly
        self.state = state
        self.networks = networks
        self.level = level
        self.late = late  # in the last phase of a step: post values are those at its start
        self.counter = counter
        self.draws = "random"
        self.reductions: dict[e.SynapseReduction, str] = {}
        self.extra: dict[str, k.Expr] = {}
        self.pre_index: k.Expr = I if level == "pre" else PRE
        self.post_index: k.Expr = I if level == "post" else POST

    # --- own variables ----------------------------------------------------------------------------------------------

    def own(self, name: str) -> k.Expr:
        """Load an own variable from where placement put it."""
        state, assembly = self.state, self.assembly
        if name in self.extra:
            return self.extra[name]
        if name in state.rings and self.level == "synapse":
            return load(assembly, state.rings[name], self.pre_index, load(assembly, state.delays, SYNAPSE))
        array = state.arrays[name]
        entry = assembly.arrays[array]
        if entry.connectivity is not None:
            return load(assembly, array, SHARED if entry.shared else SYNAPSE)
        if entry.shape == ():
            return load(assembly, array, None)
        return load(assembly, array, self.pre_index if state.where(name) == "pre" else self.post_index)

    def variable(self, node: e.Variable) -> k.Expr:
        state = self.state
        name = node.name
        match node.scope:
            case "network":
                return load(self.assembly, self.networks[name], whole(0))
            case "pre":
                return self.of_pre(name)
            case "post":
                return self.of_post(name)
            case _:
                pass
        match name:
            case "t":
                return TIME
            case "dt":
                return DT
            case "distance":
                return self.distance()
        if name in self.extra:
            return self.extra[name]
        if name in state.bound_inputs:
            return state.bound_inputs[name](self.post_index)
        for definition in state.synapse.definitions:
            if definition.name == name:
                return lower_expression(definition.value, self)
        return self.own(name)

    # --- the neurons at both sides ----------------------------------------------------------------------------------

    def of_pre(self, name: str) -> k.Expr:
        """What travelled with the spike: the value at emission."""
        state, assembly = self.state, self.assembly
        if name == "index":
            return k.Call("real", (self.pre_index,), "real")
        if isinstance(state.pre, NetworkInput):
            return load(assembly, self.networks[state.pre.path], self.pre_index)
        if any(param.name == name for param in state.pre.population.model.params):
            return PopulationMeaning(assembly, state.pre, self.networks, index=self.pre_index).current(name)
        if state.lag is None:
            return as_real(load(assembly, state.pre.sent[name], self.pre_index, load(assembly, state.delays, SYNAPSE)))
        if name in state.pre.sent and state.lag > 0:
            return as_real(load(assembly, state.pre.sent[name], self.pre_index, whole(state.lag)))
        meaning = PopulationMeaning(assembly, state.pre, self.networks, index=self.pre_index)
        return as_real(meaning.current(name))

    def of_post(self, name: str) -> k.Expr:
        """At the start of the step, earlier by the dendritic delay."""
        state, assembly = self.state, self.assembly
        if name == "index":
            return k.Call("real", (self.post_index,), "real")
        post = state.post
        if (
            name in post.seen
            and (self.late or state.dendritic > 0)
            and not any(param.name == name for param in post.population.model.params)
        ):
            lag = whole(state.dendritic) if assembly.arrays[post.seen[name]].depth > 1 else None
            return as_real(load(assembly, post.seen[name], self.post_index, lag))
        return as_real(PopulationMeaning(assembly, post, self.networks, index=self.post_index).current(name))

    def occurs(self, node: e.Occurs) -> k.Expr:
        state, assembly = self.state, self.assembly
        if node.scope == "pre" and isinstance(state.pre, PopulationState):
            event = state.event(node.event)
            array = state.pre.sent[event]
            if assembly.arrays[array].depth == 1:
                return as_real(load(assembly, array, self.pre_index))
            lag = load(assembly, state.delays, SYNAPSE) if state.lag is None else whole(state.lag + node.lag)
            return as_real(load(assembly, array, self.pre_index, lag))
        if node.scope == "post":
            array = state.post.sent[node.event or "spike"]
            lag = whole(max(node.lag, 0 if self.late else 1) + state.dendritic)
            return as_real(load(assembly, array, self.post_index, lag if assembly.arrays[array].depth > 1 else None))
        raise error(
            "E726",
            "this event cannot be read inside a synapse's equation",
            node.span,
            "not available here",
            help="use a handler: `on pre:` or `on post:`",
        )

    def since(self, node: e.Since) -> k.Expr:
        raise error(
            "E726",
            "`since` belongs to a neuron",
            node.span,
            "inside a synapse",
            help="define it in the neuron (`age = since(spike)`) and read `pre.age` or `post.age`",
        )

    def position(self, node: e.Position) -> k.Expr:
        state = self.state
        if node.scope == "pre":
            shape = state.pre.population.shape if isinstance(state.pre, PopulationState) else state.pre.shape
            return coordinate(self.pre_index, shape, node.axis)
        return coordinate(self.post_index, state.post.population.shape, node.axis)

    def distance(self) -> k.Expr:
        """Euclidean distance of the two neurons on their grids."""
        state = self.state
        shape = state.pre.population.shape if isinstance(state.pre, PopulationState) else state.pre.shape
        axes = min(len(shape), len(state.post.population.shape))
        total: k.Expr | None = None
        for axis in range(axes):
            difference = k.Binary(
                "-",
                coordinate(self.pre_index, shape, axis),
                coordinate(self.post_index, state.post.population.shape, axis),
            )
            square = k.Binary("^", difference, real(2.0))
            total = square if total is None else k.Binary("+", total, square)
        assert total is not None
        return k.Call("sqrt", (total,), "real")

    def crosses(self, node: e.Crosses) -> k.Expr:
        raise error(
            "E726",
            "`crosses` belongs to a neuron",
            node.span,
            "inside a synapse",
            help="declare an event in the neuron and use `on post.NAME:`",
        )

    def reduction(self, node: e.PopulationReduction | e.SynapseReduction) -> k.Expr:
        assert isinstance(node, e.SynapseReduction)
        result = self.reductions[node]
        return as_real(load(self.assembly, result, self.pre_index if node.per == "pre" else self.post_index))

    def at_time(self, node: e.AtTime) -> k.Expr:
        """A trace at an earlier time: the ring that keeps it over a trial."""
        state, assembly = self.state, self.assembly
        array = state.past[node.name]
        time = as_real(lower_expression(node.time, self))
        at_step = k.Call("int", (k.Call("round", (k.Binary("/", time, DT),), "real"),), "int")
        lag: k.Expr = k.Binary("-", k.Binary("+", STEP, whole(assembly.time_offset), "int"), at_step, "int")
        lag = k.Call(
            "int",
            (
                k.Call(
                    "clip",
                    (k.Call("real", (lag,), "real"), real(0.0), real(assembly.arrays[array].depth - 1.0)),
                    "real",
                ),
            ),
            "int",
        )
        return load(assembly, array, self.pre_index if state.where(node.name) == "pre" else self.post_index, lag)

    def draw(self, distribution: str, number: int) -> k.Expr:
        state = self.state
        name = f"{self.draws}{number}"
        if name not in state.streams:
            state.streams[name] = self.assembly.add_stream(state.path, name)
        index = SYNAPSE if self.level == "synapse" else I
        return k.Draw("uniform" if distribution == "uniform" else "normal", state.streams[name], index, self.counter)


# --- parameters, weights, states --------------------------------------------------------------------------------------


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
        order = given_order(connectivity)
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

        def by_weight(child: k.Expr) -> k.Expr:
            return child

        value_kernel = by_weight(as_real(lower_expression(value, meaning)))
        value_kernel = _replace_local(value_kernel, SYNAPSE, SHARED)
        statement = k.Store(array, SHARED, value_kernel)
    else:
        statement = k.Store(array, SYNAPSE, as_real(lower_expression(value, meaning)))
    target = assembly.coefficients if has_network_input(value) else assembly.setup
    target.append(launch(f"{array}_value", f"{variable} of {path}", k.Synapses(state.connectivity), [statement]))
    return array


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


def upper_bound(value: Value, what: str) -> float:
    """A bound that a delay never exceeds: known before any draw; a normal is cut at six standard deviations."""
    if isinstance(value, ArrayValue):
        return float(np.max(value.array, initial=0.0))
    _low, high = _interval(value, what)
    return max(high, 0.0)


def _combine(operator: str, x: float, y: float) -> float:
    match operator:
        case "+":
            return x + y
        case "-":
            return x - y
        case "*":
            return x * y
        case "/":
            return x / y if y else float("inf")
        case _:
            return float(x**y)


def _interval(value: e.Expr, what: str) -> tuple[float, float]:
    match value:
        case e.Constant(value=number):
            return number, number
        case e.Unary(operand=operand):
            low, high = _interval(operand, what)
            return -high, -low
        case e.Binary(operator=operator, left=left, right=right):
            a, b = _interval(left, what), _interval(right, what)
            corners = [_combine(operator, x, y) for x in a for y in b]
            return min(corners), max(corners)
        case e.Random(distribution="uniform", arguments=(low_value, high_value)):
            return _interval(low_value, what)[0], _interval(high_value, what)[1]
        case e.Random(distribution="normal", arguments=(mean, deviation)):
            spread = 6.0 * _interval(deviation, what)[1]
            low, high = _interval(mean, what)
            return low - spread, high + spread
        case e.Random(distribution="exponential", arguments=(mean,)):
            return 0.0, 40.0 * _interval(mean, what)[1]
        case e.Random(distribution="bernoulli"):
            return 0.0, 1.0
        case e.Random(distribution="lognormal", arguments=(mean, deviation)):
            return 0.0, float(np.exp(_interval(mean, what)[1] + 6.0 * _interval(deviation, what)[1]))
        case e.Call(function="clip", arguments=(_, low_value, high_value)):
            return _interval(low_value, what)[0], _interval(high_value, what)[1]
        case e.Call(function="min" | "max" as function, arguments=(left, right)):
            one, two = _interval(left, what), _interval(right, what)
            if function == "min":
                return min(one[0], two[0]), min(one[1], two[1])
            return max(one[0], two[0]), max(one[1], two[1])
        case _:
            raise error(
                "E729",
                f"how long {what} can get is not known before the run",
                getattr(value, "span", None),
                "no upper bound",
                help="wrap it: clip(…, 0.1 ms, 10 ms)",
            )


def lower_delays(
    assembly: Assembly, state: ProjectionState, networks: dict[str, str], delay: Value, shortest: int
) -> None:
    """One delay per synapse, in whole steps, in an int array."""
    dt = assembly.dt
    longest = max(shortest, round(upper_bound(delay, "this delay") / dt))
    if isinstance(delay, ArrayValue):
        numbers = np.asarray(delay.array, dtype=np.float64).reshape(-1)
        connectivity = assembly.connectivities[state.connectivity]
        order = given_order(connectivity)
        if order is not None:
            numbers = numbers[order]
        steps = np.maximum(shortest, np.rint(numbers / dt).astype(np.int64))
        state.delays = assembly.add_array(
            f"{state.path}.delay_steps",
            (),
            type="int",
            role="param",
            data=steps,
            connectivity=state.connectivity,
            owner=state.path,
            variable="delay_steps",
        )
    else:
        state.delays = assembly.add_array(
            f"{state.path}.delay_steps",
            (),
            type="int",
            role="param",
            connectivity=state.connectivity,
            owner=state.path,
            variable="delay_steps",
        )
        meaning = SynapseMeaning(assembly, state, networks, "synapse", counter=whole(0))
        meaning.draws = "delay."
        value = k.Call("round", (k.Binary("/", as_real(lower_expression(delay, meaning)), DT),), "real")
        bounded = k.Call("clip", (value, real(float(shortest)), real(float(longest))), "real")
        assembly.setup.append(
            launch(
                f"{state.path}_delays",
                f"delays of {state.path} in steps",
                k.Synapses(state.connectivity),
                [k.Store(state.delays, SYNAPSE, k.Call("int", (bounded,), "int"))],
            )
        )
    state.lag = None
    name = assembly.unique(f"{state.path}_arrivals")
    from snnlang.codegen.plan import Queue

    assembly.queues[name] = Queue(name, state.connectivity, longest + 1)
    state.queue = name


def longest_delay(assembly: Assembly, state: ProjectionState) -> int:
    """The longest axonal delay in steps."""
    return assembly.queues[state.queue].depth - 1 if state.lag is None else state.lag


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


# --- kernels ----------------------------------------------------------------------------------------------------------


class ProjectionKernels:
    """Builds the nodes of one projection for each phase of a step."""

    def __init__(
        self,
        assembly: Assembly,
        state: ProjectionState,
        networks: dict[str, str],
        target_of: Callable[[ProjectionState, str], tuple[str, bool]],
    ) -> None:
        self.assembly = assembly
        self.state = state
        self.networks = networks
        self.target_of = target_of  # (projection, port) -> (array to accumulate into, whether it is an input)
        self.number = 0

    def name(self, what: str) -> str:
        self.number += 1
        return f"{self.state.path}_{what}_{self.number}"

    # --- levels -----------------------------------------------------------------------------------------------------

    def level(self, statement: m.Statement) -> Level:
        state = self.state
        match statement:
            case m.Assign(name=name, scope="self"):
                where = state.where(name)
                return where if where in ("pre", "post") else "synapse"  # type: ignore[return-value]
            case m.If(branches=branches):
                levels = {self.level(inner) for _, body in branches for inner in body}
                return levels.pop() if len(levels) == 1 else "synapse"
            case _:
                return "synapse"

    def groups(self, body: tuple[m.Statement, ...]) -> list[tuple[Level, list[m.Statement]]]:
        """Consecutive statements of one level; a reduction starts a group of its own, so that it sees what came before."""
        result: list[tuple[Level, list[m.Statement]]] = []
        for statement in body:
            level = self.level(statement)
            reduces = any(
                isinstance(node, e.SynapseReduction)
                for value in statement_expressions((statement,))
                for node in e.walk(value)
            )
            if result and result[-1][0] == level and not reduces:
                result[-1][1].append(statement)
            else:
                result.append((level, [statement]))
        return result

    # --- statements -------------------------------------------------------------------------------------------------

    def handler(
        self, what: str, body: tuple[m.Statement, ...], domains: dict[Level, k.Domain], late: bool, span: object = None
    ) -> list[PlanNode]:
        """The kernels of a handler; ``domains`` says what each level visits."""
        nodes: list[PlanNode] = []
        for level, statements in self.groups(body):
            meaning = SynapseMeaning(self.assembly, self.state, self.networks, level, late=late)
            for value in statement_expressions(tuple(statements)):
                for node in e.walk(value):
                    if isinstance(node, e.SynapseReduction) and node not in meaning.reductions:
                        nodes.extend(self.reduce(node, meaning, late))
            kernel_body = [lowered for statement in statements for lowered in self.statement(statement, meaning)]
            kernel_body.extend(self.clamp(statements, meaning))
            if kernel_body:
                nodes.append(
                    launch(
                        self.name(what),
                        f"{self.state.path}: {what.replace('_', ' ')}",
                        domains[level],
                        kernel_body,
                        self.state.projection.span,
                    )
                )
        return nodes

    def reduce(self, node: e.SynapseReduction, meaning: SynapseMeaning, late: bool) -> list[PlanNode]:
        """``sum(w, per post)`` over all synapses, on the values of this moment."""
        assembly, state = self.assembly, self.state
        size = state.pre_size if node.per == "pre" else state.post.size
        result = assembly.add_array(f"{state.path}.{node.operation}_per_{node.per}", (size,), role="scratch")
        nodes: list[PlanNode] = []
        source: str | None = None
        if node.operation != "count":
            operand = node.operand
            stored = self.stored(operand)
            if stored is not None:
                source = stored
            else:
                source = assembly.add_array(
                    f"{state.path}.{node.operation}_of", (), role="scratch", connectivity=state.connectivity
                )
                inner = SynapseMeaning(assembly, state, self.networks, "synapse", late=late)
                nodes.append(
                    launch(
                        self.name("reduced"),
                        f"{state.path}: what is reduced",
                        k.Synapses(state.connectivity),
                        [k.Store(source, SYNAPSE, as_real(lower_expression(operand, inner)))],
                    )
                )
        nodes.append(SynapseReduce(node.operation, result, source, state.connectivity, node.per))  # type: ignore[arg-type]
        meaning.reductions[node] = result
        return nodes

    def stored(self, operand: e.Expr) -> str | None:
        """The per-synapse array that already holds what is to be reduced."""
        if not isinstance(operand, e.Variable) or operand.scope != "self":
            return None
        array = self.state.arrays.get(operand.name)
        if array is None:
            return None
        entry = self.assembly.arrays[array]
        return array if entry.connectivity == self.state.connectivity and not entry.shared else None

    def statement(self, statement: m.Statement, meaning: SynapseMeaning) -> list[k.Statement]:
        match statement:
            case m.Assign():
                return self.assign(statement, meaning)
            case m.Deliver(value=value, port=port):
                return self.deliver(value, port, meaning, source_of(statement.span))
            case m.If(branches=branches):
                return self.branches(branches, meaning)
            case m.Remove() | m.Create() | m.ForVacant():
                raise error(
                    "E791",
                    "synapses cannot be created or removed yet",
                    statement.span,
                    "parsed and checked only",
                    help="take it away to simulate with a fixed structure",
                )
            case _:
                raise error(
                    "E724",
                    "this statement belongs to a neuron",
                    statement.span,
                    "here in a synapse",
                    help="move it into a handler of the neuron",
                )

    def branches(
        self, branches: tuple[tuple[e.Expr | None, tuple[m.Statement, ...]], ...], meaning: SynapseMeaning
    ) -> list[k.Statement]:
        condition, body = branches[0]
        inner = [lowered for statement in body for lowered in self.statement(statement, meaning)]
        if condition is None:
            return inner
        otherwise = self.branches(branches[1:], meaning) if len(branches) > 1 else []
        return [k.If(as_bool(lower_expression(condition, meaning)), tuple(inner), tuple(otherwise))]

    def assign(self, statement: m.Assign, meaning: SynapseMeaning) -> list[k.Statement]:
        assembly, state = self.assembly, self.state
        value = as_real(lower_expression(statement.value, meaning))
        source = source_of(statement.span)
        if statement.scope in ("pre", "post"):
            if statement.operator == "-=":
                value = k.Unary("-", value, "real")
            side = state.pre if statement.scope == "pre" else state.post
            assert isinstance(side, PopulationState)
            neuron = meaning.pre_index if statement.scope == "pre" else meaning.post_index
            direct = meaning.late or statement.name not in side.jumps
            array = side.arrays[statement.name] if direct else side.jumps[statement.name]
            return [k.Accumulate(array, neuron, value, source)]
        name = statement.name
        if name in state.attached:
            jump = state.post.jumps[state.attached[name]]
            if statement.operator == "-=":
                value = k.Unary("-", value, "real")
            return [k.Accumulate(jump, POST, value, source)]
        array = state.arrays[name]
        entry = assembly.arrays[array]
        if entry.shared and entry.connectivity is not None:
            if statement.operator not in ("+=", "-="):
                raise error(
                    "E727",
                    f"a shared weight can only be changed by += and -=, not {statement.operator}",
                    statement.span,
                    "one weight serves many synapses",
                    help="write the change as an increment",
                )
            value = k.Unary("-", value, "real") if statement.operator == "-=" else value
            return self.unless_frozen(name, [k.Accumulate(array, SHARED, value, source)])
        where = state.where(name)
        index: k.Expr | None = SYNAPSE
        if entry.connectivity is None:
            index = None if entry.shape == () else (meaning.pre_index if where == "pre" else meaning.post_index)
        old = load(assembly, array, index)
        if statement.operator != "=":
            value = k.Binary(statement.operator[0], old, value)  # type: ignore[arg-type]
        return self.unless_frozen(name, [k.Store(array, index, value, source)])

    def unless_frozen(self, name: str, statements: list[k.Statement]) -> list[k.Statement]:
        flag = self.state.frozen.get(name)
        if flag is None:
            return statements
        return [k.If(negate(load(self.assembly, flag, None)), tuple(statements))]

    def clamp(self, statements: list[m.Statement], meaning: SynapseMeaning) -> list[k.Statement]:
        """Bounds of what these statements assigned."""
        assembly, state = self.assembly, self.state
        assigned = _assigned(tuple(statements))
        result: list[k.Statement] = []
        for variable in state.synapse.states:
            if variable.name in assigned and variable.bounds is not None and variable.name in state.arrays:
                result.extend(self.clamped(variable, meaning))
        del assembly
        return result

    def clamped(self, variable: m.State, meaning: SynapseMeaning) -> list[k.Statement]:
        assembly, state = self.assembly, self.state
        assert variable.bounds is not None
        array = state.arrays[variable.name]
        entry = assembly.arrays[array]
        if entry.shared and entry.connectivity is not None:
            return []
        index: k.Expr | None = SYNAPSE
        if entry.connectivity is None:
            index = (
                None
                if entry.shape == ()
                else (meaning.pre_index if state.where(variable.name) == "pre" else meaning.post_index)
            )
        low = as_real(lower_expression(variable.bounds.low, meaning))
        high = as_real(lower_expression(variable.bounds.high, meaning))
        return [k.Store(array, index, k.Call("clip", (load(assembly, array, index), low, high), "real"))]

    def scaled(self, value: k.Expr, meaning: SynapseMeaning) -> k.Expr:
        """Times the connection's gain; a mean over a window divides by its size."""
        projection = self.state.projection
        if projection.pattern.kind == "avg_pool":
            height, width = projection.pattern.options["kernel"]
            value = k.Binary("*", real(1.0 / (height * width)), value)
        if projection.gain is None:
            return value
        number = constant_value(projection.gain)
        factor = real(number) if number is not None else as_real(lower_expression(projection.gain, meaning))
        return k.Binary("*", factor, value)

    def deliver(self, value: e.Expr, port: str | None, meaning: SynapseMeaning, source: str) -> list[k.Statement]:
        state = self.state
        amount = self.scaled(as_real(lower_expression(value, meaning)), meaning)
        array, _ = self.target_of(state, port or state.projection.post.port)
        return [self.put(array, meaning.post_index, amount, source)]

    def put(self, array: str, index: k.Expr, amount: k.Expr, source: str) -> k.Statement:
        if self.state.max_pool:
            return k.Store(array, index, amount, source)
        return k.Accumulate(array, index, amount, source)

    # --- phases -----------------------------------------------------------------------------------------------------

    def pre_domains(self, event: str) -> dict[Level, k.Domain]:
        state = self.state
        assert isinstance(state.pre, PopulationState)
        list_name = state.pre.lists[state.event(event)]
        if state.lag is None:
            return {
                "pre": k.Listed(list_name, state.emission_lag),
                "post": k.Arrivals(state.queue, state.connectivity),
                "synapse": k.Arrivals(state.queue, state.connectivity),
            }
        self.assembly.need_depth(list_name, state.lag)
        return {
            "pre": k.Listed(list_name, state.lag),
            "post": k.Fan(state.connectivity, "pre", list_name, state.lag),
            "synapse": k.Fan(state.connectivity, "pre", list_name, state.lag),
        }

    def post_domains(self, event: str) -> dict[Level, k.Domain]:
        state = self.state
        list_name = state.post.lists[event or "spike"]
        self.assembly.need_depth(list_name, state.dendritic)
        return {
            "pre": k.Fan(state.connectivity, "post", list_name, state.dendritic),
            "post": k.Listed(list_name, state.dendritic),
            "synapse": k.Fan(state.connectivity, "post", list_name, state.dendritic),
        }

    def all_domains(self) -> dict[Level, k.Domain]:
        state = self.state
        return {
            "pre": k.Each(state.pre_size),
            "post": k.Each(state.post.size),
            "synapse": k.Synapses(state.connectivity),
        }

    def emission(self) -> list[PlanNode]:
        """Per-synapse delays: put the synapses of this step's spikes into the queue."""
        state = self.state
        if state.lag is not None or not state.queue:
            return []
        assert isinstance(state.pre, PopulationState)
        list_name = state.pre.lists[state.event("spike")]
        self.assembly.need_depth(list_name, state.emission_lag)
        return [Enqueue(state.queue, state.connectivity, list_name, state.delays, "pre", state.emission_lag)]

    def advance(self) -> list[PlanNode]:
        """Synaptic states and traces that are not integrated with the target go to t_{n+1}."""
        state, assembly = self.state, self.assembly
        nodes: list[PlanNode] = []
        if state.advance is not None:
            by_level: dict[Level, list[tuple[str, e.Expr, str]]] = {"pre": [], "post": [], "synapse": []}
            for let in state.advance.updates:
                where = state.where(let.name)
                by_level[where if where in ("pre", "post") else "synapse"].append((let.name, let.value, let.source))  # type: ignore[index]
            needed = {
                node.name for let in state.advance.body for node in e.walk(let.value) if isinstance(node, e.Variable)
            }
            for level, updates in by_level.items():
                if not updates:
                    continue
                meaning = SynapseMeaning(assembly, state, self.networks, level)
                meaning.draws = "xi"
                body: list[k.Statement] = []
                used = _closure([value for _, value, _ in updates], state.advance)
                for let in state.advance.body:
                    if let.name in used or (needed and let.name in used):
                        body.append(k.Let(let.name, as_real(lower_expression(let.value, meaning)), let.source))
                        meaning.extra[let.name] = k.Local(let.name)
                values = [(name, as_real(lower_expression(value, meaning)), source) for name, value, source in updates]
                single = len(values) == 1
                stores: list[k.Statement] = []
                for name, value, source in values:
                    array = state.arrays[name]
                    index: k.Expr | None = (
                        SYNAPSE
                        if assembly.arrays[array].connectivity
                        else (I if assembly.arrays[array].shape else None)
                    )
                    if name in state.frozen:
                        value = k.Choose(load(assembly, state.frozen[name], None), load(assembly, array, index), value)
                    if single:
                        stores.append(k.Store(array, index, value, source))
                    else:
                        body.append(k.Let(f"{name}_new", value, source))
                        stores.append(k.Store(array, index, k.Local(f"{name}_new")))
                body.extend(stores)
                for variable in state.synapse.states:
                    if variable.bounds is not None and any(variable.name == name for name, _, _ in updates):
                        body.extend(self.clamped(variable, meaning))
                for name, ring in state.rings.items():
                    if any(name == updated for updated, _, _ in updates):
                        body.append(k.Store(ring, I, load(assembly, state.arrays[name], I)))
                domain = self.all_domains()[level]
                nodes.append(
                    launch(
                        self.name("advance"), f"{state.path}: equations and traces", domain, body, state.projection.span
                    )
                )
        return nodes

    def differences(self) -> list[PlanNode]:
        """Difference equations of the synapse, in order of their graph."""
        state, assembly = self.state, self.assembly
        if not state.synapse.differences:
            return []
        meaning = SynapseMeaning(assembly, state, self.networks, "synapse")
        body: list[k.Statement] = []
        ordered = _difference_order(state.synapse)
        for equation in ordered:
            value = as_real(lower_expression(equation.value, _Lagged(meaning)))
            local = k.Local(f"{equation.variable}_new")
            body.append(k.Let(local.name, value, source_of(equation.span)))
            meaning.extra[f"{equation.variable}[n]"] = local
        for equation in ordered:
            array = state.arrays[equation.variable]
            level = state.where(equation.variable)
            index: k.Expr = (
                SYNAPSE
                if assembly.arrays[array].connectivity
                else (meaning.pre_index if level == "pre" else meaning.post_index)
            )
            new: k.Expr = k.Local(f"{equation.variable}_new")
            if equation.variable in state.frozen:
                new = k.Choose(load(assembly, state.frozen[equation.variable], None), load(assembly, array, index), new)
            body.append(k.Store(array, index, new))
        for variable in state.synapse.states:
            if variable.bounds is not None and any(d.variable == variable.name for d in ordered):
                body.extend(self.clamped(variable, meaning))
        return [
            launch(
                self.name("equations"),
                f"{state.path}: difference equations",
                k.Synapses(state.connectivity),
                body,
                state.projection.span,
            )
        ]

    def continuous(self) -> list[PlanNode]:
        """Bare delivers that were not folded into the target."""
        state = self.state
        if not state.continuous:
            return []
        meaning = SynapseMeaning(self.assembly, state, self.networks, "synapse")
        nodes: list[PlanNode] = []
        if state.max_pool:
            return self.pooled(meaning)
        body: list[k.Statement] = []
        for deliver in state.continuous:
            body.extend(self.deliver(deliver.value, deliver.port, meaning, source_of(deliver.span)))
        nodes.append(
            launch(
                self.name("deliver"),
                f"{state.path}: continuous delivery",
                k.Synapses(state.connectivity),
                body,
                state.projection.span,
            )
        )
        return nodes

    def pooled(self, meaning: SynapseMeaning) -> list[PlanNode]:
        """Maximum over a window of an analogue source."""
        state, assembly = self.state, self.assembly
        nodes: list[PlanNode] = []
        for deliver in state.continuous:
            source = assembly.add_array(f"{state.path}.pooled", (), role="scratch", connectivity=state.connectivity)
            amount = self.scaled(as_real(lower_expression(deliver.value, meaning)), meaning)
            nodes.append(
                launch(
                    self.name("window"),
                    f"{state.path}: values of the window",
                    k.Synapses(state.connectivity),
                    [k.Store(source, SYNAPSE, amount)],
                    state.projection.span,
                )
            )
            result = assembly.add_array(f"{state.path}.maximum", (state.post.size,), role="scratch")
            nodes.append(SynapseReduce("max", result, source, state.connectivity, "post"))
            array, _ = self.target_of(state, deliver.port or state.projection.post.port)
            nodes.append(
                launch(
                    self.name("deliver"),
                    f"{state.path}: maximum of the window",
                    k.Each(state.post.size),
                    [k.Accumulate(array, I, load(assembly, result, I))],
                    state.projection.span,
                )
            )
        return nodes

    def turn(self) -> list[PlanNode]:
        """What happens before the target population takes its turn."""
        state = self.state
        nodes = self.emission()
        if state.synapse.differences:
            nodes += self.differences()
            nodes += self.advance()
            nodes += self.continuous()
        else:
            nodes += self.continuous()
            nodes += self.advance()
        late_rule = state.synapse.order == ("post", "pre")
        for handler in state.synapse.handlers:
            if handler.trigger.kind != "pre" or not isinstance(state.pre, PopulationState):
                continue
            body = handler.body
            if late_rule:
                body = tuple(s for s in body if isinstance(s, m.Deliver))
            else:
                # delivery always comes first only in so far as it is written first: statements keep their order
                pass
            if body:
                nodes += self.handler("on_pre", body, self.pre_domains(handler.trigger.event), late=False)
        return nodes

    def finish(self) -> list[PlanNode]:
        """After every population has taken its turn: post handlers, trace jumps, empty queues."""
        state = self.state
        nodes: list[PlanNode] = []
        pre_first = state.synapse.order == ("pre", "post")
        if pre_first:
            nodes += self.commit("pre")
        for handler in state.synapse.handlers:
            if handler.trigger.kind == "post":
                nodes += self.handler("on_post", handler.body, self.post_domains(handler.trigger.event), late=True)
            elif handler.trigger.kind == "input":
                event = handler.trigger.event
                list_name = state.bound_lists[event]
                domains: dict[Level, k.Domain] = {
                    "pre": k.Fan(state.connectivity, "post", list_name, 0),
                    "post": k.Listed(list_name, 0),
                    "synapse": k.Fan(state.connectivity, "post", list_name, 0),
                }
                nodes += self.handler(f"on_{event}", handler.body, domains, late=True)
        post_first = state.synapse.order == ("post", "pre")
        if post_first:
            nodes += self.commit("post")
            for handler in state.synapse.handlers:
                if handler.trigger.kind == "pre" and isinstance(state.pre, PopulationState):
                    body = tuple(s for s in handler.body if not isinstance(s, m.Deliver))
                    if body:
                        nodes += self.handler("on_pre_late", body, self.pre_domains(handler.trigger.event), late=True)
        if not pre_first:
            nodes += self.commit("pre")
        if not post_first:
            nodes += self.commit("post")
        nodes += self.commit("input")
        for handler in state.synapse.handlers:
            if handler.trigger.kind == "every":
                period = period_steps(handler.trigger, self.assembly, self.state.arrays)
                nodes.append(
                    Every(period, tuple(self.handler("on_every", handler.body, self.all_domains(), late=True)))
                )
        for name, past in state.past.items():
            side: k.Expr = I
            size = state.pre_size if state.where(name) == "pre" else state.post.size
            nodes.append(
                launch(
                    self.name("past"),
                    f"{state.path}: {name} is kept for look-back",
                    k.Each(size),
                    [k.Store(past, side, load(self.assembly, state.arrays[name], I))],
                )
            )
        if state.queue:
            nodes.append(ClearQueue(state.queue))
        return nodes

    def commit(self, kind: str) -> list[PlanNode]:
        """Trace jumps of this step."""
        state, assembly = self.state, self.assembly
        nodes: list[PlanNode] = []
        for trace in state.synapse.traces:
            if trace.trigger.kind != kind or trace.name not in state.arrays:
                continue
            where = state.where(trace.name)
            level: Level = where if where in ("pre", "post") else "synapse"  # type: ignore[assignment]
            if kind == "pre":
                if not isinstance(state.pre, PopulationState):
                    continue
                domains = self.pre_domains(trace.trigger.event)
                if state.lag is None and level == "pre":
                    domain: k.Domain = k.Listed(state.pre.lists[state.event(trace.trigger.event)], 0)
                else:
                    domain = domains[level]
            elif kind == "post":
                domain = self.post_domains(trace.trigger.event)[level]
            else:
                list_name = state.bound_lists[trace.trigger.event]
                domain = k.Listed(list_name, 0) if level == "post" else k.Fan(state.connectivity, "post", list_name, 0)
            array = state.arrays[trace.name]
            index: k.Expr = SYNAPSE if level == "synapse" else I
            value: k.Expr = real(1.0) if trace.nearest else k.Binary("+", load(assembly, array, index), real(1.0))
            nodes.append(
                launch(
                    self.name(f"trace_{trace.name}"),
                    f"{state.path}: jump of trace {trace.name}",
                    domain,
                    [k.Store(array, index, value, source_of(trace.span))],
                    state.projection.span,
                )
            )
        return nodes

    def trial(self, kind: str) -> list[PlanNode]:
        """``on trial_start`` or ``on trial_end``."""
        nodes: list[PlanNode] = []
        for handler in self.state.synapse.handlers:
            if handler.trigger.kind == kind:
                nodes += self.handler(f"on_{kind}", handler.body, self.all_domains(), late=False)
        return nodes


class _Lagged:
    """Meaning inside a synapse's difference equation: ``x[n]`` is the new value, ``x[n-1]`` the stored one."""

    def __init__(self, inner: SynapseMeaning) -> None:
        self.inner = inner

    def variable(self, node: e.Variable) -> k.Expr:
        if node.scope == "self" and node.lag == 0 and f"{node.name}[n]" in self.inner.extra:
            return self.inner.extra[f"{node.name}[n]"]
        for definition in self.inner.state.synapse.definitions:
            if node.scope == "self" and definition.name == node.name:
                return lower_expression(definition.value, self)
        return self.inner.variable(node)

    def occurs(self, node: e.Occurs) -> k.Expr:
        return self.inner.occurs(node)

    def since(self, node: e.Since) -> k.Expr:
        return self.inner.since(node)

    def position(self, node: e.Position) -> k.Expr:
        return self.inner.position(node)

    def crosses(self, node: e.Crosses) -> k.Expr:
        return self.inner.crosses(node)

    def reduction(self, node: e.PopulationReduction | e.SynapseReduction) -> k.Expr:
        return self.inner.reduction(node)

    def at_time(self, node: e.AtTime) -> k.Expr:
        return self.inner.at_time(node)

    def draw(self, distribution: str, number: int) -> k.Expr:
        return self.inner.draw(distribution, number)


def _difference_order(synapse: m.Synapse) -> list[m.Difference]:
    """Equations after those whose ``[n]`` they use."""
    by_name = {d.variable: d for d in synapse.differences}
    definitions = {d.name: d.value for d in synapse.definitions}
    done: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        stack = [by_name[name].value]
        while stack:
            value = stack.pop()
            for node in e.walk(value):
                if isinstance(node, e.Variable) and node.scope == "self" and node.lag in (0, None):
                    if node.name in definitions:
                        stack.append(definitions[node.name])
                    elif node.name in by_name and node.name != name:
                        visit(node.name)
        if name not in done:
            done.append(name)

    for name in by_name:
        visit(name)
    return [by_name[name] for name in done]


def _closure(values: list[e.Expr], step: Step) -> set[str]:
    """Names of the temporaries that values need, directly or through each other."""
    bodies = {let.name: let.value for let in step.body}
    used: set[str] = set()
    stack = list(values)
    while stack:
        for node in e.walk(stack.pop()):
            if isinstance(node, e.Variable) and node.name in bodies and node.name not in used:
                used.add(node.name)
                stack.append(bodies[node.name])
    return used


def _assigned(body: tuple[m.Statement, ...]) -> set[str]:
    names: set[str] = set()
    for statement in body:
        match statement:
            case m.Assign(name=name, scope="self"):
                names.add(name)
            case m.If(branches=branches):
                for _, inner in branches:
                    names |= _assigned(inner)
            case _:
                pass
    return names


def assigned_names(synapse: m.Synapse) -> set[str]:
    """Everything that some handler or equation of a synapse changes."""
    names: set[str] = set()
    for handler in synapse.handlers:
        names |= _assigned(handler.body)
    names |= {d.variable for d in synapse.differentials}
    names |= {d.variable for d in synapse.differences}
    return names


def forever() -> int:
    return FOR_EVER
