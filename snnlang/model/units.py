"""Units: dimensions as exponents, the table of unit names, and the one coherent system that generated code works in.

Values inside a checked program are plain numbers in ms, mV, pA, nS, pF, GOhm, kHz, um and mmol, so that kernels read like
the model and float32 keeps its precision. A dimension is a tuple of exponents over (volt, ampere, second, metre, mole).
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from snnlang.frozen import dataclass

Exponents = tuple[Fraction, Fraction, Fraction, Fraction, Fraction]

_ZERO = Fraction(0)


@dataclass(frozen=True, slots=True)
class Unit:
    """A dimension: exponents of volt, ampere, second, metre and mole."""

    exponents: Exponents

    def __mul__(self, other: Unit) -> Unit:
        a, b = self.exponents, other.exponents
        return Unit((a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4]))

    def __truediv__(self, other: Unit) -> Unit:
        a, b = self.exponents, other.exponents
        return Unit((a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3], a[4] - b[4]))

    def __pow__(self, power: Fraction | int) -> Unit:
        a = self.exponents
        return Unit((a[0] * power, a[1] * power, a[2] * power, a[3] * power, a[4] * power))

    @property
    def is_dimensionless(self) -> bool:
        return not any(self.exponents)

    def __str__(self) -> str:
        return describe(self)


def _unit(volt: int = 0, ampere: int = 0, second: int = 0, metre: int = 0, mole: int = 0) -> Unit:
    return Unit((Fraction(volt), Fraction(ampere), Fraction(second), Fraction(metre), Fraction(mole)))


ONE = _unit()
TIME = _unit(second=1)
RATE = _unit(second=-1)
VOLTAGE = _unit(volt=1)
CURRENT = _unit(ampere=1)
CONDUCTANCE = _unit(volt=-1, ampere=1)
RESISTANCE = _unit(volt=1, ampere=-1)
CAPACITANCE = _unit(volt=-1, ampere=1, second=1)
CHARGE = _unit(ampere=1, second=1)
LENGTH = _unit(metre=1)
AMOUNT = _unit(mole=1)
NOISE = Unit((_ZERO, _ZERO, Fraction(-1, 2), _ZERO, _ZERO))

# How many internal units make one SI unit, for each base: mV, pA, ms, um, mmol.
_INTERNAL_PER_SI = (1e3, 1e12, 1e3, 1e6, 1e3)

_PREFIXES = {
    "": 1.0,
    "f": 1e-15,
    "p": 1e-12,
    "n": 1e-9,
    "u": 1e-6,
    "µ": 1e-6,
    "μ": 1e-6,
    "m": 1e-3,
    "c": 1e-2,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
}

# name -> (dimension, the prefixes it takes)
_BASES: dict[str, tuple[Unit, str]] = {
    "V": (VOLTAGE, "numµμkM"),
    "A": (CURRENT, "fpnuµμmk"),
    "s": (TIME, "pnuµμm"),
    "m": (LENGTH, "nuµμmck"),
    "mol": (AMOUNT, "npuµμm"),
    "Hz": (RATE, "mkMG"),
    "S": (CONDUCTANCE, "fpnuµμm"),
    "Ohm": (RESISTANCE, "mkMG"),
    "ohm": (RESISTANCE, "mkMG"),
    "Ω": (RESISTANCE, "mkMG"),
    "F": (CAPACITANCE, "fpnuµμm"),
    "C": (CHARGE, "fpnuµμm"),
}


def _internal(unit: Unit, si_value: float) -> float:
    value = si_value
    for exponent, factor in zip(unit.exponents, _INTERNAL_PER_SI, strict=True):
        if exponent:
            value *= factor ** float(exponent)
    return float(f"{value:.15g}")


def _table() -> dict[str, tuple[float, Unit]]:
    table: dict[str, tuple[float, Unit]] = {}
    for name, (unit, prefixes) in _BASES.items():
        for prefix in ("", *prefixes):
            table[prefix + name] = (_internal(unit, _PREFIXES[prefix]), unit)
    litre = _unit(metre=3)
    for prefix in ("", "m", "u"):
        table[prefix + "L"] = (_internal(litre, _PREFIXES[prefix] * 1e-3), litre)
    return table


#: Every unit name -> (its size in internal units, its dimension).
UNITS: dict[str, tuple[float, Unit]] = _table()


def resolve(factors: Iterable[tuple[str, int]]) -> tuple[float, Unit]:
    """Size in internal units and dimension of ``mS/cm^2``, given as pairs of name and exponent.

    Raises KeyError with the name of a unit that does not exist.
    """
    scale, unit = 1.0, ONE
    for name, exponent in factors:
        size, dimension = UNITS[name]
        scale *= size**exponent
        unit = unit * dimension**exponent
    return float(f"{scale:.15g}"), unit


_NAMED: tuple[tuple[str, Unit], ...] = (
    ("1", ONE),
    ("mV", VOLTAGE),
    ("pA", CURRENT),
    ("ms", TIME),
    ("kHz", RATE),
    ("nS", CONDUCTANCE),
    ("GOhm", RESISTANCE),
    ("pF", CAPACITANCE),
    ("fC", CHARGE),
    ("um", LENGTH),
    ("mmol", AMOUNT),
    ("mV/ms", VOLTAGE / TIME),
    ("pA/ms", CURRENT / TIME),
    ("nS/ms", CONDUCTANCE / TIME),
    ("1/mV", ONE / VOLTAGE),
    ("ms^-0.5", NOISE),
)
_NAMES: dict[Unit, str] = {unit: name for name, unit in _NAMED}
_SYMBOLS = ("mV", "pA", "ms", "um", "mmol")


def describe(unit: Unit) -> str:
    """The unit in internal units, as a person would write it: ``mV/ms``, ``pA/um^2``, ``1``."""
    if unit in _NAMES:
        return _NAMES[unit]
    for name, base in _NAMED[1:10]:
        rest = unit / base
        exponents = [e for e in rest.exponents if e]
        if len(exponents) == 1 and exponents[0] < 0:
            return f"{name}/{_power(rest, -1)}"
    above = [(symbol, e) for symbol, e in zip(_SYMBOLS, unit.exponents, strict=True) if e > 0]
    below = [(symbol, -e) for symbol, e in zip(_SYMBOLS, unit.exponents, strict=True) if e < 0]
    text = "*".join(_with_exponent(symbol, e) for symbol, e in above) or "1"
    for symbol, e in below:
        text += f"/{_with_exponent(symbol, e)}"
    return text


def _power(unit: Unit, sign: int) -> str:
    return "*".join(_with_exponent(symbol, sign * e) for symbol, e in zip(_SYMBOLS, unit.exponents, strict=True) if e)


def _with_exponent(symbol: str, exponent: Fraction) -> str:
    return symbol if exponent == 1 else f"{symbol}^{exponent if exponent.denominator == 1 else float(exponent)}"
