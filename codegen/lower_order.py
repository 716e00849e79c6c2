"""In which order populations take their turns, and which delays that gives to projections on a cycle.

A projection without delay is computed before its target's turn; on a cycle of such projections it arrives one step later, unless the
cycle is told to settle.
"""

from __future__ import annotations

import numpy as np

from snnlang.codegen.lower_expression import constant_value
from snnlang.codegen.lower_network import Lowering
from snnlang.codegen.schedule import components, topological
from snnlang.model.network import ArrayValue, Projection


def delay_steps(projection: Projection, dt: float) -> int | None:
    """The uniform delay in whole steps; None when it differs between synapses."""
    if projection.delay is None:
        return 0
    if projection.delay_range is not None:
        return None
    if isinstance(projection.delay, ArrayValue):
        numbers = np.unique(np.rint(np.asarray(projection.delay.array, dtype=np.float64) / dt))
        return int(numbers[0]) if numbers.size == 1 else None
    number = constant_value(projection.delay)
    return None if number is None else round(number / dt)


def order_turns(low: Lowering) -> None:
    """Turns of the populations; what a cycle delays; settle groups."""
    names = [population.path for population in low.network.populations]
    dt = low.experiment.dt
    undelayed: list[tuple[Projection, str, str]] = []
    for projection in low.network.projections:
        if projection.pre.path in low.populations and delay_steps(projection, dt) == 0:
            undelayed.append((projection, projection.pre.path, projection.post.path))
    all_components = components(names, [(a, b) for _, a, b in undelayed])
    settling = {
        all_components[a] for p, a, b in undelayed if p.settle is not None and all_components[a] == all_components[b]
    }
    forward: list[tuple[str, str]] = []
    for projection, source, target in undelayed:
        inside = all_components[source] == all_components[target]
        if not inside:
            forward.append((source, target))
        elif all_components[source] in settling:
            low.settled.add(projection.path)
            low.groups[source] = low.groups[target] = all_components[source]
            if projection.settle is None and source != target:
                pass
        else:
            low.assembly.explanation.append(
                f"{projection.path} lies on a cycle of undelayed projections and arrives one step later"
            )
    # members of a settle group stand together: order components, then members
    grouped = {name: f"group {low.groups[name]}" if name in low.groups else name for name in names}
    heads = list(dict.fromkeys(grouped[name] for name in names))
    ordered = topological(heads, [(grouped[a], grouped[b]) for a, b in forward if grouped[a] != grouped[b]])
    low.order = [name for head in ordered for name in names if grouped[name] == head]
    low.assembly.explanation.append("turns: " + ", ".join(low.order))
