"""Deleting series: after 204 no query through any querier shows them, whichever replica answers; what is written later
lives; a restart of anything brings nothing back. Errors and parameters are Prometheus'."""

from __future__ import annotations

import threading
import time
import urllib.parse
from typing import Any

import pytest

from meridian_dev.cluster import wait_until
from support import remote_write as rw
from support import remote_write_2 as rw2
from support.prometheus import Prometheus
from test_query_api import ask
from test_remote_read import EQ, query, read_request, unsnappy

DELETE = "/api/v1/admin/tsdb/delete_series"
CLEAN = "/api/v1/admin/tsdb/clean_tombstones"
NO_BLOCKS = ["all.objstore.file.folder="]
SETTINGS = ["querier.querier.admin_api=true", *NO_BLOCKS]
ALL_TWICE = {"partitions": 4, "replicas": 2, "services": {"ingester": 2, "querier": 2, "distributor": 2, "compactor": 0}}
ROUNDS = 15


def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.fixture(scope="module")
def twice(binaries, tmp_path_factory):
    from conftest import ended, started
    cluster = started(tmp_path_factory.mktemp("region"), binaries, ALL_TWICE, settings=SETTINGS)
    yield cluster
    ended(cluster)


def send(url: str, method: str, path: str, tenant: str, parameters: list[tuple[str, Any]], **headers: str):
    """An eventual read, unless headers say otherwise."""
    return ask(url, method, path, parameters, {"X-Scope-OrgID": tenant, "X-Read-Consistency": "eventual", **headers})


def delete(url: str, tenant: str, *matches: str, **times: float):
    return send(url, "POST", DELETE, tenant, [("match[]", match) for match in matches] + list(times.items()))


def push(region, tenant: str, request: rw2.Request, to: int = 0) -> None:
    answer = rw.push(region.push_urls()[to], request.encode(), tenant, **rw2.HEADERS)
    assert answer.status == 204, answer


def series_of_all_kinds(user: str, at: int) -> rw2.Request:
    request = rw2.Request()
    for name in ("heart_rate", "steps_total"):
        request.add({"__name__": name, "user": user}, samples=[(at - 1000, 1), (at, 2)], exemplars=[({"trace": "t"}, 1, at)])
    request.add({"__name__": "sleep_seconds", "user": user}, histograms=[rw2.histogram(at, [1, 2, 3])])
    return request


def everything_said_of(url: str, tenant: str, user: str, at: int) -> list[bytes]:
    """What all ways of asking answer."""
    selector = f'{{user="{user}"}}'
    seconds = at / 1000
    answers = [
        send(url, "GET", "/api/v1/query", tenant, [("query", selector), ("time", seconds)]),
        send(url, "POST", "/api/v1/query_range", tenant, [("query", selector), ("start", seconds - 10), ("end", seconds), ("step", 1)]),
        send(url, "GET", "/api/v1/query", tenant, [("query", f"count by (user) ({selector})"), ("time", seconds)]),
        send(url, "GET", "/api/v1/series", tenant, [("match[]", selector)]),
        send(url, "GET", "/api/v1/label/user/values", tenant, []),
        send(url, "GET", "/api/v1/query_exemplars", tenant, [("query", selector)]),
        send(url, "GET", "/federate", tenant, [("match[]", selector)]),
        send(url, "GET", "/api/v1/status/tsdb", tenant, [("limit", 1000)]),
    ]
    body = rw.snappy(read_request([query(at - 60000, at + 60000, (EQ, "user", user))], []))
    answers.append(ask(url, "POST", "/api/v1/read", body=body, headers={
        "X-Scope-OrgID": tenant, "X-Read-Consistency": "eventual", "Content-Encoding": "snappy", "Content-Type": "application/x-protobuf",
        "X-Prometheus-Remote-Read-Version": "0.1.0"}))
    assert [answer.status for answer in answers] == [200] * len(answers), answers
    return [answer.body for answer in answers[:-1]] + [unsnappy(answers[-1].body)]


def test_what_is_deleted_shows_nowhere_at_once(twice, tenant):
    at = now_ms()
    push(twice, tenant, series_of_all_kinds("bob", at))
    push(twice, f"{tenant}-other", series_of_all_kinds("alice", at))
    for number in range(ROUNDS):
        user = f"alice-{number}"
        push(twice, tenant, series_of_all_kinds(user, at), to=number % 2)
        shown = ask(twice.query_urls()[0], "GET", "/api/v1/query", [("query", f'heart_rate{{user="{user}"}}'), ("time", at / 1000)], {"X-Scope-OrgID": tenant})
        assert len(shown.json["data"]["result"]) == 1
        urls = twice.query_urls()
        answer = delete(urls[number % 2], tenant, f'{{user="{user}"}}')
        assert (answer.status, answer.body) == (204, b"")
        for url in urls:
            for body in everything_said_of(url, tenant, user, at):
                assert user.encode() not in body, body
    for url in twice.query_urls():
        assert all(b"bob" in body for body in everything_said_of(url, tenant, "bob", at))
        assert all(b"alice" in body for body in everything_said_of(url, f"{tenant}-other", "alice", at))


def values(url: str, tenant: str, selector: str, at: int, **headers: str) -> list[float]:
    answer = send(url, "GET", "/api/v1/query", tenant, [("query", f"{selector}[1h]"), ("time", at / 1000)], **headers).json
    return [float(value) for series in answer["data"]["result"] for _, value in series["values"]]


def test_what_is_written_after_the_answer_lives(twice, tenant):
    """Through either distributor, at once, the same series and times."""
    at = now_ms()
    strong = {"X-Read-Consistency": "strong"}
    for number in range(ROUNDS):
        push(twice, tenant, rw2.Request().add({"__name__": "again"}, samples=[(at - 1000, number), (at, number)]), to=number % 2)
        assert delete(twice.query_urls()[number % 2], tenant, "again").status == 204
        push(twice, tenant, rw2.Request().add({"__name__": "again"}, samples=[(at, number + 0.5)]), to=(number + 1) % 2)
        for url in twice.query_urls():
            assert values(url, tenant, "again", at, **strong) == [number + 0.5]


def test_only_the_range_and_what_a_selector_matches_go(twice, tenant):
    at = now_ms() // 1000 * 1000
    for name in ("one", "two", "three"):
        push(twice, tenant, rw2.Request().add({"__name__": name, "job": "j"}, samples=[(at - back * 1000, back) for back in range(9, -1, -1)]))
    url = twice.query_urls()[0]
    assert delete(url, tenant, 'one{job="j"}', '{__name__=~"tw.*"}', start=at / 1000 - 5, end=at / 1000 - 3).status == 204
    whole = [float(back) for back in range(9, -1, -1)]
    for name, want in (("one", [9, 8, 7, 6, 2, 1, 0]), ("two", [9, 8, 7, 6, 2, 1, 0]), ("three", whole)):
        assert values(url, tenant, name, at) == want
    assert delete(url, tenant, "three", start=at / 1000, end=at / 1000 - 1).status == 204  # no time is in it
    assert values(url, tenant, "three", at) == whole


def test_writers_go_on_while_series_are_deleted(twice, tenant):
    """Every sample acknowledged after an answer of 204 is there, none from before the request."""
    at = now_ms()
    stop = threading.Event()
    pushed: list[tuple[float, float, int]] = []  # begun, acknowledged, number

    def write(to: int) -> None:
        number = to
        while not stop.is_set():
            begun = time.monotonic()
            push(twice, tenant, rw2.Request().add({"__name__": "busy"}, samples=[(at + number, number)]), to=to)
            pushed.append((begun, time.monotonic(), number))
            number += 2

    threads = [threading.Thread(target=write, args=(to,)) for to in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(5):
            wait_until(lambda wanted=len(pushed) + 20: len(pushed) >= wanted, 60, "writers to get on")
            asked = time.monotonic()
            assert delete(twice.query_urls()[number % 2], tenant, "busy").status == 204
            answered = time.monotonic()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for url in twice.query_urls():
        shown = set(values(url, tenant, "busy", at + 60_000, **{"X-Read-Consistency": "strong"}))
        assert not {number for _, done, number in pushed if done < asked} & shown
        assert {number for begun, _, number in pushed if begun > answered} <= shown


def test_a_restart_of_anything_brings_nothing_back(start):
    region = start({"partitions": 2, "services": {"compactor": 0}}, settings=SETTINGS)
    at = now_ms()
    push(region, "t", series_of_all_kinds("alice", at))
    push(region, "t", series_of_all_kinds("bob", at))
    assert delete(region.query_urls()[0], "t", '{user="alice"}').status == 204
    for instance in ("ingester-1", "querier-1", "nats-server-1"):
        region.kill_and_wait(instance)
        url = region.query_urls()[0]
        wait_until(lambda: ask(url, "GET", "/api/v1/query", [("query", "up")], {"X-Scope-OrgID": "t"}).status == 200, 60, "queries to be answered")
        said = everything_said_of(url, "t", "alice", at)
        assert all(b"alice" not in body for body in said), said
        assert all(b"bob" in body for body in everything_said_of(url, "t", "bob", at))


def test_who_cannot_be_told_makes_the_request_fail_and_not_lie(start):
    region = start({"partitions": 2, "services": {"querier": 2, "compactor": 0}}, settings=[*SETTINGS, "querier.querier.erasure_wait=2s"])
    at = now_ms()
    push(region, "t", series_of_all_kinds("alice", at))
    urls = region.query_urls()
    region.pause("querier-2")
    answer = delete(urls[0], "t", '{user="alice"}')
    assert answer.status == 503
    assert answer.json["errorType"] == "timeout" and "querier-2" in answer.json["error"], answer
    region.resume("querier-2")
    wait_until(lambda: delete(urls[0], "t", '{user="alice"}').status == 204, 60, "all to confirm")
    for url in urls:
        assert all(b"alice" not in body for body in everything_said_of(url, "t", "alice", at))


# ---- beside Prometheus ----

CASES = [
    [], [("match[]", "")], [("match[]", "a{")], [("match[]", "rate(a)")], [("match[]", 'a{b=~"["}')], [("match[]", "a"), ("match[]", "b{")],
    [("match[]", "a"), ("start", "x")], [("match[]", "a"), ("end", "x")], [("match[]", "a"), ("start", "1"), ("end", "2")],
    [("match[]", "a"), ("start", "2"), ("end", "1")], [("match[]", "a"), ("start", "2020-01-01T00:00:00Z")], [("match[]", "nothing")],
    [("start", "x")], [("match[]", "a{"), ("start", "x")],
]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    server = Prometheus(tmp_path_factory.mktemp("prometheus"), flags=["--web.enable-admin-api"])
    yield server
    server.stop()


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("case", CASES, ids=urllib.parse.urlencode)
def test_parameters_are_answered_as_by_prometheus(twice, prometheus, tenant, case, method):
    path = f"{DELETE}?{urllib.parse.urlencode(case)}" if method == "PUT" else DELETE
    ours, theirs = (ask(url, method, path, case if method == "POST" else None, {"X-Scope-OrgID": tenant}) for url in (twice.query_urls()[0], prometheus.url))
    assert ours.status == theirs.status, (ours, theirs)
    if theirs.body:
        assert ours.json["errorType"] == theirs.json["errorType"]
        if "parse error" not in theirs.json["error"] and "regexp" not in theirs.json["error"]:
            assert ours.body.lower() == theirs.body.lower()  # Prometheus 3 begins some with a small letter
    else:
        assert ours.body == b""


@pytest.mark.parametrize("path", [DELETE, CLEAN])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_it_is_off_unless_it_is_switched_on(region, tmp_path, path, method):
    prometheus = Prometheus(tmp_path / "prometheus")
    try:
        ours, theirs = (ask(url, method, path, None) for url in (region.region["query_url"], prometheus.url))
        assert (ours.status, ours.body) == (theirs.status, theirs.body)
        assert b"admin APIs disabled" in ours.body
    finally:
        prometheus.stop()


@pytest.mark.parametrize("match", ["{}", '{a=~".*"}'])
def test_everything_is_not_deleted_by_a_slip(twice, tenant, match):
    """Prometheus would: whoever means it says so."""
    answer = delete(twice.query_urls()[0], tenant, match)
    assert answer.status == 400 and "match[] must contain at least one non-empty matcher" in answer.json["error"]


def test_clean_tombstones_says_what_it_cannot_do(twice, tenant):
    answer = send(twice.query_urls()[0], "POST", CLEAN, tenant, [])
    assert answer.status == 422 and "log.max_age" in answer.json["error"]
