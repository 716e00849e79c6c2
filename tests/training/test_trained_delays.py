"""Delays that training changes: gradients between steps, the past of a connection, what a simulation makes of them, what is refused."""

from __future__ import annotations

from typing import Any, Literal

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad

import snnlang
from snnlang.diagnostics import SnnError
from snnlang.model.elaborate import elaborate
from tests.targets import TARGETS

from .networks import images, network, text
from .synapses import MODELS, SYNAPSES, through
from .test_gradients import spike
from .test_synapse_gradients import slope

SPIKING = [case for case in SYNAPSES if case[1] == "Source" and case[0] != "Gated"]
RING = """
population s[3]: Source
population out[4]: Potential
connect image -> s.x: dense, w = uniform(0.3, 0.9)
connect a = s -> out.x: dense, w = uniform(0.1, 0.7), delay = trainable(2.3, max = 6)
connect b = out -> s.x: dense, w = uniform(-0.3, 0.3), delay = trainable(1.4, min = 1, max = 3)
"""
STEPS = 14


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", SPIKING, ids=[case[0] for case in SPIKING])
@pytest.mark.parametrize("begin", ["0.4", "2.3", "5.9"])
def test_slopes(case: tuple[str, str, str, str], begin: str, target: Literal["c", "numpy"]) -> None:
    net = network(through(*case, more=f", delay = trainable({begin} ms, max = 6 ms)"), target)
    x, y = images(2, 3, 12, seed=3), np.zeros(2)
    for name in (name for name in net.weights if name.startswith("s->out")):
        found, expected = slope(net, name, np.random.default_rng(2).normal(size=net.weights[name].shape), x, y)
        assert found != 0, name
        assert found == pytest.approx(expected, rel=2e-6, abs=1e-9), name


def ring(w: Any, x: Any, y: Any, whole: tuple[int, int]) -> Any:
    """Both populations by hand: what was sent comes from the line between two steps. ``whole`` are the whole steps of the delays."""
    u, s, v, o = (anp.zeros((x.shape[0], size)) for size in (3, 3, 4, 4))
    sent: list[Any] = []
    back: list[Any] = []

    def late(signals: list[Any], steps: int, delay: Any, step: int) -> Any:
        first, second = (signals[step - ago] if step >= ago else 0.0*signals[0] for ago in (steps, steps + 1))
        return first + (delay - steps)*(second - first)

    total = 0.0
    for step in range(STEPS):
        arrived = anp.dot(x[:, step], w["image->s.x.w"])
        if step > 0:
            arrived = arrived + anp.dot(late([*back, 0*o], whole[1], w["b.delay"], step), w["b.w"])
        u = 0.8*u*(1 - s) + arrived
        s = spike(u - 1.0)
        sent.append(s)
        v = 0.9*v*(1 - o) + anp.dot(late(sent, whole[0], w["a.delay"], step), w["a.w"])
        o = spike(v - 1.0)
        back.append(o)
        total = total + v
    return anp.mean((total/STEPS - y)**2)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("checkpoint", ["", "checkpoint = 5"], ids=["whole", "segments"])
def test_against_autograd(checkpoint: str, target: Literal["c", "numpy"]) -> None:
    net = network(text(RING, size=3, steps=STEPS, more=checkpoint, neurons=MODELS), target)
    x, y = images(4, 3, STEPS, seed=5), np.full((4, 4), 0.5)
    plain = {name: np.array(value) if value.shape else float(value) for name, value in net.weights.items()}
    loss, found = net.grad(x, y)
    assert loss == pytest.approx(float(ring(plain, x, y, (2, 1))), rel=1e-11)
    expected = grad(ring)(plain, x, y, (2, 1))
    assert set(found) == set(expected) == {"image->s.x.w", "a.w", "b.w", "a.delay", "b.delay"}
    for name, value in found.items():
        assert np.any(value != 0), name
        assert np.allclose(value, expected[name], rtol=1e-9, atol=1e-12), name


@pytest.mark.parametrize("case", SPIKING, ids=[case[0] for case in SPIKING])
def test_whole_steps_are_plain_delays(case: tuple[str, str, str, str]) -> None:
    x, y = images(2, 3, 12, seed=3), np.zeros(2)
    one = network(through(*case, more=", delay = trainable(3 ms, max = 5 ms)")).grad(x, y)
    other = network(through(*case, more=", delay = 3 ms")).grad(x, y)
    assert one[0] == pytest.approx(other[0], rel=1e-12)
    for name, value in other[1].items():
        assert np.allclose(one[1][name], value, rtol=1e-10, atol=1e-13), name


def test_a_delay_is_found() -> None:
    """Gradient descent finds the delay with which the targets were made, across several steps."""
    lines = "population s[3]: Source\npopulation out[1]: Leaky\nconnect image -> s.x: dense, w = 0.8\n"
    lines += "connect a = s -> out.x: dense, w = 0.3, delay = trainable({begin} ms, max = 9 ms)\n"
    leaky = MODELS + "\nneuron Leaky:\n    input x = 0\n    state v = 0\n    v[n] = 0.8*v[n-1] + x\n    output v\n"
    x = images(6, 3, 20, seed=2)

    def made(begin: str) -> Any:
        more = "dt = 1 ms\nfreeze a.w"
        return network(text(lines.format(begin=begin), size=3, steps=20, loss="mse(out.v, label)", more=more, neurons=leaky))

    wanted = made("4.6")
    y = wanted.forward(x)["out.v"].transpose(1, 0, 2)
    net = made("2.2")
    for _ in range(300):
        _, gradients = net.grad(x, y)
        net.weights["a.delay"][...] -= 3.0 * gradients["a.delay"]
        net.learner.bound()
    assert float(net.weights["a.delay"]) == pytest.approx(4.6, abs=0.02)


def test_a_simulation_rounds_and_says_so() -> None:
    simulate = "\nsimulate Net as shown:\n    dt = 1 ms\n    duration = 14 ms\n    seed = 3\n    record out.v\n"
    case = ("Exponential", "Source", "Membrane.I", "uniform(10 pA, 300 pA)")
    source = through(*case, more=", delay = trainable(2.3 ms, max = 6 ms)").replace("steps = 12", "steps = 14")
    plain = through(*case, more=", delay = 2 ms").replace("steps = 12", "steps = 14")
    x = images(1, 3, seed=5)
    rounded = snnlang.load(source + simulate)
    expected = snnlang.load(plain + simulate).run("shown", data={"image": x[0]})["out.v"]
    net = rounded.network(precision="float64", target="numpy")
    assert np.array_equal(rounded.run("shown", data={"image": x[0]})["out.v"], expected)
    for delay, found in ((2.4, True), (3.2, False)):
        net.weights["s->out.I.delay"][...] = delay
        made = rounded.run("shown", data={"image": x[0]}, weights=net.weights)["out.v"]
        others = {name: value for name, value in net.weights.items() if not name.endswith(".delay")}
        wanted = snnlang.load(plain + simulate).run("shown", data={"image": x[0]}, weights=others)["out.v"]
        assert np.array_equal(made, wanted) is found
    program = rounded.program
    said = [d for d in elaborate(program, "shown").warnings if d.code == "W501"]
    assert [d.label for d in said] == ["becomes 2 ms"]
    assert not [d for d in elaborate(program, "Net").warnings if d.code == "W501"]


def test_bounds_and_freezing() -> None:
    source = text(RING, size=3, steps=STEPS, neurons=MODELS)
    net = network(source)
    net.weights["a.delay"][...], net.weights["b.delay"][...] = 8.0, 0.2
    net.learner.bound()
    assert (float(net.weights["a.delay"]), float(net.weights["b.delay"])) == (6.0, 1.0)
    assert "a.delay" not in network(source + "    freeze a.delay\n").weights


REFUSED = {
    "trainable(2)": "how late it may become",
    "trainable(max = 3)": "the delay that training begins with",
    "trainable(5, max = 3)": "begins outside of 0 ms to 3 ms",
    "trainable(5, most = 3)": "no argument of a trainable delay",
    "trainable(5, max = 2000)": "at most 1000 are kept",
}


@pytest.mark.parametrize("delay", REFUSED)
def test_what_is_refused(delay: str) -> None:
    source = text(RING.replace("trainable(2.3, max = 6)", delay), size=3, steps=STEPS, neurons=MODELS)
    with pytest.raises(SnnError) as caught:
        network(source)
    assert caught.value.diagnostics[-1].code == "E783"
    assert REFUSED[delay] in str(caught.value)
    assert "test.snn:" in str(caught.value)


@pytest.mark.parametrize("line", ["connect image -> s.x: dense, w = 0.5", "connect a = s -> out.x: dense via Low, w = 0.5"])
def test_values_have_no_trained_delay(line: str) -> None:
    lines = RING.replace("connect image -> s.x: dense, w = uniform(0.3, 0.9)", "connect first = image -> s.x: dense, w = 0.5")
    changed = "connect image -> s.x: dense, w = 0.5, delay = trainable(2, max = 4)"
    if "Low" in line:
        lines = lines.replace(lines.splitlines()[4], line + ", delay = trainable(2, max = 4)")
    else:
        lines += changed
    with pytest.raises(SnnError) as caught:
        network(text(lines, size=3, steps=STEPS, neurons=MODELS))
    assert caught.value.diagnostics[-1].code == "E783"
