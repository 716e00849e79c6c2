"""What the symbolic stage saved, in a few lines for ``snn explain``: work per step before and after, and what is computed once."""

from __future__ import annotations

from collections.abc import Iterable

from snnlang.dynamics.system import Step, System
from snnlang.model.expression import Call, Constant, Expr, Variable, walk


def summary(system: System, step: Step) -> list[str]:
    """Lines that compare the equations as written with the step that is run."""
    if not system.odes:
        number = len(system.nodes)
        what = "difference equation or test" if number == 1 else "difference equations and tests"
        return [
            f"{number} {what} in order: {', '.join(node.name for node in system.nodes)}"
        ]
    before = _count(ode.rate for ode in system.odes)
    after = _count(let.value for let in (*step.body, *step.updates))
    once = _count(let.value for let in step.coefficients)
    lines = [f"equations as written: {_size(before)}; one step: {_size(after)}"]
    if step.coefficients:
        names = ", ".join(let.name for let in step.coefficients[:8]) + (", …" if len(step.coefficients) > 8 else "")
        lines.append(f"computed once: {names} ({_size(once)})")
    for response in system.responses:
        verb = "is reset to" if response.replace else "grows by"
        lines.append(
            f"{response.name} {verb} {response.jump:g} at the end of a step with {response.event} (exact state of a response kernel)"
        )
    lines += [
        f"{window.name} is summed over a finite window of past steps: its kernel is no sum of exponentials"
        for window in system.windows
    ]
    return lines


def _count(exprs: Iterable[Expr]) -> tuple[int, int]:
    """Arithmetic operations and function calls."""
    operations = calls = 0
    for expr in exprs:
        for node in walk(expr):
            calls += isinstance(node, Call)
            operations += not isinstance(node, (Call, Constant, Variable))
    return operations, calls


def _size(counts: tuple[int, int]) -> str:
    operations, calls = counts
    text = f"{operations} operation{'s' if operations != 1 else ''}"
    return text + (f" and {calls} function call{'s' if calls != 1 else ''}" if calls else "")
