"""Advancing what a synapse keeps per pre neuron, per post neuron or per synapse: its traces and those equations that are not summed."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction

from snnlang.dynamics.equations import inline, positive_names, solve, split_noise
from snnlang.dynamics.integrate import discretize
from snnlang.dynamics.order import source_text
from snnlang.dynamics.system import Ode, Step, System
from snnlang.dynamics.terms import DT, divide, fold, multiply, negate
from snnlang.dynamics.text import to_text
from snnlang.model.expression import Binary, Call, Constant, Expr, Select, Unary, Variable
from snnlang.model.model import Synapse, Trace
from snnlang.model.units import ONE, Unit


def advance_rule(synapse: Synapse, names: Collection[str], method: str = "auto") -> Step:
    """The Step by dt of the traces and states ``names``; every other name in their equations is held over the step.

    Traces and linear equations come out exact, so a Step over a longer time is the same Step with that time for ``dt``.
    """
    definitions = {definition.name: definition.value for definition in synapse.definitions}
    odes = [_trace(trace) for trace in synapse.traces if trace.name in names]
    for differential in synapse.differentials:
        if differential.variable in names:
            rate, noises = split_noise(
                inline(solve(differential), definitions), differential.variable, differential.span
            )
            source = source_text(differential.span) or f"d{differential.variable}/dt = {to_text(rate)}"
            odes.append(Ode(differential.variable, fold(rate), noises, source, None, differential.span))
    system = System(
        name=synapse.name,
        params=tuple(param.name for param in synapse.params),
        inputs=tuple(item.name for item in synapse.inputs),
        states=tuple(state for state in synapse.states if state.name in names),
        odes=tuple(odes),
        nodes=(),
        definitions=(),
        events=(),
        positive=positive_names(synapse.params),
    )
    return discretize(system, method)


def _trace(trace: Trace) -> Ode:
    """``dx/dt = -x/decay``; a decay counted in steps makes ``exp(-1/decay)`` per step."""
    decay: Expr = trace.decay
    if _unit(decay).is_dimensionless:
        decay = multiply(decay, DT)
    source = source_text(trace.span) or f"d{trace.name}/dt = -{trace.name}/{to_text(decay)}"
    return Ode(trace.name, negate(divide(Variable(trace.name), decay)), source=source, span=trace.span)


def _unit(expr: Expr) -> Unit:
    """The unit of an arithmetic expression that the checker passed."""
    match expr:
        case Constant(unit=unit) | Variable(unit=unit):
            return unit
        case Unary():
            return _unit(expr.operand)
        case Binary(operator="*"):
            return _unit(expr.left) * _unit(expr.right)
        case Binary(operator="/"):
            return _unit(expr.left) / _unit(expr.right)
        case Binary(operator="^", right=Constant(value=power)):
            return _unit(expr.left) ** Fraction(power).limit_denominator(12)
        case Binary():
            return _unit(expr.left)
        case Call(function="abs" | "min" | "max" | "clip"):
            return _unit(expr.arguments[0])
        case Call(function="sqrt"):
            return _unit(expr.arguments[0]) ** Fraction(1, 2)
        case Select():
            return _unit(expr.value)
        case _:
            return ONE
