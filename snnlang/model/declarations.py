"""Names and units of one model: params, states, inputs, traces and definitions, worked out when they are first asked for.

The order of declarations never matters, so a unit is inferred on demand: ``param tau = 20 ms`` from its default, a definition from its
body. What asks for itself is reported as a circle. Every error leaves a name with an unknown unit, of which nothing more is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from snnlang.diagnostics import Collector, Label, Span
from snnlang.model import expression as e
from snnlang.model import model as m
from snnlang.model.algebra import resolve_factors, same, write_factors
from snnlang.model.evaluate import evaluate
from snnlang.model.inherit import Piece, equation_of, place_of, walk
from snnlang.model.library import Module
from snnlang.model.resolve import Resolver
from snnlang.model.suggest import help_for, listing
from snnlang.model.symbols import BUILTINS, SOFT, Members, Names, Symbol
from snnlang.model.typed import EVERYTHING, ONE_UNIT, Counters, Typed, quantity_of, text_of
from snnlang.model.units import UNITS, Unit
from snnlang.syntax import tree

Built: TypeAlias = m.Param | m.State | m.Input | m.Definition | m.Trace

#: What each role may be called beside its name.
_ADJECTIVES: dict[str, dict[str, tuple[str, ...]]] = {
    "neuron": {
        "param": ("trainable", "per_neuron"),
        "state": ("port", "persistent", "trainable"),
        "input": ("per_neuron",),
        "weight": (),
    },
    "synapse": {
        "param": ("trainable",),
        "state": ("persistent", "trainable"),
        "input": ("broadcast", "per_post"),
        "weight": ("trainable",),
    },
}


@dataclass
class Declared:
    """Everything a model declares, as far as it is known; shared by the steps of checking it."""

    kind: Literal["neuron", "synapse"]
    name: str
    pieces: tuple[Piece, ...]
    collector: Collector
    complete: bool = True
    members: dict[str, Members] = field(default_factory=dict)
    events: dict[str, str] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    symbols: dict[str, Symbol] = field(default_factory=dict)
    built: dict[str, Built] = field(default_factory=dict)
    used: dict[str, None] = field(default_factory=dict)
    noisy: set[str] = field(default_factory=set)
    forms: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, Piece] = field(default_factory=dict)
    asking: list[str] = field(default_factory=list)
    tables: dict[int, Names] = field(default_factory=dict)
    is_difference: bool = False
    doubtful: bool = False  # what some equation or assignment is about is not known: nothing is said to be without one

    def __post_init__(self) -> None:
        states = {
            p.member.name
            for p in self.pieces
            if isinstance(p.member, tree.Declaration) and p.member.role in ("state", "weight")
        }
        odes = False
        for piece in self.pieces:
            member = piece.member
            match member:
                case tree.Declaration() | tree.Trace():
                    self._wait(member.name, piece)
                case tree.Equation():
                    form, variable = equation_of(member)
                    odes = odes or form == "ode"
                    if form in ("ode", "difference"):
                        self.forms.setdefault(variable, form)
                    if form in ("definition", "difference") and variable not in states and variable not in self.waiting:
                        self._wait(variable, piece)
        self.is_difference = "difference" in self.forms.values() and not odes

    def _wait(self, name: str, piece: Piece) -> None:
        if name in BUILTINS and name not in SOFT:
            if isinstance(piece.member, tree.Equation) and piece.own:  # declarations are refused by the parser
                self.collector.error(
                    "E114",
                    f"`{name}` has a meaning of its own and cannot be defined",
                    place_of(piece.member),
                    BUILTINS[name],
                    help="choose another name",
                )
            return
        self.waiting.setdefault(name, piece)

    # --- tables and resolvers -----------------------------------------------------------------------------------------

    def names(self, module: Module) -> Names:
        """What an expression of this model can name when it stands in that file."""
        table = self.tables.get(id(module))
        if table is None:
            table = Names(
                where=f"{self.kind} `{self.name}`",
                parent=module.names,
                symbols=self.symbols,
                members=self.members,
                events=self.events,
                lost=lost_names(module),
                used=self.used,
                finder=self.find,
                declared=self.waiting,
                silent=not self.complete,
            )
            self.tables[id(module)] = table
        return table

    def resolver(self, module: Module, allow: frozenset[str] = EVERYTHING, *, running: bool = False) -> Resolver:
        """A resolver for expressions of that file."""
        if self.kind == "synapse":
            allow = allow - {"all", "index", "position"}
        return Resolver(self.names(module), self.collector, allow, running=running, counters=self.counters)

    # --- inference ----------------------------------------------------------------------------------------------------

    def find(self, name: str) -> Symbol | None:
        """The symbol of a declared name, inferred now if it was not yet."""
        symbol = self.symbols.get(name)
        if symbol is not None:
            return symbol
        piece = self.waiting.get(name)
        if piece is None:
            return None
        if name in self.asking:
            self._circle(name)
            return self.symbols[name]
        if not self.asking:
            self._ahead(name, piece)
        self.asking.append(name)
        try:
            made = self._make(name, piece)
        finally:
            self.asking.pop()
        if name not in self.symbols:
            self.symbols[name] = made
        return self.symbols[name]

    def _ahead(self, name: str, piece: Piece) -> None:
        """Infer what a name needs, and what that needs, without recursion: chains may be long. A circle is left to be told."""
        stack = [(name, iter(self._needs(piece)))]
        entered = {name: True}
        while stack:
            current, needs = stack[-1]
            following = next(needs, None)
            if following is None:
                stack.pop()
                entered[current] = False
                if stack:
                    asked = current in self.used
                    self.asking.append("")  # keeps this from beginning again
                    self.find(current)
                    self.asking.pop()
                    if not asked:
                        self.used.pop(current, None)
            elif entered.get(following):
                return
            elif following not in entered and following in self.waiting and following not in self.symbols:
                entered[following] = True
                stack.append((following, iter(self._needs(self.waiting[following]))))

    def _needs(self, piece: Piece) -> list[str]:
        """The names in what a declaration or definition is worked out from."""
        match piece.member:
            case tree.Declaration(value=value) if value is not None:
                expression = value
            case tree.Equation():
                expression = piece.member.right
            case _:
                return []
        return [node.id for node in walk(expression) if isinstance(node, tree.Name)]

    def everything(self) -> None:
        """Infer all that was not asked for."""
        for name in self.waiting:
            asked = name in self.used
            self.find(name)
            if not asked:
                self.used.pop(name, None)

    def _circle(self, name: str) -> None:
        chain = self.asking[self.asking.index(name) :]
        places = [place_of(self.waiting[other].member) for other in chain]
        labels = tuple(Label(place, "needs the next one") for place in places[1:])
        text = " -> ".join([*chain, name])
        message = f"`{name}` is defined by itself" if len(chain) == 1 else f"{listing(chain)} are defined by each other"
        self.collector.error(
            "E113",
            message,
            places[0],
            text,
            labels=labels,
            help="give one of them a value of its own, or an equation with a derivative or `[n-1]`",
        )
        for other in chain:
            self.symbols[other] = Symbol(other, "definition", None, place=place_of(self.waiting[other].member))

    def _make(self, name: str, piece: Piece) -> Symbol:
        member = piece.member
        place = place_of(member)
        match member:
            case tree.Trace():
                return Symbol(name, "trace", ONE_UNIT, place=place)
            case tree.Declaration():
                return self._declaration(member, piece, place)
            case tree.Equation():
                return self._definition(name, member, piece, place)
        raise AssertionError(member)

    def _declaration(self, node: tree.Declaration, piece: Piece, place: Span) -> Symbol:
        unit, shown = self._stated(node)
        allow = frozenset({"random", "position", "index"}) if node.role != "input" else frozenset()
        resolver = self.resolver(piece.module, allow, running=True)
        value: Typed | None = None
        if node.value is not None:
            if unit is not None:
                value = resolver.expect(node.value, unit, f"the value of `{node.name}`", code="E208", shown=shown)
            else:
                value = resolver.number(node.value)
                unit = value.unit
                shown = resolver.shown(node.value, unit) if unit is not None else None
                if value.free and node.role != "param":
                    unit = None
                elif value.free:
                    unit = ONE_UNIT
        elif unit is None and node.unit is None:
            unit = ONE_UNIT
        if node.value is not None and value is not None and value.kind != "unknown" and node.role in ("param", "input"):
            self.constant(value, node.value, f"the value of the {node.role} `{node.name}`")
        if value is not None and value.kind == "unknown":
            value = None if unit is None else Typed(e.Constant(0.0, unit), unit)
        expr = value.expr if value is not None else None
        return self._build(node, piece, unit, shown, expr, place)

    def _stated(self, node: tree.Declaration) -> tuple[Unit | None, str | None]:
        """The unit that ``state v: mV`` names."""
        if node.unit is None:
            return None, None
        try:
            return resolve_factors(node.unit)[1], write_factors(node.unit)
        except KeyError as unknown:
            self.collector.error(
                "E211",
                f"unknown unit `{unknown.args[0]}`",
                place_of(node),
                "of this declaration",
                help=help_for(str(unknown.args[0]), UNITS),
            )
            return None, None

    def _build(
        self,
        node: tree.Declaration,
        piece: Piece,
        unit: Unit | None,
        shown: str | None,
        expr: e.Expr | None,
        place: Span,
    ) -> Symbol:
        known = unit if unit is not None else ONE_UNIT
        name = node.name
        start = (
            expr
            if expr is not None
            else e.Constant(1.0 if node.role == "weight" and node.value is None else 0.0, known)
        )
        form = self.forms.get(name, "handler")
        lag = None
        match node.role:
            case "param":
                self.built[name] = m.Param(
                    name,
                    known,
                    expr,
                    None,
                    node.doc,
                    "trainable" in node.adjectives,
                    "per_neuron" in node.adjectives,
                    place,
                    shown,
                )
                form = ""
            case "state" | "weight":
                kind: Literal["ode", "difference", "handler"] = (
                    "ode" if form == "ode" else "difference" if form == "difference" else "handler"
                )
                self.built[name] = m.State(
                    name,
                    known,
                    start,
                    kind,
                    None,
                    "port" in node.adjectives,
                    "persistent" in node.adjectives,
                    node.role == "weight",
                    "trainable" in node.adjectives,
                    node.doc,
                    place,
                    shown,
                )
                lag = 0 if form == "difference" else None
            case "input":
                adjective: Literal["", "per_neuron", "broadcast", "per_post"] = ""
                for word in ("per_neuron", "broadcast", "per_post"):
                    if word in node.adjectives:
                        adjective = word
                self.built[name] = m.Input(name, known, start, adjective, node.doc, place, shown)
                lag = 0 if self.is_difference else None
                form = ""
        symbol = Symbol(name, node.role, unit, shown=shown, lag=lag, form=form, place=place)
        self.symbols[name] = symbol
        if piece.own:
            self._adjectives(node)
        return symbol

    def _adjectives(self, node: tree.Declaration) -> None:
        allowed = _ADJECTIVES[self.kind][node.role]
        for word in node.adjectives:
            if word not in allowed:
                owners = [role for role, words in _ADJECTIVES[self.kind].items() if word in words]
                hint = (
                    f"only {listing(owners)} of a {self.kind} can be `{word}`"
                    if owners
                    else f"a {self.kind} has no `{word}` variables"
                )
                self.collector.error(
                    "E331",
                    f"{_article(node.role)} of a {self.kind} cannot be `{word}`",
                    node.span,
                    "does not fit",
                    help=hint,
                )

    def _definition(self, name: str, node: tree.Equation, piece: Piece, place: Span) -> Symbol:
        resolver = self.resolver(piece.module, EVERYTHING | {"crosses"})
        value = resolver.number(node.right)
        steps = has_steps(value.expr)
        if isinstance(node.left, tree.Index):
            steps = True
            self._this_step(node.left)
        unit = value.unit if not value.free else ONE_UNIT
        self.built[name] = m.Definition(name, unit if unit is not None else ONE_UNIT, value.expr, node.span)
        for part in e.walk(value.expr):
            if isinstance(part, e.Noise) or (
                isinstance(part, e.Variable) and part.name in self.noisy and part.scope == "self"
            ):
                self.noisy.add(name)
        return Symbol(
            name,
            "definition",
            unit if value.kind != "unknown" else None,
            lag=0 if steps else None,
            place=place,
            shown=resolver.shown(node.right, unit) if unit is not None else None,
        )

    def _this_step(self, left: tree.Index) -> None:
        """``U[n] = …``: what stands on the left is this step."""
        index = left.indices[0] if len(left.indices) == 1 else None
        if not (isinstance(index, tree.Name) and index.id == "n"):
            self.collector.error(
                "E310",
                f"`{text_of(left)}` cannot be defined: an equation gives the value of this step",
                left.span,
                "not `[n]`",
                help=f"write `{text_of(left.value)}[n] = …`",
            )

    def constant(self, typed: Typed, node: tree.Expression, what: str) -> bool:
        """Whether a value stays the same during a run; reports what it depends on if not."""
        seen: set[str] = set()
        stack = [typed.expr]
        while stack:
            for part in e.walk(stack.pop()):
                if isinstance(part, e.Variable) and part.scope == "self" and part.name not in seen:
                    seen.add(part.name)
                    symbol = self.symbols.get(part.name)
                    built = self.built.get(part.name)
                    if isinstance(built, m.Definition):
                        stack.append(built.value)
                    elif symbol is not None and symbol.kind in ("state", "weight", "input", "trace"):
                        place = (Label(symbol.place, f"{_article(symbol.kind)}"),) if symbol.place is not None else ()
                        self.collector.error(
                            "E322",
                            f"{what} must not change, but `{part.name}` does",
                            node.span,
                            "changes during a run",
                            labels=place,
                            help="use numbers, params and constants",
                        )
                        return False
        return True

    # --- bounds -------------------------------------------------------------------------------------------------------

    def bounds(self, node: tree.Declaration, piece: Piece) -> m.Bounds | None:
        """The checked ``in [a, b]`` of a declaration; to be asked for when every name is known."""
        written = node.range
        symbol = self.symbols.get(node.name)
        if written is None or symbol is None:
            return None
        resolver = self.resolver(piece.module, frozenset(), running=True)
        what = f"a bound of `{node.name}`"
        low = resolver.expect(written.low, symbol.unit, what, code="E216", shown=symbol.shown)
        high = resolver.expect(written.high, symbol.unit, what, code="E216", shown=symbol.shown)
        if node.role == "input":
            self.collector.error(
                "E331",
                f"the input `{node.name}` cannot have bounds",
                written.span,
                "summed from what is connected",
                help="clip it where it is used: `clip(x, 0, 1)`",
            )
            return None
        if low.kind == "unknown" or high.kind == "unknown":
            return None
        for typed, part in ((low, written.low), (high, written.high)):
            for inner in e.walk(typed.expr):
                if isinstance(inner, e.Variable) and not isinstance(self.built.get(inner.name), m.Param):
                    self.collector.error(
                        "E320",
                        f"{what} depends on `{inner.name}`, which changes",
                        part.span,
                        "not constant",
                        help="bounds may use numbers and params",
                    )
                    return None
        first, last = evaluate(low.expr), evaluate(high.expr)
        if first is not None and last is not None:
            if first > last or (first == last and not (written.low_closed and written.high_closed)):
                self.collector.error(
                    "E320",
                    f"the bounds of `{node.name}` leave no value",
                    written.span,
                    "empty",
                    help="the lower one stands first: `in [0, 1]`",
                )
                return None
            self._outside(node, first, last)
        return m.Bounds(low.expr, high.expr, written.low_closed, written.high_closed, written.span)

    def _outside(self, node: tree.Declaration, low: float, high: float) -> None:
        """Report a default that its own bounds exclude."""
        built = self.built.get(node.name)
        value = built.default if isinstance(built, m.Param) else built.initial if isinstance(built, m.State) else None
        number = evaluate(value) if value is not None else None
        if number is None or node.value is None or node.range is None:
            return
        inside = (
            low <= number <= high
            and (number != low or node.range.low_closed)
            and (number != high or node.range.high_closed)
        )
        if not inside:
            self.collector.error(
                "E321",
                f"the value of `{node.name}` lies outside its bounds",
                node.value.span,
                "outside",
                labels=(Label(node.range.span, "the bounds"),),
                help="change the value or the bounds",
            )


def lost_names(module: Module) -> frozenset[str]:
    """Names in text that the parser skipped; a rule for ``spike`` may have been among it."""
    return frozenset((*module.file.lost, "spike")) if module.file.lost else frozenset()


def has_steps(expr: e.Expr) -> bool:
    """Whether a value belongs to a step: it uses ``[n]`` or ``[n-k]`` (the source of a response aside)."""
    if isinstance(expr, e.Response):
        return has_steps(expr.source) and not isinstance(expr.source, e.Occurs)
    if isinstance(expr, e.Variable):
        return expr.lag is not None
    if isinstance(expr, e.Occurs):
        return True
    return any(has_steps(child) for child in e.children(expr))


def check_sides(
    collector: Collector, resolver: Resolver, node: tree.Equation, left: Unit | None, right: Typed, shown: str
) -> None:
    """Both sides of an equation have one unit; help where they are off by a time."""
    if right.unit is None or left is None or right.free or same(left, right.unit):
        return
    if isinstance(node.right, tree.Number):
        resolver.expect(node.right, left, "the right side", code="E201", shown=shown)
        return
    other = resolver.shown(node.right, right.unit)
    ratio = left / right.unit
    collector.error(
        "E201",
        f"the two sides of this equation differ: {quantity_of(shown)} and {quantity_of(other)}",
        node.span,
        f"`{text_of(node.left)}` is {quantity_of(shown)}, the right side {quantity_of(other)}",
        help=side_help(node, ratio),
    )


def side_help(node: tree.Equation, ratio: Unit) -> str:
    """What to do about two sides that are off by ``ratio``."""
    from_time = (ratio.exponents[2] == -1, ratio.exponents[2] == 1)
    only_time = not any(ratio.exponents[i] for i in (0, 1, 3, 4))
    if only_time and from_time[0]:
        left = text_of(node.left)
        return f"divide the right side by a time constant, or write `tau*{left} = …`"
    if only_time and from_time[1]:
        return "multiply the right side by a time constant, or take the one on the left away"
    return f"multiply the right side by something in {quantity_of(str(ratio))}"


def _article(role: str) -> str:
    return {"param": "a param", "state": "a state", "input": "an input", "weight": "a weight", "trace": "a trace"}[role]
