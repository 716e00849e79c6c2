"""How near a neuron was to its threshold: the condition of one event of one neuron in one step, as the interpreter sees it.

Asked after two targets disagreed about an event: where both sides of the condition are equal to rounding, rounding decided it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from snnlang.codegen import kernel as k
from snnlang.codegen.interpret import Interpreter, Names, Value
from snnlang.codegen.plan import Launch, Plan, PlanNode
from snnlang.runtime.device_interpreter import InterpreterDevice
from snnlang.runtime.naming import Names as Named

if TYPE_CHECKING:
    from snnlang.compile import Point


class Watching(Interpreter):
    """An interpreter that notes how far apart the two sides of comparisons are, for one item of the kernels that fill one list."""

    def __init__(self, plan: Plan, list_name: str, index: int) -> None:
        super().__init__(plan)
        self.list_name = list_name
        self.index = index
        self.watching = False
        self.inside = False
        self.distances: list[float] = []

    def _node(self, node: PlanNode) -> None:
        self.inside = self.watching and isinstance(node, Launch) and self._fills(node.kernel)
        super()._node(node)
        self.inside = False

    def _fills(self, kernel: k.Kernel) -> bool:
        return any(isinstance(s, k.Append) and s.list == self.list_name for s in k.walk_statements(kernel.body))

    def _value(self, expr: k.Expr, names: Names) -> Value:
        if self.inside and isinstance(expr, k.Compare) and expr.left.type == "real" and names.get("i") == self.index:
            left, right = float(super()._value(expr.left, names)), float(super()._value(expr.right, names))
            size = max(abs(left), abs(right))
            if math.isfinite(size):
                self.distances.append(abs(left - right) / size if size else 0.0)
        return super()._value(expr, names)


def margin(point: Point, list_name: str, step: int, index: int) -> float | None:
    """The least distance between the sides of a real comparison of the event, as a part of the greater side; None without any."""
    device = InterpreterDevice(point.plan)
    watching = device.machine = Watching(point.plan, list_name, index)
    device.setup()
    for key, array in Named(point.plan).freezes.items():
        device.write(array.name, key in point.experiment.freeze)
    device.coefficients()
    device.trial_start()
    device.run(0, step)
    watching.watching = True
    device.run(step, 1)
    return min(watching.distances, default=None)
