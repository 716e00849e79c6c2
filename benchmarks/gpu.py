"""Runs the rows of gpu_rows.py on a CUDA device, both ways of running, beside one thread of target c and the peers that are installed.

One command measures everything within ``--minutes`` and names what it had to leave out; the table is written after every row. Where a step
is limited by memory, the bytes that it must move are compared with what a copy on the same device moves; where it is small, its time with
that of the launches, or meetings of all threads, that it consists of. ``--backend shim`` runs tiny sizes on the processor, to see that all
of it works: its figures mean nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_device import DeviceLimits, Timing, limits, timed
from gpu_rows import ROWS, Row, Traffic, traffic
from gpu_table import markdown
from measure import Failure, Place, measure
from rows import ROWS as NATIVE
from rows import Program

HERE = Path(__file__).parent
MODELS = HERE / "models"
WAYS = ("resident", "graph")
PEERS = (Program("genn cuda", "genn", "float32", "cuda"), Program("brian2cuda", "brian2cuda", "float32", "cuda"))
#: Synapses above which the c target beside it would take too long to make them.
MOST_ON_HOST = 2e8


@dataclass
class Measured:
    """One row at one scale. ``missing`` says why there is no figure (by way, ``c``, or "" for all)."""

    row: Row
    scale: int
    values: dict[str, str]
    neurons: int = 0
    synapses: float = 0.0
    chosen: str = ""
    stages: int = 0
    meetings: int = 0
    resident_blocks: int = 0
    traffic: Traffic | None = None
    device_bytes: int = 0
    building: float = 0.0
    ways: dict[str, Timing] = field(default_factory=dict)
    c: Timing | None = None
    missing: dict[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        return {
            "row": self.row.name,
            "scale": self.scale,
            "set": self.values,
            "neurons": self.neurons,
            "synapses": self.synapses,
            "chosen": self.chosen,
            "stages": self.stages,
            "meetings": self.meetings,
            "resident_blocks": self.resident_blocks,
            "bytes": {way: self.traffic.bytes(one.events) for way, one in self.ways.items()} if self.traffic else {},
            "formula": self.traffic.formula if self.traffic else "",
            "device_bytes": self.device_bytes,
            "building": self.building,
            "ways": {way: one.plain() for way, one in self.ways.items()},
            "c": self.c.plain() if self.c else None,
            "missing": self.missing,
        }


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def opened(kind: str) -> Any:
    """The backend. Raises SnnError where there is no device."""
    if kind == "shim":
        from snnlang.runtime.cuda_shim import ShimBackend

        return ShimBackend()
    from snnlang.runtime.cuda_cupy import backend

    return backend()


def described(backend: Any) -> dict[str, str]:
    """The device and the programs."""
    free, total = backend.memory()
    major, minor = backend.capability
    about = {
        "device": backend.name,
        "compute capability": f"{major}.{minor}",
        "multiprocessors": str(backend.multiprocessors),
        "memory": f"{total / 1e9:.1f} GB, {free / 1e9:.1f} GB free",
        "processor of target c": platform.processor() or platform.machine(),
        "python": platform.python_version(),
    }
    if hasattr(backend, "cupy"):
        runtime = backend.cupy.cuda.runtime
        about["cupy"] = str(backend.cupy.__version__)
        about["CUDA of the driver"] = _version(runtime.driverGetVersion())
        about["CUDA of CuPy"] = _version(runtime.runtimeGetVersion())
    return about


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def planned(row: Row, values: dict[str, str], precision: str) -> Any:
    from snnlang.cli.options import assignment
    from snnlang.compile import check_path, plan_and_remarks
    from snnlang.diagnostics import SnnError
    from snnlang.model.elaborate import Overrides, elaborate

    program, found = check_path(MODELS / f"{row.model}.snn")
    if program is None:
        raise SnnError(*found)
    given = dict(assignment(f"{name}={value}") for name, value in values.items())
    experiment = elaborate(program, None, Overrides(values=given, target="cuda", precision=precision))
    return plan_and_remarks(experiment, "double" if precision == "float64" else "single")[0]


def on_device(one: Measured, plan: Any, code: Any, backend: Any, way: str, seconds: float) -> None:
    """One way of running; its timing or its failure goes into ``one``."""
    from snnlang.diagnostics import SnnError
    from snnlang.runtime.device_cuda import GRAPH_KERNELS, CudaDevice

    label = f"{one.row.name:<15} x{one.scale:<4} {way:<9}"
    if way == "graph" and not code.step:
        one.missing[way] = "loops that settle run resident only"
        return
    try:
        start = time.perf_counter()
        device = CudaDevice(plan, backend, code, way=way)  # type: ignore[arg-type]
        backend.synchronize()
        one.building = one.building or time.perf_counter() - start
        one.device_bytes, one.resident_blocks = device.nbytes, device.resident_grid
        unit = (
            max(1, GRAPH_KERNELS // max(1, len(code.step))) * (2 if code.barriers == 1 else 1) if way == "graph" else 1
        )
        one.ways[way] = timed(device, plan, seconds, backend, unit)
        say(f"{label} {one.ways[way].best * 1e6:10.2f} us a step")
    except (SnnError, RuntimeError, MemoryError) as problem:
        one.missing[way] = str(problem).splitlines()[0]
        say(f"{label} {one.missing[way]}")
    finally:
        device = None  # type: ignore[assignment]
        gc.collect()


def on_processor(one: Measured, plan: Any, seconds: float) -> None:
    """One thread of target c."""
    from snnlang.diagnostics import SnnError
    from snnlang.runtime.device_c import NativeDevice

    if one.synapses > MOST_ON_HOST:
        one.missing["c"] = f"more than {MOST_ON_HOST:g} synapses"
        return
    try:
        one.c = timed(NativeDevice(plan, threads=1), plan, seconds)
        say(f"{one.row.name:<15} x{one.scale:<4} c         {one.c.best * 1e6:10.2f} us a step")
    except (SnnError, MemoryError) as problem:
        one.missing["c"] = str(problem).splitlines()[0]


def measured(row: Row, scale: int, backend: Any, options: argparse.Namespace) -> Measured:
    from snnlang.codegen.plan import Plan
    from snnlang.codegen.target_cuda import emit
    from snnlang.diagnostics import SnnError
    from snnlang.runtime.cuda_estimate import estimate_device, synapse_counts
    from snnlang.runtime.device_cuda import RESIDENT_BLOCK, RESIDENT_THREADS, way_of

    shim = options.backend == "shim"
    one = Measured(row, scale, row.values(scale, row.tiny if shim else row.size))
    try:
        plan: Plan = planned(row, one.values, options.precision)
        code = emit(plan)
        one.synapses = sum(synapse_counts(plan).values())
        one.neurons = sum(events.size for events in plan.lists.values())
        one.stages, one.meetings, one.traffic = len(code.step), code.barriers, traffic(plan)
        free, _ = backend.memory()
        needed = estimate_device(plan, code, free).total
        if needed > free:
            raise MemoryError(f"{needed / 1e9:.3g} GB of the device are needed, {free / 1e9:.3g} GB are free")
        module = backend.module(code.text, single=plan.precision == "single", name=plan.name)
        threads = min(RESIDENT_THREADS, RESIDENT_BLOCK * backend.block)
        one.chosen = way_of(code, module.resident_blocks("snn_resident", threads) * threads)
        del module
    except (SnnError, MemoryError) as problem:
        one.missing[""] = str(problem).splitlines()[0]
        say(f"{row.name:<15} x{scale:<4} {one.missing['']}")
        return one
    for way in WAYS:
        on_device(one, plan, code, backend, way, options.seconds)
    if not options.no_c:
        on_processor(one, plan, options.seconds)
    return one


def peers(rows: list[Row], options: argparse.Namespace, until: float) -> dict[str, dict[str, Any]]:
    """Microseconds of a step of each peer at the native sizes, or why there are none, by row."""
    place_of = options.where.resolve()
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as caches:
        for row in rows:
            native = next(one for one in NATIVE if one.name == row.native)
            for program in PEERS:
                left = until - time.perf_counter()
                place = Place(place_of, Path(caches), (0,), max(1.0, min(120.0, left)))
                if not place.installed(program):
                    answer: Any = "not installed"
                elif options.backend == "shim" or left < 20:
                    answer = "left out: no time" if left < 20 else "left out on the shim"
                else:
                    result = measure(place, program, native, 1.0)
                    answer = result.reason if isinstance(result, Failure) else result.loop / result.counts.steps * 1e6
                found.setdefault(row.name, {})[program.name] = answer
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--backend", choices=("cupy", "shim"), default="cupy", help="shim: tiny sizes on the processor, for tests"
    )
    parser.add_argument(
        "--only", default="", metavar="ROWS", help=f"rows, by commas: {', '.join(row.name for row in ROWS)}"
    )
    parser.add_argument("--scales", default="", metavar="N,N", help="times the size (default 1,10,100; on the shim 1)")
    parser.add_argument("--precision", choices=("float32", "float64"), default="float32")
    parser.add_argument(
        "--seconds", type=float, default=0.0, help="of one run of many steps (default 0.3; on the shim 0.01)"
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="after which nothing new is begun (default 8)")
    parser.add_argument("--no-c", action="store_true", help="leave out target c")
    parser.add_argument("--no-peers", action="store_true", help="leave out GeNN and Brian2CUDA")
    parser.add_argument("--where", type=Path, default=HERE / "peers", help="folder with the peers' environments")
    parser.add_argument(
        "--out",
        type=Path,
        help="where the table goes, without ending (default results/gpu; on the shim it must be given)",
    )
    options = parser.parse_args()
    shim = options.backend == "shim"
    if shim and options.out is None:
        parser.error("--backend shim needs --out: figures of the shim do not belong among the results")
    out = options.out or HERE / "results" / "gpu"
    asked = [name.strip() for name in options.only.split(",") if name.strip()]
    unknown = [name for name in asked if name not in {row.name for row in ROWS}]
    if unknown:
        parser.error(f"no row is called {', '.join(unknown)}")
    scales = [int(scale) for scale in (options.scales or ("1" if shim else "1,10,100")).split(",")]
    options.seconds = options.seconds or (0.01 if shim else 0.3)
    rows = [row for row in ROWS if not asked or row.name in asked]

    from snnlang.diagnostics import SnnError

    until = time.perf_counter() + 60 * options.minutes
    try:
        backend = opened(options.backend)
    except SnnError as problem:
        say(str(problem))
        return 1
    machine = described(backend) | {"precision": options.precision}
    found_limits: DeviceLimits = limits(backend, shim)
    say(
        f"{machine['device']}: a copy moves {found_limits.copy / 1e9:.0f} GB/s, a kernel in a graph takes {found_limits.graph:.2f} us"
    )
    results: list[Measured] = []
    for scale in scales:  # small ones of all rows first: what time leaves out is large
        for row in rows:
            if scale > 1 and not row.grows:
                continue
            if time.perf_counter() > until:
                one = Measured(
                    row, scale, row.values(scale, row.tiny if shim else row.size), missing={"": "left out: no time"}
                )
            else:
                one = measured(row, scale, backend, options)
            results.append(one)
            write(out, machine, found_limits, rows, results, {})
    beside = {} if options.no_peers else peers(rows, options, until)
    write(out, machine, found_limits, rows, results, beside)
    say(f"written: {out}.json, {out}.md")
    print(markdown(machine, found_limits, rows, results, beside))
    return 0


def write(
    out: Path,
    machine: dict[str, str],
    found: DeviceLimits,
    rows: list[Row],
    results: list[Measured],
    beside: dict[str, dict[str, Any]],
) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    plain = {"machine": machine, "limits": found.plain(), "rows": [one.plain() for one in results], "peers": beside}
    out.with_suffix(".json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(markdown(machine, found, rows, results, beside), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
