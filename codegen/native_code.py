"""A C file and what must be given to it at run time: what the printer makes, the cache keeps and the native device takes."""

from __future__ import annotations

from snnlang.frozen import dataclass


@dataclass(frozen=True, slots=True)
class NativeCode:
    """A C file and what must be given to it at run time, in the order in which it expects it (``snn_given`` in codegen/native/model.h).

    ``whole``, ``number`` and ``initial`` (one for each array) are the values themselves; the others are names of the plan: arrays, random
    streams, connectivities, labels of recorders.
    """

    text: str
    whole: tuple[int, ...]
    number: tuple[float, ...]
    initial: tuple[float, ...]
    arrays: tuple[str, ...]
    streams: tuple[str, ...]
    connectivities: tuple[str, ...]
    recorders: tuple[str, ...]
