"""Driving a simulation: time, trials, inputs, names, snapshots, freezes. Expected numbers are worked out by hand."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snnlang.diagnostics import SnnError
from snnlang.model.network import Phase
from snnlang.runtime.simulation import Simulation

from . import plans


def make(**options: Any) -> Simulation:
    return Simulation(plans.experiment(), plans.counter(), **options)


def code_of(problem: pytest.ExceptionInfo[SnnError]) -> str:
    return problem.value.diagnostics[0].code


def test_a_run_records_times_values_and_spikes() -> None:
    recording = make().complete()
    assert recording.times("E.v")[:4].tolist() == [0.5, 1.0, 1.5, 2.0]
    assert recording["E.v"][:5, 0].tolist() == [0.5, 1.0, 1.5, 0.0, 0.5]
    times, indices = recording.spikes("E")
    assert times.tolist() == np.repeat([2.0, 4.0, 6.0, 8.0, 10.0], 3).tolist()
    assert indices.tolist() == [0, 1, 2] * 5
    assert recording.counts("E").tolist() == [5, 5, 5]
    assert recording.made.steps == 20
    assert recording.stopped_at is None


@pytest.mark.parametrize("pieces", [(20,), (1,) * 20, (7, 13), (3, 3, 14)])
def test_pieces_of_a_run_are_the_whole_run(pieces: tuple[int, ...]) -> None:
    whole = Simulation(plans.experiment(), plans.noise()).complete()
    simulation = Simulation(plans.experiment(), plans.noise())
    for steps in pieces:
        simulation.run(steps * 0.1)
    part = simulation.recording()
    assert np.array_equal(part["E.v"], whole["E.v"][:20])
    assert np.array_equal(part.spikes("E")[0], whole.spikes("E")[0][: len(part.spikes("E")[0])])


def test_texts_carry_units() -> None:
    simulation = make()
    simulation.run("2 ms")
    assert simulation.time == 2.0
    simulation.set_state("E.v", "-0.001 V")
    assert simulation.state("E.v").tolist() == [-1.0, -1.0, -1.0]
    simulation["E.v"] = [1, 2, 3]
    assert simulation["E.v"].tolist() == [1, 2, 3]
    simulation.set_state("E.v", 9.0, indices=[0, 2])
    assert simulation["E.v"].tolist() == [9, 2, 9]


def test_a_trial_shows_its_sample_then_rest() -> None:
    simulation = make()
    trial = simulation.trial([0, 1, 3], duration=4, rest=1, labels={"label": 7}, end=False)
    assert trial.label == 7
    assert trial.counts("E").tolist() == [2, 4, 8]
    assert trial.spikes("E")[0][0] == 0.5
    assert trial.first_spikes("E").tolist() == [2.0, 1.0, 0.5]
    assert trial["E.v"][-2:].tolist() == [[0.5, 0.5, 0.5], [1.0, 1.0, 1.0]]  # without input: dv/dt = 1
    assert simulation.state("feed.w").tolist() == [0, 0, 0]
    simulation.reward = 2.0
    simulation.end_trial()
    assert simulation.state("feed.w").tolist() == [2, 2, 2]
    with pytest.raises(SnnError) as problem:
        simulation.end_trial()
    assert code_of(problem) == "E828"


def test_states_start_afresh_in_every_trial_and_weights_stay() -> None:
    simulation = make()
    first = simulation.trial([0, 1, 3], duration=3.5)
    simulation.reward = 1.0
    second = simulation.trial([0, 1, 3], duration=3.5)
    assert first.counts("E").tolist() == second.counts("E").tolist()
    assert np.array_equal(first["E.v"], second["E.v"])
    assert simulation.state("feed.w").tolist() == [1, 1, 1]
    recording = simulation.recording()
    assert recording.trial_bounds.tolist() == [[0, 3.5], [3.5, 7.0]]
    assert recording.trial_counts("E").tolist() == [first.counts("E").tolist()] * 2
    assert np.array_equal(recording.spikes("E", trial=1)[0], first.spikes("E")[0])


def test_a_leading_axis_of_a_sample_is_time() -> None:
    simulation = make()
    frames = np.array([[0.0, 0, 0], [1, 1, 1], [0, 0, 0], [3, 3, 3]])
    trial = simulation.trial(frames, duration=4)
    assert trial["E.v"][:, 0].tolist() == [0.5, 1.0, 0.0, 1.0, 1.5, 0.0, 0.0, 0.0]


def test_set_holds_for_one_trial() -> None:
    simulation = make()
    simulation.trial([0, 0, 0], duration=1, set={"E.tau": "3 ms"}, end=False)
    assert simulation.state("E.tau") == 3.0
    simulation.end_trial()
    assert simulation.state("E.tau") == 10.0


def test_snapshot_and_restore_repeat_exactly() -> None:
    simulation = Simulation(plans.experiment(), plans.noise())
    simulation.run(3)
    mark = simulation.snapshot()
    simulation.run(2)
    first = simulation.recording()["E.v"].copy()
    simulation.restore(mark)
    assert simulation.time == pytest.approx(3)
    assert len(simulation.recording()["E.v"]) == 30
    simulation.run(2)
    assert np.array_equal(simulation.recording()["E.v"], first)


def phase(**more: Any) -> Phase:
    fields: dict[str, Any] = {
        "loader": "given",
        "options": {"name": "x"},
        "columns": ("image", "label"),
        "duration": 2.0,
        "rest": 0.5,
        "epochs": 1,
        "freeze": (),
    }
    return Phase(**{**fields, **more})


@pytest.fixture
def presented(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_phase(phase: Phase, experiment: Any, given: Any) -> Any:
        images = np.array([[0.0, 0, 0], [1, 1, 1]])
        return SimpleNamespace(inputs={"image": images}, labels={"label": np.array([5, 6])}, trials=2)

    room = ModuleType("snnlang.runtime.data")
    room.load_phase = load_phase  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "snnlang.runtime.data", room)


@pytest.mark.usefixtures("presented")
def test_phases_epochs_labels_and_freeze() -> None:
    experiment = plans.experiment(0.0, phases=(phase(epochs=2), phase(freeze=(("feed", "w"),))))
    simulation = Simulation(experiment, plans.counter(freeze=True))
    seen = []
    for trial in simulation.trials():
        simulation.reward = 1.0
        seen.append(
            (
                trial.index,
                trial.phase,
                trial.epoch,
                trial.sample,
                int(trial.label),
                float(simulation.state("feed.w")[0]),
            )
        )
    assert seen == [
        (0, 0, 0, 0, 5, 0),
        (1, 0, 0, 1, 6, 1),
        (2, 0, 1, 0, 5, 2),
        (3, 0, 1, 1, 6, 3),
        (4, 1, 0, 0, 5, 4),
        (5, 1, 0, 1, 6, 4),
    ]
    assert simulation.state("feed.w").tolist() == [4, 4, 4]  # the second phase learns nothing
    recording = simulation.recording()
    assert recording.labels["label"].tolist() == [5, 6] * 3
    assert recording.trials is not None
    assert recording.trials.rest.tolist() == [2, 4.5, 7, 9.5, 12, 14.5]
    complete = Simulation(experiment, plans.counter(freeze=True), watch_all=False).complete()
    assert np.array_equal(complete.spikes("E")[0], recording.spikes("E")[0])


def test_trials_without_data_say_what_is_missing() -> None:
    with pytest.raises(SnnError) as problem:
        next(iter(make().trials()))
    assert code_of(problem) == "E828"


@pytest.mark.parametrize(
    ("act", "code", "words"),
    [
        (lambda s: s.state("E.w"), "E820", "`E` has no variable `w`"),
        (lambda s: s.state("F.v"), "E820", "did you mean `E.v`?"),
        (lambda s: setattr(s, "rewrad", 1.0), "E820", "did you mean `reward`?"),
        (lambda s: s.weights("fed"), "E820", "there is no projection `fed`"),
        (lambda s: s.run("10 mV"), "E821", "give it in ms"),
        (lambda s: s.run(-1), "E821", "at least 0 ms"),
        (lambda s: s.run(float("nan")), "E821", "cannot be simulated"),
        (lambda s: s.run([1]), "E821", "is not a time"),
        (lambda s: s.set_state("E.v", [1, 2]), "E827", "takes 3 values"),
        (lambda s: s.set_state("E.v", 1, indices=[7]), "E827", "numbered from 0"),
        (lambda s: s.set("image", np.array(["a"])), "E827", "no numbers"),
        (lambda s: s.trial({"picture": [1, 2, 3]}, duration=1), "E820", "no input `picture`"),
    ],
)
def test_mistakes_are_diagnostics(act: Any, code: str, words: str) -> None:
    with pytest.raises(SnnError) as problem:
        act(make())
    assert code_of(problem) == code
    assert words in str(problem.value)


def test_dense_weights_have_the_shape_of_the_projection() -> None:
    simulation = Simulation(plans.experiment(), plans.synaptic())
    assert simulation.weights("feed").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert [side.tolist() for side in simulation.synapses("feed")] == [[0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2]]
    simulation.set_weights("feed", np.ones((2, 3)))
    assert simulation.weights("feed").sum() == 6
    recording = simulation.run("2 ms").recording()
    assert recording.grid("feed.w").shape == (2, 2, 3)


def interrupt_after(seconds: float) -> threading.Timer:
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    return timer


def test_ctrl_c_keeps_what_was_recorded() -> None:
    simulation = Simulation(plans.experiment(1e7), plans.noise())
    timer = interrupt_after(0.7)
    recording = simulation.complete()
    timer.join()
    assert recording.stopped_at is not None
    assert recording.stopped_at == recording.made.duration > 0
    assert len(recording["E.v"]) == recording.made.steps
    assert "stopped at" in recording.summary()


def test_ctrl_c_in_a_python_loop_is_a_keyboard_interrupt_between_steps() -> None:
    simulation = Simulation(plans.experiment(), plans.noise())
    timer = interrupt_after(0.5)
    with pytest.raises(KeyboardInterrupt):
        simulation.run(1e9)
    timer.join()
    assert len(simulation.recording()["E.v"]) == simulation.step > 0
