"""A plan while its synapses become cells: what is added to it, and what is known of each connection."""

from __future__ import annotations

from dataclasses import dataclass, field

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p

I = k.Local("i", "int")
PRE, POST = k.Local("pre", "int"), k.Local("post", "int")
ZERO = k.Const(0.0)


@dataclass(slots=True)
class Connection:
    """What is known of one connection: its connectivity, the states it keeps, and those of them that are the weight times another."""

    path: str
    connectivity: p.Connectivity
    states: frozenset[str]
    carried_by_weight: dict[str, str] = field(default_factory=dict)
    weight: k.Load | None = None
    summed: dict[tuple[str, str], str] = field(default_factory=dict)  # what is summed per post neuron, and where


class Draft:
    """Arrays, connectivities, coefficients and nodes of a plan that grow; ``nodes`` are those of its step, in order.

    ``reached``: the trained parameters and what is made of them; ``moving``: arrays that the step writes; ``came``: sums that equations of
    post neurons add to; ``readers``: by array, the population that reads it.
    """

    def __init__(self, plan: p.Plan, populations: frozenset[str], trained: frozenset[str]) -> None:
        self.plan = plan
        self.populations = populations
        self.arrays = dict(plan.arrays)
        self.connectivities = dict(plan.connectivities)
        self.coefficients = list(plan.coefficients)
        self.learned = list(plan.learned)
        self.reached = _reached(plan, trained)
        self.nodes: list[p.PlanNode] = []
        self.came: set[str] = set()
        kernels = [node.kernel for node in plan.step if isinstance(node, p.Launch)]
        self.moving = {
            s.array
            for kernel in kernels
            for s in k.walk_statements(kernel.body)
            if isinstance(s, k.Store | k.Accumulate)
        }
        self.connections: dict[str, Connection] = {}
        for c in plan.connectivities.values():
            own = [a for a in plan.arrays.values() if a.owner == c.owner and a.role in ("state", "weight", "scratch")]
            self.connections[c.owner] = Connection(c.owner, c, frozenset(a.name for a in own if a.name in self.moving))
        self.readers = {
            load.array: plan.arrays[s.array].owner
            for kernel in kernels
            if isinstance(kernel.domain, k.Each)
            for s in k.walk_statements(kernel.body)
            if isinstance(s, k.Store) and plan.arrays[s.array].owner in populations
            for top in [e for inner in k.walk_statements(kernel.body) for e in k.statement_expressions(inner)]
            for load in k.walk(top)
            if isinstance(load, k.Load)
        }

    def is_weight(self, load: k.Load) -> bool:
        """Whether a value is a weight's."""
        return self.arrays[load.array].role == "weight"

    def moves(self, array: str) -> bool:
        """Whether an array changes from step to step."""
        return array in self.moving or self.arrays[array].role in ("input", "history")

    def passes(self, connection: Connection, pre: k.Expr) -> bool:
        """Whether a value of the source is sent as it is."""
        match pre:
            case k.Load(array=array, index=index) if index == PRE:
                return array not in connection.states and self.moves(array)
        return False

    def called(self, array: str) -> str:
        """What an array is called in the model."""
        return self.arrays[array].variable or array

    def fresh(self, base: str) -> str:
        """A name that no array has."""
        number = 1
        while f"{base}_{number}" in self.arrays:
            number += 1
        return f"{base}_{number}"

    def add(self, connection: Connection, kernel: k.Kernel, body: tuple[k.Statement, ...]) -> None:
        """A kernel of the connection's cell in place of ``kernel``."""
        size = connection.connectivity.pre_size
        self.nodes.append(p.Launch(k.Kernel(kernel.name, kernel.title, k.Each(size), body, kernel.span)))


def _reached(plan: p.Plan, trained: frozenset[str]) -> frozenset[str]:
    """The trained parameters and the coefficients that are made of them."""
    reached = set(trained)
    for node in plan.coefficients:
        if isinstance(node, p.Launch):
            statements = list(k.walk_statements(node.kernel.body))
            loads = {
                e.array
                for s in statements
                for top in k.statement_expressions(s)
                for e in k.walk(top)
                if isinstance(e, k.Load)
            }
            if loads & reached:
                reached |= {s.array for s in statements if isinstance(s, k.Store)}
    return frozenset(reached)
