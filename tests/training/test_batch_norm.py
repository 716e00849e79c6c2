"""Batch normalisation: gradients through the statistics, running ones by the formula, simulations that do what training did."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnlang
from snnlang.diagnostics import SnnError
from snnlang.model.network import BatchNorm
from snnlang.runtime.batch_norm import Normaliser, Stage
from snnlang.runtime.batch_norm_work import ArrayWork, work_of
from snnlang.runtime.compiler import find
from snnlang.runtime.learning_arrays import HostArrays
from tests.targets import CUDA, C, needs_compiler

from .networks import NEURONS, images, network, text
from .test_torch import SMOOTH

TARGETS = ["numpy", C, CUDA]
TWO = (
    "image -> dense(12), w = uniform(-0.5, 1) -> batch_norm({0}) -> h: Unit"
    " -> dense(3), w = uniform(-0.5, 1) -> batch_norm({0}) -> out: Readout"
)
OVER = ["", "over = time", "over = time, scale = 0.6, epsilon = 0.01"]
CYCLE = TWO + "\nh -> dense(w = uniform(-0.3, 0.3)), delay = 1 -> batch_norm() -> h"
JOINED = TWO + "\nconnect image -> h.x: dense, w = uniform(-0.2, 0.2)\nconnect h -> out.x: dense(bias = true), w = uniform(-0.2, 0.2)"
CONVOLVED = """
    image -> conv2d(3, kernel = 3, stride = 2, padding = 1), w = uniform(-0.2, 0.6) -> batch_norm({0}) -> h: Unit
          -> conv2d(2, kernel = 2), w = uniform(-0.5, 0.5) -> batch_norm({0}) -> l: Unit
          -> dense(3), w = uniform(-0.5, 0.5) -> out: Readout
"""


@pytest.fixture(autouse=True)
def shim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_CUDA", "shim")


def scrambled(net: Any, seed: int = 5) -> Any:
    """Gains, shifts and running statistics as after a training."""
    draws = np.random.default_rng(seed)
    for name, value in net.weights.items():
        if name.endswith((".gain", ".variance")):
            value[...] = draws.uniform(0.5, 1.5, value.shape)
        elif name.endswith((".shift", ".mean")):
            value[...] = draws.normal(0.3, 0.4, value.shape)
    return net


def convolved(rule: str, more: str = "") -> str:
    return text(CONVOLVED.format(rule), more=more).replace("input image[6]", "input image[2, 5, 5]")


def surrogate() -> Any:
    from autograd.extend import defvjp, primitive

    @primitive  # type: ignore[untyped-decorator]
    def fires(margin: Any) -> Any:
        return (margin > 0) * 1.0

    defvjp(fires, lambda ans, margin: lambda g: g / (1 + (np.pi * margin) ** 2))
    return fires


def normal(anp: Any, x: Any, w: Any, path: str, rule: str) -> Any:
    """(steps, batch, channels, places), normalised by the formula."""
    axes = (0, 1, 3) if "over" in rule else (1, 3)
    scale, epsilon = (0.6, 0.01) if "scale" in rule else (1.0, 1e-5)
    mean = anp.mean(x, axis=axes, keepdims=True)
    variance = anp.mean((x - mean) ** 2, axis=axes, keepdims=True)
    gain, shift = w[f"{path}.gain"][:, None], w[f"{path}.shift"][:, None]
    return gain * scale * (x - mean) / anp.sqrt(variance + epsilon) + shift


def steps_of(x: Any, timed: bool) -> Any:
    return x.transpose(1, 0, 2) if timed else np.broadcast_to(x, (7, *x.shape))


def agree(loss: float, found: Any, by_hand: Any, weights: dict[str, Any]) -> None:
    from autograd import grad

    assert loss == pytest.approx(float(by_hand(weights)), rel=1e-11)
    for name, expected in grad(by_hand)(weights).items():
        if name in found:
            got = np.asarray(found[name]).reshape(-1)
            np.testing.assert_allclose(got, np.asarray(expected).reshape(-1), rtol=1e-8, atol=1e-12, err_msg=name)
            assert np.any(got != 0) or name.endswith(("shift", "bias")), name


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("timed", [False, True], ids=["constant", "timed"])
@pytest.mark.parametrize(
    ("lines", "rule"), [*((lines, rule) for lines in (TWO, JOINED) for rule in OVER), (CYCLE, "")]
)
def test_gradients_by_hand(lines: str, rule: str, timed: bool, target: Any) -> None:
    """The network again with ``autograd``."""
    anp = pytest.importorskip("autograd.numpy")
    fires = surrogate()
    net = scrambled(network(text(lines.format(rule), steps=7), target=target))
    x, y = images(5, 6, 7 if timed else None), np.random.default_rng(2).normal(size=(5, 3))
    weights = {name: np.array(value) for name, value in net.weights.items()}
    loss, found = net.grad(x, y)
    assert {"image->h.x.gain", "h->out.x.shift"} <= set(found)

    def by_hand(w: Any) -> Any:
        names = sorted((name for name in w if name.endswith(".w")), key=len)
        first = [name for name in names if name.startswith("image->h.x")]
        second = [name for name in names if name.startswith("h->out.x")]
        came = steps_of(x, timed) @ w[first[0]]
        came = normal(anp, came[..., None], w, "image->h.x", rule)[..., 0]
        came = came + sum(steps_of(x, timed) @ w[name] for name in first[1:])
        u, s, spikes = np.zeros((5, 12)), np.zeros((5, 12)), []
        for step in range(7):
            back = 0.0
            if lines is CYCLE:
                back = normal(anp, (s @ w["h->h.x.w"])[None, :, :, None], w, "h->h.x", "")[0, :, :, 0]
            u = w["h.beta"] * u + came[step] + back - s
            s = fires(u - 1)
            spikes.append(s)
        fired = anp.stack(spikes)
        sent = normal(anp, (fired @ w[second[0]])[..., None], w, "h->out.x", rule)[..., 0]
        sent = sent + sum(fired @ w[name] for name in second[1:]) + sum(w[n] for n in w if n.endswith("bias"))
        v, total = 0.0, 0.0
        for step in range(7):
            v = 0.8 * v + sent[step]
            total = total + v / 7
        return anp.mean((total - y) ** 2)

    agree(loss, found, by_hand, weights)


#: (synapses, 27 x 8): between which neurons the synapses of `local2d(2, kernel = 2)` on 3 x 3 x 3 lie, by pre neuron, then by post neuron.
PAIRS = sorted(
    (((channel * 3 + row + r) * 3 + column + c), (out * 2 + row) * 2 + column)
    for out, row, column in np.ndindex(2, 2, 2)
    for channel, r, c in np.ndindex(3, 2, 2)
)
LOCAL = np.array([[float(pair == (pre, post)) for pre in range(27) for post in range(8)] for pair in PAIRS])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("timed", [False, True], ids=["constant", "timed"])
@pytest.mark.parametrize("second_kind", ["conv2d", "local2d"])
@pytest.mark.parametrize("rule", OVER)
def test_convolutions_by_hand(rule: str, second_kind: str, timed: bool, target: Any) -> None:
    """Channels share their statistics and numbers, also where places have weights of their own; convolutions as sums of shifted images."""
    anp = pytest.importorskip("autograd.numpy")
    fires = surrogate()
    net = scrambled(network(convolved(rule).replace("conv2d(2", f"{second_kind}(2"), target=target))
    x = np.random.default_rng(4).uniform(0, 1, (4, 7, 2, 5, 5) if timed else (4, 2, 5, 5))
    y = np.random.default_rng(2).normal(size=(4, 3))
    weights = {name: np.array(value) for name, value in net.weights.items()}
    loss, found = net.grad(x, y)
    assert found["image->h.x.gain"].shape == (3,)
    assert found["h->l.x.shift"].shape == (2,)
    given = x.transpose(1, 0, 2, 3, 4) if timed else np.broadcast_to(x, (7, *x.shape))
    padded = np.zeros((7, 4, 2, 7, 7))
    padded[:, :, :, 1:6, 1:6] = given

    def neurons(came: Any, beta: Any) -> Any:
        u, s, spikes = 0.0, np.zeros(came.shape[1:]), []
        for step in range(7):
            u = beta * u + came[step] - s
            s = fires(u - 1)
            spikes.append(s)
        return anp.stack(spikes)

    def by_hand(w: Any) -> Any:
        kernel = anp.reshape(w["image->h.x.w"], (3, 2, 3, 3))
        came: Any = 0.0
        for r in range(3):
            for c in range(3):
                came = came + anp.einsum("tbirc,oi->tborc", padded[:, :, :, r : r + 5 : 2, c : c + 5 : 2], kernel[:, :, r, c])
        came = normal(anp, anp.reshape(came, (7, 4, 3, 9)), w, "image->h.x", rule)
        spikes = anp.reshape(neurons(came, w["h.beta"]), (7, 4, 3, 3, 3))
        made: Any = 0.0
        if second_kind == "local2d":
            made = anp.reshape(spikes, (7, 4, 27)) @ anp.reshape(w["h->l.x.w"] @ LOCAL, (27, 8))
        else:
            second = anp.reshape(w["h->l.x.w"], (2, 3, 2, 2))
            for r in range(2):
                for c in range(2):
                    made = made + anp.einsum("tbirc,oi->tborc", spikes[:, :, :, r : r + 2, c : c + 2], second[:, :, r, c])
        made = normal(anp, anp.reshape(made, (7, 4, 2, 4)), w, "h->l.x", rule)
        out = anp.reshape(neurons(made, w["l.beta"]), (7, 4, 8)) @ anp.reshape(w["l->out.x.w"], (8, 3))
        v, total = 0.0, 0.0
        for step in range(7):
            v = 0.8 * v + out[step]
            total = total + v / 7
        return anp.mean((total - y) ** 2)

    agree(loss, found, by_hand, weights)


@pytest.mark.parametrize("more", ["", "checkpoint = 3"])
@pytest.mark.parametrize("rule", OVER)
def test_finite_differences(rule: str, more: str) -> None:
    """Without spikes everything is smooth: differences of the fourth order."""
    lines = (
        f"image -> dense(5), w = normal(0, 0.5) -> batch_norm({rule}) -> h: Smooth"
        f" -> dense(3), w = normal(0, 0.5) -> batch_norm({rule}) -> out: Readout"
    )
    net = scrambled(network(text(lines, size=4, neurons=SMOOTH, steps=4, more=more), "numpy"))
    x, y = images(6, 4, 4), np.random.default_rng(2).normal(size=(6, 3))
    gradients = net.grad(x, y)[1]
    for name, gradient in gradients.items():
        value = net.weights[name].reshape(-1)
        for place in range(min(4, value.size)):
            kept, found = float(value[place]), []
            for step in (-2, -1, 1, 2):
                value[place] = kept + 1e-3 * step
                net.learner.refresh()
                found.append(net.grad(x, y)[0])
            value[place] = kept
            expected = (found[0] - 8 * found[1] + 8 * found[2] - found[3]) / 12e-3
            assert gradient.reshape(-1)[place] == pytest.approx(expected, rel=1e-8, abs=1e-10), name


RESIDUAL = SMOOTH + """
neuron Sum:
    input a = 0
    input b = 0
    state s = 0
    s[n] = a + b
    output s

network Residual(channels):
    input x
    x -> conv2d(channels, kernel = 3, padding = same) -> batch_norm(over = time) -> c1: Smooth
      -> conv2d(channels, kernel = 3, padding = same) -> batch_norm(over = time) -> c2: Smooth
    population y: Sum
    connect x -> y.a: one_to_one
    connect c2 -> y.b: one_to_one
    output y
"""
BLOCKS = """
block b1: Residual(2)
block b2: Residual(2)
image -> b1 -> b2 -> flatten -> dense(3) -> batch_norm() -> out: Readout
"""


def test_residual_blocks() -> None:
    """Four stages over time one behind the other, in segments: differences of the fourth order; a simulation folds all of them."""
    source = text(BLOCKS, neurons=RESIDUAL, steps=3, more="checkpoint = 2").replace("input image[6]", "input image[2, 4, 4]")
    model = snnlang.load(source + SIMULATE.replace("duration = 7", "duration = 3").replace(", h.spikes", ""))
    net = scrambled(model.network(precision="float64", target="numpy"))
    x, y = np.random.default_rng(1).normal(size=(4, 3, 2, 4, 4)), np.zeros((4, 3))
    gradients = net.grad(x, y)[1]
    assert len([name for name in gradients if name.endswith("gain")]) == 5
    for name, gradient in gradients.items():
        value = net.weights[name].reshape(-1)
        kept, found = float(value[0]), []
        for step in (-2, -1, 1, 2):
            value[0] = kept + 1e-3 * step
            net.learner.refresh()
            found.append(net.grad(x, y)[0])
        value[0] = kept
        expected = (found[0] - 8 * found[1] + 8 * found[2] - found[3]) / 12e-3
        assert gradient.reshape(-1)[0] == pytest.approx(expected, rel=1e-7, abs=1e-9), name
    readout = net.learner.make_engine([net.learner.readout("out.v")], frozenset({"image"}), False)
    wanted = readout.forward({"image": x[:1, 0].reshape(1, -1)}, keep=False)["out.v"][:, 0]
    shown = model.run("shown", target="numpy", weights=net.weights, data={"image": x[0, 0]}, progress=False)
    np.testing.assert_allclose(shown["out.v"], wanted, rtol=1e-12, atol=1e-12)


def test_truncated_gradients_are_whole_where_nothing_is_carried() -> None:
    """Neurons without a past: cutting time changes nothing but where the statistics are gathered."""
    neurons = SMOOTH.replace("beta*u[n-1] + tanh(x)", "beta*tanh(x)").replace("beta*v[n-1] + x", "beta*x")
    lines = TWO.format("over = time").replace("Unit", "Smooth")
    x, y = images(5, 6, 7), np.random.default_rng(2).normal(size=(5, 3))
    whole = scrambled(network(text(lines, neurons=neurons))).grad(x, y)
    cut = scrambled(network(text(lines, neurons=neurons, more="truncate = 2"))).grad(x, y)
    assert cut[0] == pytest.approx(whole[0], rel=1e-13)
    for name, value in whole[1].items():
        np.testing.assert_allclose(cut[1][name], value, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("lines", [TWO.format(""), TWO.format("over = time"), JOINED.format("over = time"), CYCLE.format("")])
def test_segments_threads_and_targets_agree(lines: str) -> None:
    x, y = images(9, 6, 7), np.random.default_rng(2).normal(size=(9, 3))
    wanted = scrambled(network(text(lines)))
    loss, gradients = wanted.grad(x, y)
    for more in ("checkpoint = 1", "checkpoint = 3", "checkpoint = 4"):
        for target in ("numpy", "c") if find() is not None else ("numpy",):
            other = scrambled(network(text(lines, more=more), target=target))
            got = other.grad(x, y)
            assert got[0] == pytest.approx(loss, rel=1e-12)
            for name, value in gradients.items():
                np.testing.assert_allclose(got[1][name], value, rtol=1e-9, atol=1e-13, err_msg=name)
            for name, value in wanted.weights.items():
                np.testing.assert_allclose(other.weights[name], value, rtol=1e-12, atol=1e-14, err_msg=name)


@needs_compiler
def test_any_number_of_threads() -> None:
    x, y = np.random.default_rng(4).uniform(0, 1, (9, 7, 2, 5, 5)), np.random.default_rng(2).normal(size=(9, 3))
    found = [
        network(convolved("over = time", f"threads = {threads}"), target="c", precision="float32") for threads in (1, 2, 3)
    ]
    made = [net.grad(x, y) for net in found]
    for other, gradients in zip(found[1:], made[1:]):
        assert gradients[0] == made[0][0]
        for name, value in made[0][1].items():
            assert np.array_equal(gradients[1][name], value), name
        for name, value in found[0].weights.items():
            assert np.array_equal(other.weights[name], value), name


# --- statistics -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS[:2])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_statistics_over_time(scale: float, target: str) -> None:
    """The numbers of threshold-dependent normalisation: mean 0, deviation alpha V_th of every channel over all steps and places."""
    x = np.random.default_rng(0).normal(2, 3, (8, 16, 100))
    stage = Stage("p", BatchNorm(True, epsilon=1e-12, scale=scale), 4, 25, "gain", "shift", "mean", "variance")
    values = {"gain": np.ones(4), "shift": np.zeros(4), "mean": np.zeros(4), "variance": np.ones(4)}
    one = Normaliser(stage, values, np, work_of(HostArrays(target), np.dtype(np.float64)))
    one.begin(True)
    out = np.empty_like(x)
    one.forward(x.copy(), out, False)
    one.finish()
    channels = out.reshape(8, 16, 4, 25)
    assert np.abs(channels.mean((0, 1, 3))).max() < 1e-12
    assert channels.std((0, 1, 3)) == pytest.approx(scale, abs=1e-10)
    assert channels.mean((1, 3)).std() > 0.01  # steps by themselves are not centred
    given = x.reshape(8, 16, 4, 25)
    np.testing.assert_allclose(values["mean"], 0.1 * given.mean((0, 1, 3)), rtol=1e-12)
    np.testing.assert_allclose(values["variance"], 0.9 + 0.1 * given.var((0, 1, 3), ddof=1), rtol=1e-12)


@needs_compiler
@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 40, 3, 25), (5, 7, 33, 1), (3, 1, 2, 4), (2, 300, 9, 64), (4, 0, 2, 3)])
def test_compiled_work(shape: tuple[int, ...], real: Any) -> None:
    """What is compiled does what array code does, with the same bits for any number of threads."""
    draws = np.random.default_rng(7)
    x, y, base = (draws.normal(3, 2, shape).astype(real) for _ in range(3))
    few = [draws.normal(1, 0.3, (shape[0], shape[2])) for _ in range(3)]
    gain, shift = draws.normal(1, 0.3, (2, shape[2]))
    works = [ArrayWork(HostArrays("numpy"), np.dtype(real)), *(work_of(HostArrays("c", n), np.dtype(real)) for n in (1, 3))]
    made = []
    for work in works:
        results: list[Any] = [work.total(x), work.total(x, times=y), work.total(x, around=few[0])]
        for mean in (few[0], few[0][:1]):
            for add in (False, True):
                changed, out = x.copy(), base.copy()
                work.apply(changed, mean, few[1], gain, shift, out, add)
                results += [changed, out]
            turned = np.empty_like(x)
            work.turn(y, x, few[0], few[1][:1], few[2], turned)
            results.append(turned)
        made.append(results)
    for expected, one, three in zip(*made):
        assert np.array_equal(one, three)
        np.testing.assert_allclose(one, expected, rtol=2e-5 if real == np.float32 else 1e-12, atol=2e-4 if real == np.float32 else 1e-11)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("timed", [False, True], ids=["constant", "timed"])
@pytest.mark.parametrize("rule", ["momentum = 0.3", "over = time, momentum = 0.3"])
def test_running_statistics(rule: str, timed: bool, target: Any) -> None:
    """Moved once for each batch by the momentum: the mean, and the variance with n - 1; of steps, their average."""
    net = network(text(TWO.format(rule)), target=target)
    x, y = images(5, 6, 7 if timed else None), np.zeros((5, 3))
    mean, variance = np.zeros(12), np.ones(12)
    for _ in range(2):
        came = x @ np.array(net.weights["image->h.x.w"])
        net.grad(x, y)
        axes = (0, 1) if timed and "over" in rule else 0
        mean += 0.3 * (came.mean(axes).reshape(-1, 12).mean(0) - mean)
        variance += 0.3 * (came.var(axes, ddof=1).reshape(-1, 12).mean(0) - variance)
        np.testing.assert_allclose(net.weights["image->h.x.mean"], mean, rtol=1e-12)
        np.testing.assert_allclose(net.weights["image->h.x.variance"], variance, rtol=1e-12)
    before = {name: np.array(value) for name, value in net.weights.items()}
    net.forward(x)
    net.evaluate(x, y)
    for name, value in before.items():
        assert np.array_equal(net.weights[name], value), name


@pytest.mark.parametrize("target", TARGETS)
def test_forward_uses_running_statistics(target: Any) -> None:
    """One sample alone, by hand."""
    net = scrambled(network(text(TWO.format("over = time, scale = 0.6, epsilon = 0.01"), loss="mse(sum(out.v), label)"), target=target))
    x = images(1, 6, 7)
    w = {name: np.array(value) for name, value in net.weights.items()}

    def use(came: Any, path: str) -> Any:
        centred = (came - w[f"{path}.mean"]) / np.sqrt(w[f"{path}.variance"] + 0.01)
        return w[f"{path}.gain"] * 0.6 * centred + w[f"{path}.shift"]

    u, s, v, total = np.zeros(12), np.zeros(12), np.zeros(3), np.zeros(3)
    for step in range(7):
        u = w["h.beta"] * u + use(x[0, step] @ w["image->h.x.w"], "image->h.x") - s
        s = (u > 1) * 1.0
        v = 0.8 * v + use(s @ w["h->out.x.w"], "h->out.x")
        total += v
    np.testing.assert_allclose(net.forward(x)["out.v:sum"][0], total, rtol=1e-12)


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_resumed_and_best(tmp_path: Path) -> None:
    """The same bits after a resume; test data are measured with the statistics of the best weights."""
    pytest.importorskip("safetensors")
    x, y = images(30, 6), np.random.default_rng(2).normal(size=(30, 3))
    kept: dict[str, Any] = dict(validation=(x[:7], y[:7]), test=(x, y))
    source = text(TWO.format("over = time").replace("uniform(-0.5, 1)", "uniform(-1, 1)"))
    whole = network(source)
    wanted = whole.train(x, y, epochs=6, out=tmp_path / "whole", **kept)
    network(source).train(x, y, epochs=3, out=tmp_path / "cut", **kept)
    again = network(source)
    got = again.train(x, y, epochs=6, out=tmp_path / "cut", resume=True, **kept)
    for name, value in whole.weights.items():
        assert np.array_equal(value, again.weights[name]), name
    assert (got.test_loss, got.best_epoch) == (wanted.test_loss, wanted.best_epoch)
    assert not np.array_equal(whole.weights["image->h.x.mean"], np.zeros(12))
    best = network(source)
    best.load(tmp_path / "whole" / "best.safetensors")
    assert best.evaluate(x, y)["loss"] == pytest.approx(wanted.test_loss, rel=1e-12)
    assert wanted.best_epoch is not None
    assert wanted.best_epoch < 6
    assert whole.evaluate(x, y)["loss"] != pytest.approx(wanted.test_loss, rel=1e-3)


@pytest.mark.parametrize("target", TARGETS)
def test_resumed_within_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Any) -> None:
    """Stopped in the middle of the second epoch: running statistics are where they were."""
    pytest.importorskip("safetensors")
    from snnlang.runtime import training

    class Stopped(Exception):
        pass

    monkeypatch.setattr(training, "PERIOD", 0.0)  # a checkpoint after every batch
    x, y = images(30, 6), np.random.default_rng(2).normal(size=(30, 3))
    whole = network(text(TWO.format("")), target=target)
    whole.train(x, y, epochs=3)
    do, left = training.Trainer._one_batch, [6]

    def stops(self: Any, *batch: Any) -> None:
        if not left[0]:
            raise Stopped
        left[0] -= 1
        do(self, *batch)

    monkeypatch.setattr(training.Trainer, "_one_batch", stops)
    with pytest.raises(Stopped):
        network(text(TWO.format("")), target=target).train(x, y, epochs=3, out=tmp_path)
    monkeypatch.setattr(training.Trainer, "_one_batch", do)
    again = network(text(TWO.format("")), target=target)
    again.train(x, y, epochs=3, out=tmp_path, resume=True)
    for name, value in whole.weights.items():
        assert np.array_equal(value, again.weights[name]), name


def test_frozen() -> None:
    """By the population behind the stage; what is frozen stays as it begins, and is not kept."""
    pytest.importorskip("safetensors")
    net = network(text(TWO.format(""), more="freeze h.gain, out.shift, h.beta"))
    x, y = images(16, 6), np.random.default_rng(2).normal(size=(16, 3))
    net.train(x, y, epochs=1)
    assert "image->h.x.gain" not in net.weights
    assert "h->out.x.shift" not in net.weights
    assert np.array_equal(net.learner.values["image->h.x.gain"], np.ones(12))
    assert np.any(net.weights["image->h.x.shift"] != 0)
    assert np.any(net.weights["h->out.x.gain"] != 1)
    model = snnlang.load(text(TWO.format(""), more="freeze h.gain, out.shift, h.beta") + SIMULATE)
    weights = {name: np.array(value) for name, value in net.weights.items()}
    found = model.run("shown", target="numpy", weights=weights, data={"image": x[0]}, progress=False)
    readout = net.learner.make_engine([net.learner.readout("out.v")], frozenset({"image"}), False)
    wanted = readout.forward({"image": x[:1]}, keep=False)["out.v"][:, 0]
    np.testing.assert_allclose(found["out.v"], wanted, rtol=1e-12, atol=1e-12)
    with pytest.raises(SnnError, match="E619"):
        network(text("image -> dense(12) -> h: Unit -> dense(3) -> out: Readout", more="freeze h.gain"))


def test_explained() -> None:
    from snnlang.compile import load_program
    from snnlang.diagnostics import Source
    from snnlang.model.elaborate import Overrides
    from snnlang.runtime.training_text import explain_training

    said = explain_training(load_program(Source("test.snn", convolved("over = time"))), Overrides())
    assert "batch normalisation of 3 channels over all steps" in said
    assert "more pass" not in said
    assert "image->h.x.gain: 3" in said
    said = explain_training(load_program(Source("test.snn", text(TWO.format("")))), Overrides())
    assert "batch normalisation of each neuron over each step" in said
    in_segments = Source("test.snn", convolved("over = time", "checkpoint = 3"))
    said = explain_training(load_program(in_segments), Overrides())
    assert "gathered over all segments: one more pass" in said  # what the input sends does not change


# --- simulations ------------------------------------------------------------------------------------------------------

SIMULATE = """
simulate Net as shown:
    duration = 7
    seed = 3
    record out.v, h.spikes
"""


@pytest.mark.parametrize("target", ["interpreter", *TARGETS])
@pytest.mark.parametrize("kind", ["dense", "convolved", "local", "one_to_one", "cycle"])
@pytest.mark.parametrize("rule", ["", OVER[2]])
def test_simulations_fold_it(kind: str, rule: str, target: Any, tmp_path: Path) -> None:
    """Weights and biases of the simulation are those of the formula: what is recorded is what the training's forward pass gives."""
    pytest.importorskip("safetensors")
    lines = {
        "dense": TWO.format(rule),
        "cycle": CYCLE.replace("{0}", ""),
        "one_to_one": TWO.format(rule).replace("dense(12)", "one_to_one"),
    }.get(kind, "")
    source = text(lines) if lines else convolved(rule)
    if kind == "local":
        source = source.replace("conv2d", "local2d").replace("padding = 1", "padding = 2, dilation = 2")
    model = snnlang.load(source + SIMULATE)
    net = scrambled(model.network(precision="float64", target="numpy"))
    net.save(tmp_path / "w.safetensors")
    x = np.random.default_rng(3).uniform(0, 1, (1, 6) if lines else (1, 2, 5, 5))
    readouts = [net.learner.readout("out.v"), net.learner.readout("h.spikes")]
    engine = net.learner.make_engine(readouts, frozenset({"image"}), False)
    wanted = engine.forward({"image": x.reshape(1, -1)}, keep=False)
    for weights in (tmp_path / "w.safetensors", net.weights):
        found = model.run("shown", target=target, precision="float64", weights=weights, data={"image": x[0]}, progress=False)
        np.testing.assert_allclose(found["out.v"], wanted["out.v"][:, 0], rtol=1e-12, atol=1e-12)
        assert len(found.spikes("h")[0]) == wanted["h.spikes"].sum() > 3
        assert not found.warnings


@needs_compiler
def test_exported_programs_fold_it(tmp_path: Path) -> None:
    """The C that is written out fires where the simulation does."""
    from snnlang.compile import emit, load_program
    from snnlang.diagnostics import Source
    from snnlang.model.elaborate import Overrides
    from snnlang.model.weights import Weights

    source = text(TWO.format(OVER[2])) + SIMULATE.replace("record out.v,", "drive image = 0.4\n    record")
    weights = dict(scrambled(network(text(TWO.format(OVER[2])))).weights)
    found = snnlang.load(source).run("shown", target="c", weights=weights, progress=False).spikes("h")
    program = load_program(Source("t.snn", source))
    written = emit(program, Overrides(weights=Weights(weights, "it")), experiment="shown", target="c")
    for name, content in written.items():
        (tmp_path / name).write_text(content)
    subprocess.run(["make", "-s"], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run(["./shown", "--events", "events.csv"], cwd=tmp_path, check=True, capture_output=True)
    lines = (tmp_path / "events.csv").read_text().splitlines()
    assert len(lines) - 1 == len(found[0]) > 5


def test_folded_by_the_formula() -> None:
    from snnlang.compile import load_program
    from snnlang.diagnostics import Source
    from snnlang.model.elaborate import Overrides, elaborate
    from snnlang.model.network import ArrayValue
    from snnlang.model.weights import Weights

    source = text(TWO.format(OVER[2])) + SIMULATE
    net = scrambled(network(text(TWO.format(OVER[2]))))
    made = elaborate(load_program(Source("t.snn", source)), "shown", Overrides(weights=Weights(dict(net.weights), "it")))
    one = next(p for p in made.network.projections if p.path == "image->h.x")
    w = {name.rpartition(".")[2]: value for name, value in net.weights.items() if name.startswith("image->h.x.")}
    factor = 0.6 * w["gain"] / np.sqrt(w["variance"] + 0.01)
    assert isinstance(one.weight, ArrayValue)
    assert one.biases is not None
    np.testing.assert_allclose(one.weight.array.reshape(6, 12), w["w"].reshape(6, 12) * factor, rtol=1e-14)
    np.testing.assert_allclose(one.biases.array, w["shift"] - factor * w["mean"], rtol=1e-13)


def test_without_trained_numbers_it_is_left_out() -> None:
    with_it = snnlang.load(text(TWO.format("")) + SIMULATE.replace("record", "drive image = 0.8\n    record"))
    plain = snnlang.load(
        text(TWO.format("").replace(" -> batch_norm()", "")) + SIMULATE.replace("record", "drive image = 0.8\n    record")
    )
    found, wanted = (of.run("shown", target="numpy", progress=False) for of in (with_it, plain))
    assert np.array_equal(found["out.v"], wanted["out.v"])
    assert [w.code for w in found.warnings] == ["W775", "W775"]
    assert all(w.span is not None and w.help for w in found.warnings)


@pytest.mark.parametrize("name", ["mean", "variance"])
def test_weights_without_statistics_do_not_fit(name: str) -> None:
    model = snnlang.load(text(TWO.format("")) + SIMULATE)
    weights = {key: value for key, value in model.network().weights.items() if key != f"image->h.x.{name}"}
    with pytest.raises(SnnError, match=f"E841.*image->h.x.{name}"):
        model.run("shown", target="numpy", weights=weights, progress=False)
    weights[f"image->h.x.{name}"] = np.ones(5)
    with pytest.raises(SnnError, match="has 5 numbers, and the network's 12"):
        model.run("shown", target="numpy", weights=weights, progress=False)
    weights[f"image->h.x.{name}"] = -np.ones(12)
    if name == "variance":
        with pytest.raises(SnnError, match="variance` is negative"):
            model.run("shown", target="numpy", weights=weights, progress=False)


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "code", "place"),
    [
        ("image -> batch_norm() -> h: Unit -> dense(3) -> out: Readout", "E775", "batch_norm()"),
        ("batch_norm() -> dense(3) -> out: Readout", "E775", "batch_norm()"),
        ("image -> dense(4) -> batch_norm() -> batch_norm() -> h: Unit -> dense(3) -> out: Readout", "E775", "batch_norm()"),
        ("image -> dense(4, bias = true) -> batch_norm() -> h: Unit -> dense(3) -> out: Readout", "E775", "batch_norm()"),
        ("image -> dense(4), bias = true -> batch_norm() -> h: Unit -> dense(3) -> out: Readout", "E775", "batch_norm()"),
        ("image -> dense(4) -> batch_norm() -> dropout(p = 0.2) -> h: Unit -> dense(3) -> out: Readout", "E775", "dropout(p = 0.2)"),
        ("image -> dense(4) -> batch_norm() -> dense(3) -> out: Readout", "E775", "batch_norm()"),
        ("image -> dense(4) -> h: Unit -> dense(3) -> out: Readout\nh -> dense(4) -> batch_norm()", "E775", "batch_norm()"),
        ("image -> avg_pool(1) -> batch_norm() -> h: Unit -> dense(3) -> out: Readout", "E775", "batch_norm()"),
        ("image -> flatten -> batch_norm() -> h: Unit -> dense(3) -> out: Readout", "E775", "batch_norm()"),
        (
            "population h[4]: Unit\nimage -> dense -> batch_norm() -> h[0:2]\nh -> dense(3) -> out: Readout",
            "E775",
            "batch_norm()",
        ),
        (
            "population h[4]: Unit\npopulation out[6]: Readout\nconnect first = image -> h.x: dense\n"
            "h -> dense(w = transpose(first.w)) -> batch_norm() -> out",
            "E775",
            "batch_norm()",
        ),
        ("image -> dense(4) -> batch_norm(epsilon = -1e-3) -> h: Unit -> dense(3) -> out: Readout", "E776", "-1e-3"),
        ("image -> dense(4) -> batch_norm(epsilon = 0) -> h: Unit -> dense(3) -> out: Readout", "E776", "0"),
        ("image -> dense(4) -> batch_norm(momentum = 1.5) -> h: Unit -> dense(3) -> out: Readout", "E776", "1.5"),
        ("image -> dense(4) -> batch_norm(scale = 0) -> h: Unit -> dense(3) -> out: Readout", "E776", "0"),
        ("image -> dense(4) -> batch_norm(over = neurons) -> h: Unit -> dense(3) -> out: Readout", "E776", "neurons"),
        ("image -> dense(4) -> batch_norm(gamma = 1) -> h: Unit -> dense(3) -> out: Readout", "E512", "gamma = 1"),
        (CYCLE.replace("batch_norm()", "batch_norm(over = time)").format(""), "E777", "batch_norm(over = time)"),
    ],
)
def test_mistakes(lines: str, code: str, place: str) -> None:
    with pytest.raises(SnnError) as raised:
        network(text(lines, neurons=NEURONS))
    found = raised.value.diagnostics
    assert [d.code for d in found] == [code], "\n".join(map(str, found))
    assert found[0].span is not None
    assert found[0].span.text == place
    assert found[0].help


def test_before_a_state() -> None:
    """An event adds to it; a normalised value would arrive in every step, also without events."""
    neuron = "\nneuron Jump:\n    port state v = 0\n    10 ms*dv/dt = -v\n    spike when v > 1\n    on spike: v = 0\n    output v\n"
    lines = "image -> dense(4) -> h: Unit\nh -> dense(3), w = 0.3 kHz -> batch_norm() -> j: Jump\nh -> dense(3) -> out: Readout"
    with pytest.raises(SnnError) as raised:
        network(text(lines, neurons=NEURONS + neuron, more="dt = 1 ms"))
    assert "E775" in [d.code for d in raised.value.diagnostics], str(raised.value)


def test_before_the_input_of_a_block() -> None:
    inner = "network Inner:\n    input x[6]\n    x -> dense(4) -> h: Unit\n    output h\n"
    source = text("block b: Inner\nimage -> dense(6) -> batch_norm() -> b -> dense(3) -> out: Readout", neurons=NEURONS + inner)
    with pytest.raises(SnnError) as raised:
        network(source)
    assert raised.value.diagnostics[0].code == "E775"


@pytest.mark.parametrize("rule", ["", "over = time"])
@pytest.mark.parametrize(("samples", "batch"), [(33, 32), (5, 1)])
def test_a_single_number_has_no_variance(samples: int, batch: int, rule: str) -> None:
    """Said before the first batch, and not at the end of the first epoch."""
    net = network(text(TWO.format(rule)).replace("batch = 8", f"batch = {batch}"))
    before = {name: np.array(value) for name, value in net.weights.items()}
    with pytest.raises(SnnError) as raised:
        net.train(images(samples, 6), np.zeros((samples, 3)))
    for name, value in before.items():
        assert np.array_equal(net.weights[name], value), name
    assert raised.value.diagnostics[0].code == "E778"
    assert raised.value.diagnostics[0].span is not None


def test_one_sample_with_several_numbers() -> None:
    """Places of an image, or steps, are numbers too."""
    y = np.zeros((1, 3))
    assert network(convolved("")).grad(images(1, 50).reshape(1, 2, 5, 5), y)[0] > 0
    assert network(text(TWO.format("over = time"))).grad(images(1, 6, 7), y)[0] > 0
    assert network(text(TWO.format("over = time"))).train(images(9, 6, 7), np.zeros((9, 3)), epochs=1).epochs
    for more in ("", "checkpoint = 3"):
        with pytest.raises(SnnError, match="E778"):
            network(text(TWO.format("over = time"), more=more)).grad(images(1, 6), y)
