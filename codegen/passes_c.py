"""The passes of a cell as C: blocks of neurons go through all steps with their states in the first-level cache.

    void NAME(void *const *slot, const snn_span *a)

``slot`` are the arrays of :mod:`snnlang.codegen.passes_layout` in their order. A block is 64 neurons; of each, the samples of the batch
come one after another and of each sample all steps. A backward pass may go forwards first (``again``), and finds what that kept in the
cache. Blocks share nothing that they write, so that threads may share them out. Sums over samples and steps are made in one order whatever
the number of threads.

Compiling is a part of every first batch: the file holds no header that nothing in it calls, and no code for neurons beyond the last whole
block where sizes (``unit``) leave none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files

from snnlang.codegen import kernel as k
from snnlang.codegen.clike import Precision, Scope
from snnlang.codegen.passes_layout import Slot
from snnlang.codegen.verify import InternalError

#: Neurons that go through the steps together.
LANES = 64
#: Sizes that are multiples of one of these leave neurons beyond the last whole block in so many parts of that fixed width.
UNITS = (LANES, 16, 8)
#: Functions of a header, as they are defined there.
_DEFINED = re.compile(r"^(?:SNN_INLINE|static inline) \w+ (snn_\w+)\(", re.MULTILINE)
_INLINE = "#define SNN_INLINE static inline __attribute__((always_inline, unused))"
_SPAN = """\
/* What one call does: `batch` samples of `size` neurons, steps first .. last - 1, blocks from .. to - 1. Arrays of every step hold `around`
 * numbers a step and begin at step `origin`; `sample` is the number of the first sample since training began, for draws. */
typedef struct snn_span {
    int64_t batch, size, first, last, from, to, around, origin, sample;
    double dt, offset;
    const uint64_t *key;
} snn_span;
"""


def unit_of(size: int) -> int:
    """The largest of :data:`UNITS` that sizes made of ``size`` are multiples of; 1: of none."""
    return next((unit for unit in UNITS if size % unit == 0), 1)


def c_text(
    passes: Iterable[tuple[str, k.Kernel, tuple[Slot, ...], bool, k.Kernel | None, int]],
    precision: Precision,
    streams: tuple[str, ...],
) -> str:
    """One file of functions: (name, kernel, its slots, whether time runs backwards, the forward kernel that comes before it, a number of
    :data:`UNITS` that every size is a multiple of, or 1)."""
    functions: list[_Function] = []
    units: dict[
        str, int
    ] = {}  # populations that differ in their names alone are compiled once, for what all their sizes share
    for name, kernel, slots, back, again, unit in passes:
        function = _Function(name, kernel, slots, back, again, precision, streams)
        functions.append(function)
        units[function.alike] = min(units.get(function.alike, unit), unit)
    known: dict[str, str] = {}
    made: list[str] = []
    for function in functions:
        first = known.setdefault(function.alike, function.name)
        alone = first == function.name
        made.append(
            function.text(units[function.alike]) if alone else _alias(function.name, function.kernel.title, first)
        )
    body = "\n".join(made)
    head = [
        "/* Made by snnlang: neurons forwards and backwards through the steps of a sample. */",
        "#define SNN_FUSED 1",
        "#include <stdint.h>",
        "#include <stddef.h>",
        f"typedef {'double' if precision == 'double' else 'float'} real;",
        *_headers(body),
        f"#define LANES {LANES}",
        _SPAN,
    ]
    return "\n".join([*head, body])


def _headers(body: str) -> list[str]:
    """The texts of those headers whose functions are called: what is there besides is read and thrown away by a compiler at some cost."""
    called = set(re.findall(r"\bsnn_\w+", body))
    draws = not called.isdisjoint(_defined("random.h"))
    if not draws and called.isdisjoint(_defined("mathematics.h")):
        return [_header("support.h"), _INLINE]
    return [_header(name) for name in ("support.h", "mathematics.h", *(("random.h",) if draws else ()))]


@lru_cache(maxsize=4)
def _defined(name: str) -> frozenset[str]:
    return frozenset(_DEFINED.findall(_header(name)))


@lru_cache(maxsize=8)
def _header(name: str) -> str:
    return (files("snnlang.codegen") / "native" / name).read_text(encoding="utf-8")


def _without_names(text: str, name: str) -> str:
    """The text of a function without comments, its own name and those of its variables replaced by numbers in order."""
    plain = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    names = dict.fromkeys(re.findall(r"\bconst (?:real|double|int|int32_t|int64_t) (\w+) =", plain))
    numbers = {local: f"#{number}" for number, local in enumerate(names)} | {name: "#", f"{name}__block": "#block"}
    return re.sub(r"\b[A-Za-z_]\w*", lambda found: numbers.get(found[0], found[0]), plain)


def _alias(name: str, title: str, first: str) -> str:
    head = f"void {name}(void *const *slot, const snn_span *a)"
    return f"/* {title}: as {first} */\n{head} {{ {first}(slot, a); }}\n"


class _Function:
    """One pass; ``alike`` is equal for those that differ in names alone."""

    def __init__(
        self,
        name: str,
        kernel: k.Kernel,
        slots: tuple[Slot, ...],
        back: bool,
        again: k.Kernel | None,
        precision: Precision,
        streams: tuple[str, ...],
    ) -> None:
        self.name = name
        self.kernel = kernel
        self.slots = slots
        self.back = back
        self.again = again
        self.streams = {stream: number for number, stream in enumerate(streams)}
        self.of: dict[tuple[str, str], int] = {(slot.array, slot.kind): number for number, slot in enumerate(slots)}
        self.scope = Scope(
            precision,
            self.place,
            lambda stream: f"a->key[{self.streams[stream]}]",
            lambda value: None,
            lambda const: None,
        )
        self.scope.wide |= {"step"}
        self._own = "\n".join(self._block())
        self.alike = _without_names(self._own, name)

    # --- what an element of an array is -------------------------------------------------------------------------------

    def place(self, array: str, index: k.Expr | None, lag: k.Expr | None) -> str:
        if (array, "parameter") in self.of:
            number = self.of[array, "parameter"]
            return f"p{number}" if self.slots[number].single else f"p{number}[lane]"
        for kind in ("carried", "initial"):
            if (array, kind) in self.of:
                return f"c{self.of[array, kind]}[lane]"
        if (array, "again") in self.of:
            return f"k{self.of[array, 'again']}[step - a->first][lane]"
        parts = []
        if (array, "each") in self.of:
            parts.append(f"e{self.of[array, 'each']}[lane]")
        if (array, "once") in self.of:
            parts.append(f"o{self.of[array, 'once']}[lane]")
        if (array, "sum") in self.of:
            parts.append(f"w{self.of[array, 'weights']}*o{self.of[array, 'sum']}[lane]")
        if not parts:
            return "(real)0"
        return parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"

    # --- the text -----------------------------------------------------------------------------------------------------

    def text(self, unit: int) -> str:
        return "\n".join([f"/* {self.kernel.title} */", self._own, "", *self._entry(unit)])

    def _block(self) -> list[str]:
        stored = {s.array for s in k.walk_statements(self.kernel.body) if isinstance(s, k.Store)}
        lines = [
            f"SNN_INLINE void {self.name}__block(void *const *slot, const snn_span *a, int64_t start, int64_t count)",
            "{",
        ]
        for number, slot in enumerate(self.slots):
            kind = "int32_t" if slot.type == "int" else "real"
            match slot.kind:
                case "parameter" if slot.single:
                    lines.append(f"    const {kind} p{number} = *(const {kind} *)slot[{number}]; /* {slot.array} */")
                case "parameter":
                    lines.append(
                        f"    const {kind} *const p{number} = (const {kind} *)slot[{number}] + start; /* {slot.array} */"
                    )
                case "carried" | "initial":
                    lines.append(f"    {kind} c{number}[LANES]; /* {slot.array} */")
                case "again":
                    lines.append(f"    real k{number}[a->last - a->first][LANES]; /* {slot.array} */")
                case "gradient" if slot.single:
                    lines.append(f"    real g{number}[LANES]; double s{number} = 0.0; /* {slot.array} */")
                case "gradient":
                    lines.append(f"    real *const g{number} = (real *)slot[{number}] + start; /* {slot.array} */")
        lines.append("    for (int64_t b = 0; b < a->batch; b++) {")
        lines.append("        const int64_t at = b*a->size + start;")
        sums: list[str] = []
        for number, slot in enumerate(self.slots):
            kind = "int32_t" if slot.type == "int" else "real"
            match slot.kind:
                case "carried":
                    source = f"((const {kind} *)slot[{number}])[at + lane]"
                    lines.append(f"        for (int64_t lane = 0; lane < count; lane++) c{number}[lane] = {source};")
                case "initial":
                    source = f"*(const {kind} *)slot[{number}]"
                    lines.append(f"        for (int64_t lane = 0; lane < count; lane++) c{number}[lane] = {source};")
                case "gradient" if slot.single:
                    lines.append(f"        for (int64_t lane = 0; lane < count; lane++) g{number}[lane] = 0;")
                case "once" | "sum":
                    written = slot.array in stored
                    const = "" if written else "const "
                    lines.append(
                        f"        {const}real *const o{number} = ({const}real *)slot[{number}] + at; /* {slot.array} */"
                    )
                    if written:
                        sums.append(
                            f"        for (int64_t lane = 0; lane < count; lane++) o{number}[lane] += r{number}[lane];"
                        )
                        lines.append(f"        real r{number}[LANES] = {{0}};")
        if self.again is not None:
            lines += self._steps(self.again, False)
        lines += self._steps(self.kernel, self.back)
        for number, slot in enumerate(self.slots):
            kind = "int32_t" if slot.type == "int" else "real"
            match slot.kind:
                case "carried" if slot.array in stored:
                    lines.append(
                        f"        for (int64_t lane = 0; lane < count; lane++) (({kind} *)slot[{number}])[at + lane] = c{number}[lane];"
                    )
                case "gradient" if slot.single:
                    lines.append(f"        for (int64_t lane = 0; lane < count; lane++) s{number} += g{number}[lane];")
        lines += sums
        lines.append("    }")
        for number, slot in enumerate(self.slots):
            if slot.kind == "gradient" and slot.single:
                lines.append(f"    ((double *)slot[{number}])[start/LANES] += s{number};")
        lines.append("}")
        return lines

    def _steps(self, kernel: k.Kernel, back: bool) -> list[str]:
        """The loop over the steps of a sample."""
        stored = {s.array for s in k.walk_statements(kernel.body) if isinstance(s, k.Store)}
        tops = (top for s in k.walk_statements(kernel.body) for top in k.statement_expressions(s))
        expressions = [e for top in tops for e in k.walk(top)]
        named = {e.name for e in expressions if isinstance(e, k.Local)}
        order = "step = a->last - 1; step >= a->first; step--" if back else "step = a->first; step < a->last; step++"
        lines = [f"        for (int64_t {order}) {{"]
        if "t" in named:
            lines.append("            const double t = ((double)step + a->offset)*a->dt;")
        if "dt" in named:
            lines.append("            const real dt = (real)a->dt;")
        for number, slot in enumerate(self.slots):
            if slot.kind == "each":
                const = "" if slot.array in stored else "const "
                place = f"({const}real *)slot[{number}] + (step - a->origin)*a->around + at"
                lines.append(f"            {const}real *const e{number} = {place}; /* {slot.array} */")
            elif slot.kind == "weights":
                lines.append(f"            const real w{number} = ((const real *)slot[{number}])[step];")
        lines.append("            #pragma omp simd")
        lines.append("            for (int64_t lane = 0; lane < count; lane++) {")
        if any(isinstance(e, k.Draw) for e in expressions):
            lines.append("                const int64_t i = (a->sample + b)*a->size + start + lane;")
        if "neuron" in named:
            lines.append("                const int64_t neuron = start + lane;")
        for statement in kernel.body:
            lines += ["                " + line for line in self._statement(statement)]
        return [*lines, "            }", "        }"]

    def _statement(self, statement: k.Statement) -> list[str]:
        match statement:
            case k.Let(name=name, value=value, source=source):
                comment = [f"/* {line} */" for line in source.splitlines()]
                return [*comment, f"const {self.scope.local_type(statement)} {name} = {self.scope.text(value)};"]
            case k.Store(array=array, value=value):
                return self._store(array, self.scope.text(value))
            case k.Accumulate(array=array, value=value):
                return [f"g{self.of[array, 'gradient']}[lane] += {self.scope.text(value)};"]
        raise InternalError(f"{self.kernel.name}: a {type(statement).__name__} in a pass")

    def _store(self, array: str, value: str) -> list[str]:
        if any((array, kind) in self.of for kind in ("carried", "initial", "again")):
            return [f"{self.place(array, None, None)} = {value};"]
        lines: list[str] = []
        targets = [kind for kind in ("each", "once", "sum") if (array, kind) in self.of]
        if len(targets) > 1:
            lines.append(f"const real {array}__stored = {value};")
            value = f"{array}__stored"
        for kind in targets:
            number = self.of[array, kind]
            if kind == "each":
                lines.append(f"e{number}[lane] = {value};")
            elif kind == "once":
                lines.append(f"r{number}[lane] += {value};")
            else:
                lines.append(f"r{number}[lane] += w{self.of[array, 'weights']}*({value});")
        return lines

    def _entry(self, unit: int) -> list[str]:
        call = f"{self.name}__block(slot, a"
        match unit:
            case 64:  # LANES: every block is whole
                body = [f"        {call}, block*LANES, LANES);"]
            case 1:
                body = [
                    "        const int64_t start = block*LANES, left = a->size - start;",
                    f"        if (left >= LANES) {call}, start, LANES);",
                    f"        else {call}, start, left);",
                ]
            case _:
                body = [
                    "        const int64_t start = block*LANES;",
                    f"        if (a->size - start >= LANES) {call}, start, LANES);",
                    f"        else for (int64_t part = start; part < a->size; part += {unit}) {call}, part, {unit});",
                ]
        return [
            f"void {self.name}(void *const *slot, const snn_span *a)",
            "{",
            "    for (int64_t block = a->from; block < a->to; block++) {",
            *body,
            "    }",
            "}",
            "",
        ]
