"""Native histograms over HTTP: what was written is what PromQL computes with, whatever the order of the writes."""

from __future__ import annotations

import time

from support import remote_write as rw
from support import remote_write_2 as rw2


def now_ms() -> int:
    return int(time.time() * 1000)


def push(region, tenant: str, labels: dict, **parts) -> None:
    answer = rw.push(region.region["push_url"], rw2.Request().add(labels, **parts).encode(), tenant, **rw2.HEADERS)
    assert answer.status == 204, answer


def test_a_histogram_comes_back_bucket_by_bucket(region, tenant, api):
    at = now_ms() // 1000 * 1000
    push(region, tenant, {"__name__": "latency"}, histograms=[rw2.histogram(at, [1, 0, 4, 2], schema=0, zero=3)])
    (entry,) = api.query("latency", at / 1000).data["result"]
    time_s, histogram = entry["histogram"]
    assert time_s == at / 1000
    assert (histogram["count"], histogram["sum"]) == ("10", "10")
    zero, *positive = histogram["buckets"]
    assert (zero[0], float(zero[1]), float(zero[2]), zero[3]) == (3, -1e-128, 1e-128, "3")
    assert positive == [[0, "0.5", "1", "1"], [0, "2", "4", "4"], [0, "4", "8", "2"]]
    assert api.vector("histogram_count(latency)", at / 1000) == {frozenset(): 10}


def test_custom_bounds_and_floats_come_back(region, tenant, api):
    at = now_ms()
    push(region, tenant, {"__name__": "sizes"}, histograms=[rw2.custom_histogram(at, [1.0, 10.0, 100.0], [0.5, 2.0, 0.25])])
    (entry,) = api.query("sizes", at / 1000).data["result"]
    histogram = entry["histogram"][1]
    assert (histogram["count"], histogram["sum"]) == ("2.75", "1")
    assert [bucket[1:] for bucket in histogram["buckets"]] == [["-Inf", "1", "0.5"], ["1", "10", "2"], ["10", "100", "0.25"]]


def test_any_order_of_histograms_is_the_same_series(region, tenant, api):
    """Ten minutes of scrapes, the layout changing half way, written in an order of our own and some of them twice."""
    at = now_ms() // 1000 * 1000 - 600_000
    def scrape(n: int) -> bytes:
        return rw2.histogram(at + n * 10_000, [n, 2 * n] if n < 30 else [n, 2 * n, n, 0, 1])
    order = [(n * 37) % 61 for n in range(61)] + [5, 60, 17]
    for n in order:
        push(region, tenant, {"__name__": "shuffled"}, histograms=[scrape(n)])
    (entry,) = api.query("shuffled[601s]", at / 1000 + 600).data["result"]
    assert "values" not in entry
    assert [round(t * 1000) for t, _ in entry["histograms"]] == [at + n * 10_000 for n in range(61)]
    assert [float(h["count"]) for _, h in entry["histograms"]] == [3 * n if n < 30 else 4 * n + 1 for n in range(61)]


def test_of_a_float_and_a_histogram_at_one_time_the_later_write_counts(region, tenant, api):
    at = now_ms()
    labels = {"__name__": "switching"}

    def kinds() -> tuple[int, int]:
        (entry,) = api.query("switching[60s]", at / 1000 + 10).data["result"]
        return len(entry.get("values", [])), len(entry.get("histograms", []))

    push(region, tenant, labels, samples=[(at, 1), (at + 1000, 2)])
    assert kinds() == (2, 0)
    push(region, tenant, labels, histograms=[rw2.histogram(at, [1]), rw2.histogram(at + 2000, [1])])
    assert kinds() == (1, 2)
    push(region, tenant, labels, samples=[(at, 5)])
    assert kinds() == (2, 1)
    (entry,) = api.query("switching[60s]", at / 1000 + 10).data["result"]
    assert [value for _, value in entry["values"]] == ["5", "2"]
