"""The measured order of convergence of every method equals the one it declares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from snnlang.dynamics.integrate import METHODS, discretize

QUADRATIC = """
neuron Quadratic:
    param tau = 10 ms
    param k = 0.05/mV
    input I = 0 mV
    state v = -70 mV
    state u = 0 mV
    tau*dv/dt = k*(v + 65 mV)*(v + 50 mV) - u + I
    du/dt = 0.1/ms*(0.2*(v + 65 mV) - u)
    spike when v > 1 V
"""

HODGKIN_HUXLEY = """
neuron HH:
    param g_Na = 120 mS/cm^2
    param g_K = 36 mS/cm^2
    input I = 10 uA/cm^2
    state v = -65 mV
    state m = 0.05
    state h = 0.6
    state n = 0.32
    a_m = 1/ms / exprel(-(v + 40 mV)/10 mV)
    b_m = 4/ms * exp(-(v + 65 mV)/18 mV)
    a_h = 0.07/ms * exp(-(v + 65 mV)/20 mV)
    b_h = 1/ms / (1 + exp(-(v + 35 mV)/10 mV))
    a_n = 0.1/ms / exprel(-(v + 55 mV)/10 mV)
    b_n = 0.125/ms * exp(-(v + 65 mV)/80 mV)
    dm/dt = a_m*(1 - m) - b_m*m
    dh/dt = a_h*(1 - h) - b_h*h
    dn/dt = a_n*(1 - n) - b_n*n
    1 uF/cm^2*dv/dt = I - g_Na*m^3*h*(v - 50 mV) - g_K*n^4*(v + 77 mV) - 0.3 mS/cm^2*(v + 54.4 mV)
    spike when v crosses 0 mV
"""

CONDUCTANCE = """
neuron Coba:
    param tau_g = 5 ms
    state v = -70 mV
    state g = 8 nS
    200 pF*dv/dt = 10 nS*(-65 mV - v) + g*(0 mV - v)
    tau_g*dg/dt = -g
    spike when v > 1 V
"""

DRIVEN = """
neuron Driven:
    state v = 0.3
    dv/dt = 0.2/ms*sin(v)*cos(t/2 ms) - 0.1/ms*v^3
    spike when v > 1e9
"""


def _quadratic(t: Any, y: Any) -> Any:
    v, u = y
    return [(0.05 * (v + 65) * (v + 50) - u) / 10, 0.1 * (0.2 * (v + 65) - u)]


def _conductance(t: Any, y: Any) -> Any:
    v, g = y
    return [(10 * (-65 - v) - g * v) / 200, -g / 5]


def _driven(t: Any, y: Any) -> Any:
    return [0.2 * np.sin(y[0]) * np.cos(t / 2) - 0.1 * y[0] ** 3]


def _slope(step: Any, values: Any, names: Any, expected: Any, duration: Any, dts: Any, run: Any) -> Any:
    errors = []
    for dt in dts:
        runner = run(step, dt, values)
        runner.advance(round(duration / dt))
        errors.append(max(abs(float(runner[name]) - value) for name, value in zip(names, expected, strict=True)))
    return np.polyfit(np.log(dts), np.log(errors), 1)[0]


@pytest.mark.parametrize(
    "method,dts", [("euler", (0.05, 0.025, 0.0125)), ("heun", (0.4, 0.2, 0.1)), ("rk4", (0.5, 0.25, 0.125))]
)
@pytest.mark.parametrize(
    "text,rate,duration", [(QUADRATIC, _quadratic, 10.0), (DRIVEN, _driven, 10.0), (CONDUCTANCE, _conductance, 10.0)]
)
def test_explicit_methods(
    build: Any, defaults: Any, run: Any, method: Any, dts: Any, text: Any, rate: Any, duration: Any
) -> None:
    neuron, system = build(text)
    step = discretize(system, method)
    values = defaults(neuron)
    names = [ode.variable for ode in system.odes]
    exact = solve_ivp(
        rate, (0, duration), [float(values[name]) for name in names], rtol=1e-12, atol=1e-12, method="DOP853"
    ).y[:, -1]
    slope = _slope(step, values, names, exact, duration, dts, run)
    assert slope == pytest.approx(METHODS[method].order, abs=0.25)
    assert step.order == METHODS[method].order


def test_exponential_euler_on_a_conductance(build: Any, defaults: Any, run: Any) -> None:
    neuron, system = build(CONDUCTANCE)
    step = discretize(system)
    assert (step.method, step.order) == ("exponential_euler", 1.0)
    exact = solve_ivp(_conductance, (0, 10), [-70, 8], rtol=1e-12, atol=1e-12, method="DOP853").y[:, -1]
    values = defaults(neuron)
    assert _slope(step, values, ["v", "g"], exact, 10.0, (0.1, 0.05, 0.025), run) == pytest.approx(1.0, abs=0.1)
    runner = run(step, 0.1, values)
    runner.advance(100)
    assert runner["g"] == pytest.approx(8 * np.exp(-2), rel=1e-12)  # the linear subsystem goes exactly


def test_exponential_euler_on_hodgkin_huxley(build: Any, defaults: Any, run: Any) -> None:
    neuron, system = build(HODGKIN_HUXLEY)
    step = discretize(system)
    assert step.method == "exponential_euler"
    assert {let.name for let in step.body} >= {"a_m", "b_m", "a_h", "b_h", "a_n", "b_n"}
    rk4 = discretize(system, "rk4")
    values = defaults(neuron)
    fine = run(rk4, 0.002, values)
    fine.advance(500)
    names = ["v", "m", "h", "n"]
    slope = _slope(step, values, names, [float(fine[name]) for name in names], 1.0, (0.02, 0.01, 0.005), run)
    assert slope == pytest.approx(1.0, abs=0.15)


def test_exponential_euler_stays_bounded_where_euler_does_not(build: Any, defaults: Any, run: Any) -> None:
    neuron, system = build(CONDUCTANCE)
    stiff = run(discretize(system), 100.0, defaults(neuron))
    stiff.advance(20)
    assert -71 < stiff["v"] < 0


def test_constant_conductance_reaches_its_steady_state(build: Any, defaults: Any, run: Any) -> None:
    """Catalogue S5: V_inf = -43.3333 mV and tau_eff = 13.333 ms for g = 5 nS."""
    neuron, system = build("""
neuron Held:
    param g = 5 nS
    state v = -65 mV
    200 pF*dv/dt = 10 nS*(-65 mV - v) + g*(0 mV - v)
    spike when v > 0 mV
""")
    runner = run(discretize(system), 13.3333333333, defaults(neuron))
    runner.advance()
    infinity = -650 / 15
    assert (runner["v"] - infinity) / (-65 - infinity) == pytest.approx(np.exp(-1), rel=1e-9)
    runner.advance(40)
    assert runner["v"] == pytest.approx(-43.3333, abs=1e-4)


# --- noise ------------------------------------------------------------------------------------------------------------

GEOMETRIC = """
neuron Brown:
    param mu = 0.02/ms
    param sigma = 0.15
    state x = 1
    dx/dt = mu*x + sigma*x*sqrt(1/ms)*xi
    spike when x > 1e9
"""

OU = """
neuron OU:
    param tau = 10 ms
    param sigma = 2 mV
    param mu = 1 mV
    state v = 0 mV
    dv/dt = (mu - v)/tau + sigma*sqrt(2/tau)*xi
    spike when v > 1 V
"""

CUBIC_NOISE = """
neuron Cubic:
    state x = 1
    dx/dt = -0.05/ms*x^3 + 0.2*sqrt(1/ms)*xi
    spike when x > 1e9
"""


class _Path:
    """Brownian increments on a fine grid, handed out in sums to coarser steps, the same path for every dt."""

    def __init__(self, seed: Any, paths: Any, fine: Any, steps: Any) -> None:
        self.fine = np.random.default_rng(seed).standard_normal((steps, paths)) * np.sqrt(fine)
        self.grid = fine

    def draws(self, dt: Any) -> Any:
        ratio = round(dt / self.grid)
        sums = self.fine.reshape(-1, ratio, self.fine.shape[1]).sum(axis=1) / np.sqrt(dt)
        counter = iter(sums)
        return lambda number: next(counter)

    @property
    def end(self) -> Any:
        return self.fine.sum(axis=0)


def _strong_errors(step: Any, values: Any, path: Any, dts: Any, duration: Any, exact: Any, run: Any) -> Any:
    errors = []
    for dt in dts:
        runner = run(step, dt, values)
        runner.increments = path.draws(dt)
        runner.advance(round(duration / dt))
        errors.append(np.mean(np.abs(runner[step.updates[0].name] - exact)))
    return np.polyfit(np.log(dts), np.log(errors), 1)[0]


def test_euler_maruyama_has_strong_order_one_half(build: Any, defaults: Any, run: Any) -> None:
    neuron, system = build(GEOMETRIC)
    step = discretize(system)
    assert (step.method, step.order) == ("euler_maruyama", 0.5)
    duration, fine, paths = 20.0, 0.0390625, 3000
    path = _Path(1, paths, fine, 512)
    values = defaults(neuron, x=np.ones(paths), sigma=0.15)
    s = 0.15
    exact = np.exp((0.02 - s**2 / 2) * duration + s * path.end)
    slope = _strong_errors(step, values, path, (1.25, 0.625, 0.3125, 0.15625), duration, exact, run)
    assert slope == pytest.approx(0.5, abs=0.12)


def test_heun_converges_to_stratonovich(build: Any, defaults: Any, run: Any) -> None:
    neuron, system = build(GEOMETRIC)
    step = discretize(system, "heun")
    duration, fine, paths = 20.0, 0.0390625, 1000
    path = _Path(2, paths, fine, 512)
    values = defaults(neuron, x=np.ones(paths), sigma=0.15)
    s = 0.15
    exact = np.exp(0.02 * duration + s * path.end)
    slope = _strong_errors(step, values, path, (1.25, 0.625, 0.3125, 0.15625), duration, exact, run)
    assert slope > 0.85  # one source per state: better than the declared 0.5 of the general case


@pytest.mark.parametrize("method", ["euler_maruyama", "heun"])
def test_additive_noise_has_strong_order_one(build: Any, defaults: Any, run: Any, method: Any) -> None:
    neuron, system = build(CUBIC_NOISE)
    step = discretize(system, method)
    assert step.order == 1.0
    duration, fine, paths = 20.0, 0.0048828125, 400
    path = _Path(3, paths, fine, 4096)
    values = defaults(neuron, x=np.ones(paths))
    reference = run(discretize(system, "heun"), fine, values)
    reference.increments = path.draws(fine)
    reference.advance(4096)
    slope = _strong_errors(step, values, path, (1.25, 0.625, 0.3125, 0.15625), duration, reference["x"], run)
    assert slope > 0.9
    if method == "euler_maruyama":
        assert slope == pytest.approx(1.0, abs=0.15)


def test_automatic_choice_with_noise(build: Any) -> None:
    assert discretize(build(OU)[1]).method == "exact"
    assert discretize(build(CUBIC_NOISE)[1]).method == "heun"
    assert discretize(build(GEOMETRIC)[1]).method == "euler_maruyama"


@pytest.mark.parametrize("dt", [0.1, 5.0, 40.0])
def test_ornstein_uhlenbeck_is_exact_at_any_step(build: Any, defaults: Any, run: Any, dt: Any) -> None:
    neuron, system = build(OU)
    step = discretize(system)
    assert step.order is None
    paths = 20_000
    runner = run(step, dt, defaults(neuron, v=np.zeros(paths)))
    runner.advance(4)
    elapsed = 4 * dt
    mean, variance = 1 - np.exp(-elapsed / 10), 4 * (1 - np.exp(-2 * elapsed / 10))
    # xi has the unit s^-0.5 and values are in ms: sigma*sqrt(2/tau)*xi keeps its variance sigma^2
    assert runner["v"].mean() == pytest.approx(mean, abs=4 * np.sqrt(variance / paths))
    assert runner["v"].var() == pytest.approx(variance, rel=0.05)


def test_noise_in_an_exponential_euler_step(build: Any, defaults: Any, run: Any) -> None:
    neuron, system = build("""
neuron Noisy:
    state g = 0.1/ms
    state v = 0 mV
    dg/dt = -g/1000000 ms
    dv/dt = -g*v + 1 mV*sqrt(0.2/ms)*xi
    spike when v > 1 V
""")
    step = discretize(system)
    assert step.method == "exponential_euler"
    paths = 20_000
    runner = run(step, 2.0, defaults(neuron, v=np.zeros(paths)))
    runner.advance(50)
    assert runner["v"].var() == pytest.approx(1.0, rel=0.05)
