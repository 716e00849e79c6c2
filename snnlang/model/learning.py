"""What a ``train`` block says, read: the data, the loss as a tree, the gradient, the optimizer and its schedule.

A loss is an expression of what the network does over a whole presentation. Its values have three axes, time, sample and neuron,
of which any
may have length 1; ``over`` names those that a function takes away. What is left at the end is averaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

from snnlang.diagnostics import Span
from snnlang.frozen import dataclass, field

Axis = Literal["time", "neurons", "samples"]
AXES: tuple[Axis, ...] = ("time", "samples", "neurons")

#: Functions that take axes away: (name, the axis that they take without ``over``).
REDUCTIONS: dict[str, tuple[Axis, ...]] = {
    "mean": ("time",),
    "sum": ("time",),
    "max": ("time",),
    "min": ("time",),
    "end": ("time",),
    "count": ("time",),
}

#: Losses and readouts with their parameters and defaults (None: must be given).
LOSSES: dict[str, tuple[tuple[str, float | None], ...]] = {
    "cross_entropy": (("scores", None), ("label", None)),
    "mse": (("x", None), ("target", None)),
    "one_hot": (("label", None), ("on", 1.0), ("off", 0.0)),
    "hinge": (("scores", None), ("label", None), ("margin", 1.0)),
    "first_spike": (("spikes", None),),
    "van_rossum": (("spikes", None), ("target", None), ("tau", None)),
    "filtered": (("x", None), ("tau", None)),
    "psc": (("x", None), ("tau", None)),
}

#: Functions of one or two numbers.
ELEMENTWISE: dict[str, int] = {
    "exp": 1, "log": 1, "sqrt": 1, "abs": 1, "tanh": 1, "sigmoid": 1, "softplus": 1, "relu": 1, "square": 1, "maximum": 2, "minimum": 2,
    "detach": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Given:
    """A number."""

    value: float


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the data: labels, target spike trains, target values."""

    name: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Reading:
    """A variable, the output or an event of a population in every step; of an event 1 where it happens. ``weights``: of a connection."""

    path: str
    variable: str
    weights: bool = False
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class StepNumber:
    """``n``: the number of the step, from 0."""

    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Apply:
    """A function of other values: an operator, one of :data:`REDUCTIONS`, :data:`LOSSES` or :data:`ELEMENTWISE`, or ``choose``."""

    function: str
    operands: tuple[Loss, ...]
    over: tuple[Axis, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)


Loss: TypeAlias = Given | Column | StepNumber | Reading | Apply


def readings(loss: Loss) -> Iterator[Reading]:
    """Everything that a loss reads of populations and connections."""
    if isinstance(loss, Reading):
        yield loss
    elif isinstance(loss, Apply):
        for operand in loss.operands:
            yield from readings(operand)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A name with numbers: an optimizer or a schedule."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Source:
    """A loader with its options (``given``: data from Python)."""

    loader: str
    options: dict[str, Any]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Training:
    """A ``train`` block. ``inputs`` bind the network's inputs to columns, ``columns`` are all of them; ``surrogate`` is the expression of
    ``margin`` that stands for the derivative of events (see :mod:`snnlang.model.expression`), ``through_reset`` whether gradients pass
    resets. ``validate`` is a part of the data or other data. ``clip`` bounds the norm of all gradients together. ``truncate`` and
    ``checkpoint`` are steps (None: all), ``micro_batch`` samples that go forwards and backwards together (None: as is best)."""

    data: Source
    inputs: dict[str, str]
    columns: tuple[str, ...]
    loss: Loss
    steps: int
    batch: int
    epochs: int
    optimizer: Recipe
    schedule: Recipe | None
    surrogate: Any
    through_reset: bool
    validate: float | Source | None
    test: Source | None
    clip: float | None
    truncate: int | None
    checkpoint: int | None
    freeze: tuple[tuple[str, str], ...]
    augment: Recipe | None = None
    micro_batch: int | None = None
    span: Span | None = field(default=None, compare=False, repr=False)


def mixes_samples(loss: Loss) -> Apply | None:
    """A part of a loss that takes samples together otherwise than the mean over all of them."""
    if not isinstance(loss, Apply):
        return None
    if "samples" in loss.over:
        return loss
    return next((found for operand in loss.operands if (found := mixes_samples(operand)) is not None), None)


#: Optimizers with their options and defaults.
OPTIMIZERS: dict[str, dict[str, float]] = {
    "sgd": {"lr": 0.1, "momentum": 0.0, "nesterov": 0.0, "weight_decay": 0.0},
    "adam": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.0},
    "adamw": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.01},
    "adamax": {"lr": 2e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.0},
    "rmsprop": {"lr": 1e-2, "alpha": 0.99, "epsilon": 1e-8, "momentum": 0.0, "weight_decay": 0.0},
}

#: Schedules of the learning rate with their options and defaults.
SCHEDULES: dict[str, dict[str, float]] = {
    "constant": {"warmup": 0.0},
    "cosine": {"warmup": 0.0, "floor": 0.0},
    "step": {"epochs": 10.0, "factor": 0.1, "warmup": 0.0},
    "plateau": {"factor": 0.5, "patience": 3.0, "floor": 0.0, "warmup": 0.0},
}

#: Changes of the samples of every epoch.
AUGMENTATIONS: dict[str, dict[str, float]] = {
    "images": {"shift": 0.0, "flip": 0.0, "noise": 0.0, "crop": 0.0},
    "events": {"shift": 0.0, "flip": 0.0, "jitter": 0.0, "drop": 0.0},
}
