"""The C text that generated kernels call: mathematical functions, random numbers and quantiles.

A small library of loops is compiled from the headers and called on arrays. Accuracy is measured against long double arithmetic, in units in
the last place; draws are compared with the Python generator, quantiles with the interpreter and with scipy.
"""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special, stats

from snnlang.codegen import interpret, random, whole_array
from snnlang.codegen.functions import FUNCTIONS
from snnlang.model import expression

HEADERS = Path(__file__).parents[2] / "codegen" / "native"
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
FAST = "-O3 -march=native -fno-math-errno -fno-trapping-math -ffp-contract=fast".split()
Array = NDArray[Any]
Wide = np.longdouble

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")

ONE = "exp expm1 exprel log log1p log10 sin cos tan sinh cosh tanh sigmoid softplus erf sign heaviside relu".split()
TWO = "mod pow min max".split()
INNER = ["inverse_exprel"]  # what printers call where the language has no such function

#: Largest error in units in the last place, double and float, that the header promises.
PROMISED = {
    "exp": (1.2, 1.2), "expm1": (2.2, 1.6), "exprel": (2.2, 2.0), "inverse_exprel": (2.5, 2.0),
    "log": (0.9, 0.9), "log1p": (1.4, 1.4), "log10": (2.0, 2.0),
    "sin": (2.5, 3.5), "cos": (2.5, 3.5), "tan": (4.5, 7.0), "sinh": (2.1, 2.1), "cosh": (1.5, 1.5), "tanh": (2.2, 2.2),
    "sigmoid": (2.2, 2.2), "softplus": (2.0, 2.0), "erf": (2.5, 2.5), "pow": (2.0, 1.0),
}  # fmt: skip


def _erf(x: Array) -> Array:
    return np.array([math.erf(value) for value in x.astype(float).tolist()], Wide)


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, e, 1) / (1 + e))


EXACT: dict[str, Callable[..., Array]] = {
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "log10": np.log10, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "sigmoid": _sigmoid, "erf": _erf, "pow": np.power,
    "exprel": lambda x: np.where(x == 0, Wide(1), np.expm1(x) / x),
    "inverse_exprel": lambda x: np.where(x == 0, Wide(1), x / np.expm1(x)),
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
}  # fmt: skip


def _driver() -> str:
    lines = ['#include "mathematics.h"', '#include "random.h"', '#include "quantiles.h"']
    for real, f in (("double", ""), ("float", "f")):
        for names, form, call in (
            (ONE + INNER, f"const {real} *x, {real} *y", "x[i]"),
            (TWO, f"const {real} *x, const {real} *z, {real} *y", "x[i], z[i]"),
            (["clip"], f"const {real} *x, const {real} *z, const {real} *w, {real} *y", "x[i], z[i], w[i]"),
            (["poisson_quantile", "gamma_quantile"], f"const {real} *x, const {real} *z, {real} *y", "x[i], z[i]"),
            (["uniform", "normal"], f"const uint64_t *x, const int64_t *z, {real} *y", "x[i], z[i]"),
            (["uniform_at"], f"const uint64_t *k, const int64_t *x, const int64_t *z, {real} *y", "k[i], x[i], z[i]"),
        ):
            for name in names:
                loop = f'_Pragma("omp simd")\n    for (long i = 0; i < n; i++) y[i] = snn_{name}{f}({call});'
                lines.append(f"void v_{name}{f}({form}, long n)\n{{\n{loop}\n}}")
        lines.append(
            f"void v_poisson_block{f}(const {real} *u, double mean, {real} *y, long n)\n{{\n    static snn_poisson_table table;\n"
            f"    snn_poisson_prepare(&table, mean);\n    snn_poisson_block{f}(&table, u, y, (int32_t)n);\n}}"
        )
    lines.append(
        "void v_word(uint64_t key, const int64_t *x, const int64_t *z, uint64_t *y, long n)\n{\n"
        "    for (long i = 0; i < n; i++) y[i] = snn_word(snn_base(key, x[i]), z[i]);\n}"
    )
    return "\n".join(lines) + "\n"


class Library:
    """The compiled driver; ``call`` gives arrays to one of its loops."""

    def __init__(self, folder: Path, *flags: str) -> None:
        source, built = folder / "driver.c", folder / "driver.so"
        source.write_text(_driver())
        command = [
            COMPILER or "cc",
            "-std=gnu11",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-fopenmp-simd",
            "-fPIC",
            "-shared",
            *flags,
        ]
        subprocess.run([*command, f"-I{HEADERS}", str(source), "-o", str(built), "-lm"], check=True)
        self.handle = ctypes.CDLL(str(built))

    def call(self, name: str, *arrays: Array, kind: Any = None) -> Array:
        kind = np.dtype(kind or arrays[0].dtype)
        result = np.empty(arrays[0].shape, kind)
        loop = getattr(self.handle, f"v_{name}" + ("f" if kind == np.float32 else ""))
        kept = [np.ascontiguousarray(array) for array in arrays]
        loop(*(ctypes.c_void_p(a.ctypes.data) for a in (*kept, result)), ctypes.c_long(result.size))
        return result

    def block(self, mean: float, u: Array) -> Array:
        result = np.empty_like(u)
        loop = getattr(self.handle, "v_poisson_block" + ("f" if u.dtype == np.float32 else ""))
        loop(
            ctypes.c_void_p(u.ctypes.data),
            ctypes.c_double(mean),
            ctypes.c_void_p(result.ctypes.data),
            ctypes.c_long(u.size),
        )
        return result


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library(tmp_path_factory.mktemp("fast"), *FAST)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """No vectors, no fused multiply-add, no optimisation: what a compiler of another machine may make of the text."""
    return Library(tmp_path_factory.mktemp("plain"), "-O1")


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library(tmp_path_factory.mktemp("strict"), "-O2", "-DSNN_STRICT_MATH", "-ffp-contract=off")


# --- accuracy ---------------------------------------------------------------------------------------------------------


def _errors(values: Array, exact: Array) -> Array:
    """In units in the last place; inf where one is finite and the other not, or one nan and the other not."""
    limits = np.finfo(values.dtype)
    with np.errstate(all="ignore"):
        rounded = exact.astype(values.dtype)
        exponent = np.maximum(np.frexp(np.abs(exact))[1] - 1, limits.minexp) - limits.nmant
        apart = np.abs(values.astype(Wide) - exact) / np.ldexp(Wide(1), exponent)
    finite = np.isfinite(rounded) & np.isfinite(values)
    same = (rounded == values) | (np.isnan(rounded) & np.isnan(values))
    return np.where(finite, apart, np.where(same, 0, np.inf))


def _edges(kind: Any) -> Array:
    limits = np.finfo(kind)
    some = [
        0.0,
        math.inf,
        math.nan,
        1.0,
        0.5,
        limits.tiny,
        limits.smallest_subnormal,
        limits.eps,
        limits.max,
        17.0,
        745.2,
        746.0,
        103.6,
    ]
    edges = np.array([sign * value for value in some for sign in (1, -1)], kind)
    return np.concatenate([edges, np.nextafter(edges, kind(1)), np.nextafter(edges, kind(2))])


def _points(name: str, kind: Any) -> Array:
    """Numbers of every size, numbers where the function changes, and edges."""
    chance = np.random.default_rng(5)
    limits, count = np.finfo(kind), 60_000
    reach = 708.0 if kind is np.float64 else 87.0
    sizes = 10.0 ** chance.uniform(-1.4 * limits.precision, 2, count) * chance.choice([-1.0, 1.0], count)
    if name in ("sin", "cos", "tan"):
        parts = [
            chance.uniform(-1e5, 1e5, count),
            sizes,
            np.arange(60_000) * (math.pi / 2),
            chance.uniform(-7, 7, count),
        ]
    elif name in ("log", "log10", "log1p"):
        spread = np.exp(chance.uniform(math.log(limits.smallest_subnormal), math.log(limits.max), count))
        parts = [spread, 1 + chance.uniform(-0.5, 1, count), chance.uniform(-1, 2, count), sizes]
    else:
        parts = [sizes, chance.uniform(-reach, reach, count), chance.uniform(-2, 2, count)]
        parts.append(chance.uniform(1.015 * reach, 1.04 * reach, 20_000))  # where results are no longer finite
        if name in ("exp", "sigmoid"):
            parts.append(chance.uniform(-1.07 * reach, -reach, count))  # where results are no longer normal numbers
    edges = _edges(kind) if name not in ("sin", "cos", "tan") else np.array([0, math.inf, -math.inf, math.nan])
    return np.concatenate([*parts, edges]).astype(kind)


@pytest.mark.skipif(np.finfo(Wide).nmant < 63, reason="needs a long double wider than double")
@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("flavour", ["fast", "plain"])
@pytest.mark.parametrize("name", [name for name in EXACT if name != "pow"])
def test_accuracy(name: str, flavour: str, kind: Any, request: pytest.FixtureRequest) -> None:
    library: Library = request.getfixturevalue(flavour)
    x = _points(name, kind)
    with np.errstate(all="ignore"):
        exact = EXACT[name](x.astype(Wide))
        if name in ("exprel", "inverse_exprel"):  # inf and 0 where expm1 has no number; inf/inf, as in the interpreter
            beyond = np.isinf(np.expm1(x.astype(Wide)).astype(kind))
            exact = np.where(beyond, math.inf if name == "exprel" else 0.0, exact)
            exact[x == math.inf] = math.nan
    errors = _errors(library.call(name, x), exact)
    worst = int(np.argmax(errors))
    assert errors[worst] <= PROMISED[name][kind is np.float32], (x[worst], errors[worst])


@pytest.mark.skipif(np.finfo(Wide).nmant < 63, reason="needs a long double wider than double")
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_power(kind: Any, fast: Library) -> None:
    chance = np.random.default_rng(6)
    x, y = np.exp(chance.uniform(-8, 8, 100_000)).astype(kind), chance.uniform(-9, 9, 100_000).astype(kind)
    assert (
        _errors(fast.call("pow", x, y), np.power(x.astype(Wide), y.astype(Wide))).max()
        <= PROMISED["pow"][kind is np.float32]
    )
    some = np.array([0.0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, 1e9, math.inf, -math.inf, math.nan], kind)
    x, y = (part.ravel() for part in np.meshgrid(some, some))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(fast.call("pow", x, y), np.power(x.astype(float), y.astype(float)).astype(kind))


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_circles_stay_bounded_far_out(kind: Any, fast: Library) -> None:
    x = np.array([1e7, 1e12, 3e30, -3e30, np.finfo(kind).max, -np.finfo(kind).max], kind)
    for name in ("sin", "cos"):
        assert np.all(np.abs(fast.call(name, x)) <= 1)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_remainder_is_exact(kind: Any, fast: Library, plain: Library, strict: Library) -> None:
    chance = np.random.default_rng(7)
    a = (chance.standard_normal(50_000) * 10.0 ** chance.uniform(-3, 6, 50_000)).astype(kind)
    b = (chance.choice([-1, 1], 50_000) * 10.0 ** chance.uniform(-1, 2, 50_000)).astype(kind)
    a[:6000] = np.round(chance.uniform(-50, 50, 6000)).astype(kind) * b[:6000]  # multiples, and nearly so
    a[3000:6000] = np.nextafter(a[3000:6000], kind(0))
    some = np.array([0.0, -0.0, 1, -1, 2.5, -2.5, 1e-3, math.inf, -math.inf, math.nan], kind)
    a, b = (np.concatenate([part, edge.ravel()]) for part, edge in zip((a, b), np.meshgrid(some, some)))
    exact = np.array([kind(interpret._call("mod", [float(p), float(q)])) for p, q in zip(a, b)], kind)
    for library in (fast, plain, strict):
        np.testing.assert_array_equal(library.call("mod", a, b), exact)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("flavour", ["fast", "plain", "strict"])
@pytest.mark.parametrize("name", ["sign", "heaviside", "relu", "min", "max", "clip"])
def test_comparisons_are_the_interpreters(name: str, flavour: str, kind: Any, request: pytest.FixtureRequest) -> None:
    library: Library = request.getfixturevalue(flavour)
    some = np.array([0.0, -0.0, 1, -1, 2, 1e-40, math.inf, -math.inf, math.nan], kind)
    arity = FUNCTIONS[name].arity
    arguments = [part.ravel() for part in np.meshgrid(*[some] * arity)]
    expected = [interpret._call(name, [float(a) for a in row]) for row in zip(*arguments)]
    np.testing.assert_array_equal(library.call(name, *arguments), np.array(expected, kind))


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("name", ONE)
def test_strict_is_the_interpreter(name: str, kind: Any, strict: Library) -> None:
    """The same C library is asked with the same formulas, so not a bit differs."""
    x = np.concatenate([np.random.default_rng(8).uniform(-30, 30, 2000), _edges(kind)]).astype(kind)
    with np.errstate(all="ignore"):
        expected = np.array([interpret._call(name, [float(value)]) for value in x]).astype(kind)
    np.testing.assert_array_equal(strict.call(name, x), expected)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("name", [name for name in EXACT if name != "pow"])
def test_a_lane_does_not_know_its_neighbours(name: str, kind: Any, fast: Library) -> None:
    """Any part of an array gives what the whole array gives: the remainder of a vector loop computes the same."""
    x = _points(name, kind)[-517:]
    whole = fast.call(name, x)
    for count in (1, 3, 7, 13, 517):
        np.testing.assert_array_equal(fast.call(name, x[-count:]), whole[-count:])


# --- random numbers ---------------------------------------------------------------------------------------------------


def _draws() -> tuple[int, Array, Array]:
    chance = np.random.default_rng(9)
    index = np.concatenate([np.arange(2000), chance.integers(-(2**62), 2**62, 2000)])
    counter = np.concatenate([np.arange(-1000, 1000), chance.integers(-(2**62), 2**62, 2000)])
    return random.key_of(3, "E", "noise"), index.astype(np.int64), counter.astype(np.int64)


@pytest.mark.parametrize("flavour", ["fast", "plain", "strict"])
def test_words_and_uniforms_are_equal_bit_for_bit(flavour: str, request: pytest.FixtureRequest) -> None:
    library: Library = request.getfixturevalue(flavour)
    key, index, counter = _draws()
    words = np.empty(index.size, np.uint64)
    places = [ctypes.c_void_p(a.ctypes.data) for a in (index, counter, words)]
    library.handle.v_word(ctypes.c_uint64(key), *places, ctypes.c_long(index.size))
    numbers = list(zip(index.tolist(), counter.tolist()))
    assert words.tolist() == [random.word(key, i, c) for i, c in numbers]
    base, keys = random.bases(key, index), np.full(index.size, key, np.uint64)
    for kind in (np.float64, np.float32):
        expected = np.array([random.uniform(key, i, c, kind is np.float32) for i, c in numbers])
        np.testing.assert_array_equal(library.call("uniform", base, counter, kind=kind), expected)
        np.testing.assert_array_equal(library.call("uniform_at", keys, index, counter, kind=kind), expected)


@pytest.mark.parametrize("flavour", ["fast", "plain", "strict"])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_normals_are_equal_to_rounding(flavour: str, kind: Any, request: pytest.FixtureRequest) -> None:
    library: Library = request.getfixturevalue(flavour)
    key, index, counter = _draws()
    single = kind is np.float32
    expected = np.array([random.normal(key, i, c, single) for i, c in zip(index.tolist(), counter.tolist())])
    values = library.call("normal", random.bases(key, index), counter, kind=kind)
    if flavour == "strict":
        np.testing.assert_array_equal(values, expected)
    if (
        single and flavour == "fast"
    ):  # which rounds u1 to float, as NumPy does: near u1 = 1 that is much of its distance from 1
        base = random.bases(key, index)
        np.testing.assert_allclose(values, random.normals_single(base, counter), rtol=0, atol=2e-6)
    np.testing.assert_allclose(values, expected, rtol=0, atol=(2e-4 if single else 4e-15))


def test_normals_are_normal(fast: Library) -> None:
    base = random.bases(11, 200_000)
    for kind in (np.float64, np.float32):
        values = np.sort(fast.call("normal", base, np.zeros(base.size, np.int64), kind=kind).astype(float))
        apart = np.abs(special.ndtr(values) - (np.arange(values.size) + 0.5) / values.size).max()
        assert apart < 2.0 / math.sqrt(values.size)


# --- quantiles --------------------------------------------------------------------------------------------------------

MEANS = (0.0, 1e-3, 0.3, 2.0, 7.5, 20.0, 60.0, 200.0, 650.0, 1500.0)


def _uniforms(kind: Any, mean: float) -> Array:
    chance = np.random.default_rng(10)
    steps = 2.0 ** (53 if kind is np.float64 else 24)
    u = np.floor(chance.random(400) * steps) / steps
    bounds = np.array([special.pdtr(k, mean) for k in range(60)]) if mean else np.zeros(1)
    near = [np.clip(np.nextafter(bounds.astype(kind), kind(side)), 0, 1 - 1 / steps) for side in (0, 2)]
    return np.concatenate(
        [u, bounds.clip(0, 1 - 1 / steps), *near, [0.0, 1 / steps, 1 - 1 / steps, 1 - 2 / steps]]
    ).astype(kind)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("mean", MEANS)
def test_poisson_counts_are_the_interpreters(mean: float, kind: Any, fast: Library, plain: Library) -> None:
    mean = float(kind(mean))
    u = _uniforms(kind, mean)
    expected = np.array([interpret._call("poisson_quantile", [float(value), mean]) for value in u])
    for library in (fast, plain):
        np.testing.assert_array_equal(library.call("poisson_quantile", u, np.full_like(u, mean)), expected)
        np.testing.assert_array_equal(library.block(mean, u), expected)
        np.testing.assert_array_equal(library.block(mean, u[::-1].copy()), expected[::-1])  # the table is there already


def test_poisson_table_follows_its_mean(fast: Library) -> None:
    u = np.random.default_rng(12).random(3000)
    for mean in (3.0, 3.5, 0.0, 3.0, 900.0, 1.0):
        np.testing.assert_array_equal(fast.block(mean, u), fast.call("poisson_quantile", u, np.full_like(u, mean)))


@pytest.mark.parametrize("mean", [1.1e5, 3.7e6, 1e300, math.inf])
def test_poisson_counts_of_large_means_need_no_search(mean: float, fast: Library, plain: Library) -> None:
    """At once, whatever the mean, and where SciPy puts them."""
    u = np.array([0.0, 2.0**-53, 1e-9, 0.02, 0.3, 0.5, 0.7, 0.98, 1 - 1e-9, 1 - 2.0**-53])
    expected = np.array([interpret._call("poisson_quantile", [value, mean]) for value in u.tolist()])
    np.testing.assert_array_equal(whole_array.poisson_quantile(u, mean), expected)
    for library in (fast, plain):
        np.testing.assert_allclose(library.call("poisson_quantile", u, np.full_like(u, mean)), expected, rtol=1e-15)
        np.testing.assert_allclose(library.block(mean, u), expected, rtol=1e-15)
    if mean < 1e7:
        np.testing.assert_allclose(expected[1:], stats.poisson.ppf(u[1:], mean), rtol=0, atol=1)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [0.3, 0.9, 1.0, 2.0, 3.5, 12.0, 90.0])
def test_gamma_quantiles(shape: float, kind: Any, fast: Library) -> None:
    shape = float(kind(shape))
    u = np.concatenate([[0.0, 1e-6, 0.5, 1 - 2.0**-24], np.random.default_rng(13).random(100)]).astype(kind)
    values = fast.call("gamma_quantile", u, np.full_like(u, shape))
    near = 1e-12 if kind is np.float64 else 2.0**-23
    np.testing.assert_allclose(values, special.gammaincinv(shape, u.astype(float)), rtol=near, atol=1e-300)
    some = [interpret._call("gamma_quantile", [float(value), shape]) for value in u[:30]]
    np.testing.assert_allclose(values[:30], some, rtol=1e-7, atol=1e-15)  # its series is rougher near u = 1


@pytest.mark.parametrize("flavour", ["fast", "strict"])
def test_quantiles_of_no_number(flavour: str, request: pytest.FixtureRequest) -> None:
    library: Library = request.getfixturevalue(flavour)
    for name in ("poisson_quantile", "gamma_quantile"):
        pair = np.array([math.nan, 0.5]), np.array([2.0, math.nan])
        assert np.isnan(library.call(name, *pair)).all()


# --- the text itself --------------------------------------------------------------------------------------------------


def test_every_function_has_its_text(tmp_path: Path) -> None:
    """The table is complete, and each of its C forms compiles for both precisions."""
    assert set(expression.FUNCTIONS) - {"int", "real"} <= set(FUNCTIONS)
    lines = ['#include "mathematics.h"', '#include "random.h"', '#include "quantiles.h"']
    for row in FUNCTIONS.values():
        names = ", ".join(f"double x{i}" for i in range(row.arity))
        operands = [f"x{i}" for i in range(row.arity)]
        lines.append(f"double {row.name}_d({names}) {{ return {row.c.format(*operands)}; }}")
        lines.append(
            f"float {row.name}_f({names.replace('double', 'float')}) {{ return {row.single.format(*operands)}; }}"
        )
    source = tmp_path / "table.c"
    source.write_text("\n".join(lines) + "\n")
    command = [COMPILER or "cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-c", f"-I{HEADERS}"]
    for strict in ([], ["-DSNN_STRICT_MATH"]):
        subprocess.run([*command, *strict, str(source), "-o", str(tmp_path / "table.o")], check=True)


def test_fast_math_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "a.c"
    source.write_text('#include "mathematics.h"\n')
    command = [COMPILER or "cc", "-ffast-math", "-c", f"-I{HEADERS}", str(source), "-o", str(tmp_path / "a.o")]
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode != 0
    assert "-ffast-math" in told.stderr


@pytest.mark.parametrize("define", ["", "-DSNN_STRICT_MATH"])
def test_no_undefined_behaviour(define: str, tmp_path: Path) -> None:
    """Every loop over edges and chance numbers under the sanitizers, in a program of its own."""
    calls = []
    for real, f in (("double", ""), ("float", "f")):
        calls += [f"    v_{name}{f}({real}s, {real}r, N);" for name in ONE]
        calls += [f"    v_{name}{f}({real}s, {real}t, {real}r, N);" for name in TWO]
        calls += [f"    v_clip{f}({real}s, {real}t, {real}t, {real}r, N);"]
        calls += [f"    v_{name}{f}(words, counters, {real}r, N);" for name in ("uniform", "normal")]
        calls += [f"    v_poisson_block{f}({real}s, {mean!r}, {real}r, N);" for mean in MEANS]
        calls += [f"    v_poisson_quantile{f}({real}s, {real}u, {real}r, N);"]
        calls += [f"    v_poisson_block{f}({real}s, NAN, {real}r, N);"]
    arrays = "".join(f"static {real} {real}{c}[N];\n" for real in ("double", "float") for c in "stur")
    program = f"""{_driver()}
enum {{ N = 300 }};
{arrays}static uint64_t words[N];
static int64_t counters[N];

int main(void)
{{
    const double some[] = {{0.0, -0.0, 1.0, -1.0, 0.5, 1e-320, -1e-320, 1e300, -1e300, INFINITY, -INFINITY, NAN, 1e-42, 3e38, 88.7, 709.8}};
    for (int i = 0; i < N; i++) {{
        words[i] = snn_word(7, i);
        counters[i] = i == 0 ? INT64_MIN : i == 1 ? INT64_MAX : -i;
        doubles[i] = i < 256 ? some[i/16] : 100.0*snn_uniform(7, i) - 50.0;
        doublet[i] = i < 256 ? some[i%16] : 10.0*snn_uniform(8, i);
        doubleu[i] = doublet[i] < 1e4 ? doublet[i] : INFINITY;
        floatu[i] = (float)doubleu[i];
        floats[i] = fabs(doubles[i]) < 3e38 ? (float)doubles[i] : (float)some[i%16 == 0 ? 9 : 11];
        floatt[i] = fabs(doublet[i]) < 3e38 ? (float)doublet[i] : 2.0f;
    }}
""" + "\n".join([*calls, "    return 0;", "}", ""])
    (tmp_path / "whole.c").write_text(program)
    sanitizers = (
        "-fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all -O1 -g -fopenmp-simd".split()
    )
    command = [COMPILER or "cc", "-std=gnu11", *sanitizers, *([define] if define else []), f"-I{HEADERS}"]
    made = subprocess.run(
        [*command, str(tmp_path / "whole.c"), "-o", str(tmp_path / "whole"), "-lm"], capture_output=True, text=True
    )
    if made.returncode and "asan" in made.stderr:
        pytest.skip("this compiler has no sanitizers")
    assert made.returncode == 0, made.stderr
    ran = subprocess.run([str(tmp_path / "whole")], capture_output=True, text=True, timeout=50)
    assert ran.returncode == 0, ran.stderr[:3000]


def test_headers_compile_quickly(tmp_path: Path) -> None:
    """They are part of every model: under 0.25 s on a quiet machine; four times that is allowed on a busy one."""
    source = tmp_path / "a.c"
    source.write_text(
        '#include "mathematics.h"\n#include "random.h"\n#include "quantiles.h"\nvoid f(float *x)\n{\n_Pragma("omp simd")\n'
        "    for (int i = 0; i < 1024; i++) x[i] = snn_expf(x[i])*snn_uniformf(5, i);\n}\n"
    )
    command = [
        COMPILER or "cc",
        *FAST,
        "-fopenmp-simd",
        "-fPIC",
        "-shared",
        f"-I{HEADERS}",
        str(source),
        "-o",
        str(tmp_path / "a.so"),
    ]
    times = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run(command, check=True)
        times.append(time.perf_counter() - began)
    assert min(times) < 1.0
