"""Rules of execution that the other files leave out, each against a number worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.targets import Run

PASS = "neuron P:\n    input x = 7\n    state u = 0\n    u[n] = x[n]\n    output u\n"
SOURCE = (
    "neuron S:\n    param period = 3\n    state k = 0\n    k[n] = k[n-1] + 1\n"
    "    spike when k >= period\n    on spike:\n        k = 0\n"
)


def test_an_input_has_its_default_where_its_population_gets_nothing(run: Run) -> None:
    recording = run(
        PASS + "network N:\n    population a[2]: P\n    population b[2]: P\n    connect a -> b.x: one_to_one, w = 3\n"
        "simulate N:\n    duration = 2\n    record a.u, b.x, b.u\n"
    )
    assert recording["a.u"].tolist() == [[7, 7]] * 2
    assert recording["b.x"].tolist() == recording["b.u"].tolist() == [[21, 21]] * 2


def test_drives_of_slices_add_up(run: Run) -> None:
    recording = run(
        PASS + "network N:\n    population a[3]: P\n"
        "simulate N:\n    duration = 2\n    drive a[0:2].x = 5\n    drive a[1:3].x = index\n    record a.u\n"
    )
    assert recording["a.u"].tolist() == [[5, 6, 2]] * 2


def test_an_heir_may_override_a_handler_and_an_equation(run: Run) -> None:
    recording = run(
        "neuron B:\n    state v = 0\n    param th = 3\n    v[n] = v[n-1] + 1\n    spike when v >= th\n"
        "    on spike:\n        v = 0\n"
        "neuron C(B):\n    state c = 0\n    override on spike:\n        v = 1\n        c += 1\n"
        "neuron D(B):\n    override v[n] = v[n-1] + 2\n"
        "network N:\n    population a[1]: B\n    population b[1]: C(th = 4)\n    population d[1]: D\n"
        "simulate N:\n    duration = 8\n    record a.v, b.v, b.c, d.v\n"
    )
    assert recording["a.v"].ravel().tolist() == [1, 2, 0, 1, 2, 0, 1, 2]
    assert recording["b.v"].ravel().tolist() == [1, 2, 3, 1, 2, 3, 1, 2]
    assert recording["b.c"].ravel().tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert recording["d.v"].ravel().tolist() == [2, 0, 2, 0, 2, 0, 2, 0]


def test_a_held_spike_cannot_occur(run: Run) -> None:
    model = "neuron D:\n    state v = 0\n    v[n] = v[n-1] + 1\n    spike when v >= 2\n    on spike:\n        hold spike for {}\n"
    rest = "network N:\n    population a[1]: D\nsimulate N:\n    duration = 12\n    record a.spikes\n"
    assert run(model.format("3") + rest)["a.spikes"][0].tolist() == [1, 5, 9]
    assert run(model.format("inf") + rest)["a.spikes"][0].tolist() == [1]


def test_a_spike_with_probability_has_it(run: Run) -> None:
    recording = run(
        "neuron D:\n    param q = 0.3\n    spike with probability q\n"
        "network N:\n    population a[3000]: D\nsimulate N:\n    duration = 10\n    seed = 3\n    record a.spikes\n"
    )
    draws = 30_000
    assert abs(len(recording["a.spikes"][0]) / draws - 0.3) < 4 * math.sqrt(0.3 * 0.7 / draws)


def test_the_initial_state_is_recorded_on_request(run: Run) -> None:
    text = (
        "neuron D:\n    state v = 5\n    v[n] = v[n-1] + 1\nnetwork N:\n    population a[1]: D\n"
        "simulate N:\n    duration = 3\n    record a.v\n    record_initial = {}\n"
    )
    assert run(text.format("true"))["a.v"].ravel().tolist() == [5, 6, 7, 8]
    assert run(text.format("false"))["a.v"].ravel().tolist() == [6, 7, 8]


def test_methods_are_chosen_per_population(run: Run) -> None:
    recording = run(
        "neuron D:\n    param tau = 10 ms\n    state v = 1\n    tau*dv/dt = -v\n"
        "network N:\n    population a[1]: D\n    population b[1]: D\n    population c[1]: D\n"
        "simulate N:\n    dt = 1 ms\n    duration = 1 ms\n    method = [euler(a), rk4(b)]\n    record a.v, b.v, c.v\n"
    )
    h = 0.1
    expected = [1 - h, 1 - h + h**2 / 2 - h**3 / 6 + h**4 / 24, math.exp(-h)]
    np.testing.assert_allclose([recording[f"{name}.v"][0, 0] for name in "abc"], expected, rtol=1e-14)


def test_a_kernel_filters_a_signal(run: Run) -> None:
    recording = run(
        "kernel k(t, tau = 5 ms) = exp(-t/tau)\nneuron F:\n    input I = 2\n    f = response(k, I)\n    output f\n"
        "network N:\n    population a[1]: F\nsimulate N:\n    dt = 0.1 ms\n    duration = 50 ms\n    record a.f\n"
    )
    t = 0.1 * np.arange(1, 501)
    np.testing.assert_allclose(recording["a.f"].ravel(), 2 * 5 * (1 - np.exp(-t / 5)), rtol=1e-12)


def test_all_events_of_a_step_are_found_before_any_handler(run: Run) -> None:
    recording = run(
        "neuron E:\n    state v = 0\n    state o = 0\n    v[n] = v[n-1] + 1\n    spike when v >= 2\n"
        "    event late when v >= 4\n    on spike:\n        o = 10*o + 1\n        v = v + 1\n"
        "    on late:\n        o = 10*o + 2\n        v = 0\n"
        "network N:\n    population a[1]: E\nsimulate N:\n    duration = 5\n    record a.v, a.o, a.late\n"
    )
    assert recording["a.v"].ravel().tolist() == [1, 3, 0, 1, 3]
    assert recording["a.o"].ravel().tolist() == [0, 1, 112, 112, 1121]
    assert recording["a.late"][0].tolist() == [2]


def test_a_clamp_takes_one_value_per_neuron(run: Run) -> None:
    recording = run(
        "neuron D:\n    state c = 0\n    spike when c > 1000\n    on spike:\n        c += 1\n"
        "network N:\n    population a[2]: D\nsimulate N:\n    duration = 3\n    clamp a.spike = index\n    record a.c\n"
    )
    assert recording["a.c"].tolist() == [[0, 1], [0, 2], [0, 3]]


def test_targets_of_one_connect_draw_graphs_of_their_own(run: Run) -> None:
    recording = run(
        SOURCE + PASS + "network N:\n    population s[40]: S(period = 1)\n    population a[40]: P\n"
        "    population b[40]: P\n    connect s -> a.x, b.x: random(p = 0.5), w = 1\n"
        "simulate N:\n    duration = 1\n    record a.u, b.u\n"
    )
    assert (recording["a.u"] != recording["b.u"]).any()


def test_sums_per_pre_neuron(run: Run) -> None:
    recording = run(
        SOURCE
        + PASS
        + "synapse Q:\n    weight w = 1\n    on pre:\n        deliver w\n        w *= 1 / sum(w, per pre)\n"
        "network N:\n    population s[2]: S(period = 2)\n    population a[3]: P\n"
        "    connect c = s -> a.x: dense via Q, w = [[1, 2, 3], [2, 2, 4]]\n"
        "simulate N:\n    duration = 4\n    record a.u, c.w\n"
    )
    expected = [[0.0, 0.0, 0.0], [3.0, 4.0, 7.0], [0.0, 0.0, 0.0], [1 / 6 + 1 / 4, 7 / 12, 1.0]]
    np.testing.assert_allclose(recording["a.u"], expected)
    np.testing.assert_allclose(recording["c.w"][-1], [1 / 6, 1 / 3, 1 / 2, 1 / 4, 1 / 4, 1 / 2])


def test_blocks_take_parameters(run: Run) -> None:
    recording = run(
        PASS + "network B(k = 2):\n    input x[3]\n    population a[3]: P\n    connect x -> a.x: one_to_one, w = k\n"
        "    output a\nnetwork N:\n    population s[3]: P\n    block b1: B(k = 3)\n    block b2: B\n    s -> b1 -> b2\n"
        "simulate N:\n    duration = 1\n    record b1.a.u, b2.a.u\n"
    )
    assert recording["b1.a.u"].tolist() == [[21] * 3]
    assert recording["b2.a.u"].tolist() == [[42] * 3]


def test_a_delay_between_steps_is_rounded_with_a_warning(run: Run) -> None:
    recording = run(
        "neuron V:\n    port state v = 0 mV\n    10 ms * dv/dt = -v\n    spike when t > 1 ms and t < 1.15 ms\n"
        "network N:\n    population a[2]: V\n    connect a[0:1] -> a[1:2].v: one_to_one, w = 1 mV, delay = 0.26 ms\n"
        "simulate N:\n    dt = 0.1 ms\n    duration = 2 ms\n    record a.v, a.spikes\n"
    )
    assert [warning.code for warning in recording.warnings] == ["W501"]
    sent = round(recording["a.spikes"][0][0] / 0.1)
    assert int((recording["a.v"][:, 1] > 0).argmax()) + 1 == sent + 3


def test_sweeps_multiply_and_keep_the_seed(run: Run) -> None:
    recording = run(
        "neuron R:\n    param k = 1\n    state u = 0\n    state z = 0\n    u[n] = k\n    z[n] = uniform(0, 1)\n"
        "network N(g = 1, h = 1):\n    population a[1]: R(k = g*h)\n"
        "simulate N:\n    duration = 1\n    seed = 4\n    record a.u, a.z\n    sweep g in [1, 2]\n    sweep h in [3, 5]\n"
    )
    assert [point["a.u"][0, 0] for point in recording.sweep] == [3, 5, 6, 10]
    assert len({point["a.z"][0, 0] for point in recording.sweep}) == 1


def test_trials_begin_and_end_with_their_handlers(run: Run) -> None:
    recording = run(
        "neuron D:\n    state v = 0\n    persistent state p = 0\n    state s = 1\n    v[n] = v[n-1] + 1\n"
        "    on trial_start:\n        s = 10 + p\n    on trial_end:\n        p += v\n"
        "neuron T:\n    input x = 0\n    state u = 0\n    u[n] = x[n]\n"
        "network N:\n    input image[64]\n    population a[1]: D\n    population b[64]: T\n"
        "    connect image -> b.x: one_to_one, w = 1\n"
        "simulate N:\n    present digits(limit = 2) as image, label for 3\n    record a.s, a.p, a.v\n"
    )
    assert recording["a.v"].ravel().tolist() == [1, 2, 3, 1, 2, 3]
    assert recording["a.s"].ravel().tolist() == [10, 10, 10, 13, 13, 13]
    assert recording["a.p"].ravel().tolist() == [0, 0, 0, 3, 3, 3]


EACH_ONCE = """
neuron Ramp:
    state u = 0
    u[n] = u[n-1] + 1 + index
    output u

neuron Sum:
    input x = 0
    state y = 0
    y[n] = x

synapse Smooth:
    weight w = 1
    state i = 0
    i[n] = 0.5*i[n-1] + pre.u
    {more}
    deliver w*{sent}

network Net:
    population a[2]: Ramp
    population b[3]: Sum
    connect c = a -> b.x: dense via Smooth, w = [[1, 2, 3], [4, 5, 6]]

simulate Net:
    duration = 5
    record b.y
"""


@pytest.mark.parametrize("sent", ["i", "j"])
def test_equations_of_one_side_are_computed_once_for_each_neuron(run: Run, sent: str) -> None:
    """A state per pre neuron, alone and together with one per synapse that reads it before and after."""
    more = "" if sent == "i" else "state j = 0\n    j[n] = 0.9*j[n-1] + 0.1*w*(i[n] + i[n-1])"
    found = np.asarray(run(EACH_ONCE.format(more=more, sent=sent))["b.y"])
    w = np.array([[1.0, 2, 3], [4, 5, 6]])
    i, j, rows = np.zeros(2), np.zeros((2, 3)), []
    for step in range(5):
        before, i = i, 0.5 * i + (step + 1) * np.array([1.0, 2])
        j = 0.9 * j + 0.1 * w * (i + before)[:, None]
        rows.append(i @ w if sent == "i" else (w * j).sum(0))
    np.testing.assert_allclose(found, rows, rtol=1e-12)
