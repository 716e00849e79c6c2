"""``snn new``: a commented file to start from, which runs as it is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from snnlang.cli.screen import say
from snnlang.diagnostics import error

TEMPLATE = """\
# {title}: a first network. Run it with
#
#     snn run {file} --plot {stem}.png
#
# and change things: everything after '#' is a comment, and 'snn check {file}' says what is wrong
# and how to put it right.

# --- a neuron -------------------------------------------------------------------------------------------------------
# The equation stands as a paper prints it. Units belong to the numbers and are checked in every line.

neuron Cell:
    "Leaky integrate-and-fire."
    param:
        tau_m   = 20 ms  # membrane time constant
        R       = 100 MOhm  # membrane resistance
        v_rest  = -70 mV
        v_reset = -70 mV
        v_th    = -50 mV  # threshold
        t_ref   = 2 ms  # refractory time
    input I = 0 nA  # summed afresh each step from everything connected
    port state v = v_rest  # 'port': connections may add jumps to it

    tau_m * dv/dt = -(v - v_rest) + R*I

    spike when v >= v_th
    on spike:
        v = v_reset
        hold v for t_ref

# --- a source of spikes ---------------------------------------------------------------------------------------------

neuron Noise:
    "Fires at random, at a rate."
    param rate = 10 Hz
    spike with rate rate

# --- a network ------------------------------------------------------------------------------------------------------
# Parameters in brackets can be set from the command line: snn run {file} --set N=200

network {name}(N = 100, w = 3 mV):
    population noise[N]: Noise(rate = 20 Hz)
    population cell[N]: Cell(v = uniform(-70 mV, -50 mV))
    connect noise -> cell.v: random(p = 0.2), w = w, delay = 1 ms
    connect cell -> cell.v: random(p = 0.1), w = -w/2, delay = 1.5 ms

# --- an experiment --------------------------------------------------------------------------------------------------

simulate {name}:
    dt = 0.1 ms
    duration = 500 ms
    seed = 1
    record cell.spikes
    record cell.v[0:3] every 0.5 ms
    plot raster(cell), rate(cell, bin = 10 ms), trace(cell.v)
"""


@click.command("new")
@click.argument("name")
def command(name: str) -> int:
    """Make NAME.snn, a small commented network that runs.

    An existing file is never overwritten.

    \b
    Examples:
      snn new mine
      snn run mine.snn --plot mine.png
    """
    from snnlang.files import require_writable, write_text

    path = Path(name if name.endswith(".snn") else f"{name}.snn")
    if path.exists():
        raise error("E802", f"'{path}' exists already", help=f"choose another name, or move '{path}' away first")
    require_writable(path)
    write_text(path, starting_text(path))
    say(
        f"made {path}; run it with: snn run {shlex.quote(str(path))} --plot {shlex.quote(str(path.with_suffix('.png')))}"
    )
    return 0


def starting_text(path: Path) -> str:
    """The text of the file, its network named after it."""
    words = re.findall(r"[^\W_]+", path.stem)
    name = "".join(word[:1].upper() + word[1:] for word in words)
    if not name or name[0].isdigit() or name in ("Cell", "Noise"):
        name = f"Net{name}"
    return TEMPLATE.format(title=path.stem, file=path.name, stem=path.stem, name=name)
