"""Runs an example on NumPy and draws its picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import snnlang
from snnlang.runtime.plotting import draw
from snnlang.runtime.recording import Recording

EXAMPLES = Path(__file__).parents[2] / "examples"

Example = Callable[..., Recording]


@pytest.fixture
def example(tmp_path: Path) -> Example:
    """``example("balanced", "cuba", duration="500 ms")`` runs it; its picture must be more than an empty page."""

    def run(name: str, experiment: str | None = None, shorter: dict[str, str] | None = None, **options: Any) -> Recording:
        matplotlib_image = pytest.importorskip("matplotlib.image")
        text = (EXAMPLES / f"{name}.snn").read_text(encoding="utf-8")
        for long, short in (shorter or {}).items():
            assert long in text
            text = text.replace(long, short)
        model = snnlang.load(text)
        recording: Recording = model.run(experiment, target="numpy", progress=False, **options)
        picture = tmp_path / f"{name}_{experiment or 'only'}.png"
        draw(recording, picture)
        pixels = matplotlib_image.imread(picture)
        assert pixels.shape[0] > 200
        assert pixels.shape[1] > 300
        dark = (pixels[..., :3].min(axis=2) < 0.9).mean()
        assert 0.005 < dark < 0.98  # neither a blank page nor a black one
        return recording

    return run
