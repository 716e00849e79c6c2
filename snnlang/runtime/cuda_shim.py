"""The cuda backend that needs no device: kernels are compiled by a C++ compiler with codegen/cuda/shim.h and run thread by thread.

It proves generated CUDA on every machine, in a fixed order (``SNN_SHIM_ORDER=k``: permuted by k, to find what relies on an order), and
finds what a device would not forgive: writing beside an allocation, using one that was given back, a barrier that not all threads reach.
It is slow, and for tests: ``SNN_CUDA=shim`` makes it the device of target ``cuda``. Refused: machines without a C++ compiler (E742), and
systems other than Linux, whose linkers name sections otherwise. Compiled texts are kept in the cache; ``SNN_SHIM_FLAGS`` adds to what the
compiler is told.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang import cache
from snnlang.diagnostics import error
from snnlang.frozen import dataclass
from snnlang.runtime.cuda_failure import refused_text

#: Changes when a library is built another way from the same text.
EDITION = "1"
KIND = "native"
SUFFIX = ".so"
FLAGS = ("-x", "c++", "-std=gnu++14", "-O1", "-fPIC", "-shared", "-ffp-contract=off", "-fno-math-errno", "-w")
#: Bytes before and after every allocation, whose content nobody may change.
ZONE = 256
_MARK = 0xDB
_BLOCKS_EACH = 2


@dataclass(frozen=True, slots=True)
class ShimGraph:
    """Launches in order, and how often."""

    module: ShimModule
    launches: tuple[tuple[str, int], ...]
    repeat: int

    def launch(self) -> None:
        """Run all of them."""
        for _ in range(self.repeat):
            for kernel, grid in self.launches:
                self.module.launch(kernel, grid)


@dataclass(frozen=True, slots=True)
class Arrived:
    """A transfer that was over when it began."""

    def wait(self) -> None:
        """Nothing to wait for."""


class ShimModule:
    """A compiled text with its own variables."""

    def __init__(self, backend: ShimBackend, library: Path) -> None:
        self._backend = backend
        self._handle = _private(library)
        self._kernels: dict[str, int] = {}
        launch, size = self._handle.snn_shim_launch, self._handle.snn_shim_size
        launch.argtypes = [ctypes.c_void_p, *[ctypes.c_int64] * 2, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int]
        size.argtypes, size.restype = [ctypes.c_void_p], ctypes.c_int64
        self._handle.snn_shim_error.restype = ctypes.c_char_p
        self._handle.snn_shim_order.argtypes = [ctypes.c_uint64]
        self._handle.snn_shim_order(backend.order)
        weakref.finalize(self, _closed, self._handle).atexit = False

    def _symbol(self, name: str) -> int:
        address = self._kernels.get(name)
        if address is None:
            try:
                found = ctypes.c_char.in_dll(self._handle, name)
            except ValueError:
                raise KeyError(f"the text has no {name}") from None
            address = self._kernels[name] = ctypes.addressof(found)
        return address

    def constant(self, name: str) -> tuple[int, int]:
        """Address and bytes of a variable."""
        address = self._symbol(name)
        size = int(self._handle.snn_shim_size(address))
        self._backend.known(address, size)
        return address, size

    def launch(
        self, kernel: str, grid: int, arguments: tuple[int, ...] = (), *, block: int = 0, cooperative: bool = False
    ) -> None:
        """Run a kernel to its end."""
        if cooperative and grid > self.resident_blocks(kernel, block):
            raise RuntimeError(f"{kernel}: too many blocks for a cooperative launch: {grid}")
        given = (ctypes.c_int64 * max(1, len(arguments)))(*arguments)
        answer = self._handle.snn_shim_launch(
            self._symbol(kernel), grid, block or self._backend.block, given, len(arguments), int(cooperative)
        )
        if answer:
            raise RuntimeError(f"{kernel}: {self._handle.snn_shim_error().decode()}")

    def resident_blocks(self, kernel: str, block: int = 0) -> int:
        """Two for each multiprocessor."""
        self._symbol(kernel)
        return _BLOCKS_EACH * self._backend.multiprocessors

    def graph(self, launches: Sequence[tuple[str, int]], repeat: int) -> ShimGraph:
        """The launches, to be run again and again."""
        for kernel, _ in launches:
            self._symbol(kernel)
        return ShimGraph(self, tuple(launches), repeat)


class ShimBackend:
    """The memory of the process and the threads of :class:`ShimModule`. ``total`` is the memory it pretends to have."""

    def __init__(
        self, *, block: int = 64, multiprocessors: int = 2, total: int = 2**32, order: int | None = None
    ) -> None:
        self.name = "a processor that runs CUDA for tests"
        self.multiprocessors = multiprocessors
        self.capability = (9, 0)
        self.block = block
        self.order = int(os.environ.get("SNN_SHIM_ORDER", "0")) if order is None else order
        self._total = total
        self._used = 0
        self._blocks: dict[int, NDArray[np.uint8]] = {}
        self._sizes: dict[int, int] = {}

    def memory(self) -> tuple[int, int]:
        """What is left of the pretended memory, and all of it."""
        return self._total - self._used, self._total

    def allocate(self, nbytes: int) -> int:
        """Zeros, between two zones that are watched."""
        if nbytes > self._total - self._used:
            from snnlang.runtime.cuda_failure import no_memory

            raise no_memory(self.name, nbytes, *self.memory())
        block = np.zeros(nbytes + 3 * ZONE, np.uint8)
        place = int(block.ctypes.data)
        address = (place + 2 * ZONE - 1) // ZONE * ZONE
        start = address - place
        block[:start] = _MARK
        block[start + nbytes :] = _MARK
        self._blocks[address], self._sizes[address] = block, nbytes
        self._used += nbytes
        return address

    def release(self, address: int) -> None:
        """Give memory back; whoever uses it later is found."""
        self._watch(address)
        self._used -= self._sizes.pop(address)
        self._blocks.pop(address)

    def known(self, address: int, size: int) -> None:
        """A variable of a module may be copied to and from, too."""
        self._sizes[address] = size

    def upload(self, address: int, values: NDArray[Any]) -> None:
        """Copy from an array."""
        assert values.flags.c_contiguous
        self._inside(address, values.nbytes)
        ctypes.memmove(address, values.ctypes.data, values.nbytes)

    def download(self, address: int, into: NDArray[Any]) -> None:
        """Copy into an array."""
        assert into.flags.c_contiguous
        assert into.flags.writeable
        start = self._inside(address, into.nbytes)
        ctypes.memmove(into.ctypes.data, address, into.nbytes)
        if start in self._blocks:
            self._watch(start)

    def pinned(self, nbytes: int) -> NDArray[Any]:
        """Any memory will do."""
        return np.zeros(nbytes, np.uint8)

    def start_download(self, address: int, into: NDArray[Any]) -> Arrived:
        """Copied at once."""
        self.download(address, into)
        return Arrived()

    def copy(self, target: int, source: int, nbytes: int) -> None:
        """From one allocation into another one."""
        self._inside(target, nbytes)
        self._inside(source, nbytes)
        ctypes.memmove(target, source, nbytes)

    def clear(self, address: int, nbytes: int) -> None:
        """Zeros."""
        self._inside(address, nbytes)
        ctypes.memset(address, 0, nbytes)

    def module(self, text: str, *, single: bool, name: str) -> ShimModule:
        """A text, compiled or from the cache. Raises E742 and E744."""
        return ShimModule(self, _library(text, name))

    def synchronize(self) -> None:
        """Nothing runs; the zones are looked at."""
        for address in self._blocks:
            self._watch(address)

    def _inside(self, address: int, nbytes: int) -> int:
        """Where the allocation of these bytes begins."""
        if nbytes <= self._sizes.get(address, -1):
            return address
        for start, size in self._sizes.items():
            if start <= address and address + nbytes <= start + size:
                return start
        raise RuntimeError(f"{nbytes} bytes at {address:#x} are in no allocation")

    def _watch(self, address: int) -> None:
        block, size = self._blocks[address], self._sizes[address]
        start = address - int(block.ctypes.data)
        if (block[:start] != _MARK).any() or (block[start + size :] != _MARK).any():
            side = "before" if (block[:start] != _MARK).any() else "after"
            raise RuntimeError(f"a kernel wrote {side} the {size} bytes at {address:#x}")


# --- libraries --------------------------------------------------------------------------------------------------------


def compiler() -> str | None:
    """The C++ compiler: ``$CXX``, ``c++``, ``g++``, ``clang++``; None without one, and where the shim does not work."""
    return _compiler(os.environ.get("CXX", ""), os.environ.get("PATH", "")) if sys.platform == "linux" else None


@lru_cache(maxsize=4)
def _compiler(named: str, path: str) -> str | None:
    from shutil import which

    return next(
        (found for name in (named, "c++", "g++", "clang++") if name and (found := which(name, path=path))), None
    )


def require() -> str:
    """The C++ compiler. Raises E742."""
    program = compiler()
    if program is None:
        raise error(
            "E742",
            "SNN_CUDA=shim runs CUDA on a processor, which needs Linux and a C++ compiler, and there is none",
            help="install g++, or unset SNN_CUDA",
        )
    return program


@lru_cache(maxsize=1)
def _header() -> str:
    return files("snnlang.codegen").joinpath("cuda", "shim.h").read_text(encoding="utf-8")


def _library(text: str, name: str) -> Path:
    """The library of a text; the caller owns the file. Raises E742 and E744."""
    program = require()
    about = os.stat(os.path.realpath(program))
    mark = f"{os.path.realpath(program)} {about.st_size} {about.st_mtime_ns}"
    flags = (*FLAGS, *os.environ.get("SNN_SHIM_FLAGS", "").split())
    key = cache.key("shim", EDITION, text, _header(), mark, *flags)
    descriptor, made = tempfile.mkstemp(prefix="snnlang-", suffix=SUFFIX)
    os.close(descriptor)
    place = Path(made)
    kept = cache.read(KIND, key, SUFFIX)
    if kept is not None:
        place.write_bytes(kept)
        return place
    with tempfile.TemporaryDirectory(prefix="snnlang-", ignore_cleanup_errors=True) as folder:
        source, header = Path(folder) / "model.cu", Path(folder) / "shim.h"
        source.write_text(text, encoding="utf-8")
        header.write_text(_header(), encoding="utf-8")
        command = [program, *flags, "-include", str(header), "-o", made, str(source), "-lm", "-ldl"]
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if ended.returncode:
        place.unlink(missing_ok=True)
        raise refused_text(text, ended.stderr, name, " ".join([program, *flags, "-include shim.h model.cu"]))
    cache.write(KIND, key, place.read_bytes(), SUFFIX)
    return place


def _private(library: Path) -> ctypes.CDLL:
    """A library that nobody else has loaded: its file is its own, and has no name when it is loaded."""
    try:
        return ctypes.CDLL(str(library))
    finally:
        library.unlink(missing_ok=True)


def _closed(handle: ctypes.CDLL) -> None:
    import _ctypes

    handle.snn_shim_close()
    with contextlib.suppress(OSError):
        _ctypes.dlclose(handle._handle)


__all__ = ["Arrived", "ShimBackend", "ShimGraph", "ShimModule", "compiler", "require"]
