"""What a target cannot run, found from the plan before anything is generated, compiled or allocated.

``c`` and ``cuda`` count steps in 32 bits (E737) and, where synapses are also visited by columns or are on their way one by one, number
them in 32 bits (E747). ``cuda`` compares its memory with that of the device, where there is one (E741). ``numpy`` and the interpreter run
every plan. What is random is taken as expected; a queue that may overflow is a warning (W748). What depends on
the run (a device that stops, a queue that does overflow) is found there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from snnlang.diagnostics import Diagnostic, SnnError, Span

if TYPE_CHECKING:
    from snnlang.codegen.plan import Connectivity, Plan
    from snnlang.runtime.cuda_backend import Backend

#: The step that a run of a compiled target must not pass: lags and periods are added to it in 32 bits.
LAST_STEP: Final = 2**30
#: Synapses of one connection that have numbers of their own.
MOST_SYNAPSES: Final = 2**31 - 1


def too_long(target: str, steps: int, span: Span | None = None) -> Diagnostic:
    """E737: a run of so many steps."""
    return Diagnostic(
        "E737",
        f"the target {target} counts steps up to {LAST_STEP} in one run, and this one reaches step {steps}",
        span,
        help=("run it in parts, make dt larger, or use --target numpy",),
    )


def too_many(target: str, connectivity: Connectivity, count: float) -> Diagnostic:
    """E747: a connection of so many synapses that need numbers."""
    told = f"{count:.0f}" if count < 1e10 else f"{count:.3g}"
    return Diagnostic(
        "E747",
        f"{connectivity.owner or connectivity.name}: {told} synapses are too many for target {target}, "
        f"which numbers at most {MOST_SYNAPSES} of one projection",
        connectivity.span,
        help=("split the projection into several" + (", or run with --target numpy" if target == "c" else ""),),
    )


def refusals(plan: Plan, target: str, steps: int | None = None, span: Span | None = None) -> list[Diagnostic]:
    """Every reason for which a target cannot run a plan, none for one that can; ``steps``: the length of the run, ``span``: its place."""
    if target not in ("c", "cuda"):
        return []
    found = []
    if steps is not None and steps > LAST_STEP:
        found.append(too_long(target, steps, span))
    for name, connectivity in plan.connectivities.items():
        pairs = len(connectivity.pre_part) * len(connectivity.post_part)
        if connectivity.kind != "sparse" or pairs <= MOST_SYNAPSES:  # all but the largest networks end here, at no cost
            continue
        from snnlang.codegen.connectivity import count_expected
        from snnlang.runtime.cuda_memory import views

        needs = views(plan)
        count = count_expected(connectivity)
        if count > MOST_SYNAPSES and (name in needs["columns"] or name in needs["pre"]):
            found.append(too_many(target, connectivity, count))
    return found


def refusals_of_device(plan: Plan, backend: Backend) -> list[Diagnostic]:
    """E741 where the memory of this device is too little for a plan; W748 where a queue has no room for all synapses of its connection."""
    from snnlang.codegen.target_cuda import emit
    from snnlang.runtime.cuda_estimate import require

    try:
        needed = require(plan, emit(plan), backend)
    except SnnError as problem:
        return list(problem.diagnostics)
    return [_may_overflow(plan.connectivities[name], capacity, backend.name) for name, capacity in needed.short]


def _may_overflow(connectivity: Connectivity, capacity: int, device: str) -> Diagnostic:
    """W748: a step that reaches more synapses than this stops the run (E748)."""
    from snnlang.codegen.connectivity import count_expected

    return Diagnostic(
        "W748",
        f"{device} has memory for {capacity} synapses of {connectivity.owner or connectivity.name} on their way in one step, of about "
        f"{count_expected(connectivity):.3g}: a step that reaches more stops the run (E748)",
        connectivity.span,
        help=("make delays shorter, or equal for all synapses, or use --target c",),
        severity="warning",
    )


def device_here() -> Backend | None:
    """The device of this machine; None where none answers, which is no fault of a model."""
    from snnlang.runtime import cuda_choice

    try:
        return cuda_choice.opened()
    except SnnError:
        return None


__all__ = ["LAST_STEP", "MOST_SYNAPSES", "device_here", "refusals", "refusals_of_device", "too_long", "too_many"]
