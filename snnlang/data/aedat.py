"""AEDAT 2 and 3.1: event files of jAER and cAER, as CIFAR10-DVS and DVS128 Gesture come in.

Both begin with lines of text that start with ``#``. AEDAT 2 then holds big-endian pairs of address and time; who reads the address
disagrees about axes and sign, so that ``layout`` chooses: ``raw`` takes the bits as they are, ``swapped`` takes x for y as tonic does,
``jaer`` mirrors x and reads the bit of the polarity as darker, ``cifar10_dvs`` turns the picture as its usual readers do. AEDAT 3.1 holds
little-endian packets; those that hold no polarity events are passed over, and so are events marked invalid. Refused are other chips,
compressed packets and cut files.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from snnlang.data.columns import unreadable
from snnlang.data.events import Events, make
from snnlang.diagnostics import Span

#: Pixels of a side of the DVS128.
SIDE = 128
_END_2 = b"#End Of ASCII Header\r\n"
_END_3 = b"#!END-HEADER\r\n"
_POLARITY = 1
_HEADER_3 = struct.Struct("<HHIIIIII")


def read_2(raw: bytes, path: Path, span: Span | None = None, layout: str = "raw") -> Events:
    """AEDAT 2 of a DVS128: x in bits 1 to 7 of the address, y in bits 8 to 14, polarity in bit 0."""
    start = _text_end(raw, _END_2)
    body = raw[start:]
    if len(body) % 8:
        raise unreadable(path, f"is cut off: {len(body)} bytes of events are no whole number of records of 8", span)
    if not body:
        raise unreadable(path, "holds no events", span)
    records = np.frombuffer(body, ">u4").reshape(-1, 2).astype(np.int64)
    address, clock = records[:, 0], records[:, 1]
    if (address >> 16).any():
        raise unreadable(
            path,
            "holds addresses that a DVS128 does not have",
            span,
            "convert it to AEDAT 4 with the camera's own software",
        )
    t = clock + (np.cumsum(np.diff(clock, prepend=clock[:1]) < -(1 << 31)) << 32)  # the 32-bit clock goes round
    real = address >> 15 == 0  # bit 15 marks what is no pixel
    address, t = address[real], t[real]
    x, y, p = address >> 1 & 127, address >> 8 & 127, address & 1
    match layout:
        case "jaer":
            x, p = SIDE - 1 - x, 1 - p
        case "swapped":
            x, y = y, x
        case "cifar10_dvs":
            x, y, p = SIDE - 1 - y, SIDE - 1 - x, 1 - p
    return make(t, x, y, p)


def read_3(raw: bytes, path: Path, span: Span | None = None) -> Events:
    """AEDAT 3.1: packets of 28 bytes of header and events of 8 bytes; t = time + overflow*2^31."""
    start = raw.find(_END_3)
    if start < 0:
        raise unreadable(path, "has no end of its header (#!END-HEADER)", span)
    head = raw[:start].decode("latin-1").splitlines()
    form = next((line.partition(":")[2].strip() for line in head if line.startswith("#Format:")), "RAW")
    if form != "RAW":
        raise unreadable(
            path, f"is in the form {form}", span, "only RAW can be read: record or convert it without compression"
        )
    place = start + len(_END_3)
    packets: list[tuple[np.ndarray, int]] = []
    while place < len(raw):
        if place + _HEADER_3.size > len(raw):
            raise unreadable(path, f"is cut off inside the header of a packet at byte {place}", span)
        kind, _, size, _, overflow, capacity, number, _ = _HEADER_3.unpack_from(raw, place)
        place += _HEADER_3.size
        end = place + capacity * size
        if end > len(raw) or number > capacity:
            raise unreadable(
                path, f"is cut off or damaged: a packet of {capacity} events at byte {place} is not there", span
            )
        if kind == _POLARITY:
            if size != 8:
                raise unreadable(path, f"holds polarity events of {size} bytes, not 8", span)
            packets.append((np.frombuffer(raw, "<u4", 2 * number, place).reshape(-1, 2), overflow))
        place = end
    if not packets or not sum(len(packet) for packet, _ in packets):
        raise unreadable(path, "holds no polarity events", span)
    data = np.concatenate([packet[:, 0] for packet, _ in packets]).astype(np.int64)
    t = np.concatenate([packet[:, 1].view("<i4").astype(np.int64) + (overflow << 31) for packet, overflow in packets])
    valid = (data & 1) == 1
    data, t = data[valid], t[valid]
    return make(t, data >> 17 & 0x7FFF, data >> 2 & 0x7FFF, data >> 1 & 1)


def _text_end(raw: bytes, mark: bytes) -> int:
    """Where the lines of text end: after the mark, else before the first line that begins otherwise."""
    found = raw.find(mark)
    if found >= 0:
        return found + len(mark)
    place = 0
    while raw[place : place + 1] == b"#":
        line = raw.find(b"\n", place)
        if line < 0:
            return len(raw)
        place = line + 1
    return place
