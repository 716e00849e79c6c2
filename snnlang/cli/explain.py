"""``snn explain``: what happens in every step of a model, or what a diagnostic code means."""

from __future__ import annotations

import re
import sys
from importlib import resources
from typing import Any

import click

from snnlang.cli.options import experiment_options, gather, unknown
from snnlang.cli.screen import say, show_diagnostics


@click.command("explain")
@click.argument("subject", metavar="FILE|CODE")
@click.argument("experiment", required=False)
@experiment_options
def command(subject: str, experiment: str | None, **settings: Any) -> int:
    """Explain a file or a diagnostic code.

    For a file: the order of one step, the integration method of every population and why, where each synaptic variable
    lives, which projections arrive a step later, what is computed once. For a train block: which layers go through all
    steps at once, what is folded, kept and computed again, and the memory that it takes. For a code such as E103: its cause, a wrong
    example and the right one.

    \b
    Examples:
      snn explain balanced.snn
      snn explain balanced.snn raster --set N=400
      snn explain balanced.snn --target cuda
      snn explain E103
    """
    if re.fullmatch(r"[EWew]\d{3}", subject):
        show_page(page(subject.upper()))
        return 0
    from snnlang.compile import check_path
    from snnlang.explain import explain_experiment
    from snnlang.model.elaborate import kind_of

    program, found = check_path(subject)
    if program is None or any(diagnostic.is_error for diagnostic in found):
        show_diagnostics(found)
        return 1
    options = gather(**settings)
    if program.experiments and kind_of(program, experiment) == "train":
        from snnlang.runtime.training_text import explain_training

        say(explain_training(program, options, experiment))
        return 0
    say(explain_experiment(program, options, experiment=experiment))
    if program.experiments:
        from snnlang.compile import compile_experiment, math_of, target_of, threads_of
        from snnlang.runtime.machine import machine_lines

        chosen, plan = compile_experiment(program, experiment, options)
        steps = None if chosen.phases or not chosen.duration else round(chosen.duration / chosen.dt)
        used = target_of(chosen, options), threads_of(chosen, options), math_of(chosen, options)
        lines = machine_lines(plan, *used, steps)
        say("\n".join(["", "This machine", *lines]))
    return 0


def codes() -> list[str]:
    """Every diagnostic code that has a page, sorted."""
    names = (entry.name for entry in resources.files("snnlang").joinpath("pages").iterdir())
    return sorted(name[:-3] for name in names if re.fullmatch(r"[EW]\d{3}\.md", name))


def page(code: str) -> str:
    """The page of a diagnostic code, Markdown; raises E804 if there is none."""
    known = codes()
    if code not in known:
        raise unknown("diagnostic code", code, known)
    return resources.files("snnlang").joinpath("pages", f"{code}.md").read_text(encoding="utf-8")


def show_page(text: str) -> None:
    """Print Markdown: typeset on a terminal, as it is elsewhere."""
    if not sys.stdout.isatty():
        say(text.rstrip())
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console(width=min(100, Console().width)).print(Markdown(text))
