"""Exported CUDA stands alone: both hosts give the interpreter's events and values, and nvcc takes everything.

``host.py`` runs on a package of CuPy's names, ``host.cu`` on a header of the CUDA runtime's names; behind both is the shim. A real device
has not run them yet.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnlang
from snnlang.codegen import plan as p
from snnlang.codegen.standalone_c import watched
from snnlang.codegen.target_cuda import emit, header
from snnlang.compile import compile_experiment, load_program
from snnlang.diagnostics import SnnError, Source
from snnlang.runtime import cuda_folder, cuda_memory, cuda_shim, standalone_cuda
from snnlang.runtime.cuda_folder import POINTERS
from snnlang.runtime.cuda_paper import Paper
from snnlang.runtime.device_interpreter import InterpreterDevice
from snnlang.runtime.load import overrides
from snnlang.runtime.simulation import Simulation
from snnlang.runtime.standalone_cuda import export, standalone
from tests.codegen.plans import PLANS, SINGLE
from tests.codegen.test_standalone_c import DELAYED, SHOWN, assert_same, expected, ran
from tests.cuda.test_device import lowered, scheduled, settling, synapse_sums
from tests.targets import needs_shim

ROOT = Path(snnlang.__file__).parents[1]
EXAMPLES = ROOT / "examples"
HERE = Path(__file__).parent
nvcc = shutil.which("nvcc")
needs_nvcc = pytest.mark.skipif(nvcc is None, reason="no nvcc")

Files = dict[str, str | bytes]
Found = tuple[dict[str, list[tuple[int, int]]], dict[str, list[float]]]


def options(duration: str | None = None, precision: str | None = "float64", **values: Any) -> Any:
    return overrides(
        dt=None,
        duration=duration,
        seed=None,
        precision=precision,
        method=None,
        target="cuda",
        values=values or None,
    )


def point(text: str, experiment: str, duration: str, precision: str, **values: Any) -> tuple[Files, p.Plan, int]:
    program = load_program(Source("test.snn", text))
    chosen = options(duration, precision, **values)
    made, plan = compile_experiment(program, experiment, chosen)
    return export(program, chosen, experiment), plan, round(made.duration / made.dt)


def written(files: Files, folder: Path) -> str:
    """Write an export; its name."""
    for file, content in files.items():
        if isinstance(content, bytes):
            (folder / file).write_bytes(content)
        else:
            (folder / file).write_text(content, encoding="utf-8")
    (name,) = (file.removesuffix(".cu") for file in files if file.endswith(".cu") and file != "host.cu")
    return name


def program(folder: Path) -> Path:
    """``host.cu`` built for the processor."""
    shim = ROOT / "codegen" / "cuda" / "shim.h"
    flags = ["-x", "c++", "-std=gnu++17", "-O0", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wno-unused"]
    command = [str(cuda_shim.compiler()), *flags, "-include", str(shim), "-I", str(HERE / "stub")]
    done = subprocess.run(
        [*command, "-o", "program", "host.cu", "-ldl", "-lm"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[:4000]
    assert "host.cu:" not in done.stderr, done.stderr[:4000]
    return folder / "program"


def from_python(folder: Path, *arguments: str) -> tuple[Found, str]:
    """What ``host.py`` says, with a package in place of CuPy."""
    place = os.pathsep.join([str(HERE / "fake"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "host.py", "--events", "events.csv", "--values", "values.csv", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "PYTHONPATH": place},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return read(folder), done.stdout


def read(folder: Path) -> Found:
    events: dict[str, list[tuple[int, int]]] = defaultdict(list)
    values: dict[str, list[float]] = defaultdict(list)
    with open(folder / "events.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            events[row["recorder"]].append((int(row["step"]), int(row["index"])))
    with open(folder / "values.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            values[row["recorder"]].append(float(row["value"]))
    return events, values


STATES = """
from stdlib.neurons import CubaLIF

network Kicked(N = 40):
    population A[N]: CubaLIF(v = uniform(-60 mV, -50 mV), v_rest = -45 mV)
    population B[N]: CubaLIF(v = uniform(-60 mV, -50 mV))
    connect A -> B.g_e: random(0.3), w = uniform(2 mV, 6 mV), delay = 1 ms

simulate Kicked as kicked:
    dt = 0.1 ms
    duration = 30 ms
    record A.spikes, B.spikes
    record A.v every 0.5 ms
    record B.g_e[0:3] every 1 ms
"""

CASES: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "cuba": ((EXAMPLES / "balanced.snn").read_text(encoding="utf-8"), "cuba", "20 ms", {"N": 200}),
    "late": (DELAYED, "late", "60 ms", {}),
    "kicked": (STATES, "kicked", "30 ms", {}),
}


@needs_shim
@pytest.mark.parametrize("case", CASES)
def test_examples(case: str, tmp_path: Path) -> None:
    """Both hosts and both ways of running give the interpreter's events and values."""
    text, experiment, duration, values = CASES[case]
    files, plan, steps = point(text, experiment, duration, "float64", **values)
    written(files, tmp_path)
    wanted = expected(plan, steps)
    assert wanted[0], "a network that is silent proves nothing"
    assert_same(from_python(tmp_path, "--way", "resident")[0], wanted, 1e-9)
    found, said = from_python(tmp_path, "--way", "graph")
    assert_same(found, wanted, 1e-9)
    made = program(tmp_path)
    for way in ("resident", "graph"):
        assert_same(ran(made, "--way", way), wanted, 1e-9)
    for label, events in wanted[0].items():
        assert f"{label}: {len(events)} events, " in said


@needs_shim
def test_single_precision(tmp_path: Path) -> None:
    """Without --precision it is float32: every recorder and, as rounding allows, the events."""
    text, experiment, _, values = CASES["cuba"]
    files, plan, _ = point(text, experiment, "20 ms", None, **values)  # type: ignore[arg-type]
    assert plan.precision == "single"
    written(files, tmp_path)
    wanted = expected(plan, 100)
    assert_same(from_python(tmp_path, "--steps", "100")[0], wanted, 1e-4)
    assert "typedef float real;" in str(files["cuba.cu"])
    assert "--fmad=true" in str(files["Makefile"])


@needs_shim
@pytest.mark.parametrize(
    "made",
    [PLANS["cuba_delayed"], PLANS["plastic_sparse"], SINGLE["noisy"], settling(), scheduled(), synapse_sums()],
    ids=lambda made: made.name,
)
def test_plans(made: p.Plan, tmp_path: Path) -> None:
    """Queues, columns, noise, loops that settle, spike times, sums over synapses."""
    made = lowered(made)
    written(standalone(made, 40), tmp_path)
    wanted = expected(made, 40)
    tolerance = 1e-4 if made.precision == "single" else 1e-9
    assert_same(from_python(tmp_path)[0], wanted, tolerance)
    assert_same(ran(program(tmp_path)), wanted, tolerance)


@needs_shim
def test_records_are_emptied_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records with room for a few steps stop the device, and nothing is lost."""
    for module in (cuda_memory, cuda_folder):
        monkeypatch.setattr(module, "RECORD_ROWS", 3)
    for name in ("FEW_EVENTS", "MANY_EVENTS"):
        monkeypatch.setattr(cuda_memory, name, 1)
    text, experiment, duration, values = CASES["kicked"]
    files, plan, steps = point(text, experiment, duration, "float64", **values)
    written(files, tmp_path)
    given = json.loads(files["manifest.json"])
    assert {row["kept"] for row in given["values"]} == {3}
    wanted = expected(plan, steps)
    made = program(tmp_path)
    for way in ("resident", "graph"):
        assert_same(from_python(tmp_path, "--way", way)[0], wanted, 1e-9)
        assert_same(ran(made, "--way", way), wanted, 1e-9)


@needs_shim
def test_parameters_may_be_set(tmp_path: Path) -> None:
    """--set gives the run of the model that says so."""
    files, _, _ = point(DELAYED, "late", "60 ms", "float64")
    _, other, steps = point(DELAYED.replace("v_rest = -60 mV", "v_rest = -52 mV"), "late", "60 ms", "float64")
    written(files, tmp_path)
    wanted = expected(other, steps)
    assert_same(from_python(tmp_path, "--set", "post.v_rest=-52")[0], wanted, 1e-9)
    made = program(tmp_path)
    assert_same(ran(made, "--set", "post.v_rest=-52"), wanted, 1e-9)
    done = subprocess.run([str(made), "--set", "nothing=1"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "nothing that may be set is called 'nothing'" in done.stderr
    assert "post.v_rest [mV]" in done.stderr


@needs_shim
def test_data_is_found_elsewhere(tmp_path: Path) -> None:
    """Without its files the program says which one it lacks; --data names their directory."""
    text, experiment, duration, values = CASES["cuba"]
    files, plan, steps = point(text, experiment, duration, "float64", **values)
    written(files, tmp_path)
    made = program(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    made = made.rename(elsewhere / "program")
    done = subprocess.run([str(made)], cwd=elsewhere, capture_output=True, text=True)
    assert done.returncode == 1
    assert ".bin: cannot be read; --data names the directory of the files" in done.stderr
    assert_same(ran(made, "--data", str(tmp_path)), expected(plan, steps), 1e-9)


@needs_shim
def test_initial_values_are_recorded(tmp_path: Path) -> None:
    """record_initial gives a row of the values before the first step, of all elements and of chosen ones."""
    text = STATES.replace("    duration = 30 ms", "    duration = 2 ms\n    record_initial = true")
    text = text.replace("B.g_e[0:3]", "B.v[5:8]")
    files, plan, steps = point(text, "kicked", "2 ms", "float64")
    written(files, tmp_path)
    device = InterpreterDevice(plan)
    device.setup()
    device.coefficients()
    device.trial_start()
    recorders = {r.label: r for r in plan.recorders if isinstance(r, p.ValueRecorder)}
    for found in (from_python(tmp_path)[0], ran(program(tmp_path))):
        later = expected(plan, steps)[1]
        for label, recorder in recorders.items():
            first = device.read(recorder.array).reshape(-1)
            first = first if recorder.indices is None else first[recorder.indices]
            np.testing.assert_allclose(found[1][label], [*first, *later[label]], rtol=1e-9)
    (line,) = {line.split(",")[2] for line in (tmp_path / "values.csv").read_text().splitlines() if ",-1," in line}
    assert float(line) == 0.0


# --- samples ----------------------------------------------------------------------------------------------------------


def presented(folder: Path, precision: str = "float64") -> tuple[Files, p.Plan, Any]:
    """An experiment of two phases, with its files."""
    random = np.random.default_rng(5)
    images = random.integers(0, 17, (3, 6)) / 16  # few values: bytes
    np.savez(folder / "first.npz", image=images, level=random.normal(1, 0.2, (3, 6)), label=np.arange(3) * 2)
    slices: dict[str, Any] = {"image": random.uniform(0, 1, (12, 4, 6)), "level": random.uniform(0.5, 1, (12, 2, 6))}
    np.savez(folder / "second.npz", **slices, kind=np.array(["a,b", 'c"'] * 6))
    file, text = folder / "shown.snn", SHOWN.replace("RECORD", "true")
    file.write_text(text, encoding="utf-8")
    made = load_program(Source(str(file), text))
    chosen, plan = compile_experiment(made, "shown", options(None, precision))
    return export(made, options(None, precision), "shown"), plan, chosen


def hosts(folder: Path, made: Path) -> list[Callable[..., Found]]:
    """Both programs of a folder, as what runs one with arguments."""

    def python(*arguments: str) -> Found:
        return from_python(folder, *arguments)[0]

    return [partial(ran, made), python]


@needs_shim
def test_presented_samples(tmp_path: Path) -> None:
    """Phases, epochs, rests, slices over time, several inputs, what is frozen, both ends of a trial: all as in a run."""
    files, plan, chosen = presented(tmp_path)
    written(files, tmp_path)
    wanted = Simulation(chosen, watched(plan), target="interpreter").complete()
    made, trials = program(tmp_path), tmp_path / "trials.csv"
    lines = set()
    for way in ("resident", "graph"):
        for host in hosts(tmp_path, made):
            trials.unlink(missing_ok=True)
            events, values = host("--way", way, "--trials", str(trials))
            lines.add(trials.read_text(encoding="utf-8"))
            for population in ("eye", "cell"):
                spikes = wanted.event_series(f"{population}.spikes")
                assert len(spikes.times) > 50
                found = [((step + plan.time_offset) * plan.dt, index) for step, index in events[f"{population}.spikes"]]
                assert found == list(zip(spikes.times.tolist(), spikes.indices.tolist(), strict=True))
            for label in ("cell.v", "feed.w", "cell.begun", "cell.ended"):
                rows = wanted.series(label).values.ravel()
                np.testing.assert_allclose(values[label], rows, rtol=1e-9, atol=1e-9, err_msg=label)
            assert max(values["cell.begun"]) == 18
            assert max(values["cell.ended"]) == 17
    (text,) = lines  # of both programs, both ways
    shown = list(csv.DictReader(text.splitlines()))
    assert len(shown) == 2 * 3 + 12
    assert [row["label"] for row in shown[:7]] == ["0", "2", "4", "0", "2", "4", ""]
    assert [row["kind"] for row in shown[5:8]] == ["", "a_b", "c_"]
    table = wanted.trials
    assert table is not None
    for name, column in (("start_ms", table.start), ("end_ms", table.rest), ("rest_end_ms", table.stop)):
        assert [float(row[name]) for row in shown] == pytest.approx(column.tolist())
    for name in ("phase", "epoch", "sample"):
        assert [int(row[name]) for row in shown] == getattr(table, name).tolist()


@needs_shim
def test_trials_end_where_the_steps_do(tmp_path: Path) -> None:
    """--steps shows the trials that begin before."""
    files, _, _ = presented(tmp_path, "float32")
    written(files, tmp_path)
    given = json.loads(files["manifest.json"])["samples"]
    assert (given["trials"], given["steps"]) == (18, 2 * 3 * 60 + 12 * 62)
    assert "codes" in given["phases"][0]["columns"][0]
    assert "codes" not in given["phases"][1]["columns"][0]
    trials = tmp_path / "trials.csv"
    made = program(tmp_path)
    for host in hosts(tmp_path, made):
        host("--steps", "61", "--trials", str(trials))
        assert len(trials.read_text(encoding="utf-8").splitlines()) == 1 + 2
    (tmp_path / given["phases"][0]["columns"][0]["codes"]).write_bytes(b"12")
    done = subprocess.run([str(made)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "has not as many values as the samples" in done.stderr


# --- what is written --------------------------------------------------------------------------------------------------


def test_the_text_is_that_of_the_target() -> None:
    files = standalone(PLANS["cuba"], 10)
    assert files["cuba.cu"] == emit(watched(PLANS["cuba"])).text
    assert standalone(PLANS["cuba"], 10) == files
    given = json.loads(files["manifest.json"])
    assert [row["synapses"] for row in given["connectivity"]]
    assert {row["key"] for row in given["streams"]} == {f"{s.key:#018x}" for s in PLANS["cuba"].streams.values()}
    for row in given["buffers"]:
        if "file" in row:
            assert 0 < len(files[row["file"]]) <= row["bytes"]
    for name in ("host.py", "host.cu"):
        assert "snnlang" not in str(files[name])
        assert not re.search(r"@[A-Z]+@", str(files[name]))


def test_no_file_takes_the_place_of_another() -> None:
    files = standalone(replace(PLANS["cuba"], name="host"), 10)
    assert {"host.cu", "host_model.cu", "host_model.h"} <= files.keys()


def test_pointers_are_those_of_the_header() -> None:
    text = header("cuda", "model.cuh")
    for struct, names in POINTERS.items():
        found = re.search(rf"typedef struct {struct} {{(.*?)}}", text, re.DOTALL)
        assert found, struct
        body = re.sub(r"/\*.*?\*/", "", found[1], flags=re.DOTALL)
        parts = [part.strip() for line in body.split(";") if "*" in line for part in line.split(",")]
        assert tuple(part.split()[-1].strip("*") for part in parts if part) == names


def test_paper_remembers() -> None:
    paper = Paper()
    first, second = paper.allocate(10), paper.allocate(16)
    assert second >= first + 10
    paper.upload(second, np.array([1, 2], np.int64))
    paper.upload(second + 8, np.array([5], np.int64))
    content = paper.sheets[second].content
    assert content is not None
    assert content.view(np.int64).tolist() == [1, 5]
    paper.clear(second, 16)
    assert paper.sheets[second].content is None
    paper.release(first)
    assert list(paper.sheets) == [second]


# --- what is refused --------------------------------------------------------------------------------------------------


def refused(text: str, experiment: str | None = None, name: str = "test.snn") -> Any:
    made = load_program(Source(name, text))
    with pytest.raises(SnnError) as raised:
        export(made, options(), experiment)
    (found,) = raised.value.diagnostics
    assert found.span is not None
    return found


def test_samples_that_cannot_be_written_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (EXAMPLES / "digits.snn").read_text(encoding="utf-8")
    given = text.replace('digits(split = "train")', "mine").replace('digits(split = "test")', "mine")
    found = refused(given)
    assert found.code == "E738"
    assert "so a CUDA program cannot hold them" in found.message
    monkeypatch.setattr(standalone_cuda, "MOST_VALUES", 100_000)
    found = refused(text)
    assert found.code == "E758"
    assert found.message.endswith("a folder of CUDA holds 100,000")


def test_more_steps_than_a_device_counts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standalone_cuda, "LAST_STEP", 299)
    with pytest.raises(SnnError, match="E737"):
        point(STATES, "kicked", "30 ms", "float64")


def test_sweeps_are_refused_and_points_are_not() -> None:
    text = STATES + "    sweep N in [20, 40]\n"
    found = refused(text, "kicked")
    assert found.code == "E746"
    assert "--set N=" in found.help[0]
    assert export(load_program(Source("test.snn", text)), options(N=20), "kicked")


def test_too_many_synapses_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standalone_cuda, "MOST_BYTES", 1000)
    found = refused(STATES, "kicked")
    assert found.code == "E749"
    assert "A->B.g_e" in found.message


# --- nvcc -------------------------------------------------------------------------------------------------------------


@needs_nvcc
@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make(tmp_path: Path) -> None:
    """float32 for the oldest device that is served, samples and all, by the Makefile, without a warning."""
    files, _, _ = presented(tmp_path, "float32")
    name = written(files, tmp_path)
    command = ["make", "ARCH=sm_75", "NVCCFLAGS=-Werror all-warnings"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]
    assert (tmp_path / name).exists()
    assert subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True).returncode == 0
    assert not (tmp_path / name).exists()


@needs_nvcc
def test_newer_devices(tmp_path: Path) -> None:
    """float64, delays and plasticity, compiled and linked for newer devices at once."""
    text, experiment, duration, values = CASES["late"]
    files, _, _ = point(text, experiment, duration, "float64", **values)
    name = written(files, tmp_path)
    command = [str(nvcc), "-std=c++17", "--fmad=false", "-Werror", "all-warnings"]
    for number in ("90", "120"):
        command += ["-gencode", f"arch=compute_{number},code=sm_{number}"]
    done = subprocess.run([*command, "-o", name, "host.cu"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]
    assert (tmp_path / name).exists()
