"""``snn show``: what a file becomes at each stage on its way to code."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from snnlang.cli.options import experiment_options, gather
from snnlang.cli.screen import say, show_diagnostics
from snnlang.diagnostics import Span

STAGES = ("tree", "model", "system", "step", "plan", "numpy", "c", "cuda", "forward", "backward")


@click.command("show")
@click.argument("file")
@click.argument("experiment", required=False)
@click.option("--stage", type=click.Choice(STAGES), default="system", show_default=True, help="What to print.")
@click.option("--model", metavar="NAME", help="Only this neuron or synapse.")
@click.option("--latex", is_flag=True, help="Equations as LaTeX (stages system and step).")
@experiment_options
def command(file: str, experiment: str | None, stage: str, model: str | None, latex: bool, **settings: Any) -> int:
    """Print a stage of the compilation of FILE.

    \b
    tree     what is written, node by node
    model    what is meant: names and units resolved
    system   the equations, solved for their derivatives
    step     what one time step computes, after integration
    plan     the kernels, in the intermediate language
    numpy    the generated Python code
    c        the generated C code
    cuda     the generated CUDA code
    forward  one step of each population of a train block
    backward its reverse, from which the gradients come

    \b
    Examples:
      snn show lif.snn
      snn show lif.snn --stage step --model LIF --dt 0.1ms
      snn show lif.snn --latex > equations.tex
      snn show lif.snn --stage numpy
      snn show digits.snn --stage backward
    """
    if latex and stage not in ("system", "step"):
        raise click.UsageError(f"--latex writes equations; stage '{stage}' has none to write (use system or step)")
    if stage == "tree":
        say(tree_text(file, model))
        return 0
    from snnlang.compile import check_path
    from snnlang.explain import show_stage

    program, found = check_path(file)
    errors = [diagnostic for diagnostic in found if diagnostic.is_error]
    if program is None or errors:
        show_diagnostics(found)
        return 1
    if stage in ("forward", "backward"):
        from snnlang.runtime.training_text import pass_text

        say(pass_text(program, gather(**settings), "forward" if stage == "forward" else "backward", experiment))
        return 0
    say(show_stage(program, stage, gather(**settings), model=model, experiment=experiment, latex=latex))
    return 0


def tree_text(file: str, model: str | None) -> str:
    """The syntax tree of a file, or of one item of it, one node a line."""
    from snnlang.cli.options import unknown
    from snnlang.syntax.parse import parse, read_source

    items = list(parse(read_source(file)).items)
    if model is not None:
        named = {getattr(item, "name", None): item for item in items}
        if model not in named:
            raise unknown("item", model, [name for name in named if name], f" in {file}")
        items = [named[model]]
    return "\n".join(line for item in items for line in _outline(item, 0))


def _outline(value: Any, depth: int, label: str = "") -> list[str]:
    indent = "  " * depth
    head = f"{indent}{label}: " if label else indent
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        simple: list[tuple[str, Any]] = []
        deep: list[tuple[str, Any]] = []
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name)
            usual = inner in (None, ()) or inner == field.default
            if usual or isinstance(inner, Span) or field.name.endswith("_spans"):
                continue
            nested = dataclasses.is_dataclass(inner) or (isinstance(inner, tuple) and any(map(_is_node, inner)))
            (deep if nested else simple).append((field.name, inner))
        values = " ".join(f"{name}={inner!r}" for name, inner in simple)
        lines = [f"{head}{type(value).__name__}{' ' + values if values else ''}"]
        for name, inner in deep:
            if isinstance(inner, tuple):
                lines.append(f"{indent}  {name}:")
                lines.extend(line for item in inner for line in _outline(item, depth + 2))
            else:
                lines.extend(_outline(inner, depth + 1, name))
        return lines
    return [f"{head}{value!r}"]


def _is_node(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)
