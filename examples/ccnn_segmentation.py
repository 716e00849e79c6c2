"""Trains ``ccnn_segmentation.snn`` on digits in noise and uneven light, and compares it with Otsu's threshold.

    python examples/ccnn_segmentation.py [FOLDER] [SEED ...]

The scenes are made here, so that the right mask of each is known: a digit of scikit-learn, three times as large, somewhere in 32 x 32
pixels, 0.35 brighter than a background that changes by up to 0.3 from side to side, with noise of standard deviation 0.15. Written are
``ccnn_segmentation.png``, scenes before and after training, and ``ccnn_segmentation_curve.png``. Needs ``snnlang[plot,examples]``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import snnlang
from snnlang.data.load import load
from snnlang.runtime.curves import draw

Values = NDArray[Any]
SIDE, SCALE = 32, 3


def scenes(count: int, seed: int, split: str) -> tuple[Values, Values]:
    """``count`` images (count, 32, 32) from 0 to 1, and their masks, 1 where the digit is."""
    digits = np.asarray(load("digits", {"split": split})["image"])
    draws = np.random.default_rng(seed)
    down, across = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1) - 0.5
    images, masks = np.zeros((2, count, SIDE, SIDE), np.float32)
    for image, mask in zip(images, masks):
        digit = np.kron(digits[draws.integers(len(digits))], np.ones((SCALE, SCALE)))
        top, left = draws.integers(0, SIDE - len(digit) + 1, 2)
        mask[top : top + len(digit), left : left + len(digit)] = digit > 0.4
        angle = draws.uniform(0, 2 * np.pi)
        light = 0.35 + 0.3 * (np.cos(angle) * across + np.sin(angle) * down)
        image[...] = np.clip(light + 0.35 * mask + draws.normal(0, 0.15, mask.shape), 0, 1)
    return images, masks


def otsu(image: Values) -> Values:
    """Pixels above the threshold that parts their values into two classes of the greatest variance between them (Otsu 1979)."""
    counts, edges = np.histogram(image, 256)
    below = np.cumsum(counts)[:-1] / counts.sum()
    sums = np.cumsum(counts * (edges[1:] + edges[:-1]) / 2) / counts.sum()
    apart = (sums[-1] * below - sums[:-1]) ** 2 / np.maximum(below * (1 - below), 1e-12)
    return np.asarray(image > edges[1:-1][np.argmax(apart)])


def mean(image: Values, size: int) -> Values:
    """The mean of the size x size pixels around each, of which those beyond the edge are as those at it."""
    around = np.pad(image, size // 2, mode="edge")
    return np.asarray(np.lib.stride_tricks.sliding_window_view(around, (size, size)).mean((2, 3)))


#: What needs no training: the threshold of the image, of the smoothed one, and of that without its background.
BASELINES = {
    "Otsu": otsu,
    "Otsu, smoothed": lambda image: otsu(mean(image, 3)),
    "Otsu, flattened": lambda image: otsu(mean(image, 3) - mean(image, 21)),
}


def scores(found: Values, masks: Values) -> tuple[float, float]:
    """The part of pixels that are right, and the mean overlap (intersection over union) of digit and segment."""
    right = masks > 0.5
    overlap = (found & right).sum((1, 2)) / np.maximum((found | right).sum((1, 2)), 1)
    return float((found == right).mean()), float(overlap.mean())


def segments(net: Any, images: Values) -> Values:
    """The network's masks: outputs above a half after the last step."""
    return np.asarray(net.forward(images)["pixel.Y:end"]).reshape(images.shape) > 0.5


def picture(path: Path, images: Values, masks: Values, columns: dict[str, Values]) -> None:
    """Five scenes below each other, their masks, and what each way made of them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = {"scene": images, "mask": masks, **columns}
    figure = Figure(figsize=(1.5 * len(shown), 7.2), layout="constrained")
    FigureCanvasAgg(figure)
    for row, all_axes in enumerate(figure.subplots(5, len(shown))):
        for axes, (name, values) in zip(all_axes, shown.items()):
            axes.imshow(values[row], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_axis_off()
            if row == 0:
                axes.set_title(name, fontsize=10)
    figure.savefig(path, dpi=70)


def main(folder: Path, seeds: list[int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (x, y), (images, masks) = scenes(320, 1, "train"), scenes(200, 2, "test")
    columns = {name: np.array([way(image) for image in images]) for name, way in BASELINES.items()}
    for name, found in columns.items():
        print("{}: {:.1%} of pixels, overlap {:.3f}".format(name, *scores(found, masks)))
    for number, seed in enumerate(seeds):
        net = snnlang.load(Path(__file__).with_suffix(".snn")).network(seed=seed)
        before = segments(net, images)
        began = time.perf_counter()
        history = net.train(x, y)
        took = time.perf_counter() - began
        after = segments(net, images)
        print("seed {}, before: {:.1%} of pixels, overlap {:.3f}".format(seed, *scores(before, masks)))
        print("seed {}, after {:.0f} s: {:.1%} of pixels, overlap {:.3f}".format(seed, took, *scores(after, masks)))
        if number == 0:
            picture(folder / "ccnn_segmentation.png", images, masks, {"before training": before, "after": after, **columns})
            draw(history, folder / "ccnn_segmentation_curve.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "pictures"), [int(seed) for seed in sys.argv[2:]] or [1])
