"""The results of native.py as Markdown: loops, ratios, two threads, every figure of every program, and the machine's limits."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from measure import Run
from rows import Limits, Program, Row


@dataclass
class Entry:
    """All runs of one program on one row. ``missing`` says why there is none."""

    program: Program
    cold: Run | None = None
    warm: list[Run] = field(default_factory=list)
    missing: str = ""

    @property
    def runs(self) -> list[Run]:
        return self.warm or ([self.cold] if self.cold else [])

    def loops(self, row: Row) -> list[float]:
        """Seconds of the full row; shorter or smaller runs are scaled."""
        return [run.loop * row.size / run.counts.size * row.duration / run.counts.duration for run in self.runs]

    def loop(self, row: Row) -> float | None:
        return statistics.median(self.loops(row)) if self.runs else None

    def median(self, of: Callable[[Run], float]) -> float | None:
        return statistics.median(of(run) for run in self.runs) if self.runs else None

    def plain(self) -> dict[str, Any]:
        return {
            "program": self.program.name,
            "precision": self.program.precision,
            "threads": self.program.threads,
            "cold": self.cold.plain() if self.cold else None,
            "warm": [run.plain() for run in self.warm],
            "missing": self.missing,
        }


Results = Mapping[str, Sequence[Entry]]


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]


def of_ours(entries: Sequence[Entry], precision: str, threads: int = 1) -> Entry | None:
    for entry in entries:
        one = entry.program
        if (one.kind, one.mode, one.precision, one.threads) == ("snnlang", "c", precision, threads) and entry.runs:
            return entry
    return None


def best_peer(
    row: Row, entries: Sequence[Entry], precisions: Sequence[str], threads: Sequence[int] = (1,)
) -> Entry | None:
    """The fastest loop among the peers of these precisions and numbers of threads."""
    able = [
        entry
        for entry in entries
        if entry.runs
        and entry.program.kind != "snnlang"
        and entry.program.precision in precisions
        and entry.program.threads in threads
    ]
    return min(able, key=lambda entry: entry.loop(row) or 0.0, default=None)


def limit(row: Row, entries: Sequence[Entry], limits: Limits) -> float | None:
    """The machine's limit for what our own run did (or, without one, any program's)."""
    reference = of_ours(entries, "float32") or next((entry for entry in entries if entry.runs), None)
    if reference is None or not limits:
        return None
    counts = reference.runs[0].counts
    factor = row.size / counts.size * row.duration / counts.duration
    whole = replace(
        counts,
        size=row.size,
        duration=row.duration,
        spikes=round(counts.spikes * factor),
        source_spikes=round(counts.source_spikes * row.duration / counts.duration),
        synapses=row.synapses(row.size),
    )
    return row.limit(whole, limits)


def against(mine: Entry | None, peer: Entry | None, row: Row) -> str:
    if mine is None or peer is None:
        return "-"
    return f"{(mine.loop(row) or 0.0) / (peer.loop(row) or 1.0):.2f} ({peer.program.name})"


def loops(rows: Sequence[Row], results: Results, limits: Mapping[str, Limits]) -> list[str]:
    """One line a row, one column a program of one thread."""
    names: list[str] = []
    for row in rows:
        names += [e.program.name for e in results[row.name] if e.program.threads == 1 and e.program.name not in names]
    lines = []
    for row in rows:
        found = {entry.program.name: entry for entry in results[row.name]}
        cells = [
            number(found[name].loop(row)) + ("*" if name in row.short and found[name].runs else "")
            if name in found
            else "-"
            for name in names
        ]
        bounds = [number(limit(row, results[row.name], limits.get(p, {}))) for p in ("float32", "float64")]
        lines.append([row.title, *cells, *bounds])
    return grid(["loop, seconds", *names, "limit float32", "limit float64"], lines)


def ratios(rows: Sequence[Row], results: Results, limits: Mapping[str, Limits]) -> list[str]:
    lines = []
    for row in rows:
        entries = results[row.name]
        single, double = of_ours(entries, "float32"), of_ours(entries, "float64")
        bounds = []
        for precision, mine in (("float32", single), ("float64", double)):
            bound = limit(row, entries, limits.get(precision, {}))
            bounds.append(f"{(mine.loop(row) or 0.0) / bound:.2f}" if mine and bound else "-")
        lines.append(
            [
                row.title,
                against(single, best_peer(row, entries, ("float32",)), row),
                against(single, best_peer(row, entries, ("float32", "float64")), row),
                against(double, best_peer(row, entries, ("float64",)), row),
                *bounds,
                number(single.loop(row) if single else None),
                number(row.reach),
            ]
        )
    head = ["ratio of loops", "float32 / best float32 peer", "float32 / best peer", "float64 / best float64 peer",
            "float32 / limit", "float64 / limit", "float32, s", "aim on AVX-512, s"]  # fmt: skip
    return grid(head, lines)


def alone(entry: Entry, entries: Sequence[Entry]) -> Entry | None:
    """The same program with one thread."""
    one = replace(entry.program, name="", threads=1)
    return next((other for other in entries if other.runs and replace(other.program, name="") == one), None)


def two_threads(rows: Sequence[Row], results: Results) -> list[str]:
    lines = []
    for row in rows:
        entries = results[row.name]
        for entry in entries:
            if entry.program.threads == 1:
                continue
            single = alone(entry, entries)
            gain = (single.loop(row) or 0.0) / (entry.loop(row) or 1.0) if single and entry.runs else None
            lines.append(
                [row.title, entry.program.name, number(entry.loop(row)) if entry.runs else entry.missing, number(gain)]
            )
    return grid(["row", "program", "loop, seconds", "one thread / two threads"], lines) if lines else []


def details(row: Row, entries: Sequence[Entry]) -> list[str]:
    lines = []
    for entry in entries:
        if not entry.runs:
            lines.append([entry.program.name, entry.missing, *["-"] * 9])
            continue
        spread = entry.loops(row)
        size, duration = entry.runs[0].counts.size, entry.runs[0].counts.duration
        ran = "" if (size, duration) == (row.size, row.duration) else f" (ran {size} for {duration:g} ms)"
        cold, warm = entry.cold, entry.warm
        lines.append(
            [
                entry.program.name + ran,
                entry.runs[0].version,
                number(entry.median(lambda run: run.load)),
                number(entry.median(lambda run: run.build)),
                f"{number(statistics.median(spread))} ({number(min(spread))} to {number(max(spread))})",
                number(cold.process if cold else None),
                number(statistics.median(run.process for run in warm) if warm else None),
                number(entry.median(lambda run: row.events(run.counts) / run.loop)),
                f"{cold.memory:.0f}" if cold else "-",
                f"{max(run.memory for run in warm):.0f}" if warm else "-",
                number(entry.median(lambda run: run.rate)),
            ]
        )
    head = ["program", "version", "load, s", "build, s", "loop, s (least to greatest)", "process cold, s", "process warm, s",
            "events or updates/s", "memory cold, MB", "memory warm, MB", "rate, Hz"]  # fmt: skip
    return [f"### {row.title}", "", *grid(head, lines), ""]


def markdown(machine: Mapping[str, str], rows: Sequence[Row], results: Results, limits: Mapping[str, Limits]) -> str:
    lines = ["# Native figures", "", "; ".join(f"{key}: {value}" for key, value in machine.items()) + ".", ""]
    lines += ["Medians of the warm runs, one core unless said; * is scaled from a shorter or smaller run. Limits are hand-written loops",
              "for the same work, measured in the same run; ratios below 1 mean that snnlang is faster.", ""]  # fmt: skip
    lines += ["## Loops", "", *loops(rows, results, limits), "", "## Ratios", "", *ratios(rows, results, limits), ""]
    pairs = two_threads(rows, results)
    if pairs:
        lines += ["## Two threads on two cores", "", *pairs, ""]
    lines += ["## Every program", ""]
    for row in rows:
        lines += details(row, results[row.name])
    names = list(dict.fromkeys(name for of in limits.values() for name in of))
    lines += ["## Limits of one core, 1e9/s", ""]
    lines += grid(["loop", *limits], [[name, *(number(of.get(name)) for of in limits.values())] for name in names])
    return "\n".join(lines) + "\n"
