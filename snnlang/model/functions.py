"""Calls: built-in functions, user functions and kernels (inlined), draws, responses, reductions, ``since`` and ``detach``.

A user function is checked where it is called, with the units it is called with; a mistake that only shows there is reported at
the call and points into the function. Recursion is refused: it could not be inlined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from snnlang.diagnostics import Collector, Diagnostic, Label
from snnlang.model import expression as e
from snnlang.model.algebra import is_plain, power
from snnlang.model.expression import FUNCTIONS, Expr
from snnlang.model.model import Function
from snnlang.model.suggest import help_for, listing
from snnlang.model.symbols import Names, Symbol
from snnlang.model.typed import DRAWS, ONE_UNIT, TIME_UNIT, UNKNOWN, Typed, quantity_of, text_of
from snnlang.model.units import Unit
from snnlang.syntax import tree

if TYPE_CHECKING:
    from snnlang.model.resolve import Resolver

_SAME = frozenset({"abs", "relu"})  # keep the unit of their argument
_ANY = frozenset({"sign", "heaviside"})  # take any unit, give a plain number
_ALIKE = frozenset({"min", "max", "mod", "clip", "atan2"})  # arguments of one unit
_REDUCTIONS = frozenset({"sum", "mean", "min", "max", "count"})
_POPULATION = ("sum", "mean", "max", "min", "argmax", "argmin", "rank")
_LARGEST = 5_000  # inlined calls of one model


def resolve_call(resolver: Resolver, node: tree.Call) -> Typed:
    """A call of anything that can be called."""
    function = node.function
    if isinstance(function, tree.Attribute):
        if isinstance(function.value, tree.Name) and function.value.id == "all":
            return _population_reduction(resolver, node, function)
        return _not_callable(resolver, node, text_of(function))
    if not isinstance(function, tree.Name):
        return _not_callable(resolver, node, text_of(function))
    name = function.id
    user = resolver.names.function(name)
    if user is not None:
        return inline(resolver, user, node)
    special = _SPECIAL.get(name)
    if special is not None:
        return special(resolver, node)
    if name in _REDUCTIONS and any(isinstance(argument, tree.Per) for argument in node.arguments):
        return _synapse_reduction(resolver, node, name)
    if name in DRAWS:
        return _draw(resolver, node, name)
    if name in FUNCTIONS:
        return _builtin(resolver, node, name)
    symbol = resolver.names.find(name)
    if symbol is not None:
        if symbol.kind == "trace":
            return _at_time(resolver, node, symbol)
        return _not_callable(resolver, node, name)
    if name in ("sum", "mean", "count"):
        resolver.collector.error(
            "E410",
            f"`{name}` needs to be told over what",
            node.span,
            "over which synapses or neurons?",
            help=f"write `{name}(w, per post)` in a synapse, or `all.{name}(x)` in a neuron",
        )
        return UNKNOWN
    if not resolver.names.is_lost(name):
        names = [*resolver.names.all_functions(), *FUNCTIONS, *DRAWS, *_SPECIAL]
        resolver.collector.error(
            "E102",
            f"unknown function `{name}`",
            function.span,
            "not declared",
            help=help_for(name, names) or ("declare it with `func`, or import it",),
        )
    for argument in node.arguments:
        if isinstance(argument, tree.Argument):
            resolver.resolve(argument.value)
    return UNKNOWN


def _not_callable(resolver: Resolver, node: tree.Call, text: str) -> Typed:
    if isinstance(node.function, tree.Name) or resolver.resolve(node.function).kind != "unknown":
        resolver.collector.error(
            "E108", f"`{text}` is no function", node.span, "cannot be called", help=f"write `{text}*(…)` to multiply"
        )
    return UNKNOWN


# --- arguments --------------------------------------------------------------------------------------------------------


def bind(
    resolver: Resolver,
    node: tree.Call,
    name: str,
    parameters: tuple[str, ...],
    defaults: frozenset[str],
    arguments: tuple[tree.Argument | tree.Per, ...] | None = None,
) -> dict[str, tree.Expression] | None:
    """Which expression each parameter gets; None after a report of a wrong number or name."""
    bound: dict[str, tree.Expression] = {}
    position = 0
    right = True
    for argument in node.arguments if arguments is None else arguments:
        if isinstance(argument, tree.Per):
            resolver.collector.error(
                "E410",
                f"`{name}` takes no `per`",
                argument.span,
                "only reductions do",
                help="`sum`, `mean`, `min`, `max` and `count` take `per pre` or `per post`",
            )
            return None
        if argument.name is None:
            if position >= len(parameters):
                count = len(parameters)
                resolver.collector.error(
                    "E109",
                    f"`{name}` takes {_count(count, 'argument')}, {len(node.arguments)} are given",
                    argument.span,
                    "one too many",
                    help=f"its form is `{name}({', '.join(parameters)})`",
                )
                return None
            key = parameters[position]
            position += 1
        elif argument.name in parameters:
            key = argument.name
        else:
            resolver.collector.error(
                "E110",
                f"`{name}` has no argument `{argument.name}`",
                argument.span,
                "not known",
                help=help_for(argument.name, parameters) or (f"its form is `{name}({', '.join(parameters)})`",),
            )
            right = False
            continue
        if key in bound:
            resolver.collector.error(
                "E111",
                f"the argument `{key}` of `{name}` is given twice",
                argument.span,
                "the second time",
                labels=(Label(bound[key].span, "the first time"),),
                help="leave one of them out",
            )
            right = False
            continue
        bound[key] = argument.value
    missing = [key for key in parameters if key not in bound and key not in defaults]
    if missing and right:
        resolver.collector.error(
            "E109",
            f"`{name}` needs {listing(missing)}",
            node.span,
            f"{_count(len(missing), 'argument')} missing",
            help=f"its form is `{name}({', '.join(parameters)})`",
        )
        right = False
    return bound if right else None


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _plain_arguments(
    resolver: Resolver, node: tree.Call, name: str, parameters: tuple[str, ...]
) -> list[tree.Expression] | None:
    bound = bind(resolver, node, name, parameters, frozenset())
    return None if bound is None else [bound[key] for key in parameters]


# --- built-in functions -----------------------------------------------------------------------------------------------

_FORMS: dict[str, tuple[str, ...]] = {
    "atan2": ("y", "x"),
    "mod": ("x", "y"),
    "clip": ("x", "low", "high"),
    "min": ("a", "b"),
    "max": ("a", "b"),
}


def _builtin(resolver: Resolver, node: tree.Call, name: str) -> Typed:
    if name in ("min", "max"):
        return _extreme(resolver, node, name)
    nodes = _plain_arguments(resolver, node, name, _FORMS.get(name, ("x",)))
    if nodes is None:
        return UNKNOWN
    values = [resolver.number(argument) for argument in nodes]
    if any(value.kind == "unknown" for value in values):
        return UNKNOWN
    call = e.Call(name, tuple(value.expr for value in values), span=node.span)
    if name in _SAME:
        return Typed(call, values[0].unit, free=values[0].free)
    if name in _ANY:
        return Typed(call, ONE_UNIT)
    if name == "sqrt":
        return Typed(call, power(values[0].unit, Fraction(1, 2)))
    if name in _ALIKE:
        unit, fits = _alike(resolver, node, name, nodes, values)
        if not fits:
            return UNKNOWN
        return Typed(call, ONE_UNIT if name == "atan2" else unit)
    for argument, value in zip(nodes, values, strict=True):
        if value.unit is not None and not is_plain(value.unit):
            unit_text = resolver.shown(argument, value.unit)
            resolver.collector.error(
                "E204",
                f"the argument of `{name}` must be a plain number",
                argument.span,
                f"this is {quantity_of(unit_text)}",
                help=f"divide it by a quantity in {unit_text}",
            )
            return UNKNOWN
    return Typed(call, ONE_UNIT)


def _alike(
    resolver: Resolver, node: tree.Call, name: str, nodes: list[tree.Expression], values: list[Typed]
) -> tuple[Unit | None, bool]:
    first, first_node = values[0], nodes[0]
    unit = first.unit
    for argument, value in zip(nodes[1:], values[1:], strict=True):
        unit, fits = resolver.unify(
            first_node,
            first,
            argument,
            value,
            node,
            "E207",
            lambda a, b: f"the arguments of `{name}` differ: {quantity_of(a)} and {quantity_of(b)}",
        )
        if not fits:
            return None, False
        if first.unit is None:
            first, first_node = value, argument
    return unit, True


def _extreme(resolver: Resolver, node: tree.Call, name: str) -> Typed:
    nodes = [
        argument.value for argument in node.arguments if isinstance(argument, tree.Argument) and argument.name is None
    ]
    if len(nodes) < 2 or len(nodes) != len(node.arguments):
        resolver.collector.error(
            "E109",
            f"`{name}` takes two or more values",
            node.span,
            f"{_count(len(nodes), 'value')} given",
            help=f"write `{name}(a, b)`",
        )
        return UNKNOWN
    values = [resolver.number(argument) for argument in nodes]
    if any(value.kind == "unknown" for value in values):
        return UNKNOWN
    unit, fits = _alike(resolver, node, name, nodes, values)
    if not fits:
        return UNKNOWN
    expr: Expr = values[0].expr
    for value in values[1:]:
        expr = e.Call(name, (expr, value.expr), span=node.span)
    return Typed(expr, unit, free=all(value.free for value in values))


def _draw(resolver: Resolver, node: tree.Call, name: str) -> Typed:
    nodes = _plain_arguments(resolver, node, name, DRAWS[name])
    if nodes is None:
        return UNKNOWN
    values = [resolver.number(argument) for argument in nodes]
    if "random" not in resolver.allow:
        resolver.collector.error(
            "E325",
            f"a draw cannot stand in {resolver.names.where}",
            node.span,
            "a new number each time",
            help="draw in a handler, in an argument of the population, or use the white noise `xi` in an equation",
        )
        return UNKNOWN
    if any(value.kind == "unknown" for value in values):
        return UNKNOWN
    drawn = tuple(value.expr for value in values)
    unit: Unit | None = ONE_UNIT
    if name in ("uniform", "normal"):
        unit, fits = _alike(resolver, node, name, nodes, values)
        if not fits:
            return UNKNOWN
    elif name == "exponential":
        unit = values[0].unit
    else:
        if name == "gamma":
            unit = values.pop().unit
            nodes.pop()
        for argument, value in zip(nodes, values, strict=True):
            if value.unit is not None and not is_plain(value.unit):
                shown = resolver.shown(argument, value.unit)
                resolver.collector.error(
                    "E204",
                    f"the argument of `{name}` must be a plain number",
                    argument.span,
                    f"this is {quantity_of(shown)}",
                    help=f"divide it by a quantity in {shown}",
                )
                return UNKNOWN
    resolver.counters.draws += 1
    return Typed(e.Random(name, drawn, resolver.counters.draws - 1, span=node.span), unit)


# --- functions and kernels of the user --------------------------------------------------------------------------------


def inline(
    resolver: Resolver,
    function: Function,
    node: tree.Call,
    first: Typed | None = None,
    arguments: tuple[tree.Argument | tree.Per, ...] | None = None,
) -> Typed:
    """The body with its parameters replaced. ``first`` gives the first parameter (a kernel's time) from outside."""
    definition = function.definition
    if definition.name in resolver.calling:
        chain = " -> ".join([*resolver.calling[resolver.calling.index(definition.name) :], definition.name])
        resolver.collector.error(
            "E112",
            f"`{definition.name}` calls itself",
            node.span,
            chain,
            help="write the recursion as a state, or the sum in closed form",
        )
        for argument in node.arguments:
            if isinstance(argument, tree.Argument):
                resolver.resolve(argument.value)
        return UNKNOWN
    resolver.counters.calls += 1
    if resolver.counters.calls > _LARGEST:
        resolver.collector.error(
            "E125",
            "the functions of this model expand into too much text",
            node.span,
            f"more than {_LARGEST} calls",
            help="name a part that is used often by a definition",
        )
        return UNKNOWN
    parameters = definition.parameters[1:] if first is not None else definition.parameters
    names = tuple(parameter.name for parameter in parameters)
    defaults = frozenset(parameter.name for parameter in parameters if parameter.default is not None)
    bound = bind(resolver, node, definition.name, names, defaults, arguments)
    if bound is None:
        return UNKNOWN
    inner = Collector()
    home = function.home if function.home is not None else Names()
    table = Names(where=f"`{definition.name}`", parent=home)
    failed = False
    if first is not None:
        table.add(Symbol(definition.parameters[0].name, "argument", first.unit, first.expr))
    for parameter in parameters:
        given = bound.get(parameter.name)
        if given is not None:
            value = resolver.number(given)
        else:
            assert parameter.default is not None
            value = resolver.inside(home, inner, definition.name).number(parameter.default)
        failed = failed or value.kind == "unknown"
        unit = None if resolver.unitless else value.unit
        shown = resolver.shown(given, value.unit) if given is not None and value.unit is not None else None
        table.add(Symbol(parameter.name, "argument", unit, value.expr, shown))
    if failed:
        return UNKNOWN
    result = resolver.inside(table, inner, definition.name).number(definition.value)
    for diagnostic in inner.sorted():
        if diagnostic.is_error:
            if diagnostic.code != "E112" or not _told(resolver.collector, diagnostic):
                resolver.collector.add(_at_call(diagnostic, node, definition.name))
            break
    return result


def _told(collector: Collector, circle: Diagnostic) -> bool:
    """Whether the same circle of functions was reported, begun at another one."""
    names = set(circle.label.split(" -> "))
    return any(d.code == "E112" and set(d.label.split(" -> ")) == names for d in collector.diagnostics)


def _at_call(diagnostic: Diagnostic, node: tree.Call, name: str) -> Diagnostic:
    """A mistake inside a function, told at its call."""
    if diagnostic.code == "E125":
        return replace(diagnostic, span=node.span)
    if diagnostic.span is None or diagnostic.code == "E112":
        return diagnostic
    where = Label(diagnostic.span, f"in `{name}`: {diagnostic.label}" if diagnostic.label else f"in `{name}`")
    return replace(
        diagnostic, span=node.span, label=f"`{name}` is called here", labels=(where, *diagnostic.labels), fix=None
    )


def _response(resolver: Resolver, node: tree.Call) -> Typed:
    arguments = [a for a in node.arguments if isinstance(a, tree.Argument) and a.name is None]
    if len(arguments) not in (2, 3) or len(arguments) != len(node.arguments):
        resolver.collector.error(
            "E328",
            "a response needs a kernel and what it responds to",
            node.span,
            "not of that form",
            help="write `response(kernel, spike)`, `response(kernel, spike, last)` or `response(kernel, I)`",
        )
        return UNKNOWN
    if "response" not in resolver.allow:
        resolver.collector.error(
            "E328",
            f"a response cannot stand in {resolver.names.where}",
            node.span,
            "needs the past of a signal",
            help="name it by a definition of the model",
        )
        return UNKNOWN
    last = False
    if len(arguments) == 3:
        option = arguments[2].value
        if not isinstance(option, tree.Name) or option.id != "last":
            resolver.collector.error(
                "E328",
                "the third argument of a response can only be `last`",
                option.span,
                "not known",
                help="leave it out to sum over all events",
            )
            return UNKNOWN
        last = True
    kernel, unit = _kernel(resolver, arguments[0].value)
    source, source_unit, is_event = _source(resolver, arguments[1].value)
    if kernel is None or source is None:
        return UNKNOWN
    if last and not is_event:
        resolver.collector.error(
            "E328",
            "`last` needs an event",
            arguments[1].value.span,
            "a signal, not an event",
            help="leave `last` out to filter a signal",
        )
        return UNKNOWN
    if not is_event:
        # A filter integrates over time: kernel [u] * signal [s] * time.
        from_signal = None if unit is None or source_unit is None else unit * source_unit * TIME_UNIT
        return Typed(e.Response(kernel, source, last, span=node.span), from_signal)
    return Typed(e.Response(kernel, source, last, span=node.span), unit)


def _kernel(resolver: Resolver, node: tree.Expression) -> tuple[e.KernelFunction | None, Unit | None]:
    name = node.function if isinstance(node, tree.Call) else node
    user = resolver.names.function(name.id) if isinstance(name, tree.Name) else None
    if (
        user is None
        or not isinstance(name, tree.Name)
        or user.definition.kind != "kernel"
        or not user.definition.parameters
    ):
        if isinstance(name, tree.Name) and resolver.names.is_lost(name.id):
            return None, None
        kernels = [
            key
            for key in resolver.names.all_functions()
            if (found := resolver.names.function(key)) is not None and found.definition.kind == "kernel"
        ]
        hint = help_for(name.id, kernels) if isinstance(name, tree.Name) else ()
        resolver.collector.error(
            "E328",
            f"`{text_of(node)}` is no kernel",
            node.span,
            "a response begins with a kernel",
            help=hint or ("declare `kernel eps(t, tau = 5 ms) = exp(-t/tau)` at the top of the file",),
        )
        return None, None
    call = node if isinstance(node, tree.Call) else tree.Call(name, (), span=node.span)
    argument = user.definition.parameters[0].name
    while resolver.names.peek(argument) or argument == "t":
        argument += "_"
    time = Typed(e.Variable(argument, TIME_UNIT, span=node.span), TIME_UNIT)
    body = inline(resolver, user, call, first=time)
    if body.kind == "unknown":
        return None, None
    return e.KernelFunction(user.definition.name, argument, body.expr, span=node.span), body.unit


def _source(resolver: Resolver, node: tree.Expression) -> tuple[Expr | None, Unit | None, bool]:
    event = event_reference(resolver, node, report=False)
    if event is not None:
        name, scope = event
        return e.Occurs(name, 0, scope, span=node.span), ONE_UNIT, True
    typed = resolver.number(node)
    if typed.kind == "unknown":
        return None, None, False
    return typed.expr, typed.unit, isinstance(typed.expr, e.Occurs)


Side = Literal["self", "pre", "post"]


def event_reference(resolver: Resolver, node: tree.Expression, *, report: bool = True) -> tuple[str, Side] | None:
    """The event that ``spike``, ``peak``, ``pre``, ``post.peak`` or ``desired`` names; None if it names none."""
    if isinstance(node, tree.Name):
        if resolver.names.event(node.id) and not resolver.names.peek(node.id):
            return node.id, "self"
        if node.id in ("pre", "post") and resolver.names.member_table(node.id) is not None:
            return "spike", "pre" if node.id == "pre" else "post"
    if isinstance(node, tree.Attribute) and isinstance(node.value, tree.Name):
        side = node.value.id
        table = resolver.names.member_table(side)
        if table is not None and (
            node.name in table.events or (table.open and report and node.name not in table.symbols)
        ):
            return node.name, "pre" if side == "pre" else "post"
        if table is not None and report:
            resolver.collector.error(
                "E402",
                f"{table.owner} has no event `{node.name}`",
                node.span,
                "not there",
                help=help_for(node.name, table.events) or (f"it has {listing(table.events)}" if table.events else "",),
            )
            return None
    if report:
        text = text_of(node)
        events = list(_all_events(resolver.names))
        hint = help_for(text, events) or ((f"the events here are {listing(events)}",) if events else ())
        if not resolver.names.is_lost(text):
            resolver.collector.error("E313", f"`{text}` is no event", node.span, "nothing raises it", help=hint)
    return None


def _all_events(names: Names) -> list[str]:
    return [*names.events, *(_all_events(names.parent) if names.parent is not None else [])]


def _since(resolver: Resolver, node: tree.Call) -> Typed:
    nodes = _plain_arguments(resolver, node, "since", ("event",))
    if nodes is None:
        return UNKNOWN
    if "events" not in resolver.allow:
        resolver.collector.error(
            "E115",
            f"`since` cannot be used in {resolver.names.where}",
            node.span,
            "no events here",
            help="use it in an equation, a condition or a handler of a model",
        )
        return UNKNOWN
    event = event_reference(resolver, nodes[0])
    if event is None:
        return UNKNOWN
    return Typed(e.Since(event[0], event[1], span=node.span), TIME_UNIT)


def _detach(resolver: Resolver, node: tree.Call) -> Typed:
    nodes = _plain_arguments(resolver, node, "detach", ("x",))
    typed = resolver.number(nodes[0]) if nodes is not None else UNKNOWN
    return typed if typed.kind == "unknown" else replace(typed, expr=e.Detach(typed.expr, span=node.span))


# --- reductions and looks back ----------------------------------------------------------------------------------------


def _population_reduction(resolver: Resolver, node: tree.Call, function: tree.Attribute) -> Typed:
    name = function.name
    if name not in _POPULATION:
        resolver.collector.error(
            "E327",
            f"the population has no `all.{name}`",
            function.span,
            "not known",
            help=help_for(name, _POPULATION) or (f"there are {listing(_POPULATION)}",),
        )
        return UNKNOWN
    if "all" not in resolver.allow:
        resolver.collector.error(
            "E327",
            f"`all.{name}` cannot be used in {resolver.names.where}",
            node.span,
            "no population here",
            help="only equations, conditions and handlers of a neuron see their population",
        )
        return UNKNOWN
    over: tuple[int, ...] | None = None
    values: list[tree.Expression] = []
    for argument in node.arguments:
        if isinstance(argument, tree.Argument) and argument.name == "over":
            over = _axes(argument.value)
            if over is None:
                resolver.collector.error(
                    "E327",
                    "`over` names axes of the population by whole numbers",
                    argument.span,
                    "not axes",
                    help="write `over = 0` or `over = [0, 1]`",
                )
                return UNKNOWN
        elif isinstance(argument, tree.Argument) and argument.name is None:
            values.append(argument.value)
    if len(values) != 1 or len(node.arguments) - len(values) > 1:
        resolver.collector.error(
            "E109",
            f"`all.{name}` takes one value",
            node.span,
            f"{_count(len(values), 'value')} given",
            help=f"write `all.{name}(x)` or `all.{name}(x, over = 0)`",
        )
        return UNKNOWN
    typed = resolver.number(values[0])
    if typed.kind == "unknown":
        return UNKNOWN
    unit = ONE_UNIT if name in ("argmax", "argmin", "rank") else typed.unit
    return Typed(e.PopulationReduction(name, typed.expr, over, span=node.span), unit)


def _axes(node: tree.Expression) -> tuple[int, ...] | None:
    items = node.items if isinstance(node, tree.ListLiteral) else (node,)
    axes: list[int] = []
    for item in items:
        if not isinstance(item, tree.Number) or not item.is_integer:
            return None
        axes.append(int(item.value))
    return tuple(axes)


def _synapse_reduction(resolver: Resolver, node: tree.Call, name: str) -> Typed:
    sides = [argument for argument in node.arguments if isinstance(argument, tree.Per)]
    values = [
        argument.value for argument in node.arguments if isinstance(argument, tree.Argument) and argument.name is None
    ]
    if "per" not in resolver.allow:
        resolver.collector.error(
            "E410",
            f"`{name}(…, per …)` cannot be used in {resolver.names.where}",
            node.span,
            "needs all synapses of a neuron",
            help="only handlers of a synapse can reduce over synapses",
        )
        return UNKNOWN
    side = sides[0]
    if side.side not in ("pre", "post"):
        resolver.collector.error(
            "E410", f"`per {side.side}` is not known", side.span, "neither side", help="write `per pre` or `per post`"
        )
        return UNKNOWN
    if name == "count" and not values:
        return Typed(
            e.SynapseReduction(name, e.Constant(1.0), "pre" if side.side == "pre" else "post", span=node.span), ONE_UNIT
        )
    if len(values) != 1 or len(sides) != 1 or len(node.arguments) != 2:
        resolver.collector.error(
            "E109",
            f"`{name}` takes one value and one side",
            node.span,
            "not of that form",
            help=f"write `{name}(w, per post)`",
        )
        return UNKNOWN
    value = resolver.resolve(values[0])
    typed = value if value.kind == "boolean" and name == "count" else resolver.number(values[0])
    if typed.kind == "unknown":
        return UNKNOWN
    expr = typed.expr
    if typed.kind == "boolean":
        expr = e.Select(expr, e.Constant(1.0), e.Constant(0.0), span=typed.expr.span)
        name = "sum"
    unit = ONE_UNIT if name == "count" or typed.kind == "boolean" else typed.unit
    return Typed(e.SynapseReduction(name, expr, "pre" if side.side == "pre" else "post", span=node.span), unit)


def _at_time(resolver: Resolver, node: tree.Call, symbol: Symbol) -> Typed:
    nodes = _plain_arguments(resolver, node, symbol.name, ("time",))
    if nodes is None:
        return UNKNOWN
    if "past" not in resolver.allow:
        resolver.collector.error(
            "E414",
            f"the past of the trace `{symbol.name}` is only known at the end of a trial",
            node.span,
            "looks back in time",
            help="move it into `on trial_end:`",
        )
        return UNKNOWN
    time = resolver.expect(nodes[0], TIME_UNIT, f"the time at which `{symbol.name}` is looked up", code="E213")
    if time.kind == "unknown":
        return UNKNOWN
    return Typed(e.AtTime(symbol.name, time.expr, symbol.unit or ONE_UNIT, span=node.span), symbol.unit)


_SPECIAL: dict[str, Callable[[Resolver, tree.Call], Typed]] = {
    "since": _since,
    "response": _response,
    "detach": _detach,
}
