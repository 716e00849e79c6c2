"""Reads ``train`` blocks: settings, data, gradient, optimizer and loss, every mistake with its place.

Losses are read here, not by the resolver of models: their names are populations and columns of data, and their functions take away axes.
Functions of the file (``func``) are replaced by their bodies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snnlang.diagnostics import Collector
from snnlang.model import expression as e
from snnlang.model.assemble import Opened
from snnlang.model.evaluate import evaluate
from snnlang.model.learning import (
    AUGMENTATIONS,
    AXES,
    ELEMENTWISE,
    LOSSES,
    OPTIMIZERS,
    REDUCTIONS,
    SCHEDULES,
    Apply,
    Axis,
    Column,
    Given,
    Loss,
    Reading,
    Recipe,
    Source,
    StepNumber,
    Training,
    mixes_samples,
)
from snnlang.model.loaders import LOADERS
from snnlang.model.model import Function, Scope
from snnlang.model.network import Network
from snnlang.model.phases import PhaseReader, read_loader
from snnlang.model.recording import find_target, variables
from snnlang.model.settings import TRAIN_SETTINGS
from snnlang.model.suggest import help_for, listing
from snnlang.model.symbols import Names, Symbol
from snnlang.model.units import ONE
from snnlang.model.values import Clock, Reader
from snnlang.syntax import tree

#: What an expression of ``train`` may call, by setting.
GRADIENTS = ("surrogate",)
#: Gradients of other kinds, with what does the same here.
_OTHERWISE = {
    "likelihood": "write the likelihood as the loss: `-sum(target*log(out.p) + (1 - target)*log(1 - out.p))`, where `p` is a definition "
    "of the neuron and `spike with probability p`",
    "timing": "use `first_spike(…)` or `van_rossum(…)` in the loss with `surrogate(…)`",
}
#: What stands for the distance from the threshold in the surrogate.
MARGIN = "margin"
DEFAULT_BATCH, DEFAULT_EPOCHS = 32, 10
#: Options of recipes that cannot be 0, those that are parts of a whole, those that are less than 1 (what is remembered would grow
#: without end, or not move at all), and those that are counted.
_POSITIVE, _PARTS = ("lr", "epochs", "epsilon", "factor"), ("floor", "flip", "drop")
_BELOW_ONE, _WHOLE = ("beta1", "beta2", "momentum", "alpha"), ("epochs", "patience", "shift", "crop")


def _reads(loss: Loss) -> bool:
    """Whether a gradient comes from what the network does, and not from numbers, data and weights alone."""
    match loss:
        case Apply(function="detach"):
            return False
        case Reading(weights=weights):
            return not weights
        case Apply(operands=operands):
            return any(_reads(operand) for operand in operands)
        case Given() | Column() | StepNumber():
            return False


class TrainingReader:
    """Reads one ``train`` block whose network is open."""

    def __init__(
        self,
        experiment: tree.Experiment,
        settings: Mapping[str, tree.Setting],
        opened: Opened,
        names: Names,
        scope: Scope,
        clock: Clock,
        collector: Collector,
        lost: frozenset[str],
        given: Mapping[str, tree.Expression],
    ) -> None:
        self.experiment = experiment
        self.lines = {name: line.value for name, line in settings.items()} | {
            name: expr for name, expr in given.items() if name in TRAIN_SETTINGS
        }
        self.opened = opened
        self.names = names
        self.scope = scope
        self.clock = clock
        self.collector = collector
        self.lost = lost
        self.reader = Reader(Names(where="this training", parent=names, lost=lost), collector, clock)
        self.columns: tuple[str, ...] = ()

    def read(self, network: Network | None) -> Training | None:
        """The training, or None when anything was reported. Without a network, only what can be found without one."""
        missing = [
            name
            for name, needed in TRAIN_SETTINGS.items()
            if needed and name not in self.lines and name not in self.lost
        ]
        for name in missing:
            self.collector.error(
                "E624",
                f"`train` needs `{name}`",
                self.experiment.network.span,
                f"`{name}` is missing",
                help=f"write `{name} = …`",
            )
        data = self._source("data")
        inputs = self._inputs(data, network)
        validate: float | Source | None = None
        if "validate" in self.lines:
            expr = self.lines["validate"]
            is_loader = isinstance(expr, tree.Call) or (
                isinstance(expr, tree.Name) and self.names.find(expr.id) is None
            )
            validate = self._source("validate") if is_loader else self._part(expr)
        loss = self._loss(self.lines["loss"]) if "loss" in self.lines else None
        if loss is not None and not _reads(loss):
            self.collector.error(
                "E624",
                "the loss reads nothing that the network does: nothing can be learnt from it",
                self.lines["loss"].span,
                help="write for example `cross_entropy(mean(out.v), label)`",
            )
        optimizer = self._recipe("optimizer", OPTIMIZERS)
        schedule = self._recipe("schedule", SCHEDULES)
        augment = self._recipe("augment", AUGMENTATIONS)
        surrogate, through = self._gradient()
        steps = self._steps()
        freeze = PhaseReader(self.opened, self.reader, self.lost).frozen(self.experiment.lines)
        made = dict(
            steps=steps,
            batch=self._whole("batch", DEFAULT_BATCH),
            epochs=self._whole("epochs", DEFAULT_EPOCHS),
            truncate=self._whole("truncate", None),
            checkpoint=self._whole("checkpoint", None),
            micro_batch=self._whole("micro_batch", None),
        )
        if "micro_batch" in self.lines:
            self._apart(loss, network)
        clip = self.reader.number(self.lines["clip"], ONE, "the setting `clip`") if "clip" in self.lines else None
        if clip is not None and not clip > 0:
            self.collector.error(
                "E624",
                f"`clip` is a norm, and this is {clip:g}",
                self.lines["clip"].span,
                help="write for example `clip = 1`",
            )
        test = self._source("test") if "test" in self.lines else None
        if (
            self.collector.has_errors
            or data is None
            or loss is None
            or optimizer is None
            or steps is None
            or network is None
        ):
            return None
        return Training(
            data=data,
            inputs=inputs,
            columns=self.columns,
            loss=loss,
            optimizer=optimizer,
            schedule=schedule,
            surrogate=surrogate,
            through_reset=through,
            validate=validate,
            test=test,
            clip=clip,
            freeze=freeze,
            augment=augment,
            span=self.experiment.span,
            **made,  # type: ignore[arg-type]
        )

    # --- settings -----------------------------------------------------------------------------------------------------

    def _whole(self, name: str, default: int | None) -> int | None:
        if name not in self.lines:
            return default
        return self.reader.whole(self.lines[name], f"the setting `{name}`", 1)

    def _apart(self, loss: Loss | None, network: Network | None) -> None:
        """Samples of a batch can only go in parts where none looks at the others."""
        mixed = None if loss is None else mixes_samples(loss)
        if mixed is not None:
            self.collector.error(
                "E624",
                "the loss takes the samples of a batch together, and `micro_batch` lets some of them go at a time",
                self.lines["micro_batch"].span,
                help="leave `micro_batch` out, or `over = samples` of the loss; `checkpoint` saves memory too",
            )
        normalised = [] if network is None else [p for p in network.projections if p.batch_norm is not None]
        if normalised:
            self.collector.error(
                "E624",
                f"`batch_norm` of `{normalised[0].path}` needs all samples of a batch, and `micro_batch` lets some of them go at a time",
                self.lines["micro_batch"].span,
                help="leave `micro_batch` out; `checkpoint` saves memory too",
            )

    def _part(self, expr: tree.Expression) -> float | None:
        value = self.reader.number(expr, ONE, "the setting `validate`")
        if value is not None and not 0 < value < 1:
            self.collector.error(
                "E624",
                f"`validate` is a part of the data, and this is {value:g}",
                expr.span,
                help="write for example `validate = 0.1`",
            )
            return None
        return value

    def _steps(self) -> int | None:
        if "steps" in self.lines:
            return self._whole("steps", None)
        if "duration" in self.lines:
            value = self.reader.time(self.lines["duration"], "the setting `duration`")
            if value is None:
                return None
            steps = round(value / (self.clock.dt or 1.0))
            if steps < 1:
                self.collector.error(
                    "E624",
                    f"`duration` is shorter than a step of {self.clock.dt:g} ms",
                    self.lines["duration"].span,
                    help="make it longer",
                )
                return None
            return steps
        self.collector.error(
            "E624",
            "`train` needs the length of a presentation",
            self.experiment.network.span,
            "how long is one sample shown?",
            help="write `steps = 5` or `duration = 100 ms`",
        )
        return None

    def _source(self, name: str) -> Source | None:
        expr = self.lines.get(name)
        found = None if expr is None else read_loader(expr, self.reader, self.lost)
        return None if found is None or expr is None else Source(found[0], found[1], expr.span)

    def _inputs(self, data: Source | None, network: Network | None) -> dict[str, str]:
        """Which column feeds which input of the network: of the same name, else in order."""
        if data is None:
            return {}
        loader = LOADERS.get(data.loader)
        wanted = list(self.opened.inputs)
        self.columns = loader.columns if loader is not None and loader.columns else (*wanted, "label")
        free = [name for name in wanted if name not in self.columns]
        rest = [name for name in self.columns if name not in wanted]
        bound = {name: name for name in wanted if name in self.columns}
        bound.update(zip(free, rest))
        if len(bound) < len(wanted):
            lacking = next(name for name in wanted if name not in bound)
            self.collector.error(
                "E624",
                f"nothing of the data feeds the input `{lacking}`",
                data.span,
                f"gives {listing(self.columns)}",
                help="use data with a column for every input of the network",
            )
        if not wanted:
            self.collector.error(
                "E624",
                f"{self.opened.frame.name} has no input that data could feed",
                self.experiment.network.span,
                help="declare one: `input image[28, 28]`",
            )
        return bound

    def _recipe(self, name: str, table: Mapping[str, Mapping[str, float]]) -> Recipe | None:
        expr = self.lines.get(name)
        if expr is None:
            return None
        function = expr.function if isinstance(expr, tree.Call) else expr
        word = function.id if isinstance(function, tree.Name) else function.span.text
        if word not in table:
            self.collector.error(
                "E624",
                f"there is no {name} `{word}`",
                function.span,
                "not known",
                help=help_for(word, table) or (f"choose {listing(table)}",),
            )
            return None
        options: dict[str, Any] = dict(table[word])
        known = list(options)
        arguments = expr.arguments if isinstance(expr, tree.Call) else ()
        for position, argument in enumerate(arguments):
            if isinstance(argument, tree.Per):
                continue
            key = argument.name or (known[position] if position < len(known) else "")
            if key not in options:
                self.collector.error(
                    "E624",
                    f"{word} has no option `{key or argument.span.text}`",
                    argument.span,
                    "not known",
                    help=help_for(key, known) or (f"it takes {listing(known)}",),
                )
                continue
            if isinstance(argument.value, tree.Name) and argument.value.id in ("true", "false"):
                value: float | None = float(argument.value.id == "true")
            else:
                value = self.reader.number(argument.value, ONE, f"`{key}` of {word}")
            if value is None:
                continue
            large = (key in _BELOW_ONE or (word, key) == ("plateau", "factor")) and not value < 1
            broken = key in _WHOLE and value != int(value)
            if value < 0 or large or broken or (key in _POSITIVE and value == 0) or (key in _PARTS and value > 1):
                self.collector.error(
                    "E624",
                    f"`{key}` of {word} cannot be {value:g}",
                    argument.value.span,
                    help=f"the usual one is {table[word][key]:g}",
                )
                continue
            options[key] = value
        if options.get("nesterov") and not options["momentum"]:
            self.collector.error(
                "E624",
                f"`nesterov` of {word} looks ahead along the momentum, and there is none",
                expr.span,
                help="write for example `sgd(lr = 0.1, momentum = 0.9, nesterov = true)`",
            )
        return Recipe(word, options, expr.span)

    # --- gradient -----------------------------------------------------------------------------------------------------

    def _gradient(self) -> tuple[e.Expr | None, bool]:
        """The surrogate as an expression of ``margin``, and whether gradients pass resets."""
        expr = self.lines.get("gradient")
        if expr is None:
            return None, True
        function = expr.function if isinstance(expr, tree.Call) else expr
        word = function.id if isinstance(function, tree.Name) else function.span.text
        if word in _OTHERWISE:
            self.collector.error(
                "E624",
                f"there is no gradient `{word}(…)`",
                function.span,
                "not built",
                help=(_OTHERWISE[word], "events take `surrogate(…)`, such as `surrogate(atan(alpha = 2))`"),
            )
            return None, True
        if word not in GRADIENTS:
            self.collector.error(
                "E624",
                f"there is no gradient `{word}`",
                function.span,
                "not known",
                help=help_for(word, GRADIENTS) or (f"choose {listing(GRADIENTS)}",),
            )
            return None, True
        surrogate: e.Expr | None = None
        through = True
        for argument in expr.arguments if isinstance(expr, tree.Call) else ():
            if isinstance(argument, tree.Per):
                continue
            if argument.name == "reset":
                chosen = argument.value.id if isinstance(argument.value, tree.Name) else argument.value.span.text
                if chosen not in ("through", "detach"):
                    self.collector.error(
                        "E624",
                        f"`reset` is `through` or `detach`, not `{chosen}`",
                        argument.value.span,
                        help="write `reset = detach`",
                    )
                through = chosen != "detach"
                continue
            surrogate = self._surrogate(argument.value)
        return surrogate, through

    def _surrogate(self, expr: tree.Expression) -> e.Expr | None:
        """``atan(alpha = 2)``: a function of the file or the library's surrogates, its first argument being the margin."""
        function = expr.function if isinstance(expr, tree.Call) else expr
        arguments = expr.arguments if isinstance(expr, tree.Call) else ()
        if not isinstance(function, tree.Name):
            self.collector.error(
                "E624", "a surrogate is the name of a function", expr.span, help="write `surrogate(atan(alpha = 2))`"
            )
            return None
        known = surrogates(self.scope)
        if function.id not in known:
            self.collector.error(
                "E624",
                f"there is no surrogate `{function.id}`",
                function.span,
                "not known",
                help=help_for(function.id, known) or (f"the library has {listing(known, 20)}",),
            )
            return None
        name = tree.Name(id=MARGIN, span=function.span)
        margin = tree.Argument(name=None, value=name, span=function.span)
        names = Names(where="this surrogate", parent=self.names, lost=self.lost)
        names.functions[function.id] = known[function.id]
        names.add(Symbol(MARGIN, "margin"))
        call = tree.Call(function=function, arguments=(margin, *arguments), span=expr.span)
        return Reader(names, self.collector, self.clock).expect(call, ONE, "a surrogate")

    # --- loss ---------------------------------------------------------------------------------------------------------

    def _loss(self, expr: tree.Expression, bound: Mapping[str, Loss] | None = None) -> Loss | None:
        def down(inner: tree.Expression) -> Loss | None:
            return self._loss(inner, bound)

        match expr:
            case tree.Number() | tree.Quantity():
                value = (
                    self.reader.number(expr, ONE, "a number of a loss")
                    if isinstance(expr, tree.Number)
                    else self._quantity(expr)
                )
                return None if value is None else Given(value)
            case tree.Name(id=name):
                if bound is not None and name in bound:
                    return bound[name]
                if name in self.columns:
                    return Column(name, expr.span)
                if self.names.find(name) is not None:
                    found = self.reader.typed(expr)
                    number = evaluate(found.expr)
                    return None if number is None else Given(float(number))
                if name == "n":
                    return StepNumber(expr.span)
                if name not in self.lost and self.columns:  # without any the data itself was refused
                    known = [*self.columns, *self.opened.populations]
                    self.collector.error(
                        "E624",
                        f"the loss names `{name}`, which is no column of the data",
                        expr.span,
                        "not known",
                        help=help_for(name, known)
                        or (f"the data has {listing(self.columns)}; write `out.v` for a population's variable",),
                    )
                return None
            case tree.Attribute():
                return self._reading(expr)
            case tree.Unary(operator="-", operand=operand):
                inner = down(operand)
                return None if inner is None else Apply("negative", (inner,), (), expr.span)
            case tree.Binary(operator=operator, left=left, right=right) if operator in ("+", "-", "*", "/", "^"):
                first, second = down(left), down(right)
                return None if first is None or second is None else Apply(operator, (first, second), (), expr.span)
            case tree.Comparison(operands=(left, right), operators=(operator,)):
                first, second = down(left), down(right)
                return None if first is None or second is None else Apply(operator, (first, second), (), expr.span)
            case tree.Conditional(value=value, condition=condition, otherwise=otherwise):
                parts = [down(part) for part in (condition, value, otherwise)]
                return (
                    Apply("choose", tuple(p for p in parts if p is not None), (), expr.span)
                    if None not in parts
                    else None
                )
            case tree.Call(function=tree.Name(id=name)):
                return self._call(expr, name, bound)
        self.collector.error(
            "E624",
            f"a loss cannot hold `{expr.span.text}`",
            expr.span,
            help="use populations, columns of the data, numbers and functions",
        )
        return None

    def _quantity(self, expr: tree.Quantity) -> float | None:
        found = self.reader.typed(expr)
        value = evaluate(found.expr)
        return None if value is None else float(value)

    def _call(self, expr: tree.Call, name: str, bound: Mapping[str, Loss] | None) -> Loss | None:
        arguments = [a for a in expr.arguments if isinstance(a, tree.Argument)]
        if name in REDUCTIONS:
            over = REDUCTIONS[name]
            values = []
            for argument in arguments:
                if argument.name == "over":
                    over = self._axes(argument.value)
                else:
                    values.append(self._loss(argument.value, bound))
            if len(values) != 1:
                self.collector.error(
                    "E624", f"{name} takes one value", expr.span, help=f"write `{name}(out.v, over = time)`"
                )
                return None
            return (
                None if values[0] is None else Apply("sum" if name == "count" else name, (values[0],), over, expr.span)
            )
        if name in ELEMENTWISE:
            values = [self._loss(argument.value, bound) for argument in arguments]
            if len(values) != ELEMENTWISE[name]:
                wanted = ELEMENTWISE[name]
                self.collector.error(
                    "E624",
                    f"{name} takes {wanted} value{'' if wanted == 1 else 's'}, not {len(values)}",
                    expr.span,
                    help="count the arguments",
                )
                return None
            return Apply(name, tuple(v for v in values if v is not None), (), expr.span) if None not in values else None
        if name in LOSSES:
            return self._named_loss(expr, name, arguments, bound)
        function = self.scope.functions.get(name)
        if function is not None:
            return self._own(expr, function, arguments, bound)
        known = [*LOSSES, *REDUCTIONS, *ELEMENTWISE, *self.scope.functions]
        self.collector.error(
            "E624",
            f"there is no loss or function `{name}`",
            expr.function.span,
            "not known",
            help=help_for(name, known) or (f"there are {listing([*LOSSES, *REDUCTIONS], 20)}",),
        )
        return None

    def _named_loss(
        self, expr: tree.Call, name: str, arguments: list[tree.Argument], bound: Mapping[str, Loss] | None
    ) -> Loss | None:
        parameters = LOSSES[name]
        given: dict[str, Loss | None] = {}
        for position, argument in enumerate(arguments):
            key = argument.name or (parameters[position][0] if position < len(parameters) else "")
            if key not in dict(parameters) or key in given:
                self.collector.error(
                    "E624",
                    f"{name} has no parameter `{key or argument.span.text}`",
                    argument.span,
                    "not known",
                    help=help_for(key, dict(parameters)) or (f"it takes {listing(dict(parameters))}",),
                )
                return None
            if key == "tau":
                value = self.reader.duration(argument.value, f"`tau` of {name}")
                number = None if value is None else evaluate(value)
                if name == "psc" and number is not None and number < (self.clock.dt or 1.0):
                    self.collector.error(
                        "E624",
                        "`tau` of psc is shorter than a step: the current would overshoot",
                        argument.value.span,
                        help="give a time constant of one step or more, as the neuron has it",
                    )
                    return None
                given[key] = None if number is None else Given(float(number))
            else:
                given[key] = self._loss(argument.value, bound)
        for key, default in parameters:
            if key not in given:
                if default is None:
                    self.collector.error(
                        "E624", f"{name} needs `{key}`", expr.span, help=f"it takes {listing(dict(parameters))}"
                    )
                    return None
                given[key] = Given(default)
        values = [given[key] for key, _ in parameters]
        return Apply(name, tuple(v for v in values if v is not None), (), expr.span) if None not in values else None

    def _own(
        self, expr: tree.Call, function: Function, arguments: list[tree.Argument], bound: Mapping[str, Loss] | None
    ) -> Loss | None:
        """A function of the file: its body with the arguments in place of its parameters."""
        definition = function.definition
        names = tuple(parameter.name for parameter in definition.parameters)
        values: dict[str, Loss] = {}
        for position, argument in enumerate(arguments):
            key = argument.name or (names[position] if position < len(names) else "")
            value = self._loss(argument.value, bound)
            if value is None:
                return None
            if key not in names:
                self.collector.error(
                    "E624",
                    f"{definition.name} has no parameter `{key or argument.span.text}`",
                    argument.span,
                    help=f"it takes {listing(names)}",
                )
                return None
            values[key] = value
        for parameter in definition.parameters:
            if parameter.name not in values:
                if parameter.default is None:
                    self.collector.error(
                        "E624",
                        f"{definition.name} needs `{parameter.name}`",
                        expr.span,
                        help=f"it takes {listing(names)}",
                    )
                    return None
                value = self._loss(parameter.default, values)
                if value is None:
                    return None
                values[parameter.name] = value
        return self._loss(definition.value, values)

    def _axes(self, expr: tree.Expression) -> tuple[Axis, ...]:
        items = expr.items if isinstance(expr, tree.ListLiteral) else (expr,)
        found: list[Axis] = []
        for item in items:
            word = item.id if isinstance(item, tree.Name) else item.span.text
            axis = next((axis for axis in AXES if word in (axis, axis.rstrip("s"))), None)
            if axis is None:
                self.collector.error(
                    "E624", f"there is no axis `{word}`", item.span, "not known", help=f"choose {listing(AXES)}"
                )
                continue
            found.append(axis)
        return tuple(found)

    def _reading(self, expr: tree.Attribute) -> Loss | None:
        target = find_target(expr, self.opened, self.collector)
        if target is None:
            return None
        if target.kind == "connection":
            return Reading(target.path, target.name or "w", True, expr.span)
        if target.model is None or target.name is None:
            self.collector.error(
                "E624",
                f"the loss needs a variable of `{expr.span.text}`",
                expr.span,
                help=f"write `{expr.span.text}.spikes`",
            )
            return None
        known = [*(event.name for event in target.model.events), "spikes", *dict(variables(target.model))]
        if target.name not in known:
            self.collector.error(
                "E608",
                f"{target.model.name} has no variable or event `{target.name}`",
                target.name_span,
                "not there",
                help=help_for(target.name, known) or (f"it has {listing(known, 12)}",),
            )
            return None
        return Reading(target.path, "spike" if target.name == "spikes" else target.name, False, expr.span)


def surrogates(scope: Scope) -> dict[str, Function]:
    """Functions that can be surrogates: the library's, and those of the file, which come first."""
    from snnlang.model.check import SURROGATES, Checker
    from snnlang.model.library import Library

    library = Library()
    module = library.shipped(SURROGATES)
    if module is None:
        return dict(scope.functions)
    Checker(library, Collector()).prepare(module)
    return {**module.names.functions, **scope.functions}
