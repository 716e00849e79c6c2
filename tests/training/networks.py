"""Networks that several tests of training share, and how they are made ready."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnlang.compile import load_program
from snnlang.diagnostics import Source
from snnlang.model.elaborate import Overrides
from snnlang.runtime.network import Network

UNIT = """
neuron Unit:
    trainable param beta = 0.9 in (0, 1)
    param theta = 1
    input x = 0
    state u = 0
    u[n] = beta*u[n-1] + x - theta*spike[n-1]
    spike when u > theta
"""
READOUT = """
neuron Readout:
    param beta = 0.8
    input x = 0
    state v = 0
    v[n] = beta*v[n-1] + x
    output v
"""
NEURONS = UNIT + READOUT

TRAIN = """
train Net:
    data = mine
    steps = {steps}
    loss = {loss}
    gradient = surrogate({surrogate})
    optimizer = adam(lr = 0.01)
    batch = 8
    epochs = 2
    seed = 3
{more}
"""


def text(
    lines: str,
    *,
    size: int = 6,
    steps: int = 7,
    loss: str = "mse(mean(out.v), label)",
    surrogate: str = "atan(alpha = 2)",
    more: str = "",
    neurons: str = NEURONS,
) -> str:
    """A file with a network ``Net`` of one input ``image`` and its training."""
    body = "\n".join("    " + line for line in lines.strip().splitlines())
    extra = "\n".join("    " + line for line in more.strip().splitlines())
    training = TRAIN.format(steps=steps, loss=loss, surrogate=surrogate, more=extra)
    return f"{neurons}\nnetwork Net:\n    input image[{size}]\n{body}\n{training}"


def network(source: str, target: str = "numpy", precision: str = "float64", **values: Any) -> Network:
    """The network of the first ``train`` block of a text."""
    program = load_program(Source("test.snn", source))
    return Network(program, None, Overrides(target=target, precision=precision, values=values))


def images(samples: int, size: int, steps: int | None = None, seed: int = 1) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Random samples: the same in every step, or changing with ``steps``."""
    shape = (samples, size) if steps is None else (samples, steps, size)
    return np.random.default_rng(seed).uniform(0, 1, shape)
