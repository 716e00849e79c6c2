"""Reading files, and knowing afterwards which ones: what was made from files is made anew when one of them has changed.

Every stage that reads or looks for a file of the user says so with :func:`consult`; :func:`watch` collects what was said meanwhile. A state
is the content of a small file, size and times of a large one, the names in a folder, or that nothing is there.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from snnlang.diagnostics import Source, Span, error

#: Larger files are known by size and times, not by their content.
SMALL = 4 * 2**20
#: A large file that changed this recently (in seconds) could change again without another time.
RECENT = 2.0

_watched: ContextVar[dict[str, str] | None] = ContextVar("watched", default=None)


@contextmanager
def watch() -> Iterator[dict[str, str]]:
    """The absolute paths that are consulted inside, each with its state before it was read."""
    found: dict[str, str] = {}
    token = _watched.set(found)
    try:
        yield found
    finally:
        _watched.reset(token)


def consult(path: str | Path) -> None:
    """Say that what is being made depends on what is at this path, a file, a folder of ``.snn`` files, or nothing."""
    found = _watched.get()
    if found is not None:
        try:
            name = os.path.abspath(path)
        except OSError:  # the working directory is gone
            found[str(path)] = ""
            return
        if name not in found:
            found[name] = state(name)


def state(path: str) -> str:
    """What is at a path, in a word that changes with it; "" where that cannot be told for sure."""
    try:
        about = os.stat(path)
        if stat.S_ISDIR(about.st_mode):
            return f"folder {_digest(chr(0).join(sorted(n for n in os.listdir(path) if n.endswith('.snn'))).encode())}"
        if not stat.S_ISREG(about.st_mode):
            return ""
        if about.st_size > SMALL:
            recent = time.time() - max(about.st_mtime, about.st_ctime) < RECENT
            return "" if recent else f"large {about.st_size} {about.st_mtime_ns} {about.st_ctime_ns} {about.st_ino}"
        with open(path, "rb") as file:
            return f"file {_digest(file.read())}"
    except (FileNotFoundError, NotADirectoryError):
        return "absent"
    except (OSError, ValueError):
        return ""


def _digest(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def read_source(path: str | Path) -> Source:
    """The text of a file. Raises SnnError E001 where it cannot be read, E002 where it is not UTF-8."""
    name = str(path)
    consult(name)
    try:
        data = Path(path).read_bytes()
    except IsADirectoryError:
        raise error("E001", f"cannot read '{name}': it is a directory", help="name a `.snn` file in it") from None
    except FileNotFoundError:
        raise error(
            "E001", f"cannot read '{name}': there is no such file", help="check the path; `snn new NAME` begins a file"
        ) from None
    except OSError as problem:
        raise error(
            "E001",
            f"cannot read '{name}': {(problem.strerror or str(problem)).lower()}",
            help="name a file that you may read",
        ) from None
    except ValueError:
        raise error("E001", f"cannot read '{name!r}': this is no path", help="check the path") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        before = data[: problem.start].decode("utf-8", "replace")
        source = Source(name, data.decode("utf-8", "replace"))
        raise error(
            "E002",
            f"the file is not UTF-8: byte {problem.start} is 0x{data[problem.start]:02X}",
            Span(source, len(before), len(before) + 1),
            "unreadable from here",
            help="save the file as UTF-8"
            + (" (it looks like UTF-16)" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""),
        ) from None
    return Source(name, text.replace("\r\n", "\n"))
