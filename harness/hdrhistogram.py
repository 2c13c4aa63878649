"""Histograms as HdrHistogram's text: base64 of its V2 compressed encoding, both ways. Pure.

The text starts with ``HISTF`` and is what wrk2, Cassandra's stress tool and the libraries in
Java, C, Go, Rust, JavaScript and Python read and write. Layout, all big-endian (Gil Tene,
``AbstractHistogram.java``)::

    compressed := cookie 0x1c849314, length, zlib(payload)
    payload    := cookie 0x1c849313, length of counts, normalizing offset, significant digits,
                  lowest and highest trackable value, conversion ratio, counts
    counts     := ZigZag LEB128 numbers; a negative one is a run of empty buckets

Values are microseconds here. What lies below the range is written as 0, and what lies above
as two hours; values that are no number have no place in such a text.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from harness.histogram import BUCKETS, HIGHEST_US, LOWEST_US, Histogram, bucket_of, edges_us

COMPRESSED_COOKIE, PAYLOAD_COOKIE = 0x1C849314, 0x1C849313
#: The last four bits of a cookie hold the word size, which V2 does not use.
COOKIE_MASK = 0xFFFFFF0F
COMPRESSED_HEADER = struct.Struct(">II")
HEADER = struct.Struct(">IIIIqqd")
DIGITS = 3
TOO_SLOW_US = 2 * HIGHEST_US
MOST_BYTES = 64 * 2**20  #: no histogram of three digits comes near it; a forged one may
MOST_COUNTED = 2**62
MOST_DIGITS, LEB128_BYTES = 5, 9


def encode(histogram: Histogram, digits: int = DIGITS) -> str:
    """The histogram as text.

    Each bucket is written at its middle: HdrHistogram's buckets of three digits are half as
    wide, so that reading the text back gives the same counts. With two digits the text is much
    shorter, and what is read back is up to 0.4 % off.

    Raises:
        ValueError: It holds values that are no number, which the text would drop.
    """
    if histogram.invalid:
        raise ValueError(f"{histogram.invalid} values that are no number cannot be written")
    filled = np.flatnonzero(histogram.counts)
    low, high = edges_us(filled)
    layout = _Layout(digits, LOWEST_US)
    values = [*((low + high) // 2).tolist(), 0, TOO_SLOW_US]
    numbers = [*histogram.counts[filled].tolist(), histogram.below, histogram.above]
    counts: Counter[int] = Counter()
    for value, count in zip(values, numbers, strict=True):
        if count:
            counts[layout.index_of(value)] += count
    body = b"".join(_leb128(number) for number in _with_runs(counts))
    head = HEADER.pack(PAYLOAD_COOKIE, len(body), 0, digits, LOWEST_US, TOO_SLOW_US, 1.0)
    packed = zlib.compress(head + body)
    cookie = COMPRESSED_HEADER.pack(COMPRESSED_COOKIE, len(packed))
    return base64.b64encode(cookie + packed).decode()


def decode(text: str, *, us_per_value: float = 1.0) -> Histogram:
    """The histogram that a text holds, however many digits it was recorded with.

    Args:
        text: Base64 of a V2 compressed histogram.
        us_per_value: Microseconds of one unit of the recorded values: 0.001 for nanoseconds.

    Raises:
        ValueError: The text is not such a histogram, or a damaged one.
    """
    payload = _inflate(text)
    if len(payload) < HEADER.size:
        raise ValueError("the histogram ends within its header")
    cookie, length, offset, digits, lowest, highest, ratio = HEADER.unpack_from(payload)
    if cookie & COOKIE_MASK != PAYLOAD_COOKIE & COOKIE_MASK:
        raise ValueError(f"{cookie:#x} is not the cookie of a V2 histogram")
    if offset or ratio != 1.0:
        raise ValueError("shifted histograms and those of doubles cannot be read")
    if not 0 <= digits <= MOST_DIGITS or not 1 <= lowest <= highest:
        raise ValueError(f"no histogram has {digits} digits from {lowest} to {highest}")
    if length > len(payload):  # the C library counts the header too, the Java one does not
        raise ValueError("the histogram is cut off")
    layout = _Layout(digits, lowest)
    last = layout.index_of(highest)
    middles, counts = [], []
    for index, count in _filled(payload[HEADER.size : HEADER.size + length]):
        if index > last:
            raise ValueError(f"the histogram counts values above its highest, {highest}")
        middles.append(layout.middle(index) * us_per_value)
        counts.append(count)
    if sum(counts) > MOST_COUNTED:
        raise ValueError(
            f"the histogram counts {sum(counts)} values, which nobody can have measured"
        )
    return _counted(np.array(middles, np.float64), np.array(counts, np.int64))


def _counted(values_us: NDArray[np.float64], counts: NDArray[np.int64]) -> Histogram:
    us = np.rint(np.minimum(values_us, TOO_SLOW_US))
    below, above = us < LOWEST_US, us > HIGHEST_US
    inside = ~(below | above)
    dense = np.zeros(BUCKETS, np.int64)
    np.add.at(dense, bucket_of(us[inside].astype(np.int64)), counts[inside])
    return Histogram(dense, int(counts[below].sum()), int(counts[above].sum()))


class _Layout:
    """Which values share a bucket of HdrHistogram.

    With ``d`` digits the first 2**m >= 2·10**d units have a bucket each, and every doubling
    above is split into half as many.
    """

    def __init__(self, digits: int, lowest: int) -> None:
        self._unit = lowest.bit_length() - 1
        self._bits: int = (2 * 10**digits - 1).bit_length()

    def index_of(self, value: int) -> int:
        scaled = value >> self._unit
        shift = max(0, scaled.bit_length() - self._bits)
        return (shift << (self._bits - 1)) + (scaled >> shift)

    def middle(self, index: int) -> float:
        half: int = 1 << (self._bits - 1)
        shift = max(0, index // half - 1)
        width: int = 1 << (shift + self._unit)
        return (index - shift * half) * width + (width - 1) / 2


def _with_runs(counts: dict[int, int]) -> Iterator[int]:
    """The counts in the order of their buckets; empty ones between them as negative runs."""
    following = 0
    for index in sorted(counts):
        empty = index - following
        if empty:
            yield 0 if empty == 1 else -empty
        yield counts[index]
        following = index + 1


def _leb128(number: int) -> bytes:
    """One number as ZigZag LEB128 of at most nine bytes, of which the ninth holds eight bits."""
    rest = (number << 1) ^ (number >> 63)
    found = bytearray()
    while rest > 0x7F and len(found) < LEB128_BYTES - 1:
        found.append(rest & 0x7F | 0x80)
        rest >>= 7
    found.append(rest)
    return bytes(found)


def _filled(body: bytes) -> Iterator[tuple[int, int]]:
    """Bucket and count of each filled bucket.

    Raises:
        ValueError: The last number is cut off.
    """
    index = at = 0
    while at < len(body):
        zigzag = shift = 0
        for place in range(LEB128_BYTES):
            if at >= len(body):
                raise ValueError("the histogram ends within a number")
            byte = body[at]
            at += 1
            last = place == LEB128_BYTES - 1 or byte < 0x80
            zigzag |= (byte if last else byte & 0x7F) << shift
            if last:
                break
            shift += 7
        number = (zigzag >> 1) ^ -(zigzag & 1)
        if number > 0:
            yield index, number
        index += 1 if number >= 0 else -number


def _inflate(text: str) -> bytes:
    try:
        packed = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"the histogram is not base64: {error}") from error
    if len(packed) < COMPRESSED_HEADER.size:
        raise ValueError("the histogram is cut off")
    cookie, length = COMPRESSED_HEADER.unpack_from(packed)
    if cookie & COOKIE_MASK != COMPRESSED_COOKIE & COOKIE_MASK:
        raise ValueError(f"{cookie:#x} is not the cookie of a compressed V2 histogram")
    body = packed[COMPRESSED_HEADER.size :]
    if len(body) < length:
        raise ValueError("the histogram is cut off")
    stream = zlib.decompressobj()
    try:
        payload = stream.decompress(body[:length], MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"the histogram cannot be decompressed: {error}") from error
    if not stream.eof:
        raise ValueError(f"the histogram is cut off, or larger than {MOST_BYTES} bytes")
    return payload
