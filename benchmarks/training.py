"""Trains the same networks with snnlang and with every peer that is installed, in turn, and writes one table.

    benchmarks/setup_peers.sh                                    # once: environments for the peers in benchmarks/peers
    python benchmarks/training.py                                # everything: about half an hour on one core
    python benchmarks/training.py --only mlp5,rec28 --rounds 5
    python benchmarks/training.py --peers none --batches 3 --tiny

Rows and programs are those of peers_training/. Every figure comes from a process of its own, pinned to one core; programs take turns,
so that a drifting machine touches all alike. The medians of the processes' medians are compared. The first round of ours starts with an
empty cache, which gives the cold first batch. What is not installed, fails or takes longer than --patience is named with the reason.
Data: Fashion-MNIST, where `fashion_mnist()` finds it or in --data FOLDER, else random images (named in the table).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from installed import compile_package, environment
from numpy.typing import NDArray

HERE = Path(__file__).parent
Values = NDArray[Any]

ROWS = {
    "mlp5": "784-400-10, T = 5, an image shown in every step",
    "mlp25": "784-400-10, T = 25, an image shown in every step",
    "mlp5_varying": "784-400-10, T = 5, input that varies",
    "mlp25_varying": "784-400-10, T = 25, input that varies",
    "mlp5_spikes": "784-400-10, T = 5, 5 % of the inputs spike",
    "conv5": "32C5-P2-64C5-P2-1024-10, T = 5",
    "rec28": "28-256 recurrent-10, 28 steps",
}
#: Each program with the environment of the peers' folder in which it runs.
PROGRAMS = {"snnlang": "", "snntorch": "torch", "spikingjelly": "torch", "norse": "torch", "spyx": "jax", "jaxpike": "jax"}


@dataclass
class Entry:
    """What the processes of one program said about one row, or why there is none."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    missing: str = ""

    def median(self, name: str) -> float | None:
        return statistics.median(run[name] for run in self.runs) if self.runs else None


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def images(count: int, folder: str | None) -> tuple[Values, Values, str]:
    """(count, 784) in 0 .. 1, labels, and where they are from."""
    from snnlang.data.idx import fashion_mnist
    from snnlang.diagnostics import SnnError

    try:
        columns = fashion_mnist(None, "train", folder)
        x = np.stack([np.asarray(columns["image"][row], np.float32).reshape(784) for row in range(count)])
        y = np.array([int(columns["label"][row]) for row in range(count)], np.int64)
        return x / max(1.0, float(x.max())), y, "Fashion-MNIST"
    except SnnError as error:
        say(f"random images: {str(error).splitlines()[0]}")
    rng = np.random.default_rng(0)
    return rng.uniform(0, 1, (count, 784)).astype(np.float32) ** 2, rng.integers(0, 10, count), "random images"


def write_data(row: str, count: int, folder: str | None, path: Path) -> str:
    """The samples of a row as the programs read them."""
    x, y, source = images(count, folder)
    rng = np.random.default_rng(1)
    if row.endswith("_varying"):
        steps = 25 if "25" in row else 5
        x = (x[:, None] * rng.uniform(0.5, 1.5, (count, steps, 784))).astype(np.float32)
    elif row == "mlp5_spikes":
        x = (rng.random((count, 5, 784)) < 0.05 * x[:, None] / x.mean()).astype(np.float32)
    elif row == "rec28":
        x = x.reshape(count, 28, 28)
    np.savez(path, x=x, y=y)
    return source


def run(program: str, row: str, data: Path, asked: argparse.Namespace, core: int, cache: Path) -> dict[str, Any] | str:
    """One process: its line of figures, or why there is none."""
    inside = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    python = Path(sys.executable) if program == "snnlang" else Path(asked.folder) / PROGRAMS[program] / inside
    if not python.exists():
        return f"not installed: no {python}"
    pin = ["taskset", "-c", str(core)] if asked.threads == 1 and Path("/usr/bin/taskset").exists() else []
    words = [str(python), str(HERE / "peers_training" / f"with_{program}.py"), row, str(data)]
    batches = asked.batches or (6 if row == "conv5" else 20)
    limited = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(asked.threads))
    try:
        done = subprocess.run(
            [*pin, *words, str(batches), str(asked.threads)],
            capture_output=True,
            text=True,
            timeout=asked.patience,
            env=environment(SNN_CACHE_DIR=str(cache), **limited),
        )
    except subprocess.TimeoutExpired:
        return f"took longer than {asked.patience:.0f} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["ended without a word"])[-1]
    made: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return made


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def table(results: Mapping[str, Mapping[str, Entry]], about: Mapping[str, str]) -> str:
    """Markdown: training and forward-only, with the ratio of ours to the best peer, then memory and the first batch."""
    lines = ["# Training: snnlang and its peers", "", ", ".join(f"{name} {value}" for name, value in about.items()), ""]
    lines.append("One thread, float32, batches of 128, Adam, cross-entropy of the mean membrane. ms for a batch: forward, loss,")
    lines += ["backward and update; medians. Ratio: ours by the best peer's.", ""]
    for title, name in (
        ("ms for a training batch", "train_ms"),
        ("ms for a forward pass alone", "forward_ms"),
        ("MB above the data while training", "memory_mb"),
        ("ms for the first batch (ours with an empty cache)", "first_ms"),
    ):
        programs = list(next(iter(results.values())))
        lines += [f"## {title}", "", f"| row | {' | '.join(programs)} | ratio |", f"|{' --- |' * (len(programs) + 2)}"]
        for row, entries in results.items():
            # the first run of ours is the cold one
            values = {
                one: (entry.runs[0][name] if name == "first_ms" and entry.runs else entry.median(name))
                for one, entry in entries.items()
            }
            peers = [value for one, value in values.items() if one != "snnlang" and value is not None]
            ours = values.get("snnlang")
            ratio = None if ours is None or not peers or name == "first_ms" else ours / min(peers)
            lines.append(f"| {ROWS[row]} | {' | '.join(number(v) for v in values.values())} | {number(ratio)} |")
        lines.append("")
    missing = [
        f"- {row}, {one}: {entry.missing}" for row, entries in results.items() for one, entry in entries.items() if entry.missing
    ]
    return "\n".join([*lines, *(["## Not measured", "", *missing, ""] if missing else [])])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", default=",".join(ROWS), help="rows, separated by commas")
    parser.add_argument("--peers", default=",".join(list(PROGRAMS)[1:]), help="peers, separated by commas, or none")
    parser.add_argument("--folder", default=str(HERE / "peers"), help="where the environments of the peers are")
    parser.add_argument("--data", help="a folder with the IDX files of Fashion-MNIST")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each program for each row")
    parser.add_argument("--batches", type=int, default=0, help="batches that a process times; 20 (6 of conv5) unless said")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--core", type=int, default=0, help="the core that processes of one thread are pinned to")
    parser.add_argument("--patience", type=float, default=150.0, help="seconds for one process")
    parser.add_argument("--tiny", action="store_true", help="two batches of data: does all of it work?")
    parser.add_argument("--out", default=str(HERE / "results" / "training"), help="the file, without its ending")
    asked = parser.parse_args(arguments)
    rows, peers = asked.only.split(","), [] if asked.peers == "none" else asked.peers.split(",")
    for name in (*rows, *peers):
        if name not in ROWS and name not in PROGRAMS:
            parser.error(f"there is no row or peer `{name}`: {', '.join((*ROWS, *PROGRAMS))}")
    compile_package()
    results: dict[str, dict[str, Entry]] = {}
    source = ""
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary) / "data.npz"
        for row in rows:
            source = write_data(row, 128 * (2 if asked.tiny else 4 if row == "mlp25_varying" else 12), asked.data, data)
            cache = Path(temporary) / f"cache_{row}"
            entries = results[row] = {name: Entry() for name in ("snnlang", *peers)}
            for turn in range(asked.rounds):
                for name, entry in entries.items():
                    if entry.missing:
                        continue
                    made = run(name, row, data, asked, asked.core, cache)
                    if isinstance(made, str):
                        entry.missing = made
                        say(f"{row:<14} {name:<13} {made}")
                    else:
                        entry.runs.append(made)
                        say(f"{row:<14} {name:<13} {turn + 1}: {made['train_ms']:.2f} ms, forward {made['forward_ms']:.2f} ms")
    about = {"data": source, "python": platform.python_version(), "processor": _processor(), "threads": str(asked.threads)}
    out = Path(asked.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    plain = {row: {n: {"runs": e.runs, "missing": e.missing} for n, e in entries.items()} for row, entries in results.items()}
    out.with_suffix(".json").write_text(json.dumps({"about": about, "rows": plain}, indent=1) + "\n", encoding="utf-8")
    text = table(results, about)
    out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    return 0 if all(entries["snnlang"].runs for entries in results.values()) else 1


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
