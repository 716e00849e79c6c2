"""Maxima over windows of values, as one map each: what a window gathers, its greatest number and the delivery of it.

A simulation keeps what each synapse of a window brings and then reduces it. Training carries a maximum like any other connection, so
:func:`pooled_values` puts the three nodes together again: a launch over synapses that stores the greatest of what arrives, as of spikes.
"""

from __future__ import annotations

from dataclasses import replace

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p

POST, SYNAPSE = k.Local("post", "int"), k.Local("synapse", "int")


def pooled_values(plan: p.Plan) -> p.Plan:
    """The plan with its maxima of values in that form."""
    return replace(plan, coefficients=_gathered(plan, plan.coefficients), step=_gathered(plan, plan.step))


def _gathered(plan: p.Plan, nodes: tuple[p.PlanNode, ...]) -> tuple[p.PlanNode, ...]:
    windows: dict[str, p.Launch] = {}  # what synapses of a window bring, by the array it stands in
    pools: dict[str, p.Launch] = {}  # the same, by the array of the greatest
    made: list[p.PlanNode] = []
    for node in nodes:
        match node:
            case p.Launch(kernel=k.Kernel(domain=k.Synapses(connectivity=name), body=(k.Store(array=array, index=index),))) if (
                index == SYNAPSE and plan.connectivities[name].pattern == "max_pool"
            ):
                windows[array] = node
            case p.SynapseReduce(operation="max", result=result, source=source) if source in windows:
                pools[result] = windows[source]
            case p.Launch(kernel=k.Kernel(body=(k.Accumulate(array=target, value=k.Load(array=best)),))) if best in pools:
                made.append(_map(pools[best].kernel, target))
            case _:
                made.append(node)
    return tuple(made)


def _map(window: k.Kernel, target: str) -> p.Launch:
    store = window.body[0]
    assert isinstance(store, k.Store)
    return p.Launch(replace(window, body=(replace(store, array=target, index=POST),)))
