"""Runs the passes of cells: compiled C on threads, or whole-array NumPy. Both take the same slots.

Arrays of every step begin at step ``origin``."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from snnlang.frozen import dataclass
from snnlang.runtime.team import Team

if TYPE_CHECKING:
    from snnlang.codegen.kernel import Kernel
    from snnlang.codegen.passes_layout import Slot
    from snnlang.codegen.plan import Stream

Values = NDArray[Any]
#: How names of passes end that keep nothing for a backward pass.
INFER = "_infer"
#: Neurons in a block of the C passes (``LANES`` of codegen/passes_c.py).
LANES = 64


@dataclass(frozen=True, slots=True)
class Pass:
    """A kernel with its slots; ``back``: time runs backwards; ``again``: the kernel that goes forwards before it, in compiled code;
    ``size``: what the numbers of neurons of its calls are multiples of."""

    name: str
    kernel: Kernel
    slots: tuple[Slot, ...]
    back: bool
    again: Kernel | None = None
    size: int = 1


@dataclass(frozen=True, slots=True)
class Cycle:
    """Populations that send to each other, as one kernel may take them through the steps: names of their passes without ``_forward`` and
    its like, in the order of a step, and for each connection the numbers of the populations that send and receive."""

    name: str
    cells: tuple[str, ...]
    links: tuple[tuple[int, int], ...]


class Span(ctypes.Structure):
    """``snn_span`` of codegen/passes_c.py."""

    _fields_ = [
        *(
            (name, ctypes.c_int64)
            for name in ("batch", "size", "first", "last", "from_", "to", "around", "origin", "sample")
        ),
        ("dt", ctypes.c_double),
        ("offset", ctypes.c_double),
        ("key", ctypes.c_void_p),
    ]


class Prepared(tuple[Values, ...]):
    """Arrays that a pass is called with more than once: where they lie is looked up at the first time."""

    pointers: Any = None


class Runner(Protocol):
    """``run`` calls a pass: ``batch`` samples of ``size`` neurons from step ``first`` to ``last`` - 1."""

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
    ) -> None: ...


class CycleRunner(Runner, Protocol):
    """``cycle`` calls populations that send to each other as one: their slots and sizes in the order of a step, and for each connection
    among them what is sent, the weights (senders, receivers), the arrivals, the number of senders, the lag. Backwards adjoints go the
    other way."""

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
    ) -> None: ...


def blocks(size: int) -> int:
    return -(-size // LANES)


class NativeRunner:
    """Passes as C. Blocks of neurons are shared out among threads, which changes no bit of the result."""

    def __init__(
        self,
        passes: Sequence[Pass],
        precision: Literal["double", "single"],
        streams: dict[str, Stream],
        dt: float,
        offset: float,
        threads: int,
    ) -> None:
        from snnlang.codegen.passes_c import c_text, unit_of

        # passes that keep nothing are another library: it is compiled when they are first called, or at once where they are alone
        keeping = {p.name for p in passes if not p.name.endswith(INFER)} or {p.name for p in passes}
        self._parts = [
            c_text(
                [(p.name, p.kernel, p.slots, p.back, p.again, unit_of(p.size)) for p in part], precision, tuple(streams)
            )
            for part in ([p for p in passes if p.name in keeping], [p for p in passes if p.name not in keeping])
        ]
        self.text = "\n".join(self._parts)
        self._handles: list[Any] = [None, None]
        self._names = {p.name: int(p.name not in keeping) for p in passes}
        self._functions: dict[str, Any] = {}
        self._handle(0)
        self._keys = np.array([stream.key for stream in streams.values()], np.uint64)
        self._dt, self._offset = dt, offset
        self._threads = threads
        self._team = Team(threads)

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
        function = self._functions.get(name) or self._function(name)
        pointers = slots.pointers if isinstance(slots, Prepared) else None
        if pointers is None:
            pointers = (ctypes.c_void_p * len(slots))(*(slot.ctypes.data for slot in slots))
            if isinstance(slots, Prepared):
                slots.pointers = pointers
        count = blocks(size)
        parts = min(self._threads, count) if batch * size * (last - first) > 20000 else 1
        keys = self._key_address()

        def call(part: int) -> None:
            start, stop = count * part // parts, count * (part + 1) // parts
            span = Span(
                batch, size, first, last, start, stop, batch * size, origin, sample, self._dt, self._offset, keys
            )
            function(ctypes.byref(pointers), ctypes.byref(span))

        self._team(parts, call)

    def _handle(self, part: int) -> Any:
        from snnlang.runtime.compiler import library

        if self._handles[part] is None:
            self._handles[part] = library(self._parts[part], "fast", "training").handle
        return self._handles[part]

    def _function(self, name: str) -> Any:
        """A pass as a function of its library."""
        function = getattr(self._handle(self._names[name]), name)
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        function.restype = None
        self._functions[name] = function
        return function

    def _key_address(self) -> int | None:
        return self._keys.ctypes.data if self._keys.size else None


class NumpySpan:
    """What a NumPy pass is told beside its slots."""

    def __init__(
        self,
        batch: int,
        size: int,
        first: int,
        last: int,
        origin: int,
        sample: int,
        dt: float,
        offset: float,
        keys: list[int],
        real: Any,
    ) -> None:
        self.batch, self.size, self.first, self.last = batch, size, first, last
        self.origin, self.dt, self.offset = origin, dt, offset
        self._keys, self._real = keys, real
        numbers = np.arange(sample, sample + batch, dtype=np.int64)[:, None]
        self.neurons = np.arange(size, dtype=np.int64)
        self.items = numbers * size + self.neurons

    def uniform(self, stream: int, index: Values, counter: int) -> Values:
        from snnlang.codegen.random import bases, uniforms, uniforms_single

        draw = uniforms_single if self._real is np.float32 else uniforms
        return np.asarray(draw(bases(self._keys[stream], index), counter), self._real)

    def normal(self, stream: int, index: Values, counter: int) -> Values:
        from snnlang.codegen.random import bases, normals, normals_single

        draw = normals_single if self._real is np.float32 else normals
        return np.asarray(draw(bases(self._keys[stream], index), counter), self._real)


class NumpyRunner:
    """Passes as whole-array code: no compiler needed, one step at a time."""

    def __init__(
        self,
        passes: Sequence[Pass],
        precision: Literal["double", "single"],
        streams: dict[str, Stream],
        dt: float,
        offset: float,
    ) -> None:
        from snnlang.codegen.passes_numpy import numpy_text

        self.text = numpy_text(
            [(p.name, p.kernel, p.slots, p.back) for p in passes], precision == "single", tuple(streams)
        )
        names: dict[str, Any] = {}
        exec(compile(self.text, "<passes>", "exec"), names)
        self._functions = {p.name: names[p.name] for p in passes}
        self._keys = [stream.key for stream in streams.values()]
        self._dt, self._offset = dt, offset
        self._real = np.float32 if precision == "single" else np.float64

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
        span = NumpySpan(batch, size, first, last, origin, sample, self._dt, self._offset, self._keys, self._real)
        with np.errstate(all="ignore"):
            self._functions[name](slots, span)
