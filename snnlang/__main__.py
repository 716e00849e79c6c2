"""``python -m snnlang`` is the command line ``snn``."""

from __future__ import annotations

from snnlang.cli import main

if __name__ == "__main__":
    main()
