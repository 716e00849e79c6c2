"""The passes of a cell as whole-array NumPy code: one function of (slots, span), all samples and neurons at once, one step after
the other."""

from __future__ import annotations

from collections.abc import Iterable

from snnlang.codegen import kernel as k
from snnlang.codegen.functions import FUNCTIONS
from snnlang.codegen.passes_layout import Slot
from snnlang.codegen.verify import InternalError

_OPERATORS = {"and": "&", "or": "|"}


def numpy_text(
    passes: Iterable[tuple[str, k.Kernel, tuple[Slot, ...], bool]], single: bool, streams: tuple[str, ...]
) -> str:
    """A module: (name, kernel, its slots, whether time runs backwards) as functions of (slot, span)."""
    real = "np.float32" if single else "np.float64"
    parts = [
        '"""Made by snnlang: neurons forwards and backwards through the steps of a sample."""',
        "import numpy as np",
        "from snnlang.codegen.random import normals, uniforms",
        "from snnlang.codegen.whole_array import erf, exprel, gamma_quantile, poisson_quantile, sigmoid, to_int",
        f"real = {real}",
        "",
    ]
    for name, kernel, slots, back in passes:
        parts += [*_function(name, kernel, slots, back, streams), ""]
    return "\n".join(parts)


def _function(name: str, kernel: k.Kernel, slots: tuple[Slot, ...], back: bool, streams: tuple[str, ...]) -> list[str]:
    of = {(slot.array, slot.kind): number for number, slot in enumerate(slots)}
    keys = {stream: number for number, stream in enumerate(streams)}
    lines = [f"def {name}(slot, a):", f'    """{kernel.title}."""']
    stored = {s.array for s in kernel.body if isinstance(s, k.Store)}
    for number, slot in enumerate(slots):
        if slot.kind == "carried":
            lines.append(f"    c{number} = slot[{number}].copy()")
    order = "range(a.last - 1, a.first - 1, -1)" if back else "range(a.first, a.last)"
    lines.append(f"    for step in {order}:")

    def place(array: str) -> str:
        for kind in ("parameter", "carried"):
            if (array, kind) in of:
                number = of[array, kind]
                return f"slot[{number}]" if kind == "parameter" else f"c{number}"
        parts = []
        if (array, "each") in of:
            parts.append(f"slot[{of[array, 'each']}][step - a.origin]")
        if (array, "once") in of:
            parts.append(f"slot[{of[array, 'once']}]")
        if (array, "sum") in of:
            parts.append(f"slot[{of[array, 'weights']}][step]*slot[{of[array, 'sum']}]")
        return f"({' + '.join(parts)})" if len(parts) != 1 else parts[0]

    def text(expr: k.Expr) -> str:
        match expr:
            case k.Const(value=value, type="bool"):
                return "True" if value else "False"
            case k.Const(value=value, type="int"):
                return str(int(value))
            case k.Const(value=value):
                return f"real({float(value)!r})" if abs(float(value)) != float("inf") else f"real('{float(value)}')"
            case k.Local(name="t"):
                return "((step + a.offset)*a.dt)"
            case k.Local(name="dt"):
                return "real(a.dt)"
            case k.Local(name="i"):
                return "a.items"
            case k.Local(name="neuron"):
                return "a.neurons"
            case k.Local(name=local):
                return local if local == "step" else f"n_{local}"
            case k.Load(array=array):
                return place(array)
            case k.Unary(operator="not", operand=operand):
                return f"np.logical_not({text(operand)})"
            case k.Unary(operand=operand):
                return f"(-{text(operand)})"
            case k.Binary(operator=operator, left=left, right=right, type=type):
                sign = {"^": "**", "/": "//" if type == "int" else "/"}.get(operator, operator)
                return f"({text(left)} {sign} {text(right)})"
            case k.Compare(operator=operator, left=left, right=right):
                return f"({text(left)} {operator} {text(right)})"
            case k.Logic(operator=operator, left=left, right=right):
                return f"({text(left)} {_OPERATORS[operator]} {text(right)})"
            case k.Choose(condition=condition, value=value, otherwise=otherwise):
                return f"np.where({text(condition)}, {text(value)}, {text(otherwise)})"
            case k.Call(function="real", arguments=(argument,)):
                return f"np.asarray({text(argument)}, real)"
            case k.Call(function="int", arguments=(argument,)):
                return f"to_int({text(argument)})"
            case k.Call(function=function, arguments=arguments):
                return FUNCTIONS[function].numpy.format(*(text(argument) for argument in arguments))
            case k.Draw(distribution=distribution, stream=stream, index=index, counter=counter):
                return f"a.{distribution}({keys[stream]}, {text(index)}, {text(counter)})"
        raise InternalError(f"{expr} in a pass")

    after: dict[int, str] = {}  # what is carried on, all at once: names are the arrays of before, not copies of them
    for statement in kernel.body:
        match statement:
            case k.Let(name=local, value=value, source=source):
                lines += [f"        # {line}" for line in source.splitlines()]
                lines.append(f"        n_{local} = {text(value)}")
            case k.Store(array=array, value=value):
                if (array, "carried") in of:
                    after[of[array, "carried"]] = text(value)
                    continue
                lines.append(f"        stored = {text(value)}")
                if (array, "each") in of:
                    lines.append(f"        slot[{of[array, 'each']}][step - a.origin] = stored")
                if (array, "once") in of:
                    lines.append(f"        slot[{of[array, 'once']}][...] += stored")
                if (array, "sum") in of:
                    lines.append(f"        slot[{of[array, 'sum']}][...] += slot[{of[array, 'weights']}][step]*stored")
            case k.Accumulate(array=array, value=value):
                number = of[array, "gradient"]
                lines.append(f"        stored = np.broadcast_to({text(value)}, (a.batch, a.size))")
                if slots[number].single:
                    lines.append(f"        slot[{number}][0] += stored.sum(dtype=np.float64)")
                else:
                    lines.append(f"        slot[{number}][...] += stored.sum(0)")
            case _:
                raise InternalError(f"{kernel.name}: a {type(statement).__name__} in a pass")
    if after:
        values = [f"np.asarray({value}, c{number}.dtype)" for number, value in after.items()]
        lines.append(f"        {', '.join(f'c{number}' for number in after)} = {', '.join(values)}")
    if not kernel.body:  # a population that nobody reads
        lines.append("        pass")
    for number, slot in enumerate(slots):
        if slot.kind == "carried" and slot.array in stored:
            lines.append(f"    slot[{number}][...] = c{number}")
    return lines
