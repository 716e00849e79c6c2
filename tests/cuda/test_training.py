"""Training on the cuda target without a device: the printed passes, products and optimizers run through the shim, first beside arrays of a
package that stands for CuPy (strict about what mixes, lazy as streams are), and are compared with target c or numpy."""

from __future__ import annotations

import functools
import importlib
import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnlang.codegen.passes_cuda import head, products_text
from snnlang.diagnostics import SnnError
from snnlang.runtime import compiler as c_compiler
from snnlang.runtime import cuda_choice, optimizers, products, products_cuda, windows
from snnlang.runtime.learning_cuda import DeviceArrays, ShimArrays, opened
from tests.cuda import nvrtc
from tests.cuda.test_cupy import machine as machine  # a fixture
from tests.targets import needs_shim
from tests.training.networks import NEURONS, READOUT, images, network, text
from tests.training.synapses import MODELS as SYNAPTIC
from tests.training.synapses import SYNAPSES, through
from tests.training.test_gradients import CONVOLUTION, MLP, RECURRENT, TWO
from tests.training.test_library_gradients import NEURONS as LIBRARY
from tests.training.test_library_gradients import program, readouts
from tests.training.test_population_sums import source as sums
from tests.training.test_still_cells import NEURONS as STILL_NEURONS
from tests.training.test_still_cells import TWO as STILL
from tests.training.test_synapse_autograd import CURRENTS, LOOP
from tests.training.test_trained_delays import RING, STEPS

pytestmark = needs_shim

HOST: Any = "c" if c_compiler.find() is not None else "numpy"
nvcc = shutil.which("nvcc")
#: Per-neuron parameters, a time constant behind a coefficient, noise, and connections of every kind.
MANY = """
neuron Leaky:
    trainable per_neuron param tau = 10 ms in [2 ms, 50 ms]
    trainable param theta = 0.6 in (0.1, 2)
    input x = 0
    trainable state u = 0.1
    du/dt = (x - u)/tau
    spike when u > theta + 0.05*normal(0, 1)
    on spike: u = 0
"""
POOLS = f"""
neuron Pixel:
    input x = 0
    state u = 0
    u[n] = 0.8*u[n-1] + x
    spike when u > 0.5
{READOUT}
network Net:
    input image[2, 8, 8]
    image -> conv2d(4, kernel = 3, padding = 1, groups = 2, bias = true), w = uniform(-0.2, 0.6) -> h: Pixel
          -> max_pool(2) -> m: Pixel
          -> avg_pool(2) -> a: Pixel
          -> dense(2), w = uniform(-0.5, 0.5) -> out: Readout

train Net:
    data = mine
    steps = 4
    loss = mse(mean(out.v), label)
    gradient = surrogate(atan(alpha = 2))
    optimizer = sgd(lr = 0.1)
"""
TIED = """
population h[9]: Unit
population out[6]: Readout
connect first = image -> h.x: dense, w = uniform(-0.2, 0.9)
connect h -> out.x: dense, w = transpose(first.w)
"""
EQUAL = """
population h[9]: Unit
population g[9]: Unit
population out[3]: Readout
connect image -> h.x: dense, w = uniform(-0.2, 0.9)
connect h -> g.x: dense(bias = true), w = uniform(-0.2, 0.5)
connect g -> out.x: dense, w = uniform(-0.5, 0.5)
"""
LISTS = """
population h[9]: Unit
population g[9]: Unit
population out[3]: Readout
connect image -> h.x: random(0.6), w = uniform(-0.2, 0.9)
connect h -> g.x: one_to_one, w = uniform(0.5, 1.5)
connect g -> g.x: dense(autapses = false), w = uniform(-0.2, 0.2)
connect g[0:5] -> out[1:3].x: dense, w = uniform(-0.5, 0.5)
connect h -> out.x: dense, w = uniform(-0.5, 0.5)
"""
DROPPED = (
    "image -> dropout(p = 0.25) -> dense(12), w = uniform(-0.5, 1) -> dropout(p = 0.2) -> h: Unit"
    " -> dropout(p = 0.4) -> dense(3, bias = true), w = uniform(-0.5, 1) -> out: Readout"
)
CYCLE = "\nconnect h -> h.x: dense(autapses = false), delay = 1, w = uniform(-0.2, 0.2)"
NORMALISED = (
    "image -> dense(12), w = uniform(-0.5, 1) -> batch_norm({0}) -> h: Unit"
    " -> dropout(p = 0.2) -> dense(3), w = uniform(-0.5, 1) -> batch_norm({0}) -> out: Readout"
)


def down(values: dict[str, Any]) -> dict[str, Any]:
    """On the host."""
    return {name: value if isinstance(value, np.ndarray) else value.get() for name, value in values.items()}


def agree(source: str, x: Any, y: Any, rtol: float = 1e-10) -> None:
    """Losses and gradients of three batches, of which the last is shorter."""
    ours, theirs = network(source, "cuda"), network(source, HOST)
    for part in (slice(0, 4), slice(1, 5), slice(0, 3)):
        (found, made), (loss, expected) = ours.grad(x[part], y[part]), theirs.grad(x[part], y[part])
        assert found == pytest.approx(loss, rel=1e-12)
        assert set(made) == set(expected)
        for name, value in down(made).items():
            assert np.allclose(value, expected[name], rtol=rtol, atol=1e-12), name
    for name, value in ours.forward(x).items():
        assert np.allclose(value, theirs.forward(x)[name], rtol=1e-10), name


MODELS: dict[str, Callable[[], tuple[str, Any, Any]]] = {
    "mlp": lambda: (text(MLP), images(5, 6), np.zeros((5, 3))),
    "changing": lambda: (text(MLP), images(5, 6, 7), np.zeros((5, 3))),
    "recurrent": lambda: (text(RECURRENT), images(5, 6), np.zeros((5, 3))),
    "equal layers": lambda: (text(EQUAL), images(5, 6), np.zeros((5, 3))),
    "late": lambda: (text(TWO, more="checkpoint = 3"), images(5, 6, 7), np.zeros((5, 3))),
    "truncated": lambda: (text(TWO, more="truncate = 3"), images(5, 6), np.zeros((5, 3))),
    "convolution": lambda: (CONVOLUTION, np.random.default_rng(4).uniform(0, 1, (5, 2, 5, 5)), np.zeros((5, 2))),
    "pools": lambda: (POOLS, np.random.default_rng(4).uniform(0, 2, (5, 2, 8, 8)), np.zeros((5, 2))),
    "lists": lambda: (text(LISTS), images(5, 6), np.zeros((5, 3))),
    "tied": lambda: (text(TIED), images(5, 6), np.zeros((5, 6))),
    "every step": lambda: (
        text(MLP, loss="mse(out.v, label) + 0.1*mean(h.spikes, over = [time, neurons])"),
        images(5, 6),
        np.zeros((5, 3)),
    ),
    "coefficients": lambda: (
        text(MLP.replace("Unit", "Leaky"), neurons=MANY + READOUT, more="dt = 1 ms"),
        images(5, 6),
        np.zeros((5, 3)),
    ),
    "parts": lambda: (text(TWO, more="micro_batch = 2"), images(5, 6, 7), np.zeros((5, 3))),
    "parts of coefficients": lambda: (
        text(DROPPED.replace("Unit", "Leaky"), neurons=MANY + READOUT, more="dt = 1 ms\nmicro_batch = 2"),
        images(5, 6),
        np.zeros((5, 3)),
    ),
    "dropout": lambda: (text(DROPPED), images(5, 6, 7), np.zeros((5, 3))),
    "dropout on a cycle": lambda: (text(DROPPED + CYCLE, more="checkpoint = 3"), images(5, 6), np.zeros((5, 3))),
    "dropout of pools": lambda: (
        POOLS.replace("-> max_pool(2)", "-> dropout(p = 0.3) -> max_pool(2)"),
        np.random.default_rng(4).uniform(0, 2, (5, 2, 8, 8)),
        np.zeros((5, 2)),
    ),
    "batch norm": lambda: (text(NORMALISED.format("")), images(5, 6, 7), np.zeros((5, 3))),
    "batch norm over time": lambda: (
        text(NORMALISED.format("over = time, scale = 0.7"), more="checkpoint = 3"),
        images(5, 6, 7),
        np.zeros((5, 3)),
    ),
    "batch norm of channels": lambda: (
        CONVOLUTION.replace("-> h: Pixel", "-> batch_norm(over = time) -> h: Pixel"),
        np.random.default_rng(4).uniform(0, 1, (5, 2, 5, 5)),
        np.zeros((5, 2)),
    ),
    "batch norm on a cycle": lambda: (
        text(NORMALISED.format("") + "\nh -> dense(w = uniform(-0.2, 0.2)), delay = 1 -> batch_norm() -> h"),
        images(5, 6),
        np.zeros((5, 3)),
    ),
    "currents": lambda: (
        text(CURRENTS, size=3, steps=12, more="dt = 1 ms", neurons=SYNAPTIC),
        images(5, 3, 12),
        np.full((5, 4), -68.0),
    ),
    "trained delays": lambda: (
        text(RING, size=3, steps=STEPS, neurons=SYNAPTIC),
        images(5, 3, STEPS),
        np.full((5, 4), 0.5),
    ),
    "sums over a population": lambda: (sums("Inhibited", "checkpoint = 4"), images(5, 3, 9), np.full((5, 4), 0.1)),
    "plasticity in a loop": lambda: (
        text(LOOP, size=3, steps=12, more="dt = 1 ms\ncheckpoint = 5", neurons=SYNAPTIC),
        images(5, 3, 12),
        np.full((5, 4), -68.0),
    ),
    "still": lambda: (
        text(STILL, neurons=STILL_NEURONS, loss="mse(mean(out.v), label)", more="checkpoint = 3"),
        images(5, 6),
        np.zeros((5, 3)),
    ),
    "weights in the loss": lambda: (
        text(MLP.replace("connect h", "connect last = h"), loss="mse(mean(out.v), label) + 0.1*mean(last.w^2, over = neurons)"),
        images(5, 6),
        np.zeros((5, 3)),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_the_host(machine: Any, name: str) -> None:
    agree(*MODELS[name]())
    machine.backend.synchronize()  # looks at the zones around all arrays


@pytest.mark.parametrize("order", ["1", "7"])
def test_threads_may_run_in_any_order(monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    found = []
    for given in ("0", order):
        monkeypatch.setenv("SNN_CUDA", "shim")
        monkeypatch.setenv("SNN_SHIM_ORDER", given)
        net = network(text(LISTS), "cuda")
        found.append(net.grad(images(5, 6), np.zeros((5, 3))))
    assert found[0][0] == found[1][0]
    for key, value in found[0][1].items():
        assert np.array_equal(value, found[1][1][key]), key


@pytest.mark.parametrize("name", ["recurrent", "late", "truncated"])
def test_cycles_go_through_all_steps_in_one_kernel(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    source, x, y = MODELS[name]()
    monkeypatch.setenv("SNN_CUDA", "shim")
    whole, stepped = network(source, "cuda"), network(source, "cuda")
    loss, made = whole.grad(x, y)
    monkeypatch.setattr("snnlang.runtime.learning_cuda.FUSED", 0)
    other, expected = stepped.grad(x, y)
    engines = [next(iter(net.learner._engines.values())) for net in (whole, stepped)]
    assert [len(engine._cycles) for engine in engines] == [1, 0]
    assert loss == pytest.approx(other, rel=1e-12)
    for key, value in made.items():
        assert np.allclose(value, expected[key], rtol=1e-10, atol=1e-12), key


@pytest.mark.parametrize("neuron", LIBRARY)
def test_neurons_of_the_library(monkeypatch: pytest.MonkeyPatch, neuron: str) -> None:
    """A sum of all that a neuron keeps, every parameter and every initial state trained."""
    monkeypatch.setenv("SNN_CUDA", "shim")
    labels = [one.label for one in readouts(network(program(neuron), "numpy").learner) if one.label != "out.eta_spike"]
    source = program(neuron).replace("mean(read.r)", " + ".join(f"mean(sum({label}), over = neurons)" for label in labels))
    found = [network(source, target).grad(images(2, 3, 8), np.zeros(2)) for target in (HOST, "cuda")]
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-9)
    for name, value in down(found[1][1]).items():
        expected = found[0][1][name]
        assert np.allclose(value, expected, rtol=1e-8, atol=1e-9 * float(np.max(np.abs(expected)))), name


@pytest.mark.parametrize("case", SYNAPSES, ids=[case[0] for case in SYNAPSES])
def test_synapses(monkeypatch: pytest.MonkeyPatch, case: tuple[str, str, str, str]) -> None:
    monkeypatch.setenv("SNN_CUDA", "shim")
    source = through(*case, more=", delay = uniform(0 ms, 4 ms)")
    found = [network(source, target).grad(images(2, 3, 12), np.zeros(2)) for target in (HOST, "cuda")]
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-9)
    for name, value in found[0][1].items():
        assert np.allclose(down(found[1][1])[name], value, rtol=1e-8, atol=1e-9 * float(np.max(np.abs(value)))), name


OPTIMIZERS = (
    "adam(lr = 0.01)",
    "sgd(lr = 0.05, momentum = 0.9, nesterov = true)",
    "adamax(lr = 0.01)",
    "rmsprop(lr = 0.01, momentum = 0.5)",
    "adamw(lr = 0.01, weight_decay = 0.1)",
)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_curves_are_those_of_the_host(machine: Any, optimizer: str) -> None:
    source = text(RECURRENT, more="clip = 0.5").replace("adam(lr = 0.01)", optimizer)
    y = np.random.default_rng(2).uniform(0, 1, (20, 3))
    for precision, rel in (("float64", 1e-10), ("float32", 1e-4)):
        nets = [network(source, target, precision) for target in (HOST, "cuda")]
        curves = [net.train(images(20, 6), y, epochs=3, validation=0.2).epochs for net in nets]
        first, second = ([(e.loss, e.validation_loss or 0.0, *e.rates.values()) for e in made] for made in curves)
        assert np.allclose(first, second, rtol=rel)
        for name, value in down(nets[1].weights).items():
            assert np.allclose(value, nets[0].weights[name], rtol=10 * rel, atol=rel), name


def test_a_training_goes_on_with_the_same_bits(machine: Any, tmp_path: Path) -> None:
    x, y = images(20, 6), np.random.default_rng(2).uniform(0, 1, (20, 3))
    whole = network(text(MLP), "cuda")
    whole.train(x, y, epochs=4)
    network(text(MLP), "cuda").train(x, y, epochs=2, out=tmp_path)
    again = network(text(MLP), "cuda")
    again.train(x, y, epochs=4, out=tmp_path, resume=True)
    made, expected = down(again.weights), down(whole.weights)
    for name, value in made.items():
        assert np.array_equal(value, expected[name]), name
    elsewhere = network(text(MLP), HOST)
    elsewhere.load(tmp_path / "last.safetensors")
    assert np.array_equal(elsewhere.weights["h->out.x.w"], made["h->out.x.w"])
    back = network(text(MLP), "cuda")
    back.load(tmp_path / "last.safetensors")
    back.save(tmp_path / "copy.safetensors")
    assert (tmp_path / "copy.safetensors").stat().st_size > 0
    assert back.evaluate(x, y)["loss"] == pytest.approx(elsewhere.evaluate(x, y)["loss"], rel=1e-10)


# --- arrays -----------------------------------------------------------------------------------------------------------


def test_weights_are_arrays_of_the_device(machine: Any) -> None:
    cupy = importlib.import_module("cupy")
    net = network(text(MLP), "cuda")
    weight = net.weights["h->out.x.w"]
    assert isinstance(weight, cupy.ndarray)
    shared = np.from_dlpack(weight)
    weight[...] = 0
    assert not np.asarray(shared).any(), "the same memory"
    assert not any(value.any() for value in net.forward(images(3, 6)).values())


def test_samples_on_the_device_stay_there(machine: Any) -> None:
    cupy = importlib.import_module("cupy")
    net, net_of_host, x = network(text(MLP), "cuda"), network(text(MLP), HOST), images(5, 6, 7)
    for name, value in net.forward(cupy.asarray(x)).items():
        assert np.array_equal(value, net.forward(x)[name])
    y = np.zeros((5, 3))
    _, made = net.grad(cupy.asarray(x), cupy.asarray(y))
    _, expected = network(text(MLP), HOST).grad(x, y)
    for name, value in down(made).items():
        assert np.allclose(value, expected[name], rtol=1e-10), name
    there = network(text(MLP), "cuda").train(cupy.asarray(x), cupy.asarray(y))
    here = network(text(MLP), HOST).train(x, y)
    assert np.allclose([epoch.loss for epoch in there.epochs], [epoch.loss for epoch in here.epochs], rtol=1e-10)
    with pytest.raises(SnnError, match="E768"):
        net_of_host.forward(cupy.asarray(x))
    with pytest.raises(SnnError, match="E768"):
        net_of_host.train(cupy.asarray(x), y)


def test_samples_arrive_beside_other_work(machine: Any) -> None:
    cupy = importlib.import_module("cupy")
    net = network(text(MLP), "cuda")
    arrays = net.learner.arrays
    given = [np.full((2, 6), float(number)) for number in range(5)]
    made: list[Any] = [arrays.batch("image", value) for value in given[:2]]
    assert len([stream for stream in machine.streams.values() if stream.waiting]) > 1, "nothing waited for the copy"
    assert [float(value.sum()) for value in made] == [0.0, 12.0]
    third: Any = arrays.batch("image", given[2])
    assert third.data.ptr == made[0].data.ptr, "the place of the last but one"
    assert cupy.asnumpy(third)[0, 0] == 2.0


def test_pinned_memory_goes_only_when_it_was_read(machine: Any) -> None:
    """Batches of many shapes: the memory of a shape that is given up may be handed out to the next one."""
    arrays = opened()
    made: list[Any] = [arrays.batch("image", np.full((size, 3), float(size))) for size in range(1, 13)]
    for size, value in enumerate(made, 1):
        assert np.array_equal(arrays.down(value), np.full((size, 3), float(size)))


def test_the_package_for_tests_is_as_strict_as_cupy(machine: Any) -> None:
    cupy = importlib.import_module("cupy")
    there = cupy.zeros((2, 3))
    for wrong in (
        lambda: there + np.ones((2, 3)),
        lambda: np.ones((2, 3)) * there,
        lambda: np.asarray(there),
        lambda: there[np.arange(2)],
    ):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(ValueError, match="cannot be used for fill"):
        there[...] = np.ones((2, 3))
    assert float((np.float32(2) * (there + 1)).sum()) == 12.0


# --- products ---------------------------------------------------------------------------------------------------------


def _products() -> list[tuple[str, Any, int, int, int]]:
    """(name, product of the host, pre, post, weights)."""
    rng = np.random.default_rng(1)
    pre, post = np.sort(rng.integers(0, 7, 20)), rng.integers(0, 6, 20)
    found: list[tuple[str, Any, int, int, int]] = [
        ("dense", products.Dense(7, 4, 0.5, (rng.uniform(size=(7, 4)) > 0.5).astype(float)), 7, 4, 28),
        ("lists", products.Sparse(pre, post, 7, 6, 1.5), 7, 6, 20),
        ("one weight", products.Sparse(pre, post, 7, 6, 1.5), 7, 6, 1),
        ("shared", products.Sparse(pre, post, 7, 6, 0.5, rng.integers(0, 3, 20)), 7, 6, 3),
        ("pairs", products.OneToOne(slice(0, 4), np.array([4, 1, 2, 0]), 0.5), 6, 5, 4),
        ("part", products.Part(products.Dense(4, 3), slice(1, 5), np.array([4, 1, 2])), 6, 5, 12),
    ]
    shapes: list[tuple[Any, ...]] = [
        ((2, 7, 6), (4, 3, 3), (3, 2), (2, 2), (1, 0), (1, 1), 1),
        ((4, 7, 9), (6, 3, 2), (2, 3), (2, 3), (2, 1), (2, 1), 2),
        ((2, 8, 8), (2, 10, 10), (3, 3), (1, 1), (2, 2), (1, 1), 2),
    ]
    for image, output, kernel, *rest, groups in shapes:
        window = windows.Window(image, output, kernel, *rest)
        sizes = (int(np.prod(image)), int(np.prod(output)), output[0] * image[0] // groups * kernel[0] * kernel[1])
        found.append((f"convolution {image}", windows.Convolution(window, groups, 0.7), *sizes))
    for greatest, kernel in itertools.product((False, True), ((2, 2), (3, 2))):
        window = windows.Window((3, 7, 6), (3, 4, 3), kernel, (2, 2), (1, 0), (1, 1))
        found.append((f"pool {greatest} {kernel}", windows.Pool(window, 0.25, greatest), 126, 36, 1))
    return found


@pytest.mark.parametrize(("name", "host", "pre", "post", "weights"), _products(), ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize(("real", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)], ids=["double", "single"])
def test_products(name: str, host: Any, pre: int, post: int, weights: int, real: Any, tolerance: float) -> None:
    ours = products_cuda.device_product(host, ShimArrays())
    assert not products_cuda.through_host(ours)
    rng = np.random.default_rng(3)
    sent, arrived, weight = (rng.normal(size=shape).astype(real) for shape in ((5, pre), (5, post), (weights,)))
    for add in (False, True):
        first, second = np.ones((2, 5, post), real)
        host.forward(sent, weight, first, add)
        ours.forward(sent, weight, second, add)
        assert np.allclose(first, second, rtol=tolerance, atol=tolerance)
        first, second = np.ones((2, 5, pre), real)
        host.transpose(arrived, weight, first, add, sent)
        ours.transpose(arrived, weight, second, add, sent)
        assert np.allclose(first, second, rtol=tolerance, atol=tolerance)
    if host.trained:
        first, second = np.ones((2, weights), real)
        host.gradient(sent, arrived, first)
        ours.gradient(sent, arrived, second)
        assert np.allclose(first, second, rtol=tolerance, atol=tolerance)


def test_what_only_the_host_knows_goes_through_it(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "Dense", type("Other", (), {"__match_args__": ()}))
    ours = network(text(MLP), "cuda")
    assert [warning.code for warning in ours.warnings] == ["W767"]
    assert "is computed on the host" in ours.warnings[0].message
    monkeypatch.undo()
    theirs = network(text(MLP), HOST)
    made, expected = (net.grad(images(5, 6), np.zeros((5, 3)))[1] for net in (ours, theirs))
    for name, value in down(made).items():
        assert np.allclose(value, expected[name], rtol=1e-10), name


# --- texts ------------------------------------------------------------------------------------------------------------


def every_text(precision: Any) -> list[str]:
    """Products, optimizers, and passes with draws, coefficients, late connections and a cycle."""
    suffix = "f" if precision == "single" else ""
    names = {"sqrt": f"sqrt{suffix}", "fabs": f"fabs{suffix}"}
    every = "".join((optimizers._CUDA, optimizers._HEAD, *optimizers._TEXTS.values())).format(**names)
    texts = [products_text(precision), "\n".join(head(precision)) + every]
    for source, x, y in (MODELS["coefficients"](), MODELS["late"]()):
        net = network(source, "cuda", "float32" if precision == "single" else "float64")
        net.grad(x, y)
        texts += [engine._runner.text for engine in net.learner._engines.values()]  # type: ignore[attr-defined]
    return texts


@pytest.mark.skipif(nvcc is None, reason="no nvcc")
@pytest.mark.parametrize(("precision", "architecture"), [("single", "sm_75"), ("double", "sm_90")])
def test_nvcc_takes_every_text(precision: Any, architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert nvcc is not None
    monkeypatch.setenv("SNN_CUDA", "shim")
    for number, made in enumerate(every_text(precision)):
        path = tmp_path / f"text{number}.cu"
        path.write_text(made, encoding="utf-8")
        command = [nvcc, "-std=c++14", f"-arch={architecture}", "-ptx", "-o", str(tmp_path / "out.ptx"), str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr, done.stderr


@pytest.mark.parametrize("precision", ["single", "double"])
def test_nvrtc_takes_every_text_with_the_options_of_cupy(precision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_CUDA", "shim")
    for made, architecture in itertools.product(every_text(precision), ("sm_75", "sm_90")):
        assert nvrtc.said(made, single=precision == "single", architecture=architecture) == ""


def test_text_does_not_hold_sizes_or_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_CUDA", "shim")
    found = []
    for size in (6, 8):
        net = network(text(MLP, size=size), "cuda")
        net.grad(images(5, size), np.zeros((5, 3)))
        found.append(next(iter(net.learner._engines.values()))._runner.text)  # type: ignore[attr-defined]
    assert found[0] == found[1]


# --- what goes wrong, and who chooses ---------------------------------------------------------------------------------


def refused(make: Callable[[], object]) -> Any:
    """The first diagnostic."""
    with pytest.raises(SnnError) as problem:
        make()
    return problem.value.diagnostics[0]


def test_no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNN_CUDA", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    found = refused(lambda: network(text(MLP), "cuda"))
    assert found.code == "E742"
    assert "or run with --target c" in found.help


def test_no_device(machine: Any) -> None:
    machine.driver_version, machine.refusal = 0, 35
    assert refused(lambda: network(text(MLP), "cuda")).code == "E743"


def test_too_little_memory_is_said_before_a_batch_is_made(machine: Any) -> None:
    net = network(text(MLP), "cuda")
    machine.backend._total = machine.backend._used + 20_000
    found = refused(lambda: net.grad(images(200, 6, 7), np.zeros((200, 3))))
    assert found.code == "E741"
    assert "are needed" in found.message
    assert "`batch`" in found.help[0]
    machine.backend._total = 2**32
    net.grad(images(200, 6, 7), np.zeros((200, 3)))


def test_memory_that_runs_out_is_said(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(text(MLP), "cuda")
    monkeypatch.setattr(DeviceArrays, "require", lambda self, nbytes: None)
    machine.backend._total = machine.backend._used + 10_000
    found = refused(lambda: net.grad(images(200, 6, 7), np.zeros((200, 3))))
    assert found.code == "E741"
    assert re.search(r"about [1-9][\d.]* kB more are needed", found.message)


def test_the_estimate_is_near_what_is_used(machine: Any) -> None:
    net = network(text(TWO), "cuda")
    before = machine.backend._used
    net.grad(images(200, 6, 7), np.zeros((200, 3)))
    engine = next(iter(net.learner._engines.values()))
    used = machine.backend._used - before
    assert 0.5 * used < engine.memory(200) < 2 * used


def test_a_loss_that_is_no_number_is_said_as_on_the_host(machine: Any) -> None:
    found = []
    for target in (HOST, "cuda"):
        net = network(text(MLP).replace("adam(lr = 0.01)", "sgd(lr = 1e308)"), target)
        with np.errstate(all="ignore"):
            found.append(refused(functools.partial(net.train, images(40, 6), np.ones((40, 3)), epochs=5)))
    assert [one.code for one in found] == ["E755", "E755"]
    assert found[0].message == found[1].message


def test_modules_of_pytorch_are_of_the_host(machine: Any) -> None:
    pytest.importorskip("torch")
    import snnlang.torch

    assert refused(lambda: snnlang.torch.module(network(text(MLP), "cuda"))).code == "E769"


def test_auto_takes_a_device_for_large_work_alone(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert network(text(MLP), "auto").target == HOST
    monkeypatch.setattr(cuda_choice, "PRODUCTS", 0.0)
    assert network(text(MLP), "auto").target == "cuda"
    machine.driver_version, machine.refusal = 0, 35
    found = network(text(MLP), "auto")
    assert found.target == HOST
    assert [warning.code for warning in found.warnings] == ["W743"]


def test_auto_without_cupy_takes_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_choice, "PRODUCTS", 0.0)
    monkeypatch.setattr(cuda_choice, "installed", lambda: False)
    assert network(text(MLP), "auto").target == HOST
    monkeypatch.setenv("SNN_CUDA", "shim")
    assert network(text(MLP), "auto").target == HOST


def test_the_command_line_trains_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from snnlang.cli.program import run

    monkeypatch.setenv("SNN_CUDA", "shim")
    lines = "population h[12]: Unit\npopulation out[10]: Readout\nconnect image -> h.x: dense\nconnect h -> out.x: dense"
    source = text(lines, size=64, steps=3, loss="cross_entropy(mean(out.v), label)", neurons=NEURONS)
    path = tmp_path / "digits.snn"
    path.write_text(source.replace("data = mine", "data = digits()").replace("batch = 8", "batch = 256"))
    assert run(["run", str(path), "--target", "cuda", "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert run(["eval", str(path), "--target", "cuda", "--weights", str(tmp_path / "out" / "best.safetensors")]) == 0
    assert "accuracy" in capsys.readouterr().out
    assert os.path.getsize(tmp_path / "out" / "metrics.csv") > 0
