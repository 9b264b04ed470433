"""What a query needs of object storage that knows nothing of it yet: few waits in a row, however much it reads."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meridian_dev.cluster import wait_until
from support import remote_write as rw
from support.api import Api
from support.blocks import flush
from support.bucket import Bucket, bucket

DAY_S, STEP_S = 86400, 60
SERIES = 1000
FIRST_S = int(time.time()) // DAY_S * DAY_S - 2 * DAY_S
STALL_SECONDS = 0.5
"""Of each answer: what was asked for together shows as together."""
ROUND_TRIPS_MAX = 4
PARTITIONS = 2
SETTINGS = [f"compactor.compactor.{setting}" for setting in ("build_age=300ms", "log_window=0s", "references_kept=1s")] + [
    "querier.querier.block_refresh=1h"]


def write(push_url: str) -> None:
    """Series of a whole day, one sample a minute of noise: 10 MB, as much as one every 15 seconds of what devices measure."""
    makers = [random.Random(number) for number in range(8)]
    days = [[((FIRST_S + second) * 1000, maker.gauss(20, 5)) for second in range(0, DAY_S, STEP_S)] for maker in makers]
    for first in range(0, SERIES, 20):
        body = b"".join(rw.series_of({"__name__": "reading", "device": f"device-{number:04}"}, days[number % len(days)])
                        for number in range(first, first + 20))
        answer = rw.push(push_url, body)
        assert answer.status < 300, answer


@pytest.fixture(scope="module")
def world(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """The day is in merged blocks alone."""
    with bucket(tmp_path_factory.mktemp("region"), binaries, {"partitions": PARTITIONS}, SETTINGS) as world:
        region = world.region
        write(region.region["push_url"])
        flush(region.urls("compactor")[0], merge=True)
        wait_until(lambda: all(f'msg="trimmed the log" partition={number} ' in region.log_text("compactor-1") for number in range(PARTITIONS)),
                   120, "the logs to be trimmed")
        region.stop("compactor-1")
        for instance in region.instances("ingester"):
            region.kill_and_wait(instance)
        yield world


@pytest.mark.parametrize(("selector", "series"), [('reading{device="device-0123"}', 1), ("reading", SERIES)])
def test_a_day_takes_few_round_trips(world, selector, series):
    world.region.kill_and_wait("querier-1")  # it has no indexes, nor anything else but the catalog
    api = Api(world.region.region["query_url"])
    assert api.query("vector(1)").complete
    world.order(f"stall method=GET times=1000000 seconds={STALL_SECONDS}")
    world.look("log")
    world.look("chain")
    reply = api.get("query_range", query=selector, start=FIRST_S, end=FIRST_S + DAY_S - STEP_S, step=STEP_S, stats="all")
    chain, log = int(world.look("chain")), world.look("log").split("\n")
    world.order()
    assert reply.complete, reply
    assert [len(found["values"]) for found in reply.data["result"]] == [DAY_S // STEP_S] * series
    assert reply.data["stats"]["blocks"]["read"] > 0, json.dumps(reply.data["stats"])
    assert 2 <= chain <= ROUND_TRIPS_MAX, (chain, log)
