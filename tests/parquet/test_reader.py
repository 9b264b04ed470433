"""Files by pyarrow and DuckDB, read by us."""

from __future__ import annotations

import datetime
import decimal
import random
import struct

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tool import (BOOLEAN, BYTE_ARRAY, DOUBLE, FIXED, FLOAT, INT32, INT64, LIST, MAP, OTHER, RAW, STRING, TIMESTAMP_MS, TIMESTAMP_NS,
                  TIMESTAMP_US, Column, Node, Refused, shred, token)

ROWS = 3000


def columns_of(chance: random.Random, rows: int = ROWS) -> dict[str, tuple[Column, pa.DataType, list]]:
    """Columns as we see them, as pyarrow declares them, and their rows."""
    def maybe(make, nulls: float = 0.1):
        return [None if chance.random() < nulls else make() for _ in range(rows)]

    def text():
        return chance.choice(["", "a", "pod-" + str(chance.randrange(200)), "ü" * chance.randrange(20)])

    clock = [1_700_000_000_000_000 + i * 15_000_000 + chance.randrange(5000) for i in range(rows)]
    return {
        "flag": (Column("flag", Node(BOOLEAN), optional=True), pa.bool_(), maybe(lambda: chance.random() < 0.5)),
        "small": (Column("small", Node(INT32), optional=True), pa.int32(), maybe(lambda: chance.randrange(-2**31, 2**31))),
        "wide": (Column("wide", Node(INT64), optional=True), pa.int64(), maybe(lambda: chance.randrange(-2**63, 2**63))),
        "steps": (Column("steps", Node(INT64), optional=True), pa.int64(), [i * 7 for i in range(rows)]),
        "ts": (Column("ts", Node(INT64, TIMESTAMP_US), optional=True), pa.timestamp("us", tz="UTC"), clock),
        "single": (Column("single", Node(FLOAT), optional=True), pa.float32(), maybe(lambda: chance.randrange(1000) / 4)),
        "value": (Column("value", Node(DOUBLE), optional=True), pa.float64(), maybe(lambda: chance.choice([0.0, -0.0, chance.random()]))),
        "name": (Column("name", Node(BYTE_ARRAY, STRING), optional=True), pa.string(), maybe(text)),
        "blob": (Column("blob", Node(BYTE_ARRAY), optional=True), pa.binary(), maybe(lambda: chance.randbytes(chance.randrange(9)))),
        "fixed": (Column("fixed", Node(FIXED, size=6), optional=True), pa.binary(6), maybe(lambda: chance.randbytes(6))),
        "list": (Column("list", Node(INT64, optional=True), LIST, optional=True), pa.list_(pa.int64()),
                 maybe(lambda: [chance.choice([None, 1, chance.getrandbits(40)]) for _ in range(chance.randrange(5))])),
        "map": (Column("map", Node(BYTE_ARRAY, STRING, optional=True), MAP, optional=True, key=Node(BYTE_ARRAY, STRING)),
                pa.map_(pa.string(), pa.string()), maybe(lambda: {f"k{i}": text() for i in range(chance.randrange(5))})),
        "nulls": (Column("nulls", Node(INT64), optional=True), pa.int64(), [None] * rows),
    }


def table_of(columns) -> pa.Table:
    def convert(kind, rows):
        return [list(row.items()) if isinstance(row, dict) else row for row in rows]
    return pa.table({name: pa.array(convert(kind, rows), kind) for name, (_, kind, rows) in columns.items()})


def expect_same(read, columns) -> None:
    leaves = iter(read.leaves)
    for column, _, rows in columns.values():
        for node, want in zip(column.leaves(), shred(column, rows)):
            leaf = next(leaves)
            assert (leaf.type, leaf.meaning, leaf.fixed_size) == (node.type, node.meaning, node.size), leaf.path
            got = leaf.entries
            assert len(got) == len(want), leaf.path
            for i, (a, b) in enumerate(zip(got, want)):
                value = None if b[2] is None else token(node.type, b[2])
                assert a == (b[0], b[1], value), f"{leaf.path}, entry {i}"


ENCODINGS = {
    "plain": {"use_dictionary": False},
    "dictionary": {"use_dictionary": True},
    "dictionary_full": {"use_dictionary": True, "dictionary_pagesize_limit": 500},
    "delta": {"use_dictionary": False, "column_encoding": {
        "flag": "RLE", "small": "DELTA_BINARY_PACKED", "wide": "DELTA_BINARY_PACKED", "steps": "DELTA_BINARY_PACKED",
        "ts": "DELTA_BINARY_PACKED", "single": "BYTE_STREAM_SPLIT", "value": "BYTE_STREAM_SPLIT", "name": "DELTA_BYTE_ARRAY",
        "blob": "DELTA_LENGTH_BYTE_ARRAY", "fixed": "DELTA_BYTE_ARRAY", "list.list.element": "DELTA_BINARY_PACKED",
        "map.key_value.key": "DELTA_BYTE_ARRAY", "map.key_value.value": "DELTA_LENGTH_BYTE_ARRAY", "nulls": "DELTA_BINARY_PACKED"}},
    "split": {"use_dictionary": False, "column_encoding": {name: "BYTE_STREAM_SPLIT" for name in
                                                           ("small", "wide", "steps", "ts", "single", "value", "fixed")}},
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd"])
def test_files_of_pyarrow_are_read(tool, tmp_path, compression, version, encoding):
    columns = columns_of(random.Random(7))
    indexed = encoding != "plain"
    pq.write_table(table_of(columns), tmp_path / "a.parquet", compression=compression, data_page_version=version, row_group_size=1700,
                   data_page_size=2000, write_batch_size=100, write_page_index=indexed, write_page_checksum=compression != "none",
                   **ENCODINGS[encoding])
    read = tool.read(tmp_path / "a.parquet")
    expect_same(read, columns)
    assert read.leaf("wide").pages >= 4
    assert bool(read.leaf("wide").bounds) == indexed


def test_page_bounds_of_pyarrow_are_read(tool, tmp_path):
    columns = columns_of(random.Random(3))
    pq.write_table(table_of(columns), tmp_path / "a.parquet", data_page_size=2000, write_batch_size=100, write_page_index=True,
                   use_dictionary=False)
    leaf = tool.read(tmp_path / "a.parquet").leaf("wide")
    rows = columns["wide"][2]
    firsts = [int(bound[4]) for bound in leaf.bounds]
    for bound, first, end in zip(leaf.bounds, firsts, firsts[1:] + [ROWS]):
        values = [row for row in rows[first:end] if row is not None]
        low, high = (struct.unpack("<q", bytes.fromhex(word[1:]))[0] for word in bound[2:4])
        assert (low, high, int(bound[1])) == (min(values), max(values), end - first - len(values))


@pytest.mark.parametrize("options", ["compression snappy", "compression zstd, parquet_version v2", "compression gzip, parquet_version v2",
                                     "compression uncompressed, parquet_version v2, dictionary_size_limit 1"])
def test_files_of_duckdb_are_read(tool, tmp_path, options):
    columns = columns_of(random.Random(11), 6000)
    del columns["fixed"]  # it has no such type
    table = table_of(columns)  # noqa: F841  DuckDB finds it by its name
    duckdb.execute(f"copy (select * from table) to '{tmp_path}/a.parquet' (format parquet, row_group_size 2048, {options})"
                   .replace("from table", "from \"table\""))
    read = tool.read(tmp_path / "a.parquet")
    expect_same(read, columns)


def test_times_and_other_meanings_are_told_apart(tool, tmp_path):
    when = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
    table = pa.table({
        "ms": pa.array([when], pa.timestamp("ms", tz="UTC")), "ns": pa.array([when], pa.timestamp("ns", tz="UTC")),
        "local": pa.array([when.replace(tzinfo=None)], pa.timestamp("us")), "day": pa.array([when.date()], pa.date32()),
        "unsigned": pa.array([1], pa.uint32()), "decimal": pa.array([decimal.Decimal("1.5")], pa.decimal128(20, 2)),
        "plain": pa.array([1], pa.int64())})
    pq.write_table(table, tmp_path / "a.parquet")
    meanings = {leaf.path: leaf.meaning for leaf in tool.read(tmp_path / "a.parquet").leaves}
    assert meanings == {"ms": TIMESTAMP_MS, "ns": TIMESTAMP_NS, "local": OTHER, "day": OTHER, "unsigned": OTHER, "decimal": OTHER,
                        "plain": RAW}


def test_deep_nesting_comes_as_levels(tool, tmp_path):
    deep = pa.list_(pa.struct([("tags", pa.list_(pa.string())), ("n", pa.int64())]))
    pq.write_table(pa.table({"a": pa.array([[{"tags": ["x", None], "n": 1}, {"tags": [], "n": None}], [], None], deep)}), tmp_path / "a.parquet")
    read = tool.read(tmp_path / "a.parquet")
    assert read.leaf("a.list.element.tags.list.element").entries == [
        (0, 6, "x78"), (2, 5, None), (1, 4, None), (0, 1, None), (0, 0, None)]
    assert read.leaf("a.list.element.n").entries == [(0, 4, "1"), (1, 3, None), (0, 1, None), (0, 0, None)]


def test_old_timestamps_are_refused_by_name(tool, tmp_path):
    table = pa.table({"old": pa.array([datetime.datetime(2024, 1, 1)], pa.timestamp("ns"))})
    pq.write_table(table, tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)
    with pytest.raises(Refused, match="unsupported column old: .*INT96"):
        tool.read(tmp_path / "a.parquet")


@pytest.mark.parametrize("codec, name", [("brotli", "BROTLI"), ("lz4", "LZ4_RAW")])
def test_other_codecs_are_refused_by_name(tool, tmp_path, codec, name):
    pq.write_table(pa.table({"a": list(range(100))}), tmp_path / "a.parquet", compression=codec)
    with pytest.raises(Refused, match=f"unsupported column a: compression .*{name}"):
        tool.read(tmp_path / "a.parquet")


def test_a_changed_byte_of_a_page_is_seen(tool, tmp_path):
    pq.write_table(pa.table({"a": list(range(1000))}), tmp_path / "a.parquet", write_page_checksum=True, compression="none",
                   use_dictionary=False)
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[4000] ^= 1
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(Refused, match="corrupt .*CRC"):
        tool.read(tmp_path / "a.parquet")


@pytest.mark.parametrize("size", [0, 3, 8, 11, 100])
def test_cut_files_are_refused(tool, tmp_path, size):
    pq.write_table(pa.table({"a": list(range(1000))}), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(data[:size])
    with pytest.raises(Refused, match="corrupt"):
        tool.read(tmp_path / "b.parquet")
