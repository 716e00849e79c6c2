"""Values that are known before anything runs: whole numbers, times, words, lists of numbers and arrays from files.

Networks and experiments are full of numbers that must be known at compile time. Each function here takes an expression as written and
a table of names, reports what is wrong with it, and returns None when a mistake was reported (here or before), so that callers go
on silently. It refuses sizes that are not whole, values that depend on the running network, and files that are not there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import Collector, Span
from snnlang.model.evaluate import evaluate, fold
from snnlang.model.expression import Constant, Expr
from snnlang.model.network import ArrayValue, Value
from snnlang.model.resolve import Resolver
from snnlang.model.suggest import listing
from snnlang.model.symbols import Names
from snnlang.model.typed import Counters, Typed
from snnlang.model.units import ONE, TIME, Unit, describe
from snnlang.reading import consult
from snnlang.syntax import tree

#: No dimension, count or index may exceed this (memory is estimated later, with better numbers).
LARGEST = 2**40


@dataclass(frozen=True)
class Clock:
    """How times are read: ``dt`` in ms (None: not known yet); ``steps``: plain numbers count steps; ``has_unit``: ms mean something."""

    dt: float | None = None
    steps: bool = False
    has_unit: bool = True


@dataclass
class Reader:
    """Reads compile-time values in one table of names; every mistake goes to ``collector``."""

    names: Names
    collector: Collector
    clock: Clock = field(default_factory=Clock)
    counters: Counters = field(default_factory=Counters)

    def resolver(self, allow: frozenset[str] = frozenset()) -> Resolver:
        """A resolver in these names; draws of one reader are numbered through."""
        return Resolver(self.names, self.collector, allow=allow, counters=self.counters)

    def typed(self, expr: tree.Expression, allow: frozenset[str] = frozenset()) -> Typed:
        """The checked expression, whatever its unit."""
        return self.resolver(allow).resolve(expr)

    def expect(self, expr: tree.Expression, unit: Unit, what: str, allow: frozenset[str] = frozenset()) -> Expr | None:
        """A number of a unit that may still hold variables; constants are folded."""
        typed = self.resolver(allow).expect(expr, unit, what)
        if typed.kind == "unknown" or typed.unit is None:
            return None
        return fold(typed.expr)

    def number(self, expr: tree.Expression, unit: Unit, what: str) -> float | None:
        """A constant of a unit, in internal units."""
        found = self.expect(expr, unit, what)
        return None if found is None else self.constant(found, expr.span, what)

    def constant(self, expr: Expr, span: Span, what: str) -> float | None:
        """The value of an expression that must not depend on anything that runs."""
        value = evaluate(expr)
        if value is None:
            self.collector.error(
                "E539",
                f"{what} is not known before the network runs",
                span,
                "must be a constant",
                help="use numbers, constants and parameters of the network only",
            )
            return None
        return value

    def whole(self, expr: tree.Expression, what: str, least: int = 0) -> int | None:
        """A whole number within 1e-9, at least ``least``."""
        value = self.number(expr, ONE, what)
        if value is None:
            return None
        nearest = round(value) if math.isfinite(value) else 0
        if not math.isfinite(value) or abs(value - nearest) > 1e-9 * max(1.0, abs(value)):
            if self._said("E502", expr):
                return None
            below = math.floor(value) if math.isfinite(value) else 0
            self.collector.error(
                "E502",
                f"{what} must be a whole number, and this is {value:.12g}",
                expr.span,
                f"is {value:.12g}",
                help=f"choose numbers that give {below} or {below + 1}, or round: `floor(…)`",
            )
            return None
        if nearest < least or nearest > LARGEST:
            wanted = f"at least {least}" if nearest < least else f"at most {LARGEST}"
            self.collector.error(
                "E503", f"{what} must be {wanted}, and this is {nearest}", expr.span, f"is {nearest}", help=f"give {wanted}"
            )
            return None
        return nearest

    def _said(self, code: str, expr: tree.Expression) -> bool:
        """Whether the same words were already reported: one wrong `0.8*N` is one mistake wherever it is repeated."""
        return any(d.code == code and d.span is not None and d.span.text == expr.span.text for d in self.collector.diagnostics)

    def pair(self, expr: tree.Expression, what: str, least: int = 1) -> tuple[int, int] | None:
        """A whole number for both axes, or ``[rows, columns]``."""
        if isinstance(expr, tree.ListLiteral):
            if len(expr.items) != 2:
                self.collector.error(
                    "E513",
                    f"{what} takes one number or two, not {len(expr.items)}",
                    expr.span,
                    help="write for example `3` or `[3, 5]` (rows, columns)",
                )
                return None
            first, second = self.whole(expr.items[0], what, least), self.whole(expr.items[1], what, least)
            return None if first is None or second is None else (first, second)
        value = self.whole(expr, what, least)
        return None if value is None else (value, value)

    def truth(self, expr: tree.Expression, what: str) -> bool | None:
        """``true`` or ``false``."""
        if isinstance(expr, tree.Name) and expr.id in ("true", "false"):
            return expr.id == "true"
        self.collector.error("E513", f"{what} is true or false", expr.span, help=f"write `{what.split(' ')[-1].strip('`')} = true`")
        return None

    def word(self, expr: tree.Expression) -> str | None:
        """A bare name or a string, without a report when it is neither."""
        match expr:
            case tree.Name(id=word):
                return word
            case tree.String(value=text):
                return text
            case _:
                return None

    def time(self, expr: tree.Expression, what: str) -> float | None:
        """A constant time in ms; a plain number counts steps where the clock allows it."""
        found = self.duration(expr, what)
        return None if found is None else self.constant(found, expr.span, what)

    def duration(self, expr: tree.Expression, what: str, allow: frozenset[str] = frozenset()) -> Expr | None:
        """A time in ms that may hold draws; a plain number counts steps where the clock allows it."""
        typed = self.typed(expr, allow)
        if typed.free:
            return fold(typed.expr)
        if typed.kind == "unknown" or typed.unit is None:
            return None
        if typed.kind == "number" and typed.unit == TIME:
            if self.clock.has_unit:
                return fold(typed.expr)
            self.collector.error(
                "E606",
                f"{what} is a time, but this network only counts steps",
                expr.span,
                "has the unit of time",
                help=("write a plain number of steps, such as `30`", "or give the steps a length: `dt = 1 ms`"),
            )
            return None
        if typed.kind == "number" and typed.unit.is_dimensionless:
            value = evaluate(typed.expr)
            if self.clock.steps or value == 0 or (value is not None and math.isinf(value)):
                return fold(self._in_steps(typed.expr))
            self.collector.error("E606", f"{what} needs a unit of time", expr.span, "a plain number", help="write for example `100 ms`")
            return None
        kind = f"the unit {describe(typed.unit)}" if typed.kind == "number" else f"a {typed.kind}"
        self.collector.error("E606", f"{what} must be a time, and this has {kind}", expr.span, help="write for example `100 ms`")
        return None

    def _in_steps(self, expr: Expr) -> Expr:
        from snnlang.model.expression import Binary

        dt = self.clock.dt
        return expr if dt is None or dt == 1.0 else Binary("*", expr, Constant(dt, TIME))

    # --- values of arguments ------------------------------------------------------------------------------------------

    def value(self, expr: tree.Expression, unit: Unit, what: str, allow: frozenset[str]) -> Value | None:
        """An argument: an expression, a list of numbers, or an array from a file (``load("w.npz", "w") * 1 mV``)."""
        if isinstance(expr, tree.ListLiteral):
            return self.array(expr, unit, what)
        load = _load_of(expr)
        if load is None:
            return self.expect(expr, unit, what, allow)
        call, factor = load
        scale, scale_unit = 1.0, ONE
        if factor is not None:
            typed = self.resolver().number(factor)
            if typed.kind != "number" or typed.unit is None:
                return None
            number = self.constant(typed.expr, factor.span, what)
            if number is None:
                return None
            scale, scale_unit = number, typed.unit
        if scale_unit != unit:
            self.collector.error(
                "E538",
                f"{what} has the unit {describe(unit)}, and the numbers of this file would have {describe(scale_unit)}",
                expr.span,
                f"has {describe(scale_unit)}",
                help=f"multiply by a unit: `load(…) * 1 {describe(unit)}`",
            )
            return None
        array = self.load(call, what)
        return None if array is None else ArrayValue(array * scale, unit, span=expr.span)

    def array(self, expr: tree.ListLiteral, unit: Unit, what: str) -> ArrayValue | None:
        """A nested list of constants, all of one unit; rows of unequal length are refused."""
        rows = self._rows(expr, unit, what)
        if rows is None:
            return None
        try:
            array = np.array(rows, dtype=np.float64)
        except ValueError:
            self.collector.error("E510", f"the rows of {what} differ in length", expr.span, help="give every row as many numbers")
            return None
        if array.size == 0:
            self.collector.error("E510", f"{what} is an empty list", expr.span, help="give at least one number")
            return None
        return ArrayValue(array, unit, span=expr.span)

    def _rows(self, expr: tree.ListLiteral, unit: Unit, what: str) -> list[object] | None:
        rows: list[object] = []
        sound = True
        for item in expr.items:
            entry: object
            if isinstance(item, tree.ListLiteral):
                entry = self._rows(item, unit, what)
            elif (typed := self.typed(item)).kind == "unknown":
                entry = None
            elif typed.kind == "number" and typed.unit is not None and typed.unit.is_dimensionless and evaluate(typed.expr) == 0:
                entry = 0.0  # a bare 0 among quantities
            else:
                entry = self.number(item, unit, f"an entry of {what}")
            sound = sound and entry is not None
            rows.append(entry)
        return rows if sound else None

    def load(self, call: tree.Call, what: str) -> NDArray[np.float64] | None:
        """The array of ``load("file.npz", "name")`` or ``load("file.npy")``."""
        words = [a.value.value for a in call.arguments if isinstance(a, tree.Argument) and isinstance(a.value, tree.String)]
        if len(words) != len(call.arguments) or not 1 <= len(words) <= 2:
            self.collector.error(
                "E538", "`load` takes the name of a file and the name of an array in it", call.span, help='write `load("weights.npz", "w")`'
            )
            return None
        path = locate(words[0], call.span)
        found = read_arrays(path, call.span, self.collector)
        if found is None:
            return None
        name = words[1] if len(words) == 2 else next(iter(found), "")
        if name not in found or (len(words) == 1 and len(found) != 1):
            self.collector.error(
                "E538",
                f"there is no array '{name}' in {words[0]}" if len(words) == 2 else f"{words[0]} holds several arrays",
                call.span,
                f"in {what}",
                help=f"it has {listing(found)}",
            )
            return None
        return numbers(found[name], f"the array '{name}'", call.span, self.collector)


def loads(expr: tree.Expression) -> bool:
    """Whether an expression is ``load(…)``, perhaps times a unit."""
    return _load_of(expr) is not None


def _load_of(expr: tree.Expression) -> tuple[tree.Call, tree.Expression | None] | None:
    def is_load(part: tree.Expression) -> bool:
        return isinstance(part, tree.Call) and isinstance(part.function, tree.Name) and part.function.id == "load"

    match expr:
        case tree.Call() if is_load(expr):
            return expr, None
        case tree.Binary(operator="*", left=tree.Call() as left, right=right) if is_load(left):
            return left, right
        case tree.Binary(operator="*", left=left, right=tree.Call() as right) if is_load(right):
            return right, left
        case _:
            return None


def locate(name: str, span: Span | None) -> Path:
    """A file named in a text: beside that text first, then in the working directory."""
    path = Path(name).expanduser()
    consult(path)
    if path.is_absolute() or span is None:
        return path
    beside = Path(span.source.name).parent / path
    consult(beside)
    return beside if beside.exists() or not path.exists() else path


def read_arrays(path: Path, span: Span | None, collector: Collector, code: str = "E538") -> dict[str, NDArray[np.generic]] | None:
    """The arrays of an .npz or .npy file by name (an .npy file has one, named after the file)."""
    if not path.is_file():
        collector.error(code, f"there is no file {path}", span, "not found", help="check the name; paths are relative to this file")
        return None
    try:
        with path.open("rb") as stream:
            content = np.load(stream, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return {path.stem: content}
            return {name: content[name] for name in content.files}
    except (OSError, ValueError, EOFError, KeyError) as problem:
        reason = str(problem).split("\n")[0][:120]
        if "pickle" in reason:  # NumPy would advise to load it all the same
            reason = "it holds Python objects, which are never loaded" if "Object arrays" in reason else "it is neither .npz nor .npy"
        collector.error(code, f"{path} cannot be read as NumPy arrays: {reason}", span, help="save it with `numpy.savez(path, name=array)`")
        return None
    except Exception as problem:  # zipfile.BadZipFile and friends have no common parent
        collector.error(
            code,
            f"{path} cannot be read as NumPy arrays ({type(problem).__name__})",
            span,
            help="save it with `numpy.savez(path, name=array)`",
        )
        return None


def numbers(
    array: NDArray[np.generic], what: str, span: Span | None, collector: Collector, code: str = "E538"
) -> NDArray[np.float64] | None:
    """The array as finite float64 numbers, or a report."""
    if array.dtype.kind not in "biuf":
        collector.error(code, f"{what} does not hold numbers but {array.dtype}", span, help="save an array of numbers")
        return None
    result = np.asarray(array, dtype=np.float64)
    if not np.isfinite(result).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(result))[0])
        collector.error(code, f"{what} holds a value that is not finite at {list(place)}", span, help="replace NaN and infinity")
        return None
    return result
