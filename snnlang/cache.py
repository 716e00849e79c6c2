"""The cache of the user: one private folder of things that can be made again, shared by processes, never needed.

Prepared experiments and compiled libraries are executable, so the folder is trusted only when it belongs to this user and no one else
can write to it; elsewhere, or where nothing can be written, everything works without it. An entry is ``FOLDER/KIND/KEY``; its key is
the hash of all that it was made from, so it is never wrong, only missing. Entries are written under a temporary name and renamed:
readers see whole ones or none. Nothing here raises on account of the file system, and a kind that grows beyond its limit loses its
longest unused entries.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from pathlib import Path

from snnlang.frozen import dataclass

#: Most bytes a kind may keep; when a new entry exceeds it, the longest unused ones go until three quarters are left.
LIMIT = 256 * 2**20
VARIABLE = "SNN_CACHE_DIR"
#: What there is to keep: parse tables of a grammar under work, prepared experiments, compiled libraries.
KINDS = ("grammar", "prepared", "native")
_PARTIAL = ".partial"
_DIGITS = 64  # of a key; only files with such names are ever listed or removed, whatever else a folder may hold


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the cache; ``used`` is when it was last written or read, in seconds since 1970."""

    kind: str
    name: str
    size: int
    used: float
    path: Path


def key(*parts: str | bytes) -> str:
    """A name for whatever is made from these parts: their SHA-256, each with its length, as 64 hexadecimal digits."""
    import hashlib

    total = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        total.update(b"%d:" % len(data))
        total.update(data)
    return total.hexdigest()


def folder() -> Path | None:
    """The cache folder, made if it is not there; None where there is none that is private and can be written.

    It is ``$SNN_CACHE_DIR``, else ``$XDG_CACHE_HOME/snnlang``, else the platform's folder of the user for such things.
    """
    named = os.environ.get(VARIABLE, "")
    place = Path(named).expanduser().absolute() if named else _usual()
    if place is None or not _private(place, tighten=not named):
        return None
    return place


def path(kind: str, key: str, suffix: str = "") -> Path | None:
    """Where an entry is, or would be; its folder exists and is private. None without a cache."""
    if kind not in KINDS or len(key) != _DIGITS:
        raise ValueError(f"no entry of the cache: {kind}/{key}")
    place = folder()
    if place is None or not _private(place / kind, tighten=False):
        return None
    return place / kind / f"{key}{suffix}"


def read(kind: str, key: str, suffix: str = "") -> bytes | None:
    """An entry's bytes; None where it is missing, cannot be read, or belongs to somebody else. It counts as used now."""
    place = path(kind, key, suffix)
    if place is None:
        return None
    try:
        with open(place, "rb") as file:
            if not _mine(os.fstat(file.fileno())):
                return None
            data = file.read()
        os.utime(place)
    except OSError:
        return None
    return data


def write(kind: str, key: str, data: bytes, suffix: str = "") -> Path | None:
    """Store an entry whole or not at all; where it is now, or None where that is impossible (no cache, full disk)."""
    place = path(kind, key, suffix)
    if place is None:
        return None
    partial = place.with_name(f".{place.name[:80]}.{os.getpid()}.{os.urandom(4).hex()}{_PARTIAL}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(partial, place)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
        return None
    _prune(place.parent, keep=place)
    return place


def entries() -> list[Entry]:
    """Everything in the cache, by kind and name."""
    place = folder()
    found = [] if place is None else [entry for kind in KINDS for entry in _list(place / kind)]
    return [entry for entry in found if not entry.name.endswith(_PARTIAL)]


def clear() -> tuple[int, int]:
    """Remove every entry, and what interrupted writers left; how many, and how many bytes."""
    place = folder()
    count = size = 0
    for kind in KINDS if place is not None else ():
        assert place is not None
        for entry in _list(place / kind):
            with contextlib.suppress(OSError):
                entry.path.unlink()
                count, size = count + 1, size + entry.size
        with contextlib.suppress(OSError):
            (place / kind).rmdir()
    return count, size


def _usual() -> Path | None:
    """The platform's folder; None where there is no home."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if named and os.path.isabs(named):
        return Path(named) / "snnlang"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "snnlang" / "Cache"
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "snnlang"


def _private(place: Path, *, tighten: bool) -> bool:
    """Whether a folder, made now if need be, is ours alone to write. ``tighten``: it has our name, so take rights away."""
    try:
        try:
            found = os.stat(place)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):  # another process was quicker
                _make(place)
            found = os.stat(place)
        if not stat.S_ISDIR(found.st_mode) or not _mine(found):
            return False
        if sys.platform != "win32" and found.st_mode & 0o022:
            if not tighten:
                return False
            os.chmod(place, 0o700)
    except (OSError, ValueError):  # ValueError: a null byte in the name
        return False
    return True


def _make(place: Path) -> None:
    """The folder for this user alone, its parents as usual."""
    place.parent.mkdir(parents=True, exist_ok=True)
    os.mkdir(place, 0o700)


def _mine(found: os.stat_result) -> bool:
    return sys.platform == "win32" or found.st_uid == os.geteuid()


def _list(place: Path) -> list[Entry]:
    """The files of one kind, those of interrupted writers included, by name."""
    found: list[Entry] = []
    with contextlib.suppress(OSError), os.scandir(place) as files:
        for file in files:
            with contextlib.suppress(OSError):
                about = file.stat(follow_symlinks=False)
                if stat.S_ISREG(about.st_mode) and _ours(file.name):
                    found.append(Entry(place.name, file.name, about.st_size, about.st_mtime, Path(file.path)))
    return sorted(found, key=lambda entry: entry.name)


def _ours(name: str) -> bool:
    """Whether a file has the name of an entry, or of one that was being written."""
    digits = name.removeprefix(".")[:_DIGITS]
    return len(digits) == _DIGITS and set(digits) <= set("0123456789abcdef")


def _prune(place: Path, keep: Path) -> None:
    """Remove the longest unused entries of a kind that has grown beyond its limit, and partial files of an hour ago."""
    found = _list(place)
    newest = max((entry.used for entry in found), default=0.0)
    total = sum(entry.size for entry in found)
    goal = LIMIT if total <= LIMIT else LIMIT * 3 // 4
    for entry in sorted(found, key=lambda entry: entry.used):
        stale = entry.name.endswith(_PARTIAL)
        if entry.path == keep or (entry.used > newest - 3600 if stale else total <= goal):
            continue
        with contextlib.suppress(OSError):
            entry.path.unlink()
            total -= entry.size


__all__ = ["Entry", "clear", "entries", "folder", "key", "path", "read", "write"]
