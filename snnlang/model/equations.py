"""Differential and difference equations of a model, and the circles that difference equations can close within one step."""

from __future__ import annotations

from dataclasses import dataclass, field

from snnlang.diagnostics import Label, Span
from snnlang.model import expression as e
from snnlang.model import model as m
from snnlang.model.declarations import Declared, check_sides
from snnlang.model.inherit import Piece, equation_of, place_of, walk
from snnlang.model.suggest import help_for
from snnlang.model.symbols import Symbol
from snnlang.model.typed import EVERYTHING, text_of
from snnlang.syntax import tree


@dataclass
class Equations:
    """The checked equations of a model, in written order."""

    differentials: list[m.Differential] = field(default_factory=list)
    differences: list[m.Difference] = field(default_factory=list)


def check_equations(declared: Declared) -> Equations:
    """Every equation of a model; definitions are worked out by :class:`Declared`."""
    result = Equations()
    for piece in declared.pieces:
        node = piece.member
        if not isinstance(node, tree.Equation):
            continue
        form, variable = equation_of(node)
        match form:
            case "other":
                _not_an_equation(declared, node)
            case "ode":
                found = _differential(declared, piece, node, variable)
                if found is not None:
                    result.differentials.append(found)
            case "difference" | "definition":
                symbol = declared.find(variable)
                if symbol is None or (symbol.kind == "definition" and symbol.place == place_of(node)):
                    continue
                if form == "definition":
                    _without_step(declared, piece, node, symbol)
                    continue
                step = _difference(declared, piece, node, symbol)
                if step is not None:
                    result.differences.append(step)
    return result


def _not_an_equation(declared: Declared, node: tree.Equation) -> None:
    declared.doubtful = True
    states = [name for name, symbol in declared.symbols.items() if symbol.kind in ("state", "weight")]
    named = next((part.id for part in walk(node.left) if isinstance(part, tree.Name) and part.id in states), None)
    help = (
        f"write `d{named}/dt` on the left, or `{named}[n] = …`"
        if named
        else "the left side is a name, `x[n]`, or linear in one derivative"
    )
    declared.collector.error(
        "E306",
        f"`{text_of(node.left)}` cannot stand on the left of an equation",
        node.left.span,
        "defines nothing",
        help=help,
    )


def _without_step(declared: Declared, piece: Piece, node: tree.Equation, symbol: Symbol) -> None:
    """``v = 0.9*v[n-1]`` where v is declared."""
    collector, name = declared.collector, symbol.name
    first = (Label(symbol.place, f"declared as {_kind(symbol)}"),) if symbol.place is not None else ()
    if symbol.kind not in ("state", "weight"):
        collector.error(
            "E103",
            f"`{name}` is declared twice in `{declared.name}`",
            node.left.span,
            "defined here",
            labels=first,
            help="rename one of them; a name without equation needs no declaration",
        )
        return
    history = any(isinstance(part, tree.Index) for part in walk(node.right))
    rest = text_of(node.right)
    help = (
        (f"write `{name}[n] = {rest}`",)
        if history
        else (
            f"write `{name}[n] = …` for a step, `d{name}/dt = …` for a change in time",
            f"or take `state {name}` away to define a name",
        )
    )
    collector.error(
        "E308",
        f"the equation of the state `{name}` has no time index",
        node.left.span,
        "which step?",
        labels=first,
        help=help,
    )
    declared.resolver(piece.module).number(node.right)


def _kind(symbol: Symbol) -> str:
    return {"param": "a param", "input": "an input", "trace": "a trace", "definition": "a definition"}.get(
        symbol.kind, f"a {symbol.kind}"
    )


def _difference(declared: Declared, piece: Piece, node: tree.Equation, symbol: Symbol) -> m.Difference | None:
    collector, name = declared.collector, symbol.name
    assert isinstance(node.left, tree.Index)
    if symbol.kind not in ("state", "weight"):
        if symbol.place is None or symbol.kind == "definition":
            collector.error(
                "E304",
                f"`{name}` has two equations",
                node.left.span,
                "the second",
                labels=(Label(symbol.place, "the first"),) if symbol.place else (),
                help="join them into one",
            )
        else:
            collector.error(
                "E302",
                f"`{name}` is {_kind(symbol)} and does not change",
                node.left.span,
                "cannot have an equation",
                labels=(Label(symbol.place, "declared here"),),
                help=f"declare `state {name}` instead",
            )
        return None
    index = node.left.indices[0] if len(node.left.indices) == 1 else None
    if not (isinstance(index, tree.Name) and index.id == "n"):
        collector.error(
            "E310",
            f"`{text_of(node.left)}` cannot be defined: an equation gives the value of this step",
            node.left.span,
            "not `[n]`",
            help=f"write `{name}[n] = …`",
        )
        return None
    if declared.forms.get(name) == "ode":
        other = next(
            p.member
            for p in declared.pieces
            if isinstance(p.member, tree.Equation) and equation_of(p.member) == ("ode", name)
        )
        collector.error(
            "E305",
            f"`{name}` has a differential and a difference equation",
            node.left.span,
            "the second",
            labels=(Label(place_of(other), "the first"),),
            help="keep one of them",
        )
        return None
    resolver = declared.resolver(piece.module, EVERYTHING - {"noise"})
    right = resolver.number(node.right)
    check_sides(collector, resolver, node, symbol.unit, right, resolver.shown(node.left, symbol.unit))
    return m.Difference(name, right.expr, node.span)


def _differential(declared: Declared, piece: Piece, node: tree.Equation, variable: str) -> m.Differential | None:
    collector = declared.collector
    symbol = declared.find(variable)
    derivatives = [part for part in walk(node.left) if isinstance(part, tree.Derivative)]
    others = [part for part in derivatives if part.variable != variable]
    right_side = declared.resolver(piece.module, EVERYTHING - {"random"})
    if symbol is None or symbol.kind not in ("state", "weight"):
        span = derivatives[0].span
        declared.doubtful = True
        if symbol is not None:
            place = (Label(symbol.place, f"declared as {_kind(symbol)}"),) if symbol.place is not None else ()
            collector.error(
                "E307",
                f"`{variable}` is {_kind(symbol)} and has no derivative",
                span,
                "not a state",
                labels=place,
                help=f"declare `state {variable}`",
            )
        elif not declared.names(piece.module).is_lost(variable):
            states = [
                name
                for name, found in declared.waiting.items()
                if isinstance(found.member, tree.Declaration) and found.member.role in ("state", "weight")
            ]
            collector.error(
                "E307",
                f"`{variable}` is not declared and has no derivative",
                span,
                "not a state",
                help=help_for(variable, states) or (f"declare `state {variable}` with its initial value",),
            )
            table = declared.names(piece.module)
            table.lost = table.lost | {variable}
        right_side.number(node.right)
        return None
    if others:
        collector.error(
            "E306",
            "the left side holds two derivatives",
            others[0].span,
            "the second one",
            labels=(Label(derivatives[0].span, "the first one"),),
            help="solve for one of them, and give each an equation of its own",
        )
        return None
    if _degree(node.left) != "linear":
        collector.error(
            "E306",
            f"the left side is not linear in `{text_of(derivatives[0])}`",
            node.left.span,
            "cannot be solved for it",
            help=f"write it as a factor: `tau*d{variable}/dt = …`",
        )
        return None
    left_side = declared.resolver(piece.module, EVERYTHING - {"random", "noise"})
    left_side.derivative = symbol
    left = left_side.number(node.left)
    right = right_side.number(node.right)
    if left.kind != "unknown":
        shown = (
            f"{symbol.shown}/ms"
            if isinstance(node.left, tree.Derivative) and symbol.shown and symbol.shown.isalpha()
            else None
        )
        check_sides(collector, right_side, node, left.unit, right, shown or _left_shown(left.unit, symbol))
    for part in e.walk(right.expr):
        if (
            isinstance(part, (e.Variable, e.Occurs))
            and part.lag is not None
            and part.lag > 0
            and declared.forms.get(getattr(part, "name", "")) != "ode"
        ):
            collector.error(
                "E324",
                "a differential equation has no steps",
                part.span or node.span,
                "a past step",
                help="use the value itself, or a difference equation with `[n]`",
            )
            break
    return m.Differential(variable, left.expr, right.expr, node.span)


def _left_shown(unit: object, symbol: Symbol) -> str:
    """The unit of a left side: the state's own where a time constant stands before the derivative."""
    if symbol.unit is not None and unit == symbol.unit and symbol.shown:
        return symbol.shown
    return str(unit)


def _degree(node: tree.Expression) -> str:
    """``free`` of derivatives, ``linear`` in one, or ``bad``."""
    match node:
        case tree.Derivative():
            return "linear"
        case tree.Unary(operator="-"):
            return _degree(node.operand)
        case tree.Binary(operator="+" | "-"):
            sides = {_degree(node.left), _degree(node.right)}
            return "bad" if "bad" in sides else "linear" if "linear" in sides else "free"
        case tree.Binary(operator="*"):
            left, right = _degree(node.left), _degree(node.right)
            if "bad" in (left, right) or left == right == "linear":
                return "bad"
            return "linear" if "linear" in (left, right) else "free"
        case tree.Binary(operator="/"):
            return "bad" if _degree(node.right) != "free" else _degree(node.left)
    return "bad" if any(isinstance(part, tree.Derivative) for part in walk(node)) else "free"


# --- circles within a step --------------------------------------------------------------------------------------------


def check_step_cycle(declared: Declared, equations: Equations, events: dict[str, m.Event]) -> None:
    """Report difference equations, definitions and events that need each other at ``[n]``."""
    uses: dict[str, dict[str, Span | None]] = {}
    places: dict[str, Span | None] = {}
    for difference in equations.differences:
        uses[difference.variable] = _same_step(difference.value)
        places[difference.variable] = difference.span
    if not uses:
        return
    for name, built in declared.built.items():
        if isinstance(built, m.Definition) and name not in uses:
            uses[name] = _same_step(built.value, True)
            places[name] = built.span
    for name, event in events.items():
        if event.condition is not None:
            uses[f"{name} "] = _same_step(event.condition, True)  # events have names of their own
            places[f"{name} "] = event.span
    done: dict[str, bool] = {}
    for start in uses:
        chain = _cycle_from(start, uses, done)
        if chain:
            shown = [f"{name.strip()}[n]" for name in chain]
            span = places[chain[0]]
            if len(chain) == 2:
                message = f"`{shown[0]}` needs its own value in the same step"
            else:
                message = "these need each other in the same step"
            labels = tuple(Label(place, "and this one") for name in chain[1:-1] if (place := places[name]) is not None)
            declared.collector.error(
                "E309",
                message,
                span,
                " -> ".join(shown),
                labels=labels,
                help="use the last step somewhere in the circle: `[n-1]`",
            )


def _same_step(expr: e.Expr, bare: bool = False) -> dict[str, Span | None]:
    """What an expression needs of the same step; events carry a blank behind their name."""
    found: dict[str, Span | None] = {}
    if isinstance(expr, e.Response):
        return found
    if isinstance(expr, e.Variable) and expr.scope == "self" and (expr.lag == 0 or (bare and expr.lag is None)):
        found[expr.name] = expr.span
    elif isinstance(expr, e.Occurs) and expr.lag == 0 and expr.scope == "self":
        found[f"{expr.event} "] = expr.span
    for child in e.children(expr):
        found.update(_same_step(child, bare))
    return found


def _cycle_from(start: str, uses: dict[str, dict[str, Span | None]], done: dict[str, bool]) -> list[str]:
    """A circle reached from ``start``, its first name repeated at the end; empty when there is none."""
    if start in done:
        return []
    path: list[str] = [start]
    stack = [iter(uses[start])]
    done[start] = False
    while stack:
        following = next(stack[-1], None)
        if following is None:
            done[path.pop()] = True
            stack.pop()
        elif following in uses:
            if following not in done:
                done[following] = False
                path.append(following)
                stack.append(iter(uses[following]))
            elif not done[following] and following in path:
                circle = path[path.index(following) :]
                for name in path:
                    done[name] = True
                return [*circle, following]
    return []
