"""The grammar is free of conflicts, lark itself accepts the examples, and the cached table is safe."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from lark import Lark
from lark.indenter import Indenter

import snnlang
from snnlang.diagnostics import Source
from snnlang.model.units import UNITS
from snnlang.syntax import table, tree
from snnlang.syntax.lex import UNIT_NAMES
from snnlang.syntax.parse import parse, parse_expression
from snnlang.syntax.words import BUILT_IN, CONNECTING, RESERVED, RESERVED_IN_MODELS

WHOLE = Path(__file__).parent / "whole_language.snn"
LIBRARY = sorted((Path(snnlang.__file__).parent / "stdlib").rglob("*.snn"))


class Lines(Indenter):
    NL_type = "_NL"
    OPEN_PAREN_types = ["LPAR", "LSQB"]  # noqa: RUF012
    CLOSE_PAREN_types = ["RPAR", "RSQB"]  # noqa: RUF012
    INDENT_type = "_INDENT"
    DEDENT_type = "_DEDENT"
    tab_len = 8


def test_no_conflicts_and_lark_agrees() -> None:
    grammar = table.GRAMMAR.read_text(encoding="utf-8")
    lark = Lark(grammar, parser="lalr", lexer="contextual", start=list(table.STARTS), postlex=Lines(), strict=True)
    for path in (WHOLE, *LIBRARY):
        text = path.read_text(encoding="utf-8")
        lark.parse(text, start="start")
        parse(Source(path.name, text))


def test_every_keyword_is_spelt_out() -> None:
    keywords = set(table.load_table().keywords)
    assert keywords >= CONNECTING - {"not"} - BUILT_IN
    assert keywords >= RESERVED - BUILT_IN
    assert not RESERVED & RESERVED_IN_MODELS
    assert CONNECTING <= RESERVED
    assert BUILT_IN <= RESERVED


def test_unit_names_agree_with_the_table_of_units() -> None:
    assert set(UNIT_NAMES) == set(UNITS)


@pytest.mark.parametrize("name", UNIT_NAMES)
def test_every_unit_name_is_read_as_one(name: str) -> None:
    for text, expected in ((f"2 {name}", ((name, 1),)), (f"2/{name}", ((name, -1),)), (f"2 mV/{name}^2", (("mV", 1), (name, -2)))):
        literal = parse_expression(text, "made")
        assert isinstance(literal, tree.Quantity)
        assert tuple((factor.name, factor.exponent) for factor in literal.unit) == expected


def test_the_shipped_table_is_that_of_the_grammar() -> None:
    """After a change of ``snn.lark``: ``python -m snnlang.syntax.table``."""
    assert table.SHIPPED.read_text(encoding="utf-8") == table.table_text(table.GRAMMAR.read_text(encoding="utf-8"))


def fresh(tmp_path: Path, code: str, *, shipped: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process that loads the table; not ``shipped``: as if the grammar were under work."""
    script = "import sys; from pathlib import Path; from snnlang.syntax import table; from snnlang.syntax.table import load_table;"
    if not shipped:
        script += "table.SHIPPED = Path('/nowhere/table.json');"
    return subprocess.run([sys.executable, "-c", f"{script} load_table(); {code}"], text=True, capture_output=True, timeout=60,
                          check=False, env={"PATH": "", "HOME": str(tmp_path), **environment})


def cached(folder: Path) -> Path:
    (found,) = (folder / "snnlang" / "grammar").iterdir()
    return found


def test_the_shipped_table_needs_no_lark_and_no_cache(tmp_path: Path) -> None:
    assert fresh(tmp_path, "print('lark' in sys.modules)", shipped=True).stdout == "False\n"
    assert list(tmp_path.iterdir()) == []


def test_the_warm_table_needs_no_lark(tmp_path: Path) -> None:
    assert fresh(tmp_path, "print('lark' in sys.modules)").stdout == "True\n"
    assert cached(tmp_path / ".cache").suffix == ".json"
    assert fresh(tmp_path, "print('lark' in sys.modules)").stdout == "False\n"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'{"identity": 3}', b"[]"])
def test_a_spoilt_cache_is_made_anew(tmp_path: Path, content: bytes) -> None:
    fresh(tmp_path, "", XDG_CACHE_HOME=str(tmp_path))
    path = cached(tmp_path)
    good = path.read_bytes()
    path.write_bytes(content)
    assert fresh(tmp_path, "print(len(load_table().rows) > 100)", XDG_CACHE_HOME=str(tmp_path)).stdout == "True\n"
    assert path.read_bytes() == good


def test_a_table_of_another_grammar_is_not_taken(tmp_path: Path) -> None:
    """Neither from the cache nor from the package."""
    fresh(tmp_path, "", XDG_CACHE_HOME=str(tmp_path))
    path = cached(tmp_path)
    good = path.read_text(encoding="utf-8")
    other = json.dumps({**json.loads(good), "identity": "another"})
    path.write_text(other, encoding="utf-8")
    fresh(tmp_path, "", XDG_CACHE_HOME=str(tmp_path))
    assert path.read_text(encoding="utf-8") == good
    (tmp_path / "table.json").write_text(other, encoding="utf-8")
    code = f"table.SHIPPED = Path({str(tmp_path / 'table.json')!r}); load_table.cache_clear(); print(len(load_table().rows) > 100)"
    assert fresh(tmp_path, code, XDG_CACHE_HOME=str(tmp_path)).stdout == "True\n"


def test_no_cache_directory_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = fresh(tmp_path, "print(1)", XDG_CACHE_HOME=str(tmp_path / "file"))
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_processes_that_race_leave_one_whole_file(tmp_path: Path) -> None:
    script = "from pathlib import Path; from snnlang.syntax import table; table.SHIPPED = Path('/nowhere'); table.load_table()"
    environment = {"PATH": "", "HOME": str(tmp_path)}
    running = [subprocess.Popen([sys.executable, "-c", script], env=environment) for _ in range(3)]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    json.loads(cached(tmp_path / ".cache").read_text(encoding="utf-8"))
