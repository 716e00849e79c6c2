"""The printed C itself: golden files (without the headers that every model carries), names that C knows, what is shared out among threads.

Golden files are rewritten by ``SNN_REWRITE=1 pytest tests/codegen/test_c_text.py``.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.c_fusion import fuse
from snnlang.codegen.c_sharing import share_out
from snnlang.codegen.simplify import simplify
from snnlang.codegen.target_c import emit
from snnlang.codegen.verify import InternalError
from tests.codegen.plans import PLANS, POST, PRE, SYNAPSE, I, add, c, cuba, launch, load, n, op, plan

GOLDEN = Path(__file__).parent / "golden"
OWN = "/* --- the memory of this model"


def own_text(text: str) -> str:
    """The text without the headers that are pasted in."""
    return text[text.index(OWN) :]


def golden(name: str, text: str) -> None:
    """Compare with a golden file, or write it."""
    path = GOLDEN / f"{name}.c.txt"
    if os.environ.get("SNN_REWRITE"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["cuba", "cuba_delayed", "analogue_others", "delayed", "coupled"])
def test_golden(name: str) -> None:
    golden(name, own_text(emit(simplify(PLANS[name])).text))


def test_text_is_the_same_every_time() -> None:
    assert emit(cuba(30, 10)).text == emit(cuba(30, 10)).text


def test_sizes_are_given_not_printed() -> None:
    small, large = emit(cuba(300, 100)), emit(cuba(3000, 1000))
    assert small.text == large.text
    assert small.whole != large.whole


def test_a_population_beyond_two_byte_indices_is_another_text() -> None:
    assert "uint16_t *restrict const post_of" in emit(cuba(300, 100)).text
    assert "int32_t *restrict const post_of" in emit(cuba(70_000, 100, probability=1e-4)).text


def test_names_that_c_knows_get_an_underscore() -> None:
    arrays = [p.Array(name, (4,), fill=1.0) for name in ("int", "double", "main", "I", "rows")]
    step: list[p.PlanNode] = [
        launch(
            "while",
            k.Each(4),
            k.Let("float", add(load("int"), load("double"))),
            k.Store("main", I, k.Local("float")),
            k.Store("rows", I, load("I")),
        )
    ]
    text = own_text(emit(plan("names", arrays, step)).text)
    assert "real *int_;" in text
    assert "const real float_" in text
    assert "static void while_(" in text


def test_what_memory_is_not_laid_out_for_is_refused() -> None:
    parts = p.Connectivity("some", "dense", 8, 8, np.array([0, 2]), range(8), "dense")
    with pytest.raises(InternalError, match="must be lowered as sparse"):
        emit(plan("parts", [], [], connectivities=[parts]))
    counted = p.Array("count", (8,), type="int")
    node = p.SynapseReduce("count", "count", None, "all", "post")
    with pytest.raises(InternalError, match="holds no real numbers"):
        emit(
            plan(
                "counted",
                [counted],
                [node],
                connectivities=[p.Connectivity("all", "dense", 8, 8, range(8), range(8), "dense")],
            )
        )


def test_names_that_become_one_stay_two() -> None:
    arrays = [p.Array("v", (4,)), p.Array("alpha", (4,))]
    step: list[p.PlanNode] = [
        launch(
            "greek",
            k.Each(4),
            k.Let("α", c(1.0)),
            k.Let("alpha_2", c(2.0)),
            k.Store("v", I, add(k.Local("α"), k.Local("alpha_2"))),
        )
    ]
    text = own_text(emit(plan("greek", arrays, step)).text)
    assert "const real alpha_3 = 1.0;" in text or "const real alpha_2_2 = 2.0;" in text


# --- threads ----------------------------------------------------------------------------------------------------------


def chain(depth: int, lag: int) -> p.Plan:
    """Neurons that fire and push each other some steps later, recorded."""
    arrays = [p.Array("v", (8,)), p.Array("w", (), connectivity="all", fill=0.5)]
    step: list[p.PlanNode] = [
        launch("push", k.Fan("all", "pre", "spikes", lag), k.Accumulate("v", POST, load("w", SYNAPSE))),
        p.ClearList("spikes"),
        launch("fire", k.Each(8), k.If(k.Compare(">", load("v"), c(1.0)), (k.Append("spikes"),), rare=True)),
    ]
    return plan(
        "chain",
        arrays,
        step,
        lists=[p.EventList("spikes", 8, depth)],
        connectivities=[p.Connectivity("all", "dense", 8, 8, range(8), range(8), "dense")],
        recorders=[p.EventRecorder("spikes", "spikes")],
    )


def test_a_ring_of_lists_needs_one_barrier_a_step() -> None:
    shared = share_out(chain(2, 1))
    assert not shared.alone
    assert not shared.barriers  # the one before the records separates writing from reading
    assert shared.before_records


def test_a_list_that_is_cleared_while_it_is_recorded_needs_another() -> None:
    without = chain(1, 0)
    without = replace(without, step=without.step[1:])
    shared = share_out(without)
    assert shared.before_records
    assert 0 in shared.barriers  # clearing waits until the first thread has copied the list


def test_a_list_that_is_read_steps_later_needs_a_barrier_too() -> None:
    """Found in step 3 alone: nothing that two steps in a row touch meets in a ring of eleven."""
    shared = share_out(replace(chain(11, 3), recorders=()))
    assert len(shared.barriers) == 1


def test_what_writes_at_the_pre_side_runs_alone() -> None:
    back = chain(2, 1)
    node = launch("back", k.Fan("all", "pre", "spikes", 1), k.Accumulate("v", PRE, c(1.0)))
    shared = share_out(replace(back, step=(node, *back.step[1:])))
    assert shared.alone == {0}


def test_a_read_through_other_indices_waits_for_the_writers() -> None:
    base = chain(2, 1)
    arrays = {**base.arrays, "u": p.Array("u", (8,))}
    mirrored = k.Binary("-", n(7), I, "int")
    step = (
        launch("write", k.Each(8), k.Store("v", I, c(1.0))),
        launch("mirror", k.Each(8), k.Store("u", I, load("v", mirrored))),
    )
    shared = share_out(replace(base, arrays=arrays, step=step, recorders=()))
    assert shared.barriers == {0, 1}
    assert not shared.alone


def test_two_places_that_append_insert_in_order() -> None:
    base = chain(2, 1)
    again = launch("again", k.Each(8), k.If(k.Compare("<", load("v"), c(-1.0)), (k.Append("spikes"),), rare=True))
    assert share_out(base).inserts == frozenset()
    assert share_out(replace(base, step=(*base.step, again))).inserts == {"spikes"}


# --- clearing with the kernel -----------------------------------------------------------------------------------------


def test_a_cleared_array_is_cleared_by_the_kernel_before() -> None:
    base = chain(2, 1)
    step = (*base.step, p.Fill("v", 0.0))
    fused = fuse(replace(base, step=step))
    assert len(fused.step) == len(base.step)
    last = fused.step[-1]
    assert isinstance(last, p.Launch)
    assert k.Store("v", I, k.Const(0.0)) in last.kernel.body


def test_an_array_read_by_other_items_is_cleared_afterwards() -> None:
    base = chain(2, 1)
    mirrored = k.Binary("-", n(7), I, "int")
    arrays = {**base.arrays, "u": p.Array("u", (8,))}
    step = (launch("mirror", k.Each(8), k.Store("u", I, load("v", mirrored))), p.Fill("v", 0.0))
    assert fuse(replace(base, arrays=arrays, step=step)).step == step


# --- marks of neurons with events -------------------------------------------------------------------------------------


def marks(precision: Literal["single", "double"], terms: int) -> str:
    """The text of neurons whose next value takes so many products."""
    terms_of = [op("*", load("v"), c(0.5 + number)) for number in range(terms)]
    body = (
        k.Let("new", add(*terms_of)),
        k.Store("v", I, k.Local("new")),
        k.If(k.Compare(">", k.Local("new"), c(1.0)), (k.Append("spikes"),), rare=True),
    )
    step: list[p.PlanNode] = [p.ClearList("spikes"), launch("fire", k.Each(8), *body)]
    return own_text(
        emit(plan("marks", [p.Array("v", (8,))], step, lists=[p.EventList("spikes", 8)], precision=precision)).text
    )


def test_marks_are_bytes_where_little_is_computed_in_single_precision() -> None:
    assert "wide__" not in marks("single", 2)
    assert "int32_t wide__1[SNN_BLOCK];" in marks("single", 6)
    assert "int32_t wide__1[SNN_BLOCK];" in marks("double", 2)


@pytest.mark.parametrize("math", ["fast", "strict"])
def test_heavy_formulas_are_interleaved_by_the_compiler(math: Literal["fast", "strict"]) -> None:
    """The text asks for it where neurons compute exponentials; light models are compiled as ever."""

    def asked(value: k.Expr) -> bool:
        spike = k.If(k.Compare(">", k.Local("new"), c(1.0)), (k.Append("spikes"),), rare=True)
        body = (k.Let("new", value), k.Store("v", I, k.Local("new")), spike)
        step: list[p.PlanNode] = [p.ClearList("spikes"), launch("move", k.Each(8), *body)]
        made = emit(plan("heavy", [p.Array("v", (8,))], step, lists=[p.EventList("spikes", 8)]), math=math)
        return '#pragma GCC optimize ("schedule-insns"' in made.text

    v = load("v", I)
    assert asked(k.Call("exp", (v,))) == (math == "fast")
    assert not asked(add(v, c(1.0)))
