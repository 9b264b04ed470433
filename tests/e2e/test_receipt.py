"""What was deleted ends in a receipt, and then no byte that a region keeps has it: object storage, the queriers' caches, the log's files."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from meridian_dev.cluster import Cluster, wait_until
from support import remote_write as rw
from support.blocks import flush
from support.traces import find
from test_delete_series import delete, now_ms
from test_query_api import ask

pytestmark = pytest.mark.slow

TENANT = "clinic"
SECRET = "zq7-visitor-83519b"
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SETTINGS = ["querier.querier.admin_api=true", "all.log.max_bytes=8388608"] + [f"compactor.compactor.{setting}" for setting in (
    "grace=60s", "snapshots_kept=0s", "build_age=300ms", "merge_age=0s", "merge_interval=300ms", "log_window=1s", "references_kept=1s", "lease=2s")]
SECONDS = 600


def write(region: Cluster, user: str, end_ms: int) -> None:
    """Three days, a sample an hour, under a name and a label that say who it is."""
    times = range(end_ms - 3 * DAY_MS, end_ms, HOUR_MS)
    body = b"".join(rw.series_of({"__name__": name, "user": user}, [(at, 1.0) for at in times]) for name in ("weight", "seen_" + user.replace("-", "_")))
    assert rw.push(region.region["push_url"], body, TENANT).status < 300


@contextmanager
def traffic(region: Cluster) -> Iterator[None]:
    """Others go on writing, so that the log has something to drop. A distributor keeps what it has announced alive, so it is replaced now and then."""
    stop = threading.Event()

    def run() -> None:
        chance = random.Random(1)
        for turn in range(1 << 30):
            at = now_ms()
            body = b"".join(rw.series_of({"__name__": "other", "turn": str(turn % 50), "number": str(number)}, [(at - 1000 * n, chance.random()) for n in range(20)])
                            for number in range(100))
            try:
                rw.push(region.region["push_url"], body, "others")
            except OSError:
                pass  # the distributor is being replaced
            if stop.wait(0.3):
                return
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def erasures(region: Cluster) -> dict[str, Any]:
    with urllib.request.urlopen(region.service("compactor-1")["ops_url"] + "/erasures", timeout=30) as answer:
        return json.loads(answer.read())


def wait_for_receipts(region: Cluster, count: int) -> None:
    deadline = time.monotonic() + SECONDS
    with traffic(region):
        while len(erasures(region)["receipts"]) < count:
            assert time.monotonic() < deadline, erasures(region)
            for _ in range(20):
                time.sleep(1)
                if len(erasures(region)["receipts"]) >= count:
                    break
            region.kill_and_wait("distributor-1")


def test_after_the_receipt_nothing_has_it(start):
    region = start({"partitions": 2}, settings=SETTINGS)
    end_ms = now_ms() // HOUR_MS * HOUR_MS
    for user in (SECRET, "alice"):
        write(region, user, end_ms)
    flush(region.urls("compactor")[0], merge=True)
    url = region.query_urls()[0]
    query = ("GET", "/api/v1/query", [("query", 'count_over_time(weight{user="%s"}[4d])' % SECRET), ("time", end_ms / 1000)], {"X-Scope-OrgID": TENANT})
    region.kill_and_wait("ingester-1")

    def found() -> list[dict[str, Any]] | None:
        answer = ask(url, *query)
        return answer.json["data"]["result"] if answer.status == 200 else None
    wait_until(found, 60, "the query to be answered from blocks")

    folders = [region.layout.objects, region.layout.directory / "data"]
    texts = [SECRET.encode(), SECRET.replace("-", "_").encode()]
    before = [path for text in texts for path in find(folders, text)]
    for kind in (".mbx", ".parquet", ".avro", "catalog/"):
        assert any(kind in path for path in before), (kind, before)

    assert delete(url, TENANT, '{user="%s"}' % SECRET).status == 204
    assert found() == []
    during = find(folders, texts[0])
    for kind in ("erasures/", ".blk"):  # the request itself, in storage and in the log
        assert any(kind in path for path in during), (kind, during)
    wait_for_receipts(region, 1)
    [receipt] = erasures(region)["receipts"]
    assert receipt["tenant"] == TENANT and receipt["samples"] >= 2 * 72 and receipt["blocks"] > 0, receipt
    assert len(receipt["digest"]) == 64
    assert erasures(region)["erasures"] == []
    left = [path for text in texts for path in find(folders, text)]
    assert left == []
    assert find(folders, b"alice"), "what was not to be deleted is there"


def test_rows_whose_samples_are_gone_end_in_a_receipt_too(start, tmp_path):
    """Samples are kept for ten days, rollups for years: what is deleted then is in rows alone, which nobody can make anew."""
    overrides = tmp_path / "overrides.yaml"
    overrides.write_text(f"overrides:\n  {TENANT}: {{retention.samples: 10d, retention.rollups_1h: 1000d, retention.rollups_6h: 1000d, retention.rollups_1d: 1000d}}\n")
    region = start({"partitions": 2}, settings=[*SETTINGS, f"all.overrides_file={overrides}"])
    end_ms = now_ms() // DAY_MS * DAY_MS - 20 * DAY_MS
    for user in (SECRET, "alice", "bob"):
        write(region, user, end_ms)
    flush(region.urls("compactor")[0], merge=True)
    url = region.query_urls()[0]
    region.kill_and_wait("ingester-1")

    def counts(user: str, window: str, step_ms: int) -> list[int] | None:
        """Of each window, as a dashboard of past months asks."""
        answer = ask(url, "GET", "/api/v1/query_range", [
            ("query", 'count_over_time(weight{user="%s"}[%s])' % (user, window)), ("start", (end_ms - 3 * DAY_MS) / 1000),
            ("end", (end_ms + DAY_MS) / 1000), ("step", step_ms / 1000)], {"X-Scope-OrgID": TENANT})
        return [int(value) for series in answer.json["data"]["result"] for _, value in series["values"]] if answer.status == 200 else None

    # A window ends at its last sample: that of the first midnight is in a window of the day before. Each day has rows of its own, so windows of a day that end
    # at midnight have two, of which one has one sample.
    whole_days, whole_hours = [1, 24, 24, 23], [1] * 72
    wait_until(lambda: counts("alice", "1d", DAY_MS) == whole_days, 60, "the queries to be answered from blocks")
    request = urllib.request.Request(region.service("compactor-1")["ops_url"] + "/expire", method="POST")
    urllib.request.urlopen(request, timeout=30).close()

    def expired() -> bool:
        metrics = urllib.request.urlopen(region.service("compactor-1")["ops_url"] + "/metrics", timeout=30).read().decode()
        return "\nmeridian_expire_blocks_total 3\n" in metrics
    wait_until(expired, 60, "the samples of three days to leave the catalog")
    for user in (SECRET, "alice", "bob"):
        assert (counts(user, "1d", DAY_MS), counts(user, "1h", HOUR_MS)) == (whole_days, whole_hours), user

    folders = [region.layout.objects, region.layout.directory / "data"]
    texts = [SECRET.encode(), SECRET.replace("-", "_").encode()]
    assert any("samples_1d" in path for text in texts for path in find(folders, text))
    assert delete(url, TENANT, '{user="%s"}' % SECRET).status == 204
    assert counts(SECRET, "1d", DAY_MS) == counts(SECRET, "1h", HOUR_MS) == []
    # An hour of bob's second day, ten minutes past the full one: two windows of an hour, one of six and one of a day.
    hole_ms = end_ms - 2 * DAY_MS + 10 * HOUR_MS + 10 * 60_000
    assert delete(url, TENANT, '{user="bob"}', start=hole_ms / 1000, end=hole_ms / 1000 + 3600).status == 204
    wait_until(lambda: counts("alice", "1d", DAY_MS) == whole_days, SECONDS, "rows of others to answer again")
    assert counts("alice", "1h", HOUR_MS) == whole_hours
    assert (counts("bob", "1d", DAY_MS), counts("bob", "1h", HOUR_MS)) == ([1, 24, 23], [1] * 70)

    wait_for_receipts(region, 2)
    assert sum(receipt["samples"] for receipt in erasures(region)["receipts"]) == 2 * (72 + 15 + 6) + 2 * (2 + 1 + 2)
    assert counts(SECRET, "1d", DAY_MS) == []
    assert [path for text in texts for path in find(folders, text)] == []
    for user in ("alice", "bob"):
        assert find(folders, user.encode()), "what was not to be deleted is there"
    assert (counts("alice", "1d", DAY_MS), counts("alice", "1h", HOUR_MS)) == (whole_days, whole_hours)
