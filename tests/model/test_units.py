"""Units: inference against units worked out by hand, sizes against SI."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from snnlang.model import units
from snnlang.model.evaluate import evaluate

Checked = Callable[..., tuple[Any, list[Any]]]

MODEL = """
neuron Probe:
    param tau = 20 ms
    param C = 200 pF
    param g = 10 nS
    param k = 0.1/mV
    param area = 20000 um^2
    param G = 1 mS/cm^2
    param f = 40 Hz
    param D = 2 mV
    input I = 0 nA
    state v = -70 mV
    probe = {text}
    tau*dv/dt = -v + 0*(tau/C*I + v^2*k + g*v*tau/C) + 0*D*(f*tau + area*G/g)
    spike when v > 0 mV
    on spike: v = -70 mV
    output probe
"""


def exponents(volt: float = 0, ampere: float = 0, second: float = 0, metre: float = 0) -> units.Unit:
    """A unit by its exponents, written as a person counts them."""
    return units.Unit((Fraction(volt), Fraction(ampere), Fraction(second), Fraction(metre), Fraction(0)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I*tau/C", exponents(volt=1)),  # A s / (A s / V)
        ("g*v", exponents(ampere=1)),
        ("C/g", exponents(second=1)),
        ("sqrt(2*D^2/tau)*xi*tau", exponents(volt=1)),  # V s^-1/2 s^-1/2 s
        ("k*v", exponents()),
        ("area*G", exponents(volt=-1, ampere=1)),  # a conductance
        ("v^2*k", exponents(volt=1)),
        ("v^0.5", exponents(volt=0.5)),
        ("(v*v)^(1/2)", exponents(volt=1)),
        ("1/10 ms", exponents(second=-1)),
        ("exp(v/D)*I", exponents(ampere=1)),
        ("max(v, -70 mV, 0 mV)", exponents(volt=1)),
        ("I if v > 0 mV else 0 nA", exponents(ampere=1)),
        ("since(spike)", exponents(second=1)),
        ("abs(v)*sign(I)", exponents(volt=1)),
        ("C*v/tau", exponents(ampere=1)),
        ("all.max(v)", exponents(volt=1)),
        ("all.rank(v)", exponents()),
        ("2*pi*f", exponents(second=-1)),
    ],
)
def test_inferred_unit(text: str, expected: units.Unit, checked: Checked) -> None:
    program, found = checked(MODEL.format(text=text))
    assert [str(d) for d in found if d.is_error] == []
    assert program.scope.neurons["Probe"].output_unit == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 V", 1e3),
        ("1 nA", 1e3),
        ("1 uA", 1e6),
        ("1 s", 1e3),
        ("1 Hz", 1e-3),
        ("1 uS", 1e3),
        ("100 MOhm", 0.1),
        ("1 uF", 1e6),
        ("1 uF/cm^2", 0.01),
        ("120 mS/cm^2", 1.2),
        ("0.1/mV", 0.1),
        ("1/10 ms", 0.1),
        ("10 mV/ms", 10),
        ("1 cm", 1e4),
    ],
)
def test_size_in_internal_units(text: str, value: float, checked: Checked) -> None:
    """ms, mV, pA, nS, pF, GOhm, kHz, um: 1 uF/cm^2 is 1e6 pF over 1e8 um^2."""
    program, found = checked(f"const x = {text}\n\nneuron A:\n    input i = 0\n    output x*i\n")
    assert not found
    assert program.scope.constants["x"].value == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2^3^2", 512.0),
        ("-2^2", -4.0),
        ("10 - 4 - 3", 3.0),
        ("1/4/2", 0.125),
        ("mod(-1, 3)", 2.0),
        ("exprel(0)", 1.0),
        ("clip(5, 0, 1)", 1.0),
        ("2 if 1 < 2 < 3 else 4", 2.0),
        ("min(3, 1, 2)", 1.0),
        ("round(2.4)", 2.0),
        ("sigmoid(0)", 0.5),
        ("10_000*2", 20000.0),
    ],
)
def test_constant(text: str, value: float, checked: Checked) -> None:
    program, found = checked(f"const x = {text}\n\nneuron A:\n    input i = 0\n    output x*i\n")
    assert not found
    assert program.scope.constants["x"].value == pytest.approx(value)


def test_declaration_order_does_not_matter(checked: Checked) -> None:
    """Every order of these lines has one meaning."""
    import itertools

    lines = ["    param a = 2*b", "    param b = 3 mV", "    c = a + b", "    output c + i", "    input i = 0 mV"]
    for order in itertools.permutations(lines):
        program, found = checked("neuron A:\n" + "\n".join(order) + "\n")
        assert not found
        assert str(program.scope.neurons["A"].output_unit) == "mV"


def test_default_of_a_param(checked: Checked) -> None:
    program, _ = checked("neuron A:\n    param a = 2*b\n    param b = 3 nA\n    output a + b\n")
    default = program.scope.neurons["A"].params[0].default
    assert default is not None
    assert evaluate(default, {"b": 3000.0}) == 6000.0
