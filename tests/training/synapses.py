"""Synapses, neurons and networks that the tests of training through synapses share."""

from __future__ import annotations

from .networks import text

MODELS = """
neuron Source:
    input x = 0
    state u = 0
    u[n] = 0.8*u[n-1]*(1 - spike[n-1]) + x
    spike when u > 1

neuron Rate:
    input x = 0
    state u = 0
    u[n] = 0.8*u[n-1] + 0.2*x
    output u

neuron Membrane:
    input I = 0 pA
    port state v = -70 mV
    200 pF*dv/dt = 10 nS*(-70 mV - v) + I
    spike when v >= -66 mV
    on spike: v = -70 mV

neuron Potential:
    input x = 0
    state v = 0
    v[n] = 0.9*v[n-1]*(1 - spike[n-1]) + x
    spike when v > 1

synapse Trace:
    trainable param tau = 5 ms in (0 ms, inf)
    trainable param A = 0.7
    trace x on pre decay tau
    weight w = 1
    deliver A*w*x

synapse Low:
    trainable param a = 0.7
    weight w = 1
    state i = 0
    i[n] = a*i[n-1] + w*pre.u
    deliver i

synapse Saturating:
    param tau = 5 ms
    weight w = 1
    state s = 0
    tau*ds/dt = -s
    on pre: s += 0.3*(1 - s)
    deliver w*s*(2 - post.v)

synapse Current:
    trainable param tau = 5 ms in (0 ms, inf)
    weight w = 10 pA
    state i = 0 pA
    tau * di/dt = -i
    on pre: i += w
    deliver i

synapse Reversal:
    trainable param tau = 5 ms in (0 ms, inf)
    trainable param E_rev = -10 mV
    weight w = 1 nS
    state g = 0 nS
    tau * dg/dt = -g
    on pre: g += w
    deliver g*(E_rev - post.v)

synapse Resources:
    trainable param U = 0.5 in (0, 1]
    trainable param tau_rec = 40 ms in (0 ms, inf)
    trainable param tau_facil = 15 ms in (0 ms, inf)
    weight w = 1 mV
    state u = 0 in [0, 1]
    state x = 1 in [0, 1]
    tau_facil * du/dt = -u
    tau_rec * dx/dt = 1 - x
    on pre:
        u += U*(1 - u)
        deliver w*u*x
        x -= u*x

synapse Rise:
    trainable param tau_rise = 1 ms in (0 ms, inf)
    trainable param tau_decay = 5 ms in (0 ms, inf)
    weight w = 10 pA
    state slow = 0 pA
    state fast = 0 pA
    ratio = tau_rise/tau_decay
    norm = 1/(ratio^(tau_rise/(tau_decay - tau_rise)) - ratio^(tau_decay/(tau_decay - tau_rise)))
    tau_decay * dslow/dt = -slow
    tau_rise * dfast/dt = -fast
    on pre:
        slow += norm*w
        fast += norm*w
    deliver slow - fast

synapse Twice:
    trainable param a = 0.5
    weight w = 1
    state i = 0
    state j = 0
    i[n] = a*i[n-1] + pre.u
    j[n] = 0.9*j[n-1] + 0.1*w*(i[n] + i[n-1])
    deliver j + w*i

synapse Gated:
    weight w = 1
    state s = 0
    10 ms*ds/dt = -s
    on pre:
        if s < 1.5:
            s += 1
        deliver w*s - 0.1*pre.u
"""

#: Synapse, source, target with its port, weights: those of the library, then those of users above.
SYNAPSES: list[tuple[str, str, str, str]] = [
    ("Exponential", "Source", "Membrane.I", "uniform(10 pA, 300 pA)"),
    ("Alpha", "Source", "Membrane.I", "uniform(10 pA, 300 pA)"),
    ("BiExponential", "Source", "Membrane.I", "uniform(10 pA, 300 pA)"),
    ("Conductance", "Source", "Membrane.I", "uniform(1 nS, 4 nS)"),
    ("NMDA", "Source", "Membrane.I", "uniform(1 nS, 4 nS)"),
    ("SaturatingNMDA", "Source", "Membrane.I", "uniform(1 nS, 4 nS)"),
    ("Delta", "Source", "Membrane.v", "uniform(0.1 mV, 2 mV)"),
    ("TsodyksMarkram", "Source", "Membrane.v", "uniform(0.1 mV, 3 mV)"),
    ("PSP", "Source", "Potential.x", "uniform(0.1, 0.7)"),
    ("DecayPSP", "Source", "Potential.x", "uniform(0.1, 0.7)"),
    ("Trace", "Source", "Potential.x", "uniform(0.1, 0.5)"),
    ("Low", "Rate", "Potential.x", "uniform(0.1, 0.5)"),
    ("Twice", "Rate", "Potential.x", "uniform(0.05, 0.2)"),
    ("Saturating", "Source", "Potential.x", "uniform(0.1, 0.7)"),
    ("Current", "Source", "Membrane.I", "uniform(10 pA, 300 pA)"),
    ("Reversal", "Source", "Membrane.I", "uniform(1 nS, 4 nS)"),
    ("Resources", "Source", "Membrane.v", "uniform(0.1 mV, 3 mV)"),
    ("Rise", "Source", "Membrane.I", "uniform(10 pA, 300 pA)"),
    ("Gated", "Source", "Potential.x", "uniform(0.1, 0.5)"),
]
LIBRARY = {case[0] for case in SYNAPSES[:10]}


def through(
    synapse: str,
    source: str,
    target: str,
    weights: str,
    *,
    pattern: str = "dense",
    more: str = "",
    settings: str = "",
) -> str:
    """A file with ``image -> s -> out``, the second connection through a synapse; ``more`` are further options of it."""
    name = synapse.partition("(")[0]
    neuron, port = target.split(".")
    head = f"from stdlib.synapses import {name}\n" if name in LIBRARY else ""
    lines = (
        f"population s[3]: {source}\npopulation out[4]: {neuron}\n"
        "connect image -> s.x: dense, w = uniform(0.3, 0.9)\n"
        f"connect s -> out.{port}: {pattern} via {synapse}, w = {weights}{more}"
    )
    surrogate = "atan(alpha = 2), reset = detach"
    made = "dt = 1 ms\n" + settings
    return text(lines, size=3, steps=12, loss="sum(out.v)", surrogate=surrogate, more=made, neurons=head + MODELS)
