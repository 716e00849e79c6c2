"""Panels over time: spikes, rates, variables. Rasters of many neurons show evenly chosen ones and say so."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnlang.model.network import PlotItem
from snnlang.runtime.frame import (
    EVENTS_SHOWN,
    FAINT,
    INK,
    LINES_SHOWN,
    PALETTE,
    POINTS_SHOWN,
    ROWS_SHOWN,
    STRIPS_SHOWN,
    Frame,
    item_name,
    legend,
    ordinal,
    root,
    title,
    with_unit,
)
from snnlang.runtime.recording import Events, Values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: How far a drawn spike stands above the greatest value, as a share of the range.
SPIKE_HEIGHT = 0.5


def raster(axes: Axes, frame: Frame, item: PlotItem) -> None:
    """One row per neuron, one mark per spike; populations stacked, the first on top."""
    series = [frame.recording.event_series(target) for target in item.targets]
    total = sum(events.watched for events in series)
    notes, base, ticks = [], 0.0, []
    height = axes.get_position().height * root(axes).get_size_inches()[1] * 72
    gap = 0.0 if len(series) == 1 else 0.012 * min(total, ROWS_SHOWN * len(series))
    thinned = [_thinned(events, len(series)) for events in series]
    spikes = sum(len(times) for times, _, _, _ in thinned)
    mark = min(9.0, 0.75 * height / max(1, sum(shown for _, _, shown, _ in thinned)))  # points
    if mark > 2.2:
        style: dict[str, Any] = {"marker": "|", "s": mark**2, "linewidths": min(1.1, 0.35 + 0.08 * mark)}
    else:  # few spikes are drawn larger
        style = {"marker": "s", "s": 4.0 if spikes < 3000 else 2.2 if spikes < 12_000 else 1.3, "linewidths": 0}
    for events, (times, rows, shown, stride) in zip(reversed(series), reversed(thinned)):
        if stride > 1:
            notes.append(f"every {ordinal(stride)} neuron of {events.owner}")
        extent = max(shown, 1)
        axes.scatter(
            times * frame.time_scale,
            rows + base,
            color=frame.colour(events.owner),
            rasterized=len(times) > 4000,
            **style,
        )
        ticks.append(
            (base + (shown - 1) / 2, f"{events.owner}\n{events.watched:,}" if total > 24 else events.owner, events)
        )
        base += extent + gap
    axes.set_ylim(-0.75 - 0.01 * base, base - gap - 0.25 + 0.01 * base)
    if len(series) == 1 and series[0].watched <= 24:
        from matplotlib.ticker import MaxNLocator

        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.set_ylabel("neuron")
    else:
        axes.set_yticks([place for place, _, _ in ticks], [text for _, text, _ in ticks])
        for label, (_, _, events) in zip(axes.get_yticklabels(), ticks):
            label.set_color(frame.colour(events.owner))
        axes.tick_params(axis="y", length=0)
    title(axes, _kinds(series), "; ".join(reversed(notes)))
    _trial_lines(axes, frame)


def _thinned(events: Events, populations: int) -> tuple[NDArray[np.float64], NDArray[np.int64], int, int]:
    """Times and rows of every stride-th neuron, the number of rows and the stride."""
    times, indices = np.asarray(events.times), np.asarray(events.indices)
    if events.selected is not None:
        indices = np.searchsorted(events.selected, indices)
    stride = max(1, math.ceil(events.watched / ROWS_SHOWN), math.ceil(len(times) * populations / EVENTS_SHOWN))
    stride = min(stride, max(1, events.watched // 40))
    if stride > 1:
        chosen = indices % stride == 0
        times, indices = times[chosen], indices[chosen] // stride
    return times, indices, math.ceil(events.watched / stride), stride


def rate(axes: Axes, frame: Frame, item: PlotItem) -> None:
    """Mean rate per neuron in bins."""
    timed = frame.recording.made.time_unit == "ms"
    dt = frame.recording.made.dt
    span = frame.stop - frame.start
    width = float(item.options.get("bin") or _bin(span, dt))
    width = max(dt, round(width / dt) * dt, span / POINTS_SHOWN)
    count = max(1, math.ceil(span / width - 1e-9))
    edges = frame.start + width * np.arange(count + 1)
    slack = dt / 2 if frame.recording.made.time_offset else -dt / 2
    greatest = 0.0
    for target in item.targets:
        events = frame.recording.event_series(target)
        heights = (
            np.histogram(events.times, edges + slack)[0] / (max(1, events.watched) * width) * (1000 if timed else 1)
        )
        if span < edges[-1] - frame.start - 1e-9 and count > 1:  # the last bin is cut short by the end
            heights[-1] *= width / max(dt, frame.stop - edges[-2])
        axes.stairs(
            heights,
            (np.minimum(edges, frame.stop) + frame.shift) * frame.time_scale,
            baseline=None,
            color=frame.colour(events.owner),
            linewidth=1.2,
            label=events.owner,
        )
        greatest = max(greatest, float(heights.max(initial=0)))
    axes.set_ylim(0, greatest * 1.12 or 1)
    axes.set_ylabel("rate (Hz)" if timed else "events per step")
    title(
        axes,
        f"Rate, {width:g} {frame.recording.made.time_unit} bins" if timed else f"Events per step, bins of {width:g}",
    )
    if len(item.targets) > 1:
        legend(axes)


def trace(axes: Axes, frame: Frame, item: PlotItem) -> None:
    """Variables over time, a line per item; more than three items of one variable: one above the other; many: the first few."""
    found = [frame.recording.series(target) for target in item.targets]
    if len(found) == 1 and strips(found[0]):
        _stacked(axes, frame, found[0], bool(item.options.get("spikes")))
        return
    notes, several = [], sum(min(v.values.shape[1], LINES_SHOWN) for v in found) > 1
    number_of_lines = 0
    for values in found:
        shown = min(values.values.shape[1], LINES_SHOWN)
        if shown < values.values.shape[1]:
            notes.append(f"{shown} of {values.values.shape[1]:,}")
        for column in range(shown):
            name = item_name(values, column)
            times, line = _decimated(np.asarray(values.times) * frame.time_scale, np.asarray(values.values[:, column]))
            colour = frame.colour(values.owner) if len(found) == shown == 1 else PALETTE[number_of_lines % len(PALETTE)]
            text = name if len(found) == 1 else f"{values.label}{name}" if values.values.shape[1] > 1 else values.label
            axes.plot(times, line, color=colour, linewidth=1.0, label=text)
            number_of_lines += 1
            if item.options.get("spikes"):
                finite = np.asarray(values.values[np.isfinite(values.values)])
                top = float(finite.max() + SPIKE_HEIGHT * (finite.max() - finite.min())) if finite.size else 1.0
                _spikes(axes, frame, values, column, 0.0, top, colour)
    units = list(dict.fromkeys(values.unit for values in found))
    variables = list(dict.fromkeys(with_unit(v.variable, v.unit if len(units) > 1 else "") for v in found))
    axes.set_ylabel(
        with_unit(", ".join(variables) if len(variables) < 4 else "value", units[0] if len(units) == 1 else "")
    )
    axes.margins(y=0.08)
    title(axes, ", ".join(dict.fromkeys(values.label for values in found)), "; ".join(notes))
    if several and number_of_lines <= 12:
        legend(axes)
    _trial_lines(axes, frame)


def strips(values: Values) -> int:
    """The number of lines to draw one above the other, 0 for an ordinary panel."""
    count = values.values.shape[1]
    return min(count, STRIPS_SHOWN) if values.kind == "state" and count > 3 else 0


def _spikes(
    axes: Axes, frame: Frame, values: Values, column: int, shift: float, top: float, colour: str
) -> None:
    """A line at each recorded spike of the neuron, from its value before up to ``top``: a reset hides the upstroke."""
    neuron = column if values.indices is None else int(values.indices[column])
    for events in frame.recording.events_by_label.values():
        if events.owner == values.owner and events.event == "spike":
            times = np.asarray(events.times)[np.asarray(events.indices) == neuron]
            before = np.clip(np.searchsorted(values.times, times - 1e-9) - 1, 0, None)
            start = np.asarray(values.values[before, column]) + shift if len(values.times) else np.zeros(0)
            axes.vlines(times * frame.time_scale, start, top, color=colour, linewidth=0.9)


def _stacked(axes: Axes, frame: Frame, values: Values, spikes: bool) -> None:
    """Lines one above the other on one scale, the first on top, with a bar that tells the scale."""
    count = strips(values)
    lines = np.asarray(values.values[:, :count])
    finite = lines[np.isfinite(lines)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    pitch = (1.12 + (SPIKE_HEIGHT if spikes else 0)) * (high - low) or 1.0
    places = []
    for column in range(count):
        base = (count - 1 - column) * pitch
        times, line = _decimated(np.asarray(values.times) * frame.time_scale, lines[:, column] - low)
        axes.plot(times, line + base, color=frame.colour(values.owner), linewidth=0.9)
        if spikes:
            top = base + (1 + SPIKE_HEIGHT) * (high - low)
            _spikes(axes, frame, values, column, base - low, top, frame.colour(values.owner))
        places.append(base + 0.35 * pitch)
    axes.set_yticks(places, [f"{values.owner}{item_name(values, column)}" for column in range(count)])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(-0.06 * pitch, count * pitch)
    length = _round_down((high - low) / 2) if high > low else 1.0
    axes.plot(
        [1.012, 1.012],
        [0, length],
        color=INK,
        linewidth=1.4,
        transform=axes.get_yaxis_transform(),
        clip_on=False,
        solid_capstyle="butt",
    )
    axes.text(
        1.02,
        length / 2,
        f"{length:g} {values.unit}".strip(),
        transform=axes.get_yaxis_transform(),
        va="center",
        fontsize=8,
    )
    shown = values.values.shape[1]
    title(axes, values.label, f"{count} of {shown:,}" if count < shown else "")
    _trial_lines(axes, frame)


def _round_down(value: float) -> float:
    """The greatest of 1, 2, 5 times a power of ten that is not above a positive value."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (5, 2, 1) if power * step <= value * (1 + 1e-9))


def _decimated(times: NDArray[Any], line: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """At most POINTS_SHOWN points that keep every extreme: least and greatest of each stretch, in their order."""
    if len(line) <= POINTS_SHOWN:
        return times, line
    stretch = math.ceil(2 * len(line) / POINTS_SHOWN)
    whole = len(line) // stretch * stretch
    parts = line[:whole].reshape(-1, stretch)
    ends = np.sort(np.stack([parts.argmin(axis=1), parts.argmax(axis=1)], axis=1), axis=1)
    chosen = np.concatenate([(ends + np.arange(len(parts))[:, None] * stretch).ravel(), np.arange(whole, len(line))])
    return times[chosen], line[chosen]


def _trial_lines(axes: Axes, frame: Frame) -> None:
    trials = frame.recording.trials
    if trials is None or not 1 < len(trials) <= 25:
        return
    for start in trials.start[1:]:
        axes.axvline(
            (start + frame.shift) * frame.time_scale, color=FAINT, linewidth=0.5, linestyle=(0, (2, 3)), zorder=0
        )


def _kinds(series: list[Events]) -> str:
    names = list(dict.fromkeys(events.event for events in series))
    return "Spikes" if names == ["spike"] else "Events: " + ", ".join(dict.fromkeys(events.label for events in series))


def _bin(span: float, dt: float) -> float:
    """A round width that gives about a hundred bins."""
    wanted = max(span / 100, dt)
    power = 10.0 ** math.floor(math.log10(wanted)) if wanted > 0 else 1.0
    return next(power * step for step in (1, 2, 5, 10) if power * step >= wanted - 1e-12)
