"""Exported C stands alone: it builds without a warning, with sanitizers, with and without threads, and gives the interpreter's events.

The programs are built by the compilers that are there (gcc, clang, Zig's), which must say nothing to -Wall -Wextra -Wpedantic.
"""

from __future__ import annotations

import csv
import importlib.util
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnlang.codegen import plan as p
from snnlang.codegen.standalone_c import standalone, watched
from snnlang.compile import check_text, compile_experiment, emit, load_program
from snnlang.diagnostics import SnnError, Source
from snnlang.runtime.device_c import NativeDevice
from snnlang.runtime.device_interpreter import InterpreterDevice
from snnlang.runtime.load import overrides
from snnlang.runtime.simulation import Simulation
from snnlang.runtime.standalone_samples import samples_of
from tests.codegen.plans import PLANS, SINGLE

EXAMPLES = Path(__file__).parents[2] / "examples"
GCC = shutil.which("gcc") or shutil.which("cc")
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-ffp-contract=off"]
SANITIZED = [*STRICT, "-O0", "-pthread", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
needed = pytest.mark.skipif(GCC is None, reason="no C compiler")

DELAYED = """
from stdlib.neurons import CubaLIF, Regular
from stdlib.plasticity import STDP

network Late:
    population pre[6]: Regular(start = 5 ms + index*1 ms, period = 10 ms)
    population post[4]: CubaLIF(v_rest = -60 mV)
    connect pairs = pre -> post.g_e: dense via STDP, w = 0.5, gain = 20 mV, delay = uniform(0.5 ms, 3 ms)

simulate Late as late:
    dt = 0.5 ms
    duration = 100 ms
    record pairs.w every 10 ms
"""


def clang() -> list[str] | None:
    if found := shutil.which("clang"):
        return [found]
    return [sys.executable, "-m", "ziglang", "cc"] if importlib.util.find_spec("ziglang") else None


def written(texts: dict[str, str], folder: Path) -> str:
    """Write an export; its name."""
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    (name,) = (file.removesuffix("_data.h") for file in texts if file.endswith("_data.h"))
    return name


def built(folder: Path, name: str, flags: list[str], compiler: list[str] | None = None) -> Path:
    command = [*(compiler or [str(GCC)]), *flags, "-o", "program", "main.c", f"{name}.c", "-lm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if "cannot find -lasan" in done.stderr or "cannot find -lubsan" in done.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert done.returncode == 0, done.stderr[:4000]
    assert done.stderr == ""
    return folder / "program"


Found = dict[str, list[tuple[int, int]]]


def ran(program: Path, *arguments: str) -> tuple[Found, dict[str, list[float]]]:
    """Events (step, index) and values by recorder."""
    files = [str(program.parent / "events.csv"), str(program.parent / "values.csv")]
    done = subprocess.run(
        [str(program), "--events", files[0], "--values", files[1], *arguments],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr[:4000]
    events: Found = defaultdict(list)
    values: dict[str, list[float]] = defaultdict(list)
    with open(files[0], encoding="utf-8") as file:
        for row in csv.DictReader(file):
            events[row["recorder"]].append((int(row["step"]), int(row["index"])))
    with open(files[1], encoding="utf-8") as file:
        for row in csv.DictReader(file):
            values[row["recorder"]].append(float(row["value"]))
    return events, values


def expected(plan: p.Plan, steps: int) -> tuple[Found, dict[str, list[float]]]:
    """The same by the interpreter."""
    plan = watched(plan)
    device = InterpreterDevice(plan)
    device.setup()
    device.coefficients()
    device.trial_start()
    device.run(0, steps)
    events: Found = {}
    values: dict[str, list[float]] = {}
    for recorder in plan.recorders:
        if isinstance(recorder, p.EventRecorder):
            when, which = device.drain_events(recorder.label)
            if len(when):
                events[recorder.label] = list(zip(when.tolist(), which.tolist(), strict=True))
        else:
            rows = np.asarray(device.drain_values(recorder.label)[1], dtype=float).ravel()
            if rows.size:
                values[recorder.label] = rows.tolist()
    return events, values


def assert_same(found: Any, wanted: Any, tolerance: float) -> None:
    assert dict(found[0]) == wanted[0]
    assert found[1].keys() == wanted[1].keys()
    for label, rows in wanted[1].items():
        np.testing.assert_allclose(found[1][label], rows, rtol=tolerance, atol=tolerance, err_msg=label)


def as_lowered(plan: p.Plan) -> p.Plan:
    """As lowering makes them: parts that are no ranges are stored as rows, results of reductions over synapses are real."""
    changed = {
        name: replace(c, kind="sparse")
        for name, c in plan.connectivities.items()
        if not (isinstance(c.pre_part, range) and isinstance(c.post_part, range))
    }
    results = {node.result for node in plan.step if isinstance(node, p.SynapseReduce)}
    arrays = {name: replace(a, type="real") if name in results else a for name, a in plan.arrays.items()}
    return replace(plan, arrays=arrays, connectivities={**plan.connectivities, **changed})


@needed
@pytest.mark.parametrize("name", [*PLANS, *(f"{name} single" for name in SINGLE)])
def test_plans_with_sanitizers(name: str, tmp_path: Path) -> None:
    single = name.endswith(" single")
    plan = as_lowered(SINGLE[name.removesuffix(" single")] if single else PLANS[name])
    export = written(standalone(plan, 40), tmp_path)
    assert_same(ran(built(tmp_path, export, SANITIZED)), expected(plan, 40), 1e-4 if single else 1e-9)


def point(text: str, experiment: str, duration: str, **values: Any) -> tuple[dict[str, str], p.Plan, int]:
    program = load_program(Source("test.snn", text))
    options = overrides(
        dt=None, duration=duration, seed=None, precision=None, method=None, target="c", values=values or None
    )
    chosen, plan = compile_experiment(program, experiment, options)
    return emit(program, options, experiment=experiment, target="c"), plan, round(chosen.duration / chosen.dt)


CASES: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "cuba": ((EXAMPLES / "balanced.snn").read_text(encoding="utf-8"), "cuba", "20 ms", {"N": 200}),
    "stdp": ((EXAMPLES / "stdp_window.snn").read_text(encoding="utf-8"), "Pairs", "150 ms", {}),
    "late": (DELAYED, "late", "60 ms", {}),
}


@needed
@pytest.mark.parametrize("case", CASES)
def test_examples(case: str, tmp_path: Path) -> None:
    text, experiment, duration, values = CASES[case]
    texts, plan, steps = point(text, experiment, duration, **values)
    export = written(texts, tmp_path)
    wanted = expected(plan, steps)
    assert wanted[0], "a network that is silent proves nothing"
    for flags in (SANITIZED, [*STRICT, "-O1", "-DSNN_THREADS=0"]):
        program = built(tmp_path, export, flags)
        for threads in ("1", "3"):
            assert_same(ran(program, "--threads", threads), wanted, 1e-9)


THREADED = [*STRICT, "-O1", "-g", "-pthread", "-fsanitize=thread"]


@needed
@pytest.mark.parametrize("effort", ["-O1", "-O2", "-O3"])
@pytest.mark.parametrize("named", ["cc", "gcc", "clang"])
def test_no_warning_at_any_effort(named: str, effort: str, tmp_path: Path) -> None:
    """Attributes of what is declared in the header and defined elsewhere agree."""
    compiler = shutil.which(named)
    if compiler is None:
        pytest.skip(f"there is no {named}")
    texts, plan, steps = point((EXAMPLES / "balanced.snn").read_text(encoding="utf-8"), "coba", "20 ms", N=200)
    flags = re.search(r"^MODEL_FLAGS = (.*)$", texts["Makefile"], re.MULTILINE)
    assert flags is not None
    program = built(tmp_path, written(texts, tmp_path), [effort, *flags[1].split(), "-pthread"], [compiler])
    assert_same(ran(program), expected(plan, steps), 1e-6)


@needed
@pytest.mark.parametrize("case", CASES)
def test_threads_never_race(case: str, tmp_path: Path) -> None:
    """ThreadSanitizer sees no access of two threads to one place that a barrier does not order."""
    text, experiment, duration, values = CASES[case]
    texts, plan, steps = point(text, experiment, duration, **values)
    (tmp_path / "trial.c").write_text("int main(void) { return 0; }\n", encoding="utf-8")
    trial = [str(GCC), "-fsanitize=thread", "-o", "trial", "trial.c"]
    if subprocess.run(trial, cwd=tmp_path, capture_output=True).returncode != 0:
        pytest.skip("the compiler has no ThreadSanitizer")
    began = subprocess.run([str(tmp_path / "trial")], capture_output=True, text=True)
    if began.returncode != 0:
        pytest.skip(f"ThreadSanitizer does not run here: {began.stderr.strip()[:100]}")
    program = built(tmp_path, written(texts, tmp_path), THREADED)
    assert_same(ran(program, "--threads", "3"), expected(plan, steps), 1e-9)  # a warning makes the program fail


@needed
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_native_export_has_the_bits_of_the_cached_build(precision: str, tmp_path: Path) -> None:
    """make NATIVE=1 rounds as snnlang's own build does."""
    if shutil.which("make") is None:
        pytest.skip("no make")
    text = (EXAMPLES / "balanced.snn").read_text(encoding="utf-8")
    program = load_program(Source("test.snn", text))
    options = overrides(
        dt=None, duration="20 ms", seed=None, precision=precision, method=None, target="c", values={"N": 200}
    )
    chosen, plan = compile_experiment(program, "cuba", options)
    name = written(emit(program, options, experiment="cuba", target="c"), tmp_path)
    done = subprocess.run(["make", f"CC={GCC}", "NATIVE=1"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    plan = watched(plan)
    device = NativeDevice(plan, threads=1)
    device.setup()
    device.coefficients()
    device.trial_start()
    device.run(0, round(chosen.duration / chosen.dt))
    events, values = ran(tmp_path / name)
    recorded = 0
    for recorder in plan.recorders:
        if isinstance(recorder, p.EventRecorder):
            when, which = device.drain_events(recorder.label)
            assert events.get(recorder.label, []) == list(zip(when.tolist(), which.tolist(), strict=True))
        else:
            rows = np.asarray(device.drain_values(recorder.label)[1], dtype=float).ravel()
            assert values[recorder.label] == rows.tolist()
            recorded += rows.size
    assert recorded > 0


@needed
def test_another_compiler(tmp_path: Path) -> None:
    compiler = clang()
    if compiler is None:
        pytest.skip("neither clang nor the package ziglang is here")
    text, experiment, duration, values = CASES["late"]
    texts, plan, steps = point(text, experiment, duration, **values)
    program = built(tmp_path, written(texts, tmp_path), [*STRICT, "-O1", "-pthread"], compiler)
    assert_same(ran(program), expected(plan, steps), 1e-9)


@needed
def test_makefile_and_tables(tmp_path: Path) -> None:
    """make builds it; a number that is changed in the tables changes the run as the option does."""
    if shutil.which("make") is None:
        pytest.skip("no make")
    text = CASES["late"][0]
    texts, _, _ = point(text, "late", "60 ms")
    other, plan, steps = point(text.replace("v_rest = -60 mV", "v_rest = -52 mV"), "late", "60 ms")
    name = written(texts, tmp_path)
    table = tmp_path / f"{name}_data.h"
    changed = re.sub(r"(post_v_rest\[\] = )\{-60\.0\}", r"\1{-52.0}", table.read_text(encoding="utf-8"))
    assert changed != texts[f"{name}_data.h"]
    table.write_text(changed, encoding="utf-8")
    done = subprocess.run(["make", f"CC={GCC}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert_same(ran(tmp_path / name), expected(plan, steps), 1e-9)
    assert subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True).returncode == 0
    assert not (tmp_path / name).exists()
    assert other.keys() == texts.keys()


@needed
def test_embedding(tmp_path: Path) -> None:
    """Another program sets a parameter by its name and runs two models side by side."""
    texts, plan, _ = point(CASES["late"][0], "late", "60 ms")
    name = written(texts, tmp_path)
    (tmp_path / "main.c").write_text(
        """#include <stdio.h>
#include "late.h"
int main(void)
{
    late_model *a = late_new(1), *b = late_new(2);
    const int64_t *steps;
    const void *values;
    if (a == NULL || b == NULL || late_find("nothing") != -1 || late_set(a, "nothing", 1, 0) != 0) return 1;
    if (late_set(b, "post.v_rest", -52, 0) != 1) return 2;
    late_trial_start(b, 0);
    for (int64_t step = 0; step < 120; step++)
        if (late_run(a, step, 1) != 1 || late_run(b, step, 1) != 1) return 3;
    printf("%lld", (long long)late_recorded(a, LATE_RECORD_post_spikes, &steps, &values));
    printf(" %lld", (long long)late_recorded(b, LATE_RECORD_post_spikes, &steps, &values));
    late_destroy(a), late_destroy(b);
    return 0;
}
""",
        encoding="utf-8",
    )
    program = built(tmp_path, name, SANITIZED)
    done = subprocess.run([str(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _, other, steps = point(CASES["late"][0].replace("v_rest = -60 mV", "v_rest = -52 mV"), "late", "60 ms")
    wanted = [len(expected(each, steps)[0].get("post.spikes", [])) for each in (plan, other)]
    assert [int(count) for count in done.stdout.split()] == wanted
    assert wanted[0] != wanted[1]


def refused(text: str, target: str, present: Any = samples_of) -> Any:
    program, found = check_text(text, "test.snn")
    assert program is not None, found
    options = overrides(dt=None, duration=None, seed=None, precision=None, method=None, target=target, values=None)
    with pytest.raises(SnnError) as raised:
        emit(program, options, target=target, present=present)
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.span is not None
    assert diagnostic.help
    return diagnostic


def test_samples_that_cannot_be_written_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (EXAMPLES / "digits.snn").read_text(encoding="utf-8")
    assert refused(text, "numpy").code == "E738"
    assert refused(text, "c", None).code == "E738"
    given = text.replace('digits(split = "train")', "mine").replace('digits(split = "test")', "mine")
    assert "from Python" in refused(given, "c").message
    monkeypatch.setattr("snnlang.runtime.standalone_samples.MOST_VALUES", 100_000)
    assert refused(text, "c").code == "E758"


@pytest.mark.parametrize("target", ["c", "numpy"])
def test_a_sweep_is_refused_but_not_one_point_of_it(target: str) -> None:
    text = CASES["late"][0].replace("network Late:", "network Late(n = 4):").replace("post[4]", "post[n]")
    text = text.replace("    duration =", "    sweep n in [4, 5]\n    duration =")
    found = refused(text, target)
    assert found.code == "E759"
    assert "--set n=" in found.help[0]
    program = load_program(Source("test.snn", text))
    options = overrides(dt=None, duration=None, seed=None, precision=None, method=None, target=target, values={"n": 5})
    assert emit(program, options, target=target)


SHOWN = """
from stdlib.neurons import LIF, Poisson
from stdlib.plasticity import STDP

neuron Tired(LIF):
    "Counts its trials at both ends."
    persistent state begun = 0
    persistent state ended = 0
    on trial_start: begun += 1
    on trial_end: ended += 1

network Shown:
    input image[6]
    input level[6]
    population eye[6]: Poisson(rate = 300 Hz*image*level)
    population cell[5]: Tired(v_rest = 0 mV, v_reset = 0 mV, v_th = 10 mV, t_ref = 5 ms)
    connect feed = eye -> cell.v: dense via STDP, w = uniform(0.2, 0.6), gain = 6 mV, delay = 2 ms

simulate Shown as shown:
    dt = 0.5 ms
    record_initial = RECORD
    present npz("first.npz") as image, level, label for 25 ms, rest 5 ms, epochs = 2
    freeze feed.w
    present npz("second.npz") as image, level, kind for 31 ms
    record cell.v every 1 ms
    record feed.w every 4 ms
    record cell.begun every 10 ms
    record cell.ended every 10 ms
"""


@needed
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("record", ["true", "false"])
def test_presented_samples(precision: str, record: str, tmp_path: Path) -> None:
    """Phases, epochs, rests, slices over time, several inputs, what is frozen, both ends of a trial: all as in a run."""
    random = np.random.default_rng(5)
    images = random.integers(0, 17, (7, 6)) / 16  # few values: bytes
    np.savez(tmp_path / "first.npz", image=images, level=random.normal(1, 0.2, (7, 6)), label=np.arange(7) * 2)
    slices: dict[str, Any] = {"image": random.uniform(0, 1, (60, 4, 6)), "level": random.uniform(0.5, 1, (60, 2, 6))}
    np.savez(tmp_path / "second.npz", **slices, kind=np.array(["a,b", 'c"'] * 30))
    file = tmp_path / "shown.snn"
    text = SHOWN.replace("RECORD", record)
    file.write_text(text, encoding="utf-8")
    program = load_program(Source(str(file), text))
    options = overrides(dt=None, duration=None, seed=None, precision=precision, method=None, target="c", values=None)
    name = written(emit(program, options, experiment="shown", target="c", present=samples_of), tmp_path)
    assert "codes_0_0" in (tmp_path / f"{name}_samples.h").read_text(encoding="utf-8")
    chosen, plan = compile_experiment(program, "shown", options)
    wanted = Simulation(chosen, watched(plan), target="c", threads=1, math="strict").complete()
    for flags in (SANITIZED, [*STRICT, "-O1", "-DSNN_THREADS=0"]):
        folder = built(tmp_path, name, flags)
        events, values = ran(folder, "--threads", "2", "--trials", str(tmp_path / "trials.csv"))
        for population in ("eye", "cell"):
            spikes = wanted.event_series(f"{population}.spikes")
            assert len(spikes.times) > 50
            found = [((step + plan.time_offset) * plan.dt, index) for step, index in events[f"{population}.spikes"]]
            assert found == list(zip(spikes.times.tolist(), spikes.indices.tolist(), strict=True))
        tolerance = 1e-9 if precision == "float64" else 1e-4
        for label in ("cell.v", "feed.w", "cell.begun", "cell.ended"):
            np.testing.assert_allclose(values[label], wanted.series(label).values.ravel(), rtol=tolerance, atol=tolerance)
        assert max(values["cell.begun"]) == 74
        assert max(values["cell.ended"]) == 73
    with open(tmp_path / "trials.csv", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 14 + 60
    assert [row["label"] for row in rows[:8]] == ["0", "2", "4", "6", "8", "10", "12", "0"]
    assert rows[13]["end_ms"] == "415"
    assert rows[14]["kind"] == "a_b"
    assert rows[14]["label"] == ""


@needed
@pytest.mark.parametrize("target", ["c", "numpy"])
def test_records_of_the_beginning(target: str, tmp_path: Path) -> None:
    text = CASES["late"][0].replace("    duration =", "    record_initial = true\n    duration =", 1)
    program = load_program(Source("test.snn", text))
    options = overrides(dt=None, duration="60 ms", seed=None, precision=None, method=None, target=target, values=None)
    texts = emit(program, options, experiment="late", target=target)
    chosen, plan = compile_experiment(program, "late", options)
    wanted = Simulation(chosen, plan, target="numpy").complete()
    rows = wanted.series("pairs.w").values
    assert len(rows) == 7
    if target == "c":
        found = ran(built(tmp_path, written(texts, tmp_path), SANITIZED))[1]["pairs.w"]
        np.testing.assert_allclose(found, rows.ravel(), rtol=1e-9)
        return
    (tmp_path / "late.py").write_text(texts["late.py"], encoding="utf-8")
    done = subprocess.run([sys.executable, "late.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "late.npz") as saved:
        np.testing.assert_allclose(saved["pairs.w"], rows.reshape(saved["pairs.w"].shape), rtol=1e-9)
        np.testing.assert_allclose(saved["pairs.w.times"], wanted.times("pairs.w"))


def test_numbers_are_exact() -> None:
    """Special and awkward numbers come back bit by bit from the tables."""
    plan = PLANS["cuba"]
    name, array = next(
        (n, a) for n, a in plan.arrays.items() if a.type == "real" and a.shape and a.connectivity is None
    )
    awkward = np.linspace(0.1, 1 / 3, int(np.prod(array.shape)))
    plan = replace(plan, arrays={**plan.arrays, name: replace(array, data=awkward)})
    texts = standalone(plan, 1)
    table = next(text for file, text in texts.items() if file.endswith("_data.h"))
    found = re.search(rf"value_of_{name}\[\] = \{{([^}}]*)\}}", table)
    assert found is not None
    numbers = [float(word) for word in re.sub(r"/\*.*?\*/", "", found[1]).split(",") if word.strip()]
    assert numbers == awkward.tolist()
