"""Help, usage errors and exit codes of every command."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from snnlang import SnnError, __version__
from snnlang.cli import program as program_module
from snnlang.cli import screen
from snnlang.cli.program import COMMANDS
from snnlang.diagnostics import Diagnostic, Label, Source, Span

from .conftest import Snn


def test_version(snn: Snn) -> None:
    assert snn("--version").out.strip() == f"snn {__version__}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(snn: Snn, name: str) -> None:
    outcome = snn(name, "--help")
    assert outcome.code == 0
    assert f"Usage: snn {name}" in outcome.out
    assert "Examples:" in outcome.out
    assert f"\n    snn {name}" in outcome.out


def test_help_lists_every_command(snn: Snn) -> None:
    outcome = snn("--help")
    assert outcome.code == 0
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", outcome.out, re.MULTILINE)
    assert "..." not in outcome.out.split("Commands:")[1], "a short help is cut"


def test_unknown_command_names_the_nearest(snn: Snn) -> None:
    outcome = snn("chekc")
    assert outcome.code == 2
    assert "Did you mean 'check'?" in outcome.err


def test_file_instead_of_command(snn: Snn, good: Path) -> None:
    outcome = snn(str(good))
    assert outcome.code == 2
    assert f"snn run {good}" in outcome.err


def test_unknown_option_names_the_nearest(snn: Snn, good: Path) -> None:
    outcome = snn("run", str(good), "--durations", "1s")
    assert outcome.code == 2
    assert "--duration" in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("check",),
        ("fmt",),
        ("show",),
        ("explain",),
        ("run",),
        ("compile",),
        ("new",),
        ("run", "f.snn", "--seed", "x"),
        ("run", "f.snn", "--seed", "-1"),
        ("run", "f.snn", "--method", "magic"),
        ("run", "f.snn", "--precision", "float16"),
        ("run", "f.snn", "--target", "abacus"),
        ("show", "f.snn", "--stage", "nothing"),
        ("show", "f.snn", "--stage", "numpy", "--latex"),
        ("compile", "f.snn"),
        ("run", "f.snn", "one", "two"),
    ],
)
def test_wrong_usage_is_exit_code_2(snn: Snn, arguments: tuple[str, ...]) -> None:
    assert snn(*arguments).code == 2


def test_a_mistake_of_ours_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNN_DEBUG", raising=False)

    def fail(**_: object) -> None:
        raise RuntimeError("wires crossed\nsecond line")

    monkeypatch.setattr(program_module.program, "get_command", lambda *_: click.Command("check", callback=fail))
    assert program_module.run(["check"]) == 1
    err = capsys.readouterr().err
    assert "wires crossed" in err
    assert "report" in err
    assert "Traceback" not in err
    assert program_module.run(["--debug", "check"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (KeyboardInterrupt(), 130),
        (MemoryError(), 1),
        (SnnError(Diagnostic("E001", "no")), 1),
        (BrokenPipeError(), 0),
        (RecursionError("deep"), 1),
    ],
)
def test_exit_codes(
    problem: BaseException, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise problem

    monkeypatch.setattr(program_module.program, "get_command", lambda *_: click.Command("check", callback=fail))
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert program_module.run(["check"]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_machine_without_memory_left(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(program_module.program, "get_command", lambda *_: click.Command("check", callback=fail))
    assert program_module.run(["check"]) == 1
    assert capsys.readouterr().err == (
        "error[E805]: the memory of this machine is not enough\n"
        "  = help: make the network smaller, record less, or use --precision float32\n\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message", "help"),
    [
        (("models", "LIFF"), "there is no model 'LIFF' in the standard library", "did you mean 'LIF'?"),
        (
            ("show", "good.snn", "--stage", "tree", "--model", "Cel"),
            "there is no item 'Cel' in good.snn",
            "did you mean 'Cell'?",
        ),
    ],
)
def test_there_is_nothing_of_that_name(
    snn: Snn, good: Path, arguments: tuple[str, ...], message: str, help: str
) -> None:
    outcome = snn(*arguments)
    assert outcome.code == 1
    assert outcome.err == f"error[E804]: {message}\n  = help: {help}\n\n"


def test_colours_only_where_they_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert screen.has_colour(Terminal())
    assert not screen.has_colour(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not screen.has_colour(Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not screen.has_colour(Terminal())


def test_colours_change_nothing_but_colour() -> None:
    source = Source("f.snn", "const a = 1 mV\nconst b = a - 1 ms  # - x\n")
    diagnostic = Diagnostic(
        "E201",
        "adding mV and ms",
        Span(source, 25, 33),
        "here",
        (Label(Span(source, 10, 14), "mV"),),
        ("convert one",),
    )
    plain = screen.diagnostic_text(diagnostic)
    coloured = screen.diagnostic_text(diagnostic, True)
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
    assert "\x1b[1;31merror[E201]" in coloured
    assert "\x1b[1;31m^^^^" in coloured


def test_control_characters_never_reach_the_terminal() -> None:
    source = Source("f.snn", "const \x1b[31m = 1\n")
    assert "\x1b" not in screen.diagnostic_text(Diagnostic("E010", "odd \x07", Span(source, 6, 7)))


def test_module_and_script_are_the_same() -> None:
    done = subprocess.run([sys.executable, "-m", "snnlang", "--version"], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == f"snn {__version__}"


@pytest.mark.parametrize(("given", "expected"), [(None, "22"), ("9", "9")])
def test_threads_of_blas_are_told_to_sleep_before_they_are_made(given: str | None, expected: str) -> None:
    text = (
        "import atexit, os, sys\n"
        "from snnlang.cli import main\n"
        "assert 'numpy' not in sys.modules\n"
        "atexit.register(lambda: print(os.environ['OPENBLAS_THREAD_TIMEOUT']))\n"
        "sys.argv = ['snn', '--version']\n"
        "main()\n"
    )
    variables = {name: value for name, value in os.environ.items() if name != "OPENBLAS_THREAD_TIMEOUT"}
    variables |= {} if given is None else {"OPENBLAS_THREAD_TIMEOUT": given}
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False, env=variables)
    assert done.stdout.split()[-1] == expected, done.stderr


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    """``snn --help | true``: the reader leaves before we write."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "snnlang", "--help"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode == 0


def test_a_full_disk_and_a_closed_output_give_one_line(tmp_path: Path) -> None:
    for redirection, expected in ((">/dev/full", 1), (">&-", 0)):
        finished = subprocess.run(
            f"{sys.executable} -m snnlang models {redirection}",
            shell=True,
            text=True,
            capture_output=True,
            cwd=tmp_path,
        )
        assert finished.returncode == expected
        assert "internal error" not in finished.stderr
        assert "Traceback" not in finished.stderr
        assert ("E801" in finished.stderr) == (expected == 1)
