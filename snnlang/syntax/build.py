"""From reductions to tree nodes: one method per alias of the grammar, called by the parser as it goes.

A method gets the kept values of a production and the place of the whole. Tokens arrive as ``(text, start, end)``. What
the grammar allows but the language does not (a reserved name, a line without effect) is said here; the node is built all
the same, so that one mistake gives one message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from snnlang.diagnostics import Collector, Fix, Label, Source, Span
from snnlang.syntax import tree
from snnlang.syntax.words import BUILT_IN, RESERVED, RESERVED_IN_MODELS

Token = tuple[str, int, int]
Children = list[Any]

_ROLES = frozenset(("param", "state", "input", "weight"))
_UNIT_FACTOR = re.compile(r"([*/]?)\s*([^\W\d_]+)(?:(?:\^|\*\*)(-?\d+))?")
_NUMBER = re.compile(r"(?:\d[\d_]*(?:\.\d[\d_]*|\.)?|\.\d+)(?:[eE][-+]?\d+)?")


def number_value(text: str) -> tuple[float, bool]:
    """The value of a number as written, and whether it is written as a whole one (then the value is an int)."""
    plain = text.replace("_", "")
    if plain.isdigit():
        return int(plain), True
    return float(plain), False


def quantity_parts(text: str) -> tuple[float, bool, tuple[tree.UnitFactor, ...]]:
    """Value, wholeness and unit of ``0.1/mV`` or ``120 mS/cm^2``."""
    match = _NUMBER.match(text)
    assert match is not None
    value, whole = number_value(match[0])
    factors = tuple(
        tree.UnitFactor(name, (-1 if sign == "/" else 1) * int(exponent or 1))
        for sign, name, exponent in _UNIT_FACTOR.findall(text[match.end() :])
    )
    return value, whole, factors


class Builder:
    """Makes the nodes of one source; ``collector`` gets what is wrong with them, ``lost`` the names nobody shall judge."""

    def __init__(self, source: Source, collector: Collector, lost: dict[str, None]) -> None:
        self.source = source
        self.collector = collector
        self.lost = lost
        self._quantities: dict[str, tuple[float, bool, tuple[tree.UnitFactor, ...]]] = {}

    def span(self, start: int, end: int) -> Span:
        return Span(self.source, start, end)

    def _token_span(self, token: Token) -> Span:
        return Span(self.source, token[1], token[2])

    def _declare(self, token: Token, what: str, in_model: bool = True) -> str:
        """The text of a name that is being declared; reserved words are refused."""
        name = token[0]
        if name in RESERVED or (in_model and name in RESERVED_IN_MODELS):
            self.lost[name] = None
            meaning = "has a fixed meaning" if name in BUILT_IN or name in RESERVED_IN_MODELS else "is a word of the language"
            self.collector.error(
                "E022", f"`{name}` {meaning} and cannot be the name of {what}", self._token_span(token), "reserved",
                help=f"choose another name, for example `{name}_0`",
            )
        return name

    # --- top level

    def start(self, children: Children, start: int, end: int) -> tree.File:
        return tree.File(tuple(children), span=self.span(start, end))

    def expression_only(self, children: Children, start: int, end: int) -> tree.Expression:
        return children[0]  # type: ignore[no-any-return]

    def relative_path(self, children: Children, start: int, end: int) -> tuple[int, tuple[str, ...]]:
        return len(children[0][0]), tuple(token[0] for token in children[1:])

    def library_path(self, children: Children, start: int, end: int) -> tuple[int, tuple[str, ...]]:
        return 0, tuple(token[0] for token in children)

    def import_from(self, children: Children, start: int, end: int) -> tree.Import:
        dots, path = children[0]
        names = children[1:]
        return tree.Import(dots, path, tuple(token[0] for token in names), tuple(self._token_span(token) for token in names),
                           span=self.span(start, end))

    def constant(self, children: Children, start: int, end: int) -> tree.Const:
        return tree.Const(self._declare(children[0], "a constant"), children[1], span=self.span(start, end))

    def parameter(self, children: Children, start: int, end: int) -> tuple[Token, tree.Parameter]:
        name, default = children
        return name, tree.Parameter(name[0], default, span=self.span(start, end))

    def parameters(self, children: Children, start: int, end: int) -> list[tuple[Token, tree.Parameter]]:
        return list(children)

    def _parameters(self, children: list[tuple[Token, tree.Parameter]] | None, allowed: str = "",
                    in_model: bool = True) -> tuple[tree.Parameter, ...]:
        for token, _ in children or ():
            if token[0] != allowed:
                self._declare(token, "a parameter", in_model)
        return tuple(parameter for _, parameter in children or ())

    def _function(self, kind: Any, children: Children, start: int, end: int) -> tree.Function:
        name, parameters, value, doc = children
        return tree.Function(kind, self._declare(name, "a function"), self._parameters(parameters, "t"), value, _text(doc),
                             span=self.span(start, end))

    def function(self, children: Children, start: int, end: int) -> tree.Function:
        return self._function("func", children, start, end)

    def kernel(self, children: Children, start: int, end: int) -> tree.Function:
        return self._function("kernel", children, start, end)

    # --- neurons and synapses

    def _model(self, kind: Any, children: Children, start: int, end: int) -> tree.Model:
        name, base, doc, *members = children
        flat: list[tree.Member] = []
        for member in members:
            if isinstance(member, list):
                flat.extend(member)
            else:
                flat.append(member)
        return tree.Model(
            kind, self._declare(name, f"a {kind}"), base[0] if base else None, doc, tuple(flat), self._token_span(name),
            self._token_span(base) if base else None, span=self.span(start, end),
        )

    def neuron(self, children: Children, start: int, end: int) -> tree.Model:
        return self._model("neuron", children, start, end)

    def synapse(self, children: Children, start: int, end: int) -> tree.Model:
        return self._model("synapse", children, start, end)

    def doc(self, children: Children, start: int, end: int) -> str:
        return str(children[0][0][1:-1])

    def overridden(self, children: Children, start: int, end: int) -> Any:
        member = children[0]
        if isinstance(member, list):
            return [replace(line, override=True) for line in member]
        return replace(member, override=True, span=self.span(start, end))

    def adjective(self, children: Children, start: int, end: int) -> Token:
        return children[0]  # type: ignore[no-any-return]

    def role(self, children: Children, start: int, end: int) -> Token:
        return children[0]  # type: ignore[no-any-return]

    def declaration(self, children: Children, start: int, end: int) -> tree.Declaration:
        name, unit, value, interval, doc = children
        if isinstance(unit, tree.Quantity):  # a value where the unit belongs: said already, taken as the value
            unit, value = unit.unit, value or unit
        return tree.Declaration(
            "param", name[0], (), unit, value, interval, _text(doc), name_span=self._token_span(name), span=self.span(start, end)
        )

    def declared(self, children: Children, start: int, end: int) -> tree.Declaration:
        *adjectives, role, declaration = children
        return self._declared(adjectives, role, declaration, False, self.span(start, end))

    def declared_block(self, children: Children, start: int, end: int) -> list[tree.Declaration]:
        place = next(i for i, child in enumerate(children) if isinstance(child, tuple) and child[0] in _ROLES)
        adjectives, role, lines = children[:place], children[place], children[place + 1 :]
        return [self._declared(adjectives, role, line, True, line.span) for line in lines]

    def _declared(self, adjectives: Iterable[Token], role: Token, line: tree.Declaration, grouped: bool,
                  span: Span) -> tree.Declaration:
        assert line.name_span is not None
        self._declare((line.name, line.name_span.start, line.name_span.end), "an input" if role[0] == "input" else f"a {role[0]}")
        words: list[str] = []
        for adjective in adjectives:
            if adjective[0] in words:
                self.collector.error("E020", f"`{adjective[0]}` is written twice", self._token_span(adjective), "",
                                     help="remove one")
            else:
                words.append(adjective[0])
        return tree.Declaration(
            role[0], line.name, tuple(words), line.unit, line.value, line.range, line.doc, line.override, grouped,  # type: ignore[arg-type]
            line.name_span, span=span,
        )

    def block_line(self, children: Children, start: int, end: int) -> tree.Declaration:
        return children[0]  # type: ignore[no-any-return]

    def block_line_override(self, children: Children, start: int, end: int) -> tree.Declaration:
        line: tree.Declaration = children[0]
        return replace(line, override=True, span=self.span(start, end))

    def _range(self, children: Children, start: int, end: int, low: bool, high: bool) -> tree.Range:
        return tree.Range(children[0], children[1], low, high, span=self.span(start, end))

    def range_closed(self, children: Children, start: int, end: int) -> tree.Range:
        return self._range(children, start, end, True, True)

    def range_closed_open(self, children: Children, start: int, end: int) -> tree.Range:
        return self._range(children, start, end, True, False)

    def range_open_closed(self, children: Children, start: int, end: int) -> tree.Range:
        return self._range(children, start, end, False, True)

    def range_open(self, children: Children, start: int, end: int) -> tree.Range:
        return self._range(children, start, end, False, False)

    def unit_factor(self, children: Children, start: int, end: int) -> tree.UnitFactor:
        name = self.source.text[children[0][1] : children[0][2]]  # as written: µ is a prefix in both of its forms
        if len(children) == 1:
            return tree.UnitFactor(name)
        digits = children[-1]
        exponent, whole = number_value(digits[0])
        if not whole:
            self.collector.error("E030", "the exponent of a unit is a whole number", self._token_span(digits), "",
                                 help="write a whole exponent, as in `cm^2`")
        return tree.UnitFactor(name, -int(exponent) if len(children) == 4 else int(exponent))

    def unit(self, children: Children, start: int, end: int) -> tuple[tree.UnitFactor, ...]:
        factors = [children[0]]
        for sign, factor in zip(children[1::2], children[2::2]):
            factors.append(factor if sign[0] == "*" else tree.UnitFactor(factor.name, -factor.exponent))
        return tuple(factors)

    def unit_of_quantity(self, children: Children, start: int, end: int) -> tuple[tree.UnitFactor, ...] | tree.Quantity:
        value, _, unit = quantity_parts(children[0][0])
        if value == 1:
            return unit
        self._no_unit(start, end, children[0][0])
        return self.quantity(children, start, end)

    def unit_of_number(self, children: Children, start: int, end: int) -> tuple[tree.UnitFactor, ...]:
        if number_value(children[0][0])[0] != 1:
            self._no_unit(start, end, children[0][0])
        return ()

    def _no_unit(self, start: int, end: int, text: str) -> None:
        self.collector.error(
            "E030", "a value stands where a unit belongs", self.span(start, end), "a unit after `:`",
            help=f"write `= {text}`; after a colon stands a unit alone, as in `state v: mV = 0 mV`",
        )

    def post_event(self, children: Children, start: int, end: int) -> tree.PostEvent:
        return tree.PostEvent(self._declare(children[0], "an event"), span=self.span(start, end))

    def trigger(self, children: Children, start: int, end: int) -> tree.Trigger:
        return tree.Trigger(tuple(token[0] for token in children), span=self.span(start, end))

    def trigger_every(self, children: Children, start: int, end: int) -> tree.Trigger:
        return tree.Trigger(("every",), children[0], span=self.span(start, end))

    def trace(self, children: Children, start: int, end: int) -> tree.Trace:
        name, trigger, decay, option = children
        return tree.Trace(self._declare(name, "a trace"), trigger, decay, option[0] if option else None,
                          name_span=self._token_span(name), span=self.span(start, end))

    def gradient(self, children: Children, start: int, end: int) -> tree.Expression:
        return children[0]  # type: ignore[no-any-return]

    def spike_when(self, children: Children, start: int, end: int) -> tree.SpikeRule:
        return tree.SpikeRule("when", children[0], children[1], span=self.span(start, end))

    def spike_rate(self, children: Children, start: int, end: int) -> tree.SpikeRule:
        return tree.SpikeRule("rate", children[0], children[1], span=self.span(start, end))

    def spike_probability(self, children: Children, start: int, end: int) -> tree.SpikeRule:
        return tree.SpikeRule("probability", children[0], children[1], span=self.span(start, end))

    def event_rule(self, children: Children, start: int, end: int) -> tree.EventRule:
        return tree.EventRule(self._declare(children[0], "an event"), children[1], span=self.span(start, end))

    def handler(self, children: Children, start: int, end: int) -> tree.Handler:
        *triggers, (body, inline) = children
        return tree.Handler(tuple(triggers), body, inline=inline, span=self.span(start, end))

    def order(self, children: Children, start: int, end: int) -> tree.Order:
        return tree.Order(children[0][0], children[1][0], span=self.span(start, end))

    def output(self, children: Children, start: int, end: int) -> tree.Output:
        return tree.Output(children[0], span=self.span(start, end))

    def adjoint(self, children: Children, start: int, end: int) -> tree.Adjoint:
        return tree.Adjoint(tuple(children), span=self.span(start, end))

    def bare_deliver(self, children: Children, start: int, end: int) -> tree.Deliver:
        return children[0]  # type: ignore[no-any-return]

    def equation(self, children: Children, start: int, end: int) -> tree.Equation | tree.Tick:
        left, right = children
        if type(left) is tree.Name and left.id == "step":
            return tree.Tick(right, span=self.span(start, end))
        return tree.Equation(left, right, span=self.span(start, end))

    def adjoint_line(self, children: Children, start: int, end: int) -> tree.Equation:
        return tree.Equation(children[0], children[1], span=self.span(start, end))

    # --- statements (a line that says nothing is None: it has been refused already)

    def suite_block(self, children: Children, start: int, end: int) -> tuple[tuple[tree.Statement, ...], bool]:
        return tuple(child for child in children if child is not None), False

    def suite_inline(self, children: Children, start: int, end: int) -> tuple[tuple[tree.Statement, ...], bool]:
        return tuple(child for child in children if child is not None), True

    def inline_statement(self, children: Children, start: int, end: int) -> tree.Statement:
        return children[0]  # type: ignore[no-any-return]

    def inline_if(self, children: Children, start: int, end: int) -> tree.If:
        span = self.span(start, end)
        body = tuple(child for child in children[1:] if child is not None)
        return tree.If((tree.Branch(children[0], body, inline=True, span=span),), span=span)

    def inline_vacant(self, children: Children, start: int, end: int) -> tree.ForVacant:
        body = tuple(child for child in children if child is not None)
        return tree.ForVacant(body, inline=True, span=self.span(start, end))

    def _branch(self, condition: tree.Expression | None, suite: Any, start: int, end: int) -> tree.Branch:
        body, inline = suite
        return tree.Branch(condition, body, inline=inline, span=self.span(start, end))

    def elif_branch(self, children: Children, start: int, end: int) -> tree.Branch:
        return self._branch(children[0], children[1], start, end)

    def else_branch(self, children: Children, start: int, end: int) -> tree.Branch:
        return self._branch(None, children[0], start, end)

    def if_statement(self, children: Children, start: int, end: int) -> tree.If:
        condition, suite, *others = children
        branches = [branch for branch in others if branch is not None]
        first_end = suite[0][-1].span.end if suite[0] else condition.span.end
        first = self._branch(condition, suite, start, first_end)
        return tree.If((first, *branches), span=self.span(start, end))

    def for_vacant(self, children: Children, start: int, end: int) -> tree.ForVacant:
        body, inline = children[0]
        return tree.ForVacant(body, inline=inline, span=self.span(start, end))

    def assign(self, children: Children, start: int, end: int) -> tree.Assign:
        return tree.Assign(children[0], "=", children[1], span=self.span(start, end))

    def augment(self, children: Children, start: int, end: int) -> tree.Assign:
        return tree.Assign(children[0], children[1][0], children[2], span=self.span(start, end))

    def deliver(self, children: Children, start: int, end: int) -> tree.Deliver:
        return tree.Deliver(children[0], children[1], span=self.span(start, end))

    def hold(self, children: Children, start: int, end: int) -> tree.Hold:
        return tree.Hold(children[0][0], children[1], span=self.span(start, end))

    def emit(self, children: Children, start: int, end: int) -> tree.Emit:
        return tree.Emit(children[0][0], span=self.span(start, end))

    def expression_statement(self, children: Children, start: int, end: int) -> tree.Statement | None:
        match children[0]:
            case tree.Name(id="remove"):
                return tree.Remove(span=self.span(start, end))
            case tree.Call(function=tree.Name(id="create"), arguments=arguments):
                named = tuple(a for a in arguments if isinstance(a, tree.Argument) and a.name is not None)
                for argument in arguments:
                    if argument not in named:
                        self.collector.error("E028", "`create` takes values by name", argument.span, "no name",
                                             help="write `create(w = …)`")
                return tree.Create(named, span=self.span(start, end))
            case expression:
                self.no_effect(expression)
                return None

    def no_effect(self, expression: tree.Expression) -> None:
        advice = "assign it (`x = …`), deliver it (`deliver …`) or remove the line"
        fix = None
        match expression:
            case tree.Comparison(operators=("==",), operands=(left, right)):
                advice = "write a single `=` to assign"
                fix = Fix(Span(self.source, left.span.end, right.span.start), " = ")
            case tree.Name(id=name) | tree.Call(function=tree.Name(id=name)) if name in ("pass", "return", "break", "continue"):
                advice = "remove it: a handler may be left out, and every branch ends by itself"
        self.collector.error("E024", "this line has no effect", expression.span, "a value by itself", help=advice, fix=fix)

    # --- networks

    def network(self, children: Children, start: int, end: int) -> tree.Network:
        name, parameters, doc, *lines = children
        return tree.Network(self._declare(name, "a network"), self._parameters(parameters, in_model=False), doc, tuple(lines),
                            self._token_span(name), span=self.span(start, end))

    def shape(self, children: Children, start: int, end: int) -> tuple[tree.Expression, ...]:
        return tuple(children)

    def population(self, children: Children, start: int, end: int) -> tree.PopulationLine:
        name, shape, model = children
        return tree.PopulationLine(self._declare(name, "a population", False), shape or (), model, self._token_span(name),
                                   span=self.span(start, end))

    def block(self, children: Children, start: int, end: int) -> tree.BlockLine:
        return tree.BlockLine(self._declare(children[0], "a block", False), children[1], span=self.span(start, end))

    def network_input(self, children: Children, start: int, end: int) -> tree.InputLine:
        return tree.InputLine(self._declare(children[0], "an input", False), children[1] or (), span=self.span(start, end))

    def network_output(self, children: Children, start: int, end: int) -> tree.OutputLine:
        return tree.OutputLine(children[0][0], span=self.span(start, end))

    def connect_name(self, children: Children, start: int, end: int) -> Token:
        return children[0]  # type: ignore[no-any-return]

    def targets(self, children: Children, start: int, end: int) -> tuple[tree.Expression, ...]:
        return tuple(children)

    def connect(self, children: Children, start: int, end: int) -> tree.Connect:
        name, pre, targets, pattern, via, *options = children
        return tree.Connect(
            self._declare(name, "a connection", False) if name else None, pre, targets, pattern, via, self._options(options),
            span=self.span(start, end),
        )

    def _options(self, arguments: Iterable[Any]) -> tuple[tree.Argument, ...]:
        """The options of a connection: named ones, and ``settle(…)``, which is its own name."""
        options: list[tree.Argument] = []
        for argument in arguments:
            match argument:
                case tree.Argument(name=None, value=tree.Name(id="settle") | tree.Call(function=tree.Name(id="settle"))):
                    option = tree.Argument("settle", argument.value, span=argument.span)
                case tree.Argument(name=str()):
                    option = argument
                case _:
                    self.collector.error("E028", "an option needs its name", argument.span, "which option is this?",
                                         help="write `w = …`, `gain = …`, `delay = …`, `dendritic = …` or `settle(max = …)`")
                    continue
            first = next((other for other in options if other.name == option.name), None)
            if first is not None:
                self.collector.error("E028", f"the option `{option.name}` is given twice", option.span, "again",
                                     help="keep one of the two", labels=(Label(first.span, "first given here"),))
                continue
            options.append(option)
        return tuple(options)

    def stage(self, children: Children, start: int, end: int) -> tree.Stage:
        return tree.Stage(children[0], None, self._options(children[1:]), span=self.span(start, end))

    def stage_named(self, children: Children, start: int, end: int) -> tree.Stage:
        name, value, *options = children
        if isinstance(name, tree.Name):
            text = self._declare((name.id, name.span.start, name.span.end), "a population", False)
        else:
            self.collector.error("E020", "a population of a chain is introduced by a plain name", name.span, "",
                                 help="write `name: Model`")
            text = "_"
        return tree.Stage(value, text, self._options(options), span=self.span(start, end))

    def chain(self, children: Children, start: int, end: int) -> tree.Chain:
        return tree.Chain(tuple(children), span=self.span(start, end))

    # --- experiments

    def _experiment(self, kind: Any, children: Children, start: int, end: int) -> tree.Experiment:
        network, name, doc, *lines = children
        label = self._declare(name, "an experiment", False) if name else None
        return tree.Experiment(kind, network, label, tuple(line for line in lines if line is not None), doc,
                               span=self.span(start, end))

    def simulate(self, children: Children, start: int, end: int) -> tree.Experiment:
        return self._experiment("simulate", children, start, end)

    def train(self, children: Children, start: int, end: int) -> tree.Experiment:
        return self._experiment("train", children, start, end)

    def setting(self, children: Children, start: int, end: int) -> tree.Setting:
        return tree.Setting(children[0][0], children[1], span=self.span(start, end))

    def record(self, children: Children, start: int, end: int) -> tree.Record:
        *items, period = children
        return tree.Record(tuple(items), period, span=self.span(start, end))

    def plot(self, children: Children, start: int, end: int) -> tree.Plot:
        return tree.Plot(tuple(children), span=self.span(start, end))

    def sweep(self, children: Children, start: int, end: int) -> tree.Sweep:
        return tree.Sweep(children[0][0], children[1], span=self.span(start, end))

    def drive(self, children: Children, start: int, end: int) -> tree.Drive:
        return tree.Drive(children[0], children[1], span=self.span(start, end))

    def drive_from(self, children: Children, start: int, end: int) -> tree.Drive:
        return tree.Drive(children[0], children[1], True, span=self.span(start, end))

    def at(self, children: Children, start: int, end: int) -> tree.At | None:
        time, statement = children
        return tree.At(time, statement, span=self.span(start, end)) if statement is not None else None

    def clamp(self, children: Children, start: int, end: int) -> tree.Clamp:
        return tree.Clamp(children[0], children[1], span=self.span(start, end))

    def freeze(self, children: Children, start: int, end: int) -> tree.Freeze:
        return tree.Freeze(tuple(children), span=self.span(start, end))

    def columns(self, children: Children, start: int, end: int) -> tuple[str, ...]:
        return tuple(token[0] for token in children)

    def present_rest(self, children: Children, start: int, end: int) -> tuple[Token, tree.Expression]:
        return ("rest", start, end), children[0]

    def present_named(self, children: Children, start: int, end: int) -> tuple[Token, tree.Expression]:
        return children[0], children[1]

    def present(self, children: Children, start: int, end: int) -> tree.Present:
        data, columns, duration, *options = children
        given: dict[str, tree.Expression] = {}
        for token, value in options:
            span = Span(self.source, token[1], value.span.end)
            if token[0] not in ("rest", "epochs"):
                self.collector.error("E029", f"`present` has no option `{token[0]}`", span, "",
                                     help="after the duration may stand `rest T` and `epochs = n`")
            elif token[0] in given:
                self.collector.error("E029", f"`{token[0]}` is given twice", span, "again", help="keep one of the two")
            else:
                given[token[0]] = value
        return tree.Present(data, columns, duration, given.get("rest"), given.get("epochs"), span=self.span(start, end))

    # --- expressions

    def conditional(self, children: Children, start: int, end: int) -> tree.Conditional:
        return tree.Conditional(children[0], children[1], children[2], span=Span(self.source, start, end))

    def disjunction(self, children: Children, start: int, end: int) -> tree.Binary:
        return tree.Binary("or", children[0], children[1], span=Span(self.source, start, end))

    def conjunction(self, children: Children, start: int, end: int) -> tree.Binary:
        return tree.Binary("and", children[0], children[1], span=Span(self.source, start, end))

    def negation(self, children: Children, start: int, end: int) -> tree.Unary:
        return tree.Unary("not", children[0], span=Span(self.source, start, end))

    def compare(self, children: Children, start: int, end: int) -> tree.Comparison:
        return tree.Comparison(tuple(children[::2]), tuple(token[0] for token in children[1::2]),
                               span=Span(self.source, start, end))

    def crosses(self, children: Children, start: int, end: int) -> tree.Crosses:
        return tree.Crosses(children[0], children[1], span=Span(self.source, start, end))

    def add(self, children: Children, start: int, end: int) -> tree.Binary:
        return tree.Binary("+", children[0], children[1], span=Span(self.source, start, end))

    def subtract(self, children: Children, start: int, end: int) -> tree.Binary:
        return tree.Binary("-", children[0], children[1], span=Span(self.source, start, end))

    def multiply(self, children: Children, start: int, end: int) -> tree.Binary:
        return tree.Binary("*", children[0], children[2], span=Span(self.source, start, end))

    def divide(self, children: Children, start: int, end: int) -> tree.Binary:
        return tree.Binary("/", children[0], children[2], span=Span(self.source, start, end))

    def minus(self, children: Children, start: int, end: int) -> tree.Unary:
        return tree.Unary("-", children[0], span=Span(self.source, start, end))

    def raise_to(self, children: Children, start: int, end: int) -> tree.Binary:
        return tree.Binary("^", children[0], children[1], span=Span(self.source, start, end))

    def slice(self, children: Children, start: int, end: int) -> tree.Slice:
        return tree.Slice(children[0], children[1], span=Span(self.source, start, end))

    def indexed(self, children: Children, start: int, end: int) -> tree.Index:
        return tree.Index(children[0], tuple(children[1:]), span=Span(self.source, start, end))

    def attribute(self, children: Children, start: int, end: int) -> tree.Attribute:
        return tree.Attribute(children[0], children[1][0], span=Span(self.source, start, end))

    def arguments(self, children: Children, start: int, end: int) -> tuple[Any, ...]:
        return tuple(children)

    def argument(self, children: Children, start: int, end: int) -> tree.Argument:
        return tree.Argument(None, children[0], span=Span(self.source, start, end))

    def named_argument(self, children: Children, start: int, end: int) -> tree.Argument:
        return tree.Argument(children[0][0], children[1], span=Span(self.source, start, end))

    def per(self, children: Children, start: int, end: int) -> tree.Per:
        return tree.Per(children[0][0], span=Span(self.source, start, end))

    def call(self, children: Children, start: int, end: int) -> tree.Call:
        arguments: tuple[Any, ...] = children[1] or ()
        if len(arguments) > 1:
            arguments = self._check_arguments(arguments)
        return tree.Call(children[0], arguments, span=Span(self.source, start, end))

    def _check_arguments(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments without those that were given before."""
        names: dict[str, tree.Argument] = {}
        kept: list[Any] = []
        for argument in arguments:
            name = argument.name if type(argument) is tree.Argument else None
            if name is not None and name in names:
                self.collector.error("E028", f"`{name}` is given twice", argument.span, "again", help="keep one of the two",
                                     labels=(Label(names[name].span, "first given here"),))
                continue
            if name is not None:
                names[name] = argument
            elif names and type(argument) is tree.Argument:
                self.collector.error("E028", "a value without a name after one with a name", argument.span,
                                     "which argument is this?", help="put it first, or give its name: `name = …`")
            kept.append(argument)
        return tuple(kept)

    def name(self, children: Children, start: int, end: int) -> tree.Name:
        text = children[0][0]
        if text in RESERVED and text not in BUILT_IN:
            self.reserved_value(text, start, end)
        return tree.Name(text, span=Span(self.source, start, end))

    def reserved_value(self, text: str, start: int, end: int) -> None:
        self.lost[text] = None
        self.collector.error("E023", f"`{text}` is a word of the language, not a value", Span(self.source, start, end), "",
                             help=f'use another name; a text stands in double quotes: `"{text}"`')

    def derivative(self, children: Children, start: int, end: int) -> tree.Derivative:
        return tree.Derivative(children[0][0].partition("/")[0].rstrip()[1:], span=Span(self.source, start, end))

    def quantity(self, children: Children, start: int, end: int) -> tree.Quantity:
        text = children[0][0]
        parts = self._quantities.get(text)
        if parts is None:
            parts = self._quantities[text] = quantity_parts(text)
        return tree.Quantity(parts[0], parts[2], parts[1], span=Span(self.source, start, end))

    def number(self, children: Children, start: int, end: int) -> tree.Number:
        value, whole = number_value(children[0][0])
        return tree.Number(value, whole, span=Span(self.source, start, end))

    def string(self, children: Children, start: int, end: int) -> tree.String:
        return tree.String(children[0][0][1:-1], span=Span(self.source, start, end))

    def parenthesised(self, children: Children, start: int, end: int) -> tree.Expression:
        return children[0]  # type: ignore[no-any-return]

    def empty_list(self, children: Children, start: int, end: int) -> tree.ListLiteral:
        return tree.ListLiteral((), span=Span(self.source, start, end))

    def list_literal(self, children: Children, start: int, end: int) -> tree.ListLiteral:
        return tree.ListLiteral(tuple(children), span=Span(self.source, start, end))


def _text(token: Token | None) -> str | None:
    return None if token is None else token[0][1:-1]
