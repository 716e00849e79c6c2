"""Recordings: their numbers, their files, streaming to disk, a full disk, summaries."""

from __future__ import annotations

import errno
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnlang.codegen.plan import ValueRecorder
from snnlang.diagnostics import SnnError
from snnlang.runtime import stream
from snnlang.runtime.output import Output
from snnlang.runtime.recording import Events, Made, Recording, Trials
from snnlang.runtime.simulation import Simulation
from snnlang.runtime.stream import Sink, npy_header
from snnlang.runtime.summary import irregularity, number, summarise

from . import plans


def run(out: Path | None = None, **options: Any) -> Recording:
    return Simulation(plans.experiment(10.0), plans.noise(), out=out, watch_all=False, **options).complete()


def same(first: Recording, second: Recording) -> None:
    assert first.names == second.names
    for label in first.values_by_label:
        assert np.array_equal(first[label], second[label])
        assert np.array_equal(first.times(label), second.times(label))
        assert first.series(label) == second.series(label)
    for label in first.events_by_label:
        assert all(np.array_equal(a, b) for a, b in zip(first.events(label), second.events(label)))
    assert first.made.populations == second.made.populations


@pytest.mark.parametrize("name", ["x.npz", "x"])
def test_saved_and_loaded_is_the_same(tmp_path: Path, name: str) -> None:
    recording = run()
    recording.save(tmp_path / name)
    found = Recording.load(tmp_path / name)
    same(recording, found)
    assert found.made == recording.made
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_file_can_be_read_with_numpy_alone(tmp_path: Path) -> None:
    recording = run()
    recording.save(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz", allow_pickle=False) as found:
        assert np.array_equal(found["E.v"], recording["E.v"])
        assert np.array_equal(found["E.spikes.times"], recording.spikes("E")[0])
        header = json.loads(str(found["recording"]))
    assert header["made"]["dt"] == 0.1
    assert header["values"][0]["unit"] == "mV"


def test_the_same_recording_gives_the_same_bytes(tmp_path: Path) -> None:
    recording = run()
    recording.save(tmp_path / "a.npz")
    recording.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_directory_is_written_while_running_and_holds_the_same(tmp_path: Path) -> None:
    memory = run()
    streamed = run(tmp_path / "run")
    same(memory, streamed)
    assert isinstance(streamed["E.v"], np.memmap)
    same(memory, Recording.load(tmp_path / "run"))
    assert np.array_equal(np.load(tmp_path / "run" / "E.v.npy"), memory["E.v"])
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    streamed.save(tmp_path / "run")  # is there already


def test_an_older_recording_is_replaced_and_other_files_are_not(tmp_path: Path) -> None:
    run(tmp_path / "run")
    run(tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(SnnError, match="E823"):
        run(tmp_path / "mine")
    with pytest.raises(SnnError, match="E801"):
        run(tmp_path / "nowhere" / "run")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "run"]


def test_beyond_the_bound_rows_go_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = run()
    monkeypatch.setattr("snnlang.runtime.output.memory_bound", lambda: 5000)
    spilled = run()
    same(memory, spilled)
    assert isinstance(spilled["E.v"], np.memmap)
    place = Path(str(spilled["E.v"].filename)).parent
    assert place.exists()
    del spilled
    assert not place.exists()
    run(tmp_path / "x.npz")
    same(memory, Recording.load(tmp_path / "x.npz"))
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]


def test_values_that_no_disk_holds_are_refused_before_the_run(tmp_path: Path) -> None:
    simulation = Simulation(plans.experiment(1e15), plans.noise(), out=tmp_path / "run")
    with pytest.raises(SnnError, match="E829"):
        simulation.complete()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_what_was_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run()
    simulation = Simulation(plans.experiment(10.0), plans.noise(), out=tmp_path / "run", watch_all=False)
    simulation.run("3 ms")
    append = Sink.append

    def full(self: Sink, name: str, rows: Any) -> None:
        if name == "E.v.times":
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, name, rows)

    monkeypatch.setattr(Sink, "append", full)
    with pytest.raises(SnnError) as problem:
        simulation.run("3 ms")
    text = str(problem.value)
    assert "E824" in text
    assert "the disk is full" in text
    assert "run.partial" in text
    assert [p.name for p in tmp_path.iterdir()] == ["run.partial"]
    kept = Recording.load(tmp_path / "run.partial")
    assert np.array_equal(kept["E.v"], whole["E.v"][:30])
    assert len(kept.times("E.v")) == 30


def test_files_are_valid_after_every_flush(tmp_path: Path) -> None:
    sink = Sink(bound=1, directory=tmp_path)
    sink.declare("a", np.float32, (3,))
    for number_of in range(1, 4):
        sink.append("a", np.full((2, 3), number_of))
        assert np.load(tmp_path / "a.npy").shape == (2 * number_of, 3)
    assert np.load(tmp_path / "a.npy")[:, 0].tolist() == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("shape", [(0,), (5,), (10**12, 10**6), (1, 2, 3)])
def test_the_header_is_numpys(shape: tuple[int, ...]) -> None:
    header = io.BytesIO(npy_header(np.dtype(np.float64), shape))
    assert np.lib.format.read_magic(header) == (1, 0)
    assert np.lib.format.read_array_header_1_0(header) == (shape, False, np.dtype(np.float64))
    assert header.tell() == stream.HEADER_BYTES


@pytest.mark.parametrize("content", [b"", b"PK", b"not a recording at all", None])
def test_other_files_are_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(SnnError, match="E822"):
        Recording.load(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", a=np.zeros(3))
    with pytest.raises(SnnError, match="E822"):
        Recording.load(tmp_path / "y.npz")
    with pytest.raises(SnnError, match="E822"):
        Recording.load(tmp_path)


def test_names_that_were_not_recorded() -> None:
    recording = run()
    with pytest.raises(SnnError, match=r"did you mean `E\.v`\?"):
        recording["E.w"]
    with pytest.raises(SnnError, match="did you mean `E`"):
        recording.spikes("e")
    with pytest.raises(SnnError, match="no trials"):
        _ = recording.trial_bounds


def test_one_neuron_every_tenth_step(tmp_path: Path) -> None:
    plan = plans.noise()
    plan = replace(plan, recorders=(ValueRecorder("E.v", "E_v", np.array([4]), 10, "mV", "E", (50,)),))
    found = Simulation(plans.experiment(10.0), plan, watch_all=False).complete()
    assert found["E.v"].shape == (10, 1)
    assert found.times("E.v").tolist() == pytest.approx(range(1, 11))
    assert np.array_equal(found["E.v"][:, 0], run()["E.v"][9::10, 4])
    with pytest.raises(SnnError, match="in part"):
        found.grid("E.v")


def test_the_initial_state_on_request() -> None:
    found = Simulation(plans.experiment(2.0, record_initial=True), plans.counter()).complete()
    assert found.times("E.v").tolist() == [0, 0.5, 1, 1.5, 2]
    assert found["E.v"][0].tolist() == [0, 0, 0]


# --- summary ----------------------------------------------------------------------------------------------------------


def events(times: list[float], indices: list[int], size: int = 3) -> Events:
    return Events("E.spikes", "E", "spike", (size,), np.array(times, float), np.array(indices, np.int64))


def test_irregularity_of_known_trains() -> None:
    assert irregularity(events([1, 2, 3, 4], [0, 0, 0, 0])) == 0
    assert math.isnan(irregularity(events([1, 2], [0, 0])))
    # neuron 0: intervals 1, 3: mean 2, sd sqrt(2); neuron 1: 2, 2: 0
    assert irregularity(events([1, 1, 2, 3, 5, 5], [0, 1, 0, 1, 0, 1])) == pytest.approx(math.sqrt(2) / 2 / 2)


def test_a_poisson_train_has_irregularity_one() -> None:
    gaps = np.random.default_rng(0).exponential(10, size=40_000)
    assert irregularity(events(np.cumsum(gaps).tolist(), [0] * len(gaps))) == pytest.approx(1, abs=0.02)


def test_intervals_across_trials_are_left_out() -> None:
    found = events([1, 2, 3, 101, 102, 103], [0] * 6)
    assert irregularity(found) > 1
    assert irregularity(found, np.array([0.0, 100.0])) == 0


def test_rates_counts_and_speed() -> None:
    made = Made("x", "X", 0.1, 20_000, 2000.0, 1, "double", "numpy", seconds=0.5)
    summary = summarise(Recording(made, {"E.spikes": events([1, 2, 3, 4, 5, 6], [0, 0, 0, 0, 1, 1])}))
    assert summary.events[0].rate == pytest.approx(1.0)  # six spikes of three neurons in two seconds
    assert summary.events[0].active == 2
    assert summary.seconds_per_second == 0.25


def test_json_has_no_nan_and_the_table_is_narrow() -> None:
    recording = run()
    text = json.dumps(recording.summary_data(), allow_nan=False)
    assert json.loads(text)["events"][0]["label"] == "E.spikes"
    assert all(len(line) <= 100 for line in recording.summary().split("\n"))
    assert "NaN" not in json.dumps(Recording(recording.made, {"E.spikes": events([], [])}).summary_data())


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1234567.0, "1.23e+06"), (12.345, "12.3"), (1234.5, "1,234"), (0.01234, "0.0123"), (math.nan, "-")],
)
def test_numbers_for_people(value: float, text: str) -> None:
    assert number(value) == text


def test_trials_that_are_not_next_to_each_other() -> None:
    made = Made("x", "X", 1.0, 100, 100.0, 1, "double", "numpy")
    zeros = np.zeros(2, np.int64)
    trials = Trials(np.array([0.0, 50]), np.array([10.0, 60]), np.array([10.0, 60]), zeros, zeros, zeros)
    recording = Recording(made, {"E.spikes": events([1, 10, 11, 30, 51, 60, 61], [0] * 7)}, trials=trials)
    assert recording.trial_counts("E")[:, 0].tolist() == [2, 2]
    assert recording.spikes("E", trial=1)[0].tolist() == [1, 10]


def test_output_finish_is_repeatable(tmp_path: Path) -> None:
    output = Output(tmp_path / "run")
    output.discard()
    assert list(tmp_path.iterdir()) == []
