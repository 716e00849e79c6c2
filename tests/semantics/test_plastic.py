"""Learning rules: what a trace holds when it is read, which side comes first, and where signals come from."""

from __future__ import annotations

import numpy as np
import pytest

from tests.targets import Run

GIVEN = """
neuron Given:
    param first: ms = 1 ms
    param second: ms = 1000 s
    spike when (t > first - 0.05 ms and t < first + 0.05 ms) or (t > second - 0.05 ms and t < second + 0.05 ms)
"""

PAIR = """
synapse Pair:
    param tau_pre = 17 ms
    param tau_post = 34 ms
    weight w = 0.5
    trace x on pre decay tau_pre
    trace y on post decay tau_post
    on pre: w -= 0.02*y
    on post: w += 0.01*x
"""


def pair(pre: float, post: float, synapse: str = PAIR, via: str = "Pair", delays: str = "") -> str:
    return f"""{GIVEN}{synapse}
neuron Cell(Given):
    port state z = 0
    on spike: z = 0

network Net:
    population a[1]: Given(first = {pre} ms)
    population b[1]: Cell(first = {post} ms)
    connect ab = a -> b.z: one_to_one via {via}{delays}

simulate Net:
    dt = 0.1 ms
    duration = 60 ms
    record ab.w
"""


@pytest.mark.parametrize("shift", [0.1, 1.0, 5.0, 20.0])
def test_the_window_has_two_different_sides(run: Run, shift: float) -> None:
    assert run(pair(20.0, 20.0 + shift))["ab.w"][-1] == pytest.approx(0.5 + 0.01 * np.exp(-shift / 17.0))
    assert run(pair(20.0 + shift, 20.0))["ab.w"][-1] == pytest.approx(0.5 - 0.02 * np.exp(-shift / 34.0))


def test_a_coincidence_does_not_pair(run: Run) -> None:
    assert run(pair(20.0, 20.0))["ab.w"][-1] == pytest.approx(0.5)


def test_order_decides_a_coincidence(run: Run) -> None:
    pre_first = PAIR + "    order pre, post\n"
    post_first = PAIR + "    order post, pre\n"
    assert run(pair(20.0, 20.0, pre_first))["ab.w"][-1] == pytest.approx(0.5 + 0.01)
    assert run(pair(20.0, 20.0, post_first))["ab.w"][-1] == pytest.approx(0.5 - 0.02)


def test_axonal_and_dendritic_delays_shift_the_window(run: Run) -> None:
    """Catalogue S8: with 10 ms of axon, pre at 20 and post at 25 is a shift of -5 ms."""
    axonal = run(pair(20.0, 25.0, delays=", delay = 10 ms"))["ab.w"][-1]
    assert axonal == pytest.approx(0.5 - 0.02 * np.exp(-5.0 / 34.0))
    both = run(pair(20.0, 25.0, delays=", delay = 10 ms, dendritic = 8 ms"))["ab.w"][-1]
    assert both == pytest.approx(0.5 + 0.01 * np.exp(-3.0 / 17.0))


def test_delays_per_synapse_keep_the_window(run: Run) -> None:
    text = pair(20.0, 25.0, delays=", delay = uniform(9.99 ms, 10.01 ms)")
    assert run(text)["ab.w"][-1] == pytest.approx(0.5 - 0.02 * np.exp(-5.0 / 34.0))


def test_bounds_are_applied_after_each_change(run: Run) -> None:
    bounded = PAIR.replace("weight w = 0.5", "weight w = 0.5 in [0.499, 0.505]")
    assert run(pair(20.0, 20.1, bounded))["ab.w"][-1] == pytest.approx(0.505)
    assert run(pair(20.1, 20.0, bounded))["ab.w"][-1] == pytest.approx(0.499)


def test_a_broadcast_input_scales_a_rule(run: Run) -> None:
    gated = """
synapse Gated:
    broadcast input DA = 0
    weight w = 0.5
    on post: w += 0.1*DA
"""
    text = pair(20.0, 25.0, gated, "Gated") + "    drive ab.DA = 3 if t > 24 ms else 0\n"
    assert run(text)["ab.w"][-1] == pytest.approx(0.8)


def test_desired_events_come_from_another_population(run: Run) -> None:
    supervised = """
synapse Supervised:
    weight w = 0.5
    per_post event desired
    trace x on pre decay 10 ms
    on desired: w += x
    on post: w -= 0.25
"""
    text = f"""{GIVEN}{supervised}
neuron Cell(Given):
    port state z = 0
    on spike: z = 0

network Net:
    population a[1]: Given(first = 20 ms)
    population b[2]: Cell(first = 30 ms)
    population teacher[2]: Given(first = 25 ms + 10 ms*index)
    connect ab = a -> b.z: dense via Supervised(desired = teacher.spike)

simulate Net:
    dt = 0.1 ms
    duration = 60 ms
    record ab.w
"""
    expected = 0.25 + np.exp(-np.array([5.0, 15.0]) / 10.0)
    assert run(text)["ab.w"][-1] == pytest.approx(expected)


def test_named_events_of_both_sides(run: Run) -> None:
    text = """
neuron Two:
    param at: ms = 5 ms
    port state z = 0
    spike when t > at - 0.05 ms and t < at + 0.05 ms
    event echo when since(spike) > 2.95 ms and since(spike) < 3.05 ms
    on spike: z = 0

synapse Named:
    weight w = 0
    on pre.echo: w += 1
    on post.echo: w += 10

network Net:
    population a[1]: Two(at = 5 ms)
    population b[1]: Two(at = 15 ms)
    connect ab = a -> b.z: one_to_one via Named

simulate Net:
    dt = 0.1 ms
    duration = 30 ms
    record ab.w, a.echo
"""
    recording = run(text)
    assert recording.events("a.echo")[0] == pytest.approx([8.0])
    times, w = recording.times("ab.w"), recording["ab.w"][:, 0]
    assert w[np.argmin(np.abs(times - 7.9))] == 0
    assert w[np.argmin(np.abs(times - 8.0))] == 1
    assert w[np.argmin(np.abs(times - 17.9))] == 1
    assert w[-1] == 11


def test_weights_are_scaled_per_neuron(run: Run) -> None:
    text = f"""{GIVEN}
neuron Cell(Given):
    port state z = 0
    on spike: z = 0

synapse Scaled:
    weight w = 0
    on every 10 ms: w *= 6/sum(w, per post)

network Net:
    population a[3]: Given
    population b[2]: Cell
    connect ab = a -> b.z: dense via Scaled(w = [[0.2, 1], [0.4, 2], [0.6, 3]])

simulate Net:
    dt = 1 ms
    duration = 10 ms
    record ab.w every 10 ms
"""
    assert run(text)["ab.w"][-1] == pytest.approx([1, 1, 2, 2, 3, 3])


def test_tied_weights_are_the_transpose(run: Run) -> None:
    text = f"""{GIVEN}
neuron Cell:
    input I = 0
    state last = 0
    last[n] = last[n-1] + I[n]

network Net:
    population a[2]: Given
    population b[3]: Given
    population x[3]: Cell
    population y[2]: Cell
    connect forth = a -> x.I: dense, w = [[1, 2, 3], [4, 5, 6]]
    connect back = b -> y.I: dense, w = transpose(forth.w)

simulate Net:
    dt = 1 ms
    duration = 3 ms
    record x.last, y.last
"""
    recording = run(text)
    assert recording["x.last"][-1] == pytest.approx([5, 7, 9])
    assert recording["y.last"][-1] == pytest.approx([6, 15])


def test_a_handler_may_push_the_neurons_on_both_sides(run: Run) -> None:
    text = f"""{GIVEN}
neuron Cell(Given):
    port state z = 0
    on spike: z += 100

synapse Pushy:
    weight w = 1
    on pre:
        post.z += 2
        pre.z += 5

network Net:
    population a[2]: Cell(first = 3 ms)
    population b[3]: Cell(first = 900 s)
    connect ab = a -> b.z: dense via Pushy

simulate Net:
    dt = 1 ms
    duration = 10 ms
    record a.z, b.z
"""
    recording = run(text)
    assert recording["b.z"][-1] == pytest.approx([4, 4, 4])
    assert recording["a.z"][-1] == pytest.approx([115, 115])


def test_a_value_travels_with_its_spike(run: Run) -> None:
    """With a delay, `pre.x` is what x was when the spike was sent, also when delays differ between synapses."""
    text = """
neuron Sender:
    state x = 0
    state y = 0
    dx/dt = 1/ms
    level = 100*x
    spike when t > 2.95 ms and t < 3.05 ms
    on spike: y = 7

neuron Cell:
    port state z = 0
    dz/dt = 0/ms*z

synapse Carry:
    weight w = 1
    on pre: deliver w*(pre.x + pre.level + 1000000*pre.y)

network Net:
    population a[3]: Sender
    population b[3]: Cell
    population c[3]: Cell
    connect a -> b.z: one_to_one via Carry, delay = 4 ms
    connect a -> c.z: one_to_one via Carry, delay = clip(1 ms*(1 + pre.index), 1 ms, 3 ms)

simulate Net:
    dt = 0.1 ms
    duration = 10 ms
    record b.z, c.z
"""
    recording = run(text)
    for name in ("b.z", "c.z"):
        assert recording[name][-1] == pytest.approx([7000303.0] * 3)
    times, z = recording.times("c.z"), recording["c.z"]
    for neuron in range(3):
        assert times[np.flatnonzero(z[:, neuron])[0]] == pytest.approx(4.0 + neuron)


def test_traces_per_neuron_serve_delays_per_synapse(run: Run) -> None:
    """Two pre spikes, three delays: each synapse potentiates by the trace of its own arrivals."""
    text = f"""{GIVEN}
neuron Cell(Given):
    port state z = 0
    on spike: z = 0

synapse Pot:
    weight w = 0
    trace x on pre decay 20 ms
    on pre:
        deliver 1
        w += 1000*x
    on post: w += x

network Net:
    population a[3]: Given(first = 5 ms, second = 12 ms)
    population b[1]: Cell(first = 30 ms)
    connect ab = a -> b.z: dense via Pot, delay = clip(1 ms + 3 ms*pre.index, 1 ms, 9 ms)

simulate Net:
    dt = 0.1 ms
    duration = 40 ms
    record ab.w every 40 ms
"""
    delays = np.array([1.0, 4.0, 7.0])
    expected = 1000 * np.exp(-7 / 20) + np.exp(-(30 - 5 - delays) / 20) + np.exp(-(30 - 12 - delays) / 20)
    assert run(text)["ab.w"][-1] == pytest.approx(expected)


def test_post_values_are_those_at_the_start_of_the_step(run: Run) -> None:
    text = """
neuron Ramp:
    port state u = 0
    du/dt = 1/ms
    spike when t > 4.95 ms and t < 5.05 ms
    on spike: u = -50

synapse Read:
    weight w = 0
    on pre: w += post.u
    on post: w += 1000*post.u

network Net:
    population a[1]: Ramp
    population b[1]: Ramp
    connect ab = a -> b.u: one_to_one via Read, delay = 1 ms

simulate Net:
    dt = 0.1 ms
    duration = 8 ms
    record ab.w
"""
    # on post at 5.0 ms sees u of 4.9 ms; on pre at 6.0 ms sees u of 5.9 ms: -50 + 0.9
    assert run(text)["ab.w"][-1] == pytest.approx([4900 - 49.1])


def test_a_kernel_without_an_equation_delivers_its_time_course(run: Run) -> None:
    """A bell is no sum of exponentials: it is summed over a window of past spikes, after the delay."""
    text = f"""{GIVEN}
kernel bell(s, tau = 4 ms) = exp(-(s/tau)^2)

neuron Cell:
    input x = 0
    state y = 0
    2 ms*dy/dt = x - y

synapse Course:
    param tau = 3 ms
    weight w = 2
    deliver w*response(bell(tau = tau), pre)

network Net:
    population a[2]: Given(first = 5 ms, second = 9 ms + 1 ms*index)
    population b[1]: Cell
    connect a -> b.x: dense via Course, delay = 2 ms

simulate Net:
    dt = 0.5 ms
    duration = 25 ms
    record b.x
"""
    recording = run(text)
    times = recording.times("b.x")
    expected = np.zeros_like(times)
    for arrival in (7.0, 7.0, 11.0, 12.0):
        since = times - arrival
        expected += np.where(since > 0.1, 2 * np.exp(-((since / 3) ** 2)), 0)
    assert recording["b.x"][:, 0] == pytest.approx(expected, abs=1e-4)
