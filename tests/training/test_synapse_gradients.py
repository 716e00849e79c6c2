"""Gradients through synapses with states of their own, and with delays of their own, against finite differences.

The loss reads the target's own state and its resets are detached, so that the gradient of the synapse's weights and parameters is the plain
derivative of what the forward pass computes. How events of the source are felt is tested against an independent differentiation
(test_synapse_autograd.py).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from snnlang.diagnostics import SnnError
from snnlang.runtime.compiler import find
from snnlang.runtime.network import Network
from tests.targets import TARGETS

from .networks import images, network, text
from .synapses import MODELS, SYNAPSES, through

DELAYS = {"": "at once", ", delay = 2 ms": "late", ", delay = uniform(0 ms, 4 ms)": "delays that differ"}


def slope(net: Network, name: str, direction: Any, x: Any, y: Any) -> tuple[float, float]:
    """The derivative along a direction of a trained array: as computed, and by finite differences of fourth order."""
    value = net.weights[name]
    start = np.array(value)
    found = float(np.sum(np.array(net.grad(x, y)[1][name]) * direction))
    h = 1e-4 * max(float(np.max(np.abs(start))), 0.1)

    def loss(amount: float) -> float:
        value[...] = start + amount * direction
        net.learner.refresh()
        made = net.grad(x, y)[0]
        value[...] = start
        net.learner.refresh()
        return made

    return found, (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) / (12 * h)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("delay", DELAYS, ids=DELAYS.values())
@pytest.mark.parametrize("case", SYNAPSES, ids=[case[0] for case in SYNAPSES])
def test_slopes(case: tuple[str, str, str, str], delay: str, target: Literal["c", "numpy"]) -> None:
    net = network(through(*case, more=delay), target)
    x, y = images(2, 3, 12, seed=3), np.zeros(2)
    names = [name for name in net.weights if name.startswith("s->out")]
    assert any(name.endswith(".w") for name in names)
    for name in names:
        direction = np.random.default_rng(2).normal(size=net.weights[name].shape)
        found, expected = slope(net, name, direction, x, y)
        assert found != 0, name
        assert found == pytest.approx(expected, rel=2e-6, abs=1e-9), name


@pytest.mark.parametrize("case", SYNAPSES, ids=[case[0] for case in SYNAPSES])
def test_segments_and_targets_agree(case: tuple[str, str, str, str]) -> None:
    if find() is None:
        pytest.skip("no C compiler")
    delay = ", delay = uniform(0 ms, 4 ms)"
    x, y = images(3, 3, 12, seed=3), np.zeros(3)
    ways: list[tuple[Literal["c", "numpy"], str]] = [("numpy", ""), ("c", ""), ("c", "checkpoint = 5")]
    made = [network(through(*case, more=delay, settings=settings), target).grad(x, y) for target, settings in ways]
    for loss, gradients in made[1:]:
        assert loss == pytest.approx(made[0][0], rel=1e-12)
        for name, value in gradients.items():
            assert np.allclose(value, made[0][1][name], rtol=1e-10, atol=1e-13), name


PATTERNS = ["random(p = 0.6)", "fixed_indegree(2)", "where(pre.index <= post.index)"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("delay", ["", ", delay = uniform(0 ms, 4 ms)"], ids=["at once", "delays"])
def test_listed_synapses(pattern: str, delay: str, target: Literal["c", "numpy"]) -> None:
    net = network(through("Resources", "Source", "Membrane.v", "uniform(0.1 mV, 3 mV)", pattern=pattern, more=delay), target)
    x, y = images(2, 3, 12, seed=3), np.zeros(2)
    for name in (name for name in net.weights if name.startswith("s->out")):
        direction = np.random.default_rng(2).normal(size=net.weights[name].shape)
        found, expected = slope(net, name, direction, x, y)
        assert found == pytest.approx(expected, rel=2e-6, abs=1e-9), name


DELAYED = {
    "listed": "dense, w = uniform(0.1, 0.5), delay = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 5, 1]]",
    "one_to_one": "one_to_one, w = uniform(0.1, 0.5), delay = uniform(0, 4)",
    "conv2d": "conv2d(2, kernel = 2), w = uniform(0.1, 0.5), delay = uniform(0, 4)",
    "random": "random(p = 0.7), w = uniform(0.1, 0.5), delay = clip(1 + pre.index, 1, 3)",
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("what", DELAYED)
def test_delays_of_plain_connections(what: str, target: Literal["c", "numpy"]) -> None:
    shape = {"one_to_one": ("[3]", "[3]"), "conv2d": ("[1, 3, 3]", "[2, 2, 2]")}.get(what, ("[3]", "[4]"))
    lines = (
        f"population s{shape[0]}: Source\npopulation out{shape[1]}: Potential\n"
        f"connect image -> s.x: dense, w = uniform(0.3, 0.9)\nconnect s -> out.x: {DELAYED[what]}"
    )
    net = network(text(lines, size=3, steps=12, loss="sum(out.v)", surrogate="atan(alpha = 2), reset = detach", neurons=MODELS), target)
    x, y = images(2, 3, 12, seed=3), np.zeros(2)
    weight = net.weights["s->out.x.w"]
    found, expected = slope(net, "s->out.x.w", np.random.default_rng(2).normal(size=weight.shape), x, y)
    assert found != 0
    assert found == pytest.approx(expected, rel=1e-6)


REFUSED = {
    "STDP": ("E780", "its weight `w` changes while the network runs"),
    "Exponential(tau = uniform(2 ms, 9 ms))": ("E780", "`tau` differs between its synapses"),
    "Current(tau = uniform(2 ms, 9 ms))": ("E782", "it differs between synapses"),
    "Starts": ("E782", "the initial value of `i`"),
    "Fading": ("E781", "`s` moves before anything arrives"),
    "Squared": ("E780", "it multiplies two weights"),
    "Follows": ("E780", "it keeps a state for each post neuron"),
}
MORE = """
synapse Starts:
    weight w = 1
    trainable state i = 0.5
    i[n] = 0.5*i[n-1] + pre.u
    deliver w*i

synapse Fading:
    weight w = 1
    state s = 1
    5 ms*ds/dt = -s
    on pre: s += 1 - s
    deliver w*s

synapse Squared:
    weight w = 1
    on pre: deliver w*w

synapse Follows:
    weight w = 1
    trace y on post decay 5 ms
    on pre: deliver w*(1 + y)
"""


@pytest.mark.parametrize("synapse", REFUSED)
def test_what_is_refused(synapse: str) -> None:
    name = synapse.partition("(")[0]
    neuron = "Membrane.I" if name in ("Exponential", "Current") else "Potential.x"
    delay = ", delay = uniform(0 ms, 4 ms)" if name == "Fading" else ""
    source = through(synapse, "Source", neuron, "uniform(0.1, 1)" if neuron.endswith("x") else "1 pA", more=delay) + MORE
    if name == "STDP":
        source = "from stdlib.plasticity import STDP\n" + source
    code, says = REFUSED[synapse]
    with pytest.raises(SnnError) as caught:
        network(source)
    assert caught.value.diagnostics[-1].code == code
    assert says in str(caught.value)
    assert "test.snn:" in str(caught.value)


@pytest.mark.parametrize("more", ["-> batch_norm() ", ""], ids=["batch_norm", "tied"])
def test_delays_that_differ_refuse(more: str) -> None:
    lines = "image -> dense(3), w = uniform(0.3, 0.9) -> s: Source -> dense(4), delay = uniform(0, 4) " + more + "-> out: Potential"
    if not more:
        lines = (
            "population s[3]: Source\npopulation out[3]: Potential\nconnect first = image -> s.x: dense, w = uniform(0.3, 0.9)\n"
            "connect s -> out.x: dense, w = transpose(first.w), delay = uniform(0, 4)"
        )
    with pytest.raises(SnnError) as caught:
        network(text(lines, size=3, steps=5, loss="sum(out.v)", neurons=MODELS))
    assert caught.value.diagnostics[-1].code == "E781"
    assert "test.snn:" in str(caught.value)


def test_trained_parameter_is_frozen_and_bounded() -> None:
    case = ("Current", "Source", "Membrane.I", "uniform(10 pA, 300 pA)")
    assert "s->out.I.tau" in network(through(*case)).weights
    source = through(*case).replace("connect s ->", "connect c = s ->")
    net = network(source)
    net.weights["c.tau"][...] = -3.0
    net.learner.bound()
    assert 0 < net.weights["c.tau"] < 1e-3
    assert "c.tau" not in network(source + "    freeze c.tau\n").weights
