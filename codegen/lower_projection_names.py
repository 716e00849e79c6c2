"""What lowering knows of a projection, and what a name means at one synapse or at the neuron of one side.

``ProjectionState`` says in which array each name of the synapse is stored; ``SynapseMeaning`` reads a name where placement put it:
once per pre neuron, once per post neuron, or per synapse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import DT, STEP, TIME, Assembly, I, as_real, load, real, whole
from snnlang.codegen.lower_expression import lower_expression
from snnlang.codegen.lower_population_names import PopulationMeaning, PopulationState, coordinate
from snnlang.diagnostics import error
from snnlang.dynamics.system import Placement, Step
from snnlang.model import expression as e
from snnlang.model import model as m
from snnlang.model.network import NetworkInput, Projection

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
        if name == "output" and not isinstance(state.pre.system.output, e.Variable):  # computed once, not in every synapse
            return as_real(load(assembly, state.pre.output, self.pre_index))
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
