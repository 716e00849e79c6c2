"""Where training computes: the array module, how numbers get there and back, and who runs the passes of cells there.

One engine serves all: on the host its arrays are NumPy's; on a device (:mod:`snnlang.runtime.learning_cuda`) they are CuPy's, which has the
same names. What is common to both is asked of ``xp``; what is not, of the methods here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from snnlang.runtime import aligned
from snnlang.runtime.blas import one_thread
from snnlang.runtime.pass_runner import Cycle, NativeRunner, NumpyRunner, Pass, Runner

if TYPE_CHECKING:
    from snnlang.codegen.plan import Stream
    from snnlang.diagnostics import Diagnostic
    from snnlang.runtime.products import Product

Values = NDArray[Any]
Precision = Literal["double", "single"]


class Arrays(Protocol):
    """A place to compute. ``xp`` is its array module, ``apart`` says that its arrays are not those of the host, ``overwrites`` that a pass
    may be given one array to read from and, later, to write to."""

    xp: Any
    apart: bool

    @property
    def overwrites(self) -> bool: ...

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Values:
        """A new array there."""
        ...

    def up(self, value: Values) -> Values:
        """A copy of a host's array there (on the host: the array itself)."""
        ...

    def down(self, value: Any) -> Values:
        """The numbers on the host (there already: the array itself)."""
        ...

    def batch(self, name: str, value: Any) -> Values:
        """The samples of an input, which may arrive while earlier work goes on. They stay as they are until the second call after this
        one."""
        ...

    def require(self, nbytes: int) -> None:
        """Raises E741 where so much memory is not there."""
        ...

    def runner(
        self,
        passes: Sequence[Pass],
        precision: Precision,
        streams: dict[str, Stream],
        dt: float,
        offset: float,
        cycles: Sequence[Cycle] = (),
    ) -> Runner:
        """Who calls the passes of cells, and of ``cycles`` as wholes."""
        ...

    def fuses(self, product: Product) -> bool:
        """Whether a connection may be part of a cycle that is called as a whole."""
        ...

    def product(self, name: str, product: Product) -> Product:
        """The product of a connection, as it is computed there."""
        ...

    def optimizer(self, text: str, name: str) -> Any:
        """A compiled pass over all parameters, called with (count, numbers, gradients, first memory, second memory, parameters); None where
        array code does it."""
        ...

    def said(self) -> Any:
        """A context to compute in; errors of a device are told in our words (E741, E745)."""
        ...

    def warnings(self) -> tuple[Diagnostic, ...]:
        """What the user should know of this place."""
        ...


class HostArrays:
    """NumPy's arrays; passes as C (on ``threads`` threads) or as whole-array code."""

    xp: Any = np
    apart = False

    def __init__(self, target: str = "c", threads: int = 1) -> None:
        self.target, self.threads = target, threads

    @property
    def overwrites(self) -> bool:
        """Compiled loops load a neuron's numbers before they store them; whole-array code looks at its inputs until its end."""
        return self.target == "c"

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Values:
        """Where vectors are loaded fastest."""
        return aligned.zeros(shape, dtype)

    def up(self, value: Values) -> Values:
        """Nothing to do."""
        return value

    def down(self, value: Any) -> Values:
        """Nothing to do."""
        return np.asarray(value)

    def batch(self, name: str, value: Any) -> Values:
        """As they lie."""
        return np.asarray(value)

    def require(self, nbytes: int) -> None:
        """The memory of the host is as large as it is."""

    def fuses(self, product: Product) -> bool:
        """Dense connections, where there is a compiler."""
        if self.target != "c":
            return False
        from snnlang.runtime.native_cycles import fuses

        return fuses(product)

    def runner(
        self,
        passes: Sequence[Pass],
        precision: Precision,
        streams: dict[str, Stream],
        dt: float,
        offset: float,
        cycles: Sequence[Cycle] = (),
    ) -> Runner:
        """Compiled, or NumPy's."""
        if self.target == "c" and cycles:
            from snnlang.runtime.native_cycles import CyclingRunner

            return CyclingRunner(passes, precision, streams, dt, offset, self.threads, cycles)
        if self.target == "c":
            return NativeRunner(passes, precision, streams, dt, offset, self.threads)
        return NumpyRunner(passes, precision, streams, dt, offset)

    def product(self, name: str, product: Product) -> Product:
        """As it is."""
        return product

    def optimizer(self, text: str, name: str) -> Any:
        """Array code; :mod:`snnlang.runtime.optimizers` compiles its own C."""
        return None

    @contextmanager
    def said(self) -> Iterator[None]:
        """Nothing to say. Compiled passes and products have threads of their own, and a BLAS none beside them."""
        if self.target != "c":
            yield
            return
        with one_thread():
            yield

    def warnings(self) -> tuple[Diagnostic, ...]:
        """None."""
        return ()


def downloaded(arrays: Arrays, named: Mapping[str, Any]) -> dict[str, Values]:
    """Arrays by name on the host: themselves where they are there already."""
    return {name: arrays.down(value) for name, value in named.items()}


__all__ = ["Arrays", "HostArrays", "downloaded"]
