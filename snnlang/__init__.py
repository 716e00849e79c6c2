"""snnlang: spiking neural networks written as the paper prints them, checked and compiled.

The names below are the public interface. Each is imported when it is first used, so that ``import snnlang`` costs
little and never pulls in a plotting library, a symbolic one or a device.

>>> import snnlang
>>> simulation = snnlang.load("examples/balanced.snn")  # doctest: +SKIP
>>> recording = snnlang.run("examples/balanced.snn")    # doctest: +SKIP
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnlang.builder import Builder
    from snnlang.diagnostics import Diagnostic, SnnError, Source, Span
    from snnlang.runtime.load import Model, load
    from snnlang.runtime.recording import Recording
    from snnlang.runtime.simulation import Simulation
    from snnlang.syntax.parse import parse

__version__ = "0.1.0"

_PLACES = {
    "Builder": "snnlang.builder",
    "Diagnostic": "snnlang.diagnostics",
    "Model": "snnlang.runtime.load",
    "Recording": "snnlang.runtime.recording",
    "Simulation": "snnlang.runtime.simulation",
    "SnnError": "snnlang.diagnostics",
    "Source": "snnlang.diagnostics",
    "Span": "snnlang.diagnostics",
    "load": "snnlang.runtime.load",
    "parse": "snnlang.syntax.parse",
}

__all__ = [
    "Builder",
    "Diagnostic",
    "Model",
    "Recording",
    "Simulation",
    "SnnError",
    "Source",
    "Span",
    "__version__",
    "check",
    "load",
    "parse",
    "run",
]


def check(file: str | os.PathLike[str]) -> list[Diagnostic]:
    """Everything there is to say about a file, errors and warnings in the order of the text; nothing is raised.

    A string that holds a line break is the text itself.
    """
    from snnlang.compile import check_path, check_text

    text = isinstance(file, str) and "\n" in file
    return (check_text(str(file)) if text else check_path(os.fspath(file)))[1]


def run(file: str | os.PathLike[str], experiment: str | None = None, **options: Any) -> Recording:
    """Run an experiment of a file (or of a text) and return what was recorded; ``options`` are those of ``Model.run``.

    Raises SnnError with every mistake found.
    """
    from snnlang.runtime.load import load

    return load(file).run(experiment, **options)


def __getattr__(name: str) -> Any:
    """Import the module a public name lives in, once, when the name is first asked for."""
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(place), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
