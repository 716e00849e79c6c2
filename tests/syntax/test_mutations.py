"""Ten thousand spoilt programs: each gives a tree or diagnostics that point into the text, quickly, and never a traceback."""

from __future__ import annotations

import os
import random
import re
import time
from pathlib import Path

import pytest

from snnlang.diagnostics import Source, render
from snnlang.syntax.format import format_file
from snnlang.syntax.parse import parse_recovering

HERE = Path(__file__).parent
TEXTS = [(HERE / "whole_language.snn").read_text(encoding="utf-8"), (HERE / "corners.snn").read_text(encoding="utf-8")]
ITEMS = [item for text in TEXTS for item in re.split(r"\n(?=neuron|synapse|network|simulate|kernel|train)", text)]
TOKENS = re.compile(r"\w+|\s+|[^\w\s]")
CASES = int(os.environ.get("SNN_CASES", "2000")) * 5
SIGNS = "()[]{}:=,.+-*/^<>\"'#\t\n \\;&|!@%~`$?0123456789abnvµτ\u00a0\ufeff\x00\u200b−→²"
WORDS = ["neuron", "param", "state", "on", "if", "else", "when", "spike", "deliver", "in", "for", "and", "->", "==", "**", "\n", "\n    ",
         "\n        ", ":", "20 ms", "1/ms", "dv/dt", "(", ")", "[", "]", '"', "not", "with", "every", "override", "connect", "via"]


def spoil_bytes(text: str, chance: random.Random) -> str:
    data = bytearray(text.encode("utf-8"))
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(3):
            case 0:
                del data[place : place + chance.randint(1, 4)]
            case 1:
                data[place:place] = chance.choice(SIGNS).encode("utf-8")
            case _:
                data[place : place + 1] = bytes([chance.randrange(256)])
    return data.decode("utf-8", "replace")


def spoil_tokens(text: str, chance: random.Random) -> str:
    tokens = TOKENS.findall(text)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(tokens))
        match chance.randrange(4):
            case 0:
                del tokens[place]
            case 1:
                tokens.insert(place, tokens[chance.randrange(len(tokens))])
            case 2:
                other = chance.randrange(len(tokens))
                tokens[place], tokens[other] = tokens[other], tokens[place]
            case _:
                tokens[place] = chance.choice(WORDS)
        if not tokens:
            return ""
    return "".join(tokens)


@pytest.mark.parametrize("seed", range(10))
def test_spoilt_programs_give_diagnostics(seed: int) -> None:
    chance = random.Random(seed)
    for number in range(CASES // 10):
        item = chance.choice(ITEMS)
        text = (spoil_bytes if number % 2 else spoil_tokens)(item, chance)
        check(text)


@pytest.mark.parametrize("seed", range(3))
def test_spoilt_whole_files_give_diagnostics(seed: int) -> None:
    chance = random.Random(1000 + seed)
    for number in range(CASES // 1000):
        check((spoil_bytes if number % 2 else spoil_tokens)(chance.choice(TEXTS), chance))


def check(text: str) -> None:
    begin = time.process_time()
    try:
        file, diagnostics = parse_recovering(Source("spoilt.snn", text))
        shown = [render(diagnostic) for diagnostic in diagnostics]
        assert file is not None or diagnostics
        assert len(diagnostics) <= 10
        assert all(re.match(r"error\[E0\d\d\]: \S", line) for line in shown)
        assert all(d.span is not None and 0 <= d.span.start <= d.span.end <= len(text) for d in diagnostics)
        if file is not None and not diagnostics:
            again, none = parse_recovering(Source("printed.snn", format_file(file)))
            assert again == file, none
    except Exception as problem:
        raise AssertionError(f"{problem!r} on\n{text}") from problem
    assert time.process_time() - begin < 1, text


@pytest.mark.parametrize("text", ["(" * 5000, "[" * 5000 + "1" + "]" * 5000, "x = " + "-" * 5000 + "1", "x = " + "a+" * 5000 + "a",
                                  "x = " + "a^" * 5000 + "a", "x = " + "not " * 5000 + "a", "x = " + "a if b else " * 5000 + "a",
                                  "".join("    " * i + "if a:\n" for i in range(300)), "\n" * 5000, "x" * 100_000, '"' * 5000,
                                  "'" * 5001, ")" * 5000, "a " * 5000, "#" * 5000, "\t" * 5000 + "x", "dv/dt" * 2000])
def test_absurd_lines(text: str) -> None:
    indented = text if text.startswith("    if") or "if a:" in text else f"    {text}"
    check(f"neuron N:\n    on spike:\n    {indented}\n" if "if a:" not in text else
          "neuron N:\n    on spike:\n" + "".join("        " + line + "\n" for line in text.splitlines()))
    check(f"neuron N:\n{indented}\n")
    check(text)
