"""Data for trials: what a ``present`` names, read and fitted to the network's inputs.

The loaders live in :mod:`snnlang.data`; here their columns and those from Python meet the inputs. Refused are columns of different length
or of another shape than the input, and values that are not finite. A column may have an axis of time in front: its slices are shown in
equal parts of the trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.data.columns import AnyColumn, Column, Columns, Shaped
from snnlang.data.given import is_pairs, pairs
from snnlang.data.load import load
from snnlang.diagnostics import Span, error
from snnlang.model.loaders import LOADERS
from snnlang.model.network import Experiment, NetworkInput, Phase
from snnlang.model.suggest import help_for, listing


@dataclass(frozen=True)
class PhaseData:
    """Samples of one ``present``: ``inputs`` [trials, *shape of the input] by path, ``labels`` [trials, …] by the name after ``as``."""

    inputs: dict[str, NDArray[np.float64] | Column]
    labels: dict[str, AnyColumn]
    trials: int


def load_phase(phase: Phase, experiment: Experiment, given: Mapping[str, Any] | None = None) -> PhaseData:
    """Read the data of a phase and bind its columns to the network's inputs; raises SnnError (E620, E625 to E630)."""
    columns = _named(phase, given or {})
    inputs = {item.path: item for item in experiment.network.inputs}
    counts = {name: len(column) for name, column in columns.items()}
    if len(set(counts.values())) != 1 or not counts:
        raise error(
            "E627",
            "the columns of the data differ in length: " + ", ".join(f"{n} has {c}" for n, c in counts.items()),
            phase.span,
            help="give every column one row for each trial",
        )
    trials = next(iter(counts.values()))
    if trials == 0:
        raise error("E627", "the data has no trials", phase.span, "empty", help="give at least one row")
    bound: dict[str, NDArray[np.float64] | Column] = {}
    labels: dict[str, AnyColumn] = {}
    for name, column in columns.items():
        if name in inputs:
            bound[name] = _fit(name, column, inputs[name], phase.span)
        else:
            labels[name] = column
    return PhaseData(bound, labels, trials)


def _named(phase: Phase, given: Mapping[str, Any]) -> Columns:
    """The columns under the names after ``as``."""
    if phase.loader == "given":
        return _given(phase, given)
    found = load(phase.loader, phase.options, phase.span)
    if phase.loader == "npz":
        missing = next((name for name in phase.columns if name not in found), None)
        if missing is not None:
            raise error(
                "E630",
                f"there is no array '{missing}' in {phase.options['file']}",
                phase.span,
                help=help_for(missing, found) or (f"it has {listing(found)}",),
            )
        return {name: found[name] for name in phase.columns}
    values = list(found.values())
    if len(phase.columns) > len(values):
        raise error(
            "E630",
            f"{phase.loader} gives {len(values)} columns here, and {len(phase.columns)} are named",
            phase.span,
            help=f"name {listing(found)}",
        )
    return dict(zip(phase.columns, values, strict=False))


def _given(phase: Phase, given: Mapping[str, Any]) -> Columns:
    name = phase.options["name"]
    if name not in given:
        near = help_for(name, LOADERS)
        raise error(
            "E629",
            f"the data `{name}` was not given",
            phase.span,
            "comes from Python",
            help=(
                f'pass it: `model.run(data={{"{name}": (images, labels)}})`',
                *(line.replace("`?", "()`?") for line in near),
            ),
        )
    value = given[name]
    if is_pairs(value):
        value = pairs(value, phase.columns, phase.span)
    if isinstance(value, Mapping):
        missing = next((column for column in phase.columns if column not in value), None)
        if missing is not None:
            raise error(
                "E629",
                f"the data `{name}` has no column `{missing}`",
                phase.span,
                help=help_for(missing, value) or (f"it has {listing(value)}",),
            )
        return {column: _array(value[column]) for column in phase.columns}
    arrays = (
        list(value)
        if isinstance(value, tuple | list) and len(phase.columns) > 1
        else [value[0] if isinstance(value, tuple) else value]
    )
    if len(arrays) < len(phase.columns):
        raise error(
            "E629",
            f"the data `{name}` has {len(arrays)} columns, and {len(phase.columns)} are named",
            phase.span,
            help="pass a tuple with one array for each column, or a dictionary",
        )
    return {column: _array(array) for column, array in zip(phase.columns, arrays, strict=False)}


def _array(value: Any) -> AnyColumn:
    return value if isinstance(value, Column) else np.asarray(value)


def _fit(name: str, column: AnyColumn, target: NetworkInput, span: Span | None) -> NDArray[np.float64] | Column:
    """A column in the shape of its input, perhaps with time in front; E627 for a wrong size, E628 for values that are no finite numbers."""
    shape = column.shape[1:]
    if isinstance(column, np.ndarray) and column.dtype.kind not in "biuf":
        raise error("E628", f"the column `{name}` holds {column.dtype}, not numbers", span, help="give numbers")
    size = int(np.prod(shape, dtype=np.int64))
    wanted = target.shape
    if len(column.shape) == 0 or size != target.size:
        if not _timed(shape, target, isinstance(column, Column)):
            raise error(
                "E627",
                f"`{name}` needs {list(target.shape)} values a trial, and the data has {list(shape)}",
                span,
                f"gives {size} values, not {target.size}",
                help=f"write `input {name}{list(shape)}`" if size > 1 else "choose other data",
            )
        wanted = (shape[0], *target.shape)
    if isinstance(column, Column):
        return column if shape == wanted else Shaped(column, wanted)
    values = np.asarray(column, dtype=np.float64)
    if not np.isfinite(values).all():
        place = np.argwhere(~np.isfinite(values))[0]
        raise error(
            "E628",
            f"`{name}` holds a value that is not finite, in trial {int(place[0])} at {[int(i) for i in place[1:]]}",
            span,
            help="remove or replace NaN and infinity",
        )
    return values.reshape((len(values), *wanted))


def _timed(shape: tuple[int, ...], target: NetworkInput, lazy: bool) -> bool:
    """Whether a sample is one input after the other; an array must repeat the input's shape exactly, so that no mistake looks so."""
    if len(shape) < 2:
        return False
    return shape[1:] == target.shape or (lazy and int(np.prod(shape[1:], dtype=np.int64)) == target.size)
