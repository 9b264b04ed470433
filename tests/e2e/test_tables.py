"""The same bytes for SQL: what pyiceberg and DuckDB read of a running region is what its query API answers."""

from __future__ import annotations

import math
import random
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from conftest import ended, started
from meridian_dev.build import build_targets
from meridian_dev.cluster import Cluster, wait_until
from support import prometheus_blocks as blocks
from support import remote_write as rw
from support.api import Api
from support.bucket import KEY, SECRET, server, settings_of
from support.tables import ReaderError, Tables, TableReader

DAY_S = 86400
STEP_S = 300
LATEST_S = int(time.time()) // DAY_S * DAY_S - DAY_S
"""The last midnight but one: all samples are older."""
LONG_AGO_S = LATEST_S - 50 * DAY_S
"""In a month that is over, which is merged as one."""
SETTINGS = ["compactor.compactor.build_age=1h", "compactor.compactor.merge_age=0s", "compactor.compactor.merge_interval=200ms",
            "compactor.compactor.merge_month_delay=0s", "querier.querier.block_refresh=200ms", "compactor.compactor.rollups=[5m, 1h, 6h, 1d]"]
DENSE = "dense"
"""A tenant whose values are stored as integers where they can be."""
METRICS = ("heart_rate", "steps_total")
SERIES = [{"__name__": name, "job": f"job{number % 2}", "instance": f"host{number}", **({"path": "/ü"} if number % 3 else {})}
          for name in METRICS for number in range(4)] + [{"__name__": "heart_rate", "room": "a"}]
SECONDS = 120
ISO = "%Y-%m-%dT%H:%M:%S+00:00"


@dataclass
class World:
    region: Cluster
    reader: TableReader
    mrdctl: blocks.Mrdctl
    keys: dict[str, str] = field(default_factory=dict)
    """What pyiceberg needs to read a bucket; where it is, the catalog tells."""
    endpoint: dict[str, str] = field(default_factory=dict)
    """Where it is, for readers without a catalog."""
    secrets: list[str] = field(default_factory=list)
    """The same for DuckDB."""

    @property
    def url(self) -> str:
        return self.region.region["query_url"]

    def tables(self, tenant: str) -> Tables:
        return Tables(self.reader, self.url, tenant, self.keys)

    def write(self, tenant: str, first_s: int, count: int, shift_ms: int = 0) -> int:
        """Samples of all series; their number. One of the values is a staleness marker."""
        parts = []
        for number, labels in enumerate(SERIES):
            samples = [((first_s + at * STEP_S) * 1000 + number + shift_ms, at * (number + 1) / 4) for at in range(count)]
            samples[count // 2] = (samples[count // 2][0], rw.STALE_NAN)
            parts.append(rw.series_of(labels, samples))
        answer = rw.push(self.region.region["push_url"], b"".join(parts), tenant)
        assert answer.status < 300, answer
        return len(SERIES) * count

    def flush(self, tenant: str, rows: int) -> None:
        """Brings the log to blocks, and waits until as many rows are in the tenant's table."""
        self.mrdctl("flush", "--url", self.region.urls("compactor")[0])
        tables = self.tables(tenant)

        def merged() -> bool:
            try:
                return tables.sql(f'SELECT count(*) FROM region."{tenant}".samples', *self.secrets) == [[rows]]
            except ReaderError as error:
                assert "does not exist" in str(error) or "NoSuchTable" in str(error), error
                return False
        wait_until(merged, SECONDS, f"{rows} rows in {tenant}.samples")


@pytest.fixture(scope="module")
def reader() -> Iterator[TableReader]:
    with TableReader() as reader:
        yield reader


@pytest.fixture(scope="session")
def mrdctl(binaries: Path, request: pytest.FixtureRequest) -> blocks.Mrdctl:
    if request.config.getoption("--binaries") is None:
        build_targets("release", ["mrdctl"])
    return blocks.Mrdctl(binaries)


@pytest.fixture(scope="module", params=["folder", "bucket"])
def world(request: pytest.FixtureRequest, binaries: Path, reader: TableReader, mrdctl: blocks.Mrdctl,
          tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A region of real services whose objects are in a folder, or behind the S3 that the unit tests use."""
    folder = tmp_path_factory.mktemp("region")
    overrides = tmp_path_factory.mktemp("settings") / "overrides.yaml"
    overrides.write_text(f"overrides: {{{DENSE}: {{blocks.layout: compact}}}}\n")
    settings = [*SETTINGS, f"all.overrides_file={overrides}"]
    if request.param == "folder":
        region = started(folder, binaries, {"partitions": 2}, settings=settings)
        yield World(region, reader, mrdctl)
        ended(region)
        return
    with server() as endpoint:
        address = endpoint.removeprefix("http://")
        region = started(folder, binaries, {"partitions": 2}, settings=settings + settings_of(endpoint))
        secret = (f"CREATE SECRET files (TYPE s3, KEY_ID '{KEY}', SECRET '{SECRET}', REGION 'test-1', URL_STYLE 'path', USE_SSL false, "
                  f"ENDPOINT '{address}')")
        yield World(region, reader, mrdctl, {"s3.access-key-id": KEY, "s3.secret-access-key": SECRET},
                    {"s3.endpoint": endpoint, "s3.region": "test-1"}, [secret])
        ended(region)


# ---- what is compared ----


def labels_of(row: dict[str, Any]) -> frozenset:
    return frozenset({"__name__": row["metric"], **row["labels"]}.items())


def by_series(rows: list[dict[str, Any]]) -> dict[frozenset, list[tuple[int, float]]]:
    """Without staleness markers, which are NULL in tables and nothing in answers."""
    found: dict[frozenset, list[tuple[int, float]]] = {}
    for row in rows:
        if row["value"] is not None:
            found.setdefault(labels_of(row), []).append((row["ts"], row["value"]))
    return {labels: sorted(samples) for labels, samples in found.items()}


def by_query(api: Api) -> dict[frozenset, list[tuple[int, float]]]:
    reply = api.query('{__name__=~".+"}[60d]', LATEST_S)
    assert reply.complete, reply
    return {frozenset(series["metric"].items()): [(round(at * 1000), float(value)) for at, value in series["values"]] for series in reply.data["result"]}


def check_sql(world: World, tenant: str) -> None:
    """Counts, sums and names by SQL and by PromQL."""
    api, tables = Api(world.url, tenant, strong=True), world.tables(tenant)
    source = f'region."{tenant}".samples'
    for metric in METRICS:
        by_job = tables.sql(f"SELECT job, count(value), sum(value) FROM {source} WHERE metric = '{metric}' GROUP BY job", *world.secrets)
        for index, function in ((1, "count"), (2, "sum")):
            got = {frozenset({"job": row[0]}.items() if row[0] else ()): row[index] for row in by_job}
            assert got == api.vector(f"sum by (job) ({function}_over_time({metric}[60d]))", LATEST_S)
    span = {"start": LONG_AGO_S - DAY_S, "end": LATEST_S}
    for column, label in (("job", "job"), ("instance", "instance"), ("metric", "__name__"), ("labels['path']", "path"), ("labels['room']", "room")):
        names = tables.sql(f"SELECT DISTINCT {column} AS name FROM {source} WHERE name IS NOT NULL ORDER BY name", *world.secrets)
        assert [name for [name] in names] == api.get(f"label/{label}/values", **span).data
    series = api.get("series", match=['{__name__=~".+"}'], **span).data
    [[count]] = tables.sql(f"SELECT count(DISTINCT series_id) FROM {source}", *world.secrets)
    assert count == len(series) == len(SERIES)


def check_rollups(world: World, tenant: str) -> None:
    """All windows of a series together are the series."""
    api, tables = Api(world.url, tenant, strong=True), world.tables(tenant)
    for table in ("samples_5m", "samples_1h", "samples_6h", "samples_1d"):
        got: dict[str, dict[frozenset, list[dict[str, Any]]]] = {metric: {} for metric in METRICS}
        for row in tables.scan(table):
            assert row["count"] > 0 or row["stale_ts"] is not None
            if row["count"] == 0:
                continue  # of a staleness marker alone
            got[row["metric"]].setdefault(frozenset(row["labels"].items()), []).append(row)
        for metric, rows_of in got.items():
            for function, fold in (("sum", math.fsum), ("count", sum), ("min", min), ("max", max)):
                want = api.vector(f"{function}_over_time({metric}[60d])", LATEST_S)
                assert {labels: fold(row[function] for row in rows) for labels, rows in rows_of.items()} == want, (table, function)


def check_series(world: World, tenant: str, rows: int) -> None:
    """What the table of series says of each is what the query API says, and joins the samples' ids with their labels."""
    api, tables = Api(world.url, tenant, strong=True), world.tables(tenant)
    listed = tables.scan("series")
    assert sum(row["samples"] for row in listed) == rows
    assert all(row[name] == row["labels"].get(name) for row in listed for name in ("job", "instance"))
    shown = api.get("series", match=['{__name__=~".+"}'], start=LONG_AGO_S - DAY_S, end=LATEST_S).data
    assert {labels_of(row) for row in listed} == {frozenset(labels.items()) for labels in shown}
    times: dict[frozenset, list[int]] = {}
    for row in listed:
        times.setdefault(labels_of(row), []).extend((row["first_ts"], row["last_ts"]))
    assert {labels: (min(edges), max(edges)) for labels, edges in times.items()} == \
        {labels: (samples[0][0], samples[-1][0]) for labels, samples in by_query(api).items()}
    source = f'region."{tenant}"'
    grouped = tables.sql(f"""SELECT metric, labels, min(first_ts), max(last_ts), sum(samples) FROM {source}.series
                             WHERE first_ts >= now() - INTERVAL 90 DAY GROUP BY ALL""", *world.secrets)
    assert len(grouped) == len(SERIES) and sum(row[-1] for row in grouped) == rows
    joined = tables.sql(f"""SELECT count(*), bool_and(s.metric = l.metric AND s.labels = l.labels) FROM {source}.samples s
                            JOIN (SELECT DISTINCT ON (series_id) series_id, metric, labels FROM {source}.series) l USING (series_id)""", *world.secrets)
    assert joined == [[rows, True]]


# ---- tests ----


def test_tables_are_what_the_query_api_answers(world, tenant):
    rows = world.write(tenant, LATEST_S - 3 * DAY_S, 500)  # of three days
    rows += world.write(tenant, LONG_AGO_S, 100)
    world.flush(tenant, rows)
    tables = world.tables(tenant)
    assert tables.ask("namespaces") == [[tenant]]
    assert tables.ask("tables", namespace=tenant) == ["samples", "samples_1d", "samples_1h", "samples_5m", "samples_6h", "series"]
    wait_until(lambda: any(len(Path(name).parent.name) == 6 for name in tables.load("samples")["files"]), SECONDS, "a file of a month")

    scanned = tables.scan("samples")
    assert len(scanned) == rows and sum(row["value"] is None for row in scanned) == 2 * len(SERIES)
    assert all(row[name] == row["labels"].get(name) for row in scanned for name in ("job", "instance"))
    answered = by_query(Api(world.url, tenant, strong=True))
    assert set(answered) == {frozenset(labels.items()) for labels in SERIES}
    assert by_series(scanned) == answered
    check_sql(world, tenant)
    check_rollups(world, tenant)
    check_series(world, tenant, rows)

    since_s = LATEST_S - 2 * DAY_S
    pruned = tables.scan("samples", where=f"metric = 'heart_rate' and instance = 'host1' and ts >= '{time.strftime(ISO, time.gmtime(since_s))}'")
    host = {("__name__", "heart_rate"), ("instance", "host1")}
    want = {labels: [sample for sample in samples if sample[0] >= since_s * 1000] for labels, samples in answered.items() if host <= labels}
    assert by_series(pruned) == want and len(want) == 1


def test_files_say_the_same_without_a_catalog(world, tenant):
    world.flush(tenant, world.write(tenant, LATEST_S - DAY_S, 50))
    answered = by_query(Api(world.url, tenant, strong=True))
    metadata = world.tables(tenant).load("samples")["metadata"]
    assert by_series(world.reader.ask("scan_file", metadata=metadata, properties={**world.keys, **world.endpoint})) == answered
    folder = metadata.rsplit("/metadata/", 1)[0]
    for path in (metadata, folder):
        rows = world.reader.ask("sql", statements=[*world.secrets, f"SELECT metric, labels, epoch_ms(ts), value FROM iceberg_scan('{path.removeprefix('file://')}')"])
        assert by_series([dict(zip(("metric", "labels", "ts", "value"), row)) for row in rows]) == answered


def test_the_view_decodes_what_is_stored_as_integers(world):
    """Bit by bit: decimals of few digits, which are integers there, and values that are not."""
    chance = random.Random(17)
    kinds = (lambda: float(chance.randrange(10**6)), lambda: chance.randrange(-10**9, 10**9) / 10**4, lambda: chance.randrange(10**14) / 10**13,
             lambda: chance.random(), lambda: chance.choice([-0.0, 0.0, 1e300, 5e-324, 0.1, 2.0**53 + 2]))
    parts = [rw.series_of(labels, [((LATEST_S - DAY_S + at * STEP_S) * 1000, kinds[number % len(kinds)]()) for at in range(200)])
             for number, labels in enumerate(SERIES)]
    assert rw.push(world.region.region["push_url"], b"".join(parts), DENSE).status < 300
    world.flush(DENSE, len(SERIES) * 200)
    tables = world.tables(DENSE)
    assert tables.ask("views", namespace=DENSE) == ["samples_plain"]
    [[scaled, plain]] = tables.sql(f"SELECT count(value_i), count(value) FROM region.{DENSE}.samples", *world.secrets)
    assert scaled >= 3 * 200 and plain >= 200 and scaled + plain == len(SERIES) * 200
    view = tables.ask("view", view=f"{DENSE}.samples_plain")
    assert view["columns"] == [name for name in tables.load("samples")["columns"] if name not in ("value_i", "value_e")]
    rows = tables.sql(f"SELECT metric, labels, epoch_ms(ts), value FROM ({view['sql']['duckdb']})", *world.secrets,
                      f'USE region."{view["namespace"][0]}"')
    got = by_series([dict(zip(("metric", "labels", "ts", "value"), row)) for row in rows])
    want = by_query(Api(world.url, DENSE, strong=True))
    assert set(got) == set(want) == {frozenset(labels.items()) for labels in SERIES}
    for labels, samples in want.items():
        assert [(at, struct.pack("<d", value)) for at, value in got[labels]] == [(at, struct.pack("<d", value)) for at, value in samples]


def test_each_flush_is_a_snapshot_and_the_one_before_stays(world, tenant):
    rows = world.write(tenant, LATEST_S - DAY_S, 20)
    world.flush(tenant, rows)
    tables = world.tables(tenant)
    before = {"table": tables.load("samples"), "answered": by_query(Api(world.url, tenant, strong=True))}
    later = world.write(tenant, LATEST_S - 2 * DAY_S, 30)
    again = rw.series_of(SERIES[0], [((LATEST_S - DAY_S + STEP_S) * 1000, 77.5)])  # writes a sample anew
    assert rw.push(world.region.region["push_url"], again, tenant).status < 300
    world.flush(tenant, rows + later)
    after = tables.load("samples")
    assert after["snapshot"] != before["table"]["snapshot"] and before["table"]["snapshot"] in after["snapshots"]
    answered = by_query(Api(world.url, tenant, strong=True))
    assert by_series(tables.scan("samples")) == answered
    assert ((LATEST_S - DAY_S + STEP_S) * 1000, 77.5) in answered[frozenset(SERIES[0].items())]
    assert by_series(tables.scan("samples", snapshot=before["table"]["snapshot"])) == before["answered"] != answered
    old = tables.sql(f'SELECT count(*), count(value), sum(value) FROM region."{tenant}".samples AT (VERSION => {before["table"]["snapshot"]})', *world.secrets)
    values = [value for samples in before["answered"].values() for _, value in samples]
    assert old == [[rows, len(values), math.fsum(values)]]


def test_other_tenants_see_none_of_it(world, tenant):
    other = f"{tenant}-other"
    rows = world.write(tenant, LATEST_S - DAY_S, 4)
    world.flush(tenant, rows)
    theirs = world.write(other, LATEST_S - DAY_S, 6)
    world.flush(other, theirs)
    for name, count in ((tenant, rows), (other, theirs)):
        assert len(world.tables(name).scan("samples")) == count
    tables = world.tables(tenant)
    assert tables.ask("namespaces") == [[tenant]]
    assert tables.sql("SELECT DISTINCT schema FROM (SHOW ALL TABLES) WHERE database = 'region'") == [[tenant]]
    for function, arguments in (("tables", {"namespace": other}), ("load", {"table": f"{other}.samples"}), ("scan", {"table": f"{other}.samples"})):
        with pytest.raises(ReaderError) as refused:
            tables.ask(function, **arguments)
        assert refused.value.name in ("NoSuchNamespaceError", "NoSuchTableError")
    with pytest.raises(ReaderError) as refused:
        tables.ask("view", view=f"{other}.samples_plain")
    nobody = world.tables(f"{tenant}-nobody")
    assert nobody.ask("tables", namespace=nobody.tenant) == nobody.ask("views", namespace=nobody.tenant) == []
