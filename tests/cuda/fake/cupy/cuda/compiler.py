"""``cupy.cuda.compiler``."""

from __future__ import annotations


class CompileException(Exception):
    """NVRTC refused a text."""

    def __init__(self, msg: str, source: str, name: str, options: tuple[str, ...], backend: str = "nvrtc") -> None:
        self._msg = msg
        super().__init__()

    def __str__(self) -> str:
        return self._msg
