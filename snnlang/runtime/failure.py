"""A number that stopped being finite, traced to its step, neuron, variable, equation and subexpression.

The state at the start of a chunk is known; the chunk is run again in halves until one step is left. In that step the kernel
that stored the number is evaluated for that one neuron, in plain Python, down to the first subexpression whose operands
are finite and whose value is not. Infinity is a legitimate value of a variable that starts with it or is assigned it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from snnlang.codegen import kernel as k
from snnlang.codegen.plan import Array, Launch, Plan
from snnlang.diagnostics import Diagnostic, Span
from snnlang.frozen import dataclass
from snnlang.runtime.device import Device
from snnlang.runtime.naming import flat, written
from snnlang.runtime.one_item import Machine, Reader, Unknown, Value, text

ROLES = ("state", "weight", "input", "scratch", "history")


@dataclass(frozen=True, slots=True)
class Problem:
    """Element ``index`` (flat) of an array is not finite."""

    array: Array
    index: int
    value: float


class Watch:
    """Knows which arrays of a plan must stay finite."""

    def __init__(self, plan: Plan) -> None:
        assigned = _assigned_infinity(plan)
        arrays = [plan.arrays[name] for name in written((*plan.step, *plan.trial_start)) if name in plan.arrays]
        real = [a for a in arrays if a.type == "real" and a.role in ROLES]
        self.arrays = [a for a in real if a.owner] + [a for a in real if not a.owner]
        self._infinite = {a.name for a in real if a.name in assigned or math.isinf(a.fill)}

    def begin(self, device: Device) -> None:
        """Look at the initial values: what is infinite now may be."""
        for array in self.arrays:
            if array.name not in self._infinite and np.isinf(device.read(array.name)).any():
                self._infinite.add(array.name)

    def problem(self, device: Device) -> Problem | None:
        """The first element that is not finite, variables of the user before what lies between."""
        return next((found for array in self.arrays if (found := self._problem_of(array, device)) is not None), None)

    def problems(self, device: Device) -> dict[str, Problem]:
        """One element per array that is not finite."""
        found = ((array.name, self._problem_of(array, device)) for array in self.arrays)
        return {name: problem for name, problem in found if problem is not None}

    def _problem_of(self, array: Array, device: Device) -> Problem | None:
        values = device.read(array.name)
        good = ~np.isnan(values) if array.name in self._infinite else np.isfinite(values)
        if good.all():
            return None
        index = int(np.argmin(good))
        return Problem(array, index, float(values.reshape(-1)[index]))


def _assigned_infinity(plan: Plan) -> set[str]:
    """Arrays to which an infinite constant is stored somewhere."""
    found: set[str] = set()
    for node in flat((*plan.setup, *plan.trial_start, *plan.step, *plan.trial_end)):
        if isinstance(node, Launch):
            for statement in k.walk_statements(node.kernel.body):
                if isinstance(statement, k.Store) and any(
                    isinstance(e, k.Const) and isinstance(e.value, float) and math.isinf(e.value)
                    for e in k.walk(statement.value)
                ):
                    found.add(statement.array)
    return found


def locate(plan: Plan, device: Device, before: Any, start: int, steps: int, watch: Watch) -> Diagnostic:
    """The diagnostic (E825) for a chunk of ``steps`` steps from ``start`` that ended with a number that is not finite."""
    first, last = start, start + steps
    while last - first > 1:
        middle = (first + last) // 2
        device.restore(before)
        device.run(first, middle - first)
        if watch.problem(device) is None:
            before, first = device.snapshot(), middle
        else:
            last = middle
    device.restore(before)
    reader = Reader(plan, device)
    device.run(first, 1)
    problems = watch.problems(device)
    reader.after = {name: device.read(name).reshape(-1) for name in plan.arrays}
    reader.step = first
    problem, culprit = _culprit(plan, reader, problems)
    return _report(plan, problem, culprit, first, reader)


# --- the statement at fault -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Culprit:
    """The statement (with the equation behind it), its kernel, and the innermost expression that is not finite."""

    source: str
    span: Span | None
    expression: k.Expr | None
    value: float
    operands: tuple[tuple[str, float], ...]
    text: str


def _culprit(plan: Plan, reader: Reader, problems: dict[str, Problem]) -> tuple[Problem, Culprit | None]:
    """The first array in order of the step that became not finite, and why."""
    first: Problem | None = None
    for node in flat(plan.step):
        if isinstance(node, Launch):
            for array in _stored(node.kernel):
                problem = problems.get(array)
                if problem is None:
                    continue
                first = first or problem
                found = _examine(plan, reader, node.kernel, problem)
                if found is not None:
                    return problem, found
            reader.fresh.update(written((node,)))
        else:
            reader.fresh.update(written((node,)))
    chosen = first or next(iter(problems.values()))
    return next((p for p in problems.values() if p.array.owner), chosen) if not chosen.array.owner else chosen, None


def _stored(kernel: k.Kernel) -> dict[str, None]:
    return {s.array: None for s in k.walk_statements(kernel.body) if isinstance(s, k.Store | k.Accumulate)}


def _examine(plan: Plan, reader: Reader, kernel: k.Kernel, problem: Problem) -> Culprit | None:
    names = _item(plan, reader, kernel.domain, problem)
    if names is None:
        return None
    machine = Machine(plan, reader, names)
    statement = machine.run(kernel.body, problem.array.name, problem.index)
    if statement is None:
        return None
    value_expression = statement.value
    try:
        value = machine.value(value_expression)
    except Unknown:
        return None
    if math.isfinite(value):
        return None
    # back through the Lets to the first that is not finite
    source = statement.source
    expression: k.Expr = value_expression
    while True:
        expression = machine.innermost(expression)
        if isinstance(expression, k.Local) and expression.name in machine.lets:
            let = machine.lets[expression.name]
            source = let.source or source
            expression = let.value
            continue
        break
    operands: list[tuple[str, float]] = []
    for item in k.walk(expression):
        if isinstance(item, k.Load | k.Local) and item.type == "real":
            name = text(item, plan, machine)
            if all(name != known for known, _ in operands):
                operands.append((name, float(machine.value(item))))
    span = find(source, (problem.array.span, kernel.span)) or problem.array.span or kernel.span
    return Culprit(
        source,
        span,
        expression,
        float(machine.value(expression)),
        tuple(operands[:4]),
        text(expression, plan, machine),
    )


def _item(plan: Plan, reader: Reader, domain: k.Domain, problem: Problem) -> dict[str, Value] | None:
    """The names that the domain binds for the item that wrote the element; None when it cannot be told."""
    base: dict[str, Value] = {"step": reader.step, "dt": plan.dt, "t": (reader.step + plan.time_offset) * plan.dt}
    match domain:
        case k.Single():
            return base
        case k.Each() | k.Listed():
            return {**base, "i": problem.index}
        case (
            k.Synapses(connectivity=connectivity)
            | k.Fan(connectivity=connectivity)
            | k.Arrivals(connectivity=connectivity)
        ):
            if problem.array.connectivity != connectivity or problem.array.shared:
                return None
            pre, post = reader.device.synapses(connectivity)
            return {**base, "synapse": problem.index, "pre": int(pre[problem.index]), "post": int(post[problem.index])}


def find(source: str, spans: Iterable[Span | None]) -> Span | None:
    """Where an equation stands in the texts around some spans, whatever its spacing."""
    tokens = re.findall(r"\w+|[^\w\s]", source)
    if not tokens:
        return None
    pattern = re.compile(r"\s*".join(r"(?:\^|\*\*)" if token == "^" else re.escape(token) for token in tokens))
    known = [span for span in spans if span is not None]
    for span in known:
        found = pattern.search(span.source.text, span.start, span.end)
        if found:
            return Span(span.source, found.start(), found.end())
    for span in known:
        found = pattern.search(span.source.text)
        if found:
            return Span(span.source, found.start(), found.end())
    return None


# --- the report -------------------------------------------------------------------------------------------------------


def _report(plan: Plan, problem: Problem, culprit: Culprit | None, step: int, reader: Reader) -> Diagnostic:
    array = problem.array
    time = (step + plan.time_offset) * plan.dt
    when = f"at t = {time:g} ms (step {step})" if plan.time_offset else f"in step {step}"
    size = len(reader.before[array.name])
    place = f"{array.owner or array.name}[{problem.index}]" if size > 1 else array.owner or array.name
    if array.connectivity is not None and array.connectivity in plan.connectivities and not array.shared:
        pre, post = reader.device.synapses(array.connectivity)
        if problem.index < len(pre):
            place = f"{array.owner}, synapse {int(pre[problem.index])} -> {int(post[problem.index])},"
    word = "is not a number" if math.isnan(problem.value) else "overflows"
    message = f"`{array.variable or array.name}` of {place} {word} {when}"
    before = reader.before[array.name][problem.index if size > 1 else 0]
    help_lines = []
    label = "became " + _shown(problem.value)
    span = array.span
    if culprit is not None:
        span = culprit.span
        label = f"here `{_clipped(culprit.text)}` is {_shown(culprit.value)}"
        if culprit.operands and not (len(culprit.operands) == 1 and culprit.operands[0][0] == culprit.text):
            help_lines.append("with " + ", ".join(f"{name} = {value:.6g}" for name, value in culprit.operands))
    unit = f" {array.unit}" if array.unit and array.unit != "1" else ""
    if culprit is None or all(name != array.variable or value != before for name, value in culprit.operands):
        help_lines.append(f"one step before, `{array.variable or array.name}` was {float(before):.6g}{unit}")
    help_lines.append(_advice(plan, culprit))
    return Diagnostic("E825", message, span, label, help=tuple(help_lines))


def _advice(plan: Plan, culprit: Culprit | None) -> str:
    """What to try: of a function outside its domain its operand, of a division its divisor, else the step and a bound."""
    match None if culprit is None else culprit.expression:
        case k.Call(function="sqrt" | "log" | "log10" | "log1p" as function):
            return f"keep what {function} takes in its domain, for example with `max(x, 0)`"
        case k.Binary(operator="/", right=divisor) if culprit and math.isnan(culprit.value) and not isinstance(divisor, k.Const):
            return "keep the divisor away from 0, for example with `max(x, 1e-9)`; (exp(x) - 1)/x is `exprel(x)`"
    bound = "bound what grows: `state x = … in [a, b]` or `clip(x, a, b)`"
    if plan.time_offset == 0:
        return bound
    return f"try a smaller dt (now {plan.dt:g} ms) or another method; {bound}"


def _clipped(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"


def _shown(value: float) -> str:
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
