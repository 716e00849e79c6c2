"""Delays written as a list of lists: every spike arrives at its own time, wherever the synapse stands among the others."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import snnlang
from snnlang.diagnostics import render
from tests.targets import Run

TAU = 20.0
AT = np.array([1.0, 2.0, 4.0])  # when the sources spike, in ms
DELAY = np.array([[1.0, 0.5, 3.0, 0.1], [2.0, 6.0, 0.0, 1.5], [0.2, 2.5, 1.0, 5.0]])
WEIGHT = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [9.0, 10.0, 11.0, 12.0]])

TEXT = """
neuron Source:
    param at = 1 ms
    state done = 0
    spike when t >= at - 0.01 ms and done < 0.5
    on spike: done = 1

neuron Leaky:
    port state v = 0 mV
    20 ms*dv/dt = -v
    spike when v >= 500 mV

network Net:
    population s[3]: Source(at = [1 ms, 2 ms, 4 ms])
    population c[4]: Leaky
    connect {line}

simulate Net:
    dt = 0.1 ms
    duration = 12 ms
    record c.v
"""


def listed(table: NDArray[np.float64], unit: str) -> str:
    if table.ndim == 1:
        return "[" + ", ".join(f"{x:g} {unit}" for x in table) + "]"
    return "[" + ", ".join(listed(row, unit) for row in table) + "]"


def expected(
    times: NDArray[np.float64], weight: NDArray[np.float64], delay: NDArray[np.float64]
) -> NDArray[np.float64]:
    """v of each target in closed form: jumps at spike time plus delay, decaying since."""
    since = times[:, None, None] - (AT[: len(delay), None] + delay)[None]
    return np.where(since >= -1e-6, weight * np.exp(-since / TAU), 0.0).sum(axis=1)  # type: ignore[no-any-return]


@pytest.mark.parametrize("weight", [np.full((3, 4), 2.0), WEIGHT], ids=["one", "listed"])
def test_every_spike_arrives_at_its_own_time(run: Run, weight: NDArray[np.float64]) -> None:
    w = "2 mV" if weight is not WEIGHT else listed(WEIGHT, "mV")
    recording = run(TEXT.format(line=f"s -> c.v: dense, w = {w}, delay = {listed(DELAY, 'ms')}"))
    np.testing.assert_allclose(recording["c.v"], expected(recording.times("c.v"), weight, DELAY), rtol=1e-9, atol=1e-9)


def test_parts_of_populations(run: Run) -> None:
    line = f"s[1:3] -> c[1:4].v: dense, w = 1 mV, delay = {listed(DELAY[1:, 1:], 'ms')}"
    recording = run(TEXT.format(line=line))
    weight = np.zeros((3, 4))
    weight[1:, 1:] = 1.0
    np.testing.assert_allclose(recording["c.v"], expected(recording.times("c.v"), weight, DELAY), rtol=1e-9, atol=1e-9)


def test_one_to_one(run: Run) -> None:
    recording = run(TEXT.format(line="s -> c[0:3].v: one_to_one, w = 1 mV, delay = [2 ms, 0.3 ms, 1 ms]"))
    delay = np.zeros((3, 4))
    delay[[0, 1, 2], [0, 1, 2]] = [2.0, 0.3, 1.0]
    np.testing.assert_allclose(
        recording["c.v"], expected(recording.times("c.v"), np.eye(3, 4), delay), rtol=1e-9, atol=1e-9
    )


def test_equal_entries_are_one_delay(run: Run) -> None:
    one = run(TEXT.format(line="s -> c.v: dense, w = 1 mV, delay = 2 ms"))
    same = run(TEXT.format(line=f"s -> c.v: dense, w = 1 mV, delay = {listed(np.full((3, 4), 2.0), 'ms')}"))
    np.testing.assert_array_equal(one["c.v"], same["c.v"])


def test_without_autapses_the_diagonal_is_passed_over(run: Run) -> None:
    text = textwrap.dedent("""
        neuron Source:
            param at = 1 ms
            port state v = 0 mV
            20 ms*dv/dt = -v
            state done = 0
            spike when t >= at - 0.01 ms and done < 0.5
            on spike: done = 1

        network Net:
            population s[3]: Source(at = [1 ms, 2 ms, 4 ms])
            connect s -> s.v: dense(autapses = false), w = 1 mV, delay = {delay}

        simulate Net:
            dt = 0.1 ms
            duration = 12 ms
            record s.v
    """)
    delay = DELAY[:, :3] + 0.1
    recording = run(text.format(delay=listed(delay, "ms")))
    weight = 1.0 - np.eye(3)
    np.testing.assert_allclose(recording["s.v"], expected(recording.times("s.v"), weight, delay), rtol=1e-9, atol=1e-9)


def test_from_a_file(run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", d=DELAY)
    line = f's -> c.v: dense, w = 1 mV, delay = load("{(tmp_path / "net.npz").as_posix()}", "d")*1 ms'
    recording = run(TEXT.format(line=line))
    np.testing.assert_allclose(
        recording["c.v"], expected(recording.times("c.v"), np.ones((3, 4)), DELAY), rtol=1e-9, atol=1e-9
    )


def test_plastic_synapses_see_the_spike_when_it_arrives(run: Run) -> None:
    rule = "\nsynapse Counted:\n    weight w = 0 mV\n    on pre: w += 1 mV\n"
    text = rule + TEXT.format(line=f"d = s -> c.v: dense via Counted, delay = {listed(DELAY, 'ms')}").replace(
        "record c.v", "record d.w"
    )
    recording = run(text)
    times = recording.times("d.w")
    since = times[:, None, None] - (AT[:, None] + DELAY)[None]
    np.testing.assert_array_equal(recording["d.w"].reshape(-1, 3, 4), (since >= -1e-6).astype(float))


def test_lists_of_steps(run: Run) -> None:
    text = textwrap.dedent("""
        neuron Source:
            state k = 0
            k[n] = k[n-1] + 1
            spike when k == 2

        neuron Sum:
            port state y = 0
            y[n] = 0
            spike when y > 100

        network Net:
            population s[1]: Source
            population c[3]: Sum
            connect s -> c.y: dense, w = 1, delay = [[1, 3, 2]]

        simulate Net:
            duration = 8
            record c.y, s.spikes
    """)
    recording = run(text)
    (first,) = recording.spikes("s")[0]
    arrived = [float(recording.times("c.y")[int(np.argmax(column))]) for column in recording["c.y"].T]
    assert arrived == [first + 1, first + 3, first + 2]


def refused(delay: str, pattern: str = "dense") -> str:
    with pytest.raises(snnlang.SnnError) as caught:
        snnlang.load(TEXT.format(line=f"s -> c.v: {pattern}, w = 1 mV, delay = {delay}")).run(progress=False)
    return "\n\n".join(render(d) for d in caught.value.diagnostics if d.is_error)


@pytest.mark.parametrize(
    ("delay", "pattern", "message"),
    [
        (
            "[[1 ms, 2 ms], [3 ms, 4 ms]]",
            "dense",
            "E510]: the array for `delay` has the shape [2, 2], and dense from [3] to [4] needs [3, 4]",
        ),
        ("[[1 ms, 2 ms], [3 ms]]", "dense", "E510]: the rows of the delay differ in length"),
        ("[]", "dense", "E510]: the delay is an empty list"),
        (
            "[[1 ms, -2 ms], [3 ms, 4 ms]]",
            "dense",
            "E525]: an entry of the delay is -2 ms; time does not run backwards",
        ),
        ("[[1 ms, inf], [3 ms, 4 ms]]", "dense", "E525]: an entry of the delay is not finite"),
        (
            "[[1 ms, 2 mV], [3 ms, 4 ms]]",
            "dense",
            "E606]: an entry of the delay must be a time, and this has the unit mV",
        ),
        ("[[1 ms, 2], [3 ms, 4 ms]]", "dense", "E606]: an entry of the delay needs a unit of time"),
        (
            "[1 ms, 2 ms]",
            "random(p = 0.5)",
            "E510]: random takes no array for `delay`: its synapses are drawn at random",
        ),
    ],
)
def test_what_a_list_of_delays_refuses(delay: str, pattern: str, message: str) -> None:
    assert refused(delay, pattern).splitlines()[0] == f"error[{message}"


def test_the_synapses_of_a_file_take_a_list_in_its_order(run: Run, tmp_path: Path) -> None:
    (tmp_path / "net.csv").write_text("pre,post\n2,0\n0,3\n1,1\n0,0\n", encoding="utf-8")
    line = f's -> c.v: edges("{(tmp_path / "net.csv").as_posix()}"), w = 1 mV, delay = [3 ms, 1 ms, 0.5 ms, 2 ms]'
    weight, delay = np.zeros((3, 4)), np.zeros((3, 4))
    for pre, post, time in [(2, 0, 3.0), (0, 3, 1.0), (1, 1, 0.5), (0, 0, 2.0)]:
        weight[pre, post], delay[pre, post] = 1.0, time
    recording = run(TEXT.format(line=line))
    np.testing.assert_allclose(recording["c.v"], expected(recording.times("c.v"), weight, delay), rtol=1e-9, atol=1e-9)


STATES = """
synapse Following:
    param tau = 5 ms
    trace x on pre decay tau
    weight w = 1 mV/ms
    deliver w*x

synapse Smooth:
    weight w = 1 mV/ms
    state i = 0
    i[n] = 0.7*i[n-1] + pre.done
    deliver w*i
"""


@pytest.mark.parametrize("synapse", ["Following", "Smooth"])
def test_what_a_synapse_delivers_in_every_step_is_as_late_as_with_one_delay(run: Run, synapse: str) -> None:
    """Of traces and of values that the source sends; a synapse without a delay among others is at once."""
    delays = [0.0, 0.3, 1.0, 2.5]
    sends = "    state done = 0\n    output done\n" if synapse == "Smooth" else "    state done = 0\n"
    program = STATES + TEXT.replace("    state done = 0\n", sends)

    def potentials(delay: str) -> NDArray[np.float64]:
        line = f"s -> c.v: dense via {synapse}, w = 1 mV/ms, delay = {delay}"
        return np.asarray(run(program.format(line=line))["c.v"])

    rows = "[" + ", ".join([listed(np.array(delays), "ms")] * 3) + "]"
    found = potentials(rows)
    assert found.max() > 1
    for place, delay in enumerate(delays):
        np.testing.assert_allclose(found[:, place], potentials(f"{delay} ms")[:, place], rtol=1e-12, atol=1e-15)
