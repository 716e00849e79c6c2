"""Optimizers against the formulas of their papers, compiled against NumPy, and schedules against closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from snnlang.model.learning import OPTIMIZERS, SCHEDULES
from snnlang.runtime.optimizers import Optimizer, Schedule
from tests.targets import COMPILED


def published(name: str, o: dict[str, float], p: float, gradients: list[float]) -> float:
    """One parameter after some updates, from the published algorithms, one number at a time."""
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        if name != "adamw":
            g = g + o["weight_decay"] * p
        match name:
            case "sgd":
                m = o["momentum"] * m + g
                p = p - o["lr"] * (g + o["momentum"] * m if o["nesterov"] else m)
            case "rmsprop":
                v = o["alpha"] * v + (1 - o["alpha"]) * g**2
                m = o["momentum"] * m + g / (math.sqrt(v) + o["epsilon"])
                p = p - o["lr"] * m
            case _:
                m = o["beta1"] * m + (1 - o["beta1"]) * g
                corrected = m / (1 - o["beta1"] ** t)
                if name == "adamax":
                    v = max(o["beta2"] * v, abs(g) + o["epsilon"])
                    p = p - o["lr"] * corrected / v
                    continue
                v = o["beta2"] * v + (1 - o["beta2"]) * g**2
                if name == "adamw":
                    p = p - o["lr"] * o["weight_decay"] * p
                p = p - o["lr"] * corrected / (math.sqrt(v / (1 - o["beta2"] ** t)) + o["epsilon"])
    return p


CASES: list[tuple[str, dict[str, float]]] = [
    *((name, {}) for name in OPTIMIZERS),
    ("sgd", {"momentum": 0.9}),
    ("sgd", {"momentum": 0.9, "nesterov": 1.0, "weight_decay": 0.1}),
    ("adam", {"weight_decay": 0.1, "beta1": 0.5}),
    ("adamw", {"weight_decay": 0.1, "lr": 0.05}),
    ("adamax", {"weight_decay": 0.1}),
    ("rmsprop", {"momentum": 0.5, "weight_decay": 0.1}),
]


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_updates_follow_the_papers(name: str, options: dict[str, float], compiled: bool) -> None:
    chosen = {**OPTIMIZERS[name], **options}
    random = np.random.default_rng(5)
    start, gradients = random.normal(size=7), random.normal(size=(6, 7))
    parameters = start.copy()
    optimizer = Optimizer(name, chosen, parameters, compiled)
    for gradient in gradients:
        optimizer.step(gradient.copy())
    expected = [published(name, chosen, float(start[i]), [float(g) for g in gradients[:, i]]) for i in range(7)]
    assert np.allclose(parameters, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_rate_and_scale_multiply(name: str, compiled: bool) -> None:
    """A rate of 1/2 is half the learning rate, a scale of 3 is three times the gradient; the memory is all that goes on."""
    options: dict[str, Any] = dict(OPTIMIZERS[name])
    gradient = np.linspace(-1, 1, 6)
    first, second = np.linspace(1, 2, 6), np.linspace(1, 2, 6)
    Optimizer(name, options, first, compiled).step(gradient, rate=0.5, scale=3.0)
    Optimizer(name, {**options, "lr": options["lr"] / 2}, second, compiled).step(3 * gradient)
    assert np.allclose(first, second, rtol=1e-14)


def factors(name: str, count: int, per_epoch: int, last: int, **options: float) -> list[float]:
    schedule = Schedule(name, {**SCHEDULES[name], **options}, last, per_epoch)
    return [schedule.factor(step) for step in range(count)]


def test_schedules_of_the_step() -> None:
    assert factors("constant", 4, 2, 2) == [1, 1, 1, 1]
    assert factors("constant", 4, 2, 2, warmup=2) == [0.25, 0.5, 0.75, 1]
    assert factors("step", 6, 2, 3, epochs=1, factor=0.5) == [1, 1, 0.5, 0.5, 0.25, 0.25]
    expected = [0.1 + 0.9 * (1 + math.cos(math.pi * step / 8)) / 2 for step in range(9)]
    assert factors("cosine", 9, 4, 2, floor=0.1) == pytest.approx(expected)


def test_plateau_waits_for_its_patience() -> None:
    schedule = Schedule("plateau", {**SCHEDULES["plateau"], "patience": 1.0, "floor": 0.2}, 9, 1)
    found = []
    for loss in [1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]:
        schedule.epoch_ended(loss)
        found.append(schedule.factor(0))
    assert found == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.2]
