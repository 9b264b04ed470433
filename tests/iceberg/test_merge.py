"""Tables that the compactor's merges keep, read by pyiceberg and DuckDB: what was written is there, once, in every state."""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tables import DAY_MS, NOON, assert_same, bits, by_duckdb, by_pyiceberg, duck, series_id, static

TENANTS = ("acme", ".dotted")
FOLDERS = {".dotted": "(dot)dotted"}
SERIES = [("cpu", {"job": f"job{index % 2}", "instance": f"host{index}", "path": "/ü"}) for index in range(3)]
FEBRUARY = 1_706_745_600_000


@dataclass
class Region:
    """A region in a folder, and what must be in it: for each tenant, series and time the write that was received last."""

    tool: Path
    store: Path
    commands: list[str] = field(default_factory=list)
    written: dict[str, dict[tuple[int, int], float | None]] = field(default_factory=lambda: {name: {} for name in TENANTS})

    def block(self, seed: int, received_ms: int, first_ms: int, days: int, odd: bool = True) -> None:
        """Of about half the hours. Its number is the seed, which no two blocks of a region share."""
        chance = random.Random(seed)
        self.commands.append(f"block {seed} {received_ms}")
        for tenant in sorted(TENANTS):
            for index, (metric, labels) in enumerate(SERIES):
                self.commands.append(f"series {tenant} {metric} " + ",".join(f"{name}={value}" for name, value in sorted(labels.items())))
                for step in range(days * 24):
                    if chance.random() < 0.5:
                        value = None if chance.random() < 0.1 else chance.choice([chance.randrange(100) / 4, 0.1, *([1e300, -0.0] if odd else [])])
                        at = first_ms + step * 3_600_000 + seed % 2
                        self.commands.append(f"sample {at} {'-' if value is None else bits(value)}")
                        self.written[tenant][index, at] = value
        self.commands.append("end")

    def run(self, *commands: str) -> list[str]:
        """The commands so far that were not run yet, and these."""
        done = subprocess.run([str(self.tool), str(self.store)], text=True, capture_output=True, timeout=300,
                              input="".join(f"{command}\n" for command in [*self.commands, *commands]), check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        self.commands = []
        return done.stdout.splitlines()

    def metadata(self, tenant: str, table: str = "samples") -> Path:
        keys = [words[3] for words in (line.split(" ") for line in self.run("tables")) if words[:3] == ["table", tenant, table]]
        assert len(keys) == 1
        return self.store / keys[0]

    def rows(self, tenant: str) -> list:
        return sorted(((metric, tuple(sorted(labels.items())), series_id(tenant, metric, labels), at, value)
                       for (index, at), value in self.written[tenant].items() for metric, labels in [SERIES[index]]),
                      key=lambda row: (row[0], row[1], row[3]))


@pytest.fixture
def region(tools: Path, tmp_path: Path) -> Region:
    (tmp_path / "store").mkdir()
    return Region(tools / "merge_tool", tmp_path / "store")


def judge(region: Region) -> None:
    connection = duck()
    for tenant in TENANTS:
        metadata = region.metadata(tenant)
        assert_same(by_pyiceberg(static(metadata)), region.rows(tenant))
        assert_same(by_duckdb(connection, f"iceberg_scan('{metadata}')"), region.rows(tenant))
        folder = region.store / "eu" / FOLDERS.get(tenant, tenant) / "samples"
        assert_same(by_duckdb(connection, f"iceberg_scan('{folder}')"), region.rows(tenant))
        judge_series(region, tenant)


def judge_series(region: Region, tenant: str) -> None:
    """A row for each series of each file of samples; samples have the labels that the series of their id have."""
    connection = duck()
    samples, series = (f"iceberg_scan('{region.metadata(tenant, table)}')" for table in ("samples", "series"))
    found = connection.execute(f"""SELECT sum(samples), count(*), count(DISTINCT (series_id, date_trunc('day', first_ts))),
                                          bool_and(job = labels['job'] AND instance = labels['instance']), min(first_ts), max(last_ts) FROM {series}""").fetchall()
    files = static(region.metadata(tenant)).inspect.files().to_pylist()
    edges = connection.execute(f"SELECT min(ts), max(ts), count(DISTINCT ts::DATE), sum(1) FROM {samples}").fetchall()[0]
    assert found == [(edges[3], len(files) * len(SERIES), len(files) * len(SERIES), True, *edges[:2])]
    joined = connection.execute(f"""SELECT count(*), bool_and(s.metric = l.metric AND s.labels = l.labels) FROM {samples} s
                                    JOIN (SELECT DISTINCT ON (series_id) series_id, metric, labels FROM {series}) l USING (series_id)""").fetchall()
    assert joined == [(edges[3], True)]
    listed = static(region.metadata(tenant, "series"))
    assert {row["series_id"] for row in listed.scan().to_arrow().to_pylist()} == {row[2] for row in region.rows(tenant)}
    assert len(listed.inspect.files().to_pylist()) == len(files)


def judge_rollups(region: Region, tenant: str) -> None:
    """Windows of all sizes have every sample once, staleness markers left out. A window that ends with a day may be two rows, of the files of
    both days."""
    connection = duck()
    values = [value for value in region.written[tenant].values() if value is not None]
    for table, seconds in (("samples_5m", 300), ("samples_1h", 3600), ("samples_6h", 6 * 3600), ("samples_1d", 86400)):
        metadata = region.metadata(tenant, table)
        found = connection.execute(f"""SELECT sum(count), min(min), max(max), max(epoch_ms(ts) % {seconds * 1000}) FROM iceberg_scan('{metadata}')""").fetchall()
        assert found == [(len(values), min(values), max(values), 0)]
        assert sum(static(metadata).scan().to_arrow()["count"].to_pylist()) == len(values)


def levels(region: Region, tenant: str) -> set[int]:
    """Lengths of the folders' names: 8 of days, 6 of months."""
    files = static(region.metadata(tenant)).inspect.files().to_pylist()
    return {len(Path(file["file_path"]).parent.name) for file in files}


def test_days_months_and_late_samples_are_there_once(region):
    start = FEBRUARY - 2 * DAY_MS
    region.block(1, start + 4 * DAY_MS, start, 4)
    region.block(2, start + 4 * DAY_MS + 1, start, 4)  # overlaps, writes some anew
    region.run(f"merge {start + 4 * DAY_MS + 2} plain")
    judge(region)
    judge_rollups(region, "acme")
    assert levels(region, "acme") == {8}

    region.block(3, start + 4 * DAY_MS + 3, start + DAY_MS, 3)  # late for days that are merged
    region.run(f"merge {start + 4 * DAY_MS + 4} plain")
    judge(region)

    region.run(f"merge {start + 6 * DAY_MS} plain")  # January is over
    judge(region)
    assert levels(region, "acme") == {6, 8}

    before = {tenant: dict(times) for tenant, times in region.written.items()}
    region.block(4, start + 6 * DAY_MS + 1, start, 2)  # late for the month: not in the table before the next merge of the month
    region.run(f"merge {start + 6 * DAY_MS + 2} plain")
    after, region.written = region.written, before
    judge(region)
    region.written = after
    region.run(f"merge {start + 8 * DAY_MS} plain")
    judge(region)
    judge_rollups(region, ".dotted")
    assert levels(region, "acme") == {6, 8}


def test_compact_and_plain_files_are_one_table(region):
    """The tenant's layout changes on the way. Engines compute what is stored as integers and digits."""
    region.block(1, NOON + DAY_MS, NOON, 1)
    region.run(f"merge {NOON + DAY_MS} plain")
    region.block(2, NOON + 2 * DAY_MS, NOON + DAY_MS, 1, odd=False)  # odd values are not integers of any scale
    region.run(f"merge {NOON + 2 * DAY_MS} compact")
    region.block(3, NOON + 3 * DAY_MS, NOON + 2 * DAY_MS, 1)
    region.run(f"merge {NOON + 3 * DAY_MS} plain")
    connection = duck()
    for tenant in TENANTS:
        metadata = region.metadata(tenant)
        source = f"""(SELECT metric, labels, series_id, ts, coalesce(value, value_i / power(10::DOUBLE, value_e)) AS value
                      FROM iceberg_scan('{metadata}'))"""
        [[scaled]] = connection.execute(f"SELECT count(value_i) FROM iceberg_scan('{metadata}')").fetchall()
        assert scaled > 0
        assert_same(by_duckdb(connection, source), region.rows(tenant))


def test_sums_by_sql_are_those_of_what_was_written(region):
    region.block(1, NOON + DAY_MS, NOON, 1)
    region.block(2, NOON + DAY_MS, NOON, 1)
    region.run(f"merge {NOON + DAY_MS} plain")
    connection = duck()
    found = connection.execute(f"""SELECT instance, count(*), count(value), max(value) FROM iceberg_scan('{region.metadata("acme")}')
                                   WHERE job = 'job0' GROUP BY instance ORDER BY instance""").fetchall()
    want = []
    for index in (0, 2):
        values = [value for (series, _), value in region.written["acme"].items() if series == index]
        want.append((f"host{index}", len(values), sum(value is not None for value in values), max(v for v in values if v is not None)))
    assert found == want


def test_what_a_sweep_leaves_is_whole(region):
    """The store's times are the machine's, so what it sweeps is told to be of the far future."""
    region.block(1, NOON + DAY_MS, NOON, 2)
    region.run(f"merge {NOON + DAY_MS} plain")
    region.block(2, NOON + DAY_MS + 1, NOON, 2)
    region.run(f"merge {NOON + DAY_MS + 2} plain")
    future = 10 * 365 * DAY_MS + NOON
    lines = region.run(f"sweep {future}", f"sweep {future + 1}")
    assert all(line.startswith("swept ") for line in lines)
    assert int(lines[0].split()[1]) > 0  # blocks of level 0, and then what snapshots had
    judge(region)
    left = list(region.store.glob("eu/*/samples/data/*/*.parquet"))
    assert len(left) == sum(len(static(region.metadata(tenant)).inspect.files().to_pylist()) for tenant in TENANTS)
