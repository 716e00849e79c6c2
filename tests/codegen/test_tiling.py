"""Which plans run block by block through many steps: those in which no neuron sees another. What they compute is tested in semantics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.c_sharing import share_out
from snnlang.codegen.c_tiling import Tiles, Tiling, described, tiling
from snnlang.codegen.target_c import emit
from tests.codegen.plans import PLANS, I, add, c, launch, load, n, op, plan
from tests.codegen.test_c_text import golden, own_text

SIZE = 8


def fire(event: str = "spikes", state: str = "v", size: int = SIZE) -> p.Launch:
    """Neurons that climb, and fall when they fire."""
    return launch(
        f"fire_{event}_{state}",
        k.Each(size),
        k.Let("new", add(load(state), c(0.25))),
        k.Store(state, I, k.Local("new")),
        k.If(k.Compare(">", k.Local("new"), c(1.0)), (k.Append(event), k.Store(state, I, c(0.0))), rare=True),
    )


def alone(*step: p.PlanNode, recorders: tuple[p.EventRecorder | p.ValueRecorder, ...] = (), depth: int = 1) -> p.Plan:
    """A plan of two populations, of eight and six neurons, with lists of their own."""
    arrays = [
        p.Array("v", (SIZE,)),
        p.Array("u", (6,)),
        p.Array("input", (SIZE,), role="input"),
        p.Array("past", (SIZE,), role="history", depth=3),
        p.Array("total", ()),
        p.Array("at", (2,), type="int", role="data", data=np.array([1, 2])),
    ]
    cleared = {node.list for node in step if isinstance(node, p.ClearList)}
    lists = [p.EventList(name, size, depth) for name, size in (("spikes", SIZE), ("peaks", 6)) if name in cleared]
    return plan("alone", arrays, list(step), lists=lists, recorders=list(recorders))


def found(made: p.Plan) -> Tiling | None:
    return tiling(made, share_out(made).inserts)


def both(*more: p.PlanNode) -> tuple[p.PlanNode, ...]:
    return (p.ClearList("spikes"), fire(), p.ClearList("peaks"), fire("peaks", "u", 6), *more)


def test_populations_of_their_own() -> None:
    made = found(alone(*both()))
    assert made is not None
    assert [strand.size for strand in made.strands] == [8, 6]
    assert [strand.lists for strand in made.strands] == [("spikes",), ("peaks",)]
    assert [strand.written for strand in made.strands] == [("v",), ("u",)]
    assert made.strand_of("u") == 1
    assert made.strand_of("total") == -1


def test_bytes_are_those_that_a_step_streams() -> None:
    drive = launch("drive", k.Each(SIZE), k.Accumulate("v", I, add(load("input"), load("past", lag=1))))
    made = alone(p.ClearList("spikes"), drive, fire())
    tiles = found(made)
    assert tiles is not None
    assert tiles.state_bytes(made) == 8 * SIZE * (1 + 1 + 3)


def test_inputs_that_are_summed_and_filled() -> None:
    drive = launch("drive", k.Each(SIZE), k.Accumulate("input", I, k.Local("t")))
    made = found(alone(p.Fill("input", 0.0), drive, p.ClearList("spikes"), fire(), p.Fill("past", 0.0, -1)))
    assert made is not None
    assert len(made.strands) == 1
    assert made.strands[0].written == ("input", "v", "past")


def test_what_is_rare_ends_a_chunk() -> None:
    rare = (p.AtStep(5, (p.Fill("total", 1.0),)), p.Every(10, (p.Fill("v", 0.0),)))
    made = alone(*both(), *rare)
    tiles = found(made)
    assert tiles is not None
    assert tiles.rare == rare
    text = own_text(emit(made).text)
    assert "if (m->at_step >= at) chunk__ = snn_smaller(chunk__, m->at_step - at);" in text
    assert "chunk__ = snn_smaller(chunk__, m->period - 1 - at%m->period);" in text


OTHERS = {
    "reads another's state": launch("mirror", k.Each(SIZE), k.Store("input", I, load("v", op("-", n(7), I, "int")))),
    "reads a state as often as a smaller population has neurons": launch("some", k.Each(6), k.Store("u", I, load("v"))),
    "writes through an index": launch("indexed", k.Each(2), k.Accumulate("v", load("at", I, "int"), c(1.0))),
    "writes one value": launch("sum", k.Each(SIZE), k.Accumulate("total", None, load("v"))),
    "once for all": launch("once", k.Single(), k.Store("total", None, k.Local("t"))),
    "fills one value": p.Fill("total", 0.0),
    "reduces": p.Reduce("sum", "total", "v"),
    "is scheduled": p.Schedule("spikes", "at", "at"),
    "looks at events": launch("listed", k.Listed("spikes"), k.Store("v", I, c(0.0))),
    "settles": p.Settle("spikes", 3, (fire(),)),
    "fires twice": fire(),
    "clears twice": p.ClearList("spikes"),
}


@pytest.mark.parametrize("node", OTHERS.values(), ids=list(OTHERS))
def test_one_step_after_the_other(node: p.PlanNode) -> None:
    made = alone(*both(node))
    assert found(made) is None
    assert "tiles__" not in emit(made).text if not isinstance(node, p.Settle) else True


def test_events_that_nothing_clears() -> None:
    made = alone(*both())
    assert found(replace(made, step=tuple(node for node in made.step if node != p.ClearList("spikes")))) is None


def test_events_before_their_list_is_cleared() -> None:
    assert found(alone(fire(), p.ClearList("spikes"))) is None


def test_a_count_whose_mean_follows_time() -> None:
    draw = k.Draw("uniform", "stream", I, k.Local("step", "int"))

    def counted(mean: k.Expr) -> p.Plan:
        node = launch("count", k.Each(SIZE), k.Store("v", I, k.Call("poisson_quantile", (draw, mean))))
        return replace(alone(node), streams={"stream": p.Stream("stream", "v", "draw", 1)})

    assert found(counted(load("total", None))) is not None
    assert found(counted(add(k.Local("t"), c(1.0)))) is None


@pytest.mark.parametrize("name", ["cuba", "cuba_delayed", "analogue_others", "delayed", "coupled"])
def test_networks_with_synapses_do_not(name: str) -> None:
    assert found(PLANS[name]) is None


def test_sizes_of_blocks_are_given_not_printed() -> None:
    made = alone(*both())
    one, other = emit(made), emit(made, tiles=Tiles(8, 64, 0))
    assert one.text == other.text
    assert one.whole != other.whole


def test_golden() -> None:
    recorders = (
        p.EventRecorder("spikes", "spikes"),
        p.EventRecorder("peaks", "peaks", np.array([1, 3])),
        p.ValueRecorder("v", "v", np.array([0, 5]), every=4),
        p.ValueRecorder("u", "u"),
        p.ValueRecorder("past", "past"),
        p.ValueRecorder("input", "input", every=2),
    )
    remember = launch("remember", k.Each(SIZE), k.Store("past", I, load("v")))
    made = alone(*both(remember, p.AtStep(9, (p.Fill("v", 0.5),))), recorders=recorders, depth=2)
    golden("blocks", own_text(emit(made).text))


def test_words_for_explain() -> None:
    assert described(alone(*both())) == ""  # the states fit the cache by themselves
    large = plan("large", [p.Array("v", (50_000,))], [launch("climb", k.Each(50_000), k.Accumulate("v", I, c(0.25)))])
    assert "1024 neurons at a time through 64 steps" in described(large)
    assert described(PLANS["cuba"]) == ""
