"""The command line ``snn``: one file per command, no work of its own."""

from __future__ import annotations

import gc
import sys

__all__ = ["main"]


def main() -> None:
    """Entry point of the ``snn`` script."""
    # A short process makes many objects that live to its end, and looking for cycles among them costs a tenth of the
    # time of `snn check`. A long run switches the search on again.
    gc.disable()
    try:
        from snnlang.cli.program import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while still starting
        code = 130
    sys.exit(code)
