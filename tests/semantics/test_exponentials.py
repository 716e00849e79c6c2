"""Exponentials of one variable that share one: the same rates as one by one, from far below to far above and where they are 0/0."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import snnlang
from snnlang.codegen.direct import direct
from snnlang.codegen.target_c import Mathematics, emit
from snnlang.compile import load_program, prepare
from snnlang.diagnostics import Source
from snnlang.model.elaborate import Overrides
from tests.targets import needs_compiler

#: Five rates of slopes that are whole multiples of 1/40, of both signs, and one of another slope.
RATES = """
    neuron Channel:
        "Rates of one voltage, which stays."
        param shift = 0 mV
        state v = 0 mV
        state sum_1 = 0
        state sum_2 = 0
        state sum_3 = 0
        state sum_4 = 0
        state sum_5 = 0
        state sum_6 = 0
        x = (v - shift)/(1 mV)
        dv/dt = 0 mV/ms
        dsum_1/dt = 1/exprel((13 - x)/4)/(1 ms)
        dsum_2/dt = 0.28/exprel((x - 40)/5)/(1 ms)
        dsum_3/dt = exp((17 - x)/18)/(1 ms)
        dsum_4/dt = 4/(exp((40 - x)/5) + 1)/(1 ms)
        dsum_5/dt = 3/(1 + exp(0.2*x - 1))/(1 ms)
        dsum_6/dt = 0.5*exp((10 - x)/40)/(1 ms)

    network Net(N = 4001):
        population cell[N]: Channel(v = FROM + STEP*index, shift = SHIFT)

    simulate Net:
        dt = 1 ms
        duration = 1 ms
        method = euler
        record_initial = false
        record cell.sum_1, cell.sum_2, cell.sum_3, cell.sum_4, cell.sum_5, cell.sum_6
"""


def rates_text(first: str, step: str, shift: str) -> str:
    return textwrap.dedent(RATES.replace("FROM", first).replace("STEP", step).replace("SHIFT", shift))


def c_text(text: str, math: Mathematics = "fast", precision: str = "float64") -> str:
    program = load_program(Source("rates.snn", textwrap.dedent(text)))
    return emit(direct(prepare(program, Overrides(precision=precision)).plan), math=math).text


def exponentials(text: str) -> int:
    """Calls of exponentials in the function of the population's step."""
    step = text[text.index("_step(model *const m") :]
    return len(re.findall(r"snn_(?:exp|inverse_exprel|exprel)f?\(", step[: step.index("\n}\n")]))


def test_five_of_six_are_powers_of_one() -> None:
    text = rates_text("-100 mV", "0.05 mV", "0 mV")
    shared = c_text(text)
    assert exponentials(shared) == 2
    assert "5 of them are powers of this one" in shared
    strict = c_text(text, "strict")
    assert exponentials(strict) == 6
    assert "powers of this one" not in strict


@needs_compiler
@pytest.mark.parametrize("shift", ["0 mV", "-63 mV"])
@pytest.mark.parametrize(
    ("first", "step"),
    [("-100 mV", "0.05 mV"), ("12.99 mV", "5e-6 mV"), ("39.9999999 mV", "5e-11 mV"), ("-2 V", "1 mV"), ("-8 V", "4 mV")],
)
def test_the_same_rates(first: str, step: str, shift: str) -> None:
    """Against the interpreter, which knows exponentials one by one; relative to the size of each rate."""
    text = rates_text(first, step, shift)
    wanted = recorded(text, target="interpreter")
    got = recorded(text, target="c")
    for name in wanted:
        np.testing.assert_allclose(got[name], wanted[name], rtol=2e-13, atol=1e-200, err_msg=name)


@needs_compiler
@pytest.mark.parametrize("shift", ["0 mV", "-63 mV"])
def test_the_same_rates_in_single_precision(shift: str) -> None:
    text = rates_text("-100 mV", "0.05 mV", shift)
    wanted, got = recorded(text, target="interpreter"), recorded(text, target="c", precision="float32")
    for name in wanted:
        np.testing.assert_allclose(got[name], wanted[name], rtol=2e-5, err_msg=name)


def recorded(text: str, **options: Any) -> dict[str, NDArray[np.float64]]:
    result = snnlang.load(text).run(progress=False, **options)
    return {f"sum_{n}": np.asarray(result[f"cell.sum_{n}"][-1], float) for n in range(1, 7)}


def test_parameters_of_slopes_share_nothing() -> None:
    """A slope that may change without another text is no number."""
    text = rates_text("-100 mV", "0.05 mV", "0 mV").replace("param shift = 0 mV", "param shift = 0 mV\n    param k = 40")
    text = text.replace("(13 - x)/4)", "(13 - x)*10/k)").replace("(10 - x)/40)", "(10 - x)/k)")
    shared = c_text(text)
    assert exponentials(shared) == 4
    assert "3 of them are powers of this one" in shared


def test_one_alone_stays() -> None:
    text = """
        neuron Exponential:
            "One exponential."
            state v = -70 mV
            10 ms*dv/dt = -70 mV - v + 2 mV*exp((v + 50 mV)/(2 mV))
            spike when v > 0 mV
            on spike: v = -70 mV

        network Net:
            population cell[10]: Exponential

        simulate Net:
            duration = 10 ms
            record cell.spikes
    """
    assert "powers of this one" not in c_text(text)


@needs_compiler
def test_hodgkin_and_huxley_fire_as_before() -> None:
    text = textwrap.dedent("""
        from stdlib.neurons import HodgkinHuxley

        network Net:
            population cell[20]: HodgkinHuxley

        simulate Net:
            duration = 50 ms
            dt = 0.02 ms
            method = exponential_euler
            drive cell.I = 10 uA/cm^2
            record cell.spikes, cell.v
    """)
    assert "5 of them are powers of this one" in c_text(text)
    strict = snnlang.load(text).run(target="c", math="strict", progress=False)
    fast = snnlang.load(text).run(target="c", progress=False)
    assert len(strict["cell.spikes"][0]) > 20
    np.testing.assert_array_equal(fast["cell.spikes"][0], strict["cell.spikes"][0])
    np.testing.assert_allclose(np.asarray(fast["cell.v"]), np.asarray(strict["cell.v"]), rtol=1e-9)
