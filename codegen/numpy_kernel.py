"""One kernel as lines of NumPy: its domain becomes whole arrays, its branches become gathered events or masks.

An ``If`` that is rare gathers the indices of its items first and works on those; any other one computes for all items
and selects. A dense connectivity is a table of pre rows and post columns, and a sum over one side of a product is a
matrix product (a scalar weight costs O(N)).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.numpy_names import Names
from snnlang.codegen.numpy_text import (
    AND,
    ATOM,
    BIT_AND,
    BOTH,
    ITEM,
    POST,
    POWER,
    PRE,
    PRODUCT,
    SCALAR,
    Bound,
    Level,
    Piece,
    Writer,
    broadcast,
)
from snnlang.codegen.numpy_text import Axes as Axes


@dataclass(slots=True)
class Block:
    """Lines and nested blocks under a header; ``late`` are definitions that were found to be needed while the body was written."""

    header: str = ""
    body: list[str | Block] = field(default_factory=list)
    late: dict[str, str] = field(default_factory=dict)

    def line(self, text: str) -> None:
        self.body.append(text)

    def define(self, name: str, text: str) -> str:
        self.late.setdefault(name, text)
        return name

    def block(self, header: str) -> Block:
        """A nested block, the last one when it has the same header and does not change what the header tests."""
        last = self.body[-1] if self.body else None
        if (
            isinstance(last, Block)
            and last.header == header
            and header.endswith(".size:")
            and not last.binds(header[3:-6])
        ):
            return last
        made = Block(header)
        self.body.append(made)
        return made

    def binds(self, name: str) -> bool:
        return any(line.startswith(f"{name} = ") for line in self.lines(0, bare=True))

    def idle(self) -> bool:
        """Whether nothing is done here: comments alone do not make a block."""
        return not self.late and all(
            i.idle() if isinstance(i, Block) else i == "" or i.startswith("#") for i in self.body
        )

    def comment(self, text: str) -> None:
        for line in (f"# {line.strip()}" for line in text.splitlines() if line.strip()):
            if not self.body or self.body[-1] != line:
                self.line(line)

    def lines(self, depth: int, bare: bool = False) -> list[str]:
        indent = "" if bare else "    " * depth
        inner = indent if not self.header or bare else indent + "    "
        result = [f"{indent}{self.header}"] if self.header else []
        result += [f"{inner}{name} = {text}" for name, text in self.late.items()]
        for item in self.body:
            if isinstance(item, Block):
                if not item.idle():
                    result += item.lines(depth + (1 if self.header else 0), bare)
            elif item:
                result.append(f"{inner}{item}")
        if self.header and self.idle():
            result.append(f"{inner}pass")
        return result


@dataclass(slots=True)
class KernelPrinter:
    """Prints kernels into blocks. ``sites`` counts the places that append to each list; ``cleared`` remembers lines that empty a list."""

    names: Names
    write: Writer
    sites: dict[str, int]
    cleared: dict[str, tuple[Block, int]] = field(default_factory=dict)

    # --- domains ------------------------------------------------------------------------------------------------------

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
            self.statements(body, self._sparse_fan(c, side, items, reach), reach, ())
            self._settle_spans(c, side, items, reach, body)
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
        self.statements(body, self._own(c, Level(bound), scratch, side, rows), scratch, (), c, (side, items))
        keep.body += [f"{name} = {text}" for name, text in scratch.late.items()]
        keep.body += scratch.body

    def _dense_numbers(self, c: p.Connectivity, side: str, rows: Callable[[], str]) -> str:
        columns = len(c.post_part)
        if side == "pre":
            return f"{rows()}[:, None]*{columns} + np.arange({columns})"
        return f"np.arange({len(c.pre_part)})[:, None]*{columns} + {rows()}"

    def _sparse_fan(self, c: p.Connectivity, side: str, items: str, block: Block) -> Level:
        base = self.names.identifiers.connectivities[c.name]

        def numbers(name: str) -> Callable[[], str]:
            return lambda: block.define(f"{base}_{name}" if name != "synapse" else f"{base}_reached", "?")

        bound = {name: Bound(ITEM, numbers(name), numbers(name)) for name in ("pre", "post", "synapse", "shared")}
        bound["synapse"] = replace(bound["synapse"], unique=True)
        return Level(bound)

    def _settle_spans(
        self, c: p.Connectivity, side: str, items: str, block: Block, body: tuple[k.Statement, ...]
    ) -> None:
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
        return self._own(c, level, None, "", None)

    def _own(
        self, c: p.Connectivity, level: Level, block: Block | None, side: str, rows: Callable[[], str] | None
    ) -> Level:
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

    # --- statements ---------------------------------------------------------------------------------------------------

    def statements(
        self,
        body: tuple[k.Statement, ...],
        level: Level,
        out: Block,
        after: tuple[k.Statement, ...],
        dense: p.Connectivity | None = None,
        fan: tuple[str, str] | None = None,
    ) -> None:
        for position, statement in enumerate(body):
            rest = body[position + 1 :] + after
            match statement:
                case k.Let():
                    self._let(statement, level, out, rest)
                case k.Store():
                    self._store(statement, level, out, rest)
                case k.Accumulate():
                    self._accumulate(statement, level, out, dense, fan)
                case k.If():
                    self._if(statement, level, out, rest, dense, fan)
                case k.Append(list=name):
                    self._append(name, level, out)

    def _let(self, let: k.Let, level: Level, out: Block, rest: tuple[k.Statement, ...]) -> None:
        piece = self.write.expression(let.value, level)
        if let.type == "real":
            piece = self.write.as_real(piece)
        name = self.names.identifiers.local(let.name)
        if not piece.fresh and piece.axes:
            hazard = self._hazard(piece.root, rest)
            if hazard == "none":
                level.locals[let.name] = piece
                return
            if hazard == "in place":
                piece = replace(piece, text=f"{piece.text}.copy()", fresh=True)
        out.comment(let.source)
        out.line(f"{name} = {piece.text}")
        level.locals[let.name] = Piece(name, ATOM, piece.axes, let.type, piece.fresh, piece.plain, piece.root)

    def _hazard(self, array: str, rest: tuple[k.Statement, ...]) -> str:
        """How the rest of a kernel first changes an array: not at all, by binding its name anew, or in place."""
        for statement in rest:
            if isinstance(statement, k.Store) and statement.array == array:
                return "bound anew" if self._rebinds(statement) else "in place"
            if any(isinstance(s, k.Store | k.Accumulate) and s.array == array for s in k.walk_statements((statement,))):
                return "in place"
        return "none"

    def _rebinds(self, store: k.Store) -> bool:
        array = self.names.plan.arrays[store.array]
        return (
            array.depth == 1
            and array.connectivity is None
            and isinstance(store.index, k.Local)
            and store.index.name == "i"
            and store.lag is None
        )

    def _store(self, store: k.Store, level: Level, out: Block, rest: tuple[k.Statement, ...]) -> None:
        array = self.names.plan.arrays[store.array]
        value = self.write.expression(store.value, level)
        if array.type == "real":
            value = self.write.as_real(value)
        place = self.write.place(store.array, store.index, store.lag, level)
        mask = self._mask(level)
        out.comment(store.source)
        if not place.axes:
            if mask is not None and mask.axes:
                raise AssertionError(f"{store.array}: a scalar is stored by some items only")
            target = (
                place.text if array.depth > 1 or store.index is not None else f"{self.names.array(store.array)}[()]"
            )
            out.line(f"{target} = {value.text if not value.axes else f'{value.at(ATOM)}[-1]'}")
            return
        if mask is not None:
            self._masked_store(store, place, value, mask, out)
            return
        whole = not place.fresh and isinstance(store.index, k.Local) and level.bound[store.index.name].whole is not None
        if whole and "[" not in place.text and self._rebinds(store) and value.axes and array.type == value.type:
            target = self.names.rebind(store.array)
            copy = not value.fresh or (isinstance(store.value, k.Local) and self._used_after_change(store, rest))
            text = f"{value.at(ATOM)}.copy()" if copy else value.text
            if isinstance(store.value, k.Local) and not copy:
                level.locals[store.value.name] = (
                    replace(level.locals[store.value.name], fresh=False, root=store.array)
                    if store.value.name in level.locals
                    else value
                )
            out.line(f"{target} = {text}")
            return
        target = place.text if "[" in place.text else f"{place.text}[:]"
        out.line(f"{target} = {broadcast(value, place.axes).text if value.axes else value.text}")

    def _used_after_change(self, store: k.Store, rest: tuple[k.Statement, ...]) -> bool:
        """Whether the stored local is still read once the array may have been changed in place."""
        assert isinstance(store.value, k.Local)
        changed = False
        for statement in rest:
            inside = list(k.walk_statements((statement,)))
            changed = changed or any(isinstance(s, k.Store | k.Accumulate) and s.array == store.array for s in inside)
            if changed and any(_reads(s, store.value.name) for s in inside):
                return True
        return False

    def _masked_store(self, store: k.Store, place: Piece, value: Piece, mask: Piece, out: Block) -> None:
        axes = place.axes
        chosen = f"np.where({broadcast(mask, axes).text}, {broadcast(value, axes).text}, {place.text})"
        if mask.axes - axes or value.axes - axes:
            raise AssertionError(f"{store.array}: stored from more items than it has elements")
        if self._rebinds(store) and "[" not in place.text:
            out.line(f"{self.names.rebind(store.array)} = {chosen}")
        elif place.fresh:
            out.line(f"{place.text} = {chosen}")
        else:
            out.line(f"np.copyto({place.text}, {broadcast(value, axes).text}, where={broadcast(mask, axes).text})")

    def _append(self, name: str, level: Level, out: Block) -> None:
        root = level
        while root.parent is not None:
            root = root.parent
        if root.listed == name:
            return  # the items are in the list already
        mask = self._mask(level)
        items = f"{mask.at(ATOM)}.nonzero()[0]" if mask is not None else level.bound["i"].numbers()
        slot = self.names.slot(name)
        if slot == items:
            return
        if self.sites.get(name, 0) > 1:
            self.names.support.add("merged")
            items = f"merged({slot}, {items})"
        out.line(f"{slot} = {items}")

    def _if(
        self,
        branch: k.If,
        level: Level,
        out: Block,
        rest: tuple[k.Statement, ...],
        dense: p.Connectivity | None,
        fan: tuple[str, str] | None,
    ) -> None:
        condition = self.write.expression(branch.condition, level)
        if not condition.axes:
            out.comment(branch.source)
            inner = out.block(f"if {condition.text}:")
            self.statements(branch.body, Level(level.bound, level), inner, rest, dense, fan)
            if branch.otherwise:
                if inner.idle():
                    inner.line("pass")
                self.statements(branch.otherwise, Level(level.bound, level), out.block("else:"), rest, dense, fan)
            return
        flat = not (condition.axes & BOTH) and dense is None
        if (
            flat
            and (branch.rare or not self._all(level) or not _maskable(branch.body + branch.otherwise))
            and self._mask(level) is None
        ):
            source = branch.source
            if branch.otherwise:
                depth = 1
                here = level
                while here.parent is not None:
                    here, depth = here.parent, depth + 1
                test = "holds" if depth == 1 else f"holds_{depth}"
                out.comment(source)
                out.line(f"{test} = {condition.text if condition.fresh else f'{condition.text}.copy()'}")
                condition, source = Piece(test, ATOM, condition.axes, "bool"), ""
            self._gather(branch.body, condition, source, level, out, rest)
            if branch.otherwise:
                self._gather(
                    branch.otherwise, Piece(f"~{condition.text}", POWER, condition.axes, "bool"), "", level, out, rest
                )
            return
        out.comment(branch.source)
        name = self._free(level, "chosen")
        out.line(f"{name} = {condition.text if condition.fresh else f'{condition.text}.copy()'}")
        self.statements(
            branch.body,
            Level(level.bound, level, mask=Piece(name, ATOM, condition.axes, "bool")),
            out,
            rest,
            dense,
            fan,
        )
        if branch.otherwise:
            mask = Piece(f"~{name}", ATOM, condition.axes, "bool")
            self.statements(branch.otherwise, Level(level.bound, level, mask=mask), out, rest, dense, fan)

    def _all(self, level: Level) -> bool:
        return any(bound.select is None for bound in level.bound.values())

    def _gather(
        self,
        body: tuple[k.Statement, ...],
        condition: Piece,
        source: str,
        level: Level,
        out: Block,
        rest: tuple[k.Statement, ...],
    ) -> None:
        appended = [s.list for s in body if isinstance(s, k.Append)]
        selection, direct = "", False
        for name in appended:
            if self.names.plan.lists[name].depth == 1 and self.sites.get(name, 0) == 1 and self._all(level):
                selection, direct = self.names.event_list(name), True
                self._drop_clear(name, selection, out)
                break
        if not selection:
            stem = "chosen"
            if appended:
                stem = self.names.identifiers.derived(self.names.identifiers.lists[appended[0]], "now")
            selection = self._free(level, stem)
        out.comment(source)
        out.line(f"{selection} = {condition.at(ATOM)}.nonzero()[0]")
        if (
            appended
            and not direct
            and self.names.plan.lists[appended[0]].depth > 1
            and self.sites.get(appended[0], 0) == 1
            and self._all(level)
        ):
            slot = self.names.slot(appended[0])
            self._drop_clear(appended[0], slot, out)
            out.line(f"{slot} = {selection}")
            body = tuple(s for s in body if s != k.Append(appended[0]))
        inner = out.block(f"if {selection}.size:")

        def picked(name: str, bound: Bound) -> Callable[[], str]:
            if bound.select is None and re.fullmatch(r"np\.arange\(\w+\)", bound.numbers()):
                return lambda: selection
            return lambda: inner.define(f"{selection}_{name}", f"{atom(bound.numbers())}[{selection}]")

        bound = {
            name: Bound(ITEM, picked(name, b), picked(name, b), base=b.base, unique=b.unique)
            for name, b in level.bound.items()
        }
        self.statements(body, Level(bound, level, selection), inner, rest)

    def _free(self, level: Level, stem: str) -> str:
        """A name for a selection that no level around uses."""
        used = set()
        here: Level | None = level
        while here is not None:
            used |= {here.items, here.selection, here.mask.text.removeprefix("~") if here.mask is not None else ""}
            here = here.parent
        name = stem
        while name in used:
            name += "_too"
        return name

    def _drop_clear(self, name: str, text: str, out: Block) -> None:
        """A list that is assigned as a whole need not be emptied just before."""
        block, position = self.cleared.pop(name, (None, 0))
        if block is not out or block is None or position >= len(out.body):
            return
        word = re.compile(rf"\b{re.escape(self.names.identifiers.lists[name])}\b")
        between = [
            line for item in out.body[position + 1 :] for line in (item.lines(0) if isinstance(item, Block) else [item])
        ]
        if not any(word.search(line) for line in between if not line.lstrip().startswith("#")):
            out.body[position] = ""

    def _mask(self, level: Level) -> Piece | None:
        """The conditions of all masked levels around, together."""
        found: Piece | None = None
        here: Level | None = level
        while here is not None:
            mask = here.mask
            if mask is None and here.mask_text is not None:
                mask = Piece(here.mask_text(), ATOM, BOTH, "bool")
            if mask is not None:
                if found is None:
                    found = mask
                else:
                    axes = mask.axes | found.axes
                    text = f"{broadcast(mask, axes).at(BIT_AND)} & {broadcast(found, axes).at(BIT_AND)}"
                    found = Piece(text, BIT_AND, axes, "bool")
            here = here.parent
        return found

    # --- sums ---------------------------------------------------------------------------------------------------------

    def _accumulate(
        self, add: k.Accumulate, level: Level, out: Block, dense: p.Connectivity | None, fan: tuple[str, str] | None
    ) -> None:
        bound = level.bound.get(add.index.name) if isinstance(add.index, k.Local) else None
        out.comment(add.source)
        if bound is not None and (bound.axes == PRE or bound.axes == POST) and not self._scattered(add, level):
            assert dense is not None
            self._sum_side(add, bound.axes, level, out, dense, fan)
            return
        value, mask = self.write.expression(add.value, level), self._mask(level)
        array = self.names.plan.arrays[add.array]
        if array.type == "real":
            value = self.write.as_real(value)
        if mask is not None:
            axes = mask.axes | value.axes
            value = Piece(
                f"np.where({broadcast(mask, axes).text}, {broadcast(value, axes).text}, 0)", ATOM, axes, value.type
            )
        if add.index is None:
            self._sum_all(add, value, level, out)
            return
        if self._scattered(add, level):
            assert add.lag is not None
            back, index = self.write.expression(add.lag, level), self.write.expression(add.index, level)
            axes = back.axes | index.axes | value.axes
            self.names.support.add("accumulate")
            slots = self.write.slots(back, axes, array.depth)
            flat = f"{slots}*{self.names.length(add.array)} + {broadcast(index, axes).at(PRODUCT)}"
            target = f"{self.names.array(add.array)}.reshape(-1)"
            out.line(f"accumulate({target}, {flat}, {broadcast(value, axes).text})")
            return
        place = self.write.place(add.array, add.index, add.lag, level)
        if bound is not None and bound.unique:
            out.line(f"{place.text} += {value.text}")
            return
        target = self.write.ring(add.array, self.write.lag(add.lag, level)[0])
        index = self.write.expression(add.index, level)
        if not index.axes and not value.axes and not self._items_axes(level):
            out.line(f"{place.text} += {value.text}")
            return
        axes = index.axes | value.axes
        if not index.axes:
            out.line(f"{place.text} += {self._total(value, level)}")
            return
        self.names.support.add("accumulate")
        if array.connectivity is not None and axes == BOTH:
            target = f"{target}.reshape(-1)"
        out.line(f"accumulate({target}, {broadcast(index, axes).text}, {broadcast(value, axes).text})")

    def _scattered(self, add: k.Accumulate, level: Level) -> bool:
        return (
            add.lag is not None
            and self.names.plan.arrays[add.array].depth > 1
            and bool(self.write.lag(add.lag, level)[1])
        )

    def _items_axes(self, level: Level) -> bool:
        return bool(level.bound)

    def _count(self, level: Level, axes: Axes) -> str:
        """How many items a level has along its axes."""
        texts = []
        for axis in sorted(axes):
            bound = next(b for b in level.bound.values() if b.axes == frozenset({axis}))
            if bound.whole is not None and bound.select is None:
                texts.append(str(bound.whole))
            else:
                numbers = bound.numbers()
                texts.append(f"len({numbers})")
        return "*".join(texts)

    def _total(self, value: Piece, level: Level) -> str:
        """The sum of a value over all items of a level."""
        everything = SCALAR.union(*(b.axes for b in level.bound.values())) if level.bound else SCALAR
        total = f"{value.at(ATOM)}.sum()" if value.axes else value.at(PRODUCT)
        missing = everything - value.axes
        return f"{total}*{self._count(level, missing)}" if missing else total

    def _sum_all(self, add: k.Accumulate, value: Piece, level: Level, out: Block) -> None:
        array = self.names.plan.arrays[add.array]
        lag = self.write.lag(add.lag, level)[0]
        target = self.write.ring(add.array, lag) if array.depth > 1 else f"{self.names.array(add.array)}[()]"
        out.line(f"{target} += {self._total(value, level)}")

    def _sum_side(
        self,
        add: k.Accumulate,
        side: Axes,
        level: Level,
        out: Block,
        c: p.Connectivity,
        fan: tuple[str, str] | None,
    ) -> None:
        """A sum over the other side of a dense connectivity: as a matrix product where the value is a product."""
        place = self.write.place(add.array, add.index, add.lag, level)
        target = place.text
        other = BOTH - side
        factors = [self.write.as_real(self.write.expression(factor, level)) for factor in _factors(add.value)]
        scalars = [f for f in factors if not f.axes]
        near = [f for f in factors if f.axes == side]
        far = [f for f in factors if f.axes == other]
        tables = [f for f in factors if f.axes == BOTH]
        own_only = level.mask_text is not None and level.mask is None and level.parent is None
        apart = own_only and not tables and not near
        mask = None if apart else self._mask(level)
        if mask is not None:
            if mask.axes == other and not tables:
                only = f"np.where({mask.text}, {_product(far)}, 0)" if far else self.write.as_real(mask).text
                far = [Piece(only, ATOM, other)]
            elif mask.axes != side:
                inside = broadcast(Piece(_product(tables), PRODUCT), BOTH).text if tables else "1.0"
                tables = [Piece(f"np.where({broadcast(mask, BOTH).text}, {inside}, 0)", ATOM, BOTH)]
        if tables:
            table = _product(tables)
            table = table if len(tables) == 1 and tables[0].level == ATOM else f"({table})"
            if far:
                vector = _product(far)
                vector = vector if len(far) == 1 and far[0].level == ATOM else f"({vector})"
                total = f"{vector} @ {table}" if side == POST else f"{table} @ {vector}"
                total = f"({total})" if scalars or near else total
            else:
                total = f"{table}.sum(axis={0 if side == POST else 1})"
            parts = [piece.at(PRODUCT) for piece in scalars + near]
            text = "*".join([*parts, total])
        else:
            count = self._count(level, other)
            if far:
                vector = _product(far)
                total = f"{vector}.sum()" if len(far) == 1 and far[0].level == ATOM else f"({vector}).sum()"
            else:
                total = count
            text = "*".join([*(piece.at(PRODUCT) for piece in scalars + near), total])
            if apart:
                self._without_own(target, add, scalars, far, text, side, level, out, c, fan)
                return
        if mask is not None and mask.axes == side:
            text = f"np.where({mask.text}, {text}, 0)"
        out.line(f"{target} += {text}")

    def _without_own(
        self,
        target: str,
        add: k.Accumulate,
        scalars: list[Piece],
        far: list[Piece],
        text: str,
        side: Axes,
        level: Level,
        out: Block,
        c: p.Connectivity,
        fan: tuple[str, str] | None,
    ) -> None:
        """All-to-all without autapses and one weight: the sum over all, less each neuron's own part: O(N)."""
        own = "*".join(piece.at(PRODUCT) for piece in scalars + far) or "1.0"
        if fan is not None and ((fan[0] == "pre") == (side == POST)):
            bound = level.bound["post" if side == POST else "pre"]
            base = self.write.ring(add.array, self.write.lag(add.lag, level)[0])
            part = bound.numbers()
            out.line(f"{target} += {text}")
            if bound.select is None:
                out.line(f"{base}[{fan[1]}] -= {own}")
            else:
                keep = f"np.isin({fan[1]}, {part})"
                scale = f"({own})[{keep}]" if far else own
                out.line(f"{base}[{fan[1]}[{keep}]] -= {scale}")
            return
        parts = c.pre_part, c.post_part
        if fan is None and all(isinstance(part, range) for part in parts) and parts[0] == parts[1]:
            out.line(f"{target} += {text}")
            out.line(f"{target} -= {own}")
            return
        table = f"np.where({level.mask_text() if level.mask_text else ''}, 1.0, 0)"
        vector = f"({own})"
        if far:
            out.line(f"{target} += {vector} @ {table}" if side == POST else f"{target} += {table} @ {vector}")
        else:
            out.line(f"{target} += {own}*{table}.sum(axis={0 if side == POST else 1})")


def atom(text: str) -> str:
    """Index numbers, in brackets where they are a sum."""
    return f"({text})" if re.search(r" (\+|-|//|%) ", text) else text


def _product(pieces: list[Piece]) -> str:
    axes = SCALAR.union(*(piece.axes for piece in pieces)) if pieces else SCALAR
    return "*".join(broadcast(piece, axes).at(PRODUCT) for piece in pieces) if len(pieces) > 1 else pieces[0].text


def _factors(expr: k.Expr) -> list[k.Expr]:
    match expr:
        case k.Binary(operator="*", left=left, right=right, type="real"):
            return _factors(left) + _factors(right)
        case k.Unary(operator="-", operand=operand):
            return [k.Const(-1.0), *_factors(operand)]
    return [expr]


def _reads(statement: k.Statement, name: str) -> bool:
    return any(
        isinstance(e, k.Local) and e.name == name for top in k.statement_expressions(statement) for e in k.walk(top)
    )


def _maskable(body: tuple[k.Statement, ...]) -> bool:
    """Whether every item can compute the body, and selecting afterwards is enough."""
    return all(
        not isinstance(s, k.Store) or (isinstance(s.index, k.Local) and s.index.name == "i")
        for s in k.walk_statements(body)
    )


def fuse(body: tuple[k.Statement, ...]) -> tuple[k.Statement, ...]:
    """Store what a Let computes where it is computed, when that is its only use and nobody reads the array in between."""
    statements = list(body)
    for store in [
        s
        for s in body
        if isinstance(s, k.Store) and isinstance(s.value, k.Local) and s.lag is None and isinstance(s.index, k.Local)
    ]:
        assert isinstance(store.value, k.Local)
        name = store.value.name
        position = next(i for i, s in enumerate(statements) if s is store)
        start = next((i for i, s in enumerate(statements[:position]) if isinstance(s, k.Let) and s.name == name), None)
        if start is None:
            continue
        everything = list(k.walk_statements(tuple(statements)))
        uses = sum(
            e == k.Local(name, e.type)
            for s in everything
            for top in k.statement_expressions(s)
            for e in k.walk(top)
            if isinstance(e, k.Local)
        )
        between = list(k.walk_statements(tuple(statements[start + 1 : position])))
        touched = any(isinstance(s, k.Store | k.Accumulate) and s.array == store.array for s in between) or any(
            isinstance(e, k.Load) and e.array == store.array
            for s in between
            for top in k.statement_expressions(s)
            for e in k.walk(top)
        )
        let = statements[start]
        if uses == 1 and not touched and isinstance(let, k.Let):
            statements[start] = replace(store, value=let.value, source=let.source or store.source)
            del statements[position]
    return tuple(statements)


__all__ = ["AND", "Block", "KernelPrinter", "fuse"]
