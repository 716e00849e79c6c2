"""``snn models``: the standard library, one line each, or the page of one model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import click

from snnlang.cli.options import unknown
from snnlang.cli.screen import BOLD, CYAN, FAINT, paint, say
from snnlang.frozen import dataclass
from snnlang.syntax import tree


@dataclass(frozen=True, slots=True)
class Entry:
    """A model, function or kernel of the library: how it is imported and what it says of itself."""

    module: str
    kind: str
    name: str
    doc: str
    item: tree.Model | tree.Function
    text: str

    @property
    def line(self) -> str:
        """The first line of its documentation."""
        return self.doc.split("\n")[0]


@click.command("models")
@click.argument("name", required=False)
@click.option("--source", is_flag=True, help="Print the source of NAME only.")
def command(name: str | None, source: bool) -> int:
    """List the standard library, or show the page of one model.

    A page holds the documentation, the parameters with their defaults and units, the equations and the source.

    \b
    Examples:
      snn models
      snn models LIF
      snn models STDP --source > mine.snn
    """
    entries = list(library())
    if name is None:
        _print_table(entries)
        return 0
    found = [entry for entry in entries if entry.name == name or f"{entry.module}.{entry.name}" == name]
    if not found:
        # a name in another case is a common slip: take it when it is the only one
        found = [entry for entry in entries if entry.name.lower() == name.lower()]
    if not found:
        raise unknown("model", name, [entry.name for entry in entries], " in the standard library")
    for entry in found:
        say(entry.text if source else _page(entry, entries))
    return 0


def library() -> Iterator[Entry]:
    """Every public item of the standard library, by module and in the order of the files."""
    from snnlang.syntax.parse import parse, read_source

    with resources.as_file(resources.files("snnlang.stdlib")) as root:
        for path in sorted(Path(root).rglob("*.snn")):
            place = path.relative_to(root)
            # a folder is imported as a whole: from stdlib.neurons import LIF
            module = ".".join(("stdlib", *(place.parent.parts or (place.stem,))))
            for item in parse(read_source(path)).items:
                if isinstance(item, (tree.Model, tree.Function)):
                    yield Entry(module, item.kind, item.name, item.doc or "", item, item.span.text.strip("\n"))


def _print_table(entries: list[Entry]) -> None:
    width = max((len(entry.name) for entry in entries), default=0)
    module = ""
    for entry in entries:
        if entry.module != module:
            if module:
                say()
            module = entry.module
            say(paint(f"from {module} import ...", FAINT, sys.stdout))
        name, kind = paint(entry.name.ljust(width), BOLD, sys.stdout), paint(entry.kind.ljust(7), CYAN, sys.stdout)
        say(f"  {name}  {kind}  {entry.line}")


def _page(entry: Entry, entries: list[Entry]) -> str:
    """The page of a model: heading, documentation, parameters, equations, source."""
    from snnlang.syntax.format import print_expression

    title = paint(f"{entry.name} ({entry.kind})", BOLD, sys.stdout)
    lines = [title, f"    from {entry.module} import {entry.name}", ""]
    if entry.doc:
        lines += [*(f"    {line.strip()}" if line.strip() else "" for line in entry.doc.split("\n")), ""]
    if isinstance(entry.item, tree.Function):
        return "\n".join([*lines, *_indented(entry.text)])
    chain = _ancestors(entry.item, entries)
    if len(chain) > 1:
        lines += [f"    inherits from {', '.join(model.name for model in chain[1:])}", ""]
    for role, title in (("param", "Parameters"), ("weight", "Weights"), ("state", "States"), ("input", "Inputs")):
        rows = []
        for declaration in _declarations(chain, role):
            value = "" if declaration.value is None else print_expression(declaration.value)
            limits = f" {_range(declaration.range)}" if declaration.range else ""
            marks = " ".join(declaration.adjectives)
            rows.append((declaration.name, f"{value}{limits}", "; ".join(filter(None, (marks, declaration.doc or "")))))
        if rows:
            lines += [title, *_table(rows), ""]
    equations = [
        f"    {print_expression(member.left)} = {print_expression(member.right)}"
        for model in reversed(chain)
        for member in model.members
        if isinstance(member, tree.Equation) and not _replaced(member, model, chain)
    ]
    if equations:
        lines += ["Equations", *equations, ""]
    return "\n".join([*lines, "Source", *_indented(entry.text)])


def _ancestors(model: tree.Model, entries: list[Entry]) -> list[tree.Model]:
    """The model and those it inherits from, nearest first."""
    chain = [model]
    named = {entry.name: entry.item for entry in entries if isinstance(entry.item, tree.Model)}
    while chain[-1].base is not None:
        base = named.get(chain[-1].base)
        if base is None or base in chain:
            break
        chain.append(base)
    return chain


def _declarations(chain: list[tree.Model], role: str) -> list[tree.Declaration]:
    """The declarations of one role, those of the farthest ancestor first, overridden ones in place."""
    found: dict[str, tree.Declaration] = {}
    for model in reversed(chain):
        for member in model.members:
            if isinstance(member, tree.Declaration) and member.role == role:
                found[member.name] = member
    return list(found.values())


def _defines(equation: tree.Equation) -> str:
    """The variable an equation is about, as far as its left side tells."""
    pending: list[tree.Expression] = [equation.left]
    names = []
    while pending:
        match pending.pop():
            case tree.Derivative(variable=variable):
                return variable
            case tree.Index(value=tree.Name(id=name)):
                names.append(name)
            case tree.Name(id=name):
                names.append(name)
            case tree.Binary(left=left, right=right):
                pending += [left, right]
            case tree.Unary(operand=operand):
                pending.append(operand)
            case _:
                pass
    return names[0] if names else ""


def _replaced(equation: tree.Equation, owner: tree.Model, chain: list[tree.Model]) -> bool:
    """Whether a nearer model of the chain overrides the equation."""
    variable = _defines(equation)
    return any(
        isinstance(member, tree.Equation) and member.override and _defines(member) == variable
        for model in chain[: chain.index(owner)]
        for member in model.members
    )


def _range(bounds: tree.Range) -> str:
    from snnlang.syntax.format import print_expression

    left, right = "[" if bounds.low_closed else "(", "]" if bounds.high_closed else ")"
    return f"in {left}{print_expression(bounds.low)}, {print_expression(bounds.high)}{right}"


def _table(rows: list[tuple[str, str, str]]) -> list[str]:
    first = max(len(name) for name, _, _ in rows)
    second = max(len(value) for _, value, _ in rows)
    return [f"    {name:<{first}} = {value:<{second}}  {text}".rstrip() for name, value, text in rows]


def _indented(text: str) -> list[str]:
    return [f"    {line}" if line else "" for line in text.split("\n")]
