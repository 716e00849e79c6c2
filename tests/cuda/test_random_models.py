"""Models that Hypothesis makes run alike on the interpreter and as CUDA, whatever the order in which threads and blocks come.

``SNN_CASES=300 pytest tests/cuda/test_random_models.py`` tries so many; a few are tried without it, always the same ones.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import snnlang
from snnlang.diagnostics import SnnError
from tests.semantics.random_programs import events, pictures, programs
from tests.semantics.test_random_models import SAMPLES, cases
from tests.targets import needs_shim

pytestmark = needs_shim

ORDERS = st.integers(0, 9)


def agree(text: str, order: int, **options: Any) -> None:
    """The program agrees with the interpreter as CUDA, if it is a program."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SNN_CUDA", "shim")
        patch.setenv("SNN_SHIM_ORDER", str(order))
        try:
            report = snnlang.load(text).verify(targets=("cuda",), **options)
        except SnnError as problem:
            codes = [diagnostic.code for diagnostic in problem.diagnostics if diagnostic.is_error]
            if any(code.startswith("E74") for code in codes):  # our text, or our memory
                raise
            assume(False)
    assert report.agrees, f"{report}\n{text}"


@cases(4)
@given(programs(), ORDERS)
def test_neurons_synapses_and_patterns_agree(text: str, order: int) -> None:
    agree(text, order, duration="12 ms")


@cases(3)
@given(events(), ORDERS)
def test_third_factors_and_responses_agree(text: str, order: int) -> None:
    agree(text, order, duration="12 ms")


@cases(2)
@given(pictures(), ORDERS)
def test_convolutions_and_trials_agree(text: str, order: int) -> None:
    agree(text, order, data=SAMPLES)
