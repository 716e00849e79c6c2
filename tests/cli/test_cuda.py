"""Target cuda on the command line: run, verify and explain through the shim, and what is said where there is no device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snnlang.runtime import cuda_choice, cuda_shim
from tests.cli.conftest import Snn

needs_shim = pytest.mark.skipif(cuda_shim.compiler() is None, reason="no C++ compiler, or not Linux")


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


@pytest.mark.parametrize("code", ["E741", "E742", "E743", "E744", "E745", "W743"])
def test_pages(snn: Snn, code: str) -> None:
    assert snn("explain", code).out.startswith(f"# {code}: ")
