"""Response kernels: a sum of polynomials times exponentials becomes exact states, any other kernel a finite window.

A kernel ``k(s)``, s >= 0, that solves a linear equation with constant coefficients is found symbolically: ``s^p exp(l*s)``
is the end of a chain of p + 1 states that decay with l, ``exp(a*s) cos(w*s)`` and ``sin`` are a pair that turns. An event
adds 1 to the head of the chain at the end of its step, a signal drives it continuously. ``last`` resets the chain instead;
for any other kernel it is the kernel of ``since(event)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from snnlang.diagnostics import Span, error
from snnlang.dynamics.order import order
from snnlang.dynamics.system import Ode, ResponseState, ResponseWindow, System
from snnlang.dynamics.terms import DT, ZERO, add, constant, fresh, multiply, negate, own_name, substitute, total
from snnlang.dynamics.text import to_text
from snnlang.model.evaluate import evaluate
from snnlang.model.expression import (
    Call,
    Comparison,
    Constant,
    Expr,
    KernelFunction,
    Occurs,
    Response,
    Select,
    Since,
    Variable,
    transform,
)
from snnlang.model.model import Definition, Difference, State
from snnlang.model.units import ONE, TIME

if TYPE_CHECKING:
    from snnlang.dynamics.modes import Mode

_NEGLIGIBLE = 1e-6
_LONGEST = 4000


def _with_argument(kernel: KernelFunction, value: Expr) -> Expr:
    return substitute(kernel.body, {kernel.argument: value})


@dataclass(slots=True)
class Responses:
    """What the responses of one model became; filled by :meth:`realise` in order of appearance."""

    taken: set[str]
    states: list[State]
    odes: list[Ode]
    jumps: list[ResponseState]
    windows: list[ResponseWindow]
    _found: dict[Response, Expr]

    @staticmethod
    def start(taken: set[str]) -> Responses:
        return Responses(taken, [], [], [], [], {})

    def realise(self, expr: Expr) -> Expr:
        """The expression with every response replaced by what realises it."""
        return transform(expr, lambda node: self._response(node) if isinstance(node, Response) else node)

    def _response(self, response: Response) -> Expr:
        if response not in self._found:
            self._found[response] = self._new(response)
        return self._found[response]

    def _new(self, response: Response) -> Expr:
        event = event_of(response.source)
        from snnlang.dynamics.modes import modes  # sympy is loaded by the programs that need it

        found = modes(response.kernel)
        label = (event or own_name(response.source) or "signal").replace(".spike", "").replace(".", "_")
        base = f"{response.kernel.name}_{label}"
        if found is not None:
            return self._states(found, base, response, event)
        if response.last and event:
            return _since(response.kernel, event, response.span)
        name = fresh(base, self.taken)
        self.windows.append(
            ResponseWindow(name, response.kernel.body, response.kernel.argument, response.source, response.span)
        )
        return Variable(name)

    def _states(self, found: list[Mode], base: str, response: Response, event: str | None) -> Expr:
        chains: dict[tuple[Expr, Expr], list[Mode]] = {}
        for mode in found:
            chains.setdefault((mode.rate, mode.frequency), []).append(mode)
        terms: list[Expr] = []
        several = len(chains) > 1 or any(mode.power or mode.turn for mode in found)
        for (rate, frequency), members in chains.items():
            turning = bool(members[0].turn)
            length = 2 if turning else max(mode.power for mode in members) + 1
            names = [fresh(f"{base}_{len(self.states) + 1}" if several else base, self.taken)]
            self._add(names[0], rate, ZERO if event else response.source, response)
            while len(names) < length:
                names.append(fresh(f"{base}_{len(self.states) + 1}", self.taken))
                self._add(
                    names[-1],
                    rate,
                    multiply(frequency, Variable(names[-2])) if turning else Variable(names[-2]),
                    response,
                )
            if turning:
                self._turn_back(names, frequency)
            if event:
                self.jumps.append(ResponseState(names[0], event, 1.0, response.last))
                if response.last:
                    self.jumps.extend(ResponseState(name, event, 0.0, True) for name in names[1:])
            for mode in members:
                index = int(mode.turn == "sin") if turning else mode.power
                scale = multiply(mode.coefficient, constant(1 if turning else math.factorial(mode.power)))
                terms.append(multiply(scale, Variable(names[index])))
        return total(terms)

    def _add(self, name: str, rate: Expr, drive: Expr, response: Response) -> None:
        unit = ONE if isinstance(drive, Constant) else TIME
        self.states.append(
            State(
                name,
                unit,
                Constant(0.0, unit),
                "ode",
                doc=f"of response({response.kernel.name}, …)",
                span=response.span,
            )
        )
        value = add(multiply(rate, Variable(name)), drive)
        self.odes.append(Ode(name, value, source=f"d{name}/dt = {to_text(value)}", span=response.span))

    def _turn_back(self, names: list[str], frequency: Expr) -> None:
        index = next(i for i, ode in enumerate(self.odes) if ode.variable == names[0])
        ode = self.odes[index]
        value = add(ode.rate, negate(multiply(frequency, Variable(names[1]))))
        self.odes[index] = replace(ode, rate=value, source=f"d{names[0]}/dt = {to_text(value)}")


def event_of(source: Expr) -> str | None:
    """The own event that a response listens to, None when it filters a signal."""
    return source.event if isinstance(source, Occurs) and source.scope == "self" and source.lag == 0 else None


def _since(kernel: KernelFunction, event: str, span: Span | None) -> Expr:
    since = Since(event, span=span)
    ever = Comparison("<", since, Constant(math.inf, TIME))
    elapsed = Call("min", (since, Constant(1e9, TIME)))
    return Select(ever, _with_argument(kernel, elapsed), ZERO, span=span)


def window_length(window: ResponseWindow, dt: float, values: Mapping[str, float]) -> int:
    """How many steps the kernel lasts: up to the last one at which it exceeds a millionth of its maximum.

    ``values`` are the parameters of the kernel (of several neurons: call once for each). Raises E707 when it does not fall off
    within 4000 steps or has no value.
    """
    heights = []
    for step in range(1, 2 * _LONGEST + 1):
        height = evaluate(substitute(window.kernel, {window.argument: Constant(step * dt, TIME)}), {**values, "dt": dt})
        if height is None or not math.isfinite(height):
            raise error(
                "E707",
                f"the response kernel has no value {step * dt:g} ms after the event",
                window.span,
                "evaluated here",
                help="make the kernel finite for every time from one step on",
            )
        heights.append(abs(height))
        if step >= 64 and step % 64 == 0 and max(heights[-step // 2 :]) <= _NEGLIGIBLE * max(heights):
            break
    limit = _NEGLIGIBLE * max(heights)
    length = max((i + 1 for i, height in enumerate(heights) if height > limit), default=1)
    if length > _LONGEST:
        raise error(
            "E707",
            f"the response kernel lasts longer than {_LONGEST} steps",
            window.span,
            "does not fall off",
            help=(
                "let it reach zero, or write it as a sum of exponentials, which costs nothing per step",
                "for the latest event alone, write `response(kernel, event, last)`",
            ),
        )
    return length


def realise(system: System, dt: float, values: Mapping[str, float]) -> System:
    """The System with its windows written out as sums over history, for one dt.

    Each window becomes a definition of its name, evaluated before whatever reads it: ``k(dt)*source[n-1] + k(2*dt)*source[n-2] + …``, with
    the kernel's values still expressions of the parameters.
    """
    if not system.windows:
        return system
    evolving = frozenset(
        [*(state.name for state in system.states), *system.inputs, *(d.name for d in system.definitions)]
    )
    added = [
        Definition(window.name, ONE, written_out(window, dt, values, evolving), window.span)
        for window in system.windows
    ]
    definitions = (*added, *system.definitions)
    differences = _differences(system)
    return replace(system, definitions=definitions, nodes=order(differences, definitions, system.events), windows=())


def written_out(window: ResponseWindow, dt: float, values: Mapping[str, float], evolving: frozenset[str]) -> Expr:
    """The window as a sum over past events, or over the past of a signal."""
    terms: list[Expr] = []
    length = window_length(window, dt, values)
    is_event = event_of(window.source) is not None
    for lag in range(1, length + 1) if is_event else range(length):
        elapsed = multiply(
            constant(lag if is_event else lag + 0.5), DT
        )  # a held signal counts at the middle of its step
        height = substitute(window.kernel, {window.argument: elapsed})
        terms.append(multiply(height if is_event else multiply(height, DT), _lagged(window.source, lag, evolving)))
    return total(terms)


def _differences(system: System) -> list[Difference]:
    return [Difference(node.name, node.value or ZERO, node.span) for node in system.nodes if node.kind == "difference"]


def _lagged(source: Expr, lag: int, evolving: frozenset[str]) -> Expr:
    def change(node: Expr) -> Expr:
        match node:
            case Occurs():
                return replace(node, lag=node.lag + lag)
            case Variable() if node.scope == "self" and node.name in evolving:
                return replace(node, lag=(node.lag or 0) + lag)
            case _:
                return node

    return transform(source, change)
