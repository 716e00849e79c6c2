"""Small plans made by hand, so that the runtime is tested without the compiler before it."""

from __future__ import annotations

import numpy as np

from snnlang.codegen import kernel as k
from snnlang.codegen.plan import (
    Array,
    ClearList,
    Connectivity,
    EventList,
    EventRecorder,
    Launch,
    Plan,
    PlanNode,
    Stream,
    ValueRecorder,
)
from snnlang.codegen.random import key_of
from snnlang.diagnostics import Source, Span
from snnlang.model.network import Experiment, Network, NetworkInput, Phase
from snnlang.model.units import ONE

TEXT = """neuron Grow:
    param tau = 10 ms
    state v = 0 mV
    tau*dv/dt = exp(v/mV)*mV + I
    spike when v >= 1 mV
"""
SOURCE = Source("grow.snn", TEXT)
MODEL = Span(SOURCE, 0, len(TEXT))
I = k.Local("i", "int")


def load(array: str, index: k.Expr | None = I) -> k.Load:
    return k.Load(array, index)


def launch(name: str, size: int, *body: k.Statement) -> Launch:
    return Launch(k.Kernel(name, name, k.Each(size) if size else k.Single(), tuple(body), MODEL))


def counter(size: int = 3, dt: float = 0.5, every: int = 1, threshold: float = 2.0, freeze: bool = False) -> Plan:
    """Each neuron adds dt*(image + 1) to v per step and spikes with a reset at the threshold; each spike adds ``reward`` to w."""
    rise = k.Let(
        "next_v",
        k.Binary("+", load("E_v"), k.Binary("*", k.Local("dt"), k.Binary("+", load("image"), k.Const(1.0)))),
        "dv/dt = image + 1",
    )
    fire = k.If(
        k.Compare(">=", load("E_v"), k.Const(threshold)),
        (k.Append("E_spike"), k.Store("E_v", I, k.Const(0.0))),
        rare=True,
    )
    learn = k.Accumulate("feed_w", I, load("reward", None))
    arrays = {
        "E_v": Array("E_v", (size,), owner="E", variable="v", unit="mV", span=MODEL),
        "feed_w": Array("feed_w", (size,), role="weight", owner="feed", variable="w"),
        "image": Array("image", (size,), role="input", owner="image", variable="value"),
        "reward": Array("reward", (), role="input", owner="feed", variable="reward"),
        "E_tau": Array("E_tau", (), role="param", data=np.array(10.0), owner="E", variable="tau", unit="ms"),
    }
    trial_end: PlanNode = launch("learn", size, learn)
    if freeze:
        arrays["feed_w_frozen"] = Array("feed_w_frozen", (), type="bool", role="freeze", owner="feed", variable="w")
        trial_end = launch("learn", size, k.If(k.Unary("not", k.Load("feed_w_frozen", None, "bool"), "bool"), (learn,)))
    return Plan(
        name="counter",
        dt=dt,
        time_offset=1,
        precision="double",
        arrays=arrays,
        lists={"E_spike": EventList("E_spike", size, owner="E")},
        queues={},
        streams={},
        connectivities={},
        setup=(),
        coefficients=(),
        trial_start=(launch("start", size, k.Store("E_v", I, k.Const(0.0))),),
        step=(ClearList("E_spike"), launch("E", size, rise, k.Store("E_v", I, k.Local("next_v")), fire)),
        trial_end=(trial_end,),
        recorders=(
            EventRecorder("E.spikes", "E_spike", owner="E"),
            ValueRecorder("E.v", "E_v", None, every, "mV", "E", (size,)),
        ),
    )


def exploding(size: int = 4, dt: float = 0.1, precision: str = "double") -> Plan:
    """v grows by dt*exp(v)/10 and overflows in finite time, the neuron with the greatest input first."""
    grow = k.Let(
        "rate",
        k.Binary("/", k.Binary("+", k.Call("exp", (load("E_v"),)), load("E_I")), k.Const(10.0)),
        "tau*dv/dt = exp(v/mV)*mV + I",
    )
    new = k.Binary("+", load("E_v"), k.Binary("*", k.Local("dt"), k.Local("rate")))
    start = k.Choose(k.Compare("==", I, k.Const(2, "int")), k.Const(1.5), k.Const(1.0))
    return Plan(
        name="exploding",
        dt=dt,
        time_offset=1,
        precision="single" if precision == "single" else "double",
        arrays={
            "E_v": Array("E_v", (size,), owner="E", variable="v", unit="mV", span=MODEL),
            "E_I": Array("E_I", (size,), role="data", owner="E", variable="I", unit="mV"),
        },
        lists={},
        queues={},
        streams={},
        connectivities={},
        setup=(),
        coefficients=(),
        trial_start=(launch("start", size, k.Store("E_v", I, start)),),
        step=(launch("E", size, grow, k.Store("E_v", I, new)),),
        trial_end=(),
        recorders=(ValueRecorder("E.v", "E_v", None, 1, "mV", "E", (size,)),),
    )


def noise(size: int = 50, seed: int = 1) -> Plan:
    """A random walk, with a spike whenever a uniform draw is below 0.02."""
    draw = k.Let("z", k.Draw("normal", "walk", I, k.Local("step", "int")))
    coin = k.Draw("uniform", "coin", I, k.Local("step", "int"))
    return Plan(
        name="noise",
        dt=0.1,
        time_offset=1,
        precision="double",
        arrays={"E_v": Array("E_v", (size,), owner="E", variable="v", unit="mV")},
        lists={"E_spike": EventList("E_spike", size, owner="E")},
        queues={},
        streams={name: Stream(name, "E", name, key_of(seed, "E", name)) for name in ("walk", "coin")},
        connectivities={},
        setup=(),
        coefficients=(),
        trial_start=(),
        step=(
            ClearList("E_spike"),
            launch(
                "E",
                size,
                draw,
                k.Store("E_v", I, k.Binary("+", load("E_v"), k.Local("z"))),
                k.If(k.Compare("<", coin, k.Const(0.02)), (k.Append("E_spike"),), rare=True),
            ),
        ),
        trial_end=(),
        recorders=(
            EventRecorder("E.spikes", "E_spike", owner="E"),
            ValueRecorder("E.v", "E_v", None, 1, "mV", "E", (size,)),
        ),
    )


def synaptic(kind: str = "dense") -> Plan:
    """A dense 2 x 3 projection with weights 0..5, recorded each ms."""
    connectivity = Connectivity("feed", "dense", 2, 3, range(2), range(3), "dense", owner="feed")
    return Plan(
        name="synaptic",
        dt=1.0,
        time_offset=1,
        precision="double",
        arrays={
            "feed_w": Array("feed_w", (), role="weight", connectivity="feed", owner="feed", variable="w", unit="mV")
        },
        lists={},
        queues={},
        streams={},
        connectivities={"feed": connectivity},
        setup=(
            Launch(
                k.Kernel(
                    "w",
                    "w",
                    k.Synapses("feed"),
                    (k.Store("feed_w", k.Local("synapse", "int"), k.Call("real", (k.Local("synapse", "int"),))),),
                )
            ),
        ),
        coefficients=(),
        trial_start=(),
        step=(),
        trial_end=(),
        recorders=(ValueRecorder("feed.w", "feed_w", None, 1, "mV", "feed"),),
    )


def experiment(duration: float = 10.0, size: int = 3, phases: tuple[Phase, ...] = (), **more: object) -> Experiment:
    network = Network("Net", (), (NetworkInput("image", (size,), ONE),), (), ())
    fields: dict[str, object] = {
        "name": "test",
        "network": network,
        "dt": 0.5,
        "duration": duration,
        "seed": 1,
        "method": {},
        "records": (),
        "plots": (),
        "drives": (),
        "ats": (),
        "clamps": (),
        "phases": phases,
        "freeze": (),
        "sweep": (),
        **more,
    }
    return Experiment(**fields)  # type: ignore[arg-type]
