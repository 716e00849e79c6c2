"""From text to tokens: one pass over the whole file, with line ends, indentation and the balance of brackets.

The terminals come from the grammar. This pass never stops: what it cannot read (tabs in the indentation, an unclosed
bracket, a foreign operator) becomes a diagnostic and is replaced by what was most likely meant, so that the parser goes
on and the one mistake gives one message. An unclosed bracket is blamed here, where it opens, and not on the line that
happens to follow.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from dataclasses import dataclass, field, replace
from functools import lru_cache

from snnlang.diagnostics import Diagnostic, Fix, Label, Source, Span
from snnlang.syntax.table import load_table
from snnlang.syntax.tree import Comment
from snnlang.syntax.words import BUILT_IN, CONNECTING, PLACES

#: Every unit name that may stand in a quantity.
UNIT_NAMES: tuple[str, ...] = tuple(
    prefix + base
    for base, prefixes in (
        ("m", "numµμck"), ("mol", "numµμp"), ("s", "pnumµμ"), ("V", "numµμkM"), ("A", "fpnumµμk"), ("S", "fpnumµμ"),
        ("F", "fpnumµμ"), ("C", "fpnumµμ"), ("Hz", "mkMG"), ("Ohm", "mkMG"), ("ohm", "mkMG"), ("Ω", "mkMG"), ("L", "mu"),
    )
    for prefix in ("", *prefixes)
)

MAXIMUM_NESTING = 60
MAXIMUM_DIAGNOSTICS = 10

# what is written -> (terminal it stands for, its right spelling, help)
FOREIGN: dict[str, tuple[str, str, str]] = {
    "&&": ("AND", "and", "write `and`"),
    "&": ("AND", "and", "write `and`"),
    "||": ("OR", "or", "write `or`"),
    "|": ("OR", "or", "write `or`"),
    "!": ("NOT", "not ", "write `not`"),
    "~": ("NOT", "not ", "write `not`"),
    ":=": ("EQUAL", "=", "write `=`"),
    "<-": ("EQUAL", "=", "write `=`"),
    "===": ("COMPARE", "==", "write `==`"),
    "!==": ("COMPARE", "!=", "write `!=`"),
    "<>": ("COMPARE", "!=", "write `!=`"),
    "=<": ("COMPARE", "<=", "write `<=`"),
    "=>": ("COMPARE", ">=", "write `>=` for the comparison, or `->` for a connection"),
    "-->": ("_ARROW", "->", "write `->`"),
    "^^": ("_POWER", "^", "write `^` for a power"),
    "***": ("_POWER", "^", "write `^` for a power"),
    "++": ("", " += 1", "write `+= 1` to count up, a single `+` to add"),
    "^=": ("", "", "write the power out: `x = x^2`"),
    "**=": ("", "", "write the power out: `x = x^2`"),
    "//": ("", "#", "begin a comment with `#`; a division is a single `/`"),
    "/*": ("", "#", "begin every line of a comment with `#`"),
    "%": ("", "", "write 0.05 for 5 %; there is no remainder operator"),
    ";": ("", "", "put each statement on a line of its own"),
    "\\": ("", "", "put brackets around what goes on in the next line; a line may also begin with `->`"),
    "{": ("", "", "use indentation for blocks and `[…]` for lists"),
    "}": ("", "", "use indentation for blocks and `[…]` for lists"),
    "?": ("", "", "write a choice as `a if condition else b`"),
    "−": ("MINUS", "-", "write the minus of the keyboard, `-`"),
    "–": ("MINUS", "-", "write the minus of the keyboard, `-`"),
    "—": ("MINUS", "-", "write the minus of the keyboard, `-`"),
    "×": ("STAR", "*", "write `*`"),
    "·": ("STAR", "*", "write `*`"),
    "⋅": ("STAR", "*", "write `*`"),
    "÷": ("SLASH", "/", "write `/`"),
    "≥": ("COMPARE", ">=", "write `>=`"),
    "≤": ("COMPARE", "<=", "write `<=`"),
    "≠": ("COMPARE", "!=", "write `!=`"),
    "→": ("_ARROW", "->", "write `->`"),
    "²": ("", "^2", "write `^2`"),
    "³": ("", "^3", "write `^3`"),
    "½": ("", "0.5", "write 0.5"),
    "∞": ("NAME", "inf", "write `inf`"),
}

_CLOSES = {"(": ")", "[": "]"}
_KINDS = {"(": "LPAR", ")": "RPAR", "[": "LSQB", "]": "RSQB"}
_QUOTES = "'‘’“”„«»`´′"
_STARTS_OPERAND = frozenset(("NAME", "NUMBER", "QUANTITY", "STRING", "DERIVATIVE"))
_ENDS_OPERAND = _STARTS_OPERAND | {"RPAR", "RSQB"}
_AFTER_A_NAME = frozenset(
    ("EQUAL", "AUGMENT", "DOT", "RPAR", "RSQB", "COMMA", "STAR", "SLASH", "_POWER", "COMPARE", "_ARROW")
)
_BLOCK_WORDS = frozenset(("adjoint", "input", "param", "state", "weight"))
_INFIX_WORDS = frozenset(("if", "else", "elif", "for", "at", "every", "in", "to", "as", "per"))
_REST_IS_BLANK = re.compile(r"[ \t\r]*(?:#[^\n]*)?(?:\n|\Z)")
_NAME_FOLLOWS = re.compile(r"[ ]+[^\W\d]")


@dataclass(slots=True)
class Tokens:
    """The tokens of a text as four columns, with what was said on the way."""

    kinds: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def add(self, kind: str, text: str, start: int, end: int) -> None:
        self.kinds.append(kind)
        self.texts.append(text)
        self.starts.append(start)
        self.ends.append(end)

    def as_terminal(self, number: int, row: Container[str]) -> str:
        """The terminal of a word where ``row`` holds what can come: keyword or, for most words, name."""
        kind, text = self.kinds[number], self.texts[number]
        if kind not in row:
            return kind if text in CONNECTING else "NAME"
        if "NAME" in row and text not in CONNECTING and text not in BUILT_IN and self._shows_a_name(number):
            return "NAME"
        return kind

    def _shows_a_name(self, number: int) -> bool:
        """Whether what follows a word could not follow it as a keyword: ``order = 2``, ``trace(v)``."""
        following = self.kinds[number + 1]
        if following in ("LPAR", "LSQB"):
            return self.starts[number + 1] == self.ends[number]
        if following == "COLON":
            return self.texts[number] not in _BLOCK_WORDS
        return following in _AFTER_A_NAME


@lru_cache(maxsize=1)
def scanner() -> re.Pattern[str]:
    """One expression for every terminal: the blanks before it, then the terminal as a named group."""
    foreign = "|".join(re.escape(text) for text in sorted(FOREIGN, key=lambda text: -len(text)) if text not in ("!", "<-"))
    named = "|".join(f"(?P<{name}>{pattern})" for name, pattern in load_table().patterns)
    return re.compile(
        rf"[ \t\r\f\ufeff]*(?:(?P<NEWLINE>\n)|(?P<COMMENT>#[^\n]*)|(?P<FOREIGN>{foreign}|!(?!=))|{named}|(?P<STRAY>.))"
    )


def split(source: Source) -> Tokens:
    """The tokens of a text; ``_NL``, ``_INDENT`` and ``_DEDENT`` have no width and lie at the end of the code before."""
    return _Splitter(source).run()


class _Splitter:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.tokens = Tokens()
        self.levels = [0]
        self.open: list[tuple[str, int, bool]] = []  # bracket, place, whether it opens a range after `in`
        self.previous_end = 0
        self.skip_until = 0
        self.tab_lines = 0
        self.too_deep = False

    def run(self) -> Tokens:
        tokens = self.tokens
        kinds, texts, starts, ends = tokens.kinds, tokens.texts, tokens.starts, tokens.ends
        keywords = load_table().keywords
        new_line = True
        line_start = 0
        for match in scanner().finditer(self.text):
            kind = match.lastgroup or "STRAY"
            start, end = match.span(kind)
            if start < self.skip_until:
                continue
            if kind == "NEWLINE":
                new_line = True
                line_start = end
                continue
            text = match[kind]
            if kind == "COMMENT":
                tokens.comments.append(Comment(Span(self.source, start, end), text.rstrip(), new_line))
                continue
            if new_line:
                new_line = False
                if self.open and self._begins_statement(kind, text, end):
                    self._blame_open()
                if not self.open and kind != "_ARROW":
                    self._begin_line(line_start, start)
            if kind == "NAME":
                if text in keywords:
                    kind = keywords[text]
                elif not text.isascii():
                    text, end = self._unicode_name(text, start)
            elif kind == "LPAR" or kind == "LSQB":
                self.open.append((text, start, bool(kinds) and kinds[-1] == "IN"))
                if len(self.open) > MAXIMUM_NESTING and not self.too_deep:
                    self.too_deep = True
                    self._say("E033", f"brackets are nested more than {MAXIMUM_NESTING} deep", start, end,
                              "one level too many", "name a part of the expression on a line of its own")
            elif kind == "RPAR" or kind == "RSQB":
                kind = self._close(text, start)
                if not kind:
                    continue
            elif kind == "COLON":
                if self.open and self.open[-1][0] == "(" and _REST_IS_BLANK.match(self.text, end):
                    self._blame_open()
            elif kind == "FOREIGN" or kind == "STRAY":
                self._foreign(text, start)
                continue
            elif kind == "DOTS" and text == "." and not (kinds and kinds[-1] == "FROM"):
                kind = "DOT"
            kinds.append(kind)
            texts.append(text)
            starts.append(start)
            ends.append(end)
            self.previous_end = end
        if self.open:
            self._blame_open()
        if kinds:
            self._line_end()
        for _ in self.levels[1:]:
            self._mark("_DEDENT")
        self._mark("$END")
        if self.tab_lines > 1:
            self._count_tabs()
        return tokens

    # --- lines

    def _mark(self, kind: str) -> None:
        self.tokens.add(kind, "", self.previous_end, self.previous_end)

    def _line_end(self) -> None:
        if self.tokens.kinds[-1] not in ("_NL", "_INDENT", "_DEDENT"):
            self._mark("_NL")

    def _begin_line(self, line_start: int, start: int) -> None:
        if self.tokens.kinds:
            self._line_end()
        blank = self.text[line_start:start].lstrip("\ufeff")
        if "\t" in blank:
            self._tab(line_start, start)
            blank = blank.expandtabs(4)
        indent, levels = len(blank), self.levels
        if indent > levels[-1]:
            levels.append(indent)
            self._mark("_INDENT")
            if len(levels) == MAXIMUM_NESTING:
                self._say("E033", f"blocks are nested more than {MAXIMUM_NESTING} deep", start, start + 1)
        elif indent < levels[-1]:
            if indent not in levels:
                indent = self._uneven(line_start, start, indent)
            while levels[-1] > indent:
                levels.pop()
                self._mark("_DEDENT")

    def _uneven(self, line_start: int, start: int, indent: int) -> int:
        nearest = min(self.levels, key=lambda level: (abs(level - indent), -level))
        if not self.tab_lines:
            self._say(
                "E005", f"the indentation of {_spaces(indent)} matches no block above", line_start, start,
                f"{_spaces(indent)}",
                f"indent by {_spaces(nearest)} to go on in that block; the open blocks stand at "
                f"{', '.join(map(str, self.levels[:-1]))} and {self.levels[-1]}",
                Fix(Span(self.source, line_start, start), " " * nearest),
            )
        return nearest

    def _tab(self, line_start: int, start: int) -> None:
        self.tab_lines += 1
        if self.tab_lines == 1:
            self._say(
                "E004", "a tab in the indentation", line_start, start, "indented with a tab",
                "indent with spaces, four to a level", Fix(Span(self.source, line_start, start),
                                                          self.text[line_start:start].expandtabs(4)),
            )

    def _count_tabs(self) -> None:
        diagnostics = self.tokens.diagnostics
        for number, diagnostic in enumerate(diagnostics):
            if diagnostic.code == "E004":
                more = self.tab_lines - 1
                lines = "1 more line has" if more == 1 else f"{more} more lines have"
                diagnostics[number] = replace(diagnostic, help=(f"{diagnostic.help[0]}; {lines} tabs too",))

    # --- brackets

    def _begins_statement(self, kind: str, text: str, end: int) -> bool:
        """Whether a line that starts inside an open bracket cannot belong to it, so that the bracket was never closed."""
        kinds, texts = self.tokens.kinds, self.tokens.texts
        if kind == "_ARROW":
            return True
        last = texts[-1]
        after_operand = kinds[-1] in _ENDS_OPERAND or (last.isidentifier() and last not in CONNECTING and last != "per")
        if after_operand and kind in _STARTS_OPERAND and text not in CONNECTING and text not in _INFIX_WORDS:
            return True
        if text in PLACES and text not in _INFIX_WORDS:
            return _NAME_FOLLOWS.match(self.text, end) is not None
        return False

    def _blame_open(self) -> None:
        """Say that the last bracket is never closed, and close all that are open."""
        bracket, place, _ = self.open[-1]
        end = self.previous_end
        closing = "".join(_CLOSES[b] for b, _, _ in reversed(self.open))
        first_line = self.source.position(place)[0]
        last_line = self.source.position(end)[0]
        count = len(self.open)
        labels = () if first_line == last_line else (
            Label(Span(self.source, max(end - 1, 0), end), f"`{_CLOSES[bracket]}` is missing here at the latest"),)
        others = f" ({count} brackets are open here)" if count > 1 else ""
        self._say(
            "E011", f"`{bracket}` is never closed{others}", place, place + 1, "opened here",
            f"close it with `{_CLOSES[bracket]}`" + (", at the latest at the end of the line" if not labels else ""),
            Fix(Span(self.source, end, end), closing), labels,
        )
        self._close_all()

    def _close_all(self) -> None:
        while self.open:
            bracket, _, _ = self.open.pop()
            self.tokens.add(_KINDS[_CLOSES[bracket]], _CLOSES[bracket], self.previous_end, self.previous_end)

    def _close(self, text: str, start: int) -> str:
        """The terminal of a closing bracket, corrected if it closes the wrong one; "" if it closes nothing."""
        if not self.open:
            self._say("E012", f"`{text}` closes nothing", start, start + 1, "no bracket is open here", "remove it",
                      Fix(Span(self.source, start, start + 1), ""))
            return ""
        bracket, place, is_range = self.open.pop()
        if is_range or _CLOSES[bracket] == text:
            return _KINDS[text]
        opened = Label(Span(self.source, place, place + 1), "opened here")
        if any(_CLOSES[outer] == text for outer, _, _ in self.open):
            self._say("E011", f"`{bracket}` is not closed before `{text}`", place, place + 1, "opened here",
                      f"close it with `{_CLOSES[bracket]}`", Fix(Span(self.source, start, start), _CLOSES[bracket]))
            self.tokens.add(_KINDS[_CLOSES[bracket]], _CLOSES[bracket], start, start)
            return self._close(text, start)
        self._say("E012", f"`{bracket}` is closed by `{text}`", start, start + 1, f"`{_CLOSES[bracket]}` belongs here",
                  f"write `{_CLOSES[bracket]}`", Fix(Span(self.source, start, start + 1), _CLOSES[bracket]), (opened,))
        return _KINDS[_CLOSES[bracket]]

    # --- what has no place in the language

    def _foreign(self, text: str, start: int) -> None:
        end = start + len(text)
        if text == '"':
            self._open_string(start)
        elif text in _QUOTES:
            self._quote(text, start)
        elif text in FOREIGN:
            kind, spelling, advice = FOREIGN[text]
            fix = Fix(Span(self.source, start, end), spelling) if spelling else None
            if text == "!" and self.text[end : end + 1] == " ":
                fix = Fix(Span(self.source, start, end), "not")
            self._say("E016", f"`{text}` is not an operator of the language", start, end, "", advice, fix)
            if kind:
                self.tokens.add(kind, spelling.strip(), start, end)
                self.previous_end = end
            elif text in ("//", "/*"):
                self._skip_line(start)
            elif text == "\\" and _REST_IS_BLANK.match(self.text, end):
                self._skip_line(start)
                self.skip_until += 1
            elif text == ";" and not self.open and not _REST_IS_BLANK.match(self.text, end) and self.tokens.kinds:
                self._line_end()
        else:
            name = unicodedata.name(text, "a control character").lower()
            shown = f"`{text}`" if text.isprintable() and not text.isspace() else "this character"
            self._say("E017", f"{shown} has no meaning in the language", start, end, f"U+{ord(text):04X}, {name}",
                      "remove it" if not text.isspace() else "write an ordinary space",
                      Fix(Span(self.source, start, end), " ") if text.isspace() else None)

    def _skip_line(self, start: int) -> int:
        end = self.text.find("\n", start)
        self.skip_until = len(self.text) if end < 0 else end
        return self.skip_until

    def _open_string(self, start: int) -> None:
        end = start + len(self.text[start : self._skip_line(start)].rstrip())
        self._say("E013", "this text is never closed", start, end, "opened here",
                  "end it with `\"` on the same line", Fix(Span(self.source, end, end), '"'))
        self.tokens.add("STRING", self.text[start:end] + '"', start, end)
        self.previous_end = end
        self._close_all()

    def _quote(self, text: str, start: int) -> None:
        tokens = self.tokens
        if text in "'’`´′" and tokens.kinds and tokens.kinds[-1] == "NAME" and tokens.ends[-1] == start:
            end = start
            while self.text[end : end + 1] == text:
                end += 1
            name, first = tokens.texts[-1], tokens.starts[-1]
            self.skip_until = end
            if end - start == 1:
                advice = f"write the derivative as `d{name}/dt`"
                fix = Fix(Span(self.source, first, end), f"d{name}/dt")
            else:
                advice = f"give the first derivative a state of its own: `d{name}/dt = u`, then `du/dt = …`"
                fix = None
            self._say("E015", "a prime is not a derivative here", first, end, "", advice, fix)
            tokens.kinds[-1], tokens.texts[-1], tokens.ends[-1] = "DERIVATIVE", f"d{name}/dt", end
            self.previous_end = end
            return
        line_end = self._skip_line(start)
        closing = next((i for i in range(start + 1, line_end) if self.text[i] in _QUOTES + '"'), -1)
        end = closing + 1 if closing >= 0 else start + len(self.text[start:line_end].rstrip())
        inside = self.text[start + 1 : closing if closing >= 0 else end]
        self._say("E014", f"`{text}` does not begin a text", start, end, "", "put texts between double quotes, `\"`",
                  Fix(Span(self.source, start, end), f'"{inside}"') if closing >= 0 else None)
        self.skip_until = end
        tokens.add("STRING", f'"{inside}"', start, end)
        self.previous_end = end

    def _unicode_name(self, text: str, start: int) -> tuple[str, int]:
        """A name with Greek or other letters in its normal form; superscripts and the like are no part of a name."""
        length = next((i for i in range(len(text)) if not text[: i + 1].isidentifier()), len(text))
        end = start + len(text)
        if length < len(text):
            sign = text[length]
            spelling = FOREIGN.get(sign, ("", "", ""))[1]
            self._say("E016" if spelling else "E017", f"`{sign}` cannot stand in a name", start + length, start + length + 1, "",
                      f"write `{spelling}`" if spelling else "use letters, digits and `_`",
                      Fix(Span(self.source, start + length, start + length + 1), spelling) if spelling else None)
            text = text[:length] or "_"
        return unicodedata.normalize("NFKC", text), end

    def _say(self, code: str, message: str, start: int, end: int, label: str = "", advice: str = "", fix: Fix | None = None,
             labels: tuple[Label, ...] = ()) -> None:
        if len(self.tokens.diagnostics) < MAXIMUM_DIAGNOSTICS:
            span = Span(self.source, start, end)
            self.tokens.diagnostics.append(Diagnostic(code, message, span, label, labels, (advice,) if advice else (), fix))


def _spaces(count: int) -> str:
    return "1 space" if count == 1 else f"{count} spaces"
