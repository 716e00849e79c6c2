"""Draws the curves of a training: loss, accuracy and firing rates over the epochs, with what the test data gave as a line across."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnlang.runtime.frame import FAINT, INK, PALETTE
from snnlang.runtime.plotting import STYLE, require_matplotlib, write
from snnlang.runtime.training import Epoch, History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Epochs that are few enough to be marked one by one.
MARKED = 12


def draw(history: History, path: str | Path, title: str = "") -> None:
    """Write the picture, whole or not at all; raises E801, E803 and E806."""
    write(figure(history, title), path)


def figure(history: History, title: str = "") -> Figure:
    """A Matplotlib figure with a panel for the loss, one for the accuracy and one for the rates, where there are any; raises E806."""
    matplotlib = require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = history.epochs
    panels = ["loss"]
    if any(epoch.accuracy is not None for epoch in epochs):
        panels.append("accuracy")
    if any(epoch.rates for epoch in epochs):
        panels.append("rates")
    with matplotlib.rc_context(STYLE):
        made = Figure(figsize=(3.0 * len(panels), 2.6 + 0.2 * bool(title)), layout="constrained")
        FigureCanvasAgg(made)
        made.get_layout_engine().set(h_pad=0.06, w_pad=0.08, wspace=0.05)  # type: ignore[union-attr, call-arg]
        for place, panel in enumerate(panels):
            axes = made.add_subplot(1, len(panels), place + 1)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
            axes.grid(True, axis="y")
            if panel == "rates":
                _rates(axes, epochs)
            else:
                _measure(axes, history, panel)
        if title:
            made.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
    return made


def _measure(axes: Any, history: History, panel: str) -> None:
    """Loss or accuracy of training and validation; the test is measured once, after the last epoch, with the best weights."""
    epochs = history.epochs
    accuracy = panel == "accuracy"
    factor = 100.0 if accuracy else 1.0
    for name, label, colour in ((panel, "training", PALETTE[0]), (f"validation_{panel}", "validation", PALETTE[1])):
        values = [getattr(epoch, name) for epoch in epochs]
        if any(value is not None for value in values):
            _line(axes, epochs, [float("nan") if value is None else factor * value for value in values], label, colour)
    test = history.test_accuracy if accuracy else history.test_loss
    if test is not None:
        label = f"test {factor * test:.1f} %" if accuracy else f"test {test:.3g}"
        axes.axhline(factor * test, color=INK, linestyle=(0, (4, 3)), linewidth=1.0, label=label)
    axes.set_ylabel("accuracy (%)" if accuracy else "loss")
    axes.legend(frameon=False, loc="lower right" if accuracy else "upper right")


def _rates(axes: Any, epochs: tuple[Epoch, ...]) -> None:
    for number, layer in enumerate(epochs[-1].rates):
        rates = [epoch.rates.get(layer, float("nan")) for epoch in epochs]
        _line(axes, epochs, rates, layer, PALETTE[number % len(PALETTE)])
    axes.set_ylabel("spikes per neuron and step")
    axes.set_ylim(bottom=0, top=1.12 * axes.get_ylim()[1])
    axes.legend(frameon=False)  # wherever the lines leave most room


def _line(axes: Any, epochs: tuple[Epoch, ...], values: list[float], label: str, colour: str) -> None:
    mark = "o" if len(epochs) <= MARKED else ""
    numbers = [epoch.number for epoch in epochs]
    axes.plot(
        numbers, values, marker=mark, markersize=3, linewidth=1.4, color=colour, markeredgecolor=colour, label=label
    )
    axes.tick_params(color=FAINT)
