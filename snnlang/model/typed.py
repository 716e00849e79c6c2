"""What the resolver hands back: a checked expression with its unit and kind, and the words in which messages speak of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from snnlang.frozen import dataclass
from snnlang.model import expression as e
from snnlang.model.algebra import intern, resolve_factors, write_factors
from snnlang.model.expression import Expr
from snnlang.model.symbols import Names
from snnlang.model.units import ONE, TIME, Unit
from snnlang.syntax import tree

Kind = Literal["number", "boolean", "event", "string", "list", "unknown"]


@dataclass(frozen=True, slots=True)
class Typed:
    """A checked expression. ``unit`` None is unknown; ``free`` marks ``inf``, which fits every unit.

    ``text`` is the value of a string, ``items`` those of a list.
    """

    expr: Expr
    unit: Unit | None
    kind: Kind = "number"
    free: bool = False
    text: str | None = None
    items: tuple[Typed, ...] = ()


@dataclass
class Counters:
    """Numbers the noise sources and draws of one model in the order of its text."""

    noises: int = 0
    draws: int = 0
    calls: int = 0


UNKNOWN = Typed(e.Constant(0.0), None, "unknown")
ONE_UNIT = intern(ONE)
TIME_UNIT = intern(TIME)
EVERYTHING = frozenset({"random", "noise", "history", "events", "response", "all", "position", "time", "index"})


def text_of(node: tree.Node) -> str:
    text = " ".join(node.span.text.split())
    return text if len(text) <= 40 else text[:37] + "…"


def kind_of(kind: str) -> str:
    return {"param": "parameter"}.get(kind, kind)


def quantity_of(unit: str) -> str:
    """A unit inside a sentence: ``mV``, or ``a plain number``."""
    return "a plain number" if unit == "1" else unit


def with_unit(expr: Expr, unit: Unit) -> Expr:
    match expr:
        case e.Constant():
            return replace(expr, unit=unit)
        case e.Unary():
            return replace(expr, operand=with_unit(expr.operand, unit))
    return expr


def written_units(node: tree.Expression, names: Names) -> list[tuple[str, Unit]]:
    """Units that stand in an expression as the user wrote them, most telling first."""
    match node:
        case tree.Quantity():
            try:
                return [(write_factors(node.unit), resolve_factors(node.unit)[1])]
            except KeyError:
                return []
        case tree.Name():
            symbol = names.find(node.id)
            return (
                [(symbol.shown, symbol.unit)] if symbol is not None and symbol.shown and symbol.unit is not None else []
            )
        case tree.Unary():
            return written_units(node.operand, names)
        case tree.Binary() if node.operator in ("+", "-", "*", "/"):
            return [*written_units(node.left, names), *written_units(node.right, names)]
        case tree.Conditional():
            return [*written_units(node.value, names), *written_units(node.otherwise, names)]
        case tree.Index():
            return written_units(node.value, names)
    return []


#: Draws and the names of their arguments.
DRAWS: dict[str, tuple[str, ...]] = {
    "uniform": ("low", "high"),
    "normal": ("mean", "sd"),
    "exponential": ("mean",),
    "lognormal": ("mean", "sd"),
    "bernoulli": ("p",),
    "poisson": ("mean",),
    "gamma": ("shape", "scale"),
}
