"""Event files of ATIS cameras (``.bin`` of N-MNIST and N-Caltech101): five bytes an event, big-endian.

Bytes: x; y; polarity in the highest bit, then 23 bits of time in microseconds. An event at y = 240 is no event but says that the clock
of the camera went round: later times are 2^13 us later (Orchard et al. 2015, and the reader published with the data).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snnlang.data.columns import unreadable
from snnlang.data.events import Events, make
from snnlang.diagnostics import Span

#: Pixels of the sensor of N-MNIST.
SIDE = 34
_OVERFLOW_ROW = 240
_OVERFLOW = 1 << 13


def read(raw: bytes, path: Path, span: Span | None = None) -> Events:
    """The events of a file's bytes; E630 where it is empty or cut off."""
    if len(raw) % 5:
        raise unreadable(path, f"is cut off: {len(raw)} bytes are no whole number of events of 5 bytes", span)
    if not raw:
        raise unreadable(path, "is empty", span)
    words = np.frombuffer(raw, np.uint8).reshape(-1, 5).astype(np.int64)
    t = (words[:, 2] & 0x7F) << 16 | words[:, 3] << 8 | words[:, 4]
    overflow = words[:, 1] == _OVERFLOW_ROW
    t += np.cumsum(overflow) * _OVERFLOW
    real = ~overflow
    return make(t[real], words[real, 0], words[real, 1], words[real, 2] >> 7)
