"""How much memory an experiment will need, before anything is allocated: states, synapses, delays and what is recorded.

An estimate from expected numbers of synapses, on the side of too much; what would not fit into this machine is refused with the number.
"""

from __future__ import annotations

from snnlang.diagnostics import error
from snnlang.model.evaluate import evaluate
from snnlang.model.expression import Random, walk
from snnlang.model.machine import machine_memory
from snnlang.model.model import Assign
from snnlang.model.network import ArrayValue, Experiment, Population, Projection, RecordItem, Value
from snnlang.model.patterns import synapse_count

#: Bytes of a real number by precision, and of the index of a synapse by target; what the target cuda holds lies on its device.
REALS = {"double": 8, "single": 4}
INDEX = 8
INDICES = {"c": 4}
#: Up to so many synapses the target cuda makes in the memory of the machine, then copies them.
HOST_MADE = 1 << 20
#: Patterns whose synapses need no list.
_UNLISTED = ("dense", "one_to_one", "flatten")


def estimate_memory(experiment: Experiment, precision: str | None = None, target: str = "auto") -> float:
    """Expected bytes of a run in this precision (``double``, ``single``; None: as the experiment says, else double) on one core.

    On target ``cuda`` these are the records and what the user gives: the device has memory of its own (E741).
    """
    real = REALS[precision or ("single" if experiment.settings.get("precision") == "float32" else "double")]
    network = experiment.network
    total = sum(_record(item, experiment, real) for item in experiment.records) + sum(item.size * real for item in network.inputs)
    if target == "cuda":
        return total + sum(
            _given(projection, real) + INDEX * _made_here(projection) for projection in network.projections
        )
    total += sum(_population(population, real) for population in network.populations)
    index = INDICES.get(target, INDEX)
    return total + sum(_projection(projection, experiment, real, index) for projection in network.projections)


def require_memory(
    experiment: Experiment, available: float | None = None, *, precision: str | None = None, target: str = "auto"
) -> None:
    """Raise E537 when the estimate exceeds this machine's memory (or ``available`` bytes)."""
    limit = machine_memory() if available is None else available
    needed = estimate_memory(experiment, precision, target)
    if limit is None or needed <= limit:
        return
    single = (precision or experiment.settings.get("precision")) in ("single", "float32")
    real = REALS["single" if single else "double"]
    index = INDICES.get(target, INDEX)
    largest = max(experiment.network.projections, key=lambda p: _projection(p, experiment, real, index), default=None)
    what = ""
    if largest is not None and target != "cuda" and _projection(largest, experiment, real, index) > needed / 2:
        what = f"; most of it for {_expected(largest):.3g} synapses of {largest.path}"
    elif experiment.records and max(_record(item, experiment, real) for item in experiment.records) > needed / 2:
        item = max(experiment.records, key=lambda r: _record(r, experiment, real))
        what = f"; most of it for the record of {item.label}"
    less = "make the network smaller or sparser, record less (`every 1 ms`, fewer neurons)"
    raise error(
        "E537",
        f"{experiment.name} needs about {show_bytes(needed)}, and this machine has {show_bytes(limit)}{what}",
        experiment.span,
        f"about {show_bytes(needed)}",
        help=less if single else f"{less}, or use `precision = float32`",
    )


def show_bytes(count: float) -> str:
    """A readable size: ``3.2 GB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} PB"


def _population(population: Population, real: int) -> float:
    model = population.model
    per_neuron = sum(not _scalar(population.arguments.get(param.name)) for param in model.params if param.name in population.arguments)
    # states, inputs, and as much again for what one step computes on whole arrays
    return (
        float(population.size)
        * real
        * (per_neuron + 2 * (len(model.states) + len(model.inputs) + len(model.definitions)) + len(model.events))
    )


def _scalar(value: Value | None) -> bool:
    return value is None or (not isinstance(value, ArrayValue) and evaluate(value) is not None)


def _expected(projection: Projection) -> float:
    same = projection.pre.path == projection.post.path and projection.pre.indices is None and projection.post.indices is None
    return synapse_count(projection.pattern.kind, projection.pre.shape, projection.post.shape, projection.pattern.options, same)


def _projection(projection: Projection, experiment: Experiment, real: int, each: int = INDEX) -> float:
    count = _expected(projection)
    kind = projection.pattern.kind
    values = [projection.weight, projection.delay, *projection.arguments.values()]
    drawn = sum(
        1 for value in values if value is not None and not isinstance(value, ArrayValue) and any(isinstance(n, Random) for n in walk(value))
    )
    synapse = projection.synapse
    learned = synapse is not None and any(state.kind != "handler" or _changes(projection, state.name) for state in synapse.states)
    own = (len(synapse.states) + len(synapse.traces) if synapse is not None and learned else drawn) * count * real
    own += _given(projection, real)
    if kind in _UNLISTED:
        index = 0.0
    else:
        index = count * each  # targets of each source; `where` is asked pair by pair in rows
    delay = 0.0
    longest = None if projection.delay is None or isinstance(projection.delay, ArrayValue) else evaluate(projection.delay)
    if longest:
        delay = projection.post.size * real * (longest / experiment.dt + 1)
    return index + own + delay


def _given(projection: Projection, real: int) -> float:
    """Bytes of the numbers that the user gives to synapses one by one."""
    values = [projection.weight, projection.delay, *projection.arguments.values()]
    return sum(float(value.array.size) * real for value in values if isinstance(value, ArrayValue))


def _made_here(projection: Projection) -> float:
    """Synapses that the target cuda makes on the host: few, or listed ones."""
    count = 0.0 if projection.pattern.kind in _UNLISTED else _expected(projection)
    return count if count < HOST_MADE or projection.pattern.kind == "edges" else 0.0


def _changes(projection: Projection, name: str) -> bool:
    assert projection.synapse is not None
    return any(isinstance(s, Assign) and s.name == name for handler in projection.synapse.handlers for s in handler.body)


def _record(item: RecordItem, experiment: Experiment, real: int) -> float:
    if item.kind == "events" or experiment.duration <= 0:
        return 0.0
    if item.indices is not None:
        size = float(item.indices.size)
    elif item.kind == "state":
        size = float(experiment.network.population(item.path).size)
    elif item.kind == "input":
        size = float(next(i.size for i in experiment.network.inputs if i.path == item.path))
    else:
        size = _expected(next(p for p in experiment.network.projections if p.path == item.path))
    return size * real * experiment.duration / (item.every or experiment.dt)
