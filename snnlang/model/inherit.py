"""The members of a model with those of its bases: ``override`` replaces, everything else is added, nothing is silent.

Each member keeps the module it was written in, because constants and functions are looked up there. What clashes is reported with both
places; the first of two stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from snnlang.diagnostics import Collector, Label, Span
from snnlang.frozen import dataclass
from snnlang.model.library import Module
from snnlang.model.suggest import help_for, listing
from snnlang.syntax import tree


@dataclass(frozen=True, slots=True)
class Piece:
    """One member, the module it stands in, and whether the model itself (not a base) says it."""

    member: tree.Member
    module: Module
    own: bool


@dataclass(frozen=True, slots=True)
class Gathered:
    """All members in order, the names of the bases from near to far, and whether every base was found."""

    pieces: tuple[Piece, ...]
    bases: tuple[str, ...]
    complete: bool
    doc: str | None


Key = tuple[str, str]
_DEEPEST = 50


def gather(model: tree.Model, module: Module, collector: Collector) -> Gathered:
    """The members of a model and its bases; refuses unknown bases, circles, other kinds, silent redefinition, empty overrides."""
    line, complete = _line(model, module, collector)
    if len(line) > _DEEPEST:
        if len(line) == _DEEPEST + 1:
            collector.error(
                "E125",
                f"`{model.name}` has too long a chain of bases",
                model.base_span or model.span,
                f"more than {_DEEPEST - 1}",
                help="shorten the chain",
            )
        return Gathered(tuple(Piece(member, module, True) for member in _split(model.members)), (), False, model.doc)
    pieces: list[Piece] = []
    doc: str | None = None
    for current, home in reversed(line):
        own = current is model
        states = {m.name for m in current.members if isinstance(m, tree.Declaration)}
        states.update(p.member.name for p in pieces if isinstance(p.member, tree.Declaration))
        pieces = _merge(pieces, current, home, states, collector if own else Collector(), complete, own)
        doc = current.doc or doc
    return Gathered(tuple(pieces), tuple(current.name for current, _ in line[1:]), complete, doc)


def _line(model: tree.Model, module: Module, collector: Collector) -> tuple[list[tuple[tree.Model, Module]], bool]:
    """The model and its bases, nearest first."""
    line = [(model, module)]
    current, home = model, module
    while current.base is not None:
        span = current.base_span or current.span
        owner = home.owner(current.base)
        item = owner.items.get(current.base) if owner is not None else None
        if not isinstance(item, tree.Model):
            if current is model:
                _no_base(current, home, item, span, collector)
            return line, False
        if item.kind != model.kind:
            if current is model:
                collector.error(
                    "E132",
                    f"`{item.name}` is a {item.kind} and cannot be the base of a {model.kind}",
                    span,
                    "another kind",
                    help=f"inherit from a {model.kind}, or take `({item.name})` away",
                )
            return line, False
        if any(item is earlier for earlier, _ in line):
            chain = " -> ".join([*(earlier.name for earlier, _ in line), item.name])
            if item is not model or model.span.start > min(earlier.span.start for earlier, _ in line):
                return line, False  # told once, at the first of the circle
            collector.error(
                "E131",
                f"`{model.name}` inherits from itself",
                model.base_span or model.span,
                chain,
                help="take one of the bases away",
            )
            return line, False
        assert owner is not None
        current, home = item, owner
        line.append((current, home))
    return line, True


def _no_base(model: tree.Model, module: Module, item: object, span: Span, collector: Collector) -> None:
    assert model.base is not None
    if item is not None:
        collector.error(
            "E132",
            f"`{model.base}` is no {model.kind} and cannot be a base",
            span,
            "another kind",
            help=f"inherit from a {model.kind}, or take `({model.base})` away",
        )
    elif model.base not in module.imports and model.base not in module.file.lost:
        models = [name for name, found in module.items.items() if isinstance(found, tree.Model)] + list(module.imports)
        collector.error(
            "E130",
            f"unknown {model.kind} `{model.base}`",
            span,
            "not declared",
            help=help_for(model.base, models) or (f"import it, or declare it: `{model.kind} {model.base}:`",),
        )


def equation_of(equation: tree.Equation) -> tuple[str, str]:
    """What an equation is about: its form (``ode``, ``difference``, ``definition`` or ``other``) and the variable."""
    left = equation.left
    match left:
        case tree.Name():
            return "definition", left.id
        case tree.Index(value=tree.Name(id=name)):
            return "difference", name
    for node in walk(left):
        if isinstance(node, tree.Derivative):
            return "ode", node.variable
    return "other", ""


def walk(node: tree.Expression) -> Iterator[tree.Expression]:
    """An expression and everything in it."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        match current:
            case tree.Attribute():
                stack.append(current.value)
            case tree.Index():
                stack.append(current.value)
                stack.extend(index for index in current.indices if not isinstance(index, tree.Slice))
            case tree.Call():
                stack.append(current.function)
                stack.extend(a.value for a in current.arguments if isinstance(a, tree.Argument))
            case tree.Unary():
                stack.append(current.operand)
            case tree.Binary() | tree.Crosses():
                stack.extend((current.right, current.left))
            case tree.Comparison():
                stack.extend(current.operands)
            case tree.Conditional():
                stack.extend((current.otherwise, current.condition, current.value))
            case tree.ListLiteral():
                stack.extend(current.items)
            case _:
                pass


def key_of(member: tree.Member, declared: set[str]) -> Key | None:
    """What two members may not both be; None where several may stand side by side."""
    match member:
        case tree.Declaration() | tree.Trace() | tree.EventRule() | tree.PostEvent():
            return "name", member.name
        case tree.Equation():
            form, variable = equation_of(member)
            if form == "other":
                return None
            return ("equation" if variable in declared or form == "ode" else "name"), variable
        case tree.SpikeRule():
            return "rule", "spike"
        case tree.Output():
            return "rule", "output"
        case tree.Tick():
            return "rule", "step"
        case tree.Order():
            return "rule", "order"
        case tree.Adjoint():
            return "rule", "adjoint"
        case tree.Handler():
            return "handler", trigger_text(member.triggers[0])
        case tree.Deliver():
            return None


def trigger_text(trigger: tree.Trigger) -> str:
    """A trigger as it is written."""
    if trigger.period is not None:
        return f"every {' '.join(trigger.period.span.text.split())}"
    return ".".join(trigger.path)


def place_of(member: tree.Member) -> Span:
    """Where to point for a member: its name, or its first line."""
    given = getattr(member, "name_span", None)
    if isinstance(given, Span):
        return given
    match member:
        case tree.Equation():
            return member.left.span
        case tree.Handler():
            first, last = member.triggers[0].span, member.triggers[-1].span
            return first.to(last)
    text = member.span.text
    end = text.find("\n")
    return member.span if end < 0 else Span(member.span.source, member.span.start, member.span.start + end)


def _split(members: tuple[tree.Member, ...]) -> Iterator[tree.Member]:
    """Handlers with one trigger each."""
    for member in members:
        if isinstance(member, tree.Handler) and len(member.triggers) > 1:
            for trigger in member.triggers:
                yield replace(member, triggers=(trigger,))
        else:
            yield member


def _merge(
    base: list[Piece],
    model: tree.Model,
    module: Module,
    declared: set[str],
    collector: Collector,
    complete: bool,
    own: bool,
) -> list[Piece]:
    """The base's members with those of a model laid over them."""
    result: list[Piece | None] = [replace(piece, own=False) for piece in base]
    inherited: dict[Key, list[int]] = {}
    for position, piece in enumerate(base):
        key = key_of(piece.member, declared)
        if key is not None:
            inherited.setdefault(key, []).append(position)
    seen: dict[Key, tree.Member] = {}
    for member in _split(model.members):
        key = key_of(member, declared)
        piece = Piece(member, module, own)
        override = bool(getattr(member, "override", False))
        if key is None and override and isinstance(member, tree.Deliver):
            result = [p if p is None or not isinstance(p.member, tree.Deliver) or p.own else None for p in result]
        if key is None:
            result.append(piece)
            continue
        first = seen.get(key)
        if first is not None and key[0] != "handler":
            _twice(key, member, first, model, collector)
            continue
        seen.setdefault(key, member)
        places = inherited.get(key, [])
        if override:
            if not places and first is None and complete:
                _nothing(key, member, model, inherited, collector)
            if places and first is None:
                for place in places:
                    result[place] = None
                result[places[0]] = piece
                continue
        elif places and complete:
            _silent(key, member, base[places[0]].member, model, collector)
            continue
        result.append(piece)
    return [piece for piece in result if piece is not None]


def _twice(key: Key, member: tree.Member, first: tree.Member, model: tree.Model, collector: Collector) -> None:
    kind, name = key
    place = place_of(member)
    labels = (Label(place_of(first), "the first"),)
    if kind == "equation":
        if (
            isinstance(member, tree.Equation)
            and isinstance(first, tree.Equation)
            and {"ode", "difference"} == {equation_of(member)[0], equation_of(first)[0]}
        ):
            collector.error(
                "E305",
                f"`{name}` has a differential and a difference equation",
                place,
                "the second",
                labels=labels,
                help="keep one of them: a variable follows time or steps",
            )
            return
        collector.error(
            "E304",
            f"`{name}` has two equations",
            place,
            "the second",
            labels=labels,
            help="join them into one; terms add with `+`",
        )
    elif key == ("rule", "spike"):
        collector.error(
            "E314",
            f"`{model.name}` has two rules for `spike`",
            place,
            "the second",
            labels=labels,
            help="join the conditions with `or`, or declare `event NAME when …` for the other one",
        )
    elif kind == "rule":
        collector.error(
            "E103",
            f"`{name}` is given twice in `{model.name}`",
            place,
            "the second",
            labels=labels,
            help="leave one of them out",
        )
    else:
        collector.error(
            "E103",
            f"`{name}` is declared twice in `{model.name}`",
            place,
            "the second",
            labels=labels,
            help="rename one of them",
        )


def _silent(key: Key, member: tree.Member, first: tree.Member, model: tree.Model, collector: Collector) -> None:
    what = {"equation": f"the equation of `{key[1]}`", "handler": f"`on {key[1]}`"}.get(key[0], f"`{key[1]}`")
    line = " ".join(place_of(member).text.split())
    begin = f"on {line}" if isinstance(member, tree.Handler) else " ".join(member.span.text.splitlines()[0].split())
    collector.error(
        "E119",
        f"{what} is already in the base of `{model.name}`",
        place_of(member),
        "redefined here",
        labels=(Label(place_of(first), "from the base"),),
        help=f"write `override {begin}` to replace it, or use another name",
    )


def _nothing(
    key: Key, member: tree.Member, model: tree.Model, inherited: dict[Key, list[int]], collector: Collector
) -> None:
    what = {"equation": f"no equation of `{key[1]}`", "handler": f"no `on {key[1]}`", "rule": f"no `{key[1]}`"}
    text = what.get(key[0], f"no `{key[1]}`")
    if model.base is None:
        collector.error(
            "E120",
            f"`override` in `{model.name}`, which has no base",
            place_of(member),
            "replaces nothing",
            help="take `override` away",
        )
        return
    same = [name for kind, name in inherited if kind == key[0]]
    collector.error(
        "E120",
        f"the base `{model.base}` has {text}",
        place_of(member),
        "replaces nothing",
        help=help_for(key[1], same) or ("take `override` away", *((f"it has {listing(same)}",) if same else ())),
    )
