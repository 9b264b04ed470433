"""Remote write 2.0, and native histograms, exemplars and metadata in both versions: what a writer is told, and that all
that was acknowledged is there."""

from __future__ import annotations

import re
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from meridian_dev.cluster import wait_until
from support import remote_write as rw
from support import remote_write_2 as rw2
from support.api import Api
from support.ledger import Fate, Ledger, labels_key


def now_ms() -> int:
    return int(time.time() * 1000)


def push_2(url: str, request: rw2.Request | bytes, tenant: str, **headers: str) -> rw.Answer:
    message = request if isinstance(request, bytes) else request.encode()
    return rw.push(url, message, tenant, **{**rw2.HEADERS, **headers})


def metric(ops_url: str, name: str, **labels: str) -> float:
    """The sum of a metric's series that have these labels."""
    with urllib.request.urlopen(f"{ops_url}/metrics", timeout=10) as response:
        text = response.read().decode()
    lines = re.findall(rf"^{name}(?:{{(.*?)}})? (\S+)$", text, re.MULTILINE)
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(float(value) for found, value in lines if all(part in found for part in wanted))


@pytest.fixture
def url(region) -> str:
    return region.region["push_url"]


@pytest.fixture
def lossless(region):
    """After the test no ingester has met a batch that it could not read."""
    yield
    for ops_url in region.urls("ingester"):
        assert metric(ops_url, "meridian_ingester_batches_quarantined_total") == 0


# ---- how it is sent ----


@pytest.mark.parametrize("content_type", [
    rw2.CONTENT_TYPE,
    "application/x-protobuf; proto=io.prometheus.write.v2.Request",
    'application/x-protobuf; proto="io.prometheus.write.v2.Request"',
    "Application/X-Protobuf;proto=io.prometheus.write.v2.Request; charset=utf-8",
])
def test_the_content_type_decides_the_version(url, tenant, content_type):
    request = rw2.Request().add({"__name__": "up"}, samples=[(now_ms(), 1)])
    answer = push_2(url, request, tenant, **{"Content-Type": content_type, "X-Prometheus-Remote-Write-Version": "2.7.0"})
    assert (answer.status, rw2.written(answer)) == (204, (1, 0, 0)), answer


@pytest.mark.parametrize("headers", [
    {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v3.Request"},
    {"Content-Type": "application/json"},
    {"Content-Type": "image/png"},
    {"Content-Encoding": "gzip"},
    {"Content-Encoding": "deflate"},
])
def test_what_is_not_spoken_is_415(url, tenant, headers):
    request = rw2.Request().add({"__name__": "up"}, samples=[(now_ms(), 1)])
    assert push_2(url, request, tenant, **headers).status == 415


def test_a_message_of_the_other_version_is_400_never_a_silent_nothing(url, tenant):
    request = rw2.Request().add({"__name__": "up"}, samples=[(now_ms(), 1)])
    answer = rw.push(url, request.encode(), tenant)
    assert answer.status == 400 and "2.0 message" in answer.body
    answer = push_2(url, rw.series_of({"__name__": "up"}, [(now_ms(), 1)]), tenant)
    assert answer.status == 400 and "1.0 message" in answer.body
    assert rw2.written(answer) == (0, 0, 0)


# ---- what is in it ----


def test_samples_come_back_and_everything_is_counted(region, url, tenant, api, lossless):
    at = now_ms()
    request = rw2.Request()
    ledger = Ledger()
    for number in range(50):
        labels = {"__name__": "requests_total", "device": str(number)}
        request.add(labels, samples=[(at - 1000, number, at - 60_000), (at, number + 1, at - 60_000)],
                    exemplars=[({"trace_id": f"t{number}"}, 1.5, at)], metadata=("counter", "Requests.", "requests"))
        ledger.record(labels_key(labels), at - 1000, number, Fate.ACKNOWLEDGED)
        ledger.record(labels_key(labels), at, number + 1, Fate.ACKNOWLEDGED)
    request.add({"__name__": "latency_seconds"}, histograms=[rw2.histogram(at, [1, 4, 2], start_ms=at - 60_000)],
                metadata=("histogram", "Latency.", "seconds"))
    answer = push_2(url, request, tenant)
    assert (answer.status, rw2.written(answer)) == (204, (100, 1, 50)), answer
    api.check('{__name__="requests_total"}', ledger)
    (ops_url,) = region.urls("distributor")
    for kind, count in (("samples", 100), ("histograms", 1), ("exemplars", 50), ("metadata", 2)):
        assert metric(ops_url, f"meridian_distributor_tenant_{kind}_accepted_total", tenant=tenant) == count


def test_the_same_series_by_both_versions_is_one(url, tenant, api):
    at = now_ms()
    labels = {"__name__": "temperature", "device": "7"}
    ledger = Ledger()
    for number, answer in enumerate([
        rw.push(url, rw.series_of(labels, [(at, 0)]), tenant),
        push_2(url, rw2.Request().add(labels, samples=[(at + 1, 1)]), tenant),
        push_2(url, rw2.Request().add({"other": "symbols"} | labels, samples=[(at, 9)]).add(labels, samples=[(at + 2, 2)]), tenant),
    ]):
        assert answer.status == 204, answer
        ledger.record(labels_key(labels), at + number, number, Fate.ACKNOWLEDGED)
    api.check('temperature{other=""}', ledger)


WRONG = {
    "no name": lambda r, at: r.add({"job": "a"}, samples=[(at, 1)]),
    "odd references": lambda r, at: r.add(b"\x01", samples=[(at, 1)]),
    "a reference beyond the table": lambda r, at: r.add(b"\x01\x7f", samples=[(at, 1)]),
    "a name twice": lambda r, at: r.add(rw2.packed([r.symbol("__name__"), r.symbol("x"), r.symbol("a"), r.symbol("b"),
                                                    r.symbol("a"), r.symbol("c")]), samples=[(at, 1)]),
    "nothing in it": lambda r, at: r.add({"__name__": "nothing"}),
    "metadata alone": lambda r, at: r.add({"__name__": "nothing"}, metadata=("counter", "x", "")),
    "an hour in the future": lambda r, at: r.add({"__name__": "late"}, samples=[(at + 3_600_000, 1)]),
    "a count that is not the buckets'": lambda r, at: r.add({"__name__": "h"}, histograms=[rw2.histogram(at, [1, 2], count=4)]),
    "a bucket below zero": lambda r, at: r.add({"__name__": "h"}, histograms=[rw2.histogram(at, [1, -2], count=0)]),
    "a schema that is none": lambda r, at: r.add({"__name__": "h"}, histograms=[rw2.histogram(at, [1], schema=-5)]),
    "bounds that do not ascend": lambda r, at: r.add({"__name__": "h"}, histograms=[rw2.custom_histogram(at, [2, 1], [1, 1])]),
    "an exemplar too long": lambda r, at: r.add({"__name__": "e"}, samples=[(at, 1)], exemplars=[({"a": "x" * 128}, 1, at)]),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_part_is_400_and_the_rest_is_kept_and_counted(url, tenant, api, lossless, case):
    at = now_ms()
    request = rw2.Request()
    kept = [{"__name__": "kept", "case": case, "number": number} for number in ("1", "2")]
    request.add(kept[0], samples=[(at, 1)])
    WRONG[case](request, at)
    request.add(kept[1], samples=[(at, 1)])
    answer = push_2(url, request, tenant)
    more = 1 if case == "an exemplar too long" else 0  # its sample is fine
    assert (answer.status, rw2.written(answer)) == (400, (2 + more, 0, 0)), answer
    assert answer.body.strip()
    ledger = Ledger()
    for labels in kept:
        ledger.record(labels_key(labels), at, 1, Fate.ACKNOWLEDGED)
    api.check("kept", ledger)


def test_symbols_must_begin_with_the_empty_one(url, tenant):
    request = rw2.Request(first_symbol="x").add({"__name__": "up"}, samples=[(now_ms(), 1)])
    answer = push_2(url, request, tenant)
    assert (answer.status, rw2.written(answer)) == (400, (0, 0, 0)), answer
    assert "first symbol" in answer.body


def test_every_truncation_of_a_good_body_is_refused(url, tenant):
    body = rw.snappy(rw2.Request().add({"__name__": "truncated"}, samples=[(now_ms(), 1)]).encode())
    connection = rw.Connection(url)
    for size in range(len(body)):
        answer = connection.post(body[:size], {"X-Scope-OrgID": tenant, **rw2.HEADERS})
        assert answer.status == 400, size


# ---- the same by 1.0 ----


def test_version_1_brings_histograms_exemplars_and_metadata(region, url, tenant, api, lossless):
    at = now_ms()
    labels = rw.labels_message([("__name__", "latency_seconds")])
    exemplar = rw.delimited(3, rw.label("trace_id", "abc") + rw2.double(2, 0.5) + rw2.scalar(3, at))
    message = b"".join([
        rw.delimited(1, labels + rw.delimited(4, rw2.histogram(at, [3, 1])) + rw.delimited(4, rw2.custom_histogram(at + 1, [1, 2], [1, 0.5]))),
        rw.delimited(1, rw.labels_message([("__name__", "beside")]) + rw.sample(1, at) + exemplar),
        rw.metadata("latency_seconds", 3, "Latency."),
    ])
    answer = rw.push(url, message, tenant)
    assert (answer.status, rw2.written(answer)) == (204, (None, None, None)), answer
    assert len(api.vector("beside", at / 1000)) == 1
    (ops_url,) = region.urls("distributor")
    for kind, count in (("samples", 1), ("histograms", 2), ("exemplars", 1), ("metadata", 1)):
        assert metric(ops_url, f"meridian_distributor_tenant_{kind}_accepted_total", tenant=tenant) == count


# ---- a real sender ----


def native_exposition(observations: int) -> bytes:
    """What a client with native histograms shows: a length-delimited MetricFamily of the protobuf format."""
    counts = [observations, observations * 2]
    histogram = b"".join([
        rw2.scalar(1, sum(counts)), rw2.double(2, 1.5 * observations), rw2.scalar(5, rw2.zigzag(3)), rw2.double(6, 1e-128),
        rw2.scalar(7, 0), rw2.spans(12, [(0, 2)]), rw.delimited(13, rw2.deltas(counts)),
    ])
    family = b"".join([
        rw.delimited(1, b"native_seconds"), rw.delimited(2, b"Observed."), rw2.scalar(3, 4),
        rw.delimited(4, rw.delimited(7, histogram)),
    ])
    gauge = b"".join([
        rw.delimited(1, b"plain"), rw.delimited(2, b"Plain."), rw2.scalar(3, 1), rw.delimited(4, rw.delimited(2, rw2.double(1, 42))),
    ])
    return rw.varint(len(family)) + family + rw.varint(len(gauge)) + gauge


@pytest.fixture
def native_target():
    """An HTTP target whose histogram grows with every scrape."""
    scrapes = iter(range(1, 1 << 30))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = native_exposition(next(scrapes))
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def start_program(tmp_path):
    """start_program(name, argument, ...): a process that ends with the test."""
    processes = []

    def start_one(*command: str) -> None:
        log = (tmp_path / f"{command[0]}.log").open("wb")
        processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))

    yield start_one
    for process in processes:
        process.terminate()
        process.wait(20)


def test_a_real_prometheus_sends_native_histograms(start, native_target, tmp_path, start_program):
    """In a region of its own: Debian's Prometheus does not send the header that would name a tenant."""
    cluster = start()
    (tmp_path / "prometheus.yml").write_text(f"""
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: native
    static_configs: [{{targets: ["{native_target}"]}}]
remote_write:
  - url: {cluster.region["push_url"]}
    send_native_histograms: true
    send_exemplars: true
    metadata_config: {{send: true, send_interval: 2s}}
    queue_config: {{batch_send_deadline: 1s}}
""")
    start_program("prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
                  "--enable-feature=native-histograms", "--web.listen-address=127.0.0.1:0")
    (ops_url,) = cluster.urls("distributor")
    api = Api(cluster.region["query_url"])

    def accepted(kind: str) -> float:
        return metric(ops_url, f"meridian_distributor_{kind}_accepted_total")

    wait_until(lambda: accepted("histograms") >= 3 and accepted("metadata") >= 2, 30, "histograms and metadata")
    wait_until(lambda: api.vector("plain"), 10, "the gauge beside the histogram")
    for kind in ("samples", "histograms", "exemplars", "metadata"):
        assert metric(ops_url, f"meridian_distributor_{kind}_rejected_total") == 0
    for ingester_url in cluster.urls("ingester"):
        assert metric(ingester_url, "meridian_ingester_batches_quarantined_total") == 0
