"""The training benchmark at its smallest size: ours runs, peers that are not there are named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.targets import needs_compiler

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def training(*options: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(BENCHMARKS / "training.py"), *options]
    return subprocess.run(words, capture_output=True, text=True, timeout=120)


@needs_compiler
def test_a_small_run_without_peers(tmp_path: Path) -> None:
    out = tmp_path / "training"
    rows = "mlp5,rec28"
    done = training(
        "--tiny", "--only", rows, "--peers", "norse", "--rounds", "1", "--batches", "2",
        "--folder", str(tmp_path), "--out", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    read = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))["rows"]
    for row in rows.split(","):
        (run,) = read[row]["snnlang"]["runs"]
        assert run["train_ms"] > 0
        assert run["forward_ms"] > 0
        assert run["loss_last"] < 3
        assert read[row]["norse"]["missing"].startswith("not installed")
    text = out.with_suffix(".md").read_text(encoding="utf-8")
    assert "28-256 recurrent-10" in text
    assert "not installed" in text


def test_a_row_that_is_not_there() -> None:
    done = training("--only", "brunel")
    assert done.returncode == 2
    assert "there is no row or peer `brunel`" in done.stderr
