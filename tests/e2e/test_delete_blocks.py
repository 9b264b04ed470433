"""Deleting series where there are blocks: after 204 no query through any querier shows them, whether heads, level-0 blocks, merged ones or rollups
have them; what is written later lives; what cannot be done everywhere is said and not promised."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from meridian_dev.cluster import Cluster, wait_until
from support import remote_write as rw
from support import remote_write_2 as rw2
from support.blocks import flush, read_blocks
from support.bucket import bucket
from test_delete_series import CLEAN, delete, everything_said_of, now_ms, push, send, series_of_all_kinds, values
from test_merge import tools  # noqa: F401 (a fixture)
from test_query_api import ask
from test_remote_read import EQ, query, read_request, unsnappy

ERASURES = "/api/v1/admin/tsdb/erasures"
HOUR_MS, MINUTE_MS = 3_600_000, 60_000
SETTINGS = ["querier.querier.admin_api=true", "querier.querier.block_refresh=1h"] + [f"compactor.compactor.{setting}" for setting in (
    "build_age=1h", "merge_interval=1h", "trim=true", "log_window=0s", "references_kept=1s", "rollups=[1h]")]
"""Blocks are made when a test says so, and queriers read the catalog only when they must."""
TOPOLOGY = {"partitions": 2, "services": {"querier": 2}}
USERS = ("alice", "bob")
STRONG = {"X-Read-Consistency": "strong"}
SECONDS = 120


class World:
    """Two users' series from days ago until now: what is older than a day is merged and has rollups, the hours before the last are in blocks of level 0, what
    is newer is in heads. The compactor stands still after that."""

    def __init__(self, region: Cluster, tools: Path, tenant: str):  # noqa: F811
        self.region, self.tools, self.tenant = region, tools, tenant
        self.end_ms = now_ms() // HOUR_MS * HOUR_MS
        self.day_ms = self.end_ms // (24 * HOUR_MS) * (24 * HOUR_MS)
        self.write(self.day_ms - 48 * HOUR_MS, self.day_ms - 24 * HOUR_MS)
        self.flush(merge=True)
        assert {block.level for block in self.blocks()} == {1}
        self.write(self.end_ms - 4 * HOUR_MS, self.end_ms - 2 * HOUR_MS)
        self.flush(merge=False)
        assert {block.level for block in self.blocks()} == {0, 1}
        self.write(self.end_ms - 30 * MINUTE_MS, self.end_ms)
        region.pause("compactor-1")

    def write(self, first_ms: int, last_ms: int, users: tuple[str, ...] = USERS, value: float = 1) -> None:
        for user in users:
            push(self.region, self.tenant, rw2.Request()
                 .add({"__name__": "weight", "user": user}, samples=[(at, value) for at in range(first_ms, last_ms, 10 * MINUTE_MS)])
                 .add({"__name__": "only_" + user, "user": user}, samples=[(first_ms, value)]))

    def blocks(self) -> list[Any]:
        return read_blocks(self.region.layout.objects, self.tools).blocks

    def flush(self, merge: bool) -> None:
        """What was written is in blocks, and no head has it: a log's last entry stays, so it is one that nobody asks for."""
        others = [rw.series_of({"__name__": "other", "number": str(number)}, [(now_ms(), 1)]) for number in range(20)]
        assert rw.push(self.region.region["push_url"], b"".join(others)).status < 300
        flush(self.region.urls("compactor")[0], merge=merge)
        for instance in ("ingester-1", "distributor-1"):
            self.region.kill_and_wait(instance)
        wait_until(lambda: ask(self.region.query_urls()[0], "GET", "/api/v1/query", [("query", "up")]).status == 200, SECONDS, "queries to be answered")

    @property
    def urls(self) -> list[str]:
        return self.region.query_urls()

    def said(self, url: str, selector: str) -> list[bytes]:
        """What all ways of asking say of all times."""
        start, end = (self.day_ms - 72 * HOUR_MS) / 1000, self.end_ms / 1000 + 3600
        step = ("step", 3600)
        span = [("start", start), ("end", end)]
        answers = [send(url, "GET", f"/api/v1/{path}", self.tenant, parameters, **STRONG) for path, parameters in (
            ("query", [("query", f"{selector}[10d]"), ("time", end)]),
            ("query_range", [("query", selector), *span, step]),
            ("query_range", [("query", f"count_over_time(weight{selector}[1h])"), *span, step]),
            ("query_range", [("query", f"max by (user) (max_over_time(weight{selector}[1h]))"), *span, step]),
            ("query", [("query", f"group by (user) (last_over_time({selector}[10d]))"), ("time", end)]),
            ("series", [("match[]", selector), *span]),
            ("label/user/values", [("match[]", selector), *span]),
            ("label/__name__/values", [("match[]", selector), *span]),
        )]
        answers.append(send(url, "GET", "/federate", self.tenant, [("match[]", selector)], **STRONG))
        matcher = (EQ, "user", "alice") if "alice" in selector else (EQ, "user", "bob")
        body = rw.snappy(read_request([query(int(start * 1000), int(end * 1000), matcher)], []))
        answers.append(ask(url, "POST", "/api/v1/read", body=body, headers={
            "X-Scope-OrgID": self.tenant, **STRONG, "Content-Encoding": "snappy", "Content-Type": "application/x-protobuf",
            "X-Prometheus-Remote-Read-Version": "0.1.0"}))
        assert [answer.status for answer in answers] == [200] * len(answers), answers
        return [answer.body for answer in answers[:-1]] + [unsnappy(answers[-1].body)]

    def names(self, url: str) -> list[str]:
        """Without any matcher."""
        return send(url, "GET", "/api/v1/label/__name__/values", self.tenant, [("start", 0)], **STRONG).json["data"]

    def all_values(self, url: str, selector: str) -> list[float]:
        answer = send(url, "GET", "/api/v1/query", self.tenant, [("query", f"{selector}[10d]"), ("time", self.end_ms / 1000 + 7200)], **STRONG)
        assert "warnings" not in answer.json, answer
        return [float(value) for series in answer.json["data"]["result"] for _, value in series["values"]]


@pytest.fixture
def world(start, tools, tenant) -> World:  # noqa: F811
    return World(start(TOPOLOGY, settings=SETTINGS), tools, tenant)


def expect_hidden(world: World, want: float | None = None) -> None:
    """Of alice there is nothing but what was written later, at `want` each."""
    for url in world.urls:
        for body in world.said(url, '{user="alice"}') if want is None else []:
            assert b"alice" not in body and b"weight" not in body, body
        assert all(value == want for value in world.all_values(url, '{user="alice"}'))
        assert ("only_alice" in world.names(url)) == (want is not None)
        assert all(value == 1 for value in world.all_values(url, '{user="bob"}'))


@pytest.mark.long
def test_it_shows_nowhere_whatever_has_it(world):
    before = {url: world.said(url, '{user="bob"}') for url in world.urls}
    for url in world.urls:
        assert len(world.all_values(url, 'weight{user="alice"}')) == 6 * 26 + 3
        rollups = send(url, "GET", "/api/v1/query", world.tenant, [
            ("query", "count_over_time(weight[1d])"), ("time", world.day_ms / 1000 - 24 * 3600 - 1), ("stats", "all")], **STRONG).json["data"]
        assert len(rollups["result"]) == 2 and rollups["stats"]["rollups"]["rows"] > 0, rollups
    assert all(b"alice" in body for body in world.said(world.urls[0], '{user="alice"}')[:6])

    answer = delete(world.urls[0], world.tenant, '{user="alice"}')
    assert (answer.status, answer.body) == (204, b"")
    expect_hidden(world)
    for url in world.urls:
        assert world.said(url, '{user="bob"}') == before[url]

    # What is written after the answer lives, of the same series and times too: in heads, and in blocks that are built of it.
    again = [(world.day_ms - 30 * HOUR_MS, world.day_ms - 29 * HOUR_MS), (world.end_ms - 3 * HOUR_MS, world.end_ms - 2 * HOUR_MS)]
    for first_ms, last_ms in again:
        world.write(first_ms, last_ms, ("alice",), 2)
    expect_hidden(world, want=2)
    for url in world.urls:
        assert len(world.all_values(url, 'weight{user="alice"}')) == 12
    world.region.resume("compactor-1")
    world.flush(merge=False)
    expect_hidden(world, want=2)

    # Whoever starts again, and whatever is merged meanwhile.
    for instance in ("querier-1", "querier-2", "ingester-1", "compactor-1"):
        world.region.kill_and_wait(instance)
        wait_until(lambda: ask(world.urls[0], "GET", "/api/v1/query", [("query", "up")]).status == 200, SECONDS, "queries to be answered")
        expect_hidden(world, want=2)
    for url in world.urls:
        assert len(world.all_values(url, 'weight{user="alice"}')) == 12


def test_only_the_range_goes(world):
    """An hour of the merged day, from the middle of its blocks; rows of rollups are made up of what is left."""
    first_ms = world.day_ms - 40 * HOUR_MS
    url = world.urls[1]
    assert delete(url, world.tenant, "weight", start=first_ms / 1000, end=first_ms / 1000 + 3599).status == 204
    for url in world.urls:
        assert len(world.all_values(url, 'weight{user="alice"}')) == 6 * 25 + 3
        answer = send(url, "GET", "/api/v1/query_range", world.tenant, [
            ("query", "count_over_time(weight[2h])"), ("start", first_ms / 1000 - 7200), ("end", first_ms / 1000 + 3 * 3600 - 1), ("step", 3600)], **STRONG)
        for series in answer.json["data"]["result"]:
            counts = [int(value) for _, value in series["values"]]
            assert 6 in counts and min(counts) >= 5 and max(counts) == 12, series


def test_a_querier_that_stood_still_does_not_show_what_went_meanwhile(world):
    """The others have gone on without it, and its catalog is from before."""
    one, two = world.urls
    for url in world.urls:
        assert world.all_values(url, '{user="alice"}')
    world.region.pause("querier-2")
    assert delete(one, world.tenant, '{user="alice"}').status == 204
    world.region.resume("querier-2")
    assert world.all_values(two, '{user="alice"}') == []
    expect_hidden(world)


# ---- builders at work ----

def erasures_of(url: str, tenant: str) -> list[dict[str, Any]]:
    answer = send(url, "GET", ERASURES, tenant, [])
    assert answer.status == 200, answer
    return answer.json["data"]["erasures"]


def test_a_builder_that_is_behind_or_ahead_brings_nothing_back(start):
    """Blocks are built all the time, the builder stands still in the middle now and then: some are built of before the request after it."""
    region = start({"partitions": 2, "services": {"querier": 2}}, settings=[*SETTINGS, "compactor.compactor.build_age=100ms"])
    url = region.query_urls()[0]
    at = now_ms()
    dice = random.Random(20261127)
    for number in range(20):
        users = [f"alice-{number}-{k}" for k in range(5)]
        for user in users:
            push(region, "t", rw2.Request().add({"__name__": "weight", "user": user}, samples=[(at - 1000, 1), (at, 2)]))
        time.sleep(dice.random() / 4)
        region.pause("compactor-1")
        time.sleep(dice.random() / 10)
        if dice.random() < 0.5:
            region.resume("compactor-1")
        assert delete(url, "t", f'{{user=~"alice-{number}-.*"}}').status == 204
        region.resume("compactor-1")
        for other in region.query_urls():
            assert values(other, "t", f'{{user=~"alice-{number}-.*"}}', at, **STRONG) == []
    flush(region.urls("compactor")[0])
    for instance in ("ingester-1", "querier-1"):
        region.kill_and_wait(instance)
        wait_until(lambda: ask(url, "GET", "/api/v1/query", [("query", "up")]).status == 200, SECONDS, "queries to be answered")
        for other in region.query_urls():
            assert values(other, "t", "weight", at, **STRONG) == []
    assert len(erasures_of(url, "t")) >= 20 and erasures_of(url, "another") == []


# ---- what cannot be done ----

def test_where_queriers_know_nothing_of_the_blocks_it_is_refused(start):
    region = start(settings=["querier.querier.admin_api=true", "querier.objstore.file.folder="])
    push(region, "t", series_of_all_kinds("alice", now_ms()))
    url = region.query_urls()[0]
    wait_until(lambda: delete(url, "t", "a").status == 422, SECONDS, "the compactor to be seen")
    answer = delete(url, "t", '{user="alice"}')
    assert answer.status == 422 and "objstore.*" in answer.json["error"] and "compactor-1" in answer.json["error"], answer
    assert values(url, "t", "steps_total", now_ms()), "nothing was deleted"


def test_a_request_that_would_be_too_large_for_the_catalog_is_refused(start):
    """All that are open have to fit into every querier's memory; one that could not be read would keep it from reading blocks."""
    region = start({"partitions": 1}, settings=SETTINGS)
    url, at = region.query_urls()[0], now_ms()
    push(region, "t", series_of_all_kinds("alice", at))
    flush(region.urls("compactor")[0])
    selectors = ['{user="%s"}' % ("x" * 3500 + str(number)) for number in range(60)]
    answer = delete(url, "t", '{user="alice"}', *selectors)
    assert answer.status == 422 and answer.json["errorType"] == "execution", answer
    assert "nothing was deleted" in answer.json["error"] and "several requests" in answer.json["error"], answer
    assert values(url, "t", "heart_rate", at, **STRONG) == [1, 2]
    assert erasures_of(url, "t") == []
    assert delete(url, "t", '{user="alice"}', *selectors[:40]).status == 204
    assert values(url, "t", "heart_rate", at, **STRONG) == []


def test_object_storage_that_fails_makes_the_request_fail_and_not_lie(binaries, tmp_path):
    with bucket(tmp_path, binaries, TOPOLOGY, [*SETTINGS, "querier.querier.erasure_wait=2s"]) as world:
        region, url, at = world.region, world.region.query_urls()[0], now_ms()
        push(region, "t", series_of_all_kinds("alice", at))
        flush(region.urls("compactor")[0])

        world.order("status method=PUT contains=erasures/ status=403 code=AccessDenied times=1000")
        answer = delete(url, "t", '{user="alice"}')
        assert answer.status == 422 and "erasures/" in answer.json["error"] and "AccessDenied" in answer.json["error"], answer

        world.order("status method=PUT contains=erasures/ status=503 times=1000")
        answer = delete(url, "t", '{user="alice"}')
        assert answer.status == 503 and "nothing was deleted" in answer.json["error"], answer
        for other in region.query_urls():
            assert values(other, "t", "heart_rate", at, **STRONG) == [1, 2]  # nothing was in the log either

        world.order("status method=PUT contains=catalog/ status=503 times=1000")
        answer = delete(url, "t", '{user="alice"}')
        assert answer.status == 503 and "ask again" in answer.json["error"], answer

        # A querier that cannot read the catalog does not confirm, whoever asks.
        world.order("status method=GET contains=erasures/ status=503 times=1000")
        answer = delete(url, "t", '{user="alice"}')
        assert answer.status == 503, answer

        world.order()
        wait_until(lambda: delete(url, "t", '{user="alice"}').status == 204, SECONDS, "the request to be done")
        for other in region.query_urls():
            assert all(b"alice" not in body for body in everything_said_of(other, "t", "alice", at))


# ---- what becomes of it ----

@pytest.mark.long
def test_it_can_be_looked_at_until_no_block_has_it(world):
    url, other = world.urls
    assert send(url, "POST", CLEAN, world.tenant, []).status == 204  # nothing is owed
    assert erasures_of(url, world.tenant) == []
    assert delete(url, world.tenant, '{user="alice"}', start=1, end=world.end_ms / 1000).status == 204
    [erasure] = erasures_of(other, world.tenant)
    owed = erasure["blocksOwed"]
    assert erasure["state"] == "rewriting" and owed > 0 and erasure["samples"] == 0, erasure
    assert (erasure["minTime"], erasure["maxTime"]) == (1000, world.end_ms) and len(erasure["requestDigest"]) == 64
    assert "alice" not in str(erasure)
    assert erasures_of(url, f"{world.tenant}-other") == []
    answer = send(url, "POST", CLEAN, world.tenant, [])
    assert answer.status == 503 and answer.json["error"].startswith(f"{owed} blocks "), answer
    assert send(url, "POST", CLEAN, f"{world.tenant}-other", []).status == 204

    world.region.resume("compactor-1")
    world.flush(merge=True)
    assert send(other, "POST", CLEAN, world.tenant, []).status == 204
    [erasure] = erasures_of(url, world.tenant)
    how_far = (erasure, read_blocks(world.region.layout.objects, world.tools).built)
    assert erasure["state"] == "leaving" and erasure["blocksOwed"] == 0 and erasure["blocksLeaving"] >= owed, how_far
    assert erasure["blocks"] >= owed and erasure["samples"] >= 144 + 12, how_far  # and rows of rollups
    expect_hidden(world)
    content = read_blocks(world.region.layout.objects, world.tools)
    assert not any(("user", "alice") in labels for labels in content.samples[world.tenant])
    assert any(("user", "bob") in labels for labels in content.samples[world.tenant])
