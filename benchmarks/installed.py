"""The package as an installer leaves it: with its modules compiled to byte code.

A checkout that was never imported, or whose environment forbids to write byte code, would make every process compile two hundred modules
again (0.4 s); those of the peers were compiled when they were installed.
"""

from __future__ import annotations

import compileall
import os
from pathlib import Path

import snnlang


def compile_package() -> None:
    """What ``pip install`` does at its end, for this checkout."""
    for folder in (Path(snnlang.__file__).parent, *(Path(path) for path in _beside())):
        compileall.compile_dir(str(folder), quiet=2)


def _beside() -> list[str]:
    """``codegen`` and ``stdlib``, which lie elsewhere in a checkout."""
    import snnlang.codegen
    import snnlang.stdlib

    return [os.path.dirname(str(module.__file__)) for module in (snnlang.codegen, snnlang.stdlib)]


def environment(**settings: str) -> dict[str, str]:
    """The environment of a measured process, which may use the byte code and write it."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return inherited | settings
