"""benchmarks/gpu.py: every row runs at tiny size on the shim, bytes of a step are those counted by hand, what cannot run is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.targets import needs_shim

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def gpu(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), *options]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **environment}
    )


@needs_shim
def test_every_row_runs_on_the_shim(tmp_path: Path) -> None:
    out = tmp_path / "gpu"
    done = gpu("--backend", "shim", "--out", str(out), "--seconds", "0.003", "--where", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    data = json.loads(out.with_suffix(".json").read_text())
    assert data["machine"]["device"] == "a processor that runs CUDA for tests"
    assert [row["row"] for row in data["rows"]] == [
        "cuba", "cobahh", "brunel", "stdp1000", "stdp1", "lif", "izhikevich", "hodgkin_huxley",
    ]  # fmt: skip
    for row in data["rows"]:
        assert row["missing"] == {}, row
        assert set(row["ways"]) == {"resident", "graph"}
        assert row["c"]["best"] > 0
        assert row["chosen"] in row["ways"]
        assert all(value > 0 for value in row["bytes"].values())
    assert data["peers"]["cuba"] == {"genn cuda": "not installed", "brian2cuda": "not installed"}
    text = out.with_suffix(".md").read_text()
    for heading in (
        "## Steps",
        "## Steps without work",
        "## Aims",
        "## Peers",
        "## Events",
        "## Bytes that a step must move",
    ):
        assert heading in text
    # 1000 neurons: v and the step until which it is held are read with the drive, v is written; 4 bytes each
    lif = next(row for row in data["rows"] if row["row"] == "lif")
    assert lif["bytes"]["graph"] == 4 * 1000 * (3 + 1)
    # a weight of each of 20 cells is read and written for every source event, a column of 1000 of them for every cell's
    stdp = next(row for row in data["rows"] if row["row"] == "stdp1000")
    events = stdp["ways"]["graph"]["events"]
    neurons = 4 * (1000 * (1 + 1 + 1) + 20 * (3 + 3))
    assert stdp["bytes"]["graph"] == pytest.approx(
        neurons + 8 * (20 * events["source_spikes"] + 1000 * events["cell_spikes"])
    )


@needs_shim
def test_what_time_or_memory_leaves_out_is_named(tmp_path: Path) -> None:
    out = tmp_path / "gpu"
    done = gpu("--backend", "shim", "--out", str(out), "--only", "lif", "--scales", "1000000", "--no-c", "--no-peers")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(out.with_suffix(".json").read_text())["rows"]
    assert "GB of the device are needed" in row["missing"][""]
    done = gpu("--backend", "shim", "--out", str(out), "--only", "lif", "--minutes", "0")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(out.with_suffix(".json").read_text())["rows"]
    assert row["missing"] == {"": "left out: no time"}
    assert "left out: no time" in out.with_suffix(".md").read_text()


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    refused = gpu("--backend", "shim")
    assert refused.returncode == 2
    assert "needs --out" in refused.stderr
    refused = gpu("--only", "none", "--out", str(tmp_path / "gpu"))
    assert "no row is called none" in refused.stderr
    from importlib.util import find_spec

    if find_spec("cupy") is None:
        refused = gpu("--out", str(tmp_path / "gpu"))
        assert refused.returncode == 1
        assert "E742" in refused.stderr
        assert "Traceback" not in refused.stderr


@needs_shim
def test_a_machine_with_cupy_takes_the_same_path(tmp_path: Path) -> None:
    """Through the CuPy of the tests, which runs on the shim."""
    fake = Path(__file__).parents[1] / "cuda" / "fake"
    out = tmp_path / "gpu"
    paths = os.pathsep.join([str(fake), str(Path(__file__).parents[2])])
    options = ("--only", "stdp1", "--scales", "1", "--seconds", "0.002", "--no-c", "--out", str(out))
    done = gpu(*options, PYTHONPATH=paths, SNN_CUDA="")
    assert done.returncode == 0, done.stderr
    data: dict[str, Any] = json.loads(out.with_suffix(".json").read_text())
    assert data["machine"]["cupy"]
    assert set(data["rows"][0]["ways"]) == {"resident", "graph"}
