"""What is out of its tenant's retention is in no answer, and leaves object storage; rollups may be kept for longer, and answer alone then."""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from meridian_dev.build import build_targets
from meridian_dev.cluster import Cluster, wait_until
from support import remote_write as rw
from support.api import Api
from support.blocks import flush, read_blocks

DAY = 86400


@pytest.fixture(scope="session")
def tools(binaries: Path) -> Path:
    if not (binaries / "block_dump").exists():
        build_targets(binaries.name, ["block_dump"])
    return binaries


def expire(region: Cluster) -> None:
    """Asks a compactor, and waits until it has looked."""
    request = urllib.request.Request(region.service("compactor-1")["ops_url"] + "/expire", method="POST")
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 202


def days_in_blocks(region: Cluster, tools: Path, tenant: str) -> set[int]:
    content = read_blocks(region.layout.objects, tools)
    return {at // 1000 // DAY for times in content.samples.get(tenant, {}).values() for at in times}


def ask(region: Cluster, tenant: str, path: str, **parameters: Any) -> Any:
    reply = Api(region.region["query_url"], tenant).get(path, **parameters)
    assert reply.status == 200, reply
    return reply.data


def test_old_days_leave_storage_and_their_rollups_answer(start, tools, tmp_path):
    overrides = tmp_path / "overrides.yaml"
    overrides.write_text("overrides:\n  brief: {retention.samples: 10d, retention.rollups_1h: 1000d, retention.rollups_6h: 15d, retention.rollups_1d: 15d}\n")
    region = start({"partitions": 1}, settings=[f"all.overrides_file={overrides}"])
    today = int(time.time()) // DAY
    days = [today - 40, today - 20, today - 12, today - 2]
    times = [DAY * day + 600 * n + 1 for day in days for n in range(144)]
    for tenant in ("brief", "lasting"):
        body = rw.series_of({"__name__": "kept", "device": "a"}, [(1000 * at, 1.0) for at in times])
        assert rw.push(region.region["push_url"], body, tenant).status < 300
    flush(region.urls("compactor")[0], merge=True)

    def sums(tenant: str) -> list[float]:
        """Over each of the days, in steps of a day, as a dashboard of some months asks."""
        values = {}
        for series in ask(region, tenant, "query_range", query="sum_over_time(kept[1d])", start=DAY * (today - 60), end=DAY * today, step=DAY)["result"]:
            values = {int(float(at)) // DAY - 1: float(value) for at, value in series["values"]}
        return [values.get(day, 0) for day in days]

    before = days_in_blocks(region, tools, "brief")
    assert before == days_in_blocks(region, tools, "lasting") == set(days)
    assert sums("lasting") == [144, 144, 144, 144]
    expire(region)
    wait_until(lambda: days_in_blocks(region, tools, "brief") == {today - 2}, 60, "the old days to leave the catalog")
    assert days_in_blocks(region, tools, "lasting") == set(days)
    wait_until(lambda: sums("brief") == [144, 144, 144, 144], 60, "rows of an hour to answer for days whose samples are gone")
    assert sums("lasting") == [144, 144, 144, 144]
    raw = ask(region, "brief", "query", query=f"count_over_time(kept[{60 * DAY}s])", time=DAY * today, max_source_resolution="0s")
    assert raw["result"][0]["value"][1] == "144", "samples are what they are"
    tables = {table.name for table in region.layout.objects.glob("*/brief/*")}
    assert tables == {"samples", "samples_1h", "samples_6h", "samples_1d", "series"}
    metrics = urllib.request.urlopen(region.service("compactor-1")["ops_url"] + "/metrics", timeout=30).read().decode()
    figures = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in metrics.splitlines() if line.startswith("meridian_expire_"))}
    assert figures["meridian_expire_blocks_total"] == 3
    assert figures["meridian_expire_rollups_total"] == 4, "rows of six hours and of a day are kept for 15 days"
