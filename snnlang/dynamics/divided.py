"""Divided differences of the exponential, written so that they neither cancel nor overflow where their nodes coincide or lie far apart.

With nodes a, b (rates times dt): ``[a, b] = (exp(a) - exp(b))/(a - b)``, and so on; ``[a, b]`` is the gain of one decay into another.
"""

from __future__ import annotations

from collections.abc import Collection

from snnlang.dynamics.build import Builder
from snnlang.dynamics.products import never_zero, tidy
from snnlang.dynamics.terms import UNIT, ZERO, add, call, constant, divide, multiply, negate, subtract
from snnlang.model.expression import Comparison, Expr, Select

#: A node (rate times dt) and the exponential of it.
Point = tuple[Expr, Expr]
_NEAR = 0.2


def divided2(positive: Collection[str], a: Point, b: Point) -> Expr:
    """``[a, b]``; names in ``positive`` are known to be above zero."""
    if a[0] == b[0]:
        return a[1]
    if a[0] == ZERO or b[0] == ZERO:
        exponent = b[0] if a[0] == ZERO else a[0]
        if never_zero(exponent, positive):
            return divide(call("expm1", exponent), exponent)
        return call("exprel", exponent)
    distance = tidy(subtract(a[0], b[0]))
    return multiply(call("max", a[1], b[1]), call("exprel", negate(call("abs", distance))))


def divided3(builder: Builder, name: str, a: Point, b: Point, c: Point) -> Expr:
    """``[a, b, c]``: by recursion from the outer nodes, or by a series about their mean where all three are close."""
    if a[0] == b[0] == c[0]:
        return divide(a[1], constant(2))
    for x, y, z in ((a, b, c), (a, c, b), (b, c, a)):
        if x[0] == y[0]:
            return _confluent(builder, name, z, x)
    low = builder.let(f"{name}_low", call("min", a[0], call("min", b[0], c[0])))
    high = builder.let(f"{name}_high", call("max", a[0], call("max", b[0], c[0])))
    middle = builder.let(f"{name}_middle", subtract(subtract(add(add(a[0], b[0]), c[0]), low), high))
    width = builder.let(f"{name}_width", subtract(high, low))
    mean = builder.let(f"{name}_mean", divide(add(add(low, middle), high), constant(3)))
    upper = multiply(call("exp", high), call("exprel", subtract(middle, high)))
    lower = multiply(call("exp", middle), call("exprel", subtract(low, middle)))
    far = divide(subtract(upper, lower), call("max", width, constant(_NEAR / 2)))
    d1, d2, d3 = (subtract(x, mean) for x in (low, middle, high))
    p = builder.let(f"{name}_p", negate(add(add(multiply(d1, d2), multiply(d2, d3)), multiply(d1, d3))))
    q = builder.let(f"{name}_q", multiply(multiply(d1, d2), d3))
    near = multiply(call("exp", mean), _symmetric_series(p, q))
    return Select(Comparison("<", width, constant(_NEAR)), near, far)


def _symmetric_series(p: Expr, q: Expr) -> Expr:
    """Sum over k of h_k/(k + 2)!, h_k the complete symmetric polynomial of three deviations of zero sum: h_k = p*h_(k-2) + q*h_(k-3)."""
    h: list[Expr] = [UNIT, ZERO, p]
    for k in range(3, 10):
        h.append(add(multiply(p, h[k - 2]), multiply(q, h[k - 3])))
    result: Expr = ZERO
    factorial = 1.0
    for k, value in enumerate(h):
        factorial *= max(1, k + 2) if k else 2
        result = add(result, divide(value, constant(factorial)))
    return result


def _confluent(builder: Builder, name: str, a: Point, b: Point) -> Expr:
    """``[a, b, b] = (exp(a) - exp(b)*(1 + x))/x^2`` with x = a - b, by its series for small x."""
    x = builder.let(f"{name}_x", tidy(subtract(a[0], b[0])))
    series: Expr = constant(1.0)
    for k in range(10, 0, -1):  # Horner: 1 + x/3*(1 + x/4*(1 + ...)), times 1/2
        series = add(UNIT, multiply(divide(x, constant(k + 2)), series))
    near = divide(multiply(b[1], series), constant(2))
    size = call("max", call("abs", x), constant(_NEAR / 2))
    far = divide(subtract(a[1], multiply(b[1], add(UNIT, x))), multiply(size, size))
    return Select(Comparison("<", call("abs", x), constant(_NEAR)), near, far)


def turning(
    builder: Builder, x: str, y: str, entries: dict[tuple[str, str], Expr], driven: bool
) -> tuple[dict[tuple[str, str], Expr], dict[tuple[str, str], Expr]]:
    """exp of a 2x2 matrix (entries times dt), and its integral over a step divided by dt when ``driven``.

    With the mean m of the diagonal and q^2 = ((a - d)/2)^2 + b*c: ``exp = e^m cosh(q) + e^m sinh(q)/q * (A - m)``, cosine and sine where
    q^2 is negative.
    """
    a, b, c, d = entries[x, x], entries[x, y], entries[y, x], entries[y, y]
    pair = f"{x}_{y}"
    mean = builder.let(f"mean_{pair}", divide(add(a, d), constant(2)))
    half = builder.let(f"half_{pair}", divide(subtract(a, d), constant(2)))
    square = builder.let(f"square_{pair}", add(multiply(half, half), multiply(b, c)))
    q = builder.let(f"root_{pair}", call("sqrt", call("abs", square)))
    turns = Comparison("<", square, ZERO)
    safe = call("max", q, constant(1e-8))
    grown = call("exp", add(mean, q))
    even = builder.let(
        f"even_{pair}",
        Select(
            turns,
            multiply(call("exp", mean), call("cos", q)),
            divide(add(grown, call("exp", subtract(mean, q))), constant(2)),
        ),
    )
    sine = Select(Comparison("<", q, constant(1e-8)), UNIT, divide(call("sin", q), safe))
    odd = builder.let(
        f"odd_{pair}",
        Select(turns, multiply(call("exp", mean), sine), multiply(grown, call("exprel", multiply(constant(-2), q)))),
    )
    flow = {
        (x, x): builder.let(f"P_{x}_{x}", add(even, multiply(odd, half))),
        (x, y): builder.let(f"P_{x}_{y}", multiply(odd, b)),
        (y, x): builder.let(f"P_{y}_{x}", multiply(odd, c)),
        (y, y): builder.let(f"P_{y}_{y}", subtract(even, multiply(odd, half))),
    }
    return flow, _integral(builder, x, y, entries, flow, turns, mean, q) if driven else {}


def _integral(
    builder: Builder,
    x: str,
    y: str,
    entries: dict[tuple[str, str], Expr],
    flow: dict[tuple[str, str], Expr],
    turns: Expr,
    mean: Expr,
    q: Expr,
) -> dict[tuple[str, str], Expr]:
    """The mean of exp(A*s) over a step: Newton's form at the real rates m + q, m - q, or (exp(A) - 1)/A where they are complex."""
    a, b, c, d = entries[x, x], entries[x, y], entries[y, x], entries[y, y]
    pair = f"{x}_{y}"
    rate = builder.let(f"rate_{pair}", add(mean, q))
    other = builder.let(f"other_{pair}", subtract(mean, q))
    first = builder.let(f"first_{pair}", call("exprel", rate))
    second = builder.let(
        f"second_{pair}",
        divided3(builder, f"second_{pair}", (rate, call("exp", rate)), (other, call("exp", other)), (ZERO, UNIT)),
    )
    determinant = builder.let(f"determinant_{pair}", subtract(multiply(a, d), multiply(b, c)))
    safe = builder.let(f"divisor_{pair}", Select(turns, call("max", determinant, constant(1e-300)), UNIT))
    exx, exy, eyx, eyy = (subtract(flow[x, x], UNIT), flow[x, y], flow[y, x], subtract(flow[y, y], UNIT))

    def entry(row: str, column: str, real: Expr, complex_: Expr) -> Expr:
        return builder.let(f"gain_{row}_{column}", Select(turns, divide(complex_, safe), real))

    return {
        (x, x): entry(
            x, x, add(first, multiply(second, subtract(a, rate))), subtract(multiply(exx, d), multiply(exy, c))
        ),
        (x, y): entry(x, y, multiply(second, b), subtract(multiply(exy, a), multiply(exx, b))),
        (y, x): entry(y, x, multiply(second, c), subtract(multiply(eyx, d), multiply(eyy, c))),
        (y, y): entry(
            y, y, add(first, multiply(second, subtract(d, rate))), subtract(multiply(eyy, a), multiply(eyx, b))
        ),
    }
