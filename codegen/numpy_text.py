"""Kernel expressions as NumPy text: precedence, the axes that a value spans, and how a bound index selects from an array.

A value spans a set of axes: none (a scalar of the step), ``item`` (one per item of a one-dimensional domain), or
``pre`` and ``post`` (a dense connectivity). A value of axis ``pre`` alone is kept one-dimensional and only turned
into a column where it meets the axis ``post``; so sums over one side stay matrix products.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from snnlang.codegen import kernel as k
from snnlang.codegen.functions import FUNCTIONS
from snnlang.frozen import dataclass, field

if TYPE_CHECKING:
    from snnlang.codegen.numpy_names import Names

Axes = frozenset[str]
SCALAR: Axes = frozenset()
ITEM: Axes = frozenset({"item"})
PRE: Axes = frozenset({"pre"})
POST: Axes = frozenset({"post"})
BOTH: Axes = PRE | POST

CHOICE, OR, AND, NOT, COMPARE, BIT_OR, BIT_AND, SUM, PRODUCT, MINUS, POWER, ATOM = range(12)


@dataclass(frozen=True, slots=True)
class Piece:
    """Text with its precedence. ``fresh``: a new array, not another name of a stored one. ``plain``: a Python number, on which Python's
    own division would trap. ``root`` is the array that a piece which is not fresh shows."""

    text: str
    level: int = ATOM
    axes: Axes = SCALAR
    type: k.Type = "real"
    fresh: bool = True
    plain: bool = False
    root: str = ""

    def at(self, level: int) -> str:
        """The text, in brackets where it binds looser than ``level``."""
        return self.text if self.level >= level else f"({self.text})"


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound index name: ``select`` goes into an array's brackets (None: the whole of an array of ``whole`` elements),
    ``numbers`` are the indices themselves; both may be made on first use. ``base``: the indices are picked from
    0 .. base - 1; ``unique``: none occurs twice."""

    axes: Axes
    select: Callable[[], str] | None
    numbers: Callable[[], str]
    whole: int | None = None
    base: int | None = None
    unique: bool = False


@dataclass(slots=True)
class Level:
    """Where a body runs: its bound names, and how its items were picked from those of the level around it.

    ``items`` is the variable that holds the indices of a listed domain, ``listed`` the list of this step that they are.
    """

    bound: dict[str, Bound]
    parent: Level | None = None
    selection: str = ""
    mask: Piece | None = None
    mask_text: Callable[[], str] | None = None
    items: str = ""
    listed: str = ""
    locals: dict[str, Piece] = field(default_factory=dict)


@dataclass(slots=True)
class Writer:
    """Prints expressions at a level. ``single``: everything real is float32 and must stay so."""

    names: Names
    single: bool

    # --- names --------------------------------------------------------------------------------------------------------

    def local(self, name: str, level: Level) -> Piece:
        """A Let's name as seen from a level: values of levels around are picked for the items of this one."""
        picks: list[str] = []
        here: Level | None = level
        while here is not None:
            if name in here.locals:
                piece = here.locals[name]
                if not piece.axes or not picks:
                    return piece
                return replace(
                    piece,
                    text=piece.at(ATOM) + "".join(f"[{pick}]" for pick in reversed(picks)),
                    level=ATOM,
                    fresh=True,
                )
            if here.selection:
                picks.append(here.selection)
            here = here.parent
        raise AssertionError(f"the name {name} is not bound here")

    def ring(self, array: str, lag: str) -> str:
        """The text of an array, or of the slot of a ring."""
        text = self.names.array(array)
        depth = self.names.plan.arrays[array].depth
        if depth == 1:
            return text
        self.names.used.add("step")
        if lag in ("", "0"):
            return f"{text}[step % {depth}]"
        return f"{text}[{stepped(lag)} % {depth}]"

    def lag(self, lag: k.Expr | None, level: Level) -> tuple[str, Axes]:
        if lag is None:
            return "", SCALAR
        piece = self.expression(lag, level)
        return piece.at(PRODUCT), piece.axes

    def place(self, array: str, index: k.Expr | None, lag: k.Expr | None, level: Level) -> Piece:
        """``array[index]``: a reference that can be read or assigned to."""
        described = self.names.plan.arrays[array]
        lag_text, lag_axes = self.lag(lag, level)
        if lag_axes and described.depth > 1:
            assert lag is not None
            return self._scattered(array, index, lag, level)
        if index is None and self.names.constant(array):
            return Piece(
                self.names.scalar(array), ATOM, SCALAR, described.type, plain=described.type != "real", root=array
            )
        base = self.ring(array, lag_text)
        if index is None:
            if described.depth > 1:
                return Piece(base, ATOM, SCALAR, described.type, root=array)
            return Piece(f"{base}[()]", ATOM, SCALAR, described.type, root=array)
        if isinstance(index, k.Local) and index.name in level.bound:
            bound = level.bound[index.name]
            if bound.axes == BOTH:
                table = self.names.table(array)
                return Piece(
                    table + (f"[{bound.select()}]" if bound.select else ""),
                    ATOM,
                    BOTH,
                    described.type,
                    bound.select is not None,
                    root=array,
                )
            if bound.select is None and (bound.whole is None or bound.whole == self.names.length(array)):
                return Piece(base, ATOM, bound.axes, described.type, fresh=False, root=array)
            select = bound.select() if bound.select else f":{bound.whole}"
            sliced = ":" in select
            return Piece(f"{base}[{select}]", ATOM, bound.axes, described.type, fresh=not sliced, root=array)
        piece = self.expression(index, level)
        return Piece(f"{base}[{piece.text}]", ATOM, piece.axes, described.type, root=array)

    def _scattered(self, array: str, index: k.Expr | None, lag: k.Expr | None, level: Level) -> Piece:
        """A place whose step back differs from item to item."""
        assert lag is not None
        described, back = self.names.plan.arrays[array], self.expression(lag, level)
        numbers = None if index is None else self.expression(index, level)
        axes = back.axes | (SCALAR if numbers is None else numbers.axes)
        slot = self.slots(back, axes, described.depth)
        where = slot if numbers is None else f"{slot}, {broadcast(numbers, axes).text}"
        return Piece(f"{self.names.array(array)}[{where}]", ATOM, axes, described.type, root=array)

    def slots(self, back: Piece, axes: Axes, depth: int) -> str:
        """The slots of a ring, ``back`` steps ago."""
        self.names.used.add("step")
        return f"{stepped(broadcast(back, axes).at(PRODUCT))} % {depth}"

    # --- expressions --------------------------------------------------------------------------------------------------

    def expression(self, expr: k.Expr, level: Level) -> Piece:
        match expr:
            case k.Const(value=value, type=type):
                return Piece(
                    constant(value, type),
                    MINUS if isinstance(value, float | int) and value < 0 else ATOM,
                    SCALAR,
                    type,
                    plain=True,
                )
            case k.Local(name=name, type=type) if name in ("step", "t", "dt"):
                self.names.used.add(name)
                return Piece(name, ATOM, SCALAR, "int" if name == "step" else "real", plain=True)
            case k.Local(name=name) if name in level.bound:
                bound = level.bound[name]
                numbers = bound.numbers()
                tight = SUM if re.search(r" (\+|-|//|%) ", numbers) else ATOM
                return Piece(numbers, tight, bound.axes, "int")
            case k.Local(name=name):
                return self.local(name, level)
            case k.Load(array=array, index=index, lag=lag):
                return self.place(array, index, lag, level)
            case k.Unary(operator="not", operand=operand):
                inner = self.expression(operand, level)
                return (
                    Piece(f"~{inner.at(POWER)}", MINUS, inner.axes, "bool")
                    if inner.axes
                    else Piece(f"not {inner.at(NOT)}", NOT, SCALAR, "bool")
                )
            case k.Unary(operand=operand, type=type):
                inner = self.expression(operand, level)
                return Piece(f"-{inner.at(MINUS)}", MINUS, inner.axes, type, plain=inner.plain)
            case k.Binary():
                return self._binary(expr, level)
            case k.Compare(operator=operator, left=left, right=right):
                first, second, axes = self.together(left, right, level)
                return Piece(f"{first.at(BIT_OR)} {operator} {second.at(BIT_OR)}", COMPARE, axes, "bool")
            case k.Logic(operator=operator, left=left, right=right):
                first, second, axes = self.together(left, right, level)
                if not axes:
                    tight = AND if operator == "and" else OR
                    return Piece(f"{first.at(tight)} {operator} {second.at(tight)}", tight, SCALAR, "bool")
                tight, sign = (BIT_AND, "&") if operator == "and" else (BIT_OR, "|")
                return Piece(f"{first.at(tight)} {sign} {second.at(tight)}", tight, axes, "bool")
            case k.Choose():
                return self._choose(expr, level)
            case k.Call():
                return self._call(expr, level)
            case k.Draw():
                return self._draw(expr, level)

    def together(self, left: k.Expr, right: k.Expr, level: Level) -> tuple[Piece, Piece, Axes]:
        """Two operands, made to broadcast."""
        first, second = self.expression(left, level), self.expression(right, level)
        axes = first.axes | second.axes
        return broadcast(first, axes), broadcast(second, axes), axes

    def as_real(self, piece: Piece) -> Piece:
        """A real piece from one of any type."""
        if piece.type == "real":
            return piece
        if piece.plain and not piece.axes:
            return replace(piece, text=f"float({piece.text})", level=ATOM, type="real")
        real = "np.float32" if self.single else "float"
        if piece.axes:
            return replace(piece, text=f"{piece.at(ATOM)}.astype({real})", level=ATOM, type="real", fresh=True)
        return replace(piece, text=f"{real}({piece.text})", level=ATOM, type="real", fresh=True)

    def _binary(self, expr: k.Binary, level: Level) -> Piece:
        first, second, axes = self.together(expr.left, expr.right, level)
        if expr.type == "real":
            if self.single or first.type == second.type or "bool" in (first.type, second.type):
                first, second = self.as_real(first), self.as_real(second)
        plain = first.plain and second.plain
        match expr.operator:
            case "+":
                text, tight = f"{first.at(SUM)} + {second.at(SUM)}", SUM
                if second.text.startswith("-") and second.level == MINUS:
                    text = f"{first.at(SUM)} - {second.text[1:]}"
            case "-":
                text, tight = f"{first.at(SUM)} - {second.at(PRODUCT)}", SUM
            case "*":
                text, tight = f"{first.at(PRODUCT)}*{second.at(PRODUCT if second.level != PRODUCT else MINUS)}", PRODUCT
            case "/" if expr.type == "int":
                text, tight = f"{first.at(PRODUCT)} // {second.at(MINUS)}", PRODUCT
            case "/" if plain and not (isinstance(expr.right, k.Const) and expr.right.value):
                text, tight = f"np.divide({first.text}, {second.text})", ATOM
            case "/":
                text, tight = f"{first.at(PRODUCT)}/{second.at(MINUS)}", PRODUCT
            case "%":
                text, tight = f"{first.at(PRODUCT)} % {second.at(MINUS)}", PRODUCT
            case _:
                if plain:
                    real = "np.float32" if self.single else "float"
                    text, tight = f"np.power({real}({first.text}), {second.text})", ATOM
                else:
                    text, tight = f"{first.at(ATOM)}**{second.at(POWER)}", POWER
        return Piece(text, tight, axes, expr.type, plain=plain and not text.startswith("np."))

    def _choose(self, expr: k.Choose, level: Level) -> Piece:
        condition = self.expression(expr.condition, level)
        value, otherwise = self.expression(expr.value, level), self.expression(expr.otherwise, level)
        axes = condition.axes | value.axes | otherwise.axes
        if not axes:
            return Piece(f"{value.at(OR)} if {condition.at(OR)} else {otherwise.at(OR)}", CHOICE, SCALAR, expr.type)
        if expr.type == "real" and value.plain and otherwise.plain:
            if (value.text, otherwise.text) == ("1.0", "0.0") and condition.axes:
                return self.as_real(condition)
            if self.single:
                value = replace(value, text=f"np.float32({value.text})", level=ATOM)
        if expr.type == "real":
            value, otherwise = self.as_real(value), self.as_real(otherwise)
        parts = (broadcast(piece, axes).text for piece in (condition, value, otherwise))
        return Piece(f"np.where({', '.join(parts)})", ATOM, axes, expr.type)

    def _call(self, expr: k.Call, level: Level) -> Piece:
        pieces = [self.expression(argument, level) for argument in expr.arguments]
        axes = SCALAR.union(*(piece.axes for piece in pieces))
        if expr.function == "real":
            return self.as_real(pieces[0])
        if expr.function == "int":
            if pieces[0].type == "int":
                return pieces[0]
            if pieces[0].type == "bool":
                return replace(
                    pieces[0],
                    text=f"{pieces[0].at(ATOM)}.astype(np.int64)" if axes else f"int({pieces[0].text})",
                    level=ATOM,
                    type="int",
                )
            self.names.support.add("to_int")
            return Piece(f"to_int({pieces[0].text})", ATOM, axes, "int")
        row = FUNCTIONS[expr.function]
        if row.support:
            self.names.support.add(row.support)
        if expr.type == "real":
            pieces = [self.as_real(piece) for piece in pieces]
        pieces = [broadcast(piece, axes) for piece in pieces]
        text = row.numpy.format(*(piece.text for piece in pieces))
        if self.single and all(piece.plain for piece in pieces) and expr.type == "real":
            text = f"np.float32({text})"
        return Piece(text, ATOM, axes, expr.type)

    def _draw(self, expr: k.Draw, level: Level) -> Piece:
        index, counter = self.expression(expr.index, level), self.expression(expr.counter, level)
        axes = index.axes | counter.axes
        kind = expr.distribution
        if not axes:
            self.names.random.add(kind)
            single = ", single=True" if self.single else ""
            return Piece(
                f"{kind}({self.names.key(expr.stream)}, int({index.text}), int({counter.text}){single})",
                ATOM,
                SCALAR,
                "real",
                plain=True,
            )
        many = f"{kind}s_single" if self.single else f"{kind}s"
        self.names.random.add(many)
        bound = level.bound.get(expr.index.name) if isinstance(expr.index, k.Local) else None
        if bound is not None and bound.base is not None:
            words = self.names.words(expr.stream, bound.base)
            first = Piece(f"{words}[{bound.select()}]" if bound.select else words, ATOM, index.axes)
        else:
            self.names.random.add("bases")
            numbers = index.text if index.axes else f"np.array({index.text})"
            first = Piece(f"bases({self.names.key(expr.stream)}, {numbers})", ATOM, index.axes)
        return Piece(f"{many}({broadcast(first, axes).text}, {broadcast(counter, axes).text})", ATOM, axes, "real")


def stepped(lag: str) -> str:
    """The step ``lag`` steps back, in brackets."""
    return f"(step + {lag[1:]})" if re.fullmatch(r"-\w+(\[\w+\])?", lag) else f"(step - {lag})"


def broadcast(piece: Piece, axes: Axes) -> Piece:
    """A piece of axis ``pre`` as a column where it meets the axis ``post``."""
    if axes == BOTH and piece.axes == PRE:
        return replace(piece, text=f"{piece.at(ATOM)}[:, None]", level=ATOM)
    return piece


def constant(value: float | int | bool, type: k.Type) -> str:
    """A literal that reads back as the same number."""
    if type == "bool":
        return repr(bool(value))
    if type == "int":
        return repr(int(value))
    number = float(value)
    if math.isnan(number):
        return "np.nan"
    if math.isinf(number):
        return "np.inf" if number > 0 else "-np.inf"
    return repr(number)
