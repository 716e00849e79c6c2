"""The numbers that a compiled model is given at run time, as tables of C that a person can read and change.

They are those of ``snn_given`` (codegen/native/model.h) in the order in which :mod:`snnlang.codegen.target_c` wants them: sizes as macros
that stand once, whole and real numbers, parameters and given values of arrays, keys of random streams, connectivity, chosen items of
recorders. Real numbers are printed with as many digits as give them back exactly.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen import plan as p
from snnlang.codegen.clike import C_TYPES, safe
from snnlang.codegen.native_code import NativeCode
from snnlang.codegen.wiring import wiring

_SMALL_INDEX = 65536
_WIDTH = 110


def tables(plan: p.Plan, code: NativeCode, name: str) -> str:
    """The text of ``NAME_data.h``, which NAME.c includes at its end."""
    return _Tables(plan, code, name).text()


def names_of_arrays(plan: p.Plan) -> list[str]:
    """By number of an array the name by which a user knows it: ``E.tau_m``; its own where it has no owner."""
    return [
        ("freeze " if a.role == "freeze" else "")
        + (f"{a.owner}.{a.variable}" if a.owner and a.variable else a.variable or a.name)
        for a in plan.arrays.values()
    ]


class _Tables:
    def __init__(self, plan: p.Plan, code: NativeCode, name: str) -> None:
        self.plan, self.code, self.name = plan, code, name
        self.sizes: dict[int, str] = {}
        self.initial = list(code.initial)

    def text(self) -> str:
        sizes = self._sizes()
        whole = [
            (self.sizes[value] if member.endswith("_size") and value in self.sizes else _whole(value), member)
            for value, member in zip(self.code.whole, self._members("whole"), strict=True)
        ]
        number = [
            (_real(value), member) for value, member in zip(self.code.number, self._members("number"), strict=True)
        ]
        data = self._data()  # may move a value to the initial ones
        initial = [
            (_real(value), f"{title}{f' [{array.unit}]' if array.unit not in ('', '1') else ''}")
            for value, title, array in zip(
                self.initial, names_of_arrays(self.plan), self.plan.arrays.values(), strict=True
            )
        ]
        keys = [
            (f"UINT64_C(0x{self.plan.streams[s].key:016x})", f"{self.plan.streams[s].path} {self.plan.streams[s].draw}")
            for s in self.code.streams
        ]
        parts = [
            f"/* The numbers of {self.name}. Change one, compile again: nothing else depends on them.\n"
            " * Units are ms, mV, pA, nS, pF, GOhm unless a comment says otherwise. */",
            sizes,
            self._table("int64_t", "whole", whole, "sizes, lags and depths in steps, periods in steps"),
            self._table("double", "number", number, "the time step, and numbers of initial values and connections"),
            data,
            self._table("double", "initial", initial, "what arrays without data are filled with at first"),
            self._table("uint64_t", "key", keys, "random streams: a hash of the seed and the stream's name"),
            self._wiring(),
            self._chosen(),
            f"static const snn_given {self.name}_given = {{\n"
            + "".join(
                f"    .{member} = {self.name}_{member},\n"
                for member in ("whole", "number", "initial", "key", "data", "wiring", "chosen", "chosen_count")
            )
            + "};\n",
        ]
        return "\n".join(part for part in parts if part)

    def _members(self, kind: str) -> list[str]:
        """The members of the model that take the given numbers, by number."""
        found = {int(n): member for member, n in re.findall(rf"m->(\w+) = given->{kind}\[(\d+)\];", self.code.text)}
        return [found[number] for number in range(len(found))]

    def _sizes(self) -> str:
        lines = []
        for value, member in zip(self.code.whole, self._members("whole"), strict=True):
            if member.endswith("_size") and value not in self.sizes and value > 0:
                macro = f"{self.name.upper()}_{member}"
                self.sizes[value] = macro
                lines.append(f"#define {macro} INT64_C({value})")
                small = int(value <= _SMALL_INDEX)
                lines.append(
                    f'_Static_assert(({macro} <= {_SMALL_INDEX}) == {small}, "indices would change their width");'
                )
        if not lines:
            return ""
        about = "/* Sizes. Populations of equal size share one; where a table below has one entry for each, it must grow with it. */"
        return "\n".join([about, *lines, ""])

    def _size(self, value: int) -> str:
        return self.sizes.get(value, _whole(value))

    def _table(self, type_: str, member: str, rows: list[tuple[str, str]], about: str) -> str:
        body = [f"    {value}, /* {_plain(title)} */" for value, title in rows] or ["    0"]
        return "\n".join([f"/* {about} */", f"static const {type_} {self.name}_{member}[] = {{", *body, "};", ""])

    def _array(self, type_: str, name: str, values: list[str], about: str = "") -> str:
        head = f"static const {type_} {name}[] = {{"
        tail = f" /* {_plain(about)} */" if about else ""
        short = ", ".join(values)
        if len(head) + len(short) < _WIDTH:
            return f"{head}{short}}};{tail}"
        lines, line = [], "   "
        for value in values:
            if len(line) + len(value) + 2 > _WIDTH:
                lines.append(line)
                line = "   "
            line += f" {value},"
        return "\n".join([head + tail, *lines, line, "};"])

    # --- arrays -------------------------------------------------------------------------------------------------------

    def _data(self) -> str:
        lines = ["/* parameters, weights and other given values: one, or one for each */"]
        pointers = []
        for number, (array, title) in enumerate(
            zip(self.plan.arrays.values(), names_of_arrays(self.plan), strict=True)
        ):
            values = self._given(number, array)
            if values is None:
                pointers.append("    NULL,")
                continue
            own = f"{self.name}_value_of_{safe(array.name)}"
            type_ = C_TYPES[array.type]
            about = f"{title}{f' [{array.unit}]' if array.unit not in ('', '1') else ''}"
            lines.append(self._array(type_, own, _numbers(values, array.type, self.plan.precision), about))
            pointers.append(f"    {own},")
        rows = pointers or ["    NULL"]
        return "\n".join([*lines, "", f"static const void *const {self.name}_data[] = {{", *rows, "};", ""])

    def _given(self, number: int, array: p.Array) -> NDArray[Any] | None:
        """All slots of an array's data, or None where it is filled with one number."""
        if array.data is None:
            return None
        values = np.asarray(array.data)
        length = int(np.prod(array.shape)) if array.connectivity is None else None
        if values.size == 1 and length != 1:
            self.initial[number] = float(values.reshape(-1)[0])
            return None
        flat = values.ravel()
        if length is not None and array.depth > 1 and flat.size == length:
            return np.tile(flat, array.depth)
        return flat

    # --- connectivity and records -------------------------------------------------------------------------------------

    def _wiring(self) -> str:
        before: list[str] = []
        rows: list[str] = []
        for name in self.code.connectivities:
            c = self.plan.connectivities[name]
            w = wiring(c, self.plan.streams.get(c.stream))
            rows += [f"    {{ /* {_plain(c.owner or name)}: {c.pattern} */", f"        .pattern = {w.pattern},"]
            rows.append(f"        .pre_size = {self._size(w.pre_size)}, .post_size = {self._size(w.post_size)},")
            rows.append(f"        .rows = {self._size(w.rows)}, .columns = {self._size(w.columns)},")
            rows.append(f"        .pre_first = {w.pre_first}, .post_first = {w.post_first},")
            for member, type_ in (
                ("pre_part", "int64_t"), ("post_part", "int64_t"), ("row_start", "int64_t"), ("post", "int32_t"), ("shared", "int32_t")
            ):  # fmt: skip
                values = getattr(w, member)
                if values is not None:
                    own = f"{self.name}_{member}_of_{safe(name)}"
                    before.append(self._array(type_, own, [_whole(int(v)) for v in values] or ["0"], c.owner or name))
                    rows.append(f"        .{member} = {own},")
            rows.append(f"        .autapses = {w.autapses}, .multapses = {w.multapses},")
            rows.append(f"        .key = UINT64_C(0x{w.key:016x}),")
            rows.append(f"        .p = {_real(w.p)}, .k = {w.k},")
            if any(w.shape):
                rows.append(f"        .shape = {{{', '.join(map(str, w.shape))}}},")
            rows.append("    },")
        if not rows:
            rows = ["    {.pattern = 0},"]
        about = "/* how connections are made: between whole populations or parts of them, with probability p, k of each, ... */"
        return "\n".join([about, *before, f"static const snn_wiring {self.name}_wiring[] = {{", *rows, "};", ""])

    def _chosen(self) -> str:
        recorders = {recorder.label: recorder.indices for recorder in self.plan.recorders}
        before, pointers, counts = [], [], []
        for number, label in enumerate(self.code.recorders):
            indices = recorders[label]
            if indices is None:
                pointers.append(f"    NULL, /* {_plain(label)}: all */")
                counts.append("-1")
                continue
            own = f"{self.name}_chosen_{number}"
            before.append(self._array("int64_t", own, [_whole(int(i)) for i in indices] or ["0"], label))
            pointers.append(f"    {own},")
            counts.append(str(len(indices)))
        return "\n".join(
            [
                "/* recorded items; NULL and -1: all */",
                *before,
                f"static const int64_t *const {self.name}_chosen[] = {{",
                *(pointers or ["    NULL"]),
                "};",
                self._array("int64_t", f"{self.name}_chosen_count", counts or ["0"]),
                "",
            ]
        )


def _numbers(values: NDArray[Any], type_: str, precision: str) -> list[str]:
    if type_ != "real":
        return [_whole(int(value)) for value in values.tolist()]
    if precision == "double":
        return [_real(float(value)) for value in values.tolist()]
    return [
        _real(float(value), str(value)) + ("f" if np.isfinite(value) else "") for value in values.astype(np.float32)
    ]


def _real(value: float, text: str = "") -> str:
    if np.isnan(value):
        return "NAN"
    if np.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return text or repr(float(value))


def _whole(value: int) -> str:
    if value == -(2**63):
        return "INT64_MIN"
    return str(value) if abs(value) < 2**31 else f"INT64_C({value})"


def _plain(text: str) -> str:
    """Text that may stand in a comment."""
    return text.replace("*/", "* /").replace("/*", "/ *").replace("\n", " ")
