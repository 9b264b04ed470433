"""The data file of a block as pyarrow and DuckDB read it."""

from __future__ import annotations

import datetime
import math
import random
import struct
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from writing import STALE, Refused, Row, Series, Tool, bits_of

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
PROMOTED = {"job": 2, "instance": 7}
FIELDS = {"metric": 1, "job": 2, "instance": 7, "labels": 20, "series_id": 21, "ts": 22, "value": 23, "st": 24, "h_count": 30, "h_sum": 31,
          "h_schema": 32, "h_zero_threshold": 33, "h_zero_count": 34, "h_chunk": 35, "hlc": 40}


def some_rows(chance: random.Random, count: int) -> list[Row]:
    at = 1_700_000_000_000 + chance.randrange(100_000)
    rows = []
    for _ in range(count):
        bits = chance.choice([STALE, bits_of(math.nan), bits_of(-0.0), bits_of(math.inf), bits_of(chance.randrange(1000) / 10)])
        start = chance.choice([0, at - 500])
        kind = chance.random()
        rows.append(Row(at, bits if kind < 0.8 else bits_of(1.5), start, chance.getrandbits(60), None if kind < 0.8 else chance.randrange(99)))
        at += chance.choice([1, 1000, 15_000])
    return rows


def some_series(chance: random.Random, count: int, tenants: int = 1, rows: int = 200) -> list[Series]:
    found: dict[tuple, Series] = {}
    for _ in range(count):
        labels = {"__name__": f"m{chance.randrange(4)}", "instance": f"host-{chance.randrange(50)}", "zone": "zü"}
        if chance.random() < 0.5:
            labels["job"] = chance.choice(["a", "b"])
        item = Series(labels, some_rows(chance, 1 + chance.randrange(rows)), f"tenant-{chance.randrange(tenants)}")
        found[item.key()] = item
    return sorted(found.values(), key=Series.key)


def is_sample(row: Row) -> bool:
    return row.count is None and row.bits != STALE


def micros(moment: datetime.datetime | None) -> int | None:
    return None if moment is None else (moment - EPOCH) // datetime.timedelta(microseconds=1)


def expected(item: Series, row: Row) -> dict:
    histogram = row.count is not None
    return {
        "metric": item.metric,
        "job": item.labels.get("job"),
        "instance": item.labels.get("instance"),
        "labels": sorted((name, value) for name, value in item.labels.items() if name != "__name__"),
        "ts": row.time_ms * 1000,
        "value": row.bits if is_sample(row) else None,
        "st": row.start_ms * 1000 if row.start_ms else None,
        "h_count": float(row.count) if histogram else None,
        "h_sum": row.value if histogram else None,
        "h_schema": 3 if histogram else None,
        "h_zero_threshold": 0.001 if histogram else None,
        "h_zero_count": float(row.count) if histogram else None,
        "hlc": None,  # kept beside the columns, if at all
    }


def seen(row: dict) -> dict:
    result = {name: row[name] for name in ("metric", "job", "instance", "h_count", "h_sum", "h_schema", "h_zero_threshold", "h_zero_count", "hlc")}
    result["labels"] = sorted(row["labels"])
    result["ts"] = micros(row["ts"])
    result["st"] = micros(row["st"])
    result["value"] = None if row["value"] is None else bits_of(row["value"])
    return result


@pytest.mark.parametrize("seed,hlc,split", [(1, True, False), (2, False, True), (3, True, True)])
def test_pyarrow_reads_every_row(tool: Tool, tmp_path: Path, seed: int, hlc: bool, split: bool) -> None:
    series = some_series(random.Random(seed), 40)
    entry = tool.write(tmp_path, series, hlc=hlc, split=split, promoted=PROMOTED)
    table = pq.read_table(entry.data)
    rows = table.to_pylist()
    want = [expected(item, row) for item in series for row in item.rows]
    assert [seen(row) for row in rows] == want
    ids = [row["series_id"] for row in rows]
    at = 0
    for item in series:  # one id a series, and no other has it
        assert len(set(ids[at:at + len(item.rows)])) == 1
        at += len(item.rows)
    assert len(set(ids)) == len(series)


def test_the_schema_is_that_of_the_table(tool: Tool, tmp_path: Path) -> None:
    entry = tool.write(tmp_path, some_series(random.Random(4), 5), promoted=PROMOTED)
    schema = pq.read_schema(entry.data)
    assert schema.names == list(FIELDS)
    assert {name: int(schema.field(name).metadata[b"PARQUET:field_id"]) for name in schema.names} == FIELDS
    labels = schema.field("labels").type
    assert int(labels.key_field.metadata[b"PARQUET:field_id"]) == 50
    assert int(labels.item_field.metadata[b"PARQUET:field_id"]) == 51
    assert [name for name in schema.names if not schema.field(name).nullable] == ["metric", "labels", "series_id", "ts"]
    assert schema.field("ts").type == pa.timestamp("us", tz="UTC")
    assert (schema.field("value").type, schema.field("h_schema").type) == (pa.float64(), pa.int32())
    metadata = pq.read_metadata(entry.data).metadata
    assert metadata[b"meridian.block"] == b"tested" and metadata[b"meridian.hlc_fence"] == b"9"
    assert pq.ParquetFile(entry.data).metadata.row_group(0).sorting_columns[0].column_index == 0


def test_level_0_has_the_tenant_and_the_stamps_and_no_labels(tool: Tool, tmp_path: Path) -> None:
    series = some_series(random.Random(5), 60, tenants=7)
    entry = tool.write(tmp_path, series, level=0, hlc=True)
    rows = pq.read_table(entry.data, columns=["tenant", "metric", "ts", "hlc"]).to_pylist()
    assert [(row["tenant"], row["metric"], micros(row["ts"]), row["hlc"]) for row in rows] == [
        (item.tenant, item.metric, row.time_ms * 1000, row.hlc) for item in series for row in item.rows]
    assert "labels" not in pq.read_schema(entry.data).names


def test_duckdb_answers_like_the_rows_themselves(tool: Tool, tmp_path: Path) -> None:
    chance = random.Random(6)
    series = some_series(chance, 80, rows=400)
    entry = tool.write(tmp_path, series, hlc=True, promoted=PROMOTED)
    rows = [(item, row) for item in series for row in item.rows]
    numbers = [row.value for _, row in rows if is_sample(row)]
    with duckdb.connect() as connection:
        def ask(query: str) -> list[tuple]:
            return connection.execute(query.replace("BLOCK", f"'{entry.data}'")).fetchall()

        finite = [value for value in numbers if math.isfinite(value)]
        assert ask("select count(*), count(value), count(h_count), count(st) from BLOCK") == [
            (len(rows), len(numbers), sum(row.count is not None for _, row in rows), sum(row.start_ms != 0 for _, row in rows))]
        total, low = ask("select sum(value), min(value) from BLOCK where isfinite(value)")[0]
        assert math.isclose(total, math.fsum(finite)) and low == min(finite)
        assert ask("select count(*) from BLOCK where value is null and h_count is null") == [(sum(row.bits == STALE for _, row in rows),)]
        assert ask("select metric, count(*), sum(h_count) from BLOCK group by metric order by metric") == [
            (metric, sum(item.metric == metric for item, _ in rows),
             sum(row.count for item, row in rows if item.metric == metric and row.count is not None))
            for metric in sorted({item.metric for item in series})]
        assert ask("select labels['job'], count(*) from BLOCK where labels['instance'] = 'host-7' group by 1 order by 1 nulls last") == sorted(
            [(job, sum(item.labels["instance"] == "host-7" and item.labels.get("job") == job for item, _ in rows))
             for job in {item.labels.get("job") for item in series if item.labels["instance"] == "host-7"}],
            key=lambda pair: (pair[0] is None, pair[0]))
        assert ask("select count(*) from BLOCK where job = 'a'") == [(sum(item.labels.get("job") == "a" for item, _ in rows),)]
        middle = rows[len(rows) // 2][1].time_ms
        assert ask(f"select count(*) from BLOCK where ts >= make_timestamptz({middle * 1000})") == [
            (sum(row.time_ms >= middle for _, row in rows),)]
        assert ask("select count(distinct series_id) from BLOCK") == [(len(series),)]


def test_the_entry_says_what_is_in_the_columns(tool: Tool, tmp_path: Path) -> None:
    series = some_series(random.Random(7), 30)
    entry = tool.write(tmp_path, series, promoted=PROMOTED)
    rows = [(item, row) for item in series for row in item.rows]
    value = entry.columns[23]
    numbers = [row.value for _, row in rows if is_sample(row)]
    assert (value.values, value.nulls) == (len(rows), len(rows) - len(numbers))
    assert value.nans == sum(math.isnan(number) for number in numbers)
    assert struct.unpack("<d", value.maximum)[0] == max(number for number in numbers if not math.isnan(number))
    times = [row.time_ms for _, row in rows]
    assert [struct.unpack("<q", bound)[0] for bound in (entry.columns[22].minimum, entry.columns[22].maximum)] == [
        min(times) * 1000, max(times) * 1000]
    metrics = sorted(item.metric for item in series)
    assert (entry.columns[1].minimum, entry.columns[1].maximum) == (metrics[0].encode(), metrics[-1].encode())
    assert entry.columns[40].nulls == len(rows)
    assert entry.columns[50].values == sum(len(item.labels) - 1 for item, _ in rows)
    assert entry.counts == (len(series), sum(row.count is None for _, row in rows), sum(row.count is not None for _, row in rows),
                            min(times), max(times))
    footer = pq.read_metadata(entry.data)
    assert sum(footer.row_group(i).column(0).total_compressed_size for i in range(footer.num_row_groups)) == entry.columns[1].stored


def test_the_compact_layout_is_read_through_its_expression(tool: Tool, tmp_path: Path) -> None:
    chance = random.Random(8)
    tame = [Series({"__name__": "tame", "n": str(n)}, tenant="tenant-0", rows=[
        Row(1_700_000_000_000 + i * 1000, STALE if chance.random() < 0.05 else bits_of(chance.randrange(-10**6, 10**6) / 10**(n % 5)))
        for i in range(500)]) for n in range(20)]
    series = tame + some_series(chance, 20)
    plain = tool.write(tmp_path / "plain", series)
    entry = tool.write(tmp_path / "compact", series, compact=True)
    names = pq.read_schema(entry.data).names
    assert names[names.index("value"):names.index("value") + 3] == ["value", "value_i", "value_e"]
    assert {name: int(pq.read_schema(entry.data).field(name).metadata[b"PARQUET:field_id"]) for name in ("value_i", "value_e")} == {
        "value_i": 25, "value_e": 26}
    assert entry.columns[25].values - entry.columns[25].nulls > sum(row.bits != STALE for item in tame for row in item.rows) - 1
    with duckdb.connect() as connection:
        def values(path: Path, expression: str) -> list[int | None]:
            rows = connection.execute(f"select {expression} from '{path}' order by series_id, ts").fetchall()
            return [None if value is None else bits_of(value) for value, in rows]

        want = values(plain.data, "value")
        assert values(entry.data, "coalesce(value, value_i / power(10, value_e))") == want
        stale, = connection.execute(
            f"select count(*) from '{entry.data}' where value is null and value_i is null and h_count is null").fetchone()
        assert stale == sum(row.bits == STALE for item in series for row in item.rows)


def test_a_long_series_fills_pages(tool: Tool, tmp_path: Path) -> None:
    rows = [Row(1_700_000_000_000 + i * 1000, bits_of(float(i % 7))) for i in range(20_000)]
    entry = tool.write(tmp_path, [Series({"__name__": "long"}, rows)])
    table = pq.read_table(entry.data)
    assert table.num_rows == len(rows)
    assert table.column("value").to_pylist() == [row.value for row in rows]
    assert table.column("labels").to_pylist() == [[]] * len(rows)


def test_what_cannot_be_is_refused(tool: Tool, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="invalid.*do not rise"):
        tool.write(tmp_path, [Series({"__name__": "a"}, [Row(5), Row(5)])])
    with pytest.raises(Refused, match="invalid.*out of bounds"):
        tool.write(tmp_path, [Series({"__name__": "a"}, [Row(2**53)])])
    with pytest.raises(Refused, match="second tenant"):
        tool.write(tmp_path, [Series({"__name__": "a"}, [Row(5)], "x"), Series({"__name__": "a"}, [Row(5)], "y")])
