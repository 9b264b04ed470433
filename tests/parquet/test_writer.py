"""Files of ours, judged by pyarrow and DuckDB."""

from __future__ import annotations

import datetime
import math
import random
import struct

import duckdb
import pyarrow
import pyarrow.parquet as pq
import pytest
from tool import (BOOLEAN, BYTE_ARRAY, DELTA, DELTA_BYTES, DELTA_LENGTH, DOUBLE, FIXED, FLAT, INT32, INT64, LIST, MAP, NONE, RLE, SNAPPY,
                  SPLIT, STRING, TIMESTAMP_US, ZSTD, Column, Node, Refused, Script, shred, token)

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
DICTIONARY = 1 << 16

FLAT_COLUMNS = [
    Column("flag", Node(BOOLEAN), id=1),
    Column("flag_rle", Node(BOOLEAN, encoding=RLE), optional=True, id=2),
    Column("small", Node(INT32), optional=True, id=3),
    Column("small_delta", Node(INT32, encoding=DELTA), id=4),
    Column("small_split", Node(INT32, encoding=SPLIT), id=5),
    Column("wide", Node(INT64, dictionary=DICTIONARY), optional=True, id=6),
    Column("wide_delta", Node(INT64, encoding=DELTA), optional=True, id=7),
    Column("wide_split", Node(INT64, encoding=SPLIT), id=8),
    Column("ts", Node(INT64, TIMESTAMP_US, encoding=DELTA), id=9),
    Column("value", Node(DOUBLE), optional=True, id=10),
    Column("value_split", Node(DOUBLE, encoding=SPLIT, or_plain=True), optional=True, id=11),
    Column("value_dictionary", Node(DOUBLE, dictionary=64), id=12),
    Column("name", Node(BYTE_ARRAY, STRING, dictionary=DICTIONARY), id=13),
    Column("name_full", Node(BYTE_ARRAY, STRING, dictionary=100, encoding=DELTA_LENGTH), optional=True, id=14),
    Column("name_lengths", Node(BYTE_ARRAY, STRING, encoding=DELTA_LENGTH), optional=True, id=15),
    Column("name_prefixes", Node(BYTE_ARRAY, STRING, encoding=DELTA_BYTES), id=16),
    Column("name_plain", Node(BYTE_ARRAY, STRING), id=17),
    Column("blob", Node(BYTE_ARRAY), optional=True, id=18),
    Column("fixed", Node(FIXED, size=16), id=19),
    Column("fixed_split", Node(FIXED, size=3, encoding=SPLIT), optional=True, id=20),
    Column("fixed_dictionary", Node(FIXED, size=5, dictionary=DICTIONARY), id=21),
]
NESTED_COLUMNS = [
    Column("labels", Node(BYTE_ARRAY, STRING, optional=True, id=32, dictionary=DICTIONARY), MAP, id=30,
           key=Node(BYTE_ARRAY, STRING, id=31, dictionary=DICTIONARY)),
    Column("labels_null", Node(BYTE_ARRAY, STRING, id=35, encoding=DELTA_BYTES), MAP, optional=True, id=33,
           key=Node(BYTE_ARRAY, STRING, id=34)),
    Column("deltas", Node(INT64, id=37, encoding=DELTA), LIST, id=36),
    Column("deltas_null", Node(DOUBLE, id=39, optional=True), LIST, optional=True, id=38),
]


def some(chance: random.Random, column: Column, node: Node):
    """A random value, with the awkward ones among them."""
    if node.type == BOOLEAN:
        return chance.random() < 0.5
    if node.type == INT32:
        return chance.choice([0, -1, 2**31 - 1, -2**31, chance.randrange(1000)])
    if node.type == INT64 and node.meaning == TIMESTAMP_US:
        return 1_700_000_000_000_000 + chance.randrange(10**12)
    if node.type == INT64:
        return chance.choice([0, -1, 2**63 - 1, -2**63, chance.randrange(10**6), chance.getrandbits(62)])
    if node.type == DOUBLE:
        return chance.choice([0.0, -0.0, 1.5, math.nan, math.inf, -math.inf, 5e-324, chance.random() * 1e6, chance.randrange(100) / 10])
    if node.type == FIXED:
        return chance.randbytes(node.size) if column.name != "fixed_dictionary" else chance.choice([b"aaaaa", b"\xff" * 5])
    if node.meaning == STRING:
        return chance.choice(["", "a", "ü" * chance.randrange(60), "pod-" + str(chance.randrange(50)), "x" * 100, "\U0001f600" * 30])
    return chance.choice([b"", b"\x00\xff", b"\xff" * 80, chance.randbytes(10)])


def some_rows(chance: random.Random, column: Column, count: int) -> list:
    rows = []
    for _ in range(count):
        if column.optional and chance.random() < 0.2:
            rows.append(None)
        elif column.shape == FLAT:
            rows.append(some(chance, column, column.value))
        else:
            items = [None if column.value.optional and chance.random() < 0.2 else some(chance, column, column.value)
                     for _ in range(chance.choice([0, 1, 3, 12]))]
            rows.append({f"k{i}": item for i, item in enumerate(items)} if column.key else items)
    return rows


def same(want, got) -> bool:
    """Equal to the bit; NaN equals NaN."""
    if isinstance(want, float) and isinstance(got, float):
        return struct.pack("<d", want) == struct.pack("<d", got)
    if isinstance(want, list) and isinstance(got, list):
        return len(want) == len(got) and all(map(same, want, got))
    if isinstance(want, dict):
        return isinstance(got, (list, dict)) and same([list(item) for item in want.items()],
                                                      [list(item) for item in (got.items() if isinstance(got, dict) else got)])
    return type(want) is type(got) and want == got


def as_python(column: Column, rows: list) -> list:
    if column.value.meaning == TIMESTAMP_US:
        return [EPOCH + datetime.timedelta(microseconds=row) for row in rows]
    return rows


def file_of(tool, path, columns, chance, pages=(700, 1, 0, 300), groups=2, **options):
    """A file with some pages in some row groups; returns it with all rows by column."""
    script = Script(columns, **options)
    everything: dict[str, list] = {column.name: [] for column in columns}
    for _ in range(groups):
        for count in pages:
            rows = {column.name: some_rows(chance, column, count) for column in columns}
            for name, values in rows.items():
                everything[name] += values
            if count:
                script.append(rows)
            script.cut()
        script.group()
    script.set("block", "b1")
    return tool.write(path, script), everything


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("codec", [NONE, SNAPPY, ZSTD])
def test_pyarrow_reads_every_value(tool, tmp_path, codec, version):
    columns = FLAT_COLUMNS + NESTED_COLUMNS
    written, rows = file_of(tool, tmp_path / "a.parquet", columns, random.Random(codec * 10 + version), codec=codec, version=version)
    table = pq.read_table(written.path, page_checksum_verification=True)
    assert table.num_rows == written.rows == 2 * 1001
    for column in columns:
        got = table.column(column.name).to_pylist()
        wrong = [i for i, pair in enumerate(zip(as_python(column, rows[column.name]), got)) if not same(*pair)]
        assert not wrong, f"{column.name}: row {wrong[0]}: {rows[column.name][wrong[0]]!r} became {got[wrong[0]]!r}"
    assert table.schema.field("ts").type == pyarrow.timestamp("us", tz="UTC")
    assert pq.read_metadata(written.path).metadata == {b"block": b"b1"}


@pytest.mark.parametrize("version", [1, 2])
def test_duckdb_reads_every_value(tool, tmp_path, version):
    columns = [column for column in FLAT_COLUMNS if column.name != "fixed_split"] + NESTED_COLUMNS  # it has no such decoder
    written, rows = file_of(tool, tmp_path / "a.parquet", columns, random.Random(version), version=version)
    base = duckdb.connect()
    base.execute("set timezone = 'UTC'")
    names = ", ".join(f"epoch_us({column.name})" if column.value.meaning == TIMESTAMP_US else f'"{column.name}"' for column in columns)
    result = base.execute(f"select {names} from read_parquet('{written.path}')").fetchall()
    for i, column in enumerate(columns):
        for want, got in zip(rows[column.name], [row[i] for row in result], strict=True):
            assert same(want, got), f"{column.name}: {want!r} became {got!r}"


def test_our_reader_reads_every_value(tool, tmp_path):
    columns = FLAT_COLUMNS + NESTED_COLUMNS
    written, rows = file_of(tool, tmp_path / "a.parquet", columns, random.Random(5))
    read = tool.read(written.path)
    leaves = iter(read.leaves)
    for column in columns:
        for node, want in zip(column.leaves(), shred(column, rows[column.name])):
            leaf = next(leaves)
            got = leaf.entries
            assert [entry[:2] for entry in got] == [entry[:2] for entry in want], leaf.path
            assert [entry[2] for entry in got] == [None if entry[2] is None else token(node.type, entry[2]) for entry in want], leaf.path
    assert read.metadata == {"block": "b1"}


def bounds_of(values: list) -> tuple:
    """What statistics must say of values: NaN left out, zero of both signs."""
    values = [value for value in values if value is not None and not (isinstance(value, float) and math.isnan(value))]
    return (min(values), max(values)) if values else (None, None)


def test_statistics_are_true(tool, tmp_path):
    columns = [column for column in FLAT_COLUMNS if column.value.type != FIXED]
    written, rows = file_of(tool, tmp_path / "a.parquet", columns, random.Random(9), groups=1)
    group = pq.read_metadata(written.path).row_group(0)
    for i, column in enumerate(columns):
        statistics = group.column(i).statistics
        values = as_python(column, rows[column.name])
        low, high = bounds_of(values)
        assert statistics.null_count == values.count(None), column.name
        if column.name == "blob":  # has values of more 0xff than a bound has bytes: nothing short is above
            assert not statistics.has_min_max
            continue
        if column.value.type == BYTE_ARRAY:
            assert statistics.min <= low and statistics.max >= high
            continue
        assert (statistics.min, statistics.max) == (low, high), column.name


def test_signs_of_zero_and_nan_in_statistics(tool, tmp_path):
    cases = {"zeros": ([-0.0, 0.0], -0.0, 0.0), "positive_zero": ([0.0, 1.0], -0.0, 1.0), "negative_zero": ([-1.0, -0.0], -1.0, 0.0),
             "some_nan": ([math.nan, 2.0], 2.0, 2.0), "all_nan": ([math.nan, math.nan], None, None)}
    columns = [Column(name, Node(DOUBLE)) for name in cases]
    script = Script(columns)
    script.append({name: case[0] for name, case in cases.items()})
    written = tool.write(tmp_path / "a.parquet", script)
    group = pq.read_metadata(written.path).row_group(0)
    for i, (name, (_, low, high)) in enumerate(cases.items()):
        statistics = group.column(i).statistics
        if low is None:
            assert not statistics.has_min_max and not group.column(i).has_column_index
        else:
            assert same(low, statistics.min) and same(high, statistics.max), name
            assert group.column(i).has_column_index


@pytest.mark.parametrize("values, exact", [
    (["a", "b"], True), (["x" * 64], True), (["x" * 65], False), (["é" * 50, "ü" * 40], False), (["\U0010ffff" * 20], False),
    (["\ud7ff" * 30], False), (["a\x7f" + "\x7f" * 80], False)])
def test_long_bounds_are_cut_to_true_text(tool, tmp_path, values, exact):
    script = Script([Column("name", Node(BYTE_ARRAY, STRING))])
    script.append({"name": values})
    written = tool.write(tmp_path / "a.parquet", script)
    statistics = pq.read_metadata(written.path).row_group(0).column(0).statistics
    encoded = sorted(value.encode() for value in values)
    as_sql = duckdb.execute(f"select min_is_exact, max_is_exact, stats_min_value, stats_max_value from parquet_metadata('{written.path}')")
    min_exact, max_exact, low, high = as_sql.fetchone()
    assert low.encode() <= encoded[0] and min_exact is exact
    assert len(low.encode()) <= 64
    if values == ["\U0010ffff" * 20]:
        assert not statistics.has_min_max or high is None  # nothing is above
        return
    assert high.encode() >= encoded[-1] and max_exact is exact and len(high.encode()) <= 68
    if exact:
        assert (low, high) == (min(values), max(values))


def test_pages_are_where_the_writer_says(tool, tmp_path):
    columns = FLAT_COLUMNS + NESTED_COLUMNS
    written, _ = file_of(tool, tmp_path / "a.parquet", columns, random.Random(3))
    metadata = pq.read_metadata(written.path)
    leaves = metadata.num_columns
    data = written.path.read_bytes()
    assert written.size == len(data)
    for group in range(metadata.num_row_groups):
        for leaf in range(leaves):
            pages = [page for page in written.pages if (page.row_group, page.leaf) == (group, leaf)]
            chunk = metadata.row_group(group).column(leaf)
            assert sum(page.size for page in pages) == chunk.total_compressed_size
            assert [page.offset for page in pages if page.dictionary] == ([chunk.dictionary_page_offset] if chunk.has_dictionary_page else [])
            rows = [page for page in pages if not page.dictionary]
            assert rows[0].offset == chunk.data_page_offset
            assert [page.rows for page in rows] == [700, 1, 300] and [page.first_row for page in rows] == [0, 700, 701]
            for before, after in zip(pages, pages[1:]):
                assert before.offset + before.size == after.offset
            assert chunk.has_offset_index


def test_page_index_bounds_every_page(tool, tmp_path):
    """By our own reader: an independent one of page indexes is not at hand; DuckDB's filters below use them."""
    script = Script([Column("ts", Node(INT64, encoding=DELTA)), Column("value", Node(DOUBLE), optional=True)])
    for page in range(5):
        script.append({"ts": list(range(page * 100, page * 100 + 100)), "value": [None] * 100 if page == 2 else [float(page)] * 100})
        script.cut()
    written = tool.write(tmp_path / "a.parquet", script)
    read = tool.read(written.path)
    unpack = lambda bound: struct.unpack("<q", bytes.fromhex(bound[1:]))[0]  # noqa: E731
    assert [(unpack(bound[2]), unpack(bound[3]), int(bound[4])) for bound in read.leaf("ts").bounds] == \
        [(page * 100, page * 100 + 99, page * 100) for page in range(5)]
    assert [bound[:2] for bound in read.leaf("value").bounds] == [["0", "0"], ["0", "0"], ["1", "100"], ["0", "0"], ["0", "0"]]


def test_filters_of_engines_find_rows(tool, tmp_path):
    script = Script([Column("metric", Node(BYTE_ARRAY, STRING, dictionary=DICTIONARY)), Column("ts", Node(INT64, encoding=DELTA)),
                     Column("value", Node(DOUBLE), optional=True)], sort=[(0, False, False), (1, False, False)])
    for group in range(4):
        for page in range(8):
            first = (group * 8 + page) * 1000
            script.append({"metric": [f"m{group * 8 + page:03}"] * 1000, "ts": list(range(first, first + 1000)),
                           "value": [None if i % 10 == 0 else float(first + i) for i in range(1000)]})
            script.cut()
        script.group()
    written = tool.write(tmp_path / "a.parquet", script)
    query = f"from read_parquet('{written.path}')"
    assert duckdb.execute(f"select count(*), count(value), min(ts), max(ts) {query}").fetchone() == (32000, 28800, 0, 31999)
    assert duckdb.execute(f"select count(*), sum(ts) {query} where metric = 'm013'").fetchone() == (1000, sum(range(13000, 14000)))
    assert duckdb.execute(f"select metric, value {query} where ts = 17003").fetchall() == [("m017", 17003.0)]
    assert duckdb.execute(f"select count(*) {query} where value is null").fetchone() == (3200,)
    assert pq.read_table(written.path, filters=[("ts", ">=", 5000), ("ts", "<", 5010)]).num_rows == 10
    sorting = pq.read_metadata(written.path).row_group(0).sorting_columns
    assert [(by.column_index, by.descending, by.nulls_first) for by in sorting] == [(0, False, False), (1, False, False)]


def test_schema_has_iceberg_ids(tool, tmp_path):
    columns = FLAT_COLUMNS + NESTED_COLUMNS
    written, _ = file_of(tool, tmp_path / "a.parquet", columns, random.Random(1), pages=(3,), groups=1)
    schema = duckdb.execute(f"select name, field_id, logical_type from parquet_schema('{written.path}')").fetchall()
    ids = {name: number for name, number, _ in schema if name not in ("key", "value", "element")}
    for column in columns:
        assert ids.get(column.name, column.id) == column.id
    numbers = {number for _, number, _ in schema if number is not None}
    assert numbers >= {*range(1, 22), *range(30, 40)}


def test_a_full_dictionary_falls_back_within_its_chunk(tool, tmp_path):
    script = Script([Column("name", Node(BYTE_ARRAY, STRING, dictionary=1000, encoding=DELTA_LENGTH))])
    rows = [f"name-{i // 100:05}" for i in range(50_000)]
    for at in range(0, len(rows), 1000):
        script.append({"name": rows[at:at + 1000]})
        script.cut()
    written = tool.write(tmp_path / "a.parquet", script)
    chunk = pq.read_metadata(written.path).row_group(0).column(0)
    assert {"RLE_DICTIONARY", "DELTA_LENGTH_BYTE_ARRAY", "PLAIN"} == set(chunk.encodings)
    assert pq.read_table(written.path).column("name").to_pylist() == rows


def test_repeating_is_the_same_as_appending_again(tool, tmp_path):
    columns = FLAT_COLUMNS + NESTED_COLUMNS
    chance = random.Random(4)
    rows = {column.name: some_rows(chance, column, 7) for column in columns}
    once, again = Script(columns), Script(columns)
    once.append(rows, times=50)
    for _ in range(50):
        again.append(rows)
    a = tool.write(tmp_path / "a.parquet", once)
    b = tool.write(tmp_path / "b.parquet", again)
    assert a.path.read_bytes() == b.path.read_bytes()


def test_nothing_in_an_empty_file(tool, tmp_path):
    written = tool.write(tmp_path / "a.parquet", Script(FLAT_COLUMNS + NESTED_COLUMNS))
    assert pq.read_table(written.path).num_rows == 0
    assert duckdb.execute(f"select count(*) from read_parquet('{written.path}')").fetchone() == (0,)
    assert len(tool.read(written.path).leaves) == len(FLAT_COLUMNS) + 6


def test_a_dictionary_of_nothing_but_nulls(tool, tmp_path):
    columns = [Column("name", Node(BYTE_ARRAY, STRING, dictionary=DICTIONARY), optional=True),
               Column("labels", Node(BYTE_ARRAY, STRING, dictionary=DICTIONARY), MAP, key=Node(BYTE_ARRAY, STRING, dictionary=DICTIONARY))]
    script = Script(columns)
    script.append({"name": [None] * 10, "labels": [{}] * 10})
    script.group()
    script.append({"name": [None, "a"], "labels": [{}, {"a": "b"}]})
    written = tool.write(tmp_path / "a.parquet", script)
    assert pq.read_table(written.path).column("name").to_pylist() == [None] * 11 + ["a"]
    assert pq.read_table(written.path).column("labels").to_pylist() == [[]] * 11 + [[("a", "b")]]
    assert duckdb.execute(f"select count(*), count(name) from read_parquet('{written.path}')").fetchone() == (12, 1)
    assert [entry[2] for entry in tool.read(written.path).leaf("name").entries] == [None] * 11 + ["x61"]


def test_many_row_groups_make_a_long_footer(tool, tmp_path):
    script = Script([Column("a.b", Node(INT64, encoding=DELTA), id=1), Column("c", Node(BYTE_ARRAY, STRING, dictionary=DICTIONARY), id=2)])
    for group in range(400):
        script.append({"a.b": [group, group + 1], "c": ["x" * 40, "y" * 40]})
        script.group()
    written = tool.write(tmp_path / "a.parquet", script)
    assert written.footer_size > 1 << 16  # more than our reader's first read
    want = [value for group in range(400) for value in (group, group + 1)]
    assert pq.ParquetFile(written.path).read().column("a.b").to_pylist() == want
    assert duckdb.execute(f"""select sum("a.b") from read_parquet('{written.path}')""").fetchone() == (sum(want),)
    assert [entry[2] for entry in tool.read(written.path).leaf("a.b").entries] == list(map(str, want))


def test_bounds_of_fixed_values_order_by_unsigned_bytes(tool, tmp_path):
    script = Script([Column("id", Node(FIXED, size=2))])
    script.append({"id": [b"\x7f\x00", b"\x80\x00", b"\x00\xff"]})
    statistics = pq.read_metadata(tool.write(tmp_path / "a.parquet", script).path).row_group(0).column(0).statistics
    assert (statistics.min, statistics.max) == (b"\x00\xff", b"\x80\x00")


def test_the_reported_checksum_is_that_of_the_file(tool, tmp_path):
    written, _ = file_of(tool, tmp_path / "a.parquet", FLAT_COLUMNS, random.Random(8), pages=(50,))
    crc, data = 0xffffffff, written.path.read_bytes()
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    assert written.crc32c == crc ^ 0xffffffff
    assert written.footer_size == struct.unpack("<I", data[-8:-4])[0] + 8


@pytest.mark.parametrize("columns, memory, text", [
    ([Column("a", Node(DOUBLE, encoding=DELTA))], 1 << 20, "column a: encoding DELTA_BINARY_PACKED does not fit"),
    ([Column("a", Node(4))], 1 << 20, "cannot be written"),
    ([Column("a", Node(FIXED))], 1 << 20, "fixed size of 0"),
    ([Column("a", Node(INT64, STRING))], 1 << 20, "cannot be written"),
    ([Column("a", Node(BOOLEAN, dictionary=10))], 1 << 20, "a dictionary of up to 10"),
])
def test_wrong_declarations_are_refused(tool, tmp_path, columns, memory, text):
    with pytest.raises(Refused, match=text):
        tool.write(tmp_path / "a.parquet", Script(columns, memory=memory))


def test_memory_is_bounded(tool, tmp_path):
    script = Script([Column("a", Node(INT64))], memory=10_000)
    for _ in range(3):
        script.append({"a": list(range(1000))})
    with pytest.raises(Refused, match="limit .*10000"):
        tool.write(tmp_path / "a.parquet", script)


def test_columns_of_different_length_are_refused(tool, tmp_path):
    script = Script([Column("a", Node(INT64)), Column("b", Node(INT64))])
    script.lines += ["batch 0 1 - - 1 2", "batch 1 1 - - 1"]
    with pytest.raises(Refused, match="column b has 1 rows in this row group, column a has 2"):
        tool.write(tmp_path / "a.parquet", script)


def test_maps_whose_keys_and_values_differ_are_refused(tool, tmp_path):
    script = Script([Column("m", Node(INT64), MAP, key=Node(INT64))])
    script.lines += ["batch 0 1 111 010 1 2 3", "batch 1 1 111 001 1 2 3"]
    with pytest.raises(Refused, match="keys and values have different entries"):
        tool.write(tmp_path / "a.parquet", script)
