"""Options that several commands share, and what becomes of them: expressions of the language.

``--dt 0.1ms``, ``--duration 2s`` and ``--set "tau = 10 ms"`` are read by the language's own expression parser, so that
units mean what they mean in a file and a mistake is shown with carets in the option.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from snnlang.diagnostics import SnnError, error

if TYPE_CHECKING:
    from snnlang.model.elaborate import Overrides
    from snnlang.syntax import tree

F = TypeVar("F", bound=Callable[..., Any])

TARGETS = ("auto", "c", "cuda", "numpy", "interpreter")
MATHEMATICS = ("fast", "strict")
METHODS = ("auto", "exact", "exponential_euler", "euler", "heun", "rk4")
PRECISIONS = ("float64", "float32")


def experiment_options(command: F) -> F:
    """What the command line may say about an experiment, in the order of the help."""
    options = [
        click.option(
            "--set",
            "sets",
            multiple=True,
            metavar="NAME=VALUE",
            help='Give a parameter of the network or a setting a value: --set g=4, --set "J = 0.2 mV".',
        ),
        click.option("--dt", metavar="TIME", help="Time step, such as 0.1ms."),
        click.option("--duration", metavar="TIME", help="Length of the simulation, such as 2s."),
        click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Seed of all random draws."),
        click.option("--method", type=click.Choice(METHODS), help="Integration method of every population."),
        click.option(
            "--precision",
            type=click.Choice(PRECISIONS),
            help="Numbers to compute with; default: float64, of cuda float32.",
        ),
        click.option("--target", type=click.Choice(TARGETS), help="What runs the generated code."),
        click.option(
            "--threads", type=click.IntRange(min=1), metavar="N", help="Threads of target c; default: as many as pay."
        ),
        click.option(
            "--math", type=click.Choice(MATHEMATICS), help="Rounding of target c: fast, or strict as written."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def weights_option(command: F) -> F:
    """``--weights``: trained numbers instead of written ones."""
    return click.option(
        "--weights",
        metavar="FILE.safetensors",
        help="Weights and parameters from a training, as 'snn run --out DIR' writes them.",
    )(command)


def gather(
    sets: Sequence[str] = (),
    dt: str | None = None,
    duration: str | None = None,
    seed: int | None = None,
    method: str | None = None,
    precision: str | None = None,
    target: str | None = None,
    threads: int | None = None,
    math: str | None = None,
    weights: str | None = None,
) -> Overrides:
    """The options of a command line as the compiler takes them; raises E803, E840 or a syntax error located in the option."""
    from snnlang.model.elaborate import Overrides

    trained = None
    if weights is not None:
        from snnlang.runtime.checkpoint import weights_of

        trained = weights_of(weights)
    return Overrides(
        values=dict(assignment(text) for text in sets),
        dt=None if dt is None else quantity(dt, "--dt"),
        duration=None if duration is None else quantity(duration, "--duration"),
        seed=seed,
        method=method,
        precision=precision,
        target=target,
        threads=threads,
        math=math,
        weights=trained,
    )


def assignment(text: str) -> tuple[str, tree.Expression]:
    """The name and the expression of ``--set NAME=VALUE``."""
    name, sign, value = text.partition("=")
    name = name.strip()
    if not sign or not value.strip():
        raise error("E803", f"--set needs NAME=VALUE, and '{text}' is not that", help="write for example --set g=4")
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", name):
        raise error("E803", f"--set: '{name}' is not a name", help="write the name of a parameter: --set g=4")
    return name, quantity(value.strip(), f"--set {name}")


def quantity(text: str, option: str) -> tree.Expression:
    """An expression of the language, such as ``0.1ms`` or ``0.8*4000``."""
    from snnlang.syntax.parse import parse_expression

    return parse_expression(text, option)


def unknown(kind: str, name: str, choices: Iterable[str], where: str = "") -> SnnError:
    """E804: there is no such experiment, model or code; names the nearest."""
    import difflib

    known = list(choices)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        advice = f"did you mean '{near[0]}'?"
    elif known:
        shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
        advice = f"there is: {shown}"
    else:
        advice = f"there is no {kind} at all"
    return error("E804", f"there is no {kind} '{name}'{where}", help=advice)
