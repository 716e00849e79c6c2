"""What of connections is trained beside weights: parameters of synapses that are declared ``trainable``, and trainable delays.

Each is one number for its whole connection. What cannot be: a parameter that differs between synapses and the initial state of a synapse
(E782), delays of connections from inputs, and delays of more than :data:`MOST` steps (E783).
"""

from __future__ import annotations

from collections.abc import Collection

from snnlang.codegen.plan import Plan
from snnlang.diagnostics import error
from snnlang.frozen import dataclass
from snnlang.model.model import Param
from snnlang.model.network import Network, Projection

#: Steps beyond which a delay is not trained: each is a number for each pre neuron and sample.
MOST = 1000


@dataclass(frozen=True, slots=True)
class OfConnection:
    """A trained number of a connection: its name for users, the plan's array, the parameter it is (None: the delay), and its range."""

    name: str
    array: str
    param: Param | None = None
    low: float | None = None
    high: float | None = None


def trained_of_synapses(network: Network, plan: Plan, frozen: Collection[tuple[str, str]]) -> list[OfConnection]:
    """All of them. Raises E782 and E783."""
    found: list[OfConnection] = []
    for projection in network.projections:
        if projection.delay_range is not None:
            found += _delay(projection, plan, frozen)
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
            found.append(OfConnection(f"{projection.path}.{param.name}", array.name, param))
    return found


def _delay(projection: Projection, plan: Plan, frozen: Collection[tuple[str, str]]) -> list[OfConnection]:
    trained = next((v for name, v in plan.trained_delays.items() if plan.connectivities[name].owner == projection.path), None)
    cause = "it comes from an input of the network, and inputs arrive at once" if trained is None else ""
    if trained is not None and trained[1] > MOST:
        cause = f"it may become {trained[1]} steps long, and at most {MOST} are kept"
    if cause or trained is None:
        raise error(
            "E783",
            f"the delay of {projection.path} cannot be trained: {cause}",
            projection.span,
            help="give a plain delay here, or a smaller `max`",
        )
    if (projection.path, "delay") in frozen:
        return []
    assert projection.delay_range is not None
    array, _, least = trained
    low, high = projection.delay_range
    return [OfConnection(f"{projection.path}.delay", array, None, max(low, least * plan.dt), max(high, least * plan.dt))]


__all__ = ["MOST", "OfConnection", "trained_of_synapses"]
