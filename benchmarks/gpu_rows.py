"""The rows of gpu.py: the native suite's networks at 1, 10 and 100 times the size, and the bytes that a step of a plan must move.

What grows: neurons without synapses, by number; networks with a fixed number of inputs a neuron (``brunel``, ``cobahh``), by neurons, with
a probability that falls; ``cuba``, whose weights shrink as its in-degree grows, by synapses; ``stdp``, by the neurons that learn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.runtime.cuda_estimate import synapse_counts
from snnlang.runtime.cuda_memory import item_size

Values = dict[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """``values`` gives what ``--set`` would, for a scale and the size of scale 1 (``size``; ``tiny`` on the shim). ``native``: the row of
    rows.py whose peers stand beside it. ``grows``: whether other scales than 1 make sense."""

    name: str
    title: str
    model: str
    size: int
    tiny: int
    values: Callable[[int, int], Values]
    native: str
    grows: bool = True


def by_neurons(scale: int, size: int) -> Values:
    return {"N": str(scale * size)}


def by_learners(scale: int, size: int) -> Values:
    return {"M": str(scale * size)}


def by_synapses(scale: int, size: int) -> Values:
    return {"N": str(10 * round(size * math.sqrt(scale) / 10))}


def with_inputs(p0: float) -> Callable[[int, int], Values]:
    """Every neuron keeps its number of inputs."""
    return lambda scale, size: {"N": str(scale * size), "p": repr(p0 / scale)}


ROWS = (
    Row("cuba", "CUBA, 320 thousand synapses among 4000 neurons", "cuba", 4000, 200, by_synapses, "cuba"),
    Row(
        "cobahh",
        "COBAHH, 4000 Hodgkin-Huxley neurons with 80 inputs each",
        "cobahh",
        4000,
        100,
        with_inputs(0.02),
        "cobahh",
    ),
    Row(
        "brunel",
        "Brunel, 10000 neurons with 1000 delayed inputs each",
        "brunel",
        10_000,
        200,
        with_inputs(0.1),
        "brunel",
    ),
    Row(
        "stdp1000", "STDP, 1000 inputs onto 1000 neurons, dense and plastic", "stdp", 1000, 20, by_learners, "stdp1000"
    ),
    Row("stdp1", "STDP, 1000 inputs onto 1 neuron", "stdp", 1, 1, by_learners, "stdp1", False),
    Row("lif", "1e6 leaky integrate-and-fire neurons", "lif", 1_000_000, 1000, by_neurons, "lif"),
    Row("izhikevich", "1e5 Izhikevich neurons", "izhikevich", 100_000, 500, by_neurons, "izhikevich"),
    Row("hodgkin_huxley", "1e5 Hodgkin-Huxley neurons", "hodgkin_huxley", 100_000, 200, by_neurons, "hodgkin_huxley"),
)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes of one step: ``neurons`` always, and for every event of a list its part of ``events``; ``formula`` in words."""

    neurons: float
    events: Mapping[str, float]
    formula: str

    def bytes(self, spikes: Mapping[str, float]) -> float:
        """With so many events of each list in a step."""
        return self.neurons + sum(each * spikes.get(name, 0.0) for name, each in self.events.items())


def traffic(plan: p.Plan) -> Traffic:
    """What a step must move between memory and the processors, at least.

    Of every array that loops over neurons read, one reading, and of every array that they write unconditionally, one writing; for
    every event, the indices of the synapses that it reaches and the numbers of these synapses, read, and written where a rule changes them.
    What synapses add to is counted with the neurons. Not counted: event lists, records, and numbers of neurons that synapses look up (they
    stay in the cache). What happens every few steps counts as much less.
    """
    counts = synapse_counts(plan)
    read: dict[str, float] = {}
    written: dict[str, float] = {}
    events: dict[str, float] = {}
    words: dict[str, list[str]] = {}

    def visit(nodes: tuple[p.PlanNode, ...], share: float) -> None:
        for node in nodes:
            match node:
                case p.Every(period=period, body=body):
                    visit(body, share / max(1, period))
                case p.Settle(body=body):
                    visit(body, share)
                case p.Fill(array=name) if plan.arrays[name].connectivity is None:
                    written[name] = max(share, written.get(name, 0.0))
                case p.Launch(kernel=kernel) if isinstance(kernel.domain, k.Each):
                    for name, writes in _touched(kernel.body):
                        array = plan.arrays[name]
                        if array.connectivity is None and array.shape and math.prod(array.shape) == kernel.domain.size:
                            found = written if writes else read
                            found[name] = max(share, found.get(name, 0.0))
                case p.Launch(kernel=kernel) if isinstance(kernel.domain, k.Fan):
                    fan(kernel, kernel.domain, share)

    def fan(kernel: k.Kernel, domain: k.Fan, share: float) -> None:
        c = plan.connectivities[domain.connectivity]
        index = 0
        if c.kind == "sparse":
            index = (2 if c.post_size <= 65536 else 4) if domain.side == "pre" else 8
        numbers = 0
        for name, _ in _touched(kernel.body):
            array = plan.arrays[name]
            if array.connectivity == domain.connectivity and not array.shared:
                numbers += item_size(plan, array)  # once for reading, once more for writing
        reached = counts[c.name] / max(1, c.pre_size if domain.side == "pre" else c.post_size)
        events[domain.list] = events.get(domain.list, 0.0) + share * reached * (index + numbers)
        words.setdefault(domain.list, []).append(
            f"{reached:.4g} synapses of {index + numbers} bytes ({c.owner or c.name})"
        )

    visit(plan.step, 1.0)

    def total(found: Mapping[str, float]) -> float:
        return sum(
            share * item_size(plan, plan.arrays[name]) * math.prod(plan.arrays[name].shape)
            for name, share in found.items()
        )

    parts = [f"read {total(read):.4g} bytes ({', '.join(read) or 'nothing'})"]
    parts.append(f"write {total(written):.4g} ({', '.join(written) or 'nothing'})")
    parts += [f"for every event of {name}: {' and '.join(said)}" for name, said in words.items()]
    return Traffic(total(read) + total(written), events, "; ".join(parts))


def _touched(body: tuple[k.Statement, ...]) -> list[tuple[str, bool]]:
    """Arrays that are read and (True) written whatever the conditions: statements of the body itself, what an ``if`` tests."""
    found: list[tuple[str, bool]] = []
    for statement in body:
        for expression in k.statement_expressions(statement):
            found += [(part.array, False) for part in k.walk(expression) if isinstance(part, k.Load)]
        if isinstance(statement, k.Store | k.Accumulate):
            found.append((statement.array, True))
    return list(dict.fromkeys(found))
