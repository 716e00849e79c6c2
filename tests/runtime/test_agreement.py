"""The comparison of targets: what agrees, what is found where something differs, and how much of an experiment is run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import snnlang
from snnlang.cli.program import run as command_line
from snnlang.compile import prepare
from snnlang.diagnostics import SnnError
from snnlang.runtime.agreement import Course, Way, compare, follow, ways_here, with_all_events
from snnlang.runtime.compiler import find
from snnlang.runtime.device_numpy import NumpyDevice
from snnlang.runtime.excerpt import excerpt, parts, rounded
from snnlang.runtime.load import overrides
from snnlang.runtime.margin import margin

RAMP = """
neuron Ramp:
    param slope = 0.3
    state u = 0
    u[n] = u[n-1] + slope
    spike when u > 1
    on spike: u = 0

network Net:
    population cell[3]: Ramp(slope = [0.3, 0.25, 0.7])
    connect feed = cell -> cell.u: dense(autapses = false), w = 0.01

simulate Net:
    duration = 20
    record cell.u
"""
RAMP = RAMP.replace("    state u = 0", "    port state u = 0")


def prepared(text: str = RAMP, **options: Any) -> Any:
    chosen = overrides(None, None, None, options.get("precision"), None, "auto", options.get("values"))
    return prepare(snnlang.load(text).program, chosen)


def course(text: str = RAMP) -> tuple[Any, Course]:
    point = prepared(text).points[0]
    point = replace(point, plan=with_all_events(point.plan))
    return point, follow(point, Way("interpreter"), "fast", excerpt(point))


def test_targets_of_this_machine_agree() -> None:
    report = snnlang.load(RAMP).verify()
    assert report.agrees
    assert report.reference == "interpreter"
    assert report.excerpt.whole
    expected = ["numpy", "c", "c, 3 threads"] if find() is not None else ["numpy"]
    assert [comparison.label for comparison in report.comparisons] == expected
    names = {variable.name for variable in report.comparisons[0].variables}
    assert {"cell.u", "cell.slope"} <= names
    assert all(events.reference > 0 for comparison in report.comparisons for events in comparison.events)
    assert "numpy: agrees: the same spikes" in str(report)
    assert json.loads(json.dumps(report.to_json()))["agrees"] is True


def test_threads_are_compared_bit_by_bit_with_one() -> None:
    if find() is None:
        pytest.skip("there is no C compiler")
    report = snnlang.load(RAMP).verify(targets=["numpy", "c"], threads=2)
    assert report.reference == "numpy"
    assert [(c.label, c.reference, c.tolerance) for c in report.comparisons] == [
        ("c", "numpy", 1e-9),
        ("c, 2 threads", "c", 0.0),
    ]


def test_first_spike_that_differs_is_named() -> None:
    point, reference = course()
    times = reference.recorded["cell.spikes.times"].copy()
    late = dict(reference.recorded)
    late["cell.spikes.times"] = times
    times[2] += 1
    found = compare(point.plan, reference, replace_recorded(reference, late), 1e-9)
    assert not found.agrees
    flip = found.events[0].flip
    assert flip is not None
    assert (flip.step, flip.index, flip.in_reference) == (
        int(reference.recorded["cell.spikes.times"][2]),
        int(reference.recorded["cell.spikes.indices"][2]),
        True,
    )


def test_missing_and_repeated_spikes_differ() -> None:
    point, reference = course()
    for keep in (slice(1, None), slice(None, -1)):
        fewer = dict(reference.recorded)
        for name in ("cell.spikes.times", "cell.spikes.indices"):
            fewer[name] = fewer[name][keep]
        found = compare(point.plan, reference, replace_recorded(reference, fewer), 1e-9)
        flip = found.events[0].flip
        assert flip is not None
        assert flip.in_reference
        assert not found.agrees
    twice = dict(reference.recorded)
    for name in ("cell.spikes.times", "cell.spikes.indices"):
        twice[name] = np.insert(twice[name], 1, twice[name][0])
    flip = compare(point.plan, reference, replace_recorded(reference, twice), 1e-9).events[0].flip
    assert flip is not None
    assert not flip.in_reference


@pytest.mark.parametrize(("change", "agrees"), [(1e-12, True), (1e-8, False), (np.nan, False), (np.inf, False)])
def test_numbers_are_measured_by_the_size_of_their_variable(change: float, agrees: bool) -> None:
    point, reference = course()
    values = reference.recorded["cell.u"].copy()
    values[5, 1] += change
    found = compare(point.plan, reference, replace_recorded(reference, {**reference.recorded, "cell.u": values}), 1e-9)
    assert found.agrees is agrees
    variable = next(v for v in found.variables if v.name == "cell.u")
    assert variable.beyond == (None if agrees else 5)
    assert variable.size == pytest.approx(np.abs(reference.recorded["cell.u"]).max(), rel=1e-6)


def test_what_is_not_recorded_is_compared_too() -> None:
    point, reference = course()
    steps, last = reference.looks[-1]
    name = next(a.name for a in point.plan.arrays.values() if a.variable == "slope")
    changed = {**last, name: last[name] + 0.1}
    other = Course(reference.recorded, (*reference.looks[:-1], (steps, changed)), reference.synapses)
    found = compare(point.plan, reference, other, 1e-9)
    assert [v.name for v in found.variables if v.beyond is not None] == ["cell.slope"]


def test_other_synapses_differ() -> None:
    point, reference = course()
    (name, (pre, post)), *_ = reference.synapses.items()
    other = Course(reference.recorded, reference.looks, {**reference.synapses, name: (pre, post[::-1])})
    found = compare(point.plan, reference, other, 1e-9)
    assert found.different == (name,)
    assert not found.agrees


def replace_recorded(reference: Course, recorded: dict[str, Any]) -> Course:
    return Course(recorded, reference.looks, reference.synapses)


def test_distance_from_the_threshold() -> None:
    """u is 0.25 after the first step and 1.000001 after the fourth; then its two sides differ by a millionth."""
    text = RAMP.replace("[0.3, 0.25, 0.7]", "[0.25, 0.25000025, 0.25]").replace("w = 0.01", "w = 0.0")
    point = prepared(text).points[0]
    (name,) = point.plan.lists
    assert margin(point, name, 3, 1) == pytest.approx(1e-6, rel=1e-3)
    assert margin(point, name, 3, 0) == 0.0
    assert margin(point, name, 0, 0) == pytest.approx(0.75)


def test_a_target_that_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Any) -> None:
    """A NumPy that adds a little after the ninth step: exit code 1, and the step, the variable and the size are said."""
    path = tmp_path / "ramp.snn"
    path.write_text(RAMP)
    run = NumpyDevice.run

    def wrong(self: NumpyDevice, first: int, count: int) -> None:
        for step in range(first, first + count):
            run(self, step, 1)
            if step == 8:
                self.memory.arrays["cell_u"][...] += 1e-5

    monkeypatch.setattr(NumpyDevice, "run", wrong)
    assert command_line(["verify", str(path), "--targets", "interpreter,numpy"]) == 1
    said = capsys.readouterr().out
    assert "numpy: differs from step 9 on: cell.u by 1" in said
    assert command_line(["verify", str(path), "--targets", "interpreter,numpy", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["agrees"] is False
    (variable,) = [v for v in report["targets"][0]["variables"] if v["name"] == "cell.u"]
    assert variable["beyond_tolerance_from_step"] == 9


def test_exit_codes(tmp_path: Any, capsys: Any) -> None:
    path = tmp_path / "ramp.snn"
    path.write_text(RAMP)
    assert command_line(["verify", str(path), "--targets", "interpreter,numpy", "--duration", "7"]) == 0
    assert "Net: 7 steps, float64, compared with interpreter" in capsys.readouterr().out
    assert command_line(["verify", str(path), "--targets", "numpi"]) == 2
    assert command_line(["verify", str(path), "--target", "numpy"]) == 2
    assert command_line(["verify", str(tmp_path / "absent.snn")]) == 1


def test_absent_targets_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_CC", "no-such-compiler")
    ways, skipped = ways_here()
    assert [way.label for way in ways] == ["interpreter", "numpy"]
    assert [target for target, _ in skipped] == ["c", "cuda"]
    report = snnlang.load(RAMP).verify()
    assert report.agrees
    assert "c: skipped, SNN_CC names the C compiler 'no-such-compiler', and there is no such program" in str(report)
    with pytest.raises(SnnError) as refused:
        snnlang.load(RAMP).verify(targets=["gpu"])
    assert refused.value.diagnostics[0].code == "E711"


def test_single_precision_agrees_more_coarsely() -> None:
    report = snnlang.load(RAMP).verify(precision="float32", targets=["interpreter", "numpy"])
    assert report.agrees
    assert report.precision == "float32"
    assert report.comparisons[0].tolerance == 1e-4


def test_a_long_experiment_is_cut() -> None:
    text = RAMP.replace("cell[3]: Ramp(slope = [0.3, 0.25, 0.7])", "cell[200]: Ramp").replace(
        "duration = 20", "duration = 1_000_000"
    )
    point = prepared(text).points[0]
    part = excerpt(point)
    assert 10 <= part.steps < 2000
    assert not part.whole
    assert str(part) == f"first {part.steps} steps of 1000000 steps"
    assert excerpt(point, whole=True).whole
    assert excerpt(point, slow=False).steps > 50 * part.steps


def test_trials_are_cut_to_a_few_samples() -> None:
    text = """
neuron Cell:
    input x = 0
    state u = 0
    5 ms*du/dt = x - u
    spike when u > 0.5
    on spike: u = 0
network Net:
    input image[4]
    population cell[4]: Cell
    connect image -> cell.x: one_to_one, w = 1
simulate Net:
    dt = 0.5 ms
    present patterns as image for 20 ms, rest 5 ms
    record cell.spikes
"""
    patterns = {"patterns": {"image": np.array([[1.0, 2, 3, 4], [4.0, 3, 2, 1], [9.0, 9, 9, 9]])}}
    report = snnlang.load(text).verify(data=patterns)
    assert report.agrees
    assert str(report.excerpt).startswith("2 of 3 samples, 20 ms")


def test_parts_and_rounding() -> None:
    for steps in (1, 2, 3, 7, 100):
        assert sum(parts(steps)) == steps
    assert [rounded(n) for n in (1, 2, 3, 7, 19, 49, 50, 999)] == [1, 2, 2, 5, 10, 20, 50, 500]
