"""``snn run``: simulate an experiment, save and draw what was recorded, and sum it up."""

from __future__ import annotations

import gc
import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snnlang.cli.options import experiment_options, gather, weights_option
from snnlang.cli.screen import note, say, show_diagnostics
from snnlang.diagnostics import Diagnostic, error

if TYPE_CHECKING:
    from snnlang.compile import Prepared
    from snnlang.model.model import Program

PICTURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg")


@click.command("run")
@click.argument("file")
@click.argument("experiment", required=False)
@experiment_options
@weights_option
@click.option("--out", metavar="FILE.npz|DIR", help="Save what was recorded; a directory streams it while running.")
@click.option("--plot", "picture", metavar="FILE", help="Draw the experiment's plots: .png, .pdf or .svg.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar and no summary.")
@click.option("--resume", is_flag=True, help="Go on with the training that is in the directory --out.")
@click.option("--tensorboard", is_flag=True, help="Write a training's curves for TensorBoard too.")
def command(
    file: str,
    experiment: str | None,
    out: str | None,
    picture: str | None,
    as_json: bool,
    quiet: bool,
    resume: bool,
    tensorboard: bool,
    **settings: Any,
) -> int:
    """Simulate an experiment of FILE, or train its network.

    EXPERIMENT is the name after 'as' of a 'simulate' or 'train' block, or its network's name; left out, it is the first
    'simulate' block of the file, else the first 'train' block. Ctrl-C stops a run and keeps what was recorded so far; a
    training keeps its weights in the directory --out, and --resume goes on with it.

    \b
    Examples:
      snn run balanced.snn
      snn run balanced.snn raster --set g=4 --duration 2s
      snn run balanced.snn --plot raster.png --out spikes.npz
      snn run balanced.snn --dt 0.05ms --precision float32 --json
      snn run digits.snn --out trained --plot curve.png
      snn run digits.snn --out trained --resume
      snn run digits.snn raster --weights trained/best.safetensors
    """
    from snnlang.prepared import ready
    from snnlang.reading import read_source

    source = read_source(file)

    def make() -> tuple[Prepared | None, list[Diagnostic]]:
        from snnlang.compile import check_source, prepare
        from snnlang.model.elaborate import kind_of

        program, found = check_source(source)
        if program is None or any(diagnostic.is_error for diagnostic in found):
            return None, found
        if kind_of(program, experiment) == "train":
            raise _Training(program, found)
        options = gather(**settings)
        if picture is not None:
            require_picture(picture)
        return prepare(program, options, experiment=experiment), found

    try:
        if settings["weights"] is None:
            prepared, found = ready(source, experiment, sorted(settings.items()), make)
        else:
            prepared, found = make()
    except _Training as training:
        from snnlang.cli.train import train

        return train(
            training.program, training.found, experiment, out, picture, as_json, quiet, resume, tensorboard, settings
        )
    for flag, name in ((resume, "--resume"), (tensorboard, "--tensorboard")):
        if flag:
            raise click.UsageError(f"{name} belongs to `train` blocks, and this is a `simulate` block")
    if prepared is None:
        show_diagnostics(found)
        return 1
    if picture is not None:
        require_picture(picture)
    said = dict.fromkeys([*found, *prepared.warnings, *unmet(prepared.target)])
    show_diagnostics(said)
    if out is not None:
        require_output(out)

    from snnlang.runtime.run import run

    gc.enable()
    recording = run(prepared, progress=not quiet and not as_json and sys.stderr.isatty(), out=out)
    show_diagnostics(warning for warning in recording.warnings if warning not in said)
    if out is not None:
        recording.save(out)
    if picture is not None:
        from snnlang.runtime.plotting import draw

        draw(recording, picture)
    if as_json:
        say(json.dumps(recording.summary_data(), indent=2, ensure_ascii=False))
    elif not quiet:
        say(recording.summary())
        if out is not None:
            say(f"saved {out}")
        if picture is not None:
            say(f"drew {picture}")
    if recording.stopped_at is not None:
        note(f"stopped at t = {recording.stopped_at:g} ms; what was recorded is kept")
        return 130
    return 0


class _Training(Exception):
    """The experiment is a ``train`` block: another way begins here."""

    def __init__(self, program: Program, found: list[Diagnostic]) -> None:
        super().__init__()
        self.program, self.found = program, found


def unmet(target: str) -> list[Diagnostic]:
    """W733 where `auto` will not get the C compiler that it prefers; what it makes of a CUDA device is known later."""
    if target != "auto":
        return []
    from snnlang.runtime.cuda_choice import installed

    if installed():
        return []
    from snnlang.runtime.device import fallback

    warning = fallback()
    return [] if warning is None else [warning]


def require_picture(path: str) -> None:
    """Refuse a picture that could not be drawn, before the run: its ending (E803), its place (E801), no Matplotlib."""
    from snnlang.files import require_writable

    if Path(path).suffix.lower() not in PICTURES:
        endings = ", ".join(PICTURES)
        raise error("E803", f"--plot: '{path}' has no ending of a picture", help=f"end it with one of {endings}")
    if importlib.util.find_spec("matplotlib") is None:
        raise error(
            "E806", "a picture needs Matplotlib, which is not installed", help="install it: pip install matplotlib"
        )
    require_writable(path, "--plot")


def require_output(path: str) -> None:
    """Refuse a result that could not be saved, before the run (E801, E803)."""
    from snnlang.files import require_writable

    suffix = Path(path).suffix.lower()
    if suffix == ".npz":
        require_writable(path, "--out")
    elif suffix == "" or Path(path).is_dir():
        from snnlang.runtime.archive import require_replaceable

        require_replaceable(Path(path), "--out")
    else:
        raise error(
            "E803",
            f"--out: '{path}' is neither a .npz file nor a directory",
            help="end it with .npz, or name a directory",
        )
