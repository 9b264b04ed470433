"""Blocks of Prometheus 3.14, built from its Go module: its own, with start times and its newest chunk encodings, taken in, and ours served
by it."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest

from support import remote_write as rw
from support.prometheus import Prometheus
from support.remote_write_2 import HEADERS, Request, custom_histogram, histogram
from test_block_export import encodings, export
from test_block_import import admin, by_labels, mrdctl, push_base  # noqa: F401 (a fixture)
from test_query_api import ask

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "promql" / "differential"))
from differ import oracle  # noqa: E402

pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed: nothing was tried with blocks of Prometheus 3.14")]

FEATURES = "--enable-feature=st-storage,xor2-encoding,histograms-st-encoding,use-start-timestamps,promql-experimental-functions"
POINTS = 400
SERIES = ["requests", "latency", "custom", "plain"]


def starts_of(times: list[int]) -> list[int]:
    """The start time of each sample of a series that has them."""
    return [times[0] - 60_000 if at < 150 else times[at] - 7000 if at % 5 == 0 else times[149] for at in range(len(times))]


def load(start_ms: int) -> bytes:
    """Floats, integer and custom histograms, with start times that change now and then, and floats without."""
    request = Request()
    times = [start_ms + at * 15_000 for at in range(POINTS)]
    pairs = list(zip(times, starts_of(times)))
    request.add({"__name__": "requests"}, samples=[(at_ms, at % 150 + at / 8, begun) for at, (at_ms, begun) in enumerate(pairs)])
    request.add({"__name__": "latency"}, histograms=[histogram(at_ms, [at % 150, 2 * at], start_ms=begun) for at, (at_ms, begun) in enumerate(pairs)])
    request.add({"__name__": "custom"}, histograms=[custom_histogram(at_ms, [0.5, 2.5], [at, at + 0.5, 1]) for at, at_ms in enumerate(times)])
    request.add({"__name__": "plain"}, samples=[(at_ms, at) for at, at_ms in enumerate(times)])
    return request.encode()


@pytest.fixture
def server(tmp_path) -> Iterator[object]:
    """server(blocks) -> a Prometheus 3.14 over a folder of blocks, or over none."""
    started: list[Prometheus] = []

    def start(folder: Path | None = None) -> Prometheus:
        directory = tmp_path / f"prometheus-{len(started)}"
        if folder is not None:
            shutil.copytree(folder, directory / "data")
        started.append(Prometheus(directory, program=oracle.server(), flags=["--web.enable-admin-api", FEATURES]))
        return started[-1]

    yield start
    for prometheus in started:
        prometheus.stop()


def raw(url: str, name: str, end_s: float, tenant: str = "") -> list:
    answer = ask(url, "GET", "/api/v1/query", [("query", f"{name}[{POINTS * 15 + 60}s]"), ("time", end_s)], headers={"X-Scope-OrgID": tenant or "none"})
    assert answer.status == 200, answer
    return by_labels(answer.json)


def starts_by(url: str, name: str, start_s: float) -> list[float]:
    """start_timestamp at each sample."""
    answer = ask(url, "GET", "/api/v1/query_range", [("query", f"start_timestamp({name})"), ("start", start_s), ("end", start_s + POINTS * 15 - 15), ("step", 15)])
    assert answer.status == 200, answer
    [series] = answer.json["data"]["result"]
    return [float(value) for _, value in series["values"]]


def two_hours() -> int:
    """A past time at which a block begins."""
    return (int(time.time()) // 7200 - 1) * 7200


def test_blocks_in_the_newest_encodings_come_in(region, tenant, mrdctl, server):  # noqa: F811
    start_s = two_hours()
    theirs = server()
    answer = rw.push(f"{theirs.url}/api/v1/write", load(start_s * 1000), None, **HEADERS)
    assert answer.status == 204, answer
    snapshot = theirs.data / "snapshots" / admin(theirs, "snapshot")["data"]["name"]
    assert set().union(*(encodings(file.read_bytes()) for file in snapshot.glob("*/chunks/*"))) == {4, 5, 6}
    done = mrdctl("block", "import", "--url", push_base(region), "--tenant", tenant, snapshot)
    assert f" {2 * POINTS} samples, {2 * POINTS} histograms written; 0 refused" in done.stdout, done
    for name in SERIES:
        ours = raw(region.region["query_url"], name, start_s + POINTS * 15, tenant)
        assert ours == raw(theirs.url, name, start_s + POINTS * 15) != [], name


def test_prometheus_serves_an_export_with_start_times(region, tenant, mrdctl, server, tmp_path):  # noqa: F811
    start_s = two_hours()
    answer = rw.push(region.region["push_url"], load(start_s * 1000), tenant, **HEADERS)
    assert answer.status == 204, answer
    export(mrdctl, region, tenant, start_s, start_s + 7200, tmp_path / "out", "--start-times")
    theirs = server(tmp_path / "out")
    for name in SERIES:
        ours = raw(region.region["query_url"], name, start_s + POINTS * 15, tenant)
        assert ours == raw(theirs.url, name, start_s + POINTS * 15) != [], name
    wanted = [begun / 1000 for begun in starts_of([start_s * 1000 + at * 15_000 for at in range(POINTS)])]
    for name in ("requests", "latency"):
        assert starts_by(theirs.url, name, start_s) == wanted, name
    assert starts_by(theirs.url, "plain", start_s) == [0] * POINTS
