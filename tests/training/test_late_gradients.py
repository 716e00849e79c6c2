"""Gradients that are left as products until an optimizer takes them: the bits of those that are stored, whoever asks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnlang.diagnostics import SnnError
from snnlang.model.learning import OPTIMIZERS
from snnlang.runtime import checkpoint, engine_late, native_groups, native_products, training
from snnlang.runtime.learner import Learner
from snnlang.runtime.native_products import Native, NativeDense
from snnlang.runtime.optimizers import Optimizer
from tests.targets import needs_compiler

from .networks import images, network, text

pytestmark = needs_compiler
Values = np.ndarray[Any, Any]
LINES = """
population h[70]: Unit
population out[3]: Readout
connect image -> h.x: dense(bias = true)
connect h -> out.x: dense(bias = true)
"""
SCORES = "cross_entropy(mean(out.v), label)"
SIZE = 130
NEVER = 1 << 60
#: Which way a product goes, by what is chosen from: the density below which rows are gathered, and what groups cost.
WAYS = {"gathered": (1.1, 9.0), "groups": (0.0, 0.01), "blas": (0.0, 9.0)}


def go(way: str, several: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rare, cost = WAYS[way]
    monkeypatch.setattr(native_products, "WORTH_LISTS", 0)
    monkeypatch.setattr(native_products, "WORTH_PIECES", 0)
    monkeypatch.setattr(native_products, "WORTH", 1)
    monkeypatch.setattr(native_products, "RARE", rare)
    monkeypatch.setattr(native_groups, "SPARSE", 0.0)
    monkeypatch.setattr(native_groups, "MAKING", 0.0)
    monkeypatch.setattr(native_groups.Grouping, "_costs", (cost, cost, 9.0))
    if several:
        monkeypatch.setattr(native_products, "ONE_CHUNK", 0)
        monkeypatch.setattr(native_products, "CHUNK", 50)
        monkeypatch.setattr(native_groups, "ONE_PASS", 0)
        monkeypatch.setattr(native_groups, "SPAN_OF_COLUMNS", 47)


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("steps", [1, 7])
def test_a_product_moves_as_its_stored_gradient(
    precision: str, way: str, several: bool, threads: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every way through the data, in one pass and in several, rows that fill no block, steps side by side, each optimizer: no bit differs,
    and what stands beside the weights stays."""
    go(way, several, monkeypatch)
    native, rng = Native(precision, threads), np.random.default_rng(3)
    pre, post, samples, first = 214, 75, 23, 17
    data = rng.normal(size=(samples, steps, pre)) * (rng.random((samples, steps, pre)) < 0.3)
    data = data.astype(native.real)
    sent = data.transpose(1, 0, 2) if steps > 1 else data[:, 0].copy()
    arrived = rng.normal(size=(samples * steps, post)).astype(native.real)
    product, asked = NativeDense(native, pre, post, -0.5), []

    def spare(least: int, most: int) -> Values:
        asked.append(least)
        return np.empty(max(least, 3 * 64 * post), native.real)

    for name, options in OPTIMIZERS.items():
        start = rng.normal(size=first + pre * post + 9).astype(native.real)
        ours, theirs = start.copy(), start.copy()
        one, two = (Optimizer(name, {**options, "weight_decay": 0.01}, p, True) for p in (ours, theirs))
        for rate in (1.0, 0.5):
            gradient = np.full(pre * post, 7, native.real)
            product.gradient(sent, arrived, gradient, False)
            two.begin(rate)(gradient, first)
            assert product.move(sent, arrived, one.begin(rate), first, spare)
        assert np.array_equal(ours, theirs), name
        assert np.array_equal(one.memory, two.memory), name
        assert np.array_equal(ours[:first], start[:first])
        assert np.array_equal(ours[-9:], start[-9:])
        assert not np.array_equal(ours[first:-9], start[first:-9])
    assert bool(asked) == (way == "blas" or (several and steps > 1))


def test_a_small_product_of_a_blas_stays_whole() -> None:
    native, rng = Native("single"), np.random.default_rng(4)
    sent, arrived = rng.normal(size=(9, 30)).astype(np.float32), rng.normal(size=(9, 20)).astype(np.float32)
    parameters = np.ones(600, np.float32)
    update = Optimizer("sgd", OPTIMIZERS["sgd"], parameters, True).begin()
    assert not NativeDense(native, 30, 20).move(sent, arrived, update, 0, lambda least, most: np.empty(least, np.float32))
    assert (parameters == 1).all()


def trained(
    optimizer: str, late: bool, monkeypatch: pytest.MonkeyPatch, timed: bool, threads: int = 1, more: str = "", **options: Any
) -> Any:
    monkeypatch.setattr(engine_late, "WORTH_LATE", 0 if late else NEVER)
    x, y = data(timed)
    source = text(LINES, size=SIZE, loss=SCORES, more=more).replace("adam(lr = 0.01)", optimizer)
    net = network(source, "c", "float32", threads=threads)
    history = net.train(x, y, **options)
    return net, history


def data(timed: bool, samples: int = 40) -> tuple[Values, Values]:
    x = images(samples, SIZE, 7) if timed else images(samples, SIZE)
    return x * (x > 0.4), np.arange(samples) % 3


@pytest.mark.parametrize("optimizer", [*(f"{name}(lr = 0.01)" for name in OPTIMIZERS), "sgd(lr = 0.1, momentum = 0.9, nesterov = true)"])
@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_curves_are_the_same_bits(optimizer: str, timed: bool, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    go(way, False, monkeypatch)
    runs = [trained(optimizer, late, monkeypatch, timed, threads) for late, threads in ((False, 1), (True, 1), (True, 3))]
    for net, history in runs[1:]:
        assert [e.loss for e in history.epochs] == [e.loss for e in runs[0][1].epochs]
        for name, value in runs[0][0].weights.items():
            assert np.array_equal(net.weights[name], value), name


def test_no_gradient_is_stored_unless_somebody_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    go("groups", False, monkeypatch)
    monkeypatch.setattr(engine_late, "WORTH_LATE", 0)
    net = network(text(LINES, size=SIZE, loss=SCORES), "c", "float32")
    learner, (x, y) = net.learner, data(False, 8)
    optimizer = Optimizer("adam", OPTIMIZERS["adam"], learner.parameters, True)
    weight = next(one for one in learner.trained if one.name == "image->h.x.w")
    place = learner._gradients[weight.start : weight.stop]
    for _ in range(3):
        learner.learn({"image": x}, {"label": y})
        assert learner.finite() is None
        learner.update(optimizer)
    assert not place.any()
    learner.learn({"image": x}, {"label": y})
    whole = learner.gradients.copy()
    assert place.any()
    learner.update(optimizer)
    assert np.array_equal(learner.gradients, whole), "it stays until the next batch"


def test_whoever_reads_gradients_gets_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """After other passes of the same network, and a second time; of the last batch, where nobody asked for the first."""
    x, y = data(True, 8)
    found = []
    for late in (NEVER, 0):
        monkeypatch.setattr(engine_late, "WORTH_LATE", late)
        net = network(text(LINES, size=SIZE, loss=SCORES), "c")
        learner = net.learner
        learner.learn({"image": x[::-1]}, {"label": y[::-1]})
        learner.learn({"image": x}, {"label": y})
        learner.forward({"image": x[:3]})
        learner.forward({"image": x * 0.5}, keep=True)
        found += [learner.gradients.copy(), learner.gradients.copy(), net.grad(x, y)[1]["image->h.x.w"].reshape(-1)]
    for stored, left in zip(found[:3], found[3:], strict=True):
        assert np.array_equal(stored, left)
    assert np.array_equal(found[0][: found[2].size], found[2])


@pytest.mark.parametrize("more", ["clip = 0.01", "clip = 0.01\nschedule = cosine()"])
def test_clipping_looks_at_the_whole(more: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (one, first), (two, second) = (trained("adam(lr = 0.01)", late, monkeypatch, False, more=more) for late in (False, True))
    assert [e.loss for e in first.epochs] == [e.loss for e in second.epochs]
    assert all(np.array_equal(one.weights[name], value) for name, value in two.weights.items())


def test_a_loss_on_weights_adds_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = data(False, 8)
    loss = f"{SCORES} + 0.1*sum(square(first.w), over = neurons)"
    lines = LINES.replace("connect image", "connect first = image")
    made = []
    for late in (NEVER, 0):
        monkeypatch.setattr(engine_late, "WORTH_LATE", late)
        made.append(network(text(lines, size=SIZE, loss=loss), "c").grad(x, y))
    assert made[0][0] == made[1][0]
    assert all(np.array_equal(made[0][1][name], value) for name, value in made[1][1].items())


def test_resumed_is_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after every batch and resumed: the bits of the stored way, the optimizer's memory too."""
    monkeypatch.setattr(training, "PERIOD", 0.0)
    stored, _ = trained("adam(lr = 0.01)", False, monkeypatch, False, out=tmp_path / "stored", epochs=3)
    trained("adam(lr = 0.01)", True, monkeypatch, False, out=tmp_path / "late", epochs=1)
    net, _ = trained("adam(lr = 0.01)", True, monkeypatch, False, out=tmp_path / "late", epochs=3, resume=True)
    assert all(np.array_equal(net.weights[name], value) for name, value in stored.weights.items())
    one, two = (checkpoint.load(tmp_path / name / "last.safetensors") for name in ("stored", "late"))
    assert all(np.array_equal(a, b) for a, b in zip(one.memory, two.memory, strict=True))


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("wrong", [np.inf, 1e38])
def test_a_gradient_that_is_not_finite_harms_nothing(late: bool, wrong: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found before the first parameter moves, with the name of what it is of; or, where all sums are finite, not at all."""
    monkeypatch.setattr(engine_late, "WORTH_LATE", 0 if late else NEVER)
    net = network(text(LINES, size=SIZE, loss=SCORES), "c", "float32")
    learner, (x, y) = net.learner, data(False, 8)
    given = x.copy()
    given[3, 5] = wrong
    before = learner.parameters.copy()
    with np.errstate(all="ignore"):
        learner.learn({"image": given}, {"label": y})
        name = learner.finite()
    assert np.array_equal(learner.parameters, before)
    expected = next((one.name for one in learner.trained if not np.isfinite(learner.gradients[one.start : one.stop]).all()), None)
    assert name == expected
    assert (name is None) == (wrong < np.inf)


def test_a_training_ends_with_the_name_of_the_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Learner, "finite", lambda learner: "image->h.x.w")
    net, (x, y) = network(text(LINES, size=SIZE, loss=SCORES), "c"), data(False)
    before = net.learner.parameters.copy()
    with pytest.raises(SnnError) as problem:
        net.train(x, y)
    assert problem.value.diagnostics[0].code == "E755"
    assert "the gradient of `image->h.x.w` is not finite" in str(problem.value)
    assert np.array_equal(net.learner.parameters, before)
