"""The printed text itself: golden files, standalone modules, and what a malformed plan is told.

Golden files are rewritten by ``SNN_REWRITE=1 pytest tests/codegen/test_text.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.simplify import simplify
from snnlang.codegen.target_numpy import emit, standalone
from snnlang.codegen.verify import InternalError, verify
from snnlang.model import expression as e
from snnlang.runtime.device_numpy import NumpyDevice
from tests.codegen.plans import PLANS, SINGLE, STEP, SYNAPSE, I, c, cuba, launch, load, n

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    "name",
    ["cuba", "cuba_delayed", "noisy", "plastic_dense_part", "plastic_sparse", "analogue_others", "delayed", "coupled"],
)
def test_golden(name: str) -> None:
    text = emit(simplify(PLANS[name])).text
    path = GOLDEN / f"{name}.numpy.txt"
    if os.environ.get("SNN_REWRITE"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_text_is_the_same_every_time() -> None:
    assert emit(cuba(30, 10)).text == emit(cuba(30, 10)).text
    assert standalone(cuba(30, 10)) == standalone(cuba(30, 10))


def where_plan() -> p.Plan:
    """A pattern with a condition, a long table of numbers, a part as an array, convolution."""
    near = e.Comparison("<", e.Variable("distance"), e.Constant(1.6))
    options: dict[str, Any] = {"condition": near, "pre_shape": (5, 8), "post_shape": (5, 8)}
    connectivity = p.Connectivity(
        "near", "sparse", 40, 40, np.arange(0, 40, 2), range(40), "where", options, autapses=False
    )
    arrays = [
        p.Array("v", (40,), data=np.sin(np.arange(40.0))),
        p.Array("w", (), connectivity="near", fill=0.5),
        p.Array("level", (), fill=float("inf")),
    ]
    step: list[p.PlanNode] = [
        p.ClearList("spikes"),
        launch(
            "events",
            k.Each(40),
            k.If(
                k.Compare(">", k.Call("erf", (load("v"),)), c(0.4)),
                (k.Append("spikes"), k.Store("v", I, c(-1.0))),
                rare=True,
            ),
        ),
        launch("spread", k.Fan("near", "pre", "spikes"), k.Accumulate("v", k.Local("post", "int"), load("w", SYNAPSE))),
        launch(
            "drive",
            k.Each(40),
            k.Store("v", I, k.Binary("+", load("v"), k.Binary("*", c(0.1), k.Draw("normal", "xi", I, STEP)))),
        ),
    ]
    return p.Plan(
        "near cells",
        0.5,
        0,
        "double",
        {a.name: a for a in arrays},
        {"spikes": p.EventList("spikes", 40)},
        {},
        {"xi": p.Stream("xi", "cells", "xi", 77)},
        {"near": connectivity},
        (),
        (),
        (),
        tuple(step),
        (),
        (p.EventRecorder("spikes", "spikes", np.arange(0, 40, 3)), p.ValueRecorder("v", "v", None, 4)),
    )


@pytest.mark.parametrize("name", ["cuba", "plastic_sparse", "delayed", "analogue_others", "single", "where"])
def test_standalone_runs_without_snnlang(name: str, tmp_path: Path) -> None:
    plan = SINGLE["noisy"] if name == "single" else where_plan() if name == "where" else PLANS[name]
    ((file, text),) = standalone(plan, steps=40).items()
    assert "snnlang" not in text
    (tmp_path / file).write_text(text, encoding="utf-8")
    blocked = "import sys, runpy; sys.modules['snnlang'] = None; sys.argv = sys.argv[1:]; "
    blocked += "runpy.run_path(sys.argv[0], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", blocked, file, "--out", "result.npz"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    device = NumpyDevice(plan)
    device.setup()
    device.coefficients()
    device.trial_start()
    device.run(0, 40)
    with np.load(tmp_path / "result.npz") as saved:
        for recorder in plan.recorders:
            if isinstance(recorder, p.EventRecorder):
                steps, indices = device.drain_events(recorder.label)
                np.testing.assert_array_equal(saved[f"{recorder.label}.indices"], indices)
            else:
                steps, rows = device.drain_values(recorder.label)
                np.testing.assert_array_equal(saved[recorder.label], rows)
            np.testing.assert_allclose(saved[f"{recorder.label}.times"], (steps + plan.time_offset) * plan.dt)


# --- verify -----------------------------------------------------------------------------------------------------------


def broken(*nodes: p.PlanNode) -> p.Plan:
    base = PLANS["noisy"]
    return replace(base, step=nodes)


V = load("cell.v")
WRONG: dict[str, tuple[p.Plan, str]] = {
    "no array": (broken(launch("a", k.Each(25), k.Store("x", I, c(0.0)))), "kernel a: no array x"),
    "unbound": (broken(launch("a", k.Each(25), k.Store("cell.v", I, k.Local("y")))), "y is not bound"),
    "type": (broken(launch("a", k.Each(25), k.Store("cell.v", I, n(1)))), "real is wanted, int is given"),
    "index": (broken(launch("a", k.Each(25), k.Store("cell.v", c(1.0), c(1.0)))), "int is wanted, real is given"),
    "condition": (broken(launch("a", k.Each(25), k.If(V, ()))), "bool is wanted, real is given"),
    "scalar": (broken(launch("a", k.Each(25), k.Store("w", I, c(1.0)))), "w is a scalar"),
    "append": (
        broken(launch("a", k.Fan("shifted", "pre", "source.spikes"), k.Append("source.spikes"))),
        "where no i is bound",
    ),
    "list": (broken(p.ClearList("nobody")), "no list nobody"),
    "lag": (broken(launch("a", k.Listed("source.spikes", 1))), "keeps 1 steps, 1 back is read"),
    "ring": (
        broken(launch("a", k.Each(25), k.Store("cell.v", I, load("cell.v", lag=1)))),
        "keeps 1 steps, 1 back is used",
    ),
    "twice": (broken(launch("a", k.Each(25), k.Let("y", c(1.0)), k.Let("y", c(2.0)))), "y is bound twice"),
    "function": (broken(launch("a", k.Each(25), k.Store("cell.v", I, k.Call("sinus", (V,))))), "no function sinus"),
    "arity": (broken(launch("a", k.Each(25), k.Store("cell.v", I, k.Call("max", (V,))))), "max of 1 arguments"),
    "stream": (
        broken(launch("a", k.Each(25), k.Store("cell.v", I, k.Draw("normal", "dice", I, STEP)))),
        "no stream dice",
    ),
    "side": (broken(launch("a", k.Fan("shifted", "pre", "cell.spikes"))), "not of the pre side"),
    "every": (broken(p.Every(0, ())), "every 0 steps"),
    "recorder": (replace(PLANS["noisy"], recorders=(p.ValueRecorder("z", "z"),)), "recorders: no array z"),
    "part": (
        replace(PLANS["noisy"], connectivities={"x": p.Connectivity("x", "dense", 3, 3, range(4), range(3), "dense")}),
        "outside its population",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_malformed_plan_is_refused_by_name(name: str) -> None:
    plan, message = WRONG[name]
    with pytest.raises(InternalError, match="plan noisy, ") as caught:
        verify(plan)
    assert message in str(caught.value)
