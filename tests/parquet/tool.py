"""Talks to parquet_tool (tool.c): columns of Python values to its commands, its output back."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY, FIXED = range(8)
RAW, STRING, TIMESTAMP_US, TIMESTAMP_MS, TIMESTAMP_NS, OTHER = range(6)
FLAT, LIST, MAP = range(3)
PLAIN, RLE, DELTA, DELTA_LENGTH, DELTA_BYTES, RLE_DICTIONARY, SPLIT = 0, 3, 5, 6, 7, 8, 9
NONE, SNAPPY, ZSTD = 0, 1, 6


class Refused(Exception):
    """The library's own error: its status and text."""


@dataclass
class Node:
    type: int
    meaning: int = RAW
    size: int = 0
    optional: bool = False
    id: int = -1
    encoding: int = PLAIN
    or_plain: bool = False
    dictionary: int = 0

    def line(self) -> str:
        return (f"node {self.type} {self.meaning} {self.size} {int(self.optional)} {self.id} {self.encoding} {int(self.or_plain)} "
                f"{self.dictionary}")


@dataclass
class Column:
    name: str
    value: Node
    shape: int = FLAT
    optional: bool = False
    id: int = -1
    key: Node | None = None

    def lines(self) -> list[str]:
        nodes = [self.key, self.value] if self.key else [self.value]
        return [f"column {self.name} {self.shape} {int(self.optional)} {self.id}", *(node.line() for node in nodes)]

    def leaves(self) -> list[Node]:
        return [self.key, self.value] if self.key else [self.value]


@dataclass
class Page:
    leaf: int
    row_group: int
    first_row: int
    rows: int
    offset: int
    size: int
    dictionary: bool


@dataclass
class Written:
    path: Path
    pages: list[Page]
    size: int
    crc32c: int
    rows: int
    row_groups: int
    footer_size: int


@dataclass
class Leaf:
    path: str
    type: int
    meaning: int
    fixed_size: int
    def_max: int
    rep_max: int
    id: int
    entries: list[tuple[int, int, Any]] = field(default_factory=list)
    """(repetition level, definition level, value or None)"""
    bounds: list[list[str]] = field(default_factory=list)
    pages: int = 0


@dataclass
class Read:
    leaves: list[Leaf]
    metadata: dict[str, str]

    def leaf(self, path: str) -> Leaf:
        return next(leaf for leaf in self.leaves if leaf.path == path)


def token(kind: int, value: Any) -> str:
    """A value as the tool has it: integers of the same bits, or x and hexadecimal digits."""
    if kind in (BYTE_ARRAY, FIXED):
        return "x" + (value.encode() if isinstance(value, str) else value).hex()
    if kind == DOUBLE:
        return str(struct.unpack("<q", struct.pack("<d", value))[0])
    if kind == FLOAT:
        return str(struct.unpack("<i", struct.pack("<f", value))[0])
    return str(int(value))


def shred(column: Column, rows: list[Any]) -> list[list[tuple[int, int, Any]]]:
    """Rows to entries of each leaf: (repetition, definition, value)."""
    outer = int(column.optional)
    if column.shape == FLAT:
        return [[(0, 0, None) if row is None else (0, outer, row) for row in rows]]
    leaves: list[list[tuple[int, int, Any]]] = [[] for _ in column.leaves()]
    for row in rows:
        items = list(row.items()) if isinstance(row, dict) else [(item,) for item in row] if row is not None else None
        for i, node in enumerate(column.leaves()):
            if not items:
                leaves[i].append((0, 0 if items is None else outer, None))
                continue
            optional = node.optional and not (column.key and i == 0)
            for n, item in enumerate(items):
                at = item[i]
                level = outer + 1 + (int(optional) if at is not None else 0)
                leaves[i].append((int(n > 0), level, at))
    return leaves


def levels(entries: list[tuple[int, int, Any]]) -> tuple[str, str]:
    return "".join(str(entry[1]) for entry in entries), "".join(str(entry[0]) for entry in entries)


class Script:
    """The commands of one file."""

    def __init__(self, columns: list[Column], codec: int = ZSTD, level: int = 3, version: int = 1, memory: int = 1 << 30,
                 sort: list[tuple[int, bool, bool]] | None = None):
        self.columns = columns
        self.lines = [f"options {codec} {level} {version} {memory}"]
        for column in columns:
            self.lines += column.lines()
        self.lines += [f"sort {leaf} {int(descending)} {int(first)}" for leaf, descending, first in sort or []]
        self.lines.append("begin")

    def append(self, rows: dict[str, list[Any]], times: int = 1) -> None:
        leaf = 0
        for column in self.columns:
            for node, entries in zip(column.leaves(), shred(column, rows[column.name])):
                definition, repetition = levels(entries)
                words = ["batch", str(leaf), str(times), definition or "-", repetition if column.shape != FLAT else "-"]
                self.lines.append(" ".join(words + [token(node.type, value) for _, _, value in entries if value is not None]))
                leaf += 1

    def cut(self, *leaves: int) -> None:
        self.lines += [f"cut {leaf}" for leaf in leaves or range(sum(len(column.leaves()) for column in self.columns))]

    def group(self) -> None:
        self.lines.append("group")

    def set(self, key: str, value: str) -> None:
        self.lines.append(f"set {key} {value}")


class Tool:
    def __init__(self, binary: Path):
        self.binary = binary

    def run(self, words: list[str], commands: str = "") -> list[list[str]]:
        done = subprocess.run([str(self.binary), *words], input=commands, capture_output=True, text=True, timeout=120, check=False)
        lines = [line.split(" ") for line in done.stdout.splitlines()]
        if done.returncode == 3:
            raise Refused(" ".join(lines[-1][1:]))
        assert done.returncode == 0, done.stderr[-4000:]
        return lines

    def write(self, path: Path, script: Script) -> Written:
        lines = self.run(["write", str(path)], "\n".join(script.lines) + "\n")
        pages = [Page(*map(int, line[1:7]), line[7] == "1") for line in lines if line[0] == "page"]
        size, crc, rows, groups, footer = lines[-1][1:]
        return Written(path, pages, int(size), int(crc, 16), int(rows), int(groups), int(footer))

    def read(self, path: Path) -> Read:
        result = Read([], {})
        leaf: Leaf | None = None
        for line in self.run(["read", str(path)]):
            if line[0] == "leaf":
                result.leaves.append(Leaf(" ".join(line[1:-6]), *map(int, line[-6:])))
            elif line[0] == "set":
                key, value = (bytes.fromhex(word[1:]).decode() for word in line[1:])
                result.metadata[key] = value
            elif line[0] == "chunk":
                leaf = result.leaves[int(line[2])]
                leaf.pages += int(line[3])
            elif line[0] == "bounds":
                leaf.bounds.append(line[1:])
            else:
                leaf.entries.append((int(line[0]), int(line[1]), None if line[2] == "-" else line[2]))
        return result
