"""Exponentials of one variable at several rates share one: exp(v/40) to the eighth power is exp(v/5).

The rates of ion channels are made of exponentials of the same voltage, whose slopes are often whole multiples of one another
(Traub and Miles: 1/40, 1/5, 1/5, 1/5 and 1/4 per millivolt). Products cost a tenth of an exponential. With P = exp(g*x), where x is what
the arguments have in common and g their smallest slope, exp(k*g*x + c) is exp(c)*P^k, exp(-k*g*x + c) is exp(c)/P^k, and

    y/(exp(y) - 1), y = -k*g*x + c, is y/(exp(c) - P^k)*P^k,     1/(1 + exp(y)) is P^k/(P^k + exp(c)),

so that a slope of the other sign costs no division of its own; near y = 0 the first is a series. The relative error of a power is at most
about 20 roundings. Far out the powers go to 0 and to infinity as the exponentials do, and the quotients to their limits. Only the fast
mathematics of the C target does so. It refuses nothing: what does not fit stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.clike import Precision
from snnlang.codegen.simplify import rebuild
from snnlang.frozen import dataclass

_GREATEST_POWER = 16
#: By precision: the largest |c|, far from the ends of the range (exp(88), exp(709)), and a number that a power may be cut at in a quotient.
_CONSTANT = {"single": 30.0, "double": 60.0}
_GREAT = {"single": 2.0**100, "double": 2.0**900}


@dataclass(frozen=True, slots=True)
class _Line:
    """constant + sum of slope*atom; the atoms in the order in which they were met."""

    constant: float
    slopes: tuple[tuple[k.Expr, float], ...]

    def scaled(self, factor: float) -> _Line:
        return _Line(self.constant * factor, tuple((atom, slope * factor) for atom, slope in self.slopes))

    def plus(self, other: _Line) -> _Line:
        slopes = dict(self.slopes)
        for atom, slope in other.slopes:
            slopes[atom] = slopes.get(atom, 0.0) + slope
        return _Line(
            self.constant + other.constant, tuple((atom, slope) for atom, slope in slopes.items() if slope != 0.0)
        )


@dataclass(frozen=True, slots=True)
class _Use:
    """One exponential: the expression that stands for it, its argument, and whether the other sign of the slope costs nothing."""

    expr: k.Expr
    form: str  # exp, rate, logistic
    argument: k.Expr
    line: _Line
    place: int  # of the statement

    @property
    def slope(self) -> float:
        """In units of the first atom's, by the order of their texts."""
        return _first(self.line)[1]

    @property
    def direction(self) -> tuple[tuple[str, float], ...]:
        """The same for arguments that are multiples of each other but for a constant."""
        return tuple(sorted((repr(atom), round(slope / self.slope, 9)) for atom, slope in self.line.slopes))


def share_exponentials(plan: p.Plan) -> p.Plan:
    """The plan with shared exponentials in the population kernels of its step."""

    def changed(node: p.PlanNode) -> p.PlanNode:
        if isinstance(node, p.Launch) and isinstance(node.kernel.domain, k.Each):
            return replace(node, kernel=replace(node.kernel, body=_shared(node.kernel.body, plan.precision)))
        return node

    return replace(plan, step=tuple(changed(node) for node in plan.step))


def _shared(body: tuple[k.Statement, ...], precision: Precision) -> tuple[k.Statement, ...]:
    number = 0
    left = list(_uses(body, precision))
    while True:
        found = _best(left)
        if found is None:
            return body
        base, members = found
        left = [use for use in left if all(use.expr != member.expr for member in members)]
        if _overwritten(body, members):
            continue
        number += 1
        body = _rewritten(body, base, members, f"power__{number}", precision)


# --- finding ----------------------------------------------------------------------------------------------------------


def _uses(body: Sequence[k.Statement], precision: Precision) -> Iterator[_Use]:
    """The exponentials in statements that every neuron runs, each expression once."""
    seen: dict[k.Expr, None] = {}
    lets: dict[str, k.Expr] = {}

    def visit(expr: k.Expr, place: int) -> Iterator[_Use]:
        form, argument = _form(expr)
        if argument is not None:
            line = _line(argument, lets)
            if line.slopes and abs(line.constant) <= _CONSTANT[precision] and expr not in seen:
                seen[expr] = None
                yield _Use(expr, form, argument, line, place)
            inside: tuple[k.Expr, ...] = (argument,)
            if isinstance(expr, k.Binary):
                inside = (expr.left, argument)
        else:
            inside = k.operands(expr)
        for operand in inside:
            yield from visit(operand, place)

    for place, statement in enumerate(body):
        if isinstance(statement, k.Let | k.Store):
            for expr in k.statement_expressions(statement):
                yield from visit(expr, place)
        if isinstance(statement, k.Let) and statement.type == "real":
            lets[statement.name] = statement.value


def _form(expr: k.Expr) -> tuple[str, k.Expr | None]:
    match expr:
        case k.Call(function="exp", arguments=(argument,)):
            return "exp", argument
        case k.Binary(operator="/", right=k.Call(function="exprel", arguments=(argument,))):
            return "rate", argument
        case k.Binary(operator="/", right=k.Binary(operator="+", left=one, right=k.Call(function="exp") as call)):
            return ("logistic", call.arguments[0]) if _is_one(one) else ("", None)
        case k.Binary(operator="/", right=k.Binary(operator="+", left=k.Call(function="exp") as call, right=one)):
            return ("logistic", call.arguments[0]) if _is_one(one) else ("", None)
    return "", None


def _is_one(expr: k.Expr) -> bool:
    return isinstance(expr, k.Const) and not expr.given and expr.value == 1


def _line(expr: k.Expr, lets: Mapping[str, k.Expr]) -> _Line:
    """An argument as a sum of multiples; what is no sum and no multiple is an atom. Names of sums are looked through."""
    match expr:
        case k.Const(value=value, given=False) if not isinstance(value, bool):
            return _Line(float(value), ())
        case k.Local(name=name) if name in lets:
            line = _line(lets[name], lets)
            if line.slopes and line.slopes != ((lets[name], 1.0),):
                return line
        case k.Unary(operator="-", operand=operand):
            return _line(operand, lets).scaled(-1.0)
        case k.Binary(operator="+", left=left, right=right, type="real"):
            return _line(left, lets).plus(_line(right, lets))
        case k.Binary(operator="-", left=left, right=right, type="real"):
            return _line(left, lets).plus(_line(right, lets).scaled(-1.0))
        case k.Binary(operator="*", left=left, right=right, type="real"):
            first, second = _line(left, lets), _line(right, lets)
            if not first.slopes:
                return second.scaled(first.constant)
            if not second.slopes:
                return first.scaled(second.constant)
        case k.Binary(operator="/", left=left, right=k.Const(value=value, given=False), type="real") if value:
            return _line(left, lets).scaled(1.0 / float(value))
    return _Line(0.0, ((expr, 1.0),))


def _first(line: _Line) -> tuple[k.Expr, float]:
    return min(line.slopes, key=lambda pair: repr(pair[0]))


def _best(uses: Sequence[_Use]) -> tuple[float, list[_Use]] | None:
    """The smallest slope, with its sign, and the exponentials that are its powers, where the most become products; at least two."""
    best: tuple[float, list[_Use]] | None = None
    for candidate in uses:
        for base in (candidate.slope, -candidate.slope):
            members = [
                use
                for use in uses
                if use.direction == candidate.direction
                and (power := _power(use.slope, base)) != 0
                and (power > 0 or use.form != "exp")
            ]
            if len(members) >= 2 and (best is None or len(members) > len(best[1])):
                best = (base, members)
    return best


def _power(slope: float, base: float) -> int:
    """The whole number of times that ``base`` goes into ``slope``, negative for the other sign; 0 where it does not."""
    times = slope / base
    whole = round(times)
    fits = 1 <= abs(whole) <= _GREATEST_POWER and abs(times - whole) <= 1e-12 * abs(whole)
    return whole if fits else 0


def _overwritten(body: Sequence[k.Statement], members: Sequence[_Use]) -> bool:
    """Whether an array that the arguments read is written before the last of them."""
    read = {
        part.array
        for use in members
        for atom, _ in use.line.slopes
        for part in k.walk(atom)
        if isinstance(part, k.Load)
    }
    last = max(use.place for use in members)
    return any(
        isinstance(statement, k.Store | k.Accumulate) and statement.array in read
        for statement in k.walk_statements(tuple(body[:last]))
    )


# --- rewriting --------------------------------------------------------------------------------------------------------


def _rewritten(
    body: tuple[k.Statement, ...], base: float, members: Sequence[_Use], name: str, precision: Precision
) -> tuple[k.Statement, ...]:
    powers = {use.expr: _power(use.slope, base) for use in members}
    exponential = k.Call("exp", (_argument(members[0].line, base),))
    lets = [k.Let(name, exponential, f"exponentials of one variable: {len(members)} of them are powers of this one")]
    names = {1: k.Local(name)}

    def power(times: int) -> k.Local:
        """P^times, by squares and one more product at a time."""
        if times not in names:
            half = times // 2
            one, other = (power(half), power(half)) if times % 2 == 0 else (power(times - 1), power(1))
            names[times] = k.Local(f"{name}_{times}")
            lets.append(k.Let(names[times].name, k.Binary("*", one, other)))
        return names[times]

    texts = {use.expr: _written(use, powers[use.expr], power, precision) for use in members}

    def changed(expr: k.Expr) -> k.Expr:
        made = texts.get(expr)
        if made is None:
            return rebuild(expr, changed)
        if isinstance(expr, k.Binary) and isinstance(made, k.Binary):  # what is divided may hold others
            return replace(made, left=changed(expr.left))
        return made

    result: list[k.Statement] = []
    first = min(use.place for use in members)
    for place, statement in enumerate(body):
        if place == first:
            result += lets
        if isinstance(statement, k.Let | k.Store):
            statement = replace(statement, value=changed(statement.value))
        result.append(statement)
    return tuple(result)


def _argument(line: _Line, base: float) -> k.Expr:
    """g*x without the constant."""
    slope = _first(line)[1]
    total: k.Expr | None = None
    for atom, own in line.slopes:
        part = own / slope
        term: k.Expr = atom if abs(part) == 1.0 else k.Binary("*", k.Const(abs(part)), atom)
        if total is None:
            total = term if part > 0 else k.Unary("-", term)
        else:
            total = k.Binary("+" if part > 0 else "-", total, term)
    assert total is not None
    return k.Binary("*", k.Const(base), total)


def _written(use: _Use, times: int, power: Callable[[int], k.Local], precision: Precision) -> k.Expr:
    """The expression by powers. Where something is divided (rate, logistic) it stays the left side of a product or a quotient."""
    raised = power(abs(times))
    factor = math.exp(use.line.constant)
    scaled: k.Expr = raised if factor == 1.0 else k.Binary("*", k.Const(factor), raised)
    if use.form == "exp":
        return scaled
    assert isinstance(use.expr, k.Binary)
    top = use.expr.left
    if use.form == "rate":
        if times > 0:
            return k.Binary("*", top, k.Call("rate", (use.argument, scaled)))
        return k.Binary("*", top, k.Call("falling_rate", (use.argument, k.Const(factor), raised)))
    if times > 0:
        return k.Binary("/", top, k.Binary("+", k.Const(1.0), scaled))
    bounded = k.Call("min", (raised, k.Const(_GREAT[precision])))
    return k.Binary("*", top, k.Binary("/", bounded, k.Binary("+", bounded, k.Const(factor))))
