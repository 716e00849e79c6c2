"""``snn compile``: write the generated code as a module, a C program or a CUDA program that runs without snnlang."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from snnlang.cli.options import experiment_options, gather, weights_option
from snnlang.cli.screen import say, show_diagnostics


@click.command("compile")
@click.argument("file")
@click.argument("experiment", required=False)
@click.option("--output", "-o", "output", required=True, metavar="DIR", help="Directory of the files; made if missing.")
@experiment_options
@weights_option
def command(file: str, experiment: str | None, output: str, **settings: Any) -> int:
    """Write an experiment of FILE as code that stands alone.

    The target numpy gives one Python module that needs NumPy only; run it with 'python MODULE.py'. The target c gives a
    C11 file with its header, a main.c and a Makefile; 'make' builds a program that needs neither Python nor snnlang.
    The target cuda gives the kernels, their data, a host.cu with a Makefile for nvcc, and a host.py for CuPy.

    \b
    Examples:
      snn compile balanced.snn --target numpy -o generated
      snn compile balanced.snn coba --set N=1000 -o generated
      snn compile balanced.snn --target c --precision float32 -o generated
      snn compile balanced.snn --target cuda -o generated
    """
    from snnlang.compile import check_path, emit
    from snnlang.files import require_directory, write_bytes, write_text

    program, found = check_path(file)
    show_diagnostics(found)
    if program is None or any(diagnostic.is_error for diagnostic in found):
        return 1
    options = gather(**settings)
    chosen = "numpy" if settings.get("target") in (None, "auto") else settings["target"]
    contents: dict[str, str | bytes]
    if chosen == "cuda":
        from snnlang.runtime.standalone_cuda import export

        contents = export(program, options, experiment)
    else:
        from snnlang.runtime.standalone_samples import samples_of

        contents = {**emit(program, options, experiment=experiment, target=chosen, present=samples_of)}
    directory = require_directory(output, "--output")
    for name, content in contents.items():
        if isinstance(content, bytes):
            write_bytes(directory / name, content)
        else:
            write_text(directory / name, content)
        say(str(Path(output) / name))
    return 0
