"""A cell forwards and backwards as two kernels, with as little kept between them as the backward pass needs.

What the reverse of a cell reads of the forward pass is either kept, one number for each step, neuron and sample, or computed again. The
choice is a smallest cut in the graph of the forward values: between what is there anyway (parameters, inputs that do not change) and what
is read. A leaky integrate-and-fire neuron keeps its membrane potential alone.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from itertools import pairwise

from snnlang.codegen import kernel as k
from snnlang.codegen.adjoint import BAR, Reverse, Surrogate, bar, reverse, without_detach
from snnlang.codegen.cell import Cell, Parameter
from snnlang.codegen.simplify import rebuild, simplify_kernel
from snnlang.codegen.written import written_reverse
from snnlang.frozen import dataclass

KEPT, OUT = "__kept", "__out"
I = k.Local("i", "int")
#: The number of the neuron in its population where a value depends on it; ``i`` numbers draws, whose samples differ.
NEURON = k.Local("neuron", "int")
_FREE = 1e-3
_ENDLESS = 1e9


@dataclass(frozen=True, slots=True)
class Passes:
    """``forward`` loads ``carried`` values, inputs and parameters, and stores ``carried``, ``NAME__out`` and ``NAME__kept``;
    ``backward`` loads
    what was kept, ``NAME__bar`` of carried values and outputs, stores ``NAME__bar`` of carried values and inputs and adds to ``NAME__bar``
    of parameters. All are arrays of one number per neuron, loaded at ``i``; parameters as their ``Parameter`` says.
    ``kept`` are names of the cell; inputs among them are read as they came. ``ends`` are carried names whose values after the last step of
    a sample the backward pass reads. Truths are stored as the real numbers 0 and 1.
    """

    cell: Cell
    outputs: tuple[str, ...]
    wanted: tuple[str, ...]
    carried: tuple[str, ...]
    turned: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    trained: tuple[str, ...]
    kept: tuple[str, ...]
    ends: tuple[str, ...]
    forward: k.Kernel
    backward: k.Kernel


def passes(
    cell: Cell,
    outputs: tuple[str, ...],
    wanted: tuple[str, ...],
    surrogate: Surrogate,
    trained: frozenset[str],
    constant: frozenset[str] = frozenset(),
    resets: bool = True,
) -> Passes:
    """Both kernels. ``outputs`` are what the forward pass must store, ``wanted`` those of them whose adjoint is given, ``trained`` the
    parameters whose adjoint is wanted, ``constant`` the inputs that are the same in every step, ``resets`` whether gradients
    pass resets."""
    if cell.written is None:
        back = reverse(cell, wanted, surrogate, trained, resets)
    else:
        trained &= set(cell.written.parameters)
        back = written_reverse(cell, wanted, trained)
    kept = _cut(cell, back, constant)
    stored_inputs = set(kept) & set(cell.inputs)
    made = Passes(
        cell,
        outputs,
        wanted,
        tuple(c.name for c in cell.carried),
        tuple(back.carried),
        cell.parameters,
        tuple(sorted(trained)),
        kept,
        _ends(cell, back),
        k.Kernel(f"{cell.name}_forward", f"{cell.name}: one step forward", k.Each(cell.size), ()),
        k.Kernel(f"{cell.name}_backward", f"{cell.name}: one step backward", k.Each(cell.size), ()),
    )
    forward = replace(made.forward, body=_forward(cell, outputs, tuple(n for n in kept if n not in stored_inputs)))
    backward = replace(made.backward, body=_backward(cell, back, kept))
    return replace(made, forward=simplify_kernel(_numbered(forward)), backward=simplify_kernel(_numbered(backward)))


def _numbered(kernel: k.Kernel) -> k.Kernel:
    """A kernel in which values that depend on the neuron's number read :data:`NEURON`."""

    def value(expr: k.Expr) -> k.Expr:
        if isinstance(expr, k.Draw | k.Load):
            return expr
        return NEURON if expr == I else rebuild(expr, value)

    body = tuple(
        replace(s, value=value(s.value)) if isinstance(s, k.Let | k.Store | k.Accumulate) else s for s in kernel.body
    )
    return replace(kernel, body=body)


def _ends(cell: Cell, back: Reverse) -> tuple[str, ...]:
    """What a written backward pass reads of the end of a sample."""
    if cell.written is None:
        return ()
    values = [*(let.value for let in back.body), *back.inputs.values(), *back.parameters.values()]
    read = {name for value in values for name in _names(value)}
    return tuple(name for name in cell.written.ends if name in read)


def _types(cell: Cell) -> dict[str, k.Type]:
    types: dict[str, k.Type] = {let.name: let.type for let in cell.body}
    types.update({c.name: c.type for c in cell.carried})
    return types


def _as_stored(value: k.Expr) -> k.Expr:
    return k.Call("real", (value,), "real") if value.type == "bool" else value


class _Loader:
    """Lets that load names, and the rewriting of ``real(truth)`` to the stored number itself."""

    def __init__(self, cell: Cell) -> None:
        self.types = _types(cell)
        self.numbers: set[str] = set()

    def load(self, name: str, array: str) -> list[k.Statement]:
        type = self.types.get(name, "real")
        if type == "bool":
            self.numbers.add(name)
            number = k.Local(f"{name}__number", "real")
            test = k.Compare("!=", number, k.Const(0.0))
            return [k.Let(number.name, k.Load(array, I)), k.Let(name, test, "", "bool")]
        return [k.Let(name, k.Load(array, I, type), "", type)]

    def clean(self, expr: k.Expr) -> k.Expr:
        return self._numbered(without_detach(expr))

    def _numbered(self, expr: k.Expr) -> k.Expr:
        match expr:
            case k.Call(function="real", arguments=(k.Local(name=name),)) if name in self.numbers:
                return k.Local(f"{name}__number", "real")
        return rebuild(expr, self._numbered)


def _parameters(cell: Cell) -> list[k.Statement]:
    return [k.Let(p.array, k.Load(p.array, p.index, p.type), "", p.type) for p in cell.parameters]


def _forward(cell: Cell, outputs: tuple[str, ...], kept: tuple[str, ...]) -> tuple[k.Statement, ...]:
    loader = _Loader(cell)
    body: list[k.Statement] = _parameters(cell)
    for carried in cell.carried:
        body += loader.load(carried.name, carried.name)
    body += [k.Let(name, k.Load(name, I)) for name in cell.inputs]
    body += [replace(let, value=loader.clean(let.value)) for let in cell.body]
    types = _types(cell)
    for name in kept:
        body.append(k.Store(name + KEPT, I, loader.clean(_as_stored(k.Local(name, types.get(name, "real"))))))
    for name in outputs:
        value = cell.outputs.get(name, k.Const(0.0))
        body.append(k.Store(name + OUT, I, loader.clean(_as_stored(value))))
    for carried in cell.carried:
        body.append(k.Store(carried.name, I, loader.clean(_as_stored(carried.after))))
    return tuple(body)


def _backward(cell: Cell, back: Reverse, kept: tuple[str, ...]) -> tuple[k.Statement, ...]:
    loader = _Loader(cell)
    needed = _needed(cell, back, kept)
    body: list[k.Statement] = _parameters(cell)
    for name in kept:
        body += loader.load(name, name if name in cell.inputs else name + KEPT)
    body += [k.Let(name, k.Load(name, I)) for name in _ends(cell, back)]
    for let in cell.body:
        if let.name in needed and let.name not in kept:
            body.append(replace(let, value=loader.clean(let.value)))
    for name in (*back.carried, *back.outputs):
        body.append(k.Let(name + BAR, k.Load(name + BAR, I)))
    renamed = {name + BAR for name in (*back.carried, *back.outputs)}
    for let in back.body:
        assert let.name not in renamed, let.name
        body.append(replace(let, value=loader.clean(let.value)))
    sources = cell.written.sources if cell.written is not None else {}
    for name, value in back.inputs.items():
        body.append(k.Store(name + BAR, I, loader.clean(value), sources.get(name, "")))
    for name, value in back.parameters.items():
        index = next(p.index for p in cell.parameters if p.array == name)
        body.append(k.Accumulate(name + BAR, index, loader.clean(value)))
    for name, value in back.carried.items():
        body.append(k.Store(name + BAR, I, loader.clean(value)))
    return tuple(body)


# --- what is kept -----------------------------------------------------------------------------------------------------


def _names(expr: k.Expr) -> list[str]:
    return [part.name for part in k.walk(expr) if isinstance(part, k.Local)]


def _read(cell: Cell, back: Reverse) -> list[str]:
    """The forward names that the reverse reads."""
    known = {let.name for let in cell.body} | {c.name for c in cell.carried} | set(cell.inputs)
    known -= set(cell.written.ends) if cell.written is not None else set()
    values = [let.value for let in back.body]
    values += [*back.carried.values(), *back.inputs.values(), *back.parameters.values()]
    return list(dict.fromkeys(name for value in values for name in _names(value) if name in known))


def _needed(cell: Cell, back: Reverse, kept: tuple[str, ...]) -> set[str]:
    """The forward names that must be there or be computed again, given what is kept."""
    values = {let.name: let.value for let in cell.body}
    needed: set[str] = set()
    waiting = _read(cell, back)
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in values and name not in kept:
            waiting += _names(values[name])
    return needed


def _cut(cell: Cell, back: Reverse, constant: frozenset[str]) -> tuple[str, ...]:
    """The cheapest set of values from which all that the reverse reads can be computed: a smallest vertex cut (Ford & Fulkerson 1956).

    Of equal cuts the one nearest to what is read, so that least is computed again.
    """
    values = {let.name: let.value for let in cell.body}
    leaves = [c.name for c in cell.carried] + list(cell.inputs)
    cost = {name: 1.0 for name in (*values, *leaves)}
    cost.update({name: _FREE if name in constant else 0.9 for name in cell.inputs})
    network: dict[str, dict[str, float]] = {}

    def edge(a: str, b: str, capacity: float) -> None:
        network.setdefault(a, {})[b] = network.get(a, {}).get(b, 0.0) + capacity
        network.setdefault(b, {}).setdefault(a, 0.0)

    for name in (*values, *leaves):
        edge(name + "<", name + ">", cost[name])
    for name in leaves:
        edge("source", name + "<", _ENDLESS)
    for name, value in values.items():
        for operand in dict.fromkeys(_names(value)):
            if operand in cost:
                edge(operand + ">", name + "<", _ENDLESS)
    for name in _read(cell, back):
        edge(name + ">", "sink", _ENDLESS)
    if "sink" not in network or "source" not in network:
        return ()
    while True:
        came: dict[str, str] = {"source": ""}
        queue = deque(["source"])
        while queue and "sink" not in came:
            at = queue.popleft()
            for to, room in network[at].items():
                if room > 1e-9 and to not in came:
                    came[to] = at
                    queue.append(to)
        if "sink" not in came:
            break
        path = ["sink"]
        while came[path[-1]]:
            path.append(came[path[-1]])
        room = min(network[b][a] for a, b in pairwise(path))
        for a, b in pairwise(path):
            network[b][a] -= room
            network[a][b] += room
    reaches = {"sink"}
    waiting = ["sink"]
    while waiting:
        at = waiting.pop()
        for other in network[at]:
            if other not in reaches and network[other].get(at, 0.0) > 1e-9:
                reaches.add(other)
                waiting.append(other)
    return tuple(name for name in (*leaves, *values) if name + ">" in reaches and name + "<" not in reaches)


__all__ = ["BAR", "KEPT", "OUT", "Passes", "bar", "passes"]
