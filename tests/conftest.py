"""Tests keep what can be made again in a cache of their own, not in the user's."""

from __future__ import annotations

import getpass
import os
import tempfile
from pathlib import Path

os.environ.setdefault("SNN_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"snnlang-tests-{getpass.getuser()}"))
