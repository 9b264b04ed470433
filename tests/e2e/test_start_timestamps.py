"""Start timestamps from a remote write 2.0 message to PromQL: what they change, and what they do not."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from meridian_dev.cluster import wait_until
from support import remote_write as rw
from support import remote_write_2 as rw2
from support.api import Api
from support.prometheus import free_port

STEP_MS = 15_000
COUNT = 20
FEATURES = ["use-start-timestamps", "promql-experimental-functions"]


def times() -> list[int]:
    """Every 15 seconds for about five minutes, up to now."""
    last = int(time.time()) * 1000
    return [last - (COUNT - 1 - i) * STEP_MS for i in range(COUNT)]


def push(url: str, tenant: str, request: rw2.Request) -> None:
    answer = rw.push(url, request.encode(), tenant, **rw2.HEADERS)
    assert answer.status == 204, answer


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def heeding(region, binaries: Path, tmp_path_factory):
    """The URL of a second querier of the region, which uses start timestamps; the region's own does not."""
    directory = tmp_path_factory.mktemp("querier")
    settings = yaml.safe_load((region.layout.config / "querier-1.yaml").read_text())
    address = f"127.0.0.1:{free_port()}"
    settings["instance"] = "querier-with-starts"
    settings["http"] = {**settings.get("http", {}), "listen": address}
    settings["querier"] = {**settings.get("querier", {}), "promql_features": ",".join(FEATURES)}
    file = directory / "querier.yaml"
    file.write_text(yaml.safe_dump(settings))
    with (directory / "querier.log").open("w") as log:
        process = subprocess.Popen([str(binaries / "meridian-querier"), "--config", str(file)], stdout=log, stderr=log)
        try:
            wait_until(lambda: process.poll() is not None or answers(f"http://{address}/ready"), 30, "the querier to be ready")
            assert process.poll() is None, (directory / "querier.log").read_text()
            yield f"http://{address}"
        finally:
            process.terminate()
            assert process.wait(timeout=30) == 0, (directory / "querier.log").read_text()


@pytest.fixture
def with_starts(heeding, tenant) -> Api:
    return Api(heeding, tenant, strong=True)


@pytest.fixture
def url(region) -> str:
    return region.region["push_url"]


def one(api: Api, expression: str, at_ms: int) -> float:
    (value,) = api.vector(expression, at_ms / 1000).values()
    return value


def test_a_reset_that_only_the_start_timestamp_shows(url, tenant, api, with_starts):
    """Restarted between two samples and past its old value by the second: the values alone know nothing of it."""
    at = times()
    request = rw2.Request()
    for i, time_ms in enumerate(at):
        start_ms = at[0] - 3_600_000 if i < 10 else at[9] + 1000
        request.add({"__name__": "requests_total"}, samples=[(time_ms, 100 + 10 * i, start_ms)])
    push(url, tenant, request)
    stretched = 295 / 285  # the window of 295 s over the 285 s that were sampled
    window = "requests_total[295s]"
    assert one(api, f"increase({window})", at[-1]) == pytest.approx(190 * stretched)
    assert one(with_starts, f"increase({window})", at[-1]) == pytest.approx((190 + 190) * stretched)
    assert one(with_starts, f"sum(increase({window}))", at[-1]) == pytest.approx(380 * stretched)  # by the ingester
    assert one(api, f"rate({window})", at[-1]) == pytest.approx(190 / 285)
    assert one(with_starts, f"rate({window})", at[-1]) == pytest.approx(380 / 285)
    assert (one(api, f"resets({window})", at[-1]), one(with_starts, f"resets({window})", at[-1])) == (0, 1)
    assert one(api, f"irate({window})", at[10]) == pytest.approx(10 / 15)
    assert one(with_starts, f"irate({window})", at[10]) == pytest.approx(200 / 15)
    assert one(with_starts, "start_timestamp(requests_total)", at[9]) == pytest.approx(at[0] / 1000 - 3600)
    assert one(with_starts, "start_timestamp(requests_total)", at[10]) == pytest.approx(at[9] / 1000 + 1)


def test_the_functions_of_the_feature_are_refused_without_it(api):
    reply = api.query("start_timestamp(requests_total)")
    assert reply.status == 400 and 'function "start_timestamp" is not enabled' in reply.error


def test_deltas_are_added_up(url, tenant, api, with_starts):
    at = times()
    request = rw2.Request()
    for i, time_ms in enumerate(at):
        request.add({"__name__": "bytes_total"}, samples=[(time_ms, 7, at[i - 1] if i > 0 else time_ms - STEP_MS)])
    push(url, tenant, request)
    assert one(api, "increase(bytes_total[295s])", at[-1]) == 0
    assert one(with_starts, "increase(bytes_total[10m])", at[-1]) == pytest.approx(7 * COUNT)


def test_a_first_sample_counts_from_its_start(url, tenant, api, with_starts):
    at = times()
    push(url, tenant, rw2.Request().add({"__name__": "jobs_total"}, samples=[(at[-1], 3, at[-1] - 20_000)]))
    assert api.vector("increase(jobs_total[5m])", at[-1] / 1000) == {}
    assert one(with_starts, "increase(jobs_total[5m])", at[-1]) == 3


def test_histograms_have_them_too(url, tenant, api, with_starts):
    at = times()
    request = rw2.Request()
    for i, time_ms in enumerate(at):
        start_ms = at[0] - 3_600_000 if i < 10 else at[9] + 1000
        request.add({"__name__": "latency_seconds"}, histograms=[rw2.histogram(time_ms, [10 + i, 10 + i], start_ms=start_ms)])
    push(url, tenant, request)
    query = "histogram_count(increase(latency_seconds[295s]))"
    assert one(api, query, at[-1]) == pytest.approx(38 * 295 / 285)
    assert one(with_starts, query, at[-1]) == pytest.approx((38 + 38) * 295 / 285)
    assert one(with_starts, "resets(latency_seconds[295s])", at[-1]) == 1
    assert one(with_starts, "start_timestamp(latency_seconds)", at[-1]) == pytest.approx(at[9] / 1000 + 1)


def test_a_writer_of_1_0_has_none(url, tenant, with_starts):
    at = times()
    labels = {"__name__": "plain_total"}
    answer = rw.push(url, rw.series_of(labels, [(time_ms, float(i)) for i, time_ms in enumerate(at)]), tenant)
    assert answer.status == 204, answer
    assert one(with_starts, "start_timestamp(plain_total)", at[-1]) == 0
    assert one(with_starts, "resets(plain_total[295s])", at[-1]) == 0


def starts_of(api: Api, selector: str, at: list[int]) -> list[float]:
    """start_timestamp at each of the times."""
    reply = api.get("query_range", query=f"start_timestamp({selector})", start=at[0] / 1000, end=at[-1] / 1000, step=STEP_MS / 1000)
    assert reply.complete, reply
    (series,) = reply.data["result"]
    assert [time_s for time_s, _ in series["values"]] == [time_ms / 1000 for time_ms in at]
    return [float(value) for _, value in series["values"]]


def test_they_are_those_of_the_last_write_in_any_order_and_after_a_replay(start):
    """Late, out of order, written over with and without one; then the ingester starts from the log alone."""
    cluster = start(settings=[f"querier.promql_features={','.join(FEATURES)}"])
    url = cluster.region["push_url"]
    api = Api(cluster.region["query_url"], "replayed", strong=True)
    at = times()
    labels = {"__name__": "replayed_total"}
    want = [time_ms - 500 - 3 * i for i, time_ms in enumerate(at)]
    for i in [*range(10, COUNT), *reversed(range(10))]:
        push(url, "replayed", rw2.Request().add(labels, samples=[(at[i], i, at[i] - 77)]))
    for i, time_ms in enumerate(at):
        if i % 4 == 1:  # the last write to some says nothing of a start
            want[i] = 0
            push(url, "replayed", rw2.Request().add(labels, samples=[(time_ms, i)]))
        else:
            push(url, "replayed", rw2.Request().add(labels, samples=[(time_ms, i, want[i])]))
    expected = pytest.approx([start_ms / 1000 for start_ms in want])
    assert starts_of(api, "replayed_total", at) == expected
    cluster.kill_and_wait("ingester-1")
    assert starts_of(api, "replayed_total", at) == expected
