"""Arrays of this package: memory of the shim, computed on by NumPy, as strict as CuPy's where it is strict.

Nothing of the host mixes with them: an array of NumPy as an operand, an index or a value is an error, and so is making one of NumPy's
out of one of them by the way. What is asked of an array is in the order of the current stream, and of no other one.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np

from cupy import cuda, machine


def _arrived() -> None:
    """Everything before, on the current stream."""
    stream = machine.current_stream()
    stream.check_not_capturing()
    stream.run_to(stream.given)


def _given(value: Any) -> Any:
    """An operand as NumPy's."""
    if isinstance(value, ndarray):
        return value._own
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    return value


def _index(index: Any) -> Any:
    parts = index if isinstance(index, tuple) else (index,)
    made = tuple(_given(part) for part in parts)
    return made if isinstance(index, tuple) else made[0]


def _allocated(shape: Any, dtype: Any) -> ndarray:
    """Memory with whatever was in it."""
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = cuda.alloc(max(1, nbytes))
    buffer = (ctypes.c_uint8 * max(1, nbytes)).from_address(memory.ptr)
    return ndarray(np.frombuffer(buffer, np.uint8, nbytes).view(dtype).reshape(shape), memory)


def _made(value: Any) -> ndarray:
    """What NumPy computed, on the device."""
    value = np.asarray(value)
    result = _allocated(value.shape, value.dtype)
    result._own[...] = value
    return result


class ndarray:
    """An array on the device: ``_own`` shows its memory, ``_memory`` keeps it."""

    __array_priority__ = 100

    def __init__(self, own: Any, memory: Any) -> None:
        self._own, self._memory = own, memory

    # --- what it is ---------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._own.shape)

    @property
    def dtype(self) -> Any:
        return self._own.dtype

    @property
    def size(self) -> int:
        return int(self._own.size)

    @property
    def ndim(self) -> int:
        return int(self._own.ndim)

    @property
    def nbytes(self) -> int:
        return int(self._own.nbytes)

    @property
    def flags(self) -> Any:
        return SimpleNamespace(c_contiguous=bool(self._own.flags.c_contiguous), f_contiguous=bool(self._own.flags.f_contiguous))

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=int(self._own.__array_interface__["data"][0]))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"shape": self.shape, "typestr": self.dtype.str, "data": (self.data.ptr, False), "version": 3}

    def __len__(self) -> int:
        return len(self._own)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__":
            return NotImplemented
        _arrived()
        out = options.pop("out", None)
        made = ufunc(*(_given(value) for value in inputs), **options)
        if out is None:
            return _made(made)
        out[0]._own[...] = made
        return out[0]

    # --- views --------------------------------------------------------------------------------------------------------

    def _view(self, made: Any) -> ndarray:
        if made.size == 0 or np.shares_memory(made, self._own):
            return ndarray(made, self._memory)
        return _made(made)

    def reshape(self, *shape: Any) -> ndarray:
        _arrived()
        return self._view(self._own.reshape(*shape))

    def transpose(self, *axes: Any) -> ndarray:
        return self._view(self._own.transpose(*axes))

    @property
    def T(self) -> ndarray:
        return self._view(self._own.T)

    def __getitem__(self, index: Any) -> ndarray:
        _arrived()
        made = self._own[_index(index)]
        return self._view(made) if isinstance(made, np.ndarray) else self._view(np.asarray(self._own[(*_tuple(index), None)]).reshape(()))

    def __setitem__(self, index: Any, value: Any) -> None:
        _arrived()
        if isinstance(value, np.ndarray) and value.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        self._own[_index(index)] = _given(value)

    # --- copies -------------------------------------------------------------------------------------------------------

    def copy(self) -> ndarray:
        _arrived()
        return _made(self._own)

    def astype(self, dtype: Any, copy: bool = True) -> ndarray:
        _arrived()
        return self if not copy and self.dtype == np.dtype(dtype) else _made(self._own.astype(dtype))

    def get(self) -> Any:
        _arrived()
        return np.array(self._own)

    # --- numbers ------------------------------------------------------------------------------------------------------

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        _arrived()
        assert out is None
        return _made(self._own.sum(axis=axis, dtype=dtype, keepdims=keepdims))

    def mean(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        _arrived()
        assert out is None
        return _made(self._own.mean(axis=axis, dtype=dtype, keepdims=keepdims))

    def __float__(self) -> float:
        return float(self.get())

    def __bool__(self) -> bool:
        return bool(self.get())

    def __abs__(self) -> ndarray:
        _arrived()
        return _made(abs(self._own))

    def __neg__(self) -> ndarray:
        _arrived()
        return _made(-self._own)

    def __dlpack__(self, **options: Any) -> Any:
        _arrived()
        return self._own.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


def _tuple(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _operator(name: str) -> None:
    def plain(self: ndarray, other: Any) -> ndarray:
        _arrived()
        return _made(getattr(np.ndarray, f"__{name}__")(self._own, _given(other)))

    def reflected(self: ndarray, other: Any) -> ndarray:
        _arrived()
        return _made(getattr(np.ndarray, f"__r{name}__")(self._own, _given(other)))

    def in_place(self: ndarray, other: Any) -> ndarray:
        _arrived()
        made = getattr(np.ndarray, f"__i{name}__")(self._own, _given(other))
        assert made is self._own
        return self

    setattr(ndarray, f"__{name}__", plain)
    setattr(ndarray, f"__r{name}__", reflected)
    setattr(ndarray, f"__i{name}__", in_place)


for _name in ("add", "sub", "mul", "truediv"):
    _operator(_name)


# --- functions of the package -----------------------------------------------------------------------------------------


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return _allocated(shape, dtype)


def zeros(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    made = _allocated(shape, dtype)
    made._own[...] = 0
    return made


def zeros_like(a: ndarray, dtype: Any = None) -> ndarray:
    assert isinstance(a, ndarray)
    return zeros(a.shape, a.dtype if dtype is None else dtype)


def asarray(a: Any, dtype: Any = None, order: Any = None) -> ndarray:
    _arrived()
    if isinstance(a, ndarray):
        return a if dtype is None else a.astype(dtype, copy=False)
    return _made(np.array(a, dtype))


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    made = asarray(a, dtype)
    return made if made.flags.c_contiguous else made.copy()


def asnumpy(a: Any, stream: Any = None, order: str = "C") -> Any:
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def matmul(a: ndarray, b: ndarray, *, out: Any = None) -> ndarray:
    assert isinstance(a, ndarray)
    assert isinstance(b, ndarray)
    _arrived()
    if out is None:
        return _made(np.matmul(a._own, b._own))
    assert out.dtype == np.result_type(a.dtype, b.dtype)
    out._own[...] = np.matmul(a._own, b._own)
    return out  # type: ignore[no-any-return]


def tensordot(a: ndarray, b: ndarray, axes: Any = 2) -> ndarray:
    assert isinstance(a, ndarray)
    assert isinstance(b, ndarray)
    _arrived()
    return _made(np.tensordot(a._own, b._own, axes))


def bincount(x: ndarray, weights: Any = None, minlength: Any = None) -> ndarray:
    assert isinstance(x, ndarray)
    _arrived()
    return _made(np.bincount(x._own, None if weights is None else weights._own, 0 if minlength is None else minlength))


def clip(a: ndarray, a_min: Any, a_max: Any, out: Any = None) -> ndarray:
    assert isinstance(a, ndarray)
    assert a_min is not None or a_max is not None
    _arrived()
    made = np.clip(a._own, a_min, a_max)
    if out is None:
        return _made(made)
    out._own[...] = made
    return out  # type: ignore[no-any-return]


def broadcast_to(array: ndarray, shape: Any) -> ndarray:
    assert isinstance(array, ndarray)
    return array._view(np.broadcast_to(array._own, shape))


def from_dlpack(array: ndarray) -> ndarray:
    return ndarray(np.from_dlpack(array), array._memory)


def norm(x: ndarray, ord: Any = None) -> ndarray:
    assert isinstance(x, ndarray)
    _arrived()
    return _made(np.linalg.norm(x._own, ord))


linalg = SimpleNamespace(norm=norm)
