"""The benchmarks in BrainPy on JAX's CPU backend, float32. The run is made twice: the first compiles, the second is timed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from process import Outcome, Task, run, task

ASKED = task()
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(ASKED.cache / "jax")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["NUMBA_CACHE_DIR"] = str(ASKED.cache / "numba")

import brainpy as bp  # noqa: E402
import brainpy.math as bm  # noqa: E402
import numpy as np  # noqa: E402
from physics import BRUNEL, CUBA, DT, HODGKIN_HUXLEY, IZHIKEVICH, LIF, STDP, cuba_weights  # noqa: E402

DRAW = np.random.default_rng(1)


def runs(step: Callable[[Any], Any], asked: Task) -> tuple[float, Any]:
    """``step(i)`` counts spikes. The seconds of the second run, and its counts."""
    steps = round(asked.duration / DT)
    loop = bm.jit(lambda numbers: bm.for_loop(step, numbers))
    np.asarray(loop(bm.arange(steps)))
    start = time.perf_counter()
    counts = np.asarray(loop(bm.arange(steps, 2 * steps)))
    return time.perf_counter() - start, counts


def outcome(network: Any, asked: Task) -> Outcome:
    loop, counts = runs(network.step_run, asked)
    parts = [network.excitatory, network.inhibitory]
    return Outcome(loop, int(counts.sum()), sum(int(part.comm.indices.size) for part in parts), again=loop)


class Connected(bp.DynSysGroup):
    """Two projections from the first four fifths and the last fifth of ``cells`` to all of them."""

    def __init__(self, cells: Any, size: int, weights: tuple[float, float], p: float) -> None:
        super().__init__()
        self.cells, self.first = cells, size * 4 // 5
        self.comms = tuple(
            bp.dnn.EventCSRLinear(bp.conn.FixedProb(p, pre=pre, post=size), weight)
            for pre, weight in zip((self.first, size - self.first), weights, strict=True)
        )
        self.delay = bp.VarDelay(cells.spike, entries={"I": None})

    def exponential(self, size: int, tau: tuple[float, float], out: tuple[Any, Any]) -> None:
        self.excitatory, self.inhibitory = (
            bp.dyn.HalfProjAlignPostMg(comm=comm, syn=bp.dyn.Expon.desc(size=size, tau=t), out=o, post=self.cells)
            for comm, t, o in zip(self.comms, tau, out, strict=True)
        )

    def update(self) -> Any:
        spikes = self.delay.at("I")
        self.excitatory(spikes[: self.first])
        self.inhibitory(spikes[self.first :])
        self.delay(self.cells(0.0))
        return bm.sum(self.cells.spike)


def cuba(asked: Task) -> Outcome:
    c = CUBA
    cells = bp.dyn.LifRef(
        asked.size, V_rest=c["v_rest"], V_th=c["v_th"], V_reset=c["v_reset"], tau=c["tau_m"], tau_ref=c["t_ref"], method="exp_auto",
        spk_reset="hard", V_initializer=bp.init.Uniform(c["v_reset"], c["v_th"]),
    )  # fmt: skip
    network = Connected(cells, asked.size, cuba_weights(asked.size), c["p"])
    network.exponential(asked.size, (c["tau_e"], c["tau_i"]), (bp.dyn.CUBA.desc(), bp.dyn.CUBA.desc()))
    return outcome(network, asked)


class TraubMiles(bp.dyn.CondNeuGroup):
    def __init__(self, size: int, initial: Any) -> None:
        c = HODGKIN_HUXLEY
        super().__init__(size, V_initializer=initial, V_th=c["v_spike"], C=c["C"])
        self.INa = bp.dyn.INa_TM1991(size, g_max=c["g_Na"], E=c["E_Na"], V_sh=c["v_T"])
        self.IK = bp.dyn.IK_TM1991(size, g_max=c["g_K"], E=c["E_K"], V_sh=c["v_T"])
        self.IL = bp.dyn.IL(size, g_max=c["g_L"], E=c["E_L"])


def cobahh(asked: Task) -> Outcome:
    c = HODGKIN_HUXLEY
    cells = TraubMiles(asked.size, bp.init.Normal(c["E_L"] - 5, 5.0))
    network = Connected(cells, asked.size, (c["w_e"], c["w_i"]), c["p"])
    network.exponential(
        asked.size, (c["tau_e"], c["tau_i"]), (bp.dyn.COBA.desc(E=c["E_e"]), bp.dyn.COBA.desc(E=c["E_i"]))
    )
    for part, mean, deviation in ((network.excitatory, 40.0, 15.0), (network.inhibitory, 200.0, 120.0)):
        part.refs["syn"].g[:] = mean + deviation * DRAW.standard_normal(asked.size)
    return outcome(network, asked)


class Delta(bp.DynSysGroup):
    def __init__(self, asked: Task) -> None:
        super().__init__()
        c, self.first = BRUNEL, asked.size * 4 // 5
        self.cells = bp.dyn.LifRef(
            asked.size, V_rest=0.0, V_th=c["v_th"], V_reset=c["v_reset"], tau=c["tau_m"], tau_ref=c["t_ref"], spk_reset="hard",
            V_initializer=bp.init.Uniform(0.0, c["v_th"]),
        )  # fmt: skip
        self.delay = bp.VarDelay(self.cells.spike, entries={"I": c["delay"]})
        self.excitatory, self.inhibitory = (
            bp.dyn.HalfProjDelta(
                comm=bp.dnn.EventCSRLinear(bp.conn.FixedProb(c["p"], pre=pre, post=asked.size), weight), post=self.cells
            )
            for pre, weight in ((self.first, c["J"]), (asked.size - self.first, -c["g"] * c["J"]))
        )
        self.external = bp.dyn.PoissonInput(
            self.cells.V, c["external"], c["external_rate"] / c["external"], weight=c["J"]
        )

    def update(self) -> Any:
        spikes = self.delay.at("I")
        self.external()
        self.excitatory(spikes[: self.first])
        self.inhibitory(spikes[self.first :])
        self.delay(self.cells(0.0))
        return bm.sum(self.cells.spike)


def brunel(asked: Task) -> Outcome:
    return outcome(Delta(asked), asked)


class Plastic(bp.DynamicalSystem):
    """The pair rule with arrays over all synapses: BrainPy's own STDP is another rule."""

    def __init__(self, posts: int) -> None:
        super().__init__()
        c = STDP
        self.v, self.g = bm.Variable(bm.ones(posts) * c["v_reset"]), bm.Variable(bm.zeros(posts))
        self.x, self.y = bm.Variable(bm.zeros(c["inputs"])), bm.Variable(bm.zeros(posts))
        self.w = bm.Variable(bm.random.uniform(0.0, c["peak"], (c["inputs"], posts)))

    def update(self) -> Any:
        c = STDP
        pre = bm.random.rand(c["inputs"]) < c["rate"] * DT * 1e-3
        v = self.v + DT / c["tau_m"] * (self.g * (c["E_e"] - self.v) + c["v_rest"] - self.v)
        g, post = self.g * np.exp(-DT / c["tau_e"]), v > c["v_th"]
        x, y = self.x * np.exp(-DT / c["tau_pre"]), self.y * np.exp(-DT / c["tau_post"])
        self.g.value = g + bm.asarray(pre, dtype=float) @ self.w
        x = bm.where(pre, x + c["rise"], x)
        w = bm.where(pre[:, None], bm.clip(self.w + y[None, :], 0.0, c["peak"]), self.w)
        y = bm.where(post, y + c["fall"], y)
        self.w.value = bm.where(post[None, :], bm.clip(w + x[:, None], 0.0, c["peak"]), w)
        self.x.value, self.y.value, self.v.value = x, y, bm.where(post, c["v_reset"], v)
        return bm.asarray([bm.sum(post), bm.sum(pre)])


def stdp(asked: Task) -> Outcome:
    network = Plastic(asked.size)
    loop, counts = runs(network.step_run, asked)
    return Outcome(loop, int(counts[:, 0].sum()), STDP["inputs"] * asked.size, int(counts[:, 1].sum()), again=loop)


def unconnected(cells: Any, greatest: float, asked: Task) -> Outcome:
    drive = bm.asarray(DRAW.uniform(0, greatest, asked.size))

    def step(number: Any) -> Any:
        cells.step_run(number, drive)
        return bm.sum(cells.spike)

    loop, counts = runs(step, asked)
    return Outcome(loop, int(counts.sum()), again=loop)


def lif(asked: Task) -> Outcome:
    c = LIF
    cells = bp.dyn.LifRef(
        asked.size,
        V_rest=0.0,
        V_th=c["v_th"],
        V_reset=c["v_reset"],
        tau=c["tau_m"],
        tau_ref=c["t_ref"],
        spk_reset="hard",
    )
    return unconnected(cells, c["drive"], asked)


def izhikevich(asked: Task) -> Outcome:
    c = IZHIKEVICH
    cells = bp.dyn.Izhikevich(
        asked.size, **{name: c[name] for name in "abcd"}, V_th=c["v_peak"], method="euler",
        V_initializer=bp.init.OneInit(c["v"]), u_initializer=bp.init.OneInit(c["u"]),
    )  # fmt: skip
    return unconnected(cells, c["drive"], asked)


def hodgkin_huxley(asked: Task) -> Outcome:
    cells = TraubMiles(asked.size, bp.init.OneInit(HODGKIN_HUXLEY["E_L"]))
    return unconnected(cells, HODGKIN_HUXLEY["drive"], asked)


bm.set_platform("cpu")
bm.set_dt(DT)
bm.random.seed(1234)
MODELS = {
    "cuba": cuba, "cobahh": cobahh, "brunel": brunel, "stdp": stdp, "lif": lif, "izhikevich": izhikevich, "hodgkin_huxley": hodgkin_huxley,
}  # fmt: skip
run(ASKED, MODELS, bp.__version__)
