"""Networks run and compared with the same thing written out in NumPy: pools, blocks, slices, edges, ties, stimuli."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import correlate2d

import snnlang
from tests.targets import C

Array = NDArray[np.float64]
CELLS = """
neuron Unit:
    param beta = 0.5
    input x = 0
    state u = 0
    u[n] = beta*u[n-1] + x[n] - spike[n-1]
    spike when u > 1

neuron Readout:
    input x = 0
    state v = 0
    v[n] = v[n-1] + x[n]
    output v

neuron Sum:
    input a = 0
    input b = 0
    output a + b

neuron Source:
    param first = 0
    state k = -1
    k[n] = k[n-1] + 1
    spike when k == first
"""


def run(body: str, lines: str, target: str, origin: Path | None = None, blocks: str = "", **options: Any) -> Any:
    network = "\n".join(f"    {line}" for line in body.strip().splitlines())
    experiment = "\n".join(f"    {line}" for line in lines.strip().splitlines())
    text = f"{CELLS}\n{blocks}\nnetwork Net:\n{network}\n\nsimulate Net:\n{experiment}\n"
    if origin is None:
        return snnlang.load(text).run(target=target, **options)
    path = origin / "net.snn"
    path.write_text(text, encoding="utf-8")
    return snnlang.load(path).run(target=target, **options)


def literal(array: Any) -> str:
    return repr(float(array)) if np.ndim(array) == 0 else "[" + ", ".join(literal(item) for item in array) + "]"


TARGETS = pytest.mark.parametrize("target", ["numpy", "interpreter", C])


@TARGETS
@pytest.mark.parametrize("pool", ["max_pool", "avg_pool"])
def test_a_pool_between_two_patterns(pool: str, target: str) -> None:
    draw = np.random.default_rng(0)
    image, kernels, weights = draw.random((6, 6)), draw.normal(size=(2, 1, 3, 3)), draw.normal(size=(3, 8))
    recording = run(
        f"input image[1, 6, 6]\nimage -> conv2d(2, kernel = 3, w = {literal(kernels)}) -> c: Unit -> {pool}(2) -> flatten"
        f" -> dense(3, w = {literal(weights.T)}) -> out: Readout",
        f"duration = 8\ndrive image = {literal(image)}\nrecord c.spikes, out.v",
        target,
    )
    current = np.stack([correlate2d(image, kernels[channel, 0], mode="valid") for channel in range(2)])
    u, spikes, v = np.zeros((2, 4, 4)), np.zeros((2, 4, 4)), np.zeros(3)
    expected, count = [], 0.0
    for _ in range(8):
        u = 0.5 * u + current - spikes
        spikes = (u > 1).astype(float)
        count += spikes.sum()
        windows = spikes.reshape(2, 2, 2, 2, 2)
        pooled = windows.max(axis=(2, 4)) if pool == "max_pool" else windows.mean(axis=(2, 4))
        v = v + weights @ pooled.ravel()
        expected.append(v)
    assert count > 10
    np.testing.assert_allclose(recording["out.v"], expected, atol=1e-12)


@TARGETS
def test_a_residual_block(target: str) -> None:
    draw = np.random.default_rng(1)
    image, first, second = draw.random((5, 5)), draw.normal(size=(3, 3)), draw.normal(size=(3, 3))
    block = f"""
network Block:
    input x
    x -> conv2d(1, kernel = 3, padding = same, w = {literal(first)}) -> c1: Unit
      -> conv2d(1, kernel = 3, padding = same, w = {literal(second)}) -> c2: Unit
    population y: Sum
    connect x -> y.a: one_to_one
    connect c2 -> y.b: one_to_one
    output y
"""
    recording = run(
        "input image[5, 5]\nblock b: Block\nimage -> b -> one_to_one -> out: Readout",
        f"duration = 6\ndrive image = {literal(image)}\nrecord out.v",
        target,
        blocks=block,
    )
    u1, s1, u2, s2, v = (np.zeros((5, 5)) for _ in range(5))
    expected = []
    for _ in range(6):
        u1 = 0.5 * u1 + correlate2d(image, first, mode="same") - s1
        s1 = (u1 > 1).astype(float)
        u2 = 0.5 * u2 + correlate2d(s1, second, mode="same") - s2
        s2 = (u2 > 1).astype(float)
        v = v + image + s2
        expected.append(v.ravel())
    assert s1.any()
    np.testing.assert_allclose(recording["out.v"].reshape(6, -1), expected, atol=1e-12)


@TARGETS
def test_slices_edges_and_delays(tmp_path: Path, target: str) -> None:
    (tmp_path / "e.csv").write_text("pre,post,w,delay\n1,0,0.5,3\n0,2,0.25,0\n1,2,2,1\n", encoding="utf-8")
    recording = run(
        "population a[5]: Source(first = index)\npopulation b[6]: Readout\n"
        'connect a[3:5] -> b[1:4]: edges("e.csv")\nconnect a[0:2] -> b[4:6]: one_to_one, w = 10, delay = 2',
        "duration = 9\nrecord b.v",
        target,
        tmp_path,
    )
    expected = np.zeros((9, 6))
    for neuron, post, weight, delay in ((4, 1, 0.5, 3), (3, 3, 0.25, 0), (4, 3, 2, 1), (0, 4, 10, 2), (1, 5, 10, 2)):
        expected[neuron + int(delay) :, post] += weight
    np.testing.assert_allclose(recording["b.v"], expected)


@TARGETS
def test_where_and_position(target: str) -> None:
    recording = run(
        "population a[3, 4]: Source\npopulation b[3, 4]: Readout\n"
        "connect a -> b: where(distance < 1.5 and pre.index != post.index), w = 1 + pre.position[1]",
        "duration = 2\nrecord b.v",
        target,
    )
    rows, columns = np.divmod(np.arange(12), 4)
    distance = np.hypot(rows[:, None] - rows, columns[:, None] - columns)
    near = (distance < 1.5) & (distance > 0)
    np.testing.assert_allclose(recording["b.v"][-1].ravel(), (near * (1 + columns)[:, None]).sum(axis=0))


@TARGETS
def test_unshared_windows(target: str) -> None:
    draw = np.random.default_rng(2)
    weights = draw.normal(size=(2, 2, 3, 1, 2, 2))
    image = draw.random((3, 4))
    recording = run(
        f"input image[3, 4]\nimage -> local2d(2, kernel = 2, w = {literal(weights)}) -> out: Readout",
        f"duration = 1\ndrive image = {literal(image)}\nrecord out.v",
        target,
    )
    expected = np.zeros((2, 2, 3))
    for channel, y, x in np.ndindex(2, 2, 3):
        expected[channel, y, x] = (weights[channel, y, x, 0] * image[y : y + 2, x : x + 2]).sum()
    np.testing.assert_allclose(recording["out.v"].ravel(), expected.ravel())


@TARGETS
@pytest.mark.parametrize("kernel", [2, 4])
def test_same_padding_of_an_even_kernel(kernel: int, target: str) -> None:
    draw = np.random.default_rng(3)
    image, weights = draw.random((5, 4)), draw.normal(size=(kernel, kernel))
    recording = run(
        f"input image[5, 4]\nimage -> conv2d(1, kernel = {kernel}, padding = same, w = {literal(weights)}) -> out: Readout",
        f"duration = 1\ndrive image = {literal(image)}\nrecord out.v",
        target,
    )
    before = (kernel - 1) // 2
    padded = np.pad(image, (before, kernel - 1 - before))
    np.testing.assert_allclose(recording["out.v"].ravel(), correlate2d(padded, weights, mode="valid").ravel())


@TARGETS
def test_all_to_all_but_self(target: str) -> None:
    weights = np.arange(25.0).reshape(5, 5)
    recording = run(
        f"population a[5]: Source\npopulation b[5]: Source(first = 99)\npopulation s[5]: Readout\n"
        f"connect a -> s: dense, w = {literal(weights)}\n"
        "population r[6]: Both\nconnect r -> r.x: dense(autapses = false), w = 1\n"
        "connect r[0:6] -> r[1:5].x: dense(autapses = false), w = 10",
        "duration = 3\nrecord s.v, r.v",
        target,
        blocks="""
neuron Both:
    input x = 0
    state v = 0
    v[n] = v[n-1] + x[n]
    spike when v < 0.5
""",
    )
    np.testing.assert_allclose(recording["s.v"][-1], weights.sum(axis=0))
    # a loop without delay arrives one step later: all six fire at step 0 alone
    np.testing.assert_allclose(recording["r.v"][-1], [5, 55, 55, 55, 55, 5])


@TARGETS
def test_transposed_weights(target: str) -> None:
    weights = np.arange(1.0, 7.0).reshape(2, 3)
    recording = run(
        f"population a[2]: Source(first = 0)\npopulation b[3]: Source(first = [1, 2, 3])\npopulation x[3]: Readout\n"
        f"population y[2]: Readout\nconnect forth = a -> x: dense, w = {literal(weights)}\n"
        "connect back = b -> y: dense, w = transpose(forth.w)",
        "duration = 4\nrecord x.v, y.v",
        target,
    )
    np.testing.assert_allclose(recording["x.v"][-1], weights.sum(axis=0))
    np.testing.assert_allclose(recording["y.v"], np.vstack([np.zeros(2), np.cumsum(weights.T, axis=0)]))


@TARGETS
def test_stimuli(tmp_path: Path, target: str) -> None:
    np.savez(tmp_path / "s.npz", times=[1.0, 3.0, 3.0], indices=[2, 0, 1])
    np.savez(tmp_path / "v.npz", values=np.arange(6.0).reshape(3, 2), interval=2.0)
    recording = run(
        "population a[3]: Source(first = 99)\npopulation b[3]: Readout\npopulation c[2]: Readout\npopulation d[4]: Readout\n"
        "connect a -> b: one_to_one",
        'duration = 6\ndt = 1 ms\ndrive a from "s.npz"\ndrive c.x from "v.npz"\n'
        "drive d.x[1:3] = 1 if t > 2.5 ms else 0\ndrive d.x = [1, 2, 3, 4]\n"
        "at 4 ms: d.v[3] = 100\nrecord b.v, c.v, d.v",
        target,
        tmp_path,
    )
    # times of difference networks are n*dt for step n
    arrivals = np.zeros((6, 3))
    arrivals[1, 2] = arrivals[3, 0] = arrivals[3, 1] = 1
    np.testing.assert_allclose(recording["b.v"], np.cumsum(arrivals, axis=0))
    held = np.repeat(np.arange(6.0).reshape(3, 2), 2, axis=0)
    np.testing.assert_allclose(recording["c.v"], np.cumsum(held, axis=0))
    d = np.tile([1.0, 2, 3, 4], (6, 1))
    d[3:, 1:3] += 1
    expected = np.cumsum(d, axis=0)
    np.testing.assert_allclose(recording["d.v"][:, :3], expected[:, :3])


@TARGETS
def test_data_and_a_clamp(target: str) -> None:
    images, wanted = np.array([[1.0, 0, 2], [0, 3, 0]]), np.array([[1, 0, 0], [0, 1, 1]])
    recording = run(
        "input image[3]\npopulation a[3]: Unit\npopulation b[3]: Readout\nconnect image -> b: one_to_one\n"
        "connect a -> b: one_to_one, w = 10",
        "present given as image, desired for 3, rest 1\nclamp a.spike = desired\nrecord b.v",
        target,
        data={"given": (images, wanted)},
    )
    found = recording["b.v"].reshape(2, 4, 3)
    for trial in range(2):
        np.testing.assert_allclose(found[trial, 2], 3 * (images[trial] + 10 * wanted[trial]))
