"""Curves of a training: every figure of the history is in the picture, and nothing in it lies over anything else."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnlang.diagnostics import SnnError
from snnlang.runtime.training import Epoch, History

pytest.importorskip("matplotlib")

from snnlang.runtime.curves import draw, figure
from snnlang.runtime.plotting import title_of

LOSS = (0.9, 0.5, 0.4)


def history(**changes: Any) -> History:
    epochs = tuple(
        Epoch(
            k,
            loss,
            1 - loss,
            loss + 0.1 if k else None,
            0.9 - loss if k else None,
            1e-3,
            1.0,
            100.0,
            {"first": 0.2, "second": loss},
        )
        for k, loss in enumerate(LOSS)
    )
    return replace(History(epochs, test_loss=0.4567, test_accuracy=0.6125), **changes)


def lines(axes: Any) -> dict[str, list[float]]:
    return {line.get_label(): np.asarray(line.get_ydata(), float).tolist() for line in axes.get_lines()}


def test_everything_is_drawn() -> None:
    made = figure(history(), "Digits")
    loss, accuracy, rates = made.axes
    assert made.get_suptitle() == "Digits"
    assert [axes.get_xlabel() for axes in made.axes] == ["epoch"] * 3
    assert [axes.get_ylabel() for axes in made.axes] == ["loss", "accuracy (%)", "spikes per neuron and step"]
    assert lines(loss)["training"] == [0.9, 0.5, 0.4]
    assert lines(loss)["validation"] == pytest.approx([float("nan"), 0.6, 0.5], nan_ok=True)
    assert lines(loss)["test 0.457"] == [0.4567, 0.4567]
    assert lines(accuracy)["training"] == pytest.approx([10, 50, 60])
    assert lines(accuracy)["validation"] == pytest.approx([float("nan"), 40, 50], nan_ok=True)
    assert lines(accuracy)["test 61.3 %"] == pytest.approx([61.25, 61.25])
    assert lines(rates) == {"first": [0.2] * 3, "second": [0.9, 0.5, 0.4]}
    assert rates.get_ylim()[0] == 0
    panels: list[Any] = list(made.axes)
    for axes in panels:
        assert all(
            line.get_xdata()[0] in (0, 1) for line in axes.get_lines()
        )  # an epoch, or the left edge of the line across
        assert all(float(tick).is_integer() for tick in axes.get_xticks())
        assert [text.get_text() for text in axes.get_legend().get_texts()] == list(lines(axes))


def test_what_is_not_there_has_no_panel() -> None:
    plain = tuple(replace(epoch, accuracy=None, validation_accuracy=None, rates={}) for epoch in history().epochs)
    (axes,) = figure(history(epochs=plain, test_loss=None, test_accuracy=None)).axes
    assert set(lines(axes)) == {"training", "validation"}


@pytest.mark.parametrize(("experiment", "title"), [("Digits", "Digits"), ("learn", "Digits: learn")])
def test_titles(experiment: str, title: str) -> None:
    assert title_of("Digits", experiment) == title


@pytest.mark.parametrize("factor", [1.0, 1e-5, 1e6])
def test_panels_do_not_overlap(factor: float) -> None:
    """Labels of large and small numbers included; and all of them lie within the picture."""
    epochs = tuple(replace(epoch, loss=factor * epoch.loss, validation_loss=None) for epoch in history().epochs)
    made = figure(history(epochs=epochs, test_loss=None), "A title")
    made.draw_without_rendering()
    boxes = [box for box in (axes.get_tightbbox() for axes in made.axes) if box is not None]
    assert len(boxes) == 3
    for left, right in pairwise(boxes):
        assert left.x1 < right.x0
    width, height = made.canvas.get_width_height()
    assert boxes[0].x0 >= 0
    assert boxes[-1].x1 <= width
    assert all(box.y0 >= 0 and box.y1 < height - 15 for box in boxes)  # below the title


def test_the_same_training_is_the_same_picture(tmp_path: Path) -> None:
    for ending in ("png", "svg", "pdf"):
        for name in ("one", "other"):
            draw(history(), tmp_path / f"{name}.{ending}", "Digits")
        one = (tmp_path / f"one.{ending}").read_bytes()
        assert len(one) > 2000
        assert one == (tmp_path / f"other.{ending}").read_bytes()
    with pytest.raises(SnnError) as caught:
        draw(history(), tmp_path / "curve.xyz")
    assert caught.value.diagnostics[0].code == "E803"
