"""An experiment as a folder of CUDA that needs no snnlang: ``snn compile FILE --target cuda -o DIR``.

``NAME.cu`` is the very text that :mod:`snnlang.codegen.target_cuda` prints for ``snn run``. What the runtime would give it is laid out on
paper (:mod:`snnlang.runtime.cuda_paper`) and written twice: as tables of C++ in ``NAME.h`` for ``host.cu`` (built with ``make``), and as
``manifest.json`` for ``host.py`` (CuPy and NumPy). Numbers that are not all alike - synapses, given values, spike times - lie in ``.bin``
files. Every population is recorded. Samples that the experiment presents come along (:mod:`snnlang.runtime.cuda_samples`). Refused, each
with its place: experiments that sweep (E746), synapses that take more than ``MOST_BYTES`` (E749), data that Python gives (E738), too many
samples (E758), and more steps than a device counts (E737).
"""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from typing import Any, Final

import numpy as np

from snnlang.codegen import plan as p
from snnlang.codegen.c_samples import Samples
from snnlang.codegen.standalone_c import watched
from snnlang.compile import compile_experiment
from snnlang.diagnostics import SnnError, error
from snnlang.model.elaborate import Overrides
from snnlang.model.model import Program
from snnlang.model.network import Experiment
from snnlang.runtime.cuda_folder import Folder
from snnlang.runtime.cuda_samples import MOST_VALUES, FolderSamples
from snnlang.runtime.cuda_tables import tables
from snnlang.runtime.cuda_wiring import estimate
from snnlang.runtime.standalone_samples import samples_of
from snnlang.runtime.target_limits import LAST_STEP, too_long

#: Bytes of synapses that a folder may hold.
MOST_BYTES: Final = 2**32
#: Steps that the programs run where the experiment has no duration.
STEPS: Final = 10_000


def export(program: Program, overrides: Overrides, experiment: str | None = None) -> dict[str, str | bytes]:
    """File name -> content. Raises E737, E738, E746, E749 and E758, and what compiling and loading data raise."""
    chosen, plan = compile_experiment(program, experiment, overrides)
    _refuse(chosen)
    frozen = {
        name: replace(array, data=None, fill=float((array.owner, array.variable) in chosen.freeze))
        for name, array in plan.arrays.items()
        if array.role == "freeze"
    }
    plan = replace(plan, arrays={**plan.arrays, **frozen})
    steps, samples = round(chosen.duration / chosen.dt) if chosen.duration else STEPS, None
    if chosen.phases:
        samples = samples_of(chosen, plan, MOST_VALUES)
        steps = samples.steps
    if steps > LAST_STEP:
        raise SnnError(too_long("cuda", steps))
    return standalone(plan, steps, chosen.record_initial, samples)


def _refuse(experiment: Experiment) -> None:
    """Raises E746."""
    if experiment.sweep:
        name, values = experiment.sweep[0]
        raise error(
            "E746",
            f"`{experiment.name}` sweeps `{name}`, and a folder of CUDA holds one of {len(values)} points",
            experiment.span,
            "several networks",
            help=f"choose one with --set {name}=..., or run all of them with `snn run --target cuda`",
        )


def standalone(
    plan: p.Plan, steps: int = STEPS, initial: bool = False, samples: Samples | None = None
) -> dict[str, str | bytes]:
    """File name -> content of a plan that :func:`snnlang.codegen.verify.verify` accepts. ``steps`` are how many the programs run unless
    their command line says otherwise (with ``samples``: those of its trials), ``initial`` whether they record values before the first one,
    too (as step -1). Raises E749."""
    plan = watched(plan)
    _require_size(plan)
    folder = Folder(plan, steps, initial)
    return _files(folder, None if samples is None else FolderSamples(folder, samples))


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


def _files(folder: Folder, samples: FolderSamples | None) -> dict[str, str | bytes]:
    words = {
        "NAME": folder.name,
        "PLAN": "".join(c if c.isprintable() and c not in '"\\*/' and c.isascii() else "_" for c in folder.plan.name),
        "FMAD": "true" if folder.plan.precision == "single" else "false",
        "PRECISION": "float32" if folder.plan.precision == "single" else "float64",
        "TABLES": tables(folder),
        **_presented(folder, samples),
    }
    shown: dict[str, str | bytes] = {}
    if samples is not None:
        shown = {f"{folder.name}_samples.h": _filled("cuda_samples.h", words), **samples.files}
    return {
        f"{folder.name}.cu": folder.code.text,
        f"{folder.name}.h": _filled("cuda_model.h", words),
        "host.cu": _filled("cuda_host.cu", words),
        "host.py": _filled("cuda_host.py.txt", words),
        "Makefile": _filled("cuda_Makefile", words),
        "README.md": _filled("cuda_README.md", words),
        "manifest.json": _manifest(folder, samples),
        **folder.data,
        **shown,
    }


def _presented(folder: Folder, samples: FolderSamples | None) -> dict[str, str]:
    """The words of the embedded files that concern trials; without samples they say nothing of them."""
    if samples is None:
        begin = "    start(net, 0);\n    if (RECORD_INITIAL) take_initial(net);\n    run(net, 0, steps);\n"
        words = ["OPTION", "ABOUT", "PRESENT", "DECLARED", "TAKEN", "SAMPLES", "SAMPLESFILE", "SAMPLESROW"]
        words += ["TRIALSOPTION", "TRIALSWRITE"]
        return {**dict.fromkeys(words, ""), "RUN": begin + "    section(net, trial_end_kernels, steps);\n"}
    taken = '        } else if (strcmp(option, "--trials") == 0) {\n            trials = trials_file(next);\n'
    return {
        "OPTION": " [--trials FILE]",
        "ABOUT": ", or of every trial",
        "PRESENT": _filled("cuda_present.cu", {}),
        "DECLARED": "    FILE *trials = nullptr;\n",
        "TAKEN": taken,
        "RUN": "    steps = show_all(net, steps, trials);\n    if (trials != nullptr) fclose(trials);\n",
        "SAMPLES": f'\n#include "{folder.name}_samples.h"\n',
        "SAMPLESFILE": f" {folder.name}_samples.h",
        "SAMPLESROW": f"| `{folder.name}_samples.h` | the trials, phase by phase: which inputs take which file, labels, what is frozen |\n",
        "TRIALSOPTION": '    parser.add_argument("--trials", metavar="FILE")\n',
        "TRIALSWRITE": "    if options.trials:\n        write_trials(network, options.trials)\n",
        "TRIALS": str(samples.samples.trials),
        "SAMPLESTEPS": str(samples.samples.steps),
        "SAMPLETABLES": samples.header(),
    }


def _manifest(folder: Folder, samples: FolderSamples | None) -> str:
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
    if samples is not None:
        said["samples"] = samples.described
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
