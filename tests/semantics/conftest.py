"""Every rule of execution is asked of the interpreter and of every target this machine has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import snnlang
from snnlang.runtime.compiler import find
from snnlang.runtime.recording import Recording

Run = Callable[..., Recording]


def runner(target: str) -> Run:
    """A function (text, experiment, options) -> Recording on one target, silent."""

    def run(text: str, experiment: str | None = None, **options: Any) -> Recording:
        recording: Recording = snnlang.load(text).run(experiment, target=target, progress=False, **options)
        return recording

    return run


needs_compiler = pytest.mark.skipif(find() is None, reason="no C compiler")


@pytest.fixture(params=["interpreter", "numpy", pytest.param("c", marks=needs_compiler)])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs on each target in turn."""
    return runner(request.param)


@pytest.fixture
def run_numpy() -> Run:
    """Runs on NumPy alone: for experiments too long for the interpreter."""
    return runner("numpy")
