"""Listed synapses, compiled and in NumPy, against a loop over the synapses; and the same bits for any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnlang.runtime import native_lists, native_products, products
from snnlang.runtime.native_lists import NativeLists, NativeSparse
from snnlang.runtime.products import Sparse
from tests.targets import C, needs_compiler

Values = np.ndarray[Any, Any]
PRE, POST = 37, 23


def made(kind: str, precision: str, shared: bool, threads: int = 1) -> tuple[Sparse, Values, int]:
    """A product over random pairs (some neurons have none, some pairs are double), its lists, and how many weights it has."""
    rng = np.random.default_rng(4)
    pre, post = rng.integers(0, PRE - 5, 300), rng.integers(3, POST, 300)
    number = rng.integers(0, 40, 300) if shared else np.arange(300)
    given = (pre, post, PRE, POST, 0.7, number if shared else None)
    product = Sparse(*given) if kind == "numpy" else NativeSparse(NativeLists(precision, threads), *given)
    return product, np.stack([pre, post, number]), 40 if shared else 300


def all_of(product: Sparse, x: Values, w: Values, y: Values) -> list[Values]:
    out, back, slope = np.full_like(y, 3), np.full_like(x, 3), np.ones_like(w)
    product.forward(x, w, out, False)
    product.transpose(y, w, back, False, x)
    more, again = out.copy(), back.copy()
    product.forward(x, w, more, True)
    product.transpose(y, w, again, True, x)
    product.gradient(x, y, slope)
    return [out, back, more, again, slope]


@pytest.mark.parametrize("kind", ["numpy", C])
@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("shared", [False, True], ids=["own weights", "shared weights"])
@pytest.mark.parametrize("rows", [1, 31, 64, 130])
def test_against_a_loop(kind: str, precision: str, shared: bool, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "AT_ONCE", 300 * 50)  # in pieces of rows
    monkeypatch.setattr(native_lists, "PIECE", 1)
    real = np.float64 if precision == "double" else np.float32
    product, lists, weights = made(kind, precision, shared)
    rng = np.random.default_rng(rows)
    x, y, w = (rng.normal(size=shape).astype(real) for shape in ((rows, PRE), (rows, POST), (weights,)))
    out, back, slope = np.zeros((rows, POST)), np.zeros((rows, PRE)), np.ones(weights)
    for pre, post, number in lists.T:
        out[:, post] += 0.7 * w[number].astype(float) * x[:, pre]
        back[:, pre] += 0.7 * w[number].astype(float) * y[:, post]
        slope[number] += 0.7 * x[:, pre].astype(float) @ np.asarray(y[:, post], float)
    for found, expected in zip(all_of(product, x, w, y), [out, back, 2 * out, 2 * back, slope], strict=True):
        assert np.abs(found - expected).max() <= (1e-12 if precision == "double" else 3e-5) * max(1.0, np.abs(expected).max())


@needs_compiler
@pytest.mark.parametrize("shared", [False, True], ids=["own weights", "shared weights"])
def test_bits_do_not_depend_on_threads(shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_products, "WORTH", 1)
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(200, size)).astype(np.float32) for size in (PRE, POST))
    results = []
    for threads in (1, 2, 3, 7):
        product, _, weights = made("c", "single", shared, threads)
        results.append(all_of(product, x, np.linspace(-1, 1, weights, dtype=np.float32), y))
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("kind", ["numpy", C])
def test_no_synapses(kind: str) -> None:
    nothing = np.zeros(0, np.int64)
    given = (nothing, nothing, 3, 2, 1.0)
    product = Sparse(*given) if kind == "numpy" else NativeSparse(NativeLists("double"), *given)
    found = all_of(product, np.ones((4, 3)), np.zeros(0), np.ones((4, 2)))
    assert not found[0].any()
    assert not found[1].any()


@pytest.mark.parametrize("kind", ["numpy", C])
def test_one_weight_for_all(kind: str) -> None:
    pre, post = np.array([0, 1, 2, 2]), np.array([1, 0, 0, 1])
    product = Sparse(pre, post, 3, 2, 2.0) if kind == "numpy" else NativeSparse(NativeLists("double"), pre, post, 3, 2, 2.0)
    out = np.zeros((1, 2))
    product.forward(np.array([[1.0, 10.0, 100.0]]), np.ones(1), out, False)
    assert out.tolist() == [[220.0, 202.0]]
