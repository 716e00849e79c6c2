"""NVIDIA's compiler at run time, which CuPy calls: with it a text is compiled as on a machine with a device, and none is needed."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from snnlang.runtime import cuda_cupy

#: What CuPy 13 and 14 add to the options that they are given.
ADDED = ("-ftz=true", "--device-as-default-execution-space")


def library() -> Any:
    """NVRTC as the system or the package nvidia-cuda-nvrtc has it; None without one."""
    try:
        found = importlib.util.find_spec("nvidia.cuda_nvrtc")
    except ModuleNotFoundError:
        found = None
    folders = [] if found is None else list(found.submodule_search_locations or [])
    paths = [str(path) for folder in folders for path in sorted(Path(folder, "lib").glob("libnvrtc.so*"))]
    for name in (*paths, ctypes.util.find_library("nvrtc")):
        if name is not None:
            return ctypes.CDLL(name)
    return None


def said(text: str, *, single: bool, architecture: str) -> str:
    """What it says to a text, which is nothing where all is well. Skips the test where there is none."""
    nvrtc = library()
    if nvrtc is None:
        pytest.skip("no NVRTC: pip install nvidia-cuda-nvrtc-cu12")
    options = [*cuda_cupy.OPTIONS, cuda_cupy.FUSED[single], "-DSNN_COPY=0", *ADDED, f"-arch={architecture}"]
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"text.cu", 0, None, None) == 0
    answer = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*(o.encode() for o in options)))
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(max(1, size.value))
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return f"error {answer}\n{log.value.decode()}" if answer else log.value.decode().strip("\0\n ")


__all__ = ["library", "said"]
