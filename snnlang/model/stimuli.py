"""Stimuli: ``drive E.I = 2 nA``, ``drive stim from "spikes.npz"``, ``at 500 ms: E.v += 5 mV``, ``clamp out.spike = desired``.

Several drives of one input add up. Refused are targets that cannot be driven, values of the wrong unit, and files without
the arrays needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import Collector, Span
from snnlang.model.assemble import Opened
from snnlang.model.expression import Variable, walk
from snnlang.model.network import ArrayValue, AtItem, ClampItem, DriveItem, Value
from snnlang.model.patterns import Shape, show, size
from snnlang.model.recording import Target, find_target, indices_of, synapse_variables
from snnlang.model.suggest import help_for, listing
from snnlang.model.units import ONE, TIME, UNITS, Unit, describe
from snnlang.model.values import Reader, locate, numbers, read_arrays
from snnlang.syntax import tree

_STIMULUS = frozenset({"time", "random", "index", "position"})


@dataclass
class StimulusReader:
    """Reads stimulus lines; columns of data that are used become inputs of the target's shape (``implicit``)."""

    opened: Opened
    reader: Reader
    columns: dict[str, None]
    implicit: dict[str, Shape]

    @property
    def collector(self) -> Collector:
        return self.reader.collector

    # --- drive --------------------------------------------------------------------------------------------------------

    def drive(self, line: tree.Drive) -> DriveItem | None:
        """A ``drive`` line, None after a report."""
        target = find_target(line.target, self.opened, self.collector)
        if target is None:
            return None
        indices, shape, known = indices_of(target, self.opened, self.collector)
        match target.kind:
            case "input":
                if target.name not in (None, "value"):
                    self.collector.error(
                        "E615", f"`{target.path}` is an input and has no `{target.name}`", target.name_span, help=f"write `{target.path}`"
                    )
                    return None
                return self._values(line, target, "network_input", "value", ONE, indices, shape) if known else None
            case "connection":
                return self._synapse_input(line, target)
            case "population":
                return self._population(line, target, indices, shape, known)

    def _population(
        self, line: tree.Drive, target: Target, indices: NDArray[np.int64] | None, shape: Shape | None, known: bool
    ) -> DriveItem | None:
        model = target.model
        if model is None:
            return None
        events = [event.name for event in model.events]
        name = target.name
        if name in ("spike", "spikes") or name in events or (name is None and line.from_data):
            if "spike" not in events and name in (None, "spike", "spikes"):
                self.collector.error(
                    "E615", f"{model.name} has no spikes to replace", target.span, "never spikes", help="drive one of its inputs"
                )
                return None
            if not line.from_data:
                self.collector.error(
                    "E615",
                    f'spikes are driven from data: `drive {target.path} from "spikes.npz"`',
                    target.span,
                    "an event",
                    help=f"or write `clamp {target.path}.spike = …` with a condition",
                )
                return None
            return self._events(line, target, shape) if known else None
        inputs = {item.name: item for item in model.inputs}
        if name is None and len(inputs) == 1:
            name = next(iter(inputs))
        if name not in inputs:
            if name is not None and self.opened.frame.names.is_lost(name):
                return None
            symbol = None if name is None else model.symbol(name)
            if name is None:
                helps: tuple[str, ...]
                message, helps = (
                    f"what of `{target.path}` is driven?",
                    (f"name an input: {listing([f'{target.path}.{item}' for item in inputs])}",),
                )
            elif symbol is not None:
                message = f"`{name}` of {model.name} is no input: it cannot be driven"
                helps = (f"declare `input {name}` in {model.name}, or change it at one time: `at 100 ms: {target.path}.{name} = …`",)
            else:
                message = f"{model.name} has no input `{name}`"
                helps = help_for(name, inputs) or ((f"it has {listing(inputs)}",) if inputs else ("it has no inputs",))
            self.collector.error(
                "E615", message, target.name_span, "cannot be driven", help=helps if inputs or name else ("it has no inputs",)
            )
            return None
        return self._values(line, target, "input", name, inputs[name].unit, indices, shape) if known else None

    def _synapse_input(self, line: tree.Drive, target: Target) -> DriveItem | None:
        assert target.link is not None
        synapse = self.opened.synapse(target.link)
        inputs = {} if synapse is None else {item.name: item for item in synapse.inputs}
        if target.name not in inputs:
            if target.link.via is None or synapse is not None:
                self.collector.error(
                    "E615",
                    f"the connection `{target.path}` has no input `{target.name or ''}`",
                    target.name_span,
                    "cannot be driven",
                    help=help_for(target.name or "", inputs) or ((f"it has {listing(inputs)}",) if inputs else ("it has no inputs",)),
                )
            return None
        assert target.name is not None
        item = inputs[target.name]
        post = target.link.post.draft.shape
        return self._values(line, target, "synapse_input", target.name, item.unit, None, (1,) if item.adjective == "broadcast" else post)

    def _values(
        self, line: tree.Drive, target: Target, kind: str, name: str, unit: Unit, indices: NDArray[np.int64] | None, shape: Shape | None
    ) -> DriveItem | None:
        what = f"the drive of `{target.span.text}`"
        interval: float | None = None
        value: Value | None
        if line.from_data:
            found = self._series(line.value, unit, shape, what)
            if found is None:
                return None
            value, interval = found
        else:
            value = self.reader.value(line.value, unit, what, _STIMULUS)
            if isinstance(value, ArrayValue) and shape is not None and value.array.size not in (1, size(shape)):
                self.collector.error(
                    "E615",
                    f"{value.array.size} values are given, and `{target.span.text}` has the shape {show(shape)}",
                    line.value.span,
                    f"{value.array.size} values",
                    help=f"give {size(shape)} values, one for each",
                )
                return None
            if value is None or not self._feeds(value, shape, line.value.span):
                return None
        assert kind in ("input", "network_input", "synapse_input")
        return DriveItem(kind, target.path, name, indices, value, interval, span=line.span)  # type: ignore[arg-type]

    def _feeds(self, value: Value, shape: Shape | None, span: Span) -> bool:
        """Network inputs and data columns inside a value must have its target's size; unknown columns become inputs."""
        if isinstance(value, ArrayValue):
            return True
        for node in walk(value):
            if not (isinstance(node, Variable) and node.scope == "network"):
                continue
            draft = self.opened.inputs.get(node.name)
            if draft is None and node.name in self.columns and shape is not None:
                known = self.implicit.setdefault(node.name, shape)
            elif draft is not None and draft.shape is not None:
                known = draft.shape
            else:
                continue
            if shape is not None and size(known) not in (1, size(shape)):
                self.collector.error(
                    "E615",
                    f"`{node.name}` has the shape {show(known)}, and {show(shape)} is needed",
                    span,
                    f"uses `{node.name}`",
                    help="use an input of the same size",
                )
                return False
        return True

    def _file(self, expr: tree.Expression) -> dict[str, NDArray[np.generic]] | None:
        if not isinstance(expr, tree.String):
            self.collector.error("E615", "`from` is followed by the name of a file", expr.span, help='write `from "spikes.npz"`')
            return None
        return read_arrays(locate(expr.value, expr.span), expr.span, self.collector, "E616")

    def _events(self, line: tree.Drive, target: Target, shape: Shape | None) -> DriveItem | None:
        """Spike times (ms) and neurons: arrays ``times`` and ``indices`` of a file."""
        arrays = self._file(line.value)
        if arrays is None:
            return None
        if not {"times", "indices"} <= set(arrays):
            self.collector.error(
                "E616",
                f"spikes need the arrays `times` (ms) and `indices`, and the file has {listing(arrays)}",
                line.value.span,
                help="save it with `numpy.savez(path, times=t, indices=i)`",
            )
            return None
        times = numbers(arrays["times"], "`times`", line.value.span, self.collector, "E616")
        which = numbers(arrays["indices"], "`indices`", line.value.span, self.collector, "E616")
        if times is None or which is None:
            return None
        n = None if shape is None else size(shape)
        problem = None
        if times.ndim != 1 or times.shape != which.shape:
            problem = f"`times` has the shape {show(times.shape)} and `indices` {show(which.shape)}: one row of equal length is needed"
        elif which.size and (np.any(which != np.floor(which)) or which.min() < 0):
            problem = "`indices` holds a number that is no index"
        elif n is not None and which.size and which.max() >= n:
            problem = f"`indices` names the neuron {int(which.max())}, and `{target.path}` has {n}"
        if problem:
            self.collector.error("E616", problem, line.value.span, help="indices count from 0; times are in ms")
            return None
        order = np.lexsort((which, times))
        event = "spike" if target.name in (None, "spikes") else target.name
        assert event is not None
        return DriveItem(
            "events",
            target.path,
            event,
            None,
            ArrayValue(np.stack([times[order], which[order]], axis=1), TIME, span=line.value.span),
            span=line.span,
        )

    def _series(self, expr: tree.Expression, unit: Unit, shape: Shape | None, what: str) -> tuple[ArrayValue, float] | None:
        """Values over time from a file: ``values`` [samples, neurons], ``interval`` in ms, perhaps ``unit``."""
        arrays = self._file(expr)
        if arrays is None:
            return None
        if not {"values", "interval"} <= set(arrays):
            self.collector.error(
                "E616",
                f"{what} needs the arrays `values` and `interval` (ms), and the file has {listing(arrays)}",
                expr.span,
                help='save it with `numpy.savez(path, values=v, interval=0.1, unit="nA")`',
            )
            return None
        values = numbers(arrays["values"], "`values`", expr.span, self.collector, "E616")
        interval = numbers(arrays["interval"], "`interval`", expr.span, self.collector, "E616")
        if values is None or interval is None:
            return None
        scale = 1.0
        if not unit.is_dimensionless:
            name = str(arrays["unit"]) if "unit" in arrays else ""
            if name not in UNITS or UNITS[name][1] != unit:
                self.collector.error(
                    "E616",
                    f"{what} has the unit {describe(unit)}, and the file says {'no unit' if not name else repr(name)}",
                    expr.span,
                    help=f'save the name of the unit too: `unit="{describe(unit)}"`',
                )
                return None
            scale = UNITS[name][0]
        n = size(shape) if shape is not None else None
        values = values.reshape(-1, 1) if values.ndim == 1 else values.reshape(len(values), -1)
        if interval.size != 1 or float(interval.reshape(-1)[0]) <= 0 or (n is not None and values.shape[1] not in (1, n)):
            self.collector.error(
                "E616",
                f"`values` holds {values.shape[1]} values a sample, and {n} are needed"
                if interval.size == 1 and interval > 0
                else "`interval` must be one number of ms above 0",
                expr.span,
                help="give one column for each neuron, or one for all",
            )
            return None
        return ArrayValue(values * scale, unit, span=expr.span), float(interval.reshape(-1)[0])

    # --- at and clamp -------------------------------------------------------------------------------------------------

    def at(self, line: tree.At) -> AtItem | None:
        """An ``at`` line, None after a report."""
        time = self.reader.time(line.time, "the time of `at`")
        statement = line.statement
        if not isinstance(statement, tree.Assign):
            self.collector.error(
                "E617", "`at` takes one assignment", statement.span, "not an assignment", help="write `at 500 ms: E.v += 5 mV`"
            )
            return None
        if time is not None and (time < 0 or not np.isfinite(time)):
            self.collector.error("E617", f"`at` {time:g} ms is never reached", line.time.span, help="give a time of 0 ms or more")
            return None
        target = find_target(statement.target, self.opened, self.collector)
        if target is None:
            return None
        units = self._assignable(target)
        if units is None:
            return None
        if target.name is None or target.name not in units:
            if target.name is None or not self.opened.frame.names.is_lost(target.name):
                name = target.name or statement.target.span.text
                self.collector.error(
                    "E617",
                    f"`{name}` of `{target.path}` cannot be assigned: only states and weights can",
                    target.name_span,
                    "not a state",
                    help=help_for(name, units) or ((f"it has {listing(units)}",) if units else ("it has no states",)),
                )
            return None
        indices, _, known = indices_of(target, self.opened, self.collector)
        unit = ONE if statement.operator in ("*=", "/=") else units[target.name]
        value = self.reader.expect(statement.value, unit, f"the value for `{target.span.text}`", _STIMULUS)
        if value is None or time is None or not known:
            return None
        return AtItem(time, target.path, target.name, indices, statement.operator, value, span=line.span)

    def _assignable(self, target: Target) -> dict[str, Unit] | None:
        if target.kind == "population":
            return None if target.model is None else {state.name: state.unit for state in target.model.states}
        if target.kind == "connection" and target.link is not None:
            units = synapse_variables(target.link, self.opened)
            weight = self.opened.weight_units.get(target.path)
            if units is not None and target.link.via is None and weight is not None:
                units["w"] = weight
            return units
        self.collector.error(
            "E617", f"`{target.path}` is an input: it has no state", target.span, "not a state", help=f"write `drive {target.path} = …`"
        )
        return None

    def clamp(self, line: tree.Clamp) -> ClampItem | None:
        """A ``clamp`` line, None after a report."""
        target = find_target(line.target, self.opened, self.collector)
        if target is None:
            return None
        model = target.model
        if target.kind != "population" or model is None:
            if target.kind != "population":
                self.collector.error(
                    "E618",
                    f"`{target.span.text}` is not an event of a population",
                    target.span,
                    "cannot be clamped",
                    help="write `clamp out.spike = desired`",
                )
            return None
        events = [event.name for event in model.events]
        name = "spike" if target.name in (None, "spikes") else target.name
        if name not in events or target.parts:
            message = "a clamp holds a whole population" if target.parts and name in events else f"{model.name} has no event `{name}`"
            self.collector.error(
                "E618",
                message,
                target.name_span,
                "cannot be clamped",
                help=help_for(name or "", events) or ((f"it has {listing(events)}",) if events else ("it has no events",)),
            )
            return None
        shape = target.place.draft.shape if target.place is not None else None
        typed = self.reader.resolver(_STIMULUS).resolve(line.value)
        if typed.kind == "unknown":
            return None
        if typed.kind == "number" and typed.unit is not None and not typed.unit.is_dimensionless:
            self.collector.error(
                "E618",
                f"a clamp takes a condition or a number above 0, and this has {describe(typed.unit)}",
                line.value.span,
                help="compare it: `… > 0 mV`",
            )
            return None
        if typed.kind in ("string", "list") or not self._feeds(typed.expr, shape, line.value.span):
            if typed.kind in ("string", "list"):
                self.collector.error(
                    "E618", f"a clamp takes a condition or a number, not a {typed.kind}", line.value.span, help="name a column of the data"
                )
            return None
        return ClampItem(target.path, name or "spike", typed.expr, span=line.span)
