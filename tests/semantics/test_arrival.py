"""When a spike arrives, and what it meets there (language reference: one step, exactly)."""

from __future__ import annotations

import numpy as np
import pytest

from snnlang.runtime.recording import Recording
from tests.targets import Run

LEAK = """
neuron Leaky:
    param tau = 20 ms
    param v_th = 100 mV
    port state v = 0 mV
    tau*dv/dt = -v
    spike when v >= v_th
    on spike: v = 0 mV

neuron Source:
    param at: ms = 1 ms
    state done = 0
    spike when t >= at - 0.01 ms and done < 0.5
    on spike: done = 1
"""


def network(lines: str, record: str, duration: str = "5 ms", extra: str = "") -> str:
    body = "\n".join(f"    {line}" for line in lines.strip().splitlines())
    return f"{LEAK}{extra}\nnetwork Net:\n{body}\n\nsimulate Net:\n    dt = 0.1 ms\n    duration = {duration}\n    record {record}\n"


def value(recording: Recording, label: str, time: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    nearest = int(np.argmin(np.abs(recording.times(label) - time)))
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = recording[label][nearest]
    return values


@pytest.mark.parametrize("delay", [0.1, 0.5, 1.5, 3.0])
def test_a_delta_jump_stands_at_spike_time_plus_delay(run: Run, delay: float) -> None:
    text = network(
        f"population s[1]: Source\npopulation c[1]: Leaky\nconnect s -> c.v: one_to_one, w = 7 mV, delay = {delay} ms",
        "c.v, s.spikes",
    )
    recording = run(text)
    assert recording.spikes("s")[0] == pytest.approx([1.0])
    times, v = recording.times("c.v"), recording["c.v"][:, 0]
    first = times[np.flatnonzero(v)[0]]
    assert first == pytest.approx(1.0 + delay)
    assert v[np.flatnonzero(v)[0]] == pytest.approx(7.0)  # undecayed in the step of its arrival
    after = times > first
    assert v[after] == pytest.approx(7.0 * np.exp(-(times[after] - first) / 20.0))


def test_without_delay_a_chain_answers_in_the_same_step(run: Run) -> None:
    text = network(
        """
        population s[1]: Source
        population a[1]: Leaky
        population b[1]: Leaky
        connect b -> a.v: one_to_one, w = 1 mV, delay = 1 ms
        connect s -> a.v: one_to_one, w = 150 mV
        connect a -> b.v: one_to_one, w = 150 mV
        """.replace("        ", ""),
        "s.spikes, a.spikes, b.spikes, a.v",
    )
    recording = run(text)
    for name in ("s", "a", "b"):
        assert recording.spikes(name)[0] == pytest.approx([1.0])
    assert value(recording, "a.v", 2.0) == pytest.approx([1.0])


def test_a_cycle_without_delays_arrives_one_step_later(run: Run) -> None:
    text = network(
        """
        population s[1]: Source
        population a[1]: Leaky
        population b[1]: Leaky
        connect s -> a.v: one_to_one, w = 150 mV
        connect a -> b.v: one_to_one, w = 150 mV
        connect b -> a.v: one_to_one, w = 150 mV
        """.replace("        ", ""),
        "a.spikes, b.spikes",
        duration="1.65 ms",
    )
    recording = run(text)
    assert recording.spikes("a")[0] == pytest.approx([1.0, 1.2, 1.4, 1.6])
    assert recording.spikes("b")[0] == pytest.approx([1.1, 1.3, 1.5])


def test_delays_may_differ_between_synapses(run: Run) -> None:
    text = network(
        """
        population s[4]: Source(at = 1 ms)
        population c[1]: Leaky(tau = 1000 s)
        connect s -> c.v: dense, w = 1 mV, delay = 0.5 ms*(1 + pre.index)
        """.replace("        ", ""),
        "c.v",
    )
    text = text.replace("0.5 ms*(1 + pre.index)", "clip(0.5 ms*(1 + pre.index), 0.1 ms, 2 ms)")
    recording = run(text)
    for time, expected in ((1.4, 0), (1.5, 1), (1.9, 1), (2.0, 2), (2.5, 3), (3.0, 4), (4.0, 4)):
        assert value(recording, "c.v", time)[0] == pytest.approx(expected, abs=1e-3), time


def test_two_spikes_with_different_delays_meet(run: Run) -> None:
    """Catalogue S8: pre spikes at 0 and 4 ms with delays 5 and 1 ms arrive together."""
    text = network(
        """
        population s[2]: Source(at = 1 ms + 4 ms*index)
        population c[1]: Leaky(tau = 1000 s)
        connect s[0:1] -> c.v: one_to_one, w = 1 mV, delay = 5 ms
        connect s[1:2] -> c.v: one_to_one, w = 1 mV, delay = 1 ms
        """.replace("        ", ""),
        "c.v",
        duration="8 ms",
    )
    recording = run(text)
    assert value(recording, "c.v", 5.9)[0] == 0.0
    assert value(recording, "c.v", 6.0)[0] == pytest.approx(2.0, rel=1e-5)


def test_a_held_variable_takes_no_jump_and_stays_for_whole_steps(run: Run) -> None:
    extra = """
neuron Held(Leaky):
    param t_ref = 0.35 ms
    override on spike:
        v = 3 mV
        hold v for t_ref
"""
    text = network(
        """
        population s[3]: Source(at = 1 ms + 0.2 ms*index)
        population c[1]: Held
        connect s -> c.v: dense, w = 150 mV
        """.replace("        ", ""),
        "c.v, c.spikes",
        extra=extra,
    )
    recording = run(text)
    # spikes at 1.0 (fires), 1.2 and 1.4 (both inside ceil(0.35/0.1) = 4 held steps 1.1 .. 1.4)
    assert recording.spikes("c")[0] == pytest.approx([1.0])
    for time in (1.0, 1.1, 1.2, 1.3, 1.4):
        assert value(recording, "c.v", time)[0] == 3.0
    assert value(recording, "c.v", 1.5)[0] == pytest.approx(3.0 * np.exp(-0.1 / 20.0))


def test_delivery_from_a_slice_to_a_slice(run: Run) -> None:
    text = network(
        """
        population s[6]: Source
        population c[5]: Leaky(tau = 1000 s)
        connect s[2:4] -> c[1:3].v: dense, w = 1 mV
        connect s[0:2] -> c[3:5].v: one_to_one, w = 5 mV
        """.replace("        ", ""),
        "c.v",
    )
    recording = run(text)
    assert value(recording, "c.v", 3.0) == pytest.approx([0, 2, 2, 5, 5], abs=1e-3)


def test_gain_turns_a_number_into_the_ports_unit(run: Run) -> None:
    text = network(
        "population s[1]: Source\npopulation c[1]: Leaky\nconnect s -> c.v: one_to_one, w = 0.5, gain = 8 mV", "c.v"
    )
    assert value(run(text), "c.v", 1.0)[0] == pytest.approx(4.0)


def test_all_but_self(run: Run) -> None:
    extra = """
neuron Once(Leaky):
    param at: ms = 1 ms
    override spike when t >= at - 0.01 ms and t < at + 0.05 ms
    override on spike: hold spike for inf
"""
    text = network(
        """
        population c[4]: Once(tau = 1000 s, at = 1 ms + 9 s*min(index, 1))
        connect c -> c.v: dense(autapses = false), w = 1 mV
        """.replace("        ", ""),
        "c.v",
        extra=extra,
    )
    assert value(run(text), "c.v", 3.0) == pytest.approx([0, 1, 1, 1], abs=1e-3)
