"""The plan of a whole simulation: arrays, lists, connectivity and the nodes of one step. What every target prints.

A plan is free of values that a user may change without recompiling in a compiled target: sizes, parameters and seeds
are data of its arrays, connectivities and streams; the texts of kernels do not depend on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.kernel import Expr, Kernel
from snnlang.diagnostics import Span
from snnlang.frozen import dataclass, field

Role = Literal[
    "state", "param", "coefficient", "input", "weight", "history", "scratch", "hold", "clock", "data", "freeze"
]
#: Roles of arrays that are as at first when a trial begins.
CLEARED: Final = ("hold", "clock", "history", "scratch")


@dataclass(frozen=True, slots=True)
class Array:
    """Storage. ``shape`` () is a scalar; per-synapse arrays have ``connectivity`` set and shape () (their length is
    known when it is built), and ``shared`` when they are indexed by shared weight.

    ``depth`` > 1 keeps a ring of that many steps: shape (depth, *shape), slot of step n is n mod depth.
    ``fill`` is the value before any setup kernel ran (also what a ring is reset to); ``data`` replaces it by given numbers.
    ``owner`` and ``variable`` say what it is for the user (population or projection path, name); ``unit`` its unit as text.
    """

    name: str
    shape: tuple[int, ...]
    type: Literal["real", "int", "bool"] = "real"
    role: Role = "state"
    depth: int = 1
    fill: float = 0.0
    data: NDArray[Any] | None = field(default=None, compare=False, repr=False)
    connectivity: str | None = None
    shared: bool = False
    owner: str = ""
    variable: str = ""
    unit: str = ""
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class EventList:
    """The indices at which an event occurred, ascending; of this step and of ``depth`` - 1 steps before (a ring of lists).

    ``size`` is the population's; ``owner`` and ``event`` name it for the user.
    """

    name: str
    size: int
    depth: int = 1
    owner: str = ""
    event: str = "spike"


@dataclass(frozen=True, slots=True)
class Queue:
    """A ring of lists of synapses that will be reached: per-synapse delays of event handlers. ``depth`` is the longest
    delay + 1 in steps.
    """

    name: str
    connectivity: str
    depth: int


@dataclass(frozen=True, slots=True)
class Stream:
    """A random stream: ``key`` is the 64-bit hash of (seed, object path, draw name)."""

    name: str
    path: str
    draw: str
    key: int


@dataclass(frozen=True, slots=True)
class Connectivity:
    """Which synapses exist. ``pre_size``/``post_size`` are the full populations'.

    ``pre_part``/``post_part``: the connected part as flat indices (a range, or an array), in order. ``kind`` is how
    synapses are numbered and stored: ``dense`` (synapse = row * columns + column of the parts), ``one_to_one`` (synapse
    = position in the parts), ``sparse`` (rows by pre, within a row ascending post). ``pattern`` and ``options`` say how
    a sparse one is generated (see :mod:`snnlang.codegen.connectivity`), ``stream`` its random stream. ``autapses``
    False leaves out i -> i (dense: its synapse exists in storage and is skipped). ``shared_size`` is the number of
    shared weights of convolution-like patterns, else 0.
    ``needs_columns``: some kernel visits it from the post side.
    """

    name: str
    kind: Literal["dense", "one_to_one", "sparse"]
    pre_size: int
    post_size: int
    pre_part: range | NDArray[np.int64] = field(compare=False)
    post_part: range | NDArray[np.int64] = field(compare=False)
    pattern: str
    options: dict[str, Any] = field(default_factory=dict, compare=False)
    stream: str = ""
    autapses: bool = True
    shared_size: int = 0
    needs_columns: bool = False
    owner: str = ""
    span: Span | None = field(default=None, compare=False, repr=False)


# --- nodes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Launch:
    kernel: Kernel


@dataclass(frozen=True, slots=True)
class Fill:
    """``array[...] = value`` (of a ring: the slot ``lag`` steps from now, 0 the current one)."""

    array: str
    value: float
    lag: int = 0


@dataclass(frozen=True, slots=True)
class ClearList:
    """Empty the list's slot of the current step."""

    list: str


@dataclass(frozen=True, slots=True)
class Enqueue:
    """For every outgoing (side ``pre``) synapse of the items of the list as it stood ``lag`` steps ago: put it into the queue's slot
    ``step - lag + delays[synapse]`` (never before the current step's)."""

    queue: str
    connectivity: str
    list: str
    delays: str
    side: Literal["pre", "post"] = "pre"
    lag: int = 0


@dataclass(frozen=True, slots=True)
class ClearQueue:
    """Empty the queue's slot of the current step, after its synapses were handled."""

    queue: str


@dataclass(frozen=True, slots=True)
class Reduce:
    """Population reduction: ``result[g] = operation over source[i] of group g``; ``groups`` None is one group (result of shape ()).

    ``groups`` names an int array of group numbers per element. ``sum mean max min argmax argmin`` give one value per
    group (argmax: the lowest index of the greatest value); ``rank`` gives one per element: the number of elements of
    its group that come before it, greatest first, ties by index.
    """

    operation: Literal["sum", "mean", "max", "min", "argmax", "argmin", "rank"]
    result: str
    source: str
    groups: str | None = None


@dataclass(frozen=True, slots=True)
class SynapseReduce:
    """``result[post] = operation over source[synapse]`` (or per pre); ``source`` None counts. Empty groups give 0."""

    operation: Literal["sum", "mean", "max", "min", "count"]
    result: str
    source: str | None
    connectivity: str
    per: Literal["pre", "post"]


@dataclass(frozen=True, slots=True)
class Every:
    """The body runs in steps n with (n + 1) mod period == 0 (``period`` whole steps)."""

    period: int
    body: tuple[PlanNode, ...]


@dataclass(frozen=True, slots=True)
class AtStep:
    """The body runs in one step."""

    step: int
    body: tuple[PlanNode, ...]


@dataclass(frozen=True, slots=True)
class Settle:
    """Repeat the body until ``list`` (this step's events) is what it was after the last repetition, at most ``limit`` times."""

    list: str
    limit: int
    body: tuple[PlanNode, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Append to ``list`` the indices that ``steps``/``indices`` (int arrays sorted by step, one entry per event) hold
    for the current step.
    """

    list: str
    steps: str
    indices: str


PlanNode: TypeAlias = (
    Launch | Fill | ClearList | Enqueue | ClearQueue | Reduce | SynapseReduce | Every | AtStep | Settle | Schedule
)

# --- recording --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EventRecorder:
    """Every event of a list, as (step, index)."""

    label: str
    list: str
    indices: NDArray[np.int64] | None = field(compare=False, default=None)
    owner: str = ""


@dataclass(frozen=True, slots=True)
class ValueRecorder:
    """``array[indices]`` at the end of every ``every``-th step (steps n with (n + 1) mod every == 0)."""

    label: str
    array: str
    indices: NDArray[np.int64] | None = field(compare=False, default=None)
    every: int = 1
    unit: str = ""
    owner: str = ""
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Learned:
    """An event of a population that gradients pass: the array of its truth in this step, and that of what the model says stands for its
    derivative ("" for none). Made when a plan is lowered for training."""

    path: str
    event: str
    list: str
    flag: str
    gradient: str = ""


@dataclass(frozen=True, slots=True)
class WrittenLine:
    """A line of a written backward pass. ``name`` is that of a variable or value, else the array (an input, the jumps of a port, a
    parameter) whose gradient ``value`` is. ``value`` loads arrays that hold values of the forward pass at ``i``, and names: ``NAME`` and,
    of the step after, ``NAME__bar`` of other lines, and those of ``sent``."""

    kind: Literal["variable", "value", "input", "parameter"]
    name: str
    value: Expr
    source: str = ""


@dataclass(frozen=True, slots=True)
class WrittenAdjoint:
    """The backward pass of a population as its neuron writes it. ``sent`` says which arrays and event lists hold what ``grad(X)`` asks
    about; ``ends`` are arrays whose value after the last step is meant. Made when a plan is lowered for training."""

    path: str
    model: str
    lines: tuple[WrittenLine, ...]
    sent: dict[str, tuple[str, ...]]
    ends: tuple[str, ...]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """``setup`` runs once (parameters, weights, delays, coefficients); ``coefficients`` again after a parameter or network input changed;
    ``trial_start`` before every trial (and before the first step without trials); ``step`` every step, recorders after
    it; ``trial_end`` after a trial.

    ``time_offset``: the time of step n is (n + time_offset) * dt: 1, or 0 when the network holds difference models alone.
    ``explanation`` holds lines for ``snn explain``. ``late``, of plans for training: by connectivity, the array of its synapses' delays in
    steps, where they differ, and the least that one can be; the nodes are those of a connection where all are that late.
    ``trained_delays`` likewise: the array of one delay in ms, the most and the least steps.
    """

    name: str
    dt: float
    time_offset: int
    precision: Literal["double", "single"]
    arrays: dict[str, Array]
    lists: dict[str, EventList]
    queues: dict[str, Queue]
    streams: dict[str, Stream]
    connectivities: dict[str, Connectivity]
    setup: tuple[PlanNode, ...]
    coefficients: tuple[PlanNode, ...]
    trial_start: tuple[PlanNode, ...]
    step: tuple[PlanNode, ...]
    trial_end: tuple[PlanNode, ...]
    recorders: tuple[EventRecorder | ValueRecorder, ...]
    explanation: tuple[str, ...] = ()
    learned: tuple[Learned, ...] = ()
    late: dict[str, tuple[str, int]] = field(default_factory=dict)
    trained_delays: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    written: tuple[WrittenAdjoint, ...] = ()

    @property
    def sections(self) -> tuple[tuple[PlanNode, ...], ...]:
        """The nodes of every section, in the order in which sections first run."""
        return self.setup, self.coefficients, self.trial_start, self.step, self.trial_end


def walk_nodes(nodes: tuple[PlanNode, ...]) -> Iterator[PlanNode]:
    """All nodes, nested ones after their parent."""
    for node in nodes:
        yield node
        if isinstance(node, (Every, AtStep, Settle)):
            yield from walk_nodes(node.body)
