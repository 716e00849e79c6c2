"""Patterns: what each may be told, which shape it gives to its target, and whether two shapes fit it.

A table, :data:`PATTERNS`, says what can be written between the brackets; :func:`output_shape` is the arithmetic of shapes, kept free
of syntax so that tests can compare it with numbers made by hand. Images are (channels, rows, columns); (rows, columns) is one channel.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from snnlang.frozen import dataclass
from snnlang.model.network import PatternKind

Shape = tuple[int, ...]
OptionKind = Literal["whole", "probability", "pair", "padding", "along", "truth", "condition", "file", "value", "axes"]


@dataclass(frozen=True, slots=True)
class Option:
    """One argument of a pattern; ``default`` None without ``required`` means that it may stay away."""

    name: str
    kind: OptionKind
    default: Any = None
    required: bool = False
    least: int = 0


_AUTAPSES = Option("autapses", "truth", True)
_MULTAPSES = Option("multapses", "truth", True)
_WEIGHT = Option("w", "value")
_BIAS = Option("bias", "truth", False)
_WINDOW = (
    Option("kernel", "pair", required=True, least=1),
    Option("stride", "pair", (1, 1), least=1),
    Option("padding", "padding", (0, 0)),
    Option("dilation", "pair", (1, 1), least=1),
)
#: The same along a sequence, which is an image of one row.
_ALONG = (
    Option("kernel", "along", required=True, least=1),
    Option("stride", "along", (1, 1), least=1),
    Option("padding", "along", (0, 0)),
    Option("dilation", "along", (1, 1), least=1),
)
_POOL = (Option("kernel", "pair", required=True, least=1), Option("stride", "pair", least=1), Option("padding", "padding", (0, 0)))

#: Every pattern with its options; those given without a name are taken in this order.
PATTERNS: dict[str, tuple[Option, ...]] = {
    "dense": (Option("size", "whole", least=1), _BIAS, _WEIGHT, _AUTAPSES),
    "one_to_one": (_WEIGHT,),
    "random": (Option("p", "probability", required=True), _AUTAPSES),
    "fixed_indegree": (Option("k", "whole", required=True), _AUTAPSES, _MULTAPSES),
    "fixed_outdegree": (Option("k", "whole", required=True), _AUTAPSES, _MULTAPSES),
    "fixed_total": (Option("n", "whole", required=True), _AUTAPSES, _MULTAPSES),
    "conv2d": (Option("channels", "whole", required=True, least=1), *_WINDOW, Option("groups", "whole", 1, least=1), _BIAS, _WEIGHT),
    "conv1d": (Option("channels", "whole", required=True, least=1), *_ALONG, Option("groups", "whole", 1, least=1), _BIAS, _WEIGHT),
    "local2d": (Option("channels", "whole", required=True, least=1), *_WINDOW, Option("groups", "whole", 1, least=1), _BIAS, _WEIGHT),
    "avg_pool": _POOL,
    "max_pool": _POOL,
    "flatten": (),
    "where": (Option("condition", "condition", required=True), _AUTAPSES),
    "edges": (Option("file", "file", required=True),),
}

#: Patterns that only rearrange or gather: in a chain they may stand before another pattern, without a population between.
PASSING: tuple[PatternKind, ...] = ("avg_pool", "max_pool", "flatten")
#: Stages of a chain that only training runs, with their options.
BATCH_STAGES: dict[str, tuple[Option, ...]] = {
    "batch_norm": (Option("over", "axes"), Option("momentum", "value"), Option("epsilon", "value"), Option("scale", "value")),
    "dropout": (Option("p", "probability", required=True),),
}


class Misfit(Exception):
    """Two shapes, or a shape and a pattern, that do not fit: a code, what was found, and what to do."""

    def __init__(self, code: str, message: str, *help: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.help = help


def show(shape: Shape) -> str:
    """A shape as it is written: ``[28, 28]``."""
    return "[" + ", ".join(str(n) for n in shape) + "]"


def size(shape: Shape) -> int:
    """The number of neurons of a shape."""
    return math.prod(shape)


def channels_first(shape: Shape) -> tuple[int, int, int]:
    """(channels, rows, columns) of an image; raises Misfit E516 for anything else."""
    if len(shape) == 2:
        return (1, shape[0], shape[1])
    if len(shape) == 3:
        return (shape[0], shape[1], shape[2])
    raise Misfit(
        "E516",
        f"an image has the shape [rows, columns] or [channels, rows, columns], and this is {show(shape)}",
        "give the population or input two or three sizes, such as [28, 28]",
    )


def padding_before(options: dict[str, Any]) -> tuple[int, int]:
    """Rows above and columns left of the image for ``padding = same``; below and right as many, or one more for an even kernel."""
    kernel, dilation = options["kernel"], options.get("dilation", (1, 1))
    return (dilation[0] * (kernel[0] - 1) // 2, dilation[1] * (kernel[1] - 1) // 2)


def _window_count(length: int, kernel: int, stride: int, dilation: int, padding: int | str, what: str) -> int:
    if padding == "same":
        return -(-length // stride)
    assert isinstance(padding, int)
    reach = dilation * (kernel - 1) + 1
    padded = length + 2 * padding
    if reach > padded:
        raise Misfit(
            "E516", f"a window of {reach} {what} does not fit into {padded} {what}", "make the kernel smaller, or write `padding = same`"
        )
    return (padded - reach) // stride + 1


def _windows(kind: PatternKind, shape: Shape, options: dict[str, Any]) -> Shape:
    if options.get("along") and (len(shape) not in (2, 3) or shape[-2] != 1):
        one = show((1, shape[0]) if len(shape) == 1 else (shape[0], 1, shape[-1]))
        raise Misfit(
            "E516",
            f"conv1d goes along a sequence of the shape [1, length] or [channels, 1, length], and this is {show(shape)}",
            f"give the population or input the shape {one}",
        )
    channels, rows, columns = channels_first(shape)
    kernel = options["kernel"]
    stride = options.get("stride") or (kernel if kind in ("avg_pool", "max_pool") else (1, 1))
    dilation = options.get("dilation", (1, 1))
    padding = options.get("padding", (0, 0))
    pads = ("same", "same") if padding == "same" else padding
    out = (
        _window_count(rows, kernel[0], stride[0], dilation[0], pads[0], "rows"),
        _window_count(columns, kernel[1], stride[1], dilation[1], pads[1], "columns"),
    )
    if kind in ("avg_pool", "max_pool"):
        return out if len(shape) == 2 else (channels, *out)
    groups = options.get("groups", 1)
    wanted = options["channels"]
    for number, name in ((channels, "input channels"), (wanted, "channels")):
        if number % groups:
            raise Misfit("E516", f"{number} {name} cannot be divided into {groups} groups", "choose a number of groups that divides both")
    return out if len(shape) == 2 and wanted == 1 else (wanted, *out)


def output_shape(kind: PatternKind, shape: Shape, options: dict[str, Any]) -> Shape | None:
    """The shape that a pattern gives to a target whose size is not written; None when the pattern does not determine it.

    Raises Misfit when the pattern cannot start from this shape.
    """
    match kind:
        case "one_to_one":
            return shape
        case "flatten":
            return (size(shape),)
        case "dense":
            return None if options.get("size") is None else (options["size"],)
        case "conv2d" | "local2d" | "avg_pool" | "max_pool":
            return _windows(kind, shape, options)
        case _:
            return None


def require_fit(kind: PatternKind, pre: Shape, post: Shape, options: dict[str, Any], names: tuple[str, str]) -> None:
    """Raise Misfit when a pattern cannot connect these two shapes, or cannot draw as many synapses as it was asked for."""
    left, right = names
    n_pre, n_post = size(pre), size(post)
    match kind:
        case "one_to_one":
            if n_pre != n_post:
                raise Misfit(
                    "E514",
                    f"one_to_one needs equal sizes, and {left} is {show(pre)} ({n_pre}) while {right} is {show(post)} ({n_post})",
                    "connect a slice, or use another pattern such as `dense`",
                )
        case "flatten":
            if n_pre != n_post:
                raise Misfit(
                    "E515",
                    f"flatten of {show(pre)} has {n_pre} elements, and {right} has {n_post}",
                    f"give {right} the size {n_pre}, or leave its size out",
                )
        case "dense":
            wanted = options.get("size")
            if wanted is not None and wanted != n_post:
                raise Misfit(
                    "E515",
                    f"dense({wanted}) needs a target of {wanted}, and {right} has {n_post}",
                    f"write `dense({n_post})`, or just `dense`",
                )
        case "conv2d" | "local2d" | "avg_pool" | "max_pool":
            found = _windows(kind, pre, options)
            if _image(found) != _image(post):
                raise Misfit(
                    "E515",
                    f"{kind} makes {show(found)} of {show(pre)}, and {right} is {show(post)}",
                    f"give {right} the shape {show(found)}, or leave its shape out so that it is found",
                    "`padding = same` keeps rows and columns",
                )
        case "fixed_indegree" | "fixed_outdegree" if not options["multapses"]:
            source = n_pre if kind == "fixed_indegree" else n_post
            limit = source - (0 if options["autapses"] else 1)
            if options["k"] > limit:
                raise Misfit(
                    "E513",
                    f"{options['k']} different partners were asked for, and there are {limit}",
                    "make k smaller, or allow `multapses = true`",
                )
        case "fixed_indegree" | "fixed_outdegree" if options["k"] > 0 and (
            (n_pre if kind == "fixed_indegree" else n_post) <= (0 if options["autapses"] else 1)
        ):
            raise Misfit(
                "E513",
                "there is no partner to choose from",
                "connect a part that is not empty, or allow `autapses = true` where a neuron has none but itself",
            )
        case "fixed_total" if not options["multapses"] and options["n"] > n_pre * n_post:
            raise Misfit(
                "E513",
                f"{options['n']} different pairs were asked for, and there are {n_pre * n_post}",
                "make n smaller, or allow `multapses = true`",
            )
        case _:
            pass


def _image(shape: Shape) -> Shape:
    return channels_first(shape) if len(shape) in (2, 3) else shape


def weight_shape(kind: PatternKind, pre: Shape, post: Shape, options: dict[str, Any]) -> Shape | None:
    """The shape of an array of weights; None when the pattern takes no array (its synapses are drawn, or it has no weights)."""
    match kind:
        case "dense":
            return (size(pre), size(post))
        case "one_to_one":
            return (size(post),)
        case "conv2d" | "local2d":
            channels = channels_first(pre)[0]
            kernel = (channels // options["groups"], *options["kernel"])
            out = channels_first(post) if len(post) in (2, 3) else (options["channels"], 1, 1)
            return (options["channels"], *kernel) if kind == "conv2d" else (*out, *kernel)
        case "edges":
            return (len(options["pre"]),)
        case _:
            return None


def fans(kind: PatternKind, pre: Shape, post: Shape, options: dict[str, Any]) -> tuple[float, float] | None:
    """(fan_in, fan_out): synapses per post and per pre neuron, expected ones where they are drawn; None for ``where``."""
    n_pre, n_post = size(pre), size(post)
    match kind:
        case "where":
            return None
        case "conv2d" | "local2d":
            window = options["kernel"][0] * options["kernel"][1]
            return (channels_first(pre)[0] // options["groups"] * window, options["channels"] // options["groups"] * window)
        case "avg_pool" | "max_pool":
            return (options["kernel"][0] * options["kernel"][1], 1.0)
        case _:
            count = synapse_count(kind, pre, post, options)
            return (count / max(1, n_post), count / max(1, n_pre))


def synapse_count(kind: PatternKind, pre: Shape, post: Shape, options: dict[str, Any], same: bool = False) -> float:
    """Synapses of a projection, the expected number where they are drawn; ``where`` counts every pair (an upper bound).

    ``same``: pre and post are one whole population, so that excluded autapses can be subtracted.
    """
    n_pre, n_post = size(pre), size(post)
    lost = n_pre if same and not options.get("autapses", True) else 0
    match kind:
        case "one_to_one" | "flatten":
            return float(n_post)
        case "dense" | "where":
            return float(n_pre * n_post - lost)
        case "random":
            return float(options["p"]) * (n_pre * n_post - lost)
        case "fixed_indegree":
            return float(options["k"] * n_post)
        case "fixed_outdegree":
            return float(options["k"] * n_pre)
        case "fixed_total":
            return float(options["n"])
        case "edges":
            return float(len(options["pre"]))
        case "avg_pool" | "max_pool":
            return float(n_post * options["kernel"][0] * options["kernel"][1])
        case "conv2d" | "local2d":
            return float(n_post * channels_first(pre)[0] // options["groups"] * options["kernel"][0] * options["kernel"][1])
