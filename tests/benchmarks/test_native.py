"""The suite of benchmarks/: its models fire as the same networks do in other simulators, and its runner names what it cannot run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import snnlang

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

# name, its size, size, ms, and the rate (Hz) of the same physics in Brian2 2.11 and NEST 3.10 with how far chance takes it at this size
FIRING = [
    ("cuba", "N", 4000, "300 ms", 6.0, 1.5),
    ("cobahh", "N", 4000, "100 ms", 33.0, 8.0),
    ("brunel", "N", 2000, "50 ms", 73.2, 5.0),
    ("stdp", "M", 20, "500 ms", 45.0, 12.0),
    ("lif", "N", 20_000, "100 ms", 18.2, 0.7),
    ("izhikevich", "N", 5000, "100 ms", 30.4, 1.5),
    ("hodgkin_huxley", "N", 1000, "100 ms", 115.7, 4.0),
]


@pytest.mark.parametrize("name, parameter, size, duration, rate, apart", FIRING)
def test_models_fire_as_in_other_simulators(
    name: str, parameter: str, size: int, duration: str, rate: float, apart: float
) -> None:
    model = snnlang.load(BENCHMARKS / "models" / f"{name}.snn")
    recording = model.run(target="numpy", progress=False, duration=duration, set={parameter: size})
    milliseconds = float(duration.split()[0])
    mean = float(recording.counts("cell").sum()) / size / milliseconds * 1000
    assert mean == pytest.approx(rate, abs=apart)


def native(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "native.py"), "--quick", "--no-limits", "--one-thread", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_missing_and_failing_peers_are_named(tmp_path: Path) -> None:
    """No traceback: a peer that is not there is called so, one that fails gives its last line."""
    broken = tmp_path / "peers" / "nest" / "bin" / "python"
    broken.parent.mkdir(parents=True)
    broken.write_text("#!/bin/sh\necho 'a library is missing' >&2\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)
    out = tmp_path / "table"
    done = native("--only", "izhikevich", "--ours", "snnlang numpy", "--peers", "nest,brainpy",
                  "--where", str(tmp_path / "peers"), "--out", str(out))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    programs = {one["program"]: one for one in json.loads(out.with_suffix(".json").read_text())["rows"][0]["programs"]}
    assert programs["nest"]["missing"] == "exit status 3: a library is missing"
    assert programs["brainpy"]["missing"] == "not installed"
    ours = programs["snnlang numpy"]
    assert ours["missing"] == ""
    assert ours["cold"]["process"] > ours["cold"]["loop"] > 0
    assert ours["warm"][0]["counts"]["spikes"] > 0
    table = out.with_suffix(".md").read_text(encoding="utf-8")
    assert "exit status 3: a library is missing" in table
    assert "not installed" in table


def test_unknown_row_is_refused() -> None:
    done = native("--only", "cubba")
    assert done.returncode == 2
    assert "no row is called cubba" in done.stderr


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.parametrize("options", [[], ["-DDOUBLE"]])
def test_limits_compile_without_a_warning(tmp_path: Path, options: list[str]) -> None:
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", *options]
    command = ["gcc", *flags, str(BENCHMARKS / "limits.c"), "-o", str(tmp_path / "limits"), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
