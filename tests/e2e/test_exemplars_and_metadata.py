"""Exemplars and metadata over HTTP: what was written comes back in Prometheus' form, each tenant's alone."""

from __future__ import annotations

import time

import pytest

from support import remote_write as rw
from support import remote_write_2 as rw2
from support.api import Api


def now_ms() -> int:
    return int(time.time() * 1000)


def push(region, request: rw2.Request, tenant: str) -> None:
    answer = rw.push(region.region["push_url"], request.encode(), tenant, **rw2.HEADERS)
    assert answer.status == 204, answer


@pytest.fixture
def other(region, tenant) -> Api:
    return Api(region.region["query_url"], f"{tenant}-other", strong=True)


def test_exemplars_come_back_by_series_and_time(region, tenant, api, other):
    at = now_ms() // 1000 * 1000
    request = rw2.Request()
    for code in ("500", "200"):
        exemplars = [({"trace_id": f"{code}-{n}", "a": "<&>"}, n + 0.5, at + n * 500) for n in range(3)]
        request.add({"__name__": "requests_total", "code": code}, samples=[(at, 1)], exemplars=exemplars)
    request.add({"__name__": "other_total"}, samples=[(at, 1)], exemplars=[({}, 7, at)])
    push(region, request, tenant)

    def found(code: str, numbers: range) -> dict:
        return {"seriesLabels": {"__name__": "requests_total", "code": code}, "exemplars": [
            {"labels": {"a": "<&>", "trace_id": f"{code}-{n}"}, "value": f"{n + 0.5}", "timestamp": (at + n * 500) / 1000}
            for n in numbers]}

    everything = {"start": at / 1000, "end": at / 1000 + 60}
    assert api.get("query_exemplars", query="rate(requests_total[5m])", **everything).data == [found("200", range(3)), found("500", range(3))]
    one = 'sum(requests_total{code="500"}) / requests_total{code=~"5.."}'
    assert api.get("query_exemplars", query=one, **everything).data == [found("500", range(3))]
    assert api.post("query_exemplars", query="requests_total", start=at / 1000, end=at / 1000 + 0.5).data == [
        found("200", range(2)), found("500", range(2))]
    both = api.get("query_exemplars", query="other_total or requests_total", **everything).data
    assert [entry["seriesLabels"]["__name__"] for entry in both] == ["other_total", "requests_total", "requests_total"]
    assert both[0]["exemplars"] == [{"labels": {}, "value": "7", "timestamp": at / 1000}]
    assert api.get("query_exemplars", query="requests_total", start=1, end=2).data == []
    assert other.get("query_exemplars", query="requests_total", **everything).data == []


def test_exemplars_written_again_or_too_late_change_nothing(region, tenant, api):
    at = now_ms()
    for offset in (0, 0, -1000, 1000):
        request = rw2.Request().add({"__name__": "x_total"}, samples=[(at, 1)], exemplars=[({"t": "1"}, 1, at + offset)])
        push(region, request, tenant)
    (series,) = api.get("query_exemplars", query="x_total").data
    assert [round(e["timestamp"] * 1000) for e in series["exemplars"]] == [at, at + 1000]


def test_metadata_come_back_and_the_newest_counts(region, tenant, api, other):
    at = now_ms()
    for help_text in ("Old.", 'Re "new" <b>.'):
        request = rw2.Request()
        request.add({"__name__": "requests_total"}, samples=[(at, 1)], metadata=("counter", help_text, "requests"))
        request.add({"__name__": "latency_seconds"}, histograms=[rw2.histogram(at, [1])], metadata=("histogram", "L", "seconds"))
        push(region, request, tenant)
    requests = [{"type": "counter", "help": 'Re "new" <b>.', "unit": "requests"}]
    latency = [{"type": "histogram", "help": "L", "unit": "seconds"}]
    everything = {"latency_seconds": latency, "requests_total": requests}
    assert api.get("metadata").data == everything
    assert api.get("metadata", metric="requests_total").data == {"requests_total": requests}
    assert api.get("metadata", metric="none").data == {}
    assert api.get("metadata", limit=1).data == {"latency_seconds": latency}
    assert api.get("metadata", limit=0).data == {}
    assert api.get("metadata", limit=-1, limit_per_metric=1).data == everything
    assert other.get("metadata").data == {}
