"""Checks one synapse, alone (what the neurons offer is open) or for a pair of neurons and a port (:mod:`snnlang.model.bind`)."""

from __future__ import annotations

from snnlang.diagnostics import Collector, Label, Span
from snnlang.frozen import dataclass, field
from snnlang.model import expression as e
from snnlang.model import model as m
from snnlang.model.algebra import intern, is_plain, per_time, product, same
from snnlang.model.check_neuron import check_noise, expressions, never_changes, ordered, set_bounds
from snnlang.model.declarations import Declared
from snnlang.model.equations import check_equations, check_step_cycle
from snnlang.model.handlers import Handlers, check_handlers, check_trigger
from snnlang.model.inherit import Gathered, place_of
from snnlang.model.lint import lint_model, unused
from snnlang.model.statements import deliver_port
from snnlang.model.symbols import Members, Symbol
from snnlang.model.typed import EVERYTHING, ONE_UNIT, TIME_UNIT, Typed, quantity_of
from snnlang.model.units import Unit, describe
from snnlang.syntax import tree

_FOREIGN = {tree.SpikeRule: "spike", tree.EventRule: "event", tree.Output: "output", tree.Tick: "step"}


@dataclass(frozen=True, slots=True)
class Written:
    """What a synapse was made from, kept to check it again for a pair of neurons."""

    node: tree.Model
    gathered: Gathered
    sound: bool


@dataclass
class Target:
    """The port a connection names, with its unit; ``jump`` and ``flow`` are the units of a delivery in a handler and a bare one."""

    owner: str
    port: str
    unit: Unit | None
    is_input: bool
    is_ode: bool
    gain: Unit | None
    shown: str | None = None
    is_difference: bool = False
    fires: bool = False  # a jump can raise a spike in the same step

    def shown_unit(self, unit: Unit) -> str:
        """A unit as the neuron writes it where it is the port's own."""
        return self.shown if self.shown and unit is self.unit else describe(unit)

    @property
    def flow(self) -> Unit | None:
        return self.unit if self.is_input or self.is_difference else per_time(self.unit)


@dataclass
class Sides:
    """What both neurons offer; open while a synapse is checked alone."""

    pre: Members = field(default_factory=lambda: open_side("pre"))
    post: Members = field(default_factory=lambda: open_side("post"))
    targets: dict[str | None, Target] | None = None
    difference: bool | None = None
    connection: Span | None = None


def open_side(side: str) -> Members:
    """A side that is not connected yet: every name is possible."""
    return Members(
        f"the {side}synaptic neuron",
        {"index": Symbol("index", "index", ONE_UNIT, scope="pre" if side == "pre" else "post")},
        open=True,
    )


def check_synapse(node: tree.Model, gathered: Gathered, collector: Collector, sides: Sides | None = None) -> m.Synapse:
    """A synapse with everything resolved; units of ``pre.x`` and ``post.x`` are known only with ``sides``."""
    sides = sides if sides is not None else Sides()
    post_events = {p.member.name: "input" for p in gathered.pieces if isinstance(p.member, tree.PostEvent)}
    declared = Declared(
        "synapse",
        node.name,
        gathered.pieces,
        collector,
        gathered.complete,
        {"pre": sides.pre, "post": sides.post},
        post_events,
    )
    bound = sides.targets is not None
    for piece in declared.pieces:
        word = _FOREIGN.get(type(piece.member))
        if word is not None and piece.own:
            collector.error(
                "E316",
                f"`{word}` does not belong into a synapse",
                place_of(piece.member),
                "only in a neuron",
                help="events and outputs belong to neurons; a synapse waits for them with `on pre:` and `on post:`",
            )
    equations = check_equations(declared)
    declared.everything()
    traces = _traces(declared, sides, bool(equations.differentials), bool(equations.differences))
    handlers = check_handlers(declared)
    delivers = _delivers(declared, sides)
    for deliver, typed, port in handlers.delivered:
        check_delivery(declared, sides, deliver, typed, port, jump=True)
    order = _order(declared)
    if bound and order is None:
        _warn_of_coincidences(declared, sides, handlers, traces)
    check_step_cycle(declared, equations, {})
    set_bounds(declared)
    check_noise(declared, [d.value for d in equations.differences], handlers.handlers)
    never_changes(declared, handlers.assigned)
    if not bound:
        for piece in declared.pieces:
            if piece.own:
                lint_model(declared, piece)
        unused(declared)
        if not delivers and not handlers.delivered and not handlers.outward and gathered.complete:
            collector.warning(
                "W402",
                f"the synapse `{node.name}` delivers nothing",
                node.name_span or node.span,
                "has no effect",
                help="write `deliver w` in `on pre:`, or a bare `deliver EXPR`",
            )
    items = ordered(declared)
    return m.Synapse(
        node.name,
        gathered.doc,
        tuple(i for i in items if isinstance(i, m.Param)),
        tuple(i for i in items if isinstance(i, m.State)),
        tuple(i for i in items if isinstance(i, m.Input)),
        tuple(post_events),
        tuple(traces),
        tuple(i for i in items if isinstance(i, m.Definition)),
        tuple(equations.differentials),
        tuple(equations.differences),
        tuple(handlers.handlers),
        tuple(delivers),
        order,
        gathered.bases,
        node.span,
        Written(node, gathered, not collector.has_errors),
    )


def _traces(declared: Declared, sides: Sides, odes: bool, differences: bool) -> list[m.Trace]:
    found: list[m.Trace] = []
    for piece in declared.pieces:
        node = piece.member
        if not isinstance(node, tree.Trace):
            continue
        trigger = check_trigger(declared, piece, node.trigger)
        if trigger is not None and trigger.kind not in ("pre", "post", "input"):
            declared.collector.error(
                "E413",
                f"the trace `{node.name}` must follow an event",
                node.trigger.span,
                "not an event of a neuron",
                help="write `on pre`, `on post`, `on post.NAME`, or a `per_post event` of this synapse",
            )
            trigger = None
        if node.option is not None and node.option != "nearest":
            declared.collector.error(
                "E407",
                f"a trace has no option `{node.option}`",
                node.span,
                "not known",
                help="write `nearest` for traces that are set to 1, or nothing for traces that add up",
            )
        resolver = declared.resolver(piece.module, frozenset(), running=True)
        decay = resolver.number(node.decay)
        steps = (
            is_plain(decay.unit)
            and decay.kind == "number"
            and not odes
            and (differences or sides.difference is not False)
        )
        if not steps and decay.kind != "unknown":
            decay = resolver.expect(
                node.decay,
                TIME_UNIT,
                f"the decay of the trace `{node.name}`",
                code="E213",
                help="write a time constant, such as `20 ms`; a rate r decays with `1/r`",
            )
        if decay.kind != "unknown":
            declared.constant(decay, node.decay, f"the decay of the trace `{node.name}`")
        if trigger is not None and decay.kind != "unknown":
            trace = m.Trace(node.name, trigger, decay.expr, node.option == "nearest", node.span)
            declared.built[node.name] = trace
            found.append(trace)
    return found


def _delivers(declared: Declared, sides: Sides) -> list[m.Deliver]:
    found: list[m.Deliver] = []
    for piece in declared.pieces:
        node = piece.member
        if isinstance(node, tree.Deliver):
            typed = declared.resolver(piece.module, EVERYTHING - {"random", "noise"}).number(node.value)
            port = deliver_port(declared, node)
            check_delivery(declared, sides, node, typed, port, jump=False)
            found.append(m.Deliver(typed.expr, port, node.span))
    return found


def check_delivery(
    declared: Declared, sides: Sides, node: tree.Deliver, typed: Typed, port: str | None, *, jump: bool
) -> None:
    """Unit of what is delivered against the port it goes to."""
    if sides.targets is None or typed.kind == "unknown":
        return
    target = sides.targets.get(port)
    if target is None:
        return
    wanted = target.unit if jump else target.flow
    given = product(typed.unit, target.gain) if target.gain is not None else typed.unit
    where = (
        (Label(sides.connection, f"connected to `{target.owner}.{target.port}` here"),)
        if sides.connection is not None
        else ()
    )
    place = f"`{target.owner}.{target.port}`"
    if not same(given, wanted) and given is not None and wanted is not None and not typed.free:
        shown = target.shown_unit(wanted)
        resolver = declared.resolver(declared.pieces[0].module)
        got = resolver.shown(node.value, typed.unit)
        if is_plain(typed.unit) and target.gain is None:
            declared.collector.error(
                "E404",
                f"a weight without unit goes into {place}, which takes {quantity_of(shown)}",
                node.value.span,
                "a plain number",
                labels=where,
                help=f"write `gain = 1 {shown}` at the connection"
                if not shown.startswith("1/")
                else f"write `gain = {shown}` at the connection",
            )
            return
        if target.gain is not None:
            got = f"{quantity_of(got)} times a gain in {quantity_of(describe(target.gain))}"
        declared.collector.error(
            "E403",
            f"{place} takes {quantity_of(shown)}, but {quantity_of(got)} is delivered",
            node.value.span,
            f"this is {quantity_of(got)}",
            labels=where,
            help=_delivery_help(given, wanted, target, jump),
        )
        return
    if jump and target.is_input and target.is_ode:
        declared.collector.warning(
            "W401",
            f"a pulse into the input {place} of a differential equation depends on dt",
            node.span,
            "lasts one step",
            labels=where,
            help="deliver into a port state (a jump), or deliver continuously from a state of the synapse",
        )


def _delivery_help(given: Unit, wanted: Unit, target: Target, jump: bool) -> str:
    if not jump and same(given, target.unit) and not target.is_input:
        return "a bare `deliver` adds to the derivative, per time: divide by a time constant, or deliver in `on pre:`"
    ratio = wanted / given
    return f"multiply it by something in {quantity_of(describe(intern(ratio)))}"


def _warn_of_coincidences(declared: Declared, sides: Sides, handlers: Handlers, traces: list[m.Trace]) -> None:
    """A jump that fires its target in the same step is not paired with that spike, unless ``order`` says so."""
    target = next(
        (
            t
            for _, _, port in handlers.delivered
            if (t := (sides.targets or {}).get(port)) is not None and (t.fires or t.is_difference)
        ),
        None,
    )
    before = {trace.name for trace in traces if trace.trigger.kind == "pre" and trace.trigger.event == "spike"}
    if target is None or not before:
        return
    for handler in handlers.handlers:
        if handler.trigger.kind != "post" or handler.trigger.event != "spike":
            continue
        read = {
            part.name for expr in expressions(handler.body) for part in e.walk(expr) if isinstance(part, e.Variable)
        }
        if read & before and handler.span is not None:
            first = handler.span.text.split(":", 1)[0]
            span = Span(handler.span.source, handler.span.start, handler.span.start + len(first))
            near = sides.connection if sides.connection is not None else span
            mine = near.source is span.source
            declared.collector.warning(
                "W405",
                f"a spike that fires its target at once is not paired by `{declared.name}`",
                span if mine else near,
                "sees the traces before this step" if mine else f"a jump into `{target.owner}.{target.port}`",
                labels=(Label(near, f"a jump into `{target.owner}.{target.port}`"),)
                if mine and near is not span
                else (),
                help="write `order pre, post` to let coincidences potentiate, `order post, pre` to let them depress"
                if mine
                else f"to pair it, derive `synapse Mine({declared.name}):` with `order pre, post` or `order post, pre`",
            )
            return


def _order(declared: Declared) -> tuple[str, str] | None:
    for piece in declared.pieces:
        node = piece.member
        if isinstance(node, tree.Order):
            if {node.first, node.second} == {"pre", "post"}:
                return node.first, node.second
            declared.collector.error(
                "E406",
                f"`order {node.first}, {node.second}` is not known",
                node.span,
                "neither order",
                help="write `order pre, post` or `order post, pre`",
            )
    return None
