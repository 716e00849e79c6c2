"""Deriving systems: left sides, definitions, noise, attachments, the difference graph, and what is refused."""

from __future__ import annotations

import time
from typing import Any

import pytest

from snnlang.diagnostics import SnnError
from snnlang.dynamics.equations import derive
from snnlang.dynamics.integrate import METHODS, check_dt, discretize
from snnlang.dynamics.latex import equations_latex, to_latex
from snnlang.dynamics.order import order
from snnlang.dynamics.summary import summary
from snnlang.dynamics.text import step_text, system_text, to_text
from snnlang.model.expression import Binary, Constant, Variable
from snnlang.model.model import Difference


def _code(call: Any) -> str:
    with pytest.raises(SnnError) as caught:
        call()
    return caught.value.diagnostics[0].code


@pytest.mark.parametrize(
    "equation,expected",
    [
        ("tau*dv/dt = -v", "-v/tau"),
        ("dv/dt*tau = -v", "-v/tau"),
        ("dv/dt = -v/tau", "-v/tau"),
        ("2*tau*dv/dt = -v", "-v/2/tau"),
        ("tau*dv/dt + v = 0 mV", "-v/tau"),
        ("-tau*dv/dt = v", "-v/tau"),
        ("C*dv/dt/g = -v", "-v*g/C"),
    ],
)
def test_any_left_side_linear_in_the_derivative(build: Any, evaluate: Any, equation: Any, expected: Any) -> None:
    _, system = build(f"""
neuron M:
    param tau = 10 ms
    param C = 200 pF
    param g = 20 nS
    state v = 1 mV
    {equation}
    spike when v > 1 V
""")
    rate = evaluate(system.odes[0].rate, {"tau": 10.0, "C": 200.0, "g": 20.0, "v": 3.0})
    divisor = 20.0 if equation.startswith("2") else 10.0
    assert rate == pytest.approx(-3.0 / divisor)
    assert system.odes[0].source == equation


def test_definitions_are_inlined_in_rates_and_kept_by_name(build: Any) -> None:
    _, system = build("""
neuron M:
    state v = 0 mV
    param E = -65 mV
    leak = E - v
    total = 2*leak
    10 ms*dv/dt = total
    spike when total > 1 V
""")
    assert to_text(system.odes[0].rate) == "2*(E - v)/10"
    assert to_text(system.odes[0].named) == "total/10"
    assert system.reserved == ("leak", "total")


def test_names_of_a_step_never_meet_reserved_ones(build: Any) -> None:
    _, system = build("""
neuron M:
    param decay_v = 2
    state v = 0 mV
    state k1_v = 0 mV
    slope = 0.1/ms*v
    dv/dt = -slope*v/1 mV + k1_v/10 ms
    10 ms*dk1_v/dt = -k1_v
    spike when slope > 1/ms*1 V
""")
    for method in ("rk4", "heun", "euler"):
        step = discretize(system, method)
        lets = [let.name for let in (*step.coefficients, *step.body)]
        assert len(lets) == len(set(lets))
        assert not set(lets) & {"v", "k1_v", "decay_v", "slope", "t", "dt"}


def test_white_noise_is_split_off(build: Any) -> None:
    _, system = build("""
neuron M:
    param sigma = 1 mV
    param tau = 10 ms
    state v = 0 mV
    tau*dv/dt = -v + sigma*sqrt(2*tau)*xi + 0.5*sigma*sqrt(tau)*xi
    spike when v > 1 V
""")
    (ode,) = system.odes
    assert to_text(ode.rate) == "-v/tau"
    assert [number for number, _ in ode.noises] == [0, 1]
    step = discretize(system)
    assert sum("normal(0, 1)" in to_text(let.value) for let in step.body) == 2


def test_absent_inputs_leave_the_equations(build: Any) -> None:
    text = """
neuron M:
    input I = 3 mV
    state v = 0 mV
    10 ms*dv/dt = -v + I
    spike when v > 1 V
"""
    _, system = build(text, absent=frozenset({"I"}))
    assert system.inputs == ()
    assert to_text(system.odes[0].rate) == "(-v + 3)/10"


def test_difference_graph_follows_the_catalogue_order(build: Any) -> None:
    """PCNN: F, L, U, Y, Theta."""
    _, system = build("""
neuron PCNN:
    param beta = 0.1
    input S = 0
    input link = 0
    state Theta = 1
    state F = 0
    state L = 0
    Theta[n] = 0.6*Theta[n-1] + 20*spike[n]
    U[n] = F[n]*(1 + beta*L[n])
    spike when U > Theta[n-1]
    L[n] = 0.37*L[n-1] + 0.2*link[n]
    F[n] = 0.9*F[n-1] + S[n]
""")
    assert [node.name for node in system.nodes] == ["F", "L", "U", "spike", "Theta"]
    assert [node.kind for node in system.nodes] == ["difference", "difference", "definition", "event", "difference"]


def test_events_that_nothing_waits_for_come_last(build: Any) -> None:
    _, system = build("""
neuron M:
    input x = 0
    state a = 0
    state b = 0
    spike when a > 1
    event big when b > 2
    b[n] = a[n] + spike[n-1]
    a[n] = 0.5*a[n-1] + x[n]
""")
    assert [node.name for node in system.nodes] == ["a", "b", "spike", "big"]


def test_a_cycle_is_refused() -> None:
    a = Difference("a", Binary("+", Variable("b", lag=0), Constant(1.0)))
    b = Difference("b", Variable("a", lag=0))
    assert _code(lambda: order([a, b], [], [])) == "E703"


CUBIC = """
neuron Cubic:
    param tau = 10 ms
    state v = 1
    tau*dv/dt = v - v^3
    spike when v > 1e9
"""

NOISY = """
neuron Noisy:
    param tau = 10 ms
    state v = 1
    tau*dv/dt = -v + v*sqrt(tau)*xi
    spike when v > 1e9
"""


def test_unknown_method_names_the_nearest(build: Any) -> None:
    _, system = build(CUBIC)
    with pytest.raises(SnnError) as caught:
        discretize(system, "rk5")
    text = str(caught.value)
    assert "error[E706]" in text
    assert "did you mean `rk4`?" in text
    assert all(name in text for name in METHODS)


def test_exact_points_at_the_term_that_is_not_linear(build: Any) -> None:
    _, system = build(CUBIC)
    with pytest.raises(SnnError) as caught:
        discretize(system, "exact")
    diagnostic = caught.value.diagnostics[0]
    assert diagnostic.code == "E702"
    assert diagnostic.span is not None
    assert diagnostic.span.text == "v^3"


def test_methods_that_cannot_are_refused(build: Any) -> None:
    _, cubic = build(CUBIC)
    _, noisy = build(NOISY)
    assert _code(lambda: discretize(cubic, "exponential_euler")) == "E705"
    assert _code(lambda: discretize(noisy, "rk4")) == "E705"
    assert _code(lambda: discretize(noisy, "exact")) == "E702"
    assert discretize(noisy).method == "euler_maruyama"


def test_the_choice_follows_the_form_not_the_values(build: Any) -> None:
    assert discretize(build(CUBIC)[1]).method == "rk4"
    _, system = build("""
neuron Switched:
    param k = 0
    state v = 1
    10 ms*dv/dt = -v - k*v^3
    spike when v > 1e9
""")
    assert discretize(system).method == "rk4"  # although k = 0 makes it linear


def test_piecewise_rates(build: Any, defaults: Any, run: Any) -> None:
    neuron, system = build("""
neuron Piecewise:
    state v = 0 mV
    10 ms*dv/dt = -v + (5 mV if v < 2 mV else 2 mV)
    spike when v > 1 V
""")
    runner = run(discretize(system, "rk4"), 0.1, defaults(neuron))
    runner.advance(2000)
    assert runner["v"] == pytest.approx(2.0, abs=0.05)


def test_dt_is_checked_against_the_method(build: Any) -> None:
    _, system = build("""
neuron Fast:
    param tau = 1 ms
    state v = 0 mV
    tau*dv/dt = -v
    spike when v > 1 V
""")
    step = discretize(system, "euler")
    assert [d.code for d in check_dt(system, step, 2.5, {"tau": 1.0})] == ["E708"]
    assert [d.code for d in check_dt(system, step, 1.5, {"tau": 1.0})] == ["W708"]
    assert check_dt(system, step, 0.5, {"tau": 1.0}) == []
    assert check_dt(system, discretize(system), 50.0, {"tau": 1.0}) == []
    assert [d.code for d in check_dt(system, discretize(system, "rk4"), 3.0, {"tau": 1.0})] == ["E708"]
    assert "stable up to dt = 2 ms" in str(check_dt(system, step, 2.5, {"tau": 1.0})[0])


def test_unstable_is_really_unstable(build: Any, defaults: Any, run: Any) -> None:
    neuron, system = build("neuron F:\n    state v = 1 mV\n    1 ms*dv/dt = -v\n    spike when v > 1 V\n")
    for method in ("euler", "heun", "rk4"):
        limit = METHODS[method].stability
        assert limit is not None
        for factor, stable in ((0.98, True), (1.02, False)):
            runner = run(discretize(system, method), factor * limit, defaults(neuron))
            runner.advance(400)
            assert bool(abs(runner["v"]) < 1) is stable


LIF = """
neuron LIF:
    param tau_m = 20 ms
    param v_rest = -70 mV
    param R = 100 MOhm
    input I = 0 nA
    state v = v_rest
    tau_m*dv/dt = -(v - v_rest) + R*I
    spike when v >= -50 mV
"""


def test_text_and_latex(build: Any) -> None:
    _, system = build(LIF)
    assert "dv/dt = (-(v - v_rest) + R*I)/tau_m" in system_text(system)
    assert "once:" in step_text(discretize(system))
    latex = equations_latex(system)
    assert latex.startswith("\\begin{align*}")
    assert r"\frac{dv}{dt} &= \frac{-\left(v - v_{\mathrm{rest}}\right) + R\,I}{\tau_{m}}" in latex
    assert to_latex(Binary("^", Variable("θ"), Constant(2.0))) == r"\theta^{2}"
    assert any("computed once: decay_v" in line for line in summary(system, discretize(system)))


def test_symbolic_stage_is_quick(build: Any) -> None:
    """Deriving and discretizing a common model takes well under 0.15 s once sympy is loaded."""
    _, warm = build(LIF)
    discretize(warm)
    neuron, _ = build(LIF.replace("neuron LIF", "neuron Again"))
    start = time.perf_counter()
    discretize(derive(neuron))
    assert time.perf_counter() - start < 0.15
