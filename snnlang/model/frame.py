"""A network while it is being elaborated: drafts of populations, inputs and connections, and the frame of each block.

Drafts are the only mutable nouns of this room: shapes are found while connections are read. A :class:`Frame` is one
use of a network definition, with its parameters' values and the prefix of its names (``b1.``). Endpoints are resolved here: a dotted
name to a population, an input or a block, with the part in brackets and the port that was named.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import Collector, Label, Span
from snnlang.model.model import Neuron, Scope
from snnlang.model.network import BatchNorm
from snnlang.model.patterns import Shape, show, size
from snnlang.model.suggest import help_for, listing
from snnlang.model.symbols import Names
from snnlang.model.values import Reader
from snnlang.syntax import tree

Indices: TypeAlias = "range | NDArray[np.int64] | None"


@dataclass(eq=False)
class PopulationDraft:
    """A population whose shape may still be found; ``model`` None and ``failed`` mark what was already reported."""

    path: str
    model: Neuron | None
    shape: Shape | None
    arguments: tuple[tree.Argument, ...]
    frame: Frame
    span: Span
    failed: bool = False
    internal: bool = False


@dataclass(eq=False)
class InputDraft:
    """An input of the network, or of a block; a block's is ``bound`` to what feeds it."""

    path: str
    shape: Shape | None
    frame: Frame
    span: Span
    failed: bool = False
    bound: Place | None = None


Draft: TypeAlias = PopulationDraft | InputDraft


@dataclass
class Frame:
    """One use of a network: its names, its prefix, and what it declares."""

    name: str
    prefix: str
    names: Names
    scope: Scope
    members: dict[str, Draft | Frame] = field(default_factory=dict)
    connections: dict[str, Span] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    places: dict[str, Span] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Place:
    """A draft or a part of one: ``parts`` are brackets still to be evaluated, outermost last; ``flat`` forgets the shape."""

    draft: Draft
    parts: tuple[tuple[tuple[tree.Expression | tree.Slice, ...], Span], ...]
    port: str | None
    port_span: Span | None
    span: Span
    frame: Frame
    flat: bool = False


@dataclass(frozen=True)
class Part:
    """An evaluated part: its shape and flat indices (None: everything)."""

    shape: Shape
    indices: Indices

    @property
    def size(self) -> int:
        return size(self.shape)


@dataclass(frozen=True)
class PatternCall:
    """A pattern as written: its name and arguments."""

    kind: str
    arguments: tuple[tree.Argument, ...]
    span: Span


@dataclass(frozen=True)
class Link:
    """One connection from one source to one target, as written."""

    frame: Frame
    name: str | None
    pre: Place
    post: Place
    pattern: PatternCall
    via: tree.Expression | None
    options: tuple[tree.Argument, ...]
    span: Span
    in_chain: bool = False
    dropout: tuple[float, float] = (0.0, 0.0)  # of what is sent, of what arrives
    batch_norm: BatchNorm | None = None


def source_of(place: Place) -> Place:
    """What really sends: a block's input that is bound stands for what feeds it."""
    while isinstance(place.draft, InputDraft) and place.draft.bound is not None:
        bound = place.draft.bound
        place = replace(
            bound,
            parts=bound.parts + place.parts,
            span=place.span,
            port=place.port or bound.port,
            port_span=place.port_span or bound.port_span,
            flat=place.flat or bound.flat,
        )
    return place


@dataclass
class Finder:
    """Resolves endpoints as written; the mistakes go to ``collector``."""

    collector: Collector

    def unknown(self, name: str, span: Span, frame: Frame, extra: Iterable[str] = ()) -> None:
        """Report a name that nothing of this network carries."""
        if frame.names.is_lost(name) or name in frame.unknown:
            return
        known = [*frame.members, *extra]
        self.collector.error(
            "E505",
            f"there is no population, input or block `{name}` in {frame.name}",
            span,
            "not declared",
            help=help_for(name, known)
            or ((f"it has {listing(frame.members)}",) if frame.members else ("declare it: `population NAME[100]: LIF`",)),
        )

    def place(self, expr: tree.Expression, frame: Frame, extra: Iterable[str] = ()) -> Place | Frame | None:
        """A population, an input, a part of one with a port, or a block as a whole; None after a report."""
        chain = _unravel(expr)
        if chain is None:
            self.collector.error(
                "E505",
                f"`{expr.span.text}` does not name a population or an input",
                expr.span,
                help="write a name, a part such as `E[0:100]`, or a port such as `E.v`",
            )
            return None
        (first, first_span), *rest = chain
        assert isinstance(first, str)
        member: Draft | Frame | None = frame.members.get(first)
        if member is None:
            self.unknown(first, first_span, frame, extra)
            return None
        while isinstance(member, Frame):
            if not rest:
                return member
            (name, span), *rest = rest
            if not isinstance(name, str):
                self.collector.error("E517", f"the block `{member.prefix[:-1]}` cannot be sliced", span, help="name a population of it")
                return None
            inner = member.members.get(name)
            if inner is None:
                self.unknown(name, span, member)
                return None
            member = inner
        port: str | None = None
        port_span: Span | None = None
        parts: list[tuple[tuple[tree.Expression | tree.Slice, ...], Span]] = []
        for item, span in rest:
            if isinstance(item, str):
                if port is not None:
                    self.collector.error(
                        "E518", f"`{item}` cannot be named here", span, "one name too many", help=f"write `{member.path}.{port}`"
                    )
                    return None
                port, port_span = item, span
            else:
                parts.append((item, span))
        return Place(member, tuple(parts), port, port_span, expr.span, frame)

    def part(self, place: Place, reader: Reader) -> Part | None:
        """Shape and indices of a place; None when its shape is not known (yet) or after a report."""
        shape = place.draft.shape
        if shape is None:
            return None
        part = Part(shape, None)
        for indices, span in place.parts:
            found = select(part, indices, span, place.draft.path, reader)
            if found is None:
                return None
            part = found
        return Part((part.size,), part.indices) if place.flat else part


def _unravel(expr: tree.Expression) -> list[tuple[str | tuple[tree.Expression | tree.Slice, ...], Span]] | None:
    match expr:
        case tree.Name(id=name):
            return [(name, expr.span)]
        case tree.Attribute(value=value, name=name):
            head = _unravel(value)
            span = Span(expr.span.source, expr.span.end - len(name), expr.span.end)
            return None if head is None else [*head, (name, span)]
        case tree.Index(value=value, indices=indices):
            head = _unravel(value)
            return None if head is None else [*head, (indices, expr.span)]
        case _:
            return None


def select(part: Part, indices: tuple[tree.Expression | tree.Slice, ...], span: Span, name: str, reader: Reader) -> Part | None:
    """The part of a part that brackets name; reports indices out of range (E517)."""
    collector = reader.collector
    shape = part.shape
    if len(indices) > len(shape):
        collector.error(
            "E517",
            f"`{name}` has the shape {show(shape)}, and {len(indices)} indices were given",
            span,
            f"{len(indices)} indices",
            help=f"give at most {len(shape)}",
        )
        return None
    ranges: list[range] = []
    kept: list[int] = []
    for axis, length in enumerate(shape):
        if axis >= len(indices):
            ranges.append(range(length))
            kept.append(length)
            continue
        item = indices[axis]
        if isinstance(item, tree.Slice):
            start = 0 if item.start is None else reader.whole(item.start, "the start of a slice")
            stop = length if item.stop is None else reader.whole(item.stop, "the end of a slice")
            if start is None or stop is None:
                return None
            if stop > length or start >= stop:
                wrong = f"{start}:{stop}"
                why = "it is empty" if start >= stop else f"`{name}` has {length} along this axis"
                collector.error(
                    "E517",
                    f"the part {wrong} of `{name}` is not there: {why}",
                    span,
                    f"is {wrong}",
                    help=f"choose a part within 0:{length}",
                )
                return None
            ranges.append(range(start, stop))
            kept.append(stop - start)
        else:
            number = reader.whole(item, "an index")
            if number is None:
                return None
            if number >= length:
                collector.error(
                    "E517",
                    f"`{name}` has no element {number}: its indices are 0 to {length - 1}",
                    span,
                    f"is {number}",
                    help=f"choose an index below {length}",
                )
                return None
            ranges.append(range(number, number + 1))
    result: Shape = tuple(kept) or (1,)
    return Part(result, _compose(part, shape, ranges))


def _compose(part: Part, shape: Shape, ranges: list[range]) -> Indices:
    if all(len(chosen) == length for chosen, length in zip(ranges, shape, strict=True)):
        return part.indices
    trailing = all(len(chosen) == length for chosen, length in zip(ranges[1:], shape[1:], strict=True))
    if trailing and not isinstance(part.indices, np.ndarray):
        row = size(shape[1:])
        offset = 0 if part.indices is None else part.indices.start
        return range(offset + ranges[0].start * row, offset + ranges[0].stop * row)
    flat = np.zeros((1,) * 0, dtype=np.int64)
    for chosen, length in zip(ranges, shape, strict=True):
        flat = flat[..., None] * length + np.arange(chosen.start, chosen.stop, dtype=np.int64)
    chosen_flat = flat.reshape(-1)
    if part.indices is None:
        return chosen_flat
    base = np.asarray(part.indices, dtype=np.int64)
    return base[chosen_flat]


def declare(frame: Frame, name: str, span: Span, collector: Collector) -> bool:
    """Whether a name is free in its network; reports a second declaration (E501)."""
    if name in frame.places:
        collector.error(
            "E501",
            f"`{name}` is declared twice in {frame.name}",
            span,
            "again here",
            labels=(Label(frame.places[name], "first here"),),
            help="give one of them another name",
        )
        return False
    frame.places[name] = span
    return True


def unused_name(base: str, taken: dict[str, object]) -> str:
    """``base``, or ``base#2``, ``base#3``, … when that is taken."""
    if base not in taken:
        return base
    return next(f"{base}#{n}" for n in itertools.count(2) if f"{base}#{n}" not in taken)


def drafts_of(frame: Frame) -> Iterator[Draft]:
    """All drafts of a frame and its blocks, in written order."""
    for member in frame.members.values():
        if isinstance(member, Frame):
            yield from drafts_of(member)
        else:
            yield member
