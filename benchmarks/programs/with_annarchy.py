"""The benchmarks in ANNarchy, compiled for this processor; ``--threads`` are OpenMP's, ``--precision`` its own setting."""

from __future__ import annotations

import time
from typing import Any

from process import Outcome, Task, run, task

ASKED = task()

import ANNarchy as ann  # noqa: E402
import numpy as np  # noqa: E402
from physics import BRUNEL, CUBA, DT, HODGKIN_HUXLEY, IZHIKEVICH, LIF, STDP, cuba_weights  # noqa: E402

FLAGS = "-march=native -O3 -ffast-math"
DRAW = np.random.default_rng(1)
NETWORK = ann.Network(dt=DT, seed=1234)


def loop_seconds(asked: Task) -> float:
    NETWORK.compile(directory=str(asked.cache / "annarchy"), compiler_flags=FLAGS)
    NETWORK.simulate(DT)  # makes room for the monitors
    start = time.perf_counter()
    NETWORK.simulate(asked.duration)
    return time.perf_counter() - start


def count(monitor: Any) -> int:
    return sum(len(times) for times in monitor.get("spike").values())


def connected(cells: Any, asked: Task, weights: tuple[float, float], p: float, **options: Any) -> Outcome:
    """Two projections from the first four fifths and the last fifth of a population to all of it, then the run."""
    excitatory = NETWORK.connect(cells[: asked.size * 4 // 5], cells, "exc")
    excitatory.fixed_probability(p, weights=weights[0], allow_self_connections=True, **options)
    inhibitory = NETWORK.connect(cells[asked.size * 4 // 5 :], cells, "inh")
    inhibitory.fixed_probability(p, weights=weights[1], allow_self_connections=True, **options)
    monitor = NETWORK.monitor(cells, "spike")
    loop = loop_seconds(asked)
    return Outcome(loop, count(monitor), excitatory.nb_synapses + inhibitory.nb_synapses)


def unconnected(cells: Any, asked: Task) -> Outcome:
    monitor = NETWORK.monitor(cells, "spike")
    loop = loop_seconds(asked)
    return Outcome(loop, count(monitor))


def cuba(asked: Task) -> Outcome:
    c = CUBA
    neuron = ann.Neuron(
        parameters={name: c[name] for name in ("tau_m", "tau_e", "tau_i", "v_rest", "v_reset", "v_th")},
        equations=f"""tau_m*dv/dt = g_exc + g_inh - (v - v_rest) : init={c["v_reset"]}
        tau_e*dg_exc/dt = -g_exc : exponential
        tau_i*dg_inh/dt = -g_inh : exponential""",
        spike="v > v_th", reset="v = v_reset", refractory=c["t_ref"],
    )  # fmt: skip
    cells = NETWORK.create(asked.size, neuron)
    cells.v = DRAW.uniform(c["v_reset"], c["v_th"], asked.size)
    return connected(cells, asked, cuba_weights(asked.size), c["p"])


def hodgkin_huxley_neuron(synaptic: bool) -> Any:
    """``refractory`` would freeze v, so a counter of steps gates the threshold instead."""
    c = HODGKIN_HUXLEY
    parameters: dict[str, Any] = {name: c[name] for name in ("C", "E_L", "E_K", "E_Na", "v_T")}
    parameters |= {"leak": c["g_L"], "sodium": c["g_Na"], "potassium": c["g_K"]}  # g_NAME would be a synaptic target
    if synaptic:
        parameters |= {name: c[name] for name in ("tau_e", "tau_i", "E_e", "E_i")}
    else:
        parameters["drive"] = ann.Parameter(0.0, locality="local")
    current = "g_exc*(E_e - v) + g_inh*(E_i - v)" if synaptic else "drive"
    equations = f"""
    a_m = 0.32*(13.0-v+v_T)/(exp((13.0-v+v_T)/4.0)-1.0)
    b_m = 0.28*(v-v_T-40.0)/(exp((v-v_T-40.0)/5.0)-1.0)
    a_h = 0.128*exp((17.0-v+v_T)/18.0)
    b_h = 4.0/(1.0+exp((40.0-v+v_T)/5.0))
    a_n = 0.032*(15.0-v+v_T)/(exp((15.0-v+v_T)/5.0)-1.0)
    b_n = 0.5*exp((10.0-v+v_T)/40.0)
    C*dv/dt = leak*(E_L-v) + sodium*m*m*m*h*(E_Na-v) + potassium*n*n*n*n*(E_K-v) + {current} : exponential, init={c["E_L"]}
    dm/dt = a_m*(1.0-m) - b_m*m : exponential
    dh/dt = a_h*(1.0-h) - b_h*h : exponential
    dn/dt = a_n*(1.0-n) - b_n*n : exponential
    left = if left > 0.0: left - 1.0 else: 0.0
    """
    if synaptic:
        equations += """tau_e*dg_exc/dt = -g_exc : exponential
    tau_i*dg_inh/dt = -g_inh : exponential"""
    spike = f"(v > {c['v_spike']}) and (left <= 0.0)"
    return ann.Neuron(parameters=parameters, equations=equations, spike=spike, reset=f"left = {c['t_ref'] / DT}")


def cobahh(asked: Task) -> Outcome:
    c = HODGKIN_HUXLEY
    cells = NETWORK.create(asked.size, hodgkin_huxley_neuron(synaptic=True))
    cells.v = c["E_L"] - 5 + 5 * DRAW.standard_normal(asked.size)
    cells.g_exc = 10 * (4 + 1.5 * DRAW.standard_normal(asked.size))
    cells.g_inh = 10 * (20 + 12 * DRAW.standard_normal(asked.size))
    return connected(cells, asked, (c["w_e"], c["w_i"]), c["p"])


def brunel(asked: Task) -> Outcome:
    """The external drive is one binomial number of 800 trials; jumps are scaled so that an Euler step adds them whole."""
    c = BRUNEL
    p = c["external_rate"] * DT * 1e-3 / c["external"]
    neuron = ann.Neuron(
        parameters={"tau_m": c["tau_m"], "v_th": c["v_th"], "v_reset": c["v_reset"], "J": c["J"], "whole": c["tau_m"] / DT},
        equations=f"""external = Binomial({c["external"]}, {p})
        tau_m*dv/dt = (g_exc + g_inh + J*external)*whole - v : init=0.0""",
        spike="v > v_th", reset="v = v_reset", refractory=c["t_ref"],
    )  # fmt: skip
    cells = NETWORK.create(asked.size, neuron)
    cells.v = DRAW.uniform(0, c["v_th"], asked.size)
    return connected(cells, asked, (c["J"], -c["g"] * c["J"]), c["p"], delays=c["delay"])


def stdp(asked: Task) -> Outcome:
    c = STDP
    sources = NETWORK.create(ann.PoissonPopulation(c["inputs"], rates=c["rate"]))
    neuron = ann.Neuron(
        parameters={name: c[name] for name in ("tau_m", "tau_e", "E_e", "v_rest", "v_th", "v_reset")},
        equations=f"""tau_m*dv/dt = g_exc*(E_e-v) + v_rest - v : init={c["v_reset"]}
        tau_e*dg_exc/dt = -g_exc : exponential""",
        spike="v > v_th", reset="v = v_reset", refractory=0.0,
    )  # fmt: skip
    cells = NETWORK.create(asked.size, neuron)
    rule = ann.Synapse(
        parameters={name: c[name] for name in ("tau_pre", "tau_post", "rise", "fall", "peak")},
        equations="""tau_pre*dx/dt = -x : event-driven
        tau_post*dy/dt = -y : event-driven""",
        pre_spike="""g_target += w
        x += rise
        w = clip(w + y, 0.0, peak)""",
        post_spike="""y += fall
        w = clip(w + x, 0.0, peak)""",
    )
    synapses = NETWORK.connect(sources, cells, "exc", rule)
    synapses.all_to_all(weights=ann.Uniform(0.0, c["peak"]))
    fired, arrived = NETWORK.monitor(cells, "spike"), NETWORK.monitor(sources, "spike")
    loop = loop_seconds(asked)
    return Outcome(loop, count(fired), c["inputs"] * asked.size, count(arrived))


def local(value: float = 0.0) -> Any:
    return ann.Parameter(value, locality="local")


def lif(asked: Task) -> Outcome:
    c = LIF
    neuron = ann.Neuron(
        parameters={"tau_m": c["tau_m"], "v_th": c["v_th"], "v_reset": c["v_reset"], "drive": local()},
        equations="tau_m*dv/dt = drive - v : exponential", spike="v > v_th", reset="v = v_reset", refractory=c["t_ref"],
    )  # fmt: skip
    cells = NETWORK.create(asked.size, neuron)
    cells.drive = DRAW.uniform(0, c["drive"], asked.size)
    return unconnected(cells, asked)


def izhikevich(asked: Task) -> Outcome:
    c = IZHIKEVICH
    neuron = ann.Neuron(
        parameters={**{name: c[name] for name in "abcd"}, "drive": local()},
        equations=f"""dv/dt = 0.04*v*v + 5.0*v + 140.0 - u + drive : init={c["v"]}
        du/dt = a*(b*v - u) : init={c["u"]}""",
        spike="v >= 30.0",
        reset="""v = c
        u += d""",
    )
    cells = NETWORK.create(asked.size, neuron)
    cells.drive = DRAW.uniform(0, c["drive"], asked.size)
    return unconnected(cells, asked)


def hodgkin_huxley(asked: Task) -> Outcome:
    cells = NETWORK.create(asked.size, hodgkin_huxley_neuron(synaptic=False))
    cells.drive = DRAW.uniform(0, HODGKIN_HUXLEY["drive"], asked.size)
    return unconnected(cells, asked)


if ASKED.threads > 1:
    NETWORK.config(num_threads=ASKED.threads)
if ASKED.precision == "float32":
    NETWORK.config(dtype=ann.float32)
MODELS = {
    "cuba": cuba, "cobahh": cobahh, "brunel": brunel, "stdp": stdp, "lif": lif, "izhikevich": izhikevich, "hodgkin_huxley": hodgkin_huxley,
}  # fmt: skip
run(ASKED, MODELS, ann.__version__)
