"""Runs a prepared experiment from its first step to its recording, every point of its sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnlang.runtime.advance import Origin
from snnlang.runtime.output import Output
from snnlang.runtime.recording import Recording
from snnlang.runtime.simulation import Simulation

if TYPE_CHECKING:
    from snnlang.compile import Prepared


def run(
    prepared: Prepared,
    *,
    progress: bool | None = None,
    out: str | Path | None = None,
    data: Mapping[str, Any] | None = None,
    model_hash: str = "",
    preparing: float = 0.0,
) -> Recording:
    """Run a prepared experiment, every point of its sweep with the same seed; a sweep gives a recording whose ``sweep`` has one per point.

    ``out`` is a ``.npz`` file or a directory (see :mod:`snnlang.runtime.output`). After Ctrl-C the recording says where it ``stopped_at``.
    """
    model_hash = model_hash or prepared.model_hash
    swept = bool(prepared.points[0].values)
    results: list[Recording] = []
    if swept and out is not None:
        Output(Path(out)).discard()  # refuse a place that cannot take it before the work
    for point in prepared.points:
        values = {name: _number(text) for name, text in point.values.items()}
        origin = Origin(model_hash, preparing / len(prepared.points), values or None)
        simulation = Simulation(
            point.experiment,
            point.plan,
            target=prepared.target,
            threads=prepared.threads,
            math=prepared.math,
            data=data,
            out=None if swept else out,
            progress=progress,
            origin=origin,
            watch_all=False,
            identity=point.identity,
        )
        warnings = tuple(dict.fromkeys((*prepared.warnings, *simulation.warnings)))
        results.append(replace(simulation.complete(), warnings=warnings))
        if results[-1].stopped_at is not None:
            break
    if not swept:
        return results[0]
    made = replace(
        results[0].made, seconds=sum(r.made.seconds for r in results), preparing=sum(r.made.preparing for r in results)
    )
    whole = Recording(made, plots=results[0].plots, sweep=tuple(results), warnings=results[0].warnings)
    if out is not None:
        whole.save(out)
        whole = replace(whole, place=Path(out))
    return whole


def _number(text: str) -> Any:
    """A swept value as a number where it is one, else as it was written."""
    for kind in (int, float):
        try:
            return kind(text.replace("_", ""))
        except ValueError:
            continue
    return text
