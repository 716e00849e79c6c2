"""How much memory this machine has, or its container allows."""

from __future__ import annotations

import os
from pathlib import Path

#: Where Linux says how much a container may use (control groups 2 and 1).
CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def machine_memory() -> float | None:
    """Physical memory in bytes, or what a container allows of it; None where the system does not say."""
    try:
        limit = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return None
    for place in CONTAINER_LIMITS:
        try:
            limit = min(limit, float(Path(place).read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return limit
