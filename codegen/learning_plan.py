"""A plan read as layers: cells (what neurons compute), links (what connections carry, linear in what is sent) and the order of both.

Simulating goes through all of a network step by step; training goes through all steps layer by layer wherever no cycle forbids it, so that
one matrix product serves all of them. :func:`learning_plan` finds the layers in a plan that was lowered for training. What is no equation,
event, handler or weighted connection is refused (E750).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.cell import Cell, cell_of, refusal
from snnlang.codegen.pooled_values import pooled_values
from snnlang.codegen.population_sums import population_sums
from snnlang.codegen.schedule import components
from snnlang.codegen.synapse_cells import is_bias, synapse_cells
from snnlang.diagnostics import Span, error
from snnlang.frozen import dataclass

LinkKind = Literal["event", "value", "bias"]
#: An input that a population hands on unchanged, as an output of its cell.
SENT = "__sent"


@dataclass(frozen=True, slots=True)
class Link:
    """A connection as a linear map: ``target`` receives ``scale`` times ``weight`` times ``source`` of ``lag`` steps ago.

    ``source`` is an event list (kind ``event``), an array (``value``), or nothing (``bias``: the weight itself). ``weight`` is an array of
    one number per synapse, per shared weight or per neuron, or of one number (shape ()), or "" (1); a bias has one for each ``places``
    neurons, which are a channel. ``factors`` are arrays of one number that multiply it. ``pool`` is ``max`` where the greatest of what
    arrives is taken instead of the sum. ``late``: of those synapses alone whose delay is so many steps
    (:mod:`snnlang.codegen.late_links`).
    """

    name: str
    kind: LinkKind
    source: str
    before: str
    lag: int
    target: str
    after: str
    connectivity: str
    weight: str
    scale: float
    factors: tuple[str, ...] = ()
    pool: Literal["", "max"] = ""
    span: Span | None = None
    late: int | None = None
    places: int = 1


@dataclass(frozen=True, slots=True)
class Layer:
    """Populations that must go through time together: one, or those of a cycle, in the order of their turns.

    ``links`` are those among them; those from outside are ready before, for all steps.
    """

    cells: tuple[str, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class LearningPlan:
    """``cells`` by population; ``arrivals`` the arrays in which arrivals of a step are summed, by population; ``inputs`` the network's."""

    plan: p.Plan
    inputs: tuple[str, ...]
    cells: dict[str, Cell]
    links: tuple[Link, ...]
    layers: tuple[Layer, ...]


def learning_plan(
    plan: p.Plan, populations: tuple[str, ...], inputs: tuple[str, ...], trained: frozenset[str] = frozenset()
) -> LearningPlan:
    """The layers of a plan, which :mod:`snnlang.codegen.pooled_values`, :mod:`snnlang.codegen.synapse_cells` and
    :mod:`snnlang.codegen.population_sums` rewrite first.
    ``populations`` and ``inputs`` are paths; ``trained`` are arrays of connections' parameters whose gradient is wanted. Raises E750
    and E780."""
    plan = population_sums(synapse_cells(pooled_values(plan), frozenset(populations), trained))
    nodes = [*_still(plan), *plan.step]
    links: list[Link] = []
    turns: dict[str, list[p.PlanNode]] = {}
    arriving: set[str] = {node.array for node in nodes if isinstance(node, p.Fill)}
    for node in nodes:
        match node:
            case p.Launch(kernel=kernel) if isinstance(kernel.domain, k.Fan | k.Synapses):
                link = _link(plan, kernel)
                links.append(link)
                arriving.add(link.target)
            case p.Launch(kernel=kernel) if is_bias(plan.arrays, kernel):
                links.append(_bias_link(plan, kernel))
            case p.Launch(kernel=kernel) if isinstance(kernel.domain, k.Each):
                turns.setdefault(_owner(plan, kernel, populations), []).append(node)
            case p.Fill() | p.ClearList():
                continue
            case p.Launch(kernel=kernel):
                raise refusal(plan.name, f"`{kernel.title}`", kernel.span)
            case p.Reduce(operation=operation, result=result):
                raise refusal(plan.name, f"`all.{operation}` of values of this very step", _reader(plan, result))
            case _:
                raise refusal(plan.name, f"a step of kind {type(node).__name__}")
    readers = {
        e.array: path
        for path, turn in turns.items()
        for node in turn
        if isinstance(node, p.Launch)
        for statement in k.walk_statements(node.kernel.body)
        for top in k.statement_expressions(statement)
        for e in k.walk(top)
        if isinstance(e, k.Load)
    }
    links = [replace(link, after=readers[link.target]) for link in links if link.target in readers]
    cells = {path: cell_of(path, turn, plan, frozenset(arriving)) for path, turn in turns.items()}
    cells = {path: cell if path in populations else replace(cell, connection=True) for path, cell in cells.items()}
    senders = {output: path for path, cell in cells.items() for output in cell.outputs}
    links = [  # what is kept of outputs for late arrivals has no owner of its own
        replace(link, before=senders[link.source]) if not link.before and link.source in senders else link for link in links
    ]
    for number, link in enumerate(links):
        cell = cells.get(link.before)
        if cell is not None and link.source in cell.inputs:  # what came in goes on: a relay
            name = link.source + SENT
            outputs = {**cell.outputs, name: k.Local(link.source)}
            cells[link.before] = replace(cell, outputs=outputs)
            links[number] = replace(link, source=name)
    layers = layers_of(tuple(cells), links)
    return LearningPlan(plan, tuple(i for i in inputs if i in plan.arrays), cells, tuple(links), layers)


def _reader(plan: p.Plan, array: str) -> Span | None:
    """The place of what reads an array."""
    for node in plan.step:
        if isinstance(node, p.Launch):
            values = [e for s in k.walk_statements(node.kernel.body) for top in k.statement_expressions(s) for e in k.walk(top)]
            if any(isinstance(e, k.Load) and e.array == array for e in values):
                return node.kernel.span
    return None


def _still(plan: p.Plan) -> Iterator[p.PlanNode]:
    """What arrives unchanged in every step stands among the coefficients of a plan."""
    for node in plan.coefficients:
        match node:
            case p.Fill():
                yield node
            case p.Launch(kernel=kernel) if isinstance(kernel.domain, k.Synapses) or is_bias(plan.arrays, kernel):
                yield node


def _bias_link(plan: p.Plan, kernel: k.Kernel) -> Link:
    statement = kernel.body[0]
    assert isinstance(statement, k.Accumulate)
    assert isinstance(statement.value, k.Load)
    target, weight = plan.arrays[statement.array], plan.arrays[statement.value.array]
    places = math.prod(target.shape) // math.prod(weight.shape)
    return Link(
        kernel.title, "bias", "", "", 0, target.name, target.owner, "", weight.name, 1.0, span=kernel.span, places=places
    )


def _owner(plan: p.Plan, kernel: k.Kernel, populations: tuple[str, ...]) -> str:
    """The population whose turn a kernel is part of: that of an array it stores, else the connection that keeps something there."""
    found: list[str] = []
    for statement in k.walk_statements(kernel.body):
        if isinstance(statement, k.Store | k.Accumulate):
            found.append(plan.arrays[statement.array].owner)
        elif isinstance(statement, k.Append):
            found.append(plan.lists[statement.list].owner)
    for path in found:
        if path in populations:
            return path
    return next((path for path in found if path), kernel.title)


def _link(plan: p.Plan, kernel: k.Kernel) -> Link:
    """A launch over synapses as a linear map."""
    pool: Literal["", "max"] = ""
    match kernel.body:
        case (k.Accumulate(array=target, index=k.Local(name="post"), value=value, lag=None | k.Const(value=0)),):
            pass
        case (k.Store(array=target, index=k.Local(name="post"), value=value),):
            pool = "max"
        case _:
            raise refusal(plan.name, f"`{kernel.title}`, which does more than carry weights", kernel.span)
    domain = kernel.domain
    after = plan.arrays[target].owner
    if isinstance(domain, k.Fan):
        if domain.side != "pre":
            raise refusal(plan.name, f"`{kernel.title}`, which looks back along its connection", kernel.span)
        kind: LinkKind = "event"
        source, lag, connectivity = domain.list, domain.lag, domain.connectivity
        before = plan.lists[source].owner
    else:
        assert isinstance(domain, k.Synapses)
        kind, source, lag, connectivity, before = "value", "", 0, domain.connectivity, ""
    weight, scale = "", 1.0
    factors: list[str] = []
    for factor in _factors(value):
        match factor:
            case k.Const(value=number):
                scale *= float(number)
            case k.Load(array=array, index=k.Local(name="pre"), lag=back) if kind == "value" and not source:
                source, before = array, plan.arrays[array].owner
                lag = 0 if back is None else int(back.value) if isinstance(back, k.Const) else -1
                if lag < 0:
                    raise refusal(plan.name, f"`{kernel.title}`, whose delay differs between synapses", kernel.span)
            case k.Load(array=array, index=None) if plan.arrays[array].role != "weight":
                factors.append(array)
            case k.Load(array=array, index=None | k.Local(name="synapse" | "shared" | "post")) if not weight:
                weight = array
            case k.Load(array=array, index=index) if not weight and _is_tied(plan, array, connectivity, index):
                weight = array
            case _:
                raise error(
                    "E750",
                    f"{kernel.title} cannot be trained: what it delivers is no product of a weight and of what is sent",
                    kernel.span,
                    help="put the nonlinear part into the neuron that receives it",
                )
    if kind == "value" and not source:
        raise refusal(plan.name, f"`{kernel.title}`, which depends on no source", kernel.span)
    return Link(
        kernel.title,
        kind,
        source,
        before,
        lag,
        target,
        after,
        connectivity,
        weight,
        scale,
        tuple(factors),
        pool,
        kernel.span,
    )


def _is_tied(plan: p.Plan, array: str, connectivity: str, index: k.Expr | None) -> bool:
    """Whether a weight is the transposed one of another connection: read at a place that both ends of the synapse tell."""
    described = plan.arrays[array]
    if index is None or described.role != "weight" or described.owner == plan.connectivities[connectivity].owner:
        return False
    return {e.name for e in k.walk(index) if isinstance(e, k.Local)} == {"pre", "post"}


def _factors(expr: k.Expr) -> Iterator[k.Expr]:
    match expr:
        case k.Binary(operator="*", left=left, right=right):
            yield from _factors(left)
            yield from _factors(right)
        case k.Unary(operator="-", operand=operand):
            yield k.Const(-1.0)
            yield from _factors(operand)
        case k.Call(function="real", arguments=(argument,)):
            yield argument
        case _:
            yield expr


def layers_of(paths: tuple[str, ...], links: list[Link]) -> tuple[Layer, ...]:
    """Cycles found and put in order, sources first."""
    edges = [(link.before, link.after) for link in links if link.before in paths]
    number = components(list(paths), edges)
    members: dict[int, list[str]] = {}
    for path in paths:
        members.setdefault(number[path], []).append(path)
    waiting = dict(members)
    layers: list[Layer] = []
    done: set[str] = set()
    while waiting:
        for key, cells in waiting.items():
            feeding = {a for a, b in edges if b in cells and a not in cells}
            if feeding <= done:
                inside = tuple(link for link in links if link.before in cells and link.after in cells)
                layers.append(Layer(tuple(cells), inside))
                done |= set(cells)
                del waiting[key]
                break
        else:
            raise AssertionError("components of a graph always have an order")
    return tuple(layers)
