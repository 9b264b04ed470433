"""The calls that Grafana's Prometheus data source makes, as it makes them: its health check and what it takes the server for, panels,
Explore, completion, variables and exemplars; below a base path and with the tenant as a custom header."""

from __future__ import annotations

import gzip
import time
from typing import Any

import pytest

from support import remote_write as rw
from support import remote_write_2 as rw2
from test_query_api import ask

TENANT = "grafana"
HEADERS = {"X-Scope-OrgID": TENANT, "X-Read-Consistency": "strong", "User-Agent": "Grafana/13.1.7"}
PODS = ["pod-1", "pod-2"]


@pytest.fixture(scope="module")
def at(region) -> int:
    """Writes what a small dashboard shows; returns its last second."""
    now = int(time.time()) // 15 * 15
    request = rw2.Request()
    for pod in PODS:
        for job in ("api", "web"):
            samples = [((now - 15 * k) * 1000, 1000.0 - k) for k in range(60)][::-1]
            request.add({"__name__": "http_requests_total", "job": job, "pod": pod}, samples=samples,
                        exemplars=[({"trace_id": f"{job}-{pod}"}, 1, now * 1000)])
    request.add({"__name__": "soil.moisture", "field.name": "north"}, samples=[(now * 1000, 0.5)])
    assert rw.push(region.region["push_url"], request.encode(), TENANT, **rw2.HEADERS).status == 204
    assert rw.push(region.region["push_url"], rw.metadata("http_requests_total", 1, "Requests."), TENANT).status == 204
    return now


@pytest.fixture(params=["", "/prometheus"])
def base(region, request) -> str:
    """The data source's URL, with and without a path."""
    return region.region["query_url"] + request.param


def call(base: str, method: str, path: str, parameters: list[tuple[str, Any]] | None = None) -> Any:
    answer = ask(base, method, f"/api/v1/{path}", parameters or [], headers=HEADERS)
    assert answer.status == 200, (path, answer.status, answer.body)
    assert answer.json["status"] == "success" and answer.headers["Content-Type"].startswith("application/json")
    return answer.json["data"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_save_and_test_finds_a_prometheus(base, at, method):
    """The health query, and a build that Grafana does not take for Mimir."""
    assert call(base, method, "query", [("query", "1+1"), ("time", "4")])["result"] == [4, "2"]
    build = call(base, "GET", "status/buildinfo")
    assert build["version"] and not build.get("features")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_panels_and_explore_are_filled(base, at, method):
    parameters = [("query", 'sum by (job) (rate(http_requests_total{pod=~"pod-1|pod-2"}[1m0s]))'), ("start", f"{at - 600}"), ("end", f"{at}"),
                  ("step", "15"), ("timeout", "30s"), ("dashboard_uid", "x")]
    found = call(base, method, "query_range", parameters)
    assert found["resultType"] == "matrix" and [series["metric"] for series in found["result"]] == [{"job": "api"}, {"job": "web"}]
    assert all(len(series["values"]) == 41 for series in found["result"])
    instant = call(base, method, "query", [("query", "http_requests_total"), ("time", f"{at}.000")])
    assert instant["resultType"] == "vector" and len(instant["result"]) == 4


@pytest.mark.parametrize("query,status,kind", [("sum(", 400, "bad_data"), ("http_requests_total / on(job) http_requests_total", 422, "execution"),
                                               ("http_requests_total", 503, "timeout")])
def test_errors_come_as_grafana_reads_them(base, at, query, status, kind):
    answer = ask(base, "POST", "/api/v1/query_range", [("query", query), ("start", at - 600), ("end", at), ("step", 15),
                                                       *([("timeout", "0")] if status == 503 else [])], headers=HEADERS)
    assert answer.status == status and answer.json["status"] == "error" and answer.json["errorType"] == kind and answer.json["error"]


def test_notices_are_told(base, at):
    answer = ask(base, "POST", "/api/v1/query", [("query", "rate(soil_moisture[5m]) or sort(rate({'soil.moisture'}[5m]))"), ("time", at)], headers=HEADERS)
    assert answer.status == 200
    warned = ask(base, "POST", "/api/v1/query_range", [("query", "sort(http_requests_total)"), ("start", at - 60), ("end", at), ("step", 15)], headers=HEADERS)
    assert any("sort is ineffective" in text for text in warned.json["warnings"])


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_editor_completes_names_and_values(base, at, method):
    window = [("start", at - 3600), ("end", at + 60)]
    assert call(base, method, "labels", [("limit", 40000), *window, ("match[]", "http_requests_total")]) == ["__name__", "job", "pod"]
    assert call(base, method, "labels", [("limit", 40000), *window]) == ["__name__", "field.name", "job", "pod"]
    series = call(base, method, "series", [("match[]", '{__name__!=""}'), ("limit", 40000), *window])
    assert {"__name__": "http_requests_total", "job": "api", "pod": "pod-1"} in series and len(series) == 5


def test_variables_and_names_that_are_utf8(base, at):
    window = [("start", at - 3600), ("end", at + 60)]
    assert call(base, "GET", "label/pod/values", [*window, ("match[]", "http_requests_total"), ("limit", 40000)]) == PODS  # label_values(metric, label)
    assert call(base, "GET", "label/__name__/values", window) == ["http_requests_total", "soil.moisture"]  # metrics(regex)
    assert call(base, "GET", "label/U__field_2e_name/values", window) == ["north"]
    found = call(base, "POST", "query", [("query", 'count by (pod) ({"http_requests_total"})'), ("time", at)])  # query_result(...)
    assert sorted(entry["metric"]["pod"] for entry in found["result"]) == PODS


def test_metrics_are_described(base, at):
    assert call(base, "GET", "metadata", [("limit", 40000)])["http_requests_total"] == [{"type": "counter", "help": "Requests.", "unit": ""}]
    assert "http_requests_total" in call(base, "GET", "metadata")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_exemplars_are_probed_and_shown(base, at, method):
    """The probe names times in milliseconds, which are far in the future as seconds: an empty success, not an error."""
    assert call(base, method, "query_exemplars", [("query", "test"), ("start", at * 1000 - 600_000), ("end", at * 1000)]) == []
    shown = call(base, method, "query_exemplars", [("query", "rate(http_requests_total[5m])"), ("start", at - 600), ("end", at + 1)])
    assert len(shown) == 4 and shown[0]["exemplars"][0]["labels"] == {"trace_id": "api-pod-1"}


def test_rules_and_alerts_are_asked_for_on_load(base, at):
    assert call(base, "GET", "rules")["groups"] == []
    assert call(base, "GET", "rules", [("type", "alert"), ("group_limit", 40)])["groups"] == []
    assert call(base, "GET", "alerts")["alerts"] == []


@pytest.mark.parametrize("path", ["query", "query_range", "series", "labels"])
def test_whoever_posts_in_vain_may_get(base, at, path):
    """Grafana tries a call of POST that is refused with 400 or 405 once more as GET: each has that way too."""
    parameters = {"query": [("query", "1"), ("time", at)], "query_range": [("query", "1"), ("start", at), ("end", at), ("step", 15)],
                  "series": [("match[]", "http_requests_total")], "labels": []}[path]
    assert call(base, "POST", path, parameters) == call(base, "GET", path, parameters)
    other = ask(base, "POST", "/api/v1/label/pod/values", [("limit", 1)], headers=HEADERS)
    assert other.status == 405 and "GET" in other.headers["Allow"]


@pytest.mark.parametrize("coding", ["gzip, deflate, br, zstd", "gzip, deflate, br", "gzip"])
def test_what_browsers_accept_is_answered_with_what_grafana_decodes(base, at, coding):
    """Of completion and variables it passes the browser's header on, and decodes the answer itself: it knows no zstd."""
    parameters = [("query", "http_requests_total"), ("start", at - 600), ("end", at), ("step", 15)]
    plain = ask(base, "POST", "/api/v1/query_range", parameters, headers={**HEADERS, "Accept-Encoding": "identity"})
    answer = ask(base, "POST", "/api/v1/query_range", parameters, headers={**HEADERS, "Accept-Encoding": coding})
    assert answer.headers["Content-Encoding"] == "gzip" and len(plain.body) > 1024
    assert gzip.decompress(answer.body) == plain.body


def test_another_tenant_sees_nothing(base, at):
    headers = {**HEADERS, "X-Scope-OrgID": "grafana-2"}
    assert ask(base, "GET", "/api/v1/label/__name__/values", headers=headers).json["data"] == []
    assert ask(base, "POST", "/api/v1/query", [("query", "http_requests_total"), ("time", at)], headers=headers).json["data"]["result"] == []
