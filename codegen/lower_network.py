"""What lowering knows of a whole network while it works, and what the symbolic stage hands over to it."""

from __future__ import annotations

from snnlang.codegen.assembly import Assembly
from snnlang.codegen.lower_population_names import PopulationState
from snnlang.codegen.lower_projection_names import ProjectionState
from snnlang.codegen.lower_projection_turn import ProjectionKernels
from snnlang.diagnostics import Diagnostic
from snnlang.dynamics.system import Attachment, Placement, Step, System
from snnlang.frozen import dataclass, field
from snnlang.model import model as m
from snnlang.model.network import Experiment, Network


@dataclass(frozen=True, slots=True)
class DerivedProjection:
    """A projection after placement: its synapse with response kernels made states, and what it attaches to its target.

    ``continuous`` are the bare delivers that did not become terms of the target's equations.
    """

    synapse: m.Synapse
    placement: Placement
    attachment: Attachment | None
    advance: Step | None
    continuous: tuple[m.Deliver, ...] = ()


@dataclass(frozen=True, slots=True)
class Derived:
    """The symbolic stage's result for a whole network."""

    populations: dict[str, tuple[System, Step]]
    projections: dict[str, DerivedProjection]


@dataclass
class Lowering:
    experiment: Experiment
    derived: Derived
    assembly: Assembly
    networks: dict[str, str] = field(default_factory=dict)
    populations: dict[str, PopulationState] = field(default_factory=dict)
    projections: dict[str, ProjectionState] = field(default_factory=dict)
    kernels: dict[str, ProjectionKernels] = field(default_factory=dict)
    warnings: list[Diagnostic] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    groups: dict[str, int] = field(default_factory=dict)  # population -> settle group
    settled: set[str] = field(default_factory=set)  # projections inside a settle group
    fed: dict[str, set[str]] = field(default_factory=dict)
    given: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def network(self) -> Network:
        return self.experiment.network


def size_of(low: Lowering, path: str) -> int:
    if path in low.populations:
        return low.populations[path].size
    return next(i.size for i in low.network.inputs if i.path == path)


def shape_of(low: Lowering, path: str) -> tuple[int, ...]:
    if path in low.populations:
        return low.populations[path].population.shape
    return next(i.shape for i in low.network.inputs if i.path == path)
