"""Threads that share out one call's work: the caller does a part itself, so that a short call waits for one thread less."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class Team:
    """``team(parts, do)`` calls ``do(0)`` … ``do(parts - 1)`` side by side and returns when all have ended."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def __call__(self, parts: int, do: Callable[[int], None]) -> None:
        if self._pool is None or parts == 1:
            for part in range(parts):
                do(part)
            return
        others = [self._pool.submit(do, part) for part in range(1, parts)]
        try:
            do(0)
        finally:
            for other in others:
                other.result()
