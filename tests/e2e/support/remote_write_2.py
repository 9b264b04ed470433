"""Remote write 2.0, sender's side, and native histograms for both versions."""

from __future__ import annotations

import struct
from typing import Iterable, Mapping

from support.remote_write import delimited, varint

CONTENT_TYPE = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
HEADERS = {"Content-Type": CONTENT_TYPE, "X-Prometheus-Remote-Write-Version": "2.0.0"}
TYPES = {"unspecified": 0, "counter": 1, "gauge": 2, "histogram": 3, "gaugehistogram": 4, "summary": 5, "info": 6, "stateset": 7}


def scalar(field: int, number: int) -> bytes:
    return varint(field << 3) + varint(number)


def double(field: int, value: float) -> bytes:
    return varint(field << 3 | 1) + struct.pack("<d", value)


def zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def packed(numbers: Iterable[int]) -> bytes:
    return b"".join(varint(number) for number in numbers)


def spans(field: int, pairs: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(delimited(field, scalar(1, zigzag(offset)) + scalar(2, length)) for offset, length in pairs)


def deltas(counts: list[int]) -> bytes:
    return packed(zigzag(count - before) for before, count in zip([0, *counts], counts))


def histogram(timestamp_ms: int, counts: list[int], *, count: int | None = None, offset: int = 0, schema: int = 3,
              zero: int = 0, start_ms: int = 0) -> bytes:
    """An integer histogram of one span; `count` may be told wrong."""
    total = sum(counts) + zero if count is None else count
    return b"".join([
        scalar(1, total), double(3, float(total)), scalar(4, zigzag(schema)), double(5, 1e-128), scalar(6, zero),
        spans(11, [(offset, len(counts))]), delimited(12, deltas(counts)),
        scalar(15, timestamp_ms), scalar(17, start_ms) if start_ms else b"",
    ])


def custom_histogram(timestamp_ms: int, bounds: list[float], counts: list[float]) -> bytes:
    """A float histogram with bounds of its own."""
    return b"".join([
        double(2, sum(counts)), double(3, 1.0), scalar(4, zigzag(-53)), spans(11, [(0, len(counts))]),
        delimited(13, struct.pack(f"<{len(counts)}d", *counts)), scalar(15, timestamp_ms),
        delimited(16, struct.pack(f"<{len(bounds)}d", *bounds)),
    ])


class Request:
    """A request under construction. Symbols get their numbers as they are first named."""

    def __init__(self, first_symbol: str = ""):
        self.symbols = {first_symbol: 0}
        self.series: list[bytes] = []

    def symbol(self, text: str) -> int:
        return self.symbols.setdefault(text, len(self.symbols))

    def references(self, labels: Mapping[str, str]) -> bytes:
        return packed(self.symbol(text) for pair in sorted(labels.items()) for text in pair)

    def add(self, labels: Mapping[str, str] | bytes, *, samples: Iterable[tuple] = (), histograms: Iterable[bytes] = (),
            exemplars: Iterable[tuple[Mapping[str, str], float, int]] = (), metadata: tuple[str, str, str] | None = None) -> Request:
        """samples: (timestamp in ms, value) or with a start time; exemplars: (labels, value, timestamp); metadata: (type,
        help, unit). Labels as bytes are the references themselves."""
        entry = [delimited(1, labels if isinstance(labels, bytes) else self.references(labels))]
        for timestamp_ms, value, *start_ms in samples:
            start = scalar(3, start_ms[0]) if start_ms else b""
            entry.append(delimited(2, double(1, value) + scalar(2, timestamp_ms) + start))
        entry += [delimited(3, message) for message in histograms]
        for exemplar_labels, value, timestamp_ms in exemplars:
            entry.append(delimited(4, delimited(1, self.references(exemplar_labels)) + double(2, value) + scalar(3, timestamp_ms)))
        if metadata:
            kind, text, unit = metadata
            entry.append(delimited(5, scalar(1, TYPES[kind]) + scalar(3, self.symbol(text)) + scalar(4, self.symbol(unit))))
        self.series.append(b"".join(entry))
        return self

    def encode(self) -> bytes:
        return b"".join(delimited(4, text.encode()) for text in self.symbols) + b"".join(delimited(5, one) for one in self.series)


def written(answer) -> tuple[int | None, int | None, int | None]:
    """What the answer says was written: samples, histograms, exemplars. None: it does not say."""
    counts = (answer.headers.get(f"x-prometheus-remote-write-{kind}-written") for kind in ("samples", "histograms", "exemplars"))
    return tuple(int(count) if count is not None else None for count in counts)
