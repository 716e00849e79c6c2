"""Runs the benchmarks of rows.py with snnlang and with every peer that is installed, in turn, and writes one table.

Every figure comes from a whole process of its own, pinned to one core (two for the rows of two threads): first a cold one, with
empty caches, then some warm ones, in which the programs take turns so that a drifting machine touches all of them alike. What is
not installed, fails or takes too long is named in the table with the reason. limits.c is compiled and run first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from installed import compile_package
from measure import Failure, Place, forget, measure
from rows import OURS, OURS_ON_TWO, PEERS, PEERS_ON_TWO, ROWS, Limits, Program, Row
from table import Entry, markdown

HERE = Path(__file__).parent


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def machine_limits(folder: Path, core: int) -> dict[str, Limits]:
    """Compiles and runs limits.c in both precisions; without a compiler there are no limits."""
    compiler = os.environ.get("CC", "cc")
    limits: dict[str, Limits] = {}
    for precision, options in (("float32", []), ("float64", ["-DDOUBLE"])):
        program = folder / f"limits_{precision}"
        flags = ["-std=gnu11", "-Ofast", "-march=native", *options]
        try:
            subprocess.run([compiler, *flags, str(HERE / "limits.c"), "-o", str(program), "-lmvec", "-lm"], check=True)
            pin = ["taskset", "-c", str(core)] if Path("/usr/bin/taskset").exists() else []
            done = subprocess.run([*pin, str(program)], check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            say(f"limits of {precision}: {error}")
            continue
        measured = [json.loads(line) for line in done.stdout.splitlines()]
        limits[precision] = {one["name"]: one["median"] for one in measured}
        say(f"limits of {precision}: {len(measured)} measured")
    return limits


def describe_machine(cores: Sequence[int]) -> dict[str, str]:
    described = {"processor": platform.processor() or platform.machine(), "cores": str(len(cores))}
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                described["processor"] = value.strip()
            if name.strip() == "flags":
                described["vectors"] = next(
                    (w for w in ("avx512f", "avx2", "avx", "sse2") if w in value.split()), "none"
                )
    except OSError:
        pass
    try:
        version = subprocess.run(
            [os.environ.get("CC", "cc"), "--version"], check=True, capture_output=True, text=True
        ).stdout
        described["compiler"] = version.splitlines()[0]
    except (OSError, subprocess.CalledProcessError):
        described["compiler"] = "none"
    return described | {"python": platform.python_version()}


def once(place: Place, entry: Entry, row: Row, share: float, phase: str) -> None:
    """One process of one program; its figures or its failure go into ``entry``."""
    result = measure(place, entry.program, row, share)
    label = f"{row.name:<15} {entry.program.name:<30} {phase:<5}"
    if isinstance(result, Failure):
        entry.missing = result.reason
        say(f"{label} failed: {result.reason}")
        return
    if phase == "cold":
        entry.cold = result
    else:
        entry.warm.append(result)
    say(
        f"{label} loop {result.loop:8.3f}  process {result.process:8.3f} s  {result.memory:5.0f} MB  {result.rate:7.2f} Hz"
    )


def run_row(place: Place, row: Row, programs: Sequence[Program], runs: int, share: float, reuse: bool) -> list[Entry]:
    entries = [Entry(program) for program in programs]
    for entry in entries:
        if not place.installed(entry.program):
            entry.missing = "not installed"
            say(f"{row.name:<15} {entry.program.name:<30} not installed")
        elif not (reuse and place.cache(entry.program, row).exists()):
            forget(place, entry.program, row)
            once(place, entry, row, share, "cold")
    for _ in range(runs):
        for entry in entries:
            if not entry.missing:
                once(place, entry, row, share, "warm")
    return entries


def chosen_programs(names: str, everyone: Sequence[Program]) -> list[Program]:
    """``names`` are environments or programs, separated by commas; ``all`` and ``none`` are themselves.

    A program's name also chooses its form with two threads.
    """
    if names in ("all", "none"):
        return list(everyone) if names == "all" else []
    asked = [name.strip() for name in names.split(",")]
    return [one for one in everyone if one.kind in asked or one.name.removesuffix(" 2 threads") in asked]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    names = ", ".join(row.name for row in ROWS)
    parser.add_argument("--only", default="", metavar="ROWS", help=f"rows, separated by commas: {names}")
    parser.add_argument(
        "--peers", default="all", help="peers, by environment (brian2) or name (brian2 cython); all or none"
    )
    parser.add_argument(
        "--ours", default="all", help="programs of ours by name, such as 'snnlang c float32'; all or none"
    )
    parser.add_argument("--runs", type=int, default=3, help="warm runs of each program (default 3)")
    parser.add_argument(
        "--quick", action="store_true", help="one warm run of a tenth of each duration, to see that all works"
    )
    parser.add_argument("--one-thread", action="store_true", help="leave out the runs with two threads")
    parser.add_argument("--no-limits", action="store_true", help="do not measure the machine's limits (half a minute)")
    parser.add_argument("--where", type=Path, default=HERE / "peers", help="folder that setup_peers.sh filled")
    parser.add_argument("--cache", type=Path, help="folder for the caches of all programs (default: a temporary one)")
    parser.add_argument(
        "--reuse", action="store_true", help="use the caches that an earlier run left in --cache: no cold runs"
    )
    parser.add_argument(
        "--patience", type=float, default=300, help="seconds after which a process is given up (default 300)"
    )
    parser.add_argument(
        "--out", type=Path, default=HERE / "results" / "native", help="where the table goes (without ending)"
    )
    options = parser.parse_args()

    asked = [name.strip() for name in options.only.split(",") if name.strip()]
    unknown = [name for name in asked if name not in {row.name for row in ROWS}]
    if unknown:
        parser.error(f"no row is called {', '.join(unknown)}; there are {names}")
    rows = [row for row in ROWS if not asked or row.name in asked]
    share, runs = (0.1, 1) if options.quick else (1.0, options.runs)
    if runs < 1:
        parser.error("--runs must be at least 1")
    cores = (
        tuple(sorted(os.sched_getaffinity(0)))
        if hasattr(os, "sched_getaffinity")
        else tuple(range(os.cpu_count() or 1))
    )
    single = chosen_programs(options.ours, OURS) + chosen_programs(options.peers, PEERS)
    double = chosen_programs(options.ours, OURS_ON_TWO) + chosen_programs(options.peers, PEERS_ON_TWO)

    compile_package()
    with tempfile.TemporaryDirectory() as temporary:
        caches = (options.cache or Path(temporary)).resolve()
        caches.mkdir(parents=True, exist_ok=True)
        place = Place(options.where.resolve(), caches, cores, options.patience)
        machine = describe_machine(cores)
        limits = {} if options.no_limits else machine_limits(caches, cores[0])
        results: dict[str, list[Entry]] = {}
        for row in rows:
            pairs = double if row.threads and len(cores) > 1 and not options.one_thread else []
            results[row.name] = run_row(place, row, [*single, *pairs], runs, share, options.reuse)
            done = [one for one in rows if one.name in results]
            write(options.out, machine, done, results, limits)  # after every row: an interrupted run keeps what it has
    say(f"written: {options.out}.json, {options.out}.md")
    print(markdown(machine, rows, results, limits))
    return 0


def write(
    out: Path, machine: dict[str, str], rows: Sequence[Row], results: dict[str, list[Entry]], limits: dict[str, Limits]
) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    plain = {
        "machine": machine,
        "limits": limits,
        "rows": [
            {"name": row.name, "title": row.title, "programs": [entry.plain() for entry in results[row.name]]}
            for row in rows
        ],
    }
    out.with_suffix(".json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(markdown(machine, rows, results, limits), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
