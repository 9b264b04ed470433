"""limits.active_series_max: a tenant that makes new series without end is stopped at it, and loses nothing of what it has.

That series leave their place takes hours: services/ingester/store_test.c lets them pass, services/distributor/series_limit_test.c what follows."""

from __future__ import annotations

import os
import re
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from meridian_dev.cluster import Cluster, wait_until
from support import remote_write as rw
from support.api import Api

LIMIT = 100


def write_overrides(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, path)


def metric(cluster: Cluster, instance: str, line: str) -> float:
    with urllib.request.urlopen(f"{cluster.service(instance)['ops_url']}/metrics", timeout=30) as answer:
        return sum(float(value) for value in re.findall(f"^{line} (.*)$", answer.read().decode(), re.MULTILINE))


class World:
    """Two distributors, and two ingesters that share the partitions."""

    def __init__(self, start, path: Path, replicas: int = 1):
        self.path = path
        write_overrides(path, f"overrides: {{capped: {{limits.active_series_max: {LIMIT}}}}}\n")
        self.cluster = start({"partitions": 4, "replicas": replicas, "services": {"distributor": 2, "ingester": 2}}, settings=[f"all.overrides_file={path}"])
        self.now = int(time.time() * 1000) - 600_000
        self.step = 0

    def push(self, distributor: int, first: int, count: int, tenant: str = "capped") -> rw.Answer:
        """A sample of each of these series, later than those of the push before, and never in the future, where no query of now finds it."""
        self.step += 1
        at = self.now + 20 * self.step
        body = b"".join(rw.series_of({"__name__": "m", "n": str(n)}, [(at, n)]) for n in range(first, first + count))
        return rw.push(self.cluster.push_urls()[distributor], body, tenant)

    def expect_refused(self, distributor: int, first: int, count: int, refused: int, active: int, limit: int = LIMIT) -> None:
        answer = self.push(distributor, first, count)
        assert answer.status == 400, answer
        assert answer.body.startswith(f"{refused} of {count} samples were not written, the others were:\n{refused} series_limit: "), answer.body
        assert f'tenant "capped" has {active} active series, limits.active_series_max ({limit}) allows no new ones' in answer.body, answer.body

    def stored(self, tenant: str = "capped") -> tuple[int, int]:
        """Series and samples that a strong read finds."""
        api = Api(self.cluster.region["query_url"], tenant, strong=True)
        counts = [api.get("query", query=query) for query in ("count(count_over_time(m[1h]))", "sum(count_over_time(m[1h]))")]
        assert all(reply.complete for reply in counts), counts
        return tuple(int(reply.data["result"][0]["value"][1]) for reply in counts)  # type: ignore[return-value]

    def override(self, text: str) -> None:
        before = {name: self.reloads(name) for name in self.cluster.instances("distributor")}
        write_overrides(self.path, text)
        wait_until(lambda: all(self.reloads(name) > count for name, count in before.items()), 60, "the reload")

    def reloads(self, instance: str) -> float:
        return metric(self.cluster, instance, r'meridian_config_reloads_total\{result="ok"\}')


@pytest.mark.long
def test_a_tenant_at_its_limit_keeps_what_it_has_and_gets_no_more(start, tmp_path):
    world = World(start, tmp_path / "overrides.yaml")
    assert world.push(0, 0, 60).status == 204
    assert world.stored() == (60, 60)
    assert world.push(1, 60, 40).status == 204
    assert world.stored() == (100, 100)
    # Either distributor knows some of them, and the ingesters the others.
    for distributor in (0, 1):
        assert world.push(distributor, 0, 100).status == 204
        world.expect_refused(distributor, 0, 110, 10, 100)
        world.expect_refused(distributor, 200, 7, 7, 100)
    assert world.stored() == (100, 500)
    assert world.push(0, 0, 300, "free").status == 204
    assert world.stored("free") == (300, 300)
    refused = r'meridian_distributor_samples_rejected_total\{reason="series_limit"\}'
    assert metric(world.cluster, "distributor-1", refused) == 17
    assert metric(world.cluster, "distributor-1", r'meridian_distributor_active_series_checked_total\{result="refused"\}') == 17
    assert metric(world.cluster, "distributor-1", r'meridian_distributor_active_series_checked_total\{result="active"\}') == 40

    # One that has just started knows nothing, and asks.
    world.cluster.kill_and_wait("distributor-1")
    world.expect_refused(0, 0, 110, 10, 100)
    assert world.stored() == (100, 600)
    assert metric(world.cluster, "distributor-1", r'meridian_distributor_active_series_checked_total\{result="active"\}') == 100

    # The limit changes without a restart.
    world.override("overrides: {capped: {limits.active_series_max: 104}}\n")
    answer = world.push(0, 0, 110)
    assert answer.status == 400 and "6 of 110 samples" in answer.body, answer
    assert world.stored() == (104, 704)
    world.override("overrides: {capped: {limits.active_series_max: 50}}\n")
    assert world.push(0, 0, 104).status == 204
    world.expect_refused(0, 104, 6, 6, 104, 50)
    world.override("overrides: {}\n")
    assert world.push(0, 0, 110).status == 204
    assert world.stored() == (110, 918)


def test_where_no_ingester_answers_a_limit_stops_nobody(start, tmp_path):
    world = World(start, tmp_path / "overrides.yaml")
    assert world.push(0, 0, 100).status == 204
    assert world.stored() == (100, 100)
    world.expect_refused(0, 100, 10, 10, 100)
    for ingester in ("ingester-1", "ingester-2"):
        world.cluster.pause(ingester)
    assert world.push(0, 100, 10).status == 204
    unchecked = r'meridian_distributor_active_series_checked_total\{result="unchecked"\}'
    assert metric(world.cluster, "distributor-1", unchecked) == 10
    for ingester in ("ingester-1", "ingester-2"):
        world.cluster.resume(ingester)
    assert world.stored() == (110, 110)
    # For some seconds more are let through; then the limit is looked at again, which hurts none of them.
    wait_until(lambda: world.push(0, 1000 + 5 * world.step, 5).status == 400, 60, "the limit to be looked at again")
    assert world.push(0, 0, 110).status == 204


def test_where_one_of_two_replicas_is_frozen_the_other_is_asked(start, tmp_path):
    world = World(start, tmp_path / "overrides.yaml", replicas=2)
    assert world.push(0, 0, 100).status == 204
    assert world.stored() == (100, 100)
    world.cluster.pause("ingester-1")
    for n in range(4):  # whoever is asked first
        world.expect_refused(0, 100 + 10 * n, 10, 10, 100)
        world.expect_refused(1, 50 * (n % 2), 110, 10 + 50 * (n % 2), 100)
    unchecked = r'meridian_distributor_active_series_checked_total\{result="unchecked"\}'
    assert [metric(world.cluster, name, unchecked) for name in ("distributor-1", "distributor-2")] == [0, 0]
    world.cluster.resume("ingester-1")


def test_new_series_without_end_through_all_distributors_stop_soon(start, tmp_path):
    """The limit is soft where several distributors introduce at once: passed by less than what it is, and nothing comes once it is passed."""
    world = World(start, tmp_path / "overrides.yaml")
    assert world.push(0, 0, 50).status == 204
    assert world.stored() == (50, 50)
    until = time.monotonic() + 6
    answers: list[int] = []

    def explode(distributor: int, number: int) -> None:
        """As many series a request as the tenant may have, none of them twice."""
        at = world.now + 600_000
        first = 1_000_000 * (number + 1)
        while time.monotonic() < until:
            body = b"".join(rw.series_of({"__name__": "m", "n": str(first + k)}, [(at, 1)]) for k in range(LIMIT))
            answers.append(rw.push(world.cluster.push_urls()[distributor], body, "capped").status)
            first += LIMIT

    threads = [threading.Thread(target=explode, args=(number % 2, number)) for number in range(4)]
    for thread in threads:
        thread.start()
    while time.monotonic() < until:  # what the tenant has goes on meanwhile
        assert world.push(0, 0, 50).status == 204
        assert world.push(1, 0, 50, "free").status == 204
    for thread in threads:
        thread.join()
    assert set(answers) <= {204, 400, 503}
    series, samples = world.stored()
    print(f"{series} series of {LIMIT * len(answers)} offered, limit {LIMIT}")
    assert LIMIT <= series < 2 * LIMIT
    assert answers.count(400) > 0
    for distributor in (0, 1):
        assert world.push(distributor, 0, 50).status == 204
        answer = world.push(distributor, 2000, 10)
        assert answer.status == 400 and answer.body.startswith("10 of 10 samples"), answer
    assert world.stored() == (series, samples + 100)
