"""Networks with synaptic states and delays, against the same networks written by hand for an independent automatic differentiation.

Here spikes, resets and everything that they do to synapses are differentiated with the surrogate, through loops too.
"""

from __future__ import annotations

from typing import Any, Literal

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad

import snnlang
from tests.targets import TARGETS

from .networks import images, network, text
from .synapses import MODELS
from .test_gradients import spike

STEPS, SAMPLES = 14, 4
DELAYS = np.array([[0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 5, 1]])
BACK = np.array([[1, 1, 1], [2, 2, 2], [1, 1, 1], [3, 3, 3]])


def listed(delays: Any) -> str:
    return "[" + ", ".join("[" + ", ".join(f"{delay} ms" for delay in row) + "]" for row in delays) + "]"


CURRENTS = f"""
population s[3]: Source
population out[4]: Membrane
connect image -> s.x: dense, w = uniform(0.3, 0.9)
connect e = s -> out.I: dense via Current, w = uniform(100 pA, 500 pA), delay = {listed(DELAYS)}
connect c = s -> out.I: dense via Reversal, w = uniform(1 nS, 4 nS), delay = 2 ms
"""
LOOP = f"""
population s[3]: Source
population out[4]: Membrane
connect image -> s.x: dense, w = uniform(0.3, 0.9)
connect r = s -> out.v: dense via Resources, w = uniform(1 mV, 6 mV), delay = {listed(DELAYS)}
connect tr = s -> s.x: dense via Trace, w = uniform(-0.2, 0.4)
connect b = out -> s.x: dense, w = uniform(0.1, 0.5), delay = {listed(BACK)}
"""

SIMULATE = f"""
simulate Net as raster:
    dt = 1 ms
    duration = {STEPS} ms
    seed = 3
    record s.spikes, out.spikes, out.v
"""


def exprel(x: Any) -> Any:
    return (anp.exp(x) - 1)/x


def source(w: Any, u: Any, s: Any, arrived: Any) -> tuple[Any, Any]:
    u = 0.8*u*(1 - s) + arrived
    return u, spike(u - 1.0)


def late(signals: list[Any], weight: Any, delays: Any, step: int) -> Any:
    """What arrives in a step from what was sent ``delays`` steps ago."""
    total = 0.0
    for steps in np.unique(delays):
        if step - steps >= 0:
            total = total + anp.dot(signals[step - int(steps)], weight*(delays == steps))
    return total


def currents(w: Any, x: Any, y: Any) -> Any:
    """A leaky membrane with a current and a conductance: each linear in its own variable, the others held (exponential Euler)."""
    u, s, sent = anp.zeros((SAMPLES, 3)), anp.zeros((SAMPLES, 3)), []
    v, i, g = -70.0 + anp.zeros((SAMPLES, 4)), anp.zeros((SAMPLES, 4)), anp.zeros((SAMPLES, 4))
    total = 0.0
    for step in range(STEPS):
        u, s = source(w, u, s, anp.dot(x[:, step], w["image->s.x.w"]))
        sent.append(s)
        slope = -(10.0 + g)/200.0
        rate = (10.0*(-70.0 - v) + i + g*(w["c.E_rev"] - v))/200.0
        v = v + rate*exprel(slope)
        i = i*anp.exp(-1/w["e.tau"]) + late(sent, w["e.w"], DELAYS, step)
        g = g*anp.exp(-1/w["c.tau"]) + late(sent, w["c.w"], np.full((3, 4), 2), step)
        fired = spike(v + 66.0)
        v = fired*-70.0 + (1 - fired)*v
        total = total + v
    return anp.mean((total/STEPS - y)**2)


def loop(w: Any, x: Any, y: Any) -> Any:
    """Short-term plasticity per pre neuron with delays of synapses, a trace within one population, and a way back."""
    zeros = anp.zeros((SAMPLES, 3))
    u, s, trace = zeros, zeros, zeros
    use, left = zeros, zeros + 1
    sent: list[Any] = []
    back: list[Any] = []
    v, total = -70.0 + anp.zeros((SAMPLES, 4)), 0.0
    before = zeros  # what the source fired one step ago: a loop without a delay takes a step
    for step in range(STEPS):
        arrived = anp.dot(x[:, step], w["image->s.x.w"]) + w["tr.A"]*anp.dot(trace, w["tr.w"])
        arrived = arrived + late([*back, 0*v], w["b.w"], BACK, step)
        trace = trace*anp.exp(-1/w["tr.tau"]) + before
        u, s = source(w, u, s, arrived)
        before = s
        use = use*anp.exp(-1/w["r.tau_facil"])
        left = 1 + (left - 1)*anp.exp(-1/w["r.tau_rec"])
        use = use + s*w["r.U"]*(1 - use)
        sent.append(s*use*left)
        left = left - s*use*left
        v = -70.0 + (v + 70.0)*anp.exp(-1/20.0) + late(sent, w["r.w"], DELAYS, step)
        fired = spike(v + 66.0)
        back.append(fired)
        v = fired*-70.0 + (1 - fired)*v
        total = total + v
    return anp.mean((total/STEPS - y)**2)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("checkpoint", ["", "\ncheckpoint = 6"], ids=["whole", "segments"])
@pytest.mark.parametrize(("lines", "independent"), [(CURRENTS, currents), (LOOP, loop)], ids=["currents", "loop"])
def test_against_autograd(lines: str, independent: Any, checkpoint: str, target: Literal["c", "numpy"]) -> None:
    # a surrogate as wide as the spike's own in test_gradients: 1/(1 + (pi*margin)^2)
    net = network(text(lines, size=3, steps=STEPS, more="dt = 1 ms" + checkpoint, neurons=MODELS), target)
    x, y = images(SAMPLES, 3, STEPS, seed=5), np.full((SAMPLES, 4), -68.0)
    weights = {name: np.array(value) for name, value in net.weights.items()}
    plain: dict[str, Any] = {name: value if value.shape else float(value) for name, value in weights.items()}
    loss, found = net.grad(x, y)
    assert loss == pytest.approx(float(independent(plain, x, y)), rel=1e-11)
    expected = grad(independent)(plain, x, y)
    assert set(found) == set(expected)
    for name, value in found.items():
        assert np.any(value != 0), name
        assert np.allclose(value, expected[name], rtol=1e-8, atol=1e-11), name


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("lines", [CURRENTS, LOOP], ids=["currents", "loop"])
def test_simulation_fires_as_training_did(lines: str, target: Literal["c", "numpy"]) -> None:
    """The forward pass of a training and a simulation with its weights give the same spikes, in float64."""
    source = text(lines, size=3, steps=STEPS, more="dt = 1 ms", neurons=MODELS)
    model = snnlang.load(source + SIMULATE)
    net = model.network(precision="float64", target="numpy")
    for value in net.weights.values():
        value[...] *= np.random.default_rng(3).uniform(0.8, 1.0, value.shape)
    net.learner.refresh()
    x = images(1, 3, seed=5)
    names = ["s.spikes", "out.spikes", "out.v"]
    engine = net.learner.make_engine([net.learner.readout(name) for name in names], frozenset({"image"}), False)
    wanted = engine.forward({"image": x}, keep=False)
    found = model.run("raster", target=target, weights=net.weights, data={"image": x[0]})
    np.testing.assert_allclose(found["out.v"], wanted["out.v"][:, 0], rtol=1e-10)
    for population in ("s", "out"):
        raster = np.zeros_like(wanted[f"{population}.spikes"][:, 0])
        times, indices = found.spikes(population)
        raster[np.rint(np.asarray(times)).astype(int) - 1, indices] = 1
        assert raster.sum() > 2
        assert np.array_equal(raster, wanted[f"{population}.spikes"][:, 0]), population
