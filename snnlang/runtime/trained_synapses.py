"""Which parameters of synapses are trained: those declared ``trainable``, each one number for its whole connection.

What cannot be: a parameter that differs between synapses, a bound input, and the initial state of a synapse (E782).
"""

from __future__ import annotations

from collections.abc import Collection

from snnlang.codegen.plan import Plan
from snnlang.diagnostics import error
from snnlang.model.model import Param
from snnlang.model.network import Network


def trained_of_synapses(network: Network, plan: Plan, frozen: Collection[tuple[str, str]]) -> list[tuple[str, str, Param]]:
    """(path of the connection, array of the plan, parameter) of each. Raises E782."""
    found: list[tuple[str, str, Param]] = []
    for projection in network.projections:
        if projection.synapse is None:
            continue
        for state in projection.synapse.states:
            if state.trainable and not state.weight:
                raise error(
                    "E782",
                    f"the initial value of `{state.name}` of {projection.path} cannot be trained",
                    state.span,
                    "a state of a synapse",
                    help="train initial states of neurons; take `trainable` away here",
                )
        for param in projection.synapse.params:
            if not param.trainable or (projection.path, param.name) in frozen:
                continue
            array = next(
                (a for a in plan.arrays.values() if a.owner == projection.path and a.variable == param.name and a.role == "param"), None
            )
            if array is None:
                continue
            if array.connectivity is not None:
                raise error(
                    "E782",
                    f"`{param.name}` of {projection.path} cannot be trained: it differs between synapses",
                    projection.span,
                    "one value is needed",
                    help="give the parameter one value here, which is where its training begins",
                )
            found.append((projection.path, array.name, param))
    return found


__all__ = ["trained_of_synapses"]
