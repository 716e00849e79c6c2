"""Encoders of the library in front of what is trained: they send what they send in a simulation, and the digits are learnt through them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import snnlang
from snnlang.diagnostics import SnnError
from snnlang.runtime.compiler import find
from tests.targets import TARGETS

NET = """
from stdlib.encoders import {name}
neuron Sum:
    input x = 0
    state u = 0
    u[n] = u[n-1] + x

network Net:
    input image[{size}]
    population code[{coded}]: {model}
    connect image -> code.x: {pattern}
    connect code -> out.x: dense(bias = true), w = uniform(-1, 1)
    population out[10]: Sum

train Net:
    data = {data}
    steps = 12
    dt = 1 ms
    loss = cross_entropy(u_end(out.u), label)
    optimizer = adam(lr = 0.01)
    epochs = 4
    target = {target}
    threads = 1
    precision = float64

simulate Net as Shown:
    present given as image for 12 ms
    dt = 1 ms
    record code.{sent}
""".replace("u_end(out.u)", "end(out.u)/8")
#: Models, how they are connected, and what they send.
MODELS = {
    "Direct": "output",
    "BernoulliRate": "spikes",
    "SignedRate": "output",
    "PoissonRate(rate_max = 400 Hz)": "spikes",
    "RegularRate": "spikes",
    "LinearLatency(steps = 10)": "spikes",
    "LogLatency(steps = 10)": "spikes",
    "ChargeLatency": "spikes",
    "PhaseBits": "output",
    "Oscillation(period = 10 ms)": "spikes",
    "Burst": "spikes",
    "BurstIF": "output",
    "GaussianField": "spikes",
    "GaussianRate": "spikes",
}
DRAWN = ("BernoulliRate", "SignedRate", "PoissonRate", "GaussianRate")


def written(model: str, target: str, data: str, size: str, coded: str) -> Any:
    name = model.partition("(")[0]
    pattern = "dense, w = 1" if name.startswith("Gaussian") else "one_to_one"
    sent = MODELS[model]
    return snnlang.load(
        NET.format(name=name, model=model, target=target, data=data, size=size, coded=coded, pattern=pattern, sent=sent)
    )


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("model", list(MODELS))
def test_what_is_sent(model: str, target: str) -> None:
    """The readout is the weighted sum of everything that a simulation of the same network records of the encoder."""
    field = model.startswith("Gaussian")
    given = np.array([[0.3]]) if field else np.array([[0.9, 0.05, 0.5, 0.3, 0.0]])
    opened = written(model, target, "mine", str(given.shape[1]), "8" if field else "5")
    net = opened.network()
    found = net.forward(given)
    (readout,) = found.values()
    end = readout[-1] if readout.ndim == 3 else readout
    recording = opened.run("Shown", data={"given": given}, target="interpreter", progress=False)
    if MODELS[model] == "output":
        total = recording["code.output"].sum(axis=0)
    else:
        total = recording.counts("code")
    if model.partition("(")[0] in DRAWN:  # other draws: a sum of 12 steps that are all counted
        scale = net.weights["code->out.x.w"]
        sums = np.linalg.lstsq(scale.T, (end - 12 * net.weights["code->out.x.bias"]).reshape(-1), rcond=None)[0]
        np.testing.assert_allclose(sums, np.rint(sums), atol=1e-9)
        assert np.abs(sums).max() <= 12
        return
    expected = total @ net.weights["code->out.x.w"] + 12 * net.weights["code->out.x.bias"]
    np.testing.assert_allclose(end.reshape(-1), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("model", [model for model in MODELS if not model.startswith("Gaussian")])
def test_digits_are_learnt(model: str) -> None:
    pytest.importorskip("sklearn")
    target = "c" if find() is not None else "numpy"
    history = written(model, target, "digits()", "8, 8", "8, 8").network().train()
    assert history.epochs[-1].accuracy is not None
    assert history.epochs[-1].accuracy > 0.75, [epoch.accuracy for epoch in history.epochs]


def test_ranks_are_refused_at_their_place() -> None:
    """The rank of a value among all values of this step is no part of a backward pass."""
    MODELS["RankOrder"] = "spikes"
    try:
        with pytest.raises(SnnError) as problem:
            written("RankOrder", "numpy", "mine", "5", "5").network()
    finally:
        del MODELS["RankOrder"]
    found = problem.value.diagnostics[0]
    assert found.code == "E750"
    assert "all.rank" in found.message
    assert found.span is not None
