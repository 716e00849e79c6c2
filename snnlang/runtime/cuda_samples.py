"""The samples that an experiment presents, in a folder of CUDA: ``NAME_samples.h`` for ``host.cu``, a part of the manifest for ``host.py``.

Both say the same: the phases, which buffers take a column, what is frozen, the labels. The values lie in ``.bin`` files, a byte for each
where a column has at most 256 different ones, and doubles otherwise. It refuses nothing: what cannot be written is refused where samples
are read (:mod:`snnlang.runtime.standalone_samples`).
"""

from __future__ import annotations

from typing import Any, Final

from snnlang.codegen.c_samples import PhaseSamples, SampleColumn, Samples, coded, label_names, plain_text
from snnlang.runtime.cuda_folder import Folder

#: Values that the files of a folder may hold: 4.3 GB where they are doubles.
MOST_VALUES: Final = 2**29
_LETTER: Final = {"float32": "f", "float64": "d", "int32": "i", "uint8": "b"}


class FolderSamples:
    """``described``: for ``manifest.json``; ``files``: name -> content."""

    def __init__(self, folder: Folder, samples: Samples) -> None:
        self.folder, self.samples = folder, samples
        self.files: dict[str, bytes] = {}
        self.freezes = [a.name for a in folder.plan.arrays.values() if a.role == "freeze" and self._takes(a.name)]
        phases = [self._phase(number, phase) for number, phase in enumerate(samples.phases)]
        self.described: dict[str, Any] = {
            "trials": samples.trials,
            "steps": samples.steps,
            "labels": label_names(samples),
            "freezes": [self._array(name) for name in self.freezes],
            "phases": phases,
        }

    # --- what is said -------------------------------------------------------------------------------------------------

    def _takes(self, array: str) -> bool:
        """Whether a kernel reads the array at all."""
        return self.folder.memory.arrays[array] in self.folder.at

    def _array(self, name: str) -> dict[str, Any]:
        memory = self.folder.memory
        count = memory.lengths[name] * self.folder.plan.arrays[name].depth
        return {"buffer": self.folder.at[memory.arrays[name]], "type": memory.dtype(name).name, "count": count}

    def _phase(self, number: int, phase: PhaseSamples) -> dict[str, Any]:
        return {
            "about": phase.about,
            "trials": phase.trials,
            "epochs": phase.epochs,
            "steps": phase.steps,
            "rest": phase.rest,
            "frozen": [int(name in phase.freeze) for name in self.freezes],
            "columns": [self._column(f"{number}_{which}", column) for which, column in enumerate(phase.columns)],
            "labels": {name: [plain_text(text) for text in texts] for name, texts in phase.labels},
        }

    def _column(self, own: str, column: SampleColumn) -> dict[str, Any]:
        values, codes = coded(column.values)
        _, slices, size = column.values.shape
        row: dict[str, Any] = {
            "name": column.name,
            "arrays": [self._array(name) for name in column.arrays if self._takes(name)],
            "slices": slices,
            "size": size,
            "values": self._file(f"values_{own}", values.astype("<f8").tobytes()),
        }
        return row if codes is None else {**row, "codes": self._file(f"codes_{own}", codes.tobytes())}

    def _file(self, name: str, content: bytes) -> str:
        file = f"{self.folder.name}_samples_{name}.bin"
        self.files[file] = content
        return file

    # --- the header ---------------------------------------------------------------------------------------------------

    def header(self) -> str:
        """The tables of ``NAME_samples.h``, which stand within the namespace of ``NAME.h``."""
        said, names = self.described, self.described["labels"]
        lines = ["/* What stops plasticity, and the names of labels. */"]
        lines += _table("shown_array", "freezes", [*map(_array_row, said["freezes"]), _END])
        lines += _table("char *const", "label_names", [*map(_text, names), "nullptr"])
        rows = []
        for number, phase in enumerate(said["phases"]):
            lines += ["", f"/* {' '.join(phase['about'].replace('*/', '* /').replace('/*', '/ *').split())} */"]
            columns = []
            for which, column in enumerate(phase["columns"]):
                own = f"taken_{number}_{which}"
                lines += _table("shown_array", own, [*map(_array_row, column["arrays"]), _END])
                codes = _text(column["codes"]) if "codes" in column else "nullptr"
                columns.append(f"{{{own}, {column['slices']}, {column['size']}, {_text(column['values'])}, {codes}}}")
            lines += _table("shown_column", f"columns_{number}", [*columns, "{nullptr, 0, 0, nullptr, nullptr}"])
            lines += _table("unsigned char", f"frozen_{number}", [*map(str, phase["frozen"]), "0"])
            labels = []
            for which, name in enumerate(names):
                if name in phase["labels"]:
                    lines += _table("char *const", f"label_{number}_{which}", [*map(_text, phase["labels"][name])])
                labels.append(f"label_{number}_{which}" if name in phase["labels"] else "nullptr")
            lines += _table("char *const *const", f"labels_{number}", [*labels, "nullptr"])
            shape = f"{phase['trials']}, {phase['epochs']}, {phase['steps']}, {phase['rest']}"
            rows.append(f"{{{shape}, columns_{number}, frozen_{number}, labels_{number}}}")
        lines += ["", "/* In the order in which they are shown. */"]
        lines += _table("shown_phase", "phases", [*rows, "{0, 0, 0, 0, nullptr, nullptr, nullptr}"])
        return "\n".join(lines)


_END: Final = "{-1, 0, 0}"


def _array_row(row: dict[str, Any]) -> str:
    return f"{{{row['buffer']}, '{_LETTER[row['type']]}', {row['count']}ull}}"


def _text(text: str) -> str:
    return f'"{text}"'


def _table(type_: str, name: str, rows: list[str], width: int = 120) -> list[str]:
    """A table of constants, as many rows in a line as fit."""
    head = f"static const {type_} {name}[] = {{"
    short = f"{head}{', '.join(rows)}}};"
    if len(short) <= width:
        return [short]
    lines, line = [head], "   "
    for row in rows:
        if len(line) + len(row) + 2 > width:
            lines.append(line)
            line = "   "
        line += f" {row},"
    return [*lines, line, "};"]


__all__ = ["MOST_VALUES", "FolderSamples"]
