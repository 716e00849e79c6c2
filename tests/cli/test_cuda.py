"""Target cuda on the command line: run, verify and explain through the shim, and what is said where there is no device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from snnlang.runtime import cuda_choice, cuda_shim
from tests.cli.conftest import Snn
from tests.targets import needs_shim


@pytest.fixture
def shim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_CUDA", "shim")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without CuPy."""
    monkeypatch.delenv("SNN_CUDA", raising=False)
    from importlib.util import find_spec

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "cupy" else find_spec(name))


@needs_shim
@pytest.mark.usefixtures("shim")
def test_run(snn: Snn, good: Path) -> None:
    done = snn("run", str(good), "--target", "cuda", "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert (summary["target"], summary["precision"]) == ("cuda", "single")
    again = snn("run", str(good), "--target", "cuda", "--json")
    assert json.loads(again.out)["events"] == summary["events"]
    double = snn("run", str(good), "--target", "cuda", "--precision", "float64", "--json")
    assert json.loads(double.out)["precision"] == "double"


@needs_shim
@pytest.mark.usefixtures("shim")
def test_verify(snn: Snn, good: Path) -> None:
    done = snn("verify", str(good), "--targets", "numpy,cuda", "--json")
    assert done.code == 0, done.err
    assert [way["target"] for way in json.loads(done.out)["targets"]] == ["cuda"]


@needs_shim
@pytest.mark.usefixtures("shim")
def test_explain(snn: Snn, good: Path) -> None:
    said = snn("explain", str(good), "--target", "cuda").out
    assert "target cuda on a processor that runs CUDA for tests" in said
    assert "multiprocessors of compute capability 9.0, 4.29 GB of 4.29 GB free" in said


@pytest.mark.usefixtures("bare")
def test_without_cupy(snn: Snn, good: Path) -> None:
    refused = snn("run", str(good), "--target", "cuda")
    assert refused.code == 1
    assert "error[E742]: the target cuda needs CuPy, which is not installed" in refused.err
    assert "pip install cupy-cuda12x" in refused.err
    assert (
        "target cuda cannot run here: the target cuda needs CuPy" in snn("explain", str(good), "--target", "cuda").out
    )
    assert "cuda: skipped, the target cuda needs CuPy, which is not installed" in snn("verify", str(good)).out
    assert snn("run", str(good), "--quiet").code == 0


def test_without_a_compiler_for_the_shim(snn: Snn, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_CUDA", "shim")
    monkeypatch.setattr(cuda_shim, "compiler", lambda: None)
    refused = snn("run", str(good), "--target", "cuda")
    assert "error[E742]: SNN_CUDA=shim runs CUDA on a processor" in refused.err
    assert cuda_choice.absent() is not None


@pytest.mark.parametrize("code", ["E741", "E742", "E743", "E744", "E745", "E785", "W743"])
def test_pages(snn: Snn, code: str) -> None:
    assert snn("explain", code).out.startswith(f"# {code}: ")


def test_compile(snn: Snn, good: Path, tmp_path: Path) -> None:
    outcome = snn("compile", str(good), "short", "--target", "cuda", "-o", "generated")
    assert outcome.code == 0, outcome.err
    made = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "generated").iterdir())
    assert made == sorted(outcome.out.split())
    assert {"host.cu", "host.py", "Makefile", "README.md", "manifest.json"} <= {Path(file).name for file in made}


# --- what is said before anything runs --------------------------------------------------------------------------------


MODELS = Path(__file__).parents[2] / "benchmarks" / "models"


@pytest.mark.usefixtures("bare")
def test_explain_without_a_device_is_told_for_a_stated_one(snn: Snn) -> None:
    said = snn("explain", str(MODELS / "brunel.snn"), "--target", "cuda").out
    told = "132 multiprocessors, 80 GB, at least one resident block of 512 threads on each"
    assert f"On a device (none is here; told for an NVIDIA H100: {told})" in said
    assert "  resident: one kernel holds the loop over time" in said
    assert "the longest loop of a step has 10000 elements, and 270336 (4 for each of the 67584 threads" in said
    assert "  a step: 3 stages, all threads meet 3 times" in said
    assert "[step_2: 40 blocks of 256 as a launch]" in said
    assert "  device memory: about 31.2 MB with float32 (4 bytes a number)" in said
    assert "    connections: 20.2 MB" in said  # 10^7 synapses of 2 bytes, and where 10000 rows begin, twice
    assert "  random numbers: 4 streams of draws by counter" in said
    double = snn("explain", str(MODELS / "brunel.snn"), "--target", "cuda", "--precision", "float64").out
    assert "  numbers: float64, rounded as written" in double
    large = snn("explain", str(MODELS / "lif.snn"), "--target", "cuda").out
    assert "  graph: CUDA graphs of 128 steps" in large
    assert "1000000 elements, more than 270336" in large
    huge = snn("explain", str(MODELS / "brunel.snn"), "--target", "cuda", "--set", "N=500000").out
    assert "more than the 80 GB that are free: a run is refused (E741)" in huge


@needs_shim
@pytest.mark.usefixtures("shim")
def test_explain_says_what_the_device_does(good: Path, snn: Snn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Way, kernels and their blocks are those of the device that runs the plan."""
    from snnlang.compile import check_path, compile_experiment
    from snnlang.model.elaborate import Overrides
    from snnlang.runtime.device_cuda import CudaDevice

    path = MODELS / "cuba.snn"
    for size, way in ((200, "resident"), (4000, "graph")):
        said = snn("explain", str(path), "--target", "cuda", "--set", f"N={size}").out
        program, _ = check_path(path)
        assert program is not None
        options = Overrides(target="cuda", values={"N": number(size)})
        _, plan = compile_experiment(program, None, options)
        device = CudaDevice(plan, cuda_shim.ShimBackend())
        assert device.way == way
        assert f"\n  {way}: " in said
        if way == "resident":
            assert f"    {device.resident_grid} block" in said
        for kernel in device.code.step:
            assert f"[{kernel.name}: {device._grid(kernel)} block" in said
        assert f"all threads meet {device.code.barriers} times" in said


def number(value: int) -> Any:
    from snnlang.cli.options import quantity

    return quantity(str(value), "--set")


def test_explain_of_a_loop_that_settles_and_of_training(snn: Snn) -> None:
    examples = MODELS.parents[1] / "examples"
    said = snn("explain", str(examples / "pcnn_segmentation.snn"), "--target", "cuda").out
    assert "because loops of a step settle" in said
    assert "stays the same, at most 400 times:" in said
    trained = snn("explain", str(examples / "train_digits.snn"), "--target", "cuda")
    assert trained.code == 0, trained.err


def test_show(snn: Snn, good: Path) -> None:
    text = snn("show", str(good), "--stage", "cuda").out
    assert "CUDA C++14, for nvcc or NVRTC" in text
    assert "typedef float real;" in text
    assert 'extern "C" __global__ void' in text
    assert "typedef double real;" in snn("show", str(good), "--stage", "cuda", "--precision", "float64").out


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("target", ["c", "cuda"])
def test_check_finds_what_a_target_cannot_count(
    snn: Snn, tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snnlang.model.memory.machine_memory", lambda: 1e12)
    path = tmp_path / "large.snn"
    path.write_text(LARGE)
    refused = snn("check", str(path), "--target", target)
    assert refused.code == 1
    assert (
        f"error[E737]: the target {target} counts steps up to 1073741824 in one run, and this one reaches step 2000000000"
        in refused.err
    )
    assert f"error[E747]: E->E.v: 3000000000 synapses are too many for target {target}" in refused.err
    assert f"--> {path}:10:5" in refused.err
    assert f"--> {path}:12:1" in refused.err
    assert snn("check", str(path), "--target", "numpy").code == 0
    ran = snn("run", str(path), "--target", target)  # the same words, before anything is made
    assert "error[E747]: E->E.v: 3000000000 synapses" in ran.err


@needs_shim
@pytest.mark.usefixtures("shim")
def test_check_compares_with_the_device_that_is_here(snn: Snn, tmp_path: Path) -> None:
    path = tmp_path / "wide.snn"
    text = LARGE.replace(" via STDP(w = 0.5), gain = 1 mV", ", w = 1 mV").replace("2000 s", "1 s")
    path.write_text(text.replace("[100000]", "[50000]"))
    assert snn("check", str(path), "--target", "cuda").code == 0
    path.write_text(text.replace("[100000]", "[90000]"))
    refused = snn("check", str(path), "--target", "cuda")
    assert refused.code == 1
    assert "error[E741]: the memory of a processor that runs CUDA for tests is not enough: about 9.7" in refused.err
    assert "of it for 2.43e+09 synapses of E->E.v" in refused.err
    assert f"--> {path}:10:5" in refused.err


@needs_shim
@pytest.mark.usefixtures("shim")
def test_check_warns_of_a_queue_that_may_overflow(snn: Snn, tmp_path: Path) -> None:
    """W748: 10 million synapses, delays up to 500 steps: a quarter of 4 GB holds half a million of them for each step."""
    path = tmp_path / "delayed.snn"
    text = (
        LARGE.replace("[100000]", "[10000]")
        .replace("p = 0.3", "p = 0.1")
        .replace("2000 s", "1 s")
        .replace("0.001 ms", "0.1 ms")
    )
    path.write_text(text.replace(" via STDP(w = 0.5), gain = 1 mV", ", w = 1 mV, delay = uniform(0.1 ms, 50 ms)"))
    done = snn("check", str(path), "--target", "cuda")
    assert done.code == 0, done.err
    assert "warning[W748]: a processor that runs CUDA for tests has memory for" in done.err
    assert "of about 1e+07: a step that reaches more stops the run (E748)" in done.err
    assert f"--> {path}:10:5" in done.err
    path.write_text(path.read_text().replace("50 ms", "2 ms"))
    assert "W748" not in snn("check", str(path), "--target", "cuda").err


def test_check_of_a_train_block(snn: Snn) -> None:
    path = MODELS.parents[1] / "examples" / "train_digits.snn"
    assert snn("check", str(path), "--target", "cuda").code == 0


LARGE = """from stdlib.plasticity import STDP

neuron Cell:
    port state v = 0 mV
    dv/dt = -v / (10 ms)
    spike when v > 5 mV

network Net:
    population E[100000]: Cell
    connect E -> E.v: random(p = 0.3) via STDP(w = 0.5), gain = 1 mV

simulate Net:
    dt = 0.001 ms
    duration = 2000 s
"""
