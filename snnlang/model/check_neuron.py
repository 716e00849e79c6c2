"""Checks one neuron: declarations, equations, events, handlers, output, and what is left unused or never changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from snnlang.diagnostics import Collector, Label
from snnlang.model import expression as e
from snnlang.model import model as m
from snnlang.model.adjoint_block import check_adjoint
from snnlang.model.algebra import intern
from snnlang.model.declarations import Declared
from snnlang.model.equations import check_equations, check_step_cycle
from snnlang.model.evaluate import evaluate
from snnlang.model.handlers import check_handlers
from snnlang.model.inherit import Gathered, Piece, place_of, walk
from snnlang.model.lint import lint_model, unused
from snnlang.model.typed import EVERYTHING, ONE_UNIT, TIME_UNIT
from snnlang.model.units import RATE, Unit
from snnlang.syntax import tree

_FOREIGN = {tree.Trace: "trace", tree.Order: "order", tree.PostEvent: "per_post event", tree.Deliver: "deliver"}
Surrogates = Callable[[str], m.Function | None]


def check_neuron(node: tree.Model, gathered: Gathered, collector: Collector, surrogates: Surrogates) -> m.Neuron:
    """A neuron with everything resolved; mistakes are collected, and what has one is left out."""
    declared = Declared("neuron", node.name, gathered.pieces, collector, gathered.complete, events=_events(gathered))
    _refuse_foreign(declared)
    equations = check_equations(declared)
    declared.everything()
    events = _check_events(declared, surrogates)
    handlers = check_handlers(declared)
    output, output_unit = _output(declared)
    step = _step(declared)
    check_step_cycle(declared, equations, events)
    set_bounds(declared)
    check_noise(
        declared,
        [d.value for d in equations.differences] + [ev.condition for ev in events.values() if ev.condition is not None],
        handlers.handlers,
    )
    adjoint = check_adjoint(declared, surrogates)
    never_changes(declared, handlers.assigned)
    for piece in declared.pieces:
        if piece.own:
            lint_model(declared, piece)
    unused(declared)
    return m.Neuron(
        node.name,
        gathered.doc,
        tuple(item for item in ordered(declared) if isinstance(item, m.Param)),
        tuple(i for i in ordered(declared) if isinstance(i, m.State)),
        tuple(i for i in ordered(declared) if isinstance(i, m.Input)),
        tuple(i for i in ordered(declared) if isinstance(i, m.Definition)),
        tuple(equations.differentials),
        tuple(equations.differences),
        tuple(events.values()),
        tuple(handlers.handlers),
        output,
        output_unit,
        step,
        adjoint,
        gathered.bases,
        node.span,
    )


def ordered(declared: Declared) -> list[m.Param | m.State | m.Input | m.Definition | m.Trace]:
    """What was declared, in written order (units are worked out in another)."""
    return [declared.built[name] for name in declared.waiting if name in declared.built]


def _events(gathered: Gathered) -> dict[str, str]:
    """The events of a neuron: rules, declarations, and a ``spike`` that is only emitted."""
    events: dict[str, str] = {}
    for piece in gathered.pieces:
        match piece.member:
            case tree.SpikeRule():
                events["spike"] = piece.member.kind
            case tree.EventRule():
                events[piece.member.name] = "when" if piece.member.condition is not None else "emitted"
    if "spike" not in events and any(
        _emits_spike(p.member.body) for p in gathered.pieces if isinstance(p.member, tree.Handler)
    ):
        events["spike"] = "emitted"
    return events


def _emits_spike(body: tuple[tree.Statement, ...]) -> bool:
    return any(
        (isinstance(s, tree.Emit) and s.event == "spike")
        or (isinstance(s, tree.If) and any(_emits_spike(b.body) for b in s.branches))
        for s in body
    )


def _refuse_foreign(declared: Declared) -> None:
    for piece in declared.pieces:
        member = piece.member
        word = _FOREIGN.get(type(member))
        if isinstance(member, tree.Declaration) and member.role == "weight":
            word = "weight"
        if word is not None and piece.own:
            declared.collector.error(
                "E316",
                f"`{word}` does not belong into a neuron",
                place_of(member),
                "only in a synapse",
                help="declare it in a synapse, or use a `state`",
            )


def _check_events(declared: Declared, surrogates: Surrogates) -> dict[str, m.Event]:
    events: dict[str, m.Event] = {}
    for piece in declared.pieces:
        node = piece.member
        if isinstance(node, tree.EventRule):
            if node.name in ("trial_start", "trial_end"):
                declared.collector.error(
                    "E114",
                    f"`{node.name}` has a meaning of its own and cannot be declared",
                    place_of(node),
                    "an event of the language",
                    help="choose another name",
                )
                continue
            if node.name == "spike":
                continue  # refused by the parser
            condition = None
            if node.condition is not None:
                condition = (
                    declared.resolver(piece.module, EVERYTHING - {"noise"} | {"crosses"}).condition(node.condition).expr
                )
            events[node.name] = m.Event(
                node.name, "when" if node.condition is not None else "emitted", condition, None, node.span
            )
        elif isinstance(node, tree.SpikeRule):
            events["spike"] = _spike(declared, piece, node, surrogates)
    if "spike" in declared.events and "spike" not in events:
        events["spike"] = m.Event("spike", "emitted", None)
    return events


def _spike(declared: Declared, piece: Piece, node: tree.SpikeRule, surrogates: Surrogates) -> m.Event:
    resolver = declared.resolver(piece.module, EVERYTHING - {"noise"} | {"crosses"})
    if node.kind == "when":
        condition = resolver.condition(node.condition)
    elif node.kind == "rate":
        condition = resolver.expect(
            node.condition,
            intern(RATE),
            "the rate of `spike`",
            code="E214",
            help="a rate counts events per time: `20 Hz`; use `with probability` for a step",
        )
    else:
        condition = resolver.expect(
            node.condition,
            ONE_UNIT,
            "the probability of `spike`",
            code="E215",
            help="use `with rate` for events per time",
        )
    number = evaluate(condition.expr) if condition.kind != "unknown" and node.kind != "when" else None
    if number is not None and (number < 0 or (number > 1 and node.kind == "probability")):
        limits = "between 0 and 1" if node.kind == "probability" else "at least 0"
        declared.collector.error(
            "E330", f"a {node.kind} is {limits}", node.condition.span, f"this is {number:g}", help="change the value"
        )
    gradient = _gradient(declared, piece, node.gradient, surrogates) if node.gradient is not None else None
    return m.Event("spike", node.kind, condition.expr, gradient, node.span)


def _gradient(declared: Declared, piece: Piece, node: tree.Expression, surrogates: Surrogates) -> e.Expr | None:
    """A surrogate; the functions of the library are known here without an import."""
    resolver = declared.resolver(piece.module, EVERYTHING - {"noise"})
    names = replace(
        resolver.names, functions=dict(resolver.names.functions), where=f"the gradient of `{declared.name}`"
    )
    for part in walk(node):
        if (
            isinstance(part, tree.Call)
            and isinstance(part.function, tree.Name)
            and names.function(part.function.id) is None
        ):
            found = surrogates(part.function.id)
            if found is not None:
                names.functions[part.function.id] = found
    inner = resolver.inside(names, declared.collector, "")
    inner.unitless = True
    typed = inner.number(node)
    return None if typed.kind == "unknown" else typed.expr


def _output(declared: Declared) -> tuple[e.Expr | None, Unit | None]:
    for piece in declared.pieces:
        if isinstance(piece.member, tree.Output):
            typed = declared.resolver(piece.module, EVERYTHING - {"random"}).number(piece.member.value)
            return typed.expr, typed.unit if typed.unit is not None else ONE_UNIT
    return None, None


def _step(declared: Declared) -> e.Expr | None:
    for piece in declared.pieces:
        node = piece.member
        if isinstance(node, tree.Tick):
            if not declared.is_difference and piece.own:
                ode = next(
                    (
                        p.member
                        for p in declared.pieces
                        if isinstance(p.member, tree.Equation)
                        and declared.forms
                        and any(isinstance(part, tree.Derivative) for part in walk(p.member.left))
                    ),
                    None,
                )
                labels = (Label(place_of(ode), "follows time, not steps"),) if ode is not None else ()
                declared.collector.error(
                    "E319",
                    f"`step` in `{declared.name}`, which has no difference equations only",
                    node.span,
                    "states the tick of a difference model",
                    labels=labels,
                    help="take it away; `dt` of the experiment is the step of differential equations",
                )
                return None
            typed = declared.resolver(piece.module, frozenset(), running=True).expect(
                node.value, TIME_UNIT, "the step", code="E213", help="write a time, such as `1 ms`"
            )
            return typed.expr if typed.kind != "unknown" else None
    return None


# --- what both kinds of models share ----------------------------------------------------------------------------------


def set_bounds(declared: Declared) -> None:
    """Check every ``in [a, b]`` and keep it with its variable."""
    for piece in declared.pieces:
        node = piece.member
        if isinstance(node, tree.Declaration) and node.range is not None:
            bounds = declared.bounds(node, piece)
            built = declared.built.get(node.name)
            if bounds is not None and isinstance(built, (m.Param, m.State)):
                declared.built[node.name] = replace(built, bounds=bounds)


def never_changes(declared: Declared, assigned: dict[str, None]) -> None:
    """Report states without an equation that no handler assigns."""
    if declared.doubtful or not declared.complete:
        return
    for piece in declared.pieces:
        node = piece.member
        if not isinstance(node, tree.Declaration) or node.role != "state":
            continue
        name = node.name
        if name in declared.forms or name in assigned or "port" in node.adjectives or name in piece.module.file.lost:
            continue
        if any(
            isinstance(p.member, tree.Equation) and isinstance(p.member.left, tree.Name) and p.member.left.id == name
            for p in declared.pieces
        ):
            continue  # an equation without time index, already reported
        if any(name in p.module.file.lost for p in declared.pieces):
            continue
        place = place_of(node)
        if piece.own or not any(p.own and isinstance(p.member, tree.Declaration) for p in declared.pieces):
            declared.collector.error(
                "E301",
                f"the state `{name}` never changes",
                place,
                "no equation, no handler assigns it",
                help=f"declare `param {name}`, give it an equation, or assign it in a handler",
            )


def check_noise(declared: Declared, steps: list[e.Expr], handlers: list[m.Handler]) -> None:
    """Report definitions that hold white noise where a value is needed."""
    if not declared.noisy:
        return
    for expr in [*steps, *(part for handler in handlers for part in expressions(handler.body))]:
        for part in e.walk(expr):
            if isinstance(part, e.Variable) and part.scope == "self" and part.name in declared.noisy:
                declared.collector.error(
                    "E318",
                    f"`{part.name}` holds white noise and has no value at one time",
                    part.span,
                    "needs a value here",
                    help="use a draw such as `normal(0, 1)`, or filter the noise by a state",
                )


def expressions(body: tuple[m.Statement, ...]) -> list[e.Expr]:
    """Every expression of some statements."""
    found: list[e.Expr] = []
    for statement in body:
        match statement:
            case m.Assign() | m.Deliver():
                found.append(statement.value)
            case m.Hold():
                found.append(statement.duration)
            case m.If():
                for condition, inner in statement.branches:
                    found.extend([] if condition is None else [condition])
                    found.extend(expressions(inner))
            case m.ForVacant():
                found.extend(expressions(statement.body))
            case _:
                pass
    return found
