"""Dropout: one mask for each sample, the right gradient with it, nothing of it outside of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnlang
from snnlang.codegen.random import bases, key_of, uniforms
from snnlang.diagnostics import SnnError
from snnlang.runtime.compiler import find
from snnlang.runtime.products import Dropped
from tests.targets import TARGETS

from .networks import NEURONS, images, network, text

SENT = "image -> dense(12, bias = true), w = uniform(-0.5, 1) -> h: Unit -> dropout(p = 0.4) -> dense(3, bias = true) -> out: Readout"
ARRIVED = (
    "image -> dense(12), w = uniform(-0.5, 1) -> dropout(p = 0.4) -> h: Unit -> dense(3, bias = true) -> out: Readout"
)
INPUT = "image -> dropout(p = 0.25) -> dense(12), w = uniform(-0.5, 1) -> h: Unit -> dense(3) -> out: Readout"
CYCLE = INPUT + "\nconnect h -> h.x: dense(autapses = false), delay = 1, w = uniform(-0.2, 0.2)"


def masks(path: str, side: str, size: int, p: float, samples: range, seed: int = 3) -> Any:
    """As documented: a number for each sample and neuron, from the seed and the connection."""
    drawn = uniforms(bases(key_of(seed, path, f"dropout {side}"), size)[None, :], np.array(samples)[:, None])
    return (drawn >= p) / (1 - p)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize(
    ("lines", "path", "side", "size", "p"),
    [
        (SENT, "h->out.x", "sent", 12, 0.4),
        (ARRIVED, "image->h.x", "arrived", 12, 0.4),
        (INPUT, "image->h.x", "sent", 6, 0.25),
    ],
    ids=["sent", "arrived", "input"],
)
def test_gradients_by_hand(lines: str, path: str, side: str, size: int, p: float, timed: bool, target: Any) -> None:
    """The network again with ``autograd``, where the masks are products and the surrogate is a function with that slope."""
    anp = pytest.importorskip("autograd.numpy")
    from autograd import grad
    from autograd.extend import defvjp, primitive

    @primitive  # type: ignore[untyped-decorator]
    def fires(margin: Any) -> Any:
        return (margin > 0) * 1.0

    defvjp(fires, lambda ans, margin: lambda g: g / (1 + (np.pi * margin) ** 2))
    net = network(text(lines), target=target)
    x, y = images(5, 6, 7 if timed else None), np.random.default_rng(2).normal(size=(5, 3))
    loss, found = net.grad(x, y)
    mask = masks(path, side, size, p, range(5))
    assert 0 < (mask == 0).mean() < 1

    def by_hand(w: Any) -> Any:
        u, s, v, total = anp.zeros((5, 12)), anp.zeros((5, 12)), anp.zeros((5, 3)), 0.0
        for step in range(7):
            sent = x[:, step] if timed else x
            sent = sent * mask if lines is INPUT else sent
            came = sent @ w["image->h.x.w"]
            came = came * mask if lines is ARRIVED else came
            u = w["h.beta"] * u + came + w.get("image->h.x.bias", 0.0) - s
            s = fires(u - 1)
            out = s * mask if lines is SENT else s
            v = 0.8 * v + out @ w["h->out.x.w"] + w.get("h->out.x.bias", 0.0)
            total = total + v / 7
        return anp.mean((total - y) ** 2)

    weights = {name: np.array(value) for name, value in net.weights.items()}
    assert loss == pytest.approx(float(by_hand(weights)), rel=1e-12)
    for name, expected in grad(by_hand)(weights).items():
        np.testing.assert_allclose(
            found[name].reshape(-1), np.asarray(expected).reshape(-1), rtol=1e-10, atol=1e-13, err_msg=name
        )


def test_all_targets_and_forms_draw_the_same() -> None:
    if find() is None:
        pytest.skip("no C compiler")
    x, y = images(9, 6, 7), np.random.default_rng(2).normal(size=(9, 3))
    for lines in (SENT, ARRIVED, INPUT, CYCLE):
        wanted = network(text(lines)).grad(x, y)
        for more, target in (("", "c"), ("threads = 2", "c"), ("checkpoint = 3", "numpy"), ("checkpoint = 3", "c")):
            got = network(text(lines, more=more), target=target).grad(x, y)
            assert got[0] == pytest.approx(wanted[0], rel=1e-12)
            for name, value in wanted[1].items():
                np.testing.assert_allclose(got[1][name], value, rtol=1e-9, atol=1e-13)


def test_what_is_left_out() -> None:
    """A new mask for each sample, a given part of it 0, the mean as it was."""
    net = network(text(SENT.replace("dense(12", "dense(500")))
    dropped = next(p for p in net.learner.products.values() if isinstance(p, Dropped))
    x, y = images(40, 6), np.zeros((40, 3))
    net.grad(x, y)
    first = dropped.masks[0]
    assert first is not None
    assert first.shape == (40, 500)
    assert (first == 0).mean() == pytest.approx(0.4, abs=0.02)
    assert first.mean() == pytest.approx(1, abs=0.03)
    assert not np.array_equal(first[0], first[1])
    net.grad(x, y)
    second = dropped.masks[0]
    assert second is not None
    assert not np.array_equal(first, second)
    net.forward(x)
    assert dropped.masks == [None, None]


def test_nothing_is_left_out_outside_of_training() -> None:
    plain = SENT.replace(" -> dropout(p = 0.4)", "")
    x, y = images(9, 6), np.zeros((9, 3))
    one, other = network(text(SENT)), network(text(plain))
    for name in other.weights:
        one.weights[name][...] = other.weights[name]
    assert np.array_equal(one.forward(x)["out.v:mean"], other.forward(x)["out.v:mean"])
    assert one.evaluate(x, y)["loss"] == other.evaluate(x, y)["loss"]
    assert one.grad(x, y)[0] != other.grad(x, y)[0]


@pytest.mark.parametrize("target", ["interpreter", *TARGETS])
def test_simulations_leave_nothing_out(target: str) -> None:
    extra = "\nsimulate Net as shown:\n    duration = 7\n    drive image = 0.6\n    record h.spikes\n    record out.v\n"
    one = snnlang.load(text(SENT) + extra).run("shown", target=target, progress=False)
    other = snnlang.load(text(SENT.replace(" -> dropout(p = 0.4)", "")) + extra).run(
        "shown", target=target, progress=False
    )
    assert np.array_equal(one["out.v"], other["out.v"])
    assert len(one["h.spikes"][0]) > 0


def test_resumed_trainings_draw_on(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    x, y = images(30, 6), np.random.default_rng(2).normal(size=(30, 3))
    whole = network(text(SENT))
    whole.train(x, y, epochs=4)
    begun = network(text(SENT))
    begun.train(x, y, epochs=2, out=tmp_path)
    again = network(text(SENT))
    again.train(x, y, epochs=4, out=tmp_path, resume=True)
    for name, value in whole.weights.items():
        assert np.array_equal(value, again.weights[name]), name


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("image -> dense(12, bias = true) -> dropout(p = 0.2) -> h: Unit\nh -> dense(3) -> out: Readout", "E760"),
        ("image -> dense(12) -> h: Unit\nh -> dense(3) -> out: Readout -> dropout(p = 0.2)", "E760"),
        ("dropout(p = 0.2) -> dense(3) -> out: Readout", "E760"),
        ("image -> dense(12) -> h: Unit -> dropout(p = 1) -> dense(3) -> out: Readout", "E513"),
        ("image -> dense(12) -> h: Unit -> dropout -> dense(3) -> out: Readout", "E512"),
        ("image -> dense(12) -> h: Unit -> dropout(q = 0.2) -> dense(3) -> out: Readout", "E512"),
    ],
)
def test_mistakes(lines: str, code: str) -> None:
    with pytest.raises(SnnError) as raised:
        network(text(lines, neurons=NEURONS))
    assert raised.value.diagnostics[0].code == code
    assert raised.value.diagnostics[0].span is not None


def test_pools_and_flattening() -> None:
    lines = (
        "image -> conv2d(2, kernel = 3), w = uniform(0, 0.6) -> c: Unit -> dropout(p = 0.3) -> avg_pool(2) -> dropout(p = 0.2) -> flatten"
        " -> dense(3) -> out: Readout"
    )
    source = text(lines).replace("input image[6]", "input image[1, 6, 6]")
    net = network(source)
    found = {p.probabilities for p in net.learner.products.values() if isinstance(p, Dropped)}
    assert found == {(0.3, 0.0), (0.2, 0.0)}
    x, y = np.random.default_rng(1).random((4, 1, 6, 6)), np.zeros((4, 3))
    loss, gradients = net.grad(x, y)
    assert loss > 0
    assert all(np.any(value != 0) for value in gradients.values())
