"""Encoders against the figures of catalogue section 7, on the interpreter and on every target."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Run = Callable[..., Any]


def shown(
    run: Run,
    model: str,
    values: Sequence[float],
    length: str,
    settings: str = "",
    record: str = "code.spikes",
    pre: str = "",
) -> Any:
    """One trial of as many neurons as values, each shown its own."""
    name = model.partition("(")[0]
    count = len(values)
    text = f"""
from stdlib.encoders import {name}
network Net:
    input value[{count}]
    population code[{count}]: {model}
    connect value -> code.x: one_to_one
{pre}
simulate Net:
    present given as value for {length}
    record {record}
{settings}
"""
    return run(text, data={"given": np.array([values], dtype=float)})


def steps(recording: Any, neuron: int) -> list[float]:
    times, indices = recording.spikes("code")
    return [float(t) for t in times[indices == neuron]]


def table(recording: Any, length: int, neurons: int) -> NDArray[np.int64]:
    """[step, neuron] spikes."""
    times, indices = recording.spikes("code")
    made = np.zeros((length, neurons), dtype=np.int64)
    made[np.asarray(times).astype(int), indices] = 1
    return made


# --- K9, K1, K2, K3 ---------------------------------------------------------------------------------------------------


def test_direct_shows_the_value_in_every_step(run: Run) -> None:
    text = """
from stdlib.encoders import Direct
from stdlib.neurons import DIF
network Net:
    input value[2]
    population code[2]: Direct
    population cell[2]: DIF
    connect value -> code.x: one_to_one
    connect code -> cell.x: one_to_one, w = 1
simulate Net:
    present given as value for 10
    record code.output, cell.spikes
"""
    recording = run(text, data={"given": np.array([[0.375, -1.5]])})
    assert recording["code.output"].tolist() == [[0.375, -1.5]] * 10
    assert recording.counts("cell").tolist() == [3, 0]  # floor(T*x): the first layer encodes


def test_bernoulli_rate(run: Run) -> None:
    """x = 0.3, T = 100: mean 30, variance 21, not 30."""
    recording = shown(run, "BernoulliRate", [0.3] * 400 + [0.0, 1.0, 1.7, -0.2], "100")
    counts = recording.counts("code")
    assert counts[400:].tolist() == [0, 100, 100, 0]
    assert counts[:400].mean() == pytest.approx(30, abs=4 * math.sqrt(21 / 400))
    assert counts[:400].var() == pytest.approx(21, abs=4 * 21 * math.sqrt(2 / 400))
    train = table(recording, 101, 404)[1:, :400]  # without equations a spike carries the end of its step
    assert abs(np.corrcoef(train[:, 0], train[:, 1])[0, 1]) < 0.4  # no stream is shared
    assert np.ptp(train.sum(axis=1)) > 10  # nor repeated in time


def test_signed_rate(run: Run) -> None:
    recording = shown(run, "SignedRate(gain = 0.5)", [0.8] * 200 + [-0.8] * 200, "50", record="code.output")
    sent = recording["code.output"]
    assert set(np.unique(sent[:, :200]).tolist()) == {0, 1}
    assert set(np.unique(sent[:, 200:]).tolist()) <= {0, -1}
    assert np.abs(sent).mean() == pytest.approx(0.4, abs=4 * math.sqrt(0.24 / 20_000))


def test_poisson_rate(run: Run) -> None:
    """Rates of 63.75 Hz*x; a step holds one spike at most, so the count falls short by 1 - exp(-r*dt) against r*dt."""
    recording = shown(run, "PoissonRate", [1.0] * 200 + [0.5] * 200 + [-1.0], "400 ms", "    dt = 1 ms")
    counts = recording.counts("code")
    for part, rate in ((counts[:200], 0.06375), (counts[200:400], 0.031875)):
        chance = 1 - math.exp(-rate)
        assert part.mean() == pytest.approx(400 * chance, abs=4 * math.sqrt(400 * chance / 200))
    assert counts[400] == 0


def test_poisson_intervals(run_numpy: Run) -> None:
    """Mean and variance of counts agree, CV of intervals 1."""
    recording = shown(run_numpy, "PoissonRate(rate_max = 100 Hz)", [0.3] * 500, "1 s", "    dt = 0.1 ms")
    counts = recording.counts("code")
    assert counts.mean() == pytest.approx(30, abs=4 * math.sqrt(30 / 500))
    assert counts.var() == pytest.approx(30, abs=4 * 30 * math.sqrt(2 / 500))
    intervals = np.concatenate([np.diff(steps(recording, neuron)) for neuron in range(500)])
    assert intervals.std() / intervals.mean() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_regular_rate(run: Run, precision: str) -> None:
    """x = 0.3, T = 10: spikes at steps 3, 6 and 9, the last only if nothing is lost to rounding; floor(T*x) for every x."""
    values = [0.3, *(k / 20 for k in range(21))]
    recording = shown(run, "RegularRate", values, "40", f"    precision = {precision}")
    assert steps(recording, 0)[:3] == [3, 6, 9]
    assert recording.counts("code")[1:].tolist() == [2 * k for k in range(21)]
    assert [np.ptp(np.diff(steps(recording, k))) <= 1 for k in range(3, 20)] == [True] * 17
    halves = shown(run, "RegularRate(v_0 = 0.5)", values, "10", f"    precision = {precision}")
    assert halves.counts("code")[1:].tolist() == [math.floor(k / 2 + 0.5) for k in range(21)]


# --- K4 ---------------------------------------------------------------------------------------------------------------


def test_linear_latency(run: Run) -> None:
    """T = 8: 1, 0.5, 0.25, 0.1, 0.02 at 0, 4, 5, 6, 7; 0 is silent."""
    recording = shown(run, "LinearLatency", [1.0, 0.5, 0.25, 0.1, 0.02, 0.0], "16")
    assert [steps(recording, k) for k in range(6)] == [[0], [4], [5], [6], [7], []]


def test_logarithmic_latency(run: Run) -> None:
    values = [1.0, 0.5, 0.1, 0.01, 0.001, 0.0]
    recording = shown(run, "LogLatency(steps = 8)", values, "10")
    expected = [[round(7 - math.log(1 + (math.exp(7) - 1) * x))] if x else [] for x in values]
    assert [steps(recording, k) for k in range(6)] == expected


def test_latency_of_charging(run: Run) -> None:
    """tau = 5, theta = 0.01: 0.050252, 0.101014, 0.204110, 0.526803, 3.465736, found at the end of a step."""
    values = [1.0, 0.5, 0.25, 0.1, 0.02, 0.01, 0.0]
    recording = shown(run, "ChargeLatency", values, "4 ms", "    dt = 0.01 ms")
    expected = [0.050252, 0.101014, 0.204110, 0.526803, 3.465736]
    for neuron, time in enumerate(expected):
        (found,) = steps(recording, neuron)
        assert time - 1e-6 <= found < time + 0.0101
    assert steps(recording, 5) == steps(recording, 6) == []


# --- K5 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("values", "expected"), [([4, 3, 2, 1], 2.311744), ([1, 2, 3, 4], 2.048)])
def test_rank_order(run: Run, values: list[float], expected: float) -> None:
    """m = 0.8, w_i = m^i, four inputs: 2.311744 in the preferred order, 2.048 reversed."""
    text = """
from stdlib.encoders import RankOrder, RankReceiver
network Net:
    input value[4]
    population code[4]: RankOrder
    population cell[1]: RankReceiver(theta = 2.3)
    connect value -> code.x: one_to_one
    connect code -> cell.x: dense, w = [[1], [0.8], [0.64], [0.512]]
    connect code -> cell.arrivals: dense, w = 1
simulate Net:
    present given as value for 6
    record code.spikes, cell.spikes, cell.u
"""
    recording = run(text, data={"given": np.array([values], dtype=float)})
    times, order = recording.spikes("code")
    assert times.tolist() == [0, 1, 2, 3]
    assert order.tolist() == np.argsort(-np.array(values)).tolist()
    assert recording["cell.u"][-1, 0] == pytest.approx(expected, abs=1e-9)
    assert recording.counts("cell").tolist() == [int(expected > 2.3)]


def test_rank_order_of_equal_and_silent_values(run: Run) -> None:
    recording = shown(run, "RankOrder", [0.5, 0.9, 0.5, 0.0, -1.0], "8")
    assert [steps(recording, k) for k in range(5)] == [[1], [0], [2], [], []]


# --- K6 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_binary_digits(run: Run, precision: str) -> None:
    """x = 0.8125, K = 8: 1 1 0 1 0 0 0 0, and the weights 2^-(k+1) add up to x."""
    values = [0.8125, *(k / 256 for k in range(0, 256, 15)), 1.0]
    settings = f"    precision = {precision}"
    recording = shown(run, "PhaseBits", values, "16", settings, record="code.spikes, code.output")
    digits = table(recording, 16, len(values))
    assert digits[:8, 0].tolist() == [1, 1, 0, 1, 0, 0, 0, 0]
    assert digits[8:, 0].tolist() == digits[:8, 0].tolist()
    sums = recording["code.output"][:8].sum(axis=0)
    assert sums.tolist() == [*values[:-1], 255 / 256]


def test_phase_of_a_rhythm(run: Run) -> None:
    """x = 0.25, P = 40: 30, 70, 110."""
    recording = shown(run, "Oscillation", [0.25, 1.0, 0.5, 0.0], "120 ms", "    dt = 0.1 ms")
    assert steps(recording, 0) == pytest.approx([30, 70, 110])
    assert steps(recording, 1)[1:] == pytest.approx([40, 80, 120])
    assert steps(recording, 1)[0] == pytest.approx(0.1)  # time 0 is over when the first step ends
    assert steps(recording, 2) == pytest.approx([20, 60, 100])
    assert steps(recording, 3) == []


# --- K7 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_bursts(run: Run, precision: str) -> None:
    """N_max = 5, T_max = 32, T_min = 2: none; 2 with interval 25; 3 with 17; 5 with 2."""
    recording = shown(run, "Burst", [0, 0.25, 0.5, 1.0, 0.2], "64", f"    precision = {precision}")
    found = [steps(recording, k) for k in range(5)]
    assert found == [[], [0, 25], [0, 17, 34], [0, 2, 4, 6, 8], [0]]


def park(x: float, steps: int, beta: float = 2.0, v_th: float = 0.125) -> list[float]:
    """Burst coding as Park et al. write it: what is sent in every step."""
    sent, v, g, fired = [], 0.0, 1.0, False
    for _ in range(steps):
        v += x
        g = beta * g if fired else 1.0
        fired = v >= g * v_th
        v -= g * v_th * fired
        sent.append(g * v_th * fired)
    return sent


def test_bursts_that_grow(run: Run) -> None:
    """Sizes double within a burst; what is sent and what is left make up the input."""
    values = [0.875, 0.0625, 0.0, 3.0]
    recording = shown(run, "BurstIF(v_th = 0.125)", values, "40", record="code.output, code.v")
    sent = recording["code.output"]
    assert sent.T.tolist() == [park(x, 40) for x in values]
    assert sent[:3, 0].tolist() == [0.125, 0.25, 0.5]
    total = np.arange(1, 41)[:, None] * np.array(values)
    np.testing.assert_allclose(np.cumsum(sent, axis=0) + recording["code.v"], total, atol=1e-9)


# --- K8 ---------------------------------------------------------------------------------------------------------------

FIELDS = """
from stdlib.encoders import {name}
network Net:
    input value[1]
    population code[8]: {name}
    connect value -> code.x: dense, w = 1
simulate Net:
    present given as value for {length}
    record code.spikes, code.r, code.centre
"""


def test_gaussian_fields(run: Run) -> None:
    """m = 8 on [0, 1], x = 0.3: centres, responses, latencies of the fields that are not silent, centre of mass."""
    recording = run(FIELDS.format(name="GaussianField", length=12), data={"given": np.array([[0.3]])})
    centres, responses = recording["code.centre"][-1], recording["code.r"][-1]
    assert centres == pytest.approx([-0.0833, 0.0833, 0.25, 0.4167, 0.5833, 0.75, 0.9167, 1.0833], abs=5e-5)
    assert responses == pytest.approx([0.0026, 0.1494, 0.9037, 0.5762, 0.0387, 0.0003, 0, 0], abs=5e-5)
    assert 10 * (1 - responses[1:4]) == pytest.approx([8.51, 0.96, 4.24], abs=0.005)
    assert [steps(recording, k) for k in range(8)] == [[], [9], [1], [4], [], [], [], []]
    assert (centres * responses).sum() / responses.sum() == pytest.approx(0.29986, abs=1e-4)


def test_gaussian_rates(run: Run) -> None:
    recording = run(FIELDS.format(name="GaussianRate", length=2000), data={"given": np.array([[0.3]])})
    responses = recording["code.r"][-1]
    expected = 2000 * responses
    assert np.abs(recording.counts("code") - expected).max() <= 4 * math.sqrt(500)
    assert recording.counts("code")[2] == pytest.approx(expected[2], abs=4 * math.sqrt(2000 * 0.9037 * 0.0963))


# --- K10 --------------------------------------------------------------------------------------------------------------

SIGNAL = """
from stdlib.encoders import {name}
network Net:
    input value[1]
    population code[1]: {model}
    connect value -> code.x: one_to_one
simulate Net:
    present given as value for {length}
    record code.spikes, code.down{more}
"""


def signal(run: Run, model: str, values: NDArray[np.floating[Any]], more: str = "") -> Any:
    text = SIGNAL.format(name=model.partition("(")[0], model=model, length=len(values), more=more)
    return run(text, data={"given": values.reshape(1, -1, 1)})


def test_differences(run: Run) -> None:
    """A ramp of 0.07 a step sends nothing at theta = 0.2; a sine over 100 samples, theta = 0.05: 19 up, 20 down."""
    ramp = 0.07 * np.arange(1, 11)
    slow = signal(run, "Difference(theta = 0.2)", ramp)
    assert len(slow.spikes("code")[0]) == len(slow.events("code.down")[0]) == 0
    wave = signal(run, "Difference(theta = 0.05)", np.sin(2 * np.pi * np.arange(100) / 100))
    assert len(wave.spikes("code")[0]) == 19
    assert len(wave.events("code.down")[0]) == 20


def test_send_on_delta(run: Run) -> None:
    """The ramp: 3 events, reference 0.6; jumps larger than theta move it several times; it is never further than theta."""
    ramp = signal(run, "SendOnDelta(theta = 0.2)", 0.07 * np.arange(1, 11), ", code.ref")
    assert ramp.spikes("code")[0].tolist() == [2, 5, 8]
    assert ramp["code.ref"][-1, 0] == pytest.approx(0.6)
    values = np.cumsum(np.random.default_rng(0).normal(0, 0.3, 60))
    walk = signal(run, "SendOnDelta(theta = 0.2)", values, ", code.ref, code.output")
    assert np.abs(walk["code.ref"][:, 0] - values).max() < 0.2 + 1e-6
    assert np.abs(walk["code.output"]).max() > 0.3
    np.testing.assert_allclose(np.cumsum(walk["code.output"][:, 0]), walk["code.ref"][:, 0], atol=1e-9)
    moved = np.flatnonzero(walk["code.output"][:, 0] < 0)
    assert walk.events("code.down")[0].tolist() == moved.tolist()


# --- what others receive ----------------------------------------------------------------------------------------------

CONNECTED = """
from stdlib.encoders import {name}
neuron Sum:
    input x = 0
    state u = 0
    u[n] = u[n-1] + x
network Net:
    input value[3]
    population code[3]: {name}
    population one[3]: Sum
    population all[2]: Sum
    connect value -> code.x: one_to_one
    connect code -> one.x: one_to_one, w = 2, delay = {delay}
    connect code -> all.x: dense, w = 0.5, delay = {delay}
simulate Net:
    present given as value for 9
    record code.output, one.u, all.u
"""


@pytest.mark.parametrize("delay", [0, 1, 3])
@pytest.mark.parametrize("name", ["SignedRate", "PhaseBits", "BurstIF"])
def test_values_that_depend_on_spikes_arrive(run: Run, name: str, delay: int) -> None:
    """What is sent is what was recorded, so many steps later, through every kind of connection."""
    recording = run(CONNECTED.format(name=name, delay=delay), data={"given": np.array([[0.8125, 0.3, 0.6]])})
    sent = recording["code.output"]
    assert np.abs(sent).sum() > 1
    arrived = np.concatenate([np.zeros((delay, 3)), sent])[: len(sent)]
    np.testing.assert_allclose(recording["one.u"], 2 * np.cumsum(arrived, axis=0), atol=1e-6)
    np.testing.assert_allclose(recording["all.u"], np.cumsum(arrived.sum(axis=1) / 2)[:, None] * np.ones((1, 2)), atol=1e-6)
