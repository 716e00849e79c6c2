"""Pictures: every kind is drawn, labelled, coloured by population and written whole. What they look like was looked at by people."""

from __future__ import annotations

import builtins
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnlang.diagnostics import SnnError
from snnlang.model.network import PlotItem
from snnlang.runtime.frame import PALETTE
from snnlang.runtime.over_time import _decimated, _thinned, strips
from snnlang.runtime.panels import PANELS
from snnlang.runtime.plotting import default_plots, draw, figure
from snnlang.runtime.recording import Events, Made, Recording, Trials, Values

matplotlib = pytest.importorskip("matplotlib")
RANDOM = np.random.default_rng(3)


def events(owner: str, size: int, count: int, stop: float, shape: tuple[int, ...] | None = None) -> Events:
    times = np.sort(np.ceil(RANDOM.uniform(0, stop, count)))
    return Events(f"{owner}.spikes", owner, "spike", shape or (size,), times, RANDOM.integers(0, size, count))


def recording(plots: tuple[PlotItem, ...] = (), stop: float = 1000.0, point: dict[str, Any] | None = None) -> Recording:
    times = np.arange(1, 201) * stop / 200
    values = [
        Values("E.v", "E", "v", "mV", "state", (20,), times, RANDOM.normal(-60, 5, (200, 3)), np.arange(3)),
        Values("E.u", "E", "u", "pA", "state", (20,), times, RANDOM.normal(0, 5, (200, 3)), np.arange(3)),
        Values("E.all", "E", "v", "mV", "state", (20,), times, RANDOM.normal(0, 5, (200, 20))),
        Values("feed.w", "feed", "w", "", "synapse", (16, 20), times[-1:], RANDOM.uniform(0, 1, (1, 320))),
        Values(
            "ee.w",
            "ee",
            "w",
            "nS",
            "synapse",
            (50, 60),
            times[-1:],
            RANDOM.uniform(0, 1, (1, 40)),
            None,
            RANDOM.integers(0, 50, 40),
            RANDOM.integers(0, 60, 40),
        ),
        Values("image", "image", "value", "", "input", (4, 4), times[-1:], RANDOM.uniform(0, 1, (1, 16))),
    ]
    made = Made(
        "test", "Net", 1.0, int(stop), stop, 1, "double", "numpy", populations={"E": (20,), "I": (5,), "pixel": (4, 6)}
    )
    seen = [events("E", 20, 300, stop), events("I", 5, 80, stop), events("pixel", 24, 40, stop, (4, 6))]
    starts, zeros = np.arange(4) * stop / 4, np.zeros(4, np.int64)
    trials = Trials(starts, starts + 100, starts + stop / 4, zeros, zeros, zeros)
    return Recording(made, {e.label: e for e in seen}, {v.label: v for v in values}, trials, plots, point or {})


KINDS: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
    ("raster", ("E", "I"), {}),
    ("raster", ("I",), {}),
    ("rate", ("E", "I"), {"bin": 5.0}),
    ("rate", ("E",), {"bin": 7.3}),
    ("trace", ("E.v",), {}),
    ("trace", ("E.v", "E.u"), {}),
    ("trace", ("E.all",), {}),
    ("isi", ("E", "I"), {"bins": 50}),
    ("isi", ("E",), {}),
    ("histogram", ("E.v",), {"bins": 20}),
    ("histogram", ("feed.w", "E.v"), {}),
    ("weights", ("feed.w",), {}),
    ("weights", ("ee.w",), {}),
    ("fields", ("feed.w",), {"shape": (4, 4)}),
    ("fields", ("feed.w",), {"shape": None, "count": 5, "columns": 2}),
    ("image", ("pixel",), {"value": "first_spike"}),
    ("image", ("pixel.spikes",), {"value": "count", "at": 500.0}),
    ("image", ("image",), {"shape": (4, 4)}),
    ("image", ("E.all",), {"at": 200.0}),
    ("phase", ("E.v", "E.u"), {}),
    ("profile", ("E.v",), {}),
    ("profile", ("E.v", "E.u"), {}),
]


def test_every_kind_is_here() -> None:
    from snnlang.model.recording import PLOTS

    assert set(PANELS) == set(PLOTS) == {kind for kind, _, _ in KINDS}


@pytest.mark.parametrize(("kind", "targets", "options"), KINDS)
def test_every_kind_is_drawn_and_labelled(kind: str, targets: tuple[str, ...], options: dict[str, Any]) -> None:
    made = figure(recording((PlotItem(kind, targets, options),)))
    axes = made.axes[0]
    assert axes.get_title(loc="left")
    assert axes.has_data()
    if PANELS[kind].timed:
        assert axes.get_xlabel() == "time (ms)"
    made.canvas.draw()


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
@pytest.mark.parametrize("count", [1, 8])
def test_one_to_eight_panels_in_every_format(tmp_path: Path, ending: str, count: int) -> None:
    items = tuple(PlotItem(kind, targets, options) for kind, targets, options in (KINDS * 2)[:count])
    draw(recording(items), tmp_path / f"x.{ending}")
    assert [p.name for p in tmp_path.iterdir()] == [f"x.{ending}"]


def test_the_same_recording_gives_the_same_picture(tmp_path: Path) -> None:
    found = recording()
    for name in ("a.svg", "b.svg"):
        draw(found, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_population_has_one_colour_everywhere() -> None:
    made = figure(recording((PlotItem("raster", ("I", "E"), {}), PlotItem("rate", ("E", "I"), {}))))
    labels = {t.get_text().split("\n")[0]: t.get_color() for t in made.axes[0].get_yticklabels()}
    steps = {patch.get_label(): matplotlib.colors.to_hex(patch.get_edgecolor()) for patch in made.axes[1].patches}
    assert labels == {"E": PALETTE[0], "I": PALETTE[1]}
    assert steps == {name: str(colour).lower() for name, colour in labels.items()}


def test_rates_are_counts_over_neurons_and_time() -> None:
    found = recording((PlotItem("rate", ("E",), {"bin": 100.0}),))
    patch: Any = figure(found).axes[0].patches[0]
    heights, edges, _ = patch.get_data()
    times = found.times("E.spikes")
    expected = [np.sum((times > low) & (times <= high)) / 20 / 0.1 for low, high in pairwise(edges)]
    assert heights.tolist() == pytest.approx(expected)
    assert edges.tolist() == pytest.approx(np.arange(11) * 100)


def test_huge_rasters_are_thinned_and_say_so() -> None:
    found = recording((PlotItem("raster", ("E",), {}),))
    big = events("E", 10_000, 200_000, 1000.0)
    found.events_by_label["E.spikes"] = big
    axes = figure(found).axes[0]
    assert "every 17th neuron of E" in axes.get_title(loc="right")
    times, rows, shown, stride = _thinned(big, 1)
    assert stride == 17
    assert len(times) == np.sum(big.indices % 17 == 0)
    assert rows.max() < shown == 589


def test_decimation_keeps_extremes() -> None:
    line = np.sin(np.arange(100_000) / 3000)
    line[[777, 55_555]] = 9.0, -9.0
    times, short = _decimated(np.arange(100_000), line)
    assert len(short) <= 8100
    assert short.max() == 9.0
    assert short.min() == -9.0
    assert (np.diff(times) > 0).all() or (np.diff(times) >= 0).all()


def test_long_runs_are_in_seconds_and_steps_in_steps() -> None:
    assert figure(recording((PlotItem("raster", ("E",), {}),), stop=8000.0)).axes[0].get_xlabel() == "time (s)"
    found = recording((PlotItem("raster", ("E",), {}),))
    from dataclasses import replace

    steps = replace(found, made=replace(found.made, time_unit="steps", time_offset=0))
    axes = figure(steps).axes[0]
    assert axes.get_xlabel() == "step"
    assert axes.get_xlim() == (-0.5, 999.5)


def test_time_panels_share_their_axis_and_only_the_last_is_labelled() -> None:
    made = figure(
        recording(
            (PlotItem("raster", ("E",), {}), PlotItem("trace", ("E.v",), {}), PlotItem("histogram", ("E.v",), {}))
        )
    )
    first, second, third = made.axes[:3]
    assert (first.get_xlabel(), second.get_xlabel(), third.get_xlabel()) == ("", "time (ms)", "v (mV)")
    assert first.get_shared_x_axes().joined(first, second)
    assert not first.get_shared_x_axes().joined(first, third)


def test_many_lines_of_one_variable_stand_one_above_the_other() -> None:
    found = recording((PlotItem("trace", ("E.all",), {}),))
    assert strips(found.series("E.all")) == 8
    axes = figure(found).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == [f"E[{number}]" for number in range(8)]
    assert axes.get_title(loc="right") == "8 of 20"
    assert any("mV" in t.get_text() for t in axes.texts)


def test_sweeps_stand_side_by_side() -> None:
    points = tuple(recording(point={"g": g}) for g in (3, 4.5))
    found = Recording(
        points[0].made, plots=(PlotItem("raster", ("E",), {}), PlotItem("rate", ("E",), {})), sweep=points
    )
    made = figure(found)
    assert len(made.axes) == 4
    titles = [text.get_text() for axes in made.axes for text in axes.texts]
    assert titles == ["g = 3", "g = 4.5"]
    assert made.axes[1].get_ylim() == made.axes[3].get_ylim()


def test_without_plot_lines_there_is_a_picture() -> None:
    kinds = [item.kind for item in default_plots(recording())]
    assert kinds[:3] == ["raster", "rate", "trace"]
    assert len(kinds) <= 8
    empty = Recording(recording().made)
    with pytest.raises(SnnError, match="E829"):
        figure(empty)


def test_silent_populations_and_empty_variables_are_drawn(tmp_path: Path) -> None:
    found = recording()
    silent = Events("E.spikes", "E", "spike", (20,), np.zeros(0), np.zeros(0, np.int64))
    nothing = Values("E.v", "E", "v", "mV", "state", (20,), np.zeros(0), np.zeros((0, 3)), np.arange(3))
    flat = Values("E.u", "E", "u", "pA", "state", (20,), np.arange(3.0), np.ones((3, 5)))
    items = tuple(
        PlotItem(kind, targets, {})
        for kind, targets in (
            ("raster", ("E",)),
            ("rate", ("E",)),
            ("isi", ("E",)),
            ("trace", ("E.v",)),
            ("histogram", ("E.v",)),
            ("trace", ("E.u",)),
            ("image", ("E",)),
        )
    )
    draw(Recording(found.made, {"E.spikes": silent}, {"E.v": nothing, "E.u": flat}, None, items), tmp_path / "x.png")


@pytest.mark.parametrize(
    "item",
    [
        PlotItem("fields", ("ee.w",), {}),
        PlotItem("fields", ("feed.w",), {"shape": (3, 3)}),
        PlotItem("image", ("pixel",), {"shape": (5, 5)}),
        PlotItem("phase", ("E.v",), {}),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, item: PlotItem) -> None:
    with pytest.raises(SnnError, match="E829"):
        draw(recording((item,)), tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_command_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] in ("matplotlib", "neo"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SnnError, match=r"E806.*\n.*pip install"):
        draw(recording(), tmp_path / "x.png")
    with pytest.raises(SnnError, match=r"E806.*\n.*pip install"):
        recording().to_neo()


def test_nothing_global_changes() -> None:
    before = dict(matplotlib.rcParams)
    figure(recording())
    assert dict(matplotlib.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
