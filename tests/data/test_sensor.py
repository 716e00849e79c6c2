"""Frames turned into events: the figures of catalogue D1 and D2, and what a sensor must hold for any input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnlang.data import saccades
from snnlang.data.events import Frames, Sensor
from snnlang.data.load import load
from snnlang.data.saccades import SACCADE, Moved, displacement, saccade_events
from snnlang.data.sensor import Pixels, events_of, logarithm
from snnlang.diagnostics import SnnError


def one_pixel(level: np.ndarray, seconds: np.ndarray, pixels: Pixels) -> tuple[list[float], list[int]]:
    events = events_of(np.exp(level)[:, None, None], seconds * 1e6, pixels)
    return (events.t / 1e6).tolist(), events.p.tolist()


def test_a_ramp() -> None:
    """L from 0 to 1 in 1 s, C = 0.2: ON at 0.2, 0.4, 0.6, 0.8, 1.0, whatever the frames."""
    for frames in (2, 11, 12, 1001):
        times = np.linspace(0, 1, frames)
        t, p = one_pixel(times, times, Pixels())
        assert t == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0], abs=2e-6)
        assert p == [1] * 5


def test_a_sine() -> None:
    """ln(1 + 0.5 sin), one period, C = 0.1: 4 up, 10 down, 6 up."""
    times = np.linspace(0, 1, 2001)
    _, p = one_pixel(np.log(1 + 0.5 * np.sin(2 * np.pi * times)), times, Pixels(0.1, 0.1))
    assert p == [1] * 4 + [0] * 10 + [1] * 6


def test_a_moving_square() -> None:
    """0.2 around, square of 1.0, 6 jumps, steps 0.3 and 0.35: 120 ON and 96 OFF."""
    frames = np.full((7, 20, 20), 0.2)
    for k in range(7):
        frames[k, 5:9, 2 + k : 6 + k] = 1.0
    events = events_of(frames, np.arange(7) * 1000.0, Pixels(0.3, 0.35))
    assert (events.p.sum(), len(events) - events.p.sum()) == (120, 96)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=2, max_size=12), st.floats(0.05, 0.6), st.floats(0.05, 0.6))
def test_the_reference_tracks_the_logarithm(level: list[float], on: float, off: float) -> None:
    """The sum of steps follows L within a step, at the end of any input; events are in order."""
    events = events_of(np.exp(np.array(level))[:, None, None], np.arange(len(level)) * 100.0, Pixels(on, off))
    reference = level[0] + on * events.p.sum() - off * (1 - events.p).sum()
    assert -off - 1e-6 < level[-1] - reference < on + 1e-6
    assert (np.diff(events.t) >= 0).all()
    assert not len(events) or (events.t[0] >= 0 and events.t[-1] <= 100 * (len(level) - 1))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.floats(-3, 3), st.integers(-12, 12).map(lambda k: 0.2 * k)), min_size=2, max_size=30),
    st.sampled_from((0.2, 0.13)),
)
def test_equal_steps_make_the_events_of_steps_that_hardly_differ(level: list[float], step: float) -> None:
    """Equal steps up and down are found on a lattice, others frame by frame; also where brightness comes to lie on a step exactly."""
    times = np.arange(len(level)) * 1e-4
    found, polarity = one_pixel(np.array(level), times, Pixels(step, step))
    expected, other = one_pixel(np.array(level), times, Pixels(step, step * (1 + 1e-13)))
    assert polarity == other
    assert found == pytest.approx(expected, abs=1.1e-6)


def test_what_real_pixels_do() -> None:
    still = np.ones((11, 40, 40))
    times = np.arange(11) * 1e5
    leak = events_of(still, times, Pixels(leak=3.0))
    assert (leak.p == 1).all()
    assert len(leak) == pytest.approx(1600 * 3, rel=0.01)  # Hz, one second, deterministic
    noise = events_of(still, times, Pixels(noise=2.0))
    assert len(noise) == pytest.approx(10 * 1600 * (1 - np.exp(-0.2)), rel=0.1)
    assert noise.p.mean() == pytest.approx(0.5, abs=0.05)
    ramp = np.exp(np.linspace(0, 1, 11))[:, None, None] * np.ones((1, 40, 40))
    counts = len(events_of(ramp, times, Pixels(mismatch=0.03)))
    assert 0.95 * 4.5 * 1600 < counts < 5 * 1600  # at 0.2 exactly, half of the pixels miss the last step
    assert counts == len(events_of(ramp, times, Pixels(mismatch=0.03)))
    assert len(events_of(ramp, times, Pixels(refractory=300_000))) == 1600 * 3


def test_dark_pixels_are_linear() -> None:
    """Up to the edge the curve is a straight line that meets the logarithm there (the sensor model of v2e)."""
    pixels = Pixels(linear_below=20.0)
    level = logarithm(np.array([0.0, 10.0, 20.0, 255.0]), pixels)
    assert level.tolist() == pytest.approx([0, np.log(20) / 2, np.log(20), np.log(255)])


def test_what_has_no_logarithm() -> None:
    for frames, pixels in ((np.zeros((2, 1, 1)), Pixels()), (np.ones((2, 1, 1)), Pixels(on=0.0))):
        with pytest.raises(SnnError) as caught:
            events_of(frames, np.arange(2.0), pixels)
        assert caught.value.diagnostics[0].code == "E632"
    assert len(events_of(np.zeros((2, 1, 1)), np.arange(2.0), Pixels(floor=0.1))) == 0


# --- saccades ---------------------------------------------------------------------------------------------------------


def test_the_path() -> None:
    t = np.array([0, SACCADE, 2 * SACCADE, 3 * SACCADE, 4 * SACCADE, SACCADE / 2])
    assert displacement(t).tolist() == [[0, 0], [3.5, 7], [7, 0], [0, 0], [0, 0], [1.75, 3.5]]


def test_the_published_glyph() -> None:
    """Catalogue D2: 8564 events, as many ON as OFF, 2694/2790/3080 a saccade, 314 pixels and 111 once stabilised."""
    image = np.zeros((28, 28))
    image[4:24, 12:16] = 1
    image[4:8, 8:16] = 1
    events = saccade_events(image, Sensor(34, 34), Pixels(), 0.1)
    assert (len(events), int(events.p.sum())) == (8564, 4282)
    assert np.histogram(events.t, [0, SACCADE + 1, 2 * SACCADE + 1, 4 * SACCADE])[0].tolist() == [2694, 2790, 3080]
    signed = np.zeros((34, 34), dtype=int)
    np.add.at(signed, (events.y, events.x), 2 * events.p - 1)
    assert not signed.any()
    shift = np.rint(displacement(events.t.astype(np.float64))).astype(np.int64)
    x, y = events.x - shift[:, 0], events.y - shift[:, 1]  # where they would be had the picture stood still
    assert len(np.unique(events.y * 34 + events.x)) == 314
    assert len(np.unique(y * 1000 + x)) == 111


def test_only_pixels_that_see_something_are_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).random((9, 7))
    image[image < 0.3] = 0
    some = saccade_events(image, Sensor(20, 18), Pixels(), 0.1)
    monkeypatch.setattr(saccades, "_touched", lambda *_: np.arange(20 * 18))
    whole = saccade_events(image, Sensor(20, 18), Pixels(), 0.1)
    for one, other in zip((some.t, some.x, some.y, some.p), (whole.t, whole.x, whole.y, whole.p), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(some) > 1000


@pytest.mark.parametrize(("size", "kind"), [(20, np.uint32), (90, np.uint64)])
def test_events_are_the_same_when_asked_for_again(size: int, kind: type) -> None:
    """Kept in four bytes an event, or in eight where the sensor is large."""
    images = np.random.default_rng(1).random((2, 12, 9))
    made = Moved(images, Sensor(size, size), Pixels(), 0.1)
    first, again = made.read(1), made.read(1)
    kept = made._kept[1]
    assert kept.dtype == np.dtype(kind)
    assert len(kept) == len(first)
    for one, other in zip((first.t, first.x, first.y, first.p), (again.t, again.x, again.y, again.p), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert first.t.max() > saccades.DURATION - 5000


def test_as_a_source() -> None:
    columns = load("saccades", {"source": ("digits", {"limit": 3}), "steps": 6, "background": 0.2})
    events = columns["events"]
    assert events.shape == (3, 6, 2, 14, 14)
    first = np.asarray(events[1])
    assert first[:, 0].sum() == first[:, 1].sum() > 100
    np.testing.assert_array_equal(events[1], first)  # again, from what was kept
    assert isinstance(getattr(events, "whole", events), Frames)
    assert list(columns["label"]) == [0, 1, 2]
    for options, expected in (
        ({"background": 0.0}, "E632"),
        ({"contrast": 0.0}, "E632"),
        ({"size": 4}, "E632"),
        ({"source": ("shd", {"folder": "nowhere"})}, "E626"),
    ):
        with pytest.raises(SnnError) as caught:
            load("saccades", {"source": ("digits", {"limit": 3}), **options})
        assert caught.value.diagnostics[0].code == expected
