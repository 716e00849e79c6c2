"""What stands between the brackets of a pattern, evaluated: numbers, pairs, conditions, and the table of an edges file."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from snnlang.diagnostics import Collector, Span
from snnlang.model.expression import Expr
from snnlang.model.frame import Link
from snnlang.model.network import ArrayValue, PatternKind
from snnlang.model.patterns import PATTERNS, Option
from snnlang.model.suggest import help_for, listing
from snnlang.model.symbols import Members, Names, Symbol
from snnlang.model.units import ONE, TIME, UNITS, Unit, resolve
from snnlang.model.values import Clock, Reader, locate
from snnlang.syntax import tree


@dataclass
class PatternRead:
    """A pattern's options; weights and bias that stood among them; columns of an edges file."""

    kind: PatternKind
    options: dict[str, Any]
    condition: Expr | None
    weight: tree.Expression | None
    bias: bool
    columns: dict[str, ArrayValue]
    failed: bool
    span: Span


def pair_names(link: Link, where: str) -> Names:
    """Names in expressions over pairs of neurons: ``pre.index``, ``post.position[0]``, ``distance``."""
    names = Names(where=where, parent=link.frame.names, lost=link.frame.names.lost)
    sides: tuple[tuple[Literal["pre", "post"], str], ...] = (("pre", link.pre.draft.path), ("post", link.post.draft.path))
    for side, path in sides:
        own = {name: Symbol(name, name, ONE, scope=side) for name in ("index", "position")}
        names.members[side] = Members(f"`{path}`", own)
    names.add(Symbol("distance", "distance", ONE))
    return names


def read_pattern(link: Link, collector: Collector, clock: Clock) -> PatternRead:
    """Evaluate the options of a link's pattern; ``failed`` marks that something was reported."""
    call = link.pattern
    along = call.kind == "conv1d"
    kind: PatternKind = "conv2d" if along else cast(PatternKind, call.kind)
    known = PATTERNS[call.kind]
    read = PatternRead(kind, {"along": True} if along else {}, None, None, False, {}, False, call.span)
    given = _given(call.kind, call.arguments, known, collector, read)
    reader = Reader(pair_names(link, f"the pattern {call.kind}"), collector, clock)
    for option in known:
        expr = given.get(option.name)
        if expr is None:
            if option.required and not read.failed:
                collector.error(
                    "E512",
                    f"{call.kind} needs `{option.name}`",
                    call.span,
                    f"`{option.name}` is missing",
                    help=f"write `{call.kind}({option.name} = …)`",
                )
                read.failed = True
            elif option.default is not None and option.name != "bias":
                read.options[option.name] = option.default
            continue
        _evaluate(option, expr, reader, read, link)
    if kind in ("avg_pool", "max_pool") and "stride" not in read.options and "kernel" in read.options:
        read.options["stride"] = read.options["kernel"]
    return read


def _given(
    kind: str, arguments: tuple[tree.Argument, ...], known: tuple[Option, ...], collector: Collector, read: PatternRead
) -> dict[str, tree.Expression]:
    names = [option.name for option in known]
    given: dict[str, tree.Expression] = {}
    for position, argument in enumerate(arguments):
        name = argument.name
        if name is None:
            name = names[position] if position < len(names) else ""
        if name not in names:
            shown = f"`{argument.name}`" if argument.name else f"{len(arguments)} arguments"
            collector.error(
                "E512",
                f"{kind} does not take {shown}",
                argument.span,
                "not known",
                help=help_for(name, names) or ((f"it takes {listing(names)}",) if names else ("it takes nothing",)),
            )
            read.failed = True
        elif name in given:
            collector.error("E512", f"`{name}` of {kind} is given twice", argument.span, "again here", help="remove one of them")
        else:
            given[name] = argument.value
    return given


def _evaluate(option: Option, expr: tree.Expression, reader: Reader, read: PatternRead, link: Link) -> None:
    what = f"`{option.name}` of {link.pattern.kind}"
    value: Any = None
    match option.kind:
        case "whole":
            value = reader.whole(expr, what, option.least)
        case "probability":
            value = reader.number(expr, ONE, what)
            if value is not None and not 0 <= value <= 1:
                reader.collector.error(
                    "E513",
                    f"{what} is a probability, and {value:g} is not between 0 and 1",
                    expr.span,
                    f"is {value:g}",
                    help="give a number from 0 to 1",
                )
                value = None
        case "pair":
            value = reader.pair(expr, what, option.least)
        case "padding":
            word = reader.word(expr)
            value = "same" if word == "same" else (0, 0) if word == "valid" else reader.pair(expr, what, 0)
        case "along":
            word = reader.word(expr) if option.name == "padding" else None
            value = "same" if word == "same" else 0 if word == "valid" else reader.whole(expr, what, option.least)
            if isinstance(value, int):
                value = (option.least, value)
        case "truth":
            value = reader.truth(expr, what)
            if option.name == "bias":
                read.bias = bool(value)
                return
        case "condition":
            typed = reader.resolver(frozenset({"position", "index"})).condition(expr)
            value = None if typed.kind == "unknown" else typed.expr
            read.condition = value
            read.failed = read.failed or value is None
            return
        case "value":
            read.weight = expr
            return
        case "file":
            if not isinstance(expr, tree.String):
                reader.collector.error("E529", "edges takes the name of a file", expr.span, help='write `edges("file.csv")`')
            else:
                found = read_edges(locate(expr.value, expr.span), expr.span, reader.collector)
                if found is not None:
                    read.options.update(pre=found.pop("pre").array.astype(np.int64), post=found.pop("post").array.astype(np.int64))
                    read.columns = found
                    return
    if value is None:
        read.failed = True
    else:
        read.options[option.name] = value


_HEADER = re.compile(r"^\s*(\w+)\s*(?:[\[(]\s*([^\])]*?)\s*[\])])?\s*$")


def read_edges(path: Path, span: Span | None, collector: Collector) -> dict[str, ArrayValue] | None:
    """The columns of an edges file: ``pre,post[,w [nS]][,delay [ms]]`` with a header line; a delay without a unit is in ms.

    Reports a missing file (E529), wrong columns and cells that are no numbers (E531). Indices are checked by the caller.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.reader(stream) if row and not row[0].startswith("#")]
    except FileNotFoundError:
        collector.error("E529", f"there is no file {path}", span, "not found", help="check the name; paths are relative to this file")
        return None
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        collector.error("E529", f"{path} cannot be read: {problem}", span, help="give a text file with commas between the columns")
        return None
    columns = _header(rows[0] if rows else [], path, span, collector)
    if columns is None:
        return None
    data = np.empty((len(rows) - 1, len(columns)))
    for number, row in enumerate(rows[1:]):
        if len(row) != len(columns):
            collector.error(
                "E531",
                f"line {number + 2} of {path} has {len(row)} columns, and the header has {len(columns)}",
                span,
                help="give every line as many cells as the header",
            )
            return None
        for column, cell in enumerate(row):
            try:
                value = float(cell)
            except ValueError:
                value = float("nan")
            name = columns[column][0]
            whole = name not in ("pre", "post") or (value == value and value == int(value) and value >= 0)
            if not np.isfinite(value) or not whole:
                wanted = "an index" if name in ("pre", "post") else "a finite number"
                collector.error(
                    "E531",
                    f"line {number + 2} of {path}: `{cell.strip()}` in the column {name} is not {wanted}",
                    span,
                    help="correct the file",
                )
                return None
            data[number, column] = value
    return {name: ArrayValue(data[:, i] * scale, unit, span=span) for i, (name, scale, unit) in enumerate(columns)}


def _header(row: list[str], path: Path, span: Span | None, collector: Collector) -> list[tuple[str, float, Unit]] | None:
    columns: list[tuple[str, float, Unit]] = []
    for cell in row:
        match = _HEADER.match(cell)
        name, text = (match.group(1), match.group(2)) if match else (cell.strip(), None)
        scale, unit = (1.0, TIME) if name == "delay" else (1.0, ONE)
        if text:
            try:
                scale, unit = resolve(_factors(text))
            except (KeyError, ValueError):
                collector.error(
                    "E531", f"the header of {path} has an unknown unit `{text}`", span, help=f"units are {listing(UNITS, 6)}, …"
                )
                return None
        columns.append((name, scale, unit))
    names = [name for name, _, _ in columns]
    wrong = [name for name in names if name not in ("pre", "post", "w", "delay")]
    if wrong or names.count("pre") != 1 or names.count("post") != 1 or len(set(names)) != len(names):
        found = ", ".join(names) or "nothing"
        collector.error(
            "E531",
            f"the first line of {path} must name the columns pre, post and perhaps w and delay; it has {found}",
            span,
            help="begin the file with `pre,post,w [nS],delay [ms]`",
        )
        return None
    return columns


def _factors(text: str) -> list[tuple[str, int]]:
    factors: list[tuple[str, int]] = []
    sign = 1
    for part in re.split(r"([*/])", text.replace(" ", "").replace("**", "^")):
        if part in ("*", "/"):
            sign = 1 if part == "*" else -1
        elif part != "1":
            name, _, exponent = part.partition("^")
            factors.append((name, sign * int(exponent or 1)))
    return factors
