"""Experiments that were prepared before: found again by everything they were made from, without parsing, checking or deriving.

An entry is found by the text, the options and snnlang itself, and it names every other file that was read or looked for meanwhile, each
with its state then; when one of them has changed, the entry is passed over and written anew. What is kept is a pickle, and so as executable
as the compiled libraries beside it; :mod:`snnlang.cache` reads it only from a folder that this user alone can write to. Damaged
entries, and those that this Python cannot read, count as missing. Kept beside it is the code that a target made of a plan.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from snnlang import cache
from snnlang.diagnostics import Diagnostic, Source
from snnlang.reading import state, watch

if TYPE_CHECKING:
    from snnlang.compile import Prepared

T = TypeVar("T")
KIND = "prepared"
#: Counts up when what is kept changes its meaning without a change in the package's files.
EDITION = "1"
#: Larger ones (weights from files) are not kept: reading them back would take as long as making them.
LARGEST = 32 * 2**20
_MAGIC = b"snnlang prepared\n"


def ready(
    source: Source,
    experiment: str | None,
    options: object,
    make: Callable[[], tuple[Prepared | None, list[Diagnostic]]],
) -> tuple[Prepared | None, list[Diagnostic]]:
    """What ``make`` gives for this text, experiment and options (anything whose ``repr`` tells them apart), from the cache if it is there.

    ``make`` gives None beside the mistakes it found, or raises; neither is kept. Nothing of what is given back depends on the cache.
    """
    try:
        here = (os.getcwd(), os.path.expanduser("~"))  # where relative names of files lead
    except OSError:  # the working directory is gone
        return make()
    key = cache.key(EDITION, source.name, source.text, repr(experiment), repr(options), *here, package())
    entry = _open(cache.read(KIND, key))
    if entry is not None:
        header, body = entry
        if _sound(header):
            with contextlib.suppress(Exception):  # whatever a damaged or foreign pickle brings about
                prepared, found = _unpickle(body)
                return _identified(prepared, body), found
    with watch() as consulted:
        prepared, found = make()
    if prepared is None:
        return None, found
    made = _pickle((prepared, found))
    depends = None if made is None else _header(prepared, consulted)
    if made is None or depends is None or cache.write(KIND, key, _close(depends, made)) is None:
        return prepared, found
    return _identified(prepared, made), found


def kept(identity: str, what: str, make: Callable[[], T]) -> T:
    """What ``make`` makes of the plan of this identity ("": none) and of ``what`` alone, from the cache if it is there."""
    if not identity:
        return make()
    key = cache.key(EDITION, identity, what, package())
    entry = _open(cache.read(KIND, key))
    if entry is not None:
        with contextlib.suppress(Exception):
            found: T = _unpickle(entry[1])
            return found
    made = make()
    body = _pickle(made)
    if body is not None:
        cache.write(KIND, key, _close({}, body))
    return made


@lru_cache(maxsize=1)
def package() -> str:
    """What made an entry and can read it: every file of snnlang by size and time, Python, and the machine's kind."""
    machine = os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "")
    told = [sys.version, sys.platform, machine]
    for folder in _own_folders():
        told += [folder, *_files(folder)]
    return cache.key(*told)


def _files(folder: str) -> list[str]:
    """The files of a folder and of those below it, each with size and time."""
    found: list[str] = []
    with contextlib.suppress(OSError), os.scandir(folder) as items:
        for item in sorted(items, key=lambda item: item.name):
            if item.name.endswith((".py", ".snn", ".json", ".lark", ".h", ".cuh")):
                about = item.stat()
                found.append(f"{item.name} {about.st_size} {about.st_mtime_ns}")
            elif (
                "." not in item.name
                and item.name not in ("__pycache__", "pages")
                and not item.is_symlink()
                and item.is_dir()
            ):
                found += [item.name, *_files(item.path)]
    return found


# --- what an entry depends on -----------------------------------------------------------------------------------------


def _header(prepared: Prepared, consulted: dict[str, str]) -> dict[str, Any] | None:
    """Files with their states and the memory that is needed; None when one of them is unsure or changed while it was read."""
    from snnlang.model.memory import estimate_memory

    roots = tuple(os.path.realpath(path) + os.sep for path in _own_folders())
    files = {path: was for path, was in consulted.items() if not os.path.realpath(path).startswith(roots)}
    sympy = sys.modules.get("sympy")
    if sympy is not None and sympy.__file__ is not None:
        place = os.path.join(os.path.dirname(sympy.__file__), "release.py")
        files[place] = state(place)
    if any(not was or was != state(path) for path, was in files.items()):
        return None
    needed = (estimate_memory(point.experiment, point.plan.precision, prepared.target) for point in prepared.points)
    return {"files": files, "memory": max(needed)}


def _own_folders() -> tuple[str, ...]:
    """Folders of the package, which :func:`package` watches; in a checkout codegen and stdlib stand beside it."""
    from snnlang import codegen, stdlib

    root = os.path.dirname(os.path.abspath(__file__))
    other = (os.path.realpath(path) for path in (*codegen.__path__, *stdlib.__path__))
    return (root, *(path for path in other if not path.startswith(os.path.realpath(root) + os.sep)))


def _sound(header: dict[str, Any]) -> bool:
    """Whether every file is as it was, and the memory still suffices (if not, preparing it anew says so)."""
    from snnlang.model.machine import machine_memory

    files, needed = header.get("files"), header.get("memory")
    if not isinstance(files, dict) or not isinstance(needed, float | int):
        return False
    available = machine_memory()
    return (available is None or needed <= available) and all(state(path) == was for path, was in files.items())


# --- bytes ------------------------------------------------------------------------------------------------------------


def _close(header: dict[str, Any], body: bytes) -> bytes:
    """An entry: what it is, a checksum of the rest, the header on a line of its own, the pickle."""
    import hashlib

    rest = json.dumps(header).encode() + b"\n" + body
    return _MAGIC + hashlib.sha256(rest).digest() + rest


def _open(data: bytes | None) -> tuple[dict[str, Any], bytes] | None:
    """The header and the pickle of a whole entry; None of anything else."""
    import hashlib

    if data is None or not data.startswith(_MAGIC):
        return None
    start = len(_MAGIC) + 32
    if hashlib.sha256(data[start:]).digest() != data[len(_MAGIC) : start]:
        return None
    end = data.index(b"\n", start)
    return json.loads(data[start:end]), data[end + 1 :]


def _pickle(made: object) -> bytes | None:
    """As bytes; None of what is too large or cannot be told in bytes."""
    import pickle

    try:
        data = pickle.dumps(made, protocol=5)
    except Exception:
        return None
    return data if len(data) <= LARGEST else None


def _unpickle(body: bytes) -> Any:
    import pickle

    return pickle.loads(body)


def _identified(prepared: Prepared, body: bytes) -> Prepared:
    """Every point with a name for its plan, so that the code made of it can be kept."""
    whole = cache.key(body)
    points = (replace(point, identity=f"{whole} {number}") for number, point in enumerate(prepared.points))
    return replace(prepared, points=tuple(points))


__all__ = ["kept", "package", "ready"]
