"""From a checked neuron to a System: derivatives solved for, definitions inlined, noise split off, attachments folded in.

Refuses what no method could advance: a left side that is not linear in its derivative (E701) and noise that enters nonlinearly
(E704). Which method can advance the System is not asked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from snnlang.diagnostics import Span, error
from snnlang.dynamics.kernels import Responses
from snnlang.dynamics.order import order, source_text, timed_definitions
from snnlang.dynamics.system import Attachment, Ode, System
from snnlang.dynamics.terms import (
    ZERO,
    NotLinear,
    add,
    divide,
    fold,
    has_noise,
    linear_parts,
    names_in,
    own_name,
    reads,
    substitute,
    subtract,
)
from snnlang.dynamics.text import to_text
from snnlang.model.evaluate import evaluate
from snnlang.model.expression import Binary, Constant, Expr, Noise, Variable, transform, walk
from snnlang.model.model import (
    Adjoint,
    Assign,
    Create,
    Definition,
    Deliver,
    Difference,
    Differential,
    Event,
    ForVacant,
    Handler,
    Hold,
    If,
    Neuron,
    Param,
    Statement,
)

#: Noise sources of an attachment are numbered from here on, so that they meet none of the neuron's.
_ATTACHED_NOISE = 1000


def derive(
    neuron: Neuron, attachments: tuple[Attachment, ...] = (), name: str = "", absent: frozenset[str] = frozenset()
) -> System:
    """The System of a neuron with ``attachments`` folded in.

    ``absent`` names inputs that nothing feeds but attachments: their symbol goes, for the default or, with an attachment, for 0.
    Raises SnnError: E701 (left side), E703 (cycle), E704 (noise).
    """
    folded = _inputs(neuron, attachments, absent)
    taken = {item.name for group in (neuron.params, neuron.states, neuron.inputs, neuron.definitions) for item in group}
    taken.update(
        name
        for attachment in attachments
        for name in (*attachment.params, *(state.name for state in attachment.states))
    )
    responses = Responses.start(taken)

    def prepare(expr: Expr) -> Expr:
        return responses.realise(substitute(expr, folded))

    definitions = tuple(replace(d, value=prepare(d.value)) for d in neuron.definitions)
    differentials = [replace(d, left=prepare(d.left), right=prepare(d.right)) for d in neuron.differentials]
    differences = [replace(d, value=prepare(d.value)) for d in neuron.differences]
    events = tuple(
        replace(
            event,
            condition=None if event.condition is None else prepare(event.condition),
            gradient=None if event.gradient is None else prepare(event.gradient),
        )
        for event in neuron.events
    )
    handlers = tuple(replace(handler, body=map_statements(handler.body, prepare)) for handler in neuron.handlers)
    output = None if neuron.output is None else prepare(neuron.output)
    adjoint = neuron.adjoint
    if adjoint is not None:
        adjoint = replace(adjoint, lines=tuple(replace(line, value=prepare(line.value)) for line in adjoint.lines))
    timed = timed_definitions(definitions)
    inlined = {d.name: d.value for d in definitions if d.name not in timed}
    odes = [*(_ode(d, attachments, inlined) for d in differentials)]
    for index, attachment in enumerate(attachments):
        odes.extend(_renumbered(ode, (index + 1) * _ATTACHED_NOISE) for ode in attachment.odes)
    odes.extend(replace(ode, rate=inline(ode.rate, inlined), named=ode.rate) for ode in responses.odes)
    return System(
        name=name or neuron.name,
        params=(
            *(param.name for param in neuron.params),
            *(p for attachment in attachments for p in attachment.params),
        ),
        inputs=tuple(item.name for item in neuron.inputs if item.name not in absent),
        states=(
            *neuron.states,
            *(state for attachment in attachments for state in attachment.states),
            *responses.states,
        ),
        odes=tuple(odes),
        nodes=order(differences, definitions, events),
        definitions=definitions,
        events=events,
        handlers=handlers,
        output=output,
        responses=tuple(responses.jumps),
        windows=tuple(responses.windows),
        reserved=_reserved(definitions, events, handlers, output, differences, adjoint),
        positive=positive_names(neuron.params),
        adjoint=adjoint,
    )


def _inputs(neuron: Neuron, attachments: tuple[Attachment, ...], absent: frozenset[str]) -> dict[str, Expr]:
    """What each input's symbol becomes: itself plus what attachments add."""
    folded: dict[str, Expr] = {}
    for item in neuron.inputs:
        terms = [term for attachment in attachments for target, term in attachment.terms if target == item.name]
        if not terms and item.name not in absent:
            continue
        value: Expr = Variable(item.name, item.unit)
        if item.name in absent:
            value = ZERO if terms else item.default
        for term in terms:
            value = add(value, term)
        folded[item.name] = value
    return folded


def _ode(differential: Differential, attachments: tuple[Attachment, ...], definitions: Mapping[str, Expr]) -> Ode:
    named = solve(differential)
    for attachment in attachments:
        for target, term in attachment.terms:
            if target == differential.variable:
                named = add(named, term)
    noisy = {name: value for name, value in definitions.items() if has_noise(inline(value, definitions))}
    named = fold(inline(named, noisy))
    source = source_text(differential.span) or f"d{differential.variable}/dt = {to_text(named)}"
    named, noises = split_noise(named, differential.variable, differential.span)
    noises = tuple((number, inline(coefficient, definitions)) for number, coefficient in noises)
    return Ode(differential.variable, fold(inline(named, definitions)), noises, source, named, differential.span)


def solve(differential: Differential) -> Expr:
    """The derivative of a differential equation, from a left side linear in it. Raises SnnError E701 when it cancels out.

    The checker has refused a left side that is not linear (E306), and a derivative on the right (E323).
    """
    derivative = f"d{differential.variable}/dt"
    left, right = differential.left, differential.right
    if own_name(left) == derivative:
        return right
    rest, parts = linear_parts(left, [derivative])
    coefficient = fold(parts[derivative])
    match coefficient:
        case Constant(value=0.0):
            cancels = True
        case Binary(operator="-", left=one, right=other):
            cancels = one == other
        case _:
            cancels = False
    if cancels:
        raise error(
            "E701",
            f"cannot solve for `{derivative}`: it cancels out",
            left.span or differential.span,
            f"holds no `{derivative}` in the end",
            help=f"write `{derivative}` once, times a factor such as a time constant",
        )
    return divide(subtract(right, rest), coefficient)


def inline(expr: Expr, definitions: Mapping[str, Expr]) -> Expr:
    """Definitions replaced by their values, and theirs in turn."""
    for _ in range(len(definitions) + 1):
        if not definitions or not reads(expr, definitions):
            return expr
        expr = substitute(expr, definitions)
    return expr


def split_noise(rate: Expr, variable: str, span: Span | None) -> tuple[Expr, tuple[tuple[int, Expr], ...]]:
    """A rate without its white noise, and the coefficient of each source. Raises SnnError E704 when noise enters nonlinearly."""
    numbers = sorted({node.number for node in walk(rate) if isinstance(node, Noise)})
    if not numbers:
        return rate, ()
    names = {f"xi~{number}": number for number in numbers}
    marked = transform(
        rate, lambda node: Variable(f"xi~{node.number}", span=node.span) if isinstance(node, Noise) else node
    )
    try:
        rest, parts = linear_parts(marked, names)
    except NotLinear as problem:
        raise error(
            "E704",
            f"white noise must enter the equation of `{variable}` linearly",
            problem.term.span or span,
            "not linear in xi",
            help="write it as a term of its own, `+ sigma*xi`; a factor may depend on states",
        ) from None
    return rest, tuple((names[name], fold(value)) for name, value in parts.items())


def _renumbered(ode: Ode, offset: int) -> Ode:
    return replace(ode, noises=tuple((number + offset, coefficient) for number, coefficient in ode.noises))


def positive_names(params: Iterable[Param]) -> tuple[str, ...]:
    """Params whose bounds keep them above zero."""
    found = []
    for param in params:
        low = None if param.bounds is None else evaluate(param.bounds.low)
        if low is not None and param.bounds is not None and (low > 0 or (low == 0 and not param.bounds.low_closed)):
            found.append(param.name)
    return tuple(found)


def map_statements(body: tuple[Statement, ...], change: Callable[[Expr], Expr]) -> tuple[Statement, ...]:
    """A handler's body with every expression changed."""
    return tuple(_statement(statement, change) for statement in body)


def _statement(statement: Statement, change: Callable[[Expr], Expr]) -> Statement:
    match statement:
        case Assign() | Deliver():
            return replace(statement, value=change(statement.value))
        case Hold():
            return replace(statement, duration=change(statement.duration))
        case If():
            branches = tuple(
                (None if condition is None else change(condition), map_statements(body, change))
                for condition, body in statement.branches
            )
            return replace(statement, branches=branches)
        case ForVacant():
            return replace(statement, body=map_statements(statement.body, change))
        case Create():
            return replace(statement, arguments=tuple((name, change(value)) for name, value in statement.arguments))
        case _:
            return statement


def expressions(body: tuple[Statement, ...]) -> Iterable[Expr]:
    """Every expression in a handler's body, in order."""
    for statement in body:
        match statement:
            case Assign() | Deliver():
                yield statement.value
            case Hold():
                yield statement.duration
            case If():
                for condition, inner in statement.branches:
                    if condition is not None:
                        yield condition
                    yield from expressions(inner)
            case ForVacant():
                yield from expressions(statement.body)
            case Create():
                yield from (value for _, value in statement.arguments)
            case _:
                pass


def _reserved(
    definitions: tuple[Definition, ...],
    events: tuple[Event, ...],
    handlers: tuple[Handler, ...],
    output: Expr | None,
    differences: list[Difference],
    adjoint: Adjoint | None,
) -> tuple[str, ...]:
    """Definitions that something besides the continuous equations reads, directly or through another one."""
    values = {definition.name: definition.value for definition in definitions}
    pending = [event.condition for event in events if event.condition is not None]
    pending += [expr for handler in handlers for expr in expressions(handler.body)]
    pending += [difference.value for difference in differences] + ([] if output is None else [output])
    pending += [] if adjoint is None else [line.value for line in adjoint.lines]
    found: dict[str, None] = {}
    while pending:
        for name in names_in(pending.pop()):
            if name in values and name not in found:
                found[name] = None
                pending.append(values[name])
    return tuple(definition.name for definition in definitions if definition.name in found)
