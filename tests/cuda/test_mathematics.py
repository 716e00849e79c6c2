"""Mathematical functions, draws and quantiles of generated CUDA text, run through the shim, against the interpreter's values.

On a processor the shim calls the C library where a device calls CUDA's own functions. What is proven is every formula of ours, every
special value, and that each function has the precision of its name. nvcc compiles all of them where it is found.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special

import snnlang.codegen
from snnlang.codegen import interpret, random
from snnlang.codegen.functions import FUNCTIONS
from snnlang.runtime.cuda_shim import ShimBackend, ShimModule
from tests.targets import needs_shim

Array = NDArray[Any]
FOLDER = Path(snnlang.codegen.__file__).parent
HEADERS = ("cuda/mathematics.cuh", "cuda/random.cuh", "native/quantiles.h")
NVCC = shutil.which("nvcc")

EXACT = {"sign", "heaviside", "relu", "min", "max", "clip", "abs", "floor", "ceil", "round", "mod", "sqrt"}
MORE = ("inverse_exprel", "square", "cube", "fourth", "pow")


def text() -> str:
    """A kernel for every function, in both precisions."""
    parts = [(FOLDER / name).read_text() for name in HEADERS]

    def kernel(name: str, real: str, arity: int, call: str) -> str:
        pointers = "".join(f"    const {real} *x{i} = (const {real} *)a{i};\n" for i in range(arity))
        arguments = ", ".join(["int64_t count", *(f"int64_t a{i}" for i in range(arity)), "int64_t y"])
        loop = "for (int64_t i = blockIdx.x*blockDim.x + threadIdx.x; i < count; i += gridDim.x*blockDim.x)"
        return f'extern "C" __global__ void {name}({arguments})\n{{\n{pointers}    {loop} (({real} *)y)[i] = ({real}){call};\n}}\n'

    for real, suffix in (("double", ""), ("float", "f")):
        for row in FUNCTIONS.values():
            form = row.single if suffix else row.c
            call = form.format(*(f"x{i}[i]" for i in range(row.arity)))
            parts.append(kernel(f"v_{row.name}{suffix}", real, row.arity, call))
        for name in MORE:
            arity = 2 if name == "pow" else 1
            call = f"snn_{name}{suffix}({', '.join(f'x{i}[i]' for i in range(arity))})"
            parts.append(kernel(f"v_{name}{suffix}", real, arity, call))
        for name in ("uniform", "normal"):
            parts.append(
                f'extern "C" __global__ void v_{name}{suffix}(int64_t count, int64_t key, int64_t index, int64_t counter, int64_t y)\n{{\n'
                "    for (int64_t i = threadIdx.x; i < count; i += blockDim.x)\n"
                f"        (({real} *)y)[i] = snn_{name}_at{suffix}((uint64_t)key, ((int64_t *)index)[i], ((int64_t *)counter)[i]);\n}}\n"
            )
    parts.append(
        'extern "C" __global__ void v_whole(int64_t count, int64_t a, int64_t b, int64_t y)\n{\n'
        "    const int64_t *p = (const int64_t *)a, *q = (const int64_t *)b;\n    int64_t *out = (int64_t *)y;\n"
        "    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {\n"
        "        out[5*i] = snn_floor_divide(p[i], q[i]), out[5*i + 1] = snn_remainder(p[i], q[i]);\n"
        "        out[5*i + 2] = snn_slot(p[i], 3, q[i] > 0 ? q[i] : 1), out[5*i + 3] = snn_whole((double)p[i]*1e9);\n"
        "        out[5*i + 4] = (int64_t)(snn_of_bits(snn_bits((double)p[i])) + snn_of_bitsf(snn_bitsf((float)q[i])));\n    }\n}\n"
    )
    return "\n".join(parts)


class Device:
    """The kernels, called with arrays."""

    def __init__(self) -> None:
        self.backend = ShimBackend(block=64, multiprocessors=2)
        self.module: ShimModule = self.backend.module(text(), single=False, name="a test")

    def call(self, name: str, *arrays: Array, kind: Any = None, first: tuple[int, ...] = (), each: int = 1) -> Array:
        kind = np.dtype(kind or arrays[0].dtype)
        result = np.zeros(arrays[0].size * each, kind)
        places = [self.backend.allocate(array.nbytes) for array in (*arrays, result)]
        for place, array in zip(places, arrays):
            self.backend.upload(place, np.ascontiguousarray(array))
        suffix = "f" if kind == np.float32 else ""
        self.module.launch(f"v_{name}{suffix}", 1, (arrays[0].size, *first, *places))
        self.backend.download(places[-1], result)
        for place in places:
            self.backend.release(place)
        return result


@pytest.fixture(scope="module")
def device() -> Device:
    return Device()


def points(name: str, kind: Any) -> Array:
    chance, limits = np.random.default_rng(8), np.finfo(kind)
    some = [0.0, math.inf, 1.0, 0.5, 17.0, 745.2, 103.6, limits.tiny, limits.smallest_subnormal, limits.eps, limits.max]
    edges = np.array([sign * value for value in some for sign in (1, -1)] + [math.nan], kind)
    reach = 1.0 if name in ("asin", "acos") else 30.0
    return np.concatenate([chance.uniform(-reach, reach, 1500), chance.uniform(-1, 1, 500), edges]).astype(kind)


@needs_shim
@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("name", [*(n for n, row in FUNCTIONS.items() if "quantile" not in n), "pow"])
def test_functions_are_the_interpreters(name: str, kind: Any, device: Device) -> None:
    arity = FUNCTIONS[name].arity if name in FUNCTIONS else 2
    x = points(name, kind)
    arguments = [np.random.default_rng(i).permutation(x) if i else x for i in range(arity)]
    with np.errstate(all="ignore"):
        if name == "pow":
            expected = np.power(*(a.astype(float) for a in arguments)).astype(kind)
        else:
            called = [interpret._call(name, [float(a) for a in row]) for row in zip(*arguments)]
            expected = np.array(called).astype(kind)
    found = device.call(name, *arguments)
    if name in EXACT:
        if name == "mod":  # of an infinite number there is no rest
            expected[np.isinf(arguments[0])] = math.nan
        np.testing.assert_array_equal(found, expected)
        return
    near = 1e-14 if kind is np.float64 else 2e-6
    with np.errstate(all="ignore"):
        least = float(np.finfo(kind).tiny)
        same = (found == expected) | (np.isnan(found) & np.isnan(expected))
        close = np.abs(found.astype(float) - expected) <= near * np.abs(expected.astype(float)) + least
    wrong = np.flatnonzero(~(same | close))
    assert wrong.size == 0, [(float(arguments[0][i]), float(found[i]), float(expected[i])) for i in wrong[:5]]


@needs_shim
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_powers_and_the_inverse(kind: Any, device: Device) -> None:
    x = np.concatenate([np.random.default_rng(3).uniform(-20, 20, 500), [0.0, -0.0, 1e-30, -1e-30]]).astype(kind)
    for name, power in (("square", 2), ("cube", 3), ("fourth", 4)):
        np.testing.assert_allclose(
            device.call(name, x), x.astype(float) ** power, rtol=4 * np.finfo(kind).eps, atol=1e-37
        )
    wide = x.astype(np.longdouble)
    exact = np.ones_like(wide)
    np.divide(wide, np.expm1(wide), out=exact, where=wide != 0)
    np.testing.assert_allclose(device.call("inverse_exprel", x), exact.astype(float), rtol=4 * np.finfo(kind).eps)


@needs_shim
def test_whole_numbers(device: Device) -> None:
    a, b = (part.ravel().astype(np.int64) for part in np.meshgrid(np.arange(-9, 10), np.arange(-4, 5)))
    found = device.call("whole", a, b, kind=np.int64, each=5).reshape(-1, 5)
    safe = np.where(b == 0, 1, b)
    np.testing.assert_array_equal(found[:, 0], np.where(b == 0, 0, a // safe))
    np.testing.assert_array_equal(found[:, 1], np.where(b == 0, 0, a % safe))
    np.testing.assert_array_equal(found[:, 2], (a - 3) % np.where(b > 0, b, 1))
    np.testing.assert_array_equal(found[:, 3], np.clip(a * 10**9, -(2**31 - 1), 2**31 - 1))
    np.testing.assert_array_equal(found[:, 4], a + b)


@needs_shim
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_draws(kind: Any, device: Device) -> None:
    """Uniforms bit for bit; normals to rounding, and those of float as NumPy computes them."""
    chance, single = np.random.default_rng(9), kind is np.float32
    index = np.concatenate([np.arange(2000), chance.integers(-(2**62), 2**62, 1000)])
    counter = np.concatenate([np.arange(-1000, 1000), chance.integers(-(2**62), 2**62, 1000)])
    key = random.key_of(3, "E", "noise")
    signed = key - 2**64 if key >= 2**63 else key
    pairs = list(zip(index.tolist(), counter.tolist()))
    uniforms = device.call("uniform", index, counter, kind=kind, first=(signed,))
    np.testing.assert_array_equal(uniforms, [random.uniform(key, i, c, single) for i, c in pairs])
    normals = device.call("normal", index, counter, kind=kind, first=(signed,))
    expected = np.array([random.normal(key, i, c, single) for i, c in pairs])
    np.testing.assert_allclose(normals, expected, rtol=0, atol=2e-4 if single else 4e-15)
    if single:
        np.testing.assert_allclose(normals, random.normals_single(random.bases(key, index), counter), rtol=0, atol=2e-6)


@needs_shim
@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("mean", [0.0, 1e-3, 0.3, 7.5, 60.0, 650.0])
def test_poisson_counts(mean: float, kind: Any, device: Device) -> None:
    mean, u = float(kind(mean)), np.random.default_rng(10).random(300).astype(kind)
    u[:3] = 0.0, 1 - 2.0**-24, 0.5
    expected = [interpret._call("poisson_quantile", [float(value), mean]) for value in u]
    np.testing.assert_array_equal(device.call("poisson_quantile", u, np.full_like(u, mean)), expected)


@needs_shim
@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [0.3, 1.0, 3.5, 90.0])
def test_gamma_quantiles(shape: float, kind: Any, device: Device) -> None:
    shape, u = float(kind(shape)), np.random.default_rng(11).random(100).astype(kind)
    found = device.call("gamma_quantile", u, np.full_like(u, shape))
    near = 1e-12 if kind is np.float64 else 2.0**-23
    np.testing.assert_allclose(found, special.gammaincinv(shape, u.astype(float)), rtol=near, atol=1e-300)


@needs_shim
def test_quantiles_of_no_number(device: Device) -> None:
    for name in ("poisson_quantile", "gamma_quantile"):
        assert np.isnan(device.call(name, np.array([math.nan, 0.5]), np.array([2.0, math.nan]))).all()


@pytest.mark.skipif(NVCC is None, reason="needs nvcc")
@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
def test_nvcc_compiles_all_of_it(architecture: str, tmp_path: Path) -> None:
    (tmp_path / "mathematics.cu").write_text(text())
    command = [NVCC or "nvcc", "-std=c++14", f"-arch={architecture}", "-Werror", "all-warnings", "-ptx"]
    command += ["-Wno-deprecated-gpu-targets", "-o", os.devnull, str(tmp_path / "mathematics.cu")]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
