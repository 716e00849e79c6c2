"""Tables of text: aligned, ruled, never too wide."""

from __future__ import annotations

from snnlang.runtime.columns import columns


def test_aligned() -> None:
    assert columns(("name", "unit", "count"), [("E.v", "mV", "1,000"), ("input", "1", "7")], left=2) == [
        " name    unit   count",
        " ────────────────────",
        " E.v     mV     1,000",
        " input   1          7",
    ]


def test_a_long_name_is_broken() -> None:
    lines = columns(("name", "count"), [("a" * 25, "12"), ("b", "3")], width=24)
    assert max(map(len, lines)) == 24
    assert lines[2:] == [" " + "a" * 15 + "      12", " " + "a" * 10, " b" + " " * 14 + "       3"]
