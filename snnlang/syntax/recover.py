"""Explains and repairs what the parser could not take, so that it goes on with the next line at the latest.

The causes (causes.py) say what is wrong and how to mend it: put a token in, exchange one, or skip the line. One line
gives one message; the names in skipped lines are kept, so that nobody calls them unknown.
"""

from __future__ import annotations

from snnlang.diagnostics import Collector, Source
from snnlang.syntax.causes import CAUSES
from snnlang.syntax.lex import Tokens
from snnlang.syntax.place import LAYOUT, MISSING, Finding, Place, Repair, shift
from snnlang.syntax.table import Table
from snnlang.syntax.words import RESERVED

_ITEMS = frozenset(("NEURON", "SYNAPSE", "NETWORK", "SIMULATE", "TRAIN", "CONST", "FUNC", "KERNEL", "FROM"))
_MAXIMUM_REPAIRS = 200


class Recovery:
    """Explains and repairs the errors of one run."""

    def __init__(self, source: Source, tokens: Tokens, table: Table, collector: Collector, lost: dict[str, None]) -> None:
        self.source = source
        self.tokens = tokens
        self.table = table
        self.collector = collector
        self.lost = lost
        self.repairs = 0
        self.keyword_kinds = frozenset(table.keywords.values())
        self.said_lines: set[int] = {source.position(d.span.start)[0] for d in tokens.diagnostics if d.span is not None}

    def handle(self, number: int, states: list[int], first: int, line_states: list[int]) -> tuple[int, bool]:
        """Where to go on (-1: nowhere), and whether with the state the parser had at ``first``, where the line begins.

        The parser's present ``states`` have been reduced for the token that does not fit, so that they no longer show
        what could have stood there; for that the line is run again.
        """
        self.repairs += 1
        if self.repairs > _MAXIMUM_REPAIRS:
            return self._skip(first), True
        if self.tokens.kinds[number] in LAYOUT and number > first and self.tokens.kinds[number - 1] in LAYOUT:
            before = states
        else:
            before = self._states_before(number, first, line_states)
        place = Place(self.source, self.tokens, self.table, number, first, before, line_states)
        diagnostic, repair = self._find(place)
        lines = self._lines(first, number)
        if not self.said_lines.intersection(lines):
            self.collector.add(diagnostic)
        self.said_lines.update(lines)
        return self._apply(repair, number, first)

    def _states_before(self, number: int, first: int, line_states: list[int]) -> list[int]:
        states = list(line_states)
        for index in range(first, number):
            row = self.table.rows[states[-1]]
            kind = self.tokens.kinds[index]
            if kind in self.keyword_kinds:
                kind = self.tokens.as_terminal(index, row)
                if not shift(self.table, states, kind):
                    shift(self.table, states, "NAME")
            else:
                shift(self.table, states, kind)
        return states

    def _lines(self, first: int, number: int) -> range:
        """The lines of the text that the logical line of an error covers."""
        tokens = self.tokens
        if tokens.kinds[number] == "_INDENT":
            first = number = number + 1
        end = next((i for i in range(first, len(tokens.kinds)) if tokens.kinds[i] in ("_NL", "$END")), number)
        begin = self.source.position(tokens.starts[min(first, number)])[0]
        return range(begin, max(begin, self.source.position(tokens.ends[max(end, number)])[0]) + 1)

    def _find(self, place: Place) -> Finding:
        for cause in CAUSES:
            finding = cause(place)
            if finding is not None:
                return finding
        return place.unexpected()

    # --- repairs

    def _apply(self, repair: Repair, number: int, first: int) -> tuple[int, bool]:
        tokens = self.tokens
        match repair.action:
            case "insert":
                at = tokens.ends[number - 1] if number else 0
                for kind, text in reversed(repair.tokens):
                    if text == MISSING:
                        self.lost[text] = None
                    self._insert(number, kind, text, at)
                in_line = repair.tokens[0][0] not in LAYOUT
                return (first, True) if in_line else (number, False)
            case "replace":
                ((kind, text),) = repair.tokens
                self.lost[tokens.texts[repair.place]] = None
                tokens.kinds[repair.place], tokens.texts[repair.place] = kind, text
                return first, True
            case "merge":
                ((kind, text),) = repair.tokens
                tokens.kinds[repair.place], tokens.texts[repair.place] = kind, text
                tokens.ends[repair.place] = tokens.ends[repair.place + 1]
                self._delete(repair.place + 1)
                return first, True
            case "cut":
                while tokens.kinds[repair.place] not in ("_NL", "$END"):
                    self._delete(repair.place)
                return first, True
            case "join":  # _NL _INDENT … _DEDENT
                self._delete(self._matching_dedent(number + 1))
                self._delete(number + 1)
                self._delete(number)
                return first, True
            case "adopt":
                self._insert(self._end_of_body(repair.place, number), "_DEDENT", "", tokens.ends[number - 1])
                self._insert(number, "_INDENT", "", tokens.ends[number - 1])
                return number, False
            case "delete" if tokens.kinds[number] == "_INDENT":
                self._delete(self._matching_dedent(number))
                self._delete(number)
                return number, False
            case "delete":
                self._delete(repair.place)
                return first, True
            case "unwrap":  # NAME : _NL _INDENT … _DEDENT
                indent = number + 2
                self._delete(self._matching_dedent(indent))
                for _ in range(indent - first + 1):
                    self._delete(first)
                return first, True
        return self._skip(first), True

    def _end_of_body(self, header: int, number: int) -> int:
        """Up to where the lines below a head were meant to be its block, though they are not indented."""
        kinds = self.tokens.kinds
        is_item = kinds[header] in ("NEURON", "SYNAPSE", "NETWORK", "SIMULATE", "TRAIN")
        while kinds[number] not in ("_DEDENT", "$END"):
            end = self._after_line(number)
            if is_item and kinds[number] in _ITEMS:
                break
            if not is_item and (kinds[number] not in ("NAME", "DELIVER", "HOLD", "EMIT") or "DERIVATIVE" in kinds[number:end]):
                break
            number = end
        return number

    def _insert(self, number: int, kind: str, text: str, at: int) -> None:
        tokens = self.tokens
        tokens.kinds.insert(number, kind)
        tokens.texts.insert(number, text)
        tokens.starts.insert(number, at)
        tokens.ends.insert(number, at)

    def _delete(self, number: int) -> None:
        tokens = self.tokens
        for column in (tokens.kinds, tokens.texts, tokens.starts, tokens.ends):
            del column[number]

    def _matching_dedent(self, indent: int) -> int:
        depth = 0
        for number in range(indent, len(self.tokens.kinds)):
            kind = self.tokens.kinds[number]
            depth += (kind == "_INDENT") - (kind == "_DEDENT")
            if depth == 0:
                return number
        return len(self.tokens.kinds) - 2

    def _skip(self, first: int) -> int:
        """Where to go on after this line and the block below it; for an ``if``, after its other branches too."""
        kinds = self.tokens.kinds
        if kinds[first] == "$END":
            return -1
        end = self._after_line(first)
        if kinds[first] in ("IF", "ELIF", "ELSE"):
            while kinds[end] in ("ELIF", "ELSE"):
                end = self._after_line(end)
        for index in range(first, end):
            text = self.tokens.texts[index]
            if text.isidentifier() and text not in RESERVED:
                self.lost[text] = None
            elif kinds[index] == "DERIVATIVE":
                self.lost[text.partition("/")[0].rstrip()[1:]] = None
        return end

    def _after_line(self, first: int) -> int:
        kinds = self.tokens.kinds
        number = first
        while kinds[number] not in ("_NL", "$END"):
            number += 1
        if kinds[number] == "$END":
            return number
        number += 1
        if kinds[number] == "_INDENT":
            number = self._matching_dedent(number) + 1
        return number
