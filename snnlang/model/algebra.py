"""Products, quotients and powers of units, remembered: a file of ten thousand lines uses a few dozen of them.

A unit holds five fractions, and multiplying two is slow where it happens at every operator. Units met here are interned,
so that a result is looked up by identity. ``None`` stands for a unit that is not known and absorbs everything.
"""

from __future__ import annotations

from fractions import Fraction

from snnlang.model import units
from snnlang.model.units import ONE, TIME, Unit
from snnlang.syntax import tree

_interned: dict[Unit, Unit] = {}
_kept: dict[int, Unit] = {}
_results: dict[tuple[str, int, int], Unit] = {}
_powers: dict[tuple[int, Fraction], Unit] = {}
_resolved: dict[tuple[tree.UnitFactor, ...], tuple[float, Unit]] = {}


def intern(unit: Unit) -> Unit:
    """The one object that stands for this unit."""
    if id(unit) in _kept:
        return unit
    kept = _interned.setdefault(unit, unit)
    _kept[id(kept)] = kept
    return kept


def product(left: Unit | None, right: Unit | None) -> Unit | None:
    """``left * right``; unknown when one of them is."""
    if left is None or right is None:
        return None
    left, right = intern(left), intern(right)
    key = ("*", id(left), id(right))
    result = _results.get(key)
    if result is None:
        result = _results[key] = intern(left * right)
    return result


def quotient(left: Unit | None, right: Unit | None) -> Unit | None:
    """``left / right``; unknown when one of them is."""
    if left is None or right is None:
        return None
    left, right = intern(left), intern(right)
    key = ("/", id(left), id(right))
    result = _results.get(key)
    if result is None:
        result = _results[key] = intern(left / right)
    return result


def power(unit: Unit | None, exponent: Fraction) -> Unit | None:
    """``unit ^ exponent``; unknown stays unknown."""
    if unit is None:
        return None
    unit = intern(unit)
    key = (id(unit), exponent)
    result = _powers.get(key)
    if result is None:
        result = _powers[key] = intern(unit**exponent)
    return result


def per_time(unit: Unit | None) -> Unit | None:
    """The unit of a derivative by time."""
    return quotient(unit, TIME)


def same(left: Unit | None, right: Unit | None) -> bool:
    """Whether two units agree; an unknown one agrees with everything."""
    return left is None or right is None or left is right or left == right


def is_plain(unit: Unit | None) -> bool:
    """Whether a unit is known and dimensionless."""
    return unit is not None and (unit is ONE or unit.is_dimensionless)


def resolve_factors(factors: tuple[tree.UnitFactor, ...]) -> tuple[float, Unit]:
    """Size in internal units and dimension of a unit as written. Raises KeyError with an unknown unit's name."""
    found = _resolved.get(factors)
    if found is None:
        size, unit = units.resolve((factor.name, factor.exponent) for factor in factors)
        found = _resolved[factors] = (size, intern(unit))
    return found


def write_factors(factors: tuple[tree.UnitFactor, ...]) -> str:
    """A unit as a person writes it: ``mS/cm^2``, ``1/ms``."""
    above = [_factor(f.name, f.exponent) for f in factors if f.exponent > 0]
    below = [_factor(f.name, -f.exponent) for f in factors if f.exponent < 0]
    return "/".join(["*".join(above) or "1", *below])


def _factor(name: str, exponent: int) -> str:
    return name if exponent == 1 else f"{name}^{exponent}"
