"""Wrong programs and the exact text a user gets for each.

Every ``bad/CODE_slug.snn`` has its expected text beside it; ``SNN_REWRITE=1`` writes it anew, to be read before it is kept.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import snnlang
from snnlang.compile import check_path
from snnlang.diagnostics import render

BAD = Path(__file__).parent / "bad"
PROGRAMS = sorted(BAD.glob("*.snn"))
PAGES = Path(snnlang.__file__).parent / "pages"


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_message(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    _, found = check_path(path.name)
    text = "\n\n".join(map(render, found)) + "\n"
    expected = path.with_suffix(".txt")
    if os.environ.get("SNN_REWRITE"):
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")
    code = path.stem.split("_")[0]
    assert code in {diagnostic.code for diagnostic in found}
    for diagnostic in found:
        assert (PAGES / f"{diagnostic.code}.md").is_file()


def test_every_expected_text_has_its_program() -> None:
    assert [path for path in sorted(BAD.glob("*.txt")) if not path.with_suffix(".snn").exists()] == []


def test_pages_are_titled() -> None:
    for page in sorted(PAGES.glob("*.md")):
        lines = page.read_text(encoding="utf-8").splitlines()
        assert re.match(rf"# {page.stem}: \S", lines[0]), page.name
        assert 4 <= len(lines) <= 40, page.name
