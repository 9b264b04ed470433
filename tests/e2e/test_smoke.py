"""The shortest way through: pushed, acknowledged, queried."""

from __future__ import annotations

import math
import time

from support import remote_write as rw
from support.api import Api
from support.ledger import Fate, Ledger, labels_key

MINUTE_MS = 60_000


def now_ms() -> int:
    return int(time.time() * 1000)


def test_a_pushed_sample_is_queryable_by_a_strong_read(region, tenant, api):
    at = now_ms()
    answer = rw.push(region.region["push_url"], rw.series_of({"__name__": "temperature", "room": "a"}, [(at, 21.5)]), tenant)
    assert answer.status in (200, 204), answer
    assert api.vector("temperature", at / 1000) == {frozenset({("__name__", "temperature"), ("room", "a")}): 21.5}


def test_without_a_tenant_header_the_tenant_is_anonymous(region):
    at = now_ms()
    rw.push(region.region["push_url"], rw.series_of({"__name__": "unnamed_tenant"}, [(at, 1)]))
    for tenant in (None, "anonymous"):
        assert len(Api(region.region["query_url"], tenant, strong=True).vector("unnamed_tenant", at / 1000)) == 1
    assert Api(region.region["query_url"], "somebody-else", strong=True).vector("unnamed_tenant", at / 1000) == {}


def test_every_kind_of_value_comes_back_bit_for_bit(region, tenant, api):
    values = [0.0, -0.0, 1.0, -1.5, 1e-310, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan, 0.1, 1 / 3, 2**53 + 2.0]
    start = now_ms() - MINUTE_MS
    ledger = Ledger()
    labels = {"__name__": "values"}
    samples = [(start + 1000 * index, value) for index, value in enumerate(values)]
    assert rw.push(region.region["push_url"], rw.series_of(labels, samples), tenant).status < 300
    ledger.record_all([(labels_key(labels), at, value) for at, value in samples], Fate.ACKNOWLEDGED)
    api.check("values", ledger)


def test_samples_of_any_age_and_order_are_queryable(region, tenant, api):
    now = now_ms()
    day = 24 * 60 * MINUTE_MS
    stamps = [now, now - 400 * day, now - 3 * day, now - 90 * day, now - 5 * MINUTE_MS, now - day]
    labels = {"__name__": "any_age"}
    ledger = Ledger()
    for value, stamp in enumerate(stamps):
        assert rw.push(region.region["push_url"], rw.series_of(labels, [(stamp, value)]), tenant).status < 300
        ledger.record(labels_key(labels), stamp, value, Fate.ACKNOWLEDGED)
    api.check("any_age", ledger)


def test_a_repeated_request_changes_nothing(region, tenant, api):
    at = now_ms()
    labels = {"__name__": "repeated"}
    for _ in range(3):
        assert rw.push(region.region["push_url"], rw.series_of(labels, [(at, 7)]), tenant).status < 300
    ledger = Ledger()
    ledger.record(labels_key(labels), at, 7, Fate.ACKNOWLEDGED)
    api.check("repeated", ledger)


def test_the_last_write_of_a_timestamp_wins(region, tenant, api):
    at = now_ms()
    for value in (1, 2, 3):
        assert rw.push(region.region["push_url"], rw.series_of({"__name__": "rewritten"}, [(at, value)]), tenant).status < 300
    assert list(api.vector("rewritten", at / 1000).values()) == [3]


def test_a_stale_marker_ends_a_series(region, tenant, api):
    at = now_ms() - MINUTE_MS
    request = rw.series_of({"__name__": "ended"}, [(at, 1), (at + 1000, rw.STALE_NAN)])
    assert rw.push(region.region["push_url"], request, tenant).status < 300
    assert len(api.vector("ended", at / 1000)) == 1
    assert api.vector("ended", at / 1000 + 2) == {}


def test_labels_in_any_order_are_the_same_series(region, tenant, api):
    at = now_ms()
    orders = [[("__name__", "ordered"), ("a", "1"), ("b", "2")], [("b", "2"), ("__name__", "ordered"), ("a", "1")]]
    for step, pairs in enumerate(orders):
        request = rw.time_series(rw.labels_message(pairs), rw.sample(step, at + step))
        assert rw.push(region.region["push_url"], request, tenant).status < 300
    assert list(api.vector("count_over_time(ordered[1m])", at / 1000 + 1).values()) == [2]


def test_a_large_request_of_many_series_arrives_whole(region, tenant, api):
    at = now_ms()
    ledger = Ledger()
    parts = []
    for number in range(10_000):
        labels = {"__name__": "wide", "number": str(number), "padding": "x" * 100}
        parts.append(rw.series_of(labels, [(at, number)]))
        ledger.record(labels_key(labels), at, number, Fate.ACKNOWLEDGED)
    assert rw.push(region.region["push_url"], b"".join(parts), tenant).status < 300
    api.check("wide", ledger)


def test_metadata_and_label_queries_see_the_series(region, tenant, api):
    at = now_ms()
    for room in ("x", "y"):
        rw.push(region.region["push_url"], rw.series_of({"__name__": "listed", "room": room}, [(at, 1)]), tenant)
    window = {"start": at / 1000 - 60, "end": at / 1000 + 60}
    assert api.get("labels", **window).data == ["__name__", "room"]
    assert api.get("label/room/values", **window).data == ["x", "y"]
    assert api.get("series", match=["listed"], **window).data == [
        {"__name__": "listed", "room": "x"}, {"__name__": "listed", "room": "y"}]


def test_range_queries_and_aggregations_are_computed(region, tenant, api):
    start = (now_ms() - 10 * MINUTE_MS) // 1000 * 1000
    for device in range(3):
        samples = [(start + 1000 * second, second * (device + 1)) for second in range(300)]
        rw.push(region.region["push_url"], rw.series_of({"__name__": "work_total", "device": str(device)}, samples), tenant)
    reply = api.get("query_range", query="sum(rate(work_total[1m]))", start=start / 1000 + 60, end=start / 1000 + 240, step=60)
    assert reply.complete, reply
    assert [round(float(value), 9) for _, value in reply.data["result"][0]["values"]] == [6.0] * 4


def test_a_bad_query_is_the_askers_fault(region, api):
    reply = api.query("sum(")
    assert (reply.status, reply.error_type) == (400, "bad_data")


def test_every_service_answers_its_operations_port(region):
    import urllib.request

    for service in region.region["services"]:
        if service["name"] not in ("distributor", "ingester", "querier"):
            continue
        for path, content in (("/metrics", "# TYPE "), ("/ready", ""), ("/healthy", ""), ("/config", "http")):
            with urllib.request.urlopen(service["ops_url"] + path, timeout=10) as answer:
                assert answer.status == 200
                assert content in answer.read().decode(), (service["instance"], path)
