"""The statements of handlers, of neurons and synapses: what may be assigned, delivered, held, emitted, and with which unit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from snnlang.diagnostics import Label
from snnlang.model import expression as e
from snnlang.model import model as m
from snnlang.model.algebra import is_plain
from snnlang.model.declarations import Declared
from snnlang.model.evaluate import evaluate
from snnlang.model.resolve import Resolver
from snnlang.model.suggest import help_for, listing
from snnlang.model.typed import TIME_UNIT, Typed, text_of
from snnlang.syntax import tree

_CALLED: dict[type, str] = {
    tree.Deliver: "deliver",
    tree.Hold: "hold",
    tree.Emit: "emit",
    tree.Remove: "remove",
    tree.Create: "create",
    tree.ForVacant: "for vacant",
}


@dataclass
class Body:
    """Checks the statements of one handler. ``trigger`` is what it waits for; ``delivered`` collects what it delivers."""

    declared: Declared
    resolver: Resolver
    trigger: m.Trigger
    assigned: dict[str, None]
    delivered: list[tuple[tree.Deliver, Typed, str | None]] = field(default_factory=list)
    outward: list[str] = field(default_factory=list)

    def check(self, statements: tuple[tree.Statement, ...]) -> tuple[m.Statement, ...]:
        """Every statement that makes sense, in order."""
        result: list[m.Statement] = []
        for statement in statements:
            made = self._statement(statement)
            if made is not None:
                result.append(made)
        return tuple(result)

    def _statement(self, node: tree.Statement) -> m.Statement | None:
        match node:
            case tree.Assign():
                return self._assign(node)
            case tree.If():
                return self._if(node)
            case tree.Hold():
                return self._hold(node) if self._belongs(node, "neuron") else None
            case tree.Emit():
                return self._emit(node) if self._belongs(node, "neuron") else None
            case tree.Deliver():
                return self._deliver(node) if self._belongs(node, "synapse") else None
            case tree.Remove():
                return m.Remove(node.span) if self._belongs(node, "synapse") and self._structural(node) else None
            case tree.Create():
                return self._create(node) if self._belongs(node, "synapse") and self._structural(node) else None
            case tree.ForVacant():
                if not (self._belongs(node, "synapse") and self._structural(node)):
                    return None
                return m.ForVacant(self.check(node.body), node.span)

    def _belongs(self, node: tree.Statement, kind: str) -> bool:
        if self.declared.kind == kind:
            return True
        word = _CALLED[type(node)]
        helps = {
            "deliver": "a neuron sends its events by itself; declare `output EXPR` to send a value",
            "hold": "only neurons can be held",
            "emit": "declare events in the neuron and wait for them with `on post.NAME`",
        }
        self.declared.collector.error(
            "E316",
            f"`{word}` does not belong into a {self.declared.kind}",
            node.span,
            f"only in a {kind}",
            help=helps.get(word, "structure changes in a synapse: `on every 100 ms: …`"),
        )
        return False

    def _structural(self, node: tree.Statement) -> bool:
        if self.trigger.kind == "every":
            return True
        word = _CALLED[type(node)]
        self.declared.collector.error(
            "E411",
            f"`{word}` is only possible at fixed times",
            node.span,
            "in a handler of an event",
            help="move it into `on every 100 ms:`",
        )
        return False

    # --- assignments --------------------------------------------------------------------------------------------------

    def _assign(self, node: tree.Assign) -> m.Assign | None:
        target = node.target
        if isinstance(target, tree.Index) and isinstance(target.value, tree.Name):
            self.declared.collector.error(
                "E303",
                f"a handler changes the value as it stands, not `{text_of(target)}`",
                target.span,
                "no step here",
                help=f"write `{target.value.id} {node.operator} …`",
            )
            return None
        if isinstance(target, tree.Attribute):
            return self._assign_outside(node, target)
        if not isinstance(target, tree.Name):
            self.declared.collector.error(
                "E303",
                f"`{text_of(target)}` cannot be assigned",
                target.span,
                "not a state",
                help="assign to a state: `v = v_reset`",
            )
            self.resolver.number(node.value)
            return None
        name = target.id
        symbol = self.declared.find(name)
        if symbol is None:
            self._not_a_state(name, target)
            self.resolver.number(node.value)
            return None
        if symbol.kind not in ("state", "weight"):
            labels = (Label(symbol.place, "declared here"),) if symbol.place is not None else ()
            code = "E302" if symbol.kind == "param" else "E412" if symbol.kind == "trace" else "E303"
            kind = {"param": "a param", "input": "an input", "trace": "a trace", "definition": "a definition"}.get(
                symbol.kind, symbol.kind
            )
            helps = {
                "param": f"declare `state {name}` if it changes",
                "trace": "a trace jumps by itself; use a `state` to set it by hand",
                "definition": "it follows from its parts; declare a `state` to keep a value",
                "input": "it is summed afresh each step; assign to a state",
            }
            self.declared.collector.error(
                code,
                f"`{name}` is {kind} and cannot be assigned",
                target.span,
                "not a state",
                labels=labels,
                help=helps.get(symbol.kind, ""),
            )
            self.resolver.number(node.value)
            return None
        self.assigned[name] = None
        value = self._value(node, symbol.unit, f"`{name}`", symbol.shown)
        return m.Assign(name, node.operator, value.expr, "self", node.span)

    def _not_a_state(self, name: str, target: tree.Name) -> None:
        collector = self.declared.collector
        self.declared.doubtful = True
        if self.resolver.names.is_lost(name):
            return
        if self.resolver.names.event(name):
            collector.error(
                "E303",
                f"`{name}` is an event and cannot be assigned",
                target.span,
                "not a state",
                help=f"write `emit {name}`, or `hold {name} for …`",
            )
            return
        if self.resolver.names.find(name) is not None:
            collector.error(
                "E303",
                f"`{name}` is a constant and cannot be assigned",
                target.span,
                "not a state",
                help=f"declare `state {name}` in the model",
            )
            return
        states = [
            other
            for other, piece in self.declared.waiting.items()
            if isinstance(piece.member, tree.Declaration) and piece.member.role in ("state", "weight")
        ]
        self.resolver.names.lost = self.resolver.names.lost | {name}
        collector.error(
            "E101",
            f"unknown name `{name}` in {self.declared.kind} `{self.declared.name}`",
            target.span,
            "not declared",
            help=help_for(name, states) or (f"declare `state {name}` with its initial value",),
        )

    def _value(self, node: tree.Assign, unit: object, what: str, shown: str | None) -> Typed:
        """The right side; ``*=`` and ``/=`` take plain numbers."""
        from_unit = unit if node.operator in ("=", "+=", "-=") else None
        if node.operator in ("*=", "/="):
            value = self.resolver.number(node.value)
            if value.unit is not None and not is_plain(value.unit):
                given = self.resolver.shown(node.value, value.unit)
                self.declared.collector.error(
                    "E209",
                    f"{what} would change its unit",
                    node.value.span,
                    f"this is {given}",
                    help="multiply by a plain number, or write `=`",
                )
            return value
        return self.resolver.expect(node.value, from_unit, what, shown=shown)  # type: ignore[arg-type]

    def _assign_outside(self, node: tree.Assign, target: tree.Attribute) -> m.Assign | None:
        collector = self.declared.collector
        side = target.value.id if isinstance(target.value, tree.Name) else ""
        table = self.declared.members.get(side)
        if table is None or side not in ("pre", "post"):
            if side in ("pre", "post"):
                self.resolver.resolve(target)
            else:
                collector.error(
                    "E303",
                    f"`{text_of(target)}` cannot be assigned",
                    target.span,
                    "not a state of this model",
                    help="assign to a state of this model: `x = …`",
                )
            return None
        self.outward.append(target.name)
        scope: Literal["pre", "post"] = "pre" if side == "pre" else "post"
        if node.operator not in ("+=", "-="):
            collector.error(
                "E409",
                f"a synapse can only add to `{text_of(target)}`",
                node.span,
                f"`{node.operator}`",
                help="write `+=` or `-=`: several synapses act on one neuron in the same step",
            )
            return None
        if table.open:
            value = self.resolver.number(node.value)
            return m.Assign(target.name, node.operator, value.expr, scope, node.span)
        symbol = table.symbols.get(target.name)
        if symbol is None:
            self.resolver.resolve(target)
            return None
        if symbol.form != "port":
            collector.error(
                "E409",
                f"`{text_of(target)}` is no port of {table.owner}",
                target.span,
                "closed to synapses",
                help=f"declare it there as `port state {target.name}`",
            )
            return None
        value = self._value(node, symbol.unit, f"`{text_of(target)}`", symbol.shown)
        return m.Assign(target.name, node.operator, value.expr, scope, node.span)

    # --- others -------------------------------------------------------------------------------------------------------

    def _if(self, node: tree.If) -> m.If:
        branches: list[tuple[e.Expr | None, tuple[m.Statement, ...]]] = []
        for branch in node.branches:
            condition = self.resolver.condition(branch.condition).expr if branch.condition is not None else None
            branches.append((condition, self.check(branch.body)))
        return m.If(tuple(branches), node.span)

    def _hold(self, node: tree.Hold) -> m.Hold | None:
        declared = self.declared
        symbol = declared.find(node.variable)
        duration = time_of(declared, self.resolver, node.duration, f"the time for which `{node.variable}` is held")
        if symbol is not None and symbol.kind == "state":
            declared.used[node.variable] = None
        elif node.variable not in declared.events or symbol is not None:
            if symbol is None and self.resolver.names.is_lost(node.variable):
                return None
            states = [
                name
                for name, piece in declared.waiting.items()
                if isinstance(piece.member, tree.Declaration) and piece.member.role == "state"
            ]
            what = (
                "is not declared" if symbol is None else f"is {'an' if symbol.kind == 'input' else 'a'} {symbol.kind}"
            )
            declared.collector.error(
                "E315",
                f"`{node.variable}` {what} and cannot be held",
                node.span,
                "only states and events can",
                help=help_for(node.variable, [*states, *declared.events])
                or (f"hold one of {listing([*states, *declared.events])}",),
            )
            return None
        if duration.kind == "unknown":
            return None
        length = evaluate(duration.expr)
        if length is not None and length < 0:
            declared.collector.error(
                "E329",
                "a hold cannot last a negative time",
                node.duration.span,
                "below 0",
                help="write a time of 0 or more; `inf` holds for ever",
            )
            return None
        return m.Hold(node.variable, duration.expr, node.span)

    def _emit(self, node: tree.Emit) -> m.Emit | None:
        if node.event in self.declared.events:
            return m.Emit(node.event, node.span) if self._can_be_emitted(node) else None
        if not self.resolver.names.is_lost(node.event):
            self.declared.collector.error(
                "E313",
                f"`{node.event}` is no event",
                node.span,
                "nothing to emit",
                help=help_for(node.event, self.declared.events) or (f"declare `event {node.event}`",),
            )
        return None

    def _can_be_emitted(self, node: tree.Emit) -> bool:
        """Only what nothing else decides, and only while the events of a step are found."""
        if self.declared.events[node.event] != "emitted":
            self.declared.collector.error(
                "E763",
                f"`{node.event}` occurs by its own rule, and cannot be emitted too",
                node.span,
                "decided by its rule alone",
                help=(
                    f"declare another event without a condition, and wait for both: `on {node.event}:` and `on NAME:`",
                    "or add this case to its rule: `… when … or …`",
                ),
            )
            return False
        if self.trigger.kind != "own":
            rule = "spike" if node.event == "spike" else f"event {node.event}"
            self.declared.collector.error(
                "E764",
                f"`emit {node.event}` stands in a handler of a fixed time, after the events of the step were sent",
                node.span,
                "comes too late",
                help=f"emit it in a handler of an event, or give it a condition: `{rule} when …`",
            )
            return False
        return True

    def _deliver(self, node: tree.Deliver) -> m.Deliver:
        value = self.resolver.number(node.value)
        port = deliver_port(self.declared, node)
        self.delivered.append((node, value, port))
        return m.Deliver(value.expr, port, node.span)

    def _create(self, node: tree.Create) -> m.Create:
        arguments: list[tuple[str, e.Expr]] = []
        for argument in node.arguments:
            symbol = self.declared.find(argument.name) if argument.name is not None else None
            if argument.name is None or symbol is None or symbol.kind not in ("state", "weight"):
                states = [name for name, found in self.declared.symbols.items() if found.kind in ("state", "weight")]
                self.declared.collector.error(
                    "E110",
                    f"a synapse cannot be created with `{text_of(argument)}`",
                    argument.span,
                    "not a variable of it",
                    help=help_for(argument.name or "", states) or ("name the variable: `create(w = 0.1)`",),
                )
                continue
            self.assigned[argument.name] = None
            value = self.resolver.expect(argument.value, symbol.unit, f"`{argument.name}`", shown=symbol.shown)
            arguments.append((argument.name, value.expr))
        return m.Create(tuple(arguments), node.span)


def deliver_port(declared: Declared, node: tree.Deliver) -> str | None:
    """The name after ``to post.``; None where the connection names the port."""
    port = node.port
    if port is None:
        return None
    if isinstance(port, tree.Attribute) and isinstance(port.value, tree.Name) and port.value.id == "post":
        table = declared.members["post"]
        if not table.open and port.name not in table.symbols:
            ports = [name for name, symbol in table.symbols.items() if symbol.form == "port" or symbol.kind == "input"]
            declared.collector.error(
                "E401",
                f"{table.owner} has no `{port.name}`",
                port.span,
                "not there",
                help=help_for(port.name, ports) or ((f"it receives through {listing(ports)}",) if ports else ()),
            )
        return port.name
    declared.collector.error(
        "E408",
        f"a synapse cannot deliver to `{text_of(port)}`",
        port.span,
        "not a port of the other neuron",
        help=f"write `deliver {text_of(node.value)} to post.NAME`",
    )
    return None


def time_of(declared: Declared, resolver: Resolver, node: tree.Expression, what: str) -> Typed:
    """A duration; steps without a unit where the model has steps only."""
    if declared.is_difference:
        value = resolver.number(node)
        if value.kind == "number" and not value.free and is_plain(value.unit):
            steps = e.Variable("dt", TIME_UNIT, span=node.span)
            return Typed(e.Binary("*", value.expr, steps, span=node.span), TIME_UNIT)
    return resolver.expect(node, TIME_UNIT, what, code="E213", help="write a time, such as `2 ms`")
