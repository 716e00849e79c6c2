"""Expressions and statements of the kernel language as C text: what the C and CUDA printers share.

Goals: text that a person reads as the equation it came from, and that means what :mod:`snnlang.codegen.interpret` computes. Names that C
knows already get an underscore. It knows no loop, no memory layout and no thread: those ask :class:`Scope` for the text of an array.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from typing import Literal

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import FOR_EVER, identifier
from snnlang.codegen.functions import FUNCTIONS

Precision = Literal["double", "single"]

#: Words that a generated name may not be: C's own, those of the headers, and those of the generated code.
RESERVED = frozenset(
    """auto break case char const continue default do double else enum extern float for goto if inline int long register
    restrict return short signed sizeof static struct switch typedef union unsigned void volatile while bool true false
    asm typeof real m step t dt i lane count block pre post synapse shared part end first last item slot row column main
    exp log sin cos tan sqrt pow abs erf gamma y0 y1 yn j0 j1 jn signal time clock exit free malloc index remove rename
    random div round floor ceil min max I NULL INFINITY NAN unix linux errno stdin stdout stderr mix EOF HUGE_VAL assert
    rows grid fired fired_count number of stop to from own side place waiting marked work at thread threads given filled
    turn synapse_of pre_of post_of shared_of job model record simulate build move""".split()
)

C_TYPES = {"real": "real", "int": "int32_t", "bool": "uint8_t"}
_LOCAL_TYPES = {"real": "real", "int": "int32_t", "bool": "int"}

_ATOM, _UNARY, _PRODUCT, _SUM, _ORDER, _EQUAL, _AND, _OR, _CHOICE = range(9)
_STRENGTH = {"*": _PRODUCT, "/": _PRODUCT, "+": _SUM, "-": _SUM}
_POWERS = {2.0: "snn_square", 3.0: "snn_cube", 4.0: "snn_fourth"}
#: Functions that only :mod:`snnlang.codegen.c_exponentials` writes.
_SHARING = {"rate": "snn_rate", "falling_rate": "snn_falling_rate"}

_WORD = re.compile(r"\b[A-Za-z_]\w*\b")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def safe(name: str) -> str:
    """A name of the plan as a C identifier. It never holds two underscores in a row: names of the printer's own do."""
    made = identifier(name)
    return made + "_" if made in RESERVED or made.startswith("snn_") else made


def words(text: str) -> set[str]:
    """The words of a text but those of its comments."""
    return set(_WORD.findall(_COMMENT.sub("", text)))


def real_literal(value: float, precision: Precision) -> str:
    """A real number as C text of the plan's precision."""
    if math.isnan(value):
        return "(real)NAN"
    if math.isinf(value):
        return "(real)INFINITY" if value > 0 else "-(real)INFINITY"
    text = repr(float(value))
    return text + "f" if precision == "single" else text


@dataclass
class Scope:
    """What names mean inside one kernel.

    ``place`` gives the C text of an element of an array (array, index text or None, lag text or None); ``names`` the text of bound names
    that are not called as in the plan; ``wide`` the names of 64-bit whole numbers; ``lift`` turns a whole number that is data of the plan
    into a run-time name, ``number`` a real one (None: it stays in the text); ``stream`` is the text of a stream's key.
    """

    precision: Precision
    place: Callable[[str, k.Expr | None, k.Expr | None], str]
    stream: Callable[[str], str]
    lift: Callable[[int], str | None]
    number: Callable[[k.Const], str | None]
    names: dict[str, str] = field(default_factory=dict)
    strict: bool = False  # every rounding as the plan has it
    wide: set[str] = field(default_factory=lambda: {"i", "pre", "post", "synapse", "shared"})

    def name_locals(self, kernel: k.Kernel, taken: Set[str]) -> None:
        """Names for what a kernel binds: none hides one of ``taken`` or another."""
        hidden = set(taken)
        for statement in k.walk_statements(kernel.body):
            if isinstance(statement, k.Let) and statement.name not in self.names:
                wanted = safe(statement.name)
                name, number = wanted, 2
                while name in hidden:
                    name, number = f"{wanted}_{number}", number + 1
                hidden.add(name)
                self.names[statement.name] = name

    # --- expressions --------------------------------------------------------------------------------------------------

    def text(self, expr: k.Expr, limit: int = _CHOICE) -> str:
        """An expression, in brackets where it binds less than ``limit`` asks."""
        text, strength = self._text(expr)
        return f"({text})" if strength > limit else text

    def _text(self, expr: k.Expr) -> tuple[str, int]:
        match expr:
            case k.Const(value=value, type="bool"):
                return ("1" if value else "0"), _ATOM
            case k.Const(value=value, type="int"):
                return self._whole(int(value))
            case k.Const(value=value):
                lifted = self.number(expr)
                if lifted is not None:
                    return lifted, _ATOM
                return real_literal(float(value), self.precision), _UNARY if float(value) < 0 else _ATOM
            case k.Local(name=name):
                return self.names.get(name, name), _ATOM
            case k.Load(array=array, index=index, lag=lag):
                return self.place(array, index, lag), _ATOM
            case k.Unary(operator="not", operand=operand):
                return f"!{self.text(operand, _ATOM)}", _UNARY
            case k.Unary(operand=operand):
                return f"-{self.text(operand, _ATOM)}", _UNARY
            case k.Binary():
                return self._binary(expr)
            case k.Compare(operator=operator, left=left, right=right):
                strength = _EQUAL if operator in ("==", "!=") else _ORDER
                return f"{self.text(left, _SUM)} {operator} {self.text(right, _SUM)}", strength
            case k.Logic(operator=operator, left=left, right=right):
                # & and | of truth values evaluate both sides, which vector code wants
                sign, strength = ("&", _AND) if operator == "and" else ("|", _OR)
                return f"{self._truth(left)} {sign} {self._truth(right)}", strength
            case k.Choose(condition=condition, value=value, otherwise=otherwise):
                return f"{self.text(condition, _OR)} ? {self.text(value, _OR)} : {self.text(otherwise, _OR)}", _CHOICE
            case k.Call(function="int", arguments=(argument,)):
                return f"snn_whole({self.text(argument)})", _ATOM
            case k.Call(function="real", arguments=(argument,)):
                return f"(real){self.text(argument, _ATOM)}", _UNARY
            case k.Call(function=function, arguments=arguments) if function in _SHARING:
                suffix = "" if self.precision == "double" else "f"
                return f"{_SHARING[function]}{suffix}({', '.join(self.text(a) for a in arguments)})", _ATOM
            case k.Call(function=function, arguments=arguments, type=type):
                row = FUNCTIONS[function]
                form = row.c if self.precision == "double" else row.single
                plain = [self._argument(argument) for argument in arguments]
                text = form.format(*plain)
                return (f"(int32_t){text}" if type == "int" else text), _UNARY if type == "int" else _ATOM
            case k.Draw(distribution=distribution, stream=stream, index=index, counter=counter):
                suffix = "" if self.precision == "double" else "f"
                base = f"snn_base({self.stream(stream)}, {self.widened(index)})"
                return f"snn_{distribution}{suffix}({base}, {self.widened(counter)})", _ATOM

    def _argument(self, argument: k.Expr) -> str:
        text = self.text(argument)
        return f"(real)({text})" if argument.type == "int" or is_wide_time(argument) else text

    def _truth(self, expr: k.Expr) -> str:
        if isinstance(expr, k.Load):
            return f"({self.text(expr)} != 0)"
        text, strength = self._text(expr)
        return text if strength <= _UNARY else f"({text})"

    def _whole(self, value: int) -> tuple[str, int]:
        lifted = self.lift(value)
        if lifted is not None:
            return lifted, _ATOM
        if value == FOR_EVER:
            return "SNN_FOR_EVER", _ATOM
        return (f"{value}LL" if abs(value) >= 2**31 else str(value)), _UNARY if value < 0 else _ATOM

    def _binary(self, expr: k.Binary) -> tuple[str, int]:
        left, right, operator = expr.left, expr.right, expr.operator
        if expr.type == "int":
            if operator in ("/", "%"):
                function = "snn_floor_divide" if operator == "/" else "snn_remainder"
                return f"{function}({self.text(left)}, {self.text(right)})", _ATOM
            if operator == "^":
                return f"snn_whole(snn_pow({self.text(left)}, {self.text(right)}))", _ATOM
        elif operator == "^":
            return self._power(left, right)
        elif operator == "%":
            mod = FUNCTIONS["mod"].c if self.precision == "double" else FUNCTIONS["mod"].single
            return mod.format(self.text(left), self.text(right)), _ATOM
        if operator == "/" and isinstance(right, k.Call) and right.function == "exprel" and not self.strict:
            # one division instead of two: x/(exp(x) - 1)
            suffix = "" if self.precision == "double" else "f"
            return (
                f"{self.text(left, _PRODUCT)}*snn_inverse_exprel{suffix}({self._argument(right.arguments[0])})",
                _PRODUCT,
            )
        strength = _STRENGTH[operator]
        tighter = strength - 1 if operator in ("-", "/") else strength
        # the order of rounding is the plan's: a + (b + c) keeps its brackets
        if isinstance(right, k.Binary) and _STRENGTH.get(right.operator) == strength:
            tighter = strength - 1
        sign = operator if strength == _PRODUCT else f" {operator} "
        text = f"{self.text(left, strength)}{sign}{self.text(right, tighter)}"
        if expr.type == "real" and self.precision == "single" and (is_wide_time(left) or is_wide_time(right)):
            return f"(real)({text})", _UNARY
        return text, strength

    def _power(self, base: k.Expr, exponent: k.Expr) -> tuple[str, int]:
        suffix = "" if self.precision == "double" else "f"
        if isinstance(exponent, k.Const):
            value = float(exponent.value)
            if value in _POWERS:
                return f"{_POWERS[value]}{suffix}({self._argument(base)})", _ATOM
            if value == 1.0:
                return self._text(base)
            if value == 0.5:
                return f"sqrt{suffix}({self._argument(base)})", _ATOM
            if -value in _POWERS or value == -1.0:
                under = (
                    self.text(base, _UNARY) if value == -1.0 else f"{_POWERS[-value]}{suffix}({self._argument(base)})"
                )
                return f"{real_literal(1.0, self.precision)}/{under}", _PRODUCT
        return f"snn_pow{suffix}({self._argument(base)}, {self._argument(exponent)})", _ATOM

    def widened(self, expr: k.Expr) -> str:
        """A whole-number expression computed in 64 bits: indices and counters of draws wrap in no other width."""
        match expr:
            case k.Binary(operator=operator, left=left, right=right) if operator in ("+", "-", "*"):
                return f"({self.widened(left)} {operator} {self.widened(right)})"
            case k.Local(name=name) if name in self.wide:
                return self.text(expr)
            case k.Const():
                return self.text(expr)
        return f"(int64_t){self.text(expr, _ATOM)}"

    def is_wide(self, expr: k.Expr) -> bool:
        """Whether a whole number may need 64 bits: it is made from an index."""
        return any(isinstance(part, k.Local) and part.name in self.wide for part in k.walk(expr) if part.type == "int")

    def local_type(self, let: k.Let) -> str:
        """The C type of a bound name."""
        return "int64_t" if let.type == "int" and self.is_wide(let.value) else _LOCAL_TYPES[let.type]


def is_wide_time(expr: k.Expr) -> bool:
    """``t`` is double whatever the plan's precision: a step lost in rounding would be a wrong time."""
    return isinstance(expr, k.Local) and expr.name == "t"
