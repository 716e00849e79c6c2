"""What a compiled model is given when it is made, as ctypes lays it out: ``snn_given`` and ``snn_wiring`` of codegen/native/model.h.

The members stand in the order of the header, and all of them are 8 bytes wide. What the pointers point to is kept beside them, and may go
as soon as the model is made. Data of arrays are not passed here: the device writes them through the finished model, where their length is
known.
"""

from __future__ import annotations

import ctypes
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.plan import Plan
from snnlang.codegen.wiring import SHAPE, Wiring, wiring
from snnlang.frozen import dataclass

if TYPE_CHECKING:
    from snnlang.codegen.native_code import NativeCode

_POINTERS = ("pre_part", "post_part", "row_start", "post", "shared")


def _type(name: str) -> Any:
    if name in _POINTERS:
        return ctypes.c_void_p
    return {"key": ctypes.c_uint64, "p": ctypes.c_double, "shape": ctypes.c_int64 * SHAPE}.get(name, ctypes.c_int64)


class NativeWiring(ctypes.Structure):
    """``snn_wiring``: how one connectivity is built."""

    _fields_ = [*((field.name, _type(field.name)) for field in fields(Wiring)), ("condition", ctypes.c_void_p)]


class NativeGiven(ctypes.Structure):
    """``snn_given``: everything that may change without compiling again."""

    _fields_ = [
        (name, ctypes.c_void_p)
        for name in ("whole", "number", "initial", "key", "data", "wiring", "chosen", "chosen_count")
    ]


@dataclass(frozen=True, slots=True)
class Packed:
    """``given`` for ``snn_create``; ``kept`` is the memory that it points to."""

    given: NativeGiven
    kept: tuple[Any, ...]


def pack(plan: Plan, code: NativeCode) -> Packed:
    """The numbers of a plan in the order in which its C code wants them."""
    kept: list[Any] = []

    def numbers(values: Any, dtype: Any) -> int:
        made: NDArray[Any] = np.ascontiguousarray(values, dtype)
        kept.append(made)
        return int(made.ctypes.data)

    wirings = (NativeWiring * max(1, len(code.connectivities)))()
    for number, name in enumerate(code.connectivities):
        connectivity = plan.connectivities[name]
        _fill(wirings[number], wiring(connectivity, plan.streams.get(connectivity.stream)), kept)
    recorders = {recorder.label: recorder.indices for recorder in plan.recorders}
    chosen = [recorders[label] for label in code.recorders]
    pointers = (ctypes.c_void_p * max(1, len(chosen)))()
    for number, indices in enumerate(chosen):
        pointers[number] = None if indices is None else numbers(indices, np.int64)
    data = (ctypes.c_void_p * max(1, len(code.arrays)))()
    kept += [wirings, pointers, data]
    given = NativeGiven(
        numbers(code.whole, np.int64),
        numbers(code.number, np.float64),
        numbers(code.initial, np.float64),
        numbers([plan.streams[name].key for name in code.streams], np.uint64),
        ctypes.addressof(data),
        ctypes.addressof(wirings),
        ctypes.addressof(pointers),
        numbers([-1 if indices is None else len(indices) for indices in chosen], np.int64),
    )
    return Packed(given, tuple(kept))


def _fill(native: NativeWiring, described: Wiring, kept: list[Any]) -> None:
    for field in fields(Wiring):
        value = getattr(described, field.name)
        if field.name in _POINTERS:
            kept.append(value)
            value = None if value is None else int(value.ctypes.data)
        elif field.name == "shape":
            value = (ctypes.c_int64 * SHAPE)(*value)
        setattr(native, field.name, value)


__all__ = ["NativeGiven", "NativeWiring", "Packed", "pack"]
