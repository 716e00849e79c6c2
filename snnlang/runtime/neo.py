"""Recordings as Neo objects, for the analysis tools that take them (needs the extra ``neo``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnlang.diagnostics import error
from snnlang.runtime.recording import Recording

_UNITS = {"mV": "mV", "pA": "pA", "nS": "nS", "ms": "ms", "pF": "pF", "kHz": "kHz", "GOhm": "Gohm"}


def to_neo(recording: Recording) -> Any:
    """A ``neo.Block`` with one segment (a sweep: one per point): a SpikeTrain per neuron that was watched, an AnalogSignal per variable.

    Variables recorded at equal intervals become AnalogSignals in their unit; units that the package ``quantities`` does not know become
    dimensionless, with the text in the annotation ``unit``. Raises E806 when Neo is missing, E820 without a time scale.
    """
    try:
        import neo
        import quantities
    except ImportError:
        raise error(
            "E806", "a Neo block needs the package neo, which is not installed", help="install it: pip install neo"
        ) from None
    if recording.made.time_unit != "ms":
        raise error(
            "E820",
            "this recording has steps instead of a time, which Neo cannot hold",
            help="give the models a step: 'step = 1 ms'",
        )
    made = recording.made
    block = neo.Block(
        name=made.experiment, network=made.network, dt_ms=made.dt, seed=made.seed, model_hash=made.model_hash
    )
    for number, part in enumerate(recording.sweep or (recording,)):
        segment = neo.Segment(
            name=made.experiment, index=number, **{f"sweep_{name}": str(value) for name, value in part.point.items()}
        )
        for events in part.events_by_label.values():
            watched = range(events.size) if events.selected is None else events.selected
            order = np.argsort(events.indices, kind="stable")
            indices, times = np.asarray(events.indices)[order], np.asarray(events.times)[order]
            edges = np.searchsorted(indices, [*watched, events.size])
            for place, neuron in enumerate(watched):
                own = times[edges[place] : np.searchsorted(indices, neuron, side="right")]
                segment.spiketrains.append(
                    neo.SpikeTrain(
                        own * quantities.ms,
                        t_start=0 * quantities.ms,
                        t_stop=(part.made.duration + part.made.dt) * quantities.ms,
                        name=f"{events.label}[{int(neuron)}]",
                        population=events.owner,
                        neuron=int(neuron),
                        event=events.event,
                    )
                )
        for values in part.values_by_label.values():
            if len(values.times) < 2:
                continue
            unit = _UNITS.get(values.unit, "dimensionless")
            period = float(values.times[1] - values.times[0])
            segment.analogsignals.append(
                neo.AnalogSignal(
                    np.asarray(values.values),
                    units=unit,
                    t_start=float(values.times[0]) * quantities.ms,
                    sampling_period=period * quantities.ms,
                    name=values.label,
                    owner=values.owner,
                    variable=values.variable,
                    unit=values.unit,
                )
            )
        block.segments.append(segment)
    return block
