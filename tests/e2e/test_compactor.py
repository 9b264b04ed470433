"""The log into blocks: nothing lost, nothing doubled, whoever dies. Judged by the files in the store, without any service."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path

import pytest

from meridian_dev.build import build_targets
from meridian_dev.cluster import Cluster, wait_until
from support.api import Api
from support.blocks import Content, flush, read_blocks
from support.fleet import METRIC, Fleet

TWO_COMPACTORS = {"partitions": 4, "services": {"compactor": 2}}
BUILD_SECONDS = 120
QUICK = ["compactor.compactor.build_age=300ms", "compactor.compactor.lease=2s"]


@pytest.fixture(scope="session")
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


def test_what_is_acknowledged_comes_to_blocks_once_though_builders_and_nats_are_killed(start, tools):
    region = start(TWO_COMPACTORS, settings=QUICK)
    with Fleet(region.push_urls) as fleet:
        fleet.await_progress(20)
        wait_until(lambda: builders(region), 60, "somebody to build")
        for _ in range(3):
            fleet.await_progress(10)
            killed = {instance: region.service(instance)["pid"] for instance in builders(region)}
            for instance in killed:
                region.kill(instance)
            for instance, pid in killed.items():
                wait_until(lambda: region.service(instance)["pid"] not in (None, pid), 60, f"{instance} to start again")
        region.kill_and_wait("nats-server-1")
        fleet.await_progress(10)
        fleet.finish()
        content = await_built(region, fleet, tools)
    fleet.ledger.check(content.matrix())
    content.check_ranges()


def test_a_compactor_that_is_stopped_leaves_its_partitions_to_the_other(start, tools):
    region = start(TWO_COMPACTORS, settings=QUICK)
    with Fleet(region.push_urls) as fleet:
        fleet.await_progress(10)
        first = wait_until(lambda: builders(region), 60, "somebody to build")[0]
        region.stop(first)
        assert "msg=stopped" in region.log_text(first)
        fleet.await_progress(10)
        fleet.finish()
        content = await_built(region, fleet, tools)
    content.check_ranges()


def test_any_compactor_flushes_what_all_of_them_build(start, tools):
    region = start(TWO_COMPACTORS, settings=["compactor.compactor.build_age=1h"])
    with Fleet(region.push_urls) as fleet:
        fleet.await_progress(20)
        fleet.finish()
    assert not region.layout.objects.joinpath("blocks").exists(), "nothing is due for an hour"
    for url in region.urls("compactor"):
        answer = flush(url)
        content = read_blocks(region.layout.objects, tools)
        fleet.ledger.check(content.matrix())
        assert content.built == {entry["partition"]: entry["sequence"] for entry in answer["partitions"]}
    content.check_ranges()


def logs(region: Cluster) -> dict[str, dict[str, int]]:
    """State of the partitions' streams by name."""
    with urllib.request.urlopen(f"{region.service('nats-server-1')['ops_url']}/jsz?accounts=1&streams=1", timeout=30) as answer:
        accounts = json.loads(answer.read())["account_details"]
    streams = [stream for account in accounts for stream in account.get("stream_detail", [])]
    return {stream["name"]: stream["state"] for stream in streams if stream["name"].startswith("MRD_INGEST_")}


@pytest.mark.long
def test_the_log_is_trimmed_of_what_is_in_blocks_and_of_nothing_else(start, tools):
    region = start({**TWO_COMPACTORS, "partitions": 2}, settings=[
        *QUICK, "compactor.compactor.log_window=500ms", "compactor.compactor.references_kept=5s"])
    with Fleet(region.push_urls) as fleet:
        fleet.await_progress(20)
        # Another distributor process, whose batches do not name what the first has announced.
        region.kill_and_wait("distributor-1")
        fleet.await_progress(20)
        wait_until(lambda: all(state["first_seq"] > 1 for state in logs(region).values()), BUILD_SECONDS, "the logs to be trimmed")
        for instance in builders(region):  # whoever takes over begins in a trimmed log
            region.kill_and_wait(instance)
        fleet.await_progress(20)
        fleet.finish()
    flush(region.urls("compactor")[0])
    content = read_blocks(region.layout.objects, tools)
    fleet.ledger.check(content.matrix())
    content.check_ranges()
    for instance in region.instances("ingester"):  # heads begin anew, with what is left of the log
        region.kill_and_wait(instance)
    Api(region.region["query_url"], strong=True).check(METRIC, fleet.ledger)


@pytest.mark.parametrize("name", ["blocks", "catalog", "erasures", "logs", "probe", "quarantine", "upkeep"])
def test_a_region_cannot_be_named_as_what_the_store_has_already(binaries, name):
    done = subprocess.run([binaries / "meridian-compactor", "--set", f"region.id={name}"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "give the region another name" in done.stdout + done.stderr
