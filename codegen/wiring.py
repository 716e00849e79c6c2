"""From a Connectivity of a plan to the numbers from which C builds its synapses: the members of ``snn_wiring``.

The recipes are those of :mod:`snnlang.codegen.patterns`, repeated in ``codegen/native/connectivity.h``: sizes, options and
the stream's key are data, so a change of any of them compiles nothing. Only the condition of ``where`` becomes text
(:func:`condition_c`). Edges that the user listed are sorted here and given as finished rows. Nothing here calls a
compiler, and nothing checks the user's numbers: that is done where the network is elaborated.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.connectivity import generate
from snnlang.codegen.functions import FUNCTIONS
from snnlang.codegen.patterns import Part, window
from snnlang.codegen.plan import Connectivity, Stream
from snnlang.frozen import dataclass
from snnlang.model import expression

#: By name of a pattern its number: ``enum snn_pattern`` of codegen/native/model.h.
PATTERN: Final[dict[str, int]] = {
    "dense": 0,
    "one_to_one": 1,
    "flatten": 1,
    "random": 2,
    "fixed_outdegree": 3,
    "fixed_indegree": 4,
    "fixed_total": 5,
    "conv2d": 6,
    "local2d": 6,
    "avg_pool": 6,
    "max_pool": 6,
    "where": 7,
    "edges": 8,
}

#: How many numbers ``snn_wiring.shape`` holds.
SHAPE: Final = 18


@dataclass(frozen=True, slots=True)
class Wiring:
    """The members of ``snn_wiring``, in its order; ``condition`` is set by the generated C itself.

    ``pre_part``/``post_part`` int64 (rows,), (columns,) or None for ranges from ``pre_first``/``post_first``;
    ``shape`` holds 18 numbers; ``row_start`` int64 (pre_size + 1,), ``post`` and ``shared`` int32 (synapses,) are there
    for edges alone.
    """

    pattern: int
    pre_size: int
    post_size: int
    rows: int
    columns: int
    pre_first: int
    post_first: int
    pre_part: NDArray[np.int64] | None
    post_part: NDArray[np.int64] | None
    autapses: int
    multapses: int
    key: int
    p: float
    k: int
    shape: tuple[int, ...]
    row_start: NDArray[np.int64] | None = None
    post: NDArray[np.int32] | None = None
    shared: NDArray[np.int32] | None = None


def wiring(connectivity: Connectivity, stream: Stream | None) -> Wiring:
    """The numbers of a connectivity; those that its pattern does not use are 0."""
    options, pattern = connectivity.options, connectivity.pattern
    pre_first, pre_part = _part(connectivity.pre_part)
    post_first, post_part = _part(connectivity.post_part)
    shape: tuple[int, ...] = ()
    if pattern in ("conv2d", "local2d", "avg_pool", "max_pool"):
        image, output, kernel, stride, padding, dilation, groups = window(pattern, options, len(connectivity.post_part))
        shape = (*image, *output, *kernel, *stride, *padding, *dilation, groups, int(pattern == "conv2d"))
    row_start = post = None
    if pattern == "edges":
        built = generate(connectivity, stream)
        row_start = np.ascontiguousarray(built.row_start, np.int64)
        post = np.ascontiguousarray(built.post, np.int32)
    return Wiring(
        PATTERN[pattern],
        connectivity.pre_size,
        connectivity.post_size,
        len(connectivity.pre_part),
        len(connectivity.post_part),
        pre_first,
        post_first,
        pre_part,
        post_part,
        int(connectivity.autapses),
        int(bool(options.get("multapses", True))),
        stream.key if stream is not None else 0,
        float(options.get("p", 0.0)),
        int(options["n"] if pattern == "fixed_total" else options.get("k", 0)),
        shape + (0,) * (SHAPE - len(shape)),
        row_start,
        post,
    )


def _part(part: Part) -> tuple[int, NDArray[np.int64] | None]:
    if isinstance(part, range) and part.step == 1:
        return part.start, None
    return 0, np.ascontiguousarray(part, np.int64)


# --- the condition of where -------------------------------------------------------------------------------------------


def condition_c(options: dict[str, Any]) -> str:
    """The body of ``int condition(int64_t pre, int64_t post)``: the C text of the condition of ``where``.

    The analogue of :func:`snnlang.codegen.connectivity.condition_text`. Everything is computed in double precision,
    which holds indices and positions exactly; products are rounded before they are added, as NumPy does.
    """
    condition: expression.Expr = options["condition"]
    lines = []
    found = list(expression.walk(condition))
    distance = any(isinstance(e, expression.Variable) and e.name == "distance" for e in found)
    axes = min(len(options["pre_shape"]), len(options["post_shape"])) if distance else 0
    for side in ("pre", "post"):
        shape = tuple(int(size) for size in options[f"{side}_shape"])
        wanted = {e.axis for e in found if isinstance(e, expression.Position) and e.scope == side} | set(range(axes))
        for axis in sorted(wanted):
            below = max(1, math.prod(shape[axis + 1 :]))
            coordinate = side if below == 1 else f"{side} / {below}"
            if axis > 0:
                coordinate += f" % {max(1, shape[axis])}"
            lines.append(f"const double {side}_position_{axis} = (double)({coordinate});")
        if not any(isinstance(e, expression.Variable) and e.name == "index" and e.scope == side for e in found):
            if not wanted:
                lines.append(f"(void){side};")
    if distance:
        for axis in range(axes):
            lines.append(f"const double apart_{axis} = pre_position_{axis} - post_position_{axis};")
        squares = " + ".join(f"apart_{axis} * apart_{axis}" for axis in range(axes)) or "0.0"
        lines.append(f"const double distance = sqrt({squares});")
    lines.append(f"return ({_text(condition)}) != 0;")
    return "\n".join(lines)


def _text(expr: expression.Expr) -> str:
    match expr:
        case expression.Constant(value=value):
            return _number(float(value))
        case expression.Variable(name="index", scope=scope):
            return f"(double){scope}"
        case expression.Variable(name="distance"):
            return "distance"
        case expression.Position(axis=axis, scope=scope):
            return f"{scope}_position_{axis}"
        case expression.Unary(operand=operand):
            return f"(-{_text(operand)})"
        case expression.Binary(operator="^", left=left, right=right):
            return f"pow({_text(left)}, {_text(right)})"
        case expression.Binary(operator="*", left=left, right=right):
            return f"snn_product({_text(left)}, {_text(right)})"
        case expression.Binary(operator=operator, left=left, right=right):
            return f"({_text(left)} {operator} {_text(right)})"
        case expression.Call(function=function, arguments=arguments):
            return FUNCTIONS[function].c.format(*map(_text, arguments))
        case expression.Comparison(operator=operator, left=left, right=right):
            return f"({_text(left)} {operator} {_text(right)})"
        case expression.Logical(operator="not", operands=operands):
            return f"(!{_text(operands[0])})"
        case expression.Logical(operator=operator, operands=operands):
            return f"({_text(operands[0])} {'&&' if operator == 'and' else '||'} {_text(operands[1])})"
        case expression.Select(condition=condition, value=value, otherwise=otherwise):
            return f"({_text(condition)} ? {_text(value)} : {_text(otherwise)})"
    raise AssertionError(f"a condition of `where` cannot hold {type(expr).__name__}")


def _number(value: float) -> str:
    if math.isinf(value):
        return "INFINITY" if value > 0 else "(-INFINITY)"
    if math.isnan(value):
        return "NAN"
    return repr(value) if value >= 0 else f"({value!r})"
