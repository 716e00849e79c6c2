"""The forward pass of a training through synapses and delays against the interpreter, which runs the plan of a simulation."""

from __future__ import annotations

import pytest

import snnlang

from .synapses import LIBRARY, MODELS, SYNAPSES

DELAYS = {"": "at once", ", delay = uniform(0 ms, 4 ms)": "delays that differ", ", delay = trainable(3 ms, max = 5 ms)": "trained"}


def text(synapse: str, source: str, target: str, weights: str, more: str) -> str:
    neuron, port = target.split(".")
    head = f"from stdlib.synapses import {synapse}\n" if synapse in LIBRARY else ""
    return f"""{head}{MODELS}
network Net:
    input image[8, 8]
    population s[6]: {source}
    population out[5]: {neuron}
    connect image -> s.x: dense, w = uniform(0, 0.1)
    connect s -> out.{port}: dense via {synapse}, w = {weights}{more}

train Net:
    dt = 1 ms
    data = digits()
    steps = 12
    loss = mean(mean(out.v), over = neurons)
    optimizer = adam(lr = 1e-3)
    batch = 8
"""


@pytest.mark.parametrize("delay", DELAYS, ids=DELAYS.values())
@pytest.mark.parametrize("case", SYNAPSES, ids=[case[0] for case in SYNAPSES])
def test_interpreter(case: tuple[str, str, str, str], delay: str) -> None:
    if "trainable" in delay and case[0] in ("Low", "Twice", "Gated"):
        pytest.skip("no connection of spikes alone")
    report = snnlang.load(text(*case, delay)).verify(targets=["interpreter", "numpy"], threads=1)
    assert report.agrees, str(report)
    assert report.forward is not None
    (found,) = report.forward.comparisons
    spikes = {events.name: events.reference for events in found.events}
    assert sum(spikes.values()) > 3, spikes
    assert "out.v" in {variable.name for variable in found.variables}
    kept = {"TsodyksMarkram": "s->out.v.u", "Trace": "s->out.x.x", "SaturatingNMDA": "s->out.I.s"}
    if case[0] in kept and not delay:
        assert kept[case[0]] in {variable.name for variable in found.variables}


def test_a_delay_between_steps_is_no_simulation() -> None:
    case = ("Exponential", "Source", "Membrane.I", "uniform(10 pA, 300 pA)")
    report = snnlang.load(text(*case, ", delay = trainable(2.5 ms, max = 5 ms)")).verify(targets=["interpreter", "numpy"], threads=1)
    assert report.forward is None
    assert "a trained delay lies between two steps" in str(report)
