"""What every device offers: the arrays of a plan, its nodes to run, and what its recorders saw."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from snnlang.codegen.plan import Plan


class Device(Protocol):
    """A plan with storage. ``step`` is the number of the next step; arrays are read as copies and written by broadcasting."""

    plan: Plan
    step: int

    def setup(self) -> None: ...

    def coefficients(self) -> None: ...

    def trial_start(self) -> None: ...

    def run(self, first_step: int, count: int) -> None: ...

    def trial_end(self) -> None: ...

    def read(self, array: str) -> NDArray[Any]: ...

    def write(self, array: str, values: Any) -> None: ...

    def drain_events(self, label: str) -> tuple[NDArray[Any], NDArray[Any]]: ...

    def drain_values(self, label: str) -> tuple[NDArray[Any], NDArray[Any]]: ...

    def snapshot(self) -> Any: ...

    def restore(self, snapshot: Any) -> None: ...

    def synapses(self, connectivity: str) -> tuple[NDArray[Any], NDArray[Any]]: ...


def make_device(plan: Plan, target: str) -> tuple[Device, str]:
    """A device for ``auto``, ``numpy`` or ``interpreter``, and the name of what was chosen."""
    match target:
        case "auto" | "numpy":
            from snnlang.runtime.device_numpy import NumpyDevice

            return NumpyDevice(plan), "numpy"
        case "interpreter":
            from snnlang.runtime.device_interpreter import InterpreterDevice

            return InterpreterDevice(plan), "interpreter"
        case _:
            from snnlang.diagnostics import error

            raise error("E711", f"`{target}` is no target of this version", help="use auto, numpy or interpreter")
