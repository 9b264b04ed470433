"""A log on three NATS servers, each partition on all of them: one may die at any time, two bring writers to a halt, none
of it loses or doubles a sample."""

from __future__ import annotations

import json
import urllib.request

import pytest

from meridian_dev.cluster import wait_until
from support.api import Api
from support.fleet import METRIC, Fleet

REPLICATED = {"partitions": 3, "replicas": 2, "nats": {"servers": 3},
              "services": {"distributor": 2, "ingester": 2, "querier": 1}}
SERVERS = ["nats-server-1", "nats-server-2", "nats-server-3"]


def judge(region, fleet: Fleet) -> None:
    for url in region.query_urls():
        Api(url, strong=True).check(METRIC, fleet.ledger)


def streams(region, server: str) -> list[dict]:
    """What a server knows of the partitions' streams; nothing while it is down or starting."""
    try:
        with urllib.request.urlopen(f"{region.service(server)['ops_url']}/jsz?streams=1&config=1", timeout=5) as answer:
            accounts = json.load(answer).get("account_details", [])
    except OSError:
        return []
    return [stream for account in accounts for stream in account.get("stream_detail", []) if stream["name"].startswith("MRD_INGEST_")]


def caught_up(region) -> bool:
    """Every partition's leader says that both others have all of it: the next server may go without taking the majority along."""
    whole = set()
    for server in SERVERS:
        for stream in streams(region, server):
            cluster = stream.get("cluster", {})
            others = cluster.get("replicas") or []
            if cluster.get("leader", "").endswith(server) and len(others) == 2 and all(
                    other.get("current") and not other.get("offline") for other in others):
                whole.add(stream["name"])
    return len(whole) == REPLICATED["partitions"]


def leader_of_most(region) -> str:
    leaders = [stream["cluster"]["leader"] for stream in streams(region, SERVERS[0])]
    busiest = max(leaders, key=leaders.count)
    return next(name for name in SERVERS if busiest.endswith(name))


def test_every_partition_lies_on_three_servers(start):
    region = start(REPLICATED)
    for server in SERVERS:
        found = wait_until(lambda name=server: streams(region, name), 30, f"{server} to know the streams")
        assert len(found) == REPLICATED["partitions"]
        assert {stream["config"]["num_replicas"] for stream in found} == {3}


@pytest.mark.slow
def test_any_server_of_the_log_may_be_killed_under_load(start):
    region = start(REPLICATED)
    with Fleet(region.push_urls, writers=3, series=30) as fleet:
        fleet.await_progress(10)
        for victim in [leader_of_most(region), *SERVERS]:
            region.stop(victim, "kill")
            fleet.await_progress(5)  # while it is down
            region.start(victim)
            wait_until(lambda name=victim: streams(region, name) and caught_up(region), 120, f"{victim} to be back, and all replicas to be current")
            fleet.await_progress(5)
        fleet.finish()
        judge(region, fleet)


@pytest.mark.slow
def test_without_a_majority_writers_are_told_503_until_it_is_back(start):
    region = start(REPLICATED)
    with Fleet(region.push_urls, writers=2, series=30) as fleet:
        fleet.await_progress(10)
        for victim in SERVERS[:2]:
            region.stop(victim, "kill")
        before = fleet.statuses()[503]
        wait_until(lambda: fleet.statuses()[503] > before + 3, 60, "503 without a majority")
        assert fleet.statuses()[400] == 0
        for victim in SERVERS[:2]:
            region.start(victim)
        fleet.await_progress(10, seconds=120)
        fleet.finish()
        judge(region, fleet)
