"""The BLAS has one thread while we compute, and those that it had afterwards, whatever happens in between."""

from __future__ import annotations

import pytest

from snnlang.runtime import blas
from snnlang.runtime.blas import one_thread

threadpoolctl = pytest.importorskip("threadpoolctl")


def counts() -> list[int]:
    """Threads of the libraries that were loaded when it was first asked: NumPy's is one of them."""
    return [one.num_threads for one in blas._controller().lib_controllers if one.user_api == "blas"]


@pytest.mark.parametrize("before", [1, 2])
def test_one_thread_and_back(before: int) -> None:
    assert blas.can_be_told()
    with threadpoolctl.threadpool_limits(before, "blas"):
        outside = counts()
        with one_thread():
            assert set(counts()) <= {1}
            with one_thread():
                assert set(counts()) <= {1}
            assert set(counts()) <= {1}
        assert counts() == outside
        with pytest.raises(ValueError, match="in between"), one_thread():
            raise ValueError("in between")
        assert counts() == outside
