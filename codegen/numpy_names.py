"""Python names for everything in a plan, and the lines that fetch them at the head of a printed function."""

from __future__ import annotations

import keyword
import math
import re
import unicodedata
from dataclasses import dataclass, field

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p

#: Names that printed modules use for themselves.
TAKEN = frozenset(
    """
    np bases uniform uniforms uniforms_single normal normals normals_single exprel sigmoid erf to_int
    rows_of spans repeated accumulate merged ascending between positions enqueue arrived reduce_groups
    reduce_synapses poisson_quantile gamma_quantile reached_by others chosen holds NONE setup
    coefficients trial_start run trial_end memory arrays lists queues synapses keys records step first
    count t dt float int bool range len before sum min max abs
    """.split()
)


def identifier(text: str) -> str:
    """A Python name that reads like ``text``."""
    name = re.sub(r"\W+", "_", unicodedata.normalize("NFKC", text)).strip("_") or "x"
    if name[0].isdigit():
        name = f"x{name}"
    return f"{name}_" if keyword.iskeyword(name) or name in TAKEN else name


class Identifiers:
    """One name per object of a plan, the same in every function of its module."""

    def __init__(self, plan: p.Plan) -> None:
        self.taken: set[str] = set(TAKEN)
        self.arrays = {name: self._new(name, "") for name in plan.arrays}
        self.lists = {name: self._new(name, "events") for name in plan.lists}
        self.queues = {name: self._new(name, "queue") for name in plan.queues}
        self.connectivities = {name: self._new(name, "synapses") for name in plan.connectivities}
        self.streams = {name: self._new(name, "draws") for name in plan.streams}
        self.records = {recorder.label: self._new(recorder.label, "record") for recorder in plan.recorders}

    def _new(self, name: str, suffix: str) -> str:
        made = identifier(name)
        if made in self.taken and suffix:
            made = f"{made}_{suffix}"
        base, number = made, 2
        while made in self.taken:
            made, number = f"{base}_{number}", number + 1
        self.taken.add(made)
        return made

    def derived(self, base: str, suffix: str) -> str:
        """A name for something derived from a named object."""
        made = f"{base}_{suffix}"
        while made in self.taken:
            made += "_"
        return made

    def local(self, name: str) -> str:
        """The name of a Let."""
        made = identifier(name)
        while made in self.taken:
            made += "_"
        return made


@dataclass(slots=True)
class Names:
    """What one printed function uses: ``preamble`` maps names to the text that fetches them, in order of first use."""

    plan: p.Plan
    identifiers: Identifiers
    support: set[str]
    random: set[str]
    stored: frozenset[str]
    preamble: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    rebound: dict[str, str] = field(default_factory=dict)

    def fetch(self, name: str, text: str) -> str:
        """Make sure that the head of the function binds ``name``."""
        self.preamble.setdefault(name, text)
        return name

    def array(self, name: str) -> str:
        return self.fetch(self.identifiers.arrays[name], f'arrays["{name}"]')

    def scalar(self, name: str) -> str:
        read = "[()]" if self.plan.arrays[name].type == "real" else ".item()"
        return self.fetch(self.identifiers.arrays[name], f'arrays["{name}"]{read}')

    def constant(self, name: str) -> bool:
        """Whether a scalar keeps its value while the function runs."""
        return name not in self.stored and self.plan.arrays[name].depth == 1

    def length(self, name: str) -> int | None:
        """The number of elements of an array, or of a slot of a ring; None when only the synapses know."""
        array = self.plan.arrays[name]
        return math.prod(array.shape) if array.connectivity is None else None

    def table(self, name: str) -> str:
        """A dense per-synapse array as rows by columns."""
        array = self.plan.arrays[name]
        assert array.connectivity is not None
        connectivity = self.plan.connectivities[array.connectivity]
        base = self.array(name)
        return self.fetch(
            self.identifiers.derived(base, "table"),
            f"{base}.reshape({len(connectivity.pre_part)}, {len(connectivity.post_part)})",
        )

    def rebind(self, name: str) -> str:
        """The name of an array that the function binds anew and hands back at its end."""
        text = self.array(name)
        self.rebound[text] = f'arrays["{name}"]'
        return text

    def event_list(self, name: str) -> str:
        """An event list: the indices themselves (depth 1), or the ring of them."""
        text = self.fetch(
            self.identifiers.lists[name], f'lists["{name}"]' + ("[0]" if self.plan.lists[name].depth == 1 else "")
        )
        if self.plan.lists[name].depth == 1:
            self.rebound[text] = f'lists["{name}"][0]'
        return text

    def slot(self, name: str, lag: int = 0) -> str:
        """The text of a list's slot."""
        text, depth = self.event_list(name), self.plan.lists[name].depth
        if depth == 1:
            return text
        self.used.add("step")
        return f"{text}[{'step' if lag == 0 else f'(step - {lag})'} % {depth}]"

    def queue(self, name: str) -> str:
        return self.fetch(self.identifiers.queues[name], f'queues["{name}"]')

    def built(self, name: str, attribute: str, suffix: str) -> str:
        """An attribute of a connectivity's synapses."""
        return self.fetch(
            self.identifiers.derived(self.identifiers.connectivities[name], suffix), f'synapses["{name}"].{attribute}'
        )

    def key(self, stream: str) -> str:
        return f'keys["{stream}"]'

    def words(self, stream: str, size: int) -> str:
        """The bases of a stream's draws for the indices 0 .. size - 1."""
        self.random.add("bases")
        name = self.identifiers.derived(self.identifiers.streams[stream], f"{size}" if size else "words")
        return self.fetch(name, f"bases({self.key(stream)}, {size})")


def stored_arrays(nodes: tuple[p.PlanNode, ...]) -> frozenset[str]:
    """The arrays that some node of a section writes."""
    found: set[str] = set()
    for node in nodes:
        match node:
            case p.Launch(kernel=kernel):
                found.update(s.array for s in k.walk_statements(kernel.body) if isinstance(s, k.Store | k.Accumulate))
            case p.Fill(array=array):
                found.add(array)
            case p.Reduce(result=result) | p.SynapseReduce(result=result):
                found.add(result)
            case p.Every(body=body) | p.AtStep(body=body) | p.Settle(body=body):
                found |= stored_arrays(body)
    return frozenset(found)


def append_sites(nodes: tuple[p.PlanNode, ...]) -> dict[str, int]:
    """How many places of a section append to each list."""
    found: dict[str, int] = {}
    for node in nodes:
        names: list[str] = []
        match node:
            case p.Launch(kernel=kernel):
                names = [s.list for s in k.walk_statements(kernel.body) if isinstance(s, k.Append)]
            case p.Schedule(list=name):
                names = [name]
            case p.Every(body=body) | p.AtStep(body=body) | p.Settle(body=body):
                for name, sites in append_sites(body).items():
                    found[name] = found.get(name, 0) + sites
        for name in names:
            found[name] = found.get(name, 0) + 1
    return found
