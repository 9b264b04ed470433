"""Prometheus 3.14, built from its Go module, as a reader and as a sender: what it makes of our remote read, and what we make
of what it scrapes and writes."""

from __future__ import annotations

import random
import shutil
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Iterator

import pytest

from meridian_dev.cluster import wait_until
from support import remote_write as rw
from support.api import Api
from support.prometheus import Prometheus
from support.remote_write_2 import HEADERS
from test_query_api import ask
from test_remote_read import EQ, SAMPLES, fields, labels_of, query, read_request, unsnappy

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "promql" / "differential"))
from differ import data, oracle  # noqa: E402
from differ.answers import ULPS_MAX, apart  # noqa: E402

pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed: nothing was tried with Prometheus 3.14")]

TENANT = "prometheus-3"
HISTOGRAMS = '{__name__=~"nh|ng|nc|mx"}'
STEP_S = 15


@pytest.fixture(scope="module")
def program() -> Path:
    return oracle.server()


# ---- what it says of itself ----


def test_features_are_those_of_prometheus(region, program, tmp_path):
    prometheus = Prometheus(tmp_path, "global: {}\n", program)
    try:
        theirs = ask(prometheus.url, "GET", "/api/v1/features").json["data"]
    finally:
        prometheus.stop()
    ours = ask(region.region["query_url"], "GET", "/api/v1/features").json["data"]
    for category in ("promql", "promql_functions", "promql_operators"):
        assert ours[category] == theirs[category]
    assert set(ours["api"]) <= set(theirs["api"])


# ---- as a reader ----


@pytest.fixture(scope="module")
def stored(region) -> tuple[str, int]:
    """The querier's URL and the time of the first sample, in seconds: histograms of all kinds, integers and floats."""
    start = int(time.time()) // 60 * 60 - 7200  # the longest series take an hour
    rng = random.Random(5)
    samples = data.scraped(data.DataGenerator(rng, histograms=True).loads(), start * 1000, rng)
    for message in data.requests(samples):
        answer = rw.push(region.region["push_url"], message, TENANT, **HEADERS)
        assert answer.status == 204, answer
    return region.region["query_url"], start


@pytest.fixture(scope="module")
def reader(stored, program, tmp_path_factory) -> Iterator[Prometheus]:
    config = f"""
global: {{}}
remote_read:
  - url: {stored[0]}/api/v1/read
    read_recent: true
    headers: {{X-Scope-OrgID: {TENANT}}}
"""
    prometheus = Prometheus(tmp_path_factory.mktemp("reader"), config, program)
    yield prometheus
    prometheus.stop()


@pytest.mark.parametrize("expression", [
    HISTOGRAMS, "nh", "ng", "nc", "mx", "{__name__=~'m|n|p|q'}", "rate(nh[2m])", "increase(nc[1m])", "histogram_quantile(0.9, rate(nh[2m]))", "sum_over_time(ng[1m])",
    "count_over_time(mx[2m])", "resets(nh[5m])", "histogram_count(nc)", "last_over_time(mx[30s])", "nothing"])
def test_prometheus_reads_histograms_from_us(stored, reader, expression):
    url, start = stored
    window = [("query", expression), ("start", start), ("end", start + 900), ("step", STEP_S)]
    ours = ask(url, "GET", "/api/v1/query_range", window, headers={"X-Scope-OrgID": TENANT})
    theirs = ask(reader.url, "GET", "/api/v1/query_range", window)
    assert (ours.status, theirs.status) == (200, 200), (ours, theirs)
    assert apart(ours.json["data"], theirs.json["data"]) <= ULPS_MAX  # of Go's exponential function
    assert expression == "nothing" or ours.json["data"]["result"]


@pytest.mark.parametrize("metric", data.HISTOGRAM_METRICS)
def test_every_histogram_arrives_in_chunks(stored, reader, metric):
    url, start = stored
    parameters = [("query", f"{metric}[30m]"), ("time", start + 1799)]
    ours = ask(url, "GET", "/api/v1/query", parameters, headers={"X-Scope-OrgID": TENANT})
    theirs = ask(reader.url, "GET", "/api/v1/query", parameters)
    both = [sorted(one.json["data"]["result"], key=lambda series: sorted(series["metric"].items())) for one in (ours, theirs)]
    assert both[0] == both[1]
    assert sum(len(series.get("histograms", [])) for series in both[0]) > 20


@pytest.fixture
def holder(program, tmp_path) -> Iterator[Prometheus]:
    prometheus = Prometheus(tmp_path / "holder", "global: {}\n", program)
    yield prometheus
    prometheus.stop()


def histograms_read(base: str, message: bytes) -> dict[tuple, list[dict]]:
    """The histograms of a SAMPLES answer, fields as they stand on the wire but for the hint about resets."""
    answer = ask(base, "POST", "/api/v1/read", body=rw.snappy(message), headers={
        "X-Scope-OrgID": TENANT, "Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Read-Version": "0.1.0"})
    assert answer.status == 200, answer
    found: dict[tuple, list[dict]] = {}
    for _, result in fields(unsnappy(answer.body)):
        for _, series in fields(result):
            found[tuple(labels_of(series).items())] = [
                {number: value for number, value in fields(message) if number != 14 and value not in (0, bytes(8))}
                for field, message in fields(series) if field == 4]
    return found


@pytest.fixture
def both(region, holder) -> tuple[str, str, int]:
    """Both URLs and the time of the first sample. One layout a series: Prometheus' store adds the buckets of other samples otherwise. One
    series of float histograms: its federation shows the last one's for all."""
    start = int(time.time() * 1000) // 1000 * 1000 - 60_000
    integer = data.Histogram(1, 6, 2.5, (1, 2, 1), 3, (1, 1), -2)
    custom = data.Histogram(data.CUSTOM_SCHEMA, 3, 1.0, (1, 2), bounds=(0.5, 2.0))
    gauge = data.Histogram(2, 5, float("nan"), (3, 1), zero_count=1, zero_threshold=0.001, hint="gauge")
    kinds = (("as_i", integer, True), ("as_c", custom, True), ("as_g", gauge, False), ("as_f", 2.5, False))
    samples = [data.Sample((("__name__", name), ("kind", "read")), start + at * 1000, value, whole) for name, value, whole in kinds for at in range(5)]
    for message in data.requests(samples):
        for url, tenant in ((region.region["push_url"], TENANT), (f"{holder.url}/api/v1/write", None)):
            assert rw.push(url, message, tenant, **HEADERS).status == 204
    assert Api(region.region["query_url"], TENANT, strong=True).query("as_f").status == 200
    return region.region["query_url"], holder.url, start


def test_histograms_as_samples_have_the_fields_of_prometheus(both):
    *urls, start = both
    request = read_request([query(start, start + 60_000, (EQ, "kind", "read"))], [SAMPLES])
    ours, theirs = (histograms_read(url, request) for url in urls)
    assert ours == theirs
    assert sorted(len(one) for one in ours.values()) == [0, 5, 5, 5]


PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"


@pytest.mark.parametrize("accept", ["text/plain", PROTOBUF, f"{PROTOBUF};q=0.6,text/plain;q=0.5", f"{PROTOBUF};q=0.4;escaping=allow-utf-8,text/plain;q=0.5", "*/*"])
def test_histograms_are_federated_as_by_prometheus(both, accept):
    ours, theirs = (ask(url, "GET", "/federate", [("match[]", '{kind="read"}')], headers={"Accept": accept, "X-Scope-OrgID": TENANT}) for url in both[:2])
    assert (ours.status, theirs.status) == (200, 200)
    assert ours.body == theirs.body
    assert ours.headers["Content-Type"].split(";")[0] == theirs.headers["Content-Type"].split(";")[0]
    assert (b"as_i" in ours.body) == theirs.headers["Content-Type"].startswith("application/vnd.google.protobuf")


# ---- as a sender ----

COUNTED = ("target_requests_total", "target_seconds", "up", "scrape_samples_scraped", "prometheus_http_request_duration_seconds", "prometheus_tsdb_head_series")

EXPOSITION = """# HELP target_requests Requests.
# TYPE target_requests counter
target_requests_total{path="/"} %(count)d # {trace_id="t%(count)d"} 1 %(now).3f
# HELP target_seconds Seconds.
# TYPE target_seconds histogram
# UNIT target_seconds seconds
target_seconds_bucket{le="0.1"} %(count)d # {trace_id="b%(count)d"} 0.05 %(now).3f
target_seconds_bucket{le="1.0"} %(double)d
target_seconds_bucket{le="+Inf"} %(triple)d
target_seconds_sum %(count)d.5
target_seconds_count %(triple)d
# EOF
"""


class Target(BaseHTTPRequestHandler):
    scrapes = 0

    def do_GET(self) -> None:  # noqa: N802
        Target.scrapes += 1
        count = Target.scrapes
        body = (EXPOSITION % {"count": count, "double": 2 * count, "triple": 3 * count, "now": time.time()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def sender(region, program, tmp_path_factory) -> Iterator[Prometheus]:
    """Scrapes itself, which has exponential histograms, and a target whose classic ones get custom bounds; sends both."""
    target = ThreadingHTTPServer(("127.0.0.1", 0), Target)
    threading.Thread(target=target.serve_forever, daemon=True).start()
    config = f"""
global:
  scrape_interval: 1s
  scrape_native_histograms: true
  external_labels: {{replica: one}}
scrape_configs:
  - job_name: target
    convert_classic_histograms_to_nhcb: true
    static_configs: [{{targets: ["127.0.0.1:{target.server_address[1]}"]}}]
  - job_name: self
    file_sd_configs: [{{files: [self.json], refresh_interval: 1s}}]
remote_write:
  - url: {region.region["push_url"]}
    protobuf_message: io.prometheus.write.v2.Request
    headers: {{X-Scope-OrgID: {TENANT}-sender}}
    send_native_histograms: true
    send_exemplars: true
    queue_config: {{batch_send_deadline: 1s}}
"""
    directory = tmp_path_factory.mktemp("sender")
    prometheus = Prometheus(directory, config, program, ["--enable-feature=exemplar-storage"])
    (directory / "self.json").write_text(f'[{{"targets": ["{prometheus.url.removeprefix("http://")}"]}}]')
    yield prometheus
    prometheus.stop()
    target.shutdown()


@pytest.fixture(scope="module")
def settled(region, sender) -> tuple[Api, Api, int]:
    """Both APIs, and a time up to which ours has all that theirs has."""
    ours, theirs = Api(region.region["query_url"], f"{TENANT}-sender", strong=True), Api(sender.url)
    wait_until(lambda: Target.scrapes >= 20, 60, "scrapes of the target")
    at = int(time.time())

    def samples(api: Api) -> list[object]:
        replies = [api.query(f"sum(count_over_time({metric}[1h]))", at) for metric in COUNTED]
        return [reply.data and [series["value"][1] for series in reply.data["result"]] for reply in replies]

    def series(api: Api) -> list[tuple[str, str]]:
        result = api.query("count by (__name__) ({job=~'target|self'})", at).data["result"]
        return sorted((one["metric"]["__name__"], one["value"][1]) for one in result)

    wait_until(lambda: all(samples(ours)) and samples(ours) == samples(theirs), 60, "all samples to be here")
    assert series(ours) == series(theirs)
    return ours, theirs, at


def without_external(result: list[dict]) -> list[dict]:
    for series in result:
        series["metric"].pop("replica", None)
    return sorted(result, key=lambda series: sorted(series["metric"].items()))


@pytest.mark.parametrize("expression", [
    "target_requests_total", "rate(target_requests_total[10s])", "target_seconds", "rate(target_seconds[10s])", "histogram_quantile(0.5, target_seconds)",
    "prometheus_http_request_duration_seconds", "histogram_count(prometheus_http_request_duration_seconds)", "sum(increase(prometheus_http_request_duration_seconds[15s]))",
    "histogram_quantile(0.9, sum by (handler) (rate(prometheus_http_request_duration_seconds[15s])))", "up", "scrape_samples_scraped", "count({job='self'})"])
def test_what_prometheus_has_scraped_is_answered_as_by_itself(settled, expression):
    ours, theirs, at = settled
    mine, reference = (api.get("query_range", query=expression, start=at - 15, end=at, step=1) for api in (ours, theirs))
    assert (mine.status, reference.status) == (200, 200), (mine, reference)
    assert apart(*(without_external(one.data["result"]) for one in (mine, reference))) <= ULPS_MAX
    assert mine.data["result"]


def test_histograms_come_as_histograms(settled):
    ours, _, at = settled
    for metric, rule in (("target_seconds", 3), ("prometheus_http_request_duration_seconds", 0)):
        result = ours.query(metric, at).data["result"]
        buckets = [bucket for series in result for bucket in series["histogram"][1].get("buckets", [])]
        assert rule in {bucket[0] for bucket in buckets}, metric


def test_exemplars_come_along(settled):
    ours, theirs, at = settled
    mine, reference = ({tuple(sorted(exemplar["labels"].items())) for series in api.get("query_exemplars", query=query, start=at - 15, end=at).data
                        for exemplar in series["exemplars"]} for api in (ours, theirs) for query in ["target_requests_total"])
    assert mine == reference and len(mine) >= 5
