"""Lower delays that differ between synapses: whole steps in an int array, and a queue as deep as the longest.

The longest delay must be known before any draw; a delay without an upper bound is refused.
"""

from __future__ import annotations

import math

import numpy as np

from snnlang.codegen import kernel as k
from snnlang.codegen.assembly import DT, Assembly, as_real, launch, real, whole
from snnlang.codegen.connectivity import given_order
from snnlang.codegen.lower_expression import constant_value, lower_expression
from snnlang.codegen.lower_projection_names import SYNAPSE, ProjectionState, SynapseMeaning
from snnlang.codegen.plan import Queue
from snnlang.diagnostics import error
from snnlang.model import expression as e
from snnlang.model.network import ArrayValue, Value


def upper_bound(value: Value, what: str) -> float:
    """A bound that a delay never exceeds: known before any draw; a normal is cut at six standard deviations."""
    if isinstance(value, ArrayValue):
        return float(np.max(value.array, initial=0.0))
    _low, high = _interval(value, what)
    return max(high, 0.0)


def _combine(operator: str, x: float, y: float) -> float:
    match operator:
        case "+":
            return x + y
        case "-":
            return x - y
        case "*":
            return x * y
        case "/":
            return x / y if y else float("inf")
        case _:
            return float(x**y)


def _interval(value: e.Expr, what: str) -> tuple[float, float]:
    match value:
        case e.Constant(value=number):
            return number, number
        case e.Unary(operand=operand):
            low, high = _interval(operand, what)
            return -high, -low
        case e.Binary(operator=operator, left=left, right=right):
            a, b = _interval(left, what), _interval(right, what)
            corners = [_combine(operator, x, y) for x in a for y in b]
            return min(corners), max(corners)
        case e.Random(distribution="uniform", arguments=(low_value, high_value)):
            return _interval(low_value, what)[0], _interval(high_value, what)[1]
        case e.Random(distribution="normal", arguments=(mean, deviation)):
            spread = 6.0 * _interval(deviation, what)[1]
            low, high = _interval(mean, what)
            return low - spread, high + spread
        case e.Random(distribution="exponential", arguments=(mean,)):
            return 0.0, 40.0 * _interval(mean, what)[1]
        case e.Random(distribution="bernoulli"):
            return 0.0, 1.0
        case e.Random(distribution="lognormal", arguments=(mean, deviation)):
            return 0.0, float(np.exp(_interval(mean, what)[1] + 6.0 * _interval(deviation, what)[1]))
        case e.Call(function="clip", arguments=(_, low_value, high_value)):
            return _interval(low_value, what)[0], _interval(high_value, what)[1]
        case e.Call(function="min" | "max" as function, arguments=(left, right)):
            one, two = _interval(left, what), _interval(right, what)
            if function == "min":
                return min(one[0], two[0]), min(one[1], two[1])
            return max(one[0], two[0]), max(one[1], two[1])
        case _:
            raise error(
                "E729",
                f"how long {what} can get is not known before the run",
                getattr(value, "span", None),
                "no upper bound",
                help="wrap it: clip(…, 0.1 ms, 10 ms)",
            )


def lower_delays(
    assembly: Assembly, state: ProjectionState, networks: dict[str, str], delay: Value, shortest: int
) -> None:
    """One delay per synapse, in whole steps, in an int array."""
    dt, within = assembly.dt, state.projection.delay_range
    if within is not None and not isinstance(delay, ArrayValue):  # a train block: arrivals become a part of the connection's cell
        lower_trained_delay(assembly, state, delay, within, shortest)
        return
    longest = max(shortest, round(upper_bound(delay, "this delay") / dt))
    if isinstance(delay, ArrayValue):
        numbers = np.asarray(delay.array, dtype=np.float64).reshape(-1)
        connectivity = assembly.connectivities[state.connectivity]
        order = given_order(connectivity)
        if order is not None:
            numbers = numbers[order]
        steps = np.maximum(shortest, np.rint(numbers / dt).astype(np.int64))
        state.delays = assembly.add_array(
            f"{state.path}.delay_steps",
            (),
            type="int",
            role="param",
            data=steps,
            connectivity=state.connectivity,
            owner=state.path,
            variable="delay_steps",
        )
    else:
        state.delays = assembly.add_array(
            f"{state.path}.delay_steps",
            (),
            type="int",
            role="param",
            connectivity=state.connectivity,
            owner=state.path,
            variable="delay_steps",
        )
        meaning = SynapseMeaning(assembly, state, networks, "synapse", counter=whole(0))
        meaning.draws = "delay."
        value = k.Call("round", (k.Binary("/", as_real(lower_expression(delay, meaning)), DT),), "real")
        bounded = k.Call("clip", (value, real(float(shortest)), real(float(longest))), "real")
        assembly.setup.append(
            launch(
                f"{state.path}_delays",
                f"delays of {state.path} in steps",
                k.Synapses(state.connectivity),
                [k.Store(state.delays, SYNAPSE, k.Call("int", (bounded,), "int"))],
            )
        )
    if assembly.apart:  # arrivals become links, one for each delay that occurs
        state.lag = state.emission_lag
        assembly.late[state.connectivity] = state.delays, state.emission_lag
        return
    state.lag = None
    name = assembly.unique(f"{state.path}_arrivals")
    assembly.queues[name] = Queue(name, state.connectivity, longest + 1)
    state.queue = name


def lower_trained_delay(assembly: Assembly, state: ProjectionState, delay: e.Expr, within: tuple[float, float], shortest: int) -> None:
    """One delay in ms that training changes, and between which steps."""
    number = constant_value(delay)
    assert number is not None
    value = max(number, shortest * assembly.dt)
    array = assembly.add_number(f"{state.path}.delay", value, owner=state.path, variable="delay", unit="ms")
    most = max(shortest, math.ceil(within[1] / assembly.dt - 1e-9))
    assembly.trained_delays[state.connectivity] = array, most, shortest
    state.lag = state.emission_lag


def longest_delay(assembly: Assembly, state: ProjectionState) -> int:
    """The longest axonal delay in steps."""
    return assembly.queues[state.queue].depth - 1 if state.lag is None else state.lag
