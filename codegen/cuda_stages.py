"""How the nodes of a step are cut into stages for a GPU: within one no thread waits for another, between two all of them wait.

Every node gets the earliest stage that its data allow. Nodes over the elements of equally large populations may follow one another in one
stage, because item i always belongs to the same thread; sums by atomic additions may meet; everything else that touches one thing, of which
one writes, is kept apart by a barrier. There is always one at the end of a step. Conditions (``Every``, ``AtStep``) are taken off their
bodies and hung on every node. ``Settle`` is a loop around stages of its own.

A list that is emptied once a step before anything touches it is not emptied there at all: its ring has one more slot, and the one of the
next step is emptied while this one runs. The same holds for queues that are emptied after everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.c_sharing import appended

#: What a stage does: a node of the plan, or what a recorder sees.
Work = p.PlanNode | p.EventRecorder | p.ValueRecorder


@dataclass(frozen=True, slots=True)
class Guard:
    """The node runs in steps n with (n + 1) mod ``number`` == 0 (``every``), or in the step ``number`` alone."""

    kind: str
    number: int


@dataclass(frozen=True, slots=True)
class Task:
    """One node with the conditions under which it runs. ``phase`` 1, 2: the halves of a reduction, with a barrier between them."""

    work: Work
    guards: tuple[Guard, ...] = ()
    phase: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs side by side; ``guards`` are those that all of its tasks share."""

    tasks: tuple[Task, ...]
    guards: tuple[Guard, ...] = ()


@dataclass(frozen=True, slots=True)
class Settling:
    """Stages that are repeated until the list of ``node`` stays the same."""

    node: p.Settle
    stages: tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class Touch:
    """``thing`` (kind, name, lag) is read, written or added to (atomically); ``manner``: own:<size>, first, or any."""

    thing: tuple[str, str, int]
    way: str
    manner: str


@dataclass
class Stages:
    """``early``: lists emptied a step ahead; ``late``: queues emptied a step later; ``inserts``: lists in which an item may be met twice.

    ``sections``: the stages of everything but the step, by name.
    """

    early: frozenset[str] = frozenset()
    late: frozenset[str] = frozenset()
    inserts: frozenset[str] = frozenset()
    sections: dict[str, tuple[Stage, ...]] = field(default_factory=dict)
    step: tuple[Stage | Settling, ...] = ()


def cut(plan: p.Plan) -> Stages:
    """Stages of every section of a plan. Refuses nothing that :func:`snnlang.codegen.verify.verify` accepts."""
    stages = Stages(_early(plan), _late(plan), frozenset(_inserted(plan)))
    for name in ("setup", "coefficients", "trial_start", "trial_end"):
        found: list[Stage] = []
        for part in _cut(plan, stages, _tasks(getattr(plan, name), stages, outside=True)):
            if isinstance(part, Settling):
                raise AssertionError(f"plan {plan.name}: a loop that settles stands in {name}")
            found.append(part)
        stages.sections[name] = tuple(found)
    tasks = [*_tasks(plan.step, stages), *_recorders(plan)]
    stages.step = tuple(_cut(plan, stages, tasks))
    return stages


def _recorders(plan: p.Plan) -> Iterator[Task]:
    for recorder in plan.recorders:
        guards: tuple[Guard, ...] = ()
        if isinstance(recorder, p.ValueRecorder) and recorder.every != 1:
            guards = (Guard("every", recorder.every),)
        yield Task(recorder, guards)


def _tasks(
    nodes: tuple[p.PlanNode, ...], stages: Stages, guards: tuple[Guard, ...] = (), outside: bool = False
) -> Iterator[Task]:
    """Nodes without their conditions, and without emptyings that happen elsewhere."""
    for node in nodes:
        match node:
            case p.Every(period=period, body=body):
                yield from _tasks(body, stages, (*guards, Guard("every", period)), outside)
            case p.AtStep(step=step, body=body):
                yield from _tasks(body, stages, (*guards, Guard("at", step)), outside)
            case p.ClearList(list=name) if name in stages.early and not outside:
                pass
            case p.ClearQueue(queue=name) if name in stages.late and not outside:
                pass
            case p.Reduce(groups=None, operation=operation) if operation != "rank":
                yield Task(node, guards, 1)
                yield Task(node, guards, 2)
            case _:
                yield Task(node, guards)


# --- cutting ----------------------------------------------------------------------------------------------------------


def _cut(plan: p.Plan, stages: Stages, tasks: Iterable[Task]) -> Iterator[Stage | Settling]:
    waiting: list[Task] = []
    for task in tasks:
        if isinstance(task.work, p.Settle):
            yield from _levels(plan, waiting)
            waiting = []
            inner = list(_levels(plan, list(_tasks(task.work.body, stages, task.guards))))
            yield Settling(task.work, tuple(inner))
        else:
            waiting.append(task)
    yield from _levels(plan, waiting)


def _levels(plan: p.Plan, tasks: list[Task]) -> Iterator[Stage]:
    """The tasks by the earliest stage that each may join, in their order."""
    seen: dict[tuple[str, str], list[tuple[int, Touch]]] = {}
    levels: list[list[Task]] = []
    for task in tasks:
        touches = tuple(dict.fromkeys(_touches(plan, task)))
        level = 0
        for touch in touches:
            for at, before in seen.get(touch.thing[:2], ()):
                if at < level or not _meet(plan, before.thing, touch.thing) or _commute(before.way, touch.way):
                    continue
                same = before.manner == touch.manner != "any"
                level = max(level, at if same else at + 1)
        for touch in touches:
            seen.setdefault(touch.thing[:2], []).append((level, touch))
        while len(levels) <= level:
            levels.append([])
        levels[level].append(task)
    for level_tasks in levels:
        shared = level_tasks[0].guards
        yield Stage(tuple(level_tasks), shared if all(task.guards == shared for task in level_tasks) else ())


def _commute(before: str, after: str) -> bool:
    return before == after and before in ("read", "add")


def _meet(plan: p.Plan, one: tuple[str, str, int], other: tuple[str, str, int]) -> bool:
    """Whether two things share memory: slots of a ring of lists do where their lags differ by its whole length."""
    return one[0] != "list" or (one[2] - other[2]) % plan.lists[one[1]].depth == 0


# --- what may be emptied elsewhere, and what is met twice -------------------------------------------------------------


def _early(plan: p.Plan) -> frozenset[str]:
    """Lists that the step empties once, at its top level, before it reads or fills this step's slot."""
    found: list[str] = []
    for name in plan.lists:
        clears = [node for node in p.walk_nodes(plan.step) if isinstance(node, p.ClearList) and node.list == name]
        if len(clears) != 1 or not any(node is clears[0] for node in plan.step):
            continue
        before = plan.step[: next(n for n, node in enumerate(plan.step) if node is clears[0])]
        if not any(name in _now(plan, node) for node in p.walk_nodes(before)):
            found.append(name)
    return frozenset(found)


def _now(plan: p.Plan, node: p.PlanNode) -> set[str]:
    """The lists of which a node reads or fills the slot of this step."""
    found: set[str] = set()
    match node:
        case p.Launch(kernel=kernel):
            found |= set(appended(kernel))
            if (
                isinstance(kernel.domain, k.Fan | k.Listed)
                and kernel.domain.lag % plan.lists[kernel.domain.list].depth == 0
            ):
                found.add(kernel.domain.list)
        case p.Enqueue(list=name, lag=lag) if lag % plan.lists[name].depth == 0:
            found.add(name)
        case p.Schedule(list=name) | p.Settle(list=name):
            found.add(name)
    return found


def _late(plan: p.Plan) -> frozenset[str]:
    """Queues that the step empties once, at its top level, after everything that fills or reads them."""
    found: list[str] = []
    for name in plan.queues:
        uses = [node for node in p.walk_nodes(plan.step) if _queue(node) == name]
        last = uses[-1] if uses else None
        if isinstance(last, p.ClearQueue) and sum(isinstance(node, p.ClearQueue) for node in uses) == 1:
            if any(node is last for node in plan.step):
                found.append(name)
    return frozenset(found)


def _queue(node: p.PlanNode) -> str:
    match node:
        case (
            p.Enqueue(queue=name) | p.ClearQueue(queue=name) | p.Launch(kernel=k.Kernel(domain=k.Arrivals(queue=name)))
        ):
            return name
    return ""


def _inserted(plan: p.Plan) -> Iterator[str]:
    """Lists that get items from more than one place after they were emptied: an item may be met twice, and counts once."""
    fresh: dict[str, bool] = {}

    def visit(nodes: tuple[p.PlanNode, ...]) -> Iterator[str]:
        for node in nodes:
            match node:
                case p.ClearList(list=name):
                    fresh[name] = True
                case p.Launch(kernel=kernel):
                    names = appended(kernel)
                    for name in dict.fromkeys(names):
                        twice = names.count(name) > 1 or isinstance(kernel.domain, k.Listed)
                        if not fresh.get(name, False) or twice:
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


# --- what a task touches ----------------------------------------------------------------------------------------------


def _touches(plan: p.Plan, task: Task) -> Iterator[Touch]:
    match task.work:
        case p.Launch(kernel=kernel):
            yield from _kernel_touches(plan, kernel)
        case p.Fill(array=name):
            yield Touch(("array", name, 0), "write", _class_of(plan, name))
        case p.ClearList(list=name):
            yield Touch(("list", name, 0), "write", "first")
        case p.Enqueue(queue=queue, list=name, delays=delays, lag=lag):
            yield Touch(("queue", queue, 0), "add", "any")
            yield Touch(("list", name, lag), "read", "any")
            yield Touch(("array", delays, 0), "read", "any")
        case p.ClearQueue(queue=queue):
            yield Touch(("queue", queue, 0), "write", "first")
        case p.Reduce(result=result, source=source, groups=groups):
            if task.phase != 2:
                yield Touch(("array", source, 0), "read", "any")
                if groups is not None:
                    yield Touch(("array", groups, 0), "read", "any")
            if task.phase:
                yield Touch(("partials", f"{result} {source}", 0), "write", "any")
            if task.phase != 1:
                yield Touch(("array", result, 0), "write", "any")
        case p.SynapseReduce(result=result, source=source_name):
            if source_name is not None:
                yield Touch(("array", source_name, 0), "read", "any")
            yield Touch(("array", result, 0), "write", "any")
        case p.Schedule(list=name, steps=steps, indices=indices):
            yield Touch(("list", name, 0), "add", "any")
            yield Touch(("array", steps, 0), "read", "any")
            yield Touch(("array", indices, 0), "read", "any")
        case p.EventRecorder(list=name):
            yield Touch(("list", name, 0), "read", "any")
        case p.ValueRecorder(array=name, indices=indices_):
            yield Touch(("array", name, 0), "read", _class_of(plan, name) if indices_ is None else "any")
        case p.Every() | p.AtStep() | p.Settle():
            raise AssertionError(f"{type(task.work).__name__} is taken apart before")


def _class_of(plan: p.Plan, name: str) -> str:
    """The manner in which all elements of an array are visited one by one."""
    array = plan.arrays[name]
    if array.connectivity is not None:
        return f"own:{array.connectivity} {array.shared}"
    return f"own:{size_of(array)}" if array.shape else "first"


def size_of(array: p.Array) -> int:
    """The number of elements of one slot of an array of a population."""
    size = 1
    for axis in array.shape:
        size *= axis
    return size


def _kernel_touches(plan: p.Plan, kernel: k.Kernel) -> Iterator[Touch]:
    own = "any"
    match kernel.domain:
        case k.Single():
            own = "first"
        case k.Each(size=size):
            own = f"own:{size}"
        case k.Listed(list=name, lag=lag) | k.Fan(list=name, lag=lag):
            yield Touch(("list", name, lag), "read", "any")
        case k.Arrivals(queue=queue):
            yield Touch(("queue", queue, 0), "read", "any")

    def manner(array_name: str, index: k.Expr | None) -> str:
        if own == "first":
            return own
        array = plan.arrays[array_name]
        mine = array.connectivity is None and index == k.Local("i", "int") and own == f"own:{size_of(array)}"
        return own if mine and array.shape else "any"

    for statement in k.walk_statements(kernel.body):
        if isinstance(statement, k.Store):
            yield Touch(("array", statement.array, 0), "write", manner(statement.array, statement.index))
        elif isinstance(statement, k.Accumulate):
            where = manner(statement.array, statement.index)
            way = "add" if adds_atomically(plan, kernel, statement) else "write"
            yield Touch(("array", statement.array, 0), way, where)
        elif isinstance(statement, k.Append):
            yield Touch(("list", statement.list, 0), "add", "any")
        for expr in k.statement_expressions(statement):
            for part in k.walk(expr):
                if isinstance(part, k.Load):
                    yield Touch(("array", part.array, 0), "read", manner(part.array, part.index))


def adds_atomically(plan: p.Plan, kernel: k.Kernel, statement: k.Accumulate) -> bool:
    """Whether other items may add to the same element at the same time."""
    match kernel.domain:
        case k.Single():
            return False
        case k.Each():
            return statement.index != k.Local("i", "int")
        case k.Listed():
            return True
        case k.Fan(connectivity=name) | k.Synapses(connectivity=name) | k.Arrivals(connectivity=name):
            array = plan.arrays[statement.array]
            return not (
                statement.index == k.Local("synapse", "int") and array.connectivity == name and not array.shared
            )
