"""The benchmarks in Brian2: ``--mode`` numpy, cython, standalone (with OpenMP when ``--threads`` is above 1) or cuda (Brian2CUDA)."""

from __future__ import annotations

import time

from process import Outcome, Task, run, task

ASKED = task()

import brian2 as b2  # noqa: E402
import numpy as np  # noqa: E402
from brian2 import Hz, ms, mV, nS, pF  # noqa: E402
from physics import BRUNEL, CUBA, DT, HODGKIN_HUXLEY, IZHIKEVICH, LIF, STDP, cuba_weights  # noqa: E402


def prepare(asked: Task) -> None:
    """Preferences: full optimisation for this processor, and caches of our own."""
    b2.prefs.codegen.cpp.extra_compile_args_gcc = ["-w", "-O3", "-march=native", "-ffast-math", "-std=c++17"]
    if asked.precision == "float32":
        b2.prefs.core.default_float_dtype = np.float32
    if asked.mode == "standalone":
        b2.prefs.devices.cpp_standalone.openmp_threads = asked.threads if asked.threads > 1 else 0
        b2.set_device("cpp_standalone", directory=str(asked.cache / "standalone"), build_on_run=True)
    elif asked.mode == "cuda":
        import brian2cuda  # noqa: F401  (it makes the device known)

        b2.set_device("cuda_standalone", directory=str(asked.cache / "cuda"), build_on_run=True)
    else:
        b2.prefs.codegen.target = asked.mode
        b2.prefs.codegen.runtime.cython.cache_dir = str(asked.cache / "cython")
    b2.defaultclock.dt = DT * ms


def loop_seconds(network: b2.Network, asked: Task) -> float:
    """Runs the network; the seconds of the loop alone, without code generation and compilation."""
    if asked.mode in ("standalone", "cuda"):
        network.run(asked.duration * ms)
        return float(b2.device._last_run_time)
    marks: dict[str, float] = {}
    before, after = network.before_run, network.after_run

    def note_start(namespace: object) -> None:
        before(namespace)
        marks["start"] = time.perf_counter()

    def note_end() -> None:
        marks["end"] = time.perf_counter()
        after()

    network.before_run, network.after_run = note_start, note_end
    network.run(asked.duration * ms, namespace={})
    return marks["end"] - marks["start"]


def connected(
    cells: b2.NeuronGroup,
    asked: Task,
    effects: tuple[str, str],
    names: dict[str, object],
    p: float,
    *others: object,
    **options: object,
) -> Outcome:
    """Two projections from the first four fifths and the last fifth of a population to all of it, then the run."""
    excitatory = b2.Synapses(cells, cells, on_pre=effects[0], namespace=names, **options)
    excitatory.connect(f"i < {asked.size * 4 // 5}", p=p)
    inhibitory = b2.Synapses(cells, cells, on_pre=effects[1], namespace=names, **options)
    inhibitory.connect(f"i >= {asked.size * 4 // 5}", p=p)
    spikes = b2.SpikeMonitor(cells)
    loop = loop_seconds(b2.Network(cells, excitatory, inhibitory, spikes, *others), asked)
    return Outcome(loop, int(spikes.num_spikes), len(excitatory) + len(inhibitory))


def unconnected(cells: b2.NeuronGroup, asked: Task) -> Outcome:
    spikes = b2.SpikeMonitor(cells, record=False)
    return Outcome(loop_seconds(b2.Network(cells, spikes), asked), int(spikes.num_spikes))


def cuba(asked: Task) -> Outcome:
    w_e, w_i = cuba_weights(asked.size)
    names = {name: CUBA[name] * ms for name in ("tau_m", "tau_e", "tau_i")}
    names |= {name: CUBA[name] * mV for name in ("v_rest", "v_reset", "v_th")}
    names |= {"w_e": w_e * mV, "w_i": w_i * mV}
    cells = b2.NeuronGroup(
        asked.size,
        """dv/dt = (g_e + g_i - (v - v_rest))/tau_m : volt (unless refractory)
        dg_e/dt = -g_e/tau_e : volt
        dg_i/dt = -g_i/tau_i : volt""",
        threshold="v > v_th", reset="v = v_reset", refractory=CUBA["t_ref"] * ms, method="exact", namespace=names,
    )  # fmt: skip
    cells.v = "v_reset + rand()*(v_th - v_reset)"
    return connected(cells, asked, ("g_e += w_e", "g_i += w_i"), names, CUBA["p"])


RATES = """dm/dt = a_m*(1 - m) - b_m*m : 1
dh/dt = a_h*(1 - h) - b_h*h : 1
dn/dt = a_n*(1 - n) - b_n*n : 1
a_m = 0.32*(mV**-1)*4*mV/exprel((13*mV - v + v_T)/(4*mV))/ms : Hz
b_m = 0.28*(mV**-1)*5*mV/exprel((v - v_T - 40*mV)/(5*mV))/ms : Hz
a_h = 0.128*exp((17*mV - v + v_T)/(18*mV))/ms : Hz
b_h = 4./(1 + exp((40*mV - v + v_T)/(5*mV)))/ms : Hz
a_n = 0.032*(mV**-1)*5*mV/exprel((15*mV - v + v_T)/(5*mV))/ms : Hz
b_n = 0.5*exp((10*mV - v + v_T)/(40*mV))/ms : Hz
"""
CURRENTS = "g_L*(E_L - v) - g_Na*(m*m*m)*h*(v - E_Na) - g_K*(n*n*n*n)*(v - E_K)"


def hodgkin_huxley_names() -> dict[str, object]:
    c = HODGKIN_HUXLEY
    names: dict[str, object] = {"C": c["C"] * pF, "tau_e": c["tau_e"] * ms, "tau_i": c["tau_i"] * ms}
    names |= {name: c[name] * nS for name in ("g_L", "g_Na", "g_K", "w_e", "w_i")}
    return names | {name: c[name] * mV for name in ("E_L", "E_Na", "E_K", "v_T", "v_spike", "E_e", "E_i")}


def cobahh(asked: Task) -> Outcome:
    names = hodgkin_huxley_names()
    cells = b2.NeuronGroup(
        asked.size,
        f"""dv/dt = ({CURRENTS} + g_e*(E_e - v) + g_i*(E_i - v))/C : volt
        dg_e/dt = -g_e/tau_e : siemens
        dg_i/dt = -g_i/tau_i : siemens
        {RATES}""",
        threshold="v > v_spike", refractory=HODGKIN_HUXLEY["t_ref"] * ms, method="exponential_euler", namespace=names,
    )  # fmt: skip
    cells.v = "E_L + (randn()*5 - 5)*mV"
    cells.g_e = "(randn()*1.5 + 4)*10*nS"
    cells.g_i = "(randn()*12 + 20)*10*nS"
    return connected(cells, asked, ("g_e += w_e", "g_i += w_i"), names, HODGKIN_HUXLEY["p"])


def brunel(asked: Task) -> Outcome:
    c = BRUNEL
    names = {
        "tau_m": c["tau_m"] * ms,
        "J": c["J"] * mV,
        "J_i": -c["g"] * c["J"] * mV,
        "v_th": c["v_th"] * mV,
        "v_reset": c["v_reset"] * mV,
    }
    cells = b2.NeuronGroup(
        asked.size, "dv/dt = -v/tau_m : volt (unless refractory)",
        threshold="v > v_th", reset="v = v_reset", refractory=c["t_ref"] * ms, method="exact", namespace=names,
    )  # fmt: skip
    cells.v = "rand()*v_th"
    external = b2.PoissonInput(
        cells, "v", N=c["external"], rate=c["external_rate"] / c["external"] * Hz, weight=c["J"] * mV
    )
    return connected(cells, asked, ("v_post += J", "v_post += J_i"), names, c["p"], external, delay=c["delay"] * ms)


def stdp(asked: Task) -> Outcome:
    c = STDP
    names = {name: c[name] * ms for name in ("tau_m", "tau_e", "tau_pre", "tau_post")}
    names |= {name: c[name] * mV for name in ("v_rest", "v_reset", "v_th", "E_e")}
    names |= {name: c[name] for name in ("peak", "rise", "fall")}
    sources = b2.PoissonGroup(c["inputs"], rates=c["rate"] * Hz)
    cells = b2.NeuronGroup(
        asked.size,
        """dv/dt = (g*(E_e - v) + v_rest - v)/tau_m : volt
        dg/dt = -g/tau_e : 1""",
        threshold="v > v_th", reset="v = v_reset", method="euler", namespace=names,
    )  # fmt: skip
    cells.v = c["v_reset"] * mV
    synapses = b2.Synapses(
        sources, cells,
        """w : 1
        dx/dt = -x/tau_pre : 1 (event-driven)
        dy/dt = -y/tau_post : 1 (event-driven)""",
        on_pre="g += w; x += rise; w = clip(w + y, 0, peak)", on_post="y += fall; w = clip(w + x, 0, peak)", namespace=names,
    )  # fmt: skip
    synapses.connect()
    synapses.w = "rand()*peak"
    spikes, arrivals = b2.SpikeMonitor(cells, record=False), b2.SpikeMonitor(sources, record=False)
    loop = loop_seconds(b2.Network(sources, cells, synapses, spikes, arrivals), asked)
    return Outcome(loop, int(spikes.num_spikes), c["inputs"] * asked.size, int(arrivals.num_spikes))


def lif(asked: Task) -> Outcome:
    names = {"tau_m": LIF["tau_m"] * ms, "v_th": LIF["v_th"], "v_reset": LIF["v_reset"]}
    cells = b2.NeuronGroup(
        asked.size,
        """dv/dt = (drive - v)/tau_m : 1 (unless refractory)
        drive : 1 (constant)""",
        threshold="v > v_th", reset="v = v_reset", refractory=LIF["t_ref"] * ms, method="exact", namespace=names,
    )  # fmt: skip
    cells.drive = f"rand()*{LIF['drive']}"
    return unconnected(cells, asked)


def izhikevich(asked: Task) -> Outcome:
    c = IZHIKEVICH
    names = {"a": c["a"] / ms, "b": c["b"], "c": c["c"], "d": c["d"]}
    cells = b2.NeuronGroup(
        asked.size,
        """dv/dt = (0.04*v*v + 5*v + 140 - u + drive)/ms : 1
        du/dt = a*(b*v - u) : 1
        drive : 1 (constant)""",
        threshold="v >= 30", reset="v = c; u += d", method="euler", namespace=names,
    )  # fmt: skip
    cells.v, cells.u = c["v"], c["u"]
    cells.drive = f"rand()*{c['drive']}"
    return unconnected(cells, asked)


def hodgkin_huxley(asked: Task) -> Outcome:
    cells = b2.NeuronGroup(
        asked.size,
        f"""dv/dt = ({CURRENTS} + drive)/C : volt
        drive : amp (constant)
        {RATES}""",
        threshold="v > v_spike", refractory=HODGKIN_HUXLEY["t_ref"] * ms, method="exponential_euler",
        namespace=hodgkin_huxley_names(),
    )  # fmt: skip
    cells.v = HODGKIN_HUXLEY["E_L"] * mV
    cells.drive = f"rand()*{HODGKIN_HUXLEY['drive']}*pA"
    return unconnected(cells, asked)


prepare(ASKED)
MODELS = {
    "cuba": cuba, "cobahh": cobahh, "brunel": brunel, "stdp": stdp, "lif": lif, "izhikevich": izhikevich, "hodgkin_huxley": hodgkin_huxley,
}  # fmt: skip
run(ASKED, MODELS, b2.__version__)
