"""The benchmarks in NEST, which is compiled beforehand: cold and warm differ in file caches only.

Its Hodgkin-Huxley neurons and conductances are integrated adaptively (Runge-Kutta-Fehlberg): dearer and more exact than the others'.
"""

from __future__ import annotations

import time
from typing import Any

from process import Outcome, Task, run, task

ASKED = task()

import nest  # noqa: E402
from physics import BRUNEL, CUBA, DT, HODGKIN_HUXLEY, IZHIKEVICH, LIF, STDP, cuba_weights  # noqa: E402

CAPACITANCE = 200.0  # pF; turns drives in mV into currents
LEAK = 10.0  # nS; turns conductances in leaks into nS


def uniform(low: float, high: float) -> Any:
    return nest.random.uniform(low, high)


def loop_seconds(asked: Task) -> float:
    nest.Prepare()
    start = time.perf_counter()
    nest.Run(asked.duration)
    seconds = time.perf_counter() - start
    nest.Cleanup()
    return seconds


def spikes() -> int:
    return int(nest.GetKernelStatus("local_spike_counter"))


def connected(cells: Any, asked: Task, weights: tuple[float, float], p: float, delay: float) -> Outcome:
    """Two projections from the first four fifths and the last fifth of a population to all of it, then the run."""
    rule = {"rule": "pairwise_bernoulli", "p": p, "allow_autapses": True}
    before = nest.GetKernelStatus("num_connections")
    for name, weight, part in (
        ("excitatory", weights[0], cells[: asked.size * 4 // 5]),
        ("inhibitory", weights[1], cells[asked.size * 4 // 5 :]),
    ):
        nest.CopyModel("static_synapse_hom_w", name, {"weight": weight, "delay": delay})
        nest.Connect(part, cells, rule, {"synapse_model": name})
    synapses = int(nest.GetKernelStatus("num_connections") - before)
    nest.Connect(cells, nest.Create("spike_recorder"))
    loop = loop_seconds(asked)
    return Outcome(loop, spikes(), synapses)


def cuba(asked: Task) -> Outcome:
    c = CUBA
    cells = nest.Create("iaf_psc_exp", asked.size, {
        "C_m": CAPACITANCE, "tau_m": c["tau_m"], "tau_syn_ex": c["tau_e"], "tau_syn_in": c["tau_i"], "E_L": c["v_rest"],
        "V_th": c["v_th"], "V_reset": c["v_reset"], "t_ref": c["t_ref"], "V_m": uniform(c["v_reset"], c["v_th"]),
    })  # fmt: skip
    w_e, w_i = cuba_weights(asked.size)
    return connected(cells, asked, (w_e * CAPACITANCE / c["tau_m"], w_i * CAPACITANCE / c["tau_m"]), c["p"], DT)


def hodgkin_huxley_cells(asked: Task, **more: Any) -> Any:
    c = HODGKIN_HUXLEY
    return nest.Create("hh_cond_exp_traub", asked.size, {
        "C_m": c["C"], "g_L": c["g_L"], "E_L": c["E_L"], "E_K": c["E_K"], "E_Na": c["E_Na"], "g_Na": c["g_Na"], "g_K": c["g_K"],
        "V_T": c["v_T"], "tau_syn_ex": c["tau_e"], "tau_syn_in": c["tau_i"], "E_ex": c["E_e"], "E_in": c["E_i"], "t_ref": c["t_ref"],
        **more,
    })  # fmt: skip


def cobahh(asked: Task) -> Outcome:
    c = HODGKIN_HUXLEY
    cells = hodgkin_huxley_cells(asked, V_m=nest.random.normal(c["E_L"] - 5, 5))
    # conductances cannot be set: one spike with weights of the same spread gives the initial ones
    kick = nest.Create("spike_generator", params={"spike_times": [DT]})
    nest.Connect(kick, cells, "all_to_all", {"weight": uniform(10, 70), "delay": DT})
    nest.Connect(kick, cells, "all_to_all", {"weight": uniform(-320, -80), "delay": DT})
    return connected(cells, asked, (c["w_e"], -c["w_i"]), c["p"], DT)


def brunel(asked: Task) -> Outcome:
    c = BRUNEL
    cells = nest.Create("iaf_psc_delta", asked.size, {
        "tau_m": c["tau_m"], "C_m": 1.0, "E_L": 0.0, "V_th": c["v_th"], "V_reset": c["v_reset"], "t_ref": c["t_ref"],
        "V_m": uniform(0, c["v_th"]),
    })  # fmt: skip
    external = nest.Create("poisson_generator", params={"rate": c["external_rate"]})
    nest.Connect(external, cells, syn_spec={"weight": c["J"], "delay": c["delay"]})
    return connected(cells, asked, (c["J"], -c["g"] * c["J"]), c["p"], c["delay"])


def stdp(asked: Task) -> Outcome:
    c = STDP
    cells = nest.Create("iaf_cond_exp", asked.size, {
        "C_m": LEAK * c["tau_m"], "g_L": LEAK, "E_L": c["v_rest"], "E_ex": c["E_e"], "V_th": c["v_th"], "V_reset": c["v_reset"],
        "t_ref": 0.0, "tau_syn_ex": c["tau_e"], "tau_minus": c["tau_post"], "V_m": c["v_reset"],
    })  # fmt: skip
    # Poisson generators cannot drive plastic synapses: parrots repeat them
    sources = nest.Create("parrot_neuron", c["inputs"])
    nest.Connect(nest.Create("poisson_generator", params={"rate": c["rate"]}), sources)
    nest.CopyModel("stdp_synapse_hom", "plastic", {
        "tau_plus": c["tau_pre"], "lambda": c["rise"] / c["peak"], "alpha": -c["fall"] / c["rise"], "mu_plus": 0.0, "mu_minus": 0.0,
        "Wmax": c["peak"] * LEAK,
    })  # fmt: skip
    nest.Connect(
        sources, cells, "all_to_all", {"synapse_model": "plastic", "weight": uniform(0, c["peak"] * LEAK), "delay": DT}
    )
    fired, arrived = nest.Create("spike_recorder"), nest.Create("spike_recorder")
    nest.Connect(cells, fired)
    nest.Connect(sources, arrived)
    loop = loop_seconds(asked)
    return Outcome(loop, int(fired.n_events), c["inputs"] * asked.size, int(arrived.n_events))


def unconnected(asked: Task) -> Outcome:
    loop = loop_seconds(asked)
    return Outcome(loop, spikes())


def lif(asked: Task) -> Outcome:
    c = LIF
    nest.Create("iaf_psc_delta", asked.size, {
        "C_m": CAPACITANCE, "tau_m": c["tau_m"], "E_L": 0.0, "V_th": c["v_th"], "V_reset": c["v_reset"], "t_ref": c["t_ref"], "V_m": 0.0,
        "I_e": uniform(0, c["drive"] * CAPACITANCE / c["tau_m"]),
    })  # fmt: skip
    return unconnected(asked)


def izhikevich(asked: Task) -> Outcome:
    c = IZHIKEVICH
    nest.Create("izhikevich", asked.size, {
        **{name: c[name] for name in "abcd"}, "V_m": c["v"], "U_m": c["u"], "I_e": uniform(0, c["drive"]),
    })  # fmt: skip
    return unconnected(asked)


def hodgkin_huxley(asked: Task) -> Outcome:
    c = HODGKIN_HUXLEY
    hodgkin_huxley_cells(asked, V_m=c["E_L"], I_e=uniform(0, c["drive"]))
    return unconnected(asked)


nest.verbosity = nest.VerbosityLevel.ERROR
nest.ResetKernel()
nest.SetKernelStatus({"resolution": DT, "local_num_threads": ASKED.threads, "rng_seed": 1234})
MODELS = {
    "cuba": cuba, "cobahh": cobahh, "brunel": brunel, "stdp": stdp, "lif": lif, "izhikevich": izhikevich, "hodgkin_huxley": hodgkin_huxley,
}  # fmt: skip
run(ASKED, MODELS, nest.__version__)
