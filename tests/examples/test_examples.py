"""Every example runs, shows what its first lines promise, and draws a picture."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import snnlang
from snnlang.compile import check_path
from snnlang.data.load import load
from tests.targets import needs_compiler

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.snn"))

Example = Callable[..., Any]


def irregularity(times: NDArray[np.float64], cells: NDArray[np.int64], number: int) -> float:
    """Mean coefficient of variation of the intervals of neurons with more than three spikes."""
    values = []
    for cell in range(number):
        intervals = np.diff(times[cells == cell])
        if len(intervals) > 3:
            values.append(intervals.std() / intervals.mean())
    return float(np.mean(values))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_checks_without_a_remark(path: Path) -> None:
    program, diagnostics = check_path(str(path))
    assert program is not None
    assert diagnostics == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_starts_with_what_it_shows(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    if path.stem != "language_tour":
        assert len(lines) <= 50
        trains = any(line.startswith("train ") for line in lines)  # draws its curve where --plot asks for it
        assert trains or any(line.strip().startswith("plot ") for line in lines)


@pytest.mark.parametrize(
    ("experiment", "rate", "variation"), [("coba", (15, 27), (1.2, 2.2)), ("cuba", (4.5, 7.5), (0.35, 0.8))]
)
def test_balanced(example: Example, experiment: str, rate: tuple[float, float], variation: tuple[float, float]) -> None:
    """Ranges around an independent simulation of both networks: 20.5 Hz and CV 1.63, 6.0 Hz and CV 0.53."""
    recording = example("balanced", experiment)
    times, cells = recording.spikes("E")
    late = times > 200
    assert rate[0] < late.sum() / 3200 / 0.8 < rate[1]
    assert variation[0] < irregularity(times, cells, 400) < variation[1]


def test_pcnn_segmentation(example: Example) -> None:
    """Brighter pixels fire first, and linking merges neighbours into larger segments than the photograph's grey levels do."""
    ndimage = pytest.importorskip("scipy.ndimage")

    def first(recording: Any) -> NDArray[np.int64]:
        times, pixels = recording.spikes("pixel")
        result = np.full(160 * 240, -1)
        result[pixels[::-1]] = np.round(times[::-1])
        return result.reshape(160, 240)

    def segments(firing: NDArray[np.int64]) -> int:
        return sum(ndimage.label(firing == level)[1] for level in np.unique(firing))

    linked = first(example("pcnn_segmentation"))
    assert (linked >= 0).mean() > 0.99
    assert 5 <= len(np.unique(linked)) <= 25
    unlinked = first(example("pcnn_segmentation", set={"beta": 0}))
    assert segments(linked) < 0.5 * segments(unlinked)
    columns = load("photograph", {"name": "china", "rows": 160, "columns": 240})
    order = np.corrcoef(np.asarray(columns["image"]).ravel(), linked.ravel())[0, 1]
    assert order < -0.75
    sky, _ = ndimage.label(linked == linked.min())
    assert max(np.bincount(sky.ravel())[1:]) > 0.4 * linked.size  # sky and lake are one segment


def test_stdp_window(example: Example) -> None:
    recording = example("stdp_window")
    change = recording["pairs.w"][-1] - 0.5
    distance = 40.0 - np.arange(81)  # post minus pre, in ms
    expected = np.where(distance > 0, 0.01 * np.exp(-distance / 20), -0.0105 * np.exp(distance / 20))
    expected[distance == 0] = 0
    assert change == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
def test_song_abbott(example: Example) -> None:
    """Catalogue L2: more than 60 percent in the outer two deciles of each side, less than 10 percent in the middle.

    The rate depends on the order within a step at dt = 1 ms: an independent simulation gives 33 Hz when a conductance acts
    in the step of its spike, and 43 Hz when it acts in the next, as here.
    """
    recording = example("song_abbott", duration="60 s")
    w = recording["feed.w"][-1]
    deciles = np.histogram(w, bins=10, range=(0, 1))[0] / 400
    assert deciles[:2].sum() + deciles[-2:].sum() > 0.6
    assert deciles[4:6].sum() < 0.1
    assert w.min() >= 0
    assert w.max() <= 1
    times, _ = recording.spikes("cell")
    assert 33 < (times > 40_000).sum() / 20 < 55


def test_adex_patterns(example: Example) -> None:
    recording = example("adex_patterns")
    times, cells = recording.spikes("cell")
    intervals = [np.diff(times[cells == cell]) for cell in range(6)]
    tonic, adapting, initial, bursting, accelerating, transient = intervals
    assert len(tonic) + 1 == pytest.approx(51, abs=1)
    assert tonic[0] == pytest.approx(9.0, abs=0.1)
    assert tonic[-1] == pytest.approx(9.6, abs=0.1)
    assert adapting[:5] == pytest.approx([11.3, 14.4, 19.7, 29.5, 47.8], rel=0.03)
    assert initial[:2] == pytest.approx([3.5, 7.4], rel=0.05)
    assert initial[-1] == pytest.approx(64, rel=0.03)
    assert bursting[-2:].min() == pytest.approx(5.4, rel=0.05)
    assert bursting[-2:].max() == pytest.approx(133.2, rel=0.03)
    assert accelerating[0] == pytest.approx(20.6, rel=0.03)
    assert accelerating[-1] == pytest.approx(10.7, rel=0.03)
    assert (cells == 5).sum() == 1
    assert len(transient) == 0


def test_hodgkin_huxley(example: Example) -> None:
    recording = example("hodgkin_huxley")
    times, axons = recording.spikes("axon")
    counts = recording.counts("axon").tolist()
    assert counts[:2] == [1, 3]
    for axon, rate in ((2, 55.2), (3, 68.4)):
        assert 1000 / np.diff(times[axons == axon])[-3:].mean() == pytest.approx(rate, rel=0.01)
    assert recording["axon.v"][:, 3].max() == pytest.approx(40.5, abs=0.5)


@pytest.mark.slow
def test_digits(example: Example) -> None:
    """Cells named after the digit they answer most while learning read unseen images; guessing would give 10 percent."""
    shorter = {'split = "train"': 'split = "train", limit = 500', 'split = "test"': 'split = "test", limit = 200'}
    recording = example("digits", shorter=shorter)
    trials = recording.trials
    labels = np.asarray(trials.labels["label"])
    times, cells = recording.spikes("cell")
    trial_of = np.searchsorted(np.asarray(trials.start), times, side="right") - 1
    answers = np.zeros((len(labels), 100))
    np.add.at(answers, (trial_of, cells), 1)
    phase = np.asarray(trials.phase)
    learning = np.flatnonzero(phase == 0)[-300:]  # the prototypes have settled by then
    response = np.array([answers[learning][labels[learning] == digit].mean(axis=0) for digit in range(10)])
    votes = (answers @ (response / np.maximum(response.sum(axis=0), 1e-9)).T).argmax(axis=1)
    test = phase == 1
    assert (votes[test] == labels[test]).mean() > 0.5
    w = recording["feed.w"][-1].reshape(64, 100)
    assert w.sum(axis=0) == pytest.approx(8.0, rel=0.05)


def test_tour_checks_and_its_network_runs() -> None:
    model = snnlang.load(Path(__file__).parents[2] / "examples" / "language_tour.snn")
    recording = model.run("raster", target="numpy", progress=False, duration="20 ms", set={"N": 200})
    assert recording["E.v"].shape[1] == 3
    assert math.isfinite(float(recording["E.v"].sum()))


@needs_compiler
def test_train_digits() -> None:
    """97 % of the test images: 96.9, 97.5 and 97.5 % with the seeds 0, 1 and 2."""
    net = snnlang.load(EXAMPLES[0].parent / "train_digits.snn").network(target="c", seed=1)
    history = net.train()
    assert history.test_accuracy is not None
    assert history.test_accuracy > 0.96
    assert all(0.1 < epoch.rates["hidden"] < 0.7 for epoch in history.epochs)


@needs_compiler
def test_train_digits_conv() -> None:
    """Most of the test images after six epochs, and a simulation of it, its normalisation folded, that fires alike."""
    model = snnlang.load(EXAMPLES[0].parent / "train_digits_conv.snn")
    net = model.network(target="c", seed=1, set={"epochs": 6})
    history = net.train()
    assert history.test_accuracy is not None
    assert history.test_accuracy > 0.97
    rates = net.evaluate(which="test")["rates"]
    recording = model.run("watched", target="c", weights=net.weights, progress=False)
    for layer, size in (("c1", 1024), ("c2", 512)):
        assert len(recording.spikes(layer)[0]) / (359 * 4 * size) == pytest.approx(rates[layer], rel=0.1)


@needs_compiler
@pytest.mark.parametrize(
    ("name", "epochs", "least", "rates"), [("digits_tssl_bp", 15, 0.93, (0.2, 0.45)), ("digits_spike_bp", 6, 0.88, (0.1, 0.3))]
)
def test_written_backward_passes(name: str, epochs: int, least: float, rates: tuple[float, float]) -> None:
    """Wide limits around the hidden rates of an independent implementation of both methods: .25 to .35, and .17, in each step."""
    net = snnlang.load(EXAMPLES[0].parent / f"{name}.snn").network(target="c", seed=2, threads=1, set={"epochs": epochs})
    history = net.train()
    assert history.test_accuracy is not None
    assert history.test_accuracy > least
    assert rates[0] < history.epochs[-1].rates["hidden"] < rates[1]


@needs_compiler
def test_trainable_time_constants() -> None:
    """Time constants of their own find what equal ones miss, and spread from where they began."""
    model = snnlang.load(EXAMPLES[0].parent / "trainable_time_constants.snn")
    net = model.network(target="c", seed=1, set={"epochs": 12})
    trained = net.train().test_accuracy
    tau = np.asarray(net.weights["hidden.tau"])
    assert tau.shape == (100,)
    assert tau.min() < 1.5
    assert tau.max() > 3
    text = (EXAMPLES[0].parent / "trainable_time_constants.snn").read_text(encoding="utf-8")
    fixed = snnlang.load(f"{text}    freeze hidden.tau\n").network(target="c", seed=1, set={"epochs": 12})
    plain = fixed.train().test_accuracy
    assert "hidden.tau" not in fixed.weights
    assert trained is not None
    assert plain is not None
    assert trained > 0.76
    assert trained > plain + 0.03


def test_trainable_delays() -> None:
    """A delay and decays of currents move while they are trained, and two ways of different length tell more than two equal ones."""
    text = (EXAMPLES[0].parent / "trainable_delays.snn").read_text(encoding="utf-8")
    net = snnlang.load(text).network(target="c", seed=0, set={"epochs": 10})
    trained = net.train().test_accuracy
    assert abs(float(net.weights["far.delay"]) - 2.5) > 0.05
    assert float(net.weights["near.tau"]) < 1.98 < 2.02 < float(net.weights["far.tau"])
    written = "delay = trainable(2.5 ms, max = 7 ms)"
    assert written in text
    plain = snnlang.load(text.replace(written, "delay = 0 ms")).network(target="c", seed=0, set={"epochs": 10}).train().test_accuracy
    assert trained is not None
    assert plain is not None
    assert trained > 0.84
    assert trained > plain + 0.02


def segmentation() -> Any:
    """The script of the example as a module."""
    spec = importlib.util.spec_from_file_location("ccnn_segmentation", EXAMPLES[0].parent / "ccnn_segmentation.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_ccnn_segmentation(tmp_path: Path) -> None:
    """A third of the training already finds more of the digits than any threshold, which no network had to learn."""
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    script = segmentation()
    (x, y), (images, masks) = script.scenes(160, 1, "train"), script.scenes(50, 2, "test")
    assert 0.1 < masks.mean() < 0.3
    baselines = {name: script.scores(np.array([way(image) for image in images]), masks) for name, way in script.BASELINES.items()}
    assert baselines["Otsu, flattened"][1] > baselines["Otsu"][1] + 0.1
    net = snnlang.load(EXAMPLES[0].parent / "ccnn_segmentation.snn").network(seed=1)
    history = net.train(x, y, epochs=16)
    found = script.segments(net, images)
    right, overlap = script.scores(found, masks)
    assert right > max(one[0] for one in baselines.values())
    assert overlap > max(one[1] for one in baselines.values())
    assert history.epochs[-1].loss < 0.5 * history.epochs[0].loss
    script.picture(tmp_path / "scenes.png", images, masks, {"after": found})
    assert (tmp_path / "scenes.png").stat().st_size > 5000


def test_otsu_parts_two_levels() -> None:
    """The baseline of the example: two clear levels are parted whatever their shares."""
    script = segmentation()
    random = np.random.default_rng(1)
    for share in (0.1, 0.5, 0.8):
        mask = random.random((40, 40)) < share
        assert np.array_equal(script.otsu(0.2 + 0.5 * mask + random.normal(0, 0.03, mask.shape)), mask)


#: Of each network that takes long to train: one sample in the shape of its data, and the most that its loss may be at the beginning.
#: The scores of ``fashion_rows`` are far apart from the beginning: they sum what 256 neurons, a fifth of which fires, sent in ten steps.
SAMPLES = {
    "fashion_mlp": ((28, 28), 3.2),
    "fashion_deep": ((28, 28), 3.2),
    "fashion_rows": ((28, 28), 8.0),
    "fashion_conv": ((28, 28), 3.2),
    "fashion_saccades": ((10, 2, 34, 34), 3.2),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_long_trainings_begin(name: str) -> None:
    """A batch of made pictures: the loss begins at a sound value, its slope predicts it, and every weight has a gradient."""
    random = np.random.default_rng(1)
    shape, most = SAMPLES[name]
    x = random.random((16, *shape)) if len(shape) == 2 else (random.random((16, *shape)) < 0.05).astype(float)
    y = random.integers(0, 10, 16)
    net = snnlang.load(EXAMPLES[0].parent / f"{name}.snn").network(seed=1)
    loss, gradients = net.grad(x, y)
    assert 2 < loss < most
    statistics = {name for name in net.weights if name.endswith((".mean", ".variance"))}  # of batch_norm: not learnt
    assert set(gradients) == set(net.weights) - statistics
    for parameter, gradient in gradients.items():
        assert np.all(np.isfinite(gradient)), parameter
        assert np.any(gradient != 0), parameter
    bias = "hidden->out.x.bias" if "hidden->out.x.bias" in gradients else "second->out.x.bias"
    slope = float((np.asarray(gradients[bias], float) ** 2).sum())
    step = min(0.01, 0.02 / slope)
    again = snnlang.load(EXAMPLES[0].parent / f"{name}.snn").network(seed=1)  # the first samples again, with their dropout
    again.weights[bias][...] -= step * gradients[bias]
    after, _ = again.grad(x, y)
    assert loss - after == pytest.approx(step * slope, rel=0.05)
