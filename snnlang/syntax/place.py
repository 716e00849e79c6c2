"""The place of an error: what stood before it, what the table would have taken there, and how to say and repair it."""

from __future__ import annotations

from typing import Literal

from snnlang.diagnostics import Diagnostic, Fix, Label, Source, Span
from snnlang.frozen import dataclass
from snnlang.syntax.expected import describe_choices, describe_token
from snnlang.syntax.lex import Tokens
from snnlang.syntax.table import Table
from snnlang.syntax.words import CONNECTING

LAYOUT = frozenset(("_NL", "_INDENT", "_DEDENT"))


@dataclass(frozen=True, slots=True)
class Repair:
    """``insert`` tokens before the error, ``replace`` the token at ``place``, ``merge`` it with the next, ``adopt`` the
    lines below as a block, ``cut`` off the rest of the line,
    ``join`` it with the next, or ``skip`` the line."""

    action: Literal["insert", "replace", "merge", "delete", "skip", "unwrap", "adopt", "cut", "join"]
    place: int = 0
    tokens: tuple[tuple[str, str], ...] = ()


#: Stands in the tree for a value that was left out; it is among ``File.lost``.
MISSING = "_missing"

Finding = tuple[Diagnostic, Repair]
SKIP = Repair("skip")


def shift(table: Table, states: list[int], kind: str) -> bool:
    """Take one terminal, without values; False if it cannot come (then ``states`` may have been reduced)."""
    while True:
        action = table.rows[states[-1]].get(kind)
        if action is None:
            return False
        if action >= 0:
            states.append(action)
            return True
        rule = table.rules[~action]
        if rule.size:
            del states[-rule.size :]
        target = table.gotos[states[-1]].get(rule.left)
        if target is None:
            return kind == "$END"
        states.append(target)


class Place:
    """The place of an error: its token, the line before it, and what the table would have taken."""

    def __init__(self, source: Source, tokens: Tokens, table: Table, number: int, first: int, states: list[int],
                 line_states: list[int]) -> None:
        self.source = source
        self.table = table
        self.tokens = tokens
        self.number = number
        self.first = first
        self.states = states
        self.line_states = line_states
        self.kind = tokens.kinds[number]
        self.text = tokens.texts[number]
        self.at_start = number <= first
        self.previous_kind = tokens.kinds[number - 1] if number > first else ""
        self.previous_text = tokens.texts[number - 1] if number > first else ""
        self.first_text = tokens.texts[first]
        self.is_name = self.text.isidentifier() and self.text not in CONNECTING
        self._choices: list[str] | None = None

    # --- the table, asked without changing anything

    def accepts(self, *kinds: str, states: list[int] | None = None) -> bool:
        """Whether these tokens could come here, one after the other."""
        stack = list(self.states if states is None else states)
        return all(shift(self.table, stack, kind) for kind in kinds)

    @property
    def choices(self) -> list[str]:
        """The terminals that could come here, in the order of the table."""
        if self._choices is None:
            self._choices = [kind for kind in self.table.rows[self.states[-1]] if self.accepts(kind)]
        return self._choices

    def wants(self, *kinds: str) -> bool:
        return any(kind in self.choices for kind in kinds)

    @property
    def wants_operand(self) -> bool:
        return self.wants("NUMBER", "QUANTITY")

    def keywords(self, choices: list[str]) -> dict[str, str]:
        """The keywords among these terminals: text -> terminal."""
        return {word: kind for word, kind in self.table.keywords.items() if kind in choices}

    def line_keywords(self) -> dict[str, str]:
        """The keywords a line could begin with here."""
        return {word: kind for word, kind in self.table.keywords.items() if self.accepts(kind, states=self.line_states)}

    def as_taken(self, number: int, keyword: str) -> str:
        """The terminal of a token, once ``keyword`` stands before it at the start of the line."""
        text = self.tokens.texts[number]
        is_name = text.isidentifier() and text not in CONNECTING
        return "NAME" if is_name and self.accepts(keyword, "NAME", states=self.line_states) else self.tokens.kinds[number]

    # --- places in the text

    def span(self, number: int | None = None) -> Span:
        """The place of a token; the end of a line is shown behind its last character."""
        index = self.number if number is None else number
        return Span(self.source, self.tokens.starts[index], self.tokens.ends[index])

    def gap(self) -> Span:
        """Between the token before and this one."""
        end = self.tokens.ends[self.number - 1] if self.number else 0
        return Span(self.source, end, end)

    def line_end(self) -> int:
        """The number of the token that ends this line."""
        number = self.number
        while self.tokens.kinds[number] not in ("_NL", "$END"):
            number += 1
        return number

    def has_block(self) -> bool:
        """Whether an indented block follows this line."""
        return self.tokens.kinds[min(self.line_end() + 1, len(self.tokens.kinds) - 1)] == "_INDENT"

    def kinds_before(self) -> list[str]:
        return self.tokens.kinds[self.first : self.number]

    def found(self) -> str:
        return describe_token(self.kind, self.text)

    def supply_value(self) -> Repair:
        """Put in a value that nobody knows, if the line can go on then."""
        if self.accepts("NAME", self.kind):
            return Repair("insert", 0, (("NAME", MISSING),))
        return SKIP

    def say(self, code: str, message: str, span: Span, label: str = "", *help: str, fix: Fix | None = None,
            labels: tuple[Label, ...] = ()) -> Diagnostic:
        return Diagnostic(code, message, span, label, labels, help, fix)

    def unexpected(self) -> Finding:
        """The most general message: what stands here, and what could."""
        choices = describe_choices([kind for kind in self.choices if not (self.at_start and kind in LAYOUT)], self.table)
        if self.kind in LAYOUT or self.kind == "$END":
            return self.say("E020", "the line ends too early", self.gap(), f"{choices or 'more'} expected",
                            "complete the line"), SKIP
        message = f"{self.found()} cannot {'begin a line' if self.at_start else 'stand'} here"
        return self.say("E020", message, self.span(), f"expected {choices}" if choices else "", "correct or remove it"), SKIP
