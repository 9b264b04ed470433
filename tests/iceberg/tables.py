"""Tables made by table_tool, what they hold by our own account, and the same by each reader's."""

from __future__ import annotations

import math
import random
import struct
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import xxhash
from duckdb_extensions import import_extension
from pyiceberg.table import StaticTable
from pyiceberg.table import Table as IcebergTable

DAY_MS = 86_400_000
NOON = 1_702_080_000_000  # 2023-12-09 00:00 UTC
START = 1_700_000_000_000

# A row is (metric, labels as sorted pairs, series id, time in ms, value or None).
Row = tuple[str, tuple[tuple[str, str], ...], int, int, float | None]


def bits(value: float) -> int:
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def series_id(tenant: str, metric: str, labels: dict[str, str]) -> int:
    """What column series_id is to be, by another implementation of the hash. Lengths are below 128 here."""
    canonical = b"".join(bytes([len(part)]) + part for pair in sorted({"__name__": metric, **labels}.items())
                         for part in (text.encode() for text in pair))
    low = xxhash.xxh3_128_intdigest(canonical, seed=xxhash.xxh3_64_intdigest(tenant.encode())) % 2**64
    return low - 2**64 if low >= 2**63 else low


NAN = float("nan")


def make_rows(seed: int, day: int, series: int = 5, samples: int = 40, tenant: str = "acme") -> list[Row]:
    """Samples of some series within a day, staleness markers and odd values among them."""
    chance = random.Random(seed)
    rows = []
    for index in range(series):
        labels = {"job": f"job{index % 3}", "instance": f"host{index}"}
        if index % 2:
            labels["path"] = "/ünïcode" if index % 3 else "a.b"
        if index == 4:
            del labels["job"]
        for step in range(samples):
            value = chance.choice([None, -0.0, 1e300, 0.1, NAN]) if chance.random() < 0.2 else float(chance.randrange(1000))
            rows.append((f"metric_{index % 2}", tuple(sorted(labels.items())), series_id(tenant, f"metric_{index % 2}", labels),
                         NOON + day * DAY_MS + step * 15_000 + seed % 1000, value))
    return sorted(rows, key=lambda row: (row[0], row[1], row[3]))


@dataclass
class Version:
    key: str
    snapshot: int
    unreferenced: list[str]


@dataclass
class Table:
    """A table and the commands that made it, which are run again from the start for every change: the same commands make the same
    objects, so this is also what a committer does after a crash."""

    tool: Path
    store: Path | str
    path: str
    commands: list[str] = field(default_factory=list)
    rows: dict[str, list[Row]] = field(default_factory=dict)
    commits: int = 0

    def key(self, name: str) -> str:
        return f"{self.path}/data/{name}.parquet"

    def promote(self, *labels: str) -> None:
        self.commands.append("promote " + " ".join(labels))

    def file(self, name: str, rows: list[Row], month: bool = False) -> None:
        self.commands.append(f"file {self.key(name).removesuffix('.parquet')} {int(month)}")
        last = None
        for metric, labels, _, time_ms, value in rows:
            if (metric, labels) != last:
                pairs = ",".join(f"{key}={text}" for key, text in labels) or "-"
                self.commands.append(f"series {metric} {pairs}")
                last = (metric, labels)
            self.commands.append(f"sample {time_ms} {'-' if value is None else bits(value)}")
        self.commands.append("end")
        self.rows[name] = rows

    def run(self, *commands: str) -> list[str]:
        done = subprocess.run([str(self.tool), "make", str(self.store), self.path, self.path.split("/")[1]], text=True, capture_output=True, timeout=300,
                              input="".join(f"{command}\n" for command in [*self.commands, *commands]), check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.splitlines()

    def change(self, operation: str, add: list[str] = [], remove: list[str] = [], expire_before: int = 0, pinned: int = 0) -> str:
        self.commits += 1
        name = uuid.UUID(int=random.Random(f"{self.path} {self.commits}").getrandbits(128)).hex
        words = [f"+{self.key(name)}" for name in add] + [f"-{self.key(name)}" for name in remove]
        return " ".join(["commit", name, str(START + self.commits * 60_000), operation, str(expire_before), str(pinned), *words])

    def commit(self, operation: str, **what) -> Version:
        """Appends a commit to the table's history; it must succeed."""
        self.commands.append(self.change(operation, **what))
        lines = self.run()
        assert not [line for line in lines if line.startswith("error")], lines
        last = max(index for index, line in enumerate(lines) if line.startswith("version "))
        _, key, snapshot = lines[last].split()
        return Version(key, int(snapshot), [line.split()[1] for line in lines[last + 1:]])

    def metadata(self, version: Version) -> Path:
        return self.store / version.key


# ---- what readers see ----


def by_pyiceberg(table: IcebergTable, snapshot: int | None = None, **scan) -> list[Row]:
    found = table.scan(snapshot_id=snapshot, **scan).to_arrow().to_pylist()
    return sorted_rows((row["metric"], tuple(sorted(dict(row["labels"]).items())), row["series_id"], round(row["ts"].timestamp() * 1000),
                        row["value"]) for row in found)


def static(path: Path) -> IcebergTable:
    return StaticTable.from_metadata(str(path))


def duck() -> duckdb.DuckDBPyConnection:
    for name in ("avro", "httpfs", "iceberg"):
        import_extension(name)  # from the package: nothing is downloaded
    connection = duckdb.connect()
    connection.execute("SET autoinstall_known_extensions = false; SET TimeZone = 'UTC'; LOAD avro; LOAD httpfs; LOAD iceberg;")
    return connection


def by_duckdb(connection: duckdb.DuckDBPyConnection, source: str, where: str = "true") -> list[Row]:
    found = connection.execute(f"SELECT metric, labels, series_id, epoch_ms(ts), value FROM {source} WHERE {where}").fetchall()
    return sorted_rows((row[0], tuple(sorted(row[1].items())), *row[2:]) for row in found)


def sorted_rows(rows) -> list[Row]:
    return sorted(rows, key=lambda row: (row[0], row[1], row[3]))


def number(row: Row) -> float:
    return 0.0 if row[4] is None or math.isnan(row[4]) else row[4]


def assert_same(got: list[Row], *parts: list[Row]) -> None:
    """Row by row, and what a reader would sum up: counts, sums, label sets."""
    want = sorted_rows(row for part in parts for row in part)
    assert len(got) == len(want)
    assert {row[:3] for row in got} == {row[:3] for row in want}
    assert sum(row[4] is None for row in got) == sum(row[4] is None for row in want)
    assert math.fsum(map(number, got)) == math.fsum(map(number, want))
    assert [(*row[:4], None if row[4] is None else bits(row[4])) for row in got] == \
        [(*row[:4], None if row[4] is None else bits(row[4])) for row in want]
