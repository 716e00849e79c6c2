"""Linear conductances as one sum per post neuron: which states are such, and the equations that they add to their target.

The group must be linear and homogeneous with parameters that all synapses share, jump by ``+=`` at pre events by amounts
that do not read the group, and be read by continuous ``deliver`` alone, linearly, times nothing that differs between
synapses. Then the sum over the synapses of a neuron obeys the same equations, and ``post.v`` in the deliver is the target's
own ``v``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from snnlang.dynamics.equations import expressions, inline, solve
from snnlang.dynamics.order import source_text
from snnlang.dynamics.system import Attachment, Ode, Placement
from snnlang.dynamics.terms import (
    ZERO,
    NotLinear,
    fold,
    linear_parts,
    multiply,
    names_in,
    own_name,
    reads,
    replace_nodes,
)
from snnlang.model.expression import Constant, Expr, Variable, walk
from snnlang.model.model import Assign, Deliver, If, State, Statement, Synapse


def summed_states(synapse: Synapse, uniform: frozenset[str], plain_dendritic: bool) -> frozenset[str]:
    """The states of a synapse whose sum per post neuron is all that matters."""
    uniform = uniform & {param.name for param in synapse.params}  # inputs of the synapse are not known to its target
    definitions = {definition.name: definition.value for definition in synapse.definitions}
    rates = {d.variable: inline(solve(d), definitions) for d in synapse.differentials}
    group = {
        state.name
        for state in synapse.states
        if state.name in rates
        and not state.weight
        and state.bounds is None
        and state.initial == Constant(0.0, state.unit)
    }
    while group:
        refused = _refused(synapse, group, rates, definitions, uniform, plain_dendritic)
        if not refused:
            break
        group -= refused
    return frozenset(group)


def _refused(
    synapse: Synapse,
    group: set[str],
    rates: dict[str, Expr],
    definitions: dict[str, Expr],
    uniform: frozenset[str],
    plain: bool,
) -> set[str]:
    refused: set[str] = set()
    for name, rate in rates.items():
        inside = [other for other in names_in(rate) if other in group]
        if name not in group:
            refused.update(inside)
        elif not _homogeneous(rate, group, uniform, post=False):
            refused.update({name, *inside})
    for trace in synapse.traces:
        refused.update(_read(inline(trace.decay, definitions), group))
    for difference in synapse.differences:
        refused.update(_read(inline(difference.value, definitions), group))
    for handler in synapse.handlers:
        refused.update(_misused(handler.body, group, handler.trigger.kind == "pre", definitions))
    for deliver in synapse.delivers:
        value = inline(deliver.value, definitions)
        if not _homogeneous(value, group, uniform, post=plain):
            refused.update(_read(value, group))
    return refused


def _homogeneous(expr: Expr, group: set[str], uniform: frozenset[str], post: bool) -> bool:
    """Linear in the group without a rest, with coefficients of shared parameters (and of the post neuron's variables)."""
    if not reads(expr, group):
        return True
    try:
        rest, parts = linear_parts(expr, group)
    except NotLinear:
        return False
    return rest == ZERO and all(_shared(coefficient, uniform, post) for coefficient in parts.values())


def _shared(expr: Expr, uniform: frozenset[str], post: bool) -> bool:
    for node in walk(expr):
        if isinstance(node, Variable):
            if node.scope == "post" and post and not node.lag:
                continue
            if node.scope != "self" or node.lag or (node.name not in uniform and node.name not in ("t", "dt")):
                return False
        elif hasattr(node, "scope") or type(node).__name__ in ("Random", "Noise", "SynapseReduction", "AtTime"):
            return False
    return True


def _read(expr: Expr, group: Iterable[str]) -> set[str]:
    return {name for name in names_in(expr) if name in set(group)}


def _misused(body: Sequence[Statement], group: set[str], on_pre: bool, definitions: dict[str, Expr]) -> set[str]:
    found: set[str] = set()
    for expr in expressions(tuple(body)):
        found |= _read(inline(expr, definitions), group)
    for statement in body:
        match statement:
            case Assign(scope="self") if statement.name in group and not (
                on_pre and statement.operator in ("+=", "-=")
            ):
                found.add(statement.name)
            case If():
                for _, inner in statement.branches:
                    found |= _misused(inner, group, on_pre, definitions)
            case _:
                pass
    return found


def is_folded(deliver: Deliver, synapse: Synapse, placement: Placement) -> bool:
    """Whether a continuous deliver became a term of the target's equations."""
    definitions = {definition.name: definition.value for definition in synapse.definitions}
    return any(
        placement.where(name) == "summed"
        for name in names_in(inline(deliver.value, definitions))
        if _is_state(synapse, name)
    )


def _is_state(synapse: Synapse, name: str) -> bool:
    return any(state.name == name for state in synapse.states)


def attachment(prefix: str, synapse: Synapse, placement: Placement, port: str, gain: Expr | None = None) -> Attachment:
    """What a synapse adds to its target: its summed states and params as ``prefix_name``, and a term for every folded deliver.

    ``port`` is where the connection leads (a deliver may name another); ``gain`` multiplies every term.
    """
    definitions = {definition.name: definition.value for definition in synapse.definitions}
    summed = [state for state in synapse.states if placement.where(state.name) == "summed"]
    names = [*(state.name for state in summed), *(param.name for param in synapse.params)]
    renamed = {name: f"{prefix}_{name}" for name in names}

    def own(expr: Expr) -> Expr:
        def change(node: Expr) -> Expr | None:
            if isinstance(node, Variable) and node.scope == "post":
                return Variable(node.name, node.unit, lag=node.lag, span=node.span)
            name = own_name(node)
            if isinstance(node, Variable) and name in renamed:
                return Variable(renamed[name], node.unit, span=node.span)
            return None

        return fold(replace_nodes(inline(expr, definitions), change))

    odes, terms = [], []
    for differential in synapse.differentials:
        if placement.where(differential.variable) == "summed":
            source = source_text(differential.span)
            odes.append(
                Ode(renamed[differential.variable], own(solve(differential)), source=source, span=differential.span)
            )
    for deliver in synapse.delivers:
        if is_folded(deliver, synapse, placement):
            term = own(deliver.value)
            terms.append((deliver.port or port, term if gain is None else multiply(gain, term)))
    used = {name for expr in [*(ode.rate for ode in odes), *(term for _, term in terms)] for name in names_in(expr)}
    states = tuple(
        State(renamed[state.name], state.unit, state.initial, "ode", doc=state.doc, span=state.span) for state in summed
    )
    params = tuple(renamed[param.name] for param in synapse.params if renamed[param.name] in used)
    return Attachment(prefix, params, states, tuple(odes), tuple(terms))
