"""The sample-exact judge: what was acknowledged is what is queryable, once, with its value and timestamp."""

from __future__ import annotations

import math
import struct
import threading
from collections import defaultdict
from enum import Enum
from typing import Iterable, Mapping

SHOWN_FAULTS = 10

Labels = frozenset[tuple[str, str]]


class Fate(Enum):
    """What the sender knows of a sample."""

    ACKNOWLEDGED = "acknowledged"  # must be there
    UNKNOWN = "unknown"  # no answer, or one that invites a retry: may be there
    REFUSED = "refused"  # must not be there


def labels_key(labels: Mapping[str, str]) -> Labels:
    return frozenset((name, value) for name, value in labels.items() if value)


class Ledger:
    """Samples of one tenant by series and timestamp, each with its value and fate. Any thread."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.series: dict[Labels, dict[int, tuple[float, Fate]]] = defaultdict(dict)

    def record(self, labels: Labels, timestamp_ms: int, value: float, fate: Fate) -> None:
        self.record_all([(labels, timestamp_ms, value)], fate)

    def record_all(self, samples: Iterable[tuple[Labels, int, float]], fate: Fate) -> None:
        """A sample's fate only improves: once acknowledged, a later refusal of a copy changes nothing."""
        with self.lock:
            for labels, timestamp_ms, value in samples:
                known = self.series[labels].get(timestamp_ms)
                if known is None or known[1] is not Fate.ACKNOWLEDGED:
                    self.series[labels][timestamp_ms] = (value, fate)

    def acknowledged_count(self) -> int:
        with self.lock:
            return sum(1 for samples in self.series.values() for _, fate in samples.values() if fate is Fate.ACKNOWLEDGED)

    def time_range(self) -> tuple[int, int]:
        with self.lock:
            stamps = [timestamp_ms for samples in self.series.values() for timestamp_ms in samples]
        return min(stamps), max(stamps)

    def faults(self, matrix: list[dict]) -> list[str]:
        """Everything in a matrix result (over at least the ledger's time range) that is not as it must be."""
        found: dict[Labels, list[tuple[int, float]]] = {}
        faults = []
        for entry in matrix:
            labels = labels_key(entry["metric"])
            if labels in found:
                faults.append(f"series twice: {shown(labels)}")
            found[labels] = [(round(float(stamp) * 1000), float(value)) for stamp, value in entry["values"]]
        with self.lock:
            for labels, samples in self.series.items():
                faults += series_faults(labels, samples, found.pop(labels, []))
        faults += [f"series never sent: {shown(labels)}" for labels in found]
        return faults

    def check(self, matrix: list[dict]) -> None:
        faults = self.faults(matrix)
        if faults:
            more = f"\n... and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
            raise AssertionError(f"{len(faults)} faults:\n" + "\n".join(faults[:SHOWN_FAULTS]) + more)


def series_faults(labels: Labels, sent: dict[int, tuple[float, Fate]], found: list[tuple[int, float]]) -> list[str]:
    faults = []
    stamps = [stamp for stamp, _ in found]
    if len(set(stamps)) != len(stamps):
        faults.append(f"{len(stamps) - len(set(stamps))} samples twice: {shown(labels)}")
    elif stamps != sorted(stamps):
        faults.append(f"samples out of order: {shown(labels)}")
    values = dict(found)
    for stamp, (value, fate) in sent.items():
        if stamp not in values:
            if fate is Fate.ACKNOWLEDGED:
                faults.append(f"lost: {shown(labels)} @{stamp}")
        elif fate is Fate.REFUSED:
            faults.append(f"refused and stored: {shown(labels)} @{stamp}")
        elif not same(values[stamp], value):
            faults.append(f"wrong value: {shown(labels)} @{stamp}: {values[stamp]!r}, sent {value!r}")
    faults += [f"never sent: {shown(labels)} @{stamp}" for stamp in values if stamp not in sent]
    return faults


def same(found: float, sent: float) -> bool:
    """Bit for bit, but for NaN, of which JSON shows one kind."""
    if math.isnan(found) or math.isnan(sent):
        return math.isnan(found) and math.isnan(sent)
    return struct.pack("<d", found) == struct.pack("<d", sent)


def shown(labels: Labels) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(labels)) + "}"
