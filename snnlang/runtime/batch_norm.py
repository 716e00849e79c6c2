"""Batch normalisation between what a connection delivers and the neurons: statistics, their gradients, and running ones for use.

``gain*scale*(x - mean)/sqrt(variance + epsilon) + shift`` for each channel of an image or each neuron (Ioffe & Szegedy 2015). In
training mean and variance are those of the batch: of each step alone, or, ``over = time``, of all steps together
(threshold-dependent with ``scale = V_th``: Zheng et al., AAAI 2021), and the gradient goes through them. Else they are the running
ones, and the map is linear. Where time is cut into segments, statistics over time need all of them first: the engine goes through the
segments once more for each layer with such stages, forwards and backwards, and asks this module to gather. Sums are of 64 bits and in
a fixed order. Refused: one number alone has no variance (E778).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.learning_plan import Layer, Link
from snnlang.diagnostics import SnnError, error
from snnlang.frozen import dataclass
from snnlang.model.network import BatchNorm
from snnlang.runtime.batch_norm_work import Work, work_of
from snnlang.runtime.learning_arrays import Arrays
from snnlang.runtime.products import Product

Values = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """One ``batch_norm``: whose arrivals it normalises, of how many channels and places, and the arrays of its numbers, (channels,)."""

    path: str
    rule: BatchNorm
    channels: int
    places: int
    gain: str
    shift: str
    mean: str
    variance: str


class Normaliser:
    """A stage in one engine. Arrivals are (steps, batch, size); a group of them shares its statistics.

    ``gathering``: ``forward`` or ``backward`` while sums over several segments are collected. ``counting``: statistics of this batch
    count for the running ones.
    """

    def __init__(self, stage: Stage, values: Mapping[str, Values], xp: Any, work: Work) -> None:
        self.stage, self.values, self.xp, self.work = stage, values, xp, work
        self.training = self.counting = self._done = False
        self.gathering = ""
        self._settled: tuple[Values, Values] | None = None
        self._turned: tuple[Values, Values] | None = None
        self._groups: list[tuple[int, Values, Values]] = []
        self._inverse: dict[int, Values] = {}
        self._count = 0

    # --- a batch ------------------------------------------------------------------------------------------------------

    def begin(self, training: bool) -> None:
        """A new batch: nothing is known of it."""
        self.training, self.counting, self.gathering, self._done = training, training, "", False
        self._settled = self._turned = None
        self._groups.clear()
        self._inverse.clear()

    def finish(self) -> None:
        """The forward pass is done: running statistics move towards those of this batch, the variance being that of a sample."""
        if self.training:
            mean, variance = (self.xp.zeros(self.stage.channels, np.float64) for _ in range(2))
            for count, centre, square in self._groups:
                mean += centre
                variance += square / (count - 1)
            for name, total in ((self.stage.mean, mean), (self.stage.variance, variance)):
                running = self.values[name]
                running += ((total / len(self._groups) - running) * self.stage.rule.momentum).astype(running.dtype)
        self.counting, self._done = False, True

    # --- forward ------------------------------------------------------------------------------------------------------

    def forward(self, raw: Values, out: Values, add: bool, at: int = 0) -> None:
        """From what was delivered to ``out``, both (steps, batch, size) from step ``at`` of the segment on. ``raw`` is then normalised."""
        x = self._shaped(raw)
        if self.gathering == "forward":
            count = x.shape[1] * x.shape[3]
            mean = self.work.total(x) / count
            self._groups.append((count, mean[0], self.work.total(x, around=mean)[0]))
            return
        mean, inverse = self._statistics(x)
        self._inverse[at] = inverse
        gain = self.values[self.stage.gain] * self.stage.rule.scale
        self.work.apply(x, mean, inverse, gain, self.values[self.stage.shift], self._shaped(out), add)

    def _statistics(self, x: Values) -> tuple[Values, Values]:
        """(mean, 1/sqrt(variance + epsilon)), (groups, channels) each."""
        if not self.training:
            mean, variance = (
                self.values[name].astype(np.float64)[None] for name in (self.stage.mean, self.stage.variance)
            )
            return mean, self._inverse_of(variance)
        if self._settled is not None:
            return self._settled
        self._count = x.shape[1] * x.shape[3]
        if self._count < 2:
            raise alone(self.stage)
        mean = self.work.total(x) / self._count
        square = self.work.total(x, around=mean)
        if self.counting:
            self._groups += [(self._count, mean[g], square[g]) for g in range(x.shape[0])]
        return mean, self._inverse_of(square / self._count)

    # --- statistics over several segments -----------------------------------------------------------------------------

    def gather(self, way: str) -> None:
        """The next passes collect sums, ``forward`` or ``backward``."""
        self.gathering = way
        if way == "backward":
            self._turned = None

    def settle(self) -> None:
        """What was gathered in segments is one group (sums joined as in Chan et al. 1983), or, backwards, two sums."""
        if self.gathering == "forward":
            count, mean, square = self._groups[0]
            for more, other, spread in self._groups[1:]:
                apart = other - mean
                square = square + spread + apart * apart * (count * more / (count + more))
                mean = mean + apart * (more / (count + more))
                count += more
            if count < 2:
                raise alone(self.stage)
            self._groups[:] = [(count, mean, square)]
            self._count, self._settled = count, (mean[None], self._inverse_of(square[None] / count))
        self.gathering = ""

    def count_on(self) -> None:
        """Statistics of this batch count again, unless they are there, or the forward pass is done."""
        self.counting = self.training and self._settled is None and not self._done

    # --- backward -----------------------------------------------------------------------------------------------------

    def backward(self, bars: Values, kept: Values, out: Values, gradients: Mapping[str, Values], at: int = 0) -> None:
        """From the adjoint of what left to that of what was delivered, and to those of gain and shift. ``kept`` is what forward left."""
        x, y = self._shaped(kept), self._shaped(bars)
        sums, products = self.work.total(y), self.work.total(x, times=y)
        if self.gathering == "backward":
            known = self._turned
            self._turned = (sums, products) if known is None else (known[0] + sums, known[1] + products)
            return
        scale = self.stage.rule.scale
        for name, value in ((self.stage.shift, sums.sum(0)), (self.stage.gain, products.sum(0) * scale)):
            if name in gradients:
                total = gradients[name]
                total += value.astype(total.dtype)
        if self._turned is not None:
            sums, products = self._turned
        factor = self._inverse[at] * (self.values[self.stage.gain].astype(np.float64) * scale)
        share = 1.0 / self._count if self.training else 0.0  # running statistics depend on nothing
        self.work.turn(y, x, sums * share, products * share, factor, self._shaped(out))

    # --- arrays -------------------------------------------------------------------------------------------------------

    def _shaped(self, values: Values) -> Values:
        """(groups, rows, channels, places)."""
        steps, batch = values.shape[:2]
        together = self.stage.rule.over_time or not self.training
        groups = (1, steps * batch) if together else (steps, batch)
        return values.reshape(*groups, self.stage.channels, self.stage.places)

    def _inverse_of(self, variance: Values) -> Values:
        made: Values = 1.0 / np.sqrt(variance + self.stage.rule.epsilon)
        return made


def alone(stage: Stage) -> SnnError:
    """E778: there is nothing to compare a number with."""
    return error(
        "E778",
        f"batch_norm of `{stage.path}` gets a batch with one number for each neuron",
        stage.rule.span,
        "one number has no variance",
        help="train with a `batch` of two samples or more that leaves no single sample for the last batch of an epoch",
    )


class Normalisers:
    """The stages of an engine by link. They hold what was delivered, and, on the way back, the adjoints of that."""

    def __init__(self, stages: Mapping[str, Stage], values: Mapping[str, Values], arrays: Arrays, real: Any) -> None:
        self.arrays, self.real = arrays, real
        work = work_of(arrays, real) if stages else None
        self._of = {
            name: Normaliser(stage, values, arrays.xp, work) for name, stage in stages.items() if work is not None
        }
        self._buffers: dict[tuple[str, str], Values] = {}
        self._segment, self._batch = 0, 0

    def __contains__(self, name: object) -> bool:
        return name in self._of

    def begin(self, segment: int, batch: int, training: bool) -> None:
        """A new batch."""
        if (segment, batch) != (self._segment, self._batch):
            self._buffers.clear()
        self._segment, self._batch = segment, batch
        for one in self._of.values():
            one.begin(training)

    def finish(self) -> None:
        """The forward pass of a batch is done."""
        for one in self._of.values():
            one.finish()

    def pooled(
        self, training: bool, layers: Sequence[Layer], still: Callable[[str], bool], links: Sequence[Link]
    ) -> list[tuple[int, list[str]]]:
        """Which stages need all steps before the first, by the layer they lead to, in the order of the forward pass."""
        found: dict[int, list[str]] = {}
        for link in links:
            one = self._of.get(link.name)
            if one is not None and training and one.stage.rule.over_time and not still(link.name):
                layer = next(number for number, layer in enumerate(layers) if link.after in layer.cells)
                found.setdefault(layer, []).append(link.name)
        return sorted(found.items())

    def gather(self, names: Sequence[str], way: str) -> None:
        """Collect the sums of these, ``forward`` or ``backward``; meanwhile nothing counts for running statistics."""
        for name, one in self._of.items():
            one.counting = False
            if name in names:
                one.gather(way)

    def settle(self, names: Sequence[str]) -> None:
        """The sums of these are complete."""
        for name in names:
            self._of[name].settle()
        for one in self._of.values():
            one.count_on()

    def _buffer(self, name: str, what: str, steps: int) -> Values:
        """(steps, batch, size)."""
        stage, key = self._of[name].stage, (name, what)
        if key not in self._buffers:
            self._buffers[key] = self.arrays.xp.empty((steps, self._batch, stage.channels * stage.places), self.real)
        return self._buffers[key]

    def bytes(self, segment: int, batch: int) -> int:
        """What all of them will hold."""
        size = sum(one.stage.channels * one.stage.places for one in self._of.values())
        return int(2 * segment * batch * size * self.real.itemsize)

    def held(self) -> int:
        """Bytes that they hold."""
        return sum(value.nbytes for value in self._buffers.values())

    def forward(
        self, name: str, product: Product, sent: Values, weight: Values, out: Values, add: bool, at: int = 0
    ) -> None:
        """What a connection delivers, (rows, size), normalised into ``out``, from step ``at`` of a segment on."""
        steps = sent.shape[0] // self._batch
        raw = self._buffer(name, "delivered", self._segment)[at : at + steps]
        rows = raw.reshape(-1, raw.shape[-1])
        product.forward(sent, weight, rows, False)
        self._of[name].forward(raw, out.reshape(raw.shape), add, at)

    def turn(self, name: str, bars: Values, gradients: Mapping[str, Values], at: int = 0) -> Values:
        """The adjoint of what a connection delivered, (rows, size), from that of what arrived."""
        steps = bars.shape[0] // self._batch
        kept = self._buffer(name, "delivered", self._segment)[at : at + steps]
        out = self._buffer(name, "turned", self._segment)[at : at + steps]
        self._of[name].backward(bars.reshape(kept.shape), kept, out, gradients, at)
        return out.reshape(-1, out.shape[-1])

    def turned(self, name: str, rows: int) -> Values:
        """What :meth:`turn` gave last, from the first step of the segment on."""
        made = self._buffer(name, "turned", self._segment)
        return made.reshape(-1, made.shape[-1])[:rows]


__all__ = ["Normaliser", "Normalisers", "Stage", "alone"]
