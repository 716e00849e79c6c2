"""An elaborated network and experiment: sizes are whole numbers, blocks are flattened, every name is a path.

Made by :mod:`snnlang.model.elaborate` from a Program, an experiment and overrides; read by placement and ``lower``.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import Diagnostic, Span
from snnlang.frozen import dataclass, field
from snnlang.model.expression import Expr
from snnlang.model.learning import Training
from snnlang.model.model import Neuron, Synapse
from snnlang.model.units import Unit


@dataclass(frozen=True, slots=True)
class ArrayValue:
    """Numbers given as a list literal or a file, in internal units.

    ``ordered``: one for each synapse in the order in which synapses are made, as trained weights are kept.
    """

    array: NDArray[np.float64] = field(compare=False)
    unit: Unit
    ordered: bool = field(default=False, kw_only=True)
    span: Span | None = field(default=None, compare=False, repr=False)


#: What an argument may be: an expression (constants, draws, ``index``, ``position``, other parameters, network inputs) or numbers.
Value = Expr | ArrayValue


@dataclass(frozen=True, slots=True)
class Population:
    """``arguments`` holds what was given at the population: parameters and initial states; the rest are defaults of the model."""

    path: str
    model: Neuron
    shape: tuple[int, ...]
    arguments: dict[str, Value]
    span: Span | None = field(default=None, compare=False, repr=False)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """A value per element from data, ``drive`` or Python; zero without any. It acts as an analogue source when connected."""

    path: str
    shape: tuple[int, ...]
    unit: Unit
    span: Span | None = field(default=None, compare=False, repr=False)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A population or network input, or a part of it.

    ``indices`` lists the flat indices of a part in order (None: all, a contiguous part as ``range``). ``shape`` is the part's.
    ``port`` names the port or input (post side), or the event (pre side, ``spike`` unless ``E.peak`` was written).
    """

    path: str
    port: str
    shape: tuple[int, ...]
    indices: range | NDArray[np.int64] | None = field(default=None, compare=False)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


PatternKind = Literal[
    "dense",
    "one_to_one",
    "random",
    "fixed_indegree",
    "fixed_outdegree",
    "fixed_total",
    "conv2d",
    "local2d",
    "avg_pool",
    "max_pool",
    "flatten",
    "where",
    "edges",
]


@dataclass(frozen=True, slots=True)
class Pattern:
    """``options`` are evaluated: numbers, strings, pairs of numbers; ``condition`` of ``where`` is an expression over
    ``index``/``Position`` of pre and post and ``Variable("distance")``.

    random: p; fixed_*: k or n; autapses, multapses (bool); conv2d/local2d: channels, kernel, stride, padding, dilation, groups (pairs);
    pools: kernel, stride; edges: ``pre``, ``post`` (int arrays) and any weight/delay columns as arrays.
    """

    kind: PatternKind
    options: dict[str, Any]
    condition: Expr | None = None
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """A ``batch_norm`` stage behind a connection: ``gain*scale*(x - mean)/sqrt(variance + epsilon) + shift``, of each channel or neuron.

    ``over_time``: statistics of all steps together, else of each step alone. ``momentum`` is the weight of a batch in the running ones.
    """

    over_time: bool
    momentum: float = 0.1
    epsilon: float = 1e-5
    scale: float = 1.0
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Projection:
    """One connection from one source to one target.

    ``synapse`` None is the plain one: a spiking source delivers ``w`` as a jump or pulse on each spike, an analogue source
    (network input, or a population with ``output``) delivers ``w`` times its value continuously.
    ``arguments`` bind the synapse's params, weights and initial states, ``bindings`` its broadcast and per-post inputs and events
    to ``population.name`` paths, network inputs or data names (``weights`` come from ``w = …`` too, under their name).
    ``weight`` is the plain synapse's, or the first weight's, value: an expression or numbers of a shape that fits the pattern
    (None: 1). ``tied`` names another projection whose weight this one reads (``transpose``). ``biases`` are the numbers of a ``bias``
    (None: 0).
    ``delay``/``dendritic`` are expressions per synapse in ms; None is no delay. ``settle`` is the greatest number of iterations.
    ``delay_range``: the delay is one time that training may change, within these ms.
    ``dropout`` is the probability with which training leaves out a value that is sent, and one that arrives, for a whole presentation.
    ``batch_norm`` normalises what the connection delivers, in training; trained numbers of it become weights and biases of a simulation.
    """

    path: str
    pre: Endpoint
    post: Endpoint
    pattern: Pattern
    synapse: Synapse | None
    arguments: dict[str, Value]
    bindings: dict[str, str]
    weight: Value | None
    gain: Expr | None
    delay: Value | None
    dendritic: Value | None
    settle: int | None = None
    tied: tuple[str, bool] | None = None
    bias: bool = False
    biases: ArrayValue | None = None
    dropout: tuple[float, float] = (0.0, 0.0)
    batch_norm: BatchNorm | None = None
    delay_range: tuple[float, float] | None = None
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Network:
    """A flat network: populations, inputs and projections in written order; ``outputs`` names paths."""

    name: str
    populations: tuple[Population, ...]
    inputs: tuple[NetworkInput, ...]
    projections: tuple[Projection, ...]
    outputs: tuple[str, ...]

    def population(self, path: str) -> Population:
        return next(p for p in self.populations if p.path == path)


# --- experiment -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RecordItem:
    """``E.spikes`` (``variable`` = ``spikes``), ``E.v[0:3]``, ``E.peak`` events, ``feed.w`` (a projection), an input's value.

    ``kind``: ``events`` (``variable`` is the event's name), ``state`` of a population, ``synapse`` of a projection, ``input``.
    ``label`` is the name in the results (``E.spikes``, ``E.v``); ``indices`` flat indices or None; ``every`` in ms or None (each step).
    """

    label: str
    kind: Literal["events", "state", "synapse", "input"]
    path: str
    variable: str
    indices: NDArray[np.int64] | None = field(compare=False)
    every: float | None
    unit: Unit
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class PlotItem:
    """``raster(E, I)``: kind ``raster``, ``labels`` the record labels or paths, ``options`` evaluated (times in ms)."""

    kind: str
    targets: tuple[str, ...]
    options: dict[str, Any]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class DriveItem:
    """``value`` an expression of t and index (in the target's unit) or a data array.

    Target ``kind`` ``input``: an input of a population, or a network input; ``events``: the spikes of a population, from data
    (``array`` of shape [k, 2]: time in ms, index), replacing its own test; ``broadcast``/``per_post``: an input of a projection's synapse.
    """

    kind: Literal["input", "events", "network_input", "synapse_input"]
    path: str
    name: str
    indices: NDArray[np.int64] | None = field(compare=False)
    value: Value
    sample_interval: float | None = None
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class AtItem:
    """An assignment at a time (ms) to a state or port (``path`` a population) or weight (``path`` a projection)."""

    time: float
    path: str
    name: str
    indices: NDArray[np.int64] | None = field(compare=False)
    operator: str
    value: Expr
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ClampItem:
    """The event test of ``path`` is replaced by ``value`` > 0: an expression of t, index and network inputs."""

    path: str
    event: str
    value: Expr
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Phase:
    """One ``present``: ``columns`` bind the data's columns in order to network inputs, or to names only (labels).

    ``data`` is a loader's name with evaluated options (``digits``, {"split": "train"}); times in ms; ``freeze`` lists
    (path, variable) held constant during this phase.
    """

    loader: str
    options: dict[str, Any]
    columns: tuple[str, ...]
    duration: float
    rest: float
    epochs: int
    freeze: tuple[tuple[str, str], ...]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Experiment:
    """An elaborated ``simulate``, or, with ``training``, a ``train``. Times in ms. ``method`` maps population paths (or ``""``
    for all) to a method's name.

    A difference-only network without ``dt`` has dt = its models' ``step``, else 1 (steps).
    """

    name: str
    network: Network
    dt: float
    duration: float
    seed: int
    method: dict[str, str]
    records: tuple[RecordItem, ...]
    plots: tuple[PlotItem, ...]
    drives: tuple[DriveItem, ...]
    ats: tuple[AtItem, ...]
    clamps: tuple[ClampItem, ...]
    phases: tuple[Phase, ...]
    freeze: tuple[tuple[str, str], ...]
    sweep: tuple[tuple[str, tuple[Any, ...]], ...]
    record_initial: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[Diagnostic, ...] = ()
    training: Training | None = None
    span: Span | None = field(default=None, compare=False, repr=False)
