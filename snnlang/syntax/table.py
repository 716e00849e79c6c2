"""The parse table: built by lark from ``snn.lark``, shipped as ``table.json``, and loaded without importing lark.

lark proves the grammar LALR(1) and computes the table in about half a second; the table that is shipped is read in a few milliseconds.
It names the grammar it was made from. For a grammar under work the table is computed and kept in the user's cache, and
``python -m snnlang.syntax.table`` writes it anew; a test compares what is shipped with what lark makes of the grammar.
"""

from __future__ import annotations

import contextlib
import json
import sys
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from snnlang import cache
from snnlang.frozen import dataclass

GRAMMAR = Path(__file__).with_name("snn.lark")
SHIPPED = Path(__file__).with_name("table.json")
STARTS = ("start", "expression_only")
_FORMAT = 3  # of the file; a change of anything below that alters its meaning counts it up


@dataclass(frozen=True, slots=True)
class Rule:
    """One production, ready to reduce: which of its ``size`` values are kept, and what is called with them.

    ``picks`` holds ``(position, splice)``, position -1 standing for an absent option; ``action`` is the name of the
    builder's method, "" for a rule that passes its single value on, "+" for a repetition.
    """

    left: str
    size: int
    action: str
    picks: tuple[tuple[int, bool], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """``rows[state]`` maps a terminal to the next state (>= 0) or to a rule (``~number``); ``gotos[state]`` a rule's name."""

    rows: tuple[dict[str, int], ...]
    gotos: tuple[dict[str, int], ...]
    rules: tuple[Rule, ...]
    starts: dict[str, int]
    ends: dict[str, int]
    keywords: dict[str, str]
    patterns: tuple[tuple[str, str], ...]


@lru_cache(maxsize=1)
def load_table() -> Table:
    """The table of the grammar that stands beside it: the shipped one, else one from the cache, else a new one."""
    grammar = GRAMMAR.read_text(encoding="utf-8")
    with contextlib.suppress(OSError):
        table = _read(SHIPPED.read_bytes(), grammar)
        if table is not None:
            return table
    key = cache.key(identity(grammar), grammar)
    table = _read(cache.read("grammar", key, ".json") or b"", grammar)
    if table is None:
        text = table_text(grammar)
        cache.write("grammar", key, text.encode(), ".json")
        table = _decode(json.loads(text))
    return table


def identity(grammar: str) -> str:
    """What a table depends on: this module's format and the grammar, by length and checksum."""
    data = grammar.encode()
    return f"{_FORMAT} {len(data)} {zlib.crc32(data):08x}"


def table_text(grammar: str) -> str:
    """The table as JSON, a line for each part and state."""
    parts = [f'"identity": {json.dumps(identity(grammar))}']
    for name, value in build_table(grammar).items():
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if isinstance(value, list):
            lines = ",\n".join(json.dumps(item, ensure_ascii=False, separators=(",", ":")) for item in value)
            text = f"[\n{lines}\n]"
        parts.append(f'"{name}": {text}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _read(data: bytes, grammar: str) -> Table | None:
    """A table from its file; None when it is of another grammar, or damaged."""
    with contextlib.suppress(ValueError, KeyError, TypeError, IndexError):
        found = json.loads(data)
        if found["identity"] == identity(grammar):
            return _decode(found)
    return None


def build_table(grammar: str) -> dict[str, Any]:
    """The table as plain lists and strings, computed by lark."""
    from lark import Lark
    from lark.indenter import Indenter
    from lark.parsers.lalr_analysis import Shift

    class Lines(Indenter):
        NL_type = "_NL"
        OPEN_PAREN_types = ["LPAR", "LSQB"]  # noqa: RUF012
        CLOSE_PAREN_types = ["RPAR", "RSQB"]  # noqa: RUF012
        INDENT_type = "_INDENT"
        DEDENT_type = "_DEDENT"
        tab_len = 8

    parser = Lark(grammar, parser="lalr", lexer="contextual", start=list(STARTS), postlex=Lines(), maybe_placeholders=True)
    table = parser.parser.parser._parse_table
    numbers = _in_order(table)
    rules: list[list[Any]] = []
    known: dict[Any, int] = {}
    rows: list[dict[str, int]] = []
    gotos: list[dict[str, int]] = []
    for state in numbers:
        row: dict[str, int] = {}
        goto: dict[str, int] = {}
        for symbol, (action, target) in sorted(table.states[state].items(), key=lambda item: item[0]):
            if action is not Shift:
                if target not in known:
                    known[target] = len(rules)
                    rules.append(_describe(target))
                row[symbol] = ~known[target]
            elif symbol.lstrip("_")[0].islower():
                goto[symbol] = numbers[target]
            else:
                row[symbol] = numbers[target]
        rows.append(row)
        gotos.append(goto)
    keywords, patterns = _terminals(parser.terminals, grammar)
    return {
        "rows": rows, "gotos": gotos, "rules": rules, "keywords": keywords, "patterns": patterns,
        "starts": {str(name): numbers[state] for name, state in sorted(table.start_states.items())},
        "ends": {str(name): numbers[state] for name, state in sorted(table.end_states.items())},
    }


def _in_order(table: Any) -> dict[int, int]:
    """New numbers for the states, in the order they are reached: lark's own differ from run to run."""
    numbers: dict[int, int] = {}
    waiting = [state for _, state in sorted(table.start_states.items())]
    for state in waiting:
        if state in numbers:
            continue
        numbers[state] = len(numbers)
        waiting.extend(target for _, (_, target) in sorted(table.states[state].items(), key=lambda item: item[0])
                       if isinstance(target, int))
    return numbers


def _describe(rule: Any) -> list[Any]:
    """A lark rule as ``[left, size, action, picks]``, with lark's own conventions of what is kept and spliced."""
    left, expansion, options = rule.origin.name, rule.expansion, rule.options
    absent = [0] * (len(expansion) + 1)
    if options.empty_indices:
        absent = [len(ones) for ones in "".join(str(int(b)) for b in options.empty_indices).split("0")]
    picks: list[list[Any]] = []
    for position, symbol in enumerate(expansion):
        picks += [[-1, False]] * absent[position]
        if options.keep_all_tokens or not (symbol.is_term and symbol.filter_out):
            picks.append([position, not symbol.is_term and symbol.name.startswith("_")])
    picks += [[-1, False]] * absent[len(expansion)]
    if left.startswith("_"):
        action = "+"
    elif options.expand1 and not rule.alias and len(picks) == 1 and picks[0][0] >= 0:
        action = ""
    else:
        action = rule.alias or left
    return [left, len(expansion), action, picks]


def _terminals(terminals: Any, grammar: str) -> tuple[dict[str, str], list[list[str]]]:
    """Keywords by their text, and every other terminal's pattern in the order the lexer must try them."""
    keywords: dict[str, str] = {}
    expressions: list[tuple[int, str, str]] = []
    operators: list[tuple[int, str, str]] = []
    for terminal in terminals:
        pattern = terminal.pattern
        if terminal.name in ("_NL", "_CONTINUED", "COMMENT") or terminal.name.startswith("__IGNORE"):
            continue
        if pattern.type == "str" and pattern.value.isidentifier():
            keywords[pattern.value] = terminal.name
        elif pattern.type == "str" or pattern.max_width <= 2:
            operators.append((-pattern.max_width, terminal.name, pattern.to_regexp()))
        else:
            expressions.append((-terminal.priority, terminal.name, pattern.to_regexp()))
    keywords = dict(sorted(keywords.items(), key=lambda item: grammar.find(f'"{item[0]}"')))
    return keywords, [[name, text] for _, name, text in (*sorted(expressions), *sorted(operators))]


def _decode(data: dict[str, Any]) -> Table:
    intern = sys.intern
    return Table(
        rows=tuple(data["rows"]),  # the reader of JSON makes equal keys one string
        gotos=tuple(data["gotos"]),
        rules=tuple(
            Rule(intern(left), size, intern(action), tuple((position, splice) for position, splice in picks))
            for left, size, action, picks in data["rules"]
        ),
        starts=data["starts"],
        ends=data["ends"],
        keywords={intern(word): intern(terminal) for word, terminal in data["keywords"].items()},
        patterns=tuple((intern(name), text) for name, text in data["patterns"]),
    )


if __name__ == "__main__":
    from snnlang.files import write_text

    write_text(SHIPPED, table_text(GRAMMAR.read_text(encoding="utf-8")))
