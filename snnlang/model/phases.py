"""Trials: ``present digits() as image, label for 350 ms, rest 150 ms, epochs = 3``, in phases, with ``freeze`` between them.

A ``freeze`` before the first ``present`` holds for all; one after a phase holds from the next phase on. Refused are data
nobody knows, options a loader does not take, more columns than there are, and names to freeze that are not there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from snnlang.model.assemble import Opened
from snnlang.model.batch_norm import LEARNT
from snnlang.model.loaders import LOADERS, LoaderOption
from snnlang.model.network import Phase
from snnlang.model.recording import find_target
from snnlang.model.suggest import help_for, listing
from snnlang.model.units import ONE, TIME
from snnlang.model.values import Reader
from snnlang.syntax import tree


@dataclass
class PhaseReader:
    """Reads ``present`` and ``freeze`` lines in order."""

    opened: Opened
    reader: Reader
    lost: frozenset[str]

    def read(self, lines: tuple[tree.ExperimentLine, ...]) -> tuple[list[Phase], list[tuple[str, str]]]:
        """The phases, and what is frozen from the start."""
        phases: list[Phase] = []
        frozen: list[tuple[str, str]] = []
        first: list[tuple[str, str]] = []
        seen = False
        for line in lines:
            if isinstance(line, tree.Freeze):
                for target in line.targets:
                    frozen.extend(item for item in self._frozen(target) if item not in frozen)
                if not seen:
                    first = list(frozen)
            elif isinstance(line, tree.Present):
                seen = True
                phase = self._present(line, tuple(frozen))
                if phase is not None:
                    phases.append(phase)
        return phases, first

    def frozen(self, lines: tuple[tree.ExperimentLine, ...]) -> tuple[tuple[str, str], ...]:
        """Everything that ``freeze`` lines of a ``train`` block name: weights, biases, trainable parameters and initial states."""
        named = [
            item for line in lines if isinstance(line, tree.Freeze) for target in line.targets for item in self._frozen(target, True)
        ]
        return tuple(dict.fromkeys(named))

    def _frozen(self, expr: tree.Expression, training: bool = False) -> list[tuple[str, str]]:
        collector = self.reader.collector
        target = find_target(expr, self.opened, collector)
        if target is None:
            return []
        if target.parts:
            collector.error("E619", "a part cannot be frozen, only all of it", expr.span, help="remove the brackets")
            return []
        if target.kind == "connection" and target.link is not None:
            synapse = self.opened.synapse(target.link)
            if target.link.via is not None and synapse is None:
                return []
            weights = ["w"] if synapse is None else [state.name for state in synapse.weights]
            known = weights if synapse is None else [state.name for state in synapse.states]
            if training:
                known = [*known, "bias", "delay", *(param.name for param in (synapse.params if synapse else ()) if param.trainable)]
        elif target.kind == "population":
            if target.model is None:
                return []
            weights, known = [], [state.name for state in target.model.states]
            if training:
                known += [param.name for param in target.model.params if param.trainable]
                norms = [
                    path
                    for link, path in zip(self.opened.flattener.links, self.opened.paths, strict=True)
                    if link.batch_norm is not None and link.post.draft.path == target.path
                ]
                if norms and target.name in LEARNT and target.name not in known:
                    return [(path, str(target.name)) for path in norms]
                known += LEARNT if norms else ()
        else:
            collector.error(
                "E619", f"`{target.path}` is an input: it has nothing to freeze", expr.span, "not a state", help="freeze states and weights"
            )
            return []
        if target.name is None and weights:
            return [(target.path, name) for name in weights]
        if target.name not in known:
            if target.name is None or target.name not in self.lost:
                message = (
                    f"what of `{target.path}` is frozen?"
                    if target.name is None
                    else f"`{target.path}` has no state or weight `{target.name}`"
                )
                collector.error(
                    "E619",
                    message,
                    target.name_span,
                    "" if target.name is None else "not there",
                    help=help_for(target.name or "", known)
                    or ((f"it has {listing([f'{target.path}.{k}' for k in known])}",) if known else ()),
                )
            return []
        return [(target.path, str(target.name))]

    def _present(self, line: tree.Present, frozen: tuple[tuple[str, str], ...]) -> Phase | None:
        found = read_loader(line.data, self.reader, self.lost)
        loader, options = found if found is not None else ("", {})
        duration = self._length(line.duration, "the length of a trial", False)
        rest = 0.0 if line.rest is None else self._length(line.rest, "the rest after a trial", True)
        epochs = 1 if line.epochs is None else self.reader.whole(line.epochs, "the number of epochs", 1)
        sound = self._columns(line, loader)
        if found is None or duration is None or rest is None or epochs is None or not sound:
            return None
        return Phase(loader, options, line.columns, duration, rest, epochs, frozen, span=line.span)

    def _length(self, expr: tree.Expression, what: str, zero: bool) -> float | None:
        value = self.reader.time(expr, what)
        dt = self.reader.clock.dt or 1.0
        if value is None:
            return None
        if not math.isfinite(value) or value < 0 or (value < dt * 0.5 and not zero):
            self.reader.collector.error(
                "E622",
                f"{what} must be at least one step, and this is {value:g} ms"
                if not zero
                else f"{what} must not be negative, and this is {value:g} ms",
                expr.span,
                help="write for example `100 ms`",
            )
            return None
        if abs(value / dt - round(value / dt)) > 1e-6 * max(1.0, value / dt):
            self.reader.collector.warning(
                "W601",
                f"{what} of {value:g} ms is not a multiple of dt = {dt:g} ms",
                expr.span,
                f"becomes {round(value / dt) * dt:g} ms",
                help="choose a length that fits",
            )
        return value

    def _columns(self, line: tree.Present, loader: str) -> bool:
        collector = self.reader.collector
        span = line.span
        inputs = [name for name, draft in self.opened.inputs.items() if draft.frame is self.opened.frame]
        repeated = next((name for name in line.columns if line.columns.count(name) > 1), None)
        if repeated is not None:
            collector.error("E621", f"two columns are called `{repeated}`", span, help="give each its own name")
            return False
        known = LOADERS[loader].columns if loader in LOADERS else ()
        if known and len(line.columns) > len(known):
            collector.error(
                "E621",
                f"{loader} gives {len(known)} column{'s' if len(known) > 1 else ''} ({', '.join(known)}), not {len(line.columns)}",
                span,
                help=f"write `as {', '.join(known)}`",
            )
            return False
        if inputs and not any(name in inputs for name in line.columns):
            near = help_for(line.columns[0], inputs)
            collector.error(
                "E621",
                f"no column goes into the network: {self.opened.frame.name} has the input{'s' if len(inputs) > 1 else ''} "
                f"{listing(inputs)}",
                span,
                help=near or (f"name a column after an input: `as {inputs[0]}`",),
            )
            return False
        return True


def read_loader(expr: tree.Expression, reader: Reader, lost: frozenset[str]) -> tuple[str, dict[str, Any]] | None:
    """Loader and options of ``digits(split = "train")``; a bare name is data given from Python (``given``)."""
    collector = reader.collector
    function = expr.function if isinstance(expr, tree.Call) else expr
    if not isinstance(function, tree.Name):
        collector.error("E620", "data comes from a loader", expr.span, help=f"loaders are {listing(LOADERS, 12)}")
        return None
    name = function.id
    loader = LOADERS.get(name)
    if not isinstance(expr, tree.Call):
        if loader is not None:
            collector.error("E620", f"the loader {name} needs brackets", expr.span, help=f"write `{name}()`")
            return None
        return "given", {"name": name}
    if loader is None:
        if name not in lost:
            collector.error(
                "E620",
                f"there is no loader `{name}`",
                function.span,
                "not known",
                help=(
                    *(help_for(name, LOADERS) or (f"loaders are {listing(LOADERS, 12)}",)),
                    f"data from Python is named without brackets: `present {name} as …`",
                ),
            )
        return None
    known = {option.name: option for option in loader.options}
    options: dict[str, Any] = {option.name: option.default for option in loader.options}
    given: dict[str, None] = {}
    sound = True
    for position, argument in enumerate(expr.arguments):
        if isinstance(argument, tree.Per):
            continue
        key = argument.name or (list(known)[position] if position < len(known) else "")
        if key not in known or key in given:
            collector.error(
                "E620",
                f"`{key}` is given twice" if key in given else f"{name} has no option `{key or argument.span.text}`",
                argument.span,
                "not known",
                help=help_for(key, known) or (f"it takes {listing(known)}",),
            )
            sound = False
            continue
        given[key] = None
        options[key] = _option(name, known[key], argument.value, reader, lost)
        sound = sound and options[key] is not None
    for option in known.values():
        if option.required and option.name not in given:
            example = f"{name}({option.name} = {_EXAMPLES[option.kind]})"
            collector.error("E620", f"{name} needs `{option.name}`", expr.span, help=f"write `{example}`")
            sound = False
    return (name, options) if sound else None


_EXAMPLES = {"text": '"…"', "whole": "10", "number": "0.5", "time": "300 ms", "loader": "digits()"}


def _option(loader: str, option: LoaderOption, expr: tree.Expression, reader: Reader, lost: frozenset[str]) -> Any:
    what = f"`{option.name}` of {loader}"
    if option.kind == "whole":
        return reader.whole(expr, what, 0 if option.default == 0 else 1)
    if option.kind == "number":
        return reader.number(expr, ONE, what)
    if option.kind == "time":
        return reader.number(expr, TIME, what)
    if option.kind == "loader":
        found = read_loader(expr, reader, lost)
        if found is not None and found[0] == "given":
            reader.collector.error(
                "E620", f"{what} is a loader, not data from Python", expr.span, help="write for example `digits()`"
            )
            return None
        return found
    word = expr.value if isinstance(expr, tree.String) else None
    if word is None or (option.choices and word not in option.choices):
        helps = help_for(word or "", option.choices) or (
            (f"it is {listing(option.choices)}",) if option.choices else ('write a text: `"…"`',)
        )
        reader.collector.error("E620", f"{what} cannot be {expr.span.text}", expr.span, "not known", help=helps)
        return None
    return word
