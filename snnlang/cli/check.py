"""``snn check``: read, parse and check files, and say what they hold."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snnlang.cli.screen import GREEN, count, note, paint, say, show_diagnostics, tally
from snnlang.diagnostics import Diagnostic, SnnError

if TYPE_CHECKING:
    from snnlang.model.model import Program


@click.command("check", short_help="Find every mistake in files and say how to fix it.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.option("--target", metavar="NAME", help="Also find what this target cannot run: c, cuda, numpy.")
@click.option("--quiet", "-q", is_flag=True, help="Print diagnostics only, no line for a good file.")
def command(files: Sequence[str], as_json: bool, target: str | None, quiet: bool) -> int:
    """Check files: names, units, shapes, events, networks and experiments.

    Every mistake is shown with its place, a cause and a fix; 'snn explain CODE' tells more about one. A directory
    stands for the .snn files below it, and '-' for standard input. The exit code is 1 when there is an error.

    \b
    Examples:
      snn check balanced.snn
      snn check examples/ --json
      snn check balanced.snn --target cuda
    """
    results = []
    for name in expand(files):
        program, found = check_one(name, target)
        results.append((name, program, found))
        if as_json:
            continue
        show_diagnostics(found)
        wrong = any(diagnostic.is_error for diagnostic in found)
        if wrong:
            note(f"{name}: {tally(found)}")
        elif not quiet and program is not None:
            counts = ", ".join(count(number, kind) for kind, number in contents(program).items() if number)
            extra = f", {tally(found)}" if found else ""
            say(f"{paint('ok', GREEN, sys.stdout)} {name}: {counts or 'nothing'}{extra}")
    if as_json:
        say(json.dumps(report(results), indent=2, ensure_ascii=False))
    return int(any(diagnostic.is_error for _, _, found in results for diagnostic in found))


def check_one(name: str, target: str | None) -> tuple[Program | None, list[Diagnostic]]:
    """The program of a file and all diagnostics, those of a target included when one is named."""
    from snnlang.compile import check_path, check_text

    try:
        program, found = check_text(sys.stdin.read(), "<stdin>") if name == "-" else check_path(name)
        if target is not None and program is not None and not any(diagnostic.is_error for diagnostic in found):
            for experiment in program.experiment_names():
                found += [one for one in of_target(program, experiment, target) if one not in found]
    except SnnError as problem:
        return None, list(problem.diagnostics)
    return program, list(found)


def of_target(program: Program, experiment: str, target: str) -> list[Diagnostic]:
    """What a target cannot run of an experiment, and the warnings of its stages; raises what the symbolic stage refuses.

    Nothing is generated, compiled or allocated. Where a CUDA device answers, target cuda is compared with its memory; where none does,
    that is no fault of the file.
    """
    from snnlang.cli.options import gather
    from snnlang.compile import plan_training, prepare
    from snnlang.model.elaborate import elaborate
    from snnlang.runtime.target_limits import device_here, refusals, refusals_of_device

    options = gather(target=target)
    elaborated = elaborate(program, experiment, options)
    if elaborated.training is not None:
        plan_training(elaborated)
        return list(elaborated.warnings)
    prepared = prepare(program, options, experiment)
    found = list(prepared.warnings)
    device = device_here() if prepared.target == "cuda" else None
    for point in prepared.points:
        one = point.experiment
        steps = None if one.phases or not one.duration else round(one.duration / one.dt)
        found += refusals(point.plan, prepared.target, steps, one.span)
        found += refusals_of_device(point.plan, device) if device is not None else []
    return found


def contents(program: Program) -> dict[str, int]:
    """How many things of each kind the file itself holds (its imports are not counted)."""
    from snnlang.syntax import tree

    counts = {"neuron": 0, "synapse": 0, "function": 0, "constant": 0, "network": 0, "experiment": 0}
    for item in program.file.items:
        match item:
            case tree.Model(kind=kind):
                counts[kind] += 1
            case tree.Function():
                counts["function"] += 1
            case tree.Const():
                counts["constant"] += 1
            case tree.Network():
                counts["network"] += 1
            case tree.Experiment():
                counts["experiment"] += 1
            case _:
                pass
    return counts


def report(results: Sequence[tuple[str, Program | None, list[Diagnostic]]]) -> dict[str, Any]:
    """What ``--json`` prints: per file its contents, experiments and diagnostics (positions from 1, ends exclusive)."""
    return {
        "ok": not any(diagnostic.is_error for _, _, found in results for diagnostic in found),
        "files": [
            {
                "file": name,
                "ok": not any(diagnostic.is_error for diagnostic in found),
                "contents": {} if program is None else contents(program),
                "experiments": [] if program is None else program.experiment_names(),
                "diagnostics": [diagnostic.to_json() for diagnostic in found],
            }
            for name, program, found in results
        ],
    }


def expand(files: Sequence[str]) -> list[str]:
    """The files, each directory replaced by the ``.snn`` files below it, sorted."""
    names: list[str] = []
    for name in files:
        path = Path(name)
        if path.is_dir():
            names.extend(str(found) for found in sorted(path.rglob("*.snn")))
        else:
            names.append(name)
    return names
