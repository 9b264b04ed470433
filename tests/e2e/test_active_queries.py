"""What is under way can be looked at and ended, by its tenant and by operators, and what took long is logged."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from meridian_dev.cluster import Cluster, wait_until
from support import remote_write as rw

SERIES = 2000
VIEW = "/api/v1/status/active_queries"
# Sorts 3,600 values for each series and step: minutes of work. The first is folded by the ingester, the second by the querier.
WORK = 'quantile_over_time(0.5, busy{site=~"barn.*"}[1h:1s])'
BY_INGESTER = f"sum({WORK})"
# 300 series of 11,000 points, out of nothing: some 100 MB.
LARGE = " or ".join(f"label_replace(vector(time() * 1.0625 + 1e9), 'b', '{number}', '', '')" for number in range(300))


@pytest.fixture(scope="module")
def cluster(binaries, tmp_path_factory) -> Iterator[Cluster]:
    from conftest import ended, started

    directory = tmp_path_factory.mktemp("active")
    overrides = directory / "overrides.yaml"
    overrides.write_text("overrides:\n"
                         "  slow-masked: {querier.slow_query_log: 1ms}\n"
                         "  slow-open: {querier.slow_query_log: 1ms, querier.slow_query_log_values: true}\n"
                         "  one: {querier.tenant_concurrency: 1}\n")
    region = started(directory, binaries, {"partitions": 2},
                     settings=[f"all.overrides_file={overrides}", "querier.http.stall_timeout=10m", "querier.querier.query_timeout=10m",
                               "querier.http.request_timeout=10m"])
    now = int(time.time() * 1000)
    body = b"".join(rw.series_of({"__name__": "busy", "site": f"barn-{n}"}, [(now - 3_000_000 + 60_000 * k, n * k % 97) for k in range(50)])
                    for n in range(SERIES))
    for tenant in ("one", "two", "slow-masked", "slow-open"):
        assert rw.push(region.region["push_url"], body, tenant).status == 204
    yield region
    ended(region)


def call(cluster: Cluster, method: str, path: str, tenant: str | None, form: dict[str, Any] | None = None) -> tuple[int, Any]:
    headers = {"X-Scope-OrgID": tenant} if tenant else {}
    body = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(cluster.region["query_url"] + path, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def form_of(query: str) -> dict[str, Any]:
    now = int(time.time())
    return {"query": query, "start": now - 600, "end": now, "step": 1}


class Asked:
    """A query that another thread waits for."""

    def __init__(self, cluster: Cluster, tenant: str, query: str):
        self.answer: tuple[int, Any] | None = None
        self.thread = threading.Thread(target=self.run, args=(cluster, tenant, form_of(query)), daemon=True)
        self.thread.start()

    def run(self, *arguments: Any) -> None:
        cluster, tenant, form = arguments
        self.answer = call(cluster, "POST", "/api/v1/query_range", tenant, form)

    def result(self) -> tuple[int, Any]:
        self.thread.join(60)
        assert self.answer is not None, "no answer within a minute"
        return self.answer


def listed(cluster: Cluster, tenant: str | None) -> list[dict[str, Any]]:
    status, document = call(cluster, "GET", VIEW if tenant else "/active-queries", tenant)
    assert status == 200 and document["status"] == "success", document
    assert document["data"]["total"] == len(document["data"]["queries"])
    return document["data"]["queries"]


def wait_listed(cluster: Cluster, tenant: str, accept: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    seen: list[list[dict[str, Any]]] = []

    def look() -> bool:
        seen.append(listed(cluster, tenant))
        return accept(seen[-1])

    wait_until(look, 60, f"the queries of {tenant}")
    return seen[-1]


def metric(cluster: Cluster, name: str, line: str) -> float:
    [service] = [service for service in cluster.region["services"] if service["name"] == name]
    with urllib.request.urlopen(f"{service['ops_url']}/metrics", timeout=30) as answer:
        return sum(float(value) for value in re.findall(f"^{line} (.*)$", answer.read().decode(), re.MULTILINE))


def test_queries_are_seen_and_ended_wherever_they_are(cluster):
    here = Asked(cluster, "one", WORK)
    [item] = wait_listed(cluster, "one", lambda items: any(item["samples"] > 0 for item in items))
    assert item["kind"] == "query_range" and item["tenant"] == "one" and item["state"] in ("running", "waiting_for_ingesters")
    assert item["query"] == WORK and item["step"] == 1 and item["end"] - item["start"] == 600
    assert item["ageSeconds"] > 0 and item["series"] > 0 and item["memoryBytes"] > 0

    # Its tenant may have one at a time: the second waits.
    queued = Asked(cluster, "one", BY_INGESTER)
    items = wait_listed(cluster, "one", lambda items: len(items) == 2)
    assert [at["state"] for at in items][1] == "queued" and items[0]["id"] == item["id"]
    there = Asked(cluster, "two", BY_INGESTER)
    [pushed] = wait_listed(cluster, "two", lambda items: any(at["state"] == "waiting_for_ingesters" and at["ageSeconds"] > 0.2 for at in items))

    # Operators see all, but no string of anyone's.
    everyone = listed(cluster, None)
    assert sorted(at["tenant"] for at in everyone) == ["one", "one", "two"]
    assert all("barn" not in at["query"] and "site=~'***'" in at["query"] for at in everyone)

    # Others' queries are none of a tenant's business.
    for path, method in ((f"{VIEW}/{item['id']}", "DELETE"), (f"{VIEW}/{item['id']}/cancel", "POST")):
        status, document = call(cluster, method, path, "two")
        assert status == 404 and document["errorType"] == "not_found", document
    assert len(listed(cluster, "one")) == 2

    # What waits is answered at once, while the other goes on.
    assert call(cluster, "POST", f"{VIEW}/{items[1]['id']}/cancel", "one")[0] == 200
    status, document = queued.result()
    assert status == 499 and document["errorType"] == "canceled" and "cancel" in document["error"], document
    assert here.answer is None and [at["id"] for at in listed(cluster, "one")] == [item["id"]]
    assert call(cluster, "DELETE", f"{VIEW}/{item['id']}", "one") == (200, {"status": "success", "data": {"canceled": item["id"]}})
    assert here.result()[0] == 499
    ended = metric(cluster, "ingester", r'meridian_ingester_queries_total\{.*status="canceled"\}')
    assert call(cluster, "POST", f"/active-queries/{pushed['id']}/cancel", None)[0] == 200
    assert there.result()[0] == 499
    wait_until(lambda: metric(cluster, "ingester", r'meridian_ingester_queries_total\{.*status="canceled"\}') > ended, 60, "the ingester to stop")
    wait_until(lambda: listed(cluster, None) == [], 60, "all to have gone")
    assert metric(cluster, "querier", r'meridian_querier_cancellations_total\{by="tenant"\}') == 2
    assert metric(cluster, "querier", r'meridian_querier_cancellations_total\{by="operator"\}') == 1


def test_an_answer_that_is_being_written_is_broken_off(cluster):
    parts = urllib.parse.urlsplit(cluster.region["query_url"])
    form = urllib.parse.urlencode({"query": LARGE, "start": 1_700_000_000, "end": 1_700_000_000 + 10_999, "step": 1}).encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        connection.settimeout(60)
        connection.connect((parts.hostname, parts.port))
        connection.sendall(b"POST /api/v1/query_range HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: reader\r\n"
                           b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: " + str(len(form)).encode() + b"\r\n\r\n" + form)
        [item] = wait_listed(cluster, "reader", lambda items: any(at["state"] == "streaming" for at in items))
        assert item["queryCut"] is True and len(item["query"]) == 2048
        assert call(cluster, "DELETE", f"{VIEW}/{item['id']}", "reader")[0] == 200
        wait_until(lambda: listed(cluster, "reader") == [], 60, "the query to end")
        received = b""
        try:
            while part := connection.recv(1 << 16):
                received += part
        except ConnectionResetError:
            pass
        assert received.startswith(b"HTTP/1.1 200") and not received.endswith(b"0\r\n\r\n")


def slow_lines(cluster: Cluster, tenant: str) -> list[str]:
    return [line for line in cluster.log_text("querier-1").splitlines() if 'msg="slow query"' in line and f"tenant={tenant} " in line]


def field(line: str, name: str) -> str:
    return re.search(rf' {name}=("(?:[^"\\]|\\.)*"|\S+)', line).group(1)


def test_slow_queries_are_logged_without_what_they_say_of_anyone(cluster):
    query = 'sum by (site) (avg_over_time(busy{site=~"barn-1.*"}[10m]))'
    for tenant in ("slow-masked", "slow-open", "two"):
        status, document = call(cluster, "POST", "/api/v1/query_range", tenant, form_of(query))
        assert status == 200 and len(document["data"]["result"]) > 100
    assert call(cluster, "POST", "/api/v1/query_range", "slow-masked", form_of("sum(rate(busy[1h])) > bool on(nothing) count(busy) and"))[0] == 400
    sets = urllib.parse.urlencode([("match[]", f"busy{{site!='x-{n}'}}") for n in range(30)])  # so many take longer than the threshold
    assert call(cluster, "GET", f"/api/v1/series?{sets}", "slow-masked")[0] == 200
    wait_until(lambda: len(slow_lines(cluster, "slow-masked")) >= 2 and len(slow_lines(cluster, "slow-open")) == 1, 60, "the lines")
    masked, opened = slow_lines(cluster, "slow-masked"), slow_lines(cluster, "slow-open")[0]
    ranged = next(line for line in masked if "kind=query_range" in line)
    assert "barn" not in "".join(masked) and "site=~'***'" in ranged and "busy{site!='***'}" in "".join(masked)
    assert "barn-1" in opened and slow_lines(cluster, "two") == []
    assert field(ranged, "fingerprint") == field(opened, "fingerprint") and field(ranged, "outcome") == "success"
    assert int(field(ranged, "series")) >= 1000 and int(field(ranged, "samples")) >= 10 * 1000
    assert int(field(ranged, "memory_bytes")) > 0 and int(field(ranged, "questions")) >= 1
    assert int(field(ranged, "end_ms")) - int(field(ranged, "start_ms")) == 600_000 and int(field(ranged, "step_ms")) == 1000
    assert int(field(ranged, "blocks")) == 0 and int(field(ranged, "blocks_considered")) >= int(field(ranged, "blocks_in_heads"))
    parts = ["queue", "ingesters", "blocks", "evaluate", "write"]
    total = float(field(ranged, "seconds"))
    assert total >= 0.001 and abs(total - sum(float(field(ranged, f"{part}_seconds")) for part in parts)) < 0.01 * total + 0.001
    wait_until(lambda: metric(cluster, "querier", "meridian_querier_slow_queries_total") >= 3, 60, "the metric")
