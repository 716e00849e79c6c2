"""Where recorded rows go while a simulation runs: into memory, and beyond a bound to disk.

A :class:`Sink` holds growing arrays by name. In a directory each is a valid ``.npy`` file after every flush: rows are appended,
then the header, which has room for any length, is rewritten, so that whatever happens later, what was flushed can be read.
When the disk is full the last incomplete rows are cut off and E824 is raised by the caller.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from snnlang.runtime.archive import file_name

HEADER_BYTES = 256
RESERVE_BYTES = 1 << 17


@dataclass(slots=True)
class Growing:
    """A growing array: its rows' type and shape, the parts in memory, or the file they are in."""

    dtype: np.dtype[Any]
    row: tuple[int, ...]
    parts: list[NDArray[Any]] = field(default_factory=list)
    rows: int = 0
    stream: BinaryIO | None = None
    path: Path | None = None

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * int(np.prod(self.row, dtype=np.int64))


class Sink:
    """Growing arrays by name. ``directory`` None: in memory until ``bound`` bytes, then in a temporary directory below ``beside``.

    A temporary directory is removed with the last user of its arrays (see :attr:`keeper`).
    """

    def __init__(self, *, bound: int, directory: Path | None = None, beside: Path | None = None) -> None:
        self.bound = bound
        self.directory = directory
        self.beside = beside
        self.keeper: Keeper | None = None
        self.nbytes = 0
        self._arrays: dict[str, Growing] = {}
        if directory is not None:
            self._reserve(directory)

    def declare(self, name: str, dtype: Any, row: tuple[int, ...] = ()) -> None:
        """Make an empty array of rows of shape ``row``."""
        made = Growing(np.dtype(dtype), row)
        self._arrays[name] = made
        if self.directory is not None:
            self._open(name, made, self.directory)

    def append(self, name: str, rows: NDArray[Any]) -> None:
        """Add rows (k, *row); raises OSError when the disk refuses."""
        made = self._arrays[name]
        if not len(rows):
            return
        rows = np.ascontiguousarray(rows, dtype=made.dtype).reshape(len(rows), *made.row)
        self.nbytes += rows.nbytes
        if made.stream is None:
            made.parts.append(rows)
            made.rows += len(rows)
            return
        made.stream.seek(HEADER_BYTES + made.rows * made.row_bytes)
        made.stream.write(rows.tobytes() if rows.nbytes < 1 << 16 else rows.data)
        made.stream.flush()
        made.rows += len(rows)
        self._write_header(made)

    def relieve(self) -> None:
        """Go from memory to disk when the bound is reached."""
        if self.directory is None and self.nbytes > self.bound:
            import tempfile

            place = tempfile.mkdtemp(prefix=".snnlang-", suffix=".tmp", dir=self.beside)
            self.directory = Path(place)
            self.keeper = Keeper(self.directory)
            self._reserve(self.directory)
            for name, made in self._arrays.items():
                self._open(name, made, self.directory)

    def mark(self) -> dict[str, int]:
        """The lengths as they are now, for :meth:`truncate`."""
        return {name: made.rows for name, made in self._arrays.items()}

    def truncate(self, mark: dict[str, int]) -> None:
        """Forget every row that came after a mark."""
        for name, rows in mark.items():
            made = self._arrays[name]
            if made.rows == rows:
                continue
            self.nbytes -= (made.rows - rows) * made.row_bytes
            if made.stream is None:
                made.parts = [self._array(made)[:rows].copy()]
            made.rows = rows
            if made.stream is not None:
                made.stream.truncate(HEADER_BYTES + rows * made.row_bytes)
                self._write_header(made)

    def collect(self) -> dict[str, NDArray[Any]]:
        """Every array as it is now: arrays in memory, or maps of the files."""
        return {name: self._array(made) for name, made in self._arrays.items()}

    def mend(self) -> None:
        """Cut incomplete rows off and give the reserve back: afterwards the files hold what was complete."""
        if self.directory is None:
            return
        (self.directory / ".reserve").unlink(missing_ok=True)
        for name, made in self._arrays.items():
            label, _, part = name.rpartition(".")
            partner = self._arrays.get(f"{label}.indices") or self._arrays.get(label) if part == "times" else None
            if partner is not None:
                made.rows = partner.rows = min(made.rows, partner.rows)
        for made in self._arrays.values():
            if made.stream is not None:
                made.stream.truncate(HEADER_BYTES + made.rows * made.row_bytes)
                self._write_header(made)

    def close(self) -> None:
        """Close the files; nothing can be added any more."""
        if self.directory is not None:
            (self.directory / ".reserve").unlink(missing_ok=True)
        for made in self._arrays.values():
            if made.stream is not None:
                made.stream.close()
                made.stream = None

    # --- files --------------------------------------------------------------------------------------------------------

    def _array(self, made: Growing) -> NDArray[Any]:
        if made.path is not None:
            if made.stream is not None:
                made.stream.flush()
            if made.rows * made.row_bytes == 0:
                return np.zeros((made.rows, *made.row), made.dtype)
            return np.memmap(made.path, made.dtype, "r", HEADER_BYTES, (made.rows, *made.row))
        if len(made.parts) != 1:
            joined = np.concatenate(made.parts) if made.parts else np.zeros((0, *made.row), made.dtype)
            made.parts = [joined]
        return made.parts[0]

    def _open(self, name: str, made: Growing, directory: Path) -> None:
        made.path = directory / file_name(name)
        made.stream = open(made.path, "wb")  # noqa: SIM115 - stays open for the run
        self._write_header(made)
        made.stream.seek(HEADER_BYTES)
        for part in made.parts:
            made.stream.write(part.tobytes())
        made.stream.flush()
        made.parts = []

    def _write_header(self, made: Growing) -> None:
        assert made.stream is not None
        made.stream.seek(0)
        made.stream.write(npy_header(made.dtype, (made.rows, *made.row)))
        made.stream.flush()

    def _reserve(self, directory: Path) -> None:
        """A little room to write the end of a recording with, when the disk is full."""
        (directory / ".reserve").write_bytes(bytes(RESERVE_BYTES))


class Keeper:
    """Removes a temporary directory when nobody needs it any more."""

    def __init__(self, directory: Path) -> None:
        import shutil

        self.directory = directory
        self._finalizer = weakref.finalize(self, shutil.rmtree, directory, True)

    def remove(self) -> None:
        self._finalizer()


def npy_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The header of a ``.npy`` file of version 1.0, padded to :data:`HEADER_BYTES` (format: NumPy's ``numpy.lib.format``)."""
    fields = f"{{'descr': {np.lib.format.dtype_to_descr(dtype)!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    head = np.lib.format.magic(1, 0)
    length = HEADER_BYTES - len(head) - 2
    return head + length.to_bytes(2, "little") + fields.encode("latin1").ljust(length - 1) + b"\n"


def memory_bound() -> int:
    """Bytes of recorded rows to hold in memory before going to disk: a quarter of the machine's memory, at most 2 GiB."""
    import os

    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 1 << 30
    return int(min(2 << 30, total // 4))
