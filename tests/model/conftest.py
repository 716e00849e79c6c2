"""Check a text as a user's file would be, without touching the disk."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from snnlang.diagnostics import Collector, Diagnostic, Source
from snnlang.model.check import check
from snnlang.model.library import Library
from snnlang.model.model import Program
from snnlang.syntax.parse import parse_recovering

LIBRARY = Library()


def check_text(text: str, name: str = "model.snn") -> tuple[Program, list[Diagnostic]]:
    """The program a text means, and everything found in it."""
    collector = Collector()
    file, diagnostics = parse_recovering(Source(name, text))
    assert file is not None
    for diagnostic in diagnostics:
        collector.add(diagnostic)
    program = check(file, LIBRARY, collector)
    return program, list(collector)


@pytest.fixture(name="checked")
def _checked() -> Callable[..., tuple[Program, list[Diagnostic]]]:
    return check_text
