"""The device of this package: the memory and the kernels of the shim, behind streams that do nothing until somebody waits for them.

What a test sets here is what the device does: how many there are, which driver, how much memory.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from snnlang.runtime.cuda_shim import ShimBackend, ShimModule

#: How many devices answer, and which version of CUDA the driver knows (0: there is no driver).
devices = 1
driver_version = 12040
#: The compute capability of the device, without its point.
capability = "90"
#: What getDeviceCount says where it refuses.
refusal = 0

backend = ShimBackend()
streams: dict[int, Stream] = {}
current: list[Stream] = []
#: Pinned memory that nobody holds any more.
given_back: list[Any] = []
#: The stream of those who name none, made when it is asked for.
null: list[Stream] = []

NAMES = {
    2: "cudaErrorMemoryAllocation: out of memory",
    35: "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version",
    46: "cudaErrorDevicesUnavailable: CUDA-capable device(s) is/are busy or unavailable",
    100: "cudaErrorNoDevice: no CUDA-capable device is detected",
    702: "cudaErrorLaunchTimeout: the launch timed out and was terminated",
    719: "cudaErrorLaunchFailure: unspecified launch failure",
    906: "cudaErrorStreamCaptureImplicit: operation would make the legacy stream depend on a capturing blocking stream",
}


def reset(**options: Any) -> None:
    """A new device, as when the machine starts."""
    global backend, devices, driver_version, refusal, capability
    backend = ShimBackend(**options)
    devices, driver_version, refusal, capability = 1, 12040, 0, "90"
    streams.clear()
    current.clear()
    null.clear()
    given_back.clear()


def current_stream() -> Stream:
    """The innermost stream of a ``with``, or the one that everybody shares."""
    if current:
        return current[-1]
    if not null:
        null.append(Stream())
    return null[0]


class Stream:
    """Work in order; done when somebody waits for it."""

    def __init__(self) -> None:
        self.ptr = 2 + len(streams)
        self.waiting: list[Callable[[], None]] = []
        self.given = 0
        self.done = 0
        self.captured: list[Callable[[], None]] | None = None
        streams[self.ptr] = self

    def push(self, work: Callable[[], None]) -> None:
        """Behind everything before it."""
        self.waiting.append(work)
        self.given += 1

    def run_to(self, mark: int) -> None:
        """Do the work up to a mark."""
        while self.done < mark and self.waiting:
            work = self.waiting.pop(0)
            self.done += 1
            work()

    def check_not_capturing(self) -> None:
        """What waits or copies is not for graphs."""
        if self.captured is not None:
            from cupy.cuda.runtime import CUDARuntimeError

            raise CUDARuntimeError(906)


def launch(
    module: ShimModule, name: str, grid: int, block: int, arguments: tuple[Any, ...], stream: Stream, together: bool
) -> None:
    """A kernel on a stream, or into the graph that the stream captures."""
    whole = []
    for argument in arguments:
        assert isinstance(argument, np.int64), "a number of Python may be passed as another type"
        whole.append(int(argument))

    def work() -> None:
        try:
            module.launch(name, grid, tuple(whole), block=block, cooperative=together)
        except RuntimeError as problem:
            from cupy.cuda.runtime import CUDARuntimeError

            raise CUDARuntimeError(719, str(problem)) from problem

    if stream.captured is not None:
        stream.captured.append(work)
    else:
        stream.push(work)


def copy(target: int, source: int, size: int, kind: int, stream: Stream) -> None:
    """cudaMemcpyAsync; looks at the memory of the host as late as a device that reads it by itself."""
    stream.check_not_capturing()
    if kind == 1:
        stream.push(lambda: backend.upload(target, np.frombuffer(ctypes.string_at(source, size), np.uint8)) if size else None)
    elif kind == 2:
        into = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(target))
        stream.push(lambda: backend.download(source, into))
    else:
        stream.push(lambda: backend.copy(target, source, size))
