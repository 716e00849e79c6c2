"""Stimuli, trials, phases, freezing and look-back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import snnlang
from tests.targets import Run

COUNTER = """
neuron Model:
    step = 1 ms
    input I = 0
    state x = 0
    persistent state seen = 0
    x[n] = x[n-1] + I[n]
    spike when x >= 2.5
    on spike: x = 0
    on trial_end: seen += 1
    on trial_start: x = 0.5
"""


def test_drives_by_expression_add_up(run: Run) -> None:
    text = f"""{COUNTER}
network Net:
    population p[3]: Model

simulate Net:
    duration = 5 ms
    drive p.I = 1 if t >= 2 ms else 0
    drive p[1:3].I = 0.25*(index + 1)
    record p.I
"""
    expected = [[0 + 0, 0.5, 0.75]] * 2 + [[1, 1.5, 1.75]] * 3
    assert np.array_equal(run(text)["p.I"], expected)


def test_drives_from_files(run: Run, tmp_path: Path) -> None:
    spikes, current = tmp_path / "spikes.npz", tmp_path / "current.npz"
    np.savez(spikes, times=np.array([1.0, 3.0, 3.0]), indices=np.array([1, 0, 1]))
    np.savez(current, values=np.array([[1.0, 2.0], [3.0, 4.0]]), interval=2.0)
    text = f"""{COUNTER}
network Net:
    population p[2]: Model
    population q[2]: Model

simulate Net:
    duration = 5 ms
    drive p from "{spikes}"
    drive q.I from "{current}"
    record p.spikes, q.I
"""
    recording = run(text)
    times, indices = recording.spikes("p")
    assert list(times) == [1, 3, 3]
    assert list(indices) == [1, 0, 1]
    assert [list(row) for row in recording["q.I"]] == [[1, 2], [1, 2], [3, 4], [3, 4], [3, 4]]


def test_events_beyond_all_counting_change_nothing(run: Run, tmp_path: Path) -> None:
    """Their steps have no place in 32 bits, which hold the steps of compiled models: wrapped around they would stand before the others."""
    np.savez(tmp_path / "spikes.npz", times=np.array([1.0, 3.0, 2.15e9, 4e12]), indices=np.array([1, 0, 1, 0]))
    text = f"""{COUNTER}
network Net:
    population p[2]: Model

simulate Net:
    duration = 5 ms
    drive p from "{tmp_path / "spikes.npz"}"
    record p.spikes
"""
    times, indices = run(text).spikes("p")
    assert (list(times), list(indices)) == ([1, 3], [1, 0])


def test_an_assignment_at_a_time(run: Run) -> None:
    text = """
neuron Model:
    port state v = 0 mV
    10 ms*dv/dt = -v

network Net:
    population p[2]: Model

simulate Net:
    dt = 0.5 ms
    duration = 10 ms
    at 5 ms: p[0:1].v += 8 mV
    record p.v
"""
    recording = run(text)
    times, v = recording.times("p.v"), recording["p.v"]
    after = times > 5.01
    assert np.all(v[~after] == 0)
    assert v[after, 0] == pytest.approx(8 * np.exp(-(times[after] - 5) / 10))
    assert np.all(v[:, 1] == 0)


def test_a_clamp_replaces_the_test_and_keeps_the_handlers(run: Run) -> None:
    text = f"""{COUNTER}
network Net:
    population p[2]: Model

simulate Net:
    duration = 6 ms
    drive p.I = 1
    clamp p.spike = index if t == 4 ms else 0
    record p.spikes, p.x
"""
    recording = run(text)
    assert list(recording.spikes("p")[0]) == [4]
    assert list(recording["p.x"][:, 0]) == [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    assert list(recording["p.x"][:, 1]) == [1.5, 2.5, 3.5, 4.5, 0, 1]


def test_trials_restart_states_but_not_persistent_ones(run: Run) -> None:
    text = f"""{COUNTER}
network Net:
    input image[2]
    population p[2]: Model
    connect image -> p.I: one_to_one

simulate Net:
    present images as image, label for 3 ms, rest 2 ms
    record p.x, p.seen, p.I
"""
    images = np.array([[1.0, 0.0], [0.5, 0.25]])
    recording = run(text, data={"images": (images, np.array([3, 4]))})
    x = [[1.5, 0.5], [0, 0.5], [1, 0.5], [1, 0.5], [1, 0.5], [1, 0.75], [1.5, 1], [2, 1.25], [2, 1.25], [2, 1.25]]
    assert recording["p.x"] == pytest.approx(np.array(x))
    assert list(recording["p.seen"][:, 0]) == [0] * 5 + [1] * 5
    assert recording["p.I"][3] == pytest.approx([0, 0])


def test_freezing_stops_a_rule_from_then_on(run: Run) -> None:
    text = f"""{COUNTER}
synapse Grow:
    weight w = 0
    on pre: w += 1

network Net:
    input image[1]
    population p[1]: Model
    population q[1]: Model
    connect image -> p.I: one_to_one
    connect grow = p -> q.I: one_to_one via Grow

simulate Net:
    present images as image, label for 4 ms
    freeze grow.w, p.seen
    present images as image, label for 4 ms
    record grow.w, p.seen, p.spikes
"""
    text = text.replace("    on pre: w += 1", "    on pre:\n        deliver w\n        w += 1")
    recording = run(text, data={"images": (np.array([[3.0], [3.0]]), np.array([0, 1]))})
    assert recording.counts("p")[0] == 16
    assert recording["grow.w"][-1] == pytest.approx([8])
    assert recording["p.seen"][-1, 0] == 2


def test_the_tempotron_looks_back_to_the_peak(run: Run) -> None:
    """Guetig & Sompolinsky 2006: each weight moves by rate times its kernel at the time of the greatest potential."""
    text = """
neuron Source:
    param at: ms = 1 ms
    spike when t > at - 0.05 ms and t < at + 0.05 ms

neuron Cell:
    param tau_m = 20 ms
    param tau_s = 5 ms
    port state a = 0 mV
    port state b = 0 mV
    state v_max = 0 mV
    state t_max = 0 ms
    tau_m*da/dt = -a
    tau_s*db/dt = -b
    v = a - b
    spike when v > 1 V
    event peak when v > v_max
    on peak:
        v_max = v
        t_max = t

synapse Learn:
    weight w = 0 mV
    trace x on pre decay 20 ms
    trace y on pre decay 5 ms
    on pre:
        deliver w to post.a
        deliver w to post.b
    on trial_end: w += 0.1 mV*(x(post.t_max) - y(post.t_max))

network Net:
    input nothing[1]
    population s[3]: Source(at = 10 ms + 7 ms*index)
    population c[1]: Cell
    connect sc = s -> c: dense via Learn(w = 1 mV)

simulate Net:
    dt = 0.1 ms
    present none as nothing for 60 ms
    present none as nothing for 20 ms
    record sc.w, c.t_max, c.v
"""
    recording = run(text, data={"none": (np.zeros((1, 1)),)})
    times = np.arange(1, 601) * 0.1
    at = np.array([10.0, 17.0, 24.0])

    def kernel(
        s: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.where(s >= -1e-9, np.exp(-s / 20) - np.exp(-s / 5), 0)

    v = sum(kernel(times - spike) for spike in at)
    assert recording["c.v"][:600, 0] == pytest.approx(v, abs=1e-9)
    peak = times[np.argmax(v)]
    assert recording["c.t_max"][599, 0] == pytest.approx(peak)
    expected = 1 + 0.1 * kernel(peak - at)
    assert recording["sc.w"][600] == pytest.approx(expected, rel=1e-9)


def test_python_gives_the_reward_of_each_trial() -> None:
    text = f"""{COUNTER}
synapse Rewarded:
    broadcast input reward = 0
    weight w = 1
    on pre: deliver 0*w
    on trial_end: w += reward

network Net:
    input image[1]
    population p[1]: Model
    population q[1]: Model
    connect image -> p.I: one_to_one
    connect pq = p -> q.I: one_to_one via Rewarded

simulate Net:
    present images as image, label for 4 ms
    record pq.w, p.spikes
"""
    model = snnlang.load(text)
    simulation = model.simulation(data={"images": (np.array([[0.0], [1.0], [3.0]]), np.array([0, 1, 2]))})
    for trial in simulation.trials():
        simulation.reward = float(trial.counts("p")[0]) + 10 * trial.index
    # counts per trial 0, 1, 4 and 10 per index
    assert simulation.weights("pq") == pytest.approx([1 + 0 + 11 + 24])


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_precisions_agree_to_rounding(run: Run, precision: str) -> None:
    text = """
from stdlib.neurons import LIF

network Net:
    population p[3]: LIF(tau_m = 15 ms + 2 ms*index)

simulate Net:
    dt = 0.1 ms
    duration = 60 ms
    drive p.I = 0.35 nA
    record p.v, p.spikes
"""
    recording = run(text, precision=precision)
    reference = run(text)
    assert recording["p.v"].dtype == np.dtype(precision)
    assert list(recording.spikes("p")[1]) == list(reference.spikes("p")[1])
    assert recording["p.v"][:100] == pytest.approx(reference["p.v"][:100], rel=1e-5)


def test_a_connection_without_synapses_is_recorded_as_nothing(run: Run) -> None:
    """Chance may make none: a row of no weights for every step, not a refusal."""
    text = f"""{COUNTER}
network Net:
    population p[2]: Model
    connect pq = p -> p.I: random(p = 1e-9), w = uniform(0, 1)

simulate Net:
    duration = 5 ms
    record pq.w
"""
    assert run(text)["pq.w"].shape == (5, 0)
