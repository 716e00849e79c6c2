"""The documents are true: the index of diagnostics is made from the pages, pages have a form, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "snnlang" / "pages").glob("*.md"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def script() -> ModuleType:
    path = ROOT / "docs" / "make_diagnostics.py"
    spec = importlib.util.spec_from_file_location("make_diagnostics", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_index_of_diagnostics_is_up_to_date() -> None:
    written = (ROOT / "docs" / "diagnostics.md").read_text(encoding="utf-8")
    assert written == script().index(), "run: python docs/make_diagnostics.py"


@pytest.mark.parametrize("path", PAGES, ids=[path.stem for path in PAGES])
def test_form_of_a_page(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    assert re.fullmatch(rf"# {path.stem}: \S.*[^.]", lines[0]), lines[0]
    assert lines[1] == ""
    assert 5 <= len(lines) <= 60


def test_every_code_in_the_source_has_a_page() -> None:
    known = {path.stem for path in PAGES}
    missing = set()
    for place in ("snnlang", "codegen"):
        for module in (ROOT / place).rglob("*.py"):
            for code in re.findall(r"[\"']([EW]\d{3})[\"']", module.read_text(encoding="utf-8")):
                if code not in known:
                    missing.add(f"{code} ({module.relative_to(ROOT)})")
    assert sorted(missing) == []


def test_every_page_has_a_code_in_the_source() -> None:
    modules = [module for place in ("snnlang", "codegen") for module in sorted((ROOT / place).rglob("*.py"))]
    text = "\n".join(module.read_text(encoding="utf-8") for module in modules)
    assert [path.stem for path in PAGES if path.stem not in text] == []


def test_every_code_is_proven() -> None:
    """Each code is named by a wrong program with its expected text, or by a test."""
    tests = ROOT / "tests"
    named: set[str] = set()
    for file in [*sorted(tests.rglob("*.py")), *sorted((tests / "model" / "bad").glob("*.txt"))]:
        named.update(re.findall(r"\b[EW]\d{3}\b", file.read_text(encoding="utf-8")))
    unproven = [path.stem for path in PAGES if path.stem not in named]
    assert unproven == [], "write tests/model/bad/CODE_slug.snn, or a test that names the code"


@pytest.mark.parametrize("path", DOCUMENTS, ids=[path.name for path in DOCUMENTS])
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "#")):
            continue
        place = target.split("#")[0]
        assert (path.parent / place).exists(), f"{path.name} links to {target}"


def test_architecture_names_every_module() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for place in ("snnlang", "codegen"):
        for module in sorted((ROOT / place).rglob("*.py")):
            if module.name != "__init__.py":
                assert f"- `{module.name}`: " in text, f"run: python docs/make_rooms.py ({module.name} is missing)"
    for name in re.findall(r"^- `(\w+\.py)`: ", text, re.MULTILINE):
        assert any(list((ROOT / place).rglob(name)) for place in ("snnlang", "codegen")), (
            f"{name} is gone: docs/make_rooms.py"
        )


def test_reserved_words_of_the_reference() -> None:
    from snnlang.syntax.words import RESERVED, RESERVED_IN_MODELS

    text = (ROOT / "docs" / "language.md").read_text(encoding="utf-8").split("## 13. Words")[1]
    everywhere, inside = re.findall(r": `([\w\s]+)`\.", text)
    assert set(everywhere.split()) == RESERVED
    assert set(inside.split()) == RESERVED_IN_MODELS


def test_functions_and_methods_of_the_reference() -> None:
    from snnlang.model.expression import FUNCTIONS
    from snnlang.model.patterns import PATTERNS
    from snnlang.model.recording import PLOTS
    from snnlang.model.settings import METHODS, SETTINGS
    from snnlang.model.typed import DRAWS
    from snnlang.model.units import UNITS

    text = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    for names in (FUNCTIONS, PATTERNS, PLOTS, METHODS, SETTINGS, DRAWS):
        for name in names:
            assert re.search(rf"\b{name}\b", text), f"docs/language.md does not name {name}"
    rows = re.findall(r"^\| \w+ \| (.*) \| ([a-zA-Z ]+) \|$", text, re.MULTILINE)
    written = set()
    for names, prefixes in rows:
        for name in re.findall(r"`(V|A|s|Hz|S|Ohm|ohm|Ω|F|C|m|mol|L)`", names):
            written |= {name, *(f"{prefix}{name}" for prefix in prefixes.split())}
    assert {name for name in UNITS if "µ" not in name and "μ" not in name} == written
