"""mrdctl flush: what the log has is in blocks when it ends; and what a compactor that is not there makes of it."""

from __future__ import annotations

import re
import time

from support import remote_write as rw
from support.blocks import flush
from test_block_import import mrdctl  # noqa: F401 (a fixture)


def test_what_was_written_is_in_blocks_afterwards(start, mrdctl):  # noqa: F811
    region = start({"partitions": 2}, settings=["compactor.compactor.build_age=1h"])
    now_ms = int(time.time() * 1000)
    series = [rw.series_of({"__name__": "flushed", "number": str(number)}, [(now_ms - 1000, number)]) for number in range(50)]
    assert rw.push(region.region["push_url"], b"".join(series)).status < 300
    assert not region.layout.objects.joinpath("blocks").exists(), "nothing is due for an hour"
    url = region.urls("compactor")[0]
    done = mrdctl("flush", "--url", url)
    assert region.layout.objects.joinpath("blocks").exists()
    told = {int(partition): int(sequence) for partition, sequence in re.findall(r"partition (\d+): up to sequence (\d+)", done.stdout)}
    assert told == {entry["partition"]: entry["sequence"] for entry in flush(url)["partitions"]}
    assert set(told) == {0, 1} and sum(told.values()) > 0

    refused = mrdctl("flush", "--url", region.urls("querier")[0], code=1)  # which is no compactor
    assert "404" in refused.stderr
    region.stop(region.instances("compactor")[0])
    gone = mrdctl("flush", "--url", url, "--give-up-after", "1s", code=3)
    assert "again in 500 ms" in gone.stderr
