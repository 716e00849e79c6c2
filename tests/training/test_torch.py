"""A network as a module of PyTorch: its passes are checked by PyTorch's own gradcheck, and it learns in the midst of other layers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnlang.diagnostics import SnnError
from snnlang.runtime.network import Network

from .networks import READOUT, images, network, text

SMOOTH = f"""
neuron Smooth:
    trainable param beta = 0.7 in [0.1, 0.95]
    input x = 0
    state u = 0
    u[n] = beta*u[n-1] + tanh(x)
    output u
{READOUT}"""
TWO = """
population h[5]: Smooth
population out[3]: Readout
connect image -> h.x: dense, w = normal(0, 0.5)
connect h -> out.x: dense(bias = true), w = normal(0, 0.5)
"""
AROUND = TWO + "connect h -> h.x: dense, w = normal(0, 0.2), delay = 1\n"
SPIKING = """
population h[12]: Unit
population out[3]: Readout
connect image -> h.x: dense(bias = true), w = normal(0, 1)
connect h -> out.x: dense, w = normal(0, 0.5)
"""


@pytest.fixture
def torch() -> Any:
    """PyTorch, where it is installed."""
    return pytest.importorskip("torch")


def module(*of: Any, **options: Any) -> Any:
    """:func:`snnlang.torch.module`, which cannot be imported without PyTorch."""
    from snnlang.torch import module

    return module(*of, **options)


def smooth(lines: str = TWO, **options: Any) -> Network:
    return network(text(lines, size=4, neurons=SMOOTH, steps=3), "numpy", **options)


def test_without_torch_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')\n")
    root = Path(__file__).resolve().parents[2]
    script = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(root)!r}]\nimport snnlang.torch"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "E806" in done.stderr
    assert "pip install snnlang[torch]" in done.stderr


def test_gradcheck(torch: Any) -> None:
    """Inputs that stay the same and that change, readouts summed and in every step, a cycle: against finite differences in float64."""
    for lines in (TWO, AROUND):
        for label in ("out.v:mean", "out.v", "h.u", "out.v:end"):
            for steps in (None, 3):
                for first in (False, True):
                    of = module(smooth(lines), label, steps_first=first)
                    x = torch.from_numpy(images(2, 4, steps))
                    x = (x.transpose(0, 1) if first and steps else x).contiguous().requires_grad_()
                    assert torch.autograd.gradcheck(
                        lambda x, *_, of=of: of(x), (x, *of.parameters()), eps=1e-6, atol=1e-7
                    )
    both = module(smooth(), "out.v", "h.u:sum")
    assert torch.autograd.gradcheck(both, (torch.from_numpy(images(2, 4)).requires_grad_(),))


def test_outputs_that_arrive_late() -> None:
    """A connection of values with a delay, on a cycle, against the recurrence written out."""
    net = smooth(AROUND)
    net.weights["h.beta"][...] = 0.6
    net.learner.refresh()
    x = images(2, 4, 3)
    w, r = net.weights["image->h.x.w"].reshape(4, 5), net.weights["h->h.x.w"].reshape(5, 5)
    o, b = net.weights["h->out.x.w"].reshape(5, 3), net.weights["h->out.x.bias"]
    u, v, total = np.zeros((2, 5)), np.zeros((2, 3)), np.zeros((2, 3))
    for step in range(3):
        u = 0.6 * u + np.tanh(x[:, step] @ w + u @ r)
        v = 0.8 * v + u @ o + b
        total += v / 3
    np.testing.assert_allclose(net.forward(x)["out.v:mean"], total, rtol=1e-12)


def test_gradients_are_those_of_the_network(torch: Any) -> None:
    net = network(text(SPIKING, loss="cross_entropy(mean(out.v), label)"))
    x, y = images(6, 6), np.arange(6) % 3
    _, expected = net.grad(x, y)
    of = module(net)
    torch.nn.functional.cross_entropy(of(torch.from_numpy(x)), torch.from_numpy(y)).backward()
    for name, parameter in of.named_parameters():
        np.testing.assert_allclose(parameter.grad.numpy(), expected[of.names[name]], rtol=1e-9, atol=1e-12)


NORMALISED = (
    "image -> dense(5), w = normal(0, 0.5) -> batch_norm(over = time) -> h: Smooth"
    " -> dropout(p = 0.4) -> dense(3), w = normal(0, 0.5) -> batch_norm() -> out: Readout"
)


def test_batch_norm_and_dropout(torch: Any) -> None:
    """As in PyTorch: statistics of the batch and masks in training, running ones and no masks in ``eval``; buffers are the network's."""
    net = smooth(NORMALISED)
    of = module(net, "out.v")
    x = torch.from_numpy(images(4, 4, 3)).requires_grad_()
    measured = dict(of.named_buffers())
    assert sorted(value.shape[0] for value in measured.values()) == [3, 3, 5, 5]
    before = net.weights["image->h.x.mean"].copy()
    of(x).square().sum().backward()
    moved = net.weights["image->h.x.mean"].copy()
    assert np.any(moved != before)
    assert any(np.array_equal(value.numpy(), moved) for value in measured.values())
    of.eval()
    assert torch.equal(of(x), of(x))
    assert torch.autograd.gradcheck(lambda x, *_: of(x), (x, *of.parameters()), eps=1e-6, atol=1e-7)
    assert np.array_equal(net.weights["image->h.x.mean"], moved)
    of.train()
    net.learner.samples = 8  # the masks of these samples again and again
    kept = net.learner.snapshot()

    def again(x: Any, *_: Any) -> Any:
        net.learner.samples = 8
        return of(x)

    assert torch.autograd.gradcheck(again, (x, *of.parameters()), eps=1e-6, atol=1e-7)
    net.learner.restore(kept)
    first = again(x)
    with torch.no_grad():
        of(x)  # draws other masks, and nothing of it counts for the way back
    of.eval()
    of(x)
    of.train()
    (found,) = torch.autograd.grad(first.square().sum(), x)
    (expected,) = torch.autograd.grad(again(x).square().sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_several_inputs(torch: Any) -> None:
    """In their order or by name, one the same in every step and the other changing: gradients of both."""
    source = text(TWO + "connect second -> h.x: dense, w = normal(0, 0.5)\n", size=4, neurons=SMOOTH, steps=3)
    of = module(network(source.replace("input image[4]", "input image[4]\n    input second[2]", 1)), "out.v")
    a = torch.from_numpy(images(2, 4)).requires_grad_()
    b = torch.from_numpy(images(2, 2, 3)).requires_grad_()
    assert torch.autograd.gradcheck(of, (a, b), eps=1e-6, atol=1e-7)
    assert torch.equal(of(a, b), of(second=b, image=a))
    assert torch.equal(of(a, b), of(a, second=b))


def test_several_passes_before_one_backward(torch: Any) -> None:
    of = module(smooth(), "out.v:mean")
    a, b = (torch.from_numpy(images(3, 4, seed=seed)).requires_grad_() for seed in (1, 2))
    (of(a).square().sum() + of(b).sum()).backward()
    both = [parameter.grad.clone() for parameter in of.parameters()]
    of.zero_grad()
    of(a).square().sum().backward()
    of(b).sum().backward()
    for expected, parameter in zip(both, of.parameters()):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-12, atol=1e-14)


def test_between_layers_of_pytorch(torch: Any) -> None:
    """Linear, spikes, Linear: all of it learns, and the weights are the network's own."""
    torch.manual_seed(0)
    net = network(text(SPIKING), precision="float32")
    of = module(net, "out.v:mean")
    model = torch.nn.Sequential(torch.nn.Linear(9, 6), of, torch.nn.Linear(3, 3))
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(90, 9, generator=generator)
    y = torch.arange(90) % 3
    x[torch.arange(90), y] += 1.5
    before = {name: value.copy() for name, value in net.weights.items()}
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    assert (model(x).argmax(1) == y).float().mean() > 0.95
    assert all(parameter.grad is not None for parameter in model.parameters())
    for name, value in net.weights.items():
        assert not np.array_equal(value, before[name])
    with torch.no_grad():
        assert not model(x).requires_grad
    scores = net.forward(model[0](x).detach().numpy())
    label = next(iter(scores))
    np.testing.assert_allclose(scores[label], of(model[0](x)).detach().numpy(), rtol=1e-6)


def test_memory_is_shared(torch: Any, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    net = smooth()
    of = module(net)
    name = next(n for n, user in of.names.items() if user.endswith("x.w"))
    with torch.no_grad():
        getattr(of, name).fill_(0.25)
    assert np.all(net.weights[of.names[name]] == 0.25)
    assert np.from_dlpack(getattr(of, name).detach()).ctypes.data == net.weights[of.names[name]].ctypes.data
    state = {key: value.clone() for key, value in of.state_dict().items()}
    with torch.no_grad():
        for parameter in of.parameters():
            parameter.zero_()
    for assign in (False, True):
        of.load_state_dict(state, assign=assign)
        assert np.all(net.weights[of.names[name]] == 0.25)
    of.double().float().to("meta")
    x = torch.from_numpy(images(2, 4))
    assert of(x).dtype == torch.float64  # its own precision
    np.testing.assert_allclose(of(x.float()).detach().numpy(), of(x).detach().numpy(), rtol=1e-6)
    given = {key: value * 2 for key, value in of.state_dict().items()}
    doubled = torch.func.functional_call(of, given, (x,))
    assert not torch.equal(doubled, of(x))
    assert np.all(net.weights[of.names[name]] == 0.25)  # as before


def test_parameters_are_put_back_into_their_bounds(torch: Any) -> None:
    of = module(smooth(), "out.v:mean")
    with torch.no_grad():
        of.h_beta.fill_(7.0)
    x = torch.from_numpy(images(2, 4))
    changed = of(x)
    assert of.h_beta.item() == pytest.approx(0.95)
    with torch.no_grad():
        of.h_beta.fill_(0.95)
    torch.testing.assert_close(of(x), changed)


def test_what_is_refused(torch: Any) -> None:
    of = module(smooth(), "out.v")
    x = torch.from_numpy(images(2, 4))
    wrong: tuple[tuple[Callable[[], Any], str], ...] = (
        (lambda: of(x, x), "E843"),
        (lambda: of(second=x), "E843"),
        (lambda: of(x.to(torch.complex64)), "E843"),
        (lambda: of(x.to_sparse()), "E843"),
        (lambda: of(x[:, :3]), "E753"),
        (lambda: module(smooth(), "out.w"), "E751"),
        (lambda: module(smooth(), "nobody.v"), "E751"),
        (lambda: module(smooth(), "out.v:middle"), "E751"),
    )
    for call, code in wrong:
        with pytest.raises(SnnError) as problem:
            call()
        assert problem.value.diagnostics[0].code == code
        assert problem.value.diagnostics[0].help
    y = of(x)
    with torch.no_grad():
        next(of.parameters()).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_arrays_by_dlpack(torch: Any) -> None:
    """Every array that comes out is one that others take without a copy."""
    net = smooth()
    for value in (*net.weights.values(), *net.forward(images(2, 4)).values()):
        taken = torch.from_dlpack(value)
        assert taken.data_ptr() == value.ctypes.data
    taken, own = (next(iter(net.forward(x).values())) for x in (torch.from_numpy(images(2, 4)), images(2, 4)))
    assert np.array_equal(taken, own)
