"""The network of cuba.snn in Brian2's NumPy runtime; prints one line of JSON. Run by run.py with an interpreter that has Brian2."""

from __future__ import annotations

import json
import time

start = time.perf_counter()
import brian2 as b2  # noqa: E402
from brian2 import ms, mV  # noqa: E402

b2.prefs.codegen.target = "numpy"
b2.defaultclock.dt = 0.1 * ms
names = {
    "tau_m": 20 * ms,
    "tau_e": 5 * ms,
    "tau_i": 10 * ms,
    "v_th": -50 * mV,
    "v_r": -60 * mV,
    "e_l": -49 * mV,
    "w_e": 1.62 * mV,
    "w_i": -9 * mV,
}
cells = b2.NeuronGroup(
    4000,
    """dv/dt = (ge + gi - (v - e_l))/tau_m : volt (unless refractory)
    dge/dt = -ge/tau_e : volt
    dgi/dt = -gi/tau_i : volt""",
    threshold="v > v_th", reset="v = v_r", refractory=5 * ms, method="exact", namespace=names,
)  # fmt: skip
cells.v = "v_r + rand()*(v_th - v_r)"
excitatory = b2.Synapses(cells, cells, on_pre="ge += w_e", namespace=names)
excitatory.connect("i < 3200", p=0.02)
inhibitory = b2.Synapses(cells, cells, on_pre="gi += w_i", namespace=names)
inhibitory.connect("i >= 3200", p=0.02)
spikes = b2.SpikeMonitor(cells)
network = b2.Network(cells, excitatory, inhibitory, spikes)
marks: dict[str, float] = {}
before, after = network.before_run, network.after_run


def note_start(namespace: object) -> None:
    before(namespace)
    marks["start"] = time.perf_counter()


def note_end() -> None:
    marks["end"] = time.perf_counter()
    after()


network.before_run, network.after_run = note_start, note_end
network.run(1000 * ms, namespace={})
print(json.dumps({
    "loop": marks["end"] - marks["start"], "process": time.perf_counter() - start, "rate": spikes.num_spikes / 4000,
    "version": b2.__version__,
}))  # fmt: skip
