"""What is measured, and with which samples: every one of what was asked for, as it is; and what there is to doubt in the figures."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnlang.cli.program import run
from snnlang.data.columns import Scaled
from snnlang.diagnostics import SnnError
from snnlang.runtime.network import Network

from .networks import images, network, text
from .test_trainer import DIGITS, LINES, SCORES, classes, code

MORE = "validate = 0.2\naugment = images(noise = 3)"


def net(more: str = MORE, loss: str = SCORES, size: int = 6) -> Network:
    return network(text(LINES, loss=loss, more=more, size=size))


def by_hand(trained: Network, x: Any, y: Any) -> tuple[float, float]:
    """The mean cross-entropy of the scores, and how often the largest is right."""
    scores = trained.forward(x)["out.v:mean"]
    scores = scores - scores.max(axis=1, keepdims=True)
    chosen = scores[np.arange(len(y)), y] - np.log(np.exp(scores).sum(axis=1))
    return float(-chosen.mean()), float((scores.argmax(axis=1) == y).mean())


def test_given_samples_all_count_as_they_are() -> None:
    """The block keeps a part for validation and adds noise when it trains; neither is done to what is measured."""
    x, y = classes(50)
    trained = net()
    trained.train(x, y)
    found = trained.evaluate(x, y)
    assert (found["data"], found["samples"]) == ("given", 50)
    assert (found["loss"], found["accuracy"]) == pytest.approx(by_hand(trained, x, y), rel=1e-9)
    for given in ({"image": x, "label": y}, list(zip(x, y, strict=True)), iter(zip(x, y, strict=True))):
        assert trained.evaluate(given)["loss"] == pytest.approx(found["loss"], rel=1e-6)  # pairs come in single precision
    one = trained.evaluate(x[:1], y[:1])
    assert one["samples"] == 1
    assert one["rates"].keys() == {"h"}


def test_rates_are_of_what_is_measured() -> None:
    trained = net("")
    dark = trained.evaluate(np.zeros((9, 6)), np.zeros(9, dtype=int))
    bright = trained.evaluate(np.full((9, 6), 50.0), np.zeros(9, dtype=int))
    assert dark["rates"]["h"] == 0
    assert bright["rates"]["h"] > 0.1


def test_training_and_validation_data_of_the_block(tmp_path: Path) -> None:
    x, y = classes(60)
    np.savez(tmp_path / "all.npz", image=x, label=y)
    source = text(LINES, loss=SCORES, more=MORE).replace("data = mine", f'data = npz("{tmp_path / "all.npz"}")')
    trained = network(source)
    history = trained.train()
    found = {which: trained.evaluate(which=which) for which in ("validate", "train")}
    assert {which: result["samples"] for which, result in found.items()} == {"validate": 12, "train": 48}
    assert found["validate"]["loss"] == pytest.approx(history.epochs[-1].validation_loss)
    assert trained.evaluate() == found["validate"]
    whole = trained.evaluate(x, y)["loss"]
    assert whole == pytest.approx((12 * found["validate"]["loss"] + 48 * found["train"]["loss"]) / 60, rel=1e-6)


def test_test_data_are_measured_without_the_others(tmp_path: Path) -> None:
    """Neither training nor validation data need to be there."""
    x, y = classes(20)
    np.savez(tmp_path / "test.npz", image=x, label=y)
    source = text(LINES, loss=SCORES, more=f'test = npz("{tmp_path / "test.npz"}")')
    trained = network(source.replace("data = mine", 'data = npz("nowhere.npz")'))
    found = trained.evaluate()
    assert (found["data"], found["samples"]) == ("test", 20)
    assert found["loss"] == pytest.approx(by_hand(trained, x, y)[0], rel=1e-6)


def test_crops_are_learnt_from_and_the_middle_is_measured() -> None:
    x, y = images(30, 64).reshape(30, 8, 8), np.arange(30) % 3
    source = text(LINES, loss=SCORES, more="augment = images(crop = 6)").replace("image[6]", "image[6, 6]")
    trained = network(source)
    history = trained.train(x, y, validation=(x, y))
    middle = by_hand(trained, x[:, 1:7, 1:7], y)
    assert (history.epochs[-1].validation_loss, history.epochs[-1].validation_accuracy) == pytest.approx(middle, rel=1e-6)


def test_augmentation_from_python() -> None:
    """A function takes the place of what the block says; what is measured does not go through it."""
    x, y = classes(24)
    seen: list[float] = []

    def brighter(sample: Any, generator: np.random.Generator) -> Any:
        seen.append(float(generator.random()))
        return sample + 10 * seen[-1]

    trained, other = net(""), net("")
    history = trained.train(x, y, validation=(x, y), augment=brighter, epochs=2)
    assert len(set(seen[1:])) == 48  # one is tried to know its shape; then each sample of both epochs is drawn for
    assert history.epochs[-1].validation_loss == pytest.approx(by_hand(trained, x, y)[0], rel=1e-6)
    other.train(x, y, augment=brighter, epochs=2)
    assert np.array_equal(trained.weights["h->out.x.w"], other.weights["h->out.x.w"])
    plain = net("")
    plain.train(x, y, epochs=2)
    assert not np.array_equal(trained.weights["h->out.x.w"], plain.weights["h->out.x.w"])
    with pytest.raises(SnnError) as problem:
        net("").train(x, y, augment="brighter")
    assert code(problem) == "E632"


def test_columns_that_make_their_rows_when_asked() -> None:
    """They go into a training as they are, not as one large array."""
    values = np.random.default_rng(0).integers(0, 256, (30, 6), dtype=np.uint8)
    y = np.arange(30) % 3

    class Once(Scaled):
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
            raise AssertionError("all rows at once")

    lazy, plain = net("validate = 0.2"), net("validate = 0.2")
    assert [epoch.loss for epoch in lazy.train(Once(values), y).epochs] == pytest.approx(
        [epoch.loss for epoch in plain.train(values / 255, y).epochs], rel=1e-6
    )


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_measures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("safetensors")
    lines = DIGITS.replace("epochs = 8", "epochs = 1").replace("h[100]", "h[8]").replace("    seed = 3\n", "")
    lines = lines.replace("    steps =", "    target = numpy\n    threads = 1\n    steps =")
    tested = lines.replace("    test =", "    validate = 0.1\n    test =")
    validated = "\n".join(line for line in tested.splitlines() if "test =" not in line)
    alone = "\n".join(line for line in validated.splitlines() if "validate" not in line)
    for name, source in (("tested", tested), ("validated", validated), ("alone", alone)):
        (tmp_path / f"{name}.snn").write_text(source + "\n")
    weights = tmp_path / "out" / "best.safetensors"
    assert run(["run", str(tmp_path / "tested.snn"), "--quiet", "--seed", "5", "--out", str(tmp_path / "out")]) == 0

    def said(name: str, *words: str) -> tuple[str, str]:
        assert run(["eval", str(tmp_path / f"{name}.snn"), "--weights", str(weights), *words]) == 0
        made = capsys.readouterr()
        return made.out.splitlines()[0], made.err

    capsys.readouterr()
    line, warned = said("tested")
    assert line.startswith("test data: 359 samples, loss ")
    assert not warned
    line, warned = said("validated")
    assert line.startswith("validation data: 144 samples")
    assert not warned
    assert said("validated", "--seed", "5") == (line, "")
    other, warned = said("validated", "--seed", "0")
    assert other != line
    assert "warning[W793]" in warned
    assert "drawn with seed 0, and the training drew it with 5" in warned
    assert "= help: measure with the seed of the training: `--seed 5`" in warned
    line, warned = said("alone")
    assert line.startswith("training data: 1,438 samples")
    assert "warning[W792]" in warned
    assert "names no test data" in warned
    line, warned = said("alone", "--data", "train")
    assert line.startswith("training data: 1,438 samples")
    assert not warned
    assert run(["eval", str(tmp_path / "alone.snn"), "--weights", str(weights), "--data", "test"]) == 1
    assert "error[E754]: the `train` block names no data to test" in capsys.readouterr().err


# --- what is told of each epoch ---------------------------------------------------------------------------------------


def test_epochs_count_from_one_everywhere(tmp_path: Path) -> None:
    """The screen, both files of metrics, the checkpoint and Python say the same; the files are there after every epoch."""
    pytest.importorskip("safetensors")
    x, y = classes()
    seen: list[tuple[str, int, int]] = []

    def say(line: str) -> None:
        with open(tmp_path / "out" / "metrics.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        data = json.loads((tmp_path / "out" / "metrics.json").read_text())
        seen.append((line.split("  ")[0], int(rows[-1]["epoch"]), data["epochs"][-1]["number"]))
        assert len(rows) == len(data["epochs"]) == len(seen)
        assert float(rows[-1]["learning_rate"]) == 0.01
        assert float(rows[-1]["rate of h"]) == data["epochs"][-1]["rates"]["h"]

    trained = net("")
    history = trained.train(x, y, epochs=3, out=tmp_path / "out", say=say)
    assert seen == [("epoch 1/3", 1, 1), ("epoch 2/3", 2, 2), ("epoch 3/3", 3, 3)]
    assert [epoch.number for epoch in history.epochs] == [1, 2, 3]
    losses = [epoch.loss for epoch in history.epochs]
    assert history.best_epoch == losses.index(min(losses)) + 1
    history = net("").train(x, y, epochs=5, out=tmp_path / "out", resume=True)
    assert [epoch.number for epoch in history.epochs] == [1, 2, 3, 4, 5]
    assert [epoch.loss for epoch in history.epochs[:3]] == losses


def test_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no bar, lines tell it: what an epoch has taken, times those that are to come."""
    from snnlang.runtime import training

    assert [training._left(seconds) for seconds in (0.2, 99, 100, 3540, 7260, 12_000)] == [
        "0 s", "99 s", "2 min", "59 min", "2 h 1 min", "3 h 20 min",
    ]  # fmt: skip
    clock = iter(range(0, 10**6, 10))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    x, y = classes(8)
    said: list[str] = []
    net("").train(x, y, epochs=4, say=said.append)
    left = [line.rpartition("  ")[2] for line in said]
    assert [line.endswith(" left") for line in left] == [True, True, True, False]
    seconds = [int(line.split()[0]) * (60 if "min" in line else 1) for line in left[:3]]
    assert seconds[0] > seconds[1] > seconds[2] > 0
