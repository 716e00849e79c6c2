"""Synapses against closed forms (catalogue S1 to S9)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]

PASSIVE = "LIF(v_rest = 0 mV, v_reset = 0 mV, v_th = 1000 mV, R = 1 GOhm, tau_m = 20 ms)"


def test_delta(run: Run) -> None:
    """A jump of w, undecayed at its arrival; two spikes 10 ms apart add to 1 + exp(-0.5)."""
    text = f"""
from stdlib.neurons import LIF, Regular
from stdlib.synapses import Delta
network Net:
    population source[1]: Regular(start = 5 ms, period = 10 ms, stop = 16 ms)
    population cell[1]: {PASSIVE}
    connect source -> cell.v: dense via Delta, w = 1 mV
simulate Net:
    dt = 0.5 ms
    duration = 40 ms
    record cell.v
"""
    recording = run(text)
    t, v = recording.times("cell.v"), recording["cell.v"][:, 0]
    expected = np.where(t >= 5, np.exp(-(t - 5) / 20), 0) + np.where(t >= 15, np.exp(-(t - 15) / 20), 0)
    assert v == pytest.approx(expected, abs=1e-12)
    assert v.max() == pytest.approx(1.6065, abs=1e-4)


@pytest.mark.parametrize("tau_s", [5.0, 20.0])
def test_exponential_current_in_the_neuron_is_exact(run: Run, tau_s: float) -> None:
    """w*tau_s/(tau_m - tau_s)*(exp(-t/tau_m) - exp(-t/tau_s)), and w*(t/tau)*exp(-t/tau) for equal time constants."""
    text = f"""
from stdlib.neurons import CubaLIF, Regular
network Net:
    population source[1]: Regular(start = 1 ms, period = 1 s)
    population cell[1]: CubaLIF(v_rest = 0 mV, v_reset = 0 mV, v_th = 1000 mV, tau_e = {tau_s} ms)
    connect source -> cell.g_e: dense, w = 1 mV
simulate Net:
    dt = 0.25 ms
    duration = 60 ms
    record cell.v, cell.g_e
"""
    recording = run(text)
    s = np.clip(recording.times("cell.v") - 1.0, 0, None)
    if tau_s == 20.0:
        expected = s / 20 * np.exp(-s / 20)
    else:
        expected = tau_s / (20 - tau_s) * (np.exp(-s / 20) - np.exp(-s / tau_s))
        assert recording["cell.v"].max() == pytest.approx(0.157490, rel=1e-4)
    assert recording["cell.v"][:, 0] == pytest.approx(expected, abs=1e-10)
    assert recording["cell.g_e"][4:, 0] == pytest.approx(np.exp(-s[4:] / tau_s), abs=1e-10)


CURRENT = f"""
from stdlib.neurons import LIF, Regular
from stdlib.synapses import Exponential, Alpha, BiExponential
network Net:
    population source[1]: Regular(start = 1 ms, period = 1 s)
    population exponential[1]: {PASSIVE}
    population alpha[1]: {PASSIVE}
    population rising[1]: {PASSIVE}
    connect e = source -> exponential.I: dense via Exponential(tau = 5 ms), w = 1 pA
    connect a = source -> alpha.I: dense via Alpha(tau = 5 ms), w = 1 pA
    connect b = source -> rising.I: dense via BiExponential(tau_rise = 5 ms, tau_decay = 20 ms), w = 1 pA
simulate Net:
    dt = 0.05 ms
    duration = {{duration}} ms
    record exponential.v, alpha.v, rising.v, e.i, a.i, b.slow, b.fast
"""


def test_currents(run_numpy: Run) -> None:
    recording = run_numpy(CURRENT.format(duration=150))
    t = recording.times("alpha.v") - 1.0
    i = recording["a.i"][:, 0]
    assert i.max() == pytest.approx(1.0, rel=1e-3)  # the peak is w, not w/e
    assert t[i.argmax()] == pytest.approx(5.0, abs=0.11)
    assert i.sum() * 0.05 == pytest.approx(13.5914, rel=5e-3)  # e*tau
    v = recording["alpha.v"][:, 0]
    assert v.max() == pytest.approx(0.375632, rel=5e-3)
    assert t[v.argmax()] == pytest.approx(15.578, abs=0.15)
    v = recording["exponential.v"][:, 0]
    assert v.max() == pytest.approx(0.157490, rel=0.01)
    assert t[v.argmax()] == pytest.approx(9.242, abs=0.11)
    assert recording["e.i"].sum() * 0.05 == pytest.approx(5.0, rel=0.01)  # w*tau
    i = (recording["b.slow"] - recording["b.fast"])[:, 0]
    assert i.max() == pytest.approx(1.0, rel=1e-3)
    assert t[i.argmax()] == pytest.approx(20 * 5 / 15 * math.log(4), abs=0.11)


def test_currents_on_each_target(run: Run) -> None:
    recording = run(CURRENT.format(duration=12))
    t = np.clip(recording.times("alpha.v") - 1.0, 0, None)
    alpha = t / 5 * np.exp(1 - t / 5)
    assert recording["a.i"][:, 0] == pytest.approx(alpha, abs=0.03)
    norm = 1 / (4 ** (-1 / 3) - 4 ** (-4 / 3))
    assert (recording["b.slow"] - recording["b.fast"])[:, 0] == pytest.approx(norm * (np.exp(-t / 20) - np.exp(-t / 5)), abs=0.03)


def test_conductance(run: Run) -> None:
    """V_inf = (g_L*E_L + g*E)/(g_L + g), tau_eff = C/(g_L + g)."""
    text = """
from stdlib.neurons import LIF, Regular
from stdlib.synapses import Conductance
network Net:
    population source[1]: Regular(start = 1 s, period = 1 s)
    population cell[1]: LIF(v_rest = -65 mV, v_reset = -65 mV, v_th = 0 mV, R = 100 MOhm, tau_m = 20 ms)
    connect source -> cell.I: dense via Conductance(tau = 1e9 ms, E_rev = 0 mV, g = 5 nS)
simulate Net:
    dt = 0.1 ms
    duration = 200 ms
    record cell.v
"""
    recording = run(text)
    t, v = recording.times("cell.v"), recording["cell.v"][:, 0]
    assert v[-1] == pytest.approx(-43.3333, abs=1e-3)
    expected = -43.33333 + (-65 + 43.33333) * np.exp(-t / 13.33333)
    assert v == pytest.approx(expected, abs=0.1)


def test_reversal(run: Run) -> None:
    """Excitation cannot pass its reversal potential; inhibition at its own has no effect on the membrane."""
    text = """
from stdlib.neurons import LIF, Regular
from stdlib.synapses import Conductance
network Net:
    population source[1]: Regular(start = 5 ms, period = 5 ms)
    population pulled[1]: LIF(v_th = 100 mV)
    population shunted[1]: LIF(v_rest = -70 mV)
    connect source -> pulled.I: dense via Conductance(E_rev = 0 mV), w = 500 nS
    connect source -> shunted.I: dense via Conductance(E_rev = -70 mV), w = 50 nS
simulate Net:
    dt = 0.02 ms
    duration = 30 ms
    record pulled.v, shunted.v
"""
    recording = run(text)
    assert -1.5 < recording["pulled.v"].max() <= 1e-6
    assert recording["shunted.v"] == pytest.approx(-70.0)


def test_magnesium_block(run: Run) -> None:
    text = """
from stdlib.synapses import magnesium_block
neuron Probe:
    param v = 0 mV
    output magnesium_block(v, 1)
network Net:
    population probe[5]: Probe(v = [-80 mV, -65 mV, -40 mV, 0 mV, 20 mV])
simulate Net:
    dt = 1 ms
    duration = 1 ms
    record probe.output
"""
    assert run(text)["probe.output"][0] == pytest.approx([0.024425, 0.059668, 0.230155, 0.781182, 0.925018], abs=1e-6)


def test_nmda_current(run: Run) -> None:
    """g*B(v)*(E - v) into cells so large that they stay at -65 and -40 mV: what they gain is its integral."""
    text = """
from stdlib.neurons import LIF, Regular
from stdlib.synapses import NMDA, SaturatingNMDA
network Net:
    population source[1]: Regular(start = 1 ms, period = 1 s)
    population cell[2]: LIF(v_rest = [-65 mV, -40 mV], v_th = 0 mV, R = 1 GOhm, tau_m = 1e6 ms)
    population gate[1]: LIF(v_rest = -65 mV, v_th = 0 mV, R = 1 GOhm, tau_m = 1e6 ms)
    connect fast = source -> cell.I: dense via NMDA, w = 1 nS
    connect slow = source -> gate.I: dense via SaturatingNMDA, w = 1 nS
simulate Net:
    dt = 0.1 ms
    duration = 31 ms
    record cell.v, fast.g, slow.s
"""
    recording = run(text)
    v = recording["cell.v"]
    gained = (v[-1] - v[0]) * 1e6  # pA*ms, as C = tau_m/R is 1e6 pF
    area = 100 * (1 - math.exp(-30 / 100))
    assert gained == pytest.approx([0.059668 * 65 * area, 0.230155 * 40 * area], rel=1e-3)
    assert recording["fast.g"][-1] == pytest.approx(math.exp(-30 / 100), rel=1e-6)
    s = recording["slow.s"][:, 0]
    assert 0.55 < s.max() < 1 - math.exp(-1.0) + 0.01  # one spike opens at most 1 - exp(-alpha*tau_rise)


def test_excitation_and_inhibition(run: Run) -> None:
    """Two inputs of 0.6 within 2 ms fire, and do not when 0.5 is taken away at the same time."""
    text = """
from stdlib.neurons import LIF, Regular
network Net:
    population up[2]: Regular(start = [5 ms, 7 ms], period = 1 s)
    population down[1]: Regular(start = 7 ms, period = 1 s)
    population cell[2]: LIF(v_rest = 0 mV, v_reset = 0 mV, v_th = 1 mV)
    connect up -> cell.v: dense, w = 0.6 mV
    connect down -> cell[1:2].v: dense, w = -0.5 mV
simulate Net:
    dt = 0.5 ms
    duration = 20 ms
    record cell.spikes
"""
    assert run(text).counts("cell").tolist() == [1, 0]


def test_delays(run: Run) -> None:
    """A spike at 1 ms with 5 ms and one at 5 ms with 1 ms arrive together, at 6 ms; without a delay, at once."""
    text = f"""
from stdlib.neurons import LIF, Regular
network Net:
    population source[3]: Regular(start = [1 ms, 5 ms, 3 ms], period = 1 s)
    population cell[1]: {PASSIVE}
    connect source[0:1] -> cell.v: dense, w = 1 mV, delay = 5 ms
    connect source[1:2] -> cell.v: dense, w = 1 mV, delay = 1 ms
    connect source[2:3] -> cell.v: dense, w = 0.1 mV
simulate Net:
    dt = 0.1 ms
    duration = 10 ms
    record cell.v
"""
    recording = run(text)
    t, v = recording.times("cell.v"), recording["cell.v"][:, 0]
    expected = 0.1 * np.where(t >= 2.95, np.exp(-(t - 3) / 20), 0) + 2 * np.where(t >= 5.95, np.exp(-(t - 6) / 20), 0)
    assert v == pytest.approx(expected, abs=1e-9)


def test_axonal_and_dendritic_delays_move_the_window(run: Run) -> None:
    """Pre at 1 ms with 10 ms of axon, post at 6 ms: depression at -5 ms. With 10 ms of dendrite instead: +15 ms."""
    text = """
from stdlib.neurons import LIF, Regular
from stdlib.plasticity import STDP
network Net:
    population pre[1]: Regular(start = 1 ms, period = 1 s)
    population teacher[1]: Regular(start = 6 ms, period = 1 s)
    population post[1]: LIF
    connect teacher -> post.v: dense, w = 30 mV
    connect axon = pre -> post.v: dense via STDP, w = 0.5, gain = 0.001 mV, delay = 10 ms
    connect dendrite = pre -> post.v: dense via STDP, w = 0.5, gain = 0.001 mV, dendritic = 10 ms
simulate Net:
    dt = 0.5 ms
    duration = 30 ms
    record axon.w, dendrite.w
"""
    recording = run(text)
    assert recording["axon.w"][-1].item() - 0.5 == pytest.approx(-0.0105 * math.exp(-5 / 20), rel=1e-9)
    assert recording["dendrite.w"][-1].item() - 0.5 == pytest.approx(0.01 * math.exp(-15 / 20), rel=1e-9)


SHORT_TERM = """
from stdlib.neurons import Regular
from stdlib.synapses import TsodyksMarkram
neuron Jumps:
    "Counts what it is given."
    port state v = 0 mV
    dv/dt = 0 mV/ms
network Net(interval = 200 ms, U = 0.5, tau_rec = 800 ms, tau_facil = 1 us):
    population source[1]: Regular(start = interval, period = interval)
    population cell[1]: Jumps
    connect source -> cell.v: dense via TsodyksMarkram(U = U, tau_rec = tau_rec, tau_facil = tau_facil), w = 1 mV
simulate Net:
    dt = 10 ms
    duration = 4 s
    record cell.v
"""


@pytest.mark.parametrize(
    ("parameters", "rate", "first", "settled"),
    [
        (("0.5", "800 ms", "1 us"), 5, [0.5, 0.3053, 0.2295, 0.2, 0.1885], 0.18113),
        (("0.5", "800 ms", "1 us"), 20, [0.5, 0.2651, 0.1548, 0.1030, 0.0787], 0.05713),
        (("0.5", "800 ms", "1 us"), 50, [0.5], 0.02410),
        (("0.15", "50 ms", "750 ms"), 20, [0.15, 0.2544, 0.3227, 0.3690, 0.4022], 0.51350),
        (("0.15", "50 ms", "750 ms"), 50, [0.15, 0.2466, 0.2892, 0.3003, 0.3003], 0.31423),
        (("0.45", "750 ms", "50 ms"), 5, [0.45], 0.18275),
    ],
)
def test_short_term_plasticity(
    run: Run, parameters: tuple[str, str, str], rate: int, first: list[float], settled: float
) -> None:
    U, rec, facil = parameters
    values = {"interval": f"{1000 // rate} ms", "U": U, "tau_rec": rec, "tau_facil": facil}
    jumps = np.diff(run(SHORT_TERM, set=values, duration="8 s")["cell.v"][:, 0], prepend=0.0)
    released = jumps[jumps > 1e-9]
    assert released[: len(first)] == pytest.approx(first, abs=6e-5)
    assert released[-1] == pytest.approx(settled, abs=2e-5)
