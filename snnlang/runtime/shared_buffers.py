"""Which arrays of a training may lie in the same memory, because one is read for the last time before the other is written.

A neuron reads what arrives in a step once. Where the backward pass does not read it again, what is kept of the step goes to the same place,
and in the backward pass the adjoint of what arrived; a population that keeps nothing (a pool's relay) sends from there. Adjoints
of what was sent replace it where its only reader, the gradient of one connection's weights, comes before them. All of that is seen
in the order of loads and stores of the kernels: nothing is shared where an array is read after the other one was written.
"""

from __future__ import annotations

from collections.abc import Iterable

from snnlang.codegen import kernel as k
from snnlang.codegen.adjoint import BAR
from snnlang.codegen.passes import KEPT, OUT, Passes
from snnlang.frozen import dataclass
from snnlang.runtime.products import Dense, Product
from snnlang.runtime.windows import Convolution, Pool


@dataclass(frozen=True, slots=True)
class Shared:
    """``kept`` (arrays of what is kept) and ``sent`` (outputs) with the input in whose place they are."""

    kept: dict[str, str]
    sent: dict[str, str]


def shared(p: Passes, inputs: Iterable[str], outputs: Iterable[str]) -> Shared:
    """What a cell may write over its ``inputs`` (those of every step, which the backward pass does not read): at most one thing over
    each. ``outputs`` are those that are sent in every step and that nobody reads again once the backward pass comes to this cell."""
    free = list(inputs)
    kept: dict[str, str] = {}
    sent: dict[str, str] = {}
    for name in p.kept:
        place = name + KEPT
        for given in free if name not in p.cell.inputs else ():
            if _before(p.forward, given, place) and _before(p.backward, place, given + BAR):
                kept[place] = given
                free.remove(given)
                break
    for name in outputs:
        for given in free if not kept else ():
            if _before(p.forward, given, name + OUT) and _before(p.backward, name + BAR, given + BAR):
                sent[name] = given
                free.remove(given)
                break
    return Shared(kept, sent)


def leaves_signal(product: Product | None, trained: bool, alone: bool) -> bool:
    """Whether what a connection sends may be overwritten by its adjoint: it is not read on the way back, or, where the connection is
    ``alone`` in reading it, only for the gradient of its weights, which is made first."""
    if isinstance(product, Pool):
        return not product.greatest and (alone or not trained)
    return alone and isinstance(product, (Dense, Convolution))


def _before(kernel: k.Kernel, read: str, written: str) -> bool:
    """Whether all loads of one array come before the store of the other (which may be left out)."""
    over = False
    for statement in kernel.body:
        loads = (e for top in k.statement_expressions(statement) for e in k.walk(top))
        if over and any(isinstance(e, k.Load) and e.array == read for e in loads):
            return False
        over = over or (isinstance(statement, k.Store) and statement.array == written)
    return True
