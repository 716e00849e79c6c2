"""The counter-based random generator that every target repeats bit for bit.

A draw is a pure function of a stream's key, an index and a counter, so it depends on no order of evaluation, on no
number of threads and on no other population. All arithmetic is on unsigned 64-bit words, modulo 2^64; negative
indices and counters wrap (two's complement)::

    key                        = first 8 bytes, little endian, of blake2b("{seed}/{path}/{draw}" in UTF-8)
    mix(x)                     : x ^= x >> 30;  x *= 0xBF58476D1CE4E5B9
                                 x ^= x >> 27;  x *= 0x94D049BB133111EB
                                 x ^= x >> 31
    base(key, index)           = mix(key + index * 0x9E3779B97F4A7C15)
    word(key, index, counter)  = mix(base(key, index) ^ (counter * 0xD1B54A32D192ED03))

    uniform, double precision  = (word >> 11) * 2^-53                               in [0, 1)
    uniform, single precision  = (word >> 40) * 2^-24                               in [0, 1)
    normal                     = sqrt(-2 * log(u1)) * cos(2 * pi * u2)              (Box and Muller 1958)
      double precision: u1 = ((word >> 32) + 0.5) * 2^-32,  u2 = (word & 0xFFFFFFFF) * 2^-32
      single precision: u1 = ((word >> 40) + 0.5) * 2^-24,  u2 = ((word >> 8) & 0xFFFFFF) * 2^-24, all in float

The finaliser is variant 13 of Stafford ("Better bit mixing", 2011), as in SplitMix64 (Steele, Lea & Flood 2014).
Words and uniforms are equal on every target; normals to the rounding of log, sqrt and cos. Not for cryptography.
Needs NumPy alone: standalone modules carry this file's text.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

MASK = 0xFFFFFFFFFFFFFFFF
INDEX_FACTOR = 0x9E3779B97F4A7C15
COUNTER_FACTOR = 0xD1B54A32D192ED03
MIX_FIRST = 0xBF58476D1CE4E5B9
MIX_SECOND = 0x94D049BB133111EB

Words = NDArray[np.uint64]


def key_of(seed: int, path: str, draw: str) -> int:
    """The key of the stream of draw ``draw`` of the object at ``path``."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{path}/{draw}".encode()).digest()[:8], "little")


# --- one at a time ----------------------------------------------------------------------------------------------------


def mix(x: int) -> int:
    """The finaliser: every bit of the result depends on every bit of x."""
    x ^= x >> 30
    x = (x * MIX_FIRST) & MASK
    x ^= x >> 27
    x = (x * MIX_SECOND) & MASK
    return x ^ (x >> 31)


def word(key: int, index: int, counter: int) -> int:
    """The 64-bit word of one draw."""
    base = mix((key + index * INDEX_FACTOR) & MASK)
    return mix(base ^ ((counter * COUNTER_FACTOR) & MASK))


def uniform(key: int, index: int, counter: int, single: bool = False) -> float:
    """One number in [0, 1)."""
    bits = word(key, index, counter)
    return (bits >> 40) * 2.0**-24 if single else (bits >> 11) * 2.0**-53


def normal(key: int, index: int, counter: int, single: bool = False) -> float:
    """One standard normal number (of single precision: rounded once, at the end)."""
    bits = word(key, index, counter)
    if single:
        first, second = ((bits >> 40) + 0.5) * 2.0**-24, ((bits >> 8) & 0xFFFFFF) * 2.0**-24
        return float(np.float32(math.sqrt(-2.0 * math.log(first)) * math.cos(2.0 * math.pi * second)))
    first, second = ((bits >> 32) + 0.5) * 2.0**-32, (bits & 0xFFFFFFFF) * 2.0**-32
    return math.sqrt(-2.0 * math.log(first)) * math.cos(2.0 * math.pi * second)


# --- many at once -----------------------------------------------------------------------------------------------------

_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)
_FIRST, _SECOND = np.uint64(MIX_FIRST), np.uint64(MIX_SECOND)


def _mixed(x: Words) -> Words:
    """``mix`` of every element, in place."""
    shifted = x >> _30
    x ^= shifted
    x *= _FIRST
    np.right_shift(x, _27, out=shifted)
    x ^= shifted
    x *= _SECOND
    np.right_shift(x, _31, out=shifted)
    x ^= shifted
    return x


def bases(key: int, index: int | NDArray[np.int64] | NDArray[np.int32] | range) -> Words:
    """``base(key, index)`` for every index: worth keeping where the indices stay the same from step to step. ``index`` n means 0..n-1."""
    if isinstance(index, int):
        index = range(index)
    if isinstance(index, range):
        index = np.arange(index.start, index.stop, index.step)
    return _mixed(np.uint64(key) + np.asarray(index).astype(np.int64).view(np.uint64) * np.uint64(INDEX_FACTOR))


def words(base: Words, counter: int | NDArray[np.int64]) -> Words:
    """The words of every base at one counter, or at an array of counters that broadcasts with the bases."""
    if isinstance(counter, np.ndarray):
        return _mixed(base ^ (counter.astype(np.int64).view(np.uint64) * np.uint64(COUNTER_FACTOR)))
    return _mixed(base ^ np.uint64((int(counter) * COUNTER_FACTOR) & MASK))


def uniforms(base: Words, counter: int | NDArray[np.int64]) -> NDArray[np.float64]:
    """Numbers in [0, 1), double precision."""
    bits = words(base, counter)
    bits >>= np.uint64(11)
    return np.multiply(bits.view(np.int64), 2.0**-53, dtype=np.float64)


def uniforms_single(base: Words, counter: int | NDArray[np.int64]) -> NDArray[np.float32]:
    """Numbers in [0, 1), single precision."""
    bits = words(base, counter)
    bits >>= np.uint64(40)
    return bits.view(np.int64).astype(np.float32) * np.float32(2.0**-24)


def normals(base: Words, counter: int | NDArray[np.int64]) -> NDArray[np.float64]:
    """Standard normal numbers, double precision."""
    bits = words(base, counter)
    radius = (bits >> np.uint64(32)).view(np.int64).astype(np.float64)
    radius += 0.5
    radius *= 2.0**-32
    np.log(radius, out=radius)
    radius *= -2.0
    np.sqrt(radius, out=radius)
    bits &= np.uint64(0xFFFFFFFF)
    angle = bits.view(np.int64).astype(np.float64)
    angle *= 2.0**-32
    angle *= 2.0 * math.pi
    np.cos(angle, out=angle)
    radius *= angle
    return radius


def normals_single(base: Words, counter: int | NDArray[np.int64]) -> NDArray[np.float32]:
    """Standard normal numbers, single precision."""
    bits = words(base, counter)
    radius = (bits >> np.uint64(40)).view(np.int64).astype(np.float32) + np.float32(0.5)
    radius *= np.float32(2.0**-24)
    np.log(radius, out=radius)
    radius *= np.float32(-2.0)
    np.sqrt(radius, out=radius)
    angle = ((bits >> np.uint64(8)) & np.uint64(0xFFFFFF)).view(np.int64).astype(np.float32) * np.float32(2.0**-24)
    angle *= np.float32(2.0 * math.pi)
    np.cos(angle, out=angle)
    radius *= angle
    return radius
