"""The Python door on programs of the language: runs, options, sweeps, trials, third factors, reproducible draws, mistakes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnlang
from snnlang.diagnostics import SnnError

NEURONS = """
neuron Leaky:
    param tau_m = 20 ms
    input I = 0 mV
    port state v = uniform(-70 mV, -50 mV)
    tau_m * dv/dt = -(v + 70 mV) + I
    spike when v >= -50 mV
    on spike:
        v = -70 mV

neuron Source:
    param rate = 20 Hz
    spike with rate rate
"""
NET = (
    NEURONS
    + """
network Net(N = 40, J = 2 mV):
    population src[N]: Source(rate = 80 Hz)
    population E[N]: Leaky
    connect feed = src -> E.v: random(p = 0.5), w = J, delay = 1.5 ms

simulate Net as main:
    dt = 0.5 ms
    duration = 100 ms
    seed = 7
    record E.spikes, src.spikes, E.v[0:3] every 1 ms
"""
)


@pytest.fixture(scope="module")
def model() -> snnlang.Model:
    return snnlang.load(NET)


def test_a_text_a_path_and_a_path_object(tmp_path: Path, model: snnlang.Model) -> None:
    file = tmp_path / "net.snn"
    file.write_text(NET, encoding="utf-8")
    for source in (str(file), file):
        assert snnlang.load(source).hash == model.hash
    assert model.experiments == ("main",)
    assert snnlang.run(file).made.experiment == "main"


def test_the_same_seed_gives_the_same_spikes(model: snnlang.Model) -> None:
    first, second, other = model.run(), model.run(), model.run(seed=8)
    for name in ("E", "src"):
        assert np.array_equal(first.spikes(name)[0], second.spikes(name)[0])
        assert np.array_equal(first.spikes(name)[1], second.spikes(name)[1])
        assert not np.array_equal(first.spikes(name)[1], other.spikes(name)[1])
    assert np.array_equal(first["E.v"], second["E.v"])


def test_numpy_and_the_interpreter_agree(model: snnlang.Model) -> None:
    fast, slow = (model.run(target=target, set={"N": 10}) for target in ("numpy", "interpreter"))
    assert np.array_equal(fast.spikes("E")[0], slow.spikes("E")[0])
    assert np.allclose(fast["E.v"], slow["E.v"], rtol=1e-12)


def test_adding_a_population_changes_no_other_draw(model: snnlang.Model) -> None:
    more = NET.replace("    population src[N]", "    population new[17]: Source(rate = 500 Hz)\n    population src[N]")
    more = more.replace(
        "    connect feed",
        "    population extra[5]: Leaky\n    connect new -> extra.v: dense, w = uniform(0 mV, 1 mV)\n    connect feed",
    )
    before, after = model.run(), snnlang.load(more).run()
    for name in ("E", "src"):
        assert np.array_equal(before.spikes(name)[0], after.spikes(name)[0])
        assert np.array_equal(before.spikes(name)[1], after.spikes(name)[1])
    assert np.array_equal(before["E.v"], after["E.v"])


def test_adding_neurons_changes_no_draw_of_the_first_ones(model: snnlang.Model) -> None:
    small, large = model.run(set={"N": 40}), model.run(set={"N": 60})
    times, indices = large.spikes("src")
    inside = indices < 40
    assert np.array_equal(times[inside], small.spikes("src")[0])
    assert np.array_equal(indices[inside], small.spikes("src")[1])


def test_options_override_the_text(model: snnlang.Model) -> None:
    recording = model.run(
        dt="0.25 ms", duration="20 ms", set={"N": 4, "J": "0 mV"}, precision="float32", method="euler"
    )
    assert recording.made.dt == 0.25
    assert recording.made.duration == 20
    assert recording["E.v"].dtype == np.float32
    assert recording.made.populations == {"src": (4,), "E": (4,)}
    assert recording.counts("E").sum() == 0
    assert model.run(duration=10.0).made.steps == 20


def test_source_rates_are_poisson(model: snnlang.Model) -> None:
    counts = model.run(duration="2 s", set={"N": 200, "J": "0 mV"}).counts("src")
    chance = 1 - np.exp(-0.08 * 0.5)  # a hazard of 80 Hz over a step of 0.5 ms
    assert counts.mean() == pytest.approx(4000 * chance, abs=4 * np.sqrt(4000 * chance / 200))
    assert counts.var() == pytest.approx(4000 * chance, rel=0.3)


def test_a_sweep_gives_a_recording_per_point(tmp_path: Path) -> None:
    text = NET + "    sweep J in [0 mV, 3 mV]\n    sweep N in [10, 20]\n    plot raster(E), trace(E.v)\n"
    recording = snnlang.load(text).run()
    assert [point.point for point in recording.sweep] == [
        {"J": "0 mV", "N": 10},
        {"J": "0 mV", "N": 20},
        {"J": "3 mV", "N": 10},
        {"J": "3 mV", "N": 20},
    ]
    assert [point.counts("E").sum() > 0 for point in recording.sweep] == [False, False, True, True]
    assert np.array_equal(
        recording.sweep[0].spikes("src")[0], recording.sweep[2].spikes("src")[0]
    )  # one seed for all points
    recording.save(tmp_path / "sweep.npz")
    found = snnlang.Recording.load(tmp_path / "sweep.npz")
    assert [p.point for p in found.sweep] == [p.point for p in recording.sweep]
    assert np.array_equal(found.sweep[3]["E.v"], recording.sweep[3]["E.v"])
    found.plot(tmp_path / "sweep.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sweep.npz", "sweep.png"]
    assert "J = 3 mV, N = 20" in recording.summary()
    json.dumps(recording.summary_data(), allow_nan=False)


LEARNING = """
neuron Cell:
    input x = 0
    port state v = 0
    v[n] = x[n]
    spike when v >= 1

synapse Rewarded:
    weight w = 0
    broadcast input reward = 0
    trace seen on pre decay 1000
    on pre: deliver 0*w
    on trial_end: w += reward*seen

network Task(N = 4):
    input image[N]
    population pre[N]: Cell
    population post[1]: Cell
    connect image -> pre.x: one_to_one
    connect feed = pre -> post.v: dense via Rewarded

simulate Task as learn:
    present samples as image, label for 3, rest 2, epochs = 2
    record pre.spikes
"""


def test_rewards_from_python_reach_the_rule() -> None:
    samples = (np.array([[1.0, 0, 0, 1], [0, 1, 0, 0]]), np.array([1, 0]))
    simulation = snnlang.load(LEARNING).simulation(data={"samples": samples})
    seen = []
    for trial in simulation.trials():
        seen.append((trial.label, trial.epoch, trial.counts("pre").tolist(), trial.counts("post").tolist()))
        simulation.reward = 1.0 if trial.label == 1 else 0.0
    assert seen == [
        (1, 0, [3, 0, 0, 3], [0]),
        (0, 0, [0, 3, 0, 0], [0]),
        (1, 1, [3, 0, 0, 3], [0]),
        (0, 1, [0, 3, 0, 0], [0]),
    ]
    weights = simulation.weights("feed")
    assert weights.shape == (4, 1)
    assert weights[[1, 2], 0].tolist() == [0, 0]
    assert weights[0, 0] == weights[3, 0] > 5  # three spikes in each of two rewarded trials, hardly decayed
    recording = simulation.recording()
    assert recording.labels["label"].tolist() == [1, 0, 1, 0]
    assert recording.trial_counts("pre")[:, 0].tolist() == [3, 0, 3, 0]
    assert recording.made.time_unit == "steps"


def test_a_trial_by_hand_and_back() -> None:
    samples = (np.eye(4), np.arange(4))
    simulation = snnlang.load(LEARNING).simulation(data={"samples": samples})
    before = simulation.snapshot()
    trial = simulation.trial([1, 1, 0, 0], end=False)
    simulation.reward = -2.0
    simulation.end_trial()
    learnt = simulation.weights("feed")
    assert (learnt[:2] < -5).all()
    simulation.restore(before)
    assert (simulation.weights("feed") == 0).all()
    assert trial.input.tolist() == [1, 1, 0, 0]


def test_overflow_of_a_model_is_shown_in_its_text() -> None:
    text = """neuron Runaway:
    param tau = 1 ms
    state v = 1
    tau * dv/dt = v*exp(v)

network N:
    population cell[3]: Runaway

simulate N:
    dt = 0.1 ms
    duration = 1 s
    record cell.v
"""
    with pytest.raises(SnnError) as problem:
        snnlang.load(text).run()
    shown = str(problem.value)
    assert "error[E825]: `v` of cell[0]" in shown
    assert "    tau * dv/dt = v*exp(v)" in shown
    assert "^^^" in shown
    assert "smaller dt (now 0.1 ms)" in shown


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda m: m.run("nothing"), "E601"),
        (lambda m: m.run(target="quantum"), "E603"),
        (lambda m: m.run(precision="half"), "E603"),
        (lambda m: m.run(dt="3 mV"), "E821"),
        (lambda m: m.run(out="/nowhere/at/all.npz"), "E801"),
        (lambda m: m.run()["E.w"], "E820"),
        (lambda m: m.simulation().state("I.v"), "E820"),
        (lambda m: snnlang.load("no/such/file.snn"), "E001"),
    ],
)
def test_mistakes_are_diagnostics(model: snnlang.Model, act: Any, code: str) -> None:
    with pytest.raises(SnnError) as problem:
        act(model)
    found = {d.code for d in problem.value.diagnostics}
    assert found, code
    assert all("Traceback" not in str(d) for d in problem.value.diagnostics)
    if code not in ("E601", "E001"):
        assert code in found


def test_ctrl_c_on_the_command_line_keeps_the_recording(tmp_path: Path) -> None:
    (tmp_path / "net.snn").write_text(NET, encoding="utf-8")
    # a job in the background of a shell inherits that Ctrl-C is ignored: take the usual answer back
    start = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import snnlang.cli as c; c.main()"
    command = [
        sys.executable,
        "-c",
        start,
        "run",
        "net.snn",
        "--duration",
        "3000s",
        "--out",
        "x.npz",
        "--target",
        "numpy",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(6)
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "stopped at" in errors
    recording = snnlang.Recording.load(tmp_path / "x.npz")
    assert recording.stopped_at is not None
    assert recording.stopped_at > 100
    assert recording.times("E.v")[-1] == pytest.approx(recording.stopped_at, abs=1)


DECAY = """
neuron Decay:
    param tau = 10 ms
    input I = 0 mV
    state v = 8 mV
    persistent state seen = 0
    tau * dv/dt = -v + I
    spike when v >= 100 mV
    on trial_end: seen += 1

synapse Taught:
    weight w = 0
    per_post input target = 0
    on trial_end: w += target

network Net(N = 3):
    input image[N]
    population pre[N]: Decay
    population E[N]: Decay(tau = 20 ms)
    connect image -> E.I: one_to_one, gain = 4 mV
    connect feed = pre -> E.I: one_to_one via Taught, gain = 1 mV

simulate Net:
    dt = 1 ms
    duration = 10 ms
    record E.v
"""


def test_parameters_set_for_a_trial_reach_the_coefficients() -> None:
    simulation = snnlang.load(DECAY).simulation()
    for tau in (20.0, 5.0):
        trial = simulation.trial([0, 0, 0], set={"E.tau": f"{tau} ms"})
        assert trial["E.v"][-1] == pytest.approx([8 * np.exp(-10 / tau)] * 3)
    assert simulation.state("E.tau") == 20
    assert simulation.trial([0, 0, 0])["E.v"][-1, 0] == pytest.approx(8 * np.exp(-0.5))
    assert simulation.state("E.seen").tolist() == [3, 3, 3]
    start = simulation.trial([0, 0, 0], set={"E.v": "16 mV"})
    assert start["E.v"][-1, 0] == pytest.approx(16 * np.exp(-0.5))


def test_samples_and_rest_and_time_axes_reach_the_equations() -> None:
    simulation = snnlang.load(DECAY).simulation()
    shown = simulation.trial([0, 1, 2], duration="10 ms", rest="5 ms")["E.v"]
    rise = np.array([0, 4, 8]) + (8 - np.array([0, 4, 8])) * np.exp(-10 / 20)
    assert shown[9] == pytest.approx(rise)
    assert shown[-1] == pytest.approx(rise * np.exp(-5 / 20))
    frames = simulation.trial(np.array([[0, 0, 0], [1, 1, 2.0]]), duration="10 ms")["E.v"]
    middle = 8 * np.exp(-5 / 20)
    final = np.array([4, 4, 8])
    assert frames[4] == pytest.approx([middle] * 3)
    assert frames[-1] == pytest.approx(final + (middle - final) * np.exp(-5 / 20))


def test_inputs_per_post_neuron_are_set_by_the_projections_name() -> None:
    simulation = snnlang.load(DECAY).simulation()
    simulation.trial([0, 0, 0], end=False)
    simulation.set("feed.target", [1, 2, 3])
    simulation.end_trial()
    assert simulation.weights("feed").tolist() == [1, 2, 3]
    with pytest.raises(SnnError, match="E820"):
        simulation.set("feed.tarmget", 1)
    with pytest.raises(SnnError, match="E827"):
        simulation.set("feed.target", [1, 2])


FROZEN = LEARNING.replace("rest 2, epochs = 2", "rest 2").replace(
    "    record pre", "    freeze feed.w\n    present samples as image, label for 3\n    record pre"
)


def test_a_second_phase_with_frozen_weights() -> None:
    samples = (np.eye(4), np.arange(4))
    simulation = snnlang.load(FROZEN).simulation(data={"samples": samples})
    weights = {}
    for trial in simulation.trials():
        simulation.reward = 1.0
        weights[trial.phase] = simulation.weights("feed").copy()
    learnt = simulation.weights("feed")
    assert (learnt > 2).all()
    assert np.array_equal(weights[1], learnt)
    recording = simulation.recording()
    assert recording.trials is not None
    assert recording.trials.phase.tolist() == [0] * 4 + [1] * 4
    assert recording.trial_bounds[-1].tolist() == [29, 32]
