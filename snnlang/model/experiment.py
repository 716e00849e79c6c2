"""The lines of a ``simulate``: settings, stimuli, trials, records and plots, read against an opened network.

Times come out in ms (in a network without a time scale: in steps). Refused are unknown settings, targets that are not there, values of
the wrong unit, data nobody knows, an experiment without a length, and overrides that override nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from snnlang.diagnostics import Collector, Label
from snnlang.model.assemble import Opened, assemble
from snnlang.model.expression import Variable
from snnlang.model.frame import InputDraft
from snnlang.model.model import NetworkDefinition, Scope
from snnlang.model.network import AtItem, ClampItem, DriveItem, Experiment, Network, NetworkInput, PlotItem, RecordItem
from snnlang.model.patterns import Shape
from snnlang.model.phases import PhaseReader
from snnlang.model.recording import Plotter, Recorder
from snnlang.model.settings import SETTINGS, TRAIN_SETTINGS, collect, read_clock, read_setting
from snnlang.model.stimuli import StimulusReader
from snnlang.model.suggest import help_for, listing
from snnlang.model.sweeps import read_sweep
from snnlang.model.symbols import Names, Symbol
from snnlang.model.training import TrainingReader
from snnlang.model.units import ONE
from snnlang.model.values import Clock, Reader
from snnlang.syntax import tree

#: More steps than this is a mistake in a unit.
MOST_STEPS = 10**13


@dataclass
class ExperimentReader:
    """Reads one experiment; ``values`` holds overrides and the chosen points of sweeps."""

    experiment: tree.Experiment
    definition: NetworkDefinition
    collector: Collector
    names: Names
    lost: frozenset[str]
    values: Mapping[str, tree.Expression]
    columns: dict[str, None] = field(default_factory=dict)
    implicit: dict[str, Shape] = field(default_factory=dict)
    scope: Scope | None = None

    def sweep_values(self, sweeps: Mapping[str, tree.Sweep]) -> dict[str, tuple[tree.Expression, ...]]:
        """The values of every sweep whose name is known and not overridden."""
        parameters = [parameter.name for parameter in self.definition.definition.parameters]
        reader = Reader(Names(where="this sweep", parent=self.names, lost=self.lost), self.collector)
        result: dict[str, tuple[tree.Expression, ...]] = {}
        for line in self.experiment.lines:
            if not isinstance(line, tree.Sweep):
                continue
            if sweeps[line.name] is not line:
                self.collector.error(
                    "E613", f"`{line.name}` is swept twice", line.span, "one sweep too many", help="put all values into one list"
                )
                continue
            if line.name not in parameters and line.name not in SETTINGS:
                if line.name not in self.lost:
                    known = [*parameters, "dt", "duration", "seed", "method"]
                    self.collector.error(
                        "E613",
                        f"`{line.name}` is neither a parameter of {self.definition.name} nor a setting",
                        line.span,
                        "cannot be swept",
                        help=help_for(line.name, known) or (f"it can sweep {listing(known)}",),
                    )
                continue
            values = read_sweep(line, reader)
            if values and line.name not in self.values:
                result[line.name] = values
        return result

    # --- all of it ----------------------------------------------------------------------------------------------------

    def read(self, opened: Opened, swept: Mapping[str, tuple[tree.Expression, ...]], network_collector: Collector) -> Experiment | None:
        """The experiment, or None when anything was reported."""
        lines = self.experiment.lines
        training = self.experiment.kind == "train"
        settings = collect(lines, TRAIN_SETTINGS if training else SETTINGS, self.experiment.kind, self.collector, self.lost)
        dt = self.values.get("dt", settings["dt"].value if "dt" in settings else None)
        setting_names = Names(where="this experiment", parent=opened.frame.names, lost=self.lost)
        clock = read_clock(opened, dt, setting_names, self.collector)
        extra = self._overrides(opened)
        assembly = assemble(opened, clock, extra)
        self._merge(network_collector)
        reader = Reader(setting_names, self.collector, clock)
        given: dict[str, Any] = {}
        if training:
            return self._training(opened, assembly.network, settings, reader, clock, given)
        for name in SETTINGS:
            expr = self.values.get(name, settings[name].value if name in settings else None)
            if expr is not None and name != "dt":
                given[name] = read_setting(name, expr, reader, opened)
        for line in lines:
            if isinstance(line, tree.Present):
                self.columns.update(dict.fromkeys(line.columns))
        self._check_bindings(assembly.bindings, opened)
        duration = self._duration(given, settings, clock)
        recorder, plots = self._recording(opened, reader, clock)
        drives, ats, clamps = self._stimuli(opened, reader)
        phases, freeze = PhaseReader(opened, reader, self.lost).read(lines)
        if self.collector.has_errors or assembly.network is None:
            return None
        network = assembly.network
        if self.implicit:
            more = tuple(NetworkInput(name, shape, ONE, span=self.experiment.span) for name, shape in self.implicit.items())
            network = replace(network, inputs=network.inputs + more)
        records = tuple(_with_unit(item, opened) for item in recorder.items)
        kept = {name: given[name] for name in ("precision", "target", "threads", "math") if given.get(name) is not None}
        return Experiment(
            name="",
            network=network,
            dt=clock.dt or 1.0,
            duration=duration or 0.0,
            seed=given.get("seed") or 0,
            method=given.get("method") or {},
            records=records,
            plots=tuple(plots),
            drives=tuple(drives),
            ats=tuple(ats),
            clamps=tuple(clamps),
            phases=tuple(phases),
            freeze=tuple(freeze),
            sweep=tuple(swept.items()),
            record_initial=bool(given.get("record_initial")),
            settings=kept,
            span=self.experiment.span,
        )

    def _training(
        self,
        opened: Opened,
        network: Network | None,
        settings: Mapping[str, tree.Setting],
        reader: Reader,
        clock: Clock,
        given: dict[str, Any],
    ) -> Experiment | None:
        """A ``train`` block as an experiment of one presentation."""
        for name in SETTINGS:
            expr = self.values.get(name, settings[name].value if name in settings else None)
            if expr is not None and name not in ("dt", "duration"):
                given[name] = read_setting(name, expr, reader, opened)
        training = TrainingReader(
            self.experiment,
            settings,
            opened,
            self.names,
            self.definition.scope if self.scope is None else self.scope,
            clock,
            self.collector,
            self.lost,
            self.values,
        ).read(network)
        if training is None or network is None or self.collector.has_errors:
            return None
        kept = {name: given[name] for name in ("precision", "target", "threads", "math") if given.get(name) is not None}
        dt = clock.dt or 1.0
        return Experiment(
            name="",
            network=network,
            dt=dt,
            duration=training.steps * dt,
            seed=given.get("seed") or 0,
            method=given.get("method") or {},
            records=(),
            plots=(),
            drives=(),
            ats=(),
            clamps=(),
            phases=(),
            freeze=(),
            sweep=(),
            settings=kept,
            training=training,
            span=self.experiment.span,
        )

    def _merge(self, network_collector: Collector) -> None:
        """Take over the network's diagnostics unless its mistakes were already reported with its defaults."""
        head = self.definition.definition.span
        reported = any(
            d.is_error and d.span is not None and d.span.source is head.source and head.start <= d.span.start < head.end
            for d in self.collector.diagnostics
        )
        for diagnostic in network_collector.diagnostics:
            inside = (
                diagnostic.span is not None and diagnostic.span.source is head.source and head.start <= diagnostic.span.start < head.end
            )
            if not (reported and inside):
                self.collector.add(diagnostic)

    def _overrides(self, opened: Opened) -> dict[str, dict[str, tree.Expression]]:
        """Arguments from outside by path; reports names that nothing carries (E607)."""
        parameters = [parameter.name for parameter in self.definition.definition.parameters]
        settings = TRAIN_SETTINGS if self.experiment.kind == "train" else SETTINGS
        extra: dict[str, dict[str, tree.Expression]] = {}
        for name, expr in self.values.items():
            path, dot, last = name.rpartition(".")
            if not dot:
                if name not in parameters and name not in settings:
                    choices = [*parameters, *settings, *opened.populations, *opened.connections]
                    if name in opened.populations or name in opened.connections:
                        helps: tuple[str, ...] = (f"name a parameter of it: `--set {name}.PARAMETER=…`",)
                    else:
                        helps = help_for(name, choices) or (
                            (f"{opened.frame.name} has {listing(parameters)}",)
                            if parameters
                            else (f"{opened.frame.name} has no parameters; settings are {listing(settings)}",)
                        )
                    self.collector.error("E607", f"{opened.frame.name} has no parameter `{name}`", expr.span, "nothing to set", help=helps)
                continue
            known = self._settable(opened, path)
            if known is None:
                choices = [*opened.populations, *opened.connections]
                self.collector.error(
                    "E607",
                    f"there is no population or named connection `{path}` in {opened.frame.name}",
                    expr.span,
                    "nothing to set",
                    help=help_for(path, choices) or (f"it has {listing(choices)}",),
                )
            elif last not in known:
                self.collector.error(
                    "E607",
                    f"`{path}` has no parameter `{last}`",
                    expr.span,
                    "nothing to set",
                    help=help_for(last, known) or (f"it has {listing(known)}",),
                )
            else:
                extra.setdefault(path, {})[last] = expr
        return extra

    def _settable(self, opened: Opened, path: str) -> list[str] | None:
        if path in opened.populations:
            model = opened.populations[path].model
            return [] if model is None else [item.name for group in (model.params, model.states) for item in group]
        link = opened.connections.get(path)
        if link is None:
            return None
        synapse = opened.synapse(link)
        inner = [] if synapse is None else [item.name for group in (synapse.params, synapse.states) for item in group]
        return [*inner, "w", "gain", "delay", "dendritic"]

    def _check_bindings(self, bindings: list[tuple[str, Any]], opened: Opened) -> None:
        """Third factors bound to a bare name: a column of the data, which becomes an input of the network."""
        for name, link in bindings:
            synapse = opened.synapse(link)
            if name in self.columns and synapse is not None:
                wide = any(item.adjective == "per_post" for item in synapse.inputs) or bool(synapse.post_events)
                self.implicit[name] = (link.post.draft.shape or (1,)) if wide else (1,)
            elif name not in self.lost:
                known = [*opened.frame.members, *self.columns]
                self.collector.error(
                    "E528",
                    f"`{name}` is no population, input or column of the data",
                    link.via.span,
                    f"uses `{name}`",
                    help=help_for(name, known) or (f"present data with a column of that name: `present … as image, {name} for …`",),
                )

    def _duration(self, given: Mapping[str, Any], settings: Mapping[str, tree.Setting], clock: Clock) -> float | None:
        presents = [line for line in self.experiment.lines if isinstance(line, tree.Present)]
        expr = self.values.get("duration", settings["duration"].value if "duration" in settings else None)
        if expr is None:
            if not presents:
                self.collector.error(
                    "E604",
                    "this experiment has no length",
                    self.experiment.network.span,
                    "how long?",
                    help="write `duration = 1 s`" if clock.has_unit else "write `duration = 100` (steps)",
                )
            return None
        if presents:
            self.collector.error(
                "E623",
                "the trials give the length, and `duration` is set as well",
                expr.span,
                "one length too many",
                labels=(Label(presents[0].span, "trials"),),
                help="remove `duration`",
            )
            return None
        value = given.get("duration")
        if value is None:
            return None
        if value < 0 or not math.isfinite(value):
            self.collector.error(
                "E603", f"the duration must be finite and not negative, and this is {value:g} ms", expr.span, help="write for example `1 s`"
            )
            return None
        dt = clock.dt or 1.0
        steps = value / dt
        if steps > MOST_STEPS:
            self.collector.error(
                "E603", f"{value:g} ms are {steps:.3g} steps of {dt:g} ms: they would never end", expr.span, help="check the units"
            )
            return None
        if abs(steps - round(steps)) > 1e-6 * max(1.0, steps):
            self.collector.warning(
                "W601",
                f"the duration of {value:g} ms is not a multiple of dt = {dt:g} ms",
                expr.span,
                f"becomes {round(steps) * dt:g} ms",
                help="choose a duration that fits",
            )
        return float(value)

    def _recording(self, opened: Opened, reader: Reader, clock: Clock) -> tuple[Recorder, list[PlotItem]]:
        recorder = Recorder(opened, self.collector)
        plotter = Plotter(recorder, reader)
        plots: list[PlotItem] = []
        wrote = False
        for line in self.experiment.lines:
            if isinstance(line, tree.Record):
                wrote = True
                every = None if line.period is None else reader.time(line.period, "the interval of a record")
                dt = clock.dt or 1.0
                if every is not None and line.period is not None and every < dt * (1 - 1e-9):
                    self.collector.error(
                        "E603",
                        f"records every {every:g} ms need steps as short, and dt is {dt:g} ms",
                        line.period.span,
                        "shorter than a step",
                        help="leave `every` out to record each step",
                    )
                    every = None
                recorder.line(line, every)
        for line in self.experiment.lines:
            if isinstance(line, tree.Plot):
                plots.extend(plotter.line(line))
        if not wrote and not plots:
            for path, draft in opened.populations.items():
                if not draft.internal and draft.model is not None and any(event.name == "spike" for event in draft.model.events):
                    recorder.items.append(RecordItem(f"{path}.spikes", "events", path, "spike", None, None, ONE, span=draft.span))
        return recorder, plots

    def _stimuli(self, opened: Opened, reader: Reader) -> tuple[list[DriveItem], list[AtItem], list[ClampItem]]:
        names = Names(where="this stimulus", parent=opened.frame.names, lost=self.lost)
        for name, member in opened.frame.members.items():
            if isinstance(member, InputDraft):
                names.add(Symbol(name, "input", ONE, Variable(member.path, ONE, "network")))
        for name in self.columns:
            if name not in names.symbols:
                names.add(Symbol(name, "column", ONE, Variable(name, ONE, "network")))
        stimuli = StimulusReader(opened, Reader(names, self.collector, reader.clock, reader.counters), self.columns, self.implicit)
        drives: list[DriveItem] = []
        ats: list[AtItem] = []
        clamps: list[ClampItem] = []
        for line in self.experiment.lines:
            match line:
                case tree.Drive():
                    drive = stimuli.drive(line)
                    if drive is not None:
                        drives.append(drive)
                case tree.At():
                    item = stimuli.at(line)
                    if item is not None:
                        ats.append(item)
                case tree.Clamp():
                    clamp = stimuli.clamp(line)
                    if clamp is not None:
                        clamps.append(clamp)
        return drives, ats, clamps


def _with_unit(item: RecordItem, opened: Opened) -> RecordItem:
    """A plain connection's weight has the unit that was given to it."""
    unit = opened.weight_units.get(item.path) if item.kind == "synapse" and item.variable == "w" else None
    return item if unit is None else replace(item, unit=unit)
