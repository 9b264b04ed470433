"""More than one of each: 2 distributors, 3 ingesters with 2 replicas of every partition, 2 queriers. One of each is
added, removed, killed and paused under load; answers are right throughout."""

from __future__ import annotations

import pytest

from support.api import Api
from support.fleet import METRIC, Fleet
from support.watcher import Watcher

WIDE = {"partitions": 6, "replicas": 2, "services": {"distributor": 2, "ingester": 3, "querier": 2}}


def judge(region, fleet: Fleet) -> None:
    for url in region.query_urls():
        Api(url, strong=True).check(METRIC, fleet.ledger)


def stable_querier(region):
    """Only queriers that no test ends, so a refused connection is never the test's own doing."""
    return lambda: [region.service("querier-1")["ops_url"]]


@pytest.mark.parametrize("service", ["distributor", "ingester", "querier"])
def test_one_is_added_removed_and_killed_under_load(start, service):
    region = start(WIDE)
    with Fleet(region.push_urls, writers=4, series=50) as fleet, Watcher(fleet, stable_querier(region)) as watcher:
        fleet.await_progress(10)
        watcher.await_right(2)
        added = region.add(service)
        fleet.await_progress(10)
        watcher.await_right(2)
        region.remove(f"{service}-2")
        fleet.await_progress(10)
        watcher.await_right(2)
        region.kill_and_wait(added)
        fleet.await_progress(10)
        watcher.await_right(2)
        fleet.finish()
        judge(region, fleet)
    watcher.check()


def test_with_two_replicas_queries_stay_complete_while_an_ingester_is_dead(start):
    region = start(WIDE)
    with Fleet(region.push_urls, writers=2, series=50) as fleet, Watcher(fleet, stable_querier(region)) as watcher:
        fleet.await_progress(10)
        watcher.await_right(2)
        region.stop("ingester-3", "kill")
        watcher.await_right(5, seconds=30)
        region.start("ingester-3")
        region.wait_ready("ingester-3")
        watcher.await_right(3)
        fleet.finish()
        judge(region, fleet)
    watcher.check()


def test_with_two_replicas_queries_stay_complete_while_an_ingester_hangs(start):
    region = start(WIDE)
    with Fleet(region.push_urls, writers=2, series=50) as fleet, Watcher(fleet, stable_querier(region)) as watcher:
        fleet.await_progress(10)
        watcher.await_right(2)
        region.pause("ingester-2")
        watcher.await_right(3, seconds=60)
        region.resume("ingester-2")
        watcher.await_right(3)
        fleet.finish()
        judge(region, fleet)
    watcher.check()


def test_every_querier_and_every_distributor_is_equal(start):
    region = start(WIDE)
    with Fleet(region.push_urls, writers=4, series=20) as fleet:
        fleet.await_progress(20)
        fleet.finish()
        judge(region, fleet)


@pytest.mark.slow
def test_ingesters_come_and_go_for_two_minutes(start):
    import random
    import time

    region = start(WIDE)
    chance = random.Random(7)
    with Fleet(region.push_urls, writers=3, series=50) as fleet, Watcher(fleet, stable_querier(region)) as watcher:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            instance = chance.choice(region.instances("ingester"))
            move = chance.choice(["kill", "add", "remove", "pause"])
            if move == "kill":
                region.kill_and_wait(instance)
            elif move == "add" and len(region.instances("ingester")) < 5:
                region.add("ingester")
            elif move == "remove" and len(region.instances("ingester")) > 3:
                region.remove(instance)
            elif move == "pause":
                region.pause(instance)
                fleet.await_progress(10)
                region.resume(instance)
            fleet.await_progress(5)
            watcher.await_right(2)
        fleet.finish()
        judge(region, fleet)
    watcher.check()
