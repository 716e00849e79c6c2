"""Rules inside a neuron: histories, events, handlers, clocks, population-wide reductions, noise."""

from __future__ import annotations

import numpy as np
import pytest

from tests.targets import Run


def alone(model: str, record: str, steps: int = 12, size: int = 1, arguments: str = "", extra: str = "") -> str:
    return f"""{model}
network Net:
    population p[{size}]: Model{arguments}

simulate Net:
    duration = {steps}
    record {record}
{extra}"""


def test_histories_reach_back_and_start_at_the_initial_value(run: Run) -> None:
    text = alone(
        """
neuron Model:
    state x = 2
    state y = 5
    x[n] = x[n-1] + 0.5*y[n-3]
    y[n] = 0.25*x[n] + y[n-2]
""",
        "p.x, p.y",
    )
    recording = run(text)
    x, y = [2.0] * 4, [5.0] * 4
    for _ in range(12):
        x.append(x[-1] + 0.5 * y[-3])
        y.append(0.25 * x[-1] + y[-2])
    assert recording["p.x"][:, 0] == pytest.approx(x[4:])
    assert recording["p.y"][:, 0] == pytest.approx(y[4:])


def test_spike_of_this_and_of_earlier_steps(run: Run) -> None:
    text = alone(
        """
neuron Model:
    state u = 0
    state a = 0
    state b = 0
    state c = 0
    u[n] = u[n-1] + 0.3 - spike[n-1]
    spike when u > 1
    a[n] = a[n-1] + spike[n]
    b[n] = b[n-1] + spike[n-1]
    c[n] = c[n-1] + spike[n-3]
""",
        "p.u, p.a, p.b, p.c, p.spikes",
        30,
    )
    recording = run(text)
    u, spikes = 0.0, [0, 0, 0]
    for n in range(30):
        u = u + 0.3 - spikes[-1]
        spikes.append(int(u > 1))
        assert recording["p.u"][n, 0] == pytest.approx(u)
        assert recording["p.a"][n, 0] == sum(spikes)
        assert recording["p.b"][n, 0] == sum(spikes[:-1])
        assert recording["p.c"][n, 0] == sum(spikes[:-3])
    assert list(recording.spikes("p")[0]) == [n for n in range(30) if spikes[n + 3]]


def test_n_is_before_handlers_and_n_minus_1_after_them(run: Run) -> None:
    text = alone(
        """
neuron Model:
    state u = 0
    state seen = 0
    u[n] = u[n-1] + 1
    seen[n] = u[n]
    spike when u >= 3
    on spike: u = 10*u - 30
""",
        "p.u, p.seen",
        6,
    )
    recording = run(text)
    assert list(recording["p.seen"][:, 0]) == [1, 2, 3, 1, 2, 3]
    assert list(recording["p.u"][:, 0]) == [1, 2, 0, 1, 2, 0]


def test_handlers_run_in_written_order_and_branch(run: Run) -> None:
    text = alone(
        """
neuron Model:
    state n_spikes = 0
    state x = 0
    x[n] = x[n-1] + 1
    event big when x >= 3
    spike when x >= 2
    on spike:
        n_spikes += 1
        if n_spikes > 2:
            x = -100
        elif n_spikes > 1:
            x = 50
        else:
            x *= 10
    on big:
        x += 0.5
""",
        "p.x, p.n_spikes",
        4,
    )
    # n = 1: spike, x = 20; n = 2: both, x = 50 then 50.5; n = 3: both, x = -100 then -99.5
    recording = run(text)
    assert list(recording["p.x"][:, 0]) == [1, 20, 50.5, -99.5]


def test_emit_reaches_handlers_wherever_they_are_written(run: Run) -> None:
    text = alone(
        """
neuron Model:
    state k = 0
    state bursts = 0
    state x = 0
    x[n] = x[n-1] + 1
    event burst
    on burst: bursts += 1
    spike when x > 1.5
    on spike:
        k += 1
        x = 0
        if k >= 3:
            emit burst
            k = 0
""",
        "p.bursts, p.burst, p.spikes",
        13,
    )
    recording = run(text)
    assert list(recording.spikes("p")[0]) == [1, 3, 5, 7, 9, 11]
    assert list(recording.events("p.burst")[0]) == [5, 11]
    assert recording["p.bursts"][-1, 0] == 2


def test_since_is_infinite_before_the_first_event(run: Run) -> None:
    text = alone(
        """
neuron Model:
    step = 1 ms
    state x = 0
    state interval = 0
    state wait = 0
    x[n] = x[n-1] + 1
    wait[n] = min(since(spike), 99 ms)/1 ms
    spike when x == 3 or x == 5
    on spike: interval = min(since(spike), 99 ms)/1 ms
""",
        "p.wait, p.interval",
        "7 ms",  # type: ignore[arg-type]
    )
    recording = run(text)
    assert list(recording["p.wait"][:, 0]) == [99, 99, 99, 1, 2, 1, 2]
    assert list(recording["p.interval"][:, 0]) == [0, 0, 99, 99, 2, 2, 2]


def test_crosses_is_the_upward_passage(run: Run) -> None:
    text = """
neuron Model:
    state v = -0.5
    dv/dt = 2/ms*cos(2*3.141592653589793*t/4 ms)
    spike when v crosses 0

network Net:
    population p[1]: Model

simulate Net:
    dt = 0.01 ms
    duration = 16 ms
    record p.spikes
"""
    times = run(text).spikes("p")[0]
    # v = -0.5 + (4/pi) sin(pi t / 2): rises through 0 once per 4 ms
    first = np.arcsin(0.5 * np.pi / 4) * 2 / np.pi
    assert times == pytest.approx(first + 4.0 * np.arange(4), abs=0.02)


def test_population_wide_reductions(run: Run) -> None:
    text = alone(
        """
neuron Model:
    param gain = 1
    state u = 0
    state place = 0
    state mean = 0
    u[n] = u[n-1] + gain
    place[n] = all.rank(u)
    mean[n] = all.mean(u)
    spike when u >= 6 and index == all.argmax(u)
    on spike: u = 0
""",
        "p.u, p.place, p.mean, p.spikes",
        6,
        size=4,
        arguments="(gain = [1, 3, 3, 2])",
    )
    recording = run(text)
    u = np.zeros(4)
    expected = []
    for n in range(6):
        u = u + np.array([1, 3, 3, 2])
        order = np.argsort(-u, kind="stable")
        assert list(recording["p.place"][n]) == [list(order).index(i) for i in range(4)]
        assert recording["p.mean"][n] == pytest.approx([u.mean()] * 4)
        winner = int(np.argmax(u))
        if u[winner] >= 6:
            expected.append((n, winner))
            u[winner] = 0
        assert list(recording["p.u"][n]) == list(u)
    assert [(int(n), int(i)) for n, i in zip(*recording.spikes("p"))] == expected


def test_reductions_over_one_axis(run: Run) -> None:
    text = """
neuron Model:
    state u = 0
    state m = 0
    u[n] = index + 10*position[0]
    m[n] = all.max(u, over = 1)

network Net:
    population p[2, 3]: Model

simulate Net:
    duration = 1
    record p.m
"""
    assert list(np.ravel(run(text)["p.m"][-1])) == [2, 2, 2, 15, 15, 15]


def test_noise_has_the_variance_of_its_process(run_numpy: Run) -> None:
    text = """
neuron Model:
    param tau = 10 ms
    param sigma = 2 mV
    state v = 0 mV
    dv/dt = -v/tau + sigma*sqrt(2/tau)*xi

network Net:
    population p[4000]: Model

simulate Net:
    dt = 0.1 ms
    duration = 60 ms
    record p.v every 60 ms
"""
    v = run_numpy(text)["p.v"][-1]
    assert abs(v.mean()) < 0.15
    assert v.std() == pytest.approx(2.0, rel=0.05)


def test_a_low_rate_source_is_poisson(run_numpy: Run) -> None:
    text = """
neuron Model:
    param r = 50 Hz
    spike with rate r

network Net:
    population p[500]: Model(r = 20 Hz + 60 Hz*min(1, floor(index/250)))

simulate Net:
    dt = 0.5 ms
    duration = 8 s
    record p.spikes
"""
    recording = run_numpy(text)
    counts = np.bincount(recording.spikes("p")[1], minlength=500)
    for part, rate in ((counts[:250], 20.0), (counts[250:], 80.0)):
        probability = -np.expm1(-rate * 0.5e-3)
        expected = 16000 * probability
        assert part.mean() == pytest.approx(expected, abs=4 * np.sqrt(expected / 250))
        assert part.var() / part.mean() == pytest.approx(1 - probability, abs=0.35)


def test_bounds_of_states(run: Run) -> None:
    text = alone(
        """
neuron Model:
    state x = 0 in [0, 2.5]
    x[n] = x[n-1] + 1
""",
        "p.x",
        4,
    )
    assert list(run(text)["p.x"][:, 0]) == [1, 2, 2.5, 2.5]


def test_scheduled_handlers(run: Run) -> None:
    text = """
neuron Model:
    state x = 1
    on every 2 ms: x *= 2

network Net:
    population p[1]: Model

simulate Net:
    dt = 0.5 ms
    duration = 5 ms
    record p.x
"""
    recording = run(text)
    assert list(recording["p.x"][:, 0]) == [1, 1, 1, 2, 2, 2, 2, 4, 4, 4]


def test_adding_a_population_changes_no_draw(run: Run) -> None:
    one = """
neuron Model:
    param level = 1
    state x = 0
    spike with probability 0.3
    on spike: x += normal(0, 1)

network Net:
    population p[5]: Model(level = uniform(0, 1))

simulate Net:
    dt = 1 ms
    duration = 20 ms
    record p.spikes, p.x, p.level
"""
    more = one.replace("    population p", "    population before[7]: Model\n    population p")
    first, second = run(one), run(more)
    for a, b in zip(first.spikes("p"), second.spikes("p")):
        assert list(a) == list(b)
    assert np.array_equal(first["p.x"], second["p.x"])
    assert np.array_equal(first["p.level"], second["p.level"])
    other = run(one, seed=2)
    assert not np.array_equal(first["p.level"], other["p.level"])


def test_a_recorded_definition_may_be_called_like_a_coefficient(run: Run) -> None:
    """The step names what it computes once after the definition it came from."""
    text = """
neuron Model:
    param k = 0.25
    state a = 0.2
    state b = 0.5
    q = k + 0.3
    2 ms*da/dt = -a + tanh((0.3 + b)*(0.3 + q))
    3 ms*db/dt = -b

network Net:
    population p[4]: Model

simulate Net:
    dt = 0.5 ms
    duration = 5 ms
    record p.q, p.a
"""
    recording = run(text)
    assert recording["p.q"] == pytest.approx(np.full((10, 4), 0.55))
