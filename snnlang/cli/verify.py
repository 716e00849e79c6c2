"""``snn verify``: run a model on every target of this machine and on the interpreter, and compare spikes and numbers."""

from __future__ import annotations

import json
from typing import Any

import click

from snnlang.cli.options import TARGETS, experiment_options, gather, weights_option
from snnlang.cli.screen import say, show_diagnostics
from snnlang.diagnostics import Diagnostic

NAMES = tuple(name for name in TARGETS if name != "auto")


def listed(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """``numpy,c`` as names; usage is wrong where one of them is no target."""
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in NAMES:
            raise click.BadParameter(f"'{name}' is no target; there is: {', '.join(NAMES)}")
    if not names:
        raise click.BadParameter(f"no target is named; there is: {', '.join(NAMES)}")
    return names


@click.command("verify")
@click.argument("file")
@click.argument("experiment", required=False)
@click.option(
    "--targets", callback=listed, metavar="A,B", help="Only these; the interpreter judges if it is one of them."
)
@experiment_options
@weights_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def command(file: str, experiment: str | None, targets: tuple[str, ...] | None, as_json: bool, **settings: Any) -> int:
    """Compare what the targets of this machine make of an experiment of FILE.

    The model runs on the interpreter, which is slow and shares no code with the others, then on numpy and on c, with
    one thread and with several. Spikes must be the same; every state, weight and recorded variable must agree to 1e-9
    of its size (float32: 1e-4); several threads must give the very bits of one. Without --duration, as much is run as
    the interpreter can do in a few seconds; large networks are made smaller with --set.

    Of a train block, the events and states of the first samples are compared with the interpreter, and the loss, every
    gradient and three updates with those of the first target, in float64 unless --precision says otherwise. The exit
    code is 0 if all agree, 1 if not, 2 for wrong usage.

    \b
    Examples:
      snn verify balanced.snn cuba --set N=400
      snn verify balanced.snn --duration 50ms --threads 4 --json
      snn verify digits.snn --targets numpy,c --precision float32
      snn verify train_digits.snn
    """
    from snnlang.compile import check_path, prepare
    from snnlang.model.elaborate import kind_of

    program, found = check_path(file)
    show_diagnostics(found)
    if program is None or any(diagnostic.is_error for diagnostic in found):
        return 1
    if settings.pop("target", None) is not None:
        raise click.UsageError("verify runs every target; name some of them with --targets")
    options = gather(**settings)
    if kind_of(program, experiment) == "train":
        from snnlang.runtime.agreement_training import verify_training

        report = verify_training(program, experiment, options, targets=targets, threads=options.threads)
        show_diagnostics(_new(report.warnings, found))
    else:
        from snnlang.runtime.agreement import verify

        prepared = prepare(program, options, experiment=experiment)
        show_diagnostics(_new(prepared.warnings, found))
        report = verify(prepared, targets=targets, threads=prepared.threads, whole=settings.get("duration") is not None)
    say(json.dumps(report.to_json(), indent=2, ensure_ascii=False) if as_json else str(report))
    return 0 if report.agrees else 1


def _new(warnings: tuple[Diagnostic, ...], said: list[Diagnostic]) -> list[Diagnostic]:
    return [warning for warning in warnings if warning not in said]
