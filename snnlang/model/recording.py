"""What an experiment records and draws: ``record E.v[0:3] every 1 ms``, ``plot raster(E, I), trace(E.v)``.

A plot of something that no line records adds the recording. Refused are variables that are not there, weights of connections
without a name, plots of an unknown kind, and options that a plot does not take.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import Collector, Span
from snnlang.frozen import dataclass, field
from snnlang.model.assemble import Opened
from snnlang.model.frame import Finder, Frame, InputDraft, Link, Place, PopulationDraft, _unravel, source_of
from snnlang.model.model import Neuron
from snnlang.model.network import PlotItem, RecordItem
from snnlang.model.patterns import Shape
from snnlang.model.suggest import help_for, listing
from snnlang.model.units import ONE, Unit
from snnlang.model.values import Reader
from snnlang.syntax import tree


@dataclass(frozen=True)
class Target:
    """Something that an experiment line names: a variable (or nothing) of a population, a network input or a connection."""

    kind: Literal["population", "input", "connection"]
    path: str
    name: str | None
    name_span: Span
    span: Span
    place: Place | None = None
    link: Link | None = None
    parts: tuple[tuple[tuple[tree.Expression | tree.Slice, ...], Span], ...] = ()

    @property
    def model(self) -> Neuron | None:
        return (
            self.place.draft.model if self.place is not None and isinstance(self.place.draft, PopulationDraft) else None
        )


def find_target(expr: tree.Expression, opened: Opened, collector: Collector) -> Target | None:
    """Resolve ``E.v``, ``E[0:3].v``, ``b1.c1.spikes``, ``feed.w``, ``image``; None after a report."""
    chain = _unravel(expr)
    if chain is not None:
        names: list[str] = []
        for item, _span in chain:
            if not isinstance(item, str):
                break
            names.append(item)
        for count in range(len(names), 0, -1):
            path = ".".join(names[:count])
            link = opened.connections.get(path)
            if link is not None:
                rest = chain[count:]
                word = rest[0] if rest and isinstance(rest[0][0], str) else None
                parts = tuple((item, span) for item, span in rest if not isinstance(item, str))
                if len(rest) - len(parts) > 1:
                    collector.error(
                        "E608",
                        f"`{expr.span.text}` names nothing",
                        expr.span,
                        "too many names",
                        help=f"write `{path}.w`",
                    )
                    return None
                return Target(
                    "connection",
                    path,
                    None if word is None else str(word[0]),
                    expr.span if word is None else word[1],
                    expr.span,
                    link=link,
                    parts=parts,
                )
        several = (
            []
            if not names or names[0] in opened.frame.members
            else [p for p in opened.connections if p.startswith(names[0] + ".")]
        )
        if several:
            collector.error(
                "E609",
                f"`{names[0]}` has several targets, each with its own weights",
                expr.span,
                "which one?",
                help=f"name one: {listing(several)}",
            )
            return None
    found = Finder(collector).place(expr, opened.frame, opened.connections)
    if isinstance(found, Frame):
        collector.error(
            "E609",
            f"`{expr.span.text}` is a block",
            expr.span,
            "not a population",
            help=f"name a population of it: {listing(found.members)}",
        )
        return None
    if found is None:
        return None
    found = source_of(found)
    kind: Literal["population", "input"] = "input" if isinstance(found.draft, InputDraft) else "population"
    return Target(
        kind, found.draft.path, found.port, found.port_span or expr.span, expr.span, place=found, parts=found.parts
    )


def indices_of(
    target: Target, opened: Opened, collector: Collector
) -> tuple[NDArray[np.int64] | None, Shape | None, bool]:
    """Flat indices of the part named (None: all), its shape, and whether all is known."""
    if target.place is None:
        if not target.parts:
            return None, None, True
        return _synapse_indices(target, opened, collector)
    reader = Reader(opened.frame.names, collector)
    if target.place.draft.shape is None:
        return None, None, False
    part = Finder(collector).part(target.place, reader)
    if part is None:
        return None, None, False
    return None if part.indices is None else np.asarray(part.indices, dtype=np.int64), part.shape, True


def _synapse_indices(
    target: Target, opened: Opened, collector: Collector
) -> tuple[NDArray[np.int64] | None, Shape | None, bool]:
    reader = Reader(opened.frame.names, collector)
    (indices, span), *more = target.parts
    if more or len(indices) != 1:
        collector.error("E609", "synapses are numbered in one row", span, "several axes", help="write `feed.w[0:100]`")
        return None, None, False
    item = indices[0]
    if isinstance(item, tree.Slice):
        start = 0 if item.start is None else reader.whole(item.start, "the start of a slice")
        stop = None if item.stop is None else reader.whole(item.stop, "the end of a slice")
        if item.stop is None:
            collector.error(
                "E609", "how many synapses there are is not known here", span, help="give both ends: `feed.w[0:100]`"
            )
        if start is None or stop is None:
            return None, None, False
        if start >= stop:
            collector.error(
                "E517", f"the part {start}:{stop} is empty", span, "nothing in it", help="let it end after it starts"
            )
            return None, None, False
        return np.arange(start, stop, dtype=np.int64), (stop - start,), True
    number = reader.whole(item, "an index")
    return (None, None, False) if number is None else (np.array([number], dtype=np.int64), (1,), True)


def variables(model: Neuron) -> Iterator[tuple[str, Unit]]:
    """What can be recorded of a neuron besides its events."""
    for group in (model.states, model.definitions, model.inputs, model.params):
        for item in group:
            yield item.name, item.unit
    if model.output is not None:
        yield "output", model.output_unit or ONE


@dataclass
class Recorder:
    """Collects record items; one per label."""

    opened: Opened
    collector: Collector
    items: list[RecordItem] = field(default_factory=list)
    labels: dict[str, RecordItem] = field(default_factory=dict)

    def line(self, line: tree.Record, every: float | None) -> None:
        """All items of a ``record`` line."""
        for expr in line.items:
            target = find_target(expr, self.opened, self.collector)
            if target is None:
                continue
            item = self.item(target, every)
            if item is not None:
                self._add(item, target)

    def _add(self, item: RecordItem, target: Target) -> RecordItem:
        known = self.labels.get(item.label)
        if known is not None:
            same = (
                known.indices is None
                if item.indices is None
                else known.indices is not None and np.array_equal(known.indices, item.indices)
            )
            if same and known.every == item.every:
                return known
            part = target.span.text.partition("[")[2].strip("]") if item.indices is not None else ""
            label = item.label + (f"[{part}]" if part else f" every {item.every:g} ms" if item.every else "")
            if label in self.labels:
                self.collector.error(
                    "E611", f"`{item.label}` is recorded twice", target.span, "again here", help="keep one of them"
                )
                return known
            item = replace(item, label=label)
        self.items.append(item)
        self.labels[item.label] = item
        return item

    def item(self, target: Target, every: float | None) -> RecordItem | None:
        """The record of a target; None after a report or when something about it is not known."""
        indices, _, known = indices_of(target, self.opened, self.collector)
        match target.kind:
            case "input":
                if target.name not in (None, "value"):
                    self.collector.error(
                        "E608",
                        f"`{target.path}` is an input and has no `{target.name}`",
                        target.name_span,
                        "not there",
                        help=f"write `{target.path}`",
                    )
                    return None
                return (
                    RecordItem(target.path, "input", target.path, "value", indices, every, ONE, span=target.span)
                    if known
                    else None
                )
            case "connection":
                return self._synapse(target, indices, every) if known else None
            case "population":
                return self._population(target, indices, every, known)

    def _population(
        self, target: Target, indices: NDArray[np.int64] | None, every: float | None, known: bool
    ) -> RecordItem | None:
        model = target.model
        if model is None:
            return None
        events = [event.name for event in model.events]
        name = target.name
        if name is None:
            helps = f"name a variable: `{target.path}.{'spikes' if 'spike' in events else next(iter(dict(variables(model))), 'v')}`"
            self.collector.error(
                "E609", f"`{target.path}` is a population; what of it?", target.span, "no variable", help=helps
            )
            return None
        event = "spike" if name in ("spikes", "spike") else name
        if event in events:
            label = f"{target.path}.{'spikes' if event == 'spike' else event}"
            return (
                RecordItem(label, "events", target.path, event, indices, None, ONE, span=target.span) if known else None
            )
        units = dict(variables(model))
        if name not in units:
            if not self.opened.frame.names.is_lost(name):
                choices = [*(["spikes"] if "spike" in events else []), *(e for e in events if e != "spike"), *units]
                if event == "spike":
                    self.collector.error(
                        "E608",
                        f"{model.name} never spikes: it has no spike rule",
                        target.name_span,
                        "not there",
                        help=f"it has {listing(choices)}",
                    )
                else:
                    self.collector.error(
                        "E608",
                        f"{model.name} has no variable or event `{name}`",
                        target.name_span,
                        "not there",
                        help=help_for(name, choices) or (f"it has {listing(choices, 12)}",),
                    )
            return None
        return (
            RecordItem(
                f"{target.path}.{name}", "state", target.path, name, indices, every, units[name], span=target.span
            )
            if known
            else None
        )

    def _synapse(self, target: Target, indices: NDArray[np.int64] | None, every: float | None) -> RecordItem | None:
        assert target.link is not None
        units = synapse_variables(target.link, self.opened)
        if units is None:
            return None
        if target.name is None:
            self.collector.error(
                "E609",
                f"`{target.path}` is a connection; what of it?",
                target.span,
                "no variable",
                help=f"name a variable: `{target.path}.{next(iter(units), 'w')}`",
            )
            return None
        if target.name not in units:
            self.collector.error(
                "E608",
                f"the connection `{target.path}` has no `{target.name}`",
                target.name_span,
                "not there",
                help=help_for(target.name, units) or (f"it has {listing(units)}",),
            )
            return None
        return RecordItem(
            f"{target.path}.{target.name}",
            "synapse",
            target.path,
            target.name,
            indices,
            every,
            units[target.name] or ONE,
            span=target.span,
        )


def synapse_variables(link: Link, opened: Opened) -> dict[str, Unit] | None:
    """Weights, states and traces of a connection by name; None when its synapse is not known."""
    if link.via is None:
        return {"w": ONE}
    synapse = opened.synapse(link)
    if synapse is None:
        return None
    units = {state.name: state.unit for state in synapse.states}
    units.update({trace.name: ONE for trace in synapse.traces})
    return units


# --- plots ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlotKind:
    """What a plot takes: ``takes`` events (a population or event), variables, or synapses; how many; its options with their kinds."""

    takes: tuple[Literal["events", "variable", "synapse", "input"], ...]
    least: int
    most: int
    options: dict[str, tuple[str, Any]]


_BINS = ("whole", 50)
PLOTS: dict[str, PlotKind] = {
    "raster": PlotKind(("events",), 1, 99, {}),
    "rate": PlotKind(("events",), 1, 99, {"bin": ("time", 5.0)}),
    "isi": PlotKind(("events",), 1, 99, {"bins": _BINS}),
    "trace": PlotKind(("variable", "synapse", "input"), 1, 99, {"spikes": ("flag", False)}),
    "histogram": PlotKind(("variable", "synapse", "input"), 1, 99, {"bins": _BINS}),
    "weights": PlotKind(("synapse",), 1, 1, {}),
    "fields": PlotKind(
        ("synapse",), 1, 1, {"shape": ("pair", None), "columns": ("whole", None), "count": ("whole", None)}
    ),
    "image": PlotKind(
        ("variable", "input", "events"), 1, 1, {"shape": ("pair", None), "value": ("word", None), "at": ("time", None)}
    ),
    "phase": PlotKind(("variable",), 2, 2, {}),
    "profile": PlotKind(("variable", "synapse", "input"), 1, 2, {}),
}
#: What can be drawn of every neuron's spikes in one image.
EVENT_VALUES = ("first_spike", "count")


@dataclass
class Plotter:
    """Reads ``plot`` lines against what is recorded; adds what is missing."""

    recorder: Recorder
    reader: Reader

    def line(self, line: tree.Plot) -> Iterator[PlotItem]:
        """The plots of a line that are sound."""
        for expr in line.items:
            item = self._item(expr)
            if item is not None:
                yield item

    def _item(self, expr: tree.Expression) -> PlotItem | None:
        collector = self.reader.collector
        function = expr.function if isinstance(expr, tree.Call) else expr
        name = function.id if isinstance(function, tree.Name) else ""
        kind = PLOTS.get(name)
        if kind is None or not isinstance(expr, tree.Call):
            shown = name or function.span.text
            message = f"there is no plot `{shown}`" if kind is None else f"the plot {name} needs brackets"
            collector.error(
                "E610",
                message,
                function.span,
                "not a plot" if kind is None else "",
                help=help_for(name, PLOTS) or (f"plots are {listing(PLOTS, 12)}; write for example `raster(E)`",),
            )
            return None
        targets: list[str] = []
        options: dict[str, Any] = {key: default for key, (_, default) in kind.options.items()}
        sound, count = True, 0
        for argument in expr.arguments:
            if isinstance(argument, tree.Per):
                continue
            if argument.name is not None:
                sound = self._option(name, kind, argument, options) and sound
                continue
            count += 1
            label = self._target(name, kind, argument.value, options)
            sound = sound and label is not None
            if label is not None:
                targets.append(label)
        if not kind.least <= count <= kind.most:
            wanted = f"{kind.least}" if kind.least == kind.most else f"at least {kind.least}"
            collector.error(
                "E612",
                f"{name} draws {wanted} thing{'' if kind.least == 1 else 's'}, and {count} were given",
                expr.span,
                help=f"write `{name}({', '.join(['E.v', 'E.u'][: max(1, kind.least)]) if 'variable' in kind.takes else 'E'})`",
            )
            return None
        return PlotItem(name, tuple(targets), options, span=expr.span) if sound else None

    def _option(self, name: str, kind: PlotKind, argument: tree.Argument, options: dict[str, Any]) -> bool:
        collector, key = self.reader.collector, argument.name or ""
        if key not in kind.options:
            collector.error(
                "E612",
                f"the plot {name} has no option `{key}`",
                argument.span,
                "not known",
                help=help_for(key, kind.options)
                or ((f"it takes {listing(kind.options)}",) if kind.options else ("it takes no options",)),
            )
            return False
        what = f"`{key}` of {name}"
        value: Any
        match kind.options[key][0]:
            case "time":
                value = self.reader.time(argument.value, what)
                if value is not None and value <= 0 and key == "bin":
                    collector.error(
                        "E612", f"{what} must be longer than 0 ms", argument.value.span, help="write `bin = 5 ms`"
                    )
                    value = None
            case "whole":
                value = self.reader.whole(argument.value, what, 1)
            case "pair":
                value = self.reader.pair(argument.value, what)
            case "flag":
                written = argument.value.id if isinstance(argument.value, tree.Name) else ""
                value = {"true": True, "false": False}.get(written)
                if value is None:
                    collector.error(
                        "E612", f"{what} is true or false", argument.value.span, "neither", help=f"write `{key} = true`"
                    )
            case _:
                value = self.reader.word(argument.value)
                if value not in EVENT_VALUES:
                    collector.error(
                        "E612",
                        f"{what} is {listing(EVENT_VALUES)}",
                        argument.value.span,
                        "not known",
                        help=f'write `value = "{EVENT_VALUES[0]}"`',
                    )
                    value = None
        options[key] = value
        return value is not None

    def _target(self, name: str, kind: PlotKind, expr: tree.Expression, options: dict[str, Any]) -> str | None:
        collector, recorder = self.reader.collector, self.recorder
        target = find_target(expr, recorder.opened, collector)
        if target is None:
            return None
        if target.kind == "population":
            model = target.model
            if model is None:
                return None
            events = [event.name for event in model.events]
            if target.name is None and "events" in kind.takes:
                target = replace(target, name="spikes")
            if name == "image" and target.name in EVENT_VALUES and target.name not in dict(variables(model)):
                options["value"] = target.name
                target = replace(target, name="spikes")
            is_event = target.name in ("spikes", "spike") or target.name in events
            fits = "events" in kind.takes if is_event else target.name is not None and "variable" in kind.takes
            if not fits:
                first = next(iter(dict(variables(model))), "v")
                wanted = "a variable" if "variable" in kind.takes else "a population or an event"
                found = "an event" if is_event else "a population" if target.name is None else "a variable"
                helps = (
                    f"name a variable: `{target.path}.{first}`"
                    if "variable" in kind.takes
                    else f"write `{name}({target.path})`"
                )
                collector.error(
                    "E612",
                    f"the plot {name} draws {wanted}, and `{expr.span.text}` is {found}",
                    expr.span,
                    f"is {found}",
                    help=helps,
                )
                return None
            if name == "image" and is_event and options.get("value") is None:
                options["value"] = "count"
            if name == "image" and target.place is not None and options.get("shape") is None:
                shape = target.place.draft.shape
                if shape is not None and len(shape) >= 2:
                    options["shape"] = (shape[-2], shape[-1])
        elif (target.kind == "connection" and "synapse" not in kind.takes) or (
            target.kind == "input" and "input" not in kind.takes
        ):
            collector.error(
                "E612",
                f"the plot {name} cannot draw `{expr.span.text}`",
                expr.span,
                f"is {'a connection' if target.kind == 'connection' else 'an input'}",
                help=f"it draws {' or '.join(kind.takes)}",
            )
            return None
        elif name == "image" and target.place is not None and options.get("shape") is None:
            shape = target.place.draft.shape
            if shape is not None and len(shape) >= 2:
                options["shape"] = (shape[-2], shape[-1])
        item = recorder.item(target, None)
        if item is None:
            return None
        for known in recorder.items:
            if (known.kind, known.path, known.variable) == (item.kind, item.path, item.variable) and (
                item.indices is None or (known.indices is not None and np.array_equal(known.indices, item.indices))
            ):
                return known.label
        return recorder._add(item, target).label
