"""Every block of docs/python.md runs, in order, as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 7
    for number, block in enumerate(blocks):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
        if number == 3:  # after learning: rewarded pairs are stronger than they were
            weights = names["simulation"].weights("feed")
            assert weights.shape == (20, 2)
            assert not np.all(weights == 0.3)
            learnt = weights
        if number == 4:
            assert np.array_equal(names["simulation"].weights("feed"), learnt)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["choice.npz", "choice.png"]
    assert names["simulation"].time == 50.0
    assert all(names["layers"].counts(f"layer{k}").sum() > 0 for k in range(4))
