"""What reaches the cell of a connection: events and values of its source, one to one, and what is computed of them there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.separate import NotSeparable
from snnlang.codegen.simplify import rebuild
from snnlang.codegen.synapse_draft import POST, PRE, ZERO, Connection, Draft, I
from snnlang.diagnostics import error


@dataclass(slots=True)
class Arrivals:
    """Adds to ``draft`` what arrives at cells; nothing twice."""

    draft: Draft

    def at_pre(self, connection: Connection, statement: k.Statement) -> k.Statement:
        """A statement about a pre neuron, as one of the connection's cell."""
        match statement:
            case k.Let(value=value):
                return replace(statement, value=self.of_pre(connection, value))
            case k.Store(array=array, index=index, value=value) if index in (I, PRE) and array in connection.states:
                return replace(statement, index=I, value=self.of_pre(connection, value))
            case k.If(condition=condition, body=body, otherwise=otherwise):
                return replace(
                    statement,
                    condition=self.of_pre(connection, condition),
                    body=tuple(self.at_pre(connection, s) for s in body),
                    otherwise=tuple(self.at_pre(connection, s) for s in otherwise),
                )
        raise NotSeparable("it changes something that is no state of its own")

    def of_pre(self, connection: Connection, expr: k.Expr) -> k.Expr:
        """An expression about a pre neuron, as the connection's cell computes it."""
        draft = self.draft
        match expr:
            case k.Local(name="pre"):
                return I
            case k.Local(name="post" | "synapse" | "shared"):
                raise NotSeparable("a state of it depends on more than its pre neurons")
            case k.Draw():
                raise NotSeparable("it draws random numbers")
            case k.Load(array=array, index=index) if (
                index in (I, PRE) and array not in connection.states and draft.moves(array)
            ):
                return self.value(connection, expr)
            case k.Load(array=array) if draft.arrays[array].connectivity is not None:
                raise NotSeparable(f"`{draft.called(array)}` differs between synapses")
        return rebuild(expr, lambda operand: self.of_pre(connection, operand))

    def event(self, connection: Connection, events: str, lag: int) -> k.Expr:
        """Whether an event arrives at a pre neuron's part, as a truth with the derivative of the number that came."""
        draft = self.draft
        came = self._arrival(
            connection, f"{events}_{lag}", k.Fan(self._one_to_one(connection), "pre", events, lag), k.Const(1.0)
        )
        flag, slope = f"{came}_now", f"{came}_slope"
        if flag not in draft.arrays:
            size = (connection.connectivity.pre_size,)
            draft.arrays[flag] = p.Array(flag, size, "bool", "scratch", owner=connection.path)
            draft.arrays[slope] = p.Array(slope, size, "real", "scratch", owner=connection.path)
            draft.learned.append(p.Learned(connection.path, draft.plan.lists[events].event, events, flag, slope))
            happened = k.Compare(">", k.Load(came, I), ZERO)
            kernel = k.Kernel(flag, f"{connection.path}: events that arrive", k.Each(size[0]), ())
            draft.add(connection, kernel, (k.Store(flag, I, happened), k.Store(slope, I, k.Const(1.0))))
        return k.Load(flag, I, "bool")

    def value(self, connection: Connection, load: k.Load) -> k.Expr:
        """A value of the source as an input of the cell."""
        draft = self.draft
        if connection.connectivity.name in draft.plan.trained_delays:
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
        if draft.arrays[load.array].type != "real":
            raise NotSeparable(f"it reads `{draft.called(load.array)}`, which is no real number")
        source = k.Load(load.array, PRE, "real", load.lag)
        return k.Load(
            self._arrival(connection, f"{load.array}_{back}", k.Synapses(self._one_to_one(connection)), source), I
        )

    def _arrival(self, connection: Connection, what: str, domain: k.Domain, value: k.Expr) -> str:
        draft = self.draft
        name = f"{connection.connectivity.name}_of_{what}"
        if name not in draft.arrays:
            draft.arrays[name] = p.Array(
                name, (connection.connectivity.pre_size,), "real", "scratch", owner=connection.path
            )
            title = f"{connection.path}: {what} reaches the synapse"
            draft.nodes.append(
                p.Launch(
                    k.Kernel(name, title, domain, (k.Accumulate(name, POST, value),), connection.connectivity.span)
                )
            )
        return name

    def _one_to_one(self, connection: Connection) -> str:
        draft = self.draft
        name, size = f"{connection.connectivity.name}_neurons", connection.connectivity.pre_size
        if name not in draft.connectivities:
            every = range(size)
            draft.connectivities[name] = p.Connectivity(name, "one_to_one", size, size, every, every, "one_to_one")
        return name
