"""Arguments of calls: which expression each parameter gets, by place or by name, and how many there may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snnlang.diagnostics import Label
from snnlang.model.suggest import help_for, listing
from snnlang.syntax import tree

if TYPE_CHECKING:
    from snnlang.model.resolve import Resolver


def bind(
    resolver: Resolver,
    node: tree.Call,
    name: str,
    parameters: tuple[str, ...],
    defaults: frozenset[str],
    arguments: tuple[tree.Argument | tree.Per, ...] | None = None,
) -> dict[str, tree.Expression] | None:
    """Which expression each parameter gets; None after a report of a wrong number or name."""
    bound: dict[str, tree.Expression] = {}
    position = 0
    right = True
    for argument in node.arguments if arguments is None else arguments:
        if isinstance(argument, tree.Per):
            resolver.collector.error(
                "E410",
                f"`{name}` takes no `per`",
                argument.span,
                "only reductions do",
                help="`sum`, `mean`, `min`, `max` and `count` take `per pre` or `per post`",
            )
            return None
        if argument.name is None:
            if position >= len(parameters):
                count = len(parameters)
                resolver.collector.error(
                    "E109",
                    f"`{name}` takes {count_of(count, 'argument')}, {len(node.arguments)} are given",
                    argument.span,
                    "one too many",
                    help=f"its form is `{name}({', '.join(parameters)})`",
                )
                return None
            key = parameters[position]
            position += 1
        elif argument.name in parameters:
            key = argument.name
        else:
            resolver.collector.error(
                "E110",
                f"`{name}` has no argument `{argument.name}`",
                argument.span,
                "not known",
                help=help_for(argument.name, parameters) or (f"its form is `{name}({', '.join(parameters)})`",),
            )
            right = False
            continue
        if key in bound:
            resolver.collector.error(
                "E111",
                f"the argument `{key}` of `{name}` is given twice",
                argument.span,
                "the second time",
                labels=(Label(bound[key].span, "the first time"),),
                help="leave one of them out",
            )
            right = False
            continue
        bound[key] = argument.value
    missing = [key for key in parameters if key not in bound and key not in defaults]
    if missing and right:
        resolver.collector.error(
            "E109",
            f"`{name}` needs {listing(missing)}",
            node.span,
            f"{count_of(len(missing), 'argument')} missing",
            help=f"its form is `{name}({', '.join(parameters)})`",
        )
        right = False
    return bound if right else None


def plain_arguments(
    resolver: Resolver, node: tree.Call, name: str, parameters: tuple[str, ...]
) -> list[tree.Expression] | None:
    bound = bind(resolver, node, name, parameters, frozenset())
    return None if bound is None else [bound[key] for key in parameters]


def count_of(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
