"""Writing files: whole or not at all, and never a surprise after a long run.

A result is written under a temporary name in the same directory and renamed when it is complete, so that no partial
file is ever seen under its final name. Whether a path can be written is asked before the work that fills it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from snnlang.diagnostics import SnnError, error


def refuse(path: str | os.PathLike[str], reason: str, option: str = "") -> SnnError:
    """The error for a path that cannot be written."""
    where = f"{option}: " if option else ""
    full = any(word in reason for word in ("space", "quota", "too large"))
    return error(
        "E801",
        f"{where}cannot write '{os.fspath(path)}': {reason}",
        help="make room there, or name a place on another disk; what was there before is as it was"
        if full
        else "name a file in a directory that exists and that you may write to",
    )


def require_writable(path: str | os.PathLike[str], option: str = "") -> Path:
    """Check that a file can be written at ``path``, and leave nothing behind; raises E801 if not.

    ``option`` is the command line option that named it, for the message.
    """
    import tempfile

    target = Path(path)
    directory = target.parent
    if target.is_dir():
        raise refuse(path, "it is a directory", option)
    if not directory.exists():
        raise refuse(path, f"the directory '{directory}' does not exist", option)
    if not directory.is_dir():
        raise refuse(path, f"'{directory}' is not a directory", option)
    if target.exists() and not os.access(target, os.W_OK):
        raise refuse(path, "the file is write-protected", option)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:40]}.", suffix=".tmp", dir=directory)
    except OSError as problem:
        raise refuse(path, problem.strerror or str(problem), option) from None
    os.close(descriptor)
    os.unlink(name)
    return target


def require_directory(path: str | os.PathLike[str], option: str = "") -> Path:
    """Make a directory (its parent must exist) and check that files can be written in it; raises E801 if not."""
    target = Path(path)
    if target.exists() and not target.is_dir():
        raise refuse(path, "it is a file, and a directory is needed", option)
    try:
        target.mkdir(exist_ok=True)
    except FileNotFoundError:  # some file systems say so of a directory in which nothing can be made
        there = target.parent.exists()
        reason = f"nothing can be made in '{target.parent}'" if there else f"the directory '{target.parent}' does not exist"
        raise refuse(path, reason, option) from None
    except OSError as problem:
        raise refuse(path, problem.strerror or str(problem), option) from None
    require_writable(target / "probe", option)
    return target


@contextlib.contextmanager
def write_atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path of the same directory and ending; rename it to ``path`` at the end, or remove it."""
    import tempfile

    target = Path(path)
    try:
        suffix = f".tmp{target.suffix}"
        descriptor, name = tempfile.mkstemp(prefix=f".{target.stem[:40]}.", suffix=suffix, dir=target.parent)
    except OSError as problem:
        raise refuse(path, problem.strerror or str(problem)) from None
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        _take_usual_permissions(temporary, target)
        os.replace(temporary, target)
    except OSError as problem:
        raise refuse(path, problem.strerror or str(problem)) from None
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text whole or not at all; raises E801 if it cannot be written."""
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write bytes whole or not at all; raises E801 if they cannot be written."""
    with write_atomically(path) as temporary:
        temporary.write_bytes(content)


def _take_usual_permissions(temporary: Path, target: Path) -> None:
    """A temporary file is private; give it the permissions of the file it replaces, or those of any new file."""
    if target.exists():
        mode = target.stat().st_mode & 0o7777
    else:
        mask = os.umask(0)
        os.umask(mask)
        mode = 0o666 & ~mask
    temporary.chmod(mode)
