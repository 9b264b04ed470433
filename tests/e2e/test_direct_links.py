"""Questions of queriers to ingesters: over direct connections where there are any, over NATS otherwise, with the same answers."""

from __future__ import annotations

import os
import re
import socket
import struct
import threading
import time
import urllib.request

import pytest

from meridian_dev.cluster import wait_until
from support import remote_write as rw
from support.api import Api

TWO_INGESTERS = {"partitions": 8, "replicas": 2, "services": {"ingester": 2}}


def metric(url: str, name: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def questions(region, way: str) -> float:
    return metric(region.query_urls()[0], f'meridian_querier_questions_total{{way="{way}"}}')


def fill(region, tenant: str, count: int = 20) -> None:
    now_ms = int(time.time() * 1000)
    for number in range(count):
        body = rw.series_of({"__name__": "linked", "number": str(number)}, [(now_ms, number)])
        assert rw.push(region.push_urls()[0], body, tenant).status < 300


def total(region, tenant: str) -> float:
    reply = Api(region.query_urls()[0], tenant, strong=True).get("query", query="sum(linked)")
    assert reply.complete, reply
    return float(reply.data["result"][0]["value"][1])


def address_of(region, instance: str) -> tuple[str, int]:
    """Where the ingester takes direct connections; its log tells the address, and never the secret."""
    found = re.findall(r"takes direct connections.*?address=\"?([0-9.]+):(\d+)", region.log_text(instance))
    assert found, region.log_text(instance)
    return found[-1][0], int(found[-1][1])


def test_questions_go_over_direct_connections(start, tenant):
    region = start()
    fill(region, tenant)
    wait_until(lambda: total(region, tenant) == 190 and questions(region, "direct") > 0, 30, "a direct question")
    over_nats = questions(region, "nats")
    for _ in range(20):
        assert total(region, tenant) == 190
    assert questions(region, "direct") >= 20
    assert questions(region, "nats") == over_nats
    ingester = region.urls("ingester")[0]
    assert metric(ingester, "meridian_ingester_direct_connections ") > 0


@pytest.mark.parametrize("settings", [["querier.querier.direct_links=false"], ["ingester.rpc.listen="]])
def test_either_side_can_turn_them_off(start, tenant, settings):
    region = start(settings=settings)
    fill(region, tenant)
    for _ in range(20):
        assert total(region, tenant) == 190
    assert questions(region, "direct") == 0
    assert metric(region.query_urls()[0], "meridian_querier_direct_connections_total") == 0


def test_a_blocked_port_leaves_nats_and_is_told_once(start, tenant):
    with socket.socket() as taken:  # bound and not listening: refused
        taken.bind(("127.0.0.1", 0))
        region = start(settings=[f"ingester.rpc.advertise=127.0.0.1:{taken.getsockname()[1]}"])
        fill(region, tenant)
        failed = 'meridian_querier_direct_connections_total{outcome="failed"}'
        began = time.monotonic()
        for _ in range(20):
            assert total(region, tenant) == 190
        assert time.monotonic() - began < 10  # nobody waits for the port
        wait_until(lambda: total(region, tenant) == 190 and metric(region.query_urls()[0], failed) >= 2, 30, "a second attempt")
        assert questions(region, "direct") == 0
        text = region.log_text(region.instances("querier")[0])
        assert text.count("no direct connection to an ingester") == 1


def test_who_does_not_know_the_secret_cannot_ask(start, tenant):
    region = start()
    fill(region, tenant)
    instance = region.instances("ingester")[0]
    address = address_of(region, instance)
    url = region.urls("ingester")[0]
    before = metric(url, "meridian_ingester_direct_connections_refused_total")
    asked = metric(url, "meridian_ingester_queries_total")
    request = struct.pack("<IBBHIQ", 16, 2, 1, 0, 8, 1000)
    for hello in (b"MRDL\1\0\0\0" + os.urandom(32), b"GET / HTTP/1.1\r\n\r\n" + bytes(64), os.urandom(200)):
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(hello)
            if hello.startswith(b"MRDL"):
                challenge = connection.recv(72, socket.MSG_WAITALL)
                assert challenge[:8] == b"MRDL\1\0\0\0" and len(challenge) == 72
                connection.sendall(os.urandom(32) + request)
            with no_answer():
                assert connection.recv(1) == b""
    wait_until(lambda: metric(url, "meridian_ingester_direct_connections_refused_total") >= before + 3, 10, "three refusals")
    assert metric(url, "meridian_ingester_queries_total") == asked
    assert total(region, tenant) == 190


class no_answer:
    """Closed or reset: both are no answer."""

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        return kind is not None and issubclass(kind, ConnectionError)


def test_answers_stay_whole_while_ingesters_are_killed(start, tenant):
    region = start(TWO_INGESTERS)
    fill(region, tenant, 200)
    want = sum(range(200))
    wait_until(lambda: total(region, tenant) == want and questions(region, "direct") > 0, 60, "a direct question")
    stop = threading.Event()
    wrong: list[object] = []
    answered = [0]

    def ask() -> None:
        api = Api(region.query_urls()[0], tenant)
        while not stop.is_set():
            reply = api.get("query", query="sum(linked)")
            if reply.complete:
                answered[0] += 1
                if float(reply.data["result"][0]["value"][1]) != want:
                    wrong.append(reply)
            elif reply.status == 200 and not reply.warnings:
                wrong.append(reply)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for instance in region.instances("ingester"):
        region.kill_and_wait(instance)
        before = answered[0]
        wait_until(lambda: answered[0] > before + 20, 60, "answers after a kill")
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
    direct = questions(region, "direct")
    wait_until(lambda: total(region, tenant) == want and questions(region, "direct") > direct, 30, "direct questions to who is back")
