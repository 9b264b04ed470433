"""Bad days, done for real while writers write. After each: every acknowledged sample is there, once."""

from __future__ import annotations

import random
import time

import pytest

from meridian_dev.cluster import wait_until
from support import remote_write as rw
from support.api import Api
from support.fleet import METRIC, Fleet
from support.ledger import Fate, Ledger, labels_key
from support.watcher import Watcher

ONE_OF_EACH = {"partitions": 4}
AWAY_SECONDS = 30


def judge(region, fleet: Fleet) -> None:
    """Every sample of the fleet, compared, at every querier."""
    for url in region.query_urls():
        Api(url, strong=True).check(METRIC, fleet.ledger)


@pytest.mark.parametrize("instance", ["distributor-1", "ingester-1", "querier-1", "nats-server-1", "redis-server-1"])
def test_nothing_acknowledged_is_lost_when_a_process_is_killed_under_load(start, instance):
    region = start(ONE_OF_EACH)
    with Fleet(region.push_urls) as fleet, Watcher(fleet, region.query_urls) as watcher:
        for _ in range(3):
            fleet.await_progress(10)
            watcher.await_right(1)
            region.kill_and_wait(instance)
        fleet.await_progress(10)
        watcher.await_right(2)
        fleet.finish()
        judge(region, fleet)
    watcher.check()


def test_nothing_acknowledged_is_lost_when_all_processes_are_killed_at_once(start):
    region = start(ONE_OF_EACH)
    everything = ["distributor-1", "ingester-1", "querier-1", "nats-server-1"]
    with Fleet(region.push_urls) as fleet:
        fleet.await_progress(20)
        for instance in everything:
            region.kill(instance)
        for instance in everything[:3]:
            wait_until(lambda name=instance: region.service(name)["pid"], 30, f"{instance} to start again")
            region.wait_ready(instance)
        fleet.await_progress(20)
        fleet.finish()
        judge(region, fleet)


def test_a_restart_of_everything_in_order_keeps_every_sample(start):
    region = start(ONE_OF_EACH)
    with Fleet(region.push_urls) as fleet:
        fleet.await_progress(20)
        fleet.finish()
        region.down()
        region.up()
        judge(region, fleet)


@pytest.mark.long
@pytest.mark.parametrize("how", ["paused", "killed"])
def test_writers_are_told_503_while_nats_is_away_and_nothing_is_lost_or_doubled(start, how):
    region = start(ONE_OF_EACH)
    with Fleet(region.push_urls) as fleet:
        fleet.await_progress(10)
        away_since = time.monotonic()
        if how == "paused":
            region.pause("nats-server-1")
        else:
            region.stop("nats-server-1", "kill")
        before = fleet.statuses()[503]
        wait_until(lambda: fleet.statuses()[503] > before + 3, AWAY_SECONDS + 30, "503 while the log is away")
        assert fleet.statuses()[400] == 0
        while time.monotonic() - away_since < AWAY_SECONDS:  # the fault has this length
            time.sleep(0.1)
        if how == "paused":
            region.resume("nats-server-1")
        else:
            region.start("nats-server-1")
        fleet.await_progress(20)
        fleet.finish()
        judge(region, fleet)
    assert set(fleet.statuses()) <= {200, 204, 503, "TimeoutError", "timeout"}, fleet.statuses()


def test_reads_of_the_head_go_on_while_the_distributor_is_away(start):
    region = start(ONE_OF_EACH)
    with Fleet(region.push_urls, writers=1) as fleet:
        fleet.await_progress(10)
        region.stop("distributor-1")
        # what was acknowledged until now stays readable; the writer's last request stays unknown
        judge(region, fleet)
        region.start("distributor-1")
        fleet.await_progress(10)
        fleet.finish()
        judge(region, fleet)


def test_a_paused_ingester_stops_no_writer_and_gives_no_short_answer(start):
    region = start(ONE_OF_EACH)
    with Fleet(region.push_urls) as fleet, Watcher(fleet, region.query_urls) as watcher:
        fleet.await_progress(10)
        watcher.await_right(1)
        region.pause("ingester-1")
        fleet.await_progress(50)  # the log takes it all
        region.resume("ingester-1")
        watcher.await_right(3)
        fleet.finish()
        judge(region, fleet)
    watcher.check()


def test_without_any_ingester_a_query_is_an_error_and_the_querier_lives_on(start):
    region = start(ONE_OF_EACH)
    at = int(time.time() * 1000)
    assert rw.push(region.push_urls()[0], rw.series_of({"__name__": "unreachable"}, [(at, 1)])).status < 300
    region.stop("ingester-1", "kill")
    querier = region.service("querier-1")["pid"]
    api = Api(region.query_urls()[0])
    for _ in range(3):
        reply = api.query("unreachable", at / 1000)
        assert not reply.complete and (reply.status == 200 or reply.status >= 500), reply
        assert api.query("1 + 1").complete
    assert region.service("querier-1")["pid"] == querier
    region.start("ingester-1")
    region.wait_ready("ingester-1")
    wait_until(lambda: api.query("unreachable", at / 1000).complete, 30, "answers after its return")
    assert len(api.vector("unreachable", at / 1000)) == 1


def test_an_ingester_that_is_paused_again_and_again_catches_up(start):
    region = start(ONE_OF_EACH)
    with Fleet(region.push_urls) as fleet:
        for _ in range(5):
            region.pause("ingester-1")
            fleet.await_progress(15)
            region.resume("ingester-1")
            fleet.await_progress(5)
        fleet.finish()
        judge(region, fleet)


def test_a_full_log_is_503_and_takes_writes_again_when_there_is_room(start):
    region = start({"partitions": 1}, settings=[f"all.log.max_bytes={2 << 20}", "compactor.compactor.references_kept=1s"])
    region.stop("compactor-1")
    connection = rw.Connection(region.push_urls()[0])
    api = Api(region.query_urls()[0], strong=True)
    start_ms = (int(time.time()) - 3600) * 1000
    ledger = Ledger()
    refused = None
    for number in range(100):  # 20,000 values each that nothing compresses
        request, samples = noise("noise", number, start_ms)
        ledger.record_all(samples, Fate.UNKNOWN)
        answer = connection.post(rw.snappy(request))
        if answer.status >= 300:
            refused = answer
            break
        ledger.record_all(samples, Fate.ACKNOWLEDGED)
    assert refused is not None and refused.status == 503, refused
    api.check("noise", ledger)
    # A full log is built and trimmed of all that is in blocks, whatever its window.
    region.start("compactor-1")
    later = Ledger()
    request, samples = noise("later", 1000, start_ms)
    later.record_all(samples, Fate.UNKNOWN)
    wait_until(lambda: connection.post(rw.snappy(request)).status < 300, 120, "room in the log")
    later.record_all(samples, Fate.ACKNOWLEDGED)
    api.check("later", later)
    api.check("noise", ledger)


def noise(name: str, number: int, start_ms: int) -> tuple[bytes, list]:
    """Request `number`: 200 series, 100 samples each, later than those of the request before."""
    chance = random.Random(number)
    parts, samples = [], []
    for series in range(200):
        labels = {"__name__": name, "series": str(series)}
        points = [(start_ms + number * 1000 + step, chance.random()) for step in range(100)]
        parts.append(rw.series_of(labels, points))
        samples += [(labels_key(labels), stamp, value) for stamp, value in points]
    return b"".join(parts), samples
