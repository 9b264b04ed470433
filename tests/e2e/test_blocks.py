"""Heads and blocks answer as one: what was written gives the same bytes from heads alone, and after it was built into blocks, dropped from
the log and forgotten by the ingesters. Storage that fails is an error or a warning, never a short answer."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

import pytest

from conftest import ended, started
from meridian_dev.cluster import Cluster, wait_until
from support import remote_write as rw
from support.api import Api
from support.fleet import METRIC, Fleet
from support.ledger import Fate, Ledger, labels_key

PARTITIONS = 4
TOPOLOGY = {"partitions": PARTITIONS, "services": {"compactor": 0, "ingester": 2}}
SETTINGS = [f"compactor.compactor.{setting}" for setting in ("build_age=300ms", "log_window=0s", "references_kept=1s")]
TRIM_SECONDS = 120
MATCH = ("match[]", METRIC)
JOINED = {"__name__": "joined", "of": "both"}


def bytes_of(url: str, path: str, parameters: list[tuple[str, Any]], strong: bool = True) -> tuple[int, bytes]:
    headers = {"X-Read-Consistency": "strong"} if strong else {}
    request = urllib.request.Request(f"{url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def questions(fleet: Fleet) -> list[tuple[str, list[tuple[str, Any]]]]:
    """Everything that a client may ask over the fleet's time, which is over."""
    first_ms, last_ms = fleet.ledger.time_range()
    start, end = first_ms / 1000 - 1, last_ms / 1000 + 1
    seconds = int(end - start) + 1
    expressions = [
        METRIC, f"sum({METRIC})", f"sum by (writer) (rate({METRIC}[5s]))", f"avg without (device) ({METRIC} offset 3s)",
        f"topk(5, sum_over_time({METRIC}[20s]))", f"quantile by (writer) (0.9, {METRIC})", f"max_over_time(rate({METRIC}[4s])[10s:1s])",
        f"count({METRIC}{{device=~\"1.\"}}) / on () count({METRIC})", f"stddev({METRIC} @ {end - 3})", f"absent({METRIC}{{device=\"none\"}})",
    ]
    asked = [("query_range", [("query", text), ("start", start), ("end", end), ("step", "700ms")]) for text in expressions]
    asked += [("query", [("query", text), ("time", end)]) for text in expressions]
    asked += [("query", [("query", f"{METRIC}[{seconds}s]"), ("time", end)])]
    span = [("start", start), ("end", end)]
    for path in ("series", "labels", "label/device/values", "label/writer/values"):
        asked += [(path, [MATCH, *span]), (path, [MATCH, *span, ("limit", 7)])]
    return asked


def answers(url: str, fleet: Fleet) -> list[bytes]:
    found = [bytes_of(url, path, parameters) for path, parameters in questions(fleet)]
    assert all(status == 200 for status, _ in found), found
    return [body for _, body in found]


class Comparing:
    """A thread that asks one question all the time: an answer that is complete has those bytes and no others."""

    def __init__(self, url: str, path: str, parameters: list[tuple[str, Any]]):
        self.question = (url, path, parameters)
        self.want = bytes_of(*self.question)[1]
        self.right = 0
        self.wrong: list[bytes] = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                status, body = bytes_of(*self.question, strong=False)
            except OSError:
                continue
            if status == 200 and "warnings" not in json.loads(body):
                self.right += body == self.want
                self.wrong += [body] if body != self.want else []
            self.stopping.wait(0.05)

    def __enter__(self) -> Comparing:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.thread.join()


def metric(region: Cluster, name: str) -> float:
    with urllib.request.urlopen(f"{region.urls('querier')[0]}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))


def trimmed(region: Cluster) -> bool:
    log = region.log_text("compactor-1")
    return all(f'msg="trimmed the log" partition={number} ' in log for number in range(PARTITIONS))


def joined_samples(fleet: Fleet) -> list[tuple[int, float]]:
    first_ms, _ = fleet.ledger.time_range()
    return [(first_ms + 1000 * number, float(number)) for number in range(4)]


@dataclass
class World:
    region: Cluster
    fleet: Fleet
    before: list[bytes]
    """What heads alone have answered."""
    comparing: Comparing

    @property
    def url(self) -> str:
        return self.region.region["query_url"]


@pytest.fixture(scope="module")
def world(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A region whose log was written to, then built and trimmed under running queries, and whose ingesters have started again."""
    region = started(tmp_path_factory.mktemp("region"), binaries, TOPOLOGY, settings=SETTINGS)
    with Fleet(region.push_urls, writers=2, series=60) as fleet:
        fleet.await_progress(60)
        fleet.finish()
    assert rw.push(region.region["push_url"], rw.series_of(JOINED, joined_samples(fleet)), "joined").status < 300
    url = region.region["query_url"]
    before = answers(url, fleet)
    assert metric(region, "meridian_querier_blocks_read_total") == 0
    with Comparing(url, *questions(fleet)[2]) as comparing:
        region.add("compactor")
        wait_until(lambda: trimmed(region), TRIM_SECONDS, "the logs to be trimmed")
        for instance in region.instances("ingester"):
            region.kill_and_wait(instance)
        right = comparing.right
        wait_until(lambda: comparing.right > right or comparing.wrong, 60, "an answer from blocks")
    yield World(region, fleet, before, comparing)
    ended(region)


def test_the_bytes_are_those_of_heads_alone(world):
    assert not world.comparing.wrong, (world.comparing.want, world.comparing.wrong[0])
    assert world.comparing.right > 0
    after = answers(world.url, world.fleet)
    for question, was, now in zip(questions(world.fleet), world.before, after, strict=True):
        assert was == now, question
    Api(world.url, strong=True).check(METRIC, world.fleet.ledger)
    assert metric(world.region, "meridian_querier_blocks_read_total") > 0
    assert metric(world.region, "meridian_querier_blocks_gaps_total") == 0


def test_stats_tell_of_blocks(world):
    _, last_ms = world.fleet.ledger.time_range()
    asked = [("query", f"count({METRIC})"), ("time", last_ms / 1000), ("stats", "all")]
    told = json.loads(bytes_of(world.url, "query", asked)[1])["data"]["stats"]["blocks"]
    assert told["read"] > 0 and told["bytesRead"] > 0 and told["considered"] >= told["read"], told


def test_later_writes_count_over_blocks(world):
    """A new value of a sample that blocks have, one between those that they have, and one behind them."""
    for instance in world.region.instances("distributor"):  # which has announced its series in what is trimmed by now: long before its time, here
        world.region.kill_and_wait(instance)
    before = joined_samples(world.fleet)
    later = [(stamp, 7.5 + number) for number, stamp in enumerate([before[1][0], before[1][0] + 500, before[-1][0] + 1000])]
    assert rw.push(world.region.region["push_url"], rw.series_of(JOINED, later), "joined").status < 300
    ledger = Ledger()
    ledger.record_all([(labels_key(JOINED), stamp, value) for stamp, value in {**dict(before), **dict(later)}.items()], Fate.ACKNOWLEDGED)
    Api(world.url, "joined", strong=True).check(JOINED["__name__"], ledger)


def test_a_querier_that_begins_anew_has_the_same(world):
    world.region.kill_and_wait("querier-1")
    assert answers(world.url, world.fleet) == world.before


def test_the_iceberg_catalog_is_there(world):
    with urllib.request.urlopen(f"{world.url}/iceberg/v1/config", timeout=30) as answer:
        assert json.load(answer)["defaults"] is not None


def test_files_that_are_away_are_an_error_or_a_warning(world):
    """What heads have is answered; the rest is not silently short."""
    blocks = world.region.layout.objects / "blocks"
    away = world.region.layout.objects.parent / "blocks-away"
    at = int(time.time() * 1000)
    assert rw.push(world.region.region["push_url"], rw.series_of({"__name__": "recent"}, [(at, 5)]), "recent").status < 300
    path, parameters = questions(world.fleet)[2]
    blocks.rename(away)
    try:
        status, body = bytes_of(world.url, path, parameters)
        assert status == 503 and "which the range needs, cannot be read" in json.loads(body)["error"], (status, body)
        status, body = bytes_of(world.url, path, [*parameters, ("partial_response", "true")])
        assert status == 200 and any("partial answer: block " in text for text in json.loads(body)["warnings"]), (status, body)
        assert list(Api(world.url, "recent", strong=True).vector("recent", at / 1000).values()) == [5]
    finally:
        away.rename(blocks)
    assert bytes_of(world.url, path, parameters) == (200, world.before[2])


def test_what_the_log_lost_before_blocks_had_it_is_told(start):
    """Nobody builds, and the log forgets after seconds: every answer says so, and those that cannot are errors."""
    region = start({"partitions": 1, "services": {"compactor": 0}}, settings=["all.log.max_age=2s"])
    url, at = region.region["query_url"], int(time.time() * 1000)
    assert rw.push(region.region["push_url"], rw.series_of({"__name__": "gone"}, [(at, 1)])).status < 300
    wait_until(lambda: any("possible gap: the log of partition 0" in text for text in Api(url).query("gone", at / 1000).warnings), 60, "a warning")
    assert Api(url).query("1 + 1").complete
    for path in ("series", "labels"):
        warnings = json.loads(bytes_of(url, path, [("match[]", "gone")])[1])["warnings"]
        assert any("possible gap" in text for text in warnings), (path, warnings)
    for more, want in (("", 503), ("&partial_response=true", 200)):
        try:
            with urllib.request.urlopen(f"{url}/federate?match[]=gone{more}", timeout=60) as answer:
                status, text = answer.status, ""
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        assert status == want and ("possible gap" in text) == (want == 503), (status, text)
    assert metric(region, "meridian_querier_blocks_gaps_total") > 0


def test_a_querier_that_goes_by_blocks_for_longer_than_their_files_stay_says_so(start):
    """compactor.grace and querier.block_stale_max are in two services' configuration, so compactors tell theirs, in the catalog and with their membership."""
    region = start({"partitions": 1}, settings=["compactor.compactor.grace=2h", "querier.querier.block_refresh=200ms", "querier.querier.block_stale_max=2h"])
    wait_until(lambda: metric(region, "meridian_querier_blocks_grace_conflicts") == 1, 60, "the conflict to be told")
    wait_until(lambda: metric(region, "meridian_querier_blocks_stale_max_seconds") == 2 * 3600 - 300, 60, "the querier to go by the catalog's grace")
    region.stop("compactor-1")
    wait_until(lambda: metric(region, "meridian_querier_blocks_grace_conflicts") == 0, 60, "the compactor to be gone")
