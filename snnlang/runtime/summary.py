"""A run in numbers: rates, irregularity, counts, and seconds of work per simulated second.

Rates are events per watched neuron and second of simulated time. The irregularity is the coefficient of variation of
inter-event intervals of one neuron (standard deviation over mean, with n - 1), averaged over the neurons that have at
least three events (Softky & Koch 1993). Intervals that span a trial's boundary are left out.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.frozen import dataclass
from snnlang.runtime.columns import columns
from snnlang.runtime.recording import Events, Made, Recording


@dataclass(frozen=True, slots=True)
class EventSummary:
    """``rate`` in Hz (per step without a time scale); ``cv`` is NaN where no neuron has three events; ``active`` neurons with any event."""

    label: str
    neurons: int
    count: int
    rate: float
    cv: float
    active: int


@dataclass(frozen=True, slots=True)
class ValueSummary:
    """Extremes, mean and last mean of a recorded variable."""

    label: str
    unit: str
    samples: int
    items: int
    least: float
    mean: float
    greatest: float


@dataclass(frozen=True, slots=True)
class Summary:
    """``seconds_per_second`` is wall time per simulated second (NaN without a time scale)."""

    experiment: str
    duration: float
    time_unit: str
    steps: int
    seconds: float
    preparing: float
    seconds_per_second: float
    trials: int
    stopped_at: float | None
    events: tuple[EventSummary, ...]
    values: tuple[ValueSummary, ...]


def summarise(recording: Recording) -> Summary:
    """The numbers of one recording (of a sweep: those it has itself; ask its points)."""
    made = recording.made
    timed = made.time_unit == "ms"
    speed = made.seconds / (made.duration / 1000) if timed and made.duration > 0 else math.nan
    starts = None if recording.trials is None else np.asarray(recording.trials.start)
    return Summary(
        made.experiment,
        made.duration,
        made.time_unit,
        made.steps,
        made.seconds,
        made.preparing,
        speed,
        0 if recording.trials is None else len(recording.trials),
        recording.stopped_at,
        tuple(_events(events, made, starts) for events in recording.events_by_label.values()),
        tuple(_values(label, recording) for label in recording.values_by_label),
    )


def _events(events: Events, made: Made, starts: NDArray[np.float64] | None) -> EventSummary:
    span = made.duration / 1000 if made.time_unit == "ms" else made.duration
    rate = len(events.times) / (events.watched * span) if events.watched and span > 0 else math.nan
    active = int(np.count_nonzero(np.bincount(events.indices, minlength=1)))
    return EventSummary(events.label, events.watched, len(events.times), rate, irregularity(events, starts), active)


def irregularity(events: Events, starts: NDArray[np.float64] | None = None) -> float:
    """Mean coefficient of variation of inter-event intervals over neurons with at least three events; NaN without any."""
    if len(events.times) < 3:
        return math.nan
    order = np.argsort(events.indices, kind="stable")
    indices, times = np.asarray(events.indices)[order], np.asarray(events.times)[order]
    intervals, owners = np.diff(times), indices[1:]
    inside = indices[1:] == indices[:-1]
    if starts is not None and len(starts):
        trial = np.searchsorted(starts, times, side="right")
        inside &= trial[1:] == trial[:-1]
    intervals, owners = intervals[inside], owners[inside]
    if not len(intervals):
        return math.nan
    count = np.bincount(owners, minlength=events.size)
    total = np.bincount(owners, weights=intervals, minlength=events.size)
    enough = count >= 2
    if not enough.any():
        return math.nan
    mean = total / np.maximum(count, 1)
    scatter = np.bincount(owners, weights=(intervals - mean[owners]) ** 2, minlength=events.size)
    deviation = np.sqrt(scatter[enough] / (count[enough] - 1))
    return float(np.mean(deviation / mean[enough]))


def _values(label: str, recording: Recording) -> ValueSummary:
    found = recording.values_by_label[label]
    values = found.values
    if values.size == 0:
        return ValueSummary(label, found.unit, len(values), values.shape[1], math.nan, math.nan, math.nan)
    return ValueSummary(
        label,
        found.unit,
        len(values),
        values.shape[1],
        float(np.min(values)),
        float(np.mean(values, dtype=np.float64)),
        float(np.max(values)),
    )


# --- shown ------------------------------------------------------------------------------------------------------------


def plain(recording: Recording) -> dict[str, Any]:
    """The summary as dictionaries and numbers; what is not a number is None."""
    data = _plain(asdict(summarise(recording)))
    assert isinstance(data, dict)
    data["seed"] = recording.made.seed
    data["dt"] = recording.made.dt
    data["target"] = recording.made.target
    data["precision"] = recording.made.precision
    data["model_hash"] = recording.made.model_hash
    if recording.point:
        data["point"] = _plain(recording.point)
    if recording.sweep:
        data["sweep"] = [plain(point) for point in recording.sweep]
    return data


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case np.generic():
            return _plain(value.item())
        case float():
            return value if math.isfinite(value) else None
        case None | bool() | int() | str():
            return value
        case _:
            return str(value)


def number(value: float, digits: int = 3) -> str:
    """A number for people: three digits, no exponent where it can be helped, a dash for none."""
    if math.isnan(value):
        return "-"
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    size = abs(value)
    if size >= 1e6 or size < 1e-4:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(size)))
    return f"{value:,.{decimals}f}"


def seconds(value: float) -> str:
    """A wall time for people: ``0.42 s``, ``3 min 20 s``."""
    if value < 60:
        return f"{number(value)} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def span(value: float, unit: str) -> str:
    """A simulated time for people: ``1 s``, ``250 ms``, ``20 steps``."""
    if unit != "ms":
        return f"{value:g} {unit}"
    return f"{value / 1000:g} s" if value >= 1000 else f"{value:g} ms"


def table(recording: Recording) -> str:
    """The summary as text of at most 100 columns."""
    if recording.sweep:
        return "\n\n".join(f"{point_title(point)}\n{table(point)}" for point in recording.sweep)
    summary = summarise(recording)
    timed = summary.time_unit == "ms"
    line = f"{summary.experiment}: {span(summary.duration, summary.time_unit)} simulated in {seconds(summary.seconds)}"
    if timed and math.isfinite(summary.seconds_per_second):
        line += f" ({number(summary.seconds_per_second)} s per simulated second)"
    if summary.trials:
        line += f", {summary.trials} trial{'s' if summary.trials != 1 else ''}"
    if summary.stopped_at is not None:
        line += f", stopped at {span(summary.stopped_at, summary.time_unit)}"
    lines = [line]
    if summary.events:
        titles = ("events", "neurons", "active", "count", "rate (Hz)" if timed else "per step", "CV of intervals")
        rows = [
            (
                item.label,
                f"{item.neurons:,}",
                f"{item.active:,}",
                f"{item.count:,}",
                number(item.rate),
                number(item.cv),
            )
            for item in summary.events
        ]
        lines += columns(titles, rows)
    if summary.values:
        lines += columns(
            ("values", "unit", "items", "samples", "least", "mean", "greatest"),
            [
                (
                    value.label,
                    value.unit or "1",
                    f"{value.items:,}",
                    f"{value.samples:,}",
                    number(value.least),
                    number(value.mean),
                    number(value.greatest),
                )
                for value in summary.values
            ],
            left=2,
        )
    return "\n".join(lines)


def point_title(recording: Recording) -> str:
    """``g = 4, J = 0.1`` of a sweep point."""
    return ", ".join(
        f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}"
        for name, value in recording.point.items()
    )
