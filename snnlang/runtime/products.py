"""What connections do to whole batches: linear maps forwards, their transposes backwards, and the gradient of their weights.

Rows are (step, sample) pairs or samples: sent values come as (rows, pre), what arrives goes as (rows, post). Each map knows its weight as
the flat array that the plan has (one number per synapse, per shared weight, or one for all).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.random import bases, key_of, uniforms
from snnlang.runtime import aligned

Values = NDArray[Any]


class Product(Protocol):
    """``forward`` adds to or sets ``out`` (rows, post); ``transpose`` likewise (rows, pre), ``sent``
    being what was sent; ``gradient`` adds to the weight's gradient."""

    trained: bool

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None: ...

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None) -> None: ...

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None: ...


class Scratch:
    """One array for what is computed and then added: large ones made anew each time would cost the zeroing of their pages."""

    def __init__(self) -> None:
        self._array = np.empty(0)

    def __call__(self, like: Values) -> Values:
        """An array of that shape and type, with whatever was in it."""
        if self._array.size < like.size or self._array.dtype != like.dtype:
            self._array = aligned.empty(like.size, like.dtype)
        return self._array[: like.size].reshape(like.shape)


class Dense:
    """Every pre neuron to every post neuron: one matrix product. ``scale`` multiplies the weights."""

    trained = True

    def __init__(self, pre: int, post: int, scale: float = 1.0, mask: Values | None = None) -> None:
        self.pre, self.post, self.scale, self.mask = pre, post, scale, mask
        self._scratch = Scratch()

    def _multiply(self, a: Values, b: Values, out: Values) -> None:
        np.matmul(a, b, out=out)

    def _product(self, a: Values, b: Values, out: Values, add: bool) -> None:
        if not add:
            self._multiply(a, b, out)
            return
        made = self._scratch(out)
        self._multiply(a, b, made)
        out += made

    def matrix(self, weight: Values) -> Values:
        made = weight.reshape(self.pre, self.post)
        if self.mask is not None:
            made = made * self.mask
        return made if self.scale == 1.0 else made * made.dtype.type(self.scale)

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        self._product(sent, self.matrix(weight), out, add)

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        self._product(arrived, self.matrix(weight).T, out, add)

    def gradient(self, sent: Values, arrived: Values, out: Values, add: bool = True) -> None:
        """As every product's; ``add`` False: ``out`` holds nothing yet."""
        whole = out.reshape(self.pre, self.post)
        direct = not add and np.shares_memory(whole, out)
        made = whole if direct else self._scratch(whole)
        self._multiply(sent.T, arrived, made)
        if self.scale != 1.0:
            made *= made.dtype.type(self.scale)
        if self.mask is not None:
            made *= self.mask
        if not direct:
            if add:
                out += made.reshape(out.shape)
            else:
                out[...] = made.reshape(out.shape)


#: Numbers that lists of synapses make at once.
AT_ONCE = 2_000_000


def _segments(of: Values) -> tuple[Values, Values, Values]:
    """(an order in which equal ones stand together, which ones there are, where each begins)."""
    order = np.argsort(of, kind="stable")
    where, begin = np.unique(of[order], return_index=True)
    return order, where, begin


class Sparse:
    """Listed synapses: gathered, scaled and added up by post neuron. ``pre_of`` and ``post_of`` are one index per synapse,
    ``shared`` that of
    its weight where synapses share them (convolutions)."""

    trained = True

    def __init__(
        self, pre_of: Values, post_of: Values, pre: int, post: int, scale: float, shared: Values | None = None
    ) -> None:
        self.pre_of, self.post_of, self.pre, self.post, self.scale = pre_of, post_of, pre, post, scale
        self.shared = shared
        self._into, self._out_of = _segments(post_of), _segments(pre_of)

    def _weights(self, weight: Values) -> Values:
        if self.shared is not None:
            return np.asarray(weight.reshape(-1)[self.shared] * weight.dtype.type(self.scale))
        return np.asarray(np.broadcast_to(weight.reshape(-1), self.pre_of.shape) * weight.dtype.type(self.scale))

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        self._add(sent, self.pre_of, self._into, weight, out, add)

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        self._add(arrived, self.post_of, self._out_of, weight, out, add)

    def _add(self, values: Values, source: Values, groups: tuple[Values, Values, Values], weight: Values, out: Values, add: bool) -> None:
        """Sums of segments: the synapses in the order of what they add to, some rows at a time."""
        order, where, begin = groups
        if not add:
            out[...] = 0
        if not order.size:
            return
        factor, source = self._weights(weight)[order][:, None], source[order]
        for first in range(0, values.shape[0], step := max(1, AT_ONCE // order.size)):
            part = slice(first, first + step)
            made = np.take(np.ascontiguousarray(values[part].T), source, axis=0)
            made *= factor
            out[part, where] += np.add.reduceat(made, begin, axis=0).T

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        made = np.zeros(self.pre_of.size, out.dtype)
        for first in range(0, sent.shape[0], step := max(1, AT_ONCE // max(1, self.pre_of.size))):
            a, b = (np.ascontiguousarray(values[first : first + step].T) for values in (sent, arrived))
            made += np.einsum("sr,sr->s", np.take(a, self.pre_of, axis=0), np.take(b, self.post_of, axis=0))
        made *= made.dtype.type(self.scale)
        if self.shared is not None:
            out += np.bincount(self.shared, made, out.size).reshape(out.shape).astype(out.dtype)
        elif out.size == 1:
            out += made.sum()
        else:
            out += made.reshape(out.shape)


class OneToOne:
    """Each neuron to its partner. ``pre_at`` and ``post_at`` are the connected parts."""

    trained = True

    def __init__(self, pre_at: slice | Values, post_at: slice | Values, scale: float) -> None:
        self.pre_at, self.post_at, self.scale = pre_at, post_at, scale

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        if not add:
            out[...] = 0
        out[:, self.post_at] += sent[:, self.pre_at] * (weight.reshape(-1) * weight.dtype.type(self.scale))

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        if not add:
            out[...] = 0
        out[:, self.pre_at] += arrived[:, self.post_at] * (weight.reshape(-1) * weight.dtype.type(self.scale))

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        made = np.einsum("rn,rn->n", sent[:, self.pre_at], arrived[:, self.post_at]) * self.scale
        if out.size == 1:
            out += made.sum()
        else:
            out += made.reshape(out.shape)


class Total:
    """Every neuron gets the sum of all, times ``scale``: what a reduction over a population is. Its weight is not trained."""

    trained = False

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        total = sent.sum(1, keepdims=True) * sent.dtype.type(self.scale)
        if add:
            out += total
        else:
            out[...] = total

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        self.forward(arrived, weight, out, add)

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        raise AssertionError("a sum over a population has no weight")


class Part:
    """Another product between parts of two populations."""

    trained = True

    def __init__(self, inner: Product, pre_at: slice | Values, post_at: slice | Values) -> None:
        self.inner, self.pre_at, self.post_at = inner, pre_at, post_at

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        if not add:
            out[...] = 0
        made = np.ascontiguousarray(out[:, self.post_at])
        self.inner.forward(np.ascontiguousarray(sent[:, self.pre_at]), weight, made, True)
        out[:, self.post_at] = made

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        if not add:
            out[...] = 0
        made = np.ascontiguousarray(out[:, self.pre_at])
        part = None if sent is None else np.ascontiguousarray(sent[:, self.pre_at])
        self.inner.transpose(np.ascontiguousarray(arrived[:, self.post_at]), weight, made, True, part)
        out[:, self.pre_at] = made

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        self.inner.gradient(
            np.ascontiguousarray(sent[:, self.pre_at]), np.ascontiguousarray(arrived[:, self.post_at]), out
        )


class Dropped:
    """Another product, some of whose senders or receivers are left out, each with its probability and for a whole presentation
    (Srivastava et al. 2014); the rest counts 1/(1 - p) times. ``draw`` makes the masks of a batch, ``clear`` takes them away: then nothing
    is left out. Rows are samples, or samples within steps."""

    trained = True

    def __init__(self, inner: Product, path: str, seed: int, probabilities: tuple[float, float], sizes: tuple[int, int], real: Any) -> None:
        self.inner, self.probabilities, self.real = inner, probabilities, real
        self.trained = inner.trained
        self._bases = [bases(key_of(seed, path, f"dropout {side}"), size) for side, size in zip(("sent", "arrived"), sizes, strict=True)]
        self.masks: list[Values | None] = [None, None]
        self._empty: Any = np.empty
        self._up: Any = np.asarray

    def on(self, inner: Product, xp: Any, up: Callable[[Values], Values]) -> Dropped:
        """The same where the arrays of ``xp`` are: masks are drawn on the host, so that they are those of every target, and go ``up``."""
        made = copy(self)
        made.inner, made._empty, made._up, made.masks = inner, xp.empty, up, [None, None]
        return made

    def draw(self, sample: int, batch: int) -> None:
        """Masks (batch, size) of the samples with these numbers: the same for the same seed, whatever the target."""
        numbers = np.arange(sample, sample + batch, dtype=np.int64)[:, None]
        for side, p in enumerate(self.probabilities):
            if p:
                kept = uniforms(self._bases[side][None, :], numbers) >= p
                self.masks[side] = self._up(kept.astype(self.real) * self.real.type(1.0 / (1.0 - p)))

    def clear(self) -> None:
        self.masks = [None, None]

    def _masked(self, values: Values, side: int) -> Values:
        mask = self.masks[side]
        if mask is None:
            return values
        masked: Values = (values.reshape(-1, *mask.shape) * mask).reshape(values.shape)
        return masked

    def _added(self, made: Values, out: Values, side: int, add: bool) -> None:
        made = self._masked(made, side)
        if add:
            out += made
        else:
            out[...] = made

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        sent = self._masked(sent, 0)
        if self.masks[1] is None:
            self.inner.forward(sent, weight, out, add)
            return
        made = self._empty(out.shape, out.dtype)
        self.inner.forward(sent, weight, made, False)
        self._added(made, out, 1, add)

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        arrived = self._masked(arrived, 1)
        given = None if sent is None else self._masked(sent, 0)
        if self.masks[0] is None:
            self.inner.transpose(arrived, weight, out, add, given)
            return
        made = self._empty(out.shape, out.dtype)
        self.inner.transpose(arrived, weight, made, False, given)
        self._added(made, out, 0, add)

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        self.inner.gradient(self._masked(sent, 0), self._masked(arrived, 1), out)


class Transposed:
    """Another product the other way round, with the same weights: what ``w = transpose(readout.w)`` does."""

    trained = True

    def __init__(self, inner: Product) -> None:
        self.inner = inner

    def forward(self, sent: Values, weight: Values, out: Values, add: bool) -> None:
        self.inner.transpose(sent, weight, out, add, None)

    def transpose(self, arrived: Values, weight: Values, out: Values, add: bool, sent: Values | None = None) -> None:
        self.inner.forward(arrived, weight, out, add)

    def gradient(self, sent: Values, arrived: Values, out: Values) -> None:
        self.inner.gradient(arrived, sent, out)
