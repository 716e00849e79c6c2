"""NumPy's BLAS with one thread, as long as we compute: our own threads share out the rows of a product.

A BLAS that divides a product among its threads adds up in another order for another number of them; rows that are given out by us are
computed alike whoever computes them, so that no bit of a training depends on threads. Without the package ``threadpoolctl`` a BLAS keeps
its own threads, and products of several are right to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def _controller() -> Any:
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


def can_be_told() -> bool:
    """Whether the number of a BLAS's threads is ours to say."""
    return _controller() is not None


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it every product of NumPy is computed by the thread that asks for it; afterwards all is as before."""
    controller = _controller()
    if controller is None:
        yield
        return
    libraries = [one for one in controller.lib_controllers if one.user_api == "blas"]
    before = [one.num_threads for one in libraries]
    for one, count in zip(libraries, before, strict=True):
        if count != 1:
            one.set_num_threads(1)
    try:
        yield
    finally:
        for one, count in zip(libraries, before, strict=True):
            if count != 1:
                one.set_num_threads(count)
