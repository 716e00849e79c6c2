"""A plan as one C11 file: the model's memory, a function for every kernel, and one ``run`` that holds the whole loop over time.

What stands in the text depends on the structure of the plan alone (see :mod:`snnlang.codegen.c_layout`), so that a change of size,
parameter, seed or duration compiles nothing. The file needs a C compiler and nothing else: what it calls is pasted in from
``codegen/native``. The exported functions are listed at its end; their names begin with ``prefix``.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Literal

from snnlang.codegen import plan as p
from snnlang.codegen.c_ahead import ahead
from snnlang.codegen.c_exponentials import share_exponentials
from snnlang.codegen.c_exports import ExportPrinter
from snnlang.codegen.c_fusion import fuse
from snnlang.codegen.c_layout import lay_out
from snnlang.codegen.c_loop import LoopPrinter
from snnlang.codegen.c_memory import MemoryPrinter
from snnlang.codegen.c_nodes import NodePrinter
from snnlang.codegen.c_sharing import share_out
from snnlang.codegen.c_tiling import Tiles, tiling, tiling_text
from snnlang.codegen.native_code import NativeCode
from snnlang.codegen.verify import InternalError
from snnlang.codegen.wiring import PATTERN, condition_c

Mathematics = Literal["fast", "strict"]

#: The headers of codegen/native that every model carries, in this order.
HEADERS = (
    "model.h",
    "threads.h",
    "support.h",
    "mathematics.h",
    "random.h",
    "quantiles.h",
    "connectivity.h",
    "events.h",
    "reduce.h",
)

#: By number of ``enum snn_pattern``: the switch that compiles its generator.
_SWITCHES = (
    "DENSE", "ONE_TO_ONE", "RANDOM", "FIXED_OUTDEGREE", "FIXED_INDEGREE", "FIXED_TOTAL", "WINDOW", "WHERE", "GIVEN"
)  # fmt: skip

#: Formulas of many exponentials: those that do not wait for each other are worth a third more side by side than one after the other. A
#: compiler does not do so by itself, since light loops gain nothing by it. Only the order changes, never a result.
_INTERLEAVED = (
    "#if defined __GNUC__ && !defined __clang__",
    '#pragma GCC optimize ("schedule-insns", "sched-pressure")',
    "#endif",
)


def emit(plan: p.Plan, *, prefix: str = "snn", math: Mathematics = "fast", tiles: Tiles | None = None) -> NativeCode:
    """The C file of a plan. ``math`` strict: the functions of libm, every rounding as written. ``tiles``: the sizes of blocks, where the
    plan can be run in blocks; they are given at run time."""
    _require_printable(plan)
    plan = fuse(plan)
    if math == "fast":
        plan = share_exponentials(plan)
    printer = _Printer(plan, prefix, math, tiles or Tiles())
    text = printer.file()
    layout = printer.layout
    return NativeCode(
        text,
        tuple(layout.whole.values()),
        tuple(layout.number.values()),
        tuple(float(array.fill) for array in plan.arrays.values()),
        tuple(plan.arrays),
        tuple(plan.streams),
        tuple(plan.connectivities),
        tuple(recorder.label for recorder in plan.recorders),
    )


def _require_printable(plan: p.Plan) -> None:
    """What ``lower`` never makes and C memory is not laid out for."""
    for c in plan.connectivities.values():
        ranges = all(isinstance(part, range) and part.step == 1 for part in (c.pre_part, c.post_part) if len(part))
        if c.kind != "sparse" and not ranges:
            raise InternalError(
                f"plan {plan.name}: {c.kind} connectivity {c.name} of parts that are no ranges must be lowered as sparse"
            )
    for section in plan.sections:
        for node in p.walk_nodes(section):
            if isinstance(node, p.SynapseReduce) and plan.arrays[node.result].type != "real":
                raise InternalError(
                    f"plan {plan.name}: a reduction over synapses into {node.result}, which holds no real numbers"
                )


@lru_cache(maxsize=16)
def header(name: str) -> str:
    """The text of a header of codegen/native."""
    place = os.path.join(
        os.path.dirname(__file__), "native", name
    )  # importlib.resources takes longer than all the rest here
    with open(place, encoding="utf-8") as file:
        return file.read()


class _Printer:
    def __init__(self, plan: p.Plan, prefix: str, math: Mathematics, tiles: Tiles) -> None:
        self.plan = plan
        self.prefix = prefix
        self.math = math
        self.layout = lay_out(plan, math == "strict")
        self.sharing = share_out(plan)
        found = tiling(plan, self.sharing.inserts)
        self.tiling = None if found is None else tiling_text(plan, self.layout, found, tiles)
        self.ahead = ahead(plan, self.sharing) if found is None else None

    def file(self) -> str:
        nodes = NodePrinter(self.layout, self.sharing.inserts)
        phases = [
            nodes.phase("setup", self.plan.setup),
            nodes.phase("coefficients", self.plan.coefficients),
            nodes.phase("trial_start", self.plan.trial_start),
            nodes.phase("trial_end", self.plan.trial_end),
        ]
        printer = LoopPrinter(nodes, self.sharing, self.tiling, self.ahead)
        loop = [printer.simulate(), printer.run(self.prefix)]
        conditions = [
            f"/* Which pairs of {c.owner or name} are connected. */\n"
            f"static int snn_condition_{self.layout.connectivities[name]}(int64_t pre, int64_t post)\n{{\n"
            + "\n".join("    " + line if line else "" for line in condition_c(c.options).splitlines())
            + "\n}\n"
            for name, c in self.plan.connectivities.items()
            if c.pattern == "where"
        ]
        memory = MemoryPrinter(self.layout, self.prefix, self.tiling, self.ahead)
        around = [*conditions, *phases, memory.create(), *ExportPrinter(self.layout, self.prefix).exports()]
        # every member is known only now
        parts = [self._opening(), memory.struct(), *nodes.texts]
        halves = ["#if SNN_HALF != 2\n", *loop, "#endif\n#if SNN_HALF != 1\n", *around, "#endif\n"]
        return "\n".join([*parts, *halves])

    def _opening(self) -> str:
        real = "double" if self.plan.precision == "double" else "float"
        defines = ["#define _GNU_SOURCE 1"]
        if self.math == "strict":
            defines.append("#define SNN_STRICT_MATH 1")
        defines.append(f"#define SNN_SINGLE {1 if self.plan.precision == 'single' else 0}")
        fused = self.math == "fast" and (self.layout.fused or self.plan.precision == "single")
        defines.append(f"#define SNN_FUSED {int(fused)}")
        defines += [f"#define SNN_WITH_{name} {int(used)}" for name, used in self._uses().items()]
        lines = [
            f"/* {self.plan.name}: a spiking network, generated by snnlang. C11, no library but the C library's own mathematics. */",
            *defines,
            *(_INTERLEAVED if self.layout.fused and self.math == "fast" else ()),
            "#include <math.h>",
            "#include <stdint.h>",
            "",
            f"typedef {real} real;",
            "",
        ]
        headers = [*HEADERS]
        if self.tiling is not None:
            headers.append("tiling.h")
        if self.ahead is not None:
            headers.append("ahead.h")
        return "\n".join(lines) + "\n" + "\n".join(header(name) for name in headers)

    def _uses(self) -> dict[str, bool]:
        """Which ways of building connectivity this model needs: what it does not need is not compiled."""
        sparse = [c for c in self.plan.connectivities.values() if c.kind == "sparse"]
        numbers = {PATTERN[c.pattern] for c in sparse}
        uses = {name: number in numbers for number, name in enumerate(_SWITCHES)}
        ranges = [isinstance(part, range) and part.step == 1 for c in sparse for part in (c.pre_part, c.post_part)]
        return {**uses, "PARTS": not all(ranges)}
