"""Remote read: Debian's Prometheus reads from us over the protocol and answers with our samples; what it would never send is
refused."""

from __future__ import annotations

import struct
import time
import urllib.error
import urllib.request
from typing import Iterator

import pytest

from support import remote_write as rw
from support.prometheus import Prometheus
from support.remote_write import delimited, varint
from test_query_api import ask

TENANT = "remote-read"
SAMPLES, STREAMED = 0, 1
EQ, NEQ, RE, NRE = range(4)
SERIES = 40
POINTS = 500  # several chunks


def read_request(queries: list[bytes], accepted: list[int]) -> bytes:
    return b"".join(delimited(1, query) for query in queries) + b"".join(b"\x10" + varint(kind) for kind in accepted)


def query(start: int, end: int, *matchers: tuple[int, str, str]) -> bytes:
    parts = [b"\x08" + varint(start), b"\x10" + varint(end)]
    parts += [delimited(3, b"\x08" + varint(kind) + delimited(2, name.encode()) + delimited(3, value.encode())) for kind, name, value in matchers]
    return b"".join(parts)


def unsnappy(data: bytes) -> bytes:
    """The reference decoder in a few lines: snappy's block format."""
    at, shift, size = 0, 0, 0
    while True:
        size |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            break
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            length = (tag >> 2) + 1
            if length > 60:
                extra = length - 60
                length = int.from_bytes(data[at:at + extra], "little") + 1
                at += extra
            out += data[at:at + length]
            at += length
            continue
        if tag & 3 == 1:
            length, offset = ((tag >> 2) & 7) + 4, (tag >> 5) << 8 | data[at]
            at += 1
        else:
            extra = 2 if tag & 3 == 2 else 4
            length, offset = (tag >> 2) + 1, int.from_bytes(data[at:at + extra], "little")
            at += extra
        for _ in range(length):
            out.append(out[-offset])
    assert len(out) == size
    return bytes(out)


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            value |= (message[at] & 0x7F) << shift
            shift += 7
            at += 1
            if message[at - 1] < 0x80:
                return value

    while at < len(message):
        tag = number()
        if tag & 7 == 0:
            yield tag >> 3, number()
        elif tag & 7 == 1:
            yield tag >> 3, message[at:at + 8]
            at += 8
        else:
            size = number()
            yield tag >> 3, message[at:at + size]
            at += size


def labels_of(series: bytes) -> dict[str, str]:
    pairs = [dict(fields(value)) for field, value in fields(series) if field == 1]
    return {pair[1].decode(): pair[2].decode() for pair in pairs}


def samples_of(series: bytes) -> list[tuple[int, float]]:
    pairs = [dict(fields(value)) for field, value in fields(series) if field == 2]
    return [(pair[2], struct.unpack("<d", pair[1])[0]) for pair in pairs]


def crc32c_entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


CRC32C = [crc32c_entry(byte) for byte in range(256)]


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC32C[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def frames_of(body: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        size = shift = 0
        while True:
            size |= (body[at] & 0x7F) << shift
            shift += 7
            at += 1
            if body[at - 1] < 0x80:
                break
        checksum, message = int.from_bytes(body[at:at + 4], "big"), body[at + 4:at + 4 + size]
        assert checksum == crc32c(message)
        yield message
        at += 4 + size


@pytest.fixture(scope="module")
def pushed(region) -> tuple[str, int]:
    """The querier's URL and the time of the first sample, on which all tests agree."""
    start = (int(time.time() * 1000) // 1000 - POINTS) * 1000
    parts = []
    for number in range(SERIES):
        labels = {"__name__": "read_total", "number": f"{number:03}", "parity": "odd" if number % 2 else "even"}
        parts.append(rw.series_of(labels, [(start + point * 1000 + number % 3, number + point / 8) for point in range(POINTS)]))
    parts.append(rw.series_of({"__name__": "read_stale"}, [(start, 1), (start + 1000, rw.STALE_NAN), (start + 2000, -0.0)]))
    for tenant in (TENANT, None):  # Debian's Prometheus sends no header of remote_read's: it reads as nobody
        assert rw.push(region.region["push_url"], b"".join(parts), tenant).status < 300
    return region.region["query_url"], start


def read(url: str, message: bytes, path: str = "/api/v1/read", **headers: str):
    return ask(url, "POST", path, body=rw.snappy(message), headers={
        **headers,
        "X-Scope-OrgID": TENANT, "Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Read-Version": "0.1.0"})


@pytest.mark.parametrize("matchers,count", [
    ([(EQ, "__name__", "read_total")], SERIES), ([(EQ, "__name__", "read_total"), (NEQ, "parity", "odd")], SERIES // 2), ([(RE, "number", "00.")], 10),
    ([(RE, "__name__", "read_.*"), (NRE, "number", "0.*")], 1), ([(EQ, "__name__", "nothing")], 0), ([], 0)])
def test_samples_come_sorted_and_whole(pushed, matchers, count):
    url, start = pushed
    answer = read(url, read_request([query(start + 1000, start + 9999, *matchers)], []))
    assert (answer.status, answer.headers["Content-Type"], answer.headers["Content-Encoding"]) == (200, "application/x-protobuf", "snappy")
    results = [value for field, value in fields(unsnappy(answer.body)) if field == 1]
    assert len(results) == 1
    series = [value for field, value in fields(results[0]) if field == 1]
    assert len(series) == count
    labels = [labels_of(one) for one in series]
    assert labels == sorted(labels, key=lambda pairs: sorted(pairs.items()))
    for one, pairs in zip(series, labels):
        if pairs["__name__"] == "read_total":
            number = int(pairs["number"])
            assert samples_of(one) == [(start + point * 1000 + number % 3, number + point / 8) for point in range(1, 10)]


def test_markers_and_signs_arrive_bit_for_bit(pushed):
    url, start = pushed
    body = unsnappy(read(url, read_request([query(start, start + 2000, (EQ, "__name__", "read_stale"))], [SAMPLES])).body)
    [series] = [value for field, value in fields(dict(fields(body))[1]) if field == 1]
    bits = [dict(fields(value))[1] for field, value in fields(series) if field == 2]
    assert bits == [struct.pack("<d", 1), struct.pack("<Q", 0x7FF0000000000002), struct.pack("<d", -0.0)]


def test_streamed_frames_are_checked_sorted_and_say_their_query(pushed):
    url, start = pushed
    end = start + POINTS * 1000
    message = read_request([query(start, end, (EQ, "parity", "odd")), query(start, start - 1, (EQ, "parity", "odd")), query(start, end, (EQ, "number", "000"))], [7, STREAMED])
    answer = read(url, message, "/prometheus/api/v1/read")
    assert answer.headers["Content-Type"] == "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
    seen: list[tuple[int, str]] = []
    for frame in frames_of(answer.body):
        parts = dict(fields(frame))
        chunks = [dict(fields(value)) for field, value in fields(parts[1]) if field == 2]
        assert [chunk[3] for chunk in chunks] == [1] * 5  # XOR
        assert [int.from_bytes(chunk[4][:2], "big") for chunk in chunks] == [120, 120, 120, 120, 20]
        assert all(before[2] < after[1] for before, after in zip(chunks, chunks[1:]))
        seen.append((parts.get(2, 0), labels_of(parts[1])["number"]))
    assert seen == [(0, f"{number:03}") for number in range(1, SERIES, 2)] + [(2, "000")]


def test_frames_in_any_order_are_the_same_frames(pushed):
    url, start = pushed
    message = read_request([query(start, start + POINTS * 1000, (RE, "__name__", "read_.*")), query(start, start + 5000, (EQ, "parity", "odd"))], [STREAMED])
    sorted_answer, answer = read(url, message), read(url, message, **{"X-Read-Order": "any"})
    assert (sorted_answer.status, answer.status) == (200, 200)
    frames = [list(frames_of(one.body)) for one in (sorted_answer, answer)]
    assert len(frames[0]) == SERIES + 1 + SERIES // 2
    assert sorted(frames[0]) == sorted(frames[1])
    for header, value in [("X-Read-Order", "none"), ("X-Read-Start-Times", "1")]:
        refused = read(url, message, **{header: value})
        assert refused.status == 400 and header in refused.body.decode()


def test_in_any_order_an_answer_needs_the_memory_of_one_series(start):
    """The series of this answer do not fit into the memory of a query together."""
    cluster = start(settings=["querier.querier.memory_bytes_max=1MiB"])
    at, series, points = int(time.time() * 1000) // 1000 * 1000 - 600_000, 400, 500
    for first in range(0, series, 100):
        parts = [rw.series_of({"__name__": "large", "number": str(number)}, [(at + point * 1000, (number * 7919 + point * point) % 10007 / 7) for point in range(points)])
                 for number in range(first, first + 100)]
        assert rw.push(cluster.region["push_url"], b"".join(parts), TENANT).status < 300
    message = read_request([query(at, at + points * 1000, (EQ, "__name__", "large"))], [STREAMED])
    refused = read(cluster.region["query_url"], message)
    assert refused.status == 422 and "memory" in refused.body.decode(), refused
    answer = read(cluster.region["query_url"], message, **{"X-Read-Order": "any"})
    assert answer.status == 200
    seen = [labels_of(dict(fields(frame))[1])["number"] for frame in frames_of(answer.body)]
    assert sorted(seen, key=int) == [str(number) for number in range(series)]


@pytest.mark.parametrize("message,text", [
    (read_request([], [9]), "does not support any of the requested response types"), (b"\x0a\x05\x01", "malformed request"),
    (read_request([query(0, 1, (EQ, "a", "b"), (7, "c", "d"))], []), "invalid matcher type"), (read_request([query(0, 1, (RE, "a", "("))], []), "missing"),
    (delimited(1, b"") * 1000, "more than 64 queries"),
])
def test_what_is_no_request_is_refused(pushed, message, text):
    answer = read(pushed[0], message)
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert text in answer.body.decode()


@pytest.mark.parametrize("body", [b"", b"\xff\xff\xff\xff\x0f", b"hello", rw.snappy(b"\x0a" * 20)[:-3], rw.snappy(bytes(2 << 20))])
def test_what_is_no_snappy_or_too_large_is_refused(pushed, body):
    answer = ask(pushed[0], "POST", "/api/v1/read", body=body or b" ", headers={"X-Scope-OrgID": TENANT})
    assert answer.status == 400, answer


def test_limits_on_samples_and_bytes_are_told(start):
    cluster = start(settings=["querier.querier.read_samples_max=100", "querier.querier.response_bytes_max=1KiB"])
    at = int(time.time() * 1000)
    assert rw.push(cluster.region["push_url"], rw.series_of({"__name__": "x"}, [(at - point, point) for point in range(101)][::-1]), TENANT).status < 300

    def answer(count: int, kind: int):
        return read(cluster.region["query_url"], read_request([query(at - count + 1, at, (EQ, "__name__", "x"))], [kind]))

    assert (answer(101, SAMPLES).status, answer(101, SAMPLES).body) == (400, b"exceeded sample limit (100)\n")
    assert answer(101, STREAMED).status == 200
    large = answer(100, SAMPLES)
    assert (large.status, large.headers.get("Content-Encoding")) == (422, None)
    assert b"querier.response_bytes_max" in large.body
    assert answer(30, SAMPLES).status == 200


# ---- a real client ----

@pytest.fixture(scope="module")
def reader(pushed, tmp_path_factory) -> Iterator[Prometheus]:
    config = f"""
global: {{}}
remote_read:
  - url: {pushed[0]}/api/v1/read
    read_recent: true
"""
    counted = ask(pushed[0], "GET", "/api/v1/query", [("query", "count(read_total)")], headers={"X-Scope-OrgID": "anonymous"})
    assert counted.status == 200  # a strong read: from here on weak ones see the samples too
    prometheus = Prometheus(tmp_path_factory.mktemp("reader"), config)
    yield prometheus
    prometheus.stop()


@pytest.mark.parametrize("expression", [
    "read_total", "rate(read_total{number='003'}[1m])", "sum by (parity) (read_total)", "count(read_total{parity!='odd'})", "read_total{number=~'00[0-4]', parity!~'e.*'}",
    "count_over_time(read_total[200s])", "max_over_time(read_total{number='007'}[400s])", "nothing", "read_stale"])
def test_prometheus_reads_our_samples(pushed, reader, expression):
    url, start = pushed
    # Half a millisecond step away from samples, where the windows of 2.42 and 3.14 agree.
    window = [("query", expression), ("start", start / 1000 + 450.5), ("end", start / 1000 + 499.5), ("step", "7s")]
    ours = ask(url, "GET", "/api/v1/query_range", window, headers={"X-Scope-OrgID": TENANT})
    theirs = ask(reader.url, "GET", "/api/v1/query_range", window)
    assert theirs.status == 200, theirs
    assert ours.json["data"] == theirs.json["data"]
    assert expression in ("nothing", "read_stale") or theirs.json["data"]["result"]
