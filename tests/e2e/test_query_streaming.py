"""Large answers: written while they are made, to clients of every speed, and to none that has gone."""

from __future__ import annotations

import re
import socket
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Iterator

import pytest

from meridian_dev.cluster import Cluster, wait_until
from support import raw
from test_query_api import ask

SERIES = 300
POINTS = 11_000
SOME = 60  # enough to fill every buffer on the way
STEP_BYTES = 30  # of a point in the answer, at least
MIB = 1 << 20


def union(count: int) -> str:
    """So many series of so many points, out of nothing."""
    return " or ".join(f"label_replace(vector(time() * 1.0625 + 1e9), 'b', '{number}', '', '')" for number in range(count))


def parameters(count: int = SERIES, **more: object) -> list[tuple[str, object]]:
    return [("query", union(count)), ("start", 1_700_000_000), ("end", 1_700_000_000 + POINTS - 1), ("step", 1), *more.items()]


@pytest.fixture(scope="module")
def cluster(binaries, tmp_path_factory) -> Iterator[Cluster]:
    from conftest import ended, started

    region = started(tmp_path_factory.mktemp("streaming"), binaries, None,
                     settings=["querier.http.stall_timeout=1s", "querier.querier.concurrency=2", "querier.querier.queue_max=3", "querier.querier.tenant_queries_max=3"])
    yield region
    ended(region)


def querier(cluster: Cluster) -> dict:
    [service] = [service for service in cluster.region["services"] if service["name"] == "querier"]
    return service


def metric(cluster: Cluster, pattern: str) -> float:
    with urllib.request.urlopen(f"{querier(cluster)['ops_url']}/metrics", timeout=10) as answer:
        found = re.search(f"^{pattern} (.*)$", answer.read().decode(), re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def idle(cluster: Cluster) -> bool:
    return metric(cluster, "meridian_querier_queries_running") == 0


def peak_bytes(cluster: Cluster) -> int:
    status = Path(f"/proc/{querier(cluster)['pid']}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024


def connected(url: str, body: list[tuple[str, object]], receive_bytes: int = 16384) -> socket.socket:
    """A client with a small window that has sent its question."""
    parts = urllib.parse.urlsplit(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.settimeout(30)
    connection.connect((parts.hostname, parts.port))
    form = urllib.parse.urlencode(body).encode()
    head = f"POST /api/v1/query_range HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: slow\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n\r\n"
    connection.sendall(head.encode() + form)
    return connection


def test_a_large_answer_needs_no_memory_beside_its_result(start):
    cluster = start(settings=["querier.querier.concurrency=1"])  # one thread: each keeps some of what it has freed
    url = cluster.region["query_url"]
    for _ in range(3):  # the same evaluation, a small answer; sanitizers keep freed memory for a while
        small = ask(url, "POST", "/api/v1/query_range", parameters(limit=1))
        assert small.status == 200 and len(small.json["data"]["result"]) == 1
    before = peak_bytes(cluster)
    size = 0
    with urllib.request.urlopen(urllib.request.Request(f"{url}/api/v1/query_range", data=urllib.parse.urlencode(parameters()).encode()), timeout=120) as answer:
        while part := answer.read(MIB):
            size += len(part)
    assert size > SERIES * POINTS * STEP_BYTES, size
    grown = peak_bytes(cluster) - before
    print(f"answer of {size / MIB:.0f} MiB, peak memory {before / MIB:.0f} MiB and {grown / MIB:.1f} MiB more")
    assert grown < size / 4, (size, grown)


def test_a_slow_client_gets_everything(cluster):
    """It reads slower than the answer could be made, yet never stands still for as long as the stall timeout."""
    with connected(cluster.region["query_url"], parameters(20)) as connection:
        received = bytearray()
        while not received.endswith(b"\r\n0\r\n\r\n"):
            part = connection.recv(1 << 20)
            assert part, "broken off"
            received += part
            time.sleep(0.002)
    assert len(received) > 20 * POINTS * STEP_BYTES
    wait_until(lambda: idle(cluster), 10, "the query to end")


def test_a_client_that_stops_reading_is_cut_off(cluster):
    shut = 'meridian_http_connections_shut_total{phase="reply"}'.replace("{", r"\{").replace("}", r"\}")
    before = metric(cluster, shut)
    with connected(cluster.region["query_url"], parameters(SOME)) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        wait_until(lambda: idle(cluster), 30, "the writer to give up")
        wait_until(lambda: metric(cluster, shut) == before + 1, 10, "the connection to be shut")
        rest = bytearray()
        try:
            while part := connection.recv(1 << 20):
                rest += part
        except ConnectionResetError:
            pass
        assert not rest.endswith(b"0\r\n\r\n"), "a short answer that looks whole"


@pytest.mark.parametrize("read_first", [False, True])
def test_a_client_that_goes_ends_its_query(cluster, read_first):
    """During the evaluation, and while the answer is written."""
    canceled = r'meridian_querier_answers_total\{outcome="canceled"\}'
    before = metric(cluster, canceled)
    connection = connected(cluster.region["query_url"], parameters(SOME if read_first else SERIES))
    if read_first:
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    else:
        wait_until(lambda: not idle(cluster), 10, "the query to begin")
    connection.close()
    wait_until(lambda: idle(cluster) and metric(cluster, canceled) == before + 1, 10, "the query to end as canceled")


def test_too_many_queries_are_told_to_come_back(cluster):
    """A tenant's share is three here: one that runs, since another thread is left to others, and two that wait. Clients that read
    nothing hold their threads."""
    url = cluster.region["query_url"]
    held = []
    try:
        for number in range(3):
            held.append(connected(url, parameters(SOME)))
            wait_until(lambda: metric(cluster, "meridian_querier_queries_running") + metric(cluster, "meridian_querier_queries_waiting") == number + 1, 10, "the query to be taken")
        answer = ask(url, "GET", "/api/v1/query", [("query", "1")], headers={"X-Scope-OrgID": "slow"})
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        assert "tenant_queries_max" in answer.json["error"]
        assert ask(url, "GET", "/api/v1/query", [("query", "1")], headers={"X-Scope-OrgID": "another"}).status == 200  # at once, beside the slow ones
    finally:
        for connection in held:
            connection.close()
    wait_until(lambda: idle(cluster), 10, "the queries to end")
    assert ask(url, "GET", "/api/v1/query", [("query", "1")], headers={"X-Scope-OrgID": "slow"}).status == 200


def test_half_a_request_line_is_no_query(cluster):
    with raw.connect(cluster.region["query_url"]) as connection:
        connection.sendall(b"GET /api/v1/query?query=1 HTTP/1.1\r\nHost: x\r\n\r\nGET /api/v1/quer")
        assert raw.read_status(connection) == 200
