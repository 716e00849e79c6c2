"""One item of one kernel in plain Python: what an expression is worth, which part of it is not finite, and how it reads.

Used after a failure only, so it is slow and simple. It refuses (:class:`Unknown`) what cannot be known outside the device, such
as older slots of rings.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen import kernel as k
from snnlang.codegen import random
from snnlang.codegen.plan import Plan
from snnlang.runtime.device import Device

Value = float | int | bool


class Reader:
    """Values of arrays around one step: before it, and after it for what earlier kernels of the step wrote."""

    def __init__(self, plan: Plan, device: Device) -> None:
        self.plan = plan
        self.device = device
        self.before = {name: device.read(name).reshape(-1) for name in plan.arrays}
        self.after: dict[str, NDArray[Any]] = {}
        self.fresh: set[str] = set()
        self.step = 0

    def load(self, array: str, index: int | None, lag: int) -> Value:
        source = self.after if array in self.fresh and lag == 0 else self.before
        values = source[array]
        return values[0 if index is None or len(values) == 1 else int(index)].item()  # type: ignore[no-any-return]


class Unknown(Exception):
    """Something that cannot be evaluated outside the device."""


class Machine:
    """Runs the body of a kernel for one item; Lets are evaluated when they are asked for."""

    def __init__(self, plan: Plan, reader: Reader, names: dict[str, Value]) -> None:
        self.plan = plan
        self.reader = reader
        self.names = names
        self.lets: dict[str, k.Let] = {}
        self.stores: dict[tuple[str, int | None], Value] = {}
        self._known: dict[str, Value] = {}
        self.real = np.float32 if plan.precision == "single" else np.float64

    def run(self, body: tuple[k.Statement, ...], array: str, index: int) -> k.Store | k.Accumulate | None:
        """The statement that stored a value that is not finite into ``array[index]``, in the order of the body."""
        for statement in body:
            match statement:
                case k.Let(name=name):
                    self.lets[name] = statement
                    self._known.pop(name, None)
                    with contextlib.suppress(Unknown):  # a Let reads what was stored before it
                        self.value(k.Local(name, statement.type))
                case k.Store() | k.Accumulate():
                    try:
                        value = self.value(statement.value)
                        place = None if statement.index is None else int(self.value(statement.index))
                    except Unknown:
                        continue
                    if statement.array == array and place in (None, index) and not math.isfinite(value):
                        return statement
                    if isinstance(statement, k.Store):
                        self.stores[statement.array, place] = value
                case k.If(condition=condition):
                    try:
                        chosen = statement.body if self.value(condition) else statement.otherwise
                    except Unknown:
                        chosen = (*statement.body, *statement.otherwise)
                    found = self.run(chosen, array, index)
                    if found is not None:
                        return found
                case k.Append():
                    pass
        return None

    def innermost(self, expression: k.Expr) -> k.Expr:
        """Descend while an operand that counts is not finite."""
        while True:
            for operand in self._used(expression):
                if operand.type == "real" and not math.isfinite(self.value(operand)):
                    expression = operand
                    break
            else:
                return expression

    def _used(self, expression: k.Expr) -> tuple[k.Expr, ...]:
        match expression:
            case k.Choose(condition=condition, value=value, otherwise=otherwise):
                return (value,) if self.value(condition) else (otherwise,)
            case k.Load():
                return ()
            case _:
                return k.operands(expression)

    def value(self, expression: k.Expr) -> Value:
        match expression:
            case k.Const(value=value):
                return value
            case k.Local(name=name):
                if name in self.names:
                    return self.names[name]
                if name not in self._known:
                    if name not in self.lets:
                        raise Unknown
                    self._known[name] = self.value(self.lets[name].value)
                return self._known[name]
            case k.Load(array=array, index=index, lag=lag):
                place = None if index is None else int(self.value(index))
                back = 0 if lag is None else int(self.value(lag))
                if back == 0 and (array, place) in self.stores:
                    return self.stores[array, place]
                if back > 1:
                    raise Unknown
                return self.reader.load(array, place, back)
            case k.Unary(operator=operator, operand=operand):
                return -self.value(operand) if operator == "-" else not self.value(operand)
            case k.Binary(operator=operator, left=left, right=right, type=kind):
                return _binary(operator, self.value(left), self.value(right), kind, self.real)
            case k.Compare(operator=operator, left=left, right=right):
                return _COMPARE[operator](self.value(left), self.value(right))
            case k.Logic(operator=operator, left=left, right=right):
                if operator == "and":
                    return bool(self.value(left)) and bool(self.value(right))
                return bool(self.value(left)) or bool(self.value(right))
            case k.Choose(condition=condition, value=value, otherwise=otherwise):
                return self.value(value) if self.value(condition) else self.value(otherwise)
            case k.Call(function=function, arguments=arguments):
                return _call(function, [self.value(argument) for argument in arguments], self.real)
            case k.Draw(distribution=distribution, stream=stream, index=index, counter=counter):
                draw = random.uniform if distribution == "uniform" else random.normal
                key = self.plan.streams[stream].key
                return draw(key, int(self.value(index)), int(self.value(counter)), self.plan.precision == "single")


_COMPARE: dict[str, Callable[[Value, Value], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def _binary(operator: str, left: Value, right: Value, kind: k.Type, real: type[np.floating[Any]]) -> Value:
    if kind == "int":
        a, b = int(left), int(right)
        if operator in "/%" and b == 0:
            raise Unknown
        return {
            "+": a + b,
            "-": a - b,
            "*": a * b,
            "/": a // b if b else 0,
            "%": a % b if b else 0,
            "^": a**b if b >= 0 else 0,
        }[operator]
    with np.errstate(all="ignore"):
        x, y = real(left), real(right)
        functions: dict[str, Callable[[Any, Any], Any]] = {
            "+": np.add,
            "-": np.subtract,
            "*": np.multiply,
            "/": np.divide,
            "^": np.power,
            "%": np.mod,
        }
        return float(functions[operator](x, y))


def _call(function: str, arguments: list[Value], real: type[np.floating[Any]]) -> Value:
    if function == "int":
        if not math.isfinite(arguments[0]):
            raise Unknown
        return int(arguments[0])
    if function == "real":
        return float(arguments[0])
    with np.errstate(all="ignore"):
        numbers = [real(a) for a in arguments]
        match function:
            case "exprel":
                return 1.0 if numbers[0] == 0 else float(np.expm1(numbers[0]) / numbers[0])
            case "sigmoid":
                return float(1 / (1 + np.exp(-numbers[0])))
            case "relu":
                return float(np.maximum(numbers[0], 0))
            case "softplus":
                return float(np.logaddexp(numbers[0], 0))
            case "erf":
                return math.erf(numbers[0])
            case "heaviside":
                return float(np.heaviside(numbers[0], 1))
            case "clip":
                return float(np.clip(numbers[0], numbers[1], numbers[2]))
            case _:
                name = _NUMPY.get(function, function)
                found = getattr(np, name, None)
                if found is None:
                    raise Unknown
                return float(found(*numbers))


_NUMPY = {
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "atan2": "arctan2",
    "min": "minimum",
    "max": "maximum",
    "round": "rint",
}


# --- as text ---------------------------------------------------------------------------------------------------------

_STRENGTH = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 4}


def text(expression: k.Expr, plan: Plan, machine: Machine, outer: int = 0) -> str:
    """A kernel expression as the user would write it."""

    def down(child: k.Expr, strength: int = 0) -> str:
        return text(child, plan, machine, strength)

    match expression:
        case k.Const(value=value):
            return f"{value:g}" if isinstance(value, float) else str(value)
        case k.Local(name=name):
            let = machine.lets.get(name)
            return down(let.value) if let is not None and isinstance(let.value, k.Load) else name
        case k.Load(array=array):
            return plan.arrays[array].variable or array
        case k.Unary(operator=operator, operand=operand):
            return f"-{down(operand, 3)}" if operator == "-" else f"not {down(operand, 3)}"
        case k.Binary(operator=operator, left=left, right=right):
            strength = _STRENGTH[operator]
            space = " " if strength == 1 else ""
            joined = f"{down(left, strength)}{space}{operator}{space}{down(right, strength + 1)}"
            return f"({joined})" if strength < outer else joined
        case k.Compare(operator=operator, left=left, right=right) | k.Logic(operator=operator, left=left, right=right):
            return f"({down(left)} {operator} {down(right)})"
        case k.Choose(condition=condition, value=value, otherwise=otherwise):
            return f"({down(value)} if {down(condition)} else {down(otherwise)})"
        case k.Call(function="real" | "int", arguments=arguments):
            return down(arguments[0], outer)
        case k.Call(function=function, arguments=arguments):
            return f"{function}({', '.join(down(argument) for argument in arguments)})"
        case k.Draw(distribution=distribution):
            return f"{distribution}()"
