"""What lowering knows of a population, and what a name means inside its kernels.

``PopulationState`` says in which array each name of the model is stored; ``PopulationMeaning`` reads a name as it stands at one
neuron: a value of this step, the stored one, or one kept from an earlier step.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import DT, STEP, TIME, Assembly, I, as_real, both, load, real, whole
from snnlang.codegen.lower_expression import lower_expression
from snnlang.dynamics.system import Step, System
from snnlang.model import expression as e
from snnlang.model.network import Population


@dataclass
class PopulationState:
    """What lowering knows of a population while it works: where each name of the model is stored."""

    population: Population
    system: System
    step: Step
    arrays: dict[str, str] = field(
        default_factory=dict
    )  # params, states, connected inputs, coefficients, scratch definitions
    coefficients: dict[str, str] = field(
        default_factory=dict
    )  # names of the Step alone: a definition may be called the same
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
    totals: dict[str, tuple[str, e.Expr]] = field(
        default_factory=dict
    )  # recorded input -> array, its value with folded terms
    clamp: dict[str, e.Expr] = field(default_factory=dict)

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
            return load(self.assembly, state.arrays[name], self.index) if self._gone() else self.output()
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

    def _gone(self) -> bool:
        """Whether the output reads an event of this step that others do not find any more, so that what was sent was kept."""
        value, kept = self.state.system.output, "output" in self.state.arrays
        names = (node.event for node in e.walk(value) if isinstance(node, e.Occurs) and node.lag < 1) if value and kept else ()
        return any(name not in self.events and name not in self.state.flags for name in names)

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
        before = load(self.assembly, self.state.crossings[bare_crosses(node)], self.index)
        left = as_real(lower_expression(node.left, self))
        right = as_real(lower_expression(node.right, self))
        return both(k.Compare("<", before, real(0.0)), k.Compare(">=", left, right))

    def reduction(self, node: e.PopulationReduction | e.SynapseReduction) -> k.Expr:
        assert isinstance(node, e.PopulationReduction)
        return self.reductions[node]

    def at_time(self, node: e.AtTime) -> k.Expr:
        # only traces can be looked up in the past, and neurons have none (E316)
        raise AssertionError(f"{node.name}(…) in a neuron")

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


def bare_crosses(node: e.Crosses) -> e.Crosses:
    """The crossing with [n] read as the bare value, under which its previous value is kept."""

    def bare(child: e.Expr) -> e.Expr:
        if isinstance(child, e.Variable) and child.lag == 0:
            return e.Variable(child.name, child.unit, child.scope, None, span=child.span)
        return child

    return e.Crosses(e.transform(node.left, bare), e.transform(node.right, bare), span=node.span)
