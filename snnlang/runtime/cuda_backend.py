"""What the cuda device needs of a machine: memory, compiled modules, launches and graphs of launches; addresses are plain whole numbers.

Two offer it: :mod:`snnlang.runtime.cuda_cupy` (a device, through CuPy) and :mod:`snnlang.runtime.cuda_shim` (a processor, for tests).
Everything is in the order of the calls, on one stream; what returns something to the host waits for what it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray


class Transfer(Protocol):
    """A copy from the device that goes on while the device computes."""

    def wait(self) -> None:
        """Return when the values have arrived."""
        ...


class Graph(Protocol):
    """Launches that were recorded once and run as one."""

    def launch(self) -> None:
        """Run all of them, in order, without waiting for them."""
        ...


class Module(Protocol):
    """A compiled text, loaded; two modules of one text share no variables."""

    def constant(self, name: str) -> tuple[int, int]:
        """Address and bytes of a ``__constant__`` or ``__device__`` variable; ``upload`` and ``download`` work on it."""
        ...

    def launch(
        self, kernel: str, grid: int, arguments: tuple[int, ...] = (), *, block: int = 0, cooperative: bool = False
    ) -> None:
        """Start a kernel on ``grid`` blocks of ``block`` threads (0: the backend's); arguments are 64-bit whole numbers."""
        ...

    def resident_blocks(self, kernel: str, block: int = 0) -> int:
        """How many blocks of a kernel the device holds at once: the most that a cooperative launch may have."""
        ...

    def graph(self, launches: Sequence[tuple[str, int]], repeat: int) -> Graph:
        """Launches (kernel, blocks) without arguments, in order, ``repeat`` times, as one."""
        ...


class Backend(Protocol):
    """A device."""

    #: What to call it: the name that the driver gives.
    name: str
    multiprocessors: int
    capability: tuple[int, int]
    #: Threads of a block to launch with where nothing else is said.
    block: int

    def memory(self) -> tuple[int, int]:
        """Bytes that can be had now, and bytes of the device."""
        ...

    def allocate(self, nbytes: int) -> int:
        """The address of memory that holds zeros, a multiple of 256. Raises E741."""
        ...

    def release(self, address: int) -> None:
        """Give back what ``allocate`` gave."""
        ...

    def upload(self, address: int, values: NDArray[Any]) -> None:
        """Copy a C-contiguous array of the host to an address."""
        ...

    def download(self, address: int, into: NDArray[Any]) -> None:
        """Fill a C-contiguous array of the host from an address; waits for everything before it."""
        ...

    def pinned(self, nbytes: int) -> NDArray[Any]:
        """Memory of the host (uint8) that the device can write by itself: for ``start_download``."""
        ...

    def start_download(self, address: int, into: NDArray[Any]) -> Transfer:
        """Like ``download`` into ``pinned`` memory, after what was launched so far, beside what is launched from now on."""
        ...

    def copy(self, target: int, source: int, nbytes: int) -> None:
        """Copy on the device."""
        ...

    def clear(self, address: int, nbytes: int) -> None:
        """Set bytes to zero."""
        ...

    def module(self, text: str, *, single: bool, name: str) -> Module:
        """Compile a text and load it. ``single``: products and sums may be fused; ``name`` is for messages. Raises E744."""
        ...

    def synchronize(self) -> None:
        """Wait for everything that was started. Raises E745 where the device stopped with an error."""
        ...


__all__ = ["Backend", "Graph", "Module", "Transfer"]
