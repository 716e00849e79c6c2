"""Every loss against its formula in plain NumPy, and its derivative against differences of its value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from snnlang.runtime.losses import LossFunction

from .networks import NEURONS, network, text

Values = Any
STEPS, BATCH, HIDDEN, OUT = 7, 5, 12, 3
LINES = """
population h[12]: Unit
population out[3]: Readout
connect first = image -> h.x: dense
connect second = h -> out.x: dense
"""
FUNCTIONS = "func focal(p) = (1 - p)^2*p\n\n"


def softmax(x: Values) -> Values:
    made = np.exp(x - x.max(-1, keepdims=True))
    return made / made.sum(-1, keepdims=True)


def picked(x: Values, label: Values) -> Values:
    return x[np.arange(BATCH), label]


def entropy(scores: Values, label: Values) -> float:
    return float(-np.log(picked(softmax(scores), label)).mean())


def hinge(scores: Values, label: Values) -> float:
    found = 0.0
    for sample in range(BATCH):
        for neuron in range(OUT):
            if neuron != label[sample]:
                found += max(0.0, 0.5 + scores[sample, neuron] - scores[sample, label[sample]])
    return found / OUT / BATCH


def first_spike(s: Values) -> float:
    """The sum over the steps of the probability of silence so far; with spikes of 0 and 1 the time of the first one."""
    return float(np.cumprod(1 - s, axis=0).sum(0).mean())


def filtered(x: Values, tau: float) -> Values:
    """By the definition, not by recursion: what each step left, at every later one."""
    t = np.arange(STEPS)
    kernel = np.where(t[:, None] >= t, np.exp(-(t[:, None] - t) / tau), 0.0)
    return np.einsum("ts,sbn->tbn", kernel, x)


def current(x: Values, tau: float) -> Values:
    """The kernel of Euler's step, by the definition: (1 - 1/tau)^k/tau after k steps."""
    t = np.arange(STEPS)
    kernel = np.where(t[:, None] >= t, (1 - 1 / tau) ** np.maximum(t[:, None] - t, 0) / tau, 0.0)
    return np.einsum("ts,sbn->tbn", kernel, x)


def late() -> Values:
    return np.arange(STEPS)[:, None, None] > 1


def one_hot(label: Values) -> Values:
    return np.where(np.arange(OUT) == label[:, None], 1.0, -0.5)


def in_time(label: Values) -> Values:
    return label.transpose(1, 0, 2)


#: The text of a loss, its formula of (membranes [steps, samples, 3], spikes [steps, samples, 12], labels), the kind of labels.
LOSSES: dict[str, tuple[str, Callable[[Values, Values, Values], float], str]] = {
    "entropy of means": ("cross_entropy(mean(out.v), label)", lambda v, s, y: entropy(v.mean(0), y), "class"),
    "entropy of counts": ("cross_entropy(count(h.spikes), label)", lambda v, s, y: entropy(s.sum(0), y), "class"),
    "entropy of maxima": ("cross_entropy(max(out.v), label)", lambda v, s, y: entropy(v.max(0), y), "class"),
    "entropy at the end": ("cross_entropy(end(out.v), label)", lambda v, s, y: entropy(v[-1], y), "class"),
    "entropy in every step": (
        "cross_entropy(out.v, label)", lambda v, s, y: float(np.mean([entropy(v[t], y) for t in range(STEPS)])), "class"
    ),
    "hinge": ("hinge(mean(out.v), label, 0.5)", lambda v, s, y: hinge(v.mean(0), y), "class"),
    "mse of means": ("mse(mean(out.v), label)", lambda v, s, y: float(((v.mean(0) - y) ** 2).mean()), "vector"),
    "mse of rates": ("mse(mean(h.spikes), 0.2)", lambda v, s, y: float(((s.mean(0) - 0.2) ** 2).mean()), "class"),
    "mse in every step": ("mse(out.v, label)", lambda v, s, y: float(((v - in_time(y)) ** 2).mean()), "signal"),
    "mse of one hot": (
        "mse(sum(out.v), one_hot(label, 1, -0.5))", lambda v, s, y: float(((v.sum(0) - one_hot(y)) ** 2).mean()), "class"
    ),
    "first spike": ("first_spike(h.spikes)", lambda v, s, y: first_spike(s), "class"),
    "van Rossum": (
        "van_rossum(h.spikes, label, 3)",
        lambda v, s, y: float(((filtered(s - in_time(y), 3) ** 2).sum(0) / 3).mean()),
        "train",
    ),
    "filtered": ("mean(square(filtered(h.spikes, 4)))", lambda v, s, y: float((filtered(s, 4) ** 2).mean()), "class"),
    "filtered, the same in every step": (
        "mse(out.v, filtered(mean(out.v), 4))",
        lambda v, s, y: float(((v - filtered(np.repeat(v.mean(0)[None], STEPS, 0), 4)) ** 2).mean()),
        "class",
    ),
    "post-synaptic current": ("mean(square(psc(h.spikes, 4)))", lambda v, s, y: float((current(s, 4) ** 2).mean()), "class"),
    "a wanted spike train": (
        "0.5*sum(mse(out.v, psc(one_hot(label, 1, -0.5)*(n > 1), 3)), over = [time, neurons])",
        lambda v, s, y: float(0.5 * ((v - current(np.where(late(), one_hot(y)[None], 0.0), 3)) ** 2).sum() / BATCH),
        "class",
    ),
    "the number of the step": (
        "mean(n*out.v)", lambda v, s, y: float((np.arange(STEPS)[:, None, None] * v).mean()), "class"
    ),
    "regulariser": (
        "mse(mean(out.v), label) + 0.5*square(mean(mean(h.spikes), over = neurons) - 0.1)",
        lambda v, s, y: float(((v.mean(0) - y) ** 2).mean() + 0.5 * ((s.mean((0, 2)) - 0.1) ** 2).mean()),
        "vector",
    ),
    "over both": ("square(mean(out.v, over = [time, neurons]) - 1)", lambda v, s, y: float(((v.mean((0, 2)) - 1) ** 2).mean()), "class"),
    "least and greatest": (
        "max(out.v, over = neurons) - min(out.v, over = neurons)", lambda v, s, y: float((v.max(2) - v.min(2)).mean()), "class"
    ),
    "a function of the file": (
        "focal(sigmoid(mean(out.v)))",
        lambda v, s, y: float(((1 - 1 / (1 + np.exp(-v.mean(0)))) ** 2 / (1 + np.exp(-v.mean(0)))).mean()),
        "class",
    ),
    "a choice": (
        "mean(out.v)^2 if mean(out.v) > 0 else -3*mean(out.v)",
        lambda v, s, y: float(np.where(v.mean(0) > 0, v.mean(0) ** 2, -3 * v.mean(0)).mean()),
        "class",
    ),
}  # fmt: skip
#: Functions of one value X, with NumPy's.
PLAIN: dict[str, Callable[[Values], Values]] = {
    "exp(X)": np.exp,
    "log(2 + X^2)": lambda x: np.log(2 + x**2),
    "abs(X)": np.abs,
    "sqrt(2 + X^2)": lambda x: np.sqrt(2 + x**2),
    "tanh(X)": np.tanh,
    "sigmoid(X)": lambda x: 1 / (1 + np.exp(-x)),
    "softplus(X)": lambda x: np.log1p(np.exp(x)),
    "relu(X)": lambda x: np.maximum(x, 0),
    "square(X)": np.square,
    "maximum(X, 0.1)": lambda x: np.maximum(x, 0.1),
    "minimum(X, 0.1)": lambda x: np.minimum(x, 0.1),
    "-X": np.negative,
    "X/(3 + X^2)": lambda x: x / (3 + x**2),
    "X*X - X": lambda x: x * x - x,
}


def of_means(plain: Callable[[Values], Values]) -> Callable[[Values, Values, Values], float]:
    return lambda v, s, y: float(plain(v.mean(0)).mean())


LOSSES |= {name: (name.replace("X", "mean(out.v)"), of_means(plain), "class") for name, plain in PLAIN.items()}


def labels_of(kind: str, random: np.random.Generator, classes: int) -> Values:
    match kind:
        case "class":
            return random.integers(0, classes, BATCH)
        case "vector":
            return random.normal(size=(BATCH, OUT))
        case "signal":
            return random.normal(size=(BATCH, STEPS, OUT))
    return (random.random((BATCH, STEPS, HIDDEN)) < 0.2).astype(float)


def asked(loss: LossFunction, v: Values, s: Values) -> dict[str, Values]:
    """What an engine would hand over."""
    made = {}
    for label, one in loss.asked.items():
        signal = v if one.path == "out" else s
        made[label] = signal.copy() if one.weights is None else np.einsum("t,tbn->bn", one.weights, signal)
    return made


@pytest.mark.parametrize("name", LOSSES)
def test_value_and_derivative(name: str) -> None:
    written, formula, kind = LOSSES[name]
    source = text(LINES, loss=written)
    loss = network(FUNCTIONS + source if "focal" in written else source).learner.loss
    random = np.random.default_rng(4)
    v, s = random.normal(size=(STEPS, BATCH, OUT)), random.uniform(0.05, 0.6, (STEPS, BATCH, HIDDEN))
    y = labels_of(kind, random, HIDDEN if "count" in written else OUT)
    outcome = loss(asked(loss, v, s), {"label": y})
    assert outcome.loss == pytest.approx(formula(v, s, y), rel=1e-12)
    slopes = {"out": np.zeros_like(v), "h": np.zeros_like(s)}
    for label, one in loss.asked.items():
        adjoint = outcome.adjoints[label]
        slopes[one.path] += adjoint if one.weights is None else np.einsum("t,bn->tbn", one.weights, adjoint)
    for path, base in (("out", v), ("h", s)):
        way = random.normal(size=base.shape)
        change = 1e-6
        up, down = base + change * way, base - change * way
        ends = [formula(end, s, y) if path == "out" else formula(v, end, y) for end in (up, down)]
        assert float((slopes[path] * way).sum()) == pytest.approx((ends[0] - ends[1]) / (2 * change), rel=2e-6, abs=1e-9)


def test_the_time_of_the_first_spike() -> None:
    """Spikes are 0 or 1: silence for k steps is k*dt, and no spike the whole duration."""
    loss = network(text(LINES, loss="first_spike(h.spikes)")).learner.loss
    s = np.zeros((STEPS, BATCH, HIDDEN))
    s[3:] = 1
    assert loss(asked(loss, np.zeros((STEPS, BATCH, OUT)), s), {"label": np.zeros(BATCH)}).loss == 3 * loss.dt
    assert loss(asked(loss, np.zeros((STEPS, BATCH, OUT)), 0 * s), {"label": np.zeros(BATCH)}).loss == STEPS * loss.dt


def test_weights_in_a_loss() -> None:
    """A penalty on the weights of a named connection adds its own derivative to theirs."""
    plain = network(text(LINES, loss="mse(mean(out.v), label)", neurons=NEURONS))
    fined = network(text(LINES, loss="mse(mean(out.v), label) + 0.3*mean(square(second.w), over = neurons)", neurons=NEURONS))
    x, y = np.random.default_rng(1).random((BATCH, 6)), np.zeros((BATCH, OUT))
    before, slopes = plain.grad(x, y)
    after, changed = fined.grad(x, y)
    w = np.asarray(plain.weights["second.w"])
    assert after - before == pytest.approx(0.3 * float((w**2).mean()), rel=1e-9)
    np.testing.assert_allclose(changed["second.w"] - slopes["second.w"], 0.6 * w / w.size, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(changed["first.w"], slopes["first.w"], rtol=1e-12)
