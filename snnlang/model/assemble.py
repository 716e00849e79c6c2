"""One network put together: opened, shapes found, populations and projections finished, and compared with each other.

Shapes are found by going over the connections until nothing changes: a pattern gives the shape of its target, one_to_one and flatten also
that of their source. Refused are populations whose size nothing determines, ``settle`` outside a loop without delay, and tied weights
that do not match. A network with inputs of no size (a block) is checked as far as that goes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from snnlang.diagnostics import Collector, Label, Span
from snnlang.model import batch_norm
from snnlang.model.connect import Joined, Joiner, Tie
from snnlang.model.evaluate import evaluate
from snnlang.model.flatten import Flattener
from snnlang.model.frame import Frame, InputDraft, Link, PopulationDraft, drafts_of, source_of, unused_name
from snnlang.model.model import NetworkDefinition, Neuron, Synapse
from snnlang.model.network import ArrayValue, Network, NetworkInput, Population, Projection
from snnlang.model.pattern_options import PatternRead, read_pattern
from snnlang.model.patterns import Misfit, Shape, output_shape, show
from snnlang.model.populations import finish_population
from snnlang.model.suggest import help_for, listing
from snnlang.model.symbols import Names
from snnlang.model.units import ONE, Unit
from snnlang.model.values import Clock, Reader
from snnlang.syntax import tree


@dataclass
class Opened:
    """A network whose blocks are open and whose links are collected; shapes may still be missing."""

    definition: NetworkDefinition
    frame: Frame
    flattener: Flattener
    collector: Collector
    span: Span
    open_inputs: bool
    populations: dict[str, PopulationDraft] = field(default_factory=dict)
    inputs: dict[str, InputDraft] = field(default_factory=dict)
    connections: dict[str, Link] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    weight_units: dict[str, Unit] = field(default_factory=dict)

    def synapse(self, link: Link) -> Synapse | None:
        """The synapse that a link names, if it is known."""
        via = link.via
        function = via.function if isinstance(via, tree.Call) else via
        return link.frame.scope.synapses.get(function.id) if isinstance(function, tree.Name) else None

    def neurons(self) -> list[Neuron]:
        """Every model of a population, in order, relays left out."""
        return [draft.model for draft in self.populations.values() if draft.model is not None and not draft.internal]

    def synapses(self) -> list[Synapse]:
        """The synapse of every link that has one."""
        return [synapse for link in self.flattener.links if (synapse := self.synapse(link)) is not None]


def open_network(
    definition: NetworkDefinition,
    arguments: tuple[tree.Argument | tree.Per, ...],
    caller: Names,
    span: Span,
    parameters: Mapping[str, tree.Expression],
    collector: Collector,
    lost: frozenset[str] = frozenset(),
    open_inputs: bool = False,
) -> Opened:
    """Flatten a network with its arguments; names every projection."""
    flattener = Flattener(collector, lost)
    frame = flattener.network(definition, arguments, caller, span, parameters)
    opened = Opened(definition, frame, flattener, collector, span, open_inputs)
    for draft in drafts_of(frame):
        if isinstance(draft, PopulationDraft):
            opened.populations[draft.path] = draft
        elif draft.frame is frame:
            opened.inputs[draft.path] = draft
        elif draft.bound is None:
            draft.failed = True
            if not collector.has_errors:
                collector.error(
                    "E536",
                    f"nothing feeds the block input `{draft.path}`",
                    draft.span,
                    "not fed",
                    help=f"connect something to it: `image -> {draft.path} -> …`",
                )
    flattener.links = [replace(link, pre=source_of(link.pre)) for link in flattener.links]
    taken: dict[str, object] = {}
    for link in flattener.links:
        path = unused_name(_path_of(link) if link.name is None else link.frame.prefix + link.name, taken)
        if link.name is not None:
            opened.connections[path] = link
        taken[path] = link
        opened.paths.append(path)
    return opened


def _path_of(link: Link) -> str:
    sends = "" if link.pre.port in (None, "spike", "output") else f".{link.pre.port}"
    enters = link.post.port
    if enters is None and isinstance(link.post.draft, PopulationDraft) and link.post.draft.model is not None:
        model = link.post.draft.model
        known = [item.name for item in model.inputs] + [state.name for state in model.states if state.port]
        enters = known[0] if len(known) == 1 else None
    return f"{link.pre.draft.path}{sends}->{link.post.draft.path}" + (f".{enters}" if enters else "")


def has_time_scale(opened: Opened) -> bool:
    """Whether anything in the network is measured in ms: an equation in time, a rate, a parameter with a unit of time."""
    models: list[Neuron | Synapse] = [*opened.neurons(), *opened.synapses()]
    for model in models:
        symbols = [item for group in (model.params, model.states, model.inputs, model.definitions) for item in group]
        if model.differentials or any(symbol.unit is not None and symbol.unit.exponents[2] for symbol in symbols):
            return True
        if isinstance(model, Neuron) and any(event.kind == "rate" for event in model.events):
            return True
    return False


def counts_steps(opened: Opened) -> bool:
    """Whether plain numbers may count steps: no differential equation in it, and difference equations or nothing measured in ms."""
    models = opened.neurons()
    timed: list[Neuron | Synapse] = [*models, *opened.synapses()]
    if any(model.differentials for model in timed):
        return False
    return any(model.differences for model in models) or (bool(models) and not has_time_scale(opened))


@dataclass
class Assembly:
    """What became of an opened network."""

    network: Network | None
    bindings: list[tuple[str, Link]]


def assemble(opened: Opened, clock: Clock, extra: Mapping[str, Mapping[str, tree.Expression]]) -> Assembly:
    """Find shapes and finish everything; ``extra`` maps a population's or connection's path to arguments from outside.

    The network is None when a mistake was reported, or when its inputs have no size.
    """
    collector = opened.collector
    before = sum(d.is_error for d in collector.diagnostics)
    reads = [read_pattern(link, collector, clock) for link in opened.flattener.links]
    joiner = Joiner(collector, clock, opened.flattener.finder)
    _infer_shapes(opened, reads)
    sized = _report_unsized(opened, before)
    populations: list[Population] = []
    for path, draft in opened.populations.items():
        finished = finish_population(draft, opened.inputs, extra.get(path, {}), collector, clock)
        if finished is not None:
            populations.append(finished)
    joined: list[Joined] = []
    for link, read, path in zip(opened.flattener.links, reads, opened.paths, strict=True):
        found = joiner.join(link, read, path, extra.get(path, {}))
        if found is not None:
            joined.append(found)
            if found.weight_unit is not None:
                opened.weight_units[path] = found.weight_unit
    projections = _tie(joined, opened)
    _check_settle(projections, collector)
    batch_norm.refuse(joined, collector)
    inputs = [NetworkInput(path, draft.shape, ONE, span=draft.span) for path, draft in opened.inputs.items() if draft.shape is not None]
    bindings = [
        (name, item.link) for item in joined for name in item.projection.bindings.values() if "." not in name and name not in opened.inputs
    ]
    complete = sized and not collector.has_errors and len(inputs) == len(opened.inputs)
    complete = complete and len(populations) == len(opened.populations) and len(projections) == len(opened.flattener.links)
    if not opened.open_inputs and sum(d.is_error for d in collector.diagnostics) == before:
        for path, feed in opened.inputs.items():
            if feed.shape is None and not feed.failed:
                collector.error(
                    "E504", f"the size of the input `{path}` cannot be found", feed.span, "no size", help=f"write it: `input {path}[100]`"
                )
    outputs = tuple(opened.frame.prefix + name for name in opened.frame.outputs)
    network = (
        Network(opened.frame.name, tuple(populations), tuple(inputs), tuple(projections), outputs)
        if complete and not collector.has_errors
        else None
    )
    return Assembly(network, bindings)


def _infer_shapes(opened: Opened, reads: list[PatternRead]) -> None:
    collector = opened.collector
    finder = opened.flattener.finder
    waiting = list(zip(opened.flattener.links, reads, strict=True))
    changed = True
    while changed:
        changed = False
        for link, read in waiting:
            reader = Reader(link.frame.names, Collector())
            pre, post = finder.part(link.pre, reader), finder.part(link.post, reader)
            target, source = link.post.draft, link.pre.draft
            if pre is not None and target.shape is None and not link.post.parts and not read.failed and not target.failed:
                try:
                    shape: Shape | None = output_shape(read.kind, pre.shape, read.options)
                except Misfit as misfit:
                    collector.error(
                        misfit.code,
                        misfit.message,
                        link.pattern.span,
                        "does not fit",
                        labels=(Label(source.span, f"`{source.path}` is {show(pre.shape)}"),),
                        help=misfit.help,
                    )
                    target.failed, shape = True, None
                if shape is not None:
                    target.shape = shape
                    changed = True
            elif post is not None and source.shape is None and not link.pre.parts and read.kind == "one_to_one" and not source.failed:
                source.shape = post.shape
                changed = True


def _report_unsized(opened: Opened, before: int) -> bool:
    """Whether every population has a shape; reports one that has none when nothing else explains it."""
    unsized = [draft for draft in opened.populations.values() if draft.shape is None]
    if not unsized:
        return True
    collector = opened.collector
    open_input = any(draft.shape is None for draft in opened.inputs.values())
    if sum(d.is_error for d in collector.diagnostics) > before or open_input or collector.has_errors:
        return False
    for draft in unsized:
        feeds = [link for link in opened.flattener.links if link.post.draft is draft]
        if not draft.failed and not any(link.pre.draft.shape is None for link in feeds):
            what = "nothing connects to it" if not feeds else "no pattern that connects to it determines it"
            if any(link.in_chain and link.pattern.kind == "dense" for link in feeds):
                help = f"say how many: `dense(10) -> {draft.path}: …`"
            else:
                help = f"write it: `population {draft.path}[100]: …`"
            collector.error("E504", f"the size of `{draft.path}` cannot be found: {what}", draft.span, "no size", help=help)
    return False


def _tie(joined: list[Joined], opened: Opened) -> list[Projection]:
    by_path = {item.projection.path: item for item in joined}
    collector = opened.collector
    result: list[Projection] = []
    for item in joined:
        tie, projection = item.tie, item.projection
        if tie is None or not tie.target:
            result.append(projection)
            continue
        other = by_path.get(tie.target)
        if other is None:
            if tie.target not in opened.connections:
                collector.error(
                    "E540",
                    f"there is no connection named `{tie.target}`",
                    tie.expr.span,
                    "not there",
                    help=help_for(tie.target, opened.connections)
                    or (
                        (f"named connections are {listing(opened.connections)}",)
                        if opened.connections
                        else ("give it a name: `connect readout = A -> B: dense`",)
                    ),
                )
            continue
        problem = _tie_problem(projection, other.projection, tie)
        if problem:
            collector.error(
                "E540",
                problem,
                tie.expr.span,
                "cannot be tied",
                labels=(Label(other.link.span, f"`{tie.target}`"),),
                help="tie connections of one pattern whose sizes match",
            )
        else:
            result.append(replace(projection, tied=(tie.target, tie.transposed)))
    return result


def _tie_problem(projection: Projection, other: Projection, tie: Tie) -> str | None:
    weights = ["w"] if other.synapse is None else [state.name for state in other.synapse.weights]
    if tie.weight not in weights:
        return f"`{tie.target}` has no weight `{tie.weight}`" + (f"; it has {listing(weights)}" if weights else "")
    if other is projection or other.tied is not None:
        return "a connection cannot be tied to itself" if other is projection else f"`{tie.target}` is tied itself"
    kinds = (projection.pattern.kind, other.pattern.kind)
    if kinds[0] != kinds[1] or (tie.transposed and kinds[0] not in ("dense", "one_to_one")):
        return (
            f"only dense weights can be transposed, and `{tie.target}` is {kinds[1]}"
            if tie.transposed and kinds[1] not in ("dense",)
            else f"the pattern {kinds[0]} cannot use the weights of {kinds[1]}"
        )
    if kinds[0] not in ("dense", "one_to_one", "conv2d", "local2d"):
        return f"the synapses of {kinds[0]} are drawn, so its weights cannot be shared"
    here, there = (projection.pre.size, projection.post.size), (other.pre.size, other.post.size)
    if tie.transposed:
        there = (there[1], there[0])
    if here != there:
        return f"this needs {show(here)} weights, and {'the transpose of ' if tie.transposed else ''}`{tie.target}` has {show(there)}"
    return None


def _check_settle(projections: list[Projection], collector: Collector) -> None:
    """``settle`` needs a loop of projections without delay."""
    undelayed = [p for p in projections if p.delay is None or (not isinstance(p.delay, ArrayValue) and evaluate(p.delay) == 0)]
    onward: dict[str, list[str]] = {}
    for projection in undelayed:
        onward.setdefault(projection.pre.path, []).append(projection.post.path)
    for projection in projections:
        if projection.settle is None:
            continue
        seen: dict[str, None] = {}
        waiting = [projection.post.path]
        while waiting:
            path = waiting.pop()
            if path not in seen:
                seen[path] = None
                waiting.extend(onward.get(path, []))
        if projection.pre.path not in seen:
            collector.error(
                "E527",
                f"`settle` has nothing to settle: no way without delay leads from `{projection.post.path}` back to `{projection.pre.path}`",
                projection.span,
                "not on a loop",
                help="remove `settle`",
            )


def unused(opened: Opened) -> list[str]:
    """The parameters that nothing has read so far: ask when all that may read them has been read."""
    used = opened.frame.names.used
    return [parameter.name for parameter in opened.definition.definition.parameters if parameter.name not in used]


def warn_unused(definition: NetworkDefinition, names: Collection[str], collector: Collector) -> None:
    """Report parameters of a network that nothing reads (W502)."""
    for parameter in definition.definition.parameters:
        if parameter.name in names:
            collector.warning(
                "W502",
                f"the parameter `{parameter.name}` of {definition.definition.name} is never used",
                parameter.span,
                "never used",
                help="remove it, or use it",
            )
