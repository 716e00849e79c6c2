"""Networks elaborated: sizes, shapes, paths, slices, blocks and bindings against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnlang.compile import load_program
from snnlang.diagnostics import SnnError, Source
from snnlang.model.elaborate import Overrides, elaborate
from snnlang.model.expression import Constant, Random, Variable, walk
from snnlang.model.network import ArrayValue, Experiment, Network
from snnlang.model.units import TIME

LIF = "from stdlib.neurons import LIF, Poisson\n"
UNIT = """
neuron Unit:
    param beta = 0.9
    input x = 0
    state u = 0
    u[n] = beta*u[n-1] + x[n]
    spike when u > 1

neuron Readout:
    input x = 0
    state v = 0
    v[n] = v[n-1] + x[n]
    output v

neuron Sum:
    input a = 0
    input b = 0
    output a + b
"""


def build(text: str, name: str | None = None, origin: str = "net.snn", **overrides: Any) -> Experiment:
    return elaborate(load_program(Source(origin, text)), name, Overrides(**overrides))


def network(
    body: str, head: str = LIF, parameters: str = "", duration: str = "10 ms", origin: str = "net.snn"
) -> Network:
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    text = f"{head}\nnetwork Net{parameters}:\n{lines}\n\nsimulate Net:\n    duration = {duration}\n"
    return build(text, origin=origin).network


def codes(text: str, **overrides: Any) -> list[str]:
    with pytest.raises(SnnError) as caught:
        build(text, **overrides)
    return [diagnostic.code for diagnostic in caught.value.diagnostics if diagnostic.is_error]


BRUNEL = (
    LIF
    + """
network Brunel(N = 10_000, g = 5, J = 0.1 mV):
    population external[N]: Poisson(rate = 20 Hz)
    population E[0.8*N]: LIF(tau_m = 20 ms, v = uniform(-70 mV, -50 mV))
    population I[0.2*N]: LIF
    connect external[0:0.8*N] -> E.v: one_to_one, w = J
    connect external[0.8*N:N] -> I.v: one_to_one, w = J
    connect E -> E.v, I.v: random(p = 0.1), w = J,    delay = 1.5 ms
    connect I -> E.v, I.v: random(p = 0.1), w = -g*J, delay = 1.5 ms

simulate Brunel(g = 6):
    dt = 0.1 ms
    duration = 1 s
    seed = 42
    record E.spikes, I.spikes
    record E.v[0:5] every 1 ms
    plot raster(E, I), rate(E, bin = 5 ms), trace(E.v)
    sweep g in [3, 4, 5, 6]
"""
)


def test_brunel() -> None:
    experiment = build(BRUNEL)
    net = experiment.network
    assert {p.path: p.shape for p in net.populations} == {"external": (10_000,), "E": (8_000,), "I": (2_000,)}
    assert [p.path for p in net.projections] == [
        "external->E.v",
        "external->I.v",
        "E->E.v",
        "E->I.v",
        "I->E.v",
        "I->I.v",
    ]
    assert net.projections[1].pre.indices == range(8_000, 10_000)
    assert net.projections[1].pre.shape == (2_000,)
    weights = {p.path: p.weight.value for p in net.projections if isinstance(p.weight, Constant)}
    assert weights["E->I.v"] == pytest.approx(0.1)
    assert weights["I->I.v"] == pytest.approx(-0.3)  # the first value of the sweep
    assert all(isinstance(p.delay, Constant) and p.delay.value == 1.5 for p in net.projections[2:])
    assert net.projections[2].pattern.options == {"p": 0.1, "autapses": True}
    assert isinstance(net.population("E").arguments["v"], Random)
    assert (experiment.dt, experiment.duration, experiment.seed) == (0.1, 1000.0, 42)
    record = experiment.records[2]
    assert (record.label, record.every) == ("E.v", 1.0)
    assert record.indices is not None
    assert record.indices.tolist() == [0, 1, 2, 3, 4]
    assert [plot.kind for plot in experiment.plots] == ["raster", "rate", "trace"]
    assert experiment.plots[1].options == {"bin": 5.0}


def test_size_is_whole_within_rounding() -> None:
    # 0.8*4000 is not exactly 3200 in binary for every factor; 0.7*10 is 7.000000000000001 or 6.999…
    net = network("population E[0.7*N]: LIF\npopulation I[N - 0.7*N]: LIF", parameters="(N = 10)")
    assert [p.size for p in net.populations] == [7, 3]


FASHION = (
    UNIT
    + """
network FashionNet:
    input image[1, 28, 28]
    image -> conv2d(32, kernel = 5) -> c1: Unit
          -> max_pool(2)
          -> conv2d(64, kernel = 5) -> c2: Unit
          -> max_pool(2)
          -> dense(10, bias = true) -> out: Readout

simulate FashionNet:
    duration = 5
"""
)


def test_fashion_shapes_by_hand() -> None:
    net = build(FASHION).network
    shapes = {p.path: p.shape for p in net.populations}
    # 28 - 5 + 1 = 24; 24/2 = 12; 12 - 5 + 1 = 8; 8/2 = 4
    assert shapes == {
        "c1": (32, 24, 24),
        "c2": (64, 8, 8),
        "out": (10,),
        "c1.max_pool": (32, 12, 12),
        "c2.max_pool": (64, 4, 4),
    }
    readout = net.projections[-1]
    assert (readout.pre.size, readout.post.size, readout.bias) == (64 * 4 * 4, 10, True)
    pooled = net.population("c1.max_pool").model
    assert [event.name for event in pooled.events] == ["spike"]  # spikes stay spikes
    assert {p.pre.port for p in net.projections if p.pre.path != "image"} == {"spike"}
    assert net.projections[0].pre.port == "output"


def test_default_weights_of_a_chain_scale_with_fan_in() -> None:
    net = build(FASHION).network
    bounds = []
    for projection in net.projections:
        if isinstance(projection.weight, Random):
            high = projection.weight.arguments[1]
            assert isinstance(high, Constant)
            bounds.append(high.value)
    assert bounds == pytest.approx([1 / 5, 1 / np.sqrt(32 * 25), 1 / np.sqrt(1024)])


def conv_output(length: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """How many windows fit, counted one by one."""
    positions = range(-padding, length + padding)
    starts = range(-padding, length + padding, stride)
    return sum(start + dilation * (kernel - 1) in positions for start in starts)


@pytest.mark.parametrize("rows, columns", [(9, 12), (28, 28)])
@pytest.mark.parametrize(
    "kernel, stride, padding, dilation", [(3, 1, 0, 1), (3, 2, 1, 1), (5, 3, 2, 1), (3, 1, 2, 2), (2, 2, 0, 3)]
)
def test_windows_are_counted(rows: int, columns: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
    net = network(
        f"input image[2, {rows}, {columns}]\n"
        f"image -> conv2d(4, kernel = {kernel}, stride = {stride}, padding = {padding}, dilation = {dilation}) -> c: Unit",
        UNIT,
        duration="5",
    )
    expected = (
        4,
        conv_output(rows, kernel, stride, padding, dilation),
        conv_output(columns, kernel, stride, padding, dilation),
    )
    assert net.population("c").shape == expected


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_same_padding_keeps_the_image(kernel: int, stride: int) -> None:
    net = network(
        f"input image[10, 7]\nimage -> conv2d(1, kernel = {kernel}, stride = {stride}, padding = same) -> c: Unit",
        UNIT,
        duration="5",
    )
    assert net.population("c").shape == (-(-10 // stride), -(-7 // stride))
    assert net.projections[0].pattern.options["padding"] == (kernel // 2, kernel // 2)


def test_blocks_are_flattened() -> None:
    net = build(
        UNIT
        + """
network SEW(channels):
    input x
    x -> conv2d(channels, kernel = 3, padding = same) -> batch_norm(over = time) -> c1: Unit
      -> conv2d(channels, kernel = 3, padding = same) -> batch_norm(over = time) -> c2: Unit
    population y: Sum
    connect x -> y.a: one_to_one
    connect c2 -> y.b: one_to_one
    output y

network Deep:
    input image[1, 8, 8]
    block b1: SEW(1)
    block b2: SEW(channels = 1)
    image -> b1 -> b2 -> flatten -> dense(10) -> out: Readout

simulate Deep:
    duration = 5
    record b1.c1.spikes, b2.y.output
"""
    ).network
    assert [p.path for p in net.populations] == ["b1.c1", "b1.c2", "b1.y", "b2.c1", "b2.c2", "b2.y", "out"]
    assert all(p.shape == (1, 8, 8) for p in net.populations[:6])
    ends = {(p.pre.path, p.post.path) for p in net.projections}
    assert ("image", "b1.y") in ends
    assert ("b1.y", "b2.c1") in ends
    assert ("b1.y", "b2.y") in ends
    assert ("b2.y", "out") in ends
    assert net.projections[-1].pre.shape == (64,)
    assert sum(p.batch_norm is not None and p.batch_norm.over_time for p in net.projections) == 4
    assert [item.path for item in net.inputs] == ["image"]


def test_a_block_behind_a_pattern_gets_a_relay() -> None:
    net = build(
        UNIT
        + """
network Cell:
    input x[6]
    x -> dense(3) -> a: Unit
    output a

network Net:
    input image[4]
    block c: Cell
    image -> dense(6) -> c -> dense(2) -> out: Unit

simulate Net:
    duration = 5
"""
    ).network
    assert [p.path for p in net.projections] == ["c.x->c.a.x", "image->c.x.x", "c.a->out.x"]
    assert net.population("c.x").shape == (6,)


def test_slices_of_two_dimensions() -> None:
    net = network(
        "population a[4, 5]: LIF\npopulation b[2, 3]: LIF\nconnect a[1:3, 2:5] -> b.v: one_to_one, w = 1 mV\n"
        "connect a[2] -> b[0, 0].v: dense, w = 1 mV\nconnect a[3, 4] -> b.v: dense, w = 1 mV"
    )
    grid = np.arange(20).reshape(4, 5)
    first, second, third = net.projections
    assert first.pre.shape == (2, 3)
    np.testing.assert_array_equal(first.pre.indices, grid[1:3, 2:5].ravel())
    assert second.pre.indices == range(10, 15)
    assert second.pre.shape == (5,)
    np.testing.assert_array_equal(second.post.indices, [0])
    np.testing.assert_array_equal(third.pre.indices, [19])


def test_paths_are_distinct_and_stable() -> None:
    body = (
        "population E[10]: LIF\npopulation I[10]: LIF\nconnect E -> I.v: dense, w = 1 mV\nconnect E -> I.v: one_to_one, w = 1 mV\n"
        "connect feed = E -> I.v: dense, w = 1 mV\nconnect both = E -> E.v, I.v: dense, w = 1 mV\n"
        "connect twice = E -> I.v, I.I: dense, w = 1 mV"
    )
    with pytest.raises(SnnError):
        network(body)  # w in mV into I.I
    net = network(body.replace(", I.I: dense", ", I[0:5].v: dense"))
    assert [p.path for p in net.projections] == [
        "E->I.v",
        "E->I.v#2",
        "feed",
        "both.E",
        "both.I",
        "twice.I.v",
        "twice.I.v#2",
    ]


def test_tied_weights() -> None:
    net = network(
        "population a[4]: Unit\npopulation b[3]: Unit\nconnect forth = a -> b: dense\n"
        "connect back = b -> a: dense, w = transpose(forth.w)\nconnect again = a -> b: dense, w = forth.w",
        UNIT,
        duration="5",
    )
    assert [p.tied for p in net.projections] == [None, ("forth", True), ("forth", False)]


def test_kernel_as_a_list() -> None:
    net = network(
        "population pixel[6, 5]: Unit\n"
        "connect pixel -> pixel: conv2d(1, kernel = 3, padding = same), w = [[0.5, 1, 0.5], [1, 0, 1], [0.5, 1, 0.5]], settle(max = 7)",
        UNIT,
        duration="5",
    )
    weight = net.projections[0].weight
    assert isinstance(weight, ArrayValue)
    assert weight.array.shape == (1, 1, 3, 3)
    assert weight.array[0, 0].tolist() == [[0.5, 1, 0.5], [1, 0, 1], [0.5, 1, 0.5]]
    assert net.projections[0].settle == 7


def test_fan_in_is_a_number() -> None:
    net = network(
        "population a[100]: Unit\npopulation b[20]: Unit\nconnect a -> b: random(p = 0.25), w = normal(0, 1/sqrt(fan_in))\n"
        "connect a -> b: fixed_total(60), w = fan_in\nconnect a -> b: fixed_outdegree(5), w = fan_in",
        UNIT,
        duration="5",
    )
    drawn = net.projections[0].weight
    assert isinstance(drawn, Random)
    assert drawn.arguments[1] == Constant(1 / np.sqrt(25))
    assert [p.weight for p in net.projections[1:]] == [Constant(3.0), Constant(25.0)]


def test_edges(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("pre,post,w [uV],delay\n0,3,100,1.5\n9,4,250,0.5\n", encoding="utf-8")
    net = network(
        'population E[10]: LIF\npopulation I[5]: LIF\nconnect E -> I.v: edges("e.csv")',
        origin=str(tmp_path / "net.snn"),
    )
    projection = net.projections[0]
    assert projection.pattern.options["pre"].tolist() == [0, 9]
    assert projection.pattern.options["post"].tolist() == [3, 4]
    assert isinstance(projection.weight, ArrayValue)
    assert isinstance(projection.delay, ArrayValue)
    assert projection.weight.array.tolist() == pytest.approx([0.1, 0.25])
    assert projection.delay.array.tolist() == [1.5, 0.5]


def test_arrays_from_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", w=np.arange(6.0).reshape(2, 3), tau=[10.0, 20.0])
    net = network(
        'population a[2]: LIF(tau_m = load("w.npz", "tau") * 1 ms)\npopulation b[3]: LIF\n'
        'connect a -> b.v: dense, w = load("w.npz", "w") * 0.5 mV',
        origin=str(tmp_path / "net.snn"),
    )
    tau, weight = net.population("a").arguments["tau_m"], net.projections[0].weight
    assert isinstance(tau, ArrayValue)
    assert isinstance(weight, ArrayValue)
    assert tau.array.tolist() == [10, 20]
    np.testing.assert_array_equal(weight.array, np.arange(6.0).reshape(2, 3) / 2)
    np.savez(tmp_path / "w.npz", tau=[10.0, np.nan])
    with pytest.raises(SnnError, match="not finite"):
        network('population a[2]: LIF(tau_m = load("w.npz", "tau") * 1 ms)', origin=str(tmp_path / "net.snn"))


def test_network_inputs_in_arguments() -> None:
    net = network("input image\npopulation retina[8, 8]: Poisson(rate = 60 Hz * image)")
    assert net.inputs[0].shape == (8, 8)  # found from the population
    rate = net.population("retina").arguments["rate"]
    assert [node.scope for node in _variables(rate)] == ["network"]


def _variables(expr: Any) -> list[Variable]:
    return [node for node in walk(expr) if isinstance(node, Variable)]


def test_third_factors() -> None:
    experiment = build(
        LIF
        + """
from stdlib.plasticity import RSTDP

neuron Level:
    state level = 0
    level[n] = 0.5*level[n-1] + 1

network Net:
    input image[4]
    population a[4]: Poisson(rate = 5 Hz * image)
    population b[4]: LIF
    population VTA[1]: Level
    connect one = a -> b.v: dense via RSTDP(DA = VTA.level), gain = 1 mV
    connect two = a -> b.v: dense via RSTDP(DA = reward), gain = 1 mV

simulate Net:
    present given as image, reward for 10 ms
"""
    )
    net = experiment.network
    assert [p.bindings for p in net.projections] == [{"DA": "VTA.level"}, {"DA": "reward"}]
    assert {item.path: item.shape for item in net.inputs} == {"image": (4,), "reward": (1,)}


def test_overrides() -> None:
    experiment = build(BRUNEL, values={"N": "500", "g": 4, "E.tau_m": "15 ms", "J": "0.2 mV"}, dt="0.05 ms", seed=7)
    net = experiment.network
    assert net.population("E").size == 400
    assert net.population("E").arguments["tau_m"] == Constant(15.0, TIME)
    assert experiment.sweep == ()  # g is given, so it is not swept
    assert (experiment.dt, experiment.seed) == (0.05, 7)
    weight = net.projections[-1].weight
    assert isinstance(weight, Constant)
    assert weight.value == pytest.approx(-0.8)


@pytest.mark.parametrize(
    "values, code",
    [
        ({"gg": "4"}, "E607"),
        ({"E.tau": "10 ms"}, "E607"),
        ({"EE.tau_m": "10 ms"}, "E607"),
        ({"E": "3"}, "E607"),
        ({"N": "501"}, "E502"),
        ({"J": "0.1 nA"}, "E209"),
        ({"E.tau_m": "10 mV"}, "E209"),
        ({"E.tau_m": "-1 ms"}, "E509"),
        ({"N": "0"}, "E503"),
    ],
)
def test_wrong_overrides(values: dict[str, str], code: str) -> None:
    assert code in codes(BRUNEL, values=values)


def test_an_override_is_shown_where_it_was_written() -> None:
    with pytest.raises(SnnError) as caught:
        build(BRUNEL, values={"gg": "4"})
    text = str(caught.value)
    assert "--set gg:1:1" in text
    assert "did you mean `g`?" in text


def test_one_mistake_in_a_network_is_reported_once() -> None:
    from snnlang.compile import check_text

    _, found = check_text(
        LIF + "network Net(N = 10):\n    population E[N]: LIFF\n"
        "    population a[3]: Poisson(rate = 5 Hz)\n    connect E -> E.v: dense, w = 1 mV\n"
        "\nsimulate Net:\n    duration = 1 ms\n    record E.v, E.spikes\n    plot raster(E)\n\n"
        "simulate Net(N = 20) as more:\n    duration = 1 ms\n"
    )
    assert [d.code for d in found if d.code != "W101"] == ["E506"]


def test_memory_is_refused_before_anything_is_allocated() -> None:
    from snnlang.model.memory import estimate_memory, require_memory

    text = LIF + (
        "network Net:\n    population E[4_000_000]: LIF\n    connect E -> E.v: random(p = 0.5), w = 0.1 mV\n\n"
        "simulate Net:\n    duration = 1 ms\n"
    )
    experiment = build(text)
    assert estimate_memory(experiment) > 8e12 * 4
    with pytest.raises(SnnError) as caught:
        require_memory(experiment)
    assert caught.value.diagnostics[0].code == "E537"
    assert "TB" in str(caught.value)
    small = build(BRUNEL, values={"N": 1000})
    # 1000^2 * 0.1 synapses of 8 bytes, and little besides
    assert 0.8e6 < estimate_memory(small) < 2e6
    require_memory(small, available=1e9)


def test_memory_is_counted_in_the_precision_and_for_the_target_of_the_run() -> None:
    from snnlang.compile import load_program, prepare
    from snnlang.diagnostics import Source
    from snnlang.model.elaborate import Overrides
    from snnlang.model.memory import estimate_memory, require_memory

    text = LIF + (
        "from stdlib.plasticity import STDP\nnetwork Net:\n    population a[1000]: Poisson(rate = 5 Hz)\n    population b[1000]: LIF\n"
        "    connect a -> b.v: dense via STDP, gain = 1 mV\n\nsimulate Net:\n    duration = 1 s\n    dt = 1 ms\n    record b.v\n"
    )
    experiment = build(text)
    double, single = estimate_memory(experiment, "double", "c"), estimate_memory(experiment, "single", "c")
    assert double == 2 * single  # all of it numbers: nothing is drawn
    record = 1000 * 1000 * 4
    assert estimate_memory(experiment, "single", "cuda") == pytest.approx(record, rel=0.01)
    with pytest.raises(SnnError) as caught:
        require_memory(experiment, 0.9 * single, precision="single", target="c")
    assert "float32" not in str(caught.value)
    with pytest.raises(SnnError, match="float32"):
        require_memory(experiment, 0.9 * double, precision="double", target="c")
    drawn = build(BRUNEL, values={"N": 1000})
    assert estimate_memory(drawn, "double", "c") == pytest.approx(
        estimate_memory(drawn, "double", "numpy") - 4 * 1e5, rel=0.05
    )
    # what is asked for with options counts as what is written in the file
    program = load_program(Source("net.snn", text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("snnlang.model.memory.machine_memory", lambda: 1.2 * single)
        prepare(program, Overrides(precision="float32"))
        prepare(program, Overrides(target="cuda"))
        with pytest.raises(SnnError, match="E537"):
            prepare(program, Overrides())


def test_memory_of_dense_learning_and_records() -> None:
    from snnlang.model.memory import estimate_memory

    text = LIF + (
        "from stdlib.plasticity import STDP\nnetwork Net:\n    population a[1000]: Poisson(rate = 5 Hz)\n    population b[1000]: LIF\n"
        "    connect a -> b.v: dense via STDP, gain = 1 mV\n\nsimulate Net:\n    duration = 1 s\n    dt = 1 ms\n    record b.v\n"
    )
    # at least one weight for each of 10^6 pairs, and 1000 neurons at 1000 steps
    assert 16e6 < estimate_memory(build(text)) < 60e6
