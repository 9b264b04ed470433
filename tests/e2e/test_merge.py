"""Blocks into the tenants' files of days: nothing lost, nothing doubled, whoever dies; what is bad is put aside and told."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from meridian_dev.build import build_targets
from meridian_dev.cluster import Cluster, wait_until
from support.api import Api
from support.blocks import Content, read_blocks
from support.fleet import METRIC, Fleet

TWO_COMPACTORS = {"partitions": 2, "services": {"compactor": 2}}
AT_ONCE = ["compactor.compactor.build_age=300ms", "compactor.compactor.merge_age=0s", "compactor.compactor.merge_interval=300ms"]
MERGE_SECONDS = 120


@pytest.fixture(scope="session")
def tools(binaries: Path) -> Path:
    if not (binaries / "block_dump").exists():
        build_targets(binaries.name, ["block_dump"])
    return binaries


def await_merged(region: Cluster, fleet: Fleet, tools: Path) -> Content:
    """Waits until all that the fleet has sent is in merged blocks."""
    def merged() -> Content | None:
        content = read_blocks(region.layout.objects, tools)
        is_done = all(block.level > 0 for block in content.blocks) and not fleet.ledger.faults(content.matrix())
        return content if is_done else None
    return wait_until(merged, MERGE_SECONDS, "all samples to be in merged blocks")


def operations(region: Cluster, instance: str, path: str, method: str = "GET") -> Any:
    """The answer of a compactor's operations port; JSON if it is."""
    request = urllib.request.Request(region.service(instance)["ops_url"] + path, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        text = response.read().decode()
        return json.loads(text) if "json" in response.headers["Content-Type"] else text


@pytest.mark.long
def test_what_is_acknowledged_is_merged_once_though_mergers_are_killed(start, tools):
    region = start(TWO_COMPACTORS, settings=AT_ONCE)
    with Fleet(region.push_urls) as fleet:
        fleet.await_progress(20)
        wait_until(lambda: any("merged blocks" in region.log_text(name) for name in region.instances("compactor")), 60, "a merge")
        for instance in region.instances("compactor"):
            region.kill(instance)
        fleet.await_progress(10)
        fleet.finish()
        content = await_merged(region, fleet, tools)
        fleet.ledger.check(content.matrix())
        assert content.doubled == 0
        for url in region.query_urls():
            Api(url, strong=True).check(METRIC, fleet.ledger)


def test_a_bad_block_is_found_told_and_gone_around(start, tools):
    region = start({"partitions": 1}, settings=AT_ONCE)
    with Fleet(region.push_urls) as fleet:
        fleet.await_progress(5)
        fleet.finish()
        content = await_merged(region, fleet, tools)
    assert operations(region, "compactor-1", "/quarantine")["blocks"] == []
    bad = next(path for path in region.layout.objects.glob("*/*/samples/data/*/*.mbx") if content.blocks[0].id in path.name)
    data = bytearray(bad.read_bytes())
    data[len(data) // 2] ^= 1
    bad.write_bytes(data)
    operations(region, "compactor-1", "/scrub", "POST")

    def quarantined() -> list[dict[str, Any]]:
        return operations(region, "compactor-1", "/quarantine")["blocks"]
    [record] = wait_until(quarantined, 60, "the bad block to be found")
    assert record["block"] == content.blocks[0].id
    assert record["status"] == "corrupt" and bad.name in record["reason"]

    with pytest.raises(urllib.error.HTTPError) as refused:
        operations(region, "compactor-1", "/quarantine/release", "POST")
    assert refused.value.code == 400
    data[len(data) // 2] ^= 1
    bad.write_bytes(data)
    operations(region, "compactor-1", f"/quarantine/release?block={record['block']}", "POST")
    wait_until(lambda: not quarantined(), 60, "the repaired block to be let out")
    operations(region, "compactor-1", "/sweep", "POST")
    wait_until(lambda: "msg=swept" in region.log_text("compactor-1"), 60, "a sweep")
    assert read_blocks(region.layout.objects, tools).doubled == 0
