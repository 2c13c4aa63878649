"""HdrHistogram's text: read and written as the other libraries do, and refused when damaged."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.builders  # noqa: F401 - sets hypothesis up
from harness.hdrhistogram import COMPRESSED_COOKIE, PAYLOAD_COOKIE, decode, encode
from harness.histogram import HIGHEST_US, RELATIVE_ERROR, Histogram, edges_us

HOUR_US = HIGHEST_US

# Written by other libraries and published with their tests: text, values, count, highest.
VECTORS = {
    "by the C library: 10,000 values of 1 ms and one of 100 s": (
        "HISTFAAAACl4nJNpmSzMwMBgyAABzFCaEURcm7yEwf4DROA8/4I5jNM7mJgAlWkH9g==",
        10_001,
        {0.5: 1e-3, 0.9999: 1e-3, 1.0: 100.0},
    ),
    "by the Vala library: three values": (
        "HISTFAAAACV4nJNpmSzMwMDAwQABzFCaEUrp2H+AsI4zMh1lZEpkAgBdIQSk",
        3,
        {0.3: 100e-6, 0.6: 200e-6, 1.0: 250e-6},
    ),
    "by the Java library, with no digit at all: 100 of 64 to 127": (
        "HISTFAAAAB14nJNpmSzMwMDAxIAKGCEU8wv7DxAWLxMASToDcw==",
        1,
        {1.0: 95.5e-6},
    ),
    "by the Java library: nothing": ("HISTFAAAABl42pNpmSzMwMDAyIAKYHwm+w9QFgA8ewJ6", 0, {}),
}


@pytest.mark.parametrize(("text", "total", "quantiles"), VECTORS.values(), ids=VECTORS)
def test_what_other_libraries_published_is_read(
    text: str, total: int, quantiles: dict[float, float]
) -> None:
    found = decode(text)
    assert found.total == total
    for quantile, value_s in quantiles.items():
        assert found.quantile_s(quantile) == pytest.approx(value_s, rel=RELATIVE_ERROR, abs=1e-6)


def test_a_histogram_is_written_byte_for_byte_as_the_other_library_does() -> None:
    """Its payload: the compressed bytes may differ with the version of zlib."""
    other = HdrHistogram(1, 2 * HOUR_US, 3)
    low, high = edges_us(np.array([2, 5, 5, 1_000, 1_023, 4_567, 8_910]))
    values = ((low + high) // 2).tolist()
    for value in values:
        other.record_value(value)
    assert (
        payload(encode(Histogram.of(np.array(values) / 1e6)))[40:]
        == payload(other.encode().decode())[40:]
    )


latencies = st.lists(st.floats(0, 4000), max_size=80).map(np.array)


@given(latencies)
def test_what_was_written_reads_back(values: np.ndarray) -> None:
    histogram = Histogram.of(values)
    assert decode(encode(histogram)).sparse() == histogram.sparse()


@settings(max_examples=15)  # the other library takes its time
@given(latencies)
def test_the_other_library_reads_what_was_written(values: np.ndarray) -> None:
    histogram = Histogram.of(values)
    other = HdrHistogram.decode(encode(histogram))
    assert other.get_total_count() == histogram.total
    read = [
        item.value_iterated_to
        for item in other.get_recorded_iterator()
        for _ in range(item.count_at_value_iterated_to)
    ]
    us = np.sort(np.where(values > 3600, 7200, values)) * 1e6
    assert read == pytest.approx(us, rel=2 * RELATIVE_ERROR, abs=1)


@given(st.lists(st.integers(0, HOUR_US), max_size=80), st.integers(1, 4))
def test_what_the_other_library_wrote_is_read(values: list[int], digits: int) -> None:
    other = HdrHistogram(1, HOUR_US, digits)
    for value in values:
        other.record_value(value)
    found = decode(other.encode().decode())
    assert found.total == len(values)
    if values:
        middle = sorted(values)[len(values) // 2]
        quantile = (len(values) // 2 + 1) / len(values)
        error = max(RELATIVE_ERROR, 10.0**-digits)
        assert found.quantile_s(quantile) * 1e6 == pytest.approx(middle, rel=error, abs=0.51)


def test_other_units_are_turned_into_microseconds() -> None:
    other = HdrHistogram(1, 10**12, 3)
    other.record_value(5_000_000)
    found = decode(other.encode().decode(), us_per_value=0.001)
    assert found.quantile_s(1.0) == pytest.approx(5e-3, rel=2 * RELATIVE_ERROR)


def test_too_fast_and_too_slow_values_keep_their_places() -> None:
    histogram = Histogram.of(np.array([0.0, -1.0, 0.5, 4000.0, np.inf, np.inf]))
    found = decode(encode(histogram))
    assert (found.below, found.total, found.above) == (2, 6, 3)


def test_a_count_of_many_requests_is_written_in_full() -> None:
    counts = np.zeros_like(Histogram.of(np.empty(0)).counts)
    counts[1000] = 2**62 - 1
    assert decode(encode(Histogram(counts))).counts[1000] == 2**62 - 1


def test_values_that_are_no_number_are_not_dropped_in_silence() -> None:
    with pytest.raises(ValueError, match="1 values that are no number"):
        encode(Histogram.of(np.array([np.nan, 1.0])))


def payload(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text)[8:])


def made(
    body: bytes = b"\x02",
    *,
    cookie: int = COMPRESSED_COOKIE,
    inner: int = PAYLOAD_COOKIE,
    length: int | None = None,
    offset: int = 0,
    digits: int = 3,
    bounds: tuple[int, int] = (1, 1000),
    ratio: float = 1.0,
    cut: int | None = None,
) -> str:
    """A histogram by hand, with something wrong about it."""
    size = len(body) if length is None else length
    head = struct.pack(">IIIIqqd", inner, size, offset, digits, *bounds, ratio)
    packed = zlib.compress((head + body)[:cut])
    return base64.b64encode(struct.pack(">II", cookie, len(packed)) + packed).decode()


GOOD = made()
DAMAGED = {
    "nothing": ("", "cut off"),
    "no base64": ("HISTF!", "not base64"),
    "another text": (base64.b64encode(b"hello, hello").decode(), "not the cookie of a compressed"),
    "of version 1": (made(cookie=0x1C849302), "not the cookie of a compressed"),
    "a payload of version 1": (made(inner=0x1C849301), "0x1c849301 is not the cookie of a V2"),
    "the end is missing": (base64.b64encode(base64.b64decode(GOOD)[:-4]).decode(), "cut off"),
    "not compressed at all": (
        base64.b64encode(struct.pack(">II", COMPRESSED_COOKIE, 5) + b"plain").decode(),
        "cannot be decompressed",
    ),
    "a bit turned over": (
        base64.b64encode(bytearray(base64.b64decode(GOOD)[:-1]) + b"\0").decode(),
        "cannot be decompressed",
    ),
    "a header that ends early": (made(cut=20), "ends within its header"),
    "fewer counts than it says": (made(length=4000), "cut off"),
    "a number without its end": (made(b"\x80"), "ends within a number"),
    "counts above its highest value": (made(b"\xff\xff\x7f\x02"), "above its highest, 1000"),
    "more values than anybody has measured": (
        made(b"\xfe" + 7 * b"\xff" + b"\xff" + b"\x02"),
        "which nobody can have measured",
    ),
    "shifted": (made(offset=1), "shifted"),
    "of doubles": (made(ratio=0.5), "of doubles"),
    "six digits": (made(digits=6), "no histogram has 6 digits"),
    "from nothing": (made(bounds=(0, 10)), "from 0 to 10"),
    "upside down": (made(bounds=(10, 5)), "from 10 to 5"),
    "a bomb": (made(b"\0" * (65 * 2**20)), "larger than"),
}


def test_the_one_by_hand_is_good() -> None:
    assert decode(GOOD).sparse() == Histogram.of(np.array([0.0])).sparse()


@pytest.mark.parametrize(("text", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(text)


@given(st.binary(max_size=60))
def test_any_counts_are_read_or_refused(body: bytes) -> None:
    try:
        found = decode(made(body, bounds=(1, HOUR_US)))
    except ValueError as error:
        assert str(error)
    else:
        assert found.total >= 0
