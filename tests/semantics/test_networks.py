"""Patterns, weights, chains, blocks and loops, against sums written out by hand or by SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import correlate

from tests.targets import Run

MODELS = """
neuron Held:
    "Sends its number."
    param value = 0
    input x = 0
    state s = 0
    s[n] = value + 0*x[n]
    output s

neuron Spiky:
    param lit = 0
    state k = 0
    k[n] = k[n-1] + 1
    spike when lit > 0 and k < 1.5

neuron Sum:
    input x = 0
    state total = 0
    total[n] = total[n-1] + x[n]
"""


def run_net(run: Run, lines: str, record: str, steps: int = 2, extra: str = "", **options: object) -> object:
    body = "\n".join("    " + line.strip() for line in lines.strip().splitlines())
    text = f"{MODELS}{extra}\nnetwork Net:\n{body}\n\nsimulate Net:\n    duration = {steps}\n    record {record}\n"
    return run(text, **options)


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), (1, 2, 2)])
def test_convolution_of_numbers_and_of_spikes(run: Run, stride: int, padding: int, dilation: int) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 2, (2, 5, 6)).astype(float)
    weights = rng.normal(size=(3, 2, 3, 3)).round(3)
    spread = np.zeros((3, 2, 2 * dilation + 1, 2 * dilation + 1))
    spread[:, :, ::dilation, ::dilation] = weights
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    expected = np.stack([correlate(padded, kernel, "valid")[0] for kernel in spread])[:, ::stride, ::stride]
    listed = "[" + ", ".join(str(v) for v in image.ravel().astype(int)) + "]"
    options = f"3, kernel = 3, stride = {stride}, padding = {padding}, dilation = {dilation}"
    lines = f"""
        population a[2, 5, 6]: Held(value = {listed})
        population b[2, 5, 6]: Spiky(lit = {listed})
        population c: Sum
        population d: Sum
        connect a -> c.x: conv2d({options}), w = {weights.tolist()}
        connect b -> d.x: conv2d({options}), w = {weights.tolist()}
    """
    recording = run_net(run, lines, "c.total, d.total", 1)
    assert np.ravel(recording["c.total"][-1]) == pytest.approx(expected.ravel())  # type: ignore[index]
    assert np.ravel(recording["d.total"][-1]) == pytest.approx(expected.ravel())  # type: ignore[index]


def test_pools(run: Run) -> None:
    rng = np.random.default_rng(2)
    image = rng.integers(0, 2, (1, 4, 6)).astype(float)
    listed = "[" + ", ".join(str(v) for v in image.ravel().astype(int)) + "]"
    lines = f"""
        population a[1, 4, 6]: Held(value = {listed})
        population b[1, 4, 6]: Spiky(lit = {listed})
        population c: Sum
        population d: Sum
        population e: Sum
        connect a -> c.x: avg_pool(2)
        connect a -> d.x: max_pool(2)
        connect b -> e.x: max_pool(2)
    """
    recording = run_net(run, lines, "c.total, d.total, e.total", 1)
    blocks = image.reshape(2, 2, 3, 2)
    mean, top = blocks.mean(axis=(1, 3)).ravel(), blocks.max(axis=(1, 3)).ravel()
    assert np.ravel(recording["c.total"][-1]) == pytest.approx(mean)  # type: ignore[index]
    assert np.ravel(recording["d.total"][-1]) == pytest.approx(top)  # type: ignore[index]
    assert np.ravel(recording["e.total"][-1]) == pytest.approx(top)  # type: ignore[index]


def test_chain_with_pools_between_spiking_layers(run: Run) -> None:
    lines = """
        population a[1, 4, 4]: Spiky(lit = [1, 0, 0, 0,  0, 0, 0, 0,  0, 0, 1, 1,  0, 0, 1, 1])
        population d: Sum
        connect a -> d.x: max_pool(2)
        a -> max_pool(2) -> flatten -> dense(2) -> out: Sum
    """
    recording = run_net(run, lines, "d.total, out.total", 1)
    assert np.ravel(recording["d.total"][-1]) == pytest.approx([1, 0, 0, 1])  # type: ignore[index]
    assert recording["out.total"].shape[1] == 2  # type: ignore[index]


def test_a_condition_chooses_pairs(run: Run) -> None:
    lines = """
        population a[5]: Spiky(lit = 1)
        population c[5]: Sum
        connect a -> c.x: where(pre.index < post.index and (pre.index + post.index) < 6), w = 1
    """
    recording = run_net(run, lines, "c.total", 1)
    expected = [sum(1 for i in range(5) if i < j and i + j < 6) for j in range(5)]
    assert list(recording["c.total"][-1]) == expected  # type: ignore[index]


@pytest.mark.parametrize("pattern", ["fixed_indegree(3)", "fixed_outdegree(2)", "fixed_total(17)"])
def test_fixed_numbers_of_synapses(run: Run, pattern: str) -> None:
    lines = f"""
        population a[9]: Spiky(lit = 1)
        population c[6]: Sum
        connect a -> c.x: {pattern}, w = 1
    """
    total = run_net(run, lines, "c.total", 1)["c.total"][-1]  # type: ignore[index]
    if "indegree" in pattern:
        assert list(total) == [3] * 6
    else:
        assert total.sum() == 18 - ("total" in pattern)


def test_random_connections_have_their_probability(run_numpy: Run) -> None:
    lines = """
        population a[400]: Spiky(lit = 1)
        population c[500]: Sum
        connect a -> c.x: random(p = 0.1), w = 1
    """
    total = run_net(run_numpy, lines, "c.total", 1)["c.total"][-1]  # type: ignore[index]
    assert total.mean() == pytest.approx(40, abs=4 * np.sqrt(36 / 500))
    assert total.var() == pytest.approx(36, rel=0.3)


def test_edges_of_a_file_bring_weights_and_delays(run: Run, tmp_path: object) -> None:
    path = tmp_path / "edges.csv"  # type: ignore[operator]
    path.write_text("pre,post,w,delay\n2,0,5,1\n0,1,7,3\n2,1,11,2\n")
    lines = f"""
        population a[3]: Spiky(lit = 1)
        population c[2]: Sum
        connect a -> c.x: edges("{path}")
    """
    recording = run_net(run, lines, "c.total", 5)
    assert [list(row) for row in recording["c.total"]] == [  # type: ignore[index]
        [0, 0],
        [5, 0],
        [5, 11],
        [5, 18],
        [5, 18],
    ]


def test_blocks_are_networks_inside_networks(run: Run) -> None:
    extra = """
network Twice(k):
    input x
    population inner[3]: Relay
    connect x -> inner.x: one_to_one, w = k
    output inner

neuron Relay:
    input x = 0
    state y = 0
    y[n] = x[n]
    output y
"""
    lines = """
        population a[3]: Held(value = [1, 2, 3])
        population c[3]: Sum
        block first: Twice(2)
        block second: Twice(5)
        a -> first -> second
        connect second -> c.x: one_to_one
    """
    recording = run_net(run, lines, "c.total, second.inner.y", 1, extra)
    assert list(recording["second.inner.y"][-1]) == [10, 20, 30]  # type: ignore[index]
    assert list(recording["c.total"][-1]) == [10, 20, 30]  # type: ignore[index]


def test_a_loop_settles_within_the_step(run: Run) -> None:
    """A wave runs down a line of neurons in one step with settle, one neuron per step without."""
    extra = """
neuron Domino:
    param push = 0
    input link = 0
    state u = 0
    state fallen = 0
    u[n] = push + link[n] - 10*fallen[n-1]
    spike when u > 0.5
    fallen[n] = fallen[n-1] + spike[n]
"""
    lines = """
        population p[8]: Domino(push = 0.6*max(0, 1 - index))
        connect p -> p.link: where(post.index == pre.index + 1), w = 1{settle}
    """
    settled = run_net(run, lines.replace("{settle}", ", settle(max = 20)"), "p.spikes", 3, extra)
    times, indices = settled.spikes("p")  # type: ignore[attr-defined]
    assert list(times) == [0] * 8
    assert list(indices) == list(range(8))
    plain = run_net(run, lines.replace("{settle}", ""), "p.spikes", 10, extra)
    times, indices = plain.spikes("p")  # type: ignore[attr-defined]
    assert list(times) == list(range(8))


def test_weights_may_depend_on_fan_in_and_position(run: Run) -> None:
    lines = """
        population a[4]: Spiky(lit = 1)
        population c[2]: Sum
        connect a -> c.x: dense, w = (1 + pre.index + 10*post.index)/fan_in
    """
    recording = run_net(run, lines, "c.total", 1)
    assert list(recording["c.total"][-1]) == [10 / 4, 50 / 4]  # type: ignore[index]


def test_two_synapses_may_feed_different_ports(run: Run) -> None:
    text = """
neuron Once:
    spike when t > 0.95 ms and t < 1.05 ms

neuron Cell:
    port state ampa = 0 nS
    port state gaba = 0 nS
    state v = 0 mV
    10 ms*dv/dt = -v + ampa*1 GOhm*1 mV - gaba*1 GOhm*1 mV
    5 ms*d(ampa)/dt = -ampa
"""
    text = """
neuron Once:
    spike when t > 0.95 ms and t < 1.05 ms

neuron Cell:
    port state ampa = 0 nS
    port state gaba = 0 nS
    5 ms * dampa/dt = -ampa
    8 ms * dgaba/dt = -gaba

synapse Both:
    weight w = 1 nS
    on pre:
        deliver w to post.ampa
        deliver 3*w to post.gaba

network Net:
    population a[1]: Once
    population c[1]: Cell
    connect a -> c: one_to_one via Both(w = 2 nS)

simulate Net:
    dt = 0.1 ms
    duration = 5 ms
    record c.ampa, c.gaba
"""
    recording = run(text)
    assert recording["c.ampa"][-1, 0] == pytest.approx(2 * np.exp(-4 / 5))
    assert recording["c.gaba"][-1, 0] == pytest.approx(6 * np.exp(-4 / 8))
