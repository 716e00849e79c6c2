"""``snn run``: simulate an experiment, save and draw what was recorded, and sum it up."""

from __future__ import annotations

import gc
import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snnlang.cli.options import experiment_options, gather
from snnlang.cli.screen import note, say, show_diagnostics
from snnlang.diagnostics import Diagnostic, error

if TYPE_CHECKING:
    from snnlang.compile import Prepared

PICTURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg")


@click.command("run")
@click.argument("file")
@click.argument("experiment", required=False)
@experiment_options
@click.option("--out", metavar="FILE.npz|DIR", help="Save what was recorded; a directory streams it while running.")
@click.option("--plot", "picture", metavar="FILE", help="Draw the experiment's plots: .png, .pdf or .svg.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar and no summary.")
def command(
    file: str, experiment: str | None, out: str | None, picture: str | None, as_json: bool, quiet: bool, **settings: Any
) -> int:
    """Simulate an experiment of FILE.

    EXPERIMENT is the name after 'as' of a 'simulate' block, or its network's name; left out, it is the first one of
    the file. Ctrl-C stops a run and keeps what was recorded so far.

    \b
    Examples:
      snn run balanced.snn
      snn run balanced.snn raster --set g=4 --duration 2s
      snn run balanced.snn --plot raster.png --out spikes.npz
      snn run balanced.snn --dt 0.05ms --precision float32 --json
    """
    from snnlang.prepared import ready
    from snnlang.reading import read_source

    source = read_source(file)

    def make() -> tuple[Prepared | None, list[Diagnostic]]:
        from snnlang.compile import check_source, prepare

        program, found = check_source(source)
        if program is None or any(diagnostic.is_error for diagnostic in found):
            return None, found
        options = gather(**settings)
        if picture is not None:
            require_picture(picture)
        return prepare(program, options, experiment=experiment), found

    prepared, found = ready(source, experiment, sorted(settings.items()), make)
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


def unmet(target: str) -> list[Diagnostic]:
    """W733 where `auto` will not get the C compiler that it prefers."""
    if target != "auto":
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
