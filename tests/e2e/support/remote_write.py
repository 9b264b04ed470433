"""Remote write 1.0, sender's side: protobuf, snappy and HTTP, with the means to do each of them wrong."""

from __future__ import annotations

import http.client
import struct
import urllib.parse
from dataclasses import dataclass
from typing import Iterable, Mapping

HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
    "User-Agent": "meridian-e2e/1",
}
STALE_NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
TIMEOUT_SECONDS = 30


# ---- protobuf ----


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1  # negative int64 are ten bytes of two's complement
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def delimited(field: int, payload: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(payload)) + payload


def label(name: str | bytes, value: str | bytes) -> bytes:
    return delimited(1, delimited(1, encoded(name)) + delimited(2, encoded(value)))


def encoded(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def labels_message(labels: Iterable[tuple[str | bytes, str | bytes]]) -> bytes:
    """The labels in the order given: sorting them, or not, is the caller's."""
    return b"".join(label(name, value) for name, value in labels)


def sample(value: float, timestamp_ms: int) -> bytes:
    return delimited(2, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(timestamp_ms))


def time_series(labels: bytes, samples: bytes) -> bytes:
    return delimited(1, labels + samples)


def series_of(labels: Mapping[str, str], samples: Iterable[tuple[int, float]]) -> bytes:
    """A TimeSeries from label names to values and (timestamp in ms, value)."""
    return time_series(
        labels_message(sorted(labels.items())),
        b"".join(sample(value, timestamp_ms) for timestamp_ms, value in samples),
    )


def metadata(family: str, kind: int, text: str) -> bytes:
    return delimited(3, b"\x08" + varint(kind) + delimited(2, family.encode()) + delimited(4, text.encode()))


# ---- snappy ----


def snappy(data: bytes) -> bytes:
    """The block format with nothing but literals: valid, only not small."""
    out = bytearray(varint(len(data)))
    for start in range(0, len(data), 1 << 16):
        part = data[start : start + (1 << 16)]
        out += b"\xf4" + struct.pack("<H", len(part) - 1) + part  # literal, length in two bytes
    return bytes(out)


# ---- HTTP ----


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: str


class Connection:
    """A kept-alive connection to one push URL. Not for several threads."""

    def __init__(self, push_url: str, timeout: float = TIMEOUT_SECONDS):
        parts = urllib.parse.urlsplit(push_url)
        self.path = parts.path
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)

    def post(self, body: bytes, headers: Mapping[str, str | None] | None = None, method: str = "POST") -> Answer:
        """Sends the body as it is; a header given as None is left out. Raises OSError or HTTPException."""
        sent = {name: value for name, value in {**HEADERS, **(headers or {})}.items() if value is not None}
        try:
            self.connection.request(method, self.path, body=body, headers=sent)
            response = self.connection.getresponse()
            text = response.read().decode(errors="replace")
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, text)
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise

    def close(self) -> None:
        self.connection.close()


def push(push_url: str, request: bytes, tenant: str | None = None, **headers: str | None) -> Answer:
    """One request on a connection of its own. `request` is the protobuf message."""
    connection = Connection(push_url)
    try:
        return connection.post(snappy(request), {"X-Scope-OrgID": tenant, **headers})
    finally:
        connection.close()
