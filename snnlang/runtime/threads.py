"""How many threads a compiled simulation gets: as many as asked for, else as many as its work pays.

A step of a small network takes a few microseconds, and threads wait for each other several times in it; so a thread is added only where
every one has :data:`SHARE` nanoseconds of work in a step. Results never depend on the number. Cores are those that this process may use
(its affinity, and the processor time that a container allows), as far as nothing else computes on them.
"""

from __future__ import annotations

import math
import os

from snnlang.codegen import kernel as k
from snnlang.codegen.plan import Connectivity, Every, Launch, Plan, PlanNode, Settle

MOST = 256
#: Work of a thread in one step, in ns, above which another thread pays for the waiting that it causes.
SHARE = 8000.0
#: A rough price: ns of one operation on one element of an array (vectorised), and of one operation of one event at a synapse.
ELEMENT = {"single": 0.03, "double": 0.06}
SYNAPSE = 0.4
#: Spikes of a neuron in a second, when nothing is known about it.
RATE = 10.0


def threads_for(plan: Plan, asked: int | None = None) -> int:
    """The threads for a plan: ``asked`` (at most 256), else between 1 and the cores, by the work of a step."""
    if asked is not None:
        return max(1, min(asked, MOST))
    most = min(cores(), free(), MOST)
    return 1 if most == 1 else max(1, min(most, int(step_work(plan) / SHARE)))


def cores() -> int:
    """The cores that this process may use, at least one."""
    try:
        found = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        found = os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()[:2]
        if quota != "max":
            found = min(found, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        pass
    return max(1, found)


def free() -> int:
    """The machine's processors that nothing else computes on at this moment, at least one; all of them where that cannot be known.

    Threads that wait for each other in every step lose more to a neighbour on their core than they gain.
    """
    everything = os.cpu_count() or 1
    try:
        with open("/proc/loadavg", encoding="ascii") as file:
            running = int(file.read().split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return everything
    return max(1, everything - max(0, running - 1))


def step_work(plan: Plan) -> float:
    """About how many nanoseconds a step takes on one core."""
    return sum(_work(plan, node) for node in plan.step)


def _work(plan: Plan, node: PlanNode) -> float:
    match node:
        case Every(period=period, body=body):
            return sum(_work(plan, inner) for inner in body) / max(1, period)
        case Settle(body=body):
            return 2 * sum(_work(plan, inner) for inner in body)
        case Launch(kernel=kernel):
            return _operations(kernel) * _visits(plan, kernel)
        case _:
            return 0.0


def _operations(kernel: k.Kernel) -> int:
    return sum(
        1
        for statement in k.walk_statements(kernel.body)
        for expr in k.statement_expressions(statement)
        for _ in k.walk(expr)
    )


def _visits(plan: Plan, kernel: k.Kernel) -> float:
    """Nanoseconds for one operation of the kernel at everything that it visits in a step."""
    spikes = RATE * plan.dt / 1000
    match kernel.domain:
        case k.Each(size=size):
            return ELEMENT[plan.precision] * size
        case k.Fan(connectivity=name) | k.Arrivals(connectivity=name):
            return SYNAPSE * spikes * _synapses(plan.connectivities[name])
        case k.Synapses(connectivity=name):
            return ELEMENT[plan.precision] * _synapses(plan.connectivities[name])
        case _:
            return 0.0


def _synapses(connectivity: Connectivity) -> float:
    from snnlang.codegen.connectivity import count_expected

    return count_expected(connectivity)


__all__ = ["MOST", "cores", "free", "step_work", "threads_for"]
