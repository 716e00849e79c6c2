"""``cupy.cuda.runtime``."""

from __future__ import annotations

from typing import Any

from cupy import machine

memcpyHostToHost, memcpyHostToDevice, memcpyDeviceToHost, memcpyDeviceToDevice = range(4)


class CUDARuntimeError(RuntimeError):
    """An error of the runtime, by its number."""

    def __init__(self, status: int, said: str = "") -> None:
        self.status = status
        super().__init__(machine.NAMES[status] + (f" ({said})" if said else ""))


def driverGetVersion() -> int:
    return int(machine.driver_version)


def runtimeGetVersion() -> int:
    return int(machine.driver_version)


def getDeviceCount() -> int:
    if machine.refusal:
        raise CUDARuntimeError(machine.refusal)
    return int(machine.devices)


def getDeviceProperties(device: int) -> dict[str, Any]:
    return {"name": machine.backend.name.encode()}


def memGetInfo() -> tuple[int, int]:
    free, total = machine.backend.memory()
    return int(free), int(total)


def memcpyAsync(dst: int, src: int, size: int, kind: int, stream: int) -> None:
    machine.copy(dst, src, size, kind, machine.streams[stream])


def memsetAsync(ptr: int, value: int, size: int, stream: int) -> None:
    assert value == 0
    own, backend = machine.streams[stream], machine.backend
    own.check_not_capturing()
    own.push(lambda: backend.clear(ptr, size))
