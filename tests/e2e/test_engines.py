"""Spark and Trino on a region's tables: what they read through the REST catalog is what the query API answers."""

from __future__ import annotations

import itertools
import math
import random
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from support import engines
from support import remote_write as rw
from support.api import Api
from support.engines import Spark, SparkTables, Trino, TrinoTables
from support.tables import ReaderError
from test_tables import (DAY_S, DENSE, LATEST_S, LONG_AGO_S, METRICS, SERIES, STEP_S, World, by_query, by_series, mrdctl, reader, world)  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.skipif(engines.absent() is not None, reason=str(engines.absent()))]

NUMBERS = itertools.count()
TABLES = ["samples", "samples_1d", "samples_1h", "samples_5m", "samples_6h", "series"]


@pytest.fixture(scope="module")
def spark() -> Iterator[Spark]:
    with Spark() as spark:
        yield spark


def attached(spark: Spark, world: World, tenant: str, **more: str) -> SparkTables:
    return spark.attach(f"region{next(NUMBERS)}", world.url, tenant, **world.keys, **more)


@pytest.fixture
def written(world: World, tenant: str) -> int:
    """Samples of three days, and of a month that is over; their number."""
    rows = world.write(tenant, LATEST_S - 3 * DAY_S, 700) + world.write(tenant, LONG_AGO_S, 100)
    world.flush(tenant, rows)
    return rows


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def labels_by_job(value: Any) -> frozenset:
    return frozenset({"job": value}.items() if value else ())


def test_spark_reads_what_the_query_api_answers(world, spark, tenant, written):
    tables, api = attached(spark, world, tenant), Api(world.url, tenant, strong=True)
    assert tables.sql(f"SHOW NAMESPACES IN {tables.catalog}") == [[f"`{tenant}`"]]
    assert sorted(row[1] for row in tables.sql("SHOW TABLES IN {}")) == TABLES
    scanned = tables.rows("samples")
    assert len(scanned) == written and sum(row["value"] is None for row in scanned) == 2 * len(SERIES)
    assert all(row[name] == row["labels"].get(name) for row in scanned for name in ("job", "instance"))
    answered = by_query(api)
    assert set(answered) == {frozenset(labels.items()) for labels in SERIES}
    assert by_series(scanned) == answered
    for metric in METRICS:
        by_job = tables.sql(f"SELECT job, count(value), sum(value) FROM {{}}.samples WHERE metric = '{metric}' GROUP BY job")
        for index, function in ((1, "count"), (2, "sum")):
            assert {labels_by_job(row[0]): row[index] for row in by_job} == api.vector(f"sum by (job) ({function}_over_time({metric}[60d]))", LATEST_S)
    span = {"start": LONG_AGO_S - DAY_S, "end": LATEST_S}
    for column, label in (("job", "job"), ("metric", "__name__"), ("labels['path']", "path"), ("element_at(labels, 'room')", "room")):
        names = tables.sql(f"SELECT name FROM (SELECT DISTINCT {column} AS name FROM {{}}.samples) WHERE name IS NOT NULL ORDER BY name")
        assert [name for [name] in names] == api.get(f"label/{label}/values", **span).data


def test_spark_passes_over_files_by_time_and_partition(world, spark, tenant, written):
    tables = attached(spark, world, tenant)
    answered = by_query(Api(world.url, tenant, strong=True))
    since_s = LATEST_S - DAY_S
    where = f"WHERE metric = 'heart_rate' AND ts >= timestamp_seconds({since_s})"
    pruned = tables.rows("samples", where)
    assert by_series(pruned) == {labels: kept for labels, samples in answered.items()
                                 if ("__name__", "heart_rate") in labels and (kept := [one for one in samples if one[0] >= since_s * 1000])}
    assert pruned
    read = tables.sql(f"SELECT count(DISTINCT _file) FROM {{}}.samples {where}")
    files = tables.sql("SELECT count(*), sum(record_count) FROM {}.samples.files")
    assert files[0][1] == written and 0 < read[0][0] < files[0][0]


def test_spark_joins_rollups_and_series(world, spark, tenant, written):
    tables, api = attached(spark, world, tenant), Api(world.url, tenant, strong=True)
    for table in ("samples_5m", "samples_1h", "samples_6h", "samples_1d"):
        rows = tables.sql(
            f"SELECT any_value(labels), sum(`count`), sum(`sum`), min(`min`), max(`max`) FROM {{}}.{table} WHERE metric = 'heart_rate' GROUP BY series_id")
        for index, function in ((1, "count"), (2, "sum"), (3, "min"), (4, "max")):
            want = api.vector(f"{function}_over_time(heart_rate[60d])", LATEST_S)
            assert {frozenset(row[0].items()): row[index] for row in rows} == want, (table, function)
    [[joined, same]] = tables.sql("SELECT count(*), bool_and(s.metric = l.metric AND map_entries(s.labels) = map_entries(l.labels)) FROM {}.samples s JOIN "
                                  "(SELECT series_id, any_value(metric) AS metric, any_value(labels) AS labels FROM {}.series GROUP BY series_id) l USING (series_id)")
    assert (joined, same) == (written, True)


@pytest.fixture(scope="module")
def dense(world: World) -> int:
    """Decimals of few digits, which are stored as integers, and values that are not; their number."""
    chance = random.Random(29)
    kinds = (lambda: float(chance.randrange(10**6)), lambda: chance.randrange(-10**9, 10**9) / 10**4, lambda: chance.randrange(10**14) / 10**13,
             lambda: chance.random(), lambda: chance.choice([-0.0, 0.0, 1e300, 5e-324, 0.1, 2.0**53 + 2]))
    parts = [rw.series_of(labels, [((LATEST_S - DAY_S + at * STEP_S) * 1000, kinds[number % len(kinds)]()) for at in range(200)])
             for number, labels in enumerate(SERIES)]
    assert rw.push(world.region.region["push_url"], b"".join(parts), DENSE).status < 300
    world.flush(DENSE, len(SERIES) * 200)
    return len(SERIES) * 200


def same_bits(got: dict, want: dict) -> None:
    assert set(got) == set(want) == {frozenset(labels.items()) for labels in SERIES}
    for labels, samples in want.items():
        assert [(at, bits(value)) for at, value in got[labels]] == [(at, bits(value)) for at, value in samples]


def test_spark_sees_the_view_of_plain_values(world, spark, dense):
    tables = attached(spark, world, DENSE)
    assert [row[1] for row in tables.sql("SHOW VIEWS IN {}")] == ["samples_plain"]
    [[scaled, plain]] = tables.sql("SELECT count(value_i), count(value) FROM {}.samples")
    assert scaled >= 3 * 200 and plain >= 200 and scaled + plain == dense
    columns = tables.columns("samples")
    assert tables.columns("samples_plain") == {name: kind for name, kind in columns.items() if name not in ("value_i", "value_e")}
    want = by_query(Api(world.url, DENSE, strong=True))
    same_bits(by_series(tables.rows("samples_plain")), want)
    [[count, total]] = tables.sql("SELECT count(value), sum(value) FROM {}.samples_plain WHERE metric = 'steps_total' AND value >= 1000")
    values = [value for labels, samples in want.items() if ("__name__", "steps_total") in labels for _, value in samples if value >= 1000]
    assert count == len(values) and math.isclose(total, math.fsum(values), rel_tol=1e-12)


def test_spark_travels_in_time(world, spark, tenant):
    rows = world.write(tenant, LATEST_S - DAY_S, 20)
    world.flush(tenant, rows)
    tables = attached(spark, world, tenant, **{"cache-enabled": "false"})
    before = by_query(Api(world.url, tenant, strong=True))
    [[old]] = tables.sql("SELECT snapshot_id FROM {}.samples.snapshots ORDER BY committed_at DESC LIMIT 1")
    later = world.write(tenant, LATEST_S - 2 * DAY_S, 30)
    world.flush(tenant, rows + later)
    assert by_series(tables.rows("samples")) == by_query(Api(world.url, tenant, strong=True)) != before
    assert by_series(tables.rows("samples", f"VERSION AS OF {old}")) == before
    assert len(tables.sql("SELECT * FROM {}.samples.history")) >= 2


@pytest.mark.parametrize("statement", ["INSERT INTO {}.series SELECT * FROM {}.series", "DELETE FROM {}.samples WHERE metric = 'steps_total'", "DELETE FROM {}.samples",
                                       "CREATE TABLE {}.mine (a INT) USING iceberg", "DROP TABLE {}.samples", "ALTER TABLE {}.samples ADD COLUMN a INT",
                                       "ALTER TABLE {}.samples RENAME TO mine", "CREATE VIEW {}.mine AS SELECT 1", "DROP VIEW {}.samples_plain", "DROP NAMESPACE {}",
                                       "CREATE NAMESPACE {}_more"])
def test_spark_may_not_write(world, spark, tenant, written, statement):
    tables = attached(spark, world, tenant)
    with pytest.raises(ReaderError):
        tables.sql(statement)
    assert tables.sql("SELECT count(*) FROM {}.samples") == [[written]]
    assert len(tables.sql("SHOW TABLES IN {}")) == len(TABLES)


def test_spark_sees_the_tenant_alone(world, spark, tenant, written):
    theirs = attached(spark, world, f"{tenant}-other")
    assert theirs.sql("SHOW TABLES IN {}") == theirs.sql("SHOW VIEWS IN {}") == []
    for name in ("samples", "samples_plain"):
        with pytest.raises(ReaderError) as refused:
            theirs.sql(f"SELECT count(*) FROM {theirs.catalog}.`{tenant}`.{name}")
        assert "TABLE_OR_VIEW_NOT_FOUND" in str(refused.value)


# ---- Trino ----


needs_trino = pytest.mark.skipif(engines.trino_absent() is not None, reason=str(engines.trino_absent()))


@pytest.fixture(scope="module")
def trino(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trino]:
    with Trino(tmp_path_factory.mktemp("trino")) as trino:
        yield trino


def opened(trino: Trino, world: World, tenant: str) -> TrinoTables:
    files = {"fs.hadoop.enabled": "true"}
    if world.endpoint:
        files = {"fs.native-s3.enabled": "true", "s3.endpoint": world.endpoint["s3.endpoint"], "s3.region": world.endpoint["s3.region"], "s3.path-style-access": "true",
                 "s3.aws-access-key": world.keys["s3.access-key-id"], "s3.aws-secret-key": world.keys["s3.secret-access-key"]}
    return trino.attach(f"region{next(NUMBERS)}", world.url, tenant, files)


def trino_rows(tables: TrinoTables, table: str, tail: str = "") -> list[dict[str, Any]]:
    rows = tables.sql(f"SELECT metric, labels, CAST(round(to_unixtime(ts) * 1000) AS bigint), value FROM {{}}.{table} {tail}")
    return [{"metric": metric, "labels": labels, "ts": at, "value": value} for metric, labels, at, value in rows]


@needs_trino
def test_trino_reads_what_the_query_api_answers(world, trino, tenant, written):
    tables, api = opened(trino, world, tenant), Api(world.url, tenant, strong=True)
    assert {name for [name] in tables.sql(f"SHOW SCHEMAS FROM {tables.catalog}")} - {"information_schema", "system"} == {tenant}  # and Trino's own
    names = sorted([*TABLES, "samples_plain"])
    assert sorted(name for [name] in tables.sql("SHOW TABLES FROM {}")) == names
    assert sorted(tables.sql(f"SELECT table_name FROM {tables.catalog}.information_schema.tables WHERE table_schema = '{tenant}'")) == [[name] for name in names]
    rows, answered = trino_rows(tables, "samples"), by_query(api)
    assert len(rows) == written and by_series(rows) == answered
    for metric in METRICS:
        by_job = tables.sql(f"SELECT job, count(value), sum(value) FROM {{}}.samples WHERE metric = '{metric}' GROUP BY job")
        for index, function in ((1, "count"), (2, "sum")):
            assert {labels_by_job(row[0]): row[index] for row in by_job} == api.vector(f"sum by (job) ({function}_over_time({metric}[60d]))", LATEST_S)
    span = {"start": LONG_AGO_S - DAY_S, "end": LATEST_S}
    for column, label in (("job", "job"), ("metric", "__name__"), ("element_at(labels, 'path')", "path"), ("element_at(labels, 'room')", "room")):
        found = tables.sql(f"SELECT name FROM (SELECT DISTINCT {column} AS name FROM {{}}.samples) WHERE name IS NOT NULL ORDER BY name")
        assert [name for [name] in found] == api.get(f"label/{label}/values", **span).data
    since_s = LATEST_S - DAY_S
    where = f"WHERE metric = 'heart_rate' AND ts >= from_unixtime({since_s}, 'UTC')"
    assert by_series(trino_rows(tables, "samples", where)) == {labels: kept for labels, samples in answered.items() if ("__name__", "heart_rate") in labels
                                                               and (kept := [one for one in samples if one[0] >= since_s * 1000])}
    [[read]] = tables.sql(f'SELECT count(DISTINCT "$path") FROM {{}}.samples {where}')
    [[files, count]] = tables.sql(f'SELECT count(*), sum(record_count) FROM {tables.catalog}."{tenant}"."samples$files"')
    assert count == written and 0 < read < files
    for function in ("count", "sum", "min", "max"):
        fold = "sum" if function in ("count", "sum") else function
        rows = tables.sql(f'SELECT any_value(labels), {fold}("{function}") FROM {{}}.samples_1h WHERE metric = \'heart_rate\' GROUP BY series_id')
        assert {frozenset(row[0].items()): row[1] for row in rows} == api.vector(f"{function}_over_time(heart_rate[60d])", LATEST_S)


@needs_trino
def test_trino_sees_the_view_of_plain_values(world, trino, dense):
    tables, want = opened(trino, world, DENSE), by_query(Api(world.url, DENSE, strong=True))
    rows = trino_rows(tables, "samples_plain")
    assert len(rows) == dense
    same_bits(by_series(rows), want)
    [[scaled]] = tables.sql("SELECT count(value_i) FROM {}.samples")
    assert scaled >= 3 * 200


@needs_trino
def test_trino_reads_the_tenant_alone(world, trino, tenant, written):
    tables = opened(trino, world, f"{tenant}-other")
    for name in ("samples", "samples_plain"):
        with pytest.raises(ReaderError) as refused:
            tables.sql(f'SELECT count(*) FROM {tables.catalog}."{tenant}".{name}')
        assert refused.value.name in ("SCHEMA_NOT_FOUND", "TABLE_NOT_FOUND")
    ours = opened(trino, world, tenant)
    for statement in ("DROP TABLE {}.samples", "DELETE FROM {}.samples WHERE metric = 'steps_total'", "INSERT INTO {}.series SELECT * FROM {}.series",
                      "CREATE TABLE {}.mine (a INT)", "DROP VIEW {}.samples_plain", "DROP SCHEMA {}"):
        with pytest.raises(ReaderError):
            ours.sql(statement)
    assert ours.sql("SELECT count(*) FROM {}.samples") == [[written]]
