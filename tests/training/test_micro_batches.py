"""Batches whose samples go in parts, with gradients added up: what the whole batch gives, to rounding, and refused where samples meet."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import snnlang
from snnlang.diagnostics import SnnError
from snnlang.runtime import learner
from snnlang.runtime.learner import _shares
from tests.targets import TARGETS

from .networks import images, network, text

Values = np.ndarray[Any, Any]
LINES = """
population h[20]: Unit
population out[3]: Readout
connect image -> h.x: dense(bias = true)
connect h -> out.x: dense(bias = true)
"""
NORMALISED = "image -> dense(20) -> batch_norm() -> h: Unit -> dense(3) -> out: Readout"
SCORES = "cross_entropy(mean(out.v), label)"
NETWORKS = {
    "layers": (LINES, SCORES),
    "every step": (LINES, "mse(out.v, 1)"),
    "spikes": (LINES, f"{SCORES} + 0.1*mean(square(mean(h.spikes)), over = neurons)"),
    "recurrent": (LINES + "connect h -> h.x: dense\n", SCORES),
    "delayed": (LINES.replace("connect h -> out.x: dense(bias = true)", "connect h -> out.x: dense(bias = true), delay = 2"), SCORES),
    "dropout": ("image -> dropout(p = 0.3) -> dense(20, bias = true) -> h: Unit -> dropout(p = 0.3) -> dense(3) -> out: Readout", SCORES),
    "weights": (LINES.replace("connect image", "connect first = image"), f"{SCORES} + 0.3*sum(square(first.w), over = neurons)"),
    "hinge": (LINES, "hinge(mean(out.v), label)"),
}


def found(lines: str, loss: str, target: Any, more: str, timed: bool) -> tuple[float, dict[str, Values]]:
    x, y = (images(7, 6, 7) if timed else images(7, 6)), np.arange(7) % 3
    return network(text(lines, loss=loss, more=more), target).grad(x, y)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_parts_give_what_the_batch_gives(target: Any, name: str, timed: bool, count: int) -> None:
    lines, loss = NETWORKS[name]
    whole, part = (found(lines, loss, target, more, timed) for more in ("", f"micro_batch = {count}"))
    assert part[0] == pytest.approx(whole[0], rel=1e-12)
    assert set(part[1]) == set(whole[1])
    for key, value in whole[1].items():
        np.testing.assert_allclose(part[1][key], value, rtol=1e-9, atol=1e-13, err_msg=key)
    assert any(np.any(value) for value in whole[1].values())


def test_what_is_drawn_goes_by_the_sample() -> None:
    """Dropout of the second batch too: parts count samples as the whole does. Scores and labels are those of all, in their order."""
    lines, loss = NETWORKS["dropout"]
    outcomes = []
    for more in ("", "micro_batch = 2"):
        net = network(text(lines, loss=loss, more=more), "numpy")
        x, y = images(7, 6), np.arange(7) % 3
        net.learner.learn({"image": x}, {"label": y})
        outcomes.append(net.learner.learn({"image": x}, {"label": y}))
    one, two = outcomes
    assert one.labels is not None
    assert one.scores is not None
    assert two.labels is not None
    assert two.scores is not None
    assert np.array_equal(one.labels, two.labels)
    assert np.allclose(one.scores, two.scores, rtol=1e-12)
    for label, adjoint in one.adjoints.items():
        assert np.allclose(adjoint, two.adjoints[label], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("target", TARGETS)
def test_a_training_learns_the_same(target: Any) -> None:
    x, y = images(40, 6), np.arange(40) % 3
    curves = []
    for more in ("", "micro_batch = 3"):
        history = network(text(LINES, loss=SCORES, more=more), target).train(x, y, validation=0.2)
        curves.append(np.array([(e.loss, e.accuracy, e.validation_loss) for e in history.epochs], np.float64))
    assert np.allclose(curves[0], curves[1], rtol=1e-9)


@pytest.mark.parametrize(
    ("lines", "loss", "said"),
    [
        (NORMALISED, SCORES, "batch_norm"),
        (LINES, f"{SCORES} + square(mean(mean(h.spikes), over = samples) - 0.1)", "samples of a batch together"),
    ],
)
def test_samples_that_meet(lines: str, loss: str, said: str) -> None:
    with pytest.raises(SnnError) as problem:
        network(text(lines, loss=loss, more="micro_batch = 2"))
    assert problem.value.diagnostics[0].code == "E624"
    assert said in str(problem.value)


def test_parts_are_chosen_where_samples_keep_more_than_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in cycles, nor where samples meet, nor against what is written."""
    monkeypatch.setattr(learner, "WORTH_PARTS", 1000)
    monkeypatch.setattr(learner, "LEAST_TOGETHER", 2)

    def parts(lines: str, more: str = "", loss: str = SCORES) -> int:
        net = network(text(lines, loss=loss, more=more, steps=300), "numpy")
        net.learner.engine(frozenset({"image"}), True)
        return net.learner.micro_batch(net.learner.engine(frozenset({"image"}), True), 64)

    assert 2 <= parts(LINES) < 64
    assert parts(LINES, "micro_batch = 7") == 7
    assert parts(LINES, "micro_batch = 100") == 64
    assert parts(NETWORKS["recurrent"][0]) == 64
    assert parts(NORMALISED) == 64
    assert parts(LINES, loss=f"{SCORES} + square(mean(mean(h.spikes), over = samples) - 0.1)") == 64


def test_a_batch_is_shared_out_evenly() -> None:
    assert _shares(128, 128) == [(0, 128)]
    assert _shares(128, 50) == [(0, 32), (32, 64), (64, 96), (96, 128)]
    assert _shares(128, 64) == [(0, 64), (64, 128)]
    assert _shares(7, 3) == [(0, 2), (2, 4), (4, 7)]
    assert _shares(1, 1) == [(0, 1)]
    for batch in range(1, 60):
        for most in range(1, batch + 1):
            shares = _shares(batch, most)
            assert shares[0][0] == 0
            assert shares[-1][1] == batch
            assert all(0 < last - first <= most for first, last in shares)
            assert all(a[1] == b[0] for a, b in itertools.pairwise(shares))


def test_it_is_a_setting() -> None:
    """From outside too, and nothing but a positive whole number."""
    with pytest.raises(SnnError):
        network(text(LINES, loss=SCORES, more="micro_batch = 0"))
    assert snnlang.load(text(LINES, loss=SCORES)).network(set={"micro_batch": 5}).training.micro_batch == 5
