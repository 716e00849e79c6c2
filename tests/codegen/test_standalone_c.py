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


def test_presented_samples_are_refused() -> None:
    text = (EXAMPLES / "digits.snn").read_text(encoding="utf-8")
    program, _ = check_text(text, "digits.snn")
    assert program is not None
    options = overrides(dt=None, duration=None, seed=None, precision=None, method=None, target="c", values=None)
    with pytest.raises(SnnError) as raised:
        emit(program, options, target="c")
    (found,) = raised.value.diagnostics
    assert found.code == "E738"
    assert found.span is not None


@pytest.mark.parametrize("target", ["c", "numpy"])
def test_records_of_the_beginning_are_refused(target: str) -> None:
    text = (EXAMPLES / "balanced.snn").read_text(encoding="utf-8").replace("    duration =", "    record_initial = true\n    duration =", 1)
    program, _ = check_text(text, "balanced.snn")
    assert program is not None
    options = overrides(dt=None, duration=None, seed=None, precision=None, method=None, target=target, values=None)
    with pytest.raises(SnnError) as raised:
        emit(program, options, target=target)
    (found,) = raised.value.diagnostics
    assert found.code == "E738"
    assert found.span is not None


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
