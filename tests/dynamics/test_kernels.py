"""Response kernels against direct sums of kernel(t - t_k) over events."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnlang.diagnostics import SnnError
from snnlang.dynamics.integrate import discretize
from snnlang.dynamics.kernels import realise, window_length

DT = 0.5
SPIKES = (3, 4, 10, 25, 26, 60)  # steps in which the neuron spikes

KERNELS = {
    "exp(-t/tau)": lambda s: np.exp(-s / 5),
    "(t/tau)*exp(1 - t/tau)": lambda s: s / 5 * np.exp(1 - s / 5),
    "(exp(-t/tau) - exp(-t/2 ms))/(1 - 2 ms/tau)": lambda s: (np.exp(-s / 5) - np.exp(-s / 2)) / (1 - 2 / 5),
    "exp(-t/tau)*cos(t/3 ms)": lambda s: np.exp(-s / 5) * np.cos(s / 3),
    "exp(-t/tau)*sin(t/3 ms) + 0.5*exp(-t/9 ms)": lambda s: np.exp(-s / 5) * np.sin(s / 3) + 0.5 * np.exp(-s / 9),
    "(t/tau)^2*exp(-t/tau) - 2*(t/tau)*exp(-t/tau)": lambda s: (
        (s / 5) ** 2 * np.exp(-s / 5) - 2 * s / 5 * np.exp(-s / 5)
    ),
    "1 + t/tau": lambda s: 1 + s / 5,
    "cosh(t/100 ms)*exp(-t/tau)": lambda s: np.cosh(s / 100) * np.exp(-s / 5),
}


def _text(kernel: Any, last: Any = "") -> Any:
    return f"""
kernel eps(t, tau = 5 ms) = {kernel}

neuron SRM:
    param theta = 1
    input h = 0
    u = h + 2*response(eps, spike{last})
    spike when u >= theta
"""


def _jump(system: Any, values: Any, spiked: Any) -> None:
    if spiked:
        for response in system.responses:
            values[response.name] = response.jump if response.replace else values[response.name] + response.jump


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("last", ["", ", last"])
def test_exponential_kernels_become_exact_states(
    build: Any, defaults: Any, run: Any, evaluate: Any, kernel: Any, last: Any
) -> None:
    neuron, system = build(_text(kernel, last))
    assert system.windows == ()
    assert system.responses
    start = {**defaults(neuron), **{state.name: 0.0 for state in system.states}}
    runner = run(discretize(system), DT, start)
    u = next(d.value for d in system.definitions if d.name == "u")
    for n in range(80):
        runner.advance()
        fired = [k for k in SPIKES if k < n]
        if last:
            fired = fired[-1:]
        expected = sum(2 * KERNELS[kernel]((n - k) * DT) for k in fired)
        assert evaluate(u, runner.values) == pytest.approx(expected, rel=1e-10, abs=1e-10)
        _jump(system, runner.values, n in SPIKES)


def test_one_exponential_needs_one_state_with_a_plain_name(build: Any) -> None:
    _, system = build(_text("exp(-t/tau)"))
    assert [state.name for state in system.states] == ["eps_spike"]
    step = discretize(system)
    assert step.method == "exact"
    assert [let.name for let in step.coefficients] == ["decay_eps_spike"]


def test_other_kernels_become_a_finite_window(build: Any, defaults: Any, evaluate: Any) -> None:
    _, system = build(_text("exp(-(t/tau)^2)"))
    assert system.responses == ()
    (window,) = system.windows
    length = window_length(window, DT, {})
    assert length == pytest.approx(5 * np.sqrt(np.log(1e6)) / DT, abs=2)
    written = realise(system, DT, {})
    value = next(d.value for d in written.definitions if d.name == window.name)
    names = [node.name for node in written.nodes]
    assert names.index(window.name) < names.index("u") < names.index("spike")
    for n in range(80):
        values = {"dt": DT, **{f"event:spike[-{lag}]": float(n - lag in SPIKES) for lag in range(1, length + 1)}}
        expected = sum(np.exp(-(((n - k) * DT / 5) ** 2)) for k in SPIKES if 0 < n - k <= length)
        assert evaluate(value, values) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_the_latest_event_alone_needs_no_window(build: Any, evaluate: Any) -> None:
    _, system = build(_text("exp(-(t/tau)^2)", ", last"))
    assert system.windows == system.responses == ()
    u = next(d.value for d in system.definitions if d.name == "u")
    assert evaluate(u, {"h": 0.0, "since:spike": 4.0}) == pytest.approx(2 * np.exp(-((4 / 5) ** 2)))
    assert evaluate(u, {"h": 0.0, "since:spike": np.inf}) == 0.0


def test_a_kernel_that_does_not_fall_off_is_refused(build: Any) -> None:
    _, system = build(_text("1/(1 + t/tau)"))
    with pytest.raises(SnnError) as caught:
        realise(system, DT, {})
    assert caught.value.diagnostics[0].code == "E707"
    assert "last" in str(caught.value)


def test_a_filtered_signal_follows_the_convolution(build: Any, defaults: Any, run: Any, evaluate: Any) -> None:
    neuron, system = build("""
kernel low(t, tau = 5 ms) = exp(-t/tau)/tau

neuron Filter:
    input I = 0 mV
    u = response(low, I)
    spike when u > 1 V
""")
    signal = np.random.default_rng(0).normal(size=60)
    runner = run(discretize(system), DT, {**defaults(neuron), **{state.name: 0.0 for state in system.states}})
    u = system.definitions[0].value
    for n, value in enumerate(signal):
        runner.values["I"] = value
        runner.advance()
        held = np.exp(-(np.arange(n, -1, -1) * DT) / 5) * -np.expm1(-DT / 5)
        assert evaluate(u, runner.values) == pytest.approx(float(held @ signal[: n + 1]), rel=1e-10, abs=1e-12)


def test_cumulative_response_is_the_membrane_with_soft_reset(
    build: Any, defaults: Any, run: Any, evaluate: Any
) -> None:
    """Catalogue N11: a leaky integrator with reset by subtraction is the cumulative SRM with eta = -theta*exp(-s/tau)."""
    neuron, system = build("""
kernel eta(s, tau = 20 ms) = -exp(-s/tau)

neuron SRM:
    param theta = 1
    port state h = 0
    20 ms*dh/dt = -h
    u = h + theta*response(eta, spike)
    spike when u >= theta
""")
    rng = np.random.default_rng(5)
    arrivals = rng.random(300) < 0.3
    runner = run(discretize(system), 1.0, {**defaults(neuron), **{s.name: 0.0 for s in system.responses}})
    u = system.definitions[0].value
    v, spikes, reference = 0.0, 0, 0
    for arrived in arrivals:
        v = v * np.exp(-1 / 20) + 0.4 * arrived
        runner.advance()
        runner.values["h"] += 0.4 * arrived
        value = float(evaluate(u, runner.values))
        assert value == pytest.approx(v, abs=1e-13)
        fired = value >= 1 - 1e-12
        if v >= 1 - 1e-12:
            v -= 1
            reference += 1
        spikes += fired
        _jump(system, runner.values, fired)
    assert spikes == reference > 10
