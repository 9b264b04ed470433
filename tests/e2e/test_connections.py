"""Clients that only sit there, or send a byte now and then, take nothing from the others."""

from __future__ import annotations

import resource
import time

import pytest

from meridian_dev.cluster import wait_until
from support import raw
from support import remote_write as rw

COUNT = 1000


@pytest.fixture(autouse=True)
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * COUNT:
        pytest.skip(f"only {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * COUNT), hard))


def good(name: str) -> bytes:
    return rw.series_of({"__name__": name}, [(int(time.time() * 1000), 1)])


def test_writes_go_on_beside_a_thousand_idle_connections(start, tenant):
    region = start()
    url = region.push_urls()[0]
    idle = [raw.connect(url) for _ in range(COUNT)]
    try:
        for _ in range(50):
            assert rw.push(url, good("beside_idle"), tenant).status < 300
    finally:
        for connection in idle:
            connection.close()


def test_writes_go_on_beside_a_thousand_half_sent_requests(start, tenant):
    region = start()
    url = region.push_urls()[0]
    body = rw.snappy(good("half_sent"))
    halves = []
    try:
        for _ in range(COUNT):
            connection = raw.connect(url)
            connection.sendall(raw.push_request(url, body[:10], length=len(body)))
            halves.append(connection)
        for _ in range(50):
            assert rw.push(url, good("beside_halves"), tenant).status < 300
    finally:
        for connection in halves:
            connection.close()
    wait_until(lambda: rw.push(url, good("after_halves"), tenant).status < 300, 10, "writes after the halves have gone")


def test_a_client_that_trickles_its_body_is_ended(start):
    region = start(settings=["distributor.http.body_timeout=2s", "distributor.http.head_timeout=2s"])
    url = region.push_urls()[0]
    for prefix in (b"", raw.push_request(url, b"", length=100_000)):
        with raw.connect(url) as connection:
            connection.sendall(prefix)
            wait_until(lambda: trickle(connection), 30, "the slow connection to be closed")


def trickle(connection) -> bool:
    """Sends one more byte; True when the other side has answered or hung up."""
    import select

    try:
        connection.send(b"P")
    except OSError:
        return True
    readable, _, _ = select.select([connection], [], [], 0.1)
    return bool(readable)
