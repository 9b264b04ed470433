"""The life of a log that compactors trim of what blocks have: who may drop what, heads that hold no more than the log, and nothing lost
or doubled whoever dies meanwhile."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from typing import Any

import pytest

from meridian_dev.cluster import Cluster, wait_until
from support import remote_write as rw
from support.api import Api
from support.blocks import flush
from support.fleet import METRIC, Fleet

SECONDS = 120
QUICK = [f"compactor.compactor.{setting}" for setting in ("build_age=300ms", "lease=2s", "log_window=3s", "references_kept=3s")]
PAUSE = 0.05
"""Of writers, seconds: these tests wait for time to pass, not for much to be written."""
FORGETFUL = ["ingester.ingester.forget_delay=4s", "ingester.ingester.bucket=60s"]


def streams(region: Cluster) -> dict[str, dict[str, Any]]:
    """Partitions' streams by name: their configuration and state."""
    url = f"{region.service('nats-server-1')['ops_url']}/jsz?accounts=1&streams=1&config=1"
    with urllib.request.urlopen(url, timeout=30) as answer:
        accounts = json.loads(answer.read())["account_details"]
    found = [stream for account in accounts for stream in account.get("stream_detail", [])]
    return {stream["name"]: stream for stream in found if stream["name"].startswith("MRD_INGEST_")}


def ages(region: Cluster) -> list[int]:
    return [stream["config"]["max_age"] for stream in streams(region).values()]


def figure(region: Cluster, service: str, name: str) -> float:
    """The sum of a metric over all processes of a service."""
    total = 0.0
    for url in region.urls(service):
        with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
            found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", answer.read().decode(), re.MULTILINE)
        total += sum(map(float, found))
    return total


def test_a_region_with_compactors_has_no_age_limit_whatever_the_others_say(start):
    """log.max_age is said to all, and of old; the compactor takes it away, and a service that starts later does not bring it back."""
    region = start({"partitions": 2, "services": {"compactor": 0}}, settings=["all.log.max_age=1h"])
    assert ages(region) == [3_600_000_000_000] * 2
    region.add("compactor")
    assert ages(region) == [0, 0]
    for instance in ("distributor-1", "ingester-1", "querier-1"):
        region.kill_and_wait(instance)
    assert ages(region) == [0, 0]


def test_quickstart_has_none_from_the_beginning(start):
    region = start({"partitions": 2})
    assert ages(region) == [0, 0]
    assert "had an age limit" not in region.log_text("compactor-1")


def test_without_trimming_the_log_forgets_by_age(start):
    region = start({"partitions": 2}, settings=["compactor.compactor.trim=false", "all.log.max_age=1h"])
    assert ages(region) == [3_600_000_000_000] * 2
    assert figure(region, "compactor", "meridian_build_log_age_ratio") == 0


def test_a_log_that_was_trimmed_to_its_end_is_read_to_its_end(start):
    """Strong reads ask for the end of the log, which an ingester that starts then never gets to see."""
    region = start({"partitions": 2}, settings=QUICK)
    now = int(time.time() * 1000)
    assert rw.push(region.region["push_url"], rw.series_of({"__name__": "lone", "device": "a"}, [(now, 7.0)])).status < 300
    flush(region.urls("compactor")[0])
    region.kill_and_wait("distributor-1")
    wait_until(lambda: all(stream["state"]["messages"] == 0 for stream in streams(region).values()), SECONDS, "the logs to be empty")
    region.kill_and_wait("ingester-1")
    reply = wait_until(lambda: (lambda answer: answer if answer.status == 200 else None)(Api(region.region["query_url"], strong=True).get("query", query="lone", timeout="5s")),
                       SECONDS, "a strong read to be answered")
    assert [row["value"][1] for row in reply.data["result"]] == ["7"]


def test_who_starts_on_a_trimmed_log_knows_what_is_written_on(start):
    """The announcements of a distributor that runs were trimmed, so it makes them again. No block could have what is written then."""
    region = start({"partitions": 2}, settings=QUICK)
    now = int(time.time() * 1000)

    def write(at: int, value: float) -> None:
        assert rw.push(region.region["push_url"], rw.series_of({"__name__": "lone", "device": "a"}, [(at, value)])).status < 300

    write(now - 1000, 7.0)
    flush(region.urls("compactor")[0])
    wait_until(lambda: all(stream["state"]["messages"] == 0 for stream in streams(region).values()), SECONDS, "the logs to be empty")
    region.stop("compactor-1")
    write(now, 8.0)
    region.kill_and_wait("ingester-1")
    reply = wait_until(lambda: (lambda answer: answer if answer.status == 200 else None)(Api(region.region["query_url"], strong=True).get("query", query="lone[1h]", timeout="5s")),
                       SECONDS, "a strong read to be answered")
    assert [[value for _, value in row["values"]] for row in reply.data["result"]] == [["7", "8"]]
    assert figure(region, "ingester", "meridian_ingester_rows_before_window_total") == 0


def first_sequences(region: Cluster) -> list[int]:
    return [stream["state"]["first_seq"] for stream in streams(region).values()]


def await_trimmed(region: Cluster) -> None:
    """Returns when each log has lost all that it has now. What a distributor has announced in a label epoch is kept while it names
    that, so another takes its place."""
    ends = {name: stream["state"]["last_seq"] for name, stream in streams(region).items()}
    region.kill_and_wait("distributor-1")
    wait_until(lambda: all(stream["state"]["first_seq"] > ends[name] for name, stream in streams(region).items()), SECONDS, "the logs to be trimmed")


@pytest.mark.long
def test_the_log_is_kept_while_a_querier_reads_no_blocks(start):
    topology = {"partitions": 1, "services": {"querier": 2}, "set": {"querier-2": {"objstore.file.folder": ""}, "all": {"log.max_age": "1h"}}}
    region = start(topology, settings=QUICK)
    wait_until(lambda: "a querier reads no blocks" in region.log_text("compactor-1"), SECONDS, "the compactor to say so")
    with Fleet(region.push_urls, writers=1, series=10, pause_seconds=PAUSE) as fleet:
        window_over = streams(region)["MRD_INGEST_0"]["state"]["last_seq"] + 200
        wait_until(lambda: streams(region)["MRD_INGEST_0"]["state"]["last_seq"] > window_over, SECONDS, "the log to grow")
        flush(region.urls("compactor")[0])
        fleet.await_progress(20)
        fleet.finish()
    assert first_sequences(region) == [1]
    for url in region.query_urls():
        Api(url, strong=True).check(METRIC, fleet.ledger)
    region.remove("querier-2")
    with Fleet(region.push_urls, writers=1, series=10, tenant="other", pause_seconds=PAUSE):
        await_trimmed(region)


@pytest.mark.long
def test_heads_hold_no_more_than_the_log_and_answers_are_the_same(start):
    """Writers go on for several times the log's window and the delay of forgetting; one that ends leaves less and less in memory."""
    region = start({"partitions": 2}, settings=[*QUICK, *FORGETFUL])
    api = Api(region.region["query_url"], strong=True)
    with Fleet(region.push_urls, writers=2, series=100, pause_seconds=PAUSE) as fleet:
        # In buckets of a minute of the samples' time, and no further than to what the present distributor has announced: so again and again.
        trims, begin = 0, time.monotonic()
        while trims < 3 or figure(region, "ingester", "meridian_ingester_samples_forgotten_total") == 0:
            assert time.monotonic() - begin < 3 * SECONDS, f"heads have forgotten nothing after {trims} trims"
            await_trimmed(region)
            trims += 1
        fleet.finish()
    written = fleet.ledger.acknowledged_count()
    wait_until(lambda: 0 < figure(region, "ingester", "meridian_ingester_samples_stored") < written, SECONDS, "heads to forget the first of it")
    api.check(METRIC, fleet.ledger)
    with Fleet(region.push_urls, writers=1, series=10, tenant="other", pause_seconds=PAUSE):  # the log goes on
        for _ in range(2):  # past the end of the first by more than the delay
            await_trimmed(region)
        wait_until(lambda: figure(region, "ingester", "meridian_ingester_samples_forgotten_total") >= written, SECONDS, "heads to forget all of the first")
        held = figure(region, "ingester", "meridian_ingester_samples_stored")
    assert held < written / 2, (held, written)
    api.check(METRIC, fleet.ledger)
    assert figure(region, "querier", "meridian_querier_blocks_gaps_total") == 0


@pytest.mark.long
def test_nothing_is_lost_or_doubled_though_all_restart_behind_a_log_that_is_trimmed(start):
    """Ingesters and compactors die again and again while the log is trimmed behind them and blocks are merged; at last all ingesters are new."""
    merging = ["compactor.compactor.merge_age=2s", "compactor.compactor.merge_interval=300ms"]
    region = start({"partitions": 3, "services": {"ingester": 2, "compactor": 2}}, settings=[*QUICK, *FORGETFUL, *merging])
    api = Api(region.region["query_url"], strong=True)
    with Fleet(region.push_urls, pause_seconds=PAUSE) as fleet:
        for round_number in range(3):
            await_trimmed(region)
            killed = [*region.instances("ingester"), *region.instances("compactor")]
            before = {instance: region.service(instance)["pid"] for instance in killed}
            for instance in killed[round_number % 2:]:  # all, or all but one
                region.kill(instance)
            for instance in killed[round_number % 2:]:
                wait_until(lambda: region.service(instance)["pid"] not in (None, before[instance]), SECONDS, f"{instance} to start again")
            for instance in killed:
                region.wait_ready(instance)
            fleet.await_progress(10)
        fleet.finish()
    api.check(METRIC, fleet.ledger)
    flush(region.urls("compactor")[0])
    old = region.instances("ingester")
    region.add("ingester")
    for instance in old:
        region.remove(instance)
    api.check(METRIC, fleet.ledger)
    assert figure(region, "querier", "meridian_querier_blocks_read_total") > 0
    assert figure(region, "querier", "meridian_querier_blocks_gaps_total") == 0
    for name in ("sequences_missing", "batches_missing", "rows_unresolved", "refused_samples"):
        assert figure(region, "compactor", f"meridian_build_{name}_total") == 0, name
