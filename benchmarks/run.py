"""Measures the figures that the project promises, beside Brian2 where it is installed, and writes one table.

Whole processes are timed from outside; loops by the process itself. Every figure is a median of several runs with its range.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from installed import compile_package, environment

HERE = Path(__file__).parent

NEURON = """
neuron Cell{number}:
    "Neuron number {number} of a long file."
    param tau_m = 20 ms in (0 ms, inf) "membrane time constant"
    param v_rest = -70 mV
    param v_th = -50 mV
    input I = 0 mV
    port state v = v_rest
    state a = 0 mV
    drive_{number} = I - a
    tau_m * dv/dt = -(v - v_rest) + drive_{number}
    50 ms * da/dt = -a
    spike when v >= v_th
    on spike:
        v = v_rest
        if a < 10 mV:
            a += 0.5 mV
        hold v for 2 ms

synapse Rule{number}:
    param tau = 20 ms
    weight w = 0.5 mV in [0 mV, 1 mV]
    trace x on pre decay tau
    trace y on post decay tau
    on pre:
        deliver w
        w -= 0.01 mV*y
    on post: w += 0.01 mV*x
"""


def long_file(lines: int) -> str:
    """A valid file of about so many lines."""
    block = NEURON.count("\n")
    return "".join(NEURON.format(number=number) for number in range(max(1, round(lines / block))))


def timed(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment())
    return time.perf_counter() - start


def repeat(measure: Callable[[], float], runs: int) -> dict[str, float]:
    measure()  # warm-up
    values = [measure() for _ in range(runs)]
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}


def check_in_process(text: str) -> float:
    from snnlang.compile import check_text

    start = time.perf_counter()
    _, found = check_text(text)
    seconds = time.perf_counter() - start
    assert not any(diagnostic.is_error for diagnostic in found), found[0]
    return seconds


def script(interpreter: str, name: str) -> dict[str, Any]:
    done = subprocess.run(
        [interpreter, str(HERE / name)], check=True, capture_output=True, text=True, env=environment()
    )
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def cuba(runs: int, brian2: str | None) -> list[dict[str, Any]]:
    """Both runtimes in turn."""
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    for number in range(runs + 1):
        one = script(sys.executable, "cuba.py")
        two = script(brian2, "brian2_cuba.py") if brian2 else None
        if number:  # the first round fills caches
            ours.append(one)
            if two:
                theirs.append(two)
    rows = []
    for key, name in (("loop", "CUBA 4000, 1 s: loop"), ("process", "CUBA 4000, 1 s: whole process")):
        row: dict[str, Any] = {"what": name, "ours": spread([r[key] for r in ours])}
        if theirs:
            row["brian2"] = spread([r[key] for r in theirs])
            row["ratio"] = statistics.median(a[key] / b[key] for a, b in zip(ours, theirs, strict=True))
        rows.append(row)
    rates = {"what": "CUBA 4000: mean rate (Hz)", "ours": spread([r["rate"] for r in ours])}
    if theirs:
        rates["brian2"] = spread([r["rate"] for r in theirs])
    return [*rows, rates]


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}


def show(value: dict[str, float] | None) -> str:
    if value is None:
        return "not installed"
    return f"{value['median']:.3g} ({value['least']:.3g} to {value['greatest']:.3g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each figure")
    parser.add_argument("--brian2", metavar="PYTHON", help="an interpreter that has Brian2")
    parser.add_argument(
        "--out", type=Path, default=HERE / "results" / "numpy", help="where the table goes (without ending)"
    )
    options = parser.parse_args()
    compile_package()
    rows: list[dict[str, Any]] = []
    rows.append(
        {
            "what": "import snnlang",
            "ours": repeat(lambda: timed([sys.executable, "-c", "import snnlang"]), options.runs),
        }
    )
    rows.append({"what": "python -c pass", "ours": repeat(lambda: timed([sys.executable, "-c", "pass"]), options.runs)})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "two_hundred.snn"
        path.write_text(long_file(200), encoding="utf-8")
        command = [sys.executable, "-m", "snnlang", "check", str(path)]
        rows.append({"what": "snn check, 200 lines", "ours": repeat(lambda: timed(command), options.runs)})
    for lines in (1_000, 3_000, 10_000):
        text = long_file(lines)
        rows.append(
            {
                "what": f"parse and check {len(text.splitlines()):,} lines",
                "ours": repeat(lambda text=text: check_in_process(text), options.runs),  # type: ignore[misc]
            }
        )
    rows += cuba(options.runs, options.brian2)
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(
        json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n", encoding="utf-8"
    )
    lines_out = [
        f"Seconds, median (least to greatest) of {options.runs} runs; {machine}.",
        "",
        "| what | snnlang | Brian2 (NumPy runtime) | ratio |",
        "|---|---|---|---|",
    ]
    for row in rows:
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else ""
        peer = show(row.get("brian2")) if row["what"].startswith("CUBA") else ""
        lines_out.append(f"| {row['what']} | {show(row['ours'])} | {peer} | {ratio} |")
    options.out.with_suffix(".md").write_text("\n".join(lines_out) + "\n", encoding="utf-8")
    print("\n".join(lines_out))


if __name__ == "__main__":
    main()
