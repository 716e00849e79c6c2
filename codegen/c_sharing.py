"""How the nodes of a step are shared out among threads: which run side by side, and where all must wait for each other.

A thread owns the neurons of its share, the synapses that end on them and its part of every event list. A node runs on every thread when
all that it writes is its own; else the first thread runs it alone. Between two nodes that touch one thing, of which one writes and not
both as its owner, there is a barrier. The end of a step meets the start of the next, so the analysis goes round twice; without any
barrier a thread may be many steps ahead, and it goes round until every slot of every ring of lists has come round again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p

#: Who touches: each thread its own part; any thread anything; the first thread alone.
Manner = Literal["own", "any", "first"]


@dataclass(frozen=True, slots=True)
class Touch:
    """One thing that a node reads or writes. ``thing`` is (kind, name, lag): a list as it stood some steps ago, seen from this step."""

    thing: tuple[str, str, int]
    writes: bool
    manner: Manner


@dataclass
class Sharing:
    """``alone``: positions of nodes in the step that the first thread runs; ``barriers``: positions before which all wait;
    ``before_records``: all wait before what was recorded is copied. ``inserts`` names lists that items join in any order.
    """

    alone: set[int] = field(default_factory=set)
    barriers: set[int] = field(default_factory=set)
    before_records: bool = False
    inserts: frozenset[str] = frozenset()


def share_out(plan: p.Plan) -> Sharing:
    """Look at the nodes of a plan's step."""
    sharing = Sharing(inserts=frozenset(_inserted(plan)))
    touched = touches(plan)
    for position, found in enumerate(touched):
        if any(touch.manner == "first" for touch in found):
            sharing.alone.add(position)
            touched[position] = [Touch(touch.thing, touch.writes, "first") for touch in found]
    records = [
        Touch(("list", r.list, 0) if isinstance(r, p.EventRecorder) else ("array", r.array, 0), False, "first")
        for r in plan.recorders
    ]
    rounds = 1 + max((events.depth for events in plan.lists.values()), default=1)
    pending: dict[Touch, None] = {}
    for turn in range(max(2, rounds)):
        parted = bool(sharing.barriers) or sharing.before_records
        for position, found in enumerate(touched):
            if position in sharing.barriers:
                pending = {}
            elif _conflict(plan, pending, found):
                sharing.barriers.add(position)
                pending = {}
            pending.update(dict.fromkeys(found))
        if sharing.before_records:
            pending = {}
        elif _conflict(plan, pending, records):
            sharing.before_records = True
            pending = {}
        if turn > 0 and parted:  # with a barrier in every step, only neighbouring steps meet
            break
        pending = dict.fromkeys(_past(plan, touch) for touch in (*pending, *records))
    return sharing


def touches(plan: p.Plan) -> list[list[Touch]]:
    """What each node of a plan's step touches."""
    serial_lists = _serial_lists(plan)
    return [list(_touches(plan, node, serial_lists)) for node in plan.step]


def _past(plan: p.Plan, touch: Touch) -> Touch:
    """The same touch as the next step sees it; lags go round with the ring, so that few touches differ."""
    kind, name, lag = touch.thing
    if kind != "list":
        return touch
    return Touch((kind, name, (lag + 1) % plan.lists[name].depth), touch.writes, touch.manner)


def _conflict(plan: p.Plan, earlier: Iterable[Touch], later: list[Touch]) -> bool:
    return any(apart(before, after) and _meet(plan, before.thing, after.thing) for after in later for before in earlier)


def apart(one: Touch, other: Touch) -> bool:
    """Whether two touches of one thing may be of two threads, and one of them writes."""
    return (one.writes or other.writes) and (one.manner != other.manner or one.manner == "any")


def _meet(plan: p.Plan, one: tuple[str, str, int], other: tuple[str, str, int]) -> bool:
    """Whether two things share memory: slots of a ring do where their lags differ by its whole length."""
    if one[:2] != other[:2]:
        return False
    return one[0] != "list" or (one[2] - other[2]) % plan.lists[one[1]].depth == 0


def _serial_lists(plan: p.Plan) -> set[str]:
    """Lists whose items do not all stand in the parts of their owners: the first thread put them there."""
    serial: set[str] = set()
    while True:
        before = len(serial)
        for node in plan.step:
            alone = any(touch.manner == "first" for touch in _touches(plan, node, serial))
            for inner in p.walk_nodes((node,)):
                if isinstance(inner, p.Schedule):
                    serial.add(inner.list)
                if isinstance(inner, p.Launch) and alone:
                    serial |= set(appended(inner.kernel))
        if len(serial) == before:
            return serial


def appended(kernel: k.Kernel) -> tuple[str, ...]:
    """The lists to which a kernel appends, once for every place."""
    return tuple(s.list for s in k.walk_statements(kernel.body) if isinstance(s, k.Append))


def _inserted(plan: p.Plan) -> Iterator[str]:
    """Lists that get items from more than one place after they were emptied, so that the order must be looked for."""
    fresh: dict[str, bool] = {}

    def visit(nodes: tuple[p.PlanNode, ...]) -> Iterator[str]:
        for node in nodes:
            match node:
                case p.ClearList(list=name):
                    fresh[name] = True
                case p.Launch(kernel=kernel):
                    for name in appended(kernel):
                        if not fresh.get(name, True) or isinstance(
                            kernel.domain, k.Single | k.Fan | k.Synapses | k.Arrivals
                        ):
                            yield name
                        fresh[name] = False
                case p.Schedule(list=name):
                    yield name
                    fresh[name] = False
                case p.Every(body=body) | p.AtStep(body=body):
                    yield from visit(body)
                case p.Settle(body=body):
                    yield from visit(body)
                    yield from visit(body)

    for section in plan.sections:
        yield from visit(section)


# --- what a node touches ----------------------------------------------------------------------------------------------


def _touches(plan: p.Plan, node: p.PlanNode, serial: set[str]) -> Iterator[Touch]:
    match node:
        case p.Launch(kernel=kernel):
            yield from _kernel_touches(plan, kernel, serial)
        case p.Fill(array=name):
            array = plan.arrays[name]
            scalar = not array.shape and array.connectivity is None
            yield Touch(("array", name, 0), True, "own" if array.shape and not scalar else "first")
        case p.ClearList(list=name):
            yield Touch(("list", name, 0), True, "own")
        case p.Enqueue(queue=queue, list=name, side=side, delays=delays, lag=lag):
            apart = side == "post" and name in serial
            manner: Manner = "first" if apart else "own"
            yield Touch(("queue", queue, 0), True, manner)
            yield Touch(_list(name, lag), False, "any" if side == "pre" else manner)
            yield Touch(("array", delays, 0), False, manner if plan.arrays[delays].connectivity else "any")
        case p.ClearQueue(queue=queue):
            yield Touch(("queue", queue, 0), True, "own")
        case p.Reduce(result=result, source=source, groups=groups):
            yield Touch(("array", source, 0), False, "first")
            if groups is not None:
                yield Touch(("array", groups, 0), False, "first")
            yield Touch(("array", result, 0), True, "first")
        case p.SynapseReduce(result=result, source=source_name):
            if source_name is not None:
                yield Touch(("array", source_name, 0), False, "first")
            yield Touch(("array", result, 0), True, "first")
        case p.Schedule(list=name, steps=steps, indices=indices):
            yield Touch(("list", name, 0), True, "first")
            yield Touch(("array", steps, 0), False, "first")
            yield Touch(("array", indices, 0), False, "first")
        case p.Every(body=body) | p.AtStep(body=body) | p.Settle(body=body):
            # rare, or one after the other by its nature: the first thread runs the whole of it
            for inner in body:
                for touch in _touches(plan, inner, serial):
                    yield Touch(touch.thing, touch.writes, "first")
            if isinstance(node, p.Settle):
                yield Touch(("list", node.list, 0), True, "first")


def _list(name: str, lag: int) -> tuple[str, str, int]:
    return ("list", name, lag)


def _kernel_touches(plan: p.Plan, kernel: k.Kernel, serial: set[str]) -> Iterator[Touch]:
    own_size, own_index, connectivity = -1, "", ""
    alone = False
    match kernel.domain:
        case k.Single():
            alone = True
        case k.Each(size=size):
            own_size, own_index = size, "i"
        case k.Listed(list=name, lag=lag):
            own_size, own_index = plan.lists[name].size, "i"
            alone = name in serial
            yield Touch(_list(name, lag), False, "first" if alone else "own")
        case k.Fan(connectivity=connectivity, side=side, list=name, lag=lag):
            own_size, own_index = plan.connectivities[connectivity].post_size, "post"
            alone = side == "post" and name in serial
            yield Touch(_list(name, lag), False, "any" if side == "pre" else ("first" if alone else "own"))
        case k.Synapses(connectivity=connectivity):
            own_size, own_index = plan.connectivities[connectivity].post_size, "post"
        case k.Arrivals(queue=queue, connectivity=connectivity):
            own_size, own_index = plan.connectivities[connectivity].post_size, "post"
            yield Touch(("queue", queue, 0), False, "own")
    if alone:
        yield Touch(("kernel", kernel.name, 0), True, "first")

    def owned(array_name: str, index: k.Expr | None) -> bool:
        array = plan.arrays[array_name]
        if array.connectivity is not None:
            own_synapse = index == k.Local("synapse", "int") and array.connectivity == connectivity
            return own_synapse and not array.shared
        if len(array.shape) == 0:
            return False
        length = 1
        for axis in array.shape:
            length *= axis
        return length == own_size and index == k.Local(own_index, "int")

    for statement in k.walk_statements(kernel.body):
        if isinstance(statement, (k.Store, k.Accumulate)):
            own = owned(statement.array, statement.index)
            yield Touch(("array", statement.array, 0), True, "own" if own else "first")
        elif isinstance(statement, k.Append):
            own = plan.lists[statement.list].size == own_size and own_index == "i" and statement.list not in serial
            yield Touch(("list", statement.list, 0), True, "own" if own else "first")
        for expr in k.statement_expressions(statement):
            for part in k.walk(expr):
                if isinstance(part, k.Load):
                    yield Touch(("array", part.array, 0), False, "own" if owned(part.array, part.index) else "any")
