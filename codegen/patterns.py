"""Which synapses a pattern makes: NumPy and :mod:`snnlang.codegen.random` alone, so that standalone modules can carry this text.

Every generator works in positions of the connected parts (row: position in the pre part, column: in the post part)
and is a pure function of the stream's words, independent of the size of its blocks; the recipes below are what a
compiled target repeats, one row (or column) per thread.

random(p)
    Row r: gap_o = floor(log1p(-u_o) / log1p(-p)), u_o = uniform(key, r, o), o = 0, 1, ...; the first column is gap_0,
    the next one lies 1 + gap_o beyond the one before, until the columns are used up. Afterwards i -> i is left out
    where autapses are.
fixed_outdegree(k)
    Row r chooses k of the m columns (its own left out without autapses, later numbers move up by one), for o = 0 ..
    k-1: with multapses floor(u_o * m); without (Floyd 1987) t = floor(u_o * (m-k+o+1)), and m-k+o instead when t was
    chosen before.
fixed_indegree(k)
    The same with rows and columns exchanged (index = column).
fixed_total(n)
    Pair numbers floor(u_o * rows * columns), u_o = uniform(key, 0, o); pairs i -> i are skipped without autapses, pairs
    met before without multapses; the first n that remain. Above half of all pairs the pairs left out are chosen in this
    way instead.

All others draw nothing. Uniforms are those of double precision whatever the plan's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.random import bases, uniforms

Integers = NDArray[np.int64]
Indices = NDArray[np.int32]
Part = range | NDArray[np.int64]

#: Numbers of elements that a block of work may hold: small enough for caches, large enough to hide the interpreter.
BLOCK = 1 << 18

#: Synapses in positions of the parts, rows ascending: how many per row, columns, index of shared weights or None.
Rows = tuple[Integers, Indices, "Indices | None"]


def pair(value: Any) -> tuple[int, int]:
    """A size along rows and columns, given as one number or as two."""
    first, second = (value, value) if np.ndim(value) == 0 else value
    return int(first), int(second)


def random_rows(key: int, rows: int, columns: int, p: float) -> Rows:
    """Every pair with probability p, by geometric gaps: the work is proportional to the number of synapses."""
    counts = np.zeros(rows, np.int64)
    if p <= 0.0 or rows == 0 or columns == 0:
        return counts, np.empty(0, np.int32), None
    scale = math.log1p(-p) if p < 1.0 else -math.inf
    mean = columns * min(p, 1.0)
    width = min(columns + 1, int(mean + 3.5 * math.sqrt(mean * (1.0 - min(p, 1.0))) + 8))
    height = max(1, BLOCK // width)
    pieces = []
    for start in range(0, rows, height):
        base = bases(key, range(start, min(rows, start + height)))[:, None]
        draws = width
        while True:
            gaps = np.log1p(-uniforms(base, np.arange(draws)))
            gaps /= scale
            np.floor(gaps, out=gaps)
            np.minimum(gaps, columns, out=gaps)
            gaps += 1.0
            reached = np.cumsum(gaps, axis=1, out=gaps)
            if np.all(reached[:, -1] > columns):
                break
            draws *= 2
        inside = reached <= columns
        counts[start : start + height] = np.count_nonzero(inside, axis=1)
        pieces.append(reached[inside].astype(np.int32))
    chosen = np.concatenate(pieces)
    chosen -= 1
    return counts, chosen, None


def choose(key: int, items: int, size: int, k: int, multapses: bool, own: Integers | None) -> Indices:
    """For every item k of ``size`` numbers, as (items, k) in order of the draws.

    ``own`` is the number that an item may not choose, or -1.
    """
    result = np.empty((items, k), np.int32)
    if k == 0:
        return result
    by_comparison = k * k // 2 <= size
    height = max(1, BLOCK // k if multapses or by_comparison else 16 * BLOCK // size)
    for start in range(0, items, height):
        stop = min(items, start + height)
        block = result[start:stop]
        excluded = own[start:stop] if own is not None else None
        room: Any = size if excluded is None else size - (excluded >= 0)
        base = bases(key, range(start, stop))
        if multapses:
            block[:] = np.floor(uniforms(base[:, None], np.arange(k)) * np.expand_dims(room, -1))
        else:
            lines = np.arange(stop - start)
            taken = None if by_comparison else np.zeros((stop - start, size), bool)
            for ordinal in range(k):
                last = room - k + ordinal
                drawn = np.floor(uniforms(base, ordinal) * (last + 1)).astype(np.int32)
                before = (block[:, :ordinal] == drawn[:, None]).any(axis=1) if taken is None else taken[lines, drawn]
                block[:, ordinal] = np.where(before, last, drawn)
                if taken is not None:
                    taken[lines, block[:, ordinal]] = True
        if excluded is not None:
            block += (block >= excluded[:, None]) & (excluded[:, None] >= 0)
    return result


def fixed_outdegree_rows(key: int, rows: int, columns: int, k: int, multapses: bool, own: Integers | None) -> Rows:
    """k columns for every row."""
    chosen = choose(key, rows, columns, k, multapses, own)
    chosen.sort(axis=1)
    return np.full(rows, k, np.int64), chosen.ravel(), None


def fixed_indegree_rows(key: int, rows: int, columns: int, k: int, multapses: bool, own: Integers | None) -> Rows:
    """k rows for every column."""
    chosen = choose(key, columns, rows, k, multapses, own).ravel()
    order = stable_order(chosen, rows)
    counts = np.bincount(chosen, minlength=rows)
    return counts, (order // max(k, 1)).astype(np.int32), None


def fixed_total_rows(key: int, rows: int, columns: int, n: int, multapses: bool, own: Integers | None) -> Rows:
    """n pairs; ``own`` is the column of every row that must not be chosen, or -1."""
    pairs = rows * columns
    available = pairs if own is None else pairs - int(np.count_nonzero(own >= 0))
    leave_out = not multapses and 2 * n > available
    wanted = available - n if leave_out else n
    base = bases(key, 1)
    drawn, chosen = 0, np.empty(0, np.int64)
    while chosen.size < wanted:
        fresh = max(1024, int(1.1 * (wanted - chosen.size)))
        numbers = np.floor(uniforms(base, np.arange(drawn, drawn + fresh)) * pairs).astype(np.int64)
        drawn += fresh
        if own is not None:
            numbers = numbers[own[numbers // columns] != numbers % columns]
        chosen = np.concatenate([chosen, numbers])
        if not multapses:
            _, first = np.unique(chosen, return_index=True)
            chosen = chosen[np.sort(first)]
    chosen = np.sort(chosen[:wanted])
    if leave_out:
        free = np.ones(pairs, bool)
        free[chosen] = False
        if own is not None:
            inside = np.flatnonzero(own >= 0)
            free[inside * columns + own[inside]] = False
        chosen = np.flatnonzero(free)
    return np.bincount(chosen // columns, minlength=rows), (chosen % columns).astype(np.int32), None


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Length of a convolution's output along one axis."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _axis(size: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> tuple[Integers, Integers]:
    """For every input coordinate the outputs that see it, ascending, and through which tap.

    (size, kernel) each, -1 where none.
    """
    taps = np.arange(kernel)[::-1]
    reach = np.arange(size)[:, None] + padding - taps * dilation
    output = reach // stride
    seen = (reach % stride == 0) & (output >= 0) & (output < out)
    return np.where(seen, output, -1), np.broadcast_to(taps, output.shape)


def window_rows(
    shape: tuple[int, int, int],
    output: tuple[int, int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> Rows:
    """Convolution-like windows: input (c, y, x) reaches every output channel of its group.

    The index of the weights is into (channels, C/groups, kh, kw).
    """
    depth, height, width = shape
    channels, out_height, out_width = output
    rows_out, rows_tap = _axis(height, out_height, kernel[0], stride[0], padding[0], dilation[0])
    columns_out, columns_tap = _axis(width, out_width, kernel[1], stride[1], padding[1], dilation[1])
    per_group, inputs = channels // groups, depth // groups
    counts, posts, taps = [], [], []
    for c in range(depth):  # axes: y, x, output channel, tap along y, tap along x
        channel = (np.arange(per_group) + (c // inputs) * per_group)[:, None, None]
        oy, ky = rows_out[:, None, None, :, None], rows_tap[:, None, None, :, None]
        ox, kx = columns_out[None, :, None, None, :], columns_tap[None, :, None, None, :]
        seen = np.broadcast_to((oy >= 0) & (ox >= 0), (height, width, per_group, kernel[0], kernel[1]))
        counts.append(np.count_nonzero(seen, axis=(2, 3, 4)).ravel())
        posts.append(((channel * out_height + oy) * out_width + ox)[seen].astype(np.int32))
        taps.append(
            np.broadcast_to(((channel * inputs + c % inputs) * kernel[0] + ky) * kernel[1] + kx, seen.shape)[
                seen
            ].astype(np.int32)
        )
    return np.concatenate(counts), np.concatenate(posts), np.concatenate(taps)


def where_rows(rows: Part, columns: Part, condition: Callable[[Integers, Integers], NDArray[np.bool_]]) -> Rows:
    """The pairs for which ``condition(pre index as a column, post index as a row)`` holds, in blocks of rows."""
    pre, post = np.asarray(rows, np.int64), np.asarray(columns, np.int64)
    height = max(1, 4 * BLOCK // max(1, post.size))
    counts, pieces = np.zeros(pre.size, np.int64), [np.empty(0, np.int32)]
    for start in range(0, pre.size, height):
        block = pre[start : start + height]
        holds = np.broadcast_to(condition(block[:, None], post[None, :]), (block.size, post.size))
        counts[start : start + height] = np.count_nonzero(holds, axis=1)
        pieces.append(np.nonzero(holds)[1].astype(np.int32))
    return counts, np.concatenate(pieces), None


def edge_order(pre: Any, post: Any) -> Integers:
    """The order of synapses for edges listed in any order: by pre, then post, then as listed."""
    return np.lexsort((np.asarray(post), np.asarray(pre)))


def stable_order(values: NDArray[Any], limit: int) -> Integers:
    """A stable argsort of whole numbers in [0, limit): a radix sort where they fit 16 bits."""
    return np.argsort(values.astype(np.uint16) if limit <= 65536 else values, kind="stable")


def pattern_rows(pattern: str, options: dict[str, Any], key: int, pre: Part, post: Part, own: Integers | None) -> Rows:
    """The synapses of a sparse pattern; ``own`` is the column at which i -> i would lie, per row, or -1; None when that is allowed.

    Patterns that draw without replacement leave it out themselves; from the others :func:`without_own` removes it.
    """
    rows, columns = len(pre), len(post)
    multapses = bool(options.get("multapses", True))
    match pattern:
        case "random":
            return without_own(random_rows(key, rows, columns, float(options["p"])), own)
        case "fixed_outdegree":
            return fixed_outdegree_rows(key, rows, columns, int(options["k"]), multapses, own)
        case "fixed_indegree":
            return fixed_indegree_rows(key, rows, columns, int(options["k"]), multapses, turned(own, columns))
        case "fixed_total":
            return fixed_total_rows(key, rows, columns, int(options["n"]), multapses, own)
        case "conv2d" | "local2d" | "avg_pool" | "max_pool":
            counts, chosen, taps = window_rows(*window(pattern, options, columns))
            return without_own((counts, chosen, taps if pattern == "conv2d" else None), own)
        case "where":
            return without_own(where_rows(pre, post, options["condition"]), own)
        case "dense":
            return without_own(
                (np.full(rows, columns, np.int64), np.tile(np.arange(columns, dtype=np.int32), rows), None), own
            )
        case "one_to_one" | "flatten":
            return without_own((np.ones(rows, np.int64), np.arange(rows, dtype=np.int32), None), own)
        case "edges":
            order = edge_order(options["pre"], options["post"])
            counts = np.bincount(np.asarray(options["pre"], np.int64), minlength=rows)
            return counts, np.asarray(options["post"])[order].astype(np.int32), order.astype(np.int32)
    raise AssertionError(f"no generator for the pattern {pattern}")


Pair = tuple[int, int]


def window(
    pattern: str, options: dict[str, Any], posts: int = -1
) -> tuple[tuple[int, int, int], tuple[int, int, int], Pair, Pair, Pair, Pair, int]:
    """Shapes of input and output, kernel, stride, padding, dilation and groups of a convolution-like pattern, defaults filled in.

    ``padding`` is what lies above and to the left. Below and to the right lies as much, or, where ``posts`` output
    elements say so, one more (``padding = same`` of a window of even reach).
    """
    depth, height, width = (int(size) for size in options["pre_shape"])
    pool = pattern in ("avg_pool", "max_pool")
    kernel = pair(options["kernel"])
    stride = (kernel if pool else (1, 1)) if options.get("stride") is None else pair(options["stride"])
    padding, dilation = pair(options.get("padding") or 0), pair(options.get("dilation") or 1)
    channels = depth if pool else int(options["channels"])
    rows = output_sizes(height, kernel[0], stride[0], padding[0], dilation[0])
    columns = output_sizes(width, kernel[1], stride[1], padding[1], dilation[1])
    fitting = [(channels, y, x) for y in rows for x in columns if channels * y * x == posts]
    output = fitting[0] if fitting else (channels, rows[0], columns[0])
    return (
        (depth, height, width),
        output,
        kernel,
        stride,
        padding,
        dilation,
        depth if pool else int(options.get("groups") or 1),
    )


def output_sizes(size: int, kernel: int, stride: int, padding: int, dilation: int) -> list[int]:
    """The lengths that an output may have along one axis: with equal padding on both sides first."""
    reach = dilation * (kernel - 1)
    sizes = [output_size(size, kernel, stride, padding, dilation)]
    if reach % 2 == 1 and padding == reach // 2:
        sizes.append(-(-size // stride))
    return sizes


def output_shape(pattern: str, options: dict[str, Any]) -> tuple[int, int, int]:
    """(channels, height, width) of the output of a convolution-like pattern."""
    return window(pattern, options)[1]


def own_columns(pre: Part, post: Part) -> Integers:
    """For every row the column that holds the same index, or -1."""
    first = np.asarray(pre, np.int64)
    if isinstance(post, range) and post.step == 1:
        column = first - post.start
        return np.where((column >= 0) & (column < len(post)), column, -1)
    second = np.asarray(post, np.int64)
    position = np.full(max(int(first.max(initial=-1)), int(second.max(initial=-1))) + 1, -1, np.int64)
    position[second] = np.arange(second.size)
    return position[first]


def turned(own: Integers | None, columns: int) -> Integers | None:
    """For every column the row that holds the same index, or -1."""
    if own is None:
        return None
    result = np.full(columns, -1, np.int64)
    inside = np.flatnonzero(own >= 0)
    result[own[inside]] = inside
    return result


def without_own(rows: Rows, own: Integers | None) -> Rows:
    """The synapses without those from a neuron to itself."""
    counts, columns, taps = rows
    if own is None or not np.any(own >= 0):
        return rows
    keep = columns != np.repeat(own, counts)
    row = np.repeat(np.arange(counts.size), counts)[keep]
    return np.bincount(row, minlength=counts.size), columns[keep], None if taps is None else taps[keep]


class Built:
    """The synapses of one connectivity. ``n`` synapses; parts as flat indices of the full populations.

    sparse: ``row_start`` int64 (pre_size + 1,), ``post`` int32 (n,) ascending within a row, ``weight_index`` int32
    (n,) or None, ``order`` int32 (n,) for edges (the listed edge that a synapse is) or None. ``pre_of``,
    ``column_start`` and ``column_synapse`` are made when first asked for. dense and one_to_one hold the parts alone.
    """

    def __init__(
        self,
        kind: str,
        pre_size: int,
        post_size: int,
        pre: Part,
        post: Part,
        pattern: str,
        options: dict[str, Any],
        key: int = 0,
        autapses: bool = True,
    ) -> None:
        self.kind, self.pre_size, self.post_size, self.pre_part, self.post_part = kind, pre_size, post_size, pre, post
        self.weight_index: Indices | None = None
        self.order: Indices | None = None
        self.own = None if autapses else own_columns(pre, post)
        self._pre_of: Indices | None = None
        self._row_bounds: Any = None
        self._others: Any = None
        self._columns: tuple[Integers, Indices] | None = None
        if kind == "sparse":
            counts, columns, extra = pattern_rows(pattern, options, key, pre, post, self.own)
            self._place(counts, columns, extra, pattern == "edges")
            self.n = int(self.post.size)
        else:
            self.n = len(pre) if kind == "one_to_one" else len(pre) * len(post)

    def _place(self, counts: Integers, columns: Indices, extra: Indices | None, edges: bool) -> None:
        """From positions in the parts to indices in the populations."""
        pre, post = np.asarray(self.pre_part, np.int64), np.asarray(self.post_part, np.int64)
        per_neuron = np.zeros(self.pre_size, np.int64)
        per_neuron[pre] = counts
        self.row_start = np.concatenate([[0], np.cumsum(per_neuron)])
        if isinstance(self.post_part, range) and self.post_part.step == 1:
            self.post = columns
            if self.post_part.start:
                self.post += np.int32(self.post_part.start)
        else:
            self.post = post[columns].astype(np.int32)
        if np.any(np.diff(pre) < 0) or np.any(np.diff(post) < 0):
            order = np.lexsort((self.post, np.repeat(pre, counts)))
            self.post = self.post[order]
            extra = None if extra is None else extra[order]
        if edges:
            self.order = extra
        else:
            self.weight_index = extra

    @property
    def pre_of(self) -> Indices:
        """The pre neuron of every synapse."""
        if self._pre_of is None:
            self._pre_of = np.repeat(np.arange(self.pre_size, dtype=np.int32), np.diff(self.row_start))
        return self._pre_of

    @property
    def row_bounds(self) -> Any:
        """``row_start`` as a list of Python numbers, which is quicker to look up one by one; an array where it is long."""
        if self._row_bounds is None:
            self._row_bounds = self.row_start.tolist() if self.row_start.size <= 65536 else self.row_start
        return self._row_bounds

    @property
    def column_start(self) -> Integers:
        """Where the synapses of a post neuron begin in ``column_synapse``: (post_size + 1,)."""
        return self._by_column()[0]

    @property
    def column_synapse(self) -> Indices:
        """The synapses by post neuron, within one by ascending pre."""
        return self._by_column()[1]

    def _by_column(self) -> tuple[Integers, Indices]:
        if self._columns is None:
            start = np.concatenate([[0], np.cumsum(np.bincount(self.post, minlength=self.post_size))])
            self._columns = start, stable_order(self.post, self.post_size).astype(np.int32)
        return self._columns

    @property
    def others(self) -> NDArray[np.bool_]:
        """Of a dense connectivity, as a table of rows and columns: False where pre and post are one neuron."""
        if self._others is None:
            self._others = np.ones((len(self.pre_part), len(self.post_part)), bool)
            if self.own is not None:
                rows = np.flatnonzero(self.own >= 0)
                self._others[rows, self.own[rows]] = False
        table: NDArray[np.bool_] = self._others
        return table

    @property
    def pairs(self) -> tuple[Indices, Indices]:
        """(pre, post) of every synapse, in the order of the synapses."""
        pre, post = np.asarray(self.pre_part, np.int32), np.asarray(self.post_part, np.int32)
        match self.kind:
            case "sparse":
                return self.pre_of, self.post
            case "dense":
                return np.repeat(pre, post.size), np.tile(post, pre.size)
        return pre, post

    @property
    def nbytes(self) -> int:
        """Bytes of the index arrays that exist now."""
        arrays: list[Any] = [self.weight_index, self.order, self._pre_of, self._others, *(self._columns or ())]
        if self.kind == "sparse":
            arrays += [self.row_start, self.post]
        return sum(array.nbytes for array in arrays if array is not None)
