"""Cycles that are compiled as wholes: the numbers of the NumPy target, which goes step by step, and the same bits on any threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnlang.runtime import compiler, native_cycles, native_products
from tests.targets import needs_compiler

from .networks import NEURONS, images, network, text

pytestmark = needs_compiler
MANY = """
neuron Many:
    trainable per_neuron param beta = 0.9 in (0, 1)
    param theta = 1
    input x = 0
    state u = 0
    u[n] = beta*u[n-1] + x - theta*spike[n-1] + 0.1*(uniform(0, 1) - 0.5)
    spike when u > theta
"""
#: Sizes that fill no vector, no block of neurons and no block of samples.
ONE = """
image -> dense(70) -> h: Unit -> dense(3, bias = true) -> out: Readout
connect h -> h.x: dense(bias = true)
"""
TWO = """
image -> dense(37) -> h: Unit -> dense(3) -> out: Readout
connect h -> h.x: dense(autapses = false), w = uniform(-0.3, 0.3)
h -> dense(90), delay = 1 -> g: Unit
connect g -> h.x: dense, delay = 3
connect g -> out.x: dense
"""
DRAWN = """
image -> dense(65) -> h: Many -> dense(3) -> out: Readout
connect h -> h.x: dense(autapses = false), delay = 2
"""
NETWORKS = {"one": ONE, "two": TWO, "drawn": DRAWN}


def grown(name: str, target: Any, precision: str, more: str = "") -> tuple[float, dict[str, Any], Any]:
    """Loss, gradients and readouts of a batch of 83, which is five blocks of samples and three more."""
    net = network(text(NETWORKS[name], size=12, steps=9, more=more, neurons=MANY + NEURONS), target, precision)
    x, y = images(83, 12, 9), np.random.default_rng(3).uniform(size=(83, 3))
    loss, found = net.grad(x, y)
    return loss, found, net.forward(x)["out.v:mean"]


def by_sums(self: Any, sent: Any, arrived: Any, out: Any, add: bool = True) -> None:
    rows = sent.reshape(arrived.shape[0], -1)  # in the order of the steps, as arrived
    made = np.einsum("ri,rj->ij", rows, arrived, optimize=False).reshape(out.shape)
    out[...] = out + made if add else made


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("more", ["", "checkpoint = 4", "truncate = 4"])
@pytest.mark.parametrize("rare", [0.0, 1.1], ids=["dense", "listed"])
@pytest.mark.parametrize("block", [16, 5])
def test_as_step_by_step(name: str, more: str, rare: float, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_cycles, "RARE", rare)
    monkeypatch.setattr(native_cycles, "BLOCK", block)
    loss, found, out = grown(name, "c", "float64", more)
    expected, plain, told = grown(name, "numpy", "float64", more)
    assert loss == pytest.approx(expected, rel=1e-12)
    assert np.allclose(out, told, rtol=1e-12, atol=1e-14)
    assert set(found) == set(plain)
    for key, value in plain.items():
        assert np.allclose(found[key], value, rtol=1e-9, atol=1e-13), key
        assert np.any(value != 0), key


@pytest.mark.parametrize("name", NETWORKS)
def test_threads_change_no_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # bits of a BLAS may depend on where its arrays lie: here only what the cycle itself computes is compared
    monkeypatch.setattr(native_products.NativeDense, "gradient", by_sums)
    alone, shared = grown(name, "c", "float32", "threads = 1"), grown(name, "c", "float32", "threads = 3")
    assert alone[0] == shared[0]
    assert np.array_equal(alone[2], shared[2])
    for key, value in alone[1].items():
        assert np.array_equal(value, shared[1][key]), key


def test_large_connections_go_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = grown("one", "c", "float64")
    monkeypatch.setattr(native_cycles, "MOST_WEIGHTS", 100)
    parts = grown("one", "c", "float64")
    assert whole[0] == pytest.approx(parts[0], rel=1e-12)
    for key, value in parts[1].items():
        assert np.allclose(whole[1][key], value, rtol=1e-9, atol=1e-13), key


def test_rows_are_gathered_by_the_library_of_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its text holds theirs: nothing is compiled twice."""
    native_cycles._library(False)
    monkeypatch.setattr(compiler, "library", lambda *_: pytest.fail("compiled again"))
    native, sent = native_products.Native("single"), np.eye(3, dtype=np.float32)
    begin, index, value = np.empty(4, np.int64), np.empty(25, np.int32), np.empty(25, np.float32)
    assert native.call("snn_rows_list", sent, 3, 3, begin, index, value) == 3
    assert (begin.tolist(), index[:3].tolist(), value[:3].tolist()) == ([0, 1, 2, 3], [0, 1, 2], [1.0, 1.0, 1.0])
