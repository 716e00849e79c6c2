"""Trained numbers take the places of written ones: weights, biases and parameters of an experiment, by their names.

Names are those of a training: ``hidden.beta`` of a population, ``image->hidden.x.w`` and ``image->hidden.x.bias`` of connections. Numbers
are in internal units, one for each synapse in the order in which synapses are made. Refused with E841: names that the network does not
have, other shapes, numbers that are not finite, weights that a training would have made and that are missing, and weights of connections
that were drawn with another seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import Diagnostic, SnnError
from snnlang.frozen import dataclass
from snnlang.model.batch_norm import channels, folded
from snnlang.model.expression import Constant
from snnlang.model.model import Param, State
from snnlang.model.network import ArrayValue, Experiment, Population, Projection, Value
from snnlang.model.patterns import weight_shape
from snnlang.model.units import ONE, TIME

#: Patterns whose synapses depend on the seed.
DRAWN = ("random", "fixed_indegree", "fixed_outdegree", "fixed_total", "where")
#: Patterns whose weight is 1 unless it is given, in a training too.
PLAIN = ("one_to_one", "avg_pool", "max_pool", "flatten")


@dataclass(frozen=True, slots=True)
class Weights:
    """``arrays`` by name; ``origin`` names them in messages; ``seed`` is that of the training (None: unknown)."""

    arrays: Mapping[str, NDArray[Any]]
    origin: str
    seed: int | None = None


def with_weights(experiment: Experiment, weights: Weights) -> Experiment:
    """The experiment with these numbers in place of its own; raises E841."""
    found = {name: np.asarray(value, np.float64) for name, value in weights.arrays.items()}
    problems = [
        f"`{name}` holds numbers that are not finite" for name, value in found.items() if not np.all(np.isfinite(value))
    ]
    network, taken = experiment.network, set[str]()
    populations = tuple(_population(p, found, taken, problems) for p in network.populations)
    projections = tuple(_projection(p, found, taken, problems) for p in network.projections)
    projections = tuple(p if p.batch_norm is None else folded(p, found, taken, problems) for p in projections)
    problems += [f"`{name}` is not in the network" for name in found if name not in taken]
    for one in network.projections:
        missing = one.weight is None and one.synapse is None and one.tied is None and one.pattern.kind not in PLAIN
        if missing and f"{one.path}.w" not in found:
            problems.append(f"`{one.path}.w` is missing, and nothing else gives it a value")
    problems += drawn_otherwise(experiment, weights)
    if problems:
        raise unfit(weights.origin, problems)
    return replace(experiment, network=replace(network, populations=populations, projections=projections))


def drawn_otherwise(experiment: Experiment, weights: Weights) -> list[str]:
    """Connections whose synapses were others when their weights were trained, because they were drawn with another seed."""
    if weights.seed in (None, experiment.seed):
        return []
    return [
        f"the synapses of `{one.path}` were drawn with seed {weights.seed}, and here with {experiment.seed}"
        for one in experiment.network.projections
        if one.pattern.kind in DRAWN and f"{one.path}.w" in weights.arrays
    ]


def unfit(origin: str, problems: list[str]) -> SnnError:
    """E841: the weights are those of another network."""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    seed = "drawn with seed" in problems[0]
    help = "give the seed of the training: `--seed`, or `seed = …`" if seed else "use the weights of this very network"
    return SnnError(Diagnostic("E841", f"{origin} does not fit this network: {problems[0]}{more}", help=(help,)))


def shown(shape: tuple[int, ...]) -> str:
    """A shape as messages have it."""
    return " x ".join(map(str, shape)) or "one number"


def _population(
    population: Population, found: Mapping[str, NDArray[Any]], taken: set[str], problems: list[str]
) -> Population:
    arguments: dict[str, Value] = dict(population.arguments)
    items: list[Param | State] = [*population.model.params, *population.model.states]
    for item in items:
        name = f"{population.path}.{item.name}"
        if name not in found:
            continue
        taken.add(name)
        value = found[name]
        if value.size not in (1, population.size):
            problems.append(f"`{name}` is {shown(value.shape)}, and the network's is {shown((population.size,))}")
        elif value.size == 1 and value.ndim == 0:
            arguments[item.name] = Constant(float(value))
        else:
            arguments[item.name] = ArrayValue(np.broadcast_to(value.reshape(-1), (population.size,)), item.unit)
    return replace(population, arguments=arguments)


def _projection(
    projection: Projection, found: Mapping[str, NDArray[Any]], taken: set[str], problems: list[str]
) -> Projection:
    names = ["w"] if projection.synapse is None else [weight.name for weight in projection.synapse.weights]
    made = projection
    for number, variable in enumerate(names):
        name = f"{projection.path}.{variable}"
        if name not in found or (projection.tied is not None and number == 0):
            continue
        taken.add(name)
        wanted = weight_shape(
            projection.pattern.kind, projection.pre.shape, projection.post.shape, projection.pattern.options
        )
        value = found[name]
        if (
            wanted is not None
            and value.shape != wanted
            and projection.pattern.kind in ("dense", "one_to_one", "conv2d")
        ):
            if value.size != int(np.prod(wanted)) or value.ndim > 1:
                problems.append(f"`{name}` is {shown(value.shape)}, and the network's is {shown(wanted)}")
                continue
        given = ArrayValue(value.reshape(-1), ONE, ordered=True)
        if projection.synapse is None:
            made = replace(made, weight=given)
        else:
            made = replace(made, arguments={**made.arguments, variable: given})
    name = f"{projection.path}.delay"
    if projection.delay_range is not None and name in found:
        taken.add(name)
        if found[name].size != 1:
            problems.append(f"`{name}` is {shown(found[name].shape)}, and the network's is {shown(())}")
        else:
            made = replace(made, delay=Constant(float(found[name].reshape(-1)[0]), TIME))
    for param in () if projection.synapse is None else projection.synapse.params:
        name = f"{projection.path}.{param.name}"
        if name in found and param.trainable:
            taken.add(name)
            if found[name].size != 1:
                problems.append(f"`{name}` is {shown(found[name].shape)}, and the network's is {shown(())}")
                continue
            made = replace(made, arguments={**made.arguments, param.name: Constant(float(found[name].reshape(-1)[0]))})
    name = f"{projection.path}.bias"
    if projection.bias and name in found:
        taken.add(name)
        wanted_size = bias_size(projection, projection.post.size if projection.post.indices is None else found[name].size)
        if found[name].size != wanted_size:
            problems.append(f"`{name}` {_another_bias(projection, found[name], wanted_size)}")
        else:
            made = replace(made, biases=ArrayValue(found[name].reshape(-1), ONE, ordered=True))
    return made


def bias_size(projection: Projection, population: int) -> int:
    """The numbers of a bias: one for each channel of a convolution, else one for each neuron of the whole population, of which the
    connection may reach a part."""
    return channels(projection) if projection.pattern.kind == "conv2d" else population


def _another_bias(projection: Projection, given: NDArray[Any], wanted: int) -> str:
    if projection.pattern.kind == "conv2d" and given.size == projection.post.size:
        return f"has one number for each of {given.size} neurons, and a convolution has one for each of its {wanted} channels"
    return f"is {shown(given.shape)}, and the network's is {shown((wanted,))}"
