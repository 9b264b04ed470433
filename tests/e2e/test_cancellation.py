"""Whoever goes, or has waited for long enough, leaves no work behind: in the querier and in the ingesters."""

from __future__ import annotations

import os
import re
import socket
import struct
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Iterator

import pytest

from meridian_dev.cluster import Cluster, wait_until
from support import remote_write as rw
from test_active_queries import listed
from test_query_api import ask
from test_remote_read import EQ, RE, SAMPLES, STREAMED, query as read_query, read_request

SERIES = 2000
TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
SERVICES = ("ingester", "querier")
CANCELED = r'meridian_querier_answers_total\{outcome="canceled"\}'
# Sorts 3,600 values for each series and step: minutes of work. The first is folded by the ingester, the second by the querier, of the third
# the ingester's shard itself goes through long label values, many times.
WORK = "quantile_over_time(0.5, busy[1h:1s])"
VALUE_BYTES, MATCHERS = 2000, 1500
MATCHING = "count(busy{" + ",".join(f'long=~".*y[0-9]+(k{k})?z*"' for k in range(MATCHERS)) + "})"
# The same for what has its selector in the URL, which takes fewer of them.
SOME_MATCHERS = 400
PATTERNS = [f".*y[0-9]+(k{k})?z*" for k in range(SOME_MATCHERS)]
SELECTOR = "busy{" + ",".join(f'long=~"{pattern}"' for pattern in PATTERNS) + "}"
CASES = {"ingester": ("ingester", f"sum({WORK})"), "querier": ("querier", WORK), "shard": ("ingester", MATCHING)}


def busy(number: int, now: int) -> bytes:
    """One of the series, with an exemplar."""
    exemplar = rw.label("trace_id", str(number)) + b"\x11" + struct.pack("<d", number) + b"\x18" + rw.varint(now)
    labels = {"__name__": "busy", "long": "x" * VALUE_BYTES + f"y{number}", "n": str(number)}
    samples = b"".join(rw.sample(number * k % 97, now - 3_000_000 + 60_000 * k) for k in range(50))
    return rw.time_series(rw.labels_message(sorted(labels.items())), samples + rw.delimited(3, exemplar))


@pytest.fixture(scope="module")
def cluster(binaries, tmp_path_factory) -> Iterator[Cluster]:
    from conftest import ended, started

    region = started(tmp_path_factory.mktemp("cancellation"), binaries, {"partitions": 2})
    now = int(time.time() * 1000)
    assert rw.push(region.region["push_url"], b"".join(busy(n, now) for n in range(SERIES))).status == 204
    yield region
    ended(region)


def parameters(query: str, **more: object) -> list[tuple[str, object]]:
    now = int(time.time())
    return [("query", query), ("start", now - 600), ("end", now), ("step", 1), *more.items()]


def service(cluster: Cluster, name: str) -> dict:
    [found] = [service for service in cluster.region["services"] if service["name"] == name]
    return found


def cpu_seconds(cluster: Cluster, name: str) -> float:
    fields = Path(f"/proc/{service(cluster, name)['pid']}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_SECONDS


def count(cluster: Cluster, name: str, pattern: str) -> float:
    with urllib.request.urlopen(f"{service(cluster, name)['ops_url']}/metrics", timeout=10) as answer:
        return sum(float(line.split()[-1]) for line in answer.read().decode().splitlines() if re.match(pattern, line))


def ended_questions(cluster: Cluster) -> float:
    return count(cluster, "ingester", r'meridian_ingester_queries_total\{.*status="(canceled|timeout)"')


def wait_at_work(cluster: Cluster, name: str) -> None:
    """Half a second of processor time: the work has long begun, and has long not ended."""
    before = cpu_seconds(cluster, name)
    wait_until(lambda: cpu_seconds(cluster, name) > before + 0.5, 60, f"the {name} to work")


def stopped_after(cluster: Cluster, since: float) -> dict[str, float]:
    """Watches both for two seconds and prints how long after `since` each had used all that it uses, but for two ticks of the
    clock, which is what an idle service takes."""
    seen = {name: [(0.0, cpu_seconds(cluster, name))] for name in SERVICES}
    while time.monotonic() < since + 2:
        time.sleep(0.005)
        for name in SERVICES:
            seen[name].append((time.monotonic() - since, cpu_seconds(cluster, name)))
    spent = {name: looks[-1][1] - looks[0][1] for name, looks in seen.items()}
    for name, looks in seen.items():
        stopped = next(after for after, used in looks if used >= looks[-1][1] - 2.5 * TICK_SECONDS)
        print(f"the {name} worked for {1000 * stopped:.0f} ms more and used {spent[name]:.2f} s")
    return spent


def check_stopped(cluster: Cluster, since: float) -> None:
    """Of two seconds of a query that works on for minutes, no more than half of one: the bound of 100 ms is measured, and printed."""
    spent = stopped_after(cluster, since)
    assert all(seconds < 0.5 for seconds in spent.values()), spent
    wait_until(lambda: count(cluster, "querier", "meridian_querier_queries_running ") == 0, 10, "the query to end")


@pytest.mark.parametrize("case", list(CASES))
def test_a_closed_connection_stops_the_work_everywhere(cluster, case):
    name, query = CASES[case]
    before, questions = count(cluster, "querier", CANCELED), ended_questions(cluster)
    parts = urllib.parse.urlsplit(cluster.region["query_url"])
    form = urllib.parse.urlencode(parameters(query)).encode()
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(f"POST /api/v1/query_range HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                           f"Content-Length: {len(form)}\r\n\r\n".encode() + form)
        wait_at_work(cluster, name)
    check_stopped(cluster, time.monotonic())
    assert count(cluster, "querier", CANCELED) == before + 1
    if name == "ingester":
        wait_until(lambda: ended_questions(cluster) > questions, 10, "the question to end as canceled")


@pytest.mark.parametrize("case", list(CASES))
def test_a_timeout_stops_the_work_everywhere(cluster, case):
    name, query = CASES[case]
    questions, worked = ended_questions(cluster), cpu_seconds(cluster, name)
    answer = ask(cluster.region["query_url"], "POST", "/api/v1/query_range", parameters(query, timeout="2s"), {"X-Scope-OrgID": "anonymous"})
    since = time.monotonic()
    assert answer.status == 503 and answer.json["errorType"] == "timeout", answer.json
    assert cpu_seconds(cluster, name) > worked + 0.1  # it was at work when its time was up
    check_stopped(cluster, since)
    if name == "ingester":
        wait_until(lambda: ended_questions(cluster) > questions, 10, "the question to end")


def read_body(accepted: list[int]) -> bytes:
    now = int(time.time() * 1000)
    matchers = [(EQ, "__name__", "busy"), *((RE, "long", pattern) for pattern in PATTERNS)]
    return rw.snappy(read_request([read_query(now - 3_600_000, now, *matchers)], accepted))


def form_of(parameter: str) -> bytes:
    return urllib.parse.urlencode([(parameter, SELECTOR)]).encode()


# Kind as it is listed, method, path, body: what goes through the long label values other than queries do.
OTHERS = {
    "series": ("series", "POST", "/api/v1/series", lambda: form_of("match[]")),
    "labels": ("labels", "POST", "/api/v1/labels", lambda: form_of("match[]")),
    "label values": ("label/{name}/values", "GET", "/api/v1/label/n/values?" + form_of("match[]").decode(), lambda: b""),
    "federate": ("federate", "GET", "/federate?" + form_of("match[]").decode(), lambda: b""),
    "exemplars": ("query_exemplars", "POST", "/api/v1/query_exemplars", lambda: form_of("query")),
    "read": ("read", "POST", "/api/v1/read", lambda: read_body([SAMPLES])),
    "read streamed": ("read", "POST", "/api/v1/read", lambda: read_body([STREAMED])),
}
def content_of(path: str) -> str:
    return "x-protobuf" if path.startswith("/api/v1/read") else "x-www-form-urlencoded"


def sent(cluster: Cluster, method: str, path: str, body: bytes, consistency: str = "eventual") -> socket.socket:
    """A connection that has asked."""
    parts = urllib.parse.urlsplit(cluster.region["query_url"])
    connection = socket.create_connection((parts.hostname, parts.port), timeout=30)
    kind = content_of(path)
    connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/{kind}\r\nContent-Length: {len(body)}\r\n"
                       f"X-Read-Consistency: {consistency}\r\n\r\n".encode() + body)
    return connection


@pytest.mark.parametrize("name", OTHERS)
def test_a_closed_connection_ends_lists_exemplars_federation_and_remote_read(cluster, name):
    kind, method, path, body = OTHERS[name]
    before, questions = count(cluster, "querier", CANCELED), ended_questions(cluster)
    with sent(cluster, method, path, body()):
        wait_at_work(cluster, "ingester")
        assert [query["kind"] for query in listed(cluster, "anonymous")] == [kind]
    check_stopped(cluster, time.monotonic())
    assert count(cluster, "querier", CANCELED) == before + 1
    assert listed(cluster, "anonymous") == []
    wait_until(lambda: ended_questions(cluster) > questions, 10, "the question to end as canceled")


def check_timed_out(cluster: Cluster, method: str, path: str, body: bytes, timeout: str, consistency: str = "eventual") -> None:
    separator = "&" if "?" in path else "?"
    answer = ask(cluster.region["query_url"], method, f"{path}{separator}timeout={timeout}", body=body or None,
                 headers={"X-Scope-OrgID": "anonymous", "X-Read-Consistency": consistency, "Content-Type": f"application/{content_of(path)}"})
    text = answer.body.decode()
    assert answer.status == 503 and f"query timed out in expression evaluation (after {timeout}: querier.query_timeout, or the parameter timeout)" in text, text
    if "text/plain" not in answer.headers["Content-Type"]:
        assert answer.json["errorType"] == "timeout"


@pytest.mark.parametrize("name", OTHERS)
def test_a_timeout_ends_lists_exemplars_federation_and_remote_read(cluster, name):
    """With the words that queries have for it."""
    _, method, path, body = OTHERS[name]
    questions = ended_questions(cluster)
    check_timed_out(cluster, method, path, body(), "700ms")
    check_stopped(cluster, time.monotonic())
    wait_until(lambda: ended_questions(cluster) > questions, 10, "the question to end")


@pytest.mark.parametrize("path", [
    "/api/v1/query?query=busy", "/api/v1/query_range?query=busy&start=0&end=1&step=1", "/api/v1/query_exemplars?query=busy", "/api/v1/series?match[]=busy",
    "/api/v1/labels?", "/api/v1/label/n/values?", "/api/v1/metadata?", "/api/v1/status/tsdb?", "/federate?match[]=busy"])
def test_no_time_at_all_is_a_timeout_wherever_it_is_given(cluster, path):
    answer = ask(cluster.region["query_url"], "GET", f"{path}&timeout=0s", headers={"X-Scope-OrgID": "anonymous", "X-Read-Consistency": "eventual"})
    assert answer.status == 503 and "query timed out in expression evaluation" in answer.body.decode(), answer.body


def test_a_client_that_has_stopped_reading_ends_its_query_when_it_goes(cluster):
    """Its query stands still, as the answer does not flow, and has half a minute until it would be cut off for that."""
    before = count(cluster, "querier", CANCELED)
    with sent(cluster, "POST", "/api/v1/query_range", urllib.parse.urlencode(parameters("busy")).encode()) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        wait_until(lambda: [query["state"] for query in listed(cluster, "anonymous")] == ["streaming"], 30, "the answer to stand still")
        assert count(cluster, "querier", CANCELED) == before
    wait_until(lambda: listed(cluster, "anonymous") == [] and count(cluster, "querier", CANCELED) == before + 1, 10, "the query to end as canceled")


# Whatever asks ingesters, or the log, at all; some of it is never much work.
ALL = {
    **OTHERS,
    "metadata": ("metadata", "GET", "/api/v1/metadata", lambda: b""),
    "cardinality": ("status/tsdb", "GET", "/api/v1/status/tsdb", lambda: b""),
    "query": ("query", "POST", "/api/v1/query", lambda: urllib.parse.urlencode({"query": "busy"}).encode()),
}


def check_ends_with_its_client(cluster: Cluster, name: str, consistency: str) -> None:
    """While somebody that it waits for does not answer: only what has ended as canceled counts, not what has failed."""
    kind, method, path, body = ALL[name]
    before = count(cluster, "querier", CANCELED)
    with sent(cluster, method, path, body(), consistency):
        wait_until(lambda: [query["kind"] for query in listed(cluster, "anonymous")] == [kind], 30, "the question to wait")
        assert count(cluster, "querier", CANCELED) == before
    wait_until(lambda: listed(cluster, "anonymous") == [], 30, "the question to end")
    assert count(cluster, "querier", CANCELED) == before + 1


def freeze(cluster: Cluster, name: str) -> None:
    cluster.pause(f"{name}-1")
    stat = Path(f"/proc/{service(cluster, name)['pid']}/stat")
    wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", 10, f"{name} to stand still")


@pytest.fixture
def frozen_ingester(cluster) -> Iterator[None]:
    freeze(cluster, "ingester")
    yield
    cluster.resume("ingester-1")
    wait_until(lambda: ask(cluster.region["query_url"], "POST", "/api/v1/query", [("query", "count(busy)")], {"X-Scope-OrgID": "anonymous"}).status == 200,
               60, "the ingester to answer again")


@pytest.mark.parametrize("name", ALL)
def test_a_closed_connection_or_a_timeout_ends_the_wait_for_an_ingester(cluster, frozen_ingester, name):
    _, method, path, body = ALL[name]
    check_ends_with_its_client(cluster, name, "eventual")
    check_timed_out(cluster, method, path, body(), "300ms")


@pytest.fixture(params=["frozen", "away"])
def nats_that_does_not_answer(cluster, request) -> Iterator[None]:
    if request.param == "frozen":
        freeze(cluster, "nats-server")
    else:
        cluster.stop("nats-server-1", "kill")
    yield
    if request.param == "frozen":
        cluster.resume("nats-server-1")
    else:
        cluster.start("nats-server-1")
    for instance in ("ingester-1", "querier-1", "distributor-1"):
        cluster.wait_ready(instance)
    wait_until(lambda: ask(cluster.region["query_url"], "POST", "/api/v1/query", [("query", "count(busy)")], {"X-Scope-OrgID": "anonymous"}).status == 200,
               60, "strong reads to be answered again")


def test_a_closed_connection_or_a_timeout_ends_a_strong_reads_wait_for_nats(cluster, nats_that_does_not_answer):
    for name in ("query", "metadata", "series"):
        _, method, path, body = ALL[name]
        check_ends_with_its_client(cluster, name, "strong")
        check_timed_out(cluster, method, path, body(), "300ms", "strong")
