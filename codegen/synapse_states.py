"""States per synapse that are proportional to the weight: the weight times a state per pre neuron."""

from __future__ import annotations

from dataclasses import dataclass

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.separate import ONE, NotSeparable, separate
from snnlang.codegen.simplify import fold, rebuild
from snnlang.codegen.synapse_arrivals import Arrivals
from snnlang.codegen.synapse_draft import PRE, ZERO, Connection, Draft, I


@dataclass(slots=True)
class WeightedStates:
    """Replaces them in expressions and statements."""

    draft: Draft
    arrivals: Arrivals

    def divided(self, connection: Connection, statement: k.Store) -> k.Statement:
        """A state per synapse that is the weight times one per pre neuron: that one's next value."""
        draft = self.draft
        called = draft.called(statement.array)
        made: k.Expr = ZERO
        weight = self._only_weight(connection, called)
        for term in separate(self.by_weight(connection, statement.value), draft.is_weight):
            if term.common == ZERO or term.pre == ZERO:
                continue
            if term.weight != weight or term.post != ONE:
                raise NotSeparable(f"`{called}` is kept for each synapse, and is not proportional to its weight")
            value = k.Binary("*", term.common, self.arrivals.of_pre(connection, term.pre))
            made = fold(k.Binary("+", made, fold(value)))
        return k.Store(self._twin(connection, statement.array), I, made, statement.source)

    def _only_weight(self, connection: Connection, called: str) -> k.Load:
        if connection.weight is None:
            weights = [
                a
                for a in self.draft.plan.arrays.values()
                if a.owner == connection.path and a.role == "weight" and a.variable != "bias"
            ]
            if len(weights) != 1 or weights[0].name in connection.states:
                raise NotSeparable(f"`{called}` is kept for each synapse")
            one = weights[0]
            index = None if one.connectivity is None else k.Local("shared" if one.shared else "synapse", "int")
            connection.weight = k.Load(one.name, index)
        return connection.weight

    def _twin(self, connection: Connection, array: str) -> str:
        """The state per pre neuron whose product with the weight a state per synapse is; both begin at 0."""
        draft = self.draft
        if array not in connection.carried_by_weight:
            for node in draft.plan.trial_start:
                for s in k.walk_statements(node.kernel.body) if isinstance(node, p.Launch) else ():
                    if isinstance(s, k.Store) and s.array == array and s.value != ZERO:
                        raise NotSeparable(f"`{draft.called(array)}` is kept for each synapse, and does not begin at 0")
            twin = f"{array}_by_weight"
            draft.arrays[twin] = p.Array(twin, (connection.connectivity.pre_size,), owner=connection.path)
            connection.states |= {twin}
            connection.carried_by_weight[array] = twin
        return connection.carried_by_weight[array]

    def by_weight(self, connection: Connection, expr: k.Expr) -> k.Expr:
        """An expression with its states per synapse written as the weight times a state per pre neuron."""
        draft = self.draft
        if isinstance(expr, k.Load):
            array = draft.arrays[expr.array]
            if array.connectivity is None or array.role != "state" or array.name not in connection.states:
                return expr
            weight = self._only_weight(connection, draft.called(expr.array))
            return k.Binary("*", weight, k.Load(self._twin(connection, expr.array), PRE))
        return rebuild(expr, lambda operand: self.by_weight(connection, operand))
