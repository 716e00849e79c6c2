"""Panels of distributions and relations: histograms, intervals, profiles, phase planes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import error
from snnlang.model.network import PlotItem
from snnlang.runtime.frame import (
    LINES_SHOWN,
    PALETTE,
    Frame,
    item_name,
    last_row,
    legend,
    moment,
    title,
    with_unit,
)
from snnlang.runtime.recording import Events
from snnlang.runtime.summary import irregularity, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def histogram(axes: Axes, frame: Frame, item: PlotItem) -> None:
    """Distribution of a variable over its items at the last recorded time."""
    found = [frame.recording.series(target) for target in item.targets]
    lasts = [last_row(values) for values in found]
    finite = [last[np.isfinite(last)] for last in lasts]
    joined = np.concatenate(finite) if finite else np.zeros(0)
    bins = int(item.options.get("bins") or min(60, max(10, round(math.sqrt(max(1, joined.size))))))
    low, high = (float(joined.min()), float(joined.max())) if joined.size else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    edges = np.linspace(low, high, bins + 1)
    for number_of, (values, last) in enumerate(zip(found, finite)):
        colour = frame.colour(values.owner) if len(found) == 1 else PALETTE[number_of % len(PALETTE)]
        axes.hist(
            last, edges.tolist(), color=colour, alpha=0.85 if len(found) == 1 else 0.55, label=values.label, linewidth=0
        )
    axes.set_xlabel(with_unit(found[0].variable, found[0].unit))
    axes.set_ylabel("synapses" if found[0].kind == "synapse" else "neurons")
    at = max((float(v.times[-1]) for v in found if len(v.times)), default=0.0)
    title(
        axes,
        f"Distribution of {', '.join(v.label for v in found)}",
        f"at {moment(frame, at)}, mean {number(float(joined.mean())) if joined.size else '-'}",
    )
    if len(found) > 1:
        legend(axes)


def isi(axes: Axes, frame: Frame, item: PlotItem) -> None:
    """Distribution of the intervals between successive events of one neuron."""
    series = [frame.recording.event_series(target) for target in item.targets]
    unit = frame.recording.made.time_unit
    intervals = [_intervals(events) for events in series]
    joined = np.concatenate(intervals) if intervals else np.zeros(0)
    high = float(np.quantile(joined, 0.99)) * 1.05 if joined.size else 1.0
    bins = int(item.options.get("bins") or 50)
    dt = frame.recording.made.dt
    width = max(dt, math.ceil(high / bins / dt - 1e-9) * dt)
    edges = (
        width * np.arange(max(2, math.ceil(high / width - 1e-9) + 1)) + dt / 2
    )  # intervals are whole steps: edges lie between them
    for events, own in zip(series, intervals):
        share = np.histogram(own, edges)[0] / max(1, len(own))
        cv = irregularity(events, None if frame.recording.trials is None else np.asarray(frame.recording.trials.start))
        axes.stairs(
            share,
            edges,
            fill=len(series) == 1,
            baseline=0 if len(series) == 1 else None,
            color=frame.colour(events.owner),
            linewidth=1.2,
            alpha=0.85,
            label=f"{events.owner}, CV {number(cv)}",
        )
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"interval ({unit})")
    axes.set_ylabel("share")
    title(axes, "Inter-spike intervals", "" if joined.size else "no neuron has two events")
    if joined.size:
        legend(axes)


def _intervals(events: Events) -> NDArray[np.float64]:
    order = np.argsort(events.indices, kind="stable")
    indices, times = np.asarray(events.indices)[order], np.asarray(events.times)[order]
    gaps: NDArray[np.float64] = np.diff(times)[indices[1:] == indices[:-1]]
    return gaps


def phase(axes: Axes, frame: Frame, item: PlotItem) -> None:
    """One variable against another, a line per neuron."""
    if len(item.targets) != 2:
        raise error(
            "E829",
            f"a phase plot takes two variables, and {len(item.targets)} were given",
            item.span,
            help="write phase(E.v, E.w)",
        )
    x, y = (frame.recording.series(target) for target in item.targets)
    rows = min(len(x.values), len(y.values))
    shown = min(x.values.shape[1], y.values.shape[1], LINES_SHOWN)
    for column in range(shown):
        colour = frame.colour(x.owner) if shown == 1 else PALETTE[column % len(PALETTE)]
        axes.plot(
            x.values[:rows, column],
            y.values[:rows, column],
            color=colour,
            linewidth=0.9,
            label=f"{x.owner}{item_name(x, column)}",
        )
        if rows:
            axes.plot(x.values[0, column], y.values[0, column], "o", color=colour, markersize=4)
    axes.set_xlabel(with_unit(x.variable, x.unit))
    axes.set_ylabel(with_unit(y.variable, y.unit))
    title(axes, f"{y.label} over {x.label}")
    if shown > 1:
        legend(axes)


def profile(axes: Axes, frame: Frame, item: PlotItem) -> None:
    """The last recorded value of every item, in order; of two variables: the second's against the first's, item by item."""
    found = [frame.recording.series(target) for target in item.targets]
    y = found[-1]
    heights = last_row(y)
    if len(found) == 1:
        x, label = (
            np.arange(heights.size) if y.indices is None else np.asarray(y.indices),
            "synapse" if y.kind == "synapse" else "neuron",
        )
    else:
        x, label = last_row(found[0]), with_unit(found[0].label, found[0].unit)
        if x.size != heights.size:
            raise error(
                "E829",
                f"profile: {x.size} values of '{found[0].label}' do not pair with {heights.size} of '{y.label}'",
                item.span,
                help="take as many of one as of the other",
            )
    axes.plot(x, heights, ".", color=frame.colour(y.owner), markersize=5)
    axes.grid(True)
    axes.set_xlabel(label)
    axes.set_ylabel(with_unit(y.variable, y.unit))
    over = "" if len(found) == 1 else f" over {found[0].label}"
    title(axes, f"{y.label}{over}", f"at {moment(frame, float(y.times[-1]))}" if len(y.times) else "")
