"""Panels that are pictures: weight matrices, receptive fields, populations as images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import error
from snnlang.model.network import PlotItem
from snnlang.runtime.distributions import histogram
from snnlang.runtime.frame import (
    FIELDS_SHOWN,
    Frame,
    last_row,
    moment,
    root,
    title,
    with_unit,
)
from snnlang.runtime.recording import Recording

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def weights(axes: Axes, frame: Frame, item: PlotItem) -> None:
    """A projection's weights at the last recorded time: pre by post."""
    values = frame.recording.series(item.targets[0])
    last = last_row(values)
    if (
        values.kind != "synapse"
        or len(values.shape) != 2
        or (values.pre is None and last.size != values.shape[0] * values.shape[1])
    ):
        histogram(axes, frame, item)
        return
    if values.pre is None or values.post is None:
        matrix = last.reshape(values.shape)
        extent = (-0.5, values.shape[1] - 0.5, values.shape[0] - 0.5, -0.5)
    else:
        rows, columns = (min(size, 200) for size in values.shape)
        place = (values.pre * rows // values.shape[0]) * columns + values.post * columns // values.shape[1]
        total = np.bincount(place, weights=last, minlength=rows * columns)
        count = np.bincount(place, minlength=rows * columns)
        with np.errstate(invalid="ignore", divide="ignore"):
            matrix = (total / count).reshape(rows, columns)
        extent = (-0.5, values.shape[1] - 0.5, values.shape[0] - 0.5, -0.5)
    _picture(axes, matrix, with_unit(values.variable, values.unit), extent=extent, aspect="auto")
    axes.set_xlabel("post neuron")
    axes.set_ylabel("pre neuron")
    title(axes, f"Weights {values.label}", f"at {moment(frame, float(values.times[-1]) if len(values.times) else 0.0)}")


def fields(axes: Axes, frame: Frame, item: PlotItem) -> None:
    """Receptive fields: the weights into each post neuron in the shape of the input, tiled."""
    values = frame.recording.series(item.targets[0])
    last = last_row(values)
    if values.pre is not None or len(values.shape) != 2 or last.size != values.shape[0] * values.shape[1]:
        raise error(
            "E829",
            f"fields needs the whole weight matrix of a dense projection, and '{values.label}' is not that",
            item.span,
            help="record it whole, or plot weights(...)",
        )
    inputs, outputs = values.shape
    shape = item.options.get("shape")
    rows, columns = (int(part) for part in shape) if shape else _near_square(inputs)
    if rows * columns != inputs:
        raise error(
            "E829",
            f"fields: {inputs} inputs do not fill a shape of {rows} by {columns}",
            item.span,
            help="give the shape of the input: shape = [8, 8]",
        )
    shown, across, down = tiles(outputs, item)
    canvas = np.full((down * (rows + 1) - 1, across * (columns + 1) - 1), np.nan)
    for place in range(shown):
        top, left = place // across * (rows + 1), place % across * (columns + 1)
        canvas[top : top + rows, left : left + columns] = last.reshape(inputs, outputs)[:, place].reshape(rows, columns)
    _picture(axes, canvas, with_unit(values.variable, values.unit), bad="white", aspect="equal")
    axes.set_axis_off()
    note = f"at {moment(frame, float(values.times[-1]) if len(values.times) else 0.0)}" + (
        f", {shown} of {outputs:,}" if shown < outputs else ""
    )
    title(axes, f"Receptive fields {values.label}", note)


def tiles(outputs: int, item: PlotItem) -> tuple[int, int, int]:
    """How many fields are shown, side by side, and in how many rows."""
    shown = min(outputs, int(item.options.get("count") or FIELDS_SHOWN))
    across = min(shown, int(item.options.get("columns") or math.ceil(math.sqrt(shown * 1.6))))
    return shown, across, math.ceil(shown / across)


def aspect(item: PlotItem, recording: Recording) -> float:
    """Height over width of what an ``image`` or ``fields`` panel shows."""
    target = item.targets[0]
    given = item.options.get("shape")
    if item.kind == "fields":
        inputs, outputs = (*recording.series(target).shape, 1, 1)[:2]
        rows, columns = (int(part) for part in given) if given else _near_square(inputs)
        _, across, down = tiles(outputs, item)
        return (down * (rows + 1)) / (across * (columns + 1))
    shape = (
        recording.series(target).shape if target in recording.values_by_label else recording.event_series(target).shape
    )
    size = math.prod(shape)
    columns = int(given[1]) if given else _plane(shape, size)[1]
    return max(1, size // columns) / columns


def image(axes: Axes, frame: Frame, item: PlotItem) -> None:
    """A population as a picture: first spike time or count of every neuron, or a variable at the last recorded time."""
    target = item.targets[0]
    recording, at, given = frame.recording, item.options.get("at"), item.options.get("shape")
    if target in recording.values_by_label:
        values = recording.series(target)
        row = -1 if at is None else max(0, int(np.searchsorted(values.times, at + 1e-9, side="right")) - 1)
        data = np.asarray(values.values[row], dtype=np.float64) if len(values.values) else np.zeros(0)
        shape, label = values.shape, with_unit(values.variable, values.unit)
        heading, note = values.label, f"at {moment(frame, float(values.times[row]) if len(values.times) else 0.0)}"
        if values.kind == "input":
            heading, label = f"Input {values.label}", with_unit(values.label, values.unit)
    else:
        events = recording.event_series(target)
        chosen = slice(None) if at is None else slice(0, int(np.searchsorted(events.times, at + 1e-9, side="right")))
        times, indices = np.asarray(events.times)[chosen], np.asarray(events.indices)[chosen]
        shape, until = events.shape, "" if at is None else f"until {moment(frame, float(at))}"
        if item.options.get("value") == "first_spike":
            data = np.full(events.size, np.nan)
            data[indices[::-1]] = times[::-1]  # the earliest is written last
            label = f"first {events.event} ({recording.made.time_unit})"
            heading, silent = f"{events.owner}: time of the first {events.event}", int(np.isnan(data).sum())
            note = "; ".join(text for text in (until, f"{silent:,} silent" if silent else "") if text)
        else:
            data = np.bincount(indices, minlength=events.size).astype(np.float64)
            label, heading, note = (
                "events",
                f"{events.owner}: number of {'spikes' if events.event == 'spike' else events.event}",
                until,
            )
    plane = (int(given[0]), int(given[1])) if given else _plane(shape, data.size)
    if data.size % (plane[0] * plane[1]):
        raise error(
            "E829",
            f"image: {data.size} values do not fill a shape of {plane[0]} by {plane[1]}",
            item.span,
            help="leave shape out, or give one that fits",
        )
    picture = data.reshape(-1, plane[1])
    grey = target in recording.values_by_label and recording.series(target).kind == "input"
    _picture(axes, picture, label, colours="gray" if grey else "", aspect="equal")
    axes.set_xticks([])
    axes.set_yticks([])
    title(axes, heading, note)


def _plane(shape: tuple[int, ...], size: int) -> tuple[int, int]:
    """Rows and columns of a picture of a population: leading axes are stacked."""
    if len(shape) >= 2 and math.prod(shape) == size:
        return math.prod(shape[:-1]), shape[-1]
    return _near_square(size)


def _near_square(size: int) -> tuple[int, int]:
    rows = max((d for d in range(1, math.isqrt(size) + 1) if size % d == 0), default=1)
    return rows, size // rows


def _picture(
    axes: Axes, matrix: NDArray[Any], label: str, bad: str = "#EBEBEB", colours: str = "", **options: Any
) -> None:
    import matplotlib
    from matplotlib.ticker import MaxNLocator

    finite = matrix[np.isfinite(matrix)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    signed = low < 0 < high and not colours
    bound = max(-low, high)
    table = matplotlib.colormaps[colours or ("RdBu_r" if signed else "viridis")].with_extremes(bad=bad)
    drawn = axes.imshow(
        matrix,
        cmap=table,
        vmin=-bound if signed else low,
        vmax=bound if signed else high,
        interpolation="nearest",
        **options,
    )
    axes.set_anchor("W")
    width = 0.16 / max(0.5, axes.get_position().width * root(axes).get_size_inches()[0])
    bar = root(axes).colorbar(drawn, cax=axes.inset_axes((1.0 + width, 0.0, width, 1.0)))
    bar.set_label(label)
    if finite.size and high - low >= 2 and bool(np.all(finite[:100_000] == np.rint(finite[:100_000]))):
        bar.locator = MaxNLocator(integer=True)
        bar.update_ticks()
    bar.outline.set_visible(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.grid(False)
