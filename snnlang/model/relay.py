"""Built-in neurons without state that stand where a pool feeds another pattern: what comes in this step goes out this step.

``c1 -> max_pool(2) -> conv2d(…) -> c2`` needs a place for the pooled values. After spikes a maximum is again a spike; averages and analogue
values pass as numbers. They are ordinary checked neurons, so nothing after the elaboration knows of them.
"""

from __future__ import annotations

from functools import cache

from snnlang.model.expression import Comparison, Constant, Variable
from snnlang.model.model import Event, Input, Neuron
from snnlang.model.units import ONE


def _relay(name: str, doc: str, spikes: bool) -> Neuron:
    signal = Variable("x", ONE, lag=0)
    return Neuron(
        name=name,
        doc=doc,
        params=(),
        states=(),
        inputs=(Input("x", ONE, Constant(0.0), doc="what the pool gathers"),),
        definitions=(),
        differentials=(),
        differences=(),
        events=(Event("spike", "when", Comparison(">", signal, Constant(0.0)), Constant(1.0)),) if spikes else (),
        handlers=(),
        output=None if spikes else signal,
        output_unit=None if spikes else ONE,
    )


@cache
def max_pool_relay() -> Neuron:
    """Fires in the step in which any neuron of its window fires."""
    return _relay("MaxPool", "Fires when any neuron of its window fires, in the same step.", True)


@cache
def pass_relay() -> Neuron:
    """Sends what it receives, in the same step."""
    return _relay("Pass", "Sends what it receives, in the same step.", False)
