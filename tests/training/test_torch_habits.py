"""What people do with modules of PyTorch, done with ours: copied, averaged, compiled, saved, in other precisions; and its data sets."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnlang.diagnostics import SnnError

from .networks import network, text
from .test_torch import SPIKING, TWO, smooth

torch = pytest.importorskip("torch")


def model(**options: Any) -> Any:
    """A network between layers of PyTorch."""
    import snnlang.torch

    torch.manual_seed(0)
    spiking = snnlang.torch.module(smooth(TWO, **options), "out.v:mean")
    return torch.nn.Sequential(torch.nn.Linear(6, 4), spiking, torch.nn.Linear(3, 2)).double()


def step(of: Any, x: Any, y: Any, rate: float = 0.3) -> float:
    optimizer = torch.optim.SGD(of.parameters(), rate)
    loss = torch.nn.functional.cross_entropy(of(x), y)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def data(rows: int = 12) -> tuple[Any, Any]:
    random = np.random.default_rng(1)
    return torch.from_numpy(random.normal(size=(rows, 6))), torch.from_numpy(random.integers(0, 2, rows))


def test_a_copy_has_a_network_of_its_own() -> None:
    first, (x, y) = model(), data()
    first[1].hidden = None
    first[1].h_beta.requires_grad_(False)
    first.eval()
    step(first, x, y)
    other = copy.deepcopy(first)
    assert not other[1].training
    assert not other[1].h_beta.requires_grad
    assert other[1].net is not first[1].net
    before = first(x).detach()
    assert torch.equal(other(x), before)
    for parameter in other.parameters():
        parameter.grad = None
    step(other, x, y)
    assert torch.equal(first(x), before)
    assert not torch.equal(other(x), before)
    name, value = next(iter(other[1].net.weights.items()))
    assert not np.array_equal(value, first[1].net.weights[name])
    step(other, x, y), step(first, x, y)


def test_averages_of_models() -> None:
    from torch.optim.swa_utils import AveragedModel

    of, (x, y) = model(), data()
    averaged = AveragedModel(of)
    seen = []
    for _ in range(2):
        step(of, x, y)
        averaged.update_parameters(of)
        seen.append([parameter.detach().clone() for parameter in of.parameters()])
    for parameter, one, two in zip(averaged.module.parameters(), *seen, strict=True):
        assert torch.allclose(parameter, (one + two) / 2)
    assert averaged(x).shape == (12, 2)


def test_what_comes_out_has_the_precision_of_what_came_in() -> None:
    """Layers behind it are as those before; the passes themselves have the network's."""
    import snnlang.torch

    single = snnlang.torch.module(network(text(TWO.replace("Smooth", "Unit"), size=4), "numpy", "float32"), "out.v:mean")
    x = torch.rand(5, 4)
    for kind in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        given = x.to(kind).clone().requires_grad_()
        made = single(given)
        assert made.dtype == kind
        assert torch.allclose(made.double(), single(given.float()).double(), atol=1e-2)
        made.sum().backward()
        assert given.grad is not None
        assert given.grad.dtype == kind
    assert single(torch.ones(5, 4, dtype=torch.int64)).dtype == torch.float32
    deep = torch.nn.Sequential(torch.nn.Linear(6, 4), single, torch.nn.Linear(3, 2)).double()
    assert deep(torch.rand(3, 6).double()).dtype == torch.float64


def test_compiled_models_call_it() -> None:
    of, (x, y) = model(), data()
    plain = of(x)
    compiled = torch.compile(of, backend="eager")
    assert torch.allclose(compiled(x), plain)
    assert step(compiled, x, y) == pytest.approx(float(torch.nn.functional.cross_entropy(plain, y).detach()))


def test_it_is_saved_without_a_pickle(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    of, (x, y) = model(), data()
    step(of, x, y)
    safetensors.save_file(of.state_dict(), tmp_path / "m.safetensors")
    other = model(seed=8)
    assert not torch.allclose(other(x), of(x))
    other.load_state_dict(safetensors.load_file(tmp_path / "m.safetensors"))
    assert torch.equal(other(x), of(x))
    for write in (lambda: torch.save(of, io.BytesIO()), lambda: pickle.dumps(of)):
        with pytest.raises(SnnError) as problem:
            write()
        assert problem.value.diagnostics[0].code == "E844"


def test_values_that_are_not_finite_are_said() -> None:
    """A test of an event is false for them, so that a network would give numbers that mean nothing."""
    of = model()
    with torch.no_grad():
        of[0].weight[0, 0] = float("nan")
    with pytest.raises(SnnError) as problem:
        of(data()[0])
    assert problem.value.diagnostics[0].code == "E628"


def test_what_is_no_network() -> None:
    import snnlang.torch

    with pytest.raises(SnnError) as problem:
        snnlang.torch.module(torch.nn.Linear(2, 2))  # type: ignore[arg-type, unused-ignore]
    assert problem.value.diagnostics[0].code == "E843"
    assert "Linear is no network of snnlang" in str(problem.value)


def test_data_sets_of_pytorch_train_a_network() -> None:
    """Tensors, data sets and parts of them; a loader has made batches already, and says so."""
    source = text(SPIKING, loss="cross_entropy(mean(out.v), label)")
    random = np.random.default_rng(2)
    x, y = random.uniform(0, 1, (30, 6)).astype(np.float32), np.arange(30) % 3
    expected = [epoch.loss for epoch in network(source).train(x, y).epochs]
    tensors = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    for given in ((torch.from_numpy(x), torch.from_numpy(y)), tensors, torch.utils.data.Subset(tensors, range(30))):
        pair = given if isinstance(given, tuple) else (given,)
        history = network(source).train(*pair, validation=given)
        assert [epoch.loss for epoch in history.epochs] == pytest.approx(expected, rel=1e-6)
    for wrong, code, words in (
        ((torch.utils.data.DataLoader(tensors, 10),), "E629", "a DataLoader gives batches"),
        ((torch.from_numpy(x).requires_grad_(), y), "E628", "requires grad"),
    ):
        with pytest.raises(SnnError) as problem:
            network(source).train(*wrong)
        assert problem.value.diagnostics[0].code == code
        assert words in str(problem.value)
    with pytest.raises(SnnError) as problem:
        network(source).forward(torch.from_numpy(x).requires_grad_())
    assert "`x.detach()`" in str(problem.value)
