"""What the C printer changes in a step before it prints it: an array that is cleared after a kernel is cleared by it.

A block of the array is in the first-level cache then, so that clearing it costs nothing; done afterwards it is one more way through memory.
"""

from __future__ import annotations

import math
from dataclasses import replace

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p

_I = k.Local("i", "int")


def fuse(plan: p.Plan) -> p.Plan:
    """The plan with clearings at the end of the population kernels that they follow."""
    step: list[p.PlanNode] = []
    for node in plan.step:
        place = next((n for n in range(len(step) - 1, -1, -1) if not isinstance(step[n], p.Fill)), -1)
        before = step[place] if place >= 0 else None
        if (
            isinstance(node, p.Fill)
            and isinstance(before, p.Launch)
            and isinstance(before.kernel.domain, k.Each)
            and not node.lag
            and _fits(plan, before.kernel, node)
        ):
            value = k.Const(
                node.value if plan.arrays[node.array].type == "real" else int(node.value), plan.arrays[node.array].type
            )
            body = _stored(before.kernel.body, k.Store(node.array, _I, value))
            step[place] = p.Launch(replace(before.kernel, body=body))
        else:
            step.append(node)
    return replace(plan, step=tuple(step))


def _fits(plan: p.Plan, kernel: k.Kernel, fill: p.Fill) -> bool:
    array = plan.arrays[fill.array]
    assert isinstance(kernel.domain, k.Each)
    if array.depth != 1 or not array.shape or math.prod(array.shape) != kernel.domain.size or array.type == "bool":
        return False
    for statement in k.walk_statements(kernel.body):
        if isinstance(statement, (k.Store, k.Accumulate)) and statement.array == fill.array and statement.index != _I:
            return False
        for expr in k.statement_expressions(statement):
            for part in k.walk(expr):
                if isinstance(part, k.Load) and part.array == fill.array and part.index != _I:
                    return False
    return True


def _stored(body: tuple[k.Statement, ...], store: k.Store) -> tuple[k.Statement, ...]:
    """The store right after the last statement that touches the array: best before the events, in the vector loop."""
    last = -1
    for number, statement in enumerate(body):
        for inner in k.walk_statements((statement,)):
            if isinstance(inner, (k.Store, k.Accumulate)) and inner.array == store.array:
                last = number
            for expr in k.statement_expressions(inner):
                if any(isinstance(part, k.Load) and part.array == store.array for part in k.walk(expr)):
                    last = number
    return (*body[: last + 1], store, *body[last + 1 :])
