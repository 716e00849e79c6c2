"""One process of a benchmark: started on chosen cores with caches of its own, watched from outside, read at its end.

A process that fails, or takes too long, gives a reason and never an exception.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from installed import environment
from programs.process import MARK
from rows import Counts, Program, Row

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds, MB and Hz of one process. ``load`` is the interpreter and its imports, ``build`` everything else but the loop."""

    load: float
    build: float
    loop: float
    process: float
    memory: float
    rate: float
    counts: Counts
    version: str

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Failure:
    reason: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where processes run: the peers' environments, a folder for caches, cores, and a limit in seconds."""

    peers: Path
    caches: Path
    cores: tuple[int, ...]
    patience: float

    def cache(self, program: Program, row: Row) -> Path:
        return self.caches / f"{program.name}_{row.name}".replace(" ", "_")

    def python(self, program: Program) -> Path:
        return self.peers / program.kind / "bin" / "python"

    def installed(self, program: Program) -> bool:
        return program.kind == "snnlang" or self.python(program).exists()


def forget(place: Place, program: Program, row: Row) -> None:
    """The next run of this program and row is cold."""
    shutil.rmtree(place.cache(program, row), ignore_errors=True)


def command(place: Place, program: Program, row: Row, size: int, duration: float) -> list[str]:
    if program.kind == "snnlang":
        script = Path(sys.executable).with_name("snn")
        start = [str(script)] if script.exists() else [sys.executable, "-m", "snnlang"]
        target = ["--target", program.mode, "--precision", program.precision]
        if program.mode == "c":
            target += ["--threads", str(program.threads)]
        file = str(HERE / "models" / f"{row.model}.snn")
        return [
            *start,
            "run",
            file,
            "--set",
            f"{row.parameter}={size}",
            "--duration",
            f"{duration:g}ms",
            *target,
            "--json",
        ]
    script = HERE / "programs" / f"with_{program.kind}.py"
    return [
        str(place.python(program)), str(script), row.model, "--size", str(size), "--duration", str(duration), "--mode", program.mode,
        "--precision", program.precision, "--threads", str(program.threads), "--cache", str(place.cache(program, row)),
    ]  # fmt: skip


def measure(place: Place, program: Program, row: Row, share: float) -> Run | Failure:
    """Runs one process to its end."""
    size, duration = row.task(program.name, share)
    cache = place.cache(program, row)
    cache.mkdir(parents=True, exist_ok=True)
    variables = environment(SNN_CACHE_DIR=str(cache / "snnlang"), OMP_NUM_THREADS=str(program.threads))
    if program.kind != "snnlang":  # compilers and tools of the peer's own environment come first
        variables["PATH"] = f"{place.python(program).parent}{os.pathsep}{variables.get('PATH', '')}"
    cores = place.cores[: program.threads]

    def pin() -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)

    output = cache / "output.txt"
    with output.open("w", encoding="utf-8") as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            command(place, program, row, size, duration), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            env=variables, preexec_fn=pin, start_new_session=True,
        )  # fmt: skip
        late = threading.Timer(place.patience, os.killpg, (process.pid, signal.SIGKILL))
        late.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        timely = late.is_alive()
        late.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    text = output.read_text(encoding="utf-8", errors="replace")
    if not timely:
        return Failure(f"took longer than {place.patience:g} s")
    if process.returncode:
        return Failure(f"exit status {process.returncode}: {last_line(text)}")
    memory = usage.ru_maxrss / 1024  # Linux counts KiB
    try:
        read = ours if program.kind == "snnlang" else theirs
        return read(text, row, size, duration, wall, memory)
    except (ValueError, KeyError, IndexError) as error:
        return Failure(f"no result ({error}): {last_line(text)}")


def last_line(text: str) -> str:
    """The last line that speaks of an error; without one, the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower()]
    return (telling or lines or ["it printed nothing"])[-1][:200]


def ours(text: str, row: Row, size: int, duration: float, wall: float, memory: float) -> Run:
    """The JSON that ``snn run --json`` prints; warnings may stand before it."""
    summary = json.loads(text[text.index("\n{") + 1 if not text.startswith("{") else 0 :])
    events = {event["label"]: event for event in summary["events"]}
    spikes = events["cell.spikes"]["count"]
    sources = events["source.spikes"]["count"] if "source.spikes" in events else 0
    loop, build = summary["seconds"], summary["preparing"]
    counts = Counts(size, duration, spikes, row.synapses(size), sources)
    return Run(
        wall - build - loop,
        build,
        loop,
        wall,
        memory,
        spikes / size / duration * 1000,
        counts,
        summary.get("target", ""),
    )


def theirs(text: str, row: Row, size: int, duration: float, wall: float, memory: float) -> Run:
    """The line of programs/process.py. What a peer ran a second time for the measurement's sake counts nowhere."""
    line = [line for line in text.splitlines() if line.startswith(MARK)][-1]
    result = json.loads(line[len(MARK) :])
    loop, build, again = result["loop"], result["build"], result["again"]
    counts = Counts(size, duration, result["spikes"], result["synapses"], result["source_spikes"])
    return Run(
        wall - build - loop - again, build, loop, wall - again, memory, result["rate"], counts, result["version"]
    )
