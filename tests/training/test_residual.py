"""Residual networks against an independent automatic differentiation: shortcuts of spikes and of membranes, blocks inside blocks.

SEW blocks join the spikes of a block with those that came in, by ADD, AND or IAND (Fang et al. 2021); a membrane shortcut adds before the
neuron, of what it receives (Lee et al. 2020) or from membrane to membrane (Hu et al. 2021).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad

import snnlang
from tests.targets import CUDA, TARGETS

from .networks import NEURONS, READOUT, images, network, text
from .test_gradients import spike

JOINS = {"ADD": "a + s", "AND": "a*s", "IAND": "(1 - a)*s"}
#: A block of two layers whose spikes are joined with what came in; an outer block of two of them and a shortcut around both.
SEW = NEURONS + """
neuron Join:
    input a = 0
    input s = 0
    output {join}

network Inner:
    input x
    x -> dense(5), w = uniform(-0.1, 0.7) -> c1: Unit -> dense(5), w = uniform(-0.1, 0.7) -> c2: Unit
    population y[5]: Join
    connect x -> y.s: one_to_one
    connect c2 -> y.a: one_to_one
    output y

network Outer:
    input x
    block i1: Inner
    block i2: Inner
    x -> i1 -> i2
    population y[5]: Join
    connect x -> y.s: one_to_one
    connect i2 -> y.a: one_to_one
    output y
"""
NESTED = """
image -> dense(5), w = uniform(0, 0.9) -> stem: Unit
block a: Outer
block b: Outer
stem -> a -> b -> dense(3), w = uniform(-0.5, 0.5) -> out: Readout
"""
MEMBRANE = NEURONS + """
neuron Sum:
    input a = 0
    input s = 0
    output a + s

network Block:
    input x
    x -> one_to_one -> fire: Unit -> dense(5), w = uniform(-0.3, 0.6) -> second: Unit
    population y[5]: Sum
    connect x -> y.s: one_to_one
    connect second -> y.a: dense, w = uniform(-0.3, 0.6)
    output y
"""
MEMBRANES = """
population stem[5]: Readout
connect image -> stem.x: dense, w = uniform(0, 0.7)
block a: Block
block b: Block
stem -> a -> b -> dense(3), w = uniform(-0.5, 0.5) -> out: Readout
"""
BEFORE = """
population h[5]: Unit
population g[5]: Unit
population out[3]: Readout
connect image -> h.x: dense, w = uniform(0, 0.5)
connect h -> g.x: dense, w = uniform(-0.3, 0.6)
connect h -> g.x: one_to_one, w = 0.8
connect image -> g.x: dense, w = uniform(0, 0.2)
connect g -> out.x: dense, w = uniform(-0.5, 0.5)
"""


@pytest.fixture(autouse=True)
def shim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_CUDA", "shim")


class Independent:
    """The same networks step by step for autograd; states by the path of their population."""

    def __init__(self, weights: dict[str, Any], join: str) -> None:
        self.w, self.join = weights, join
        self.u: dict[str, Any] = {}
        self.s: dict[str, Any] = {}

    def unit(self, path: str, arrived: Any) -> Any:
        """Reset by subtraction, in the step after."""
        self.u[path] = self.w[f"{path}.beta"] * self.u.get(path, 0.0) + arrived - self.s.get(path, 0.0)
        self.s[path] = spike(self.u[path] - 1.0)
        return self.s[path]

    def readout(self, path: str, arrived: Any) -> Any:
        self.u[path] = 0.8 * self.u.get(path, 0.0) + arrived
        return self.u[path]

    def matrix(self, end: str, before: str) -> Any:
        return self.w[f"{before}->{end}.w"]

    def joined(self, a: Any, s: Any) -> Any:
        return {"ADD": a + s, "AND": a * s, "IAND": (1 - a) * s}[self.join]

    def inner(self, path: str, before: str, x: Any) -> Any:
        first = self.unit(f"{path}.c1", anp.dot(x, self.matrix(f"{path}.c1.x", before)))
        second = self.unit(f"{path}.c2", anp.dot(first, self.matrix(f"{path}.c2.x", f"{path}.c1")))
        return self.joined(second, x)

    def outer(self, path: str, before: str, x: Any) -> Any:
        one = self.inner(f"{path}.i1", before, x)
        return self.joined(self.inner(f"{path}.i2", f"{path}.i1.y", one), x)

    def nested(self, now: Any) -> Any:
        x = self.unit("stem", anp.dot(now, self.matrix("stem.x", "image")))
        x = self.outer("b", "a.y", self.outer("a", "stem", x))
        return self.readout("out", anp.dot(x, self.matrix("out.x", "b.y")))

    def block(self, path: str, before: str, x: Any) -> Any:
        fired = self.unit(f"{path}.fire", x)
        second = self.unit(f"{path}.second", anp.dot(fired, self.matrix(f"{path}.second.x", f"{path}.fire")))
        return anp.dot(second, self.matrix(f"{path}.y.a", f"{path}.second")) + x

    def membranes(self, now: Any) -> Any:
        x = self.readout("stem", anp.dot(now, self.matrix("stem.x", "image")))
        x = self.block("b", "a.y", self.block("a", "stem", x))
        return self.readout("out", anp.dot(x, self.matrix("out.x", "b.y")))

    def before(self, now: Any) -> Any:
        h = self.unit("h", anp.dot(now, self.w["image->h.x.w"]))
        arrived = anp.dot(h, self.w["h->g.x.w"]) + h * self.w["h->g.x#2.w"] + anp.dot(now, self.w["image->g.x.w"])
        return self.readout("out", anp.dot(self.unit("g", arrived), self.w["g->out.x.w"]))


def loss(weights: dict[str, Any], x: Any, y: Any, join: str, which: str) -> Any:
    net = Independent(weights, join)
    total = 0
    for step in range(7):
        total = total + getattr(net, which)(x if x.ndim == 2 else x[:, step])
    return anp.mean((total / 7 - y) ** 2)


def compare(source: str, target: Literal["c", "numpy"], join: str, which: str, changing: bool) -> None:
    net = network(source, target)
    x, y = 2 * images(5, 6, 7 if changing else None), np.arange(15.0).reshape(5, 3) / 10
    value, found = net.grad(x, y)
    plain: dict[str, Any] = {name: np.array(w) if w.shape else float(w) for name, w in net.weights.items()}
    assert value == pytest.approx(float(loss(plain, x, y, join, which)), rel=1e-12)
    expected = grad(loss)(plain, x, y, join, which)
    assert set(found) == set(expected)
    for name, gradient in found.items():
        assert np.allclose(gradient, expected[name], rtol=1e-9, atol=1e-12), name
        assert np.any(gradient != 0), name


@pytest.mark.parametrize("target", [*TARGETS, CUDA])
@pytest.mark.parametrize(("join", "more"), [("ADD", ""), ("ADD", "checkpoint = 3"), ("AND", ""), ("IAND", "")])
@pytest.mark.parametrize("changing", [False, True], ids=["constant", "changing"])
def test_sew_in_nested_blocks(target: Literal["c", "numpy"], join: str, changing: bool, more: str) -> None:
    """Four instances of one block in two of another, each with weights and states of its own."""
    source = text(NESTED, neurons=SEW.format(join=JOINS[join]), more=more)
    compare(source, target, join, "nested", changing)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("changing", [False, True], ids=["constant", "changing"])
@pytest.mark.parametrize("more", ["", "checkpoint = 3"], ids=["whole", "segments"])
def test_from_membrane_to_membrane(target: Literal["c", "numpy"], changing: bool, more: str) -> None:
    compare(text(MEMBRANES, neurons=MEMBRANE, more=more), target, "", "membranes", changing)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("changing", [False, True], ids=["constant", "changing"])
def test_before_the_neuron(target: Literal["c", "numpy"], changing: bool) -> None:
    compare(text(BEFORE), target, "", "before", changing)


IDENTITY = """
neuron Unit:
    input x = 0
    spike when x > 0.5

neuron Sum:
    input a = 0
    input s = 0
    output a + s

network Block(w):
    input x
    population c[4]: Unit
    connect x -> c.x: one_to_one, w = w
    population y[4]: Sum
    connect x -> y.s: one_to_one
    connect c -> y.a: one_to_one
    output y

network Net(w = 0):
    input image[4]
    image -> one_to_one, w = 1 -> stem: Unit
    block b1: Block(w)
    block b2: Block(w)
    block b3: Block(w)
    stem -> b1 -> b2 -> b3

simulate Net as shown:
    duration = 3
    drive image = [1, 0, 1, 0]
    record b3.y.output
"""


@pytest.mark.parametrize(("w", "expected"), [(0, 1), (1, 4)])
def test_golden_of_fang(w: float, expected: float) -> None:
    """A block that is silent sends what came in; after k blocks that fire wherever their input does, k + 1 arrives (catalogue A8)."""
    shown = snnlang.load(IDENTITY).run("shown", set={"w": w}, progress=False)
    assert np.array_equal(shown["b3.y.output"], np.tile([expected, 0, expected, 0], (3, 1)))


MAXIMUM = """
population h[2, 4, 4]: Unit
population y[2, 4, 4]: Sum
connect image -> h.x: dense, w = uniform(-0.2, 0.6)
connect image -> y.s: dense, w = uniform(-0.5, 0.2)
connect h -> y.a: one_to_one
y -> max_pool(2) -> dense(3), w = uniform(-0.5, 0.5) -> out: Readout
"""


def pooled(weights: dict[str, Any], x: Any, y: Any) -> Any:
    net, total = Independent(weights, ""), 0
    for step in range(7):
        now = x if x.ndim == 2 else x[:, step]
        joined = net.unit("h", anp.dot(now, weights["image->h.x.w"])) + anp.dot(now, weights["image->y.s.w"])
        windows = joined.reshape(-1, 2, 2, 2, 2, 2)  # sample, channel, row, in the window, column, in the window
        best = anp.max(anp.max(windows, axis=5), axis=3).reshape(-1, 8)
        total = total + net.readout("out", anp.dot(best, weights["y.max_pool->out.x.w"]))
    return anp.mean((total / 7 - y) ** 2)


@pytest.mark.parametrize("target", [*TARGETS, CUDA])
@pytest.mark.parametrize("changing", [False, True], ids=["constant", "changing"])
def test_maxima_of_values(target: Literal["c", "numpy"], changing: bool) -> None:
    """A sum of spikes and numbers of both signs, of which the greatest of each window goes on."""
    net = network(text(MAXIMUM, neurons=MEMBRANE), target)
    x, y = 2 * images(5, 6, 7 if changing else None), np.arange(15.0).reshape(5, 3) / 10
    value, found = net.grad(x, y)
    plain: dict[str, Any] = {name: np.array(w) if w.shape else float(w) for name, w in net.weights.items()}
    assert value == pytest.approx(float(pooled(plain, x, y)), rel=1e-12)
    expected = grad(pooled)(plain, x, y)
    assert set(found) == set(expected)
    for name, gradient in found.items():
        assert np.allclose(gradient, expected[name], rtol=1e-9, atol=1e-12), name
        assert np.any(gradient != 0), name


def test_a_maximum_of_negative_multiples_is_refused() -> None:
    turned = "population p[2, 2, 2]: Sum\nconnect y -> p.a: max_pool(2), w = -1\np -> dense"
    source = text(MAXIMUM.replace("y -> max_pool(2) -> dense", turned), neurons=MEMBRANE)
    with pytest.raises(snnlang.SnnError, match="which is a minimum"):
        network(source)


GAIN = NEURONS + """
neuron Gain:
    trainable param k = 2
    trainable state s = 0.5
    input x = 0
    s[n] = 0.5*s[n-1] + x
    d = s - 0.3*x
    output k*x + s + d

neuron Parrot:
    input x = 0
    spike when x > 0.5
"""
GAINS = """
population g[4]: Gain
image -> dense(4), w = uniform(-0.5, 0.7) -> g -> dense(3), w = uniform(-0.5, 0.5) -> out: Readout
image -> dense(2) -> unread: Parrot
connect g -> g.x: dense, w = uniform(-0.2, 0.2), delay = 1
"""


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_sent_and_its_parts(target: Literal["c", "numpy"]) -> None:
    """A loss reads what a population sends and a definition of it; both hold a trained number and a trained beginning. Nobody reads
    another population."""
    reads = "mean(mean(g.output*g.d), over = neurons) + mean(mean(out.v), over = neurons)"
    net = network(text(GAINS, loss=reads, neurons=GAIN), target)
    x, y = images(5, 6, 7), np.zeros(5)
    gradients = {name: np.array(value) for name, value in net.grad(x, y)[1].items()}
    assert not np.any(gradients.pop("image->unread.x.w"))
    assert {"g.k", "g.s"} < set(gradients)
    for name, gradient in gradients.items():
        value, start = net.weights[name], net.weights[name].copy()
        direction, found = np.random.default_rng(4).normal(size=start.shape), []
        for step in (-2, -1, 1, 2):
            value[...] = start + 2e-4 * step * direction
            net.learner.refresh()
            found.append(net.grad(x, y)[0])
        value[...] = start
        net.learner.refresh()
        slope = (found[0] - 8 * found[1] + 8 * found[2] - found[3]) / 24e-4
        assert float(np.sum(gradient * direction)) == pytest.approx(slope, rel=1e-7), name
        assert np.any(gradient != 0), name


def test_the_blocks_of_the_page() -> None:
    """The network that docs/training.md shows learns digits."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text()
    shown = next(block for block in re.findall(r"```snn\n(.*?)```", page, re.DOTALL) if "network SEW" in block)
    train = "\ntrain Digits:\n    data = digits(limit = 320)\n    steps = 4\n    loss = cross_entropy(mean(out.v), label)\n"
    train += "    optimizer = adam(lr = 3e-3)\n    batch = 32\n    epochs = 4\n"
    history = snnlang.load(f"from stdlib.neurons import SoftDLIF{READOUT}\n{shown}{train}").train()
    assert (history.epochs[-1].accuracy or 0) > 0.6
    assert history.epochs[-1].loss < 0.8 * history.epochs[0].loss
