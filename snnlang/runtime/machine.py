"""What this machine would run a plan with, in words: the last lines of ``snn explain``."""

from __future__ import annotations

from snnlang.codegen.plan import Plan
from snnlang.runtime.compiler import Mathematics, find, flags, is_cached, missing
from snnlang.runtime.threads import cores, free, threads_for


def machine_lines(plan: Plan, target: str, threads: int | None, math: Mathematics) -> list[str]:
    """The target and why, the compiler and its flags, threads, and whether the compiled model is in the cache; compiles nothing."""
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
