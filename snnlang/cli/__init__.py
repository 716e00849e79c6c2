"""The command line ``snn``: one file per command, no work of its own."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys

__all__ = ["main"]


def main() -> None:
    """Entry point of the ``snn`` script."""
    # A short process makes many objects that live to its end, and looking for cycles among them costs a tenth of the
    # time of `snn check`. A long run switches the search on again.
    gc.disable()
    # The threads of NumPy's BLAS wait for work by spinning, a tenth of a second from the moment they are made: as long as a
    # small simulation takes, on the cores that its own threads need. After a few milliseconds they may sleep.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "22")  # of two: cycles
    try:
        from snnlang.cli.program import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while still starting
        code = 130
    _leave(code)


def _leave(code: int) -> None:
    """End the process at once: to take apart what it holds, object by object, costs as much as a small simulation.

    What was registered for the end is done. A profiler, a debugger or another thread gets the usual, slow end.
    """
    threads = sys.modules.get("threading")
    if sys.getprofile() is None and sys.gettrace() is None and (threads is None or threads.active_count() == 1):
        with contextlib.suppress(OSError, ValueError):  # a closed stream: the usual end knows what to do
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    sys.exit(code)
