"""A backward pass that a model writes itself, in the names of its cell, and the reverse of a step made of it.

The derived reverse (:mod:`snnlang.codegen.adjoint`) answers for every output; a written one answers for what its ``grad(X)`` ask about.
Where the loss or a connection reads something else, or something arrives for which no gradient is given, it is refused (E772).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from snnlang.codegen import kernel as k
from snnlang.codegen.derivative import ZERO, plus
from snnlang.codegen.simplify import fold, rebuild
from snnlang.diagnostics import Span, error
from snnlang.frozen import dataclass, field

if TYPE_CHECKING:
    from snnlang.codegen.adjoint import Reverse
    from snnlang.codegen.cell import Cell
    from snnlang.codegen.plan import Plan, WrittenAdjoint

#: The value of an array after the last step of a sample: the array's name and this.
END = "__end"
I = k.Local("i", "int")


@dataclass(frozen=True, slots=True)
class Written:
    """``body`` computes the lines of one step from forward names of the cell, ``ends`` (carried names of the cell whose value after the
    last step is meant), ``NAME__bar`` of ``variables`` (what they were one step later) and the names of ``sent``, each of which stands for
    the gradients of the outputs that hold the same value as one of its places. ``inputs`` and ``parameters`` are what it gives. ``shown``
    are outputs and inputs as a user knows them, ``sources`` the lines that give the gradients of inputs."""

    model: str
    body: tuple[k.Let, ...]
    variables: tuple[str, ...]
    inputs: dict[str, k.Expr]
    parameters: dict[str, k.Expr]
    sent: dict[str, tuple[str, ...]]
    ends: tuple[str, ...]
    shown: dict[str, str]
    sources: dict[str, str]
    span: Span | None = field(default=None, compare=False, repr=False)


def with_written(cell: Cell, written: WrittenAdjoint, plan: Plan) -> Cell:
    """The cell with a written backward pass in its own names; it carries on what is asked about the end of a sample."""
    from snnlang.codegen.cell import Carried, Parameter

    ends = {array: array + END for array in written.ends if array in cell.outputs}

    def named(expr: k.Expr) -> k.Expr:
        match expr:
            case k.Load(array=array) if array in ends:
                return k.Local(ends[array], "real")
            case k.Load(array=array):
                return cell.outputs[array]
        return fold(rebuild(expr, named))

    body: list[k.Let] = []
    inputs: dict[str, k.Expr] = {}
    parameters: dict[str, k.Expr] = {}
    for line in written.lines:
        value = named(line.value)
        match line.kind:
            case "variable" | "value":
                body.append(k.Let(line.name, value, line.source, "real"))
            case "input":
                inputs[line.name] = value
            case "parameter":
                parameters[line.name] = value
    carried = tuple(
        Carried(name, array, 1, "real", _number(cell.outputs[array])) for array, name in ends.items()
    )
    known = {parameter.array for parameter in cell.parameters}
    more = tuple(
        Parameter(array, None if plan.arrays[array].shape == () else I) for array in parameters if array not in known
    )
    return replace(
        cell,
        parameters=(*cell.parameters, *more),
        carried=(*cell.carried, *carried),
        written=Written(
            written.model,
            tuple(body),
            tuple(line.name for line in written.lines if line.kind == "variable"),
            inputs,
            parameters,
            written.sent,
            tuple(ends.values()),
            {output: _shown(plan, output) for output in cell.outputs} | {name: _shown(plan, name) for name in cell.inputs},
            {line.name: line.source for line in written.lines if line.kind == "input"},
            written.span,
        ),
    )


def _number(value: k.Expr) -> k.Expr:
    return value if value.type == "real" else k.Call("real", (value,), "real")


def _alike(cell: Cell, places: tuple[str, ...]) -> tuple[str, ...]:
    """The outputs that hold the same value as one of these: copies for late arrivals, the output that is a state."""
    values = [cell.outputs[place] for place in places if place in cell.outputs]
    return tuple(
        output
        for output, value in cell.outputs.items()
        if output in places or (isinstance(value, k.Local) and any(value == other for other in values))
    )


def _shown(plan: Plan, output: str) -> str:
    if output in plan.lists:
        return plan.lists[output].event
    array = plan.arrays.get(output)
    return output if array is None or not array.variable else array.variable


def written_reverse(cell: Cell, outputs: tuple[str, ...], trained: frozenset[str]) -> Reverse:
    """The reverse of a step as the model writes it, in the form of :func:`snnlang.codegen.adjoint.reverse`.

    Raises E772 where the gradient of something that is read is not asked for, or that of something that arrives is not given.
    """
    from snnlang.codegen.adjoint import Reverse, bar

    written = cell.written
    assert written is not None
    sent = {name: _alike(cell, places) for name, places in written.sent.items()}
    asked = {output for places in sent.values() for output in places}
    for output in outputs:
        if output not in asked and not isinstance(cell.outputs.get(output), k.Const | None):
            shown = written.shown.get(output, "output")
            raise error(
                "E772",
                f"the adjoint block of {written.model} does not say what becomes of the gradient of `{shown}`, which {cell.name} is "
                "read for",
                written.span,
                f"nothing reads `grad({shown})`",
                help=(
                    f"use `grad({shown})` in the block; `0*grad({shown})` says that nothing comes of it",
                    "or let the loss and the connections read what the block knows",
                ),
            )
    for name in cell.inputs:
        if name not in written.inputs:
            shown = written.shown[name]
            raise error(
                "E772",
                f"the adjoint block of {written.model} gives no gradient of `{shown}`, where something arrives in {cell.name}",
                written.span,
                f"`grad({shown}) = …` is missing",
                help="give one for every input and port that a connection enters",
            )
    sums: dict[str, k.Expr] = {}
    for name, places in sent.items():
        total: k.Expr = ZERO
        for output in outputs:
            if output in places:
                total = plus(total, bar(output))
        sums[name] = total

    def filled(expr: k.Expr) -> k.Expr:
        if isinstance(expr, k.Local) and expr.name in sums:
            return sums[expr.name]
        return fold(rebuild(expr, filled))

    return Reverse(
        outputs,
        tuple(replace(let, value=filled(let.value)) for let in written.body),
        {name: k.Local(name, "real") for name in written.variables},
        {name: filled(written.inputs[name]) for name in cell.inputs},
        {name: filled(written.parameters[name]) for name in sorted(trained & set(written.parameters))},
    )


__all__ = ["END", "Written", "with_written", "written_reverse"]
