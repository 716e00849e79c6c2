"""The benchmarks and the programs that run them: sizes, durations, what counts as an event, and what the machine could do at best."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Limits = Mapping[str, float]  # 1e9 things per second, by the names that limits.c prints
STEPS_PER_MS = 10  # dt is 0.1 ms everywhere


@dataclass(frozen=True, slots=True)
class Counts:
    """What one run did, at the size and for the duration (ms) that it ran."""

    size: int
    duration: float
    spikes: int
    synapses: int
    source_spikes: int

    @property
    def steps(self) -> float:
        return self.duration * STEPS_PER_MS


@dataclass(frozen=True, slots=True)
class Row:
    """One benchmark.

    ``parameter`` is what the size is called in ``models/FILE``. ``reach`` is the loop to reach in float32, in seconds, on the
    machine with AVX-512 where the aims were set. ``events`` counts synaptic events, or neuron updates where there are no
    synapses. ``limit`` is the work of one run at the speeds of limits.c, in seconds. ``short`` gives a program another
    (size, duration), where the full one would take minutes; its loop is scaled.
    """

    name: str
    title: str
    model: str
    size: int
    duration: float
    parameter: str
    reach: float
    events: Callable[[Counts], float]
    limit: Callable[[Counts, Limits], float]
    synapses: Callable[[int], int]
    short: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    threads: bool = False

    def task(self, program: str, share: float = 1.0) -> tuple[int, float]:
        """Size and duration for a program; ``share`` shortens all durations."""
        size, duration = self.short.get(program, (self.size, self.duration))
        return size, max(10.0, round(duration * share))


@dataclass(frozen=True, slots=True)
class Program:
    """``kind`` is snnlang, or the virtual environment of a peer and the script ``programs/with_KIND.py``."""

    name: str
    kind: Literal["snnlang", "brian2", "brian2cuda", "nest", "annarchy", "brainpy", "genn"]
    precision: Literal["float32", "float64"]
    mode: str = ""
    threads: int = 1


OURS = (
    Program("snnlang c float32", "snnlang", "float32", "c"),
    Program("snnlang c float64", "snnlang", "float64", "c"),
    Program("snnlang numpy", "snnlang", "float64", "numpy"),
)
PEERS = (
    Program("genn", "genn", "float32"),
    Program("brian2 standalone", "brian2", "float64", "standalone"),
    Program("brian2 standalone float32", "brian2", "float32", "standalone"),
    Program("brian2 cython", "brian2", "float64", "cython"),
    Program("brian2 numpy", "brian2", "float64", "numpy"),
    Program("nest", "nest", "float64"),
    Program("annarchy", "annarchy", "float64"),
    Program("annarchy float32", "annarchy", "float32"),
    Program("brainpy", "brainpy", "float32"),
)
OURS_ON_TWO = (
    Program("snnlang c float32 2 threads", "snnlang", "float32", "c", 2),
    Program("snnlang c float64 2 threads", "snnlang", "float64", "c", 2),
)
PEERS_ON_TWO = (
    Program("brian2 standalone 2 threads", "brian2", "float64", "standalone", 2),
    Program("nest 2 threads", "nest", "float64", "", 2),
    Program("annarchy 2 threads", "annarchy", "float64", "", 2),
)


def deliveries(counts: Counts) -> float:
    """Every spike reaches the mean number of synapses of a neuron."""
    return counts.spikes * counts.synapses / counts.size


def pairings(counts: Counts) -> float:
    """Every source spike touches a row of the weights, every cell's spike a column."""
    return counts.source_spikes * counts.size + counts.spikes * 1000


def updates(counts: Counts) -> float:
    return counts.size * counts.steps


def seconds(amount: float, *rates: float) -> float:
    return amount / 1e9 / max(rates)


def network_limit(neurons: str, rows: str) -> Callable[[Counts, Limits], float]:
    def limit(counts: Counts, limits: Limits) -> float:
        scatter = seconds(deliveries(counts), limits[f"scatter with weights, {rows}"], limits[f"scatter short, {rows}"])
        return seconds(updates(counts), limits[neurons]) + scatter

    return limit


def brunel_limit(counts: Counts, limits: Limits) -> float:
    """One counter-based Poisson number per neuron and step on top."""
    drawn = seconds(updates(counts), limits["Poisson numbers, Philox"], limits["Poisson numbers, mixed"])
    return network_limit("LIF with spike list, 1e4", "10M")(counts, limits) + drawn


def plastic_limit(counts: Counts, limits: Limits) -> float:
    """Rows and columns of the weights, and the neurons. Sources that draw the gaps between their events cost next to nothing."""
    work = seconds(counts.source_spikes * counts.size, limits["STDP row, 1000x1000"])
    work += seconds(updates(counts), limits["LIF with spike list, 1e4"])
    column = "STDP column, 1000x1000" if counts.size > 1 else "STDP row, 1000x1000"  # a single column lies in one piece
    return work + seconds(counts.spikes * 1000, limits[column])


def neuron_limit(name: str) -> Callable[[Counts, Limits], float]:
    return lambda counts, limits: seconds(updates(counts), limits[name])


def none(size: int) -> int:
    return 0


def two_percent(size: int) -> int:
    return round(0.02 * size * size)


ROWS = (
    Row(
        "cuba", "CUBA 4000 neurons, 320k synapses, 1 s", "cuba", 4000, 1000, "N", 0.020,
        deliveries, network_limit("CUBA neurons, 4000", "320k"), two_percent,
    ),
    Row(
        "cuba20000", "CUBA 20000 neurons, 8M synapses, 1 s", "cuba", 20000, 1000, "N", 0.12,
        deliveries, network_limit("CUBA neurons, 20000", "8M"), two_percent, {}, True,
    ),
    Row(
        "cobahh", "COBAHH 4000 Hodgkin-Huxley neurons, 320k synapses, 1 s", "cobahh", 4000, 1000, "N", 0.40,
        deliveries, network_limit("Hodgkin-Huxley, 4000", "320k"), two_percent, {"nest": (4000, 250), "nest 2 threads": (4000, 250)}, True,
    ),
    Row(
        "brunel", "Brunel 10000 neurons, 10M delayed synapses, 1 s", "brunel", 10000, 1000, "N", 1.3,
        deliveries, brunel_limit, lambda size: round(0.1 * size * size), {"snnlang numpy": (10_000, 100)}, True,
    ),
    Row(
        "stdp1000", "STDP 1000 -> 1000, 1M plastic synapses, 2 s", "stdp", 1000, 2000, "M", 0.15,
        pairings, plastic_limit, lambda size: 1000 * size,
    ),
    Row(
        "stdp1", "STDP 1000 -> 1 (Song-Abbott), 100 s", "stdp", 1, 100_000, "M", 0.9,
        pairings, plastic_limit, lambda size: 1000 * size,
        {name: (1, 10_000) for name in ("brian2 cython", "brian2 numpy", "snnlang numpy")},
    ),
    Row(
        "lif", "1e6 leaky integrate-and-fire neurons, 0.1 s", "lif", 1_000_000, 100, "N", 0.5,
        updates, neuron_limit("LIF with spike list, 1e6"), none, {"nest": (100_000, 100)},
    ),
    Row(
        "izhikevich", "1e5 Izhikevich neurons, 0.1 s", "izhikevich", 100_000, 100, "N", 0.045,
        updates, neuron_limit("Izhikevich, 1e5"), none,
    ),
    Row(
        "hodgkin_huxley", "1e5 Hodgkin-Huxley neurons, 0.1 s", "hodgkin_huxley", 100_000, 100, "N", 0.8,
        updates, neuron_limit("Hodgkin-Huxley, 1e5"), none,
        {"nest": (5000, 100), "brian2 numpy": (20_000, 100), "snnlang numpy": (20_000, 100)},
    ),
)  # fmt: skip
