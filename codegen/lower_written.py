"""Lower a written backward pass: what it reads of the forward pass goes into arrays of its own, and its lines become kernel expressions.

The largest parts of a line that belong to the forward pass alone are computed in the step itself, where their names mean what they mean
in its equations: the values that the equations gave, before handlers. ``x[end]`` is what stands in the arrays after the last step.
Nothing of this is kept in vain: :mod:`snnlang.codegen.passes` keeps or computes again what the lines really need.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from snnlang.codegen import kernel as k
from snnlang.codegen.adjoint import BAR
from snnlang.codegen.assembly import Assembly, I, as_real, load
from snnlang.codegen.lower_expression import lower_expression
from snnlang.codegen.lower_population_handlers import source_of
from snnlang.codegen.plan import WrittenAdjoint, WrittenLine
from snnlang.model import expression as e
from snnlang.model import model as m

if TYPE_CHECKING:
    from snnlang.codegen.lower_population_names import PopulationMeaning, PopulationState


def forward_parts(adjoint: m.Adjoint) -> list[e.Expr]:
    """The largest parts of a block that the forward pass knows in the step itself, and the operands of ``x[end]``."""
    found: dict[e.Expr, None] = {}
    for line in adjoint.lines:
        found.update(dict.fromkeys(_forward(line.value)))
        found.update({part.operand: None for part in e.walk(line.value) if isinstance(part, e.AtEnd)})
    return list(found)


def _forward(expr: e.Expr) -> Iterator[e.Expr]:
    if isinstance(expr, e.Constant):
        return
    if _belongs(expr):
        yield expr
        return
    if not isinstance(expr, e.AtEnd):
        for child in e.children(expr):
            yield from _forward(child)


def _belongs(expr: e.Expr) -> bool:
    return not any(isinstance(part, e.Adjoint | e.Gradient | e.AtEnd) for part in e.walk(expr))


def _as_it_stands(expr: e.Expr) -> e.Expr:
    """A name read from its array, not from the equations of the step."""
    return replace(expr, lag=None) if isinstance(expr, e.Variable) and expr.lag == 0 else expr


class WrittenLowering:
    """The backward pass of one population, in three turns: after the equations, after the handlers, and when both are stored."""

    def __init__(self, assembly: Assembly, state: PopulationState, adjoint: m.Adjoint) -> None:
        self.assembly, self.state, self.adjoint = assembly, state, adjoint
        self.arrays: dict[e.Expr, str] = {}
        self.ends: dict[e.Expr, str] = {}
        self.lines = {
            line.name: assembly.unique(f"{state.path}.{line.name}.adjoint") for line in adjoint.lines if line.kind != "gradient"
        }

    def after_equations(self, meaning: PopulationMeaning) -> list[k.Statement]:
        """Stores of what the lines read of this step."""
        found: list[k.Statement] = []
        for line in self.adjoint.lines:
            for part in _forward(line.value):
                if part not in self.arrays:
                    value = lower_expression(part, meaning)
                    self.arrays[part], store = self._stored(part, line, "read", value)
                    found.append(store)
        return found

    def after_handlers(self, meaning: PopulationMeaning) -> list[k.Statement]:
        """Stores of what is asked about the end of the trial."""
        found: list[k.Statement] = []
        for line in self.adjoint.lines:
            for node in e.walk(line.value):
                if isinstance(node, e.AtEnd) and node.operand not in self.ends:
                    value = as_real(lower_expression(_as_it_stands(node.operand), meaning))
                    self.ends[node.operand], store = self._stored(node.operand, line, "end", value)
                    found.append(store)
        return found

    def _stored(self, part: e.Expr, line: m.AdjointLine, what: str, value: k.Expr) -> tuple[str, k.Statement]:
        """An array for a part, called after the variable that it is, else after the line."""
        name = part.name if isinstance(part, e.Variable) else line.name
        if value.type != "bool":
            value = as_real(value)
        array = self.assembly.add_array(
            f"{self.state.path}.{name}_{what}", (self.state.size,), type="bool" if value.type == "bool" else "real", role="scratch"
        )
        return array, k.Store(array, I, value)

    def finish(self) -> WrittenAdjoint:
        """The lines, when everything that they read has its array."""
        state = self.state
        self.sent: dict[str, tuple[str, ...]] = {}
        lines: list[WrittenLine] = []
        for line in self.adjoint.lines:
            known = _Known()
            value = as_real(lower_expression(self._named(line.value, known), known))
            source = source_of(line.span)
            if line.kind != "gradient":
                lines.append(WrittenLine(line.kind, self.lines[line.name], value, source))
                continue
            is_param = any(param.name == line.name for param in state.population.model.params)
            array = state.jumps.get(line.name, "") or state.arrays.get(line.name, "")
            if not array or line.name in state.constants:
                continue  # nothing arrives there
            lines.append(WrittenLine("parameter" if is_param else "input", array, value, source))
        return WrittenAdjoint(
            state.path, state.population.model.name, tuple(lines), self.sent, tuple(self.ends.values()), self.adjoint.span
        )

    def _named(self, expr: e.Expr, known: _Known) -> e.Expr:
        """A line with names for the parts that are not computed in it, the largest first."""
        match expr:
            case e.AtEnd(operand=operand):
                return known.named(load(self.assembly, self.ends[operand], I))
            case e.Adjoint(name=name, ahead=ahead):
                return known.named(k.Local(self.lines[name] + (BAR if ahead else ""), "real"))
            case e.Gradient(of=name):
                return known.named(self.gradient(name))
        array = self.arrays.get(expr)
        if array is not None:
            return known.named(load(self.assembly, array, I))
        return e.rebuild(expr, lambda child: self._named(child, known))

    def gradient(self, of: str) -> k.Expr:
        """``grad(of)`` as a name, and where what it asks about is found."""
        state = self.state
        local = f"{state.path} {of}"
        if local not in self.sent:
            output = state.system.output
            alias = isinstance(output, e.Variable) and output.scope == "self" and not (output.lag or 0)
            same = output.name if isinstance(output, e.Variable) and alias else ""
            names = ["output", same] if of == "output" else [of, *(["output"] if of == same else [])]
            places = [state.lists.get(name) or state.arrays.get(name, "") for name in names if name]
            self.sent[local] = tuple(place for place in places if place)
        return k.Local(local, "real")


class _Known:
    """What the names that stand for known parts mean: an array, another line, or a gradient that comes from outside."""

    def __init__(self) -> None:
        self.values: dict[str, k.Expr] = {}

    def named(self, value: k.Expr) -> e.Expr:
        name = str(len(self.values))
        self.values[name] = value
        return e.Variable(name)

    def variable(self, node: e.Variable) -> k.Expr:
        return self.values[node.name]

    def __getattr__(self, name: str) -> NoReturn:  # nothing else is left in a line whose parts are named
        raise AssertionError(f"a line of a backward pass asks for {name}")


__all__ = ["WrittenLowering", "forward_parts"]
