"""Batches: every sample once an epoch, the same order for a seed, going on where it stopped, augmentation that depends on nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from snnlang.codegen.random import key_of, word
from snnlang.data.augment import Crop, Drop, Flip, Jitter, Noise, Shift
from snnlang.data.columns import Columns, Scaled
from snnlang.data.events import Binning, Frames, Listed, Sensor, make
from snnlang.data.load import load
from snnlang.diagnostics import SnnError
from snnlang.runtime.batches import Batches, divide, gather


def pair(count: int = 10, shape: tuple[int, ...] = (4, 4), classes: int = 3) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.arange(count * int(np.prod(shape))).reshape(count, *shape), np.arange(count) % classes


def spikes(count: int = 6) -> Columns:
    recordings = [
        make(np.arange(500) * 100, np.arange(500) % 5, np.arange(500) % 4, np.arange(500) % 2) for _ in range(count)
    ]
    return {"events": Frames(Listed(recordings, Sensor(4, 5)), Binning(5, duration=50_000)), "label": np.arange(count)}


def code(*given: Any, **options: Any) -> str:
    with pytest.raises(SnnError) as caught:
        Batches(*given, **options)
    return caught.value.diagnostics[0].code


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_sample_once(shuffle: bool) -> None:
    x, y = pair()
    batches = Batches((x, y), 4, 1, shuffle)
    assert (len(batches), batches.samples, batches.classes, batches.shape) == (3, 10, 3, (4, 4))
    seen = []
    for rows, samples, labels in batches.epoch(0):
        assert samples.dtype == np.float32
        assert samples.flags.c_contiguous
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(samples, x[rows])
        np.testing.assert_array_equal(labels, y[rows])
        seen += rows.tolist()
    assert sorted(seen) == list(range(10))
    assert (seen == list(range(10))) is not shuffle
    assert [len(rows) for rows, _, _ in batches.epoch(0)] == [4, 4, 2]


def test_the_order_is_that_of_the_counter_based_generator() -> None:
    """Not of NumPy's: sorted by the words of (seed, sample, epoch), written out here in plain Python."""
    batches = Batches(pair(50), 50, seed=7)
    for epoch in (0, 3):
        key = key_of(7, "batches", "order")
        expected = sorted(range(50), key=lambda sample: word(key, sample, epoch))
        assert batches.order(epoch).tolist() == expected
    assert batches.order(0).tolist() != batches.order(1).tolist()
    assert batches.order(0).tolist() != Batches(pair(50), 50, seed=8).order(0).tolist()
    assert Batches(pair(50), 3, seed=7).order(0).tolist() == batches.order(0).tolist()


@pytest.mark.parametrize("source", [pair(11), spikes(11), load("digits", {"limit": 11})])
def test_going_on_where_it_stopped(source: Any) -> None:
    augment: list[Any] = (
        ["jitter", "drop"] if isinstance(source, dict) and "events" in source else ["shift", "noise", "flip"]
    )
    whole = list(Batches(source, 3, 5, augment=augment).epoch(2))
    for first in range(len(whole) + 1):
        again = list(Batches(source, 3, 5, augment=augment).epoch(2, first))
        assert len(again) == len(whole) - first
        for one, other in zip(again, whole[first:], strict=True):
            for left, right in zip(one, other, strict=True):
                np.testing.assert_array_equal(left, right)
    other_size = {
        int(row): x for rows, xs, _ in Batches(source, 4, 5, augment=augment).epoch(2) for row, x in zip(rows, xs)
    }
    for rows, xs, _ in whole:
        for row, x in zip(rows, xs):
            np.testing.assert_array_equal(x, other_size[int(row)])  # whatever the size of a batch


def test_bytes_and_targets() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    (_, x, y), *_ = Batches({"image": Scaled(pixels), "target": np.eye(3)}, 3, shuffle=False).epoch(0)
    np.testing.assert_array_equal(x, (pixels / 255.0).astype(np.float32))
    assert y.dtype == np.float32
    assert Batches({"image": Scaled(pixels), "target": np.eye(3)}).classes == 0
    assert Batches((pixels, np.array([0.0, 2.0, 1.0]))).classes == 3  # whole numbers in a table of floats
    assert Batches((pixels, np.array([0.5, 2.0, 1.0]))).classes == 0


def test_columns_by_name() -> None:
    x, y = pair()
    source: Columns = {"label": y, "other": -x, "image": x}
    batches = Batches(source, 10, shuffle=False, x="image", y="label")
    (rows, found, labels), *_ = batches.epoch(0)
    np.testing.assert_array_equal(found, x)
    np.testing.assert_array_equal(labels, y)
    np.testing.assert_array_equal(gather(batches.columns["other"], rows), -x)
    assert Batches(source, y="label").shape == (4, 4)
    assert len(np.asarray(divide(source, 0.3, y="label")[1]["label"])) == 3
    assert code(source, x="imag") == "E629"


def test_wrong_data() -> None:
    x, y = pair()
    bad = x.astype(float)
    bad[7, 0, 0] = np.nan
    for given, options, expected in (
        ((x, y[:5]), {}, "E627"),
        ((x[:0], y[:0]), {}, "E627"),
        ((np.float64(1), y), {}, "E627"),
        ((bad, y), {}, "E628"),
        ((x.astype(str), y), {}, "E628"),
        ((x, y), {"classes": 2}, "E631"),
        ((x, y - 1), {}, "E631"),
        ((x, y + 10_000_000), {}, "E631"),
        ((x, np.array(list("abcdefghij"))), {}, "E631"),
        ((x, np.where(y == 0, np.nan, y)), {}, "E631"),
        ({"x": x}, {}, "E631"),
        (x, {}, "E629"),
        ((x, y), {"batch": 0}, "E632"),
        ((x, y), {"augment": "turn"}, "E632"),
        ((x, y), {"augment": ["jitter"]}, "E632"),
        ((x, y), {"augment": Crop(5)}, "E632"),
    ):
        assert code(given, **options) == expected, (expected, options)
    with pytest.raises(SnnError, match="the label of sample 2 is 2, and classes are 0 to 1"):
        Batches((x, y), classes=2)


def test_validation_takes_its_share_of_every_class() -> None:
    y = np.repeat([0, 1, 2], [60, 30, 10])
    train, kept = divide((np.arange(100), y), 0.2, seed=3)
    assert np.bincount(np.asarray(kept["y"])).tolist() == [12, 6, 2]
    assert sorted([*np.asarray(train["x"]), *np.asarray(kept["x"])]) == list(range(100))
    again = divide((np.arange(100), y), 0.2, seed=3)[1]
    np.testing.assert_array_equal(np.asarray(again["x"]), np.asarray(kept["x"]))
    other = divide((np.arange(100), y), 0.2, seed=4)[1]
    assert np.asarray(other["x"]).tolist() != np.asarray(kept["x"]).tolist()
    assert len(divide((np.arange(100), y), 0.2, stratified=False)[1]["x"]) == 20
    lazy = divide(spikes(10) | {"label": np.arange(10) % 2}, 0.4)[1]
    assert lazy["events"].shape == (4, 5, 2, 4, 5)
    for share in (0.0, 1.0, 0.001, 0.999):
        with pytest.raises(SnnError) as caught:
            divide((np.arange(100), y), share)
        assert caught.value.diagnostics[0].code == "E632"


def test_validation_of_small_classes() -> None:
    """A tenth of five samples is none, and a tenth of ten such classes five samples all the same."""
    y = np.arange(50) % 10
    for share, wanted in ((0.1, 5), (0.95, 48)):
        training, validation = divide((np.zeros((50, 2)), y), share, seed=2)
        assert len(validation["y"]) == wanted
        assert sorted([*training["y"], *validation["y"]]) == sorted(y)
    with pytest.raises(SnnError):
        divide((np.zeros((50, 2)), y), 0.001, seed=2)


# --- augmentation -----------------------------------------------------------------------------------------------------


def made(augment: Any, x: NDArray[Any], epoch: int = 0) -> NDArray[np.float32]:
    batches = Batches((x, np.zeros(len(x), dtype=int)), len(x), 1, False, augment)
    (_, found, _), *_ = batches.epoch(epoch)
    assert found.shape[1:] == batches.shape
    return found


def test_shift() -> None:
    x = np.random.default_rng(0).random((400, 6, 7))
    shifted = made(Shift(2), x)
    steps = []
    for one, before in zip(shifted, x, strict=True):
        padded = np.zeros((10, 11), dtype=np.float32)
        padded[2:8, 2:9] = before
        hits = [(dy, dx) for dy in range(5) for dx in range(5) if np.array_equal(padded[dy : dy + 6, dx : dx + 7], one)]
        assert len(hits) == 1
        steps += hits
    counts = np.bincount([5 * dy + dx for dy, dx in steps], minlength=25)
    assert counts.min() > 4
    assert ((counts - 16) ** 2 / 16).sum() < 52  # chi-squared, 24 degrees of freedom, 0.1 %
    assert not np.array_equal(made(Shift(2), x, 1), shifted)


def test_flip_crop_noise() -> None:
    x = np.random.default_rng(0).random((400, 3, 6, 7)).astype(np.float32)
    flipped = made(Flip(), x)
    turned = np.array([np.array_equal(one, before[..., ::-1]) for one, before in zip(flipped, x)])
    same = np.array([np.array_equal(one, before) for one, before in zip(flipped, x)])
    assert (turned ^ same).all()
    assert 140 < turned.sum() < 260
    cut = made(Crop(4, 5), x)
    assert cut.shape == (400, 3, 4, 5)
    places = {
        (top, left)
        for one, before in zip(cut, x)
        for top in range(3)
        for left in range(3)
        if np.array_equal(one, before[:, top : top + 4, left : left + 5])
    }
    assert len(places) == 9
    noise = made(Noise(0.2), x) - x
    assert noise.std() == pytest.approx(0.2, rel=0.02)
    assert abs(noise.mean()) < 0.005
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.3
    np.testing.assert_array_equal(
        x, np.random.default_rng(0).random((400, 3, 6, 7)).astype(np.float32)
    )  # the data is untouched


def test_functions_of_python() -> None:
    x = np.ones((5, 4))
    np.testing.assert_array_equal(made(lambda sample: sample[:2] * 3, x), np.full((5, 2), 3))
    drawn = made([lambda sample, random: sample + random.random(4), lambda sample: 2 * sample], x)
    assert len(np.unique(drawn)) == 20
    np.testing.assert_array_equal(
        drawn, made([lambda sample, random: sample + random.random(4), lambda sample: 2 * sample], x)
    )
    with pytest.raises(SnnError, match="made a sample of shape"):
        made(lambda sample: sample[: int(sample[0])], np.arange(1.0, 21).reshape(5, 4))


def test_events_jittered_and_dropped() -> None:
    source = spikes(40)
    plain = np.concatenate([x for _, x, _ in Batches(source, 8, 0, False).epoch(0)])
    assert plain.sum() == 40 * 500
    dropped = np.concatenate([x for _, x, _ in Batches(source, 8, 0, False, Drop(0.3)).epoch(0)])
    assert (dropped <= plain).all()
    assert dropped.sum() == pytest.approx(0.7 * 20_000, abs=4 * np.sqrt(0.21 * 20_000))
    jittered = np.concatenate([x for _, x, _ in Batches(source, 8, 0, False, [Jitter(100.0)]).epoch(0)])
    assert 0 < np.abs(jittered - plain).sum() < 0.2 * plain.sum()
    assert not np.array_equal(jittered[0], jittered[1])
