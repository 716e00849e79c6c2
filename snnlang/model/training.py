"""``train`` blocks, as far as they can be checked before there is training: settings, data, and the names in their expressions."""

from __future__ import annotations

from collections.abc import Iterator

from snnlang.diagnostics import Collector
from snnlang.model.assemble import Opened
from snnlang.model.phases import read_loader
from snnlang.model.recording import find_target, variables
from snnlang.model.settings import TRAIN_SETTINGS
from snnlang.model.suggest import help_for, listing
from snnlang.model.symbols import Names
from snnlang.model.values import Reader
from snnlang.syntax import tree

#: What an expression of ``train`` may call, by setting.
CALLS: dict[str, tuple[str, ...]] = {
    "gradient": ("surrogate", "timing", "likelihood"),
    "optimizer": ("adam", "adamw", "sgd", "rmsprop", "adamax"),
}
_NAMED = ("steps", "batch", "epochs")


def check_training(experiment: tree.Experiment, opened: Opened, names: Names, collector: Collector, lost: frozenset[str]) -> None:
    """Report missing settings, unknown optimizers and gradients, and variables of populations that are not there."""
    settings = {line.name: line for line in experiment.lines if isinstance(line, tree.Setting)}
    for name, needed in TRAIN_SETTINGS.items():
        if needed and name not in settings and name not in lost:
            collector.error("E624", f"`train` needs `{name}`", experiment.network.span, f"`{name}` is missing", help=f"write `{name} = …`")
    reader = Reader(Names(where="this training", parent=names, lost=lost), collector)
    for name, line in settings.items():
        if name in _NAMED:
            reader.whole(line.value, f"the setting `{name}`", 1)
        elif name == "data":
            read_loader(line.value, reader, lost)
        elif name in CALLS:
            function = line.value.function if isinstance(line.value, tree.Call) else line.value
            word = function.id if isinstance(function, tree.Name) else function.span.text
            if word not in CALLS[name]:
                collector.error(
                    "E624",
                    f"there is no {name} `{word}`",
                    function.span,
                    "not known",
                    help=help_for(word, CALLS[name]) or (f"choose {listing(CALLS[name])}",),
                )
        elif name == "loss":
            for part in _members(line.value):
                _check_member(part, opened, collector)


def _members(expr: tree.Expression) -> Iterator[tree.Attribute]:
    match expr:
        case tree.Attribute():
            yield expr
        case tree.Call():
            for argument in expr.arguments:
                if isinstance(argument, tree.Argument):
                    yield from _members(argument.value)
        case tree.Unary():
            yield from _members(expr.operand)
        case tree.Binary() | tree.Crosses():
            yield from _members(expr.left)
            yield from _members(expr.right)
        case tree.Comparison():
            for operand in expr.operands:
                yield from _members(operand)
        case tree.Conditional():
            for part in (expr.value, expr.condition, expr.otherwise):
                yield from _members(part)
        case tree.Index():
            yield from _members(expr.value)


def _check_member(part: tree.Attribute, opened: Opened, collector: Collector) -> None:
    target = find_target(part, opened, collector)
    if target is None or target.model is None or target.name is None:
        return
    known = [*(event.name for event in target.model.events), "spikes", *dict(variables(target.model))]
    if target.name not in known:
        collector.error(
            "E608",
            f"{target.model.name} has no variable or event `{target.name}`",
            target.name_span,
            "not there",
            help=help_for(target.name, known) or (f"it has {listing(known, 12)}",),
        )
