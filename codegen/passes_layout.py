"""Where the passes of a cell find their numbers: one list of slots for the forward and one for the backward kernel, the same on
every target.

Numbers of (steps, batch, size) change every step (``each``); those of (batch, size) are the same in every step (``once``), or are sums over
the steps with given weights (``sum``, weights of (steps,)). The caller says which of them it wants; what it does not want is not computed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from snnlang.codegen.adjoint import BAR
from snnlang.codegen.passes import KEPT, OUT, Passes
from snnlang.frozen import dataclass

Mode = Literal["each", "once", "sum"]
Kind = Literal["carried", "initial", "each", "again", "once", "sum", "weights", "parameter", "gradient"]


@dataclass(frozen=True, slots=True)
class Modes:
    """How inputs come (``each``, ``once`` or both), outputs leave and their adjoints come (``each``, ``sum`` or both)."""

    inputs: dict[str, tuple[Mode, ...]]
    outputs: dict[str, tuple[Mode, ...]]
    adjoints: dict[str, tuple[Mode, ...]]


@dataclass(frozen=True, slots=True)
class Slot:
    """One array that a pass is given. ``array`` is its name in the kernel. Shapes: ``carried``, ``once`` and ``sum`` (batch,
    size); ``each``
    (steps, batch, size); ``weights`` (steps,); ``parameter`` (), or (size,) where it differs between neurons; ``gradient`` likewise: of
    numbers alike for all neurons one partial sum, in double precision, for each block. ``initial`` (1,): what is carried begins with this
    number and is left nowhere. ``again``: no array, what was kept is computed once more (:func:`recomputing`)."""

    array: str
    kind: Kind
    type: Literal["real", "int"] = "real"
    single: bool = True


def forward_slots(p: Passes, modes: Modes) -> tuple[Slot, ...]:
    types = {c.name: c.type for c in p.cell.carried}
    slots = [Slot(name, "carried", "int" if types[name] == "int" else "real") for name in p.carried]
    slots += _inputs(p.cell.inputs, modes)
    slots += _parameters(p)
    slots += [Slot(name + KEPT, "each") for name in p.kept if name not in p.cell.inputs]
    for name in p.outputs:
        slots += _summed(name + OUT, modes.outputs[name])
    return tuple(slots)


def backward_slots(p: Passes, modes: Modes) -> tuple[Slot, ...]:
    slots = [Slot(name + BAR, "carried") for name in p.turned]
    slots += _inputs(tuple(name for name in p.kept if name in p.cell.inputs), modes)
    slots += _parameters(p)
    slots += [Slot(name + KEPT, "each") for name in p.kept if name not in p.cell.inputs]
    slots += [Slot(name, "once") for name in p.ends]
    for name in p.wanted:
        slots += _summed(name + BAR, modes.adjoints[name])
    for name in p.cell.inputs:
        slots += [Slot(name + BAR, mode) for mode in modes.inputs[name]]
    single = {q.array: q.index is None for q in p.parameters}
    slots += [Slot(name + BAR, "gradient", "real", single[name]) for name in p.trained]
    return tuple(slots)


def begun(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    """The slots of a pass that goes through all steps at once: what is carried begins with one number."""
    return tuple(replace(slot, kind="initial") if slot.kind == "carried" else slot for slot in slots)


def recomputing(forward: tuple[Slot, ...], backward: tuple[Slot, ...]) -> tuple[Slot, ...]:
    """The slots of a backward pass that goes forwards first: what that needs, and no array of what is kept."""
    slots = [replace(slot, kind="again") if slot.array.endswith(KEPT) else slot for slot in backward]
    known = {(slot.array, slot.kind) for slot in slots}
    needed = (slot for slot in forward if slot.kind in ("initial", "once", "parameter"))
    return (*slots, *(slot for slot in needed if (slot.array, slot.kind) not in known))


def _inputs(names: tuple[str, ...], modes: Modes) -> list[Slot]:
    return [Slot(name, mode) for name in names for mode in modes.inputs[name]]


def _parameters(p: Passes) -> list[Slot]:
    return [Slot(q.array, "parameter", "int" if q.type == "int" else "real", q.index is None) for q in p.parameters]


def _summed(array: str, modes: tuple[Mode, ...]) -> list[Slot]:
    slots: list[Slot] = []
    for mode in modes:
        slots.append(Slot(array, mode))
        if mode == "sum":
            slots.append(Slot(array, "weights"))
    return slots
