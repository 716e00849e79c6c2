"""A command line in one call, and small files to give it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from snnlang.cli.program import run

GOOD = """\
neuron Cell:
    "A leaky cell."
    param tau   = 20 ms
    param drive = 0 mV
    state v = 0 mV
    tau * dv/dt = drive - v
    spike when v >= 10 mV
    on spike:
        v = 0 mV

network Net(N = 4, strength = 30 mV):
    population cell[N]: Cell(drive = strength)

simulate Net as short:
    dt = 0.1 ms
    duration = 50 ms
    record cell.spikes, cell.v[0]
    plot raster(cell)

simulate Net(strength = 5 mV) as quiet:
    dt = 0.1 ms
    duration = 20 ms
    record cell.spikes
"""

WRONG = """\
neuron Cell:
    param tau = 20 ms
    state v = 0 mV
    tau*dv/dt = drve - v
    spike when v >= 10 mV
    on spike:
        v = 0 mV
"""


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


Snn = Callable[..., Outcome]


@pytest.fixture
def snn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Snn:
    """Run ``snn`` with arguments, in a temporary working directory, without colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("SNN_DEBUG", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Outcome:
        capsys.readouterr()
        code = run(list(arguments))
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err + captured.out
        assert "internal error" not in captured.err, captured.err
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A small file that checks and runs, with two experiments."""
    path = tmp_path / "good.snn"
    path.write_text(GOOD, encoding="utf-8")
    return path


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A file with one misspelt name."""
    path = tmp_path / "wrong.snn"
    path.write_text(WRONG, encoding="utf-8")
    return path


def leftovers(folder: Path) -> list[str]:
    """Temporary files that a command left behind."""
    return sorted(path.name for path in folder.rglob("*") if ".tmp" in path.name)
