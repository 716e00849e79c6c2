"""The two nouns of the symbolic middle: a System of equations, and a Step that advances it by dt.

Both hold checked expressions (:mod:`snnlang.model.expression`); sympy is used between them, never in them.
"""

from __future__ import annotations

from typing import Literal

from snnlang.diagnostics import Diagnostic, Span
from snnlang.frozen import dataclass, field
from snnlang.model.expression import Expr
from snnlang.model.model import Adjoint, Definition, Event, Handler, State


@dataclass(frozen=True, slots=True)
class Ode:
    """``d(variable)/dt = rate + sum over noises of coefficient * xi_number``, definitions inlined.

    ``source`` is the equation as the user wrote it, for comments. ``named`` is the rate with the model's definitions kept as names
    (None: the same as ``rate``).
    """

    variable: str
    rate: Expr
    noises: tuple[tuple[int, Expr], ...] = ()
    source: str = ""
    named: Expr | None = None
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Attachment:
    """What synapses placed per post neuron add to the neuron they target: states, their equations, and terms.

    Names are already unique in the target (``states`` have initial 0 unless said); ``terms`` add an expression to an input
    of the neuron (``("I", g*(E - v))``) or, for a port state, to its derivative.
    """

    prefix: str
    params: tuple[str, ...]
    states: tuple[State, ...]
    odes: tuple[Ode, ...]
    terms: tuple[tuple[str, Expr], ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a difference graph, in order of evaluation: ``variable[n] = value``, a definition, or an event's test."""

    kind: Literal["difference", "definition", "event"]
    name: str
    value: Expr | None
    source: str = ""
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ResponseState:
    """A continuous state that realises a response kernel exactly; it is also in ``states`` and ``odes``.

    At the very end of every step in which ``event`` of this neuron happens (with the trace jumps): ``name += jump``, or ``name = jump``
    when ``replace`` (the latest event alone counts). The response to an event of step n is therefore first felt in step n + 1.
    """

    name: str
    event: str
    jump: float
    replace: bool


@dataclass(frozen=True, slots=True)
class ResponseWindow:
    """A response kernel that solves no linear equation: a sum over a finite window of past steps.

    ``name`` stands for its value in definitions, conditions and handlers; ``kernel`` is an expression of
    ``Variable(argument)``; ``source`` an ``Occurs`` or an expression. :func:`snnlang.dynamics.kernels.realise` writes
    it out for one dt.
    """

    name: str
    kernel: Expr
    argument: str
    source: Expr
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class System:
    """A population's equations with its attachments folded in.

    ``params`` are constant over a step (any that depend on time, such as inputs, are in ``inputs``, held over the
    step). ``nodes`` order the difference equations, the definitions they need and the event tests among them; event
    tests that need no difference equation come last, in written order. ``definitions`` are kept for those who evaluate
    conditions and handlers. In definitions, nodes, events, ``handlers`` and ``output`` an input already reads input +
    folded terms, and responses are names of states. ``reserved`` are the definitions that events, handlers or the
    output read: their names are not reused inside a Step; ``positive`` the params whose bounds keep them above zero. ``adjoint`` is the
    backward pass that the neuron writes itself.
    """

    name: str
    params: tuple[str, ...]
    inputs: tuple[str, ...]
    states: tuple[State, ...]
    odes: tuple[Ode, ...]
    nodes: tuple[Node, ...]
    definitions: tuple[Definition, ...]
    events: tuple[Event, ...]
    handlers: tuple[Handler, ...] = ()
    output: Expr | None = None
    responses: tuple[ResponseState, ...] = ()
    windows: tuple[ResponseWindow, ...] = ()
    reserved: tuple[str, ...] = ()
    positive: tuple[str, ...] = ()
    adjoint: Adjoint | None = None


@dataclass(frozen=True, slots=True)
class Let:
    """``name = value``, in order; ``source`` is the user's equation behind it."""

    name: str
    value: Expr
    source: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """The advance of a System's continuous states from t_n to t_{n+1} = t_n + dt.

    ``coefficients`` depend on params and ``dt`` alone and are computed once; ``body`` are temporaries of this step; ``updates`` are the
    new values of the states, all evaluated on old states and temporaries, then committed together. In them ``Variable(name)`` is an old
    state, an input, a param, a coefficient or a temporary; ``t`` is the end of the step (start: ``t - dt``). Noise is
    ``Random("normal", (0, 1), number)``.
    ``order`` is the declared order of convergence (None: exact); ``explanation`` says in one or two sentences why this method.
    """

    method: str
    order: float | None
    explanation: str
    coefficients: tuple[Let, ...]
    body: tuple[Let, ...]
    updates: tuple[Let, ...]


Where = Literal["scalar", "pre", "post", "synapse", "summed"]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a synaptic variable lives and why, in one sentence for ``snn explain``.

    ``pre``/``post``: once per neuron of that side (arrival events at uniform delay); ``summed``: linear, its sum over
    the synapses of a post neuron is kept and integrated with the target; ``synapse``: one value each; ``scalar``: one
    value for the projection.
    """

    name: str
    where: Where
    reason: str


@dataclass(frozen=True, slots=True)
class Placement:
    placed: tuple[Placed, ...]
    warnings: tuple[Diagnostic, ...] = ()

    def where(self, name: str) -> Where:
        return next((p.where for p in self.placed if p.name == name), "synapse")
