"""What this machine can run, and how a text is run on each target: what the tests of several rooms share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import snnlang
from snnlang.runtime import cuda_shim
from snnlang.runtime.compiler import find
from snnlang.runtime.recording import Recording

needs_compiler = pytest.mark.skipif(find() is None, reason="no C compiler")
needs_shim = pytest.mark.skipif(cuda_shim.compiler() is None, reason="no C++ compiler, or not Linux")
C = pytest.param("c", marks=needs_compiler)
#: CUDA on the processor.
CUDA = pytest.param("cuda", marks=needs_shim)
#: Where everything of training runs.
TARGETS = ["numpy", C]
#: Whether a function is the compiled one.
COMPILED = [False, pytest.param(True, marks=needs_compiler)]

Run = Callable[..., Recording]


def runner(target: str) -> Run:
    """A function (text, experiment, options) -> Recording on one target, silent."""

    def run(text: str, experiment: str | None = None, **options: Any) -> Recording:
        if target == "cuda" and "precision" not in text:
            options.setdefault("precision", "float64")
        recording: Recording = snnlang.load(text).run(experiment, target=target, progress=False, **options)
        return recording

    return run


@pytest.fixture(params=["interpreter", "numpy", C, CUDA])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs on each target in turn; cuda on the processor."""
    if request.param == "cuda":
        monkeypatch.setenv("SNN_CUDA", "shim")
    return runner(request.param)


@pytest.fixture
def run_numpy() -> Run:
    """Runs on NumPy alone: for experiments too long for the interpreter."""
    return runner("numpy")
