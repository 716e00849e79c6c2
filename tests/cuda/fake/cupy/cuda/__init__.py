"""``cupy.cuda``: streams, events, graphs and memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cupy import machine
from cupy.cuda import compiler, driver, memory, runtime


class Event:
    """A place in the work of a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self._stream: machine.Stream | None = None
        self._mark = 0

    def record(self, stream: Any = None) -> None:
        self._stream, self._mark = stream.own, stream.own.given

    def synchronize(self) -> None:
        if self._stream is not None:  # one that was never recorded is over
            self._stream.run_to(self._mark)


class Graph:
    """What a stream captured."""

    def __init__(self, works: list[Callable[[], None]]) -> None:
        self._works = works
        self._uploaded = False

    def upload(self, stream: Any = None) -> None:
        self._uploaded = True

    def launch(self, stream: Any = None) -> None:
        assert self._uploaded
        for work in self._works:
            stream.own.push(work)


class Stream:
    """A stream; memory that is allocated inside belongs to it."""

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False) -> None:
        assert non_blocking, "others wait for the stream that everybody shares"
        self.own = machine.Stream()
        self.ptr = self.own.ptr

    def __enter__(self) -> Stream:
        machine.current.append(self.own)
        return self

    def __exit__(self, *_problem: Any) -> None:
        machine.current.pop()

    def synchronize(self) -> None:
        self.own.check_not_capturing()
        self.own.run_to(self.own.given)

    def wait_event(self, event: Event) -> None:
        self.own.push(event.synchronize)

    def begin_capture(self, mode: Any = None) -> None:
        assert self.own.captured is None
        self.own.captured = []

    def end_capture(self) -> Graph:
        assert self.own.captured is not None
        works, self.own.captured = self.own.captured, None
        return Graph(works)


def get_current_stream() -> Stream:
    """Of this thread."""
    found = Stream.__new__(Stream)
    found.own = machine.current_stream()
    found.ptr = found.own.ptr
    return found


class MemoryPointer:
    """Memory of the device; goes back when nobody holds it, behind the work of its stream."""

    def __init__(self, address: int, owned: bool = True) -> None:
        self.ptr = address
        self._stream = machine.current_stream() if owned else None
        self._backend = machine.backend

    def __del__(self) -> None:
        if self._stream is not None and self.ptr in self._backend._blocks:
            backend, address = self._backend, self.ptr
            self._stream.push(lambda: backend.release(address))


class Device:
    """The current device."""

    def __init__(self, device: Any = None) -> None:
        self.id = 0

    @property
    def attributes(self) -> dict[str, int]:
        return {"MultiProcessorCount": machine.backend.multiprocessors, "CooperativeLaunch": 1}

    @property
    def compute_capability(self) -> str:
        return str(machine.capability)


def alloc(size: int) -> MemoryPointer:
    """Memory with whatever was in it."""
    free, total = machine.backend.memory()
    if size > free:
        raise memory.OutOfMemoryError(size, total - free)
    address = machine.backend.allocate(size)
    machine.backend.upload(address, np.full(size, 0xAB, np.uint8))
    return MemoryPointer(address)


def alloc_pinned_memory(size: int) -> Any:
    """Memory of the host; CuPy gives what holds bytes and says where it is. Its pool hands it out again when nobody holds it, whoever may
    still copy: here it is spoilt then."""
    return np.full(size, 0xCD, np.uint8).view(_Pinned).data


class _Pinned(np.ndarray):
    def __del__(self) -> None:
        if isinstance(self.base, np.ndarray):
            self.base[...] = 0xEE
            machine.given_back.append(self.base)


__all__ = [
    "Device",
    "Event",
    "Graph",
    "MemoryPointer",
    "Stream",
    "alloc",
    "alloc_pinned_memory",
    "compiler",
    "driver",
    "get_current_stream",
    "memory",
    "runtime",
]
