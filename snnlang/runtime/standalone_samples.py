"""What an experiment presents, read for a folder of C or CUDA: every phase with its samples, in the order in which a run shows them.

Refused: data that Python gives (E738), and more values than tables of C or the files of a folder of CUDA should hold (E758), before they
are written.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.c_samples import MOST_VALUES, PhaseSamples, SampleColumn, Samples, label_text
from snnlang.codegen.plan import Plan
from snnlang.diagnostics import error
from snnlang.model.network import Experiment, Phase
from snnlang.runtime.data import PhaseData, load_phase
from snnlang.runtime.naming import Names

#: What a program does that brings samples of its own: of CUDA, of C.
_EMBEDS = (
    "a program of your own writes the buffer of the input, launches the kernels of `coefficients`, and runs each sample",
    "the program that embeds it sets the inputs by name_set_values() and runs each sample",
)


def samples_of(experiment: Experiment, plan: Plan, most: int | None = None) -> Samples:
    """The samples of all phases. ``most``: values that the files of a folder of CUDA may hold; without it, those of tables of C. Raises
    E738 and E758, and what loading data raises (E620 to E630)."""
    for phase in experiment.phases:
        if phase.loader == "given":
            raise error(
                "E738",
                f"the data `{phase.options['name']}` come from Python, so a {'C' if most is None else 'CUDA'} program cannot hold them",
                phase.span,
                "unknown until a run gives them",
                help='present a file, such as npz("samples.npz"), or compile an experiment with a duration and no present: '
                + _EMBEDS[most is None],
            )
    names = Names(plan)
    phases: list[PhaseSamples] = []
    trials = step = values = 0
    for phase in experiment.phases:
        data = load_phase(phase, experiment)
        each = round(phase.duration / plan.dt) + round(phase.rest / plan.dt)
        shown = data.trials * phase.epochs
        values += data.trials * sum(int(np.prod(column.shape[1:], dtype=np.int64)) for column in data.inputs.values())
        if values > (MOST_VALUES if most is None else most):
            raise _too_many(experiment, phase, values, most)
        phases.append(_phase(experiment, phase, plan, names, data))
        trials += shown
        step += shown * each
    return Samples(tuple(phases), trials, step)


def _phase(experiment: Experiment, phase: Phase, plan: Plan, names: Names, data: PhaseData) -> PhaseSamples:
    frozen = (*experiment.freeze, *phase.freeze)
    columns = []
    for name, column in data.inputs.items():
        arrays = names.settable(name)
        size = max(1, int(np.prod(arrays[0].shape, dtype=np.int64)))
        rows = np.stack([np.asarray(column[row], dtype=np.float64) for row in range(data.trials)])
        columns.append(SampleColumn(name, tuple(array.name for array in arrays), _sliced(rows, size)))
    plain = {name: column for name, column in data.labels.items() if _is_plain(column)}
    return PhaseSamples(
        f"present {phase.loader}, {data.trials} samples",
        tuple(columns),
        tuple((name, tuple(label_text(column[row]) for row in range(data.trials))) for name, column in plain.items()),
        data.trials,
        phase.epochs,
        round(phase.duration / plan.dt),
        round(phase.rest / plan.dt),
        tuple(array.name for key, array in names.freezes.items() if key in frozen),
    )


def _sliced(rows: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """[trials, slices, size]; an axis of time in front of a sample makes slices."""
    return rows.reshape(len(rows), -1, size)


def _is_plain(column: Any) -> bool:
    """Whether a label is one word or number a trial."""
    return len(column.shape) == 1


def _too_many(experiment: Experiment, phase: Phase, values: int, most: int | None) -> Exception:
    holds = f"a folder of C holds {MOST_VALUES:,}" if most is None else f"a folder of CUDA holds {most:,}"
    return error(
        "E758",
        f"the samples of `{experiment.name}` are {values:,} values, and {holds}",
        phase.span,
        "too many for tables of C" if most is None else "too many for its files",
        help="present fewer, as in digits(limit = 100), or compile an experiment with a duration and no present: "
        + _EMBEDS[most is None],
    )


__all__ = ["samples_of"]
