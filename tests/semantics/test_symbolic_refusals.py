"""Mistakes that only the symbolic stage can see have a place and a remedy too: their exact texts."""

from __future__ import annotations

import pytest

import snnlang
from snnlang.diagnostics import render

PROGRAM = """\
neuron N:
    param tau = 10 ms
    param sigma = 1 mV
    port state v = 0 mV
    {lines}
    spike when v > 10 mV
    on spike: v = 0 mV
{more}
network W:
    population n[2]: N
    population o[2]: N
    {connect}

simulate W:
    dt = 0.1 ms
    duration = 1 ms
    record {record}
"""


def text_of(lines: str, more: str = "", connect: str = "# not connected", record: str = "n.v") -> str:
    text = PROGRAM.format(lines=lines.replace("\n", "\n    "), more=more, connect=connect, record=record)
    with pytest.raises(snnlang.SnnError) as caught:
        snnlang.load(text).run(progress=False)
    found = [d for d in caught.value.diagnostics if d.is_error]
    return "\n\n".join(map(render, found))


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("0*dv/dt = -v/1 ms", "0*dv/dt"),
        ("dv/dt - dv/dt = -v/1 ms", "dv/dt - dv/dt"),
        ("(tau - tau)*dv/dt = -v", "(tau - tau)*dv/dt"),
    ],
)
def test_a_derivative_that_cancels_out(line: str, left: str) -> None:
    assert (
        text_of(line)
        == f"""\
error[E701]: cannot solve for `dv/dt`: it cancels out
 --> <string>:5:5
  |
5 |     {line}
  |     {"^" * len(left)} holds no `dv/dt` in the end
  = help: write `dv/dt` once, times a factor such as a time constant"""
    )


@pytest.mark.parametrize("term", ["xi^2*1 ms", "exp(xi*sqrt(1 ms))", "abs(xi)*sqrt(1 ms)"])
def test_noise_enters_linearly(term: str) -> None:
    wrong = term.removesuffix("*1 ms").removesuffix("*sqrt(1 ms)")
    assert (
        text_of(f"tau*dv/dt = -v + sigma*{term}")
        == f"""\
error[E704]: white noise must enter the equation of `v` linearly
 --> <string>:5:28
  |
5 |     tau*dv/dt = -v + sigma*{term}
  |                            {"^" * len(wrong)} not linear in xi
  = help: write it as a term of its own, `+ sigma*xi`; a factor may depend on states"""
    )


NOISY = "z = sigma*xi*sqrt(tau)\ntau*dv/dt = -v + z"
READ = """\
error[E720]: white noise has no value at one time, and this definition is read as one
 --> <string>:5:15
  |
5 |     z = sigma*xi*sqrt(tau)
  |               ^^ only equations can use it
  = help: record, send or read a state that the noise drives; a handler can draw `normal(0, 1)`"""


def test_noise_cannot_be_recorded() -> None:
    assert text_of(NOISY, record="n.z") == READ


def test_noise_cannot_be_an_output() -> None:
    assert text_of(f"{NOISY}\noutput z", record="n.output") == READ


def test_noise_cannot_be_read_by_a_synapse() -> None:
    more = "\nsynapse S:\n    weight w = 1\n    on pre: deliver w*pre.z\n"
    assert text_of(NOISY, more, "connect n -> o.v: dense via S") == READ


def test_noise_is_no_initial_value() -> None:
    assert text_of(f"{NOISY}\nstate q = z\ntau*dq/dt = -q") == READ
