"""Where a CUDA model keeps what a plan names: the members of ``struct snn_model``, 8 bytes each, in the order in which the host fills them.

As in C (:mod:`snnlang.codegen.c_layout`) sizes, lags, parameters and seeds are members, so that changing one compiles nothing. The model
lies in constant memory, or in ordinary memory of the device where several hundred connections make it larger than that; what kernels
change (arrays, counts, the clock) is reached through its pointers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.c_layout import Layout, lay_out_into
from snnlang.codegen.clike import C_TYPES

#: Names that CUDA has and C has not.
_TAKEN = (
    "model stages blockIdx blockDim gridDim threadIdx warpSize dim3 team items item_count fired fired_count here chunk "
    "atomicAdd atomicExch atomicMax atomicMin this class new delete template operator private public virtual friend "
    "namespace using try catch throw explicit export mutable typename bool true false and or not xor alignas constexpr "
    "float2 float3 float4 double2 int2 int3 int4 uint3 char1 short2 long2 half assert norm rsqrt rcbrt cbrt normcdf erfcx "
    "isnan isinf isfinite signbit rhypot saturate umin umax llmin llmax ullmin ullmax clock64 printf device host global "
    "first_thread counts sums"
).split()

#: The members of each struct of codegen/cuda/model.cuh, in its order.
STRUCTS: dict[str, tuple[str, ...]] = {
    "snn_list": ("items", "counts", "size", "ring", "marks", "generation"),
    "snn_queue": ("items", "counts", "capacity", "ring"),
    "snn_rows": (
        "row_start", "post", "pre", "shared", "column_start", "column_synapse", "column_pre",
        "count", "pre_size", "post_size",
        "row_chunk", "row_chunks", "row_team", "column_chunk", "column_chunks", "column_team",
    ),
    "snn_grid": (
        "pre_first", "rows", "post_first", "columns",
        "row_chunk", "row_chunks", "row_team", "column_chunk", "column_chunks", "column_team",
    ),
    "snn_event_record": ("events", "count", "capacity", "chosen"),
    "snn_value_record": ("rows", "base", "chosen", "width"),
    "snn_schedule": ("cursor",),
    "snn_settling": ("stamps", "differs", "count", "token"),
}  # fmt: skip


@dataclass
class CudaLayout(Layout):
    """``partials``: members with the halves of reductions, by (result, source); ``cursors`` by list; ``settled`` by list."""

    partials: dict[tuple[str, str], str] = field(default_factory=dict)
    cursors: dict[tuple[str, str], str] = field(default_factory=dict)
    settled: dict[str, str] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)

    def lifted(self, kernel: str, constant: k.Const) -> str | None:
        """A real number as a member: the model holds it in the precision of the plan."""
        text = super().lifted(kernel, constant)
        return None if text is None else text.removeprefix("(real)")

    def partial(self, result: str, source: str) -> str:
        """The member with the sums of blocks of one reduction."""
        key = (result, source)
        if key not in self.partials:
            self.partials[key] = self.unique(f"{result}_blocks")
        return f"model.{self.partials[key]}"

    def cursor(self, list_name: str, steps: str) -> str:
        """The member with the place that a schedule has reached."""
        key = (list_name, steps)
        if key not in self.cursors:
            self.cursors[key] = self.unique(f"{steps}_cursor")
        return f"model.{self.cursors[key]}"

    def settling(self, list_name: str) -> str:
        """The member with what a list was after the last repetition."""
        if list_name not in self.settled:
            self.settled[list_name] = self.unique(f"{list_name}_before")
        return f"model.{self.settled[list_name]}"

    def record(self, label: str) -> str:
        """The member of a recorder."""
        if label not in self.records:
            self.records[label] = self.unique(f"record_of_{label}")
        return f"model.{self.records[label]}"

    # --- the struct ---------------------------------------------------------------------------------------------------

    def members(self) -> tuple[tuple[str, str, str, str], ...]:
        """(name, struct or kind, what it stands for, comment) of every member, in order."""
        plan = self.plan
        found = [("clock", "clock", "", "")]
        found += [(name, "whole", str(value), "") for name, value in self.whole.items()]
        found += [(name, "number", repr(value), "") for name, value in self.number.items()]
        found += [(member, "stream", name, plan.streams[name].draw) for name, member in self.streams.items()]
        for name, member in self.arrays.items():
            array = plan.arrays[name]
            about = (array.owner and f"{array.owner}.{array.variable}", array.unit and f"[{array.unit}]")
            found.append((member, "array", name, " ".join(word for word in about if word)))
        found += [(member, "snn_list", name, "") for name, member in self.lists.items()]
        found += [(member, "snn_queue", name, "") for name, member in self.queues.items()]
        for name, member in self.connectivities.items():
            c = plan.connectivities[name]
            found.append((member, "snn_rows" if c.kind == "sparse" else "snn_grid", name, c.owner))
        for recorder in plan.recorders:
            struct = "snn_event_record" if isinstance(recorder, p.EventRecorder) else "snn_value_record"
            found.append((self.record(recorder.label).removeprefix("model."), struct, recorder.label, recorder.label))
        found += [(member, "partials", result, "") for (result, _), member in self.partials.items()]
        found += [(member, "snn_schedule", name, "") for (name, _), member in self.cursors.items()]
        found += [(member, "snn_settling", name, "") for name, member in self.settled.items()]
        return tuple(found)

    def declaration(self, member: tuple[str, str, str, str]) -> str:
        """The line of a member in ``struct snn_model``."""
        name, kind, of, about = member
        match kind:
            case "clock":
                text = f"snn_clock *{name};"
            case "whole":
                text = f"int64_t {name};"
            case "number":
                text = f"double {name};" if name == "dt" else f"alignas(8) real {name};"
            case "stream":
                text = f"uint64_t {name};"
            case "array":
                text = f"{C_TYPES[self.plan.arrays[of].type]} *{name};"
            case "partials":
                text = f"snn_partial *{name};"
            case _:
                text = f"{kind} {name};"
        return f"    {text}" + (f" /* {about.replace('*/', '* /')} */" if about else "")


def lay_out(plan: p.Plan) -> CudaLayout:
    """Names for everything in a plan, in the plan's order."""
    layout = CudaLayout(plan, access="model.")
    for name in _TAKEN:
        layout.names.add(name)
    lay_out_into(layout)
    return layout
