"""Learning rules against closed forms and reference protocols (catalogue L1 to L4, L10)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

Run = Callable[..., Any]

# Pre and post spikes at given times: teachers that make posts fire in the step their spike arrives. Times are in ms.
SCRIPT = """
from stdlib.neurons import LIF
from stdlib.plasticity import {rule}
neuron Script:
    "Spikes at up to three times."
    param first: ms = inf
    param second: ms = inf
    param third: ms = inf
    spike when abs(t - first) < dt/2 or abs(t - second) < dt/2 or abs(t - third) < dt/2
network Net:
    population pre[{n}]: Script(first = {pre[0]}, second = {pre[1]}, third = {pre[2]})
    population teacher[{n}]: Script(first = {post[0]}, second = {post[1]}, third = {post[2]})
    population post[{n}]: LIF(t_ref = 0 ms)
    connect teacher -> post.v: one_to_one, w = 50 mV
    connect plastic = pre -> post.v: one_to_one via {rule}{arguments}, w = 0.5, gain = 0.001 mV
simulate Net:
    dt = {dt} ms
    duration = {duration} ms
    record pre.spikes, post.spikes, plastic.w
"""

Times = Sequence[tuple[float, ...]]


def change(run: Run, rule: str, pre: Times, post: Times, arguments: str = "", dt: float = 1.0) -> list[float]:
    """What becomes of each weight when pre k and post k spike at these times."""

    def lists(times: Times) -> list[str]:
        columns = [[row[k] if k < len(row) else math.inf for row in times] for k in range(3)]
        return ["[" + ", ".join("inf" if math.isinf(t) else f"{t + 50} ms" for t in column) + "]" for column in columns]

    duration = 60 + max(t for row in (*pre, *post) for t in row)
    text = SCRIPT.format(
        rule=rule, n=len(pre), pre=lists(pre), post=lists(post), arguments=arguments, dt=dt, duration=duration
    )
    recording = run(text)
    assert recording.counts("pre").tolist() == [len(row) for row in pre]
    assert recording.counts("post").tolist() == [len(row) for row in post]
    final: list[float] = (recording["plastic.w"][-1] - 0.5).tolist()
    return final


def test_window(run: Run) -> None:
    distances = [1.0, 5.0, 10.0, 20.0, 40.0]
    zero, late = [(0.0,)] * 5, [(d,) for d in distances]
    up = [0.0095123, 0.0077880, 0.0060653, 0.0036788, 0.0013534]
    down = [-0.0099879, -0.0081774, -0.0063686, -0.0038627, -0.0014210]
    assert change(run, "STDP", zero, late) == pytest.approx(up, abs=6e-8)
    assert change(run, "STDP", late, zero) == pytest.approx(down, abs=6e-8)


def test_time_constants_are_not_swapped(run: Run) -> None:
    arguments = "(tau_pre = 17 ms, tau_post = 34 ms)"
    up = change(run, "STDP", [(0.0,)], [(10.0,)], arguments)
    down = change(run, "STDP", [(10.0,)], [(0.0,)], arguments)
    assert up == pytest.approx([0.01 * math.exp(-10 / 17)])
    assert down == pytest.approx([-0.0105 * math.exp(-10 / 34)])


@pytest.mark.parametrize("rule", ["STDP", "NearestSTDP"])
def test_coincidences_do_not_pair(run: Run, rule: str) -> None:
    assert change(run, rule, [(0.0,)], [(0.0,)]) == pytest.approx([0.0], abs=1e-15)


PRE: Times = [(0, 10), (10,), (0, 10, 20), (0,)]
POST: Times = [(15,), (0, 20), (5, 15, 25), (5, 10)]


def test_all_pairs_and_nearest(run: Run) -> None:
    assert change(run, "STDP", PRE[:3], POST[:3]) == pytest.approx([0.0125117, -0.00030327, 0.0143617], abs=6e-8)
    nearest = [0.0077880, -0.00030327, 0.0070092, 0.0138533]
    assert change(run, "NearestSTDP", PRE, POST) == pytest.approx(nearest, abs=6e-8)


def test_weight_dependence(run: Run) -> None:
    """Multiplicative: LTP scales with 1 - w, LTD with w; the power rule joins it to the additive one."""
    up, down = 0.01 * math.exp(-0.5), -0.0105 * math.exp(-0.5)
    pre, post = [(0.0,), (10.0,)], [(10.0,), (0.0,)]
    assert change(run, "MultiplicativeSTDP", pre, post) == pytest.approx([0.5 * up, 0.5 * down])
    assert change(run, "PowerSTDP", pre, post, "(mu = 1)") == pytest.approx([0.5 * up, 0.5 * down])
    assert change(run, "PowerSTDP", pre, post, "(mu = 0)") == pytest.approx([up, down])
    root = math.sqrt(0.5)
    assert change(run, "PowerSTDP", pre, post, "(mu = 0.5)") == pytest.approx([root * up, root * down])


def test_bounds(run: Run) -> None:
    assert change(run, "STDP", [(0.0,)], [(1.0,)], "(A_pre = 10)") == pytest.approx([0.5])
    assert change(run, "STDP", [(1.0,)], [(0.0,)], "(A_post = -10)") == pytest.approx([-0.5])


FREQUENCY = """
from stdlib.neurons import LIF, Regular
from stdlib.plasticity import TripletSTDP, STDP
network Net:
    population early[{n}]: Regular(start = 50 ms, period = {periods}, stop = {stops})
    population late[{n}]: Regular(start = 60 ms, period = {periods}, stop = {stops})
    population after[{n}]: LIF(t_ref = 0 ms)
    population before[{n}]: LIF(t_ref = 0 ms)
    connect late -> after.v: one_to_one, w = 50 mV
    connect early -> before.v: one_to_one, w = 50 mV
    connect positive = early -> after.v: one_to_one via {rule}, gain = 0.001 mV
    connect negative = late -> before.v: one_to_one via {rule}, gain = 0.001 mV
simulate Net:
    dt = {dt} ms
    duration = {duration} ms
    record positive.w, negative.w every {every} ms
"""


def pairings(run: Run, rule: str, rates: list[float], dt: float) -> tuple[list[float], list[float]]:
    """What 60 pairings at +10 and at -10 ms add to the weight, for each rate in Hz."""
    periods = [1000 / rate for rate in rates]
    duration = 60 * max(periods) + 100
    text = FREQUENCY.format(
        n=len(rates), rule=rule, dt=dt, duration=duration, every=duration,
        periods="[" + ", ".join(f"{p} ms" for p in periods) + "]",
        stops="[" + ", ".join(f"{59 * p + 70 - 5} ms" for p in periods) + "]",
    )
    recording = run(text)
    return (recording["positive.w"][-1] - 5).tolist(), (recording["negative.w"][-1] - 5).tolist()


FULL = "TripletSTDP(w = 5, w_max = 10)"
MINIMAL = (
    "TripletSTDP(w = 5, w_max = 10, A2_plus = 0, A2_minus = 7.1e-3, A3_plus = 6.5e-3, A3_minus = 0, tau_y = 114 ms)"
)


@pytest.mark.parametrize(
    ("rule", "plus", "minus"),
    [
        (FULL, [0.1321, 0.2470, 0.5337, 0.7409], [-0.3336, -0.3516, 0.1548, 0.7272]),
        (MINIMAL, [0.1186, 0.2278, 0.5321, 0.7627], [-0.3322, -0.3417, 0.1737, 0.7492]),
    ],
)
def test_triplets_over_frequency(run: Run, rule: str, plus: list[float], minus: list[float]) -> None:
    up, down = pairings(run, rule, [10, 20, 40, 50], 5.0)
    assert up == pytest.approx(plus, abs=6e-5)
    assert down == pytest.approx(minus, abs=6e-5)


@pytest.mark.parametrize(("rule", "expected"), [(FULL, -0.3122), (MINIMAL, -0.3166)])
def test_triplets_at_low_frequency(run_numpy: Run, rule: str, expected: float) -> None:
    """Without a second post spike in reach there is no potentiation: o2 is read before its own increment."""
    up, down = pairings(run_numpy, rule, [0.1], 10.0)
    assert up == pytest.approx([0.0], abs=5e-5)
    assert down == pytest.approx([expected], abs=6e-5)


def test_the_pair_rule_has_no_frequency_dependence_of_the_right_sign(run: Run) -> None:
    up, down = pairings(run, "STDP(w = 5, w_max = 10)", [50], 5.0)
    assert up[0] < 0.25
    assert down[0] < 0


COMPETITION = """
from stdlib.neurons import LIF, Poisson
from stdlib.synapses import Conductance
from stdlib.plasticity import MultiplicativeSTDP
synapse PlasticConductance(MultiplicativeSTDP):
    "Multiplicative STDP on a conductance."
    param tau = 5 ms
    state g = 0 nS
    tau * dg/dt = -g
    override on pre:
        g += 0.375 nS*w
        w += A_post*w*y
    deliver g*(0 mV - post.v)
network Net:
    population excitatory[400]: Poisson(rate = 20 Hz)
    population inhibitory[200]: Poisson(rate = 10 Hz)
    population cell[1]: LIF(v_rest = -74 mV, v_th = -54 mV, v_reset = -60 mV, t_ref = 0 ms)
    connect feed = excitatory -> cell.I: dense via PlasticConductance, w = uniform(0.3, 0.7)
    connect inhibitory -> cell.I: dense via Conductance(E_rev = -70 mV, w = 0.5 nS)
simulate Net:
    dt = 1 ms
    duration = 20 s
    record cell.spikes
    record feed.w every 20 s
"""


def test_multiplicative_weights_gather_in_the_middle(run_numpy: Run) -> None:
    w = run_numpy(COMPETITION)["feed.w"][-1]
    assert w.mean() == pytest.approx(0.495, abs=0.02)
    assert w.std() < 0.06


REWARD = """
from stdlib.neurons import LIF, Regular, Modulator
from stdlib.plasticity import RSTDP
network Net:
    population pre[1]: Regular(start = 10 ms, period = 100 s)
    population teacher[1]: Regular(start = 20 ms, period = 100 s)
    population post[1]: LIF
    population VTA[1]: Modulator(tau = 200 ms)
    connect teacher -> post.v: dense, w = 30 mV
    connect plastic = pre -> post.v: dense via RSTDP(
        DA = VTA.level, A_pre = 0.1, tau_e = 1 s, eta = 1 Hz, w = 0.5), gain = 0.001 mV
simulate Net:
    dt = 1 ms
    duration = {duration} ms
    at {time} ms: VTA.level += 0.5
    record plastic.w every 10 ms
    record plastic.e, VTA.level every 10 ms
"""


@pytest.mark.parametrize(
    ("delay", "expected"), [(0, 0.0050544), (500, 0.0030657), (1000, 0.0018594), (2000, 0.00068404), (3000, 0.00025164)]
)
def test_reward_after_a_delay(run: Run, delay: int, expected: float) -> None:
    """c_0*exp(-t_r/tau_c)*D_0*tau_c*tau_D/(tau_c + tau_D): the later the reward, the smaller the change."""
    recording = run(REWARD.format(duration=3000 + delay, time=20 + delay))
    change = recording["plastic.w"][-1].item() - 0.5
    assert change == pytest.approx(expected, rel=0.01)
    before = recording.times("plastic.w") < 20 + delay
    assert recording["plastic.w"][before] == pytest.approx(0.5)  # no reward, no change


def test_twice_the_reward_twice_the_change(run: Run) -> None:
    text = REWARD.format(duration=2000, time=520)
    once = run(text)["plastic.w"][-1].item() - 0.5
    twice = run(text.replace("+= 0.5", "+= 1.0"))["plastic.w"][-1].item() - 0.5
    assert twice == pytest.approx(2 * once, rel=1e-9)
