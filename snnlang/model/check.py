"""From a parsed file to a checked program: every model, function and constant, all mistakes collected, none repeated.

``check`` never raises for a mistake of the user and never stops at the first. Imported models are checked as far as they are used; what is
wrong in them is reported in their own file. Networks and experiments stay as written: :mod:`snnlang.model.elaborate` looks into them.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from snnlang.diagnostics import Collector, Diagnostic, Label, Span
from snnlang.model import expression as e
from snnlang.model import model as m
from snnlang.model.check_neuron import check_neuron
from snnlang.model.check_synapse import check_synapse
from snnlang.model.evaluate import evaluate
from snnlang.model.inherit import gather, walk
from snnlang.model.library import Library, Module
from snnlang.model.resolve import Resolver
from snnlang.model.symbols import Names, Symbol
from snnlang.model.typed import EVERYTHING, ONE_UNIT, TIME_UNIT
from snnlang.syntax import tree

SURROGATES = "surrogates"


def check(file: tree.File, library: Library, collector: Collector) -> m.Program:
    """The program that a file means; its mistakes and warnings are in ``collector``."""
    checker = Checker(library, collector)
    module = library.module(file, collector)
    checker.prepare(module, main=True)
    scope = checker.scope(module)
    experiments = tuple(item for item in file.items if isinstance(item, tree.Experiment))
    _check_experiment_names(experiments, collector)
    _unused(module, scope, collector)
    warnings = tuple(d for d in collector.sorted() if not d.is_error)
    return m.Program(file, scope, experiments, warnings)


@dataclass
class Checker:
    """Checks the items of modules on demand, each once."""

    library: Library
    collector: Collector
    neurons: dict[int, m.Neuron] = field(default_factory=dict)
    synapses: dict[int, m.Synapse] = field(default_factory=dict)
    scopes: dict[int, m.Scope] = field(default_factory=dict)
    prepared: dict[int, Module] = field(default_factory=dict)
    constants: dict[int, dict[str, m.ConstantValue]] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)
    told: set[tuple[str, str, int, int]] = field(default_factory=set)
    main: Module | None = None

    def prepare(self, module: Module, *, main: bool = False) -> None:
        """Fill the table of constants and functions that the expressions of a file see."""
        if id(module) in self.prepared:
            return
        self.prepared[id(module)] = module
        if main:
            self.main = module
        for owner, _ in module.imports.values():
            if owner is not None:
                self.prepare(owner)
        failed = {name for name, (owner, _) in module.imports.items() if owner is None}
        table = module.names
        table.where = "this file"
        table.lost = frozenset(module.file.lost) | failed
        self.constants[id(module)] = {}
        for name, item in _visible(module):
            owner = module.owner(name)
            if isinstance(item, tree.Function) and owner is not None:
                table.functions[name] = m.Function(name, item, item.span, owner.names)
        constants = {name: item for name, item in _visible(module) if isinstance(item, tree.Const)}
        table.declared = constants
        asking: list[str] = []

        def find(name: str) -> Symbol | None:
            found = table.symbols.get(name)
            item = constants.get(name)
            if found is not None or item is None:
                return found
            return self._constant(module, name, item, table, asking)

        table.finder = find
        for name in _inner_first(constants):
            try:
                find(name)
            except RecursionError:
                asking.clear()
                table.symbols[name] = Symbol(name, "constant", None, e.Constant(0.0), place=constants[name].span)
                _too_deep(name, constants[name], self.collector)
        if main:
            for item in module.items.values():
                if isinstance(item, tree.Function):
                    self._function_or_report(module, item)

    def _constant(self, module: Module, name: str, item: tree.Const, table: Names, asking: list[str]) -> Symbol:
        owner = module.owner(name)
        if owner is not None and owner is not module:
            self.prepare(owner)
            symbol = owner.names.find(name)
            assert symbol is not None
            if name in self.constants.get(id(owner), {}):
                self.constants[id(module)][name] = self.constants[id(owner)][name]
            table.symbols[name] = symbol
            return symbol
        if name in asking:
            chain = [*asking[asking.index(name) :], name]
            self.collector.error(
                "E113",
                f"`{name}` is defined by itself",
                item.span,
                " -> ".join(chain),
                help="give one of them a value of its own",
            )
            table.symbols[name] = Symbol(name, "constant", None, e.Constant(0.0), place=item.span)
            return table.symbols[name]
        asking.append(name)
        resolver = Resolver(table, self.collector)
        typed = resolver.number(item.value)
        asking.pop()
        if name in table.symbols:
            return table.symbols[name]
        value = evaluate(typed.expr)
        unit = typed.unit if not typed.free else ONE_UNIT
        if value is None and typed.kind != "unknown":
            self.collector.error(
                "E133",
                f"the constant `{name}` has no value",
                item.value.span,
                "not a number",
                help="a constant is made of numbers and other constants",
            )
            unit = None
        if typed.kind == "unknown":
            unit = None
        symbol = Symbol(
            name,
            "constant",
            unit,
            e.Constant(value or 0.0, unit or ONE_UNIT),
            place=item.span,
            shown=resolver.shown(item.value, unit) if unit is not None else None,
        )
        table.symbols[name] = symbol
        if unit is not None and value is not None:
            self.constants[id(module)][name] = m.ConstantValue(name, value, unit, item.span)
        return symbol

    def _function_or_report(self, module: Module, item: tree.Function) -> None:
        """Check a function; one that cannot be expanded is forgotten, so that its callers are not reported too."""
        known = len(self.collector)
        try:
            self._function(module, item)
        except RecursionError:
            _too_deep(item.name, item, self.collector)
        if any(diagnostic.code == "E125" for diagnostic in self.collector.diagnostics[known:]):
            module.names.functions.pop(item.name, None)
            module.names.lost = module.names.lost | {item.name}

    def _function(self, module: Module, item: tree.Function) -> None:
        """The body of a function by itself: names, numbers of arguments; units only with a call."""
        table = Names(where=f"`{item.name}`", parent=module.names)
        resolver = Resolver(table, self.collector, EVERYTHING - {"noise", "history", "all", "per"})
        if item.kind == "kernel" and not item.parameters:
            self.collector.error(
                "E328",
                f"the kernel `{item.name}` has no argument",
                item.span,
                "a function of what?",
                help=f"its first argument is the time since the event: `kernel {item.name}(s, tau = 5 ms) = exp(-s/tau)`",
            )
        for position, parameter in enumerate(item.parameters):
            if parameter.name in table.symbols:
                first = table.symbols[parameter.name].place
                self.collector.error(
                    "E103",
                    f"`{parameter.name}` is declared twice in `{item.name}`",
                    parameter.span,
                    "the second",
                    labels=(Label(first, "the first"),) if first is not None else (),
                    help="rename one of them",
                )
            if parameter.default is not None:
                Resolver(module.names, self.collector).number(parameter.default)
            unit = TIME_UNIT if item.kind == "kernel" and position == 0 else None
            table.add(Symbol(parameter.name, "argument", unit, place=parameter.span))
        resolver.calling = (item.name,)
        resolver.number(item.value)
        for position, parameter in enumerate(item.parameters):
            if parameter.name not in table.used and not (item.kind == "kernel" and position == 0):
                self.collector.warning(
                    "W103",
                    f"the argument `{parameter.name}` of `{item.name}` is never used",
                    parameter.span,
                    "nothing reads it",
                    help="use it, or take it away",
                )

    # --- models -------------------------------------------------------------------------------------------------------

    def neuron(self, module: Module, item: tree.Model) -> m.Neuron:
        """The checked neuron of an item."""
        found = self.neurons.get(id(item))
        if found is None:
            self.prepare(module)
            self.asked.add(id(item))
            self._base_first(module, item)
            collector = Collector()
            found = check_neuron(item, gather(item, module, collector), collector, self.surrogate)
            self._keep(collector)
            self.neurons[id(item)] = found
        return found

    def synapse(self, module: Module, item: tree.Model) -> m.Synapse:
        """The checked synapse of an item."""
        found = self.synapses.get(id(item))
        if found is None:
            self.prepare(module)
            self.asked.add(id(item))
            self._base_first(module, item)
            collector = Collector()
            found = check_synapse(item, gather(item, module, collector), collector)
            self._keep(collector)
            self.synapses[id(item)] = found
        return found

    def _base_first(self, module: Module, item: tree.Model) -> None:
        """Check the base of a model before it, so that a mistake of the base is told as the base's own."""
        owner = module.owner(item.base) if item.base is not None else None
        base = owner.items.get(item.base) if owner is not None and item.base is not None else None
        if owner is not None and isinstance(base, tree.Model) and base.kind == item.kind and id(base) not in self.asked:
            if item.kind == "neuron":
                self.neuron(owner, base)
            else:
                self.synapse(owner, base)

    def _keep(self, collector: Collector) -> None:
        """Errors of every file, warnings only of the file that is being checked; what a base said is not repeated by its heirs."""
        main = self.main.file.span.source if self.main is not None else None
        for diagnostic in collector.diagnostics:
            span = diagnostic.span
            place = (diagnostic.code, span.source.name, span.start, span.end) if span is not None else None
            if place in self.told:
                continue
            if place is not None:
                self.told.add(place)
            if diagnostic.is_error or (span is not None and span.source is main):
                self.collector.add(diagnostic)

    def surrogate(self, name: str) -> m.Function | None:
        """A surrogate gradient of the shipped library."""
        module = self.library.shipped(SURROGATES)
        if module is None:
            return None
        self.prepare(module)
        return module.names.functions.get(name)

    def scope(self, module: Module) -> m.Scope:
        """Everything a file can name, checked."""
        found = self.scopes.get(id(module))
        if found is not None:
            return found
        self.prepare(module)
        failed = frozenset(name for name, (owner, _) in module.imports.items() if owner is None) | frozenset(
            module.file.lost
        )
        scope = m.Scope(self.constants[id(module)], dict(module.names.functions), {}, {}, {}, failed)
        self.scopes[id(module)] = scope
        for name, item in _visible(module):
            owner = module.owner(name)
            assert owner is not None
            try:
                match item:
                    case tree.Model(kind="neuron"):
                        scope.neurons[name] = self.neuron(owner, item)
                    case tree.Model():
                        scope.synapses[name] = self.synapse(owner, item)
                    case tree.Network():
                        scope.networks[name] = m.NetworkDefinition(
                            name, item, scope if owner is module else self.scope(owner)
                        )
            except RecursionError:
                _too_deep(name, item, self.collector)
        return scope


def _inner_first(constants: dict[str, tree.Const]) -> list[str]:
    """Names of constants, those that others need first; as written where they need each other."""
    order: dict[str, None] = {}
    entered: set[str] = set()
    for start in constants:
        stack = [] if start in entered else [(start, iter(_names_in(constants[start])))]
        entered.add(start)
        while stack:
            following = next(stack[-1][1], None)
            if following is None:
                order[stack.pop()[0]] = None
            elif following in constants and following not in entered:
                entered.add(following)
                stack.append((following, iter(_names_in(constants[following]))))
            elif following in constants and following not in order:
                return list(constants)  # a circle, told from its first name
    return list(order)


def _names_in(item: tree.Const) -> list[str]:
    return [node.id for node in walk(item.value) if isinstance(node, tree.Name)]


def _too_deep(name: str, item: tree.Item, collector: Collector) -> None:
    """Report what needs more levels than Python has."""
    first = item.span.text.split("\n", 1)[0]
    span = Span(item.span.source, item.span.start, item.span.start + len(first))
    collector.error(
        "E125",
        f"`{name}` depends on too long a chain",
        span,
        "hundreds of bases, functions or values that need each other",
        help="shorten the chain",
    )


def _visible(module: Module) -> list[tuple[str, tree.Const | tree.Function | tree.Model | tree.Network]]:
    """Own items and imported ones, by name."""
    found = [
        (name, owner.items[name])
        for name, (owner, _) in module.imports.items()
        if owner is not None and name in owner.items
    ]
    return [*found, *module.items.items()]


def _check_experiment_names(experiments: tuple[tree.Experiment, ...], collector: Collector) -> None:
    seen: dict[str, tree.Experiment] = {}
    for experiment in experiments:
        name = m.experiment_name(experiment)
        first = seen.setdefault(name, experiment)
        if first is not experiment:
            collector.error(
                "E104",
                f"two experiments are called `{name}`",
                experiment.network.span,
                "the second",
                labels=(Label(first.network.span, "the first"),),
                help="tell them apart: `simulate … as NAME:`",
            )


def _unused(module: Module, scope: m.Scope, collector: Collector) -> None:
    """Warn about imports that this file does not mention again, and events of its neurons that nothing in it waits for."""
    if module.file.lost or collector.has_errors:
        return
    words = Counter(re.findall(r"\w+", module.file.span.source.text))
    for name, (owner, span) in module.imports.items():
        if owner is not None and words[name] == 1:
            collector.warning(
                "W101", f"`{name}` is imported and never used", span, "nothing names it", help="use it, or take it away"
            )
    for name, neuron in scope.neurons.items():
        item = module.items.get(name)
        if not isinstance(item, tree.Model):
            continue
        handled = {h.trigger.event for h in neuron.handlers if h.trigger.kind == "own"}
        for event in neuron.events:
            if (
                event.name == "spike"
                or event.name in handled
                or event.span is None
                or event.span.source is not module.file.span.source
            ):
                continue
            member = next((mm for mm in item.members if isinstance(mm, tree.EventRule) and mm.name == event.name), None)
            if member is None or words[event.name] > 1:
                continue
            collector.warning(
                "W305",
                f"nothing waits for the event `{event.name}`",
                event.span,
                "raised and never heard",
                help=f"wait for it with `on {event.name}:`, or in a synapse with `on post.{event.name}:`",
            )


# --- what is checked and cannot run yet -------------------------------------------------------------------------------


def cannot_run_model(model: m.Synapse) -> list[Diagnostic]:
    """What of a synapse is checked, but built by a later version: ``create`` and ``remove``.

    The ``adjoint:`` block of a neuron serves ``train`` alone, and a simulation passes over it.
    """
    found: list[Diagnostic] = []
    for handler in model.handlers:
        for statement in _flat(handler.body):
            if isinstance(statement, (m.Remove, m.Create, m.ForVacant)):
                found.append(
                    Diagnostic(
                        "E791",
                        "synapses cannot be created or removed yet",
                        statement.span,
                        "checked, not run",
                        help=("take it away to simulate with a fixed structure",),
                    )
                )
    return found


def _flat(body: tuple[m.Statement, ...]) -> list[m.Statement]:
    found: list[m.Statement] = []
    for statement in body:
        found.append(statement)
        match statement:
            case m.If():
                for _, inner in statement.branches:
                    found.extend(_flat(inner))
            case _:
                pass
    return found
