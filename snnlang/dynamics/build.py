"""Building a Step: names that never collide, coefficients apart from the work of every step, nothing computed twice.

Every method writes its Step through a :class:`Builder`; what depends on parameters and dt alone becomes a coefficient, what the
body repeats becomes one temporary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from snnlang.dynamics.order import timed_definitions
from snnlang.dynamics.system import Let, Ode, Step, System
from snnlang.dynamics.terms import (
    fold,
    fresh,
    names_in,
    operations,
    own_name,
    replace_nodes,
    substitute,
)
from snnlang.model.expression import (
    Binary,
    Call,
    Comparison,
    Constant,
    Crosses,
    Expr,
    Logical,
    Noise,
    Occurs,
    PopulationReduction,
    Position,
    Random,
    Select,
    Since,
    Unary,
    Variable,
    walk,
)

Kind = Literal["constant", "held", "evolving"]
_RANK: dict[Kind, int] = {"constant": 0, "held": 1, "evolving": 2}
_BOOLEAN = (Comparison, Logical, Crosses)
_WORDS = {2.0: "half", 3.0: "third", 6.0: "sixth"}

#: Draws of white noise are numbered from here on, so that they meet none of the model's own draws.
NOISE_DRAWS = 1000


class Builder:
    """Collects the lets of one Step of one System."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.evolving = tuple(ode.variable for ode in system.odes)
        timed = timed_definitions(system.definitions)
        self.definitions: dict[str, Expr] = {d.name: d.value for d in system.definitions if d.name not in timed}
        self._constants = {*system.params, "dt", "index"}
        self.coefficients: list[Let] = []
        self.body: list[Let] = []
        self.updates: dict[str, Let] = {}
        self._values: dict[Expr, Expr] = {}
        self._kinds: dict[str, Kind] = {}
        self._taken = {*system.params, *system.inputs, *system.reserved, *timed, "t", "dt", "index"}
        self._taken.update(state.name for state in system.states)
        self._taken.update(self.definitions)
        self._definition_lets: dict[str, Expr] = {}
        self._held_nodes: dict[Expr, Expr] = {}

    # --- what an expression depends on ---------------------------------------------------------------------------------

    def kind(self, expr: Expr) -> Kind:
        """``constant`` over the simulation, ``held`` over a step, or ``evolving`` within it."""
        kinds = [self._kind_of_name(name) for name in names_in(expr)]
        if any(
            isinstance(node, (Occurs, Since, Random, Noise, PopulationReduction)) or _elsewhere(node)
            for node in walk(expr)
        ):
            kinds.append("held")
        return max(kinds, key=_RANK.__getitem__, default="constant")

    def _kind_of_name(self, name: str) -> Kind:
        if name in self.evolving:
            return "evolving"
        if name in self._constants:
            return "constant"
        if name not in self._kinds:
            self._kinds[name] = "held"
            if name in self.definitions:
                self._kinds[name] = self.kind(self.definitions[name])
        return self._kinds[name]

    def depends(self, expr: Expr, names: Collection[str]) -> bool:
        """Whether an expression reads one of the names, directly or through definitions."""
        return any(
            name in names or (name in self.definitions and self.depends(self.definitions[name], names))
            for name in names_in(expr)
        )

    # --- lets ----------------------------------------------------------------------------------------------------------

    def let(self, name: str, value: Expr, source: str = "") -> Expr:
        """A name for a value that is not evolving: a coefficient if it is constant, else a temporary. Equal values share one."""
        value = fold(value)
        if isinstance(value, (Constant, Variable)):
            return value
        if value not in self._values:
            kind = self.kind(value)
            self._values[value] = self._append(
                name, value, source, self.coefficients if kind == "constant" else self.body, kind
            )
        return self._values[value]

    def temporary(self, name: str, value: Expr, source: str = "") -> Expr:
        """A name for a value of this step."""
        return self._append(name, fold(value), source, self.body, self.kind(value))

    def _append(self, name: str, value: Expr, source: str, lets: list[Let], kind: Kind) -> Expr:
        name = fresh(name, self._taken)
        if kind == "constant":
            self._constants.add(name)
        else:
            self._kinds[name] = kind
        lets.append(Let(name, value, source))
        return Variable(name)

    def update(self, ode: Ode, value: Expr) -> None:
        self.updates[ode.variable] = Let(ode.variable, fold(value), ode.source)

    # --- rates ---------------------------------------------------------------------------------------------------------

    def rate(self, ode: Ode) -> Expr:
        """The rate with definitions as names; draws and reductions over the population are taken once, at the start of the step."""
        return replace_nodes(ode.rate if ode.named is None else ode.named, self._hold)

    def _hold(self, node: Expr) -> Expr | None:
        if not isinstance(node, (PopulationReduction, Random)):
            return None
        if node not in self._held_nodes:
            name = f"all_{node.operation}" if isinstance(node, PopulationReduction) else "draw"
            self._held_nodes[node] = self.temporary(name, node)
        return self._held_nodes[node]

    def noise(self, number: int) -> Expr:
        """The draw of noise source ``number`` in this step, standard normal."""
        draw = Random("normal", (Constant(0.0), Constant(1.0)), NOISE_DRAWS + number)
        if draw not in self._held_nodes:
            self._held_nodes[draw] = self.temporary(f"xi_{number}", draw)
        return self._held_nodes[draw]

    def inlined(self, expr: Expr, names: Collection[str] | None = None) -> Expr:
        """Definitions replaced by their values: all, or those that depend on ``names``."""
        for _ in range(len(self.definitions) + 1):
            values = {
                name: replace_nodes(self.definitions[name], self._hold)
                for name in names_in(expr)
                if name in self.definitions and (names is None or self.depends(self.definitions[name], names))
            }
            if not values:
                return expr
            expr = substitute(expr, values)
        return expr

    def defined(self, expr: Expr, at: Mapping[str, Expr] | None = None, suffix: str = "") -> Expr:
        """An expression whose definitions are lets: constant ones coefficients, the rest temporaries.

        ``at`` moves evolving variables and time to a stage; a definition that depends on them gets a let of its own there.
        """
        values: dict[str, Expr] = dict(at or {})
        for name in names_in(expr):
            if name in self.definitions:
                moved = bool(at) and self.depends(self.definitions[name], list(at or ()))
                key = name + (suffix if moved else "")
                if key not in self._definition_lets:
                    value = replace_nodes(self.definitions[name], self._hold)
                    value = self.defined(value, at if moved else None, suffix if moved else "")
                    self._definition_lets[key] = self._definition(key, value, name)
                values[name] = self._definition_lets[key]
        return substitute(expr, values)

    def _definition(self, key: str, value: Expr, name: str) -> Expr:
        if isinstance(value, (Constant, Variable)):
            return value
        value, kind = fold(value), self.kind(value)
        lets = self.coefficients if kind == "constant" else self.body
        if key != name or name in self.system.reserved:
            return self._append(key if key != name else f"{name}_start", value, "", lets, kind)
        self._kinds[name] = kind
        lets.append(Let(name, value))
        return Variable(name)

    # --- the end -------------------------------------------------------------------------------------------------------

    def step(self, method: str, order: float | None, explanation: str) -> Step:
        """The finished Step: constants hoisted, repeats shared, unused lets dropped, lets in an order that defines before use."""
        updates = [self.updates[name] for name in self.evolving if name in self.updates]
        body = [Let(let.name, self._hoist(let.value), let.source) for let in self.body]
        updates = [Let(let.name, self._hoist(let.value), let.source) for let in updates]
        body, updates = self._share(body, updates)
        body = _used(body, [let.value for let in updates])
        coefficients = _used(self.coefficients, [let.value for let in [*body, *updates]])
        return Step(method, order, explanation, tuple(coefficients), tuple(body), tuple(updates))

    def _hoist(self, expr: Expr) -> Expr:
        def change(node: Expr) -> Expr | None:
            if isinstance(node, (Constant, Variable, Position, *_BOOLEAN)) or (
                isinstance(node, Unary) and not operations(node.operand)
            ):
                return None
            if self.kind(node) != "constant":
                return None
            return self.let(_coefficient_name(node), node)

        return replace_nodes(expr, change)

    def _share(self, body: list[Let], updates: list[Let]) -> tuple[list[Let], list[Let]]:
        """What occurs more than once in the work of a step becomes one temporary, the greatest such parts first."""
        for _ in range(64):
            counts: dict[Expr, int] = {}
            for let in [*body, *updates]:
                for node in walk(let.value):
                    if isinstance(node, (Binary, Call, Select)) and (isinstance(node, Call) or operations(node) > 1):
                        counts[node] = counts.get(node, 0) + 1
            repeated = [node for node, count in counts.items() if count > 1]
            if not repeated:
                break
            chosen = max(repeated, key=operations)
            found = next((i for i, let in enumerate(body) if let.value == chosen), None)
            at = next((i for i, let in enumerate(body) if chosen in walk(let.value)), len(body))
            shared = Let(fresh("shared", self._taken), chosen) if found is None else body.pop(found)
            body.insert(at, shared)
            name = shared.name
            put = Variable(name)
            body = [
                let if let.name == name else Let(let.name, _swap(let.value, chosen, put), let.source) for let in body
            ]
            updates = [Let(let.name, _swap(let.value, chosen, put), let.source) for let in updates]
        return body, updates


def _swap(expr: Expr, old: Expr, new: Expr) -> Expr:
    return replace_nodes(expr, lambda node: new if node == old else None)


def _used(lets: Iterable[Let], readers: list[Expr]) -> list[Let]:
    """The lets that something reads, in their order."""
    kept: list[Let] = []
    needed = {name for expr in readers for name in _every_name(expr)}
    for let in reversed(list(lets)):
        if let.name in needed:
            kept.append(let)
            needed.update(_every_name(let.value))
    return kept[::-1]


def _every_name(expr: Expr) -> list[str]:
    return [node.name for node in walk(expr) if isinstance(node, Variable) and own_name(node)]


def _elsewhere(node: Expr) -> bool:
    """Read from another neuron, from the network or from history: held."""
    return isinstance(node, Variable) and (node.scope != "self" or bool(node.lag))


def _coefficient_name(expr: Expr) -> str:
    match expr:
        case Binary(operator="/", left=Variable(name=name), right=Constant(value=value)) if value in _WORDS:
            return f"{_WORDS[value]}_{name}"
        case Binary(operator="/", left=Variable(name=name), right=Variable(name=other)):
            return f"{name}_per_{other}"
        case Binary(operator="*", left=Variable(name=name), right=Variable(name=other)):
            return f"{name}_{other}"
        case Binary(operator="^", left=Variable(name=name), right=Constant(value=value)) if (
            value.is_integer() and value > 0
        ):
            return f"{name}_{int(value)}"
        case Call(function=function, arguments=(Variable(name=name),)):
            return f"{function}_{name}"
        case _:
            return "coefficient"
