"""Kernels made by Hypothesis: the interpreter, the printed NumPy and the simplified NumPy agree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scipy import special

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen import whole_array
from snnlang.codegen.functions import FUNCTIONS
from snnlang.codegen.interpret import _call
from snnlang.codegen.simplify import simplify, simplify_kernel
from snnlang.codegen.target_numpy import emit
from snnlang.codegen.verify import verify
from snnlang.model.expression import FUNCTIONS as LANGUAGE
from snnlang.runtime.device_interpreter import InterpreterDevice
from snnlang.runtime.device_numpy import NumpyDevice
from tests.codegen.plans import POST, PRE, STEP, SYNAPSE, I, T, c, launch, n, plan

SIZE = 12
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)  # kernels are small already; shrinking them takes minutes
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
ARRAYS = [
    p.Array("a", (SIZE,), data=np.linspace(-2.0, 2.0, SIZE)),
    p.Array("b", (SIZE,), data=np.cos(np.arange(SIZE))),
    p.Array("k", (), fill=0.75),
    p.Array("ring", (SIZE,), depth=3, fill=0.5),
    p.Array("m", (SIZE,), "int", data=np.arange(SIZE)[::-1] % 5),
    p.Array("f", (SIZE,), "bool"),
    p.Array("out", (SIZE,)),
    p.Array("sum", ()),
    p.Array("bins", (SIZE,)),
    p.Array("w", (), connectivity="syn", fill=0.3),
    p.Array("j", (), "int", fill=2),
]


def whole(index: k.Expr, depth: int = 2) -> st.SearchStrategy[k.Expr]:
    leaves: st.SearchStrategy[k.Expr] = st.one_of(
        st.integers(-3, 9).map(n), st.sampled_from([STEP, index, k.Load("m", index, "int"), k.Load("j", None, "int")])
    )
    return st.recursive(
        leaves,
        lambda e: st.one_of(
            st.builds(k.Binary, st.sampled_from(["+", "-", "*"]), e, e, st.just("int")),
            st.builds(lambda o, a, b: k.Binary(o, a, n(b), "int"), st.sampled_from(["/", "%"]), e, st.integers(1, 6)),
        ),
        max_leaves=depth,
    )


@st.composite
def real(
    draw: st.DrawFn, names: tuple[str, ...], indices: tuple[k.Expr, ...], reads: tuple[str, ...], depth: int = 3
) -> k.Expr:
    """A real expression that stays finite and smooth enough for rounding not to be amplified."""

    def deeper() -> k.Expr:
        return draw(real(names, indices, reads, depth - 1))

    index = draw(st.sampled_from(indices))
    leaves: list[k.Expr] = [
        c(draw(st.floats(-3, 3).map(lambda x: round(x, 3)))),
        T,
        *(k.Local(x) for x in names),
        k.Load("k", None),
        *(k.Load(x, index) for x in reads),
    ]
    if "a" in reads:
        leaves += [
            k.Load("ring", index, lag=n(draw(st.integers(1, 2)))),
            k.Draw("uniform", "s", index, STEP),
            k.Draw("normal", "s", index, draw(whole(index))),
            k.Call("real", (k.Load("f", index, "bool"),)),
            k.Call("real", (draw(whole(index)),)),
        ]
    if depth == 0:
        return draw(st.sampled_from(leaves))
    kind = draw(st.sampled_from(["leaf", "+", "-", "*", "/", "^", "call", "choose", "minus"]))
    match kind:
        case "leaf":
            return draw(st.sampled_from(leaves))
        case "+" | "-" | "*":
            return k.Binary(kind, deeper(), deeper())
        case "/":
            return k.Binary("/", deeper(), k.Binary("+", c(1.5), k.Call("abs", (deeper(),))))
        case "^":
            return k.Binary(
                "^",
                k.Binary("+", c(0.5), k.Call("abs", (k.Call("tanh", (deeper(),)),))),
                c(draw(st.sampled_from([-1.0, 0.5, 1.0, 2.0, 3.0, 4.0, 1.7]))),
            )
        case "minus":
            return k.Unary("-", deeper())
        case "call":
            name = draw(
                st.sampled_from(
                    ["exp", "tanh", "sin", "sigmoid", "relu", "min", "max", "exprel", "softplus", "sqrt", "erf", "clip"]
                )
            )
            arguments = [deeper() for _ in range(FUNCTIONS[name].arity)]
            if name in ("exp", "exprel"):
                arguments = [k.Call("tanh", (arguments[0],))]
            if name == "sqrt":
                arguments = [k.Call("abs", (arguments[0],))]
            if name == "clip":
                arguments = [arguments[0], c(-1.0), c(1.25)]
            return k.Call(name, tuple(arguments))
    return k.Choose(draw(truth(names, indices, reads, depth - 1)), deeper(), deeper())


@st.composite
def truth(
    draw: st.DrawFn, names: tuple[str, ...], indices: tuple[k.Expr, ...], reads: tuple[str, ...], depth: int = 1
) -> k.Expr:
    kind = draw(st.sampled_from(["compare", "whole", "and", "or", "not"])) if depth > 0 else "compare"
    match kind:
        case "compare":
            return k.Compare(
                draw(st.sampled_from(["<", "<=", ">", ">="])),
                draw(real(names, indices, reads, min(depth, 1))),
                c(draw(st.sampled_from([0.1234567, -0.7654321, 1.1111111]))),
            )
        case "whole":
            return k.Compare(draw(st.sampled_from(["==", "!=", "<"])), draw(whole(indices[0])), draw(whole(indices[0])))
        case "not":
            return k.Unary("not", draw(truth(names, indices, reads, depth - 1)), "bool")
    return k.Logic(kind, draw(truth(names, indices, reads, depth - 1)), draw(truth(names, indices, reads, depth - 1)))  # type: ignore[arg-type]


def bounded(value: k.Expr) -> k.Expr:
    return k.Call("clip", (value, c(-5.0), c(5.0)))


@st.composite
def body(
    draw: st.DrawFn, names: tuple[str, ...] = (), depth: int = 2, listed: bool = False, taken: tuple[int, ...] = (0,)
) -> tuple[k.Statement, ...]:
    result: list[k.Statement] = []
    counter = taken[0]
    for _ in range(draw(st.integers(1, 4))):
        kinds = (
            ["let", "store", "ring", "flag", "whole", "sum", "bins", "if", "self", "draw"]
            if depth
            else ["let", "store", "sum", "whole"]
        )
        match draw(st.sampled_from(kinds)):
            case "let":
                counter += 1
                name = f"x{depth}{counter}"
                result.append(k.Let(name, draw(real(names, (I,), ("a", "b", "out"))), "x = ..."))
                names += (name,)
            case "store":
                result.append(
                    k.Store(
                        draw(st.sampled_from(["a", "b", "out"])), I, bounded(draw(real(names, (I,), ("a", "b", "out"))))
                    )
                )
            case "self" if names:
                result.append(k.Store(draw(st.sampled_from(["a", "out"])), I, k.Local(names[-1])))
            case "ring":
                result.append(k.Store("ring", I, bounded(draw(real(names, (I,), ("a", "b"))))))
            case "flag":
                result.append(k.Store("f", I, draw(truth(names, (I,), ("a", "b")))))
            case "whole":
                result.append(k.Store("m", I, k.Binary("%", draw(whole(I)), n(7), "int")))
            case "sum":
                result.append(k.Accumulate("sum", None, bounded(draw(real(names, (I,), ("a", "b"), 1)))))
            case "bins":
                result.append(
                    k.Accumulate(
                        "bins",
                        k.Binary("%", draw(whole(I)), n(SIZE), "int"),
                        bounded(draw(real(names, (I,), ("a", "b"), 1))),
                    )
                )
            case "if":
                events = (k.Append("events"),) if draw(st.booleans()) else ()
                inner = events + draw(body(names, depth - 1, listed, (counter + 10,)))
                otherwise = draw(body(names, depth - 1, listed, (counter + 20,))) if draw(st.booleans()) else ()
                result.append(k.If(draw(truth(names, (I,), ("a", "b"))), inner, otherwise, rare=draw(st.booleans())))
                counter += 30
    return tuple(result)


SYN = p.Connectivity("syn", "sparse", SIZE, SIZE, range(SIZE), range(SIZE), "random", {"p": 0.3}, "g")


def made(nodes: list[p.PlanNode], syn: p.Connectivity = SYN, precision: Any = "double") -> p.Plan:
    return plan(
        "made",
        ARRAYS,
        [p.ClearList("events"), *nodes],
        lists=[p.EventList("events", SIZE, 2)],
        connectivities=[syn],
        precision=precision,
        streams=[("s", "x", "y"), ("g", "x", "graph")],
        recorders=[p.EventRecorder("events", "events"), p.ValueRecorder("out", "out")],
    )


def check(example: p.Plan, steps: int = 3, tolerance: float = 1e-9) -> None:
    verify(example)
    shorter = simplify(example)
    verify(shorter)
    devices: list[Any] = [InterpreterDevice(example), InterpreterDevice(shorter)]
    for version in (example, shorter):
        try:
            devices.append(NumpyDevice(version))
        except SyntaxError as problem:
            raise AssertionError(f"{problem!r}\n{emit(version).text}") from problem
    for device in devices:
        try:
            device.setup()
            device.coefficients()
            device.trial_start()
            device.run(0, steps)
        except Exception as problem:
            raise AssertionError(f"{problem!r}\n{device.text}") from problem
    first = devices[0]
    for other in devices[1:]:
        for name in example.arrays:
            np.testing.assert_allclose(
                other.read(name), first.read(name), rtol=tolerance, atol=tolerance, err_msg=f"{name}\n{other.text}"
            )
    events = [device.drain_events("events") for device in devices]
    for steps_found, indices in events[1:]:
        assert (steps_found.tolist(), indices.tolist()) == (events[0][0].tolist(), events[0][1].tolist()), devices[
            1
        ].text


@settings(max_examples=30, deadline=None, phases=QUICK, suppress_health_check=SLOW)
@given(body())
def test_each(statements: tuple[k.Statement, ...]) -> None:
    check(made([launch("each", k.Each(SIZE), *statements)]))


@settings(max_examples=20, deadline=None, phases=QUICK, suppress_health_check=SLOW)
@given(body(depth=1), st.integers(0, 1))
def test_listed(statements: tuple[k.Statement, ...], lag: int) -> None:
    spikes = launch(
        "spikes",
        k.Each(SIZE),
        k.If(k.Compare("<", k.Draw("uniform", "s", I, STEP), c(0.4)), (k.Append("events"),), rare=True),
    )
    check(made([spikes, launch("listed", k.Listed("events", lag), *statements)]))


@st.composite
def synaptic(draw: st.DrawFn) -> tuple[k.Statement, ...]:
    result: list[k.Statement] = []
    names: tuple[str, ...] = ()
    for number in range(draw(st.integers(1, 4))):
        ago = k.Binary("%", k.Load("m", draw(st.sampled_from([PRE, POST])), "int"), n(3), "int")
        value = draw(
            st.one_of(
                real(names, (PRE, POST), ("a", "b"), 2),
                st.just(k.Load("ring", draw(st.sampled_from([PRE, POST])), lag=ago)),
                st.builds(
                    lambda x, y: k.Binary("*", k.Binary("*", k.Load("w", SYNAPSE), x), y),
                    real((), (PRE,), ("a", "b"), 1),
                    real((), (POST,), ("a",), 1),
                ),
            )
        )
        match draw(st.sampled_from(["post", "pre", "w", "let", "if", "sum"])):
            case "post":
                result.append(k.Accumulate("out", POST, bounded(value) if draw(st.booleans()) else value))
            case "pre":
                result.append(k.Accumulate("bins", PRE, value))
            case "w":
                result.append(k.Store("w", SYNAPSE, bounded(value)))
            case "sum":
                result.append(k.Accumulate("sum", None, value))
            case "let":
                result.append(k.Let(f"y{number}", value))
                names += (f"y{number}",)
            case "if":
                result.append(
                    k.If(
                        draw(truth(names, (PRE, POST), ("a", "b"))),
                        (k.Accumulate("out", POST, value), k.Store("w", SYNAPSE, bounded(value))),
                    )
                )
    return tuple(result)


KINDS: dict[str, p.Connectivity] = {
    "sparse": SYN,
    "dense": p.Connectivity("syn", "dense", SIZE, SIZE, range(SIZE), range(SIZE), "dense"),
    "others": p.Connectivity("syn", "dense", SIZE, SIZE, range(SIZE), range(SIZE), "dense", autapses=False),
    "part": p.Connectivity("syn", "dense", SIZE, SIZE, range(2, 9), range(5, 11), "dense", autapses=False),
    "arrays": p.Connectivity(
        "syn", "dense", SIZE, SIZE, np.array([1, 4, 7, 8]), np.array([0, 4, 6, 7, 11]), "dense", autapses=False
    ),
    "pairs": p.Connectivity("syn", "one_to_one", SIZE, SIZE, range(1, 9), range(4, 12), "one_to_one"),
    "pair_arrays": p.Connectivity(
        "syn", "one_to_one", SIZE, SIZE, np.array([1, 4, 7]), np.array([0, 5, 6]), "one_to_one"
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10, deadline=None, phases=QUICK, suppress_health_check=SLOW)
@given(synaptic(), st.sampled_from(["all", "pre", "post"]))
def test_synapses(kind: str, statements: tuple[k.Statement, ...], domain: str) -> None:
    spikes = launch(
        "spikes",
        k.Each(SIZE),
        k.If(k.Compare("<", k.Draw("uniform", "s", I, STEP), c(0.4)), (k.Append("events"),), rare=True),
    )
    where: k.Domain = k.Synapses("syn") if domain == "all" else k.Fan("syn", domain, "events")  # type: ignore[arg-type]
    reset = [p.Fill("out", 0.0), p.Fill("bins", 0.0), p.Fill("sum", 0.0)]
    check(made([spikes, *reset, launch("synapses", where, *statements)], KINDS[kind]), tolerance=1e-8)


# --- functions --------------------------------------------------------------------------------------------------------


def test_every_function_of_the_language_has_a_row() -> None:
    assert {name: row.arity for name, row in FUNCTIONS.items() if name in LANGUAGE} == LANGUAGE


@pytest.mark.parametrize("name", LANGUAGE)
def test_functions_agree_where_they_are_odd(name: str) -> None:
    values = [-math.inf, -30.0, -1.5, -1.0, -0.5, -1e-9, -0.0, 0.0, 1e-12, 0.5, 1.0, 2.5, 3.5, 40.0, math.inf]
    rows = (
        [
            [x, *rest]
            for x in values
            for rest in ([] if LANGUAGE[name] == 1 else [[y] + [2.0] * (LANGUAGE[name] - 2) for y in (-1.25, 0.5, 2.0)])
        ]
        if LANGUAGE[name] > 1
        else [[x] for x in values]
    )
    space = {"np": np, **{x: getattr(whole_array, x) for x in whole_array.MATHEMATICS}}
    columns = [np.array(column) for column in zip(*rows)]
    names = ["x", "y", "z"][: len(columns)]
    if name in ("sin", "cos", "tan", "clip", "mod"):
        keep = np.isfinite(columns[0])
        columns = [column[keep] for column in columns]
    with np.errstate(all="ignore"):
        fast = eval(FUNCTIONS[name].numpy.format(*names), space, dict(zip(names, columns)))
    slow = [_call(name, [float(x) for x in row]) for row in zip(*columns)]
    np.testing.assert_allclose(fast, slow, rtol=1e-13, atol=1e-300)


def test_exprel_and_erf_against_scipy() -> None:
    x = np.concatenate([np.linspace(-20, 20, 101), [1e-9, -1e-12, 0.0]])
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(whole_array.exprel(x), special.exprel(x), rtol=1e-14)
    np.testing.assert_allclose(whole_array.erf(x), special.erf(x), rtol=1e-15)


# --- simplify ---------------------------------------------------------------------------------------------------------


def simplified(*statements: k.Statement) -> tuple[k.Statement, ...]:
    return simplify_kernel(k.Kernel("x", "x", k.Each(SIZE), statements)).body


A, B = k.Load("a", I), k.Load("b", I)


def test_constants_fold_and_neutral_operands_go() -> None:
    value = k.Binary("+", k.Binary("*", A, c(1.0)), k.Binary("-", c(2.0), c(2.0)))
    assert simplified(k.Store("out", I, value)) == (k.Store("out", I, A),)
    assert simplified(k.If(k.Compare("<", c(1.0), c(0.0)), (k.Store("out", I, A),), (k.Store("out", I, B),))) == (
        k.Store("out", I, B),
    )
    assert simplified(k.Store("out", I, k.Binary("/", c(1.0), c(0.0)))) == (
        k.Store("out", I, k.Binary("/", c(1.0), c(0.0))),
    )
    assert simplified(k.Store("out", I, k.Binary("^", A, c(3.0)))) == (
        k.Store("out", I, k.Binary("*", k.Binary("*", A, A), A)),
    )


def test_repeated_parts_are_computed_once_and_dead_names_go() -> None:
    part = k.Call("exp", (k.Binary("*", A, B),))
    found = simplified(
        k.Let("unused", k.Call("sin", (A,))), k.Store("out", I, part), k.Store("bins", I, k.Binary("+", part, c(1.0)))
    )
    assert found == (
        k.Let("common", part),
        k.Store("out", I, k.Local("common")),
        k.Store("bins", I, k.Binary("+", k.Local("common"), c(1.0))),
    )


def test_a_stored_array_is_read_again() -> None:
    part = k.Call("exp", (A,))
    body = (k.Store("out", I, part), k.Store("a", I, c(0.0)), k.Store("bins", I, part))
    assert simplified(*body) == body


def test_work_is_not_moved_out_of_a_branch() -> None:
    part = k.Call("exp", (k.Binary("+", A, B),))
    branch = k.If(k.Compare(">", A, c(1.0)), (k.Store("out", I, part), k.Store("bins", I, part)), rare=True)
    (found,) = simplified(branch)
    assert isinstance(found, k.If)
    assert found.body[0] == k.Let("common", part)


def test_a_value_that_is_stored_and_bounded_is_stored_once() -> None:
    w = k.Load("w", SYNAPSE)
    bound = k.Call("clip", (w, c(0.0), c(1.0)))
    first, second = k.Store("w", SYNAPSE, k.Binary("+", w, c(0.5)), "w += 0.5"), k.Store("w", SYNAPSE, bound)
    assert simplified(first, second) == (
        k.Store("w", SYNAPSE, k.Call("clip", (k.Binary("+", w, c(0.5)), c(0.0), c(1.0))), "w += 0.5"),
    )
    apart = k.Store("w", k.Binary("+", SYNAPSE, n(1), "int"), bound)
    assert simplified(first, apart) == (first, apart)


def test_conversion_to_whole_numbers_does_not_trap() -> None:
    values = np.array([1.9, -1.9, math.inf, -math.inf, 1e300])
    kernel = launch("convert", k.Each(5), k.Store("m", I, k.Call("int", (k.Load("a", I),), "int")))
    example = plan("convert", [p.Array("a", (5,), data=values), p.Array("m", (5,), "int")], [kernel])
    found = []
    for device in (NumpyDevice(example), InterpreterDevice(example)):
        device.run(0, 1)
        found.append(device.read("m").tolist())
    assert found[0] == found[1] == [1, -1, 2**62, -(2**62), 2**62]


FOUND: dict[str, tuple[str, k.Domain, tuple[k.Statement, ...]]] = {
    "a mask of the side that is summed into": (
        "dense",
        k.Fan("syn", "pre", "events"),
        (k.If(k.Compare("<", k.Load("b", POST), c(0.3)), (k.Accumulate("out", POST, k.Load("b", POST)),)),),
    ),
    "a mask of the other side": (
        "others",
        k.Synapses("syn"),
        (k.If(k.Compare("<", k.Load("b", PRE), c(0.3)), (k.Accumulate("out", POST, c(2.0)),)),),
    ),
    "numbers of a shifted index": (
        "pairs",
        k.Fan("syn", "post", "events"),
        (
            k.Accumulate("bins", PRE, k.Call("real", (k.Binary("*", PRE, n(3), "int"),))),
            k.If(k.Compare(">", PRE, n(4)), (k.Accumulate("out", POST, k.Call("real", (PRE,))),)),
        ),
    ),
    "a step back that depends on the other side": (
        "dense",
        k.Synapses("syn"),
        (k.Accumulate("out", POST, k.Load("ring", PRE, lag=k.Binary("%", k.Load("m", POST, "int"), n(3), "int"))),),
    ),
    "one weight for all but oneself": (
        "others",
        k.Synapses("syn"),
        (k.Accumulate("out", POST, k.Binary("*", k.Load("k", None), k.Load("a", PRE))),),
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_kernels_that_once_failed(name: str) -> None:
    kind, domain, statements = FOUND[name]
    spikes = launch(
        "spikes", k.Each(SIZE), k.If(k.Compare(">", k.Load("b", I), c(0.0)), (k.Append("events"),), rare=True)
    )
    reset = [p.Fill("out", 0.0), p.Fill("bins", 0.0)]
    check(made([spikes, *reset, launch("synapses", domain, *statements)], KINDS[kind]))
