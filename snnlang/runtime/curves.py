"""Draws the curves of a training: loss, accuracy and firing rates over the epochs."""

from __future__ import annotations

from pathlib import Path

from snnlang.files import write_atomically
from snnlang.runtime.training import History


def draw(history: History, path: str | Path) -> None:
    """Write a picture with Matplotlib; raises E801 where it cannot be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = history.epochs
    numbers = [epoch.number + 1 for epoch in epochs]
    panels = ["loss"]
    if any(epoch.accuracy is not None for epoch in epochs):
        panels.append("accuracy")
    if any(epoch.rates for epoch in epochs):
        panels.append("rates")
    figure = Figure(figsize=(4.2 * len(panels), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    for place, panel in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), place + 1)
        axes.set_xlabel("epoch")
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        mark = "o-" if len(numbers) < 3 else "-"
        if panel == "rates":
            for layer in epochs[-1].rates:
                axes.plot(numbers, [epoch.rates.get(layer, float("nan")) for epoch in epochs], mark, label=layer)
            axes.set_ylabel("spikes per neuron and step")
            axes.set_ylim(bottom=0)
            axes.legend(frameon=False)
            continue
        factor = 100.0 if panel == "accuracy" else 1.0
        for name, label in ((panel, "training"), (f"validation_{panel}", "validation")):
            values = [getattr(epoch, name) for epoch in epochs]
            if any(value is not None for value in values):
                axes.plot(numbers, [float("nan") if value is None else factor * value for value in values], mark, label=label)
        test = history.test_loss if panel == "loss" else history.test_accuracy
        if test is not None:
            axes.axhline(factor * test, color="0.5", linestyle=":", label="test")
        axes.set_ylabel("loss" if panel == "loss" else "accuracy (%)")
        axes.legend(frameon=False)
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=150)
