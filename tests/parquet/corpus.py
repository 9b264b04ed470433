#!/usr/bin/env python3
"""Makes the inputs that fuzzing begins with from files of our own writer.

    tests/parquet/corpus.py build/asan/parquet_tool
"""

from __future__ import annotations

import random
import struct
import sys
import tempfile
from pathlib import Path

from tool import (BOOLEAN, BYTE_ARRAY, DELTA, DELTA_BYTES, DELTA_LENGTH, DOUBLE, FIXED, INT32, INT64, LIST, MAP, NONE, PLAIN, RLE, RLE_DICTIONARY,
                  SNAPPY, SPLIT, STRING, ZSTD, Column, Node, Script, Tool)

LIBRARY = Path(__file__).resolve().parents[2] / "libs" / "parquet"

COLUMNS = [
    Column("flag", Node(BOOLEAN, encoding=RLE), optional=True), Column("small", Node(INT32, encoding=DELTA)),
    Column("wide", Node(INT64, dictionary=1000), optional=True), Column("value", Node(DOUBLE, encoding=SPLIT)),
    Column("name", Node(BYTE_ARRAY, STRING, dictionary=20, encoding=DELTA_BYTES)),
    Column("blob", Node(BYTE_ARRAY, encoding=DELTA_LENGTH), optional=True), Column("fixed", Node(FIXED, size=3, encoding=DELTA_BYTES)),
    Column("list", Node(INT64, optional=True), LIST, optional=True),
    Column("map", Node(BYTE_ARRAY, STRING, optional=True, dictionary=1000), MAP, key=Node(BYTE_ARRAY, STRING, dictionary=1000)),
]


def rows(chance: random.Random, count: int) -> dict[str, list]:
    def maybe(value):
        return None if chance.random() < 0.2 else value
    return {
        "flag": [maybe(chance.random() < 0.5) for _ in range(count)], "small": [chance.randrange(100) for _ in range(count)],
        "wide": [maybe(chance.randrange(5)) for _ in range(count)], "value": [chance.random() for _ in range(count)],
        "name": [f"n{chance.randrange(9)}" for _ in range(count)], "blob": [maybe(chance.randbytes(2)) for _ in range(count)],
        "fixed": [chance.randbytes(3) for _ in range(count)], "list": [maybe([maybe(i) for i in range(chance.randrange(3))]) for _ in range(count)],
        "map": [{f"k{i}": maybe("v") for i in range(chance.randrange(3))} for _ in range(count)],
    }


def file_of(tool: Tool, path: Path, columns: list[Column], **options) -> bytes:
    chance = random.Random(1)
    script = Script(columns, **options)
    for _ in range(2):
        for _ in range(2):
            script.append({name: values for name, values in rows(chance, 9).items() if name in {column.name for column in columns}})
            script.cut()
        script.group()
    tool.write(path, script)
    return path.read_bytes()


def save(folder: str, name: str, data: bytes) -> None:
    (LIBRARY / folder).mkdir(exist_ok=True)
    (LIBRARY / folder / f"{name}.bin").write_bytes(data)


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def skip(data: bytes, at: int) -> int:
    """Behind the struct that begins here, of the kinds that our page headers have."""
    while data[at]:
        kind, at = data[at] & 15, at + 1
        if kind == 9:
            count, kind, at = data[at] >> 4, data[at] & 15, at + 1
            for _ in range(count):
                at = at + 1 if kind in (1, 2) else skip_value(data, at, kind)
        elif kind not in (1, 2):
            at = skip_value(data, at, kind)
    return at + 1


def skip_value(data: bytes, at: int, kind: int) -> int:
    if kind == 12:
        return skip(data, at)
    value, at = varint(data, at)
    return at + value if kind == 8 else at


def decode_inputs(tool: Tool, path: Path) -> None:
    """One body of each type and encoding, behind the nine bytes that choose them (decode_fuzz.c)."""
    for column in COLUMNS:
        for encoding in (PLAIN, RLE, DELTA, DELTA_LENGTH, DELTA_BYTES, SPLIT, RLE_DICTIONARY):
            node = Node(column.value.type, column.value.meaning, column.value.size, column.value.optional,
                        encoding=PLAIN if encoding == RLE_DICTIONARY else encoding, dictionary=1000 if encoding == RLE_DICTIONARY else 0)
            key = Node(BYTE_ARRAY, STRING) if column.key else None
            script = Script([Column(column.name, node, column.shape, column.optional, key=key)], codec=NONE)
            script.append({column.name: rows(random.Random(2), 25)[column.name]})
            try:
                written = tool.write(path, script)
            except Exception:  # noqa: BLE001  an encoding that the type does not have
                continue
            leaf = tool.read(path).leaves[-1]
            data = path.read_bytes()
            pages = [page for page in written.pages if page.leaf == (1 if key else 0)]
            bodies = [data[skip(data, page.offset):page.offset + page.size] for page in pages]
            dictionary = bodies[0] if pages[0].dictionary else b""
            values = len(leaf.entries)
            distinct = len({entry[2] for entry in leaf.entries if entry[2]}) if dictionary else 0
            choices = bytes([leaf.type, leaf.fixed_size, leaf.def_max, leaf.rep_max, encoding, distinct * 2]) + struct.pack("<H", values)
            save("decode_corpus", f"{column.name}_{encoding}", choices + bytes([len(dictionary)]) + dictionary + bodies[-1])


def index_inputs(tool: Tool, path: Path) -> None:
    """Both indexes of a column of two pages, behind the two bytes that choose them (page_index_fuzz.c)."""
    for column in COLUMNS:
        script = Script([column], codec=NONE)
        for seed in range(2):
            script.append({column.name: rows(random.Random(seed), 500)[column.name]})
            script.cut()
        last = tool.write(path, script).pages[-1]
        data, begin = path.read_bytes(), last.offset + last.size
        if not column.key:  # else two chunks
            middle = skip(data, begin)
            save("page_index_corpus", f"{column.name}_bounds", bytes([column.value.type, 2]) + data[begin:middle])
            save("page_index_corpus", f"{column.name}_offsets", bytes([255, 2]) + data[middle:skip(data, middle)])


def main() -> None:
    tool = Tool(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        for codec, version in ((NONE, 1), (NONE, 2), (SNAPPY, 1), (ZSTD, 2)):
            save("reader_corpus", f"file_{codec}_{version}", file_of(tool, path, COLUMNS, codec=codec, version=version))
        for column in COLUMNS:
            save("reader_corpus", column.name, file_of(tool, path, [column], codec=NONE))
        data = file_of(tool, path, COLUMNS)
        size = struct.unpack("<I", data[-8:-4])[0]
        save("footer_corpus", "all", data[-8 - size:-8])
        for column in COLUMNS:
            data = file_of(tool, path, [column], codec=NONE)
            size = struct.unpack("<I", data[-8:-4])[0]
            save("footer_corpus", column.name, data[-8 - size:-8])
        decode_inputs(tool, path)
        index_inputs(tool, path)


main()
