"""``snn fmt``: the one way to lay out a file; comments are kept and the meaning never changes."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence

import click

from snnlang.cli.check import expand
from snnlang.cli.screen import count, note, say, show_diagnostics
from snnlang.diagnostics import SnnError, Source


@click.command("fmt", short_help="Lay files out the one way; comments stay.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit with 1 if a file would change.")
@click.option("--diff", "show_diff", is_flag=True, help="Change nothing; print what would change.")
def command(files: Sequence[str], only_check: bool, show_diff: bool) -> int:
    """Format files in place; '-' reads standard input and writes standard output.

    Formatting twice changes nothing more, and a file with a syntax error is left as it is.

    \b
    Examples:
      snn fmt mine.snn
      snn fmt --check examples/
      snn fmt --diff mine.snn
      cat mine.snn | snn fmt -
    """
    failed = changed = 0
    names = expand(files)
    for name in names:
        try:
            source = read(name)
            text = formatted(source)
        except SnnError as problem:
            show_diagnostics(problem.diagnostics)
            failed += 1
            continue
        if name == "-" and not only_check and not show_diff:
            sys.stdout.write(text)
            continue
        if text == source.text:
            continue
        changed += 1
        if show_diff:
            sys.stdout.write(difference(source.text, text, name))
        if only_check and not show_diff:
            say(f"would reformat {name}")
        if not only_check and not show_diff:
            from snnlang.files import write_text

            write_text(name, text)
            say(f"formatted {name}")
    if names != ["-"] and not failed and not changed and not show_diff:
        say(f"{count(len(names), 'file')} already formatted")
    if failed:
        note(f"{count(failed, 'file')} not formatted")
    return int(failed > 0 or ((only_check or show_diff) and changed > 0))


def read(name: str) -> Source:
    """A file, or standard input for ``-``."""
    from snnlang.syntax.parse import read_source

    if name == "-":
        return Source("<stdin>", sys.stdin.read())
    return read_source(name)


def formatted(source: Source) -> str:
    """The text as it should stand; raises what the parser found."""
    from snnlang.syntax.format import format_file
    from snnlang.syntax.parse import parse

    return format_file(parse(source))


def difference(before: str, after: str, name: str) -> str:
    """A unified diff, every line ended."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, f"{name} (formatted)", lineterm="")
    return "".join(line + "\n" for line in lines)
