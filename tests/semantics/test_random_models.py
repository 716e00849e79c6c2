"""Models that Hypothesis makes run alike on every target: the same events, the same values to rounding, the same bits with more threads.

``SNN_CASES=300 pytest tests/semantics/test_random_models.py`` tries so many; a few are tried without it, always the same ones.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

import snnlang
from snnlang.diagnostics import SnnError
from snnlang.runtime import cuda_shim

from .random_programs import events, pictures, programs

CASES = int(os.environ.get("SNN_CASES", "0"))


def cases(number: int) -> settings:
    """``number`` programs, always the same, or as many as SNN_CASES says, different ones every time."""
    return settings(
        max_examples=CASES or number, deadline=None, derandomize=not CASES, suppress_health_check=list(HealthCheck)
    )


SAMPLES = {"samples": (np.random.default_rng(3).uniform(0, 1, (3, 1, 6, 6)), np.array([0, 1, 2]))}


def agree(text: str, **options: Any) -> None:
    """The program agrees with the interpreter on every target here, if it is a program; -O0 saves time where cases are few."""
    with pytest.MonkeyPatch.context() as patch:
        if not CASES:
            patch.setenv("SNN_CFLAGS", "-O0")
        if cuda_shim.compiler() is not None:
            patch.setenv("SNN_CUDA", "shim")
            patch.setenv("SNN_SHIM_ORDER", "5")
        try:
            report = snnlang.load(text).verify(**options)
        except SnnError as problem:
            codes = [diagnostic.code for diagnostic in problem.diagnostics if diagnostic.is_error]
            if {"E735", "E736", "E744"} & set(codes):  # the compiler does not take our text
                raise
            assume(False)
    assert report.agrees, f"{report}\n{text}"


@cases(8)
@given(programs())
def test_neurons_synapses_and_patterns_agree(text: str) -> None:
    agree(text, duration="12 ms")


@cases(4)
@given(events())
def test_third_factors_and_responses_agree(text: str) -> None:
    agree(text, duration="12 ms")


@cases(4)
@given(pictures())
def test_convolutions_and_trials_agree(text: str) -> None:
    agree(text, data=SAMPLES)
