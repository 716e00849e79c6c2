"""Tests keep what can be made again in a cache of their own, not in the user's, and draw the same cases every time.

``SNN_EXPLORE=1 pytest`` draws new ones: what it finds becomes an ``@example`` of its test."""

from __future__ import annotations

import getpass
import os
import signal
import sys
import tempfile
from pathlib import Path

from hypothesis import settings

ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:  # rooms share helpers as ``tests.…``, however pytest is started
    sys.path.insert(0, ROOT)

os.environ.setdefault("SNN_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"snnlang-tests-{getpass.getuser()}"))

settings.register_profile("the same", derandomize=True, database=None)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("explore" if os.environ.get("SNN_EXPLORE") else "the same")

if not os.environ.get("SNN_EXPLORE"):
    # Hypothesis also draws numbers and words that it finds in the source of loaded modules: what a test tries would then change with
    # every edit and with what ran before in the same process.
    from hypothesis.internal.conjecture import providers

    if hasattr(providers, "_get_local_constants") and hasattr(providers, "_local_constants"):
        providers._get_local_constants = lambda: providers._local_constants

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background: what is interrupted here shall notice
    signal.signal(signal.SIGINT, signal.default_int_handler)
