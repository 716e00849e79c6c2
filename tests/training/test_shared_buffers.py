"""Memory that is saved changes no number: arrays that share a place, states that begin with one number, steps computed once more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnlang.codegen.passes import KEPT
from snnlang.runtime import engine_layout, shared_buffers
from snnlang.runtime.learning_arrays import HostArrays
from snnlang.runtime.learning_engine import Engine
from snnlang.runtime.products import Dense, Sparse
from snnlang.runtime.windows import Pool, Window
from tests.targets import needs_compiler

from .networks import NEURONS, images, network, text

MLP = "image -> dense(70, bias = true) -> h: Unit -> dense(3, bias = true) -> out: Readout"
DEEP = """
image -> dense(70) -> h: Unit -> dense(40) -> g: Unit -> dense(3) -> out: Readout
connect image -> g.x: dense
"""
POOL = """
population h[1, 8, 8]: Unit
connect image -> h.x: dense
h -> avg_pool(2) -> dense(3) -> out: Readout
"""
DRAWN = """
neuron Noisy:
    trainable param beta = 0.9 in (0, 1)
    input x = 0
    state u = 0.3
    u[n] = beta*u[n-1] + x + 0.2*normal(0, 1) - spike[n-1]
    spike when u > 1
"""
NETWORKS = {
    "mlp": MLP,
    "deep": DEEP,
    "noisy": MLP.replace("Unit", "Noisy"),
    "pool": POOL,
}


def learned(
    lines: str, steps: int | None, target: Any = "c", precision: str = "float64", more: str = ""
) -> tuple[Any, Engine]:
    """Loss, gradients and readouts of a batch, and the engine."""
    net = network(text(lines, size=12, steps=9, more=more, neurons=DRAWN + NEURONS), target, precision)
    x, y = images(83, 12, steps), np.random.default_rng(3).uniform(size=(83, 3))
    first = net.grad(x[::-1], y)  # what a batch leaves behind must not be seen in the next
    assert np.isfinite(first[0])
    loss, found = net.grad(x, y)
    out = net.forward(x)["out.v:mean"]
    return (loss, found, out), next(iter(net.learner._engines.values()))


def same(a: Any, b: Any, tolerance: float) -> None:
    assert a[0] == pytest.approx(b[0], rel=tolerance, abs=1e-300)
    assert np.allclose(a[2], b[2], rtol=tolerance, atol=tolerance)
    for name, value in b[1].items():
        assert np.allclose(a[1][name], value, rtol=1e3 * tolerance, atol=tolerance), name
        assert np.any(value != 0), name


@needs_compiler
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("steps", [None, 9], ids=["constant", "changing"])
def test_as_without(name: str, steps: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers of whole-array code, and the very bits of passes that store and read everything."""
    lines = NETWORKS[name]
    made, engine = learned(lines, steps)
    same(made, learned(lines, steps, "numpy")[0], 1e-12)
    assert engine._begins, "no population begins with one number"
    kept = [slot for run in engine.runs.values() for slot in run.backward_slots if slot.kind == "again"]
    assert bool(kept) == (steps is None)
    single = learned(lines, steps, precision="float32")[0]
    monkeypatch.setattr(engine_layout, "_AGAIN", 0)
    stored, engine = learned(lines, steps, precision="float32")
    assert not any(slot.kind == "again" for run in engine.runs.values() for slot in run.backward_slots)
    assert all(np.array_equal(single[1][key], value) for key, value in stored[1].items())
    monkeypatch.setattr(HostArrays, "overwrites", False)
    apart, more = learned(lines, steps, precision="float32")
    assert not more._begins
    assert more.buffer_bytes() > engine.buffer_bytes()
    same(single, apart, 1e-6)


@needs_compiler
@pytest.mark.parametrize("more", ["checkpoint = 4", "truncate = 4"])
def test_segments_keep_their_states(more: str) -> None:
    made, engine = learned(DEEP, 9, more=more)
    assert not engine._begins
    same(made, learned(DEEP, 9, "numpy", more=more)[0], 1e-12)


@needs_compiler
@pytest.mark.parametrize("name", ["deep", "pool"])
def test_two_backward_passes_of_one_forward_pass(name: str) -> None:
    """Adjoints lie where the forward pass left its numbers: a second backward pass goes forwards again."""
    net = network(text(NETWORKS[name], size=12, steps=9), "c")
    learner = net.learner
    given, once = learner.inputs({"image": images(20, 12, 9)})
    engine = learner.engine(once, True)
    readouts = engine.forward(given)
    bars = {label: np.random.default_rng(1).normal(size=value.shape) for label, value in readouts.items()}
    first = {key: np.array(value) for key, value in engine.backward(bars).items()}
    for key, value in engine.backward(bars).items():
        assert np.array_equal(value, first[key]), key
        assert np.any(value != 0), key


@needs_compiler
def test_kept_in_the_place_of_what_arrived() -> None:
    _, engine = learned(MLP, 9)
    run = engine.runs["h"]
    slots = {slot.array: slot for slot in run.forward_slots if slot.kind == "each"}
    arrived = engine._forward_slot(run, slots["h_x"], 0)
    kept = [engine._forward_slot(run, slot, 0) for name, slot in slots.items() if name.endswith(KEPT)]
    assert [np.shares_memory(arrived, place) for place in kept].count(True) == 1


def test_who_may_overwrite_what_was_sent() -> None:
    dense, pool = Dense(4, 4), Pool(Window((1, 2, 2), (1, 1, 1), (2, 2), (2, 2), (0, 0), (1, 1)), 1.0, True)
    sums = Pool(pool.window, 1.0, False)
    index = np.arange(4)
    assert shared_buffers.leaves_signal(dense, True, True)
    assert not shared_buffers.leaves_signal(dense, True, False)  # another connection may still read it
    assert not shared_buffers.leaves_signal(pool, False, True)  # where the maxima were is read on the way back
    assert shared_buffers.leaves_signal(sums, False, False)
    assert not shared_buffers.leaves_signal(Sparse(index, index, 4, 4, 1.0), True, True)
