"""Frames turned into events: the model of a dynamic vision sensor (Lichtsteiner et al. 2008), as ESIM and v2e use it.

A pixel follows the logarithm of its brightness. Whenever that has moved by the contrast ``on`` up or ``off`` down from the pixel's
reference, the pixel sends an event and the reference moves by exactly this step, several times between two frames if need be; the time of
each is interpolated between the frames. Nothing drifts: reference and logarithm never differ by more than a step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.random import bases, key_of, normals, uniforms
from snnlang.data.events import Events
from snnlang.diagnostics import error
from snnlang.frozen import dataclass

#: How far below a threshold still counts as at it: sums of steps are not exact.
_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Pixels:
    """Contrast steps in natural logarithms, and what real pixels do besides.

    ``refractory`` us: events sooner after the pixel's last one are lost, the reference moves all the same. ``mismatch``: standard
    deviation of the contrast steps from pixel to pixel, relative. ``leak`` Hz: ON events of a pixel at rest. ``noise`` Hz: events at
    random. ``linear_below``: brightness up to here is not compressed (0: logarithm everywhere). ``floor`` is added before the logarithm.
    """

    on: float = 0.2
    off: float = 0.2
    refractory: int = 0
    mismatch: float = 0.0
    leak: float = 0.0
    noise: float = 0.0
    linear_below: float = 0.0
    floor: float = 0.0
    seed: int = 0


def events_of(
    frames: NDArray[np.floating[Any]],
    times: NDArray[np.floating[Any]],
    pixels: Pixels = Pixels(),  # noqa: B008  (frozen)
) -> Events:
    """The events between frames [frames, rows, columns] of brightness above 0, taken at ``times`` in microseconds.

    Ordered by time, then by pixel. Raises E632 for brightness that has no logarithm.
    """
    bright = np.asarray(frames, dtype=np.float64)
    count, height, width = bright.shape
    _check(bright, pixels)
    changing = (bright != bright[0]).any(axis=0).ravel()
    places = np.arange(height * width) if pixels.leak or pixels.noise else np.flatnonzero(changing)
    return events_at(bright.reshape(count, -1)[:, places], places, width, np.asarray(times, dtype=np.float64), pixels)


def events_at(
    bright: NDArray[np.float64], places: NDArray[np.int64], width: int, times: NDArray[np.float64], pixels: Pixels
) -> Events:
    """As :func:`events_of`, for some pixels [frames, pixels], numbered row by row in a sensor ``width`` wide."""
    _check(bright, pixels)
    level = np.ascontiguousarray(logarithm(bright, pixels))
    on, off = _thresholds(places, pixels)
    found = [_crossings(level, times, on, off, pixels.leak), *_noise(places, times, pixels)]
    t = np.rint(np.concatenate([one[0] for one in found])).astype(np.int64)
    place = places[np.concatenate([one[1] for one in found])]
    p = np.concatenate([one[2] for one in found])
    order = np.argsort((t << 32) + place, kind="stable")
    events = Events(t[order], place[order] % width, place[order] // width, p[order])
    return _rested(events, width, pixels.refractory) if pixels.refractory else events


def logarithm(frames: NDArray[np.float64], pixels: Pixels) -> NDArray[np.float64]:
    """What a pixel sees; up to ``linear_below`` a straight line that meets the logarithm there."""
    bright = frames + pixels.floor
    if pixels.linear_below > 0:
        edge = pixels.linear_below
        return np.where(bright <= edge, bright * (np.log(edge) / edge), np.log(np.maximum(bright, edge)))
    return np.log(bright)


def _check(frames: NDArray[np.float64], pixels: Pixels) -> None:
    if pixels.linear_below <= 0 and not (frames + pixels.floor > 0).all():
        raise error(
            "E632",
            "a brightness of 0 or below has no logarithm",
            help="add a background: `background = 0.1`, or Pixels(floor = …), or Pixels(linear_below = …)",
        )


def _thresholds(moving: NDArray[np.int64], pixels: Pixels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    steps = []
    for name, step in (("on", pixels.on), ("off", pixels.off)):
        if not step > 0:
            raise error(
                "E632",
                f"the contrast step `{name}` must be above 0, and this is {step:g}",
                help="write for example 0.2",
            )
        factor = np.ones(len(moving))
        if pixels.mismatch:
            draws = normals(bases(key_of(pixels.seed, "sensor", name), moving), 0)
            factor = np.maximum(0.01 / step, 1 + pixels.mismatch * draws)
        steps.append(step * factor)
    return steps[0], steps[1]


def _crossings(
    level: NDArray[np.float64],
    times: NDArray[np.float64],
    on: NDArray[np.float64],
    off: NDArray[np.float64],
    leak: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """(times, pixels, polarities) of all steps crossed: a loop over frames finds who crosses how many, the rest is done at once."""
    if not leak and np.array_equal(on, off):
        codes, before, count = _lattice(level, on)
    else:
        codes, before, count = _followed(level, times, on, off, leak)
    codes, before = np.repeat(codes, count), np.repeat(before, count)
    which = np.arange(len(codes)) - np.repeat(np.cumsum(count) - count, count) + 1  # 1, 2, … within a crossing
    frame, place = codes >> 32, codes & 0xFFFFFFFF
    start, end = level[frame - 1, place], level[frame, place]
    up = end > before
    reached = before + which * np.where(up, on[place], -off[place])
    moved = end - start
    part = np.divide(reached - start, moved, out=np.ones(len(codes)), where=moved != 0)
    t = times[frame - 1] + np.clip(part, 0, 1) * (times[frame] - times[frame - 1])
    return t, place, up.astype(np.int64)


#: Crossings, by frame and pixel (``frame << 32 | pixel``): the reference before, and how many steps it moves.
_Found = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]


def _lattice(level: NDArray[np.float64], step: NDArray[np.float64]) -> _Found:
    """Up and down by one step, the reference is a whole number of steps from its start, and follows between two whole numbers."""
    apart = (level - level[0]) / step
    least = np.floor(apart + _SLACK).astype(np.int32)
    most = np.ceil(apart - _SLACK).astype(np.int32)
    at = np.zeros_like(least)
    for number in range(1, len(level)):
        np.maximum(at[number - 1], least[number], out=at[number])
        np.minimum(at[number], most[number], out=at[number])
    frame, place = np.divmod(np.flatnonzero(at[1:] != at[:-1]), len(step))
    before = at[frame, place]
    count = np.abs(at[frame + 1, place] - before).astype(np.int64)
    return (frame + 1 << 32) + place, level[0, place] + before * step[place], count


def _followed(
    level: NDArray[np.float64],
    times: NDArray[np.float64],
    on: NDArray[np.float64],
    off: NDArray[np.float64],
    leak: float,
) -> _Found:
    """Steps up and down that differ, or a reference that sinks by the leak: frame by frame."""
    reference = level[0].copy()
    high, low = on * (1 - _SLACK), -off * (1 - _SLACK)
    found: list[_Found] = [(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0, dtype=np.int64))]
    for number in range(1, len(level)):
        if leak:
            reference -= on * (leak * (times[number] - times[number - 1]) * 1e-6)
        distance = level[number] - reference
        hit = np.flatnonzero((distance >= high) | (distance <= low))
        if len(hit):
            before = reference[hit]
            apart = distance[hit]
            signed = np.where(apart > 0, on[hit], -off[hit])
            count = np.floor(apart / signed + _SLACK)
            reference[hit] = before + count * signed
            found.append((hit + (number << 32), before, count.astype(np.int64)))
    codes, starts, counts = (np.concatenate(parts) for parts in zip(*found))
    return codes, starts, counts


def _noise(
    moving: NDArray[np.int64], times: NDArray[np.float64], pixels: Pixels
) -> list[tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]]:
    """Events at random: at most one of a pixel between two frames, half of them ON."""
    found = []
    if pixels.noise:
        base = bases(key_of(pixels.seed, "sensor", "noise"), moving)
        place = bases(key_of(pixels.seed, "sensor", "noise time"), moving)
        for number in range(1, len(times)):
            length = times[number] - times[number - 1]
            chance = -np.expm1(-pixels.noise * length * 1e-6)
            draw = uniforms(base, number)
            when = times[number - 1] + uniforms(place, number) * length
            for polarity, kept in ((1, draw < chance / 2), (0, (draw >= chance / 2) & (draw < chance))):
                hit = np.flatnonzero(kept)
                found.append((when[hit], hit, np.full(len(hit), polarity)))
    return found


def _rested(events: Events, width: int, refractory: int) -> Events:
    """Without the events that come too soon after the last one kept of their pixel."""
    place = events.y * width + events.x
    order = np.lexsort((events.t, place))
    kept = np.ones(len(events), dtype=bool)
    last_place, last = -1, 0
    for number in order:
        if place[number] == last_place and events.t[number] - last < refractory:
            kept[number] = False
        else:
            last_place, last = int(place[number]), int(events.t[number])
    return events.only(kept)
