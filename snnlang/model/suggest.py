"""The nearest name: what somebody probably meant.

Distance counts a swap of two neighbouring letters as one mistake (``tua`` for ``tau``). A suggestion is only made when it is
close: a wrong guess costs more than none.
"""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that is closest to ``name``, or None when none is close; ties go to the first."""
    limit = 1 if len(name) <= 4 else 2 if len(name) <= 8 else 3
    best: str | None = None
    best_distance = limit + 1
    for candidate in candidates:
        if candidate == name or abs(len(candidate) - len(name)) > limit:
            continue
        if len(name) == 1 and candidate.lower() != name.lower():
            continue
        distance = 0 if candidate.lower() == name.lower() else _distance(name.lower(), candidate.lower(), best_distance)
        if distance < best_distance and distance < max(len(name), len(candidate)):
            best, best_distance = candidate, distance
    if best is None:
        flat = name.replace("_", "").lower()
        best = next((c for c in candidates if c != name and c.replace("_", "").lower() == flat), None)
    return best


def help_for(name: str, candidates: Iterable[str]) -> tuple[str, ...]:
    """A help line with the nearest name, or nothing."""
    found = nearest(name, list(candidates))
    return () if found is None else (f"did you mean `{found}`?",)


def listing(names: Iterable[str], limit: int = 8) -> str:
    """Names for a sentence: ``\\`a\\`, \\`b\\` and 3 more``."""
    every = list(names)
    shown = ", ".join(f"`{name}`" for name in every[:limit])
    return shown if len(every) <= limit else f"{shown} and {len(every) - limit} more"


def _distance(left: str, right: str, limit: int) -> int:
    """Edits (insert, delete, replace, swap of neighbours) from one text to the other; at least ``limit`` when that many."""
    before: list[int] = []
    previous = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        current = [i]
        for j, b in enumerate(right, start=1):
            cost = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            current.append(cost)
        if min(current) >= limit:
            return limit
        before, previous = previous, current
    return previous[-1]
