"""The few verbs that printed NumPy code calls.

Gathering rows of synapses, adding where indices meet, merging event lists, reductions, the functions that NumPy lacks.

NumPy alone; standalone modules carry the text of those that they use.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.patterns import Built

Values = NDArray[Any]

#: The mathematical functions that NumPy lacks.
MATHEMATICS = ("exprel", "sigmoid", "erf", "poisson_quantile", "gamma_quantile")

#: An empty event list.
NONE: NDArray[np.int64] = np.empty(0, np.int64)


def exprel(x: Any) -> Any:
    """(exp(x) - 1)/x, 1 at 0."""
    result, zero = np.expm1(x) / x, x == 0
    return np.where(zero, 1, result)[()] if np.count_nonzero(zero) else result


def sigmoid(x: Any) -> Any:
    """1/(1 + exp(-x)): for very negative x the overflow of exp gives 0."""
    return 1 / (1 + np.exp(-x))


def erf(x: Any) -> Any:
    """The error function, element by element (NumPy has none)."""
    values = np.asarray(x)
    return np.array([math.erf(value) for value in values.ravel().tolist()], values.dtype).reshape(values.shape)[()]


def to_int(x: Any) -> Any:
    """Truncated to whole numbers; inf is 2^62, far beyond any step; -inf and nan are -2^62."""
    return np.fmin(np.fmax(x, -(2.0**62)), 2.0**62).astype(np.int64)


def poisson_quantile(u: Any, mean: Any) -> Any:
    """The smallest k whose cumulative probability exceeds u, by sequential search over the elements that are not there yet."""
    draws, means = np.broadcast_arrays(np.asarray(u, float), np.asarray(mean, float))
    kind = np.result_type(u) if isinstance(u, np.ndarray) else np.dtype(float)
    counts = np.where(np.isnan(means), means, 0.0)
    many = np.nonzero(means > 1e5)
    if many[0].size:  # the search would take as many steps: two terms of Cornish and Fisher (1938)
        from statistics import NormalDist

        z = np.array([NormalDist().inv_cdf(max(draw, 2.0**-54)) for draw in draws[many].tolist()])
        with np.errstate(invalid="ignore"):
            counts[many] = np.floor(means[many] + np.sqrt(means[many]) * z + (z * z - 1) / 6 + 0.5)
        counts[np.isinf(means) & (means > 0)] = np.inf
    going = np.nonzero((means > 0) & (means <= 1e5) & (draws >= np.exp(-means)))
    mean_left, draw_left = means[going], draws[going]
    logarithm, total, k = -mean_left, np.exp(-mean_left), 0
    while mean_left.size:
        k += 1
        logarithm = logarithm + np.log(mean_left / k)
        total = total + np.exp(logarithm)
        counts[going] = k
        left = (total <= draw_left) & (k < mean_left + 40 * np.sqrt(mean_left) + 100)
        going = tuple(axis[left] for axis in going)
        mean_left, draw_left, logarithm, total = mean_left[left], draw_left[left], logarithm[left], total[left]
    return counts.astype(kind)[()]


def gamma_quantile(u: Any, shape: Any) -> Any:
    """Where the regularised lower incomplete gamma function of each shape reaches u (scale 1): Newton's steps kept inside a bracket."""
    draws, shapes = np.broadcast_arrays(np.asarray(u, float), np.asarray(shape, float))
    kind = np.result_type(u) if isinstance(u, np.ndarray) else np.dtype(float)
    found = [_gamma_quantile(p, a) for p, a in zip(draws.ravel().tolist(), shapes.ravel().tolist())]
    return np.array(found, kind).reshape(draws.shape)[()]


def _gamma_quantile(p: float, a: float) -> float:
    if p <= 0.0:
        return 0.0
    low, high, x = 0.0, math.inf, a
    for _ in range(200):
        density = math.exp((a - 1.0) * math.log(x) - x - math.lgamma(a))
        error = _gamma_below(a, x) - p
        low, high = (x, high) if error < 0.0 else (low, x)
        newer = x - error / density if density > 0.0 else math.inf
        if not low < newer < high:
            newer = 0.5 * (low + high) if high < math.inf else 2.0 * x
        if abs(newer - x) <= 1e-15 * x:
            break
        x = newer
    return x


def _gamma_below(a: float, x: float) -> float:
    """The regularised lower incomplete gamma function: its series below a + 1, Lentz's continued fraction above."""
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1.0:
        term = total = 1.0 / a
        n = 1
        while term > 1e-17 * total:
            term *= x / (a + n)
            total += term
            n += 1
        return front * total
    b = x + 1.0 - a
    c, d = 1e300, 1.0 / b
    h = d
    for i in range(1, 500):
        factor = -i * (i - a)
        b += 2.0
        d = 1.0 / (factor * d + b)
        c = b + factor / c
        h *= c * d
        if abs(c * d - 1.0) < 1e-16:
            break
    return 1.0 - front * h


def rows_of(values: Values, start: Any, items: Values) -> Values:
    """``values[start[i]:start[i + 1]]`` of every item, one after the other.

    ``start`` is a list, which is quick to index, or, where it is long, an array.
    """
    if items.size == 1:
        item = items[0]
        return values[start[item] : start[item + 1]]
    if items.size <= 64 or isinstance(start, list):
        return np.concatenate([values[start[i] : start[i + 1]] for i in items.tolist()])
    return values[spans(start, items)]


def spans(start: Values, items: Values) -> Values:
    """The numbers start[i] .. start[i + 1] - 1 of every item, one after the other."""
    first = start[items]
    counts = start[items + 1] - first
    ends = np.cumsum(counts)
    reached: Values = np.arange(ends[-1] if ends.size else 0) + np.repeat(first - (ends - counts), counts)
    return reached


def repeated(start: Values, items: Values) -> Values:
    """Every item as often as it has synapses."""
    return np.repeat(items, start[items + 1] - start[items])


def accumulate(target: Values, index: Any, value: Any) -> None:
    """``target[index] += value`` where several items may meet at one index."""
    if isinstance(index, np.ndarray) and 4 * index.size > target.size and target.dtype.kind == "f":
        if isinstance(value, np.ndarray) and value.ndim:
            places, weights = np.broadcast_arrays(index, value)
            target += np.bincount(places.ravel(), weights=weights.ravel(), minlength=target.size)
        else:
            target += np.bincount(index.ravel(), minlength=target.size) * value
    else:
        np.add.at(target, index, value)


def merged(first: Values, second: Values) -> Values:
    """Two ascending lists as one, without repetition."""
    if first.size == 0:
        return second
    return np.union1d(first, second) if second.size else first


def ascending(items: Values) -> Values:
    """Items in ascending order without repetition."""
    return items if items.size < 2 else np.unique(items)


def between(items: Values, start: int, stop: int) -> Values:
    """The part of an ascending list in [start, stop)."""
    part: Values = items[items.searchsorted(start) : items.searchsorted(stop)]
    return part


def positions(part: Values, size: int) -> Values:
    """For every index of a population its place in a part, or -1."""
    place = np.full(size, -1, np.int64)
    place[part] = np.arange(len(part))
    return place


def enqueue(queue: list[list[Values]], step: int, synapses: Values, delays: Values) -> None:
    """Put every synapse into the slot of the step at which it will be reached."""
    order = np.argsort(delays, kind="stable")
    waiting = delays[order]
    bounds = [0, *(np.flatnonzero(np.diff(waiting)) + 1).tolist(), waiting.size]
    for begin, end in itertools.pairwise(bounds):
        if begin < end:
            queue[(step + int(waiting[begin])) % len(queue)].append(synapses[order[begin:end]])


def arrived(slot: list[Values]) -> Values:
    """The synapses in a queue's slot."""
    return slot[0] if len(slot) == 1 else np.concatenate(slot) if slot else NONE


def reduce_groups(operation: str, source: Values, groups: Values | None, result: Values) -> None:
    """A population reduction into ``result``: per group, or per element for ``rank``."""
    if operation == "rank":
        keys = np.zeros(source.size, np.int64) if groups is None else groups
        order = np.lexsort((-source, keys))
        ordered = keys[order]
        result[order] = np.arange(source.size) - np.searchsorted(ordered, ordered)
        return
    if groups is None:
        result[...] = getattr(np, operation)(source)
        return
    if operation in ("sum", "mean"):
        total = np.bincount(groups, weights=source, minlength=result.size)
        result[...] = total if operation == "sum" else total / np.bincount(groups, minlength=result.size)
        return
    order = np.lexsort((-source if operation.endswith("max") else source, groups))
    present, first = np.unique(groups[order], return_index=True)
    best = order[first]
    result[present] = best if operation.startswith("arg") else source[best]


def reduce_synapses(operation: str, built: Built, per: str, source: Values | None, result: Values) -> None:
    """``result[neuron] = operation over the synapses of the neuron``; 0 where it has none."""
    pre, post = built.pairs
    index = post if per == "post" else pre
    values = source
    if built.own is not None and built.kind == "dense":
        keep = pre != post
        index, values = index[keep], None if source is None else source[keep]
    count = np.bincount(index, minlength=result.size)
    if operation == "count":
        result[...] = count
    elif operation in ("sum", "mean"):
        total = count.astype(float) if values is None else np.bincount(index, weights=values, minlength=result.size)
        result[...] = total / np.maximum(count, 1) if operation == "mean" else total
    else:
        result[...] = -np.inf if operation == "max" else np.inf
        (np.maximum if operation == "max" else np.minimum).at(result, index, 1.0 if values is None else values)
        result[count == 0] = 0


def reached_by(built: Built, side: str, items: Values) -> Values:
    """The synapses of a dense or one-to-one connectivity that leave (``pre``) or enter (``post``) the neurons of a list."""
    part, size = (built.pre_part, built.pre_size) if side == "pre" else (built.post_part, built.post_size)
    place = positions(np.asarray(part), size)[items]
    place = place[place >= 0]
    if built.kind == "one_to_one":
        return place
    rows, columns = len(built.pre_part), len(built.post_part)
    table = (
        place[:, None] * columns + np.arange(columns) if side == "pre" else np.arange(rows) * columns + place[:, None]
    )
    if built.own is not None:
        table = table[built.others.ravel()[table]]
    return table.ravel()
