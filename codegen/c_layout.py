"""Where a C model keeps what a plan names, and which of its numbers stay out of the text.

The text of a model depends on the structure of its plan alone: sizes, lags, periods, parameters and initial values are members of the
model that are filled when it is created, so that changing one compiles nothing. Two sizes that are equal share a member: a plan in
which other sizes coincide is another text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.assembly import FOR_EVER
from snnlang.codegen.clike import RESERVED, safe

SMALL_INDEX = 65536

#: Members that every model has beside those of its plan (the struct of :mod:`snnlang.codegen.c_memory`).
MEMBERS = frozenset({"barrier", "initial", "lost", "ranked", "records", "room", "threads"})


@dataclass
class Layout:
    """Names of members by names of the plan; ``whole`` and ``number`` collect the values that are given at run time.

    ``whole``: member -> value, in order; the first is the time offset. ``number``: the same of reals; the first is dt, the others are what
    set-up texts lift.
    """

    plan: p.Plan
    strict: bool = False
    access: str = "m->"  # how the text reaches a member
    fused: bool = False  # products and sums may be fused: single precision, or functions whose last bits are our own
    arrays: dict[str, str] = field(default_factory=dict)
    lists: dict[str, str] = field(default_factory=dict)
    queues: dict[str, str] = field(default_factory=dict)
    streams: dict[str, str] = field(default_factory=dict)
    connectivities: dict[str, str] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)  # of Poisson counts, one a thread
    whole: dict[str, int] = field(default_factory=dict)
    number: dict[str, float] = field(default_factory=dict)
    _sizes: dict[int, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=lambda: set(RESERVED | MEMBERS))
    _members: dict[tuple[str, int], str] = field(default_factory=dict)
    _lifted: dict[tuple[str, float | int], str] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """Every name that a local one must not hide."""
        return self._taken

    def unique(self, wanted: str) -> str:
        """A member name that nothing else has."""
        base = safe(wanted)
        name, number = base, 2
        while name in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._taken.add(name)
        return name

    # --- run-time values ----------------------------------------------------------------------------------------------

    def size(self, value: int, owner: str) -> str:
        """The member that holds a size; equal sizes share one, named after the first that has it."""
        if value not in self._sizes:
            name = self.unique(f"{owner}_size")
            self._sizes[value] = name
            self.whole[name] = value
        return f"{self.access}{self._sizes[value]}"

    def member(self, wanted: str, value: int) -> str:
        """A whole number of one place: a lag, a period, the depth of a ring."""
        key = (wanted, value)
        if key not in self._members:
            name = self.unique(wanted)
            self._members[key] = name
            self.whole[name] = value
        return f"{self.access}{self._members[key]}"

    def lag(self, kernel: str, value: int) -> str:
        """How many steps ago a kernel's events were: 0 and 1 are structure."""
        return str(value) if value <= 1 else self.member(f"{kernel}_lag", value)

    def constant(self, kernel: str, value: int) -> str | None:
        """A whole number in a kernel's text that may be data; 0, 1, 2 and "for ever" are structure."""
        if -2 <= value <= 2 or value == FOR_EVER:
            return None
        if value in self._sizes:
            return f"{self.access}{self._sizes[value]}"
        return self.member(f"{kernel}_whole", value)

    def lifted(self, kernel: str, constant: k.Const) -> str | None:
        """A real number in a set-up text, or one that the network gives; the plainest of set-up texts stay."""
        value = float(constant.value)
        if math.isnan(value) or (not constant.given and value in (0.0, 1.0, -1.0, 2.0, 0.5, -0.5, -2.0)):
            return None
        # numbers that are equal by chance today need not be tomorrow
        key = (kernel, id(constant) if constant.given else value)
        if key not in self._lifted:
            self._lifted[key] = self.unique(f"{kernel}_number")
            self.number[self._lifted[key]] = value
        return f"(real){self.access}{self._lifted[key]}"

    # --- memory -------------------------------------------------------------------------------------------------------

    def length(self, array: p.Array) -> str:
        """The number of elements of one slot of an array, as C text."""
        if array.connectivity is None:
            return self.size(math.prod(array.shape), array.owner or array.name) if array.shape else "1"
        c = self.plan.connectivities[array.connectivity]
        if array.shared:
            return self.size(c.shared_size, f"{c.name}_shared")
        return self.synapses(c)

    def total(self, array: p.Array) -> str:
        """The number of elements of all slots of an array, as C text."""
        length = self.length(array)
        return length if array.depth == 1 else f"{self.member(f'{array.name}_depth', array.depth)}*{length}"

    def synapses(self, c: p.Connectivity) -> str:
        """The number of synapses of a connectivity, as C text."""
        name = self.connectivities[c.name]
        match c.kind:
            case "sparse":
                return f"{self.access}{name}.count"
            case "one_to_one":
                return f"{self.access}{name}.rows"
        return f"{self.access}{name}.rows*{self.access}{name}.columns"

    def is_scalar(self, array: str) -> bool:
        described = self.plan.arrays[array]
        return not described.shape and described.connectivity is None

    def index_type(self, c: p.Connectivity) -> str:
        """The C type of stored post indices."""
        return "uint16_t" if c.post_size <= SMALL_INDEX else "int32_t"


def lay_out(plan: p.Plan, strict: bool = False) -> Layout:
    """Names for everything in a plan, in the plan's order."""
    layout = Layout(plan, strict)
    lay_out_into(layout)
    return layout


def lay_out_into(layout: Layout) -> None:
    """Fill a layout with the names of its plan."""
    plan = layout.plan
    layout.member("time_offset", plan.time_offset)
    for name in plan.arrays:
        layout.arrays[name] = layout.unique(name)
    for name in plan.lists:
        layout.lists[name] = layout.unique(name)
    for name in plan.queues:
        layout.queues[name] = layout.unique(name)
    for name in plan.streams:
        layout.streams[name] = layout.unique(f"key_of_{name}")
    for name in plan.connectivities:
        layout.connectivities[name] = layout.unique(name)
    for name, events in plan.lists.items():
        layout.size(events.size, events.owner or name)
        layout.member(f"{name}_depth", events.depth)
    for name, array in sorted(plan.arrays.items(), key=lambda item: not item[1].owner):
        if array.shape:
            layout.size(math.prod(array.shape), array.owner or name)
        if array.depth > 1:
            layout.member(f"{name}_depth", array.depth)
    for c in plan.connectivities.values():
        layout.size(c.pre_size, f"{c.name}_pre")
        layout.size(c.post_size, f"{c.name}_post")
    layout.number["dt"] = plan.dt


def loaded(kernel: k.Kernel) -> dict[str, bool]:
    """The arrays that a kernel touches, in order of the text; True for those that it writes."""
    found: dict[str, bool] = {}
    for statement in k.walk_statements(kernel.body):
        for expr in k.statement_expressions(statement):
            for part in k.walk(expr):
                if isinstance(part, k.Load):
                    found.setdefault(part.array, False)
        if isinstance(statement, (k.Store, k.Accumulate)):
            found[statement.array] = True
    return found
