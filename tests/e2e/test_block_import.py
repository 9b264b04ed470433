"""mrdctl block import: blocks that Prometheus' programs made are afterwards here, sample by sample."""

from __future__ import annotations

import json
import math
import re
import shutil
import struct
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from meridian_dev.build import build_targets
from meridian_dev.cluster import wait_until
from support import prometheus_blocks as blocks
from support import remote_write as rw
from support.prometheus import Prometheus
from support.remote_write_2 import histogram
from test_query_api import ask

HOUR_S = 3600
STEP_S = 60
VALUES = [0.0, 1.5, -2.25, math.inf, -math.inf, math.nan, 1e308, 5e-324, 1 / 3]


@pytest.fixture(scope="session")
def mrdctl(binaries, request):
    if request.config.getoption("--binaries") is None:
        build_targets("release", ["mrdctl"])
    return blocks.Mrdctl(binaries)


def push_base(region) -> str:
    return region.region["push_url"].removesuffix("/api/v1/push")


def openmetrics(start_s: int, hours: int) -> str:
    """Counters with resets and gauges with all kinds of numbers; 20 series with a sample a minute."""
    lines = ["# TYPE visits counter"]
    for number in range(10):
        for at in range(0, hours * HOUR_S, STEP_S):
            lines.append(f'visits_total{{number="{number}",text="a\\"b\\\\ü"}} {(at // STEP_S) % 100 * number} {start_s + at}')
    lines.append("# TYPE level gauge")
    for number in range(10):
        for at in range(0, hours * HOUR_S, STEP_S):
            value = VALUES[(at // STEP_S + number) % len(VALUES)]
            text = "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf") if math.isinf(value) else repr(value)
            lines.append(f'level{{number="{number}"}} {text} {start_s + at + number / 8:.3f}')
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[Path, int, int]:
    """A folder of blocks, its first and its last time."""
    start_s = int(time.time()) // HOUR_S * HOUR_S - 7 * HOUR_S
    return blocks.make(tmp_path_factory.mktemp("blocks") / "made", openmetrics(start_s, 6)), start_s, start_s + 6 * HOUR_S


def bits(value: float) -> int:
    return struct.unpack("<Q", struct.pack("<d", value))[0] if not math.isnan(value) else -1


def stored(region, tenant: str, selector: str, first_s: int, last_s: int) -> dict[frozenset, list[tuple[int, float]]]:
    """What we have of a selector in a range: labels -> samples."""
    reply = ask(region.region["query_url"], "GET", "/api/v1/query",
                [("query", f"{selector}[{last_s - first_s + 1}s]"), ("time", last_s)],
                headers={"X-Scope-OrgID": tenant, "X-Read-Consistency": "strong"})
    assert reply.status == 200, reply
    return {frozenset(series["metric"].items()): [(round(at * 1000), float(value)) for at, value in series["values"]]
            for series in reply.json["data"]["result"]}


def comparable(found: dict[frozenset, list[tuple[int, float]]]) -> dict[frozenset, list[tuple[int, int]]]:
    return {labels: [(at, bits(value)) for at, value in samples] for labels, samples in found.items()}


def test_blocks_of_promtool_arrive_sample_by_sample(region, tenant, mrdctl, data, tmp_path):
    folder, first_s, last_s = data
    progress = tmp_path / "progress.json"
    arguments = ["block", "import", "--url", push_base(region), "--tenant", tenant, "--progress", progress, folder]
    done = mrdctl(*arguments)
    want = blocks.dump(folder)
    count = sum(len(samples) for samples in want.values())
    assert count == 2 * 10 * 6 * HOUR_S // STEP_S
    assert f" {count} samples, 0 histograms written; 0 refused" in done.stdout.splitlines()[-1], done
    assert comparable(stored(region, tenant, '{__name__!=""}', first_s, last_s)) == comparable(want)
    again = mrdctl(*arguments)
    assert again.stdout.count(": done before") == len(list(folder.glob("*/meta.json")))
    assert " 0 samples, 0 histograms written; 0 refused; 0 deleted ones left out; 0 requests" in again.stdout


def test_an_import_that_was_killed_goes_on(region, tenant, mrdctl, data, tmp_path):
    folder, first_s, last_s = data
    progress = tmp_path / "progress.json"
    arguments = ["block", "import", "--url", push_base(region), "--tenant", tenant, "--progress", progress]
    slow = subprocess.Popen([str(mrdctl.program), *map(str, arguments), "--samples-per-request", "1", str(folder)], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    wait_until(progress.exists, 60, "progress to be saved")
    slow.kill()
    slow.wait()
    done = mrdctl(*arguments, folder)
    want = blocks.dump(folder)
    count = sum(len(samples) for samples in want.values())
    written = int(re.search(r"total: \d+ series, (\d+) samples", done.stdout).group(1))
    assert 0 < written < count, done
    assert comparable(stored(region, tenant, '{__name__!=""}', first_s, last_s)) == comparable(want)
    refused = mrdctl("block", "import", "--url", push_base(region), "--tenant", "another", "--progress", progress, folder, code=1)
    assert "another server or tenant" in refused.stderr


def test_a_part_with_labels_of_its_own(region, tenant, mrdctl, data):
    folder, first_s, last_s = data
    mrdctl("block", "import", "--url", push_base(region), "--tenant", tenant, "--from", first_s + 600, "--to", first_s + 9000.5, "--label", "number=none",
           "--label", "site=a", folder)
    want = {labels | {("site", "a")}: [(at, value) for at, value in samples if (first_s + 600) * 1000 <= at < first_s * 1000 + 9_000_500]
            for labels, samples in blocks.dump(folder).items()}
    assert comparable(stored(region, tenant, '{__name__!=""}', first_s, last_s)) == comparable(want)


def test_a_server_that_asks_for_patience_gets_it(start, tenant, mrdctl, data):
    folder, first_s, last_s = data
    region = start(settings=["distributor.limits.ingestion_rate=5000", "distributor.limits.ingestion_burst=2000"])
    arguments = ["block", "import", "--url", push_base(region), "--tenant", tenant, folder]
    too_many = mrdctl(*arguments, code=1)  # in one request
    assert "limits.ingestion_burst" in too_many.stderr
    done = mrdctl(*arguments, "--samples-per-request", 1500)
    assert int(re.search(r"(\d+) sent again", done.stdout).group(1)) > 0 and "429" in done.stderr, done
    assert comparable(stored(region, tenant, '{__name__!=""}', first_s, last_s)) == comparable(blocks.dump(folder))


def test_what_the_server_refuses_is_told(region, tenant, mrdctl, tmp_path):
    now_s = int(time.time())
    text = f"# TYPE a gauge\na 1 {now_s - 60}\na 2 {now_s - 30}\na 3 {now_s + 86400}\n# EOF\n"
    folder = blocks.make(tmp_path / "made", text)
    arguments = ["block", "import", "--url", push_base(region), "--tenant", tenant, folder]
    whole = mrdctl(*arguments, code=1)  # the block of tomorrow is refused as a whole
    assert "of a whole request nothing was written" in whole.stderr and "limits.creation_grace_period" in whole.stderr
    part = mrdctl(*arguments, "--keep-going", code=1)
    assert "2 samples, 0 histograms written; 1 refused" in part.stdout
    assert list(stored(region, tenant, "a", now_s - 120, now_s).values()) == [[((now_s - 60) * 1000, 1), ((now_s - 30) * 1000, 2)]]


def test_a_broken_block_is_named(region, tenant, mrdctl, data, tmp_path):
    shutil.copytree(data[0], tmp_path / "broken")
    chunks = sorted((tmp_path / "broken").glob("*/chunks/000001"))
    content = bytearray(chunks[0].read_bytes())
    content[len(content) // 2] ^= 1
    chunks[0].write_bytes(content)
    done = mrdctl("block", "import", "--url", push_base(region), "--tenant", tenant, tmp_path / "broken", code=1)
    assert "checksum is wrong" in done.stderr and chunks[0].parents[1].name in done.stderr and re.search(r'series (level|visits_total)\{', done.stderr), done
    assert mrdctl("block", "import", "--url", push_base(region), "--dry-run", tmp_path / "broken", code=1).stderr.count("checksum is wrong") == 1


# ---- blocks of a server: deleted samples, native histograms ----


def admin(prometheus: Prometheus, path: str, **parameters: str) -> dict:
    url = f"{prometheus.url}/api/v1/admin/tsdb/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=60) as answer:
        return json.loads(answer.read() or b"{}")


@pytest.fixture
def server(tmp_path):
    """server(blocks, *flags) -> a Prometheus over a folder of blocks, or over none."""
    started: list[Prometheus] = []

    def start(folder: Path | None = None, *flags: str) -> Prometheus:
        directory = tmp_path / f"prometheus-{len(started)}"
        if folder is not None:
            shutil.copytree(folder, directory / "data")
        started.append(Prometheus(directory, flags=["--web.enable-admin-api", *flags]))
        return started[-1]

    yield start
    for prometheus in started:
        prometheus.stop()


def test_what_was_deleted_from_blocks_stays_away(region, tenant, mrdctl, data, server):
    folder, first_s, last_s = data
    prometheus = server(folder)
    gone = 'level{number=~"[3-5]"}'
    admin(prometheus, "delete_series", **{"match[]": gone, "start": str(first_s + 2 * HOUR_S), "end": str(first_s + 3 * HOUR_S)})
    admin(prometheus, "delete_series", **{"match[]": 'visits_total{number="7"}'})
    tombstones = [path.stat().st_size for path in prometheus.data.glob("*/tombstones")]
    assert any(size > 9 for size in tombstones), tombstones  # 9: nothing deleted
    done = mrdctl("block", "import", "--url", push_base(region), "--tenant", tenant, prometheus.data)
    assert int(re.search(r"(\d+) deleted ones left out; \d+ requests", done.stdout).group(1)) >= 6 * 60 + 3 * 60
    found = stored(region, tenant, '{__name__!=""}', first_s, last_s)
    theirs = ask(prometheus.url, "GET", "/api/v1/query",
                 [("query", f'{{__name__!=""}}[{last_s - first_s + 1}s]'), ("time", last_s)])
    want = {frozenset(series["metric"].items()): [(round(at * 1000), float(value)) for at, value in series["values"]]
            for series in theirs.json["data"]["result"]}
    assert len(want) == 19 and comparable(found) == comparable(want)


def test_native_histograms_of_a_server_arrive(region, tenant, mrdctl, server):
    prometheus = server(None, "--enable-feature=native-histograms")
    now_ms = int(time.time()) * 1000
    times = [now_ms - (200 - at) * 1000 for at in range(200)]
    integers = [histogram(at_ms, [at // 3, at, 2 * at, 5], zero=at // 7, offset=-2) for at, at_ms in enumerate(times)]
    falling = [histogram(at_ms, [at % 50, at % 20]) for at, at_ms in enumerate(times)]
    prometheus.push(histograms_of("integers", integers))
    prometheus.push(histograms_of("falling", falling))
    prometheus.push(rw.series_of({"__name__": "mixed"}, [(at_ms, at) for at, at_ms in enumerate(times[:100])]))
    name = admin(prometheus, "snapshot")["data"]["name"]
    done = mrdctl("block", "import", "--url", push_base(region), "--tenant", tenant, prometheus.data / "snapshots" / name)
    assert " 100 samples, 400 histograms written; 0 refused" in done.stdout, done
    parameters = [("query", '{__name__=~"integers|falling|mixed"}[300s]'), ("time", now_ms / 1000)]
    ours = ask(region.region["query_url"], "GET", "/api/v1/query", parameters,
               headers={"X-Scope-OrgID": tenant, "X-Read-Consistency": "strong"})
    theirs = ask(prometheus.url, "GET", "/api/v1/query", parameters)
    assert (ours.status, theirs.status) == (200, 200), (ours, theirs)
    assert by_labels(ours.json) == by_labels(theirs.json)


def histograms_of(name: str, messages: list[bytes]) -> bytes:
    """A TimeSeries of remote write 1.0."""
    return rw.time_series(rw.labels_message([("__name__", name)]), b"".join(rw.delimited(4, message) for message in messages))


def by_labels(document: dict) -> list:
    return sorted(document["data"]["result"], key=lambda series: sorted(series["metric"].items()))
