"""A plan as a folder of C11 files that need no Python: the model, its numbers, a header, a program and a Makefile.

``NAME.c`` is the text of :mod:`snnlang.codegen.target_c` and a few functions that find arrays by name; ``NAME_data.h`` holds what the
runtime would give it (:mod:`snnlang.codegen.c_tables`), so that a person can change a number; ``NAME.h`` is what another program includes;
``main.c`` runs the experiment. Every function and constant that is seen from outside begins with NAME, so that several models fit one
program. Every population is recorded. Samples that the experiment presents come along (:mod:`snnlang.codegen.c_samples`). It refuses
nothing: what cannot be written is refused where the experiment is read (E738, E758).
"""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from typing import Literal

from snnlang.codegen import plan as p
from snnlang.codegen.c_samples import Samples, presented_words, sample_tables
from snnlang.codegen.c_tables import names_of_arrays, tables
from snnlang.codegen.clike import safe
from snnlang.codegen.target_c import emit

_LETTER = {"real": "r", "int": "i", "bool": "b"}

_QUIET = """#define SNN_EXPORTED 1
#if defined(__GNUC__) /* no model needs all support functions, no kernel all that its loop names, no loop OpenMP */
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"
#endif
"""


def standalone(
    plan: p.Plan,
    steps: int | None = None,
    math: Literal["fast", "strict"] = "fast",
    samples: Samples | None = None,
    initial: bool = False,
) -> dict[str, str]:
    """File name -> text. ``steps`` is how many the program runs unless its command line says otherwise (10,000 without; with ``samples``
    those of its trials); ``initial``: it records values before the first step, too (as step -1)."""
    plan = watched(plan)
    name = safe(plan.name)
    presented = presented_words(samples, name.upper(), name)
    if samples is not None:
        steps = samples.steps
    code = emit(plan, prefix=name, math=math)
    words = {
        "UPPER": name.upper(),
        "NAME": name,
        "PLAN": _plain(plan.name),
        "REALTYPE": "double" if plan.precision == "double" else "float",
        "DT": repr(float(plan.dt)),
        "OFFSET": str(plan.time_offset),
        "STEPS": str(10_000 if steps is None else steps),
        "COUNT_OF_ARRAYS": str(len(code.arrays)),
        "COUNT_OF_RECORDS": str(len(code.recorders)),
        "ARRAYS": _enumeration(name.upper(), "", [array or "array" for array in code.arrays]),
        "RECORDS": _enumeration(name.upper(), "RECORD_", list(code.recorders)),
        "TABLE": _names_table(plan),
        "ROUNDING": _rounding(code.text, math),
        "INITIAL": str(int(initial)),
        **presented,
    }
    words |= {
        "READY": ", ready to run step 0" if samples is None else f": {name}_show begins",
        "PRESENTED": "" if samples is None else _filled("present_api.h", words),
        "OPTION": "" if samples is None else " [--trials FILE]",
        "ABOUT": "" if samples is None else ", or of every trial",
        "SAMPLES_FILE": "" if samples is None else f" {name}_samples.h",
        "SAMPLES_ROW": "" if samples is None else f"| `{name}_samples.h` | the samples of its trials, phase by phase, and their labels |\n",
    }
    trials: dict[str, str] = {}
    if samples is not None:
        freezes = [array.name for array in plan.arrays.values() if array.role == "freeze"]
        trials[f"{name}_samples.h"] = sample_tables(samples, list(code.arrays), freezes, name)
    return {
        f"{name}.c": _QUIET + code.text + "\n" + _filled("access.c", words) + (_filled("present.c", words) if trials else ""),
        f"{name}_data.h": tables(plan, code, name),
        **trials,
        f"{name}.h": _filled("model_api.h", words),
        "main.c": _filled("main.c", words),
        "Makefile": _filled("Makefile", words),
        "README.md": _filled("README.md", words),
    }


def _rounding(text: str, math: Literal["fast", "strict"]) -> str:
    """How snnlang's own build rounds this model (see runtime/compiler.py)."""
    if math == "strict":
        return "-ffp-contract=off"
    fused = "#define SNN_FUSED 1" in text[:2000]
    return "-fno-trapping-math " + ("-ffp-contract=fast -freciprocal-math" if fused else "-ffp-contract=off")


def watched(plan: p.Plan) -> p.Plan:
    """The plan with a recorder for the events of every population that has none for all of its neurons."""
    known = {r.list for r in plan.recorders if isinstance(r, p.EventRecorder) and r.indices is None}
    taken = {r.label for r in plan.recorders}
    added = []
    for events in plan.lists.values():
        label = f"{events.owner}.{'spikes' if events.event == 'spike' else events.event}"
        if events.owner and events.name not in known and label not in taken:
            added.append(p.EventRecorder(label, events.name, None, events.owner))
            taken.add(label)
    return replace(plan, recorders=(*plan.recorders, *added))


def _filled(name: str, words: dict[str, str]) -> str:
    """A file of codegen/embedded with ``@WORD@`` replaced."""
    text = (files("snnlang.codegen") / "embedded" / name).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def _plain(text: str) -> str:
    """Text that may stand in a C string and in a comment."""
    return "".join(c if c.isprintable() and c not in '"\\*/' and c.isascii() else "_" for c in text)


def _enumeration(upper: str, kind: str, names: list[str]) -> str:
    taken: set[str] = set()
    lines = []
    for number, name in enumerate(names):
        made, copy = f"{upper}_{kind}{safe(name)}", 2
        while made in taken:
            made, copy = f"{upper}_{kind}{safe(name)}_{copy}", copy + 1
        taken.add(made)
        lines.append(f"    {made} = {number},")
    return "\n".join(lines) or f"    {upper}_{kind}NOTHING = 0"


def _names_table(plan: p.Plan) -> str:
    """The rows of the tables of arrays and of recorders."""
    arrays = [
        f'    {{"{_plain_name(name)}", "{_plain_name(array.unit)}", \'{_LETTER[array.type]}\', '
        f"{int(array.role == 'input')}, {array.depth}}},"
        for name, array in zip(names_of_arrays(plan), plan.arrays.values(), strict=True)
    ]
    records = []
    for recorder in plan.recorders:
        if isinstance(recorder, p.EventRecorder):
            size = plan.lists[recorder.list].size if recorder.indices is None else len(recorder.indices)
            records.append(f'    {{"{_plain_name(recorder.label)}", "", \'e\', 1, {size}}},')
            continue
        array = plan.arrays[recorder.array]
        kind = _LETTER[array.type]
        records.append(
            f'    {{"{_plain_name(recorder.label)}", "{_plain_name(recorder.unit)}", \'{kind}\', {recorder.every}, 0}},'
        )
    nothing = ['    {"", "", \'r\', 0, 0},']
    recorded = {name: number for number, name in enumerate(plan.arrays)}
    of = [str(recorded[r.array]) if isinstance(r, p.ValueRecorder) else "-1" for r in plan.recorders]
    return (
        "const @NAME@_array_row @NAME@_arrays[] = {\n" + "\n".join(arrays or nothing) + "\n};\n\n"
        "const @NAME@_record_row @NAME@_records[] = {\n" + "\n".join(records or nothing) + "\n};\n\n"
        f"/* the array that a recorder sees; -1: events */\nstatic const int64_t array_of_record[] = {{{', '.join(of or ['-1'])}}};\n"
    ).replace("@NAME@", safe(plan.name))


def _plain_name(text: str) -> str:
    """Text of a C string; names such as E->I.w keep their signs."""
    return "".join(c if c.isprintable() and c.isascii() and c not in '"\\' else "_" for c in text).replace("??", "?_")


__all__ = ["standalone"]
