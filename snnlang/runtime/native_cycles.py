"""Populations that send to each other, through all steps in one call of compiled code (codegen/native/cycles.h).

Called step by step, a cycle of a few hundred neurons spends as much time between its calls as in them, and every step fetches the weights
again. Here blocks of samples go through all steps one after the other, and threads share out blocks. What is left to the engine:
connections from outside before, gradients of weights afterwards.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen import kernel as k
from snnlang.runtime import aligned
from snnlang.runtime.native_products import NativeDense, lend, native_text
from snnlang.runtime.pass_runner import Cycle, NativeRunner, Pass, Span, blocks

if TYPE_CHECKING:
    from snnlang.codegen.plan import Stream
    from snnlang.runtime.products import Product

Values = NDArray[Any]
#: Weights of a connection up to which a cycle is called as a whole: beyond, they do not stay in a cache between blocks.
MOST_WEIGHTS = 1 << 20
#: The part of active senders below which gathered rows beat the packed product.
RARE = 0.28
#: Samples that go through the steps together, and how many where the weights do not fit the second-level cache.
BLOCK, LARGE_BLOCK = 16, 64
#: Weights of all connections of a cycle that fit it.
CACHED_WEIGHTS = 1 << 17


class _Member(ctypes.Structure):
    """``snn_member`` of codegen/native/cycles.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("turn", "slot", "stride")),
        *((name, ctypes.c_int64) for name in ("slots", "size", "flat")),
    ]


class _Arc(ctypes.Structure):
    """``snn_arc`` of codegen/native/cycles.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("from_", "packed", "plain", "to")),
        *((name, ctypes.c_int64) for name in ("senders", "receivers", "from_lag", "to_lag", "member")),
    ]


def fuses(product: Product) -> bool:
    """Whether a connection may be part of such a cycle: dense, and not too large."""
    return isinstance(product, NativeDense) and product.pre * product.post <= MOST_WEIGHTS


class CyclingRunner(NativeRunner):
    """Passes as C, and cycles of them as wholes (:class:`~snnlang.runtime.pass_runner.CycleRunner`)."""

    def __init__(
        self,
        passes: Sequence[Pass],
        precision: Literal["double", "single"],
        streams: dict[str, Stream],
        dt: float,
        offset: float,
        threads: int,
        cycles: Sequence[Cycle],
    ) -> None:
        maker = ThreadPoolExecutor(1)  # compiled while the passes are
        self._making = maker.submit(_library, precision == "double")
        maker.shutdown(wait=False)
        super().__init__(passes, precision, streams, dt, offset, threads)
        self._real = np.dtype(np.float64 if precision == "double" else np.float32)
        self._passes = {p.name: p for p in passes}
        self._cycles = {cycle.name: cycle for cycle in cycles}
        self._rooms: list[Values] = []
        self._packed: dict[tuple[str, int], Values] = {}

    def cycle(
        self,
        name: str,
        slots: Sequence[Sequence[Values]],
        sizes: Sequence[int],
        links: Sequence[tuple[Values, Values, Values, int, int]],
        batch: int,
        first: int,
        last: int,
        origin: int,
        sample: int,
    ) -> None:
        """As the protocol says; backwards ``links`` hold adjoints of arrivals, weights (receivers, senders), adjoints of what was sent."""
        library = self._making.result()
        short, _, turn = name.rpartition("_")
        cycle, back = self._cycles[short], turn == "backward"
        block = BLOCK if sum(weights.size for _, weights, _, _, _ in links) <= CACHED_WEIGHTS else LARGE_BLOCK
        sums: list[tuple[Values, Values]] = []
        alive: list[Any] = []  # what the structures point to
        members = (_Member * len(sizes))()
        for number, (cell, own, size) in enumerate(zip(cycle.cells, slots, sizes)):
            members[number] = self._member(f"{cell}_{turn}", own, size, batch, block, sums, alive)
        arcs = (_Arc * len(links))()
        for number, (link, ends) in enumerate(zip(links, cycle.links)):
            arcs[number] = self._arc(library, (name, number), link, ends[1], back)
        span = Span(batch, 0, first, last, 0, 0, 0, origin, sample, self._dt, self._offset, self._key_address())
        senders = max((count for _, _, _, count, _ in links), default=0)
        size = int(library.snn_cycle_room(ctypes.c_int64(block), ctypes.c_int64(senders)))
        whole = -(-batch // block)
        parts = min(self._threads, whole)
        rooms = [self._room(part, size) for part in range(parts)]

        def call(part: int) -> None:
            start, stop = whole * part // parts * block, min(batch, whole * (part + 1) // parts * block)
            counts = (members, len(sizes), arcs, len(links), ctypes.byref(span), start, stop, block, int(back))
            given = [ctypes.c_int64(value) if isinstance(value, int) else value for value in counts]
            library.snn_cycle(*given, ctypes.c_double(RARE), ctypes.c_void_p(rooms[part].ctypes.data))

        self._team(parts, call)
        for target, made in sums:
            target += made.sum() if target.size == 1 else made.sum(0)

    def _member(
        self,
        name: str,
        slots: Sequence[Values],
        size: int,
        batch: int,
        block: int,
        sums: list[tuple[Values, Values]],
        alive: list[Any],
    ) -> _Member:
        """A population: every array with what it goes on from block to block of samples. Of trained parameters each block leaves its own
        sum, for a target of all."""
        described = self._passes[name]
        flat = _is_flat(described)
        strides, pointers = np.zeros(len(slots), np.int64), np.zeros(len(slots), np.uint64)
        for number, (slot, value) in enumerate(zip(described.slots, slots)):
            if slot.kind == "gradient":
                each = blocks(block * size if flat else size) if slot.single else size
                made = np.zeros((-(-batch // block), each), value.dtype)
                sums.append((value[:1] if slot.single else value, made))
                alive.append(made)
                strides[number], pointers[number] = each * made.itemsize, made.ctypes.data
                continue
            pointers[number] = value.ctypes.data
            if slot.kind not in ("parameter", "weights"):
                strides[number] = block * size * value.itemsize
        alive += (strides, pointers)
        function = ctypes.cast(self._function(name), ctypes.c_void_p).value
        return _Member(function, pointers.ctypes.data, strides.ctypes.data, len(slots), size, int(flat))

    def _arc(
        self,
        library: Any,
        key: tuple[str, int],
        link: tuple[Values, Values, Values, int, int],
        after: int,
        back: bool,
    ) -> _Arc:
        """A connection with its weights packed. Adjoints are dense: only forwards lists are made."""
        sent, weights, arrived, senders, lag = link
        receivers = weights.shape[1]
        count = int(library.snn_packed(ctypes.c_int64(senders), ctypes.c_int64(receivers)))
        packed = self._packed.get(key)
        if packed is None or packed.size != count:
            packed = self._packed[key] = aligned.empty(count, self._real)
        steps = [ctypes.c_int64(stride // weights.itemsize) for stride in weights.strides]
        shape = (ctypes.c_int64(senders), ctypes.c_int64(receivers))
        where = (ctypes.c_void_p(weights.ctypes.data), ctypes.c_void_p(packed.ctypes.data))
        library.snn_pack_matrix(where[0], *steps, *shape, where[1])
        lists = not back and weights.flags.c_contiguous and receivers >= 8
        plain = weights.ctypes.data if lists else None
        lags = (0, lag) if back else (lag, 0)
        given = (sent.ctypes.data, packed.ctypes.data, plain, arrived.ctypes.data)
        return _Arc(*given, senders, receivers, *lags, after)

    def _room(self, part: int, size: int) -> Values:
        while len(self._rooms) <= part:
            self._rooms.append(np.empty(0, np.int64))
        if self._rooms[part].nbytes < size:
            self._rooms[part] = aligned.empty(size // 8 + 1, np.int64)
        return self._rooms[part]


def _library(double: bool) -> Any:
    from snnlang.runtime.compiler import library

    handle = library(native_text(("cycles",), double), "fast", "cycles").handle
    lend("rows", double, handle)
    for name in ("snn_cycle_room", "snn_packed"):
        getattr(handle, name).restype = ctypes.c_int64
    return handle


def _is_flat(described: Pass) -> bool:
    """Whether neurons of all samples may be counted through: no parameter differs between them and nothing is drawn."""
    if not all(slot.single for slot in described.slots if slot.kind in ("parameter", "gradient")):
        return False
    for statement in k.walk_statements(described.kernel.body):
        for top in k.statement_expressions(statement):
            if any(isinstance(e, k.Draw) or (isinstance(e, k.Local) and e.name == "i") for e in k.walk(top)):
                return False
    return True
