"""Files of weights say the same to networks that freeze other numbers: what was trained before counts where it is frozen now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnlang
from snnlang.compile import load_program
from snnlang.diagnostics import Source
from snnlang.model.elaborate import Overrides
from snnlang.runtime.network import Network
from tests.targets import TARGETS

from .networks import images, network, text
from .test_wrong_inputs import refusal

safetensors = pytest.importorskip("safetensors.numpy")
NEURONS = """
neuron Unit:
    trainable param tau = 8 ms in (1 ms, 90 ms)
    param theta = 1
    input x = 0
    trainable state u = 0.1
    u' = -u/tau + x/tau
    spike when u > theta:
        u = 0

neuron Readout:
    trainable param beta = 0.8 in [0, 1]
    input x = 0
    state v = 0
    v[n] = beta*v[n-1] + x
    output v
"""
LINES = """
population h[12]: {unit}
population out[3]: Readout
connect first = image -> h.x: dense(bias = true), w = normal(0, 2)
connect second = h -> out.x: dense(bias = true)
"""
X, Y = images(24, 6), np.random.default_rng(3).normal(size=(24, 3))


def made(freeze: str = "", target: str = "numpy", unit: str = "Unit", seed: int | None = None, lines: str = LINES) -> Network:
    neurons = NEURONS.replace("u' =", "u[n] = exp(-dt/tau)*u[n-1] + x*(1 - exp(-dt/tau)) #").replace(
        "    spike when u > theta:\n        u = 0\n", "    spike when u > theta\n"
    )
    more = f"dt = 1 ms\n{f'freeze {freeze}' if freeze else ''}"
    source = text(lines.format(unit=unit), neurons=neurons, more=more)
    return network(source, target, seed=seed) if seed is not None else network(source, target)


FREEZES = ["first.w", "first.bias, second.bias", "h.tau", "h.u", "out.beta", "first.w, second.w, h.tau, h.u, out.beta"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("freeze", FREEZES)
def test_what_was_trained_counts_where_it_is_frozen(tmp_path: Path, freeze: str, target: Any) -> None:
    """The same readouts and the same gradients of the rest as in the network that trained everything; also after it had computed once."""
    whole = made(target=target)
    begun = whole.forward(X)["out.v:mean"]
    whole.train(X, Y, epochs=3)
    whole.save(tmp_path / "w.safetensors")
    part = made(freeze, target)
    before = part.forward(X)["out.v:mean"]
    assert np.allclose(before, begun, rtol=1e-12)
    part.load(tmp_path / "w.safetensors")
    found = part.forward(X)["out.v:mean"]
    assert np.abs(found - before).max() > 1e-3
    assert np.allclose(found, whole.forward(X)["out.v:mean"], rtol=1e-12, atol=1e-14)
    loss, wanted = whole.grad(X, Y)
    again, gradients = part.grad(X, Y)
    assert again == pytest.approx(loss, rel=1e-12)
    assert set(gradients) == set(wanted) - {name.strip() for name in freeze.split(",")}
    for name, value in gradients.items():
        assert np.allclose(value, wanted[name], rtol=1e-9, atol=1e-13), name


@pytest.mark.parametrize("target", TARGETS)
def test_what_was_frozen_is_kept(tmp_path: Path, target: Any) -> None:
    """It was drawn with a seed: whoever reads the file with another one has it all the same, frozen or not."""
    source = text(LINES.format(unit="Unit").replace(", w = normal(0, 2)", ""), more="freeze first.w").replace("    seed = 3\n", "")
    free = source.replace("    freeze first.w", "")

    def opened(lines: str, seed: int) -> Network:
        return Network(load_program(Source("test.snn", lines)), None, Overrides(target=target, precision="float64", seed=seed))

    trained = opened(source, 5)
    trained.train(X, Y)
    trained.save(tmp_path / "w.safetensors")
    assert "first.w" in safetensors.load_file(tmp_path / "w.safetensors")
    assert "first.w" not in trained.weights
    expected = trained.forward(X)["out.v:mean"]
    for lines in (source, free):
        other = opened(lines, 9)
        assert not np.allclose(other.forward(X)["out.v:mean"], expected)
        other.load(tmp_path / "w.safetensors")
        assert np.allclose(other.forward(X)["out.v:mean"], expected, rtol=1e-12)


def test_a_parameter_that_is_trained_no_more(tmp_path: Path) -> None:
    """`trainable` was taken away: the number of the training counts, as it does in a simulation."""
    whole = made()
    whole.train(X, Y, epochs=3)
    whole.save(tmp_path / "w.safetensors")
    plain = text(LINES.format(unit="Unit")).replace("trainable param beta", "param beta")
    trained = network(text(LINES.format(unit="Unit")))
    trained.train(X, Y, epochs=3)
    trained.save(tmp_path / "v.safetensors")
    other = network(plain)
    other.load(tmp_path / "v.safetensors")
    assert np.allclose(other.forward(X)["out.v:mean"], trained.forward(X)["out.v:mean"], rtol=1e-12)


def test_a_training_goes_on_with_what_it_freezes(tmp_path: Path) -> None:
    """As a second part of a training: begun with weights of the first, frozen ones stay as they came, and files have them again."""
    first = made()
    first.train(X, Y, epochs=2)
    first.save(tmp_path / "w.safetensors")
    second = made("first.w, h.tau")
    second.load(tmp_path / "w.safetensors")
    second.train(X, Y, epochs=2, out=tmp_path / "out")
    begun, ended = (safetensors.load_file(tmp_path / name) for name in ("w.safetensors", "out/last.safetensors"))
    for name in ("first.w", "h.tau"):
        assert np.array_equal(begun[name], ended[name])
    assert not np.array_equal(begun["second.w"], ended["second.w"])
    again = made("first.w, h.tau")
    again.train(X, Y, epochs=4, out=tmp_path / "out", resume=True)
    whole = made("first.w, h.tau")
    whole.load(tmp_path / "w.safetensors")
    whole.train(X, Y, epochs=4)
    for name, value in whole.weights.items():
        assert np.array_equal(value, again.weights[name]), name


def test_gains_of_batch_normalisation(tmp_path: Path) -> None:
    lines = """
population h[12]: Unit
population out[3]: Readout
image -> dense(12) -> batch_norm() -> h
connect second = h -> out.x: dense(bias = true)
"""
    whole = network(text(lines))
    whole.train(X, Y, epochs=3)
    whole.save(tmp_path / "w.safetensors")
    part = network(text(lines, more="freeze h.gain, h.shift"))
    assert set(whole.weights) - set(part.weights) == {"image->h.x.gain", "image->h.x.shift"}
    part.load(tmp_path / "w.safetensors")
    assert np.allclose(part.forward(X)["out.v:mean"], whole.forward(X)["out.v:mean"], rtol=1e-12)


def test_files_without_what_is_frozen_are_taken(tmp_path: Path) -> None:
    """Of other programs: then it stays as it is written. What is trained must be there."""
    part = made("first.w, h.tau")
    part.train(X, Y)
    safetensors.save_file({name: np.array(value, order="C") for name, value in part.weights.items()}, tmp_path / "w.safetensors")
    other = made("first.w, h.tau")
    other.load(tmp_path / "w.safetensors")
    assert np.allclose(other.forward(X)["out.v:mean"], part.forward(X)["out.v:mean"], rtol=1e-12)
    found, message = refusal(lambda: made().load(tmp_path / "w.safetensors"))
    assert found == "E841"
    assert "`first.w` is missing" in message


def test_synapses_drawn_with_another_seed_are_refused(tmp_path: Path) -> None:
    """Weights in the order of synapses mean nothing to other synapses."""
    lines = LINES.format(unit="Unit").replace("first = image -> h.x: dense(bias = true)", "first = image -> h.x: random(p = 0.5)")
    source = text(lines).replace("    seed = 3\n", "")

    def opened(seed: int) -> Any:
        return snnlang.load(source).network(target="numpy", seed=seed)

    trained = opened(5)
    trained.train(X, Y)
    trained.save(tmp_path / "w.safetensors")
    same = opened(5)
    same.load(tmp_path / "w.safetensors")
    found, message = refusal(lambda: opened(6).load(tmp_path / "w.safetensors"))
    assert found == "E841"
    assert "the synapses of `first` were drawn with seed 5, and here with 6" in message
