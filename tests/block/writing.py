"""Talks to block_tool (tool.c): series of Python values to its commands, the entry back."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

STALE = 0x7FF0000000000002


class Refused(Exception):
    """The library's own error: its status and text."""


@dataclass
class Row:
    time_ms: int
    bits: int = 0
    """Of the double; of a histogram, of its sum."""
    start_ms: int = 0
    hlc: int = 1
    count: int | None = None
    """Of a histogram; None: a sample."""

    @property
    def value(self) -> float:
        return struct.unpack("<d", struct.pack("<Q", self.bits))[0]

    def line(self) -> str:
        signed = struct.unpack("<q", struct.pack("<Q", self.bits))[0]
        head = f"{self.time_ms} {self.start_ms} {self.hlc}"
        return f"sample {head} {signed}" if self.count is None else f"histogram {head} {self.count} {signed}"


@dataclass
class Series:
    labels: dict[str, str]
    rows: list[Row]
    tenant: str = "tenant"

    @property
    def metric(self) -> str:
        return self.labels.get("__name__", "")

    def key(self) -> tuple:
        """The order of blocks: tenant, metric, labels by name and value; all in bytes."""
        pairs = tuple(sorted((name.encode(), value.encode()) for name, value in self.labels.items()))
        return self.tenant.encode(), self.metric.encode(), pairs

    def lines(self) -> list[str]:
        words = [self.tenant.encode()]
        for name, value in sorted((name.encode(), value.encode()) for name, value in self.labels.items()):
            words += [name, value]
        return ["series " + " ".join("x" + word.hex() for word in words), *(row.line() for row in self.rows)]


@dataclass
class Column:
    stored: int
    values: int
    nulls: int
    nans: int
    minimum: bytes | None
    maximum: bytes | None


@dataclass
class Entry:
    data: Path
    columns: dict[int, Column] = field(default_factory=dict)
    counts: tuple[int, ...] = ()


def bits_of(value: float) -> int:
    return struct.unpack("<Q", struct.pack("<d", value))[0]


class Tool:
    def __init__(self, binary: Path):
        self.binary = binary

    def write(self, folder: Path, series: list[Series], level: int = 1, hlc: bool = False, split: bool = False,
              compact: bool = False, promoted: dict[str, int] | None = None) -> Entry:
        words = ["options", str(level), str(int(hlc)), str(int(split)), str(int(compact)), *(f"{name}:{id}" for name, id in (promoted or {}).items())]
        lines = [" ".join(words)]
        for item in sorted(series, key=Series.key):
            lines += item.lines()
        done = subprocess.run([str(self.binary), "write", str(folder)], input="\n".join(lines) + "\n", capture_output=True, text=True,
                              timeout=120, check=False)
        if done.returncode == 3:
            raise Refused(done.stdout.strip())
        assert done.returncode == 0, done.stderr[-4000:]
        entry = Entry(folder / "block.parquet")
        for line in done.stdout.splitlines():
            word, *rest = line.split(" ")
            if word == "column":
                bounds = [None if bound == "-" else bytes.fromhex(bound[1:]) for bound in rest[5:]]
                entry.columns[int(rest[0])] = Column(*map(int, rest[1:5]), *bounds)
            else:
                entry.counts = tuple(map(int, rest))
        return entry
