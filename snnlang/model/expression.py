"""Checked expressions: names resolved, units known, values in the internal units (ms, mV, pA, nS, pF, GOhm).

The checker makes them from the syntax tree (user functions are inlined, definitions stay names), the symbolic stage
turns them into sympy and back, and ``lower`` turns them into kernel expressions. Nothing here is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Literal, TypeAlias

from snnlang.diagnostics import Span
from snnlang.frozen import dataclass, field
from snnlang.model.units import ONE, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Constant(_Node):
    """A number in internal units."""

    value: float
    unit: Unit = ONE


@dataclass(frozen=True, slots=True)
class Variable(_Node):
    """A parameter, state, input, weight, trace, definition, port or built-in of a model.

    scope ``self``: of this model (in a synapse: the synapse's own); ``pre``/``post``: of the neuron at that side;
    ``network``: an input of the network (its value for this neuron).
    Built-in names of scope ``self``: ``t`` (time at the end of the step), ``dt``, ``index``; of ``pre``/``post``: ``index``.
    ``output`` of scope ``pre`` is what the pre population sends.
    lag None: the current value of a continuous variable, ``0``: ``x[n]``, ``k``: ``x[n-k]``.
    """

    name: str
    unit: Unit = ONE
    scope: Literal["self", "pre", "post", "network"] = "self"
    lag: int | None = None


@dataclass(frozen=True, slots=True)
class Position(_Node):
    """Coordinate ``axis`` of the neuron in its population's shape (``position[0]``), dimensionless grid units."""

    axis: int
    scope: Literal["self", "pre", "post"] = "self"


@dataclass(frozen=True, slots=True)
class Occurs(_Node):
    """1 when the event happens in step n-lag, else 0: ``spike[n]``, ``spike[n-1]``, ``peak[n]``."""

    event: str
    lag: int = 0
    scope: Literal["self", "pre", "post"] = "self"


@dataclass(frozen=True, slots=True)
class Since(_Node):
    """Time since the last occurrence of an event, inf before the first."""

    event: str
    scope: Literal["self", "pre", "post"] = "self"


@dataclass(frozen=True, slots=True)
class Noise(_Node):
    """``xi``: white noise of unit ms^-0.5; ``number`` tells independent sources of one model apart."""

    number: int


@dataclass(frozen=True, slots=True)
class Random(_Node):
    """A draw: ``uniform(a, b)``, ``normal(mean, sd)``, ``exponential(mean)``, ``lognormal``, ``bernoulli(p)``, ``poisson(mean)``;
    ``number`` tells the draws of one model apart, in order of the text."""

    distribution: str
    arguments: tuple[Expr, ...]
    number: int = 0


@dataclass(frozen=True, slots=True)
class Unary(_Node):
    operator: Literal["-"]
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(_Node):
    operator: Literal["+", "-", "*", "/", "^"]
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Call(_Node):
    """A built-in function of :data:`FUNCTIONS`."""

    function: str
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Comparison(_Node):
    """One comparison; a chain is an ``and`` of them. Boolean."""

    operator: Literal["<", "<=", ">", ">=", "==", "!="]
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Logical(_Node):
    """``and``/``or`` of two, ``not`` of one operand. Boolean."""

    operator: Literal["and", "or", "not"]
    operands: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Crosses(_Node):
    """left rose from below to at least right since the value after the previous step's handlers. Boolean.

    ``left(previous) < right(previous) and left >= right``; at the first step the initial value is the previous one.
    """

    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Select(_Node):
    """``value if condition else otherwise``."""

    condition: Expr
    value: Expr
    otherwise: Expr


@dataclass(frozen=True, slots=True)
class KernelFunction(_Node):
    """A response kernel with its parameters bound: ``body`` is an expression of ``Variable(argument)``, the time since."""

    name: str
    argument: str
    body: Expr


@dataclass(frozen=True, slots=True)
class Response(_Node):
    """``response(kernel, source[, last])``: the sum of kernel(t - t_k) over events, the last event alone, or a filter.

    ``source`` is an :class:`Occurs` (an event of this neuron, or ``pre``) or any expression (a filtered signal).
    """

    kernel: KernelFunction
    source: Expr
    last: bool = False


@dataclass(frozen=True, slots=True)
class PopulationReduction(_Node):
    """``all.sum(x)``, ``mean``, ``max``, ``min``, ``argmax``, ``argmin``, ``rank``; ``over`` names axes of the
    population's shape, None all.

    Ties of argmax and rank go to the lowest index.
    """

    operation: str
    operand: Expr
    over: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class SynapseReduction(_Node):
    """``sum(w, per post)``, ``mean``, ``max``, ``min``, ``count``: over all synapses of the same post or pre neuron."""

    operation: str
    operand: Expr
    per: Literal["pre", "post"]


@dataclass(frozen=True, slots=True)
class AtTime(_Node):
    """``a(post.t_max)``: the value of a trace at an earlier time of this trial."""

    name: str
    time: Expr
    unit: Unit = ONE


@dataclass(frozen=True, slots=True)
class AtEnd(_Node):
    """``x[end]``: the value at the end of the trial."""

    operand: Expr


@dataclass(frozen=True, slots=True)
class Adjoint(_Node):
    """A name of an ``adjoint:`` block: ``e`` or ``e[n]`` of this step, ``e[n+1]`` (``ahead``) of the step after it."""

    name: str
    ahead: bool = False
    unit: Unit = ONE


@dataclass(frozen=True, slots=True)
class Gradient(_Node):
    """``grad(X)`` in an ``adjoint:`` block: the derivative of the loss by an event, a state, a definition or the ``output``, in step n."""

    of: str


@dataclass(frozen=True, slots=True)
class Detach(_Node):
    """Stops gradients; its value is its operand's."""

    operand: Expr


Expr: TypeAlias = (
    Constant
    | Variable
    | Position
    | Occurs
    | Since
    | Noise
    | Random
    | Unary
    | Binary
    | Call
    | Comparison
    | Logical
    | Crosses
    | Select
    | KernelFunction
    | Response
    | PopulationReduction
    | SynapseReduction
    | AtTime
    | AtEnd
    | Adjoint
    | Gradient
    | Detach
)

#: Built-in functions and the number of their arguments. ``exprel(x)`` is (exp(x) - 1)/x with its limit at 0;
#: ``heaviside(x)`` is 1 for x >= 0; ``sign(0)`` is 0; ``clip(x, low, high)``; ``mod`` has the sign of its divisor.
FUNCTIONS: dict[str, int] = {
    "exp": 1,
    "log": 1,
    "log10": 1,
    "log1p": 1,
    "expm1": 1,
    "exprel": 1,
    "sqrt": 1,
    "abs": 1,
    "sign": 1,
    "floor": 1,
    "ceil": 1,
    "round": 1,
    "sin": 1,
    "cos": 1,
    "tan": 1,
    "asin": 1,
    "acos": 1,
    "atan": 1,
    "sinh": 1,
    "cosh": 1,
    "tanh": 1,
    "sigmoid": 1,
    "relu": 1,
    "softplus": 1,
    "erf": 1,
    "heaviside": 1,
    "min": 2,
    "max": 2,
    "atan2": 2,
    "mod": 2,
    "clip": 3,
}


def children(expr: Expr) -> Iterator[Expr]:
    """The direct operands of an expression, in order."""
    for item in fields(expr):
        value = getattr(expr, item.name)
        if isinstance(value, _Node):
            yield value  # type: ignore[misc]
        elif isinstance(value, tuple):
            for element in value:
                if isinstance(element, _Node):
                    yield element  # type: ignore[misc]


def walk(expr: Expr) -> Iterator[Expr]:
    """An expression and everything in it, parents first."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def rebuild(expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """An expression with ``change`` applied to its direct operands."""
    updates: dict[str, object] = {}
    for item in fields(expr):
        value = getattr(expr, item.name)
        if isinstance(value, _Node):
            new: object = change(value)  # type: ignore[arg-type]
        elif isinstance(value, tuple) and any(isinstance(element, _Node) for element in value):
            new = tuple(change(e) if isinstance(e, _Node) else e for e in value)  # type: ignore[arg-type]
        else:
            continue
        if new is not value:
            updates[item.name] = new
    return replace(expr, **updates) if updates else expr  # type: ignore[arg-type]


def transform(expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """Rebuild an expression bottom up, with ``change`` applied to every node."""
    return change(rebuild(expr, lambda child: transform(child, change)))
