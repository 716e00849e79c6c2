"""The exact method against closed forms, scipy's matrix exponential, and the catalogue's figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from snnlang.dynamics.integrate import discretize

CUBA = """
neuron CUBA:
    param tau_m = 20 ms
    param tau_s = 5 ms
    state v = 0 mV
    state g = 1 mV
    tau_m*dv/dt = -v + g
    tau_s*dg/dt = -g
    spike when v >= 15 mV
"""

ALPHA = """
neuron Alpha:
    param tau_m = 20 ms
    param tau_s = 5 ms
    state v = 0 mV
    state g = 0 mV
    state h = 2.718281828459045 mV
    tau_m*dv/dt = -v + g
    tau_s*dg/dt = -g + h
    tau_s*dh/dt = -h
    spike when v >= 15 mV
"""


def test_one_state_has_a_readable_step(build: Any) -> None:
    _, system = build("""
neuron LIF:
    param tau_m = 20 ms
    param R = 100 MOhm
    param v_rest = -70 mV
    input I = 0 nA
    state v = v_rest
    tau_m*dv/dt = -(v - v_rest) + R*I
    spike when v >= -50 mV
""")
    step = discretize(system)
    assert step.method == "exact"
    assert step.order is None
    assert [let.name for let in step.coefficients] == ["decay_v", "P_v_I", "drift_v"]
    assert step.body == ()


def test_membrane_relaxes_along_the_exponential(build: Any, defaults: Any, run: Any) -> None:
    neuron, system = build("""
neuron LIF:
    param tau_m = 20 ms
    param R = 100 MOhm
    input I = 0 nA
    state v = 0 mV
    tau_m*dv/dt = -v + R*I
    spike when v >= 15 mV
""")
    runner = run(discretize(system), 1.0, defaults(neuron, I=200.0))  # 0.2 nA * 100 MOhm = 20 mV
    runner.advance(27)
    assert runner["v"] == pytest.approx(20 * (1 - np.exp(-27 / 20)), rel=1e-13)
    assert runner["v"] < 15  # the catalogue's first spike is at 27.73 ms: step 28
    runner.advance()
    assert runner["v"] >= 15


def test_exponential_current_peaks_where_the_catalogue_says(build: Any, defaults: Any, run: Any) -> None:
    """Catalogue S2: peak 0.157490 at 9.24196 ms."""
    neuron, system = build(CUBA)
    runner = run(discretize(system), 9.24196, defaults(neuron))
    runner.advance()
    assert runner["v"] == pytest.approx(0.157490, abs=1e-6)
    fine = run(discretize(system), 0.02, defaults(neuron))
    values = []
    for _ in range(500):
        fine.advance()
        values.append(float(fine["v"]))
    assert 0.02 * (1 + int(np.argmax(values))) == pytest.approx(9.24196, abs=0.02)


def test_alpha_current_peaks_where_the_catalogue_says(build: Any, defaults: Any, run: Any) -> None:
    """Catalogue S3: peak 0.375632 at 15.578 ms."""
    neuron, system = build(ALPHA)
    times = np.arange(15.4, 15.8, 0.002)
    step = discretize(system)
    peaks = []
    for time in times:
        runner = run(step, float(time), defaults(neuron))
        runner.advance()
        peaks.append(float(runner["v"]))
    assert max(peaks) == pytest.approx(0.375632, abs=1e-6)
    assert times[int(np.argmax(peaks))] == pytest.approx(15.578, abs=0.003)


@pytest.mark.parametrize("gap", [0.0, 1e-12, 1e-9, 1e-6, 1e-3, 1e-1])
def test_equal_time_constants_are_a_smooth_limit(build: Any, defaults: Any, run: Any, gap: Any) -> None:
    """Catalogue S2 limit: v = (t/tau)*exp(-t/tau); the gain must not cancel near it."""
    neuron, system = build(CUBA)
    tau, other = 5.0 + gap, 5.0
    runner = run(discretize(system), 0.1, defaults(neuron, tau_m=tau, tau_s=other))
    runner.advance(70)
    rates = np.array([[-1 / tau, 1 / tau], [0.0, -1 / other]])
    expected = (expm(rates * 7.0) @ np.array([0.0, 1.0]))[0]
    assert runner["v"] == pytest.approx(expected, rel=1e-12)
    if gap == 0.0:
        assert runner["v"] == pytest.approx(7 / 5 * np.exp(-7 / 5), rel=1e-12)


@pytest.mark.parametrize("tau_m", [5.0, 5.0 + 1e-9, 5.001, 5.3, 8.0, 20.0, 0.3])
def test_alpha_cascade_at_any_pair_of_time_constants(build: Any, defaults: Any, run: Any, tau_m: Any) -> None:
    neuron, system = build(ALPHA)
    runner = run(discretize(system), 0.1, defaults(neuron, tau_m=tau_m))
    runner.advance(100)
    a = np.array([[-1 / tau_m, 1 / tau_m, 0], [0, -0.2, 0.2], [0, 0, -0.2]])
    expected = expm(a * 10.0) @ np.array([0, 0, np.e])
    assert [runner["v"], runner["g"], runner["h"]] == pytest.approx(list(expected), rel=1e-11)


def test_parameters_may_differ_from_neuron_to_neuron(build: Any, defaults: Any, run: Any) -> None:
    neuron, system = build(ALPHA)
    tau_m = np.array([0.5, 4.99999, 5.0, 5.2, 20.0])
    runner = run(discretize(system), 0.25, defaults(neuron, tau_m=tau_m, v=np.zeros(5)))
    runner.advance(40)
    for i, tau in enumerate(tau_m):
        a = np.array([[-1 / tau, 1 / tau, 0], [0, -0.2, 0.2], [0, 0, -0.2]])
        assert runner["v"][i] == pytest.approx((expm(a * 10.0) @ np.array([0, 0, np.e]))[0], rel=1e-10)


def test_fast_decays_and_long_steps_do_not_overflow(build: Any, defaults: Any, run: Any) -> None:
    neuron, system = build(ALPHA)
    runner = run(discretize(system), 100.0, defaults(neuron, tau_m=0.01, tau_s=1000.0))
    runner.advance()
    assert np.isfinite(runner["v"])
    a = np.array([[-100.0, 100.0, 0], [0, -1e-3, 1e-3], [0, 0, -1e-3]])
    assert runner["v"] == pytest.approx((expm(a * 100.0) @ np.array([0, 0, np.e]))[0], rel=1e-9)


def _linear_neuron(count: int, entries: dict[tuple[int, int], float], drive: list[float]) -> str:
    lines = ["neuron Linear:"]
    lines += [f"    param a{i}{j} = {value!r}/ms" for (i, j), value in entries.items()]
    lines += [f"    param b{i} = {value!r}/ms" for i, value in enumerate(drive) if value]
    lines += [f"    state x{i} = {i + 1}" for i in range(count)]
    for i in range(count):
        terms = [f"a{i}{j}*x{j}" for (row, j) in entries if row == i] + ([f"b{i}"] if drive[i] else [])
        lines.append(f"    dx{i}/dt = " + (" + ".join(terms) or "0/ms"))
    return "\n".join([*lines, "    spike when x0 > 1e9", ""])


def _expected(count: Any, entries: Any, drive: Any, dt: Any, steps: Any) -> Any:
    a = np.zeros((count + 1, count + 1))
    for (i, j), value in entries.items():
        a[i, j] = value
    a[:count, count] = drive
    state = np.append(np.arange(1.0, count + 1), 1.0)
    return (np.linalg.matrix_power(expm(a * dt), steps) @ state)[:count]


RATES = st.one_of(st.sampled_from([-0.2, -0.05, -1.0]), st.floats(-2.0, -0.01).map(lambda x: round(x, 4)))
COUPLINGS = st.one_of(st.just(0.0), st.floats(-0.5, 0.5).map(lambda x: round(x, 4)))


@given(count=st.integers(1, 4), data=st.data())
@settings(max_examples=60, deadline=None)
def test_random_linear_systems_follow_the_matrix_exponential(
    build: Any, defaults: Any, run: Any, count: Any, data: Any
) -> None:
    from_text = data.draw
    entries = {(i, i): from_text(RATES) for i in range(count)}
    for i in range(count):
        for j in range(count):
            if i != j:
                coupling = from_text(COUPLINGS)
                if coupling:
                    entries[i, j] = coupling
    drive = [from_text(COUPLINGS) for _ in range(count)]
    _compare(build, defaults, run, count, entries, drive)


@pytest.mark.parametrize(
    "entries,drive",
    [
        ({(0, 0): -0.05, (1, 1): -0.05, (0, 1): 0.3, (1, 0): -0.3}, [0.1, 0.0]),  # oscillates
        ({(0, 1): 0.3, (1, 0): -0.3}, [0.1, 0.2]),  # undamped
        ({(0, 0): -0.2, (1, 1): -0.2, (0, 1): 0.3}, [0.0, 0.5]),  # equal rates, chain
        ({(0, 0): -0.1, (1, 1): -0.1, (0, 1): 0.1, (1, 0): 0.1}, [0.3, 0.1]),  # singular
        ({(0, 0): -0.1, (1, 1): -0.3, (0, 1): 0.1, (1, 0): -0.1}, [0.3, 0.1]),  # double eigenvalue
        ({(0, 0): 0.0}, [0.5]),
    ],
)
def test_special_linear_systems(build: Any, defaults: Any, run: Any, entries: Any, drive: Any) -> None:
    _compare(build, defaults, run, len(drive), {key: value for key, value in entries.items() if value}, drive)


def _compare(build: Any, defaults: Any, run: Any, count: Any, entries: Any, drive: Any) -> None:
    neuron, system = build(_linear_neuron(count, entries, drive))
    step = discretize(system, "exact")
    runner = run(step, 0.5, defaults(neuron))
    runner.advance(20)
    expected = _expected(count, entries, drive, 0.5, 20)
    got = np.array([float(runner[f"x{i}"]) for i in range(count)])
    assert got == pytest.approx(expected, rel=1e-9, abs=1e-9 * np.abs(expected).max())


def test_inputs_are_held_and_a_cascade_carries_them(build: Any, defaults: Any, run: Any) -> None:
    neuron, system = build("""
neuron Filter:
    param tau_m = 20 ms
    param tau_s = 5 ms
    input I = 0 mV
    state v = 0 mV
    state g = 0 mV
    tau_m*dv/dt = -v + g
    tau_s*dg/dt = -g + I
    spike when v > 100 mV
""")
    runner = run(discretize(system), 0.5, defaults(neuron, I=2.0))
    runner.advance(30)
    a = np.array([[-1 / 20, 1 / 20, 0], [0, -1 / 5, 2 / 5], [0, 0, 0]])
    assert runner["v"] == pytest.approx((expm(a * 15.0) @ np.array([0, 0, 1.0]))[0], rel=1e-12)


def test_integrator_without_leak(build: Any, defaults: Any, run: Any) -> None:
    neuron, system = build("""
neuron IF:
    param C = 100 pF
    input I = 0 pA
    state v = 0 mV
    C*dv/dt = I
    spike when v > 1 V
""")
    step = discretize(system)
    runner = run(step, 0.1, defaults(neuron, I=50.0))
    runner.advance(100)
    assert runner["v"] == pytest.approx(50 * 10 / 100)


def test_time_dependent_drive_is_second_order(build: Any, defaults: Any, run: Any) -> None:
    neuron, system = build("""
neuron Driven:
    param tau = 10 ms
    state v = 0 mV
    tau*dv/dt = -v + 1 mV*sin(t/3 ms)
    spike when v > 100 mV
""")
    step = discretize(system)
    assert (step.method, step.order) == ("exact", 2.0)
    errors = []
    exact = _sine_response(10.0, 3.0, 12.0)
    for dt in (0.4, 0.2, 0.1):
        runner = run(step, dt, defaults(neuron))
        runner.advance(round(12 / dt))
        errors.append(abs(runner["v"] - exact))
    slopes = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert slopes == pytest.approx([2.0, 2.0], abs=0.1)


def _sine_response(tau: float, period: float, t: float) -> float:
    w = 1 / period
    return float((np.sin(w * t) - w * tau * np.cos(w * t) + w * tau * np.exp(-t / tau)) / (1 + (w * tau) ** 2))
