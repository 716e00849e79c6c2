"""Optimizers, schedules and clipping step by step beside those of PyTorch, where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnlang.model.learning import OPTIMIZERS, SCHEDULES
from snnlang.runtime.optimizers import Optimizer, Schedule
from tests.targets import COMPILED, TARGETS

from .networks import images, network, text

torch = pytest.importorskip("torch")


def theirs(name: str, parameters: Any, o: dict[str, float]) -> Any:
    """The same optimizer with the same numbers."""
    optim = torch.optim
    match name:
        case "sgd":
            return optim.SGD(parameters, o["lr"], o["momentum"], weight_decay=o["weight_decay"], nesterov=bool(o["nesterov"]))
        case "rmsprop":
            return optim.RMSprop(parameters, o["lr"], o["alpha"], o["epsilon"], o["weight_decay"], o["momentum"])
        case _:
            made = {"adam": optim.Adam, "adamw": optim.AdamW, "adamax": optim.Adamax}[name]
            return made(parameters, o["lr"], (o["beta1"], o["beta2"]), o["epsilon"], o["weight_decay"])


CASES: list[tuple[str, dict[str, float]]] = [
    *((name, {}) for name in OPTIMIZERS),
    ("sgd", {"momentum": 0.9, "weight_decay": 0.01}),
    ("sgd", {"momentum": 0.9, "nesterov": 1.0}),
    ("adam", {"weight_decay": 0.05, "beta1": 0.8}),
    ("adamw", {"weight_decay": 0.3, "lr": 0.02}),
    ("adamax", {"weight_decay": 0.05}),
    ("rmsprop", {"momentum": 0.7, "alpha": 0.9, "weight_decay": 0.05}),
]


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_each_step(name: str, options: dict[str, float], compiled: bool) -> None:
    """Fifty steps: in double precision to rounding, in single within one rounding a step."""
    chosen = {**OPTIMIZERS[name], **options}
    cases: list[tuple[Any, float]] = [(np.float64, 1e-12), (np.float32, 50 * 2**-23)]
    for kind, tolerance in cases:
        random = np.random.default_rng(1)
        parameters = random.normal(size=300).astype(kind)
        tensor = torch.nn.Parameter(torch.from_numpy(parameters.copy()))
        ours, other = Optimizer(name, chosen, parameters, compiled), theirs(name, [tensor], chosen)
        for _ in range(50):
            gradient = random.normal(size=300).astype(kind) * kind(0.1)
            ours.step(gradient.copy())
            tensor.grad = torch.from_numpy(gradient)
            other.step()
            np.testing.assert_allclose(parameters, tensor.detach().numpy(), rtol=tolerance, atol=tolerance)


def rates(made: Any, steps: int, after: Any = None) -> list[float]:
    """Learning rates of a scheduler of PyTorch over so many steps, beginning with 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    scheduler = made(optimizer)
    found = []
    for step in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(*(() if after is None else (after[step],)))
    return found


def factors(name: str, count: int, per_epoch: int, last: int, **options: float) -> list[float]:
    schedule = Schedule(name, {**SCHEDULES[name], **options}, last, per_epoch)
    return [schedule.factor(step) for step in range(count)]


def test_schedules() -> None:
    lr = torch.optim.lr_scheduler
    assert factors("cosine", 30, 5, 6, floor=0.2) == pytest.approx(rates(lambda o: lr.CosineAnnealingLR(o, 30, eta_min=0.2), 30))
    assert factors("step", 30, 5, 6, epochs=2, factor=0.3) == pytest.approx(rates(lambda o: lr.StepLR(o, 10, 0.3), 30))
    assert factors("constant", 30, 5, 6, warmup=2) == pytest.approx(
        rates(lambda o: lr.LinearLR(o, start_factor=0.1, total_iters=9), 30)  # a tenth in the first of ten steps
    )


def test_plateau() -> None:
    losses = [1.0, 0.9, 0.95, 0.91, 0.9, 0.89, 0.5, 0.5, 0.6, 0.7, 0.5, 0.5, 0.49, 0.5, 0.5, 0.5]
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
    expected = rates(lambda o: plateau(o, factor=0.5, patience=2, min_lr=0.2), len(losses), losses)
    schedule = Schedule("plateau", {**SCHEDULES["plateau"], "factor": 0.5, "patience": 2, "floor": 0.2}, 9, 1)
    found = []
    for loss in losses:
        found.append(schedule.factor(0))
        schedule.epoch_ended(loss)
    assert found == pytest.approx(expected)
    assert min(found) < 0.6


@pytest.mark.parametrize("target", TARGETS)
def test_clipping(target: Any) -> None:
    """One step of a training whose gradients are clipped is that of ``clip_grad_norm_`` over all parameters together."""
    lines = """
population h[20]: Unit
population out[3]: Readout
connect image -> h.x: dense(bias = true)
connect h -> out.x: dense(bias = true)
"""
    x, y = images(8, 6), 20 * np.random.default_rng(0).normal(size=(8, 3))
    source = text(lines, more="clip = 0.5").replace("adam(lr = 0.01)", "sgd(lr = 0.1)")
    trained, still = network(source, target), network(source, target)
    _, gradients = still.grad(x, y)
    tensors = {name: torch.nn.Parameter(torch.from_numpy(value.copy())) for name, value in still.weights.items()}
    for name, tensor in tensors.items():
        tensor.grad = torch.from_numpy(gradients[name].copy())
    assert float(torch.nn.utils.clip_grad_norm_(tensors.values(), 0.5)) > 1
    torch.optim.SGD(tensors.values(), 0.1).step()
    trained.train(x, y, epochs=1)
    for name, tensor in tensors.items():
        np.testing.assert_allclose(trained.weights[name], tensor.detach().numpy(), rtol=1e-6, atol=1e-9, err_msg=name)
