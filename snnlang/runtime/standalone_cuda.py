"""An experiment as a folder of CUDA that needs no snnlang: ``snn compile FILE --target cuda -o DIR``.

``NAME.cu`` is the very text that :mod:`snnlang.codegen.target_cuda` prints for ``snn run``. What the runtime would give it is laid out on
paper (:mod:`snnlang.runtime.cuda_paper`) and written twice: as tables of C++ in ``NAME.h`` for ``host.cu`` (built with ``make``), and as
``manifest.json`` for ``host.py`` (CuPy and NumPy). Numbers that are not all alike - synapses, given values, spike times - lie in ``.bin``
files. Every population is recorded. Refused, each with its place: experiments that present samples or sweep (E746), and synapses that take
more than ``MOST_BYTES`` (E749).
"""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from typing import Any, Final

import numpy as np

from snnlang.codegen import plan as p
from snnlang.codegen.standalone_c import watched
from snnlang.compile import compile_experiment
from snnlang.diagnostics import error
from snnlang.model.elaborate import Overrides
from snnlang.model.model import Program
from snnlang.model.network import Experiment
from snnlang.runtime.cuda_folder import Folder
from snnlang.runtime.cuda_tables import tables
from snnlang.runtime.cuda_wiring import estimate

#: Bytes of synapses that a folder may hold.
MOST_BYTES: Final = 2**32
#: Steps that the programs run where the experiment has no duration.
STEPS: Final = 10_000


def export(program: Program, overrides: Overrides, experiment: str | None = None) -> dict[str, str | bytes]:
    """File name -> content. Raises E746 and E749, and what compiling raises."""
    chosen, plan = compile_experiment(program, experiment, overrides)
    _refuse(chosen)
    frozen = {
        name: replace(array, data=None, fill=float((array.owner, array.variable) in chosen.freeze))
        for name, array in plan.arrays.items()
        if array.role == "freeze"
    }
    plan = replace(plan, arrays={**plan.arrays, **frozen})
    return standalone(plan, round(chosen.duration / chosen.dt) if chosen.duration else STEPS, chosen.record_initial)


def _refuse(experiment: Experiment) -> None:
    """Raises E746."""
    if experiment.phases:
        raise error(
            "E746",
            f"`{experiment.name}` presents samples, which programs of CUDA would have to load themselves",
            experiment.phases[0].span,
            "the data are not part of the model",
            help="compile an experiment with a duration and no present, or run this one with `snn run --target cuda`",
        )
    if experiment.sweep:
        name, values = experiment.sweep[0]
        raise error(
            "E746",
            f"`{experiment.name}` sweeps `{name}`, and a folder of CUDA holds one of {len(values)} points",
            experiment.span,
            "several networks",
            help=f"choose one with --set {name}=..., or run all of them with `snn run --target cuda`",
        )


def standalone(plan: p.Plan, steps: int = STEPS, initial: bool = False) -> dict[str, str | bytes]:
    """File name -> content of a plan that :func:`snnlang.codegen.verify.verify` accepts. ``steps`` are how many the programs run unless
    their command line says otherwise, ``initial`` whether they record values before the first one, too (as step -1). Raises E749."""
    plan = watched(plan)
    _require_size(plan)
    return _files(Folder(plan, steps, initial))


def _require_size(plan: p.Plan) -> None:
    sparse = [c for c in plan.connectivities.values() if c.kind == "sparse"]
    needed = [estimate(c, needs_columns=c.needs_columns) for c in sparse]
    if sum(needed) > MOST_BYTES:
        largest = sparse[int(np.argmax(needed))]
        raise error(
            "E749",
            f"the synapses of this network would take {sum(needed) / 1e9:.1f} GB of files, {max(needed) / 1e9:.1f} GB of them "
            f"{largest.owner or largest.name}",
            largest.span,
            f"a folder of CUDA holds up to {MOST_BYTES / 1e9:.1f} GB",
            help="`snn run --target cuda` makes them on the device; or compile a smaller network with --set",
        )


def _files(folder: Folder) -> dict[str, str | bytes]:
    words = {
        "NAME": folder.name,
        "PLAN": "".join(c if c.isprintable() and c not in '"\\*/' and c.isascii() else "_" for c in folder.plan.name),
        "FMAD": "true" if folder.plan.precision == "single" else "false",
        "PRECISION": "float32" if folder.plan.precision == "single" else "float64",
        "TABLES": tables(folder),
    }
    return {
        f"{folder.name}.cu": folder.code.text,
        f"{folder.name}.h": _filled("cuda_model.h", words),
        "host.cu": _filled("cuda_host.cu", words),
        "host.py": _filled("cuda_host.py.txt", words),
        "Makefile": _filled("cuda_Makefile", words),
        "README.md": _filled("cuda_README.md", words),
        "manifest.json": _manifest(folder),
        **folder.data,
    }


def _manifest(folder: Folder) -> str:
    """What ``NAME.h`` says, for programs that read JSON."""
    plan, code = folder.plan, folder.code
    streams = [{"path": s.path, "draw": s.draw, "key": f"{s.key:#018x}"} for s in plan.streams.values()]
    synapses = [
        {"name": c.owner or c.name, "kind": c.kind, "pattern": c.pattern, "synapses": folder.memory.synapses(c.name)}
        for c in plan.connectivities.values()
    ]
    buffers = []
    for b in folder.buffers:
        row: dict[str, Any] = {"name": b.name, "bytes": b.nbytes, "type": b.type}
        if b.repeat:
            value = np.frombuffer(b.element, b.type)[0].item()
            row |= {"fill": value, "repeat": b.repeat}
        if b.file:
            row["file"] = b.file
        if b.again:
            row["again"] = True
        buffers.append(row)
    said = {
        "text": f"{folder.name}.cu",
        "precision": "float64" if plan.precision == "double" else "float32",
        "fmad": plan.precision == "single",
        "dt_ms": plan.dt,
        "time_offset": plan.time_offset,
        "steps": folder.steps,
        "record_initial": folder.initial,
        "launch": folder.launch(),
        "kernels": folder.kernels(),
        "resident_items": code.resident.items,
        "barriers": code.barriers,
        "model": [{"word": what, **({"buffer": n} if n >= 0 else {"value": v})} for what, n, v in folder.words],
        "buffers": buffers,
        "events": folder.events(),
        "values": folder.values(),
        "queues": folder.queues(),
        "parameters": folder.parameters(),
        "streams": streams,
        "connectivity": synapses,
    }
    lines = [f"  {json.dumps(key)}: {_json(value)}" for key, value in said.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _json(value: Any) -> str:
    """One line for each row."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"    {json.dumps(row)}" for row in value) + "\n  ]"
    return json.dumps(value)


def _filled(name: str, words: dict[str, str]) -> str:
    """A file of codegen/embedded with ``@WORD@`` replaced."""
    text = (files("snnlang.codegen") / "embedded" / name).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


__all__ = ["MOST_BYTES", "export", "standalone"]
