"""Samples changed at random while a network is trained: images moved, mirrored, cut and made noisy, events jittered and dropped.

Every change is a function of the seed, the epoch and the sample, never of the order in which samples come: training can stop and go on,
with other batches or threads, and sees the same numbers. A function from Python gets one sample and a random generator made from the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.random import bases, key_of, normals, uniforms, words
from snnlang.data.columns import Rows
from snnlang.data.events import Events
from snnlang.diagnostics import Span, error
from snnlang.frozen import dataclass

Images = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Draws:
    """Random numbers of an epoch; ``place`` tells several augmentations of one kind apart."""

    seed: int
    epoch: int
    place: int = 0

    def uniforms(self, rows: Rows, count: int) -> NDArray[np.float64]:
        """[rows, count] in [0, 1)."""
        base = bases(key_of(self.seed, "augment", f"{self.place}/{self.epoch}"), rows)
        return np.stack([uniforms(base, number) for number in range(count)], axis=1)

    def normals(self, row: int, count: int) -> NDArray[np.float64]:
        """[count] for one sample."""
        return normals(bases(key_of(self.seed, "augment", f"{self.place}/{self.epoch}"), count), row)

    def chances(self, row: int, count: int) -> NDArray[np.float64]:
        """[count] for one sample, in [0, 1)."""
        return uniforms(bases(key_of(self.seed, "augment", f"{self.place}/{self.epoch}"), count), row)

    def generator(self, row: int) -> np.random.Generator:
        """NumPy's counter-based generator for one sample."""
        base = bases(key_of(self.seed, "augment", f"{self.place}/{self.epoch}"), np.array([row]))
        return np.random.Generator(np.random.Philox(key=int(words(base, 0)[0])))


class Augmentation(ABC):
    """Changes images, [samples, …, rows, columns]."""

    __slots__ = ()

    def shape(self, before: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one sample afterwards."""
        return before

    @abstractmethod
    def apply(self, x: Images, rows: Rows, draws: Draws) -> Images:
        """The changed samples; ``x`` may be changed in place."""


class EventAugmentation(ABC):
    """Changes the events of a recording before they become frames."""

    __slots__ = ()

    @abstractmethod
    def apply(self, events: Events, row: int, draws: Draws) -> Events:
        """The changed events."""


class Shift(Augmentation):
    """Moves each image by up to ``most`` pixels along both axes; what comes in is 0."""

    __slots__ = ("most",)

    def __init__(self, most: int = 2) -> None:
        self.most = _whole("shift", most, 1)

    def shape(self, before: tuple[int, ...]) -> tuple[int, ...]:
        if len(before) < 2 or self.most >= min(before[-2:]):
            raise error(
                "E632",
                f"a shift of up to {self.most} pixels moves a sample of shape {list(before)} out of sight",
                help="choose a smaller shift",
            )
        return before

    def apply(self, x: Images, rows: Rows, draws: Draws) -> Images:
        made = np.zeros_like(x)
        steps = (draws.uniforms(rows, 2) * (2 * self.most + 1)).astype(np.int64) - self.most
        height, width = x.shape[-2:]
        for place, (dy, dx) in enumerate(steps):
            if abs(dy) < height and abs(dx) < width:
                into = made[place, ..., max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
                into[...] = x[place, ..., max(0, -dy) : height + min(0, -dy), max(0, -dx) : width + min(0, -dx)]
        return made


class Flip(Augmentation):
    """Mirrors half of the images from left to right."""

    __slots__ = ()

    def apply(self, x: Images, rows: Rows, draws: Draws) -> Images:
        chosen = draws.uniforms(rows, 1)[:, 0] < 0.5
        x[chosen] = x[chosen][..., ::-1]
        return x


class Crop(Augmentation):
    """Cuts ``height`` x ``width`` pixels out of each image at a random place."""

    __slots__ = ("height", "width")

    def __init__(self, height: int, width: int | None = None) -> None:
        self.height = _whole("crop", height, 1)
        self.width = _whole("crop", height if width is None else width, 1)

    def shape(self, before: tuple[int, ...]) -> tuple[int, ...]:
        if len(before) < 2 or before[-2] < self.height or before[-1] < self.width:
            raise error(
                "E632",
                f"a sample of shape {list(before)} has no {self.height} x {self.width} pixels to cut out",
                help="choose a smaller crop",
            )
        return (*before[:-2], self.height, self.width)

    def apply(self, x: Images, rows: Rows, draws: Draws) -> Images:
        made = np.empty((len(x), *self.shape(x.shape[1:])), dtype=np.float32)
        room = np.array([x.shape[-2] - self.height + 1, x.shape[-1] - self.width + 1])
        for place, (top, left) in enumerate((draws.uniforms(rows, 2) * room).astype(np.int64)):
            made[place] = x[place, ..., top : top + self.height, left : left + self.width]
        return made


class Middle(Crop):
    """Cuts the middle out of each image: what is measured where random crops are learnt from."""

    __slots__ = ()

    def apply(self, x: Images, rows: Rows, draws: Draws) -> Images:
        self.shape(x.shape[1:])
        top, left = (x.shape[-2] - self.height) // 2, (x.shape[-1] - self.width) // 2
        return x[..., top : top + self.height, left : left + self.width]


class Noise(Augmentation):
    """Adds normal noise of standard deviation ``sigma`` to every value."""

    __slots__ = ("sigma",)

    def __init__(self, sigma: float = 0.1) -> None:
        self.sigma = _number("noise", sigma)

    def apply(self, x: Images, rows: Rows, draws: Draws) -> Images:
        for place, row in enumerate(rows):
            one = x[place]
            one += (self.sigma * draws.normals(int(row), one.size)).astype(np.float32).reshape(one.shape)
        return x


class Jitter(EventAugmentation):
    """Moves each event in time, normally distributed with ``sigma`` microseconds, never before 0."""

    __slots__ = ("sigma",)

    def __init__(self, sigma: float = 1000.0) -> None:
        self.sigma = _number("jitter", sigma)

    def apply(self, events: Events, row: int, draws: Draws) -> Events:
        t = np.maximum(0, events.t + np.rint(self.sigma * draws.normals(row, len(events))).astype(np.int64))
        return Events(t, events.x, events.y, events.p).only(np.argsort(t, kind="stable"))


class Drop(EventAugmentation):
    """Leaves out each event with a probability."""

    __slots__ = ("probability",)

    def __init__(self, probability: float = 0.1) -> None:
        self.probability = _number("drop", probability)
        if self.probability > 1:
            raise error(
                "E632", f"events cannot be dropped with probability {probability:g}", help="write a number from 0 to 1"
            )

    def apply(self, events: Events, row: int, draws: Draws) -> Events:
        return events.only(draws.chances(row, len(events)) >= self.probability)


class Each(Augmentation):
    """A function of Python: ``f(sample)`` or ``f(sample, generator)`` gives the changed sample."""

    __slots__ = ("after", "function", "random")

    def __init__(self, function: Callable[..., Any], sample: Images) -> None:
        import inspect

        self.function = function
        try:
            self.random = len(inspect.signature(function).parameters) > 1
        except (TypeError, ValueError):  # builtins have no signature
            self.random = False
        self.after: tuple[int, ...] = np.shape(self._of(sample.copy(), Draws(0, 0).generator(0)))

    def shape(self, before: tuple[int, ...]) -> tuple[int, ...]:
        return self.after

    def apply(self, x: Images, rows: Rows, draws: Draws) -> Images:
        made = np.empty((len(x), *self.after), dtype=np.float32)
        for place, row in enumerate(rows):
            one = np.asarray(self._of(x[place], draws.generator(int(row)) if self.random else None))
            if one.shape != self.after:
                raise error(
                    "E632",
                    f"{_named(self.function)} made a sample of shape {list(one.shape)}, and of the first {list(self.after)}",
                    help="return samples of one shape",
                )
            made[place] = one
        return made

    def _of(self, sample: Images, generator: np.random.Generator | None) -> Any:
        return self.function(sample, generator) if self.random else self.function(sample)


#: By the name of the language and of Python's option ``augment``.
AUGMENTATIONS: dict[str, Callable[..., Augmentation | EventAugmentation]] = {
    "shift": Shift,
    "flip": Flip,
    "crop": Crop,
    "noise": Noise,
    "jitter": Jitter,
    "drop": Drop,
}


def collect(
    given: object, first: Callable[[], Images], span: Span | None = None
) -> tuple[list[EventAugmentation], list[Augmentation]]:
    """What ``augment`` says, sorted into changes of events and of frames; ``first`` gives a sample to try functions with."""
    items: Sequence[Any] = given if isinstance(given, list | tuple) else [] if given is None else [given]
    early: list[EventAugmentation] = []
    late: list[Augmentation] = []
    for item in items:
        made = AUGMENTATIONS[item]() if isinstance(item, str) and item in AUGMENTATIONS and item != "crop" else item
        if isinstance(made, EventAugmentation):
            early.append(made)
        elif isinstance(made, Augmentation):
            late.append(made)
        elif callable(made):
            sample = first()[None]
            for one in late:
                sample = one.apply(sample, np.zeros(1, dtype=np.int64), Draws(0, 0))
            late.append(Each(made, sample[0]))
        else:
            raise error(
                "E632",
                f"{item!r} is no augmentation",
                span,
                help=f"give a function, an object of snnlang.data.augment, or a name: {', '.join(n for n in AUGMENTATIONS if n != 'crop')}",
            )
    return early, late


def _named(function: Callable[..., Any]) -> str:
    return f"`{getattr(function, '__name__', type(function).__name__)}`"


def _whole(what: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or int(value) != value or value < least:
        raise error(
            "E632", f"{what} takes whole numbers from {least}, and this is {value!r}", help=f"write {least} or more"
        )
    return int(value)


def _number(what: str, value: Any) -> float:
    if not 0 <= float(value) < float("inf"):
        raise error("E632", f"{what} takes a number from 0, and this is {value!r}", help="write 0 or more")
    return float(value)
