"""Where the variables of library-like synapses live, why, and what is folded into the target."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from snnlang.diagnostics import SnnError
from snnlang.dynamics.equations import derive
from snnlang.dynamics.integrate import discretize
from snnlang.dynamics.placement import advance_rule, attachment, is_folded, normalise, place
from snnlang.dynamics.text import to_text

STDP = """
synapse STDP:
    param tau_pre = 20 ms
    param tau_post = 20 ms
    param A_pre = 0.01
    param A_post = -0.0105
    weight w = 0.5 in [0, 1]
    trace x on pre decay tau_pre
    trace y on post decay tau_post
    on pre:
        deliver w
        w += A_post*y
    on post:
        w += A_pre*x
"""

COND = """
synapse Conductance:
    param tau = 5 ms
    param E_rev = 0 mV
    weight w = 1 nS
    state g = 0 nS
    tau*dg/dt = -g
    on pre: g += w
    deliver g*(E_rev - post.v)
"""


def _placed(load: Any, text: Any, **options: Any) -> Any:
    synapse = normalise(list(load(text).synapses.values())[-1])
    uniform = options.pop("uniform", frozenset(param.name for param in synapse.params))
    placement = place(synapse, uniform, **options)
    return synapse, placement, {item.name: item.where for item in placement.placed}


def test_delta(load: Any) -> None:
    text = "synapse Delta:\n    weight w = 1 mV\n    on pre: deliver w\n"
    assert _placed(load, text)[2] == {"w": "synapse"}
    assert _placed(load, text, constant_weights=frozenset({"w"}))[2] == {"w": "scalar"}


def test_plastic_weight_is_never_a_constant(load: Any) -> None:
    _, placement, where = _placed(load, STDP, constant_weights=frozenset({"w"}))
    assert where == {"x": "pre", "y": "post", "w": "synapse"}
    assert placement.warnings == ()
    assert "rule changes" in placement.placed[-1].reason


def test_traces_need_shared_parameters_and_delays(load: Any) -> None:
    _, placement, where = _placed(load, STDP, uniform=frozenset({"tau_post", "A_pre", "A_post"}))
    assert where == {"x": "synapse", "y": "post", "w": "synapse"}
    assert "`tau_pre`, which differs from synapse to synapse" in placement.placed[0].reason
    _, placement, where = _placed(load, STDP, uniform_delay=False)
    assert where["x"] == "pre"  # read through a ring, as it was when the spike was sent
    assert "when the spike was sent" in placement.placed[0].reason
    counted = STDP.replace("    trace x on pre decay tau_pre", "    state x = 0").replace(
        "        deliver w\n", "        deliver w\n        x += 1\n"
    )
    _, placement, where = _placed(load, counted, uniform_delay=False)
    assert where["x"] == "synapse"
    assert any("delay of its own" in item.reason for item in placement.placed)
    assert _placed(load, STDP, plain_dendritic=False)[2]["y"] == "synapse"


def test_exponential_current_is_summed(load: Any) -> None:
    text = """
synapse Exponential:
    param tau = 5 ms
    weight w = 1 pA
    state g = 0 pA
    tau*dg/dt = -g
    on pre: g += w
    deliver g
"""
    assert _placed(load, text)[2] == {"w": "synapse", "g": "summed"}
    assert _placed(load, text, uniform_delay=False)[2]["g"] == "summed"
    assert _placed(load, text, uniform=frozenset())[2]["g"] == "synapse"


def test_alpha_and_biexponential_are_summed(load: Any) -> None:
    text = """
synapse Alpha:
    param tau = 5 ms
    weight w = 1 pA
    state g = 0 pA
    state h = 0 pA
    tau*dg/dt = -g + h
    tau*dh/dt = -h
    on pre: h += 2.718281828459045*w
    deliver g
"""
    assert _placed(load, text)[2] == {"w": "synapse", "g": "summed", "h": "summed"}


def test_conductance_is_folded_into_the_target(load: Any, build: Any, defaults: Any, run: Any) -> None:
    synapse, placement, where = _placed(load, COND)
    assert where == {"w": "synapse", "g": "summed"}
    piece = attachment("E_to_E", synapse, placement, "I")
    assert piece.params == ("E_to_E_tau", "E_to_E_E_rev")
    assert [state.name for state in piece.states] == ["E_to_E_g"]
    assert [(port, to_text(term)) for port, term in piece.terms] == [("I", "E_to_E_g*(E_to_E_E_rev - v)")]
    neuron, _ = build("""
neuron Cell:
    param E_L = -65 mV
    input I = 0 pA
    state v = E_L
    200 pF*dv/dt = 10 nS*(E_L - v) + I
    spike when v > 0 mV
""")
    system = derive(neuron, (piece,), absent=frozenset({"I"}))
    step = discretize(system)
    assert step.method == "exponential_euler"
    assert "I" not in system.inputs
    runner = run(step, 0.01, {**defaults(neuron), "E_to_E_tau": 5.0, "E_to_E_E_rev": 0.0, "E_to_E_g": 7.0})
    runner.advance(1000)
    exact = solve_ivp(
        lambda t, y: [(10 * (-65 - y[0]) - y[1] * y[0]) / 200, -y[1] / 5], (0, 10), [-65, 7], rtol=1e-10, atol=1e-10
    ).y[:, -1]
    assert [runner["v"], runner["E_to_E_g"]] == pytest.approx(list(exact), rel=1e-3)


def test_current_synapses_keep_the_membrane_exact(load: Any, build: Any) -> None:
    synapse, placement, _ = _placed(
        load, COND.replace("g*(E_rev - post.v)", "g*10 mV").replace("    param E_rev = 0 mV\n", "")
    )
    neuron, _ = build(
        "neuron C:\n    input I = 0 pA\n    state v = 0 mV\n    200 pF*dv/dt = -10 nS*v + I\n    spike when v > 1 V\n"
    )
    first = attachment("a", synapse, placement, "I")
    second = attachment("b", synapse, placement, "I")
    step = discretize(derive(neuron, (first, second)))
    assert (step.method, step.order) == ("exact", None)
    assert {let.name for let in step.coefficients} >= {"decay_v", "P_v_a_g", "P_v_b_g", "P_v_I"}


def test_nmda_is_folded(load: Any) -> None:
    synapse, placement, where = _placed(
        load,
        """
synapse NMDA:
    param tau = 100 ms
    param Mg = 1
    weight w = 1 nS
    state g = 0 nS
    tau*dg/dt = -g
    on pre: g += w
    deliver g*(0 mV - post.v)/(1 + Mg/3.57*exp(-0.062/mV*post.v))
""",
    )
    assert where["g"] == "summed"
    assert is_folded(synapse.delivers[0], synapse, placement)


def test_saturating_gate_is_not_summed(load: Any) -> None:
    _, placement, where = _placed(
        load,
        """
synapse Saturating:
    param tau = 5 ms
    weight w = 1 pA
    state s = 0
    tau*ds/dt = -s
    on pre: s += 0.5*(1 - s)
    deliver w*s
""",
    )
    assert where == {"w": "synapse", "s": "pre"}
    assert placement.warnings == ()


def test_tsodyks_markram_lives_at_the_pre_neuron(load: Any) -> None:
    synapse, _, where = _placed(
        load,
        """
synapse TM:
    param U = 0.5
    param tau_f = 50 ms
    param tau_rec = 800 ms
    weight w = 1 mV
    state u = 0
    state x = 1
    tau_f*du/dt = -u
    tau_rec*dx/dt = 1 - x
    on pre:
        u += U*(1 - u)
        deliver w*u*x
        x -= u*x
""",
    )
    assert where == {"w": "synapse", "u": "pre", "x": "pre"}
    step = advance_rule(synapse, ["u", "x"])
    assert step.method == "exact"
    assert [let.name for let in step.updates] == ["u", "x"]


def test_eligibility_costs_work_per_synapse_and_says_so(load: Any) -> None:
    text = (
        STDP
        + """
synapse RSTDP(STDP):
    param tau_e = 1 s
    param eta = 0.1 Hz
    broadcast input DA = 0
    state e = 0
    tau_e*de/dt = -e
    dw/dt = eta*DA*e
    override on pre:
        deliver w
        e += A_post*y
    override on post:
        e += A_pre*x
"""
    )
    synapse, placement, where = _placed(load, text)
    assert where == {"x": "pre", "y": "post", "w": "synapse", "e": "synapse"}
    (warning,) = placement.warnings
    assert warning.code == "W701"
    assert "`e` and `w`" in warning.message
    assert warning.label == "depends on both sides: `on pre` and `y`"
    step = advance_rule(synapse, ["e", "w"])
    assert step.method == "exact"


def test_eligibility_is_advanced_exactly(load: Any, run: Any) -> None:
    """Catalogue L10: the drift of w over a time is eta*DA*tau_e*(1 - exp(-t/tau_e))*e."""
    synapse, _, _ = _placed(
        load,
        """
synapse E:
    param tau_e = 1 s
    param eta = 1 Hz
    weight w = 0
    broadcast input DA = 0
    state e = 0
    tau_e*de/dt = -e
    dw/dt = eta*DA*e
    on pre:
        deliver w*1 mV
        e += 1
    on post: e -= 1
""",
    )
    step = advance_rule(synapse, ["e", "w"])
    runner = run(step, 500.0, {"tau_e": 1000.0, "eta": 1e-3, "DA": 0.5, "e": 0.1, "w": 0.0})
    runner.advance()
    assert runner["e"] == pytest.approx(0.1 * np.exp(-0.5))
    assert runner["w"] == pytest.approx(0.1 * 0.5 * (1 - np.exp(-0.5)))


def test_traces_in_steps_decay_per_step(load: Any, run: Any) -> None:
    synapse, _, _ = _placed(
        load,
        """
synapse D:
    weight w = 0.5
    trace x on pre decay 20
    on pre: deliver w
    on post: w += 0.1*x
""",
    )
    step = advance_rule(synapse, ["x"])
    for dt in (1.0, 0.25):
        runner = run(step, dt, {"x": 1.0})
        runner.advance()
        assert runner["x"] == pytest.approx(np.exp(-1 / 20))


def test_a_mixed_if_is_per_synapse(load: Any) -> None:
    _, _, where = _placed(
        load,
        """
synapse Mixed:
    weight w = 0.5
    state last = 0
    on pre:
        deliver w*1 mV
        if w > 0.2:
            last = 1
    on post:
        w += 0.1*last
""",
    )
    assert where["last"] == "synapse"
    _, _placement, where = _placed(
        load,
        """
synapse Apart:
    weight w = 0.5
    state count = 0
    on pre:
        deliver w*1 mV
        if count < 3:
            count += 1
    on post:
        w += 0.1*count
""",
    )
    assert where["count"] == "pre"


def test_a_response_of_the_synapse_becomes_a_summed_state(load: Any) -> None:
    synapse, _, where = _placed(
        load,
        """
kernel eps(t, tau = 5 ms) = t/tau*exp(1 - t/tau)

synapse TimeCourse:
    weight w = 1 pA
    deliver w*response(eps, pre)
""",
    )
    assert where == {"w": "synapse", "eps_pre_1": "summed", "eps_pre_2": "summed"}
    (handler,) = synapse.handlers
    assert handler.trigger.kind == "pre"
    assert to_text(handler.body[0].value) == "w"


def test_a_plastic_weight_stays_outside_the_response(load: Any) -> None:
    _synapse, _, where = _placed(
        load,
        """
kernel eps(t, tau = 5 ms) = exp(-t/tau)

synapse Plastic:
    weight w = 1 pA
    deliver w*response(eps, pre)
    on post: w += 0.1 pA
""",
    )
    assert "summed" not in where.values()
    assert "pre" in where.values()


def test_a_kernel_without_equation_is_refused_in_a_synapse(load: Any) -> None:
    with pytest.raises(SnnError) as caught:
        _placed(
            load,
            """
kernel eps(t, tau = 5 ms) = exp(-(t/tau)^2)

synapse Gauss:
    weight w = 1 pA
    deliver w*response(eps, pre)
""",
        )
    assert caught.value.diagnostics[0].code == "E709"


def test_every_place_has_a_reason(load: Any) -> None:
    for text in (STDP, COND):
        _, placement, _ = _placed(load, text)
        assert all(len(item.reason) > 10 for item in placement.placed)


def test_what_changes_by_the_clock_alone_is_kept_per_post_neuron(load: Any) -> None:
    _, _placement, where = _placed(
        load,
        """
synapse Clock:
    weight w = 1 mV
    state phase = 0
    on pre: deliver w*phase
    on every 10 ms: phase += 1
""",
    )
    assert where == {"w": "synapse", "phase": "post"}


def test_a_given_initial_value_is_not_summed_away(load: Any) -> None:
    assert _placed(load, COND, given=frozenset({"g"}))[2]["g"] == "synapse"
    text = COND.replace("g += w", "g += 1 nS").replace("deliver g*", "deliver w/1 nS*g*")
    assert _placed(load, text)[2]["g"] == "summed"
    assert _placed(load, text, given=frozenset({"g"}))[2]["g"] == "synapse"  # its jumps hold the weight
    assert _placed(load, COND, given=frozenset({"g"}), varied=frozenset({"g"}))[1].placed[-1].reason


def test_broadcast_inputs_are_not_folded(load: Any) -> None:
    text = COND.replace("    state g", "    broadcast input DA = 1\n    state g").replace("deliver g*", "deliver DA*g*")
    assert _placed(load, text, uniform=frozenset({"tau", "E_rev", "DA"}))[2]["g"] == "synapse"
