"""How far threads may run ahead of each other: where only lists of events pass between them, for later steps, nobody needs a barrier.

A barrier in every step costs more than the way of a cache line between two cores: each thread waits for the slowest of that step. Where
all that one thread reads of another are lists of events some steps later, it is enough to know that the others have written the lists
of that step. So each thread stamps its lists once they are written (codegen/native/ahead.h), goes on with its synapses, and looks before
it reads for the stamps of the step whose events arrive: most often they have been there long before (a split, or fuzzy, barrier: Gupta
1989). What a slow thread still reads must not be written again meanwhile, therefore the rings of lists are longer with several threads.
"""

from __future__ import annotations

from dataclasses import dataclass

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.c_sharing import Sharing, Touch, apart, touches

#: Steps that a thread may be ahead at most. More would only make rings longer: a step or two even out what varies.
MOST_AHEAD = 3


@dataclass(frozen=True, slots=True)
class Ahead:
    """``stamp``: position of the node in the step after which a thread stamps its lists; ``look``: position before which it looks for
    the stamps of ``steps`` steps before; ``depths``: how many slots the ring of a list then needs; ``reads``: list, kernel that reads what
    other threads put there, how many steps later."""

    stamp: int
    look: int
    steps: int
    depths: dict[str, int]
    reads: tuple[tuple[str, str, int], ...]


def ahead(plan: p.Plan, sharing: Sharing) -> Ahead | None:
    """None where threads need barriers: something else than lists passes between them, or a list within a step."""
    if sharing.alone or not (sharing.barriers or sharing.before_records):
        return None
    recorded = [recorder.list for recorder in plan.recorders if isinstance(recorder, p.EventRecorder)]
    if len(recorded) < len(plan.recorders):
        return None
    found = touches(plan)
    if _meet_elsewhere(found):
        return None
    written: dict[str, list[int]] = {}
    read: dict[str, list[int]] = {}
    lags: dict[str, set[int]] = {name: set() for name in recorded}
    for position, node in enumerate(found):
        for touch in node:
            kind, name, lag = touch.thing
            if kind != "list":
                continue
            if touch.writes:
                written.setdefault(name, []).append(position)
            elif touch.manner == "any":
                read.setdefault(name, []).append(position)
                lags.setdefault(name, set()).add(lag)
    passed = {name: found for name, found in lags.items() if name in written}
    if not passed or any(lag < 1 for found in passed.values() for lag in found):
        return None
    steps = min([MOST_AHEAD, *(lag for found in passed.values() for lag in found)])
    stamp = max(position for name in passed for position in written[name])
    look = min([len(plan.step), *(position for name in passed for position in read.get(name, ()))])
    depths = {name: max(plan.lists[name].depth, max([steps, *found]) + steps + 2) for name, found in passed.items()}
    kernels = tuple(
        (node.kernel.domain.list, node.kernel.name, node.kernel.domain.lag)
        for node in plan.step
        if isinstance(node, p.Launch) and isinstance(node.kernel.domain, k.Fan) and node.kernel.domain.side == "pre"
    )
    return Ahead(stamp, look, steps, depths, tuple(read for read in kernels if read[0] in depths))


def _meet_elsewhere(found: list[list[Touch]]) -> bool:
    """Whether threads meet in something that is no list."""
    others: dict[tuple[str, str, int], list[Touch]] = {}
    for node in found:
        for touch in node:
            if touch.thing[0] != "list":
                others.setdefault(touch.thing, []).append(touch)
    return any(apart(one, other) for same in others.values() for one in same for other in same)
