"""``cupy.cuda.driver``."""

from __future__ import annotations

from typing import Any

from cupy import machine

functions: dict[int, tuple[Any, str]] = {}


class CUDADriverError(RuntimeError):
    """An error of the driver, by its number."""

    def __init__(self, status: int, said: str) -> None:
        self.status = status
        super().__init__(said)


def occupancyMaxActiveBlocksPerMultiprocessor(func: int, blockSize: int, dynamicSMemSize: int) -> int:
    module, name = functions[func]
    return int(module.resident_blocks(name, blockSize)) // int(machine.backend.multiprocessors)
