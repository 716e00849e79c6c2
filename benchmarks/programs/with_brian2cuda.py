"""The benchmarks in Brian2CUDA: those of with_brian2.py, in an environment of its own (it wants a Brian2 of its own)."""

from __future__ import annotations

import with_brian2  # noqa: F401  (runs them: --mode cuda)
