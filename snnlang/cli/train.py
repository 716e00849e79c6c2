"""``snn run`` of a ``train`` block: trains, keeps the weights, draws the curve."""

from __future__ import annotations

import gc
import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snnlang.cli.options import gather
from snnlang.cli.screen import note, say, show_diagnostics
from snnlang.diagnostics import Diagnostic

if TYPE_CHECKING:
    from snnlang.model.model import Program


def train(
    program: Program,
    found: list[Diagnostic],
    name: str | None,
    out: str | None,
    picture: str | None,
    as_json: bool,
    quiet: bool,
    resume: bool,
    tensorboard: bool,
    settings: dict[str, Any],
) -> int:
    """Train to the end; 130 when stopped by Ctrl-C."""
    from snnlang.cli.run import require_picture
    from snnlang.runtime.network import Network

    show_diagnostics(found)
    if resume and settings.get("weights") is not None:
        raise click.UsageError("--resume goes on with the weights in --out: leave out --weights")
    if picture is not None:
        require_picture(picture)
    network = Network(program, name, gather(**settings))
    show_diagnostics(d for d in network.warnings if d not in found)
    gc.enable()
    loud = not quiet and not as_json
    history = network.train(
        out=out,
        resume=resume,
        say=say if loud else None,
        progress=loud and sys.stderr.isatty(),
        tensorboard=tensorboard,
        model_hash=hashlib.sha256(program.file.span.source.text.encode()).hexdigest(),
    )
    if picture is not None and history.epochs:
        from snnlang.runtime.curves import draw
        from snnlang.runtime.plotting import title_of

        draw(history, picture, title_of(network.experiment.network.name, network.experiment.name))
    if as_json:
        say(json.dumps(history.data(), indent=2))
    elif not quiet:
        if history.test_accuracy is not None:
            say(f"test: loss {history.test_loss:.4f}, accuracy {100 * history.test_accuracy:.2f} %")
        elif history.test_loss is not None:
            say(f"test: loss {history.test_loss:.4f}")
        if out is not None:
            say(f"saved {Path(out) / 'last.safetensors'} and {Path(out) / 'best.safetensors'}")
        if picture is not None and history.epochs:
            say(f"drew {picture}")
    if history.stopped:
        note(f"stopped in epoch {len(history.epochs) + 1}" + ("; go on with --resume" if out is not None else ""))
        return 130
    return 0
