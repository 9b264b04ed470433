"""What a writer is told: the status rules of remote write over real HTTP. 2xx is never said of a dropped sample, 5xx
never of what can never succeed."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from support import raw
from support import remote_write as rw
from support.ledger import Fate, Ledger, labels_key

ACCEPTED = (200, 204)
MINUTE_MS = 60_000


def now_ms() -> int:
    return int(time.time() * 1000)


def good(name: str = "good") -> bytes:
    return rw.series_of({"__name__": name}, [(now_ms(), 1)])


@pytest.fixture
def url(region) -> str:
    return region.region["push_url"]


# ---- how it is sent ----


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_only_post_is_a_push(url, method):
    answer = rw.Connection(url).post(b"", method=method)
    assert answer.status == 405
    assert "POST" in answer.headers.get("allow", "")


@pytest.mark.parametrize("content_type", [None, "application/x-protobuf", "application/x-protobuf;proto=prometheus.WriteRequest",
                                          "application/x-protobuf; proto=prometheus.WriteRequest"])
def test_the_content_types_of_remote_write_1_are_accepted(url, tenant, content_type):
    assert rw.push(url, good(), tenant, **{"Content-Type": content_type}).status in ACCEPTED


@pytest.mark.parametrize("headers", [
    {"Content-Type": "text/plain"},
    {"Content-Type": "application/json"},
    {"Content-Type": "application/x-protobuf;proto=something.Else"},
    {"Content-Encoding": "gzip"},
    {"Content-Encoding": "zstd"},
])
def test_other_types_and_encodings_are_415(url, tenant, headers):
    assert rw.push(url, good(), tenant, **headers).status == 415


def test_both_push_paths_take_writes(region, tenant):
    base = region.region["push_url"].rsplit("/", 1)[0]
    for path in ("push", "write"):
        assert rw.push(f"{base}/{path}", good(), tenant).status in ACCEPTED
    assert rw.push(f"{base}/elsewhere", good(), tenant).status == 404


def test_a_chunked_body_is_accepted(url, tenant):
    body = rw.snappy(good("chunked"))
    half = len(body) // 2
    chunks = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (body[:half], body[half:], b""))
    request = raw.push_request(url, b"", "Transfer-Encoding: chunked", f"X-Scope-OrgID: {tenant}", length=-1) + chunks
    assert raw.status_of(url, request) in ACCEPTED


@pytest.mark.parametrize("lines", [
    ["Content-Length: 3"],
    ["Transfer-Encoding: chunked"],
], ids=["two lengths", "length and chunked"])
def test_requests_that_a_proxy_may_read_otherwise_are_refused(url, lines):
    status = raw.status_of(url, raw.push_request(url, rw.snappy(good()), *lines))
    assert status == 400 or status is None


def test_a_body_cut_short_is_not_an_acknowledgement(region, url, tenant, api):
    body = rw.snappy(rw.series_of({"__name__": "cut_short"}, [(now_ms(), 1)]))
    with raw.connect(url) as connection:
        connection.sendall(raw.push_request(url, body[:-4], f"X-Scope-OrgID: {tenant}", length=len(body)))
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(2)  # it may also wait for the rest until its own deadline
        try:
            status = raw.read_status(connection)
        except TimeoutError:
            status = None
    assert status is None or status >= 400
    assert api.vector("cut_short") == {}


# ---- what is in it ----


def test_an_empty_request_and_metadata_alone_are_accepted(url, tenant):
    assert rw.push(url, b"", tenant).status in ACCEPTED
    assert rw.push(url, rw.metadata("some_total", 1, "counts some"), tenant).status in ACCEPTED


@pytest.mark.parametrize("body", [
    b"",
    b"\x00" * 100,
    b"not snappy at all",
    b"\xff" * 64,
    rw.snappy(b"\x0a\x05abc"),
    rw.snappy(b"\xff" * 50),
    rw.snappy(b"\x0b\x0c" * 1000),
    rw.varint(1000) + b"\xf4\x09\x00short",
    rw.varint(20) + b"\x04ab" + b"\x05\xff",
], ids=["empty", "zeros", "text", "ones", "cut message", "bad varint", "groups", "shorter than declared", "copy before start"])
def test_malformed_bodies_are_400(url, tenant, body):
    if body == b"\x00" * 100:
        body = rw.snappy(body)  # a field number of zero
    answer = rw.Connection(url).post(body, {"X-Scope-OrgID": tenant})
    assert answer.status == 400, answer
    assert answer.body.strip(), "the sender's log should say why"


def test_every_truncation_of_a_good_body_is_refused_or_harmless(url, tenant):
    body = rw.snappy(rw.series_of({"__name__": "truncated", "label": "value"}, [(now_ms(), 1)]))
    connection = rw.Connection(url)
    for size in range(len(body)):
        assert connection.post(body[:size], {"X-Scope-OrgID": tenant}).status == 400, size


def test_a_bomb_is_refused_by_what_it_declares(region, url, tenant):
    for declared in (1 << 26, 1 << 30, (1 << 32) - 1, 1 << 35, (1 << 64) - 1):
        answer = rw.Connection(url).post(rw.varint(declared) + b"\x00a" * 64, {"X-Scope-OrgID": tenant})
        assert answer.status in (400, 413), (declared, answer)
    assert rw.push(url, good(), tenant).status in ACCEPTED


def test_a_bomb_of_copies_within_the_limit_of_the_body_is_refused(url, tenant):
    size = 1 << 28
    copies = b"\xfe\x01\x00" * (size // 64)  # each repeats one byte 64 times
    answer = rw.Connection(url).post(rw.varint(size + 1) + b"\x00a" + copies[: 8 << 20], {"X-Scope-OrgID": tenant})
    assert answer.status in (400, 413), answer


def test_a_body_over_the_limit_is_413_without_being_read(url, tenant):
    head = raw.push_request(url, b"", f"X-Scope-OrgID: {tenant}", length=1 << 34)
    assert raw.status_of(url, head + b"x" * 1000) == 413
    head = raw.push_request(url, b"", "Expect: 100-continue", length=1 << 34)
    assert raw.status_of(url, head) == 413


@pytest.mark.parametrize("length", ["-1", "1e9", "99999999999999999999999", "0x10", ""])
def test_lengths_that_are_none_are_refused(url, length):
    request = raw.push_request(url, b"", f"Content-Length: {length}", length=-1)
    status = raw.status_of(url, request)
    assert status is None or 400 <= status < 500


# ---- series and samples ----


def one(labels: list[tuple], at: int | None = None) -> bytes:
    return rw.time_series(rw.labels_message(labels), rw.sample(1, at if at is not None else now_ms()))


BAD_SERIES = {
    "no labels": lambda: one([]),
    "no metric name": lambda: one([("a", "b")]),
    "empty metric name": lambda: one([("__name__", "")]),
    "empty label name": lambda: one([("__name__", "m"), ("", "x")]),
    "the same name twice": lambda: one([("__name__", "m"), ("a", "1"), ("a", "1")]),
    "the same name twice, other values": lambda: one([("__name__", "m"), ("a", "1"), ("a", "2")]),
    "two metric names": lambda: one([("__name__", "m"), ("__name__", "n")]),
    "a value that is no UTF-8": lambda: one([("__name__", "m"), ("a", b"\xff\xfe")]),
    "a name that is no UTF-8": lambda: one([("__name__", "m"), (b"\xc3\x28", "x")]),
    "an hour in the future": lambda: one([("__name__", "m")], now_ms() + 60 * MINUTE_MS),
    "the end of time": lambda: one([("__name__", "m")], (1 << 63) - 1),
}


@pytest.mark.parametrize("case", BAD_SERIES)
def test_a_series_that_can_never_be_stored_is_400_and_the_rest_is_kept(url, tenant, api, case):
    at = now_ms()
    kept = {"__name__": "kept", "case": case}
    request = rw.series_of(kept, [(at, 1)]) + BAD_SERIES[case]() + rw.series_of({**kept, "second": "yes"}, [(at, 2)])
    answer = rw.push(url, request, tenant)
    assert answer.status == 400, answer
    assert answer.body.strip()
    ledger = Ledger()
    ledger.record(labels_key(kept), at, 1, Fate.ACKNOWLEDGED)
    ledger.record(labels_key({**kept, "second": "yes"}), at, 2, Fate.ACKNOWLEDGED)
    api.check('{__name__=~".+"}', ledger)


def test_a_sample_a_little_in_the_future_is_accepted(url, tenant):
    assert rw.push(url, one([("__name__", "soon")], now_ms() + 5 * MINUTE_MS), tenant).status in ACCEPTED


def test_an_empty_label_value_is_no_label(url, tenant, api):
    at = now_ms()
    assert rw.push(url, one([("__name__", "bare"), ("empty", "")], at), tenant).status in ACCEPTED
    assert list(api.vector("bare", at / 1000)) == [frozenset({("__name__", "bare")})]


def test_unknown_fields_are_skipped(url, tenant, api):
    at = now_ms()
    unknown = b"\xa2\x06\x03abc" + b"\xa8\x06\x01" + b"\xb1\x06" + b"\x00" * 8 + b"\xbd\x06" + b"\x00" * 4
    series = rw.delimited(1, rw.labels_message([("__name__", "extended")]) + rw.sample(1, at) + unknown)
    assert rw.push(url, series + unknown, tenant).status in ACCEPTED
    assert len(api.vector("extended", at / 1000)) == 1


def test_a_native_histogram_is_either_stored_or_refused(url, tenant, api):
    at = now_ms()
    histogram = rw.delimited(4, b"\x08\x05" + b"\x19" + struct.pack("<d", 3.0) + b"\x78" + rw.varint(at))
    answer = rw.push(url, rw.time_series(rw.labels_message([("__name__", "native")]), histogram), tenant)
    if answer.status in ACCEPTED:
        assert len(api.query("native", at / 1000).data["result"]) == 1
    else:
        assert 400 <= answer.status < 500, answer


def test_an_error_does_not_spoil_the_connection(url, tenant):
    connection = rw.Connection(url)
    for _ in range(20):
        assert connection.post(b"junk", {"X-Scope-OrgID": tenant}).status == 400
        assert connection.post(rw.snappy(good()), {"X-Scope-OrgID": tenant}).status in ACCEPTED
