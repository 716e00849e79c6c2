"""TSSL-BP (Zhang & Li 2020): published figures, and the whole method once more in plain NumPy, loops over neurons and steps."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from tests.targets import TARGETS

from .networks import network

Target = Literal["c", "numpy"]
TAU_M, TAU_S, V_TH = 5.0, 3.0, 1.0

ALONE = """
from stdlib.neurons import TSSLBP

network Net:
    input image[1]
    image -> one_to_one, w = 1 -> out: TSSLBP(tau_m = 5, tau_s = 3)

train Net:
    data = mine
    steps = 5
    loss = {loss}
    optimizer = adam(lr = 0.01)
"""

#: Currents of five steps, spikes, and the deltas for a gradient of ones by the current sent and of the last step alone
#: (catalogue of figures, N4 and G9).
GOLDEN: list[tuple[list[float], list[float], list[float], list[float]]] = [
    ([0.6] * 5, [0, 1, 0, 1, 0], [0.455836, 2.088477, 0.925926, 1.157407, 0], [0.034566, 0.372428, 0.370370, 0.462963, 0]),
    (
        [0.6, 0.9, 0.1, 0.8, 0.7], [0, 1, 0, 0, 1],
        [0.455836, 1.172866, 0.407125, 0.508906, 0.636132], [0.034566, 0.270682, 0.407125, 0.508906, 0.636132],
    ),
    (
        [0.3] * 5, [0, 0, 0, 0, 1],
        [0.123531, 0.332301, 0.578619, 0.640601, 2.666667], [0.009367, 0.040899, 0.121815, 0.256241, 2.666667],
    ),
]  # fmt: skip


def deltas(target: Any, loss: str, currents: list[float]) -> Any:
    """What arrives at the input of a single neuron, step by step."""
    learner = network(ALONE.format(loss=loss), target).learner
    inputs, once = learner.inputs({"image": np.array(currents).reshape(1, 5, 1)})
    engine = learner.make_engine(learner.readouts, once, True)
    engine.want_inputs = True
    readouts = engine.forward(inputs)
    engine.backward({label: learner.arrays.up(np.ones(value.shape)) for label, value in readouts.items()})
    found = engine.input_gradients["image"]
    return np.asarray(found if isinstance(found, np.ndarray) else found.get()).reshape(-1)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("row", [0, 1, 2])
def test_golden_deltas(target: Target, row: int) -> None:
    currents, spikes, ones, last = GOLDEN[row]
    assert np.allclose(deltas(target, "sum(out.a)", currents), ones, rtol=0, atol=6e-7)
    assert np.allclose(deltas(target, "end(out.a)", currents), last, rtol=0, atol=6e-7)
    learner = network(ALONE.format(loss="sum(out.a)"), target).learner
    inputs, once = learner.inputs({"image": np.array(currents).reshape(1, 5, 1)})
    engine = learner.make_engine((learner.readout("out.spikes"),), once, False)
    assert engine.forward(inputs, keep=False)["out.spikes"].reshape(-1).tolist() == spikes


def test_the_last_step_of_the_third_row_is_at_the_clip() -> None:
    assert deltas("numpy", "sum(out.a)", [0.3] * 5)[4] == pytest.approx(8 / 3, rel=1e-12)


# --- two layers against plain NumPy -----------------------------------------------------------------------------------

TWO = """
from stdlib.neurons import TSSLBP

network Net:
    input image[4]
    image -> dense(7), w = normal(0.2, 0.6) -> h: TSSLBP(tau_m = 5, tau_s = 3)
          -> dense(3), w = normal(0.2, 0.8) -> out: TSSLBP(tau_m = 5, tau_s = 3)

train Net:
    data = mine
    steps = {steps}
    loss = 0.5*sum(mse(out.a, psc(one_hot(label)*(n > 0), tau = 3)), over = [time, neurons])
    optimizer = adam(lr = 0.01)
    seed = 5
    {more}
"""


def forwards(arrived: Any) -> tuple[Any, Any, Any, Any]:
    """u before the reset, spikes, currents and the last increment of u, all (steps, neurons), of currents (steps, neurons)."""
    steps, size = arrived.shape
    u, s, a, rise = (np.zeros((steps, size)) for _ in range(4))
    for j in range(size):
        potential = current = 0.0
        for t in range(steps):
            rise[t, j] = -potential / TAU_M + arrived[t, j]
            potential = potential + rise[t, j]
            u[t, j] = potential
            s[t, j] = float(potential > V_TH)
            if s[t, j]:
                potential = 0.0
            current = current + (s[t, j] - current) / TAU_S
            a[t, j] = current
    return u, s, a, rise


def backwards(g: Any, u: Any, s: Any, a: Any, rise: Any) -> Any:
    """delta (steps, neurons) from the gradient by the currents, as the authors' code computes it: with the matrix of the kernel."""
    steps, size = u.shape
    kernel = np.array([[(1 - 1 / TAU_S) ** (k - m) / TAU_S if k >= m else 0.0 for k in range(steps)] for m in range(steps)])
    delta = np.zeros((steps, size))
    for j in range(size):
        theta = 0.0
        for t in range(steps - 1, -1, -1):
            through = float(kernel[t] @ g[:, j])
            with np.errstate(divide="ignore"):
                rate = -float(np.clip(-1 / rise[t, j], -8, 0))
            total = s[t, j] * rate * through
            if t < steps - 1:
                total += theta * u[t, j] / TAU_M * rate * s[t, j] + theta * (1 - 1 / TAU_M) * (1 - s[t, j])
            delta[t, j] = total
            theta = total if s[t, j] else theta * (1 - 1 / TAU_M)
            if a[t, j] < 1 / (4 * TAU_S):
                z = np.exp(np.clip((V_TH - u[t, j]) / 0.2, -8, 8))
                delta[t, j] = through * z / (1 + z) ** 2 / 0.2
    return delta


def whole(first: Any, second: Any, x: Any, labels: Any, steps: int) -> tuple[float, Any, Any]:
    """The kernel loss and its gradients by both weights, a mean over the samples."""
    loss, one, two = 0.0, np.zeros_like(first), np.zeros_like(second)
    for sample, label in zip(x, labels):
        current = np.tile(sample, (steps, 1)) if sample.ndim == 1 else sample
        hidden = forwards(current @ first)
        out = forwards(hidden[2] @ second)
        wanted = np.zeros((steps, second.shape[1]))
        wanted[1:, label] = 1
        desired, level = np.zeros_like(wanted), np.zeros(second.shape[1])
        for t in range(steps):
            level = level + (wanted[t] - level) / TAU_S
            desired[t] = level
        loss += 0.5 * ((out[2] - desired) ** 2).sum()
        delta = backwards(out[2] - desired, *out)
        two += hidden[2].T @ delta
        one += current.T @ backwards(delta @ second.T, *hidden)
    return loss / len(x), one / len(x), two / len(x)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("steps", "more"), [(5, ""), (17, ""), (17, "checkpoint = 4")])
@pytest.mark.parametrize("changing", [False, True], ids=["constant", "changing"])
def test_two_layers_against_numpy(target: Target, steps: int, more: str, changing: bool) -> None:
    net = network(TWO.format(steps=steps, more=more), target)
    x = np.random.default_rng(2).uniform(0, 1.5, (6, steps, 4) if changing else (6, 4))
    labels = np.array([0, 1, 2, 2, 1, 0])
    loss, found = net.grad(x, labels)
    weights = [np.array(net.weights[name]) for name in ("image->h.I.w", "h->out.I.w")]
    expected, first, second = whole(weights[0], weights[1], x, labels, steps)
    assert loss == pytest.approx(expected, rel=1e-10)
    for name, value in (("image->h.I.w", first), ("h->out.I.w", second)):
        assert np.abs(value).max() > 0.01
        assert np.allclose(found[name], value, rtol=1e-9, atol=1e-12), name


def test_the_desired_current() -> None:
    """0 1 1 1 1 through Euler's kernel of tau_s = 3 (catalogue of figures, G9)."""
    desired = [0, 1 / 3, 5 / 9, 19 / 27, 65 / 81]
    assert np.round(desired, 6).tolist() == [0, 0.333333, 0.555556, 0.703704, 0.802469]
    net = network(TWO.format(steps=5, more="").replace("normal(0.2, 0.8)", "0"))
    loss, _ = net.grad(np.ones((1, 4)), np.array([1]))
    assert loss == pytest.approx(0.5 * sum(value**2 for value in desired), rel=1e-12)


XOR = """
from stdlib.neurons import TSSLBP

network Net:
    input image[3]
    image -> dense(20), w = normal(0, 1)*sqrt(2/3) -> h: TSSLBP(tau_m = 5, tau_s = 3)
          -> dense(2), w = normal(0, 1)*sqrt(2/20) -> out: TSSLBP(tau_m = 5, tau_s = 3)

train Net:
    data = mine
    steps = 5
    loss = 0.5*sum(mse(out.a, psc(one_hot(label)*(n > 0), tau = 3)), over = [time, neurons])
    optimizer = adam(lr = 0.01)
    batch = 4
    epochs = 200
    seed = {seed}
"""


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_exclusive_or(target: Target, seed: int) -> None:
    """All four patterns, with a total loss below 0.3 (catalogue of figures, G9: within 66 to 177 epochs)."""
    x = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], float)
    labels = np.array([0, 1, 1, 0])
    net = network(XOR.format(seed=seed), target)
    history = net.train(x, labels)
    assert min(epoch.loss for epoch in history.epochs) * 4 < 0.3
    assert history.epochs[0].loss * 4 > 1
    assert net.evaluate(x, labels)["accuracy"] == 1
