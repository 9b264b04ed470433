"""The HTTP API beside that of Debian's Prometheus, which got the same samples: the same answers, byte for byte where both
have the endpoint, and what is ours alone."""

from __future__ import annotations

import gzip
import json
import math
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from dataclasses import dataclass
from typing import Any, Iterator

import pytest

from meridian_dev.cluster import wait_until
from support import remote_write as rw
from support.api import Api
from support.prometheus import Prometheus

TENANT = "query-api"
SECOND_MS = 1000
POINTS = 120
DEVICES = 5


@dataclass
class Raw:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(base: str, method: str, path: str, parameters: list[tuple[str, Any]] | None = None, headers: dict[str, str] | None = None,
        body: bytes | None = None) -> Raw:
    """One request; parameters go into the query of a GET and into the form of a POST."""
    url = f"{base}{path}"
    if parameters and method == "POST":
        body = urllib.parse.urlencode(parameters).encode()
    elif parameters:
        url += "?" + urllib.parse.urlencode(parameters)
    request = urllib.request.Request(url, data=body, method=method, headers={"X-Scope-OrgID": TENANT, "X-Read-Consistency": "strong", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Raw(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        return Raw(error.code, error.headers, error.read())


def samples_of_both(start: int) -> bytes:
    parts = []
    for device in range(DEVICES):
        labels = {"__name__": "api_total", "device": str(device), "room": "a" if device % 2 else "b"}
        parts.append(rw.series_of(labels, [(start + point * SECOND_MS, point * (device + 1)) for point in range(POINTS)]))
    odd = [0.0, -0.0, 0.1, 1e-7, 1e21, 123456789.125, math.inf, -math.inf, math.nan, 5e-324]
    parts.append(rw.series_of({"__name__": "api_odd", "text": 'a"b\\c\n\u00e9'}, [(start + 37 + at * SECOND_MS, value) for at, value in enumerate(odd)]))
    parts.append(rw.series_of({"__name__": "api_instance", "instance": "x:1", "job": "j"}, [(start + (POINTS - 1) * SECOND_MS, 1)]))
    parts.append(rw.series_of({"__name__": "api_stale"}, [(start, 1), (start + (POINTS - 1) * SECOND_MS, rw.STALE_NAN)]))
    return b"".join(parts)


@dataclass
class Sides:
    ours: str
    theirs: str
    start: float  # seconds

    @property
    def end(self) -> float:
        return self.start + POINTS - 1

    def both(self, method: str, path: str, parameters: list[tuple[str, Any]] | None = None, headers: dict[str, str] | None = None) -> tuple[Raw, Raw]:
        return ask(self.ours, method, path, parameters, headers), ask(self.theirs, method, path, parameters, headers)


@pytest.fixture(scope="module")
def sides(region, tmp_path_factory) -> Iterator[Sides]:
    prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"))
    start = (int(time.time() * 1000) // 1000 - POINTS) * 1000
    body = samples_of_both(start)
    assert rw.push(region.region["push_url"], body, TENANT).status < 300
    prometheus.push(body)
    yield Sides(region.region["query_url"], prometheus.url, start / 1000)
    prometheus.stop()


def same(ours: Raw, theirs: Raw) -> None:
    assert ours.status == theirs.status, (ours, theirs)
    assert ours.body.decode() == theirs.body.decode()
    assert ours.headers.get("Content-Type") == theirs.headers.get("Content-Type")


# ---- the same bytes ----

QUERIES = ["1", "1+1", "time()", '"text"', "api_total", "sum(api_total)", "sum by (room) (rate(api_total[1m]))", "api_total[10s]", "api_odd", "nothing", "-api_odd",
           "topk(2, api_total)", "count({device=~'.+'})", "vector(1)", "api_total > 100", "absent(nothing{a='b'})", "sort(api_total)",
           "api_total[30s:10s]", "sum(", "foo{", "rate(api_total)", "api_total offset 5s", "api_total @ end()", "1 +", "unknown_function(1)", '{a=~"["}', "api_total + on(x) api_total"]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_instant_queries_answer_the_same_bytes(sides, query, method):
    ours, theirs = sides.both(method, "/api/v1/query", [("query", query), ("time", sides.end + 0.5)])
    if theirs.status == 200:  # a vector has no order of its own
        mine, reference = ours.json, theirs.json
        assert ours.status == 200
        for answer in (mine, reference):
            if answer["data"]["resultType"] in ("vector", "matrix") and not query.startswith(("sort", "topk")):
                answer["data"]["result"].sort(key=lambda series: sorted(series["metric"].items()))
        assert mine == reference
        assert len(ours.body) == len(theirs.body)
    else:
        assert ours.status == theirs.status
        assert ours.json["errorType"] == theirs.json["errorType"]


@pytest.mark.parametrize("query", [query for query in QUERIES if "unknown" not in query])
def test_range_queries_answer_the_same(sides, query):
    # The step is longer than the windows, whose left edge Prometheus 3 has moved, and no sample lies on one.
    ours, theirs = sides.both("POST", "/api/v1/query_range", [("query", query), ("start", sides.start + 60.5), ("end", sides.end + 0.5), ("step", "7s")])
    assert ours.status == theirs.status
    if theirs.status == 200:
        assert ours.json["data"] == theirs.json["data"]  # 2.42 has no annotations
        assert query.startswith("sort") or ours.body == theirs.body
    else:
        assert ours.json["errorType"] == theirs.json["errorType"]


EXACT = [
    ("/api/v1/labels", []),
    ("/api/v1/labels", [("match[]", "api_total")]),
    ("/api/v1/labels", [("match[]", "api_total"), ("match[]", "api_instance")]),
    ("/api/v1/labels", [("match[]", "{}")]),
    ("/api/v1/labels", [("match[]", '{a=~".*"}')]),
    ("/api/v1/labels", [("match[]", "nothing")]),
    ("/api/v1/labels", [("start", "2000-01-01T00:00:00Z"), ("end", "2000-01-02T00:00:00Z"), ("match[]", "api_total")]),
    ("/api/v1/label/device/values", []),
    ("/api/v1/label/__name__/values", [("match[]", '{room="a"}')]),
    ("/api/v1/label/absent/values", []),
    ("/api/v1/label/device/values", [("match[]", "{}")]),
    ("/api/v1/series", [("match[]", "api_total")]),
    ("/api/v1/series", [("match[]", "api_total"), ("match[]", '{room="a"}')]),
    ("/api/v1/series", [("match[]", "nothing")]),
    ("/api/v1/series", []),
    ("/api/v1/series", [("match[]", "{}")]),
    ("/api/v1/series", [("match[]", "api_total"), ("start", "-292273086-05-16T16:47:06Z"), ("end", "292277025-08-18T07:12:54.999999999Z")]),
    ("/api/v1/query_exemplars", [("query", "1+1")]),
    ("/api/v1/query_exemplars", [("query", "api_total")]),
    ("/api/v1/query_exemplars", [("query", "rate(x[1m]) / 2"), ("start", "1690000000000"), ("end", "1690000001000")]),
    ("/api/v1/query_exemplars", [("query", "x"), ("start", "2"), ("end", "1")]),
    ("/api/v1/format_query", [("query", "foo  /  bar")]),
    ("/api/v1/format_query", [("query", "foo < bool bar")]),
    ("/api/v1/format_query", [("query", "a <")]),
    ("/api/v1/query", [("query", '"<a>&\u00e9\u2028"'), ("time", "4.5")]),
    ("/api/v1/query", [("query", "1e21"), ("time", "1435781451.5")]),
    ("/api/v1/query", [("query", "1e-7"), ("time", "1435781451.781")]),
    ("/api/v1/query", [("query", "vector(1e-7)"), ("time", "1435781451.78")]),
    ("/api/v1/query", [("query", "vector(1e21)"), ("time", "1435781451.01")]),
    ("/api/v1/metadata", []),
    ("/api/v1/metadata", [("limit", "10"), ("metric", "x")]),
    ("/api/v1/metadata", [("limit", "-1")]),
    ("/api/v1/metadata", [("limit", "x")]),
    ("/api/v1/rules", []),
    ("/api/v1/rules", [("type", "alert")]),
    ("/api/v1/rules", [("type", "nonsense")]),
    ("/api/v1/alerts", []),
    ("/api/v1/alertmanagers", []),
    ("/api/v1/targets/metadata", []),
    ("/api/v1/targets/metadata", [("limit", "x")]),
    ("/api/v1/status/walreplay", []),
    ("/api/v1/status/tsdb", [("limit", "0")]),
    ("/api/v1/query_range", [("query", "1"), ("start", "2"), ("end", "1"), ("step", "1")]),
    ("/api/v1/query_range", [("query", "1"), ("start", "0"), ("end", "1"), ("step", "0")]),
    ("/api/v1/query_range", [("query", "1"), ("start", "0"), ("end", "1"), ("step", "-1s")]),
    ("/api/v1/query_range", [("query", "1"), ("start", "0"), ("end", "11001"), ("step", "1")]),
    ("/api/v1/query_range", [("query", "1"), ("start", "0"), ("end", "1")]),
    ("/api/v1/query_range", [("query", "1"), ("end", "1"), ("step", "1")]),
    ("/api/v1/query_range", [("query", "1"), ("start", "0"), ("end", "2000-01-01"), ("step", "1")]),
    ("/api/v1/query_range", [("query", "1"), ("start", "0"), ("end", 'a"b'), ("step", "1")]),
    ("/api/v1/query", [("query", "1"), ("time", "4"), ("timeout", "x")]),
    ("/api/v1/query", [("query", "1"), ("time", "4"), ("timeout", "1e20")]),
    ("/api/v1/query", [("query", "1+1"), ("time", "4")]),
    ("/api/v1/query", [("query", "1"), ("time", "4"), ("lookback_delta", "x")]),
    ("/api/v1/nothing", []),
]
# Debian's 2.42 does not know these, or says them otherwise; the words are those of 3.14.
SINCE_2_42 = {"/api/v1/status/tsdb": [[("limit", "0")]], "/api/v1/query": [[("query", "1"), ("time", "4"), ("lookback_delta", "x")]]}


@pytest.mark.parametrize("path,parameters", EXACT)
def test_answers_are_the_same_bytes(sides, path, parameters):
    if parameters in SINCE_2_42.get(path, []):
        pytest.skip("the reference is older than that")
    ours, theirs = sides.both("GET", path, parameters)
    same(ours, theirs)


@pytest.mark.parametrize("method,path", [
    ("HEAD", "/api/v1/query"), ("DELETE", "/api/v1/query"), ("PUT", "/api/v1/labels"), ("POST", "/api/v1/label/x/values"), ("GET", "/api/v1/read"), ("POST", "/api/v1/metadata"),
    ("OPTIONS", "/api/v1/query"), ("OPTIONS", "/api/v1/nothing"), ("POST", "/federate"), ("GET", "/nothing"), ("GET", "/api/v1/"), ("POST", "/api/v1/nothing"),
])
@pytest.mark.parametrize("origin", [None, "http://elsewhere"])
def test_methods_and_origins_are_treated_the_same(sides, method, path, origin):
    ours, theirs = sides.both(method, path, headers={"Origin": origin} if origin else None)
    assert (ours.status, ours.body) == (theirs.status, theirs.body)
    assert ours.headers.get("Access-Control-Allow-Origin") == (origin if theirs.headers.get("Access-Control-Allow-Origin") else None)  # 2.42 says *
    for header in ("Allow", "X-Content-Type-Options", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods", "Access-Control-Expose-Headers"):
        assert ours.headers.get(header) == theirs.headers.get(header), header


# ---- what 3.14 has and the reference has not; words and shapes from its source ----

ERRORS = [
    ("/api/v1/query", [("query", "1"), ("limit", "x")], 'invalid parameter "limit": strconv.Atoi: parsing "x": invalid syntax'),
    ("/api/v1/query_range", [("query", "1"), ("limit", "-1")], 'invalid parameter "limit": limit must be non-negative'),
    ("/api/v1/labels", [("limit", "1e3")], 'invalid parameter "limit": strconv.Atoi: parsing "1e3": invalid syntax'),
    ("/api/v1/label/x/values", [("start", "yesterday")], 'invalid parameter "start": invalid time value for \'start\': cannot parse "yesterday" to a valid timestamp'),
    ("/api/v1/query", [("query", "1"), ("time", "x")], 'invalid parameter "time": invalid time value for \'time\': cannot parse "x" to a valid timestamp'),
    ("/api/v1/metadata", [("limit", "x")], "limit must be a number"),
    ("/api/v1/metadata", [("limit_per_metric", "x")], "limit_per_metric must be a number"),
    ("/api/v1/status/tsdb", [("limit", "0")], "limit must be a positive number"),
    ("/api/v1/status/tsdb", [("limit", "10001")], "limit must not exceed 10000"),
    ("/api/v1/targets/relabel_steps", [("scrapePool", "x")], "no labels parameter provided"),
    ("/api/v1/rules", [("group_next_token", "x")], 'invalid parameter "group_next_token": group_limit needs to be present in order to paginate over the groups'),
    ("/api/v1/rules", [("group_limit", "0")], 'invalid parameter "group_limit": group_limit needs to be greater than 0'),
    ("/api/v1/rules", [("exclude_alerts", "maybe")], 'invalid parameter "exclude_alerts": error converting exclude_alerts: strconv.ParseBool: parsing "maybe": invalid syntax'),
]


@pytest.mark.parametrize("path,parameters,text", ERRORS)
def test_errors_have_the_words_of_prometheus_3(sides, path, parameters, text):
    answer = ask(sides.ours, "GET", path, parameters)
    assert answer.status == 400
    assert answer.json == {"status": "error", "errorType": "bad_data", "error": text}


@pytest.mark.parametrize("base", ["", "/prometheus"])
def test_limits_cut_and_say_so(sides, base):
    window = [("start", sides.start), ("end", sides.end)]
    for path, parameters, count in [
            ("/api/v1/query", [("query", "api_total"), ("time", sides.end)], lambda data: len(data["result"])),
            ("/api/v1/query_range", [("query", "api_total"), ("step", 30), *window], lambda data: len(data["result"])),
            ("/api/v1/series", [("match[]", "api_total"), *window], len), ("/api/v1/labels", window, len), ("/api/v1/label/device/values", window, len)]:
        whole = ask(sides.ours, "GET", base + path, [*parameters, ("limit", 0)]).json
        assert "warnings" not in whole
        cut = ask(sides.ours, "GET", base + path, [*parameters, ("limit", 2)]).json
        assert count(cut["data"]) == 2 < count(whole["data"]), path
        assert cut["warnings"] == ["results truncated due to limit"]
        assert "warnings" not in ask(sides.ours, "GET", base + path, [*parameters, ("limit", count(whole["data"]))]).json


def test_empty_lists_of_scraping_are_there(sides):
    for path, data in [("scrape_pools", {"scrapePools": []}), ("status/tsdb/blocks", {"blocks": []}),
                       ("targets", {"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}}),
                       ("targets?state=active", {"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": None})]:
        answer = ask(sides.ours, "GET", f"/api/v1/{path}")
        assert (answer.status, answer.json) == (200, {"status": "success", "data": data})


def test_features_are_told_under_the_names_of_prometheus(sides):
    features = ask(sides.ours, "GET", "/api/v1/features").json["data"]
    assert all(value in (True, False) for category in features.values() for value in category.values())
    assert features["api"]["label_values_match"] and not features["api"]["admin"]
    functions = features["promql_functions"]
    assert len(functions) == 90 and functions["rate"] and not functions["info"]  # the language without what Prometheus keeps behind flags
    assert not features["promql"]["anchored"] and features["promql"]["subqueries"]
    assert features["promql_operators"]["topk"] and not features["promql_operators"]["limitk"] and features["promql_operators"]["</"]


def test_what_a_server_tells_of_itself_is_there_and_empty(sides):
    for path, status, document in [
            ("notifications", 200, {"status": "success", "data": []}), ("status/self_metrics", 200, {"status": "success", "data": []}),
            ("status/self_metrics?metric_name_pattern=meridian_.*", 200, {"status": "success", "data": []}),
            ("search/metric_names", 503, {"status": "error", "errorType": "unavailable", "error": "search API disabled"})]:
        answer = ask(sides.ours, "GET", f"/api/v1/{path}")
        assert (answer.status, answer.json) == (status, document)
    assert ask(sides.ours, "GET", "/api/v1/notifications/live").status == 204
    refused = ask(sides.ours, "GET", "/api/v1/status/self_metrics?metric_name_pattern=%28")
    assert refused.status == 400 and refused.json["error"].startswith("invalid metric_name_pattern: "), refused


def test_statistics_come_when_asked_for(sides):
    query = [("query", "sum(api_total)"), ("time", sides.end)]
    assert "stats" not in ask(sides.ours, "GET", "/api/v1/query", query).json["data"]
    for value, warned in [("true", False), ("all", False), ("yes", True)]:
        answer = ask(sides.ours, "GET", "/api/v1/query", [*query, ("stats", value)]).json
        stats = answer["data"]["stats"]
        assert list(stats["timings"]) == ["evalTotalTime", "resultSortTime", "queryPreparationTime", "innerEvalTime", "execQueueTime", "execTotalTime"]
        assert list(stats["samples"]) == ["totalQueryableSamples", "samplesRead", "peakSamples"]
        assert 0 < stats["timings"]["evalTotalTime"] <= stats["timings"]["execTotalTime"]
        assert stats["samples"]["samplesRead"] >= DEVICES
        text = f'value "{value}" for parameter "stats" is deprecated and will be rejected in the next major release, use "true" or "all"'
        assert answer.get("warnings", []) == ([text] if warned else [])


def test_malformed_escapes_hide_their_parameter_only(sides):
    for path, error in [("query?query=1&time=4&x=%zz", None), ("query?query=%zz", "no expression found in input"), ("series?match[]=%zz", 'error parsing form values: invalid URL escape "%zz"')]:
        answer = ask(sides.ours, "GET", f"/api/v1/{path}")
        assert answer.status == (400 if error else 200)
        assert error is None or error in answer.json["error"]


def test_escaped_names_in_paths_are_utf8_names(sides, region):
    at = int(time.time() * 1000)
    assert rw.push(region.region["push_url"], rw.series_of({"__name__": "api_utf8", "a.b c\u00e9": "v"}, [(at, 1)]), TENANT).status < 300
    assert ask(sides.ours, "GET", "/api/v1/label/U__a_2e_b_20_c_e9_/values").json["data"] == ["v"]
    assert ask(sides.ours, "GET", "/api/v1/label/" + urllib.parse.quote("a.b c\u00e9") + "/values").json["data"] == ["v"]
    assert ask(sides.ours, "GET", "/api/v1/label/U__a_2e/values").json["data"] == []  # no escape: a name like any other
    assert ask(sides.ours, "GET", "/api/v1/label/%ff/values").json["error"] == 'invalid label name: "\\xff"'


def test_markup_is_escaped_everywhere_but_in_labels(sides):
    """As 3.14 does it; the reference escapes labels too."""
    query = "label_replace(vector(1), 'a', '<&>', '', '')"
    assert b'{"a":"<&>"}' in ask(sides.ours, "GET", "/api/v1/query", [("query", query), ("time", 4)]).body
    assert rb'"\u003c\u0026\u003e"' in ask(sides.ours, "GET", "/api/v1/query", [("query", "'<&>'"), ("time", 4)]).body


def test_times_and_limits_of_a_query_are_kept(sides):
    answer = ask(sides.ours, "POST", "/api/v1/query", [("query", "api_total"), ("timeout", "0")])
    assert (answer.status, answer.json["errorType"]) == (503, "timeout")
    old = [("query", "api_instance"), ("time", sides.end + 200)]
    assert len(ask(sides.ours, "GET", "/api/v1/query", old).json["data"]["result"]) == 1
    assert ask(sides.ours, "GET", "/api/v1/query", [*old, ("lookback_delta", "1m")]).json["data"]["result"] == []
    assert len(ask(sides.ours, "GET", "/api/v1/query", [*old, ("lookback_delta", "-1")]).json["data"]["result"]) == 1


# ---- what this server is ----

def test_more_matchers_than_a_question_takes_are_refused(sides):
    for count, statuses in ((1024, (200,)), (1025, (400, 422)), (3000, (400, 422))):
        selector = "up{" + ",".join(f'a{n}=""' for n in range(count - 1)) + "}"  # and its name
        for path, name in (("query", "query"), ("series", "match[]"), ("labels", "match[]"), ("query_exemplars", "query")):
            answer = ask(sides.ours, "POST", f"/api/v1/{path}", [(name, selector)])
            assert answer.status in statuses, (path, count, answer.body[:300])


def test_status_tells_the_truth(sides, region):
    build = ask(sides.ours, "GET", "/api/v1/status/buildinfo").json["data"]
    assert list(build) == ["version", "revision", "branch", "buildUser", "buildDate", "goVersion"]
    runtime = ask(sides.ours, "GET", "/api/v1/status/runtimeinfo").json["data"]
    reference = ask(sides.theirs, "GET", "/api/v1/status/runtimeinfo").json["data"]
    assert set(reference) <= set(runtime)
    assert runtime["hostname"] == socket.gethostname()
    assert runtime["goroutineCount"] > 1
    flags = ask(sides.ours, "GET", "/api/v1/status/flags").json["data"]
    assert flags["query.lookback-delta"] == "5m"
    assert set(flags) <= set(ask(sides.theirs, "GET", "/api/v1/status/flags").json["data"])
    assert "querier:" in ask(sides.ours, "GET", "/api/v1/status/config").json["data"]["yaml"]


def test_the_iceberg_catalog_is_read_only_and_empty_before_anything_is_merged(sides):
    tenant = {"X-Scope-OrgID": "tableless"}
    assert ask(sides.ours, "GET", "/iceberg/v1/config", headers=tenant).json["overrides"] == {"prefix": "local"}
    assert ask(sides.ours, "GET", "/iceberg/v1/local/namespaces", headers=tenant).json == {"namespaces": [["tableless"]]}
    assert ask(sides.ours, "GET", "/iceberg/v1/local/namespaces/tableless/tables", headers=tenant).json["identifiers"] == []
    refused = ask(sides.ours, "DELETE", "/iceberg/v1/local/namespaces/x", headers=tenant)
    assert (refused.status, refused.json["error"]["type"]) == (406, "UnsupportedOperationException")
    assert "read-only" in refused.json["error"]["message"]


def test_there_is_no_iceberg_catalog_without_block_storage(start):
    url = start({"partitions": 1}, settings=["querier.objstore.file.folder="]).region["query_url"]
    for method, path in (("GET", "/iceberg/v1/config"), ("GET", "/iceberg/v1/local/namespaces"), ("DELETE", "/iceberg/v1/local/namespaces/x")):
        answer = ask(url, method, path)
        assert (answer.status, answer.json["error"]["code"], answer.json["error"]["type"]) == (501, 501, "UnsupportedOperationException")
        assert "block storage is not configured" in answer.json["error"]["message"]


def test_cardinality_is_counted_over_all_partitions(sides, region):
    tenant = {"X-Scope-OrgID": "cardinality"}
    at = int(time.time() * 1000)
    parts = [rw.series_of({"__name__": f"metric_{number % 3}", "device": f"d{number}", "room": "ab"[number % 2]}, [(at, 1)]) for number in range(60)]
    assert rw.push(region.region["push_url"], b"".join(parts), "cardinality").status < 300
    data = ask(sides.ours, "GET", "/api/v1/status/tsdb", [("limit", 4)], headers=tenant).json["data"]
    assert data == {
        "headStats": {"numSeries": 60, "numLabelPairs": 65, "chunkCount": 60, "minTime": at, "maxTime": at},
        "seriesCountByMetricName": [{"name": f"metric_{number}", "value": 20} for number in range(3)],
        "labelValueCountByLabelName": [{"name": "device", "value": 60}, {"name": "__name__", "value": 3}, {"name": "room", "value": 2}],
        "memoryInBytesByLabelName": [{"name": "__name__", "value": 1080}, {"name": "device", "value": 650}, {"name": "room", "value": 420}],
        "seriesCountByLabelValuePair": [{"name": "room=a", "value": 30}, {"name": "room=b", "value": 30}, {"name": "__name__=metric_0", "value": 20}, {"name": "__name__=metric_1", "value": 20}],
    }


# ---- federation ----

@pytest.mark.parametrize("matches", [["api_total"], ["api_total", '{room="a"}'], ["api_odd"], ["api_instance", "api_stale"], ["nothing"], [], ["{}"], ['{device=~".+"}', "api_instance"]])
def test_federation_shows_the_same_samples(sides, matches):
    ours, theirs = sides.both("GET", "/federate", [("match[]", match) for match in matches])
    assert ours.status == theirs.status == 200
    assert ours.body.decode() == theirs.body.decode()
    assert ours.headers["Content-Type"].startswith("text/plain; version=0.0.4; charset=utf-8") or not ours.body


def test_federation_refuses_what_is_no_selector(sides):
    ours, theirs = sides.both("GET", "/federate", [("match[]", "rate(x[1m])")])
    assert ours.status == theirs.status == 400
    assert ours.headers["Content-Type"] == theirs.headers["Content-Type"]


def test_federation_as_openmetrics_is_what_its_readers_expect(sides):
    answer = ask(sides.ours, "GET", "/federate", [("match[]", "api_instance")], headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    lines = answer.body.decode().splitlines()
    assert lines[0] == "# TYPE api_instance unknown" and lines[-1] == "# EOF"
    sample, value, at = lines[1].split(" ")
    assert (sample, value, float(at)) == ('api_instance{instance="x:1",job="j"}', "1.0", sides.end)


def test_another_prometheus_scrapes_federated_series(region, tmp_path):
    at = int(time.time() * 1000)
    series = [{"__name__": "federated", "instance": "plant-7", "job": "pump"}, {"__name__": "federated", "job": "no-instance"}, {"__name__": "federated", "a.b": "dotted"}]
    for labels in series:
        assert rw.push(region.region["push_url"], rw.series_of(labels, [(at, 2.5)])).status < 300
    prometheus = Prometheus(tmp_path, f"""
scrape_configs:
  - job_name: federate
    scrape_interval: 1s
    honor_labels: true
    metrics_path: /federate
    params: {{"match[]": ["federated"]}}
    static_configs: [{{targets: ["{urllib.parse.urlsplit(region.region['query_url']).netloc}"]}}]
""")
    try:
        def seen() -> list:
            return [entry for entry in ask(prometheus.url, "GET", "/api/v1/query", [("query", "federated"), ("time", at / 1000 + 1)]).json["data"]["result"]]

        wait_until(lambda: len(seen()) == len(series), 30, "the federated series")
        assert sorted((sorted(entry["metric"].items()), entry["value"][1]) for entry in seen()) == sorted((pairs, "2.5") for pairs in [
            [("__name__", "federated"), ("instance", "plant-7"), ("job", "pump")], [("__name__", "federated"), ("job", "no-instance")],
            [("__name__", "federated"), ("a.b" if "a.b" in str(seen()) else "a_b", "dotted"), ("job", "federate")]])  # Prometheus 3 takes dots
    finally:
        prometheus.stop()


# ---- other people's tools ----

@pytest.mark.parametrize("arguments", [
    ["instant", "{url}", "sum(api_total)", "--time={end}"], ["range", "{url}", "api_total", "--start={start}", "--end={end}", "--step=30s"],
    ["series", "{url}", "--match=api_total"], ["labels", "{url}", "device"]])
def test_promtool_prints_the_same(sides, region, arguments):
    """promtool names no tenant, so what is compared is what anonymous has: the same samples."""
    start = round(sides.start * 1000)
    assert rw.push(region.region["push_url"], samples_of_both(start)).status < 300
    assert ask(sides.ours, "GET", "/api/v1/query", [("query", "1")], headers={"X-Scope-OrgID": "anonymous"}).status == 200

    def printed(url: str) -> list[str]:
        filled = [part.format(url=url, start=int(sides.start), end=int(sides.end)) for part in arguments]
        done = subprocess.run(["promtool", "query", *filled], capture_output=True, text=True, timeout=60, check=True)
        return sorted(done.stdout.splitlines())

    assert printed(sides.ours) == printed(sides.theirs)
    assert printed(sides.ours)


# ---- compression and size ----

def decoded(answer: Raw) -> bytes:
    encoding = answer.headers.get("Content-Encoding")
    if encoding == "gzip":
        return gzip.decompress(answer.body)
    if encoding == "deflate":
        return zlib.decompress(answer.body)
    assert encoding is None
    return answer.body


@pytest.mark.parametrize("accept,encoding", [("gzip", "gzip"), ("deflate", "deflate"), ("gzip, deflate, br", "gzip"), ("identity", None), (None, None)])
def test_answers_are_compressed_as_the_client_likes(sides, accept, encoding):
    query = [("query", "api_total"), ("start", sides.start), ("end", sides.end), ("step", 1)]
    headers = {"Accept-Encoding": accept} if accept else {"Accept-Encoding": ""}
    plain = ask(sides.ours, "GET", "/api/v1/query_range", query, headers={"Accept-Encoding": "identity"})
    answer = ask(sides.ours, "GET", "/api/v1/query_range", query, headers=headers)
    assert answer.headers.get("Content-Encoding") == encoding
    assert decoded(answer) == plain.body
    assert len(plain.body) < 100_000  # sent as one body; the large ones are below
    assert "Accept-Encoding" in ", ".join(answer.headers.get_all("Vary"))
    tiny = ask(sides.ours, "GET", "/api/v1/query", [("query", "1"), ("time", 4)], headers=headers)
    assert tiny.headers.get("Content-Encoding") is None


def test_zstd_is_spoken_where_it_is_liked_most(sides):
    query = [("query", "api_total"), ("start", sides.start), ("end", sides.end), ("step", 1)]
    plain = ask(sides.ours, "GET", "/api/v1/query_range", query).body
    answer = ask(sides.ours, "GET", "/api/v1/query_range", query, headers={"Accept-Encoding": "gzip;q=0.5, zstd"})
    assert answer.headers["Content-Encoding"] == "zstd"
    assert subprocess.run(["zstd", "-dcq"], input=answer.body, capture_output=True, check=True).stdout == plain


def large(sides) -> list[tuple[str, Any]]:
    """Some 20 MB: many labels on many points."""
    query = "label_replace(vector(time()), 'a', '" + "x" * 2000 + "', '', '')"
    union = " or ".join(f"label_replace({query}, 'b', '{number}', '', '')" for number in range(100))
    return [("query", union), ("start", 0), ("end", 10999), ("step", 1)]


@pytest.mark.parametrize("accept", ["identity", "gzip"])
def test_large_answers_are_whole(sides, accept):
    answer = ask(sides.ours, "POST", "/api/v1/query_range", large(sides), headers={"Accept-Encoding": accept})
    result = json.loads(decoded(answer))["data"]["result"]
    assert len(result) == 100
    assert all(series["values"] == [[at, str(at)] for at in range(11000)] for series in result[::33])
    assert sorted(series["metric"]["b"] for series in result) == sorted(str(number) for number in range(100))
