"""The samples that an experiment presents, as tables of C beside the numbers of an exported model: ``NAME_samples.h``.

A column with at most 256 different values, such as the pixels of images, is a byte for each value and a list of what the bytes stand for;
any other is a table of doubles. Both give back every value exactly. More than ``MOST_VALUES`` are refused where samples are read (E758):
compilers take too long over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.clike import safe
from snnlang.frozen import dataclass

#: Values that the tables of a folder may hold.
MOST_VALUES: Final = 8_000_000
_WIDTH: Final = 120


@dataclass(frozen=True, slots=True)
class SampleColumn:
    """What one input is shown: ``values`` [trials, slices over a trial, size of the input], written to the plan's ``arrays``."""

    name: str
    arrays: tuple[str, ...]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PhaseSamples:
    """One ``present``: samples [trials] shown ``epochs`` times in order, for ``steps`` and then ``rest`` steps without input.

    ``freeze`` names the plan's freeze arrays that hold during it; ``labels`` are texts [trials] by name.
    """

    about: str
    columns: tuple[SampleColumn, ...]
    labels: tuple[tuple[str, tuple[str, ...]], ...]
    trials: int
    epochs: int
    steps: int
    rest: int
    freeze: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Samples:
    """All phases in order, and how many trials and steps the experiment has."""

    phases: tuple[PhaseSamples, ...]
    trials: int
    steps: int


def label_names(samples: Samples) -> list[str]:
    """The names of labels of all phases, in the order in which they are first named."""
    return list(dict.fromkeys(name for phase in samples.phases for name, _ in phase.labels))


def sample_tables(samples: Samples, arrays: Sequence[str], freezes: Sequence[str], name: str) -> str:
    """The text of ``NAME_samples.h``. ``arrays`` are the names of all arrays by number, ``freezes`` those that freeze plasticity."""
    number = {array: place for place, array in enumerate(arrays)}
    lines = [
        f"/* The samples that the experiment of {name} presents, phase by phase. A byte stands for the value of its column's list. */",
        "",
        "typedef struct shown_column {",
        "    const int64_t *arrays; /* numbers of the arrays that take it, then -1 */",
        "    int64_t slices, size;  /* slices are shown in equal parts of a trial */",
        "    const unsigned char *codes;",
        "    const double *values;  /* of the codes; without codes: of every sample */",
        "} shown_column;",
        "",
        "typedef struct shown_phase {",
        "    int64_t trials, epochs, steps, rest;",
        "    const shown_column *columns;",
        "    int64_t count; /* of columns */",
        "    const unsigned char *frozen; /* by number in frozen_arrays */",
        "    const char *const *const *labels; /* by number of the label; NULL: the phase has none of it */",
        "} shown_phase;",
        "",
        f"static const int64_t frozen_arrays[] = {{{', '.join([*(str(number[f]) for f in freezes), '-1'])}}};",
        "",
    ]
    rows = []
    for place, phase in enumerate(samples.phases):
        lines.append(f"/* {_comment(phase.about)} */")
        columns = [_column(column, place, which, number, lines) for which, column in enumerate(phase.columns)]
        if columns:
            lines += [f"static const shown_column columns_{place}[] = {{", *columns, "};"]
        frozen = ", ".join(str(int(f in phase.freeze)) for f in freezes)
        lines.append(f"static const unsigned char frozen_{place}[] = {{{frozen or '0'}}};")
        labels = _labels(phase, place, label_names(samples), lines)
        shown = f"columns_{place}" if columns else "NULL"
        rows.append(
            f"    {{{phase.trials}, {phase.epochs}, {phase.steps}, {phase.rest}, {shown}, {len(columns)}, frozen_{place}, {labels}}},"
        )
        lines.append("")
    return "\n".join([*lines, "static const shown_phase phases[] = {", *rows, "};", ""])


def _column(column: SampleColumn, phase: int, which: int, number: dict[str, int], lines: list[str]) -> str:
    own = f"{phase}_{which}"
    taken = ", ".join([*(str(number[array]) for array in column.arrays), "-1"])
    lines.append(f"static const int64_t taken_{own}[] = {{{taken}}}; /* {_comment(column.name)} */")
    values, codes = coded(column.values)
    lines += _table("double", f"values_{own}", [repr(float(v)) for v in values])
    if codes is not None:
        lines += _table("unsigned char", f"codes_{own}", [str(c) for c in codes.tolist()])
    _, slices, size = column.values.shape
    return f"    {{taken_{own}, {slices}, {size}, {f'codes_{own}' if codes is not None else 'NULL'}, values_{own}}},"


def coded(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.uint8] | None]:
    """Few different values as a list of them and a byte for each place; others as they are, and None. Both are flat."""
    different, codes = np.unique(values.ravel(), return_inverse=True)
    if len(different) > 256:
        return values.ravel(), None
    return different, codes.ravel().astype(np.uint8)


def _labels(phase: PhaseSamples, place: int, names: list[str], lines: list[str]) -> str:
    if not names:
        return "NULL"
    own = dict(phase.labels)
    pointers = []
    for which, name in enumerate(names):
        if name not in own:
            pointers.append("NULL")
            continue
        lines += _table("char *const", f"label_{place}_{which}", [f'"{plain_text(text)}"' for text in own[name]])
        pointers.append(f"label_{place}_{which}")
    lines.append(f"static const char *const *const labels_{place}[] = {{{', '.join(pointers)}}};")
    return f"labels_{place}"


def _table(type_: str, name: str, values: list[str]) -> list[str]:
    lines, line = [f"static const {type_} {name}[] = {{"], "   "
    for value in values:
        if len(line) + len(value) + 2 > _WIDTH:
            lines.append(line)
            line = "   "
        line += f" {value},"
    return [*lines, line, "};"]


def label_text(value: Any) -> str:
    """A label as it stands in a file: whole numbers without a point."""
    plain = value.item() if isinstance(value, np.generic) else value
    return repr(int(plain)) if isinstance(plain, float) and plain.is_integer() and abs(plain) < 2**53 else str(plain)


def plain_text(text: str) -> str:
    """Text of a C string that may stand between commas."""
    return "".join(c if c.isprintable() and c.isascii() and c not in '"\\,' else "_" for c in text).replace("??", "?_")


def _comment(text: str) -> str:
    return " ".join(text.replace("*/", "* /").replace("/*", "/ *").split())


def presented_words(samples: Samples | None, upper: str, name: str) -> dict[str, str]:
    """The words of the embedded files that concern trials; without samples they say that there are none."""
    names = [] if samples is None else label_names(samples)
    labels = "\n".join(f"    {upper}_LABEL_{safe(label)} = {number}," for number, label in enumerate(names))
    rows = ", ".join(f'"{plain_text(label)}"' for label in names)
    return {
        "TRIALS": str(0 if samples is None else samples.trials),
        "COUNT_OF_LABELS": str(len(names)),
        "LABELS": labels,
        "LABEL_TABLE": f"const char *const {name}_labels[] = {{{rows or 'NULL'}}};",
    }


__all__ = [
    "MOST_VALUES",
    "PhaseSamples",
    "SampleColumn",
    "Samples",
    "coded",
    "label_names",
    "label_text",
    "plain_text",
    "presented_words",
    "sample_tables",
]
