"""Linear readouts: which populations are filters, linear in what arrives and the same in every step, and what such a filter answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen import kernel as k
from snnlang.codegen.cell import Cell
from snnlang.codegen.passes import passes
from snnlang.codegen.passes_layout import Modes, forward_slots
from snnlang.runtime.pass_runner import NumpyRunner, Pass

if TYPE_CHECKING:
    from snnlang.runtime.engine_layout import Layout

Values = NDArray[Any]


def is_filter(cell: Cell, trained: frozenset[str]) -> bool:
    """Whether a cell is linear in its input and its past, the same in every step, without events and without anything to train."""
    if cell.written is not None:
        return False
    if cell.tests or trained & {p.array for p in cell.parameters} or any(p.index is not None for p in cell.parameters):
        return False
    moving = {c.name for c in cell.carried} | set(cell.inputs)
    values = {let.name: let.value for let in cell.body}

    def degree(expr: k.Expr) -> int:
        """0: fixed, 1: linear, 2: anything else."""
        match expr:
            case k.Const():
                return 0
            case k.Local(name=name):
                if name in ("step", "t", "i"):
                    return 2
                return 1 if name in moving else degree(values[name]) if name in values else 0
            case k.Unary(operator="-", operand=operand):
                return degree(operand)
            case k.Binary(operator="+" | "-", left=left, right=right):
                return max(degree(left), degree(right))
            case k.Binary(operator="*", left=left, right=right):
                return degree(left) + degree(right)
            case k.Binary(operator="/", left=left, right=right):
                return degree(left) + 2 * degree(right)
        return 2 if any(degree(operand) for operand in k.operands(expr)) or isinstance(expr, k.Draw) else 0

    return all(c.type == "real" and degree(c.after) <= 1 for c in cell.carried) and all(
        degree(value) <= 1 for value in cell.outputs.values()
    )


class Trial:
    """A cell alone, with one number as the input of its first step: for the response of a linear filter."""

    def __init__(self, engine: Layout, cell: Cell, output: str) -> None:
        self.engine, self.cell, self.output = engine, cell, output

    def run(self, steps: int, pulse: float, start: bool) -> Values:
        """(steps, size) of the output: from the initial states without input, or from zero with a pulse, the constant part taken away."""
        zero = self._run(steps, 0.0, False)
        return self._run(steps, 0.0, True) if start else self._run(steps, pulse, False) - zero

    def _run(self, steps: int, pulse: float, start: bool) -> Values:
        cell, wiring, down = self.cell, self.engine.wiring, self.engine.arrays.down
        made = passes(cell, (self.output,), (), lambda margin: margin, frozenset())
        name = cell.inputs[0]
        modes = Modes({name: ("each",)}, {self.output: ("each",)}, {})
        slots = forward_slots(made, modes)
        plan = self.engine.plan
        runner = NumpyRunner(
            [Pass("trial", made.forward, slots, False)], "double", {}, plan.dt, float(plan.time_offset)
        )
        given: list[Values] = []
        out = np.zeros((steps, 1, cell.size))
        for slot in slots:
            if slot.kind == "carried":
                array = next(c.array for c in cell.carried if c.name == slot.array)
                initial = wiring.initial.get(array)
                state = np.zeros((1, cell.size))
                if start and initial is not None:
                    state[...] = down(initial).reshape(-1, cell.size)[-1]
                given.append(state)
            elif slot.kind == "parameter":
                given.append(np.asarray(down(wiring.values[slot.array]), np.float64))
            elif slot.array == name:
                values = np.zeros((steps, 1, cell.size))
                values[0] = pulse
                given.append(values)
            else:
                given.append(out)
        runner.run("trial", given, 1, cell.size, 0, steps)
        return out[:, 0]
