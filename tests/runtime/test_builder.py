"""Programs built from Python are the programs one would have written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import snnlang
from snnlang.builder import Builder
from snnlang.diagnostics import SnnError, Source
from snnlang.syntax.format import format_file
from snnlang.syntax.parse import parse

WRITTEN = """from stdlib.neurons import LIF, Poisson

const weak = 1 mV

network Noise(N = 50, J = 2 mV):
    input light[3]
    population source[N]: Poisson(rate = 200 Hz)
    population cell[2, 3]: LIF(tau_m = 10 ms)
    connect feed = source -> cell.v: random(p = 0.5), w = J, delay = 1.5 ms
    connect source[0:6] -> cell.v: one_to_one, w = weak

simulate Noise(J = 3 mV) as noisy:
    dt = 0.1 ms
    duration = 50 ms
    seed = 3
    drive cell.I = 0.1 nA
    record cell.spikes, cell.v[0, 0:2] every 1 ms
    plot raster(cell)
    sweep N in [40, 60]
"""


def build() -> Builder:
    builder = Builder()
    builder.use("stdlib.neurons", "LIF", "Poisson")
    builder.constant("weak", "1 mV")
    network = builder.network("Noise", N=50, J="2 mV")
    network.input("light", 3)
    network.population("source", "N", "Poisson", rate="200 Hz")
    network.population("cell", (2, 3), "LIF", tau_m="10 ms")
    network.connect("source", "cell.v", "random(p = 0.5)", name="feed", w="J", delay="1.5 ms")
    network.connect("source[0:6]", ["cell.v"], "one_to_one", w="weak")
    run = network.simulate("noisy", set={"J": "3 mV"}, dt="0.1 ms", duration="50 ms", seed=np.int64(3))
    run.drive("cell.I", "0.1 nA")
    run.record("cell.spikes", "cell.v[0, 0:2]", every="1 ms")
    run.plot("raster(cell)")
    run.sweep("N", np.array([40, 60]))
    return builder


def test_the_text_is_the_one_that_would_be_written() -> None:
    written = parse(Source("written", WRITTEN))
    assert build().file() == written
    assert build().text == format_file(written)


def test_it_runs_like_the_file() -> None:
    built, written = build().model().run(), snnlang.run(WRITTEN)
    for one, other in zip(built.sweep, written.sweep, strict=True):
        assert one.point == other.point
        assert np.array_equal(one.spikes("cell")[0], other.spikes("cell")[0])
        assert np.array_equal(one["cell.v"], other["cell.v"])


def test_a_mistake_is_shown_in_the_text_that_was_built() -> None:
    builder = build()
    builder._networks[0].population("more", 5, "LIV")
    with pytest.raises(SnnError) as problem:
        builder.model()
    assert "--> <builder>:" in str(problem.value)
    assert "population more[5]: LIV" in str(problem.value)


def test_definitions_present_and_other_lines() -> None:
    builder = Builder()
    builder.add('''
        neuron Cell:
            input x = 0
            state v = 0
            v[n] = x[n]
            spike when v >= 1
    ''')
    network = builder.network("Net")
    network.input("image", 4)
    network.population("c", 4, "Cell")
    network.connect("image", "c.x", "one_to_one")
    run = network.simulate()
    run.present("samples", "image", "label", duration=3, rest=2, epochs=2)
    run.record("c.spikes")
    recording = builder.model().run(data={"samples": (np.eye(4), np.arange(4))})
    assert recording.trial_counts("c").tolist() == (3 * np.vstack([np.eye(4), np.eye(4)])).tolist()


@pytest.mark.parametrize("piece", ["", "a\nb", "x # comment", 3, None])
def test_pieces_are_pieces_of_one_line(piece: Any) -> None:
    with pytest.raises(SnnError, match="E821"):
        Builder().network("N").population(piece, 1, "LIF")


@pytest.mark.parametrize("value", [object(), {"a": 1}, None])
def test_values_that_no_line_can_hold(value: Any) -> None:
    with pytest.raises(SnnError, match="E821"):
        Builder().constant("c", value)
