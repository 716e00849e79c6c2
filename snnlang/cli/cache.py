"""``snn cache``: what is kept from earlier runs, how much and how old, and how to be rid of it."""

from __future__ import annotations

import time

import click

from snnlang.cli.screen import count, note, say

#: What the kinds of entries are, for people.
KINDS = {"grammar": "tables of the parser", "prepared": "checked experiments", "native": "compiled models"}


@click.group("cache", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> int | None:
    """List or clear what snn keeps from earlier runs.

    Compiled models, checked experiments and the parser's tables are kept in a private folder, so that they are made once. All of it can
    be made again at any time. The folder is SNN_CACHE_DIR where that is set.

    \b
    Examples:
      snn cache
      snn cache path
      snn cache clear
    """
    return listed() if ctx.invoked_subcommand is None else None


@command.command("list")
def list_command() -> int:
    """List what is kept, with sizes and ages (the same as 'snn cache')."""
    return listed()


@command.command("path")
def path_command() -> int:
    """Print the folder."""
    from snnlang import cache

    place = cache.folder()
    if place is None:
        note("there is no folder that is private and can be written to; name one with SNN_CACHE_DIR")
        return 1
    say(str(place))
    return 0


@command.command("clear")
def clear_command() -> int:
    """Remove everything that is kept."""
    from snnlang import cache

    number, size = cache.clear()
    say(f"removed {count(number, 'file')}, {bytes_text(size)}")
    return 0


def listed() -> int:
    """Print every entry, the latest used first within a kind, and the sums."""
    from snnlang import cache

    place = cache.folder()
    if place is None:
        note("nothing is kept: there is no folder that is private and can be written to; name one with SNN_CACHE_DIR")
        return 0
    entries, now = cache.entries(), time.time()
    say(f"{place}: {count(len(entries), 'file')}, {bytes_text(sum(entry.size for entry in entries))}")
    for kind in dict.fromkeys(entry.kind for entry in entries):
        found = sorted((entry for entry in entries if entry.kind == kind), key=lambda entry: -entry.used)
        total = bytes_text(sum(entry.size for entry in found))
        say(f"\n{kind}: {KINDS.get(kind, 'entries')}, {count(len(found), 'file')}, {total}")
        for entry in found:
            stem, dot, suffix = entry.name.partition(".")
            say(f"  {stem[:16]}{dot}{suffix:<8} {bytes_text(entry.size):>9}   used {age_text(now - entry.used)} ago")
    return 0


def bytes_text(size: float) -> str:
    """``512 B``, ``14.2 kB``."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def age_text(seconds: float) -> str:
    """``40 s``, ``3 hours``."""
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return count(int(seconds // size), unit)
    return f"{max(0, int(seconds))} s"
