"""From a Connectivity of a plan to its synapses, and how many there will be before any is made.

The recipes, in words that another target can repeat, are in :mod:`snnlang.codegen.patterns`; here the plan's
description is turned into calls of them. The condition of ``where`` is written as NumPy text over whole blocks of
pairs (standalone modules print the same text). Nothing here checks the user's numbers: that is done where the network
is elaborated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen import whole_array
from snnlang.codegen.functions import FUNCTIONS
from snnlang.codegen.patterns import Built, Integers, edge_order, output_shape, own_columns, window, window_rows
from snnlang.codegen.plan import Connectivity, Stream
from snnlang.model import expression

__all__ = ["Built", "condition_text", "count_expected", "edge_order", "generate", "given_order", "output_shape"]


def generate(connectivity: Connectivity, stream: Stream | None) -> Built:
    """The synapses of a connectivity."""
    options = connectivity.options
    if connectivity.pattern == "where":
        options = {**options, "condition": _condition(options)}
    with np.errstate(all="ignore"):
        return _built(connectivity, options, stream)


def _built(connectivity: Connectivity, options: dict[str, Any], stream: Stream | None) -> Built:
    return Built(
        connectivity.kind,
        connectivity.pre_size,
        connectivity.post_size,
        connectivity.pre_part,
        connectivity.post_part,
        connectivity.pattern,
        options,
        stream.key if stream is not None else 0,
        connectivity.autapses,
    )


def given_order(connectivity: Connectivity) -> Integers | None:
    """For every synapse its place in an array as the user gave it, flat; None where synapses come in that order.

    local2d takes (channels, rows, columns, input channels of the group, kernel rows, kernel columns), dense (pre,
    post), edges a column.
    """
    options, rows, columns = connectivity.options, len(connectivity.pre_part), len(connectivity.post_part)
    if connectivity.pattern == "edges":
        return edge_order(options["pre"], options["post"])
    if connectivity.pattern == "local2d":
        (depth, height, width), output, kernel, stride, padding, dilation, groups = window("local2d", options, columns)
        _, posts, taps = window_rows((depth, height, width), output, kernel, stride, padding, dilation, groups)
        assert taps is not None
        reach = depth // groups * kernel[0] * kernel[1]
        return posts.astype(np.int64) * reach + taps % reach
    if connectivity.pattern == "dense" and connectivity.kind == "sparse" and not connectivity.autapses:
        own = own_columns(connectivity.pre_part, connectivity.post_part)
        return np.flatnonzero(np.arange(columns)[None, :] != own[:, None]) if rows else None
    return None


def count_expected(connectivity: Connectivity) -> float:
    """The expected number of synapses; exact where nothing is drawn, from a sample of rows for ``where``."""
    rows, columns, options = len(connectivity.pre_part), len(connectivity.post_part), connectivity.options
    if connectivity.kind == "one_to_one":
        return float(rows)
    if connectivity.kind == "dense":
        return float(rows) * columns
    match connectivity.pattern:
        case "random":
            return rows * columns * float(options["p"])
        case "fixed_outdegree":
            return float(rows) * int(options["k"])
        case "fixed_indegree":
            return float(columns) * int(options["k"])
        case "fixed_total":
            return float(options["n"])
        case "edges":
            return float(len(options["pre"]))
        case "conv2d" | "local2d" | "avg_pool" | "max_pool":
            (depth, height, width), output, kernel, stride, padding, dilation, groups = window(
                connectivity.pattern, options, columns
            )
            per_channel = window_rows((1, height, width), (1, *output[1:]), kernel, stride, padding, dilation, 1)[
                1
            ].size
            return float(per_channel) * depth * (output[0] // groups)
        case "where":
            if rows == 0:
                return 0.0
            sample = np.unique(np.linspace(0, rows - 1, 16).astype(np.int64))
            pre = np.asarray(connectivity.pre_part, np.int64)[sample]
            holds = np.broadcast_to(
                _condition(options)(pre[:, None], np.asarray(connectivity.post_part, np.int64)[None, :]),
                (pre.size, columns),
            )
            return float(np.count_nonzero(holds)) * rows / pre.size
    return float(rows) if connectivity.pattern in ("one_to_one", "flatten") else float(rows) * columns


# --- the condition of where -------------------------------------------------------------------------------------------

Condition = Callable[[Integers, Integers], NDArray[np.bool_]]


def condition_text(options: dict[str, Any]) -> str:
    """The body of ``def condition(pre, post)``: NumPy text over pre indices (a column) and post indices (a row)."""
    condition: expression.Expr = options["condition"]
    lines = []
    found = list(expression.walk(condition))
    distance = any(isinstance(e, expression.Variable) and e.name == "distance" for e in found)
    for side in ("pre", "post"):
        shape = tuple(int(size) for size in options[f"{side}_shape"])
        if distance or any(isinstance(e, expression.Position) and e.scope == side for e in found):
            lines.append(f"{side}_position = np.unravel_index({side}, {shape!r})")
    if distance:
        axes = min(len(options["pre_shape"]), len(options["post_shape"]))
        squares = " + ".join(f"(pre_position[{axis}] - post_position[{axis}])**2" for axis in range(axes))
        lines.append(f"distance = np.sqrt({squares})")
    lines.append(f"return {_text(condition)}")
    return "\n".join(lines)


def _condition(options: dict[str, Any]) -> Condition:
    text = condition_text(options).replace("\n", "\n    ")
    space: dict[str, Any] = {"np": np, **{name: getattr(whole_array, name) for name in whole_array.MATHEMATICS}}
    exec(f"def condition(pre, post):\n    {text}\n", space)
    made: Condition = space["condition"]
    return made


def _text(expr: expression.Expr) -> str:
    match expr:
        case expression.Constant(value=value):
            return "np.inf" if value == math.inf else repr(value)
        case expression.Variable(name="index", scope=scope):
            return str(scope)
        case expression.Variable(name="distance"):
            return "distance"
        case expression.Position(axis=axis, scope=scope):
            return f"{scope}_position[{axis}]"
        case expression.Unary(operand=operand):
            return f"(-{_text(operand)})"
        case expression.Binary(operator=operator, left=left, right=right):
            if operator == "^":
                return f"np.power({_text(left)}, {_text(right)}, dtype=float)"
            return f"({_text(left)} {operator} {_text(right)})"
        case expression.Call(function=function, arguments=arguments):
            return FUNCTIONS[function].numpy.format(*map(_text, arguments))
        case expression.Comparison(operator=operator, left=left, right=right):
            return f"({_text(left)} {operator} {_text(right)})"
        case expression.Logical(operator="not", operands=operands):
            return f"np.logical_not({_text(operands[0])})"
        case expression.Logical(operator=operator, operands=operands):
            return f"np.logical_{operator}({_text(operands[0])}, {_text(operands[1])})"
        case expression.Select(condition=condition, value=value, otherwise=otherwise):
            return f"np.where({_text(condition)}, {_text(value)}, {_text(otherwise)})"
    raise AssertionError(f"a condition of `where` cannot hold {type(expr).__name__}")
