"""What is meant: checked neurons, synapses, functions and the program that holds them.

Made by the checker only; inheritance is resolved, functions are inlined, names and units are known. Networks and experiments
stay as syntax here, checked once with their defaults, and are elaborated with real arguments by
:mod:`snnlang.model.elaborate` into :mod:`snnlang.model.network`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from snnlang.diagnostics import Diagnostic, Span
from snnlang.frozen import dataclass, field
from snnlang.model.expression import Expr
from snnlang.model.units import Unit

if TYPE_CHECKING:
    from snnlang.syntax import tree


@dataclass(frozen=True, slots=True)
class Bounds:
    """Constant expressions of parameters; infinite ends are ``Constant(inf)``."""

    low: Expr
    high: Expr
    low_closed: bool
    high_closed: bool
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Param:
    """A value given at the population or connection; ``default`` is None when it must be given.

    ``shown`` (here and below) is the unit as the model writes it, for messages.
    """

    name: str
    unit: Unit
    default: Expr | None
    bounds: Bounds | None = None
    doc: str | None = None
    trainable: bool = False
    per_neuron: bool = False
    span: Span | None = field(default=None, compare=False, repr=False)
    shown: str | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class State:
    """A variable that evolves. ``kind`` says by what: an ODE, a difference equation, or handlers alone.

    ``weight`` marks a synapse's weights (states that are initialised by ``w = …``, learned and exported).
    """

    name: str
    unit: Unit
    initial: Expr
    kind: Literal["ode", "difference", "handler"]
    bounds: Bounds | None = None
    port: bool = False
    persistent: bool = False
    weight: bool = False
    trainable: bool = False
    doc: str | None = None
    span: Span | None = field(default=None, compare=False, repr=False)
    shown: str | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Input:
    """Summed afresh each step. ``adjective``: for synapses ``broadcast`` or ``per_post``; neurons: ``per_neuron`` or none."""

    name: str
    unit: Unit
    default: Expr
    adjective: Literal["", "per_neuron", "broadcast", "per_post"] = ""
    doc: str | None = None
    span: Span | None = field(default=None, compare=False, repr=False)
    shown: str | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Definition:
    """A named subexpression; ``lag`` 0 when its body uses ``[n]`` (it is then a node of the difference graph)."""

    name: str
    unit: Unit
    value: Expr
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Differential:
    """``left = right`` with ``left`` linear in the derivative of ``variable``.

    The derivative appears in ``left`` as ``Variable("d<variable>/dt")`` of unit [variable]/ms; the symbolic stage solves for it.
    """

    variable: str
    left: Expr
    right: Expr
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Difference:
    """``x[n] = value``."""

    variable: str
    value: Expr
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a neuron, ``spike`` among them.

    ``kind`` ``when``: condition is boolean; ``rate``: per ms; ``probability``: of one step; ``emitted``: only by ``emit``.
    """

    name: str
    kind: Literal["when", "rate", "probability", "emitted"]
    condition: Expr | None
    gradient: Expr | None = None
    span: Span | None = field(default=None, compare=False, repr=False)


# --- statements -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assign:
    """``target operator value``. Scope ``self`` a state of this model, ``pre``/``post`` a port of that neuron
    (operators += and -= only).
    """

    name: str
    operator: Literal["=", "+=", "-=", "*=", "/="]
    value: Expr
    scope: Literal["self", "pre", "post"] = "self"
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Deliver:
    """Into port or input ``port`` of the post neuron; None: the port that the connection names."""

    value: Expr
    port: str | None = None
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Hold:
    variable: str
    duration: Expr
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Emit:
    event: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Remove:
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Create:
    arguments: tuple[tuple[str, Expr], ...]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class If:
    """Branches of (condition, body); a last condition of None is ``else``."""

    branches: tuple[tuple[Expr | None, tuple[Statement, ...]], ...]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ForVacant:
    body: tuple[Statement, ...]
    span: Span | None = field(default=None, compare=False, repr=False)


Statement: TypeAlias = Assign | Deliver | Hold | Emit | Remove | Create | If | ForVacant


@dataclass(frozen=True, slots=True)
class Trigger:
    """``kind`` ``own``: an event of this neuron; ``pre``/``post``: event ``event`` of that side; ``input``: a ``per_post event``;
    ``trial_start``, ``trial_end``; ``every`` with ``period``."""

    kind: Literal["own", "pre", "post", "input", "trial_start", "trial_end", "every"]
    event: str = ""
    period: Expr | None = None


@dataclass(frozen=True, slots=True)
class Handler:
    trigger: Trigger
    body: tuple[Statement, ...]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Trace:
    """``dx/dt = -x/decay``; at the trigger ``x += 1`` (or ``x = 1`` when ``nearest``), committed at the end of the step.

    In a model of difference equations ``decay`` is dimensionless: time constant in steps, factor exp(-1/decay).
    """

    name: str
    trigger: Trigger
    decay: Expr
    nearest: bool = False
    span: Span | None = field(default=None, compare=False, repr=False)


AdjointKind = Literal["variable", "value", "gradient"]


@dataclass(frozen=True, slots=True)
class AdjointLine:
    """One line of an ``adjoint:`` block: ``e[n] = value``, known as ``e[n+1]`` one step before (``variable``); ``name = value`` of one step
    (``value``); ``grad(name) = value`` for an input, a port or a parameter (``gradient``)."""

    kind: AdjointKind
    name: str
    value: Expr
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Adjoint:
    """A backward pass as written, in place of the derived one: difference equations from the last step to the first, in order of
    evaluation. Beyond the last step every variable is 0."""

    lines: tuple[AdjointLine, ...]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Neuron:
    """A checked neuron. Handlers with several triggers are split, one trigger each, in written order."""

    name: str
    doc: str | None
    params: tuple[Param, ...]
    states: tuple[State, ...]
    inputs: tuple[Input, ...]
    definitions: tuple[Definition, ...]
    differentials: tuple[Differential, ...]
    differences: tuple[Difference, ...]
    events: tuple[Event, ...]
    handlers: tuple[Handler, ...]
    output: Expr | None = None
    output_unit: Unit | None = None
    step: Expr | None = None
    adjoint: Adjoint | None = None
    bases: tuple[str, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)

    @property
    def is_difference(self) -> bool:
        """Whether it has difference equations and no differential one."""
        return bool(self.differences) and not self.differentials

    def symbol(self, name: str) -> Param | State | Input | Definition | None:
        """What a name stands for in this model."""
        for group in (self.params, self.states, self.inputs, self.definitions):
            for item in group:
                if item.name == name:
                    return item
        return None


@dataclass(frozen=True, slots=True)
class Synapse:
    """A checked synapse. ``delivers`` are the continuous ones; those in handlers are statements.

    ``written`` keeps what it was made from, for :func:`snnlang.model.bind.bind_synapse`.
    """

    name: str
    doc: str | None
    params: tuple[Param, ...]
    states: tuple[State, ...]
    inputs: tuple[Input, ...]
    post_events: tuple[str, ...]
    traces: tuple[Trace, ...]
    definitions: tuple[Definition, ...]
    differentials: tuple[Differential, ...]
    differences: tuple[Difference, ...]
    handlers: tuple[Handler, ...]
    delivers: tuple[Deliver, ...]
    order: tuple[str, str] | None = None
    bases: tuple[str, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)
    written: Any = field(default=None, compare=False, repr=False)

    @property
    def weights(self) -> tuple[State, ...]:
        return tuple(state for state in self.states if state.weight)


@dataclass(frozen=True, slots=True)
class Function:
    """A ``func`` or ``kernel`` as checked on its own; calls inline it. ``home`` is the table of names that its body sees."""

    name: str
    definition: tree.Function
    span: Span | None = field(default=None, compare=False, repr=False)
    home: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ConstantValue:
    """A ``const``: its value in internal units."""

    name: str
    value: float
    unit: Unit
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Scope:
    """Everything that one file can name: its own items and its imports.

    ``failed`` are names of which a mistake was already reported (imports that were not found): nothing more is said of them.
    """

    constants: dict[str, ConstantValue]
    functions: dict[str, Function]
    neurons: dict[str, Neuron]
    synapses: dict[str, Synapse]
    networks: dict[str, NetworkDefinition]
    failed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NetworkDefinition:
    """A network as written, with the scope of its own file."""

    name: str
    definition: tree.Network
    scope: Scope = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Program:
    """A checked file: its scope, its experiments as written, and every warning found."""

    file: tree.File
    scope: Scope
    experiments: tuple[tree.Experiment, ...]
    warnings: tuple[Diagnostic, ...] = ()

    def experiment_names(self) -> list[str]:
        """``as NAME`` where given, else the network's name."""
        return [experiment_name(experiment) for experiment in self.experiments]


def experiment_name(experiment: tree.Experiment) -> str:
    """The name to call an experiment by: ``as NAME``, else its network's."""
    from snnlang.syntax import tree  # the only need for it here; a run that was prepared before does without

    if experiment.name is not None:
        return experiment.name
    network = experiment.network
    if isinstance(network, tree.Call):
        network = network.function
    return network.id if isinstance(network, tree.Name) else "experiment"
