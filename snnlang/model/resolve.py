"""From the tree of an expression to a checked one: names are looked up, units worked out, every mistake collected.

One resolver serves models, arguments, sizes, options and stimuli; what may be said where is its ``allow``. It never raises: an
expression with a mistake has kind ``unknown`` and no unit, and nothing that uses it is reported again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from snnlang.diagnostics import Collector, Fix, Label, Span
from snnlang.model import expression as e
from snnlang.model.algebra import intern, is_plain, quotient, resolve_factors, same
from snnlang.model.brackets import resolve_index
from snnlang.model.functions import resolve_call
from snnlang.model.operators import (
    resolve_binary,
    resolve_comparison,
    resolve_conditional,
    resolve_crosses,
    resolve_derivative,
    resolve_unary,
)
from snnlang.model.suggest import help_for, listing
from snnlang.model.symbols import Names, Symbol
from snnlang.model.typed import (
    DRAWS,
    ONE_UNIT,
    TIME_UNIT,
    UNKNOWN,
    Counters,
    Typed,
    quantity_of,
    text_of,
    with_unit,
    written_units,
)
from snnlang.model.units import NOISE, UNITS, Unit, describe
from snnlang.syntax import tree

if TYPE_CHECKING:
    from snnlang.model.adjoint_block import Backward


class Resolver:
    """Resolves expressions against ``names``; ``running`` is set in handlers, where a bare name is the value as it stands."""

    def __init__(
        self,
        names: Names,
        collector: Collector,
        allow: frozenset[str] = frozenset(),
        *,
        running: bool = False,
        counters: Counters | None = None,
        calling: tuple[str, ...] = (),
    ) -> None:
        self.names = names
        self.collector = collector
        self.allow = allow
        self.running = running
        self.counters = counters if counters is not None else Counters()
        self.calling = calling
        self.derivative: Symbol | None = None  # the state whose derivative may stand here (left sides)
        self.backward: Backward | None = None  # inside an adjoint block
        self.unitless = False  # arguments of functions lose their units (surrogate gradients)

    # --- what others call ---------------------------------------------------------------------------------------------

    def resolve(self, node: tree.Expression) -> Typed:
        """Any expression."""
        return _RULES[type(node)](self, node)

    def number(self, node: tree.Expression) -> Typed:
        """An expression that must be a number (events count as 0 and 1)."""
        typed = self.resolve(node)
        match typed.kind:
            case "number" | "unknown":
                return typed
            case "event":
                return replace(typed, kind="number")
            case "boolean":
                self.collector.error(
                    "E121",
                    "a condition stands where a number is needed",
                    node.span,
                    "this is true or false",
                    help=f"write `1 if {text_of(node)} else 0`",
                )
            case "string":
                self.collector.error(
                    "E122",
                    "a text stands where a number is needed",
                    node.span,
                    "this is a text",
                    help="write a number or a name without quotes",
                )
            case "list":
                self.collector.error(
                    "E122",
                    "a list stands where a number is needed",
                    node.span,
                    "this is a list",
                    help="write one number; lists belong into weights and sweeps",
                )
        return UNKNOWN

    def condition(self, node: tree.Expression) -> Typed:
        """An expression that must be true or false."""
        typed = self.resolve(node)
        match typed.kind:
            case "boolean" | "unknown":
                return typed
            case "event":
                return Typed(e.Comparison(">", typed.expr, e.Constant(0.0), span=node.span), ONE_UNIT, "boolean")
            case _:
                zero = "0" if typed.unit is None or is_plain(typed.unit) else f"0 {self.shown(node, typed.unit)}"
                self.collector.error(
                    "E312",
                    "a number stands where a condition is needed",
                    node.span,
                    "this is neither true nor false",
                    help=f"compare it, for example `{text_of(node)} > {zero}`",
                )
        return UNKNOWN

    def expect(
        self,
        node: tree.Expression,
        unit: Unit | None,
        what: str,
        *,
        code: str = "E209",
        shown: str | None = None,
        help: str = "",
        labels: tuple[Label, ...] = (),
    ) -> Typed:
        """A number of that unit; ``what`` begins the message ("the argument `tau`"), ``shown`` is the unit as the user wrote it."""
        typed = self.number(node)
        if typed.kind == "unknown" or unit is None:
            return typed
        if typed.free:
            return replace(typed, expr=with_unit(typed.expr, unit), unit=unit, free=False)
        if same(typed.unit, unit):
            return typed
        wanted = shown or describe(unit)
        if self.bare(node, unit, wanted):
            return UNKNOWN
        self.collector.error(
            code,
            f"{what} must be {quantity_of(wanted)}, not {quantity_of(self.shown(node, typed.unit))}",
            node.span,
            f"this is {quantity_of(self.shown(node, typed.unit))}",
            labels=labels,
            help=help or (f"write a quantity in {wanted}" if wanted != "1" else "divide it by a quantity of its unit"),
        )
        return UNKNOWN

    def shown(self, node: tree.Expression, unit: Unit | None) -> str:
        """A unit as the user wrote it where the expression tells, else in the units of the language."""
        if unit is None:
            return "?"
        for text, found in written_units(node, self.names):
            if found is unit or found == unit:
                return text
        return describe(unit)

    # --- atoms --------------------------------------------------------------------------------------------------------

    def _number(self, node: tree.Number) -> Typed:
        return Typed(e.Constant(float(node.value), span=node.span), ONE_UNIT)

    def _quantity(self, node: tree.Quantity) -> Typed:
        for factor in node.unit:
            if self.names.peek(factor.name):
                text = text_of(node)
                better = (
                    text.replace("/", "*", 1) if text.count(" ") == 0 and "/" not in text else text.replace(" ", "*", 1)
                )
                self.collector.error(
                    "E212",
                    f"`{factor.name}` is read as a unit here, but it is a name of this model",
                    node.span,
                    f"{text} is taken as a quantity",
                    help=f"write `{better}` to multiply; rename `{factor.name}` if the unit is meant",
                    fix=Fix(node.span, better),
                )
                return UNKNOWN
        try:
            size, unit = resolve_factors(node.unit)
        except KeyError as unknown:
            self.collector.error(
                "E211",
                f"unknown unit `{unknown.args[0]}`",
                node.span,
                "no such unit",
                help=help_for(str(unknown.args[0]), UNITS),
            )
            return UNKNOWN
        value = float(f"{node.value * size:.15g}")
        return Typed(e.Constant(value, unit, span=node.span), unit)

    def _string(self, node: tree.String) -> Typed:
        return Typed(e.Constant(0.0, span=node.span), None, "string", text=node.value)

    def _list(self, node: tree.ListLiteral) -> Typed:
        items = tuple(self.resolve(item) for item in node.items)
        unit = items[0].unit if items else None
        return Typed(e.Constant(0.0, span=node.span), unit, "list", items=items)

    def _name(self, node: tree.Name) -> Typed:
        name = node.id
        if self.backward is not None and name in self.backward.units:
            return self.backward.value(name, node.span)
        symbol = self.names.find(name)
        if symbol is not None:
            return self.symbol_value(symbol, node.span, None if self.running and symbol.kind != "event" else symbol.lag)
        if self.names.event(name):
            return self.event_value(name, 0, node.span)
        builtin = _BUILTINS.get(name)
        if builtin is not None:
            return builtin(self, node)
        if name in e.FUNCTIONS or name in DRAWS or self.names.function(name) is not None:
            self.collector.error(
                "E108",
                f"`{name}` is a function and needs arguments",
                node.span,
                "not called",
                help=f"write `{name}(…)`",
            )
            return UNKNOWN
        return self.unknown(name, node.span)

    def unknown(self, name: str, span: Span, *, extra: tuple[str, ...] = ()) -> Typed:
        """Report a name that nothing declares, with the nearest one in scope."""
        if not self.names.is_lost(name):
            self.names.lost = self.names.lost | {name}  # one message a name
            names = [*self.names.all_names(), *self.names.events]
            alone: tuple[str, ...] = ()
            if len(name) > 1 and name in UNITS:
                alone = (f"`{name}` is a unit, which follows a number: write `1 {name}`, such as x/(1 {name})",)
            known = extra or alone or help_for(name, names) or (("declare it, or correct its spelling",) if names else ())
            self.collector.error(
                "E101", f"unknown name `{name}` in {self.names.where}", span, "not declared", help=known
            )
        return UNKNOWN

    def symbol_value(self, symbol: Symbol, span: Span, lag: int | None) -> Typed:
        if symbol.value is not None:
            return Typed(symbol.value, symbol.unit)
        expr = e.Variable(
            symbol.name, symbol.unit if symbol.unit is not None else ONE_UNIT, symbol.scope, lag, span=span
        )
        return Typed(expr, symbol.unit)

    def event_value(self, name: str, lag: int, span: Span) -> Typed:
        if not self.allowed("events", f"`{name}`", span):
            return UNKNOWN
        return Typed(e.Occurs(name, lag, span=span), ONE_UNIT, "event")

    def allowed(self, feature: str, what: str, span: Span, help: str = "") -> bool:
        if feature in self.allow:
            return True
        self.collector.error(
            "E115",
            f"{what} cannot be used in {self.names.where}",
            span,
            "not known here",
            help=help or "use it in an equation, a condition or a handler of a model",
        )
        return False

    def side_help(self, name: str) -> str:
        return f"write `pre.{name}` or `post.{name}`" if self.names.member_table("pre") is not None else ""

    def _truth(self, node: tree.Name) -> Typed:
        expr = e.Comparison("==", e.Constant(1.0), e.Constant(1.0 if node.id == "true" else 0.0), span=node.span)
        return Typed(expr, ONE_UNIT, "boolean")

    def _infinity(self, node: tree.Name) -> Typed:
        return Typed(e.Constant(float("inf"), span=node.span), None, free=True)

    def _pi(self, node: tree.Name) -> Typed:
        return Typed(e.Constant(3.141592653589793, span=node.span), ONE_UNIT)

    def _time(self, node: tree.Name) -> Typed:
        if not self.allowed("time", f"`{node.id}`", node.span):
            return UNKNOWN
        return Typed(e.Variable(node.id, TIME_UNIT, span=node.span), TIME_UNIT)

    def _index_name(self, node: tree.Name) -> Typed:
        if not self.allowed("index", "`index`", node.span, self.side_help("index")):
            return UNKNOWN
        return Typed(e.Variable("index", ONE_UNIT, span=node.span), ONE_UNIT)

    def _noise(self, node: tree.Name) -> Typed:
        if "noise" not in self.allow:
            self.collector.error(
                "E318",
                "white noise `xi` belongs into a differential equation",
                node.span,
                "has no value at one time",
                help="use a draw such as `normal(0, 1)` here",
            )
            return UNKNOWN
        self.counters.noises += 1
        return Typed(e.Noise(self.counters.noises - 1, span=node.span), intern(NOISE))

    def _needs_more(self, node: tree.Name) -> Typed:
        helps = {
            "position": "write `position[0]` for the first coordinate",
            "all": "write `all.max(v)`, `all.sum(x)`, …",
            "pre": "write `pre.NAME` for a value of the presynaptic neuron, `pre.output` for what it sends",
            "post": "write `post.NAME` for a value of the postsynaptic neuron",
            "n": "`n` stands in brackets: `v[n-1]`",
            "end": "`end` stands in brackets: `x[end]`",
            "spike": "write `spike[n]` in an equation",
        }
        if node.id in ("pre", "post") and self.names.member_table(node.id) is None:
            return self._no_side(node.id, node.span)
        self.collector.error(
            "E116", f"`{node.id}` has no value of its own", node.span, "incomplete", help=helps[node.id]
        )
        return UNKNOWN

    def _no_side(self, side: str, span: Span) -> Typed:
        self.collector.error(
            "E317",
            f"`{side}` is not known in {self.names.where}",
            span,
            "only synapses have two sides",
            help="a neuron receives through its inputs and ports; what needs both sides belongs into a synapse",
        )
        return UNKNOWN

    def _attribute(self, node: tree.Attribute) -> Typed:
        if isinstance(node.value, tree.Name):
            side = node.value.id
            table = self.names.member_table(side)
            if table is not None:
                symbol = table.symbols.get(node.name)
                if symbol is not None:
                    return self.symbol_value(symbol, node.span, symbol.lag)
                if node.name in table.events:
                    return self._event_of(side, node.name, node.span)
                if table.open:
                    scope: Literal["pre", "post"] = "pre" if side == "pre" else "post"
                    unit = ONE_UNIT if node.name == "index" else None
                    return Typed(e.Variable(node.name, ONE_UNIT, scope, span=node.span), unit)
                self.collector.error(
                    "E401",
                    f"{table.owner} has no `{node.name}`",
                    node.span,
                    "not there",
                    help=help_for(node.name, [*table.symbols, *table.events]) or (f"it has {listing(table.symbols)}",),
                )
                return UNKNOWN
            if side in ("pre", "post") and self.names.find(side) is None:
                return self._no_side(side, node.span)
            if self.names.find(side) is None and side != "all":
                return self.unknown(side, node.value.span)
        self.collector.error(
            "E117",
            f"`{text_of(node)}` names nothing in {self.names.where}",
            node.span,
            "no such member",
            help="a dot leads to the variables of another neuron: `post.v` in a synapse, `all.max(v)` in a neuron",
        )
        return UNKNOWN

    def _event_of(self, side: str, name: str, span: Span) -> Typed:
        self.collector.error(
            "E116",
            f"the event `{side}.{name}` has no value of its own",
            span,
            "an event",
            help=f"wait for it: `on {side}.{name}:`, or measure `since({side}.{name})`",
        )
        return UNKNOWN

    # --- operators ----------------------------------------------------------------------------------------------------

    def unify(
        self,
        left_node: tree.Expression,
        left: Typed,
        right_node: tree.Expression,
        right: Typed,
        whole: tree.Expression,
        code: str,
        message: Callable[[str, str], str],
        help: str = "",
    ) -> tuple[Unit | None, bool]:
        """The common unit of two operands; False after a report."""
        if left.free or left.unit is None:
            return right.unit, True
        if right.free or right.unit is None or left.unit is right.unit or left.unit == right.unit:
            return left.unit, True
        first, second = self.shown(left_node, left.unit), self.shown(right_node, right.unit)
        if self.bare(left_node, right.unit, second) or self.bare(right_node, left.unit, first):
            return None, False
        label = f"`{text_of(left_node)}` is {quantity_of(first)}, `{text_of(right_node)}` is {quantity_of(second)}"
        ratio = quotient(left.unit, right.unit)
        factor = describe(ratio) if ratio is not None else "?"
        advice = "bring both to one unit"
        if len(factor) <= 8:
            advice += f": `{text_of(right_node)}` times something in {factor} is {quantity_of(first)}"
        self.collector.error(code, message(first, second), whole.span, label, help=help or advice)
        return None, False

    def bare(self, node: tree.Expression, unit: Unit, shown: str) -> bool:
        """Report a bare number that should carry a unit."""
        number = node.operand if isinstance(node, tree.Unary) and node.operator == "-" else node
        if not isinstance(number, tree.Number) or is_plain(unit):
            return False
        text = f"{text_of(node)} {shown}" if not shown.startswith("1/") else f"{text_of(node)}{shown[1:]}"
        if any(exponent.denominator != 1 for exponent in unit.exponents):  # the square root of a unit has no name
            square = describe(unit * unit)
            text = f"{text_of(node)}*sqrt({f'1/(1 {square[2:]})' if square.startswith('1/') else f'1 {square}'})"
        self.collector.error(
            "E210",
            f"a bare number where {quantity_of(shown)} is needed",
            node.span,
            "no unit",
            help=f"write `{text}`",
            fix=Fix(node.span, text),
        )
        return True

    def silently(self, node: tree.Expression) -> Typed:
        """An expression of constants, without reports."""
        return Resolver(self.names, Collector()).resolve(node)

    def _call(self, node: tree.Call) -> Typed:
        return resolve_call(self, node)

    def inside(self, names: Names, collector: Collector, called: str) -> Resolver:
        """A resolver for the body of a function called from here."""
        inner = Resolver(
            names, collector, self.allow, running=self.running, counters=self.counters, calling=(*self.calling, called)
        )
        inner.unitless = self.unitless
        return inner


_BUILTINS: dict[str, Callable[[Resolver, tree.Name], Typed]] = {
    "true": Resolver._truth,
    "false": Resolver._truth,
    "inf": Resolver._infinity,
    "pi": Resolver._pi,
    "t": Resolver._time,
    "dt": Resolver._time,
    "index": Resolver._index_name,
    "xi": Resolver._noise,
    "position": Resolver._needs_more,
    "all": Resolver._needs_more,
    "pre": Resolver._needs_more,
    "post": Resolver._needs_more,
    "n": Resolver._needs_more,
    "end": Resolver._needs_more,
    "spike": Resolver._needs_more,
}

_RULES: dict[type, Callable[..., Typed]] = {
    tree.Number: Resolver._number,
    tree.Quantity: Resolver._quantity,
    tree.String: Resolver._string,
    tree.Name: Resolver._name,
    tree.Attribute: Resolver._attribute,
    tree.Index: resolve_index,
    tree.Call: Resolver._call,
    tree.Unary: resolve_unary,
    tree.Binary: resolve_binary,
    tree.Comparison: resolve_comparison,
    tree.Crosses: resolve_crosses,
    tree.Conditional: resolve_conditional,
    tree.Derivative: resolve_derivative,
    tree.ListLiteral: Resolver._list,
}
