"""The numbers of every benchmark, for all programs: mV, ms, pF, nS, pA unless a name says otherwise. Their .snn files hold the same."""

from __future__ import annotations

DT = 0.1

# Vogels & Abbott (2005) as in Brette et al. (2007), currents; weights are those of 4000 neurons
CUBA = {
    "tau_m": 20.0, "tau_e": 5.0, "tau_i": 10.0, "v_rest": -49.0, "v_reset": -60.0, "v_th": -50.0, "t_ref": 5.0,
    "w_e": 1.62, "w_i": -9.0, "p": 0.02,
}  # fmt: skip

# Hodgkin-Huxley neurons after Traub & Miles (1991), 20000 um^2, and the network COBAHH of Brette et al. (2007)
HODGKIN_HUXLEY = {
    "C": 200.0, "g_L": 10.0, "g_Na": 20000.0, "g_K": 6000.0, "E_L": -60.0, "E_Na": 50.0, "E_K": -90.0, "v_T": -63.0,
    "v_spike": -20.0, "t_ref": 3.0, "tau_e": 5.0, "tau_i": 10.0, "E_e": 0.0, "E_i": -80.0, "w_e": 6.0, "w_i": 67.0,
    "p": 0.02, "drive": 2000.0,
}  # fmt: skip

# Brunel (2000): excitatory and inhibitory jumps after one delay, 800 external Poisson inputs of 25 Hz
BRUNEL = {
    "tau_m": 20.0, "v_reset": 10.0, "v_th": 20.0, "t_ref": 2.0, "J": 0.1, "g": 5.0, "p": 0.1, "delay": 1.5,
    "external": 800, "external_rate": 20000.0,
}  # fmt: skip

# Song, Miller & Abbott (2000): conductances in units of the leak
STDP = {
    "inputs": 1000, "rate": 15.0, "tau_m": 10.0, "tau_e": 5.0, "v_rest": -74.0, "v_reset": -60.0, "v_th": -54.0,
    "E_e": 0.0, "tau_pre": 20.0, "tau_post": 20.0, "peak": 0.01, "rise": 0.01 * 0.01, "fall": -0.0105 * 0.01,
}  # fmt: skip

LIF = {"tau_m": 20.0, "v_th": 20.0, "v_reset": 0.0, "t_ref": 2.0, "drive": 40.0}

IZHIKEVICH = {"a": 0.02, "b": 0.2, "c": -65.0, "d": 8.0, "v": -65.0, "u": -13.0, "v_peak": 30.0, "drive": 20.0}


def cuba_weights(neurons: int) -> tuple[float, float]:
    """Weights that shrink as the in-degree grows."""
    return CUBA["w_e"] * 4000 / neurons, CUBA["w_i"] * 4000 / neurons
