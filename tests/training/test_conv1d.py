"""Convolutions along a sequence against sums written out, in training and in simulations, and what does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import snnlang
from snnlang.diagnostics import SnnError
from tests.targets import C

from .networks import network, text

TARGETS = ["interpreter", "numpy", C]
#: Options as written, and as numbers: kernel, stride, padding, dilation, groups.
CASES = {
    "kernel = 3": (3, 1, 0, 1, 1),
    "kernel = 3, stride = 2, padding = 2": (3, 2, 2, 1, 1),
    "kernel = 3, padding = 3, dilation = 3, groups = 2": (3, 1, 3, 3, 2),
    "kernel = 5, padding = same": (5, 1, 2, 1, 1),
    "kernel = 2, stride = 3, padding = valid": (2, 3, 0, 1, 1),
}
NEURONS = "neuron Sum:\n    input x = 0\n    state v = 0\n    v[n] = v[n-1] + x\n    output v\n"
SHOWN = "\nsimulate Net as shown:\n    duration = 1\n    seed = 3\n    record c.v\n"


def along(x: Any, w: Any, kernel: int, stride: int, padding: int, dilation: int, groups: int) -> Any:
    """x (channels, length), w (made, channels/groups, kernel)."""
    length = (x.shape[1] + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    made = np.zeros((w.shape[0], length))
    for out, place, tap, channel in np.ndindex(w.shape[0], length, kernel, w.shape[1]):
        at = place * stride - padding + tap * dilation
        if 0 <= at < x.shape[1]:
            made[out, place] += w[out, channel, tap] * x[out // (w.shape[0] // groups) * w.shape[1] + channel, at]
    return made


def source(options: str, shape: str = "2, 1, 13") -> str:
    lines = f"image -> conv1d(4, {options}), w = uniform(-1, 1) -> c: Sum"
    return text(lines, steps=1, loss="mean(square(end(c.v)), over = neurons)", neurons=NEURONS).replace("image[6]", f"image[{shape}]")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("options", CASES)
def test_against_sums(options: str, target: Any) -> None:
    kernel, stride, padding, dilation, groups = CASES[options]
    x = np.random.default_rng(1).normal(size=(2, 13))
    net = network(source(options), "numpy" if target == "interpreter" else target)
    (w,) = net.weights.values()
    weights = w.reshape(4, 2 // groups, kernel)
    expected = along(x, weights, kernel, stride, padding, dilation, groups)
    shown = snnlang.load(source(options) + SHOWN).run(
        "shown", target=target, weights=net.weights, data={"image": x[:, None]}, progress=False
    )
    np.testing.assert_allclose(shown["c.v"].reshape(expected.shape), expected, rtol=1e-12, atol=1e-12)
    loss, found = net.grad(x[None, :, None], np.zeros(1))
    assert loss == pytest.approx(float(np.mean(expected**2)), rel=1e-12)
    gradient = np.array(next(iter(found.values())))
    for place in np.ndindex(weights.shape):
        other = np.zeros_like(weights)
        other[place] = 1
        change = 2 * expected * along(x, other, kernel, stride, padding, dilation, groups)
        assert gradient.reshape(weights.shape)[place] == pytest.approx(float(np.mean(change)), rel=1e-10, abs=1e-13)


@pytest.mark.parametrize(
    ("shape", "remedy"), [("13", "the shape [1, 13]"), ("2, 13", "the shape [2, 1, 13]"), ("2, 3, 13", "the shape [2, 1, 13]")]
)
def test_what_is_no_sequence(shape: str, remedy: str) -> None:
    with pytest.raises(SnnError, match="conv1d goes along a sequence") as caught:
        network(source("kernel = 3", shape))
    (found,) = caught.value.diagnostics
    assert found.code == "E516"
    assert remedy in found.help[0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("kernel = [1, 3]", "a list stands where a number is needed"),
        ("stride = 2", "conv1d needs `kernel`"),
        ("kernel = 3, rows = 1", "conv1d does not take `rows`"),
    ],
)
def test_options(options: str, says: str) -> None:
    with pytest.raises(SnnError) as caught:
        network(source(options))
    assert says in str(caught.value)
