"""Every neuron of the library: the backward pass is the adjoint of the derivative of the forward pass.

With resets detached and readouts of the neuron's own states, spikes are constants as long as none comes or goes: then what the forward pass
computes has a derivative J, and for each weight, parameter and initial state x and any numbers y of each step and neuron, <Jx, y> by finite
differences of the forward pass is <x, J'y> by the backward pass, and what both leave of a finite change falls with its square (Taylor).
The library's text is taken with every parameter and every initial state marked `trainable`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from snnlang.diagnostics import SnnError
from snnlang.runtime.engine_cells import Readout
from snnlang.runtime.learner import Learner
from tests.targets import TARGETS

from .networks import images, network, text

LIBRARY = Path(__file__).resolve().parents[2] / "stdlib"

#: Neuron -> the input that weights arrive at ("" for none), the weights.
NEURONS: dict[str, tuple[str, str]] = {
    "LIF": ("I", "uniform(0.1 nA, 2 nA)"),
    "AdaptiveLIF": ("I", "uniform(0.1 nA, 2 nA)"),
    "EscapeLIF": ("I", "uniform(0.1 nA, 2 nA)"),
    "IF": ("I", "uniform(0.1 nA, 1 nA)"),
    "SoftIF": ("I", "uniform(0.1 nA, 1 nA)"),
    "QIF": ("I", "uniform(0.1 nA, 1 nA)"),
    "EIF": ("I", "uniform(50 pA, 900 pA)"),
    "AdEx": ("I", "uniform(50 pA, 900 pA)"),
    "Izhikevich": ("I", "uniform(2 mV/ms, 12 mV/ms)"),
    "HodgkinHuxley": ("I", "uniform(2 uA/cm^2, 12 uA/cm^2)"),
    "CubaLIF": ("I", "uniform(2 mV, 12 mV)"),
    "Theta": ("I", "uniform(0.1, 1)"),
    "ALIF": ("x", "uniform(0.1, 0.8)"),
    "DLIF": ("x", "uniform(0.1, 0.8)"),
    "SoftDLIF": ("x", "uniform(0.1, 0.8)"),
    "DIF": ("x", "uniform(0.1, 0.8)"),
    "HardDIF": ("x", "uniform(0.1, 0.8)"),
    "DelayedLIF": ("x", "uniform(0.1, 0.8)"),
    "DelayedHardLIF": ("x", "uniform(0.1, 0.8)"),
    "EulerLIF": ("x", "uniform(0.1, 0.8)"),
    "SoftEulerLIF": ("x", "uniform(0.1, 0.8)"),
    "SumLIF": ("x", "uniform(0.1, 0.8)"),
    "SoftSumLIF": ("x", "uniform(0.1, 0.8)"),
    "LowPassLIF": ("x", "uniform(0.1, 0.8)"),
    "SoftLowPassLIF": ("x", "uniform(0.1, 0.8)"),
    "SecondOrderLIF": ("x", "uniform(0.1, 0.8)"),
    "EscapeDLIF": ("x", "uniform(0.1, 0.8)"),
    "PSCLIF": ("I", "uniform(0.1, 0.8)"),
    "SRM0": ("h", "uniform(0.1, 0.8)"),
    "CumulativeSRM": ("h", "uniform(0.1, 0.8)"),
    "CCNN": ("S", "uniform(0.1, 0.8)"),
    "PCNN": ("S", "uniform(0.1, 0.8)"),
    "SimplePCNN": ("S", "uniform(0.1, 0.8)"),
    "ICM": ("S", "uniform(0.1, 0.8)"),
    "Modulator": ("source", "uniform(10 Hz, 80 Hz)"),
    "StepCurrent": ("", ""),
    "SineCurrent": ("", ""),
    "NoiseCurrent": ("", ""),
    "Direct": ("x", "uniform(0.1, 0.8)"),
    "BurstIF": ("x", "uniform(0.1, 0.8)"),
    "RankReceiver": ("x", "uniform(0.1, 0.8)"),
    "SendOnDelta": ("x", "uniform(0.1, 0.8)"),
}
#: Trained by a backward pass of their own, which is no derivative: test_tssl_bp.py and test_spike_bp.py.
WRITTEN = {"TSSLBP", "SpikeBP", "SpikeBPReadout"}
#: Nothing but events, or values that change by steps: between two steps the derivative is 0, at one the surrogate stands for it.
STEPPED = {
    "Parrot", "SpikeSource", "Poisson", "Bernoulli", "Regular", "Difference", "BernoulliRate", "SignedRate", "PoissonRate", "RegularRate",
    "GaussianRate", "GaussianField", "Burst", "LinearLatency", "LogLatency", "ChargeLatency", "PhaseBits", "Oscillation",
}  # fmt: skip
#: Looks at its whole population in the same step, which is refused.
REFUSED = {"RankOrder"}
#: Parameters of which no number with a derivative is made: times that are counted in steps, and what a variant leaves unused.
WITHOUT = {
    "t_ref": {"LIF", "AdaptiveLIF", "EscapeLIF", "IF", "SoftIF", "QIF", "EIF", "AdEx", "CubaLIF"},
    "v_reset": {"SoftSumLIF", "SoftLowPassLIF"},
    "start": {"SendOnDelta", "StepCurrent"},  # of a current: when it begins, which moves it by whole steps
}


def library() -> dict[str, Path]:
    """Every neuron and encoder with the file that it stands in."""
    files = sorted([*LIBRARY.glob("neurons/*.snn"), *LIBRARY.glob("encoders/*.snn")])
    return {name: file for file in files for name in re.findall(r"^neuron (\w+)", file.read_text(), re.MULTILINE)}


def test_every_neuron_is_here() -> None:
    assert set(library()) == set(NEURONS) | WRITTEN | STEPPED | REFUSED


def trainable(file: Path) -> str:
    """The text of a file and of those it imports, all that can be trained marked so."""
    source = file.read_text()
    above = "".join(trainable(file.parent / f"{other}.snn") for other in re.findall(r"^from \.(\w+) import", source, re.MULTILINE))
    source = re.sub(r"^from .*$", "", source, flags=re.MULTILINE)
    source = re.sub(r"^( +)((?:override )?)param (\w)", r"\1\2trainable param \3", source, flags=re.MULTILINE)
    return above + re.sub(r"^( +)((?:port )?)state (\w)", r"\1trainable \2state \3", source, flags=re.MULTILINE)


def program(neuron: str, more: str = "") -> str:
    where, weights = NEURONS[neuron]
    source = trainable(library()[neuron])
    entrance = f"connect image -> out.{where}: dense, w = {weights}" if where else "image -> dense(2) -> side: Reader"
    frozen = [name for name, of in WITHOUT.items() if neuron in of]
    return text(
        f"population out[4]: {neuron}\n{entrance}\npopulation read[4]: Reader",
        size=3,
        steps=8,
        loss="mean(sum(out.u), over = neurons)" if "SRM" in neuron else "mean(read.r)",  # whose only states are responses
        surrogate="atan(alpha = 2), reset = detach",
        more=more or "\n".join(f"freeze out.{name}" for name in frozen),
        neurons=source + "\nneuron Reader:\n    input x = 0\n    state r = 0\n    r[n] = r[n-1] + x[n]\n    output r\n",
    )


def readouts(learner: Learner) -> list[Readout]:
    """All real states and values of the neuron, in every step."""
    found = [learner.plan.arrays[name] for name in learner.layers.cells["out"].outputs if name in learner.plan.arrays]
    return [learner.readout(f"out.{array.variable}") for array in found if array.type == "real" and array.variable]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("neuron", NEURONS)
def test_adjoint_of_the_derivative(neuron: str, target: Literal["c", "numpy"]) -> None:
    learner = network(program(neuron), target).learner
    asked = readouts(learner)
    assert asked
    engine = learner.make_engine(asked, frozenset(), True)
    inputs = {"image": np.ascontiguousarray(images(2, 3, 8).transpose(1, 0, 2))}
    start, random, seen = learner.parameters.copy(), np.random.default_rng(3), 0

    def forward(change: Any) -> dict[str, Any]:
        learner.parameters[...] = start + change
        learner.refresh()
        made = {name: value.copy() for name, value in engine.forward(inputs, sample=0).items()}
        learner.parameters[...] = start
        learner.refresh()
        return made

    for readout in asked:
        base = engine.forward(inputs, sample=0)
        y = random.normal(size=base[readout.label].shape)
        adjoints = {name: y if name == readout.label else np.zeros_like(value) for name, value in base.items()}
        learner.backward(engine, adjoints)
        gradient = learner.gradients.copy()
        for one in learner.trained:
            place, value = slice(one.start, one.stop), start[one.start : one.stop]
            if not np.all(np.isfinite(value)):
                continue
            x = np.zeros_like(start)
            x[place] = random.normal(size=value.size) * max(float(np.abs(value).max()), 0.1)
            h, expected = 1e-5, float(gradient @ x)
            around = float(np.linalg.norm(base[readout.label]) + np.linalg.norm(x)) * float(np.linalg.norm(y))

            def along(amount: float, x: Any = x, y: Any = y, label: str = readout.label) -> float:
                return float(np.sum(forward(amount * x)[label] * y))

            slope = (8 * (along(h) - along(-h)) - (along(2 * h) - along(-2 * h))) / (12 * h)
            assert expected == pytest.approx(slope, rel=1e-6, abs=1e-15 * around / h), (readout.label, one.name)
            seen += expected != 0
            middle = float(np.sum(base[readout.label] * y))
            rest = [abs(along(step) - middle - step * expected) for step in (4 * h, 2 * h)]
            assert rest[1] <= 0.3 * rest[0] + 4e-15 * around, (readout.label, one.name)
    assert seen


@pytest.mark.parametrize(("neuron", "parameter"), [("LIF", "t_ref"), ("SoftSumLIF", "v_reset")])
def test_without_a_derivative(neuron: str, parameter: str) -> None:
    """What only counts steps, and what nothing is computed from, is named where it is marked."""
    with pytest.raises(SnnError) as caught:
        network(program(neuron, "clip = 1"))
    assert caught.value.diagnostics[-1].code == "E786"
    assert f"`{parameter}` of `out`" in str(caught.value)
    assert f"freeze out.{parameter}" in str(caught.value)


def test_ranks_of_this_step_are_refused() -> None:
    source = text(
        "image -> one_to_one -> code: RankOrder -> dense(2) -> out: Readout",
        neurons="from stdlib.encoders import RankOrder\n" + "neuron Readout:\n    input x = 0\n    state v = 0\n    v[n] = v[n-1] + x\n",
    )
    with pytest.raises(SnnError, match=r"E750.*all\.rank"):
        network(source)
