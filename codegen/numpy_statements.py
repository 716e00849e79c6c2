"""Statements of a kernel as NumPy: names for values, stores, events appended to lists, and branches.

An ``If`` that is rare gathers the indices of its items first and works on those; any other one computes for all items and selects.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.numpy_block import Block
from snnlang.codegen.numpy_sums import SumPrinter
from snnlang.codegen.numpy_text import ATOM, BOTH, ITEM, POWER, Bound, Level, Piece, broadcast


@dataclass(slots=True)
class StatementPrinter(SumPrinter):
    """Prints statements. ``sites`` counts the places that append to each list; ``cleared`` remembers lines that empty a list."""

    sites: dict[str, int]
    cleared: dict[str, tuple[Block, int]] = field(default_factory=dict)

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
                self._drop_clear(name, out)
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
            self._drop_clear(appended[0], out)
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

    def _drop_clear(self, name: str, out: Block) -> None:
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


def atom(text: str) -> str:
    """Index numbers, in brackets where they are a sum."""
    return f"({text})" if re.search(r" (\+|-|//|%) ", text) else text
