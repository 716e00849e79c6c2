"""Training on a CUDA device: CuPy's arrays, cuBLAS for matrix products, and our own kernels for everything that neurons do.

What stays on the device: parameters, gradients, the optimizer's memory, states, spikes, what the backward pass needs. What goes to the host
in every batch: what the loss reads (the loss is computed there, and its derivative goes back), and parameters of neurons where they are
trained. A batch's samples come through pinned memory on a stream of their own, beside the backward pass of the batch before. All else
runs on CuPy's current stream, so that it is in order with what a user does with CuPy there.

``SNN_CUDA=shim`` runs the same kernels on a processor with NumPy's arrays, for tests. Refused: no CuPy (E742), no driver or device (E743);
later on too little memory (E741, by an estimate before anything is allocated), kernels that are refused (E744), a device that
stopped (E745).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import Diagnostic, SnnError, error
from snnlang.runtime import cuda_failure as failure
from snnlang.runtime.cuda_choice import VARIABLE
from snnlang.runtime.learning_arrays import Precision
from snnlang.runtime.pass_runner import Cycle, Pass, Prepared
from snnlang.runtime.products_cuda import Dense, device_product, through_host

if TYPE_CHECKING:
    from snnlang.codegen.plan import Stream
    from snnlang.runtime.cuda_backend import Module
    from snnlang.runtime.products import Product

Values = NDArray[Any]
#: Threads of a block: small blocks spread small populations over more multiprocessors.
BLOCK = 128
#: Most blocks of a launch; threads go on with what is left.
BLOCKS = 1 << 16
#: Weights of a connection within a cycle up to which one kernel takes the cycle through all steps: beyond, cuBLAS in every step is better
#: than reading them from the second-level cache for every sample.
FUSED = 1 << 19
#: Tables of addresses that are kept on the device.
TABLES = 4096


class CudaRunner:
    """Passes as CUDA kernels."""

    def __init__(
        self,
        arrays: DeviceArrays,
        passes: Sequence[Pass],
        precision: Precision,
        streams: dict[str, Stream],
        dt: float,
        offset: float,
        cycles: Sequence[Cycle] = (),
    ) -> None:
        from snnlang.codegen.passes_cuda import cuda_text

        names = [p.name for p in passes]
        turns = [
            (f"{cycle.name}_{turn}", tuple(f"{cell}_{turn}" for cell in cycle.cells), cycle.links)
            for cycle in cycles
            for turn in ("infer", "forward", "backward")
            if f"{cycle.cells[0]}_{turn}" in names
        ]
        self._cycles = {name: inner for name, inner, _ in turns}
        given = [(p.name, p.kernel, p.slots, p.back) for p in passes]
        self.text = cuda_text(given, precision, tuple(streams), turns)
        self._arrays = arrays
        self._module = arrays.module(self.text, precision == "single")
        self._passes = {p.name: p for p in passes}
        self._real = np.dtype(np.float32 if precision == "single" else np.float64)
        numbers = np.array([dt, offset], np.float64).view(np.int64).tolist()
        keys = np.array([stream.key for stream in streams.values()], np.uint64).view(np.int64).tolist()
        self._fixed = tuple([*numbers, *keys])

    def run(
        self,
        name: str,
        slots: Sequence[Values],
        batch: int,
        size: int,
        first: int,
        last: int,
        origin: int = 0,
        sample: int = 0,
    ) -> None:
        """Call a pass."""
        arrays = self._arrays
        given, sums = self._prepared(name, slots, batch, size, arrays.xp.empty)
        entries = slots.pointers if isinstance(slots, Prepared) and not sums else None
        if entries is None:
            entries = tuple(arrays.address(value) for value in given)
            if isinstance(slots, Prepared):
                slots.pointers = entries
        table = arrays.table(entries)
        arguments = (table, arrays.table(self._fixed), batch, size, first, last, origin, sample)
        arrays.launch(self._module, name, batch * size, arguments)
        _add(sums)

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
        """Call a cycle: the slots of its populations, then for each connection what is sent, weights, arrivals, how many send, lag."""
        arrays = self._arrays
        entries: list[int] = []
        every: list[tuple[Values, Values]] = []
        alive: list[Values] = []
        for inner, own, size in zip(self._cycles[name], slots, sizes):
            given, sums = self._prepared(inner, own, batch, size, arrays.xp.zeros)
            entries += [size, *(arrays.address(value) for value in given)]
            every += sums
        for sent, weights, arrived, count, lag in links:
            turned = arrays.xp.ascontiguousarray(weights)  # backwards they come as a view
            alive.append(turned)
            entries += [arrays.address(sent), arrays.address(turned), arrays.address(arrived), count, lag]
        arguments = (arrays.table(tuple(entries)), arrays.table(self._fixed), batch, first, last, origin, sample)
        arrays.launch_blocks(self._module, name, batch, max(sizes), arguments)
        _add(every)

    def _prepared(
        self, name: str, slots: Sequence[Values], batch: int, size: int, make: Any
    ) -> tuple[list[Values], list[tuple[Values, Values]]]:
        """The arrays that a kernel gets. Of trained parameters every thread leaves its own sum, (batch, size), for a target."""
        given, sums = list(slots), []
        for number, slot in enumerate(self._passes[name].slots):
            if slot.kind == "gradient":
                given[number] = make((batch, size), self._real)
                sums.append((slots[number][:1] if slot.single else slots[number], given[number]))
        return given, sums


def _add(sums: Sequence[tuple[Values, Values]]) -> None:
    """The sums of threads, added to one number or to one for each neuron."""
    for target, parts in sums:
        target += parts.sum(dtype=np.float64) if target.dtype == np.float64 and target.size == 1 else parts.sum(axis=0)


class DeviceArrays:
    """A device through CuPy."""

    apart = True
    overwrites = False

    def __init__(self, xp: Any, backend: Any) -> None:
        self.xp, self.backend = xp, backend
        self._tables: dict[tuple[int, ...], Any] = {}
        self._modules: dict[str, Module] = {}
        self._rings: dict[tuple[str, tuple[int, ...], Any], _Ring] = {}
        self._through: dict[str, None] = {}
        self._copies: Any = None

    # --- numbers ------------------------------------------------------------------------------------------------------

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Values:
        """In memory of the device."""
        made: Values = self.xp.zeros(shape, dtype)
        return made

    def up(self, value: Values) -> Values:
        """A copy on the device."""
        made: Values = self.xp.asarray(np.ascontiguousarray(value).reshape(value.shape))
        return made

    def down(self, value: Any) -> Values:
        """A copy on the host; waits for what computes it."""
        if isinstance(value, np.ndarray | np.generic):
            return np.asarray(value)
        made: Values = self.xp.asnumpy(value)
        return made

    def address(self, value: Any) -> int:
        """Where an array begins."""
        assert value.flags.c_contiguous
        return int(value.data.ptr)

    def batch(self, name: str, value: Any) -> Values:
        """Through pinned memory, on a stream of its own; what lies on the device already stays there."""
        if not isinstance(value, np.ndarray):
            made: Values = self.xp.ascontiguousarray(value)
            return made
        key = (name, value.shape, value.dtype)
        if key not in self._rings:
            if self._copies is None:
                self._copies = self.xp.cuda.Stream(non_blocking=True)
            self._copies.synchronize()  # pinned memory of a ring that goes may be handed out, and filled, while it is still read
            self._rings = {known: ring for known, ring in self._rings.items() if known[0] != name or len(self._rings) < 8}
            self._rings[key] = _Ring(self.xp, value.shape, value.dtype, self._copies)
        return self._rings[key].upload(value)

    def require(self, nbytes: int) -> None:
        """Raises E741 before anything is allocated."""
        with self.said():
            free, total = self.backend.memory()
        if nbytes > free:
            raise self._no_memory(nbytes, free, total)

    def _no_memory(self, nbytes: int, free: int, total: int) -> SnnError:
        found = failure.no_memory(self.backend.name, nbytes, free, total).diagnostics[0]
        helps = (
            "use a smaller `batch`, or `checkpoint = N` to keep N steps at once",
            "end what else runs on the device (nvidia-smi shows it), or train with --target c",
        )
        return error("E741", found.message, help=helps)

    # --- kernels ------------------------------------------------------------------------------------------------------

    def table(self, entries: tuple[int, ...]) -> int:
        """Whole numbers on the device; the same ones are there once."""
        found = self._tables.get(entries)
        if found is None:
            if len(self._tables) >= TABLES:
                self._tables.clear()  # memory is handed out again behind what still reads it: one stream
            found = self._tables[entries] = self.up(np.array(entries, np.int64))
        return self.address(found)

    def module(self, text: str, single: bool) -> Module:
        """A compiled text. Raises E742 and E744."""
        with self.said():
            return self.backend.module(text, single=single, name="the training")  # type: ignore[no-any-return]

    def launch(self, module: Module, name: str, items: int, arguments: tuple[int, ...]) -> None:
        """A thread for each item."""
        if items:
            block = min(BLOCK, self.backend.block)
            module.launch(name, min(BLOCKS, -(-items // block)), arguments, block=block)

    def launch_blocks(self, module: Module, name: str, blocks: int, items: int, arguments: tuple[int, ...]) -> None:
        """A block for each of ``blocks``, with threads for up to so many items."""
        threads = min(2 * self.backend.block, -(-items // 32) * 32)
        module.launch(name, min(BLOCKS, blocks), arguments, block=threads)

    def kernel(self, name: str, real: Any, items: int, arguments: tuple[int, ...]) -> None:
        """A kernel of products.cuh."""
        key = np.dtype(real).name
        if key not in self._modules:
            from snnlang.codegen.passes_cuda import products_text

            single = key == "float32"
            self._modules[key] = self.module(products_text("single" if single else "double"), single)
        self.launch(self._modules[key], name, items, arguments)

    def fuses(self, product: Product) -> bool:
        """A dense connection whose weights every multiprocessor can read again in each step."""
        return isinstance(product, Dense) and product.pre * product.post <= FUSED

    def runner(
        self,
        passes: Sequence[Pass],
        precision: Precision,
        streams: dict[str, Stream],
        dt: float,
        offset: float,
        cycles: Sequence[Cycle] = (),
    ) -> CudaRunner:
        """Passes as kernels."""
        return CudaRunner(self, passes, precision, streams, dt, offset, cycles)

    def product(self, name: str, product: Product) -> Product:
        """On the device, or through the host where only that knows it."""
        made = device_product(product, self)
        if through_host(made):
            self._through[name] = None
        return made

    def optimizer(self, text: str, name: str) -> Any:
        """A kernel over all parameters."""
        single = "typedef float real" in text
        module = self.module(text, single)

        def run(count: int, *arrays: Values) -> None:
            self.launch(module, name, count, (count, *(self.address(value) for value in arrays)))

        return run

    # --- what is said -------------------------------------------------------------------------------------------------

    @contextmanager
    def said(self) -> Iterator[None]:
        """What CuPy and the driver refuse, in our words."""
        try:
            with self.backend.said():
                yield
        except self.xp.cuda.memory.OutOfMemoryError as problem:
            asked = re.search(r"allocating ([\d,]+) bytes", str(problem))
            free, total = self.backend.memory() if asked else (0, 0)
            raise self._no_memory(int(asked[1].replace(",", "")) if asked else 0, free, total) from None

    def warnings(self) -> tuple[Diagnostic, ...]:
        """W767: connections that go through the host."""
        if not self._through:
            return ()
        names = ", ".join(f"`{name}`" for name in self._through)
        return (
            Diagnostic(
                "W767",
                f"on target cuda {names} is computed on the host, and its numbers go there and back in every batch",
                severity="warning",
                help=("expect no gain from the device while such a connection is large",),
            ),
        )


class _Ring:
    """Two places for the samples of an input: one is filled while the other one is read."""

    def __init__(self, xp: Any, shape: tuple[int, ...], type: Any, copies: Any) -> None:
        self.xp, self.copies = xp, copies
        self.nbytes = int(np.prod(shape, dtype=np.int64)) * type.itemsize
        self.turn = 0
        self.places: list[tuple[Values, Any, Any]] = []
        for _ in range(2):
            memory = xp.cuda.alloc_pinned_memory(max(1, self.nbytes))
            pinned = np.frombuffer(memory, np.uint8, self.nbytes).view(type).reshape(shape)
            self.places.append((pinned, xp.empty(shape, type), xp.cuda.Event(disable_timing=True)))
        self.before = self._now()

    def _now(self) -> Any:
        event = self.xp.cuda.Event(disable_timing=True)
        event.record(self.xp.cuda.get_current_stream())
        return event

    def upload(self, value: Values) -> Values:
        """Start a copy, and let the current stream wait for it. ``before`` was recorded when the upload before this one began: what read
        this place was started earlier."""
        pinned, device, copied = self.places[self.turn]
        self.turn = 1 - self.turn
        copied.synchronize()
        pinned[...] = value
        current = self.xp.cuda.get_current_stream()
        self.copies.wait_event(self.before)
        runtime = self.xp.cuda.runtime
        kind = runtime.memcpyHostToDevice
        runtime.memcpyAsync(device.data.ptr, pinned.ctypes.data, self.nbytes, kind, self.copies.ptr)
        copied.record(self.copies)
        self.before = self._now()
        current.wait_event(copied)
        return device  # type: ignore[no-any-return]


class ShimArrays(DeviceArrays):
    """The kernels on a processor, beside NumPy's arrays."""

    def __init__(self) -> None:
        from snnlang.runtime.cuda_shim import ShimBackend

        super().__init__(np, ShimBackend())

    def up(self, value: Values) -> Values:
        """A copy, as on a device."""
        return np.array(value, order="C")

    def down(self, value: Any) -> Values:
        """A copy, as from a device."""
        return np.array(value)

    def address(self, value: Any) -> int:
        """Where an array begins."""
        assert value.flags.c_contiguous
        return int(value.ctypes.data)

    def batch(self, name: str, value: Any) -> Values:
        """A copy."""
        return np.array(value, order="C")

    @contextmanager
    def said(self) -> Iterator[None]:
        """What goes wrong here is a mistake of ours."""
        yield


def opened() -> DeviceArrays:
    """Where target cuda trains: the device that CuPy calls the current one. Raises E742 and E743."""
    if os.environ.get(VARIABLE) == "shim":
        from snnlang.runtime.cuda_shim import require

        require()
        return ShimArrays()
    from snnlang.runtime.cuda_cupy import CupyBackend

    backend = CupyBackend(own_stream=False)
    return DeviceArrays(backend.cupy, backend)


__all__ = ["CudaRunner", "DeviceArrays", "ShimArrays", "opened"]
