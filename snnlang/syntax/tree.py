"""What is written: the syntax tree of a ``.snn`` file, one frozen node per construct.

Spans and comments do not take part in comparison, so that ``parse(print(tree)) == tree``. Nothing here knows what a name
means; that is the checker's work.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from snnlang.diagnostics import Span
from snnlang.frozen import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Every node knows its place."""

    span: Span = field(compare=False, repr=False)


# --- expressions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number(Node):
    """``10_000``, ``1e-3``; ``text`` without underscores, ``value`` its number."""

    value: float
    is_integer: bool = False


@dataclass(frozen=True, slots=True)
class UnitFactor:
    """One ``cm^-2`` of a unit: the name as written and a whole exponent (division already made a minus)."""

    name: str
    exponent: int = 1


@dataclass(frozen=True, slots=True)
class Quantity(Node):
    """``20 ms``, ``0.1/mV``, ``120 mS/cm^2``."""

    value: float
    unit: tuple[UnitFactor, ...]
    is_integer: bool = False


@dataclass(frozen=True, slots=True)
class String(Node):
    value: str


@dataclass(frozen=True, slots=True)
class Name(Node):
    id: str


@dataclass(frozen=True, slots=True)
class Attribute(Node):
    """``post.v``, ``out.spikes``."""

    value: Expression
    name: str


@dataclass(frozen=True, slots=True)
class Slice(Node):
    start: Expression | None
    stop: Expression | None


@dataclass(frozen=True, slots=True)
class Index(Node):
    """``v[n-1]``, ``E[0:100]``, ``x[end]``."""

    value: Expression
    indices: tuple[Expression | Slice, ...]


@dataclass(frozen=True, slots=True)
class Argument(Node):
    """``value`` or ``name = value`` of a call."""

    name: str | None
    value: Expression


@dataclass(frozen=True, slots=True)
class Per(Node):
    """The ``per post`` of ``sum(w, per post)``."""

    side: str


@dataclass(frozen=True, slots=True)
class Call(Node):
    function: Expression
    arguments: tuple[Argument | Per, ...]


@dataclass(frozen=True, slots=True)
class Unary(Node):
    operator: Literal["-", "not"]
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary(Node):
    operator: Literal["+", "-", "*", "/", "^", "and", "or"]
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Comparison(Node):
    """``a < b`` or a chain ``a < t < b``: one operand more than operators."""

    operands: tuple[Expression, ...]
    operators: tuple[Literal["<", "<=", ">", ">=", "==", "!="], ...]


@dataclass(frozen=True, slots=True)
class Crosses(Node):
    """``v crosses 0 mV``: an upward crossing."""

    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    """``value if condition else otherwise``."""

    value: Expression
    condition: Expression
    otherwise: Expression


@dataclass(frozen=True, slots=True)
class Derivative(Node):
    """``dv/dt``; whether ``v`` is a state is the checker's question."""

    variable: str


@dataclass(frozen=True, slots=True)
class ListLiteral(Node):
    items: tuple[Expression, ...]


Expression: TypeAlias = (
    Number
    | Quantity
    | String
    | Name
    | Attribute
    | Index
    | Call
    | Unary
    | Binary
    | Comparison
    | Crosses
    | Conditional
    | Derivative
    | ListLiteral
)

# --- statements of handlers -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assign(Node):
    """``target = value`` and ``target += value``."""

    target: Expression
    operator: Literal["=", "+=", "-=", "*=", "/="]
    value: Expression


@dataclass(frozen=True, slots=True)
class Deliver(Node):
    """``deliver w`` or ``deliver w to post.ampa``; in a handler a jump, as a member continuous."""

    value: Expression
    port: Expression | None = None
    override: bool = False


@dataclass(frozen=True, slots=True)
class Hold(Node):
    """``hold v for t_ref``; ``variable`` may be ``spike``."""

    variable: str
    duration: Expression


@dataclass(frozen=True, slots=True)
class Emit(Node):
    event: str


@dataclass(frozen=True, slots=True)
class Remove(Node):
    pass


@dataclass(frozen=True, slots=True)
class Create(Node):
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Branch(Node):
    """``if``/``elif CONDITION: body``; ``condition`` is None for ``else``."""

    condition: Expression | None
    body: tuple[Statement, ...]
    inline: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class If(Node):
    branches: tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class ForVacant(Node):
    body: tuple[Statement, ...]
    inline: bool = field(default=False, compare=False)


Statement: TypeAlias = Assign | Deliver | Hold | Emit | Remove | Create | If | ForVacant

# --- members of neurons and synapses ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Range(Node):
    """``in [0, 1]``, ``in (0 ms, inf)``: each end closed or open."""

    low: Expression
    high: Expression
    low_closed: bool
    high_closed: bool


@dataclass(frozen=True, slots=True)
class Declaration(Node):
    """``trainable param tau: ms = 20 ms in (0 ms, inf) "text"``.

    ``grouped`` marks a line of a ``param:`` block; consecutive grouped lines of one role print as one block.
    """

    role: Literal["param", "state", "input", "weight"]
    name: str
    adjectives: tuple[str, ...] = ()
    unit: tuple[UnitFactor, ...] | None = None
    value: Expression | None = None
    range: Range | None = None
    doc: str | None = None
    override: bool = False
    grouped: bool = False
    name_span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Equation(Node):
    """``left = right``: an ODE, a difference equation or a definition."""

    left: Expression
    right: Expression
    override: bool = False


@dataclass(frozen=True, slots=True)
class SpikeRule(Node):
    """``spike when C``, ``spike with rate R``, ``spike with probability P``, and ``with gradient G``."""

    kind: Literal["when", "rate", "probability"]
    condition: Expression
    gradient: Expression | None = None
    override: bool = False


@dataclass(frozen=True, slots=True)
class EventRule(Node):
    """``event NAME when CONDITION`` in a neuron; ``condition`` is None for one that is only emitted."""

    name: str
    condition: Expression | None
    override: bool = False


@dataclass(frozen=True, slots=True)
class PostEvent(Node):
    """``per_post event desired`` in a synapse."""

    name: str
    override: bool = False


@dataclass(frozen=True, slots=True)
class Trigger(Node):
    """What a handler waits for: ``spike``, ``peak``, ``pre``, ``post.peak``, ``trial_end`` or ``every 1 s``.

    ``path`` holds the names between the dots, ``("every",)`` with a period for the last form.
    """

    path: tuple[str, ...]
    period: Expression | None = None


@dataclass(frozen=True, slots=True)
class Handler(Node):
    """``on EVENT, EVENT: body``; ``inline`` remembers that a single statement stood on the same line."""

    triggers: tuple[Trigger, ...]
    body: tuple[Statement, ...]
    override: bool = False
    inline: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Trace(Node):
    """``trace x on pre decay tau[, nearest]``."""

    name: str
    trigger: Trigger
    decay: Expression
    option: str | None = None
    override: bool = False
    name_span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Order(Node):
    """``order pre, post``."""

    first: str
    second: str
    override: bool = False


@dataclass(frozen=True, slots=True)
class Output(Node):
    value: Expression
    override: bool = False


@dataclass(frozen=True, slots=True)
class Tick(Node):
    """``step = 1 ms``."""

    value: Expression
    override: bool = False


@dataclass(frozen=True, slots=True)
class Adjoint(Node):
    equations: tuple[Equation, ...]
    override: bool = False


Member: TypeAlias = (
    Declaration
    | Equation
    | SpikeRule
    | EventRule
    | PostEvent
    | Handler
    | Trace
    | Order
    | Output
    | Tick
    | Adjoint
    | Deliver
)

# --- networks ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parameter(Node):
    """``N = 10_000`` in the head of a network, function or kernel."""

    name: str
    default: Expression | None = None


@dataclass(frozen=True, slots=True)
class PopulationLine(Node):
    """``population E[0.8*N]: LIF(tau_m = 20 ms)``."""

    name: str
    shape: tuple[Expression, ...]
    model: Expression
    name_span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class BlockLine(Node):
    """``block b1: SEW(64)``."""

    name: str
    network: Expression


@dataclass(frozen=True, slots=True)
class InputLine(Node):
    name: str
    shape: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class OutputLine(Node):
    name: str


@dataclass(frozen=True, slots=True)
class Connect(Node):
    """``connect [name =] pre -> post.port[, …]: pattern [via Synapse(…)] [, option = value …]``."""

    name: str | None
    pre: Expression
    targets: tuple[Expression, ...]
    pattern: Expression
    via: Expression | None = None
    options: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage(Node):
    """One link of a chain: ``conv2d(32, kernel = 5)``, ``max_pool(2)``, ``c1: DLIF`` (``name`` given), ``image``."""

    value: Expression
    name: str | None = None
    options: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain(Node):
    """``image -> dense(10) -> out: Readout``."""

    stages: tuple[Stage, ...]


NetworkLine: TypeAlias = PopulationLine | BlockLine | InputLine | OutputLine | Connect | Chain

# --- experiments ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting(Node):
    """``dt = 0.1 ms``."""

    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class Record(Node):
    """``record E.spikes, E.v[0:3] every 1 ms``; the period belongs to the whole line."""

    items: tuple[Expression, ...]
    period: Expression | None = None


@dataclass(frozen=True, slots=True)
class Plot(Node):
    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Sweep(Node):
    name: str
    values: Expression


@dataclass(frozen=True, slots=True)
class Drive(Node):
    """``drive E.I = EXPR`` or ``drive stim from "spikes.npz"``."""

    target: Expression
    value: Expression
    from_data: bool = False


@dataclass(frozen=True, slots=True)
class At(Node):
    """``at 500 ms: E.v += 5 mV``."""

    time: Expression
    statement: Statement


@dataclass(frozen=True, slots=True)
class Clamp(Node):
    target: Expression
    value: Expression


@dataclass(frozen=True, slots=True)
class Freeze(Node):
    targets: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Present(Node):
    """``present digits() as image, label for 350 ms, rest 150 ms, epochs = 3``."""

    data: Expression
    columns: tuple[str, ...]
    duration: Expression
    rest: Expression | None = None
    epochs: Expression | None = None


ExperimentLine: TypeAlias = Setting | Record | Plot | Sweep | Drive | At | Clamp | Freeze | Present

# --- top level --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Import(Node):
    """``from stdlib.neurons import LIF`` (``dots`` 0), ``from .mine import Foo`` (``dots`` 1)."""

    dots: int
    path: tuple[str, ...]
    names: tuple[str, ...]
    name_spans: tuple[Span, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Const(Node):
    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class Function(Node):
    """``func f(a, b = 2) = EXPR`` and ``kernel eps(t, tau = 5 ms) = EXPR``."""

    kind: Literal["func", "kernel"]
    name: str
    parameters: tuple[Parameter, ...]
    value: Expression
    doc: str | None = None


@dataclass(frozen=True, slots=True)
class Model(Node):
    """A ``neuron`` or ``synapse``, with the model it inherits from."""

    kind: Literal["neuron", "synapse"]
    name: str
    base: str | None
    doc: str | None
    members: tuple[Member, ...]
    name_span: Span | None = field(default=None, compare=False, repr=False)
    base_span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Network(Node):
    name: str
    parameters: tuple[Parameter, ...]
    doc: str | None
    lines: tuple[NetworkLine, ...]
    name_span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Experiment(Node):
    """``simulate NET(g = 6) as name:`` and ``train NET:``."""

    kind: Literal["simulate", "train"]
    network: Expression
    name: str | None
    lines: tuple[ExperimentLine, ...]
    doc: str | None = None


Item: TypeAlias = Import | Const | Function | Model | Network | Experiment


@dataclass(frozen=True, slots=True)
class Comment:
    """A ``#`` comment: kept beside the tree for the formatter.

    ``own_line`` tells a comment that stands alone from one after code; ``blank_before`` keeps a paragraph's gap.
    """

    span: Span
    text: str
    own_line: bool


@dataclass(frozen=True, slots=True)
class File(Node):
    """A whole text; ``lost`` holds the names in lines that could not be read, so that nobody calls them unknown."""

    items: tuple[Item, ...]
    comments: tuple[Comment, ...] = field(default=(), compare=False, repr=False)
    lost: tuple[str, ...] = field(default=(), compare=False, repr=False)
