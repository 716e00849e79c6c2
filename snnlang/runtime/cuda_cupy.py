"""The cuda backend: an NVIDIA device through CuPy, which compiles (NVRTC), keeps what it compiled on disk, and calls the driver.

Everything runs on one stream of its own, and nothing waits but what must. CuPy gives two modules of one text the same variables, so each
module that lives at the same time has its own number (``SNN_COPY``), which a module that is gone leaves to the next one. CuPy 13 and 14,
CUDA 12 and 13. Refused, each with its remedy: no CuPy or one that cannot be loaded (E742), no driver or device (E743), a device that is
too old (E785); later on too little memory (E741), a text that NVRTC refuses (E744, our mistake) and a device that stopped (E745).
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import SnnError
from snnlang.runtime import cuda_failure as failure

#: Threads of a block: enough to hide memory, few enough for many registers each.
BLOCK = 256
#: Only the products and sums of single precision may be rounded once: spikes of double precision are those of the other targets.
OPTIONS = ("--std=c++14",)
FUSED = {True: "--fmad=true", False: "--fmad=false"}


class CupyTransfer:
    """A copy into pinned memory on the stream for copies."""

    def __init__(self, backend: CupyBackend, event: Any, into: NDArray[Any]) -> None:
        self._backend, self._event, self._into = backend, event, into

    def wait(self) -> None:
        """Return when the values have arrived."""
        with self._backend.said():
            self._event.synchronize()


class CupyGraph:
    """A CUDA graph on the stream that everything runs on; its module stays as long as it does."""

    def __init__(self, backend: CupyBackend, graph: Any, module: CupyModule) -> None:
        self._backend, self._graph, self._module = backend, graph, module

    def launch(self) -> None:
        """Run it, without waiting."""
        with self._backend.said():
            self._graph.launch(self._backend.stream)


class CupyModule:
    """A compiled text, loaded on the device."""

    def __init__(self, backend: CupyBackend, raw: Any) -> None:
        self._backend = backend
        self._raw = raw
        self._functions: dict[str, Any] = {}

    def _function(self, name: str) -> Any:
        found = self._functions.get(name)
        if found is None:
            with self._backend.said():
                found = self._functions[name] = self._raw.get_function(name).kernel
        return found

    def constant(self, name: str) -> tuple[int, int]:
        """The address of a variable, and 0: CuPy does not tell its size."""
        with self._backend.said():
            return int(self._raw.get_global(name).ptr), 0

    def launch(
        self, kernel: str, grid: int, arguments: tuple[int, ...] = (), *, block: int = 0, cooperative: bool = False
    ) -> None:
        """Start a kernel; does not wait for it."""
        function, threads = self._function(kernel), block or self._backend.block
        if cooperative:
            most = self.resident_blocks(kernel, threads)
            if grid > most:  # CuPy would take fewer, and the barrier would wait for those that are missing
                raise failure.stopped(f"{kernel} needs {grid} blocks at once, and the device holds {most}")
        given = tuple(np.int64(value) for value in arguments)
        with self._backend.said():
            function(
                (grid,),
                (threads,),
                given,
                stream=self._backend.stream,
                enable_cooperative_groups=cooperative and self._backend.cooperates,
            )

    def resident_blocks(self, kernel: str, block: int = 0) -> int:
        """What registers and shared memory of the device have room for; one on devices without cooperative launches."""
        if not self._backend.cooperates:
            return 1
        function = self._function(kernel)
        with self._backend.said():
            each = self._backend.cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(
                function.ptr, block or self._backend.block, 0
            )
        return int(each) * self._backend.multiprocessors

    def graph(self, launches: Sequence[tuple[str, int]], repeat: int) -> CupyGraph:
        """Launches, captured from the stream instead of run."""
        functions = [(self._function(kernel), grid) for kernel, grid in launches]
        for kernel in dict.fromkeys(kernel for kernel, _ in launches):
            self.resident_blocks(
                kernel
            )  # loads it now: a driver that loads at the first launch cannot do so while it captures
        stream, threads = self._backend.stream, self._backend.block
        with self._backend.said():
            stream.begin_capture()
            try:
                for _ in range(repeat):
                    for function, grid in functions:
                        function((grid,), (threads,), (), stream=stream)
            finally:
                graph = stream.end_capture()
            graph.upload(stream)
        return CupyGraph(self._backend, graph, self)


class CupyBackend:
    """The current device of CuPy. ``own_stream`` False: kernels go to the stream that is CuPy's current one when they are launched, and
    ``module``, ``launch`` and ``memory`` alone may be called. Raises E742, E743 and E785."""

    def __init__(self, *, own_stream: bool = True) -> None:
        self.cupy = cupy = _imported()
        self._runtime = runtime = cupy.cuda.runtime
        _require_device(cupy)
        with self.said():
            device = cupy.cuda.Device()
            attributes = device.attributes
            told = runtime.getDeviceProperties(device.id)["name"]
            self.name: str = told.decode(errors="replace") if isinstance(told, bytes) else str(told)
            self.multiprocessors = int(attributes["MultiProcessorCount"])
            self.cooperates = bool(attributes.get("CooperativeLaunch", 1))
            number = str(device.compute_capability)
            self.capability: tuple[int, int] = (int(number[:-1]), int(number[-1]))
            old = failure.too_old(self.name, self.capability, int(runtime.runtimeGetVersion()))
            if old is not None:
                raise old
            self.stream: Any = cupy.cuda.Stream(non_blocking=True) if own_stream else None
            self._copies = cupy.cuda.Stream(non_blocking=True)
        self.block = BLOCK
        self._memory: dict[int, Any] = {}
        self._numbers: dict[str, set[int]] = {}

    # --- memory -------------------------------------------------------------------------------------------------------

    def memory(self) -> tuple[int, int]:
        """What the driver has left and CuPy's pool keeps unused; all of the device."""
        with self.said():
            free, total = self._runtime.memGetInfo()
            return int(free) + int(self.cupy.get_default_memory_pool().free_bytes()), int(total)

    def allocate(self, nbytes: int) -> int:
        """Zeros, from CuPy's memory pool."""
        try:
            with self.said(nbytes), self.stream:
                pointer = self.cupy.cuda.alloc(max(1, nbytes))
                self._runtime.memsetAsync(pointer.ptr, 0, nbytes, self.stream.ptr)
        except self.cupy.cuda.memory.OutOfMemoryError:
            raise failure.no_memory(self.name, nbytes, *self.memory()) from None
        self._memory[int(pointer.ptr)] = pointer
        return int(pointer.ptr)

    def release(self, address: int) -> None:
        """Back to the pool, which hands it out again only behind what this stream still does with it."""
        pointer = self._memory.pop(address)
        with contextlib.suppress(Exception):  # of a device that stopped
            self._copies.synchronize()
        del pointer

    def upload(self, address: int, values: NDArray[Any]) -> None:
        """Copied before this returns: not every driver stages what lies in ordinary memory of the host. Where the device reads that memory
        itself (Grace, HMM), the copy may look at it later."""
        assert values.flags.c_contiguous
        with self.said():
            kind = self._runtime.memcpyHostToDevice
            self._runtime.memcpyAsync(address, values.ctypes.data, values.nbytes, kind, self.stream.ptr)
            self.stream.synchronize()

    def download(self, address: int, into: NDArray[Any]) -> None:
        """Waits for the stream."""
        assert into.flags.c_contiguous
        assert into.flags.writeable
        with self.said():
            kind = self._runtime.memcpyDeviceToHost
            self._runtime.memcpyAsync(into.ctypes.data, address, into.nbytes, kind, self.stream.ptr)
            self.stream.synchronize()

    def pinned(self, nbytes: int) -> NDArray[Any]:
        """Memory of the host that stays where it is."""
        with self.said():
            memory = self.cupy.cuda.alloc_pinned_memory(max(1, nbytes))
        return np.frombuffer(memory, np.uint8, nbytes)

    def start_download(self, address: int, into: NDArray[Any]) -> CupyTransfer:
        """On the stream for copies, behind what was launched so far."""
        assert into.flags.c_contiguous
        assert into.flags.writeable
        with self.said():
            launched = self.cupy.cuda.Event(disable_timing=True)
            launched.record(self.stream)
            self._copies.wait_event(launched)
            kind = self._runtime.memcpyDeviceToHost
            self._runtime.memcpyAsync(into.ctypes.data, address, into.nbytes, kind, self._copies.ptr)
            copied = self.cupy.cuda.Event(disable_timing=True)
            copied.record(self._copies)
        return CupyTransfer(self, copied, into)

    def copy(self, target: int, source: int, nbytes: int) -> None:
        """On the device."""
        with self.said():
            kind = self._runtime.memcpyDeviceToDevice
            self._runtime.memcpyAsync(target, source, nbytes, kind, self.stream.ptr)

    def clear(self, address: int, nbytes: int) -> None:
        """Zeros."""
        with self.said():
            self._runtime.memsetAsync(address, 0, nbytes, self.stream.ptr)

    # --- code ---------------------------------------------------------------------------------------------------------

    def module(self, text: str, *, single: bool, name: str) -> CupyModule:
        """Compiled by NVRTC, or from CuPy's cache on disk."""
        taken = self._numbers.setdefault(text, set())
        number = next(n for n in range(len(taken) + 1) if n not in taken)
        options = (*OPTIONS, FUSED[single], f"-DSNN_COPY={number}")
        try:
            with self.said():
                raw = self.cupy.RawModule(code=text, options=options, backend="nvrtc")
                raw.compile()
        except self.cupy.cuda.compiler.CompileException as problem:
            raise failure.refused_text(text, str(problem), name, " ".join(("nvrtc", *options))) from None
        except SnnError:
            raise
        except Exception as problem:  # NVRTC is not there, or does not fit the device
            raise failure.no_cupy_compiler(problem) from None
        made = CupyModule(self, raw)
        taken.add(number)
        weakref.finalize(made, taken.discard, number).atexit = False
        return made

    def synchronize(self) -> None:
        """Wait for both streams."""
        with self.said():
            self.stream.synchronize()
            self._copies.synchronize()

    @contextlib.contextmanager
    def said(self, nbytes: int = 0) -> Iterator[None]:
        """What the driver refuses, in our words: E741 and E745."""
        try:
            yield
        except (self.cupy.cuda.runtime.CUDARuntimeError, self.cupy.cuda.driver.CUDADriverError) as problem:
            text = str(problem)
            if "MemoryAllocation" in text or "OUT_OF_MEMORY" in text:
                raise failure.no_memory(getattr(self, "name", "the device"), nbytes, 0, 0) from None
            raise failure.stopped(text) from None


@lru_cache(maxsize=1)
def backend() -> CupyBackend:
    """The device, opened once. Raises E742, E743 and E785."""
    return CupyBackend()


def _imported() -> Any:
    """CuPy. Raises E742."""
    from importlib.util import find_spec

    if find_spec("cupy") is None:
        raise failure.no_cupy()
    try:
        import cupy
    except Exception as problem:
        raise failure.broken_cupy(problem) from None
    return cupy


def _require_device(cupy: Any) -> None:
    """Raises E743."""
    try:
        count = int(cupy.cuda.runtime.getDeviceCount())
    except Exception as problem:
        raise failure.no_device(str(problem), _driver(cupy)) from None
    if count < 1:
        raise failure.no_device("the driver has no device", _driver(cupy))


def _driver(cupy: Any) -> int:
    """The version of CUDA that the driver knows, such as 12040; 0 without a driver."""
    with contextlib.suppress(Exception):
        return int(cupy.cuda.runtime.driverGetVersion())
    return 0


__all__ = ["CupyBackend", "CupyGraph", "CupyModule", "CupyTransfer", "backend"]
