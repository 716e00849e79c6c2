"""Which CUDA device runs a plan, and when target ``auto`` takes one: where a step has so much work that the device is worth its start.

``SNN_CUDA=off`` keeps ``auto`` from it; ``SNN_CUDA=shim`` lets target ``cuda`` run on a processor, for tests. CuPy is imported only when a
device is opened: small work under ``auto`` never pays for that.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from snnlang.codegen.plan import Plan
from snnlang.diagnostics import Diagnostic, SnnError
from snnlang.runtime.threads import step_work, threads_for

if TYPE_CHECKING:
    from snnlang.runtime.cuda_backend import Backend

VARIABLE = "SNN_CUDA"
#: ns of one step on target c below which a device gains little: its own step takes some 5000, however small the network.
STEP = 50e3
#: ns of a whole run on target c below which starting a device (importing CuPy, compiling) takes longer than it saves.
RUN = 5e9
#: Multiplications of a batch of training below which a device gains little: target c takes some 50 ms for so many.
PRODUCTS = 2e9


def installed() -> bool:
    """Whether there is a CuPy to ask for a device; imports nothing."""
    from importlib.util import find_spec

    return os.environ.get(VARIABLE, "") == "" and find_spec("cupy") is not None


def pays(plan: Plan, steps: int | None = None, threads: int | None = None) -> bool:
    """The rule of ``auto``: a step takes target c :data:`STEP` ns or more, and the run (where its length is known) :data:`RUN`."""
    each = step_work(plan) / threads_for(plan, threads)
    return each >= STEP and (steps is None or each * steps >= RUN)


def pays_training(plan: Plan, batch: int, steps: int) -> bool:
    """The rule of ``auto`` for training: the products of a batch, forwards, backwards and for the weights, are :data:`PRODUCTS` or more
    multiplications. An input that is the same in every step counts as if it were not: that is known only with the data."""
    from snnlang.codegen.connectivity import count_expected

    synapses = sum(count_expected(connectivity) for connectivity in plan.connectivities.values())
    return 3.0 * batch * steps * synapses >= PRODUCTS


def opened() -> Backend:
    """The device. Raises E742 (CuPy) and E743 (driver, device)."""
    if os.environ.get(VARIABLE) == "shim":
        from snnlang.runtime.cuda_shim import ShimBackend

        return ShimBackend()
    from snnlang.runtime.cuda_cupy import backend

    return backend()


def absent() -> str | None:
    """Why this machine cannot run target cuda; None where it can."""
    try:
        if os.environ.get(VARIABLE) == "shim":
            from snnlang.runtime.cuda_shim import require

            require()
        else:
            opened()
    except SnnError as problem:
        return problem.diagnostics[0].message
    return None


def unused(problem: SnnError) -> Diagnostic:
    """W743: ``auto`` wanted a device and does without it."""
    first = problem.diagnostics[0]
    message = f"no CUDA device runs this, though it is large enough for one: {first.message}"
    return Diagnostic("W743", message, severity="warning", help=first.help[:1])


__all__ = ["absent", "installed", "opened", "pays", "unused"]
