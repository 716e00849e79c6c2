"""The native device: a plan compiled to C and run by ctypes, whole simulations in one call.

The library holds all memory; NumPy looks into it for reading and writing, and every array that leaves is a copy. Whole numbers and truths
have the types that the NumPy device gives (int64, bool). Sizes, parameters, seeds and durations are given when the model is made, so the
library of a plan serves every plan of its structure. Refused: more memory or threads than there are, and runs that are longer than step
numbers reach (E737).
"""

from __future__ import annotations

import ctypes
import math
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.plan import Array, Plan, ValueRecorder
from snnlang.diagnostics import SnnError, error
from snnlang.runtime.compiler import Mathematics, library
from snnlang.runtime.native_given import pack
from snnlang.runtime.target_limits import LAST_STEP, too_long
from snnlang.runtime.threads import threads_for

if TYPE_CHECKING:
    from snnlang.codegen.native_code import NativeCode

Values = NDArray[Any]

#: The greatest whole number of C's arrays.
LAST_INT = 2**31 - 1


class Snapshot:
    """The state of a device at one step. ``constants`` holds what no kernel writes and the user wrote since: per-synapse numbers."""

    __slots__ = ("__weakref__", "constants", "memory", "step")

    def __init__(self, step: int, memory: NDArray[np.uint8]) -> None:
        self.step = step
        self.memory = memory
        self.constants: dict[str, Values] = {}


class NativeDevice:
    """Runs a plan as compiled C. Its methods are those of :class:`snnlang.runtime.device_numpy.NumpyDevice`."""

    def __init__(
        self, plan: Plan, *, threads: int | None = None, math: Mathematics = "fast", code: NativeCode | None = None
    ) -> None:
        self.plan = plan
        self.step = 0
        if code is None:
            from snnlang.codegen.target_c import emit

            code = emit(plan, math=math)
        self.text = code.text
        built = library(code.text, math, plan.name)
        self.cached, self.compile_seconds = built.cached, built.seconds
        self._call = _declared(built.handle)
        self.threads = threads_for(plan, threads)
        self._model = self._made(code)
        self._real = np.dtype(np.float64 if plan.precision == "double" else np.float32)
        self._number = {name: number for number, name in enumerate(code.arrays)}
        self._connectivity = {name: number for number, name in enumerate(code.connectivities)}
        self._record = {label: number for number, label in enumerate(code.recorders)}
        self._recorder = {recorder.label: recorder for recorder in plan.recorders}
        self._views: dict[str, Values] = {}
        self._snapshots: weakref.WeakSet[Snapshot] = weakref.WeakSet()
        for array in plan.arrays.values():
            if array.data is not None:
                self._give(array)

    def _made(self, code: NativeCode) -> ctypes.c_void_p:
        model = ctypes.c_void_p()
        packed = pack(self.plan, code)
        answer = self._call.snn_create(ctypes.byref(model), ctypes.byref(packed.given), self.threads)
        if answer < 0:
            raise _no_threads(self.threads)
        if answer == 0 or not model:
            raise _no_memory("to hold the network")
        weakref.finalize(self, self._call.snn_destroy, model).atexit = False  # the system frees faster
        return model

    def _give(self, array: Array) -> None:
        view, given = self._view(array.name), np.asarray(array.data)
        if view.dtype == np.int32:  # steps beyond the last one stay beyond it, and in order
            given = np.clip(given, -LAST_INT, LAST_INT)
        view[...] = given.reshape(view.shape) if given.size == view.size else given.ravel()

    # --- phases -------------------------------------------------------------------------------------------------------

    def setup(self) -> None:
        """Run the plan's setup nodes."""
        self._call.snn_setup(self._model, self.step)

    def coefficients(self) -> None:
        """Compute coefficients again, after a parameter or input of the network was written."""
        self._call.snn_coefficients(self._model, self.step)

    def trial_start(self, step: int | None = None) -> None:
        """Empty lists and queues, refill holds, clocks, histories and scratch, run the plan's trial_start nodes."""
        if step is not None:
            self.step = step
        self._call.snn_trial_start(self._model, self.step)

    def run(self, first_step: int, count: int) -> None:
        """Run steps first_step .. first_step + count - 1. Raises E737 (threads, length) and E805 (memory)."""
        if first_step + count > LAST_STEP:
            raise SnnError(too_long("c", first_step + count))
        if count > 0:
            ran = self._call.snn_run(self._model, first_step, count)
            if ran == -1:
                raise _no_threads(self.threads)
            if ran < count:
                raise _no_memory("for what is recorded or on its way")
        self.step = first_step + count

    def trial_end(self) -> None:
        """Run the plan's trial_end nodes."""
        self._call.snn_trial_end(self._model, self.step)

    # --- memory -------------------------------------------------------------------------------------------------------

    def _view(self, array: str) -> Values:
        """All slots of an array, in the memory of the model: it must not leave the device."""
        view = self._views.get(array)
        if view is None:
            described = self.plan.arrays[array]
            count = ctypes.c_int64()
            place = self._call.snn_array(self._model, self._number[array], ctypes.byref(count))
            dtype = {"real": self._real, "int": np.dtype(np.int32), "bool": np.dtype(bool)}[described.type]
            view = _looking(place, count.value, dtype)
            if described.depth > 1:
                view = view.reshape(described.depth, -1) if described.shape or described.connectivity else view
            elif not described.shape and described.connectivity is None:
                view = view.reshape(())
            self._views[array] = view
        return view

    def _current(self, array: str) -> Values:
        view, depth = self._view(array), self.plan.arrays[array].depth
        return view[(self.step - 1) % depth, ...] if depth > 1 else view

    def read(self, array: str) -> Values:
        """A copy of an array; of a ring, the slot of the last step that ran."""
        current = self._current(array)
        return current.astype(np.int64) if current.dtype == np.int32 else current.copy()

    def write(self, array: str, values: Any) -> None:
        """Set an array, or the slot of a ring that the last step wrote."""
        given = np.asarray(values)
        current = self._current(array)
        self._remember(array)
        current[...] = given.reshape(current.shape) if given.size == current.size and current.ndim else given

    def _remember(self, array: str) -> None:
        """Snapshots leave out numbers of synapses that nothing writes; when the user does, they get them as they were."""
        if self.plan.arrays[array].connectivity is None:
            return
        for snapshot in self._snapshots:
            if array not in snapshot.constants:
                snapshot.constants[array] = self._view(array).copy()

    def snapshot(self) -> Snapshot:
        """A copy of all that changes while running, but the records."""
        memory = np.empty(max(1, self._call.snn_save(self._model, None)), np.uint8)
        self._call.snn_save(self._model, memory.ctypes.data)
        made = Snapshot(self.step, memory)
        self._snapshots.add(made)
        return made

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        for array, values in snapshot.constants.items():
            self._remember(array)
            self._view(array)[...] = values
        if not self._call.snn_restore(self._model, snapshot.memory.ctypes.data):
            raise _no_memory("to go back to a state")
        self.step = snapshot.step

    def synapses(self, connectivity: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """(pre, post) of every synapse, indices in the full populations, in the order of per-synapse arrays."""
        number = self._connectivity[connectivity]
        count = self._call.snn_synapses(self._model, number, None, None)
        pre, post = np.empty(count, np.int32), np.empty(count, np.int32)
        self._call.snn_synapses(self._model, number, pre.ctypes.data, post.ctypes.data)
        return pre, post

    @property
    def nbytes(self) -> int:
        """Bytes of arrays, synapses and records."""
        return int(self._call.snn_bytes(self._model))

    # --- records ------------------------------------------------------------------------------------------------------

    def _recorded(self, label: str) -> tuple[int, int, int, int]:
        number = self._record[label]
        steps, values = ctypes.c_void_p(), ctypes.c_void_p()
        count = self._call.snn_recorded(self._model, number, ctypes.byref(steps), ctypes.byref(values))
        return number, count, steps.value or 0, values.value or 0

    def drain_events(self, label: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(steps, indices) of the events recorded since the last call."""
        number, count, steps, values = self._recorded(label)
        indices = _looking(values, count, np.dtype(np.int32)).astype(np.int64)
        drained = _looking(steps, count, np.dtype(np.int64)).copy(), indices
        self._call.snn_forget(self._model, number)
        return drained

    def drain_values(self, label: str) -> tuple[NDArray[np.int64], Values]:
        """(steps, rows) of the values recorded since the last call: (k,), (k, elements)."""
        recorder = self._recorder[label]
        assert isinstance(recorder, ValueRecorder)
        current = self._current(recorder.array)
        shape = current.shape if recorder.indices is None else (len(recorder.indices),)
        number, count, steps, values = self._recorded(label)
        rows = _looking(values, count * math.prod(shape), current.dtype).reshape(count, *shape)
        drained = _looking(steps, count, np.dtype(np.int64)).copy()
        kept = rows.astype(np.int64) if rows.dtype == np.int32 else rows.copy()
        self._call.snn_forget(self._model, number)
        return drained, kept


def _looking(place: int | None, count: int, dtype: np.dtype[Any]) -> Values:
    """Memory of the library as an array; empty where there is none."""
    if not place or count <= 0:
        return np.empty(0, dtype)
    memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(place)
    return np.ndarray((count,), dtype, memory)  # type: ignore[arg-type]


def _declared(handle: ctypes.CDLL) -> ctypes.CDLL:
    """The functions of a library with their types (see codegen/c_exports.py and codegen/c_memory.py)."""
    model, whole, place = ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p
    types: dict[str, tuple[Any, list[Any]]] = {
        "create": (ctypes.c_int, [place, place, ctypes.c_int]),
        "destroy": (None, [model]),
        "setup": (None, [model, whole]),
        "coefficients": (None, [model, whole]),
        "trial_start": (None, [model, whole]),
        "trial_end": (None, [model, whole]),
        "run": (whole, [model, whole, whole]),
        "array": (place, [model, whole, place]),
        "synapses": (whole, [model, whole, place, place]),
        "recorded": (whole, [model, whole, place, place]),
        "forget": (None, [model, whole]),
        "save": (whole, [model, place]),
        "restore": (ctypes.c_int, [model, place]),
        "bytes": (whole, [model]),
    }
    for name, (result, arguments) in types.items():
        function = getattr(handle, f"snn_{name}")
        function.restype, function.argtypes = result, arguments
    return handle


def _no_memory(what: str) -> Exception:
    return error(
        "E805",
        f"the memory of this machine is not enough {what}",
        help="make the network smaller, record less, or use --precision float32",
    )


def _no_threads(threads: int) -> Exception:
    return error("E737", f"the system refused {threads} threads", help="ask for fewer: --threads 1")


__all__ = ["LAST_STEP", "NativeDevice", "Snapshot"]
