"""Every limit of a tenant: exceeded, it answers with the right status and a text that names the limit and its value, and is
counted; the same tenant goes on below it, and others are not touched. docs/limits.md has the table."""

from __future__ import annotations

import json
import os
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator

import pytest

from meridian_dev.cluster import Cluster, wait_until
from support import remote_write as rw
from support import remote_write_2 as rw2
from support.api import Api
from test_remote_read import EQ, SAMPLES, query as read_query, read_request

SERIES = 40
POINTS = 50


@dataclass
class Limit:
    key: str
    value: str
    text: str  # that says the value
    status: int
    call: str  # the function that exceeds it
    metric: str
    arguments: dict[str, Any] = field(default_factory=dict)
    named: bool = True  # in the text; some texts are Prometheus'

    @property
    def tenant(self) -> str:
        return self.key.replace(".", "-")


def counted(key: str) -> str:
    return rf'meridian_querier_limited_total\{{limit="{re.escape(key)}"\}}'


REJECTED = r'meridian_distributor_samples_rejected_total\{reason="%s"\}'
REFUSED = r'meridian_distributor_requests_refused_total\{reason="body"\}'
WRITES = [
    Limit("limits.ingestion_rate", "10", "10 samples a second", 429, "samples_twice", r"meridian_distributor_samples_limited_total", {"samples": 100}),
    Limit("limits.ingestion_burst", "5", "limits.ingestion_burst (5)", 400, "samples", REFUSED, {"samples": 6}),
    Limit("limits.request_body_bytes_max", "1KiB", "1024 bytes", 413, "samples", r'meridian_http_requests_refused_total\{reason="body_size"\}', {"samples": 2000}),
    Limit("limits.decoded_bytes_max", "2KiB", "2048", 400, "samples", REFUSED, {"samples": 2000}),
    Limit("limits.active_series_max", "30", "limits.active_series_max (30)", 400, "samples", REJECTED % "series_limit", {"samples": 31}),
    Limit("limits.labels_per_series_max", "3", "limit of 3", 400, "labels", REJECTED % "label_limit", {"count": 4}),
    Limit("limits.label_name_bytes_max", "20", "limit of 20", 400, "labels", REJECTED % "label_limit", {"name": "n" * 21}),
    Limit("limits.label_value_bytes_max", "20", "limit of 20", 400, "labels", REJECTED % "label_limit", {"value": "v" * 21}),
    Limit("limits.creation_grace_period", "1m", "60000 ms", 400, "samples", REJECTED % "future", {"samples": 1, "ahead_s": 120}),
    Limit("limits.histogram_buckets_max", "4", "4", 400, "histogram", r'meridian_distributor_histograms_rejected_total\{reason="histogram_limit"\}'),
    Limit("limits.exemplars_per_request_max", "2", "2", 400, "exemplars", r'meridian_distributor_exemplars_rejected_total\{reason="exemplar_limit"\}', {"count": 3}),
    Limit("limits.metadata_per_request_max", "2", "2", 400, "metadata", r'meridian_distributor_metadata_rejected_total\{reason="metadata_limit"\}', {"count": 3}),
    Limit("limits.metadata_bytes_max", "64", "64", 400, "metadata", r'meridian_distributor_metadata_rejected_total\{reason="metadata_limit"\}', {"count": 1, "help": "h" * 65}),
]
QUERIES = [
    Limit("querier.query_timeout", "50ms", "50ms", 503, "query_range", counted("querier.query_timeout"),
          {"query": "quantile_over_time(0.5, many[1h:1s])", "range_s": 3600, "step": 1}),
    Limit("querier.samples_max", "100", "100", 422, "query", counted("querier.samples_max"), {"query": "many"}),
    Limit("querier.samples_max", "100", "100", 422, "query", counted("querier.samples_max"), {"query": "sum(count_over_time(many[1h]))"}),
    Limit("querier.series_max", "10", "10", 422, "query", counted("querier.series_max"), {"query": "many"}),
    Limit("querier.series_max", "10", "10", 422, "query", counted("querier.series_max"), {"query": "sum(many)"}),
    Limit("querier.steps_max", "10", "10 points", 400, "query_range", counted("querier.steps_max"), {"query": "1", "range_s": 11, "step": 1}),
    Limit("querier.range_max", "1h", "1h", 422, "query_range", counted("querier.range_max"), {"query": "1", "range_s": 3601, "step": 60}),
    Limit("querier.memory_bytes_max", "1MiB", "1048576 bytes", 422, "query_range", counted("querier.memory_bytes_max"),
          {"query": "many * 2", "range_s": 10_000, "step": 1}),
    Limit("querier.response_bytes_max", "1KiB", "1024 bytes", 422, "query", counted("querier.response_bytes_max"), {"query": "many[1h]"}),
    Limit("querier.read_samples_max", "100", "(100)", 400, "remote_read", counted("querier.read_samples_max"), named=False),
    Limit("querier.tenant_queries_max", "1", "1 queries", 429, "query_while_another", counted("querier.tenant_queries_max"), {"query": "many"}),
]
LIMITS = WRITES + QUERIES


@pytest.fixture(scope="module")
def cluster(binaries, tmp_path_factory) -> Iterator[Cluster]:
    from conftest import ended, started

    directory = tmp_path_factory.mktemp("limits")
    overrides = directory / "overrides.yaml"
    settings: dict[str, list[str]] = {limit.tenant: [f"{limit.key}: {limit.value}"] for limit in LIMITS}
    settings["limits-ingestion_rate"].append("limits.ingestion_burst: 100")
    settings["limits-ingestion_burst"].append("limits.ingestion_rate: 1000")
    overrides.write_text("overrides:\n" + "".join(f"  {tenant}: {{{', '.join(pairs)}}}\n" for tenant, pairs in settings.items()))
    region = started(directory, binaries, {"partitions": 2}, settings=[f"all.overrides_file={overrides}"])
    now = int(time.time() * 1000)
    body = b"".join(rw.series_of({"__name__": "many", "n": str(n)}, [(now - 60_000 * (POINTS - k), n * k % 97) for k in range(POINTS)]) for n in range(SERIES))
    for tenant in {limit.tenant for limit in QUERIES} | {"free"}:
        assert rw.push(region.region["push_url"], body, tenant).status == 204
    yield region
    ended(region)


def http(url: str, tenant: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(url, data=body, headers={"X-Scope-OrgID": tenant, "X-Read-Consistency": "strong", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


class Calls:
    """What exceeds a limit, for any tenant: (status, text)."""

    def __init__(self, cluster: Cluster, tenant: str):
        self.push, self.url, self.tenant = cluster.region["push_url"], cluster.region["query_url"], tenant

    def write(self, body: bytes, **headers: str) -> tuple[int, str]:
        answer = rw.push(self.push, body, self.tenant, **headers)
        return answer.status, answer.body

    def samples(self, samples: int, ahead_s: int = 0) -> tuple[int, str]:
        at = int(time.time() * 1000) + 1000 * ahead_s
        return self.write(b"".join(rw.series_of({"__name__": "written", "n": f"{n:x}-{n * 7919 % 1000003:x}"}, [(at, n * 1.7)]) for n in range(samples)))

    def samples_twice(self, samples: int) -> tuple[int, str]:
        first = self.samples(samples)
        return first if first[0] != 204 else self.samples(samples)

    def labels(self, count: int = 2, name: str = "n", value: str = "v") -> tuple[int, str]:
        labels = {"__name__": "labelled", name: value, **{f"more_{k}": "x" for k in range(count - 2)}}
        return self.write(rw.series_of(labels, [(int(time.time() * 1000), 1)]))

    def second(self, request: rw2.Request) -> tuple[int, str]:
        return self.write(request.encode(), **rw2.HEADERS)

    def histogram(self) -> tuple[int, str]:
        at = int(time.time() * 1000)
        return self.second(rw2.Request().add({"__name__": "h"}, histograms=[rw2.histogram(at, [1, 2, 3, 4, 5])]))

    def exemplars(self, count: int) -> tuple[int, str]:
        at = int(time.time() * 1000)
        return self.second(rw2.Request().add({"__name__": "e"}, samples=[(at, 1)], exemplars=[({"t": str(n)}, n, at + n) for n in range(count)]))

    def metadata(self, count: int, help: str = "h") -> tuple[int, str]:
        return self.write(b"".join(rw.metadata(f"family_{n}", 1, help) for n in range(count)))

    def query(self, query: str) -> tuple[int, str]:
        return http(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}", self.tenant)

    def query_range(self, query: str, range_s: int, step: int) -> tuple[int, str]:
        now = int(time.time())
        form = {"query": query, "start": now - range_s, "end": now, "step": step}
        return http(f"{self.url}/api/v1/query_range?{urllib.parse.urlencode(form)}", self.tenant)

    def query_while_another(self, query: str) -> tuple[int, str]:
        thread = threading.Thread(target=self.query_range, args=("quantile_over_time(0.5, many[1h:1s])", 3600, 1), daemon=True)
        thread.start()
        try:
            wait_until(lambda: self.under_way(), 60, "the other query")
            return self.query(query)
        finally:
            for item in self.under_way():
                http(f"{self.url}/api/v1/status/active_queries/{item['id']}/cancel", self.tenant, b"")
            thread.join(60)

    def under_way(self) -> list[dict[str, Any]]:
        return json.loads(http(f"{self.url}/api/v1/status/active_queries", self.tenant)[1])["data"]["queries"]

    def remote_read(self) -> tuple[int, str]:
        at = int(time.time() * 1000)
        body = read_request([read_query(at - 3_600_000, at, (EQ, "__name__", "many"))], [SAMPLES])
        return http(f"{self.url}/api/v1/read", self.tenant, rw.snappy(body))


def metric(cluster: Cluster, name: str, line: str) -> float:
    [service] = [service for service in cluster.region["services"] if service["name"] == name]
    with urllib.request.urlopen(f"{service['ops_url']}/metrics", timeout=30) as answer:
        return sum(float(value) for value in re.findall(f"^{line} (.*)$", answer.read().decode(), re.MULTILINE))


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: f"{limit.key}-{limit.call}")
def test_a_limit_that_is_exceeded_is_told_and_counted(cluster, limit):
    service = "distributor" if limit in WRITES else "querier"
    before = metric(cluster, service, limit.metric)
    status, text = getattr(Calls(cluster, limit.tenant), limit.call)(**limit.arguments)
    assert status == limit.status, text
    assert limit.text in text and (limit.key in text or not limit.named), text
    assert metric(cluster, service, limit.metric) > before
    if limit.key not in ("querier.query_timeout", "querier.tenant_queries_max", "querier.memory_bytes_max"):  # minutes of work for others
        status, text = getattr(Calls(cluster, "free"), limit.call)(**limit.arguments)
        assert status in (200, 204) or limit.key == "limits.creation_grace_period", text


def test_every_limit_of_a_tenant_is_tried_here_or_has_nothing_to_exceed():
    """A new one without a case, or without its row in the documentation, would go unseen."""
    documentation = Path(__file__).resolve().parents[2] / "docs"
    keys = set(re.findall(r"^\| `([a-z_.]+)` \|.*\| yes \| yes \|", (documentation / "configuration.md").read_text(), re.MULTILINE))
    limits = {key for key in keys if key.startswith("limits.") or key.endswith("_max") or key in ("querier.query_timeout", "querier.tenant_concurrency", "ingester.tenant_workers")}
    silent = {"querier.tenant_concurrency", "querier.lookback_max", "ingester.exemplars_max", "ingester.metadata_max", "ingester.tenant_workers",
              "ingester.tenant_queue_max"}
    assert limits == silent | {limit.key for limit in LIMITS}
    assert limits <= set(re.findall(r"^\| `([a-z_.]+)` \|", (documentation / "limits.md").read_text(), re.MULTILINE))


def test_exemplars_and_metadata_are_bounded_by_tenant_and_live(start, tmp_path):
    path = tmp_path / "overrides.yaml"

    def override(text: str) -> None:
        fresh = path.with_suffix(".new")
        fresh.write_text(text)
        os.replace(fresh, path)

    override("overrides: {few: {ingester.exemplars_max: 2, ingester.metadata_max: 2}}\n")
    cluster = start({"partitions": 1}, settings=[f"all.overrides_file={path}"])
    at = int(time.time() * 1000)

    def write(tenant: str, first: int) -> None:
        calls = Calls(cluster, tenant)
        request = rw2.Request().add({"__name__": "e"}, samples=[(at + first, 1)], exemplars=[({"t": str(n)}, n, at + n) for n in range(first, first + 3)])
        assert calls.second(request)[0] == 204
        assert calls.write(b"".join(rw.metadata(f"family_{n}", 1, "h") for n in range(first, first + 3)))[0] == 204

    def kept(tenant: str) -> tuple[int, int]:
        api = Api(cluster.region["query_url"], tenant, strong=True)
        found = api.get("query_exemplars", query="e").data
        return sum(len(series["exemplars"]) for series in found), len(api.get("metadata").data)

    for tenant in ("few", "many"):
        write(tenant, 0)
    assert (kept("few"), kept("many")) == ((2, 2), (3, 3))
    wait_until(lambda: metric(cluster, "ingester", r"meridian_ingester_metadata_refused_total.*") == 1, 60, "the metric")
    before = metric(cluster, "ingester", r'meridian_config_reloads_total\{result="ok"\}')
    override("overrides: {many: {ingester.exemplars_max: 1, ingester.metadata_max: 0}}\n")
    wait_until(lambda: metric(cluster, "ingester", r'meridian_config_reloads_total\{result="ok"\}') > before, 60, "the reload")
    for tenant in ("few", "many"):
        write(tenant, 10)
    assert (kept("few"), kept("many")) == ((5, 5), (1, 3))


def test_questions_of_one_tenant_wait_in_a_queue_of_its_own_length(start, tmp_path):
    """The ingester never applies its log, so strong reads wait there, and each takes a place of its tenant."""
    path = tmp_path / "overrides.yaml"

    def override(text: str) -> None:
        fresh = path.with_suffix(".new")
        fresh.write_text(text)
        os.replace(fresh, path)

    override("overrides: {narrow: {ingester.tenant_workers: 1, ingester.tenant_queue_max: 1}}\n")
    cluster = start({"partitions": 1}, settings=[f"all.overrides_file={path}", "ingester.ingester.memory_bytes_max=1"])
    url = cluster.region["query_url"]
    assert rw.push(cluster.region["push_url"], rw.series_of({"__name__": "m"}, [(int(time.time() * 1000), 1)]), "any").status == 204

    def query(tenant: str, **headers: str) -> tuple[int, str]:
        return http(f"{url}/api/v1/query?query=m&timeout=50s", tenant, **headers)

    waiting = [threading.Thread(target=query, args=("narrow",), daemon=True) for _ in range(2)]
    for thread in waiting:
        thread.start()
    status, text = wait_until(lambda: (answer := query("narrow", **{"X-Read-Consistency": "eventual"}))[0] != 200 and answer, 40, "the queue to be full")
    assert status == 503 and "ingester.tenant_queue_max" in text, text
    assert all(thread.is_alive() for thread in waiting)
    assert query("other", **{"X-Read-Consistency": "eventual"})[0] == 200
    before = metric(cluster, "ingester", r'meridian_config_reloads_total\{result="ok"\}')
    override("overrides: {narrow: {ingester.tenant_workers: 1, ingester.tenant_queue_max: 10}}\n")
    wait_until(lambda: metric(cluster, "ingester", r'meridian_config_reloads_total\{result="ok"\}') > before, 30, "the reload")
    assert query("narrow", **{"X-Read-Consistency": "eventual"})[0] == 200
    assert all(thread.is_alive() for thread in waiting)
