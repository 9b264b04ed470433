"""The log into blocks: nothing lost, nothing doubled, whoever dies. Judged by the files in the store, without any service."""

from __future__ import annotations

from pathlib import Path

import pytest

from meridian_dev.build import build_targets
from meridian_dev.cluster import Cluster, wait_until
from support.blocks import Content, read_blocks
from support.fleet import Fleet

TWO_COMPACTORS = {"partitions": 4, "services": {"compactor": 2}}
BUILD_SECONDS = 120


@pytest.fixture(scope="module")
def tools(binaries: Path) -> Path:
    if not (binaries / "block_dump").exists():
        build_targets(binaries.name, ["block_dump"])
    return binaries


def await_built(region: Cluster, fleet: Fleet, tools: Path) -> Content:
    """Waits until all that the fleet has sent is in blocks."""
    def built() -> Content | None:
        content = read_blocks(region.layout.objects, tools)
        return content if not fleet.ledger.faults(content.matrix()) else None
    return wait_until(built, BUILD_SECONDS, "all samples to be in blocks")


def builders(region: Cluster) -> list[str]:
    """Instances that have said that they build a partition."""
    return [name for name in region.instances("compactor") if "builds a partition" in region.log_text(name)]


def test_what_is_acknowledged_comes_to_blocks_once_though_builders_are_killed(start, tools):
    region = start(TWO_COMPACTORS, settings=["compactor.compactor.build_age=300ms"])
    with Fleet(region.push_urls) as fleet:
        fleet.await_progress(20)
        wait_until(lambda: builders(region), 60, "somebody to build")
        for _ in range(3):
            fleet.await_progress(10)
            for instance in builders(region):
                region.kill_and_wait(instance)
        fleet.await_progress(10)
        fleet.finish()
        content = await_built(region, fleet, tools)
    fleet.ledger.check(content.matrix())
    content.check_ranges()


def test_a_compactor_that_is_stopped_leaves_its_partitions_to_the_other(start, tools):
    region = start(TWO_COMPACTORS, settings=["compactor.compactor.build_age=300ms"])
    with Fleet(region.push_urls) as fleet:
        fleet.await_progress(10)
        first = wait_until(lambda: builders(region), 60, "somebody to build")[0]
        region.stop(first)
        assert "msg=stopped" in region.log_text(first)
        fleet.await_progress(10)
        fleet.finish()
        content = await_built(region, fleet, tools)
    content.check_ranges()
