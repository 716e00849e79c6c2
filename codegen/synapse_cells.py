"""Synapses with states of their own, rewritten for training: what depends on pre neurons alone becomes a cell of the connection.

A plan keeps what a synapse computes where :mod:`snnlang.dynamics.placement` put it. Training wants linear maps between cells, so
:func:`synapse_cells` gives a plan of the same meaning in which a connection is at most three things:

* a cell of one item per pre neuron, of the connection's own name, with its traces and states; what arrives there comes one to one, events
  as numbers 0 and 1 whose derivative is passed on as it is;
* a map of weights alone, from what the source or that cell sends, summed per post neuron;
* an equation in the post neuron, for what it contributes itself: ``E_rev - post.v`` of a conductance.

A state per synapse that is proportional to the weight is the weight times a state per pre neuron, and becomes that. What remains per
synapse (a weight that changes while the network runs, what follows the events of the post neuron, a parameter that differs between
synapses) needs work for each synapse in each step: a learning rule, which belongs in a ``simulate`` block (E780).
"""

from __future__ import annotations

from dataclasses import replace

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.separate import ONE, NotSeparable, inlined, separate
from snnlang.codegen.synapse_arrivals import Arrivals
from snnlang.codegen.synapse_deliveries import Deliveries
from snnlang.codegen.synapse_draft import POST, PRE, ZERO, Connection, Draft, I
from snnlang.codegen.synapse_states import WeightedStates
from snnlang.diagnostics import SnnError, error


def synapse_cells(plan: p.Plan, populations: frozenset[str], trained: frozenset[str] = frozenset()) -> p.Plan:
    """The plan with its synapses in that form. ``populations`` are paths; ``trained`` are parameters of connections whose gradient is
    wanted. Raises E780."""
    return _Rewriting(plan, populations, trained).run()


class _Rewriting:
    def __init__(self, plan: p.Plan, populations: frozenset[str], trained: frozenset[str]) -> None:
        self.draft = Draft(plan, populations, trained)
        self.arrivals = Arrivals(self.draft)
        self.states = WeightedStates(self.draft, self.arrivals)
        self.deliveries = Deliveries(self.draft, self.arrivals)

    def run(self) -> p.Plan:
        draft = self.draft
        for node in draft.plan.step:
            found = self.connection_of(node)
            if found is None or not isinstance(node, p.Launch):
                draft.nodes.append(node)
                continue
            try:
                self.kernel(found, node.kernel)
            except NotSeparable as cause:
                raise self.refuse(found, str(cause)) from None
        gone = {array for connection in draft.connections.values() for array in connection.carried_by_weight}
        return replace(
            draft.plan,
            arrays={name: array for name, array in draft.arrays.items() if name not in gone},
            trial_start=tuple(node for node in draft.plan.trial_start if not _stored(node) & gone),
            setup=tuple(node for node in draft.plan.setup if not _stored(node) & gone),
            connectivities=draft.connectivities,
            coefficients=tuple(draft.coefficients),
            step=tuple(self._emptied(draft.nodes)),
            learned=tuple(draft.learned),
        )

    def refuse(self, connection: Connection, cause: str) -> SnnError:
        """E780, at the connection, with the plainest of the causes."""
        own = [
            array
            for array in self.draft.plan.arrays.values()
            if array.owner == connection.path and array.connectivity is not None
        ]
        changing = next((a.variable for a in own if a.role == "weight" and a.name in connection.states), None)
        differing = next((a.variable for a in own if a.role == "param" and a.type == "real"), None)
        help = "a learning rule belongs in a `simulate` block; train connections whose states follow their pre neurons alone"
        if changing is not None:
            cause = f"its weight `{changing}` changes while the network runs"
        elif differing is not None:
            cause, help = (
                f"`{differing}` differs between its synapses",
                f"give `{differing}` one value for the connection",
            )
        return error(
            "E780",
            f"{connection.path} cannot be trained through: {cause}",
            connection.connectivity.span,
            "this connection needs work for each synapse in each step",
            help=help,
        )

    # --- which kernels are meant --------------------------------------------------------------------------------------

    def connection_of(self, node: p.PlanNode) -> Connection | None:
        """The connection whose synapse a node computes; None for one that is no synapse's, or that is a linear map already."""
        draft = self.draft
        if not isinstance(node, p.Launch):
            return None
        kernel = node.kernel
        match kernel.domain:
            case k.Fan(connectivity=name) | k.Synapses(connectivity=name):
                found = draft.connections[draft.plan.connectivities[name].owner]
                return None if self._is_map(found, kernel) else found
            case k.Each() | k.Listed():
                owners = {
                    draft.plan.arrays[s.array].owner for s in k.walk_statements(kernel.body) if isinstance(s, k.Store)
                }
                return next(
                    (
                        draft.connections[path]
                        for path in sorted(owners - draft.populations)
                        if path in draft.connections
                    ),
                    None,
                )
        return None

    def _is_map(self, connection: Connection, kernel: k.Kernel) -> bool:
        """Whether a kernel carries weights and nothing else: such are left as they are."""
        draft = self.draft
        match kernel.body:
            case (k.Store(index=index),) if index == POST and connection.connectivity.pattern == "max_pool":
                return True
            case (k.Accumulate(index=index, value=value, lag=None | k.Const(value=0)),) if index == POST:
                if (
                    not isinstance(kernel.domain, k.Fan | k.Synapses)
                    or connection.connectivity.name in draft.plan.trained_delays
                ):
                    return False
                try:
                    terms = separate(value, draft.is_weight)
                except NotSeparable:
                    return False
                if len(terms) != 1 or terms[0].post != ONE or not self._plain(terms[0].common):
                    return False
                return (
                    terms[0].pre == ONE if isinstance(kernel.domain, k.Fan) else draft.passes(connection, terms[0].pre)
                )
        return False

    def _plain(self, common: k.Expr) -> bool:
        """A number, or numbers of the connection that nobody trains: they multiply the weights."""
        if isinstance(common, k.Binary) and common.operator == "*":
            return self._plain(common.left) and self._plain(common.right)
        return isinstance(common, k.Const) or (
            isinstance(common, k.Load) and common.index is None and common.array not in self.draft.reached
        )

    # --- one kernel ---------------------------------------------------------------------------------------------------

    def kernel(self, connection: Connection, kernel: k.Kernel) -> None:
        match kernel.domain:
            case k.Fan(side="post") | k.Arrivals():
                raise NotSeparable("it follows the events of its post neurons")
            case k.Listed(list=events, lag=lag):
                self._not_post(connection, events)
                self._inside(connection, kernel, self.arrivals.event(connection, events, lag))
            case k.Each():
                self._inside(connection, kernel, None)
            case k.Fan(list=events, lag=lag):
                self._over_synapses(connection, kernel, (events, lag))
            case _:
                self._over_synapses(connection, kernel, None)

    def _not_post(self, connection: Connection, events: str) -> None:
        """A trace of the post neuron is read at ``post``; of a connection within one population both sides have one list."""
        draft = self.draft
        read = {
            load.array
            for node in draft.plan.step
            if isinstance(node, p.Launch) and isinstance(node.kernel.domain, k.Fan | k.Synapses)
            for s in k.walk_statements(node.kernel.body)
            for top in k.statement_expressions(s)
            for load in k.walk(top)
            if isinstance(load, k.Load) and load.index == POST
        }
        if read & connection.states or draft.plan.lists[events].size != connection.connectivity.pre_size:
            raise NotSeparable("it follows the events of its post neurons")

    def _inside(self, connection: Connection, kernel: k.Kernel, happened: k.Expr | None) -> None:
        """A kernel over pre neurons, as one of the connection's cell; ``happened`` where it runs for the neurons of an event alone."""
        if isinstance(kernel.domain, k.Each) and kernel.domain.size != connection.connectivity.pre_size:
            raise NotSeparable("it keeps a state for each post neuron")
        body = tuple(self.arrivals.at_pre(connection, statement) for statement in kernel.body)
        if happened is not None:
            body = (k.If(happened, body),)
        self.draft.add(connection, kernel, body)

    def _over_synapses(self, connection: Connection, kernel: k.Kernel, event: tuple[str, int] | None) -> None:
        """States that are written at ``pre``, or per synapse and proportional to the weight, join the cell; the rest is delivered."""
        inside: list[k.Statement] = []
        statements = inlined(kernel.body)
        several = sum(isinstance(statement, k.Accumulate) for statement, _ in statements) > 1
        for number, (statement, conditions) in enumerate(statements):
            value = statement.value
            for condition in conditions:
                value = k.Choose(condition, value, ZERO)
            if isinstance(statement, k.Store):
                assert not conditions
                inside.append(self._kept(connection, statement))
                continue
            self._flush(connection, kernel, inside, event)
            if statement.index != POST or not (statement.lag is None or statement.lag == k.Const(0, "int")):
                raise NotSeparable("it changes something that is no state of its own")
            for place, term in enumerate(separate(self.states.by_weight(connection, value), self.draft.is_weight)):
                self.deliveries.deliver(connection, kernel, event, statement, term, f"{number}.{place}", several)
        self._flush(connection, kernel, inside, event)

    def _flush(
        self, connection: Connection, kernel: k.Kernel, inside: list[k.Statement], event: tuple[str, int] | None
    ) -> None:
        if inside:
            happened = None if event is None else self.arrivals.event(connection, *event)
            body = tuple(inside)
            self.draft.add(connection, kernel, body if happened is None else (k.If(happened, body),))
            inside.clear()

    def _kept(self, connection: Connection, statement: k.Store) -> k.Statement:
        draft = self.draft
        array = draft.arrays[statement.array]
        if statement.index == PRE and array.connectivity is None and array.name in connection.states:
            return replace(statement, index=I, value=self.arrivals.of_pre(connection, statement.value))
        if array.role == "weight" or array.connectivity is None or array.name not in connection.states:
            what = "the weight " if array.role == "weight" else ""
            raise NotSeparable(f"{what}`{draft.called(array.name)}` changes while the network runs")
        return self.states.divided(connection, statement)

    # --- sums ---------------------------------------------------------------------------------------------------------

    def _emptied(self, nodes: list[p.PlanNode]) -> list[p.PlanNode]:
        """Sums that equations of the post neuron add to, and no map fills, begin at 0 in each step."""
        draft = self.draft
        maps = {
            s.array
            for node in (*draft.coefficients, *nodes)
            if isinstance(node, p.Launch)
            and (isinstance(node.kernel.domain, k.Fan | k.Synapses) or is_bias(draft.arrays, node.kernel))
            for s in k.walk_statements(node.kernel.body)
            if isinstance(s, k.Accumulate | k.Store)
        }
        waiting = draft.came - maps
        made: list[p.PlanNode] = []
        for node in nodes:
            for array in sorted(waiting & _accumulated(node)):
                waiting.discard(array)
                (size,) = draft.arrays[array].shape
                empty = k.Kernel(f"{array}_empty", f"{array} begins at 0", k.Each(size), (k.Store(array, I, ZERO),))
                made.append(p.Launch(empty))
            made.append(node)
        return made


def _stored(node: p.PlanNode) -> set[str]:
    if not isinstance(node, p.Launch):
        return set()
    return {s.array for s in k.walk_statements(node.kernel.body) if isinstance(s, k.Store)}


def _accumulated(node: p.PlanNode) -> set[str]:
    if not isinstance(node, p.Launch) or not isinstance(node.kernel.domain, k.Each):
        return set()
    return {s.array for s in k.walk_statements(node.kernel.body) if isinstance(s, k.Accumulate)}


def is_bias(arrays: dict[str, p.Array], kernel: k.Kernel) -> bool:
    """Whether a kernel adds a bias to a population: numbers that are weights, one for each neuron or each channel."""
    match kernel.body:
        case (k.Accumulate(index=index, value=k.Load(array=array)),) if index == I:
            return arrays[array].role == "weight"
    return False
