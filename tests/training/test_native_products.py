"""Compiled products against the NumPy ones and sums written as loops, on every path that data can choose, and the same bits on threads."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnlang.codegen.patterns import window
from snnlang.runtime import compiler, native_convolution, native_products
from snnlang.runtime.native_convolution import NativeConvolution
from snnlang.runtime.native_products import Native, NativeDense, NativePool
from snnlang.runtime.products import Dense
from snnlang.runtime.windows import Convolution, Pool, Window
from tests.targets import needs_compiler

from .test_windows import CASES, by_hand

pytestmark = needs_compiler
Values = np.ndarray[Any, Any]
PRECISIONS = ["single", "double"]


def close(precision: str) -> float:
    return 1e-12 if precision == "double" else 2e-5


def sparse(rng: np.random.Generator, shape: tuple[int, ...], part: float, like: np.dtype[Any]) -> Values:
    return (rng.normal(size=shape) * (rng.random(shape) < part)).astype(like)


def results(product: Any, x: Values, w: Values, y: Values) -> list[Values]:
    """forward, transpose and gradient, set and added."""
    out, back, slope = np.full_like(y, 3), np.full_like(x, 3), np.ones_like(w)
    product.forward(x, w, out, False)
    product.transpose(y, w, back, False, x)
    more, again = out.copy(), back.copy()
    product.forward(x, w, more, True)
    product.transpose(y, w, again, True, x)
    if product.trained:
        product.gradient(x, y, slope)
    return [out, back, more, again, slope]


def agree(a: list[Values], b: list[Values], tolerance: float) -> None:
    for one, other in zip(a, b, strict=True):
        assert np.abs(one - other).max() <= tolerance * max(1.0, float(np.abs(other).max()))


#: Ways through a convolution: the densities below which runs, and lists, are taken, and what the transforms of tiles are said to cost.
WAYS = {"blocks": (0.0, 0.0, 1e12), "lists": (0.0, 1.1, 1e12), "runs": (1.1, 0.0, 1e12), "tiles": (0.0, 0.0, -1e9)}


def go(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take one way through convolutions, whatever is sent."""
    runs, lists, transforms = WAYS[way]
    cost = {"RUN_COST": 0.0 if runs else 1e9, "TRANSFORMS": transforms}
    chosen = {"RUNS": runs, "RARE_PIXELS": lists, "RARE_SLOPES": lists, "FEWEST": 1, **cost}
    for name, value in chosen.items():
        monkeypatch.setattr(native_convolution, name, value)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", [*CASES, {"kernel": 1}, {"kernel": 5, "padding": 4}, {"kernel": [4, 7], "padding": 3, "dilation": [2, 1]}])
@pytest.mark.parametrize("channels", [4, 36])
@pytest.mark.parametrize("way", WAYS)
def test_convolution(
    precision: str, case: dict[str, Any], channels: int, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every way through the data, also in pieces of one image, with rows that fill no block."""
    go(way, monkeypatch)
    monkeypatch.setattr(native_convolution, "PIECE", 1)
    options = {"pre_shape": (2, 6, 7), "channels": channels, **case}
    image, output, kernel, stride, padding, dilation, groups = window("conv2d", options)
    seen = Window(image, output, kernel, stride, padding, dilation)
    native, rng = Native(precision), np.random.default_rng(0)
    product, plain = NativeConvolution(native, seen, groups, 0.5), Convolution(seen, groups, 0.5)
    x = sparse(rng, (7, 84), 0.4, native.real)
    w = rng.normal(size=channels * product.taps).astype(native.real)
    y = rng.normal(size=(7, int(np.prod(output)))).astype(native.real)
    agree(results(product, x, w, y), results(plain, x, w, y), close(precision))
    out = np.empty_like(y)
    product.forward(x, w, out, False)
    if channels == 4:
        assert np.allclose(out, 0.5 * by_hand(seen, groups, x, w), atol=close(precision) * 10)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("part", [0.0, 0.05, 0.3, 1.0])
@pytest.mark.parametrize(
    "inputs, channels, case",
    [
        (1, 33, {"kernel": 5, "padding": 2}),
        (3, 5, {"kernel": 3, "stride": 2}),
        (5, 70, {"kernel": 3, "stride": [2, 1], "padding": 1}),
        (33, 64, {"kernel": 5}),
        (34, 66, {"kernel": 3, "padding": 2, "dilation": [2, 1], "groups": 2}),
        (33, 5, {"kernel": [1, 6]}),
        (9, 130, {"kernel": [3, 2], "dilation": 2}),
    ],
)
def test_densities_of_convolutions(
    precision: str, way: str, part: float, inputs: int, channels: int, case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    go(way, monkeypatch)
    image, output, kernel, stride, padding, dilation, groups = window(
        "conv2d", {"pre_shape": (inputs, 9, 11), "channels": channels, **case}
    )
    seen = Window(image, output, kernel, stride, padding, dilation)
    native, rng = Native(precision), np.random.default_rng(5)
    product, plain = NativeConvolution(native, seen, groups, 2.0), Convolution(seen, groups, 2.0)
    x = sparse(rng, (8, inputs * 99), part, native.real)
    w = rng.normal(size=channels * product.taps).astype(native.real)
    y = rng.normal(size=(8, int(np.prod(output)))).astype(native.real)
    agree(results(product, x, w, y), results(plain, x, w, y), close(precision))


def test_the_density_of_an_image_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of the compiled functions are called, for what is sent and for the gradient."""
    seen, native, rng = Window((16, 12, 12), (24, 10, 10), (3, 3), (1, 1), (0, 0), (1, 1)), Native("single"), np.random.default_rng(6)
    product, called = NativeConvolution(native, seen, 1, 1.0), list[str]()
    plain = native.call

    def call(name: str, *given: Any) -> int:
        called.append(name)
        return plain(name, *given)

    working = {"run_images", "reach_images", "rare_images", "tiles_back", "meet_weigh", "weigh", "rare_weigh", "slopes_add"}
    monkeypatch.setattr(native, "call", call)
    w, y = rng.normal(size=16 * 24 * 9).astype(np.float32), rng.normal(size=(16, 2400)).astype(np.float32)
    for part, forwards, slope in ((0.2, "run_images", "meet_weigh"), (0.9, "reach_images", "slopes_add")):
        called.clear()
        results(product, sparse(rng, (16, 2304), part, native.real), w, y)
        assert {"tiles_back", forwards, slope} == {name.removeprefix("snn_") for name in called} & working


@pytest.mark.parametrize("size, kernel, padding", [(14, 5, 2), (8, 5, 0), (30, 3, 1), (9, 7, 3), (6, [2, 4], 0)])
def test_tiles_are_as_exact_as_rounding(size: int, kernel: Any, padding: int) -> None:
    """Adjoints in single precision, brought back through tiles, and gradients of weights, against products in double precision: some
    units of the last place of the greatest number, also where several images or several blocks of tiles go together."""
    options = {"pre_shape": (24, size, size), "channels": 20, "kernel": kernel, "padding": padding}
    image, output, kernel, stride, padding_, dilation, groups = window("conv2d", options)
    seen, rng = Window(image, output, kernel, stride, padding_, dilation), np.random.default_rng(7)
    product = NativeConvolution(Native("single"), seen, groups, 1.0)
    product._tiled, product._run_cost, product._slope_costs = True, None, {"tiles": 0.0}
    w, y = rng.normal(size=20 * product.taps).astype(np.float32), rng.normal(size=(7, int(np.prod(output)))).astype(np.float32)
    y *= 10.0 ** rng.uniform(-4, 0, y.shape)  # of all sizes, as adjoints are
    x, plain = rng.integers(0, 5, (7, 24 * size * size)).astype(np.float32) / 4, Convolution(seen, groups, 1.0)
    back, exact = np.empty_like(x), np.empty(x.shape)
    product.transpose(y, w, back, False)
    plain.transpose(y.astype(float), w.astype(float), exact, False)
    slope, steep = np.zeros_like(w), np.zeros(w.shape)
    product.gradient(x, y, slope)
    plain.gradient(x.astype(float), y.astype(float), steep)
    for found, expected in ((back, exact), (slope, steep)):
        assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
        assert np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)) < 6e-6


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("greatest", [False, True])
@pytest.mark.parametrize(
    "shape",
    [
        Window((3, 6, 8), (3, 3, 4), (2, 2), (2, 2), (0, 0), (1, 1)),
        Window((3, 7, 9), (3, 3, 4), (2, 2), (2, 2), (0, 0), (1, 1)),
        Window((3, 9, 6), (3, 3, 2), (3, 3), (3, 3), (0, 0), (1, 1)),
        Window((2, 7, 7), (2, 4, 4), (3, 3), (2, 2), (1, 1), (1, 1)),
        Window((2, 7, 7), (2, 3, 5), (3, 2), (1, 1), (0, 0), (2, 2)),
    ],
)
def test_pools(precision: str, greatest: bool, shape: Window) -> None:
    native, rng = Native(precision), np.random.default_rng(1)
    a, b = NativePool(native, shape, 0.25, greatest), Pool(shape, 0.25, greatest)
    x = rng.integers(0, 3, (5, int(np.prod(shape.image)))).astype(native.real)  # with ties
    y = rng.normal(size=(5, int(np.prod(shape.output)))).astype(native.real)
    agree(results(a, x, np.full(1, 2, native.real), y), results(b, x, np.full(1, 2, native.real), y), close(precision))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("pre, post", [(70, 8), (131, 45), (64, 150), (200, 33)])
@pytest.mark.parametrize("part", [0.0, 0.05, 0.3])
def test_gathered_rows(precision: str, pre: int, post: int, part: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_products, "RARE", 1.1)
    monkeypatch.setattr(native_products, "WORTH_LISTS", 0)
    monkeypatch.setattr(native_products, "CHUNK", 10)
    native, rng = Native(precision), np.random.default_rng(2)
    a, b = NativeDense(native, pre, post, -0.5), Dense(pre, post, -0.5)
    x = sparse(rng, (37, pre), part, native.real)
    w = rng.normal(size=pre * post).astype(native.real)
    y = rng.normal(size=(37, post)).astype(native.real)
    agree(results(a, x, w, y), results(b, x, w, y), close(precision))
    first, second = np.full_like(w, 9), np.zeros_like(w)
    a.gradient(x, y, first, False)
    b.gradient(x, y, second)
    agree([first], [second], close(precision))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("part", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("threads", [1, 3])
def test_steps_of_a_sample_side_by_side(precision: str, part: float, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signals as data has them, (samples, steps, pre) seen as (steps, samples, pre), on each way: gathered, in groups, by the BLAS."""
    monkeypatch.setattr(native_products, "WORTH_LISTS", 0)
    monkeypatch.setattr(native_products, "CHUNK", 50)
    native, rng = Native(precision, threads), np.random.default_rng(10)
    monkeypatch.setattr(native_products, "WORTH", 1)
    mask = np.repeat(rng.random((23, 1, 36)) < part, 4, 2)  # four neighbours alike, and so all steps
    data = (mask * rng.normal(size=(23, 7, 144))).astype(native.real)
    x, flat = data.transpose(1, 0, 2), np.ascontiguousarray(data.transpose(1, 0, 2)).reshape(-1, 144)
    w, y = rng.normal(size=144 * 129).astype(native.real), rng.normal(size=(161, 129)).astype(native.real)
    a, b = NativeDense(native, 144, 129, 0.5), Dense(144, 129, 0.5)
    one, other, slope, wanted = np.ones_like(y), np.ones_like(y), np.ones_like(w), np.ones_like(w)
    for add in (False, True):
        a.forward(x, w, one, add)
        b.forward(flat, w, other, add)
        a.gradient(x, y, slope, add)
        b.gradient(flat, y, wanted, add)
        agree([one, slope], [other, wanted], close(precision))


def test_the_density_of_what_is_sent_decides() -> None:
    native = Native("single")
    product = NativeDense(native, 500, 100)
    rng = np.random.default_rng(3)
    few, more = sparse(rng, (64, 500), 0.05, native.real), sparse(rng, (64, 500), 0.5, native.real)
    assert product._active(few) < native_products.RARE < product._active(more)
    assert product._active(few[:2]) == 1  # too little work to count anything
    assert product._active(few, few.T) == 1
    assert NativeDense(native, 500, 100, 1.0, np.ones((500, 100)))._active(few) == 1


@pytest.mark.parametrize("way", WAYS)
def test_threads_change_no_bit(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    go(way, monkeypatch)
    monkeypatch.setattr(native_products, "RARE", 0.0 if way == "blocks" else 1.1)
    monkeypatch.setattr(native_products, "WORTH", 1)
    monkeypatch.setattr(native_products, "WORTH_LISTS", 1)
    rng = np.random.default_rng(4)
    seen = Window((9, 8, 8), (20, 6, 6), (3, 3), (1, 1), (0, 0), (1, 1))
    made: list[list[Values]] = []
    x, pictures = sparse(rng, (45, 60), 0.1, np.dtype(np.float32)), sparse(rng, (45, 576), 0.3, np.dtype(np.float32))
    w, kernels = rng.normal(size=60 * 40).astype(np.float32), rng.normal(size=9 * 20 * 9).astype(np.float32)
    y, bars = rng.normal(size=(45, 40)).astype(np.float32), rng.normal(size=(45, 720)).astype(np.float32)
    for threads in (1, 2, 5):
        native = Native("single", threads)
        first = results(NativeDense(native, 60, 40), x, w, y)
        made.append(first + results(NativeConvolution(native, seen, 1, 1.0), pictures, kernels, bars))
    for other in made[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(made[0], other, strict=True))


def test_other_layouts_fall_back() -> None:
    """Arrays that are not contiguous, or of the other precision, go through NumPy."""
    native, rng = Native("single"), np.random.default_rng(5)
    seen = Window((2, 6, 6), (3, 4, 4), (3, 3), (1, 1), (0, 0), (1, 1))
    a, b = NativeConvolution(native, seen, 1, 1.0), Convolution(seen, 1, 1.0)
    x, w = rng.normal(size=(4, 72)), rng.normal(size=54)
    y = rng.normal(size=(4, 48))
    agree(results(a, x, w, y), results(b, x, w, y), 1e-12)


def test_what_is_expected_is_compiled_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """One library for what every batch of a network calls, further ones for what its data asks for, and no shape that it has not."""
    made: list[str] = []
    plain = compiler.library

    def library(text: str, math: Any = "fast", name: str = "model") -> Any:
        made.append(text)
        return plain(text, math, name)

    monkeypatch.setattr(compiler, "library", library)
    native, rng = Native("single"), np.random.default_rng(3)
    seen = Window((16, 12, 12), (40, 8, 8), (5, 5), (1, 1), (0, 0), (1, 1))
    product = NativeConvolution(native, seen, 1, 1.0)
    NativePool(native, Window((40, 8, 8), (40, 4, 4), (2, 2), (2, 2), (0, 0), (1, 1)), 0.25, False)
    NativeDense(native, 640, 10)
    native.begin()
    w, y = rng.normal(size=16 * 40 * 25).astype(np.float32), rng.normal(size=(16, 40 * 64)).astype(np.float32)
    few, most = (sparse(rng, (16, 16 * 144), part, native.real) for part in (0.1, 0.9))
    results(product, few, w, y)
    (together,) = made
    for function in ("run_images", "meet_weigh", "tiles_back", "half_forward", "rows_gather"):
        assert f"snn_{function}(" in together
    for function in ("reach_images", "slopes_add", "weigh", "rare_images", "pool_forward"):
        assert f"snn_{function}(" not in together
    assert "#define MEETS(N) MEET(N, 5)\n" in together
    agree(results(product, most, w, y), results(Convolution(seen, 1, 1.0), most, w, y), close("single"))
    assert [name in made[1] for name in ("snn_reach_images(", "snn_slopes_add(")] == [True, False]
    assert len(made) == 3
    # another shape: what was compiled has not its kernels
    other = Window((16, 12, 12), (20, 9, 9), (4, 4), (1, 1), (0, 0), (1, 1))
    second, kernels = NativeConvolution(native, other, 1, 1.0), rng.normal(size=16 * 20 * 16).astype(np.float32)
    bars = rng.normal(size=(16, 20 * 81)).astype(np.float32)
    agree(results(second, few, kernels, bars), results(Convolution(other, 1, 1.0), few, kernels, bars), close("single"))
    assert "#define MEETS(N) MEET(N, 2) MEET(N, 5)\n" in made[3]


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("many", [{True}, {False}, {True, False}], ids=["many", "few", "both"])
def test_every_text_is_without_warnings(double: bool, many: set[bool], tmp_path: Path) -> None:
    """Each kind alone and those of images together, as the machine's compiler reads them."""
    found = compiler.require()
    images = ("rows", "reach", "weigh", "run", "meet", "rare", "tiles", "slopes", "half", "pool")
    every = [*((kind,) for kind in native_products._PARTS), images]
    for kinds in every if many == {True} else [images]:
        (tmp_path / "text.c").write_text(native_products.native_text(kinds, double, frozenset(many), frozenset({1, 2, 3, 5})))
        warnings = ["-Wall", "-Wextra", "-Werror"]
        command = [*found.command, *compiler.flags(found, model=False), *warnings, "-fsyntax-only", "text.c"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, (kinds, done.stderr)
