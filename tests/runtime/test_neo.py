"""Recordings as Neo blocks; runs where Neo is installed."""

from __future__ import annotations

import numpy as np
import pytest

import snnlang

from .test_door import NET

neo = pytest.importorskip("neo")


def test_spikes_and_signals_are_all_there() -> None:
    recording = snnlang.load(NET).run()
    block = recording.to_neo()
    segment = block.segments[0]
    assert block.annotations["seed"] == 7
    trains = {train.name: train for train in segment.spiketrains}
    assert len(trains) == 80
    times, indices = recording.spikes("E")
    for neuron in range(40):
        assert np.allclose(trains[f"E.spikes[{neuron}]"].rescale("ms").magnitude, times[indices == neuron])
    signal = segment.analogsignals[0]
    assert signal.name == "E.v"
    assert signal.units.dimensionality.string == "mV"
    assert np.array_equal(signal.magnitude, recording["E.v"])
    assert float(signal.sampling_period.rescale("ms").magnitude) == pytest.approx(1.0)


def test_a_sweep_is_a_segment_per_point() -> None:
    recording = snnlang.load(NET + "    sweep J in [1 mV, 2 mV]\n").run(duration="10 ms")
    assert len(recording.to_neo().segments) == 2
