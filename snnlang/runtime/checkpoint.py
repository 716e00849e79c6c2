"""Checkpoints: everything from which a training goes on as if it had never stopped, in one safetensors file, written whole or not at all.

Arrays under their users' names (``h->o.x.w``); the optimizer's memory under ``optimizer.0`` and ``optimizer.1``; numbers in the file's
metadata as JSON. Nothing is ever unpickled. Refused with one line: files that are no safetensors, of another program, of another network.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import error
from snnlang.files import write_atomically
from snnlang.frozen import dataclass, field
from snnlang.model.weights import Weights, shown, unfit

Values = NDArray[Any]
FORMAT = "snnlang training 1"
_NEEDED = "checkpoints need safetensors, which is not installed"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``weights`` by name; ``state`` of a training (epoch, batch, counts, schedule, history), ``memory`` of its optimizer; both empty for
    weights alone."""

    weights: dict[str, Values]
    memory: tuple[Values, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)


def save(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; raises E801 where it cannot be written, and then leaves an older one as it was."""
    numpy = _library()
    arrays = {name: np.array(value, order="C") for name, value in checkpoint.weights.items()}
    arrays.update({f"optimizer.{number}": value for number, value in enumerate(checkpoint.memory)})
    metadata = {"format": FORMAT, "state": json.dumps(checkpoint.state), "checksum": _checksum(arrays)}
    with write_atomically(path) as temporary:
        temporary.write_bytes(numpy.save(arrays, metadata=metadata))


def load(path: str | Path) -> Checkpoint:
    """Read a checkpoint. Raises E840 (cannot be read, damaged, foreign)."""
    from safetensors import SafetensorError

    numpy = _library()
    try:
        data = Path(path).read_bytes()
    except OSError as problem:
        raise error(
            "E840",
            f"cannot read the weights '{path}': {problem.strerror or problem}",
            help="check the path; `snn run` writes them with --out DIR",
        ) from None
    try:
        arrays = numpy.load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
        state = json.loads(metadata.get("state", "{}"))
        damaged = metadata.get("checksum") not in (None, _checksum(arrays))
    except (SafetensorError, ValueError, KeyError, AttributeError, TypeError, OverflowError, MemoryError):
        raise error(
            "E840",
            f"'{path}' is no safetensors file, or it is damaged",
            help="name a file that `snn run --out DIR` wrote, such as DIR/best.safetensors",
        ) from None
    if damaged:
        raise error(
            "E840",
            f"'{path}' is damaged: its numbers are not those that were written",
            help="use another file of this training, such as DIR/best.safetensors, or train again",
        )
    memory = tuple(arrays.pop(name) for name in ("optimizer.0", "optimizer.1") if name in arrays)
    if metadata.get("format") not in (None, FORMAT) or not isinstance(state, dict):
        raise error(
            "E840",
            f"'{path}' was written by another version ({metadata.get('format')})",
            help="train again, or use the version that wrote it",
        )
    return Checkpoint(arrays, memory, state)


def weights_of(given: str | Path | Mapping[str, Any]) -> Weights:
    """Trained numbers for a simulation: a file that a training wrote, or arrays by name. Raises E840."""
    if isinstance(given, Mapping):
        return Weights({name: np.asarray(value) for name, value in given.items()}, "what was given as weights")
    found = load(given)
    seed = found.state.get("seed")
    return Weights(found.weights, f"'{given}'", seed if isinstance(seed, int) else None)


def fit(
    found: Mapping[str, Values], wanted: Mapping[str, Values], origin: str, spared: Collection[str] = (), more: Sequence[str] = ()
) -> None:
    """Copy weights into their places; raises E841 where names or shapes are others. ``spared`` may be missing and stay as they are;
    ``more`` are problems that the caller found."""
    problems = list(more)
    for name, place in wanted.items():
        if name not in found:
            if name not in spared:
                problems.append(f"`{name}` is missing")
        elif found[name].shape != place.shape:
            problems.append(f"`{name}` is {shown(found[name].shape)}, and the network's is {shown(place.shape)}")
    problems += [f"`{name}` is not in the network" for name in found if name not in wanted]
    if problems:
        raise unfit(origin, problems)
    for name, place in wanted.items():
        if name not in found:
            continue
        if not np.all(np.isfinite(found[name])):
            raise error(
                "E841", f"{origin} holds numbers that are not finite in `{name}`", help="use an earlier checkpoint"
            )
        place[...] = found[name]


def _checksum(arrays: Mapping[str, Values]) -> str:
    """CRC-32 of all names and numbers: safetensors itself keeps none, and a changed bit would go unnoticed."""
    total = 0
    for name in sorted(arrays):
        total = zlib.crc32(arrays[name].tobytes(), zlib.crc32(name.encode(), total))
    return f"{total:08x}"


def _library() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise error("E806", _NEEDED, help="install it: pip install snnlang[train]") from None
    return safetensors.numpy
