"""Where each variable of a synapse lives, and why: once per pre neuron, once per post neuron, summed per post neuron, or per synapse.

A variable depends on what its events, equations, conditions and initial value read; what depends on one side alone is kept
once per neuron of that side. Conductances that are linear with one set of parameters matter only through their sum and go
into the equations of the target. What is left is kept, and if it has an equation advanced at every step, per synapse; that
is remarked upon (W701).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from snnlang.diagnostics import Diagnostic, Label
from snnlang.dynamics.advance import advance_rule
from snnlang.dynamics.equations import inline, solve
from snnlang.dynamics.normalise import normalise
from snnlang.dynamics.summed import attachment, is_folded, summed_states
from snnlang.dynamics.system import Placed, Placement, Where
from snnlang.model.expression import (
    AtTime,
    Expr,
    Occurs,
    Position,
    Random,
    Since,
    SynapseReduction,
    Variable,
    walk,
)
from snnlang.model.model import Assign, Difference, Differential, ForVacant, If, Statement, Synapse, Trigger

__all__ = ["advance_rule", "attachment", "is_folded", "normalise", "place"]

_BUILT_IN = frozenset({"t", "dt"})


@dataclass(slots=True)
class _Source:
    """One thing that a variable depends on: where that lives, and its name for the reason."""

    where: Where
    label: str


@dataclass(slots=True)
class _Table:
    synapse: Synapse
    uniform: frozenset[str]
    uniform_delay: bool
    plain_dendritic: bool
    where: dict[str, Where] = field(default_factory=dict)
    definitions: dict[str, Expr] = field(default_factory=dict)

    def sources(self, expr: Expr) -> Iterator[_Source]:
        """What an expression depends on."""
        for node in walk(inline(expr, self.definitions)):
            match node:
                case Variable(scope="pre") | Occurs(scope="pre") | Since(scope="pre") | Position(scope="pre"):
                    yield self._side("pre", _label(node))
                case Variable(scope="post") | Occurs(scope="post") | Since(scope="post") | Position(scope="post"):
                    yield self._side("post", _label(node))
                case Occurs() | Since():
                    yield self._side("post", _label(node))
                case Variable(scope="self"):
                    yield self._own(node.name)
                case AtTime():
                    yield self._own(node.name)
                case Random():
                    yield _Source("synapse", "a random draw of its own")
                case SynapseReduction():
                    yield _Source(node.per, f"{node.operation}(…, per {node.per})")
                case _:
                    pass

    def _side(self, side: Where, label: str) -> _Source:
        if side == "pre" and not self.uniform_delay:
            return _Source("synapse", f"{label} at a delay of its own")
        if side == "post" and not self.plain_dendritic:
            return _Source("synapse", f"{label} at a dendritic delay of its own")
        return _Source(side, label)

    def _own(self, name: str) -> _Source:
        if name in self.where:
            return _Source(self.where[name], f"`{name}`")
        if name in _BUILT_IN or name in self.uniform:
            return _Source("scalar", f"`{name}`")
        for item in self.synapse.inputs:
            if item.name == name:
                return _Source("post" if item.adjective == "per_post" else "scalar", f"`{name}`")
        return _Source("synapse", f"`{name}`, which differs from synapse to synapse")

    def trigger(self, trigger: Trigger) -> _Source:
        match trigger.kind:
            case "pre" | "post":
                return self._side(trigger.kind, f"`on {_event(trigger)}`")
            case "input":
                return _Source("post", f"`on {trigger.event}`")
            case _:
                return _Source("scalar", f"`on {trigger.kind}`")


def place(
    synapse: Synapse,
    uniform: frozenset[str],
    uniform_delay: bool = True,
    plain_dendritic: bool = True,
    shared_weights: bool = False,
    constant_weights: frozenset[str] = frozenset(),
    given: frozenset[str] = frozenset(),
    varied: frozenset[str] = frozenset(),
) -> Placement:
    """Where traces, states and weights of a (bound, normalised) synapse live.

    ``uniform``: params equal for all synapses of the connection; ``uniform_delay``: all arrive after the same time;
    ``plain_dendritic``: post is seen without a per-synapse delay; ``shared_weights``: several synapses use one weight
    (convolution); ``constant_weights``: weights given as one constant; ``given``: other states whose initial value the
    connection gives, ``varied`` those of them that differ between synapses.
    """
    table = _Table(synapse, uniform, uniform_delay, plain_dendritic)
    table.definitions = {definition.name: definition.value for definition in synapse.definitions}
    summed = summed_states(synapse, uniform, plain_dendritic) - given
    assigned = {name for handler in synapse.handlers for name in _targets(handler.body)}
    evolving = {equation.variable for equation in _equations(synapse)}
    contributions = _contributions(synapse, given, varied)
    reasons: dict[str, str] = {}
    for state in synapse.states:
        if state.name in summed:
            table.where[state.name] = "summed"
            reasons[state.name] = (
                "linear, with parameters that all synapses share: only its sum over the synapses of a neuron matters"
            )
        elif state.weight:
            _place_weight(state.name, table, reasons, constant_weights, assigned | evolving, shared_weights)
        else:
            table.where[state.name] = "scalar"
    for trace in synapse.traces:
        table.where[trace.name] = "scalar"
    _settle(table, contributions, reasons, assigned | evolving)
    for trace in synapse.traces:
        if trace.trigger.kind == "pre" and not uniform_delay and table.where[trace.name] == "synapse":
            if all(source.where == "scalar" for source in table.sources(trace.decay)):
                table.where[trace.name] = "pre"
                reasons[trace.name] = (
                    "follows the spikes of the pre neuron; each synapse reads it as it was when the spike was sent"
                )
    names = [*(trace.name for trace in synapse.traces), *(state.name for state in synapse.states)]
    placed = tuple(
        Placed(name, table.where[name], reasons.get(name, "depends on neither side: one value")) for name in names
    )
    return Placement(placed, tuple(_remarks(synapse, placed)))


def _place_weight(
    name: str, table: _Table, reasons: dict[str, str], constant: frozenset[str], changing: set[str], shared: bool
) -> None:
    if name in constant and name not in changing:
        table.where[name] = "scalar"
        reasons[name] = "one constant for all synapses, and nothing changes it"
        return
    table.where[name] = "synapse"
    reasons[name] = (
        "a weight that several synapses share"
        if shared
        else ("a weight that the rule changes" if name in changing else "a weight of its own for every synapse")
    )


#: For each variable: the groups of expressions and triggers that it depends on.
_Contributions = dict[str, list[tuple[Trigger | None, list[Expr], list[str]]]]


def _contributions(synapse: Synapse, given: frozenset[str], varied: frozenset[str]) -> _Contributions:
    found: _Contributions = {
        state.name: [(None, [] if state.name in given else [state.initial], [])] for state in synapse.states
    }
    for name in sorted(varied & set(found)):
        found[name].append((None, [Random("", ())], []))
    for trace in synapse.traces:
        found[trace.name] = [(trace.trigger, [trace.decay], [])]
    for differential in synapse.differentials:
        found[differential.variable].append((None, [solve(differential)], []))
    for difference in synapse.differences:
        found[difference.variable].append((None, [difference.value], []))
    for handler in synapse.handlers:
        for statement in handler.body:
            _statement(statement, handler.trigger, [], found)
    return found


def _statement(statement: Statement, trigger: Trigger, conditions: list[Expr], found: _Contributions) -> None:
    match statement:
        case Assign(scope="self"):
            if statement.name in found:
                found[statement.name].append((trigger, [*conditions, statement.value], []))
        case If():
            # all that one `if` assigns lives in one place, so that it stays one statement
            together = list(dict.fromkeys(_targets((statement,))))
            inner = [*conditions, *(condition for condition, _ in statement.branches if condition is not None)]
            for _, body in statement.branches:
                for nested in body:
                    _statement(nested, trigger, inner, found)
            for name in together:
                if name in found:
                    found[name].append((trigger, inner, [other for other in together if other != name]))
        case ForVacant():
            for nested in statement.body:
                _statement(nested, trigger, conditions, found)
        case _:
            pass


def _targets(body: Sequence[Statement]) -> Iterator[str]:
    for statement in body:
        match statement:
            case Assign(scope="self"):
                yield statement.name
            case If():
                for _, inner in statement.branches:
                    yield from _targets(inner)
            case ForVacant():
                yield from _targets(statement.body)
            case _:
                pass


def _settle(table: _Table, contributions: _Contributions, reasons: dict[str, str], changing: set[str]) -> None:
    """Raise every place until nothing changes: scalar, then one side, then the synapse."""
    fixed = frozenset(reasons)
    for _ in range(3 * len(contributions) + 1):
        changed = False
        for name, groups in contributions.items():
            if name in fixed:
                continue
            where, reason = _join(table, name, groups)
            if where == "scalar" and name in changing:
                where, reason = "post", "depends on neither side: equal for all, kept once per post neuron"
            if where != table.where[name]:
                table.where[name], changed = where, True
            reasons[name] = reason
        if not changed:
            return


def _join(table: _Table, name: str, groups: list[tuple[Trigger | None, list[Expr], list[str]]]) -> tuple[Where, str]:
    sides: dict[Where, str] = {}
    for trigger, values, together in groups:
        sources = [] if trigger is None else [table.trigger(trigger)]
        sources += [source for value in values for source in table.sources(value) if source.label != f"`{name}`"]
        sources += [_Source(table.where[other], f"`{other}` in the same `if`") for other in together]
        for source in sources:
            where: Where = "synapse" if source.where == "summed" else source.where
            sides.setdefault(where, source.label)
    if "synapse" in sides:
        return "synapse", f"depends on {sides['synapse']}, kept per synapse" if _bare(
            sides["synapse"]
        ) else f"depends on {sides['synapse']}"
    if "pre" in sides and "post" in sides:
        return "synapse", f"depends on both sides: {sides['pre']} and {sides['post']}"
    if "pre" in sides:
        return "pre", f"depends on the pre side alone ({sides['pre']}) and on parameters that all synapses share"
    if "post" in sides:
        return "post", f"depends on the post side alone ({sides['post']}) and on parameters that all synapses share"
    return "scalar", "depends on neither side: one value"


def _bare(label: str) -> bool:
    return label.startswith("`") and label.endswith("`")


def _remarks(synapse: Synapse, placed: tuple[Placed, ...]) -> Iterator[Diagnostic]:
    """One remark for all equations of a synapse that cost work per synapse per step."""
    where = {item.name: item for item in placed}
    found = [
        (where[equation.variable], equation.span)
        for equation in _equations(synapse)
        if where[equation.variable].where == "synapse"
    ]
    if found:
        names = " and ".join(f"`{item.name}`" for item, _ in found)
        yield Diagnostic(
            "W701",
            f"`{synapse.name}` advances {names} for every synapse at every step",
            found[0][1],
            found[0][0].reason,
            labels=tuple(Label(span, item.reason) for item, span in found[1:] if span is not None),
            help=(
                "what depends on one side alone, or is a linear conductance with shared parameters, costs once per neuron",
            ),
            severity="warning",
        )


def _equations(synapse: Synapse) -> list[Differential | Difference]:
    return [*synapse.differentials, *synapse.differences]


def _label(node: Expr) -> str:
    match node:
        case Variable():
            return f"`{node.scope}.{node.name}`"
        case Occurs() | Since():
            return f"`{node.event}`" if node.scope == "self" else f"`{node.scope}`"
        case _:
            return "a position"


def _event(trigger: Trigger) -> str:
    return trigger.kind if trigger.event in ("", "spike") else f"{trigger.kind}.{trigger.event}"
