"""scripts/quickstart as a person uses it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from meridian_dev import topology
from meridian_dev.build import REPOSITORY
from meridian_dev.cluster import Cluster, wait_until
from meridian_dev.errors import UserError
from support.api import Api

NO_SERVICES = {"services": {"distributor": 0, "ingester": 0, "querier": 0}, "ports": "free"}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def pids_of(cluster: Cluster) -> list[int]:
    return [service["pid"] for service in cluster.region["services"]]


# ---- without Meridian's own services: quick ----


def test_a_process_that_dies_is_started_again_unless_that_is_turned_off(tmp_path, binaries):
    with Cluster(tmp_path / "on", binaries, NO_SERVICES) as cluster:
        pid = cluster.service("redis-server-1")["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: cluster.service("redis-server-1")["pid"] not in (pid, None), 10, "a new process")
    with Cluster(tmp_path / "off", binaries, NO_SERVICES, restart=False) as cluster:
        os.kill(cluster.service("redis-server-1")["pid"], signal.SIGKILL)
        wait_until(lambda: cluster.service("redis-server-1")["pid"] is None, 10, "its death to be seen")
        time.sleep(1.5)  # longer than the restart would have taken
        assert cluster.service("redis-server-1")["pid"] is None


def test_nothing_is_left_when_the_supervisor_itself_is_killed(tmp_path, binaries):
    cluster = Cluster(tmp_path, binaries, NO_SERVICES)
    cluster.up()
    pids = pids_of(cluster)
    os.kill(cluster.layout.read_state()["supervisor_pid"], signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in pids), 10, "its processes to end")
    cluster.up()  # and the directory can be used again
    cluster.down()
    assert not any(alive(pid) for pid in pids_of(cluster) if pid)


def test_two_directories_run_side_by_side_and_end_apart(tmp_path, binaries):
    with Cluster(tmp_path / "a", binaries, {**NO_SERVICES, "ports": "default"}) as first:
        with Cluster(tmp_path / "b", binaries, {**NO_SERVICES, "ports": "default"}) as second:
            assert first.region["nats_url"] != second.region["nats_url"]
            assert first.region["redis_url"] != second.region["redis_url"]
        assert all(alive(pid) for pid in pids_of(first))


def test_a_paused_process_can_be_stopped(tmp_path, binaries):
    with Cluster(tmp_path, binaries, NO_SERVICES) as cluster:
        cluster.pause("nats-server-1")
        pids = pids_of(cluster)
    assert not any(alive(pid) for pid in pids)


@pytest.mark.parametrize("document, problem", [
    (None, "must be a mapping"),
    ({"regions": []}, "at least one"),
    ({"regions": [{"partitons": 3}]}, "unknown partitons"),
    ({"regions": [{"partitions": 0}]}, "partitions must be"),
    ({"regions": [{"partitions": True}]}, "partitions must be"),
    ({"regions": [{"id": "Bad Name"}]}, "id must be"),
    ({"regions": [{"services": {"compacter": 1}}]}, "unknown compacter"),
    ({"regions": [{"zones": []}]}, "at least one zone"),
    ({"regions": [{"id": "a"}, {"id": "a"}]}, "repeat"),
])
def test_a_wrong_topology_is_refused_with_the_reason(document, problem):
    with pytest.raises(UserError, match=problem):
        topology.parse(document)


def test_several_regions_are_refused_by_now():
    two = topology.parse({"regions": [{"id": "eu"}, {"id": "us"}]})
    with pytest.raises(UserError, match="2 regions"):
        two.only_region  # noqa: B018


def test_settings_become_the_nested_file_of_a_service():
    region = topology.parse({"regions": [{"set": {"distributor": {"limits": {"rate": 5}}}}]}).only_region
    topology.add_setting(region, "distributor.limits.burst=10")
    topology.add_setting(region, "distributor.log.level=debug")
    assert topology.nested(region.settings_of("distributor")) == {"limits": {"rate": 5, "burst": 10}, "log": {"level": "debug"}}


# ---- the whole thing ----


def test_status_has_the_documented_shape(region):
    out = json.loads(region.command("status", "--json"))
    assert list(out) == ["regions"]
    assert list(out["regions"][0]) == ["id", "jurisdiction", "push_url", "otlp_url", "query_url", "nats_url", "redis_url",
                                       "object_store", "services"]
    assert all(list(service) == ["name", "instance", "pid", "ops_url"] for service in out["regions"][0]["services"])
    names = {service["name"] for service in out["regions"][0]["services"]}
    assert names == {"nats-server", "redis-server", "distributor", "ingester", "compactor", "querier"}


def test_a_real_prometheus_writes_and_its_series_come_back_within_30_seconds(start):
    cluster = start(demo=True)
    api = Api(cluster.region["query_url"])
    jobs = {"prometheus", "distributor", "ingester", "compactor", "querier"}

    def jobs_up() -> set[str]:
        reply = api.query("up == 1")
        return {entry["metric"]["job"] for entry in reply.data["result"]} if reply.complete else set()

    wait_until(lambda: jobs_up() == jobs, 30, "every job to be up")
    # What Prometheus has itself and what it wrote must agree, sample by sample.
    prometheus = Api(cluster.service("prometheus-1")["ops_url"])
    selector = 'prometheus_tsdb_head_samples_appended_total'
    wait_until(lambda: prometheus.vector(f"count_over_time({selector}[5m])"), 30, "its own samples")
    until = time.time()
    theirs = samples_of(prometheus.query(f"{selector}[5m]", until))
    wait_until(lambda: theirs.items() <= samples_of(api.query(f"{selector}[5m]", until)).items(), 30, "the same samples here")


def samples_of(reply) -> dict[tuple, str]:
    """(series without the external label, timestamp) -> value as text."""
    assert reply.complete, reply
    return {
        (frozenset((name, value) for name, value in entry["metric"].items() if name not in ("region", "type")), stamp): value
        for entry in reply.data["result"] for stamp, value in entry["values"]
    }


def test_in_the_foreground_it_prints_a_curl_line_that_works_and_ctrl_c_stops_everything(tmp_path, binaries):
    process = subprocess.Popen(
        [sys.executable, "-m", "meridian_dev", "up", "--dir", str(tmp_path / "run"), "--build-dir", str(binaries)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "scripts")}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    printed = ""
    while "data has arrived" not in printed:
        line = process.stdout.readline()
        assert line, printed
        printed += line
    curl = re.search(r"^\s*(curl .*)$", printed, re.MULTILINE).group(1)
    answer = json.loads(subprocess.run(curl, shell=True, capture_output=True, text=True, check=True).stdout)
    assert answer["data"]["result"], answer
    cluster = Cluster(tmp_path / "run", binaries)
    pids = pids_of(cluster)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    assert not any(alive(pid) for pid in pids)


def test_each_process_ends_in_order_when_asked_to(start):
    cluster = start()
    for instance in ("querier-1", "ingester-1", "distributor-1"):
        cluster.stop(instance)
    log = (cluster.layout.logs / "supervisor.log").read_text()
    assert "killed" not in log, log


def test_one_setting_switches_all_of_promql_on(start):
    """The key by its whole name, though the service's name stands before it already."""
    cluster = start(settings=["querier.promql_features=all"])
    api = Api(cluster.region["query_url"])
    for query in ("info(vector(1))", "rate(x[5m] anchored)", "x smoothed", "min_of(1, 2)", "x + fill(1) y", "start_timestamp(x)"):
        assert api.query(query).complete, query
    names = api.get("status/flags").data["enable-feature"].split(",")
    assert "promql-delayed-name-removal" in names and len(names) == 5


def test_without_it_they_are_refused_as_prometheus_does(region):
    api = Api(region.region["query_url"])
    reply = api.query("x smoothed")
    assert reply.status == 400 and "smoothed modifier is experimental and not enabled" in reply.error
