"""What this machine would run a plan with, in words: the last lines of ``snn explain``."""

from __future__ import annotations

from snnlang.codegen.plan import Plan
from snnlang.diagnostics import SnnError
from snnlang.runtime import cuda_choice
from snnlang.runtime.compiler import Mathematics, find, flags, is_cached, missing
from snnlang.runtime.threads import cores, free, threads_for


def machine_lines(
    plan: Plan, target: str, threads: int | None, math: Mathematics, steps: int | None = None
) -> list[str]:
    """The target and why, the compiler and its flags, threads, and whether the compiled model is in the cache; compiles nothing."""
    if target == "cuda":
        return cuda_lines(plan, "")
    if target == "auto" and cuda_choice.installed() and cuda_choice.pays(plan, steps, threads):
        reason = cuda_choice.absent()
        if reason is None:
            return cuda_lines(plan, " (target auto: the work is large enough for it)")
        rest = _processor_lines(plan, target, threads, math)
        return [*rest, f"  no CUDA device, though the work is large enough for one: {reason}"]
    return _processor_lines(plan, target, threads, math)


def cuda_lines(plan: Plan, why: str) -> list[str]:
    """The device that target cuda would run on, or why there is none, and how the plan would run there."""
    from snnlang.runtime.cuda_failure import size
    from snnlang.runtime.cuda_outline import outline

    try:
        backend = cuda_choice.opened()
        free, total = backend.memory()
        major, minor = backend.capability
        return [
            f"  target cuda{why} on {backend.name}",
            f"  {backend.multiprocessors} multiprocessors of compute capability {major}.{minor}, {size(free)} of {size(total)} free",
            "",
            *outline(plan, backend),
        ]
    except SnnError as problem:
        found = problem.diagnostics[0]
        lines = [f"  target cuda cannot run here: {found.message}", *(f"    {line}" for line in found.help)]
        return [*lines, "", *outline(plan)]


def _processor_lines(plan: Plan, target: str, threads: int | None, math: Mathematics) -> list[str]:
    compiler = find()
    if target != "c" and (target != "auto" or compiler is None):
        why = f" (target auto: {missing().message.partition('and ')[2]})" if target == "auto" else ""
        return [f"  target {'numpy' if target == 'auto' else target}{why}"]
    if compiler is None:
        return [f"  target c cannot run here: {missing().message}", *(f"    {line}" for line in missing().help)]
    from snnlang.codegen.target_c import emit

    number = threads_for(plan, threads)
    told = (
        "asked for"
        if threads is not None
        else f"of {cores()}, {free()} free; a thread is added where a step's work pays for it"
    )
    kept = "in the cache" if is_cached(emit(plan, math=math).text, math) else "compiled when it first runs"
    used = " ".join(flags(compiler, math, plan.precision == "single"))
    rounding = "fast: vector functions, exact to a few units in the last place"
    if math == "strict":
        rounding = "strict: the functions of the C library, every rounding as written"
    return [
        f"  target c{' (target auto: there is a C compiler)' if target == 'auto' else ''}, {kept}",
        f"  compiler {compiler.name} {used}",
        f"  {number} thread{'s' if number > 1 else ''} ({told}); results do not depend on it",
        f"  math {rounding}",
    ]
