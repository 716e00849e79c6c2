"""From text to tree: drives the parse table over the tokens, builds nodes as it goes, and recovers line by line.

``parse`` raises what is wrong, ``parse_recovering`` returns it beside a tree of everything that could be read. The loop
is linear in the length of the text. A keyword is a keyword only where the table can take it, and a soft one is a name
when the next token shows it (``order = 2``). What goes wrong is explained and repaired in recover.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from snnlang.diagnostics import Collector, Diagnostic, SnnError, Source, Span
from snnlang.reading import read_source
from snnlang.syntax import tree
from snnlang.syntax.build import Builder
from snnlang.syntax.lex import MAXIMUM_DIAGNOSTICS, Tokens, split
from snnlang.syntax.limits import refuse_deep_nesting
from snnlang.syntax.recover import Recovery
from snnlang.syntax.table import Table, load_table
from snnlang.syntax.words import CONNECTING, RESERVED

__all__ = ["RESERVED", "parse", "parse_expression", "parse_recovering", "read_source"]

_LAYOUT = frozenset(("_NL", "_INDENT", "_DEDENT"))
_PASS, _FORWARD, _REPEAT, _PLAIN, _GENERAL = range(5)
_Step = tuple[int, str, int, str, tuple[Any, ...]]


def parse(source: Source) -> tree.File:
    """The tree of a text. Raises SnnError with up to ten diagnostics."""
    file, diagnostics = parse_recovering(source)
    if file is None or any(diagnostic.is_error for diagnostic in diagnostics):
        raise SnnError(*diagnostics)
    return file


def parse_recovering(source: Source) -> tuple[tree.File | None, list[Diagnostic]]:
    """The tree of what can be read, and up to ten diagnostics; no tree when there is nothing in it.

    ``File.lost`` names what stood in the lines that were skipped.
    """
    tokens = split(source)
    parser = _Parser(source, tokens, "start")
    file = parser.run()
    diagnostics = parser.diagnostics()
    if isinstance(file, tree.File):
        diagnostics += refuse_deep_nesting(file, tokens)
        if not file.items and not diagnostics:
            diagnostics.append(_nothing_in(source))
        file = tree.File(file.items, tuple(tokens.comments), tuple(parser.lost), span=file.span)
        if any(diagnostic.code == "E033" for diagnostic in diagnostics):
            file = None
    diagnostics.sort(key=lambda diagnostic: diagnostic.span.start if diagnostic.span else -1)
    return file if isinstance(file, tree.File) and file.items else None, diagnostics[:MAXIMUM_DIAGNOSTICS]


def parse_expression(text: str, name: str) -> tree.Expression:
    """The tree of one expression, for example the value of an option called ``name``. Raises SnnError."""
    source = Source(name, text)
    tokens = split(source)
    parser = _Parser(source, tokens, "expression_only")
    expression = parser.run()
    diagnostics = parser.diagnostics()
    if not text.strip():
        diagnostics = [Diagnostic("E019", "a value is missing", source_span(source), help=("write a value, as in `20 ms`",))]
    if diagnostics or expression is None:
        raise SnnError(*diagnostics[:MAXIMUM_DIAGNOSTICS])
    return expression  # type: ignore[no-any-return]


def source_span(source: Source) -> Span:
    """The whole of a source."""
    return Span(source, 0, len(source.text))


def _nothing_in(source: Source) -> Diagnostic:
    what = "are only comments" if source.text.strip() else "is nothing"
    return Diagnostic("E003", f"there {what} in this file", Span(source, 0, 0), "",
                      help=("begin with `neuron NAME:`, or let `snn new NAME` write a first model",))


class Run:
    """The values of a repetition so far: a list shared by the runs it grew from, and how much of it is this one's."""

    __slots__ = ("count", "items")

    def __init__(self, items: list[Any], count: int) -> None:
        self.items = items
        self.count = count

    def values(self) -> list[Any]:
        return self.items if self.count == len(self.items) else self.items[: self.count]

    def extended(self, more: list[Any]) -> Run:
        items = self.items if self.count == len(self.items) else self.items[: self.count]
        items.extend(more)
        return Run(items, len(items))


@lru_cache(maxsize=1)
def _steps() -> tuple[_Step, ...]:
    """The rules, sorted by what the loop has to do for them."""
    steps: list[_Step] = []
    for rule in load_table().rules:
        plain = tuple(position for position, _ in rule.picks)
        if rule.action == "":
            steps.append((_PASS if rule.size == 1 else _FORWARD, rule.left, rule.size, "", plain))
        elif rule.action == "+":
            steps.append((_REPEAT, rule.left, rule.size, "", rule.picks))
        elif rule.size and all(position >= 0 and not splice for position, splice in rule.picks):
            steps.append((_PLAIN, rule.left, rule.size, rule.action, plain))
        else:
            steps.append((_GENERAL, rule.left, rule.size, rule.action, rule.picks))
    return tuple(steps)


class _Parser:
    """One run over one token list."""

    def __init__(self, source: Source, tokens: Tokens, start: str) -> None:
        self.source = source
        self.tokens = tokens
        self.collector = Collector()
        self.table: Table = load_table()
        self.lost: dict[str, None] = {}
        self.start = start

    def diagnostics(self) -> list[Diagnostic]:
        """What was said about the tokens, and about the lines whose tokens were in order."""
        lines = {self._line(diagnostic) for diagnostic in self.tokens.diagnostics}
        return [*self.tokens.diagnostics, *(d for d in self.collector if self._line(d) not in lines)]

    def _line(self, diagnostic: Diagnostic) -> int:
        return self.source.position(diagnostic.span.start)[0] if diagnostic.span is not None else 0

    def run(self) -> Any:
        builder = Builder(self.source, self.collector, self.lost)
        table, tokens = self.table, self.tokens
        rows, gotos = table.rows, table.gotos
        steps: list[tuple[int, str, int, Callable[..., Any] | None, tuple[Any, ...]]] = [
            (sort, left, size, getattr(builder, action) if action else None, picks)
            for sort, left, size, action, picks in _steps()
        ]
        keyword_kinds = frozenset(table.keywords.values())
        end_state = table.ends[self.start]
        recovery = Recovery(self.source, tokens, table, self.collector, self.lost)
        kinds, texts, begins, finishes = tokens.kinds, tokens.texts, tokens.starts, tokens.ends
        states: list[int] = [table.starts[self.start]]
        values: list[Any] = []
        starts: list[int] = []
        ends: list[int] = []
        snapshot = (0, list(states), list(values), list(starts), list(ends))
        fresh = True
        number = 0
        while True:
            kind = kinds[number]
            if fresh and kind not in _LAYOUT:
                fresh = False
                snapshot = (number, states.copy(), values.copy(), starts.copy(), ends.copy())
            row = rows[states[-1]]
            if kind in keyword_kinds:
                kind = tokens.as_terminal(number, row)
            action = row.get(kind)
            while action is None or action < 0:
                if action is None:
                    if kind not in keyword_kinds or texts[number] in CONNECTING:
                        break
                    kind = "NAME"  # another kind of block has the keyword here, this one a name
                    action = rows[states[-1]].get(kind)
                    continue
                sort, left, size, method, picks = steps[~action]
                if sort == _PASS:
                    states[-1] = gotos[states[-2]][left]
                elif sort == _PLAIN:
                    begin, finish = starts[-size], ends[-1]
                    base = len(values) - size
                    value = method([values[base + position] for position in picks], begin, finish)  # type: ignore[misc]
                    del states[-size:], values[base:], starts[base:], ends[base:]
                    states.append(gotos[states[-1]][left])
                    values.append(value)
                    starts.append(begin)
                    ends.append(finish)
                else:
                    value, begin, finish = _reduce(sort, size, method, picks, values, starts, ends, begins[number])
                    if size:
                        base = len(values) - size
                        del states[-size:], values[base:], starts[base:], ends[base:]
                    states.append(gotos[states[-1]][left])
                    values.append(value)
                    starts.append(begin)
                    ends.append(finish)
                if kind == "$END" and states[-1] == end_state:
                    return values[-1]
                action = rows[states[-1]].get(kind)
            if action is None:
                number, rewind = recovery.handle(number, states, snapshot[0], snapshot[1])
                if number < 0:
                    return None
                if rewind:
                    _, old_states, old_values, old_starts, old_ends = snapshot
                    states[:], values[:], starts[:], ends[:] = old_states, old_values, old_starts, old_ends
                    fresh = True
                continue
            if kind in _LAYOUT:
                fresh = True
            states.append(action)
            values.append((texts[number], begins[number], finishes[number]))
            starts.append(begins[number])
            ends.append(finishes[number])
            number += 1


def _reduce(sort: int, size: int, method: Callable[..., Any] | None, picks: tuple[Any, ...], values: list[Any],
            starts: list[int], ends: list[int], here: int) -> tuple[Any, int, int]:
    """Value and place of a production that is not of the simplest kind."""
    base = len(values) - size
    begin, finish = (starts[base], ends[-1]) if size else (here, here)
    if sort == _FORWARD:
        return values[base + picks[0]], begin, finish
    children: list[Any] = []
    if sort == _REPEAT:
        first = values[base + picks[0][0]]
        if picks[0][1] and isinstance(first, Run):
            return first.extended([values[base + position] for position, _ in picks[1:]]), begin, finish
        children = [values[base + position] for position, _ in picks]
        return Run(children, len(children)), begin, finish
    for position, splice in picks:
        if position < 0:
            children.append(None)
        elif splice:
            children.extend(values[base + position].values())
        else:
            children.append(values[base + position])
    assert method is not None
    return method(children, begin, finish), begin, finish
