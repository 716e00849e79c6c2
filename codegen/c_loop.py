"""The loop over time of a C model: what every thread does in a step, where all wait, and what is recorded at its end."""

from __future__ import annotations

from dataclasses import dataclass

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.c_ahead import Ahead
from snnlang.codegen.c_layout import Layout
from snnlang.codegen.c_nodes import NodePrinter
from snnlang.codegen.c_sharing import Sharing, appended
from snnlang.codegen.c_tiling import TilingText


@dataclass
class LoopPrinter:
    """Prints the loop: the nodes of a step by ``nodes``, shared out among threads; ``tiling`` where blocks of neurons can go through many
    steps, ``ahead`` where threads may run ahead of each other."""

    nodes: NodePrinter
    sharing: Sharing
    tiling: TilingText | None
    ahead: Ahead | None

    def __post_init__(self) -> None:
        self.layout: Layout = self.nodes.layout
        self.plan: p.Plan = self.layout.plan

    def simulate(self) -> str:
        """The function that each thread runs; what is recorded after a step joins the texts of the nodes."""
        sharing = self.sharing
        lines: list[str] = []
        chunks = ""
        if self.tiling is not None:
            chunks = self.tiling.functions(lambda kernel: self.nodes.function(kernel, False, True), self._values)
            lines += self.tiling.chunk("        ")
        lines += ["        const int32_t step = (int32_t)at;", "        (void)step;"]
        for position, node in enumerate(self.plan.step):
            if self.ahead is not None:
                lines += self._between(self.ahead, position)
            elif position in sharing.barriers:
                lines.append("        snn_wait(&m->barrier, thread, threads);")
            if self.tiling is not None and isinstance(node, p.Launch):
                lines += self._ranged_launch(node.kernel)
                continue
            if position in sharing.alone:
                lines.append("        if (thread == 0) {")
                lines.append("            const int part = 0, end = threads;")
                lines += self.nodes.node(node, 3)
                lines.append("            (void)part, (void)end;")
                lines.append("        }")
            else:
                lines += self.nodes.node(node, 2)
        lasts: list[str] = []
        if self.ahead is not None:
            lines += self._between(self.ahead, len(self.plan.step))
            if self.plan.recorders:
                lines.append("        if (threads == 1) record(m, at);")
            lasts = self._last_records(self.ahead)
        elif sharing.before_records:
            lines.append("        snn_wait(&m->barrier, thread, threads);")
        if self.plan.recorders and self.ahead is None:
            lines.append("        if (thread == 0) record(m, at);")
        records = self._records()
        self.nodes.texts.append(records)
        return "\n".join(
            [
                *([chunks] if chunks else []),
                "typedef struct job {",
                "    model *m;",
                "    int64_t first, count;",
                "} job;",
                "",
                "/* The steps from first on, as one of several threads; each does its part. */",
                "static void simulate(void *const given, const int thread, const int threads)",
                "{",
                "    const job *const work = given;",
                "    model *const m = work->m;",
                "    const int part = thread, end = thread + 1;",
                "    (void)part, (void)end, (void)threads;",
                "    snn_settle(&m->barrier, thread);",
                "    for (int64_t at = work->first; at < work->first + work->count; at++) {",
                *lines,
                "    }",
                *lasts,
                "}",
                "",
            ]
        )

    def _ranged_launch(self, kernel: k.Kernel) -> list[str]:
        """A kernel that can be run for a block of neurons, here for those of the thread."""
        assert isinstance(kernel.domain, k.Each)
        size = self.layout.size(kernel.domain.size, kernel.name)
        places = "".join(
            f", snn_part(&m->{name}, snn_slot(step, 0, m->{name}.depth), part)"
            f", snn_count(&m->{name}, snn_slot(step, 0, m->{name}.depth), part)"
            for name in (self.layout.lists[name] for name in dict.fromkeys(appended(kernel)))
        )
        share = f"snn_share({size}, part, threads), snn_share({size}, end, threads)"
        return [f"        {self.nodes.function(kernel, False, True)}(m, step, part, {share}{places});"]

    def _between(self, found: Ahead, position: int) -> list[str]:
        """What stands before a node where threads run ahead of each other (see :mod:`snnlang.codegen.c_ahead`)."""
        lines = []
        if position == 0:
            lines += self._expected(found)
        if position == found.stamp + 1:
            for name in found.depths:
                lines.append(f"        snn_publish(&m->barrier, &m->{self.layout.lists[name]}, step, thread, threads);")
        if position == found.look:
            steps = self.layout.member("ahead", found.steps)
            lines.append(f"        if (threads > 1 && at - {steps} >= work->first) {{")
            for name in found.depths:
                lines.append(
                    f"            snn_await(&m->barrier, &m->{self.layout.lists[name]}, (int32_t)(at - {steps}), thread, threads);"
                )
            if self.plan.recorders:
                lines.append(f"            if (thread == 0) record(m, at - {steps});")
            lines.append("        }")
        return lines

    def _expected(self, found: Ahead) -> list[str]:
        """Ask for the lists of other threads that are read in this step, and for the own ones of the next: they are on another core."""
        lines: dict[str, None] = {}
        for name, kernel, lag in found.reads:
            list_ = f"m->{self.layout.lists[name]}"
            slot = f"snn_slot(step, {self.layout.lag(kernel, lag)}, {list_}.depth)"
            lines[f"        snn_expect_list(&{list_}, {slot}, thread, threads);"] = None
        for name in found.depths:
            list_ = f"m->{self.layout.lists[name]}"
            lines[f"        snn_expect_own(&{list_}, snn_slot(step, -1, {list_}.depth), thread, threads);"] = None
        return list(lines)

    def _last_records(self, found: Ahead) -> list[str]:
        """Of the last steps nothing was recorded yet, since others might not have been there."""
        if not self.plan.recorders:
            return []
        steps = self.layout.member("ahead", found.steps)
        return [
            "    if (threads == 1) return;",
            "    snn_wait(&m->barrier, thread, threads);",
            "    const int64_t last = work->first + work->count;",
            f"    for (int64_t at = snn_greater(work->first, last - {steps}); thread == 0 && at < last; at++) record(m, at);",
        ]

    def run(self, prefix: str) -> str:
        """The function that others call."""
        return f"""/* Run the steps from first on; their number, or -1 when the system refused a thread, -2 when there was no memory for
 * what happened. */
int64_t {prefix}_run(model *const m, const int64_t first, const int64_t count)
{{
    job work = {{m, first, count}};
    if (!snn_together(simulate, &work, m->threads)) return -1;
    return m->lost ? -2 : count;
}}
"""

    def _records(self) -> str:
        if not self.plan.recorders:
            return ""
        layout = self.layout
        lines = [
            "/* What the recorders see at the end of a step. */",
            "static void record(model *const m, const int64_t step)",
            "{",
        ]
        for number, recorder in enumerate(self.plan.recorders):
            if isinstance(recorder, p.EventRecorder):
                lines.append(
                    f"    if (!snn_record_events(&m->records[{number}], &m->{layout.lists[recorder.list]}, step)) m->lost = 1;"
                )
                continue
            lines.append(
                f"    if ((step + 1) % {layout.member(f'every_{recorder.label}', recorder.every)} == 0 && "
                f"!snn_record_values(&m->records[{number}], {self._values(recorder)}, step)) m->lost = 1;"
            )
        return "\n".join([*lines, "}", ""])

    def _values(self, recorder: p.ValueRecorder) -> str:
        """Where what a recorder sees begins after a step."""
        array = self.plan.arrays[recorder.array]
        if array.depth == 1:
            return f"m->{self.layout.arrays[recorder.array]}"
        depth = self.layout.member(f"{array.name}_depth", array.depth)
        return f"m->{self.layout.arrays[recorder.array]} + snn_slot(step, 0, {depth})*{self.layout.length(array)}"
