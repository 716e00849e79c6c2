"""Our own program of the training benchmark: the networks of nets.snn, whole updates through the doors of :class:`snnlang.Network`."""

import re
from pathlib import Path

from protocol import given, measure


def main():
    """One row, as the command line says."""
    row, name, x, y, batches, threads = given()
    text = (Path(__file__).parent / "nets.snn").read_text(encoding="utf-8")
    text = text.replace("NET:", f"{row.net}:").replace("STEPS", str(row.steps)).replace("THREADS", str(threads))
    blocks = re.split(r"\n(?=\w)", text)  # the other networks need not be read
    wanted = [block for block in blocks if not block.startswith("network ") or block.startswith(f"network {row.net}:")]

    from snnlang.compile import load_program
    from snnlang.diagnostics import Source
    from snnlang.model.elaborate import Overrides
    from snnlang.runtime.network import Network
    from snnlang.runtime.optimizers import Optimizer

    net = Network(load_program(Source("nets.snn", "\n".join(wanted))), None, Overrides())
    learner = net.learner
    chosen = net.training.optimizer
    optimizer = Optimizer(chosen.name, chosen.options, learner.parameters, True)
    if row.net == "conv":
        x = x.reshape(len(x), 1, 28, 28)

    def learn(part, labels):
        outcome = learner.learn({"image": part}, {"label": labels})
        learner.update(optimizer)
        return outcome.loss

    def forward(part):
        return next(iter(learner.forward({"image": part}).values()))

    measure("snnlang", name, x, y, batches, learn, forward)


main()
