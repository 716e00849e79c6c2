"""The CUDA text that builds connectivity on the device: headers of ``codegen/cuda`` pasted together, and the condition of ``where``.

One text serves every connectivity but those of ``where``, whose condition becomes a function of it; sizes, options and the stream's key
are data (``struct snn_wiring``, :func:`words`). Nothing here calls a compiler or a device.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from snnlang.codegen.plan import Connectivity
from snnlang.codegen.wiring import PATTERN, Wiring, condition_c

_FOLDER: Final = Path(__file__).parent / "cuda"

#: The members of ``struct snn_wiring`` of codegen/cuda/connectivity.cuh, in its order; ``shape`` is 18 of them.
_MEMBERS: Final = (
    "pattern", "pre_size", "post_size", "rows", "columns", "pre_first", "post_first", "pre_part", "post_part", "autapses",
    "multapses", "own_column", "own_row", "key", "scale", "k", "shape", "post_bytes", "row_start", "post", "shared", "taken",
    "taken_words", "chosen", "pairs", "left_out", "found",
)  # fmt: skip


def wiring_text(connectivity: Connectivity) -> str:
    """What builds a connectivity: CUDA C that needs no other file."""
    condition = (
        condition_c(connectivity.options) if connectivity.pattern == "where" else "(void)pre, (void)post;\nreturn 1;"
    )
    headers = [(_FOLDER / name).read_text() for name in ("mathematics.cuh", "random.cuh", "connectivity.cuh")]
    opening = (
        "/* Whether `where` makes this synapse. */\nstatic __device__ int snn_condition(int64_t pre, int64_t post)"
    )
    body = condition.replace("\n", "\n    ")
    function = f"{opening}\n{{\n    {body}\n}}\n"
    return "\n".join([*headers, function])


def words(made: Wiring, addresses: Mapping[str, int]) -> NDArray[np.int64]:
    """``struct snn_wiring`` as numbers of 64 bits; ``addresses`` are the members that are known on the device alone."""
    p = made.p
    values: dict[str, Any] = {name: getattr(made, name, 0) for name in _MEMBERS}
    values |= {"pre_part": 0, "post_part": 0, "post": 0, "shared": 0, "row_start": 0}
    values["scale"] = struct.unpack("<q", struct.pack("<d", math.log1p(-p) if 0.0 < p < 1.0 else -1.0))[0]
    values["key"] = struct.unpack("<q", struct.pack("<Q", made.key))[0]
    if made.pattern == PATTERN["random"] and p >= 1.0:
        values["pattern"] = PATTERN["dense"]
    values |= addresses
    flat: list[int] = []
    for name in _MEMBERS:
        flat += values[name] if name == "shape" else [values[name]]
    return np.array(flat, np.int64)
