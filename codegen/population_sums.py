"""Sums and means over a population, of what its neurons had after the last step, in training: a connection of each neuron with all.

``all.mean(v)`` in a differential equation and ``all.sum(a[n-1])`` in a difference equation read states of before the step. Such a reduction
is linear and one step late, so that training takes it as a link within the population. One that reads values of this very step stands in
the middle of it, and others (the greatest, ranks, sums along an axis) choose or are many: they are left, and refused by the caller (E750).
"""

from __future__ import annotations

from dataclasses import replace

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.separate import NotSeparable, inlined
from snnlang.codegen.simplify import rebuild

I, PRE, POST = k.Local("i", "int"), k.Local("pre", "int"), k.Local("post", "int")
#: The pattern of such a connectivity.
ALL = "all"


def population_sums(plan: p.Plan) -> p.Plan:
    """The plan with those reductions as maps over a connectivity of the pattern :data:`ALL`."""
    for node in plan.step:
        if isinstance(node, p.Reduce) and node.operation in ("sum", "mean") and node.groups is None:
            found = _before(plan, node)
            if found is not None:
                plan = _linked(plan, node, *found)
    return plan


def _before(plan: p.Plan, node: p.Reduce) -> tuple[k.Expr, str] | None:
    """What is reduced, as a value of each neuron of one step ago or more, and the population; None where it is a value of this step."""
    stored: set[str] = set()
    for other in plan.step[: plan.step.index(node)]:
        if not isinstance(other, p.Launch):
            continue
        try:
            stores = inlined(other.kernel.body)
        except NotSeparable:
            stores = []
        for statement, _ in stores:
            if statement.array == node.source:
                late = _late(plan, statement.value, stored)
                return None if late is None else late
            stored.add(statement.array)
    return None


def _late(plan: p.Plan, value: k.Expr, stored: set[str]) -> tuple[k.Expr, str] | None:
    match value:
        case k.Call(function="real", arguments=(argument,)):
            found = _late(plan, argument, stored)
            return None if found is None else (k.Call("real", (found[0],)), found[1])
        case k.Load(array=array, index=index, lag=None) if index == I and array not in stored and plan.arrays[array].role == "state":
            return replace(value, index=PRE, lag=k.Const(1, "int")), plan.arrays[array].owner
        case k.Load(array=array, index=index, lag=k.Const(value=ago)) if index == I and ago >= 1:
            return replace(value, index=PRE), _storing(plan, array)
    return None


def _storing(plan: p.Plan, ring: str) -> str:
    """The population that keeps a past: the owner of what is stored together with it."""
    for node in plan.step:
        if isinstance(node, p.Launch):
            stores = [s.array for s in k.walk_statements(node.kernel.body) if isinstance(s, k.Store)]
            if ring in stores:
                owner = next((plan.arrays[array].owner for array in stores if plan.arrays[array].owner), "")
                if owner:
                    return owner
    return ""


def _linked(plan: p.Plan, node: p.Reduce, value: k.Expr, path: str) -> p.Plan:
    (size,) = plan.arrays[node.source].shape
    every, each = range(size), f"{node.result}_each"
    name = f"{node.result}_all"
    connectivity = p.Connectivity(name, "dense", size, size, every, every, ALL)
    scale = k.Const(1.0 / size if node.operation == "mean" else 1.0)
    title = f"{path}: {node.operation} over the population"
    carried = k.Kernel(name, title, k.Synapses(name), (k.Accumulate(each, POST, k.Binary("*", scale, value)),))

    def read(expr: k.Expr) -> k.Expr:
        if isinstance(expr, k.Load) and expr.array == node.result:
            return k.Load(each, I)
        return rebuild(expr, read)

    def changed(statement: k.Statement) -> list[k.Statement]:
        match statement:
            case k.Store(array=array) if array == node.source:
                return []
            case k.Let(value=inner) | k.Store(value=inner) | k.Accumulate(value=inner):
                return [replace(statement, value=read(inner))]
            case k.If(condition=condition, body=body, otherwise=otherwise):
                inside = [tuple(new for old in part for new in changed(old)) for part in (body, otherwise)]
                return [replace(statement, condition=read(condition), body=inside[0], otherwise=inside[1])]
        return [statement]

    step: list[p.PlanNode] = []
    for other in plan.step:
        if other is node:
            continue
        if isinstance(other, p.Launch) and isinstance(other.kernel.domain, k.Each):
            body = tuple(new for old in other.kernel.body for new in changed(old))
            other = p.Launch(replace(other.kernel, body=body))
            if not body:
                continue
        step.append(other)
    return replace(
        plan,
        arrays={**plan.arrays, each: p.Array(each, (size,), role="scratch", owner=path)},
        connectivities={**plan.connectivities, name: connectivity},
        step=(p.Launch(carried), *step),
    )


__all__ = ["ALL", "population_sums"]
