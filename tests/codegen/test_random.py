"""The generator: scalar against vector, against known words of its finaliser, and against what random numbers must look like."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from snnlang.codegen import random as r

KEY = r.key_of(42, "E", "noise")
COUNT = 1_000_000


def test_key_is_the_documented_hash() -> None:
    assert int.from_bytes(hashlib.blake2b(b"42/E/noise").digest()[:8], "little") == KEY
    assert len({r.key_of(s, p, d) for s in (1, 2) for p in ("E", "I") for d in ("a", "b")}) == 8


def test_finaliser_is_the_one_of_splitmix64() -> None:
    # the first outputs of SplitMix64 seeded with 0 (Steele, Lea & Flood; as published with the Java and C sources)
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [r.mix(((n + 1) * r.INDEX_FACTOR) & r.MASK) for n in range(3)] == expected


@pytest.mark.parametrize("counter", [0, 1, 17, -3, 2**40])
def test_vector_equals_scalar(counter: int) -> None:
    indices = np.array([0, 1, 2, 3999, 123456789, -5])
    base = r.bases(KEY, indices)
    many = indices.tolist()
    assert r.words(base, counter).tolist() == [r.word(KEY, i, counter) for i in many]
    assert r.uniforms(base, counter).tolist() == [r.uniform(KEY, i, counter) for i in many]
    assert r.uniforms_single(base, counter).tolist() == [r.uniform(KEY, i, counter, single=True) for i in many]
    np.testing.assert_allclose(
        r.normals(base, counter), [r.normal(KEY, i, counter) for i in many], rtol=1e-13, atol=1e-15
    )
    np.testing.assert_allclose(
        r.normals_single(base, counter), [r.normal(KEY, i, counter, single=True) for i in many], rtol=2e-5, atol=2e-6
    )
    assert r.uniforms_single(base, counter).dtype == r.normals_single(base, counter).dtype == np.float32


def test_counters_may_be_an_array() -> None:
    counters = np.arange(-4, 6)
    base = r.bases(KEY, range(3, 6))[:, None]
    table = r.uniforms(base, counters)
    assert table.tolist() == [[r.uniform(KEY, i, c) for c in counters.tolist()] for i in (3, 4, 5)]
    np.testing.assert_array_equal(r.bases(KEY, 3), r.bases(KEY, np.arange(3)))


def draws(which: str) -> NDArray[np.float64]:
    match which:
        case "indices":
            return r.uniforms(r.bases(KEY, COUNT), 5)
        case "counters":
            return r.uniforms(r.bases(KEY, range(7, 8)), np.arange(COUNT))
        case "keys":
            return np.array([r.uniform(r.key_of(seed, "E", "x"), 3, 4) for seed in range(100_000)])
    return r.uniforms(r.bases(KEY, 1000)[:, None], np.arange(1000)).ravel()


@pytest.mark.parametrize("which", ["indices", "counters", "keys", "both"])
def test_uniform(which: str) -> None:
    x = draws(which)
    assert 0.0 <= x.min() < 1e-4 < 1 - 1e-4 < x.max() < 1.0
    assert stats.kstest(x, "uniform").pvalue > 1e-4
    counts = np.bincount((x * 1000).astype(int), minlength=1000)
    assert stats.chisquare(counts).pvalue > 1e-4
    low_bits = np.bincount((x * 2**40).astype(np.int64) % 256, minlength=256)
    assert stats.chisquare(low_bits).pvalue > 1e-4
    for lag in (1, 2, 3, 64, 1000):
        assert abs(np.corrcoef(x[:-lag], x[lag:])[0, 1]) < 4.5 / np.sqrt(x.size), lag
    pairs = np.bincount((x[:-1:2] * 32).astype(int) * 32 + (x[1::2] * 32).astype(int), minlength=1024)
    assert stats.chisquare(pairs).pvalue > 1e-4


@pytest.mark.parametrize("normals", [r.normals, r.normals_single])
def test_normal(normals: Any) -> None:
    x: NDArray[np.float64] = normals(r.bases(KEY, COUNT), 11).astype(np.float64)
    assert stats.kstest(x, "norm").pvalue > 1e-4
    assert abs(x.mean()) < 4.5e-3
    assert abs(x.var() - 1.0) < 7e-3
    assert abs((x**3).mean()) < 0.015
    assert abs((x**4).mean() - 3.0) < 0.05
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 4.5e-3
    assert 4.2 < np.abs(x).max() < 6.8


def test_one_bit_of_any_argument_changes_half_of_the_bits() -> None:
    rng = np.random.default_rng(0)
    flips = []
    for _ in range(400):
        key, index, counter = int(rng.integers(2**63)), int(rng.integers(2**31)), int(rng.integers(2**31))
        first = r.word(key, index, counter)
        for other in (
            r.word(key ^ 1 << int(rng.integers(63)), index, counter),
            r.word(key, index ^ 1 << int(rng.integers(31)), counter),
            r.word(key, index, counter ^ 1 << int(rng.integers(31))),
        ):
            flips.append(bin(first ^ other).count("1"))
    assert abs(np.mean(flips) - 32.0) < 0.6
    assert 8 < min(flips) < max(flips) < 56
