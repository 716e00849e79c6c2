"""Two rewritings of a synapse that leave its meaning alone and let it be placed well.

A response kernel of pre or post events becomes states that jump at the events. And a weight that nothing changes,
multiplied with linear states in a continuous ``deliver``, moves into the jumps of these states (``deliver w*g`` with ``g +=
1`` becomes ``deliver g`` with ``g += w``), so that their sum per post neuron is enough. A kernel that is no sum of
exponentials is written out over a window of past events of the pre neuron.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from snnlang.diagnostics import error
from snnlang.dynamics.equations import expressions, inline, map_statements, solve
from snnlang.dynamics.kernels import Responses, event_of, written_out
from snnlang.dynamics.terms import ZERO, NotLinear, constant, fold, linear_parts, multiply, names_in, reads
from snnlang.model.expression import Expr, Occurs, Response, Since, Variable, transform, walk
from snnlang.model.model import Assign, Definition, Differential, Handler, If, Statement, Synapse, Trigger
from snnlang.model.units import ONE, Unit


def normalise(synapse: Synapse, dt: float | None = None, values: Mapping[str, float] | None = None) -> Synapse:
    """The synapse with responses as states and unchanging weights inside jumps.

    A kernel of pre events that is no sum of exponentials is written out over its window, which needs ``dt`` and the ``values`` of the
    synapse's parameters. Raises SnnError E709 for such a kernel without them, of post events, or of a signal.
    """
    return _absorb(_with_states(synapse, dt, values or {}))


# --- responses ----------------------------------------------------------------------------------------------------------


def _with_states(synapse: Synapse, dt: float | None, numbers: Mapping[str, float]) -> Synapse:
    values = (
        [d.value for d in synapse.definitions]
        + [d.value for d in synapse.delivers]
        + [d.right for d in synapse.differentials]
    )
    values += [expr for handler in synapse.handlers for expr in expressions(handler.body)]
    if not any(isinstance(node, Response) for value in values for node in walk(value)):
        return synapse
    taken = {
        item.name
        for group in (synapse.params, synapse.states, synapse.inputs, synapse.traces, synapse.definitions)
        for item in group
    }
    responses = Responses.start(taken)

    def change(expr: Expr) -> Expr:
        return transform(responses.realise(transform(expr, _to_own)), _from_own)

    changed = replace(
        synapse,
        definitions=tuple(replace(d, value=change(d.value)) for d in synapse.definitions),
        delivers=tuple(replace(d, value=change(d.value)) for d in synapse.delivers),
        differentials=tuple(replace(d, right=change(d.right)) for d in synapse.differentials),
        differences=tuple(replace(d, value=change(d.value)) for d in synapse.differences),
        handlers=tuple(replace(h, body=map_statements(h.body, change)) for h in synapse.handlers),
    )
    windows = []
    for window in responses.windows:
        if dt is None or not (event_of(window.source) or "").startswith("pre."):
            raise error(
                "E709",
                "this kernel is no sum of exponentials, and a synapse keeps such a response of pre events alone",
                window.span,
                "not such a sum",
                help="put the response into the neuron, or write the time course as equations of the synapse",
            )
        written = transform(written_out(window, dt, numbers, frozenset()), _from_own)
        windows.append(Definition(window.name, ONE, written, window.span))
    changed = replace(changed, definitions=(*windows, *changed.definitions))
    differentials = tuple(
        Differential(ode.variable, Variable(f"d{ode.variable}/dt"), transform(ode.rate, _from_own), ode.span)
        for ode in responses.odes
    )
    handlers = []
    for jump in responses.jumps:
        side, event = jump.event.split(".", 1)
        statement = Assign(jump.name, "=" if jump.replace else "+=", constant(jump.jump))
        handlers.append(Handler(Trigger("pre" if side == "pre" else "post", event), (statement,)))
    return replace(
        changed,
        states=(*changed.states, *responses.states),
        differentials=(*changed.differentials, *differentials),
        handlers=(*changed.handlers, *handlers),
    )


def _to_own(node: Expr) -> Expr:
    """Events of either side as events of the synapse's own, named ``pre.spike``, so that one path realises all responses."""
    if isinstance(node, Response) and isinstance(node.source, Occurs) and node.source.scope != "self":
        source = node.source
        return replace(node, source=replace(source, event=f"{source.scope}.{source.event}", scope="self"))
    return node


def _from_own(node: Expr) -> Expr:
    if isinstance(node, (Since, Occurs)) and node.scope == "self" and "." in node.event:
        side, event = node.event.split(".", 1)
        return replace(node, event=event, scope="pre" if side == "pre" else "post")
    return node


# --- weights into jumps -------------------------------------------------------------------------------------------------


def _absorb(synapse: Synapse) -> Synapse:
    changing = {equation.variable for equation in synapse.differentials} | {
        equation.variable for equation in synapse.differences
    }
    changing.update(name for handler in synapse.handlers for name in _assigned(handler.body))
    fixed = {state.name for state in synapse.weights} - changing
    definitions = {definition.name: definition.value for definition in synapse.definitions}
    for name in sorted(fixed):
        synapse = _absorbed(synapse, name, definitions) or synapse
    return synapse


def _absorbed(synapse: Synapse, weight: str, definitions: dict[str, Expr]) -> Synapse | None:
    """The synapse with ``weight`` drawn into the jumps, or None where that is not the same."""
    delivers = [replace(d, value=fold(inline(d.value, definitions))) for d in synapse.delivers]
    rates = {d.variable: inline(solve(d), definitions) for d in synapse.differentials}
    touched = {name for d in delivers if reads(d.value, [weight]) for name in names_in(d.value) if name in rates}
    group = _closure(touched, rates)
    if not group or not _only_jumps(synapse, group, rates, definitions):
        return None
    divided = []
    for deliver in delivers:
        if not reads(deliver.value, group):
            if reads(deliver.value, [weight]):
                return None
            divided.append(deliver)
            continue
        value = _without(deliver.value, weight, group)
        if value is None:
            return None
        divided.append(replace(deliver, value=value))
    handlers = tuple(
        replace(h, body=_scaled(h.body, group, Variable(weight, _unit(synapse, weight)))) for h in synapse.handlers
    )
    return replace(synapse, delivers=tuple(divided), handlers=handlers)


def _closure(names: set[str], rates: dict[str, Expr]) -> set[str]:
    """The states that reach these ones through their equations, and all that they reach."""
    group = set(names)
    while True:
        more = {name for name, rate in rates.items() if reads(rate, group)}
        more |= {other for name in group for other in names_in(rates[name]) if other in rates}
        if more <= group:
            return group
        group |= more


def _only_jumps(synapse: Synapse, group: set[str], rates: dict[str, Expr], definitions: dict[str, Expr]) -> bool:
    """Whether the group is linear, starts at zero, jumps by ``+=`` at pre events and is read by continuous delivers alone."""
    for name in sorted(group):
        state = next(s for s in synapse.states if s.name == name)
        try:
            rest, _ = linear_parts(rates[name], group)
        except NotLinear:
            return False
        if rest != ZERO or state.weight or state.bounds is not None or state.initial != replace(ZERO, unit=state.unit):
            return False
    for handler in synapse.handlers:
        assigned = set(_assigned(handler.body))
        if assigned & group and (handler.trigger.kind != "pre" or not _plain_jumps(handler.body, group)):
            return False
        if any(reads(inline(expr, definitions), group) for expr in expressions(handler.body)):
            return False
    return not any(reads(inline(trace.decay, definitions), group) for trace in synapse.traces)


def _plain_jumps(body: Sequence[Statement], group: set[str]) -> bool:
    for statement in body:
        match statement:
            case Assign(scope="self") if statement.name in group and statement.operator not in ("+=", "-="):
                return False
            case If():
                if not all(_plain_jumps(inner, group) for _, inner in statement.branches):
                    return False
            case _:
                pass
    return True


def _without(value: Expr, weight: str, group: set[str]) -> Expr | None:
    """``value`` divided by ``weight``, when it is that weight times something linear in the group."""
    try:
        rest, parts = linear_parts(value, group)
        if rest != ZERO:
            return None
        for coefficient in parts.values():
            remainder, inner = linear_parts(coefficient, [weight])
            if remainder != ZERO or weight not in inner:
                return None
        return _divide_out(value, weight)
    except NotLinear:
        return None


def _divide_out(value: Expr, weight: str) -> Expr:
    rest, parts = linear_parts(value, [weight])
    if rest != ZERO:
        raise NotLinear(rest)
    return fold(parts[weight])


def _scaled(body: tuple[Statement, ...], group: set[str], weight: Expr) -> tuple[Statement, ...]:
    def scale(statement: Statement) -> Statement:
        match statement:
            case Assign(scope="self") if statement.name in group:
                return replace(statement, value=multiply(weight, statement.value))
            case If():
                return replace(
                    statement,
                    branches=tuple(
                        (condition, _scaled(inner, group, weight)) for condition, inner in statement.branches
                    ),
                )
            case _:
                return statement

    return tuple(scale(statement) for statement in body)


def _assigned(body: Sequence[Statement]) -> list[str]:
    found = []
    for statement in body:
        match statement:
            case Assign(scope="self"):
                found.append(statement.name)
            case If():
                found.extend(name for _, inner in statement.branches for name in _assigned(inner))
            case _:
                pass
    return found


def _unit(synapse: Synapse, name: str) -> Unit:
    return next(state.unit for state in synapse.states if state.name == name)
