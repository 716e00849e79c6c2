"""Experiments elaborated: times, records, plots, stimuli, phases and sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnlang.compile import check_text, load_program
from snnlang.diagnostics import SnnError, Source
from snnlang.model.elaborate import Overrides, elaborate, points
from snnlang.model.evaluate import evaluate
from snnlang.model.network import ArrayValue, Experiment

BODY = """from stdlib.neurons import LIF, Poisson
from stdlib.plasticity import STDP

network Net(g = 1, gain = 1 mV):
    input image[4]
    population stim[4]: Poisson(rate = 20 Hz * image)
    population E[10]: LIF(R = g*100 MOhm)
    connect feed = stim -> E.v: dense via STDP, gain = gain

"""
STEPS = """neuron Cell:
    input x = 0
    state u = 0
    u[n] = 0.5*u[n-1] + x[n]
    spike when u > 1

network Net:
    population a[6]: Cell
    connect a -> a: dense, w = 0.1, delay = 2

"""


def build(lines: str, body: str = BODY, name: str | None = None, origin: str = "x.snn", **overrides: Any) -> Experiment:
    text = body + "simulate Net:\n" + "\n".join(f"    {line}" for line in lines.strip().splitlines()) + "\n"
    return elaborate(load_program(Source(origin, text)), name, Overrides(**overrides))


def code(lines: str, **more: Any) -> str:
    with pytest.raises(SnnError) as caught:
        build(lines, **more)
    return next(d.code for d in caught.value.diagnostics if d.is_error)


def test_defaults() -> None:
    experiment = build("duration = 1 s")
    assert (experiment.dt, experiment.seed, experiment.method, experiment.record_initial) == (0.1, 0, {}, False)
    assert [item.label for item in experiment.records] == ["stim.spikes", "E.spikes"]  # nothing named: all spikes


def test_steps_without_a_time_scale() -> None:
    experiment = build("duration = 100", STEPS)
    assert (experiment.dt, experiment.duration) == (1.0, 100.0)
    assert evaluate(experiment.network.projections[0].delay) == 2.0  # type: ignore[arg-type]


def test_steps_with_dt_become_times() -> None:
    experiment = build("duration = 100\ndt = 0.5 ms\nrecord a.u every 4\nrecord a.spikes", STEPS)
    assert (experiment.dt, experiment.duration) == (0.5, 50.0)
    assert evaluate(experiment.network.projections[0].delay) == 1.0  # type: ignore[arg-type]
    assert experiment.records[0].every == 2.0


def test_a_model_gives_its_step() -> None:
    body = STEPS.replace("    input x = 0\n", "    step = 2 ms\n    input x = 0\n", 1)
    assert build("duration = 100 ms", body).dt == 2.0
    assert build("duration = 100 ms\ndt = 2 ms", body).dt == 2.0
    assert code("duration = 100 ms\ndt = 1 ms", body=body) == "E605"


def test_records_and_plots() -> None:
    experiment = build(
        "duration = 1 s\nrecord E.v[2:4] every 1 ms, feed.w[0:3] every 10 ms\n".replace(", feed.w[0:3] every 10 ms", "")
        + "record feed.w[0:3], image every 10 ms\nplot trace(E.v), rate(E, bin = 2 ms), "
        "histogram(feed.x), image(stim.count, shape = [2, 2])"
    )
    labels = {item.label: item for item in experiment.records}
    assert list(labels) == ["E.v", "feed.w", "image", "E.spikes", "feed.x", "stim.spikes"]
    assert np.array_equal(labels["E.v"].indices, [2, 3])  # type: ignore[arg-type]
    assert labels["feed.w"].kind == "synapse"
    assert labels["image"].kind == "input"
    assert [(plot.kind, plot.targets) for plot in experiment.plots] == [
        ("trace", ("E.v",)),
        ("rate", ("E.spikes",)),
        ("histogram", ("feed.x",)),
        ("image", ("stim.spikes",)),
    ]
    assert experiment.plots[1].options == {"bin": 2.0}
    assert experiment.plots[3].options["value"] == "count"
    assert experiment.plots[3].options["shape"] == (2, 2)


def test_two_parts_of_one_variable() -> None:
    experiment = build("duration = 1 s\nrecord E.v[0:2]\nrecord E.v[5:7] every 1 ms")
    assert [item.label for item in experiment.records] == ["E.v", "E.v[5:7]"]


def test_stimuli() -> None:
    experiment = build(
        "duration = 1 s\ndrive E.I = 2 nA if 100 ms < t < 200 ms else 0 nA\ndrive E.I[3:5] = [1 nA, 2 nA]\ndrive image = [1, 0, 0.5, 1]\n"
        "at 500 ms: E.v += 5 mV\nat 1 ms: feed.w *= 0.5\nclamp E.spike = t > 900 ms"
    )
    first, second, third = experiment.drives
    assert (first.kind, first.path, first.name, first.indices) == ("input", "E", "I", None)
    assert second.indices is not None
    assert second.indices.tolist() == [3, 4]
    assert isinstance(second.value, ArrayValue)
    assert second.value.array.tolist() == [1000, 2000]
    assert (third.kind, third.path) == ("network_input", "image")
    assert [(item.time, item.path, item.name, item.operator) for item in experiment.ats] == [
        (500.0, "E", "v", "+="),
        (1.0, "feed", "w", "*="),
    ]
    assert experiment.clamps[0].event == "spike"


def test_stimuli_from_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", times=[5.0, 1.0, 1.0], indices=[0, 3, 1])
    np.savez(tmp_path / "v.npz", values=np.ones((7, 10)), interval=0.5, unit="nA")
    origin = str(tmp_path / "x.snn")
    experiment = build('duration = 1 s\ndrive stim from "s.npz"\ndrive E.I from "v.npz"', origin=origin)
    spikes, current = experiment.drives
    assert spikes.kind == "events"
    assert isinstance(spikes.value, ArrayValue)
    assert spikes.value.array.tolist() == [[1, 1], [1, 3], [5, 0]]
    assert isinstance(current.value, ArrayValue)
    assert current.value.array.shape == (7, 10)
    assert current.value.array[0, 0] == 1000.0
    assert current.sample_interval == 0.5
    np.savez(tmp_path / "s.npz", times=[5.0], indices=[4])
    assert code('duration = 1 s\ndrive stim from "s.npz"', origin=origin) == "E616"
    np.savez(tmp_path / "v.npz", values=np.ones((7, 9)), interval=0.5, unit="nA")
    assert code('duration = 1 s\ndrive E.I from "v.npz"', origin=origin) == "E616"
    np.savez(tmp_path / "v.npz", values=np.ones((7, 10)), interval=0.5)
    assert code('duration = 1 s\ndrive E.I from "v.npz"', origin=origin) == "E616"
    (tmp_path / "v.npz").write_bytes(b"PK\x03\x04 not an archive")
    assert code('duration = 1 s\ndrive E.I from "v.npz"', origin=origin) == "E616"


def test_phases_and_freeze() -> None:
    experiment = build(
        "dt = 1 ms\nfreeze E.v\npresent given as image, label for 50 ms, rest 10 ms, epochs = 3\n"
        "freeze feed\npresent given as image for 50 ms"
    )
    first, second = experiment.phases
    assert (first.duration, first.rest, first.epochs, first.columns) == (50.0, 10.0, 3, ("image", "label"))
    assert (first.loader, first.options) == ("given", {"name": "given"})
    assert first.freeze == (("E", "v"),)
    assert second.freeze == (("E", "v"), ("feed", "w"))
    assert experiment.freeze == (("E", "v"),)
    assert experiment.duration == 0.0


def test_a_column_that_is_clamped_becomes_an_input() -> None:
    experiment = build("dt = 1 ms\npresent given as image, desired for 50 ms\nclamp E.spike = desired")
    assert {item.path: item.shape for item in experiment.network.inputs} == {"image": (4,), "desired": (10,)}


def test_sweeps_multiply() -> None:
    experiment = build(
        "duration = 1 s\nsweep g in [1, 2, 3]\nsweep gain in linspace(1 mV, 2 mV, 3)\nsweep seed in [0, 1]"
    )
    found = points(experiment)
    assert len(found) == 18
    assert [name for name, _ in experiment.sweep] == ["g", "gain", "seed"]
    last = build(
        "duration = 1 s\nsweep g in [1, 2, 3]\nsweep gain in linspace(1 mV, 2 mV, 3)\nsweep seed in [0, 1]",
        values=found[-1],
    )
    assert (last.seed, last.sweep) == (1, ())
    assert last.network.projections[0].gain is not None
    assert evaluate(last.network.projections[0].gain) == pytest.approx(2.0)
    assert evaluate(last.network.population("E").arguments["R"]) == pytest.approx(0.3)  # type: ignore[arg-type]


def test_methods_by_population() -> None:
    assert build("duration = 1 s\nmethod = [rk4(E), euler]").method == {"E": "rk4", "": "euler"}
    assert build("duration = 1 s", method="heun").method == {"": "heun"}
    assert code("duration = 1 s\nmethod = rk4(F)") == "E505"


@pytest.mark.parametrize(
    "line, expected",
    [
        ("duration = 1 mV", "E606"),
        ("duration = inf", "E603"),
        ("duration = 1e12 s", "E603"),
        ("dt = 0 ms", "E603"),
        ("record_initial = 2", "E513"),
        ("threads = 0", "E503"),
        ("record E.v every 0.01 ms", "E603"),
        ("record feed", "E609"),
        ("record feed.z", "E608"),
        ("record image.x", "E608"),
        ("plot fields(E.v)", "E612"),
        ("plot raster", "E610"),
        ("drive feed.DA = 3", "E615"),
        ("drive stim = 3", "E615"),
        ("drive E.I = 3 mV", "E209"),
        ("drive E.I = u", "E101"),
        ("at 5: E.v = 1 mV", "E606"),
        ("at 5 ms: emit spike", "E617"),
        ("clamp image = 1", "E618"),
        ("freeze image", "E619"),
        ("freeze feed.tau", "E619"),
        ("sweep E in [1]", "E613"),
        ("sweep g in []", "E614"),
        ("sweep g in linspace(1, 2)", "E614"),
        ("present digits as image for 5 ms", "E620"),
        ("present npz() as image for 5 ms", "E620"),
        ("present digits(3) as image for 5 ms", "E620"),
        ("present digits() as image, image for 5 ms", "E621"),
        ("present digits() as image for 5 mV", "E606"),
    ],
)
def test_wrong_lines(line: str, expected: str) -> None:
    head = "" if line.startswith(("duration", "present")) else "duration = 10 ms\n"
    assert code(head + line) == expected


def test_an_unknown_experiment_names_the_nearest() -> None:
    with pytest.raises(SnnError) as caught:
        build("duration = 1 s", name="Nett")
    assert caught.value.diagnostics[0].code == "E601"
    assert "did you mean `Net`?" in str(caught.value)
    with pytest.raises(SnnError) as caught:
        elaborate(load_program(Source("x.snn", BODY)))
    assert caught.value.diagnostics[0].code == "E601"


def test_a_parameter_that_only_an_experiment_reads_is_used() -> None:
    text = (
        "neuron A:\n    input I = 0\n    state v = 0\n    1 ms * dv/dt = I - v\n"
        "network N(strength = 2, lost = 1):\n    population a[2]: A\n"
        "simulate N as plain:\n    dt = 1 ms\n    duration = 2 ms\n    record a.v\n"
        "simulate N as driven:\n    dt = 1 ms\n    duration = 2 ms\n    drive a.I = strength\n    record a.v\n"
    )
    program, diagnostics = check_text(text, "used.snn")
    assert program is not None
    assert [(d.code, d.message) for d in diagnostics] == [("W502", "the parameter `lost` of N is never used")]
