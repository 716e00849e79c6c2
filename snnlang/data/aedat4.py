"""AEDAT 4: event files of iniVation's DV software and of dv-processing.

After the version line comes a FlatBuffer with the compression and a description of the streams in XML, then packets: number of the
stream, size, and a FlatBuffer that may be compressed with LZ4 or Zstandard (extra ``data``). The few tables that matter here are read by
hand: a table points back to a list of offsets of its fields. Every offset is checked against the end of the file.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from snnlang.data.columns import missing, unreadable
from snnlang.data.events import Events, Sensor, make
from snnlang.diagnostics import Span

VERSION = b"#!AER-DAT4.0\r\n"
_EVENT = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1"), ("gap", "V3")])
_COMPRESSIONS = ("none", "lz4", "lz4", "zstd", "zstd")


def read(raw: bytes, path: Path, span: Span | None = None) -> tuple[Events, Sensor]:
    """All polarity events of the first stream that holds any, and the size of its sensor."""
    try:
        return _read(raw, path, span)
    except (struct.error, IndexError, ValueError, UnicodeDecodeError, ElementTree.ParseError) as problem:
        raise unreadable(path, f"is no whole AEDAT 4 file: {problem}", span) from None


def _read(raw: bytes, path: Path, span: Span | None) -> tuple[Events, Sensor]:
    (size,) = struct.unpack_from("<I", raw, len(VERSION))
    start = len(VERSION) + 4
    head = _cut(raw, start, size)
    table = _root(head, b"IOHE")
    compression = _number(head, table, 0, "<i", 0)
    if not 0 <= compression < len(_COMPRESSIONS):
        raise ValueError(f"compression {compression} is not known")
    end = _number(head, table, 1, "<q", -1)
    stream, sensor = _streams(_text(head, table, 2))
    unpack = _unpacker(_COMPRESSIONS[compression], span)
    place, last = start + size, len(raw) if end < 0 else min(end, len(raw))
    found: list[np.ndarray] = []
    while place < last:
        number, size = struct.unpack_from("<ii", raw, place)
        packet = _cut(raw, place + 8, size)
        place += 8 + size
        if number == stream:
            found.append(_packet(unpack(packet)))
    events = np.concatenate(found) if found else np.empty(0, _EVENT)
    if not len(events):
        raise unreadable(path, "holds no events", span)
    return make(events["t"], events["x"], events["y"], events["p"]), sensor


def _packet(buffer: bytes) -> np.ndarray:
    """The events of one packet: a table whose only field is a vector of structures of 16 bytes."""
    (size,) = struct.unpack_from("<I", buffer, 0)
    body = _cut(buffer, 4, size)
    table = _root(body, b"EVTS")
    at = _field(body, table, 0)
    if at is None:
        return np.empty(0, _EVENT)
    (offset,) = struct.unpack_from("<I", body, at)
    (count,) = struct.unpack_from("<I", body, at + offset)
    return np.frombuffer(_cut(body, at + offset + 4, count * _EVENT.itemsize), _EVENT)


def _streams(text: str) -> tuple[int, Sensor]:
    """The first stream of events in the description, and its sensor."""
    if re.search(r"<!(DOCTYPE|ENTITY)", text):
        raise ValueError("its description is no plain XML")
    tree = ElementTree.fromstring(text)
    for node in tree.iterfind("./node[@name='outInfo']/node"):
        values = {attr.get("key"): attr.text for attr in node.iter("attr")}
        if values.get("typeIdentifier") == "EVTS":
            return int(node.get("name") or ""), Sensor(int(values.get("sizeY") or ""), int(values.get("sizeX") or ""))
    raise ValueError("it has no stream of events")


def _unpacker(compression: str, span: Span | None) -> Callable[[bytes], bytes]:
    match compression:
        case "lz4":
            try:
                import lz4.frame
            except ImportError:
                raise missing("lz4", "this AEDAT 4 file", span) from None
            return lambda packet: _tried(lz4.frame.decompress, packet)
        case "zstd":
            if sys.version_info >= (3, 14):
                from compression import zstd

                return lambda packet: _tried(zstd.decompress, packet)
            try:
                import zstandard
            except ImportError:
                raise missing("zstandard", "this AEDAT 4 file", span) from None
            return lambda packet: _tried(
                lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data), packet
            )
        case _:
            return bytes


def _tried(verb: Callable[[bytes], bytes], packet: bytes) -> bytes:
    try:
        return verb(packet)
    except Exception as problem:  # each package has its own
        raise ValueError(f"a packet cannot be unpacked ({problem})") from None


# --- FlatBuffers ------------------------------------------------------------------------------------------------------


def _cut(raw: bytes, start: int, size: int) -> bytes:
    if start < 0 or size < 0 or start + size > len(raw):
        raise ValueError("it is cut off")
    return raw[start : start + size]


def _root(buffer: bytes, name: bytes) -> int:
    """The place of the root table of a buffer with this identifier."""
    if buffer[4:8] != name:
        raise ValueError(f"a table {name.decode()} is not there")
    return int(struct.unpack_from("<I", buffer, 0)[0])


def _field(buffer: bytes, table: int, number: int) -> int | None:
    """The place of a field, None where it is left at its default."""
    (back,) = struct.unpack_from("<i", buffer, table)
    offsets = table - back
    if offsets < 0:
        raise ValueError("an offset points before the file")
    (size,) = struct.unpack_from("<H", buffer, offsets)
    if 4 + 2 * number >= size:
        return None
    (offset,) = struct.unpack_from("<H", buffer, offsets + 4 + 2 * number)
    return table + offset if offset else None


def _number(buffer: bytes, table: int, number: int, form: str, default: int) -> int:
    place = _field(buffer, table, number)
    return default if place is None else int(struct.unpack_from(form, buffer, place)[0])


def _text(buffer: bytes, table: int, number: int) -> str:
    place = _field(buffer, table, number)
    if place is None:
        raise ValueError("it does not describe its streams")
    (offset,) = struct.unpack_from("<I", buffer, place)
    (size,) = struct.unpack_from("<I", buffer, place + offset)
    return _cut(buffer, place + offset + 4, size).decode("utf-8")
