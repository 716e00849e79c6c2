"""Every call to CuPy, spelt as CuPy spells it: against a package of its names whose device is the shim and whose streams wait.

What a real device makes of it is asked by tests marked ``gpu``."""

from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnlang
from snnlang.diagnostics import SnnError
from snnlang.runtime import cuda_cupy
from snnlang.runtime.cuda_cupy import CupyBackend
from tests.targets import needs_shim

pytestmark = needs_shim

FAKE = Path(__file__).parent / "fake"
TEXT = r"""
struct snn_model { double *x; long long n; unsigned int *count; };
extern "C" { __constant__ struct snn_model model; }
extern "C" __global__ void add(long long a, long long b)
{
    for (long long i = blockIdx.x*(long long)blockDim.x + threadIdx.x; i < model.n; i += (long long)gridDim.x*blockDim.x)
        model.x[i] += (double)(a - b);
}
extern "C" __global__ void twice(void)
{
    for (long long i = blockIdx.x*(long long)blockDim.x + threadIdx.x; i < model.n; i += (long long)gridDim.x*blockDim.x)
        model.x[i] *= 2.0;
}
extern "C" __global__ void together(void)
{
    atomicAdd(model.count, 1u);
    snn_shim_grid_barrier();
    if (*model.count != gridDim.x*blockDim.x) __trap();
}
extern "C" __global__ void broken(void) { __trap(); }
"""
COUNT = 300
NETWORK = """
from stdlib.neurons import CubaLIF
network Pair(N = 60):
    population A[N]: CubaLIF(v = uniform(-60 mV, -50 mV))
    population B[N]: CubaLIF(v = uniform(-60 mV, -50 mV))
    connect A -> B.g_e: random(0.3), w = 3 mV, delay = 1 ms
simulate Pair as pair:
    dt = 0.1 ms
    duration = 40 ms
    record A.spikes, B.spikes, B.v[0:3] every 1 ms
"""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The device of the package that stands for CuPy."""
    monkeypatch.delenv("SNN_CUDA", raising=False)
    monkeypatch.syspath_prepend(str(FAKE))
    monkeypatch.setattr(cuda_cupy, "BLOCK", 64)
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "cupy"}
    for name in kept:
        del sys.modules[name]
    cuda_cupy.backend.cache_clear()
    found = importlib.import_module("cupy.machine")
    found.reset()
    yield found
    cuda_cupy.backend.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "cupy"]:
        del sys.modules[name]
    sys.modules.update(kept)


class Loaded:
    """The text on the device, with its memory."""

    def __init__(self) -> None:
        self.backend = CupyBackend()
        self.module = self.backend.module(TEXT, single=False, name="the text")
        self.x, self.count = self.backend.allocate(8 * COUNT), self.backend.allocate(4)
        self.connect(self.module)
        self.backend.upload(self.x, np.arange(COUNT, dtype=np.float64))

    def connect(self, module: Any) -> None:
        address, nbytes = module.constant("model")
        assert nbytes == 0
        self.backend.upload(address, np.array([self.x, COUNT, self.count], np.int64))

    def first(self, count: int = 3) -> list[float]:
        into = np.empty(count)
        self.backend.download(self.x, into)
        return into.tolist()


def codes(problem: pytest.ExceptionInfo[SnnError]) -> list[str]:
    return [diagnostic.code for diagnostic in problem.value.diagnostics]


def test_a_device_is_described(machine: Any) -> None:
    backend = CupyBackend()
    assert backend.name == machine.backend.name
    assert (backend.multiprocessors, backend.capability, backend.block) == (2, (9, 0), 64)
    free, total = backend.memory()
    assert 0 < free <= total


def test_launches_happen_in_order(machine: Any) -> None:
    loaded = Loaded()
    loaded.module.launch("add", 2, (5, 3))
    loaded.module.launch("twice", 3)
    assert loaded.first() == [4.0, 6.0, 8.0]


def test_what_was_uploaded_may_be_written_again(machine: Any) -> None:
    """Nobody keeps what was given, and a device that reads the host's memory by itself may do so late."""
    loaded = Loaded()
    values = np.full(COUNT, 7.0)
    loaded.backend.upload(loaded.x, values)
    values[:] = -1.0
    assert loaded.first() == [7.0, 7.0, 7.0]


def test_memory_is_zeros_copied_and_cleared(machine: Any) -> None:
    loaded = Loaded()
    backend = loaded.backend
    other = backend.allocate(8 * COUNT)
    into = np.full(COUNT, 7.0)
    backend.download(other, into)
    assert not into.any()
    backend.copy(other, loaded.x, 8 * COUNT)
    backend.clear(loaded.x, 16)
    backend.download(other, into)
    assert into[1] == 1.0
    assert loaded.first() == [0.0, 0.0, 2.0]
    free, _ = backend.memory()
    backend.release(other)
    backend.synchronize()
    assert backend.memory()[0] == free + 8 * COUNT


def test_an_upload_may_be_changed_at_once(machine: Any) -> None:
    loaded = Loaded()
    values = np.ones(COUNT)
    loaded.backend.upload(loaded.x, values)
    values[:] = 9.0
    assert loaded.first() == [1.0, 1.0, 1.0]


def test_a_download_goes_on_beside_later_launches(machine: Any) -> None:
    loaded = Loaded()
    into = loaded.backend.pinned(8 * COUNT)
    assert into.nbytes == 8 * COUNT
    loaded.module.launch("twice", 1)
    transfer = loaded.backend.start_download(loaded.x, into)
    assert into.view(np.float64)[1] != 2.0, "nothing waited yet"
    transfer.wait()
    loaded.module.launch("twice", 1)
    assert into.view(np.float64)[1] == 2.0


def test_a_graph_is_captured_once_and_launched_often(machine: Any) -> None:
    loaded = Loaded()
    graph = loaded.module.graph([("twice", 2), ("twice", 1)], 2)
    assert loaded.first() == [0.0, 1.0, 2.0], "capturing runs nothing"
    graph.launch()
    graph.launch()
    assert loaded.first(2) == [0.0, 2.0**8]


def test_blocks_that_run_together(machine: Any) -> None:
    loaded = Loaded()
    most = loaded.module.resident_blocks("together")
    assert most == machine.backend.multiprocessors * 2
    loaded.module.launch("together", most, cooperative=True)
    loaded.backend.synchronize()
    with pytest.raises(SnnError) as problem:
        loaded.module.launch("together", most + 1, cooperative=True)
    assert codes(problem) == ["E745"]


def test_modules_that_live_together_share_no_variables(machine: Any) -> None:
    loaded = Loaded()
    other = loaded.backend.module(TEXT, single=False, name="the text")
    assert other.constant("model")[0] != loaded.module.constant("model")[0]
    loaded.module.launch("add", 1, (1, 0))
    assert loaded.first(1) == [1.0]


def test_a_module_that_is_gone_leaves_its_place(machine: Any) -> None:
    loaded = Loaded()
    first = loaded.backend.module(TEXT, single=False, name="the text")
    place = first.constant("model")[0]
    del first
    gc.collect()
    again = loaded.backend.module(TEXT, single=False, name="the text")
    assert again.constant("model")[0] == place


def test_products_and_sums_fuse_in_single_precision_alone(machine: Any) -> None:
    import cupy

    backend = CupyBackend()
    backend.module(TEXT, single=True, name="a")
    backend.module(TEXT + " ", single=False, name="b")
    options = {text: options for text, options in cupy._modules}
    assert "--fmad=true" in options[TEXT]
    assert "--fmad=false" in options[TEXT + " "]


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(SnnError) as problem:
        CupyBackend()
    assert codes(problem) == ["E742"]
    assert "not installed" in problem.value.diagnostics[0].message


def test_a_cupy_that_cannot_be_loaded(tmp_path: Path, machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cupy").mkdir()
    (tmp_path / "cupy" / "__init__.py").write_text(
        "try:\n    import no_such_library\n"
        "except ImportError as problem:\n    raise ImportError('\\n====\\nFailed to import CuPy.') from problem\n"
    )
    for name in [name for name in sys.modules if name.partition(".")[0] == "cupy"]:
        del sys.modules[name]
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SnnError) as problem:
        CupyBackend()
    assert codes(problem) == ["E742"]
    assert "cannot be loaded: No module named 'no_such_library'" in problem.value.diagnostics[0].message


@pytest.mark.parametrize(
    ("driver", "refusal", "devices", "said"),
    [
        (0, 35, 0, "this machine has no NVIDIA driver"),
        (11040, 35, 0, "too old for this CuPy: it knows CUDA 11.4"),
        (12040, 100, 0, "none answers: cudaErrorNoDevice"),
        (12040, 0, 0, "none answers: the driver has no device"),
    ],
)
def test_no_device(machine: Any, driver: int, refusal: int, devices: int, said: str) -> None:
    machine.driver_version, machine.refusal, machine.devices = driver, refusal, devices
    with pytest.raises(SnnError) as problem:
        CupyBackend()
    assert codes(problem) == ["E743"]
    assert said in problem.value.diagnostics[0].message


@pytest.mark.parametrize(
    ("capability", "driver", "needed"),
    [("61", 12040, "7.0"), ("61", 13000, "7.5"), ("70", 13000, "7.5"), ("70", 12040, ""), ("75", 13000, ""), ("121", 13000, "")],
)
def test_a_device_that_is_too_old(machine: Any, capability: str, driver: int, needed: str) -> None:
    machine.capability, machine.driver_version = capability, driver
    if not needed:
        assert CupyBackend().capability == (int(capability) // 10, int(capability) % 10)
        return
    with pytest.raises(SnnError) as problem:
        CupyBackend()
    assert codes(problem) == ["E785"]
    (found,) = problem.value.diagnostics
    assert f"compute capability {capability[0]}.{capability[1]}, and the target cuda needs {needed} or more" in found.message
    assert ("cupy-cuda12x" in found.help[0]) == (capability == "70")


def test_too_little_memory(machine: Any) -> None:
    machine.reset(total=100_000)
    backend = CupyBackend()
    with pytest.raises(SnnError) as problem:
        backend.allocate(200_000)
    assert codes(problem) == ["E741"]
    assert "about 200 kB more are needed, 100 kB of 100 kB are free" in problem.value.diagnostics[0].message


def test_memory_that_the_driver_refuses(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Loaded()
    runtime = loaded.backend.cupy.cuda.runtime

    def refuse(*_arguments: Any) -> None:
        raise runtime.CUDARuntimeError(2)

    monkeypatch.setattr(runtime, "memcpyAsync", refuse)
    with pytest.raises(SnnError) as problem:
        loaded.first()
    assert codes(problem) == ["E741"]


def test_a_text_that_is_refused_is_our_mistake(machine: Any) -> None:
    with pytest.raises(SnnError) as problem:
        CupyBackend().module("this is no C++", single=False, name="odd")
    (found,) = problem.value.diagnostics
    assert found.code == "E744"
    assert found.message.startswith("the CUDA compiler refuses the code of odd: ")
    folder = Path(next(line for line in found.help if line.startswith("kept in ")).split()[2].rstrip(":"))
    assert (folder / "model.cu").read_text() == "this is no C++"
    assert (folder / "output.txt").read_text().startswith("nvrtc --std=c++14 --fmad=false")


def test_no_compiler_in_cupy(machine: Any) -> None:
    backend = CupyBackend()
    machine.backend.name = ""
    with pytest.raises(SnnError) as problem:
        backend.module(TEXT, single=False, name="odd")
    assert codes(problem) == ["E742"]
    assert "libnvrtc" in problem.value.diagnostics[0].message


def test_a_kernel_that_fails_is_said_when_it_is_waited_for(machine: Any) -> None:
    loaded = Loaded()
    loaded.module.launch("broken", 1)
    with pytest.raises(SnnError) as problem:
        loaded.backend.synchronize()
    assert codes(problem) == ["E745"]
    assert "please report" in problem.value.diagnostics[0].help[0]


@pytest.mark.parametrize(("status", "said"), [(702, "draws the screen"), (46, "another program")])
def test_devices_that_are_not_ours_alone(machine: Any, monkeypatch: pytest.MonkeyPatch, status: int, said: str) -> None:
    loaded = Loaded()
    runtime = loaded.backend.cupy.cuda.runtime

    def refuse(*_arguments: Any) -> None:
        raise runtime.CUDARuntimeError(status)

    monkeypatch.setattr(runtime, "memsetAsync", refuse)
    with pytest.raises(SnnError) as problem:
        loaded.backend.clear(loaded.x, 8)
    assert codes(problem) == ["E745"]
    assert said in problem.value.diagnostics[0].help[0]


# --- whole models -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["resident", "graph"])
def test_a_model_runs_through_cupy(machine: Any, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr("snnlang.runtime.device_cuda.way_of", lambda *_arguments: way)
    model = snnlang.load(NETWORK)
    ours = model.run(target="cuda", precision="float64", progress=False)
    theirs = model.run(target="numpy", progress=False)
    assert ours.made.target == "cuda"
    assert len(ours.spikes("B")[0]) > 50
    for name in ("A", "B"):
        for found, expected in zip(ours.spikes(name), theirs.spikes(name)):
            assert np.array_equal(found, expected)


@pytest.mark.parametrize("way", ["resident", "graph"])
def test_records_leave_beside_later_launches(machine: Any, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Small records leave again and again; here a copy happens when it is waited for, and no sooner."""
    monkeypatch.setattr("snnlang.runtime.device_cuda.way_of", lambda *_arguments: way)
    monkeypatch.setattr("snnlang.runtime.cuda_memory.FEW_EVENTS", 1)
    monkeypatch.setattr("snnlang.runtime.cuda_memory.MANY_EVENTS", 1)
    monkeypatch.setattr("snnlang.runtime.cuda_memory.RECORD_BYTES", 40)
    started, waiting, beside = 0, 0, 0
    start, wait, launch = CupyBackend.start_download, cuda_cupy.CupyTransfer.wait, cuda_cupy.CupyModule.launch

    def starting(backend: CupyBackend, address: int, into: Any) -> Any:
        nonlocal started, waiting
        started, waiting = started + 1, waiting + 1
        return start(backend, address, into)

    def ending(transfer: Any) -> None:
        nonlocal waiting
        waiting -= 1
        wait(transfer)

    def launching(module: Any, *arguments: Any, **options: Any) -> None:
        nonlocal beside
        beside += waiting > 0
        launch(module, *arguments, **options)

    monkeypatch.setattr(CupyBackend, "start_download", starting)
    monkeypatch.setattr(cuda_cupy.CupyTransfer, "wait", ending)
    monkeypatch.setattr(cuda_cupy.CupyModule, "launch", launching)
    model = snnlang.load(NETWORK)
    ours = model.run(target="cuda", precision="float64", progress=False)
    theirs = model.run(target="numpy", progress=False)
    for name in ("A", "B"):
        for found, expected in zip(ours.spikes(name), theirs.spikes(name)):
            assert np.array_equal(found, expected)
    np.testing.assert_allclose(ours["B.v"], theirs["B.v"], rtol=1e-9)
    assert waiting == 0
    assert started > 8
    assert beside > 3


def test_cuda_computes_in_single_precision_where_nothing_is_said(machine: Any) -> None:
    model = snnlang.load(NETWORK)
    assert model.run(target="cuda", progress=False).made.precision == "single"
    assert model.run(target="numpy", progress=False).made.precision == "double"
    text = NETWORK.replace("    dt = 0.1 ms\n", '    dt = 0.1 ms\n    target = "cuda"\n')
    assert snnlang.load(text).run(progress=False).made.precision == "single"
    text = text.replace("    dt =", '    precision = "float64"\n    dt =')
    assert snnlang.load(text).run(progress=False).made.precision == "double"


def test_too_little_memory_is_said_before_anything_is_made(machine: Any) -> None:
    machine.reset(total=5_000)
    with pytest.raises(SnnError) as problem:
        snnlang.load(NETWORK).run(target="cuda", progress=False)
    assert codes(problem) == ["E741"]
    assert machine.backend.memory() == (5_000, 5_000)


# --- auto -------------------------------------------------------------------------------------------------------------


def test_auto_leaves_small_work_to_the_processor(machine: Any) -> None:
    assert snnlang.load(NETWORK).run(progress=False).made.target != "cuda"


def test_small_work_never_imports_cupy(tmp_path: Path) -> None:
    (tmp_path / "pair.snn").write_text(NETWORK)
    text = (
        "import sys; from snnlang.cli.program import run; code = run(['run', 'pair.snn', '--quiet'])\n"
        "assert code == 0 and 'cupy' not in sys.modules and 'snnlang.runtime.cuda_cupy' not in sys.modules"
    )
    paths = [str(FAKE), str(Path(snnlang.__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "SNN_CUDA": ""}
    done = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_auto_takes_a_device_for_large_work(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnlang.runtime.cuda_choice.STEP", 0.0)
    monkeypatch.setattr("snnlang.runtime.cuda_choice.RUN", 0.0)
    done = snnlang.load(NETWORK).run(progress=False)
    assert done.made.target == "cuda"
    assert done.made.precision == "double"
    assert "W743" not in [warning.code for warning in done.warnings]
    monkeypatch.setenv("SNN_CUDA", "off")
    assert snnlang.load(NETWORK).run(progress=False).made.target != "cuda"


def test_auto_does_without_a_device_and_says_so(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnlang.runtime.cuda_choice.STEP", 0.0)
    monkeypatch.setattr("snnlang.runtime.cuda_choice.RUN", 0.0)
    machine.driver_version, machine.refusal = 0, 35
    done = snnlang.load(NETWORK).run(progress=False)
    assert done.made.target != "cuda"
    (warning,) = [warning for warning in done.warnings if warning.code == "W743"]
    assert "no NVIDIA driver" in warning.message


def test_auto_asks_no_device_for_a_short_run(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnlang.runtime.cuda_choice.STEP", 0.0)
    assert snnlang.load(NETWORK).run(progress=False).made.target != "cuda"


def test_verify_includes_the_device(machine: Any) -> None:
    report = snnlang.load(NETWORK).verify(targets=["numpy", "cuda"])
    assert report.agrees
    assert [comparison.label for comparison in report.comparisons] == ["cuda"]
