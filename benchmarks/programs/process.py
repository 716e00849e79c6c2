"""What every peer's script needs of its process: the options that native.py passes, and the one line that it reads back.

Import this first: it notes when the process began its work.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

BEGIN = time.perf_counter()
MARK = "RESULT "


@dataclass(frozen=True)
class Task:
    """One benchmark at one size: ``duration`` in ms, ``size`` neurons (for STDP, of those that learn)."""

    model: str
    size: int
    duration: float
    mode: str
    precision: str
    threads: int
    cache: Path

    @property
    def seconds(self) -> float:
        return self.duration / 1000


@dataclass(frozen=True)
class Outcome:
    """What a program counted: ``synapses`` in all, ``spikes`` of the cells, ``source_spikes`` of plastic inputs.

    ``again`` are seconds that only this measurement needed and no user would wait for.
    """

    loop: float
    spikes: int
    synapses: int = 0
    source_spikes: int = 0
    again: float = 0.0


def task() -> Task:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--duration", type=float, required=True, metavar="MS")
    parser.add_argument("--mode", default="")
    parser.add_argument("--precision", default="float64")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, required=True)
    options = parser.parse_args()
    cache = options.cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    return Task(options.model, options.size, options.duration, options.mode, options.precision, options.threads, cache)


def run(asked: Task, models: Mapping[str, Callable[[Task], Outcome]], version: str) -> None:
    """Runs the model that was asked for and prints the line."""
    loaded = time.perf_counter()
    outcome = models[asked.model](asked)
    ended = time.perf_counter()
    print(MARK + json.dumps({
        "version": version,
        "imports": loaded - BEGIN,
        "build": ended - loaded - outcome.loop - outcome.again,
        "loop": outcome.loop,
        "again": outcome.again,
        "neurons": asked.size,
        "duration": asked.duration,
        "synapses": outcome.synapses,
        "spikes": outcome.spikes,
        "source_spikes": outcome.source_spikes,
        "rate": outcome.spikes / asked.size / asked.seconds,
    }), flush=True)  # fmt: skip
