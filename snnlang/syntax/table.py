"""The parse table: built by lark from ``snn.lark``, kept in a cache, and loaded without importing lark.

lark proves the grammar LALR(1) and computes the table in about half a second; a table that is already known is read in a
few milliseconds. The cache file is plain JSON below the user's cache directory, which names the grammar and the version of
lark it was made from; it is written under a temporary name and renamed, and a place that cannot be written is no error.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import zlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

GRAMMAR = Path(__file__).with_name("snn.lark")
STARTS = ("start", "expression_only")
_FORMAT = 2  # of the cached file; a change of anything below that alters its meaning counts it up


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
    """The table of the shipped grammar, from the cache if it is there."""
    grammar = GRAMMAR.read_text(encoding="utf-8")
    path = _cache_path(grammar)
    if path is not None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, IndexError):
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["identity"] == _identity(grammar):
                return _decode(data)
    data = {"identity": _identity(grammar), **build_table(grammar)}
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    if path is not None:
        _store(path, text)
    return _decode(json.loads(text))


def cache_directory() -> Path | None:
    """Where the table is kept: ``$XDG_CACHE_HOME/snnlang`` or the platform's like; None where there is no home."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if named and os.path.isabs(named):
        return Path(named) / "snnlang"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "snnlang" / "Cache"
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "snnlang"


def _cache_path(grammar: str) -> Path | None:
    directory = cache_directory()
    if directory is None:
        return None
    return directory / f"grammar-{zlib.crc32(_identity(grammar).encode()):08x}.json"


def _identity(grammar: str) -> str:
    """What a table depends on; kept in the cached file and compared, so that its short name need not be unique."""
    return f"{_FORMAT}\n{_lark_version()}\n{grammar}"


def _lark_version() -> str:
    """What lark says its version is, read from its text: importing it, or the packages' metadata, would cost more."""
    spec = find_spec("lark")
    if spec is None or spec.origin is None:
        return "?"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        match = re.search(r"__version__[^=]*=\s*(\S+)", Path(spec.origin).read_text(encoding="utf-8"))
        if match is not None:
            return match[1]
    return "?"


def _store(path: Path, text: str) -> None:
    """Write whole or not at all; processes that race write the same bytes."""
    import tempfile  # not needed where the cache is warm, and slow to import

    name = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".grammar-", dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except OSError:
        if name is not None:
            with contextlib.suppress(OSError):
                os.unlink(name)


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
        rows=tuple({intern(symbol): action for symbol, action in row.items()} for row in data["rows"]),
        gotos=tuple({intern(symbol): state for symbol, state in goto.items()} for goto in data["gotos"]),
        rules=tuple(
            Rule(intern(left), size, intern(action), tuple((position, splice) for position, splice in picks))
            for left, size, action, picks in data["rules"]
        ),
        starts=data["starts"],
        ends=data["ends"],
        keywords={intern(word): intern(terminal) for word, terminal in data["keywords"].items()},
        patterns=tuple((intern(name), text) for name, text in data["patterns"]),
    )
