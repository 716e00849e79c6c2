"""A small independent reading of Systems and Steps for the tests: NumPy values by name, nothing shared with a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from scipy.special import erf

from snnlang.diagnostics import Collector, Source
from snnlang.dynamics.equations import derive
from snnlang.dynamics.system import Step, System
from snnlang.model import expression as ex
from snnlang.model.check import check
from snnlang.model.library import Library
from snnlang.model.model import Neuron, Scope, Synapse
from snnlang.syntax.parse import parse

Values = dict[str, Any]


def value_of(expr: ex.Expr, values: Mapping[str, Any], draws: Callable[[int], Any] | None = None) -> Any:
    """An expression's value; ``values`` has ``v``, ``pre.v``, ``v[-1]`` and ``event:spike`` keys."""

    def go(node: ex.Expr) -> Any:
        match node:
            case ex.Constant():
                return node.value
            case ex.Variable():
                name = node.name if node.scope == "self" else f"{node.scope}.{node.name}"
                return values[name if not node.lag else f"{name}[-{node.lag}]"]
            case ex.Occurs():
                return values[f"event:{node.event}[-{node.lag}]"]
            case ex.Since():
                return values[f"since:{node.event}"]
            case ex.Random():
                assert draws is not None
                return draws(node.number)
            case ex.Unary():
                return -go(node.operand)
            case ex.Binary():
                a, b = go(node.left), go(node.right)
                return {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "^": np.power}[node.operator](
                    a, b
                )
            case ex.Call():
                return _FUNCTIONS[node.function](*(go(argument) for argument in node.arguments))
            case ex.Comparison():
                return _COMPARE[node.operator](go(node.left), go(node.right))
            case ex.Logical():
                operands = [go(operand) for operand in node.operands]
                if node.operator == "not":
                    return np.logical_not(operands[0])
                return (np.logical_and if node.operator == "and" else np.logical_or)(operands[0], operands[1])
            case ex.Select():
                return np.where(go(node.condition), go(node.value), go(node.otherwise))
            case ex.Detach():
                return go(node.operand)
            case _:
                raise TypeError(type(node))

    return go(expr)


def _exprel(x: Any) -> Any:
    x = np.asarray(x, dtype=float)
    safe = np.where(x == 0, 1.0, x)
    return np.where(x == 0, 1.0, np.expm1(safe) / safe)


_COMPARE = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log10": np.log10,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "min": np.minimum,
    "max": np.maximum,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "exprel": _exprel,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.round,
    "erf": erf,
    "heaviside": lambda x: np.where(np.asarray(x) >= 0, 1.0, 0.0),
    "relu": lambda x: np.maximum(x, 0.0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-np.asarray(x))),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "mod": np.mod,
    "clip": lambda x, low, high: np.minimum(np.maximum(x, low), high),
}


class Runner:
    """Advances a Step: coefficients once, then body and updates per step."""

    def __init__(self, step: Step, dt: float, values: Mapping[str, Any], seed: int = 0) -> None:
        self.step, self.dt = step, dt
        self.values: Values = {**values, "dt": dt, "t": 0.0, "index": 0}
        self.random = np.random.default_rng(seed)
        self.increments: Callable[[int], Any] | None = None
        for let in step.coefficients:
            self.values[let.name] = value_of(let.value, self.values)

    def advance(self, count: int = 1) -> None:
        for _ in range(count):
            self.values["t"] += self.dt
            scratch = dict(self.values)
            for let in self.step.body:
                scratch[let.name] = value_of(let.value, scratch, self._draw)
            new = {let.name: value_of(let.value, scratch, self._draw) for let in self.step.updates}
            self.values.update(new)

    def _draw(self, number: int) -> Any:
        if self.increments is not None:
            return self.increments(number)
        shape = (
            np.shape(next(v for v in self.values.values() if np.ndim(v)))
            if any(np.ndim(v) for v in self.values.values())
            else ()
        )
        return self.random.standard_normal(shape)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def load(text: str) -> Scope:
    collector = Collector()
    program = check(parse(Source("test.snn", text)), Library(), collector)
    collector.raise_errors()
    return program.scope


def defaults(model: Neuron | Synapse, **given: Any) -> Values:
    """Parameters and initial states by name, with ``given`` in place of some."""
    values: Values = {item.name: 0.0 for item in model.inputs}
    values.update(given)
    definitions = {d.name: d.value for d in model.definitions}
    pending: list[tuple[str, ex.Expr]] = [(p.name, p.default) for p in model.params if p.default is not None]
    pending += [(s.name, s.initial) for s in model.states]
    for _ in range(20):
        for name, expr in [*pending, *definitions.items()]:
            if name not in values:
                try:
                    values[name] = value_of(expr, values)
                except (KeyError, TypeError):
                    continue
    return {name: value for name, value in values.items() if name not in definitions}


def build(text: str, attachments: Sequence[Any] = (), absent: frozenset[str] = frozenset()) -> tuple[Neuron, System]:
    """The last neuron of a text and its System."""
    neuron = list(load(text).neurons.values())[-1]
    return neuron, derive(neuron, tuple(attachments), absent=absent)


@pytest.fixture(name="load", scope="session")
def _load() -> Callable[[str], Scope]:
    return load


@pytest.fixture(name="build", scope="session")
def _build() -> Callable[..., tuple[Neuron, System]]:
    return build


@pytest.fixture(name="defaults", scope="session")
def _defaults() -> Callable[..., Values]:
    return defaults


@pytest.fixture(name="run", scope="session")
def _run() -> type[Runner]:
    return Runner


@pytest.fixture(name="evaluate", scope="session")
def _evaluate() -> Callable[..., Any]:
    return value_of
