"""A package with the names and signatures of CuPy that snnlang calls, and nothing else: its device is the shim.

It stands before the real one on the path of those tests that prove, without a device, that every call to CuPy is spelt as CuPy 13 and 14
spell it, that everything is in the order of one stream, and that nobody reads what has not arrived.
"""

from __future__ import annotations

from typing import Any

from cupy import cuda, machine
from cupy.arrays import (
    asarray,
    ascontiguousarray,
    asnumpy,
    bincount,
    broadcast_to,
    clip,
    empty,
    from_dlpack,
    linalg,
    matmul,
    ndarray,
    tensordot,
    zeros,
    zeros_like,
)
from snnlang.diagnostics import SnnError
from snnlang.runtime.cuda_shim import ShimModule

__version__ = "13.99"
_modules: dict[tuple[str, tuple[str, ...]], ShimModule] = {}


class Function:
    """A kernel."""

    def __init__(self, module: ShimModule, name: str) -> None:
        self._module, self._name = module, name
        self.ptr = module._symbol(name)
        cuda.driver.functions[self.ptr] = (module, name)

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        shared_mem: int = 0,
        stream: Any = None,
        enable_cooperative_groups: bool = False,
    ) -> None:
        assert shared_mem == 0
        assert len(grid) == len(block) == 1
        own = machine.current_stream() if stream is None else stream.own
        machine.launch(self._module, self._name, grid[0], block[0], args, own, enable_cooperative_groups)


class RawKernel:
    """A kernel of a module."""

    def __init__(self, function: Function) -> None:
        self._function = function

    @property
    def kernel(self) -> Function:
        return self._function


class RawModule:
    """A text; those of one text and the same options are one module."""

    def __init__(
        self,
        *,
        code: str | None = None,
        path: str | None = None,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Any = None,
        jitify: Any = None,
    ) -> None:
        assert code is not None
        assert path is None
        assert isinstance(options, tuple)
        assert all(isinstance(option, str) for option in options)
        assert backend == "nvrtc"
        assert not enable_cooperative_groups, "that links with a library of the CUDA toolkit, which wheels do not bring"
        self.code, self.options = code, options

    def _module(self) -> ShimModule:
        key = self.code, self.options
        if key not in _modules:
            if not machine.backend.name:
                raise RuntimeError("CuPy failed to load libnvrtc.so.12: cannot open shared object file")
            try:
                _modules[key] = machine.backend.module(self.code, single=True, name="a text")
            except SnnError as problem:
                raise cuda.compiler.CompileException(
                    problem.diagnostics[0].message, self.code, "kern.cu", self.options
                ) from None
        return _modules[key]

    def compile(self, log_stream: Any = None) -> None:
        self._module()

    def get_function(self, name: str) -> RawKernel:
        try:
            return RawKernel(Function(self._module(), name))
        except KeyError:
            raise cuda.driver.CUDADriverError(500, "CUDA_ERROR_NOT_FOUND: named symbol not found") from None

    def get_global(self, name: str) -> Any:
        address, _ = self._module().constant(name)
        return cuda.MemoryPointer(address, owned=False)


class _Pool:
    def free_bytes(self) -> int:
        return 0


def get_default_memory_pool() -> _Pool:
    return _Pool()


__all__ = [
    "RawModule",
    "asarray",
    "ascontiguousarray",
    "asnumpy",
    "bincount",
    "broadcast_to",
    "clip",
    "cuda",
    "empty",
    "from_dlpack",
    "get_default_memory_pool",
    "linalg",
    "machine",
    "matmul",
    "ndarray",
    "tensordot",
    "zeros",
    "zeros_like",
]
