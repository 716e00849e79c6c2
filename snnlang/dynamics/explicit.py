"""Methods that look at rates alone: Euler, Heun, the classical fourth-order Runge–Kutta, and Euler–Maruyama and Heun with noise.

They advance anything that has a rate, conditional expressions included. With noise, Euler–Maruyama converges to the Itô
solution and Heun to the Stratonovich one; the two agree when no coefficient of noise depends on a state.
"""

from __future__ import annotations

from snnlang.dynamics.build import Builder
from snnlang.dynamics.system import Ode
from snnlang.dynamics.terms import DT, TIME_END, add, call, constant, divide, multiply, subtract
from snnlang.model.expression import Binary, Expr, Variable


def times_dt(builder: Builder, rate: Expr, factor: Expr = DT) -> Expr:
    """``rate * dt`` with a constant divisor drawn to dt, so that it is divided by once and for all."""
    match rate:
        case Binary(operator="/") if builder.kind(rate.right) == "constant":
            return multiply(rate.left, divide(factor, rate.right))
        case _:
            return multiply(factor, rate)


def _start() -> dict[str, Expr]:
    return {"t": subtract(TIME_END, DT)}


def _stage(fraction: Expr | None, states: dict[str, Expr]) -> dict[str, Expr]:
    time = TIME_END if fraction is None else subtract(TIME_END, fraction)
    return {"t": time, **states} if time is not TIME_END else dict(states)


def _slopes(builder: Builder, odes: tuple[Ode, ...], at: dict[str, Expr], number: int) -> dict[str, Expr]:
    suffix = "" if number == 1 else f"_{number}"
    slopes = {}
    for ode in odes:
        rate = builder.defined(builder.rate(ode), at, suffix)
        slopes[ode.variable] = builder.temporary(f"k{number}_{ode.variable}", rate, ode.source if number == 1 else "")
    return slopes


def _diffusion(builder: Builder, ode: Ode, at: dict[str, Expr], suffix: str) -> list[tuple[Expr, int]]:
    return [(builder.defined(coefficient, at, suffix), number) for number, coefficient in ode.noises]


def euler(builder: Builder, odes: tuple[Ode, ...]) -> None:
    """x + dt*f(x), and sqrt(dt)*g(x)*N(0, 1) for every noise."""
    at = _start()
    for ode in odes:
        value = add(Variable(ode.variable), times_dt(builder, builder.defined(builder.rate(ode), at)))
        for coefficient, number in _diffusion(builder, ode, at, ""):
            value = add(value, multiply(multiply(coefficient, call("sqrt", DT)), builder.noise(number)))
        builder.update(ode, value)


def heun(builder: Builder, odes: tuple[Ode, ...]) -> None:
    """Predict with Euler, then take the mean of both slopes (and of both noise coefficients, with the same draw)."""
    at = _start()
    slopes = _slopes(builder, odes, at, 1)
    first: dict[str, list[tuple[Expr, int]]] = {}
    predicted: dict[str, Expr] = {}
    for ode in odes:
        first[ode.variable] = _diffusion(builder, ode, at, "")
        value = add(Variable(ode.variable), multiply(DT, slopes[ode.variable]))
        for coefficient, number in first[ode.variable]:
            value = add(value, multiply(multiply(coefficient, call("sqrt", DT)), builder.noise(number)))
        predicted[ode.variable] = builder.temporary(f"{ode.variable}_2", value)
    there = _stage(None, predicted)
    second = _slopes(builder, odes, there, 2)
    for ode in odes:
        name = ode.variable
        value = add(Variable(name), multiply(divide(DT, constant(2)), add(slopes[name], second[name])))
        after = _diffusion(builder, ode, there, "_2")
        for (before, number), (later, _) in zip(first[name], after):
            mean = before if before == later else divide(add(before, later), constant(2))
            value = add(value, multiply(multiply(mean, call("sqrt", DT)), builder.noise(number)))
        builder.update(ode, value)


def rk4(builder: Builder, odes: tuple[Ode, ...]) -> None:
    """Classical Runge–Kutta of fourth order; inputs are held over the step."""
    half = divide(DT, constant(2))
    slopes = [_slopes(builder, odes, _start(), 1)]
    for number, length, time in ((2, half, half), (3, half, half), (4, DT, None)):
        states = {
            ode.variable: builder.temporary(
                f"{ode.variable}_{number}", add(Variable(ode.variable), multiply(length, slopes[-1][ode.variable]))
            )
            for ode in odes
        }
        slopes.append(_slopes(builder, odes, _stage(time, states), number))
    for ode in odes:
        k1, k2, k3, k4 = (slope[ode.variable] for slope in slopes)
        mean = add(add(add(k1, multiply(constant(2), k2)), multiply(constant(2), k3)), k4)
        builder.update(ode, add(Variable(ode.variable), multiply(divide(DT, constant(6)), mean)))
