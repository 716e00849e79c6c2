"""Trained weights in a simulation: every target does what the forward pass of the training did; what does not fit is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnlang
from snnlang.cli.program import run
from snnlang.compile import compile_experiment
from snnlang.diagnostics import SnnError
from tests.targets import C

from .networks import NEURONS, images, text

pytest.importorskip("safetensors")
TARGETS = ["interpreter", "numpy", C]
NEURON = NEURONS.replace("trainable param beta", "trainable per_neuron param beta")
LINES = {
    "dense": "connect image -> h.x: dense(bias = true)\nconnect h -> out.x: dense(bias = true)",
    "recurrent": "connect image -> h.x: dense\nconnect h -> h.x: dense(autapses = false), delay = 1\nconnect h -> out.x: dense",
    "random": "connect image -> h.x: random(p = 0.7)\nconnect h -> out.x: fixed_indegree(k = 5)",
    "part": "connect image[0:4] -> h[2:9].x: dense\nconnect h -> out.x: dense",
}
CONV = """
network Net:
    input image[2, 6, 6]
    population h[3, 6, 6]: Unit
    population l[2, 4, 4]: Unit
    population out[3]: Readout
    connect image -> h.x: conv2d(3, kernel = 3, padding = 1, bias = true)
    connect h -> l.x: local2d(2, kernel = 3)
    connect l -> out.x: dense
"""
SIMULATE = """
simulate Net as shown:
    duration = 7
    seed = 3
    record out.v, h.spikes
"""


def model(lines: str, extra: str = SIMULATE, before: str = "") -> snnlang.Model:
    source = before + text(
        "population h[12]: Unit\npopulation out[3]: Readout\n" + lines, loss="mse(sum(out.v), label)", neurons=NEURON
    )
    return snnlang.load(source + extra)


def scrambled(of: snnlang.Model) -> Any:
    """A network whose numbers are all different, as after a training."""
    net = of.network(precision="float64", target="numpy")
    draws = np.random.default_rng(5)
    for name, value in net.weights.items():
        value[...] = (
            draws.uniform(0.2, 0.95, value.shape) if name.endswith("beta") else draws.normal(0.2, 0.8, value.shape)
        )
    net.learner.refresh()
    return net


def compare(of: snnlang.Model, target: str, place: Path, size: int) -> None:
    net = scrambled(of)
    net.save(place / "w.safetensors")
    x = images(1, size)
    expected = net.learner.make_engine(
        [net.learner.readout("out.v"), net.learner.readout("h.spikes")], frozenset({"image"}), False
    )
    wanted = expected.forward({"image": x}, keep=False)
    for weights in (place / "w.safetensors", net.weights):
        found = of.run("shown", target=target, weights=weights, data={"image": x[0]})
        np.testing.assert_allclose(found["out.v"], wanted["out.v"][:, 0], rtol=1e-9, atol=1e-12)
        assert len(found.spikes("h")[0]) == wanted["h.spikes"].sum() > 5


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", LINES)
def test_as_in_the_training(kind: str, target: str, tmp_path: Path) -> None:
    compare(model(LINES[kind]), target, tmp_path, 6)


@pytest.mark.parametrize("target", TARGETS)
def test_shared_and_local_weights(target: str, tmp_path: Path) -> None:
    source = text("population h[1]: Unit", loss="mse(sum(out.v), label)", neurons=NEURON)
    start, end = source.index("network Net:"), source.index("train Net:")
    compare(snnlang.load(source[:start] + CONV.lstrip() + "\n" + source[end:] + SIMULATE), target, tmp_path, 72)


def test_weights_of_synapses(tmp_path: Path) -> None:
    """Synapses with a weight of another name keep it in a training and in a simulation."""
    synapse = "synapse Plain:\n    param scale = 0.5\n    weight g = 1\n    on pre: deliver scale*g\n"
    lines = "connect image -> h.x: dense\nconnect h -> out.x: dense via Plain"
    of = model(lines, before=synapse)
    assert "h->out.x.g" in of.network().weights
    compare(of, "numpy", tmp_path, 6)


def test_on_the_cuda_target(tmp_path: Path) -> None:
    """Generated CUDA run through the shim, as the interpreter runs it."""
    from snnlang.runtime.cuda_shim import ShimBackend, compiler
    from snnlang.runtime.device_cuda import CudaDevice
    from snnlang.runtime.device_interpreter import InterpreterDevice
    from snnlang.runtime.load import overrides

    if compiler() is None:
        pytest.skip("no C++ compiler, or not Linux")
    of = model(LINES["dense"])
    chosen = overrides(None, None, None, None, None, "interpreter", None, weights=scrambled(of).weights)
    plan = compile_experiment(of.program, "shown", chosen)[1]
    found = []
    for device in (CudaDevice(plan, ShimBackend(order=0, block=64)), InterpreterDevice(plan)):
        device.setup()
        device.write("image", images(1, 6)[0])
        device.coefficients()
        device.trial_start()
        device.run(0, 7)
        found.append(device.drain_values("out.v")[1])
    assert np.any(found[0] != 0)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)


# --- the command line -------------------------------------------------------------------------------------------------


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of = model(LINES["dense"])
    net = scrambled(of)
    net.save(tmp_path / "w.safetensors")
    (tmp_path / "net.snn").write_text(of.text)
    base = [str(tmp_path / "net.snn"), "shown", "--weights", str(tmp_path / "w.safetensors")]
    assert run(["run", *base, "--target", "numpy", "--out", str(tmp_path / "r.npz"), "-q"]) == 0
    found = snnlang.Recording.load(tmp_path / "r.npz")
    expected = of.run("shown", target="numpy", weights=net.weights)
    np.testing.assert_array_equal(found["out.v"], expected["out.v"])
    assert np.any(found["out.v"] != 0)
    assert run(["compile", *base, "--target", "numpy", "-o", str(tmp_path / "made")]) == 0
    assert run(["verify", *base, "--targets", "interpreter,numpy"]) == 0
    (tmp_path / "w.safetensors").write_bytes(b"nothing")
    capsys.readouterr()
    assert run(["run", *base, "--target", "numpy"]) == 1
    assert "E840" in capsys.readouterr().err
    assert run(["run", str(tmp_path / "net.snn"), "Net", *base[2:], "--resume", "--out", str(tmp_path / "o")]) == 2


# --- what does not fit ------------------------------------------------------------------------------------------------


def refused(of: snnlang.Model, weights: Any, **options: Any) -> str:
    with pytest.raises(SnnError) as problem:
        of.run("shown", target="numpy", weights=weights, **options)
    found = problem.value.diagnostics[0]
    assert found.code == "E841"
    assert found.help
    return found.message


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    of = model(LINES["dense"])
    good = {name: value.copy() for name, value in of.network(target="numpy").weights.items()}
    first = "image->h.x.w"
    assert "is missing" in refused(of, {name: value for name, value in good.items() if name != first})
    assert "is 5 x 12, and the network's is 6 x 12" in refused(of, {**good, first: good[first][:5]})
    assert "`h.gamma` is not in the network" in refused(of, {**good, "h.gamma": np.ones(12)})
    assert "`h.beta` is 11" in refused(of, {**good, "h.beta": good["h.beta"][:11]})
    assert "bias` is 4" in refused(of, {**good, "h->out.x.bias": np.ones(4)})
    assert "not finite" in refused(of, {**good, first: good[first] * np.nan})
    with pytest.raises(SnnError) as problem:
        of.run("shown", weights=tmp_path / "none.safetensors")
    assert problem.value.diagnostics[0].code == "E840"


def test_drawn_connections_of_another_seed(tmp_path: Path) -> None:
    of = model(LINES["random"])
    net = of.network(target="numpy")
    net.save(tmp_path / "w.safetensors")
    message = refused(of, tmp_path / "w.safetensors", seed=4)
    assert "drawn with seed 3" in message
    other = model(LINES["random"].replace("p = 0.7", "p = 0.5"))
    assert "holds" in refused(other, tmp_path / "w.safetensors")


def test_a_training_begins_with_weights_of_another(tmp_path: Path) -> None:
    of = model(LINES["dense"])
    net = scrambled(of)
    net.save(tmp_path / "w.safetensors")
    second = of.network(target="numpy", weights=tmp_path / "w.safetensors")
    for name, value in net.weights.items():
        np.testing.assert_allclose(second.weights[name], value, rtol=1e-6)
