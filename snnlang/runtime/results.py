"""From the rows that recorders left to a Recording: shapes, units and the ends of synapses are put beside the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.plan import EventRecorder, Plan, ValueRecorder
from snnlang.model.network import Experiment
from snnlang.runtime.device import Device
from snnlang.runtime.recording import Events, Made, Recording, Trials, Values


def assemble(
    experiment: Experiment,
    plan: Plan,
    device: Device,
    hidden: frozenset[str],
    made: Made,
    arrays: dict[str, NDArray[Any]],
    trials: Trials | None,
    point: dict[str, Any],
) -> Recording:
    """The recording of a run; ``arrays`` by name as the sink gives them, ``hidden`` labels are left out."""
    events: dict[str, Events] = {}
    values: dict[str, Values] = {}
    for recorder in plan.recorders:
        label = recorder.label
        if label in hidden:
            continue
        if isinstance(recorder, EventRecorder):
            source = plan.lists[recorder.list]
            owner = recorder.owner or source.owner
            shape = made.populations.get(owner, (source.size,))
            events[label] = Events(
                label,
                owner,
                source.event,
                shape,
                arrays[f"{label}.times"],
                arrays[f"{label}.indices"],
                recorder.indices,
            )
        else:
            values[label] = _values(recorder, plan, device, experiment, made, arrays)
    return Recording(made, events, values, trials, experiment.plots, point, (), experiment.warnings)


def _values(
    recorder: ValueRecorder,
    plan: Plan,
    device: Device,
    experiment: Experiment,
    made: Made,
    arrays: dict[str, NDArray[Any]],
) -> Values:
    label = recorder.label
    array = plan.arrays[recorder.array]
    rows, times = arrays[label], arrays[f"{label}.times"]
    owner = recorder.owner or array.owner
    variable = array.variable or label.rpartition(".")[2]
    unit = recorder.unit if recorder.unit else array.unit
    unit = "" if unit == "1" else unit
    if array.connectivity is None or array.shared:
        kind = (
            "input"
            if any(i.path == owner for i in experiment.network.inputs)
            else ("synapse" if array.shared else "state")
        )
        shape = recorder.shape or made.populations.get(owner) or array.shape or (rows.shape[1],)
        return Values(label, owner, variable, unit, kind, tuple(shape), times, rows, recorder.indices)
    connectivity = plan.connectivities[array.connectivity]
    if connectivity.kind == "dense":
        shape = (len(connectivity.pre_part), len(connectivity.post_part))
        return Values(label, owner, variable, unit, "synapse", shape, times, rows, recorder.indices)
    pre, post = (np.asarray(side, dtype=np.int64) for side in device.synapses(array.connectivity))
    if recorder.indices is not None:
        pre, post = pre[recorder.indices], post[recorder.indices]
    shape = (connectivity.pre_size, connectivity.post_size)
    return Values(label, owner, variable, unit, "synapse", shape, times, rows, recorder.indices, pre, post)
