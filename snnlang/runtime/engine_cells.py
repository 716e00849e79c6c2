"""What an engine of training is given beside the plan, and what it makes of each cell: its modes, its passes, and the arrays they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen import kernel as k
from snnlang.codegen.cell import Cell
from snnlang.codegen.passes import Passes
from snnlang.codegen.passes_layout import Mode, Slot
from snnlang.frozen import dataclass, field
from snnlang.runtime.batch_norm import Stage
from snnlang.runtime.native_products import NativeDense
from snnlang.runtime.pass_runner import Prepared
from snnlang.runtime.products import Product

Values = NDArray[Any]
_MODES: tuple[Mode, ...] = ("each", "sum")


@dataclass(frozen=True, slots=True)
class Readout:
    """What the loss sees of a population: ``output`` (an array or an event list of the plan) in every step, or, with ``weights``
    (steps,), its
    weighted sum over the steps."""

    label: str
    population: str
    output: str
    weights: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the engine is given beside the plan: how each link multiplies, the numbers of all arrays, which weights and parameters are
    trained, and where their gradients go (arrays of the same shapes; those that are not given are made). ``trained_states`` are
    states whose initial values are asked for, one for each neuron."""

    products: Mapping[str, Product]
    values: Mapping[str, Values]
    initial: Mapping[str, Values]
    trained_weights: frozenset[str]
    trained_parameters: frozenset[str]
    gradients: Mapping[str, Values]
    trained_states: frozenset[str] = frozenset()
    stages: Mapping[str, Stage] = field(default_factory=dict)  # batch normalisations by link


@dataclass(frozen=True, slots=True)
class Pending:
    """A weight's gradient that is still a product: ``product`` makes it from what was ``sent`` and the adjoints of what ``arrived``, whole
    in ``total`` or some rows at a time."""

    product: NativeDense
    sent: Values
    arrived: Values
    total: Values


class CellRun:
    """One cell with its modes, passes and buffers."""

    def __init__(self, path: str, cell: Cell) -> None:
        self.path = path
        self.cell = cell
        self.input_modes: dict[str, tuple[Mode, ...]] = {name: () for name in cell.inputs}
        self.output_modes: dict[str, tuple[Mode, ...]] = {}
        self.adjoint_modes: dict[str, tuple[Mode, ...]] = {}
        self.weights: dict[str, Values] = {}  # output -> weights of its sum
        self.still = False
        self.passes: Passes
        self.forward_slots: tuple[Slot, ...] = ()
        self.infer_slots: tuple[Slot, ...] = ()
        self.backward_slots: tuple[Slot, ...] = ()

    @cached_property
    def flat(self) -> bool:
        """Whether neurons of all samples may be counted through: no parameter differs between them and nothing is drawn."""
        draws = any(isinstance(e, k.Draw) for let in self.cell.body for e in k.walk(let.value))
        index = any(isinstance(e, k.Local) and e.name == "i" for let in self.cell.body for e in k.walk(let.value))
        return not draws and not index and all(p.index is None for p in self.cell.parameters)

    def want(self, output: str, mode: Mode, weights: Values | None = None) -> None:
        """Somebody reads an output in this form."""
        if weights is not None:
            self.weights[output] = weights
        found = {*self.output_modes.get(output, ()), mode}
        self.output_modes[output] = tuple(m for m in _MODES if m in found)
        self.adjoint_modes[output] = self.output_modes[output]


def prepare(slots: Sequence[Slot], given: Sequence[Values], batch: int, size: int) -> Prepared:
    """The arrays in the shapes that a pass of ``batch`` samples of ``size`` neurons wants."""
    shaped: list[Values] = []
    for slot, value in zip(slots, given):
        if slot.kind in ("carried", "once", "sum"):
            shaped.append(value.reshape(batch, size))
        elif slot.kind == "each":
            shaped.append(value.reshape(value.shape[0], batch, size))
        else:
            shaped.append(value)
    return Prepared(shaped)


def without(kernel: k.Kernel, suffix: str) -> k.Kernel:
    from dataclasses import replace

    from snnlang.codegen.simplify import simplify_kernel

    body = tuple(s for s in kernel.body if not (isinstance(s, k.Store) and s.array.endswith(suffix)))
    return simplify_kernel(replace(kernel, name=kernel.name + "_alone", body=body))


def indices(index: k.Expr, size: int) -> Values:
    """The numbers of an index expression of ``i`` for every neuron."""

    def value(expr: k.Expr) -> Values:
        match expr:
            case k.Const(value=number):
                return np.asarray(int(number))
            case k.Local(name="i"):
                return np.arange(size)
            case k.Binary(operator=operator, left=left, right=right):
                a, b = value(left), value(right)
                return {"+": a + b, "-": a - b, "*": a * b, "/": a // np.maximum(b, 1), "%": a % np.maximum(b, 1)}[
                    operator
                ]
        raise AssertionError(f"{index} is no index of a parameter")

    return np.broadcast_to(value(index), (size,))
