"""Terminals in human words, and the nearest right word to a wrong one."""

from __future__ import annotations

from collections.abc import Iterable

from snnlang.syntax.lex import UNIT_NAMES
from snnlang.syntax.table import Table

_OPERANDS = ("NUMBER", "QUANTITY", "DERIVATIVE", "LPAR", "LSQB", "STRING", "MINUS", "NOT", "NAME")
_OPERATORS = ("STAR", "SLASH", "PLUS", "MINUS", "_POWER", "COMPARE", "AND", "OR", "CROSSES", "IF")
_CONTINUATIONS = ("LPAR", "LSQB", "DOT")
_SIGNS = {
    "COLON": "`:`", "EQUAL": "`=`", "COMMA": "`,`", "_ARROW": "`->`", "RPAR": "`)`", "RSQB": "`]`", "LPAR": "`(`", "LSQB": "`[`",
    "DOT": "`.`", "AUGMENT": "`+=`", "_NL": "the end of the line", "_INDENT": "an indented block", "STRING": "a text in quotes",
    "NAME": "a name", "NUMBER": "a number", "DOTS": "`.`", "QUANTITY": "a quantity",
}
_DESCRIPTIONS = {
    "NUMBER": "the number", "QUANTITY": "the quantity", "STRING": "the text", "DERIVATIVE": "the derivative",
}
# What people write for units elsewhere.
_UNIT_SYNONYMS = {
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "msec": "ms", "msecs": "ms", "millisecond": "ms", "milliseconds": "ms",
    "usec": "us", "volt": "V", "volts": "V", "millivolt": "mV", "millivolts": "mV", "amp": "A", "ampere": "A", "amps": "A",
    "nanoamp": "nA", "picoamp": "pA", "hertz": "Hz", "kilohertz": "kHz", "siemens": "S", "nsiemens": "nS", "msiemens": "mS",
    "farad": "F", "pfarad": "pF", "ufarad": "uF", "nfarad": "nF", "metre": "m", "meter": "m", "mohms": "MOhm", "megohm": "MOhm",
    "ohms": "Ohm", "gohms": "GOhm",
}


def describe_token(kind: str, text: str) -> str:
    """What was found, for the head of a message."""
    if kind in ("_NL", "$END", "_DEDENT"):
        return "the end of the line" if kind == "_NL" else "the end of the block"
    if kind == "_INDENT":
        return "an indented block"
    shown = text if len(text) <= 40 else text[:37] + "…"
    if kind in _DESCRIPTIONS:
        return f"{_DESCRIPTIONS[kind]} {shown}"
    return f"`{shown}`"


def describe_choices(kinds: Iterable[str], table: Table) -> str:
    """At most four things that could stand here, in words: "`when`, `with` or a value"."""
    left = list(dict.fromkeys(kinds))
    words: list[str] = []
    operand = "NUMBER" in left
    operator = "STAR" in left
    if operand:
        left = [kind for kind in left if kind not in _OPERANDS]
    if operator:
        left = [kind for kind in left if kind not in _OPERATORS and kind not in _CONTINUATIONS]
    elif "DOT" in left and len(left) > 3:
        left = [kind for kind in left if kind not in _CONTINUATIONS]
    words += [text for kind, text in _SIGNS.items() if kind in left]
    words += [f"`{word}`" for word, kind in table.keywords.items() if kind in left]
    if operand:
        words.insert(0, "a value")
    if operator:
        words.append("an operator")
    if len(words) > 4:
        words = [*words[:3], "…"]
        return ", ".join(words)
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1] if words else ""


def nearest(word: str, candidates: Iterable[str]) -> str:
    """The candidate one or two slips away from ``word``, or ""."""
    choices = sorted(candidates)
    folded = word.casefold()
    for candidate in choices:
        if folded == candidate.casefold() or (len(candidate) > 3 and folded in (candidate + "s", candidate + "es")):
            return candidate
    if len(word) < 2:
        return ""
    allowed = 1 if len(word) <= 4 else 2
    best = min(choices, key=lambda candidate: _slips(folded, candidate), default="")
    return best if best and len(best) > 2 and _slips(folded, best) <= allowed else ""


def nearest_unit(word: str) -> str:
    """The unit that ``word`` was probably meant to be, or ""."""
    if word.casefold() in _UNIT_SYNONYMS:
        return _UNIT_SYNONYMS[word.casefold()]
    for unit in UNIT_NAMES:
        if len(unit) > 1 and unit.casefold() == word.casefold():
            return unit
    if not 2 <= len(word) <= 4 or "_" in word:
        return ""
    close = [unit for unit in _COMMON_UNITS if unit[0] == word[0] and _slips(word, unit) == 1]
    return close[0] if close else ""


_COMMON_UNITS = ("ms", "mV", "nA", "pA", "nS", "pF", "uF", "Hz", "kHz", "Ohm", "MOhm", "GOhm", "um", "mm", "cm", "us", "uA", "mS", "uS")


def _slips(word: str, other: str) -> int:
    """How many letters must be changed, added, dropped or exchanged with a neighbour."""
    before_last: list[int] = []
    last = list(range(len(other) + 1))
    for i, letter in enumerate(word, 1):
        row = [i]
        for j, wanted in enumerate(other, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and word[i - 2] == wanted:
                cost = min(cost, before_last[j - 2] + 1)
            row.append(cost)
        before_last, last = last, row
    return last[-1]
