"""From networks as written to one flat list of drafts and links: parameters bound, blocks opened, chains cut into connections.

Two passes over each network: the first declares every name (their order never matters), the second turns ``connect`` lines and
chains into :class:`~snnlang.model.frame.Link`. A block's input stands for whatever feeds it. It refuses networks that contain themselves,
names declared twice, models that are not neurons, and chains in which two patterns or two populations meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from snnlang.diagnostics import Collector, Label, Span
from snnlang.model import batch_norm
from snnlang.model.batch_norm import Norms
from snnlang.model.expression import Constant
from snnlang.model.frame import (
    Finder,
    Frame,
    InputDraft,
    Link,
    PatternCall,
    Place,
    PopulationDraft,
    declare,
    source_of,
    unused_name,
)
from snnlang.model.model import NetworkDefinition, Neuron, Scope
from snnlang.model.patterns import BATCH_STAGES, PASSING, PATTERNS, Shape
from snnlang.model.relay import max_pool_relay, pass_relay
from snnlang.model.suggest import help_for, listing, nearest
from snnlang.model.symbols import Names, Symbol, file_names
from snnlang.model.units import ONE
from snnlang.model.values import Reader
from snnlang.syntax import tree


@dataclass
class Flattener:
    """Collects the links of a network and all its blocks."""

    collector: Collector
    lost: frozenset[str] = frozenset()
    links: list[Link] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.finder = Finder(self.collector)

    # --- a network and its parameters ---------------------------------------------------------------------------------

    def network(
        self,
        definition: NetworkDefinition,
        arguments: tuple[tree.Argument | tree.Per, ...],
        caller: Names,
        span: Span,
        overrides: Mapping[str, tree.Expression],
        prefix: str = "",
        stack: tuple[str, ...] = (),
    ) -> Frame:
        """Open a network with the arguments given at ``span``; ``overrides`` replace arguments (``--set``, sweeps)."""
        names = self._parameters(definition, arguments, caller, span, overrides)
        frame = Frame(definition.name, prefix, names, definition.scope)
        stack = (*stack, definition.name)
        for line in definition.definition.lines:
            self._declare(line, frame, stack)
        for line in definition.definition.lines:
            self._connect(line, frame)
        return frame

    def _parameters(
        self,
        definition: NetworkDefinition,
        arguments: tuple[tree.Argument | tree.Per, ...],
        caller: Names,
        span: Span,
        overrides: Mapping[str, tree.Expression],
    ) -> Names:
        parameters = definition.definition.parameters
        names = Names(where=f"the network {definition.name}", parent=file_names(definition.scope), lost=self.lost)
        outside = Reader(Names(where="this argument", parent=caller), self.collector)
        inside = Reader(names, self.collector)
        given = self._given(definition, arguments)
        for parameter in parameters:
            default = None if parameter.default is None else inside.typed(parameter.default)
            reader, expr = outside, given.get(parameter.name)
            if parameter.name in overrides:
                reader, expr = inside, overrides[parameter.name]
            if expr is None and parameter.default is None:
                self.collector.error(
                    "E534",
                    f"`{definition.name}` needs a value for `{parameter.name}`",
                    span,
                    f"`{parameter.name}` is missing",
                    labels=(Label(parameter.span, "has no default"),),
                    help=f"write `{definition.name}({parameter.name} = …)`",
                )
            if expr is None:
                typed, expr = default, parameter.default
            elif default is not None and default.kind == "number" and default.unit is not None and not default.free:
                typed = reader.resolver().expect(expr, default.unit, f"the parameter `{parameter.name}` of {definition.name}")
            else:
                typed = reader.typed(expr)
            unit, value = None, None
            if typed is not None and expr is not None and typed.kind == "number":
                number = reader.constant(typed.expr, expr.span, f"the parameter `{parameter.name}`")
                unit = typed.unit
                if number is not None and unit is not None:
                    value = Constant(number, unit, span=expr.span)
                elif number is None:
                    unit = None
            names.add(Symbol(parameter.name, "parameter", unit, value, place=parameter.span))
        return names

    def _given(
        self, definition: NetworkDefinition, arguments: tuple[tree.Argument | tree.Per, ...]
    ) -> dict[str, tree.Expression]:
        names = [parameter.name for parameter in definition.definition.parameters]
        given: dict[str, tree.Expression] = {}
        for position, argument in enumerate(arguments):
            if isinstance(argument, tree.Per):
                continue
            name = argument.name
            if name is None:
                if position >= len(names):
                    self.collector.error(
                        "E533",
                        f"`{definition.name}` takes {len(names)} parameters, and this is one more",
                        argument.span,
                        help=f"it has {listing(names)}" if names else "write its name without brackets",
                    )
                    continue
                name = names[position]
            if name not in names:
                self.collector.error(
                    "E533",
                    f"`{definition.name}` has no parameter `{name}`",
                    argument.span,
                    "no such parameter",
                    help=help_for(name, names) or ((f"it has {listing(names)}",) if names else ("it has no parameters",)),
                )
            elif name in given:
                self.collector.error(
                    "E533", f"the parameter `{name}` is given twice", argument.span, "again here", help="remove one of them"
                )
            else:
                given[name] = argument.value
        return given

    # --- first pass: names --------------------------------------------------------------------------------------------

    def _declare(self, line: tree.NetworkLine, frame: Frame, stack: tuple[str, ...]) -> None:
        match line:
            case tree.PopulationLine():
                shape = self._shape(line.shape, line.name, frame)
                self._population(line.name, line.name_span or line.span, line.model, shape, bool(line.shape) and shape is None, frame)
            case tree.InputLine():
                if declare(frame, line.name, line.span, self.collector):
                    shape = self._shape(line.shape, line.name, frame)
                    frame.inputs.append(line.name)
                    frame.members[line.name] = InputDraft(
                        frame.prefix + line.name, shape, frame, line.span, bool(line.shape) and shape is None
                    )
            case tree.OutputLine():
                frame.outputs.append(line.name)
            case tree.BlockLine():
                self._block(line, frame, stack)
            case tree.Connect(name=str() as name):
                if declare(frame, name, line.span, self.collector):
                    frame.connections[name] = line.span
            case tree.Chain():
                for stage in line.stages:
                    if stage.name is not None:
                        self._population(stage.name, stage.span, stage.value, None, False, frame)

    def _shape(self, sizes: tuple[tree.Expression, ...], name: str, frame: Frame) -> Shape | None:
        reader = Reader(frame.names, self.collector)
        found = [reader.whole(item, f"the size of `{name}`", 1) for item in sizes]
        whole = tuple(number for number in found if number is not None)
        return whole if sizes and len(whole) == len(found) else None

    def _population(self, name: str, span: Span, model: tree.Expression, shape: Shape | None, failed: bool, frame: Frame) -> None:
        if not declare(frame, name, span, self.collector):
            return
        neuron, arguments = self._neuron(model, frame)
        frame.members[name] = PopulationDraft(frame.prefix + name, neuron, shape, arguments, frame, span, failed or neuron is None)

    def _neuron(self, model: tree.Expression, frame: Frame) -> tuple[Neuron | None, tuple[tree.Argument, ...]]:
        function, arguments = _called(model)
        if not isinstance(function, tree.Name):
            self.collector.error(
                "E506", "a population needs the name of a neuron", model.span, help="write for example `population E[100]: LIF`"
            )
            return None, ()
        name, scope = function.id, frame.scope
        neuron = scope.neurons.get(name)
        if neuron is None and not frame.names.is_lost(name):
            other = "a synapse" if name in scope.synapses else "a network" if name in scope.networks else None
            if other == "a network":
                helps: tuple[str, ...] = (f"use it as a block: `block NAME: {name}(…)`",)
            elif other is not None:
                helps = ("a synapse stands at a connection: `connect A -> B: dense via " + name + "`",)
            else:
                helps = help_for(name, scope.neurons) or _library_help(name)
            message = f"`{name}` is {other}, not a neuron" if other else f"unknown neuron `{name}`"
            self.collector.error("E506", message, function.span, "not a neuron" if other else "not declared or imported", help=helps)
        return neuron, arguments

    def _block(self, line: tree.BlockLine, frame: Frame, stack: tuple[str, ...]) -> None:
        if not declare(frame, line.name, line.span, self.collector):
            return
        function, arguments = _called(line.network)
        name = function.id if isinstance(function, tree.Name) else ""
        definition = frame.scope.networks.get(name)
        if definition is None:
            self.unknown_network(name, function.span, frame.scope, frame.names)
        elif definition.name in stack:
            path = " → ".join((*stack[stack.index(definition.name) :], definition.name))
            self.collector.error(
                "E532",
                f"the network {definition.name} contains itself: {path}",
                line.span,
                "would never end",
                help="a block must be a different network",
            )
        else:
            frame.members[line.name] = self.network(
                definition, arguments, frame.names, line.network.span, {}, f"{frame.prefix}{line.name}.", stack
            )
            return
        frame.unknown.add(line.name)

    def unknown_network(self, name: str, span: Span, scope: Scope, names: Names | None = None) -> None:
        """Report a network that this file does not have (E535)."""
        if name in self.lost or (names is not None and names.is_lost(name)):
            return
        what = "a neuron" if name in scope.neurons else "a synapse" if name in scope.synapses else None
        message = f"`{name}` is {what}, not a network" if what else f"there is no network `{name}`"
        self.collector.error(
            "E535",
            message,
            span,
            "not a network",
            help=help_for(name, scope.networks)
            or ((f"there is {listing(scope.networks)}",) if scope.networks else ("declare one: `network NAME:`",)),
        )

    # --- second pass: links -------------------------------------------------------------------------------------------

    def _connect(self, line: tree.NetworkLine, frame: Frame) -> None:
        match line:
            case tree.Connect():
                pre = self._source(self.finder.place(line.pre, frame), line.pre.span)
                pattern = self._pattern(line.pattern, frame)
                several = len(line.targets) > 1
                for target in line.targets:
                    found = self.finder.place(target, frame)
                    post = self._target(found, target.span, frame)
                    if pre is None or post is None or pattern is None:
                        continue
                    plain = pattern.kind == "one_to_one" and not pattern.arguments and not line.options and line.via is None
                    if isinstance(post.draft, InputDraft):
                        self._bind(pre, post, pattern, line.options, line.span, frame, plain)
                        continue
                    name = line.name
                    if name is not None and several:
                        twice = sum(_base_name(t) == _base_name(target) for t in line.targets) > 1
                        name = f"{name}.{post.draft.path[len(frame.prefix) :]}" + (f".{post.port}" if twice and post.port else "")
                    self.links.append(Link(frame, name, pre, post, pattern, line.via, line.options, line.span))
            case tree.Chain():
                self._chain(line, frame)
            case tree.OutputLine():
                member = frame.members.get(line.name)
                if member is None:
                    self.finder.unknown(line.name, line.span, frame)

    def _source(self, found: Place | Frame | None, span: Span) -> Place | None:
        if not isinstance(found, Frame):
            return found
        if len(found.outputs) != 1:
            what = "no output" if not found.outputs else f"several outputs: {listing(found.outputs)}"
            self.collector.error(
                "E536",
                f"the block `{found.prefix[:-1]}` has {what}",
                span,
                "which one?",
                help=f"name a population of it: `{found.prefix}NAME`, or declare `output NAME` in {found.name}",
            )
            return None
        inner = found.members.get(found.outputs[0])
        if inner is None:
            return None  # reported in the block
        if isinstance(inner, Frame):
            return self._source(inner, span)
        return Place(inner, (), None, None, span, found)

    def _target(self, found: Place | Frame | None, span: Span, frame: Frame) -> Place | None:
        if isinstance(found, Frame):
            if len(found.inputs) != 1:
                what = "no input" if not found.inputs else f"several inputs: {listing(found.inputs)}"
                self.collector.error(
                    "E536",
                    f"the block `{found.prefix[:-1]}` has {what}",
                    span,
                    "which one?",
                    help=f"name one: `{found.prefix}NAME`" if found.inputs else f"declare `input NAME` in {found.name}",
                )
                return None
            inner = found.members[found.inputs[0]]
            assert isinstance(inner, InputDraft)
            return Place(inner, (), None, None, span, found)
        if found is not None and isinstance(found.draft, InputDraft) and found.draft.frame is frame:
            self.collector.error(
                "E521",
                f"`{found.draft.path}` is an input of the network: it only sends",
                span,
                "cannot receive",
                labels=(Label(found.draft.span, "declared here"),),
                help="values for it come from `present`, `drive` or Python",
            )
            return None
        return found

    def _bind(
        self,
        pre: Place,
        post: Place,
        pattern: PatternCall | None,
        options: tuple[tree.Argument, ...],
        span: Span,
        frame: Frame,
        plain: bool,
    ) -> None:
        """Feed a block's input: directly, or through a relay when a pattern stands between."""
        draft = post.draft
        assert isinstance(draft, InputDraft)
        if draft.bound is not None:
            self.collector.error(
                "E536",
                f"the block input `{draft.path}` is fed twice",
                span,
                "again here",
                labels=(Label(draft.bound.span, "first here"),),
                help="add the two in a population before the block",
            )
            return
        if plain or pattern is None:
            if source_of(pre).draft is draft:
                self.collector.error(
                    "E532", f"the block input `{draft.path}` would feed itself", span, help="feed it from outside the block"
                )
                return
            draft.bound = replace(pre, span=span)
            return
        relay = PopulationDraft(draft.path, pass_relay(), draft.shape, (), frame, span, draft.failed, internal=True)
        frame.members[f"{draft.path[len(frame.prefix) :]} (relay)"] = relay
        self.links.append(Link(frame, None, pre, Place(relay, (), None, None, span, frame), pattern, None, options, span))
        draft.bound = Place(relay, (), None, None, span, frame)

    def _pattern(self, expr: tree.Expression, frame: Frame) -> PatternCall | None:
        function, arguments = _called(expr)
        if isinstance(function, tree.Name) and function.id in PATTERNS:
            return PatternCall(function.id, arguments, expr.span)
        name = function.id if isinstance(function, tree.Name) else expr.span.text
        if not frame.names.is_lost(name):
            self.collector.error(
                "E511",
                f"unknown pattern `{name}`",
                function.span,
                "not a pattern",
                help=help_for(name, PATTERNS) or (f"patterns are {listing(PATTERNS, 20)}",),
            )
        return None

    # --- chains -------------------------------------------------------------------------------------------------------

    def _chain(self, line: tree.Chain, frame: Frame) -> None:
        current: Place | None = None
        pending: list[tuple[PatternCall, tuple[tree.Argument, ...]]] = []
        lost = False  # a stage before this one was not understood
        drops, norms = _Drops(), Norms()
        for number, stage in enumerate(line.stages):
            function, arguments = _called(stage.value)
            word = function.id if isinstance(function, tree.Name) else ""
            if stage.name is None and word not in frame.members and word in BATCH_STAGES:
                given = self._batch_stage(stage, word, arguments)
                if word == "batch_norm":
                    read = batch_norm.read(given, stage.span, Reader(frame.names, self.collector))
                    lost = not norms.take(read, pending, self.collector) or lost
                    continue
                norms.dropped(stage.span, self.collector)
                value = self._probability(given["p"], frame) if "p" in given else None
                if value is not None:
                    self._drop(drops, value, stage.span, current is None, pending)
                continue
            if stage.name is None and word not in frame.members and word in PATTERNS:
                if number == 0:
                    self.collector.error(
                        "E530",
                        "a chain begins with what sends, not with a pattern",
                        stage.span,
                        "begins here",
                        help="put an input or a population first: `image -> dense(10) -> …`",
                    )
                    lost = True
                if norms.stage is not None and not lost:
                    norms.left(self.collector, word)
                    lost = True
                elif pending and pending[-1][0].kind not in PASSING and not lost:
                    before = pending[-1][0]
                    self.collector.error(
                        "E530",
                        f"between {before.kind} and {word} a population is missing",
                        stage.span,
                        "two patterns in a row",
                        labels=(Label(before.span, "the first"),),
                        help=f"put neurons between them: `{before.kind}(…) -> NAME: NEURON -> {word}(…)`",
                    )
                    lost = True
                pending.append((PatternCall(word, arguments, stage.value.span), stage.options))
                continue
            found = self._chain_node(stage, word, frame)
            if found is None or lost or (number > 0 and current is None):
                current, pending, lost = (self._source(found, stage.span) if found is not None else None, [], found is None)
                drops, norms = _Drops(), Norms()
                continue
            if current is not None:
                self._chain_link(current, found, pending, stage, frame, drops, norms)
            current, pending, drops, norms = self._source(found, stage.span), [], _Drops(), Norms()
            lost = current is None
        if norms.stage is not None and not lost and (current is None or pending):
            norms.left(self.collector, "the end of a chain")
        elif pending and not lost:
            self.collector.error(
                "E530",
                f"the chain ends in the pattern {pending[-1][0].kind}",
                pending[-1][0].span,
                "leads nowhere",
                help="end with neurons: `-> NAME: NEURON`",
            )
        elif drops.span is not None and not lost and not pending:
            self.collector.error(
                "E760",
                "nothing receives what this dropout lets through",
                drops.span,
                "the chain ends here",
                help="go on with a pattern and neurons: `-> dropout(p = 0.2) -> dense -> NAME: NEURON`",
            )

    def _drop(
        self, drops: _Drops, p: float, span: Span, first: bool, pending: list[tuple[PatternCall, tuple[tree.Argument, ...]]]
    ) -> None:
        """Notes a dropout: of what the next pattern sends, or, right behind a connection, of what arrives."""
        drops.span = span
        if first:
            self.collector.error("E760", "a chain begins with what sends, not with dropout", span, help="put an input or neurons first")
        elif not pending or pending[-1][0].kind in PASSING:
            drops.sent[len(pending)] = _either(drops.sent.get(len(pending), 0.0), p)
        else:
            pattern, options = pending[-1]
            biased = [a for a in (*pattern.arguments, *options) if a.name == "bias" and a.value.span.text != "false"]
            if biased:
                self.collector.error(
                    "E760",
                    "dropout behind a connection with a bias",
                    span,
                    "would leave out synapses, and not the bias",
                    labels=(Label(biased[0].span, "the bias"),),
                    help="put it before the connection, or behind the neurons: `-> dropout(p = 0.2) -> dense(bias = true) -> …`",
                )
            drops.arrived = _either(drops.arrived, p)

    def _chain_node(self, stage: tree.Stage, word: str, frame: Frame) -> Place | Frame | None:
        if stage.name is not None:
            member = frame.members.get(stage.name)
            return None if member is None or isinstance(member, Frame) else Place(member, (), None, None, stage.span, frame)
        if isinstance(stage.value, tree.Call):
            near = nearest(word, [*PATTERNS, *BATCH_STAGES])
            if word in frame.scope.neurons:
                helps: tuple[str, ...] = (f"give the population a name: `NAME: {stage.value.span.text}`",)
            else:
                helps = (f"did you mean `{near}`?",) if near else (f"patterns are {listing(PATTERNS, 20)}",)
            self.collector.error(
                "E511", f"unknown stage `{word or stage.value.span.text}`", stage.value.function.span, "not a pattern", help=helps
            )
            return None
        if word and word in frame.scope.neurons and word not in frame.members:
            self.collector.error(
                "E505", f"`{word}` is a neuron; a population of it needs a name", stage.span, "no name", help=f"write `NAME: {word}`"
            )
            return None
        return self.finder.place(stage.value, frame, PATTERNS)

    def _chain_link(
        self,
        pre: Place,
        found: Place | Frame,
        pending: list[tuple[PatternCall, tuple[tree.Argument, ...]]],
        stage: tree.Stage,
        frame: Frame,
        drops: _Drops,
        norms: Norms,
    ) -> None:
        post = self._target(found, stage.span, frame)
        if post is None:
            return
        if drops.span is not None and isinstance(post.draft, InputDraft):
            self.collector.error(
                "E760", "dropout before the input of a block", drops.span, "cannot stand here", help="put it into the block"
            )
            return
        if isinstance(post.draft, InputDraft):
            norms.left(self.collector, "the input of a block")
        carried = 0.0
        for position, (pattern, _options) in enumerate(pending[:-1]):
            carried = _either(carried, drops.sent.get(position, 0.0))
            if pattern.kind == "flatten":
                pre = self._relay(pre, pattern, frame)
            else:
                pre, carried = self._relay(pre, pattern, frame, carried), 0.0
        carried = _either(carried, drops.sent.get(len(pending) - 1, 0.0))
        options = stage.options
        if not pending:
            if isinstance(post.draft, InputDraft):
                self._bind(pre, post, None, (), stage.span, frame, True)
                return
            self.collector.error(
                "E530",
                f"no pattern stands between `{pre.draft.path}` and `{post.draft.path}`",
                stage.span,
                "how is it connected?",
                labels=(Label(pre.span, "from here"),),
                help="put a pattern between them: `-> dense -> …`, `-> one_to_one -> …`",
            )
            return
        pattern, pattern_options = pending[-1]
        options = (*pattern_options, *options)
        if isinstance(post.draft, InputDraft):
            self._bind(pre, post, pattern, options, stage.span, frame, False)
            return
        span = pattern.span.to(stage.span)
        dropout = (carried, drops.arrived)
        self.links.append(
            Link(frame, None, pre, post, pattern, None, options, span, in_chain=True, dropout=dropout, batch_norm=norms.stage)
        )

    def _relay(self, pre: Place, pattern: PatternCall, frame: Frame, dropout: float = 0.0) -> Place:
        """The source after a pool or flatten: a new internal population, or the same neurons in one row."""
        if pattern.kind == "flatten":
            return replace(pre, flat=True)
        source = source_of(pre)
        sends_spikes = (
            isinstance(source.draft, PopulationDraft)
            and source.draft.model is not None
            and (source.port is not None or source.draft.model.output is None)
        )
        neuron = max_pool_relay() if pattern.kind == "max_pool" and sends_spikes else pass_relay()
        local = unused_name(f"{pre.draft.path[len(frame.prefix) :]}.{pattern.kind}", dict.fromkeys(frame.members))
        relay = PopulationDraft(frame.prefix + local, neuron, None, (), frame, pattern.span, internal=True)
        frame.members[local] = relay
        place = Place(relay, (), None, None, pattern.span, frame)
        self.links.append(Link(frame, None, pre, place, pattern, None, (), pattern.span, dropout=(dropout, 0.0)))
        return place

    def _batch_stage(
        self, stage: tree.Stage, word: str, arguments: tuple[tree.Argument, ...]
    ) -> dict[str, tree.Argument]:
        """The options of a stage of training by name; those that are not known or missing are reported."""
        known = {option.name: option for option in BATCH_STAGES[word]}
        order = list(known)
        given: dict[str, tree.Argument] = {}
        for position, argument in enumerate((*arguments, *stage.options)):
            name = argument.name or (order[position] if position < len(order) else "")
            if name not in known:
                self.collector.error(
                    "E512",
                    f"{word} has no option `{name or argument.span.text}`",
                    argument.span,
                    "not known",
                    help=help_for(name, known) or (f"it takes {listing(known)}",),
                )
                continue
            given[name] = argument
        for option in known.values():
            if option.required and option.name not in given:
                self.collector.error("E512", f"{word} needs `{option.name}`", stage.span, help=f"write `{word}({option.name} = …)`")
        return given

    def _probability(self, argument: tree.Argument, frame: Frame) -> float | None:
        """With which probability a dropout leaves something out; None where that was not understood."""
        value = Reader(frame.names, self.collector).number(argument.value, ONE, "the option `p` of dropout")
        if value is not None and not 0 <= value < 1:
            self.collector.error(
                "E513",
                f"the probability of dropout lies between 0 and 1, and this is {value:g}",
                argument.value.span,
                help="give a number such as 0.5",
            )
            return None
        return value


@dataclass
class _Drops:
    """The dropouts of a chain since its last population: by the number of the pattern whose input they thin out, and of what arrives."""

    sent: dict[int, float] = field(default_factory=dict)
    arrived: float = 0.0
    span: Span | None = None


def _either(one: float, other: float) -> float:
    """The probability that one of two dropouts leaves something out."""
    return one + other - one * other if one and other else one or other


def _called(expr: tree.Expression) -> tuple[tree.Expression, tuple[tree.Argument, ...]]:
    """Function and arguments of a call, or an expression without arguments."""
    if isinstance(expr, tree.Call):
        return expr.function, tuple(a for a in expr.arguments if isinstance(a, tree.Argument))
    return expr, ()


def _base_name(expr: tree.Expression) -> str:
    match expr:
        case tree.Attribute(value=tree.Name(id=name)) | tree.Name(id=name):
            return name
        case tree.Attribute(value=value) | tree.Index(value=value):
            return _base_name(value)
        case _:
            return ""


def _library_help(name: str) -> tuple[str, ...]:
    return (f"declare it: `neuron {name}:`, or import it: `from stdlib.neurons import {name}`",)
