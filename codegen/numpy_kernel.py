"""One kernel as lines of NumPy: its domain becomes whole arrays, or the indices that a list of events reaches.

A dense connectivity is a table of pre rows and post columns; a sparse one is read through the spans of its rows or columns, and only
the indices that a body uses are found.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.numpy_block import Block
from snnlang.codegen.numpy_fuse import fuse
from snnlang.codegen.numpy_statements import StatementPrinter, atom
from snnlang.codegen.numpy_text import BOTH, ITEM, POST, PRE, Axes, Bound, Level


@dataclass(slots=True)
class KernelPrinter(StatementPrinter):
    """Prints kernels into blocks."""

    def kernel(self, kernel: k.Kernel, out: Block) -> None:
        body = fuse(kernel.body)
        match kernel.domain:
            case k.Single():
                out.comment(kernel.title)
                self.statements(body, Level({}), out, ())
            case k.Each(size=size):
                out.comment(kernel.title)
                index = Bound(ITEM, None, lambda: f"np.arange({size})", size, size, True)
                self.statements(body, Level({"i": index}), out, ())
            case k.Listed(list=name, lag=lag):
                inner, items = self.items(name, lag, out)
                inner.comment(kernel.title)
                index = Bound(ITEM, lambda: items, lambda: items, unique=True)
                level = Level({"i": index}, items=items, listed=name if lag == 0 else "")
                self.statements(body, level, inner, ())
            case k.Fan(connectivity=connectivity, side=side, list=name, lag=lag):
                inner, items = self.items(name, lag, out)
                inner.comment(kernel.title)
                self._fan(self.names.plan.connectivities[connectivity], side, items, body, inner)
            case k.Synapses(connectivity=connectivity):
                out.comment(kernel.title)
                c = self.names.plan.connectivities[connectivity]
                self.statements(body, self._all_synapses(c), out, (), c if c.kind == "dense" else None)
            case k.Arrivals(queue=queue, connectivity=connectivity):
                self._arrivals(queue, self.names.plan.connectivities[connectivity], body, kernel.title, out)

    def items(self, name: str, lag: int, out: Block) -> tuple[Block, str]:
        """A block that runs when a list is not empty, and the name of the list in it."""
        text = self.names.slot(name, lag)
        if self.names.plan.lists[name].depth > 1:
            short = self.names.identifiers.derived(
                self.names.identifiers.lists[name], "now" if lag == 0 else f"{lag}_ago"
            )
            if not (out.body and isinstance(out.body[-1], Block) and out.body[-1].header == f"if {short}.size:"):
                out.line(f"{short} = {text}")
            text = short
        return out.block(f"if {text}.size:"), text

    def _fan(self, c: p.Connectivity, side: str, items: str, body: tuple[k.Statement, ...], out: Block) -> None:
        names, base = self.names, self.names.identifiers.connectivities[c.name]
        if c.kind == "sparse":
            reach = Block()
            self.statements(body, self._sparse_fan(c, reach), reach, ())
            self._settle_spans(c, side, items, reach)
            out.body += [f"{name} = {text}" for name, text in reach.late.items()]
            out.body += reach.body
            return
        part = c.pre_part if side == "pre" else c.post_part
        size = c.pre_size if side == "pre" else c.post_size
        if isinstance(part, range) and part.step == 1:
            if len(part) < size:
                items_in = f"{base}_{side}"
                out.line(f"{items_in} = between({items}, {part.start}, {part.stop})")
                names.support.add("between")
                out = out.block(f"if {items_in}.size:")
                items = items_in
            place = items if part.start == 0 else f"{items} - {part.start}"
        else:
            names.support.add("positions")
            table = names.fetch(
                names.identifiers.derived(base, f"{side}_place"), f'positions(synapses["{c.name}"].{side}_part, {size})'
            )
            items_in = f"{base}_{side}"
            out.line(f"{items_in} = {items}[{table}[{items}] >= 0]")
            out = out.block(f"if {items_in}.size:")
            items, place = items_in, f"{table}[{items_in}]"
        block = out

        def rows() -> str:
            if place == items:
                return items
            return block.define(f"{base}_{'row' if side == 'pre' else 'column'}", place)

        if c.kind == "one_to_one":
            bound = self._one_to_one(c, side, items, rows)
        else:
            other = "post" if side == "pre" else "pre"
            own = Bound(PRE if side == "pre" else POST, lambda: items, lambda: items, unique=True)

            def incoming() -> str:
                return f":, {rows()}"

            synapse = rows if side == "pre" else incoming
            bound = {
                side: own,
                other: self._part(c, other),
                "synapse": Bound(BOTH, synapse, lambda: self._dense_numbers(c, side, rows)),
            }
        scratch = Block()
        keep = block
        block = scratch
        self.statements(body, self._own(c, Level(bound), side, rows), scratch, (), c, (side, items))
        keep.body += [f"{name} = {text}" for name, text in scratch.late.items()]
        keep.body += scratch.body

    def _dense_numbers(self, c: p.Connectivity, side: str, rows: Callable[[], str]) -> str:
        columns = len(c.post_part)
        if side == "pre":
            return f"{rows()}[:, None]*{columns} + np.arange({columns})"
        return f"np.arange({len(c.pre_part)})[:, None]*{columns} + {rows()}"

    def _sparse_fan(self, c: p.Connectivity, block: Block) -> Level:
        base = self.names.identifiers.connectivities[c.name]

        def numbers(name: str) -> Callable[[], str]:
            return lambda: block.define(f"{base}_{name}" if name != "synapse" else f"{base}_reached", "?")

        bound = {name: Bound(ITEM, numbers(name), numbers(name)) for name in ("pre", "post", "synapse", "shared")}
        bound["synapse"] = replace(bound["synapse"], unique=True)
        return Level(bound)

    def _settle_spans(self, c: p.Connectivity, side: str, items: str, block: Block) -> None:
        """Now that it is known which indices the body uses, say how they are found."""
        names, base = self.names, self.names.identifiers.connectivities[c.name]
        wanted = set(block.late)
        block.late.clear()
        reached, pre, post, shared = f"{base}_reached", f"{base}_pre", f"{base}_post", f"{base}_shared"
        if side == "pre":
            start = (
                names.built(c.name, "row_start", "start") if wanted - {post, shared} or wanted >= {post, shared} else ""
            )
            if reached in wanted or (shared in wanted and post in wanted):
                names.support.add("spans")
                block.late[reached] = f"spans({start}, {items})"
            for name, attribute, suffix in ((post, "post", "targets"), (shared, "weight_index", "weights")):
                if name in wanted:
                    table = names.built(c.name, attribute, suffix)
                    if reached in block.late:
                        block.late[name] = f"{table}[{reached}]"
                    else:
                        names.support.add("rows_of")
                        block.late[name] = f"rows_of({table}, {names.built(c.name, 'row_bounds', 'bounds')}, {items})"
            if pre in wanted:
                names.support.add("repeated")
                block.late[pre] = f"repeated({start}, {items})"
        else:
            start = names.built(c.name, "column_start", "column_start")
            if wanted & {reached, pre, shared}:
                names.support.add("rows_of")
                block.late[reached] = f"rows_of({names.built(c.name, 'column_synapse', 'incoming')}, {start}, {items})"
            if pre in wanted:
                block.late[pre] = f"{names.built(c.name, 'pre_of', 'sources')}[{reached}]"
            if shared in wanted:
                block.late[shared] = f"{names.built(c.name, 'weight_index', 'weights')}[{reached}]"
            if post in wanted:
                names.support.add("repeated")
                block.late[post] = f"repeated({start}, {items})"

    def _part(self, c: p.Connectivity, side: str, axes: Axes | None = None) -> Bound:
        """All of one side's part."""
        part, size = (c.pre_part, c.pre_size) if side == "pre" else (c.post_part, c.post_size)
        axes = axes or (PRE if side == "pre" else POST)
        if isinstance(part, range) and part.step == 1:
            numbers = f"np.arange({part.start}, {part.stop})" if part.start else f"np.arange({part.stop})"
            if len(part) == size:
                return Bound(axes, None, lambda: numbers, size, unique=True)
            return Bound(axes, lambda: f"{part.start}:{part.stop}", lambda: numbers, unique=True)
        base = self.names.identifiers.connectivities[c.name]

        def fetch() -> str:
            name = self.names.identifiers.derived(base, f"{side}_part")
            return self.names.fetch(name, f'np.asarray(synapses["{c.name}"].{side}_part)')

        return Bound(axes, fetch, fetch, unique=True)

    def _one_to_one(self, c: p.Connectivity, side: str, items: str, rows: Callable[[], str]) -> dict[str, Bound]:
        own = Bound(ITEM, lambda: items, lambda: items, unique=True)
        here, there = (c.pre_part, c.post_part) if side == "pre" else (c.post_part, c.pre_part)
        other = "post" if side == "pre" else "pre"
        if isinstance(here, range) and isinstance(there, range) and here.step == there.step == 1:
            shift = there.start - here.start
            text = items if shift == 0 else f"{items} {'+' if shift > 0 else '-'} {abs(shift)}"
            far = Bound(ITEM, lambda: text, lambda: text, unique=True)
        else:
            whole = self._part(c, other, ITEM)
            pick = lambda: f"{atom(whole.numbers())}[{rows()}]"  # noqa: E731
            far = Bound(ITEM, pick, pick, unique=True)
        return {side: own, other: far, "synapse": Bound(ITEM, rows, rows, unique=True)}

    def _all_synapses(self, c: p.Connectivity) -> Level:
        if c.kind == "sparse":

            def fetched(attribute: str, suffix: str) -> Bound:
                return Bound(
                    ITEM,
                    lambda: self.names.built(c.name, attribute, suffix),
                    lambda: self.names.built(c.name, attribute, suffix),
                )

            numbers = f'np.arange(synapses["{c.name}"].n)'
            return Level(
                {
                    "pre": fetched("pre_of", "sources"),
                    "post": fetched("post", "targets"),
                    "shared": fetched("weight_index", "weights"),
                    "synapse": Bound(ITEM, None, lambda: numbers, unique=True),
                }
            )
        if c.kind == "one_to_one":
            return Level(
                {
                    "pre": self._part(c, "pre", ITEM),
                    "post": self._part(c, "post", ITEM),
                    "synapse": Bound(ITEM, None, lambda: f"np.arange({len(c.pre_part)})", unique=True),
                }
            )
        rows, columns = len(c.pre_part), len(c.post_part)
        synapse = Bound(BOTH, None, lambda: f"np.arange({rows * columns}).reshape({rows}, {columns})", unique=True)
        level = Level({"pre": self._part(c, "pre"), "post": self._part(c, "post"), "synapse": synapse})
        return self._own(c, level, "", None)

    def _own(self, c: p.Connectivity, level: Level, side: str, rows: Callable[[], str] | None) -> Level:
        """Without autapses, a dense connectivity's level is masked."""
        if c.kind != "dense" or c.autapses:
            return level

        def others() -> str:
            name = self.names.built(c.name, "others", "others")
            return name if rows is None else f"{name}[{rows()}]" if side == "pre" else f"{name}[:, {rows()}]"

        level.mask_text = others
        return level

    def _arrivals(self, queue: str, c: p.Connectivity, body: tuple[k.Statement, ...], title: str, out: Block) -> None:
        names, base = self.names, self.names.identifiers.connectivities[c.name]
        names.support.add("arrived")
        names.used.add("step")
        synapse = f"{base}_arrived"
        out.line(f"{synapse} = arrived({names.queue(queue)}[step % {names.plan.queues[queue].depth}])")
        inner = out.block(f"if {synapse}.size:")
        inner.comment(title)
        scratch = Block()

        def found(name: str, attribute: str, suffix: str) -> Callable[[], str]:
            def text() -> str:
                if c.kind == "sparse":
                    return f"{names.built(c.name, attribute, suffix)}[{synapse}]"
                part = self._part(c, name, ITEM).numbers()
                place = (
                    synapse
                    if c.kind == "one_to_one"
                    else f"{synapse} {'//' if name == 'pre' else '%'} {len(c.post_part)}"
                )
                return f"{part}[{place}]" if not re.fullmatch(r"np\.arange\(\d+\)", part) else place

            return lambda: scratch.define(f"{base}_{name}_now", text())

        bound = {"synapse": Bound(ITEM, lambda: synapse, lambda: synapse)}
        for name, attribute, suffix in (
            ("pre", "pre_of", "sources"),
            ("post", "post", "targets"),
            ("shared", "weight_index", "weights"),
        ):
            bound[name] = Bound(ITEM, found(name, attribute, suffix), found(name, attribute, suffix))
        self.statements(body, Level(bound), scratch, ())
        inner.body += [f"{name} = {text}" for name, text in scratch.late.items()]
        inner.body += scratch.body
