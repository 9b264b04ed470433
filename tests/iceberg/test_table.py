"""Tables of ours, read by pyiceberg (with pyarrow) and DuckDB."""

from __future__ import annotations

import datetime
import json
import math

import pyarrow.parquet
import pytest
from tables import DAY_MS, NOON, START, by_duckdb, by_pyiceberg, assert_same, duck, make_rows, series_id, static

DAYS = {name: make_rows(seed, seed - 1) for seed, name in enumerate("abc", 1)}


def fill(table) -> list:
    """Three commits: a day, two more days, and the first two days merged into one file."""
    table.promote("job", "instance")
    for name, rows in DAYS.items():
        table.file(name, rows)
    table.file("m", sorted(DAYS["a"] + DAYS["b"], key=lambda row: (row[0], row[1], row[3])), month=True)
    return [table.commit("append", add=["a"]), table.commit("append", add=["b", "c"]),
            table.commit("replace", add=["m"], remove=["a", "b"])]


def test_pyiceberg_reads_every_snapshot(table):
    versions = fill(table)
    found = static(table.metadata(versions[-1]))
    assert [snapshot.snapshot_id for snapshot in found.snapshots()] == [version.snapshot for version in versions]
    assert_same(by_pyiceberg(found, versions[0].snapshot), DAYS["a"])
    assert_same(by_pyiceberg(found, versions[1].snapshot), *DAYS.values())
    assert_same(by_pyiceberg(found, versions[2].snapshot), *DAYS.values())
    assert_same(by_pyiceberg(found), *DAYS.values())
    names = {file["file_path"].rsplit("/", 1)[1] for file in found.inspect.files().to_pylist()}
    assert names == {"c.parquet", "m.parquet"}  # those removed are gone from it
    operations = [snapshot.summary.operation.value for snapshot in found.snapshots()]
    assert operations == ["append", "append", "replace"]
    assert found.snapshots()[-1].summary["total-records"] == str(sum(map(len, DAYS.values())))
    assert found.snapshots()[-1].summary["meridian.catalog-version"] == "7"


def test_duckdb_reads_every_snapshot(table):
    versions = fill(table)
    connection = duck()
    for version, parts in zip(versions, (["a"], ["a", "b", "c"], ["a", "b", "c"]), strict=True):
        source = f"iceberg_scan('{table.metadata(versions[-1])}', snapshot_from_id => {version.snapshot})"
        assert_same(by_duckdb(connection, source), *(DAYS[name] for name in parts))


def test_duckdb_reads_the_published_folder(table):
    fill(table)
    table.run("publish", "publish")  # again is no error
    connection = duck()
    assert_same(by_duckdb(connection, f"iceberg_scan('{table.store / table.path}')"), *DAYS.values())
    assert (table.store / table.path / "metadata" / "version-hint.text").read_text() == "3"


def test_filters_prune_and_lose_nothing(table):
    """A reader that prunes by wrong partitions or bounds loses rows; one that cannot prune reads too many files."""
    found = static(table.metadata(fill(table)[1]))
    second = datetime.datetime.fromtimestamp((NOON + DAY_MS) / 1000, datetime.timezone.utc)
    third = second + datetime.timedelta(days=1)
    scan = found.scan(row_filter=f"ts >= '{second.isoformat()}' and ts < '{third.isoformat()}'")
    assert [task.file.file_path.rsplit("/", 1)[1] for task in scan.plan_files()] == ["b.parquet"]
    assert_same(by_pyiceberg(found, row_filter=f"ts >= '{second.isoformat()}' and ts < '{third.isoformat()}'"), DAYS["b"])
    host = [row for rows in DAYS.values() for row in rows if dict(row[1])["instance"] == "host3"]
    assert_same(by_pyiceberg(found, row_filter="instance = 'host3'"), host)
    high = [row for rows in DAYS.values() for row in rows if row[4] is not None and row[4] > 990]
    assert_same(by_pyiceberg(found, row_filter="value > 990"), high)
    source = f"iceberg_scan('{found.metadata_location}')"
    assert_same(by_duckdb(duck(), source, f"ts >= '{second.isoformat()}' AND ts < '{third.isoformat()}'"), DAYS["b"])
    assert_same(by_duckdb(duck(), source, "instance = 'host3'"), host)
    assert list(found.scan(row_filter="metric = 'absent'").plan_files()) == []
    below = min(row[2] for rows in DAYS.values() for row in rows) - 1
    assert list(found.scan(row_filter=f"series_id = {below}").plan_files()) == []


def test_figures_of_files_are_those_of_the_files(table):
    found = static(table.metadata(fill(table)[-1]))
    for file in found.inspect.files().to_pylist():
        path = file["file_path"].removeprefix("file://")
        stored = pyarrow.parquet.ParquetFile(path)
        assert file["record_count"] == stored.metadata.num_rows
        assert file["file_size_in_bytes"] == len(open(path, "rb").read())
        values = stored.read(columns=["value"])["value"]
        assert dict(file["null_value_counts"])[23] == values.null_count
        nans = sum(value is not None and math.isnan(value) for value in values.to_pylist())
        assert file["readable_metrics"]["value"]["nan_value_count"] == nans > 0
        numbers = [value for value in values.to_pylist() if value is not None and not math.isnan(value)]
        assert (file["readable_metrics"]["value"]["lower_bound"], file["readable_metrics"]["value"]["upper_bound"]) == \
            (min(numbers), max(numbers))
        metrics = stored.read(columns=["metric"])["metric"].to_pylist()
        assert (file["readable_metrics"]["metric"]["lower_bound"], file["readable_metrics"]["metric"]["upper_bound"]) == \
            (min(metrics), max(metrics))


def test_label_promoted_later_is_null_in_older_files(table):
    table.promote("job")
    table.file("a", DAYS["a"])
    table.commit("append", add=["a"])
    table.promote("instance")
    table.file("b", DAYS["b"])
    found = static(table.metadata(table.commit("append", add=["b"])))
    assert_same(by_pyiceberg(found), DAYS["a"], DAYS["b"])
    hosts = found.scan().to_arrow()
    count = sum(host is not None for host in hosts["instance"].to_pylist())
    assert count == len(DAYS["b"])
    assert len(found.schemas()) == 2
    assert_same(by_duckdb(duck(), f"iceberg_scan('{found.metadata_location}')"), DAYS["a"], DAYS["b"])


def test_overwrite_makes_late_samples_visible_once(table):
    table.file("a", DAYS["a"])
    late = sorted([*DAYS["a"], ("metric_0", (("job", "late"),), series_id("acme", "metric_0", {"job": "late"}), NOON + 1, 5.0)], key=lambda row: (row[0], row[1], row[3]))
    table.file("late", late)
    before = table.commit("append", add=["a"])
    after = table.commit("overwrite", add=["late"], remove=["a"])
    found = static(table.metadata(after))
    assert_same(by_pyiceberg(found), late)
    assert_same(by_pyiceberg(found, before.snapshot), DAYS["a"])


def test_delete_leaves_the_rest(table):
    for name in "abc":
        table.file(name, DAYS[name])
    table.commit("append", add=["a", "b", "c"])
    found = static(table.metadata(table.commit("delete", remove=["a", "c"])))
    assert_same(by_pyiceberg(found), DAYS["b"])
    empty = static(table.metadata(table.commit("delete", remove=["b"])))
    assert by_pyiceberg(empty) == []
    assert_same(by_duckdb(duck(), f"iceberg_scan('{empty.metadata_location}')"))


def test_expired_snapshots_name_what_nobody_needs(table):
    versions = fill(table)
    last = table.commit("nothing", expire_before=START + 3 * 60_000 + 1)
    found = static(table.metadata(last))
    assert [snapshot.snapshot_id for snapshot in found.snapshots()] == [versions[2].snapshot]
    for name in ("a", "b"):
        assert table.key(name) in last.unreferenced
    assert table.key("c") not in last.unreferenced and table.key("m") not in last.unreferenced
    assert sum("/snap-" in key for key in last.unreferenced) == 2
    for key in last.unreferenced:  # what is named can go: the table is still whole
        (table.store / key).unlink()
    assert_same(by_pyiceberg(found), *DAYS.values())
    with pytest.raises(Exception):  # noqa: B017: the reader's own kinds
        by_pyiceberg(found, versions[0].snapshot)
    assert_same(by_duckdb(duck(), f"iceberg_scan('{found.metadata_location}')"), *DAYS.values())


def test_pinned_snapshots_keep_their_files(table):
    versions = fill(table)
    last = table.commit("nothing", expire_before=START + 3 * 60_000 + 1, pinned=versions[0].snapshot)
    found = static(table.metadata(last))
    assert [snapshot.snapshot_id for snapshot in found.snapshots()] == [versions[0].snapshot, versions[2].snapshot]
    assert table.key("a") not in last.unreferenced and table.key("b") in last.unreferenced
    for key in last.unreferenced:
        (table.store / key).unlink()
    assert_same(by_pyiceberg(found, versions[0].snapshot), DAYS["a"])
    assert_same(by_pyiceberg(found), *DAYS.values())


def test_snapshots_that_a_reader_may_have_begun_with_stay(table):
    """The second ended when the third was made: a reader that began a moment before may still read it."""
    versions = fill(table)
    last = table.commit("nothing", expire_before=START + 3 * 60_000)
    assert [snapshot.snapshot_id for snapshot in static(table.metadata(last)).snapshots()] == [version.snapshot for version in versions[1:]]


def test_many_commits_stay_few_manifests(table):
    rows = [make_rows(seed, seed, series=1, samples=2) for seed in range(120)]
    for index, part in enumerate(rows):
        table.file(f"f{index}", part)
    changes = [table.change("append", add=[f"f{index}"]) for index in range(119)]
    table.commands += changes
    last = table.commit("append", add=["f119"])
    found = static(table.metadata(last))
    assert len(found.current_snapshot().manifests(found.io)) <= 52
    assert_same(by_pyiceberg(found), *rows)
    assert len(found.metadata.metadata_log) <= 32
    assert_same(by_duckdb(duck(), f"iceberg_scan('{found.metadata_location}')"), *rows)


def test_the_same_change_makes_the_same_bytes(table):
    version = fill(table)[-1]
    before = {path: path.read_bytes() for path in table.store.rglob("*") if path.is_file()}
    table.run()  # all of it again, over what is there
    assert {path: path.read_bytes() for path in table.store.rglob("*") if path.is_file()} == before
    assert json.loads(table.metadata(version).read_bytes())["format-version"] == 2


def test_rollups_are_a_table(table):
    table.promote("job")
    table.commands.append("table rollup")
    labels = (("job", "j"),)
    hour = 3_600_000
    first, last = NOON + 1, NOON + 24 * hour  # the last window ends at the next noon and belongs to these
    samples = [("m", labels, 0, time_ms, float(time_ms // 1000 % 7)) for time_ms in range(first, last + 1, 15_000)]
    samples[-1] = (*samples[-1][:4], None)
    table.file("r", samples)
    found = static(table.metadata(table.commit("append", add=["r"])))
    wanted = []
    for end in range(NOON + hour, last + 1, hour):
        values = [value for *_, time_ms, value in samples if end - hour < time_ms <= end and value is not None]
        wanted.append((at(end), len(values), sum(values), min(values), max(values), values[0], values[-1]))
    names = ["ts", "count", "sum", "min", "max", "first", "last"]
    assert by_columns(found, *names) == wanted
    assert len(list(found.scan(row_filter=f"ts < '{at(NOON + hour).isoformat()}'").plan_files())) == 0  # by its bounds
    assert len(list(found.scan(row_filter=f"ts = '{at(last).isoformat()}'").plan_files())) == 1
    quoted = ", ".join(f'epoch_ms("{name}")' if name == "ts" else f'"{name}"' for name in names)
    rows = duck().execute(f"SELECT {quoted} FROM iceberg_scan('{found.metadata_location}') WHERE job = 'j' ORDER BY ts").fetchall()
    assert [(at(row[0]), *row[1:]) for row in rows] == wanted
    stale = duck().execute(f"SELECT epoch_ms(stale_ts) FROM iceberg_scan('{found.metadata_location}') WHERE stale_ts IS NOT NULL").fetchall()
    assert stale == [(samples[-1][3],)]


def test_series_are_a_table(table):
    """Files of series that blocks have beside their own, of a day and of a month."""
    table.promote("job", "instance")
    table.commands.append("table series")
    table.file("d", DAYS["a"])
    table.file("m", DAYS["b"], month=True)
    found = static(table.metadata(table.commit("append", add=["d", "m"])))
    wanted = []
    for rows in (DAYS["a"], DAYS["b"]):
        for key in sorted({row[:3] for row in rows}):
            times = [row[3] for row in rows if row[:3] == key]
            wanted.append((*key, at(min(times)), at(max(times)), len(times)))
    names = ["metric", "labels", "series_id", "first_ts", "last_ts", "samples"]
    got = [(row["metric"], tuple(sorted(dict(row["labels"]).items())), *(row[name] for name in names[2:])) for row in found.scan().to_arrow().to_pylist()]
    assert sorted(got) == sorted(wanted)
    assert {row["job"] for row in found.scan().to_arrow().to_pylist()} == {dict(row[1]).get("job") for row in wanted}
    later = f"first_ts >= '{at(NOON + 40 * DAY_MS).isoformat()}'"
    assert len(list(found.scan(row_filter=later).plan_files())) == 0
    assert len(list(found.scan(row_filter=f"first_ts < '{at(NOON + DAY_MS).isoformat()}'").plan_files())) == 1  # by its bounds
    rows = duck().execute(f"""SELECT metric, labels, series_id, epoch_ms(first_ts), epoch_ms(last_ts), samples
                              FROM iceberg_scan('{found.metadata_location}') WHERE instance IS NOT NULL""").fetchall()
    assert sorted((row[0], tuple(sorted(row[1].items())), row[2], at(row[3]), at(row[4]), row[5]) for row in rows) == sorted(wanted)


def at(time_ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(time_ms / 1000, datetime.timezone.utc)


def by_columns(table, *names: str) -> list[tuple]:
    return sorted(tuple(row[name] for name in names) for row in table.scan(selected_fields=names).to_arrow().to_pylist())


def test_refusals_name_what_is_wrong(table):
    fill(table)
    lines = table.run(table.change("delete", remove=["a"]))
    assert lines[-1].startswith("error conflict") and table.key("a") in lines[-1]
    lines = table.run(table.change("append", add=["c", "c"]))
    assert lines[-1] == f"error invalid {table.key('c')} is added twice"
    lines = table.run(table.change("append", remove=["c"]))
    assert lines[-1].startswith("error invalid 0 files added and 1 removed do not fit the operation")
