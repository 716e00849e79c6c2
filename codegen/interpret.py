"""Runs a Plan slowly and obviously, item by item, in Python's own floats and ints: the oracle that printed code is compared with.

Nothing is vectorised, fused, reordered or simplified, and nothing is shared with the printers but the synapses
themselves (a slow generator in the tests checks those). Single precision is kept by rounding every real result.
Arithmetic never traps: like the hardware it gives inf or nan.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from typing import Any

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen import random
from snnlang.codegen.connectivity import Built, generate

Value = float | int | bool
Names = dict[str, Value]


class Interpreter:
    """The memory of a plan and the meaning of its nodes.

    ``arrays`` maps a name to its slots (one list per step of the ring), ``lists`` to its slots of indices, ``queues``
    to its slots of synapses.
    """

    def __init__(self, plan: p.Plan) -> None:
        self.plan = plan
        self.step = 0
        self.single = plan.precision == "single"
        self.built: dict[str, Built] = {
            name: generate(c, plan.streams[c.stream] if c.stream else None) for name, c in plan.connectivities.items()
        }
        self.pairs = {name: tuple(side.tolist() for side in built.pairs) for name, built in self.built.items()}
        self.outgoing: dict[str, dict[int, list[int]]] = {}
        self.incoming: dict[str, dict[int, list[int]]] = {}
        for name, (pre, post) in self.pairs.items():
            self.outgoing[name], self.incoming[name] = {}, {}
            for synapse in range(len(pre)):
                if not self.plan.connectivities[name].autapses and pre[synapse] == post[synapse]:
                    continue
                self.outgoing[name].setdefault(pre[synapse], []).append(synapse)
                self.incoming[name].setdefault(post[synapse], []).append(synapse)
        self.arrays = {array.name: self._allocate(array) for array in plan.arrays.values()}
        self.lists: dict[str, list[list[int]]] = {e.name: [[] for _ in range(e.depth)] for e in plan.lists.values()}
        self.queues: dict[str, list[list[int]]] = {q.name: [[] for _ in range(q.depth)] for q in plan.queues.values()}
        self.records: dict[str, list[tuple[int, Any]]] = {recorder.label: [] for recorder in plan.recorders}

    def _allocate(self, array: p.Array) -> list[list[Value]]:
        if array.connectivity is None:
            size = math.prod(array.shape)
        elif array.shared:
            size = self.plan.connectivities[array.connectivity].shared_size
        else:
            size = self.built[array.connectivity].n
        if array.data is not None:
            flat = [self._typed(value, array.type) for value in array.data.ravel().tolist()]
            if len(flat) == size * array.depth:
                return [flat[slot * size : (slot + 1) * size] for slot in range(array.depth)]
            return [list(flat) for _ in range(array.depth)]
        return [[self._typed(array.fill, array.type)] * size for _ in range(array.depth)]

    def _typed(self, value: Any, type: k.Type) -> Value:
        if type == "int":
            return int(value)
        if type == "bool":
            return bool(value)
        return self._round(float(value))

    def _round(self, value: float) -> float:
        if not self.single or math.isnan(value) or math.isinf(value):
            return value
        try:
            return float(struct.unpack("f", struct.pack("f", value))[0])
        except OverflowError:
            return math.copysign(math.inf, value)

    # --- whole phases -------------------------------------------------------------------------------------------------

    def setup(self) -> None:
        self.nodes(self.plan.setup)

    def coefficients(self) -> None:
        self.nodes(self.plan.coefficients)

    def trial_start(self, step: int | None = None) -> None:
        if step is not None:
            self.step = step
        for kept in (*self.lists.values(), *self.queues.values()):
            for waiting in kept:
                waiting.clear()
        for array in self.plan.arrays.values():
            if array.role in ("hold", "clock", "history", "scratch"):
                value = self._typed(array.fill, array.type)
                self.arrays[array.name] = [[value] * len(slot) for slot in self.arrays[array.name]]
        self.nodes(self.plan.trial_start)

    def run(self, first: int, count: int) -> None:
        for self.step in range(first, first + count):
            self.nodes(self.plan.step)
            for recorder in self.plan.recorders:
                self._record(recorder)
        self.step = first + count

    def trial_end(self) -> None:
        self.nodes(self.plan.trial_end)

    def _record(self, recorder: p.EventRecorder | p.ValueRecorder) -> None:
        match recorder:
            case p.EventRecorder(label=label, list=name, indices=indices):
                wanted = None if indices is None else set(indices.tolist())
                for index in self.lists[name][self.step % len(self.lists[name])]:
                    if wanted is None or index in wanted:
                        self.records[label].append((self.step, index))
            case p.ValueRecorder(label=label, array=name, indices=indices, every=every):
                if (self.step + 1) % every == 0:
                    values = self.arrays[name][self.step % len(self.arrays[name])]
                    self.records[label].append(
                        (self.step, list(values) if indices is None else [values[i] for i in indices.tolist()])
                    )

    # --- nodes --------------------------------------------------------------------------------------------------------

    def nodes(self, nodes: tuple[p.PlanNode, ...]) -> None:
        for node in nodes:
            self._node(node)

    def _node(self, node: p.PlanNode) -> None:
        match node:
            case p.Launch(kernel=kernel):
                for names in self._items(kernel.domain):
                    self._body(kernel.body, names)
            case p.Fill(array=name, value=value, lag=lag):
                slots = self.arrays[name]
                slot = slots[(self.step - lag) % len(slots)]
                slot[:] = [self._typed(value, self.plan.arrays[name].type)] * len(slot)
            case p.ClearList(list=name):
                self._list(name).clear()
            case p.Enqueue(queue=queue, connectivity=connectivity, list=name, delays=delays, side=side, lag=lag):
                for item in self._list(name, lag):
                    for synapse in self._fan(connectivity, side, item):
                        steps = self.arrays[delays][0]
                        wait = max(0, int(steps[0 if len(steps) == 1 else synapse]) - lag)
                        waiting = self.queues[queue]
                        waiting[(self.step + wait) % len(waiting)].append(synapse)
            case p.ClearQueue(queue=queue):
                self.queues[queue][self.step % len(self.queues[queue])].clear()
            case p.Reduce():
                self._reduce(node)
            case p.SynapseReduce():
                self._reduce_synapses(node)
            case p.Every(period=period, body=body):
                if (self.step + 1) % period == 0:
                    self.nodes(body)
            case p.AtStep(step=step, body=body):
                if self.step == step:
                    self.nodes(body)
            case p.Settle(list=name, limit=limit, body=body):
                for _ in range(limit):
                    before = list(self._list(name))
                    self.nodes(body)
                    if self._list(name) == before:
                        break
            case p.Schedule(list=name, steps=steps, indices=indices):
                for when, index in zip(self.arrays[steps][0], self.arrays[indices][0]):
                    if when == self.step:
                        self._append(name, int(index))

    def _list(self, name: str, lag: int = 0) -> list[int]:
        slots = self.lists[name]
        return slots[(self.step - lag) % len(slots)]

    def _append(self, name: str, index: int) -> None:
        items = self._list(name)
        if index not in items:
            items.append(index)
            items.sort()

    def _fan(self, connectivity: str, side: str, item: int) -> list[int]:
        return (self.outgoing if side == "pre" else self.incoming)[connectivity].get(item, [])

    def _items(self, domain: k.Domain) -> Iterator[Names]:
        match domain:
            case k.Single():
                yield {}
            case k.Each(size=size):
                for i in range(size):
                    yield {"i": i}
            case k.Listed(list=name, lag=lag):
                for i in list(self._list(name, lag)):
                    yield {"i": i}
            case k.Fan(connectivity=connectivity, side=side, list=name, lag=lag):
                for item in list(self._list(name, lag)):
                    for synapse in self._fan(connectivity, side, item):
                        yield self._synapse(connectivity, synapse)
            case k.Synapses(connectivity=connectivity):
                pre, post = self.pairs[connectivity]
                for synapse in range(len(pre)):
                    if self.plan.connectivities[connectivity].autapses or pre[synapse] != post[synapse]:
                        yield self._synapse(connectivity, synapse)
            case k.Arrivals(queue=queue, connectivity=connectivity):
                for synapse in list(self.queues[queue][self.step % len(self.queues[queue])]):
                    yield self._synapse(connectivity, synapse)

    def _synapse(self, connectivity: str, synapse: int) -> Names:
        pre, post = self.pairs[connectivity]
        names: Names = {"pre": pre[synapse], "post": post[synapse], "synapse": synapse}
        index = self.built[connectivity].weight_index
        if index is not None:
            names["shared"] = int(index[synapse])
        return names

    def _reduce(self, node: p.Reduce) -> None:
        source = self._current(node.source)
        groups = [0] * len(source) if node.groups is None else [int(g) for g in self._current(node.groups)]
        result = self._current(node.result)
        members: dict[int, list[int]] = {}
        for index, group in enumerate(groups):
            members.setdefault(group, []).append(index)
        for group, indices in members.items():
            values = [source[i] for i in indices]
            match node.operation:
                case "rank":
                    for place, i in enumerate(sorted(indices, key=lambda i: (-source[i], i))):
                        result[i] = self._typed(place, self.plan.arrays[node.result].type)
                    continue
                case "argmax":
                    value: Value = indices[values.index(max(values))]
                case "argmin":
                    value = indices[values.index(min(values))]
                case _:
                    value = _reduced(node.operation, values)
            result[group] = self._typed(value, self.plan.arrays[node.result].type)

    def _reduce_synapses(self, node: p.SynapseReduce) -> None:
        result = self._current(node.result)
        members = self.incoming[node.connectivity] if node.per == "post" else self.outgoing[node.connectivity]
        for index in range(len(result)):
            synapses = members.get(index, [])
            values: list[Value] = (
                [1] * len(synapses) if node.source is None else [self._current(node.source)[s] for s in synapses]
            )
            value = _reduced("sum" if node.operation == "count" else node.operation, values) if values else 0
            result[index] = self._typed(value, self.plan.arrays[node.result].type)

    def _current(self, name: str) -> list[Value]:
        slots = self.arrays[name]
        return slots[self.step % len(slots)]

    # --- statements and expressions -----------------------------------------------------------------------------------

    def _body(self, body: tuple[k.Statement, ...], names: Names) -> None:
        for statement in body:
            match statement:
                case k.Let(name=name, value=value, type=type):
                    names[name] = self._typed(self._value(value, names), type)
                case k.Store(array=array, index=index, value=value, lag=lag):
                    slot, position = self._place(array, index, lag, names)
                    slot[position] = self._typed(self._value(value, names), self.plan.arrays[array].type)
                case k.Accumulate(array=array, index=index, value=value, lag=lag):
                    slot, position = self._place(array, index, lag, names)
                    slot[position] = self._typed(
                        slot[position] + self._value(value, names), self.plan.arrays[array].type
                    )
                case k.If(condition=condition, body=inner, otherwise=otherwise):
                    self._body(inner if self._value(condition, names) else otherwise, names)
                case k.Append(list=name):
                    self._append(name, int(names["i"]))

    def _place(self, array: str, index: k.Expr | None, lag: k.Expr | None, names: Names) -> tuple[list[Value], int]:
        slots = self.arrays[array]
        back = 0 if lag is None else int(self._value(lag, names))
        return slots[(self.step - back) % len(slots)], 0 if index is None else int(self._value(index, names))

    def _value(self, expr: k.Expr, names: Names) -> Value:
        match expr:
            case k.Const(value=constant, type=type):
                return self._typed(constant, type)
            case k.Local(name="step"):
                return self.step
            case k.Local(name="t"):
                return (self.step + self.plan.time_offset) * self.plan.dt
            case k.Local(name="dt"):
                return self.plan.dt
            case k.Local(name=name):
                return names[name]
            case k.Load(array=array, index=index, lag=lag):
                slot, position = self._place(array, index, lag, names)
                return slot[position]
            case k.Unary(operator="not", operand=operand):
                return not self._value(operand, names)
            case k.Unary(operand=operand):
                return -self._value(operand, names)
            case k.Binary(type="int", operator=operator, left=left, right=right):
                return _integer(operator, int(self._value(left, names)), int(self._value(right, names)))
            case k.Binary(operator=operator, left=left, right=right):
                return self._round(_real(operator, float(self._value(left, names)), float(self._value(right, names))))
            case k.Compare(operator=operator, left=left, right=right):
                return _COMPARE[operator](self._value(left, names), self._value(right, names))
            case k.Logic(operator="and", left=left, right=right):
                return bool(self._value(left, names)) and bool(self._value(right, names))
            case k.Logic(left=left, right=right):
                return bool(self._value(left, names)) or bool(self._value(right, names))
            case k.Choose(condition=condition, value=value, otherwise=otherwise, type=type):
                return self._typed(self._value(value if self._value(condition, names) else otherwise, names), type)
            case k.Call(function="int", arguments=(argument,)):
                return _whole(self._value(argument, names))
            case k.Call(function="real", arguments=(argument,)):
                return self._round(float(self._value(argument, names)))
            case k.Call(function=function, arguments=arguments, type=type):
                return self._typed(_call(function, [self._value(a, names) for a in arguments]), type)
            case k.Draw(distribution=distribution, stream=stream, index=index, counter=counter):
                draw = random.uniform if distribution == "uniform" else random.normal
                return draw(
                    self.plan.streams[stream].key,
                    int(self._value(index, names)),
                    int(self._value(counter, names)),
                    self.single,
                )


_COMPARE: dict[str, Callable[[Value, Value], bool]] = {
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
}  # fmt: skip


def _reduced(operation: str, values: list[Value]) -> Value:
    match operation:
        case "sum":
            return sum(values)
        case "mean":
            return sum(values) / len(values)
        case "max":
            return max(values)
    return min(values)


def _integer(operator: str, a: int, b: int) -> int:
    match operator:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "/":
            return a // b if b else 0
        case "%":
            return a % b if b else 0
    return int(a**b)


def _real(operator: str, a: float, b: float) -> float:
    match operator:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "/":
            if b == 0.0:
                return math.nan if a == 0.0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1.0, b)
            return a / b
        case "%":
            return _call("mod", [a, b])
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0.0 and b % 2.0 == 1.0 else math.inf
    except ValueError:
        return math.inf if a == 0.0 else math.nan


def _whole(value: Value) -> int:
    """Truncated; beyond 2^62 that limit, and for nan the lower one."""
    number = float(value)
    return int(min(max(number, -(2.0**62)), 2.0**62)) if number == number else -(2**62)


def _exprel(x: float) -> float:
    return 1.0 if x == 0.0 else math.expm1(x) / x


def _log(x: float) -> float:
    return -math.inf if x == 0.0 else math.log(x)


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x > -700.0 else math.exp(x)


def _mod(a: float, b: float) -> float:
    if b == 0.0 or math.isinf(a):
        return math.nan
    return a if math.isinf(b) and (a < 0.0) == (b < 0.0) else a % b


#: Poisson counts of a greater mean come from the normal distribution: the search takes as many steps as the count is large.
MANY = 1e5


def _poisson_quantile(u: float, mean: float) -> float:
    """The smallest k whose cumulative probability exceeds u; terms by their logarithm, so that a large mean does not underflow."""
    if not mean > 0.0:
        return 0.0
    if mean > MANY:
        return _many(u, mean)
    logarithm, count = -mean, 0
    total = math.exp(logarithm)
    while total <= u and count < mean + 40.0 * math.sqrt(mean) + 100.0:
        count += 1
        logarithm += math.log(mean / count)
        total += math.exp(logarithm)
    return float(count)


def _many(u: float, mean: float) -> float:
    """The same of a mean that no search reaches: the first two terms of Cornish and Fisher (1938), right to a hundredth of a count."""
    from statistics import NormalDist

    if math.isinf(mean):
        return mean
    z = NormalDist().inv_cdf(max(u, 2.0**-54))
    return float(math.floor(mean + math.sqrt(mean) * z + (z * z - 1.0) / 6.0 + 0.5))


def _gamma_quantile(u: float, shape: float) -> float:
    """Where the regularised lower incomplete gamma function of a shape reaches u: by bisection on its series."""

    def reached(x: float) -> float:
        term = total = 1.0 / shape
        n = 1
        while term > 1e-18 * total:
            term *= x / (shape + n)
            total += term
            n += 1
        return total * math.exp(shape * math.log(x) - x - math.lgamma(shape))

    if u <= 0.0:
        return 0.0
    low, high = 0.0, shape + 1.0
    while reached(high) < u and high < 1e6:
        high *= 2.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (low, middle) if reached(middle) >= u else (middle, high)
    return high


_FUNCTIONS: dict[str, Callable[..., float]] = {
    "exp": math.exp, "log": _log, "log10": lambda x: -math.inf if x == 0.0 else math.log10(x),
    "log1p": lambda x: -math.inf if x == -1.0 else math.log1p(x), "expm1": math.expm1,
    "exprel": _exprel, "sqrt": math.sqrt, "abs": abs, "sign": lambda x: float((x > 0) - (x < 0)),
    "floor": lambda x: x if math.isinf(x) else float(math.floor(x)), "ceil": lambda x: x if math.isinf(x) else float(math.ceil(x)),
    "round": lambda x: x if math.isinf(x) else float(round(x)),
    "sin": math.sin, "cos": math.cos, "tan": math.tan, "asin": math.asin, "acos": math.acos, "atan": math.atan, "sinh": math.sinh,
    "cosh": math.cosh, "tanh": math.tanh, "sigmoid": _sigmoid, "relu": lambda x: max(x, 0.0),
    "softplus": lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))), "erf": math.erf,
    "heaviside": lambda x: 1.0 if x >= 0.0 else 0.0, "min": min, "max": max, "atan2": math.atan2, "mod": _mod,
    "clip": lambda x, low, high: min(max(x, low), high), "poisson_quantile": _poisson_quantile, "gamma_quantile": _gamma_quantile,
}  # fmt: skip


def _call(function: str, arguments: list[Any]) -> float:
    if any(isinstance(a, float) and math.isnan(a) for a in arguments):
        return math.nan
    try:
        return _FUNCTIONS[function](*arguments)
    except OverflowError:
        return -math.inf if function == "sinh" and arguments[0] < 0 else math.inf
    except ValueError:
        return math.nan
