"""Plans made by hand on the CUDA device, run through the shim: equal to the interpreter both ways of running, in any order of threads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen import target_cuda
from snnlang.codegen.simplify import simplify
from snnlang.codegen.target_cuda import emit
from snnlang.codegen.verify import InternalError, verify
from snnlang.diagnostics import SnnError
from snnlang.runtime import cuda_memory, device_cuda
from snnlang.runtime.cuda_shim import ShimBackend
from snnlang.runtime.device_cuda import CudaDevice
from snnlang.runtime.device_interpreter import InterpreterDevice
from snnlang.runtime.target_limits import LAST_STEP
from tests.codegen.plans import PLANS, POST, PRE, SINGLE, STEP, SYNAPSE, I, add, c, cuba, launch, load, mul, n, op, plan
from tests.targets import needs_shim

pytestmark = needs_shim

Way = Literal["resident", "graph"]


def start(device: Any) -> None:
    device.setup()
    device.coefficients()
    device.trial_start()


def cuda(made: p.Plan, way: Way | None = None, order: int = 0, block: int = 64, **options: Any) -> CudaDevice:
    """A device on the processor; graphs only where the plan allows them."""
    device = CudaDevice(made, ShimBackend(order=order, block=block, **options))
    if way is not None and device.code.step:
        device.way = way
    return device


def assert_equal(fast: Any, slow: Any, tolerance: float) -> None:
    """What two devices of one plan recorded, and their arrays."""
    made: p.Plan = fast.plan
    for recorder in made.recorders:
        if isinstance(recorder, p.EventRecorder):
            for a, b in zip(fast.drain_events(recorder.label), slow.drain_events(recorder.label), strict=True):
                np.testing.assert_array_equal(a, b, recorder.label)
        else:
            (steps, rows), (others, expected) = fast.drain_values(recorder.label), slow.drain_values(recorder.label)
            np.testing.assert_array_equal(steps, others)
            np.testing.assert_allclose(rows, expected, rtol=tolerance, atol=tolerance, err_msg=recorder.label)
            assert rows.dtype == expected.dtype
    for name in made.arrays:
        a, b = fast.read(name), slow.read(name)
        assert (a.dtype, a.shape) == (b.dtype, b.shape), name
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=name)


def lowered(made: p.Plan) -> p.Plan:
    """The plan with connectivity of parts that are no ranges as ``lower`` makes it."""
    changed = {
        name: replace(link, kind="sparse")
        if not all(isinstance(part, range) for part in (link.pre_part, link.post_part))
        else link
        for name, link in made.connectivities.items()
    }
    return replace(made, connectivities=changed)


def agree(made: p.Plan, steps: int = 40, tolerance: float = 1e-11, **options: Any) -> None:
    verify(made)
    fast, slow = cuda(made, **options), InterpreterDevice(made)
    for device in (fast, slow):
        start(device)
        device.run(0, 7)
        device.run(7, 1)
        device.run(8, steps - 8)
        device.trial_end()
    assert_equal(fast, slow, tolerance)


@pytest.mark.parametrize(("way", "order"), [("resident", 0), ("resident", 3), ("graph", 5)])
@pytest.mark.parametrize("name", PLANS)
def test_as_the_interpreter(name: str, way: Way, order: int) -> None:
    agree(lowered(simplify(PLANS[name])), way=way, order=order)


@pytest.mark.parametrize("name", SINGLE)
def test_single_precision(name: str) -> None:
    agree(lowered(SINGLE[name]), 25, 2e-5)


def test_a_model_in_ordinary_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_cuda, "CONSTANT_BYTES", 0)
    agree(simplify(PLANS["cuba_delayed"]), way="graph")


@pytest.mark.parametrize("block", [32, 128])
def test_the_number_of_threads_changes_no_spike(block: int) -> None:
    agree(simplify(PLANS["cuba_delayed"]), block=block, multiprocessors=1 + block // 64)


def test_single_steps_as_many() -> None:
    """Launches one by one, graphs, and the resident kernel stop where they should."""
    made = cuba(60, 15)
    devices = [cuda(made, "resident"), cuda(made, "graph"), cuda(made, "graph")]
    for device in devices:
        start(device)
    devices[0].run(0, 700)
    devices[1].run(0, 700)
    for step in range(700):
        devices[2].run(step, 1)
    reference = devices[0].drain_events("E.spikes")
    for device in devices[1:]:
        for a, b in zip(reference, device.drain_events("E.spikes"), strict=True):
            np.testing.assert_array_equal(a, b)


# --- one node of each kind --------------------------------------------------------------------------------------------


def reductions(size: int = 37, groups: int = 5) -> p.Plan:
    """Every reduction, with and without groups, of numbers that change."""
    scattered = np.array([(7 * i) % groups for i in range(size)])
    arrays = [p.Array("v", (size,), fill=0.25), p.Array("group", (size,), "int", "data", data=scattered)]
    step: list[p.PlanNode] = [
        launch(
            "move",
            k.Each(size),
            k.Store("v", I, op("%", add(mul(load("v"), c(3.7)), mul(k.Call("real", (I,), "real"), c(0.61))), c(5.0))),
        )
    ]
    for operation in ("sum", "mean", "max", "min", "argmax", "argmin"):
        kind: Any = "int" if operation.startswith("arg") else "real"
        arrays += [p.Array(f"{operation}_all", (), kind), p.Array(f"{operation}_of", (groups,), kind)]
        step += [p.Reduce(operation, f"{operation}_all", "v"), p.Reduce(operation, f"{operation}_of", "v", "group")]
    arrays += [p.Array("rank_all", (size,), "int"), p.Array("rank_of", (size,), "int")]
    step += [p.Reduce("rank", "rank_all", "v"), p.Reduce("rank", "rank_of", "v", "group")]
    recorders: list[p.EventRecorder | p.ValueRecorder] = [
        p.ValueRecorder("some", "v", np.array([3, 1]), every=3),
        p.ValueRecorder("best", "argmax_all"),
    ]
    return plan("reductions", arrays, step, recorders=recorders)


def scheduled(size: int = 6) -> p.Plan:
    """Events at given steps, some twice; a list that a clock and a schedule fill; nodes that run now and then."""
    steps, indices = np.array([0, 3, 3, 3, 9, 10, 10]), np.array([1, 0, 4, 4, 5, 2, 0])
    arrays = [
        p.Array("steps", (7,), "int", "data", data=steps),
        p.Array("indices", (7,), "int", "data", data=indices),
        p.Array("seen", (size,)),
        p.Array("before", (size,)),
        p.Array("calls", ()),
    ]
    own = k.If(k.Compare("==", op("%", add_whole(STEP, I), n(5), "int"), n(0)), (k.Append("events"),), rare=True)
    step: list[p.PlanNode] = [
        p.ClearList("events"),
        p.Schedule("events", "steps", "indices"),
        launch("own", k.Each(size), own),
        launch("seen_now", k.Listed("events"), k.Accumulate("seen", I, c(1.0))),
        launch("seen_before", k.Listed("events", 2), k.Store("before", I, add(load("before"), c(1.0)))),
        p.Every(4, (launch("call", k.Single(), k.Store("calls", None, add(load("calls", None), c(1.0)))),)),
        p.AtStep(6, (p.Fill("seen", 0.5),)),
    ]
    lists = [p.EventList("events", size, 3)]
    return plan(
        "scheduled",
        arrays,
        step,
        lists=lists,
        recorders=[p.EventRecorder("events", "events"), p.EventRecorder("few", "events", np.array([0, 5]))],
    )


def add_whole(left: k.Expr, right: k.Expr) -> k.Expr:
    return op("+", left, right, "int")


def settling(size: int = 9) -> p.Plan:
    """A chain of neurons that start each other within a step, until no more do."""
    arrays = [p.Array("excited", (size,)), p.Array("drive", (size,))]
    near = p.Connectivity("chain", "dense", size, size, range(size), range(size), "dense", autapses=False)
    fire = k.If(k.Compare(">", load("excited"), c(0.5)), (k.Append("events"),), rare=True)
    first = k.Choose(k.Compare("==", op("%", STEP, n(size), "int"), I), c(1.0), c(0.0))
    link = k.Choose(k.Compare("==", POST, add_whole(PRE, n(1))), c(1.0), c(0.0))
    again = (
        launch("again", k.Each(size), k.Store("excited", I, load("drive"))),
        launch("spread", k.Fan("chain", "pre", "events"), k.Accumulate("excited", POST, link)),
        p.ClearList("events"),
        launch("fire_again", k.Each(size), fire),
    )
    step: list[p.PlanNode] = [
        launch("drive_now", k.Each(size), k.Store("drive", I, first), k.Store("excited", I, first)),
        p.ClearList("events"),
        launch("fire", k.Each(size), fire),
        p.Settle("events", 6, again),
    ]
    lists = [p.EventList("events", size)]
    return plan(
        "settling", arrays, step, lists=lists, connectivities=[near], recorders=[p.EventRecorder("events", "events")]
    )


def synapse_sums(kind: Any = "sparse", size: int = 11) -> p.Plan:
    """Reductions over the synapses of a neuron, from both sides."""
    pattern = "one_to_one" if kind == "one_to_one" else "random" if kind == "sparse" else "dense"
    options = {"p": 0.3} if pattern == "random" else {}
    link = p.Connectivity(
        "link", kind, size, size, range(2, size), range(size - 2), pattern, options, "link" if options else ""
    )
    arrays = [p.Array("w", (), role="weight", connectivity="link")]
    step: list[p.PlanNode] = [
        launch(
            "grow",
            k.Synapses("link"),
            k.Store(
                "w",
                SYNAPSE,
                add(
                    mul(load("w", SYNAPSE), c(0.5)),
                    op("%", k.Call("real", (add_whole(STEP, SYNAPSE),), "real"), c(7.0)),
                ),
            ),
        )
    ]
    for per in ("pre", "post"):
        for operation in ("sum", "mean", "max", "min", "count"):
            name = f"{operation}_{per}"
            arrays.append(p.Array(name, (size,)))
            step.append(p.SynapseReduce(operation, name, None if operation == "count" else "w", "link", per))
    return plan("sums", arrays, step, connectivities=[link], streams=[("link", "link", "w")])


@pytest.mark.parametrize(("way", "order"), [("resident", 4), ("graph", 0)])
@pytest.mark.parametrize(
    "made",
    [reductions(), scheduled(), settling(), synapse_sums(), synapse_sums("dense"), synapse_sums("one_to_one")],
    ids=lambda made: made.name,
)
def test_every_other_node(made: p.Plan, way: Way, order: int) -> None:
    agree(made, 30, way=way, order=order)


# --- records, states, refusals ----------------------------------------------------------------------------------------


def test_records_that_are_full_are_emptied_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_memory, "FEW_EVENTS", 1)
    monkeypatch.setattr(cuda_memory, "MANY_EVENTS", 1)
    monkeypatch.setattr(cuda_memory, "RECORD_BYTES", 100)
    for way in ("resident", "graph"):
        agree(cuba(60, 15), 300, way=way)


def test_a_state_comes_back_from_the_device_and_from_the_host() -> None:
    for total in (2**32, 2**25):
        device = cuda(PLANS["delayed"], total=total)
        start(device)
        device.run(0, 10)
        device.drain_events("spikes"), device.drain_values("v")
        if total < 2**32:
            device.backend.allocate(device.backend.memory()[0] - 64)
        kept = device.snapshot()
        assert (kept.memory is None) == (total == 2**32)
        device.run(10, 20)
        events, values = device.drain_events("spikes"), device.drain_values("v")
        device.restore(kept)
        assert device.step == 10
        device.run(10, 20)
        np.testing.assert_array_equal(events, device.drain_events("spikes"))
        np.testing.assert_array_equal(values[1], device.drain_values("v")[1])


def test_weights_that_the_user_sets_go_back_too() -> None:
    made = simplify(PLANS["delayed"])
    device = cuda(made)
    start(device)
    weights = next(name for name, array in made.arrays.items() if array.connectivity and name not in device._changing)
    device.run(0, 3)
    kept, before = device.snapshot(), device.read(weights)
    device.write(weights, before + 1)
    device.restore(kept)
    np.testing.assert_array_equal(device.read(weights), before)


def test_a_new_trial_forgets_what_was_under_way() -> None:
    device = cuda(PLANS["delayed"])
    start(device)
    device.run(0, 12)
    device.trial_start(100)
    device.write("v", 0.0)
    device.run(100, 5)
    assert device.read("v").tolist() == [0.0] * 14


def test_synapses_as_on_other_targets() -> None:
    for name in ("plastic_sparse_part", "plastic_dense_part", "delayed_one_to_one"):
        made = lowered(PLANS[name])
        device, slow = cuda(made), InterpreterDevice(made)
        for connectivity in made.connectivities:
            for a, b in zip(device.synapses(connectivity), slow.synapses(connectivity), strict=True):
                np.testing.assert_array_equal(a, b)


def test_what_lower_never_makes_is_our_mistake() -> None:
    with pytest.raises(InternalError, match="lowered as sparse"):
        emit(PLANS["noisy"])


def test_memory_goes_with_the_device() -> None:
    backend = ShimBackend()
    free = backend.memory()[0]
    device = CudaDevice(PLANS["delayed"], backend)
    assert device.nbytes > 0
    assert backend.memory()[0] < free
    del device
    assert backend.memory()[0] == free


def test_a_queue_that_overflows_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_memory, "QUEUE_SHARE", 2**28)
    device = cuda(PLANS["delayed"])
    start(device)
    with pytest.raises(SnnError, match="E748") as raised:
        device.run(0, 40)
    assert "reached in one step" in str(raised.value)


def test_too_large_a_network_is_refused_before_it_is_made() -> None:
    backend = ShimBackend(total=2**16)
    with pytest.raises(SnnError, match="E741"):
        CudaDevice(cuba(4000, 1000), backend)
    assert backend.memory()[0] == 2**16


def test_more_steps_than_can_be_counted() -> None:
    device = cuda(cuba(10, 5))
    with pytest.raises(SnnError, match="E737"):
        device.run(0, LAST_STEP + 1)


def test_resident_where_threads_suffice() -> None:
    device = cuda(cuba(40, 10))
    threads = device.most_resident * device.block
    assert device.way == "resident"
    assert device_cuda.way_of(device.code, threads) == "resident"
    assert device_cuda.way_of(device.code, 9) == "graph"
    assert cuda(cuba(8 * threads, 8)).way == "graph"
    assert device_cuda.way_of(cuda(settling()).code, 1) == "resident"


def test_a_size_or_a_parameter_compiles_nothing() -> None:
    one, other = cuda(cuba(40, 10)), cuda(replace(cuba(60, 20, probability=0.4), dt=0.2))
    assert one.text == other.text
