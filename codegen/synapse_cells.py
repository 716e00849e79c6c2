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

from dataclasses import dataclass, field, replace

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.separate import ONE, NotSeparable, Term, inlined, separate
from snnlang.codegen.simplify import fold, rebuild, simplify_kernel
from snnlang.codegen.slopes import evaluate
from snnlang.diagnostics import SnnError, error

I = k.Local("i", "int")
PRE, POST = k.Local("pre", "int"), k.Local("post", "int")
ZERO = k.Const(0.0)


def synapse_cells(plan: p.Plan, populations: frozenset[str], trained: frozenset[str] = frozenset()) -> p.Plan:
    """The plan with its synapses in that form. ``populations`` are paths; ``trained`` are parameters of connections whose gradient is
    wanted. Raises E780."""
    return _Rewriting(plan, populations, trained).run()


@dataclass(slots=True)
class _Connection:
    """What is known of one connection: its connectivity, the states it keeps, and those of them that are the weight times another."""

    path: str
    connectivity: p.Connectivity
    states: frozenset[str]
    carried_by_weight: dict[str, str] = field(default_factory=dict)
    weight: k.Load | None = None
    sent: dict[tuple[k.Expr, str, int], str] = field(default_factory=dict)  # what leaves the cell, and where it stands
    summed: dict[tuple[str, str], str] = field(default_factory=dict)  # what is summed per post neuron, and where


class _Rewriting:
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
        self.moving = {s.array for kernel in kernels for s in k.walk_statements(kernel.body) if isinstance(s, k.Store | k.Accumulate)}
        self.connections: dict[str, _Connection] = {}
        for c in plan.connectivities.values():
            own = [a for a in plan.arrays.values() if a.owner == c.owner and a.role in ("state", "weight", "scratch")]
            self.connections[c.owner] = _Connection(c.owner, c, frozenset(a.name for a in own if a.name in self.moving))
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

    def run(self) -> p.Plan:
        for node in self.plan.step:
            found = self.connection_of(node)
            if found is None or not isinstance(node, p.Launch):
                self.nodes.append(node)
                continue
            try:
                self.kernel(found, node.kernel)
            except NotSeparable as cause:
                raise self.refuse(found, str(cause)) from None
        gone = {array for connection in self.connections.values() for array in connection.carried_by_weight}
        return replace(
            self.plan,
            arrays={name: array for name, array in self.arrays.items() if name not in gone},
            trial_start=tuple(node for node in self.plan.trial_start if not _stored(node) & gone),
            setup=tuple(node for node in self.plan.setup if not _stored(node) & gone),
            connectivities=self.connectivities,
            coefficients=tuple(self.coefficients),
            step=tuple(self._emptied(self.nodes)),
            learned=tuple(self.learned),
        )

    def refuse(self, connection: _Connection, cause: str) -> SnnError:
        """E780, at the connection, with the plainest of the causes."""
        own = [array for array in self.plan.arrays.values() if array.owner == connection.path and array.connectivity is not None]
        changing = next((a.variable for a in own if a.role == "weight" and a.name in connection.states), None)
        differing = next((a.variable for a in own if a.role == "param" and a.type == "real"), None)
        help = "a learning rule belongs in a `simulate` block; train connections whose states follow their pre neurons alone"
        if changing is not None:
            cause = f"its weight `{changing}` changes while the network runs"
        elif differing is not None:
            cause, help = f"`{differing}` differs between its synapses", f"give `{differing}` one value for the connection"
        return error(
            "E780",
            f"{connection.path} cannot be trained through: {cause}",
            connection.connectivity.span,
            "this connection needs work for each synapse in each step",
            help=help,
        )

    # --- which kernels are meant --------------------------------------------------------------------------------------

    def connection_of(self, node: p.PlanNode) -> _Connection | None:
        """The connection whose synapse a node computes; None for one that is no synapse's, or that is a linear map already."""
        if not isinstance(node, p.Launch):
            return None
        kernel = node.kernel
        match kernel.domain:
            case k.Fan(connectivity=name) | k.Synapses(connectivity=name):
                found = self.connections[self.plan.connectivities[name].owner]
                return None if self._is_map(found, kernel) else found
            case k.Each() | k.Listed():
                owners = {self.plan.arrays[s.array].owner for s in k.walk_statements(kernel.body) if isinstance(s, k.Store)}
                return next((self.connections[path] for path in sorted(owners - self.populations) if path in self.connections), None)
        return None

    def _is_map(self, connection: _Connection, kernel: k.Kernel) -> bool:
        """Whether a kernel carries weights and nothing else: such are left as they are."""
        match kernel.body:
            case (k.Store(index=index),) if index == POST and connection.connectivity.pattern == "max_pool":
                return True
            case (k.Accumulate(index=index, value=value, lag=None | k.Const(value=0)),) if index == POST:
                if not isinstance(kernel.domain, k.Fan | k.Synapses) or connection.connectivity.name in self.plan.trained_delays:
                    return False
                try:
                    terms = separate(value, self.is_weight)
                except NotSeparable:
                    return False
                if len(terms) != 1 or terms[0].post != ONE or not self._plain(terms[0].common):
                    return False
                return terms[0].pre == ONE if isinstance(kernel.domain, k.Fan) else self._passes(connection, terms[0].pre)
        return False

    def _passes(self, connection: _Connection, pre: k.Expr) -> bool:
        """Whether a value of the source is sent as it is."""
        match pre:
            case k.Load(array=array, index=index) if index == PRE:
                return array not in connection.states and self._moves(array)
        return False

    def _plain(self, common: k.Expr) -> bool:
        """A number, or numbers of the connection that nobody trains: they multiply the weights."""
        if isinstance(common, k.Binary) and common.operator == "*":
            return self._plain(common.left) and self._plain(common.right)
        return isinstance(common, k.Const) or (isinstance(common, k.Load) and common.index is None and common.array not in self.reached)

    def is_weight(self, load: k.Load) -> bool:
        return self.arrays[load.array].role == "weight"

    def _moves(self, array: str) -> bool:
        return array in self.moving or self.arrays[array].role in ("input", "history")

    # --- one kernel ---------------------------------------------------------------------------------------------------

    def kernel(self, connection: _Connection, kernel: k.Kernel) -> None:
        match kernel.domain:
            case k.Fan(side="post") | k.Arrivals():
                raise NotSeparable("it follows the events of its post neurons")
            case k.Listed(list=events, lag=lag):
                self._not_post(connection, events)
                self._inside(connection, kernel, self._event(connection, events, lag))
            case k.Each():
                self._inside(connection, kernel, None)
            case k.Fan(list=events, lag=lag):
                self._over_synapses(connection, kernel, (events, lag))
            case _:
                self._over_synapses(connection, kernel, None)

    def _not_post(self, connection: _Connection, events: str) -> None:
        """A trace of the post neuron is read at ``post``; of a connection within one population both sides have one list."""
        read = {
            load.array
            for node in self.plan.step
            if isinstance(node, p.Launch) and isinstance(node.kernel.domain, k.Fan | k.Synapses)
            for s in k.walk_statements(node.kernel.body)
            for top in k.statement_expressions(s)
            for load in k.walk(top)
            if isinstance(load, k.Load) and load.index == POST
        }
        if read & connection.states or self.plan.lists[events].size != connection.connectivity.pre_size:
            raise NotSeparable("it follows the events of its post neurons")

    def _inside(self, connection: _Connection, kernel: k.Kernel, happened: k.Expr | None) -> None:
        """A kernel over pre neurons, as one of the connection's cell; ``happened`` where it runs for the neurons of an event alone."""
        if isinstance(kernel.domain, k.Each) and kernel.domain.size != connection.connectivity.pre_size:
            raise NotSeparable("it keeps a state for each post neuron")
        body = tuple(self._at_pre(connection, statement) for statement in kernel.body)
        if happened is not None:
            body = (k.If(happened, body),)
        self._add(connection, kernel, body)

    def _at_pre(self, connection: _Connection, statement: k.Statement) -> k.Statement:
        match statement:
            case k.Let(value=value):
                return replace(statement, value=self._of_pre(connection, value))
            case k.Store(array=array, index=index, value=value) if index in (I, PRE) and array in connection.states:
                return replace(statement, index=I, value=self._of_pre(connection, value))
            case k.If(condition=condition, body=body, otherwise=otherwise):
                return replace(
                    statement,
                    condition=self._of_pre(connection, condition),
                    body=tuple(self._at_pre(connection, s) for s in body),
                    otherwise=tuple(self._at_pre(connection, s) for s in otherwise),
                )
        raise NotSeparable("it changes something that is no state of its own")

    def _of_pre(self, connection: _Connection, expr: k.Expr) -> k.Expr:
        """An expression about a pre neuron, as the connection's cell computes it."""
        match expr:
            case k.Local(name="pre"):
                return I
            case k.Local(name="post" | "synapse" | "shared"):
                raise NotSeparable("a state of it depends on more than its pre neurons")
            case k.Draw():
                raise NotSeparable("it draws random numbers")
            case k.Load(array=array, index=index) if index in (I, PRE) and array not in connection.states and self._moves(array):
                return self._value(connection, expr)
            case k.Load(array=array) if self.arrays[array].connectivity is not None:
                raise NotSeparable(f"`{self._called(array)}` differs between synapses")
        return rebuild(expr, lambda operand: self._of_pre(connection, operand))

    def _called(self, array: str) -> str:
        return self.arrays[array].variable or array

    # --- what arrives at the cell -------------------------------------------------------------------------------------

    def _event(self, connection: _Connection, events: str, lag: int) -> k.Expr:
        """Whether an event arrives at a pre neuron's part, as a truth with the derivative of the number that came."""
        came = self._arrival(connection, f"{events}_{lag}", k.Fan(self._one_to_one(connection), "pre", events, lag), k.Const(1.0))
        flag, slope = f"{came}_now", f"{came}_slope"
        if flag not in self.arrays:
            size = (connection.connectivity.pre_size,)
            self.arrays[flag] = p.Array(flag, size, "bool", "scratch", owner=connection.path)
            self.arrays[slope] = p.Array(slope, size, "real", "scratch", owner=connection.path)
            self.learned.append(p.Learned(connection.path, self.plan.lists[events].event, events, flag, slope))
            happened = k.Compare(">", k.Load(came, I), ZERO)
            kernel = k.Kernel(flag, f"{connection.path}: events that arrive", k.Each(size[0]), ())
            self._add(connection, kernel, (k.Store(flag, I, happened), k.Store(slope, I, k.Const(1.0))))
        return k.Load(flag, I, "bool")

    def _value(self, connection: _Connection, load: k.Load) -> k.Expr:
        """A value of the source as an input of the cell."""
        if connection.connectivity.name in self.plan.trained_delays:
            raise error(
                "E783",
                f"the delay of {connection.path} cannot be trained: the connection reads values of its source in every step",
                connection.connectivity.span,
                "not a connection of spikes",
                help="train delays of connections that carry spikes",
            )
        back = 0 if load.lag is None else int(load.lag.value) if isinstance(load.lag, k.Const) else -1
        if back < 0:
            raise NotSeparable("its delay differs between synapses")
        if self.arrays[load.array].type != "real":
            raise NotSeparable(f"it reads `{self._called(load.array)}`, which is no real number")
        source = k.Load(load.array, PRE, "real", load.lag)
        return k.Load(self._arrival(connection, f"{load.array}_{back}", k.Synapses(self._one_to_one(connection)), source), I)

    def _arrival(self, connection: _Connection, what: str, domain: k.Domain, value: k.Expr) -> str:
        name = f"{connection.connectivity.name}_of_{what}"
        if name not in self.arrays:
            self.arrays[name] = p.Array(name, (connection.connectivity.pre_size,), "real", "scratch", owner=connection.path)
            title = f"{connection.path}: {what} reaches the synapse"
            self.nodes.append(p.Launch(k.Kernel(name, title, domain, (k.Accumulate(name, POST, value),), connection.connectivity.span)))
        return name

    def _one_to_one(self, connection: _Connection) -> str:
        name, size = f"{connection.connectivity.name}_neurons", connection.connectivity.pre_size
        if name not in self.connectivities:
            every = range(size)
            self.connectivities[name] = p.Connectivity(name, "one_to_one", size, size, every, every, "one_to_one")
        return name

    # --- over synapses ------------------------------------------------------------------------------------------------

    def _over_synapses(self, connection: _Connection, kernel: k.Kernel, event: tuple[str, int] | None) -> None:
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
            for place, term in enumerate(separate(self._by_weight(connection, value), self.is_weight)):
                self._deliver(connection, kernel, event, statement, term, f"{number}.{place}", several)
        self._flush(connection, kernel, inside, event)

    def _flush(self, connection: _Connection, kernel: k.Kernel, inside: list[k.Statement], event: tuple[str, int] | None) -> None:
        if inside:
            happened = None if event is None else self._event(connection, *event)
            body = tuple(inside)
            self._add(connection, kernel, body if happened is None else (k.If(happened, body),))
            inside.clear()

    def _kept(self, connection: _Connection, statement: k.Store) -> k.Statement:
        array = self.arrays[statement.array]
        if statement.index == PRE and array.connectivity is None and array.name in connection.states:
            return replace(statement, index=I, value=self._of_pre(connection, statement.value))
        if array.role == "weight" or array.connectivity is None or array.name not in connection.states:
            what = f"the weight `{self._called(array.name)}` changes" if array.role == "weight" else f"`{self._called(array.name)}` changes"
            raise NotSeparable(f"{what} while the network runs")
        return self._divided(connection, statement)

    def _divided(self, connection: _Connection, statement: k.Store) -> k.Statement:
        """A state per synapse that is the weight times one per pre neuron: that one's next value."""
        called = self._called(statement.array)
        made: k.Expr = ZERO
        weight = self._only_weight(connection, called)
        for term in separate(self._by_weight(connection, statement.value), self.is_weight):
            if term.common == ZERO or term.pre == ZERO:
                continue
            if term.weight != weight or term.post != ONE:
                raise NotSeparable(f"`{called}` is kept for each synapse, and is not proportional to its weight")
            value = k.Binary("*", term.common, self._of_pre(connection, term.pre))
            made = fold(k.Binary("+", made, fold(value)))
        return k.Store(self._twin(connection, statement.array), I, made, statement.source)

    def _only_weight(self, connection: _Connection, called: str) -> k.Load:
        if connection.weight is None:
            weights = [a for a in self.plan.arrays.values() if a.owner == connection.path and a.role == "weight" and a.variable != "bias"]
            if len(weights) != 1 or weights[0].name in connection.states:
                raise NotSeparable(f"`{called}` is kept for each synapse")
            one = weights[0]
            index = None if one.connectivity is None else k.Local("shared" if one.shared else "synapse", "int")
            connection.weight = k.Load(one.name, index)
        return connection.weight

    def _twin(self, connection: _Connection, array: str) -> str:
        """The state per pre neuron whose product with the weight a state per synapse is; both begin at 0."""
        if array not in connection.carried_by_weight:
            for node in self.plan.trial_start:
                for s in k.walk_statements(node.kernel.body) if isinstance(node, p.Launch) else ():
                    if isinstance(s, k.Store) and s.array == array and s.value != ZERO:
                        raise NotSeparable(f"`{self._called(array)}` is kept for each synapse, and does not begin at 0")
            twin = f"{array}_by_weight"
            self.arrays[twin] = p.Array(twin, (connection.connectivity.pre_size,), owner=connection.path)
            connection.states |= {twin}
            connection.carried_by_weight[array] = twin
        return connection.carried_by_weight[array]

    def _by_weight(self, connection: _Connection, expr: k.Expr) -> k.Expr:
        """An expression with its states per synapse written as the weight times a state per pre neuron."""
        if isinstance(expr, k.Load):
            array = self.arrays[expr.array]
            if array.connectivity is None or array.role != "state" or array.name not in connection.states:
                return expr
            weight = self._only_weight(connection, self._called(expr.array))
            return k.Binary("*", weight, k.Load(self._twin(connection, expr.array), PRE))
        return rebuild(expr, lambda operand: self._by_weight(connection, operand))

    # --- deliveries ---------------------------------------------------------------------------------------------------

    def _deliver(
        self,
        connection: _Connection,
        kernel: k.Kernel,
        event: tuple[str, int] | None,
        statement: k.Accumulate,
        term: Term,
        place: str,
        several: bool,
    ) -> None:
        """One product: into a signal of the cell, over the weights, and through an equation of the post neuron."""
        scale, common = self._numbers(term.common)
        if scale == 0.0:
            return
        own_domain = kernel.domain
        value: k.Expr = k.Const(scale)
        if common is not None and not self._in_post(common):
            value, common = k.Binary("*", value, self._coefficient(connection, common)), None
        trained = connection.connectivity.name in self.plan.trained_delays
        if event is not None and term.pre == ONE and not trained:
            pass  # the events themselves are sent
        elif event is None and self._passes(connection, term.pre) and not trained:
            value = k.Binary("*", value, term.pre)
        else:
            own_domain = k.Synapses(connection.connectivity.name)
            value = k.Binary("*", value, k.Load(self._sent(connection, kernel, term.pre, event), PRE))
        if term.weight is not None:
            value = k.Binary("*", term.weight, value)
        target = statement.array
        if several or term.post != ONE or common is not None:  # what several equations take is carried once
            target = self._summed(connection, kernel, own_domain, value, place)
            own = ONE if term.post == ONE else self._of_post(connection, term.post)
            own = own if common is None else k.Binary("*", common, own)
            self._contribute(connection, kernel, statement, target, own)
            return
        self._map(connection, kernel, own_domain, target, value, place)

    def _numbers(self, common: k.Expr) -> tuple[float, k.Expr | None]:
        """A factor of neither side as a number and the rest of it."""
        if not any(isinstance(node, k.Load | k.Local) for node in k.walk(common)):
            return float(evaluate(common, {})), None
        if isinstance(common, k.Binary) and common.operator == "*":
            (a, left), (b, right) = self._numbers(common.left), self._numbers(common.right)
            rest = right if left is None else left if right is None else k.Binary("*", left, right)
            return a * b, rest
        return 1.0, common

    def _in_post(self, common: k.Expr) -> bool:
        """Whether a factor has to stay visible: it is trained, or changes from step to step."""
        names = {node.name for node in k.walk(common) if isinstance(node, k.Local)}
        loads = {node.array for node in k.walk(common) if isinstance(node, k.Load)}
        return bool(names - {"dt"} or loads & (self.reached | self.moving))

    def _coefficient(self, connection: _Connection, common: k.Expr) -> k.Expr:
        """A factor that is computed once, before the steps."""
        if isinstance(common, k.Load) and common.index is None:
            return common
        name = self._fresh(f"{connection.connectivity.name}_factor")
        self.arrays[name] = p.Array(name, (), role="coefficient", owner=connection.path)
        kernel = k.Kernel(name, f"a factor of {connection.path}", k.Single(), (k.Store(name, None, common),))
        self.coefficients.append(p.Launch(kernel))
        return k.Load(name, None)

    def _sent(self, connection: _Connection, kernel: k.Kernel, pre: k.Expr, event: tuple[str, int] | None) -> str:
        """What the cell sends: ``pre`` as it is at this point of the step, of an event 0 where it does not occur."""
        value = self._of_pre(connection, pre)
        if event is not None:
            value = k.Choose(self._event(connection, *event), value, ZERO)
        name = self._fresh(f"{connection.connectivity.name}_sent")
        self.arrays[name] = p.Array(name, (connection.connectivity.pre_size,), role="scratch", owner=connection.path)
        self._add(connection, kernel, (k.Store(name, I, value),))
        return self._delayed(connection, kernel, name)

    def _delayed(self, connection: _Connection, kernel: k.Kernel, sent: str) -> str:
        """What was sent a trained delay ago, between two steps of the past by linear interpolation: the derivative by the delay is the
        difference of the two (Shrestha & Orchard 2018 train delays of axons, Hammouamri et al. 2023 interpolate between taps)."""
        if connection.connectivity.name not in self.plan.trained_delays:
            return sent
        array, most, least = self.plan.trained_delays[connection.connectivity.name]
        whole, part = f"{array}_steps", f"{array}_part"
        if whole not in self.arrays:
            steps = k.Binary("-", k.Binary("/", k.Load(array, None), k.Local("dt")), k.Const(float(least)))
            for name, value in ((whole, k.Call("floor", (steps,))), (part, k.Binary("-", steps, k.Call("floor", (steps,))))):
                self.arrays[name] = p.Array(name, (), role="coefficient", owner=connection.path)
                title = f"delay of {connection.path}"
                self.coefficients.append(p.Launch(k.Kernel(name, title, k.Single(), (k.Store(name, None, value),))))
        size, ring, late = connection.connectivity.pre_size, f"{sent}_past", f"{sent}_late"
        self.arrays[ring] = p.Array(ring, (size,), role="history", depth=most - least + 2, owner=connection.path)
        self.arrays[late] = p.Array(late, (size,), role="scratch", owner=connection.path)
        past: list[k.Expr] = [k.Load(sent, I), *(k.Load(ring, I, lag=k.Const(ago, "int")) for ago in range(1, most - least + 2))]

        def at(ago: int) -> k.Expr:
            value: k.Expr = ZERO
            for steps, one in reversed([*enumerate(past[ago : most - least + 1 + ago])]):
                value = k.Choose(k.Compare("==", k.Load(whole, None), k.Const(float(steps))), one, value)
            return value

        first, second = k.Local("earlier"), k.Local("later")
        value = k.Binary("+", first, k.Binary("*", k.Load(part, None), k.Binary("-", second, first)))
        body = (
            k.Let("earlier", at(0)),
            k.Let("later", at(1)),
            k.Store(ring, I, k.Load(sent, I)),
            k.Store(late, I, value, f"{connection.path} arrives after its delay, between two steps"),
        )
        self._add(connection, kernel, body)
        return late

    def _summed(self, connection: _Connection, kernel: k.Kernel, domain: k.Domain, value: k.Expr, place: str) -> str:
        """What arrives over the weights, summed in an array of its own: once for all that deliver the same."""
        key = (repr(value), repr(domain))
        if key not in connection.summed:
            name = connection.summed[key] = self._fresh(f"{connection.connectivity.name}_arrived")
            self.arrays[name] = p.Array(name, (connection.connectivity.post_size,), role="scratch")
            self._map(connection, kernel, domain, name, value, place)
        return connection.summed[key]

    def _map(self, connection: _Connection, kernel: k.Kernel, domain: k.Domain, target: str, value: k.Expr, place: str) -> None:
        title = kernel.title if place == "0.0" else f"{kernel.title}, part {place}"
        body = (k.Accumulate(target, POST, value),)
        self.nodes.append(p.Launch(simplify_kernel(k.Kernel(f"{kernel.name}_{place}", title, domain, body, kernel.span))))

    def _contribute(self, connection: _Connection, kernel: k.Kernel, statement: k.Accumulate, arrived: str, own: k.Expr) -> None:
        """An equation of the post neuron that adds what arrived, times what the neuron has itself."""
        target = statement.array
        path = self.arrays[target].owner or self.readers.get(target, "")
        self.arrays[target] = replace(self.arrays[target], owner=path)
        value = fold(k.Binary("*", k.Load(arrived, I), own))
        body = (k.Accumulate(target, I, value, statement.source),)
        size = connection.connectivity.post_size
        self.came.add(target)
        self.nodes.append(p.Launch(k.Kernel(f"{kernel.name}_post", f"{connection.path}: at the neuron", k.Each(size), body, kernel.span)))

    def _of_post(self, connection: _Connection, expr: k.Expr) -> k.Expr:
        match expr:
            case k.Local(name="post"):
                return I
            case k.Load(array=array, lag=lag) if array in connection.states or lag is not None:
                raise NotSeparable("it follows the events of its post neurons")
        return rebuild(expr, lambda operand: self._of_post(connection, operand))

    # --- nodes --------------------------------------------------------------------------------------------------------

    def _fresh(self, base: str) -> str:
        number = 1
        while f"{base}_{number}" in self.arrays:
            number += 1
        return f"{base}_{number}"

    def _add(self, connection: _Connection, kernel: k.Kernel, body: tuple[k.Statement, ...]) -> None:
        size = connection.connectivity.pre_size
        self.nodes.append(p.Launch(k.Kernel(kernel.name, kernel.title, k.Each(size), body, kernel.span)))

    def _emptied(self, nodes: list[p.PlanNode]) -> list[p.PlanNode]:
        """Sums that equations of the post neuron add to, and no map fills, begin at 0 in each step."""
        maps = {
            s.array
            for node in (*self.coefficients, *nodes)
            if isinstance(node, p.Launch) and (isinstance(node.kernel.domain, k.Fan | k.Synapses) or is_bias(self.arrays, node.kernel))
            for s in k.walk_statements(node.kernel.body)
            if isinstance(s, k.Accumulate | k.Store)
        }
        waiting = self.came - maps
        made: list[p.PlanNode] = []
        for node in nodes:
            for array in sorted(waiting & _accumulated(node)):
                waiting.discard(array)
                (size,) = self.arrays[array].shape
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


def _reached(plan: p.Plan, trained: frozenset[str]) -> frozenset[str]:
    """The trained parameters and the coefficients that are made of them."""
    reached = set(trained)
    for node in plan.coefficients:
        if isinstance(node, p.Launch):
            statements = list(k.walk_statements(node.kernel.body))
            loads = {e.array for s in statements for top in k.statement_expressions(s) for e in k.walk(top) if isinstance(e, k.Load)}
            if loads & reached:
                reached |= {s.array for s in statements if isinstance(s, k.Store)}
    return frozenset(reached)


__all__ = ["synapse_cells"]
