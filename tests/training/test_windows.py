"""Products over windows against the same sums written as loops, and the rule <Jx, y> = <x, J'y>."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from snnlang.codegen.patterns import window
from snnlang.runtime.windows import Convolution, Pool, Window
from tests.targets import TARGETS

from .networks import network

CASES: list[dict[str, Any]] = [
    {"kernel": 3},
    {"kernel": [2, 3], "stride": 2, "padding": 1},
    {"kernel": 2, "dilation": [2, 1], "padding": [1, 0]},
    {"kernel": 3, "groups": 2, "stride": [1, 2], "padding": 2},
]


def made(case: dict[str, Any], channels: int = 4) -> tuple[Window, int]:
    options = {"pre_shape": (2, 6, 7), "channels": channels, **case}
    image, output, kernel, stride, padding, dilation, groups = window("conv2d", options)
    return Window(image, output, kernel, stride, padding, dilation), groups


def by_hand(seen: Window, groups: int, x: np.ndarray[Any, Any], w: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    (depth, height, width), (channels, rows, columns) = seen.image, seen.output
    inputs, outputs = depth // groups, channels // groups
    kernels = w.reshape(channels, inputs, *seen.kernel)
    out = np.zeros((x.shape[0], channels, rows, columns))
    image = x.reshape(-1, depth, height, width)
    for o, r, c, i, y, k in np.ndindex(channels, rows, columns, inputs, *seen.kernel):
        down = r * seen.stride[0] + y * seen.dilation[0] - seen.padding[0]
        across = c * seen.stride[1] + k * seen.dilation[1] - seen.padding[1]
        if 0 <= down < height and 0 <= across < width:
            out[:, o, r, c] += kernels[o, i, y, k] * image[:, o // outputs * inputs + i, down, across]
    return out.reshape(x.shape[0], -1)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("piece", [1 << 19, 1])
def test_convolution(case: dict[str, Any], piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnlang.runtime.windows.PIECE", piece)
    seen, groups = made(case)
    rng = np.random.default_rng(0)
    product = Convolution(seen, groups, 0.5)
    x, w = rng.normal(size=(5, 84)), rng.normal(size=4 * product.taps)
    out = np.ones((5, int(np.prod(seen.output))))
    product.forward(x, w, out, True)
    assert np.allclose(out, 1 + 0.5 * by_hand(seen, groups, x, w))
    product.forward(x, w, out, False)
    assert np.allclose(out, 0.5 * by_hand(seen, groups, x, w))
    y, back, slope = rng.normal(size=out.shape), np.zeros_like(x), np.zeros_like(w)
    product.transpose(y, w, back, False)
    product.gradient(x, y, slope)
    assert np.isclose((out * y).sum(), (x * back).sum())
    assert np.isclose((out * y).sum(), (w * slope).sum())


@pytest.mark.parametrize("greatest", [False, True])
@pytest.mark.parametrize("case", [{"kernel": 2}, {"kernel": 3, "stride": 2}])
def test_pools(case: dict[str, Any], greatest: bool) -> None:
    options = {"pre_shape": (2, 6, 7), **case}
    image, output, kernel, stride, padding, dilation, _ = window("max_pool", options)
    product = Pool(Window(image, output, kernel, stride, padding, dilation), 1.0, greatest)
    rng = np.random.default_rng(1)
    x = rng.permutation(3 * 84).reshape(3, 84).astype(float)
    out, one = np.zeros((3, int(np.prod(output)))), np.ones(1)
    product.forward(x, one, out, False)
    images, expected = x.reshape(3, 2, 6, 7), np.zeros((3, *output))
    for c, r, k in np.ndindex(*output):
        down, across = r * stride[0], k * stride[1]
        part = images[:, c, down : down + kernel[0], across : across + kernel[1]].reshape(3, -1)
        expected[:, c, r, k] = part.max(1) if greatest else part.sum(1)
    assert np.array_equal(out, expected.reshape(3, -1))
    y, back = rng.normal(size=out.shape), np.zeros_like(x)
    product.transpose(y, one, back, False, x)
    small = 1e-4
    for direction in rng.normal(size=(3, *x.shape)):
        moved = np.zeros_like(out)
        product.forward(x + small * direction, one, moved, False)
        assert np.isclose(((moved - out) / small * y).sum(), (back * direction).sum(), rtol=1e-6)


TIED = np.zeros((1, 8))


def test_the_gradient_of_a_maximum_goes_to_one() -> None:
    options = {"pre_shape": (1, 2, 4), "kernel": 2}
    image, output, kernel, stride, padding, dilation, _ = window("max_pool", options)
    product = Pool(Window(image, output, kernel, stride, padding, dilation), 1.0, True)
    back = np.zeros((1, 8))
    product.transpose(np.ones((1, 2)), np.ones(1), back, False, TIED)
    assert back.tolist() == [[1, 0, 1, 0, 0, 0, 0, 0]]


LENET = """
from stdlib.neurons import DelayedLIF

neuron Readout:
    input x = 0
    state v = 0
    v[n] = 0.8*v[n-1] + x
    output v

network Net:
    input image[1, 8, 8]
    image -> conv2d(4, kernel = 3, padding = 1) -> c1: DelayedLIF
          -> {pool}(2)
          -> conv2d(6, kernel = 3) -> c2: DelayedLIF
          -> dense(4) -> out: Readout

train Net:
    data = mine
    steps = 4
    loss = cross_entropy(mean(out.v), label)
    optimizer = adam(lr = 0.01)
    epochs = 12
    batch = 16
"""


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("pool", ["max_pool", "avg_pool"])
def test_a_convolutional_network_learns(target: Literal["c", "numpy"], pool: str) -> None:
    """Four bars, by their place: a network of two convolutions and a pool tells them apart."""
    rng = np.random.default_rng(3)
    y = np.arange(96) % 4
    x = 0.3 * rng.uniform(size=(96, 1, 8, 8))
    for row, label in enumerate(y):
        x[row, 0, 2 * label : 2 * label + 2] += 0.8
    history = network(LENET.format(pool=pool), target, "float32").train(x, y)
    assert history.epochs[-1].accuracy is not None
    assert history.epochs[-1].accuracy > 0.95
    assert history.epochs[-1].rates["c1"] > 0
