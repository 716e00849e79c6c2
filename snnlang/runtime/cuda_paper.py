"""A device on paper: a backend that only remembers what would be allocated and copied, so that it can be written to files.

:class:`snnlang.runtime.cuda_memory.Memory` lays a model out on it as on any other. Addresses are made up; nothing can be launched, compiled
or read back, and asking for that is our mistake (AssertionError).
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from snnlang.frozen import dataclass
from snnlang.runtime.cuda_cupy import BLOCK

#: Bytes that the paper offers: more than any model needs.
_TOTAL: Final = 2**62


@dataclass(frozen=True, slots=True)
class Sheet:
    """An allocation: ``nbytes``, and what was copied to its beginning (None: zeros)."""

    nbytes: int
    content: NDArray[Any] | None = None


class Paper:
    """A backend; ``sheets`` by address, in the order of allocation."""

    def __init__(self) -> None:
        self.name = "paper"
        self.multiprocessors = 1
        self.capability = (0, 0)
        self.block = BLOCK
        self.sheets: dict[int, Sheet] = {}
        self._next = 2**20

    def memory(self) -> tuple[int, int]:
        """More than any model needs."""
        return _TOTAL, _TOTAL

    def allocate(self, nbytes: int) -> int:
        """A new address."""
        address = self._next
        self._next += (nbytes + 511) // 256 * 256
        self.sheets[address] = Sheet(nbytes)
        return address

    def release(self, address: int) -> None:
        """Forget an allocation."""
        del self.sheets[address]

    def upload(self, address: int, values: NDArray[Any]) -> None:
        """Remember what was copied; a part of an allocation changes the bytes that it holds already."""
        starts = list(self.sheets)
        start = starts[bisect_right(starts, address) - 1]
        sheet = self.sheets[start]
        offset = address - start
        assert offset + values.nbytes <= sheet.nbytes
        if offset == 0 and (sheet.content is None or values.nbytes >= sheet.content.nbytes):
            self.sheets[start] = Sheet(sheet.nbytes, values.reshape(-1).copy())
            return
        whole = np.zeros(sheet.nbytes, np.uint8)
        if sheet.content is not None:
            whole[: sheet.content.nbytes] = sheet.content.view(np.uint8)
        whole[offset : offset + values.nbytes] = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        self.sheets[start] = Sheet(sheet.nbytes, whole)

    def clear(self, address: int, nbytes: int) -> None:
        """An allocation holds zeros again."""
        assert nbytes >= self.sheets[address].nbytes
        self.sheets[address] = Sheet(self.sheets[address].nbytes)

    def synchronize(self) -> None:
        """Nothing runs."""

    def download(self, address: int, into: NDArray[Any]) -> NoReturn:
        """Refused."""
        raise AssertionError("paper gives nothing back")

    def pinned(self, nbytes: int) -> NoReturn:
        """Refused."""
        raise AssertionError("paper gives nothing back")

    def start_download(self, address: int, into: NDArray[Any]) -> NoReturn:
        """Refused."""
        raise AssertionError("paper gives nothing back")

    def copy(self, target: int, source: int, nbytes: int) -> NoReturn:
        """Refused."""
        raise AssertionError("paper copies nothing")

    def module(self, text: str, *, single: bool, name: str) -> NoReturn:
        """Refused."""
        raise AssertionError("paper compiles nothing")


__all__ = ["Paper", "Sheet"]
