"""What names mean where an expression stands: symbols with units, and the tables they are looked up in.

A table may have a parent (a model inside its file) and members (``pre.``, ``post.``). It refuses nothing itself; the resolver
asks it and reports. A unit of ``None`` means that a mistake was already reported: such a name fits everywhere, silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from snnlang.diagnostics import Span
from snnlang.frozen import dataclass, field
from snnlang.model.expression import Constant, Expr
from snnlang.model.model import Function, Scope
from snnlang.model.units import ONE, Unit

#: Names that every model has, with what they are; declaring one is an error.
BUILTINS: dict[str, str] = {
    "t": "the time",
    "dt": "the step of the simulation",
    "index": "the number of the neuron",
    "position": "the place in the population",
    "xi": "white noise",
    "inf": "infinity",
    "pi": "3.14159…",
    "true": "a truth value",
    "false": "a truth value",
    "pre": "the presynaptic neuron",
    "post": "the postsynaptic neuron",
    "all": "the whole population",
    "spike": "the event of every neuron",
    "n": "this step",
    "end": "the end of the trial",
}
#: Of those, the ones a model may use as a name of its own (they only mean something in their places).
SOFT = frozenset({"n", "end", "pi", "all"})


@dataclass(frozen=True, slots=True)
class Symbol:
    """One name. ``kind`` is a word for messages: param, state, weight, input, trace, definition, constant, event, …

    With ``value`` the name is replaced by that expression. ``shown`` is the unit as the user wrote it. ``lag`` 0 marks what a
    bare name means in a difference model; ``form`` is what a state follows: ode, difference or handler. ``place`` is where it
    was declared.
    """

    name: str
    kind: str
    unit: Unit | None = ONE
    value: Expr | None = None
    shown: str | None = None
    lag: int | None = None
    form: str = ""
    scope: Literal["self", "pre", "post", "network"] = "self"
    place: Span | None = None


@dataclass
class Names:
    """A table of symbols; ``where`` ends the sentence "unknown name `x` in …".

    ``finder`` is asked first (declarations are worked out on demand); ``silent`` tables report no unknown name (a model whose base
    was not found). ``declared`` holds names that are there but not yet worked out.
    """

    where: str = "this file"
    parent: Names | None = None
    symbols: dict[str, Symbol] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    members: dict[str, Members] = field(default_factory=dict)
    events: dict[str, str] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    used: dict[str, None] = field(default_factory=dict)
    finder: Callable[[str], Symbol | None] | None = None
    silent: bool = False
    declared: Mapping[str, object] = field(default_factory=dict)

    def add(self, symbol: Symbol) -> None:
        self.symbols[symbol.name] = symbol

    def find(self, name: str) -> Symbol | None:
        """The symbol of a name, here or in the parents; it counts as used."""
        self.used[name] = None
        if self.finder is not None:
            found = self.finder(name)
            if found is not None:
                return found
        found = self.symbols.get(name)
        if found is None and self.parent is not None:
            return self.parent.find(name)
        return found

    def peek(self, name: str) -> bool:
        """Whether a name is declared, without using it."""
        return name in self.symbols or name in self.declared or (self.parent is not None and self.parent.peek(name))

    def event(self, name: str) -> bool:
        """Whether an event of this model has that name."""
        return name in self.events or (self.parent is not None and self.parent.event(name))

    def function(self, name: str) -> Function | None:
        """The user function or kernel of a name."""
        found = self.functions.get(name)
        return self.parent.function(name) if found is None and self.parent is not None else found

    def member_table(self, side: str) -> Members | None:
        """The members of ``pre`` or ``post``, if they can be named here."""
        found = self.members.get(side)
        return self.parent.member_table(side) if found is None and self.parent is not None else found

    def is_lost(self, name: str) -> bool:
        """Whether the name stands in text that could not be parsed."""
        return self.silent or name in self.lost or (self.parent is not None and self.parent.is_lost(name))

    def all_names(self) -> Iterator[str]:
        """Every name for suggestions, nearest table first."""
        yield from self.symbols
        yield from (name for name in self.declared if name not in self.symbols)
        if self.parent is not None:
            yield from self.parent.all_names()

    def all_functions(self) -> Iterator[str]:
        """Every user function for suggestions."""
        yield from self.functions
        if self.parent is not None:
            yield from self.parent.all_functions()


@dataclass
class Members:
    """What can be named after ``pre.`` or ``post.``. An open table accepts every name with an unknown unit (not connected yet)."""

    owner: str
    symbols: dict[str, Symbol] = field(default_factory=dict)
    events: dict[str, str] = field(default_factory=dict)
    open: bool = False


def file_names(scope: Scope) -> Names:
    """The constants and functions that every expression of a file can name."""
    names = Names(where="this file", functions=scope.functions, lost=scope.failed)
    for constant in scope.constants.values():
        value = Constant(constant.value, constant.unit)
        names.add(Symbol(constant.name, "constant", constant.unit, value, place=constant.span))
    return names
