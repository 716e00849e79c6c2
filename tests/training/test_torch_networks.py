"""Whole networks against PyTorch: losses, every gradient and the parameters after steps of its optimizers, of an MLP, convolutions with
pools, normalisation and a residual block, and a recurrent network. They run where `pip install snnlang[test-torch]` was said, and are named
as skipped elsewhere; test_gradients.py and test_residual.py compare with another program everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest

from tests.targets import TARGETS

from .networks import NEURONS, network, text

torch: Any = pytest.importorskip("torch")
F = torch.nn.functional
STEPS, SAMPLES, CLASSES = 6, 8, 4


class Spike(torch.autograd.Function):  # type: ignore[misc]
    """The step with the derivative of the arctangent of width 2 (Fang et al. 2021)."""

    @staticmethod
    def forward(context: Any, margin: Any) -> Any:
        context.save_for_backward(margin)
        return (margin > 0).to(margin.dtype)

    @staticmethod
    def backward(context: Any, bar: Any) -> Any:
        (margin,) = context.saved_tensors
        return bar / (1 + (torch.pi * margin) ** 2)


class Net:
    """One pass; what each population holds stands under its name."""

    def __init__(self, weights: dict[str, Any]) -> None:
        self.w = weights
        self.u: dict[str, Any] = {}
        self.s: dict[str, Any] = {}

    def unit(self, name: str, arrived: Any) -> Any:
        beta = self.w[f"{name}.beta"]
        self.u[name] = beta * self.u.get(name, 0.0) + arrived - self.s.get(name, 0.0)
        self.s[name] = Spike.apply(self.u[name] - 1.0)
        return self.s[name]

    def readout(self, name: str, arrived: Any) -> Any:
        self.u[name] = 0.8 * self.u.get(name, 0.0) + arrived
        return self.u[name]

    def dense(self, name: str, x: Any) -> Any:
        made = x.flatten(1) @ self.w[f"{name}.w"]
        return made + self.w[f"{name}.bias"] if f"{name}.bias" in self.w else made

    def conv(self, name: str, x: Any, kernel: int, **how: int) -> Any:
        channels = x.shape[1] // how.get("groups", 1)
        return F.conv2d(x, self.w[f"{name}.w"].reshape(-1, channels, kernel, kernel), **how)


MLP = """
image -> dense(20, bias = true), w = uniform(-0.3, 0.5) -> h: Unit
      -> dense(16, bias = true), w = uniform(-0.4, 0.7) -> g: Unit
      -> dense(4, bias = true), w = uniform(-0.5, 0.5) -> out: Readout
"""
RECURRENT = """
image -> dense(20, bias = true), w = uniform(-0.3, 0.5) -> h: Unit
h -> dense(4, bias = true), w = uniform(-0.5, 0.5) -> out: Readout
connect h -> h.x: dense, w = uniform(-0.3, 0.3)
"""
CONV = """
image -> conv2d(4, kernel = 3, padding = 1), w = uniform(-0.3, 0.6) -> c1: Unit
      -> max_pool(2) -> conv2d(6, kernel = 3, stride = 2, padding = 2, dilation = 2, groups = 2), w = uniform(-0.2, 0.6) -> c2: Unit
      -> conv2d(6, kernel = 3, padding = same), w = uniform(-0.2, 0.5) -> batch_norm(over = time, scale = 0.8) -> c3: Unit
population y[6, 2, 2]: Sum
connect c2 -> y.a: one_to_one
connect c3 -> y.b: one_to_one
y -> dense(4, bias = true), w = uniform(-0.5, 0.5) -> out: Readout
"""
POOLED = """
image -> conv2d(4, kernel = 3, padding = 1), w = uniform(-0.3, 0.6) -> batch_norm() -> c1: Unit
      -> avg_pool(2) -> conv2d(6, kernel = 3), w = uniform(-0.4, 0.9) -> c2: Unit
      -> flatten -> dense(4, bias = true), w = uniform(-0.5, 0.5) -> out: Readout
"""
SUM = NEURONS + "\nneuron Sum:\n    input a = 0\n    input b = 0\n    output a + b\n"


def mlp(net: Net, frames: list[Any]) -> Any:
    total = 0
    for x in frames:
        g = net.unit("g", net.dense("h->g.x", net.unit("h", net.dense("image->h.x", x))))
        total = total + net.readout("out", net.dense("g->out.x", g))
    return total / STEPS


def recurrent(net: Net, frames: list[Any]) -> Any:
    total: Any = 0
    for x in frames:
        arrived = net.dense("image->h.x", x)
        if "h" in net.s:
            arrived = arrived + net.s["h"] @ net.w["h->h.x.w"]
        total = total + net.readout("out", net.dense("h->out.x", net.unit("h", arrived)))
    return total / STEPS


def conv(net: Net, frames: list[Any]) -> Any:
    first = [F.max_pool2d(net.unit("c1", net.conv("image->c1.x", x, 3, padding=1)), 2) for x in frames]
    how = {"stride": 2, "padding": 2, "dilation": 2, "groups": 2}
    second = [net.unit("c2", net.conv("c1.max_pool->c2.x", x, 3, **how)) for x in first]
    arrived = torch.stack([net.conv("c2->c3.x", x, 3, padding=1) for x in second])
    mean, variance = arrived.mean((0, 1, 3, 4), keepdim=True), arrived.var((0, 1, 3, 4), unbiased=False, keepdim=True)
    gain, shift = (net.w[f"c2->c3.x.{name}"].reshape(1, 1, -1, 1, 1) for name in ("gain", "shift"))
    normal = 0.8 * gain * (arrived - mean) / torch.sqrt(variance + 1e-5) + shift
    total: Any = 0
    for x, skipped in zip(normal, second):
        total = total + net.readout("out", net.dense("y->out.x", net.unit("c3", x) + skipped))
    return total / STEPS


def pooled(net: Net, frames: list[Any]) -> Any:
    total: Any = 0
    for x in frames:
        arrived = net.conv("image->c1.x", x, 3, padding=1)
        arrived = F.batch_norm(arrived, None, None, net.w["image->c1.x.gain"], net.w["image->c1.x.shift"], training=True)
        c2 = net.unit("c2", net.conv("c1.avg_pool->c2.x", F.avg_pool2d(net.unit("c1", arrived), 2), 3))
        total = total + net.readout("out", net.dense("c2->out.x", c2))
    return total / STEPS


CASES: dict[str, tuple[str, Callable[[Net, list[Any]], Any]]] = {
    "mlp": (MLP, mlp), "recurrent": (RECURRENT, recurrent), "conv": (CONV, conv), "pooled": (POOLED, pooled)
}  # fmt: skip


def data(changing: bool) -> tuple[Any, Any]:
    random = np.random.default_rng(5)
    shape = (SAMPLES, STEPS, 2, 8, 8) if changing else (SAMPLES, 2, 8, 8)
    return random.uniform(0, 1, shape), random.integers(0, CLASSES, SAMPLES)


def source(lines: str, optimizer: str = "adam(lr = 0.01)") -> str:
    made = text(lines, steps=STEPS, loss="cross_entropy(mean(out.v), label)", neurons=SUM).replace("image[6]", "image[2, 8, 8]")
    return made.replace("adam(lr = 0.01)", optimizer)


def frames(x: Any) -> list[Any]:
    given = torch.from_numpy(x)
    return list(given.unbind(1)) if given.ndim == 5 else [given] * STEPS


def parameters(net: Any) -> dict[str, Any]:
    return {name: torch.tensor(np.array(value, np.float64), requires_grad=True) for name, value in net.weights.items()}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("changing", [False, True], ids=["constant", "changing"])
@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients(case: str, changing: bool, target: Literal["c", "numpy"]) -> None:
    """In float64 to 1e-9; in float32, where no spike is another, to 1e-5 of the greatest number of an array."""
    lines, forward = CASES[case]
    x, y = data(changing)
    net = network(source(lines), target)
    expected = parameters(net)
    loss = F.cross_entropy(forward(Net(expected), frames(x)), torch.from_numpy(y))
    loss.backward()
    found_loss, found = net.grad(x, y)
    assert found_loss == pytest.approx(loss.item(), rel=1e-12)
    trained = {name: value for name, value in expected.items() if value.grad is not None}
    assert set(found) == set(trained)
    for name, value in trained.items():
        np.testing.assert_allclose(found[name], value.grad.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)
        assert np.any(found[name] != 0), name
    single = network(source(lines), target, "float32")
    for name, value in net.weights.items():
        single.weights[name][...] = value
    single.learner.refresh()
    found_loss, found = single.grad(x.astype(np.float32), y)
    assert found_loss == pytest.approx(loss.item(), rel=1e-5)
    greatest = max(float(value.grad.abs().max()) for value in trained.values())
    for name, value in trained.items():
        scale = max(float(value.grad.abs().max()), 1e-2 * greatest)  # single numbers are sums in which much cancels
        np.testing.assert_allclose(found[name], value.grad.numpy(), rtol=0, atol=1e-5 * scale, err_msg=name)


OPTIMIZERS: dict[str, Callable[[list[Any]], Any]] = {
    "sgd(lr = 0.1)": lambda p: torch.optim.SGD(p, 0.1),
    "sgd(lr = 0.05, momentum = 0.9, nesterov = true)": lambda p: torch.optim.SGD(p, 0.05, 0.9, nesterov=True),
    "adam(lr = 0.01)": lambda p: torch.optim.Adam(p, 0.01),
    "adamw(lr = 0.01, weight_decay = 0.05)": lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.05),
    "rmsprop(lr = 0.002)": lambda p: torch.optim.RMSprop(p, 0.002),
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_of_optimizers(optimizer: str, case: str, target: Literal["c", "numpy"]) -> None:
    """Four epochs of one batch each: the losses on the way and all parameters at the end. A gradient near 0 is divided by its own size,
    so that the last digits of the few that are near 0 differ."""
    lines, forward = CASES[case]
    x, y = data(True)
    net = network(source(lines, optimizer).replace("epochs = 2", "epochs = 4"), target)
    expected = {name: value for name, value in parameters(net).items() if not name.endswith((".mean", ".variance"))}
    steps = OPTIMIZERS[optimizer](list(expected.values()))
    losses = []
    for _ in range(4):
        steps.zero_grad()
        loss = F.cross_entropy(forward(Net(expected), frames(x)), torch.from_numpy(y))
        loss.backward()
        losses.append(loss.item())
        steps.step()
        with torch.no_grad():
            for name, value in expected.items():
                if name.endswith(".beta"):
                    value.clamp_(1e-6, 1 - 1e-6)
    history = net.train(x, y)
    assert [epoch.loss for epoch in history.epochs] == pytest.approx(losses, rel=1e-7)
    for name, value in expected.items():
        np.testing.assert_allclose(net.weights[name], value.detach().numpy(), rtol=1e-5, atol=1e-6, err_msg=name)
