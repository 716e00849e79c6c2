"""Jumps that only wait to be added to a state go straight into it.

The language collects what arrives in a step and adds it once the step has been integrated. Where that sum is used for nothing else, the
propagation can come after the integration and add to the state itself: one array less to read, write and clear in every step. What it
refuses to touch: sums that an event test, a handler, a recorder or a second equation reads, and propagations that share anything else
with what they would be moved across.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p

_I = k.Local("i", "int")


def direct(plan: p.Plan) -> p.Plan:
    """The plan with such deliveries made direct."""
    for node in plan.step:
        if isinstance(node, p.Fill) and node.value == 0.0 and node.array in plan.arrays:
            plan = _without(plan, node.array)
    return plan


@dataclass(frozen=True, slots=True)
class _Use:
    """What a node reads and writes: arrays, and (list, lag) pairs; a write of a list is of lag 0."""

    reads: frozenset[str]
    writes: frozenset[str]
    lists_read: frozenset[tuple[str, int]] = frozenset()
    lists_written: frozenset[str] = frozenset()


def _without(plan: p.Plan, jump: str) -> p.Plan:
    array = plan.arrays[jump]
    if array.role != "scratch" or array.depth != 1 or not array.shape or array.type != "real" or array.fill != 0.0:
        return plan
    if any(isinstance(r, p.ValueRecorder) and r.array == jump for r in plan.recorders):
        return plan
    for section in (plan.setup, plan.coefficients, plan.trial_start, plan.trial_end):
        if any(jump in _use(node).reads | _use(node).writes for node in section):
            return plan
    touching = [n for n, node in enumerate(plan.step) if jump in _use(node).reads | _use(node).writes]
    if len(touching) < 3:
        return plan
    *sources, at, clearing = touching
    taker, fill = plan.step[at], plan.step[clearing]
    if not isinstance(fill, p.Fill) or fill.lag or not isinstance(taker, p.Launch):
        return plan
    taken = _taken(taker.kernel, jump)
    if taken is None:
        return plan
    state, kernel = taken
    target = plan.arrays[state]
    if target.shape != array.shape or target.depth != 1 or target.type != "real":
        return plan
    moved: list[p.PlanNode] = []
    for number in sources:
        node = plan.step[number]
        if not isinstance(node, p.Launch) or not isinstance(node.kernel.domain, k.Fan):
            return plan
        redirected = _redirected(node.kernel, jump, state)
        between = [_use(other) for n, other in enumerate(plan.step) if number < n <= at and n not in sources]
        if redirected is None or not _may_pass(_use(node), between, jump):
            return plan
        moved.append(p.Launch(redirected))
    step: list[p.PlanNode] = []
    for n, node in enumerate(plan.step):
        if n in sources or n == clearing:
            continue
        if n == at:
            step += [p.Launch(kernel), *moved]
        else:
            step.append(node)
    arrays = {name: described for name, described in plan.arrays.items() if name != jump}
    return replace(plan, arrays=arrays, step=tuple(step))


def _may_pass(mover: _Use, between: list[_Use], jump: str) -> bool:
    """Whether a propagation may come after these nodes instead of before."""
    writes = mover.writes - {jump}
    for other in between:
        if writes & (other.reads | other.writes) or mover.reads & other.writes:
            return False
        if any(lag == 0 and name in other.lists_written for name, lag in mover.lists_read):
            return False
    return True


def _taken(kernel: k.Kernel, jump: str) -> tuple[str, k.Kernel] | None:
    """The state that takes the sum, and the kernel without it; None where it serves anything else."""
    if not isinstance(kernel.domain, k.Each):
        return None
    load = k.Load(jump, _I, "real")
    every = [part for s in k.walk_statements(kernel.body) for e in k.statement_expressions(s) for part in k.walk(e)]
    if [part for part in every if isinstance(part, k.Load) and part.array == jump] != [load]:
        return None
    for number, statement in enumerate(kernel.body):
        if not isinstance(statement, (k.Let, k.Store)):
            continue
        rest = _summand_removed(statement.value, load)
        if rest is None:
            continue
        changed = replace(statement, value=rest)
        body = (*kernel.body[:number], changed, *kernel.body[number + 1 :])
        if isinstance(changed, k.Store):
            store = number
        else:
            uses = [part for part in every if isinstance(part, k.Local) and part.name == changed.name]
            stores = [
                n
                for n, s in enumerate(kernel.body)
                if isinstance(s, k.Store) and s.value == k.Local(changed.name, "real")
            ]
            if len(uses) != 1 or len(stores) != 1:
                return None
            store = stores[0]
        stored = body[store]
        assert isinstance(stored, k.Store)
        if stored.index != _I or stored.lag is not None or _touched(body[store + 1 :], stored.array):
            return None
        return stored.array, replace(kernel, body=body)
    return None


def _summand_removed(value: k.Expr, summand: k.Expr) -> k.Expr | None:
    """A sum without one of its terms; None when that is no term of it."""
    if isinstance(value, k.Binary) and value.operator == "+" and value.type == "real":
        if value.right == summand:
            return value.left
        if value.left == summand:
            return value.right
        left = _summand_removed(value.left, summand)
        if left is not None:
            return replace(value, left=left)
        right = _summand_removed(value.right, summand)
        if right is not None:
            return replace(value, right=right)
    return None


def _touched(body: tuple[k.Statement, ...], array: str) -> bool:
    for statement in k.walk_statements(body):
        if isinstance(statement, (k.Store, k.Accumulate)) and statement.array == array:
            return True
        for expr in k.statement_expressions(statement):
            if any(isinstance(part, k.Load) and part.array == array for part in k.walk(expr)):
                return True
    return False


def _redirected(kernel: k.Kernel, jump: str, state: str) -> k.Kernel | None:
    """The propagation into the state; None when it does anything else with the sum, or reads or writes the state."""
    if _touched(kernel.body, state):
        return None
    for statement in k.walk_statements(kernel.body):
        if isinstance(statement, k.Store) and statement.array == jump:
            return None
        if isinstance(statement, k.Accumulate) and statement.array == jump and statement.lag is not None:
            return None
        for expr in k.statement_expressions(statement):
            if any(isinstance(part, k.Load) and part.array == jump for part in k.walk(expr)):
                return None

    def change(body: tuple[k.Statement, ...]) -> tuple[k.Statement, ...]:
        changed: list[k.Statement] = []
        for statement in body:
            match statement:
                case k.Accumulate(array=array) if array == jump:
                    changed.append(replace(statement, array=state))
                case k.If(body=inner, otherwise=otherwise):
                    changed.append(replace(statement, body=change(inner), otherwise=change(otherwise)))
                case _:
                    changed.append(statement)
        return tuple(changed)

    return replace(kernel, body=change(kernel.body))


def _use(node: p.PlanNode) -> _Use:
    """What a node touches, with everything inside it."""
    match node:
        case p.Launch(kernel=kernel):
            reads: set[str] = set()
            writes: set[str] = set()
            appended: set[str] = set()
            for statement in k.walk_statements(kernel.body):
                if isinstance(statement, (k.Store, k.Accumulate)):
                    writes.add(statement.array)
                elif isinstance(statement, k.Append):
                    appended.add(statement.list)
                for expr in k.statement_expressions(statement):
                    reads |= {part.array for part in k.walk(expr) if isinstance(part, k.Load)}
            lists: frozenset[tuple[str, int]] = frozenset()
            if isinstance(kernel.domain, (k.Fan, k.Listed)):
                lists = frozenset({(kernel.domain.list, kernel.domain.lag)})
            return _Use(frozenset(reads), frozenset(writes), lists, frozenset(appended))
        case p.Fill(array=array):
            return _Use(frozenset(), frozenset({array}))
        case p.ClearList(list=name):
            return _Use(frozenset(), frozenset(), frozenset(), frozenset({name}))
        case p.Enqueue(delays=delays, list=name, lag=lag):
            return _Use(frozenset({delays}), frozenset(), frozenset({(name, lag)}))
        case p.ClearQueue():
            return _Use(frozenset(), frozenset())
        case p.Reduce(result=result, source=source, groups=groups):
            return _Use(frozenset({source} if groups is None else {source, groups}), frozenset({result}))
        case p.SynapseReduce(result=result, source=values):
            return _Use(frozenset(() if values is None else (values,)), frozenset({result}))
        case p.Schedule(list=name, steps=steps, indices=indices):
            return _Use(frozenset({steps, indices}), frozenset(), frozenset(), frozenset({name}))
        case p.Every(body=body) | p.AtStep(body=body) | p.Settle(body=body):
            inner = [_use(part) for part in body]
            return _Use(
                frozenset().union(*(use.reads for use in inner)),
                frozenset().union(*(use.writes for use in inner)),
                frozenset().union(*(use.lists_read for use in inner)),
                frozenset().union(*(use.lists_written for use in inner)),
            )
