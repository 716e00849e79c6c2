"""Numbers that stop being finite are traced to neuron, time, variable, equation and subexpression."""

from __future__ import annotations

import math

import numpy as np
import pytest

from snnlang.codegen import kernel as k
from snnlang.codegen.plan import Array, Plan
from snnlang.diagnostics import Diagnostic, SnnError
from snnlang.runtime.failure import find
from snnlang.runtime.simulation import Simulation

from . import plans


def fail(plan: Plan, duration: float = 100.0) -> Diagnostic:
    with pytest.raises(SnnError) as problem:
        Simulation(plans.experiment(duration), plan).complete()
    assert len(problem.value.diagnostics) == 1
    return problem.value.diagnostics[0]


def first_step(start: float, dt: float) -> int:
    """The step in which forward Euler of dv/dt = exp(v)/10 overflows, by a loop of its own."""
    v, step = start, 0
    while True:
        try:
            v += dt * math.exp(v) / 10
        except OverflowError:
            return step
        step += 1


def test_overflow_is_located() -> None:
    found = fail(plans.exploding())
    step = first_step(1.5, 0.1)
    assert found.code == "E825"
    assert found.message == f"`v` of E[2] overflows at t = {(step + 1) * 0.1:g} ms (step {step})"
    assert found.span is not None
    assert found.span.text == "tau*dv/dt = exp(v/mV)*mV + I"
    assert found.label == "here `exp(v)` is inf"
    assert found.help[0].startswith("with v = ")
    assert "smaller dt (now 0.1 ms)" in found.help[-1]


@pytest.mark.parametrize("dt", [0.1, 0.01, 0.001])
def test_the_first_step_is_found_within_a_chunk(dt: float) -> None:
    step = first_step(1.5, dt)
    assert f"(step {step})" in fail(plans.exploding(dt=dt)).message


def with_body(*body: k.Statement, **arrays: Array) -> Plan:
    plan = plans.exploding()
    made = {**plan.arrays, **arrays}
    return Plan(
        plan.name, plan.dt, 1, "double", made, {}, {}, {}, {}, (), (), (), (plans.launch("E", 4, *body),), (), ()
    )


def test_a_quotient_of_zeros_names_itself() -> None:
    v = plans.load("E_v")
    body = k.Store(
        "E_v",
        plans.I,
        k.Binary("+", v, k.Binary("/", k.Binary("-", v, v), k.Binary("*", k.Const(2.0), plans.load("E_I")))),
    )
    found = fail(with_body(body))
    assert found.message == "`v` of E[0] is not a number at t = 0.1 ms (step 0)"
    assert found.label == "here `(v - v)/(2*I)` is nan"


def test_a_square_root_of_a_negative_number() -> None:
    body = k.Store("E_v", plans.I, k.Call("sqrt", (k.Binary("-", plans.load("E_I"), k.Call("real", (plans.I,))),)))
    found = fail(with_body(body))
    assert "`v` of E[1] is not a number" in found.message
    assert found.label == "here `sqrt(I - i)` is nan"


def test_only_the_branch_taken_is_blamed() -> None:
    huge = k.Call("exp", (k.Const(1000.0),))
    late = k.Compare(">", k.Local("step", "int"), k.Const(4, "int"))
    body = k.Store(
        "E_v",
        plans.I,
        k.Choose(
            late,
            k.Binary("*", k.Const(3.0), k.Call("log", (plans.load("E_I"),))),
            k.Choose(k.Compare("<", k.Local("t"), k.Const(0.0)), huge, k.Const(1.0)),
        ),
    )
    found = fail(with_body(body))
    assert "(step 5)" in found.message
    assert found.label == "here `log(I)` is -inf"


def test_infinity_that_is_meant_is_no_failure() -> None:
    since = Array("E_last", (4,), owner="E", variable="last", fill=-math.inf)
    body = k.Store("E_v", plans.I, k.Call("exp", (k.Load("E_last", plans.I),)))
    plan = with_body(body, k.Store("E_last", plans.I, k.Const(-math.inf)), E_last=since)
    Simulation(plans.experiment(1.0), plan).complete()


def test_an_equation_is_found_whatever_its_spacing() -> None:
    found = find("tau*dv/dt=exp( v/mV )*mV+I", (plans.MODEL,))
    assert found is not None
    assert found.text == "tau*dv/dt = exp(v/mV)*mV + I"
    assert find("dw/dt = 0", (plans.MODEL,)) is None


def test_what_was_streamed_before_a_failure_is_kept(tmp_path: object) -> None:
    from pathlib import Path

    from snnlang.runtime.recording import Recording

    assert isinstance(tmp_path, Path)
    simulation = Simulation(plans.experiment(100.0), plans.exploding(), out=tmp_path / "run")
    with pytest.raises(SnnError) as problem:
        simulation.run("1 ms").run("100 ms")
    assert "what was recorded until then is in" in str(problem.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.partial"]
    kept = Recording.load(tmp_path / "run.partial")
    assert len(kept["E.v"]) >= 10
    assert np.isfinite(kept["E.v"]).all()


def test_single_precision_overflows_where_single_precision_ends() -> None:
    found = fail(plans.exploding(precision="single"))
    assert found.label == "here `exp(v)` is inf"
    assert 88 < float(found.help[0].removeprefix("with v = ")) < 1e38
