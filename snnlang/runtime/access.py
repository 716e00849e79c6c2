"""Values of a running network by name: states, parameters, inputs, weights, and the synapses of a projection.

It refuses names that the network does not have, and values of a wrong number or unit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.plan import Connectivity, Plan
from snnlang.diagnostics import error
from snnlang.model.network import Experiment
from snnlang.model.suggest import help_for, listing
from snnlang.runtime.device import Device
from snnlang.runtime.naming import Names
from snnlang.runtime.quantity import quantity


class Access:
    """Reads and writes what a device holds, under the names of the model."""

    __slots__ = ("__weakref__", "_device", "_names", "_stale", "experiment", "plan")

    experiment: Experiment
    plan: Plan
    _device: Device
    _names: Names
    _stale: bool  # whether coefficients must be computed again

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The present value of ``E.v``, ``feed.w``, ``E.tau_m``: see :meth:`state`."""
        return self.state(name)

    def __setitem__(self, name: str, value: Any) -> None:
        self.set_state(name, value)

    def __getattr__(self, name: str) -> Any:
        """The present value of an input that may be set as an attribute."""
        if name.startswith("_"):
            raise AttributeError(name)
        found = self._names.inputs.get(name)
        if found is None:
            raise AttributeError(f"a simulation has no attribute and no input '{name}'")
        return self._device.read(found[0].name)

    def __setattr__(self, name: str, value: Any) -> None:
        if any(name in getattr(kind, "__slots__", ()) for kind in type(self).__mro__):
            object.__setattr__(self, name, value)
        else:
            self.set(name, value)

    def set(self, name: str, value: Any) -> None:
        """Set an input: a network input by its name, a broadcast input by ``reward`` (all of them) or ``projection.reward``."""
        for array in self._names.settable(name):
            given = np.asarray(quantity(value, array.unit, name))
            size = max(1, int(np.prod(array.shape, dtype=np.int64)))
            self._device.write(array.name, self._fitting(given, array.shape, size, name))
        self._stale = True

    def state(self, name: str) -> NDArray[Any]:
        """A copy of a variable, parameter, trace or weight, in the shape of its population: ``sim.state("E.v")``."""
        array = self._names.array(name)
        values = self._device.read(array.name)
        shape = self._shape(array.owner)
        if shape is not None and array.connectivity is None and values.size == math.prod(shape):
            return values.reshape(shape)
        return values

    def set_state(self, name: str, value: Any, indices: Any = None) -> None:
        """Set a variable, parameter or weight; of some neurons if ``indices`` (flat) are given. Texts carry units: ``"-60 mV"``."""
        array = self._names.array(name)
        if array.name in {a.name for arrays in self._names.inputs.values() for a in arrays} and indices is None:
            self.set(name if name in self._names.inputs else array.owner, value)
            return
        old = self._device.read(array.name)
        given = np.asarray(quantity(value, array.unit, name))
        if indices is None:
            new = self._fitting(given, old.shape, old.size, name)
        else:
            new = old.reshape(-1).copy()
            try:
                new[np.asarray(indices)] = given
            except (IndexError, ValueError) as problem:
                raise error("E827", f"{name}: {problem}", help=f"it has {old.size} values, numbered from 0") from None
            new = new.reshape(old.shape)
        self._device.write(array.name, new)
        if array.role in ("param", "input", "data", "coefficient"):
            self._stale = True

    def _fitting(self, given: NDArray[Any], shape: tuple[int, ...], size: int, name: str) -> NDArray[Any]:
        if given.dtype.kind not in "biuf":
            raise error(
                "E827", f"{name}: these are no numbers (NumPy type {given.dtype})", help="give an array of numbers"
            )
        if given.size == size:
            return given.reshape(shape)
        if given.size == 1:
            return np.broadcast_to(given.reshape(()), shape)
        raise error(
            "E827",
            f"{name} takes {size} value{'s' if size != 1 else ''}, and {given.size} of shape {given.shape} were given",
            help=f"give one number, or {size} of them",
        )

    def _shape(self, owner: str) -> tuple[int, ...] | None:
        network = self.experiment.network
        shapes = {**{p.path: p.shape for p in network.populations}, **{i.path: i.shape for i in network.inputs}}
        return shapes.get(owner)

    # --- synapses -----------------------------------------------------------------------------------------------------

    def weights(self, projection: str, variable: str = "w") -> NDArray[Any]:
        """Weights (or another synaptic variable) of a projection: dense (pre, post), else one per synapse: see :meth:`synapses`."""
        connectivity = self._connectivity(projection)
        array = self._names.array(f"{projection}.{variable}")
        values = self._device.read(array.name)
        if values.ndim == 0 and not array.shared:  # one weight for all synapses is stored once
            values = np.full(len(self._device.synapses(connectivity.name)[0]), values)
        if connectivity.kind == "dense" and values.size == len(connectivity.pre_part) * len(connectivity.post_part):
            return values.reshape(len(connectivity.pre_part), len(connectivity.post_part))
        return values

    def set_weights(self, projection: str, values: Any, variable: str = "w") -> None:
        """Set the weights of a projection: one number, or as :meth:`weights` gives them."""
        self.set_state(f"{projection}.{variable}", values)

    def synapses(self, projection: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pre and post neuron of every synapse, in the order of :meth:`weights`."""
        pre, post = self._device.synapses(self._connectivity(projection).name)
        return np.asarray(pre, dtype=np.int64), np.asarray(post, dtype=np.int64)

    def _connectivity(self, projection: str) -> Connectivity:
        found = {c.owner: c for c in reversed(self.plan.connectivities.values())}
        if projection in found:
            return found[projection]
        by_array = next(
            (a.connectivity for a in self.plan.arrays.values() if a.owner == projection and a.connectivity), None
        )
        if by_array is not None:
            return self.plan.connectivities[by_array]
        raise error(
            "E820",
            f"there is no projection `{projection}`",
            help=help_for(projection, found) or (f"there is {listing(found) or 'none'}",),
        )
