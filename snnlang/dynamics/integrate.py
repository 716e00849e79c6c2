"""From a System to a Step: the table of methods, and the choice among them.

Every method states its order of convergence, which the tests measure. The choice of ``auto`` looks at the form of the equations, never
at values: linear -> exact, conditionally linear -> exponential Euler, otherwise Runge-Kutta; with noise exact, exponential
Euler or Heun when its coefficients are free of states, otherwise Euler-Maruyama. A method that cannot do it is refused with
the term that is to blame.
"""

from __future__ import annotations

from collections.abc import Mapping

from snnlang.diagnostics import Diagnostic, Span, error
from snnlang.dynamics import explicit
from snnlang.dynamics.build import Builder
from snnlang.dynamics.propagator import Linear, NotExact, linear_system, noise_term, propagate
from snnlang.dynamics.system import Ode, Step, System
from snnlang.dynamics.terms import (
    DT,
    TIME_END,
    ZERO,
    NotLinear,
    add,
    call,
    constant,
    linear_parts,
    multiply,
    reads,
    subtract,
)
from snnlang.dynamics.text import to_text
from snnlang.frozen import dataclass
from snnlang.model.evaluate import evaluate
from snnlang.model.expression import Expr, Variable
from snnlang.model.suggest import nearest


@dataclass(frozen=True, slots=True)
class Method:
    """``order``: of convergence without noise (None: exact); ``noise_order``: strong order with additive and with state-dependent
    noise (None: refused). ``stability``: the largest |rate*dt| of a decay that stays bounded (None: any)."""

    name: str
    order: float | None
    noise_order: tuple[float | None, float | None]
    stability: float | None
    summary: str


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("exact", None, (1.0, None), None, "the exact solution of linear equations, inputs held over the step"),
        Method(
            "exponential_euler",
            1.0,
            (1.0, None),
            None,
            "each equation, linear in its own variable, solved with the others held",
        ),
        Method("euler", 1.0, (1.0, 0.5), 2.0, "forward Euler (with noise: Euler-Maruyama)"),
        Method("heun", 2.0, (1.0, 0.5), 2.0, "the trapezoidal rule with a predictor (with noise: Stratonovich)"),
        Method("rk4", 4.0, (None, None), 2.785, "classical fourth-order Runge-Kutta"),
        Method("euler_maruyama", 1.0, (1.0, 0.5), 2.0, "forward Euler with noise, in the sense of Ito"),
    )
}


def discretize(system: System, method: str = "auto") -> Step:
    """The Step that advances a System by dt.

    Raises SnnError: E702 (``exact`` cannot), E705 (``exponential_euler`` cannot, or noise in a method that has none), E706
    (unknown method).
    """
    if method == "auto":
        return _automatic(system)
    if method not in METHODS:
        near = nearest(method, METHODS)
        raise error(
            "E706",
            f"there is no method `{method}`",
            None,
            help=(*((f"did you mean `{near}`?",) if near else ()), f"choose one of auto, {', '.join(METHODS)}"),
        )
    builder = Builder(system)
    if method == "exact":
        try:
            return _exact(builder, linear_system(builder, system.odes))
        except NotExact as problem:
            raise _refused(system, problem) from None
    if method == "exponential_euler":
        try:
            return _exponential_euler(builder)
        except _NotConditional as conditional:
            raise error(
                "E705",
                f"`exponential_euler` cannot advance `{conditional.ode.variable}`: {conditional.reason}",
                conditional.span or conditional.ode.span,
                conditional.label,
                help="use `method = rk4`, or `heun` with noise",
            ) from None
    return _explicit(builder, method, METHODS[method].summary)


def _automatic(system: System) -> Step:
    builder = Builder(system)
    if not system.odes:
        return Step("exact", None, "nothing evolves continuously", (), (), ())
    noisy = any(ode.noises for ode in system.odes)
    if noisy and not _additive(builder):
        return _explicit(builder, "euler_maruyama", "the noise depends on a state, taken in the sense of Ito")
    try:
        return _exact(builder, linear_system(builder, system.odes))
    except NotExact as problem:
        why = f"not exact: in the equation of {problem.variable}, {problem.reason}"
    if not any(_reads_time(builder, ode) for ode in system.odes):
        try:
            return _exponential_euler(Builder(system))
        except _NotConditional as conditional:
            why = f"{why}; {conditional.reason}"
    return _explicit(Builder(system), "heun" if noisy else "rk4", why)


def _reads_time(builder: Builder, ode: Ode) -> bool:
    return builder.depends(ode.rate, ["t"])


def _additive(builder: Builder) -> bool:
    return all(builder.kind(coefficient) != "evolving" for ode in builder.system.odes for _, coefficient in ode.noises)


# --- exact ------------------------------------------------------------------------------------------------------------


def _exact(builder: Builder, linear: Linear) -> Step:
    if not _additive(builder):
        ode = next(ode for ode in linear.odes if any(builder.kind(c) == "evolving" for _, c in ode.noises))
        raise NotExact(ode.variable, None, "its noise depends on a state")
    order = propagate(builder, linear)
    names = ", ".join(ode.variable for ode in linear.odes)
    text = f"linear in {names} with constant coefficients: the exact solution, inputs held over the step"
    if order == 1.0:
        text += "; noise that reaches a state through another one is exact to strong order 1"
    elif order == 2.0:
        text += "; the explicit dependence on t is taken at the middle of the step (order 2)"
    elif any(ode.noises for ode in linear.odes):
        text += "; noise has the exact variance of the Ornstein-Uhlenbeck process"
    return builder.step("exact", order, text)


def _refused(system: System, problem: NotExact) -> Exception:
    ode = next(ode for ode in system.odes if ode.variable == problem.variable)
    span = problem.term.span if problem.term is not None else None
    label = "" if problem.term is None else f"`{to_text(problem.term)}`"
    return error(
        "E702",
        f"`exact` cannot advance `{problem.variable}`: {problem.reason}",
        span or ode.span,
        label if span is None else "here",
        help="leave `method = auto`, which picks a method that can, or name `exponential_euler` or `rk4`",
    )


# --- exponential Euler ------------------------------------------------------------------------------------------------


class _NotConditional(Exception):
    def __init__(self, ode: Ode, reason: str, span: Span | None, label: str) -> None:
        super().__init__()
        self.ode, self.reason, self.span, self.label = ode, reason, span, label


def _exponential_euler(builder: Builder) -> Step:
    """x + dt*f*exprel(B*dt) with B = df/dx, for each equation in its own variable; linear subsystems that stand alone go exactly."""
    if not _additive(builder):
        ode = next(ode for ode in builder.system.odes if any(builder.kind(c) == "evolving" for _, c in ode.noises))
        raise _NotConditional(ode, "its noise depends on a state", None, "")
    alone = _autonomous(builder)
    rest = [ode for ode in builder.system.odes if ode.variable not in alone]
    start: dict[str, Expr] = {"t": subtract(TIME_END, DT)}
    if alone:
        propagate(builder, linear_system(builder, [ode for ode in builder.system.odes if ode.variable in alone]))
    for ode in rest:
        _conditional(builder, ode, start)
    text = f"{_listed([ode.variable for ode in rest])} linear in itself with the others held: exponential Euler"
    if alone:
        text += f"; {', '.join(alone)} exactly"
    order = METHODS["exponential_euler"].order
    return builder.step("exponential_euler", order if rest else None, text)


def _listed(names: list[str]) -> str:
    return "nothing" if not names else f"{names[0]} is" if len(names) == 1 else f"{', '.join(names)} are each"


def _conditional(builder: Builder, ode: Ode, start: Mapping[str, Expr]) -> None:
    name = ode.variable
    rate = builder.inlined(builder.rate(ode), [name])
    try:
        _, parts = linear_parts(rate, [name])
    except NotLinear as problem:
        raise _NotConditional(ode, "its equation is not linear in it", problem.term.span, "not linear here") from None
    slope = parts.get(name, ZERO)
    rate = builder.defined(rate, start)
    slope = builder.defined(slope, start)
    if slope == ZERO:
        value = explicit.times_dt(builder, rate)
    elif builder.kind(slope) == "constant":
        factor = multiply(DT, call("exprel", multiply(slope, DT)))
        value = explicit.times_dt(builder, rate, builder.let(f"reach_{name}", factor))
    else:
        value = multiply(explicit.times_dt(builder, rate), call("exprel", multiply(slope, DT)))
    value = add(Variable(name), value)
    for number, coefficient in ode.noises:
        double = call("exprel", multiply(constant(2), multiply(slope, DT)))
        deviation = call("sqrt", DT if slope == ZERO else multiply(DT, double))
        if slope == ZERO or builder.kind(slope) == "constant":
            value = add(value, noise_term(builder, name, coefficient, deviation, number))
        else:
            scale = builder.defined(builder.inlined(coefficient), start)
            value = add(value, multiply(multiply(scale, deviation), builder.noise(number)))
    builder.update(ode, value)


def _autonomous(builder: Builder) -> list[str]:
    """The largest set of states whose equations are linear among themselves and read no other state."""
    names = [ode.variable for ode in builder.system.odes]
    while names:
        kept = []
        for ode in builder.system.odes:
            if ode.variable in names and _linear_among(builder, ode, names):
                kept.append(ode.variable)
        if kept == names:
            break
        names = kept
    if names:
        try:
            linear_system(builder, [ode for ode in builder.system.odes if ode.variable in names])
        except NotExact:
            return []
    return names


def _linear_among(builder: Builder, ode: Ode, names: list[str]) -> bool:
    rate = builder.inlined(builder.rate(ode))
    others = [name for name in builder.evolving if name not in names]
    if reads(rate, others) or reads(rate, ["t"]):
        return False
    try:
        linear_parts(rate, names)
    except NotLinear:
        return False
    return True


# --- explicit ---------------------------------------------------------------------------------------------------------


def _explicit(builder: Builder, name: str, why: str) -> Step:
    method, odes = METHODS[name], builder.system.odes
    noisy = [ode for ode in odes if ode.noises]
    order = method.order
    if noisy:
        order = method.noise_order[0 if _additive(builder) else 1]
        if order is None:
            raise error(
                "E705",
                f"`{name}` has no meaning for white noise, and `{noisy[0].variable}` has some",
                noisy[0].span,
                "has noise",
                help="use `euler_maruyama` (Ito) or `heun` (Stratonovich)",
            )
    match name:
        case "heun":
            explicit.heun(builder, odes)
        case "rk4":
            explicit.rk4(builder, odes)
        case _:
            explicit.euler(builder, odes)
    title = {
        "rk4": "fourth-order Runge-Kutta",
        "heun": "Heun",
        "euler": "forward Euler",
        "euler_maruyama": "Euler-Maruyama",
    }[name]
    return builder.step(name, order, why if why == method.summary else f"{title} ({why})")


# --- stability --------------------------------------------------------------------------------------------------------


def check_dt(system: System, step: Step, dt: float, values: Mapping[str, float]) -> list[Diagnostic]:
    """Whether dt (ms) is stable for the method: the rate at which each state decays, measured at the initial values, against its limit.

    ``values`` gives parameters, and inputs or states where they are known (inputs default to 0). E708 beyond the limit,
    W708 beyond half of it.
    """
    limit = METHODS[step.method].stability
    if limit is None:
        return []
    known = _initial_values(system, dt, values)
    found = []
    for ode in system.odes:
        slope = _slope(ode, known)
        if slope is None or slope >= 0:
            continue
        size = -slope * dt
        if size <= limit / 2:
            continue
        tau, largest = -1 / slope, limit / -slope
        unstable = size > limit
        found.append(
            Diagnostic(
                "E708" if unstable else "W708",
                f"dt = {dt:g} ms is {'unstable' if unstable else 'coarse'} for `{step.method}`: "
                f"`{ode.variable}` decays within {tau:.3g} ms",
                ode.span,
                f"stable up to dt = {largest:.3g} ms",
                help=(
                    f"choose dt at most {largest / 2:.2g} ms, or a method that decays exactly (`exact`, `exponential_euler`)",
                ),
                severity="error" if unstable else "warning",
            )
        )
    return found


def _initial_values(system: System, dt: float, values: Mapping[str, float]) -> dict[str, float]:
    known: dict[str, float] = {**dict.fromkeys(system.inputs, 0.0), "dt": dt, "t": 0.0, "index": 0.0, **values}
    for _ in range(len(system.states) + len(system.definitions) + 1):
        before = len(known)
        for name, expr in [
            *((s.name, s.initial) for s in system.states),
            *((d.name, d.value) for d in system.definitions),
        ]:
            value = None if name in known else evaluate(expr, known)
            if value is not None:
                known[name] = value
        if len(known) == before:
            break
    return known


def _slope(ode: Ode, known: Mapping[str, float]) -> float | None:
    """df/dx of an equation in its own variable, by a central difference."""
    at = known.get(ode.variable)
    if at is None:
        return None
    width = 1e-4 * max(1.0, abs(at))
    above = evaluate(ode.rate, {**known, ode.variable: at + width})
    below = evaluate(ode.rate, {**known, ode.variable: at - width})
    return None if above is None or below is None else (above - below) / (2 * width)
