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
    deadline = time.monotonic() + SECONDS
    with traffic(region):
        while not erasures(region)["receipts"]:
            assert time.monotonic() < deadline, erasures(region)
            for _ in range(20):
                time.sleep(1)
                if erasures(region)["receipts"]:
                    break
            region.kill_and_wait("distributor-1")
    [receipt] = erasures(region)["receipts"]
    assert receipt["tenant"] == TENANT and receipt["samples"] >= 2 * 72 and receipt["blocks"] > 0, receipt
    assert len(receipt["digest"]) == 64
    assert erasures(region)["erasures"] == []
    left = [path for text in texts for path in find(folders, text)]
    assert left == []
    assert find(folders, b"alice"), "what was not to be deleted is there"
