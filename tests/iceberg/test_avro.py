"""Our Avro files read by fastavro, and its files by us."""

from __future__ import annotations

import json
import random
import struct
import subprocess
from pathlib import Path

import fastavro
import pytest

SCHEMA = {
    "type": "record", "name": "manifest_entry", "fields": [
        {"name": "id", "type": "long", "field-id": 1},
        {"name": "live", "type": "boolean", "field-id": 2},
        {"name": "ratio", "type": "double", "field-id": 3},
        {"name": "path", "type": "string", "field-id": 4},
        {"name": "bound", "type": ["null", "bytes"], "default": None, "field-id": 5},
        {"name": "sizes", "field-id": 6, "type": {"type": "array", "logicalType": "map", "items": {
            "type": "record", "name": "k1_v2", "fields": [{"name": "key", "type": "int", "field-id": 7},
                                                        {"name": "value", "type": "long", "field-id": 8}]}}},
        {"name": "tags", "field-id": 9, "type": {"type": "map", "values": "string"}},
    ]}


def records(seed: int, count: int) -> list[dict]:
    chance = random.Random(seed)
    return [{
        "id": chance.choice([0, -1, 2**63 - 1, -2**63, chance.randrange(10**6)]),
        "live": chance.random() < 0.5,
        "ratio": chance.choice([0.0, -0.0, float("inf"), chance.random()]),
        "path": chance.choice(["", "a/b.parquet", "ü" * chance.randrange(100)]),
        "bound": chance.choice([None, b"", chance.randbytes(9)]),
        "sizes": [{"key": i, "value": chance.getrandbits(40)} for i in range(chance.randrange(4))],
        "tags": {f"k{i}": f"v{chance.randrange(99)}" for i in range(chance.randrange(4))},
    } for _ in range(count)]


def hexed(value: str | bytes) -> str:
    return "x" + (value.encode() if isinstance(value, str) else value).hex()


def line(record: dict) -> str:
    bits = struct.unpack("<Q", struct.pack("<d", record["ratio"]))[0]
    sizes = "".join(f"{size['key']}:{size['value']}," for size in record["sizes"])
    tags = "".join(f"{hexed(key)}:{hexed(value)}," for key, value in record["tags"].items())
    bound = "-" if record["bound"] is None else hexed(record["bound"])
    return f"record {record['id']} {int(record['live'])} {bits} {hexed(record['path'])} {bound} {sizes}- {tags}-"


def run(tool: Path, *words: str, lines: list[str] | None = None) -> list[str]:
    done = subprocess.run([str(tool), *words], input="".join(f"{text}\n" for text in lines or []), capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode in (0, 3), done.stderr[-3000:]
    return done.stdout.splitlines()


@pytest.mark.parametrize("codec", ["null", "deflate"])
@pytest.mark.parametrize("count", [0, 1, 5000])
def test_fastavro_reads_ours(tool, tmp_path, codec, count):
    rows = records(1, count)
    path = tmp_path / "a.avro"
    run(tool, "write", str(path), codec, lines=[json.dumps(SCHEMA), "meta note n1", *map(line, rows)])
    with path.open("rb") as file:
        reader = fastavro.reader(file)
        assert list(map(line, reader)) == list(map(line, rows))
        assert reader.metadata["note"] == "n1" and reader.codec == codec
        assert json.loads(reader.metadata["avro.schema"]) == SCHEMA  # field ids and logical types are still there
    assert run(tool, "read", str(path)) == ["meta note n1", *map(line, rows)]


@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_we_read_fastavros(tool, tmp_path, codec):
    rows = records(2, 3000)
    path = tmp_path / "a.avro"
    with path.open("wb") as file:
        fastavro.writer(file, SCHEMA, rows, codec=codec, metadata={"note": "n2"}, sync_interval=2000)
    assert run(tool, "read", str(path)) == ["meta note n2", *map(line, rows)]


def test_the_same_records_make_the_same_bytes(tool, tmp_path):
    lines = [json.dumps(SCHEMA), *map(line, records(3, 100))]
    for name in "ab":
        run(tool, "write", str(tmp_path / name), "deflate", lines=lines)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_other_codecs_are_refused_by_name(tool, tmp_path):
    path = tmp_path / "a.avro"
    with path.open("wb") as file:
        fastavro.writer(file, SCHEMA, records(4, 10), codec="bzip2")
    assert run(tool, "read", str(path)) == ["error unsupported an Avro file in codec bzip2: null or deflate"]


def test_cut_files_are_refused(tool, tmp_path):
    path = tmp_path / "a.avro"
    run(tool, "write", str(path), "deflate", lines=[json.dumps(SCHEMA), *map(line, records(5, 50))])
    data = path.read_bytes()
    for size in (0, 3, 50, len(data) - 17, len(data) - 1):
        (tmp_path / "b.avro").write_bytes(data[:size])
        assert run(tool, "read", str(tmp_path / "b.avro"))[-1].startswith("error corrupt"), size
