"""From a link as written to a projection: pattern, synapse, weight, gain and delays, all evaluated and checked.

Refused are patterns that do not fit the two shapes, unknown options, weights of the wrong unit or shape, negative delays, a
``settle`` where nothing settles, and ties between weights that do not match.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snnlang.diagnostics import Collector, Label
from snnlang.model.bind import bind_plain, bind_synapse
from snnlang.model.delays import read_delay, trained_delay
from snnlang.model.evaluate import evaluate, fold
from snnlang.model.expression import Constant, Expr, Position, Random, Unary, Variable, walk
from snnlang.model.frame import Finder, InputDraft, Link, Part, PopulationDraft
from snnlang.model.model import Synapse
from snnlang.model.network import ArrayValue, Endpoint, Pattern, Projection, Value
from snnlang.model.pattern_options import PatternRead, pair_names
from snnlang.model.patterns import Misfit, fans, padding_before, require_fit, show, weight_shape
from snnlang.model.populations import check_bounds, read_arguments, require_given
from snnlang.model.ports import bind_factors, post_port, pre_port
from snnlang.model.suggest import help_for, listing
from snnlang.model.symbols import Names, Symbol
from snnlang.model.units import ONE, Unit
from snnlang.model.values import Clock, Reader, _load_of
from snnlang.syntax import tree

OPTIONS = ("w", "gain", "delay", "dendritic", "settle", "bias")
_PAIR = frozenset({"random", "position", "index"})


@dataclass(frozen=True)
class Tie:
    """``w = transpose(readout.w)`` as written: resolved when all projections are known."""

    target: str
    weight: str
    transposed: bool
    expr: tree.Expression


@dataclass(frozen=True)
class Joined:
    """A projection and what must still be compared with others."""

    projection: Projection
    link: Link
    tie: Tie | None
    weight_unit: Unit | None


@dataclass
class Joiner:
    """Makes projections of links whose shapes are known."""

    collector: Collector
    clock: Clock
    finder: Finder

    def join(self, link: Link, read: PatternRead, path: str, extra: Mapping[str, tree.Expression]) -> Joined | None:
        """The projection of a link, or None when something about it was reported or is not known.

        Shapes may be unknown: everything that does not need them is checked.
        """
        reader = Reader(link.frame.names, self.collector, self.clock)
        pre, post = self.finder.part(link.pre, reader), self.finder.part(link.post, reader)
        synapse, via_arguments, known_synapse = self._synapse(link)
        leaves = pre_port(link.pre, synapse, self.collector)
        enters = post_port(link.post, synapse, self.collector)
        pattern = None if pre is None or post is None or read.failed else self._pattern(link, read, pre, post)
        options = self._options(link, read, extra)
        names = self._names(link, read, pre, post, pattern)
        numbers = Reader(names, self.collector, self.clock)
        gain, gain_unit = self._gain(options, numbers)
        trained = trained_delay(options.get("delay"), numbers)
        delay = read_delay(options, "delay", "the delay", numbers) if trained is None else trained[0]
        dendritic = read_delay(options, "dendritic", "the dendritic delay", numbers)
        if "delay" in read.columns:
            if delay is not None:
                self._twice("delay", options["delay"])
            delay = read.columns["delay"]
            if float(np.min(delay.array, initial=0.0)) < 0:
                self.collector.error(
                    "E525", "a delay in the file is negative", read.span, help="give delays of 0 ms or more"
                )
        settle = self._settle(options.get("settle"), delay, numbers)
        if not known_synapse:
            return None
        arguments: dict[str, Value] = {}
        bindings: dict[str, str] = {}
        weight_expr, tie = options.get("w"), None
        if synapse is not None:
            arguments, weight_expr, tie = self._via(link, synapse, via_arguments, options, extra, numbers)
            if post is not None:
                bindings = bind_factors(synapse, via_arguments, link, post, self.finder)
            weight: Value | None = arguments.get(synapse.weights[0].name) if synapse.weights else None
            weight_unit: Unit | None = synapse.weights[0].unit if synapse.weights else ONE
        else:
            tie = None if weight_expr is None else self._tie(weight_expr, link)
            weight, weight_unit = (
                (None, ONE) if weight_expr is None or tie else self._plain_weight(weight_expr, numbers)
            )
            if "w" in read.columns:
                if weight_expr is not None:
                    self._twice("w", weight_expr)
                weight, weight_unit = read.columns["w"], read.columns["w"].unit
            elif (
                weight_expr is None
                and link.in_chain
                and read.kind in ("dense", "conv2d", "local2d")
                and pattern is not None
            ):
                weight = _learnable(names)
        if synapse is not None and "w" in read.columns and synapse.weights:
            first = synapse.weights[0]
            column = read.columns["w"]
            if column.unit != first.unit:
                self.collector.error(
                    "E531",
                    f"the weights in the file have the unit {column.unit}, and `{first.name}` of {synapse.name} has {first.unit}",
                    read.span,
                    help=f"write the header `w [{first.unit}]`",
                )
            weight = arguments[first.name] = column
        if pattern is not None and pre is not None and post is not None:
            for name, value in [("w", weight), *((k, v) for k, v in arguments.items() if v is not weight)]:
                fitted = self._fit_array(name, value, pattern, pre, post)
                if fitted is not value and fitted is not None:
                    if value is weight:
                        weight = fitted
                    if name in arguments or (synapse is not None and synapse.weights and name == "w"):
                        arguments[synapse.weights[0].name if name == "w" and synapse is not None else name] = fitted
            delay = self._fit_delay(delay, pattern, pre, post) if "delay" not in read.columns else delay
            self._pair_variables((weight, delay, dendritic, *arguments.values()), pattern, link)
        if leaves is None or enters is None:
            return None
        bound = self._bind(link, synapse, leaves, enters, weight_unit, gain_unit)
        if pattern is None or pre is None or post is None:
            return None
        projection = Projection(
            path,
            Endpoint(link.pre.draft.path, leaves, pre.shape, pre.indices),
            Endpoint(link.post.draft.path, enters, post.shape, post.indices),
            pattern,
            bound,
            arguments,
            bindings,
            weight,
            gain,
            delay,
            dendritic,
            settle,
            None,
            self._bias(read, options, reader, post.indices is not None),
            dropout=link.dropout,
            batch_norm=link.batch_norm,
            delay_range=None if trained is None else trained[1],
            span=link.span,
        )
        return Joined(projection, link, tie, weight_unit)

    # --- pieces -------------------------------------------------------------------------------------------------------

    def _synapse(self, link: Link) -> tuple[Synapse | None, tuple[tree.Argument, ...], bool]:
        """The synapse of ``via`` with its arguments; the last says whether all is known."""
        if link.via is None:
            return None, (), True
        function = link.via.function if isinstance(link.via, tree.Call) else link.via
        arguments = (
            tuple(a for a in link.via.arguments if isinstance(a, tree.Argument))
            if isinstance(link.via, tree.Call)
            else ()
        )
        name = function.id if isinstance(function, tree.Name) else link.via.span.text
        scope = link.frame.scope
        synapse = scope.synapses.get(name)
        if synapse is None and not link.frame.names.is_lost(name):
            if name in scope.neurons:
                self.collector.error(
                    "E522",
                    f"`{name}` is a neuron, not a synapse",
                    function.span,
                    "not a synapse",
                    help="a synapse is declared with `synapse NAME:`",
                )
            else:
                self.collector.error(
                    "E522",
                    f"unknown synapse `{name}`",
                    function.span,
                    "not declared or imported",
                    help=help_for(name, scope.synapses) or (f"import it: `from stdlib.synapses import {name}`",),
                )
        return synapse, arguments, synapse is not None

    def _options(
        self, link: Link, read: PatternRead, extra: Mapping[str, tree.Expression]
    ) -> dict[str, tree.Expression]:
        options: dict[str, tree.Expression] = {}
        for argument in link.options:
            name = argument.name
            if name is None:
                name = argument.value.id if isinstance(argument.value, tree.Name) else ""
            if name not in OPTIONS or (argument.name is None and name != "settle"):
                inside = name in ("autapses", "multapses", "stride", "padding", "kernel")
                self.collector.error(
                    "E523",
                    f"a connection has no option `{name or argument.span.text}`",
                    argument.span,
                    "not known",
                    help=f"write it inside the pattern: `{read.kind}(…, {argument.span.text})`"
                    if inside
                    else help_for(name, OPTIONS) or (f"it takes {listing(OPTIONS)}",),
                )
            elif name in options:
                self._twice(name, argument.value)
            else:
                options[name] = argument.value
        if read.weight is not None:
            if "w" in options:
                self._twice("w", options["w"])
            options["w"] = read.weight
        options.update({name: value for name, value in extra.items() if name in OPTIONS})
        return options

    def _twice(self, name: str, expr: tree.Expression) -> None:
        self.collector.error("E524", f"`{name}` is given twice", expr.span, "again here", help="keep one of them")

    def _pattern(self, link: Link, read: PatternRead, pre: Part, post: Part) -> Pattern | None:
        labels = tuple(
            Label(place.draft.span, f"`{place.draft.path}` is {show(place.draft.shape)}")
            for place in (link.pre, link.post)
            if place.draft.shape is not None
        )
        if link.pre.draft is link.post.draft:
            labels = labels[:1]
        try:
            require_fit(read.kind, pre.shape, post.shape, read.options, (link.pre.span.text, link.post.span.text))
        except Misfit as misfit:
            self.collector.error(
                misfit.code, misfit.message, link.pattern.span, "does not fit", labels=labels, help=misfit.help
            )
            return None
        options: dict[str, Any] = {name: value for name, value in read.options.items() if name not in ("size", "along")}
        if options.get("padding") == "same":
            options["padding"] = padding_before(options)
        if read.kind == "edges":
            for side, part in (("pre", pre), ("post", post)):
                column = options[side]
                if column.size and int(column.max()) >= part.size:
                    line = int(np.argmax(column >= part.size)) + 2
                    name = getattr(link, side).span.text
                    self.collector.error(
                        "E541",
                        f"line {line} of the file names the {side} neuron {int(column.max())}, and `{name}` has {part.size}",
                        link.pattern.span,
                        "does not fit",
                        help="indices count from 0 within the part connected",
                    )
                    return None
        return Pattern(read.kind, options, read.condition, span=link.pattern.span)

    def _names(
        self, link: Link, read: PatternRead, pre: Part | None, post: Part | None, pattern: Pattern | None
    ) -> Names:
        names = pair_names(link, "this connection")
        spread = None
        if pattern is not None and pre is not None and post is not None:
            spread = fans(read.kind, pre.shape, post.shape, pattern.options)
        elif read.kind != "where":
            names.add(Symbol("fan_in", "constant", ONE))
            names.add(Symbol("fan_out", "constant", ONE))
        if spread is not None:
            names.add(Symbol("fan_in", "constant", ONE, Constant(float(spread[0]))))
            names.add(Symbol("fan_out", "constant", ONE, Constant(float(spread[1]))))
        return names

    def _gain(self, options: Mapping[str, tree.Expression], reader: Reader) -> tuple[Expr | None, Unit | None]:
        expr = options.get("gain")
        if expr is None:
            return None, None
        typed = reader.resolver().number(expr)
        if typed.kind == "unknown" or typed.unit is None:
            self._infinite(typed.free, "the gain", expr)
            return None, None
        value = reader.constant(typed.expr, expr.span, "the gain")
        return (None, typed.unit) if value is None else (Constant(value, typed.unit, span=expr.span), typed.unit)

    def _infinite(self, infinite: bool, what: str, expr: tree.Expression) -> None:
        if infinite:
            self.collector.error("E509", f"{what} must be finite", expr.span, "is infinite", help="give a number")

    def _settle(self, expr: tree.Expression | None, delay: Value | None, reader: Reader) -> int | None:
        if expr is None:
            return None
        greatest: int | None = 64
        inner: tree.Expression | None = None
        if isinstance(expr, tree.Call):
            arguments = [a for a in expr.arguments if isinstance(a, tree.Argument)]
            for argument in arguments:
                if argument.name not in (None, "max") or len(arguments) > 1:
                    self.collector.error(
                        "E523",
                        f"settle does not take `{argument.span.text}`",
                        argument.span,
                        "not known",
                        help="write `settle(max = 64)`",
                    )
                    return None
                inner = argument.value
        elif not isinstance(expr, tree.Name):
            inner = expr
        if inner is not None:
            greatest = reader.whole(inner, "the greatest number of iterations", 1)
        if delay is not None and (isinstance(delay, ArrayValue) or evaluate(delay) != 0):
            self.collector.error(
                "E527",
                "a projection with a delay does not settle within a step",
                expr.span,
                "settle here",
                help="remove `delay` or `settle`",
            )
            return None
        return greatest

    def _bias(self, read: PatternRead, options: Mapping[str, tree.Expression], reader: Reader, part: bool) -> bool:
        bias = read.bias or ("bias" in options and bool(reader.truth(options["bias"], "the option `bias`")))
        if bias and part and read.kind == "conv2d":
            self.collector.error(
                "E767",
                "a bias of each channel of a part of a population",
                read.span,
                "a convolution adds its bias to whole populations",
                help="connect the whole population, or give the part a population of its own",
            )
        return bias

    def _tie(self, expr: tree.Expression, link: Link) -> Tie | None:
        transposed = (
            isinstance(expr, tree.Call) and isinstance(expr.function, tree.Name) and expr.function.id == "transpose"
        )
        inner: tree.Expression = expr
        if transposed:
            assert isinstance(expr, tree.Call)
            first = expr.arguments[0] if len(expr.arguments) == 1 else None
            if not isinstance(first, tree.Argument):
                self.collector.error(
                    "E540", "transpose takes one weight", expr.span, help="write `transpose(readout.w)`"
                )
                return Tie("", "", True, expr)
            inner = first.value
        if (
            isinstance(inner, tree.Attribute)
            and isinstance(inner.value, tree.Name)
            and (transposed or inner.value.id in link.frame.connections)
        ):
            return Tie(link.frame.prefix + inner.value.id, inner.name, transposed, expr)
        if transposed:
            self.collector.error(
                "E540",
                "transpose takes the weight of a named connection",
                expr.span,
                help="write `transpose(readout.w)`",
            )
            return Tie("", "", True, expr)
        return None

    def _plain_weight(self, expr: tree.Expression, reader: Reader) -> tuple[Value | None, Unit | None]:
        if isinstance(expr, tree.ListLiteral):
            unit = _list_unit(expr, reader)
            array = None if unit is None else reader.array(expr, unit, "the weights")
            return array, None if array is None else unit
        load = _load_of(expr)
        if load is not None:
            typed = None if load[1] is None else reader.typed(load[1])
            unit = ONE if typed is None else typed.unit
            return (None, None) if unit is None else (reader.value(expr, unit, "the weights", _PAIR), unit)
        typed = reader.resolver(_PAIR).number(expr)
        if typed.kind == "unknown" or typed.unit is None:
            self._infinite(typed.free, "the weight", expr)
            return None, None
        return fold(typed.expr), typed.unit

    def _via(
        self,
        link: Link,
        synapse: Synapse,
        written: tuple[tree.Argument, ...],
        options: dict[str, tree.Expression],
        extra: Mapping[str, tree.Expression],
        reader: Reader,
    ) -> tuple[dict[str, Value], tree.Expression | None, Tie | None]:
        others = [item.name for item in synapse.inputs] + list(synapse.post_events)
        more = {name: value for name, value in extra.items() if name not in OPTIONS}
        assert link.via is not None
        given = read_arguments(synapse, written, more, self.collector, link.frame.names, others)
        first = synapse.weights[0] if synapse.weights else None
        if "w" in options:
            if first is None:
                self.collector.error(
                    "E524",
                    f"{synapse.name} has no weight, and `w` is given",
                    options["w"].span,
                    "nothing takes it",
                    help=f"declare `weight w = …` in {synapse.name}, or remove `w`",
                )
            elif first.name in given and "w" not in extra:
                self._twice(first.name, options["w"])
            else:
                given[first.name] = options["w"]
        require_given(synapse, given, link.via.span, self.collector, "this connection")
        names = reader.names
        tie: Tie | None = None
        arguments: dict[str, Value] = {}
        for name, expr in given.items():
            if first is not None and name == first.name:
                tie = self._tie(expr, link)
                if tie is not None:
                    continue
            inner = Names(where=f"the arguments of {synapse.name}", parent=names, lost=names.lost)
            for param in synapse.params:
                if param.name != name and not names.peek(param.name):
                    inner.add(Symbol(param.name, "param", param.unit, place=param.span))
            symbol = next(item for group in (synapse.params, synapse.states) for item in group if item.name == name)
            value = Reader(inner, self.collector, self.clock, reader.counters).value(
                expr,
                symbol.unit,
                f"the {'weight' if first is not None and name == first.name else 'argument'} `{name}` of {synapse.name}",
                _PAIR,
            )
            if value is not None:
                arguments[name] = value
        check_bounds(synapse, arguments, given, self.collector)
        return arguments, given.get(first.name) if first is not None else None, tie

    def _bind(
        self,
        link: Link,
        synapse: Synapse | None,
        leaves: str,
        enters: str,
        weight: Unit | None,
        gain: Unit | None,
    ) -> Synapse | None:
        post = link.post.draft
        assert isinstance(post, PopulationDraft)
        pre = link.pre.draft.model if isinstance(link.pre.draft, PopulationDraft) else None
        assert post.model is not None
        output = (
            ONE
            if isinstance(link.pre.draft, InputDraft)
            else pre.output_unit or ONE
            if leaves == "output" and pre is not None
            else None
        )
        if synapse is None:
            if weight is not None:
                for diagnostic in bind_plain(
                    pre=pre,
                    post=post.model,
                    port=enters,
                    weight=weight,
                    gain=gain,
                    span=link.span,
                    analogue=output is not None,
                    pre_output=output,
                ):
                    self.collector.add(diagnostic)
            return None
        bound, diagnostics = bind_synapse(
            synapse, pre=pre, post=post.model, port=enters, gain=gain, span=link.span, pre_output=output
        )
        for diagnostic in diagnostics:
            self.collector.add(diagnostic)
        return bound

    def _fit_array(self, name: str, value: Value | None, pattern: Pattern, pre: Part, post: Part) -> Value | None:
        """An array of weights in the shape of its pattern (a single kernel may leave out its channels)."""
        if not isinstance(value, ArrayValue) or pattern.kind == "edges":
            return value
        wanted = weight_shape(pattern.kind, pre.shape, post.shape, pattern.options)
        array = value.array
        if wanted is None:
            self.collector.error(
                "E510",
                f"{pattern.kind} takes no array for `{name}`: its synapses are "
                + (
                    "not weighted one by one"
                    if pattern.kind in ("avg_pool", "max_pool", "flatten")
                    else "drawn at random"
                ),
                value.span,
                "an array",
                help='give one value or a distribution, or list the synapses with `edges("file.csv")`',
            )
            return None
        if array.shape == wanted:
            return value
        squeezed = tuple(n for n in wanted if n != 1)
        if tuple(n for n in array.shape if n != 1) == squeezed and array.size == math.prod(wanted):
            return replace(value, array=array.reshape(wanted))
        if pattern.kind == "dense" and array.shape == (*pre.shape, *post.shape):
            return replace(value, array=array.reshape(wanted))
        self.collector.error(
            "E510",
            f"the array for `{name}` has the shape {show(array.shape)}, and {pattern.kind} from {show(pre.shape)} to "
            f"{show(post.shape)} needs {show(wanted)}",
            value.span,
            f"is {show(array.shape)}",
            help=f"give {show(wanted)} numbers" + (" (pre, post)" if pattern.kind == "dense" else ""),
        )
        return None

    def _fit_delay(self, delay: Value | None, pattern: Pattern, pre: Part, post: Part) -> Value | None:
        """An array of delays holds one for each synapse."""
        if isinstance(delay, ArrayValue) and pattern.kind == "edges" and delay.array.shape != (len(pattern.options["pre"]),):
            self.collector.error(
                "E510",
                f"the array for `delay` has the shape {show(delay.array.shape)}, and the file names {len(pattern.options['pre'])} synapses",
                delay.span,
                f"is {show(delay.array.shape)}",
                help="give one delay for each, or a column `delay [ms]` in the file",
            )
            return None
        if isinstance(delay, ArrayValue) and pattern.kind == "conv2d":
            self.collector.error(
                "E510",
                "conv2d takes no array for `delay`: its synapses share the weights of one kernel",
                delay.span,
                "an array",
                help="give one delay or a distribution; local2d takes one for each synapse",
            )
            return None
        return self._fit_array("delay", delay, pattern, pre, post)

    def _pair_variables(self, values: tuple[Value | None, ...], pattern: Pattern, link: Link) -> None:
        """Coordinates that are used must exist in the whole populations, and a distance needs two shapes of as many axes."""
        pre, post = link.pre.draft.shape, link.post.draft.shape
        if pre is None or post is None:
            return
        exprs = [value for value in values if value is not None and not isinstance(value, ArrayValue)]
        if pattern.condition is not None:
            exprs.append(pattern.condition)
        for expr in exprs:
            for node in walk(expr):
                if isinstance(node, Position) and node.scope in ("pre", "post"):
                    shape = pre if node.scope == "pre" else post
                    if node.axis >= len(shape):
                        name = (link.pre if node.scope == "pre" else link.post).draft.path
                        self.collector.error(
                            "E517",
                            f"`{name}` has the shape {show(shape)}: there is no coordinate {node.axis}",
                            node.span,
                            help=f"its coordinates are 0 to {len(shape) - 1}",
                        )
                elif isinstance(node, Variable) and node.name == "distance" and len(pre) != len(post):
                    self.collector.error(
                        "E517",
                        f"no distance exists between {show(pre)} and {show(post)}",
                        link.pattern.span,
                        "uses `distance`",
                        help="give both populations as many axes",
                    )


def _list_unit(expr: tree.ListLiteral, reader: Reader) -> Unit | None:
    """The unit of the first entry that is not a bare zero."""
    found: Unit | None = None
    for item in expr.items:
        if isinstance(item, tree.ListLiteral):
            unit = _list_unit(item, reader)
        else:
            typed = reader.typed(item)
            if typed.unit is None:
                return None
            unit = typed.unit
        if unit is not None and not unit.is_dimensionless:
            return unit
        found = unit if found is None else found
    return found


def _learnable(names: Names) -> Expr:
    symbol = names.symbols.get("fan_in")
    fan_in = symbol.value.value if symbol is not None and isinstance(symbol.value, Constant) else 1.0
    bound = Constant(1.0 / math.sqrt(max(fan_in, 1.0)))
    return Random("uniform", (fold(Unary("-", bound)), bound))
