"""A partition's log that is lost and made anew, or comes back from a copy, after blocks were built of it: whatever its numbers say, no block is
left out for it; `mrdctl log status` says what is so at each step, and after `mrdctl log adopt` building goes on."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest

from meridian_dev.cluster import Cluster, wait_until
from support import remote_write as rw
from support.api import Api, Reply
from support.blocks import flush, read_blocks
from support.ledger import Fate, Ledger, labels_key
from test_block_import import mrdctl  # noqa: F401 (a fixture)

SECONDS = 120
METRIC = "kept"
SERIES = 20
TOPOLOGY = {"partitions": 2}
SETTINGS = ["compactor.compactor.build_age=300ms"]
SERVICES = ("distributor-1", "ingester-1", "compactor-1", "querier-1")
ANOTHER = "NOT THE LOG THAT BLOCKS WERE BUILT OF"


class Writing:
    """Requests of one sample of each series, each a second of their time later; every one is acknowledged."""

    def __init__(self, region: Cluster):
        self.region = region
        self.ledger = Ledger()
        self.next_ms = (int(time.time()) - 3600) * 1000

    def write(self, requests: int) -> None:
        for _ in range(requests):
            self.next_ms += 1000
            rows = [({"__name__": METRIC, "number": str(number)}, float(self.next_ms + number)) for number in range(SERIES)]
            body = b"".join(rw.series_of(labels, [(self.next_ms, value)]) for labels, value in rows)
            wait_until(lambda sent=body: rw.push(self.region.region["push_url"], sent).status < 300, SECONDS, "a write to be acknowledged")
            self.ledger.record_all([(labels_key(labels), self.next_ms, value) for labels, value in rows], Fate.ACKNOWLEDGED)

    def ask(self, timeout: str = "20s") -> Reply:
        first_ms, last_ms = self.ledger.time_range()
        query = f"{METRIC}[{(last_ms - first_ms) // 1000 + 2}s]"
        return Api(self.region.region["query_url"], strong=True).get("query", query=query, time=last_ms / 1000, timeout=timeout)

    def check(self) -> Reply:
        """All that was acknowledged, and nothing twice, whatever warnings go with it."""
        reply = self.ask()
        assert reply.status == 200, reply
        self.ledger.check(reply.data["result"])
        return reply

    def await_complete(self) -> None:
        """The same without a warning, in the end."""
        wait_until(lambda: self.check().complete, SECONDS, "answers without a warning")


def store_of(region: Cluster) -> Path:
    return region.layout.data_of("nats-server-1")


def with_nats_down(region: Cluster, change) -> None:
    region.stop("nats-server-1", "kill")
    change()
    region.start("nats-server-1")


def restart(region: Cluster, *instances: str) -> None:
    """Whoever starts first makes the streams that are missing."""
    for instance in instances:
        region.stop(instance, "kill")
    for instance in instances:
        region.start(instance)
    for instance in instances:
        region.wait_ready(instance)


def known_ends(status: str) -> list[int]:
    return [int(end) for end in re.findall(r"known of the log before: up to position (\d+)", status)]


def finish(region: Cluster, writing: Writing, binaries: Path) -> None:
    """Building goes on, and in the end blocks alone have all, once."""
    writing.write(3)
    flush(region.urls("compactor")[0], merge=True)
    content = read_blocks(region.layout.objects, binaries)
    content.check_ranges()
    assert content.doubled == 0
    writing.ledger.check([row for row in content.matrix() if row["metric"]["__name__"] == METRIC])
    writing.await_complete()


@pytest.mark.long
def test_a_log_that_is_lost_hides_no_block_and_goes_on_when_it_is_adopted(start, mrdctl, binaries):  # noqa: F811
    region = start(TOPOLOGY, settings=SETTINGS)
    writing = Writing(region)
    url = region.urls("compactor")[0]
    writing.write(8)
    built = {entry["partition"]: entry["sequence"] for entry in flush(url)["partitions"]}
    assert all(sequence > 0 for sequence in built.values())
    assert mrdctl("log", "status", "--url", url).stdout.count("the stream is the log that blocks were built of") == 2
    assert "nothing to adopt" in mrdctl("log", "adopt", "--url", url).stdout

    with_nats_down(region, lambda: shutil.rmtree(store_of(region)))
    restart(region, *SERVICES)
    writing.write(2 * max(built.values()))  # heads begin at 1, and hold all the numbers that blocks have
    reply = writing.check()
    assert any("is not the one that blocks were built of" in warning for warning in reply.warnings), reply.warnings
    said = mrdctl("log", "status", "--url", url, code=1)
    assert said.stdout.count(ANOTHER) == 2
    assert known_ends(said.stdout) == [built[0], built[1]]

    assert "is in no block" in mrdctl("log", "adopt", "--url", url, code=1).stderr
    too_little = mrdctl("log", "adopt", "--url", url, "--lost-through", str(max(built.values()) - 1), code=1)
    assert f"Blocks have the log of before up to {max(built.values())}" in too_little.stderr
    assert mrdctl("log", "status", "--url", url, code=1).stdout.count(ANOTHER) == 2
    adopted = mrdctl("log", "adopt", "--url", url, "--lost-through", str(max(built.values())))
    assert adopted.stdout.count("adopted") == 2
    assert mrdctl("log", "status", "--url", url).stdout.count("the stream is the log that blocks were built of") == 2
    assert "nothing to adopt" in mrdctl("log", "adopt", "--url", url, "--lost-through", "100000").stdout
    writing.await_complete()
    finish(region, writing, binaries)
    restart(region, "ingester-1", "compactor-1")
    writing.await_complete()
    finish(region, writing, binaries)


def test_who_runs_on_while_a_log_is_lost_loses_nothing_that_is_acknowledged_afterwards(start, mrdctl, binaries):  # noqa: F811
    """The distributor names series by what it has announced in the log that is gone; a builder never saw that."""
    region = start(TOPOLOGY, settings=SETTINGS)
    writing = Writing(region)
    url = region.urls("compactor")[0]
    writing.write(8)
    flush(url)
    with_nats_down(region, lambda: shutil.rmtree(store_of(region)))
    restart(region, "querier-1")
    writing.write(4)
    writing.check()
    assert mrdctl("log", "status", "--url", url, code=1).stdout.count(ANOTHER) == 2
    mrdctl("log", "adopt", "--url", url, "--lost-through", "1000")
    writing.write(1)
    finish(region, writing, binaries)
    restart(region, "ingester-1")
    writing.await_complete()


@pytest.mark.long
def test_a_log_that_comes_back_from_a_copy_hides_no_block(start, mrdctl, binaries, tmp_path):  # noqa: F811
    """The copy is older than the blocks: its numbers are given away a second time, in a stream that says it is the same."""
    region = start(TOPOLOGY, settings=SETTINGS)
    writing = Writing(region)
    url = region.urls("compactor")[0]
    copy = tmp_path / "copy"
    writing.write(4)
    with_nats_down(region, lambda: shutil.copytree(store_of(region), copy))
    writing.write(8)
    built = {entry["partition"]: entry["sequence"] for entry in flush(url)["partitions"]}

    def restore() -> None:
        shutil.rmtree(store_of(region))
        shutil.copytree(copy, store_of(region), dirs_exist_ok=True)

    with_nats_down(region, restore)
    restart(region, *SERVICES)
    writing.write(2 * max(built.values()))
    # Until somebody has decided, an answer is complete or it is none.
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        reply = writing.ask(timeout="3s")
        if reply.status == 200:
            writing.ledger.check(reply.data["result"])
        time.sleep(0.5)
    assert mrdctl("log", "status", "--url", url, code=1).stdout.count(ANOTHER) == 2
    ends = known_ends(mrdctl("log", "status", "--url", url, code=1).stdout)
    assert "is in no block" in mrdctl("log", "adopt", "--url", url, code=1).stderr
    mrdctl("log", "adopt", "--url", url, "--lost-through", str(max(ends)))
    writing.await_complete()
    finish(region, writing, binaries)
    restart(region, "ingester-1")
    writing.await_complete()
