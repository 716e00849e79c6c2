"""Checks an ``adjoint:`` block: the backward pass of a neuron as its author writes it, in place of the derived one.

Some methods are no exact adjoint of what they train (TSSL-BP, Zhang & Li 2020; Lee et al. 2020), and an event that chance makes has no
derivative at all. Their authors give difference equations in reverse time instead: ``e[n] = d*e[n+1] + grad(a)/tau`` goes from the last
step to the first, and ``grad(I) = …`` says what is left for an input, a port or a parameter. Refused are lines that are none of these
(E770), moments that are not there (E771), units that do not fit (E773), and ``grad(…)`` or ``x[end]`` where they mean nothing (E774).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from snnlang.diagnostics import Collector, Label, Span
from snnlang.model import expression as e
from snnlang.model import model as m
from snnlang.model.algebra import quotient, same
from snnlang.model.declarations import Declared
from snnlang.model.inherit import Piece, place_of, walk
from snnlang.model.resolve import Resolver
from snnlang.model.suggest import help_for, listing
from snnlang.model.symbols import BUILTINS, SOFT
from snnlang.model.typed import ONE_UNIT, UNKNOWN, Typed, quantity_of, text_of
from snnlang.model.units import Unit, describe
from snnlang.syntax import tree

#: What an expression of the block may use: nothing that chance makes anew, and nothing that looks at other neurons.
_ALLOWED = frozenset({"history", "events", "end", "position", "time", "index"})
Surrogates = Callable[[str], m.Function | None]


@dataclass
class Backward:
    """What a resolver knows inside a block: the names that its lines define, with their units (None: not known, and nothing more is said
    of it), and ``kept``, those whose value of the step after can be read."""

    declared: Declared
    units: dict[str, Unit | None] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()

    def value(self, name: str, span: Span, ahead: bool = False) -> Typed:
        """A name of the block, of this step or (``ahead``) of the step after it."""
        unit = self.units[name]
        return Typed(e.Adjoint(name, ahead, unit if unit is not None else ONE_UNIT, span=span), unit)

    def indexed(self, resolver: Resolver, base: tree.Name, node: tree.Index) -> Typed | None:
        """``e[n+1]``, ``e[n]``; None for a name of the forward pass, which is read as everywhere."""
        ahead = _steps_ahead(node.indices[0]) if len(node.indices) == 1 else None
        own = base.id in self.units
        if own and ahead == 0:
            return self.value(base.id, node.span)
        if own and ahead == 1 and base.id in self.kept:
            return self.value(base.id, node.span, True)
        text = text_of(node)
        if own and ahead == 1:
            return _refused(
                resolver, f"`{base.id}` is not kept from step to step", node, "the value of one step alone",
                f"define it by `{base.id}[n] = …` to read `{text}`",
            )  # fmt: skip
        if own and ahead is not None and ahead > 1:
            return _refused(
                resolver, f"`{text}` is more than one step away", node, "only `[n]` and `[n+1]` are kept",
                f"hand it on: `later[n] = {base.id}`, and read `later[n+1]`",
            )  # fmt: skip
        if own:
            return _refused(
                resolver, f"`{text}` is not computed yet: an adjoint block goes from the last step to the first", node,
                "not there on the way back", f"read `{base.id}[n+1]`, the value of the step after",
            )  # fmt: skip
        if ahead is not None and ahead > 0:
            return _refused(
                resolver, f"`{text}` is a value of a later step of the forward pass", node, "not kept for this step",
                f"hand it on backwards: `later[n] = {base.id}`, and read `later[n+1]`",
            )  # fmt: skip
        return None

    def gradient(self, resolver: Resolver, node: tree.Call) -> Typed:
        """``grad(X)``: the derivative of the loss by what the neuron sends or shows."""
        name = _target(node)
        if name is None:
            return _wrong(resolver, node, "`grad` takes the name of something that the neuron sends, or that a loss reads")
        declared = self.declared
        if name == "output":
            piece = next((p for p in declared.pieces if isinstance(p.member, tree.Output)), None)
            if piece is None:
                return _wrong(
                    resolver, node, f"{declared.name} has no `output`",
                    "declare one with `output …`, or read the gradient of an event or a state: `grad(spike)`",
                )  # fmt: skip
            assert isinstance(piece.member, tree.Output)
            typed = declared.resolver(piece.module).number(piece.member.value)
            return Typed(e.Gradient("output", span=node.span), quotient(ONE_UNIT, typed.unit))
        if name in declared.events:
            return Typed(e.Gradient(name, span=node.span), ONE_UNIT)
        symbol = declared.find(name)
        if name in self.units:
            return _wrong(
                resolver, node, f"`{name}` belongs to this block, and nothing is asked about it",
                f"read its value: `{name}` or `{name}[n+1]`",
            )  # fmt: skip
        if symbol is None:
            if not resolver.names.is_lost(name):
                known = [*declared.events, *declared.waiting, "output"]
                _wrong(
                    resolver, node, f"{declared.name} has nothing called `{name}` to ask the gradient of",
                    *(help_for(name, known) or (f"it has {listing(known)}",)),
                )  # fmt: skip
            return UNKNOWN
        resolver.names.used[name] = None
        if symbol.kind in ("param", "input"):
            kind = "parameter" if symbol.kind == "param" else "input"
            return _wrong(
                resolver, node, f"the gradient of the {kind} `{name}` is what this block gives",
                f"write it on the left: `grad({name}) = …`; on the right stands the gradient of what is sent, such as `grad(spike)`",
            )  # fmt: skip
        return Typed(e.Gradient(name, span=node.span), quotient(ONE_UNIT, symbol.unit))


def gradient_outside(resolver: Resolver, node: tree.Call) -> Typed:
    """``grad(…)`` where no backward pass is written."""
    resolver.collector.error(
        "E774",
        "`grad(…)` stands in the `adjoint:` block of a neuron only",
        node.span,
        "not known on the way forwards",
        help="write the backward pass into an `adjoint:` block",
    )
    return UNKNOWN


def check_adjoint(declared: Declared, surrogates: Surrogates) -> m.Adjoint | None:
    """The block of a neuron, its lines in order of evaluation; None without one, or after a report."""
    piece = next((p for p in reversed(declared.pieces) if isinstance(p.member, tree.Adjoint)), None)
    if piece is None:
        return None
    assert isinstance(piece.member, tree.Adjoint)
    before = len(declared.collector.diagnostics)
    if not piece.member.equations:
        return None
    heads, doubtful = _heads(declared, piece.member)
    names = [name for _, kind, name in heads if kind != "gradient"]
    kept = frozenset({*(name for _, kind, name in heads if kind == "variable"), *doubtful})
    backward = Backward(declared, dict.fromkeys([*names, *doubtful]), kept)
    _infer(declared, piece, backward, heads, surrogates)
    lines: list[m.AdjointLine] = []
    for node, kind, name in heads:
        typed = _typed(declared, piece, backward, node, kind, name, surrogates)
        if typed.kind != "unknown":
            lines.append(m.AdjointLine(kind, name, typed.expr, node.span))
    ordered = _ordered(declared, lines)
    if not any(line.kind == "gradient" for line in lines) and len(declared.collector.diagnostics) == before:
        declared.collector.error(
            "E770", "this block gives no gradient", place_of(piece.member), "nothing leaves it",
            help="end it with a line for each input: `grad(x) = …`",
        )  # fmt: skip
    _stale(declared, piece)
    failed = any(found.is_error for found in declared.collector.diagnostics[before:])
    return None if failed else m.Adjoint(ordered, place_of(piece.member))


# --- the lines --------------------------------------------------------------------------------------------------------


def _heads(
    declared: Declared, block: tree.Adjoint
) -> tuple[list[tuple[tree.Equation, m.AdjointKind, str]], tuple[str, ...]]:
    """What each line defines, and names that a line with a mistake meant to define; such lines are reported and left out."""
    found: list[tuple[tree.Equation, m.AdjointKind, str]] = []
    doubtful: list[str] = []
    seen: dict[tuple[bool, str], Span] = {}
    for node in block.equations:
        head = _head(declared, node)
        if head is None:
            left = node.left.value if isinstance(node.left, tree.Index) else node.left
            doubtful += [left.id] if isinstance(left, tree.Name) else []
            continue
        kind, name = head
        key = (kind == "gradient", name)
        if key in seen:
            _report(
                declared, node.left.span, f"`{text_of(node.left)}` is given twice", "the second", "join them into one line",
                Label(seen[key], "the first"),
            )  # fmt: skip
            continue
        seen[key] = node.left.span
        found.append((node, kind, name))
    return found, tuple(doubtful)


def _head(declared: Declared, node: tree.Equation) -> tuple[m.AdjointKind, str] | None:
    left = node.left
    match left:
        case tree.Call(function=tree.Name(id="grad")):
            return _gradient_head(declared, left)
        case tree.Name(id=name):
            return ("value", name) if _is_new(declared, name, left) else None
        case tree.Index(value=tree.Name(id=name), indices=(index,)):
            ahead = _steps_ahead(index)
            if ahead == 0:
                return ("variable", name) if _is_new(declared, name, left) else None
            if ahead is not None:
                declared.collector.error(
                    "E771",
                    f"`{text_of(left)}` cannot be defined: a line gives the value of this step",
                    left.span,
                    "not `[n]`",
                    help=f"write `{name}[n] = …` with the step after, `{name}[n+1]`, on the right",
                )
                return None
    _report(
        declared, left.span, f"`{text_of(left)}` cannot stand on the left of a line of an adjoint block", "defines nothing",
        "write `e[n] = …` for a value that goes from step to step, `name = …` for one of this step, or `grad(input) = …`",
    )  # fmt: skip
    return None


def _gradient_head(declared: Declared, left: tree.Call) -> tuple[m.AdjointKind, str] | None:
    name = _target(left)
    symbol = None if name is None else declared.find(name)
    built = declared.built.get(name or "")
    if name is not None and (isinstance(built, m.Param | m.Input) or (isinstance(built, m.State) and built.port)):
        declared.used[name] = None
        return "gradient", name
    receives = [n for n, b in declared.built.items() if isinstance(b, m.Input) or (isinstance(b, m.State) and b.port)]
    helps = help_for(name or "", [*receives, *(n for n, b in declared.built.items() if isinstance(b, m.Param))])
    if name is not None and (symbol is not None or name in declared.events or name == "output"):
        what = "the gradient of what a neuron sends comes from outside"
        helps = (f"read it on the right; on the left stand inputs, ports and parameters{f': {listing(receives)}' if receives else ''}",)
    else:
        what = f"{declared.name} has no input, port or parameter `{name}`" if name else "`grad` takes one name"
    if name is None or not declared.names(declared.pieces[0].module).is_lost(name):
        _report(declared, left.span, what, "cannot be given here", *(helps or (f"it has {listing(receives)}",)))
    return None


def _is_new(declared: Declared, name: str, left: tree.Expression) -> bool:
    """Whether a name may be defined by the block: it must mean nothing else in this neuron."""
    symbol = declared.find(name)
    if symbol is not None:
        kind = {"param": "a parameter", "input": "an input"}.get(symbol.kind, f"a {symbol.kind}")
        labels = () if symbol.place is None else (Label(symbol.place, "declared here"),)
        _report(
            declared, left.span, f"`{name}` is {kind} of the neuron, and the backward pass cannot change it",
            "a name of the forward pass", "choose another name for the value of the backward pass", *labels,
        )  # fmt: skip
        return False
    if name in declared.events or (name in BUILTINS and name not in SOFT) or name in ("n", "end"):
        _report(declared, left.span, f"`{name}` has a meaning of its own", "cannot be defined", "choose another name")
        return False
    return True


def _target(node: tree.Call) -> str | None:
    match node.arguments:
        case (tree.Argument(name=None, value=tree.Name(id=name)),):
            return name
    return None


def _steps_ahead(index: tree.Expression | tree.Slice) -> int | None:
    """``n``: 0, ``n+2``: 2, ``n-1``: -1; None for anything else."""
    match index:
        case tree.Name(id="n"):
            return 0
        case tree.Binary(operator="+" | "-" as sign, left=tree.Name(id="n"), right=tree.Number(value=number)) if (
            number == int(number)
        ):
            return int(number) if sign == "+" else -int(number)
    return None


# --- their values -----------------------------------------------------------------------------------------------------


def _resolver(declared: Declared, piece: Piece, backward: Backward, surrogates: Surrogates, node: tree.Equation) -> Resolver:
    resolver = declared.resolver(piece.module, _ALLOWED)
    resolver.backward = backward
    names = replace(
        resolver.names, functions=dict(resolver.names.functions), where=f"the adjoint block of `{declared.name}`"
    )
    for part in walk(node.right):
        if isinstance(part, tree.Call) and isinstance(part.function, tree.Name):
            name = part.function.id
            found = surrogates(name) if names.function(name) is None and name != "grad" else None
            if found is not None:
                names.functions[name] = found
    resolver.names = names
    return resolver


def _infer(
    declared: Declared,
    piece: Piece,
    backward: Backward,
    heads: list[tuple[tree.Equation, m.AdjointKind, str]],
    surrogates: Surrogates,
) -> None:
    """The units of the block's names, each from its line; a name that only its own past tells of is a plain number."""
    names = declared.names(piece.module)
    lost, used = names.lost, dict(declared.used)
    for _ in heads:
        changed = False
        for node, kind, name in heads:
            if kind == "gradient" or backward.units[name] is not None:
                continue
            resolver = _resolver(declared, piece, backward, surrogates, node)
            resolver.collector = Collector()
            typed = resolver.number(node.right)
            if typed.kind != "unknown" and typed.unit is not None:
                backward.units[name] = typed.unit
                changed = True
        if not changed:
            break
    names.lost = lost
    declared.used.clear()
    declared.used.update(used)
    for _, kind, name in heads:
        if kind != "gradient" and backward.units[name] is None:
            backward.units[name] = ONE_UNIT


def _typed(
    declared: Declared,
    piece: Piece,
    backward: Backward,
    node: tree.Equation,
    kind: m.AdjointKind,
    name: str,
    surrogates: Surrogates,
) -> Typed:
    resolver = _resolver(declared, piece, backward, surrogates, node)
    typed = resolver.number(node.right)
    if kind == "gradient":
        built = declared.built[name]
        assert isinstance(built, m.Param | m.Input | m.State)
        wanted: Unit | None = quotient(ONE_UNIT, built.unit)
    else:
        wanted = backward.units[name]
    if typed.kind == "unknown" or typed.free or wanted is None or typed.unit is None or same(typed.unit, wanted):
        return typed
    if isinstance(typed.expr, e.Constant) and typed.expr.value == 0:
        return typed  # nothing flows, in any unit
    shown, unit = resolver.shown(node.right, typed.unit), describe(wanted)
    why = "a loss is a plain number, and a gradient is one over the unit of what it is the gradient of"
    declared.collector.error(
        "E773",
        f"`{text_of(node.left)}` must be {quantity_of(unit)}, not {quantity_of(shown)}",
        node.right.span,
        f"this is {quantity_of(shown)}",
        help=why if kind == "gradient" else "bring all parts of the line to one unit",
    )
    return UNKNOWN


def _ordered(declared: Declared, lines: list[m.AdjointLine]) -> tuple[m.AdjointLine, ...]:
    """Each line after those whose value of this step it reads, else as written."""
    named = {line.name: line for line in lines if line.kind != "gradient"}
    done: dict[int, m.AdjointLine] = {}

    def visit(line: m.AdjointLine, path: tuple[m.AdjointLine, ...]) -> None:
        if id(line) in done:
            return
        if line in path:
            cycle = [*path[path.index(line) :], line]
            _report(
                declared, _place(line), "these lines of the adjoint block wait for each other",
                "needs " + ", which needs ".join(f"{other.name}[n]" for other in cycle[1:]),
                f"read one of them one step later: `{line.name}[n+1]`",
            )  # fmt: skip
            done[id(line)] = line
            return
        for part in e.walk(line.value):
            if isinstance(part, e.Adjoint) and not part.ahead and part.name in named:
                visit(named[part.name], (*path, line))
        done.setdefault(id(line), line)

    for line in lines:
        visit(line, ())
    return tuple(done.values())


def _place(line: m.AdjointLine) -> Span:
    assert line.span is not None
    return line.span


# --- reports ----------------------------------------------------------------------------------------------------------


def _stale(declared: Declared, piece: Piece) -> None:
    """A block that was inherited by a neuron whose equations differ from those it was written for."""
    if piece.own:
        return
    changed = next(
        (
            p.member
            for p in declared.pieces
            if p.own and isinstance(p.member, tree.Equation | tree.SpikeRule | tree.Handler | tree.Output)
        ),
        None,
    )
    if changed is None:
        return
    declared.collector.warning(
        "W770",
        f"{declared.name} changes how the neuron goes forwards, and inherits a backward pass that was written for another one",
        place_of(changed),
        "changed here",
        labels=(Label(place_of(piece.member), "written for the equations there"),),
        help="write `override adjoint:` with the backward pass of this neuron",
    )


def _report(declared: Declared, span: Span, message: str, label: str, *more: str | Label) -> None:
    helps = tuple(part for part in more if isinstance(part, str))
    labels = tuple(part for part in more if isinstance(part, Label))
    declared.collector.error("E770", message, span, label, labels=labels, help=helps)


def _wrong(resolver: Resolver, node: tree.Call, message: str, *helps: str) -> Typed:
    resolver.collector.error(
        "E770", message, node.span, "asks for a gradient", help=helps or ("write `grad(spike)`, or `grad(a)` of a state `a`",)
    )
    return UNKNOWN


def _refused(resolver: Resolver, message: str, node: tree.Index, label: str, help: str) -> Typed:
    resolver.collector.error("E771", message, node.span, label, help=help)
    return UNKNOWN
