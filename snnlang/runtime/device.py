"""What every device offers: the arrays of a plan, its nodes to run, and what its recorders saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from numpy.typing import NDArray

from snnlang.codegen.plan import Plan
from snnlang.diagnostics import Diagnostic, SnnError, error
from snnlang.frozen import dataclass
from snnlang.prepared import kept

if TYPE_CHECKING:
    from snnlang.codegen.cuda_code import CudaCode
    from snnlang.codegen.native_code import NativeCode


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


@dataclass(frozen=True, slots=True)
class Chosen:
    """A device, the name of its target, and what must be said about the choice (W733, W743)."""

    device: Device
    target: str
    warnings: tuple[Diagnostic, ...] = ()


def make_device(
    plan: Plan,
    target: str,
    *,
    threads: int | None = None,
    math: Literal["fast", "strict"] = "fast",
    identity: str = "",
    steps: int | None = None,
) -> Chosen:
    """A device for a target: ``c``, ``cuda``, ``numpy``, ``interpreter``, or ``auto``.

    ``auto`` is cuda where a device answers and the work is large enough for one (:func:`snnlang.runtime.cuda_choice.pays`), else c where a
    C compiler works, else numpy; it says what it had to do without (W733, W743). ``threads`` and ``math`` concern c alone; ``steps`` is the
    length of the run where it is known; ``identity`` names the plan whose code may be kept (:func:`snnlang.prepared.kept`). Raises E711 (no
    such target), E733 to E736 (compiler; ``auto`` only on E735, our mistake), E737 and E747 (what 32 bits cannot count) and, for cuda,
    E741 to E745.
    """
    match target:
        case "auto":
            from snnlang.runtime import cuda_choice

            if cuda_choice.installed() and cuda_choice.pays(plan, steps, threads):
                try:
                    return make_device(plan, "cuda", identity=identity, steps=steps)
                except SnnError as problem:
                    chosen = _on_processor(plan, threads, math, identity)
                    return Chosen(chosen.device, chosen.target, (cuda_choice.unused(problem), *chosen.warnings))
            return _on_processor(plan, threads, math, identity)
        case "cuda":
            from snnlang.runtime.cuda_choice import opened
            from snnlang.runtime.device_cuda import CudaDevice

            _require_within(plan, target, steps)
            backend = opened()

            def printed_cuda() -> CudaCode:
                from snnlang.codegen.target_cuda import emit

                return emit(plan)

            return Chosen(CudaDevice(plan, backend, kept(identity, "cuda", printed_cuda)), "cuda")
        case "c":
            _require_within(plan, target, steps)
            from snnlang.runtime.device_c import NativeDevice

            def printed() -> NativeCode:
                from snnlang.codegen.target_c import emit

                return emit(plan, math=math)

            code = kept(identity, f"c {math}", printed)
            return Chosen(NativeDevice(plan, threads=threads, math=math, code=code), "c")
        case "numpy":
            from snnlang.runtime.device_numpy import NumpyDevice

            return Chosen(NumpyDevice(plan, identity), "numpy")
        case "interpreter":
            from snnlang.runtime.device_interpreter import InterpreterDevice

            return Chosen(InterpreterDevice(plan), "interpreter")
        case _:
            raise error(
                "E711", f"`{target}` is no target of this version", help="use auto, c, cuda, numpy or interpreter"
            )


def _require_within(plan: Plan, target: str, steps: int | None) -> None:
    """What the target cannot run is refused before anything is made of the plan."""
    from snnlang.runtime.target_limits import refusals

    problems = refusals(plan, target, steps)
    if problems:
        raise SnnError(*problems)


def _on_processor(plan: Plan, threads: int | None, math: Literal["fast", "strict"], identity: str) -> Chosen:
    """c where a C compiler works, else numpy with W733."""
    warning = fallback()
    if warning is None:
        try:
            return make_device(plan, "c", threads=threads, math=math, identity=identity)
        except SnnError as problem:
            first = problem.diagnostics[0]
            if first.code not in ("E734", "E736"):
                raise
            warning = _fallen(first.message)
    chosen = make_device(plan, "numpy", identity=identity)
    return Chosen(chosen.device, chosen.target, (warning,))


def fallback() -> Diagnostic | None:
    """W733 where ``auto`` must do with NumPy because there is no C compiler; starts no process."""
    from snnlang.runtime.compiler import find, missing

    return (
        None if find() is not None else _fallen(missing().message.removeprefix("the target c needs a C compiler, and "))
    )


def _fallen(reason: str) -> Diagnostic:
    message = f"NumPy runs this, more slowly than C: {reason}; 'pip install snnlang[cc]' brings a compiler"
    return Diagnostic("W733", message, severity="warning")
