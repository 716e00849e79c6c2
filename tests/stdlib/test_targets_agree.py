"""Every neuron, synapse and rule of the library in a small network: NumPy and C have the interpreter's spikes and numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import snnlang
from snnlang.diagnostics import SnnError
from snnlang.model.elaborate import elaborate
from snnlang.model.units import describe
from snnlang.runtime import cuda_shim
from snnlang.runtime.load import Model, overrides
from snnlang.syntax import tree
from snnlang.syntax.parse import parse, read_source

ROOT = Path(snnlang.__file__).parent / "stdlib"

#: Drives by unit, strong enough that neurons fire; they differ between neurons and change in time.
DRIVES = {
    "pA": "300 pA + 150 pA*index + 50 pA*sin(t/3 ms)",
    "mV": "12 mV + 6 mV*index",
    "pA/um^2": "0.1 pA/um^2*(1 + index)",
    "mV/ms": "10 mV/ms + 2 mV/ms*index",
    "kHz": "0.1 kHz*(1 + index)",
    "1": "0.5 + 0.3*index",
}
#: What stands after `connect` for a synapse: where it goes and what a weight without a unit is multiplied by.
ENDS = ("LIF.v", "LIF.I", "LIF.v gain", "Unit.x")
ARGUMENTS = {"RSTDP": "(DA = level.level)"}


def models(kind: str, *folders: str) -> list[str]:
    """Names of the models of one kind in the files of some folders."""
    found: list[str] = []
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.snn")):
            found += [i.name for i in parse(read_source(path)).items if isinstance(i, tree.Model) and i.kind == kind]
    return found


def runs(text: str) -> Model | None:
    """The model if it checks and can be elaborated."""
    try:
        model = snnlang.load(text)
        elaborate(model.program, None, overrides(None, None, None, None, None, "auto", None))
    except SnnError:
        return None
    return model


def neuron_texts(name: str, folder: str) -> Iterator[str]:
    """A network of three such neurons: first without drives, then with a drive of each input."""
    for duration in ("20 ms", "30"):
        text = f"from stdlib.{folder} import {name}\nnetwork Net:\n    population n[3]: {name}\nsimulate Net:\n"
        text += f"    duration = {duration}\n"
        model = runs(text)
        if model is None:
            continue
        chosen = overrides(None, None, None, None, None, "auto", None)
        population = elaborate(model.program, None, chosen).network.populations[0]
        timed = duration.endswith("ms")
        for item in population.model.inputs:
            drive = DRIVES[describe(item.unit)]
            if not timed:
                drive = drive.replace("sin(t/3 ms)", "sin(t)")
            text += f"    drive n.{item.name} = {drive}\n"
        yield text


def synapse_texts(name: str, folder: str) -> Iterator[str]:
    """Regular spikes onto three neurons that fire, by the first end that the synapse fits."""
    level = "    population level[1]: Modulator\n    connect source[0:1] -> level.level: dense, w = 0.5\n"
    for end in ENDS:
        target, _, gain = end.partition(" ")
        given = ARGUMENTS.get(name, "") + (", gain = 0.4 mV" if gain else "")
        population, _, port = target.partition(".")
        for delay in ("", ", delay = 1 ms", ", delay = uniform(0 ms, 2 ms)"):
            yield f"""
from stdlib.neurons import LIF, Regular, Modulator
from stdlib.{folder} import {name}
neuron Unit:
    input x = 0
    state u = 0
    5 ms*du/dt = x + 0.6 - u
    spike when u > 0.5
    on spike: u = 0
network Net:
    population source[4]: Regular(start = 1 ms*(1 + index), period = 3 ms + 0.7 ms*index)
    population cell[3]: {population}
{level if name in ARGUMENTS else ""}    connect feed = source -> cell.{port}: dense via {name}{given}{delay}
simulate Net:
    dt = 0.1 ms
    duration = 25 ms
{"" if population == "Unit" else "    drive cell.I = 450 pA + 100 pA*index"}
    record cell.spikes
"""


NEURONS = [(name, folder) for folder in ("neurons", "encoders") for name in models("neuron", folder)]
SYNAPSES = [(name, folder) for folder in ("synapses", "plasticity") for name in models("synapse", folder)]


def agrees(model: Model, text: str) -> int:
    """Compare; the number of spikes."""
    report = model.verify(duration=None)
    assert report.agrees, f"{report}\n{text}"
    assert {"numpy"} <= {comparison.label for comparison in report.comparisons}
    return sum(events.reference for comparison in report.comparisons for events in comparison.events)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second of the interpreter, and a compiler that does not think long."""
    monkeypatch.setattr("snnlang.runtime.excerpt.SECONDS", 0.4)
    monkeypatch.setenv("SNN_CFLAGS", "-O1")
    if cuda_shim.compiler() is not None:  # CUDA on this processor, its threads in an odd order
        monkeypatch.setenv("SNN_CUDA", "shim")
        monkeypatch.setenv("SNN_SHIM_ORDER", "3")
        monkeypatch.setenv("SNN_SHIM_FLAGS", "-O0")  # each text runs for a moment


@pytest.mark.parametrize(("name", "folder"), NEURONS, ids=[name for name, _ in NEURONS])
def test_neuron(name: str, folder: str) -> None:
    texts = list(neuron_texts(name, folder))
    assert texts, name
    model = runs(texts[0])
    assert model is not None, texts[0]
    agrees(model, texts[0])


@pytest.mark.parametrize(("name", "folder"), SYNAPSES, ids=[name for name, _ in SYNAPSES])
def test_synapse(name: str, folder: str) -> None:
    """Without a delay, with one, and with one for each synapse."""
    found = [(text, model) for text in synapse_texts(name, folder) if (model := runs(text)) is not None]
    assert len(found) >= 3, name
    for text, model in found[:3]:
        assert agrees(model, text) > 0
