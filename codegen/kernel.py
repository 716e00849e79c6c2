"""The kernel language: what one launch computes, over an abstract axis that each target enters in its own way.

A kernel has a domain (which items it visits, and the index names that it binds) and a body of statements that run in written order for each
item. Items are independent: no item reads what another one of the same launch stores, except through :class:`Accumulate`, whose order is
free. Everything is typed ``real``, ``int`` or ``bool``; reals have the precision of the plan.

Index names: a domain over elements binds ``i``; a domain over synapses binds ``pre``, ``post`` (indices in the full
populations), ``synapse`` (index of per-synapse arrays) and ``shared`` (index of shared weights). ``step`` (int), ``t``
and ``dt`` (real) are bound everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, TypeAlias

from snnlang.diagnostics import Span
from snnlang.frozen import dataclass, field

Type = Literal["real", "int", "bool"]

# --- expressions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Const:
    """``given``: a number of the network or the experiment, which may change without another text being compiled."""

    value: float | int | bool
    type: Type = "real"
    given: bool = False


@dataclass(frozen=True, slots=True)
class Local:
    """A name bound by a Let, by the domain, or ``step``/``t``/``dt``."""

    name: str
    type: Type = "real"


@dataclass(frozen=True, slots=True)
class Load:
    """``array[index]``; ``index`` None for a scalar array (shape ()). ``lag`` steps back in an array that keeps a ring of depth > 1."""

    array: str
    index: Expr | None
    type: Type = "real"
    lag: Expr | None = None


@dataclass(frozen=True, slots=True)
class Unary:
    operator: Literal["-", "not"]
    operand: Expr
    type: Type = "real"


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic; ``^`` is a power. For int operands ``/`` is floor division and ``%`` the positive remainder."""

    operator: Literal["+", "-", "*", "/", "^", "%"]
    left: Expr
    right: Expr
    type: Type = "real"


@dataclass(frozen=True, slots=True)
class Compare:
    operator: Literal["<", "<=", ">", ">=", "==", "!="]
    left: Expr
    right: Expr
    type: Type = "bool"


@dataclass(frozen=True, slots=True)
class Logic:
    operator: Literal["and", "or"]
    left: Expr
    right: Expr
    type: Type = "bool"


@dataclass(frozen=True, slots=True)
class Choose:
    """``value if condition else otherwise``; both may be evaluated, so neither may trap."""

    condition: Expr
    value: Expr
    otherwise: Expr
    type: Type = "real"


@dataclass(frozen=True, slots=True)
class Call:
    """A function of :data:`snnlang.model.expression.FUNCTIONS`; ``int``/``real`` convert (``int`` truncates)."""

    function: str
    arguments: tuple[Expr, ...]
    type: Type = "real"


@dataclass(frozen=True, slots=True)
class Draw:
    """A random number of stream ``stream`` for (index, counter): see :mod:`snnlang.codegen.random`.

    ``uniform`` in [0, 1), ``normal`` (0, 1); everything else is built from these by ``lower``.
    """

    distribution: Literal["uniform", "normal"]
    stream: str
    index: Expr
    counter: Expr
    type: Type = "real"


Expr: TypeAlias = Const | Local | Load | Unary | Binary | Compare | Logic | Choose | Call | Draw

# --- statements -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Let:
    """A new immutable name; ``source`` is the user's equation that it computes, printed as a comment above."""

    name: str
    value: Expr
    source: str = ""
    type: Type = "real"


@dataclass(frozen=True, slots=True)
class Store:
    """``array[index] = value``; in a ring (depth > 1) into the slot of the current step."""

    array: str
    index: Expr | None
    value: Expr
    source: str = ""
    lag: Expr | None = None


@dataclass(frozen=True, slots=True)
class Accumulate:
    """``array[index] += value``, many items may meet at one index. ``lag`` < 0 is a slot in the future of a ring of accumulators."""

    array: str
    index: Expr | None
    value: Expr
    source: str = ""
    lag: Expr | None = None


@dataclass(frozen=True, slots=True)
class If:
    """``rare`` tells targets that few items take the branch (events), so that gathering them first pays."""

    condition: Expr
    body: tuple[Statement, ...]
    otherwise: tuple[Statement, ...] = ()
    rare: bool = False
    source: str = ""


@dataclass(frozen=True, slots=True)
class Append:
    """Append ``i`` to the list of the current step; the list ends up in ascending order."""

    list: str


Statement: TypeAlias = Let | Store | Accumulate | If | Append

# --- domains ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Single:
    """One item, no index."""


@dataclass(frozen=True, slots=True)
class Each:
    """``i`` from 0 to ``size`` - 1."""

    size: int


@dataclass(frozen=True, slots=True)
class Listed:
    """``i`` over the items of an event list as it stood ``lag`` steps ago (0: this step)."""

    list: str
    lag: int = 0


@dataclass(frozen=True, slots=True)
class Fan:
    """The synapses of the neurons in a list: their outgoing ones (side ``pre``) or incoming ones (``post``).

    Items of the list outside the connectivity's part have none.
    """

    connectivity: str
    side: Literal["pre", "post"]
    list: str
    lag: int = 0


@dataclass(frozen=True, slots=True)
class Synapses:
    """Every synapse of a connectivity."""

    connectivity: str


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The synapses in the slot of the current step of a queue (per-synapse delays)."""

    queue: str
    connectivity: str


Domain: TypeAlias = Single | Each | Listed | Fan | Synapses | Arrivals


@dataclass(frozen=True, slots=True)
class Kernel:
    """``title`` is one line for comments and profiles; ``span`` the model's or connection's place."""

    name: str
    title: str
    domain: Domain
    body: tuple[Statement, ...]
    span: Span | None = field(default=None, compare=False, repr=False)


def given(expr: Expr) -> Expr:
    """The expression with its real numbers marked as given, but exponents: those decide how a power is computed."""
    match expr:
        case Const(value=value, type="real"):
            return Const(value, "real", True)
        case Unary(operand=operand):
            return replace(expr, operand=given(operand))
        case Binary(operator="^", left=left):
            return replace(expr, left=given(left))
        case Binary(left=left, right=right) | Compare(left=left, right=right) | Logic(left=left, right=right):
            return replace(expr, left=given(left), right=given(right))
        case Choose(condition=condition, value=value, otherwise=otherwise):
            return replace(expr, condition=given(condition), value=given(value), otherwise=given(otherwise))
        case Call(arguments=arguments):
            return replace(expr, arguments=tuple(given(argument) for argument in arguments))
    return expr


# --- walking ----------------------------------------------------------------------------------------------------------


def operands(expr: Expr) -> tuple[Expr, ...]:
    """The direct operands of an expression."""
    match expr:
        case Const() | Local():
            return ()
        case Load(index=index, lag=lag):
            return tuple(e for e in (index, lag) if e is not None)
        case Unary(operand=operand):
            return (operand,)
        case Binary(left=left, right=right) | Compare(left=left, right=right) | Logic(left=left, right=right):
            return (left, right)
        case Choose(condition=condition, value=value, otherwise=otherwise):
            return (condition, value, otherwise)
        case Call(arguments=arguments):
            return arguments
        case Draw(index=index, counter=counter):
            return (index, counter)


def walk(expr: Expr) -> Iterator[Expr]:
    """An expression and everything in it, parents first."""
    yield expr
    for operand in operands(expr):
        yield from walk(operand)


def statement_expressions(statement: Statement) -> tuple[Expr, ...]:
    """The expressions that a statement itself evaluates (not those of nested bodies)."""
    match statement:
        case Let(value=value):
            return (value,)
        case Store(index=index, value=value, lag=lag) | Accumulate(index=index, value=value, lag=lag):
            return tuple(e for e in (index, value, lag) if e is not None)
        case If(condition=condition):
            return (condition,)
        case Append():
            return ()


def walk_statements(body: tuple[Statement, ...]) -> Iterator[Statement]:
    """All statements of a body, nested ones after their parent."""
    for statement in body:
        yield statement
        if isinstance(statement, If):
            yield from walk_statements(statement.body)
            yield from walk_statements(statement.otherwise)


def names_read(body: tuple[Statement, ...]) -> set[str]:
    """The names that statements read."""
    return {
        part.name
        for statement in walk_statements(body)
        for expr in statement_expressions(statement)
        for part in walk(expr)
        if isinstance(part, Local)
    }
