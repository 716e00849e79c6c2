"""The benchmarks in PyGeNN 5, float32 (or float64): on its single-threaded CPU backend, compiled for this processor, or ``--mode cuda``."""

from __future__ import annotations

import os
import time
from typing import Any

from process import Outcome, Task, run, task

ASKED = task()
os.environ["CXX"] = "g++ -march=native"  # PyGeNN has no setting for flags; optimize_code adds -O3 -ffast-math

import numpy as np  # noqa: E402
import pygenn  # noqa: E402
from physics import BRUNEL, CUBA, DT, HODGKIN_HUXLEY, IZHIKEVICH, LIF, STDP, cuba_weights  # noqa: E402
from pygenn import (  # noqa: E402
    create_neuron_model,
    create_postsynaptic_model,
    create_weight_update_model,
    init_postsynaptic,
    init_sparse_connectivity,
    init_var,
    init_weight_update,
)

EXPONENTIAL = create_postsynaptic_model(
    "exponential", params=["tau"], sim_code="injectCurrent(inSyn); inSyn *= decay;",
    derived_params=[("decay", lambda p, dt: np.exp(-dt / p["tau"]))],
)  # fmt: skip
JUMP = create_postsynaptic_model("jump", sim_code="injectCurrent(inSyn); inSyn = 0.0;")


def new(asked: Task) -> Any:
    model = pygenn.GeNNModel(
        "double" if asked.precision == "float64" else "float",
        asked.model,
        backend="cuda" if asked.mode == "cuda" else "single_threaded_cpu",
        optimize_code=True,
    )
    model.dt, model.seed = DT, 1234
    model.fuse_postsynaptic_models = model.default_narrow_sparse_ind_enabled = True
    return model


def simulated(model: Any, asked: Task) -> float:
    steps = round(asked.duration / DT)
    model.build(str(asked.cache))
    model.load(num_recording_timesteps=steps)
    step = model.step_time
    start = time.perf_counter()
    for _ in range(steps):
        step()
    seconds = time.perf_counter() - start
    model.pull_recording_buffers_from_device()
    # a GPU computes on after the last call: only this waits for it
    return time.perf_counter() - start if asked.mode == "cuda" else seconds


def count(*populations: Any) -> int:
    return sum(len(population.spike_recording_data[0][0]) for population in populations)


def connected(
    model: Any, asked: Task, neuron: Any, parameters: Any, initial: Any, kinds: Any, p: float, delay: float = 0.0
) -> Outcome:
    """Excitatory and inhibitory cells; ``kinds`` are weight, postsynaptic model and target variable of either."""
    excitatory = model.add_neuron_population("E", asked.size * 4 // 5, neuron, parameters, initial)
    inhibitory = model.add_neuron_population("I", asked.size - asked.size * 4 // 5, neuron, parameters, initial)
    synapses = []
    for source, (weight, postsynaptic, target) in zip((excitatory, inhibitory), kinds, strict=True):
        for cells in (excitatory, inhibitory):
            synapse = model.add_synapse_population(
                source.name + cells.name, "SPARSE", source, cells, init_weight_update("StaticPulseConstantWeight", {"g": weight}),
                postsynaptic, init_sparse_connectivity("FixedProbability", {"prob": p}),
            )  # fmt: skip
            if target:
                synapse.post_target_var = target
            if delay:
                synapse.axonal_delay_steps = round(delay / DT)
            synapses.append(synapse)
    excitatory.spike_recording_enabled = inhibitory.spike_recording_enabled = True
    loop = simulated(model, asked)
    number = 0
    for synapse in synapses:
        synapse.pull_connectivity_from_device()
        number += len(synapse.get_sparse_pre_inds())
    return Outcome(loop, count(excitatory, inhibitory), number)


def unconnected(model: Any, asked: Task, neuron: Any, parameters: Any, initial: Any) -> Outcome:
    cells = model.add_neuron_population("cell", asked.size, neuron, parameters, initial)
    cells.spike_recording_enabled = True
    loop = simulated(model, asked)
    return Outcome(loop, count(cells))


def uniform(low: float, high: float) -> Any:
    return init_var("Uniform", {"min": low, "max": high})


def cuba(asked: Task) -> Outcome:
    c, (w_e, w_i) = CUBA, cuba_weights(asked.size)
    parameters = {
        "C": c["tau_m"], "TauM": c["tau_m"], "Vrest": c["v_rest"], "Vreset": c["v_reset"], "Vthresh": c["v_th"], "Ioffset": 0.0,
        "TauRefrac": c["t_ref"],
    }  # fmt: skip
    initial = {"V": uniform(c["v_reset"], c["v_th"]), "RefracTime": 0.0}
    kinds = [
        (w, init_postsynaptic(EXPONENTIAL, {"tau": tau}), None) for w, tau in ((w_e, c["tau_e"]), (w_i, c["tau_i"]))
    ]
    return connected(new(asked), asked, "LIF", parameters, initial, kinds, c["p"])


def over_expm1(x: str) -> str:
    return f"(fabs({x}) < 1e-4 ? 1.0 - 0.5*({x}) : ({x})/(exp({x}) - 1.0))"


def traub_miles() -> Any:
    names = ("C", "g_L", "g_Na", "g_K", "E_L", "E_Na", "E_K", "v_T", "v_spike", "t_ref", "E_e", "E_i")
    return create_neuron_model(
        "traub_miles", params=list(names), vars=[(name, "scalar") for name in ("V", "m", "h", "n", "left", "drive")],
        additional_input_vars=[("g_e", "scalar", 0.0), ("g_i", "scalar", 0.0)],
        sim_code=f"""
        const scalar u = V - v_T;
        const scalar a_m = 1.28*{over_expm1("((13.0-u)/4.0)")}, b_m = 1.4*{over_expm1("((u-40.0)/5.0)")};
        const scalar a_h = 0.128*exp((17.0-u)/18.0), b_h = 4.0/(1.0+exp((40.0-u)/5.0));
        const scalar a_n = 0.16*{over_expm1("((15.0-u)/5.0)")}, b_n = 0.5*exp((10.0-u)/40.0);
        const scalar sodium = g_Na*m*m*m*h, potassium = g_K*n*n*n*n;
        const scalar total = g_L + sodium + potassium + g_e + g_i;
        const scalar rest = (g_L*E_L + sodium*E_Na + potassium*E_K + g_e*E_e + g_i*E_i + Isyn + drive)/total;
        V = rest + (V - rest)*exp(-total*dt/C);
        m = a_m/(a_m+b_m) + (m - a_m/(a_m+b_m))*exp(-(a_m+b_m)*dt);
        h = a_h/(a_h+b_h) + (h - a_h/(a_h+b_h))*exp(-(a_h+b_h)*dt);
        n = a_n/(a_n+b_n) + (n - a_n/(a_n+b_n))*exp(-(a_n+b_n)*dt);
        left -= dt;""",
        threshold_condition_code="V > v_spike && left <= 0.0", reset_code="left = t_ref;",
    ), {name: HODGKIN_HUXLEY[name] for name in names}  # fmt: skip


def cobahh(asked: Task) -> Outcome:
    c, (neuron, parameters) = HODGKIN_HUXLEY, traub_miles()
    initial = {
        "V": init_var("Normal", {"mean": c["E_L"] - 5, "sd": 5.0}),
        "m": 0.0,
        "h": 0.0,
        "n": 0.0,
        "left": 0.0,
        "drive": 0.0,
    }
    kinds = [
        (c[w], init_postsynaptic(EXPONENTIAL, {"tau": c[tau]}), target)
        for w, tau, target in (("w_e", "tau_e", "g_e"), ("w_i", "tau_i", "g_i"))
    ]
    return connected(new(asked), asked, neuron, parameters, initial, kinds, c["p"])


def brunel(asked: Task) -> Outcome:
    c = BRUNEL
    neuron = create_neuron_model(
        "driven_lif", params=["decay", "v_th", "v_reset", "t_ref", "mean", "J"], vars=[("V", "scalar"), ("left", "scalar")],
        derived_params=[("least", lambda p, dt: np.exp(-p["mean"]))],
        sim_code="""
        scalar product = gennrand_uniform(); int number = 0;
        while (product > least) { number++; product *= gennrand_uniform(); }
        if (left <= 0.0) { V = V*decay + Isyn + J*number; } else { left -= dt; }""",
        threshold_condition_code="left <= 0.0 && V > v_th", reset_code="V = v_reset; left = t_ref;",
    )  # fmt: skip
    parameters = {
        "decay": float(np.exp(-DT / c["tau_m"])), "v_th": c["v_th"], "v_reset": c["v_reset"], "t_ref": c["t_ref"],
        "mean": c["external_rate"] * DT * 1e-3, "J": c["J"],
    }  # fmt: skip
    kinds = [(weight, init_postsynaptic(JUMP), None) for weight in (c["J"], -c["g"] * c["J"])]
    return connected(
        new(asked), asked, neuron, parameters, {"V": uniform(0.0, c["v_th"]), "left": 0.0}, kinds, c["p"], c["delay"]
    )


def stdp(asked: Task) -> Outcome:
    c, model = STDP, new(asked)
    source = create_neuron_model(
        "bernoulli",
        params=["p"],
        vars=[("x", "scalar")],
        sim_code="x = gennrand_uniform();",
        threshold_condition_code="x < p",
    )
    neuron = create_neuron_model(
        "conductive", params=["tau_m", "v_rest", "v_th", "v_reset", "E_e"], vars=[("V", "scalar")],
        sim_code="V += dt/tau_m*(Isyn*(E_e-V) + v_rest - V);", threshold_condition_code="V > v_th", reset_code="V = v_reset;",
    )  # fmt: skip
    rule = create_weight_update_model(
        "additive", params=["tau_pre", "tau_post", "rise", "fall", "peak"], vars=[("g", "scalar")],
        pre_vars=[("x", "scalar")], post_vars=[("y", "scalar")],
        derived_params=[("pre_decay", lambda p, dt: np.exp(-dt / p["tau_pre"])), ("post_decay", lambda p, dt: np.exp(-dt / p["tau_post"]))],
        pre_spike_code="x += rise;", post_spike_code="y += fall;",
        pre_dynamics_code="x *= pre_decay;", post_dynamics_code="y *= post_decay;",
        pre_spike_syn_code="addToPost(g); g = fmin(fmax(g + y, 0.0), peak);", post_spike_syn_code="g = fmin(fmax(g + x, 0.0), peak);",
    )  # fmt: skip
    sources = model.add_neuron_population("source", c["inputs"], source, {"p": c["rate"] * DT * 1e-3}, {"x": 1.0})
    parameters = {name: c[name] for name in ("tau_m", "v_rest", "v_th", "v_reset", "E_e")}
    cells = model.add_neuron_population("cell", asked.size, neuron, parameters, {"V": c["v_reset"]})
    constants = {name: c[name] for name in ("tau_pre", "tau_post", "rise", "fall", "peak")}
    model.add_synapse_population(
        "feed", "DENSE", sources, cells, init_weight_update(rule, constants, {"g": uniform(0.0, c["peak"])}, {"x": 0.0}, {"y": 0.0}),
        init_postsynaptic(EXPONENTIAL, {"tau": c["tau_e"]}),
    )  # fmt: skip
    sources.spike_recording_enabled = cells.spike_recording_enabled = True
    loop = simulated(model, asked)
    return Outcome(loop, count(cells), c["inputs"] * asked.size, count(sources))


def lif(asked: Task) -> Outcome:
    c = LIF
    neuron = create_neuron_model(
        "driven", params=["decay", "v_th", "v_reset", "t_ref"], vars=[(name, "scalar") for name in ("V", "left", "drive")],
        sim_code="if (left <= 0.0) { V = drive + (V - drive)*decay; } else { left -= dt; }",
        threshold_condition_code="left <= 0.0 && V > v_th", reset_code="V = v_reset; left = t_ref;",
    )  # fmt: skip
    parameters = {
        "decay": float(np.exp(-DT / c["tau_m"])),
        "v_th": c["v_th"],
        "v_reset": c["v_reset"],
        "t_ref": c["t_ref"],
    }
    return unconnected(
        new(asked), asked, neuron, parameters, {"V": 0.0, "left": 0.0, "drive": uniform(0.0, c["drive"])}
    )


def izhikevich(asked: Task) -> Outcome:
    c = IZHIKEVICH
    neuron = create_neuron_model(
        "izhikevich", params=list("abcd"), vars=[(name, "scalar") for name in ("V", "u", "drive")],
        sim_code="const scalar v = V; V += dt*(0.04*v*v + 5.0*v + 140.0 - u + drive); u += dt*a*(b*v - u);",
        threshold_condition_code="V >= 30.0", reset_code="V = c; u += d;",
    )  # fmt: skip
    return unconnected(
        new(asked),
        asked,
        neuron,
        {name: c[name] for name in "abcd"},
        {"V": c["v"], "u": c["u"], "drive": uniform(0.0, c["drive"])},
    )


def hodgkin_huxley(asked: Task) -> Outcome:
    neuron, parameters = traub_miles()
    initial = {
        "V": HODGKIN_HUXLEY["E_L"],
        "m": 0.0,
        "h": 0.0,
        "n": 0.0,
        "left": 0.0,
        "drive": uniform(0.0, HODGKIN_HUXLEY["drive"]),
    }
    return unconnected(new(asked), asked, neuron, parameters, initial)


MODELS = {
    "cuba": cuba, "cobahh": cobahh, "brunel": brunel, "stdp": stdp, "lif": lif, "izhikevich": izhikevich, "hodgkin_huxley": hodgkin_huxley,
}  # fmt: skip
run(ASKED, MODELS, getattr(pygenn, "__version__", "5"))
