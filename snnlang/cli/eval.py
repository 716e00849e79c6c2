"""``snn eval``: the loss and accuracy of trained weights on the test data of a ``train`` block."""

from __future__ import annotations

import json
from typing import Any

import click

from snnlang.cli.options import experiment_options, gather
from snnlang.cli.screen import say, show_diagnostics


@click.command("eval")
@click.argument("file")
@click.argument("experiment", required=False)
@click.option(
    "--weights",
    "-w",
    required=True,
    metavar="FILE.safetensors",
    help="The weights, as 'snn run --out DIR' writes them.",
)
@click.option(
    "--data",
    "which",
    type=click.Choice(("test", "validate", "train")),
    help="Which data; default: test, else validation, else training data, with a warning.",
)
@experiment_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def command(file: str, experiment: str | None, weights: str, which: str | None, as_json: bool, **settings: Any) -> int:
    """Measure trained weights on the data of a train block.

    The seed is that of their training unless another is given.

    \b
    Examples:
      snn eval digits.snn --weights trained/best.safetensors
      snn eval digits.snn --weights trained/last.safetensors --data train --json
    """
    from snnlang.compile import check_path
    from snnlang.runtime.checkpoint import load
    from snnlang.runtime.evaluation import KINDS, doubts
    from snnlang.runtime.network import Network

    program, found = check_path(file)
    show_diagnostics(found)
    if program is None or any(diagnostic.is_error for diagnostic in found):
        return 1
    state = load(weights).state
    if settings.get("seed") is None and isinstance(state.get("seed"), int):
        settings["seed"] = state["seed"]  # it drew what was kept for validation, and synapses of random connections
    network = Network(program, experiment, gather(**settings))
    network.load(weights)
    result = network.evaluate(which=which)
    show_diagnostics(doubts(network, which, state))
    if as_json:
        say(json.dumps(result, indent=2))
        return 0
    text = f"{KINDS[result['data']]}: {result['samples']:,} samples, loss {result['loss']:.4f}"
    if result["accuracy"] is not None:
        text += f", accuracy {100 * result['accuracy']:.2f} %"
    say(text)
    for layer, rate in result["rates"].items():
        say(f"  {layer} fires in {100 * rate:.2f} % of its neurons and steps")
    return 0
