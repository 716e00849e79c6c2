"""The package that stands for CuPy has no name and no parameter that CuPy has not: asked of the real one where it is installed.

That needs no device: ``pip install --no-deps --target FOLDER cupy-cuda12x cuda-pathfinder`` and ``PYTHONPATH=FOLDER``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import snnlang

FAKE = Path(__file__).parent / "fake"
ROOT = Path(snnlang.__file__).parents[1]

#: Prints the names of the package for tests, by dots, with the parameters of what can be called.
OURS = """
import inspect, json, types
import cupy
from cupy import arrays, cuda
from cupy.cuda import compiler, driver, memory, runtime

found = {}

def parameters(value):
    return [name for name in inspect.signature(value).parameters if name not in ("self", "args", "options")]

def see(path, value):
    if isinstance(value, type):
        if not issubclass(value, Exception):
            for name, inner in vars(value).items():
                if not name.startswith("_"):
                    see(f"{path}.{name}", inner)
        made = value.__name__ in ("RawModule", "Stream", "Event", "Device")  # others nobody makes
        found[path] = parameters(value.__init__) if made else []
    elif isinstance(value, types.FunctionType):
        found[path] = parameters(value)
    else:
        found[path] = []

for module, names in (
    (cupy, [name for name in cupy.__all__ if name not in ("cuda", "machine", "linalg")]),
    (cuda, [name for name in cuda.__all__ if not isinstance(getattr(cuda, name), types.ModuleType)]),
    *((part, [name for name in vars(part) if name[0] != "_" and getattr(vars(part)[name], "__module__", part.__name__) == part.__name__])
      for part in (compiler, driver, memory, runtime)),
):
    for name in names:
        value = getattr(module, name)
        if not isinstance(value, types.ModuleType) and name not in ("functions", "annotations", "Any", "machine"):
            see(f"{module.__name__}.{name}", value)
found["cupy.linalg.norm"] = parameters(arrays.norm)
print(json.dumps(found))
"""
#: Prints which of them the real one has not. What is compiled says its parameters in its first line of help, or not at all.
THEIRS = """
import importlib, inspect, json, sys
import cupy, cupy.cuda.compiler, cupy.cuda.memory

def reached(path):
    value = cupy
    for name in path.split(".")[1:]:
        value = getattr(value, name)
    return value

missing = []
for path, parameters in json.load(sys.stdin).items():
    try:
        value = reached(path)
    except AttributeError:
        missing.append(path)
        continue
    try:
        known = list(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        head = (value.__doc__ or "").strip().split("\\n")[0]
        known = head if "(" in head else None
    if known is None or "kwargs" in known or "args" in known:
        continue
    missing += [f"{path}({name})" for name in parameters if name not in known]
print(json.dumps([cupy.__version__, missing]))
"""


def run(program: str, path: list[str], given: str = "") -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*path, str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], input=given, capture_output=True, text=True, env=environment, timeout=50
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_every_name_is_one_of_cupy() -> None:
    pytest.importorskip("cupy", reason="CuPy is not installed")
    ours = json.loads(run(OURS, [str(FAKE)]))
    assert {"cupy.cuda.Stream.begin_capture", "cupy.cuda.runtime.memcpyAsync", "cupy.RawModule.get_global"} <= ours.keys()
    _, missing = json.loads(run(THEIRS, [], json.dumps(ours)))
    assert missing == []
