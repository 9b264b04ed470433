"""Aggregations that ingesters compute: with querier.push_down on or off, every answer is the same to the last digit."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
import yaml

from meridian_dev.cluster import wait_until
from support import remote_write as rw
from support import remote_write_2 as rw2

STEP_MS = 15_000
SAMPLES = 40
SERIES = 60
TWO_INGESTERS = {"partitions": 8, "replicas": 2, "services": {"ingester": 2}}

QUERIES = [
    "sum(m)",
    "sum by (job) (rate(m_total[1m]))",
    "avg without (instance) (m)",
    "avg by (job) (wide)",
    "count by (__name__) ({job=~\"a|b\"})",
    "min by (job) (odd)",
    "max by (job) (odd)",
    "group by (job, instance) (m)",
    "stddev by (job) (m)",
    "stdvar(m offset 30s)",
    "sum(odd)",
    "topk(3, m)",
    "topk by (job) (2, rate(m_total[1m]))",
    "bottomk(4, m * 2 - 1)",
    "sum by (job) (latency)",
    "avg(rate(latency[2m]))",
    "histogram_quantile(0.9, sum by (job) (rate(latency[1m])))",
    "sum(latency) + sum(sizes)",
    "sum({__name__=~\"latency|m\"})",
    "sum by (job) (m) / on (job) count by (job) (m)",
    "max_over_time(sum(m)[2m:15s])",
    "sum(max_over_time(rate(m_total[1m])[2m:30s]))",
    "sum(m @ end()) by (job)",
    "avg(quantile_over_time(2, m[1m]))",
    "sum(rate(m[1m]))",
    "stddev(latency)",
    "quantile(0.5, m)",
    "topk(NaN, m)",
    "sum(nothing)",
    "sum(",
]


def fill(region, tenant: str) -> tuple[float, float]:
    """Series of all kinds over ten minutes; returns their time range in seconds."""
    draw = random.Random(1847)
    start_ms = int(time.time()) * 1000 - SAMPLES * STEP_MS
    times = [start_ms + n * STEP_MS for n in range(SAMPLES)]
    odd = [0.0, -0.0, 1e16, -1e16, 1e-300, 1e308, -1e308, float("inf"), float("-inf"), float("nan"), 0.1]
    floats = {
        "m": lambda n: draw.uniform(-100, 100),
        "m_total": lambda n: n * draw.uniform(9, 10),
        "wide": lambda n: draw.uniform(-1, 1) * 10.0 ** draw.randrange(-20, 20),
        "odd": lambda n: draw.choice(odd),
    }
    for index in range(SERIES):
        request = rw2.Request()
        for name, value in floats.items():
            labels = {"__name__": name, "instance": str(index), "job": "ab"[index % 2]}
            request.add(labels, samples=[(at, value(n)) for n, at in enumerate(times)])
        labels = {"__name__": "latency", "instance": str(index), "job": "ab"[index % 2]}
        request.add(labels, histograms=[rw2.histogram(at, [n, 2 * n, index], schema=index % 3) for n, at in enumerate(times)])
        labels["__name__"] = "sizes"
        request.add(labels, histograms=[rw2.custom_histogram(at, [1.0, 10.0 + index % 2], [0.1 * n, 1.0]) for n, at in enumerate(times)])
        answer = rw.push(region.region["push_url"], request.encode(), tenant, **rw2.HEADERS)
        assert answer.status == 204, answer
    return times[0] / 1000, times[-1] / 1000


def ask(url: str, tenant: str, path: str, **parameters) -> tuple[int, dict]:
    """The whole answer, infos and statistics included, and its status."""
    request = urllib.request.Request(
        f"{url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}",
        headers={"X-Scope-OrgID": tenant, "X-Read-Consistency": "strong"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def without_times(answer: tuple[int, dict]) -> tuple[int, dict]:
    """How long things took differs from one evaluation to the next."""
    status, document = answer
    stats = (document.get("data") or {}).get("stats")
    if stats:
        stats.pop("timings", None)
    return status, document


def ask_all(url: str, tenant: str, span: tuple[float, float]) -> dict:
    answers = {}
    for query in QUERIES:
        instant = ask(url, tenant, "query", query=query, time=span[1], stats="all")
        over_time = ask(url, tenant, "query_range", query=query, start=span[0], end=span[1], step=20, stats="all")
        answers[query] = (without_times(instant), without_times(over_time))
    return answers


def metric(url: str, name: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


PUSHED = 'meridian_querier_selects_total{plan="pushed"}'
PLAIN = 'meridian_querier_selects_total{plan="plain"}'
REFUSED = "meridian_querier_fragments_refused_total"


def switch(region, on: bool) -> None:
    """Changes the running querier's configuration file; it takes that without a restart."""
    file = region.layout.config / "querier-1.yaml"
    document = yaml.safe_load(file.read_text())
    document.setdefault("querier", {})["push_down"] = on
    file.write_text(yaml.safe_dump(document))
    os.kill(region.service("querier-1")["pid"], signal.SIGHUP)
    url = region.query_urls()[0]

    def pushes() -> bool:
        before = metric(url, PUSHED)
        ask(url, "nobody", "query", query="sum(m)")
        return metric(url, PUSHED) > before

    wait_until(lambda: pushes() == on, 20, f"querier.push_down to be {on}")


@pytest.mark.parametrize("topology", [{"partitions": 1}, TWO_INGESTERS], ids=["one-partition", "eight-partitions"])
def test_the_answers_are_the_same_whether_ingesters_aggregate_or_not(start, tenant, topology):
    region = start(topology)
    span = fill(region, tenant)
    url = region.query_urls()[0]
    pushed_before, plain_before = metric(url, PUSHED), metric(url, PLAIN)
    pushed = ask_all(url, tenant, span)
    assert metric(url, PUSHED) - pushed_before > len(QUERIES)
    assert metric(url, PLAIN) - plain_before < len(QUERIES) / 4
    switch(region, False)
    pushed_before = metric(url, PUSHED)
    plain = ask_all(url, tenant, span)
    assert metric(url, PUSHED) == pushed_before
    for query in QUERIES:
        assert pushed[query] == plain[query], query
    assert sum(len(answer["data"]["result"]) > 0 for (status, answer), _ in plain.values() if status == 200) > 20
    assert any(answer.get("infos") for (_, answer), _ in plain.values())
    assert any(answer.get("warnings") for (_, answer), _ in plain.values())
    switch(region, True)
    assert metric(url, REFUSED) <= 2 * 2 * 2  # what fails in the ingester is evaluated again here: it fails in the same way


def test_an_ingester_killed_in_the_middle_changes_no_answer(start, tenant):
    region = start(TWO_INGESTERS)
    span = fill(region, tenant)
    url = region.query_urls()[0]
    right = ask_all(url, tenant, span)
    asked = [query for query in QUERIES if right[query][0][0] == 200]
    wrong: list[str] = []
    counts = {"asked": 0}
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for query in asked:
                answer = without_times(ask(url, tenant, "query", query=query, time=span[1], stats="all"))
                counts["asked"] += 1
                if answer != right[query][0]:
                    wrong.append(f"{query}: {answer}")

    watcher = threading.Thread(target=watch)
    watcher.start()
    for instance in ("ingester-1", "ingester-2", "ingester-1"):
        before = counts["asked"]
        wait_until(lambda: counts["asked"] > before + 20, 60, "answers")
        region.kill_and_wait(instance)
    done.set()
    watcher.join()
    assert not wrong, "\n".join(wrong[:5])
    assert metric(url, PUSHED) > counts["asked"] / 2


def test_a_fragment_that_needs_more_memory_than_an_ingester_gives_is_evaluated_by_the_querier(start, tenant):
    region = start({"partitions": 2}, settings=["ingester.ingester.request_memory_bytes_max=1MiB"])
    span = fill(region, tenant)
    url = region.query_urls()[0]
    query = "sum by (instance) (sum_over_time(m[1m]))"
    parameters = {"query": query, "start": span[0], "end": span[1], "step": 0.2}
    pushed = without_times(ask(url, tenant, "query_range", **parameters))
    assert metric(url, REFUSED) > 0
    switch(region, False)
    assert pushed[0] == 200
    assert pushed == without_times(ask(url, tenant, "query_range", **parameters))
