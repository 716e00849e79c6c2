"""Losses: values and derivatives of the expressions that :mod:`snnlang.model.training` reads.

Every value is an array with the axes (time, sample, neuron), of which any may have length 1. A sum over the steps of something that a
population does (``mean``, ``sum``, ``count``, ``end`` over time) is asked of the engine as a weighted sum, so that nothing of
every step need be
kept for it; everything else is asked for in every step. The loss is the mean of what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import SnnError, Span, error
from snnlang.frozen import dataclass
from snnlang.model.learning import AXES, Apply, Column, Given, Loss, Reading, StepNumber

Values = NDArray[Any]
_LINEAR = ("mean", "sum", "end")
_AXIS: dict[str, int] = {axis: number for number, axis in enumerate(AXES)}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a loss needs of a population: its ``variable`` in every step, or summed over the steps with ``weights``."""

    label: str
    path: str
    variable: str
    weights: tuple[float, ...] | None
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The loss of a batch, the derivative by every readout and by the weights that the loss names, and what was guessed (scores) and
    right (labels), where the loss compares them."""

    loss: float
    adjoints: dict[str, Values]
    weights: dict[str, Values]
    scores: Values | None
    labels: Values | None

    def times(self, factor: float) -> Outcome:
        """The same of a loss that is ``factor`` times as large: what some samples of a batch say of the mean over all of it."""

        def scaled(values: Mapping[str, Values]) -> dict[str, Values]:
            return {name: value * value.dtype.type(factor) for name, value in values.items()}

        return Outcome(self.loss * factor, scaled(self.adjoints), scaled(self.weights), self.scores, self.labels)


def joined(parts: Sequence[Outcome]) -> Outcome:
    """What the samples of a batch say together, of which each part tells its share."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    return Outcome(
        sum(part.loss for part in parts),
        {name: np.concatenate([part.adjoints[name] for part in parts], -2) for name in first.adjoints},
        {name: np.sum([part.weights[name] for part in parts], 0) for name in first.weights},
        None if first.scores is None else np.concatenate([part.scores for part in parts if part.scores is not None]),
        None if first.labels is None else np.concatenate([part.labels for part in parts if part.labels is not None]),
    )


class LossFunction:
    """A loss for presentations of ``steps`` steps of ``dt`` ms; ``classes`` neurons are compared with labels."""

    def __init__(self, loss: Loss, steps: int, dt: float, classes: int) -> None:
        self.loss = loss
        self.steps, self.dt, self.classes = steps, dt, classes
        self.asked: dict[str, Asked] = {}
        self._ask(loss)

    def _ask(self, node: Loss) -> None:
        match node:
            case Apply(function=function, operands=(Reading(weights=False) as reading,), over=over) if (
                function in _LINEAR and "time" in over
            ):
                label = f"{reading.path}.{reading.variable}:{function}"
                self.asked[label] = Asked(label, reading.path, reading.variable, self.weights_of(function), reading.span)
            case Reading(weights=False):
                label = f"{node.path}.{node.variable}"
                self.asked[label] = Asked(label, node.path, node.variable, None, node.span)
            case Apply(operands=operands):
                for operand in operands:
                    self._ask(operand)

    def weights_of(self, function: str) -> tuple[float, ...]:
        """Weights of the steps with which ``mean``, ``sum``, ``count`` or ``end`` sums."""
        if function == "mean":
            return (1.0 / self.steps,) * self.steps
        if function == "sum":
            return (1.0,) * self.steps
        return (0.0,) * (self.steps - 1) + (1.0,)

    @property
    def compares(self) -> bool:
        """Whether the loss compares scores with labels, so that there is an accuracy."""

        def look(node: Loss) -> bool:
            if not isinstance(node, Apply):
                return False
            return node.function in ("cross_entropy", "hinge", "one_hot") or any(look(operand) for operand in node.operands)

        return look(self.loss)

    def by_number(self) -> list[tuple[str, Column]]:
        """Where `mse` compares what a population does with a column of the data as it is: (population, column)."""
        found: list[tuple[str, Column]] = []

        def look(node: Loss) -> None:
            if not isinstance(node, Apply):
                return
            if node.function == "mse" and isinstance(target := node.operands[1], Column):
                found.extend((path, target) for path in _populations(node.operands[0]))
            for operand in node.operands:
                look(operand)

        look(self.loss)
        return found

    @cached_property
    def weight_names(self) -> tuple[tuple[str, str], ...]:
        """Connections whose weights the loss names: (path, variable)."""
        found: dict[tuple[str, str], None] = {}

        def look(node: Loss) -> None:
            if isinstance(node, Reading) and node.weights:
                found[node.path, node.variable] = None
            elif isinstance(node, Apply):
                for operand in node.operands:
                    look(operand)

        look(self.loss)
        return tuple(found)

    def __call__(
        self,
        readouts: Mapping[str, Values],
        columns: Mapping[str, Values],
        weights: Mapping[str, Values] | None = None,
        *,
        gradient: bool = True,
    ) -> Outcome:
        """The loss of one batch. ``columns`` have the samples first."""
        work = _Evaluation(self, readouts, columns, weights or {})
        with np.errstate(all="ignore"):  # what is not finite is looked for, and said with its place
            value = work.value(self.loss)
            loss = float(np.mean(value, dtype=np.float64))
            if gradient:
                work.push(self.loss, np.full(value.shape, 1.0 / value.size, value.dtype))
        return Outcome(loss, work.adjoints, work.weight_adjoints, work.scores, work.labels)


#: Functions that do not put their operands together place by place, or know themselves what fits.
_APART = frozenset({"mean", "sum", "max", "min", "end", "cross_entropy", "hinge", "one_hot", "first_spike", "filtered"})


class _Evaluation:
    def __init__(
        self,
        loss: LossFunction,
        readouts: Mapping[str, Values],
        columns: Mapping[str, Values],
        weights: Mapping[str, Values],
    ) -> None:
        self.of = loss
        self.readouts, self.columns, self.given = readouts, columns, weights
        self.known: dict[int, Values] = {}
        self.classes: dict[int, Values] = {}  # labels that were checked
        self.powers: dict[int, tuple[Values, Values]] = {}  # of a cross-entropy: exp(scores - greatest), and their sums
        self.adjoints: dict[str, Values] = {label: np.zeros_like(value) for label, value in readouts.items()}
        self.weight_adjoints: dict[str, Values] = {}
        self.scores: Values | None = None
        self.labels: Values | None = None
        self.real = next(iter(readouts.values())).dtype

    # --- forward ------------------------------------------------------------------------------------------------------

    def value(self, node: Loss) -> Values:
        found = self.known.get(id(node))
        if found is None:
            if isinstance(node, Apply) and node.function not in _APART:
                self._fit(node)
            found = self.known[id(node)] = self._value(node)
        return found

    def _fit(self, node: Apply) -> None:
        """Refuse operands of different length: 10 neurons have no difference from 100."""
        shapes = [self.value(operand).shape for operand in node.operands]
        for axis, lengths in zip(AXES, zip(*shapes)):
            unlike = sorted({length for length in lengths if length != 1})
            if len(unlike) > 1:
                raise error(
                    "E753",
                    f"`{node.function}` of the loss is given {unlike[0]} and {unlike[1]} {'steps' if axis == 'time' else axis}",
                    node.span,
                    help="give targets of the shape of what the loss reads, or take an axis away: `mean(…, over = neurons)`",
                )

    def _value(self, node: Loss) -> Values:
        match node:
            case Given(value=number):
                return np.full((1, 1, 1), number, self.real)
            case Column(name=name):
                return self._column(name)
            case StepNumber():
                return np.arange(self.of.steps, dtype=self.real).reshape(-1, 1, 1)
            case Reading(weights=True):
                return np.asarray(self.given[f"{node.path}.{node.variable}"], self.real).reshape(1, 1, -1)
            case Reading():
                return np.asarray(self.readouts[f"{node.path}.{node.variable}"])
            case Apply(function=function, operands=(Reading(weights=False) as reading,), over=over) if (
                function in _LINEAR and "time" in over
            ):
                summed = self.readouts[f"{reading.path}.{reading.variable}:{function}"][None]
                return self._reduced(function, summed, tuple(axis for axis in over if axis != "time"))
            case Apply(function=function, operands=operands, over=over):
                if function in ("mean", "sum", "max", "min", "end"):
                    return self._reduced(function, self.value(operands[0]), over)
                special = getattr(self, f"_{function}", None) if function.isidentifier() else None
                if special is not None:
                    made: Values = special(node)
                    return made
                return np.asarray(_FORWARD[function](*(self.value(operand) for operand in operands)))
        raise AssertionError(node)

    def _column(self, name: str) -> Values:
        column = np.asarray(self.columns[name])
        if column.ndim == 1:
            return np.asarray(column.astype(self.real).reshape(1, -1, 1))
        if column.ndim == 2:
            return np.asarray(column.astype(self.real)[None])
        flat = column.reshape(column.shape[0], column.shape[1], -1)
        if flat.shape[1] == self.of.steps:
            return np.ascontiguousarray(flat.transpose(1, 0, 2)).astype(self.real)
        return np.asarray(column.reshape(1, column.shape[0], -1).astype(self.real))

    @staticmethod
    def _reduced(function: str, value: Values, over: tuple[str, ...]) -> Values:
        axes = tuple(_AXIS[axis] for axis in over)
        if not axes:
            return value
        if function == "end":
            return np.asarray(value[-1:] if 0 in axes else value)
        return np.asarray(getattr(np, function)(value, axis=axes, keepdims=True))

    def _label(self, node: Loss) -> Values:
        """Labels as whole numbers (sample,), checked once."""
        known = self.classes.get(id(node))
        if known is not None:
            return known
        name = node.name if isinstance(node, Column) else ""
        given = np.asarray(self.columns[name]) if name else self.value(node).reshape(-1)
        whole = given if given.dtype.kind in "iu" else np.rint(given)
        if given[:1].size > 1 or (whole is not given and not np.array_equal(whole, given)):
            raise self._no_class(given, node)
        labels = whole.reshape(-1).astype(np.int64, copy=False)
        least, greatest = (labels.min(), labels.max()) if labels.size else (0, 0)
        if labels.size and (least < 0 or greatest >= self.of.classes):
            wrong = greatest if greatest >= self.of.classes else least
            raise error(
                "E752",
                f"the data has the label {wrong}, and {self.of.classes} neurons stand for the labels 0 to {self.of.classes - 1}",
                getattr(node, "span", None),
                help=f"give the readout {int(labels.max()) + 1} neurons, or renumber the labels",
            )
        self.classes[id(node)] = labels
        return np.asarray(labels)

    @staticmethod
    def _no_class(given: Values, node: Loss) -> SnnError:
        """Labels that are targets: several numbers for each sample, or numbers between classes."""
        span = getattr(node, "span", None)
        if given[:1].size > 1:
            what = f"a label is the number of a class, and the data has {given[:1].size} numbers for each sample"
            return error("E752", what, span, help="give `labels.argmax(1)` where they are one-hot, or compare with `mse`")
        first = float(given.reshape(-1)[np.argmax(given.reshape(-1) != np.rint(given).reshape(-1))])
        what = f"a label is the number of a class, and the data has the label {first:g}"
        return error("E752", what, span, help="number the classes from 0, or compare with `mse`")

    def _cross_entropy(self, node: Apply) -> Values:
        scores, labels = self.value(node.operands[0]), self._label(node.operands[1])
        self.scores, self.labels = scores[0] if scores.shape[0] == 1 else scores.mean(0), labels
        shifted = scores - scores.max(2, keepdims=True)
        powers = np.exp(shifted)
        total = powers.sum(2, keepdims=True)
        self.powers[id(node)] = powers, total
        return np.asarray(np.log(total) - shifted[:, np.arange(labels.size), labels][:, :, None])

    def _hinge(self, node: Apply) -> Values:
        scores, labels, margin = (
            self.value(node.operands[0]),
            self._label(node.operands[1]),
            self.value(node.operands[2]),
        )
        self.scores, self.labels = scores.mean(0), labels
        return np.asarray(np.maximum(self._violations(scores, labels, margin), 0).sum(2, keepdims=True) / scores.shape[2])

    @staticmethod
    def _violations(scores: Values, labels: Values, margin: Values) -> Values:
        index = np.broadcast_to(labels[None, :, None], (*scores.shape[:2], 1))
        made = margin + scores - np.take_along_axis(scores, index, 2)
        np.put_along_axis(made, index, 0, 2)
        return np.asarray(made)

    def _one_hot(self, node: Apply) -> Values:
        labels = self._label(node.operands[0])
        on, off = (float(self.value(operand).reshape(-1)[0]) for operand in node.operands[1:3])
        made = np.full((1, labels.size, self.of.classes), off, self.real)
        made[0, np.arange(labels.size), labels] = on
        if self.labels is None:
            self.labels = labels
        return made

    def _mse(self, node: Apply) -> Values:
        x, target = self.value(node.operands[0]), self.value(node.operands[1])
        if _holds(node.operands[1], "one_hot"):
            self.scores = x.mean(0)
        return np.asarray((x - target) ** 2)

    def _first_spike(self, node: Apply) -> Values:
        silent = np.cumprod(1 - self.value(node.operands[0]), axis=0)
        return np.asarray(silent.sum(0, keepdims=True) * self.of.dt)

    def _decay(self, tau: Loss) -> float:
        return float(np.exp(-self.of.dt / float(self.value(tau).reshape(-1)[0])))

    @staticmethod
    def _filter(x: Values, decay: float) -> Values:
        made = np.array(x)
        for step in range(1, made.shape[0]):
            made[step] += made[step - 1] * made.dtype.type(decay)
        return made

    def _each(self, node: Loss) -> Values:
        """A value in every step, also where all are the same."""
        value = self.value(node)
        return np.broadcast_to(value, (self.of.steps, *value.shape[1:])) if value.shape[0] == 1 else value

    def _filtered(self, node: Apply) -> Values:
        return self._filter(self._each(node.operands[0]), self._decay(node.operands[1]))

    def _gain(self, tau: Loss) -> float:
        """dt/tau: what Euler's step of a current decays by, and what a spike adds to it."""
        return self.of.dt / float(self.value(tau).reshape(-1)[0])

    def _psc(self, node: Apply) -> Values:
        gain = self._gain(node.operands[1])
        return np.asarray(self._filter(self._each(node.operands[0]), 1 - gain) * self.real.type(gain))

    def _van_rossum(self, node: Apply) -> Values:
        difference = self.value(node.operands[0]) - self.value(node.operands[1])
        tau = float(self.value(node.operands[2]).reshape(-1)[0])
        filtered = self._filter(difference, self._decay(node.operands[2]))
        return np.asarray((filtered**2).sum(0, keepdims=True) * self.real.type(self.of.dt / tau))

    # --- backward -----------------------------------------------------------------------------------------------------

    def push(self, node: Loss, bar: Values) -> None:
        """Add the derivative of the loss by what ``node`` is made of; ``bar`` is that by ``node``."""
        match node:
            case Given() | Column() | StepNumber():
                return
            case Reading(weights=True):
                name = f"{node.path}.{node.variable}"
                self.weight_adjoints[name] = self.weight_adjoints.get(name, 0) + bar.reshape(-1)
                return
            case Reading():
                self.adjoints[f"{node.path}.{node.variable}"] += bar
                return
            case Apply(function=function, operands=(Reading(weights=False) as reading,), over=over) if (
                function in _LINEAR and "time" in over
            ):
                label = f"{reading.path}.{reading.variable}:{function}"
                summed = self.readouts[label][None]
                self.adjoints[label] += self._spread(function, summed, tuple(a for a in over if a != "time"), bar)[0]
                return
        operands = node.operands
        values = [self.value(operand) for operand in operands]
        match node.function:
            case "mean" | "sum" | "max" | "min" | "end":
                self.push(operands[0], self._spread(node.function, values[0], node.over, bar))
            case "cross_entropy":
                powers, total = self.powers[id(node)]
                made = powers / total
                labels = self._label(operands[1])
                made[:, np.arange(labels.size), labels] -= 1
                made *= bar
                self.push(operands[0], made)
            case "hinge":
                labels = self._label(operands[1])
                made = (self._violations(values[0], labels, values[2]) > 0).astype(self.real)
                index = np.broadcast_to(labels[None, :, None], (*values[0].shape[:2], 1))
                np.put_along_axis(made, index, -made.sum(2, keepdims=True), 2)
                self.push(operands[0], made * bar / values[0].shape[2])
            case "mse":
                slope = 2 * (values[0] - values[1]) * bar
                self.push(operands[0], _summed_to(slope, values[0].shape))
                self.push(operands[1], _summed_to(-slope, values[1].shape))
            case "one_hot":
                return
            case "first_spike":
                self.push(operands[0], self._first_spike_slope(values[0]) * bar * self.real.type(self.of.dt))
            case "filtered":
                made = self._filter(bar[::-1], self._decay(operands[1]))[::-1]
                self.push(operands[0], _summed_to(made, values[0].shape))
            case "psc":
                gain = self._gain(operands[1])
                made = self._filter(bar[::-1], 1 - gain)[::-1] * self.real.type(gain)
                self.push(operands[0], _summed_to(made, values[0].shape))
            case "van_rossum":
                decay = self._decay(operands[2])
                filtered = self._filter(values[0] - values[1], decay)
                tau = float(values[2].reshape(-1)[0])
                slope = self._filter((2 * filtered * bar * self.real.type(self.of.dt / tau))[::-1], decay)[::-1]
                self.push(operands[0], _summed_to(slope, values[0].shape))
                self.push(operands[1], _summed_to(-slope, values[1].shape))
            case function:
                slopes = _BACKWARD.get(function)
                if slopes is None:
                    return
                for operand, value, slope in zip(operands, values, slopes(*values)):
                    if not isinstance(slope, int):
                        self.push(operand, _summed_to(np.asarray(slope * bar, self.real), value.shape))

    @staticmethod
    def _first_spike_slope(spikes: Values) -> Values:
        """Of the steps before the first spike, the sum over t of the product of 1 - s[k], k <= t, by each s[k]."""
        steps = spikes.shape[0]
        ahead = np.ones_like(spikes)
        ahead[1:] = np.cumprod(1 - spikes, axis=0)[:-1]  # product before step k
        behind = np.ones_like(spikes)  # 1 + sum over later t of the product after step k
        for step in range(steps - 2, -1, -1):
            behind[step] = 1 + (1 - spikes[step + 1]) * behind[step + 1]
        return np.asarray(-ahead * behind)

    @staticmethod
    def _spread(function: str, value: Values, over: tuple[str, ...], bar: Values) -> Values:
        axes = tuple(_AXIS[axis] for axis in over)
        if not axes:
            return bar
        if function == "end":
            made = np.zeros_like(value)
            made[-1:] = bar
            return made if 0 in axes else bar
        if function in ("max", "min"):
            best = getattr(np, function)(value, axis=axes, keepdims=True)
            hit = (value == best).astype(value.dtype)
            first = hit / hit.sum(axis=axes, keepdims=True)
            return np.asarray(first * bar)
        count = np.prod([value.shape[axis] for axis in axes]) if function == "mean" else 1.0
        return np.asarray(np.broadcast_to(bar / value.dtype.type(count), value.shape))


def _holds(node: Loss, function: str) -> bool:
    """Whether a function is called anywhere in a part of the loss."""
    return isinstance(node, Apply) and (node.function == function or any(_holds(operand, function) for operand in node.operands))


def _populations(node: Loss) -> list[str]:
    """The populations that a part of the loss reads."""
    if isinstance(node, Reading):
        return [] if node.weights else [node.path]
    return [path for operand in node.operands for path in _populations(operand)] if isinstance(node, Apply) else []


def _summed_to(value: Values, shape: tuple[int, ...]) -> Values:
    """Undo broadcasting."""
    axes = tuple(axis for axis in range(3) if shape[axis] == 1 and value.shape[axis] != 1)
    made = value.sum(axis=axes, keepdims=True) if axes else value
    return np.broadcast_to(made, shape)


def _sigmoid(x: Values) -> Values:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def _power_slopes(a: Values, b: Values) -> tuple[Any, Any]:
    with np.errstate(all="ignore"):
        return b * a ** (b - 1), np.where(a > 0, a**b * np.log(np.where(a > 0, a, 1)), 0)


_FORWARD: dict[str, Callable[..., Any]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b, "^": lambda a, b: a**b,
    "negative": lambda a: -a, "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "abs": np.abs, "tanh": np.tanh, "sigmoid": _sigmoid,
    "softplus": lambda a: np.logaddexp(a, 0).astype(a.dtype), "relu": lambda a: np.maximum(a, 0), "square": lambda a: a * a,
    "detach": lambda a: a,
    "maximum": np.maximum, "minimum": np.minimum,
    "<": lambda a, b: (a < b).astype(a.dtype), "<=": lambda a, b: (a <= b).astype(a.dtype),
    ">": lambda a, b: (a > b).astype(a.dtype), ">=": lambda a, b: (a >= b).astype(a.dtype),
    "==": lambda a, b: (a == b).astype(a.dtype), "!=": lambda a, b: (a != b).astype(a.dtype),
    "choose": lambda c, a, b: np.where(c != 0, a, b),
}  # fmt: skip

#: The derivatives by each operand; a plain 0 where there is none.
_BACKWARD: dict[str, Callable[..., tuple[Any, ...]]] = {
    "+": lambda a, b: (np.ones_like(a), np.ones_like(b)), "-": lambda a, b: (np.ones_like(a), -np.ones_like(b)),
    "*": lambda a, b: (b, a), "/": lambda a, b: (1 / b, -a / (b * b)), "^": _power_slopes,
    "negative": lambda a: (-np.ones_like(a),), "exp": lambda a: (np.exp(a),), "log": lambda a: (1 / a,),
    "sqrt": lambda a: (0.5 / np.sqrt(a),), "abs": lambda a: (np.sign(a),), "tanh": lambda a: (1 - np.tanh(a) ** 2,),
    "sigmoid": lambda a: (_sigmoid(a) * (1 - _sigmoid(a)),), "softplus": lambda a: (_sigmoid(a),),
    "relu": lambda a: ((a > 0).astype(a.dtype),), "square": lambda a: (2 * a,), "detach": lambda a: (np.zeros_like(a),),
    "maximum": lambda a, b: ((a >= b).astype(a.dtype), (a < b).astype(a.dtype)),
    "minimum": lambda a, b: ((a <= b).astype(a.dtype), (a > b).astype(a.dtype)),
    "choose": lambda c, a, b: (0, (c != 0).astype(a.dtype), (c == 0).astype(b.dtype)),
}  # fmt: skip
