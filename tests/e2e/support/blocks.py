"""What is in the blocks of a region, as the program block_dump shows it: the files of the object store, without any service."""

from __future__ import annotations

import json
import struct
import subprocess
import urllib.error
import urllib.request
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.ledger import Labels

DUMP_SECONDS = 120


@dataclass
class Block:
    id: str
    level: int
    partition: int
    first: int
    last: int
    residency_class: str


@dataclass
class Content:
    built: dict[int, int] = field(default_factory=dict)
    """By partition, the last sequence that is in blocks."""
    blocks: list[Block] = field(default_factory=list)
    samples: dict[str, dict[Labels, dict[int, tuple[int, float]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict)))
    """By tenant, series and time: the greatest stamp and its value."""
    doubled: int = 0
    """Samples that more than one merged block (level 1 and above) has."""

    def matrix(self, tenant: str = "anonymous") -> list[dict[str, Any]]:
        """As the query API shows it, for the ledger to judge."""
        return [{"metric": dict(labels), "values": [[stamp / 1000, repr(value)] for stamp, (_, value) in sorted(times.items())]}
                for labels, times in self.samples[tenant].items()]

    def check_ranges(self) -> None:
        """The level-0 blocks of each partition cover each sequence at most once per class, and none that is not built."""
        ends: dict[tuple[int, str], int] = {}
        for block in sorted((b for b in self.blocks if b.level == 0), key=lambda b: (b.partition, b.residency_class, b.first)):
            key = (block.partition, block.residency_class)
            assert block.first > ends.get(key, 0), f"{block} begins before its predecessor ends at {ends[key]}"
            assert block.first <= block.last <= self.built[block.partition], block
            ends[key] = block.last


def read_blocks(folder: Path, binaries: Path) -> Content:
    done = subprocess.run([str(binaries / "block_dump"), str(folder)], capture_output=True, text=True, timeout=DUMP_SECONDS, check=False)
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    content = Content()
    series: dict[int, tuple[int, float]] = {}
    merged: dict[tuple[str, Labels], set[int]] = defaultdict(set)
    for line in done.stdout.splitlines():
        kind, *words = line.split(" ")
        if kind == "built":
            content.built[int(words[0])] = int(words[1])
        elif kind == "block":
            content.blocks.append(Block(words[0], *map(int, words[1:5]), words[5]))
        elif kind == "series":
            tenant, *texts = (bytes.fromhex(word[1:]).decode() for word in words)
            labels = frozenset(zip(texts[::2], texts[1::2]))
            series = content.samples[tenant][labels]
            seen = merged[tenant, labels] if content.blocks[-1].level > 0 else set()
        elif kind == "sample":
            at, hlc = int(words[0]), int(words[2])
            value = struct.unpack(">d", bytes.fromhex(words[3]))[0]
            content.doubled += at in seen
            seen.add(at)
            if at not in series or series[at][0] <= hlc:
                series[at] = (hlc, value)
    return content


def flush(ops_url: str, seconds: float = 120, merge: bool = False, tries: int = 5) -> dict[str, Any]:
    """Asks a compactor to bring all that the log has to blocks, merged ones if asked for, and waits until it is. Where that takes longer than a
    request may, the compactor goes on, and is asked again."""
    request = urllib.request.Request(f"{ops_url}/flush?merge={str(merge).lower()}", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return json.loads(answer.read())["data"]
    except urllib.error.HTTPError as error:
        if error.code != 503 or tries <= 1:
            raise
    return flush(ops_url, seconds, merge, tries - 1)
