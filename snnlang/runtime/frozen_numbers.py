"""Numbers of a network that this training does not move and another one may have: frozen weights and parameters, and plain parameters.

They are saved with what is trained, so that the same numbers are found by whoever reads the file, whatever it freezes; and taken over
from a file that has them, with the coefficients and initial states that depend on them. A trained delay that is frozen decides how
connections are laid out, and stays as it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from snnlang.codegen.slopes import Coefficients
from snnlang.frozen import dataclass
from snnlang.model.model import Param, State
from snnlang.runtime.trained_synapses import trained_of_synapses

if TYPE_CHECKING:
    from snnlang.runtime.device_numpy import NumpyDevice
    from snnlang.runtime.learner import Learner


@dataclass(frozen=True, slots=True)
class Untrained:
    """A number or an array of them by its name for users; ``frozen`` are those that would be trained, ``settles`` those of which
    coefficients or initial states are made."""

    name: str
    array: str
    frozen: bool
    settles: bool


def untrained(learner: Learner, weights: Mapping[str, str]) -> tuple[Untrained, ...]:
    """All of them; ``weights`` are the arrays of frozen weights and biases by name."""
    taken = {one.array for one in learner.trained}
    found = {name: Untrained(name, array, True, False) for name, array in weights.items()}
    network, frozen = learner.experiment.network, frozenset(learner.training.freeze)
    for population in network.populations:
        items: list[Param | State] = [*population.model.params, *population.model.states]
        for item in items:
            array = learner.array_of(population.path, item.name)
            if array is not None:
                name = f"{population.path}.{item.name}"
                stays = item.trainable and (population.path, item.name) in frozen
                found.setdefault(name, Untrained(name, array, stays, True))
    if any(projection.path == path for projection in network.projections for path, _ in frozen):
        for one in trained_of_synapses(network, learner.plan, frozenset(pair for pair in frozen if pair[1] == "delay")):
            found.setdefault(one.name, Untrained(one.name, one.array, True, True))
    return tuple(one for one in found.values() if one.array not in taken and one.array in learner.values)


def settle(learner: Learner, own: frozenset[str], device: NumpyDevice, starting: frozenset[str]) -> None:
    """Compute what is made of parameters, the arrays ``own``, after they changed; ``device`` leaves these as they are."""
    reached = Coefficients(learner.plan, own).reached
    for array in own:
        device.write(array, learner.arrays.down(learner.values[array]))
    device.coefficients()
    device.trial_start()
    for array in sorted(reached - own):
        made = np.array(device.read(array))
        if array in learner.values:
            learner.values[array][...] = learner.arrays.up(np.asarray(made, learner.values[array].dtype))
        if array in starting:
            learner.initial[array] = learner.arrays.up(np.asarray(made, learner.initial[array].dtype))
