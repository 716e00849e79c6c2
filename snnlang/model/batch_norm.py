"""Batch normalisation in chains: what ``batch_norm(…)`` says, where it may stand, and how it becomes weights and biases.

Trained with the statistics of batches, applied with running ones: then it is linear, and weights
``gain*scale*w/sqrt(variance + epsilon)`` with the bias ``shift - gain*scale*mean/sqrt(variance + epsilon)`` do the same on every
target (Ioffe & Szegedy 2015; threshold-dependent: Zheng et al., AAAI 2021). Refused: a stage that is not right behind a weighted
connection (E775), options out of their range (E776).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import Collector, Diagnostic, Label, Span
from snnlang.model.evaluate import fold
from snnlang.model.network import ArrayValue, BatchNorm, Experiment, Projection
from snnlang.model.patterns import channels_first, weight_shape
from snnlang.model.units import ONE
from snnlang.model.values import Reader
from snnlang.syntax import tree

if TYPE_CHECKING:
    from snnlang.model.connect import Joined
    from snnlang.model.frame import PatternCall

Values = NDArray[Any]
#: Connections whose weights a normalisation can be folded into, one factor for each channel or neuron.
NORMALISED = ("dense", "conv1d", "conv2d", "local2d", "one_to_one")
_IMAGES = ("conv2d", "local2d")
#: What is trained of a stage, and what is measured; all of it is kept with the weights.
LEARNT, MEASURED = ("gain", "shift"), ("mean", "variance")
#: The greatest value of each option that is a number (all are greater than 0), and a usual one.
_NUMBERS = {"momentum": (1.0, "0.1"), "epsilon": (np.inf, "1e-5"), "scale": (np.inf, "1")}


def read(given: Mapping[str, tree.Argument], span: Span, reader: Reader) -> BatchNorm:
    """The options of a stage; mistakes are collected (E776)."""
    collector, values = reader.collector, {}
    over = given.get("over")
    if over is not None and over.value.span.text != "time":
        collector.error(
            "E776",
            f"batch_norm cannot gather its statistics over `{over.value.span.text}`",
            over.value.span,
            "not an axis that can be chosen",
            help=(
                "`over = time` gathers them over all steps",
                "samples and places of an image are always part of them: leave `over` out",
            ),
        )
    for name, (greatest, usual) in _NUMBERS.items():
        if name not in given:
            continue
        expr = given[name].value
        typed = reader.typed(expr)
        if typed.kind == "unknown" or typed.unit is None:
            continue
        value = reader.constant(fold(typed.expr), expr.span, f"the option `{name}` of batch_norm")
        if value is None:
            continue
        if not 0 < value <= greatest or not np.isfinite(value):
            bound = f"greater than 0 and at most {greatest:g}" if np.isfinite(greatest) else "a number greater than 0"
            collector.error(
                "E776",
                f"the {name} of batch_norm is {bound}, and this is {value:g}",
                expr.span,
                help=f"give a number such as {usual}",
            )
            continue
        values[name] = value
    return BatchNorm(over is not None, **values, span=span)


class Norms:
    """The batch normalisation of a chain since its last population."""

    def __init__(self) -> None:
        self.stage: BatchNorm | None = None

    def take(
        self, stage: BatchNorm, pending: list[tuple[PatternCall, tuple[tree.Argument, ...]]], collector: Collector
    ) -> bool:
        """Note a stage behind the patterns so far; refuses what it cannot follow (E775), and then says False."""
        span = stage.span
        behind = "put it behind a connection: `-> dense(…) -> batch_norm() -> NAME: NEURON`"
        if self.stage is not None:
            labels = () if self.stage.span is None else (Label(self.stage.span, "the first"),)
            collector.error(
                "E775", "batch_norm twice in a row", span, "again here", labels=labels, help="keep one of them"
            )
        elif not pending:
            collector.error("E775", "batch_norm stands behind no connection", span, "nothing arrives here", help=behind)
        elif pending[-1][0].kind not in NORMALISED:
            kind = pending[-1][0].kind
            collector.error(
                "E775",
                f"batch_norm cannot stand behind {kind}",
                span,
                "cannot be normalised",
                labels=(Label(pending[-1][0].span, "this connection"),),
                help=(behind, "it follows dense, conv1d, conv2d, local2d and one_to_one"),
            )
        else:
            pattern, options = pending[-1]
            biased = [a for a in (*pattern.arguments, *options) if a.name == "bias" and a.value.span.text != "false"]
            if biased:
                collector.error(
                    "E775",
                    "batch_norm behind a connection with a bias",
                    span,
                    "its shift is the bias",
                    labels=(Label(biased[0].span, "the bias"),),
                    help="leave `bias` out",
                )
            else:
                self.stage = stage
                return True
        return False

    def dropped(self, span: Span, collector: Collector) -> None:
        """A dropout behind the stage (E775)."""
        if self.stage is not None and self.stage.span is not None:
            collector.error(
                "E775",
                "dropout behind batch_norm, before the neurons",
                span,
                "would leave out the shift too",
                labels=(Label(self.stage.span, "the batch_norm"),),
                help="put dropout behind the neurons, or before the connection",
            )

    def left(self, collector: Collector, where: str) -> None:
        """A stage that no neurons of its own follow (E775)."""
        if self.stage is not None:
            collector.error(
                "E775",
                f"batch_norm before {where}",
                self.stage.span,
                "cannot stand here",
                help="go on with neurons: `-> batch_norm() -> NAME: NEURON`",
            )
            self.stage = None


def refuse(joined: Iterable[Joined], collector: Collector) -> None:
    """What only finished connections show (E775): a part of a population, a state as its entrance, shared weights."""
    for item in joined:
        norm, post = item.link.batch_norm, item.projection.post
        model = getattr(item.link.post.draft, "model", None)  # an input of a network has none
        if norm is None:
            continue
        if post.indices is not None:
            collector.error(
                "E775",
                f"batch_norm before a part of `{post.path}`",
                norm.span,
                "normalises a whole population",
                help="connect the whole population, or give the part a population of its own",
            )
        elif model is not None and post.port not in [entrance.name for entrance in model.inputs]:
            collector.error(
                "E775",
                f"batch_norm before the state `{post.port}` of {model.name}",
                norm.span,
                "gives a value in every step",
                help=f"declare an input in {model.name} for it: `input x = 0`",
            )
        if item.tie is not None:
            collector.error(
                "E775",
                f"batch_norm behind the weights of `{item.tie.target}`",
                norm.span,
                "shared with another connection",
                help="give this connection weights of its own",
            )


def channels(projection: Projection) -> int:
    """Of how many groups of neurons each has statistics: the channels of an image behind convolutions, else every neuron."""
    if projection.pattern.kind in _IMAGES:
        return channels_first(projection.post.shape)[0]
    return projection.post.size


def names(projection: Projection) -> Iterator[str]:
    """The names of what a connection with batch normalisation keeps beside its weights."""
    if projection.batch_norm is not None:
        yield from (f"{projection.path}.{variable}" for variable in (*LEARNT, *MEASURED))


def folded(projection: Projection, found: Mapping[str, Values], taken: set[str], problems: list[str]) -> Projection:
    """The connection with its normalisation as factors of weights and as a bias. ``projection`` has its trained weights already; gain and
    shift that were frozen are 1 and 0."""
    norm, count = projection.batch_norm, channels(projection)
    assert norm is not None
    values = {}
    for name, variable, usual in zip(names(projection), (*LEARNT, *MEASURED), (1.0, 0.0, None, None), strict=True):
        taken.add(name)
        if name in found and found[name].shape != (count,):
            problems.append(f"`{name}` has {found[name].size} numbers, and the network's {count}")
            return projection
        if name not in found and usual is None:
            problems.append(f"`{name}` is missing, and batch_norm needs it")
            return projection
        values[variable] = found[name] if name in found else np.full(count, usual)
    if np.any(values["variance"] < 0):
        problems.append(f"`{projection.path}.variance` is negative")
        return projection
    shape = weight_shape(
        projection.pattern.kind, projection.pre.shape, projection.post.shape, projection.pattern.options
    )
    if shape is None or not isinstance(projection.weight, ArrayValue):
        problems.append(f"`{projection.path}.w` is missing, and batch_norm becomes a factor of it")
        return projection
    factor = values["gain"] * norm.scale / np.sqrt(values["variance"] + norm.epsilon)
    weights = np.asarray(projection.weight.array, np.float64)
    if projection.pattern.kind == "local2d":
        weights = weights * factor[_channels_of_synapses(projection)]
    elif projection.pattern.kind == "conv2d":
        weights = weights.reshape(shape)
        weights = weights * factor.reshape(-1, *(1,) * (weights.ndim - 1))
    else:
        weights = weights.reshape(shape) * factor
    bias = values["shift"] - factor * values["mean"]
    if projection.pattern.kind == "local2d":  # one for each place
        bias = np.repeat(bias, projection.post.size // count)
    return replace(
        projection,
        weight=ArrayValue(weights.reshape(-1), projection.weight.unit, ordered=True),
        bias=True,
        biases=ArrayValue(bias, ONE, ordered=True),
        batch_norm=None,
    )


def _channels_of_synapses(projection: Projection) -> NDArray[np.int64]:
    """The channel of the post neuron of every synapse of a local connection, in the order of its trained weights: by pre neuron, then
    by post neuron, without those that would look beyond the image."""
    options, (depth, height, width) = projection.pattern.options, channels_first(projection.pre.shape)
    groups, (down, across) = options["groups"], options["kernel"]
    above, left = options["padding"]
    out = channels_first(projection.post.shape)
    channel, row, column, source, r, c = np.indices((*out, depth // groups, down, across)).reshape(6, -1)
    y = row * options["stride"][0] - above + r * options["dilation"][0]
    x = column * options["stride"][1] - left + c * options["dilation"][1]
    source = source + channel // (out[0] // groups) * (depth // groups)
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    pre, post = (source * height + y) * width + x, (channel * out[1] + row) * out[2] + column
    order = np.lexsort((post[inside], pre[inside]))
    return np.asarray(channel[inside][order], np.int64)


def unused(experiment: Experiment) -> tuple[Diagnostic, ...]:
    """W775: stages of a simulation that has no trained numbers, and leaves them out."""
    return tuple(
        Diagnostic(
            "W775",
            f"batch_norm of `{one.path}` does nothing without trained numbers",
            one.batch_norm.span,
            "left out",
            severity="warning",
            help=("train the network, and simulate it with `--weights DIR/best.safetensors`",),
        )
        for one in experiment.network.projections
        if one.batch_norm is not None and experiment.training is None
    )
