"""Plans written by hand, one for each thing that a target must do. Sizes are arguments: small for the interpreter, full for timings."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from snnlang.codegen import kernel as k
from snnlang.codegen import plan as p
from snnlang.codegen.random import key_of

I = k.Local("i", "int")
PRE, POST, SYNAPSE, SHARED, STEP = (k.Local(name, "int") for name in ("pre", "post", "synapse", "shared", "step"))
T, DT = k.Local("t"), k.Local("dt")


def c(value: float) -> k.Const:
    return k.Const(float(value))


def n(value: int) -> k.Const:
    return k.Const(value, "int")


def load(array: str, index: k.Expr | None = I, type: k.Type = "real", lag: int | None = None) -> k.Load:
    return k.Load(array, index, type, None if lag is None else n(lag))


def op(operator: Any, left: k.Expr, right: k.Expr, type: k.Type = "real") -> k.Binary:
    return k.Binary(operator, left, right, type)


def mul(*parts: k.Expr) -> k.Expr:
    result = parts[0]
    for part in parts[1:]:
        result = op("*", result, part)
    return result


def add(*parts: k.Expr) -> k.Expr:
    result = parts[0]
    for part in parts[1:]:
        result = op("+", result, part)
    return result


def plan(
    name: str,
    arrays: list[p.Array],
    step: list[p.PlanNode],
    *,
    lists: list[p.EventList] | None = None,
    queues: list[p.Queue] | None = None,
    streams: list[tuple[str, str, str]] | None = None,
    connectivities: list[p.Connectivity] | None = None,
    setup: list[p.PlanNode] | None = None,
    coefficients: list[p.PlanNode] | None = None,
    trial_start: list[p.PlanNode] | None = None,
    trial_end: list[p.PlanNode] | None = None,
    recorders: list[p.EventRecorder | p.ValueRecorder] | None = None,
    dt: float = 0.1,
    precision: Literal["double", "single"] = "double",
    time_offset: int = 1,
    seed: int = 42,
) -> p.Plan:
    return p.Plan(
        name,
        dt,
        time_offset,
        precision,
        {a.name: a for a in arrays},
        {e.name: e for e in lists or []},
        {q.name: q for q in queues or []},
        {s: p.Stream(s, path, draw, key_of(seed, path, draw)) for s, path, draw in streams or []},
        {x.name: x for x in connectivities or []},
        tuple(setup or []),
        tuple(coefficients or []),
        tuple(trial_start or []),
        tuple(step),
        tuple(trial_end or []),
        tuple(recorders or []),
    )


def launch(name: str, domain: k.Domain, *body: k.Statement, title: str = "") -> p.Launch:
    return p.Launch(k.Kernel(name, title or name, domain, tuple(body)))


def cuba(
    excitatory: int = 320,
    inhibitory: int = 80,
    probability: float = 0.2,
    precision: Literal["double", "single"] = "double",
    delay: int = 0,
    scale: float = 1.0,
) -> p.Plan:
    """The current-based network of Vogels & Abbott as in Brian's benchmark: two populations, exact integration, four random projections."""
    arrays: list[p.Array] = []
    lists: list[p.EventList] = []
    connectivities: list[p.Connectivity] = []
    step: list[p.PlanNode] = []
    setup: list[p.PlanNode] = []
    coefficients: list[p.PlanNode] = []
    start: list[p.PlanNode] = []
    streams: list[tuple[str, str, str]] = []
    recorders: list[p.EventRecorder | p.ValueRecorder] = []
    sizes = {"E": excitatory, "I": inhibitory}
    for path, size in sizes.items():
        names = {
            x: f"{path}.{x}"
            for x in (
                "v",
                "ge",
                "gi",
                "v_until",
                "tau_m",
                "tau_e",
                "tau_i",
                "E_L",
                "v_th",
                "v_reset",
                "decay_v",
                "decay_ge",
                "decay_gi",
                "from_ge",
                "from_gi",
                "t_ref_steps",
            )
        }
        for state in ("v", "ge", "gi"):
            depth = delay + 1 if delay and state != "v" else 1
            arrays.append(
                p.Array(
                    names[state], (size,), fill=-49.0 if state == "v" else 0.0, owner=path, variable=state, unit="mV"
                )
            )
            if depth > 1:
                arrays.append(p.Array(f"{path}.{state}_in", (size,), depth=depth))
        arrays.append(p.Array(names["v_until"], (size,), "int", "hold"))
        for param, value in (
            ("tau_m", 20.0),
            ("tau_e", 5.0),
            ("tau_i", 10.0),
            ("E_L", -49.0),
            ("v_th", -50.0),
            ("v_reset", -60.0),
        ):
            arrays.append(p.Array(names[param], (), role="param", fill=value, owner=path, variable=param))
        arrays += [
            p.Array(names[x], (), role="coefficient") for x in ("decay_v", "decay_ge", "decay_gi", "from_ge", "from_gi")
        ]
        arrays.append(p.Array(names["t_ref_steps"], (), "int", "coefficient", fill=50))
        lists.append(p.EventList(f"{path}.spike", size, owner=path))

        def scalar(x: str, names: dict[str, str] = names) -> k.Expr:
            return load(names[x], None)

        def decayed(tau: str) -> k.Expr:
            return k.Call("exp", (op("/", k.Unary("-", DT), scalar(tau)),))

        def coupling(x: str, tau: str) -> k.Expr:
            return op(
                "/", mul(scalar(tau), op("-", scalar(x), scalar("decay_v"))), op("-", scalar(tau), scalar("tau_m"))
            )

        coefficients.append(
            launch(
                f"{path}.coefficients",
                k.Single(),
                k.Store(names["decay_v"], None, decayed("tau_m")),
                k.Store(names["decay_ge"], None, decayed("tau_e")),
                k.Store(names["decay_gi"], None, decayed("tau_i")),
                k.Store(names["from_ge"], None, coupling("decay_ge", "tau_e")),
                k.Store(names["from_gi"], None, coupling("decay_gi", "tau_i")),
            )
        )
        streams.append((f"{path}.v0", path, "v"))
        start.append(
            launch(
                f"{path}.start",
                k.Each(size),
                k.Store(
                    names["v"],
                    I,
                    add(
                        scalar("v_reset"),
                        mul(k.Draw("uniform", f"{path}.v0", I, n(0)), op("-", scalar("v_th"), scalar("v_reset"))),
                    ),
                ),
                k.Store(names["ge"], I, c(0.0)),
                k.Store(names["gi"], I, c(0.0)),
                k.Store(names["v_until"], I, n(0)),
            )
        )
        v, ge, gi = (load(names[x]) for x in ("v", "ge", "gi"))
        update: list[k.Statement] = [
            k.Let(
                "v_new",
                add(
                    scalar("E_L"),
                    mul(scalar("decay_v"), op("-", v, scalar("E_L"))),
                    mul(scalar("from_ge"), ge),
                    mul(scalar("from_gi"), gi),
                ),
                "tau_m*dv/dt = (E_L - v) + ge + gi",
            ),
            k.Let("ge_new", mul(scalar("decay_ge"), ge), "tau_e*dge/dt = -ge"),
            k.Let("gi_new", mul(scalar("decay_gi"), gi), "tau_i*dgi/dt = -gi"),
            k.Store(
                names["v"], I, k.Choose(k.Compare(">=", STEP, load(names["v_until"], I, "int")), k.Local("v_new"), v)
            ),
            k.Store(names["ge"], I, k.Local("ge_new")),
            k.Store(names["gi"], I, k.Local("gi_new")),
        ]
        arriving = (
            [k.Store(names[x], I, add(load(names[x]), load(f"{names[x]}_in"))) for x in ("ge", "gi")] if delay else []
        )
        step.append(launch(f"{path}.advance", k.Each(size), *update, *arriving, title=f"{path}: advance"))
        if delay:
            step += [p.Fill(f"{names[x]}_in", 0.0) for x in ("ge", "gi")]
        step.append(p.ClearList(f"{path}.spike"))
        step.append(
            launch(
                f"{path}.spike",
                k.Each(size),
                k.If(
                    k.Compare(">=", v, scalar("v_th")),
                    (
                        k.Append(f"{path}.spike"),
                        k.Store(names["v"], I, scalar("v_reset"), "v = v_reset"),
                        k.Store(
                            names["v_until"],
                            I,
                            op("+", op("+", STEP, load(names["t_ref_steps"], None, "int"), "int"), n(1), "int"),
                            "hold v for t_ref",
                        ),
                    ),
                    rare=True,
                    source="spike when v >= v_th",
                ),
                title=f"{path}: events",
            )
        )
        recorders.append(p.EventRecorder(f"{path}.spikes", f"{path}.spike"))
    for pre, target, weight in (("E", "ge", 1.62 * scale), ("I", "gi", -9.0 * scale)):
        for post in ("E", "I"):
            name = f"{pre}_{post}"
            streams.append((name, name, "connectivity"))
            arrays.append(p.Array(f"{name}.w", (), role="weight", fill=weight))
            connectivities.append(
                p.Connectivity(
                    name,
                    "sparse",
                    sizes[pre],
                    sizes[post],
                    range(sizes[pre]),
                    range(sizes[post]),
                    "random",
                    {"p": probability},
                    name,
                )
            )
            into, lag = (f"{post}.{target}_in", n(-delay)) if delay else (f"{post}.{target}", None)
            step.append(
                launch(
                    f"{name}.deliver",
                    k.Fan(name, "pre", f"{pre}.spike"),
                    k.Accumulate(into, POST, load(f"{name}.w", None), "deliver w", lag),
                    title=f"{pre} -> {post}.{target}",
                )
            )
    recorders.append(p.ValueRecorder("E.v", "E.v", np.arange(3), 10))
    return plan(
        "cuba",
        arrays,
        step,
        lists=lists,
        streams=streams,
        connectivities=connectivities,
        setup=setup,
        coefficients=coefficients,
        trial_start=start,
        recorders=recorders,
        precision=precision,
    )


def count_of(*arrays: p.Array) -> int:
    """How many numbers arrays without synapses hold."""
    return sum(math.prod(a.shape) * a.depth for a in arrays)


Node = p.PlanNode
Recorder = p.EventRecorder | p.ValueRecorder


def noisy(precision: Literal["double", "single"] = "double") -> p.Plan:
    """Poisson sources, one to one into integrators with noise; parts, an offset, an index array, a response ring with lags."""
    sizes = {"source": 20, "cell": 25}
    arrays = [
        p.Array("source.rate", (20,), role="param", data=np.linspace(0.0, 0.6, 20)),
        p.Array("cell.v", (25,)),
        p.Array("cell.last", (25,), "int", "clock", fill=-1),
        p.Array("cell.history", (25,), role="history", depth=4, fill=0.25),
        p.Array("cell.noise", (), role="param", fill=0.05),
        p.Array("w", (), role="weight", fill=0.4),
        p.Array("u", (), connectivity="some", role="weight", fill=0.3),
        p.Array("level", (), fill=1.0),
    ]
    step: list[Node] = [
        p.ClearList("source.spikes"),
        launch(
            "source.events",
            k.Each(20),
            k.If(
                k.Compare("<", k.Draw("uniform", "source.draws", I, STEP), load("source.rate")),
                (k.Append("source.spikes"),),
                rare=True,
                source="spike with probability rate",
            ),
        ),
        launch("deliver", k.Fan("shifted", "pre", "source.spikes"), k.Accumulate("cell.v", POST, load("w", None))),
        launch(
            "deliver some",
            k.Fan("some", "pre", "source.spikes"),
            k.Accumulate("cell.v", POST, load("u", SYNAPSE)),
            k.Store("u", SYNAPSE, mul(load("u", SYNAPSE), c(0.98))),
        ),
        launch(
            "advance",
            k.Each(25),
            k.Let("old", load("cell.v")),
            k.Let(
                "noise",
                mul(
                    load("cell.noise", None),
                    k.Draw("normal", "cell.xi", I, op("+", op("*", STEP, n(2), "int"), n(1), "int")),
                ),
            ),
            k.Store("cell.v", I, add(mul(c(0.9), k.Local("old")), k.Local("noise")), "dv/dt = -v + noise"),
            k.Store("cell.history", I, add(load("cell.v"), mul(c(0.1), load("cell.history", lag=2)))),
            k.Let("change", op("-", load("cell.v"), k.Local("old"))),
            k.Accumulate("level", None, mul(c(1e-3), k.Local("change"))),
        ),
        p.ClearList("cell.spikes"),
        launch(
            "events",
            k.Each(25),
            k.If(
                k.Compare(">=", load("cell.v"), c(0.8)),
                (
                    k.Append("cell.spikes"),
                    k.Let("overshoot", op("-", load("cell.v"), c(0.8))),
                    k.If(
                        k.Logic(
                            "and",
                            k.Compare(">", k.Local("overshoot"), c(0.05)),
                            k.Compare(">=", load("cell.last", type="int"), n(0)),
                        ),
                        (k.Store("cell.v", I, mul(c(0.5), k.Local("overshoot"))),),
                        (k.Store("cell.v", I, c(0.0)),),
                    ),
                    k.Store("cell.last", I, STEP),
                ),
                rare=True,
            ),
        ),
        launch("after", k.Listed("cell.spikes", 2), k.Accumulate("cell.v", I, op("-", c(0.0), c(0.01)))),
    ]
    chosen = np.array([3, 4, 9, 11, 17], np.int64)
    connectivities = [
        p.Connectivity("shifted", "one_to_one", 20, 25, range(5, 15), range(8, 18), "one_to_one"),
        p.Connectivity("some", "one_to_one", 20, 25, chosen, np.array([20, 21, 22, 23, 24], np.int64), "one_to_one"),
    ]
    recorders: list[Recorder] = [
        p.EventRecorder("cell.spikes", "cell.spikes"),
        p.EventRecorder("some", "source.spikes", chosen),
        p.ValueRecorder("v", "cell.v"),
        p.ValueRecorder("level", "level", every=3),
        p.ValueRecorder("history", "cell.history", chosen, 2),
        p.ValueRecorder("u", "u", every=7),
    ]
    return plan(
        "noisy",
        arrays,
        step,
        lists=[p.EventList("source.spikes", 20), p.EventList("cell.spikes", sizes["cell"], 3)],
        streams=[("source.draws", "source", "spikes"), ("cell.xi", "cell", "xi")],
        connectivities=connectivities,
        recorders=recorders,
        precision=precision,
        dt=1.0,
    )


def plastic(kind: Literal["dense", "sparse"] = "dense", autapses: bool = False, part: bool = False) -> p.Plan:
    """Pair plasticity with traces between two parts of one population, reductions per post, weights scaled from time to time."""
    size = 18
    pre_part, post_part = (range(2, 14), range(4, 18)) if part else (range(size), range(size))

    def clip(value: k.Expr) -> k.Expr:
        return k.Call("clip", (value, c(0.0), load("w_max", None)))

    arrays = [
        p.Array("v", (size,)),
        p.Array("x", (size,)),
        p.Array("y", (size,)),
        p.Array("w", (), role="weight", connectivity="syn"),
        p.Array("w_max", (), role="param", fill=1.0),
        p.Array("total", (size,), role="scratch"),
        p.Array("most", (size,), role="scratch"),
        p.Array("number", (size,), "int", "scratch"),
        p.Array("out", (size,)),
        p.Array("average", (size,), role="scratch"),
        p.Array("changed", (), "real"),
        p.Array("age", (), "int", connectivity="syn"),
    ]
    w, x, y = load("w", SYNAPSE), load("x", PRE), load("y", POST)
    spikes = "spikes"
    step: list[Node] = [
        launch(
            "advance",
            k.Each(size),
            k.Store("v", I, add(mul(c(0.8), load("v")), k.Draw("uniform", "drive", I, STEP))),
            k.Store("x", I, mul(c(0.9), load("x"))),
            k.Store("y", I, mul(c(0.85), load("y"))),
        ),
        p.ClearList(spikes),
        launch(
            "events",
            k.Each(size),
            k.If(k.Compare(">", load("v"), c(2.6)), (k.Append(spikes), k.Store("v", I, c(0.0))), rare=True),
        ),
        launch(
            "on pre",
            k.Fan("syn", "pre", spikes),
            k.Accumulate("v", POST, mul(c(0.2), w), "deliver w"),
            k.Store("w", SYNAPSE, clip(op("-", w, mul(c(0.05), y))), "w += A_post*y"),
        ),
        launch(
            "on post",
            k.Fan("syn", "post", spikes),
            k.Store("w", SYNAPSE, clip(add(w, mul(c(0.05), x))), "w += A_pre*x"),
            k.If(
                k.Compare(">", x, c(0.5)), (k.Store("age", SYNAPSE, op("+", load("age", SYNAPSE, "int"), n(1), "int")),)
            ),
            k.Accumulate("out", PRE, mul(w, c(0.1), x)),
        ),
        launch("traces", k.Listed(spikes), k.Store("x", I, add(load("x"), c(1.0))), k.Store("y", I, c(1.0))),
        p.SynapseReduce("sum", "total", "w", "syn", "post"),
        p.SynapseReduce("max", "most", "w", "syn", "pre"),
        p.SynapseReduce("mean", "average", "w", "syn", "pre"),
        p.SynapseReduce("count", "number", None, "syn", "post"),
        p.Every(
            10,
            (
                launch(
                    "scale",
                    k.Synapses("syn"),
                    k.Let("new", op("/", w, add(c(0.5), mul(c(0.1), load("total", POST))))),
                    k.Accumulate("changed", None, op("-", k.Local("new"), w)),
                    k.If(k.Compare(">", load("most", PRE), c(0.2)), (k.Store("w", SYNAPSE, k.Local("new")),)),
                ),
            ),
        ),
    ]
    setup: list[Node] = [
        launch(
            "initial",
            k.Synapses("syn"),
            k.Store("w", SYNAPSE, mul(c(0.5), k.Draw("uniform", "w.start", SYNAPSE, n(0)))),
        )
    ]
    options = {"p": 0.4} if kind == "sparse" else {}
    connectivity = p.Connectivity(
        "syn",
        kind,
        size,
        size,
        pre_part,
        post_part,
        "random" if kind == "sparse" else "dense",
        options,
        "graph",
        autapses,
    )
    return plan(
        "plastic",
        arrays,
        step,
        setup=setup,
        lists=[p.EventList(spikes, size)],
        connectivities=[connectivity],
        streams=[("drive", "cells", "drive"), ("w.start", "syn", "w"), ("graph", "syn", "connectivity")],
        recorders=[p.EventRecorder("spikes", spikes), p.ValueRecorder("w", "w", np.arange(5), 5)],
    )


def analogue(autapses: bool = True, part: bool = False, precision: Literal["double", "single"] = "double") -> p.Plan:
    """Sums over connections without events: matrix products, one weight for all, sparse, shared weights, sums to the pre side."""
    n_pre, n_post = (16, 16)
    pre_part, post_part = (range(3, 12), range(2, 16)) if part else (range(n_pre), range(n_post))
    arrays = [
        p.Array("a", (n_pre,), data=np.linspace(-1.0, 1.0, n_pre)),
        p.Array("b", (n_post,)),
        p.Array("d", (n_pre,)),
        p.Array("flat", (n_post,)),
        p.Array("w", (), connectivity="all", role="weight"),
        p.Array("one", (), role="weight", fill=0.3),
        p.Array("s", (), connectivity="few"),
        p.Array("image", (2 * 4 * 4,), data=np.cos(np.arange(32.0))),
        p.Array("maps", (3 * 2 * 2,)),
        p.Array("taps", (), connectivity="conv", shared=True),
        p.Array("matched", (n_post,)),
        p.Array("total", ()),
        p.Array("fires", (n_pre,), "bool"),
    ]
    x, y, w = load("a", PRE), load("b", POST), load("w", SYNAPSE)
    both = op("-", x, y)
    step: list[Node] = [
        p.Fill("b", 0.0),
        p.Fill("d", 0.0),
        p.Fill("maps", 0.0),
        p.Fill("matched", 0.5),
        p.Fill("total", 0.0),
        launch(
            "drive",
            k.Each(n_pre),
            k.Store("a", I, k.Call("sin", (add(load("a"), mul(c(0.1), T)),))),
            k.Store("fires", I, k.Compare(">", load("a"), c(0.0))),
        ),
        launch("product", k.Synapses("all"), k.Accumulate("b", POST, mul(w, x), "deliver w*pre.output")),
        launch(
            "scaled",
            k.Synapses("all"),
            k.Accumulate("b", POST, k.Unary("-", mul(c(0.1), w, k.Call("cos", (load("flat", POST),)), x))),
        ),
        p.Fill("flat", 0.0),
        launch("back", k.Synapses("all"), k.Accumulate("d", PRE, mul(w, y)), k.Accumulate("total", None, mul(w, x))),
        launch("one weight", k.Synapses("all"), k.Accumulate("flat", POST, mul(load("one", None), x))),
        launch("count", k.Synapses("all"), k.Accumulate("flat", POST, load("one", None))),
        launch(
            "booleans",
            k.Synapses("all"),
            k.Accumulate("flat", POST, mul(load("one", None), k.Call("real", (load("fires", PRE, "bool"),)))),
        ),
        launch("gap", k.Synapses("all"), k.Accumulate("matched", POST, mul(load("one", None), both))),
        launch(
            "some",
            k.Synapses("all"),
            k.If(
                k.Compare(">", both, c(0.2)),
                (k.Accumulate("matched", POST, both), k.Store("w", SYNAPSE, mul(c(0.99), w))),
                (k.Store("w", SYNAPSE, add(w, c(0.001))),),
            ),
        ),
        launch(
            "sparse",
            k.Synapses("few"),
            k.Accumulate("b", POST, mul(load("s", SYNAPSE), x)),
            k.Store("s", SYNAPSE, mul(load("s", SYNAPSE), c(1.01))),
        ),
        launch("pairs", k.Synapses("pairs"), k.Accumulate("b", POST, mul(c(0.2), x))),
        launch(
            "convolve", k.Synapses("conv"), k.Accumulate("maps", POST, mul(load("taps", SHARED), load("image", PRE)))
        ),
        launch(
            "all to all", k.Each(n_post), k.Accumulate("total", None, load("b")), k.Accumulate("total", None, c(0.5))
        ),
    ]
    setup: list[Node] = [
        launch("w", k.Synapses("all"), k.Store("w", SYNAPSE, k.Draw("normal", "w0", SYNAPSE, n(0)))),
        launch("s", k.Synapses("few"), k.Store("s", SYNAPSE, k.Draw("uniform", "w0", SYNAPSE, n(1)))),
        launch("taps", k.Each(3 * 2 * 3 * 3), k.Store("taps", I, k.Draw("normal", "w0", I, n(2)))),
    ]
    connectivities = [
        p.Connectivity("all", "dense", n_pre, n_post, pre_part, post_part, "dense", autapses=autapses),
        p.Connectivity(
            "few", "sparse", n_pre, n_post, pre_part, post_part, "fixed_indegree", {"k": 4, "multapses": True}, "graph"
        ),
        p.Connectivity("pairs", "one_to_one", n_pre, n_post, range(4), range(7, 11), "one_to_one"),
        p.Connectivity(
            "conv",
            "sparse",
            32,
            12,
            range(32),
            range(12),
            "conv2d",
            {"pre_shape": (2, 4, 4), "channels": 3, "kernel": (3, 3)},
            shared_size=54,
        ),
    ]
    return plan(
        "analogue",
        arrays,
        step,
        setup=setup,
        connectivities=connectivities,
        streams=[("w0", "all", "w"), ("graph", "few", "connectivity")],
        precision=precision,
        recorders=[p.ValueRecorder("b", "b")],
    )


def delayed(kind: Literal["sparse", "dense", "one_to_one"] = "sparse", side: Literal["pre", "post"] = "pre") -> p.Plan:
    """Per-synapse delays through a queue, and a linear synapse that adds into the future slots of a ring."""
    size = 14
    arrays = [
        p.Array("v", (size,)),
        p.Array("w", (), connectivity="syn", fill=0.5),
        p.Array("delay", (), "int", connectivity="syn"),
        p.Array("later", (size,), depth=6, role="history"),
        p.Array("arrived", (), "int", connectivity="syn"),
    ]
    step: list[Node] = [
        p.ClearList("spikes"),
        p.Schedule("spikes", "steps", "indices"),
        p.Enqueue("queue", "syn", "spikes", "delay", side),
        launch(
            "arrive",
            k.Arrivals("queue", "syn"),
            k.Accumulate("v", POST, load("w", SYNAPSE)),
            k.Store("arrived", SYNAPSE, op("+", load("arrived", SYNAPSE, "int"), n(1), "int")),
            k.If(k.Compare(">", load("w", SYNAPSE), c(0.3)), (k.Store("w", SYNAPSE, mul(load("w", SYNAPSE), c(0.9))),)),
        ),
        p.ClearQueue("queue"),
        launch(
            "linear",
            k.Fan("syn", side, "spikes"),
            k.Accumulate(
                "later", POST, mul(c(0.1), load("w", SYNAPSE)), "", k.Unary("-", load("delay", SYNAPSE, "int"), "int")
            ),
        ),
        launch("take", k.Each(size), k.Store("v", I, add(mul(c(0.95), load("v")), load("later")))),
        p.Fill("later", 0.0),
        p.AtStep(9, (launch("kick", k.Each(size), k.Store("v", I, add(load("v"), c(0.3)))),)),
    ]
    rng = np.random.default_rng(3)
    steps = np.sort(rng.integers(0, 40, 60))
    arrays += [
        p.Array("steps", (60,), "int", "data", data=steps),
        p.Array("indices", (60,), "int", "data", data=rng.integers(0, size, 60)),
    ]
    setup: list[Node] = [
        launch(
            "delays",
            k.Synapses("syn"),
            k.Store(
                "delay",
                SYNAPSE,
                op("+", n(1), k.Call("int", (mul(c(4.999), k.Draw("uniform", "d", SYNAPSE, n(0))),), "int"), "int"),
            ),
        )
    ]
    pattern, options = ("random", {"p": 0.5}) if kind == "sparse" else (kind, {})
    parts = (range(2, 12), range(1, 11)) if kind == "one_to_one" else (range(size), range(3, size))
    connectivity = p.Connectivity("syn", kind, size, size, *parts, pattern, options, "graph")
    return plan(
        "delayed",
        arrays,
        step,
        setup=setup,
        lists=[p.EventList("spikes", size)],
        queues=[p.Queue("queue", "syn", 6)],
        connectivities=[connectivity],
        streams=[("d", "syn", "delay"), ("graph", "syn", "connectivity")],
        recorders=[p.EventRecorder("spikes", "spikes"), p.ValueRecorder("v", "v")],
    )


def coupled() -> p.Plan:
    """Fast linking within a step, population reductions, several places that emit one event, masks and else."""
    size = 24
    arrays = [
        p.Array("u", (size,)),
        p.Array("theta", (size,), fill=1.0),
        p.Array("link", (size,), role="scratch"),
        p.Array("y", (size,), role="scratch"),
        p.Array("group", (size,), "int", "data", data=np.arange(size) % 3),
        p.Array("best", (), "int"),
        p.Array("per", (3,)),
        p.Array("place", (size,), "int"),
        p.Array("first", (3,), "int"),
        p.Array("mean", ()),
        p.Array("least", (3,)),
        p.Array("sum", (3,)),
        p.Array("rank", (size,), "int"),
        p.Array("state", (size,), "int"),
        p.Array("count", (), "int"),
    ]
    fire = k.Compare(">", mul(load("u"), add(c(1.0), mul(c(0.3), load("link")))), load("theta"))
    step: list[Node] = [
        launch("drive", k.Each(size), k.Store("u", I, k.Draw("uniform", "drive", I, STEP))),
        p.ClearList("pulse"),
        p.Settle(
            "pulse",
            16,
            (
                p.Fill("link", 0.0),
                launch("linking", k.Fan("near", "pre", "pulse"), k.Accumulate("link", POST, c(1.0))),
                p.ClearList("pulse"),
                launch("test", k.Each(size), k.If(fire, (k.Append("pulse"),), rare=True)),
            ),
        ),
        launch("threshold", k.Each(size), k.Store("theta", I, mul(c(0.8), load("theta")))),
        launch(
            "raise",
            k.Listed("pulse"),
            k.Store("theta", I, add(load("theta"), c(2.0))),
            k.Store("y", I, c(1.0)),
            k.If(k.Compare("<", load("u"), c(0.7)), (k.Append("weak"),)),
        ),
        launch("emit", k.Each(size), k.If(k.Compare(">", load("theta"), c(2.2)), (k.Append("weak"),), rare=True)),
        p.Reduce("argmax", "best", "u"),
        p.Reduce("max", "per", "u", "group"),
        p.Reduce("rank", "place", "theta", "group"),
        p.Reduce("argmin", "first", "theta", "group"),
        p.Reduce("mean", "mean", "u"),
        p.Reduce("min", "least", "u", "group"),
        p.Reduce("sum", "sum", "u", "group"),
        p.Reduce("rank", "rank", "u"),
        launch(
            "winner",
            k.Each(size),
            k.If(
                k.Compare("==", I, load("best", None, "int")),
                (k.Store("y", I, c(3.0)), k.Store("state", I, op("+", load("state", type="int"), n(1), "int"))),
                (
                    k.If(
                        k.Compare(">", load("u"), load("mean", None)),
                        (k.Store("y", I, mul(c(0.5), load("y"))),),
                        (k.Store("y", I, c(0.25)),),
                    ),
                ),
            ),
        ),
        launch(
            "masked",
            k.Each(size),
            k.If(
                k.Compare("==", op("%", op("+", I, STEP, "int"), n(3), "int"), n(0)),
                (
                    k.Append("third"),
                    k.Let("twice", mul(c(2.0), load("u"))),
                    k.Store("link", I, k.Local("twice")),
                    k.Accumulate("count", None, n(1)),
                ),
            ),
        ),
        launch(
            "if scalar",
            k.Each(size),
            k.If(
                k.Compare(">", load("mean", None), c(0.5)), (k.Store("u", I, c(0.0)),), (k.Accumulate("u", I, c(1.0)),)
            ),
        ),
    ]
    before: list[Node] = [p.ClearList("weak"), p.ClearList("third")]
    near = p.Connectivity(
        "near", "sparse", size, size, range(size), range(size), "random", {"p": 0.2}, "graph", autapses=False
    )
    return plan(
        "coupled",
        arrays,
        before + step,
        lists=[p.EventList("pulse", size), p.EventList("weak", size, 2), p.EventList("third", size)],
        connectivities=[near],
        streams=[("drive", "cells", "u"), ("graph", "near", "connectivity")],
        recorders=[
            p.EventRecorder("pulse", "pulse"),
            p.EventRecorder("weak", "weak"),
            p.EventRecorder("third", "third"),
            p.ValueRecorder("y", "y"),
        ],
    )


PLANS: dict[str, p.Plan] = {
    "cuba": cuba(48, 12),
    "cuba_delayed": cuba(48, 12, delay=5),
    "noisy": noisy(),
    "plastic_dense": plastic(),
    "plastic_dense_part": plastic(part=True),
    "plastic_dense_autapses": plastic(autapses=True),
    "plastic_sparse": plastic("sparse"),
    "plastic_sparse_part": plastic("sparse", part=True),
    "analogue": analogue(),
    "analogue_part": analogue(part=True),
    "analogue_others": analogue(False),
    "analogue_others_part": analogue(False, True),
    "delayed": delayed(),
    "delayed_post": delayed(side="post"),
    "delayed_dense": delayed("dense"),
    "delayed_one_to_one": delayed("one_to_one"),
    "coupled": coupled(),
}
SINGLE: dict[str, p.Plan] = {
    "cuba": cuba(48, 12, precision="single"),
    "noisy": noisy("single"),
    "analogue": analogue(precision="single"),
}
