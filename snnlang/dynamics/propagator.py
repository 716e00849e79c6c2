"""The exact solution of linear equations with constant coefficients over one step, inputs held: ``x' = exp(A*dt)*x + integral*b``.

States in triangular order (a membrane fed by synapses, a cascade) have closed forms: the entry of the exponential from one state to
another is the sum, over the paths between them, of the couplings on the path times a divided difference of exp at its rates
(Opitz's theorem). Divided differences are written in a form that is smooth where rates coincide, so that equal time constants need
no case of their own. Two states that feed each other have a closed form with a branch for oscillation. Anything else of up to four
states that hang together is computed once by a Taylor polynomial, scaled and squared. Larger coupled groups are refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise

from snnlang.dynamics.build import Builder
from snnlang.dynamics.divided import divided2, divided3, turning
from snnlang.dynamics.products import Monomial, Sum, collect, expand, tidy, times
from snnlang.dynamics.squaring import Matrix, exponential
from snnlang.dynamics.system import Ode
from snnlang.dynamics.terms import (
    DT,
    TIME_END,
    UNIT,
    ZERO,
    NotLinear,
    add,
    call,
    constant,
    divide,
    linear_parts,
    multiply,
    own_name,
    reads,
    substitute,
    subtract,
    total,
)
from snnlang.frozen import dataclass
from snnlang.model.expression import Expr, Variable

_LARGEST_COUPLED = 4


@dataclass(frozen=True, slots=True)
class Linear:
    """``d(variable)/dt = sum of matrix[variable, other]*other + drive[variable]``, entries that are zero left out."""

    odes: tuple[Ode, ...]
    matrix: dict[tuple[str, str], Expr]
    drive: dict[str, Expr]
    explicit_time: bool


class NotExact(Exception):
    """Why a system has no exact step: ``variable``'s equation, the term that is to blame, and a reason that follows 'because'."""

    def __init__(self, variable: str, term: Expr | None, reason: str) -> None:
        super().__init__()
        self.variable, self.term, self.reason = variable, term, reason


def linear_system(builder: Builder, odes: Iterable[Ode]) -> Linear:
    """The coefficients of linear equations. Raises NotExact."""
    odes = tuple(odes)
    names = [ode.variable for ode in odes]
    matrix: dict[tuple[str, str], Expr] = {}
    drive: dict[str, Expr] = {}
    explicit = False
    for ode in odes:
        rate = builder.inlined(builder.rate(ode))
        try:
            rest, parts = linear_parts(rate, names)
        except NotLinear as problem:
            raise NotExact(ode.variable, problem.term, "it is not linear") from None
        for name in names:
            entry = tidy(parts.get(name, ZERO))
            if reads(entry, ["t"]):
                raise NotExact(ode.variable, parts[name], "a coefficient depends on time")
            if builder.kind(entry) == "evolving":
                raise NotExact(ode.variable, parts[name], "a coefficient evolves")
            if entry != ZERO:
                matrix[ode.variable, name] = entry
        if builder.kind(rest) == "evolving":
            raise NotExact(ode.variable, rest, "it depends on a variable that evolves otherwise")
        if reads(rest, ["t"]):
            explicit = True
            rest = substitute(rest, {"t": subtract(TIME_END, divide(DT, constant(2)))})
        if rest != ZERO:
            drive[ode.variable] = rest
    linear = Linear(odes, matrix, drive, explicit)
    for group in _groups(linear):
        if not _closed_form(linear, group) and len(group) > _LARGEST_COUPLED:
            raise NotExact(group[0], None, f"{len(group)} states are coupled in a way that has no short closed form")
    return linear


def _groups(linear: Linear) -> list[list[str]]:
    """The states that hang together, each group and all groups in written order."""
    names = [ode.variable for ode in linear.odes]
    group_of = {name: {name} for name in names}
    for row, column in linear.matrix:
        if group_of[row] is not group_of[column]:
            joined = group_of[row] | group_of[column]
            for name in joined:
                group_of[name] = joined
    found: list[list[str]] = []
    for name in names:
        group = [other for other in names if other in group_of[name]]
        if group not in found:
            found.append(group)
    return found


def paths(linear: Linear, start: str, end: str, seen: tuple[str, ...] = ()) -> list[tuple[str, ...]] | None:
    """All ways along couplings from ``start`` to ``end`` (each name once); None when a way returns to a name: the
    states are not triangular.
    """
    if start == end:
        return [(start,)]
    found: list[tuple[str, ...]] = []
    for row, column in linear.matrix:
        if column == start and row != start:
            if row in seen:
                return None
            further = paths(linear, row, end, (*seen, start))
            if further is None:
                return None
            found.extend((start, *way) for way in further)
    return found


def _closed_form(linear: Linear, group: list[str]) -> str:
    """``chain`` or ``pair`` when the group has a short closed form, else nothing."""
    if _is_triangular(linear, group):
        lengths = [
            len(way) + (start in linear.drive)
            for start in group
            for end in group
            for way in paths(linear, start, end) or ()
        ]
        return "chain" if max(lengths) <= 3 else ""
    return "pair" if len(group) == 2 else ""


def _is_triangular(linear: Linear, group: list[str]) -> bool:
    pending, placed = list(group), set[str]()
    while pending:
        ready = [n for n in pending if all(c in placed or c == n for r, c in linear.matrix if r == n)]
        if not ready:
            return False
        placed.update(ready)
        pending = [name for name in pending if name not in placed]
    return True


def propagate(builder: Builder, linear: Linear) -> float | None:
    """Write the exact step of a linear system; the order of convergence (None: exact).

    Order 2 with an explicit time dependence (taken at mid-step), 1 (strong) when noise reaches a state through another one.
    """
    for group in _groups(linear):
        form = _closed_form(linear, group)
        if form == "chain":
            _Chain(builder, linear, group).write()
        elif form == "pair":
            _pair(builder, linear, group)
        else:
            _squared(builder, linear, group)
    feeds = {column for row, column in linear.matrix if row != column}
    noisy = {ode.variable for ode in linear.odes if ode.noises}
    if noisy & feeds:
        return 1.0
    return 2.0 if linear.explicit_time else None


class _Chain:
    """States without feedback: closed forms along the paths between them."""

    def __init__(self, builder: Builder, linear: Linear, group: list[str]) -> None:
        self.builder, self.linear, self.group = builder, linear, group
        self.exponents: dict[str, Expr] = {}
        self.decays: dict[str, Expr] = {}
        for name in group:
            exponent = tidy(multiply(linear.matrix.get((name, name), ZERO), DT))
            self.exponents[name] = exponent
            self.decays[name] = UNIT if exponent == ZERO else builder.let(f"decay_{name}", call("exp", exponent))

    def write(self) -> None:
        for ode in self.linear.odes:
            if ode.variable in self.group:
                self._write(ode)

    def _write(self, ode: Ode) -> None:
        name = ode.variable
        terms = [multiply(self.decays[name], Variable(name))]
        for other in self.group:
            if other != name:
                gain = self._gain(other, name, driven=False)
                if gain != ZERO:
                    terms.append(multiply(self.builder.let(f"P_{name}_{other}", gain), Variable(other)))
        terms.extend(
            drives(
                self.builder,
                name,
                [
                    (self._gain(other, name, driven=True), self.linear.drive[other])
                    for other in self.group
                    if other in self.linear.drive
                ],
            )
        )
        terms.extend(self._noise(ode))
        self.builder.update(ode, total(terms))

    def _gain(self, start: str, end: str, driven: bool) -> Expr:
        """What a unit of ``start`` (or a constant drive of it over the step) adds to ``end``."""
        gains = []
        for way in paths(self.linear, start, end) or ():
            coupling: Expr = UNIT
            for column, row in pairwise(way):
                coupling = multiply(coupling, self.linear.matrix[row, column])
            power = len(way) - 1 + driven
            for _ in range(power):
                coupling = multiply(coupling, DT)
            gains.append(tidy(multiply(coupling, self._divided(way, driven, f"P_{end}_{start}"))))
        return total(gains)

    def _divided(self, way: tuple[str, ...], driven: bool, name: str) -> Expr:
        nodes = [(self.exponents[step], self.decays[step]) for step in way] + ([(ZERO, UNIT)] if driven else [])
        if len(nodes) == 1:
            return nodes[0][1]
        if len(nodes) == 2:
            return divided2(self.builder.system.positive, nodes[0], nodes[1])
        return divided3(self.builder, name, nodes[0], nodes[1], nodes[2])

    def _noise(self, ode: Ode) -> list[Expr]:
        """Noise over a step has the variance of the Ornstein-Uhlenbeck process: dt * (exp(2*l*dt) - 1)/(2*l*dt)."""
        terms = []
        for number, coefficient in ode.noises:
            double = tidy(multiply(constant(2), self.exponents[ode.variable]))
            variance = tidy(
                multiply(DT, divided2(self.builder.system.positive, (double, call("exp", double)), (ZERO, UNIT)))
            )
            terms.append(noise_term(self.builder, ode.variable, coefficient, call("sqrt", variance), number))
        return terms


def noise_term(builder: Builder, name: str, coefficient: Expr, deviation: Expr, number: int) -> Expr:
    """``coefficient * deviation * N(0, 1)``."""
    scale = builder.inlined(coefficient)
    if builder.kind(scale) == "constant":
        return multiply(builder.let(f"noise_{name}", multiply(scale, deviation)), builder.noise(number))
    return multiply(multiply(scale, builder.let(f"noise_{name}", deviation)), builder.noise(number))


def drives(builder: Builder, name: str, gains: list[tuple[Expr, Expr]]) -> list[Expr]:
    """The terms that constant and held drives add to ``name``: constants together in one coefficient, a gain for everything held."""
    grouped: dict[Monomial, Sum] = {}
    for gain, drive in gains:
        factor = expand(gain)
        for monomial, value in expand(drive).items():
            moving = tuple(item for item in monomial if builder.kind(item[0]) != "constant")
            fixed = tuple(item for item in monomial if builder.kind(item[0]) == "constant")
            group = grouped.setdefault(moving, {})
            for key, more in times(factor, {fixed: value}).items():
                group[key] = group.get(key, 0) + more
    terms = []
    for moving, total_gain in sorted(grouped.items(), key=lambda item: not item[0]):
        coefficient = collect(total_gain)
        if not moving:
            terms.append(builder.let(f"drift_{name}", coefficient))
            continue
        held = collect({moving: Fraction(1)})
        terms.append(multiply(builder.let(f"P_{name}_{own_name(held) or 'drive'}", coefficient), held))
    return [term for term in terms if term != ZERO]


def _pair(builder: Builder, linear: Linear, group: list[str]) -> None:
    """Two states that feed each other."""
    x, y = group
    entries = {key: multiply(linear.matrix.get(key, ZERO), DT) for key in ((x, x), (x, y), (y, x), (y, y))}
    flow, gain = turning(builder, x, y, entries, driven=any(name in linear.drive for name in group))
    _write_matrix(builder, linear, group, flow, gain)


def _squared(builder: Builder, linear: Linear, group: list[str]) -> None:
    entries: Matrix = {
        (r, c): multiply(linear.matrix[r, c], DT) for r in group for c in group if (r, c) in linear.matrix
    }
    flow, gain = exponential(builder, group, entries, [name for name in group if name in linear.drive])
    _write_matrix(builder, linear, group, flow, gain)


def _write_matrix(builder: Builder, linear: Linear, group: list[str], flow: Matrix, gain: Matrix) -> None:
    """``gain`` is the integral of the flow over a step divided by dt."""
    for ode in linear.odes:
        name = ode.variable
        if name not in group:
            continue
        terms = [
            multiply(flow[name, other], Variable(other))
            for other in [name, *(o for o in group if o != name)]
            if (name, other) in flow
        ]
        terms.extend(
            drives(
                builder,
                name,
                [
                    (multiply(gain[name, other], DT), linear.drive[other])
                    for other in group
                    if other in linear.drive and (name, other) in gain
                ],
            )
        )
        for number, coefficient in ode.noises:
            terms.append(noise_term(builder, name, coefficient, call("sqrt", DT), number))
        result: Expr = ZERO
        for term in terms:
            result = add(result, term)
        builder.update(ode, result)
