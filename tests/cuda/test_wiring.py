"""Connectivity built by CUDA kernels (run on a processor by the shim) is, synapse for synapse, the one built with NumPy."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from numpy.typing import NDArray

from snnlang.codegen.connectivity import generate
from snnlang.codegen.plan import Connectivity, Stream
from snnlang.codegen.simplify import simplify
from snnlang.codegen.wiring import wiring
from snnlang.codegen.wiring_cuda import wiring_text, words
from snnlang.diagnostics import SnnError
from snnlang.runtime import cuda_wiring
from snnlang.runtime.cuda_shim import ShimBackend, compiler
from snnlang.runtime.cuda_wiring import DeviceRows, Wirer, estimate, made_by_device
from snnlang.runtime.device_cuda import CudaDevice
from snnlang.runtime.device_interpreter import InterpreterDevice
from tests.targets import needs_shim

from ..codegen.plans import PLANS
from ..codegen.wirings import KEY, connectivities, connectivity, every_condition, fixed_cases, windows


class Counting(ShimBackend):
    """Remembers the most memory that was held."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.most = 0

    def allocate(self, nbytes: int) -> int:
        address = super().allocate(nbytes)
        self.most = max(self.most, self._used)
        return address


#: Blocks of one incomplete warp, of one, of several; few and many blocks; threads and blocks in other orders.
BACKENDS = [
    Counting(block=8, multiprocessors=1, order=0),
    Counting(block=64, multiprocessors=2, order=3),
    Counting(block=256, multiprocessors=1, order=5),
]
WIRERS = [Wirer(backend) for backend in BACKENDS] if compiler() is not None else []


def stream(key: int) -> Stream:
    return Stream("s", "a", "b", key)


def read(backend: ShimBackend, address: int, count: int, kind: Any) -> NDArray[Any]:
    values = np.empty(count, kind)
    if count:
        backend.download(address, values)
    return values


def compare(c: Connectivity, key: int, wirer: Wirer, where: Any = "device") -> DeviceRows:
    """Every array of the result, and nothing is left behind when it is released."""
    backend = wirer.backend
    assert isinstance(backend, ShimBackend)
    before = backend.memory()[0]
    rows = wirer.build(c, stream(key), needs_columns=True, needs_pre=True, where=where)
    built = generate(c, stream(key))
    what = f"{c.pattern} {c.options} block {backend.block}"
    assert rows.count == built.n, what
    assert rows.post_bytes == (2 if c.post_size <= 65536 else 4)
    assert rows.longest_row == np.diff(built.row_start).max(initial=0)
    assert rows.longest_column == np.diff(built.column_start).max(initial=0)
    for name, found, expected in (
        ("row_start", read(backend, rows.row_start, c.pre_size + 1, np.int64), built.row_start),
        ("post", read(backend, rows.post, rows.count, np.uint16 if rows.post_bytes == 2 else np.int32), built.post),
        ("pre", read(backend, rows.pre, rows.count, np.int32), built.pre_of),
        ("column_start", read(backend, rows.column_start, c.post_size + 1, np.int64), built.column_start),
        ("column_synapse", read(backend, rows.column_synapse, rows.count, np.int32), built.column_synapse),
        ("column_pre", read(backend, rows.column_pre, rows.count, np.int32), built.pre_of[built.column_synapse]),
    ):
        assert np.array_equal(found, expected), f"{what}: {name}"
    assert (rows.shared != 0) == (built.weight_index is not None), what
    if built.weight_index is not None:
        assert np.array_equal(read(backend, rows.shared, rows.count, np.int32), built.weight_index), what
    assert before - backend.memory()[0] == rows.nbytes, what
    rows.release(backend)
    backend.synchronize()
    assert backend.memory()[0] == before, what
    return rows


@needs_shim
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(connectivities())
@example((connectivity("random", range(1), range(1), (1, 1), p=2.225073858507203e-309), 0))
@example((connectivity("random", range(7), range(300), (7, 300), p=5e-324), 0))
@example((connectivity("fixed_outdegree", range(1), range(1), (1, 1), False, k=0), 0))
@example((connectivity("dense", range(4), np.array([3, 1, 0]), (4, 4), False), 0))
def test_equal_to_numpy(case: tuple[Connectivity, int]) -> None:
    for wirer in WIRERS:
        compare(*case, wirer)


@needs_shim
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(windows())
def test_windows_are_equal_to_numpy(case: tuple[Connectivity, int]) -> None:
    for wirer in WIRERS[:2]:
        compare(*case, wirer)


@needs_shim
@pytest.mark.parametrize("number", range(0, len(every_condition()), 3))
def test_conditions(number: int) -> None:
    compare(*every_condition()[number], WIRERS[1])


@needs_shim
@pytest.mark.parametrize("wirer", WIRERS, ids=[f"block{backend.block}" for backend in BACKENDS][: len(WIRERS)])
def test_larger_ones(wirer: Wirer) -> None:
    """Every case in blocks of one size at least; of several, where the threads of one are many."""
    cases = fixed_cases()
    chosen = {8: [case for number, case in enumerate(cases) if number % 3 != 1], 64: cases[1::3], 256: cases[::8]}
    for case in chosen[wirer.backend.block]:
        compare(*case, wirer)


@needs_shim
def test_the_host_makes_the_same() -> None:
    for case in [*fixed_cases()[::5], *every_condition()[:2]]:
        compare(*case, WIRERS[0], "host")


@needs_shim
def test_listed_edges_are_copied() -> None:
    c = connectivity("edges", range(3), range(3), (3, 3), pre=[2, 0, 0], post=[1, 1, 0])
    compare(c, KEY, WIRERS[0], "device")


@needs_shim
def test_too_few_partners_do_no_harm() -> None:
    """Elaboration refuses what asks for more partners than there are; where it did not, nothing may be written astray."""
    greedy = [
        connectivity("fixed_outdegree", range(1), range(1), (1, 1), False, k=3),
        connectivity("fixed_indegree", range(1), range(1), (1, 1), False, k=3, multapses=False),
        connectivity("fixed_outdegree", range(4), range(4), (4, 4), False, k=9, multapses=False),
        connectivity("fixed_total", range(1), range(1), (1, 1), False, n=3),
    ]
    for wirer in WIRERS:
        for c in greedy:
            wirer.build(c, stream(KEY), where="device").release(wirer.backend)
        wirer.backend.synchronize()


@needs_shim
@pytest.mark.parametrize("wirer", WIRERS, ids=[f"block{backend.block}" for backend in BACKENDS][: len(WIRERS)])
def test_different_pairs_among_many(wirer: Wirer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room for a bit for every pair, what was met before is dropped, and the rows are moved together in pieces."""
    monkeypatch.setattr(cuda_wiring, "ROOM", 256)
    rng = np.random.default_rng(3)
    for sizes, n in (((300, 300), 9000), ((40, 70000), 4000), ((500, 20), 700), ((1, 5000), 400), ((900, 900), 1)):
        mixed = rng.permutation(sizes[1]).astype(np.int64)
        for post in (range(sizes[1]), mixed):
            c = connectivity("fixed_total", range(sizes[0]), post, sizes, sizes[0] != sizes[1], n=n, multapses=False)
            assert not cuda_wiring._bitmap_fits(c) or n == 1
            compare(c, int(rng.integers(2**62)), wirer)


@needs_shim
def test_memory() -> None:
    """The most memory held at once is within 1.5 times that of the result, or within what little it may be."""
    n = 1200
    every = [
        connectivity("random", range(n), range(n), (n, n), p=0.05),
        connectivity("fixed_outdegree", range(n), range(n), (n, n), k=60, multapses=False),
        connectivity("fixed_indegree", range(n), range(n), (n, n), k=60, multapses=False),
        connectivity("fixed_total", range(n), range(n), (n, n), n=100_000),
        connectivity("fixed_total", range(n), range(n), (n, n), n=400_000, multapses=False),
        connectivity("fixed_total", range(n), range(n), (n, n), n=50_000, multapses=False),
    ]
    backend = Counting(block=32, multiprocessors=2)
    room, cuda_wiring.ROOM = cuda_wiring.ROOM, 1 << 12  # type: ignore[misc]
    try:
        for c in every:
            backend.most = 0
            rows = Wirer(backend).build(c, stream(KEY), where="device")
            limit = 1.5 * rows.nbytes + 3 * cuda_wiring.ROOM
            assert backend.most <= limit, f"{c.pattern}: {backend.most} for {rows.nbytes}"
            assert rows.nbytes == pytest.approx(estimate(c), rel=0.05), c.pattern
            rows.release(backend)
    finally:
        cuda_wiring.ROOM = room  # type: ignore[misc]


def test_who_makes_it() -> None:
    """Large ones the device, small ones and listed edges the host."""
    million = range(10**6)
    large, small = (million, million, (10**6, 10**6)), (range(100), range(100), (100, 100))
    line = every_condition()[0][0].options
    for pattern, options, expected in (
        ("random", {"p": 1e-5}, True),
        ("fixed_outdegree", {"k": 3, "multapses": False}, True),
        ("fixed_indegree", {"k": 3}, True),
        ("fixed_total", {"n": 10**7}, True),
        ("fixed_total", {"n": 10**7, "multapses": False}, True),
        ("edges", {"pre": np.zeros(10**7, np.int64), "post": np.zeros(10**7, np.int64)}, False),
        ("where", {**line, "pre_shape": (10**6,), "post_shape": (10**6,)}, True),
    ):
        assert made_by_device(connectivity(pattern, *large, **options)) is expected, pattern
    assert not made_by_device(connectivity("random", *small, p=0.5))


@needs_shim
def test_without_memory_nothing_is_kept() -> None:
    backend = ShimBackend(total=100_000)
    for c in (
        connectivity("random", range(500), range(500), (500, 500), p=0.5),
        connectivity("fixed_total", range(500), range(500), (500, 500), n=100_000),
    ):
        for where in ("device", "host"):
            with pytest.raises(SnnError) as problem:
                Wirer(backend).build(c, stream(KEY), needs_columns=True, where=where)
            assert problem.value.diagnostics[0].code == "E741"
            assert backend.memory()[0] == 100_000


@needs_shim
def test_too_many_synapses_for_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_wiring, "MOST", 1000)
    backend = ShimBackend()
    c = connectivity("fixed_indegree", range(50), range(60), (50, 60), k=20)
    for where in ("device", "host"):
        with pytest.raises(SnnError) as problem:
            Wirer(backend).build(c, stream(KEY), needs_columns=True, where=where)
        assert problem.value.diagnostics[0].code == "E747"
        Wirer(backend).build(c, stream(KEY), where=where).release(backend)
    assert backend.memory()[0] == backend.memory()[1]


# --- the text -----------------------------------------------------------------------------------------------------------


@needs_shim
def test_the_structure_is_the_headers(tmp_path: Path) -> None:
    """As many members of 64 bits as the host fills in, shape and key where it puts them."""
    c = connectivity("conv2d", range(25), range(50), (25, 50), pre_shape=(1, 5, 5), channels=2, kernel=3, padding=1)
    w = wiring(c, stream(KEY))
    flat = words(w, {"found": 77})
    backend = ShimBackend(block=1)
    text = wiring_text(c) + (
        'extern "C" __global__ void ask(int64_t wiring, int64_t answer)\n{\n    const snn_wiring *how = (const snn_wiring *)wiring;\n'
        "    int64_t *a = (int64_t *)answer;\n    a[0] = sizeof *how, a[1] = (int64_t)how->key, a[2] = how->shape[15];\n"
        "    a[3] = how->columns, a[4] = (int64_t)how->found, a[5] = how->k;\n}\n"
    )
    place, answer = backend.allocate(flat.nbytes), backend.allocate(48)
    backend.upload(place, flat)
    backend.module(text, single=False, name="a test").launch("ask", 1, (place, answer))
    found = read(backend, answer, 6, np.int64)
    assert found.tolist() == [flat.nbytes, KEY - 2**64, 1, 50, 77, 0]


NVCC = shutil.which("nvcc")


def architectures() -> list[str]:
    if NVCC is None:
        return []
    listed = subprocess.run([NVCC, "--list-gpu-arch"], capture_output=True, text=True).stdout.split()
    return [f"sm_{name.removeprefix('compute_')}" for name in listed]


@pytest.mark.skipif(NVCC is None, reason="needs nvcc")
@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_90", "sm_100"])
def test_nvcc_compiles_it(architecture: str, tmp_path: Path) -> None:
    if architecture not in architectures():
        pytest.skip(f"this nvcc does not know {architecture}")
    (tmp_path / "wiring.cu").write_text(wiring_text(every_condition()[0][0]))
    command = [NVCC or "nvcc", "-std=c++14", f"-arch={architecture}", "-fmad=false", "-Werror", "all-warnings"]
    command += ["-Wno-deprecated-gpu-targets", "-cubin", "-o", os.devnull, str(tmp_path / "wiring.cu")]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


# --- in whole models ----------------------------------------------------------------------------------------------------


@needs_shim
@pytest.mark.parametrize("name", ["cuba", "cuba_delayed", "plastic_sparse"])
def test_models_run_on_what_the_device_made(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_wiring, "DEVICE_FROM", 0)
    made = simplify(PLANS[name])
    assert any(made_by_device(c) for c in made.connectivities.values() if c.kind == "sparse")
    fast, slow = CudaDevice(made, ShimBackend(order=2)), InterpreterDevice(made)
    for device in (fast, slow):
        device.setup()
        device.coefficients()
        device.trial_start()
        device.run(0, 30)
    for array in made.arrays:
        np.testing.assert_allclose(fast.read(array), slow.read(array), rtol=1e-11, atol=1e-11, err_msg=array)
