"""A convolution has one bias for each channel: in trainings against autograd and PyTorch, in simulations, in weight files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad

import snnlang
from snnlang.codegen.patterns import window
from snnlang.compile import compile_experiment
from snnlang.diagnostics import SnnError
from snnlang.runtime.load import overrides
from snnlang.runtime.network import Network
from tests.targets import C

from .networks import images, network, text
from .test_gradients import spike

SIZE, STEPS, SAMPLES = 2 * 6 * 7, 3, 4
CASES: list[dict[str, Any]] = [
    {"channels": 4, "kernel": 3},
    {"channels": 4, "kernel": [2, 3], "stride": 2, "padding": 1},
    {"channels": 3, "kernel": 2, "dilation": [2, 1], "padding": [1, 0]},
    {"channels": 4, "kernel": 3, "groups": 2, "stride": [1, 2], "padding": 2},
    {"channels": 1, "kernel": [6, 7]},
]


def source(case: dict[str, Any], *, shape: str = "[2, 6, 7]", simulate: bool = False) -> str:
    given = ", ".join(f"{name} = {value}" for name, value in case.items())
    lines = f"image -> conv2d({given}, bias = true), w = uniform(-0.3, 0.6) -> h: Unit -> flatten -> f: Unit\n"
    lines += "connect f -> out.x: dense(bias = true), w = uniform(-0.5, 0.5)\npopulation out[3]: Readout"
    made = text(lines, steps=STEPS).replace("input image[6]", f"input image{shape}")
    more = f"\nsimulate Net as shown:\n    duration = {STEPS}\n    record out.v, h.x\n" if simulate else ""
    return made + more


def set_up(case: dict[str, Any], target: Any = "numpy") -> Network:
    net = network(source(case), target)
    for name, value in net.weights.items():
        if name.endswith("bias"):
            value[...] = np.linspace(-0.2, 0.5, value.size)
    return net


def reached(case: dict[str, Any]) -> tuple[Any, Any, int]:
    """For each output pixel and place of the kernel: which of the numbers of a channel it sees, and whether that is within the image."""
    (_, height, width), (_, rows, columns), kernel, stride, padding, dilation, groups = window("conv2d", {"pre_shape": (2, 6, 7), **case})
    down = (np.arange(rows) * stride[0] - padding[0])[:, None] + np.arange(kernel[0]) * dilation[0]
    across = (np.arange(columns) * stride[1] - padding[1])[:, None] + np.arange(kernel[1]) * dilation[1]
    down, across = down[:, None, :, None], across[None, :, None, :]
    inside = (down >= 0) & (down < height) & (across >= 0) & (across < width)
    place = np.clip(down, 0, height - 1) * width + np.clip(across, 0, width - 1)
    return place.reshape(rows * columns, -1), inside.reshape(rows * columns, -1), groups


def by_hand(w: dict[str, Any], x: Any, y: Any, case: dict[str, Any]) -> Any:
    """The network of :func:`source` for autograd, its convolution summed over places of the kernel."""
    place, inside, groups = reached(case)
    channels, each = case["channels"], 2 // groups
    kernels = anp.reshape(w["image->h.x.w"], (groups, channels // groups, each, -1))
    seen = x.reshape(SAMPLES, groups, each, -1)[..., place] * inside
    arrived = anp.einsum("sgipk,goik->sgop", seen, kernels).reshape(SAMPLES, channels, -1)
    arrived = (arrived + w["image->h.x.bias"][:, None]).reshape(SAMPLES, -1)
    u, s, f, fs, v, total = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for _ in range(STEPS):
        u = w["h.beta"] * u + arrived - s
        s = spike(u - 1.0)
        f = w["f.beta"] * f + s - fs
        fs = spike(f - 1.0)
        v = 0.8 * v + anp.dot(fs, w["f->out.x.w"]) + w["f->out.x.bias"]
        total = total + v
    return anp.mean((total / STEPS - y) ** 2)


@pytest.mark.parametrize("target", ["numpy", C])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_against_autograd(case: dict[str, Any], target: Literal["c", "numpy"]) -> None:
    net = set_up(case, target)
    assert net.weights["image->h.x.bias"].shape == (case["channels"],)
    x, y = images(SAMPLES, SIZE), np.arange(3.0 * SAMPLES).reshape(SAMPLES, 3) / 10
    loss, found = net.grad(x, y)
    plain = {name: np.array(value) if value.shape else float(value) for name, value in net.weights.items()}
    assert loss == pytest.approx(float(by_hand(plain, x, y, case)), rel=1e-12)
    expected = grad(by_hand)(plain, x, y, case)
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-9, atol=1e-12, err_msg=name)
    assert np.all(found["image->h.x.bias"] != 0)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_as_a_convolution_of_pytorch(case: dict[str, Any]) -> None:
    """The same numbers in a ``Conv2d``, forwards and backwards, through the door for PyTorch."""
    torch = pytest.importorskip("torch")
    from snnlang.torch import module

    lines = source(case).replace("h: Unit -> flatten -> f: Unit", "h: Readout").replace("connect f ->", "connect h ->")
    net = network(lines)
    net.weights["image->h.x.bias"][...] = np.linspace(-1, 1, case["channels"])
    of = module(net, "h.v:end")
    conv = torch.nn.Conv2d(
        2,
        case["channels"],
        case["kernel"],
        **{name: case[name] for name in ("stride", "padding", "dilation", "groups") if name in case},
        dtype=torch.float64,
    )
    mine = {of.names[name]: parameter for name, parameter in of.named_parameters()}
    with torch.no_grad():
        conv.weight.copy_(mine["image->h.x.w"].reshape(conv.weight.shape))
        conv.bias.copy_(mine["image->h.x.bias"])
    x = torch.from_numpy(images(SAMPLES, SIZE)).reshape(SAMPLES, 2, 6, 7)
    wanted = conv(x) * sum(0.8**t for t in range(STEPS))
    made = of(x).reshape(wanted.shape)
    torch.testing.assert_close(made, wanted)
    (made**2).sum().backward()
    (wanted**2).sum().backward()
    torch.testing.assert_close(mine["image->h.x.w"].grad.reshape(conv.weight.shape), conv.weight.grad)
    torch.testing.assert_close(mine["image->h.x.bias"].grad, conv.bias.grad)


# --- simulations and weight files --------------------------------------------------------------------------------------


def correlated(case: dict[str, Any], weights: dict[str, Any], x: Any) -> Any:
    """What arrives in h, (channels*rows*columns,)."""
    place, inside, groups = reached(case)
    channels = case["channels"]
    kernels = weights["image->h.x.w"].reshape(groups, channels // groups, 2 // groups, -1)
    seen = x.reshape(groups, 2 // groups, -1)[..., place] * inside
    made = np.einsum("gipk,goik->gop", seen, kernels).reshape(channels, -1)
    return (made + weights["image->h.x.bias"][:, None]).reshape(-1)


@pytest.mark.parametrize("case", [CASES[1], CASES[3]], ids=str)
@pytest.mark.parametrize("target", ["interpreter", "numpy", C])
def test_a_simulation(case: dict[str, Any], target: Any, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    net, x = set_up(case), images(1, SIZE)[0]
    net.save(tmp_path / "w.safetensors")
    of = snnlang.load(source(case, simulate=True))
    found = of.run("shown", target=target, weights=tmp_path / "w.safetensors", data={"image": x}, precision="float64")
    for arrived in found["h.x"]:
        np.testing.assert_allclose(arrived, correlated(case, net.weights, x), rtol=1e-6, atol=1e-6)


def test_a_simulation_of_cuda() -> None:
    """Generated CUDA run through the shim."""
    from snnlang.runtime.cuda_shim import ShimBackend, compiler
    from snnlang.runtime.device_cuda import CudaDevice

    if compiler() is None:
        pytest.skip("no C++ compiler, or not Linux")
    case, x = CASES[3], images(1, SIZE)[0]
    net, of = set_up(case), snnlang.load(source(case, simulate=True))
    plan = compile_experiment(of.program, "shown", overrides(None, None, None, None, None, "interpreter", None, weights=net.weights))[1]
    device = CudaDevice(plan, ShimBackend(order=0, block=64))
    device.setup()
    device.write("image", x)
    device.coefficients()
    device.trial_start()
    device.run(0, STEPS)
    for arrived in device.drain_values("h.x")[1]:
        np.testing.assert_allclose(arrived, correlated(case, net.weights, x), rtol=1e-9)


def test_weights_with_a_bias_for_each_neuron() -> None:
    """As versions before wrote them: named, with what is asked for, in a simulation and where a training begins."""
    case = CASES[0]
    weights = {name: value.copy() for name, value in set_up(case).weights.items()}
    weights["image->h.x.bias"] = np.zeros(4 * 4 * 5)
    with pytest.raises(SnnError) as problem:
        snnlang.load(source(case, simulate=True)).run("shown", target="numpy", weights=weights)
    said = problem.value.diagnostics[0]
    assert said.code == "E841"
    assert "`image->h.x.bias` has one number for each of 80 neurons, and a convolution has one for each of its 4 channels" in said.message
    with pytest.raises(SnnError, match=r"`image->h.x.bias` is 80, and the network's is 4") as problem:
        snnlang.load(source(case)).network(target="numpy", weights=weights)
    assert problem.value.diagnostics[0].code == "E841"


def test_images_without_channels_have_one_bias() -> None:
    net = network(source({"channels": 1, "kernel": 3, "padding": 1}, shape="[6, 7]"))
    assert net.weights["image->h.x.bias"].shape == (1,)


def test_local_convolutions_have_a_bias_of_their_own_at_every_place() -> None:
    net = network(source(CASES[0]).replace("conv2d", "local2d"))
    assert net.weights["image->h.x.bias"].shape == (4 * 4 * 5,)
