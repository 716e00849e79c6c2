"""A plan as one Python file that needs NumPy alone: it makes its own synapses and random numbers, runs and saves what was recorded.

The functions that the printed code calls are carried along, as they stand in :mod:`snnlang.codegen.random`,
:mod:`snnlang.codegen.patterns` and :mod:`snnlang.codegen.whole_array`, and only those.
"""

from __future__ import annotations

import ast
import base64
import inspect
import math
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen import patterns, random, whole_array
from snnlang.codegen import plan as p
from snnlang.codegen.connectivity import condition_text
from snnlang.codegen.numpy_names import identifier
from snnlang.codegen.target_numpy import emit

#: Longer number tables go into the file as compressed text.
LITERAL_LIMIT = 16


def standalone(plan: p.Plan, steps: int | None = None, initial: bool = False) -> dict[str, str]:
    """File name -> text. ``steps`` is how many the file runs unless its command line says otherwise (10,000 without); ``initial``: it
    records values before the first one, too (as step -1)."""
    code = emit(plan)
    lines = [*_memory(plan), "", "", *_main(plan, 10_000 if steps is None else steps, initial)]
    text = code.body + "\n\n" + "\n".join(lines) + "\n"
    carried = carry(text, frozenset(c.pattern for c in plan.connectivities.values() if c.kind == "sparse"))
    head = [
        f'"""{plan.name}: dt = {plan.dt!r} ms; written by snn. Needs NumPy alone.',
        "",
        "Run it, or import it and call simulate(). Units are ms, mV, pA, nS, pF, GOhm.",
        "Sections: what is carried along, the model, its memory, the command line.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        *_imports(carried + text),
        "",
    ]
    whole = "\n".join(head) + carried + "\n\n" + text
    return {f"{identifier(plan.name)}.py": whole}


def _imports(text: str) -> list[str]:
    needed = [name for name in ("argparse", "base64", "hashlib", "itertools", "math", "zlib") if f"{name}." in text]
    lines = [f"import {name}" for name in sorted(needed)]
    if "Callable[" in text:
        lines.append("from collections.abc import Callable")
    if "Any" in text:
        lines.append("from typing import Any")
    lines += ["", "import numpy as np"]
    if "NDArray" in text:
        lines.append("from numpy.typing import NDArray")
    return lines


# --- what is carried along --------------------------------------------------------------------------------------------


def carry(text: str, made: frozenset[str]) -> str:
    """The definitions of the support modules that ``text`` needs, in their own order; of the patterns, those in ``made`` alone."""
    definitions: list[tuple[frozenset[str], frozenset[str], str]] = []
    for module in (random, patterns, whole_array):
        source = inspect.getsource(module)
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names = frozenset({node.name})
            elif isinstance(node, ast.Assign):
                names = frozenset(n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name))
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names = frozenset({node.target.id})
            else:
                continue
            segment = ast.get_source_segment(source, node) or ""
            if names == {"pattern_rows"}:
                segment, function = _trimmed(segment, made)
                definitions.append((names, _names_in(function), segment))
                continue
            definitions.append((names, _names_in(node), segment))
    wanted = _names_in(ast.parse(text))
    chosen: set[int] = set()
    while True:
        more = {number for number, (names, _, _) in enumerate(definitions) if names & wanted} - chosen
        if not more:
            break
        chosen |= more
        wanted = wanted.union(*(definitions[number][1] for number in more))
    parts: list[str] = []
    for number in sorted(chosen):
        segment = definitions[number][2]
        apart = segment.startswith(("def ", "class "))
        if apart:
            parts.append("\n" if parts else "")
        elif parts and parts[-1].startswith(("def ", "class ")):
            parts.append("\n")
        parts.append(segment)
    return "\n".join(part for part in parts) + "\n"


def _trimmed(text: str, made: frozenset[str]) -> tuple[str, ast.AST]:
    """``pattern_rows`` without the cases of patterns that the plan does not have."""
    function = ast.parse(text).body[0]
    assert isinstance(function, ast.FunctionDef)
    for choice in function.body:
        if isinstance(choice, ast.Match):
            choice.cases = [
                c for c in choice.cases if made & {n.value for n in ast.walk(c.pattern) if isinstance(n, ast.Constant)}
            ]
            if not choice.cases:
                function.body.remove(choice)
                break
    return ast.unparse(function), function


def _names_in(tree: ast.AST) -> frozenset[str]:
    """Names that code uses; those in annotations too, so that aliases of types come along only where they are defined by values."""
    return frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


# --- memory -----------------------------------------------------------------------------------------------------------


def _memory(plan: p.Plan) -> list[str]:
    real = "np.float64" if plan.precision == "double" else "np.float32"
    types = {"real": real, "int": "np.int64", "bool": "bool"}
    lines: list[str] = []
    for c in plan.connectivities.values():
        if c.pattern == "where":
            lines += [f"def {_condition_name(c)}(pre, post):"]
            lines += [f"    {line}" for line in condition_text(c.options).splitlines()] + ["", ""]
    lines += [
        "class Memory:",
        '    """Arrays, event lists, queues, synapses, keys of random streams and records of one simulation."""',
        "",
        "    def __init__(self):",
        "        self.keys = {",
        *(f'            "{s.name}": {s.key:#x},  # {s.path}: {s.draw}' for s in plan.streams.values()),
        "        }",
        "        self.synapses = {",
        *(f'            "{c.name}": {_built(plan, c)},' for c in plan.connectivities.values()),
        "        }",
        "        self.arrays = {",
        *(f'            "{a.name}": {_array(plan, a, types[a.type])},' for a in plan.arrays.values()),
        "        }",
        "        self.records = {" + ", ".join(f'"{r.label}": []' for r in plan.recorders) + "}",
        "        self.chosen = {",
        *(f'            "{r.label}": {_chosen(plan, r)},' for r in plan.recorders if r.indices is not None),
        "        }",
        "        self.clear()",
        "",
        "    def clear(self):",
        '        """Forget events that are on their way, and what lasts for one trial."""',
        "        self.lists = {" + ", ".join(f'"{e.name}": [NONE]*{e.depth}' for e in plan.lists.values()) + "}",
        "        self.queues = {"
        + ", ".join(f'"{q.name}": [[] for _ in range({q.depth})]' for q in plan.queues.values())
        + "}",
        *(
            f'        self.arrays["{a.name}"][...] = {_number(a.fill)}'
            for a in plan.arrays.values()
            if a.role in ("hold", "clock", "history", "scratch")
        ),
    ]
    return lines


def _condition_name(c: p.Connectivity) -> str:
    return f"connected_{identifier(c.name)}"


def _number(value: float) -> str:
    return (
        "np.inf"
        if value == math.inf
        else "-np.inf"
        if value == -math.inf
        else "np.nan"
        if value != value
        else repr(value)
    )


def _built(plan: p.Plan, c: p.Connectivity) -> str:
    options = ", ".join(
        f"{name!r}: {_condition_name(c) if name == 'condition' else _value(value)}" for name, value in c.options.items()
    )
    key = f"{plan.streams[c.stream].key:#x}" if c.stream else "0"
    sizes = f"{c.pre_size}, {c.post_size}, {_value(c.pre_part)}, {_value(c.post_part)}"
    return f'Built("{c.kind}", {sizes}, "{c.pattern}", {{{options}}}, {key}, {c.autapses})'


def _array(plan: p.Plan, array: p.Array, dtype: str) -> str:
    if array.connectivity is not None:
        c = plan.connectivities[array.connectivity]
        size = str(c.shared_size) if array.shared else f'self.synapses["{c.name}"].n'
        shape = f"({array.depth}, {size})" if array.depth > 1 else size
    else:
        flat = (math.prod(array.shape),) if array.shape else ()
        shape = repr((array.depth, *flat) if array.depth > 1 else flat)
    if array.data is None:
        return f"np.full({shape}, {_number(array.fill)}, {dtype})"
    data = np.asarray(array.data)
    given = f"{_value(data.ravel() if data.ndim else data)}"
    return f"np.array(np.broadcast_to({given}, {shape}), {dtype})"


def _chosen(plan: p.Plan, recorder: p.EventRecorder | p.ValueRecorder) -> str:
    assert recorder.indices is not None
    if isinstance(recorder, p.ValueRecorder):
        return _value(recorder.indices)
    return f"np.isin(np.arange({plan.lists[recorder.list].size}), {_value(recorder.indices)})"


def _value(value: Any) -> str:
    """A literal; long tables of numbers as compressed text."""
    if isinstance(value, np.ndarray):
        return _table(value)
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(_value, value))}{',' if len(value) == 1 else ''})"
    return repr(value)


def _table(array: NDArray[Any]) -> str:
    if array.size <= LITERAL_LIMIT:
        listed = repr(array.tolist()).replace("inf", "np.inf").replace("nan", "np.nan")
        return f"np.array({listed}, np.{array.dtype.name})" if array.dtype != bool else f"np.array({listed}, bool)"
    packed = base64.b85encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 9)).decode()
    return f'np.frombuffer(zlib.decompress(base64.b85decode("{packed}")), "{array.dtype.str}")'


# --- command line -----------------------------------------------------------------------------------------------------


def _initial(plan: p.Plan) -> list[str]:
    """Lines that record what is there before the first step."""
    lines = []
    for r in plan.recorders:
        if isinstance(r, p.ValueRecorder):
            value = f'memory.arrays["{r.array}"]' + ("[-1]" if plan.arrays[r.array].depth > 1 else "")
            chosen = "" if r.indices is None else f'[memory.chosen["{r.label}"]]'
            lines.append(f'        memory.records["{r.label}"].append((np.array([-1]), {value}{chosen}[None].copy()))')
    return lines


def _main(plan: p.Plan, steps: int, initial: bool) -> list[str]:
    events = [r.label for r in plan.recorders if isinstance(r, p.EventRecorder)]
    values = [r.label for r in plan.recorders if isinstance(r, p.ValueRecorder)]
    times = f"+ {plan.time_offset})*{plan.dt!r}"
    default = f"{identifier(plan.name)}.npz"
    lines = [
        f"def simulate(steps={steps}):",
        '    """Run from the start; name -> array of what was recorded. Times are in ms."""',
        "    memory = Memory()",
        '    with np.errstate(all="ignore"):',
        "        setup(memory, 0)",
        "        coefficients(memory, 0)",
        "        trial_start(memory, 0)",
        *(_initial(plan) if initial else ()),
        "        run(memory, 0, steps)",
        "        trial_end(memory, steps)",
        "    results = {}",
    ]
    if events:
        lines += [
            f"    for label in {tuple(events)!r}:",
            "        record = memory.records[label]",
            "        counts = [items.size for _, items in record]",
            "        happened = np.repeat(np.array([step for step, _ in record], np.int64), counts)",
            f'        results[f"{{label}}.times"] = (happened {times}',
            '        results[f"{label}.indices"] = np.concatenate([items for _, items in record] or [NONE])',
        ]
    if values:
        lines += [
            f"    for label in {tuple(values)!r}:",
            "        record = memory.records[label]",
            f'        results[f"{{label}}.times"] = (np.concatenate([when for when, _ in record]) {times}',
            "        results[label] = np.concatenate([rows for _, rows in record])",
        ]
    return [
        *lines,
        "    return results",
        "",
        "",
        "def main():",
        '    """Run and save what was recorded."""',
        "    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])",
        f'    parser.add_argument("--steps", type=int, default={steps}, help="how many steps of {plan.dt!r} ms to run")',
        f'    parser.add_argument("--out", default="{default}", help="where to save what was recorded")',
        "    options = parser.parse_args()",
        "    results = simulate(options.steps)",
        "    np.savez(options.out, **results)",
        "    for name, values in results.items():",
        '        print(f"{name}: {values.shape}")',
        "",
        "",
        'if __name__ == "__main__":',
        "    main()",
    ]
