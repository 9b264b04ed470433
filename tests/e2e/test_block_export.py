"""mrdctl block export: blocks that promtool and Prometheus read as if they were their own, sample by sample."""

from __future__ import annotations

import time

from support import prometheus_blocks as blocks
from support import remote_write as rw
from support.remote_write_2 import HEADERS, Request, double, histogram, scalar
from test_block_import import HOUR_S, by_labels, comparable, data, mrdctl, push_base, server  # noqa: F401 (fixtures)
from test_query_api import ask


def export(mrdctl, region, tenant, first_s: float, last_s: float, folder, *more, code: int = 0):  # noqa: F811
    return mrdctl("block", "export", "--url", region.region["query_url"], "--tenant", tenant, "--from", first_s, "--to", last_s, *more, folder,
                  code=code)


def test_what_was_imported_is_exported_sample_by_sample(region, tenant, mrdctl, data, tmp_path):  # noqa: F811
    folder, first_s, last_s = data
    mrdctl("block", "import", "--url", push_base(region), "--tenant", tenant, folder)
    want = blocks.dump(folder)
    done = export(mrdctl, region, tenant, first_s, last_s, tmp_path / "out")
    count = sum(len(samples) for samples in want.values())
    assert f" {count} samples, 0 histograms" in done.stdout.splitlines()[-1], done
    assert comparable(blocks.dump(tmp_path / "out")) == comparable(want)
    lines = [line.split() for line in blocks.promtool("tsdb", "list", tmp_path / "out").splitlines()[1:]]
    assert sum(int(line[-4]) for line in lines) == count
    assert all(int(line[1]) // 7_200_000 == (int(line[2]) - 1) // 7_200_000 for line in lines)  # each in two hours of its own
    assert "__name__=level" in blocks.promtool("tsdb", "analyze", tmp_path / "out")


def test_a_part_can_be_exported(region, tenant, mrdctl, data, tmp_path):  # noqa: F811
    folder, first_s, _ = data
    mrdctl("block", "import", "--url", push_base(region), "--tenant", tenant, folder)
    begin_ms, end_ms = first_s * 1000 + 1_234_567, first_s * 1000 + 9_876_543  # in the middle of chunks
    export(mrdctl, region, tenant, begin_ms / 1000, end_ms / 1000, tmp_path / "out", "--match", 'level{number=~"[0-3]"}', "--block-duration", "30m")
    want = {labels: part for labels, samples in blocks.dump(folder).items()
            if ("__name__", "level") in labels and dict(labels)["number"] in "0123"
            and (part := [(at, value) for at, value in samples if begin_ms <= at < end_ms])}
    assert len(want) == 4
    assert comparable(blocks.dump(tmp_path / "out")) == comparable(want)
    again = export(mrdctl, region, tenant, begin_ms / 1000, end_ms / 1000, tmp_path / "out", code=1)
    assert "is not empty" in again.stderr


def test_prometheus_serves_an_export_of_histograms(region, tenant, mrdctl, server, tmp_path):  # noqa: F811
    start_s = int(time.time()) // HOUR_S * HOUR_S - 2 * HOUR_S
    times = [start_s * 1000 + at * 15_000 for at in range(480)]
    request = Request()
    request.add({"__name__": "integers", "job": "a"}, histograms=[histogram(at_ms, [at // 3, at, 2 * at, 5], zero=at // 7) for at, at_ms in enumerate(times)])
    request.add({"__name__": "falling", "job": "a"}, histograms=[histogram(at_ms, [at % 50, at % 20]) for at, at_ms in enumerate(times)])
    request.add({"__name__": "mixed", "job": "a"}, samples=[(at_ms, at) for at, at_ms in enumerate(times[:100])])
    request.add({"__name__": "mixed", "job": "a"}, histograms=[histogram(at_ms, [at]) for at, at_ms in enumerate(times[100:])])
    request.add({"__name__": "stale", "job": "a"}, samples=[(times[0], 1), (times[1], rw.STALE_NAN), (times[2], -0.0)])
    answer = rw.push(region.region["push_url"], request.encode(), tenant, **HEADERS)
    assert answer.status == 204, answer
    export(mrdctl, region, tenant, start_s, start_s + 2 * HOUR_S, tmp_path / "out")
    prometheus = server(tmp_path / "out", "--enable-feature=native-histograms")
    parameters = [("query", '{job="a"}[2h]'), ("time", times[-1] / 1000)]
    ours = ask(region.region["query_url"], "GET", "/api/v1/query", parameters, headers={"X-Scope-OrgID": tenant})
    theirs = ask(prometheus.url, "GET", "/api/v1/query", parameters)
    assert (ours.status, theirs.status) == (200, 200), (ours, theirs)
    assert by_labels(ours.json) == by_labels(theirs.json)
    assert sum(len(series.get("histograms", [])) for series in theirs.json["data"]["result"]) == 2 * 480 + 380


def test_start_times_go_along_where_they_are_asked_for(region, tenant, mrdctl, tmp_path):  # noqa: F811
    """Out of one tenant, into another, and out again: what comes out of both is the same, chunk by chunk."""
    start_s = (int(time.time()) // (2 * HOUR_S) - 1) * 2 * HOUR_S  # of one block
    times = [start_s * 1000 + at * 15_000 for at in range(480)]
    starts = [at_ms - 5000 if at % 7 == 0 else times[0] - 100_000 for at, at_ms in enumerate(times)]
    request = Request()
    request.add({"__name__": "requests"}, samples=[(at_ms, at, begun) for at, (at_ms, begun) in enumerate(zip(times, starts))])
    request.add({"__name__": "latency"}, histograms=[histogram(at_ms, [at, 2 * at], start_ms=begun) for at, (at_ms, begun) in enumerate(zip(times, starts))])
    request.add({"__name__": "without"}, samples=[(at_ms, at) for at, at_ms in enumerate(times)])
    marker = double(3, rw.STALE_NAN) + scalar(15, times[9])
    request.add({"__name__": "ended"}, histograms=[*(histogram(at_ms, [1, 2]) for at_ms in times[:9]), marker])
    answer = rw.push(region.region["push_url"], request.encode(), tenant, **HEADERS)
    assert answer.status == 204, answer
    exported = [tmp_path / "with", tmp_path / "again", tmp_path / "plain"]
    export(mrdctl, region, tenant, start_s, start_s + 2 * HOUR_S, exported[0], "--start-times")
    done = mrdctl("block", "import", "--url", push_base(region), "--tenant", f"{tenant}-2", exported[0])
    assert " 960 samples, 490 histograms written; 0 refused" in done.stdout, done
    export(mrdctl, region, f"{tenant}-2", start_s, start_s + 2 * HOUR_S, exported[1], "--start-times")
    export(mrdctl, region, tenant, start_s, start_s + 2 * HOUR_S, exported[2])
    chunks = [file.read_bytes() for folder in exported for file in folder.glob("*/chunks/*")]
    assert len(chunks) == 3
    assert chunks[0] == chunks[1] != chunks[2]
    assert [encodings(data) for data in chunks] == [{4, 5, 1, 2}, {4, 5, 1, 2}, {1, 2}]


def encodings(segment: bytes) -> set[int]:
    """Those of all chunks in a file."""
    found, at = set(), 8
    while at < len(segment):
        size = shift = 0
        while True:
            byte = segment[at]
            size |= (byte & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if byte < 0x80:
                break
        found.add(segment[at])
        at += 1 + size + 4
    return found


def test_an_export_of_nothing_has_no_block(region, tenant, mrdctl, tmp_path):  # noqa: F811
    done = export(mrdctl, region, tenant, 1_600_000_000, 1_600_010_000, tmp_path / "out")
    assert "total: 0 blocks, 0 samples" in done.stdout
    assert list((tmp_path / "out").iterdir()) == []
