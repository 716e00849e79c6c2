"""The door of this room: an experiment of a checked program becomes flat populations, projections and lines with numbers.

``elaborate`` raises every mistake at once; ``check_networks`` and ``check_experiments`` do the same work for ``snn check``
and only collect.
A network is checked once with its defaults; an experiment whose network has mistakes of its own does not repeat them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from snnlang.diagnostics import Collector, Span
from snnlang.model import batch_norm
from snnlang.model.assemble import Opened, assemble, counts_steps, has_time_scale, open_network, unused, warn_unused
from snnlang.model.delays import rounded_delays
from snnlang.model.experiment import ExperimentReader
from snnlang.model.flatten import Flattener
from snnlang.model.model import NetworkDefinition, Program, experiment_name
from snnlang.model.network import Experiment
from snnlang.model.settings import SETTINGS
from snnlang.model.suggest import help_for, listing
from snnlang.model.symbols import file_names
from snnlang.model.values import Clock
from snnlang.model.weights import Weights, with_weights
from snnlang.syntax import tree
from snnlang.syntax.parse import parse_expression

Given = tree.Expression | str | float | int


@dataclass(frozen=True)
class Overrides:
    """What the command line or Python says instead of the text. Numbers of dt and duration are ms. ``weights`` are trained numbers."""

    dt: Given | None = None
    duration: Given | None = None
    seed: int | None = None
    method: str | None = None
    precision: str | None = None
    target: str | None = None
    threads: int | None = None
    math: str | None = None
    values: Mapping[str, Given] = field(default_factory=dict)
    weights: Weights | None = None


def parse_value(text: str, name: str = "<value>") -> tree.Expression:
    """An expression of the language; raises SnnError with carets in ``text`` (the source is called ``name``)."""
    return parse_expression(text, name)


def _expression(value: Given, name: str, unit: str = "") -> tree.Expression:
    if isinstance(value, str):
        return parse_value(value, f"--{name}" if name in SETTINGS else f"--set {name}")
    if isinstance(value, bool):
        return parse_value("true" if value else "false", name)
    if isinstance(value, int | float):
        return parse_value(f"{value!r}{unit}", name)
    return value


def settings_and_values(overrides: Overrides) -> dict[str, tree.Expression]:
    """All overrides by name, as expressions; options stand above ``values``."""
    result = {
        name: _expression(value, name, " ms" if name in ("dt", "duration") else "")
        for name, value in overrides.values.items()
    }
    for name in ("dt", "duration", "seed", "method", "precision", "target", "threads", "math"):
        value = getattr(overrides, name)
        if value is not None:
            result[name] = _expression(value, name, " ms" if name in ("dt", "duration") else "")
    return result


def elaborate(program: Program, experiment: str | None = None, overrides: Overrides | None = None) -> Experiment:
    """The experiment of that name (None: the only or first one), with overrides; raises SnnError with every mistake found."""
    collector = Collector()
    values = settings_and_values(overrides or Overrides())
    chosen = choose(program, experiment, collector)
    result = None if chosen is None else _experiment(program, chosen, values, collector)
    collector.raise_errors()
    if result is None:  # cannot be: a missing network has its report
        raise AssertionError("an experiment was lost without a diagnostic")
    if overrides is not None and overrides.weights is not None and result.training is None:
        result = with_weights(result, overrides.weights)
    if result.training is None:  # what only training interpolates is a plain delay
        collector.diagnostics.extend(rounded_delays(result.network.projections, result.dt))
        plain = tuple(replace(p, delay_range=None) for p in result.network.projections)
        result = replace(result, network=replace(result.network, projections=plain))
    return replace(result, warnings=(*collector.sorted(), *batch_norm.unused(result)))


def choose(program: Program, name: str | None, collector: Collector) -> tree.Experiment | None:
    """An experiment by name; reports what there is instead (E601)."""
    names = program.experiment_names()
    if name is None:
        if program.experiments:
            return next((e for e in program.experiments if e.kind == "simulate"), program.experiments[0])
        collector.error(
            "E601",
            "this file has no experiment to run",
            None,
            help="add one: `simulate NETWORK:` with `duration = 1 s`",
        )
        return None
    for found, experiment in zip(names, program.experiments, strict=True):
        if found == name:
            return experiment
    collector.error(
        "E601",
        f"there is no experiment `{name}`",
        None,
        help=help_for(name, names)
        or ((f"this file has {listing(names)}",) if names else ("add one: `simulate NETWORK:`",)),
    )
    return None


def kind_of(program: Program, name: str | None) -> str:
    """``simulate`` or ``train``: what the experiment of that name (None: the one that would be chosen) is; "" where there is none."""
    chosen = choose(program, name, Collector())
    return "" if chosen is None else chosen.kind


def check_networks(program: Program, collector: Collector) -> None:
    """Every network of the file once, with its defaults.

    One whose parameters have none is checked where it is used, and so is one that an experiment uses as it stands.
    """
    used = {
        experiment.network.id
        for experiment in program.experiments
        if isinstance(experiment.network, tree.Name)
        and not any(isinstance(line, tree.Sweep) for line in experiment.lines)
    }
    own = {item.name for item in program.file.items if isinstance(item, tree.Network)}
    for name, definition in program.scope.networks.items():
        if name in own and name not in used and all(p.default is not None for p in definition.definition.parameters):
            simulated = any(_network_name(experiment) == name for experiment in program.experiments)
            check_network(definition, collector, frozenset(program.file.lost), lint=not simulated)


def _network_name(experiment: tree.Experiment) -> str:
    call = experiment.network
    function = call.function if isinstance(call, tree.Call) else call
    return function.id if isinstance(function, tree.Name) else ""


def check_network(
    definition: NetworkDefinition, collector: Collector, lost: frozenset[str] = frozenset(), *, lint: bool = True
) -> None:
    """One network with its defaults; inputs without a size stay open. ``lint``: also report what is never used."""
    own = Collector()
    opened = open_network(
        definition, (), file_names(definition.scope), _head(definition), {}, own, lost, open_inputs=True
    )
    assemble(opened, Clock(None, counts_steps(opened), has_time_scale(opened) or counts_steps(opened)), {})
    if lint and not own.has_errors:
        warn_unused(definition, unused(opened), own)
    for diagnostic in own.diagnostics:
        collector.add(diagnostic)


def _head(definition: NetworkDefinition) -> Span:
    return definition.definition.name_span or definition.definition.span


def check_experiments(program: Program, collector: Collector) -> None:
    """Every ``simulate`` and ``train`` of the file."""
    for definition in program.scope.networks.values():
        experiments = [e for e in program.experiments if _network_name(e) == definition.definition.name]
        unread: list[tuple[NetworkDefinition, list[str]]] = []
        for experiment in experiments:
            made = _experiment(program, experiment, {}, collector, unread)
            if made is not None and made.training is not None:
                _check_backward_passes(made, collector)
        if unread and len(unread) == len(experiments):  # one that reads a parameter is enough; all could be read
            names = [name for name in unread[0][1] if all(name in others for _, others in unread)]
            warn_unused(definition, names, collector)
    for experiment in program.experiments:
        if _network_name(experiment) not in program.scope.networks:
            _experiment(program, experiment, {}, collector)


def _check_backward_passes(experiment: Experiment, collector: Collector) -> None:
    """What the neurons of a training that write their own backward pass must give, once for every training of a file."""
    from snnlang.model.adjoint_use import missing_gradients

    for found in missing_gradients(experiment):
        if found not in collector.diagnostics:
            collector.add(found)


def _experiment(
    program: Program,
    experiment: tree.Experiment,
    values: Mapping[str, tree.Expression],
    collector: Collector,
    unread: list[tuple[NetworkDefinition, list[str]]] | None = None,
) -> Experiment | None:
    """One experiment read; ``unread`` takes the parameters of its network that neither network nor experiment reads."""
    lost = frozenset(program.file.lost)
    names = file_names(program.scope)
    call = experiment.network
    function = call.function if isinstance(call, tree.Call) else call
    arguments = call.arguments if isinstance(call, tree.Call) else ()
    word = _network_name(experiment)
    definition = program.scope.networks.get(word)
    if definition is None:
        Flattener(collector, lost).unknown_network(word or function.span.text, function.span, program.scope)
        return None
    parameters = [parameter.name for parameter in definition.definition.parameters]
    sweeps = {line.name: line for line in experiment.lines if isinstance(line, tree.Sweep)}
    reader = ExperimentReader(experiment, definition, collector, names, lost, values, scope=program.scope)
    swept = reader.sweep_values(sweeps)
    for name, choices in swept.items():
        if name not in values and choices:
            values = {**values, name: choices[0]}
    reader.values = values
    network_collector = Collector()
    opened = open_network(
        definition,
        arguments,
        names,
        call.span,
        {n: v for n, v in values.items() if n in parameters},
        network_collector,
        lost,
    )
    result = reader.read(opened, swept, network_collector)
    if result is not None and unread is not None:
        unread.append((definition, unused(opened)))
    return None if result is None else replace(result, name=experiment_name(experiment))


def points(experiment: Experiment) -> list[dict[str, tree.Expression]]:
    """The values of every point of a sweep, the last sweep fastest; one empty point without any."""
    names = [name for name, _ in experiment.sweep]
    return [
        dict(zip(names, choice, strict=True))
        for choice in itertools.product(*(values for _, values in experiment.sweep))
    ]


__all__ = [
    "Opened",
    "Overrides",
    "check_experiments",
    "check_network",
    "check_networks",
    "choose",
    "elaborate",
    "parse_value",
    "points",
]
